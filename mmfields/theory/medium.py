"""The plasma that the closed forms are of, and its gyroradii."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from astropy import constants
from astropy import units as u

from mmfields.errors import ArgumentError
from mmfields.theory._values import checked, number

LIGHT = u.Quantity(constants.c.cgs.value, u.cm / u.s)
# Charge and proton mass in Gaussian units, as numbers: astropy's own charge units do not mix with gauss.
CHARGE, PROTON_MASS = 4.803204712570263e-10, constants.m_p.cgs.value
CM2S = u.cm**2 / u.s


@dataclass(frozen=True, repr=False)
class Medium:
    """A plasma with micromirrors in macroscopic turbulence; the defaults are the paper's intracluster medium.

    Parameters
    ----------
    B : Quantity
        Mean magnetic field.
    T : Quantity
        Ion temperature, as an energy.
    l_c : Quantity
        Correlation length of the turbulence.
    l_mm : Quantity
        Scale of micromirrors.  An input of its own: :func:`micromirror_scale` gives 20 to 26 npc for the times of the
        paper, which itself takes 100 npc (N1).
    dB_over_B : float
        Relative amplitude of micromirrors.
    tau : Quantity
        Time over which the turbulence stretches field lines.
    Z : int
        Charge number of the cosmic rays.
    v_A : Quantity
        Alfvén speed.
    l_A : Quantity
        Alfvén scale, below which the turbulence is magnetically dominated.
    beta : float
        Thermal over magnetic pressure.

    Raises
    ------
    ArgumentError
        If a value has no unit or is not positive.
    """

    B: u.Quantity = 3 * u.uG
    T: u.Quantity = 5 * u.keV
    l_c: u.Quantity = 100 * u.kpc
    l_mm: u.Quantity = 100e-9 * u.pc
    dB_over_B: float = 1 / 3
    tau: u.Quantity = 1e12 * u.s
    Z: int = 1
    v_A: u.Quantity = 100 * u.km / u.s
    l_A: u.Quantity = 1 * u.kpc
    beta: float = 100.0

    def __post_init__(self) -> None:
        units = {"B": u.G, "T": u.erg, "l_c": u.cm, "l_mm": u.cm, "tau": u.s, "v_A": u.cm / u.s, "l_A": u.cm}
        for field in fields(self):
            if field.name in units and checked(getattr(self, field.name), field.name, units[field.name]).ndim:
                raise ArgumentError(f"{field.name}={getattr(self, field.name)}: one quantity is needed")
        number(self.dB_over_B, "dB_over_B", 1e-12, 10.0), number(self.beta, "beta", 1e-6, 1e12)
        if not isinstance(self.Z, int | np.integer) or self.Z < 1:
            raise ArgumentError(f"Z={self.Z!r}: a whole charge number from 1 on is needed")

    def __repr__(self) -> str:
        """What differs from the paper's medium alone, as one would type it."""
        told = []
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, u.Quantity):
                same, text = value == field.default, f"{value:.6g}"
            else:
                same = bool(value == field.default)
                text = f"{value.value:.6g} * u.Unit({value.unit.to_string()!r})"
            told += [] if same else [f"{field.name}={text}"]
        return f"Medium({', '.join(told)})"


ICM = Medium()


def required(medium: Any) -> "Medium":
    """The medium, if it is one.

    Raises
    ------
    ArgumentError
        If it is something else, such as an energy.
    """
    if not isinstance(medium, Medium):
        raise ArgumentError(f"medium={medium!r}: mm.theory.Medium(...) is needed; some functions take no energy")
    return medium


def gyroradius(E: u.Quantity, medium: Medium = ICM) -> u.Quantity:
    """Gyroradius r_g = E / (Z e B) of an ultrarelativistic particle across the field.

    Parameters
    ----------
    E : Quantity
        Energy, of any shape.
    medium : Medium

    Returns
    -------
    Quantity
        [pc], of the shape of `E`; 360.34 npc at 1 GeV in the paper's medium.  (The paper's "gyroradii of ≳ µpc at
        100 MeV" would be 160 npc, N4.)

    Raises
    ------
    ArgumentError
        If `E` is no positive energy.
    """
    energy = checked(E, "E", u.erg)
    required(medium)
    return (energy.value / (medium.Z * CHARGE * medium.B.to_value(u.G)) * u.cm).to(u.pc)


def gyrofrequency(medium: Medium = ICM) -> u.Quantity:
    """Gyrofrequency Ω_i = e B / (m_p c) of protons.

    Returns
    -------
    Quantity
        [rad/s]; 0.02874 in the paper's medium, where its text takes 0.01.
    """
    required(medium)
    return CHARGE * medium.B.to_value(u.G) / (PROTON_MASS * LIGHT.value) * u.rad / u.s


def thermal_gyroradius(medium: Medium = ICM) -> u.Quantity:
    """Gyroradius r_gi = √(2 T / m_p) / Ω_i of thermal protons.

    Returns
    -------
    Quantity
        [pc]; 1.104 npc in the paper's medium.
    """
    required(medium)
    speed = np.sqrt(2 * medium.T.to(u.erg) / (PROTON_MASS * u.g)).to(u.cm / u.s)
    return (speed / (gyrofrequency(medium) / u.rad)).to(u.pc)

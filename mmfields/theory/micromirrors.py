"""Scattering by micromirrors (Eqs. 1 to 6), by firehose fluctuations, and the anisotropy that drives them."""

import numpy as np
from astropy import units as u

from mmfields.errors import ArgumentError
from mmfields.theory._values import checked, number, require_valid
from mmfields.theory.medium import CHARGE, ICM, LIGHT, Medium, gyrofrequency, gyroradius, required, thermal_gyroradius


def micromirror_scale(medium: Medium = ICM, *, order_of_magnitude: bool = False) -> u.Quantity:
    """Scale of micromirrors l_mm = (τ Ω_i)^(1/8) r_gi at the end of their growth.

    Parameters
    ----------
    medium : Medium
    order_of_magnitude : bool
        The paper's 100 r_gi, which the formula does not give: 20 to 26 npc for τΩ of 1e10 to 1e11 (N1).

    Returns
    -------
    Quantity
        [pc]; 22.4 npc in the paper's medium.
    """
    required(medium)
    if order_of_magnitude:
        return 100 * thermal_gyroradius(medium)
    return float((medium.tau * gyrofrequency(medium) / u.rad).to_value("")) ** 0.125 * thermal_gyroradius(medium)


def deflection_speed(E: u.Quantity, medium: Medium = ICM, *, check: bool | None = None) -> u.Quantity:
    """Change of velocity in one micromirror, δv = c (l_mm / r_g) (δB/B) (Eq. 1).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    check : bool, optional
        As :func:`deflection_angle`.

    Returns
    -------
    Quantity
        [cm/s], for r_g ≫ l_mm.

    Raises
    ------
    ArgumentError
        If `E` is no positive energy.
    """
    return (LIGHT * deflection_angle(E, medium, check=check)).to(u.cm / u.s)


def deflection_angle(E: u.Quantity, medium: Medium = ICM, *, check: bool | None = None) -> np.ndarray:
    """Deflection in one micromirror, δΘ = (l_mm / r_g) (δB/B) (Eq. 2).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    check : bool, optional
        Energies at which r_g does not exceed l_mm are warned of by default; refused if true, taken if False.

    Returns
    -------
    float array
        [rad]; 9.25e-5 at 1 TeV in the paper's medium.

    Raises
    ------
    ArgumentError
        If `E` is no positive energy, or out of range where that is checked.
    """
    ratio = 1 / (gyroradius(E, medium) / medium.l_mm).to_value("")
    least = medium.Z * CHARGE * medium.B.to_value(u.G) * medium.l_mm.to_value(u.cm) * u.erg
    require_valid(
        np.asarray(ratio) >= 1,
        f"E={E}: the deflections of Eqs. 1 to 6 are small only above {least.to(u.GeV):.3g}, where r_g = l_mm",
        check,
    )
    return ratio * medium.dB_over_B


def scattering_rate(E: u.Quantity, medium: Medium = ICM, *, check: bool | None = None) -> u.Quantity:
    """Scattering rate of micromirrors, ν_mm = δΘ² c / l_mm (Eq. 3).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    check : bool, optional
        As :func:`deflection_angle`.

    Returns
    -------
    Quantity
        [1/s]; 8.314e-10 at 1 TeV in the paper's medium.

    Raises
    ------
    ArgumentError
        As :func:`deflection_angle`.
    """
    return (deflection_angle(E, medium, check=check) ** 2 * LIGHT / medium.l_mm).to(1 / u.s)


def kappa_of_rate(nu: u.Quantity, *, dimensions: int | None = None) -> u.Quantity:
    """Diffusion coefficient of a scattering rate, κ = c² / ν (Eq. 4).

    Parameters
    ----------
    nu : Quantity
        [1/s]
    dimensions : int, optional
        The paper's κ = c²/ν holds for reversals in one dimension.  With Eq. 13 in three, an isotropic κ is
        (2/3) c²/ν; 3 gives that, 1 or None the paper's.

    Returns
    -------
    Quantity
        [cm²/s]

    Raises
    ------
    ArgumentError
        If the rate is not positive, or the dimensions are neither 1 nor 3.
    """
    if dimensions not in (None, 1, 3):
        raise ArgumentError(f"dimensions={dimensions!r}: 1 or 3 is needed")
    return (2 / 3 if dimensions == 3 else 1.0) * (LIGHT**2 / checked(nu, "nu", 1 / u.s)).to(u.cm**2 / u.s)


def kappa_micromirror(
    E: u.Quantity, medium: Medium = ICM, *, check: bool | None = None, order_of_magnitude: bool | str = False
) -> u.Quantity:
    """Diffusion coefficient of micromirrors, κ_mm = c r_g² / l_mm (δB/B)^-2 (Eq. 5).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    check : bool, optional
        As :func:`deflection_angle`.
    order_of_magnitude : bool or "temperature"
        True: 1e30 cm²/s (E/TeV)² (B/3µG)^-2 (l_mm/100npc)^-1 (3 δB/B)^-2 / Z², the paper's first rounded line.
        "temperature": its second one, with l_mm = 100 r_gi: (T/5keV)^-1/2 (B/3µG)^-1 in place of B and l_mm, in which
        (τ Ω_i)^(1/8) is taken for a constant (N1).

    Returns
    -------
    Quantity
        [cm²/s]; 1.081e30 at 1 TeV in the paper's medium.

    Raises
    ------
    ArgumentError
        As :func:`deflection_angle`.
    """
    required(medium)
    if order_of_magnitude not in (False, True, "temperature"):
        raise ArgumentError(f"order_of_magnitude={order_of_magnitude!r}: True, False or 'temperature' is needed")
    if order_of_magnitude:
        energy = checked(E, "E", u.TeV)
        field = medium.B / (3 * u.uG)
        if order_of_magnitude == "temperature":
            scale = (energy / u.TeV / medium.Z) ** 2 / field / np.sqrt(medium.T / (5 * u.keV))
        else:
            scale = (energy / u.TeV / medium.Z / field) ** 2 / (medium.l_mm / (100e-9 * u.pc))
        return 1e30 * scale.to_value("") / (3 * medium.dB_over_B) ** 2 * u.cm**2 / u.s
    return kappa_of_rate(scattering_rate(E, medium, check=check))


def kappa_perpendicular(medium: Medium = ICM) -> u.Quantity:
    """Diffusion coefficient across the field, κ_⊥ = c l_mm (δB/B)² (Eq. 6), at all energies with r_g ≫ l_mm.

    Returns
    -------
    Quantity
        [cm²/s]; 1.028e21 in the paper's medium.
    """
    required(medium)
    return (LIGHT * medium.l_mm * medium.dB_over_B**2).to(u.cm**2 / u.s)


def firehose_amplitude(medium: Medium = ICM) -> float:
    """Relative amplitude of firehose fluctuations, δB_f/B = (τ Ω_i)^(-1/4).

    Returns
    -------
    float
        1.78e-3 for τΩ_i = 1e11.
    """
    required(medium)
    return float((medium.tau * gyrofrequency(medium) / u.rad).to_value("")) ** -0.25


def firehose_ratio(medium: Medium = ICM, *, scale: u.Quantity | None = None) -> float:
    """Scattering rate of firehose fluctuations over that of micromirrors, (l_f/l_mm) (δB_f/δB_mm)².

    Parameters
    ----------
    medium : Medium
    scale : Quantity, optional
        l_f; the thermal gyroradius by default.

    Returns
    -------
    float
        2.8e-7 for τΩ_i = 1e11 and l_f = l_mm/100.

    Raises
    ------
    ArgumentError
        If the scale is no positive length.
    """
    length = thermal_gyroradius(medium) if scale is None else checked(scale, "scale", u.pc)
    return float((length / medium.l_mm).to_value("")) * (firehose_amplitude(medium) / medium.dB_over_B) ** 2


def pressure_anisotropy(time: u.Quantity, tau: u.Quantity, *, exponent: float = 2.0) -> np.ndarray:
    """Pressure anisotropy Δ = (1 + t/τ)^exponent - 1 of a contracting box with both adiabatic invariants.

    Parameters
    ----------
    time, tau : Quantity
        Since the start, and of the contraction.
    exponent : float
        Of B: 2 for the paper's Δ (0.3225 at 0.15 τ), which has one contracting axis L ∝ (1 + t/τ)^-2, or two with
        exponent -1 each; its printed L_⊥ ∝ (1 + t/τ)^-2 on both axes would be 4 (N2).

    Returns
    -------
    float array

    Raises
    ------
    ArgumentError
        If a quantity is not positive.
    """
    ratio = (checked(time, "time", u.s, positive=False) / checked(tau, "tau", u.s)).to_value("")
    if (ratio <= -1).any():
        raise ArgumentError(f"time={time}: it is before -tau, when the box was infinite")
    power = number(exponent, "exponent", 0.1, 10.0)
    if power.ndim:
        raise ArgumentError(f"exponent={exponent!r}: one number is needed")
    return (1 + ratio) ** float(power) - 1


def mirror_onset(tau: u.Quantity, *, threshold: float = 0.02, exponent: float = 2.0) -> u.Quantity:
    """Time at which the anisotropy of a contracting box reaches the mirror threshold.

    Parameters
    ----------
    tau : Quantity
        Of the contraction.
    threshold : float
        Δ = 1/β_⊥; 0.02 gives the paper's 0.00995 τ.
    exponent : float
        As :func:`pressure_anisotropy`.

    Returns
    -------
    Quantity
        In the unit of `tau`.

    Raises
    ------
    ArgumentError
        If a number is not positive.
    """
    checked(tau, "tau", u.s)
    return tau * float(
        (1 + number(threshold, "threshold", 1e-12, 1e3)) ** (1 / number(exponent, "exponent", 0.1, 10)) - 1
    )

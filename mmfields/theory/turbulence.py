"""Scattering by macroscopic turbulence (Eqs. 7 to 9, 12, 14, 15) and beyond its scales."""

from collections.abc import Callable
from typing import Any

import numpy as np
from astropy import units as u

from mmfields._types import Numbers, Spectrum
from mmfields.conventions import require_number, require_values
from mmfields.errors import ArgumentError
from mmfields.theory._values import number, require_valid
from mmfields.theory.medium import CHARGE, CM2S, ICM, LIGHT, Medium, gyroradius, required


def mode_amplitudes(k: u.Quantity | np.ndarray, spectrum: Spectrum = 5 / 3) -> np.ndarray:
    """Amplitudes A_n of log-spaced plane waves, A_n² = E(k_n) k_n / Σ E k (Eq. 12), with Σ A_n² = 1.

    Parameters
    ----------
    k : Quantity or array
        Log-spaced wavenumbers.
    spectrum : float or callable
        As ``mm.turbulence.plane_waves``, which makes the field.

    Returns
    -------
    float array

    Raises
    ------
    ArgumentError
        If a wavenumber is not positive.
    """
    values = require_values(np.asarray(getattr(k, "value", k)), "k")
    if not (values > 0).all():
        raise ArgumentError("k: positive wavenumbers are needed")
    if callable(spectrum) and not (spectrum(values) >= 0).all():
        raise ArgumentError("spectrum: a function that gives no negative power is needed")
    weight = spectrum(values) * values if callable(spectrum) else values ** (1 - require_number(spectrum, "spectrum"))
    return np.sqrt(weight / weight.sum())


def resonant_power(
    E: u.Quantity, medium: Medium = ICM, *, slope: float = 5 / 3, spectrum: Callable[..., Any] | None = None
) -> np.ndarray:
    """Share f(r_g) of the magnetic energy at parallel scales below a gyroradius (Eq. 14).

    It is (r_g / l_c)^(ξ-1) for P(k_∥) ∝ k_∥^-ξ; for any other P, ∫ P dk_∥ from 2π/r_g on, over B²/8π.

    Parameters
    ----------
    E : Quantity
    medium : Medium
    slope : float
        ξ, from 1 to 3; without `spectrum`.
    spectrum : callable, optional
        P of k_∥, from a Quantity in 1/pc to one of energy density per wavenumber, or of length if it is over B²/8π.

    Returns
    -------
    float array
        Not above 1 for turbulence that is not stronger than the mean field.

    Raises
    ------
    ArgumentError
        If `E` is no positive energy, ξ out of range, or P no such function.
    """
    if spectrum is not None:
        return _power_above(2 * np.pi / gyroradius(E, medium), spectrum, medium)
    return (gyroradius(E, medium) / medium.l_c).to_value("") ** (number(slope, "slope", 1.0, 3.0) - 1)


def kappa_resonant(
    E: u.Quantity, medium: Medium = ICM, *, delta: float = 1 / 3, check: bool | None = None
) -> u.Quantity:
    """Diffusion coefficient of resonant scattering by turbulence, κ_res = c l_c (r_g / l_c)^δ (Eqs. 7 and 15).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    delta : float
        2 - ξ: 1/3 for a Kolmogorov spectrum, 1/2 for Iroshnikov-Kraichnan, 0 for the ξ = 2 of critically balanced
        turbulence.  (Wandering field lines alone are :func:`kappa_field_line`.)
    check : bool, optional
        Energies with r_g above l_c are warned of by default; refused if true, taken if False.

    Returns
    -------
    Quantity
        [cm²/s]; 1.418e31 (δ = 1/3) and 5.553e29 (1/2) at 1 TeV in the paper's medium.

    Raises
    ------
    ArgumentError
        If `E` is no positive energy, δ is not from 0 to 1, or out of range where that is checked.
    """
    power = number(delta, "delta", 0.0, 1.0)
    ratio = (gyroradius(E, medium) / medium.l_c).to_value("")
    require_valid(np.asarray(ratio) >= 1, f"E={E}: resonant scattering needs gyroradii below l_c = {medium.l_c}", check)
    return (LIGHT * medium.l_c * ratio**power).to(u.cm**2 / u.s)


def _power_above(k: u.Quantity, spectrum: Callable[..., Any], medium: Medium) -> np.ndarray:
    """Power at wavenumbers from k on, over B²/8π."""
    from scipy.integrate import quad

    energy = (medium.B.to_value(u.G) ** 2 / (8 * np.pi)) * u.erg / u.cm**3

    def per_octave(logarithm: float) -> float:
        wavenumber = np.exp(logarithm) / u.pc
        found = u.Quantity(spectrum(wavenumber))
        if not found.unit.is_equivalent(u.pc):
            found = found / energy
        try:
            return (found * wavenumber).to_value("")
        except u.UnitsError as error:
            raise ArgumentError(
                f"spectrum: {found.unit} is neither an energy density per wavenumber nor a length"
            ) from error

    low = np.log(np.atleast_1d(k.to_value(1 / u.pc)))
    parts = [quad(per_octave, first, first + 60.0, limit=500)[0] for first in low.ravel()]  # 26 decades
    return np.array(parts).reshape(np.shape(k))


def kappa_of_power(E: u.Quantity, power: Numbers, medium: Medium = ICM) -> u.Quantity:
    """Diffusion coefficient of resonant scattering by a share of the power, κ = c r_g / f (Eq. 14).

    Parameters
    ----------
    E : Quantity
    power : float or array
        f, such as :func:`resonant_power` gives.
    medium : Medium

    Returns
    -------
    Quantity
        [cm²/s]

    Raises
    ------
    ArgumentError
        If `E` is no positive energy or f not within 0 and 1.

    Examples
    --------
    >>> import astropy.units as u
    >>> from mmfields import theory
    >>> E = 1 * u.PeV
    >>> (theory.kappa_of_power(E, theory.resonant_power(E)) / theory.kappa_resonant(E)).to_value("").round(12)
    np.float64(1.0)
    """
    return (LIGHT * gyroradius(E, medium) / number(power, "power", 1e-300, 1.0)).to(CM2S)


def kappa_high_energy(E: u.Quantity, medium: Medium = ICM, *, check: bool | None = None) -> u.Quantity:
    """Diffusion coefficient of particles whose gyroradii exceed all scales, κ_he = c r_g² / l_c (Eq. 7 with δ = 2).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    check : bool, optional
        Energies with r_g below l_c are warned of by default; refused if true, taken if False.

    Returns
    -------
    Quantity
        [cm²/s]; 1.201e34 at 1 ZeV in the paper's medium.  Along one axis, of an isotropic field with the one-sided
        l_c, 2/3 of it is exact.

    Raises
    ------
    ArgumentError
        If `E` is no positive energy, or out of range where that is checked.
    """
    radius = gyroradius(E, medium)
    require_valid(radius <= medium.l_c, f"E={E}: the high-energy limit needs gyroradii above l_c = {medium.l_c}", check)
    return (LIGHT * radius**2 / medium.l_c).to(CM2S)


def rate_high_energy(E: u.Quantity, medium: Medium = ICM, *, check: bool | None = None) -> u.Quantity:
    """Scattering rate of particles whose gyroradii exceed all scales, ν_he = c l_c / r_g².

    Parameters
    ----------
    E, medium, check
        As :func:`kappa_high_energy`.

    Returns
    -------
    Quantity
        [1/s]

    Raises
    ------
    ArgumentError
        As :func:`kappa_high_energy`.
    """
    return (LIGHT**2 / kappa_high_energy(E, medium, check=check)).to(1 / u.s)


def _rounded_transition(medium: Medium, delta: float, share: float) -> u.Quantity:
    """Eq. 9 as printed; `share` is [(l_mm/l_c) (δB/B)²]^(1/(2-δ))."""
    scale = medium.Z * (medium.B / (3 * u.uG)).to_value("") * (medium.l_c / (100 * u.kpc)).to_value("")
    power = 1 / (2 - delta)
    printed = {1 / 3: 5 * u.TeV, 1 / 2: 600 * u.GeV}.get(delta)
    if printed is None:
        return 300e6 * u.TeV * scale * share
    return printed * scale * share / (1e-12 / 9) ** power


def kappa_field_line(medium: Medium = ICM) -> u.Quantity:
    """Diffusion coefficient of field-line random walk, κ_flrw = c l_A.

    Returns
    -------
    Quantity
        [cm²/s]; 9.25e31 in the paper's medium.
    """
    required(medium)
    return (LIGHT * medium.l_A).to(u.cm**2 / u.s)


def transition_energy(
    medium: Medium = ICM, *, delta: float = 1 / 3, f_mm: float | None = None, order_of_magnitude: bool = False
) -> u.Quantity:
    """Energy at which micromirrors and resonant scattering are equally strong (Eqs. 8 and 9).

    E_tr = Z e B l_c [(l_mm / l_c) (δB/B)²]^(1/(2-δ)), from κ_mm = κ_res; the prefactor is 277.5 EeV in the paper's
    medium.

    Parameters
    ----------
    medium : Medium
    delta : float
        Of :func:`kappa_resonant`.
    f_mm : float, optional
        Filling fraction of micromirrors: the rates f ν_mm and (1-f) ν_res are equal at [f/(1-f)]^(1/(2-δ)) times that.
    order_of_magnitude : bool
        The paper's rounded forms (Eq. 9): 5 TeV for δ = 1/3, 600 GeV for 1/2, and 300 EeV before the factors otherwise.

    Returns
    -------
    Quantity
        [TeV]; 4.69 for δ = 1/3, 0.641 for 1/2.

    Raises
    ------
    ArgumentError
        If δ is not from 0 to 1 or f_mm not within 0 and 1.
    """
    required(medium)
    power = 1 / (2 - number(delta, "delta", 0.0, 1.0))
    scale = (medium.l_mm / medium.l_c).to_value("") * medium.dB_over_B**2
    if order_of_magnitude:
        energy = _rounded_transition(medium, delta, scale**power)
    else:
        energy = medium.Z * CHARGE * medium.B.to_value(u.G) * medium.l_c.to_value(u.cm) * scale**power * u.erg
    if f_mm is None:
        return energy.to(u.TeV)
    fraction = number(f_mm, "f_mm", 1e-15, 1 - 1e-15)
    return (energy * (fraction / (1 - fraction)) ** power).to(u.TeV)

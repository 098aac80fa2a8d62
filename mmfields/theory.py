"""The closed forms of Reichherzer et al. (2025), one function per equation, in astropy quantities.

Exact prefactors; `order_of_magnitude=True` gives the paper's rounded form where it prints one.  Where the paper's own
numbers do not follow from its formula, the docstring says which one is meant (notes N1 to N8).
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from astropy import constants
from astropy import units as u

from mmfields.conventions import ArgumentError, require_number, require_values

LIGHT = u.Quantity(constants.c.cgs.value, u.cm / u.s)
# Charge and proton mass in Gaussian units, as numbers: astropy's own charge units do not mix with gauss.
_E, _M_P = 4.803204712570263e-10, constants.m_p.cgs.value


def _checked(value: Any, name: str, unit: u.UnitBase, *, positive: bool = True) -> u.Quantity:
    """A quantity in a unit."""
    if not isinstance(value, u.Quantity):
        raise ArgumentError(f"{name}={value!r}: an astropy Quantity in {unit} is needed, such as 1 * u.Unit('{unit}')")
    try:
        found = value.to(unit)
    except u.UnitsError as error:
        raise ArgumentError(f"{name}={value}: a quantity in {unit} is needed ({error})") from error
    if not np.isfinite(found.value).all() or (positive and not (found.value > 0).all()):
        raise ArgumentError(f"{name}={value}: finite{', positive' if positive else ''} numbers are needed")
    return found


def _number(value: Any, name: str, low: float, high: float) -> np.ndarray:
    """A plain number, or an array of them, within limits."""
    try:
        found = np.asarray(u.Quantity(value).to_value(u.dimensionless_unscaled), float)
    except (TypeError, ValueError) as error:  # astropy's unit errors are among them
        raise ArgumentError(f"{name}={value!r}: numbers from {low:g} to {high:g} are needed ({error})") from error
    if not ((found >= low) & (found <= high)).all():
        raise ArgumentError(f"{name}={value!r}: numbers from {low:g} to {high:g} are needed")
    return found


@dataclass(frozen=True)
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
            if field.name in units and _checked(getattr(self, field.name), field.name, units[field.name]).ndim:
                raise ArgumentError(f"{field.name}={getattr(self, field.name)}: one quantity is needed")
        _number(self.dB_over_B, "dB_over_B", 1e-12, 10.0), _number(self.beta, "beta", 1e-6, 1e12)
        if not isinstance(self.Z, int | np.integer) or self.Z < 1:
            raise ArgumentError(f"Z={self.Z!r}: a whole charge number from 1 on is needed")


ICM = Medium()


def _required(medium: Any) -> "Medium":
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
    energy = _checked(E, "E", u.erg)
    _required(medium)
    return (energy.value / (medium.Z * _E * medium.B.to_value(u.G)) * u.cm).to(u.pc)


def thermal_gyroradius(medium: Medium = ICM) -> u.Quantity:
    """Gyroradius r_gi = √(2 T / m_p) / Ω_i of thermal protons.

    Returns
    -------
    Quantity
        [pc]; 1.104 npc in the paper's medium.
    """
    _required(medium)
    speed = np.sqrt(2 * medium.T.to(u.erg) / (_M_P * u.g)).to(u.cm / u.s)
    return (speed / (gyrofrequency(medium) / u.rad)).to(u.pc)


def gyrofrequency(medium: Medium = ICM) -> u.Quantity:
    """Gyrofrequency Ω_i = e B / (m_p c) of protons.

    Returns
    -------
    Quantity
        [rad/s]; 0.02874 in the paper's medium, where its text takes 0.01.
    """
    _required(medium)
    return _E * medium.B.to_value(u.G) / (_M_P * LIGHT.value) * u.rad / u.s


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
    _required(medium)
    if order_of_magnitude:
        return 100 * thermal_gyroradius(medium)
    return float((medium.tau * gyrofrequency(medium) / u.rad).to_value("")) ** 0.125 * thermal_gyroradius(medium)


def deflection_speed(E: u.Quantity, medium: Medium = ICM) -> u.Quantity:
    """Change of velocity in one micromirror, δv = c (l_mm / r_g) (δB/B) (Eq. 1).

    Parameters
    ----------
    E : Quantity
    medium : Medium

    Returns
    -------
    Quantity
        [cm/s], for r_g ≫ l_mm.

    Raises
    ------
    ArgumentError
        If `E` is no positive energy.
    """
    return (LIGHT * deflection_angle(E, medium)).to(u.cm / u.s)


def deflection_angle(E: u.Quantity, medium: Medium = ICM, *, check: bool = False) -> np.ndarray:
    """Deflection in one micromirror, δΘ = (l_mm / r_g) (δB/B) (Eq. 2).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    check : bool
        Refuse energies at which r_g does not exceed l_mm.

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
    if check and (np.asarray(ratio) >= 1).any():
        least = medium.Z * _E * medium.B.to_value(u.G) * medium.l_mm.to_value(u.cm) * u.erg
        raise ArgumentError(
            f"E={E}: the deflections of Eqs. 2 to 6 are small only above {least.to(u.GeV):.3g}, r_g = l_mm"
        )
    return ratio * medium.dB_over_B


def scattering_rate(E: u.Quantity, medium: Medium = ICM, *, check: bool = False) -> u.Quantity:
    """Scattering rate of micromirrors, ν_mm = δΘ² c / l_mm (Eq. 3).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    check : bool
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
    return (2 / 3 if dimensions == 3 else 1.0) * (LIGHT**2 / _checked(nu, "nu", 1 / u.s)).to(u.cm**2 / u.s)


def kappa_micromirror(
    E: u.Quantity, medium: Medium = ICM, *, check: bool = False, order_of_magnitude: bool = False
) -> u.Quantity:
    """Diffusion coefficient of micromirrors, κ_mm = c r_g² / l_mm (δB/B)^-2 (Eq. 5).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    check : bool
        As :func:`deflection_angle`.
    order_of_magnitude : bool
        1e30 cm²/s (E/TeV)² (B/3µG)^-2 (l_mm/100npc)^-1 (3 δB/B)^-2 / Z², the paper's second line.  (Its scaling with τB
        drops a power of 1/8, N1.)

    Returns
    -------
    Quantity
        [cm²/s]; 1.081e30 at 1 TeV in the paper's medium.

    Raises
    ------
    ArgumentError
        As :func:`deflection_angle`.
    """
    _required(medium)
    if order_of_magnitude:
        energy = _checked(E, "E", u.TeV)
        scale = (energy / u.TeV / medium.Z / (medium.B / (3 * u.uG))) ** 2 / (medium.l_mm / (100e-9 * u.pc))
        return 1e30 * scale.to_value("") / (3 * medium.dB_over_B) ** 2 * u.cm**2 / u.s
    return kappa_of_rate(scattering_rate(E, medium, check=check))


def kappa_perpendicular(medium: Medium = ICM) -> u.Quantity:
    """Diffusion coefficient across the field, κ_⊥ = c l_mm (δB/B)² (Eq. 6), at all energies with r_g ≫ l_mm.

    Returns
    -------
    Quantity
        [cm²/s]; 1.028e21 in the paper's medium.
    """
    _required(medium)
    return (LIGHT * medium.l_mm * medium.dB_over_B**2).to(u.cm**2 / u.s)


def firehose_amplitude(medium: Medium = ICM) -> float:
    """Relative amplitude of firehose fluctuations, δB_f/B = (τ Ω_i)^(-1/4).

    Returns
    -------
    float
        1.78e-3 for τΩ_i = 1e11.
    """
    _required(medium)
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
    length = thermal_gyroradius(medium) if scale is None else _checked(scale, "scale", u.pc)
    return float((length / medium.l_mm).to_value("")) * (firehose_amplitude(medium) / medium.dB_over_B) ** 2


def kappa_resonant(E: u.Quantity, medium: Medium = ICM, *, delta: float = 1 / 3, check: bool = False) -> u.Quantity:
    """Diffusion coefficient of resonant scattering by turbulence, κ_res = c l_c (r_g / l_c)^δ (Eqs. 7 and 15).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    delta : float
        1/3 for a Kolmogorov spectrum, 1/2 for Iroshnikov-Kraichnan, 0 for field-line wandering alone.
    check : bool
        Refuse energies with r_g above l_c.

    Returns
    -------
    Quantity
        [cm²/s]; 1.418e31 (δ = 1/3) and 5.553e29 (1/2) at 1 TeV in the paper's medium.

    Raises
    ------
    ArgumentError
        If `E` is no positive energy, δ is not from 0 to 1, or out of range where that is checked.
    """
    power = _number(delta, "delta", 0.0, 1.0)
    ratio = (gyroradius(E, medium) / medium.l_c).to_value("")
    if check and (np.asarray(ratio) >= 1).any():
        raise ArgumentError(f"E={E}: resonant scattering needs gyroradii below l_c = {medium.l_c}")
    return (LIGHT * medium.l_c * ratio**power).to(u.cm**2 / u.s)


def transition_energy(medium: Medium = ICM, *, delta: float = 1 / 3, f_mm: float | None = None) -> u.Quantity:
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

    Returns
    -------
    Quantity
        [TeV]; 4.69 for δ = 1/3, 0.641 for 1/2.

    Raises
    ------
    ArgumentError
        If δ is not from 0 to 1 or f_mm not within 0 and 1.
    """
    _required(medium)
    power = 1 / (2 - _number(delta, "delta", 0.0, 1.0))
    scale = (medium.l_mm / medium.l_c).to_value("") * medium.dB_over_B**2
    energy = medium.Z * _E * medium.B.to_value(u.G) * medium.l_c.to_value(u.cm) * scale**power * u.erg
    if f_mm is None:
        return energy.to(u.TeV)
    fraction = _number(f_mm, "f_mm", 1e-15, 1 - 1e-15)
    return (energy * (fraction / (1 - fraction)) ** power).to(u.TeV)


def effective_rate(nu_mm: u.Quantity, nu_res: u.Quantity, f_mm: float) -> u.Quantity:
    """Scattering rate of a patchy medium, ν_eff = f ν_mm + (1-f) ν_res (Eq. 10).

    Parameters
    ----------
    nu_mm, nu_res : Quantity
        Rates within patches and outside [1/s].
    f_mm : float
        Filling fraction.

    Returns
    -------
    Quantity
        [1/s]; exact along one dimension for layers of any thickness.

    Raises
    ------
    ArgumentError
        If a rate is not positive or the fraction not from 0 to 1.
    """
    fraction = _number(f_mm, "f_mm", 0.0, 1.0)
    return fraction * _checked(nu_mm, "nu_mm", 1 / u.s) + (1 - fraction) * _checked(nu_res, "nu_res", 1 / u.s)


def kappa_effective(kappa_mm: u.Quantity, kappa_res: u.Quantity, f_mm: float) -> u.Quantity:
    """Diffusion coefficient of a patchy medium, 1/κ_eff = f/κ_mm + (1-f)/κ_res (Eq. 11).

    Exact in one dimension, or in three where patches are much smaller than both mean free paths.  Blobs that are
    larger lie within :func:`hashin_shtrikman`, which Eq. 11 does not.

    Parameters
    ----------
    kappa_mm, kappa_res : Quantity
        Within patches and outside [cm²/s].
    f_mm : float
        Filling fraction.

    Returns
    -------
    Quantity
        [cm²/s]

    Raises
    ------
    ArgumentError
        If a coefficient is not positive or the fraction not from 0 to 1.
    """
    fraction, unit = _number(f_mm, "f_mm", 0.0, 1.0), u.cm**2 / u.s
    return 1 / (
        fraction / _checked(kappa_mm, "kappa_mm", unit) + (1 - fraction) / _checked(kappa_res, "kappa_res", unit)
    )


def hashin_shtrikman(kappa_mm: u.Quantity, kappa_res: u.Quantity, f_mm: float) -> tuple[u.Quantity, u.Quantity]:
    """Bounds of κ for isotropic blobs in three dimensions, much larger than the mean free path.

    (Hashin & Shtrikman 1962.)  Not in the paper, whose Eq. 11 lies below the lower one.

    Parameters
    ----------
    kappa_mm, kappa_res, f_mm
        As :func:`kappa_effective`.

    Returns
    -------
    lower, upper : Quantity
        [cm²/s]; the upper one is that of separate patches in a connected rest.

    Raises
    ------
    ArgumentError
        As :func:`kappa_effective`.
    """
    fraction, unit = _number(f_mm, "f_mm", 0.0, 1.0), u.cm**2 / u.s
    inside, outside = _checked(kappa_mm, "kappa_mm", unit), _checked(kappa_res, "kappa_res", unit)

    def bound(host: u.Quantity, other: u.Quantity, share: np.ndarray) -> u.Quantity:
        contrast = (other - host) / (other + 2 * host)
        return host * (1 + 2 * share * contrast) / (1 - share * contrast)

    a, b = bound(inside, outside, 1 - fraction), bound(outside, inside, fraction)
    return np.minimum(a, b), np.maximum(a, b)


def mode_amplitudes(k: u.Quantity | np.ndarray, spectrum: Any = 5 / 3) -> np.ndarray:
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


def scattering_angle(nu: u.Quantity, step: u.Quantity) -> np.ndarray:
    """Standard deviation √(ν s / c) of the polar deflection in a step (Eq. 13); its ⟨cos⟩ is exp(-ν s / 2c).

    Parameters
    ----------
    nu : Quantity
        [1/s]
    step : Quantity
        Length s.

    Returns
    -------
    float array
        [rad]

    Raises
    ------
    ArgumentError
        If a quantity is not positive.
    """
    return np.sqrt((_checked(nu, "nu", 1 / u.s) * _checked(step, "step", u.cm) / LIGHT).to_value(""))


def resonant_power(E: u.Quantity, medium: Medium = ICM, *, slope: float = 5 / 3) -> np.ndarray:
    """Share of turbulent power that resonates with a particle, (r_g / l_c)^(ξ-1) for P(k_∥) ∝ k_∥^-ξ (Eq. 14).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    slope : float
        ξ, from 1 to 3.

    Returns
    -------
    float array

    Raises
    ------
    ArgumentError
        If `E` is no positive energy or ξ out of range.
    """
    return (gyroradius(E, medium) / medium.l_c).to_value("") ** (_number(slope, "slope", 1.0, 3.0) - 1)


def streaming_growth_rate(E: u.Quantity, medium: Medium = ICM, *, order_of_magnitude: bool = False) -> u.Quantity:
    """Growth rate of the streaming instability, γ_SI = 1e-7 Ω_i (E/GeV)^-1.6 (Eq. 16).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    order_of_magnitude : bool
        With the paper's rounded Ω_i = 0.01/s: 1.58e-14/s at 1 TeV instead of 4.55e-14.

    Returns
    -------
    Quantity
        [1/s]

    Raises
    ------
    ArgumentError
        If `E` is no positive energy.
    """
    rate = 0.01 / u.s if order_of_magnitude else gyrofrequency(medium) / u.rad
    return 1e-7 * rate * _checked(E, "E", u.GeV).value ** -1.6


def streaming_ratio(E: u.Quantity, medium: Medium = ICM, *, order_of_magnitude: bool = False) -> np.ndarray:
    """Growth rate of the streaming instability over the scattering rate of micromirrors, γ_SI / ν_mm ∝ E^0.4 (Eq. 17).

    Parameters
    ----------
    E, medium, order_of_magnitude
        As :func:`streaming_growth_rate`.

    Returns
    -------
    float array
        5.5e-5 at 1 TeV in the paper's medium, 1.9e-5 with its rounded Ω_i.

    Raises
    ------
    ArgumentError
        If `E` is no positive energy.
    """
    growth = streaming_growth_rate(E, medium, order_of_magnitude=order_of_magnitude)
    return (growth / scattering_rate(E, medium)).to_value("")


def kappa_streaming(medium: Medium = ICM) -> u.Quantity:
    """Least diffusion coefficient of self-confinement, κ_st = v_A l_A (Eq. 18).

    Returns
    -------
    Quantity
        [cm²/s]; 3.086e28 in the paper's medium.
    """
    _required(medium)
    return (medium.v_A * medium.l_A).to(u.cm**2 / u.s)


def kappa_field_line(medium: Medium = ICM) -> u.Quantity:
    """Diffusion coefficient of field-line random walk, κ_flrw = c l_A.

    Returns
    -------
    Quantity
        [cm²/s]; 9.25e31 in the paper's medium.
    """
    _required(medium)
    return (LIGHT * medium.l_A).to(u.cm**2 / u.s)


def micromirror_streaming_ratio(E: u.Quantity, medium: Medium = ICM) -> np.ndarray:
    """κ_mm / κ_st ∝ E² (Eq. 19).

    Parameters
    ----------
    E : Quantity
    medium : Medium

    Returns
    -------
    float array
        0.350 at 100 GeV and 1 at 169 GeV in the paper's medium, where its text says "up to almost TeV" (N7).

    Raises
    ------
    ArgumentError
        If `E` is no positive energy.
    """
    return (kappa_micromirror(E, medium) / kappa_streaming(medium)).to_value("")


def escape_speed(E: u.Quantity, height: u.Quantity, medium: Medium = ICM) -> u.Quantity:
    """Speed κ_mm / H at which particles diffuse out of a region (Sec. 3.5).

    Parameters
    ----------
    E : Quantity
    height : Quantity
        H
    medium : Medium

    Returns
    -------
    Quantity
        [km/s]; 350 for 1 TeV and 10 kpc, below v_A = 100 km/s up to 534 GeV.

    Raises
    ------
    ArgumentError
        If a quantity is not positive.
    """
    return (kappa_micromirror(E, medium) / _checked(height, "height", u.cm)).to(u.km / u.s)


def running_kappa(time: u.Quantity, kappa: u.Quantity, *, rate: u.Quantity) -> u.Quantity:
    """Running diffusion coefficient κ(t) = ⟨Δx²⟩/2t = κ∞ [1 - (1 - e^(-ν₁t)) / ν₁t] (the exact form of Eq. 20).

    Eq. 20 itself multiplies the net ⟨Δr²⟩ by (1+α)/(1-α), which belongs to the variance of steps (N5).

    Parameters
    ----------
    time : Quantity
    kappa : Quantity
        κ∞ [cm²/s]
    rate : Quantity
        ν₁, by which ⟨cos Θ⟩ decays [1/s]: c²/(d κ∞) in d dimensions.

    Returns
    -------
    Quantity
        [cm²/s]

    Raises
    ------
    ArgumentError
        If a quantity is not positive.
    """
    x = (_checked(rate, "rate", 1 / u.s) * _checked(time, "time", u.s)).to_value("")
    small = np.minimum(x, 1e-3)  # where the difference would cancel, its series
    share = np.where(x < 1e-3, small / 2 - small**2 / 6 + small**3 / 24, 1 + np.expm1(-x) / x)
    return _checked(kappa, "kappa", u.cm**2 / u.s) * share


def residence_path(*, volume: u.Quantity, surface: u.Quantity) -> u.Quantity:
    """Mean path through a patch, 4 V / S, for isotropic incidence whatever the scattering within (confirms Eq. 21).

    Parameters
    ----------
    volume, surface : Quantity

    Returns
    -------
    Quantity
        [pc]; 4R/3 of a sphere, 2L of a slab between planes at distance L.

    Raises
    ------
    ArgumentError
        If a quantity is not positive.
    """
    return (4 * _checked(volume, "volume", u.pc**3) / _checked(surface, "surface", u.pc**2)).to(u.pc)


def residence_time(path: u.Quantity) -> u.Quantity:
    """Mean time in a layer of a one-dimensional medium, l_p / c, whatever the scattering within (Eqs. 21 and 22).

    Parameters
    ----------
    path : Quantity
        Thickness l_p.

    Returns
    -------
    Quantity
        [s]

    Raises
    ------
    ArgumentError
        If it is no positive length.
    """
    return (_checked(path, "path", u.cm) / LIGHT).to(u.s)


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
    ratio = (_checked(time, "time", u.s, positive=False) / _checked(tau, "tau", u.s)).to_value("")
    if (ratio <= -1).any():
        raise ArgumentError(f"time={time}: it is before -tau, when the box was infinite")
    power = _number(exponent, "exponent", 0.1, 10.0)
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
    _checked(tau, "tau", u.s)
    return tau * float(
        (1 + _number(threshold, "threshold", 1e-12, 1e3)) ** (1 / _number(exponent, "exponent", 0.1, 10)) - 1
    )

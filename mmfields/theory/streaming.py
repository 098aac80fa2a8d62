"""The streaming instability beside micromirrors (Eqs. 16 to 19)."""

import numpy as np
from astropy import units as u

from mmfields.theory._values import checked, number
from mmfields.theory.medium import ICM, Medium, gyrofrequency, required
from mmfields.theory.micromirrors import kappa_micromirror, scattering_rate

# Of the streaming instability over micromirrors at 1 TeV, with Ω_i = 0.01/s and the paper's medium: 1e-9 1e3^-1.6 over
# the rate of Eq. 3.
ROUNDED_RATIO = 1e-9 * 1e3**-1.6 / float(scattering_rate(1 * u.TeV, ICM).value)


def streaming_growth_rate(
    E: u.Quantity,
    medium: Medium = ICM,
    *,
    density_ratio: float = 1e-7,
    alpha: float = 2.6,
    drift: float = 1.0,
    order_of_magnitude: bool = False,
) -> u.Quantity:
    """Growth rate of the streaming instability, γ_SI = Ω_i n_CR(>E)/n_i (v_st/v_A - 1) (Eq. 16).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    density_ratio : float
        n_CR/n_i above 1 GeV.
    alpha : float
        Slope of the energy spectrum: n_CR(>E) ∝ (E/GeV)^(1-α).
    drift : float
        v_st/v_A - 1.
    order_of_magnitude : bool
        Of the paper's scaling 1e-14/s (B/3µG) (E/TeV)^-1.6, whose prefactor is 1.58 with its Ω_i = 0.01/s at 3 µG; the
        three parameters above have no part in it.  The exact value at 1 TeV is 4.55e-14.

    Returns
    -------
    Quantity
        [1/s]

    Raises
    ------
    ArgumentError
        If `E` is no positive energy, or a number is out of range.
    """
    required(medium)
    energy = checked(E, "E", u.GeV).value
    if order_of_magnitude:
        return 1e-9 / u.s * (medium.B / (3 * u.uG)).to_value("") * energy**-1.6
    share = number(density_ratio, "density_ratio", 0.0, 1.0) * energy ** (1 - number(alpha, "alpha", 1.0, 6.0))
    return gyrofrequency(medium) / u.rad * share * number(drift, "drift", 0.0, 1e6)


def streaming_ratio(E: u.Quantity, medium: Medium = ICM, *, order_of_magnitude: bool = False) -> np.ndarray:
    """Growth rate of the streaming instability over the scattering rate of micromirrors, γ_SI / ν_mm ∝ E^0.4 (Eq. 17).

    Parameters
    ----------
    E : Quantity
    medium : Medium
    order_of_magnitude : bool
        Of the paper's scaling 1e-5 Z^-2 (T/5keV)^-1/2 (3 δB/B)^-2 (E/TeV)^0.4, with the prefactor 1.9 of its rounded
        Ω_i.  It holds no B, since l_mm is taken for a multiple of r_gi, from which the temperature comes too.

    Returns
    -------
    float array
        5.5e-5 at 1 TeV in the paper's medium, 1.9e-5 rounded.

    Raises
    ------
    ArgumentError
        If `E` is no positive energy.
    """
    if order_of_magnitude:
        required(medium)
        energy, heat = checked(E, "E", u.TeV).value, (medium.T / (5 * u.keV)).to_value("")
        return ROUNDED_RATIO / medium.Z**2 / np.sqrt(heat) / (3 * medium.dB_over_B) ** 2 * energy**0.4
    return (streaming_growth_rate(E, medium) / scattering_rate(E, medium)).to_value("")


def kappa_streaming(medium: Medium = ICM) -> u.Quantity:
    """Least diffusion coefficient of self-confinement, κ_st = v_A l_A (Eq. 18).

    Returns
    -------
    Quantity
        [cm²/s]; 3.086e28 in the paper's medium.
    """
    required(medium)
    return (medium.v_A * medium.l_A).to(u.cm**2 / u.s)


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
    return (kappa_micromirror(E, medium) / checked(height, "height", u.cm)).to(u.km / u.s)

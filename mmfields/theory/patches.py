"""Micromirrors in patches (Eqs. 10, 11, 21 and 22)."""

from typing import Any

import numpy as np
from astropy import units as u

from mmfields._renamed import renamed
from mmfields.errors import ArgumentError
from mmfields.theory._values import checked, number
from mmfields.theory.medium import LIGHT


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
    fraction = number(f_mm, "f_mm", 0.0, 1.0)
    return fraction * checked(nu_mm, "nu_mm", 1 / u.s) + (1 - fraction) * checked(nu_res, "nu_res", 1 / u.s)


def kappa_effective(kappa_mm: u.Quantity, kappa_res: u.Quantity, f_mm: float) -> u.Quantity:
    """Diffusion coefficient of a patchy medium, 1/κ_eff = f/κ_mm + (1-f)/κ_res (Eq. 11).

    Exact in one dimension for layers much thicker than the mean free paths, and for any layers and small patches if
    both rates depend on the pitch angle alike.  By quasi-linear theory micromirrors and resonant scattering do not: for
    patches much smaller than both free paths it is an upper bound, and :func:`kappa_of_both` of κ_mm/f and κ_res/(1-f)
    holds.  Blobs that are larger lie within :func:`hashin_shtrikman`, which Eq. 11 does not.

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
    fraction, unit = number(f_mm, "f_mm", 0.0, 1.0), u.cm**2 / u.s
    return 1 / (fraction / checked(kappa_mm, "kappa_mm", unit) + (1 - fraction) / checked(kappa_res, "kappa_res", unit))


def kappa_of_both(kappa_mm: u.Quantity, kappa_res: u.Quantity, *, delta: float = 1 / 3) -> u.Quantity:
    """κ∥ where micromirrors and resonant scattering act at once, so that their rates add at each pitch angle.

    κ∥ = (v²/8) ∫ (1-μ²)² / D_μμ dμ of D_μμ = (1-μ²) (a + b |μ|^(1-δ)): micromirrors scatter at one rate, and resonant
    scattering (Jokipii 1966) fades towards a pitch angle of 90 degrees, where micromirrors carry particles through.
    Less than 1/(1/κ_mm + 1/κ_res), down to 0.77 of it for δ = 1/3.  Not in the paper, which adds 1/κ (Eq. 11).

    Parameters
    ----------
    kappa_mm, kappa_res : Quantity
        What each gives alone [cm²/s].  Where one acts in a part f of the path only, κ/f.
    delta : float, keyword-only
        κ_res goes as E^δ: 2-q for a spectrum k^-q.

    Returns
    -------
    Quantity
        [cm²/s]

    Raises
    ------
    ArgumentError
        If a coefficient is not positive, or δ not above 0 and at most 1.

    Examples
    --------
    >>> import mmfields as mm
    >>> from astropy import units as u
    >>> one = 1e30 * u.cm**2 / u.s
    >>> f"{mm.theory.kappa_of_both(one, one):.3g}"
    '3.9e+29 cm2 / s'
    """
    from scipy.integrate import quad_vec

    unit = u.cm**2 / u.s
    mirrors, resonant = checked(kappa_mm, "kappa_mm", unit), checked(kappa_res, "kappa_res", unit)
    exponent = number(delta, "delta", 0.0, 1.0)
    if exponent.ndim or exponent == 0:
        raise ArgumentError(f"delta={delta!r}: one number above 0 is needed, since with 0 nothing passes 90 degrees")
    # rates over that of micromirrors: 2/3 of theirs, and the rest weighted with |μ|^(1-δ)
    rate = (2 / (exponent * (2 + exponent)) * mirrors / resonant).to_value(u.dimensionless_unscaled)
    power = (1 - exponent) / exponent

    def integrand(s: float) -> np.ndarray:  # in s = μ^δ, where it is smooth without micromirrors too
        return (1 + rate) * s**power * (1 - s ** (2 / exponent)) / (exponent * (2 / 3 + rate * s**power))

    return mirrors * quad_vec(integrand, 0, 1, epsrel=1e-10)[0] / (1 + rate)


def hashin_shtrikman(kappa_mm: u.Quantity, kappa_res: u.Quantity, f_mm: float) -> tuple[u.Quantity, u.Quantity]:
    """Bounds of κ for isotropic blobs in three dimensions, much larger than the mean free path.

    (Hashin & Shtrikman 1962.)  They are for rays without gyration: particles that follow field lines do not walk
    around patches, and may lie below.  Not in the paper, whose Eq. 11 lies below the lower one.

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
    fraction, unit = number(f_mm, "f_mm", 0.0, 1.0), u.cm**2 / u.s
    inside, outside = checked(kappa_mm, "kappa_mm", unit), checked(kappa_res, "kappa_res", unit)

    def bound(host: u.Quantity, other: u.Quantity, share: np.ndarray) -> u.Quantity:
        contrast = (other - host) / (other + 2 * host)
        return host * (1 + 2 * share * contrast) / (1 - share * contrast)

    a, b = bound(inside, outside, 1 - fraction), bound(outside, inside, fraction)
    return np.minimum(a, b), np.maximum(a, b)


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
    return (4 * checked(volume, "volume", u.pc**3) / checked(surface, "surface", u.pc**2)).to(u.pc)


@renamed(path="path_length")
def residence_time(path_length: u.Quantity) -> u.Quantity:
    """Mean time in a layer of a one-dimensional medium, l_p / c, whatever the scattering within (Eqs. 21 and 22).

    Parameters
    ----------
    path_length : Quantity
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
    return (checked(path_length, "path_length", u.cm) / LIGHT).to(u.s)


@renamed(path="path_length")
def patch_times(path_length: u.Quantity, *, mean_free_path: u.Quantity) -> dict[str, Any]:
    """Mean time in a layer of micromirrors in its parts, Δt = p₁ Δt₁ + p₂ Δt₂ (Eq. 22).

    A particle turns back within a mean free path λ of where it enters, or, with a chance of λ/l, goes through.

    Parameters
    ----------
    path_length : Quantity
        Thickness l of the layer.
    mean_free_path : Quantity
        λ = κ/c, below l.

    Returns
    -------
    dict
        Chances ``p_back`` = (l-λ)/l and ``p_through`` = λ/l; times ``back`` = λ²/κ and ``through`` = (l-λ)²/κ [s];
        ``diffusive`` = (l-λ)/c, the sum of their products; ``ballistic`` = λ/c; ``total`` = l/c, which is
        :func:`residence_time`.

    Raises
    ------
    ArgumentError
        If a length is not positive, or the free path not below the thickness.

    Examples
    --------
    >>> import astropy.units as u
    >>> from mmfields import theory
    >>> times = theory.patch_times(10 * u.pc, mean_free_path=1 * u.pc)
    >>> (times["total"] / theory.residence_time(10 * u.pc)).to_value("").round(12)
    np.float64(1.0)
    """
    length, free = checked(path_length, "path_length", u.cm), checked(mean_free_path, "mean_free_path", u.cm)
    if (free >= length).any():
        raise ArgumentError(f"mean_free_path={mean_free_path}: it is to be below the thickness {path_length}")
    kappa = free * LIGHT
    chances = {"p_back": ((length - free) / length).to_value(""), "p_through": (free / length).to_value("")}
    times = {"back": (free**2 / kappa).to(u.s), "through": ((length - free) ** 2 / kappa).to(u.s)}
    diffusive = chances["p_back"] * times["back"] + chances["p_through"] * times["through"]
    ballistic = (free / LIGHT).to(u.s)
    return {**chances, **times, "diffusive": diffusive, "ballistic": ballistic, "total": diffusive + ballistic}

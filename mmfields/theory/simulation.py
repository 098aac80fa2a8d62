"""What a simulation takes and gives: angles of steps, rules for steps and distances, running coefficients."""

from typing import Any

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike

from mmfields._renamed import renamed
from mmfields.errors import ArgumentError
from mmfields.theory._values import checked, number
from mmfields.theory.medium import CM2S, ICM, LIGHT, Medium, gyroradius
from mmfields.theory.micromirrors import kappa_micromirror
from mmfields.theory.turbulence import kappa_high_energy, kappa_resonant


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
    return np.sqrt((checked(nu, "nu", 1 / u.s) * checked(step, "step", u.cm) / LIGHT).to_value(""))


@renamed(rate="nu")
def running_kappa(time: u.Quantity, kappa: u.Quantity, *, nu: u.Quantity) -> u.Quantity:
    """Running diffusion coefficient κ(t) = ⟨Δx²⟩/2t = κ∞ [1 - (1 - e^(-ν₁t)) / ν₁t] (the exact form of Eq. 20).

    Eq. 20 itself multiplies the net ⟨Δr²⟩ by (1+α)/(1-α), which belongs to the variance of steps (N5).

    Parameters
    ----------
    time : Quantity
    kappa : Quantity
        κ∞ [cm²/s]
    nu : Quantity
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
    x = (checked(nu, "nu", 1 / u.s) * checked(time, "time", u.s)).to_value("")
    small = np.minimum(x, 1e-3)  # where the difference would cancel, its series
    share = np.where(x < 1e-3, small / 2 - small**2 / 6 + small**3 / 24, 1 + np.expm1(-x) / x)
    return checked(kappa, "kappa", u.cm**2 / u.s) * share


def kappa_of_walk(
    step: u.Quantity, cosine: ArrayLike, count: ArrayLike, *, dimensions: int = 1, printed: bool = False
) -> u.Quantity:
    """Diffusion coefficient ⟨Δr²⟩/2t of a walk whose steps remember the last direction (Eq. 20).

    Exact is ⟨Δr²⟩ = N s² [(1+α)/(1-α) - 2 α (1-α^N) / (N (1-α)²)] with α = ⟨cos Θ⟩.

    Parameters
    ----------
    step : Quantity
        Length s of a step at the speed of light.
    cosine : float or array
        α of two successive steps, from -1 to below 1.
    count : int or array
        Steps N.
    dimensions : int
        ⟨Δr²⟩/2dt: 1 is the paper's κ, 3 that of one axis of an isotropic walk.
    printed : bool
        Eq. 20 as it is printed, taken for the net displacement: ⟨Δr²⟩/2t (1 + 2α/(1-α)), in which the memory of
        directions counts twice (N5).

    Returns
    -------
    Quantity
        [cm²/s]

    Raises
    ------
    ArgumentError
        If the step is no positive length, or a number is out of range.

    Examples
    --------
    >>> import astropy.units as u
    >>> from mmfields import theory
    >>> far = theory.kappa_of_walk(1 * u.pc, 0.5, 10**9)
    >>> (far / (theory.LIGHT * u.pc * 1.5)).to_value("").round(6)  # s c / 2 (1+α)/(1-α)
    np.float64(1.0)
    """
    if dimensions not in (1, 2, 3):
        raise ArgumentError(f"dimensions={dimensions!r}: 1, 2 or 3 is needed")
    length = checked(step, "step", u.cm)
    a, n = number(cosine, "cosine", -1.0, 1.0 - 1e-12), number(count, "count", 1.0, 1e18)
    memory = (1 + a) / (1 - a)
    square = memory - 2 * a * (1 - a**n) / (n * (1 - a) ** 2)  # over N s²
    return (length * LIGHT / (2 * dimensions) * square * (memory if printed else 1.0)).to(CM2S)


def simulation_rules(E: u.Quantity, medium: Medium = ICM, *, delta: float = 1 / 3) -> dict[str, Any]:
    """Step and distance that the paper takes for an energy, and whether they resolve gyration (Sec. 3.7).

    Steps are a thousandth of the least mean free path κ/c, of micromirrors, resonant scattering and, above 10 EeV,
    the high-energy limit.  Distances are the least of a thousand such paths and l_max = 5 l_c, above 10 EeV the
    larger of these.

    Parameters
    ----------
    E : Quantity
        One energy.
    medium : Medium
    delta : float
        Of :func:`kappa_resonant`.

    Returns
    -------
    dict
        ``step`` and ``distance`` [pc]; ``gyroradii``, the step in gyroradii; ``resolves_gyration``, whether that is a
        fifth or less.  In the paper's medium a step is a gyroradius at 31 GeV, 32 at 1 TeV, and below one again above
        9 PeV.

    Raises
    ------
    ArgumentError
        If `E` is not one positive energy, or δ out of range.

    Examples
    --------
    >>> import astropy.units as u
    >>> from mmfields import theory
    >>> rules = theory.simulation_rules(1 * u.TeV)
    >>> round(rules["gyroradii"]), rules["resolves_gyration"]
    (32, False)
    """
    if checked(E, "E", u.erg).ndim:
        raise ArgumentError(f"E={E}: one energy is needed")
    kappas = [kappa_micromirror(E, medium, check=False), kappa_resonant(E, medium, delta=delta, check=False)]
    longest = 5 * medium.l_c
    if 10 * u.EeV < E:
        free = (kappa_high_energy(E, medium, check=False) / LIGHT).to(u.pc)
        step, distance = min((min(kappas) / LIGHT).to(u.pc), free) / 1e3, max(1e3 * free, longest.to(u.pc))
    else:
        free = (min(kappas) / LIGHT).to(u.pc)
        step, distance = free / 1e3, min(1e3 * free, longest.to(u.pc))
    turns = float((step / gyroradius(E, medium)).to_value(""))
    return {"step": step, "distance": distance, "gyroradii": turns, "resolves_gyration": turns <= 0.2}

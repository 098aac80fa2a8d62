"""Shapes of energy spectra, and the scales that follow from them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mmfields.conventions import ArgumentError, require_number

# From wavenumbers [rad per length unit] to E(k), in any unit: rms and limits of k are given beside it.
Shape = Callable[[np.ndarray], np.ndarray]
CONVENTIONS = {"one-sided": 1.0, "two-sided": 2.0}


@dataclass(frozen=True)
class PowerLaw:
    """E(k) ∝ k^-slope."""

    slope: float

    def __call__(self, k: np.ndarray) -> np.ndarray:
        return k ** np.asarray(k).dtype.type(-self.slope)


@dataclass(frozen=True)
class BendOver:
    """See :func:`bend_over`."""

    scale: float
    slope: float
    low: float

    def __call__(self, k: np.ndarray) -> np.ndarray:
        x = k * self.scale
        return x**self.low / (1 + x * x) ** ((self.slope + self.low) / 2)


def bend_over(scale: float, *, slope: float = 5 / 3, low: float = 4.0) -> BendOver:
    """Spectrum that bends over: E(k) ∝ (k l)^q / (1 + k² l²)^((s+q)/2).

    Parameters
    ----------
    scale : float
        Bend-over scale l, in the length unit.
    slope : float
        s: E ∝ k^-s well above 1/l.
    low : float
        q: E ∝ k^q well below.

    Returns
    -------
    callable
        From wavenumbers to E(k), for ``spectrum=``.

    Raises
    ------
    ArgumentError
        If the scale is not positive or a number is not finite.
    """
    if require_number(scale, "scale") <= 0:
        raise ArgumentError(f"scale={scale!r}: a positive length is needed")
    return BendOver(float(scale), require_number(slope, "slope"), require_number(low, "low"))


def shape_of(spectrum: Any) -> Shape:
    """A spectrum as a function: a number is the slope of a power law.

    Raises
    ------
    ArgumentError
        If it is neither a number nor a function.
    """
    if callable(spectrum):
        return spectrum
    if require_number(spectrum, "spectrum") < 0:
        raise ArgumentError(
            f"spectrum={spectrum:g}: a number is the slope s of E ∝ k^-s, give {-spectrum:.3g}; a rising spectrum is a "
            "function, lambda k: k**2"
        )
    return PowerLaw(float(spectrum))


def numbers_of(shape: Shape, k: np.ndarray, name: str = "spectrum") -> np.ndarray:
    """E at wavenumbers.

    Raises
    ------
    ArgumentError
        If it is negative or not finite.
    """
    try:
        found = np.asarray(shape(k))
        values = np.broadcast_to(found.astype(float, casting="safe"), np.shape(k))
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise ArgumentError(f"{name}={shape!r} gives no numbers for an array of wavenumbers ({error})") from error
    if not np.isfinite(values).all() or (values < 0).any():
        raise ArgumentError(f"{name}={shape!r} is negative or not finite from k={k.min():g} to {k.max():g}")
    return values


def values_of(shape: Shape, k: np.ndarray, name: str = "spectrum") -> np.ndarray:
    """E at wavenumbers, as :func:`numbers_of`.

    Raises
    ------
    ArgumentError
        If it is negative, not finite, or 0 everywhere.
    """
    values = numbers_of(shape, k, name)
    if not values.any():
        raise ArgumentError(f"{name}={shape!r} is 0 everywhere from k={k.min():g} to {k.max():g}")
    return values


def require_convention(convention: Any) -> float:
    """Factor of a convention of correlation lengths.

    Raises
    ------
    ArgumentError
        If there is no such one.
    """
    if not isinstance(convention, str) or convention not in CONVENTIONS:
        raise ArgumentError(f"convention={convention!r}: one of {', '.join(CONVENTIONS)} is needed")
    return CONVENTIONS[convention]


def require_limits(k_min: Any, k_max: Any) -> tuple[float, float]:
    """Two ascending, positive wavenumbers.

    Raises
    ------
    ArgumentError
        If they are not.
    """
    low, high = require_number(k_min, "k_min"), require_number(k_max, "k_max")
    if not 0 < low < high:
        raise ArgumentError(f"k_min={k_min!r}, k_max={k_max!r}: two ascending, positive wavenumbers are needed")
    return low, high


def integral(shape: Shape, k_min: float, k_max: float, power: float = 0.0) -> float:
    """∫ E k^power dk, by Gauss-Legendre nodes in every eighth of an octave."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    edges = np.linspace(np.log(k_min), np.log(k_max), 1 + int(np.ceil(8 * np.log2(k_max / k_min))))
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    k = np.exp(middle[:, None] + half[:, None] * nodes)
    return float((numbers_of(shape, k) * k ** (1 + power) * weights * half[:, None]).sum())


def correlation_length(
    spectrum: float | Shape, *, k_min: float, k_max: float, convention: Literal["one-sided", "two-sided"] = "one-sided"
) -> float:
    """Correlation length of isotropic turbulence with a spectrum, averaged over all realizations.

    Parameters
    ----------
    spectrum : float or callable
        Slope s of E(k) ∝ k^-s, or E(k); see :func:`bend_over`.
    k_min, k_max : float
        [rad per length unit]
    convention : {"one-sided", "two-sided"}
        ∫₀^∞ ⟨B(0)·B(r)⟩ dr / ⟨B²⟩ = (π/2) ∫E/k dk / ∫E dk, the one of the small-angle law λ = 2 r_g²/l_c; or twice
        that, which counts both directions (Harari et al. 2002: L_max/5 for Kolmogorov turbulence).

    Returns
    -------
    float
        In the length unit.

    Raises
    ------
    ArgumentError
        If a number or the convention is unusable.
    """
    factor = require_convention(convention)
    low, high = require_limits(k_min, k_max)
    shape = shape_of(spectrum)
    whole = integral(shape, low, high)
    if not whole > 0:
        raise ArgumentError(f"spectrum={spectrum!r} is 0 everywhere from k={low:g} to {high:g}")
    return factor * np.pi / 2 * integral(shape, low, high, -1.0) / whole

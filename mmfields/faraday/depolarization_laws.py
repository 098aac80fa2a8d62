"""Closed laws of depolarization."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mmfields._types import Numbers
from mmfields.conventions import ArgumentError, require_number
from mmfields.faraday.observing import plain_numbers, wavelengths_of
from mmfields.faraday.units import require_angle


def burn_slab(wavelength_sq: Numbers, depth: float, *, p0: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """P of a uniform slab that rotates and emits: p0 e^{2iχ0} e^{iRλ²} sin(Rλ²)/(Rλ²) (Burn 1966).

    Parameters
    ----------
    wavelength_sq : array
        λ² [m²]; or an astropy Quantity, or a DataArray with units, of λ² or of frequencies.
    depth : float
        R, the depth of the whole slab [rad/m²]; the mean slope of the angle is R/2.
    p0, angle : float
        Intrinsic degree and angle [rad].

    Returns
    -------
    complex array

    Raises
    ------
    ArgumentError, SnapshotError
        If a number has a unit or is out of its limits.
    """
    wave, depth, p0, angle, _ = _checked(wavelength_sq, depth, 0.0, p0, angle)
    return _burn(wave, depth, p0=p0, angle=angle)


def _burn(wave: np.ndarray, depth: float, *, p0: float = 1.0, angle: float = 0.0) -> np.ndarray:
    x = depth * wave
    return p0 * np.exp(2j * angle + 1j * x) * np.sinc(x / np.pi)


def external_dispersion(
    wavelength_sq: Numbers, depth: float, sigma: float, *, p0: float = 1.0, angle: float = 0.0
) -> np.ndarray:
    """P behind a turbulent screen: p0 e^{2iχ0} e^{2iRMλ² - 2σ²λ⁴}.

    Parameters
    ----------
    wavelength_sq : array
        λ² [m²]; or an astropy Quantity, or a DataArray with units, of λ² or of frequencies.
    depth, sigma : float
        Mean and scatter of the screen's rotation measure [rad/m²].
    p0, angle : float
        Intrinsic degree and angle [rad].

    Returns
    -------
    complex array

    Raises
    ------
    ArgumentError, SnapshotError
        If a number has a unit or is out of its limits.
    """
    wave, depth, p0, angle, sigma = _checked(wavelength_sq, depth, sigma, p0, angle)
    return _external(wave, depth, sigma, p0=p0, angle=angle)


def _external(wave: np.ndarray, depth: float, sigma: float, *, p0: float = 1.0, angle: float = 0.0) -> np.ndarray:
    return p0 * np.exp(2j * angle + 2j * depth * wave - 2 * sigma**2 * wave**2)


def internal_dispersion(
    wavelength_sq: Numbers, depth: float, sigma: float, *, p0: float = 1.0, angle: float = 0.0
) -> np.ndarray:
    """P of a turbulent slab that rotates and emits: p0 e^{2iχ0} (1 - e^{-S})/S, S = 2σ²λ⁴ - 2iRλ² (Sokoloff 1998).

    Parameters
    ----------
    wavelength_sq : array
        λ² [m²]; or an astropy Quantity, or a DataArray with units, of λ² or of frequencies.
    depth, sigma : float
        Depth of the whole slab, and its scatter [rad/m²]; without scatter this is :func:`burn_slab`.
    p0, angle : float
        Intrinsic degree and angle [rad].

    Returns
    -------
    complex array

    Raises
    ------
    ArgumentError, SnapshotError
        If a number has a unit or is out of its limits.
    """
    wave, depth, p0, angle, sigma = _checked(wavelength_sq, depth, sigma, p0, angle)
    return _internal(wave, depth, sigma, p0=p0, angle=angle)


def _internal(wave: np.ndarray, depth: float, sigma: float, *, p0: float = 1.0, angle: float = 0.0) -> np.ndarray:
    s = 2 * sigma**2 * wave**2 - 2j * depth * wave
    small = abs(s) < 1e-6
    safe = np.where(small, 1.0, s)
    return p0 * np.exp(2j * angle) * np.where(small, 1 - s / 2, -np.expm1(-safe) / safe)


def _checked(
    wavelength_sq: Any, depth: Any, sigma: Any, p0: Any, angle: Any
) -> tuple[np.ndarray, float, float, float, float]:
    """Wavelengths squared, R or RM, p0, angle and scatter, as plain numbers within their limits."""
    wave = wavelengths_of(wavelength_sq)
    depth, sigma = (_one(value, name) for value, name in ((depth, "depth"), (sigma, "sigma")))
    if sigma < 0:
        raise ArgumentError(f"sigma={sigma:g}: a scatter from 0 on is needed")
    return wave, depth, require_number(p0, "p0", 0.0, 1.0), require_angle(angle), sigma


def _one(value: Any, name: str) -> float:
    number = plain_numbers(value, name, "rad/m2")
    if number.ndim:
        raise ArgumentError(f"{name} has the shape {number.shape}: one number in rad/m2 is needed")
    return float(number)


LAWS: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = {
    "burn": (_burn, ("depth",)),
    "external": (_external, ("depth", "sigma")),
    "internal": (_internal, ("depth", "sigma")),
}

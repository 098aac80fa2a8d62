"""Closed laws of depolarization, and what fits them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError, require_number, require_plain
from mmfields.faraday.units import require_angle
from mmfields.provenance import verb


def burn_slab(wavelength_sq: Any, depth: float, *, p0: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """P of a uniform slab that rotates and emits: p0 e^{2iχ0} e^{iRλ²} sin(Rλ²)/(Rλ²) (Burn 1966).

    Parameters
    ----------
    wavelength_sq : array
        λ² [m²].
    depth : float
        R, the depth of the whole slab [rad/m²]; the mean slope of the angle is R/2.
    p0, angle : float
        Intrinsic degree and angle [rad].

    Returns
    -------
    complex array

    Raises
    ------
    SnapshotError
        If a number has a unit or is out of its limits.
    """
    wave, depth, p0, angle, _ = _checked(wavelength_sq, depth, 0.0, p0, angle)
    return _burn(wave, depth, p0=p0, angle=angle)


def _burn(wave: np.ndarray, depth: float, *, p0: float = 1.0, angle: float = 0.0) -> np.ndarray:
    x = depth * wave
    return p0 * np.exp(2j * angle + 1j * x) * np.sinc(x / np.pi)


def external_dispersion(
    wavelength_sq: Any, depth: float, sigma: float, *, p0: float = 1.0, angle: float = 0.0
) -> np.ndarray:
    """P behind a turbulent screen: p0 e^{2iχ0} e^{2iRMλ² - 2σ²λ⁴}.

    Parameters
    ----------
    wavelength_sq : array
        λ² [m²].
    depth, sigma : float
        Mean and scatter of the screen's rotation measure [rad/m²].
    p0, angle : float
        Intrinsic degree and angle [rad].

    Returns
    -------
    complex array

    Raises
    ------
    SnapshotError
        If a number has a unit or is out of its limits.
    """
    wave, depth, p0, angle, sigma = _checked(wavelength_sq, depth, sigma, p0, angle)
    return _external(wave, depth, sigma, p0=p0, angle=angle)


def _external(wave: np.ndarray, depth: float, sigma: float, *, p0: float = 1.0, angle: float = 0.0) -> np.ndarray:
    return p0 * np.exp(2j * angle + 2j * depth * wave - 2 * sigma**2 * wave**2)


def internal_dispersion(
    wavelength_sq: Any, depth: float, sigma: float, *, p0: float = 1.0, angle: float = 0.0
) -> np.ndarray:
    """P of a turbulent slab that rotates and emits: p0 e^{2iχ0} (1 - e^{-S})/S, S = 2σ²λ⁴ - 2iRλ² (Sokoloff 1998).

    Parameters
    ----------
    wavelength_sq : array
        λ² [m²].
    depth, sigma : float
        Depth of the whole slab, and its scatter [rad/m²]; without scatter this is :func:`burn_slab`.
    p0, angle : float
        Intrinsic degree and angle [rad].

    Returns
    -------
    complex array

    Raises
    ------
    SnapshotError
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
    """Wavelengths squared, R or RM, p0, angle and scatter, as plain numbers within their limits.

    Raises
    ------
    SnapshotError
        If one is not.
    """
    wave = require_plain(wavelength_sq, "wavelength_sq", "m2")
    if (wave < 0).any():
        raise SnapshotError(f"wavelength_sq={wave.min():g}: wavelengths squared [m²] are not below 0")
    numbers = (float(require_plain(v, name, "rad/m2")) for name, v in (("depth", depth), ("sigma", sigma)))
    depth, sigma = numbers
    if sigma < 0:
        raise SnapshotError(f"sigma={sigma:g}: a scatter from 0 on is needed")
    return wave, depth, require_number(p0, "p0", 0.0, 1.0), require_angle(angle), sigma


LAWS: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = {
    "burn": (_burn, ("depth",)),
    "external": (_external, ("depth", "sigma")),
    "internal": (_internal, ("depth", "sigma")),
}


@verb
def fit(pol: xr.DataArray, law: str, *, error: float | None = None) -> xr.Dataset:
    """Fit a law of depolarization to P(λ²) of one line of sight, in Q and U together.

    Parameters
    ----------
    pol : xarray.DataArray
        Complex, over ``wavelength_sq``: a pixel, or the mean of a map; computed here.
    law : {"burn", "external", "internal"}
    error : float, optional
        Of each Q and U; without it the errors follow from the scatter about the fit.

    Returns
    -------
    xarray.Dataset
        ``p0``, ``angle`` [rad], ``depth`` and where the law has it ``sigma`` [rad/m²], each with ``…_error``;
        ``chi_square`` per degree of freedom, and the fitted ``polarization``.

    Raises
    ------
    SnapshotError
        If P has other dims, there are fewer wavelengths than numbers to find, or no fit is found.
    """
    from scipy.optimize import least_squares

    if not isinstance(pol, xr.DataArray):
        raise SnapshotError(f"a DataArray of mm.faraday.polarization is needed, not {type(pol).__name__}")
    if law not in LAWS:
        raise SnapshotError(f"law={law!r}: one of {', '.join(LAWS)} is needed")
    if pol.dims != ("wavelength_sq",):
        raise SnapshotError(f"one line of sight over wavelength_sq is needed, this has dims {pol.dims}: select it")
    function, names = LAWS[law]
    if "wavelength_sq" not in pol.coords:
        raise SnapshotError("P has no wavelengths: assign_coords(wavelength_sq=...) first")
    if error is not None and require_number(error, "error") <= 0:
        raise SnapshotError(f"error={error!r}: a positive number is needed")
    waves, values = pol["wavelength_sq"].values, pol.values
    if not np.isfinite(values).all() or not abs(values).max() > 0 or len(np.unique(waves)) < len(waves):
        raise SnapshotError("P is not finite, or 0 everywhere, or a wavelength is there twice: there is nothing to fit")
    if 2 * len(waves) <= len(names) + 2:
        raise SnapshotError(f"{len(waves)} wavelengths cannot give the {len(names) + 2} numbers of {law!r}")

    def model(x: np.ndarray) -> np.ndarray:
        return function(waves, *x[2:], p0=x[0], angle=x[1])

    def residual(x: np.ndarray) -> np.ndarray:
        rest = (model(x) - values) / (error or 1.0)
        return np.concatenate([rest.real, rest.imag])

    best = None
    for start in _starts(waves, values, law):
        found = least_squares(residual, start, x_scale=np.maximum(np.abs(start), 1e-3))
        best = found if best is None or found.cost < best.cost else best
    if best is None or not best.success:
        raise SnapshotError(f"no fit of {law!r} was found")
    freedom = 2 * len(waves) - len(best.x)
    chi = 2 * best.cost / freedom
    covariance = np.linalg.pinv(best.jac.T @ best.jac) * (1.0 if error else chi)
    spread = np.sqrt(np.diag(covariance))
    x = best.x.copy()
    if x[0] < 0:
        x[0], x[1] = -x[0], x[1] + np.pi / 2
    x[1] = (x[1] + np.pi / 2) % np.pi - np.pi / 2
    if len(x) > 3:
        x[3] = abs(x[3])
    units = {"p0": "1", "angle": "rad", "depth": "rad / m2", "sigma": "rad / m2"}
    out = xr.Dataset(attrs={"law": law})
    for name, value, deviation in zip(("p0", "angle", *names), x, spread, strict=True):
        out[name] = ((), value, {"long_name": f"{name} of the fit", "units": units[name]})
        out[f"{name}_error"] = ((), deviation, {"long_name": f"error of {name}", "units": units[name]})
    out["chi_square"] = ((), chi, {"long_name": "chi square per degree of freedom", "units": "1"})
    return out.assign(polarization=pol.copy(data=model(x)))


def _starts(waves: np.ndarray, values: np.ndarray, law: str) -> list[np.ndarray]:
    """Where to begin: the best of a grid of depths and spreads, each with the amplitude that suits it.

    Depths beyond half a turn between neighbouring wavelengths cannot be told from smaller ones.
    """
    function, names = LAWS[law]
    most = np.pi / (2 * float(np.diff(np.sort(waves)).max())) * (1 if law == "external" else 2)
    depths = np.linspace(-most, most, 1 + 2 * max(200, int(4 * most * np.ptp(waves))))[:, None]
    spreads = np.concatenate([[0.0], np.geomspace(0.05, 3.0, 9)]) / waves.max() if len(names) > 1 else [0.0]
    found = []
    for spread in spreads:
        shape = function(waves, depths, *([spread] if len(names) > 1 else []))
        size = (abs(shape) ** 2).sum(axis=1)
        amplitude = (values * shape.conj()).sum(axis=1) / size
        gain = abs(amplitude) ** 2 * size
        for place in np.argsort(-gain)[:2]:
            start = [
                abs(amplitude[place]),
                np.angle(amplitude[place]) / 2,
                depths[place, 0],
                spread or 0.01 / waves.max(),
            ]
            found.append((gain[place], np.array(start[: 2 + len(names)])))
    return [start for _, start in sorted(found, key=lambda f: -f[0])[:6]]

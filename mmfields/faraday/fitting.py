"""Fits of the closed laws of depolarization, with errors that hold where the likelihood is no parabola."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, SnapshotError, of_array, require_number
from mmfields.faraday.depolarization_laws import LAWS
from mmfields.faraday.line_of_sight import require_kind
from mmfields.faraday.observing import wavelengths_of
from mmfields.provenance import verb

# An error reaches as far as χ² stays within the square of this number of its minimum.
MOST_ERRORS = 3
# Fits start from peaks among so many of the best points of the grid.
MOST_PLACES = 300
# Standard deviation of an angle that may be anything from -π/2 to π/2.
NO_ANGLE = np.pi / np.sqrt(12)


@verb
@of_array("P of mm.faraday.polarization, complex Q + iU,")
def fit(pol: xr.DataArray, law: Literal["burn", "external", "internal"], *, error: float | None = None) -> xr.Dataset:
    """Fit a law of depolarization to P(λ²) of one line of sight, in Q and U together.

    An error is the usual standard deviation where χ² is a parabola.  Where it is none, an error is as large as it
    takes for one, two and three errors to hold the values whose χ² is within 1, 4 and 9 of the least: of ``sigma``,
    whose square is what the laws are smooth in, it stays as large as the scatter that noise can feign; and where
    several depths fit alike, it reaches from one to the other.

    Parameters
    ----------
    pol : xarray.DataArray
        Complex, over ``wavelength_sq`` [m², or its units]: a pixel, or the mean of a map; computed here.
    law : {"burn", "external", "internal"}
        As :func:`burn_slab`, :func:`external_dispersion` and :func:`internal_dispersion`.
    error : float, optional
        Of each Q and U; without it the errors follow from the scatter about the fit.

    Returns
    -------
    xarray.Dataset
        ``p0``, ``angle`` [rad] from -π/2 to π/2, ``depth`` and where the law has it ``sigma`` [rad/m²], each with
        ``…_error``; ``chi_square`` per degree of freedom, which without `error` is the variance of Q and U about the
        fit; and the fitted ``polarization``.

        Depths are sought as far as P turns by half a turn between the two neighbouring wavelengths that are
        farthest apart; larger ones look like smaller ones.  The highest of so many peaks is well above 0 in noise
        alone: where noise could have made it, the error of ``p0`` is up to ``p0`` itself.  Of an angle of which
        nothing is known the error is π/√12.

    Raises
    ------
    ArgumentError, SnapshotError
        If P is not complex, not finite, 0 everywhere, or has other dims; if wavelengths are missing, below 0, twice
        there, or too few for the numbers to find; or if no fit is found.
    """
    from scipy.optimize import least_squares

    waves, values = _one_line(pol, law, error)
    function, names = LAWS[law]
    long, size = float(waves.max()), float(abs(values).max())

    def model(x: np.ndarray) -> np.ndarray:
        """P / size, of the complex amplitude, the depth and the square of sigma, both in turns of `long`."""
        spread = [np.sqrt(x[3]) / long] if len(names) > 1 else []
        return (x[0] + 1j * x[1]) * function(waves, x[2] / long, *spread)

    def residual(x: np.ndarray) -> np.ndarray:
        rest = model(x) - values / size
        return np.concatenate([rest.real, rest.imag])

    grid = _grid(waves / long, values / size, law)
    low = np.array([-np.inf, -np.inf, -np.inf, 0.0][: 2 + len(names)])
    tries = [least_squares(residual, x, bounds=(low, np.inf), x_scale="jac", **EXACT) for x in grid.starts()]
    best = min(tries, key=lambda found: found.cost)
    if not best.success:
        raise SnapshotError(f"no fit of {law!r} was found")
    freedom = 2 * len(waves) - len(best.x)
    scatter = 2 * best.cost / freedom
    variance = max((error / size) ** 2 if error else scatter, np.finfo(float).tiny)
    x, spread = _values(best.x), _errors(best, grid, variance)
    out = xr.Dataset(attrs={"law": law})
    units = {"p0": ("1", size), "angle": ("rad", 1.0), **dict.fromkeys(names, ("rad / m2", 1 / long))}
    for (name, (unit, scale)), value, deviation in zip(units.items(), x, spread, strict=True):
        out[name] = ((), value * scale, {"long_name": f"{name} of the fit", "units": unit})
        out[f"{name}_error"] = ((), deviation * scale, {"long_name": f"error of {name}", "units": unit})
    chi = scatter / variance if error else scatter * size**2
    out["chi_square"] = ((), chi, {"long_name": "chi square per degree of freedom", "units": "1"})
    return out.assign(polarization=pol.copy(data=model(best.x) * size))


EXACT: dict[str, Any] = {"method": "dogbox", "xtol": 1e-10, "ftol": 1e-12, "gtol": 1e-12}


def _one_line(pol: Any, law: str, error: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths squared [m²] and P of what can be fitted."""
    require_kind(pol, "c", "P of mm.faraday.polarization, complex Q + iU,")
    if law not in LAWS:
        raise ArgumentError(f"law={law!r}: one of {', '.join(LAWS)} is needed")
    if pol.dims != ("wavelength_sq",):
        raise SnapshotError(f"one line of sight over wavelength_sq is needed, this has dims {pol.dims}: select it")
    if "wavelength_sq" not in pol.coords:
        raise SnapshotError("P has no wavelengths: assign_coords(wavelength_sq=...) first")
    if error is not None and require_number(error, "error") <= 0:
        raise ArgumentError(f"error={error!r}: a positive number is needed")
    waves, values, many = wavelengths_of(pol["wavelength_sq"]), pol.values.astype(complex), 2 + len(LAWS[law][1])
    if bad := int((~np.isfinite(values)).sum()):
        raise SnapshotError(f"P is not finite at {bad} of {len(values)} wavelengths: leave them out with dropna(...)")
    if not abs(values).any():
        raise SnapshotError("P is 0 everywhere: there is nothing to fit")
    if len(np.unique(waves)) < len(waves):
        raise SnapshotError("a wavelength is there twice: there is nothing to fit between the two, so average them")
    if 2 * len(waves) <= many:
        raise SnapshotError(f"{len(waves)} wavelengths cannot give the {many} numbers of {law!r}")
    return waves, values


@dataclass(frozen=True)
class _Grid:
    """Grid of depths and spreads, and at each of its points the amplitude that fits best.

    Parameters
    ----------
    depth, spread : (n,) arrays
        In units of the inverse of the longest wavelength squared.
    amplitude : (n,) complex array
    cost : (n,) array
        Sum of the squares that are left, against that of P itself.
    total : float
    numbers : int
        That the law has.
    width : float
        Depths closer than this are of one peak.
    """

    depth: np.ndarray
    spread: np.ndarray
    amplitude: np.ndarray
    cost: np.ndarray
    total: float
    numbers: int
    width: float

    def starts(self) -> list[np.ndarray]:
        """Where to begin: the best places of the grid whose depths are not those of one peak, four of them at most."""
        best: list[int] = []
        for p in np.argsort(self.cost)[:MOST_PLACES]:
            if all(abs(self.depth[p] - self.depth[q]) > self.width for q in best):
                best.append(p)
        x = [self.amplitude.real, self.amplitude.imag, self.depth, np.maximum(self.spread**2, 1e-4)]
        return [np.array([v[p] for v in x[: self.numbers]]) for p in best[:4]]

    def values(self) -> np.ndarray:
        """p0, angle, depth and sigma, (numbers, n)."""
        all_ = [abs(self.amplitude), np.angle(self.amplitude) / 2, self.depth, self.spread]
        return np.array(all_[: self.numbers])


def _grid(waves: np.ndarray, values: np.ndarray, law: str) -> _Grid:
    """Depths and spreads to try; larger depths look like smaller ones at the wavelengths that there are."""
    function, names = LAWS[law]
    most = np.pi / (2 * float(np.diff(np.sort(waves)).max())) * (1 if law == "external" else 2)
    depths = np.linspace(-most, most, 1 + 2 * max(200, int(4 * most * np.ptp(waves))))
    spreads = np.concatenate([[0.0], np.geomspace(0.05, 3.0, 9)]) if len(names) > 1 else np.zeros(1)
    total, found = float((abs(values) ** 2).sum()), []
    for spread in spreads:
        shape = function(waves, depths[:, None], *([spread] if len(names) > 1 else []))
        power = (abs(shape) ** 2).sum(axis=1)
        amplitude = (shape.conj() * values).sum(axis=1) / power
        found.append((amplitude, total - abs(amplitude) ** 2 * power))
    amplitude, cost = (np.concatenate(f) for f in zip(*found, strict=True))
    both = np.tile(depths, len(spreads)), np.repeat(spreads, len(depths))
    return _Grid(*both, amplitude, cost, total, 2 + len(names), float(np.pi / (2 * np.ptp(waves))))


def _values(x: np.ndarray) -> np.ndarray:
    """p0, angle, depth and sigma of what was fitted."""
    return np.array([np.hypot(x[0], x[1]), _wrapped(np.arctan2(x[1], x[0]) / 2), x[2], *np.sqrt(x[3:])])


def _wrapped(angle: np.ndarray | float) -> Any:
    """An angle of polarization, from -π/2 to π/2."""
    return (angle + np.pi / 2) % np.pi - np.pi / 2


def _errors(best: Any, grid: _Grid, variance: float) -> np.ndarray:
    """Errors of p0, angle, depth and sigma, from the curvature at the best fit and from what fits as well elsewhere."""
    x, (p0, angle, depth, *sigma) = best.x, _values(best.x)
    covariance = np.linalg.pinv(best.jac.T @ best.jac, rcond=1e-14, hermitian=True) * variance
    along, across = np.zeros((2, len(x)))
    along[:2], across[:2] = x[:2] / p0, [-x[1] / p0, x[0] / p0]
    errors = [np.sqrt(c @ covariance @ c) for c in (along, across)]
    errors[1] /= 2 * p0
    errors.append(np.sqrt(covariance[2, 2]))
    for value in sigma:
        own = np.arange(1, MOST_ERRORS + 1) * np.sqrt(covariance[3, 3])
        ends = np.sqrt(value**2 + own) - value, value - np.sqrt(np.maximum(value**2 - own, 0))
        errors.append(float((np.maximum(*ends) / np.arange(1, MOST_ERRORS + 1)).max()))
    rise = (grid.cost - 2 * best.cost) / variance
    near = rise <= MOST_ERRORS**2
    away = abs(grid.values()[:, near] - np.array([p0, angle, depth, *sigma])[:, None])
    away[1] = abs(_wrapped(away[1]))
    reach = (away / np.sqrt(np.clip(rise[near], 1, None))).max(axis=1, initial=0.0)
    errors = np.maximum(errors, reach)
    errors[0] = max(errors[0], p0 / max(_significance((grid.total - 2 * best.cost) / variance, best), 1.0))
    errors[1] = min(errors[1], NO_ANGLE)
    return errors


def _significance(gain: float, best: Any) -> float:
    """Significance in standard deviations of a peak that lowers χ² by `gain`, where noise may peak at any depth."""
    from scipy.stats import norm

    trials = len(best.fun)  # Q and U at each wavelength; about half of the depths are independent
    chance = -np.expm1(trials * np.log1p(-np.exp(-max(gain, 1e-9) / 2)))
    sure = float(norm.isf(chance / 2))
    return sure if sure < MOST_ERRORS else np.inf

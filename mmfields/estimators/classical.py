"""Scattering rates and diffusion coefficients in closed form."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, SnapshotError, of_array, require_number
from mmfields.provenance import verb
from mmfields.transport.reading import (
    SURVIVORS,
    alive,
    boosted,
    drift_frame,
    light,
    own_lengths,
    own_path,
    speed,
    untouched,
    warn_of_survivors,
)
from mmfields.units import CARRIED, coefficient_attrs, length_attrs

UNITS_NOTE = "particle speed times length unit"
VELOCITY, LOCAL, ELECTRIC = ("vx", "vy", "vz"), ("bx", "by", "bz"), ("ex", "ey", "ez")


def steps_of(trajectories: xr.Dataset) -> float:
    """The even path between two saved points.

    Raises
    ------
    SnapshotError
        If there are fewer than two intervals, or they are not even.
    """
    if not isinstance(trajectories, xr.Dataset) or "path" not in trajectories.dims or "path" not in trajectories.coords:
        raise SnapshotError("trajectories over 'path', from mm.trace or mm.scattering.one_dimensional, are needed")
    path = trajectories["path"].values
    intervals = np.diff(path)
    if len(intervals) < 2 or np.ptp(intervals) > 1e-6 * intervals.mean() or intervals.mean() <= 0:
        raise SnapshotError(
            f"{len(path)} saved points at even distances, three or more of them, are needed: save=N, or path[1:]"
        )
    return float(intervals.mean())


def require_directions(tr: xr.Dataset) -> None:
    """Refuse guiding centres.

    Raises
    ------
    SnapshotError
        If there may be such.
    """
    if "guiding_centre" in tr:
        raise SnapshotError(
            "guiding centres have no directions that scattering turns: use mm.transport.pitch_angle_diffusion, or "
            "mm.transport.diffusion"
        )


@verb
def maximum_likelihood(trajectories: xr.Dataset, *, gyration: bool = False, pooled: bool = False) -> xr.Dataset:
    """Scattering rate by maximum likelihood from the deflections between saved points, and κ of it.

    In three dimensions, for deflections of a polar Gaussian of variance ν s (Eq. 13): ν = Σ θ² / (N s), with the exact
    relative error √(2/N), and κ = (2/3)/ν, of whose expectation the factor N/(N-2) is taken out.  In one dimension,
    where only ``vx`` is there: the rate a of reversals from the share p of odd numbers of them,
    a = -ln(1-2p)/2s, and κ = 1/2a.

    s is the particle's own path, also where that of the trajectories is light's.  Intervals in which a particle left
    the box, was reflected, or (with `gyration`) stood where there is no field do not count.

    Parameters
    ----------
    trajectories : xarray.Dataset
        Saved at even distances s that are short against 1/ν.
    gyration : bool
        Take out the gyration first: directions are turned about the field that the particle saw, by its own angle,
        in the frame of the E × B drift where there is an electric field (one along B is not taken out).
        Trace with ``local_field=True``, and save several times a gyration.
    pooled : bool
        All particles together, instead of each on its own.

    Returns
    -------
    xarray.Dataset
        ``nu`` [speed per length], ``kappa`` [speed times length], ``…_error``, and ``count``, the number N of
        deflections, of each estimate where these differ; lazy where the trajectories are.  In one dimension ``nu`` is
        2a, so that κ = 1/ν as in the paper.

    Raises
    ------
    ArgumentError, SnapshotError
        If points are not even, or the local field is missing.
    """
    step = steps_of(trajectories)
    over = ["path", "particle"] if pooled and "particle" in trajectories.dims else ["path"]
    if "vx" not in trajectories:
        raise SnapshotError(f"directions vx (vy, vz) are needed, not {list(trajectories.data_vars)}")
    if ("vy" in trajectories) != ("vz" in trajectories):
        lacking = "vy" if "vz" in trajectories else "vz"
        raise SnapshotError(f"{lacking} is missing: vx, vy and vz are needed in three dimensions, vx alone in one")
    if "vy" not in trajectories:
        return _reversals(trajectories, step, over)
    squares = deflections(trajectories, step, gyration)
    dims, counts = ["interval", *over[1:]], _interval(untouched(trajectories))
    if counts is None and not gyration and not light(trajectories):
        count: Any = int(np.prod([squares.sizes[d] for d in dims]))
        if count < 3:
            raise SnapshotError(f"{count} deflections are too few: three are needed")
        way: Any = count * step
    else:
        squares = squares if counts is None else squares.where(counts)
        count = squares.count(dims)
        pieces = _interval(own_path(trajectories).diff("path").drop_vars("path"))
        way = pieces.where(squares.notnull()).sum(dims)
        count, way = count.where(count > 2), way.where(count > 2)
    nu = squares.sum(dims) / way
    kappa = 2 / 3 / nu * (count - 2) / count
    # of 1/ν, ν being a chi square of `count` degrees
    with np.errstate(divide="ignore"):
        spread = np.sqrt(2 / (count - 4)) if np.isscalar(count) and count > 4 else _spread(count)
    return _named(trajectories, nu, nu * np.sqrt(2 / count), kappa, kappa * spread, count)


def _spread(count: Any) -> Any:
    """Relative error of 1/ν; infinite for four deflections or fewer."""
    return np.inf if np.isscalar(count) else np.sqrt(2 / (count - 4).where(count > 4, 0.0))


def _interval(array: xr.DataArray | None) -> xr.DataArray | None:
    return array if array is None else array.rename(path="interval")


def deflections(tr: xr.Dataset, step: float, gyration: bool) -> xr.DataArray:
    """Squared angles between directions at neighbouring saved points.

    Parameters
    ----------
    tr : xarray.Dataset
        In three dimensions.
    step : float
        Path between two saved points.
    gyration : bool
        As :func:`maximum_likelihood`.

    Returns
    -------
    xarray.DataArray
        [rad²] over ``interval``; NaN where there is no field to take the gyration out with.
    """
    require_directions(tr)
    inputs = [tr[n] for n in VELOCITY]
    if gyration:
        drifting = light(tr)
        needed = (*LOCAL, "B", "reference_field", *((*ELECTRIC, "momentum") if drifting else ()))
        if any(n not in tr for n in needed) or not {"own_gyroradius", "gyroradius"} & set(tr.variables):
            raise SnapshotError(
                "gyration can be taken out where the local field was saved: mm.trace(..., local_field=True)"
            )
        radius = tr["own_gyroradius"] if "own_gyroradius" in tr else tr["gyroradius"]
        sign = tr["charge_sign"] if "charge_sign" in tr else tr.attrs.get("charge_sign", 1)
        angle = tr["B"] * (sign * step / (radius * tr["reference_field"]))
        if drifting:
            # of light's path: over the energy in units of the momentum at the start
            angle = angle / tr["momentum"] * speed(tr)
            inputs = [v * speed(tr) for v in inputs]
        inputs += [*(tr[n] for n in LOCAL), angle]
        inputs += [*(tr[n] for n in ELECTRIC), tr["B"]] if drifting else []
    return xr.apply_ufunc(
        _squared_deflections,
        *inputs,
        input_core_dims=[["path"]] * len(inputs),
        output_core_dims=[["interval"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"interval": tr.sizes["path"] - 1}},
    )


def _squared_deflections(*arrays: np.ndarray) -> np.ndarray:
    """Squared angles between neighbouring directions over the last axis, after a turn about a field if given.

    With an electric field beside it, velocities are over that of light and are turned in the frame of the drift.
    """
    v = np.stack(np.broadcast_arrays(*arrays[:3]))
    before, after = v[..., :-1], v[..., 1:]
    if len(arrays) > 3:
        b, angle = _middle(np.stack(arrays[3:6])), _middle(arrays[6])
        with np.errstate(divide="ignore", invalid="ignore"):
            b = b / np.sqrt((b**2).sum(axis=0))
        if len(arrays) > 7:
            field = b * _middle(arrays[10])
            seen, u, gamma = drift_frame(before, field, _middle(np.stack(arrays[7:10])))
            before = boosted(_turned(seen, b, angle / gamma), -u, gamma)
            before, after = (w / np.sqrt((w**2).sum(axis=0)) for w in (before, after))
        else:
            before = _turned(before, b, angle)
    chord = np.sqrt(((after - before) ** 2).sum(axis=0))
    return (2 * np.arcsin(np.minimum(0.5 * chord, 1.0))) ** 2


def _middle(array: np.ndarray) -> np.ndarray:
    """Means of neighbours over the last axis."""
    return 0.5 * (array[..., :-1] + array[..., 1:])


def _turned(v: np.ndarray, b: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Vectors turned about unit vectors, as positive charges gyrate."""
    along = (v * b).sum(axis=0)
    turned = np.cross(v, b, axis=0)
    return along * b + np.cos(angle) * (v - along * b) + np.sin(angle) * turned


def reversals(trajectories: xr.Dataset, over: list[str]) -> tuple[xr.DataArray, Any]:
    """Share of the steps over which the direction is reversed, and how many steps count.

    Parameters
    ----------
    trajectories : xarray.Dataset
        In one dimension, with ``vx``.
    over : list of str
        Dims to count over.

    Returns
    -------
    DataArray, int or DataArray
        Where particles leave or are reflected, numbers of each estimate.
    """
    vx = trajectories["vx"]
    flips = vx.isel(path=slice(1, None)).drop_vars("path") != vx.isel(path=slice(None, -1)).drop_vars("path")
    counts, count = untouched(trajectories), int(np.prod([flips.sizes[d] for d in over]))
    flips = flips if counts is None else flips.where(counts)
    return flips.mean(over), count if counts is None else flips.count(over)


def _reversals(trajectories: xr.Dataset, step: float, over: list[str]) -> xr.Dataset:
    share, count = reversals(trajectories, over)
    nu = -np.log1p(-2 * share.where(share < 0.5)) / step
    # without a reversal about one more is the limit
    spread = np.sqrt(share * (1 - share) / count).where(share > 0, 1 / count)
    nu_error = 2 * spread / (1 - 2 * share) / step
    kappa = 1 / nu
    return _named(trajectories, nu, nu_error, kappa, (nu_error / nu**2).where(share > 0, np.inf), count)


def _named(tr: xr.Dataset, nu: xr.DataArray, nu_error: Any, kappa: Any, kappa_error: Any, count: int) -> xr.Dataset:
    rate = {**length_attrs(tr, -1), "note": "per length of the particle's own path"}
    coefficient = {**coefficient_attrs(tr), "note": UNITS_NOTE}
    out = xr.Dataset(
        {
            "nu": nu.assign_attrs(long_name="scattering rate", **rate),
            "nu_error": nu_error.assign_attrs(long_name="error of the scattering rate", **rate),
            "kappa": kappa.assign_attrs(long_name="diffusion coefficient", **coefficient),
            "kappa_error": kappa_error.assign_attrs(long_name="error of the diffusion coefficient", **coefficient),
        }
    )
    notes = {"long_name": "deflections of each estimate", "units": "1"}
    out = out.assign_attrs({key: tr.attrs[key] for key in CARRIED if key in tr.attrs})
    if "beta_gamma" in tr and set(tr["beta_gamma"].dims) <= set(nu.dims):
        out = out.assign_coords(beta_gamma=tr["beta_gamma"])
    out["count"] = count.assign_attrs(notes) if isinstance(count, xr.DataArray) else ((), count, notes)
    return out.assign_attrs(estimator="maximum likelihood")


@verb
def mean_squared_displacement(trajectories: xr.Dataset, *, pooled: bool = False) -> xr.Dataset:
    """Diffusion coefficient ⟨Δr²⟩/(2 d s) at the end of the trajectories, the classical estimate.

    Parameters
    ----------
    trajectories : xarray.Dataset
        In three dimensions, or one where only ``x`` is there; it must be long against the mean free path.
    pooled : bool
        All particles together, instead of each on its own.

    Returns
    -------
    xarray.Dataset
        ``kappa`` and, where pooled, ``kappa_error``; lazy where the trajectories are.  NaN for particles that have left
        the box, which are not among those pooled: what is left is a biased sample (attr ``survivors``).

    Raises
    ------
    ArgumentError, SnapshotError
        If there are fewer than three even points.

    Warns
    -----
    MmfieldsWarning
        If particles are known to have left.
    """
    steps_of(trajectories)
    axes = [d for d in ("x", "y", "z") if d in trajectories]
    if not axes:
        raise SnapshotError(f"positions x (y, z) are needed, not {list(trajectories.data_vars)}")
    if axes not in (["x"], ["x", "y", "z"]):
        raise SnapshotError(f"positions {axes}: all of x, y, z are needed, or x alone in one dimension")
    moved = [trajectories[d].isel(path=-1) - trajectories[d].isel(path=0) for d in axes]
    path = own_lengths(trajectories).isel(path=-1, drop=True)
    each = (sum(m**2 for m in moved) / (2 * len(axes) * path)).drop_vars("path", errors="ignore")
    notes = {**coefficient_attrs(trajectories), "note": UNITS_NOTE, "long_name": "diffusion coefficient"}
    attrs = {"estimator": "mean squared displacement"}
    if (there := alive(trajectories)) is not None:
        there = there.isel(path=-1, drop=True)
        each, attrs = each.where(there), {**attrs, "survivors": SURVIVORS}
        warn_of_survivors(1 - there.mean(), "kappa")
    if not pooled or "particle" not in each.dims:
        return xr.Dataset({"kappa": each.assign_attrs(notes)}, attrs=attrs)
    n = each.count("particle")
    error = each.std("particle", ddof=1) / n.where(n > 1) ** 0.5
    values = {"kappa": each.mean("particle").assign_attrs(notes)}
    values["kappa_error"] = error.assign_attrs({**notes, "long_name": "error of the diffusion coefficient"})
    return xr.Dataset(values, attrs=attrs)


@verb
@of_array("an array of the rates nu")
def filling_fraction(rates: xr.DataArray, *, inside: float, outside: float) -> xr.Dataset:
    """Filling fraction of scattering patches from the rates of many short trajectories (Eq. 10 turned round).

    f = (⟨ν⟩ - ν_res) / (ν_mm - ν_res).  The error is from the scatter between trajectories, which knows that each of
    them has seen its own patches; √(2/N) would not.

    Parameters
    ----------
    rates : xarray.DataArray
        ``nu`` of :func:`maximum_likelihood`, over ``particle``; NaN, of those that left at once, does not count.
    inside, outside : float
        ν_mm and ν_res, in the same unit.

    Returns
    -------
    xarray.Dataset
        ``filling_fraction`` and ``filling_fraction_error``; a little below 0 or above 1 where the error says so.

    Raises
    ------
    ArgumentError, SnapshotError
        If there are fewer than two trajectories, or the rates are alike.
    """
    a, b = require_number(inside, "inside", 0.0), require_number(outside, "outside", 0.0)
    if a == b:
        raise ArgumentError(f"inside={a:g} and outside={b:g} are alike: patches cannot be told from the rest")
    if rates.sizes.get("particle", 0) < 2:
        raise SnapshotError(f"rates of at least two trajectories over 'particle' are needed, not {dict(rates.sizes)}")
    if rates.name not in (None, "nu"):
        raise SnapshotError(f"the rates nu are needed, this is {rates.name!r}: mm.estimators.maximum_likelihood(tr).nu")
    n = rates.count("particle")
    share = (rates.mean("particle") - b) / (a - b)
    error = rates.std("particle", ddof=1) / n.where(n > 1) ** 0.5 / abs(a - b)
    notes = {"units": "1", "long_name": "filling fraction of patches"}
    return xr.Dataset(
        {
            "filling_fraction": share.assign_attrs(notes),
            "filling_fraction_error": error.assign_attrs({**notes, "long_name": "its error"}),
        }
    )

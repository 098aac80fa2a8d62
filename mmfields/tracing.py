"""Field and particles to trajectories, lazily: ``mm.trace``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
    SnapshotError,
    boundaries,
    box,
    components,
    mean_field,
    saved_lengths,
    spacing,
    spatial_dims,
    unit_attrs,
)
from mmfields.io._shared import Mapped, create, one_host, view
from mmfields.particles import reference_strength
from mmfields.scattering import Scattering

INTERPOLATIONS = ("nearest", "linear", "cubic")
WALLS = ("periodic", "open", "reflecting")
STEP_UNITS = ("length", "gyroradius", "local")
LONG_NAMES = {
    **{d: f"unwrapped position along {d}" for d in SPATIAL},
    **{f"v{d}": f"direction along {d}" for d in SPATIAL},
    "mu": "pitch-angle cosine in the local field",
    "B": "field strength at the particle",
    "alive": "the particle is still in the box",
    "steps": "steps taken since the start",
    "key": "random key of the particle",
}


def trace(
    field: xr.Dataset,
    particles: xr.Dataset,
    *,
    step: float,
    distance: float,
    save: int | Sequence[float] = 100,
    step_unit: str = "length",
    interpolation: str = "linear",
    scattering: Scattering | None = None,
    particles_per_task: int = 64,
) -> xr.Dataset:
    """Trace charged particles through a static magnetic field, lazily.

    Boris drift-kick-drift steps through the interpolated field.  Between two saved points the step is the
    largest that divides the interval and does not exceed `step`.  Results do not depend on
    `particles_per_task`, chunks, scheduler or workers, and a run continued from any saved point
    (:func:`mmfields.particles.from_trajectories`) equals one without a break, to the bit.

    Parameters
    ----------
    field : xarray.Dataset
        Snapshot with ``Bx By Bz``, or several along ``time``, each traced through on its own; missing
        spatial dims are ignorable axes.  Periodic axes wrap and positions are not brought back; a particle
        that would leave through an open face stops and is flagged; a reflecting face mirrors it.
    particles : xarray.Dataset
        From :mod:`mmfields.particles`.
    step : float
        Longest step.
    distance : float
        Path length to trace, counted from the original start.
    save : int or sequence of float
        So many evenly spaced points after the start, which is saved too; or the path lengths.
    step_unit : {"length", "gyroradius", "local"}
        What `step` counts: the field's length unit, each particle's gyroradius in the reference field, or
        its gyroradius in the field that it saw in the step before; the latter is no longer than a cell.
    interpolation : {"nearest", "linear", "cubic"}
        The nearest cell, trilinear, or a tricubic B-spline through the cells, twice continuously
        differentiable.
    scattering : Scattering, optional
        From :mod:`mmfields.scattering`, at the end of every step.
    particles_per_task : int
        Particles of one Dask task; multiples of 32 leave no lane of a batch idle.

    Returns
    -------
    xarray.Dataset
        Over (``time``,) (``gyroradius``,) ``particle``, ``path``: unwrapped ``x y z``, direction ``vx vy vz``,
        ``mu``, ``B``, ``alive`` where a face is open, and ``steps`` where they are random or local; ``key``
        of each particle; scalars ``mean_Bx|y|z``, ``B_rms`` and ``reference_field``; coordinate ``path``
        the path length in the field's length unit.

    Raises
    ------
    SnapshotError
        If field, particles or steps are unusable; when computed, if the field is not finite.
    """
    if interpolation not in INTERPOLATIONS:
        raise SnapshotError(f"interpolation={interpolation!r}: one of {', '.join(INTERPOLATIONS)} is needed")
    if step_unit not in STEP_UNITS:
        raise SnapshotError(f"step_unit={step_unit!r}: one of {', '.join(STEP_UNITS)} is needed")
    if scattering is not None and not isinstance(scattering, Scattering):
        raise SnapshotError(f"scattering={scattering!r}: mm.scattering.small_angle(...) or .patchy(...) is needed")
    _check_particles(particles)
    options = {"step": step, "distance": distance, "save": save, "step_unit": step_unit}
    options |= {"interpolation": interpolation, "scattering": scattering, "particles_per_task": particles_per_task}
    names = components(field)
    if extra := [d for d in field[names[0]].dims if d not in SPATIAL]:
        return _over(field, particles, str(extra[0]), options)
    return _trace_one(field, particles, **options)


def _over(field: xr.Dataset, particles: xr.Dataset, dim: str, options: dict[str, Any]) -> xr.Dataset:
    """One run per snapshot along a dim; all of them take the same particles, unless those have the dim too."""
    runs = []
    for i in range(field.sizes[dim]):
        own = particles.isel({dim: i}, drop=True) if dim in particles.dims else particles
        runs.append(trace(field.isel({dim: i}, drop=True), own, **options))
    labels = field[dim] if dim in field.coords else dim
    return xr.concat(runs, labels, data_vars="all", coords="minimal", compat="override", combine_attrs="override")


def _check_particles(particles: xr.Dataset) -> None:
    needed = ("x", "y", "z", "vx", "vy", "vz", "key", "reference_field", "gyroradius")
    if not isinstance(particles, xr.Dataset) or any(name not in particles.variables for name in needed):
        raise SnapshotError(
            f"particles must hold {', '.join(needed)}: make them with mm.particles.isotropic or from_arrays"
        )


def _trace_one(
    field: xr.Dataset,
    particles: xr.Dataset,
    *,
    step: float,
    distance: float,
    save: int | Sequence[float],
    step_unit: str,
    interpolation: str,
    scattering: Scattering | None,
    particles_per_task: int,
) -> xr.Dataset:
    from mmfields.kernels.trace import ROWS

    single = "gyroradius" not in particles.dims
    reference = particles["reference_field"]
    ensemble = particles.drop_vars(["reference_field", "path_start"], errors="ignore")
    ensemble = ensemble.expand_dims("gyroradius") if single else ensemble
    start = float(particles["path_start"]) if "path_start" in particles else 0.0
    path = saved_lengths(distance, save, start)
    radii = ensemble["gyroradius"].values.astype(float)
    intervals = np.diff(path, prepend=start)
    counts = _counts(intervals, step, step_unit, radii)
    pace = (float(step), min(spacing(field).values())) if step_unit == "local" else (0.0, 0.0)
    rows = _rows(field, ensemble, reference, intervals, counts, pace, interpolation, scattering, particles_per_task)
    dims = ("gyroradius", "particle", "path")
    variables = {name: (dims, rows[i], {"long_name": LONG_NAMES[name]}) for i, name in enumerate(ROWS)}
    walls = boundaries(field).values()
    kept = {"alive": "open" in walls, "steps": scattering is not None or step_unit == "local"}
    for name, kind in (("alive", bool), ("steps", np.int64)):
        if kept[name]:
            variables[name] = (dims, rows[ROWS.index(name)].astype(kind), {"long_name": LONG_NAMES[name]})
        else:
            del variables[name]
    length = unit_attrs(field[spatial_dims(field)[0]])
    for name in SPATIAL:
        variables[name][2].update(length)
    names = components(field)
    variables["B"][2].update(unit_attrs(field[names[0]]))
    variables["mu"][2]["units"] = "1"
    coords = {"gyroradius": ensemble["gyroradius"], "path": ("path", path, {**length, "long_name": "path length"})}
    result = xr.Dataset(variables, coords, _attrs(particles, step, step_unit, interpolation, scattering))
    result["key"] = ensemble["key"].transpose("gyroradius", "particle").drop_attrs()
    result["key"].attrs["long_name"] = LONG_NAMES["key"]
    means = mean_field(field)
    for name in names:
        result[f"mean_{name}"] = means[name].drop_attrs()
    result["B_rms"] = reference_strength(field, "rms")
    result["reference_field"] = reference.drop_attrs()
    return result.isel(gyroradius=0) if single else result


def _attrs(
    particles: xr.Dataset, step: float, step_unit: str, interpolation: str, scattering: Scattering | None
) -> dict[str, Any]:
    rule = {
        "length": "fixed path length",
        "gyroradius": "fixed fraction of the gyroradius in the reference field",
        "local": "fraction of the gyroradius in the field of the step before, at most one cell",
    }
    return {
        "pusher": "Boris, drift-kick-drift",
        "interpolation": interpolation,
        "step": float(step),
        "step_unit": step_unit,
        "step_rule": rule[step_unit],
        "scattering": scattering.label() if scattering is not None else "none",
        **{k: v for k, v in particles.attrs.items() if k in ("seed", "distribution", "reference_field_kind")},
    }


def _counts(intervals: np.ndarray, step: float, unit: str, radii: np.ndarray) -> np.ndarray:
    """Number of steps of each interval, (gyroradius, save); not used where steps are local."""
    if isinstance(step, str) or not (np.isfinite(step) and step > 0):
        raise SnapshotError(f"step={step!r}: a positive length is needed")
    longest = step * radii if unit == "gyroradius" else np.full(len(radii), step)
    return np.ceil(intervals / longest[:, None] * (1 - 1e-12)).astype(np.int64)


def _rows(
    field: xr.Dataset,
    ensemble: xr.Dataset,
    reference: xr.DataArray,
    intervals: np.ndarray,
    counts: np.ndarray,
    pace: tuple[float, float],
    interpolation: str,
    scattering: Scattering | None,
    per_task: int,
) -> Any:
    """Dask array (row, gyroradius, particle, path): one task per block of particles and gyroradius."""
    import dask.array as da

    from mmfields.kernels.trace import ROWS

    if not isinstance(per_task, int | np.integer) or per_task < 1:
        raise SnapshotError(f"particles_per_task={per_task!r}: a positive number is needed")
    chunks = (1, int(per_task))
    arranged = ensemble.transpose("gyroradius", "particle", ...)

    def stacked(names: Sequence[str]) -> Any:
        parts = [arranged[n].data for n in names]
        if any(hasattr(p, "dask") for p in parts):
            return da.stack([p.astype(float) for p in parts], -1).rechunk((*chunks, -1))
        return da.from_array(np.stack(parts, -1).astype(float), chunks=(*chunks, -1))

    taken = arranged["steps"] if "steps" in arranged else xr.zeros_like(arranged["key"], np.int64)
    if "alive" in arranged:
        taken = taken.where(arranged["alive"], -1 - taken)
    return da.blockwise(
        _trace_task,
        "rgps",
        _packed(field, interpolation),
        None,
        _apart(stacked(["x", "y", "z"])),
        "gpc",
        stacked(["vx", "vy", "vz"]),
        "gpc",
        da.asarray(arranged["key"].data).rechunk(chunks),
        "gp",
        da.asarray(taken.data).astype(np.int64).rechunk(chunks),
        "gp",
        da.from_array(ensemble["gyroradius"].values.astype(float), chunks=1),
        "g",
        da.asarray(reference.data),
        "",
        da.from_array(intervals, chunks=-1),
        "s",
        da.from_array(counts, chunks=(1, -1)),
        "gs",
        _mask(field, scattering),
        None,
        geometry=_geometry(field),
        kind=INTERPOLATIONS.index(interpolation),
        pace=pace,
        scattering=scattering,
        new_axes={"r": len(ROWS)},
        dtype=float,
        concatenate=True,
        meta=np.empty((0, 0, 0, 0)),
    )


def _apart(array: Any) -> Any:
    """The same array, each of its blocks a task of its own.

    A cluster runs those on all its workers, and what needs them where they are; tasks that need nothing but the
    field would all be sent to the worker that holds it.
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    name = f"apart-{array.name}"
    tasks = {(name, *index): (np.copy, (array.name, *index)) for index in np.ndindex(*array.numblocks)}
    graph = HighLevelGraph.from_collections(name, tasks, [array])
    return da.Array(graph, name, array.chunks, meta=array._meta)


def _packed(field: xr.Dataset, interpolation: str) -> Any:
    """The field as the kernel takes it: one delayed flat array, made once and handed to all tasks as it is.

    (As an array of one chunk it would be copied for every task.)
    """
    import dask

    parts = [_grid_order(field[name]) for name in components(field)]
    kinds = boundaries(field)
    modes = tuple("grid-wrap" if kinds.get(d, "periodic") == "periodic" else "mirror" for d in SPATIAL[::-1])
    kind = np.float32 if np.result_type(*(p.dtype for p in parts)) in (np.float16, np.float32) else np.float64
    options = {"modes": modes if interpolation == "cubic" else (), "kind": kind}
    if one_host():
        return _mapped(parts, 3 * int(np.prod(parts[0].shape)) + 1, **options)
    return dask.delayed(_pack, pure=True)(*parts, **options)


def _mapped(parts: Sequence[Any], size: int, *, modes: tuple[str, ...], kind: Any) -> Any:
    """As `_pack`, into a file that the processes of a host share, block by block; a delayed `Mapped`."""
    import dask

    path = dask.delayed(create, pure=False)(size, kind)
    write, written = dask.delayed(_write, pure=True), []
    for c, part in enumerate(parts):
        part = part.rechunk(-1) if modes else part
        corners = np.array(np.meshgrid(*[np.cumsum((0, *n[:-1])) for n in part.chunks], indexing="ij")).reshape(3, -1).T
        for block, corner in zip(part.to_delayed().ravel(), corners.tolist(), strict=True):
            written.append(write(path, block, tuple(corner), c, part.shape, modes, kind))
    return dask.delayed(_filled, pure=True)(path, written, kind)


def _write(
    path: str, block: np.ndarray, corner: tuple[int, ...], c: int, shape: tuple, modes: tuple, kind: Any
) -> None:
    """One block of one component into the shared file."""
    _require_finite(block, c, corner)
    out = view(path, kind, "r+")[:-1].reshape(*shape, 3)
    region = tuple(slice(a, a + n) for a, n in zip(corner, block.shape, strict=True))
    out[(*region, c)] = _coefficients(block, modes) if modes else block


def _filled(path: str, _: Any, kind: Any) -> Mapped:
    return Mapped(path, kind)


def _require_finite(part: np.ndarray, c: int, corner: tuple[int, ...] = (0, 0, 0)) -> None:
    if not np.isfinite(part).all():
        where = np.argwhere(~np.isfinite(part))[0] + np.array(corner)
        raise SnapshotError(f"B{'xyz'[c]} is not finite at (z, y, x) = {tuple(where.tolist())}: fill it before tracing")


def _grid_order(array: xr.DataArray) -> Any:
    """Dask array over (z, y, x), with one cell along an axis that is missing."""
    import dask.array as da

    order = SPATIAL[::-1]
    return da.asarray(array.expand_dims([d for d in order if d not in array.dims]).transpose(*order).data)


def _pack(*parts: np.ndarray, modes: tuple[str, ...], kind: Any) -> np.ndarray:
    """Components side by side, (z, y, x, 3) made flat and one number more; spline coefficients for a cubic."""
    flat = np.zeros(3 * parts[0].size + 1, kind)
    out = flat[:-1].reshape(*parts[0].shape, 3)
    for c, part in enumerate(parts):
        _require_finite(part, c)
        out[..., c] = _coefficients(part, modes) if modes else part
    flat.flags.writeable = False
    return flat


def _coefficients(part: np.ndarray, modes: tuple[str, ...]) -> np.ndarray:
    """Coefficients of the cubic B-spline through the cells."""
    from scipy.ndimage import spline_filter1d

    values = part.astype(np.float64)
    for axis, mode in enumerate(modes):
        if values.shape[axis] > 1:
            values = spline_filter1d(values, 3, axis, mode=mode)
    return values


def _mask(field: xr.Dataset, scattering: Scattering | None) -> Any:
    """Patches as bytes over (z, y, x), delayed; one cell where none are needed."""
    import dask

    if scattering is None or scattering.mask is None:
        return np.zeros((1, 1, 1), np.uint8)
    if scattering.mask not in field:
        raise SnapshotError(f"mask {scattering.mask!r} is not among {list(field.data_vars)}: ds.assign it first")
    array = _grid_order(field[scattering.mask])
    if array.shape != _grid_order(field[components(field)[0]]).shape:
        raise SnapshotError(f"mask {scattering.mask!r} has shape {array.shape}, not that of the field")
    return dask.delayed(np.ascontiguousarray, pure=True)((array != 0).astype(np.uint8))


def _geometry(field: xr.Dataset) -> tuple[tuple[int, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Shape (z, y, x); faces and walls in x, y, z order; an ignorable axis is one periodic cell."""
    limits, kinds = box(field), boundaries(field)
    shape = tuple(int(field.sizes.get(d, 1)) for d in SPATIAL[::-1])
    low = np.array([limits[d][0] if d in limits else 0.0 for d in SPATIAL])
    high = np.array([limits[d][1] if d in limits else 1.0 for d in SPATIAL])
    walls = np.array([WALLS.index(kinds.get(d, "periodic")) for d in SPATIAL])
    return shape, low, high, walls


def _trace_task(
    field,
    position,
    direction,
    keys,
    taken,
    radius,
    reference,
    intervals,
    counts,
    mask,
    *,
    geometry,
    kind,
    pace,
    scattering,
) -> np.ndarray:
    """NumPy adaptor of the kernel for one block: (row, 1, particle, save)."""
    from mmfields.kernels.interpolate import Grid
    from mmfields.kernels.scatter import MASK, NONE, THRESHOLD, UNIFORM
    from mmfields.kernels.trace import Scatter, trace_block

    rigidity = float(radius[0]) * float(reference)
    if not (np.isfinite(rigidity) and rigidity > 0):
        raise SnapshotError(
            f"gyroradius times reference field is {rigidity}: give particles a positive reference_field"
        )
    if scattering is None:
        scatter = Scatter(NONE, 0.0, 0.0, 0.0, mask)
    else:
        patches = MASK if scattering.mask is not None else UNIFORM if scattering.threshold is None else THRESHOLD
        scatter = Scatter(patches, scattering.rate, scattering.outside, float(scattering.threshold or 0.0), mask)
    if isinstance(field, Mapped):
        field = field.array
    field.flags.writeable = False  # one compiled kernel, whether or not the scheduler has copied the field
    rows = trace_block(
        Grid(field, *geometry, kind),
        scatter,
        np.ascontiguousarray(position[0]),
        np.ascontiguousarray(direction[0]),
        np.ascontiguousarray(keys[0]),
        np.ascontiguousarray(taken[0]),
        rigidity,
        np.ascontiguousarray(intervals),
        np.ascontiguousarray(counts[0]),
        *pace,
    )
    return rows[:, None]

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
    spacing,
    spatial_dims,
    unit_attrs,
)
from mmfields.particles import reference_strength

LONG_NAMES = {
    **{d: f"unwrapped position along {d}" for d in SPATIAL},
    **{f"v{d}": f"direction along {d}" for d in SPATIAL},
    "mu": "pitch-angle cosine in the local field",
    "B": "field strength at the particle",
    "alive": "the particle is still in the box",
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
    particles_per_task: int = 64,
) -> xr.Dataset:
    """Trace charged particles through a static magnetic field, lazily.

    Boris drift-kick-drift steps of fixed path length through the trilinearly interpolated field.
    Between two saved points the step is the largest that divides the interval and does not exceed
    `step`.  Results do not depend on `particles_per_task`, chunks, scheduler or workers, to the bit.

    Parameters
    ----------
    field : xarray.Dataset
        One snapshot with ``Bx By Bz``; missing spatial dims are ignorable axes.  Periodic axes wrap;
        a particle that would leave through an open one stops and is flagged.
    particles : xarray.Dataset
        From :mod:`mmfields.particles`.
    step : float
        Longest step.
    distance : float
        Path length to trace.
    save : int or sequence of float
        So many evenly spaced points after the start, which is saved too; or the path lengths.
    step_unit : {"length", "gyroradius"}
        What `step` counts: the field's length unit, or each particle's gyroradius.
    interpolation : {"linear"}
    particles_per_task : int
        Particles of one Dask task.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,) ``particle``, ``path``: unwrapped ``x y z``, direction ``vx vy vz``,
        ``mu``, ``B``, and ``alive`` where an axis is open; scalars ``mean_Bx|y|z``, ``B_rms`` and
        ``reference_field``; coordinate
        ``path`` the path length in the field's length unit.

    Raises
    ------
    SnapshotError
        If field, particles or steps are unusable.
    """
    if interpolation != "linear":
        raise SnapshotError(f"interpolation={interpolation!r}: 'linear' is available")
    if step_unit not in ("length", "gyroradius"):
        raise SnapshotError(f"step_unit={step_unit!r}: 'length' or 'gyroradius' is needed")
    names = components(field)
    if extra := set(field[names[0]].dims) - set(SPATIAL):
        raise SnapshotError(
            f"trace takes one snapshot, and this one has {sorted(extra)}: select with ds.isel(time=...)"
        )
    needed = ("x", "y", "z", "vx", "vy", "vz", "reference_field", "gyroradius")
    if not isinstance(particles, xr.Dataset) or any(name not in particles.variables for name in needed):
        raise SnapshotError(
            f"particles must hold {', '.join(needed)}: make them with mm.particles.isotropic or from_arrays"
        )
    single = "gyroradius" not in particles.dims
    reference = particles["reference_field"]
    ensemble = particles.drop_vars("reference_field")
    ensemble = ensemble.expand_dims("gyroradius") if single else ensemble
    path = _saved(distance, save)
    lengths, counts = _steps(path, step, step_unit, ensemble["gyroradius"].values)
    rows = _rows(field, ensemble, reference, lengths, counts, particles_per_task)
    kinds = boundaries(field)
    length = unit_attrs(field[spatial_dims(field)[0]])
    notes = {**length, "long_name": "path length"}
    from mmfields.kernels.trace import ROWS

    dims = ("gyroradius", "particle", "path")
    variables = {name: (dims, rows[i], {"long_name": LONG_NAMES[name]}) for i, name in enumerate(ROWS)}
    if "open" in kinds.values():
        variables["alive"] = (dims, rows[ROWS.index("alive")].astype(bool), {"long_name": LONG_NAMES["alive"]})
    else:
        del variables["alive"]
    for name in (*SPATIAL, "path"):
        if name in variables:
            variables[name][2].update(length)
    variables["B"][2].update(unit_attrs(field[names[0]]))
    variables["mu"][2]["units"] = "1"
    coords = {"gyroradius": ensemble["gyroradius"], "path": ("path", path, notes)}
    attrs = {
        "pusher": "Boris, drift-kick-drift",
        "interpolation": interpolation,
        "step": float(step),
        "step_unit": step_unit,
        **{k: v for k, v in particles.attrs.items() if k in ("seed", "distribution", "reference_field_kind")},
    }
    result = xr.Dataset(variables, coords, attrs)
    means = mean_field(field)
    for name in names:
        result[f"mean_{name}"] = means[name].drop_attrs()
    result["B_rms"] = reference_strength(field, "rms")
    result["reference_field"] = reference.drop_attrs()
    return result.isel(gyroradius=0) if single else result


def _saved(distance: float, save: int | Sequence[float]) -> np.ndarray:
    """Path lengths of the saved points."""
    if not (np.isfinite(distance) and distance > 0):
        raise SnapshotError(f"distance={distance!r}: a positive path length is needed")
    if isinstance(save, int | np.integer):
        if save < 1:
            raise SnapshotError(f"save={save}: at least one point is needed")
        return np.linspace(0.0, distance, int(save) + 1)
    path = np.asarray(save, dtype=float)
    if path.ndim != 1 or not len(path) or not np.isfinite(path).all() or path[0] < 0 or (np.diff(path) <= 0).any():
        raise SnapshotError("save: ascending, finite path lengths from 0 on are needed")
    if path[-1] > distance * (1 + 1e-12):
        raise SnapshotError(f"save ends at {path[-1]:g}, beyond distance={distance:g}")
    return path


def _steps(path: np.ndarray, step: float, unit: str, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step length and number of steps of each interval, (gyroradius, save)."""
    if isinstance(step, str) or not (np.isfinite(step) and step > 0):
        raise SnapshotError(f"step={step!r}: a positive length is needed")
    longest = np.full(len(radii), step) if unit == "length" else step * radii
    intervals = np.diff(path, prepend=0.0)
    counts = np.ceil(intervals / longest[:, None] * (1 - 1e-12)).astype(np.int64)
    return intervals / np.maximum(counts, 1), counts


def _rows(
    field: xr.Dataset,
    ensemble: xr.Dataset,
    reference: xr.DataArray,
    lengths: np.ndarray,
    counts: np.ndarray,
    per_task: int,
) -> Any:
    """Dask array (row, gyroradius, particle, path): one task per block of particles and gyroradius."""
    import dask.array as da

    if not isinstance(per_task, int | np.integer) or per_task < 1:
        raise SnapshotError(f"particles_per_task={per_task!r}: a positive number is needed")
    chunks = (1, int(per_task))

    def stacked(names: Sequence[str]) -> Any:
        parts = ensemble[list(names)].transpose("gyroradius", "particle", ...)
        values = np.stack([np.asarray(parts[n].values, float) for n in names], -1)
        return da.from_array(values, chunks=(*chunks, -1))

    radii = da.from_array(ensemble["gyroradius"].values.astype(float), chunks=1)
    geometry = _geometry(field)
    return da.blockwise(
        _trace_task,
        "rgps",
        _packed(field),
        "zyxc",
        stacked(["x", "y", "z"]),
        "gpc",
        stacked(["vx", "vy", "vz"]),
        "gpc",
        radii,
        "g",
        da.asarray(reference.data),
        "",
        da.from_array(lengths, chunks=(1, -1)),
        "gs",
        da.from_array(counts, chunks=(1, -1)),
        "gs",
        geometry=geometry,
        new_axes={"r": 9},
        dtype=float,
        concatenate=True,
        meta=np.empty((0, 0, 0, 0)),
    )


def _packed(field: xr.Dataset) -> Any:
    """The field as one C-contiguous (z, y, x, 3) block, made once and shared by all tasks."""
    import dask.array as da

    order = SPATIAL[::-1]
    parts = []
    for name in components(field):
        array = field[name]
        array = array.expand_dims([d for d in order if d not in array.dims]).transpose(*order)
        parts.append(da.asarray(array.data))
    stacked = da.stack(parts, axis=-1)
    return stacked.rechunk(-1).map_blocks(_as_kernel_input, dtype=stacked.dtype)


def _as_kernel_input(block: np.ndarray) -> np.ndarray:
    kind = np.float32 if block.dtype in (np.float16, np.float32) else np.float64
    if not np.isfinite(block).all():
        where = np.argwhere(~np.isfinite(block))[0]
        raise SnapshotError(
            f"B{'xyz'[where[-1]]} is not finite at (z, y, x) = {tuple(where[:-1].tolist())}: fill it before tracing"
        )
    return np.ascontiguousarray(block, kind)


def _geometry(field: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Origin, cell size and periodicity in x, y, z order; an ignorable axis is one periodic cell."""
    limits, widths, kinds = box(field), spacing(field), boundaries(field)
    origin = np.array([limits[d][0] if d in limits else 0.0 for d in SPATIAL])
    width = np.array([widths.get(d, 1.0) for d in SPATIAL])
    periodic = np.array([kinds.get(d, "periodic") == "periodic" for d in SPATIAL])
    return origin, width, periodic


def _trace_task(field, position, direction, radius, reference, lengths, counts, *, geometry) -> np.ndarray:
    """NumPy adaptor of the kernel for one block: (row, 1, particle, save)."""
    from mmfields.kernels.trace import trace_block

    origin, width, periodic = geometry
    rigidity = float(radius[0]) * float(reference)
    if not (np.isfinite(rigidity) and rigidity > 0):
        raise SnapshotError(
            f"gyroradius times reference field is {rigidity}: give particles a positive reference_field"
        )
    rows = trace_block(
        field,
        origin,
        width,
        periodic,
        np.ascontiguousarray(position[0]),
        np.ascontiguousarray(direction[0]),
        rigidity,
        np.ascontiguousarray(lengths[0]),
        np.ascontiguousarray(counts[0]),
    )
    return rows[:, None]

"""Field lines from seeds, lazily: ``mm.field_lines``."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields._types import Number, Saved, Seeds
from mmfields.conventions import (
    FIELD_LINES,
    SPATIAL,
    ArgumentError,
    SnapshotError,
    components,
    require_plain,
    require_whole,
    saved_lengths,
    spacing,
    warn,
)
from mmfields.fields import Analytic, Sum
from mmfields.kernels.setup import Pusher
from mmfields.provenance import verb
from mmfields.tracing.blocks import LEAST, particles_at_once
from mmfields.tracing.evolving import Moving
from mmfields.tracing.fields import Source, of_snapshot, of_synthetic
from mmfields.tracing.graph import apart
from mmfields.tracing.lines_rounds import run_lines_in_blocks
from mmfields.tracing.lines_task import SIDES, Sampled, points_of, run_lines, scalars_of
from mmfields.tracing.own import source_of_function, source_of_sum
from mmfields.tracing.rules import MOST_STEPS, too_long
from mmfields.tracing.task import Task
from mmfields.turbulence import Synthetic
from mmfields.units import LENGTH, carried, plain, require_same_units

INTERPOLATIONS = ("linear", "cubic", "faces")
# Attrs of seeds: how neighbours were displaced.
HANDED_ON = ("normal", "separation")
# Lines of a task by default, and tasks by default at most.
LINES, MOST_TASKS = 128, 1000
# Powers of the root of x⁴ = x + 1: their multiples modulo one fill the unit cube more evenly than random numbers.
EVEN = 1.22074408460575947536 ** -np.arange(1.0, 4.0)
LONG_NAMES = {
    **{d: f"unwrapped position along {d}" for d in SPATIAL},
    **{f"b{d}": f"direction of the field along {d}" for d in SPATIAL},
    "B": "field strength",
    "error": "sum of the estimated errors of the steps so far",
    "alive": "the line has not ended",
    **{f"ends_{side}": f"arc length at which the line ends {side}" for side in SIDES},
}


@renamed(sample="variables")
@verb
def field_lines(
    field: xr.Dataset | Synthetic | Analytic | Sum,
    seeds: Seeds,
    *,
    length: Number,
    step: Number,
    save: Saved = 100,
    interpolation: Literal["linear", "cubic", "faces"] = "linear",
    variables: Sequence[str] = (),
    block: int | None = None,
) -> xr.Dataset:
    """Magnetic field lines through seeds, in both directions, lazily.

    Each line solves dr/ds = B/|B| by the classical Runge-Kutta rule of fourth order with even steps.  ``error`` adds
    up, over the steps, the difference to the embedded rule of third order, and what steps twice as long would change in
    Simpson's rule over the slopes.  In a smooth field that is more than what the steps themselves add; by how much the
    divergence of the lines enlarges it on the way it does not know.  The trilinear field has bends at the faces of
    cells, which keep the error second order in the step, that of the faces jumps there, which makes it first order; the
    cubic one does neither.  Results do not depend on chunks, scheduler or workers.

    Parameters
    ----------
    field : xarray.Dataset, PlaneWaves or NestedGrids, or what :mod:`mmfields.fields` gives
        Snapshot with ``Bx By Bz``, or several along ``time``; missing spatial dims are ignorable axes.  Lines wrap
        around periodic axes and are not brought back; they end at faces that are open or reflect, and where there is
        no field.  Of what moves, waves and functions of time, they are those at time 0.
    seeds : int, (n, 3) array, or xarray.Dataset
        So many points spread evenly over the box; points x, y, z [the field's length unit] or a Quantity; ``x y z``
        over any dims, such as particles or a plane, lazy where they are, each of whose chunks is a task; or what this
        function has given, lines that are to be continued: the result then holds all of them, and is that of a run
        without a break, to the bit where the saved arc lengths are the same.
    length : float or astropy Quantity
        Arc length in each direction, from the seed.
    step : float or astropy Quantity
        Longest step; between two saved points there is an even number of them, the fewest.
    save : int, or sequence of float or Quantity
        So many evenly spaced points in each direction beside the seed, beyond what has been done; or arc lengths from
        the seed.
    interpolation : {"linear", "cubic", "faces"}
        Of a snapshot, as in :func:`mmfields.trace`.
    variables : sequence of str
        Scalars of the snapshot that are saved too, interpolated between cell centres.
    block : int, optional
        Cells along a side of the blocks that a snapshot is divided into, as in :func:`mmfields.trace`; by default those
        that workers need for a field that none of them can hold.

    Returns
    -------
    xarray.Dataset
        Over (``time``,) the dims of the seeds (``line`` for an array) and ``path``, the arc length from the seed,
        negative against the field: unwrapped ``x y z``, unit vector ``bx by bz``, ``B``, ``error``, ``alive``, and what
        was sampled; ``ends_forward`` and ``ends_backward``, the arc length at which a line ends, NaN where it goes on;
        scalars ``mean_Bx|y|z`` and ``B_rms``.  A line that has ended stays where it did.

    Raises
    ------
    ArgumentError
        If a number, an interpolation or a name is unusable.
    SnapshotError
        If field or seeds are, or scalars are to be sampled from a field in blocks; when computed, if it is not finite
        or a seed lies outside the walls.

    Warns
    -----
    MmfieldsWarning
        If steps are longer than a cell, than an eighth of the shortest wave beside a snapshot, or than the smallest
        structure of a function.

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("mhd_turbulence")
    >>> lines = mm.field_lines(ds, 64, length=2.0, step=0.005)
    >>> lines["x"].sizes["path"]
    201
    """
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(f"interpolation={interpolation!r}: one of {', '.join(INTERPOLATIONS)} is needed")
    known = carried(field, seeds) if isinstance(seeds, xr.Dataset) else carried(field)
    units = xr.Dataset(attrs=known)
    way, step = (plain(value, name, units, LENGTH) for name, value in (("length", length), ("step", step)))
    saved = save if isinstance(save, int | np.integer) else plain(save, "save", units, LENGTH)
    if not isinstance(field, Synthetic | Analytic | Sum | xr.Dataset):
        raise ArgumentError(
            f"{type(field).__name__}: lines are followed through a snapshot, plane waves, nested grids, or what "
            "mm.fields gives"
        )
    if isinstance(field, Sum):
        if block is not None:
            raise ArgumentError(f"block={block}: such a field is not divided, leave it out")
        _check_sampled(field.snapshot, variables)
        source, how = source_of_sum(field, interpolation), f"{interpolation}, beside {field.waves.label()}"
        return _lines(source, field.snapshot, seeds, (way, step, saved), how, variables).assign_attrs(known)
    if isinstance(field, Synthetic | Analytic):
        if interpolation != "linear" or len(variables) or block is not None:
            said = f"interpolation={interpolation!r}, variables={variables!r}, block={block!r}"
            raise ArgumentError(f"{said}: leave out what is of snapshots")
        return _lines(_of_no_grid(field), field, seeds, (way, step, saved), field.label(), ()).assign_attrs(known)
    names = components(field)
    _check_sampled(field, variables)
    options = (way, step, saved), interpolation, variables
    if block is not None:
        require_whole(block, "block", LEAST)
    if not (extra := [str(d) for d in field[names[0]].dims if d not in SPATIAL]):
        return _lines(_source(field, interpolation, block), field, seeds, *options).assign_attrs(known)
    (dim,) = extra
    runs = []
    for i in range(field.sizes[dim]):
        one = field.isel({dim: i}, drop=True)
        own = seeds.isel({dim: i}, drop=True) if isinstance(seeds, xr.Dataset) and dim in seeds.dims else seeds
        runs.append(_lines(_source(one, interpolation, block), one, own, *options))
    labels = field[dim] if dim in field.coords else dim
    joined = xr.concat(runs, labels, data_vars="all", coords="minimal", compat="override", combine_attrs="override")
    return joined.assign_attrs(known)


def _source(field: xr.Dataset, interpolation: str, block: int | None) -> Source:
    """A snapshot, as a whole or in blocks."""
    spacing(field)  # its axes are in one unit
    return of_snapshot(field, interpolation, None, None, block)


def _of_no_grid(field: Synthetic | Analytic) -> Source:
    """Waves, grids of several scales, or a function, as they are at time 0."""
    if isinstance(field, Analytic):
        return source_of_function(field, Moving(0.0, True, field.function))
    return replace(of_synthetic(field, None), interpolation=field.kernel_form()[0])


def _check_sampled(field: xr.Dataset, sample: Sequence[str]) -> None:
    if isinstance(sample, str):
        raise ArgumentError(f"variables={sample!r}: a list of names is needed, [{sample!r}]")
    shape = dict(field[components(field)[0]].sizes)
    for name in sample:
        if name not in field or dict(field[name].sizes) != shape:
            raise SnapshotError(f"variables={name!r} is no variable over {list(shape)} among {list(field.data_vars)}")
        if name in (*SPATIAL, *LONG_NAMES):
            raise ArgumentError(f"variables={name!r} is the name of what lines hold in any case: rename it")


def _lines(
    source: Source, field: Any, seeds: Any, way: tuple[float, float, Any], how: str, sample: Sequence[str]
) -> xr.Dataset:
    """Lines through one field."""
    start, done = _seeds(field, seeds)
    length, step, save = way
    said = _check_step(source, require_plain(step, "step"), length)
    if source.plan is not None and len(sample):
        raise SnapshotError(f"variables={list(sample)}: scalars are not sampled from a field in blocks, leave them out")
    pieces = [] if done is None else [done]
    for name, sign in SIDES.items():
        begin = 0.0 if done is None else float(np.abs(done["path"].values[-1 if sign > 0 else 0]))
        path = saved_lengths(length, save, begin)
        if done is not None or sign < 0:  # the seed and what has been done are there
            path = path[path > begin]
        seed = start[name] if done is not None else start
        piece = _followed(source, seed, (begin, path, float(step)), sign)
        pieces.append(piece.rename(left=f"ends_{name}"))
    result = _joined(pieces, source)
    if sample:
        result = result.assign(Sampled(field, source.interpolation, source.geometry).along(result, sample))
    for name, value in source.means.items():
        result[name] = value.drop_attrs().assign_attrs(source.strength)
    handed = {k: v for k, v in getattr(seeds, "attrs", {}).items() if k in HANDED_ON}
    notes = {**handed, "kind": FIELD_LINES, "interpolation": how, "step": float(step), **said}
    walls = {f"boundary_{d}": kind for d, kind in source.walls.items()}
    return _same_as_before(result, done, notes).assign_attrs(walls)


def _check_step(source: Source, step: np.ndarray, length: float) -> dict[str, str]:
    """Refuse steps that are none; for the attrs, that they skip the field between."""
    if step.ndim or not step > 0:
        raise ArgumentError(f"step={step}: a positive length is needed")
    if length / step > MOST_STEPS:
        raise ArgumentError(f"step={step:g} makes {length / step:.3g} steps of the way: lengthen it")
    if not (said := too_long(source, float(step))):
        return {}
    if source.plan is not None:
        raise ArgumentError(f"{said}: in blocks a step of a cell at most is needed, step={source.cell / 2:g}")
    warn(f"{said}: take step={source.cell / 2:g}")
    return {"long_steps": said}


def _seeds(field: Any, seeds: Any) -> tuple[Any, xr.Dataset | None]:
    """Seeds as a Dataset of what the kernel takes, or of both sides where there are lines to go on with; and these."""
    if isinstance(seeds, xr.Dataset) and seeds.attrs.get("kind") == FIELD_LINES and "path" in seeds.dims:
        return _ends(seeds), seeds
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool | np.bool_):
        if seeds < 1:
            raise ArgumentError(f"seeds={seeds}: at least one is needed")
        return _fresh(_spread(field, int(seeds))), None
    if not isinstance(seeds, xr.Dataset):
        places = require_plain(plain(seeds, "seeds", xr.Dataset(attrs=carried(field)), LENGTH), "seeds")
        if places.ndim != 2 or places.shape[1] != 3 or not len(places):
            raise ArgumentError(f"seeds of shape {places.shape}: a number, or points (n, 3) x, y, z are needed")
        return _fresh(xr.Dataset({d: ("line", places[:, i]) for i, d in enumerate(SPATIAL)})), None
    if missing := [d for d in SPATIAL if d not in seeds.variables]:
        raise SnapshotError(f"seeds lack {missing}: points x, y, z over one or more dims are needed")
    if "path" in seeds.dims:
        raise SnapshotError("seeds have dim 'path': select where lines shall begin, such as isel(path=0)")
    require_same_units(field, seeds)
    named = {d: seeds[d].variable for d in SPATIAL}
    places = xr.broadcast(*(xr.DataArray(v) for v in named.values()))
    if not places[0].ndim or not places[0].size:
        raise SnapshotError("seeds have no dims, or none are there: points over a dim such as 'line' are needed")
    kept = {
        n: c.variable
        for n, c in seeds.coords.items()
        if n not in (*SPATIAL, "path") and set(c.dims) <= set(places[0].dims)
    }
    return _fresh(xr.Dataset(dict(zip(SPATIAL, places, strict=True)), kept)), None


def _fresh(places: xr.Dataset) -> xr.Dataset:
    """Seeds of which nothing has been followed."""
    zero = xr.zeros_like(places["x"], float)
    return places.assign(error=zero, left=zero * np.nan, alive=xr.ones_like(places["x"], np.uint8))


def _ends(lines: xr.Dataset) -> dict[str, xr.Dataset]:
    """Where lines go on, on both sides."""
    path = lines["path"].values
    if not (path[0] < 0 < path[-1]):
        raise SnapshotError(f"the lines reach from {path[0]:g} to {path[-1]:g} alone: continue them as they were made")
    result = {}
    for name, sign in SIDES.items():
        at = lines.isel(path=-1 if sign > 0 else 0, drop=True)
        at = at.assign(left=at[f"ends_{name}"], alive=at["alive"].astype(np.uint8))
        result[name] = at[[*SPATIAL, "error", "left", "alive"]]
    return result


def _spread(field: Any, n: int) -> xr.Dataset:
    """Points that fill the box evenly."""
    from mmfields.conventions import box

    limits = (
        field.limits() if isinstance(field, Synthetic | Analytic) else dict.fromkeys(SPATIAL, (0.0, 1.0)) | box(field)
    )
    part = (0.5 + np.arange(1, n + 1)[:, None] * EVEN) % 1.0
    return xr.Dataset(
        {d: ("line", limits[d][0] + part[:, i] * (limits[d][1] - limits[d][0])) for i, d in enumerate(SPATIAL)}
    )


def _followed(source: Source, seeds: xr.Dataset, way: tuple[float, np.ndarray, float], sign: int) -> xr.Dataset:
    """Saved points on one side, in the order of `path`, which is negative on the other one."""
    import dask.array as da

    from mmfields.kernels.lines import POINT, SEED

    begin, path, step = way
    dims = seeds["x"].dims
    task = Task(source.geometry, source.interpolation, begin, path, 0.0, True, None, Pusher.NONE, ())
    axes = tuple(range(len(dims)))
    run: Any = partial(run_lines_in_blocks, divided=source.plan)
    if source.plan is None:
        run = run_lines if source.moving is None else partial(run_lines, function=source.moving.own)
    at_once = LINES if source.plan is None else particles_at_once(POINT.itemsize * len(path))
    rows = da.blockwise(
        *(run, (*axes, len(dims)), source.data, None, apart(_records(seeds, SEED, at_once)), axes),
        task=task,
        step=step,
        sign=sign,
        new_axes={len(dims): len(path)},
        dtype=POINT,
        meta=np.empty((0,) * (len(dims) + 1), POINT),
    )
    signed = path if sign > 0 else -path[::-1]
    variables = {}
    for name in POINT.names:
        values = points_of(rows, name, bool if name == "alive" else POINT[name])
        values = values if sign > 0 else values[..., ::-1]
        variables[name] = (*dims, "path"), values
    last = -1 if sign > 0 else 0
    variables["left"] = dims, variables["left"][1][..., last]
    coords = {n: c.variable for n, c in seeds.coords.items() if n not in SPATIAL}
    return xr.Dataset(variables, {"path": ("path", signed), **coords})


def _records(seeds: xr.Dataset, kind: np.dtype, at_once: int) -> Any:
    """Seeds as one Dask array of the kernel's records, those in memory so many at once or more."""
    import dask.array as da

    parts = [seeds[name].data for name in kind.names]
    chunks = next((part.chunks for part in parts if hasattr(part, "dask")), None)
    if chunks is None:
        joined = scalars_of(*parts, kind=kind)
        first = max(1, at_once * max(1, -(-joined.size // (at_once * MOST_TASKS))) // int(np.prod(joined.shape[1:])))
        return da.from_array(joined, chunks=(first, *joined.shape[1:]))
    parts = [da.asarray(part).rechunk(chunks) for part in parts]
    meta = np.empty((0,) * parts[0].ndim, kind)
    return da.map_blocks(scalars_of, *parts, kind=kind, dtype=kind, meta=meta)


def _joined(pieces: Sequence[xr.Dataset], source: Source) -> xr.Dataset:
    """Both sides, and what was there before, along ``path``."""
    ends = {n: piece[n] for piece in pieces for n in LONG_NAMES if n.startswith("ends") and n in piece}
    plain_ = [piece[[n for n in LONG_NAMES if n in piece and not n.startswith("ends")]] for piece in pieces]
    order = sorted(plain_, key=lambda piece: float(piece["path"][0]))
    result = xr.concat(
        order, "path", data_vars="minimal", coords="minimal", compat="override", combine_attrs="drop", join="override"
    ).assign(ends)
    for name in result.data_vars:
        result[name].attrs = {"long_name": LONG_NAMES[name], **({} if name == "alive" else source.length)}
    for d in SPATIAL:
        result[f"b{d}"].attrs["units"] = "1"
    result["B"].attrs |= source.strength
    result["path"].attrs = {**source.length, "long_name": "arc length from the seed"}
    return result


def _same_as_before(result: xr.Dataset, done: xr.Dataset | None, notes: dict[str, Any]) -> xr.Dataset:
    """Attrs, which must hold for what was there before too."""
    for name in ("interpolation", "step"):
        if done is not None and done.attrs.get(name) != notes[name]:
            raise SnapshotError(
                f"the lines were made with {name}={done.attrs.get(name)!r} and would go on with {notes[name]!r}: take "
                "the same"
            )
    return result.assign_attrs(notes)

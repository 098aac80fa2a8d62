"""Structure functions: moments of increments against their separation along and across the mean field."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from mmfields.anisotropy.subvolumes import jackknife, require_subvolumes
from mmfields.conventions import (
    SPATIAL,
    SnapshotError,
    aligned,
    boundaries,
    components,
    derived_units,
    mean_direction,
    require_direction,
    require_number,
    require_values,
    require_whole,
    spacing,
    spatial_dims,
    stacked,
    unit_attrs,
)
from mmfields.provenance import verb

FRAMES = ("local", "global")
# Where the points of an increment lie, in units of the separation, and their weights; the square of the increment
# of white noise has the same mean with either once it is multiplied by the last number.
POINTS = {2: ((0, 1), (-1.0, 1.0), 1.0), 5: ((-2, -1, 0, 1, 2), (1.0, -4.0, 6.0, -4.0, 1.0), 1.0 / 35.0)}
HIGHEST_ORDER = 6
# Separations that sampled pairs have, drawn once for all of them.
DRAWN = 4096
# Entries of the tables that bins are looked up in.
TABLE = 4096
# A block of a chunked field, with what lies around it, takes about this much memory at most, where it can.
BLOCK_BYTES = 1 << 30


@verb
def structure_function(
    ds: xr.Dataset,
    of: str = "B",
    *,
    order: int | Sequence[int] = 2,
    points: int = 2,
    frame: str = "local",
    direction: str | Sequence[float] | None = None,
    pairs: int = 1_000_000,
    seed: int = 0,
    lags: str | np.ndarray | None = None,
    reach: float | None = None,
    bins: int | Sequence[float] = 16,
    angles: int | Sequence[float] = 6,
    subvolumes: int = 3,
) -> xr.Dataset:
    """Moments ⟨|δ|^p⟩ of increments over (l_perp, l_par), and over the separation's length and angle.

    With two points δ = f(x + l) - f(x); with five δ = [f(x-2l) - 4f(x-l) + 6f(x) - 4f(x+l) + f(x+2l)]/√35, which
    is blind to gradients of the large scales and agrees with two points on white noise.  In the local frame the
    mean field of a pair is the sum of B over its points (Cho & Vishniac 2000); such a structure function mixes
    orders and is not a spectrum (Matthaeus et al. 2012).

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot with ``Bx By Bz``; lazy where it is, and taken block by block, each with its surroundings up to
        the longest separation.  Pairs wrap around periodic axes and stay inside the others.
    of : str
        Letter of a vector (the increment is its modulus), or the name of one variable.
    order : int or several
        1 to 6.
    points : {2, 5}
    frame : {"local", "global"}
        Mean field of each pair, or of the box.
    direction : str or three numbers, optional
        What parallel means in the global frame; the mean field by default.
    pairs : int
        Pairs that are sampled, everywhere in the box alike; their separations are isotropic, and even in the
        logarithm of their length, on the lattice.
    seed : int
        Key of the samples: the same pairs for any chunks, scheduler and number of workers.
    lags : "all" or (m, 3) array of int, optional
        Instead of samples, all pairs of the lattice at all separations up to `reach`, or at those given
        (x, y, z, in cells).
    reach : float, optional
        Longest separation, at most half the shortest axis with two points, an eighth with five.  By default half
        of the former, all of the latter, but no more than 64 cells with two and 32 with five: a block of a chunked
        field is read with twice as much of its surroundings, so that longer separations need larger blocks.
    bins : int or ascending edges
        Of l_par, l_perp and l; a number asks for one from 0 to half a cell and the others even in the logarithm.
    angles : int or ascending edges [degrees]
        Of the angle between separation and field, 0 to 90.
    subvolumes : int
        Per axis, whose scatter gives the errors; 0 for none.

    Returns
    -------
    xarray.Dataset
        ``structure`` and ``pairs`` over (``l_perp``, ``l_par``), ``structure_angle`` and ``pairs_angle`` over
        (``l``, ``angle``), with ``…_error``; after ``order`` where several were asked for, and ``time``.  Bins
        without pairs are NaN.  Edges are coordinates ``l_edges`` and ``angle_edges``; means of powers of the
        field's unit.

    Raises
    ------
    SnapshotError
        If an argument is not possible, the reach is too long for the box or below one cell; and when it is
        computed, if the field is not finite, or has no mean direction in the global frame and none is given.
    """
    plan = _planned(ds, order, points, frame, pairs, seed, lags, reach, bins, angles, subvolumes)
    dims = spatial_dims(ds)
    names = list(components(ds, of)) if isinstance(of, str) and f"{of}x" in ds else [of]
    if names == [of] and (not isinstance(of, str) or of not in ds or not set(dims) <= set(ds[of].dims)):
        raise SnapshotError(
            f"of={of!r}: a vector's letter or a variable over {dims}, of {list(ds.data_vars)}, is needed"
        )
    field = [f"B{d}" for d in plan.axes()] if frame == "local" else []
    taken = field if set(names) == set(field) else [*field, *names]
    along = mean_direction(ds, "z" if frame == "local" else direction)
    lead, arrays, (along,) = aligned([ds[n] for n in taken], [along], dims)
    first = len(taken) - len(names)
    plan = replace(plan, names=tuple(taken), values=(first, first + len(names)))
    sums = _summed(arrays, along, plan)
    return _labelled(ds, sums, plan, lead, names, several=not isinstance(order, int | np.integer))


@dataclass(frozen=True)
class _Plan:
    """What is asked for, in cells of the snapshot: all of it small, and sent along with every block."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    widths: tuple[float, ...]
    periodic: tuple[bool, ...]
    orders: tuple[int, ...]
    points: int
    local: bool
    pairs: int
    seed: int
    lags: np.ndarray
    edges: np.ndarray
    turns: np.ndarray
    groups: int
    names: tuple[str, ...] = ()
    values: tuple[int, int] = (0, 0)

    def axes(self) -> list[str]:
        """Components of a vector in the order of the kernels: the fastest axis first, then those that are missing."""
        return [*self.dims[::-1], *(d for d in SPATIAL if d not in self.dims)]

    def margins(self) -> tuple[tuple[int, int], ...]:
        """Cells before and after a block, along each axis, that its pairs reach."""
        steps = POINTS[self.points][0]
        reached = np.array([s * self.lags for s in steps]).reshape(-1, 3)[:, 3 - len(self.dims) :]
        return tuple(zip((-reached.min(axis=0)).tolist(), reached.max(axis=0).tolist(), strict=True))


def _planned(ds, order, points, frame, pairs, seed, lags, reach, bins, angles, subvolumes) -> _Plan:
    """Check the arguments; nothing is computed."""
    components(ds)
    require_subvolumes(subvolumes)
    orders = tuple(order) if isinstance(order, list | tuple | np.ndarray) else (order,)
    orders = tuple(require_whole(o, "order", 1) for o in orders)
    if not orders or max(orders) > HIGHEST_ORDER or len(set(orders)) < len(orders):
        raise SnapshotError(f"order={order!r}: different whole numbers from 1 to {HIGHEST_ORDER} are needed")
    require_whole(pairs, "pairs", 1), require_whole(seed, "seed", 0)
    if not isinstance(points, int) or points not in POINTS or frame not in FRAMES:
        raise SnapshotError(f"points={points!r}, frame={frame!r}: 2 or 5, and one of {', '.join(FRAMES)}, are needed")
    dims, widths, kinds = spatial_dims(ds), spacing(ds), boundaries(ds)
    shape = tuple(ds.sizes[d] for d in dims)
    extent = POINTS[points][0][-1] - POINTS[points][0][0]
    lengths = [n * widths[d] for n, d in zip(shape, dims, strict=True) if n > 1]
    if not lengths:
        raise SnapshotError("a snapshot of one cell has no increments")
    given = lags is not None and not isinstance(lags, str)
    if not given:
        reach = _reach(reach, min(lengths), min(w for d, w in widths.items() if ds.sizes[d] > 1), points)
    cells = np.array([1.0] * (3 - len(dims)) + [widths[d] for d in dims])
    axes = np.array([0] * (3 - len(dims)) + [int(n > 1) for n in shape])
    if given:
        table = _given_lags(lags, dims, shape, extent)
        reach = float(np.linalg.norm(table * cells, axis=1).max())
    elif lags == "all":
        table = _all_lags(reach, cells, axes)
    elif lags is None:
        table = _drawn_lags(reach, cells, axes, seed)
    else:
        raise SnapshotError(f"lags={lags!r}: 'all', or an array (m, 3) of whole numbers of cells, is needed")
    edges, turns = _edges(bins, reach, cells, axes), _turns(angles)
    return _Plan(
        dims=dims,
        shape=shape,
        widths=tuple(widths[d] for d in dims),
        periodic=tuple(kinds[d] == "periodic" for d in dims),
        orders=tuple(int(o) for o in orders),
        points=points,
        local=frame == "local",
        pairs=int(pairs) if lags is None else 0,
        seed=int(seed),
        lags=table,
        edges=edges,
        turns=turns,
        groups=max(int(subvolumes), 1),
    )


def _reach(reach: float | None, shortest: float, cell: float, points: int) -> float:
    """Longest separation, checked: all points of a pair lie within half the box."""
    longest = shortest / (2 if points == 2 else 8)
    if reach is None:
        value = max(cell, min(shortest / (4 if points == 2 else 8), cell * (64 if points == 2 else 32)))
    else:
        value = require_number(reach, "reach")
    if not cell <= value <= longest * (1 + 1e-12):
        raise SnapshotError(
            f"reach={value:g}: with {points} points it lies between the cell, {cell:g}, and {longest:g}, so that all "
            "points of a pair fit into half the shortest axis"
        )
    return value


def _half(lags: np.ndarray) -> np.ndarray:
    """One of l and -l, which are the same pairs, in the order of z, y, x; none of length 0."""
    lags = lags[(lags != 0).any(axis=1)]
    leading = np.take_along_axis(lags, (lags != 0).argmax(axis=1)[:, None], axis=1)
    lags = np.where(leading < 0, -lags, lags)
    return lags[np.lexsort(lags.T[::-1])]


def _drawn_lags(reach: float, cells: np.ndarray, axes: np.ndarray, seed: int) -> np.ndarray:
    random = np.random.default_rng([seed, 5])
    size = np.exp(random.uniform(0.0, np.log(reach / cells[axes == 1].min()), DRAWN)) * cells[axes == 1].min()
    arrow = random.normal(size=(DRAWN, 3)) * axes
    arrow *= (size / np.linalg.norm(arrow, axis=1))[:, None]
    lags = np.rint(arrow / cells).astype(np.int64)
    return _half(lags[np.linalg.norm(lags * cells, axis=1) <= reach])


def _all_lags(reach: float, cells: np.ndarray, axes: np.ndarray) -> np.ndarray:
    most = (np.floor(reach / cells * (1 + 1e-12)) * axes).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[np.linalg.norm(grid * cells, axis=1) <= reach * (1 + 1e-12)]
    return np.unique(_half(grid), axis=0)


def _given_lags(lags: Any, dims: Sequence[str], shape: Sequence[int], extent: int) -> np.ndarray:
    try:
        table = np.asarray(lags)
    except ValueError:
        table = np.empty(0)
    if (
        table.ndim != 2
        or table.shape[1] != 3
        or table.dtype.kind not in "iu"
        or not len(table)
        or not table.any(axis=1).all()
    ):
        raise SnapshotError(
            "lags: an array (m, 3) of whole numbers of cells along x, y, z is needed, none of them zero"
        )
    sizes = dict(zip(dims, shape, strict=True))
    most = np.array([(sizes.get(d, 1) - 1) // extent if extent > 1 else sizes.get(d, 1) - 1 for d in SPATIAL])
    if (bad := ((table > most) | (table < -most)).any(axis=1)).any():
        raise SnapshotError(f"lag {table[bad][0].tolist()} (x, y, z) does not fit: {most.tolist()} cells is the most")
    order = [d for d in SPATIAL if d not in dims] + list(dims)
    return np.unique(_half(table[:, [SPATIAL.index(d) for d in order]].astype(np.int64)), axis=0)


def _edges(bins: Any, reach: float, cells: np.ndarray, axes: np.ndarray) -> np.ndarray:
    if isinstance(bins, int | np.integer):
        require_whole(bins, "bins", 2)
        low = cells[axes == 1].min() / 2
        return np.concatenate([[0.0], np.geomspace(low, reach * (1 + 1e-9), int(bins))])
    return _ascending("bins", bins, 0.0, np.inf)


def _turns(angles: Any) -> np.ndarray:
    """Edges of the angle [degrees]."""
    if isinstance(angles, int | np.integer):
        require_whole(angles, "angles", 1)
        return np.linspace(0.0, 90.0, int(angles) + 1)
    return _ascending("angles", angles, 0.0, 90.0)


def _ascending(name: str, edges: Any, low: float, high: float) -> np.ndarray:
    found = require_values(edges, name)
    if len(found) < 2 or (np.diff(found) <= 0).any() or found[0] < low or found[-1] > high:
        raise SnapshotError(f"{name}: ascending edges within {low:g} and {high:g} are needed")
    return found


def _summed(arrays: Sequence[Any], along: Any, plan: _Plan) -> Any:
    """Sums over all blocks, (…, groups, numbers): NumPy or lazy as the fields are."""
    rank = len(plan.dims)
    lead = arrays[0].shape[: arrays[0].ndim - rank]
    lazy = any(hasattr(a, "dask") for a in (*arrays, along))
    parts = []
    for index in np.ndindex(*lead):
        fields, axis = [a[index] for a in arrays], along[index]
        parts.append(_lazy(fields, axis, plan) if lazy else _whole(fields, axis, plan))
    return stacked(parts, lead)


def _whole(fields: Sequence[np.ndarray], along: np.ndarray, plan: _Plan) -> np.ndarray:
    """The box as one block, its tiles shared among threads."""
    cores = tuple((0, n) for n in plan.shape)
    return _block(_packed(*fields, plan=plan), along, plan=plan, core=cores, threads=os.cpu_count() or 1)


def _lazy(fields: Sequence[Any], along: Any, plan: _Plan) -> Any:
    """Block by block, each read with its surroundings from the packed field."""
    import dask
    import dask.array as da

    block, asked = dask.delayed(_block, pure=True), dask.delayed(plan, pure=True, traverse=False)
    fields = [da.asarray(f) for f in fields]
    kind = _kind(fields)
    cells = da.map_blocks(
        _packed,
        *(f.rechunk(fields[0].chunks) for f in fields),
        plan=plan,
        new_axis=fields[0].ndim,
        chunks=(*fields[0].chunks, (_width(plan),)),
        dtype=kind,
        meta=np.empty((0,) * (fields[0].ndim + 1), kind),
    )
    shape = (int(np.prod([min(plan.groups, n) for n in plan.shape])), _numbers(plan))
    sizes, sums = _core(plan, kind.itemsize), []
    for corner in product(*(range(0, n, c) for n, c in zip(plan.shape, sizes, strict=True))):
        core = tuple((a, min(a + c, n)) for a, c, n in zip(corner, sizes, plan.shape, strict=True))
        one = block(_cut(cells, _around(core, plan)), along, plan=asked, core=core)
        sums.append(da.from_delayed(one, shape, np.float64, meta=np.empty((0, 0))))
    return da.stack(sums).sum(axis=0) if len(sums) > 1 else sums[0]


def _numbers(plan: _Plan) -> int:
    many = len(plan.edges)
    return many * (many + len(plan.turns)) * (1 + len(plan.orders))


def _around(core: Sequence[tuple[int, int]], plan: _Plan) -> list[tuple[int, int]]:
    """Cells that the pairs of a block reach, beyond the ends where the axis wraps; all of it where that is less."""
    around = []
    for (a, b), (low, high), n, periodic in zip(core, plan.margins(), plan.shape, plan.periodic, strict=True):
        first, last = (a - low, b + high) if periodic else (max(a - low, 0), min(b + high, n))
        around.append((0, n) if last - first >= n else (first, last))
    return around


def _cut(field: Any, around: Sequence[tuple[int, int]]) -> Any:
    """Cells of a Dask array that may lie beyond its ends."""
    import dask.array as da

    for axis, (first, last) in enumerate(around):
        n = field.shape[axis]
        pieces = (
            [(first + n, n), (0, last)] if first < 0 else [(first, n), (0, last - n)] if last > n else [(first, last)]
        )
        parts = [field[(*(slice(None),) * axis, slice(a, b))] for a, b in pieces]
        field = da.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]
    return field


def _core(plan: _Plan, size: int) -> tuple[int, ...]:
    """Sizes of the blocks, multiples of a tile.

    Those that read least of their surroundings and fit into memory; larger ones where they would read too much.
    """
    from mmfields.kernels.increments import TILE

    choices = []
    for n in plan.shape:
        choices.append(sorted({min(n, max(1, -(-n // parts // TILE)) * TILE) for parts in (1, 2, 4, 8, 16, 32, 64)}))
    best = None
    for sizes in product(*choices):
        read = [b - a for a, b in _around([(0, c) for c in sizes], plan)]
        held = float(np.prod(read)) * size * _width(plan)
        cost = float(np.prod([r / c for r, c in zip(read, sizes, strict=True)]))
        rank = (cost * max(1.0, held / BLOCK_BYTES) ** 2, held, sizes)
        best = min(best, rank) if best else rank
    return best[-1]


def _width(plan: _Plan) -> int:
    """Numbers per cell of the packed field: a power of two."""
    return 1 << (len(plan.names) - 1).bit_length()


def _block(
    cells: np.ndarray, along: np.ndarray, *, plan: _Plan, core: Sequence[tuple[int, int]], threads: int = 1
) -> np.ndarray:
    """NumPy adaptor of the kernels: sums of one block of the packed field, for up to three axes."""
    from mmfields.kernels import increments

    require_direction(along)
    missing = 3 - len(plan.dims)
    around = _around(core, plan)
    shape = np.array([1] * missing + [b - a for a, b in around])
    wraps = np.array(
        [1] * missing + [int(p and b - a == n) for p, (a, b), n in zip(plan.periodic, around, plan.shape, strict=True)]
    )
    origin = np.array([0] * missing + [a for a, _ in around])
    steps, weights, norm = POINTS[plan.points]
    spacing_ = np.array([1.0] * missing + list(plan.widths))
    length = np.linalg.norm(plan.lags * spacing_, axis=1)
    edges, cosines = plan.edges, np.cos(np.radians(plan.turns[::-1]))
    cosines[0], cosines[-1] = (0.0 if plan.turns[-1] == 90.0 else cosines[0]), np.nextafter(cosines[-1], 2.0)
    rings = _bins(length, edges)
    parts = _tiles(core, plan) if plan.pairs else _rows(core, plan)
    parts[:, :3] -= origin
    direction = along[[SPATIAL.index(d) for d in plan.axes()]]
    columns = np.array([_width(plan), *plan.values, int(plan.local)])
    key = np.random.default_rng([plan.seed, 6]).integers(0, 1 << 32, 2, dtype=np.uint32)
    lags = np.concatenate([plan.lags, rings[:, None]], axis=1).astype(np.int32)
    groups, many = int(np.prod([min(plan.groups, n) for n in plan.shape])), len(edges)

    flat = np.ascontiguousarray(cells).reshape(-1)
    bins, orders = (many**2, many * len(plan.turns)), len(plan.orders)

    def share(own: np.ndarray) -> np.ndarray:
        counts = [np.zeros((groups, b + 1), np.int64) for b in bins]
        sums = [np.zeros((groups, orders, b + 1)) for b in bins]
        increments.add_pairs(
            flat, columns, shape, wraps, own, plan.pairs > 0, key, lags, spacing_, steps, weights, direction,
            *_table(edges), *_table(cosines), norm, np.array(plan.orders), counts[0], sums[0], counts[1], sums[1],
        )  # fmt: skip
        both = [np.concatenate([c[:, None], v], axis=1)[..., :-1] for c, v in zip(counts, sums, strict=True)]
        return np.concatenate([t.swapaxes(1, 2).reshape(groups, -1) for t in both], axis=1)

    shares = [p for p in np.array_split(parts, threads) if len(p)]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(share, shares), np.zeros((groups, _numbers(plan))))


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    found = np.searchsorted(edges, values, side="right") - 1
    return np.where((found < 0) | (found >= len(edges) - 1), len(edges) - 1, found)


def _table(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Edges closed by infinity, bins of the multiples of a small step, and how many of these there are in a unit."""
    scale = TABLE / edges[-1]
    place = (np.arange(TABLE + 1) - 1e-6) / scale  # a value may be rounded up to a multiple
    table = np.maximum(np.searchsorted(edges, place, side="right") - 1, 0).astype(np.uint64)
    return np.append(edges, np.inf), table, scale


def _kind(fields: Sequence[Any]) -> np.dtype:
    return np.result_type(*(f.dtype for f in fields))


def _packed(*fields: np.ndarray, plan: _Plan, block_info: Any = None) -> np.ndarray:
    """Fields side by side in every cell."""
    out = np.empty((*fields[0].shape, _width(plan)), _kind(fields))  # not zeros: those get no huge pages
    out[..., len(fields) :] = 0
    for c, (field, name) in enumerate(zip(fields, plan.names, strict=True)):
        if not np.isfinite(field).all():
            corner = [a for a, _ in block_info[0]["array-location"]] if block_info else [0] * field.ndim
            where = tuple((np.argwhere(~np.isfinite(field))[0] + corner).tolist())
            raise SnapshotError(f"{name} is not finite at index {where}: fill it before its increments")
        out[..., c] = field
    return out


def _groups(place: np.ndarray, plan: _Plan) -> np.ndarray:
    """Sub-volume of cells (m, axes)."""
    counts = [min(plan.groups, n) for n in plan.shape]
    number = np.zeros(len(place), np.int64)
    for axis, (n, g) in enumerate(zip(plan.shape, counts, strict=True)):
        number = number * g + place[:, axis] * g // n
    return number


def _tiles(core: Sequence[tuple[int, int]], plan: _Plan) -> np.ndarray:
    """Tiles of a block, which begins and ends on them: first cell, cells, number, pairs and sub-volume of each."""
    from mmfields.kernels.increments import TILE

    missing = 3 - len(plan.dims)
    counts = [-(-n // TILE) for n in plan.shape]
    grids = [np.arange(a // TILE, -(-b // TILE)) for a, b in core]
    tile = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(counts))
    first = tile * TILE
    sizes = np.minimum(first + TILE, plan.shape) - first
    number = np.ravel_multi_index(tuple(tile.T), counts)
    pairs = _pairs_before(counts, plan)
    columns = [np.zeros((len(tile), missing)), first, np.ones((len(tile), missing)), sizes]
    rest = [number, pairs[number + 1] - pairs[number], _groups(first + sizes // 2, plan)]
    return np.concatenate([*columns, np.stack(rest, axis=1)], axis=1).astype(np.int64)


def _pairs_before(counts: Sequence[int], plan: _Plan) -> np.ndarray:
    """Pairs in all tiles before each, as many as its cells, rounded so that all are there."""
    from mmfields.kernels.increments import TILE

    cells = np.ones(1)
    for count, n in zip(counts, plan.shape, strict=True):
        own = np.full(count, float(TILE))
        own[-1] = n - TILE * (count - 1)
        cells = np.multiply.outer(cells, own)
    share = np.concatenate([[0.0], np.cumsum(cells.ravel())]) / np.prod([float(n) for n in plan.shape])
    return np.rint(share * plan.pairs).astype(np.int64)


def _rows(core: Sequence[tuple[int, int]], plan: _Plan) -> np.ndarray:
    """Rows of a block along its last axis, cut where the sub-volumes are: as tiles of one row."""
    missing = 3 - len(plan.dims)
    last = np.arange(*core[-1])
    group = last * min(plan.groups, plan.shape[-1]) // plan.shape[-1]
    starts = last[np.concatenate([[True], np.diff(group) > 0])]
    ends = np.append(starts[1:], core[-1][1])
    grids = [np.arange(a, b) for a, b in core[:-1]]
    first = np.stack(np.meshgrid(*grids, starts, indexing="ij"), axis=-1).reshape(-1, len(core))
    cells = np.tile(ends - starts, len(first) // len(starts))
    ones, zeros = np.ones((len(first), 2)), np.zeros((len(first), 1))
    columns = [np.zeros((len(first), missing)), first, ones, cells[:, None], zeros, cells[:, None]]
    return np.concatenate([*columns, _groups(first, plan)[:, None]], axis=1).astype(np.int64)


def _labelled(
    ds: xr.Dataset, sums: Any, plan: _Plan, lead: list[str], names: list[str], *, several: bool
) -> xr.Dataset:
    """Means over the pairs of every bin, with their errors."""
    found = xr.apply_ufunc(
        _means,
        xr.DataArray(sums, dims=[*lead, "group", "number"]),
        input_core_dims=[["group", "number"]],
        output_core_dims=[["kind", "number"]],
        kwargs={"orders": len(plan.orders), "errors": plan.groups > 1},
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"kind": 2}, "allow_rechunk": True},
    )
    many, turns, one = len(plan.edges), len(plan.turns), 1 + len(plan.orders)
    split = many * many * one
    out = xr.Dataset()
    for suffix, dims, shape, part in (
        ("", ("l_perp", "l_par"), (many, many), found.isel(number=slice(0, split))),
        ("_angle", ("l", "angle"), (many, turns), found.isel(number=slice(split, None))),
    ):
        data = part.data.reshape(*part.shape[:-1], *shape, one)
        whole = xr.DataArray(data, dims=[*lead, "kind", *dims, "column"])
        whole = whole.isel({d: slice(0, -1) for d in dims})
        if suffix:  # the kernel counts them by the cosine
            whole = whole.isel(angle=slice(None, None, -1))
        moments = whole.isel(column=slice(1, None)).rename(column="order").transpose(*lead, "kind", "order", *dims)
        moments = moments if several else moments.isel(order=0)
        notes = {"of": ", ".join(names), **_unit(ds[names[0]], plan.orders, several=several)}
        out[f"structure{suffix}"] = moments.isel(kind=0).assign_attrs(long_name="structure function", **notes)
        if plan.groups > 1:
            error = moments.isel(kind=1).assign_attrs(long_name="error of the structure function", **notes)
            out[f"structure{suffix}_error"] = error
        out[f"pairs{suffix}"] = whole.isel(kind=0, column=0).assign_attrs(long_name="pairs", units="1")
    return out.assign_coords(_coords(ds, plan, lead, several)).assign_attrs(_attrs(plan, names))


def _unit(field: xr.DataArray, orders: Sequence[int], *, several: bool) -> dict[str, str]:
    """Attrs of a power of a field; of several powers at once there is no one unit."""
    if not several:
        return derived_units((field, orders[0]))
    own = unit_attrs(field)
    if own["units"] != "1":
        return {"units_by_order": f"({own['units']})**order"}
    return own | ({"normalization": f"({own['normalization']})**order"} if "normalization" in own else {})


def _means(sums: np.ndarray, *, orders: int, errors: bool) -> np.ndarray:
    """Pairs and mean powers in every bin (first row), and their errors (second)."""
    one = 1 + orders

    def statistic(flat: np.ndarray) -> np.ndarray:
        table = flat.reshape(*flat.shape[:-1], -1, one)
        means = np.divide(table, table[..., :1], out=np.full_like(table, np.nan), where=table[..., :1] > 0)
        means[..., 0] = table[..., 0]
        return means.reshape(flat.shape)

    value, error = jackknife(sums, statistic)
    return np.stack([value, error if errors else np.full_like(value, np.nan)])


def _coords(ds: xr.Dataset, plan: _Plan, lead: list[str], several: bool) -> dict[str, Any]:
    notes = unit_attrs(ds[plan.dims[0]])
    middles, turns = (plan.edges[1:] + plan.edges[:-1]) / 2, (plan.turns[1:] + plan.turns[:-1]) / 2
    coords = {d: ds[d] for d in lead if d in ds.coords}
    coords |= {
        "l_perp": ("l_perp", middles, {**notes, "long_name": "separation across the field"}),
        "l_par": ("l_par", middles, {**notes, "long_name": "separation along the field"}),
        "l": ("l", middles, {**notes, "long_name": "separation"}),
        "angle": ("angle", turns, {"units": "deg", "long_name": "angle between separation and field"}),
        "l_edges": ("edge", plan.edges, {**notes, "long_name": "edges of the bins of separation"}),
        "angle_edges": ("angle_edge", plan.turns, {"units": "deg", "long_name": "edges of the bins of angle"}),
    }
    return coords | ({"order": ("order", list(plan.orders))} if several else {})


def _attrs(plan: _Plan, names: list[str]) -> dict[str, Any]:
    sampled = {"sampled_pairs": plan.pairs, "seed": plan.seed} if plan.pairs else {}
    frame = {"frame": "local" if plan.local else "global", "points": plan.points, "of": ", ".join(names)}
    return {**frame, **sampled, **({} if len(plan.orders) > 1 else {"order": plan.orders[0]})}

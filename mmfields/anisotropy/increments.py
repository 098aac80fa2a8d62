"""Structure functions: moments of increments against their separation along and across the mean field."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.anisotropy.jackknife import group_sums, jackknife, require_subvolumes
from mmfields.conventions import (
    SPATIAL,
    Grid,
    aligned,
    components,
    derived_units,
    mean_direction,
    per_snapshot,
    require_direction,
    require_number,
    require_values,
    require_whole,
    unit_attrs,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.provenance import verb

FRAMES = ("local", "global")
# Where the points of an increment lie, in units of the separation, and their weights; the square of the increment
# of white noise has the same mean with either once it is multiplied by the last number.
POINTS = {2: ((0, 1), (-1.0, 1.0), 1.0), 5: ((-2, -1, 0, 1, 2), (1.0, -4.0, 6.0, -4.0, 1.0), 1.0 / 35.0)}
HIGHEST_ORDER = 6
# Separations that sampled pairs have, drawn once for all of them.
DRAWN = 4096
# Powers of the root of x⁴ = x + 1: their multiples modulo one fill the unit cube more evenly than random numbers.
EVEN = 1.22074408460575947536 ** -np.arange(1.0, 4.0)
# A separation on the edge of two bins belongs to the upper one, whatever the last bits of the cell size.  Parts of it
# along and across the fields of the pairs have any value, so that their last bits alone may matter.
TIE, TIE_LOCAL = 1e-6, 1e-9
# Parts per axis whose means hold the longest waves, and separations of a bin that are taken for all of its own there.
COARSE, FEW = 12, 24
# Entries of the tables that bins are looked up in.
TABLE = 4096
# A block of a chunked field, with what lies around it, takes about this much memory at most, where it can.
BLOCK_BYTES = 1 << 30


@renamed(of="vector")
@verb
def structure_function(
    ds: xr.Dataset,
    vector: str = "B",
    *,
    order: int | Sequence[int] = 2,
    points: int = 2,
    frame: Literal["local", "global"] = "local",
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
    vector : str
        Letter of a vector (the increment is its modulus), or the name of one variable.
    order : int or several
        1 to 6.
    points : {2, 5}
    frame : {"local", "global"}
        Mean field of each pair, or of the box.
    direction : str or three numbers, optional
        What parallel means, in the global frame alone; the mean field by default.
    pairs : int
        Pairs that are sampled, everywhere in the box alike; their separations are isotropic, and even in the
        logarithm of their length, on the lattice.
    seed : int
        Key of the samples: the same pairs for any chunks, scheduler and number of workers.
    lags : "all" or (m, 3) array of int, optional
        Instead of samples, all pairs of the lattice at all separations up to `reach`, or at those given
        (x, y, z, in cells).
    reach : float, optional
        Longest separation, where `lags` are not given themselves: at most half the shortest axis with two points, an
        eighth with five.  By default half of the former, all of the latter, but no more than 64 cells with two and 32
        with five: a block of a chunked field is read with twice as much of its surroundings, so that longer separations
        need larger blocks.
    bins : int or ascending edges
        Of l_par, l_perp and l; a number asks for one from 0 to half a cell and the others even in the logarithm.
        Bins include their lower edge, and what rounding has put below it.
    angles : int or ascending edges [degrees]
        Of the angle between separation and field, 0 to 90; as the bins, and 90 is included.
    subvolumes : int
        Per axis, for the errors: the larger of what leaving out one after the other of these parts of the box does
        (jackknife), and what the amplitudes of the longest waves scatter by in a Gaussian field of this spectrum,
        which no part of one box shows; 0 for none.

    Returns
    -------
    xarray.Dataset
        ``structure`` and ``pairs`` over (``l_perp``, ``l_par``), ``structure_angle`` and ``pairs_angle`` over
        (``l``, ``angle``), with ``…_error``; after ``order`` where several were asked for, and ``time``.  Bins
        without pairs are NaN.  Edges are coordinates ``l_edges`` and ``angle_edges``; means of powers of the
        field's unit.

    Raises
    ------
    ArgumentError, SnapshotError
        If an argument is not possible, the reach is too long for the box or below one cell; and when it is
        computed, if the field is not finite, or has no mean direction in the global frame and none is given.
    """
    plan = _plan_of(ds, order, points, frame, pairs, seed, lags, reach, bins, angles, subvolumes)
    if plan.local and direction is not None:
        raise ArgumentError("direction is for frame='global' alone: in the local frame every pair has its own")
    dims = plan.grid.dims
    names = list(components(ds, vector)) if isinstance(vector, str) and f"{vector}x" in ds else [vector]
    if names == [vector] and (not isinstance(vector, str) or vector not in ds or not set(dims) <= set(ds[vector].dims)):
        raise SnapshotError(
            f"vector={vector!r}: a vector's letter or a variable over {dims}, of {list(ds.data_vars)}, is needed"
        )
    field = [f"B{d}" for d in plan.axes()] if frame == "local" else []
    taken = field if set(names) == set(field) else [*field, *names]
    along = mean_direction(ds, "z" if frame == "local" else direction)
    lead, arrays, (along,) = aligned([ds[n] for n in taken], [along], dims)
    first = len(taken) - len(names)
    plan = replace(plan, names=tuple(taken), values=(first, first + len(names)))
    sums = _sum_pairs(arrays, along, plan)
    waves = [_parts(a, len(dims)) for a in arrays[first:]] if plan.groups > 1 else []
    return _labelled(ds, sums, waves, plan, lead, names, several=not isinstance(order, int | np.integer))


@dataclass(frozen=True)
class _Plan:
    """What is to be computed, in cells of the snapshot: small, and sent along with every block."""

    grid: Grid
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
    asked: int = 1  # of the orders; the errors need the second one too

    def axes(self) -> list[str]:
        """Components of a vector in the order of the kernels: the fastest axis first, then those that are missing."""
        return [*self.grid.dims[::-1], *(d for d in SPATIAL if d not in self.grid.dims)]

    def margins(self) -> tuple[tuple[int, int], ...]:
        """Cells before and after a block, along each axis, that its pairs reach."""
        steps = POINTS[self.points][0]
        reached = np.array([s * self.lags for s in steps]).reshape(-1, 3)[:, 3 - len(self.grid.dims) :]
        return tuple(zip((-reached.min(axis=0)).tolist(), reached.max(axis=0).tolist(), strict=True))


def _plan_of(ds, order, points, frame, pairs, seed, lags, reach, bins, angles, subvolumes) -> _Plan:
    """Check the arguments; nothing is computed."""
    components(ds)
    require_subvolumes(subvolumes)
    orders = tuple(order) if isinstance(order, list | tuple | np.ndarray) else (order,)
    orders = tuple(require_whole(o, "order", 1) for o in orders)
    if not orders or max(orders) > HIGHEST_ORDER or len(set(orders)) < len(orders):
        raise ArgumentError(f"order={order!r}: different whole numbers from 1 to {HIGHEST_ORDER} are needed")
    require_whole(pairs, "pairs", 1), require_whole(seed, "seed", 0)
    if not isinstance(points, int) or points not in POINTS or frame not in FRAMES:
        raise ArgumentError(f"points={points!r}, frame={frame!r}: 2 or 5, and one of {', '.join(FRAMES)}, are needed")
    grid = Grid.of(ds)
    rank = len(grid.dims)
    extent = POINTS[points][0][-1] - POINTS[points][0][0]
    lengths = [length for n, length in zip(grid.shape, grid.lengths, strict=True) if n > 1]
    if not lengths:
        raise SnapshotError("a snapshot of one cell has no increments")
    given = lags is not None and not isinstance(lags, str)
    if not given:
        reach = _reach(
            reach, min(lengths), min(w for n, w in zip(grid.shape, grid.spacing, strict=True) if n > 1), points
        )
    cells = np.array([1.0] * (3 - rank) + list(grid.spacing))
    axes = np.array([0] * (3 - rank) + [int(n > 1) for n in grid.shape])
    if given and reach is not None:
        raise ArgumentError(f"reach={reach!r} is for separations that are not given themselves: leave it out")
    if given:
        table = _given_lags(lags, grid, extent)
        reach = float(np.linalg.norm(table * cells, axis=1).max())
    elif lags == "all":
        table = _all_lags(reach, cells, axes)
    elif lags is None:
        table = _drawn_lags(reach, cells, axes, seed)
    else:
        raise ArgumentError(f"lags={lags!r}: 'all', or an array (m, 3) of whole numbers of cells, is needed")
    edges, turns = _length_edges(bins, reach, cells, axes), _angle_edges(angles)
    return _Plan(
        grid=grid,
        orders=orders if 2 in orders or not subvolumes else (*orders, 2),
        asked=len(orders),
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
    if longest < cell * (1 - TIE):
        raise SnapshotError(
            f"the shortest axis, {shortest:g}, is too short for the increments of {points} points, which need "
            f"{2 if points == 2 else 8} of the smallest cells, {cell:g} each: give the lags themselves"
        )
    if reach is None:
        value = max(cell, min(shortest / (4 if points == 2 else 8), cell * (64 if points == 2 else 32)))
    else:
        value = require_number(reach, "reach")
    if not cell * (1 - TIE) <= value <= longest * (1 + TIE):
        raise SnapshotError(
            f"reach={value:g}: with {points} points it lies between the cell, {cell:g}, and {longest:g}, so that all "
            "points of a pair fit into half the shortest axis"
        )
    return value


def _one_of_each_sign(lags: np.ndarray) -> np.ndarray:
    """One of l and -l, which are the same pairs, in the order of z, y, x; none of length 0."""
    lags = lags[(lags != 0).any(axis=1)]
    leading = np.take_along_axis(lags, (lags != 0).argmax(axis=1)[:, None], axis=1)
    lags = np.where(leading < 0, -lags, lags)
    return lags[np.lexsort(lags.T[::-1])]


def _drawn_lags(reach: float, cells: np.ndarray, axes: np.ndarray, seed: int) -> np.ndarray:
    """Isotropic separations, even in the logarithm: evenly spread, so that another seed gives nearly the same means."""
    start = np.random.default_rng([seed, 5]).uniform(size=3)
    size, turn, rise = ((start + EVEN * np.arange(DRAWN)[:, None]) % 1.0).T
    shortest = cells[axes == 1].min()
    size = shortest * (max(reach, shortest) / shortest) ** size
    arrow = _isotropic_directions(turn, rise, int(axes.sum()))
    lags = np.zeros((DRAWN, 3), np.int64)
    lags[:, axes == 1] = np.rint(arrow * size[:, None] / cells[axes == 1])
    return _one_of_each_sign(lags[np.linalg.norm(lags * cells, axis=1) <= reach * (1 + TIE)])


def _isotropic_directions(turn: np.ndarray, rise: np.ndarray, rank: int) -> np.ndarray:
    """Unit vectors of all directions alike, (m, rank), from numbers between 0 and 1."""
    round_ = np.stack([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)], axis=1)
    if rank == 1:
        return np.ones((len(turn), 1))
    height = 2 * rise[:, None] - 1
    return round_ if rank == 2 else np.concatenate([height, np.sqrt(1 - height**2) * round_], axis=1)


def _all_lags(reach: float, cells: np.ndarray, axes: np.ndarray) -> np.ndarray:
    most = (np.floor(reach / cells * (1 + TIE)) * axes).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[np.linalg.norm(grid * cells, axis=1) <= reach * (1 + TIE)]
    return np.unique(_one_of_each_sign(grid), axis=0)


def _given_lags(lags: Any, grid: Grid, extent: int) -> np.ndarray:
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
        raise ArgumentError(
            "lags: an array (m, 3) of whole numbers of cells along x, y, z is needed, none of them zero"
        )
    sizes = dict(zip(grid.dims, grid.shape, strict=True))
    most = np.array([(sizes.get(d, 1) - 1) // extent if extent > 1 else sizes.get(d, 1) - 1 for d in SPATIAL])
    if (bad := ((table > most) | (table < -most)).any(axis=1)).any():
        raise SnapshotError(f"lag {table[bad][0].tolist()} (x, y, z) does not fit: {most.tolist()} cells is the most")
    order = [*(d for d in SPATIAL if d not in grid.dims), *grid.dims]
    return np.unique(_one_of_each_sign(table[:, [SPATIAL.index(d) for d in order]].astype(np.int64)), axis=0)


def _length_edges(bins: Any, reach: float, cells: np.ndarray, axes: np.ndarray) -> np.ndarray:
    if isinstance(bins, int | np.integer):
        require_whole(bins, "bins", 2)
        low = cells[axes == 1].min() / 2
        return np.concatenate([[0.0], np.geomspace(low, reach * (1 + 3 * TIE), int(bins))])
    return _ascending("bins", bins, 0.0, np.inf)


def _angle_edges(angles: Any) -> np.ndarray:
    """Edges of the angle [degrees]."""
    if isinstance(angles, int | np.integer):
        require_whole(angles, "angles", 1)
        return np.linspace(0.0, 90.0, int(angles) + 1)
    return _ascending("angles", angles, 0.0, 90.0)


def _ascending(name: str, edges: Any, low: float, high: float) -> np.ndarray:
    found = require_values(edges, name)
    if len(found) < 2 or (np.diff(found) <= 0).any() or found[0] < low or found[-1] > high:
        raise ArgumentError(f"{name}: ascending edges within {low:g} and {high:g} are needed")
    return found


def _sum_pairs(arrays: Sequence[Any], along: Any, plan: _Plan) -> Any:
    """Sums over all blocks, (…, groups, numbers): NumPy or lazy as the fields are."""
    work = _lazy if any(hasattr(a, "dask") for a in (*arrays, along)) else _whole
    return per_snapshot(lambda axis, *fields: work(fields, axis, plan), [along, *arrays], along.ndim - 1)


def _whole(fields: Sequence[np.ndarray], along: np.ndarray, plan: _Plan) -> np.ndarray:
    """The box as one block, its tiles shared among threads."""
    cores = tuple((0, n) for n in plan.grid.shape)
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
    shape = (int(np.prod([min(plan.groups, n) for n in plan.grid.shape])), _numbers(plan))
    sizes, sums = _core(plan, kind.itemsize), []
    for corner in product(*(range(0, n, c) for n, c in zip(plan.grid.shape, sizes, strict=True))):
        core = tuple((a, min(a + c, n)) for a, c, n in zip(corner, sizes, plan.grid.shape, strict=True))
        one = block(_cut(cells, _around(core, plan)), along, plan=asked, core=core)
        sums.append(da.from_delayed(one, shape, np.float64, meta=np.empty((0, 0))))
    return da.stack(sums).sum(axis=0) if len(sums) > 1 else sums[0]


def _numbers(plan: _Plan) -> int:
    many = len(plan.edges)
    return many * (many + len(plan.turns)) * (1 + len(plan.orders))


def _around(core: Sequence[tuple[int, int]], plan: _Plan) -> list[tuple[int, int]]:
    """Cells that the pairs of a block reach, beyond the ends where the axis wraps; all of it where that is less."""
    around = []
    for (a, b), (low, high), n, periodic in zip(core, plan.margins(), plan.grid.shape, plan.grid.periodic, strict=True):
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
    for n in plan.grid.shape:
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
    missing, around = 3 - len(plan.grid.dims), _around(core, plan)
    inner = zip(plan.grid.periodic, around, plan.grid.shape, strict=True)
    opened = np.array([0] * missing + [int(not (p and b - a == n)) for p, (a, b), n in inner])
    shape = np.array([1] * missing + [b - a for a, b in around])
    flat = np.ascontiguousarray(cells).reshape(-1)
    field = increments.Cells(flat, _width(plan), *plan.values, plan.local, shape, opened)
    steps, weights, norm = POINTS[plan.points]
    direction = along[[SPATIAL.index(d) for d in plan.axes()]]
    increment = increments.Increment(steps, weights, norm, np.array(plan.orders), direction)
    lengths, angles = (increments.Bins(*_table(edges)) for edges in _edges_of_pairs(plan))
    pairs = _pairs_of(plan)
    tiles = _tiles(core, plan) if plan.pairs else _rows(core, plan)
    tiles[:, :3] -= np.array([0] * missing + [a for a, _ in around])
    many, groups = len(plan.edges), int(np.prod([min(plan.groups, n) for n in plan.grid.shape]))
    sizes, orders = (many**2 + 1, many * len(plan.turns) + 1), len(plan.orders)

    def share(own: np.ndarray) -> np.ndarray:
        found = [(np.zeros((groups, n), np.int64), np.zeros((groups, orders, n))) for n in sizes]
        sums = increments.Sums(*found[0], *found[1])
        increments.add_pairs(increments.room(), field, pairs._replace(tiles=own), increment, lengths, angles, sums)
        both = [np.concatenate([c[:, None], v], axis=1)[..., :-1] for c, v in found]
        return np.concatenate([t.swapaxes(1, 2).reshape(groups, -1) for t in both], axis=1)

    shares = [p for p in np.array_split(tiles, threads) if len(p)]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(share, shares), np.zeros((groups, _numbers(plan))))


def _edges_of_pairs(plan: _Plan) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the parts of the separation and of the cosine, lowered so that rounding puts no pair below its bin."""
    tie = TIE_LOCAL if plan.local else TIE
    cosines = np.cos(np.radians(plan.turns[::-1] * (1 - tie)))
    cosines[0] = 0.0 if plan.turns[-1] == 90.0 else cosines[0]
    cosines[-1] = 2.0 if plan.turns[0] == 0.0 else cosines[-1]
    return plan.edges * (1 - tie), cosines


def _pairs_of(plan: _Plan) -> Any:
    """The kernel's pairs, without the tiles of a block."""
    from mmfields.kernels.increments import Pairs

    cells = np.array([1.0] * (3 - len(plan.grid.dims)) + list(plan.grid.spacing))
    rings = _bins(np.linalg.norm(plan.lags * cells, axis=1), plan.edges * (1 - TIE))
    lags = np.concatenate([plan.lags, rings[:, None]], axis=1).astype(np.int32)
    key = np.random.default_rng([plan.seed, 6]).integers(0, 1 << 32, 2, dtype=np.uint32)
    return Pairs(None, plan.pairs > 0, key, lags, cells)


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
    counts = [min(plan.groups, n) for n in plan.grid.shape]
    number = np.zeros(len(place), np.int64)
    for axis, (n, g) in enumerate(zip(plan.grid.shape, counts, strict=True)):
        number = number * g + place[:, axis] * g // n
    return number


def _cuts(plan: _Plan) -> list[np.ndarray]:
    """Where tiles begin along every axis, and the end: at multiples of their size, and where sub-volumes begin."""
    from mmfields.kernels.increments import TILE

    found = []
    for n in plan.grid.shape:
        count = min(plan.groups, n)
        found.append(np.unique([*range(0, n, TILE), *(-(-i * n // count) for i in range(count)), n]))
    return found


def _tiles(core: Sequence[tuple[int, int]], plan: _Plan) -> np.ndarray:
    """Tiles of a block, which begins and ends on them: first cell, cells, number, pairs and sub-volume of each."""
    missing, cuts = 3 - len(plan.grid.dims), _cuts(plan)
    counts = [len(c) - 1 for c in cuts]
    grids = [np.arange(*np.searchsorted(c, ends)) for c, ends in zip(cuts, core, strict=True)]
    tile = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(counts))
    first = np.stack([c[t] for c, t in zip(cuts, tile.T, strict=True)], axis=1)
    sizes = np.stack([c[t + 1] for c, t in zip(cuts, tile.T, strict=True)], axis=1) - first
    number = np.ravel_multi_index(tuple(tile.T), counts)
    pairs = _pairs_before(cuts, plan)
    columns = [np.zeros((len(tile), missing)), first, np.ones((len(tile), missing)), sizes]
    rest = [number, pairs[number + 1] - pairs[number], _groups(first, plan)]
    return np.concatenate([*columns, np.stack(rest, axis=1)], axis=1).astype(np.int64)


def _pairs_before(cuts: Sequence[np.ndarray], plan: _Plan) -> np.ndarray:
    """Pairs in all tiles before each, as many as its cells, rounded so that all are there."""
    cells = np.ones(1)
    for cut in cuts:
        cells = np.multiply.outer(cells, np.diff(cut).astype(float))
    share = np.concatenate([[0.0], np.cumsum(cells.ravel())]) / np.prod([float(n) for n in plan.grid.shape])
    return np.rint(share * plan.pairs).astype(np.int64)


def _rows(core: Sequence[tuple[int, int]], plan: _Plan) -> np.ndarray:
    """Rows of a block along its last axis, cut where the sub-volumes are: as tiles of one row."""
    missing = 3 - len(plan.grid.dims)
    last = np.arange(*core[-1])
    group = last * min(plan.groups, plan.grid.shape[-1]) // plan.grid.shape[-1]
    starts = last[np.concatenate([[True], np.diff(group) > 0])]
    ends = np.append(starts[1:], core[-1][1])
    grids = [np.arange(a, b) for a, b in core[:-1]]
    first = np.stack(np.meshgrid(*grids, starts, indexing="ij"), axis=-1).reshape(-1, len(core))
    cells = np.tile(ends - starts, len(first) // len(starts))
    ones, zeros = np.ones((len(first), 2)), np.zeros((len(first), 1))
    columns = [np.zeros((len(first), missing)), first, ones, cells[:, None], zeros, cells[:, None]]
    return np.concatenate([*columns, _groups(first, plan)[:, None]], axis=1).astype(np.int64)


def _parts(field: Any, rank: int) -> Any:
    """Sums of a field over the parts of the box that hold its longest waves, (…, parts)."""
    nothing = np.empty((*field.shape[: field.ndim - rank], 0))
    return group_sums(_add_parts, [field], [nothing], rank=rank, groups=COARSE, columns=2)[..., 1]


def _add_parts(fields: list[np.ndarray], _: Any, edges: list[np.ndarray], out: np.ndarray) -> None:
    from mmfields.kernels.moments import add_products

    field = np.ascontiguousarray(fields[0])
    add_products(field, field, tuple(edges), out)


def _long_waves(parts: np.ndarray, plan: _Plan) -> np.ndarray:
    """Standard deviation of the second moment of the increments of a Gaussian field in every bin of length.

    The power of a wave has an exponential distribution, and what it adds to the mean square of an increment is its
    power times a transfer: the variance of the sum is the sum of half the squares.  Along axes that do not wrap
    around waves are those of cosines, which see no jump at the ends.

    Parameters
    ----------
    parts : (fields, parts) array
        From :func:`_parts`.
    plan : _Plan

    Returns
    -------
    (bins,) array
        NaN where no separation lies in a bin.
    """
    power, waves = _coarse_power(parts, plan)
    missing = 3 - len(plan.grid.dims)
    lags = plan.lags[:, missing:] * np.array(plan.grid.spacing)
    rings = _bins(np.linalg.norm(lags, axis=1), plan.edges * (1 - TIE))
    steps, weights, norm = POINTS[plan.points]
    found = np.full(len(plan.edges) - 1, np.nan)
    # a cosine's amplitude is one number, a wave's are two
    share = 1.0 if any(p and n > 1 for p, n in zip(plan.grid.periodic, plan.grid.shape, strict=True)) else 2 / 3
    for ring in np.unique(rings[rings < len(found)]):
        own = lags[rings == ring]
        own = own[:: -(-len(own) // FEW)]
        phase = np.tensordot(own, waves, 1)
        transfer = abs(sum(w * np.exp(1j * s * phase) for s, w in zip(steps, weights, strict=True))) ** 2
        found[ring] = norm * np.sqrt(share * np.sum((power * transfer.mean(axis=0)) ** 2))
    return found


def _coarse_power(parts: np.ndarray, plan: _Plan) -> tuple[np.ndarray, np.ndarray]:
    """Power of the waves that means over the parts of the box hold, of all fields, and their wavevectors."""
    from scipy import fft

    counts = tuple(min(COARSE, n) for n in plan.grid.shape)
    sizes = [np.bincount(np.arange(n) * c // n) for n, c in zip(plan.grid.shape, counts, strict=True)]
    cells = sizes[0]
    for size in sizes[1:]:
        cells = np.multiply.outer(cells, size)
    means = parts.reshape(-1, *counts) / cells
    rest: Any = means - (parts.sum(axis=1) / cells.sum()).reshape(-1, *(1,) * len(counts))
    waves = []
    for axis, (c, n, width, wraps) in enumerate(
        zip(counts, plan.grid.shape, plan.grid.spacing, plan.grid.periodic, strict=True)
    ):
        if wraps:
            rest = fft.fft(rest, axis=axis + 1, norm="forward")
            waves.append(2 * np.pi * np.fft.fftfreq(c, n * width / c))
        else:
            parts_ = [fft.dct(a, axis=axis + 1, norm="ortho") for a in (rest.real, rest.imag)]
            rest = (parts_[0] + 1j * parts_[1]) / np.sqrt(c)
            waves.append(np.pi * np.arange(c) / (n * width))
    return (np.abs(rest) ** 2).sum(axis=0), np.stack(np.meshgrid(*waves, indexing="ij"))


def _labelled(
    ds: xr.Dataset, sums: Any, waves: list[Any], plan: _Plan, lead: list[str], names: list[str], *, several: bool
) -> xr.Dataset:
    """Means over the pairs of every bin, with their errors."""
    found = xr.apply_ufunc(
        _means,
        xr.DataArray(sums, dims=[*lead, "group", "number"]),
        *(xr.DataArray(w, dims=[*lead, "part"]) for w in waves),
        input_core_dims=[["group", "number"], *[["part"]] * len(waves)],
        output_core_dims=[["kind", "number"]],
        kwargs={"plan": plan},
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
        moments = (
            whole.isel(column=slice(1, 1 + plan.asked)).rename(column="order").transpose(*lead, "kind", "order", *dims)
        )
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


def _means(sums: np.ndarray, *parts: np.ndarray, plan: _Plan) -> np.ndarray:
    """Pairs and mean powers in every bin (first row), and their errors (second)."""
    one = 1 + len(plan.orders)

    def statistic(flat: np.ndarray) -> np.ndarray:
        table = flat.reshape(*flat.shape[:-1], -1, one)
        means = np.divide(table, table[..., :1], out=np.full_like(table, np.nan), where=table[..., :1] > 0)
        means[..., 0] = table[..., 0]
        return means.reshape(flat.shape)

    value, error = jackknife(sums, statistic)
    if not parts:
        return np.stack([value, np.full_like(value, np.nan)])
    table, errors = value.reshape(-1, one), error.reshape(-1, one)
    wedges = table[len(plan.edges) ** 2 :].reshape(len(plan.edges), -1, one)[:-1]
    pairs, second = wedges[..., 0], np.nan_to_num(wedges[..., 1 + plan.orders.index(2)])
    with np.errstate(divide="ignore", invalid="ignore"):
        # over the mean of all directions: a direction with more power scatters in proportion
        relative = _long_waves(np.stack(parts), plan) / ((pairs * second).sum(axis=1) / pairs.sum(axis=1))
        relative = _relative_of_bins(relative, plan)
        for n, order in enumerate(plan.orders):
            errors[:, 1 + n] = np.fmax(errors[:, 1 + n], order / 2 * table[:, 1 + n] * relative)
    return np.stack([value, errors.reshape(-1)])


def _relative_of_bins(rings: np.ndarray, plan: _Plan) -> np.ndarray:
    """Numbers of the bins of length, for all bins in the order of the kernels' numbers."""
    many, known = len(plan.edges), np.flatnonzero(np.isfinite(rings))
    if not len(known):
        return np.full(many * (many + len(plan.turns)), np.nan)
    middles = (plan.edges[1:] + plan.edges[:-1]) / 2
    length = np.hypot(middles[:, None], middles)
    nearest = known[np.abs(np.log(length[..., None] / middles[known])).argmin(axis=-1)]
    annuli, wedges = np.full((many, many), np.nan), np.full((many, len(plan.turns)), np.nan)
    annuli[:-1, :-1], wedges[:-1] = rings[nearest], rings[:, None]
    return np.concatenate([annuli.ravel(), wedges.ravel()])


def _coords(ds: xr.Dataset, plan: _Plan, lead: list[str], several: bool) -> dict[str, Any]:
    notes = plan.grid.units
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
    return coords | ({"order": ("order", list(plan.orders[: plan.asked]))} if several else {})


def _attrs(plan: _Plan, names: list[str]) -> dict[str, Any]:
    sampled = {"sampled_pairs": plan.pairs, "seed": plan.seed} if plan.pairs else {}
    frame = {"frame": "local" if plan.local else "global", "points": plan.points, "of": ", ".join(names)}
    return {**frame, **sampled, **({} if plan.asked > 1 else {"order": plan.orders[0]})}

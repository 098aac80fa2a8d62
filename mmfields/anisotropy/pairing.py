"""Sums over the pairs of a field, block by block."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np

from mmfields.anisotropy.separations import POINTS, TIE, TIE_LOCAL, Plan, bins_of
from mmfields.conventions import (
    SPATIAL,
    per_snapshot,
    require_direction,
)
from mmfields.errors import SnapshotError

# Entries of the tables in which bins are looked up.
TABLE = 4096
# A block of a chunked field with its surroundings takes at most about this much memory, where that is possible.
BLOCK_BYTES = 1 << 30


def sum_pairs(arrays: Sequence[Any], along: Any, plan: Plan) -> Any:
    """Sums over all blocks, (…, groups, numbers); a NumPy array, or lazy where the fields are."""
    work = _lazy if any(hasattr(a, "dask") for a in (*arrays, along)) else _whole
    return per_snapshot(lambda axis, *fields: work(fields, axis, plan), [along, *arrays], along.ndim - 1)


def _whole(fields: Sequence[np.ndarray], along: np.ndarray, plan: Plan) -> np.ndarray:
    """Treat the box as one block whose tiles the threads share."""
    cores = tuple((0, n) for n in plan.grid.shape)
    return _block(_packed(*fields, plan=plan), along, plan=plan, core=cores, threads=os.cpu_count() or 1)


def _lazy(fields: Sequence[Any], along: Any, plan: Plan) -> Any:
    """Sum block by block; each block is read with its surroundings from the packed field."""
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


def _numbers(plan: Plan) -> int:
    many = len(plan.edges)
    return many * (many + len(plan.turns)) * (1 + len(plan.orders))


def _around(core: Sequence[tuple[int, int]], plan: Plan) -> list[tuple[int, int]]:
    """Range of cells that the pairs of a block reach, across periodic ends too; at most the whole axis."""
    around = []
    for (a, b), (low, high), n, periodic in zip(core, plan.margins(), plan.grid.shape, plan.grid.periodic, strict=True):
        first, last = (a - low, b + high) if periodic else (max(a - low, 0), min(b + high, n))
        around.append((0, n) if last - first >= n else (first, last))
    return around


def _cut(field: Any, around: Sequence[tuple[int, int]]) -> Any:
    """Cells of a Dask array; those beyond its ends are wrapped around."""
    import dask.array as da

    for axis, (first, last) in enumerate(around):
        n = field.shape[axis]
        pieces = (
            [(first + n, n), (0, last)] if first < 0 else [(first, n), (0, last - n)] if last > n else [(first, last)]
        )
        parts = [field[(*(slice(None),) * axis, slice(a, b))] for a, b in pieces]
        field = da.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]
    return field


def _core(plan: Plan, size: int) -> tuple[int, ...]:
    """Sizes of the blocks, multiples of a tile.

    The blocks fit into memory and read as little of their surroundings as possible; they are larger than the memory
    limit where smaller ones would read too much.
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


def _width(plan: Plan) -> int:
    """Numbers per cell of the packed field: a power of two."""
    return 1 << (len(plan.names) - 1).bit_length()


def _block(
    cells: np.ndarray, along: np.ndarray, *, plan: Plan, core: Sequence[tuple[int, int]], threads: int = 1
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


def _edges_of_pairs(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the separation's parts and of the cosine, lowered so that rounding puts no pair below its bin."""
    tie = TIE_LOCAL if plan.local else TIE
    cosines = np.cos(np.radians(plan.turns[::-1] * (1 - tie)))
    cosines[0] = 0.0 if plan.turns[-1] == 90.0 else cosines[0]
    cosines[-1] = 2.0 if plan.turns[0] == 0.0 else cosines[-1]
    return plan.edges * (1 - tie), cosines


def _pairs_of(plan: Plan) -> Any:
    """The kernel's pairs, without the tiles of a block."""
    from mmfields.kernels.increments import Pairs

    cells = np.array([1.0] * (3 - len(plan.grid.dims)) + list(plan.grid.spacing))
    rings = bins_of(np.linalg.norm(plan.lags * cells, axis=1), plan.edges * (1 - TIE))
    lags = np.concatenate([plan.lags, rings[:, None]], axis=1).astype(np.int32)
    key = np.random.default_rng([plan.seed, 6]).integers(0, 1 << 32, 2, dtype=np.uint32)
    return Pairs(None, plan.pairs > 0, key, lags, cells)


def _table(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Edges closed by infinity, the bin of each multiple of a small step, and the number of steps per unit."""
    scale = TABLE / edges[-1]
    place = (np.arange(TABLE + 1) - 1e-6) / scale  # a value may be rounded up to a multiple
    table = np.maximum(np.searchsorted(edges, place, side="right") - 1, 0).astype(np.uint64)
    return np.append(edges, np.inf), table, scale


def _kind(fields: Sequence[Any]) -> np.dtype:
    return np.result_type(*(f.dtype for f in fields))


def _packed(*fields: np.ndarray, plan: Plan, block_info: Any = None) -> np.ndarray:
    """Pack the fields side by side in every cell."""
    out = np.empty((*fields[0].shape, _width(plan)), _kind(fields))  # np.zeros would get no huge pages
    out[..., len(fields) :] = 0
    for c, (field, name) in enumerate(zip(fields, plan.names, strict=True)):
        if not np.isfinite(field).all():
            corner = [a for a, _ in block_info[0]["array-location"]] if block_info else [0] * field.ndim
            where = tuple((np.argwhere(~np.isfinite(field))[0] + corner).tolist())
            raise SnapshotError(f"{name} is not finite at index {where}: fill it before its increments")
        out[..., c] = field
    return out


def _groups(place: np.ndarray, plan: Plan) -> np.ndarray:
    """Sub-volume of cells (m, axes)."""
    counts = [min(plan.groups, n) for n in plan.grid.shape]
    number = np.zeros(len(place), np.int64)
    for axis, (n, g) in enumerate(zip(plan.grid.shape, counts, strict=True)):
        number = number * g + place[:, axis] * g // n
    return number


def _cuts(plan: Plan) -> list[np.ndarray]:
    """First cells of the tiles along every axis, and its end; a sub-volume begins with a tile of its own."""
    from mmfields.kernels.increments import TILE

    found = []
    for n in plan.grid.shape:
        count = min(plan.groups, n)
        found.append(np.unique([*range(0, n, TILE), *(-(-i * n // count) for i in range(count)), n]))
    return found


def _tiles(core: Sequence[tuple[int, int]], plan: Plan) -> np.ndarray:
    """First cell, cells, number, pairs and sub-volume of each tile of a block, which consists of whole tiles."""
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


def _pairs_before(cuts: Sequence[np.ndarray], plan: Plan) -> np.ndarray:
    """Number of pairs in all tiles before each, in proportion to their cells, rounded so that the total is exact."""
    cells = np.ones(1)
    for cut in cuts:
        cells = np.multiply.outer(cells, np.diff(cut).astype(float))
    share = np.concatenate([[0.0], np.cumsum(cells.ravel())]) / np.prod([float(n) for n in plan.grid.shape])
    return np.rint(share * plan.pairs).astype(np.int64)


def _rows(core: Sequence[tuple[int, int]], plan: Plan) -> np.ndarray:
    """Rows of a block along its last axis as tiles of one row, cut where a sub-volume begins."""
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

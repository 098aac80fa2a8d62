"""Blocks of one or several refinement levels laid out as one uniform grid, lazily.

Indices are in array order (slowest dim first) throughout; ``logical`` locations too.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np

from mmfields.conventions import SnapshotError
from mmfields.io._lazy import Files, RawBlocks, Region, mean_dtype

# Two threads share a read of at least this size, as it spends its time copying from the page cache.
THREADED_BYTES = 1 << 24


class Pieces(NamedTuple):
    """Parts of blocks, one entry each: the block, where its part goes, and the target cells counted from its corner."""

    block: np.ndarray
    first: np.ndarray
    last: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def destination(self, one: int, to: int) -> Region:
        """Where pieces go, from one to another; those between are neighbours along the last axis."""
        return tuple(map(slice, self.first[one].tolist(), self.last[to].tolist()))


@dataclass(frozen=True)
class Layout:
    """Where blocks lie on the target grid.

    Parameters
    ----------
    shape : tuple of int
        Target grid.
    start, stop : (nb, ndim) int arrays
        Extent of each block in target cells.
    repeat, reduce : (nb, ndim) int arrays
        Target cells per block cell (coarser blocks) and block cells per target cell (finer ones).
    """

    shape: tuple[int, ...]
    start: np.ndarray
    stop: np.ndarray
    repeat: np.ndarray
    reduce: np.ndarray

    @cached_property
    def plain(self) -> np.ndarray:
        """Which blocks are of the target's own level."""
        return ((self.repeat == 1) & (self.reduce == 1)).all(axis=1)

    def overlapping(self, region: Region) -> Pieces:
        """The parts of blocks that lie in `region`, in the order of blocks."""
        begin = np.array([s.start for s in region])
        end = np.array([s.stop for s in region])
        low = np.maximum(self.start, begin)
        high = np.minimum(self.stop, end)
        found = np.flatnonzero((low < high).all(axis=1))
        low, high, start = low[found], high[found], self.start[found]
        return Pieces(found, low - begin, high - begin, low - start, high - start)


@dataclass(frozen=True)
class Mosaic:
    """A source made of blocks: coarser ones repeated, finer ones averaged, later ones on top.

    Parameters
    ----------
    blocks : block reader
        See :mod:`mmfields.io._lazy`.
    layout : Layout
    pick : int, optional
        Axis along which finer blocks give their first cell instead of the mean: the plane of
        faces at the lower edge of a cell.
    fill : float, optional
        What cells of no block hold, where there are such.
    """

    blocks: Any
    layout: Layout
    pick: int | None = None
    fill: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    @property
    def dtype(self) -> np.dtype:
        return mean_dtype(self.blocks.dtype) if (self.layout.reduce > 1).any() else self.blocks.dtype

    def read(self, region: Region) -> np.ndarray:
        out = np.empty([s.stop - s.start for s in region], self.dtype)
        if self.fill is not None:
            out.fill(self.fill)
        pieces = self.layout.overlapping(region)
        if not isinstance(self.blocks, RawBlocks) or not self.layout.plain.all():
            for i in range(len(pieces.block)):
                out[pieces.destination(i, i)] = self._block(int(pieces.block[i]), pieces.low[i], pieces.high[i])
            return out
        order = np.lexsort(pieces.first.T[::-1])
        pieces = Pieces(*(each[order] for each in pieces))
        runs = self._runs(pieces)
        if out.nbytes < THREADED_BYTES or len(runs) < 2:
            self._fill(out, pieces, runs)
        else:  # half each, so that the threads seldom wait for one another
            half = len(runs) // 2
            with ThreadPoolExecutor(1) as pool:
                other = pool.submit(self._fill, out, pieces, runs[half:])
                self._fill(out, pieces, runs[:half])
                other.result()
        return out

    def _runs(self, pieces: Pieces) -> list[tuple[int, int]]:
        """Ranges of pieces to read together: neighbours along the fastest axis, whole in all but the slowest."""
        if pieces.first.shape[1] < 2:
            return [(i, i + 1) for i in range(len(pieces.block))]
        shapes = self.blocks.shapes[pieces.block]
        whole = (pieces.low[:, 1:] == 0).all(axis=1) & (pieces.high[:, 1:] == shapes[:, 1:]).all(axis=1)
        same = (pieces.first[1:, :-1] == pieces.first[:-1, :-1]) & (pieces.last[1:, :-1] == pieces.last[:-1, :-1])
        joined = same.all(axis=1) & whole[1:] & whole[:-1] & (shapes[1:, -1] == shapes[:-1, -1])
        edges = [0, *(np.flatnonzero(~joined) + 1).tolist(), len(whole)]
        return list(pairwise(edges))

    def _fill(self, out: np.ndarray, pieces: Pieces, runs: list[tuple[int, int]]) -> None:
        with Files() as files:
            for a, b in runs:
                target = out[pieces.destination(a, b - 1)]
                if b - a == 1:
                    region = tuple(map(slice, pieces.low[a].tolist(), pieces.high[a].tolist()))
                    self.blocks.read_into(int(pieces.block[a]), region, target, files)
                else:
                    target = target.reshape(*target.shape[:-1], b - a, -1)
                    self.blocks.read_run(pieces.block[a:b], int(pieces.low[a, 0]), target, files)

    def _block(self, block: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Target cells `low` to `high` of one block, which may be finer or coarser."""
        repeat, reduce = self.layout.repeat[block], self.layout.reduce[block]
        first = low * reduce // repeat
        last = -(-high * reduce // repeat)
        values = self.blocks.read(block, tuple(map(slice, first.tolist(), last.tolist())))
        for axis in np.flatnonzero(reduce > 1):
            n = int(reduce[axis])
            shape = (*values.shape[:axis], values.shape[axis] // n, n, *values.shape[axis + 1 :])
            grouped = values.reshape(shape)
            if axis == self.pick:
                values = grouped.take(0, axis=axis + 1)
            else:
                values = grouped.mean(axis=axis + 1, dtype=np.float64)
        for axis in np.flatnonzero(repeat > 1):
            n = int(repeat[axis])
            skip = int(low[axis]) - int(first[axis]) * n
            cut = slice(skip, skip + int(high[axis] - low[axis]))
            values = np.repeat(values, n, axis=axis)[(slice(None),) * int(axis) + (cut,)]
        return values


@dataclass(frozen=True)
class Tree:
    """Equal blocks on an octree, as Athena++ and AthenaK refine.

    Parameters
    ----------
    path : str
        Named in errors.
    block : tuple of int
        Cells of a block.
    root : tuple of int
        Cells of the root grid.
    level : (nb,) int array
        Level of each block above the root grid.
    logical : (nb, ndim) int array
        Location of each block, in blocks at its own level.
    """

    path: str
    block: tuple[int, ...]
    root: tuple[int, ...]
    level: np.ndarray
    logical: np.ndarray

    def check(self) -> "Tree":
        """Refuse blocks that do not tile the mesh exactly once."""
        if any(n % b for n, b in zip(self.root, self.block, strict=True)):
            raise SnapshotError(
                f"{self.path}: mesh {self.root} is not a multiple of the block {self.block}; if the blocks have ghost "
                "zones, write them without: those are not read"
            )
        if self.level.min() < 0 or self.level.max() > 40:
            bad = int(np.flatnonzero((self.level < 0) | (self.level > 40))[0])
            raise SnapshotError(f"{self.path}: block {bad} claims level {self.level[bad]}; 0 to 40 are possible")
        roots = [n // b for n, b in zip(self.root, self.block, strict=True)]
        if self._is_full(roots):
            return self
        levels = self.level.tolist()
        places = [tuple(p) for p in self.logical.tolist()]
        seen: dict[tuple, int] = {}
        finest = max(levels)
        volume = 0
        for block, (level, place) in enumerate(zip(levels, places, strict=True)):
            if not all(0 <= p < n << level for p, n in zip(place, roots, strict=True)):
                raise SnapshotError(f"{self.path}: block {block} at {place}, level {level}, is outside the mesh")
            if (level, *place) in seen:
                first = seen[level, *place]
                raise SnapshotError(f"{self.path}: blocks {first} and {block} claim one place {place}, level {level}")
            seen[level, *place] = block
            volume += 1 << (finest - level) * len(roots)
        for block, (level, place) in enumerate(zip(levels, places, strict=True)):
            for up in range(1, level + 1):
                if (level - up, *(p >> up for p in place)) in seen:
                    raise SnapshotError(f"{self.path}: block {block} lies inside a coarser block")
        whole = int(np.prod([int(n) for n in roots], dtype=object)) << finest * len(roots)
        if volume != whole:
            raise SnapshotError(
                f"{self.path}: blocks are missing: those present cover {volume / whole:.6g} of the mesh"
            )
        return self

    def _is_full(self, roots: Sequence[int]) -> bool:
        """Whether blocks of one level tile the mesh; a quick answer for the most frequent case."""
        level = int(self.level[0])
        counts = [n << level for n in roots]
        if (self.level != level).any() or int(np.prod(counts, dtype=object)) != len(self.level):
            return False
        if (self.logical < 0).any() or (self.logical >= counts).any():
            return False
        return len(np.unique(np.ravel_multi_index(tuple(self.logical.T), counts))) == len(self.level)

    def sliced(self) -> list[int]:
        """Axes across which the blocks are a slice: one cell of many, and no block above another."""
        thin = [a for a in range(len(self.root)) if self.block[a] == 1 and self.root[a] > 1]
        for count in range(len(thin), 0, -1):
            for axes in combinations(thin, count):
                rest = [a for a in range(len(self.root)) if a not in axes]
                places = np.column_stack([self.level, self.logical[:, rest]])
                if len(np.unique(places, axis=0)) == len(places):
                    return list(axes)
        return []

    def of_axes(self, axes: Sequence[int]) -> "Tree":
        """The tree along some of its axes, checked."""
        cut = (tuple(each[a] for a in axes) for each in (self.block, self.root))
        return Tree(self.path, *cut, self.level, self.logical[:, list(axes)]).check()

    def layout(self, target: int, *, neighbours: bool = False) -> Layout:
        """Layout on the uniform grid of level `target`.

        With `neighbours` the caller reads only at blocks that touch one of that level, which are at
        most one level finer, and blocks too fine to be averaged that far do no harm.
        """
        up = np.maximum(target - self.level, 0)[:, None]
        down = np.maximum(self.level - target, 0)[:, None]
        block = np.array(self.block)
        ones = np.ones_like(self.logical)
        fine = self.logical * block
        uneven = ((fine % (1 << down)) != 0).any() or ((block % (1 << down)) != 0).any()
        if uneven and not neighbours:
            raise SnapshotError(
                f"{self.path}: blocks of {self.block} cells cannot be averaged to level {target}; ask a finer level"
            )
        start = (fine << up) >> down
        return Layout(
            shape=tuple(n << target for n in self.root),
            start=start,
            stop=start + ((block << up) >> down),
            repeat=ones << up,
            reduce=ones << down,
        )


@dataclass(frozen=True)
class TreeCentred:
    """Cell means of lower faces stored block by block: block reader.

    The upper face of a block's last cell is the lower face of the neighbour's first, taken
    at the level of the block.  Beyond an open edge there is none: that cell is left undefined
    here and cut off by the caller.
    """

    faces: Any
    tree: Tree
    axis: int

    @property
    def dtype(self) -> np.dtype:
        return mean_dtype(self.faces.dtype)

    def read(self, block: int, region: Region) -> np.ndarray:
        wanted = region[self.axis]
        cells = self.tree.block[self.axis]
        inner = _with(region, self.axis, slice(wanted.start, min(wanted.stop + 1, cells)))
        values = self.faces.read(block, inner)
        if wanted.stop + 1 > cells:
            values = np.concatenate([values, self._beyond(block, region)], axis=self.axis)
        lower = _with((slice(None),) * values.ndim, self.axis, slice(0, -1))
        upper = _with((slice(None),) * values.ndim, self.axis, slice(1, None))
        return values[lower] / 2 + values[upper] / 2

    def _beyond(self, block: int, region: Region) -> np.ndarray:
        """The plane of faces just past the block, from whichever blocks hold it."""
        level = int(self.tree.level[block])
        corner = self.tree.logical[block] * np.array(self.tree.block)
        place = (int(corner[self.axis]) + self.tree.block[self.axis]) % (self.tree.root[self.axis] << level)
        plane = [slice(int(c) + s.start, int(c) + s.stop) for c, s in zip(corner, region, strict=True)]
        plane[self.axis] = slice(place, place + 1)
        mosaic = Mosaic(self.faces, self.tree.layout(level, neighbours=True), pick=self.axis)
        return mosaic.read(tuple(plane))


def check_boxes(
    path: str, what: str, low: np.ndarray, high: np.ndarray, cells: np.ndarray, *, full: bool, remedy: str = ""
) -> int:
    """Boxes ``low`` to ``high`` lie in a grid of `cells` and do not overlap; with `full` they fill it.

    Returns how many cells are in no box; `remedy` says what to do where there should be none.
    """
    if (low < 0).any() or (high > cells).any() or (low >= high).any():
        raise SnapshotError(f"{path}: one of {what} lies outside the domain of {cells.tolist()} cells")
    order = np.lexsort(low.T)
    low, high = low[order], high[order]
    size = high[0] - low[0]
    on_raster = (high - low == size).all() and (low % size == 0).all()
    alike = on_raster and (np.diff(low, axis=0) != 0).any(axis=1).all()  # and then no two can overlap
    for i in range(
        len(low) - 1 if not alike else 0
    ):  # sorted by the last axis, so that only boxes that begin before this one ends can overlap it
        later = slice(i + 1, i + 1 + int(np.searchsorted(low[i + 1 :, -1], high[i, -1])))
        if ((low[later] < high[i]) & (high[later] > low[i])).all(axis=1).any():
            raise SnapshotError(f"{path}: {what} overlap at {low[i].tolist()}; those with ghost zones are not read")
    volume = sum(math.prod(n) for n in (high - low).tolist())
    whole = int(np.prod(cells.tolist(), dtype=object))
    if full and volume != whole:
        raise SnapshotError(
            f"{path}: {what} hold {volume} of {whole} cells; some are missing, they do not tile the grid{remedy}"
        )
    return whole - volume


def check_extents(
    path: str,
    tree: Tree,
    limits: Sequence[tuple[float, float]],
    extents: np.ndarray,
    eps: float,
    sliced: Sequence[int] = (),
) -> None:
    """Refuse blocks whose stated edges are not those that their level and location imply.

    Parameters
    ----------
    path : str
        Named in errors.
    tree : Tree
        All three axes.
    limits : three pairs
        Of the mesh, in array order.
    extents : (nb, ndim, 2) array
        Lower and upper edge of each block as stored.
    eps : float
        Relative rounding of the stored edges.
    sliced : sequence of int
        Axes that a slice of the blocks lies across: there they have a stretch in common.
    """
    for axis, (low, high) in enumerate(limits):
        if axis in sliced:
            if not extents[:, axis, 0].max() < extents[:, axis, 1].min():
                raise SnapshotError(f"{path}: the blocks have no {'zyx'[axis]} in common, so they are no slice")
            continue
        count = tree.root[axis] // tree.block[axis]
        fine = count << tree.level if tree.root[axis] > 1 else np.full(len(tree.level), count)
        width = (high - low) / fine
        expected = low + (tree.logical[:, axis, None] + np.array([0, 1])) * width[:, None]
        slack = 1e-3 * np.abs(width)[:, None] / tree.block[axis] + 8 * eps * max(abs(low), abs(high))
        wrong = ~(np.abs(extents[:, axis] - expected) <= slack)
        if wrong.any():
            bad = int(np.argwhere(wrong)[0][0])
            raise SnapshotError(
                f"{path}: block {bad} says it spans {extents[bad, axis].tolist()} along {'zyx'[axis]}, its level and "
                f"location say {expected[bad].tolist()}; the file is damaged, or the mesh is not uniform"
            )


def _with(region: Sequence[slice], axis: int, item: slice) -> Region:
    return (*region[:axis], item, *region[axis + 1 :])

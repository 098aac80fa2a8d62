"""Plan of a structure function: the separations of its pairs, their bins, and the other arguments, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmfields.anisotropy.jackknife import require_subvolumes
from mmfields.conventions import (
    SPATIAL,
    Grid,
    require_number,
    require_values,
    require_whole,
)
from mmfields.errors import ArgumentError, SnapshotError

FRAMES = ("local", "global")
# Positions of the points of an increment, in units of the separation, and their weights.  The last number normalizes
# the square of the increment, so that for white noise its mean is the same with two points and with five.
POINTS = {2: ((0, 1), (-1.0, 1.0), 1.0), 5: ((-2, -1, 0, 1, 2), (1.0, -4.0, 6.0, -4.0, 1.0), 1.0 / 35.0)}
HIGHEST_ORDER = 6
# Number of separations that sampled pairs have; they are drawn once for all pairs.
DRAWN = 4096
# Inverse powers of the root of x⁴ = x + 1: their multiples modulo 1 fill the unit cube more evenly than random numbers.
EVEN = 1.22074408460575947536 ** -np.arange(1.0, 4.0)
# A separation on the edge of two bins belongs to the upper one, whatever the last bits of the cell size.  Its parts
# along and across the local field take any value, so the tolerance of their edges covers rounding alone.
TIE, TIE_LOCAL = 1e-6, 1e-9


@dataclass(frozen=True)
class Plan:
    """Description of the computation, in cells of the snapshot; it is small, because every block is sent with it."""

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
    asked: int = 1  # number of orders asked for; the errors need the second order too

    def axes(self) -> list[str]:
        """Components of a vector in the order of the kernels: the fastest axis first, the missing axes last."""
        return [*self.grid.dims[::-1], *(d for d in SPATIAL if d not in self.grid.dims)]

    def margins(self) -> tuple[tuple[int, int], ...]:
        """Cells before and after a block, along each axis, that its pairs reach."""
        steps = POINTS[self.points][0]
        reached = np.array([s * self.lags for s in steps]).reshape(-1, 3)[:, 3 - len(self.grid.dims) :]
        return tuple(zip((-reached.min(axis=0)).tolist(), reached.max(axis=0).tolist(), strict=True))


class Separations(NamedTuple):
    """Separations of the pairs in cells, (m, 3) along z, y, x, and edges of their bins of length and angle."""

    lags: np.ndarray
    edges: np.ndarray
    turns: np.ndarray


def separations_of(
    grid: Grid, *, points: int, seed: int, lags: Any, reach: float | None, bins: Any, angles: Any
) -> Separations:
    """Check the arguments for the separations, and make them; the parameters are those of :func:`structure_function`.

    Raises
    ------
    ArgumentError, SnapshotError
        If an argument is not possible, or the separations do not fit into the box.
    """
    if not isinstance(points, int) or points not in POINTS:
        raise ArgumentError(f"points={points!r}: 2 or 5 is needed")
    require_whole(seed, "seed", 0)
    rank = len(grid.dims)
    lengths = [length for n, length in zip(grid.shape, grid.lengths, strict=True) if n > 1]
    if not lengths:
        raise SnapshotError("a snapshot of one cell has no increments")
    cells = np.array([1.0] * (3 - rank) + list(grid.spacing))
    axes = np.array([0] * (3 - rank) + [int(n > 1) for n in grid.shape])
    if lags is None or isinstance(lags, str):
        if lags not in (None, "all"):
            raise ArgumentError(f"lags={lags!r}: 'all', or an array (m, 3) of whole numbers of cells, is needed")
        reach = _reach(reach, min(lengths), cells[axes == 1].min(), points)
        table = _all_lags(reach, cells, axes) if lags == "all" else _drawn_lags(reach, cells, axes, seed)
    elif reach is not None:
        raise ArgumentError(f"reach={reach!r} is for separations that are not given themselves: leave it out")
    else:
        table = _given_lags(lags, grid, POINTS[points][0][-1] - POINTS[points][0][0])
        reach = float(np.linalg.norm(table * cells, axis=1).max())
    return Separations(table, _length_edges(bins, reach, cells, axes), _angle_edges(angles))


def plan_of(
    grid: Grid,
    separations: Separations,
    *,
    order: int | Sequence[int],
    points: int,
    frame: str,
    pairs: int,
    seed: int,
    subvolumes: int,
) -> Plan:
    """Check the other arguments of :func:`structure_function`; `pairs` = 0 means all pairs of the lattice.

    Raises
    ------
    ArgumentError
        If one of them is not possible.
    """
    require_subvolumes(subvolumes)
    orders = tuple(order) if isinstance(order, list | tuple | np.ndarray) else (order,)
    orders = tuple(require_whole(o, "order", 1) for o in orders)
    if not orders or max(orders) > HIGHEST_ORDER or len(set(orders)) < len(orders):
        raise ArgumentError(f"order={order!r}: different whole numbers from 1 to {HIGHEST_ORDER} are needed")
    require_whole(pairs, "pairs", 0)
    if frame not in FRAMES:
        raise ArgumentError(f"frame={frame!r}: one of {', '.join(FRAMES)} is needed")
    return Plan(
        grid=grid,
        orders=orders if 2 in orders or not subvolumes else (*orders, 2),
        asked=len(orders),
        points=points,
        local=frame == "local",
        pairs=int(pairs),
        seed=int(seed),
        lags=separations.lags,
        edges=separations.edges,
        turns=separations.turns,
        groups=max(int(subvolumes), 1),
    )


def _reach(reach: float | None, shortest: float, cell: float, points: int) -> float:
    """Longest separation; refused unless all points of a pair fit within half the box."""
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
    """Keep one of l and -l, which give the same pairs, in the order of z, y, x; leave out the length 0."""
    lags = lags[(lags != 0).any(axis=1)]
    leading = np.take_along_axis(lags, (lags != 0).argmax(axis=1)[:, None], axis=1)
    lags = np.where(leading < 0, -lags, lags)
    return lags[np.lexsort(lags.T[::-1])]


def _drawn_lags(reach: float, cells: np.ndarray, axes: np.ndarray, seed: int) -> np.ndarray:
    """Isotropic separations uniform in log length, spread so evenly that another seed gives nearly the same means."""
    start = np.random.default_rng([seed, 5]).uniform(size=3)
    size, turn, rise = ((start + EVEN * np.arange(DRAWN)[:, None]) % 1.0).T
    shortest = cells[axes == 1].min()
    size = shortest * (max(reach, shortest) / shortest) ** size
    arrow = _isotropic_directions(turn, rise, int(axes.sum()))
    lags = np.zeros((DRAWN, 3), np.int64)
    lags[:, axes == 1] = np.rint(arrow * size[:, None] / cells[axes == 1])
    return _one_of_each_sign(lags[np.linalg.norm(lags * cells, axis=1) <= reach * (1 + TIE)])


def _isotropic_directions(turn: np.ndarray, rise: np.ndarray, rank: int) -> np.ndarray:
    """Isotropic unit vectors (m, rank) from uniform numbers between 0 and 1."""
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


def bins_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Bin of each value; a value outside all bins gets the number of bins."""
    found = np.searchsorted(edges, values, side="right") - 1
    return np.where((found < 0) | (found >= len(edges) - 1), len(edges) - 1, found)

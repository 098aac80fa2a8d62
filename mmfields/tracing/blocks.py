"""A field that no process may hold, divided into blocks that overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mmfields.tracing.packing import Form, vectors

# Cells that neighbouring blocks have in common: at least so many, and a share of their own.
HALO, SHARE = 4, 1 / 16
# Cells along a side of the smallest blocks: with their halos they are 27 times as large.
LEAST = 2 * HALO
# Of a worker's memory: what a field may fill to be held as a whole, and one block to be worked on beside others.
HELD_WHOLE, HELD_BLOCK = 1 / 3, 1 / 10
# Bytes of trajectories that are put together at once.
RESULT = 2**28


@dataclass(frozen=True)
class Plan:
    """How a field is divided.

    Parameters
    ----------
    shape : tuple of int
        Cells (z, y, x).
    periodic : tuple of bool
        Of the axes (z, y, x); the others end.
    side : int
        Cells of a block along each axis, at most.
    """

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]
    side: int

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-n // self.side) for n in self.shape)

    @cached_property
    def sides(self) -> tuple[int, ...]:
        """Cells of a block along each axis; the last may have fewer."""
        return tuple(-(-n // count) for n, count in zip(self.shape, self.counts, strict=True))

    @cached_property
    def regions(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """First cell and number of cells (z, y, x) of every block with its halo."""
        return [self._region(number) for number in range(int(np.prod(self.counts)))]

    def _region(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        begins, extents = [], []
        place = np.unravel_index(number, self.counts)
        for i, n, side, periodic in zip(place, self.shape, self.sides, self.periodic, strict=True):
            halo = max(HALO, int(side * SHARE))
            low, high = int(i) * side - halo, min((int(i) + 1) * side, n) + halo
            if high - low >= n:
                low, high = 0, n
            elif not periodic:
                low, high = max(low, 0), min(high, n)
            begins.append(low % n)
            extents.append(high - low)
        return tuple(begins), tuple(extents)

    def home(self, goals: np.ndarray) -> np.ndarray:
        """Numbers of the blocks in whose own cells (n, 3), in x, y, z order, lie."""
        return np.ravel_multi_index(tuple(goals[:, 2 - a] // self.sides[a] for a in range(3)), self.counts)


class Unread:
    """Dask arrays for a task that computes them part by part; Dask does not look into it and compute them before."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        self.arrays = list(arrays)

    def __dask_tokenize__(self) -> list[str]:
        return [array.name for array in self.arrays]


def divided(parts: Sequence[Any], mask: Any, form: Form) -> tuple[Unread, None, Unread | None]:
    """As `whole` of :mod:`~mmfields.tracing.packing`, of a field that `run_in_blocks` divides.

    The parts may have one place more than there are cells, for faces.
    """
    return Unread([part for three, _ in vectors(parts, form) for part in three]), None, marks_unread(mask)


def marks_unread(mask: Any) -> Unread | None:
    """A mask, if there is one, that is computed where it is needed."""
    return None if mask is None else Unread([mask])


def side_for(size: int, bytes_per_cell: int) -> int | None:
    """Cells along a side of the blocks that workers need for a field of so many cells; None where they can hold it."""
    from mmfields.cluster.client import workers_in_force

    limits = [(memory, memory / threads) for memory, threads in workers_in_force() if memory]
    if not limits or size * bytes_per_cell <= HELD_WHOLE * min(limits)[0]:
        return None
    held = HELD_BLOCK * min(each for _, each in limits)
    return max(LEAST, int((held / bytes_per_cell) ** (1 / 3) / (1 + 2 * SHARE)))


def particles_at_once(bytes_each: int) -> int:
    """So many of whose trajectories, of so many bytes each, are put together at once."""
    return max(1, RESULT // bytes_each)

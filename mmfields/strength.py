"""Strength of a field: its mean and the rms of the full vector, in one pass, lazily, whether in memory or not."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import numpy as np
import xarray as xr

from mmfields.conventions import components, native

# Numbers of a part of an array in memory.
PART = 2**22


def lazily(array: xr.DataArray, part: int = PART) -> xr.DataArray:
    """The same with a Dask array, in parts of so many numbers where it lies in memory; it is not copied.

    (The name is at random: to make one from the numbers would read all of them.)
    """
    import dask.array as da

    if array.chunks is not None or not array.ndim:
        return array
    planes = max(1, part // max(1, int(np.prod(array.shape[1:]))))
    firsts, name = range(0, array.shape[0], planes), f"held-{uuid4().hex}"
    rest = (0,) * (array.ndim - 1)
    views = {(name, i, *rest): array.data[first : first + planes] for i, first in enumerate(firsts)}
    lengths = tuple(len(view) for view in views.values())
    chunks = (lengths, *((n,) for n in array.shape[1:]))
    return array.copy(data=da.Array(views, name, chunks, meta=np.empty((0,) * array.ndim, array.dtype)))


def strengths(field: xr.Dataset) -> tuple[Any, Any]:
    """Mean of the three components and the mean square of the vector, NaN where the field holds one.

    Sums are added with twice the digits, so that they hardly depend on chunks.

    Parameters
    ----------
    field : xarray.Dataset
        With ``Bx By Bz``, over spatial dims alone.

    Returns
    -------
    Dask arrays, (3,) and ()
    """
    import dask.array as da

    arrays = [lazily(field[name]) for name in components(field)]
    parts = [native(array.data, name) for array, name in zip(arrays, components(field), strict=True)]
    cells, extra = [part.size for part in parts], [parts[0].ndim, parts[0].ndim + 1]
    sums = []
    for part in parts:
        each = (*((1,) * n for n in part.numblocks), (2,), (2,))
        sums.append(
            da.map_blocks(_sums, part, dtype=float, chunks=each, new_axis=extra, meta=np.empty((0,) * len(each)))
        )
    dropped = list(range(1, len(each)))
    joined = [blocks.rechunk(-1) for blocks in sums]
    both = da.map_blocks(_means, *joined, cells=cells, dtype=float, chunks=((4,),), drop_axis=dropped, meta=np.empty(0))
    return both[:3], both[3]


def _sums(block: np.ndarray) -> np.ndarray:
    """Sum and sum of squares of a block: numbers, and what rounding took of them; (…, 2, 2), … of one each."""
    from mmfields.kernels.packing import add_exactly

    out = np.zeros((2, 2))
    add_exactly(block.reshape((1,) * (3 - block.ndim) + block.shape), out)
    return out.reshape((1,) * block.ndim + (2, 2))


def _means(*sums: np.ndarray, cells: Sequence[int]) -> np.ndarray:
    """The three means, and the mean square of the vector, of sums over blocks."""
    with np.errstate(invalid="ignore"):
        rows = [np.asarray(s, np.longdouble).reshape(-1, 2, 2) for s in sums]
        own = [row.sum(axis=(0, 2)) / n for row, n in zip(rows, cells, strict=True)]
    return np.array([mean for mean, _ in own] + [sum(square for _, square in own)], float)

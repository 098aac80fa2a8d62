"""Levels that are subtracted from fields, and the refusal of fields that are not finite."""

from typing import Any

import numpy as np

from mmfields._compat import meta_of
from mmfields.conventions import SnapshotError


def require_finite(field: np.ndarray, sums: np.ndarray, name: str, where: str = "", at: tuple[int, ...] = ()) -> None:
    """Refuse NaN and infinity, which show in the sums over the field; only then is the cell searched for."""
    if np.isfinite(sums).all():
        return
    if (bad := np.argwhere(~np.isfinite(field))).size:
        raise SnapshotError(
            f"{name} is not finite at index {(*at, *bad[0].tolist())}{where}: fill it before a Fourier transform"
        )
    raise SnapshotError(
        f"the sum of {name}{where} overflows {field.dtype}: bring it to other units, or to float64 by ds.astype(float)"
    )


def finite(array: Any, name: str, before: str = "a Fourier transform") -> Any:
    """The same NumPy or Dask array; refused if it is not finite, for a lazy array when its blocks are computed."""
    if not hasattr(array, "dask"):
        return _finite(array, name, before)
    return array.map_blocks(_finite, name, before, dtype=array.dtype, meta=meta_of(array))


def _finite(block: np.ndarray, name: str, before: str, block_info: Any = None) -> np.ndarray:
    if np.isfinite(block).all():
        return block
    corner = [start for start, _ in block_info[0]["array-location"]] if block_info else [0] * block.ndim
    place = tuple((np.argwhere(~np.isfinite(block))[0] + corner).tolist())
    raise SnapshotError(f"{name} is not finite at index {place}: fill it before {before}")


def level_of(array: Any, rank: int) -> Any:
    """Approximate mean of each field of `rank` axes: the mean of its first plane.

    Fluctuations far below their mean keep their digits in float32 if such a level is subtracted before the
    transform; the exact mean would take another pass over the field.

    Returns
    -------
    (…, 1, 1, 1) array
        In the dtype of the transform; NumPy or Dask as the array is.
    """
    axes = tuple(range(array.ndim - rank, array.ndim))
    kind = np.result_type(array.dtype, np.float32)
    first = array[(..., slice(0, 1), *(slice(None),) * (rank - 1))]
    if not hasattr(array, "dask"):
        return _level(first, axes=axes, kind=kind)
    first = first.rechunk(dict.fromkeys(axes, -1))
    chunks = (*first.chunks[:-rank], *((1,),) * rank)
    return first.map_blocks(_level, axes=axes, kind=kind, chunks=chunks, dtype=kind, meta=np.empty((0,) * array.ndim))


def _level(part: np.ndarray, *, axes: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """Mean of the finite values; 0 if there are none."""
    good = np.isfinite(part)
    count = good.sum(axes, keepdims=True)
    return (part.sum(axes, np.float64, keepdims=True, where=good) / np.maximum(count, 1)).astype(kind)


def about_level(field: np.ndarray, level: np.ndarray) -> np.ndarray:
    """A field minus its level, in float32 or a wider dtype."""
    return np.subtract(field, level, dtype=np.result_type(field.dtype, np.float32))

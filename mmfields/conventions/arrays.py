"""Fields without their labels, for what lies below xarray."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions.checks import require_real


def aligned(
    fields: Sequence[xr.DataArray], small: Sequence[xr.DataArray], dims: Sequence[str], last: str = "component"
) -> tuple[list[str], list[Any], list[Any]]:
    """Fields and small arrays of a snapshot without their labels, for what lies below xarray.

    Parameters
    ----------
    fields : sequence of xarray.DataArray
        Over `dims` and perhaps others, such as ``time``, which lead.
    small : sequence of xarray.DataArray
        Over `last`, and perhaps leading dims.
    dims : sequence of str
    last : str

    Returns
    -------
    lead, fields, small
        Names of the leading dims; NumPy or Dask arrays over (lead, dims) in :func:`native` dtypes, and over
        (lead, last).

    Raises
    ------
    SnapshotError
        If a field is not of real numbers.
    """
    lead, wide = widened((*fields, *small), dims, last)
    data = [array.data for array in wide]
    return lead, [native(a, f.name) for a, f in zip(data, fields, strict=False)], data[len(fields) :]


def widened(
    arrays: Sequence[xr.DataArray], dims: Sequence[str], last: str = "component"
) -> tuple[list[str], list[xr.DataArray]]:
    """Names of the leading dims of fields over `dims` and small arrays over `last`, and each of these over them all."""
    lead = list(dict.fromkeys(d for a in arrays for d in a.dims if d not in (*dims, last)))
    sizes = {d: n for a in arrays for d, n in a.sizes.items()}
    wide = [a.expand_dims({d: sizes[d] for d in lead if d not in a.dims}) for a in arrays]
    return lead, [a.transpose(*lead, *([last] if last in a.dims else dims)) for a in wide]


def native(array: Any, name: Any) -> Any:
    """Floats as kernels take them: float32 as it is, half precision as float32, all else as float64.

    Raises
    ------
    SnapshotError
        If they are not real numbers.
    """
    require_real(array, name)
    kind = np.float32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else np.float64
    return array.astype(kind, copy=False)


def per_snapshot(work: Callable[..., Any], arrays: Sequence[Any], lead: int) -> Any:
    """`work` on each snapshot of a series, as along ``time``, and its results joined.

    Parameters
    ----------
    work : callable
        From the parts of all arrays at one place along their leading axes to an array, or a tuple of them.
    arrays : sequence of NumPy or Dask arrays
        Over the same leading axes.
    lead : int
        How many axes lead.

    Returns
    -------
    array or tuple of arrays
        As `work` gives them, after the leading axes.
    """
    shape = arrays[0].shape[:lead]
    parts = [work(*(array[place] for array in arrays)) for place in np.ndindex(*shape)]
    if isinstance(parts[0], tuple):
        return tuple(stacked(part, shape) for part in zip(*parts, strict=True))
    return stacked(parts, shape)


def stacked(parts: Sequence[Any], lead: Sequence[int]) -> Any:
    """Results for all places along leading axes, in their order, as one NumPy or Dask array (lead, …)."""
    if not lead:
        return parts[0]
    if hasattr(parts[0], "dask"):
        import dask.array as da

        return da.stack(parts).reshape(*lead, *parts[0].shape)
    return np.stack(parts).reshape(*lead, *parts[0].shape)

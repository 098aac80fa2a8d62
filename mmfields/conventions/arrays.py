"""Fields without their labels, for what lies below xarray."""

from collections.abc import Sequence
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
    everything = (*fields, *small)
    lead = list(dict.fromkeys(d for a in everything for d in a.dims if d not in (*dims, last)))
    sizes = {d: n for a in everything for d, n in a.sizes.items()}

    def wide(array: xr.DataArray, own: Sequence[str]) -> Any:
        new = {d: sizes[d] for d in lead if d not in array.dims}
        return array.expand_dims(new).transpose(*lead, *own).data

    return lead, [native(wide(f, dims), f.name) for f in fields], [wide(s, [last]) for s in small]


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


def stacked(parts: Sequence[Any], lead: Sequence[int]) -> Any:
    """Results for all places along leading axes, in their order, as one NumPy or Dask array (lead, …)."""
    if not lead:
        return parts[0]
    if hasattr(parts[0], "dask"):
        import dask.array as da

        return da.stack(parts).reshape(*lead, *parts[0].shape)
    return np.stack(parts).reshape(*lead, *parts[0].shape)

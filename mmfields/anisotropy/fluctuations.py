"""The fluctuation along the mean field, and the direction that it is along."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.anisotropy.jackknife import group_sums
from mmfields.conventions import (
    as_real,
    components,
    direction_of,
    mean,
    mean_direction,
    require_direction,
    spatial_dims,
    unit_attrs,
)
from mmfields.fourier.levels import finite
from mmfields.provenance import verb


@verb
def fluctuation(ds: xr.Dataset, *, direction: str | Sequence[float] | None = None) -> xr.DataArray:
    """Fluctuation dB_par = (B - <B>) · b along the mean field, lazily.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot with ``Bx By Bz``.
    direction : str or three numbers, optional
        What parallel means; the mean field by default.

    Returns
    -------
    xarray.DataArray
        ``dB_par`` over the dims of the field, in its unit.

    Raises
    ------
    ArgumentError, SnapshotError
        When it is computed, if the field is not finite; or without a mean field, where no direction is given.
    """
    names = components(ds)
    ds = ds.assign({n: ds[n].copy(data=finite(ds[n].data, n, "its fluctuations are taken")) for n in names})
    along = mean_direction(ds, direction)
    dims = spatial_dims(ds)
    parts = [(ds[name] - mean(ds[name], dims)) * along.isel(component=i) for i, name in enumerate(names)]
    kind = np.result_type(*(as_real(ds[name]).dtype for name in names), np.float32)
    result = sum(parts[1:], parts[0]).astype(kind).rename("dB_par").drop_attrs(deep=False)
    return result.assign_attrs(**unit_attrs(ds["Bx"]), long_name="fluctuation of B along the mean field")


def direction_of_mean(arrays: Sequence[Any], lead: list[str], rank: int) -> Any:
    """The direction that `mean_direction` gives, found in one pass over the field; (…, 3)."""
    sums = [group_sums(_add_sums, [a], [], rank=rank, groups=1, columns=3)[..., 0, :] for a in arrays]
    return vectorized(_direction_of, lead, [(s, 1) for s in sums], 3)


def _add_sums(fields: list[np.ndarray], _: Any, edges: list[np.ndarray], out: np.ndarray) -> None:
    from mmfields.kernels.moments import add_sums

    add_sums(np.ascontiguousarray(fields[0]), edges[0][0, 0], edges[0][-1, 1], out[0, 0, 0])


def _direction_of(*sums: np.ndarray) -> np.ndarray:
    means, squares = np.array([s[1] / s[0] for s in sums]), sum(s[2] / s[0] for s in sums)
    return direction_of(means, squares)


def joined(levels: Sequence[Any], rank: int) -> Any:
    """Levels of several fields, (…, 1, 1, 1) each, as one small array (…, fields)."""
    return concatenated([level.reshape(*level.shape[: level.ndim - rank], 1) for level in levels])


def concatenated(arrays: Sequence[Any]) -> Any:
    """Small arrays joined along their last axis; lazy where one of them is."""
    if not any(hasattr(a, "dask") for a in arrays):
        return np.concatenate([np.asarray(a) for a in arrays], axis=-1)
    import dask.array as da

    return da.concatenate([da.asarray(a) for a in arrays], axis=-1).rechunk({-1: -1})


def projected(arrays: Sequence[Any], level: Any, along: Any, rank: int, *, kept: bool) -> Any:
    """Fluctuation along the direction, about a level; computed piece by piece where it is not kept."""
    kind = np.result_type(*(a.dtype for a in arrays[:3]), np.float32)
    if not any(hasattr(a, "dask") for a in (*arrays, along)):
        whole = _Projection(arrays[:3], level, along, kind)
        return whole[...] if kept or arrays[0].ndim > rank or rank == 1 else whole
    import dask.array as da

    lead = arrays[0].ndim - rank
    first = next(a for a in arrays if hasattr(a, "dask"))
    chunks = (*(1,) * lead, *first.chunks[lead:])
    letters, axes = "abcdefgh"[:lead], "xyz"[:rank]
    return da.blockwise(
        _project,
        letters + axes,
        *(item for a in arrays[:3] for item in (da.asarray(a).rechunk(chunks), letters + axes)),
        *(item for s in (level, along) for item in (da.asarray(s).rechunk((*(1,) * lead, -1)), letters + "m")),
        concatenate=True,
        align_arrays=False,
        dtype=kind,
        meta=np.empty((0,) * (lead + rank), kind),
        kind=kind,
    )


class _Projection:
    """Fluctuation of fields in memory that is computed only for the part of the first axis that is indexed."""

    def __init__(self, fields: Sequence[np.ndarray], level: np.ndarray, along: np.ndarray, kind: np.dtype) -> None:
        self.fields, self.small = fields, (level, along)
        self.shape, self.ndim, self.dtype = fields[0].shape, fields[0].ndim, np.dtype(kind)
        self.nbytes = fields[0].size * self.dtype.itemsize

    def __getitem__(self, part: Any) -> np.ndarray:
        return _project(*(f[part] for f in self.fields), *self.small, kind=self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...] if dtype is None else self[...].astype(dtype)


def _project(*arrays: np.ndarray, kind: np.dtype) -> np.ndarray:
    """NumPy adaptor of the kernel, which runs over the leading axes."""
    from mmfields.kernels.moments import project

    *fields, level, along = arrays
    require_direction(along)
    out = np.empty(fields[0].shape, kind)
    for index in np.ndindex(*along.shape[:-1]):
        flat = [np.ascontiguousarray(f[index]).ravel() for f in fields]
        project(*flat, level[index][:3].astype(float), np.ascontiguousarray(along[index]), out[index].reshape(-1))
    return out


def vectorized(
    work: Callable[..., np.ndarray], lead: list[str], arrays: Sequence[tuple[Any, int]], size: int, **options: Any
) -> Any:
    """Apply `work` to small arrays for all leading axes; each array comes with the number of last axes it works on."""
    labelled = [
        xr.DataArray(a, dims=[*lead, *(f"axis_{n}_{i}" for i in range(rank))]) for n, (a, rank) in enumerate(arrays)
    ]
    result = xr.apply_ufunc(
        work,
        *labelled,
        input_core_dims=[a.dims[len(lead) :] for a in labelled],
        output_core_dims=[["value"]],
        kwargs=options,
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"value": size}},
    )
    return result.transpose(*lead, "value").data

"""Means over the box, and the direction of the mean field."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions.checks import components, spatial_dims
from mmfields.conventions.vocabulary import MEAN_FIELD_FLOOR, SPATIAL
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.provenance import verb


@verb
def mean_field(ds: xr.Dataset, vector: str = "B") -> xr.Dataset:
    """Component means of a vector of the snapshot, lazily.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot.
    vector : str
        Letter of the vector, ``B`` by default.

    Returns
    -------
    xarray.Dataset
        The three components over the dims that are not spatial, in the field's unit; NaN where the
        field holds one.  Sums run in float64 whatever the dtype of the field.
    """
    names = list(components(ds, vector))
    return ds[names].mean(spatial_dims(ds), dtype=np.float64, skipna=False, keep_attrs=True)


def mean(array: xr.DataArray, dims: Iterable[str]) -> xr.DataArray:
    """Mean over spatial dims in float64, lazily; NaN where the array holds one."""
    return array.mean(dims, dtype=np.float64, skipna=False)


def _mean_square(array: xr.DataArray, dims: tuple[str, ...]) -> xr.DataArray:
    """Mean square over spatial dims in float64, row by row: without a copy of the array.

    (``xr.dot`` does the same in an order of letters, and so under a name, that changes from process to process.)
    """
    ordered = array.transpose(..., *dims)
    if array.chunks is None:
        rows: Any = np.einsum("...i,...i->...", ordered.data, ordered.data, dtype=np.float64)
    else:
        import dask.array as da

        rows = da.einsum("...i,...i->...", ordered.data, ordered.data, dtype=np.float64)
    labelled = xr.DataArray(rows, dims=ordered.dims[:-1])
    return labelled.mean(dims[:-1], skipna=False) / array.sizes[dims[-1]]


def mean_direction(ds: xr.Dataset, direction: str | Iterable[float] | None = None) -> xr.DataArray:
    """Unit vector that parallel and perpendicular refer to, lazily.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot.
    direction : str or three numbers, optional
        An axis or a vector (x, y, z); the direction of the mean B by default.

    Returns
    -------
    xarray.DataArray
        Over ``component`` (x, y, z), after any dims that are not spatial.

    Raises
    ------
    ArgumentError, SnapshotError
        When it is computed, where the mean field is below 1e-3 of the rms field.  It is NaN where the
        field is not finite (see :func:`require_direction`).
    """
    if direction is not None:
        return xr.DataArray(unit_vector(direction), dims="component")
    names = list(components(ds))
    dims = spatial_dims(ds)
    with ThreadPoolExecutor() as pool:  # a field in memory is summed here and now
        means, squares = (list(pool.map(lambda name, of=of: of(ds[name], dims), names)) for of in (mean, _mean_square))
    means, square = xr.concat(means, "component", coords="minimal"), sum(squares)
    return xr.apply_ufunc(
        direction_of,
        means.drop_attrs(),
        square,
        input_core_dims=[["component"], []],
        output_core_dims=[["component"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )


def direction_of(mean: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    """Unit vectors of mean fields (…, 3), given the mean squares of the field.

    Raises
    ------
    SnapshotError
        Where a mean field is below 1e-3 of the rms field.
    """
    strength = np.linalg.norm(mean, axis=-1)
    rms = np.sqrt(np.asarray(mean_square))
    if np.any(strength <= MEAN_FIELD_FLOOR * rms):
        raise SnapshotError(
            f"the mean field is {np.min(strength):.3g} against an rms field of {np.max(rms):.3g}, so it gives no "
            "direction: say what parallel means with direction='x', 'y', 'z' or a vector"
        )
    return mean / strength[..., None]


def unit_vector(direction: str | Iterable[float]) -> np.ndarray:
    """Unit (x, y, z) vector of an axis name or of three numbers.

    Raises
    ------
    ArgumentError
        If it is neither, or has no length.
    """
    if isinstance(direction, str):
        if direction not in SPATIAL:
            raise ArgumentError(f"direction {direction!r}: give 'x', 'y', 'z' or three numbers (x, y, z)")
        return np.array([float(direction == dim) for dim in SPATIAL])
    try:
        vector = np.asarray(list(direction), dtype=float)
    except (TypeError, ValueError):
        vector = np.zeros(0)
    length = np.linalg.norm(vector) if vector.shape == (3,) else 0.0
    if not np.isfinite(length) or length == 0:
        raise ArgumentError(f"direction {direction!r}: give 'x', 'y', 'z' or three finite numbers, not all zero")
    return vector / length


def require_direction(along: np.ndarray) -> None:
    """Refuse a mean direction that a field which is not finite has spoilt.

    Raises
    ------
    SnapshotError
        If a component is not finite.
    """
    if not np.isfinite(along).all():
        raise SnapshotError("B is not finite, so its mean gives no direction: fill it first, such as with ds.fillna(0)")

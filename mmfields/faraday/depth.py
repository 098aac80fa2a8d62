"""Rotation measures and Faraday depths."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from mmfields._types import Density, UnitLike
from mmfields.conventions import ArgumentError, per_snapshot
from mmfields.faraday.line_of_sight import (
    Columns,
    chunked_alike,
    columns_of,
    density_times_field,
    map_of,
    needed,
    positive,
    straightened,
    towards,
)
from mmfields.provenance import verb
from mmfields.spectra.bins import shared

LAYOUT = "lrc"


@verb
def rotation_measure(
    ds: xr.Dataset,
    los: str | Sequence[float] = "z",
    *,
    density: Density | None = None,
    field_unit: UnitLike | None = None,
    length_unit: UnitLike | None = None,
    redshift: float = 0.0,
) -> xr.DataArray:
    """Rotation-measure map RM = 0.8119 ∫ n_e B · dl [cm⁻³, µG, pc], dl from the source to the observer.

    The observer is at the upper end of an axis `los`, so a field along +los gives a positive RM.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot; lazy where it is, and streamed chunk by chunk.
    los : {"x", "y", "z"} or three numbers
        Axis of the line of sight, or a vector towards the observer.  Oblique lines cross the box once along the
        axis that is nearest to them, wrapping around the others, and are told apart by where they leave it; the map
        is not foreshortened.  They are interpolated in what a cell adds, n B along the line, here and in
        :func:`polarization`: so the mean of the map is exactly that of the box, which products of n and B that are
        interpolated apart do not give.
    density : astropy Quantity or xarray.DataArray, optional
        Electron density where the snapshot has no ``n``, or instead of it: a constant, or a profile with units over
        some of the axes.
    field_unit, length_unit : astropy Quantity or Unit, optional
        What 1 stands for in a normalized snapshot; by default ``attrs["field_unit"]`` and
        ``attrs["length_unit"]``.
    redshift : float
        Of the source; the observed RM is (1 + z)⁻² times that of its rest frame.

    Returns
    -------
    xarray.DataArray
        Over the dims that are left, in rad m⁻²; summed with twice the digits of a double, so that it does not
        depend on the chunks.  A line through a cell that is not finite is NaN or infinite, and no other one.

    Raises
    ------
    ArgumentError, SnapshotError
        If the axis or the density is missing, a unit is not known, or a variable is not of real numbers; if an oblique
        line of sight leaves the box through an open side; when computed, if a density is negative.
    """
    columns = columns_of(ds, los, density=density, field_unit=field_unit, length_unit=length_unit, redshift=redshift)
    total = _sum_columns(columns)
    result = map_of(ds, columns, total).rename("rotation_measure")
    return result.assign_attrs(
        units="rad / m2", long_name="rotation measure", line_of_sight=_los_label(los), redshift=float(redshift)
    )


def _los_label(los: str | Sequence[float]) -> str:
    return f"+{los}" if isinstance(los, str) else str(tuple(float(c) for c in los))


def places_of(array: Any, rank: int) -> np.ndarray:
    """Planes counted from the one nearest to the observer."""
    return np.arange(array.shape[-rank])[::-1]


def _sum_columns(columns: Columns) -> Any:
    """Depth of whole columns, (…, rows, columns)."""
    rank = 1 + len(columns.dims)
    fields, direction = needed(columns)
    arrays = [*fields, *([] if columns.density is None else [columns.density])]
    options: dict[str, Any] = {"columns": (direction, columns.shifts), "dense": columns.density is not None}

    def column(*own: Any) -> Any:
        if any(hasattr(a, "dask") for a in own):
            return _lazy(own, columns, options)
        both = _column_sums(*own, places_of(own[0], rank), **options, threads=os.cpu_count() or 1)
        return _round_total(both, (0, 1), False, scale=columns.depth)

    return per_snapshot(column, arrays, len(columns.lead))


def _lazy(own: Sequence[Any], columns: Columns, options: dict[str, Any]) -> Any:
    """Depth of columns that lie in several chunks: each chunk is summed, and then the sums."""
    import dask.array as da

    rank = 1 + len(columns.dims)
    own, axes = chunked_alike(own, columns.sight.oblique), LAYOUT[:rank]
    both = da.blockwise(
        _column_sums,
        "lq" + axes[1:],
        *(item for a in own for item in (a, axes)),
        da.from_array(places_of(own[0], rank), chunks=(own[0].chunks[0],)),
        "l",
        new_axes={"q": 2},
        adjust_chunks={"l": 1},
        concatenate=True,
        align_arrays=False,
        dtype=np.float64,
        meta=np.empty((0,) * (rank + 1)),
        **options,
    )
    return da.reduction(
        both,
        _keep_block,
        partial(_round_total, scale=columns.depth),
        combine=_add_blocks,
        axis=(0, 1),
        split_every={0: 4, 1: 2},
        dtype=np.float64,
        meta=np.empty((0,) * (rank - 1)),
    )


def _column_sums(*arrays: np.ndarray, columns: tuple, dense: bool, threads: int = 1) -> np.ndarray:
    """Sums of density times field of one block, (1, 2, rows, columns): the sum and its last digits."""
    from mmfields.kernels.faraday import add_along, add_depth

    *fields, places = arrays
    direction, shifts = columns
    number = [fields.pop()] if dense else []
    if shifts != (0.0, 0.0):
        seen = [straightened(density_times_field(fields, direction, *(number or [None])), places, shifts)]
    else:
        seen = [towards(fields, direction), *number]
    shape = seen[0].shape[1:]
    upright = [np.moveaxis(s, 0, -1) for s in seen]
    along = all(s.flags.c_contiguous for s in upright)  # to transpose columns that lie in one piece would be slow
    if along:
        seen, add = [s.reshape(-1, len(places)) for s in upright], add_along
    else:
        seen, add = [np.ascontiguousarray(s.reshape(len(places), -1)) for s in seen], add_depth
    density = seen[1] if len(seen) > 1 else np.ones((1, 1))
    sums = np.zeros((2, int(np.prod(shape))))

    def cells(part: slice) -> int:
        return add(seen[0], density, *sums, part.start, part.stop)

    if shared(cells, sums.shape[1], threads):
        positive(density)
    return sums.reshape(1, 2, *shape)


def _keep_block(sums: np.ndarray, axis: tuple[int, ...], keepdims: bool) -> np.ndarray:
    return sums


def _add_blocks(sums: np.ndarray, axis: tuple[int, ...], keepdims: bool) -> np.ndarray:
    """Blocks of a column added up, with twice the digits of a double: (1, 2, rows, columns)."""
    total = np.array(sums[:1])
    high, low = total[0]
    for value, small in sums[1:]:
        new = high + value
        part = new - high
        low += (high - (new - part)) + (value - part) + small
        high[...] = new
    return total


def _round_total(sums: np.ndarray, axis: tuple[int, ...], keepdims: bool, *, scale: float) -> np.ndarray:
    """Both parts of the whole sum as one number, (rows, columns)."""
    high, low = _add_blocks(sums, axis, keepdims)[0]
    return (high + low) * scale


@verb
def faraday_depth(
    ds: xr.Dataset,
    los: str | Sequence[float] = "z",
    *,
    density: Density | None = None,
    field_unit: UnitLike | None = None,
    length_unit: UnitLike | None = None,
    redshift: float = 0.0,
) -> xr.DataArray:
    """Faraday depth of the middle of every cell: the rotation measure of what lies between it and the observer.

    Parameters
    ----------
    ds, los, density, field_unit, length_unit, redshift
        As :func:`rotation_measure`; `los` is an axis, or a vector along one.

    Returns
    -------
    xarray.DataArray
        Over the dims of the snapshot [rad m⁻²]; lazy where it is.  Not finite in and behind a cell that is not.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`rotation_measure`, or if the line of sight is oblique.
    """
    columns = columns_of(ds, los, density=density, field_unit=field_unit, length_unit=length_unit, redshift=redshift)
    if columns.sight.oblique:
        raise ArgumentError(f"los={los!r}: a depth at every cell needs a line of sight along an axis")
    axis = columns.sight.axis
    dims = [*columns.lead, axis, *columns.dims]
    field, density_ = (
        None if a is None else xr.DataArray(a, dims=dims)
        for a in (towards(columns.arrays[:3], columns.sight.direction), columns.density)
    )
    if density_ is not None:
        density_ = xr.apply_ufunc(positive, density_, dask="parallelized", output_dtypes=[density_.dtype])
    own = field.astype(np.float64) if density_ is None else field.astype(np.float64) * density_
    total = own.isel({axis: slice(None, None, -1)}).cumsum(axis, skipna=False).isel({axis: slice(None, None, -1)})
    depth = (total - 0.5 * own) * columns.depth
    if columns.sight.backward:
        depth = depth.isel({axis: slice(None, None, -1)})
    depth = depth.assign_coords({d: ds[d] for d in dims if d in ds.coords}).transpose(*ds["Bx"].dims)
    return depth.rename("faraday_depth").assign_attrs(
        units="rad / m2", long_name="Faraday depth", line_of_sight=_los_label(los), redshift=float(redshift)
    )

"""What a snapshot must have: spatial dims, plain real numbers, and the components of a vector."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from mmfields._compat import data_of
from mmfields.conventions.numbers import unit_carried
from mmfields.conventions.vocabulary import SPATIAL
from mmfields.errors import ArgumentError, SnapshotError


def spatial_dims(ds: xr.Dataset | xr.DataArray) -> tuple[str, ...]:
    """Spatial dims of a snapshot, in the order in which its first variable stores them.

    Raises
    ------
    SnapshotError
        If there is none.
    """
    if not isinstance(ds, xr.Dataset | xr.DataArray):
        raise ArgumentError(f"a snapshot is needed, not {type(ds).__name__}: make one of arrays with mm.io.from_arrays")
    require_plain_data(ds)
    arrays: Iterable[xr.DataArray] = ds.data_vars.values() if isinstance(ds, xr.Dataset) else [ds]
    found: list[str] = []
    for array in arrays:
        found += [str(d) for d in array.dims if d in SPATIAL and d not in found]
    if not found:
        raise SnapshotError(
            f"no spatial dim among {tuple(ds.dims)}: a snapshot has dims out of x, y, z; "
            "rename yours with ds.rename(...)"
        )
    return tuple(found)


def require_plain_data(ds: xr.Dataset | xr.DataArray) -> None:
    """Refuse arrays that carry their unit with them (those of pint), which would be lost on the way.

    Raises
    ------
    SnapshotError
        Naming the first one, or those that are packed; nothing is computed or read.
    """
    require_unpacked(ds)
    arrays = ds.variables if isinstance(ds, xr.Dataset) else {ds.name: ds.variable, **ds.coords}
    for name, array in arrays.items():
        data = data_of(getattr(array, "variable", array))
        if (unit := unit_carried(data)) is not None:
            raise SnapshotError(
                f"{name} is a Quantity in {unit}: plain numbers with attrs['units'] are needed, as "
                "ds.pint.dequantify(format='~') makes them"
            )


def require_unpacked(ds: xr.Dataset | xr.DataArray) -> None:
    """Refuse numbers that stand for others, as a netCDF or zarr opened without decoding gives them.

    Raises
    ------
    SnapshotError
        Naming all of them.
    """
    arrays = ds.variables if isinstance(ds, xr.Dataset) else {ds.name: ds.variable, **ds.coords}
    packed = {name: [key for key in ("scale_factor", "add_offset") if key in a.attrs] for name, a in arrays.items()}
    if packed := {name: keys for name, keys in packed.items() if keys}:
        said = sorted({key for keys in packed.values() for key in keys})
        raise SnapshotError(
            f"{list(packed)} hold packed numbers, as their attrs {said} say: unpack "
            "them with xr.decode_cf(ds), or open the file without mask_and_scale=False"
        )


def require_real(array: xr.DataArray, name: Any = None) -> xr.DataArray:
    """The array itself, of real numbers or of true and false, which count as 1 and 0.

    Raises
    ------
    SnapshotError
        If it holds anything else.
    """
    if array.dtype.kind not in "fiub":
        name = array.name if name is None else name
        remedy = "take its parts, .real and .imag" if array.dtype.kind == "c" else "leave it out, or convert it"
        raise SnapshotError(f"{name} is {array.dtype}: real numbers are needed; {remedy}")
    return array


def as_real(array: xr.DataArray) -> xr.DataArray:
    """The array itself if it holds floats; whole numbers, and true and false, as float64."""
    require_real(array)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def require_one_unit(ds: xr.Dataset | xr.DataArray, names: Iterable[str], what: str, remedy: str) -> None:
    """Refuse variables that state different units."""
    units = {name: str(ds[name].attrs["units"]) for name in names if "units" in ds[name].attrs}
    if len(set(units.values())) > 1:
        raise SnapshotError(f"{what} differ in unit: {units}; {remedy}")


def components(ds: xr.Dataset, vector: str = "B") -> tuple[str, str, str]:
    """Names of the three components of `vector`, checked to be there and of one shape.

    Raises
    ------
    SnapshotError
        If a component is missing or not of real numbers, or the shapes or units differ.
    """
    if not isinstance(ds, xr.Dataset):
        raise ArgumentError(f"a snapshot Dataset is needed, not {type(ds).__name__}: such as ds[['Bx', 'By', 'Bz']]")
    require_plain_data(ds)
    names = tuple(f"{vector}{i}" for i in SPATIAL)
    missing = [name for name in names if name not in ds]
    if missing:
        raise SnapshotError(
            f"missing {', '.join(missing)} among {list(ds.data_vars)}: rename the components of "
            f"{vector} to {', '.join(names)}"
        )
    for name in names:
        require_real(ds[name])
    shapes = {name: dict(ds[name].sizes) for name in names}
    if len({tuple(sorted(shape.items())) for shape in shapes.values()}) > 1:
        raise SnapshotError(f"components of {vector} differ in shape: {shapes}")
    require_one_unit(ds, names, f"components of {vector}", "convert them to one")
    return names  # type: ignore[return-value]

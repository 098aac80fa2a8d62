"""Snapshots of arrays in memory."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    LONG_NAMES,
    SPATIAL,
    ArgumentError,
    boundary_attrs,
    require_number,
    require_plain,
    unit_carried,
)
from mmfields.provenance import verb


@verb
def from_arrays(
    *,
    spacing: Mapping[str, float],
    dims: Iterable[str] = ("x", "y", "z"),
    boundary: str | Mapping[str, str] = "periodic",
    units: Mapping[str, str] | None = None,
    origin: Mapping[str, float] | None = None,
    **arrays_and_attrs: Any,
) -> xr.Dataset:
    """Make a snapshot of NumPy or Dask arrays.

    Parameters
    ----------
    spacing : mapping
        Cell size along each dim.
    dims : iterable of str
        Dims of the arrays, in their order; ``time`` may come first.
    boundary : str or mapping
        ``periodic`` or ``open``, for all axes or per axis.
    units : mapping, optional
        Units of variables and, under ``length``, of the coordinates; ``1`` where not given.
    origin : mapping, optional
        Lower edge of the box along each dim, 0 by default, so that the first centre is at half a cell.
    **arrays_and_attrs
        Arrays of as many dims as `dims` become variables, everything else dataset attrs.

    Returns
    -------
    xarray.Dataset
        Snapshot, chunked where the arrays are.

    Raises
    ------
    ArgumentError
        If shapes, dims and spacing do not fit together.
    """
    dims = tuple(dims)
    axes = [d for d in dims if d in SPATIAL]
    if not axes or len(set(dims)) != len(dims) or set(dims) - {*SPATIAL, "time"}:
        raise ArgumentError(f"dims {dims}: distinct ones out of x, y, z (and time) are needed")
    for name, given, example in (
        ("spacing", spacing, {"x": 1.0}),
        ("units", units, {"Bx": "uG", "length": "pc"}),
        ("origin", origin, {"x": 0.0}),
    ):
        if given is not None and not isinstance(given, Mapping):
            raise ArgumentError(f"{name}={given!r}: a mapping such as {example} is needed")
    if set(spacing) != set(axes):
        raise ArgumentError(f"spacing is given for {sorted(spacing)}, the spatial dims are {sorted(axes)}")
    if bad := {d: w for d, w in spacing.items() if require_plain(w, f"spacing[{d!r}]", "units={'length': ...}") <= 0}:
        raise ArgumentError(f"spacing {bad}: positive, finite numbers are needed")
    if extra := set(origin or {}) - set(axes):
        raise ArgumentError(f"origin names {sorted(extra)}, the spatial dims are {sorted(axes)}")
    arrays = {k: v for k, v in arrays_and_attrs.items() if getattr(v, "ndim", 0) > 0}
    attrs = {k: v for k, v in arrays_and_attrs.items() if k not in arrays}
    _require_arrays(arrays, attrs, dims, units or {})
    shapes = {name: tuple(a.shape) for name, a in arrays.items()}
    if not shapes or len(set(shapes.values())) > 1 or any(len(s) != len(dims) for s in shapes.values()):
        raise ArgumentError(f"arrays of one shape over {dims} are needed, found {shapes}")
    if 0 in next(iter(shapes.values())):
        raise ArgumentError(f"the arrays hold nothing: {shapes}")
    units = dict(units or {})
    shape = dict(zip(dims, next(iter(shapes.values())), strict=True))
    variables = {
        name: (
            dims,
            array,
            {"units": units.get(name, "1"), "long_name": LONG_NAMES.get(name, name), "code_name": name},
        )
        for name, array in arrays.items()
    }
    low = {d: require_number((origin or {}).get(d, 0.0), f"origin[{d!r}]") for d in axes}
    coords = {
        d: (
            d,
            low[d] + (np.arange(shape[d]) + 0.5) * spacing[d],
            {"units": units.get("length", "1"), "long_name": f"{d} (cell centres)", "spacing": float(spacing[d])},
        )
        for d in axes
    }
    attrs = {"code": "arrays", "time": 0.0, **attrs, **boundary_attrs(axes, boundary)}
    return xr.Dataset(variables, coords, attrs)


def _require_arrays(
    arrays: Mapping[str, Any], attrs: Mapping[str, Any], dims: tuple[str, ...], units: Mapping[str, str]
) -> None:
    """Refuse arrays that would lose their labels or their unit in the conversion."""
    for name, array in arrays.items():
        if isinstance(array, xr.DataArray):
            raise ArgumentError(f"{name} is a DataArray: give its .data, in the order {dims}")
        if (unit := unit_carried(array)) is not None:
            raise ArgumentError(f"{name} is a Quantity in {unit}: give its .value and units={{{name!r}: '...'}}")
    if lists := [name for name, value in attrs.items() if isinstance(value, list | tuple) and np.ndim(value) > 1]:
        raise ArgumentError(f"{lists} are lists: give arrays, np.asarray(...)")
    if unknown := set(units) - {*arrays, "length"}:
        raise ArgumentError(f"units name {sorted(unknown)}, the variables are {sorted(arrays)}, and 'length'")
    from astropy.units import Unit

    for name, text in units.items():
        try:
            Unit(text)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"units: astropy does not know {name} in {text!r}") from error

"""Snapshots from Datasets that other programs made (``mm.as_snapshot``)."""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields._compat import data_of
from mmfields.conventions import (
    LONG_NAMES,
    SPATIAL,
    ArgumentError,
    SnapshotError,
    boundary_attrs,
    check,
    require_unpacked,
    stated_unit,
    unit_carried,
)
from mmfields.io._aliases import FREE, is_time, plain_name
from mmfields.io._foreign_grid import centred, grid_of, is_epoch, on_grid
from mmfields.io._foreign_names import MOST_NAMED, Reading, find_dims, find_names
from mmfields.provenance import provenance, verb

OPTIONS = {"names", "dims", "boundary", "units", "staggered"}  # of as_snapshot


@verb
def as_snapshot(
    ds: xr.Dataset,
    *,
    names: Mapping[str, str] | None = None,
    dims: Mapping[str, str] | None = None,
    boundary: str | Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    staggered: bool = False,
) -> xr.Dataset:
    """Snapshot from a Dataset that another program made: sdf-xarray, nt2py, flekspy, yt, or a colleague's netCDF.

    Names, dims and units are understood as common programs write them; arguments take precedence.  Variables on
    edges of cells are averaged to the centres.  Whatever does not lie on the grid is left out and named in
    ``attrs["not_loaded"]``.  Nothing is computed; what was not read stays in its file.

    Parameters
    ----------
    ds : xarray.Dataset
        Variables over one grid, and whatever else.
    names : mapping, optional
        Name here, such as ``Bx``, of each name in the Dataset.
    dims : mapping, optional
        ``x``, ``y``, ``z``, their edges ``x_f`` and so on, or ``time``, of each of its dims that is one of them.
    boundary : str or mapping, optional
        ``periodic`` or ``open``, for all axes or per axis.
    units : mapping, optional
        Units of variables by their name here, ``length`` of the coordinates and ``time``.
    staggered : bool
        Also give what is averaged as it is stored: ``Bx_f`` over dims such as ``x_f``.

    Returns
    -------
    xarray.Dataset
        Snapshot over some of ``x``, ``y``, ``z``, with ``time`` first where there are several.

    Raises
    ------
    SnapshotError
        Naming everything that is undecided and the arguments that decide it, or where the grid is none of a snapshot.
    ArgumentError
        If an argument is no mapping as above.
    """
    ds = _plain(_dataset(ds))
    given = {key: _mapping(key, value) for key, value in (("names", names), ("dims", dims), ("units", units))}
    ds = on_grid(ds, given["dims"])
    reading = Reading(ds)
    find_dims(reading, given["dims"])
    find_names(reading, given["names"])
    reading.settle()
    out = grid_of(reading)
    own = [d for d in out.dims if d in SPATIAL]
    known = {d: str(ds.attrs[f"boundary_{d}"]) for d in own if f"boundary_{d}" in ds.attrs}
    edges = boundary_attrs(own, boundary, known)
    out = centred(reading, out, edges, staggered)
    out = _described(reading, out, given["units"])
    order = ["time"] if "time" in out.dims else []
    out = out.transpose(*order, ..., missing_dims="ignore")
    attrs = _attrs(reading, out)
    if "time" in attrs:
        notes = stated_unit(attrs["time_unit"]) if "time_unit" in attrs else {}
        out = out.assign_coords(time=((), attrs["time"], notes))
    return check(out.assign_attrs({**attrs, **edges}))


def open_foreign(
    path: str, engine: Any, chunks: Any, options: Mapping[str, Any], ours: Iterable[str] = ()
) -> xr.Dataset:
    """A file opened by an engine of another package, or by the class of one, as a snapshot; errors list our engines.

    Raises
    ------
    ArgumentError
        If there is no such engine.
    SnapshotError
        If the engine fails, or :func:`as_snapshot` cannot make a snapshot of what it returns.
    """
    installed = isinstance(engine, str) and engine in xr.backends.list_engines()
    if not installed and not (isinstance(engine, type) and issubclass(engine, BackendEntrypoint)):
        known = dict.fromkeys([*ours, "zarr", "netcdf", *xr.backends.list_engines()])
        raise ArgumentError(
            f"engine {engine!r}: one of {', '.join(known)} "
            "or the class of one, xarray.backends.BackendEntrypoint, is needed"
        )
    backend = xr.backends.list_engines()[engine].open_dataset if installed else engine.open_dataset
    accepted = set(inspect.signature(backend).parameters)
    own = {key: value for key, value in options.items() if key in OPTIONS and key not in accepted}
    try:
        ds = xr.open_dataset(path, engine=engine, chunks=chunks, **{k: v for k, v in options.items() if k not in own})
    except (SnapshotError, FileNotFoundError):
        raise
    except Exception as error:
        raise SnapshotError(f"{path}: engine {engine!r} cannot read it ({type(error).__name__}: {error})") from error
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    story = provenance([path], [f"mm.open_snapshot({path!r}, engine={engine!r}{given})"])
    try:
        return (ds if not own and _is_snapshot(ds) else as_snapshot(ds, **own)).assign_attrs(story)
    except SnapshotError as error:
        raise SnapshotError(f"{path}: {error}") from error


def _is_snapshot(ds: xr.Dataset) -> bool:
    try:
        check(ds)
    except SnapshotError:
        return False
    return True


def _mapping(name: str, value: Any) -> dict[str, str]:
    examples = {"names": {"bfield1": "Bx"}, "dims": {"i": "x"}, "units": {"Bx": "uG", "length": "pc"}}
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise ArgumentError(f"{name}={value!r}: a mapping such as {examples[name]} is needed")
    return dict(value)


def _dataset(ds: Any) -> xr.Dataset:
    """The Dataset itself, or the one inside the xugrid object that flekspy returns."""
    inner = getattr(getattr(ds, "ugrid", None), "obj", ds)
    if isinstance(inner, xr.DataArray):
        raise SnapshotError("an xarray.Dataset is needed, not a DataArray: give array.to_dataset(name='Bx')")
    if not isinstance(inner, xr.Dataset):
        raise SnapshotError(f"an xarray.Dataset is needed, not {type(ds).__name__}: arrays go to mm.io.from_arrays")
    return inner


def _plain(ds: xr.Dataset) -> xr.Dataset:
    """Move the units of pint arrays into attrs; packed arrays are refused."""
    require_unpacked(ds)
    if not any(unit_carried(data_of(v)) is not None for v in ds.variables.values()):
        return ds
    try:
        import pint_xarray  # noqa: F401  the import adds ds.pint
    except ImportError as error:
        raise SnapshotError("the arrays are Quantities of pint: install pint-xarray, which takes them apart") from error
    return ds.pint.dequantify(format="~")


# --- units and attrs --------------------------------------------------------------------------


def _unit(attrs: Mapping[Any, Any], given: str | None, length: bool = False) -> dict[str, str]:
    """Attrs of a unit: as given, as stated, or code units."""
    from astropy import units

    text = given or next((str(attrs[key]).strip() for key in ("units", "unit") if key in attrs), "")
    if text.lower() in FREE:
        return {"units": "1", "normalization": str(attrs.get("normalization", "code units"))}
    notes = stated_unit(text)
    if length and notes["units"] != "1" and units.Unit(notes["units"]).physical_type != "length":
        return {"units": "1", "normalization": text}  # there R is the radius of a planet, not the roentgen
    return notes


def _described(reading: Reading, ds: xr.Dataset, units: Mapping[str, str]) -> xr.Dataset:
    """Attrs of variables and coordinates in the convention."""
    if lost := set(units) - {*map(str, ds.data_vars), "length", "time"}:
        raise SnapshotError(f"units= names {sorted(lost)}, the variables are {list(ds.data_vars)}, length and time")
    code_names = {target: plain_name(name) for name, target in reading.names.items()}
    for name in list(ds.data_vars):
        attrs, stem = ds[name].attrs, str(name).removesuffix("_f")
        code_name = str(attrs.get("code_name", code_names[stem]))
        notes = {"long_name": LONG_NAMES.get(stem, code_name), "code_name": code_name}
        if {"unit", "units"}.isdisjoint(attrs) and (named := re.search(r"\[([^\]]+)\]$", code_name)):  # as in "Bx [T]"
            attrs = {**attrs, "units": named[1]}
        ds[name].attrs = _unit(attrs, units.get(str(name)) or units.get(stem)) | notes
    for dim in [d for d in ds.dims if d != "time"]:
        attrs, values = ds[dim].attrs, ds[dim].values.astype(float)
        width = attrs.get("spacing") or ((values[-1] - values[0]) / (len(values) - 1) if len(values) > 1 else None)
        edge = str(dim).endswith("_f")
        stated = attrs if not edge else ds[str(dim).removesuffix("_f")].attrs
        kind = "edges of cells" if edge else "cell centres"
        notes = {"long_name": f"{str(dim).removesuffix('_f')} ({kind})"} | ({"spacing": float(width)} if width else {})
        ds = ds.assign_coords({dim: (dim, values, _unit(stated, units.get("length"), length=True) | notes)})
    if "time" in ds.coords:
        ds["time"].attrs = _unit(ds["time"].attrs, units.get("time"))
    return ds


def _attrs(reading: Reading, out: xr.Dataset) -> dict[str, Any]:
    """Flat attrs: code, time, what is left out, and the Dataset's own attrs that are text or numbers."""
    kept = {str(key): _flat(value) for key, value in reading.ds.attrs.items()}
    kept = {key: value for key, value in kept.items() if value is not None}
    attrs = {"code": "xarray"} | kept
    if is_epoch(reading.ds):
        attrs |= {"code": "EPOCH", "time_unit": "s"}
    elif {"npict", "nInstance"} <= set(kept):  # flekspy
        attrs["code"] = "BATSRUS"
    elif "simulation.engine" in kept:  # nt2py
        attrs["code"] = "Entity"
    if "time" not in out.dims and (time := _time(reading.ds)) is not None:
        attrs["time"] = time
    elif "time" in attrs and ("time" in out.dims or not isinstance(attrs["time"], int | float)):
        attrs["stated_time"] = attrs.pop("time")
    if reading.not_loaded:
        more = len(reading.not_loaded) - MOST_NAMED
        attrs["not_loaded"] = ", ".join(reading.not_loaded[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return attrs


def _flat(value: Any) -> Any:
    """Text or a number in the form that attrs hold; None for any other value."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        return _flat(value.item())
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _time(ds: xr.Dataset) -> float | None:
    """Time from a scalar coordinate or variable, else from the attrs."""
    scalars = [ds[name].item() for name in ds.variables if not ds[name].dims and is_time(name, ds[name].attrs)]
    stated = [_flat(value) for key, value in ds.attrs.items() if is_time(key, {})]
    return next((float(v) for v in [*scalars, *stated] if isinstance(v, int | float) and np.isfinite(v)), None)

"""Snapshots in and out: one xarray engine per code or format, and the resumable store."""

import os
from collections.abc import Iterable, Mapping
from glob import glob, has_magic
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint
from xarray.core import indexing

from mmfields.conventions import (
    LONG_NAMES,
    SPATIAL,
    SnapshotError,
    boundary_attrs,
    check,
    require_number,
    require_plain,
    stated_unit,
    unit_carried,
)
from mmfields.io._lazy import LazyArray, Stack
from mmfields.io._recognize import by_content, by_head, remedy, remedy_of_hdf5
from mmfields.io._snapshot import require_file
from mmfields.io.covering import from_yt
from mmfields.io.foreign import as_snapshot, open_foreign
from mmfields.io.history import read_history
from mmfields.io.jhtdb import from_giverny
from mmfields.io.storing import is_incomplete, store
from mmfields.io.theta import from_openpmd_viewer
from mmfields.provenance import provenance, verb

__all__ = [
    "as_snapshot",
    "from_arrays",
    "from_giverny",
    "from_openpmd_viewer",
    "from_yt",
    "open_series",
    "open_snapshot",
    "read_history",
    "store",
]

# engine: (module, class)
ENGINES = {
    "pegasus": ("mmfields.io.pegasus", "PegasusBackend"),
    "athdf": ("mmfields.io.athdf", "AthdfBackend"),
    "athena_vtk": ("mmfields.io.athena_vtk", "AthenaVtkBackend"),
    "athenak": ("mmfields.io.athenak", "AthenakBackend"),
    "openpmd": ("mmfields.io.openpmd", "OpenpmdBackend"),
    "jhtdb": ("mmfields.io.jhtdb", "JhtdbBackend"),
    "amrex": ("mmfields.io.amrex", "AmrexBackend"),
    "pluto": ("mmfields.io.pluto", "PlutoBackend"),
    "entity": ("mmfields.io.entity", "EntityBackend"),
    "tristan": ("mmfields.io.tristan", "TristanBackend"),
    "vpic": ("mmfields.io.vpic", "VpicBackend"),
    "osiris": ("mmfields.io.osiris", "OsirisBackend"),
    "athena_bin": ("mmfields.io.athena_bin", "AthenaBinBackend"),
}
MAGICS = {
    b"Pegasus++ binary output": "pegasus",
    b"# vtk DataFile Version": "athena_vtk",
    b"Athena binary output version=": "athenak",
    b"CDF\x01": "netcdf",
    b"CDF\x02": "netcdf",
}
HDF5 = b"\x89HDF\r\n\x1a\n"


def find_engine(path: str | os.PathLike) -> str:
    """Name of the engine for a file or directory: from its first bytes, then its suffix.

    Raises
    ------
    SnapshotError
        If nothing fits, naming what was found.
    """
    path = os.path.abspath(os.fspath(path))
    require_file(path)
    if os.path.isdir(path):
        return _directory_engine(path)
    with open(path, "rb") as file:
        head = file.read(64)
    if not head:
        raise SnapshotError(f"{path} is empty; copy it again")
    if engine := by_head(path, head):
        return engine
    for magic, engine in MAGICS.items():
        if head.startswith(magic):
            return engine
    if head.startswith(HDF5):
        return "athdf" if path.endswith(".athdf") else _hdf5_engine(path)
    if os.path.basename(path) == "Header" and head.startswith(b"HyperCLaw"):
        return "amrex"
    raise SnapshotError(
        remedy(path, head)
        or f"{path}: the first bytes {head[:24]!r} belong to no format that is read ({', '.join(ENGINES)}, zarr, "
        "netCDF); name the engine with engine=... if you know better"
    )


def _directory_engine(path: str) -> str:
    names = set(os.listdir(path))
    if names & {"zarr.json", ".zgroup", ".zmetadata"}:
        return "zarr"
    if "Header" in names:
        return "amrex"
    if "md.idx" in names or path.endswith((".bp", ".bp4", ".bp5")):
        return "openpmd"
    raise SnapshotError(
        f"{path} is a directory, but neither a zarr store, an AMReX plotfile nor ADIOS2 output; "
        "give a file, or open_series('<directory>/*.<suffix>') for many"
    )


def _hdf5_engine(path: str) -> str:
    import h5py

    from mmfields.io import _hdf5
    from mmfields.io.jhtdb import is_cutout

    with _hdf5.opened(path) as file:
        if "openPMD" in file.attrs:
            return "openpmd"
        if "VariableNames" in file.attrs:
            return "athdf"
        if is_cutout(file):
            return "jhtdb"
        hard = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        if "_NCProperties" in file.attrs or any("CLASS" in file[name].attrs for name in hard):
            return "netcdf"
        if engine := by_content(file):
            return engine
        raise SnapshotError(
            remedy_of_hdf5(file)
            or f"{path} is HDF5, but of none of the formats that are read ({', '.join(ENGINES)}, netCDF); it holds "
            f"{list(file)[:10]}"
        )


def open_snapshot(
    path: str | os.PathLike,
    engine: str | type[BackendEntrypoint] | None = None,
    chunks: Any = {},  # noqa: B006  the fixed signature; never mutated
    **options: Any,
) -> xr.Dataset:
    """Open a snapshot of any code, lazily, in the snapshot convention.

    Parameters
    ----------
    path : path
        File, or directory (zarr store, AMReX plotfile, ADIOS2 output).
    engine : str, optional
        ``pegasus``, ``athdf``, ``athena_vtk``, ``athenak``, ``openpmd``, ``jhtdb``, ``amrex``,
        ``pluto``, ``entity``, ``tristan``, ``vpic``, ``osiris``, ``athena_bin``, ``zarr`` or ``netcdf``;
        by default found from the first bytes, then the suffix.  Any other engine that is installed for
        xarray, or a class of one, opens too; what it gives goes through :func:`as_snapshot`.
    chunks : as for :func:`xarray.open_dataset`
        ``{}``, the default, follows the chunks of the file; None gives lazily indexed NumPy arrays.
    **options
        Options of the engine: ``boundary`` for all codes' formats, ``level``, ``staggered``,
        ``mesh``, ``frame`` … where the engine has them.  With another engine, its own, and
        ``names``, ``dims``, ``boundary``, ``units`` and ``staggered`` of :func:`as_snapshot`.

    Returns
    -------
    xarray.Dataset
        Snapshot; only headers have been read.

    Raises
    ------
    SnapshotError
        If the file is damaged, of no known format, or needs what only the caller knows.
    FileNotFoundError
        If there is no such file.
    """
    if not isinstance(path, str | os.PathLike):
        raise SnapshotError(f"path={path!r}: one path is needed; for many files, mm.open_series('run/*.athdf')")
    path = os.path.abspath(os.fspath(path))
    require_file(path)
    engine = engine or find_engine(path)
    if engine in ("zarr", "netcdf"):
        if options:
            raise SnapshotError(
                f"{path}: zarr and netCDF take no option {sorted(options)}, they are in the convention: change the "
                "Dataset instead, such as with ds.assign_attrs(boundary_x='open')"
            )
        return _open_own(path, engine, chunks)
    if engine not in ENGINES:
        return open_foreign(path, engine, chunks, options, ENGINES)
    return xr.open_dataset(path, engine=_backend(engine, options), chunks=chunks, **options)


def _backend(engine: str, options: Mapping[str, Any]) -> type[BackendEntrypoint]:
    """The class of an engine, which must have the options given."""
    if engine not in ENGINES:
        raise SnapshotError(f"engine {engine!r}: one of {', '.join(ENGINES)}, zarr, netcdf is needed")
    module, name = ENGINES[engine]
    backend = getattr(import_module(module), name)
    known = set(backend.open_dataset.__wrapped__.__annotations__) - {"filename_or_obj", "return"}
    if unknown := set(options) - known:
        raise SnapshotError(f"engine {engine!r} has no option {sorted(unknown)}; it has {sorted(known)}")
    return backend


def _open_own(path: str, engine: str, chunks: Any) -> xr.Dataset:
    """A zarr store or netCDF file that mmfields (or xarray) wrote in the convention."""
    if engine == "zarr" and is_incomplete(path):
        raise SnapshotError(f"{path} is an unfinished store: run the same mm.store again, it resumes")
    try:
        from mmfields.io._own import OwnBackend

        ds = check(xr.open_dataset(path, engine=OwnBackend, chunks=chunks))
        story = provenance([path], [f"mm.open_snapshot({path!r})"])
        return ds if "history" in ds.attrs else ds.assign_attrs(story)
    except SnapshotError as error:
        raise SnapshotError(f"{path}: {error}") from error
    except Exception as error:
        raise SnapshotError(f"{path}: not readable as {engine} ({type(error).__name__}: {error})") from error


def open_series(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    engine: str | None = None,
    chunks: Any = {},  # noqa: B006  as open_snapshot
    **options: Any,
) -> xr.Dataset:
    """Open many snapshots of one run along ``time``, lazily; each header is read once.

    Parameters
    ----------
    paths : str or iterable of paths
        A glob pattern, or the files in any order.
    engine, chunks, **options
        As for :func:`open_snapshot`; the engine is found from the first file.

    Returns
    -------
    xarray.Dataset
        Snapshot with ``time`` first, ascending.  Attrs that differ between files are left out.

    Raises
    ------
    SnapshotError
        If nothing matches, two files have one time, or grids or variables differ.
    """
    if isinstance(paths, str | os.PathLike):
        pattern = os.fspath(paths)
        files = [pattern] if os.path.exists(pattern) else sorted(glob(pattern))
        if not files and not has_magic(pattern):
            raise FileNotFoundError(f"no such file: {pattern}")
        if not files:
            raise SnapshotError(f"no file matches {pattern!r}")
    else:
        files = [os.fspath(p) for p in paths]
        if not files:
            raise SnapshotError("open_series was given no files")
    if chunks is None:
        raise SnapshotError("a series is joined lazily and needs Dask chunks: leave chunks={} or give sizes")
    engine = engine or find_engine(files[0])
    return _series(files, engine, chunks, options).assign_attrs(_story_of_series(paths, files, engine, options))


def _series(files: list[str], engine: str, chunks: Any, options: Mapping[str, Any]) -> xr.Dataset:
    """Files along time, by one engine."""
    if engine not in ENGINES:
        return _join([(path, open_snapshot(path, engine, chunks, **options)) for path in files])
    backend = _backend(engine, options)()
    opened = [(path, backend.open_dataset(path, **options)) for path in files]
    if any("time" in ds.dims for _, ds in opened):
        return _join([(path, ds.chunk(_file_chunks(ds, chunks))) for path, ds in opened])
    return _stacked(opened, chunks)


def _story_of_series(paths: Any, files: list[str], engine: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Provenance of a series: its files, and the call that opens it."""
    what = repr(os.fspath(paths)) if isinstance(paths, str | os.PathLike) else f"<{len(files)} files>"
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    line = f"mm.open_series({what}, engine={engine!r}{given})"
    return provenance([os.path.abspath(path) for path in files], [line])


def _file_chunks(ds: xr.Dataset, chunks: Any) -> Any:
    """The chunks asked for; where sizes are not given, those of the file."""
    if not isinstance(chunks, Mapping):
        return chunks
    own: dict[Any, Any] = {}
    for variable in ds.variables.values():
        own |= variable.encoding.get("preferred_chunks", {})
    return {**own, **chunks}


def _stacked(opened: list[tuple[str, xr.Dataset]], chunks: Any) -> xr.Dataset:
    """Snapshots of one grid as one lazy array per variable, whatever their number."""
    from dask.base import tokenize

    _check_series(opened)
    opened = sorted(opened, key=lambda item: item[1].attrs["time"])
    first = opened[0][1]
    times = [ds.attrs["time"] for _, ds in opened]
    variables = {}
    for name, variable in first.data_vars.items():
        stack = Stack(tuple(ds.variables[name]._data.array.source for _, ds in opened))
        preferred = {"time": 1, **variable.encoding["preferred_chunks"]}
        data = indexing.LazilyIndexedArray(LazyArray(stack))
        variables[name] = xr.Variable(("time", *variable.dims), data, variable.attrs, {"preferred_chunks": preferred})
    attrs = {
        key: value
        for key, value in first.attrs.items()
        if key != "time" and all(ds.attrs.get(key) == value for _, ds in opened)
    }
    notes = stated_unit(first.attrs["time_unit"]) if "time_unit" in first.attrs else {}
    joined = xr.Dataset(variables, {**first.coords, "time": ("time", times, notes)}, attrs)
    sizes = _file_chunks(joined, chunks)
    sizes = {d: n for d, n in sizes.items() if d in joined.dims} if isinstance(sizes, dict) else sizes
    return joined.chunk(sizes, token=tokenize([(path, os.path.getmtime(path)) for path, _ in opened], attrs))


def _check_series(opened: list[tuple[str, xr.Dataset]]) -> None:
    """Refuse snapshots that do not make a series: other grids or variables, no time, one time twice."""
    first_path, first = opened[0]
    for path, ds in opened:
        if "time" not in ds.dims and "time" not in ds.attrs:
            raise SnapshotError(f"{path}: states no time, so it has no place in a series")
        for dim in SPATIAL:
            if not _same_axis(ds, first, dim):
                raise SnapshotError(f"{path}: axis {dim} differs from that of {first_path}; a series has one grid")
        if set(ds.data_vars) != set(first.data_vars) or any(ds[v].dims != first[v].dims for v in first.data_vars):
            raise SnapshotError(f"{path}: variables {sorted(map(str, ds.data_vars))} differ from those of {first_path}")
    stamps = np.concatenate([np.atleast_1d(ds["time"] if "time" in ds.dims else ds.attrs["time"]) for _, ds in opened])
    values, counts = np.unique(stamps, return_counts=True)
    if (counts > 1).any():
        raise SnapshotError(f"time {values[counts > 1][0]} stands in several files; leave one of them out")


def _join(opened: list[tuple[str, xr.Dataset]]) -> xr.Dataset:
    """Datasets of which some hold several times, one after the other."""
    _check_series(opened)
    parts = [ds if "time" in ds.dims else ds.expand_dims(time=[ds.attrs["time"]]) for _, ds in opened]
    parts = [ds.drop_attrs(deep=False).assign_attrs({k: v for k, v in ds.attrs.items() if k != "time"}) for ds in parts]
    joined = xr.concat(
        parts,
        "time",
        data_vars="all",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="drop_conflicts",
    )
    return joined.sortby("time")


def _same_axis(ds: xr.Dataset, first: xr.Dataset, dim: str) -> bool:
    if (dim in ds.coords) != (dim in first.coords):
        return False
    return dim not in ds.coords or np.array_equal(ds[dim].values, first[dim].values)


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
    SnapshotError
        If shapes, dims and spacing do not fit together.
    """
    dims = tuple(dims)
    axes = [d for d in dims if d in SPATIAL]
    if not axes or len(set(dims)) != len(dims) or set(dims) - {*SPATIAL, "time"}:
        raise SnapshotError(f"dims {dims}: distinct ones out of x, y, z (and time) are needed")
    for name, given, example in (
        ("spacing", spacing, {"x": 1.0}),
        ("units", units, {"Bx": "uG", "length": "pc"}),
        ("origin", origin, {"x": 0.0}),
    ):
        if given is not None and not isinstance(given, Mapping):
            raise SnapshotError(f"{name}={given!r}: a mapping such as {example} is needed")
    if set(spacing) != set(axes):
        raise SnapshotError(f"spacing is given for {sorted(spacing)}, the spatial dims are {sorted(axes)}")
    if bad := {d: w for d, w in spacing.items() if require_plain(w, f"spacing[{d!r}]", "units={'length': ...}") <= 0}:
        raise SnapshotError(f"spacing {bad}: positive, finite numbers are needed")
    if extra := set(origin or {}) - set(axes):
        raise SnapshotError(f"origin names {sorted(extra)}, the spatial dims are {sorted(axes)}")
    arrays = {k: v for k, v in arrays_and_attrs.items() if getattr(v, "ndim", 0) > 0}
    attrs = {k: v for k, v in arrays_and_attrs.items() if k not in arrays}
    _require_arrays(arrays, attrs, dims, units or {})
    shapes = {name: tuple(a.shape) for name, a in arrays.items()}
    if not shapes or len(set(shapes.values())) > 1 or any(len(s) != len(dims) for s in shapes.values()):
        raise SnapshotError(f"arrays of one shape over {dims} are needed, found {shapes}")
    if 0 in next(iter(shapes.values())):
        raise SnapshotError(f"the arrays hold nothing: {shapes}")
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
    """Refuse what would lose its labels or its unit on the way."""
    for name, array in arrays.items():
        if isinstance(array, xr.DataArray):
            raise SnapshotError(f"{name} is a DataArray: give its .data, in the order {dims}")
        if (unit := unit_carried(array)) is not None:
            raise SnapshotError(f"{name} is a Quantity in {unit}: give its .value and units={{{name!r}: '...'}}")
    if lists := [name for name, value in attrs.items() if isinstance(value, list | tuple) and np.ndim(value) > 1]:
        raise SnapshotError(f"{lists} are lists: give arrays, np.asarray(...)")
    if unknown := set(units) - {*arrays, "length"}:
        raise SnapshotError(f"units name {sorted(unknown)}, the variables are {sorted(arrays)}, and 'length'")
    from astropy.units import Unit

    for name, text in units.items():
        try:
            Unit(text)
        except (TypeError, ValueError) as error:
            raise SnapshotError(f"units: astropy does not know {name} in {text!r}") from error

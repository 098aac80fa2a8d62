"""Snapshots in and out: one xarray engine per code or format, and the resumable store.

What is detected of a damaged file depends on what its format says.  Every format is held against its own length, so
that what is cut off, and bytes that were inserted or lost among its numbers, are refused:

- ``pegasus``, ``athenak``, ``athena_bin``, ``vpic``, ``pluto`` and ``amrex``: by the sizes that the header states,
  which must make the length of the file to the byte; blocks by their own headers; of ``amrex`` and ADIOS2 also numbers,
  by the extremes that are stated.
- VTK: by the lines between the variables.  A byte lost in the last variable of a file that ends with an empty line
  cannot be told.
- HDF5 (``athdf``, ``openpmd``, ``jhtdb``, ``entity``, ``tristan``, ``osiris``, netCDF): by the end that the file states
  and the places of all data; numbers only where the file has checksums (:mod:`mmfields.io._hdf5`).
- zarr: by the names and the checksums of chunks (:mod:`mmfields.io._chunks`).

No format but those with checksums or extremes can tell one number from another, and none tells a digit that was
changed, lost or put in where a number is written as text: times and limits in the headers of NBF, VTK and AMReX, the
tables ``dbl.out`` and ``grid.out`` of PLUTO, and histories, whose lines are held against the number of columns.
"""

import os
from collections.abc import Iterable, Mapping
from glob import has_magic
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields._types import Chunks
from mmfields.conventions import (
    LONG_NAMES,
    SPATIAL,
    ArgumentError,
    MmfieldsError,
    SnapshotError,
    boundary_attrs,
    check,
    require_number,
    require_plain,
    unit_carried,
    warn,
)
from mmfields.io._options import require_options
from mmfields.io._paths import ITERATION, is_url, many, plain, require_unpacked
from mmfields.io._recognize import by_content, by_head, remedy, remedy_of_hdf5
from mmfields.io._remote import holds, resolved
from mmfields.io._series import file_chunks, joined, require_chunks, stacked
from mmfields.io._snapshot import Bare, NoFields, bare, require_file
from mmfields.io._verify import read_through
from mmfields.io.amrex import is_of_particles, is_plotfile
from mmfields.io.covering import from_yt
from mmfields.io.foreign import as_snapshot, open_foreign
from mmfields.io.history import read_history
from mmfields.io.jhtdb import from_giverny
from mmfields.io.storing import MARKER, is_incomplete, store
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
    "virtualize",
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
# Of files that hold no numbers, or hold them in a form that is not read: what to open instead.
DESCRIPTIONS = {
    b"<Xdmf": "XDMF describes the numbers of another file: open that one, the .athdf or .h5 beside it",
    b"<VTKFile": "this is VTK in XML; only the legacy form (.vtk) is read: write that, or convert it with ParaView",
    b"CDF\x05": "netCDF of kind CDF-5 is not read: convert it with nccopy -k nc4",
}
MOST_MISSES = 4  # consecutive outputs that are not alike, after which all others are opened one by one
HDF5 = b"\x89HDF\r\n\x1a\n"


def find_engine(path: str | os.PathLike[str]) -> str:
    """Name of the engine for a file or directory: from its first bytes, then its suffix.

    Raises
    ------
    SnapshotError
        If nothing fits, naming what was found.
    """
    path = plain(path)
    if is_url(path):
        return "zarr"
    require_file(path)
    if os.path.isdir(path):
        return _directory_engine(path)
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise SnapshotError(f"{path} is empty; copy it again")
    if head.startswith(b"{") and b'"refs"' in head[:64]:
        return "zarr"
    require_unpacked(path, head)
    if engine := by_head(path, head):
        return engine
    for magic, engine in MAGICS.items():
        if head.startswith(magic):
            return engine
    if head.startswith(HDF5):
        return "athdf" if path.endswith(".athdf") else _hdf5_engine(path)
    if os.path.basename(path) == "Header" and is_plotfile(path):
        return "amrex"
    for magic, what in DESCRIPTIONS.items():
        if magic in head[:128]:
            raise SnapshotError(f"{path}: {what}")
    raise SnapshotError(
        remedy(path, head)
        or f"{path}: the first bytes {head[:24]!r} belong to no format that is read ({', '.join(ENGINES)}, zarr, "
        "netCDF); name the engine with engine=... if you know better"
    )


def _directory_engine(path: str) -> str:
    names = set(os.listdir(path))
    if names & {"zarr.json", ".zgroup", ".zmetadata"} or names >= {"snapshots", "manifests"}:
        return "zarr"
    if "Header" in names:
        return "amrex"
    if os.path.isfile(os.path.join(above := os.path.dirname(path), "Header")):
        raise SnapshotError(f"{path} is a part of an AMReX plotfile: give its directory, {above}")
    if "md.idx" in names or path.endswith((".bp", ".bp4", ".bp5")):
        return "openpmd"
    if any(is_of_particles(os.path.join(path, name)) for name in sorted(names)):
        raise NoFields(f"{path} is a plotfile of particles alone: it holds no field, so it is no snapshot")
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
    path: str | os.PathLike[str],
    engine: str | type[BackendEntrypoint] | None = None,
    chunks: Chunks = {},  # noqa: B006  the fixed signature; never mutated
    *,
    verify: bool = False,
    **options: Any,
) -> xr.Dataset:
    """Open a snapshot of any code, lazily, in the snapshot convention.

    Parameters
    ----------
    path : path
        File, or directory (zarr store, AMReX plotfile, ADIOS2 output).  ``~`` is the home directory.  A URL leads to a
        zarr store, or with ``simplecache::`` before it to any file, which is copied to this machine.
    engine : str, optional
        ``pegasus``, ``athdf``, ``athena_vtk``, ``athenak``, ``openpmd``, ``jhtdb``, ``amrex``,
        ``pluto``, ``entity``, ``tristan``, ``vpic``, ``osiris``, ``athena_bin``, ``zarr`` or ``netcdf``;
        by default found from the first bytes, then the suffix.  Any other engine that is installed for
        xarray, or a class of one, opens too; what it gives goes through :func:`as_snapshot`.
    chunks : as for :func:`xarray.open_dataset`
        ``{}``, the default, follows the chunks of the file; None gives lazily indexed NumPy arrays.
    verify : bool
        Read all numbers once, on the current Dask scheduler, and keep none: chunks that do not unpack, that differ from
        their checksum, or that are not there are told now and not when they are needed.  Without it only headers are
        read, and chunks counted.
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
    ArgumentError
        If the engine or one of its options is none.
    FileNotFoundError
        If there is no such file.
    """
    ds = _opened(path, engine, chunks, options)
    if verify:
        read_through(ds)
    return ds


def _opened(path: str | os.PathLike[str], engine: Any, chunks: Any, options: dict[str, Any]) -> xr.Dataset:
    """A snapshot of which only headers have been read."""
    path = plain(path)
    if is_url(path):
        path = resolved(path)
    else:
        _require_no_pattern(path)
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


def _require_no_pattern(path: str) -> None:
    """Refuse the pattern of many files where one is opened."""
    if not os.path.exists(path) and (ITERATION.search(path) or has_magic(os.path.basename(path))):
        raise ArgumentError(f"path={path!r} is a pattern of many files: open them with mm.open_series({path!r})")


def _backend(engine: str, options: Mapping[str, Any]) -> type[BackendEntrypoint]:
    """The class of an engine, which must have the options given."""
    if engine not in ENGINES:
        raise ArgumentError(f"engine {engine!r}: one of {', '.join(ENGINES)}, zarr, netcdf is needed")
    module, name = ENGINES[engine]
    backend = getattr(import_module(module), name)
    require_options(engine, backend.open_dataset, options)
    return backend


def _open_own(path: str, engine: str, chunks: Any) -> xr.Dataset:
    """A zarr store or netCDF file that mmfields (or xarray) wrote in the convention."""
    if engine == "zarr" and (holds(path, MARKER) if is_url(path) else is_incomplete(path)):
        raise SnapshotError(f"{path} is an unfinished store: run the same mm.store again")
    try:
        from mmfields.io._own import OwnBackend

        ds = xr.open_dataset(path, engine=OwnBackend, chunks=chunks)
        _require_convention(ds, path)
        story = provenance([path], [f"mm.open_snapshot({path!r})"])
        return ds if "history" in ds.attrs else ds.assign_attrs(story)
    except SnapshotError as error:
        raise SnapshotError(f"{path}: {error}") from error
    except Exception as error:
        raise SnapshotError(f"{path}: not readable as {engine} ({type(error).__name__}: {error})") from error


def open_series(
    paths: str | bytes | os.PathLike[str] | Iterable[str | bytes | os.PathLike[str]],
    engine: str | None = None,
    chunks: Chunks = {},  # noqa: B006  as open_snapshot
    **options: Any,
) -> xr.Dataset:
    """Open many snapshots of one run along ``time``, lazily; each header is read once.

    Parameters
    ----------
    paths : path or iterable of paths
        A pattern of shells (``run/*.h5``) or of openPMD (``run/data%T.h5``), or the files in any order.
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
    ArgumentError
        As :func:`open_snapshot`.
    """
    require_chunks(chunks)
    files = [resolved(path) if is_url(path) else path for path in many(paths)]
    engine = engine or find_engine(files[0])
    return _series(files, engine, chunks, options).assign_attrs(_story_of_series(paths, files, engine, options))


@verb
def virtualize(
    paths: str | bytes | os.PathLike[str] | Iterable[str | bytes | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    engine: str | None = None,
    **options: Any,
) -> xr.Dataset:
    """Write where the numbers of many snapshots lie to one small file, which opens at once.

    The numbers stay in their files, of which only headers are read.  Variables that lie there as they are, in blocks of
    one size, are taken: those of NBF, AthenaK, PLUTO, Athena++ HDF5 and AMReX without refinement or compression.  What
    is computed from them when it is read, such as velocities from momenta, is named in ``attrs["not_loaded"]``.

    Parameters
    ----------
    paths, engine, **options
        As for :func:`open_series`.
    out : path
        ``run.json``, references as kerchunk writes them, which any program with fsspec and zarr opens; or
        ``run.icechunk``, a repository of icechunk, which is smaller for millions of blocks.

    Returns
    -------
    xarray.Dataset
        What :func:`open_snapshot` gives for `out`.

    Raises
    ------
    SnapshotError
        As :func:`open_series`, if nothing lies in blocks of one size, or `out` is there already.
    ArgumentError
        If `out` is named otherwise.

    Examples
    --------
    >>> ds = mm.virtualize("run/turb.*.bin", "run.json")  # doctest: +SKIP
    """
    from mmfields.io.virtual import written

    files = many(paths)
    engine = engine or find_engine(files[0])
    if engine not in ENGINES:
        raise ArgumentError(f"engine {engine!r}: one of {', '.join(ENGINES)} is needed")
    ds = _series(files, engine, None, options)
    written(ds.assign_attrs(_story_of_series(paths, files, engine, options)), out)
    return open_snapshot(out)


def _require_convention(ds: xr.Dataset, path: str) -> None:
    """Refuse what another program wrote; the message leads to where it can be named and completed."""
    try:
        check(ds)
    except SnapshotError as error:
        raise SnapshotError(
            f"{error}. If another program than mmfields wrote it, say what it holds: "
            f"mm.as_snapshot(xr.open_dataset({path!r}), names=..., dims=..., boundary=...)"
        ) from error


def _series(files: list[str], engine: str, chunks: Any, options: Mapping[str, Any]) -> xr.Dataset:
    """Files along time, by one engine; those without any field are left out and named."""
    if engine not in ENGINES:
        return joined([(path, open_snapshot(path, engine, chunks, **options)) for path in files])
    backend = _backend(engine, options)()
    opened, left_out, seen = [], [], set()
    pieces, alike, misses = getattr(backend, "pieces", None), None, 0
    for path in files:
        if path in seen:
            continue  # a piece of an output that is open already
        try:
            found = alike(path) if alike is not None else None
            if found is not None:
                seen.update(file for file, _ in found.moves.values())
            elif pieces is not None:
                seen.update(set(pieces(path)) - {path})
            alone = not opened or _has_times(opened[0][1])
            opened.append((path, found or _member(backend, path, options, alone=alone)))
            misses = 0 if found is not None else misses + 1
            if found is None and hasattr(backend, "alike_to"):
                alike = backend.alike_to(path) if misses < MOST_MISSES else None
        except NoFields as error:
            left_out.append(path)
            nothing = error
        except SnapshotError as error:
            if not (opened and path == files[-1] and getattr(backend, "may_be_cut", False)):
                raise
            warn(f"the last file of the series is left out: {error}")
            left_out.append(path)
    if not opened:
        raise nothing
    if any(_has_times(found) for _, found in opened):
        whole = (f if isinstance(f, xr.Dataset) else backend.open_dataset(path, **options) for path, f in opened)
        opened = [(path, found) for (path, _), found in zip(opened, whole, strict=True)]
        ds = joined([(path, ds.chunk(file_chunks(ds, chunks))) for path, ds in opened])
    else:
        ds = stacked(opened, chunks)
    if left_out:
        names = ", ".join(map(os.path.basename, left_out))
        ds.attrs["not_loaded"] = ", ".join(filter(None, (ds.attrs.get("not_loaded"), f"{names} (no field)")))
    return ds


def _has_times(found: Any) -> bool:
    """Whether a file holds several times."""
    return "time" in getattr(found, "dims", ())


def _member(backend: BackendEntrypoint, path: str, options: Mapping[str, Any], *, alone: bool) -> xr.Dataset | Bare:
    """A snapshot of a series; those that are not `alone` need no Dataset of their own."""
    if not alone:
        try:
            with bare():
                return backend.open_dataset(path, **options)
        except NoFields:
            raise
        except MmfieldsError:
            pass  # some engines compute on the Dataset; errors of a file are raised again
    return backend.open_dataset(path, **options)


def _story_of_series(paths: Any, files: list[str], engine: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Provenance of a series: its files, and the call that opens it."""
    one = isinstance(paths, str | bytes | os.PathLike)
    what = repr(os.fsdecode(paths)) if one else f"<{len(files)} files>"
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    line = f"mm.open_series({what}, engine={engine!r}{given})"
    return provenance(files, [line])


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
    """Refuse what would lose its labels or its unit on the way."""
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


def __dir__() -> list[str]:
    return sorted(__all__)

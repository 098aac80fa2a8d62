"""A snapshot of any code, opened lazily."""

import os
from glob import has_magic
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields._types import Chunks
from mmfields.conventions import (
    ArgumentError,
    SnapshotError,
    check,
)
from mmfields.io._paths import ITERATION, is_url, plain
from mmfields.io._remote import holds, resolved
from mmfields.io._snapshot import require_file
from mmfields.io._verify import read_through
from mmfields.io.engines import ENGINES, backend_of, find_engine
from mmfields.io.foreign import open_foreign
from mmfields.io.storing import MARKER, is_incomplete
from mmfields.provenance import provenance


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
    """Open a snapshot; only its headers are read."""
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
    return xr.open_dataset(path, engine=backend_of(engine, options), chunks=chunks, **options)


def _require_no_pattern(path: str) -> None:
    """Refuse a pattern of many files, because one file is opened here."""
    if not os.path.exists(path) and (ITERATION.search(path) or has_magic(os.path.basename(path))):
        raise ArgumentError(f"path={path!r} is a pattern of many files: open them with mm.open_series({path!r})")


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


def _require_convention(ds: xr.Dataset, path: str) -> None:
    """Refuse a file that does not follow the convention; the message says how as_snapshot can read it."""
    try:
        check(ds)
    except SnapshotError as error:
        raise SnapshotError(
            f"{error}. If another program than mmfields wrote it, say what it holds: "
            f"mm.as_snapshot(xr.open_dataset({path!r}), names=..., dims=..., boundary=...)"
        ) from error

"""Many snapshots of one run, along time."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields._types import Chunks
from mmfields.conventions import (
    ArgumentError,
    MmfieldsError,
    SnapshotError,
    warn,
)
from mmfields.io._paths import is_url, many
from mmfields.io._remote import resolved
from mmfields.io._series import file_chunks, joined, require_chunks, stacked
from mmfields.io._snapshot import Bare, NoFields, bare
from mmfields.io.engines import ENGINES, backend_of, find_engine
from mmfields.io.opening import open_snapshot
from mmfields.provenance import provenance, verb

MOST_MISSES = 4  # after so many consecutive outputs that differ, all others are opened one by one


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


def _series(files: list[str], engine: str, chunks: Any, options: Mapping[str, Any]) -> xr.Dataset:
    """Join files along time, all read by one engine; files without any field are left out and named."""
    if engine not in ENGINES:
        return joined([(path, open_snapshot(path, engine, chunks, **options)) for path in files])
    backend = backend_of(engine, options)()
    opened, left_out, seen = [], [], set()
    pieces, alike, misses = getattr(backend, "pieces", None), None, 0
    for path in files:
        if path in seen:
            continue  # this file is a piece of an output that is open already
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
    """A snapshot of a series; one that is not `alone` is read without building its own Dataset."""
    if not alone:
        try:
            with bare():
                return backend.open_dataset(path, **options)
        except NoFields:
            raise
        except MmfieldsError:
            pass  # some engines need the Dataset; a faulty file raises its error again below
    return backend.open_dataset(path, **options)


def _story_of_series(paths: Any, files: list[str], engine: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Provenance of a series: its files and the call that opens it."""
    one = isinstance(paths, str | bytes | os.PathLike)
    what = repr(os.fsdecode(paths)) if one else f"<{len(files)} files>"
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    line = f"mm.open_series({what}, engine={engine!r}{given})"
    return provenance(files, [line])

"""Datasets to zarr, chunk by chunk, so that an interrupted write loses nothing that was finished."""

import errno
import json
import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields._compat import graph_of, locks
from mmfields.cluster.client import client_in_force
from mmfields.cluster.progress import bar, bars
from mmfields.conventions import ArgumentError, SnapshotError, require_plain_data, unit_carried, warn
from mmfields.identity import UNKNOWN, files_of, identity
from mmfields.io._difference import difference, same_structure
from mmfields.io._paths import is_url, plain
from mmfields.provenance import provenance, source_of

# Lies in a store until its last chunk is written.
MARKER = ".mmfields-incomplete"
# Says what a store holds.
RECORD = ".mmfields.json"
RESUMES = ("identity", "structure")


def is_incomplete(path: str | os.PathLike[str]) -> bool:
    """Whether a store at `path` was begun and not finished."""
    return os.path.exists(os.path.join(os.fspath(path), MARKER))


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether there is a finished store at `path` that has all its chunks."""
    from mmfields.io._chunks import lost

    path = os.fspath(path)
    return os.path.exists(os.path.join(path, "zarr.json")) and not is_incomplete(path) and not lost(path)


def store(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: bool = True,
    resume: Literal["identity", "structure"] = "identity",
) -> xr.Dataset:
    """Write a Dataset to a zarr store chunk by chunk; run again after a kill, it resumes.

    Every chunk appears in the store whole or not at all.  A store records the identity of what it holds: the
    functions of mmfields that made it with their arguments, and the files (path, size, time of modification) or
    arrays that they read.  A second call with the same data computes only what is missing, on whatever scheduler and
    in whatever chunks, and the result equals an undisturbed run byte for byte; so it does for chunks that a finished
    store has lost.  A call with anything else is refused,
    whether the store is finished or not.  (Operations of your own in between, such as ``isel`` or ``mean``, are told
    apart by the graphs of Dask, which also know the chunks: with other chunks, or loaded into memory, they count as
    other data, and may do so under another version of Dask.  All else resumes under any version of zarr, xarray and
    Dask that mmfields runs with.)

    Parameters
    ----------
    ds : xarray.Dataset
        Chunked variables are computed chunk by chunk, on the current Dask scheduler.
        A dim whose chunks are uneven is rechunked to its largest chunk.
    path : path
        Directory of this machine to make; not a URL, behind which no write can be resumed.
    overwrite : bool
        Replace what is there instead of resuming it.
    progress : bool
        Show a progress bar on a terminal or in a notebook, and a line every half a minute in a log file.
    resume : {"identity", "structure"}
        What must be the same to go on with a store that is there.  ``"structure"`` compares names, dims, shapes,
        dtypes, chunks, coordinates and attrs alone, and takes your word that the data are the same: for data whose
        identity cannot be established, such as random numbers of Dask without a seed.

    Returns
    -------
    xarray.Dataset
        The stored data, opened lazily.

    Raises
    ------
    SnapshotError
        If `path` holds something else, is being written by another call, or cannot be written.
    ArgumentError
        If `ds` is no Dataset, or `path` or `resume` none that is possible.
    """
    path = plain(path)
    _require_storable(ds, path)
    if resume not in RESUMES:
        raise ArgumentError(f"resume={resume!r}: one of {', '.join(RESUMES)} is needed")
    path = os.path.realpath(path)
    _require_readable(ds, path)
    record = _record(ds)
    ds = ds.drop_encoding()
    try:
        if not overwrite and os.path.exists(path) and not is_incomplete(path):
            _resumed(ds, path, record, resume)
            if is_whole(path):
                return xr.open_zarr(path)
        with _only_writer(path) as alone:
            if overwrite and os.path.lexists(path):
                _require_store(path)
                remove(path)
            if not os.path.lexists(path):
                ds = _even_chunks(ds)
                _begin(ds, path, record)
            else:
                _reopen(path)
                ds = _resumed(ds, path, record, resume)
            if is_incomplete(path):
                _fill(ds, path, progress, alone=alone)
                _end(path)
    except OSError as error:
        raise SnapshotError(
            f"{path}: cannot be written ({error.strerror or error}); mend that and run again, it resumes"
        ) from error
    return xr.open_zarr(path)


def _require_storable(ds: Any, path: str) -> None:
    """Refuse what zarr cannot hold, and names that cannot be those of directories."""
    if not isinstance(ds, xr.Dataset):
        remedy = ".to_dataset(name=...)" if isinstance(ds, xr.DataArray) else "waves: .modes, or .to_dataset(grid)"
        raise ArgumentError(f"a Dataset is needed, not {type(ds).__name__}: {remedy}")
    if is_url(path):
        raise SnapshotError(
            f"{path}: mm.store writes to directories of this machine, where it can resume: give a local path and copy "
            f"what it makes, or write in one go with ds.to_zarr({path!r})"
        )
    if path.endswith((".nc", ".h5", ".hdf5", ".netcdf")):
        raise ArgumentError(f"path={path!r}: a zarr store is made, a directory; give a name such as 'out.zarr'")
    require_plain_data(ds)
    for where, attrs in ((f"attrs of {n}", v.attrs) for n, v in (("the dataset", ds), *ds.variables.items())):
        for key, value in attrs.items():
            if unit_carried(value) is not None:
                raise SnapshotError(f"{where}: {key!r} is a Quantity, which zarr cannot hold: make it str(...)")


def _require_readable(ds: xr.Dataset, path: str) -> None:
    """Refuse data that are read from where they would be written."""
    real = os.path.realpath(path)
    if below := [file for file in files_of(ds) if (os.path.realpath(file) + os.sep).startswith(real + os.sep)]:
        raise SnapshotError(
            f"{path} is what the data are read from ({below[0]}), and would be lost: choose another path, and move it "
            "into place afterwards"
        )


# --- what a store holds -----------------------------------------------------------------------------------------------


def _record(ds: xr.Dataset) -> dict[str, Any]:
    """Identity of a Dataset and of each of its variables, and its story in words."""
    stories = [ds.attrs, *(variable.attrs for variable in ds.variables.values())]
    told = next((attrs for attrs in stories if "history" in attrs), {})
    empty = provenance([], [])
    return {
        "identity": identity(ds),
        "variables": {str(name): identity(variable) for name, variable in ds.variables.items()},
        "mmfields_version": empty["mmfields_version"],
        "source": source_of(ds) if "source" in ds.encoding else str(told.get("source", "")),
        "history": str(told.get("history", "")),
    }


def _resumed(ds: xr.Dataset, path: str, record: dict[str, Any], resume: str) -> xr.Dataset:
    """The Dataset in the chunks of the store that is there, which is refused if it holds something else."""
    _require_store(path)
    if resume == "structure":
        ds = _even_chunks(ds)
        if not _same_structure(ds, path):
            raise SnapshotError(
                f"{path} already holds other data, of another structure: choose another path, or give overwrite=True"
            )
        return ds
    try:
        with open(os.path.join(path, RECORD)) as file:
            stored = json.load(file)
    except (OSError, ValueError):
        raise SnapshotError(
            f"{path} does not say what it holds: it was not made by mm.store, or by an early version; choose another "
            "path, give overwrite=True, or resume='structure' if you know that its data are the same"
        ) from None
    if record["identity"].startswith(UNKNOWN):
        raise SnapshotError(
            f"{path} already exists, and it cannot be established whether it holds the same data: they come from "
            "objects or functions that are new in each run; give overwrite=True, or resume='structure' if you know "
            "that they are the same"
        )
    if stored.get("identity") != record["identity"]:
        raise SnapshotError(
            f"{path} already holds other data; what differs is {difference(stored, record)}: choose another path, or "
            "give overwrite=True"
        )
    if is_incomplete(path) and stored.get("mmfields_version") != record["mmfields_version"]:
        raise SnapshotError(
            f"{path} was begun by mmfields {stored.get('mmfields_version')} and this is {record['mmfields_version']}, "
            "whose numbers may differ: finish it with that version, or give overwrite=True"
        )
    return _in_chunks_of(ds, path)


def _in_chunks_of(ds: xr.Dataset, path: str) -> xr.Dataset:
    """A Dataset in the chunks of a store, so that what is there and what is missing fit."""
    import zarr

    if not is_incomplete(path):
        return ds
    arrays = {}
    for name, variable in ds.variables.items():
        if name in ds.indexes or not variable.ndim:
            continue
        chunks = zarr.open_array(os.path.join(path, str(name)), mode="r").chunks
        wanted = tuple(min(c, n) for c, n in zip(chunks, variable.shape, strict=True))
        if variable.chunks is None or tuple(sizes[0] for sizes in variable.chunks) != wanted or _uneven(variable):
            arrays[name] = variable.chunk(dict(zip(variable.dims, wanted, strict=True)))
    coords = {name: array for name, array in arrays.items() if name in ds.coords}
    return ds.assign_coords(coords).assign({name: array for name, array in arrays.items() if name not in coords})


def _uneven(variable: xr.Variable) -> bool:
    return any(len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0] for sizes in variable.chunks or ())


def _reopen(path: str) -> None:
    """Mark a finished store that has lost chunks as incomplete."""
    from mmfields.io._chunks import lost

    if os.path.exists(os.path.join(path, "zarr.json")) and not is_incomplete(path) and lost(path):
        _mark(path)


def _end(path: str) -> None:
    """Mark a store that has all its chunks as finished."""
    from mmfields.io._chunks import lost

    if missing := lost(path):
        name, keys = next(iter(missing.items()))
        raise SnapshotError(
            f"{path}: {len(keys)} chunks of {name}, which is in memory and was written at the beginning, are lost, "
            f"first {keys[0]!r}: give overwrite=True"
        )
    with suppress(FileNotFoundError):  # of a store that another run without locks has finished
        os.remove(os.path.join(path, MARKER))


@contextmanager
def _only_writer(path: str) -> Iterator[bool]:
    """Hold the right to write a store; the system gives it back when the process ends, however it ends.

    True where it is certain that no other process has it.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    place = os.path.join(folder, f".{name}.lock")
    descriptor, alone = _locked(place, path)
    try:
        yield alone
    finally:
        if os.name != "posix":  # which does not remove what is open
            os.close(descriptor)
        with suppress(FileNotFoundError):
            os.remove(place)
        if os.name == "posix":
            os.close(descriptor)


def _locked(place: str, path: str) -> tuple[int, bool]:
    """Descriptor of a file, and whether it is locked; where that is not possible there is a warning."""
    fcntl = locks()
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no locks")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(place) and os.path.samestat(os.fstat(descriptor), os.stat(place)):
                return descriptor, True  # not one that its holder has removed in between
        except BlockingIOError:
            os.close(descriptor)
            raise SnapshotError(
                f"{path} is being written by another call of mm.store: wait until it ends, or choose another path"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
                os.close(descriptor)
                raise
            warn(f"the file system of {path} has no locks: see to it that no two runs write this store at once")
            return descriptor, False
        os.close(descriptor)


def remove(path: str | os.PathLike[str]) -> None:
    """Take a store away in one step, so that a half-removed one is never taken for a store."""
    path = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.removed")
    os.rename(path, aside)
    shutil.rmtree(aside)


def _even_chunks(ds: xr.Dataset) -> xr.Dataset:
    uneven = {}
    ds = ds.unify_chunks()
    for dim, sizes in ds.chunks.items():
        if len(set(sizes[:-1])) > 1 or (len(sizes) > 1 and sizes[-1] > sizes[0]):
            uneven[dim] = max(sizes)
    return ds.chunk(uneven) if uneven else ds


def _require_store(path: str) -> None:
    if not (os.path.exists(os.path.join(path, "zarr.json")) or is_incomplete(path)):
        raise SnapshotError(f"{path} exists and is no zarr store; it is not overwritten: choose another path")


def _template(ds: xr.Dataset, path: str) -> None:
    """Metadata, coordinates and eager variables of the store; no chunk of a Dask array."""
    import zarr
    from zarr.codecs import ZstdCodec

    encoding: dict[Any, dict] = {}
    for name, variable in ds.variables.items():
        encoding[name] = {"compressors": (ZstdCodec(checksum=True),)}  # so that damage is noticed on reading
        if variable.chunks is not None:
            encoding[name]["chunks"] = tuple(sizes[0] for sizes in variable.chunks)
    with warnings.catch_warnings():
        # zarr warns for every consolidated store that other libraries may not support consolidation
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        with zarr.config.set({"array.write_empty_chunks": True}):  # else zeros could not be told from a lost chunk
            ds.to_zarr(path, mode="w", compute=False, consolidated=True, zarr_format=3, encoding=encoding)
    # consolidated metadata come in the order of a directory listing, which differs between systems
    root = os.path.join(path, "zarr.json")
    with open(root) as file:
        described = json.load(file)
    members = described["consolidated_metadata"]["metadata"]
    order = [str(name) for name in ds.variables if str(name) in members]
    described["consolidated_metadata"]["metadata"] = {name: members[name] for name in order}
    with open(root, "w") as file:
        json.dump(described, file, indent=2)


def _mark(path: str) -> None:
    with open(os.path.join(path, MARKER), "w") as file:
        file.write("being written by mmfields; run mm.store again to finish it\n")


def _begin(ds: xr.Dataset, path: str, record: Mapping[str, Any]) -> None:
    """Put the template in place in one step, so that a half-made one is never seen."""
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    for leftover in os.listdir(folder):
        if leftover.startswith(f".{name}.") and leftover.endswith((".begun", ".removed")):
            shutil.rmtree(os.path.join(folder, leftover), ignore_errors=True)
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.begun")
    try:
        _template(ds, temporary)
        with open(os.path.join(temporary, RECORD), "w") as file:
            json.dump(record, file, indent=2)
        _mark(temporary)
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _same_structure(ds: xr.Dataset, path: str) -> bool:
    """Whether the store at `path` was begun from a dataset of this structure, by whatever versions of the libraries."""
    _require_store(path)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.begun")
    try:
        _template(ds, temporary)
        lazy = {str(name) for name, variable in ds.variables.items() if variable.chunks is not None}
        here, there = (_described(place) for place in (temporary, path))
        return same_structure(here, there, lazy)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _described(path: str) -> xr.Dataset:
    """Identity that a store records; its metadata may lie in one file or in many."""
    import zarr

    together = zarr.open_group(path, mode="r").metadata.consolidated_metadata is not None
    return xr.open_zarr(path, chunks=None, consolidated=together)


def _fill(ds: xr.Dataset, path: str, progress: bool, *, alone: bool) -> None:
    """Compute and write the missing chunks; if `alone`, remove what a kill has left half-written."""
    import dask

    from mmfields.io._chunks import names_below

    names = names_below(path)
    for array in names if alone else ():
        for file in names[array]:
            if file.endswith(".partial"):
                os.remove(os.path.join(path, array, file))
    write = dask.delayed(_write, pure=False)
    tasks = []
    chunked = {name: variable for name, variable in ds.variables.items() if variable.chunks is not None}
    keys = _together([variable.data for variable in chunked.values()])
    belongs = _stamp(path)
    for (name, variable), blocks in zip(chunked.items(), keys, strict=True):
        key = _keys(path, str(name))
        there = names.get(str(name), set())
        for index, corner in _blocks(variable.chunks):
            if key(index) not in there:
                tasks.append(write(blocks[index], path, str(name), corner, belongs))
    if tasks:
        _compute(tasks, progress)


def _keys(path: str, name: str) -> Callable[[tuple[int, ...]], str]:
    """What gives the name of a chunk of an array in a store, as the array encodes it."""
    import zarr

    return zarr.open_array(os.path.join(path, name), mode="r").metadata.encode_chunk_key


def _stamp(path: str) -> str:
    """What a store says that it holds, by which a task knows whether it is still the store that it writes to."""
    try:
        with open(os.path.join(path, RECORD)) as file:
            return str(json.load(file).get("identity", ""))
    except (OSError, ValueError):
        return ""


def _together(arrays: list) -> list[np.ndarray]:
    """The blocks of each array as delayed values of one optimized graph.

    Each array optimized on its own would be fused with what it shares with the others, and that computed for each.
    """
    from dask.delayed import Delayed

    graph = graph_of("store", arrays)
    found = []
    for array in arrays:
        blocks = np.empty(array.numblocks, object)
        for index in np.ndindex(*array.numblocks):
            blocks[index] = Delayed((array.name, *index), graph, layer="store")
        found.append(blocks)
    return found


def _blocks(chunks: tuple[tuple[int, ...], ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Index and first element of every block."""
    starts = [np.concatenate([[0], np.cumsum(sizes[:-1])]).astype(int) for sizes in chunks]
    for index in np.ndindex(*[len(sizes) for sizes in chunks]):
        yield index, tuple(int(s[i]) for s, i in zip(starts, index, strict=True))


def _write(block: Any, path: str, name: str, corner: tuple[int, ...], belongs: str) -> None:
    """Write one chunk; zarr's local store puts the file in place in one step.

    A worker may outlive the call that it works for.  If the store holds something else by then, nothing is written.
    """
    import zarr

    if _stamp(path) != belongs:
        raise SnapshotError(f"{path} was replaced by another call of mm.store while this one wrote to it")
    block = np.asarray(block)
    with zarr.config.set({"array.write_empty_chunks": True}):
        array = zarr.open_array(os.path.join(path, name), mode="r+")
        region = tuple(slice(c, c + n) for c, n in zip(corner, block.shape, strict=True))
        array[region if region else ...] = block


def _compute(tasks: list, progress: bool) -> None:
    """Run tasks on the current scheduler, counting them as they end."""
    import dask

    client = client_in_force()
    done = bar(len(tasks), "chunks stored", "chunk", shown=progress)
    with closing(done), bars(tasks, client, shown=progress):
        if client is not None:
            from distributed import as_completed

            for future in as_completed(client.compute(tasks)):
                future.result()
                done.update()
            return
        keys = {task.key for task in tasks}
        from dask.callbacks import Callback

        with Callback(posttask=lambda key, *_: done.update() if key in keys else None):
            dask.compute(*tasks)

"""One small file that says where the numbers of many lie (``mm.virtualize``), and what opens it again."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from mmfields._compat import data_of
from mmfields.conventions import ArgumentError, SnapshotError
from mmfields.io._alike import AlikeStack
from mmfields.io._lazy import LazyArray, Part, RawBlocks, Single, Stack
from mmfields.io._mesh import Mosaic
from mmfields.io._paths import is_url, plain

# A block that lies whole in a file is cut into pieces of at most so many bytes.
LARGEST_PIECE = 1 << 26
STAMP = "files_stamp"
ICECHUNK = {"snapshots", "manifests"}


@dataclass(frozen=True)
class Manifest:
    """Where the chunks of an array lie: a file and an offset for each, over the grid of chunks."""

    chunk: tuple[int, ...]
    stored: np.dtype
    paths: np.ndarray
    offsets: np.ndarray

    @property
    def bytes(self) -> int:
        return math.prod(self.chunk) * self.stored.itemsize


def manifest_of(source: Any) -> Manifest | None:
    """Chunks of a source whose numbers lie in files as they are, in blocks of one size; None for any other."""
    if isinstance(source, Part):
        return manifest_of(source.source) if source.shape == source.source.shape else None
    if isinstance(source, AlikeStack):
        return _moved(manifest_of(source.source), source.moves)
    if isinstance(source, Stack):
        return _stacked([manifest_of(part) for part in source.sources])
    blocks = getattr(source, "blocks", None)
    if not isinstance(blocks, RawBlocks) or blocks.components != 1:
        return None
    if isinstance(source, Single):
        return _slabs(blocks, source.shape)
    return _tiles(blocks, source) if isinstance(source, Mosaic) and source.fill is None else None


def _slabs(blocks: RawBlocks, shape: tuple[int, ...]) -> Manifest:
    """One block, cut along its slowest axis into pieces of equal size."""
    row = math.prod(shape[1:]) * blocks.stored.itemsize
    rows = max(n for n in range(1, shape[0] + 1) if shape[0] % n == 0 and (n == 1 or n * row <= LARGEST_PIECE))
    grid = (shape[0] // rows, *[1] * (len(shape) - 1))
    offsets = int(blocks.offset[0]) + np.arange(grid[0]) * rows * row
    return Manifest((rows, *shape[1:]), blocks.stored, _texts(blocks.paths[0], grid), offsets.reshape(grid))


def _tiles(blocks: RawBlocks, source: Mosaic) -> Manifest | None:
    """Blocks of one size side by side."""
    layout, size = source.layout, np.asarray(blocks.shapes[0])
    grid = tuple((np.array(layout.shape) // size).tolist())
    alike = layout.plain.all() and (blocks.shapes == size).all() and (layout.start % size == 0).all()
    if not alike or math.prod(grid) != len(layout.start) or (np.array(layout.shape) % size).any():
        return None
    place = tuple((layout.start // size).T)
    offsets, paths = np.zeros(grid, np.int64), _texts("", grid)
    offsets[place] = blocks.offset
    paths[place] = np.array(blocks.paths, paths.dtype)[blocks.file]
    return Manifest(tuple(size.tolist()), blocks.stored, paths, offsets)


def _moved(one: Manifest | None, moves: Iterable[Mapping[str, tuple[str, int]]]) -> Manifest | None:
    """Chunks of outputs that are alike, along time."""
    if one is None:
        return None
    files, which = np.unique(one.paths, return_inverse=True)
    files, which = files.tolist(), which.reshape(one.paths.shape)
    paths, offsets = [], []
    for other in moves:
        there = [other.get(path, (path, 0)) for path in files]
        paths.append(np.array([path for path, _ in there], one.paths.dtype)[which])
        offsets.append(one.offsets + np.array([shift for _, shift in there])[which])
    return Manifest((1, *one.chunk), one.stored, np.stack(paths), np.stack(offsets))


def _stacked(each: list[Manifest | None]) -> Manifest | None:
    """Chunks of several times."""
    if any(m is None or (m.chunk, m.stored) != (each[0].chunk, each[0].stored) for m in each):
        return None
    paths, offsets = (np.stack([getattr(m, name) for m in each]) for name in ("paths", "offsets"))
    return Manifest((1, *each[0].chunk), each[0].stored, paths, offsets)


def _texts(text: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, text, np.dtypes.StringDType())


# --- writing ------------------------------------------------------------------------------


def written(ds: xr.Dataset, out: Any) -> None:
    """Write where the numbers of a series lie to a ``.json`` file of references or an ``.icechunk`` repository.

    Raises
    ------
    SnapshotError
        If VirtualiZarr is not installed, nothing lies in blocks of one size, or there is something at `out`.
    ArgumentError
        If `out` is neither.
    """
    path = plain(out)
    if is_url(path) or not path.endswith((".json", ".icechunk")):
        raise ArgumentError(f"out={out!r}: a file of this machine is needed, such as 'run.json' or 'run.icechunk'")
    if os.path.lexists(path):
        raise SnapshotError(f"{path} is there already: remove it, or give another name")
    found = {name: manifest_of(_source(array.variable)) for name, array in ds.data_vars.items()}
    if lost := [name for name, manifest in found.items() if manifest is None]:
        names = ", ".join(f"{name} (not in the files as it is)" for name in lost)
        ds = ds.drop_vars(lost)
        ds.attrs["not_loaded"] = ", ".join(filter(None, (ds.attrs.get("not_loaded"), names)))
    if not ds.data_vars:
        raise SnapshotError(
            f"none of {lost} lies in its files as it is, in blocks of one size (they are packed, refined, interleaved, "
            "scaled or averaged): mm.store what mm.open_series gives"
        )
    manifests = {name: manifest for name, manifest in found.items() if manifest is not None}
    files = sorted({str(path) for manifest in manifests.values() for path in np.unique(manifest.paths)})
    ds = ds.assign({name: _virtual(ds[name].variable, manifest) for name, manifest in manifests.items()})
    if path.endswith(".json"):
        ds.assign_attrs({STAMP: stamp(files)}).vz.to_kerchunk(path, format="json")
    else:
        _to_icechunk(ds, path, files)


def _source(variable: xr.Variable) -> Any:
    """The source behind a variable that was not read."""
    array = getattr(data_of(variable), "array", None)
    return array.source if isinstance(array, LazyArray) else None


def _virtual(variable: xr.Variable, manifest: Manifest) -> xr.Variable:
    """A variable of the places of its numbers."""
    try:
        from virtualizarr.manifests import ChunkManifest, ManifestArray
        from virtualizarr.manifests.utils import create_v3_array_metadata
    except ImportError as error:
        raise SnapshotError("VirtualiZarr is needed: pip install 'mmfields[virtual]'") from error
    order = "big" if manifest.stored.byteorder == ">" else "little"
    metadata = create_v3_array_metadata(
        shape=variable.shape,
        data_type=manifest.stored,
        chunk_shape=manifest.chunk,
        codecs=[{"name": "bytes", "configuration": {"endian": order}}],
        fill_value=np.nan if manifest.stored.kind == "f" else 0,
        dimension_names=variable.dims,
    )
    urls = np.strings.add("file://", manifest.paths)
    lengths = np.full(manifest.offsets.shape, manifest.bytes, np.uint64)
    chunks = ChunkManifest.from_arrays(paths=urls, offsets=manifest.offsets.astype(np.uint64), lengths=lengths)
    return xr.Variable(variable.dims, ManifestArray(metadata=metadata, chunkmanifest=chunks), variable.attrs)


def stamp(files: Iterable[str]) -> str:
    """Digest of the names, sizes and times of files, so that it shows when one of them has changed."""
    states = [(path, (state := os.stat(path)).st_size, state.st_mtime_ns) for path in files]
    return hashlib.sha256(repr(states).encode()).hexdigest()[:32]


def _to_icechunk(ds: xr.Dataset, path: str, files: list[str]) -> None:
    icechunk = _icechunk()
    above = f"file://{os.path.commonpath([os.path.dirname(file) for file in files]).rstrip('/')}/"
    config = icechunk.RepositoryConfig.default()
    container = icechunk.VirtualChunkContainer(above, icechunk.local_filesystem_store(above.removeprefix("file://")))
    config.set_virtual_chunk_container(container)
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(path), config=config)
    repository.save_config()
    session = repository.writable_session("main")
    latest = max(os.stat(file).st_mtime for file in files)  # icechunk refuses what was written after this
    ds.vz.to_icechunk(session.store, last_updated_at=datetime.fromtimestamp(math.ceil(latest), UTC))
    session.commit("where the numbers of a series lie")


def _icechunk() -> Any:
    try:
        import icechunk
    except ImportError as error:
        raise SnapshotError("icechunk is needed: pip install 'mmfields[virtual]'") from error
    return icechunk


# --- opening ------------------------------------------------------------------------------


def is_references(path: str) -> bool:
    """Whether a file holds references as kerchunk writes them, or a directory is an icechunk repository."""
    if os.path.isdir(path):
        return set(os.listdir(path)) >= ICECHUNK
    with open(path, "rb") as file:
        head = file.read(64)
    return head.startswith(b"{") and b'"refs"' in head


def open_references(path: str, drop: Any = None) -> xr.Dataset:
    """What :func:`written` wrote, as zarr.

    Raises
    ------
    SnapshotError
        If one of the files has changed or is gone.
    """
    options = {"engine": "zarr", "chunks": None, "consolidated": False, "drop_variables": drop}
    if os.path.isdir(path):
        icechunk = _icechunk()
        storage = icechunk.local_filesystem_storage(path)
        config = icechunk.Repository.fetch_config(storage)
        allowed = icechunk.containers_credentials(dict.fromkeys(config.virtual_chunk_containers or {}))
        repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=allowed)
        return xr.open_dataset(repository.readonly_session("main").store, **options)
    with open(path, "rb") as file:
        references = json.load(file)["refs"]
    urls = {item[0] for item in references.values() if isinstance(item, list)}
    files = sorted(url.removeprefix("file://") for url in urls)
    if missing := [file for file in files if not os.path.isfile(file)]:
        raise SnapshotError(f"{missing[0]} is not there, where numbers lie ({len(missing)} of {len(files)} files)")
    where = {"fo": path, "remote_protocol": "file", "skip_instance_cache": True}
    ds = xr.open_dataset("reference://", storage_options=where, **options)
    if ds.attrs.pop(STAMP, None) not in (None, stamp(files)):
        raise SnapshotError("a file that it refers to has changed since: write it again with mm.virtualize")
    return ds

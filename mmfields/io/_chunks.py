"""Chunks of zarr stores: their names are held against the grid, and their size is known before they are unpacked.

zarr gives the fill value for a chunk that it does not find under its name, whatever lies beside it, and unpacks
whatever a chunk claims to hold.  Detected are: a chunk that is missing, renamed, or there under the name of an
unfinished one alone (at opening, by one listing of the store); a chunk that would unpack to far more than its place in
the array holds (at reading, from its header); a changed chunk (at reading) where the store has checksums, as those of
``mm.store`` have.  Not detected are a change in a chunk without a checksum, two chunks of one array that were swapped,
and what lies within a shard.
"""

import bz2
import lzma
import os
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from zarr.storage import WrapperStore

from mmfields.conventions import SnapshotError
from mmfields.io import _hdf5

# Files of a store that hold no chunk.
METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
# Most bytes of a block of zstd, unpacked.
BLOCK = 1 << 17


# --- names ------------------------------------------------------------------------------------------------------------


def names_below(path: str) -> dict[str, set[str]]:
    """Names of the files below each array of a store, with ``/`` between folders; links and devices are refused."""
    names: dict[str, set[str]] = {}
    for folder, folders, files in os.walk(path):
        for name in (*files, *folders):
            place = os.path.join(folder, name)
            if os.path.islink(place) or not (os.path.isfile(place) or os.path.isdir(place)):
                raise SnapshotError(
                    f"{place} is a link, a pipe or a device, which is not followed; copy the store whole"
                )
        array, *inner = os.path.relpath(folder, path).split(os.sep)
        names.setdefault(array, set()).update("/".join((*inner, file)) for file in files)
    return names


def absent(array: Any, names: Container[str]) -> Iterator[str]:
    """Keys of the chunks of a zarr array that are missing among the names, encoded as the array states."""
    outer = getattr(array, "shards", None) or array.chunks
    for index in product(*(range(-(-n // c)) for n, c in zip(array.shape, outer, strict=True))):
        if (key := array.metadata.encode_chunk_key(index)) not in names:
            yield key


def lost(path: str) -> dict[str, list[str]]:
    """Keys of the chunks that a store on this machine lacks, by array; empty where it is whole."""
    import zarr

    names = names_below(path)
    try:
        arrays = list(zarr.open_group(path, mode="r").arrays())
    except Exception as error:
        raise SnapshotError(
            f"{path}: its metadata cannot be read ({error}); copy it again, or give overwrite=True"
        ) from error
    return {name: keys for name, array in arrays if (keys := list(absent(array, names.get(name, ()))))}


def require_chunks(group: Any, names: Mapping[str, set[str]]) -> None:
    """Every chunk of every array of a group is there under its name, and none is larger than makes sense.

    Raises
    ------
    SnapshotError
        Naming the array, the first chunk that is missing, and what lies there instead.
    """
    for name, array in group.arrays():
        found = names.get(name, set())
        if missing := list(absent(array, found)):
            known = set(absent(array, ()))
            other = sorted(n for n in found if n not in known and n.rpartition("/")[2] not in METADATA)
            beside = f" ({other[0]!r} lies there and is no chunk)" if other else ""
            raise SnapshotError(
                f"{len(missing)} of {len(missing) + len(found & known)} chunks of {name} are missing, first "
                f"{missing[0]!r}{beside}: copy the store again; if they were left out as empty on purpose, open it "
                "with xarray.open_zarr"
            )
        if int(np.prod(array.chunks, dtype=object)) > max(8 * array.size, _hdf5.MOST_OF_CHUNK):
            raise SnapshotError(f"chunks of {array.chunks} for a shape of {array.shape} of {name}: it is damaged")


# --- sizes ------------------------------------------------------------------------------------------------------------


class Bounded(WrapperStore):
    """A store that refuses a chunk which would unpack to far more than belongs into it.

    A few bytes of zstd can stand for gigabytes, for which the library would allocate memory before it reads them.
    """

    def __init__(self, store: Any, limits: Mapping[str, tuple[str, int]] | None = None) -> None:
        super().__init__(store)
        self.limits = dict(limits or {})

    def _with_store(self, store: Any) -> "Bounded":
        return type(self)(store, self.limits)

    @property
    def root(self) -> Any:
        """Directory of a store on this machine."""
        return self._store.root

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """As of the store below, once the size of a chunk is known."""
        found = await self._store.get(key, prototype, byte_range)
        name, _, chunk = key.partition("/")
        if found is not None and name in self.limits and byte_range is None and chunk not in METADATA:
            _require_size(name, chunk, memoryview(found.as_numpy_array()).cast("B"), *self.limits[name])
        return found


def bounded(group: Any) -> Bounded:
    """The store of a zarr group, whose chunks are refused where they are far too large."""
    limits = {}
    for name, array in group.arrays():
        if getattr(array, "shards", None) is None and (kind := _packing(array.metadata)):
            size = int(np.prod(array.chunks, dtype=object)) * np.dtype(array.dtype).itemsize
            limits[name] = kind, max(8 * size, _hdf5.MOST_OF_CHUNK)
    return Bounded(group.store, limits)


def _packing(metadata: Any) -> str:
    """What the chunks of an array are packed with last; empty where that does not change their size."""
    if metadata.zarr_format == 2:
        return getattr(metadata.compressor, "codec_id", "")
    named = (str(codec.to_dict()["name"]).removeprefix("numcodecs.") for codec in metadata.codecs[::-1])
    return next((name for name in named if name in SIZES), "")


def _require_size(name: str, chunk: str, data: memoryview, kind: str, most: int) -> None:
    try:
        size = SIZES[kind](data, most) if kind in SIZES else 0
    except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError):
        return  # where the header is damaged, the library says what is wrong
    if size > most:
        raise SnapshotError(
            f"the chunk {chunk!r} of {name} has {len(data)} bytes and would unpack to {size / 1e6:.3g} MB or more, "
            f"where {most / 1e6:.3g} MB are the most that make sense; it is damaged or made to fill the memory"
        )


def _number(data: memoryview, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "little")


def _of_zstd(data: memoryview, _: int) -> int:
    """Bytes in frames of zstd (RFC 8878): as each states, or at most, by its blocks, where it does not."""
    total = at = 0
    while at + 6 <= len(data):
        magic = _number(data, at, 4)
        if magic & 0xFFFFFFF0 == 0x184D2A50:  # of a frame to be skipped
            at += 8 + _number(data, at + 4, 4)
            continue
        if magic != 0xFD2FB528:
            break
        said = data[at + 4]
        alone, checksum = said >> 5 & 1, said >> 2 & 1
        at += 5 + (1 - alone) + (0, 1, 2, 4)[said & 3]
        width = (alone, 2, 4, 8)[said >> 6]
        stated = _number(data, at, width) + 256 * (width == 2)
        at, most = _of_blocks(data, at + width)
        at += 4 * checksum
        total += stated if width else most
    return total


def _of_blocks(data: memoryview, at: int) -> tuple[int, int]:
    """Where the blocks of a frame end, and the most bytes that they stand for."""
    most = 0
    while at + 3 <= len(data):
        header = _number(data, at, 3)
        kind, size = header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == 1 else size)
        most += size if kind < 2 else BLOCK
        if header & 1:
            break
    return at, most


def _counted(begin: Callable[[], Any], data: memoryview, most: int) -> int:
    """Bytes that come out of Python's own unpackers, one after the other, counted up to some more than `most`."""
    total, rest = 0, bytes(data)
    while rest and total <= most:
        unpacker = begin()
        while total <= most and not unpacker.eof:
            out = unpacker.decompress(rest, 1 << 20)
            total += len(out)
            rest = getattr(unpacker, "unconsumed_tail", b"")
            if not (out or rest):
                return total
        rest = unpacker.unused_data
    return total


# Unpacked size of a chunk, by its codec.  Where no header states it, the chunk is unpacked once to count its bytes.
SIZES = {
    "zstd": _of_zstd,
    "blosc": lambda data, most: _number(data, 4, 4),
    "lz4": lambda data, most: _number(data, 0, 4),
    "gzip": lambda data, most: _counted(partial(zlib.decompressobj, 47), data, most),
    "zlib": lambda data, most: _counted(partial(zlib.decompressobj, 47), data, most),
    "bz2": lambda data, most: _counted(bz2.BZ2Decompressor, data, most),
    "lzma": lambda data, most: _counted(lzma.LZMADecompressor, data, most),
}

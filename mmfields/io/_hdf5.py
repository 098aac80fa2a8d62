"""HDF5 files opened so that nothing outside the file is followed, and every fault is a SnapshotError.

What is checked, and what it costs:

- At opening, by the structures of the file alone: that the file is as long as it says; links, data in other files,
  shapes and types; that each chunk of each dataset is there once, inside the file, and none lies over another one, of
  its own dataset or of any other that is read with it (two visits per chunk: 10⁵ chunks take two seconds); that the
  heaps of strings have an end (a pass over all bytes of the file that are no data).
- At reading: that chunks which hold nothing but the fill value are in the file (for those chunks alone, read again).
- With ``open_snapshot(..., verify=True)``: that every number can be read, which is a pass over the data, and unpacks
  them and holds them against the checksums that the file has (Fletcher).

HDF5 has no checksum of data otherwise: a changed number of an unpacked dataset is not detected, nor are two names that
are hard links to one dataset, nor chunks whose addresses are exchanged.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfields._compat import read_at
from mmfields.conventions import MmfieldsError, SnapshotError

if TYPE_CHECKING:
    import h5py


# A chunk may be larger than this, or than eight times its dataset, but not both.
MOST_OF_CHUNK = 1 << 24
# Begins a global heap; looked for in pieces of so many bytes.
HEAP, PIECE = b"GCOL\x01\0\0\0", 1 << 20


def is_hdf5(path: str) -> bool:
    """Whether a file begins as HDF5 does."""
    with open(path, "rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


@contextmanager
def opened(path: str) -> "Iterator[h5py.File]":
    """The file, for reading; the HDF5 library's complaints come out as SnapshotError."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (FileNotFoundError, MmfieldsError):
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        remedy = advice(error) or "copy or write it again"
        raise SnapshotError(f"{path}: the HDF5 library cannot read it ({error}); {remedy}") from error


# What HDF5 says of faults that do not lie in the file, and what helps.
REMEDIES = {
    r"unable to lock file|resource temporarily unavailable": (
        "another program holds it open for writing, or the file system has no locks: wait until it is closed, or set "
        "the environment variable HDF5_USE_FILE_LOCKING=FALSE before Python starts"
    ),
    r"already open for write|consistency flags": (
        "a program that was writing it has not closed it: wait until it does, or if it has ended, run h5clear -s on a "
        "copy"
    ),
    r"filter .*(?:not registered|not available)|required filter|filter plugin|can't open directory": (
        "its numbers are packed with a filter that HDF5 loads from elsewhere: pip install hdf5plugin, and import "
        "hdf5plugin before opening it"
    ),
    r"permission denied": "you have no right to read it: ask its owner, or chmod it",
}


def advice(error: BaseException) -> str:
    """What helps against a complaint of the HDF5 library; nothing where the file itself is at fault."""
    said = str(error)
    return next((remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, said, re.IGNORECASE)), "")


def _require_filters(node: "h5py.Dataset", where: str) -> None:
    """Every filter that a dataset is packed with is at hand."""
    import h5py

    plist = node.id.get_create_plist()
    for number, _, _, name in (plist.get_filter(i) for i in range(plist.get_nfilters())):
        if not h5py.h5z.filter_avail(number):
            label = name.decode("ascii", "replace") or "without a name"
            raise SnapshotError(
                f"{where} is packed with the filter {label} (number {number}), which HDF5 does not have here: pip "
                "install hdf5plugin, and import hdf5plugin before opening it"
            )


# Byte ranges of the data of all datasets that are opened together, as (n, 2) arrays by name, each dataset once.
_places: ContextVar[dict[int, tuple[str, np.ndarray]] | None] = ContextVar("where data lie", default=None)


@contextmanager
def examined(path: str) -> "Iterator[h5py.File]":
    """As :func:`opened`, when a file is opened for the first time: faults on which the library would hang are refused.

    The data of the datasets that are opened in here lie apart from each other.
    """
    token = _places.set({})
    try:
        with opened(path) as file:
            _require_end(file)
            _require_heaps(file)
            yield file
            _require_apart(path, _places.get() or {})
    finally:
        _places.reset(token)


def _require_end(file: "h5py.File") -> None:
    """The file ends where its first block says.

    HDF5 itself refuses a file that is shorter.  In a longer one, inserted bytes may have moved all that follows them.
    """
    size = os.path.getsize(file.filename)
    with open(file.filename, "rb") as handle:
        head = handle.read(64)
    old = head[8] < 2
    width = head[13] if old else head[9]
    at = 24 + 4 * (head[8] == 1) + 2 * width if old else 12 + 2 * width
    end = int.from_bytes(head[at : at + width], "little")
    if not file.userblock_size and width in (4, 8) and size > end:
        raise SnapshotError(
            f"{file.filename}: it has {size} bytes and says that it ends at {end}: bytes were inserted, copy it again; "
            f"or appended, then cut a copy (truncate -s {end})"
        )


def _note(node: "h5py.Dataset", extents: Any) -> None:
    """Keep where the data of a dataset lie, under the address of the dataset: two hard links lead to one."""
    import h5py

    if (places := _places.get()) is not None and len(extents) and not node.file.userblock_size:
        places[h5py.h5o.get_info(node.id).addr] = node.name, np.array(extents, np.int64).reshape(-1, 2)


def _require_apart(path: str, places: dict[int, tuple[str, np.ndarray]]) -> None:
    """No bytes of a file are data of two datasets."""
    if len(places) < 2:
        return
    names, extents = zip(*places.values(), strict=True)
    owner = np.repeat(np.arange(len(names)), [len(e) for e in extents])
    spans = np.concatenate(extents)
    order = np.argsort(spans[:, 0], kind="stable")
    spans, owner = spans[order], owner[order]
    reach = np.maximum.accumulate(spans[:, 1])
    over = np.flatnonzero(reach[:-1] > spans[1:, 0])
    if len(over):
        first = over[0]
        before = int(np.argmax(spans[: first + 1, 1]))
        pair = sorted({names[owner[before]], names[owner[first + 1]]})
        raise SnapshotError(
            f"{path}: data of {' and '.join(pair)} both lie at byte {spans[first + 1, 0]}; the file is damaged, copy "
            "it again"
        )


def _require_heaps(file: "h5py.File") -> None:
    """Global heaps, where strings and lists of attributes lie, can be gone through: a step of 0 bytes has no end.

    They are looked for in what is no data of a dataset.  A collection is ``GCOL``, its version 1, three bytes, its size
    and objects: number, count, four bytes, size and content to a multiple of 8.  Number 0 is room that is left; its
    size includes its header.
    """
    descriptor = file.id.get_vfd_handle()
    for begin, end in _between_data(file):
        for at in range(begin, end, PIECE):
            piece = read_at(descriptor, min(PIECE + len(HEAP) - 1, end - at), at)
            found = piece.find(HEAP)
            while found >= 0:
                _require_objects(file.filename, descriptor, at + found)
                found = piece.find(HEAP, found + 1)


def _require_objects(path: str, descriptor: int, begin: int) -> None:
    size, at = int.from_bytes(read_at(descriptor, 8, begin + 8), "little"), 16
    inside = begin + size <= os.path.getsize(path)
    while at + 16 <= size:
        header = read_at(descriptor, 16, begin + at)
        number, length = int.from_bytes(header[:2], "little"), int.from_bytes(header[8:], "little")
        step = 16 + -(-length // 8) * 8 if number else length
        if step == 0 or at + step > size or not inside:
            raise SnapshotError(f"{path}: the heap at byte {begin} has no end; it is damaged, copy the file again")
        at += step


def _between_data(file: "h5py.File") -> list[tuple[int, int]]:
    """Bytes of a file that are no data of its datasets."""
    import h5py

    extents = [(size := os.path.getsize(file.filename), size)]

    def visit(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset):
            return
        if node.chunks is not None:
            node.id.chunk_iter(lambda chunk: extents.append((chunk.byte_offset, chunk.byte_offset + chunk.size)))
        elif (offset := node.id.get_offset()) is not None:
            extents.append((offset, offset + node.id.get_storage_size()))

    file.visititems(visit)
    gaps, at = [], 0
    for begin, end in sorted(extents):
        if begin > at:
            gaps.append((at, min(begin, size)))
        at = max(at, end)
    return gaps


def member(group: "h5py.Group", name: str) -> Any:
    """``group[name]`` with every link of the path checked to be hard.

    Raises
    ------
    SnapshotError
        If the name is missing, or a link on the way leads elsewhere.
    """
    import h5py

    node: Any = group
    for part in name.strip("/").split("/"):
        if not isinstance(node, h5py.Group) or (link := node.get(part, getlink=True)) is None:
            raise SnapshotError(f"{group.file.filename}: no {name!r} in group {group.name}")
        if not isinstance(link, h5py.HardLink):
            raise SnapshotError(
                f"{group.file.filename}: {name!r} is a {type(link).__name__}; links are not followed, "
                "copy the data into the file (h5copy) first"
            )
        node = node[part]
    return node


def dataset(group: "h5py.Group", name: str, *, partial: bool = False) -> "h5py.Dataset":
    """A numeric dataset whose data lie in the file itself, all of them unless `partial`: for opening.

    Raises
    ------
    SnapshotError
        As :func:`numbers`, or if some of its data were never written or are misplaced.
    """
    import h5py

    node = numbers(group, name)
    where = f"{group.file.filename}: {node.name}"
    if node.size and node.chunks is not None:
        _require_filters(node, where)
        _require_chunks(node, where, partial=partial)
    elif (
        node.size
        and node.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
        and (node.id.get_storage_size() not in (0, needed := node.size * node.id.get_type().get_size()))
    ):
        raise SnapshotError(
            f"{where} of shape {node.shape} needs {needed} bytes and has {node.id.get_storage_size()}: its shape or "
            "its type is damaged, copy the file again"
        )
    elif node.size and node.id.get_offset() is None and not node.id.get_storage_size() and not partial:
        raise SnapshotError(f"{where} was announced with shape {node.shape} and never written")
    elif node.size and (offset := node.id.get_offset()) is not None:
        _note(node, (offset, offset + node.id.get_storage_size()))
    return node


def numbers(group: "h5py.Group", name: str) -> "h5py.Dataset":
    """A numeric dataset in the file itself: for reading what :func:`dataset` has passed.

    Raises
    ------
    SnapshotError
        If it is no dataset, not numeric, stored outside the file, or virtual.
    """
    import h5py

    node = member(group, name)
    where = f"{group.file.filename}: {node.name}"
    if not isinstance(node, h5py.Dataset):
        raise SnapshotError(f"{where} is a group where a dataset is expected")
    if node.is_virtual or node.external:
        raise SnapshotError(f"{where} keeps its data in another file; copy them into this one first")
    if node.dtype.kind not in "fiu":
        raise SnapshotError(f"{where} holds {node.dtype}, not numbers")
    stored = node.id.get_type()
    of_one_size = node.dtype.kind == "f" and stored.get_size() == node.dtype.itemsize  # others are widened by HDF5
    if of_one_size and not stored.equal(h5py.h5t.py_create(node.dtype)):
        raise SnapshotError(f"{where} holds floating-point numbers of no IEEE type; the file is damaged, copy it again")
    return node


def _require_chunks(node: "h5py.Dataset", where: str, *, partial: bool) -> None:
    """Every chunk must be there once and inside the file, since HDF5 gives zeros for those that are not.

    With `partial` some may never have been written.
    """
    bytes_of_chunk = int(np.prod(node.chunks, dtype=object)) * node.dtype.itemsize
    if bytes_of_chunk > MOST_OF_CHUNK and bytes_of_chunk > 8 * node.size * node.dtype.itemsize:
        raise SnapshotError(
            f"{where}: chunks of {node.chunks} for a shape of {node.shape}; rechunk the file (h5repack)"
        )
    grid = [-(-n // c) for n, c in zip(node.shape, node.chunks, strict=True)]
    expected = int(np.prod(grid, dtype=object))
    size = os.path.getsize(node.file.filename)
    found = node.id.get_num_chunks()
    if found != expected and not (partial and found < expected):
        raise SnapshotError(
            f"{where}: {found} of {expected} chunks are in the file: it is damaged, copy it again, or was not written "
            "to its end (some engines then take fill_missing=numpy.nan)"
        )
    places, extents = set(), []
    plain = node.id.get_create_plist().get_nfilters() == 0

    def visit(chunk: Any) -> None:
        fits = chunk.byte_offset is not None and chunk.byte_offset + chunk.size <= size
        if fits and (not plain or chunk.size == bytes_of_chunk):
            extents.append((chunk.byte_offset, chunk.size))
            places.add(tuple(o // c for o, c in zip(chunk.chunk_offset, node.chunks, strict=True)))

    node.id.chunk_iter(visit)
    extents.sort()
    _note(node, [(begin, begin + length) for begin, length in extents])
    if any(begin + length > after for (begin, length), (after, _) in pairwise(extents)):
        raise SnapshotError(f"{where}: chunks lie over each other; the file is damaged, copy it again")
    inside = sum(all(p < g for p, g in zip(place, grid, strict=True)) for place in places)
    if inside != found:
        raise SnapshotError(f"{where}: {found - inside} chunks are misplaced; the file is damaged, copy it again")


def require_written(node: "h5py.Dataset", index: tuple, values: np.ndarray, fill: float | None = None) -> None:
    """Chunks that hold nothing but the fill value must be in the file: with a damaged index HDF5 would make them up.

    Those that are not in it get the number `fill`, where one is given.

    Raises
    ------
    SnapshotError
        If one is not.
    """
    if node.chunks is None:
        return
    ranges, sizes = [], []
    for item, chunk, size in zip(index, node.chunks, node.shape, strict=True):
        low, high = (item.indices(size)[:2]) if isinstance(item, slice) else (int(item), int(item) + 1)
        ranges.append(range(low // chunk, -(-high // chunk)))
        sizes.append((low, high, chunk))
    shaped = values.reshape([high - low for low, high, _ in sizes])
    for place in product(*ranges):
        part = tuple(
            slice(max(p * c - low, 0), min((p + 1) * c, high) - low)
            for p, (low, high, c) in zip(place, sizes, strict=True)
        )
        unset = shaped[part] == node.fillvalue
        if (unset | (np.isnan(shaped[part]) & np.isnan(node.fillvalue))).all():
            corner = tuple(p * c for p, c in zip(place, node.chunks, strict=True))
            try:
                node.id.read_direct_chunk(corner)
            except (RuntimeError, OSError, ValueError) as error:
                if fill is not None:
                    shaped[part] = fill
                    continue
                raise SnapshotError(
                    f"{node.file.filename}: {node.name}: the chunk at {corner} cannot be found ({error}); the file is "
                    "damaged, copy it again"
                ) from error


def whole(group: "h5py.Group", name: str, limit: int = 1 << 25) -> np.ndarray:
    """A small dataset (a coordinate, a list of blocks), read whole; refused above `limit` bytes."""
    node = dataset(group, name)
    if node.size * node.dtype.itemsize > limit:
        raise SnapshotError(f"{group.file.filename}: {node.name} claims shape {node.shape}, too large for a header")
    return node[()]


def attribute(node: Any, name: str) -> Any:
    """Attribute as plain str, int, float or array; one-element arrays come out as scalars."""
    attrs = node.attrs
    if name not in attrs:
        raise SnapshotError(f"{node.file.filename}: {node.name} has no attribute {name!r}")
    return plain(attrs[name])


def plain(value: Any) -> Any:
    """Bytes to str, arrays of one element to scalars, NumPy scalars to Python's."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "SO":
            return [plain(item) for item in value.ravel().tolist()]
        return plain(value.ravel()[0]) if value.size == 1 else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.longdouble):
        return float(value)
    return value.item() if isinstance(value, np.generic) else value


def strings(value: Any) -> list[str]:
    """A list of str out of whatever an attribute of names is stored as."""
    value = plain(value)
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def blocks_of(node: "h5py.Dataset") -> int | None:
    """Byte offset of a contiguous dataset of plain numbers, None for one that HDF5 itself must read.

    Raises
    ------
    SnapshotError
        If the data reach past the end of the file.
    """
    import h5py

    plain_type = node.id.get_type().equal(h5py.h5t.py_create(node.dtype))
    bytes_needed = node.size * node.dtype.itemsize
    if node.chunks is not None or not plain_type or node.id.get_storage_size() != bytes_needed:
        return None
    offset = node.id.get_offset()
    if offset is not None and offset + bytes_needed > os.path.getsize(node.file.filename):
        raise SnapshotError(
            f"{node.file.filename}: {node.name} ends at byte {offset + bytes_needed}, past the end of the file; "
            "it is truncated, copy it again"
        )
    return offset

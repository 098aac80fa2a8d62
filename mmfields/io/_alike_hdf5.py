"""HDF5 files of one run that differ in their numbers and a few stated values alone, told apart by their bytes."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfields.io import _hdf5
from mmfields.io._alike import pieces_of

if TYPE_CHECKING:
    import h5py

MOST_BYTES = 1 << 22  # of datasets that hold no numbers; comparing more would take as long as opening the file
Stamps = Callable[["h5py.File"], Mapping[str, Any]]


@dataclass(frozen=True)
class Outline:
    """All bytes of a file but the numbers of its datasets: where they lie, and which of their values vary in a run."""

    size: int
    ranges: tuple[tuple[int, int], ...]
    rest: bytes
    stamps: Mapping[str, Any]
    changed: frozenset[bytes]  # times at which objects were changed, as HDF5 stores them

    def read(self, path: str, stamps: Stamps) -> Mapping[str, Any] | None:
        """The varying values of another file, or None if that file differs in anything else."""
        size, parts = pieces_of(path, self.ranges)
        if size != self.size:
            return None
        rest = b"".join(parts)
        with _hdf5.opened(path) as file:
            found = stamps(file)
        if found.keys() != self.stamps.keys():
            return None
        pairs = [(_bytes(old), _bytes(found[name])) for name, old in self.stamps.items()]
        return found if _explained(self.rest, rest, pairs, self.changed) else None


def outlined(path: str, stamps: Stamps, is_data: Callable[["h5py.Dataset"], bool]) -> Outline | None:
    """Outline of a file; None where HDF5 itself must read its numbers, or where there is much besides them.

    Parameters
    ----------
    path : str
    stamps : callable
        Gives the values that vary from file to file, by name.
    is_data : callable
        Tells whether a dataset is left out of what is compared.
    """
    import h5py

    with _hdf5.opened(path) as file:
        extents, changed = [], set()

        def visit(name: str, node: Any) -> None:
            if not isinstance(node, h5py.Dataset):
                return
            changed.add(int(h5py.h5g.get_objinfo(node.id).mtime).to_bytes(4, "little"))
            if is_data(node):
                extents.append((_hdf5.blocks_of(node), node.size * node.dtype.itemsize))

        file.visititems(visit)
        found = stamps(file)
    if not extents or any(offset is None for offset, _ in extents):
        return None
    size = os.path.getsize(path)
    ranges, at = [], 0
    for offset, count in [*sorted(extents), (size, 0)]:
        if offset > at:
            ranges.append((at, offset - at))
        at = max(at, offset + count)
    if sum(count for _, count in ranges) > MOST_BYTES:
        return None
    _, parts = pieces_of(path, ranges)
    return Outline(size, tuple(ranges), b"".join(parts), found, frozenset(changed - {bytes(4)}))


def _bytes(value: Any) -> bytes:
    """A value as HDF5 stores it; names are filled up to eight bytes."""
    if isinstance(value, str):
        raw = value.encode() + b"\0"
        return raw + bytes(-len(raw) % 8)
    return np.asarray(value).tobytes()


def _explained(old: bytes, new: bytes, pairs: Collection[tuple[bytes, bytes]], changed: Collection[bytes]) -> bool:
    """Whether all bytes that differ belong to one of the pairs of values, or say when an object was changed."""
    away = np.flatnonzero(np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8))
    pairs = [(a, b) for a, b in pairs if len(a) == len(b) and a != b]
    done = 0
    for at in away.tolist():
        if at < done:
            continue
        done = max((p + len(a) for a, b in pairs for p in _places(old, a, at) if new[p : p + len(b)] == b), default=0)
        if not done:
            marked = (p for time in changed for p in _places(old, time, at) if old[p - 4 : p] == b"\1\0\0\0")
            done = max((p + 4 for p in marked), default=0)
        if done <= at:
            return False
    return True


def _places(text: bytes, value: bytes, at: int) -> list[int]:
    """Offset at which the value begins that holds a given byte."""
    return [p for p in range(max(0, at - len(value) + 1), at + 1) if text[p : p + len(value)] == value]

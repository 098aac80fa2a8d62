"""HDF5 files opened so that nothing outside the file is followed, and every fault is a SnapshotError."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfields.conventions import SnapshotError

if TYPE_CHECKING:
    import h5py


@contextmanager
def opened(path: str) -> "Iterator[h5py.File]":
    """The file, for reading; the HDF5 library's complaints come out as SnapshotError."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except SnapshotError:
        raise
    except FileNotFoundError:
        raise
    except Exception as error:
        raise SnapshotError(f"{path}: the HDF5 library cannot read it ({error}); copy or write it again") from error


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


def dataset(group: "h5py.Group", name: str) -> "h5py.Dataset":
    """A numeric dataset whose data lie in the file itself.

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
    return node


def whole(group: "h5py.Group", name: str, limit: int = 1 << 27) -> np.ndarray:
    """A small dataset (a coordinate, a list of blocks), read whole; refused above `limit` bytes."""
    node = dataset(group, name)
    if node.size * node.dtype.itemsize > limit:
        raise SnapshotError(f"{group.file.filename}: {node.name} claims shape {node.shape}, too large for a header")
    return node[()]


def attribute(node: Any, name: str) -> Any:
    """Attribute as plain str, int, float or array; one-element arrays come out as scalars."""
    if name not in node.attrs:
        raise SnapshotError(f"{node.file.filename}: {node.name} has no attribute {name!r}")
    return plain(node.attrs[name])


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
    """Byte offset of a contiguous, unfiltered dataset, None for one that HDF5 itself must read."""
    return node.id.get_offset() if node.chunks is None and node.compression is None else None

"""One copy of an array for all processes of a host: a file that each of them maps into its memory."""

import contextlib
import os
import tempfile
import weakref
from typing import Any

import numpy as np

from mmfields.cluster.client import scratch
from mmfields.errors import SnapshotError


def create(size: int, dtype: Any, folder: str | None = None) -> str:
    """Path of a new file of so many numbers, all 0, in a folder or the scratch directory.

    Raises
    ------
    SnapshotError
        If there is no room for it: a mapped file that finds none when it is written would end the process.
    """
    folder = folder or scratch()
    try:
        handle, path = tempfile.mkstemp(".field", "mmfields-", folder)
    except OSError as error:
        raise _no_room(folder, size, dtype, error) from error
    with os.fdopen(handle, "wb") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size * np.dtype(dtype).itemsize)
            else:  # a system that cannot promise the room
                file.truncate(size * np.dtype(dtype).itemsize)
        except OSError as error:
            forget(path)
            raise _no_room(folder, size, dtype, error) from error
    return path


def _no_room(folder: str | None, size: int, dtype: Any, error: OSError) -> SnapshotError:
    needed = size * np.dtype(dtype).itemsize / 1e9
    return SnapshotError(
        f"{folder or tempfile.gettempdir()}: a copy of the field of {needed:.3g} GB is to lie here, {error.strerror}: "
        "make room, or set dask's temporary-directory or the workers' local_directory"
    )


def view(path: str, dtype: Any, mode: str = "r") -> np.ndarray:
    """The numbers of a file, mapped."""
    return np.asarray(np.memmap(path, dtype, mode))


class Mapped:
    """A filled file of numbers: sent to another process as its path, and gone with the first that held it."""

    def __init__(self, path: str, dtype: Any) -> None:
        self.path, self.dtype = path, np.dtype(dtype)
        self.array = view(path, dtype)
        weakref.finalize(self, forget, path)

    def __reduce__(self) -> Any:
        return _mapped, (self.path, self.dtype.str)


def forget(path: str) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def _mapped(path: str, dtype: str) -> Mapped:
    copy = Mapped.__new__(Mapped)
    copy.path, copy.dtype = path, np.dtype(dtype)
    try:
        copy.array = view(path, dtype)
    except FileNotFoundError as error:
        raise SnapshotError(
            f"{path}: the shared copy of the field is not on this host any more: connect all workers before building "
            "the trace, and give them more memory or block=..."
        ) from error
    return copy

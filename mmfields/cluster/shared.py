"""One copy of an array for all processes of a host: a file that each of them maps into its memory."""

import contextlib
import getpass
import os
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from mmfields._compat import locks
from mmfields.cluster.client import outliving_scratch, scratch
from mmfields.errors import SnapshotError

# Seconds after which a file that no process maps is taken for one that a killed worker has left behind.
ABANDONED = 86_400


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


def create_for_all(size: int, dtype: Any) -> str:
    """The same in a folder that outlives this worker: what others have written stays when it is killed."""
    folder = outliving_scratch()
    if folder is not None:
        _remove_abandoned(folder)
    return create(size, dtype, folder)


def _remove_abandoned(folder: str) -> None:
    """Remove files that killed workers have left behind: old ones that nobody holds."""
    fcntl = locks()
    for path in Path(folder).glob("mmfields-*.field") if fcntl else ():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()


def owner() -> str:
    """What tells files of this user from those of others."""
    return str(getattr(os, "getuid", getpass.getuser)())


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
        self.array, self.held = view(path, dtype), _held(path)
        weakref.finalize(self, forget, path)

    def __reduce__(self) -> Any:
        return _mapped, (self.path, self.dtype.str)


def _held(path: str) -> Any:
    """The open file with a shared lock, which goes with the process, however that ends."""
    file = open(path, "rb")  # noqa: SIM115
    if fcntl := locks():
        with contextlib.suppress(OSError):  # folders over a network may know no locks
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return file


def forget(path: str) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def _mapped(path: str, dtype: str) -> Mapped:
    copy = Mapped.__new__(Mapped)
    copy.path, copy.dtype = path, np.dtype(dtype)
    try:
        copy.array, copy.held = view(path, dtype), _held(path)
    except FileNotFoundError as error:
        raise SnapshotError(
            f"{path}: the shared copy of the field is not on this host any more: connect all workers before building "
            "the trace, and give them more memory or block=..."
        ) from error
    return copy

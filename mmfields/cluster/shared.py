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
    """Remove files that killed workers have left behind: old ones that no process holds."""
    for path in Path(folder).glob("mmfields-*.field") if locks() else ():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                _let_go(path.open("rb"), str(path))


def owner() -> str:
    """What tells files of this user from those of others."""
    return str(getattr(os, "getuid", getpass.getuser)())


def _no_room(folder: str | None, size: int, dtype: Any, error: OSError) -> SnapshotError:
    needed = size * np.dtype(dtype).itemsize / 1e9
    return SnapshotError(
        f"{folder or tempfile.gettempdir()}: a copy of the field of {needed:.3g} GB is to lie here, {error.strerror}: "
        "make room, or set dask's temporary-directory or the workers' local_directory"
    )


def view(path: str | np.ndarray, dtype: Any, mode: str = "r") -> np.ndarray:
    """The numbers of a file, mapped; or of an array of this process, which may stand in its place."""
    return path.view() if isinstance(path, np.ndarray) else np.asarray(np.memmap(path, dtype, mode))


class Mapped:
    """A filled file of numbers: sent to another process as its path, and gone with the last that holds it.

    Dask drops copies of what several workers have, the first one too.
    """

    def __init__(self, path: str, dtype: Any) -> None:
        self.path, self.dtype = path, np.dtype(dtype)
        self._numbers: np.ndarray | None = None
        with contextlib.suppress(FileNotFoundError):
            file = _held(path)
            weakref.finalize(self, _let_go, file, path)
            self._numbers = view(path, dtype)

    @property
    def array(self) -> np.ndarray:
        """The numbers.

        Raises
        ------
        SnapshotError
            If the file was gone when this process was sent its path: said here, since a worker that cannot unpack what
            it is sent waits forever.
        """
        if self._numbers is None:
            raise SnapshotError(
                f"{self.path}: the shared copy of the field is not on this host any more: connect all workers before "
                "building the trace, and give them more memory or block=..."
            )
        return self._numbers

    def __reduce__(self) -> Any:
        return Mapped, (self.path, self.dtype.str)


def _held(path: str) -> Any:
    """The open file with a shared lock, which goes with the process, however that ends."""
    file = open(path, "rb")  # noqa: SIM115
    if fcntl := locks():
        with contextlib.suppress(OSError):  # folders over a network may know no locks
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return file


def _let_go(file: Any, path: str) -> None:
    """Close a held file, and remove it if no other process holds it; on systems without locks it is removed at once."""
    fcntl = locks()
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        forget(path)
    except OSError:  # another process holds it, or the folder has no locks
        pass
    finally:
        file.close()


def forget(path: str | np.ndarray) -> None:
    """Remove a file that may be gone already; an array stays."""
    if isinstance(path, np.ndarray):
        return
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)

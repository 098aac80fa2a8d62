"""One copy of an array for all processes of a host: a file that each of them maps into its memory."""

import contextlib
import os
import tempfile
import weakref
from typing import Any

import numpy as np

from mmfields.conventions import SnapshotError
from mmfields.io.storing import client_in_force


def one_host() -> bool:
    """Whether the tasks of the client in force run in processes of one host that are not this one."""
    client = client_in_force()
    if client is None:
        return False
    addresses = [address.rsplit(":", 1)[0] for address in client.nthreads()]
    return len(set(addresses)) == 1 and not addresses[0].startswith("inproc")


def create(size: int, dtype: Any) -> str:
    """Path of a new file of so many numbers, all 0, in the scratch directory of this worker or of Dask."""
    import dask
    from distributed import get_worker

    try:
        folder = get_worker().local_directory
    except ValueError:  # not on a worker
        folder = dask.config.get("temporary-directory", None)
    handle, path = tempfile.mkstemp(".field", "mmfields-", folder)
    with os.fdopen(handle, "wb") as file:
        file.truncate(size * np.dtype(dtype).itemsize)
    return path


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
            f"{path}: the shared copy of the field is not on this host: connect all workers before building the trace"
        ) from error
    return copy

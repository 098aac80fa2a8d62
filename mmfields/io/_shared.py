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
    """Path of a new file of so many numbers, all 0."""
    path = _new_name()
    with open(path, "r+b") as file:
        file.truncate(size * np.dtype(dtype).itemsize)
    return path


def _new_name() -> str:
    """A new file, empty, in the scratch directory of this worker or of Dask."""
    import dask
    from distributed import get_worker

    try:
        folder = get_worker().local_directory
    except ValueError:  # not on a worker
        folder = dask.config.get("temporary-directory", None)
    handle, path = tempfile.mkstemp(".field", "mmfields-", folder)
    os.close(handle)
    return path


def view(path: str, dtype: Any, mode: str = "r") -> np.ndarray:
    """The numbers of a file, mapped."""
    return np.asarray(np.memmap(path, dtype, mode))


def fill(array: np.ndarray) -> "Mapped":
    """A file of these numbers."""
    path = create(array.size, array.dtype)
    view(path, array.dtype, "r+")[:] = array
    return Mapped(path, array.dtype)


class Mapped:
    """A filled file of numbers, gone with this object.

    Another process that it is sent to gives the file a name of its own, which outlives that of this one.

    Parameters
    ----------
    path : str
    dtype : dtype

    Attributes
    ----------
    host : str or None
        The host of the worker that made it, as the scheduler knows it.
    """

    def __init__(self, path: str, dtype: Any) -> None:
        self.path, self.dtype, self.host = path, np.dtype(dtype), _host()
        weakref.finalize(self, forget, path)

    @property
    def array(self) -> np.ndarray:
        """The numbers; mapped as long as they are looked at."""
        try:
            return view(self.path, self.dtype)
        except FileNotFoundError as error:
            raise SnapshotError(
                f"{self.path}: this copy of the field is on another host, or went with a worker: connect all workers "
                "before building the trace, and compute it again"
            ) from error

    def __reduce__(self) -> Any:
        return _sent, (self.path, self.dtype.str, self.host)


def forget(path: str) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def _host() -> str | None:
    from distributed import get_worker
    from distributed.comm import get_address_host

    try:
        return get_address_host(get_worker().address)
    except ValueError:
        return None


def _sent(path: str, dtype: str, host: str | None) -> Mapped:
    own = _new_name()
    try:
        os.remove(own)
        os.link(path, own)
    except OSError:  # on another host, or disks without links
        own = path
    copy = Mapped.__new__(Mapped)
    copy.path, copy.dtype, copy.host = own, np.dtype(dtype), host
    if own != path:
        weakref.finalize(copy, forget, own)
    return copy

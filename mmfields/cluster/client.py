"""The Dask client in force, its workers, and where they put files."""

import os
import sys
from typing import Any

from mmfields.errors import ArgumentError

# Schedulers of Dask that use one thread.
SINGLE = ("sync", "synchronous", "single-threaded")


def client_in_force() -> Any:
    """The Dask client in force, None without one; distributed is not imported for the question.

    Raises
    ------
    ArgumentError
        If it is asynchronous.
    """
    if "distributed" not in sys.modules:
        return None
    from distributed import get_client

    try:
        client = get_client()
    except ValueError:
        return None
    if client.asynchronous:
        raise ArgumentError(
            "the Dask client in force is asynchronous, and this waits for answers of its scheduler: use a client with "
            "asynchronous=False, in a thread of its own where an event loop runs"
        )
    return client


def workers_in_force() -> list[tuple[int, int]]:
    """Memory limit in bytes, 0 for none, and threads of each worker of the Dask client in force; empty without one."""
    client = client_in_force()
    workers = client.scheduler_info(n_workers=-1)["workers"].values() if client is not None else ()
    return [(worker["memory_limit"] or 0, worker["nthreads"]) for worker in workers]


def thread_count() -> int:
    """Threads of Dask in this process."""
    import dask
    from dask.system import CPU_COUNT

    return 1 if dask.config.get("scheduler", None) in SINGLE else CPU_COUNT


def memory_of_this_machine() -> int:
    """Bytes of it."""
    import psutil

    return psutil.virtual_memory().total


def one_host() -> bool:
    """Whether the tasks of the client in force run in processes of one host that are not this one."""
    client = client_in_force()
    if client is None:
        return False
    addresses = [address.rsplit(":", 1)[0] for address in client.nthreads()]
    return len(set(addresses)) == 1 and not addresses[0].startswith("inproc")


def scratch() -> str | None:
    """The scratch directory of this worker or of Dask; None for the system's."""
    import dask
    from distributed import get_worker

    try:
        return get_worker().local_directory
    except ValueError:  # not on a worker
        return dask.config.get("temporary-directory", None)


def outliving_scratch() -> str | None:
    """The folder in which this worker has its scratch directory, which stays when the worker is killed."""
    from distributed import get_worker

    try:
        return os.path.dirname(get_worker().local_directory)
    except ValueError:  # not on a worker
        return scratch()

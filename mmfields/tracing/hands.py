"""Who works on the blocks of a field: this process, or the workers of this host."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from uuid import uuid4

from mmfields._compat import host_of, locks, under_other_keys
from mmfields.cluster.client import scratch, thread_count
from mmfields.cluster.progress import tell
from mmfields.cluster.shared import owner
from mmfields.cluster.stopping import StoppedError, is_cancelled, stop_own
from mmfields.conventions import SnapshotError


@contextmanager
def hands(abreast: bool = False) -> Iterator["Here | There"]:
    """Who does the work: this process, or the workers of this host; in this process one thread, or all `abreast`."""
    from distributed import get_worker, worker_client

    try:
        worker = get_worker()
    except ValueError:
        with _alone(Path(scratch() or gettempdir()), lambda: None):
            yield Abreast() if abreast and thread_count() > 1 else Here()
        return
    task = worker.get_current_task()
    with worker_client() as client:
        own = There(client, worker, task)
        with _alone(Path(worker.local_directory).parent, own.check):
            yield own


@contextmanager
def _alone(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """One run at a time has files on a disk; the end of its process, however it comes, lets the next one in."""
    try:
        lock = open(folder / f"mmfields-{owner()}.lock", "w")  # noqa: SIM115
    except OSError as error:
        raise SnapshotError(
            f"{folder}: blocks of the field are to lie here, {error.strerror}: set dask's temporary-directory"
        ) from error
    fcntl = locks()
    with lock as file:
        while fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                check()
                time.sleep(0.1)
        yield


class Here:
    """One thing after the other."""

    abreast = 1

    def compute(self, tasks: Sequence[Any]) -> None:
        import dask

        dask.compute(*tasks, scheduler="synchronous")

    def work(self, do: Callable[..., Any], tasks: Sequence[Any]) -> list[Any]:
        return [do(*task) for task in tasks]

    def report(self, said: dict[str, Any]) -> None:
        tell(said)


class Abreast(Here):
    """All threads of this process."""

    def __init__(self) -> None:
        self.abreast = thread_count()

    def compute(self, tasks: Sequence[Any]) -> None:
        import dask

        dask.compute(*tasks, scheduler="threads", num_workers=self.abreast)

    def work(self, do: Callable[..., Any], tasks: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(self.abreast) as pool:
            waiting = [pool.submit(do, *task) for task in tasks]
            try:
                return [each.result() for each in waiting]
            except BaseException:
                for each in waiting:
                    each.cancel()
                stop_own()
                raise


class There:
    """The workers of this host."""

    def __init__(self, client: Any, worker: Any, task: Any) -> None:
        self.client, self.worker, self.task = client, worker, task
        self.host = host_of(worker.address)
        self.abreast = sum(n for address, n in client.nthreads().items() if host_of(address) == self.host)

    def check(self) -> None:
        """Stop if what this is for has been cancelled."""
        if is_cancelled(self.worker, self.task):
            raise StoppedError("the trace is not wanted any more")

    def compute(self, tasks: Sequence[Any]) -> None:
        self.check()
        self.client.gather(self.client.compute(under_own_keys(tasks), workers=self.host))

    def work(self, do: Callable[..., Any], tasks: Sequence[Any]) -> list[Any]:
        self.check()
        submit = self.client.submit
        return self.client.gather([submit(do, *task, pure=False, workers=self.host) for task in tasks])

    def report(self, said: dict[str, Any]) -> None:
        tell({**said, "task": str(self.task)}, self.worker)


def under_own_keys(tasks: Sequence[Any]) -> list[Any]:
    """The same delayed tasks, all that they need under other keys than in the graph that the trace is in.

    Both graphs are optimized on their own, and a scheduler takes one key for one task.  What workers exchange among
    each other keeps its keys, by which they know it.
    """
    from dask.delayed import Delayed

    graph: dict[Any, Any] = {}
    for task in tasks:
        graph.update(dict(task.__dask_graph__()))
    if any("shuffle" in str(key) or "p2p" in str(key) for key in graph):
        return list(tasks)
    own, mark = {}, uuid4().hex
    for key in graph:
        own[key] = (f"{key[0]}-{mark}", *key[1:]) if isinstance(key, tuple) else f"{key}-{mark}"
    renamed = under_other_keys(graph, own)
    return [Delayed(own[task.key], renamed) for task in tasks]

"""Long kernels end soon after their result is not wanted any more: at Ctrl-C, and when Dask cancels their task.

A kernel holds no lock of the interpreter and hears no signals.  It looks at a mark in memory, which is set from here:
by the main thread if the kernel runs for that, else by a thread that looks after all kernels of the process.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from mmfields.errors import MmfieldsError

# Seconds between two looks.
EVERY = 0.2


class StoppedError(MmfieldsError):
    """A computation was given up before its end."""


def stoppable(kernel: Callable[[], Any], setup: Any) -> Any:
    """Run a kernel that looks at ``setup["stop"]``, which is set once its result is not wanted any more.

    Parameters
    ----------
    kernel : callable
        Called without arguments.
    setup : array
        Its setup.

    Raises
    ------
    KeyboardInterrupt
        In the main thread, at Ctrl-C.
    StoppedError
        In another thread, if the task is cancelled or what it is for has failed.
    """
    if threading.current_thread() is threading.main_thread():
        return _aside(kernel, setup)
    watch = _Watch(setup)
    with _lock:
        _watched.add(watch)
        _look_after_all()
    try:
        result = kernel()
    finally:
        with _lock:
            _watched.discard(watch)
    if setup["stop"].any():
        raise StoppedError("the computation was stopped before its end: what it was for was cancelled, or failed")
    return result


def hear_interrupts() -> None:
    """Have Ctrl-C in a computation of the main thread stop the kernels that threads of Dask run for it.

    (Dask itself gives the prompt back, and its threads run on.)
    """
    from dask.callbacks import Callback

    Callback.active.add((None, None, None, None, _computed))


def _computed(graph: Any, state: Any, failed: bool) -> None:
    """Called by Dask at the end of every computation, in the thread that asked for it."""
    if failed and isinstance(sys.exc_info()[1], KeyboardInterrupt):
        stop_own()


def stop_own() -> None:
    """Stop the kernels of this process that run for no worker."""
    with _lock:
        for watch in _watched:
            if watch.worker is None:
                watch.setup["stop"] = 1


def _aside(kernel: Callable[[], Any], setup: Any) -> Any:
    """Run a kernel in another thread, so that this one hears Ctrl-C."""
    found: dict[str, Any] = {}

    def run() -> None:
        try:
            found["result"] = kernel()
        except BaseException as error:
            found["error"] = error

    thread = threading.Thread(target=run, name="mmfields-kernel")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(EVERY)
    except BaseException:
        setup["stop"] = 1
        thread.join()
        raise
    if "error" in found:
        raise found["error"]
    return found["result"]


def is_cancelled(worker: Any, task: Any) -> bool:
    """Whether the task that runs on a worker has been cancelled or released."""
    state = worker.state.tasks.get(task)
    return state is None or state.state == "cancelled"


class _Watch:
    """A kernel that runs in a thread of Dask."""

    def __init__(self, setup: Any) -> None:
        self.setup, self.worker, self.task = setup, None, None
        if "distributed" in sys.modules:
            from distributed import get_worker

            try:
                self.worker = get_worker()
                self.task = self.worker.get_current_task()
            except ValueError:  # a thread that belongs to no worker
                self.worker = None

    def look(self) -> None:
        """Set the mark if the task has been cancelled, or the worker closes."""
        if self.worker is not None:
            running = str(getattr(self.worker.status, "name", self.worker.status)) in ("running", "paused", "init")
            if not running or is_cancelled(self.worker, self.task):
                self.setup["stop"] = 1


_lock, _watched = threading.Lock(), set()


def _look_after_all() -> None:
    """Start the thread that looks after kernels, unless it runs; it ends when there is none left."""
    if not any(thread.name == "mmfields-watch" for thread in threading.enumerate()):
        threading.Thread(target=_look_on, name="mmfields-watch", daemon=True).start()


def _look_on() -> None:
    while True:
        time.sleep(EVERY)
        with _lock:
            for watch in _watched:
                watch.look()
            if not _watched:
                return

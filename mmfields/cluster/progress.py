"""How far a long task is: it says so wherever it runs, and whoever waits for it sees a bar."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Topic of the events that a scheduler keeps of what tasks said.
TOPIC = "mmfields-progress"

# Seconds between two lines of a log; what is done sooner leaves none.
BETWEEN_LINES = 30.0

_listeners: list[Callable[[dict[str, Any]], None]] = []


def tell(said: dict[str, Any], worker: Any = None) -> None:
    """Say of a task ``what`` it does, in which ``run`` and for which ``task``, and the ``share`` that is done.

    `worker` is the Dask worker that it runs on, None where it runs in the process of who waits.
    """
    if worker is not None:
        worker.log_event(TOPIC, said)
        return
    for listener in list(_listeners):
        listener(said)


class Lines:
    """What a bar is in a log file: a line of its own now and then, with the interface of tqdm that is used here."""

    def __init__(self, total: float, what: str, unit: str) -> None:
        self.total, self.what, self.unit, self.n = total, what, unit, 0.0
        self.begun = self.written = time.monotonic()

    def update(self, more: float = 1) -> None:
        """So much more is done."""
        self.n += more
        if time.monotonic() - self.written >= BETWEEN_LINES:
            self._write()

    def close(self) -> None:
        """Say how it ended, if anything was said before."""
        if self.written > self.begun:
            self._write()

    def _write(self) -> None:
        self.written = time.monotonic()
        share = f"{self.n:g}%" if self.unit == "%" else f"{self.n:g} of {self.total:g} {self.unit}s"
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        print(f"{stamp} {self.what}: {share} in {self.written - self.begun:.0f} s", file=sys.stderr, flush=True)


def bar(total: float, what: str, unit: str, *, shown: bool) -> Any:
    """A bar on a terminal or in a notebook, lines in a log file, and nothing where it is not to be shown."""
    from tqdm.auto import tqdm

    if not shown or "ipykernel" in sys.modules or sys.stderr.isatty():
        label = what if unit == "%" else None
        return tqdm(total=total, desc=label, unit=unit, leave=unit != "%", disable=not shown)
    return Lines(total, what, unit)


@contextmanager
def bars(tasks: list[Any], client: Any, *, shown: bool) -> Iterator[None]:
    """A bar for each of `tasks`, or of those they need, that says how far it is."""
    drawn: dict[str, Any] = {}  # None for what is done
    lock = threading.Lock()
    own = {str(key) for task in tasks[:1] for key in task.__dask_graph__()}  # they share a graph

    def told(said: dict[str, Any]) -> None:
        with lock:
            run = said["run"]
            if run not in drawn:
                drawn[run] = bar(100, said["what"], "%", shown=shown)
            if (own_bar := drawn[run]) is None:
                return
            own_bar.update(round(100 * said["share"], 1) - own_bar.n)
            if said["share"] >= 1:
                own_bar.close()
                drawn[run] = None

    def event(stamped: tuple[float, dict[str, Any]]) -> None:
        if stamped[1]["task"] in own:  # others may use the scheduler too
            told(stamped[1])

    if client is not None:
        client.subscribe_topic(TOPIC, event)
    _listeners.append(told)
    try:
        yield
    finally:
        _listeners.remove(told)
        if client is not None:
            client.unsubscribe_topic(TOPIC)
        with lock:
            for left in filter(lambda one: one is not None, drawn.values()):
                left.close()

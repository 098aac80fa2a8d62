"""How far a long task is: it says so wherever it runs, and whoever waits for it sees a bar."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Topic of the events that a scheduler keeps of what tasks said.
TOPIC = "mmfields-progress"

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


@contextmanager
def bars(tasks: list[Any], client: Any, disable: bool | None) -> Iterator[None]:
    """A bar for each of `tasks`, or of those they need, that says how far it is."""
    from tqdm.auto import tqdm

    shown: dict[str, tqdm | None] = {}  # none of what is done
    lock = threading.Lock()
    own = {str(key) for task in tasks[:1] for key in task.__dask_graph__()}  # they share a graph

    def told(said: dict[str, Any]) -> None:
        with lock:
            run = said["run"]
            if run not in shown:
                shown[run] = tqdm(total=100, desc=said["what"], unit="%", leave=False, disable=disable)
            if (bar := shown[run]) is None:
                return
            bar.update(round(100 * said["share"], 1) - bar.n)
            if said["share"] >= 1:
                bar.close()
                shown[run] = None

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
            for bar in filter(None, shown.values()):
                bar.close()

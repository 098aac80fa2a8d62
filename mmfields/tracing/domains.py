"""A field that no process may hold: blocks that overlap, through which particles are handed on in rounds.

Every particle is followed in the block that holds the cells it needs, until its path ends or its next step needs
others; then it is handed to the block of those.  A step is computed by the same operations wherever it is made.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any
from uuid import uuid4

import numpy as np

from mmfields.cluster.client import scratch
from mmfields.cluster.progress import tell
from mmfields.cluster.shared import create, view
from mmfields.conventions import SnapshotError
from mmfields.tracing.holding import Form, vectors, writes

# Cells that neighbouring blocks have in common: at least so many, and a share of their own.
HALO, SHARE = 4, 1 / 16
# Cells along a side of the smallest blocks: with their halos they are 27 times as large.
LEAST = 2 * HALO
# Of a worker's memory: what a field may fill to be held as a whole, and one block to be worked on beside others.
HELD_WHOLE, HELD_BLOCK = 1 / 3, 1 / 10
# Bytes of trajectories that are put together at once.
RESULT = 2**28


@dataclass(frozen=True)
class Plan:
    """How a field is divided.

    Parameters
    ----------
    shape : tuple of int
        Cells (z, y, x).
    periodic : tuple of bool
        Of the axes (z, y, x); the others end.
    side : int
        Cells of a block along each axis, at most.
    """

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]
    side: int

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-n // self.side) for n in self.shape)

    @cached_property
    def sides(self) -> tuple[int, ...]:
        """Cells of a block along each axis; the last may have fewer."""
        return tuple(-(-n // count) for n, count in zip(self.shape, self.counts, strict=True))

    @cached_property
    def regions(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """First cell and number of cells (z, y, x) of every block with its halo."""
        return [self._region(number) for number in range(int(np.prod(self.counts)))]

    def _region(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        begins, extents = [], []
        place = np.unravel_index(number, self.counts)
        for i, n, side, periodic in zip(place, self.shape, self.sides, self.periodic, strict=True):
            halo = max(HALO, int(side * SHARE))
            low, high = int(i) * side - halo, min((int(i) + 1) * side, n) + halo
            if high - low >= n:
                low, high = 0, n
            elif not periodic:
                low, high = max(low, 0), min(high, n)
            begins.append(low % n)
            extents.append(high - low)
        return tuple(begins), tuple(extents)

    def home(self, goals: np.ndarray) -> np.ndarray:
        """Numbers of the blocks in whose own cells (n, 3), in x, y, z order, lie."""
        return np.ravel_multi_index(tuple(goals[:, 2 - a] // self.sides[a] for a in range(3)), self.counts)


class Unread:
    """Dask arrays for a task that computes them part by part; Dask does not look into it and compute them before."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        self.arrays = list(arrays)

    def __dask_tokenize__(self) -> list[str]:
        return [array.name for array in self.arrays]


def divided(parts: Sequence[Any], mask: Any, form: Form) -> tuple[Unread, None, Unread | None]:
    """As `whole` of :mod:`~mmfields.tracing.holding`, of a field that :func:`run_domains` divides.

    The parts may have one place more than there are cells, for faces.
    """
    marks = None if mask is None else Unread([mask])
    return Unread([part for three, _ in vectors(parts, form) for part in three]), None, marks


def side_for(size: int, bytes_per_cell: int) -> int | None:
    """Cells along a side of the blocks that workers need for a field of so many cells; None where they can hold it."""
    from mmfields.cluster.client import workers_in_force

    limits = [(memory, memory / threads) for memory, threads in workers_in_force() if memory]
    if not limits or size * bytes_per_cell <= HELD_WHOLE * min(limits)[0]:
        return None
    held = HELD_BLOCK * min(each for _, each in limits)
    return max(LEAST, int((held / bytes_per_cell) ** (1 / 3) / (1 + 2 * SHARE)))


def particles_at_once(rows: int, saves: int) -> int:
    """So many of whose trajectories are put together at once."""
    return max(1, RESULT // (8 * rows * saves))


def run_domains(
    field: Unread,
    _: None,
    mask: Unread | None,
    start: np.ndarray,
    keys: np.ndarray,
    taken: np.ndarray,
    reference: np.ndarray,
    intervals: np.ndarray,
    ends: np.ndarray,
    *,
    plan: Plan,
    form: Form,
    rows: int,
    **rule: Any,
) -> np.ndarray:
    """As `run_task` for several gyroradii, (row, gyroradius, particle, save), in rounds through the blocks of a plan.

    The blocks are files of this run, in the scratch directory of its process; other processes of the host map them.
    """
    from mmfields.kernels.trace import PATH, START
    from mmfields.tracing.task import check_start, finite, with_rigidity

    out = np.empty((rows, *start.shape[:2], len(intervals)))
    starts = [with_rigidity(each, reference) for each in start]
    for each, steps in zip(starts, taken, strict=True):
        kinds = rule["pusher"] > 0, rule["fraction"] > 0
        check_start(each, steps, rule["geometry"], rule["kind"], intervals, *kinds)
    run = uuid4().hex
    with _hands() as hands, TemporaryDirectory(prefix="mmfields-", dir=scratch()) as folder:
        blocks = _blocks(field, mask, plan, form, folder, hands)
        for g, particles in enumerate(zip(starts, keys, taken, strict=True)):
            # an interval of no length first: steps by the local field begin with a look at it
            path = np.insert(intervals, 0, 0.0), np.insert(ends, 0, particles[0][0, len(START) + PATH])
            options = {"rows": rows, "path": path, **rule}
            for said in _rounds(particles, blocks, plan, options, hands, out[:, g]):
                share = (g + said["share"]) / len(start)
                hands.report({"what": "trace in blocks", "run": run, **said, "share": share})
    return finite(out)


def _rounds(
    particles: tuple[np.ndarray, ...], blocks: list[Any], plan: Plan, options: dict[str, Any], hands: Any, out: Any
) -> Iterator[dict[str, Any]]:
    """All rounds of particles of one gyroradius; fills (row, particle, save), and says after each how far it is."""
    from mmfields.kernels.domain import Particles

    start, keys, taken = particles
    n, last, nothing = len(start), out.shape[-1], np.zeros(len(start), np.int64)
    # nothing left of an interval, and any field: the first look is at the start
    place = np.append(start, np.broadcast_to([0.0, 1.0, 1.0, 1.0], (n, 4)), axis=1)
    waiting = Particles(place, keys, taken, nothing, nothing, _first_goals(place[:, :3], options["geometry"]))
    who, rounds, handed, size = np.arange(n), 0, 0, sum(a[0].nbytes for a in waiting)
    while len(who):
        groups = _by_home(plan.home(waiting.goals))
        tasks = [
            (blocks[number], plan.regions[number], Particles(*(a[chosen] for a in waiting)), options)
            for number, chosen in groups
        ]
        parts, left = [], []
        for (_, chosen), (group, found, of) in zip(groups, hands.work(tasks), strict=True):
            counted = of[:, 1] > 0
            out[:, who[chosen[of[counted, 0]]], of[counted, 1] - 1] = found[counted].T
            on = group.saves <= last
            parts.append(Particles(*(a[on] for a in group)))
            left.append(who[chosen[on]])
        waiting, who = Particles(*map(np.concatenate, zip(*parts, strict=True))), np.concatenate(left)
        rounds, handed = rounds + 1, handed + len(who)
        ahead = _ahead(waiting, options["path"][0], local=options["fraction"] > 0)
        share = 1.0 - ahead / (n * float(sum(options["path"][0])) or 1.0)
        yield {"rounds": rounds, "handed": handed, "bytes": handed * size, "share": share}


def _ahead(particles: Any, lengths: np.ndarray, *, local: bool) -> float:
    """Lengths of path that particles have before them, together."""
    from mmfields.kernels.trace import LONGEST, START

    save, longest = particles.saves, particles.place[:, len(START) + LONGEST]
    here = particles.place[:, 15] if local else np.minimum(particles.due * longest, lengths[save])
    return float((here + sum(lengths) - np.cumsum(lengths)[save]).sum())


def _blocks(field: Unread, mask: Unread | None, plan: Plan, form: Form, folder: str, hands: Any) -> list[Any]:
    """Files of all blocks: (path, dtype) of the magnetic field, the electric field and the mask, or None."""
    import dask

    extra = field.arrays[0].shape[0] - plan.shape[0]
    held = [(field.arrays[i : i + 3], form.names[i : i + 3], form.kind, extra) for i in range(0, len(field.arrays), 3)]
    held += [None] * (2 - len(held)) + [mask and (mask.arrays, ["mask"], np.uint8, 0)]
    tasks, files = [], []
    for vector in held:
        if vector is None:
            files.append([None] * len(plan.regions))
            continue
        parts, names, kind, more = vector
        regions = [(begins, tuple(m + more for m in extents)) for begins, extents in plan.regions]
        made = [(create(len(parts) * int(np.prod(m)) + 1, kind, folder), begins, m) for begins, m in regions]
        tasks += writes(dask.delayed(made, traverse=False), parts, plan.shape, names, kind)
        files.append([(path, np.dtype(kind)) for path, _, _ in made])
    hands.compute(tasks)
    return list(zip(*files, strict=True))


def _first_goals(position: np.ndarray, geometry: tuple[Any, ...]) -> np.ndarray:
    """The cells that positions lie in; a start, which the kernel puts right."""
    shape, low, high, _ = geometry
    n = np.array(shape[::-1])
    return (np.floor((position - low) / (high - low) * n).astype(np.int64) % n).astype(np.int32)


def _by_home(numbers: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Blocks that are needed, and who needs them."""
    order = np.argsort(numbers, kind="stable")
    found, begins = np.unique(numbers[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, begins[1:]), strict=True))


@contextmanager
def _hands() -> Iterator["_Here | _There"]:
    """Who does the work: this process, or the workers of this host."""
    from distributed import get_worker, worker_client

    try:
        worker = get_worker()
    except ValueError:
        with _alone(Path(scratch() or gettempdir()), lambda: None):
            yield _Here()
        return
    task = worker.get_current_task()
    with worker_client() as client:
        hands = _There(client, worker, task)
        with _alone(Path(worker.local_directory).parent, hands.check):
            yield hands


@contextmanager
def _alone(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """One run at a time has files on a disk; the end of its process, however it comes, lets the next one in."""
    try:
        lock = open(folder / f"mmfields-{os.getuid()}.lock", "w")  # noqa: SIM115
    except OSError as error:
        raise SnapshotError(
            f"{folder}: blocks of the field are to lie here, {error.strerror}: set dask's temporary-directory"
        ) from error
    with lock as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                check()
                time.sleep(0.1)
        yield


class _Here:
    """One thing after the other."""

    def compute(self, tasks: Sequence[Any]) -> None:
        import dask

        dask.compute(*tasks, scheduler="synchronous")

    def work(self, tasks: Sequence[Any]) -> list[Any]:
        return [advance(*task) for task in tasks]

    def report(self, said: dict[str, Any]) -> None:
        tell(said)


class _There:
    """The workers of this host."""

    def __init__(self, client: Any, worker: Any, task: Any) -> None:
        from distributed.comm import get_address_host

        self.client, self.worker, self.task = client, worker, task
        self.host = get_address_host(worker.address)

    def check(self) -> None:
        """Stop if what this is for has been cancelled."""
        state = self.worker.state.tasks.get(self.task)
        if state is None or state.state == "cancelled":
            raise SnapshotError("the trace is not wanted any more")

    def compute(self, tasks: Sequence[Any]) -> None:
        self.check()
        self.client.gather(self.client.compute(under_own_keys(tasks), workers=self.host))

    def work(self, tasks: Sequence[Any]) -> list[Any]:
        self.check()
        submit = self.client.submit
        return self.client.gather([submit(advance, *task, pure=False, workers=self.host) for task in tasks])

    def report(self, said: dict[str, Any]) -> None:
        tell({**said, "task": str(self.task)}, self.worker)


def under_own_keys(tasks: Sequence[Any]) -> list[Any]:
    """The same delayed tasks, all that they need under other keys than in the graph that the trace is in.

    Both graphs are optimized on their own, and a scheduler takes one key for one task.  What workers exchange among
    each other keeps its keys, by which they know it.
    """
    from dask._task_spec import convert_legacy_graph
    from dask.delayed import Delayed

    graph: dict[Any, Any] = {}
    for task in tasks:
        graph.update(dict(task.__dask_graph__()))
    if any("shuffle" in str(key) or "p2p" in str(key) for key in graph):
        return list(tasks)
    own, mark = {}, uuid4().hex
    for key in graph:
        own[key] = (f"{key[0]}-{mark}", *key[1:]) if isinstance(key, tuple) else f"{key}-{mark}"
    nodes = convert_legacy_graph(graph)
    renamed = {own[key]: node.substitute(own, key=own[key]) for key, node in nodes.items()}
    return [Delayed(own[task.key], renamed) for task in tasks]


def advance(
    block: Sequence[tuple[str, Any] | None], region: tuple[tuple[int, ...], ...], group: Any, options: dict[str, Any]
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Particles through a block.

    Parameters
    ----------
    block : sequence of (path, dtype)
        Files of the magnetic field, and of the electric field and the mask if there are any.
    region : tuple
        First cell and number of cells (z, y, x).

    Returns
    -------
    Particles
        As they are then.
    (m, rows) float array, (m, 2) int array
        Rows of saved points, and whose these are.
    """
    from mmfields.kernels.domain import Particles, trace_domain
    from mmfields.kernels.interpolate import Grid
    from mmfields.kernels.lanes import LANES
    from mmfields.kernels.trace import Electric
    from mmfields.kernels.waves import Octaves
    from mmfields.kernels.window import PART, Window
    from mmfields.tracing.task import NO_OCTAVES, as_kernel_takes_it, scatter_of

    begins, extents = region
    data, other, marks = (None if file is None else view(*file) for file in block)
    mask = np.zeros((1, 1, 1), np.uint8) if marks is None else marks[:-1].reshape(extents)
    particles = Particles(*(np.array(a) for a in group))  # what comes from another process is not to be written
    found, of = trace_domain(
        Grid(as_kernel_takes_it(data), *options["geometry"], options["kind"]),
        Window(PART, np.array(begins[::-1]), extents, np.zeros((3, LANES), np.int32)),
        scatter_of(options["scattering"], mask),
        Electric(as_kernel_takes_it(np.zeros(1, data.dtype) if other is None else other), options["pusher"]),
        Octaves(*map(as_kernel_takes_it, NO_OCTAVES)),
        particles,
        *options["path"],
        options["fraction"],
        options["rows"],
    )
    return particles, found, of

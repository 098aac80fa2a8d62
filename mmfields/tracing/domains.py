"""A field that no process may hold: blocks that overlap, through which particles are handed on in rounds.

Every particle is followed in the block that holds the cells it needs, until its path ends or its next step needs
others; then it is handed to the block of those.  A step is computed by the same operations wherever it is made.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mmfields.conventions import SnapshotError
from mmfields.io._shared import Mapped
from mmfields.tracing.holding import Form, in_regions, vectors

# Cells that neighbouring blocks have in common: at least so many, and a share of their own.
HALO, SHARE = 4, 1 / 16
# Of a worker's memory: what a field may fill to be held as a whole, and one block to be worked on beside others.
HELD_WHOLE, HELD_BLOCK = 1 / 3, 1 / 10
# Bytes of trajectories that are put together at once.
RESULT = 2**27
# Topic of the events that the scheduler keeps of finished runs.
TOPIC = "mmfields-trace"


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
        """Of all blocks."""
        return [self.region(number) for number in range(int(np.prod(self.counts)))]

    def region(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First cell and number of cells (z, y, x) of a block with its halo."""
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


def divided(parts: Sequence[Any], mask: Any, form: Form, plan: Plan) -> tuple[Any, Any, Any]:
    """As `whole` of :mod:`~mmfields.tracing.holding`, lists of what the blocks of a plan have; None where nothing is.

    The parts may have one place more than there are cells, for faces.
    """
    extra = parts[0].shape[0] - plan.shape[0]
    longer = [(begins, tuple(m + extra for m in extents)) for begins, extents in plan.regions]
    made = [in_regions(three, longer, plan.shape, names, form.kind) for three, names in vectors(parts, form)]
    marks = None if mask is None else in_regions([mask], plan.regions, plan.shape, ["mask"], np.uint8)
    return made[0], made[1] if made[1:] else None, marks


def side_for(size: int, bytes_per_cell: int) -> int | None:
    """Cells along a side of the blocks that workers need for a field of so many cells; None where they can hold it."""
    from mmfields.io.storing import client_in_force

    client = client_in_force()
    workers = client.scheduler_info(n_workers=-1)["workers"].values() if client is not None else ()
    limits = [(w["memory_limit"], w["memory_limit"] / w["nthreads"]) for w in workers if w["memory_limit"]]
    if not limits or size * bytes_per_cell <= HELD_WHOLE * min(limits)[0]:
        return None
    held = HELD_BLOCK * min(each for _, each in limits)
    return max(2 * HALO, int((held / bytes_per_cell) ** (1 / 3) / (1 + 2 * SHARE)))


def particles_at_once(rows: int, saves: int) -> int:
    """So many of whose trajectories are put together at once."""
    return max(1, RESULT // (8 * rows * saves))


def run_domains(
    field: list[Mapped],
    electric: list[Mapped] | None,
    mask: list[Mapped] | None,
    start: np.ndarray,
    keys: np.ndarray,
    taken: np.ndarray,
    radius: np.ndarray,
    mass: np.ndarray,
    reference: np.ndarray,
    intervals: np.ndarray,
    counts: np.ndarray,
    *,
    plan: Plan,
    geometry: tuple[Any, ...],
    rows: int,
    **rule: Any,
) -> np.ndarray:
    """As `run_task`, in rounds through the blocks of a plan."""
    from mmfields.kernels.domain import Particles
    from mmfields.tracing.task import check_start, finite, rigidity_of

    rigidity = rigidity_of(radius, reference)
    check_start(start[0], taken[0], geometry, rule["kind"], intervals, counts[0])
    n, last = start.shape[1], len(intervals)
    nothing = np.zeros(n, np.int64)
    # nothing left of an interval, and any field: the first look is at the start
    place = np.append(start[0], np.broadcast_to([0.0, 1.0, 1.0, 1.0], (n, 4)), axis=1)
    waiting = Particles(place, keys[0], taken[0], nothing, nothing, _first_goals(place[:, :3], geometry))
    who, out, rounds, handed = np.arange(n), np.empty((rows, n, last)), 0, 0
    size = sum(a[0].nbytes for a in waiting)
    # an interval of no length first: steps by the local field begin with a look at it
    path = np.insert(intervals, 0, 0.0), np.insert(counts[0], 0, 0)
    options = {"geometry": geometry, "rigidity": rigidity, "rows": rows, "path": path, **rule}
    options["electric"] = rule["pusher"], float(mass[0])
    with _workers() as (work, report):
        while len(who):
            tasks, groups = [], _by_home(plan.home(waiting.goals))
            for number, chosen in groups:
                block = [held and held[number] for held in (field, electric, mask)]
                tasks.append((block, plan.region(number), Particles(*(a[chosen] for a in waiting)), options))
            parts, left = [], []
            for (_, chosen), (group, found, of) in zip(groups, work(tasks), strict=True):
                counted = of[:, 1] > 0
                out[:, who[chosen[of[counted, 0]]], of[counted, 1] - 1] = found[counted].T
                on = group.saves <= last
                parts.append(Particles(*(a[on] for a in group)))
                left.append(who[chosen[on]])
            waiting, who = Particles(*map(np.concatenate, zip(*parts, strict=True))), np.concatenate(left)
            rounds, handed = rounds + 1, handed + len(who)
        report({"rounds": rounds, "handed": handed, "bytes": handed * size})
    return finite(out)[:, None]


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
def _workers() -> Iterator[tuple[Callable, Callable]]:
    """Functions that work through a round, on all workers or block after block in this process, and that report."""
    from distributed import get_worker, worker_client

    try:
        worker = get_worker()
    except ValueError:
        yield lambda tasks: [advance(*task) for task in tasks], lambda said: None
        return
    own = worker.get_current_task()

    def work(tasks: Sequence[Any]) -> list[Any]:
        if own not in worker.state.tasks or worker.state.tasks[own].state == "cancelled":
            raise SnapshotError("the trace is not wanted any more")
        where = [{"workers": task[0][0].host, "allow_other_workers": True} for task in tasks]
        return client.gather(
            [client.submit(advance, *task, pure=False, **at) for task, at in zip(tasks, where, strict=True)]
        )

    with worker_client() as client:
        yield work, lambda said: worker.log_event(TOPIC, said)


def advance(
    block: Sequence[Mapped | None], region: tuple[tuple[int, ...], ...], group: Any, options: dict[str, Any]
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Particles through a block.

    Parameters
    ----------
    block : sequence of Mapped
        Magnetic field, and electric field and mask if there are any.
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
    data, other, marks = (None if held is None else held.array for held in block)
    mask = np.zeros((1, 1, 1), np.uint8) if marks is None else marks[:-1].reshape(extents)
    particles = Particles(*(np.array(a) for a in group))  # what comes from another process is not to be written
    found, of = trace_domain(
        Grid(as_kernel_takes_it(data), *options["geometry"], options["kind"]),
        Window(PART, np.array(begins[::-1]), extents, np.zeros((3, LANES), np.int32)),
        scatter_of(options["scattering"], mask),
        Electric(as_kernel_takes_it(np.zeros(1, data.dtype) if other is None else other), *options["electric"]),
        Octaves(*map(as_kernel_takes_it, NO_OCTAVES)),
        particles,
        options["rigidity"],
        *options["path"],
        *options["pace"],
        options["rows"],
    )
    return particles, found, of

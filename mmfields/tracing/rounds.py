"""Particles handed from block to block of a divided field.

Every particle is followed in the block that holds the cells it needs, until its path ends or its next step needs
others; then it is handed to the block of those.  A step is computed by the same operations wherever it is made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import numpy as np

from mmfields.cluster.client import scratch
from mmfields.cluster.shared import create, view
from mmfields.cluster.stopping import stoppable
from mmfields.tracing.blocks import Plan, Unread
from mmfields.tracing.hands import hands
from mmfields.tracing.packing import Form, Region, writes
from mmfields.tracing.task import Geometry, Task, as_kernel_takes_it, plan_of, ready


@dataclass(frozen=True)
class Way:
    """What particles of a gyroradius do in the blocks of a field.

    Parameters
    ----------
    task : Task
        From :func:`from_the_start`.
    saves : int array
        Which saved point the end of each interval is, or -1.
    window : dict, optional
        Fields of a `WINDOW` in time, for a field that changes.
    """

    task: Task
    saves: np.ndarray
    window: dict[str, Any] | None = None


def from_the_start(task: Task) -> Task:
    """The same with an interval of no length first: steps by the local field begin with a look at it."""
    return replace(task, even=False, path=np.insert(task.path, 0, task.start))


def run_in_blocks(
    field: Unread,
    _: None,
    mask: Unread | None,
    particles: np.ndarray,
    reference: np.ndarray,
    *,
    task: Task,
    divided: tuple[Plan, Form],
) -> np.ndarray:
    """As `run_task` for several gyroradii, (gyroradius, particle, save), in rounds through the blocks of a plan.

    The blocks are files of this run, in the scratch directory of its process; other processes of the host map them.
    """
    plan, form = divided
    out = np.empty((*particles.shape, len(task.path)), task.saved_type)
    starts = [ready(each, float(reference), task) for each in particles]
    run, way = uuid4().hex, Way(from_the_start(task), np.arange(-1, len(task.path)))
    with hands() as own, TemporaryDirectory(prefix="mmfields-", dir=scratch()) as folder:
        blocks = written_blocks(field, mask, plan, form, folder, own)
        for g, each in enumerate(starts):
            for said in in_rounds(each, (blocks, plan), way, own, out[g]):
                share = (g + said["share"]) / len(starts)
                own.report({"what": "trace in blocks", "run": run, **said, "share": share})
    return out


def in_rounds(
    particles: np.ndarray, divided: tuple[list[Any], Plan], way: Way, own: Any, out: np.ndarray
) -> Iterator[dict[str, Any]]:
    """All rounds of particles of one gyroradius, which are changed; says after each how far it is.

    Parameters
    ----------
    particles : (n,) array
    divided : list, Plan
        Files of each block, as `advance` takes them.
    way : Way
    own : hands
    out : (n, s) array
        Filled, but for saved points that are not of this way.
    """
    (blocks, plan), task = divided, way.task
    # nothing left of an interval, and any field: the first look is at the start
    for name, value in {"rest": 0.0, "bx": 1.0, "by": 1.0, "bz": 1.0, "save": 0, "due": 0}.items():
        particles[name] = value
    particles["goal"] = first_goals(np.stack([particles[d] for d in "xyz"], -1), task.geometry)
    who, rounds, handed = np.arange(len(particles)), 0, 0
    whole = len(particles) * float(task.intervals.sum()) or 1.0
    while len(who):
        groups = [(number, who[chosen]) for number, chosen in by_home(plan.home(particles["goal"][who]))]
        work = [(blocks[number], plan.regions[number], particles[chosen], way) for number, chosen in groups]
        left = []
        for (_, chosen), (group, found, of) in zip(groups, own.work(advance, work), strict=True):
            out[chosen[of[:, 0]], of[:, 1]] = found
            particles[chosen] = group
            left.append(chosen[group["save"] < len(task.path)])
        who = np.concatenate(left)
        rounds, handed = rounds + 1, handed + len(who)
        share = 1.0 - _ahead(particles[who], task) / whole
        yield {"rounds": rounds, "handed": handed, "bytes": handed * particles.dtype.itemsize, "share": share}


def _ahead(particles: np.ndarray, task: Task) -> float:
    """Lengths of path that particles have before them, together."""
    save, lengths = particles["save"], task.intervals
    here = particles["rest"] if task.fraction > 0 else particles["due"] * particles["longest"]
    here = here if task.fraction > 0 else np.minimum(here, lengths[save])
    return float((here + sum(lengths) - np.cumsum(lengths)[save]).sum())


def written_blocks(field: Unread, mask: Unread | None, plan: Plan, form: Form, folder: str, own: Any) -> list[Any]:
    """Files of all blocks: (path, dtype) of the magnetic field, the electric field and the mask, or None."""
    extra = field.arrays[0].shape[0] - plan.shape[0]
    tasks: list[Any] = []
    files: list[list[Any]] = []
    for first in range(0, len(field.arrays), 3):
        parts, names = field.arrays[first : first + 3], form.names[first : first + 3]
        regions = new_regions(plan, len(parts), form.kind, folder, extra)
        tasks += writes(kept_whole(regions), parts, plan.shape, names, form.kind)
        files.append([(path, np.dtype(form.kind)) for path, _, _ in regions])
    marks, more = writes_of_mask(mask, plan, folder)
    own.compute(tasks + more)
    if not files[1:]:
        files.append([None] * len(plan.regions))
    return list(zip(*files, marks, strict=True))


def writes_of_mask(mask: Unread | None, plan: Plan, folder: str) -> tuple[list[Any], list[Any]]:
    """Files of a mask in all blocks, or None; and tasks that write them."""
    if mask is None:
        return [None] * len(plan.regions), []
    regions = new_regions(plan, 1, np.uint8, folder)
    tasks = writes(kept_whole(regions), mask.arrays, plan.shape, ["mask"], np.uint8)
    return [(path, np.dtype(np.uint8)) for path, _, _ in regions], tasks


def new_regions(plan: Plan, width: int, kind: Any, folder: str, extra: int = 0) -> list[Region]:
    """A file for each block, of so many numbers a cell; with `extra` places beyond the cells of each axis."""
    regions = [(begins, tuple(m + extra for m in extents)) for begins, extents in plan.regions]
    return [(create(width * int(np.prod(m)) + 1, kind, folder), begins, m) for begins, m in regions]


def kept_whole(regions: Sequence[Region]) -> Any:
    """Regions as one thing for tasks, into which Dask does not look."""
    import dask

    return dask.delayed(list(regions), traverse=False)


def first_goals(position: np.ndarray, box: Geometry) -> np.ndarray:
    """The cells that positions lie in; a start, which the kernel puts right."""
    n = np.array(box.cells)
    return (np.floor((position - box.low) / box.sides * n).astype(np.int64) % n).astype(np.int32)


def by_home(numbers: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Blocks that are needed, and who needs them."""
    order = np.argsort(numbers, kind="stable")
    found, begins = np.unique(numbers[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, begins[1:]), strict=True))


def advance(block: Any, region: Any, group: np.ndarray, way: Way) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Particles through a block.

    Parameters
    ----------
    block : sequence of (path, dtype)
        Files of the magnetic field, and of the electric field and the mask if there are any.  Where the field changes,
        the first holds all vectors of two snapshots.
    region : tuple
        First cell and number of cells (z, y, x).
    group : (n,) array
    way : Way

    Returns
    -------
    (n,) array
        Particles as they are then.
    (m,) array, (m, 2) int array
        Saved points, and whose these are.
    """
    from mmfields.kernels.batch import LANES, new_batch
    from mmfields.kernels.domain import trace_domain, trace_evolving_domain
    from mmfields.kernels.evolving import Pair
    from mmfields.kernels.trace import Fields

    (begins, extents), task = region, way.task
    data, electric, marks = (file and as_kernel_takes_it(view(*file)) for file in block)
    mask = None if marks is None else marks[:-1].reshape(extents)
    particles = np.array(group)  # what comes from another process is not to be written
    setup = task.setup(data.nbytes, held=True, limited=True, begins=begins[::-1], extents=extents[::-1])
    plan, room = plan_of(task, particles), task.room(LANES, 1)
    plan["save"] = way.saves

    def run() -> Any:
        if way.window is None:
            return trace_domain(new_batch(), setup, Fields(data, electric, mask, None), particles, plan, room)
        fields = Pair(data, np.zeros(1) if task.pusher else None, mask)
        return trace_evolving_domain(new_batch(), setup, window_of(way.window), fields, particles, plan, room)

    found, of = stoppable(run, setup)
    filled = type(found)(*(rows[: len(of)] for rows in found))
    return particles, task.together(filled)[:, 0], of


def window_of(fields: dict[str, Any]) -> np.ndarray:
    """A window in time, for the kernels."""
    from mmfields.kernels.evolving import WINDOW

    window = np.zeros(1, WINDOW)
    for name, value in fields.items():
        window[name] = value
    return window

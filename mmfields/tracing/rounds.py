"""Particles handed from block to block of a divided field.

Every particle is followed in the block that holds the cells it needs, until its path ends or its next step needs
others; then it is handed to the block of those.  A step is computed by the same operations wherever it is made.
"""

from collections.abc import Iterator
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import numpy as np

from mmfields.cluster.client import scratch
from mmfields.cluster.shared import create, view
from mmfields.cluster.stopping import stoppable
from mmfields.tracing.blocks import Plan, Unread
from mmfields.tracing.hands import hands
from mmfields.tracing.packing import Form, writes
from mmfields.tracing.task import Geometry, Task, as_kernel_takes_it, plan_of, ready


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
    run = uuid4().hex
    with hands() as own, TemporaryDirectory(prefix="mmfields-", dir=scratch()) as folder:
        blocks = written_blocks(field, mask, plan, form, folder, own)
        for g, each in enumerate(starts):
            # an interval of no length first: steps by the local field begin with a look at it
            path = replace(task, even=False, start=each["path"][0], path=np.insert(task.path, 0, each["path"][0]))
            for said in _rounds(each, blocks, plan, path, own, out[g]):
                share = (g + said["share"]) / len(starts)
                own.report({"what": "trace in blocks", "run": run, **said, "share": share})
    return out


def _rounds(
    waiting: np.ndarray, blocks: list[Any], plan: Plan, task: Task, own: Any, out: np.ndarray
) -> Iterator[dict[str, Any]]:
    """All rounds of particles of one gyroradius; fills (particle, save), and says after each how far it is."""
    # nothing left of an interval, and any field: the first look is at the start
    for name, value in {"rest": 0.0, "bx": 1.0, "by": 1.0, "bz": 1.0, "save": 0, "due": 0}.items():
        waiting[name] = value
    waiting["goal"] = first_goals(np.stack([waiting[d] for d in "xyz"], -1), task.geometry)
    last, who, rounds, handed = len(task.path), np.arange(len(waiting)), 0, 0
    whole = len(waiting) * float(task.intervals.sum()) or 1.0
    while len(who):
        groups = by_home(plan.home(waiting["goal"]))
        work = [(blocks[number], plan.regions[number], waiting[chosen], task) for number, chosen in groups]
        parts, left = [], []
        for (_, chosen), (group, found, of) in zip(groups, own.work(advance, work), strict=True):
            counted = of[:, 1] > 0
            out[who[chosen[of[counted, 0]]], of[counted, 1] - 1] = found[counted]
            on = group["save"] < last
            parts.append(group[on])
            left.append(who[chosen[on]])
        waiting, who = np.concatenate(parts), np.concatenate(left)
        rounds, handed = rounds + 1, handed + len(who)
        share = 1.0 - _ahead(waiting, task) / whole
        yield {"rounds": rounds, "handed": handed, "bytes": handed * waiting.dtype.itemsize, "share": share}


def _ahead(particles: np.ndarray, task: Task) -> float:
    """Lengths of path that particles have before them, together."""
    save, lengths = particles["save"], task.intervals
    here = particles["rest"] if task.fraction > 0 else particles["due"] * particles["longest"]
    here = here if task.fraction > 0 else np.minimum(here, lengths[save])
    return float((here + sum(lengths) - np.cumsum(lengths)[save]).sum())


def written_blocks(field: Unread, mask: Unread | None, plan: Plan, form: Form, folder: str, own: Any) -> list[Any]:
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
    own.compute(tasks)
    return list(zip(*files, strict=True))


def first_goals(position: np.ndarray, box: Geometry) -> np.ndarray:
    """The cells that positions lie in; a start, which the kernel puts right."""
    n = np.array(box.cells)
    return (np.floor((position - box.low) / box.sides * n).astype(np.int64) % n).astype(np.int32)


def by_home(numbers: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Blocks that are needed, and who needs them."""
    order = np.argsort(numbers, kind="stable")
    found, begins = np.unique(numbers[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, begins[1:]), strict=True))


def advance(block: Any, region: Any, group: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Particles through a block.

    Parameters
    ----------
    block : sequence of (path, dtype)
        Files of the magnetic field, and of the electric field and the mask if there are any.
    region : tuple
        First cell and number of cells (z, y, x).
    group : (n,) array
    task : Task

    Returns
    -------
    (n,) array
        Particles as they are then.
    (m,) array, (m, 2) int array
        Saved points, and whose these are.
    """
    from mmfields.kernels.batch import LANES, new_batch
    from mmfields.kernels.domain import trace_domain
    from mmfields.kernels.trace import Fields

    begins, extents = region
    data, electric, marks = (None if file is None else as_kernel_takes_it(view(*file)) for file in block)
    mask = None if marks is None else marks[:-1].reshape(extents)
    particles = np.array(group)  # what comes from another process is not to be written
    setup = task.setup(data.nbytes, held=True, limited=True, begins=begins[::-1], extents=extents[::-1])
    fields, plan = Fields(data, electric, mask, None), plan_of(task, particles)
    found, of = stoppable(lambda: trace_domain(new_batch(), setup, fields, particles, plan, task.room(LANES, 1)), setup)
    filled = type(found)(*(rows[: len(of)] for rows in found))
    return particles, task.together(filled)[:, 0], of

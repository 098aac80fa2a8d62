"""Field lines handed from block to block of a divided field, as :mod:`~mmfields.tracing.rounds` does with particles."""

from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import numpy as np

from mmfields.cluster.client import scratch
from mmfields.cluster.shared import view
from mmfields.cluster.stopping import stoppable
from mmfields.conventions import SPATIAL
from mmfields.tracing.blocks import Plan, Unread
from mmfields.tracing.hands import hands
from mmfields.tracing.lines_task import plan_of_lines, ready_lines
from mmfields.tracing.packing import Form
from mmfields.tracing.rounds import by_home, first_goals, written_blocks
from mmfields.tracing.task import Task, as_kernel_takes_it


def run_lines_in_blocks(
    field: Unread, seeds: np.ndarray, *, task: Task, step: float, sign: int, divided: tuple[Plan, Form]
) -> np.ndarray:
    """As `run_lines`, in rounds through the blocks of a plan, which are files of this run."""
    from mmfields.kernels.lines import POINT
    from mmfields.kernels.lines_domain import LINE

    (cut, form), rows = divided, plan_of_lines(task, step)
    flat = ready_lines(seeds, task)
    waiting = np.zeros(flat.size, LINE)
    for name in flat.dtype.names:
        waiting[name] = flat[name]
    waiting["due"] = rows["count"][0] // 2
    waiting["goal"] = first_goals(np.stack([flat[d] for d in SPATIAL], -1), task.geometry)
    out, who, run = np.empty((flat.size, len(rows)), POINT), np.arange(flat.size), uuid4().hex
    with hands() as own, TemporaryDirectory(prefix="mmfields-", dir=scratch()) as folder:
        blocks = written_blocks(field, None, cut, form, folder, own)
        while len(who):
            groups = by_home(cut.home(waiting["goal"]))
            work = [(blocks[n][0], cut.regions[n], waiting[chosen], (task, rows, sign)) for n, chosen in groups]
            on = np.zeros(len(who), bool)
            for (_, chosen), (group, found) in zip(groups, own.work(advance_lines, work), strict=True):
                before = waiting["save"][chosen]
                reached = (np.arange(len(rows)) >= before[:, None]) & (np.arange(len(rows)) < group["save"][:, None])
                place = np.argwhere(reached)
                out[who[chosen[place[:, 0]]], place[:, 1]] = found
                waiting[chosen] = group
                on[chosen] = group["save"] < len(rows)
            waiting, who = waiting[on], who[on]
            own.report({"what": "field lines in blocks", "run": run, "share": 1.0 - len(who) / flat.size})
    return out.reshape(*seeds.shape, len(rows))


def advance_lines(block: Any, region: Any, group: np.ndarray, how: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lines through a block: as they are then, and the saved points that they have reached, one line after the other.

    Parameters
    ----------
    block : (path, dtype)
        File of the field.
    region : tuple
        First cell and number of cells (z, y, x).
    group : (n,) array
    how : Task, plan, sign
    """
    from mmfields.kernels.batch import new_batch
    from mmfields.kernels.lines import POINT, Through
    from mmfields.kernels.lines_domain import follow_domain

    (begins, extents), (task, rows, sign) = region, how
    data, lines = as_kernel_takes_it(view(*block)), np.array(group)
    out = np.empty((len(lines), len(rows)), POINT)
    setup = task.setup(data.nbytes, held=True, limited=True, begins=begins[::-1], extents=extents[::-1])
    stoppable(lambda: follow_domain(new_batch(), setup, Through(data), lines, rows, float(sign), out), setup)
    saves = np.arange(len(rows))
    return lines, out[(saves >= group["save"][:, None]) & (saves < lines["save"][:, None])]

"""Particles through a series, window by window: two snapshots are in memory at a time, and each is read once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import numpy as np

from mmfields.cluster.client import memory_of_this_machine, scratch, workers_in_force
from mmfields.cluster.shared import create, view
from mmfields.cluster.stopping import stoppable
from mmfields.conventions import ArgumentError, SnapshotError
from mmfields.kernels.setup import Patches
from mmfields.tracing.blocks import RESULT, Plan, Unread
from mmfields.tracing.evolution import Clock
from mmfields.tracing.hands import Here, hands
from mmfields.tracing.packing import Form, Region, vectors, writes
from mmfields.tracing.rounds import (
    Way,
    from_the_start,
    in_rounds,
    kept_whole,
    new_regions,
    window_of,
    writes_of_mask,
)
from mmfields.tracing.task import Task, as_kernel_takes_it, plan_of, ready

# Particles of a full batch, and groups of them for each thread.
BATCH, GROUPS = 64, 4


@dataclass(frozen=True)
class Evolving:
    """What a run through a series knows beside its task.

    Parameters
    ----------
    clock : Clock
    form : Form
        What becomes of the components.
    ideal : bool
        Whether the second vector is a velocity over that of light.
    plan : Plan, optional
        How the field is divided.
    """

    clock: Clock
    form: Form
    ideal: bool
    plan: Plan | None = None

    @property
    def stride(self) -> int:
        """Numbers of a cell, in both snapshots."""
        return 2 * len(self.form.names)


def particles_at_once(bytes_each: int) -> int:
    """So many of whose trajectories are put together at once; more than of a field at rest, as each reads the series.

    An eighth of the memory of this machine or of a worker.
    """
    limits = [memory for memory, _ in workers_in_force() if memory]
    return max(1, max(RESULT, min(limits, default=memory_of_this_machine()) // 8) // bytes_each)


def run_evolving(
    series: Unread, _: Any, mask: Any, particles: np.ndarray, reference: np.ndarray, *, task: Task, evolving: Evolving
) -> np.ndarray:
    """As `run_task` for several gyroradii, (gyroradius, particle, save), window after window.

    Parameters
    ----------
    series : Unread
        Components over (time, z, y, x).
    mask : (z, y, x) array; Unread in blocks, or None
    particles : (gyroradius, particle) array
    reference : scalar
    task : Task
    evolving : Evolving
    """
    out = np.empty((*particles.shape, len(task.path)), task.saved_type)
    starts = [ready(each, float(reference), task) for each in particles]
    speeds = [1.0 if task.pusher else float(1 / np.hypot(1.0, each["mass"][0])) for each in starts]
    plans = [evolving.clock.windows(task.path, task.start, speed) for speed in speeds]
    run, numbers = uuid4().hex, np.unique(np.concatenate([number for _, number in plans])).tolist()
    with hands(abreast=True) as own, _places(series.arrays[0].shape[1:], mask, evolving, own) as places:
        held: dict[int, int] = {}
        for i, number in enumerate(numbers):
            places.hold(number, held, series, own)
            for g, (each, (ends, windows), speed) in enumerate(zip(starts, plans, speeds, strict=True)):
                if not (windows == number).any():
                    continue
                part = _part(ends, windows, number, task)
                for said in places.lead(each, part, _window(number, evolving, speed), own, out[g]):
                    share = (i + (g + said.pop("share")) / len(starts)) / len(numbers)
                    own.report({"what": "trace in time", "run": run, "windows": i, **said, "share": share})
            own.report({"what": "trace in time", "run": run, "windows": i + 1, "share": (i + 1) / len(numbers)})
    return out


@dataclass(frozen=True)
class Part:
    """What a window is of a run: a task of its own, and the number among saved points of each of its ends, or -1."""

    task: Task
    saves: np.ndarray


def _part(ends: np.ndarray, windows: np.ndarray, number: int, task: Task) -> Part:
    own = np.flatnonzero(windows == number)
    begin = ends[own[0] - 1] if own[0] else task.start
    there = np.searchsorted(task.path, ends)
    saves = np.where(task.path[there] == ends, there, -1)
    return Part(replace(task, start=float(begin), path=ends[own]), saves[own])


def _window(number: int, evolving: Evolving, speed: float) -> dict[str, Any]:
    """Fields of the kernel's window."""
    marks, early = evolving.clock.paths(speed), max(number, 0)
    between = 0 <= number < len(marks) - 1
    return {
        "begin": marks[early] if between else 0.0,
        "inverse": 1 / (marks[early + 1] - marks[early]) if between else 0.0,
        "early": early % 2,
        "stride": evolving.stride,
        "ideal": evolving.ideal,
    }


@dataclass(frozen=True)
class Places:
    """Where two snapshots lie: as a whole, or in blocks.

    Parameters
    ----------
    evolving : Evolving
    regions : list of Region
        Of all numbers of both: a file for each block, or one thing for the whole, which is an array where this process
        is alone.
    plan : Plan, optional
        Of blocks.
    blocks : list
        Files of each block, as `advance` of :mod:`~mmfields.tracing.rounds` takes them.
    mask : array, optional
        Of a field that is held as a whole.
    """

    evolving: Evolving
    regions: list[Region]
    plan: Plan | None
    blocks: list[Any]
    mask: Any

    def hold(self, number: int, held: dict[int, int], series: Unread, own: Any) -> None:
        """Read what a window needs and is not there: snapshots of even and of odd numbers have a place each."""
        form, last = self.evolving.form, series.arrays[0].shape[0] - 1
        cells, files = series.arrays[0].shape[1:], kept_whole(self.regions)
        for snapshot in sorted({max(number, 0), min(number + 1, last)}):
            place, tasks = snapshot % 2, []
            if held.get(place) == snapshot:
                continue
            if last:
                form = replace(form, names=tuple(f"{n} of snapshot {snapshot}" for n in self.evolving.form.names))
            for v, (three, names) in enumerate(vectors([array[snapshot] for array in series.arrays], form)):
                tasks += writes(files, three, cells, names, form.kind, (6 * v + 3 * place, self.evolving.stride))
            own.compute(tasks)
            held[place] = snapshot

    def lead(
        self, particles: np.ndarray, part: Part, window: dict[str, Any], own: Any, out: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        """All particles of a gyroradius through a window; they and their saved points are changed.

        In blocks it says after each round how far it is.
        """
        if self.plan is None:
            where = (self.regions[0][0], np.dtype(self.evolving.form.kind)), window, self.mask
            _through(particles, part, where, own, out)
            return
        way = Way(from_the_start(part.task), np.append(-1, part.saves), window)
        yield from in_rounds(particles, (self.blocks, self.plan), way, own, out)


@contextmanager
def _places(cells: tuple[int, ...], mask: Any, evolving: Evolving, own: Any) -> Iterator[Places]:
    plan, width, kind = evolving.plan, evolving.stride, evolving.form.kind
    size = int(np.prod(cells)) * width + 1
    if plan is None and isinstance(own, Here):
        yield Places(evolving, [(np.zeros(size, kind), (0, 0, 0), cells)], None, [], mask)
        return
    with TemporaryDirectory(prefix="mmfields-", dir=scratch()) as folder:
        if plan is None:
            yield Places(evolving, [(create(size, kind, folder), (0, 0, 0), cells)], None, [], mask)
            return
        regions, (marks, tasks) = new_regions(plan, width, kind, folder), writes_of_mask(mask, plan, folder)
        own.compute(tasks)
        blocks = [((region[0], np.dtype(kind)), None, file) for region, file in zip(regions, marks, strict=True)]
        yield Places(evolving, regions, plan, blocks, None)


def _through(particles: np.ndarray, part: Part, where: tuple[Any, ...], own: Any, out: np.ndarray) -> None:
    """All particles of a gyroradius through a window; they and their saved points are changed."""
    size = BATCH * max(1, -(-len(particles) // (BATCH * GROUPS * own.abreast)))
    spans = [slice(first, first + size) for first in range(0, len(particles), size)]
    work = [(*where, particles[span], part) for span in spans]
    saved = part.saves[part.saves >= 0]
    for span, (group, rows) in zip(spans, own.work(advance, work), strict=True):
        particles[span] = group
        out[span, saved] = rows


def advance(
    field: tuple[Any, Any], window: dict[str, Any], mask: Any, group: np.ndarray, part: Part, function: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Particles through the intervals of a window.

    Parameters
    ----------
    field : (path, dtype)
        A file of numbers, which is mapped where the work is done; or an array of this process in the path's place.
    window : dict
        Fields of a `WINDOW`.
    mask : array
    group : (n,) array
    part : Part
    function : Function, optional
        Of a user.

    Returns
    -------
    (n,) array
        Particles as they are then.
    (n, s) array
        Saved points.
    """
    from mmfields.kernels.batch import new_batch
    from mmfields.kernels.evolving import Pair, trace_evolving

    task, own = part.task, np.array(group)
    data = as_kernel_takes_it(view(*field))
    sorted_ = not (task.even or task.fraction > 0)
    order = np.argsort(own["longest"], kind="stable") if sorted_ else np.arange(len(own))
    plan = plan_of(task, own)
    plan["save"] = np.where(part.saves < 0, -1, np.cumsum(part.saves >= 0) - 1)
    kept = int((part.saves >= 0).sum())
    out = task.room(len(own), kept)
    marks = as_kernel_takes_it(mask) if task.patches == Patches.MASK else None
    fields = Pair(data, np.zeros(1) if task.pusher else None, marks, function and function.for_kernels())
    here, setup = window_of(window), task.setup(data.nbytes)

    def run() -> None:
        with raised_here(function, here):
            trace_evolving(new_batch(), setup, here, fields, own, order, plan, out)

    stoppable(run, setup)
    return own, task.together(out)


@contextmanager
def raised_here(function: Any, window: np.ndarray) -> Iterator[None]:
    """Refuse what a user's function raises, and values of it that are not finite.

    Raises
    ------
    ArgumentError, SnapshotError
        If there is any such.
    """
    try:
        yield
    except Exception as error:
        if function is None:
            raise
        raise ArgumentError(f"{function.name} has raised {type(error).__name__}: {error}") from error
    if window["odd"][0]:
        x, y, z, time = window["where"][0].tolist()
        raise SnapshotError(
            f"{function.name} is not finite at x={x:g}, y={y:g}, z={z:g}, time {time:g}: let it give numbers wherever "
            "it is evaluated"
        )


@dataclass(frozen=True)
class Moving:
    """What a run through waves, or through a function, knows of time beside its task.

    Parameters
    ----------
    start : float
        Time at which the path is 0, as path of light.
    still : bool
        Whether the field stands as it is at time 0.
    own : Function, optional
        Of a user, to which waves are added, if there are any.
    """

    start: float
    still: bool
    own: Any = None

    @property
    def label(self) -> str:
        """How the field changes."""
        return "waves of given frequencies" if self.own is None else "a function of time"

    @property
    def electric(self) -> str:
        """Which electric field acts, where one does."""
        return "ideal" if self.own is None else "given by the function"


def run_waves(
    rows: np.ndarray, _: Any, mask: Any, particles: np.ndarray, reference: Any, *, task: Task, moving: Moving
) -> np.ndarray:
    """As `run_task`, through waves that move, or stand with all that flows in them, or through a function."""
    own = ready(particles[0], float(reference), task)
    speed = 1.0 if task.pusher else float(1 / np.hypot(1.0, own["mass"][0]))
    window = {
        "begin": -moving.start * speed,
        "inverse": 0.0 if moving.still else 1 / speed,
        "ideal": moving.own is None,
    }
    whole = Part(task, np.arange(len(task.path)))
    return advance((np.asarray(rows), None), window, mask, own, whole, moving.own)[1][None]

"""From a field and particles to a Dask array of saved points: one task per block of particles and gyroradius."""

from functools import partial
from typing import Any

import numpy as np

from mmfields._compat import with_tasks
from mmfields.cluster.stopping import hear_interrupts
from mmfields.tracing import evolving
from mmfields.tracing.blocks import particles_at_once
from mmfields.tracing.centres import run_centres
from mmfields.tracing.ensemble import Ensemble, start_of
from mmfields.tracing.fields import Source
from mmfields.tracing.rounds import run_in_blocks
from mmfields.tracing.task import Task, run_task

# Particles of a full batch, the largest default number of tasks, and the bytes per piece of an array in the graph.
BATCH, MOST_TASKS, PIECE = 128, 1000, 2**21
# Handling a task costs some ten milliseconds, which is negligible against WORTH steps.  Tasks are shorter where there
# would be fewer than SHARED_OUT of them, so that many workers find work, but fewer than LEAST steps do not pay.
WORTH, SHARED_OUT, LEAST = 10**7, 64, 2_500_000
# Limit in bytes on the saved points of a task that has more than one batch.
SAVED = 2**26


def saved_points(source: Source, ensemble: Ensemble, longest: np.ndarray, task: Task, per_task: int | None) -> Any:
    """Saved points as a Dask array (gyroradius, particle, path) of :attr:`Task.saved_type`.

    Parameters
    ----------
    source : Source
    ensemble : Ensemble
    longest : (g, p) array
        Longest step of each particle.
    task : Task
    per_task : int, optional
        Particles of one task.
    """
    import dask.array as da

    hear_interrupts()
    run, in_sequence = _run_of(source, task), source.plan is not None or source.evolving is not None
    abreast = len(longest) if in_sequence else 1
    if per_task is None:
        bytes_each = task.saved_type.itemsize * len(longest) * len(task.path)
        many = evolving.particles_at_once if source.evolving else particles_at_once
        steps = float(task.intervals.sum() / np.median(longest)) if longest.size else 0.0
        per_task = many(bytes_each) if in_sequence else _per_task(ensemble.radii.size, steps, bytes_each)
    return da.blockwise(
        *(run, "gps", source.data, None, source.electric, None, source.mask, None),
        *(apart(_particles(start_of(ensemble, longest), (abreast, per_task))), "gp"),
        *(da.asarray(1.0 if ensemble.reference.ndim else ensemble.reference.data), ""),
        task=task,
        new_axes={"s": len(task.path)},
        dtype=task.saved_type,
        meta=np.empty((0, 0, 0), task.saved_type),
    )


def _run_of(source: Source, task: Task) -> Any:
    if task.centres is not None:
        return run_centres
    if source.evolving is not None:
        return partial(evolving.run_evolving, evolving=source.evolving)
    if source.moving is not None:
        return partial(evolving.run_waves, moving=source.moving)
    return run_task if source.plan is None else partial(run_in_blocks, divided=source.plan)


def field_of(rows: Any, name: str, dtype: Any, *, single: bool) -> Any:
    """One field of saved points; for a `single` gyroradius, without the axis of gyroradii."""
    own, axes = partial(_own_field, name=name, dtype=dtype, single=single), (0,) * (3 - single)
    return rows.map_blocks(own, drop_axis=[0] if single else [], dtype=dtype, meta=np.empty(axes, dtype))


def _own_field(block: np.ndarray, *, name: str, dtype: Any, single: bool) -> np.ndarray:
    return np.array(block[name][0] if single else block[name], dtype, order="C")


def _per_task(particles: int, steps: float, bytes_each: int) -> int:
    """Particles per task, a multiple of BATCH: it bounds the number and size of tasks, and makes each pay off."""
    batches = -(-particles // BATCH)
    worth, least = (int(work / (BATCH * max(steps, 1.0))) + 1 for work in (WORTH, LEAST))
    wanted = max(min(worth, batches // SHARED_OUT), min(least, batches))
    held = max(1, int(SAVED / (BATCH * max(bytes_each, 1))))
    return BATCH * max(1, -(-batches // MOST_TASKS), min(wanted, held))


def _particles(fields: dict[str, Any], chunks: tuple[int, int]) -> Any:
    """Particles as a Dask array in these chunks; those in memory go into the graph in pieces."""
    import dask.array as da

    names, parts = list(fields), list(fields.values())
    if any(hasattr(part, "dask") for part in parts):
        parts = [da.asarray(part).rechunk(chunks) for part in parts]
        return da.map_blocks(_joined, *parts, names=names, dtype=_joined(names=[]).dtype, meta=_joined(names=[]))
    joined = _joined(*parts, names=names)
    return da.from_array(joined, chunks=(1, min(chunks[1], PIECE // joined.dtype.itemsize))).rechunk(chunks)


def _joined(*parts: np.ndarray, names: list[str]) -> np.ndarray:
    """One structured array with these arrays as its fields."""
    from mmfields.kernels.batch import PARTICLE

    out = np.zeros(parts[0].shape if parts else (0, 0), PARTICLE)
    for name, part in zip(names, parts, strict=True):
        out[name] = part
    return out


def apart(array: Any) -> Any:
    """The same array, with a task of its own for each block.

    A cluster spreads these tasks over all its workers and runs the tasks that need a block where the block is; tasks
    that depend on the field alone would all go to the worker that holds it.
    """
    return with_tasks(array, "apart", np.copy)

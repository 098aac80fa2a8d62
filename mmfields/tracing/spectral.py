"""Tracing through the Fourier series of a periodic box: the kernel's steps, the field from finufft."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mmfields.conventions import SnapshotError
from mmfields.kernels.setup import Wall

# The interpolation that the kernels do not know, and its accuracy.
SPECTRAL, ACCURACY = "spectral", 1e-13


def sampler(modes: np.ndarray, low: np.ndarray, high: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function from positions (x, y, z; n) to values (3, n) of the real field that has these modes.

    A Nyquist mode counts half with either sign: the series passes through the cells and is real.

    Parameters
    ----------
    modes : (3, z, y, x) complex array
        Fourier coefficients of cell-centred values, in the order of the transform.
    low, high : (3,) float arrays
        Faces of the box in x, y, z order.

    Raises
    ------
    SnapshotError
        If finufft is not installed.
    """
    try:
        import finufft
    except ImportError as error:
        raise SnapshotError(
            "interpolation='spectral' needs finufft: pip install 'mmfields[nufft]', or use 'cubic'"
        ) from error
    shape = modes.shape[1:]
    plan = finufft.Plan(2, shape, n_trans=3, eps=ACCURACY, isign=1, modeord=1, nthreads=1)
    cells = np.array(shape[::-1])

    def values(position: np.ndarray) -> np.ndarray:
        turns = ((position - low[:, None]) / (high - low)[:, None] * cells[:, None] - 0.5) / cells[:, None]
        x, y, z = 2 * np.pi * (turns - np.floor(turns))
        plan.setpts(z, y, x)
        return plan.execute(modes).real

    return values


def trace_spectral(
    fields: tuple[Any, Any], task: Any, setup: Any, mask: Any, particles: np.ndarray, order: np.ndarray, out: Any
) -> None:
    """As the entries of :mod:`mmfields.kernels.trace`, all batches abreast.

    Parameters
    ----------
    fields : (3, z, y, x) complex arrays
        Modes of the magnetic field, and of the electric field or None.
    task : Task
    setup : SETUP array
    mask : (z, y, x) uint8 array, optional
    particles, order, out
        As of those.
    """
    from mmfields.kernels import trace as kernels
    from mmfields.kernels.batch import BATCH, LANES

    box, driven = task.geometry, np.zeros(1) if task.pusher else None
    magnetic, electric = (f if f is None else sampler(f, np.array(box.low), np.array(box.high)) for f in fields)
    batches = np.zeros(-(-len(order) // LANES), BATCH)
    kernels.load_batches(batches, particles, order)
    for save, interval in enumerate(task.intervals.tolist()):
        _look(batches, magnetic, None)
        moving = kernels.begin_interval(batches, setup, interval)
        while moving and not setup["stop"].any():
            kernels.begin_steps(batches, setup)
            _look(batches, magnetic, electric)
            kernels.end_steps(batches, setup, mask, driven)
            moving = kernels.next_step(batches, setup)
        if Wall.OPEN in box.walls:
            kernels.arrive_all(batches, task.path[save])
        _look(batches, magnetic, electric)
        kernels.save_batches(batches, order, save, out)


def _look(batches: np.ndarray, magnetic: Callable, electric: Callable | None) -> None:
    """Fields at the positions of all batches."""
    position = np.moveaxis(batches["position"], 1, 0).reshape(3, -1)
    for values, names in ((magnetic, ("bx", "by", "bz")), (electric, ("ex", "ey", "ez"))):
        if values is not None:
            for name, found in zip(names, values(position), strict=True):
                batches[name] = found.reshape(batches[name].shape)

"""Tracing through the Fourier series of a periodic box: the kernel's steps, the field from finufft."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmfields.conventions import SnapshotError

ACCURACY = 1e-13


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
    modes: np.ndarray,
    electric_modes: np.ndarray | None,
    geometry: tuple[Any, ...],
    scatter: Any,
    pusher: int,
    start: np.ndarray,
    keys: np.ndarray,
    taken: np.ndarray,
    intervals: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    fraction: float,
    rows: int,
) -> np.ndarray:
    """As the kernel `trace_block`, all batches abreast; parameters as there."""
    from mmfields.kernels import trace as kernel
    from mmfields.kernels.interpolate import LANES, LINEAR, Grid

    shape, low, high, walls = geometry
    data = np.zeros(1)
    data.flags.writeable = False
    grid = Grid(data, shape, low, high, walls, LINEAR)
    electric = kernel.Electric(data, pusher)
    batches = [kernel.new_batch() for _ in range(-(-len(start) // LANES))]
    for i, (batch, extra) in enumerate(batches):
        kernel.load(batch, extra, start, keys, taken, i * LANES)
    magnetic = sampler(modes, low, high)
    push = sampler(electric_modes, low, high) if electric_modes is not None else None
    out = np.empty((len(intervals), rows, len(start)))

    def steps(held: bool) -> None:
        for batch, extra in batches:
            kernel.before(electric, batch, extra, held)
        _look(batches, magnetic, push)
        for batch, extra in batches:
            kernel.after(grid, scatter, electric, batch, extra, held)

    for save, interval in enumerate(intervals.tolist()):
        if fraction > 0:
            left = [np.full(LANES, interval) for _ in batches]
            _look(batches, magnetic, None)
            pairs = list(zip(batches, left, strict=True))
            while any([kernel.set_local(*both, fraction, pusher > 0, rest) for both, rest in pairs]):
                steps(True)
        elif not counts.size:
            due = [np.zeros(LANES, np.int64) for _ in batches]
            for both, own in zip(batches, due, strict=True):
                kernel.set_own(*both, interval, own)
            while any([kernel.least(*both, own) for both, own in zip(batches, due, strict=True)]):
                steps(True)
                for own in due:
                    own -= 1
        elif counts[save] > 0:
            for batch, extra in batches:
                kernel.set_fixed(batch.half, extra.reach, batch.turn, extra.ledger, interval / int(counts[save]))
            for _ in range(int(counts[save])):
                steps(False)
        _look(batches, magnetic, push)
        for i, both in enumerate(batches):
            kernel.record(*both, i * LANES, save, out)
    return out.transpose(1, 2, 0)


def _look(batches: Sequence[Any], magnetic: Callable, electric: Callable | None) -> None:
    """Fields at the positions of all batches."""
    position = np.stack([np.concatenate([getattr(b, d) for b, _ in batches]) for d in "xyz"])
    for values, targets in (
        (magnetic, [(b.bx, b.by, b.bz) for b, _ in batches]),
        (electric, [(e.ex, e.ey, e.ez) for _, e in batches]),
    ):
        if values is None:
            continue
        found = values(position)
        for i, components in enumerate(targets):
            for c, target in enumerate(components):
                target[:] = found[c, i * len(target) : (i + 1) * len(target)]

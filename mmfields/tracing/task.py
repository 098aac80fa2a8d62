"""One block of particles through one field, by the kernel."""

from typing import Any

import numpy as np

from mmfields.cluster.shared import Mapped
from mmfields.conventions import SnapshotError
from mmfields.scattering import Scattering
from mmfields.tracing.source import WALLS, WAVES
from mmfields.tracing.spectral import trace_spectral

NO_OCTAVES = np.zeros(1, np.int64), np.zeros(0), np.zeros(0)
# Cells from the origin beyond which float64 does not place a particle within its cell.
FARTHEST = 2.0**40
# Shortest waves from the origin, of which float64 leaves a place to a hundredth.
FARTHEST_OF_WAVES = 2.0**46


def run_task(
    field: Any,
    electric: Any,
    mask: np.ndarray,
    start: np.ndarray,
    keys: np.ndarray,
    taken: np.ndarray,
    reference: np.ndarray,
    intervals: np.ndarray,
    ends: np.ndarray,
    *,
    geometry: tuple[Any, ...],
    kind: int | str,
    fraction: float,
    even: bool,
    scattering: Scattering | None,
    pusher: int,
    rows: int,
) -> np.ndarray:
    """NumPy adaptor of the kernel for one block: (row, 1, particle, save)."""
    from mmfields.kernels.interpolate import Grid
    from mmfields.kernels.trace import LONGEST, START, Electric, trace_block
    from mmfields.kernels.waves import Octaves

    start = with_rigidity(start[0], reference)
    check_start(start, taken[0], geometry, kind, intervals, pusher > 0, fraction > 0)
    longest = start[:, len(START) + LONGEST]
    # those that make about as many steps go side by side
    order = np.arange(len(start)) if even or fraction > 0 else np.argsort(longest, kind="stable")
    counts = steps_in(intervals, longest[0]) if even else np.zeros(0, np.int64)
    particles = (np.ascontiguousarray(a[order]) for a in (start, keys[0], taken[0]))
    numbers = *particles, np.ascontiguousarray(intervals), np.ascontiguousarray(ends), counts, fraction, rows
    scatter = scatter_of(scattering, mask)
    if isinstance(kind, str):
        electric = electric if pusher else None
        found = trace_spectral(field, electric, geometry, scatter, pusher, *numbers)
    else:
        field, *octaves = field if kind >= WAVES else (field, *NO_OCTAVES)
        data = as_kernel_takes_it(field)
        other = as_kernel_takes_it(electric if pusher else np.zeros(1, data.dtype))
        parts = Grid(data, *geometry, kind), scatter, Electric(other, pusher)
        found = trace_block(*parts, Octaves(*map(as_kernel_takes_it, octaves)), *numbers)
    return finite(found[:, np.argsort(order)])[:, None]


def steps_in(intervals: np.ndarray, longest: Any) -> np.ndarray:
    """Number of steps of each interval, none longer than `longest`."""
    return np.ceil(intervals / longest * (1 - 1e-12)).astype(np.int64)


def with_rigidity(start: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Start of the kernel, in which gyroradii with the sign of the charge become rigidities."""
    from mmfields.kernels.trace import RIGIDITY, START

    start = np.array(start)
    column = start[:, len(START) + RIGIDITY]
    column *= float(reference)
    if (bad := ~np.isfinite(column) | (column == 0)).any():
        raise SnapshotError(
            f"gyroradius times reference field is {column[bad][0]}: give particles a positive reference_field"
        )
    return start


def check_start(
    start: np.ndarray,
    taken: np.ndarray,
    geometry: tuple[Any, ...],
    kind: int | str,
    intervals: np.ndarray,
    light: bool,
    local: bool,
) -> None:
    """Refuse starts that are not finite, outside walls, or too far for the cells to be told apart."""
    from mmfields.kernels.trace import LONGEST, MASS, START

    shape, low, high, walls = geometry
    first, ledger = start[:, : len(START)], start[:, len(START) :]
    if not np.isfinite(first).all():
        bad = int(np.argwhere(~np.isfinite(first))[0, 0])
        raise SnapshotError(f"particle {bad} of a block starts at {first[bad].tolist()}: finite numbers are needed")
    lengths = np.sqrt((start[:, 3:6] ** 2).sum(axis=1))
    if (np.abs(lengths - 1) > 1e-6).any():
        bad = int(np.argmax(np.abs(lengths - 1)))
        raise SnapshotError(
            f"particle {bad} of a block has a direction of length {lengths[bad]:g}: unit vectors are needed, divide "
            "vx, vy, vz by it"
        )
    position, walled = start[:, :3], walls > 0
    outside = ((position < low) | (position > high))[:, walled].any(axis=1) & (taken >= 0)
    if outside.any():
        place = position[outside][0].tolist()
        raise SnapshotError(f"a particle starts at {place}, outside the walls of a box from {low} to {high}")
    farthest = FARTHEST if isinstance(kind, str) or kind < WAVES else FARTHEST_OF_WAVES
    cells, reached = (high - low) / shape[::-1], np.abs(position).max(axis=0) + intervals.sum()
    if (reached > farthest * cells).any():
        raise SnapshotError(
            f"positions and paths of up to {reached.max():.3g} are beyond what can be told apart in cells of "
            f"{cells.tolist()}: are they in the field's length unit?"
        )
    if local or not (walls == WALLS.index("reflecting")).any():
        return
    counts = np.maximum(steps_in(intervals, ledger[:, LONGEST, None]), 1)
    speed = 1 / np.hypot(1.0, ledger[:, MASS, None]) if light else 1.0
    longest = float((intervals / counts * speed).max(initial=0.0))
    if (longest > (high - low)[walled]).any():
        raise SnapshotError(f"steps of {longest:g} are longer than the box between its walls: make them shorter")


def finite(rows: np.ndarray) -> np.ndarray:
    """Rows of a result, all of whose orbits are to be finite."""
    if not np.isfinite(rows[:6]).all():
        raise SnapshotError(
            "an orbit is not finite, or has steps without end: gyroradius, reference field, or light speed is out of "
            "all proportion to the field; mm.mean_field gives its strength"
        )
    return rows


def as_kernel_takes_it(field: Any) -> np.ndarray:
    """A flat array that is not to be written: one compiled kernel, whether or not the scheduler has copied it."""
    array = field.array if isinstance(field, Mapped) else field
    array.flags.writeable = False
    return array


def scatter_of(scattering: Scattering | None, mask: np.ndarray) -> Any:
    """Scattering as the kernel takes it."""
    from mmfields.kernels.scatter import MASK, NONE, THRESHOLD, UNIFORM
    from mmfields.kernels.trace import Scatter

    mask = as_kernel_takes_it(mask)
    if scattering is None:
        return Scatter(NONE, 0.0, 0.0, 0.0, mask)
    patches = MASK if scattering.mask is not None else UNIFORM if scattering.threshold is None else THRESHOLD
    return Scatter(patches, scattering.rate, scattering.outside, float(scattering.threshold or 0.0), mask)

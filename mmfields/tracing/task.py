"""One block of particles through one field, by the kernel."""

from typing import Any

import numpy as np

from mmfields.conventions import SnapshotError
from mmfields.io._shared import Mapped
from mmfields.scattering import Scattering
from mmfields.tracing.spectral import trace_spectral


def run_task(
    field: Any,
    electric: Any,
    mask: np.ndarray,
    start: np.ndarray,
    keys: np.ndarray,
    taken: np.ndarray,
    radius: np.ndarray,
    mass: np.ndarray,
    reference: np.ndarray,
    intervals: np.ndarray,
    counts: np.ndarray,
    *,
    geometry: tuple[Any, ...],
    kind: int | str,
    pace: tuple[float, float],
    scattering: Scattering | None,
    pusher: int,
    rows: int,
) -> np.ndarray:
    """NumPy adaptor of the kernel for one block: (row, 1, particle, save)."""
    from mmfields.kernels.interpolate import Grid
    from mmfields.kernels.trace import Electric, trace_block

    rigidity = float(radius[0]) * float(reference)
    if not (np.isfinite(rigidity) and rigidity != 0):
        raise SnapshotError(
            f"gyroradius times reference field is {rigidity}: give particles a positive reference_field"
        )
    numbers = (
        np.ascontiguousarray(start[0]),
        np.ascontiguousarray(keys[0]),
        np.ascontiguousarray(taken[0]),
        rigidity,
        np.ascontiguousarray(intervals),
        np.ascontiguousarray(counts[0]),
        *pace,
        rows,
    )
    scatter, mass = _scatter(scattering, mask), float(mass[0])
    if isinstance(kind, str):
        electric = electric if pusher else None
        return trace_spectral(field, electric, geometry, scatter, pusher, mass, *numbers)[:, None]
    data = _as_kernel_takes_it(field)
    other = _as_kernel_takes_it(electric if pusher else np.zeros(1, data.dtype))
    return trace_block(Grid(data, *geometry, kind), scatter, Electric(other, pusher, mass), *numbers)[:, None]


def _as_kernel_takes_it(field: Any) -> np.ndarray:
    """A flat array that is not to be written: one compiled kernel, whether or not the scheduler has copied it."""
    array = field.array if isinstance(field, Mapped) else field
    array.flags.writeable = False
    return array


def _scatter(scattering: Scattering | None, mask: np.ndarray) -> Any:
    from mmfields.kernels.scatter import MASK, NONE, THRESHOLD, UNIFORM
    from mmfields.kernels.trace import Scatter

    if scattering is None:
        return Scatter(NONE, 0.0, 0.0, 0.0, mask)
    patches = MASK if scattering.mask is not None else UNIFORM if scattering.threshold is None else THRESHOLD
    return Scatter(patches, scattering.rate, scattering.outside, float(scattering.threshold or 0.0), mask)

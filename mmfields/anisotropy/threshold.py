"""How the filling fraction falls with the threshold."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields.anisotropy.criteria import KINDS, criterion
from mmfields.conventions import (
    ArgumentError,
    aligned,
    per_snapshot,
    require_values,
    require_whole,
    spatial_dims,
    unit_attrs,
)
from mmfields.provenance import verb


@verb
def threshold_curve(
    ds: xr.Dataset,
    kind: Literal["mirror", "field", "fluctuation"] = "field",
    *,
    thresholds: int | Sequence[float] = 201,
    smoothing: float | None = None,
    direction: str | Sequence[float] | None = None,
) -> xr.Dataset:
    """Filling fraction f_mm against the threshold (Sec. 3.10): the fraction of cells at or above it.

    Parameters
    ----------
    ds, kind, smoothing, direction
        As :func:`patches`.
    thresholds : int or ascending values
        A number asks for so many, evenly from 0 (or the smallest value, where that is negative) to the largest.

    Returns
    -------
    xarray.Dataset
        ``threshold`` and ``filling_fraction`` over ``point``; lazy where the snapshot is.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`patches`, or if the thresholds are not ascending.
    """
    score, _ = criterion(ds, kind, threshold=0.0, smoothing=smoothing, direction=direction)
    points = require_whole(thresholds, "thresholds", 2) if isinstance(thresholds, int | np.integer) else 0
    given = None if points else require_values(thresholds, "thresholds")
    if given is not None and (np.diff(given) <= 0).any():
        raise ArgumentError("thresholds: ascending values are needed")
    dims = spatial_dims(ds)
    lead, (array,), _ = aligned([score], [], dims)
    both, unit = per_snapshot(lambda one: _curve(one, given, points), [array], len(lead)), unit_attrs(score)
    return xr.Dataset(
        {
            "threshold": ([*lead, "point"], both[..., 0, :], {"long_name": KINDS[kind], **unit}),
            "filling_fraction": (
                [*lead, "point"],
                both[..., 1, :],
                {"long_name": "filling fraction f_mm", "units": "1"},
            ),
        },
        {d: ds[d] for d in lead if d in ds.coords},
    )


def _curve(array: Any, given: np.ndarray | None, number: int) -> Any:
    """Thresholds and the fractions at or above them, (2, points)."""
    if not hasattr(array, "dask"):
        limits = _limits([_extent(array)], number) if given is None else given
        return _fractions([_at_least(array, limits)], limits, array.size)
    import dask
    import dask.array as da

    call, blocks = dask.delayed(pure=True), list(array.to_delayed().ravel())
    limits = call(_limits)([call(_extent)(b) for b in blocks], number) if given is None else given
    both = call(_fractions)([call(_at_least)(b, limits) for b in blocks], limits, array.size)
    points = number if given is None else len(given)
    return da.from_delayed(both, (2, points), np.float64, meta=np.empty((0, 0)))


def _extent(block: np.ndarray) -> tuple[float, float]:
    good = block[np.isfinite(block)]
    return (float(good.min()), float(good.max())) if good.size else (np.inf, -np.inf)


def _limits(extents: list[tuple[float, float]], number: int) -> np.ndarray:
    low, high = min(e[0] for e in extents), max(e[1] for e in extents)
    return np.linspace(min(low, 0.0), high, number)


def _at_least(block: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """How many cells are at or above each limit."""
    kind = np.result_type(block.dtype, np.float32)  # the dtype in which the masks of the patches compare
    passed = np.searchsorted(limits.astype(kind), block[~np.isnan(block)].astype(kind), side="right")
    return np.cumsum(np.bincount(passed, minlength=len(limits) + 1)[::-1])[::-1][1:]


def _fractions(counts: list[np.ndarray], limits: np.ndarray, total: int) -> np.ndarray:
    return np.stack([limits, sum(counts) / total])

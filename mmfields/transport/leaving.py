"""How particles leave an open box: what it can answer, where those that stay are a biased sample."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError
from mmfields.provenance import verb
from mmfields.transport.reading import light


@verb
def escape(trajectories: xr.Dataset) -> xr.Dataset:
    """Escape times, in path lengths, and their distribution.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace`` through a field with an open face; lazy where it is.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,): ``left`` (over ``particle`` too), the path at which each particle left, NaN where it has
        not by the end; ``survival`` over ``path``, the share that is still in the box, with its binomial error;
        ``mean`` path to escape, where all have left, and ``median``, where half of them have, with errors;
        ``left_fraction`` and ``count``, the number of particles.  Paths count from the original start, and are
        light's, so times, where those of the trajectories are.

    Raises
    ------
    SnapshotError
        If no particle can leave, or these are no trajectories.
    """
    if not isinstance(trajectories, xr.Dataset) or "left" not in trajectories or "path" not in trajectories.coords:
        raise SnapshotError(
            "trajectories of mm.trace through a field with an open face are needed, which hold 'left' and 'path'"
        )
    left, path = trajectories["left"], trajectories["path"]
    last = float(path[-1])
    left = left.where(left <= last)  # of a run that was cut
    n = left.sizes["particle"]
    gone = left.fillna(np.inf)
    survival = (gone > path).mean("particle")
    share = left.notnull().mean("particle")
    core: dict[str, Any] = {
        "input_core_dims": [["particle"]],
        "output_core_dims": [[]] * 4,
        "output_dtypes": [float] * 4,
    }
    options = {"dask": "parallelized", "dask_gufunc_kwargs": {"allow_rechunk": True}}
    found = xr.apply_ufunc(_middle, gone, **core, **options)
    length = {k: v for k, v in path.attrs.items() if k != "long_name"}
    result = xr.Dataset(
        {
            "left": left,
            "survival": survival.assign_attrs(units="1", long_name="share of the particles still in the box"),
            "survival_error": ((survival * (1 - survival) / n) ** 0.5).assign_attrs(
                units="1", long_name="standard error of survival"
            ),
            "left_fraction": share.assign_attrs(units="1", long_name="share of the particles that had left by the end"),
            "count": ((), n, {"units": "1", "long_name": "particles"}),
        }
    )
    said = ("mean path to escape", "median path to escape")
    for i, name in enumerate(("mean", "median")):
        result[name] = found[2 * i].assign_attrs(length, long_name=said[i])
        result[f"{name}_error"] = found[2 * i + 1].assign_attrs(length, long_name=f"standard error of {name}")
    return result.assign_attrs(path_kind="light" if light(trajectories) else "particle")


def _middle(left: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean and median over the last axis, with errors; NaN where infinite ones leave them open."""
    ordered, n = np.sort(left, axis=-1), left.shape[-1]
    with np.errstate(invalid="ignore"):
        mean = ordered.mean(axis=-1)
        error = ordered.std(axis=-1, ddof=1) / np.sqrt(n) if n > 1 else np.full(mean.shape, np.nan)
        median = np.median(ordered, axis=-1)
        # between the order statistics a standard error of the share on either side
        ranks = np.clip(n / 2 + np.array([-0.5, 0.5]) * np.sqrt(n), 0, n - 1)
        ends = [np.asarray(ordered[..., int(r)]) for r in np.round(ranks)]
        spread = (ends[1] - ends[0]) / 2
    values = mean, error, median, spread
    return tuple(np.where(np.isfinite(v), v, np.nan) for v in values)

"""Where a plasma is beyond a threshold: the strength of a criterion in every cell."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from mmfields.anisotropy.fluctuations import fluctuation
from mmfields.anisotropy.plasma import pressure
from mmfields.conventions import (
    ArgumentError,
    as_real,
    components,
    require_number,
    unit_attrs,
)
from mmfields.fourier import filter as fourier_filter
from mmfields.fourier.levels import finite
from mmfields.fourier.transfer import gaussian

KINDS = {
    "mirror": "mirror margin Delta - 1/beta_perp",
    "field": "field strength |B|",
    "fluctuation": "smoothed |dB_par| / |B|",
}


def criterion(
    ds: xr.Dataset,
    kind: str,
    *,
    threshold: float | None = None,
    quantile: float | None = None,
    filling_fraction: float | None = None,
    smoothing: float | None,
    direction: str | Sequence[float] | None,
) -> tuple[xr.DataArray, tuple[str, float]]:
    """What is compared with the threshold, and how that is given: its value, or the fraction of cells below it."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise ArgumentError(f"kind={kind!r}: one of {', '.join(KINDS)} is needed")
    if kind == "mirror" and threshold is None and quantile is None and filling_fraction is None:
        threshold = 0.0
    given = {"threshold": threshold, "quantile": quantile, "filling_fraction": filling_fraction}
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) != 1:
        raise ArgumentError(f"one of threshold, quantile and filling_fraction is needed, not {list(given) or 'none'}")
    ((name, number),) = given.items()
    level = name, require_number(number, name, *((-np.inf, np.inf) if name == "threshold" else (0.0, 1.0)))
    if smoothing is not None and (kind != "fluctuation" or require_number(smoothing, "smoothing") <= 0):
        raise ArgumentError(f"smoothing={smoothing!r}: a positive length, and kind='fluctuation', are needed")
    if direction is not None and kind != "fluctuation":
        raise ArgumentError("direction is for kind='fluctuation' alone")
    if kind == "mirror":
        margin = pressure(ds)["mirror_margin"]
        return margin.copy(data=finite(margin.data, "the mirror margin", "patches are looked for")), level
    names = components(ds)
    size = strength(ds, names)
    if kind == "field":
        return size, level
    ratio = (abs(fluctuation(ds, direction=direction)) / size).assign_attrs(units="1")
    if smoothing is not None:
        wide = ds[[names[0]]].assign({names[0]: ratio.transpose(*ds[names[0]].dims)})
        ratio = fourier_filter(wide, gaussian(smoothing))[names[0]]
    return ratio, level


def strength(ds: xr.Dataset, names: Sequence[str]) -> xr.DataArray:
    """|B|; components that are not finite are refused."""
    parts = [as_real(ds[n]) for n in names]
    parts = [p.copy(data=finite(p.data, str(p.name), "patches are looked for")) for p in parts]
    kind = np.result_type(*(p.dtype for p in parts))
    kind = kind if kind == np.float32 else np.dtype(np.float64)  # a norm of half floats has more digits than they hold
    result = xr.apply_ufunc(_norm, *parts, kwargs={"kind": kind}, dask="parallelized", output_dtypes=[kind])
    return result.assign_attrs(unit_attrs(ds[names[0]]))


def _norm(*parts: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Square and add in float64, whatever the dtype of the field."""
    return np.sqrt(sum(np.square(p, dtype=np.float64) for p in parts)).astype(kind, copy=False)

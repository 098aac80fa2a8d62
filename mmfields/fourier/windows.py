"""Windows for cutouts that are not periodic."""

from typing import Literal

import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, SnapshotError, as_real, boundaries, mean, same_kind, spatial_dims
from mmfields.fourier.levels import finite
from mmfields.provenance import verb

WINDOWS = ("hann", "tukey")


@verb
@same_kind
def taper(
    ds: xr.Dataset, window: Literal["hann", "tukey"] = "hann", *, alpha: float = 0.25, detrend: str | None = "constant"
) -> xr.Dataset:
    """Make a cutout fit for periodic transforms: detrend it and bring it to zero at its open ends.

    Fluctuations about a level are multiplied by a window along every open axis and the level is put back.  It is the
    mean of what the window takes away, so that the mean of the cutout, and with it the mean field, stays exactly,
    and where the window is 1 the field stays too.  Power spectra divide by the mean square of the window, kept as
    ``attrs["window_power"]``.  A window breaks div B = 0: project afterwards where it matters.

    Parameters
    ----------
    ds : xarray.Dataset or DataArray
        Snapshot, or one field with its boundaries in its attrs, with at least one open axis.
    window : {"hann", "tukey"}
        ``tukey``: flat but for a part `alpha` of each axis.
    alpha : float
        Of ``tukey``, 0 to 1.
    detrend : {"constant", "linear", None}
        ``linear`` takes the best plane along the open axes out too; None takes no level, and tapers the mean as well.

    Returns
    -------
    xarray.Dataset or DataArray
        As `ds` is, tapered, its open axes marked periodic and named in ``attrs["tapered"]``; lazy where `ds` is.

    Raises
    ------
    ArgumentError, SnapshotError
        If no axis is open, the window or the detrending is unknown, or a variable lacks an axis or is not of real
        numbers; and where a field is not finite, when computed if it is lazy.
    """
    if window not in WINDOWS or not 0 <= alpha <= 1:
        raise ArgumentError(f"window={window!r}, alpha={alpha!r}: one of {', '.join(WINDOWS)} with alpha from 0 to 1")
    if detrend not in ("constant", "linear", None):
        raise ArgumentError(f"detrend={detrend!r}: 'constant', 'linear' or None is needed")
    axes = [d for d, kind in boundaries(ds).items() if kind == "open"]
    if not axes:
        raise SnapshotError("every axis is periodic, so there is nothing to taper")
    dims = spatial_dims(ds)
    shape = xr.DataArray(1.0)
    for d in axes:
        shape = shape * xr.DataArray(_window(window, ds.sizes[d], alpha), dims=d)
    out = {}
    for name, field in ds.data_vars.items():
        if not set(dims) & set(field.dims):
            continue
        if not set(dims) <= set(field.dims):
            raise SnapshotError(
                f"{name} over {field.dims} cannot be tapered along {axes}: leave it out with ds.drop_vars"
            )
        field = as_real(field)
        field = field.copy(data=finite(field.data, str(name)))
        trend = _linear_trend(field, axes, dims) if detrend == "linear" else 0.0
        level = _level(field - trend, 1 - shape, dims) if detrend else 0.0
        tapered = (field - trend - level) * shape + level
        out[name] = tapered.astype(field.dtype).transpose(*field.dims).assign_attrs(field.attrs)
    power = float((shape**2).mean())
    marks = {f"boundary_{d}": "periodic" for d in axes}
    done = {"tapered": ", ".join(axes), "window": window, "window_power": power, "detrend": str(detrend)}
    return ds.assign(out).assign_attrs(**marks, **done)


def _window(name: str, n: int, alpha: float) -> np.ndarray:
    """Window at cell centres, zero at the faces of the ends."""
    x = (np.arange(n) + 0.5) / n
    edge = 1.0 if name == "hann" else alpha
    if edge == 0:
        return np.ones(n)
    distance = np.minimum(x, 1 - x) / (edge / 2)
    return np.where(distance < 1, 0.5 * (1 - np.cos(np.pi * np.minimum(distance, 1.0))), 1.0)


def _level(field: xr.DataArray, lost: xr.DataArray, dims: tuple[str, ...]) -> xr.DataArray:
    """Mean of a field weighted by what a window takes away: brought to it at its ends, the field keeps its mean."""
    weight = float(lost.mean())
    return mean(field * lost, dims) / weight if weight > 0 else mean(field, dims)


def _linear_trend(field: xr.DataArray, axes: list[str], dims: tuple[str, ...]) -> xr.DataArray:
    """Best linear trend along each axis; centred axes of a grid are orthogonal."""
    trend = xr.DataArray(0.0)
    for d in axes:
        x = xr.DataArray(np.arange(field.sizes[d]) - (field.sizes[d] - 1) / 2, dims=d)
        trend = trend + mean(field * x, dims) / float((x**2).mean()) * x
    return trend

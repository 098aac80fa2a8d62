"""Scales of a snapshot along and across its mean field."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
    components,
    mean,
    mean_direction,
    require_periodic,
    spacing,
    spatial_dims,
    unit_attrs,
    wavenumber_attrs,
)
from mmfields.fourier.transform import forward, over_leading, waves_of
from mmfields.spectra import area_to_first_zero

SCALES = {
    "l_par": "integral scale of dB_par along the mean field, to the first zero or half the box",
    "l_perp": "integral scale of dB_par across the mean field, to the first zero or half the box",
    "k_par_rms": "rms parallel wavenumber of dB_par",
    "k_perp_rms": "rms perpendicular wavenumber of dB_par",
    "dB_par_rms": "rms fluctuation along the mean field",
    "dB_perp_rms": "rms fluctuation across the mean field, both components",
    "dB_over_B0": "rms fluctuation over mean field strength",
    "aspect_k": "k_perp_rms / k_par_rms",
    "aspect_l": "l_par / l_perp",
    "skewness": "skewness of dB_par",
    "kurtosis": "kurtosis of dB_par, 3 for a Gaussian",
}
LENGTHS = ("l_par", "l_perp")
WAVENUMBERS = ("k_par_rms", "k_perp_rms")
STRENGTHS = ("dB_par_rms", "dB_perp_rms")


def scales(ds: xr.Dataset, *, direction: str | Sequence[float] | None = None) -> xr.Dataset:
    """Length scales, amplitudes and shape of the fluctuations, along and across the mean field.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot with ``Bx By Bz``; lazy where it is.
    direction : str or three numbers, optional
        What parallel means; the mean field by default.

    Returns
    -------
    xarray.Dataset
        Scalars (per ``time`` where there are several): ``l_par``, ``l_perp``, ``k_par_rms``,
        ``k_perp_rms``, ``dB_par_rms``, ``dB_perp_rms``, ``dB_over_B0``, ``aspect_k``, ``aspect_l``,
        ``skewness``, ``kurtosis``.  Wavenumbers and integral scales are those of dB_par; across
        the field they are means over all directions.  The two aspect ratios are not interchangeable.

    Raises
    ------
    SnapshotError
        If an axis is open or not uniform; and without a mean field, when it is computed, where no
        direction is given.
    """
    require_periodic(ds, "a length scale")
    names = list(components(ds))
    dims = spatial_dims(ds)
    widths = spacing(ds)
    values = xr.apply_ufunc(
        _scales,
        *(ds[name] for name in names),
        mean_direction(ds, direction),
        input_core_dims=[list(dims)] * 3 + [["component"]],
        output_core_dims=[["scale"]],
        kwargs={"dims": dims, "widths": tuple(widths[d] for d in dims)},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"scale": len(SCALES)}},
    )
    out = xr.Dataset({name: values.isel(scale=i) for i, name in enumerate(SCALES)})
    for name, meaning in SCALES.items():
        out[name].attrs = {"long_name": meaning, "units": "1"}
        if name in LENGTHS:
            out[name].attrs |= unit_attrs(ds[dims[0]])
        elif name in WAVENUMBERS:
            out[name].attrs |= wavenumber_attrs(ds)
        elif name in STRENGTHS:
            out[name].attrs |= unit_attrs(ds[names[0]])
    return out


def fluctuation(ds: xr.Dataset, *, direction: str | Sequence[float] | None = None) -> xr.DataArray:
    """Fluctuation dB_par = (B - <B>) · b along the mean field, lazily.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot with ``Bx By Bz``.
    direction : str or three numbers, optional
        What parallel means; the mean field by default.

    Returns
    -------
    xarray.DataArray
        ``dB_par`` over the dims of the field, in its unit.

    Raises
    ------
    SnapshotError
        Without a mean field, when it is computed, where no direction is given.
    """
    along = mean_direction(ds, direction)
    dims = spatial_dims(ds)
    parts = [(ds[name] - mean(ds[name], dims)) * along.isel(component=i) for i, name in enumerate(components(ds))]
    kind = ds["Bx"].dtype if ds["Bx"].dtype.kind == "f" else np.float64
    result = sum(parts[1:], parts[0]).astype(kind).rename("dB_par").drop_attrs(deep=False)
    return result.assign_attrs(**unit_attrs(ds["Bx"]), long_name="fluctuation of B along the mean field")


def _scales(*arrays: np.ndarray, dims: tuple[str, ...], widths: tuple[float, ...]) -> np.ndarray:
    """NumPy adaptor over leading dims."""
    *fields, direction = arrays
    lead, fields, along = over_leading(fields, direction, len(dims))
    out = np.empty((*lead, len(SCALES)))
    for index in np.ndindex(*lead):
        out[index] = _scales_of([f[index] for f in fields], along[index], dims, widths)
    return out


def _scales_of(
    field: list[np.ndarray], direction: np.ndarray, dims: tuple[str, ...], widths: tuple[float, ...]
) -> list[float]:
    field = [f.astype(float) for f in field]
    means = np.array([f.mean() for f in field])
    fluctuation = [f - m for f, m in zip(field, means, strict=True)]
    par = sum(f * n for f, n in zip(fluctuation, direction, strict=True))
    par_square = float(np.mean(par**2))
    total = sum(float(np.mean(f**2)) for f in fluctuation)
    strength = float(np.linalg.norm(means))
    spectrum = forward(par, "B")
    power = spectrum.real**2 + spectrum.imag**2
    power[..., 1 : (par.shape[-1] + 1) // 2] *= 2
    power[(0,) * power.ndim] = 0
    k_par, k_perp = waves_of(dims, par.shape, widths).par_perp(direction)
    # a uniform field has no scale; its powers are rounding
    if not par_square > 1e-24 * max(strength**2, np.finfo(float).tiny):
        scale = [np.nan] * 4
        shape = [np.nan] * 2
    else:
        weights = power / power.sum()
        scale = [
            _integral_scale(k_par, weights, np.cos, *_reach(par.shape, widths, dims, direction, along=True)),
            _integral_scale(k_perp, weights, _bessel, *_reach(par.shape, widths, dims, direction, along=False)),
            float(np.sqrt((weights * k_par**2).sum())),
            float(np.sqrt((weights * k_perp**2).sum())),
        ]
        shape = [float(np.mean(par**3)) / par_square**1.5, float(np.mean(par**4)) / par_square**2]
    perp_rms = np.sqrt(max(total - par_square, 0.0))
    ratio = np.sqrt(total) / strength if strength > 0 else np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        aspects = [np.float64(scale[3]) / scale[2], np.float64(scale[0]) / scale[1]]
    return [*scale, np.sqrt(par_square), perp_rms, ratio, *aspects, *shape]


def _bessel(x: np.ndarray) -> np.ndarray:
    from scipy.special import j0

    return j0(x)


def _reach(
    shape: tuple[int, ...], widths: tuple[float, ...], dims: tuple[str, ...], direction: np.ndarray, *, along: bool
) -> tuple[float, float]:
    """Half the box along (or across) the mean field, and its cell: 0 where the box does not extend that way."""
    parts = [abs(direction[SPATIAL.index(d)]) for d in dims]
    parts = parts if along else [float(np.sqrt(max(1.0 - p**2, 0.0))) for p in parts]
    lengths = [n * w / p for n, w, p in zip(shape, widths, parts, strict=True) if p > 1e-3 and n > 1]
    return (min(lengths) / 2 if lengths else 0.0), min(widths)


def _integral_scale(k: np.ndarray, weights: np.ndarray, kernel: Callable, reach: float, cell: float) -> float:
    """Integral of the correlation function sum_k w kernel(k r) from 0 to its first zero, at most to `reach`.

    Wavenumbers are gathered in bins of their own mean, a small part of the smallest step apart, so
    that on a grid axis the sum is exact.
    """
    if reach == 0:
        return np.nan
    place = np.rint(k * (32 * reach / np.pi)).astype(np.int64).ravel()
    flat = weights.ravel()
    mass = np.bincount(place, flat)
    keep = mass > 0
    mean = np.bincount(place, flat * k.ravel())[keep] / mass[keep]
    mass = mass[keep]
    r = np.linspace(0.0, reach, 4 * max(8, round(reach / cell)) + 1)
    correlation = np.array([np.dot(mass, kernel(mean * s)) for s in r])
    return float(area_to_first_zero(correlation, step=float(r[1])))

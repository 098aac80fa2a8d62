"""Correlation functions along an axis, from spectra, and their integral scales."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields._types import Axis
from mmfields.conventions import (
    SnapshotError,
    derived_units,
    mean,
    of_array,
    of_fields,
    require_one_unit,
    require_plain_data,
    spacing,
    spatial_dims,
    unit_attrs,
)
from mmfields.fourier.levels import finite, level_of
from mmfields.fourier.transform import forward_modes
from mmfields.fourier.waves import fast_length
from mmfields.provenance import verb
from mmfields.spectra.bins import fields_of, window_power, with_leading


@renamed(names="variables")
@verb
@of_fields
def correlation(
    ds: xr.Dataset, variables: Sequence[str] = ("Bx", "By", "Bz"), *, axis: Axis, padded: bool = False
) -> xr.DataArray:
    """Correlation function R(r) = <dB(s) · dB(s + r)> along an axis, by FFT.

    Parameters
    ----------
    ds : xarray.Dataset or DataArray
        Snapshot, or one field with its boundaries in its attrs; lazy where it is.
    variables : sequence of str
        Fields whose correlations are added up.
    axis : {"x", "y", "z"}
    padded : bool
        Count only pairs inside the box instead of wrapping around; needed along an open axis.

    Returns
    -------
    xarray.DataArray
        Over the lag ``r``, up to half the box (periodic) or half its cells (padded); R(0) is <|dB|²>.

    Raises
    ------
    ArgumentError, SnapshotError
        If the axis is missing, or not periodic and not padded; when computed, if the field is not finite.
    """
    dims, n = spatial_dims(ds), ds.sizes.get(axis, 0)
    fields_of(ds, variables)
    require_one_unit(ds, variables, "fields", "correlate them one by one")
    if axis not in dims:
        raise SnapshotError(f"axis={axis!r}: one of {dims} is needed")
    if not padded and ds.attrs.get(f"boundary_{axis}") != "periodic":
        kind = ds.attrs.get(f"boundary_{axis}", "not said to be periodic")
        raise SnapshotError(f"axis {axis} is {kind}: give padded=True, which counts pairs inside the box alone")
    lags = n // 2 + 1
    size = fast_length(2 * n) if padded else n
    total = xr.apply_ufunc(
        _from_line_power,
        line_power(ds, variables, axis, size),
        input_core_dims=[["k"]],
        output_core_dims=[["r"]],
        kwargs={"size": size, "pairs": window_power(ds) * ((n - np.arange(lags)) if padded else np.full(lags, n))},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"r": lags}},
    )
    notes = {**ds[axis].attrs, "long_name": f"lag along {axis}"}
    result = total.assign_coords(r=("r", np.arange(lags) * spacing(ds)[axis], notes))
    kind = "padded" if padded else "periodic"
    return result.rename("correlation").assign_attrs(
        derived_units((ds[variables[0]], 2)), long_name=f"correlation of {', '.join(variables)}", kind=kind, axis=axis
    )


@verb
@of_array("R(r) of mm.spectra.correlation")
def integral_scale(correlation: xr.DataArray) -> xr.DataArray:
    """Integral of R(r)/R(0) from 0 to its first zero, or to the last lag where there is none.

    Parameters
    ----------
    correlation : xarray.DataArray
        From :func:`correlation`.

    Returns
    -------
    xarray.DataArray
        In the unit of the lag; lazy where the correlation is.

    Raises
    ------
    ArgumentError, SnapshotError
        If it has no lag ``r``.
    """
    require_plain_data(correlation)
    if "r" not in correlation.dims:
        raise SnapshotError(f"a correlation function over r is needed, this has dims {correlation.dims}")
    if correlation.sizes["r"] < 2:
        raise SnapshotError("a correlation function of one lag has no integral scale: the axis has one cell")
    step = float(correlation["r"][1] - correlation["r"][0])
    result = xr.apply_ufunc(
        area_to_first_zero,
        correlation,
        input_core_dims=[["r"]],
        kwargs={"step": step},
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    return result.rename("integral_scale").assign_attrs(unit_attrs(correlation["r"]), long_name="integral scale")


@verb
def line_power(ds: xr.Dataset, names: Sequence[str], axis: str, size: int | None = None) -> xr.DataArray:
    """|F|^2 of the fluctuations along an axis over ``k``, added over fields and averaged across; padded to `size`."""
    dims, n = spatial_dims(ds), ds.sizes[axis]
    across = [d for d in dims if d != axis]
    total: Any = 0.0
    for field in fields_of(ds, names):
        checked = field.copy(data=finite(field.data, str(field.name)))
        wide = checked.astype(np.float64).transpose(..., *across, axis)
        modes = forward_modes(wide.data, 1, str(field.name), level=level_of(wide.data, len(dims)), size=size)
        modes = xr.DataArray(modes, dims=[*wide.dims[:-1], "k"])
        total = total + xr.apply_ufunc(
            _of_fluctuations,
            mean(modes.real**2 + modes.imag**2, across),
            modes.mean(across, skipna=False),
            input_core_dims=[["k"], ["k"]],
            output_core_dims=[["k"]],
            kwargs={"n": n, "size": size or n},
            dask="parallelized",
            output_dtypes=[np.float64],
        )
    return with_leading(total, fields_of(ds, names))


def _of_fluctuations(power: np.ndarray, mean_mode: np.ndarray, *, n: int, size: int) -> np.ndarray:
    """<|F - D|^2> from <|F|^2> and <F>, D the modes of what the mean of the field is beyond its level."""
    from scipy import fft

    rest = mean_mode[..., :1].real / n * fft.rfft(np.ones(n), size)
    return np.maximum(power - 2 * (mean_mode * rest.conj()).real + np.abs(rest) ** 2, 0.0)


def _from_line_power(power: np.ndarray, *, size: int, pairs: np.ndarray) -> np.ndarray:
    from scipy import fft

    return fft.irfft(power, size, axis=-1)[..., : len(pairs)] / pairs


@verb
def area_to_first_zero(values: np.ndarray, *, step: float) -> float:
    """Integral of an evenly spaced correlation function, relative to its first value, up to its first zero.

    Parameters
    ----------
    values : (n,) array
        From lag 0 on; without a zero the integral runs to the last of them.
    step : float
        Between lags.

    Returns
    -------
    float
        In the unit of the step, NaN where the first value is not positive.
    """
    if not values[0] > 0:
        return np.nan
    below = np.flatnonzero(values <= 0)
    end = below[0] if len(below) else len(values) - 1
    area = np.trapezoid(values[: end + 1]) * step
    if len(below):  # the last piece runs to the zero only
        a, b = values[end - 1], values[end]
        area += step * (a * a / (2 * (a - b)) - (a + b) / 2)
    return area / values[0]

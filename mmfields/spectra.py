"""Spectra of periodic snapshots, in memory or chunk by chunk: shell and annular sums that satisfy Parseval's law."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
    SnapshotError,
    mean,
    mean_direction,
    require_direction,
    require_periodic,
    spacing,
    spatial_dims,
    wavenumber_attrs,
)
from mmfields.fourier.transform import fast_length, forward_modes, wavenumbers, waves_of

NORMALIZATION = "sum of E times bin widths is <|dB|^2>/2 over the given fields, k = 0 left out"
CROSS_NORMALIZATION = "sum of C times bin widths is <da db>/2, k = 0 left out"


def power(ds: xr.Dataset, names: Sequence[str] = ("Bx", "By", "Bz")) -> xr.DataArray:
    """Shell-summed power spectrum E(k).

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic (or tapered) snapshot; lazy and of any size where it is chunked.
    names : sequence of str
        Fields whose power is added up.

    Returns
    -------
    xarray.DataArray
        Over ``k`` [rad per length unit], with coordinates ``k_width`` and ``modes`` (modes per
        shell); ``(E * E.k_width).sum()`` is <|dB|^2>/2.

    Raises
    ------
    SnapshotError
        If an axis is open or not uniform, or a field is missing; when computed, if it is not finite.
    """
    bins = _Bins(ds)
    fields = _fields(ds, names)
    sums = _binned([(f, f) for f in fields], bins, None)
    return bins.shells(sums / bins.width).rename("power").assign_attrs(_attrs(ds, names))


def power2d(
    ds: xr.Dataset, names: Sequence[str] = ("Bx", "By", "Bz"), *, direction: str | Sequence[float] | None = None
) -> xr.DataArray:
    """Annular-summed power spectrum E(k_perp, k_par).

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic (or tapered) snapshot; lazy and of any size where it is chunked.
    names : sequence of str
        Fields whose power is added up.
    direction : str or three numbers, optional
        What parallel means; the mean field by default.

    Returns
    -------
    xarray.DataArray
        Over ``k_perp`` and ``k_par`` >= 0 (both signs summed) [rad per length unit], with coordinates
        ``k_perp_width``, ``k_par_width`` and ``modes`` (per bin; those of a Nyquist wavenumber are shared
        between the bins of its two signs); ``(E * E.k_perp_width * E.k_par_width).sum()`` is <|dB|^2>/2.

    Raises
    ------
    SnapshotError
        As :func:`power`; and without a mean field, when it is computed, where no direction is given.
    """
    bins = _Bins(ds)
    fields = _fields(ds, names)
    along = mean_direction(ds, direction)
    sums = _binned([(f, f) for f in fields], bins, along)
    widths = np.full(bins.size, bins.width)
    widths[0] /= 2  # |k| < half a bin
    coords = {
        "k_perp": ("k_perp", bins.centres(), {**bins.notes, "long_name": "perpendicular wavenumber"}),
        "k_par": ("k_par", bins.centres(), {**bins.notes, "long_name": "parallel wavenumber"}),
        "k_perp_width": ("k_perp", widths),
        "k_par_width": ("k_par", widths),
        "modes": bins.modes(along),
    }
    sums = sums.assign_coords(coords)
    result = sums / (sums["k_perp_width"] * sums["k_par_width"])
    return result.rename("power").drop_attrs(deep=False).assign_attrs(_attrs(ds, names))


def reduced(ds: xr.Dataset, names: Sequence[str] = ("Bx", "By", "Bz"), *, axis: str) -> xr.DataArray:
    """One-dimensional spectrum along an axis, summed over all wavenumbers across it.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic (or tapered) snapshot; lazy where it is.
    names : sequence of str
        Fields whose power is added up.
    axis : {"x", "y", "z"}

    Returns
    -------
    xarray.DataArray
        One-sided over ``k``, from 0, with coordinates ``k_width`` and ``modes``; ``(E * E.k_width).sum()``
        is <|dB|^2>/2, the modes with k = 0 along the axis but not across it included.

    Raises
    ------
    SnapshotError
        As :func:`power`, or if the axis is missing.
    """
    require_periodic(ds, "a reduced spectrum")
    dims = spatial_dims(ds)
    if axis not in dims:
        raise SnapshotError(f"axis={axis!r}: one of {dims} is needed")
    width, n = spacing(ds)[axis], ds.sizes[axis]
    fundamental = 2 * np.pi / (n * width)
    k, _ = wavenumbers(n, width, half=True)
    total = _line_power(ds, names, axis)
    weight = _half_weights(n) * 0.5 / n**2 / _window_power(ds)
    widths = np.full(len(k), fundamental)
    widths[0] /= 2
    result = total * xr.DataArray(weight / widths, dims="k")
    notes = {**wavenumber_attrs(ds), "long_name": f"wavenumber along {axis}"}
    modes = _half_weights(n) * np.prod([ds.sizes[d] for d in dims if d != axis])
    modes[0] -= 1
    result = result.assign_coords(k=("k", k, notes), k_width=("k", widths), modes=("k", modes))
    return result.rename("power").assign_attrs(_attrs(ds, names), axis=axis)


def cross(ds: xr.Dataset, first: str, second: str) -> xr.DataArray:
    """Shell-summed cross spectrum of two fields.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic (or tapered) snapshot; lazy where it is.
    first, second : str
        Names.

    Returns
    -------
    xarray.DataArray
        Real, over ``k`` as :func:`power`, since the imaginary parts of k and -k cancel in a shell; the sum
        times ``k_width`` is <da db>/2.

    Raises
    ------
    SnapshotError
        As :func:`power`.
    """
    bins = _Bins(ds)
    a, b = _fields(ds, [first, second])
    sums = _binned([(a, b)], bins, None)
    notes = {"long_name": f"cross spectrum of {first} and {second}", "normalization": CROSS_NORMALIZATION}
    result = bins.shells(sums / bins.width).rename("cross")
    return result.assign_attrs({**_attrs(ds, [first, second]), **notes})


def coherence(ds: xr.Dataset, first: str, second: str) -> xr.DataArray:
    """Squared coherence |C_ab|² / (E_a E_b) of two fields per shell, 0 to 1.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic (or tapered) snapshot; lazy where it is.
    first, second : str
        Names.

    Returns
    -------
    xarray.DataArray
        Over ``k``; about 1 / modes for independent fields.

    Raises
    ------
    SnapshotError
        As :func:`power`.
    """
    both = cross(ds, first, second)
    result = abs(both) ** 2 / (power(ds, [first]) * power(ds, [second]))
    result = result.rename("coherence").drop_attrs(deep=False)
    return result.assign_attrs(long_name=f"squared coherence of {first} and {second}", units="1")


def slope(spectrum: xr.DataArray, k_range: tuple[float, float]) -> xr.Dataset:
    """Power-law fit E ∝ k^slope over a range of shells.

    Shells are weighted by their modes, of all fields that were added up, whose scatter is 1/sqrt(modes/2)
    for Gaussian fields; the error is the larger of what that predicts and what the scatter about the fit shows.

    Parameters
    ----------
    spectrum : xarray.DataArray
        From :func:`power`; computed here.
    k_range : (float, float)
        Limits, included.

    Returns
    -------
    xarray.Dataset
        ``slope``, ``slope_error``, ``amplitude`` (E at k = 1), and over all ``k`` the ``compensated``
        spectrum E / (amplitude k^slope), 1 where the law holds; the range is in the attrs.

    Raises
    ------
    SnapshotError
        If fewer than three shells with power lie in the range.
    """
    if spectrum.dims != ("k",) or "modes" not in spectrum.coords:
        raise SnapshotError(
            f"one spectrum over k with its modes is needed, this has dims {spectrum.dims}: select the others"
        )
    part = spectrum.where((spectrum["k"] >= k_range[0]) & (spectrum["k"] <= k_range[1]), drop=True).compute()
    part = part.where(part > 0, drop=True)
    if part.sizes["k"] < 3:
        raise SnapshotError(f"k_range={k_range} holds {part.sizes['k']} shells with power; three are needed, widen it")
    x, y = np.log(part["k"].values), np.log(part.values)
    weight = part["modes"].values / 2 * field_count(spectrum)
    design = np.stack([np.ones_like(x), x], axis=1)
    covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
    amplitude, exponent = covariance @ (design.T @ (weight * y))
    scatter = float(np.sum(weight * (y - amplitude - exponent * x) ** 2) / (len(x) - 2))
    error = float(np.sqrt(covariance[1, 1] * max(1.0, scatter)))
    values = {"slope": exponent, "slope_error": error, "amplitude": np.exp(amplitude)}
    fit = xr.Dataset({k: ((), float(v)) for k, v in values.items()}, attrs={"k_min": k_range[0], "k_max": k_range[1]})
    law = fit["amplitude"] * spectrum["k"] ** fit["slope"]
    return fit.assign(compensated=(spectrum / law).assign_attrs(long_name="spectrum over its fit", units="1"))


def field_count(spectrum: xr.DataArray) -> int:
    """How many fields a spectrum adds up, each with its own modes.

    Parameters
    ----------
    spectrum : xarray.DataArray

    Returns
    -------
    int
    """
    return len(str(spectrum.attrs.get("fields", "1")).split(", "))


def correlation(
    ds: xr.Dataset, names: Sequence[str] = ("Bx", "By", "Bz"), *, axis: str, padded: bool = False
) -> xr.DataArray:
    """Correlation function R(r) = <dB(s) · dB(s + r)> along an axis, by FFT.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot; lazy where it is.
    names : sequence of str
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
    SnapshotError
        If the axis is missing, or open and not padded.
    """
    dims, n = spatial_dims(ds), ds.sizes.get(axis, 0)
    if axis not in dims:
        raise SnapshotError(f"axis={axis!r}: one of {dims} is needed")
    if not padded and ds.attrs.get(f"boundary_{axis}") != "periodic":
        raise SnapshotError(f"axis {axis} is open: give padded=True, which counts pairs inside the box alone")
    lags = n // 2 + 1
    size = fast_length(2 * n) if padded else n
    total = xr.apply_ufunc(
        _from_line_power,
        _line_power(ds, names, axis, size),
        input_core_dims=[["k"]],
        output_core_dims=[["r"]],
        kwargs={"size": size, "pairs": _window_power(ds) * ((n - np.arange(lags)) if padded else np.full(lags, n))},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"r": lags}},
    )
    notes = {**ds[axis].attrs, "long_name": f"lag along {axis}"}
    result = total.assign_coords(r=("r", np.arange(lags) * spacing(ds)[axis], notes))
    kind = "padded" if padded else "periodic"
    return result.rename("correlation").assign_attrs(
        long_name=f"correlation of {', '.join(names)}", kind=kind, axis=axis
    )


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
    SnapshotError
        If it has no lag ``r``.
    """
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
    return result.rename("integral_scale").assign_attrs(units=correlation["r"].attrs.get("units", "1"))


def _line_power(ds: xr.Dataset, names: Sequence[str], axis: str, size: int | None = None) -> xr.DataArray:
    """|F|^2 of the fluctuations along an axis over ``k``, added over fields and averaged across; padded to `size`."""
    dims = spatial_dims(ds)
    total: Any = 0.0
    for field in _fields(ds, names):
        centred = (field.astype(np.float64) - mean(field, dims)).transpose(..., axis)
        if size is not None and size > ds.sizes[axis]:
            centred = centred.pad({axis: (0, size - ds.sizes[axis])}, constant_values=0.0)
        modes = xr.DataArray(forward_modes(centred.data, 1, str(field.name)), dims=[*centred.dims[:-1], "k"])
        total = total + mean(modes.real**2 + modes.imag**2, [d for d in dims if d != axis])
    return total


def _from_line_power(power: np.ndarray, *, size: int, pairs: np.ndarray) -> np.ndarray:
    from scipy import fft

    return fft.irfft(power, size, axis=-1)[..., : len(pairs)] / pairs


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


def _half_weights(n: int) -> np.ndarray:
    """How many modes each one of a half axis stands for: 2, or 1 on its own mirror planes."""
    weights = np.full(n // 2 + 1, 2.0)
    weights[0] = 1.0
    if n % 2 == 0:
        weights[-1] = 1.0
    return weights


def _window_power(ds: xr.Dataset) -> float:
    return float(ds.attrs.get("window_power", 1.0))


class _Bins:
    """Bins of one width, that of the longest axis's fundamental; bin n holds k within half a width of n widths."""

    def __init__(self, ds: xr.Dataset) -> None:
        require_periodic(ds, "a power spectrum")
        self.dims = spatial_dims(ds)
        widths = spacing(ds)
        self.widths = tuple(widths[d] for d in self.dims)
        self.shape = tuple(ds.sizes[d] for d in self.dims)
        self.width = min(
            2 * np.pi / (n * w)
            for n, w in zip(self.shape, self.widths, strict=True)
            if n > 1 or len(set(self.shape)) == 1
        )
        corner = np.sqrt(
            sum((2 * np.pi / (n * w) * (n // 2)) ** 2 for n, w in zip(self.shape, self.widths, strict=True))
        )
        self.size = int(np.floor(corner / self.width + 0.5)) + 1
        self.notes = wavenumber_attrs(ds)
        self.scale = 0.5 / (float(np.prod(self.shape)) ** 2 * _window_power(ds))

    def centres(self) -> np.ndarray:
        return np.arange(self.size) * self.width

    def shells(self, result: xr.DataArray) -> xr.DataArray:
        """Name the shells of a sum, without the empty one at k = 0; their modes are counted lazily where it is lazy."""
        axis = xr.DataArray(np.array([0.0, 0.0, 1.0]), dims="component")
        coords = {
            "k": ("k", self.centres(), {**self.notes, "long_name": "wavenumber"}),
            "k_width": ("k", np.full(self.size, self.width)),
            "modes": self.modes(axis if result.chunks is None else axis.chunk(), flat=True),
        }
        return result.assign_coords(coords).isel(k=slice(1, None))

    def modes(self, along: xr.DataArray, *, flat: bool = False) -> xr.DataArray:
        """Modes per bin, over the dims of a direction that are not its component; lazy where it is.

        A name of its own for each grid and direction, so that lazy spectra of one grid go together without being
        computed.
        """
        options = {"grid": (self.dims, self.shape, self.widths), "bins": (self.width, self.size), "flat": flat}
        return xr.apply_ufunc(
            _count,
            along,
            input_core_dims=[["component"]],
            output_core_dims=[["k"] if flat else ["k_perp", "k_par"]],
            kwargs=options,
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={
                "output_sizes": {"k": self.size} if flat else dict.fromkeys(["k_perp", "k_par"], self.size)
            },
        )


def _count(along: np.ndarray, *, grid: tuple, bins: tuple[float, int], flat: bool) -> np.ndarray:
    """NumPy adaptor of the kernel, for up to three axes, over leading ones; rows shared among threads.

    Shells are counted on one octant, which stands for all.
    """
    from mmfields.kernels.binning import count_modes

    require_direction(along)
    dims, shape, widths = grid
    width, size = bins
    missing = 3 - len(shape)
    parts = [
        wavenumbers(n, w, half=flat or i == len(shape) - 1) for i, (n, w) in enumerate(zip(shape, widths, strict=True))
    ]
    weights = [_half_weights(n) if len(k) < n else np.ones(n) for n, (k, _) in zip(shape, parts, strict=True)]
    k = [*[np.zeros(1)] * missing, *(k for k, _ in parts)]
    nyquist = [*[np.zeros(1, bool)] * missing, *(n for _, n in parts)]
    weights = [*[np.ones(1)] * missing, *weights]
    out = np.zeros((*along.shape[:-1], size, 1 if flat else size))
    for index in np.ndindex(*along.shape[:-1]):
        direction = np.array([0.0] * missing + [along[index][SPATIAL.index(d)] for d in dims])

        def rows(part: slice, direction=direction) -> np.ndarray:
            own = np.zeros(out.shape[-2:])
            first = (k[0][part], nyquist[0][part], weights[0][part])
            count_modes(
                first[0], *k[1:], first[1], *nyquist[1:], first[2], *weights[1:], direction, width, not flat, own
            )
            return own

        out[index] = _shared(rows, len(k[0]), os.cpu_count() or 1)
    return out[..., 0] if flat else out


def _shared(rows: Callable[[slice], np.ndarray], count: int, threads: int) -> np.ndarray:
    """Sum of `rows` over a range of rows shared among threads."""
    edges = np.linspace(0, count, min(threads, count) + 1).astype(int).tolist()
    parts = [slice(a, b) for a, b in pairwise(edges)]
    if len(parts) == 1:
        return rows(parts[0])
    with ThreadPoolExecutor(len(parts)) as pool:
        return sum(pool.map(rows, parts))


def _fields(ds: xr.Dataset, names: Sequence[str]) -> list[xr.DataArray]:
    if isinstance(names, str) or not names:
        raise SnapshotError(f"names={names!r}: a list of variables is needed")
    if missing := [n for n in names if n not in ds]:
        raise SnapshotError(f"no {missing} among {list(ds.data_vars)}")
    return [ds[name] for name in names]


def _attrs(ds: xr.Dataset, names: Sequence[str]) -> dict[str, str]:
    return {
        "long_name": f"power of {', '.join(names)}",
        "normalization": NORMALIZATION,
        "field_units": ds[names[0]].attrs.get("units", "1"),
        "fields": ", ".join(names),
    }


def _binned(
    pairs: Sequence[tuple[xr.DataArray, xr.DataArray]], bins: _Bins, direction: xr.DataArray | None
) -> xr.DataArray:
    """The seam: sums over pairs of fields of half their mode products in bins."""
    flat = direction is None
    along = xr.DataArray(np.array([0.0, 0.0, 1.0]), dims="component") if flat else direction
    arrays = [f for pair in pairs for f in pair]
    lead = list(dict.fromkeys(d for a in (*arrays, along) for d in a.dims if d not in (*bins.dims, "component")))
    sizes = {d: n for a in (*arrays, along) for d, n in a.sizes.items()}
    along = along.expand_dims({d: sizes[d] for d in lead if d not in along.dims}).transpose(*lead, "component")
    total: Any = 0.0
    for a, b in pairs:
        wide = [
            f.expand_dims({d: sizes[d] for d in lead if d not in f.dims}).transpose(*lead, *bins.dims) for f in (a, b)
        ]
        spectra = [forward_modes(wide[0].data, len(bins.dims), str(a.name))]
        spectra.append(spectra[0] if a is b else forward_modes(wide[1].data, len(bins.dims), str(b.name)))
        total = total + _sum_modes(spectra, along.data, bins, not flat)
        del spectra  # before there is another one
    dims = [*lead, *(["k"] if flat else ["k_perp", "k_par"])]
    return xr.DataArray(total[..., 0] if flat else total, dims=dims) * bins.scale


def _sum_modes(spectra: Sequence[Any], along: Any, bins: _Bins, two_dimensional: bool) -> Any:
    """Sums over all modes, (…, bin, bin or 1); NumPy or Dask as the spectra are."""
    waves = waves_of(bins.dims, bins.shape, bins.widths)
    k = [np.ascontiguousarray(c.ravel()) for c in (*waves.k, *waves.nyquist)]
    weight = _half_weights(bins.shape[-1])
    options = {"bins": (bins.width, bins.size), "dims": bins.dims, "two_dimensional": two_dimensional}
    if not any(hasattr(a, "dask") for a in (*spectra, along)):
        return _sum_block(*spectra, along, *k, weight, **options, threads=os.cpu_count() or 1)
    import dask.array as da

    spectra = [da.asarray(s) for s in spectra]
    rank, lead = len(bins.dims), spectra[0].ndim - len(bins.dims)
    spectra = [s.rechunk((*(1,) * lead, *s.chunks[lead:])) for s in spectra]
    letters = "abcdefgh"[:lead]
    axes = letters + "xyz"[:rank]
    numbers = []
    for letter, values, chunk in zip(2 * "xyz"[:rank], k, 2 * spectra[0].chunks[lead:], strict=True):
        numbers += [da.from_array(values, chunks=(chunk,)), letter]
    numbers += [da.from_array(weight, chunks=(spectra[0].chunks[-1],)), "xyz"[rank - 1]]
    blocks = da.blockwise(
        _sum_block_kept,
        axes + "pq",
        spectra[0],
        axes,
        spectra[1],
        axes,
        da.asarray(along).rechunk((*(1,) * lead, -1)),
        letters + "m",
        *numbers,
        new_axes={"p": bins.size, "q": bins.size if two_dimensional else 1},
        adjust_chunks={letter: 1 for letter in "xyz"[:rank]},
        concatenate=True,
        dtype=np.float64,
        meta=np.empty((0,) * (len(axes) + 2)),
        **options,
    )
    return blocks.sum(axis=tuple(range(lead, lead + rank)))


def _sum_block_kept(*arrays: np.ndarray, dims: tuple[str, ...], **options: Any) -> np.ndarray:
    """As `_sum_block`, with the spatial axes kept as 1."""
    lead = arrays[0].ndim - len(dims)
    sums = _sum_block(*arrays, dims=dims, **options)
    return sums.reshape(*sums.shape[:lead], *(1,) * len(dims), *sums.shape[lead:])


def _sum_block(
    a: np.ndarray,
    b: np.ndarray,
    along: np.ndarray,
    *rest: np.ndarray,
    bins: tuple[float, int],
    dims: tuple[str, ...],
    two_dimensional: bool,
    threads: int = 1,
) -> np.ndarray:
    """NumPy adaptor of the kernel, for up to three axes, over leading ones; rows shared among threads."""
    from mmfields.kernels.binning import bin_modes

    *k, weight = rest
    width, size = bins
    require_direction(along)
    rank, lead = len(dims), a.shape[: a.ndim - len(dims)]
    missing = 3 - rank
    k = [*[np.zeros(1)] * missing, *k[:rank], *[np.zeros(1, bool)] * missing, *k[rank:]]
    out = np.zeros((*lead, size, size if two_dimensional else 1))
    for index in np.ndindex(*lead):
        direction = np.array([0.0] * missing + [along[index][SPATIAL.index(d)] for d in dims])
        x, y = (s[index].reshape((1,) * missing + s.shape[len(lead) :]) for s in (a, b))

        def rows(part: slice, x=x, y=y, direction=direction) -> np.ndarray:
            own = np.zeros(out.shape[-2:])
            first, last = (k[0][part], *k[1:3]), (k[3][part], *k[4:])
            bin_modes(x[part], y[part], *first, *last, weight, direction, width, two_dimensional, own)
            return own

        out[index] = _shared(rows, len(k[0]), threads)
    return out

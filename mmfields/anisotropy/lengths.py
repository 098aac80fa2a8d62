"""Scales, strengths and shape of the fluctuations along and across the mean field."""

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from mmfields.anisotropy.jackknife import group_sums, jackknife, require_subvolumes
from mmfields.conventions import (
    MEAN_FIELD_FLOOR,
    SPATIAL,
    SnapshotError,
    aligned,
    as_real,
    components,
    direction_of,
    mean,
    mean_direction,
    require_direction,
    spatial_dims,
    unit_attrs,
    wavenumber_attrs,
)
from mmfields.fourier.transform import backward_modes, finite, forward_modes, level_of
from mmfields.kernels.modes import Modes
from mmfields.provenance import verb
from mmfields.spectra import area_to_first_zero
from mmfields.spectra.bins import Bins, sum_modes, weigh_modes

LENGTHS = ("l_par", "l_perp", "l_par_cutoff", "l_perp_cutoff")
WAVENUMBERS = ("k_par_rms", "k_perp_rms")
STRENGTHS = ("dB_par_rms", "dB_perp_rms")
# In the order in which `_values` gives them.
SCALES = {
    "l_par": "integral scale of dB_par along the mean field, to l_par_cutoff",
    "l_perp": "integral scale of dB_par across the mean field, to l_perp_cutoff",
    "k_par_rms": "rms parallel wavenumber of dB_par",
    "k_perp_rms": "rms perpendicular wavenumber of dB_par",
    "aspect_k": "k_perp_rms / k_par_rms",
    "aspect_l": "l_par / l_perp",
    "dB_par_rms": "rms fluctuation along the mean field",
    "dB_perp_rms": "rms fluctuation across the mean field, both components",
    "dB_perp2_over_dB_par2": "power across over power along the mean field",
    "dB_over_B0": "rms fluctuation over mean field strength, NaN where there is no mean field",
    "skewness": "skewness of dB_par",
    "kurtosis": "kurtosis of dB_par, 3 for a Gaussian",
    "correlation_dn": "correlation coefficient of dB_par with the density",
}
INDEX = {name: i for i, name in enumerate(SCALES)}
CUTOFFS = {
    "l_par_cutoff": "first zero of the correlation of dB_par along the mean field, or half the box",
    "l_perp_cutoff": "first zero of the correlation of dB_par across the mean field, or half the box",
}

# What `_lengths` gives, and what a sub-volume sums: cells, the parallel fluctuation and its powers, the components, the
# square of the whole, the density, its square and its product with the fluctuation; and densities of four scales.
Exact = namedtuple("Exact", "l_par l_perp k_par k_perp l_par_cutoff l_perp_cutoff")
Sums = namedtuple("Sums", "cells par par2 par3 par4 x y z square n n2 n_par l_par l_perp k2_par k2_perp")

# Bins of wavenumber per step of the box's lowest: a mode's phase at half the box is known to a fraction of 1/FINE.
FINE = 32
# Lags whose correlation is computed together, until it has a zero.
LAGS = 64


@verb
def scales(
    ds: xr.Dataset, *, direction: str | Sequence[float] | None = None, density: str | None = None, subvolumes: int = 3
) -> xr.Dataset:
    """Length scales, amplitudes and shape of the fluctuations, along and across the mean field.

    Wavenumbers and integral scales are those of dB_par; across the field they are means over all directions.
    An integral scale is the integral of the correlation function R(s)/R(0) from 0 to its first zero, or to half
    the box where it has none: the full periodic integral would see k = 0 alone.  The two aspect ratios are not
    interchangeable.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot with ``Bx By Bz``; lazy where it is, and of any size where it is chunked.
    direction : str or three numbers, optional
        What parallel means; the mean field by default.
    density : str, optional
        Variable that dB_par is correlated with; ``n`` or ``rho`` by default, where there is one.
    subvolumes : int
        Per axis, for the errors, which are the larger of two: what leaving out one after the other of these parts
        of the box does (jackknife), and the scatter that a Gaussian field of this spectrum has, whose modes are
        independent.  The first alone sees what is not Gaussian; the second alone sees fluctuations as long as the
        parts.  They take up to nine transforms; 0 does without errors and them.

    Returns
    -------
    xarray.Dataset
        Scalars (per ``time`` where there are several): ``l_par``, ``l_perp``, ``k_par_rms``, ``k_perp_rms``,
        ``aspect_k``, ``aspect_l``, ``dB_par_rms``, ``dB_perp_rms``, ``dB_perp2_over_dB_par2``, ``dB_over_B0``,
        ``skewness``, ``kurtosis``, with a density ``correlation_dn``, each with its ``…_error``, one standard
        deviation (that of the scales at the given cut-off); and the cut-offs ``l_par_cutoff``, ``l_perp_cutoff``.

    Raises
    ------
    ArgumentError, SnapshotError
        If an axis is open or not uniform, or the density is missing; and when it is computed, without a mean
        field where no direction is given, or if the field is not finite.
    """
    require_subvolumes(subvolumes)
    bins, names = Bins(ds, "a length scale"), list(components(ds))
    dims, rank = bins.dims, len(bins.dims)
    fields = [ds[name] for name in (*names, *_density(ds, density))]
    given = [] if direction is None else [mean_direction(ds, direction)]
    lead, arrays, small = aligned(fields, given, dims)
    along = small[0] if given else _mean_direction(arrays[:3], lead, rank)
    level = _joined([level_of(a, rank) for a in arrays], rank)
    par = _projected(arrays, level, along, rank, kept=subvolumes > 0)
    spectrum = forward_modes(par, rank, "Bx, By or Bz")
    lines = sum_modes([spectrum], along, bins, _Lines(_fine(bins)), _size(bins))
    grid = {"dims": bins.dims, "shape": bins.shape, "widths": bins.widths, "fine": _fine(bins)}
    exact = _vectorized(_lengths, lead, [(lines, 2), (along, 1)], 6, **grid)
    moments = group_sums(
        _Moments(tuple(f.name for f in fields)),
        arrays,
        [level, along],
        rank=rank,
        groups=max(subvolumes, 1),
        columns=12,
    )
    sums = [(moments, 2)]
    if subvolumes:
        factors = _vectorized(_factors, lead, [(moments, 2)], 2)
        sums += _products_of(spectrum, par, _concatenated([along, exact[..., 4:6]]), bins, groups=subvolumes)
        sums.append((_correlated(spectrum, par, _concatenated([along, factors]), bins), 1))
        numbers = _concatenated([along, exact[..., 4:6], factors])
        sums.append((_spread(spectrum, arrays, par, numbers, bins), 2))
    count = len(SCALES) - (len(arrays) == 3)
    both = _vectorized(_values, lead, [(exact, 1), (level, 1), *sums], 2 * count, count=count)
    out = xr.Dataset(attrs={"subvolumes": subvolumes} if subvolumes else {})
    for i, (name, meaning) in enumerate(list(SCALES.items())[:count]):
        out[name] = (lead, both[..., i], {"long_name": meaning, **_unit(ds, name)})
        if subvolumes:
            notes = {"long_name": f"error of {name}", **_unit(ds, name)}
            out[f"{name}_error"] = (lead, both[..., count + i], notes)
    for i, (name, meaning) in enumerate(CUTOFFS.items()):
        out[name] = (lead, exact[..., 4 + i], {"long_name": meaning, **_unit(ds, name)})
    return out.assign_coords({d: ds[d] for d in lead if d in ds.coords})


def _unit(ds: xr.Dataset, name: str) -> dict[str, str]:
    if name in LENGTHS:
        return unit_attrs(ds[spatial_dims(ds)[0]])
    if name in WAVENUMBERS:
        return wavenumber_attrs(ds)
    return unit_attrs(ds["Bx"]) if name in STRENGTHS else {"units": "1"}


def _density(ds: xr.Dataset, name: str | None) -> list[str]:
    if name is None:
        return [n for n in ("n", "rho") if n in ds][:1]
    if not isinstance(name, str) or name not in ds or not set(spatial_dims(ds)) <= set(ds[name].dims):
        raise SnapshotError(f"no density {name!r} over {spatial_dims(ds)} among {list(ds.data_vars)}")
    return [name]


@verb
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
    ArgumentError, SnapshotError
        When it is computed, if the field is not finite; or without a mean field, where no direction is given.
    """
    names = components(ds)
    ds = ds.assign({n: ds[n].copy(data=finite(ds[n].data, n, "its fluctuations are taken")) for n in names})
    along = mean_direction(ds, direction)
    dims = spatial_dims(ds)
    parts = [(ds[name] - mean(ds[name], dims)) * along.isel(component=i) for i, name in enumerate(names)]
    kind = np.result_type(*(as_real(ds[name]).dtype for name in names), np.float32)
    result = sum(parts[1:], parts[0]).astype(kind).rename("dB_par").drop_attrs(deep=False)
    return result.assign_attrs(**unit_attrs(ds["Bx"]), long_name="fluctuation of B along the mean field")


def _mean_direction(arrays: Sequence[Any], lead: list[str], rank: int) -> Any:
    """As `mean_direction`, in one pass over the field; (…, 3)."""
    sums = [group_sums(_add_sums, [a], [], rank=rank, groups=1, columns=3)[..., 0, :] for a in arrays]
    return _vectorized(_direction_of, lead, [(s, 1) for s in sums], 3)


def _add_sums(fields: list[np.ndarray], _: Any, edges: list[np.ndarray], out: np.ndarray) -> None:
    from mmfields.kernels.moments import add_sums

    add_sums(np.ascontiguousarray(fields[0]), edges[0][0, 0], edges[0][-1, 1], out[0, 0, 0])


def _direction_of(*sums: np.ndarray) -> np.ndarray:
    means, squares = np.array([s[1] / s[0] for s in sums]), sum(s[2] / s[0] for s in sums)
    return direction_of(means, squares)


def _joined(levels: Sequence[Any], rank: int) -> Any:
    """Levels of several fields, (…, 1, 1, 1) each, as one small array (…, fields)."""
    return _concatenated([level.reshape(*level.shape[: level.ndim - rank], 1) for level in levels])


def _concatenated(arrays: Sequence[Any]) -> Any:
    if not any(hasattr(a, "dask") for a in arrays):
        return np.concatenate([np.asarray(a) for a in arrays], axis=-1)
    import dask.array as da

    return da.concatenate([da.asarray(a) for a in arrays], axis=-1).rechunk({-1: -1})


def _projected(arrays: Sequence[Any], level: Any, along: Any, rank: int, *, kept: bool) -> Any:
    """Fluctuation along the direction, about a level; made piece by piece where it is not kept."""
    kind = np.result_type(*(a.dtype for a in arrays[:3]), np.float32)
    if not any(hasattr(a, "dask") for a in (*arrays, along)):
        whole = _Projection(arrays[:3], level, along, kind)
        return whole[...] if kept or arrays[0].ndim > rank or rank == 1 else whole
    import dask.array as da

    lead = arrays[0].ndim - rank
    first = next(a for a in arrays if hasattr(a, "dask"))
    chunks = (*(1,) * lead, *first.chunks[lead:])
    letters, axes = "abcdefgh"[:lead], "xyz"[:rank]
    return da.blockwise(
        _project,
        letters + axes,
        *(item for a in arrays[:3] for item in (da.asarray(a).rechunk(chunks), letters + axes)),
        *(item for s in (level, along) for item in (da.asarray(s).rechunk((*(1,) * lead, -1)), letters + "m")),
        concatenate=True,
        align_arrays=False,
        dtype=kind,
        meta=np.empty((0,) * (lead + rank), kind),
        kind=kind,
    )


class _Projection:
    """A fluctuation that is made where it is indexed, along the first axis of fields in memory."""

    def __init__(self, fields: Sequence[np.ndarray], level: np.ndarray, along: np.ndarray, kind: np.dtype) -> None:
        self.fields, self.small = fields, (level, along)
        self.shape, self.ndim, self.dtype = fields[0].shape, fields[0].ndim, np.dtype(kind)
        self.nbytes = fields[0].size * self.dtype.itemsize

    def __getitem__(self, part: Any) -> np.ndarray:
        return _project(*(f[part] for f in self.fields), *self.small, kind=self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...] if dtype is None else self[...].astype(dtype)


def _project(*arrays: np.ndarray, kind: np.dtype) -> np.ndarray:
    """NumPy adaptor of the kernel, over leading axes."""
    from mmfields.kernels.moments import project

    *fields, level, along = arrays
    require_direction(along)
    out = np.empty(fields[0].shape, kind)
    for index in np.ndindex(*along.shape[:-1]):
        flat = [np.ascontiguousarray(f[index]).ravel() for f in fields]
        project(*flat, level[index][:3].astype(float), np.ascontiguousarray(along[index]), out[index].reshape(-1))
    return out


@dataclass(frozen=True)
class _Moments:
    """Add the moments of a block; `names` are the fields', for errors."""

    names: tuple[str, ...]

    def __call__(
        self, fields: list[np.ndarray], small: list[np.ndarray], edges: list[np.ndarray], out: np.ndarray
    ) -> None:
        from mmfields.kernels.moments import add_moments

        level, along = small
        none = np.empty((*fields[0].shape[:2], 0), fields[0].dtype)
        wide = np.zeros(4)
        wide[: len(level)] = level
        parts = tuple(np.ascontiguousarray(f) for f in (*fields, none)[:4])
        add_moments(parts, wide, along, tuple(edges), out)
        if not np.isfinite(out).all():
            name = next((n for n, f in zip(self.names, fields, strict=True) if not np.isfinite(f).all()), "B")
            raise SnapshotError(f"{name} is not finite: fill it before its moments are taken")


def _products_of(spectrum: Any, par: Any, cuts: Any, bins: Bins, *, groups: int) -> list[tuple[Any, int]]:
    """Sums over the sub-volumes of the densities of l_par, l_perp, k_par² and k_perp² times the fluctuation."""
    rank, found = len(bins.dims), []
    for scale, across in product((True, False), (False, True)):
        weighed = weigh_modes(spectrum, cuts, bins, _Density(scale, across))
        density = backward_modes(weighed, bins.shape, _chunks(par, rank), overwrite=True)
        del weighed
        found.append((group_sums(_products, [par, density], [cuts[..., :0]], rank=rank, groups=groups, columns=2), 2))
        del density
    return found


def _products(fields: list[np.ndarray], _: Any, edges: list[np.ndarray], out: np.ndarray) -> None:
    from mmfields.kernels.moments import add_products

    add_products(*(np.ascontiguousarray(f) for f in fields), tuple(edges), out)


def _factors(moments: np.ndarray) -> np.ndarray:
    """By which the modes of the fluctuation, and of the density, are multiplied so that their power is 1; else 0."""
    sums = Sums(*moments.sum(axis=0), *[np.nan] * 4)
    n = moments[:, 0].sum()
    squares = np.array([sums.par2 / n - (sums.par / n) ** 2, sums.n2 / n - (sums.n / n) ** 2])
    good = squares > 0
    return np.divide(1.0 / n, np.sqrt(np.where(good, squares, 1.0)), out=np.zeros(2), where=good)


def _correlated(spectrum: Any, par: Any, numbers: Any, bins: Bins) -> Any:
    """Means over all lags of the correlation function's powers 2, 3 and 4."""
    rank, cells = len(bins.dims), float(np.prod(bins.shape))
    weighed = weigh_modes(spectrum, numbers, bins, _Correlation(cells))
    correlation = backward_modes(weighed, bins.shape, _chunks(par, rank), overwrite=True)
    return group_sums(_add_powers, [correlation], [], rank=rank, groups=1, columns=3)[..., 0, :] / cells


@dataclass(frozen=True)
class _Correlation:
    """Make the spectrum of the correlation coefficient of one; `cells` of the box."""

    cells: float

    def __call__(self, spectrum: np.ndarray, modes: Modes, _: Any, further: np.ndarray, out: np.ndarray) -> None:
        from mmfields.kernels.scales import normalized_power

        normalized_power(spectrum, modes, self.cells * further[0] ** 2, out)


def _add_powers(fields: list[np.ndarray], _: Any, edges: list[np.ndarray], out: np.ndarray) -> None:
    from mmfields.kernels.moments import add_powers

    add_powers(np.ascontiguousarray(fields[0]), edges[0][0, 0], edges[0][-1, 1], out[0, 0, 0])


def _spread(spectrum: Any, arrays: Sequence[Any], par: Any, numbers: Any, bins: Bins) -> Any:
    """Sums over modes that the scatter of the scales of a Gaussian field is made of."""
    from mmfields.kernels.scales import TERMS

    rank, total = len(bins.dims), 0.0
    fields = list(arrays)
    if hasattr(spectrum, "dask"):
        import dask.array as da

        fields = [da.asarray(f).rechunk(par.chunks) for f in fields]
    for field in fields[:3]:
        total = total + _power_of(forward_modes(field, rank, "Bx, By or Bz", level=level_of(field, rank)))
    spectra = [spectrum, total]
    for field in fields[3:]:
        spectra.append(forward_modes(field, rank, "the density", level=level_of(field, rank)))
    if hasattr(spectrum, "dask"):
        spectra = [s.rechunk(spectrum.chunks) for s in spectra]
    return sum_modes(spectra, numbers, bins, _Spread(), (1 + TERMS, TERMS))


def _power_of(spectrum: Any) -> Any:
    """Squares in float64: those of float32 leave its range."""
    if hasattr(spectrum, "dask"):
        return spectrum.map_blocks(_power_of, dtype=np.float64, meta=np.empty((0,) * spectrum.ndim))
    return np.square(spectrum.real, dtype=np.float64) + np.square(spectrum.imag, dtype=np.float64)


@dataclass(frozen=True)
class _Spread:
    """Add what the scatter of the scales needs; its further numbers are the two cut-offs and the two factors."""

    def __call__(self, spectra: Sequence[np.ndarray], modes: Modes, *numbers: np.ndarray, out: np.ndarray) -> None:
        from mmfields.kernels.scales import add_spread

        *grid, further = numbers
        both = tuple(_partial_integrals(further[i], modes, across=i == 1) for i in range(2))
        none = np.empty((*spectra[0].shape[:2], 0), spectra[0].dtype)
        parts = tuple(np.ascontiguousarray(s) for s in (*spectra, none)[:3])
        add_spread(parts, modes, *grid, further[2:], both, out)


def _fine(bins: Bins) -> float:
    return bins.width / FINE


def _size(bins: Bins) -> tuple[int, int]:
    from mmfields.kernels.scales import COLUMNS

    return bins.size * FINE + 2, COLUMNS


@dataclass(frozen=True)
class _Lines:
    """Add the power of a spectrum to fine bins of k_perp and |k_par|."""

    width: float

    def __call__(self, spectra: Sequence[np.ndarray], *numbers: Any, out: np.ndarray) -> None:
        from mmfields.kernels.scales import power_on_lines

        power_on_lines(spectra[0], *numbers, self.width, out)


def _vectorized(
    work: Callable[..., np.ndarray], lead: list[str], arrays: Sequence[tuple[Any, int]], size: int, **options: Any
) -> Any:
    """The seam for small arrays: `work` on the last axes of each, given with their number, for all leading ones."""
    labelled = [
        xr.DataArray(a, dims=[*lead, *(f"axis_{n}_{i}" for i in range(rank))]) for n, (a, rank) in enumerate(arrays)
    ]
    result = xr.apply_ufunc(
        work,
        *labelled,
        input_core_dims=[a.dims[len(lead) :] for a in labelled],
        output_core_dims=[["value"]],
        kwargs=options,
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"value": size}},
    )
    return result.transpose(*lead, "value").data


def _lengths(lines: np.ndarray, along: np.ndarray, *, dims, shape, widths, fine) -> np.ndarray:
    """l_par, l_perp, k_par_rms, k_perp_rms and the two cut-offs, of power on lines."""
    require_direction(along)
    total = lines[:-1, 0].sum()
    out = np.full(6, np.nan)
    if not total > 0:
        return out
    out[2], out[3] = np.sqrt(lines[-1, 1] / total), np.sqrt(lines[-1, 0] / total)
    for i, (column, kernel) in enumerate(((2, np.cos), (0, _bessel))):
        reach = _reach(shape, widths, dims, along, along_field=i == 0)
        if reach > 0:
            out[i], out[4 + i] = _integral_scale(lines[:-1, column : column + 2], kernel, reach, min(widths))
    return out


def _bessel(x: np.ndarray) -> np.ndarray:
    from scipy.special import j0

    return j0(x)


def _reach(
    shape: Sequence[int], widths: Sequence[float], dims: Sequence[str], direction: np.ndarray, *, along_field: bool
) -> float:
    """Half the box along (or across) the mean field: 0 where the box does not extend that way."""
    parts = [abs(direction[SPATIAL.index(d)]) for d in dims]
    parts = parts if along_field else [float(np.sqrt(max(1.0 - p**2, 0.0))) for p in parts]
    lengths = [n * w / p for n, w, p in zip(shape, widths, parts, strict=True) if p > 1e-3 and n > 1]
    return min(lengths) / 2 if lengths else 0.0


def _integral_scale(line: np.ndarray, kernel: Callable, reach: float, cell: float) -> tuple[float, float]:
    """Integral of the correlation sum_k w kernel(k r) from 0 to its first zero, at most to `reach`; and where it ends.

    `line` has power, and power times wavenumber, in bins: their means are the wavenumbers, exact on a grid axis.
    """
    mass = line[:, 0]
    keep = mass > 0
    mass, k = mass[keep], line[keep, 1] / mass[keep]
    r = np.linspace(0.0, reach, 4 * max(8, int(reach / cell + 0.5 + 1e-6)) + 1)
    correlation: list[float] = []
    while len(correlation) < len(r) and not (correlation and min(correlation) <= 0):
        correlation += [np.dot(mass, kernel(k * s)) for s in r[len(correlation) : len(correlation) + LAGS]]
    values = np.array(correlation)
    below = np.flatnonzero(values <= 0)
    if not len(below):
        return float(area_to_first_zero(values, step=float(r[1]))), reach
    a, b = values[below[0] - 1], values[below[0]]
    return float(area_to_first_zero(values, step=float(r[1]))), float(r[below[0] - 1] + r[1] * a / (a - b))


@dataclass(frozen=True)
class _Density:
    """Weigh a spectrum so that its product with the field has the mean of a scale, or of k², times <dB_par²>.

    `scale` and `across`: l or k², along the field or across.
    """

    scale: bool
    across: bool

    def __call__(
        self, spectrum: np.ndarray, modes: Modes, along: np.ndarray, cuts: np.ndarray, out: np.ndarray
    ) -> None:
        from mmfields.kernels.scales import Scale, weigh_density

        scale = Scale(self.across, np.empty(0), 0.0)
        if self.scale:
            scale = _partial_integrals(cuts[int(self.across)], modes, across=self.across)
        weigh_density(spectrum, modes, along, scale, out)


def _chunks(array: Any, rank: int) -> tuple[Any, ...]:
    return array.chunks[-rank:] if hasattr(array, "dask") else ()


def _partial_integrals(cut: float, modes: Modes, *, across: bool) -> Any:
    """Integral of cos(k r), or J0(k r), over r from 0 to the cut-off, as the kernels' `Scale`."""
    from mmfields.kernels.scales import Scale

    step, cut = 0.02, float(np.nan_to_num(cut))
    highest = float(np.sqrt(sum((k**2).max() for k in modes[:3])))
    x = np.arange(0.0, highest * cut + 3 * step, step)
    if not across:
        return Scale(across, cut * np.sinc(x / np.pi), cut / step)
    values = _bessel(x)
    whole = np.concatenate([[0.0], np.cumsum(values[1:] + values[:-1]) * step / 2])
    return Scale(across, cut * np.divide(whole, x, out=np.ones_like(x), where=x > 0), cut / step)


def _values(exact: np.ndarray, level: np.ndarray, moments: np.ndarray, *sums: np.ndarray, count: int) -> np.ndarray:
    """All scales and their errors, in the order of `SCALES`; `sums` are those of the errors, where there are any."""
    strength = np.linalg.norm(level[:3].astype(float))
    columns = [moments, *(_about_mean(s, moments) for s in sums[:4])]
    values, errors = jackknife(np.concatenate(columns, axis=-1), lambda s: _statistics(s, level))
    tiny = not values[INDEX["dB_par_rms"]] ** 2 > 1e-24 * max(strength**2, np.finfo(float).tiny)  # of a uniform field
    values[:4], found = exact[:4], Exact(*exact)
    with np.errstate(divide="ignore", invalid="ignore"):
        values[INDEX["aspect_k"]], values[INDEX["aspect_l"]] = found.k_perp / found.k_par, found.l_par / found.l_perp
        if sums:
            errors = np.fmax(errors, _scatter(values, sums[4], sums[5]))
    relative = INDEX["dB_over_B0"]
    if values[relative] * MEAN_FIELD_FLOOR > 1:  # there is no mean field to compare with
        values[relative] = errors[relative] = np.nan
    if tiny:
        unknown = [i for name, i in INDEX.items() if name not in (*STRENGTHS, "dB_over_B0")]
        values[unknown] = errors[unknown] = np.nan
    return np.concatenate([values[:count], errors[:count]])


def _about_mean(products: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Sums of (fluctuation - its mean) times a density, per sub-volume, from those of the product and of the density.

    The level that fluctuations are taken about depends on where the box begins; their mean does not.
    """
    mean = moments[:, 1].sum() / moments[:, 0].sum()
    return products[:, :1] - mean * products[:, 1:]


def _scatter(values: np.ndarray, powers: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Standard deviations of all scales between Gaussian fields of the same spectrum; NaN where it has no answer.

    The power of a mode has an exponential distribution, so the variance of its sum over modes is the sum of half its
    squares.  The power across is that of two components, for which that is too much by a fifth at most.  What is
    divided by the power of the same few modes follows them, for which `few` makes up.
    """
    first, products = spread[0], spread[1:] + np.triu(spread[1:], 1).T
    one = np.eye(len(first))
    par, perp, density = first[0], first[5], first[6]
    l_par, l_perp, k2_par, k2_perp = first[1:5] / par
    few = 1 / np.sqrt(max(1 - 2 * products[0, 0] / par**2, 0.25))

    def size(*terms: np.ndarray) -> float:
        row = sum(terms)
        return float(np.sqrt(max(row @ products @ row, 0.0))) if np.isfinite(row).all() else np.nan

    ratio = np.hypot(size(one[5] / perp), size(one[0] / par))
    square, cube, fourth = powers
    together = (one[7] / np.sqrt(par * density), -values[12] / 2 * (one[0] / par + one[6] / density))
    return np.array(
        [
            few * size(one[1] - l_par * one[0]) / par,
            few * size(one[2] - l_perp * one[0]) / par,
            few * size(one[3] - k2_par * one[0]) / par / (2 * np.sqrt(k2_par)),
            few * size(one[4] - k2_perp * one[0]) / par / (2 * np.sqrt(k2_perp)),
            few * values[4] / 2 * size(one[4] / k2_perp, -one[3] / k2_par) / par,
            few * values[5] * size(one[1] / l_par, -one[2] / l_perp) / par,
            values[6] / 2 * size(one[0] / par),
            values[7] / 2 * size(one[5] / perp),
            values[8] * ratio,
            values[9] / 2 * np.hypot(size(one[0]), size(one[5])) / (par + perp),
            np.sqrt(6 * max(cube, 0.0)),
            # a mode with itself is counted four times too often
            np.sqrt(24 * max(fourth - 2.25 * square**2, fourth / 4)),
            few * np.sqrt(2) * size(*together),  # whose mean is none, so that its squares are its variance
        ]
    )


def _statistics(sums: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Scales of (…, columns) sums; those of the spectrum are NaN where the sums of the densities are missing."""
    lacking = np.full((*sums.shape[:-1], len(Sums._fields) - sums.shape[-1]), np.nan)
    whole = np.moveaxis(np.concatenate([sums, lacking], axis=-1), -1, 0)
    m = Sums(*(total / whole[0] for total in whole))
    variance = np.maximum(m.par2 - m.par**2, 0.0)
    means = np.stack([m.x, m.y, m.z], axis=-1)
    total = np.maximum(m.square - (means**2).sum(axis=-1), 0.0)
    across = np.maximum(total - variance, 0.0)
    third = m.par3 - 3 * m.par * m.par2 + 2 * m.par**3
    fourth = m.par4 - 4 * m.par * m.par3 + 6 * m.par**2 * m.par2 - 3 * m.par**4
    strength = np.linalg.norm(means + level[:3], axis=-1)
    l_par, l_perp, k2_par, k2_perp = (part / variance for part in (m.l_par, m.l_perp, m.k2_par, m.k2_perp))
    k_par, k_perp = np.sqrt(np.maximum(k2_par, 0.0)), np.sqrt(np.maximum(k2_perp, 0.0))
    values = [
        *(l_par, l_perp, k_par, k_perp, k_perp / k_par, l_par / l_perp),
        *(np.sqrt(variance), np.sqrt(across), across / variance, np.sqrt(total) / strength),
        *(third / variance**1.5, fourth / variance**2),
        (m.n_par - m.par * m.n) / np.sqrt(variance * (m.n2 - m.n**2)),
    ]
    return np.stack(values, axis=-1)

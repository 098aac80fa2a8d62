"""Bins of wavenumber, and sums of mode products over them, in memory or chunk by chunk."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from mmfields._compat import meta_of
from mmfields.conventions import SPATIAL, require_direction, require_periodic, require_real, wavenumber_attrs, widened
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.fourier.levels import level_of
from mmfields.fourier.transform import forward_modes
from mmfields.fourier.waves import wavenumbers, waves_of
from mmfields.kernels.modes import modes_of, rows_of


def fields_of(ds: xr.Dataset, names: Sequence[str]) -> list[xr.DataArray]:
    """The named fields of a snapshot.

    Raises
    ------
    ArgumentError, SnapshotError
        If one is missing, or not of real numbers.
    """
    if isinstance(names, str) or not names:
        raise ArgumentError(f"variables={names!r}: a list of variables is needed")
    if missing := [n for n in names if n not in ds]:
        raise SnapshotError(f"no {missing} among {list(ds.data_vars)}")
    return [require_real(ds[name]) for name in names]


def with_leading(result: xr.DataArray, fields: Sequence[xr.DataArray]) -> xr.DataArray:
    """A result of fields with the coordinates, such as ``time``, of the dims that it shares with them."""
    coords = {d: f[d] for f in fields for d in f.dims if d in result.dims and d in f.coords}
    return result.assign_coords(coords)


def half_weights(n: int) -> np.ndarray:
    """How many modes each one of a half axis stands for: 2, or 1 on its own mirror planes."""
    weights = np.full(n // 2 + 1, 2.0)
    weights[0] = 1.0
    if n % 2 == 0:
        weights[-1] = 1.0
    return weights


def window_power(ds: xr.Dataset) -> float:
    """Mean square of the window that a snapshot was tapered with, 1 without one."""
    return float(ds.attrs.get("window_power", 1.0))


class Bins:
    """Bins of one width, that of the longest axis's fundamental; bin n holds k within half a width of n widths."""

    def __init__(self, ds: xr.Dataset, what: str = "a power spectrum") -> None:
        grid = require_periodic(ds, what)
        self.dims, self.widths, self.shape = grid.dims, grid.spacing, grid.shape
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
        self.scale = 0.5 / (float(np.prod(self.shape)) ** 2 * window_power(ds))

    def centres(self) -> np.ndarray:
        return np.arange(self.size) * self.width

    def shells(self, result: xr.DataArray) -> xr.DataArray:
        """Name the shells of a sum, without the empty one at k = 0; their modes are counted lazily where it is lazy."""
        axis = xr.DataArray(np.array([0.0, 0.0, 1.0]), dims="component")
        coords = {
            "k": ("k", self.centres(), {**self.notes, "long_name": "wavenumber"}),
            "k_width": ("k", np.full(self.size, self.width), self.notes),
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
    weights = [half_weights(n) if len(k) < n else np.ones(n) for n, (k, _) in zip(shape, parts, strict=True)]
    modes = modes_of([k for k, _ in parts], [n for _, n in parts])
    weights = [*[np.ones(1)] * missing, *weights]
    out = np.zeros((*along.shape[:-1], size, 1 if flat else size))
    for index in np.ndindex(*along.shape[:-1]):
        direction = np.array([0.0] * missing + [along[index][SPATIAL.index(d)] for d in dims])

        def rows(part: slice, direction=direction) -> np.ndarray:
            own = np.zeros(out.shape[-2:])
            few = (weights[0][part], *weights[1:])
            count_modes(rows_of(modes, part), few, direction, width, not flat, own)
            return own

        out[index] = shared(rows, len(modes.k0), os.cpu_count() or 1)
    return out[..., 0] if flat else out


def shared(rows: Callable[[slice], np.ndarray], count: int, threads: int) -> np.ndarray:
    """Sum of what `rows` gives for the parts of a range that is shared among threads.

    Parameters
    ----------
    rows : callable
        From a slice of the range to numbers that add up.
    count : int
        Of the range.
    threads : int
    """
    edges = np.linspace(0, count, min(threads, count) + 1).astype(int).tolist()
    parts = [slice(a, b) for a, b in pairwise(edges)]
    if len(parts) == 1:
        return rows(parts[0])
    with ThreadPoolExecutor(len(parts)) as pool:
        return sum(pool.map(rows, parts))


def binned(
    pairs: Sequence[tuple[xr.DataArray, xr.DataArray]], bins: Bins, direction: xr.DataArray | None
) -> xr.DataArray:
    """The seam: sums over pairs of fields of half their mode products in bins."""
    flat = direction is None
    along = xr.DataArray(np.array([0.0, 0.0, 1.0]), dims="component") if flat else direction
    arrays = [f for pair in pairs for f in pair]
    lead, (*wide, along) = widened([*arrays, along], bins.dims)
    total: Any = 0.0
    for (a, b), one, other in zip(pairs, wide[::2], wide[1::2], strict=True):
        spectra = [_modes(one.data, len(bins.dims), str(a.name))]
        if a is not b:
            spectra.append(_modes(other.data, len(bins.dims), str(b.name)))
        size = (bins.size, 1 if flat else bins.size)
        total = total + sum_modes(spectra, along.data, bins, _Add(bins.width, not flat), size)
        del spectra  # before there is another one
    dims = [*lead, *(["k"] if flat else ["k_perp", "k_par"])]
    return with_leading(xr.DataArray(total[..., 0] if flat else total, dims=dims), arrays) * bins.scale


def _modes(array: Any, rank: int, name: str) -> Any:
    return forward_modes(array, rank, name, level=level_of(array, rank))


@dataclass(frozen=True)
class _Add:
    """Add the products of two spectra to bins of |k|, or of k_perp and |k_par|."""

    width: float
    two_dimensional: bool

    def __call__(self, spectra: Sequence[np.ndarray], *numbers: Any, out: np.ndarray) -> None:
        from mmfields.kernels.binning import bin_modes

        bin_modes(spectra[0], spectra[-1], *numbers, self.width, self.two_dimensional, out)


def sum_modes(spectra: Sequence[Any], along: Any, bins: Bins, work: Callable[..., None], size: tuple[int, int]) -> Any:
    """Sums over all modes of spectra of a snapshot.

    Parameters
    ----------
    spectra : sequence of NumPy or Dask arrays (…, modes)
    along : (…, 3 or more) array
        Direction that parallel means, and further numbers.
    bins : Bins
        Its grid alone is used.
    work : callable
        Takes blocks of the spectra, of three axes; their `Modes`; how many modes each of the last axis stands for;
        the direction along them; the further numbers, if there are any; and adds to `out`.
    size : (int, int)
        Shape of the sums.

    Returns
    -------
    (…, *size) array
        NumPy or Dask as the spectra are.
    """
    options: dict[str, Any] = {"work": work, "size": size, "dims": bins.dims}
    numbers = _numbers(bins)
    if not any(hasattr(a, "dask") for a in (*spectra, along)):
        return _sum_block(*spectra, along, *numbers, **options, threads=os.cpu_count() or 1)
    import dask.array as da

    spectra, lead, letters, axes = _prepare_spectra(spectra, bins)
    blocks = da.blockwise(
        _sum_chunk,
        axes + "pq",
        *(item for s in spectra for item in (s, axes)),
        da.asarray(along).rechunk((*(1,) * lead, -1)),
        letters + "m",
        *_chunked_numbers(numbers, spectra[0].chunks[lead:]),
        new_axes=dict(zip("pq", size, strict=True)),
        adjust_chunks=dict.fromkeys(axes[lead:], 1),
        concatenate=True,
        dtype=np.float64,
        meta=np.empty((0,) * (len(axes) + 2)),
        **options,
    )
    return blocks.sum(axis=tuple(range(lead, len(axes))))


def weigh_modes(spectrum: Any, along: Any, bins: Bins, work: Callable[..., None]) -> Any:
    """Another spectrum of the same shape, from one and its wavevectors.

    Parameters
    ----------
    spectrum : NumPy or Dask array (…, modes)
    along : (…, 3 or more) array
        Direction that parallel means, and further numbers.
    bins : Bins
        Its grid alone is used.
    work : callable
        Takes a block of three axes; its `Modes`; the direction along them; the further numbers; and writes `out`.

    Returns
    -------
    array
        NumPy or Dask as the spectrum is.
    """
    options: dict[str, Any] = {"work": work, "dims": bins.dims}
    numbers = _numbers(bins)
    if not any(hasattr(a, "dask") for a in (spectrum, along)):
        return _weigh_block(spectrum, along, *numbers, **options, threads=os.cpu_count() or 1)
    import dask.array as da

    (spectrum,), lead, letters, axes = _prepare_spectra([spectrum], bins)
    return da.blockwise(
        _weigh_block,
        axes,
        spectrum,
        axes,
        da.asarray(along).rechunk((*(1,) * lead, -1)),
        letters + "m",
        *_chunked_numbers(numbers, spectrum.chunks[lead:]),
        concatenate=True,
        dtype=spectrum.dtype,
        meta=meta_of(spectrum),
        **options,
    )


def _numbers(bins: Bins) -> list[np.ndarray]:
    """Wavenumbers of a grid along each axis, which are Nyquist ones, and the weights of the half axis."""
    waves = waves_of(bins.dims, bins.shape, bins.widths)
    return [*(np.ascontiguousarray(c.ravel()) for c in (*waves.k, *waves.nyquist)), half_weights(bins.shape[-1])]


def _prepare_spectra(spectra: Sequence[Any], bins: Bins) -> tuple[list[Any], int, str, str]:
    """Dask spectra one leading place a block, how many axes lead, and letters for these and for all."""
    import dask.array as da

    spectra = [da.asarray(s) for s in spectra]
    rank = len(bins.dims)
    lead = spectra[0].ndim - rank
    letters = "abcdefgh"[:lead]
    return [s.rechunk((*(1,) * lead, *s.chunks[lead:])) for s in spectra], lead, letters, letters + "xyz"[:rank]


def _chunked_numbers(numbers: Sequence[np.ndarray], chunks: Sequence[Any]) -> list[Any]:
    """`_numbers` in the chunks of a spectrum, for `da.blockwise`."""
    import dask.array as da

    letters = "xyz"[: len(chunks)]
    items: list[Any] = []
    for letter, values, chunk in zip(2 * letters + letters[-1], numbers, (*chunks, *chunks, chunks[-1]), strict=True):
        items += [da.from_array(values, chunks=(chunk,)), letter]
    return items


def _weigh_block(
    spectrum: np.ndarray,
    along: np.ndarray,
    *numbers: np.ndarray,
    work: Callable[..., None],
    dims: tuple[str, ...],
    threads: int = 1,
) -> np.ndarray:
    """NumPy adaptor: for up to three axes, over leading ones; rows shared among threads."""
    rank, lead = len(dims), spectrum.shape[: spectrum.ndim - len(dims)]
    missing = 3 - rank
    modes = modes_of(numbers[:rank], numbers[rank : 2 * rank])
    out = np.empty_like(spectrum, order="C")
    for index in np.ndindex(*lead):
        direction = np.array([0.0] * missing + [along[index][SPATIAL.index(d)] for d in dims])
        block, target = (a[index].reshape((1,) * missing + a.shape[len(lead) :]) for a in (spectrum, out))

        def rows(part: slice, block=block, target=target, index=index, direction=direction) -> float:
            work(block[part], rows_of(modes, part), direction, along[index][3:], out=target[part])
            return 0.0

        shared(rows, len(modes.k0), threads)
    return out


def _sum_chunk(*arrays: np.ndarray, dims: tuple[str, ...], **options: Any) -> np.ndarray:
    """As `_sum_block`, with the spatial axes kept as 1."""
    lead = arrays[0].ndim - len(dims)
    sums = _sum_block(*arrays, dims=dims, **options)
    return sums.reshape(*sums.shape[:lead], *(1,) * len(dims), *sums.shape[lead:])


def _sum_block(
    *arrays: np.ndarray, work: Callable[..., None], size: tuple[int, int], dims: tuple[str, ...], threads: int = 1
) -> np.ndarray:
    """NumPy adaptor: for up to three axes, over leading ones; rows shared among threads."""
    rank = len(dims)
    *rest, weight = arrays
    spectra, along, k = rest[: -2 * rank - 1], rest[-2 * rank - 1], rest[-2 * rank :]
    require_direction(along[..., :3])
    lead, missing = spectra[0].shape[: spectra[0].ndim - rank], 3 - rank
    modes = modes_of(k[:rank], k[rank:])
    out = np.zeros((*lead, *size))
    for index in np.ndindex(*lead):
        direction = np.array([0.0] * missing + [along[index][SPATIAL.index(d)] for d in dims])
        parts = [s[index].reshape((1,) * missing + s.shape[len(lead) :]) for s in spectra]
        further = (along[index][3:],) if along.shape[-1] > 3 else ()

        def rows(part: slice, parts=parts, direction=direction, further=further) -> np.ndarray:
            own = np.zeros(size)
            work([p[part] for p in parts], rows_of(modes, part), weight, direction, *further, out=own)
            return own

        out[index] = shared(rows, len(modes.k0), threads)
    return out

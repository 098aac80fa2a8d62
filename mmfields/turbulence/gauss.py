"""Gaussian random fields on a grid, of a chosen spectrum, free of divergence."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike

from mmfields._types import Chunks
from mmfields.conventions import SPATIAL, require_number, require_vector, require_whole, unit_vector
from mmfields.errors import ArgumentError, MmfieldsWarning
from mmfields.fourier.transform import backward_modes
from mmfields.fourier.waves import wavenumbers
from mmfields.io import from_arrays
from mmfields.provenance import verb
from mmfields.turbulence.density import Density, chunks_of, real_kind, sizes_of, widths_of
from mmfields.turbulence.shapes import PowerLaw, Shape, shape_of

# Wavenumbers along or across a direction below this part of |k| come from rounding and are taken as 0.
ROUNDING = 1e-6
# The kernel refers to these by their index.
FORMS = ("solenoidal", "poloidal", "scalar")


@dataclass(frozen=True)
class _Grid:
    """Axes of a field and the properties of its modes; axes that the field lacks come first, with one cell each.

    Parameters
    ----------
    dims : tuple of str
        All three.
    shape : tuple of int
    widths : tuple of float
    rank : int
        Dims that it has.
    density : Density
    direction : (x, y, z) array
    kind : dtype
    form : {"solenoidal", "poloidal", "scalar"}
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    widths: tuple[float, ...]
    rank: int
    density: "Density"
    direction: np.ndarray
    kind: Any
    form: str = "solenoidal"

    @property
    def parts(self) -> int:
        """Number of components."""
        return 1 if self.form == "scalar" else 3

    def axes(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Integer wavenumbers, wavenumbers, and which of them are Nyquist wavenumbers, along each axis."""
        found = []
        for i, (n, width) in enumerate(zip(self.shape, self.widths, strict=True)):
            k, nyquist = wavenumbers(n, width, half=i == 2)
            found.append((np.rint(k * n * width / (2 * np.pi)).astype(np.int64), k, nyquist))
        return found

    def sizes(self, k: Sequence[np.ndarray], nyquist: Sequence[np.ndarray]) -> np.ndarray:
        """Rms amplitudes of the modes of a block, in any unit; 0 for Nyquist modes, whose sign is ambiguous."""
        # relative to the lowest wavenumber, so that no power of k leaves the range of the dtype
        directed = self.density.anisotropic is not None
        kind = np.dtype(np.float64) if directed else self.kind
        shaped = [a.reshape([-1 if j == i else 1 for j in range(3)]) for i, a in enumerate(k)]
        c = [(a / self.density.low).astype(kind) for a in shaped]
        square = sum(a**2 for a in c)
        along = rest = None
        if directed:
            along, rest = self.par_perp(c, square)
        power = self.density(along, rest, np.sqrt(square))
        for i, own in enumerate(nyquist):
            power[(slice(None),) * i + (own,)] = 0
        return np.sqrt(power).astype(self.kind, copy=False)

    def par_perp(self, k: Sequence[np.ndarray], square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """|k_par| and k_perp of modes relative to the lowest wavenumber; exactly 0 where they are rounding alone.

        k_perp is 0 for a mode on the axis, and in three dims also for one whose ring is narrower than the cell of
        k-space that it stands for: such a mode would have the power of a ring of almost no length.
        """
        weights = [self.direction[SPATIAL.index(d)] for d in self.dims]
        along = np.abs(sum(a * w for a, w in zip(k, weights, strict=True)))
        rest = np.sqrt(np.maximum(square - along**2, 0))
        small = ROUNDING * np.sqrt(square)
        near = np.maximum(small, self.core()) if self.rank == 3 else small
        return np.where(along > small, along, 0.0), np.where(rest > near, rest, 0.0)

    def core(self) -> float:
        """Half the radius of the disc that a mode's cell of k-space covers across the direction, per lowest k.

        The mean of 1/k_perp over a disc about the axis is 1 over half its radius; no mode may exceed it.
        """
        steps = 2 * np.pi / (np.array(self.shape) * np.array(self.widths)) / self.density.low
        along = sum(s * abs(self.direction[SPATIAL.index(d)]) for s, d in zip(steps, self.dims, strict=True))
        return 0.5 * float(np.sqrt(np.prod(steps) / along / np.pi))


@verb
def gaussian(
    shape: int | Sequence[int] | Mapping[str, int],
    *,
    spacing: float | Mapping[str, float] = 1.0,
    spectrum: float | Shape = 5 / 3,
    k_min: float | None = None,
    k_max: float | None = None,
    anisotropic: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    rms: float = 1.0,
    mean_field: Sequence[float] = (0.0, 0.0, 0.0),
    seed: int,
    chunks: Chunks = None,
    dtype: DTypeLike = np.float64,
    units: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Periodic snapshot of a Gaussian random field of a given spectrum, free of divergence on the grid.

    Each mode is a function of its wavevector and the seed alone: the field is the same however it is chunked, and a
    larger number of cells of the same box adds modes to those that were there.  Modes at the Nyquist
    wavenumbers of even axes are left empty.

    Parameters
    ----------
    shape : int, sequence or mapping
        Cells of a cube; along ``z``, ``y``, ``x`` (or the last two of them); or by axis, in the order of the dims.
    spacing : float or mapping
        Cell size.
    spectrum : float or callable
        Slope s of E(k) ∝ k^-s, or E(k) such as ``mm.turbulence.bend_over``.
    k_min, k_max : float, optional
        Limits [rad per length unit] of |k|, by default all that the grid holds: up to the Nyquist wavenumber of the
        smallest cells of `anisotropic`, and of the largest of `spectrum`, since beyond that shells lack the directions
        of the coarse axes.
    anisotropic : callable, optional
        Instead of `spectrum`: E(k_par, k_perp), of which ∫∫ E dk_par dk_perp is half the mean square; parallel to
        the mean field, or x where there is none.  Modes on that axis, or nearer to it than a quarter or so of a step
        of the grid's wavenumbers, have no ring and are left empty.
    rms : float
        Of the fluctuations of all three components, averaged over realizations.
    mean_field : three numbers
        (x, y, z)
    seed : int
    chunks : optional
        As of Dask; without it the field is made at once, in memory.
    dtype : float64 or float32
    units : mapping, optional
        As of ``mm.io.from_arrays``.

    Returns
    -------
    xarray.Dataset
        ``Bx By Bz``.

    Raises
    ------
    ArgumentError, SnapshotError
        If a number is unusable, or the grid cannot hold the band.

    Warns
    -----
    MmfieldsWarning
        If the band of an isotropic spectrum goes beyond the Nyquist wavenumber of the largest cells;
        ``attrs["k_isotropic"]`` is where its shells cease to be whole.
    """
    sizes = sizes_of(shape)
    widths = widths_of(spacing, sizes)
    if require_number(rms, "rms") <= 0:
        raise ArgumentError(f"rms={rms!r}: a positive number is needed")
    mean = np.array(require_vector(mean_field, "mean_field"))
    if anisotropic is not None and not callable(anisotropic):
        raise ArgumentError(f"anisotropic={anisotropic!r}: a function of k_par and k_perp is needed")
    low, high, whole = _limits(sizes, widths, k_min, k_max, directed=anisotropic is not None)
    density = Density(shape_of(spectrum), anisotropic, low, high, len(sizes))
    if not isinstance(density.spectrum, PowerLaw) or anisotropic is not None:
        density.unit  # noqa: B018  refuses at the call what is no spectrum
    direction = unit_vector(tuple(mean)) if mean.any() else np.eye(3)[0]
    if anisotropic is not None and any(abs(direction[SPATIAL.index(d)]) > 1e-9 for d in SPATIAL if d not in sizes):
        raise ArgumentError(f"mean_field={mean_field!r} leaves the plane of {list(sizes)}: parallel is not in it")
    fields = realized(
        sizes, widths, density, rms=rms, mean=mean, seed=seed, chunks=chunks, dtype=dtype, direction=direction
    )
    notes = {"code": "mmfields", "seed": int(seed), "rms": float(rms), "k_min": low, "k_max": high}
    notes |= {"k_isotropic": whole} if whole < high else {}
    parts: dict[str, Any] = dict(zip(("Bx", "By", "Bz"), fields, strict=True))
    return from_arrays(**parts, spacing=widths, dims=tuple(sizes), units=units, **notes)


def realized(
    sizes: Mapping[str, int],
    widths: Mapping[str, float],
    density: "Density",
    *,
    rms: float,
    mean: np.ndarray,
    seed: int,
    chunks: Any,
    dtype: Any,
    direction: np.ndarray,
    form: str = "solenoidal",
) -> list[Any]:
    """Components of a realization over the axes of `sizes`, NumPy arrays or, with `chunks`, Dask arrays.

    Parameters
    ----------
    sizes, widths : mapping
        Cells, and their size, by axis.
    density : Density
    rms, mean, seed, chunks, dtype
        As :func:`gaussian`; the mean has as many numbers as there are components.
    direction : (x, y, z) array
        To which wavenumbers are parallel.
    form : {"solenoidal", "poloidal", "scalar"}
        Poloidal is about x.

    Raises
    ------
    ArgumentError
        If the seed or the dtype is unusable; when made, if the band holds no mode.
    """
    kind = real_kind(dtype)
    missing = [d for d in SPATIAL if d not in sizes]
    grid = _Grid(
        (*missing, *sizes),
        (*[1] * len(missing), *sizes.values()),
        (*[1.0] * len(missing), *[float(widths[d]) for d in sizes]),
        len(sizes),
        density,
        direction,
        kind,
        form,
    )
    keys = np.random.default_rng([require_whole(seed, "seed", 0), 12]).integers(0, 2**32, 2, dtype=np.uint32)
    make = _in_memory if chunks is None else partial(_in_chunks, chunks=chunks_of(chunks, sizes))
    return [field.reshape(tuple(sizes.values())) for field in make(grid, keys, float(rms), mean)]


def _limits(
    sizes: Mapping[str, int], widths: Mapping[str, float], k_min: Any, k_max: Any, *, directed: bool
) -> tuple[float, float, float]:
    """The band, checked against the grid, and the wavenumber up to which modes of all directions exist."""
    first = min(2 * np.pi / (sizes[d] * widths[d]) for d in sizes)
    coarse = max(widths, key=lambda d: widths[d])
    last, whole = np.pi / min(widths.values()), np.pi / widths[coarse]
    low = first if k_min is None else require_number(k_min, "k_min")
    high = (last if directed else whole) if k_max is None else require_number(k_max, "k_max")
    if not 0 < low < high:
        raise ArgumentError(f"k_min={k_min!r}, k_max={k_max!r}: two ascending, positive wavenumbers are needed")
    if low < first * (1 - 1e-9) or high > last * (1 + 1e-9):
        raise ArgumentError(
            f"the band from k={low:g} to {high:g} is not within those of the grid, {first:.6g} to {last:.6g}: "
            "take a larger box or smaller cells"
        )
    if directed:
        return low, high, high
    if high > whole * (1 + 1e-9):
        warnings.warn(
            f"k_max={high:g} is beyond the Nyquist wavenumber along {coarse}, {whole:.6g}: modes of that direction are "
            "missing there, so the field is not isotropic at those scales; take cells of one size, or a lower k_max",
            MmfieldsWarning,
            stacklevel=3,
        )
    return low, high, min(whole, high)


def _in_memory(grid: _Grid, keys: np.ndarray, rms: float, mean: np.ndarray) -> list[np.ndarray]:
    """Components in memory; threads share the planes of modes."""
    axes = grid.axes()
    counts = [len(k) for _, k, _ in axes]
    out = np.empty((grid.parts, *counts), np.result_type(grid.kind, np.complex64))
    sums = np.empty(counts[:2])

    def planes(places: Sequence[int]) -> None:
        size = None
        for i in places:
            part = slice(i, i + 1)
            own = [tuple(a[part] for a in axes[0]), *axes[1:]]
            size = _sizes_of(grid, own) if size is None else size
            sums[part] = _rows(size)
            _fill(grid, keys, own, size, out[:, part])

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(planes, _planes_of_same_sizes(grid)))
    scale = _scale(sums, grid, rms)
    fields = [backward_modes(part, grid.shape, (), overwrite=True) for part in out]

    def scale_plane(plane: np.ndarray, level: float) -> None:
        plane *= scale
        if level:
            plane += grid.kind.type(level)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda pair: scale_plane(*pair), ((p, m) for f, m in zip(fields, mean, strict=True) for p in f)))
    return fields


def _planes_of_same_sizes(grid: _Grid) -> list[list[int]]:
    """Groups of planes along the first axis with equal amplitudes: k and -k, unless the spectrum is anisotropic."""
    n = grid.shape[0]
    if grid.density.anisotropic is not None:
        return [[i] for i in range(n)]
    return [sorted({i, -i % n}) for i in range(n // 2 + 1)]


def _in_chunks(
    grid: _Grid, keys: np.ndarray, rms: float, mean: np.ndarray, *, chunks: tuple[tuple[int, ...], ...]
) -> list[Any]:
    import dask.array as da

    axes = grid.axes()
    n0, n1, n2 = (len(k) for _, k, _ in axes)
    # a block holds pencils of all three components and is as large as the transform makes a pencil of one
    cut = max(1, min(n1, (1 << 27) // (3 * 8 * n0 * n2)))
    along = da.from_array(np.arange(n1), chunks=(cut,))
    options = {"dtype": np.result_type(grid.kind, np.complex64)}
    modes = da.map_blocks(
        _block, along, grid=grid, keys=keys, **options, meta=np.empty((0,) * 4, options["dtype"]),
        chunks=((grid.parts,), (n0,), along.chunks[0], (n2,)), new_axis=[0, 1, 3],
    )  # fmt: skip
    sums = da.map_blocks(
        _block_rows, along, grid=grid, dtype=float, chunks=((n0,), along.chunks[0]), new_axis=0, meta=np.empty((0, 0))
    )
    scale = sums.rechunk(-1).map_blocks(
        _scale, grid, rms, dtype=grid.kind, chunks=((1,) * 3,) * 0, drop_axis=[0, 1], meta=np.empty((), grid.kind)
    )
    wide = ((1,),) * (3 - grid.rank) + tuple(chunks)
    return [backward_modes(modes[i], grid.shape, wide) * scale + grid.kind.type(mean[i]) for i in range(grid.parts)]


def _block(along: np.ndarray, *, grid: _Grid, keys: np.ndarray) -> np.ndarray:
    """Modes at the given indices along the second axis."""
    axes = _axes_of_part(grid, along)
    size = _sizes_of(grid, axes)
    return _fill(grid, keys, axes, size, np.empty((grid.parts, *size.shape), np.result_type(grid.kind, np.complex64)))


def _block_rows(along: np.ndarray, *, grid: _Grid) -> np.ndarray:
    return _rows(_sizes_of(grid, _axes_of_part(grid, along)))


def _axes_of_part(grid: _Grid, along: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    first, second, third = grid.axes()
    return [first, tuple(a[along] for a in second), third]


def _sizes_of(grid: _Grid, axes: Sequence[tuple[np.ndarray, ...]]) -> np.ndarray:
    return np.ascontiguousarray(grid.sizes([k for _, k, _ in axes], [n for _, _, n in axes]))


def _rows(size: np.ndarray) -> np.ndarray:
    """Mean squares of modes summed along the last axis over wavenumbers of both signs."""
    with np.errstate(invalid="ignore"):
        sums = 2 * np.square(size, dtype=float).sum(axis=-1) - np.square(size[..., 0], dtype=float)
    if not np.isfinite(sums).all():
        raise ArgumentError("the spectrum is not finite at a mode of the grid: limit it by k_min and k_max")
    return sums


def _fill(
    grid: _Grid, keys: np.ndarray, axes: Sequence[tuple[np.ndarray, ...]], size: np.ndarray, out: np.ndarray
) -> np.ndarray:
    """Amplitudes (3, …) of the modes of a block in one realization, in any unit."""
    from mmfields.kernels.gauss import fill

    where, form = tuple(SPATIAL.index(d) for d in grid.dims), FORMS.index(grid.form)
    whole, waves = tuple(w for w, _, _ in axes), tuple(k for _, k, _ in axes)
    turns = tuple(np.exp(0.5j * k * grid.widths[i]) for i, k in enumerate(waves))
    fill(form, keys, whole, waves, turns, where, size, out)
    return out


def _scale(sums: np.ndarray, grid: _Grid, rms: float) -> np.ndarray:
    """Factor that gives a field this rms; it includes the number of cells that the inverse transform divides by."""
    total = float(np.ascontiguousarray(sums).sum())
    if not total > 0:
        raise ArgumentError("the band holds no mode of the grid: widen it, or take a larger box")
    return np.asarray(rms / np.sqrt(total) * float(np.prod(grid.shape)), grid.kind)

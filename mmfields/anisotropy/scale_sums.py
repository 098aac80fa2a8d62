"""Sums over cells and over modes from which the scales and their errors follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from mmfields.anisotropy.jackknife import group_sums
from mmfields.anisotropy.scale_values import Sums, bessel
from mmfields.conventions import (
    SnapshotError,
)
from mmfields.fourier.levels import level_of
from mmfields.fourier.transform import backward_modes, forward_modes
from mmfields.kernels.modes import Modes
from mmfields.spectra.bins import Bins, sum_modes, weigh_modes

# Bins per lowest wavenumber of the box, so that a mode's phase at half the box is known to a fraction of 1/FINE.
FINE = 32


@dataclass(frozen=True)
class Moments:
    """Add the moments of a block; `names` are the names of the fields in errors."""

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


def products_of(spectrum: Any, par: Any, cuts: Any, bins: Bins, *, groups: int) -> list[tuple[Any, int]]:
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


def factors_of(moments: np.ndarray) -> np.ndarray:
    """Factors that normalize the modes of the fluctuation and of the density to unit power; 0 where there is none."""
    sums = Sums(*moments.sum(axis=0), *[np.nan] * 4)
    n = moments[:, 0].sum()
    squares = np.array([sums.par2 / n - (sums.par / n) ** 2, sums.n2 / n - (sums.n / n) ** 2])
    good = squares > 0
    return np.divide(1.0 / n, np.sqrt(np.where(good, squares, 1.0)), out=np.zeros(2), where=good)


def powers_of_correlation(spectrum: Any, par: Any, numbers: Any, bins: Bins) -> Any:
    """Means over all lags of the correlation function's powers 2, 3 and 4."""
    rank, cells = len(bins.dims), float(np.prod(bins.shape))
    weighed = weigh_modes(spectrum, numbers, bins, _Correlation(cells))
    correlation = backward_modes(weighed, bins.shape, _chunks(par, rank), overwrite=True)
    return group_sums(_add_powers, [correlation], [], rank=rank, groups=1, columns=3)[..., 0, :] / cells


@dataclass(frozen=True)
class _Correlation:
    """Turn a spectrum into that of the correlation coefficient; `cells` is the number of cells of the box."""

    cells: float

    def __call__(self, spectrum: np.ndarray, modes: Modes, _: Any, further: np.ndarray, out: np.ndarray) -> None:
        from mmfields.kernels.scales import normalized_power

        normalized_power(spectrum, modes, self.cells * further[0] ** 2, out)


def _add_powers(fields: list[np.ndarray], _: Any, edges: list[np.ndarray], out: np.ndarray) -> None:
    from mmfields.kernels.moments import add_powers

    add_powers(np.ascontiguousarray(fields[0]), edges[0][0, 0], edges[0][-1, 1], out[0, 0, 0])


def spread_of(spectrum: Any, arrays: Sequence[Any], par: Any, numbers: Any, bins: Bins) -> Any:
    """Sums over modes from which the scatter of the scales of a Gaussian field follows."""
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
    """Power in float64, because squares can leave the range of float32."""
    if hasattr(spectrum, "dask"):
        return spectrum.map_blocks(_power_of, dtype=np.float64, meta=np.empty((0,) * spectrum.ndim))
    return np.square(spectrum.real, dtype=np.float64) + np.square(spectrum.imag, dtype=np.float64)


@dataclass(frozen=True)
class _Spread:
    """Add the sums for the scatter of the scales; the further numbers are the two cut-offs and the two factors."""

    def __call__(self, spectra: Sequence[np.ndarray], modes: Modes, *numbers: np.ndarray, out: np.ndarray) -> None:
        from mmfields.kernels.scales import add_spread

        *grid, further = numbers
        both = tuple(_partial_integrals(further[i], modes, across=i == 1) for i in range(2))
        none = np.empty((*spectra[0].shape[:2], 0), spectra[0].dtype)
        parts = tuple(np.ascontiguousarray(s) for s in (*spectra, none)[:3])
        add_spread(parts, modes, *grid, further[2:], both, out)


def fine_width(bins: Bins) -> float:
    """Width of the fine bins of wavenumber, from which integral scales are found."""
    return bins.width / FINE


def size_of_lines(bins: Bins) -> tuple[int, int]:
    """Shape of the sums of power in fine bins."""
    from mmfields.kernels.scales import COLUMNS

    return bins.size * FINE + 2, COLUMNS


@dataclass(frozen=True)
class Lines:
    """Add the power of a spectrum to fine bins of k_perp and |k_par|."""

    width: float

    def __call__(self, spectra: Sequence[np.ndarray], *numbers: Any, out: np.ndarray) -> None:
        from mmfields.kernels.scales import power_on_lines

        power_on_lines(spectra[0], *numbers, self.width, out)


@dataclass(frozen=True)
class _Density:
    """Weigh a spectrum so that the mean of its product with the field is a scale, or k², times <dB_par²>.

    `scale` chooses l rather than k²; `across` chooses across the field rather than along it.
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
    values = bessel(x)
    whole = np.concatenate([[0.0], np.cumsum(values[1:] + values[:-1]) * step / 2])
    return Scale(across, cut * np.divide(whole, x, out=np.ones_like(x), where=x > 0), cut / step)

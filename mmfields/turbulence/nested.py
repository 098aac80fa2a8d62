"""Periodic grids of several scales, added up at the particles."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
    axis_spacing,
    components,
    require_number,
    require_periodic,
    require_values,
    require_vector,
    require_whole,
    unit_attrs,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.turbulence.base import Synthetic
from mmfields.turbulence.gauss import gaussian
from mmfields.turbulence.shapes import Shape, correlation_length, integral, require_limits, shape_of, values_of

# Cells that a wave needs so that trilinear interpolation keeps nine tenths of its power along an axis.
CELLS_PER_WAVE = 8


@dataclass(frozen=True)
class NestedGrids(Synthetic):
    """Sum of periodic cubes, each repeated without end and trilinear between its cells, which ``mm.trace`` takes.

    Parameters
    ----------
    grids : tuple of xarray.Dataset
        Snapshots with ``Bx By Bz`` over cubes of cubic cells, the largest first; their means do not count.
    bands : tuple of (k_min, k_max)
        Wavenumbers that each holds [rad per length unit].
    strengths : tuple of float
        Rms of each, between its cells.
    spectrum : callable
        E(k), in any unit.
    mean_field : (float, float, float)

    Raises
    ------
    ArgumentError, SnapshotError
        If a grid is no cube.
    """

    grids: tuple[xr.Dataset, ...]
    bands: tuple[tuple[float, float], ...]
    strengths: tuple[float, ...]
    spectrum: Shape
    mean_field: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not self.grids or not len(self.grids) == len(self.bands) == len(self.strengths):
            raise ArgumentError("as many grids as bands and strengths, at least one of each, are needed")
        require_vector(self.mean_field, "mean_field")
        if (require_values(self.strengths, "strengths") < 0).any():
            raise ArgumentError(f"strengths={self.strengths!r}: numbers from 0 on are needed")
        for band in self.bands:
            require_limits(*band)
        for i, grid in enumerate(self.grids):
            _require_cube(grid, i)

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.sum(np.square(self.strengths))))

    @property
    def shortest(self) -> float:
        return 2 * np.pi / max(high for _, high in self.bands)

    @property
    def longest(self) -> float:
        return 2 * np.pi / min(low for low, _ in self.bands)

    @property
    def units(self) -> dict[str, str]:
        return unit_attrs(self.grids[0]["Bx"])

    def correlation_length(self, convention: str = "one-sided") -> float:
        """Correlation length of the ensemble, see :func:`mmfields.turbulence.correlation_length`."""
        low, high = 2 * np.pi / self.longest, 2 * np.pi / self.shortest
        return correlation_length(self.spectrum, k_min=low, k_max=high, convention=convention)

    def modes_per_octave(self, k: float) -> float:
        return np.inf if self.bands[0][0] / 2**0.5 <= k <= self.bands[-1][1] * 2**0.5 else 0.0

    def label(self) -> str:
        return f"{len(self.grids)} nested grids, linear"

    def kernel_form(self) -> tuple[int, int]:
        from mmfields.kernels.setup import Interpolation

        return Interpolation.NESTED, len(self.grids)

    def packed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Numbers as the kernel takes them: all cubes (z, y, x, 3), where each begins, cells per length, cells."""
        counts = [grid.sizes["x"] for grid in self.grids]
        begins = np.cumsum([0, *[3 * n**3 + 1 for n in counts]])
        kind = np.result_type(*(grid["Bx"].dtype for grid in self.grids), np.float32)
        data = np.zeros(begins[-1], kind)
        for i, (grid, begin) in enumerate(zip(self.grids, begins, strict=False)):
            out = data[begin : begins[i + 1] - 1].reshape(counts[i], counts[i], counts[i], 3)
            for c, name in enumerate(components(grid)):
                values = grid[name].transpose(*SPATIAL[::-1]).values
                if not np.isfinite(values).all():
                    raise SnapshotError(f"{name} of grid {i} is not finite: fill it before tracing")
                out[..., c] = values - values.mean(dtype=float) + (self.mean_field[c] if i == 0 else 0.0)
        inverse = np.array([1 / axis_spacing(grid, "x") for grid in self.grids])
        return data, begins.astype(np.int64), inverse, np.array(counts, float)


def _require_cube(grid: xr.Dataset, i: int) -> None:
    """Refuse what is no periodic cube of cubic cells with its lower corner at 0."""
    if any(set(grid[n].dims) != set(SPATIAL) for n in components(grid)):
        raise SnapshotError(f"grid {i} has dims {grid['Bx'].dims}: a cube over x, y, z is needed")
    cells = {d: axis_spacing(grid, d) for d in SPATIAL}
    if len({grid.sizes[d] for d in SPATIAL}) > 1 or np.ptp(list(cells.values())) > 1e-6 * cells["x"]:
        raise SnapshotError(f"grid {i} has {dict(grid.sizes)} cells of {cells}: a cube of cubic cells is needed")
    corner = {d: float(grid[d][0]) - 0.5 * cells[d] for d in SPATIAL}
    if max(abs(c) for c in corner.values()) > 1e-6 * cells["x"]:
        raise SnapshotError(f"grid {i} begins at {corner}: cubes that repeat begin at 0, so shift the coordinates")
    require_periodic(grid, "a cube that is repeated")


def _kept(shape: Shape, low: float, high: float, cell: float) -> float:
    """Share of a band's power that trilinear interpolation keeps, (2 + cos kΔ)/3 along each axis."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    half = 0.5 * np.log(high / low)
    k = low * np.exp(half * (nodes + 1))
    turn, cosine = np.arange(200) * np.pi * (1 + 5**0.5), (np.arange(200) + 0.5) / 100 - 1
    sine = np.sqrt(1 - cosine**2)
    unit = np.stack([sine * np.cos(turn), sine * np.sin(turn), cosine])
    share = np.prod((2 + np.cos(k[:, None, None] * cell * unit)) / 3, axis=1).mean(axis=1)
    energy = values_of(shape, k) * k * weights
    return float((energy * share).sum() / energy.sum())


def nested_grids(
    *,
    k_min: float,
    k_max: float,
    spectrum: float | Shape = 5 / 3,
    rms: float = 1.0,
    mean_field: Sequence[float] = (0.0, 0.0, 0.0),
    cells: int = 128,
    waves_per_box: float = 2.0,
    seed: int,
) -> NestedGrids:
    """Isotropic turbulence on as many periodic cubes as its range of scales needs (Sec. 3.1).

    The range is cut into bands of equal ratio that join without a gap; band i has δB_i² = ∫E dk over it of the whole
    δB², and a cube of its own with eight cells or more per shortest wave.

    Parameters
    ----------
    k_min, k_max : float
        [rad per length unit]
    spectrum : float or callable
        Slope s of E(k) ∝ k^-s, or E(k).
    rms : float
        Of all bands together.
    mean_field : three numbers
        (x, y, z)
    cells : int
        Along an axis of each cube: 25 MB for 128.
    waves_per_box : float
        Longest waves of a band along its cube; with more of them a band is narrower, and there are more cubes.
    seed : int

    Returns
    -------
    NestedGrids

    Raises
    ------
    ArgumentError, SnapshotError
        If a number is unusable, or the cells do not hold a band of a factor 1.5.
    """
    low, high = require_limits(k_min, k_max)
    if require_number(rms, "rms") <= 0:
        raise ArgumentError(f"rms={rms!r}: a positive number is needed")
    mean = require_vector(mean_field, "mean_field")
    count, waves = require_whole(cells, "cells", 8), require_number(waves_per_box, "waves_per_box", 1.0)
    widest = count / (CELLS_PER_WAVE * waves)
    if widest < 1.5:
        raise ArgumentError(
            f"cubes of {count} cells hold {waves:g} waves of {CELLS_PER_WAVE} cells and more only over a factor of "
            f"{widest:.2g} in scale: take at least {int(np.ceil(1.5 * CELLS_PER_WAVE * waves))} cells"
        )
    shape = shape_of(spectrum)
    number = max(1, int(np.ceil(np.log(high / low) / np.log(widest) - 1e-9)))
    edges = np.geomspace(low, high, number + 1)
    powers = np.array([integral(shape, a, b) for a, b in pairwise(edges)])
    bands = [band for band, power in zip(pairwise(edges), powers, strict=True) if power > 0]
    powers = powers[powers > 0]
    if not bands:
        raise ArgumentError(f"spectrum={spectrum!r} is 0 everywhere from k={low:g} to {high:g}")
    strengths = rms * np.sqrt(powers / powers.sum())
    seeds = np.random.SeedSequence(require_whole(seed, "seed", 0)).generate_state(number)
    grids = []
    for (a, b), strength, own in zip(bands, strengths, seeds, strict=False):
        cell = waves * 2 * np.pi / a / count
        # so that the field between the cells, weaker than at them, has the strength
        inner = strength / np.sqrt(_kept(shape, a, b, cell))
        options = {"spacing": cell, "k_min": a, "k_max": b, "rms": inner, "seed": int(own)}
        grids.append(gaussian(count, spectrum=shape, dtype=np.float32, **options))
    limits = tuple((float(a), float(b)) for a, b in bands)
    return NestedGrids(tuple(grids), limits, tuple(map(float, strengths)), shape, mean)

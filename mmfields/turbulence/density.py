"""Spectral density of a Gaussian field, and the box that it fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mmfields._compat import all_chunks
from mmfields.conventions import SPATIAL, require_number, require_whole
from mmfields.errors import ArgumentError
from mmfields.turbulence.shapes import PowerLaw, Shape, values_of


@dataclass(frozen=True)
class Density:
    """Mean square of a mode in any unit: E over the size of its shell or ring; wavenumbers are relative to `low`."""

    spectrum: Shape
    anisotropic: Callable[[np.ndarray, np.ndarray], np.ndarray] | None
    low: float
    high: float
    rank: int

    def __call__(self, k_par: np.ndarray | None, k_perp: np.ndarray | None, k: np.ndarray) -> np.ndarray:
        last = k.dtype.type(self.high / self.low)
        inside = (k >= 1 - 1e-6) & (k <= last * (1 + 1e-6))
        if self.anisotropic is None:
            own = np.clip(k, 1, last)
            return self._energy(own) / own ** (self.rank - 1) * inside
        if self.rank == 3:  # the size of a ring; in a plane it is two points
            inside &= k_perp > 0
        out = np.zeros(k.shape)
        ring = k_perp[inside] if self.rank == 3 else 1.0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            energy = self.anisotropic(k_par[inside] * self.low, k_perp[inside] * self.low)
        out[inside] = np.asarray(energy, float) / self.unit / ring
        return out

    def _energy(self, k: np.ndarray) -> np.ndarray:
        """E at wavenumbers relative to the lowest one; a power law keeps their dtype, which has digits enough."""
        if isinstance(self.spectrum, PowerLaw):
            return self.spectrum(k)
        values = np.asarray(self.spectrum(k.astype(float) * self.low), float) / self.unit
        if (values < 0).any():
            raise ArgumentError(f"spectrum={self.spectrum!r} is negative at a mode of the grid")
        return values.astype(k.dtype)

    @cached_property
    def unit(self) -> float:
        """Largest of a few values of the spectrum, which is the unit of all others; refuses what is no spectrum."""
        k = np.geomspace(self.low, min(self.high, 1e300), 64)
        if self.anisotropic is None:
            return float(values_of(self.spectrum, k).max())
        a, b = (m.ravel() for m in np.meshgrid(k, k))
        return float(values_of(lambda _: self.anisotropic(a, b), a, "anisotropic").max())


def real_kind(dtype: Any) -> np.dtype:
    """float64 or float32.

    Raises
    ------
    ArgumentError
        If it is neither.
    """
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.float32, np.float64):
        raise ArgumentError(f"dtype={dtype!r}: float64 or float32 is needed")
    return kind


def sizes_of(shape: Any) -> dict[str, int]:
    """Cells by axis, two or three of them, from what :func:`gaussian` takes.

    Raises
    ------
    ArgumentError
        If it has another form, or an axis has fewer than four cells.
    """
    if isinstance(shape, Mapping):
        sizes = dict(shape)
    elif isinstance(shape, int | np.integer):
        sizes = dict.fromkeys(SPATIAL[::-1], shape)
    else:
        numbers = list(shape) if np.ndim(shape) == 1 else []
        if len(numbers) not in (2, 3):
            raise ArgumentError(f"shape={shape!r}: cells along z, y, x or y, x are needed")
        sizes = dict(zip(SPATIAL[::-1][-len(numbers) :], numbers, strict=True))
    if set(sizes) - set(SPATIAL) or len(sizes) < 2:
        raise ArgumentError(f"shape={shape!r}: two or three of the axes x, y, z are needed")
    return {d: require_whole(n, f"cells along {d}", 4) for d, n in sizes.items()}


def widths_of(spacing: Any, sizes: Mapping[str, int]) -> dict[str, float]:
    """Cell size by axis, from one number or one for each.

    Raises
    ------
    ArgumentError
        If one is missing or not positive.
    """
    widths = dict.fromkeys(sizes, spacing) if not isinstance(spacing, Mapping) else dict(spacing)
    if set(widths) != set(sizes) or any(require_number(w, "spacing") <= 0 for w in widths.values()):
        raise ArgumentError(f"spacing={spacing!r}: positive numbers for {list(sizes)} are needed")
    return {d: float(widths[d]) for d in sizes}


def chunks_of(chunks: Any, sizes: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
    """Chunks along each axis, from what Dask takes.

    Raises
    ------
    ArgumentError
        If they are not valid chunks, or name another axis.
    """
    if isinstance(chunks, Mapping) and (unknown := set(chunks) - set(sizes)):
        raise ArgumentError(f"chunks name axes {sorted(map(str, unknown))}, the field has {list(sizes)}")
    given = tuple(chunks.get(d, -1) for d in sizes) if isinstance(chunks, Mapping) else chunks
    try:
        found = all_chunks(given, tuple(sizes.values()), np.float64)
        if min(min(c) for c in found) < 1:
            raise ValueError("they are not positive")
        return found
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ArgumentError(f"chunks={chunks!r} do not cut {dict(sizes)} ({error})") from error

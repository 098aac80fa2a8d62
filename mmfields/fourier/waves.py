"""Wavevectors of the modes of a real transform."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mmfields.conventions import SPATIAL


@dataclass(frozen=True)
class Waves:
    """Wavevectors of a block of modes.

    Parameters
    ----------
    dims : tuple of str
        Spatial dims, in array order.
    k : tuple of arrays
        Wavenumbers [rad per length unit] along each, shaped to broadcast.
    nyquist : tuple of bool arrays
        Where each is the Nyquist wavenumber of an even axis, which stands for both signs.
    """

    dims: tuple[str, ...]
    k: tuple[np.ndarray, ...]
    nyquist: tuple[np.ndarray, ...]

    def component(self, dim: str) -> np.ndarray | float:
        """Wavenumbers along x, y or z; 0 along an axis that the array does not have."""
        return self.k[self.dims.index(dim)] if dim in self.dims else 0.0

    def signs(self) -> "list[Waves]":
        """The same modes with every combination of signs of their Nyquist wavenumbers."""
        both = [(c, np.where(n, -c, c)) if n.any() else (c,) for c, n in zip(self.k, self.nyquist, strict=True)]
        return [Waves(self.dims, k, self.nyquist) for k in product(*both)]

    def rows(self, start: int, stop: int) -> "Waves":
        """The modes of a range of rows of the first axis."""
        part = slice(start, stop)
        k, nyquist = (self.k[0][part], *self.k[1:]), (self.nyquist[0][part], *self.nyquist[1:])
        return Waves(self.dims, k, nyquist)

    def par_perp(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """|k_par| and k_perp relative to a unit (x, y, z) direction."""
        along = sum(c * direction[SPATIAL.index(d)] for c, d in zip(self.k, self.dims, strict=True))
        square = sum(c**2 for c in self.k)
        par2 = along**2 + 0 * square
        # components that come from rounding alone are set to 0
        parts = (np.where(part > 1e-12 * square, part, 0.0) for part in (par2, square - par2))
        return tuple(np.sqrt(part) for part in parts)


def wavenumbers(n: int, width: float, *, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers of an axis, and which of them is its Nyquist wavenumber."""
    k = 2 * np.pi * (np.fft.rfftfreq(n, width) if half else np.fft.fftfreq(n, width))
    nyquist = np.zeros(len(k), bool)
    if n % 2 == 0:
        nyquist[n // 2] = True
    return k, nyquist


def fast_length(n: int) -> int:
    """Smallest length of at least `n` whose transform is fast."""
    from scipy import fft

    return fft.next_fast_len(n, real=True)


def waves_of(dims: Sequence[str], shape: Sequence[int], widths: Sequence[float]) -> Waves:
    """Wavevectors of the real transform of an array; the last axis holds half of the wavenumbers."""
    parts = [wavenumbers(n, w, half=i == len(shape) - 1) for i, (n, w) in enumerate(zip(shape, widths, strict=True))]
    return shaped_waves(dims, [k for k, _ in parts], [n for _, n in parts])


def shaped_waves(dims: Sequence[str], k: Sequence[np.ndarray], nyquist: Sequence[np.ndarray]) -> Waves:
    """Wavevectors whose axes have shapes that broadcast against each other."""

    def spread(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        rank = len(arrays)
        return tuple(a.reshape([-1 if i == axis else 1 for i in range(rank)]) for axis, a in enumerate(arrays))

    return Waves(tuple(dims), spread(k), spread(nyquist))

"""Emission along lines of sight, Faraday-rotated on its way to the observer and summed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmfields.conventions import per_snapshot
from mmfields.errors import SnapshotError
from mmfields.faraday.depth import LAYOUT, places_of
from mmfields.faraday.line_of_sight import (
    Columns,
    chunked_alike,
    density_times_field,
    needed,
    positive,
    require_finite,
    straightened,
    towards,
)
from mmfields.spectra.bins import shared

PLANES = 32
# Largest rotation of a column within a channel [rad] for which the nodes of a channel average it to 1e-9.
MOST_TURN = 28.0


@dataclass(frozen=True)
class _Emitter:
    """Emission and Faraday depth of the cells of a block."""

    direction: tuple[float, ...]
    north: tuple[float, ...]
    east: tuple[float, ...]
    shifts: tuple[float, float]
    depth: float
    dense: bool
    emission: str
    index: float
    planes: int
    waves: np.ndarray
    width: float

    @property
    def kept(self) -> int:
        """How many numbers each line of sight carries from block to block."""
        return 2 * len(self.waves) + 3

    def cells(self, arrays: Sequence[np.ndarray], places: np.ndarray) -> list[np.ndarray]:
        """Faraday depth, emission and direction of the emission of the cells, over three axes."""
        fields = [a.astype(np.float64, copy=False) for a in arrays]
        number = fields.pop() if self.dense else None
        depth = density_times_field(fields[: len(self.direction)], self.direction, number) * self.depth
        if self.emission == "internal":
            one = np.ones((1, 1, 1))
            return [self.rows(depth, places), one / self.planes, one, 0 * one]
        depth, strength, *polarized = (self.rows(p, places) for p in (depth, *self.emitted(fields)))
        if self.shifts == (0.0, 0.0):
            return [depth, strength, *polarized]
        with np.errstate(divide="ignore", invalid="ignore"):
            return [depth, strength, *(np.where(strength > 0, p / strength, 0.0) for p in polarized)]

    def emitted(self, fields: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Emission of the cells and its direction, cos 2χ and sin 2χ; on oblique lines, its Q and U."""
        north, east = towards(fields[:3], self.north), towards(fields[:3], self.east)
        size = np.hypot(north, east)
        with np.errstate(divide="ignore", invalid="ignore"):  # the emission is polarized perpendicular to the field
            north, east = (np.where(size > 0, c / size, 0.0) for c in (north, east))
        strength = size ** ((self.index + 1) / 2) * (positive(fields[3], "n_CR") if len(fields) > 3 else 1.0)
        weight = 1.0 if self.shifts == (0.0, 0.0) else strength
        return [strength, weight * (east**2 - north**2), weight * -2 * north * east]

    def rows(self, array: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Cells shifted so that those on one line of sight lie behind each other, over three axes."""
        upright = straightened(array, places, self.shifts)
        return np.ascontiguousarray(upright.reshape(len(places), -1, array.shape[-1] if array.ndim > 1 else 1))


def _emitter(columns: Columns, waves: np.ndarray, emission: str, index: float, width: float) -> _Emitter:
    north, east = columns.sight.north_east()
    sizes = columns.arrays[0].shape
    return _Emitter(
        columns.sight.direction,
        tuple(north),
        tuple(east),
        columns.shifts,
        columns.depth,
        columns.density is not None,
        emission,
        index,
        sizes[len(columns.lead)],
        waves,
        width,
    )


def emitted(columns: Columns, waves: np.ndarray, emission: str, index: float, width: float) -> Any:
    """Polarization over mean intensity, (…, wavelength, rows, columns)."""
    emitter, rank = _emitter(columns, waves, emission, index, width), 1 + len(columns.dims)
    fields = columns.arrays
    if emission == "internal":
        fields, direction = needed(columns)
        emitter = replace(emitter, direction=direction)
    arrays = [*fields, *([] if columns.density is None else [columns.density])]

    def column(*own: Any) -> Any:
        if any(hasattr(a, "dask") for a in own):
            return _lazy(own, emitter, rank)
        begin = np.zeros((emitter.kept, *own[0].shape[1:]))
        seen = _add_block(begin, *own, places_of(own[0], rank), emitter=emitter, threads=os.cpu_count() or 1)
        return _over_intensity(seen, seen[-1], emitter=emitter)

    return per_snapshot(column, arrays, len(columns.lead))


def _lazy(own: Sequence[Any], emitter: _Emitter, rank: int) -> Any:
    """Add the chunks one after the other in order of distance from the observer, to the sum of those in front.

    The cells are therefore added in the same order for all chunks; chunks side by side in the map are independent.
    """
    import dask.array as da

    own, axes = chunked_alike(own, emitter.shifts != (0.0, 0.0)), LAYOUT[:rank]
    places = places_of(own[0], rank)
    across = own[0].chunks[1:]
    threads = max(1, (os.cpu_count() or 1) // int(np.prod([len(c) for c in across])))
    seen = da.zeros((emitter.kept, *own[0].shape[1:]), chunks=(-1, *across))
    end = own[0].shape[0]
    for size in own[0].chunks[0][::-1]:
        part = slice(end - size, end)
        seen = da.blockwise(
            _add_block,
            "s" + axes[1:],
            seen,
            "s" + axes[1:],
            *(item for a in own for item in (a[part], axes)),
            places[part],
            None,
            concatenate=True,
            align_arrays=False,
            dtype=np.float64,
            meta=np.empty((0,) * rank),
            emitter=emitter,
            threads=threads,
        )
        end -= size
    return da.blockwise(
        _over_intensity,
        "s" + axes[1:],
        seen,
        "s" + axes[1:],
        seen[-1].rechunk(-1).to_delayed().item(),
        None,
        adjust_chunks={"s": len(emitter.waves)},
        dtype=np.complex128,
        meta=np.empty((0,) * rank, complex),
        emitter=emitter,
    )


def _add_block(seen: np.ndarray, *arrays: np.ndarray, emitter: _Emitter, threads: int = 1) -> np.ndarray:
    """Sums up to the far side of a block: Q and U at all wavelengths, depth, its extreme value, and intensity.

    Parameters
    ----------
    seen : (kept, rows, columns) array
        The same sums over what lies in front of the block.
    arrays
        Fields of the block, and the places of its planes.
    """
    from mmfields.kernels.faraday import Cells, Seen, polarized

    *fields, places = arrays
    shape, many = fields[0].shape[1:], len(emitter.waves)
    flat = (int(np.prod(shape[:-1])), shape[-1] if shape else 1)
    out = np.array(seen).reshape(emitter.kept, *flat)
    real, imaginary, running, deepest, intensity = out[:many], out[many : 2 * many], *out[2 * many :]
    for end in range(len(places), 0, -PLANES):
        part = slice(max(end - PLANES, 0), end)
        cells = emitter.cells([f[part] for f in fields], places[part])

        def rows(own: slice, cells=cells) -> int:
            few = Cells(*(c if c.size == 1 else c[:, own] for c in cells))
            polarized(few, emitter.waves, Seen(running[own], deepest[own], real[:, own], imaginary[:, own]))
            return 0

        shared(rows, flat[0], threads)
        for strength in cells[1][::-1] if cells[1].size > 1 else cells[1].repeat(len(places[part]), 0):
            intensity += strength
    return out.reshape(seen.shape)


def _over_intensity(seen: np.ndarray, intensity: np.ndarray, *, emitter: _Emitter) -> np.ndarray:
    """Complex P over the mean intensity of the whole map, (wavelengths, rows, columns)."""
    many = len(emitter.waves)
    require_finite(intensity, "the emission", "P is in units of its mean")
    turned = 2 * emitter.width * float(seen[-2].max(initial=0.0))
    if turned > MOST_TURN:
        raise SnapshotError(
            f"channel_width={emitter.width:g} m²: a column turns its polarization by {turned:.3g} rad within one, "
            f"more than the {MOST_TURN:g} that its average can follow: take narrower channels and average them"
        )
    mean = float(np.ascontiguousarray(intensity).mean())
    if not mean > 0:
        raise SnapshotError(f"the mean emission is {mean:g}: nothing in the box emits, so P has no meaning")
    return (seen[:many] + 1j * seen[many : 2 * many]) / mean

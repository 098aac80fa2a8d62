"""How tasks hold a field: packed once for the kernel, whole or in regions, in memory or in files that a host shares."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from mmfields.conventions import SnapshotError
from mmfields.io._shared import Mapped, create, fill, forget, one_host, view
from mmfields.io.storing import client_in_force


@dataclass(frozen=True)
class Form:
    """What becomes of components for the kernel.

    Parameters
    ----------
    names : tuple of str
        Of three components of the magnetic field, and three of the electric field if there is one.
    kind : type
        Of the numbers.
    beyond : tuple of str
        Coefficients of a cubic spline are taken, and what lies beyond each axis (z, y, x) for it; empty without one.
    spectral : bool
        Fourier coefficients are taken.
    """

    names: tuple[str, ...]
    kind: type[np.floating]
    beyond: tuple[str, ...]
    spectral: bool


def whole(parts: Sequence[Any], mask: Any, form: Form) -> tuple[Any, Any, Any]:
    """Magnetic field, electric field and mask as the kernel takes them: delayed, made once for all tasks.

    (As arrays of one chunk they would be copied for every task.)

    Parameters
    ----------
    parts : sequence of dask arrays
        Components over (z, y, x).
    mask : dask array, optional
    """
    import dask

    marks = np.zeros((1, 1, 1), np.uint8) if mask is None else dask.delayed(np.ascontiguousarray, pure=True)(mask)
    if form.spectral:
        made = [dask.delayed(_modes, pure=True)(*vector, names=names) for vector, names in vectors(parts, form)]
    elif one_host():
        region = [((0, 0, 0), parts[0].shape)]
        one = dask.delayed(_filled_one, pure=True)
        made = [
            one(*_in_files(vector, region, parts[0].shape, names, form.kind), form.kind)
            for vector, names in vectors(parts, form)
        ]
    else:
        made = [
            dask.delayed(_pack, pure=True)(*vector, names=names, kind=form.kind)
            for vector, names in vectors(parts, form)
        ]
    return made[0], made[1] if made[1:] else np.zeros(1), marks


def vectors(parts: Sequence[Any], form: Form) -> Iterator[tuple[list[Any], tuple[str, ...]]]:
    """Three components at a time with their names; splines' coefficients where these are wanted."""
    for first in range(0, len(parts), 3):
        three, names = list(parts[first : first + 3]), form.names[first : first + 3]
        if form.beyond:
            three = [_coefficients(part, name, form.beyond) for part, name in zip(three, names, strict=True)]
        yield three, names


def spans(begin: int, length: int, n: int, size: int) -> list[tuple[int, int, int]]:
    """Where so many cells lie that go on at the start beyond the n-th: (low, high, how far they are shifted).

    A `size` beyond n, one face more, is read where nothing goes on.
    """
    stop = begin + length
    return [(begin, stop, 0)] if stop <= size else [(begin, n, 0), (n, stop, n)]


def in_regions(
    parts: Sequence[Any], regions: Sequence[Any], cells: Sequence[int], names: Sequence[str], kind: Any
) -> Any:
    """Regions of components side by side, each in a file of the host that made it: delayed `Mapped`, or a list of them.

    Parameters
    ----------
    parts : sequence of dask arrays
        Over (z, y, x).
    regions : sequence of (begins, lengths)
        First place and number of places (z, y, x); they go on at the start beyond the end.
    cells : sequence of int
        After which they do so.
    """
    import dask

    if client_in_force() is None or one_host():
        return dask.delayed(_filled, pure=True)(*_in_files(parts, regions, cells, names, kind), kind)
    pack = dask.delayed(_pack_region, pure=True)
    return [pack([_cut(p, *region, cells) for p in parts], region[0], cells, names, kind) for region in regions]


def _cut(array: Any, begins: Sequence[int], lengths: Sequence[int], cells: Sequence[int]) -> Any:
    """Part of an array, which goes on at the start beyond the end."""
    import dask.array as da

    for axis, (begin, length, n) in enumerate(zip(begins, lengths, cells, strict=True)):
        across = (slice(None),) * axis
        pieces = [array[(*across, slice(a - s, b - s))] for a, b, s in spans(begin, length, n, array.shape[axis])]
        array = da.concatenate(pieces, axis) if pieces[1:] else pieces[0]
    return array


def _pack_region(
    parts: Sequence[np.ndarray], begins: Sequence[int], cells: Sequence[int], names: Sequence[str], kind: Any
) -> Mapped:
    for part, name in zip(parts, names, strict=True):
        require_finite(part, name, begins, cells)
    return fill(pack(parts, kind))


def _in_files(
    parts: Sequence[Any], regions: Sequence[Any], cells: Sequence[int], names: Sequence[str], kind: Any
) -> tuple[Any, list[Any]]:
    """Files of one host, and what fills them, delayed.

    Every chunk is written where it belongs as soon as it is there, so that no more than that is ever in memory.
    """
    import dask

    files = dask.delayed(_new_files, pure=False)(tuple(regions), len(parts), kind)
    chunks, size = parts[0].chunks, parts[0].shape
    corners = product(*([0, *np.cumsum(c[:-1]).tolist()] for c in chunks))
    blocks = zip(*(part.rechunk(chunks).to_delayed().ravel() for part in parts), strict=True)
    write = dask.delayed(_write, pure=True)
    written = [
        write(files, list(together), corner, cells, size, names, kind)
        for corner, together in zip(corners, blocks, strict=True)
    ]
    return files, written


def _new_files(regions: Sequence[Any], count: int, kind: Any) -> list[tuple[str, Any, Any]]:
    return [(create(count * int(np.prod(lengths)) + 1, kind), begins, lengths) for begins, lengths in regions]


def _write(
    files: Sequence[Any],
    chunk: Sequence[np.ndarray],
    corner: Sequence[int],
    cells: Sequence[int],
    size: Sequence[int],
    names: Sequence[str],
    kind: Any,
) -> None:
    """A chunk of the components into all files that it belongs to, which go with the first that is refused."""
    try:
        for part, name in zip(chunk, names, strict=True):
            require_finite(part, name, corner)
    except SnapshotError:
        for path, _, _ in files:
            forget(path)
        raise
    for path, begins, lengths in files:
        axes = zip(begins, lengths, cells, size, corner, chunk[0].shape, strict=True)
        places = list(product(*(_overlaps(*axis) for axis in axes)))
        if not places:
            continue
        try:
            out = view(path, kind, "r+")[:-1].reshape(*lengths, len(chunk))
        except FileNotFoundError:
            return  # another chunk was refused, and says so; without the file nothing runs on
        for c, part in enumerate(chunk):
            for place in places:
                out[(*(there for there, _ in place), c)] = part[tuple(here for _, here in place)]


def _overlaps(begin: int, length: int, n: int, size: int, corner: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Where a chunk lies in a region, along one axis, and which part of the chunk that is."""
    for low, high, shift in spans(begin, length, n, size):
        first, stop = max(low, corner + shift), min(high, corner + width + shift)
        if first < stop:
            yield slice(first - begin, stop - begin), slice(first - shift - corner, stop - shift - corner)


def _filled(files: Sequence[Any], _: Any, kind: Any) -> list[Mapped]:
    return [Mapped(path, kind) for path, _, _ in files]


def _filled_one(files: Sequence[Any], written: Any, kind: Any) -> Mapped:
    return _filled(files, written, kind)[0]


def _pack(*parts: np.ndarray, names: Sequence[str], kind: Any) -> np.ndarray:
    for part, name in zip(parts, names, strict=True):
        require_finite(part, name)
    return pack(parts, kind)


def pack(parts: Sequence[np.ndarray], kind: Any) -> np.ndarray:
    """Components side by side, (z, y, x, component) made flat and one number more."""
    shape = *parts[0].shape, len(parts)
    flat = np.zeros(int(np.prod(shape)) + 1, kind)
    for c, part in enumerate(parts):
        flat[:-1].reshape(shape)[..., c] = part
    flat.flags.writeable = False
    return flat


def require_finite(
    part: np.ndarray, name: str, corner: Sequence[int] = (0, 0, 0), shape: Sequence[int] | None = None
) -> None:
    """Refuse a part of a component, which begins at a corner and may go on at the start beyond the end."""
    if not np.isfinite(part).all():
        where = np.argwhere(~np.isfinite(part))[0] + np.array(corner)
        where = where if shape is None else where % shape
        raise SnapshotError(f"{name} is not finite at (z, y, x) = {tuple(where.tolist())}: fill it before tracing")


def _modes(*parts: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Fourier coefficients (3, z, y, x) in the order of the transform."""
    from scipy import fft

    for part, name in zip(parts, names, strict=True):
        require_finite(part, name)
    return np.stack([fft.fftn(part.astype(np.float64), norm="forward") for part in parts])


def _coefficients(part: Any, name: str, beyond: Sequence[str]) -> Any:
    """Coefficients of the cubic B-spline through the cells, one axis after the other in chunks that have all of it."""
    from scipy.ndimage import spline_filter1d

    values = part.map_blocks(_finite_block, name, dtype=float)
    for axis, mode in enumerate(beyond):
        if part.shape[axis] > 1:
            values = values.rechunk({a: -1 if a == axis else "auto" for a in range(3)})
            values = values.map_blocks(spline_filter1d, 3, axis, mode=mode, dtype=float)
    return values


def _finite_block(block: np.ndarray, name: str, block_info: Any = None) -> np.ndarray:
    require_finite(block, name, [low for low, _ in block_info[0]["array-location"]])
    return block.astype(np.float64)

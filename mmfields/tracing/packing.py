"""How tasks hold a field: packed once for the kernel, in memory or in files that the processes of a host map."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from mmfields.cluster.client import one_host
from mmfields.cluster.shared import Mapped, create, forget, view
from mmfields.conventions import SnapshotError

# A file of a region: its path, first place and number of places (z, y, x).
Region = tuple[str, tuple[int, ...], tuple[int, ...]]


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
        made = [_in_a_file(vector, names, form.kind) for vector, names in vectors(parts, form)]
    else:
        pack_all = dask.delayed(_pack, pure=True)
        made = [pack_all(*vector, names=names, kind=form.kind) for vector, names in vectors(parts, form)]
    return made[0], made[1] if made[1:] else np.zeros(1), marks


def vectors(parts: Sequence[Any], form: Form) -> Iterator[tuple[list[Any], tuple[str, ...]]]:
    """Three components at a time with their names; splines' coefficients where these are wanted."""
    for first in range(0, len(parts), 3):
        three, names = list(parts[first : first + 3]), form.names[first : first + 3]
        if form.beyond:
            three = [_coefficients(part, name, form.beyond) for part, name in zip(three, names, strict=True)]
        yield three, names


def _in_a_file(parts: Sequence[Any], names: Sequence[str], kind: Any) -> Any:
    """A whole vector in a file that the processes of a host share; a delayed `Mapped`."""
    import dask

    shape = parts[0].shape
    file = dask.delayed(_new_file, pure=False)(shape, len(parts), kind)
    return dask.delayed(_filled, pure=True)(file, writes(file, parts, shape, names, kind), kind)


def _new_file(shape: tuple[int, ...], count: int, kind: Any) -> list[Region]:
    return [(create(count * int(np.prod(shape)) + 1, kind), (0, 0, 0), shape)]


def _filled(file: list[Region], written: Sequence[str], kind: Any) -> Mapped:
    (path, _, _) = file[0]
    if any(other != path for other in written):
        raise SnapshotError(
            f"{path}: parts of the field were written to a file that went with a lost worker: compute it again"
        )
    return Mapped(path, kind)


def writes(files: Any, parts: Sequence[Any], cells: Sequence[int], names: Sequence[str], kind: Any) -> list[Any]:
    """Tasks that write components side by side into regions, delayed.

    Every chunk is written where it belongs as soon as it is there, so that no more than that is ever in memory.

    Parameters
    ----------
    files : list of Region, or delayed
        Regions go on at the start beyond the end of the field.
    parts : sequence of dask arrays
        Over (z, y, x).
    cells : sequence of int
        After which regions go on at the start.
    """
    import dask

    chunks, size = parts[0].chunks, parts[0].shape
    corners = product(*([0, *np.cumsum(c[:-1]).tolist()] for c in chunks))
    blocks = zip(*(part.rechunk(chunks).to_delayed().ravel() for part in parts), strict=True)
    write = dask.delayed(_write, pure=True)
    return [
        write(files, list(together), corner, cells, size, names, kind)
        for corner, together in zip(corners, blocks, strict=True)
    ]


def _write(
    files: Sequence[Region],
    chunk: Sequence[np.ndarray],
    corner: Sequence[int],
    cells: Sequence[int],
    size: Sequence[int],
    names: Sequence[str],
    kind: Any,
) -> str:
    """A chunk of the components into all files that it belongs to, the first of which is given back."""
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
            break  # another chunk was refused, and says so; without the file nothing runs on
        for c, part in enumerate(chunk):
            for place in places:
                out[(*(there for there, _ in place), c)] = part[tuple(here for _, here in place)]
    return files[0][0]


def _overlaps(begin: int, length: int, n: int, size: int, corner: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Where a chunk lies in a region, along one axis, and which part of the chunk that is.

    The region goes on at the start beyond the n-th place; a `size` beyond n, one face more, is read where it does not.
    """
    stop = begin + length
    spans = [(begin, stop, 0)] if stop <= size else [(begin, n, 0), (n, stop, n)]
    for low, high, shift in spans:
        first, last = max(low, corner + shift), min(high, corner + width + shift)
        if first < last:
            yield slice(first - begin, last - begin), slice(first - shift - corner, last - shift - corner)


def _pack(*parts: np.ndarray, names: Sequence[str], kind: Any) -> np.ndarray:
    """Components side by side, (z, y, x, component) made flat and one number more."""
    shape = *parts[0].shape, len(parts)
    flat = np.zeros(int(np.prod(shape)) + 1, kind)
    for c, (part, name) in enumerate(zip(parts, names, strict=True)):
        require_finite(part, name)
        flat[:-1].reshape(shape)[..., c] = part
    flat.flags.writeable = False
    return flat


def require_finite(part: np.ndarray, name: str, corner: Sequence[int] = (0, 0, 0)) -> None:
    """Refuse a part of a component, which begins at a corner."""
    if not np.isfinite(part).all():
        where = np.argwhere(~np.isfinite(part))[0] + np.array(corner)
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

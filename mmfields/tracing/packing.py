"""A field in the form that tasks use: packed once for the kernel, in memory or in files that all processes map."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise, product
from threading import Lock
from typing import Any
from uuid import uuid4

import numpy as np

from mmfields.cluster.client import client_in_force, memory_of_this_machine, one_host, thread_count
from mmfields.cluster.shared import Mapped, create_for_all, forget, view
from mmfields.conventions import SnapshotError
from mmfields.identity import array_identity

# What holds a region: the path of a file, or an array; and the first cell and number of cells of the region (z, y, x).
Region = tuple[Any, tuple[int, ...], tuple[int, ...]]
# A chunk in a file: the file's path, and the first cell and number of cells of the chunk (z, y, x).
Part = tuple[str, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Form:
    """The form into which components are converted for the kernel.

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
    """Magnetic field, electric field and mask in the form of the kernel: delayed, and made once for all tasks.

    Dask would copy arrays of one chunk for every task.

    Parameters
    ----------
    parts : sequence of arrays
        Components over (z, y, x): Dask arrays, or NumPy arrays where no cluster works.
    mask : dask array, optional
    """
    import dask

    three = [(list(parts[i : i + 3]), form.names[i : i + 3]) for i in range(0, len(parts), 3)]
    if form.spectral:
        made = [dask.delayed(_modes, pure=True)(*vector, names=names) for vector, names in three]
    elif one_host():
        made = [_in_a_file(vector, names, form.kind) for vector, names in vectors(parts, form)]
    else:
        made = [_in_memory(vector, names, form) for vector, names in three]
    return made[0], made[1] if made[1:] else np.zeros(1), marks_of(mask)


def marks_of(mask: Any) -> Any:
    """A mask in the form of the kernel; where there is no mask, it has one cell."""
    import dask

    return np.zeros((1, 1, 1), np.uint8) if mask is None else dask.delayed(np.ascontiguousarray, pure=True)(mask)


def vectors(parts: Sequence[Any], form: Form) -> Iterator[tuple[list[Any], tuple[str, ...]]]:
    """Three components at a time with their names, Dask arrays; spline coefficients if the form asks for them."""
    for first in range(0, len(parts), 3):
        three, names = list(parts[first : first + 3]), form.names[first : first + 3]
        if form.beyond:
            three = [_coefficients(part, name, form.beyond) for part, name in zip(three, names, strict=True)]
        yield three, names


def _in_memory(parts: Sequence[Any], names: tuple[str, ...], form: Form) -> Any:
    """A whole vector in the memory of the process that needs it; delayed.

    A process keeps its latest copies, because a run at another energy uses the same field.
    """
    import dask

    lazy = any(hasattr(part, "dask") for part in parts)
    key = repr((tuple(part.name for part in parts), names, form)) if lazy and client_in_force() is None else None
    if key is not None and (held := latest.get(key)) is not None:
        return dask.delayed(held, name=f"packed-{uuid4().hex}", traverse=False)
    if lazy and form.beyond:
        parts = [_coefficients(part, name, form.beyond) for part, name in zip(parts, names, strict=True)]
    own = replace(form, beyond=()) if lazy else form
    return dask.delayed(_packed, name=f"pack-{uuid4().hex}")(
        _Parts(parts) if not lazy else list(parts), names, own, key
    )


class _Parts:
    """NumPy arrays for a task, wrapped so that Dask neither copies nor inspects them."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.arrays = list(arrays)


def _packed(parts: Any, names: Sequence[str], form: Form, key: str | None) -> np.ndarray:
    """The packed copy of these numbers: an earlier one if there is one, or a new one."""
    if isinstance(parts, _Parts):
        parts = parts.arrays
        key = repr(([array_identity(part) for part in parts], names, form))
    return _pack(parts, names, form) if key is None else latest.once(key, lambda: _pack(parts, names, form))


class Latest:
    """The latest packed copies of fields in a process, limited to a share of the memory."""

    def __init__(self, share: float) -> None:
        self.share, self.copies, self.lock = share, {}, Lock()

    def get(self, key: str) -> np.ndarray | None:
        """The copy of a key, if it is there."""
        return self.copies.get(key)

    def once(self, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The copy of a key; a thread that needs a copy in the making waits for it."""
        with self.lock:
            made = self.copies.pop(key, None)
            made = make() if made is None else made
            self.copies[key] = made
            limit = self.share * memory_of_this_machine()
            while self.copies and sum(copy.nbytes for copy in self.copies.values()) > limit:
                del self.copies[next(iter(self.copies))]
        return made


latest = Latest(1 / 8)


def _in_a_file(parts: Sequence[Any], names: Sequence[str], kind: Any) -> Any:
    """A whole vector in a file that the processes of a host share; a delayed `Mapped`.

    Traces of one field that are computed together share a file, because its key depends on the parts alone.
    """
    import dask
    from dask.base import tokenize

    shape, name = parts[0].shape, tokenize([part.name for part in parts], names, kind)
    file = dask.delayed(_new_file, pure=False)(shape, len(parts), kind, dask_key_name=f"file-{name}")
    return dask.delayed(_filled, pure=True)(file, writes(file, parts, shape, names, kind), kind)


def _new_file(shape: tuple[int, ...], count: int, kind: Any) -> list[Region]:
    return [(create_for_all(count * int(np.prod(shape)) + 1, kind), (0, 0, 0), shape)]


def _filled(file: list[Region], written: Sequence[Part], kind: Any) -> Mapped:
    """The file with all its parts; parts that a lost worker left in an earlier file are copied."""
    (path, _, shape) = file[0]
    elsewhere = [part for part in written if part[0] != path]
    for other, corner, widths in elsewhere:
        place = tuple(slice(low, low + n) for low, n in zip(corner, widths, strict=True))
        old, new = (view(name, kind, mode)[:-1].reshape(*shape, -1) for name, mode in ((other, "r"), (path, "r+")))
        new[place] = old[place]
    for other in {part[0] for part in elsewhere}:
        forget(other)
    return Mapped(path, kind)


def writes(
    files: Any,
    parts: Sequence[Any],
    cells: Sequence[int],
    names: Sequence[str],
    kind: Any,
    columns: tuple[int, int] | None = None,
) -> list[Any]:
    """Tasks that write components side by side into regions, delayed.

    Every chunk is written to its place as soon as it is read, so memory never holds more than the chunks at work.

    Parameters
    ----------
    files : list of Region, or delayed
        Regions go on at the start beyond the end of the field.
    parts : sequence of dask arrays
        Over (z, y, x).
    cells : sequence of int
        After which regions go on at the start.
    names : sequence of str
    kind : dtype
    columns : (int, int), optional
        Before how many numbers of a cell these are, of how many; by default they are all.
    """
    import dask

    chunks, size = parts[0].chunks, parts[0].shape
    corners = product(*([0, *np.cumsum(c[:-1]).tolist()] for c in chunks))
    blocks = zip(*(part.rechunk(chunks).to_delayed().ravel() for part in parts), strict=True)
    write = dask.delayed(_write, pure=True)
    return [
        write(files, list(together), (corner, cells, size), names, kind, columns or (0, len(parts)))
        for corner, together in zip(corners, blocks, strict=True)
    ]


def _write(
    files: Sequence[Region],
    chunk: Sequence[np.ndarray],
    where: tuple[Sequence[int], ...],
    names: Sequence[str],
    kind: Any,
    columns: tuple[int, int],
) -> Part:
    """Write a chunk of the components into all files it belongs to; return the first file and the chunk's place.

    `where` are its first cell, and the cells and places of the whole.
    """
    (corner, cells, size), (before, width), finite_ = where, columns, True
    for path, begins, lengths in files:
        axes = zip(begins, lengths, cells, size, corner, chunk[0].shape, strict=True)
        places = list(product(*(_overlaps(*axis) for axis in axes)))
        if not places:
            continue
        try:
            out = view(path, kind, "r+")[:-1].reshape(*lengths, width)
        except FileNotFoundError:
            break  # another chunk was refused and raises the error; nothing runs on without the file
        for there, here in (zip(*place, strict=True) for place in places):
            own = out[(*there, slice(before, before + len(chunk)))]
            finite_ = _interleave([part[here] for part in chunk], own) and finite_
    if not finite_:
        try:
            for part, name in zip(chunk, names, strict=True):
                require_finite(part, name, corner)
        except SnapshotError:
            for path, _, _ in files:
                forget(path)
            raise
    return files[0][0], tuple(corner), chunk[0].shape


def _overlaps(begin: int, length: int, n: int, size: int, corner: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Where a chunk lies in a region along one axis, and which part of the chunk lies there.

    A region that goes beyond the end continues at the start of the axis, after its n cells.  Components on faces
    have `size` n + 1; a region that ends at the last face reads it directly.
    """
    stop = begin + length
    spans = [(begin, stop, 0)] if stop <= size else [(begin, n, 0), (n, stop, n)]
    for low, high, shift in spans:
        first, last = max(low, corner + shift), min(high, corner + width + shift)
        if first < last:
            yield slice(first - begin, last - begin), slice(first - shift - corner, last - shift - corner)


def _pack(parts: Sequence[np.ndarray], names: Sequence[str], form: Form) -> np.ndarray:
    """Components side by side: (z, y, x, component) flattened, with one extra number at the end."""
    shape = *parts[0].shape, len(parts)
    flat = np.empty(int(np.prod(shape)) + 1, form.kind)
    flat[-1] = 0.0
    out = flat[:-1].reshape(shape)
    given = parts if not form.beyond else [_spline(part, form.beyond) for part in parts]
    if not _interleave(given, out):
        for part, name in zip(parts, names, strict=True):
            require_finite(part, name)
    flat.flags.writeable = False
    return flat


def _interleave(parts: Sequence[np.ndarray], out: np.ndarray) -> bool:
    """Fill the last axis with components; return whether all of them are finite."""
    from mmfields.kernels.packing import pack

    alike = all(part.flags.c_contiguous and part.dtype == out.dtype for part in parts) and len(parts) == 3
    if not alike:
        for c, part in enumerate(parts):
            out[..., c] = part
        return bool(np.isfinite(out).all())
    views = [part.view() for part in parts]
    for view_ in views:  # read-only views all use one compiled kernel
        view_.flags.writeable = False
    return bool(pack(tuple(views), out))


def _spline(part: np.ndarray, beyond: Sequence[str]) -> np.ndarray:
    """Coefficients of the cubic B-spline through the cells, computed by several threads."""
    from scipy.ndimage import spline_filter1d

    out = np.empty(part.shape)
    source = part
    for axis, mode in enumerate(beyond):
        if part.shape[axis] > 1:
            across = 1 if axis == 0 else 0
            slabs = [(slice(None),) * across + (s,) for s in _shares(part.shape[across])]
            with ThreadPoolExecutor(len(slabs)) as pool:
                each = [pool.submit(spline_filter1d, source[slab], 3, axis, out[slab], mode) for slab in slabs]
            [one.result() for one in each]
            source = out
    if source is part:
        out[...] = part
    return out


def _shares(n: int) -> list[slice]:
    """An axis divided among the threads of Dask."""
    count = min(n, thread_count())
    edges = [n * i // count for i in range(count + 1)]
    return [slice(low, high) for low, high in pairwise(edges)]


def require_finite(part: np.ndarray, name: str, corner: Sequence[int] = (0, 0, 0)) -> None:
    """Refuse a part of a component that is not finite; `corner` is its first cell in the field."""
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
    """Coefficients of the cubic B-spline through the cells, axis by axis in chunks that hold the whole axis."""
    from scipy.ndimage import spline_filter1d

    values = finite(part, name, float)
    for axis, mode in enumerate(beyond):
        if part.shape[axis] > 1:
            values = values.rechunk({a: -1 if a == axis else "auto" for a in range(3)})
            values = values.map_blocks(spline_filter1d, 3, axis, mode=mode, dtype=float)
    return values


def finite(part: Any, name: str, kind: Any) -> Any:
    """A Dask array in a given dtype; a block that is not finite is refused."""
    return part.map_blocks(_finite_block, name, kind, dtype=kind)


def _finite_block(block: np.ndarray, name: str, kind: Any, block_info: Any = None) -> np.ndarray:
    require_finite(block, name, [low for low, _ in block_info[0]["array-location"]])
    return block.astype(kind, copy=False)

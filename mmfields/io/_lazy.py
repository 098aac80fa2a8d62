"""The one lazy array of the readers, and the sources that it can read.

A *source* has a ``shape``, a native ``dtype`` and ``read(region)``, which takes one slice
with step 1 per dim and returns that part as an array.  A *block reader* has a ``dtype``
and ``read(block, region)``; :mod:`mmfields.io._mesh` lays blocks out into a source.
Sources hold no open files, so they pickle to Dask workers.
"""

import math
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mmfields._compat import (
    BackendArray,
    ExplicitIndexer,
    IndexingSupport,
    explicit_indexing_adapter,
    open_flags,
    read_into,
)
from mmfields.conventions import SnapshotError
from mmfields.io import _hdf5
from mmfields.io._block_extrema import Stated, require_extrema

Region = tuple[slice, ...]

# A block is read in pieces of about this size, small enough to stay in a core's cache.
SLAB_BYTES = 1 << 18


class Source(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def read(self, region: Region) -> np.ndarray: ...


class LazyArray(BackendArray):
    """xarray's view of a source: basic indexing, read on demand."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.shape = source.shape
        self.dtype = source.dtype

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        region, pick = [], []
        for item, size in zip(key, self.shape, strict=True):
            if not isinstance(item, slice):
                index = int(item) % size
                region.append(slice(index, index + 1))
                pick.append(0)
                continue
            wanted = range(size)[item]
            low = min(wanted, default=0)
            high = max(wanted, default=-1) + 1
            region.append(slice(low, max(low, high)))
            pick.append(slice(None, None, wanted.step) if len(wanted) else slice(0, 0))
        if any(s.start == s.stop for s in region):
            return np.empty([s.stop - s.start for s in region], self.dtype)[tuple(pick)]
        return self.source.read(tuple(region))[tuple(pick)]


def native(dtype: Any) -> np.dtype:
    """The same kind of number in the byte order of this machine."""
    return np.dtype(dtype).newbyteorder("=")


def mean_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of a mean of numbers of this dtype."""
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def read_bytes(path: str, offset: int, count: int) -> bytes:
    """Exactly `count` bytes at `offset`, or a SnapshotError that says what is missing."""
    return next(read_pieces(path, [offset], count))


def read_pieces(path: str, offsets: Iterable[int], count: int) -> Iterator[bytes]:
    """As :func:`read_bytes` at one offset after another, through one opening of the file."""
    with Files() as files, _buffer(count) as view:
        for offset in offsets:
            yield bytes(_read_into(files[path], path, offset, view))


class Files(dict):
    """Descriptors of files by path, opened when first asked for and closed together."""

    MOST = 64

    def __missing__(self, path: str) -> int:
        if len(self) == self.MOST:
            self.__exit__()
        descriptor = os.open(path, open_flags())
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SnapshotError(f"{path} is no file, but a pipe, a device or a directory; copy its content to a file")
        self[path] = descriptor
        return descriptor

    def __enter__(self) -> "Files":
        return self

    def __exit__(self, *_: Any) -> None:
        while self:
            os.close(self.popitem()[1])


# Buffers that are free for reuse: touching new memory costs as much as filling it.
_spare: list[bytearray] = []


@contextmanager
def _buffer(count: int) -> Iterator[memoryview]:
    """Room for `count` bytes, to be used again when it is given back."""
    try:
        room = _spare.pop()
    except IndexError:
        room = bytearray()
    if len(room) < count:
        room = bytearray(max(count, 4 * SLAB_BYTES))
    try:
        yield memoryview(room)[:count]
    finally:
        _spare.append(room)


def _read_into(descriptor: int, path: str, offset: int, view: memoryview) -> memoryview:
    """Fill `view` from an open file."""
    done = 0
    while done < len(view):
        got = read_into(descriptor, view[done:], offset + done)
        if not got:
            raise SnapshotError(
                f"{path}: {len(view) - done} bytes missing at offset {offset + done}: the file is truncated; "
                "copy it again"
            )
        done += got
    return view


@dataclass(frozen=True)
class RawBlocks:
    """Uncompressed blocks in files: block reader.

    Parameters
    ----------
    paths : sequence of str
        Files.
    file, offset : (nb,) int arrays
        File and first byte of each block.
    shapes : (nb, ndim) int array
        Shape of each block, slowest dim first.
    stored : dtype
        As stored, byte order included.
    components, component : int
        Numbers interleaved per cell, and which of them to take.
    stated : Stated, optional
        Least and greatest number of each block, which those read are held against.
    """

    paths: Sequence[str]
    file: np.ndarray
    offset: np.ndarray
    shapes: np.ndarray
    stored: np.dtype
    components: int = 1
    component: int = 0
    stated: Stated | None = None

    @property
    def dtype(self) -> np.dtype:
        return native(self.stored)

    @property
    def _as_it_is(self) -> bool:
        """Whether the bytes of a file are those of an array in memory."""
        return self.components == 1 and self.stored.isnative

    def read(self, block: int, region: Region) -> np.ndarray:
        out = np.empty([s.stop - s.start for s in region], self.dtype)
        with Files() as files:
            self.read_into(block, region, out, files)
        return out

    def read_into(self, block: int, region: Region, out: np.ndarray, files: Files) -> None:
        """Read part of a block into `out`, in pieces that stay in the cache between the two copies."""
        if not out.size:
            return
        shape = self.shapes[block].tolist()
        path = self.paths[self.file[block]]
        cell = self.components * self.stored.itemsize
        row = math.prod(shape[1:])
        start, rest = region[0].start, region[1:]
        if self._as_it_is and out.flags.c_contiguous and out.shape[1:] == tuple(shape[1:]):
            begin = int(self.offset[block]) + start * row * cell
            _read_into(files[path], path, begin, memoryview(out.reshape(-1).view(np.uint8)))
            return self._check(block, out, whole=out.shape == tuple(shape))
        first, last = 0, row  # each row is read from the first to the last cell that is wanted
        if out.shape[1:] != tuple(shape[1:]):
            first = int(np.ravel_multi_index([s.start for s in rest], shape[1:]))
            last = int(np.ravel_multi_index([s.stop - 1 for s in rest], shape[1:])) + 1
        whole = 2 * (last - first) > row
        step = max(1, SLAB_BYTES // (row * cell)) if whole else 1
        low, length = (0, step * row * cell) if whole else (first, (last - first) * cell)
        descriptor = files[path]
        with _buffer(length) as view:
            for index in range(0, len(out), step):
                count = min(step, len(out) - index)
                part = view[: count * row * cell] if whole else view
                begin = int(self.offset[block]) + ((start + index) * row + low) * cell
                values = np.frombuffer(_read_into(descriptor, path, begin, part), self.stored)
                values = values[self.component :: self.components]
                if whole:
                    out[index : index + count] = values.reshape(count, *shape[1:])[(slice(None), *rest)]
                else:
                    strides = np.cumprod([1, *shape[:1:-1]])[::-1] * values.strides[0]
                    out[index] = np.lib.stride_tricks.as_strided(values, out.shape[1:], strides)
        self._check(block, out, whole=out.shape == tuple(shape))

    def read_run(self, blocks: np.ndarray, start: int, out: np.ndarray, files: Files) -> None:
        """Read rows of several blocks, whole in every axis but the slowest, into ``out`` (rows, …, block, cell).

        The blocks lie side by side along the fastest axis, so that `out` is filled in the order of memory.
        """
        shape = (*out.shape[1:-2], out.shape[-1])
        row = math.prod(shape) * self.components * self.stored.itemsize
        step = min(len(out), max(1, 4 * SLAB_BYTES // (row * len(blocks))))
        first = (self.offset[blocks] + start * row).tolist()
        paths = [self.paths[i] for i in self.file[blocks].tolist()]
        inward = (*range(1, out.ndim - 1), 0, out.ndim - 1)
        with _buffer(len(blocks) * step * row) as view:
            for index in range(0, len(out), step):
                size = min(step, len(out) - index) * row
                parts = [view[at : at + size] for at in range(0, len(blocks) * size, size)]
                for path, begin, part in zip(paths, first, parts, strict=True):
                    if read_into(files[path], part, begin + index * row) < size:
                        _read_into(files[path], path, begin + index * row, part)
                values = np.frombuffer(view[: len(blocks) * size], self.stored)[self.component :: self.components]
                out[index : index + step] = values.reshape(len(blocks), -1, *shape).transpose(inward)
        for i, block in enumerate(blocks.tolist()):
            self._check(block, out[..., i, :], whole=len(out) == self.shapes[block, 0])

    def _check(self, block: int, values: np.ndarray, *, whole: bool) -> None:
        if self.stated is not None:
            where = f"{self.paths[self.file[block]]}: the block at byte {self.offset[block]}"
            low, high, slack = self.stated.of(block)
            require_extrema(where, values, low, high, whole=whole, slack=slack)


@dataclass(frozen=True)
class Hdf5Blocks:
    """Blocks of an HDF5 dataset that HDF5 itself must read: block reader.

    The index is `lead`, the block (where `blocked`), the region over those of the spatial axes that
    are `active` (the others have one cell), and `tail`.  Chunks that were never written hold `fill`;
    without one they are refused.
    """

    path: str
    name: str
    stored: np.dtype
    lead: tuple[int, ...] = ()
    blocked: bool = True
    active: tuple[bool, ...] | None = None
    tail: tuple[int, ...] = ()
    fill: float | None = None

    @property
    def dtype(self) -> np.dtype:
        return native(self.stored) if self.fill is None else mean_dtype(native(self.stored))

    def read(self, block: int, region: Region) -> np.ndarray:
        wanted = iter(region)
        space = region if self.active is None else [next(wanted) if a else 0 for a in self.active]
        index = (*self.lead, *((block,) if self.blocked else ()), *space, *self.tail)
        with _hdf5.opened(self.path) as file:
            node = _hdf5.numbers(file, self.name)
            values = np.asarray(node[index], self.dtype)
            _hdf5.require_written(node, index, values, self.fill)
            return values


@dataclass(frozen=True)
class Single:
    """A block reader with one block, as a source."""

    blocks: Any
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.blocks.dtype

    def read(self, region: Region) -> np.ndarray:
        return self.blocks.read(0, region)


@dataclass(frozen=True)
class Constant:
    """One value everywhere."""

    value: Any
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, region: Region) -> np.ndarray:
        # a file of a few bytes may state a size that no memory holds
        return np.broadcast_to(self.dtype.type(self.value), [s.stop - s.start for s in region])


@dataclass(frozen=True)
class Linear:
    """``offset + scale * source``, in `dtype`; of a source or of a block reader."""

    source: Any
    scale: float
    offset: float
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    def read(self, *where: Any) -> np.ndarray:
        whole = isinstance(self.source, Single) and isinstance(self.source.blocks, RawBlocks)
        if whole and self.source.dtype == self.dtype and not self.offset:
            return self._scaled(self.source.blocks, *where)
        values = self.source.read(*where)
        room = (
            values if values.dtype == self.dtype and values.flags.writeable else None
        )  # no other reference to it exists
        values = np.multiply(values, self.dtype.type(self.scale), out=room, dtype=self.dtype, casting="unsafe")
        return np.add(values, self.dtype.type(self.offset), out=values) if self.offset else values

    def _scaled(self, blocks: RawBlocks, region: Region) -> np.ndarray:
        """Numbers of the only block, multiplied piece by piece while they are in the cache."""
        out = np.empty([s.stop - s.start for s in region], self.dtype)
        step = max(1, len(out) * SLAB_BYTES // max(out.nbytes, 1))
        first = region[0].start
        with Files() as files:
            for low in range(0, len(out), step):
                part = out[low : low + step]
                blocks.read_into(0, (slice(first + low, first + low + len(part)), *region[1:]), part, files)
                part *= self.dtype.type(self.scale)
        return out


@dataclass(frozen=True)
class Quotient:
    """``numerator / denominator``, as velocity from momentum and density."""

    numerator: Source
    denominator: Source
    shape: tuple[int, ...] = field(init=False)
    dtype: np.dtype = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.numerator.shape)
        object.__setattr__(self, "dtype", self.numerator.dtype)

    def read(self, region: Region) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.numerator.read(region) / self.denominator.read(region)


@dataclass(frozen=True)
class Total:
    """Sum of sources of one shape, as the pressure of all species."""

    parts: tuple[Source, ...]
    shape: tuple[int, ...] = field(init=False)
    dtype: np.dtype = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.parts[0].shape)
        object.__setattr__(self, "dtype", np.result_type(*(p.dtype for p in self.parts)))

    def read(self, region: Region) -> np.ndarray:
        total = self.parts[0].read(region).astype(self.dtype)
        for part in self.parts[1:]:
            total += part.read(region)
        return total


@dataclass(frozen=True)
class Centred:
    """Two-point mean of a staggered source along `axis`: cell i from its faces i and i+1.

    With as many faces as cells the last cell takes face 0 where the axis is periodic; where
    it is open it is left out, and the source is one cell shorter.
    """

    source: Source
    axis: int
    cells: int
    dtype: np.dtype = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", mean_dtype(self.source.dtype))

    @property
    def shape(self) -> tuple[int, ...]:
        shape = list(self.source.shape)
        shape[self.axis] = self.cells
        return tuple(shape)

    def read(self, region: Region) -> np.ndarray:
        wanted = region[self.axis]
        faces = self.source.shape[self.axis]
        values = self._half(region, wanted.start, min(wanted.stop + 1, faces))
        lower, upper = _along(values, self.axis, 0, -1), _along(values, self.axis, 1, None)
        if wanted.stop + 1 <= faces:
            return lower + upper
        out = np.empty(values.shape, self.dtype)  # the last cell lies between the last face and the first
        np.add(lower, upper, out=_along(out, self.axis, 0, -1))
        first = self._half(region, 0, 1) if wanted.start else _along(values, self.axis, 0, 1)
        np.add(_along(values, self.axis, -1, None), first, out=_along(out, self.axis, -1, None))
        return out

    def _half(self, region: Region, start: int, stop: int) -> np.ndarray:
        """Half of the faces from one to another."""
        part = list(region)
        part[self.axis] = slice(start, stop)
        values = self.source.read(tuple(part))
        room = values if values.dtype == self.dtype and values.flags.writeable else None
        return np.multiply(values, 0.5, out=room, dtype=self.dtype, casting="unsafe")


def _along(values: np.ndarray, axis: int, start: int, stop: int | None) -> np.ndarray:
    """Part of an array along one axis."""
    return values[(slice(None),) * axis + (slice(start, stop),)]


@dataclass(frozen=True)
class Part:
    """The first cells of a source along each dim (what is left where an open axis lost its last cell)."""

    source: Source
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    def read(self, region: Region) -> np.ndarray:
        return self.source.read(region)


@dataclass(frozen=True)
class Stack:
    """Sources of one shape along a new first dim (time)."""

    sources: tuple[Source, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.sources[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.sources), *self.sources[0].shape)

    def read(self, region: Region) -> np.ndarray:
        out = np.empty([s.stop - s.start for s in region], self.dtype)
        for row, source in zip(out, self.sources[region[0]], strict=True):
            row[...] = source.read(region[1:])
        return out

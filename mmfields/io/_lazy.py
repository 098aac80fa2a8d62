"""The one lazy array of the readers, and the sources that it can read.

A *source* has a ``shape``, a native ``dtype`` and ``read(region)``, which takes one slice
with step 1 per dim and returns that part as an array.  A *block reader* has a ``dtype``
and ``read(block, region)``; :mod:`mmfields.io._mesh` lays blocks out into a source.
Sources hold no open files, so they pickle to Dask workers.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from xarray.backends.common import BackendArray
from xarray.core import indexing

from mmfields.conventions import SnapshotError
from mmfields.io import _hdf5

Region = tuple[slice, ...]

# Largest piece that a strided read of one block holds at a time.
SLAB_BYTES = 1 << 24


class Source(Protocol):
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, region: Region) -> np.ndarray: ...


class LazyArray(BackendArray):
    """xarray's view of a source: basic indexing, read on demand."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.shape = source.shape
        self.dtype = source.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

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
    """What a mean of numbers of this kind is given in."""
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def read_bytes(path: str, offset: int, count: int) -> bytes:
    """Exactly `count` bytes at `offset`, or a SnapshotError that says what is missing."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while count > 0:
            part = os.pread(descriptor, count, offset)
            if not part:
                raise SnapshotError(
                    f"{path}: {count} bytes missing at offset {offset}: the file is truncated; copy it again"
                )
            parts.append(part)
            offset += len(part)
            count -= len(part)
    finally:
        os.close(descriptor)
    return parts[0] if len(parts) == 1 else b"".join(parts)


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
    """

    paths: Sequence[str]
    file: np.ndarray
    offset: np.ndarray
    shapes: np.ndarray
    stored: np.dtype
    components: int = 1
    component: int = 0

    @property
    def dtype(self) -> np.dtype:
        return native(self.stored)

    def read(self, block: int, region: Region) -> np.ndarray:
        shape = tuple(int(n) for n in self.shapes[block])
        cell = self.components * self.stored.itemsize
        start = [s.start for s in region]
        count = [s.stop - s.start for s in region]
        if 0 in count:
            return np.empty(count, self.dtype)
        row = math.prod(shape[1:])
        whole_rows = count[1:] == list(shape[1:])
        rows = count[0] if whole_rows else 1
        if not whole_rows and math.prod(count[1:]) * 2 > row:
            rows = max(1, min(count[0], SLAB_BYTES // (row * cell)))
        out = None if rows == count[0] else np.empty(count, self.dtype)
        for first in range(0, count[0], rows):
            n = min(rows, count[0] - first)
            part = self._rows(block, shape, start[0] + first, n, region[1:], row, cell)
            if out is None:
                return part
            out[first : first + n] = part
        return out

    def _rows(self, block, shape, first, n, rest, row, cell) -> np.ndarray:
        """Rows `first` … `first + n` of the slowest dim, cut to `rest`, in one read."""
        low, high = 0, row
        if n == 1 and rest:  # only the span between the first and the last cell wanted
            low = int(np.ravel_multi_index([s.start for s in rest], shape[1:]))
            high = int(np.ravel_multi_index([s.stop - 1 for s in rest], shape[1:])) + 1
        begin = int(self.offset[block]) + (first * row + low) * cell
        length = (n - 1) * row + high - low
        raw = read_bytes(self.paths[int(self.file[block])], begin, length * cell)
        values = np.frombuffer(raw, self.stored).reshape(-1, self.components)[:, self.component]
        if (low, high) != (0, row):
            strides = np.cumprod([1, *shape[:1:-1]])[::-1] * values.strides[0]
            counts = [s.stop - s.start for s in rest]
            values = np.lib.stride_tricks.as_strided(values, [1, *counts], [0, *strides])
        else:
            values = values.reshape(n, *shape[1:])[(slice(None), *rest)]
        return values.astype(self.dtype, copy=False)


@dataclass(frozen=True)
class Hdf5Blocks:
    """Blocks of an HDF5 dataset that HDF5 itself must read: block reader.

    The index is `lead`, the block (where `blocked`), the region over those of the spatial axes that
    are `active` (the others have one cell), and `tail`.
    """

    path: str
    name: str
    stored: np.dtype
    lead: tuple[int, ...] = ()
    blocked: bool = True
    active: tuple[bool, ...] | None = None
    tail: tuple[int, ...] = ()

    @property
    def dtype(self) -> np.dtype:
        return native(self.stored)

    def read(self, block: int, region: Region) -> np.ndarray:
        wanted = iter(region)
        space = region if self.active is None else [next(wanted) if a else 0 for a in self.active]
        index = (*self.lead, *((block,) if self.blocked else ()), *space, *self.tail)
        with _hdf5.opened(self.path) as file:
            return np.asarray(_hdf5.dataset(file, self.name)[index], self.dtype)


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
        return np.full([s.stop - s.start for s in region], self.value, self.dtype)


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
        values = self.source.read(*where).astype(self.dtype, copy=False)
        return (values * self.dtype.type(self.scale) + self.dtype.type(self.offset)).astype(self.dtype)


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
        parts = [self._part(region, wanted.start, min(wanted.stop + 1, faces))]
        if wanted.stop + 1 > faces:
            parts.append(self._part(region, 0, 1))
        values = np.concatenate(parts, self.axis) if len(parts) > 1 else parts[0]
        lower = [slice(None)] * values.ndim
        upper = list(lower)
        lower[self.axis], upper[self.axis] = slice(0, -1), slice(1, None)
        return values[tuple(lower)] / 2 + values[tuple(upper)] / 2

    def _part(self, region: Region, start: int, stop: int) -> np.ndarray:
        part = list(region)
        part[self.axis] = slice(start, stop)
        return self.source.read(tuple(part))


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

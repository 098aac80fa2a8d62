"""Many files in which everything lies in the same place, as one source."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from mmfields._compat import read_at
from mmfields.io._lazy import RawBlocks, Region, Source

# By file of the first output: the matching file of another one, and by how many bytes its numbers are shifted.
Moves = Mapping[str, tuple[str, int]]


@dataclass(frozen=True)
class AlikeStack:
    """One output and others that differ from it in their numbers alone, as one source along a new first dim (time).

    A series of many files then needs nothing but their names.
    """

    source: Source
    moves: tuple[Moves, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.moves), *self.source.shape)

    def read(self, region: Region) -> np.ndarray:
        out = np.empty([s.stop - s.start for s in region], self.dtype)
        for row, moves in zip(out, self.moves[region[0]], strict=True):
            row[...] = in_file(self.source, moves).read(region[1:])
        return out


def in_file(source: Any, moves: Moves) -> Any:
    """The same source for other files, which have the layout of the old ones but for a shift in bytes."""
    if isinstance(source, str):
        return moves[source][0] if source in moves else source
    if isinstance(source, tuple):
        parts = tuple(in_file(item, moves) for item in source)
        return parts if any(a is not b for a, b in zip(parts, source, strict=True)) else source
    if not is_dataclass(source):
        return source
    own = {f.name: getattr(source, f.name) for f in fields(source) if f.init}
    changed = {name: part for name, value in own.items() if (part := in_file(value, moves)) is not value}
    if isinstance(source, RawBlocks):
        shifts = np.array([moves[path][1] if path in moves else 0 for path in source.paths])
        if shifts.any():
            changed["offset"] = source.offset + shifts[source.file]
    return replace(source, **changed) if changed else source


def pieces_of(path: str, ranges: Iterable[tuple[int, int]]) -> tuple[int, list[bytes]]:
    """Size of a file, and the bytes of some of its parts, each given by offset and length."""
    with open(path, "rb", buffering=0) as file:
        descriptor = file.fileno()
        return os.fstat(descriptor).st_size, [read_at(descriptor, count, begin) for begin, count in ranges]

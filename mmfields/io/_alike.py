"""Many files in which everything lies in the same place, as one source."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from mmfields.io._lazy import Region, Source


@dataclass(frozen=True)
class AlikeStack:
    """A source of one file, and of others that differ from it in their numbers alone, along a new first dim (time).

    So that a series of many files takes no more than their names.
    """

    source: Source
    path: str
    paths: tuple[str, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.paths), *self.source.shape)

    def read(self, region: Region) -> np.ndarray:
        out = np.empty([s.stop - s.start for s in region], self.dtype)
        for row, path in zip(out, self.paths[region[0]], strict=True):
            row[...] = in_file(self.source, self.path, path).read(region[1:])
        return out


def in_file(source: Any, old: str, new: str) -> Any:
    """A source of another file, in which everything lies where it does in the old one."""
    if isinstance(source, str):
        return new if source == old else source
    if isinstance(source, tuple):
        parts = tuple(in_file(item, old, new) for item in source)
        return parts if any(a is not b for a, b in zip(parts, source, strict=True)) else source
    if not is_dataclass(source):
        return source
    own = {f.name: getattr(source, f.name) for f in fields(source) if f.init}
    changed = {name: part for name, value in own.items() if (part := in_file(value, old, new)) is not value}
    return replace(source, **changed) if changed else source

"""Headers of text in binary files, walked by computed offsets: text is never searched for in binary data."""

import os
import re
from typing import Any

import numpy as np

from mmfields._compat import read_at
from mmfields.conventions import SnapshotError

LONGEST_LINE = 1 << 16


class Walker:
    """A place in a file, which moves on as lines and numbers are taken; a context that closes the file."""

    def __init__(self, path: str) -> None:
        self.path, self.offset = path, 0
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  closed by the context
        self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> "Walker":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def bytes(self, offset: int, count: int) -> bytes:
        """So many bytes at an offset, all of which the file has."""
        return read_at(self._file.fileno(), count, offset)

    def line(self) -> str:
        """The rest of the line."""
        chunk = self.bytes(self.offset, min(LONGEST_LINE, self.size - self.offset))
        end = chunk.find(b"\n")
        if end < 0:
            raise SnapshotError(f"{self.path}: no line ends after offset {self.offset}; the file is truncated")
        self.offset += end + 1
        return chunk[:end].decode("ascii", "replace").strip()

    def expect(self, pattern: str) -> re.Match:
        """The next line that is not empty, which must be of a pattern."""
        start = self.offset
        while not (text := self.line()):  # AthenaK puts empty lines between its sections
            start = self.offset
        if not (match := re.fullmatch(pattern, text)):
            raise SnapshotError(f"{self.path}: expected {pattern!r} at offset {start}, found {text[:60]!r}")
        return match

    def accept(self, pattern: str) -> re.Match | None:
        """As :meth:`expect`; without moving on, None where the next line is of another pattern."""
        start = self.offset
        try:
            return self.expect(pattern)
        except SnapshotError:
            self.offset = start
            return None

    def more(self) -> bool:
        """Whether anything follows but empty lines."""
        left = self.size - self.offset
        return left > 16 or bool(left and self.bytes(self.offset, left).strip(b"\n"))

    def skip(self, count: int, stored: np.dtype) -> int:
        """Step over `count` numbers and return where they began."""
        start = self.offset
        if start + count * stored.itemsize > self.size:
            raise SnapshotError(
                f"{self.path}: {count} numbers announced at offset {start}, the file ends at {self.size}; "
                "it is truncated or damaged"
            )
        self.offset += count * stored.itemsize
        return start

    def numbers(self, count: int, stored: np.dtype) -> np.ndarray:
        """The next `count` numbers, as float64."""
        return np.frombuffer(self.bytes(self.skip(count, stored), count * stored.itemsize), stored).astype(float)

    def newline(self) -> None:
        """Step over the newline that follows binary data wherever more comes."""
        if self.offset == self.size:
            return
        if (found := self.bytes(self.offset, 1)) != b"\n":
            raise SnapshotError(
                f"{self.path}: expected a newline after the numbers, at offset {self.offset}, found {found!r}; "
                "bytes are missing or too many before it"
            )
        self.offset += 1

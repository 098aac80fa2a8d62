"""ADIOS2 outputs, and others that openpmd-api reads, through a process of their own.

On damaged files the library crashes or hangs.  Only that process then ends, and the caller gets an error.
"""

import atexit
import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmfields._compat import after_fork
from mmfields.conventions import SnapshotError
from mmfields.io import _openpmd_process
from mmfields.io._block_extrema import require_extrema
from mmfields.io._lazy import Region, mean_dtype, read_bytes
from mmfields.io._openpmd_process import BYTES_PER_SECOND

SCRIPT = Path(_openpmd_process.__file__)
# Seconds until the libraries have started; and between signs of life, to which come those that bytes take to read.
START, PATIENCE = 30.0, 3.0
# A process that ends within so many seconds is started once more, as an earlier file may have damaged its state.
SOON = 1.0
# ADIOS2 prints the extremes of a block with six digits.
SIX_DIGITS = 6e-6

_lock = threading.Lock()
_process: "_Process | None" = None


class _Process:
    """The libraries at work."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is meant for the process that asks
        )
        try:
            self.greeting = self._header(START)
        except BaseException as error:
            status = self.stop()
            if isinstance(error, EOFError | TimeoutError):
                raise SnapshotError(
                    f"{sys.executable} does not start openpmd-api and adios2 (exit status {status}): try to import them"
                ) from None
            raise

    def ask(self, request: dict[str, Any], patience: float) -> tuple[dict[str, Any], np.ndarray]:
        """Header and bytes of the answer; TimeoutError or EOFError if none comes."""
        if "missing" in self.greeting:
            return self.greeting, np.empty(0, np.uint8)
        line = json.dumps({**request, "patience": math.ceil(patience) + 5}).encode() + b"\n"
        try:
            self.process.stdin.write(line)
        except BrokenPipeError:
            raise EOFError from None
        header = self._header(patience)
        while more := header.get("expect"):
            patience += more / BYTES_PER_SECOND
            header = self._header(patience)
        return header, self._exactly(header["bytes"], patience)

    def _header(self, patience: float) -> dict[str, Any]:
        while not (count := int(self._exactly(8, patience).view("<u8")[0])):
            pass  # a sign of life
        return json.loads(bytes(self._exactly(count, patience)))

    def _exactly(self, count: int, patience: float) -> np.ndarray:
        out = np.empty(count, np.uint8)
        view, pipe, poll = memoryview(out), self.process.stdout.fileno(), select.poll()
        poll.register(pipe, select.POLLIN)
        while view:
            if not poll.poll(1000 * patience):
                raise TimeoutError
            got = os.readv(pipe, [view])
            if not got:
                raise EOFError
            view = view[got:]
        return out

    def stop(self) -> int:
        """The exit status, after an end that may be forced."""
        with self.process:
            try:
                self.process.stdin.close()
                self.process.wait(0.2)
            except (subprocess.TimeoutExpired, BrokenPipeError):
                self.process.kill()
        return self.process.returncode


@atexit.register
def _stop() -> int | None:
    global _process
    last, _process = _process, None
    return last.stop() if last is not None else None


def _forget() -> None:
    """After a fork the child must not use the process that its parent started."""
    global _lock, _process
    _lock, _process = threading.Lock(), None


after_fork(_forget)


def ask(path: str, size: int = 0, **request: Any) -> tuple[dict[str, Any], np.ndarray]:
    """Header and bytes of the answer to a request about `path`, which takes `size` bytes to read.

    Raises
    ------
    SnapshotError
        If the library is not there, refuses the output, crashes on it or waits for what does not come.
    """
    global _process
    metadata = sum(file.stat().st_size for file in Path(path).glob("md*")) if os.path.isdir(path) else 0
    patience = PATIENCE + (metadata + size) / BYTES_PER_SECOND
    request |= {"path": path, "stamp": _stamp(path)}
    with _lock:
        for fresh in (_process is None, True):
            begin, _process = time.monotonic(), _process or _Process()
            try:
                header, data = _process.ask(request, patience)
                break
            except TimeoutError:
                _stop()
                raise SnapshotError(
                    f"{path}: openpmd-api waits for more than {patience:.3g} s for its data; they are damaged, copy "
                    "them again"
                ) from None
            except EOFError:
                status = _stop()
                if fresh or time.monotonic() > begin + SOON:  # else a file that was read before may be the cause
                    raise SnapshotError(
                        f"{path}: openpmd-api ends on it (exit status {status}); copy the output again"
                    ) from None
            except BaseException:
                _stop()  # an answer may be on its way
                raise
    if "missing" in header:
        raise SnapshotError(
            f"{path} is not HDF5: reading ADIOS2 needs openpmd-api and adios2 ({header['missing']}), pip install "
            "'mmfields[openpmd]'"
        )
    if "error" in header:
        raise SnapshotError(f"{path}: openpmd-api cannot read it ({header['error']}); the output is damaged")
    return header, data


def _stamp(path: str) -> int:
    """What changes when a file, or one of those directly in a directory, does."""
    files = [path] + ([entry.path for entry in os.scandir(path)] if os.path.isdir(path) else [])
    return hash(tuple((stat.st_mtime_ns, stat.st_size) for stat in map(os.stat, sorted(files))))


@dataclass(frozen=True)
class ApiSource:
    """A mesh component that openpmd-api reads."""

    path: str
    iteration: int
    record: str
    component: str
    shape: tuple[int, ...]
    stored: np.dtype
    fill: float | None = None  # of cells that no block covers; without it they are refused

    @property
    def dtype(self) -> np.dtype:
        return self.stored if self.fill is None else mean_dtype(self.stored)

    def read(self, region: Region) -> np.ndarray:
        start, count = [s.start for s in region], [s.stop - s.start for s in region]
        values, blocks = self._ask(start, count)
        values = values.astype(self.dtype, copy=False)
        if blocks is not None:
            self._check(values, np.array(start), *blocks)
        return values

    def _ask(self, start: list[int], count: list[int]) -> tuple[np.ndarray, list | None]:
        """Numbers, and starts, extents and extremes of the blocks that they are in."""
        size = math.prod(count) * self.stored.itemsize
        place = {"iteration": self.iteration, "record": self.record, "component": self.component}
        header, data = ask(self.path, size, do="read", **place, start=start, count=count)
        if header["dtype"] != self.stored.str or len(data) != size:
            raise SnapshotError(
                f"{self.path}: {self.record}/{self.component} holds {header['dtype']}, {len(data)} bytes, where "
                f"{self.stored.str} and {size} bytes were found before; open it again"
            )
        return data.view(self.stored).reshape(count), header["blocks"]

    def _check(self, values: np.ndarray, start: np.ndarray, low: list, extent: list, extremes: list) -> None:
        """Blocks cover what was read, and its numbers are those that they state."""
        covered = np.zeros(values.shape, bool)
        for at, size, stated in zip(low, extent, extremes, strict=True):
            begin = np.array(at) - start
            part = tuple(map(slice, np.maximum(begin, 0), np.minimum(begin + size, values.shape)))
            covered[part] = True
            self._require(at, size, values[part], stated)
        if self.fill is not None:
            values[~covered] = self.fill
        elif not covered.all():
            place = (np.argwhere(~covered)[0] + start).tolist()
            raise SnapshotError(
                f"{self.path}: {self.record}/{self.component} at {place} is in no block: it was never written, or the "
                "metadata are damaged; read what is there, say what the rest shall hold (fill_missing=numpy.nan), or "
                "copy the output again"
            )

    def _require(self, at: list[int], size: list[int], numbers: np.ndarray, stated: list[float]) -> None:
        """Numbers of a block are those that it states.  ADIOS2 takes any for the extremes of a block with NaNs."""
        where, whole = f"{self.path}: {self.record}/{self.component}, the block from {at}", list(numbers.shape) == size
        if whole and np.isnan(numbers).any():
            return
        try:
            require_extrema(where, numbers, *stated, whole=whole, slack=SIX_DIGITS)
        except SnapshotError:
            if whole:
                raise
            block, _ = self._ask(at, size)  # there may be NaNs in the rest of it
            self._require(at, size, block, stated)


def check_bp4(path: str) -> None:
    """Refuse an ADIOS2 BP4 directory whose index does not fit its metadata.

    The index is a header of 64 bytes and one record of 64 bytes per step: step, rank, the offsets of
    the process groups, variables and attributes in ``md.0`` and the end of the step there, as 8-byte
    integers.  Only this version is checked.
    """
    files = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else []
    if odd := [file for file in files if not os.path.isfile(file)]:
        raise SnapshotError(f"{odd[0]} is no file; copy the whole directory again")
    index = os.path.join(path, "md.idx")
    if not os.path.isfile(index):
        return
    raw = read_bytes(index, 0, min(os.path.getsize(index), 1 << 24))
    if len(raw) < 64 or raw[37:38] not in (b"\x04", b"4"):
        return
    metadata = os.path.join(path, "md.0")
    size = os.path.getsize(metadata) if os.path.isfile(metadata) else -1
    records = np.frombuffer(raw[64 : len(raw) // 64 * 64], "<u8").reshape(-1, 8)
    in_order = (np.diff(records[:, 2:6].astype(object), axis=1) >= 0).all() if len(records) else False
    if len(raw) % 64 or not in_order or max(records[:, 5]) > size or (records[:, 0] > len(records)).any():
        raise SnapshotError(f"{path}: md.idx does not fit md.0 of {size} bytes; the output is damaged, copy it again")
    if not any(os.path.basename(file).startswith("data.") for file in files):
        raise SnapshotError(f"{path}: no data.* files beside the metadata; copy the whole directory")

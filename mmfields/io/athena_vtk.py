"""Legacy VTK snapshots of Athena++ and Athena-C (engine ``athena_vtk``)."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import escape, glob
from itertools import islice
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io._lazy import RawBlocks, read_bytes
from mmfields.io._mesh import Layout, Mosaic, check_boxes
from mmfields.io._snapshot import (
    ATHENA_NAMES,
    LONGEST_AXIS,
    Axis,
    Field,
    add_field,
    build,
    finite,
    guarded,
    limits_axis,
    magic,
)

MAGIC = b"# vtk DataFile Version"
LONGEST_LINE = 4096
VECTORS = {
    "vel": "u",
    "velocity": "u",
    "mom": "mom",
    "momentum": "mom",
    "Bcc": "B",
    "cc-B": "B",
    "cell_centered_B": "B",
}
SCALARS = {**ATHENA_NAMES, "density": "rho"}
REAL = np.dtype(">f4")


@dataclass(frozen=True)
class _Part:
    """One VTK file: its edges per axis (x, y, z), and where each variable lies."""

    path: str
    time: float
    cycle: int | None
    code: str
    edges: tuple[np.ndarray, ...]
    variables: Mapping[str, tuple[int, int]]  # name: (offset, components)


class _Reader:
    """Walks a file by computed offsets; text is never searched for in binary data."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = os.path.getsize(path)
        self.offset = 0

    def line(self) -> str:
        chunk = read_bytes(self.path, self.offset, min(LONGEST_LINE, self.size - self.offset))
        end = chunk.find(b"\n")
        if end < 0:
            raise SnapshotError(f"{self.path}: no line ends after offset {self.offset}; the file is truncated")
        self.offset += end + 1
        return chunk[:end].decode("ascii", "replace").strip()

    def expect(self, pattern: str) -> re.Match:
        start = self.offset
        text = self.line()
        match = re.fullmatch(pattern, text)
        if not match:
            raise SnapshotError(f"{self.path}: expected {pattern!r} at offset {start}, found {text[:60]!r}")
        return match

    def skip(self, count: int) -> int:
        """Step over `count` big-endian floats and return where they began."""
        start = self.offset
        if start + count * REAL.itemsize > self.size:
            raise SnapshotError(
                f"{self.path}: {count} numbers announced at offset {start}, the file ends at {self.size}; "
                "it is truncated or damaged"
            )
        self.offset += count * REAL.itemsize
        return start

    def newline(self) -> None:
        """Step over the newline that follows binary data wherever more comes."""
        if self.offset == self.size:
            return
        if (found := read_bytes(self.path, self.offset, 1)) != b"\n":
            raise SnapshotError(
                f"{self.path}: expected a newline after the numbers, at offset {self.offset}, found {found!r}; "
                "bytes are missing or too many before it"
            )
        self.offset += 1


def _read_header(path: str) -> _Part:
    reader = _Reader(path)
    reader.expect(r"# vtk DataFile Version [\d.]+")
    title = reader.line()
    time = re.search(r"time= ?([^\s,]+)", title)
    cycle = re.search(r"cycle= ?(\d{1,18})", title)
    if not time:
        raise SnapshotError(f"{path}: line 2 states no time: {title[:80]!r}; only Athena's legacy VTK is read")
    reader.expect("BINARY")
    kind = reader.expect(r"DATASET (RECTILINEAR_GRID|STRUCTURED_POINTS)")[1]
    points = [int(n) for n in reader.expect(r"DIMENSIONS (\d{1,9}) (\d{1,9}) (\d{1,9})").groups()]
    if not all(0 < n <= LONGEST_AXIS + 1 for n in points):
        raise SnapshotError(f"{path}: DIMENSIONS {points}; 1 to {LONGEST_AXIS + 1} are possible")
    claimed = np.prod([max(n - 1, 1) for n in points], dtype=object)
    if claimed * REAL.itemsize > reader.size:
        raise SnapshotError(f"{path}: DIMENSIONS {points} make {claimed} cells, more than {reader.size} bytes can hold")
    edges = (_points if kind == "STRUCTURED_POINTS" else _coordinates)(reader, points)
    cells = int(reader.expect(r"CELL_DATA (\d{1,18})")[1])
    if cells != claimed:
        raise SnapshotError(f"{path}: CELL_DATA {cells}, but DIMENSIONS {points} make {claimed} cells")
    code = "Athena++" if title.startswith("# Athena++") or "Athena++" in title else "Athena"
    step = int(cycle[1]) if cycle else None
    return _Part(path, finite(path, "time", time[1]), step, code, edges, _data(reader, cells))


def _coordinates(reader: _Reader, points: list[int]) -> tuple[np.ndarray, ...]:
    edges = []
    for dim, n in zip("XYZ", points, strict=True):
        reader.expect(rf"{dim}_COORDINATES {n} float")
        start = reader.skip(n)
        values = np.frombuffer(read_bytes(reader.path, start, 4 * n), REAL).astype(float)
        if not np.isfinite(values).all():
            raise SnapshotError(f"{reader.path}: {dim}_COORDINATES at offset {start} are not all finite")
        edges.append(values)
        reader.newline()
    return tuple(edges)


def _points(reader: _Reader, points: list[int]) -> tuple[np.ndarray, ...]:
    three = r" (\S+) (\S+) (\S+)"
    origin = [finite(reader.path, "ORIGIN", v) for v in reader.expect("ORIGIN" + three).groups()]
    width = [finite(reader.path, "SPACING", v) for v in reader.expect("SPACING" + three).groups()]
    return tuple(o + w * np.arange(n) for o, w, n in zip(origin, width, points, strict=True))


def _data(reader: _Reader, cells: int) -> dict[str, tuple[int, int]]:
    """Offsets of the variables: one header line or two, then the numbers, to the end of the file."""
    variables: dict[str, tuple[int, int]] = {}
    while reader.offset < reader.size:
        kind, name = reader.expect(r"(SCALARS|VECTORS) (\S+) float(?: 1)?").groups()
        if kind == "SCALARS":
            reader.expect(r"LOOKUP_TABLE default")
        if name in variables:
            raise SnapshotError(f"{reader.path}: variable {name!r} stands twice, again before offset {reader.offset}")
        count = 3 if kind == "VECTORS" else 1
        variables[name] = (reader.skip(cells * count), count)
        reader.newline()
    if not variables:
        raise SnapshotError(f"{reader.path}: no variables after CELL_DATA; the file is truncated")
    return variables


def _siblings(path: str) -> list[str]:
    """All files of a one-file-per-block output, this one's block number replaced."""
    folder, name = os.path.split(path)
    match = re.fullmatch(r"(.*\.block)(\d+)(\.[^/]*\.vtk)", name)
    if not match:
        return [path]
    pattern = os.path.join(escape(folder), f"{escape(match[1])}*{escape(match[3])}")
    found: dict[int, str] = {}
    for other in sorted(glob(pattern)):
        number = other[len(folder) + 1 + len(match[1]) : -len(match[3])]
        if not re.fullmatch(r"\d{1,9}", number):
            continue
        if int(number) in found:
            raise SnapshotError(f"{other} and {found[int(number)]} are both block {int(number)}; remove one")
        found[int(number)] = other
    if sorted(found) != list(range(len(found))):
        missing = list(islice((i for i in range(max(found)) if i not in found), 10))
        raise SnapshotError(f"{path}: block files {missing} are missing beside it; copy them all")
    return [found[i] for i in sorted(found)]


def _place(parts: list[_Part]) -> tuple[Layout, dict[str, Axis], np.ndarray]:
    """Lay the files out on one uniform grid; every cell must be there once."""
    path = parts[0].path
    axes: dict[str, Axis] = {}
    start = np.zeros((len(parts), 3), np.int64)
    count = np.array([[max(len(e) - 1, 1) for e in part.edges[::-1]] for part in parts])
    for i, dim in enumerate(SPATIAL):
        low = min(part.edges[i][0] for part in parts)
        high = max(part.edges[i][-1] for part in parts)
        if all(len(part.edges[i]) == 1 for part in parts):
            continue
        width = (parts[0].edges[i][-1] - parts[0].edges[i][0]) / (len(parts[0].edges[i]) - 1)
        cells = round((high - low) / width) if width > 0 else 0
        if cells < 1:
            raise SnapshotError(f"{path}: {dim} runs from {low:g} to {high:g}: edges must ascend")
        axis = limits_axis(path, dim, low, high, cells, int(count[0, 2 - i]))
        axes[dim] = axis
        slack = 1e-3 * axis.width + 8 * np.finfo(np.float32).eps * max(abs(low), abs(high))
        for block, part in enumerate(parts):
            first = round((part.edges[i][0] - low) / axis.width)
            start[block, 2 - i] = first
            wanted = low + (first + np.arange(len(part.edges[i]))) * axis.width
            if not (np.abs(part.edges[i] - wanted) <= slack).all():
                raise SnapshotError(f"{part.path}: {dim} is not uniform, or its blocks are of several levels")
    keep = [k for k in range(3) if "zyx"[k] in axes]
    if not keep:
        raise SnapshotError(f"{path}: a single cell is no snapshot")
    shape = tuple(axes["zyx"[k]].cells for k in keep)
    low = start[:, keep]
    check_boxes(path, "the blocks", low, low + count[:, keep], np.array(shape), full=True)
    ones = np.ones_like(start[:, keep])
    return Layout(shape, start[:, keep], start[:, keep] + count[:, keep], ones, ones), axes, count[:, keep]


class AthenaVtkBackend(BackendEntrypoint):
    """xarray engine ``athena_vtk``: legacy VTK of Athena++ and Athena-C, one file or one per block."""

    description = "Athena++ and Athena-C legacy VTK snapshots"

    @guarded("athena_vtk")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
    ) -> xr.Dataset:
        """Open a VTK file, or all files of an output from any ``*.blockN.*`` one of them.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            ``periodic`` or ``open``, for all axes or per axis; the file does not state it.

        Raises
        ------
        SnapshotError
            If headers, sizes and blocks do not fit together.
        """
        path = filename_or_obj
        if os.path.isdir(path):
            raise SnapshotError(f"{path} is a directory: give one of the VTK files in it")
        parts = [_read_header(p) for p in _siblings(path)]
        for part in parts[1:]:
            same = part.time == parts[0].time and list(part.variables) == list(parts[0].variables)
            if not same:
                raise SnapshotError(f"{part.path}: time or variables differ from {parts[0].path}; they are two outputs")
        layout, axes, counts = _place(parts)
        dims = tuple(d for d in "zyx" if d in axes)
        fields: dict[str, Field] = {}
        for name, (_, components) in parts[0].variables.items():
            offsets = np.array([part.variables[name][0] for part in parts])
            for component in range(components):
                raw = RawBlocks(
                    tuple(part.path for part in parts),
                    np.arange(len(parts), dtype=np.int32),
                    offsets,
                    counts,
                    REAL,
                    components,
                    component,
                )
                add_field(path, fields, _name(name, components, component), Field(dims, Mosaic(raw, layout), name))
        attrs: dict[str, Any] = {"code": parts[0].code, "time": parts[0].time}
        if parts[0].cycle is not None:
            attrs["cycle"] = parts[0].cycle
        return build(fields, {d: axes[d] for d in dims}, attrs=attrs, boundary=boundary, drop=drop_variables)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the first bytes are those of a legacy VTK file, and not of PLUTO's."""
        head = magic(filename_or_obj)
        return head.startswith(MAGIC) and b"\nPLUTO " not in head


def _name(name: str, components: int, component: int) -> str:
    if components == 1:
        return SCALARS.get(name, name)
    stem = VECTORS.get(name)
    dim = SPATIAL[component]
    if stem == "mom":
        return f"mom{component + 1}"
    return f"{stem}{dim}" if stem else f"{name}_{dim}"

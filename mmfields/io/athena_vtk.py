"""Legacy VTK snapshots of Athena++ and Athena-C (engine ``athena_vtk``)."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import escape, glob
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields._compat import read_at
from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io._lazy import Files, RawBlocks
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
    with_centred_faces,
    with_velocities,
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
KINDS = {"float": np.dtype(">f4"), "double": np.dtype(">f8")}
# Athena-C's pieces of MPI ranks and of refined domains: X.0001.vtk, X-id3.0001.vtk, X-id3-lev1-dom2.0001.vtk
PIECE = re.compile(
    r"(?P<stem>.+?)(?:-id(?P<rank>\d{1,6}))?(?P<level>(?:-lev\d{1,2})?(?:-dom\d{1,4})?)"
    r"(?P<tail>\.\d{4,9}(?:\.[\w-]+)?\.vtk)"
)
RANK_FOLDER = re.compile(r"(?P<root>.*/)id(?P<rank>\d{1,6})(?P<below>(?:/lev\d{1,2})?)")


class _Variable(NamedTuple):
    """Where the numbers of a variable lie in a file."""

    offset: int
    components: int
    stored: np.dtype


@dataclass(frozen=True)
class _Part:
    """One VTK file: its edges per axis (x, y, z), and where each variable lies."""

    path: str
    time: float
    cycle: int | None
    code: str
    edges: tuple[np.ndarray, ...]
    level: int
    variables: Mapping[str, _Variable]


class _Reader:
    """Walks a file by computed offsets; text is never searched for in binary data."""

    def __init__(self, path: str, files: Files) -> None:
        self.path = path
        self.size = os.path.getsize(path)
        self.offset = 0
        self.descriptor = files[path]

    def bytes(self, offset: int, count: int) -> bytes:
        """So many bytes at an offset, all of which the file has."""
        return read_at(self.descriptor, count, offset)

    def line(self) -> str:
        chunk = self.bytes(self.offset, min(LONGEST_LINE, self.size - self.offset))
        end = chunk.find(b"\n")
        if end < 0:
            raise SnapshotError(f"{self.path}: no line ends after offset {self.offset}; the file is truncated")
        self.offset += end + 1
        return chunk[:end].decode("ascii", "replace").strip()

    def more(self) -> bool:
        """Whether anything follows but empty lines."""
        left = self.size - self.offset
        return left > 16 or bool(left and self.bytes(self.offset, left).strip(b"\n"))

    def expect(self, pattern: str) -> re.Match:
        start = self.offset
        while not (text := self.line()):  # AthenaK puts empty lines between its sections
            start = self.offset
        match = re.fullmatch(pattern, text)
        if not match:
            raise SnapshotError(f"{self.path}: expected {pattern!r} at offset {start}, found {text[:60]!r}")
        return match

    def skip(self, count: int, stored: np.dtype = KINDS["float"]) -> int:
        """Step over `count` big-endian numbers and return where they began."""
        start = self.offset
        if start + count * stored.itemsize > self.size:
            raise SnapshotError(
                f"{self.path}: {count} numbers announced at offset {start}, the file ends at {self.size}; "
                "it is truncated or damaged"
            )
        self.offset += count * stored.itemsize
        return start

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


def _read_header(path: str) -> _Part:
    with Files() as files:
        return _walked(_Reader(path, files))


def _walked(reader: _Reader) -> _Part:
    path = reader.path
    reader.expect(r"# vtk DataFile Version [\d.]+")
    title = reader.line()
    time = re.search(r"time= ?([^\s,]+)", title)
    cycle = re.search(r"cycle= ?(\d{1,18})", title)
    level = re.search(r"level= ?(\d{1,3})\b", title)
    if not time:
        raise SnapshotError(f"{path}: line 2 states no time: {title[:80]!r}; only Athena's legacy VTK is read")
    reader.expect("BINARY")
    kind = reader.expect(r"DATASET (RECTILINEAR_GRID|STRUCTURED_POINTS)")[1]
    points = [int(n) for n in reader.expect(r"DIMENSIONS (\d{1,9}) (\d{1,9}) (\d{1,9})").groups()]
    if not all(0 < n <= LONGEST_AXIS + 1 for n in points):
        raise SnapshotError(f"{path}: DIMENSIONS {points}; 1 to {LONGEST_AXIS + 1} are possible")
    claimed = np.prod([max(n - 1, 1) for n in points], dtype=object)
    if claimed * KINDS["float"].itemsize > reader.size:
        raise SnapshotError(f"{path}: DIMENSIONS {points} make {claimed} cells, more than {reader.size} bytes can hold")
    edges = (_points if kind == "STRUCTURED_POINTS" else _coordinates)(reader, points)
    cells = int(reader.expect(r"CELL_DATA (\d{1,18})")[1])
    if cells != claimed:
        raise SnapshotError(f"{path}: CELL_DATA {cells}, but DIMENSIONS {points} make {claimed} cells")
    code = "Athena++" if title.startswith("# Athena++") or "Athena++" in title else "Athena"
    step = int(cycle[1]) if cycle else None
    above = int(level[1]) if level else 0
    return _Part(path, finite(path, "time", time[1]), step, code, edges, above, _data(reader, cells))


def _coordinates(reader: _Reader, points: list[int]) -> tuple[np.ndarray, ...]:
    edges = []
    for dim, n in zip("XYZ", points, strict=True):
        reader.expect(rf"{dim}_COORDINATES {n} float")
        start = reader.skip(n)
        values = np.frombuffer(reader.bytes(start, 4 * n), KINDS["float"]).astype(float)
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


def _data(reader: _Reader, cells: int) -> dict[str, _Variable]:
    """Places of the variables: one header line or two, then the numbers, to the end of the file."""
    variables: dict[str, _Variable] = {}
    while reader.more():
        kind, name, width = reader.expect(r"(SCALARS|VECTORS) (\S+) (float|double)(?: 1)?").groups()
        if kind == "SCALARS":
            reader.expect(r"LOOKUP_TABLE default")
        if name in variables:
            raise SnapshotError(f"{reader.path}: variable {name!r} stands twice, again before offset {reader.offset}")
        count, stored = 3 if kind == "VECTORS" else 1, KINDS[width]
        variables[name] = _Variable(reader.skip(cells * count, stored), count, stored)
        reader.newline()
    if not variables:
        raise SnapshotError(f"{reader.path}: no variables after CELL_DATA; the file is truncated")
    return variables


def _siblings(path: str) -> tuple[list[str], list[int]]:
    """All files of an output that is written in pieces, and the numbers that are missing among them."""
    folder, name = os.path.split(path)
    match = re.fullmatch(r"(.*\.block)(\d+)(\.[^/]*\.vtk)", name)
    found = _blocks_beside(folder, match) if match else _ranks_beside(path)
    missing = list(islice((i for i in range(max(found)) if i not in found), 10))
    return [found[i] for i in sorted(found)], missing


def _ranks_beside(path: str) -> dict[int, str]:
    """Files of Athena-C's MPI ranks, in folders ``id0``, ``id1`` ... or in one."""
    folder, name = os.path.split(path)
    piece, place = PIECE.fullmatch(name), RANK_FOLDER.fullmatch(folder)
    if not piece or not (place or piece["rank"] or _others(folder, piece)):
        return {0: path}
    if not place:
        found = _others(folder, piece)
        first = os.path.join(folder, piece["stem"] + piece["level"] + piece["tail"])
        return {**({0: first} if os.path.isfile(first) else {}), **found}
    ranks = {int(n[2:]) for n in os.listdir(place["root"]) if re.fullmatch(r"id\d{1,6}", n)}
    found = {}
    for rank in ranks:
        mark = f"-id{rank}" if rank else ""
        other = os.path.join(
            f"{place['root']}id{rank}{place['below']}", piece["stem"] + mark + piece["level"] + piece["tail"]
        )
        if os.path.isfile(other):
            found[rank] = other
    if lost := sorted(ranks - found.keys()) if not piece["level"] else []:
        raise SnapshotError(f"{path}: it is the piece of one rank, and those of ranks {lost[:10]} are missing")
    return found


def _others(folder: str, piece: re.Match) -> dict[int, str]:
    """Files of the ranks from 1 on in the same folder."""
    pattern = f"{escape(piece['stem'])}-id*{escape(piece['level'] + piece['tail'])}"
    found = {}
    for other in glob(os.path.join(escape(folder), pattern)):
        match = PIECE.fullmatch(os.path.basename(other))
        if match and match["rank"] and match["stem"] == piece["stem"]:
            found[int(match["rank"])] = other
    return found


def _blocks_beside(folder: str, match: re.Match) -> dict[int, str]:
    """Files of Athena++'s blocks, the number in the name of one of them replaced."""
    pattern = os.path.join(escape(folder), f"{escape(match[1])}*{escape(match[3])}")
    found: dict[int, str] = {}
    for other in sorted(glob(pattern)):
        number = other[len(folder) + 1 + len(match[1]) : -len(match[3])]
        if not re.fullmatch(r"\d{1,9}", number):
            continue
        if int(number) in found:
            raise SnapshotError(f"{other} and {found[int(number)]} are both block {int(number)}; remove one")
        found[int(number)] = other
    return found


def _parts(path: str, boundary: str | Mapping[str, str] | None) -> list[_Part]:
    """The headers of all files of an output."""
    first = _read_header(path)
    if first.level and not _all_open(boundary, first):
        raise SnapshotError(
            f"{path}: it is a patch of refinement level {first.level}, not the whole box: open the output of level 0, "
            "or this one with boundary='open' if the patch alone is wanted"
        )
    files, missing = _siblings(path)
    sliced = any(len(edges) == 1 for edges in first.edges)  # only the blocks that a slice meets are written
    if missing and not first.level and not (sliced and ".block" in os.path.basename(path)):
        kind = "block files" if ".block" in os.path.basename(path) else "files of ranks"
        raise SnapshotError(f"{path}: {kind} {missing} are missing beside it; copy them all")
    parts = [first if file == path else _read_header(file) for file in files]
    for part in parts[1:]:
        same = part.time == parts[0].time and list(part.variables) == list(parts[0].variables)
        if not same:
            raise SnapshotError(f"{part.path}: time or variables differ from {parts[0].path}; they are two outputs")
    return parts


def _all_open(boundary: str | Mapping[str, str] | None, part: _Part) -> bool:
    """Whether the caller calls every axis open."""
    dims = [dim for dim, edges in zip(SPATIAL, part.edges, strict=True) if len(edges) > 1]
    given = boundary if isinstance(boundary, Mapping) else dict.fromkeys(dims, boundary)
    return all(given.get(dim) == "open" for dim in dims)


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
            if high - low > 1e-6 * max(abs(low), abs(high)):
                raise SnapshotError(f"{path}: the files are slices at several {dim}, from {low:g} to {high:g}")
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
    """xarray engine ``athena_vtk``: legacy VTK of Athena++ and Athena-C, one file, or one per block or rank."""

    description = "Legacy VTK snapshots of Athena++, AthenaK and Athena-C"
    url = "https://github.com/PrincetonUniversity/athena/wiki/Outputs"

    @guarded("athena_vtk")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
    ) -> xr.Dataset:
        """Open a VTK file, or all files of an output from one of them.

        Those are ``*.blockN.*`` of Athena++ and the ranks of Athena-C under MPI, ``id0/X.0001.vtk``,
        ``id1/X-id1.0001.vtk`` and so on.  The face-centred field of Athena++ (``variable=b``) is averaged to the
        centres; along an open axis the last cell, whose upper face is not stored, goes.

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
        parts = _parts(path, boundary)
        layout, axes, counts = _place(parts)
        dims = tuple(d for d in "zyx" if d in axes)
        fields: dict[str, Field] = {}
        for name, (_, components, stored) in parts[0].variables.items():
            offsets = np.array([part.variables[name].offset for part in parts])
            for component in range(components):
                raw = RawBlocks(
                    tuple(part.path for part in parts),
                    np.arange(len(parts), dtype=np.int32),
                    offsets,
                    counts,
                    stored,
                    components,
                    component,
                )
                add_field(path, fields, _name(name, components, component), Field(dims, Mosaic(raw, layout), name))
        attrs: dict[str, Any] = {"code": parts[0].code, "time": parts[0].time}
        if parts[0].cycle is not None:
            attrs["cycle"] = parts[0].cycle
        fields, axes = with_centred_faces(fields, {d: axes[d] for d in dims}, boundary)
        return build(with_velocities(fields), axes, attrs=attrs, boundary=boundary, drop=drop_variables)

    @staticmethod
    def pieces(path: str) -> list[str]:
        """All files of the output that a file belongs to."""
        return _siblings(path)[0]

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

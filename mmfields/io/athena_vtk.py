"""Legacy VTK snapshots of Athena++ and Athena-C (engine ``athena_vtk``)."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from glob import escape, glob
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SPATIAL, SnapshotError, warn
from mmfields.io._alike import pieces_of
from mmfields.io._lazy import RawBlocks
from mmfields.io._mesh import Layout, Mosaic, check_boxes
from mmfields.io._snapshot import (
    ATHENA_NAMES,
    LONGEST_AXIS,
    Alike,
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
from mmfields.io._walk import Walker

MAGIC = b"# vtk DataFile Version"
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
BLOCK = re.compile(r"(.*\.block)(\d+)(\.[^/]*\.vtk)")
# In the second line; all else of it is the same throughout a run.
STAMP = re.compile(r"time= ?[^\s,]+|cycle= ?\d+")
LONGEST_SHIFT = 32  # of what follows, by more digits in it
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
    title: int  # its length
    size: int

    @property
    def cells(self) -> int:
        return math.prod(max(len(e) - 1, 1) for e in self.edges)


def _read_header(path: str) -> _Part:
    with Walker(path) as reader:
        return _walked(reader)


def _walked(reader: Walker) -> _Part:
    path = reader.path
    reader.expect(r"# vtk DataFile Version [\d.]+")
    begin = reader.offset
    title = reader.line()
    length = reader.offset - begin - 1
    time, step = _stamp(path, title)
    level = re.search(r"level= ?(\d{1,3})\b", title)
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
    above = int(level[1]) if level else 0
    return _Part(path, time, step, code, edges, above, _data(reader, cells), length, reader.size)


def _stamp(path: str, title: str) -> tuple[float, int | None]:
    """Time and cycle in the second line of a file."""
    time = re.search(r"time= ?([^\s,]+)", title)
    cycle = re.search(r"cycle= ?(\d{1,18})", title)
    if not time:
        raise SnapshotError(f"{path}: line 2 states no time: {title[:80]!r}; only Athena's legacy VTK is read")
    return finite(path, "time", time[1]), int(cycle[1]) if cycle else None


def _coordinates(reader: Walker, points: list[int]) -> tuple[np.ndarray, ...]:
    edges = []
    for dim, n in zip("XYZ", points, strict=True):
        reader.expect(rf"{dim}_COORDINATES {n} float")
        start, values = reader.offset, reader.numbers(n, KINDS["float"])
        if not np.isfinite(values).all():
            raise SnapshotError(f"{reader.path}: {dim}_COORDINATES at offset {start} are not all finite")
        edges.append(values)
        reader.newline()
    return tuple(edges)


def _points(reader: Walker, points: list[int]) -> tuple[np.ndarray, ...]:
    three = r" (\S+) (\S+) (\S+)"
    origin = [finite(reader.path, "ORIGIN", v) for v in reader.expect("ORIGIN" + three).groups()]
    width = [finite(reader.path, "SPACING", v) for v in reader.expect("SPACING" + three).groups()]
    return tuple(o + w * np.arange(n) for o, w, n in zip(origin, width, points, strict=True))


def _data(reader: Walker, cells: int) -> dict[str, _Variable]:
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
    match = BLOCK.fullmatch(name)
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
    if len(files) == 1 and (".block0." in os.path.basename(path) or RANK_FOLDER.fullmatch(os.path.dirname(path))):
        warn(f"{path} is taken for the whole box: it is the first piece of an output, and no other one is beside it")
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


def _outline(part: _Part, path: str) -> tuple:
    """Title of a file, its length, and what else is no number, where `part` has its own, with the size."""
    starts = [v.offset for v in part.variables.values()]
    ends = [v.offset + v.components * v.stored.itemsize * part.cells for v in part.variables.values()]
    _, (head,) = pieces_of(path, [(0, starts[0] + LONGEST_SHIFT)])
    begin = head.find(b"\n") + 1
    title = head[begin : head.find(b"\n", begin)]
    shift = len(title) - part.title
    between = [(a + shift, b - a) for a, b in zip(ends, [*starts[1:], part.size], strict=True)]
    size, tails = pieces_of(path, between)
    text = title.decode("ascii", "replace")
    shared = (head[:begin], STAMP.sub("", text), head[begin + len(title) : starts[0] + shift], tails, size - shift)
    return text, len(title), *shared


def _second(path: str, piece: re.Match) -> str:
    """The file of the second rank, if this one is of the first."""
    return os.path.join(os.path.dirname(path), f"{piece['stem']}-id1{piece['level']}{piece['tail']}")


def _renamed(old: list[str], path: str) -> list[str] | None:
    """Files of another output, of which `path` is one, named as those of the old one; None where that is not clear."""
    if len(old) == 1:
        piece = PIECE.fullmatch(os.path.basename(path))
        alone = not piece or not os.path.exists(_second(path, piece))
        return [path] if alone and not BLOCK.fullmatch(os.path.basename(path)) else None
    folder, name = os.path.split(path)
    block = BLOCK.fullmatch(name)
    numbers = [match[2] for p in old if (match := BLOCK.fullmatch(os.path.basename(p)))]
    if not block or len(numbers) < len(old):
        files = _siblings(path)[0]
        return files if len(files) == len(old) else None
    files = [os.path.join(folder, f"{block[1]}{n}{block[3]}") for n in numbers]
    more = os.path.join(folder, f"{block[1]}{len(old)}{block[3]}")
    return files if all(map(os.path.isfile, files)) and not os.path.exists(more) else None


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
        parts = self.parts = _parts(path, boundary)
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

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether another output has the headers of the one opened last, and gives its time and cycle."""
        parts = self.parts
        wanted = [_outline(part, part.path)[1:] for part in parts]

        def alike(path: str) -> Alike | None:
            files = _renamed([part.path for part in parts], path)
            if files is None:
                return None
            moves, titles = {}, set()
            for part, file, other in zip(parts, files, wanted, strict=True):
                title, length, *found = _outline(part, file)
                if found != list(other[1:]):
                    return None
                titles.add(title)
                moves[part.path] = (file, length - other[0])
            if len(titles) > 1:
                return None
            time, cycle = _stamp(path, titles.pop())
            return Alike({"time": time, **({"cycle": cycle} if cycle is not None else {})}, first, moves)

        return alike

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

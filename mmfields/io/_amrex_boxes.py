"""The boxes of an AMReX plotfile: the list of one level, and the header that each box has before its numbers."""

import functools
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmfields._compat import read_at
from mmfields.conventions import SnapshotError
from mmfields.io._lazy import Files, RawBlocks, native, read_bytes

LARGEST_TEXT = 1 << 27


def header_text(path: str) -> str:
    """A text file of a plotfile, which must be there."""
    if not os.path.isfile(path):
        raise SnapshotError(f"{path} is missing: the plotfile is incomplete, copy the whole directory")
    size = os.path.getsize(path)
    if size > LARGEST_TEXT:
        raise SnapshotError(f"{path}: {size} bytes are too many for a header")
    return read_bytes(path, 0, size).decode("ascii", "replace")


def boxes_in(text: str, dim: int) -> np.ndarray:
    """All ``((lo) (hi) (type))`` in a text, as (n, 3, dim) integers."""
    three = r"\(\s*" + r"\s*,\s*".join([r"(-?\d{1,9})"] * dim) + r"\s*\)"
    found = re.findall(rf"\(\s*{three}\s*{three}\s*{three}\s*\)", text)
    return np.array(found, np.int64).reshape(-1, 3, dim)


@dataclass(frozen=True)
class Fabs:
    """Boxes of one level: corners, and the bytes of component 0 in their files."""

    paths: list[str]
    file: np.ndarray
    offset: np.ndarray
    boxes: np.ndarray
    stored: np.dtype
    components: int
    where: str  # the header that lists them
    begin: np.ndarray  # the header of each box in its file

    def heads(self, file: int) -> list[tuple[int, int]]:
        """Where the headers of the boxes of one file lie, and how long they are."""
        own = self.file == file
        return list(zip(self.begin[own].tolist(), (self.offset - self.begin)[own].tolist(), strict=True))

    def component(self, index: int) -> RawBlocks:
        return merged([self], index)


@dataclass(frozen=True)
class BoxExtremes:
    """What the headers of some levels state of one component; they are read again where the numbers are."""

    wheres: tuple[str, ...]
    boxes: tuple[int, ...]
    components: int
    component: int
    stored: np.dtype

    def of(self, block: int) -> tuple[float, float, float]:
        """Least and greatest number of a box, counted through all levels, and the relative rounding of these."""
        level = 0
        while block >= self.boxes[level]:
            block -= self.boxes[level]
            level += 1
        where, count = self.wheres[level], self.boxes[level]
        table, slack = _table(where, os.stat(where).st_mtime_ns, (count, self.components), self.stored)
        return (*table[block, self.component].tolist(), slack)


def merged(levels: Sequence[Fabs], index: int) -> RawBlocks:
    """One component of the boxes of several levels together."""
    paths, file, offsets = [], [], []
    shapes = [(f.boxes[:, 1] - f.boxes[:, 0] + 1)[:, ::-1] for f in levels]
    for part, counts in zip(levels, shapes, strict=True):
        file.append(part.file + len(paths))
        paths += part.paths
        offsets.append(part.offset + index * counts.prod(axis=1) * part.stored.itemsize)
    first, numbers = levels[0], tuple(len(f.boxes) for f in levels)
    stated = BoxExtremes(tuple(f.where for f in levels), numbers, first.components, index, first.stored)
    where = (np.concatenate(file), np.concatenate(offsets), np.concatenate(shapes))
    return RawBlocks(tuple(paths), *where, first.stored, stated=stated)


@functools.lru_cache(maxsize=64)
def _table(where: str, _: int, shape: tuple[int, int], stored: np.dtype) -> tuple[np.ndarray, float]:
    """The table of a header; the time of its last change is an argument, so that a changed file is read again."""
    return _extremes(where, header_text(where), shape, stored)


def listed(prefix: str, kind: tuple[int, ...], expected: int | None = None) -> Fabs:
    """The boxes listed in ``<prefix>_H``, each checked against its own FAB header.

    `kind` is 1 along the axes on whose nodes the numbers lie, `expected` the number of boxes.
    """
    where = prefix + "_H"
    text = header_text(where)
    dim = len(kind)
    words = text.split()
    if len(words) < 5 or not words[0].isdigit() or not words[2].isdigit():
        raise SnapshotError(f"{where}: no number of components in its first lines; the header is damaged")
    if words[0] != "1":
        raise SnapshotError(
            f"{where}: version {words[0][:20]} of the box headers, where the numbers have no header of their own; only "
            "version 1, the default of plotfiles, is read"
        )
    components = int(words[2])
    entries = re.findall(r"FabOnDisk:\s+(\S+)\s+(\d{1,18})", text)
    boxes = boxes_in(text.split("FabOnDisk")[0], dim)
    stated = [int(n) for n in re.findall(r"^\((\d{1,9}) 0\s*$", text, re.MULTILINE)]
    if not len(boxes) == len(entries) > 0 or stated != [len(boxes)] or expected not in (None, len(boxes)):
        raise SnapshotError(
            f"{where}: {len(boxes)} boxes, {len(entries)} FabOnDisk lines, announced are {stated}, expected "
            f"{expected}; the header is damaged"
        )
    if (boxes[:, 2] != np.array(kind)).any():
        raise SnapshotError(f"{where}: boxes of type {boxes[0, 2].tolist()} where {list(kind)} is expected")
    folder = os.path.dirname(prefix)
    names = list(dict.fromkeys(name for name, _ in entries))
    if any(os.path.basename(name) != name for name in names):
        raise SnapshotError(f"{where}: FabOnDisk names {names[:3]} lead out of the directory")
    paths = [os.path.join(folder, name) for name in names]
    offsets, kinds = _starts(dict(zip(names, paths, strict=True)), entries, boxes, components)
    cells = [math.prod(n) for n in (boxes[:, 1] - boxes[:, 0] + 1).tolist()]
    ends: dict[str, dict[int, int]] = {}
    for (name, offset), start, count, stored in zip(entries, offsets.tolist(), cells, kinds, strict=True):
        ends.setdefault(name, {})[int(offset)] = start + count * components * stored.itemsize
    kinds = set(kinds)
    for name, boxes_of_file in ends.items():
        path = paths[names.index(name)]
        begins = [*sorted(boxes_of_file), os.path.getsize(path)]
        for begin, after in pairwise(begins):
            if boxes_of_file[begin] != after:
                raise SnapshotError(
                    f"{path}: the box at offset {begin} ends at {boxes_of_file[begin]}, the next begins at {after}; "
                    "bytes are missing or too many, copy it again"
                )
    if len(kinds) != 1:
        raise SnapshotError(f"{where}: boxes of several number formats {sorted(map(str, kinds))}")
    number = {name: i for i, name in enumerate(names)}
    file = np.array([number[name] for name, _ in entries], np.int32)
    _table(where, os.stat(where).st_mtime_ns, (len(boxes), components), *kinds)  # refused now if damaged
    return Fabs(paths, file, offsets, boxes, *kinds, components, where, np.array([int(at) for _, at in entries]))


def _extremes(where: str, text: str, shape: tuple[int, int], stored: np.dtype) -> tuple[np.ndarray, float]:
    """Least and greatest number of each component of each box, (box, component, 2), as the stored kind holds them.

    AMReX writes two tables after the last ``FabOnDisk`` line, each under a line with its size; of size 0 where it did
    not look.  Those then state nothing.  The second of what is returned is the relative rounding of the printed
    numbers, 0 where they have all digits; until about 2018 they had 16.
    """
    words = text[text.rindex("FabOnDisk:") :].split()[3:]
    boxes, components = shape
    if words == ["0,0", "0,0"]:
        return np.full((*shape, 2), np.nan), 0.0
    rows = [word.removesuffix(",").split(",") for word in words[1 : boxes + 1] + words[boxes + 2 :]]
    sizes = words[:: boxes + 1]
    if sizes != [f"{boxes},{components}"] * 2 or len(rows) != 2 * boxes or {len(row) for row in rows} != {components}:
        raise SnapshotError(
            f"{where}: the least and greatest numbers of {components} components in {boxes} boxes are expected at its "
            "end; the header is damaged, copy it again"
        )
    try:
        with np.errstate(over="ignore"):
            table = np.moveaxis(np.array(rows, np.float64).reshape(2, *shape).astype(native(stored)), 0, -1)
    except ValueError as error:
        raise SnapshotError(f"{where}: {error} among the least and greatest numbers; the header is damaged") from None
    exact = {4: 9, 8: 17}[stored.itemsize]
    if any(_digits(word) >= exact for row in rows for word in row):
        return table, 0.0
    return table, 10.0 ** (1 - max(_digits(word) for row in rows for word in row))


def _digits(word: str) -> int:
    """Significant digits of a printed number."""
    return len(re.split("[eE]", word)[0].lstrip("+-0.").replace(".", ""))


def _starts(
    paths: Mapping[str, str], entries: list[tuple[str, str]], boxes: np.ndarray, components: int
) -> tuple[np.ndarray, list[np.dtype]]:
    """Where the numbers of each FAB begin, and their dtype.  Most headers are as long as the first one lets expect."""
    starts, kinds, sizes = np.empty(len(entries), np.int64), [], {}
    begin = b""  # of a header, as far as it says how numbers are stored
    with Files() as files:
        for i, ((name, at), box) in enumerate(zip(entries, boxes.tolist(), strict=True)):
            path, offset = paths[name], int(at)
            if begin:
                corners = " ".join("(" + ",".join(map(str, corner)) + ")" for corner in box)
                line = begin + f"({corners}) {components}\n".encode()
                if name not in sizes:
                    sizes[name] = os.path.getsize(path) if os.path.isfile(path) else -1
                count = math.prod(b - a + 1 for a, b in zip(*box[:2], strict=True)) * components * kinds[-1].itemsize
                fits = 0 < count <= sizes[name] - offset - len(line)
                if fits and read_at(files[path], len(line), offset) == line:
                    starts[i] = offset + len(line)
                    kinds.append(kinds[-1])
                    continue
            starts[i], stored = _fab(path, offset, boxes[i], components)
            kinds.append(stored)
            begin = read_at(files[path], int(starts[i]) - offset, offset).split(b")))")[0] + b")))"
    return starts, kinds


def _fab(path: str, offset: int, box: np.ndarray, components: int) -> tuple[int, np.dtype]:
    """Where the numbers of one FAB begin, and their dtype."""
    if not os.path.isfile(path):
        raise SnapshotError(f"{path} is missing: the plotfile is incomplete, copy the whole directory")
    size = os.path.getsize(path)
    if offset >= size:
        raise SnapshotError(f"{path}: a box is announced at offset {offset}, the file ends at {size}")
    line = read_bytes(path, offset, min(1024, size - offset)).split(b"\n")[0]
    text = line.decode("ascii", "replace")
    match = re.match(r"FAB \(\(8, \((\d+) [\d ]+\)\),\((\d+), \(([\d ]+)\)\)\)(.*?)(\d+)\s*$", text)
    if not match:
        raise SnapshotError(f"{path}: expected a FAB header at offset {offset}, found {text[:60]!r}")
    bits, width, order = int(match[1]), int(match[2]), [int(n) for n in match[3].split()]
    if bits != 8 * width or width not in (4, 8):
        raise SnapshotError(f"{path}: numbers of {bits} bits in {width} bytes at offset {offset}; 32 or 64 are read")
    if order == list(range(width, 0, -1)):
        stored = np.dtype(f"<f{width}")
    elif order == list(range(1, width + 1)):
        stored = np.dtype(f">f{width}")
    else:
        raise SnapshotError(f"{path}: byte order {order} at offset {offset} is neither little nor big endian")
    found = boxes_in(match[4], len(box[0]))
    if len(found) != 1 or (found[0] != box).any() or int(match[5]) != components:
        raise SnapshotError(f"{path}: the box at offset {offset} is not the one listed: {text[:120]!r}")
    start = offset + len(line) + 1
    extent = [int(n) for n in box[1] - box[0] + 1]
    if min(extent) < 1 or start + width * components * int(np.prod(extent, dtype=object)) > size:
        raise SnapshotError(f"{path}: the box {extent} at offset {offset} does not fit the {size} bytes of the file")
    return start, stored

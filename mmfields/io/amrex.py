"""AMReX plotfiles, as WarpX and FLEKS write them (engine ``amrex``)."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io._lazy import RawBlocks, read_bytes
from mmfields.io._mesh import Layout, Mosaic
from mmfields.io._snapshot import Axis, Field, build, finite, guarded, limits_axis

MAGIC = "HyperCLaw-V1.1"
LARGEST_TEXT = 1 << 27
NAMES = {
    **{f"u{c}": f"u{c}" for c in SPATIAL},
    **{f"{v}{c}": f"{v}{c}" for v in "BE" for c in SPATIAL},
}
SI_UNITS = {**{f"B{c}": "T" for c in SPATIAL}, **{f"E{c}": "V / m" for c in SPATIAL}, "rho": "C / m3"}


@dataclass(frozen=True)
class _Header:
    names: list[str]
    dim: int
    time: float
    low: list[float]
    high: list[float]
    domains: list[np.ndarray]  # per level (2, dim): first and last cell
    ratio: list[int]  # refinement between a level and the next
    step: int
    folders: list[str]


def _text(path: str) -> str:
    if not os.path.isfile(path):
        raise SnapshotError(f"{path} is missing: the plotfile is incomplete, copy the whole directory")
    size = os.path.getsize(path)
    if size > LARGEST_TEXT:
        raise SnapshotError(f"{path}: {size} bytes are too many for a header")
    return read_bytes(path, 0, size).decode("ascii", "replace")


def _boxes(text: str, dim: int) -> np.ndarray:
    """All ``((lo) (hi) (type))`` in a text, as (n, 2, dim) integers."""
    three = r"\(\s*" + r"\s*,\s*".join([r"(-?\d{1,9})"] * dim) + r"\s*\)"
    found = re.findall(rf"\(\s*{three}\s*{three}\s*\(", text)
    return np.array(found, np.int64).reshape(-1, 2, dim)


def _header(path: str) -> _Header:
    where = os.path.join(path, "Header")
    lines = _text(where).splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise SnapshotError(f"{where}: line 1 is {lines[:1]}, expected {MAGIC!r}")
    rest = iter(enumerate(lines[1:], 2))

    def numbers(what: str, count: int, kind: type = float) -> list:
        line, text = next(rest, (len(lines) + 1, ""))
        words = text.split()
        if len(words) < count:
            raise SnapshotError(f"{where}: line {line} should hold {count} numbers ({what}), found {text[:60]!r}")
        if kind is int:
            return [int(w) for w in words[:count]]
        return [finite(where, f"{what}, line {line},", w) for w in words[:count]]

    (count,) = numbers("components", 1, int)
    if not 0 < count <= min(10_000, len(lines)):
        raise SnapshotError(f"{where}: {count} components are announced on line 2")
    names = [next(rest)[1].strip() for _ in range(count)]
    (dim,) = numbers("dimensions", 1, int)
    if dim not in (1, 2, 3):
        raise SnapshotError(f"{where}: {dim} dimensions; 1 to 3 are possible")
    (time,) = numbers("time", 1)
    (finest,) = numbers("finest level", 1, int)
    if not 0 <= finest <= 30:
        raise SnapshotError(f"{where}: finest level {finest}; 0 to 30 are possible")
    low, high = numbers("lower corner", dim), numbers("upper corner", dim)
    ratio_line = next(rest)[1]
    ratios = [int(r) for r in re.findall(r"\d{1,4}", ratio_line)][:finest]
    domains = _boxes(next(rest)[1], dim)
    (step,) = numbers("steps", 1, int)
    if len(domains) != finest + 1 or len(ratios) != finest or any(r < 1 for r in ratios):
        raise SnapshotError(f"{where}: {len(domains)} domains and refinement ratios {ratios} for {finest + 1} levels")
    folders = [line.strip() for line in lines if re.fullmatch(r"Level_\d+/[\w.-]+", line.strip())]
    if len(folders) != finest + 1:
        raise SnapshotError(f"{where}: {len(folders)} level folders named for {finest + 1} levels")
    return _Header(names, dim, time, low, high, list(domains), ratios, step, folders)


@dataclass(frozen=True)
class _Fabs:
    """Boxes of one level: corners, and the bytes of component 0 in their files."""

    paths: list[str]
    file: np.ndarray
    offset: np.ndarray
    boxes: np.ndarray
    stored: np.dtype
    components: int

    def component(self, index: int) -> RawBlocks:
        counts = (self.boxes[:, 1] - self.boxes[:, 0] + 1)[:, ::-1]
        step = counts.prod(axis=1) * self.stored.itemsize
        return RawBlocks(tuple(self.paths), self.file, self.offset + index * step, counts, self.stored)


def _fabs(prefix: str, dim: int) -> _Fabs:
    """The boxes listed in ``<prefix>_H``, each checked against its own FAB header."""
    where = prefix + "_H"
    text = _text(where)
    components = int(text.split()[2])
    entries = re.findall(r"FabOnDisk:\s+(\S+)\s+(\d{1,18})", text)
    boxes = _boxes(text.split("FabOnDisk")[0], dim)
    if len(boxes) != len(entries) or not len(boxes):
        raise SnapshotError(f"{where}: {len(boxes)} boxes, {len(entries)} FabOnDisk lines; the header is damaged")
    folder = os.path.dirname(prefix)
    names = list(dict.fromkeys(name for name, _ in entries))
    if any(os.path.basename(name) != name for name in names):
        raise SnapshotError(f"{where}: FabOnDisk names {names[:3]} lead out of the directory")
    paths = [os.path.join(folder, name) for name in names]
    offsets, kinds = np.empty(len(entries), np.int64), set()
    for i, (name, offset) in enumerate(entries):
        start, stored = _fab(paths[names.index(name)], int(offset), boxes[i], components)
        offsets[i] = start
        kinds.add(stored)
    if len(kinds) != 1:
        raise SnapshotError(f"{where}: boxes of several number formats {sorted(map(str, kinds))}")
    file = np.array([names.index(name) for name, _ in entries], np.int32)
    return _Fabs(paths, file, offsets, boxes, kinds.pop(), components)


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
    found = _boxes(match[4], len(box[0]))
    if len(found) != 1 or (found[0] != box).any() or int(match[5]) != components:
        raise SnapshotError(f"{path}: the box at offset {offset} is not the one listed: {text[:120]!r}")
    start = offset + len(line) + 1
    extent = [int(n) for n in box[1] - box[0] + 1]
    if min(extent) < 1 or start + width * components * int(np.prod(extent, dtype=object)) > size:
        raise SnapshotError(f"{path}: the box {extent} at offset {offset} does not fit the {size} bytes of the file")
    return start, stored


def _layout(
    path: str, header: _Header, fabs: list[_Fabs], target: int, extra: tuple[int, ...]
) -> tuple[Layout, list[int]]:
    """Layout of the boxes of all levels on the grid of level `target`, coarse ones first."""
    scale = np.cumprod([1, *header.ratio])  # cells of a level per coarsest cell
    first = header.domains[0][0]
    cells = (header.domains[0][1] - first + 1) * scale[target]
    if (cells < 1).any():
        raise SnapshotError(f"{path}: domain {header.domains[0].tolist()} is empty")
    starts, stops, repeats, reduces = [], [], [], []
    for level, part in enumerate(fabs):
        low = part.boxes[:, 0] - first * scale[level]
        high = part.boxes[:, 1] + 1 - first * scale[level] - np.array(extra)
        repeat, reduce = max(scale[target] // scale[level], 1), max(scale[level] // scale[target], 1)
        _check_level(path, level, low, high, (header.domains[0][1] - first + 1) * scale[level])
        if (low % reduce).any() or (high % reduce).any():
            raise SnapshotError(f"{path}: boxes of level {level} cannot be averaged to level {target}")
        starts.append(low * repeat // reduce)
        stops.append(high * repeat // reduce + np.array(extra))
        repeats.append(np.full_like(low, repeat))
        reduces.append(np.full_like(low, reduce))
    parts = [np.concatenate(p)[:, ::-1] for p in (starts, stops, repeats, reduces)]
    return Layout(tuple((cells + np.array(extra)).tolist()[::-1]), *parts), cells.tolist()


def _check_level(path: str, level: int, low: np.ndarray, high: np.ndarray, cells: np.ndarray) -> None:
    """Boxes lie in the domain and do not overlap; those of level 0 fill it."""
    if (low < 0).any() or (high > cells).any():
        raise SnapshotError(f"{path}: a box of level {level} lies outside the domain of {cells.tolist()} cells")
    order = np.lexsort(low.T)
    low, high = low[order], high[order]
    for i in range(len(low) - 1):  # sorted by the last axis: only boxes that begin before this one ends can meet it
        later = slice(i + 1, i + 1 + int(np.searchsorted(low[i + 1 :, -1], high[i, -1])))
        if ((low[later] < high[i]) & (high[later] > low[i])).all(axis=1).any():
            raise SnapshotError(f"{path}: boxes of level {level} overlap at {low[i].tolist()}")
    volume = sum(int(np.prod(n, dtype=object)) for n in (high - low))
    if level == 0 and volume != np.prod(cells.tolist(), dtype=object):
        raise SnapshotError(f"{path}: the boxes of level 0 hold {volume} of {np.prod(cells)} cells; some are missing")


class AmrexBackend(BackendEntrypoint):
    """xarray engine ``amrex``: AMReX plotfiles of WarpX, FLEKS and others."""

    description = "AMReX plotfiles"

    @guarded("amrex")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
        level: int | None = None,
        staggered: bool = False,
    ) -> xr.Dataset:
        """Open a plotfile directory; only its text headers and box headers are read.

        Parameters
        ----------
        filename_or_obj : path
            The directory, or the ``Header`` file in it.
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            ``periodic`` or ``open``, for all axes or per axis; the file does not state it.
        level : int, optional
            Level of the uniform grid, the finest present by default; coarser boxes are repeated,
            finer ones volume-averaged.
        staggered : bool
            Also give WarpX's ``raw_fields``: ``Bx_f`` over ``x_f`` and so on, one more face than cells.

        Raises
        ------
        SnapshotError
            If the headers do not fit each other or the files.
        """
        path = filename_or_obj
        if os.path.basename(path) == "Header":
            path = os.path.dirname(path)
        if not os.path.isdir(path):
            raise SnapshotError(f"{path} is no plotfile: give the directory that holds its Header")
        header = _header(path)
        top = len(header.folders) - 1
        if level is not None and (not isinstance(level, int | np.integer) or not 0 <= level <= top):
            raise SnapshotError(f"level {level!r}: an integer from 0 to {top}")
        target = top if level is None else int(level)
        fabs = [_fabs(os.path.join(path, folder), header.dim) for folder in header.folders]
        if {f.components for f in fabs} != {len(header.names)}:
            raise SnapshotError(f"{path}: {len(header.names)} variables in Header, the levels hold other numbers")
        if len({f.stored for f in fabs}) > 1:
            raise SnapshotError(f"{path}: levels of several number formats")
        layout, cells = _layout(path, header, fabs, target, (0,) * header.dim)
        dims = tuple(SPATIAL[: header.dim][::-1])
        if os.path.exists(os.path.join(path, "WarpXHeader")):
            code, units = "WarpX", SI_UNITS
            if header.dim == 2:
                dims = ("z", "x")
        else:
            code, units = ("FLEKS" if os.path.exists(os.path.join(path, "FLEKSHeader")) else "AMReX"), {}
        merged = _merge(fabs)
        fields = {}
        for index, name in enumerate(header.names):
            offset = np.concatenate([f.component(index).offset for f in fabs])
            raw = RawBlocks(merged[0], merged[1], offset, merged[2], fabs[0].stored)
            renamed = "charge_density" if code == "WarpX" and name == "rho" else NAMES.get(name, name)
            fields[renamed] = Field(dims, Mosaic(raw, layout), name, units.get(name, "1"))
        chunk = merged[2].max(axis=0)
        axes = {
            d: limits_axis(path, d, header.low[-1 - k], header.high[-1 - k], cells[-1 - k], int(chunk[k]))
            for k, d in enumerate(dims)
        }
        if staggered:
            _add_staggered(path, header, fields, axes, dims, top, units)
        attrs = {"code": code, "time": header.time, "cycle": header.step, "level": target, "finest_level": top}
        si = {"length_units": "m"} if code == "WarpX" else {}
        return build(fields, axes, attrs=attrs, boundary=boundary, drop=drop_variables, **si)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is a directory whose ``Header`` is a plotfile's."""
        return is_plotfile(filename_or_obj)


def is_plotfile(path: Any) -> bool:
    """Whether `path` is a plotfile directory or its ``Header``."""
    if not isinstance(path, str | os.PathLike):
        return False
    path = os.fspath(path)
    head = path if os.path.basename(path) == "Header" else os.path.join(path, "Header")
    try:
        with open(head, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC.encode()
    except OSError:
        return False


def _merge(fabs: list[_Fabs]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Files, file index and shapes of the boxes of all levels together."""
    paths, file = [], []
    for part in fabs:
        file.append(part.file + len(paths))
        paths += part.paths
    shapes = np.concatenate([(f.boxes[:, 1] - f.boxes[:, 0] + 1)[:, ::-1] for f in fabs])
    return tuple(paths), np.concatenate(file), shapes


def _add_staggered(
    path: str,
    header: _Header,
    fields: dict[str, Field],
    axes: dict[str, Axis],
    dims: tuple[str, ...],
    top: int,
    units: Mapping[str, str],
) -> None:
    """Add the Yee components under ``raw_fields`` that are staggered along their own axis."""
    folder = os.path.join(path, "raw_fields", "Level_0")
    if top > 0:
        raise SnapshotError(f"{path}: staggered=True needs a plotfile of one level; this one has {top + 1}")
    found = [d for d in dims if os.path.exists(os.path.join(folder, f"B{d}_fp_H"))]
    if not found:
        raise SnapshotError(f"{folder}: no raw B?_fp fields; write the plotfile with plot_raw_fields=1")
    for dim in found:
        fabs = _fabs(os.path.join(folder, f"B{dim}_fp"), header.dim)
        extra = tuple(int(d == dim) for d in dims[::-1])
        layout, _ = _layout(path, header, [fabs], 0, extra)
        own = tuple(f"{d}_f" if d == dim else d for d in dims)
        fields[f"B{dim}_f"] = Field(own, Mosaic(fabs.component(0), layout), f"B{dim}_fp", units.get(f"B{dim}", "1"))
        axis = axes[dim]
        axes[f"{dim}_f"] = Axis(axis.lower, axis.width, axis.cells + 1, axis.chunk + 1, face=True)

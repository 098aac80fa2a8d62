"""AMReX plotfiles, as WarpX and FLEKS write them (engine ``amrex``)."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io._alike import pieces_of
from mmfields.io._amrex_boxes import Fabs, boxes_in, header_text, listed, merged
from mmfields.io._mesh import Layout, Mosaic, check_boxes
from mmfields.io._snapshot import (
    Alike,
    Axis,
    Field,
    NoFields,
    add_field,
    build,
    choose_level,
    finite,
    guarded,
    limits_axis,
    magic,
    require_inside,
    with_velocities,
)

# First line of a Header; codes may put their own name first.
MAGIC = re.compile(rb"[A-Za-z]\w*-V\d+\.\d+\s*\n")
# First line of the Header of particles.
PARTICLES = b"Version_"
NAMES = {
    **{f"u{c}": f"u{c}" for c in SPATIAL},
    **{f"{v}{c}": f"{v}{c}" for v in "BE" for c in SPATIAL},
    "density": "rho",
    **{f"{c}mom": f"mom{i + 1}" for i, c in enumerate(SPATIAL)},
    **{f"{c}_velocity": f"u{c}" for c in SPATIAL},
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
    boxes: list[int]  # per level
    varying: list[int]  # lines of the time, the step, and per level both again


class _Lines:
    """The lines of a ``Header``, read one after the other."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.lines = header_text(where).splitlines()
        self.number = 0

    def text(self) -> str:
        if self.number >= len(self.lines):
            raise SnapshotError(f"{self.where}: it ends after line {self.number}; the file is truncated")
        self.number += 1
        return self.lines[self.number - 1].strip()

    def words(self, what: str, count: int) -> list[str]:
        words = self.text().split()
        if len(words) < count:
            raise SnapshotError(f"{self.where}: line {self.number} should hold {count} numbers ({what}), found {words}")
        return words[:count]

    def floats(self, what: str, count: int) -> list[float]:
        return [finite(self.where, f"{what}, line {self.number},", word) for word in self.words(what, count)]

    def integers(self, what: str, count: int) -> list[int]:
        words = self.words(what, count)
        if not all(re.fullmatch(r"-?\d{1,15}", word) for word in words):
            raise SnapshotError(f"{self.where}: line {self.number} should hold whole numbers ({what}), found {words}")
        return [int(word) for word in words]


def _header(path: str) -> _Header:
    lines = _Lines(os.path.join(path, "Header"))
    where = lines.where
    if (first := lines.text()).startswith(PARTICLES.decode()):
        raise NoFields(f"{path} holds particles of a plotfile alone, and no field: open the plotfile around it")
    if first.startswith("Checkpoint"):
        raise SnapshotError(f"{path} is a checkpoint to restart from, whose layout is each code's own: open a plotfile")
    if not MAGIC.fullmatch(first.encode() + b"\n"):
        raise SnapshotError(f"{where}: line 1 is {first[:60]!r}, expected 'HyperCLaw-V1.1'")
    (count,) = lines.integers("components", 1)
    if count == 0:
        raise NoFields(f"{path} is a plotfile of particles alone: its Header announces no field, so it is no snapshot")
    if not 0 < count <= min(10_000, len(lines.lines)):
        raise SnapshotError(f"{where}: {count} components are announced on line 2")
    names = [lines.text() for _ in range(count)]
    (dim,) = lines.integers("dimensions", 1)
    if dim not in (1, 2, 3):
        raise SnapshotError(f"{where}: {dim} dimensions; 1 to 3 are possible")
    (time,) = lines.floats("time", 1)
    varying = [lines.number - 1]
    (finest,) = lines.integers("finest level", 1)
    if not 0 <= finest <= 30:
        raise SnapshotError(f"{where}: finest level {finest}; 0 to 30 are possible")
    low, high = lines.floats("lower corner", dim), lines.floats("upper corner", dim)
    ratio = [int(r) for r in re.findall(r"\d{1,4}", lines.text())][:finest]
    domains = boxes_in(lines.text(), dim)
    if len(domains) != finest + 1 or len(ratio) != finest or any(r < 1 for r in ratio):
        raise SnapshotError(f"{where}: {len(domains)} domains and refinement ratios {ratio} for {finest + 1} levels")
    (step,) = lines.integers("steps", 1)
    varying.append(lines.number - 1)
    _check_domains(lines, domains, ratio, low, high)
    (geometry,) = lines.integers("coordinate system", 1)
    if geometry != 0:
        raise SnapshotError(f"{where}: coordinate system {geometry} is not Cartesian (0); only that is read")
    lines.text()  # the width of the boundary, always 0
    folders, boxes = [], []
    for level in range(finest + 1):
        stated, number = lines.integers(f"level {level} and its boxes", 2)
        lines.text()  # its step
        varying += [lines.number - 2, lines.number - 1]
        if stated != level or not 0 < number * dim <= len(lines.lines):
            raise SnapshotError(f"{where}: line {lines.number - 1} announces level {stated} with {number} boxes")
        for _ in range(number * dim):
            lines.floats("the edges of a box", 2)
        folders.append(lines.text())
        boxes.append(number)
        if not re.fullmatch(rf"Level_{level}/[\w.-]+", folders[-1]):
            raise SnapshotError(f"{where}: line {lines.number} names the folder {folders[-1]!r} for level {level}")
    return _Header(names, dim, time, low, high, list(domains), ratio, step, folders, boxes, varying)


def _check_domains(lines: _Lines, domains: np.ndarray, ratio: list[int], low: list[float], high: list[float]) -> None:
    """Domains refine each other by the ratios, and the cell sizes that follow fit them."""
    for level, domain in enumerate(domains):
        width = np.array(lines.floats(f"cell sizes of level {level}", len(low)))
        cells = domain[1] - domain[0] + 1
        if not np.allclose(width * cells, np.array(high) - np.array(low), rtol=1e-5, atol=0.0):
            raise SnapshotError(
                f"{lines.where}: line {lines.number}: cells of {width} do not fit {cells.tolist()} of them"
            )
        if level and (
            (domain[0] != domains[level - 1][0] * ratio[level - 1]).any()
            or (domain[1] + 1 != (domains[level - 1][1] + 1) * ratio[level - 1]).any()
        ):
            raise SnapshotError(
                f"{lines.where}: domain {level} is not {ratio[level - 1]} times that of the level below"
            )


def _layout(
    path: str, header: _Header, fabs: list[Fabs], target: int, extra: tuple[int, ...], *, full: bool = True
) -> tuple[Layout, list[int], int]:
    """Layout of the boxes of all levels on the grid of level `target`, coarse ones first; how many cells they lack.

    With `full` they may lack none.
    """
    scale = np.cumprod([1, *header.ratio, *[2] * 8])  # cells of a level per coarsest cell
    first = header.domains[0][0]
    cells = (header.domains[0][1] - first + 1) * scale[target]
    if (cells < 1).any():
        raise SnapshotError(f"{path}: domain {header.domains[0].tolist()} is empty")
    starts, stops, repeats, reduces, lacking = [], [], [], [], 0
    remedy = "; to open what is there, say what the rest shall hold, such as fill_missing=numpy.nan"
    for level, part in enumerate(fabs):
        low = part.boxes[:, 0] - first * scale[level]
        high = part.boxes[:, 1] + 1 - first * scale[level] - np.array(extra)
        repeat, reduce = max(scale[target] // scale[level], 1), max(scale[level] // scale[target], 1)
        whole = (header.domains[0][1] - first + 1) * scale[level]
        options: dict[str, Any] = {"full": full and level == 0, "remedy": remedy}
        missing = check_boxes(path, f"the boxes of level {level}", low, high, whole, **options)
        lacking += missing if level == 0 else 0
        if (low % reduce).any() or (high % reduce).any():
            raise SnapshotError(f"{path}: boxes of level {level} cannot be averaged to level {target}")
        starts.append(low * repeat // reduce)
        stops.append(high * repeat // reduce + np.array(extra))
        repeats.append(np.full_like(low, repeat))
        reduces.append(np.full_like(low, reduce))
    parts = [np.concatenate(p)[:, ::-1] for p in (starts, stops, repeats, reduces)]
    return Layout(tuple((cells + np.array(extra)).tolist()[::-1]), *parts), cells.tolist(), lacking


class AmrexBackend(BackendEntrypoint):
    """xarray engine ``amrex``: AMReX plotfiles of WarpX, FLEKS and others."""

    description = "AMReX plotfiles"
    url = "https://amrex-codes.github.io/amrex/docs_html/IO.html"

    @guarded("amrex")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
        level: int | None = None,
        staggered: bool = False,
        fill_missing: float | None = None,
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
        fill_missing : float, optional
            What cells hold that no box covers, as in back-transformed snapshots that are not complete;
            such files are refused without it.  ``attrs["missing_cells"]`` counts them, on the coarsest level.

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
        require_inside(path)
        header = _header(path)
        top = len(header.folders) - 1
        target = choose_level(level, top)
        cells_only = (0,) * header.dim
        fabs = [listed(os.path.join(path, f), cells_only, n) for f, n in zip(header.folders, header.boxes, strict=True)]
        if {f.components for f in fabs} != {len(header.names)}:
            raise SnapshotError(f"{path}: {len(header.names)} variables in Header, the levels hold other numbers")
        if len({f.stored for f in fabs}) > 1:
            raise SnapshotError(f"{path}: levels of several number formats")
        layout, cells, lacking = _layout(path, header, fabs, target, cells_only, full=fill_missing is None)
        self.read = path, fabs, header.varying, staggered
        dims = tuple(SPATIAL[: header.dim][::-1])
        if os.path.exists(os.path.join(path, "WarpXHeader")):
            code, units = "WarpX", SI_UNITS
            dims = {1: ("z",), 2: ("z", "x")}.get(header.dim, dims)
        else:
            code, units = ("FLEKS" if os.path.exists(os.path.join(path, "FLEKSHeader")) else "AMReX"), {}
        fields: dict[str, Field] = {}
        for index, name in enumerate(header.names):
            raw = merged(fabs, index)
            renamed = "charge_density" if code == "WarpX" and name == "rho" else NAMES.get(name, name)
            renamed = name if renamed in header.names else renamed
            source = Mosaic(raw, layout, fill=fill_missing if lacking else None)
            add_field(path, fields, renamed, Field(dims, source, name, units.get(name, "1")))
        chunk = raw.shapes.max(axis=0)
        axes = {
            d: limits_axis(path, d, header.low[-1 - k], header.high[-1 - k], cells[-1 - k], int(chunk[k]))
            for k, d in enumerate(dims)
        }
        if staggered:
            _add_staggered(path, header, fields, axes, dims, top, units)
        attrs = {"code": code, "time": header.time, "cycle": header.step, "level": target, "finest_level": top}
        attrs |= {"missing_cells": lacking} if lacking else {}
        attrs |= {"time_unit": "s"} if code == "WarpX" else {}
        si: dict[str, Any] = {"length_units": "m"} if code == "WarpX" else {}
        return build(with_velocities(fields), axes, attrs=attrs, boundary=boundary, drop=drop_variables, **si)

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether another plotfile has the boxes of the one opened last, and gives its time and step."""
        root, levels, varying, staggered = self.read
        if staggered:
            return lambda path: None
        _, _, *wanted = _outline(root, levels, root, varying)

        def alike(path: str) -> Alike | None:
            own = os.path.dirname(path) if os.path.basename(path) == "Header" else path
            found = None if os.path.islink(own) else _outline(own, levels, root, varying)
            if found is None or list(found[2:]) != wanted or not re.fullmatch(r"\d{1,15}", "".join(found[1])):
                return None
            time, step = finite(f"{own}/Header", "time", found[0].strip()), int(found[1][0])
            files = [f for level in levels for f in (*level.paths, level.where)]
            moves = {root: (own, 0)} | {f: (own + f.removeprefix(root), 0) for f in files}
            return Alike({"time": time, "cycle": step}, first, moves)

        return alike

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
            return MAGIC.match(file.read(80)) is not None
    except OSError:
        return False


def is_of_particles(path: str) -> bool:
    """Whether a directory holds particles as AMReX writes them."""
    head = os.path.join(path, "Header")
    return os.path.isfile(head) and magic(head, len(PARTICLES)) == PARTICLES


def _outline(path: str, levels: Sequence[Fabs], root: str, varying: Sequence[int]) -> tuple | None:
    """Time, step, and what plotfiles that are alike have in common; None where a file is missing, or a link."""
    heads = []
    for level in levels:
        where = path + level.where.removeprefix(root)
        files = [path + own.removeprefix(root) for own in level.paths]
        if not all(os.path.isfile(file) and not os.path.islink(file) for file in (where, *files)):
            return None
        heads.append(header_text(where).rpartition("FabOnDisk:")[0])
        heads += [pieces_of(file, level.heads(number)) for number, file in enumerate(files)]
    lines = header_text(os.path.join(path, "Header")).splitlines()
    time, step, *more = [lines[i] if i < len(lines) else "" for i in varying]
    kept = [line for i, line in enumerate(lines) if i not in set(varying)] + [line.split()[:2] for line in more[::2]]
    kind = [os.path.exists(os.path.join(path, name)) for name in ("WarpXHeader", "FLEKSHeader")]
    return time, step.split()[:1], heads, kind, kept


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
        extra = tuple(int(d == dim) for d in dims[::-1])
        fabs = listed(os.path.join(folder, f"B{dim}_fp"), extra)
        layout, _, _ = _layout(path, header, [fabs], 0, extra)
        own = tuple(f"{d}_f" if d == dim else d for d in dims)
        fields[f"B{dim}_f"] = Field(own, Mosaic(fabs.component(0), layout), f"B{dim}_fp", units.get(f"B{dim}", "1"))
        axis = axes[dim]
        axes[f"{dim}_f"] = Axis(axis.lower, axis.width, axis.cells + 1, axis.chunk + 1, face=True)

"""PLUTO snapshots (engine ``pluto``)."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io import _hdf5
from mmfields.io._arrays import (
    Boundary,
    Engine,
    Stored,
    chunked,
    components,
    edges_axis,
    hdf5_array,
    neighbour,
    placed,
    raw_array,
)
from mmfields.io._lazy import RawBlocks, Single, Source
from mmfields.io._recognize import PLUTO_NAME
from mmfields.io._snapshot import LONGEST_AXIS, Alike, Axis, Field, build, finite, guarded, require_file
from mmfields.io._walk import Walker

NAMES = components({"vx": "u", "Bx": "B", "bx": "B", "Ex": "E"})
FACES = re.compile(r"([BbE]x)([123])s")
VECTORS = {"Velocity": "vx", "Magnetic": "Bx"}
REAL = np.dtype(">f4")  # of VTK
CODE_UNITS = {"normalization": "code units, the magnetic field over sqrt(4 pi)"}


@dataclass(frozen=True)
class _Output:
    """One output, as the table of outputs describes it."""

    time: float
    single: bool
    order: str
    names: tuple[str, ...]


def _output(path: str, number: int, kind: str) -> _Output:
    """The line for one output in ``dbl.out`` or its like; of two lines the later one, which a restarted run wrote."""
    table = f"{kind}.out"
    lines = neighbour(path, table, "it lists the variables and the time").splitlines()
    found = [words for words in map(str.split, lines) if words[:1] == [str(number)]]
    if not found or len(found[-1]) < 7:
        raise SnapshotError(f"{path}: {table} beside it says nothing of output {number}; copy them from one run")
    _, time, _, _, mode, order, *names = found[-1]
    if mode not in ("single_file", "multiple_files") or order not in ("little", "big"):
        raise SnapshotError(f"{path}: {table} says {mode!r} and {order!r} of output {number}; it is damaged")
    if len(set(names)) != len(names):
        raise SnapshotError(f"{path}: {table} names a variable of output {number} twice: {names}")
    return _Output(finite(path, f"time in {table}", time), mode == "single_file", "<>"[order == "big"], tuple(names))


def _axes(path: str) -> dict[str, Axis]:
    """Axes of more than one cell, in array order, from ``grid.out``."""
    text = neighbour(path, "grid.out", "it alone says what the axes are")
    geometry = re.search(r"^#\s*GEOMETRY:\s*(\S+)", text, re.MULTILINE)
    if geometry is None or geometry[1].upper() != "CARTESIAN":
        kind = geometry[1] if geometry else "not stated"
        raise SnapshotError(
            f"{path}: GEOMETRY in grid.out is {kind}; only CARTESIAN grids are read: interpolate onto a Cartesian one "
            "with the tools of the code (PyPLUTO) first, then mm.io.from_arrays"
        )
    rows = iter([line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")])
    axes = {}
    for dim in SPATIAL:
        count = next(rows, [""])
        if len(count) != 1 or not re.fullmatch(r"\d{1,9}", count[0]) or not 0 < int(count[0]) <= LONGEST_AXIS:
            raise SnapshotError(f"{path}: grid.out has {count} where the number of cells along {dim} is expected")
        axes[dim] = _axis(path, dim, [next(rows, []) for _ in range(int(count[0]))])
    if next(rows, None) is not None:
        raise SnapshotError(f"{path}: grid.out goes on after its third axis; it is damaged")
    active = [d for d in "zyx" if axes[d].cells > 1] or ["x"]
    return {d: axes[d] for d in active}


def _axis(path: str, dim: str, rows: list[list[str]]) -> Axis:
    """One axis from rows of number, lower and upper edge."""
    if any(len(row) != 3 or row[0] != str(i + 1) for i, row in enumerate(rows)):
        raise SnapshotError(f"{path}: grid.out does not list {len(rows)} cells along {dim} by number and two edges")
    edges = np.array([[finite(path, f"an edge along {dim} in grid.out", v) for v in row[1:]] for row in rows])
    axis = edges_axis(path, dim, [*edges[:, 0], edges[-1, 1]])
    if not (np.abs(edges[1:, 0] - edges[:-1, 1]) <= 1e-3 * axis.width).all():
        raise SnapshotError(f"{path}: cells along {dim} in grid.out do not follow one another")
    return axis


def _shape(name: str, axes: Mapping[str, Axis]) -> tuple[int, ...]:
    """Shape of a variable: components on faces have one more along their axis."""
    face = FACES.fullmatch(name)
    along = SPATIAL[int(face[2]) - 1] if face else ""
    return tuple(a.cells + (d == along) for d, a in axes.items())


def _raw(path: str, match: re.Match, output: _Output, axes: Mapping[str, Axis]) -> dict[str, Source]:
    """Variables of ``dbl`` and ``flt``: one after the other in one file, or each in a file of its own."""
    stored = np.dtype(output.order + {"dbl": "f8", "flt": "f4"}[match["kind"]])
    offset, sources = 0, {}
    for name in output.names:
        shape = _shape(name, axes)
        own = path if output.single else _file_of(path, match, name)
        count = int(np.prod(shape)) * stored.itemsize
        sources[name] = raw_array(own, offset, shape, stored)
        offset += count
        if not output.single:
            _require_size(own, count)
            offset = 0
    if output.single:
        _require_size(path, offset)
    return sources


def _file_of(path: str, match: re.Match, name: str) -> str:
    own = os.path.join(os.path.dirname(path), f"{name}.{match['number']}.{match['kind']}")
    if not os.path.isfile(own):
        raise SnapshotError(f"{path}: the output has a file for each variable, and {own} is missing; copy it too")
    return own


def _require_size(path: str, expected: int) -> None:
    if (size := os.path.getsize(path)) != expected:
        raise SnapshotError(
            f"{path}: {size} bytes, but grid.out and the table of outputs make {expected}; it is cut, or of another run"
        )


def _hdf5_sources(path: str, number: int, axes: dict[str, Axis]) -> tuple[dict[str, Source], float]:
    """Variables of an HDF5 file and their time; the axes get its chunks."""
    with _hdf5.examined(path) as file:
        groups = [name for name in file if re.fullmatch(r"Timestep_\d{1,9}", name)]
        if groups != [f"Timestep_{number}"]:
            raise SnapshotError(f"{path}: groups {groups[:5]} where Timestep_{number} is expected")
        step = _hdf5.member(file, groups[0])
        time = finite(path, "Time", _hdf5.attribute(step, "Time"))
        parts = [_hdf5.member(step, name) for name in ("vars", "stag_vars") if name in step]
        arrays = {name: hdf5_array(path, part, name) for part in parts for name in part}
    for name, (source, _) in arrays.items():
        if source.shape != _shape(name, axes):
            raise SnapshotError(f"{path}: {name} has shape {source.shape}, grid.out makes {_shape(name, axes)}")
    if arrays:
        axes |= chunked(axes, next(iter(arrays.values()))[1])
    return {name: source for name, (source, _) in arrays.items()}, time


def _vtk_header(reader: Walker, axes: Mapping[str, Axis]) -> int:
    """Take the header, whose coordinates must be those of ``grid.out``; the number of cells."""
    path = reader.path
    for pattern in (r"# vtk DataFile Version [\d.]+", "PLUTO .*", "BINARY", "DATASET RECTILINEAR_GRID"):
        reader.expect(pattern)
    points = reader.expect(r"DIMENSIONS \d+ \d+ \d+|FIELD FieldData 1")[0]
    if points.startswith("FIELD"):  # the time, for VisIt
        reader.expect("TIME 1 1 double")
        reader.skip(1, np.dtype("f8"))
        reader.newline()
        points = reader.expect(r"DIMENSIONS \d+ \d+ \d+")[0]
    wanted = [axes[d].cells + 1 if d in axes else 1 for d in SPATIAL]
    if points.split()[1:] != list(map(str, wanted)):
        raise SnapshotError(f"{path}: {points!r}, but grid.out makes {wanted} points")
    for dim, count in zip(SPATIAL, wanted, strict=True):
        reader.expect(f"{dim.upper()}_COORDINATES {count} float")
        edges = reader.numbers(count, REAL)
        reader.newline()
        if dim in axes and not np.allclose(edges[[0, -1]], _limits(axes[dim]), rtol=1e-6, atol=1e-3 * axes[dim].width):
            raise SnapshotError(f"{path}: coordinates along {dim} are not those of grid.out; they are of two runs")
    cells = int(np.prod([n for n in (n - 1 for n in wanted) if n]))
    reader.expect(f"CELL_DATA {cells}")
    return cells


def _vtk_sources(path: str, axes: Mapping[str, Axis]) -> dict[str, Source]:
    """Variables of one VTK file."""
    shape, sources = tuple(a.cells for a in axes.values()), {}
    with Walker(path) as reader:
        cells = _vtk_header(reader, axes)
        while reader.more():
            kind, name = reader.expect(r"(SCALARS|VECTORS) (\S+) float").groups()
            if kind == "SCALARS":
                reader.expect("LOOKUP_TABLE default")
            count = 3 if kind == "VECTORS" else 1
            begin = np.array([reader.skip(cells * count, REAL)])
            reader.newline()
            for i in range(count):
                blocks = RawBlocks((path,), np.zeros(1, np.int32), begin, np.array([shape]), REAL, count, i)
                own = _component(name, i) if count > 1 else name
                if own in sources:
                    raise SnapshotError(f"{path}: variable {own!r} stands twice, again before offset {begin[0]}")
                sources[own] = Single(blocks, shape)
    return sources


def _component(name: str, index: int) -> str:
    """Name of a component of a vector such as ``3D_Magnetic_Field``."""
    kind = re.fullmatch(r"\dD_(Velocity|Magnetic)_Field", name)
    return f"{VECTORS[kind[1]] if kind else name}{index + 1}"


def _limits(axis: Axis) -> list[float]:
    return [axis.lower, axis.lower + axis.width * axis.cells]


class PlutoBackend(Engine):
    """xarray engine ``pluto``: snapshots on static Cartesian grids.

    Every format was tried on files of PLUTO 4.4, in two and three dimensions; files for each variable as ``dbl`` only,
    and vectors and the time in VTK, and big-endian files, on made ones.
    """

    name = "pluto"
    description = "PLUTO snapshots (dbl, flt, HDF5, VTK) on Cartesian grids"
    url = "https://plutocode.ph.unito.it"

    @guarded("pluto")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: Boundary = None,
        staggered: bool = False,
    ) -> xr.Dataset:
        """Open ``data.0000.dbl`` and its like, or of several files any one; only tables and headers are read.

        The tables that PLUTO writes beside its data, ``grid.out`` and ``dbl.out`` (``flt.out``, ``vtk.out``), are
        needed.  Velocity and magnetic field are those at the centres of cells.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            ``periodic`` or ``open``, for all axes or per axis; the files do not state it.
        staggered : bool
            Also give the components on faces, which ``dbl`` and ``dbl.h5`` hold: ``Bx_f`` over ``x_f``, one more
            face than cells.

        Raises
        ------
        SnapshotError
            If the grid is stretched or not Cartesian, a table is missing, or files and tables do not fit together.
        """
        path = filename_or_obj
        match = PLUTO_NAME.fullmatch(os.path.basename(path))
        if not match:
            raise SnapshotError(
                f"{path}: the name and the number of the output are needed, such as data.0000.dbl or rho.0012.flt"
            )
        axes, number = _axes(path), int(match["number"])
        if match["kind"].endswith("h5"):
            sources, time = _hdf5_sources(path, number, axes)
        else:
            output = _output(path, number, match["kind"])
            time = output.time
            self.read = match, output
            if match["kind"] != "vtk":
                sources = _raw(path, match, output, axes)
            else:
                files = [path] if output.single else [_file_of(path, match, name) for name in output.names]
                sources = {name: source for file in files for name, source in _vtk_sources(file, axes).items()}
        centred = {name: source for name, source in sources.items() if not FACES.fullmatch(name)}
        items = [Stored(NAMES.get(name, name), source, name, notes=CODE_UNITS) for name, source in centred.items()]
        fields, whole = placed(path, axes, items, boundary=boundary)
        if staggered:
            _add_faces(fields, whole, sources)
        attrs = {"code": "PLUTO", "time": time, "output": number}
        return build(fields, whole, attrs=attrs, boundary=boundary, drop=drop_variables)

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether another ``dbl`` or ``flt`` beside the one opened last is alike, and gives its time."""
        kind = PLUTO_NAME.fullmatch(os.path.basename(first))["kind"]
        if kind not in ("dbl", "flt"):
            return lambda path: None
        match, output = self.read
        old = [first] if output.single else [_file_of(first, match, name) for name in output.names]

        def alike(path: str) -> Alike | None:
            own = PLUTO_NAME.fullmatch(os.path.basename(path))
            if not own or own["kind"] != kind or os.path.dirname(path) != os.path.dirname(first):
                return None
            found = _output(path, int(own["number"]), kind)
            if replace(found, time=output.time) != output:
                return None
            files = [path] if output.single else [_file_of(path, own, name) for name in output.names]
            for file, model in zip(files, old, strict=True):
                require_file(file)
                _require_size(file, os.path.getsize(model))
            return Alike({"time": found.time, "output": int(own["number"])}, first, _moves(old, files))

        return alike


def _moves(old: list[str], files: list[str]) -> dict[str, tuple[str, int]]:
    return {model: (file, 0) for model, file in zip(old, files, strict=True)}


def _add_faces(fields: dict[str, Field], axes: dict[str, Axis], sources: Mapping[str, Source]) -> None:
    """The components on faces as they are stored, over ``x_f`` and so on."""
    dims = tuple(axes)
    for name, source in sources.items():
        if face := FACES.fullmatch(name):
            dim = SPATIAL[int(face[2]) - 1]
            own = tuple(f"{d}_f" if d == dim else d for d in dims)
            fields[f"{NAMES[face[1] + face[2]]}_f"] = Field(own, source, name, **CODE_UNITS)
            if dim in dims:
                axis = axes[dim]
                axes[f"{dim}_f"] = Axis(axis.lower, axis.width, axis.cells + 1, axis.chunk + 1, face=True)

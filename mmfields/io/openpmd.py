"""openPMD meshes in HDF5, and in ADIOS2 through openpmd-api (engine ``openpmd``)."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io import _hdf5
from mmfields.io._lazy import (
    Centred,
    Constant,
    Hdf5Blocks,
    Linear,
    Part,
    RawBlocks,
    Single,
    Source,
    Stack,
)
from mmfields.io._openpmd_api import ApiSource, ask, check_bp4
from mmfields.io._snapshot import (
    LONGEST_AXIS,
    Axis,
    Field,
    add_field,
    build,
    finite,
    guarded,
    limits_axis,
    magic,
    require_inside,
)

if TYPE_CHECKING:
    import h5py

# Of a constant record, which takes no room in the file.
MOST_CELLS = 10**12
# SI unit strings of the unitDimension vectors that field codes use; others are composed.
BASE_UNITS = ("m", "kg", "s", "A", "K", "mol", "cd")
UNITS = {
    (0, 1, -2, -1, 0, 0, 0): "T",
    (1, 1, -3, -1, 0, 0, 0): "V / m",
    (-3, 0, 1, 1, 0, 0, 0): "C / m3",
    (-2, 0, 0, 1, 0, 0, 0): "A / m2",
    (-1, 1, -2, 0, 0, 0, 0): "Pa",
}


@dataclass(frozen=True)
class _Component:
    name: str
    source: Source
    position: tuple[float, ...]
    unit: float
    chunks: tuple[int, ...] | None


@dataclass(frozen=True)
class _Record:
    """One mesh record; everything per axis is in array order."""

    name: str
    geometry: str
    labels: tuple[str, ...]
    spacing: tuple[float, ...]
    offset: tuple[float, ...]
    dimension: tuple[int, ...]
    components: tuple[_Component, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.components[0].source.shape

    def grid(self) -> tuple:
        return (self.labels, self.shape, self.spacing, self.offset)


@dataclass(frozen=True)
class _Iteration:
    number: int
    time: float
    software: str
    boundary: tuple[str, ...]
    records: tuple[_Record, ...]
    skipped: tuple[str, ...] = ()  # meshes that could not be understood


def _floats(path: str, what: str, value: Any, count: int | None = None) -> tuple[float, ...]:
    numbers = tuple(finite(path, what, v) for v in np.atleast_1d(np.asarray(value, dtype=float)))
    if count is not None and len(numbers) != count:
        raise SnapshotError(f"{path}: {what} holds {len(numbers)} numbers for {count} axes")
    return numbers


def _order(labels: Sequence[str], data_order: str, *per_axis: Sequence[float]) -> tuple:
    """Labels and per-axis numbers in array order: Fortran data are read with axes reversed."""
    turn = slice(None, None, -1) if data_order.upper().startswith("F") else slice(None)
    return tuple(tuple(item[turn]) for item in (labels, *per_axis))


# --- HDF5 -------------------------------------------------------------------------------


def _hdf5_iterations(path: str, file: "h5py.File") -> dict[int, "h5py.Group"]:
    base = _hdf5.plain(file.attrs.get("basePath", "/data/%T/"))
    folder = str(base).split("%T")[0].strip("/")
    group = _hdf5.member(file, folder)
    found = {int(name): _hdf5.member(group, name) for name in group if re.fullmatch(r"\d{1,18}", name)}
    if not found:
        raise SnapshotError(f"{path}: no iteration in group /{folder}")
    return dict(sorted(found.items()))


def _hdf5_iteration(path: str, file: "h5py.File", number: int, group: "h5py.Group") -> _Iteration:
    import h5py

    folder = str(_hdf5.plain(file.attrs.get("meshesPath", b""))).strip("/")
    if not folder and "particlesPath" not in file.attrs and "meshes" in group:
        folder = "meshes"
    meshes = _hdf5.member(group, folder) if folder else group
    if not isinstance(meshes, h5py.Group):
        raise SnapshotError(f"{path}: {meshes.name} is no group of meshes")
    skip = str(_hdf5.plain(file.attrs.get("particlesPath", b"particles/"))).strip("/")
    names = [n for n in meshes if n != skip or folder]
    nodes = {name: _hdf5.member(meshes, name) for name in names}
    marks = ("axisLabels", "geometry", "gridSpacing")
    records = [_hdf5_record(path, name, n) for name, n in nodes.items() if any(m in n.attrs for m in marks)]
    if not records:
        raise SnapshotError(f"{path}: no mesh record in {meshes.name}; particles alone are no snapshot")
    time = finite(path, "time", _hdf5.attribute(group, "time"))
    unit = finite(path, "timeUnitSI", _hdf5.plain(group.attrs.get("timeUnitSI", 1.0)))
    edges = tuple(_hdf5.strings(meshes.attrs["fieldBoundary"])) if "fieldBoundary" in meshes.attrs else ()
    software = str(_hdf5.plain(file.attrs.get("software", "openPMD")))
    return _Iteration(number, time * unit, software, edges, tuple(records))


def _hdf5_record(path: str, name: str, node: Any) -> _Record:
    import h5py

    order = str(_hdf5.plain(node.attrs.get("dataOrder", "C")))
    if order not in ("C", "F"):
        raise SnapshotError(f"{path}: dataOrder of {name} is {order!r}, not C or F")
    labels = _hdf5.strings(_hdf5.attribute(node, "axisLabels"))
    scale = finite(path, f"gridUnitSI of {name}", _hdf5.plain(node.attrs.get("gridUnitSI", 1.0)))
    spacing = [
        scale * v for v in _floats(path, f"gridSpacing of {name}", _hdf5.attribute(node, "gridSpacing"), len(labels))
    ]
    offset = [
        scale * v
        for v in _floats(path, f"gridGlobalOffset of {name}", _hdf5.attribute(node, "gridGlobalOffset"), len(labels))
    ]
    scalar = isinstance(node, h5py.Dataset) or "value" in node.attrs
    parts = {"": node} if scalar else {n: _hdf5.member(node, n) for n in node}
    components = [_hdf5_component(path, name, n, part, labels, order) for n, part in parts.items()]
    if not components:
        raise SnapshotError(f"{path}: mesh {name} has no components")
    _check_components(path, name, components)
    labels, spacing, offset = _order(labels, order, spacing, offset)
    geometry = str(_hdf5.plain(node.attrs.get("geometry", "cartesian")))
    powers = tuple(int(v) for v in _floats(path, "unitDimension", node.attrs.get("unitDimension", [0] * 7)))
    return _Record(name, geometry, labels, tuple(spacing), tuple(offset), powers, tuple(components))


def _check_components(path: str, name: str, components: Sequence[_Component]) -> None:
    """Components of a record have one shape, and B and E have all three."""
    shapes = {c.name: c.source.shape for c in components}
    if len(set(shapes.values())) > 1:
        raise SnapshotError(f"{path}: components of {name} differ in shape: {shapes}")
    if name in ("B", "E") and not {"x", "y", "z"} <= set(shapes) and not {"r", "t"} & set(shapes):
        raise SnapshotError(f"{path}: {name} has components {sorted(shapes)}, one of x, y, z is missing")


def _hdf5_component(path: str, record: str, name: str, node: Any, labels: Sequence[str], order: str) -> _Component:
    where = f"{record}/{name}" if name else record
    unit = finite(path, f"unitSI of {where}", _hdf5.plain(node.attrs.get("unitSI", 1.0)))
    if unit == 0:
        raise SnapshotError(f"{path}: unitSI of {where} is 0; it would wipe out the values")
    position = _floats(path, f"position of {where}", node.attrs.get("position", [0.0] * len(labels)))
    (position,) = _order(position, order)
    if "value" in node.attrs and "shape" in node.attrs:
        shape = tuple(int(n) for n in np.atleast_1d(node.attrs["shape"]))
        if max(shape) <= LONGEST_AXIS and np.prod(shape, dtype=object) > MOST_CELLS:
            raise SnapshotError(f"{path}: {where} is constant over {shape} cells, more than any box has; it is damaged")
        value = finite(path, f"value of {where}", _hdf5.plain(node.attrs["value"]))
        return _Component(name, Constant(value, shape, np.dtype(np.float64)), position, unit, None)
    data = _hdf5.dataset(node.parent, node.name.rsplit("/", 1)[-1])
    offset = _hdf5.blocks_of(data)
    if offset is None:
        blocks: Any = Hdf5Blocks(path, data.name, data.dtype, blocked=False)
    else:
        blocks = RawBlocks((path,), np.zeros(1, np.int32), np.array([offset]), np.array([data.shape]), data.dtype)
    return _Component(name, Single(blocks, data.shape), position, unit, data.chunks)


# --- ADIOS2 and others through openpmd-api ------------------------------------------------


def _api_iterations(path: str, iteration: int | None) -> tuple[list[int], list[_Iteration]]:
    """Numbers of all iterations, and the one that is wanted or all."""
    require_inside(path)
    check_bp4(path)
    found, _ = ask(path, do="describe", iteration=iteration)
    return found["found"], [_api_iteration(path, found["software"], step) for step in found["steps"]]


def _api_iteration(path: str, software: str, step: Mapping[str, Any]) -> _Iteration:
    records = []
    for mesh in step["records"]:
        name, order = mesh["name"], "F" if mesh["order"] == "F" else "C"
        labels, spacing, offset = _order(mesh["labels"], order, mesh["spacing"], mesh["offset"])
        parts = []
        for part in mesh["components"]:
            key, dtype, shape = part["key"], np.dtype(part["dtype"]), tuple(part["shape"])
            if dtype.kind not in "fiu":
                raise SnapshotError(f"{path}: mesh {name} holds {dtype}, not numbers")
            source = ApiSource(path, step["number"], name, key, shape, dtype)
            (position,) = _order(part["position"], order)
            parts.append(_Component("" if "Scalar" in key else key, source, position, part["unit"], None))
        _check_components(path, name, parts)
        grid = (mesh["geometry"], labels, spacing, offset, tuple(mesh["dimension"]))
        records.append(_Record(name, *grid, tuple(parts)))
    if lost := {"B", "E"}.intersection(step["skipped"]):
        raise SnapshotError(f"{path}: openpmd-api does not understand the mesh {min(lost)}; the output is damaged")
    what = (tuple(step["boundary"]), tuple(records), tuple(step["skipped"]))
    return _Iteration(step["number"], step["time"], software, *what)


# --- both ---------------------------------------------------------------------------------


def _unit(dimension: tuple[int, ...]) -> str:
    if len(dimension) != 7 or not any(dimension):
        return "1"
    if dimension in UNITS:
        return UNITS[dimension]
    return " ".join(f"{u}{p}" if p != 1 else u for u, p in zip(BASE_UNITS, dimension, strict=True) if p)


def _variable(record: _Record, component: _Component) -> str:
    if component.name:
        stem = {"b": "B", "e": "E"}.get(record.name, record.name)
        return f"{stem}{component.name}" if len(stem) == 1 else f"{stem}_{component.name}"
    if record.name == "rho" and record.dimension == (-3, 0, 1, 1, 0, 0, 0):
        return "charge_density"  # `rho` is the mass density in the snapshot convention
    return record.name


def _choose(path: str, records: Sequence[_Record]) -> tuple[list[_Record], list[str]]:
    """Records on the grid of B (else E, else the first), and what lies on other grids."""
    theta = [r.name for r in records if r.geometry != "cartesian"]
    if theta:
        kind = next(r.geometry for r in records if r.geometry != "cartesian")
        raise SnapshotError(
            f"{path}: mesh {theta[0]!r} has geometry {kind!r}; only cartesian meshes are read: "
            "write a cartesian reconstruction with the code's own tools first"
        )
    usable = [r for r in records if len(r.labels) == len(r.shape)]
    by_name = {r.name: r for r in usable}
    main = by_name.get("B") or by_name.get("E") or next(iter(usable), None)
    if main is None or not set(main.labels) <= set(SPATIAL) or len(set(main.labels)) != len(main.labels):
        found = {r.name: (r.labels, r.shape) for r in records}
        raise SnapshotError(f"{path}: axes must be labelled out of x, y, z and fit the data; found {found}")
    chosen = [r for r in usable if r.grid() == main.grid()]
    return chosen, [r.name for r in records if r not in chosen]


def _known(iteration: _Iteration, labels: tuple[str, ...]) -> dict[str, str]:
    """Boundaries that the file states; WarpX's are not believed, it writes `reflecting` for periodic boxes."""
    edges = iteration.boundary
    if iteration.software.lower() == "warpx" or len(edges) != 2 * len(labels):
        return {}
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return {
        d: "periodic" if {low, high} == {"periodic"} else "open" for d, (low, high) in zip(labels, pairs, strict=True)
    }


class OpenpmdBackend(BackendEntrypoint):
    """xarray engine ``openpmd``: Cartesian meshes of any dimension."""

    description = "openPMD meshes (HDF5; ADIOS2 with openpmd-api)"

    @guarded("openpmd")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
        iteration: int | None = None,
        staggered: bool = False,
    ) -> xr.Dataset:
        """Open an openPMD file; only attributes are read.

        Values are SI.  Components at several positions of the cell are averaged to cell centres;
        along an open axis the last cell, whose upper side is not stored, goes.  Meshes on another
        grid than B are left out and named in ``attrs["not_loaded"]``.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            Overrides what the file says.
        iteration : int, optional
            One iteration of a file that holds several; all along ``time`` by default.
        staggered : bool
            Also give the components as stored: ``Bx_f`` and so on, over dims such as ``y_f``.

        Raises
        ------
        SnapshotError
            For thetaMode and other geometries, unknown axes, and damaged files.
        """
        path = filename_or_obj
        if not os.path.isdir(path) and magic(path).startswith(b"\x89HDF"):
            with _hdf5.examined(path) as file:
                groups = _hdf5_iterations(path, file)
                numbers = self._wanted(path, list(groups), iteration)
                steps = [_hdf5_iteration(path, file, n, groups[n]) for n in numbers]
        else:
            numbers, steps = _api_iterations(path, iteration)
            self._wanted(path, numbers, iteration)
        return self._assemble(path, steps, boundary, staggered, drop_variables)

    def _wanted(self, path: str, found: list[int], iteration: int | None) -> list[int]:
        if iteration is None:
            return found
        if iteration not in found:
            raise SnapshotError(f"{path}: no iteration {iteration}, only {found[:20]}")
        return [iteration]

    def _assemble(self, path, steps, boundary, staggered, drop) -> xr.Dataset:
        steps = sorted(steps, key=lambda step: step.time)
        chosen, left_out = _choose(path, steps[0].records)
        left_out += steps[0].skipped
        main = chosen[0]
        for name, cells in zip(main.labels, main.shape, strict=True):
            if not 0 < cells <= LONGEST_AXIS:
                raise SnapshotError(f"{path}: {cells} cells along {name}; 1 to {LONGEST_AXIS} are possible")
        known = _known(steps[0], main.labels)
        grid = _Grid.of(path, main, chosen, boundary, known)
        each = [_fields(path, grid, step, staggered) for step in steps]
        if any(e.keys() != each[0].keys() for e in each):
            raise SnapshotError(f"{path}: iterations hold different meshes; open one with iteration=...")
        fields = each[0]
        if len(steps) > 1:
            fields = {
                name: replace(f, dims=("time", *f.dims), source=Stack(tuple(e[name].source for e in each)))
                for name, f in fields.items()
            }
        attrs: dict[str, Any] = {"code": steps[0].software, "time_unit": "s"}
        if len(steps) == 1:
            attrs |= {"time": steps[0].time, "iteration": steps[0].number}
        if left_out:
            attrs["not_loaded"] = ", ".join(left_out)
        ds = build(
            fields, grid.axes(path, staggered), attrs=attrs, boundary=boundary, known=known, length_units="m", drop=drop
        )
        if len(steps) > 1:
            times = [s.time for s in steps]
            if len(set(times)) < len(times):
                raise SnapshotError(
                    f"{path}: iterations {[s.number for s in steps]} share times; open one with iteration=..."
                )
            ds = ds.assign_coords(time=("time", [s.time for s in steps], {"units": "s"}))
        return ds

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is HDF5 with openPMD's root attribute, or an ADIOS2 ``.bp``."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        path = os.fspath(filename_or_obj).rstrip("/")
        if path.endswith((".bp", ".bp4", ".bp5")):
            return True
        if not magic(path).startswith(b"\x89HDF"):
            return False
        with _hdf5.opened(path) as file:
            return "openPMD" in file.attrs


@dataclass(frozen=True)
class _Grid:
    """The common grid of the chosen records."""

    dims: tuple[str, ...]
    cells: tuple[int, ...]
    spacing: tuple[float, ...]
    offset: tuple[float, ...]
    position: tuple[float, ...]
    mixed: bool
    kept: tuple[int, ...]
    chunks: tuple[int, ...]

    @classmethod
    def of(cls, path, main, chosen, boundary, known) -> "_Grid":
        places = {c.position for r in chosen for c in r.components}
        if any(len(p) != len(main.labels) for p in places):
            raise SnapshotError(f"{path}: 'position' of a component does not fit axes {main.labels}")
        mixed = len(places) > 1
        if mixed and any(min(abs(v), abs(v - 0.5)) > 1e-6 for p in places for v in p):
            raise SnapshotError(f"{path}: components at positions {sorted(places)}; 0 and 0.5 can be centred")
        given = dict.fromkeys(main.labels, boundary) if isinstance(boundary, str) else dict(boundary or {})
        opens = [mixed and given.get(d, known.get(d, "periodic")) == "open" for d in main.labels]
        kept = tuple(n - int(o) for n, o in zip(main.shape, opens, strict=True))
        chunks = next((c.chunks for r in chosen for c in r.components if c.chunks), main.shape)
        position = (0.5,) * len(main.labels) if mixed else next(iter(places))
        return cls(main.labels, main.shape, main.spacing, main.offset, position, mixed, kept, tuple(chunks))

    def axes(self, path: str, staggered: bool) -> dict[str, Axis]:
        axes = {}
        for k, dim in enumerate(self.dims):
            width = self.spacing[k]
            low = self.offset[k] + (self.position[k] - 0.5) * width
            limits_axis(path, dim, low, low + width * self.kept[k], self.kept[k], 1)
            axes[dim] = Axis(low, width, self.kept[k], min(self.chunks[k], self.kept[k]))
            if staggered:
                axes[f"{dim}_f"] = Axis(self.offset[k], width, self.cells[k], self.chunks[k], face=True)
        return axes

    def centred(self, source: Source, position: tuple[float, ...]) -> Source:
        """The source at the common position of the cells that are kept."""
        if not self.mixed:
            return source
        for axis, place in enumerate(position):
            if place < 0.25:
                source = Centred(source, axis, self.kept[axis])
        return source if source.shape == self.kept else Part(source, self.kept)


def _scaled_dtype(stored: np.dtype, unit: float) -> np.dtype:
    """dtype of values times unitSI: the file's, unless it cannot hold the unit or has too few digits."""
    if stored.kind != "f":
        return np.dtype(np.float64)
    kind = np.promote_types(stored, np.float32)
    info = np.finfo(kind)
    return kind if float(info.tiny) * 1e6 < abs(unit) < float(info.max) / 1e6 else np.dtype(np.float64)


def _fields(path: str, grid: _Grid, step: _Iteration, staggered: bool) -> dict[str, Field]:
    chosen, _ = _choose(path, step.records)
    fields: dict[str, Field] = {}
    for record in chosen:
        if record.grid() != (grid.dims, grid.cells, grid.spacing, grid.offset):
            raise SnapshotError(f"{path}: iteration {step.number} has another grid; open one with iteration=...")
        for component in record.components:
            name = _variable(record, component)
            code_name = f"{record.name}/{component.name}".rstrip("/")
            source = component.source
            if component.unit != 1.0:
                source = Linear(source, component.unit, 0.0, _scaled_dtype(source.dtype, component.unit))
            units = _unit(record.dimension)
            centred = grid.centred(source, component.position)
            add_field(path, fields, name, Field(grid.dims, centred, code_name, units, "not stated in the file"))
            faces = tuple(f"{d}_f" if p < 0.25 else d for d, p in zip(grid.dims, component.position, strict=True))
            if staggered and grid.mixed and faces != grid.dims:
                own = tuple(n if f.endswith("_f") else k for f, n, k in zip(faces, grid.cells, grid.kept, strict=True))
                fields[f"{name}_f"] = Field(faces, Part(source, own), code_name, units, "not stated in the file")
    return fields

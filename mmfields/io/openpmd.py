"""openPMD meshes in HDF5, and in ADIOS2 through openpmd-api (engine ``openpmd``)."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SnapshotError
from mmfields.io import _hdf5, _openpmd_hdf5
from mmfields.io._alike_hdf5 import outlined
from mmfields.io._lazy import Centred, Linear, Part, Source, Stack
from mmfields.io._openpmd_api import ApiSource, ask, check_bp4
from mmfields.io._openpmd_records import (
    Component,
    Iteration,
    Record,
    axes_of,
    check_components,
    in_array_order,
    in_short,
    main_of,
    readable,
    understood,
)
from mmfields.io._series import window_remedy
from mmfields.io._snapshot import (
    LONGEST_AXIS,
    Alike,
    Axis,
    Field,
    build,
    finite,
    guarded,
    limits_axis,
    magic,
    require_file,
    require_inside,
)

SMALL = 4096  # bytes of a dataset that may be part of a header
# SI unit strings of the unitDimension vectors that field codes use; others are composed.
BASE_UNITS = ("m", "kg", "s", "A", "K", "mol", "cd")
UNITS = {
    (0, 1, -2, -1, 0, 0, 0): "T",
    (1, 1, -3, -1, 0, 0, 0): "V / m",
    (-3, 0, 1, 1, 0, 0, 0): "C / m3",
    (-2, 0, 0, 1, 0, 0, 0): "A / m2",
    (-1, 1, -2, 0, 0, 0, 0): "Pa",
}


# --- ADIOS2 and others through openpmd-api ------------------------------------------------


def _api_iterations(path: str, iteration: int | None, fill: float | None) -> tuple[list[int], dict[int, Any]]:
    """Numbers of all iterations, and the one that is wanted or all."""
    require_inside(path)
    check_bp4(path)
    found, _ = ask(path, do="describe", iteration=iteration)
    return found["found"], {
        step["number"]: partial(_api_iteration, path, found["software"], step, fill) for step in found["steps"]
    }


def _api_iteration(path: str, software: str, step: Mapping[str, Any], fill: float | None) -> Iteration:
    if "error" in step:
        raise SnapshotError(f"{path}: openpmd-api cannot read iteration {step['number']} ({step['error']})")
    makers = {mesh["name"]: partial(_api_record, path, step["number"], mesh, fill) for mesh in step["records"]}
    records, skipped = readable(makers)
    skipped |= {name: f"openpmd-api does not understand the mesh {name}; it is damaged" for name in step["skipped"]}
    what = (tuple(step["boundary"]), records, skipped, step["particles"])
    return Iteration(step["number"], step["time"], software, *what)


def _api_record(path: str, number: int, mesh: Mapping[str, Any], fill: float | None) -> Record:
    name, order = mesh["name"], "F" if mesh.get("order") == "F" else "C"
    if "error" in mesh:
        raise SnapshotError(f"openpmd-api cannot read the mesh {name} ({mesh['error']})")
    labels, spacing, offset = in_array_order(axes_of(mesh["labels"]), order, mesh["spacing"], mesh["offset"])
    parts = []
    for part in mesh["components"]:
        key, dtype, shape = part["key"], np.dtype(part["dtype"]), tuple(part["shape"])
        if dtype.kind not in "fiu":
            raise SnapshotError(f"{path}: mesh {name} holds {dtype}, not numbers that are real")
        inside = None if fill is None else fill / part["unit"]
        source = ApiSource(path, number, name, key, shape, dtype, inside)
        (position,) = in_array_order(part["position"], order)
        parts.append(Component("" if "Scalar" in key else key, source, position, part["unit"], None))
    check_components(path, name, parts)
    return Record(name, mesh["geometry"], labels, spacing, offset, tuple(mesh["dimension"]), tuple(parts))


# --- both ---------------------------------------------------------------------------------


def _is_large(node: Any) -> bool:
    """Whether a dataset holds a field, and not the few numbers of a header."""
    return node.size * node.dtype.itemsize > SMALL and node.dtype.kind in "fiu"


def _unit(dimension: tuple[int, ...]) -> str:
    if len(dimension) != 7 or not any(dimension):
        return "1"
    if dimension in UNITS:
        return UNITS[dimension]
    return " ".join(f"{u}{p}" if p != 1 else u for u, p in zip(BASE_UNITS, dimension, strict=True) if p)


def _variable(record: Record, component: Component) -> str:
    if component.name:
        stem = {"b": "B", "e": "E"}.get(record.name, record.name)
        return f"{stem}{component.name}" if len(stem) == 1 else f"{stem}_{component.name}"
    if record.name == "rho" and record.dimension == (-3, 0, 1, 1, 0, 0, 0):
        return "charge_density"  # `rho` is the mass density in the snapshot convention
    return record.name


def _chosen(path: str, step: Iteration, main: Record) -> tuple[list[Record], dict[str, str]]:
    """Records of an iteration on the grid of its main one, and why the others are not loaded."""
    left_out = dict(step.skipped)
    chosen = []
    half = all(_is_half(p) for p in main.places())
    for record in step.records:
        fits = all(map(_is_half, record.places())) if half else record.places() == main.places()
        if record.grid() != main.grid():
            left_out[record.name] = "on another grid"
        elif record is not main and not fits:
            left_out[record.name] = f"at positions {sorted(record.places())}"
        else:
            chosen.append(record)
    return chosen, left_out


def _is_half(place: tuple[float, ...]) -> bool:
    """Whether a position is a corner, centre, edge or face of the cell."""
    return all(min(abs(v), abs(v - 0.5)) <= 1e-6 for v in place)


def _known(iteration: Iteration, labels: tuple[str, ...]) -> dict[str, str]:
    """Boundaries that the file states; not those of WarpX, which writes `reflecting` for periodic boxes too."""
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
    url = "https://github.com/openPMD/openPMD-standard"

    @guarded("openpmd")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
        iteration: int | None = None,
        staggered: bool = False,
        fill_missing: float | None = None,
    ) -> xr.Dataset:
        """Open an openPMD file; only attributes are read.

        Values are SI.  Components at several positions of the cell are averaged to cell centres;
        along an open axis the last cell, whose upper side is not stored, goes.  Meshes on another
        grid than B (or E, or the first one), those that cannot be understood, and iterations without
        it are left out and named in ``attrs["not_loaded"]``.

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
        fill_missing : float, optional
            What cells hold that were never written, as in back-transformed snapshots that are not
            complete; they are refused without it.  Chunks of HDF5 and blocks of ADIOS2 tell.

        Raises
        ------
        SnapshotError
            For thetaMode and other geometries, unknown axes, and damaged files.
        """
        path = filename_or_obj
        if not os.path.isdir(path) and magic(path).startswith(b"\x89HDF"):
            with _hdf5.examined(path) as file:
                numbers = self._wanted(path, list(groups := _openpmd_hdf5.iterations(path, file)), iteration)
                makers = {n: partial(_openpmd_hdf5.iteration, path, file, n, groups[n], fill_missing) for n in numbers}
                steps, broken = understood(makers)
        else:
            numbers, makers = _api_iterations(path, iteration, fill_missing)
            self._wanted(path, numbers, iteration)
            steps, broken = understood(makers)
        return self._assemble(path, (steps, broken), boundary, staggered, drop_variables)

    def _wanted(self, path: str, found: list[int], iteration: int | None) -> list[int]:
        if iteration is None:
            return found
        if iteration not in found:
            raise SnapshotError(f"{path}: no iteration {iteration}, only {found[:20]}")
        return [iteration]

    def _assemble(self, path, found, boundary, staggered, drop) -> xr.Dataset:
        steps, broken = found
        name = main_of(path, steps)
        without = {f"iteration {s.number}": f"without {name}" for s in steps if name not in {r.name for r in s.records}}
        steps = sorted((s for s in steps if f"iteration {s.number}" not in without), key=lambda step: step.time)
        mains = [next(r for r in step.records if r.name == name) for step in steps]
        _require_one_grid(path, steps, mains)
        main = mains[0]
        for label, cells in zip(main.labels, main.shape, strict=True):
            if not 0 < cells <= LONGEST_AXIS:
                raise SnapshotError(f"{path}: {cells} cells along {label}; 1 to {LONGEST_AXIS} are possible")
        known = _known(steps[0], main.labels)
        pairs = [_chosen(path, *pair) for pair in zip(steps, mains, strict=True)]
        grid = _Grid.of(path, main, [r for chosen, _ in pairs for r in chosen], boundary, known)
        each = [_fields(path, grid, chosen, left_out, staggered) for chosen, left_out in pairs]
        fields = {n: f for n, f in each[0].items() if all(n in e for e in each)}
        left_out = {n: reason for _, lost in pairs for n, reason in lost.items()} | without | broken
        lone = dict.fromkeys(n for e in each for n in e if n not in fields)
        left_out |= dict.fromkeys(lone, "not in all iterations")
        if len(steps) > 1:
            fields = {
                name: replace(f, dims=("time", *f.dims), source=Stack(tuple(e[name].source for e in each)))
                for name, f in fields.items()
            }
        attrs: dict[str, Any] = {"code": steps[0].software, "time_unit": "s"}
        if len(steps) == 1:
            attrs |= {"time": steps[0].time, "iteration": steps[0].number}
        if left_out:
            attrs["not_loaded"] = ", ".join(in_short(path, *item) for item in left_out.items())
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

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether another file of one iteration has the meshes of this one; gives its time and number."""
        hdf5 = not os.path.isdir(first) and magic(first).startswith(b"\x89HDF")
        outline = outlined(first, _openpmd_hdf5.stamps, _is_large) if hdf5 else None
        if outline is None or "number" not in outline.stamps:
            return lambda path: None

        def alike(path: str) -> Alike | None:
            require_file(path)
            found = outline.read(path, _openpmd_hdf5.stamps)
            if found is None:
                return None
            time = finite(path, "time", _hdf5.plain(found["time"])) * finite(path, "timeUnitSI", found["unit"])
            return Alike({"time": time, "iteration": int(found["number"])}, first, {first: (path, 0)})

        return alike

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
        places = {place for r in chosen for place in r.places()}
        mixed = len(places) > 1
        if mixed and not all(map(_is_half, places)):
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


def _require_one_grid(path: str, steps: Sequence[Iteration], mains: Sequence[Record]) -> None:
    """Refuse iterations on several grids, and say how to choose those on one."""
    for step, main in zip(steps, mains, strict=True):
        if main.grid() == mains[0].grid():
            continue
        same = main.labels == mains[0].labels and main.spacing == mains[0].spacing
        remedy = "open one with iteration=..."
        if same:
            ends = [np.array(m.offset) + (np.array(m.shape) - 1) * np.array(m.spacing) for m in mains]
            spans = {
                d: [(m.offset[k], float(end[k])) for m, end in zip(mains, ends, strict=True)]
                for k, d in enumerate(main.labels)
            }
            moved = {d: each for d, each in spans.items() if len(set(each)) > 1}
            remedy += f", and {window_remedy(moved)}"
        raise SnapshotError(f"{path}: iteration {step.number} has another grid than {steps[0].number}: {remedy}")


def _fields(
    path: str, grid: _Grid, chosen: Sequence[Record], left_out: dict[str, str], staggered: bool
) -> dict[str, Field]:
    """Fields of an iteration; `left_out` gains those whose name is taken."""
    fields: dict[str, Field] = {}
    for record, component in ((r, c) for r in chosen for c in r.components):
        name = _variable(record, component)
        code_name = f"{record.name}/{component.name}".rstrip("/")
        if name in fields:
            left_out[code_name] = f"another mesh is {name}"
            continue
        source = component.source
        if component.unit != 1.0:
            source = Linear(source, component.unit, 0.0, _scaled_dtype(source.dtype, component.unit))
        units = _unit(record.dimension)
        centred = grid.centred(source, component.position)
        fields[name] = Field(grid.dims, centred, code_name, units, "not stated in the file")
        faces = tuple(f"{d}_f" if p < 0.25 else d for d, p in zip(grid.dims, component.position, strict=True))
        if staggered and grid.mixed and faces != grid.dims:
            own = tuple(n if f.endswith("_f") else k for f, n, k in zip(faces, grid.cells, grid.kept, strict=True))
            fields[f"{name}_f"] = Field(faces, Part(source, own), code_name, units, "not stated in the file")
    return fields

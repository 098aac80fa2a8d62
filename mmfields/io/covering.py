"""Uniform grids of what yt opens: FLASH, Enzo, RAMSES, Chombo and others (``mm.io.from_yt``)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, ArgumentError, SnapshotError, stated_unit
from mmfields.io._aliases import FREE, canonical
from mmfields.io._lazy import Region
from mmfields.io._snapshot import Axis, Field, build, choose_level, limits_axis
from mmfields.provenance import provenance

# What yt derives, of which it knows the unit.
DERIVED = {
    **{f"B{d}": ("gas", f"magnetic_field_{d}") for d in SPATIAL},
    **{f"u{d}": ("gas", f"velocity_{d}") for d in SPATIAL},
    "rho": ("gas", "density"),
}
LARGEST_PART = 64  # cells along an axis that are read at once, where grids differ in size
_lock = RLock()  # yt serves one thread at a time
_loaded: dict[tuple[str, str], "Handle"] = {}


class Handle:
    """A dataset of yt, which is sent to another process as its path."""

    def __init__(self, ds: Any) -> None:
        self.ds = ds

    def __reduce__(self) -> Any:
        path = os.path.abspath(str(self.ds.filename))
        if not os.path.exists(path):
            raise SnapshotError(f"{self.ds} of yt lies in memory: it cannot be sent to other processes; use threads")
        return _again, (path, dict(getattr(self.ds, "units_override", None) or {}))


def _again(path: str, units: Mapping[str, Any]) -> Handle:
    """The dataset at a path, opened once in a process."""
    import yt

    key = (path, repr(units))
    with _lock:
        if key not in _loaded:
            _loaded[key] = Handle(yt.load(path, **({"units_override": units} if units else {})))
        return _loaded[key]


@dataclass(frozen=True)
class Covering:
    """One field on a uniform grid: source over x, y, z of more than one cell.

    It is read at `level`, of which `reduce` cells along each axis are averaged to one: yt itself gives zeros where a
    code keeps no coarse values below fine ones.
    """

    handle: Handle
    field: tuple[str, str]
    unit: str
    level: int
    reduce: tuple[int, int, int]
    first: tuple[int, int, int]
    cells: tuple[int, int, int]
    dtype: np.dtype

    @property
    def active(self) -> list[int]:
        return [k for k in range(3) if self.cells[k] > 1]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.cells[k] for k in self.active)

    def read(self, region: Region) -> np.ndarray:
        ds, wanted = self.handle.ds, dict(zip(self.active, region, strict=True))
        low, high = np.zeros(3, int), np.ones(3, int)
        for k, part in wanted.items():  # yt takes one cell along an axis for the whole of it: two are read
            low[k] = min(part.start, self.cells[k] - 2)
            high[k] = max(part.stop, low[k] + 2)
        fine = np.array(self.reduce)
        with _lock:
            corner = ds.domain_left_edge + _widths(ds, self.level) * (fine * (np.array(self.first) + low))
            grid = ds.covering_grid(self.level, left_edge=corner, dims=(fine * (high - low)).tolist())
            values = np.asarray(grid[self.field].to(self.unit), self.dtype)
        grouped = values.reshape([n for pair in zip(high - low, fine, strict=True) for n in pair])
        cut = [slice(p.start - low[k], p.stop - low[k]) if (p := wanted.get(k)) else 0 for k in range(3)]
        return grouped.mean(axis=(1, 3, 5))[tuple(cut)]


def _cells(ds: Any, level: int) -> np.ndarray:
    """Cells of the whole box at a level."""
    many = np.array(ds.domain_dimensions, int) > 1
    return np.array(ds.domain_dimensions, int) * np.where(many, np.array(ds.refine_by, int) ** level, 1)


def _widths(ds: Any, level: int) -> Any:
    return ds.domain_width / _cells(ds, level)


def _fields(ds: Any, given: Mapping[str, Any] | None) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Field of yt for each name here, and what is left out."""
    known = set(ds.derived_field_list) | set(ds.field_list)
    if given is not None:
        pairs = {
            name: f if isinstance(f, tuple) else next((k for k in known if k[1] == f), f) for name, f in given.items()
        }
        if lost := [f for f in pairs.values() if f not in known]:
            raise SnapshotError(f"{ds}: yt knows no field {lost}; on disk are {sorted(ds.field_list)[:30]}")
        return pairs, []
    found = {name: f for name, f in DERIVED.items() if f in known}
    on_disk = [f for f in ds.field_list if f[0] not in ds.particle_types]
    for f in on_disk:
        found.setdefault(canonical(f) or "", f)
    found.pop("", None)
    if not found:
        raise SnapshotError(f"{ds}: no field is known among {on_disk[:30]}: say which with fields={{'Bx': ...}}")
    return found, [f[1] for f in on_disk if f not in found.values() and canonical(f) is None]


def _place(ds: Any, level: int, left_edge: Any, dims: Any) -> tuple[np.ndarray, np.ndarray]:
    """First cell and number of cells of the part that is asked for."""
    whole = _cells(ds, level)
    left, width = (np.asarray(v.to("code_length"), float) for v in (ds.domain_left_edge, _widths(ds, level)))
    steps = np.zeros(3)
    if left_edge is not None:
        corner = np.asarray(ds.arr(left_edge, getattr(left_edge, "units", "code_length")).to("code_length"), float)
        steps = (corner - left) / width
    first = np.rint(steps).astype(int)
    cells = whole - first if dims is None else np.asarray(dims, int)
    if np.abs(steps - first).max() > 1e-3 or (first < 0).any() or (cells < 1).any() or (first + cells > whole).any():
        raise ArgumentError(
            f"left_edge={left_edge!r}, dims={dims!r}: an edge of cells of level {level} and a part of its "
            f"{whole.tolist()} cells are needed"
        )
    return first, cells


def from_yt(
    ds: Any,
    *,
    fields: Mapping[str, str | tuple[str, str]] | None = None,
    level: int | None = None,
    left_edge: Sequence[float] | None = None,
    dims: Sequence[int] | None = None,
    boundary: str | Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Snapshot from a dataset that yt has opened, on a uniform grid, lazily.

    Magnetic field, velocity and density are those that yt derives, in the unit system of the dataset
    (``yt.load(..., unit_system="cgs")``); in code units where that is the code's.

    Parameters
    ----------
    ds : yt dataset
        From ``yt.load``, Cartesian.
    fields : mapping, optional
        Field of yt for each name here, such as ``{"Bx": ("flash", "magx")}``; by default those that are known.
    level : int, optional
        Level of the uniform grid: coarser cells are repeated, finer ones volume-averaged.  The finest present by
        default.
    left_edge, dims : three numbers, optional
        Lower corner (``code_length``) and number of cells of a part of the box, the whole by default.
    boundary : str or mapping, optional
        Overrides what yt says of the boundaries; a part of the box is open.

    Returns
    -------
    xarray.Dataset
        Snapshot over ``x``, ``y``, ``z``, in chunks as large as the grids of the code.

    Raises
    ------
    SnapshotError
        If the geometry is not Cartesian or no field is known.
    ArgumentError
        If the part does not lie on cells of the level.
    """
    if not all(hasattr(ds, name) for name in ("covering_grid", "domain_dimensions", "field_list")):
        raise ArgumentError(f"a dataset of yt with grids is needed, as yt.load gives, not {type(ds).__name__}")
    with _lock:
        if str(getattr(ds, "geometry", "")).split(".")[-1].lower() != "cartesian":
            raise SnapshotError(f"{ds}: its geometry is {ds.geometry}; only Cartesian grids are read")
        finest = int(ds.index.max_level)
        target = choose_level(level, finest)
        first, cells = _place(ds, target, left_edge, dims)
        found, left_out = _fields(ds, fields)
        axes, known = _axes(ds, target, first, cells)
        source = max(target, finest)
        reduce = tuple((_cells(ds, source) // _cells(ds, target)).tolist())
        place = (source, reduce, tuple(first.tolist()), tuple(cells.tolist()), np.dtype(np.float64))
        items = {name: _field(ds, Handle(ds), f, tuple(axes), place) for name, f in found.items()}
        length, time = (str(ds.unit_system[kind]) for kind in ("length", "time"))
        attrs = {"code": str(ds.dataset_type), "time": float(ds.current_time.to(time)), "time_unit": time}
        path = os.path.abspath(str(ds.filename))
    attrs |= {"level": target, "finest_level": finest}
    if left_out:
        attrs["not_loaded"] = ", ".join(left_out)
    notes = {f"length_{key}": text for key, text in stated_unit(length).items()}
    out = build(items, axes, attrs=attrs, boundary=boundary, known=known, **notes)
    line = f"mm.io.from_yt(yt.load({path!r}), level={target})"
    story = provenance([path if os.path.exists(path) else str(ds)], [line])
    return _chunked(out.assign_attrs(story), path)


def _field(ds: Any, handle: Handle, name: tuple[str, str], dims: tuple[str, ...], place: tuple) -> Field:
    unit = str(ds.field_info[name].units or "dimensionless")
    notes: dict[str, Any] = {} if unit in FREE else stated_unit(unit)
    return Field(dims, Covering(handle, name, unit, *place), f"{name[0]}, {name[1]}", **notes)


def _axes(ds: Any, level: int, first: np.ndarray, cells: np.ndarray) -> tuple[dict[str, Axis], dict[str, str]]:
    """Axes in yt's unit, in chunks as large as grids of one size, and the boundaries."""
    unit = ds.unit_system["length"]
    low, width = (np.asarray(v.to(unit), float) for v in (ds.domain_left_edge, _widths(ds, level)))
    sizes = np.unique(np.asarray(getattr(ds.index, "grid_dimensions", [[LARGEST_PART] * 3]), int), axis=0)
    chunk = sizes[0] if len(sizes) == 1 else np.full(3, LARGEST_PART)
    axes, known = {}, {}
    for k, dim in enumerate(SPATIAL):
        n = int(cells[k])
        if n == 1:
            continue
        begin = low[k] + first[k] * width[k]
        axes[dim] = limits_axis("yt", dim, begin, begin + n * width[k], n, min(n, int(chunk[k])))
        known[dim] = "periodic" if ds.periodicity[k] and n == _cells(ds, level)[k] else "open"
    if not axes:
        raise ArgumentError("a single cell is no snapshot: give dims= of more")
    return axes, known


def _chunked(ds: xr.Dataset, path: str) -> xr.Dataset:
    """In chunks whose names follow from the file."""
    from dask.base import tokenize

    changed = os.path.getmtime(path) if os.path.exists(path) else id(ds)
    sizes = {d: n for v in ds.data_vars.values() for d, n in v.encoding["preferred_chunks"].items()}
    return ds.chunk(sizes, token=tokenize(path, changed, ds.attrs))

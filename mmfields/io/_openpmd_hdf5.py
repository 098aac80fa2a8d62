"""openPMD in HDF5: iterations, meshes and where their numbers lie."""

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfields.conventions import SnapshotError
from mmfields.io import _hdf5
from mmfields.io._lazy import Constant, Hdf5Blocks, RawBlocks, Single
from mmfields.io._openpmd_records import (
    Component,
    Iteration,
    Record,
    axes_of,
    check_components,
    floats,
    in_array_order,
    per_axis,
    readable,
)
from mmfields.io._snapshot import LONGEST_AXIS, finite

if TYPE_CHECKING:
    import h5py

# Of a constant record, which takes no room in the file.
MOST_CELLS = 10**12
# An attribute that only meshes have.
MARKS = ("axisLabels", "geometry", "gridSpacing")


def iterations(path: str, file: "h5py.File") -> dict[int, Callable[[], "h5py.Group"]]:
    """What opens the groups of the iterations, by number."""
    base = _hdf5.plain(file.attrs.get("basePath", "/data/%T/"))
    folder = str(base).split("%T")[0].strip("/")
    group = _hdf5.member(file, folder)
    found = {int(name): partial(_hdf5.member, group, name) for name in group if re.fullmatch(r"\d{1,18}", name)}
    if not found:
        raise SnapshotError(f"{path}: no iteration in group /{folder}")
    return dict(sorted(found.items()))


def stamps(file: "h5py.File") -> dict[str, Any]:
    """What varies from output to output of a run, where a file holds one iteration."""
    base = str(_hdf5.plain(file.attrs.get("basePath", "/data/%T/"))).split("%T")[0].strip("/")
    group = _hdf5.member(file, base)
    names = [name for name in group if re.fullmatch(r"\d{1,18}", name)]
    if len(names) != 1:
        return {}
    attrs = _hdf5.member(group, names[0]).attrs
    found = {name: attrs[name] for name in ("time", "dt") if name in attrs}
    date = {"date": np.asarray(file.attrs["date"], "S")} if "date" in file.attrs else {}
    return {**found, "unit": attrs.get("timeUnitSI", 1.0), "number": names[0], **date}


def iteration(path: str, file: "h5py.File", number: int, opened: Callable, fill: float | None) -> Iteration:
    """What an iteration holds; `fill` stands for numbers that were never written, which are refused without it."""
    import h5py

    group = opened()
    if not isinstance(group, h5py.Group):
        raise SnapshotError(f"{path}: iteration {number} is no group")
    folder = str(_hdf5.plain(file.attrs.get("meshesPath", b""))).strip("/")
    if not folder and "particlesPath" not in file.attrs and "meshes" in group:
        folder = "meshes"
    particles = str(_hdf5.plain(file.attrs.get("particlesPath", b"particles/"))).strip("/")
    makers, edges = {}, ()
    if not folder or folder in group:
        meshes = _hdf5.member(group, folder) if folder else group
        if not isinstance(meshes, h5py.Group):
            raise SnapshotError(f"{path}: {meshes.name} is no group of meshes")
        names = [n for n in meshes if n != particles or folder]
        makers = {name: partial(_record, path, meshes, name, fill) for name in names if _may_be_mesh(meshes, name)}
        edges = tuple(_hdf5.strings(meshes.attrs["fieldBoundary"])) if "fieldBoundary" in meshes.attrs else ()
    records, skipped = readable(makers)
    time = finite(path, "time", _hdf5.attribute(group, "time"))
    unit = finite(path, "timeUnitSI", _hdf5.plain(group.attrs.get("timeUnitSI", 1.0)))
    software = str(_hdf5.plain(file.attrs.get("software", "openPMD")))
    return Iteration(number, time * unit, software, edges, records, skipped, particles in group)


def _may_be_mesh(group: "h5py.Group", name: str) -> bool:
    """Whether a member has what meshes have; one that cannot be looked at may be one."""
    try:
        return any(mark in _hdf5.member(group, name).attrs for mark in MARKS)
    except SnapshotError:
        return True


def _record(path: str, group: "h5py.Group", name: str, fill: float | None) -> Record:
    import h5py

    node = _hdf5.member(group, name)
    order = str(_hdf5.plain(node.attrs.get("dataOrder", "C")))
    if order not in ("C", "F"):
        raise SnapshotError(f"{path}: dataOrder of {name} is {order!r}, not C or F")
    labels = axes_of(_hdf5.strings(_hdf5.attribute(node, "axisLabels")))
    scales = per_axis(path, f"gridUnitSI of {name}", node.attrs.get("gridUnitSI", 1.0), len(labels))
    spacing, offset = (
        [
            scale * v
            for scale, v in zip(
                scales, floats(path, f"{what} of {name}", _hdf5.attribute(node, what), len(labels)), strict=True
            )
        ]
        for what in ("gridSpacing", "gridGlobalOffset")
    )
    scalar = isinstance(node, h5py.Dataset) or "value" in node.attrs
    parts = {"": node} if scalar else {n: _hdf5.member(node, n) for n in node}
    components = [
        _component(path, f"{name}/{n}".rstrip("/"), n, part, (labels, order, fill)) for n, part in parts.items()
    ]
    check_components(path, name, components)
    labels, spacing, offset = in_array_order(labels, order, spacing, offset)
    geometry = str(_hdf5.plain(node.attrs.get("geometry", "cartesian")))
    powers = tuple(int(v) for v in floats(path, "unitDimension", node.attrs.get("unitDimension", [0] * 7)))
    return Record(name, geometry, labels, tuple(spacing), tuple(offset), powers, tuple(components))


def _component(path: str, where: str, name: str, node: Any, of_record: tuple) -> Component:
    labels, order, fill = of_record
    unit = finite(path, f"unitSI of {where}", _hdf5.plain(node.attrs.get("unitSI", 1.0)))
    if unit == 0:
        raise SnapshotError(f"{path}: unitSI of {where} is 0; it would wipe out the values")
    position = floats(path, f"position of {where}", node.attrs.get("position", [0.0] * len(labels)))
    (position,) = in_array_order(position, order)
    if "value" in node.attrs and "shape" in node.attrs:
        shape = tuple(int(n) for n in np.atleast_1d(node.attrs["shape"]))
        if max(shape) <= LONGEST_AXIS and np.prod(shape, dtype=object) > MOST_CELLS:
            raise SnapshotError(f"{path}: {where} is constant over {shape} cells, more than any box has; it is damaged")
        value = finite(path, f"value of {where}", _hdf5.plain(node.attrs["value"]))
        return Component(name, Constant(value, shape, np.dtype(np.float64)), position, unit, None)
    data = _hdf5.dataset(node.parent, node.name.rsplit("/", 1)[-1], partial=fill is not None)
    source = _source(path, data, None if fill is None else fill / unit)  # what is filled in is no stored number
    return Component(name, source, position, unit, data.chunks)


def _source(path: str, data: "h5py.Dataset", fill: float | None) -> Any:
    if fill is not None and data.size and not data.id.get_storage_size():
        return Constant(fill, data.shape, np.dtype(np.float64))
    offset = _hdf5.blocks_of(data)
    if offset is None:
        return Single(Hdf5Blocks(path, data.name, data.dtype, blocked=False, fill=fill), data.shape)
    blocks = RawBlocks((path,), np.zeros(1, np.int32), np.array([offset]), np.array([data.shape]), data.dtype)
    return Single(blocks, data.shape)

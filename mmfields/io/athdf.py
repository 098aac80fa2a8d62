"""Athena++ HDF5 snapshots (engine ``athdf``)."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io import _hdf5
from mmfields.io._alike_hdf5 import outlined
from mmfields.io._lazy import Hdf5Blocks, Linear, Part, RawBlocks
from mmfields.io._mesh import Mosaic, Tree, TreeCentred
from mmfields.io._snapshot import (
    ATHENA_NAMES,
    FACES,
    Alike,
    Axis,
    Field,
    add_field,
    build,
    choose_level,
    finite,
    guarded,
    limits_axis,
    magic,
    require_file,
    with_velocities,
)

if TYPE_CHECKING:
    import h5py

# Coordinates of Athena++ that are straight, of one scale, and at right angles.
CARTESIAN = ("cartesian", "minkowski")


def _variables(path: str, file: "h5py.File") -> list[tuple[str, str, int]]:
    """(variable, dataset, index in it) for every variable announced."""
    datasets = _hdf5.strings(_hdf5.attribute(file, "DatasetNames"))
    counts = np.atleast_1d(_hdf5.attribute(file, "NumVariables")).astype(int).tolist()
    names = _hdf5.strings(_hdf5.attribute(file, "VariableNames"))
    if len(datasets) != len(counts) or sum(counts) != len(names) or min(counts) < 1:
        raise SnapshotError(f"{path}: {len(names)} VariableNames for datasets {datasets} of {counts} variables")
    if len(set(names)) != len(names):
        raise SnapshotError(f"{path}: a variable is named twice: {names}")
    owners = [(d, i) for d, n in zip(datasets, counts, strict=True) for i in range(n)]
    return [(name, d, i) for name, (d, i) in zip(names, owners, strict=True)]


def _tree(path: str, file: "h5py.File", block: tuple[int, ...], blocks: int) -> Tree:
    """The octree of the file, in (x3, x2, x1) order; a root grid that is not stated is derived."""
    level = _hdf5.whole(file, "Levels").astype(np.int64)
    logical = _hdf5.whole(file, "LogicalLocations").astype(np.int64)
    if level.shape != (blocks,) or logical.shape != (blocks, 3):
        raise SnapshotError(
            f"{path}: Levels {level.shape} and LogicalLocations {logical.shape} do not fit {blocks} blocks"
        )
    logical = logical[:, ::-1]
    if "RootGridSize" in file.attrs:
        root = tuple(int(n) for n in np.asarray(file.attrs["RootGridSize"]).ravel()[::-1])
        stated = tuple(int(n) for n in np.asarray(_hdf5.attribute(file, "MeshBlockSize")).ravel()[::-1])
        if stated != block:
            raise SnapshotError(f"{path}: MeshBlockSize is {stated[::-1]}, the data have blocks of {block[::-1]}")
        count, most = int(_hdf5.attribute(file, "NumMeshBlocks")), int(_hdf5.attribute(file, "MaxLevel"))
        if count != blocks or most < level.max():
            raise SnapshotError(
                f"{path}: NumMeshBlocks {count} and MaxLevel {most} do not fit {blocks} blocks up to "
                f"level {level.max()}"
            )
        if len(root) != 3 or min(root) < 1:
            raise SnapshotError(f"{path}: RootGridSize {root[::-1]} is no mesh")
    else:
        if level.min() < 0 or level.max() > 40 or logical.min() < 0:
            raise SnapshotError(f"{path}: Levels or LogicalLocations hold impossible values")
        reach = ((logical >> level[:, None]).max(axis=0) + 1).tolist()
        root = tuple(n * b for n, b in zip(reach, block, strict=True))
    return Tree(path, block, root, level, logical)


def _limits(path: str, file: "h5py.File", mesh: Mapping[str, Sequence[float]] | None) -> dict[str, tuple[float, float]]:
    """Limits of the mesh per axis, from the file or from the caller."""
    stated = "RootGridX1" in file.attrs
    if stated or "Coordinates" in file.attrs:
        kind = str(_hdf5.attribute(file, "Coordinates"))
        if kind.strip().lower() not in CARTESIAN:
            raise SnapshotError(f"{path}: Coordinates are {kind!r}; only cartesian meshes are read")
    given = None if mesh is None else {d: (float(mesh[d][0]), float(mesh[d][1])) for d in SPATIAL}
    if not stated:
        if given is None:
            raise SnapshotError(
                f"{path}: written with mesh_data=false, so it holds no mesh: give its limits, "
                "mesh={'x': (x1min, x1max), 'y': (x2min, x2max), 'z': (x3min, x3max)}"
            )
        return given
    limits = _stated_limits(path, file)
    if given is not None and not np.allclose(list(given.values()), list(limits.values()), rtol=1e-6):
        raise SnapshotError(f"{path}: the file states its own mesh, {limits}, and not {given}: leave mesh= out")
    return limits


def _stated_limits(path: str, file: "h5py.File") -> dict[str, tuple[float, float]]:
    """Limits of a uniform mesh as the file states them."""
    limits = {}
    for i, dim in enumerate(SPATIAL):
        stored = np.asarray(_hdf5.attribute(file, f"RootGridX{i + 1}"), dtype=float).ravel()
        if len(stored) != 3:
            raise SnapshotError(f"{path}: RootGridX{i + 1} holds {stored.tolist()}, not (min, max, ratio)")
        low, high, ratio = stored.tolist()
        if ratio != 1.0:
            raise SnapshotError(f"{path}: x{i + 1} is stretched (ratio {ratio}); only uniform meshes are read")
        if not np.isfinite([low, high]).all():
            raise SnapshotError(f"{path}: RootGridX{i + 1} is ({low}, {high}); finite limits are needed")
        limits[dim] = (low, high)
    return limits


def _stored_faces(path: str, file: "h5py.File", tree: Tree, limits: Mapping[str, tuple[float, float]]) -> list:
    """Block edges as stored, per axis in array order; ghost zones show by edges beyond the mesh."""
    found = []
    for axis, dim in enumerate(SPATIAL[::-1]):
        name = f"x{3 - axis}f"
        stored = _hdf5.whole(file, name)
        if stored.shape != (len(tree.level), tree.block[axis] + 1):
            raise SnapshotError(f"{path}: {name} has shape {stored.shape}, not {len(tree.level)} blocks of faces")
        low, high = limits[dim]
        half = abs(high - low) / tree.root[axis] / (2 << int(tree.level.max()))
        beyond = stored.min() < low - half and stored.max() > high + half
        if beyond and tree.block[axis] > 2 and np.isfinite(stored).all() and (np.diff(stored) > 0).all():
            raise SnapshotError(
                f"{path}: {name} reaches from {stored.min():g} to {stored.max():g}, the mesh from {low:g} to {high:g}: "
                "the blocks have ghost zones, which are not read; write them with ghost_zones=false"
            )
        if tree.block[axis] == 1 and tree.root[axis] > 1:
            _require_no_sum(path, name, stored, abs(high - low) / tree.root[axis] / (1 << tree.level))
        found.append(stored)
    return found


def _require_no_sum(path: str, name: str, stored: np.ndarray, width: np.ndarray) -> None:
    """Refuse sums over blocks: the single cell of a slice is as wide as a cell, that of a sum as wide as the block."""
    thick = stored[:, 1] - stored[:, 0]
    if (thick > 1.5 * width).any():
        raise SnapshotError(
            f"{path}: {name} holds one cell of width {thick[0]:g} per block, where cells are {width[0]:g} wide: it "
            "is a sum along that axis, which is no snapshot"
        )


def _slice_position(path: str, name: str, stored: np.ndarray) -> float:
    """Where a slice lies, from the faces of the one cell of each block."""
    low, high = stored[:, 0].max(), stored[:, 1].min()
    if not low < high:
        raise SnapshotError(f"{path}: {name} of the blocks have nothing in common, so they are no slice")
    return float(low / 2 + high / 2)


def _check_faces(
    path: str, faces: list[np.ndarray], tree: Tree, limits: Mapping[str, tuple[float, float]], sliced: list[int]
) -> dict[str, float]:
    """Block edges as stored must be those that level and location imply; where slices lie is returned."""
    positions = {}
    for axis, dim in enumerate(SPATIAL[::-1]):
        name, stored = f"x{3 - axis}f", faces[axis]
        low, high = limits[dim]
        active = tree.root[axis] > 1
        width = (high - low) / tree.root[axis] / (1 << tree.level if active else np.ones_like(tree.level))
        if axis in sliced:
            positions[dim] = _slice_position(path, name, stored)
            continue
        first = tree.logical[:, axis] * tree.block[axis]
        expected = low + (first[:, None] + np.arange(tree.block[axis] + 1)) * width[:, None]
        slack = 1e-3 * width[:, None] + 8 * max(np.finfo(stored.dtype).eps, np.finfo(np.float32).eps) * max(
            abs(low), abs(high)
        )
        if not (np.abs(stored - expected) <= slack).all():
            bad = int(np.argwhere(~(np.abs(stored - expected) <= slack))[0][0])
            raise SnapshotError(
                f"{path}: {name} of block {bad} is not the uniform mesh that its level and location imply; "
                "files with ghost zones or stretched meshes are not read"
            )
    return positions


class AthdfBackend(BackendEntrypoint):
    """xarray engine ``athdf``: Athena++ HDF5 output, uniform or refined."""

    description = "Athena++ HDF5 snapshots"
    url = "https://github.com/PrincetonUniversity/athena/wiki/HDF5-Format"

    @guarded("athdf")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
        level: int | None = None,
        mesh: Mapping[str, Sequence[float]] | None = None,
        quantization: Sequence[float] | None = None,
        staggered: bool = False,
    ) -> xr.Dataset:
        """Open an athdf file; only headers, block lists and coordinates are read.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            ``periodic`` or ``open``, for all axes or per axis; the file does not state it.
        level : int, optional
            Level of the uniform grid that refined blocks are brought to: coarser blocks are
            repeated, finer ones volume-averaged.  The finest present by default.  A slice is a
            snapshot of fewer dims; ``attrs["slice_z"]`` and so on say where it lies.
        mesh : mapping, optional
            Limits of each axis, for files written with ``mesh_data=false``.
        quantization : (vmin, vmax), optional
            What the smallest and the largest unsigned integer stand for; the file does not say.
        staggered : bool
            Also give the face-centred field as stored: ``Bx_f`` over ``x_f`` (lower faces) and so on.

        Raises
        ------
        SnapshotError
            If the file is damaged, not cartesian and uniform, or lacks what only the caller knows.
        """
        path = filename_or_obj
        with _hdf5.examined(path) as file:
            variables = _variables(path, file)
            shapes = {d: _hdf5.dataset(file, d) for d in dict.fromkeys(d for _, d, _ in variables)}
            for name, node in shapes.items():
                count = sum(owner == name for _, owner, _ in variables)
                if node.ndim != 5 or node.shape[0] != count or 0 in node.shape:
                    raise SnapshotError(f"{path}: {name} has shape {node.shape}, {count} variables are announced")
            if len({node.shape[1:] for node in shapes.values()}) > 1:
                raise SnapshotError(f"{path}: datasets differ in shape: { {k: v.shape for k, v in shapes.items()} }")
            _, blocks, *block = next(iter(shapes.values())).shape
            tree = _tree(path, file, tuple(block), blocks)
            limits = _limits(path, file, mesh)
            faces = _stored_faces(path, file, tree, limits) if mesh is None or "x1f" in file else None
            sliced = tree.sliced()
            active = [a for a in range(3) if tree.root[a] > 1 and a not in sliced] or [2]
            flat = [a for a in range(3) if a not in active and a not in sliced]
            if flat and tree.logical[:, flat].any():
                raise SnapshotError(f"{path}: blocks are displaced along an axis of one cell")
            kept = tree.of_axes(active)
            slices = _check_faces(path, faces, tree, limits, sliced) if faces else {}
            offsets = {name: _hdf5.blocks_of(node) for name, node in shapes.items()}
            shape_of_all = np.broadcast_to(np.array(kept.block), (blocks, len(kept.block)))
            readers = {
                name: _block_reader(path, (shapes[owner], offsets[owner], shape_of_all), index, active)
                for name, owner, index in variables
            }
            attrs = {
                "code": "Athena++",
                "time": finite(path, "Time", _hdf5.attribute(file, "Time")),
                "cycle": int(_hdf5.attribute(file, "NumCycles")),
            }
        top = int(tree.level.max())
        target = choose_level(level, top)
        attrs |= {"level": target, "finest_level": top, **{f"slice_{d}": at for d, at in slices.items()}}
        across = [name for name in readers if "zyx".find(FACES.get(name, "none")) in sliced]
        if across:  # stored on the faces of the slice; the cell on their other side is not in the file
            readers = {name: reader for name, reader in readers.items() if name not in across}
            attrs["not_loaded"] = ", ".join(across)
        dims = tuple("zyx"[a] for a in active)
        chunk = {d: b << max(target - top, 0) for d, b in zip(dims, kept.block, strict=True)}
        axes = {
            d: limits_axis(path, d, *limits[d], n << target, chunk[d]) for d, n in zip(dims, kept.root, strict=True)
        }
        readers = {name: _decoded(path, name, reader, quantization) for name, reader in readers.items()}
        fields = _fields(path, readers, kept, target, dims)
        if any(name in FACES for name in readers):
            fields, axes = _centred(readers, fields, axes, kept, target, dims, boundary, staggered)
        return build(with_velocities(fields), axes, attrs=attrs, boundary=boundary, drop=drop_variables)

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether another file has the mesh of this one, and gives its time and cycle."""
        with _hdf5.opened(first) as file:
            names = {f"/{name}" for name in _hdf5.strings(_hdf5.attribute(file, "DatasetNames"))}
        outline = outlined(first, _stamps, lambda node: node.name in names)

        def alike(path: str) -> Alike | None:
            require_file(path)
            found = outline.read(path, _stamps) if outline is not None else None
            if found is None:
                return None
            time, cycle = (_hdf5.plain(found[name]) for name in ("Time", "NumCycles"))
            return Alike({"time": finite(path, "Time", time), "cycle": int(cycle)}, first, {first: (path, 0)})

        return alike

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the file is HDF5 and named ``*.athdf``."""
        named = isinstance(filename_or_obj, str | os.PathLike) and os.fspath(filename_or_obj).endswith(".athdf")
        return named and magic(filename_or_obj).startswith(b"\x89HDF")


def _stamps(file: "h5py.File") -> dict[str, Any]:
    """What varies from output to output."""
    return {name: file.attrs[name] for name in ("Time", "NumCycles") if name in file.attrs}


def _block_reader(path: str, data: tuple, index: int, active: list[int]) -> Any:
    """Blocks of one variable of a dataset: straight from the file's bytes where HDF5 stores them so."""
    node, offset, shapes = data
    if offset is None:
        active = tuple(a in active for a in range(3))
        return Hdf5Blocks(path, node.name, node.dtype, (index,), active=active)
    blocks = len(shapes)
    size = math.prod(node.shape[2:]) * node.dtype.itemsize
    first = offset + index * blocks * size + size * np.arange(blocks)
    return RawBlocks((path,), np.zeros(blocks, np.int32), first, shapes, node.dtype)


def _decoded(path: str, name: str, reader: Any, quantization: Sequence[float] | None) -> Any:
    """A block reader of real numbers: unsigned integers are brought back to what they stand for."""
    if reader.dtype.kind not in "ui":
        return reader
    if quantization is None:
        raise SnapshotError(
            f"{path}: {name} is stored as {reader.dtype} and the file does not say what the integers mean: "
            "give quantization=(vmin, vmax) from the <output> block of the input file"
        )
    low, high = (finite(path, "quantization", v) for v in quantization)
    wide = np.dtype(np.float32 if reader.dtype.itemsize < 2 else np.float64)
    return Linear(reader, (high - low) / float(np.iinfo(reader.dtype).max), low, wide)


def _fields(path: str, readers: Mapping[str, Any], tree: Tree, target: int, dims: tuple[str, ...]) -> dict[str, Field]:
    """Cell-centred variables as fields on the target grid."""
    layout = tree.layout(target)
    fields: dict[str, Field] = {}
    for name, reader in readers.items():
        if name not in FACES:
            add_field(path, fields, ATHENA_NAMES.get(name, name), Field(dims, Mosaic(reader, layout), name))
    return fields


def _centred(
    readers: Mapping[str, Any],
    fields: dict[str, Field],
    axes: dict[str, Axis],
    tree: Tree,
    target: int,
    dims: tuple[str, ...],
    boundary: str | Mapping[str, str] | None,
    staggered: bool,
) -> tuple[dict[str, Field], dict[str, Axis]]:
    """Face-centred B averaged to cells; along an open axis the last cell has no upper face and is dropped."""
    layout = tree.layout(target)
    kind = dict.fromkeys(dims, boundary) if boundary is None or isinstance(boundary, str) else dict(boundary)
    lost = tuple(int(kind.get(d) == "open") for d in dims)
    shape = tuple(axes[d].cells - k for d, k in zip(dims, lost, strict=True))
    for name, reader in readers.items():
        dim = FACES.get(name)
        if dim is None:
            continue
        source: Any = Mosaic(reader, layout)
        if dim in dims:
            source = Mosaic(TreeCentred(reader, tree, dims.index(dim)), layout)
        add_field(tree.path, fields, f"B{dim}", Field(dims, source, name))
        if staggered and dim in dims:
            if tree.level.any():
                raise SnapshotError(f"{tree.path}: staggered=True needs a mesh of one level; this one is refined")
            own = tuple(f"{d}_f" if d == dim else d for d in dims)
            axes[f"{dim}_f"] = Axis(axes[dim].lower, axes[dim].width, axes[dim].cells, axes[dim].chunk, face=True)
            raw_shape = tuple(n if d == dim else m for d, n, m in zip(dims, layout.shape, shape, strict=True))
            fields[f"B{dim}_f"] = Field(own, Part(Mosaic(reader, layout), raw_shape), name)
    if any(lost):
        for name, item in fields.items():
            if item.dims == dims:
                fields[name] = Field(dims, Part(item.source, shape), item.code_name)
        for d, n in zip(dims, shape, strict=True):
            axes[d] = Axis(axes[d].lower, axes[d].width, n, axes[d].chunk)
    return fields, axes

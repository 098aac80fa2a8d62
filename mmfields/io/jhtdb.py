"""Cutouts of the Johns Hopkins Turbulence Databases (engine ``jhtdb``)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import LONG_NAMES, SPATIAL, ArgumentError, SnapshotError, boundary_attrs
from mmfields.io import _hdf5
from mmfields.io._lazy import Hdf5Blocks, RawBlocks, Single, Source, Stack
from mmfields.io._snapshot import Axis, Field, build, finite, guarded, limits_axis, magic
from mmfields.provenance import verb

if TYPE_CHECKING:
    import h5py

# Periodic boxes of 2 pi with 1024 cells; other datasets need `spacing`.
BOX = 2 * np.pi
CELLS = 1024
OLD_DATASETS = {3: "mhd1024", 4: "isotropic1024coarse", 5: "isotropic1024fine"}
NEW_DATASETS = ("mhd1024", "isotropic1024coarse", "isotropic1024fine")
STEMS = {
    "u": "u",
    "velocity": "u",
    "b": "B",
    "magneticfield": "B",
    "a": "A",
    "vectorpotential": "A",
    "p": "p",
    "pressure": "p",
}
MHD_TIME_STEP = 2.5e-3


def _parse(name: str) -> tuple[str, int] | None:
    """Stem and time index of a field dataset: ``u01000`` or ``Velocity_0001``."""
    match = re.fullmatch(r"([ubap])(\d{5,6})", name) or re.fullmatch(r"([A-Za-z]+)_(\d{4,6})", name)
    if not match or match[1].lower() not in STEMS:
        return None
    return STEMS[match[1].lower()], int(match[2])


def _names(stem: str, components: int) -> list[str]:
    return [f"{stem}{d}" for d in SPATIAL[:components]] if components > 1 else [stem]


def _source(path: str, node: "h5py.Dataset", component: int, keep: list[int]) -> Source:
    """One component of a (z, y, x, component) dataset over the dims of more than one cell."""
    shape = tuple(node.shape[k] for k in keep)
    offset = _hdf5.blocks_of(node)
    if offset is not None:
        shapes = np.array([shape])
        blocks: Any = RawBlocks(
            (path,), np.zeros(1, np.int32), np.array([offset]), shapes, node.dtype, node.shape[3], component
        )
        return Single(blocks, shape)
    active = tuple(k in keep for k in range(3))
    return Single(Hdf5Blocks(path, node.name, node.dtype, blocked=False, active=active, tail=(component,)), shape)


def _check_components(path: str, found: list[tuple[str, str, int]], nodes: Mapping[str, Any]) -> None:
    """Vectors have three components, scalars one, a field one dtype and no time twice."""
    seen: dict[tuple[str, int], str] = {}
    for name, stem, index in found:
        if (other := seen.get((stem, index))) is not None:
            raise SnapshotError(f"{path}: {other!r} and {name!r} are the same field at the same time")
        seen[stem, index] = name
        need = 1 if stem == "p" else 3
        if nodes[name].shape[3] != need:
            raise SnapshotError(f"{path}: {name!r} has {nodes[name].shape[3]} components, {need} are needed")
        first = next(n for n, s, _ in found if s == stem)
        if nodes[name].dtype != nodes[first].dtype:
            raise SnapshotError(f"{path}: {name!r} holds {nodes[name].dtype}, {first!r} {nodes[first].dtype}")


def _of_common_times(found: list[tuple[str, str, int]]) -> tuple[list[tuple[str, str, int]], list[str]]:
    """Datasets at the times of the magnetic field (else of the first field), of the fields that have all of those."""
    stems = list(dict.fromkeys(stem for _, stem, _ in found))
    main = "B" if "B" in stems else stems[0]
    times = {index for _, stem, index in found if stem == main}
    whole = [stem for stem in stems if times <= {index for _, s, index in found if s == stem}]
    kept = [item for item in found if item[1] in whole and item[2] in times]
    return kept, [item[0] for item in found if item not in kept]


def _axis(path: str, dim: str, values: np.ndarray) -> Axis:
    """Axis from stored coordinates of the samples."""
    values = np.asarray(values, float).ravel()
    if not np.isfinite(values).all():
        raise SnapshotError(f"{path}: {dim}coor is not finite everywhere")
    width = (values[-1] - values[0]) / (len(values) - 1)
    slack = 1e-3 * abs(width) + 8 * np.finfo(np.float32).eps * np.abs(values).max()
    if not (np.abs(np.diff(values) - width) <= 2 * slack).all():
        raise SnapshotError(f"{path}: {dim}coor is not uniform")
    low = float(values[0] - width / 2)
    return limits_axis(path, dim, low, low + width * len(values), len(values), len(values))


def _closed(axis: Axis) -> str:
    """``periodic`` where the cutout spans the whole box."""
    return "periodic" if abs(axis.width * axis.cells - BOX) < 0.5 * axis.width else "open"


class JhtdbBackend(BackendEntrypoint):
    """xarray engine ``jhtdb``: HDF5 cutouts, old and new style."""

    description = "Johns Hopkins Turbulence Database cutouts"
    url = "https://turbulence.idies.jhu.edu"

    @guarded("jhtdb")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
        spacing: float | None = None,
        time_step: float | None = None,
    ) -> xr.Dataset:
        """Open a cutout; only attributes and coordinates are read.

        A cutout that spans the whole 2 pi box is periodic, a smaller one open.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            Overrides that.
        spacing : float, optional
            Cell size, for old-style files of a dataset whose cell size is not known here.
        time_step : float, optional
            Time between stored indices; without it the time of old-style files is the index.

        Raises
        ------
        SnapshotError
            If datasets and sizes do not fit together.
        """
        path = filename_or_obj
        with _hdf5.examined(path) as file:
            found = [(name, *parsed) for name in file if (parsed := _parse(name))]
            if not found:
                raise SnapshotError(f"{path}: no field among {list(file)[:20]}; u, b, a, p datasets are expected")
            nodes = {name: _hdf5.dataset(file, name) for name, _, _ in found}
            shapes = {node.shape[:3] for node in nodes.values() if node.ndim == 4}
            if len(shapes) != 1 or any(n.ndim != 4 or 0 in n.shape or n.shape[3] > 3 for n in nodes.values()):
                raise SnapshotError(
                    f"{path}: shapes { {k: n.shape for k, n in nodes.items()} } are not one (z, y, x, c)"
                )
            shape = next(iter(shapes))
            keep = [k for k in range(3) if shape[k] > 1] or [2]
            if "_size" in file:
                axes, attrs = _old(path, file, shape, spacing)
                step = time_step or 1.0
                attrs["time_unit"] = "time step of the database" if time_step is None else "1"
            else:
                if spacing is not None:
                    raise SnapshotError(f"{path}: the file states its own coordinates: leave spacing= out")
                axes, attrs = _new(path, file)
                step = time_step or (MHD_TIME_STEP if attrs.get("dataset") == "mhd1024" else 1.0)
            dims = tuple("zyx"[k] for k in keep)
            if any(axes[d].cells != shape[k] for d, k in zip(dims, keep, strict=True)):
                raise SnapshotError(f"{path}: coordinates of {[axes[d].cells for d in dims]} cells, data of {shape}")
            _check_components(path, found, nodes)
            found, lost = _of_common_times(found)
            lost += [name for name in file if re.fullmatch(r"[A-Za-z]+_\d{4,6}", name) and not _parse(name)]
            if lost:
                attrs["not_loaded"] = ", ".join(lost)
            times = sorted({index for _, _, index in found})
            fields = self._fields(path, found, nodes, times, dims, keep)
            chunks = next((n.chunks for n in nodes.values() if n.chunks), None)
        if chunks:
            axes |= {d: replace(axes[d], chunk=min(chunks[k], axes[d].cells)) for d, k in zip(dims, keep, strict=True)}
        first = 0 if "_size" in attrs.pop("style") else 1
        stamps = [(index - first) * step for index in times]
        if len(times) == 1:
            attrs["time"] = stamps[0]
        known = {d: _closed(axes[d]) for d in dims}
        ds = build(fields, {d: axes[d] for d in dims}, attrs=attrs, boundary=boundary, known=known, drop=drop_variables)
        return ds.assign_coords(time=("time", stamps)) if len(times) > 1 else ds

    def _fields(self, path, found, nodes, times, dims, keep) -> dict[str, Field]:
        fields = {}
        for stem in dict.fromkeys(stem for _, stem, _ in found):
            series = {index: name for name, s, index in found if s == stem}
            for component, name in enumerate(_names(stem, nodes[series[times[0]]].shape[3])):
                sources = tuple(_source(path, nodes[series[index]], component, keep) for index in times)
                code_name = series[times[0]]
                if len(times) == 1:
                    fields[name] = Field(dims, sources[0], code_name)
                else:
                    fields[name] = Field(("time", *dims), Stack(sources), code_name)
        return fields

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is HDF5 with a cutout's datasets."""
        if not magic(filename_or_obj).startswith(b"\x89HDF"):
            return False
        with _hdf5.opened(str(filename_or_obj)) as file:
            return is_cutout(file)


def is_cutout(file: "h5py.File") -> bool:
    """Whether an HDF5 file holds a cutout, by the names of its datasets."""
    return ("_size" in file and "_start" in file) or {"xcoor", "ycoor", "zcoor"} <= set(file)


def _old(path: str, file: "h5py.File", shape: Sequence[int], spacing: float | None) -> tuple[dict[str, Axis], dict]:
    size = _hdf5.whole(file, "_size").ravel().astype(int)
    start = _hdf5.whole(file, "_start").ravel().astype(int)
    if size.shape == (4,) and size[0] != len({parsed[1] for name in file if (parsed := _parse(name))}):
        raise SnapshotError(f"{path}: _size announces {size[0]} times; the file is incomplete")
    if size.shape != (4,) or start.shape != (4,) or tuple(size[:0:-1]) != tuple(shape):
        raise SnapshotError(f"{path}: _size {size.tolist()} (t, x, y, z) does not fit data of shape {tuple(shape)}")
    number = int(_hdf5.whole(file, "_dataset").ravel()[0]) if "_dataset" in file else -1
    name = OLD_DATASETS.get(number)
    if spacing is None and name is None:
        raise SnapshotError(f"{path}: the cell size of JHTDB dataset {number} is not known; give spacing=...")
    width = finite(path, "spacing", spacing if spacing is not None else BOX / CELLS)
    axes = {}
    for i, dim in enumerate(SPATIAL):
        low = (start[1 + i] - 0.5) * width
        axes[dim] = limits_axis(path, dim, low, low + width * size[1 + i], int(size[1 + i]), int(size[1 + i]))
    return axes, {"code": "JHTDB", "dataset": name or f"JHTDB {number}", "style": "_size"}


def _new(path: str, file: "h5py.File") -> tuple[dict[str, Axis], dict]:
    axes = {}
    for dim in SPATIAL:
        values = _hdf5.whole(file, f"{dim}coor")
        if values.size > 1:
            axes[dim] = _axis(path, dim, values)
    if not axes:
        raise SnapshotError(f"{path}: a cutout of one point is no snapshot")
    attrs: dict[str, Any] = {"code": "JHTDB", "style": "coor"}
    for key in ("dataset", "t_start", "t_end", "t_step", "filterWidth"):
        if key in file.attrs:
            value = _hdf5.plain(file.attrs[key])
            attrs[key] = value if isinstance(value, str | int | float) else str(value)
    return axes, attrs


@verb
def from_giverny(
    ds: xr.Dataset,
    *,
    boundary: str | Mapping[str, str] | None = None,
    time_step: float = MHD_TIME_STEP,
) -> xr.Dataset:
    """Snapshot from the Dataset that giverny's ``getCutout`` returns.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``zcoor, ycoor, xcoor, values``; variables such as ``magneticfield_0001``.
    boundary : str or mapping, optional
        ``periodic`` or ``open``; by default periodic where the cutout spans the whole 2 pi box.
    time_step : float
        Time between stored indices, 2.5e-3 for mhd1024.

    Returns
    -------
    xarray.Dataset
        Snapshot over ``z, y, x``, with ``time`` first where there are several indices.

    Raises
    ------
    SnapshotError
        If dims or variables are not giverny's.
    ArgumentError
        If `ds` is no Dataset, or `time_step` no positive number.
    """
    need = {f"{d}coor" for d in SPATIAL} | {"values"}
    if not isinstance(ds, xr.Dataset):
        raise ArgumentError(f"from_giverny takes the Dataset of giverny's getCutout, not {type(ds).__name__}")
    if isinstance(time_step, bool) or not isinstance(time_step, int | float | np.number) or not 0 < time_step < np.inf:
        raise ArgumentError(f"time_step={time_step!r}: a positive number is needed")
    if not need <= set(ds.dims):
        raise SnapshotError(f"from_giverny needs dims {sorted(need)}, found {list(ds.dims)}")
    found = {name: parsed for name in ds.data_vars if (parsed := _parse(str(name)))}
    if not found:
        raise SnapshotError(f"no giverny field among {list(ds.data_vars)}")
    axes = {d: _axis("giverny cutout", d, ds[f"{d}coor"].values) for d in SPATIAL}
    times = sorted({index for _, index in found.values()})
    variables: dict[str, list[xr.DataArray]] = {}
    for name, (stem, _) in sorted(found.items(), key=lambda item: item[1][1]):
        part = ds[name].rename({f"{d}coor": d for d in SPATIAL})
        for component, target in enumerate(_names(stem, part.sizes["values"])):
            one = part.isel(values=component, drop=True).transpose("z", "y", "x").drop_vars(SPATIAL)
            one.attrs = {
                "units": "1",
                "normalization": "code units",
                "long_name": LONG_NAMES.get(target, str(name)),
                "code_name": str(name),
            }
            variables.setdefault(target, []).append(one)
    if any(len(parts) != len(times) for parts in variables.values()):
        raise SnapshotError(f"fields of {list(variables)} do not all have the times {times}")
    stamps = [(index - 1) * time_step for index in times]
    joined = {
        name: xr.concat(parts, "time", combine_attrs="override") if len(times) > 1 else parts[0]
        for name, parts in variables.items()
    }
    known = {d: _closed(axes[d]) for d in SPATIAL}
    attrs = {"code": "JHTDB", **boundary_attrs(SPATIAL, boundary, known)}
    coords: dict[str, Any] = {
        d: (d, a.centres(), {"units": "1", "normalization": "code units", "long_name": d, "spacing": a.width})
        for d, a in axes.items()
    }
    if len(times) > 1:
        coords["time"] = stamps
    else:
        attrs["time"] = stamps[0]
    return xr.Dataset(joined, coords, attrs)

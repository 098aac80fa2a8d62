"""OSIRIS snapshots in HDF5 (engine ``osiris``)."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io import _hdf5
from mmfields.io._arrays import Boundary, Engine, Stored, chunked, components, hdf5_array, kept, placed
from mmfields.io._snapshot import Axis, build, finite, guarded, limits_axis

if TYPE_CHECKING:
    import h5py

NOT_STATED = "not stated in the file"
NAMES = components({"e": "E", "b": "B", "j": "J"})


@dataclass(frozen=True)
class _Quantity:
    """One file: its variable, axes (in array order), time, step, units of length and time, and boundaries."""

    path: str
    item: Stored
    axes: dict[str, Axis]
    time: float
    step: int
    units: tuple[str, str]
    known: dict[str, str]

    def beside(self, other: "_Quantity") -> bool:
        """Whether another file is of the same grid and step."""
        return (self.axes, self.time, self.step) == (other.axes, other.time, other.step)


def _text(node: Any, name: str) -> str:
    return _hdf5.strings(node.attrs.get(name, b""))[0].strip() or NOT_STATED


def _read(path: str) -> _Quantity:
    """Header of a file of one quantity."""
    with _hdf5.examined(path) as file:
        if (kind := _text(file, "TYPE")) not in ("grid", NOT_STATED):
            raise SnapshotError(f"{path}: TYPE is {kind!r}; only grids are read, no particles or tracks")
        name = _text(file, "NAME")
        source, chunks = hdf5_array(path, file, name)
        shape = _hdf5.dataset(file, name).shape
        if len(shape) > 3:
            raise SnapshotError(f"{path}: {name} has shape {shape}; one to three axes are possible")
        dims = SPATIAL[: len(shape)][::-1]  # AXIS1, that is x, is the fastest
        keep = kept(shape)
        axes = {dims[k]: _axis(path, file, dims[k], shape[k]) for k in keep}
        shifts = _per_axis(path, file, "OFFSET_X", len(shape), 0.0)[::-1]
        turns = _per_axis(path, _hdf5.member(file, "SIMULATION"), "PERIODIC", len(shape), 0.0)[::-1]
        time = finite(path, "TIME", _hdf5.attribute(file, "TIME"))
        step = int(finite(path, "ITER", _hdf5.attribute(file, "ITER")))
        units = (_text(_hdf5.member(file, "AXIS/AXIS1"), "UNITS"), _text(file, "TIME UNITS"))
        notes = {"normalization": _text(file, "UNITS")}
    known = {dims[k]: "periodic" if turns[k] == 1 else "open" for k in keep}
    item = Stored(NAMES.get(name, name), source, name, tuple(shifts[k] for k in keep), notes)
    return _Quantity(path, item, chunked(axes, chunks), time, step, units, known)


def _axis(path: str, file: "h5py.File", dim: str, cells: int) -> Axis:
    node = _hdf5.member(file, f"AXIS/AXIS{SPATIAL.index(dim) + 1}")
    kind = _text(node, "TYPE")
    limits = _hdf5.whole(file, node.name).ravel()
    if kind not in ("linear", NOT_STATED) or limits.shape != (2,):
        raise SnapshotError(f"{path}: {node.name} is {kind!r} with {limits.size} numbers; only uniform axes are read")
    return limits_axis(path, dim, *limits.tolist(), cells, cells)


def _per_axis(path: str, node: Any, name: str, count: int, default: float) -> list[float]:
    """Numbers of an attribute, one for each of AXIS1 and so on."""
    values = np.ravel(node.attrs.get(name, np.full(count, default)))
    if len(values) != count:
        raise SnapshotError(f"{path}: {name} holds {len(values)} numbers for {count} axes")
    return [finite(path, name, v) for v in values]


def _companions(first: _Quantity) -> list[str]:
    """Files of the other components of E, B and J at the same output, in the same folder or in ones named alike."""
    folder, name = os.path.split(first.path)
    own = first.item.code_name
    if own not in NAMES or not name.startswith(own):
        return []
    above, last = os.path.split(folder)
    found = []
    for other in NAMES:
        rest = other + name.removeprefix(own)
        places = [os.path.join(folder, rest)]
        if last.startswith(own):
            places.append(os.path.join(above, other + last.removeprefix(own), rest))
        found += [place for place in places if other != own and os.path.isfile(place)][:1]
    return found


class OsirisBackend(Engine):
    """xarray engine ``osiris``: grid diagnostics, of which each file holds one component.

    Tried on real one-dimensional files of E and of a density; two and three dimensions, where the axes stand in reverse
    (AXIS1 is the fastest), and shifted components on made ones.
    """

    name = "osiris"
    description = "OSIRIS snapshots (HDF5 grid diagnostics)"
    url = "https://osiris-code.github.io"

    @guarded("osiris")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: Boundary = None,
        staggered: bool = False,
    ) -> xr.Dataset:
        """Open ``MS/FLD/e3/e3-000005.h5``, and with it the other components at that output; only attributes are read.

        Files of E, B and J are looked for beside it and in folders named alike.  Sample i lies at min + i (max - min) /
        n, shifted by what the file states (``OFFSET_X``); components that are shifted differently are averaged to the
        centres of cells.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            Overrides what the file says.
        staggered : bool
            Also give components as stored, where they are averaged: ``Bx_f`` and so on.

        Raises
        ------
        SnapshotError
            If a file is no grid, damaged, or of another grid or step than the one that was asked for.
        """
        first = _read(filename_or_obj)
        parts = [first, *map(_read, _companions(first))]
        if strange := [part for part in parts if not part.beside(first)]:
            raise SnapshotError(f"{strange[0].path}: of another grid or step than {first.path}; keep the runs apart")
        items = [part.item for part in sorted(parts, key=lambda part: part.item.code_name)]
        fields, axes = placed(first.path, first.axes, items, boundary=boundary, known=first.known, staggered=staggered)
        attrs = {"code": "OSIRIS", "time": first.time, "time_unit": first.units[1], "step": first.step}
        options: dict[str, Any] = {"boundary": boundary, "known": first.known, "length_normalization": first.units[0]}
        return build(fields, axes, attrs=attrs, drop=drop_variables, **options)

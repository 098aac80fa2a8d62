"""Tristan-MP snapshots of version 1 and 2 (engine ``tristan``)."""

import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io import _hdf5
from mmfields.io._alike_hdf5 import outlined
from mmfields.io._arrays import Boundary, Engine, Stored, centres_axis, chunked, hdf5_array, kept, placed
from mmfields.io._snapshot import Alike, Axis, build, finite, guarded, limits_axis, require_file

if TYPE_CHECKING:
    import h5py

NAMES = {f"{v}{c}": f"{v.upper()}{c}" for v in "bej" for c in SPATIAL}
COORDINATES = {"x": "xx", "y": "yy", "z": "zz"}
# What the numbers that are needed are called in versions 1 and 2.
PARAMETERS = {
    "c_omp": ("c_omp", "plasma:c_omp"),
    "istep": ("istep", "output:istep"),
    "c": ("c", "algorithm:c"),
    "time": ("time",),
    "step": ("timestep",),
    **{f"boundary_{d}": (f"grid:boundary_{d}",) for d in SPATIAL},
    "sigma": ("sigma", "plasma:sigma"),
}


def _parameters(path: str) -> dict[str, float]:
    """Numbers of ``param.NNN`` or ``params.NNNNN`` beside the fields; none where there is no such file."""
    folder, name = os.path.split(path)
    number = name.rsplit(".", 1)[-1]
    beside = [os.path.join(folder, f"{stem}.{number}") for stem in ("param", "params")]
    for other in filter(os.path.isfile, beside):
        with _hdf5.examined(other) as file:
            found = {key: n for key, names in PARAMETERS.items() for n in names if n in file}
            values = {key: _hdf5.whole(file, n).ravel() for key, n in found.items()}
        if bad := [key for key, v in values.items() if v.size != 1]:
            raise SnapshotError(f"{other}: {found[bad[0]]} holds {values[bad[0]].size} numbers, one is needed")
        numbers = {key: finite(other, found[key], v[0]) for key, v in values.items()}
        if numbers.get("c_omp", 1) <= 0 or numbers.get("istep", 1) < 1 or numbers.get("c", 1) <= 0:
            raise SnapshotError(f"{other}: c_omp, istep and c are {numbers}; positive numbers are needed")
        return numbers
    return {}


def _axis(path: str, file: "h5py.File", dim: str, cells: int, given: dict[str, float]) -> Axis:
    """An axis in skin depths, or in cells where their number to a skin depth is not known."""
    name, unit = COORDINATES[dim], given.get("c_omp", 1.0)
    if name not in file:
        return limits_axis(path, dim, 0.0, cells * given.get("istep", 1.0) / unit, cells, cells)
    node = _hdf5.dataset(file, name)
    if node.ndim != 3 or node.shape["zyx".index(dim)] != cells:
        raise SnapshotError(f"{path}: {name} has shape {node.shape}, the fields {cells} cells along {dim}")
    line = np.asarray(node[tuple(slice(None) if d == dim else 0 for d in "zyx")], float)
    if cells == 1:
        return limits_axis(path, dim, 0.0, 1.0, 1, 1)
    if not (np.diff(line) > 0).all():
        raise SnapshotError(f"{path}: {name} does not ascend along {dim} ({line[:4].tolist()} ...): no coordinates")
    return centres_axis(path, dim, line / unit)


def _time(path: str, given: dict[str, float]) -> dict[str, Any]:
    """Time in inverse plasma frequencies; the number of the output where nothing states it."""
    if "time" in given:
        return {"time": given["time"], "time_unit": "1 / omega_p"}
    if {"step", "c", "c_omp"} <= set(given):
        return {"time": given["step"] * given["c"] / given["c_omp"], "time_unit": "1 / omega_p"}
    number = re.search(r"\.(\d{1,9})$", path)
    return {"time": float(number[1]), "time_unit": "output number"} if number else {}


class TristanBackend(Engine):
    """xarray engine ``tristan``: ``flds.tot.NNN`` of Tristan-MP, versions 1 and 2.

    Tried on real two-dimensional files of both versions; three dimensions and the parameters of version 2 on made ones.
    Whether the fields lie on a Yee mesh or were interpolated is not stated in the files: they are taken as lying at one
    place of the cell.  Version 2 states coordinates, which are kept; version 1 does not, and its box begins at 0.
    """

    name = "tristan"
    description = "Tristan-MP snapshots (flds.tot of versions 1 and 2)"
    url = "https://github.com/PrincetonUniversity/tristan-v2"

    @guarded("tristan")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: Boundary = None,
    ) -> xr.Dataset:
        """Open ``flds.tot.NNN``; only headers, one line of each coordinate and the parameters are read.

        With ``param.NNN`` (``params.NNNNN``) beside it, lengths are in skin depths and times in inverse plasma
        frequencies; without, lengths are in cells and the time is the number of the output.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            Overrides what the parameters say.

        Raises
        ------
        SnapshotError
            If datasets differ in shape, or coordinates are not uniform.
        """
        path = filename_or_obj
        given = _parameters(path)
        with _hdf5.examined(path) as file:
            names = [name for name in file if name not in COORDINATES.values()]
            shapes = {name: _hdf5.dataset(file, name).shape for name in names}
            if not shapes or len(set(shapes.values())) > 1 or any(len(s) != 3 or 0 in s for s in shapes.values()):
                raise SnapshotError(f"{path}: shapes {shapes} are not one (z, y, x)")
            shape = next(iter(shapes.values()))
            axes = {"zyx"[k]: _axis(path, file, "zyx"[k], shape[k], given) for k in kept(shape)}
            arrays = {name: hdf5_array(path, file, name) for name in names}
        axes = chunked(axes, arrays[names[0]][1])
        items = [Stored(NAMES.get(name, name), source, name) for name, (source, _) in arrays.items()]
        fields, axes = placed(path, axes, items, boundary=boundary)
        stated = {d: given[f"boundary_{d}"] for d in axes if f"boundary_{d}" in given}
        known = {d: "periodic" if kind == 1 else "open" for d, kind in stated.items()}
        attrs = {"code": "Tristan-MP", **_time(path, given)}
        attrs |= {key: given[key] for key in ("c_omp", "istep", "sigma") if key in given}
        self.read = given
        length = "c / omega_p" if "c_omp" in given and ("istep" in given or "xx" in shapes) else "cells"
        options: dict[str, Any] = {
            "boundary": boundary,
            "known": known,
            "drop": drop_variables,
            "length_normalization": length,
        }
        return build(fields, axes, attrs=attrs, **options)

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether another file has the datasets of the one opened last, and gives its time."""
        given = self.read
        outline = outlined(first, lambda file: {}, lambda node: node.name[1:] not in COORDINATES.values())

        def alike(path: str) -> Alike | None:
            require_file(path)
            if outline is None or outline.read(path, lambda file: {}) is None:
                return None
            found = _parameters(path)
            if {**found, "time": 0, "step": 0} != {**given, "time": 0, "step": 0}:
                return None
            return Alike(_time(path, found), first, {first: (path, 0)})

        return alike

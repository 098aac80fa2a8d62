"""Entity snapshots in HDF5 (engine ``entity``)."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io import _hdf5
from mmfields.io._arrays import (
    Boundary,
    Engine,
    Stored,
    along_time,
    chunked,
    components,
    edges_axis,
    hdf5_array,
    placed,
)
from mmfields.io._snapshot import Axis, Field, NoFields, build, finite, guarded

if TYPE_CHECKING:
    import h5py

NAMES = {**components({"fB": "B", "fE": "E", "fJ": "J"}), "fN": "n", "fRho": "rho"}


def _dims(path: str, file: "h5py.File") -> tuple[str, ...]:
    """Dims in the order of the arrays, which only one attribute states."""
    for name, wanted in (("Coordinates", "cart"), ("grid.metric.metric", "minkowski")):
        if name in file.attrs and (found := str(_hdf5.attribute(file, name)).strip()) != wanted:
            raise SnapshotError(
                f"{path}: {name} is {found!r}; only {wanted!r} is read: bring it to a Cartesian grid with nt2py first, "
                "then mm.as_snapshot"
            )
    if int(_hdf5.attribute(file, "NGhosts")):
        raise SnapshotError(f"{path}: written with ghost cells (output.debug.ghosts); write it without them")
    count, right = int(_hdf5.attribute(file, "Dimension")), int(_hdf5.attribute(file, "LayoutRight"))
    if count not in (1, 2, 3) or right not in (0, 1):
        raise SnapshotError(f"{path}: Dimension is {count} and LayoutRight {right}; the file is damaged")
    return SPATIAL[:count] if right else SPATIAL[:count][::-1]


def _known(path: str, file: "h5py.File") -> dict[str, str]:
    """Boundaries that the input of the run states, two for each axis."""
    if "grid.boundaries.fields" not in file.attrs:
        return {}
    kinds = [kind.strip().lower() for kind in _hdf5.strings(file.attrs["grid.boundaries.fields"])]
    pairs = zip(SPATIAL, kinds[::2], kinds[1::2], strict=False)
    return {d: "periodic" if {low, high} == {"periodic"} else "open" for d, low, high in pairs}


def _step(
    path: str, group: "h5py.Group", dims: tuple[str, ...], boundary: Boundary
) -> tuple[dict[str, Field], dict[str, Axis], float]:
    """Fields of one step, their axes and its time."""
    names = [n for n in group if re.fullmatch(r"f[A-Z]\w*", n)]
    if not names:
        raise NoFields(f"{path}: {group.name} holds no field: particles, spectra and statistics are no snapshot")
    edges = {d: _hdf5.whole(group, f"X{SPATIAL.index(d) + 1}e") for d in dims}
    axes = {d: edges_axis(path, d, edges[d]) for d in dims}
    axes = {d: a for d, a in axes.items() if a.cells > 1} or {"x": axes["x"]}
    arrays = {name: hdf5_array(path, group, name) for name in names}
    axes = chunked(axes, arrays[names[0]][1])
    notes = {"fB": {"normalization": "B0"}, "fE": {"normalization": "B0"}}
    items = [
        Stored(NAMES.get(name, name), source, name, notes=notes.get(name[:2], {}))
        for name, (source, _) in arrays.items()
    ]
    fields, axes = placed(path, axes, items, boundary=boundary)
    return fields, axes, finite(path, "Time", _hdf5.plain(_hdf5.whole(group, "Time")))


class EntityBackend(Engine):
    """xarray engine ``entity``: fields on Cartesian grids, dims in the order that the file stores.

    Tried on real files in three dimensions (LayoutRight 1) and in two (LayoutRight 0); several steps in a file, open
    boundaries and one dimension on made ones.  All fields are taken as lying on the centres of cells, whose coordinates
    alone the file states.
    """

    name = "entity"
    may_be_cut = True  # the last file of a run that was stopped
    description = "Entity snapshots (HDF5) on Cartesian grids"
    url = "https://entity-toolkit.github.io"

    @guarded("entity")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: Boundary = None,
    ) -> xr.Dataset:
        """Open ``fields.00000033.h5``; only attributes and coordinates are read.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            Overrides what the file says.

        Raises
        ------
        SnapshotError
            If the metric is not Cartesian, there are ghost cells or no fields, or the file is damaged.
        """
        path = filename_or_obj
        with _hdf5.examined(path) as file:
            dims, known = _dims(path, file), _known(path, file)
            numbers = sorted(int(name[4:]) for name in file if re.fullmatch(r"Step\d{1,9}", name))
            if not numbers:
                raise SnapshotError(f"{path}: no group Step0 among {list(file)[:10]}; the file was not finished")
            steps = [_step(path, _hdf5.member(file, f"Step{n}"), dims, boundary) for n in numbers]
            scales = {k.replace(".", "_"): _hdf5.plain(v) for k, v in file.attrs.items() if k.startswith("scales.")}
        steps.sort(key=lambda step: step[2])
        axes, times = steps[0][1], [time for _, _, time in steps]
        fields = along_time(path, [fields for fields, _, _ in steps])
        attrs = {"code": "Entity", **({"time": times[0]} if len(times) == 1 else {}), **scales}
        known = {d: kind for d, kind in known.items() if d in axes}
        ds = build(fields, axes, attrs=attrs, boundary=boundary, known=known, drop=drop_variables)
        return ds if len(times) == 1 else ds.assign_coords(time=("time", times))

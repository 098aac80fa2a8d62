"""openPMD fields in azimuthal modes on a Cartesian grid, through openPMD-viewer (``mm.io.from_openpmd_viewer``)."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io._arrays import centres_axis
from mmfields.io._lazy import Region
from mmfields.io._snapshot import Axis, Field, add_field, build, require_file
from mmfields.provenance import provenance

# SI units of the records that the standard names.
UNITS = {"B": "T", "E": "V / m", "J": "A / m2", "rho": "C / m3"}


@dataclass(frozen=True)
class Reconstructed:
    """One component on the Cartesian grid, made anew by openPMD-viewer when it is read: source over x, y, z."""

    path: str
    iteration: int
    field: str
    component: str | None
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, region: Region) -> np.ndarray:
        values, _ = _series(self.path).get_field(self.field, self.component, iteration=self.iteration, theta=None)
        return np.asarray(values[region], self.dtype)


def _series(path: str) -> Any:
    """What openPMD-viewer makes of a file or folder; HDF5 is read without openpmd-api, which refuses what is old."""
    from openpmd_viewer import OpenPMDTimeSeries

    names = [path] if os.path.isfile(path) else os.listdir(path)
    backend = "h5py" if any(name.endswith((".h5", ".hdf5")) for name in names) else None
    return OpenPMDTimeSeries(path, check_all_files=False, backend=backend)


def _plane(series: Any, iteration: int, field: str, component: str | None) -> tuple[dict[str, Axis], np.dtype]:
    """Axes of the Cartesian grid, which follow from those of a plane through the axis."""
    values, info = series.get_field(field, component, iteration=iteration, theta=0.0)
    across = centres_axis(field, "r", info.r)
    return {"x": across, "y": across, "z": centres_axis(field, "z", info.z)}, values.dtype


def from_openpmd_viewer(
    path: str | os.PathLike[str],
    iteration: int,
    *,
    fields: Iterable[str] | None = None,
    boundary: str | Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Snapshot of fields in azimuthal modes (thetaMode), on the Cartesian grid that openPMD-viewer makes of them.

    A plane of each component is read at the call, and a whole component, at once, when any of it is needed.  The box
    around the cylinder holds zeros outside of it.

    Parameters
    ----------
    path : path
        Folder of a series or file, as ``OpenPMDTimeSeries`` takes it.
    iteration : int
        One of its iterations.
    fields : iterable of str, optional
        Records such as ``B`` and ``E``; all that are in modes by default.
    boundary : str or mapping, optional
        ``periodic`` or ``open``, for all axes or per axis; open across the cylinder by default.

    Returns
    -------
    xarray.Dataset
        Snapshot over ``x``, ``y``, ``z`` in SI units.  Components that lie elsewhere in their cells than the first are
        left out and named in ``attrs["not_loaded"]``.

    Raises
    ------
    SnapshotError
        If openPMD-viewer cannot read it, or there is no such iteration, or no field in modes.
    """
    path = os.path.abspath(os.fspath(path))
    require_file(path)
    try:
        series = _series(path)
    except Exception as error:
        raise SnapshotError(f"{path}: openPMD-viewer cannot read it ({type(error).__name__}: {error})") from error
    if iteration not in (numbers := [int(i) for i in series.iterations]):
        raise SnapshotError(f"{path}: no iteration {iteration}, only {numbers[:20]}")
    known = series.fields_metadata or {}
    chosen = [name for name in known if known[name]["geometry"] == "thetaMode"] if fields is None else list(fields)
    if not chosen or (lost := [name for name in chosen if known.get(name, {}).get("geometry") != "thetaMode"]):
        raise SnapshotError(f"{path}: {lost if chosen else 'no field'} in azimuthal modes; found {sorted(known)}")
    found, axes, left_out = {}, {}, []
    for name in chosen:
        for component in SPATIAL if known[name]["type"] == "vector" else (None,):
            place, dtype = _plane(series, iteration, name, component)
            axes = axes or place
            if place != axes:
                left_out.append(f"{name}/{component}")
                continue
            shape = tuple(axis.cells for axis in axes.values())
            source = Reconstructed(path, int(iteration), name, component, shape, np.dtype(dtype))
            ours = f"{name}{component or ''}" if name != "rho" else "charge_density"
            notes: dict[str, Any] = {"normalization": "SI"} if name not in UNITS else {"units": UNITS[name]}
            add_field(path, found, ours, Field(SPATIAL, source, f"{name}/{component or ''}".rstrip("/"), **notes))
    attrs = {"code": "openPMD", "time": float(series.t[numbers.index(iteration)]), "time_unit": "s"}
    attrs |= {"not_loaded": ", ".join(left_out)} if left_out else {}
    sides = {"x": "open", "y": "open"}
    ds = build(found, axes, attrs=attrs, boundary=boundary, known=sides, length_units="m")
    line = f"mm.io.from_openpmd_viewer({path!r}, {iteration})"
    return _chunked(ds.assign_attrs(provenance([path], [line])), path, iteration)


def _chunked(ds: xr.Dataset, path: str, iteration: int) -> xr.Dataset:
    """One chunk for each component, whose name follows from the file."""
    from dask.base import tokenize

    return ds.chunk(token=tokenize(path, os.path.getmtime(path), iteration, ds.attrs))

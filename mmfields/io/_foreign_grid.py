"""Variables of a Dataset on the centres of one grid."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from mmfields._compat import data_of, in_memory
from mmfields.conventions import (
    SPATIAL,
    SnapshotError,
)
from mmfields.io._aliases import plain_name
from mmfields.io._foreign_names import Reading

# Axes along which sdf-xarray places EPOCH's components half a cell above the centre.
EPOCH_SHIFTS = {**{f"{v}{d}": d for v in "EJ" for d in SPATIAL}, "Bx": "yz", "By": "xz", "Bz": "xy"}


def on_grid(ds: xr.Dataset, dims: Mapping[str, str]) -> xr.Dataset:
    """Put a list of points, each with x, y and z, on their grid if they fill one."""
    places = {d: ds[d] for d in SPATIAL if d in ds.variables and ds[d].ndim == 1 and d not in ds.dims}
    along = {place.dims[0] for place in places.values()}
    if len(places) < 2 or len(along) != 1 or along & set(dims):
        return ds
    point = along.pop()
    axes = {d: np.unique(np.round(place.values.astype(float), 12)) for d, place in places.items()}
    axes = {d: a for d, a in axes.items() if len(a) > 1}
    shape = tuple(len(a) for a in axes.values())
    index = [np.searchsorted(a, np.round(places[d].values.astype(float), 12)) for d, a in axes.items()]
    flat = np.ravel_multi_index(index, shape) if axes else np.zeros(1, int)
    if int(np.prod(shape)) != ds.sizes[point] or len(np.unique(flat)) != ds.sizes[point]:
        raise SnapshotError(
            f"{ds.sizes[point]} points in a list along {point!r} do not fill a grid of {' by '.join(map(str, shape))} "
            f"different {', '.join(axes)}: they are cells of several sizes, as refined meshes are written; interpolate "
            "them onto a uniform grid with the tools of the code first"
        )
    ordered = ds.drop_vars([*places, *(n for n in ds.coords if ds[n].dims == (point,))]).isel({point: np.argsort(flat)})
    variables = {
        n: (tuple(axes), v.data.reshape(shape), v.attrs) for n, v in ordered.data_vars.items() if v.dims == (point,)
    }
    coords = {d: (d, a, places[d].attrs) for d, a in axes.items()}
    return xr.Dataset(variables, coords, ds.attrs)


# --- the snapshot ---------------------------------------------------------------------------


def grid_of(reading: Reading) -> xr.Dataset:
    """The coordinates of the centres, and the time where it is a dim."""
    ds, coords = reading.ds, {}
    for dim, (axis, edge) in reading.axes.items():
        if edge:
            continue
        if dim not in ds.coords:
            raise SnapshotError(
                f"the dim {plain_name(dim)} has no coordinate: give centres of cells first, ds.assign_coords("
                f"{{{dim!r}: ...}})"
            )
        coords[axis] = (axis, ds[dim].values, ds[dim].attrs)
    if reading.time is not None and reading.time in ds.coords:
        coords["time"] = ("time", ds[reading.time].values, ds[reading.time].attrs)
    return xr.Dataset(coords=coords)


def centred(reading: Reading, out: xr.Dataset, edges: Mapping[str, str], staggered: bool) -> xr.Dataset:
    """All variables at the centres of cells; an open axis loses an end cell that has only one of its edges."""
    epoch = is_epoch(reading.ds)
    turn = {dim: axis for dim, (axis, _) in reading.axes.items()} | (
        {reading.time: "time"} if reading.time is not None else {}
    )
    found, kept, losses = {}, {}, dict.fromkeys(SPATIAL, (0, 0))
    for name, target in reading.names.items():
        variable = reading.ds[name].variable
        variable = xr.Variable([turn[d] for d in variable.dims], data_of(variable), variable.attrs, variable.encoding)
        shifts = _shifts(reading, name, out, EPOCH_SHIFTS.get(plain_name(name)[-2:], "") if epoch else "")
        if shifts and staggered:
            kept[f"{target}_f"] = _as_stored(variable, shifts, out)
        for axis, shift in shifts.items():
            variable, loss = _mean(variable, axis, shift, edges[f"boundary_{axis}"])
            losses[axis] = tuple(map(max, losses[axis], loss))
        found[target] = variable
    ds = out.assign(found)
    inner = {d: slice(low, ds.sizes[d] - high) for d, (low, high) in losses.items() if d in ds.dims and (low or high)}
    ds = ds.isel(inner)
    for name, (variable, coords) in kept.items():
        own = {d: s for d, s in inner.items() if d in variable.dims}
        ds = ds.assign_coords(coords).assign({name: variable.isel(own)})
    return ds


def is_epoch(ds: xr.Dataset) -> bool:
    """Whether EPOCH wrote a Dataset, as sdf-xarray reads it."""
    return str(ds.attrs.get("code_name", "")).lower().startswith("epoch")


def _shifts(reading: Reading, name: Hashable, out: xr.Dataset, above: str) -> dict[str, str]:
    """Axes along which a variable lies on edges, and which edges: all, or those below or above each centre."""
    shifts = {}
    for dim in reading.ds[name].dims:
        axis, edge = reading.axes.get(dim, ("", False))
        if edge:
            shifts[axis] = _side(reading.ds, dim, axis, out)
        elif axis and axis in above:
            shifts[axis] = "above"
    return shifts


def _side(ds: xr.Dataset, dim: Hashable, axis: str, out: xr.Dataset) -> str:
    """Which edges a dim of edges holds, judged by their number and positions."""
    centres, count = out[axis].values.astype(float), ds.sizes[dim]
    width = (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
    if count not in (len(centres), len(centres) + 1):
        raise SnapshotError(
            f"{plain_name(dim)} holds {count} edges for {len(centres)} cells along {axis}: as many or one more"
        )
    if dim not in ds.coords:
        return "all" if count > len(centres) else "below"
    away = (ds[dim].values[: len(centres)].astype(float) - centres) / (width or 1)
    low = np.abs(away + 0.5).max() < 0.01
    if not low and (count > len(centres) or np.abs(away - 0.5).max() >= 0.01):
        raise SnapshotError(f"{plain_name(dim)} does not lie half a cell from the centres along {axis}")
    return "all" if count > len(centres) else "below" if low else "above"


def _lazy(variable: xr.Variable) -> xr.Variable:
    """The variable in chunks of its file, so that arithmetic does not read it."""
    if in_memory(variable) or variable.chunks is not None:
        return variable
    chunks = variable.encoding.get("preferred_chunks", {})
    return variable.chunk({d: chunks.get(d, "auto") for d in variable.dims})


def _mean(variable: xr.Variable, axis: str, side: str, boundary: str) -> tuple[xr.Variable, tuple[int, int]]:
    """Mean of both edges of each cell, and how many cells at each end lack an edge."""
    variable, n = _lazy(variable), variable.sizes[axis]
    if variable.dtype.kind != "f":
        variable = variable.astype(np.float64)
    if side == "all":
        lower, upper = variable.isel({axis: slice(n - 1)}), variable.isel({axis: slice(1, n)})
        return (lower / 2 + upper / 2)._replace(attrs=variable.attrs), (0, 0)
    other = variable.roll({axis: -1 if side == "below" else 1})
    loss = (0, 0) if boundary == "periodic" else (0, 1) if side == "below" else (1, 0)
    return (variable / 2 + other / 2)._replace(attrs=variable.attrs), loss


def _as_stored(variable: xr.Variable, shifts: Mapping[str, str], out: xr.Dataset) -> tuple[xr.Variable, dict[str, Any]]:
    """A variable along dims of edges such as ``x_f``, and the positions of the edges."""
    coords = {}
    for axis, side in shifts.items():
        centres = out[axis].values.astype(float)
        width = (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
        first = centres[0] + (width / 2 if side == "above" else -width / 2)
        places = first + width * np.arange(variable.sizes[axis])
        coords[f"{axis}_f"] = (f"{axis}_f", places, {"spacing": width, "long_name": f"{axis} (edges)"})
    own = [f"{d}_f" if d in shifts else d for d in variable.dims]
    return xr.Variable(own, data_of(variable), variable.attrs, variable.encoding), coords

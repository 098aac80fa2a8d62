"""Planes and maps of fields."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mmfields._types import Axis
from mmfields.conventions import (
    ArgumentError,
    SnapshotError,
    of_array,
    require_number,
    require_plain_data,
    require_real,
    spatial_dims,
)
from mmfields.plot.base import new_axes, require_drawable, unit_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def slices(
    data: xr.Dataset | xr.DataArray, ax: "Sequence[Axes] | None" = None, *, variable: str | None = None
) -> "list[Axes]":
    """Mid-planes of a three-dimensional field, one panel per axis cut.

    Parameters
    ----------
    data : xarray.Dataset or DataArray
        Snapshot or one of its fields, without ``time``.
    ax : three Axes, optional
    variable : str, optional
        Of a Dataset; its first by default.

    Returns
    -------
    list of matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If the field is not three-dimensional.
    """
    if isinstance(data, xr.Dataset):
        if not data.data_vars or variable not in (None, *data.data_vars):
            raise SnapshotError(f"no variable {variable!r} among {list(data.data_vars)}")
        data = data[variable or next(iter(data.data_vars))]
    require_plain_data(data)
    require_real(data)
    if ax is not None and np.size(ax) != 3:
        raise ArgumentError("slices draws three panels: give three Axes, plt.subplots(1, 3)[1], or none")
    dims = spatial_dims(data)
    if len(dims) != 3 or data.ndim != 3:
        raise SnapshotError(f"slices draws a three-dimensional field; this one has dims {data.dims}: select the others")
    panels = list(new_axes(3, 4.0, 3.8) if ax is None else np.ravel(ax))
    data = data.compute()
    limit = float(np.abs(data).max())
    signed = float(data.min()) < 0 < float(data.max())
    low, colours = (-limit, "RdBu_r") if signed else (float(data.min()), "cividis")
    for panel, cut in zip(panels, ("z", "y", "x"), strict=True):
        across, up = (d for d in ("x", "y", "z") if d != cut)
        plane = data.isel({cut: data.sizes[cut] // 2}).transpose(up, across)
        look = {"vmin": low, "vmax": limit, "cmap": colours, "rasterized": True}
        image = panel.pcolormesh(plane[across], plane[up], plane, **look)
        panel.set_aspect("equal")
        panel.set_xlabel(f"${across}${unit_label(data[across])}")
        panel.set_ylabel(f"${up}${unit_label(data[up])}")
        panel.set_title(f"${cut}$ = {float(plane[cut]):.4g}", fontsize=10)
    panels[0].figure.colorbar(image, ax=panels, label=f"{_field_label(data)}{unit_label(data)}", shrink=0.85)
    return panels


def compare(fields: Mapping[str, xr.DataArray], ax: "Sequence[Axes] | None" = None, *, cut: Axis = "z") -> "list[Axes]":
    """Mid-planes of several fields side by side on one colour scale: before, after and residual of a filter.

    Parameters
    ----------
    fields : mapping
        Three-dimensional fields by title, of one quantity; without ``time``.
    ax : sequence of Axes, optional
        One each.
    cut : {"x", "y", "z"}
        Axis that the planes cut at its middle.

    Returns
    -------
    list of matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If a field is not three-dimensional.
    """
    if not isinstance(fields, Mapping) or isinstance(fields, xr.Dataset):
        raise ArgumentError(f"fields by title are needed, {{'before': ds.Bx, ...}}, not {type(fields).__name__}")
    if ax is not None and np.size(ax) != len(fields):
        raise ArgumentError(f"{len(fields)} fields need as many Axes, not {np.size(ax)}")
    if cut not in ("x", "y", "z") or not fields:
        raise ArgumentError(f"cut={cut!r} of {len(fields)} fields: an axis, and at least one field are needed")
    if bad := {name: field.dims for name, field in fields.items() if set(field.dims) != {"x", "y", "z"}}:
        raise SnapshotError(f"three-dimensional fields are needed, and {bad} are not: select the other dims")
    for name, field in fields.items():
        require_plain_data(field)
        require_real(field, name)
    panels = list(np.ravel(new_axes(len(fields), 4.4, 3.8) if ax is None else ax))
    across, up = (d for d in ("x", "y", "z") if d != cut)
    planes = {n: f.isel({cut: f.sizes[cut] // 2}).transpose(up, across).compute() for n, f in fields.items()}
    limit = max(float(np.abs(plane).max()) for plane in planes.values())
    options = {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r", "rasterized": True}
    for panel, (name, plane) in zip(panels, planes.items(), strict=True):
        image = panel.pcolormesh(plane[across], plane[up], plane, **options)
        panel.set(title=name, aspect="equal", xlabel=f"${across}${unit_label(plane[across])}")
        panel.set_ylabel(f"${up}${unit_label(plane[up])}")
    label = f"{_field_label(plane)}{unit_label(plane)}"
    panels[0].figure.colorbar(image, ax=panels, label=label, shrink=0.85)
    return panels


def _field_label(field: xr.DataArray) -> str:
    return {"dB_par": r"$\delta B_\parallel$"}.get(str(field.name), str(field.name))


@of_array("a map of mm.faraday.rotation_measure")
def rotation_measure(rm: xr.DataArray, ax: "Axes | None" = None, *, limit: float | None = None) -> "Axes":
    """Map of the rotation measure.

    Parameters
    ----------
    rm : xarray.DataArray
        From ``mm.faraday.rotation_measure``.
    ax : Axes, optional
    limit : float, optional
        End of the colour scale, which is symmetric about 0; the largest modulus by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    require_drawable(rm, "mm.faraday.rotation_measure")
    unit, flat = rm.attrs.get("units"), [d for d in ("x", "y", "z") if d in rm.dims]
    if len(flat) != 2 or rm.ndim != 2 or rm.dtype.kind == "c" or str(unit).replace(" ", "") not in ("rad/m2", "radm-2"):
        raise SnapshotError(
            f"a map of mm.faraday.rotation_measure in rad/m2 is needed; {rm.name!r} is in {unit!r} over {rm.dims}"
        )
    ax = ax or new_axes()
    rm = rm.compute()
    across, up = (d for d in ("x", "y", "z") if d in rm.dims)
    limit = float(np.abs(rm).max()) or 1.0 if limit is None else require_number(limit, "limit", 0.0)
    image = ax.pcolormesh(
        rm[across], rm[up], rm.transpose(up, across), vmin=-limit, vmax=limit, cmap="RdBu_r", rasterized=True
    )
    ax.set_aspect("equal")
    # an oblique line has a direction of three numbers, and the map is over where lines cross a face of the box
    where = ", on the face" if "," in str(rm.attrs.get("line_of_sight", "")) else ""
    ax.set_xlabel(f"${across}${where}{unit_label(rm[across])}")
    ax.set_ylabel(f"${up}${where}{unit_label(rm[up])}")
    ax.set_title(f"line of sight {rm.attrs.get('line_of_sight', '')}", fontsize=10)
    ax.figure.colorbar(image, ax=ax, label="rotation measure [rad m$^{-2}$]")
    return ax

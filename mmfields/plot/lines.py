"""Field lines in three dimensions, and maps of where they are squashed."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, ArgumentError, SnapshotError, of_array
from mmfields.plot.base import new_axes, require_drawable, unit_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def field_lines(lines: xr.Dataset, ax: "Axes | None" = None, *, colour: str = "B") -> "Axes":
    """Field lines, unwrapped, with axes of one scale.

    Parameters
    ----------
    lines : xarray.Dataset
        From :func:`mmfields.field_lines`, of one snapshot; all of its lines are drawn, as far as they go.
    ax : Axes, optional
        With ``projection="3d"``.
    colour : str
        Variable along the lines that colours them.

    Returns
    -------
    matplotlib.axes.Axes
        With the lines as one collection.

    Raises
    ------
    ArgumentError, SnapshotError
        If these are no lines of one snapshot, the variable is not along them, or the axes are flat.
    """
    from matplotlib.ticker import MaxNLocator
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    require_drawable(lines, "mm.field_lines", *SPATIAL, "alive", "path")
    if "time" in lines.dims:
        raise SnapshotError("lines of several snapshots: select one, isel(time=...)")
    if colour not in lines or "path" not in lines[colour].dims:
        raise ArgumentError(f"colour={colour!r} is not along the lines: one of {list(lines.data_vars)} is needed")
    ax = ax if ax is not None else new_axes(width=6.0, height=5.4, subplot_kw={"projection": "3d"})
    if ax.name != "3d":
        raise ArgumentError("ax is flat: make it with projection='3d'")
    own = lines[list(dict.fromkeys((*SPATIAL, "alive", colour)))].compute().transpose(..., "path")
    points = np.stack([own[d].values.reshape(-1, own.sizes["path"]) for d in SPATIAL], -1)
    alive = own["alive"].values.reshape(points.shape[:2])
    values = own[colour].values.reshape(points.shape[:2])
    both = np.stack([points[:, :-1], points[:, 1:]], 2)
    there = alive[:, 1:] | alive[:, :-1]
    drawn = Line3DCollection(both[there], cmap="viridis", linewidths=0.9, rasterized=True)
    drawn.set_array(((values[:, 1:] + values[:, :-1]) / 2)[there])
    ax.add_collection3d(drawn)
    spans = np.ptp(points.reshape(-1, 3), axis=0)
    widest = max(spans.max(), 1e-300)
    for i, d in enumerate(SPATIAL):
        low, high = points[..., i].min(), points[..., i].max()
        getattr(ax, f"set_{d}lim")(low - 0.01 * widest, high + 0.01 * widest)
        getattr(ax, f"set_{d}label")(f"${d}${unit_label(lines[d])}")
        getattr(ax, f"{d}axis").set_major_locator(MaxNLocator(max(2, round(5 * spans[i] / widest))))
    ax.set_aspect("equal")
    label = "$|B|$" if colour == "B" else colour
    ax.figure.colorbar(drawn, ax=ax, shrink=0.7, pad=0.12, label=f"{label}{unit_label(lines[colour])}")
    return ax


@of_array("Q of mm.lines.squashing")
def squashing(q: xr.DataArray, ax: "Axes | None" = None, *, limit: float | None = None) -> "Axes":
    """Map of the squashing factor, log10(Q/2), on the plane of the seeds.

    Parameters
    ----------
    q : xarray.DataArray
        From :func:`mmfields.lines.squashing` on a plane of :func:`mmfields.lines.plane`; at the greatest arc length
        where it still has several.
    ax : Axes, optional
    limit : float, optional
        End of the colour scale in Q; the largest by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If this is no map over ``u`` and ``v``.
    """
    require_drawable(q, "mm.lines.squashing")
    one = q.isel(path=-1) if "path" in q.dims else q
    if set(one.dims) != {"u", "v"} or one.name != "Q":
        raise SnapshotError(f"a map of Q over u and v is needed, this is {one.name!r} over {one.dims}")
    ax = ax or new_axes()
    one = one.transpose("v", "u").compute()
    shown = np.log10(np.maximum(one.values / 2, 1.0))
    top = np.nanmax(shown) if limit is None else np.log10(limit / 2)
    image: Any = ax.pcolormesh(one["u"], one["v"], shown, vmin=0, vmax=top or 1.0, cmap="magma", rasterized=True)
    ax.set_aspect("equal")
    for axis, d in (("x", "u"), ("y", "v")):
        getattr(ax, f"set_{axis}label")(f"${one[d].attrs.get('long_name', d)}${unit_label(one[d])}")
    ax.figure.colorbar(image, ax=ax, label=r"$\log_{10}\,Q/2$")
    return ax

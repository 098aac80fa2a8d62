"""Diffusion coefficients."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError
from mmfields.plot.base import COLOURS, new_axes, require_drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def running_diffusion(
    kappa: xr.Dataset,
    ax: "Axes | None" = None,
    *,
    names: Sequence[str] = ("kappa_par", "kappa_perp"),
    plateau: xr.Dataset | None = None,
) -> list:
    """Running diffusion coefficients against path length, one colour per gyroradius, with error bands.

    Parameters
    ----------
    kappa : xarray.Dataset
        From ``mm.transport.running_diffusion``.
    ax : Axes, optional
    names : sequence of str
        Coefficients to draw, solid then dashed then dotted; all-NaN ones are left out.
    plateau : xarray.Dataset, optional
        From ``mm.transport.diffusion``: a heavy bar over its window, at its value.

    Returns
    -------
    list of artists
    """
    names = (names,) if isinstance(names, str) else names
    each = [n for name in names for n in (name, f"{name}_error")]
    require_drawable(kappa, "mm.transport.running_diffusion", *each, dims=("gyroradius", "path"))
    if "path" not in kappa.dims:
        raise SnapshotError("this is a plateau: give mm.transport.running_diffusion(trajectories), and plateau=this")
    if plateau is not None:
        require_drawable(plateau, "mm.transport.diffusion", "window_start", *each, dims=("gyroradius",))
    ax = ax or new_axes()
    kappa = kappa.compute()
    plateau = plateau.compute() if plateau is not None else None
    if "gyroradius" not in kappa.dims:
        kappa = kappa.expand_dims("gyroradius")
        plateau = plateau.expand_dims("gyroradius") if plateau is not None else None
    lengths = kappa["path_length"] if "path_length" in kappa.coords else kappa["path"]
    shown = [n for n in names if np.isfinite(kappa[n]).any()] or ["kappa"]
    artists = []
    for g, radius in enumerate(kappa["gyroradius"].values):
        row = kappa.isel(gyroradius=g)
        length = lengths.isel(gyroradius=g) if "gyroradius" in lengths.dims else lengths
        for name, style in zip(shown, ("-", "--", ":"), strict=False):
            colour = COLOURS[g % len(COLOURS)]
            label = rf"{_kappa_label(name)}, $r_g$ = {radius:.3g}"
            artists += ax.plot(length, row[name], style, color=colour, label=label)
            low, high = row[name] - row[f"{name}_error"], row[name] + row[f"{name}_error"]
            artists.append(ax.fill_between(length, low, high, color=colour, alpha=0.25, linewidth=0))
            if plateau is not None:
                end = plateau.isel(gyroradius=g)
                span = [float(end["window_start"]), float(end["window_end"])]
                artists += ax.plot(span, [float(end[name])] * 2, color=colour, linewidth=5, alpha=0.5)
    if plateau is not None:
        ax.plot([], [], color="0.5", linewidth=5, alpha=0.5, label="plateau and its window")
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel(f"path length $s$ [{_length_name(kappa)}]")
    ax.set_ylabel(rf"$\kappa(s)$ [$v$ × {_length_name(kappa)}]")
    ax.legend(fontsize=8)
    return artists


def diffusion(
    kappa: xr.Dataset, ax: "Axes | None" = None, *, names: Sequence[str] = ("kappa_par", "kappa_perp")
) -> list:
    """Plateau coefficients against gyroradius, one colour per traced field, with error bars.

    Filled markers are diffusive; open ones are no plateau (exponent of their displacements off 1 by more than 0.3).

    Parameters
    ----------
    kappa : xarray.Dataset
        From ``mm.transport.diffusion``, over ``gyroradius`` and optionally ``field``.
    ax : Axes, optional
    names : sequence of str
        Coefficients, told apart by marker.

    Returns
    -------
    list of artists
    """
    names = (names,) if isinstance(names, str) else names
    each = [n for name in names for n in (name, f"{name}_error", name.replace("kappa", "exponent"))]
    require_drawable(kappa, "mm.transport.diffusion", *each, dims=("gyroradius", "field"))
    ax = ax or new_axes()
    kappa = kappa.compute()
    if "gyroradius" not in kappa.dims:
        kappa = kappa.expand_dims("gyroradius")
    if "field" not in kappa.dims:
        kappa = kappa.expand_dims(field=["field"])
    shown = [n for n in names if np.isfinite(kappa[n]).any()] or ["kappa"]
    artists = []
    for f, field in enumerate(kappa["field"].values):
        row = kappa.sel(field=field)
        colour = COLOURS[f % len(COLOURS)]
        for name, marker, style in zip(shown, ("o", "s", "^"), ("-", "--", ":"), strict=False):
            line = ax.errorbar(
                row["gyroradius"],
                row[name],
                row[f"{name}_error"],
                color=colour,
                marker=marker,
                linestyle=style,
                capsize=3,
                label=f"{_kappa_label(name)}, {field}",
            )
            free = (abs(row[name.replace("kappa", "exponent")] - 1) > 0.3).values
            ax.plot(row["gyroradius"][free], row[name][free], marker, color=colour, markerfacecolor="white", zorder=3)
            artists.append(line)
    ax.set(xscale="log", yscale="log")
    ax.plot([], [], "o", color="0.3", markerfacecolor="white", label="open: no plateau")
    ax.set_xlabel(f"gyroradius $r_g$ [{_length_name(kappa)}]")
    ax.set_ylabel(rf"$\kappa$ [$v$ × {_length_name(kappa)}]")
    ax.legend(fontsize=8)
    return artists


def _kappa_label(name: str) -> str:
    return {"kappa": r"$\kappa$", "kappa_par": r"$\kappa_\parallel$", "kappa_perp": r"$\kappa_\perp$"}.get(name, name)


def _length_name(kappa: xr.Dataset) -> str:
    unit = kappa.attrs.get("length_units", "1")
    return {"1": "length unit", "d_i": "$d_i$"}.get(unit, unit)

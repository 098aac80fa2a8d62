"""Brazil plots, structure functions, and filling fractions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError
from mmfields.plot.base import COLOURS, new_axes, require_drawable, unit_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def brazil(counts: xr.Dataset, ax: "Axes | None" = None) -> "Axes":
    """Cells over beta_par and p_perp/p_par, with the mirror and firehose thresholds.

    Parameters
    ----------
    counts : xarray.Dataset
        From ``mm.anisotropy.brazil_histogram``.
    ax : Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If it has dims beside ``beta_par`` and ``ratio``, or no cell inside its edges.
    """
    from matplotlib.colors import LogNorm

    require_drawable(counts, "mm.anisotropy.brazil_histogram", "cells", "beta_par_edges", "ratio_edges")
    counts = counts.compute()
    if set(counts["cells"].dims) != {"beta_par", "ratio"}:
        raise SnapshotError(f"one distribution is needed, this has dims {counts['cells'].dims}: select the others")
    cells = counts["cells"].transpose("ratio", "beta_par")
    if not (cells > 0).any():
        raise SnapshotError("no cell lies within the edges: give others to mm.anisotropy.brazil_histogram")
    ax = ax or new_axes()
    share = cells.where(cells > 0) / float(cells.sum())
    edges = counts["beta_par_edges"], counts["ratio_edges"]
    image = ax.pcolormesh(*edges, share, norm=LogNorm(), cmap="viridis", rasterized=True)
    for name, colour, style in (("mirror", "#D55E00", "-"), ("firehose", "#0072B2", "--")):
        ax.plot(counts["beta_par"], counts[name], style, color=colour, linewidth=2, label=f"{name} threshold")
    ax.set(xscale="log", yscale="log", xlabel=r"$\beta_\parallel$", ylabel=r"$p_\perp / p_\parallel$")
    filled = [np.flatnonzero((cells > 0).any(d).values)[[0, -1]] for d in ("ratio", "beta_par")]
    limits = [(float(e[a]) / 1.5, float(e[b + 1]) * 1.5) for e, (a, b) in zip(edges, filled, strict=True)]
    ax.set(xlim=limits[0], ylim=limits[1])
    ax.legend(fontsize=9)
    ax.figure.colorbar(image, ax=ax, label="fraction of cells per bin")
    return ax


def structure_function(structure: xr.Dataset, ax: "Axes | None" = None, *, levels: int = 10) -> "Axes":
    """Contours of a structure function over (l_perp, l_par); circles would be isotropy.

    Parameters
    ----------
    structure : xarray.Dataset
        From ``mm.anisotropy.structure_function``, of one order.
    ax : Axes, optional
    levels : int
        Contours, even in the logarithm.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If it has dims beside ``l_perp`` and ``l_par``, or nothing to draw.
    """
    from matplotlib.colors import LogNorm

    require_drawable(structure, "mm.anisotropy.structure_function", "structure", "l_perp")
    values = structure["structure"].compute()
    if set(values.dims) != {"l_perp", "l_par"}:
        raise SnapshotError(f"one structure function is needed, this has dims {values.dims}: select the others")
    values = values.transpose("l_par", "l_perp")
    values = values.where(values > 0)
    if values.notnull().sum() < 4:
        raise SnapshotError("fewer than four bins have pairs: give fewer bins, or more pairs")
    ax = ax or new_axes()
    low, high = float(values.min()), float(values.max())
    edges, norm = structure["l_edges"], LogNorm(low, high)
    image = ax.pcolormesh(edges, edges, values, norm=norm, cmap="cividis", rasterized=True)
    ax.contour(
        values["l_perp"],
        values["l_par"],
        np.ma.masked_invalid(values),
        levels=np.geomspace(low, high, levels + 2)[1:-1],
        colors="white",
        linewidths=1.0,
    )
    ax.set_aspect("equal")
    ax.set_xlabel(rf"$l_\perp${unit_label(values['l_perp'])}")
    ax.set_ylabel(rf"$l_\parallel${unit_label(values['l_par'])}")
    order = structure.attrs.get("order", "")
    label = rf"$S_{order}(l_\perp, l_\parallel)$ [field$^{order}$], {structure.attrs.get('frame', '')} frame"
    ax.figure.colorbar(image, ax=ax, label=label)
    return ax


def scale_anisotropy(relations: xr.Dataset | Mapping[str, xr.Dataset], ax: "Axes | None" = None) -> "Axes":
    """l_par against l_perp with error bars, and the line of isotropy.

    Parameters
    ----------
    relations : xarray.Dataset or mapping
        From ``mm.anisotropy.scale_anisotropy``, several of them by label.
    ax : Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If none of them has a length along the field.
    """
    if isinstance(relations, xr.Dataset):
        relations = {"": relations}
    for relation in relations.values() if isinstance(relations, Mapping) else [relations]:
        require_drawable(relation, "mm.anisotropy.scale_anisotropy", "l_par", "l_perp", "exponent")
    relations = {label: r.compute() for label, r in relations.items()}
    if not any(np.isfinite(r["l_par"]).any() for r in relations.values()):
        raise SnapshotError("no length along the field is known: the increments never are alike")
    ax = ax or new_axes()
    known = []
    for colour, marker, (label, r) in zip(COLOURS * 9, "os^vD" * 9, relations.items(), strict=False):
        r = r.where(np.isfinite(r["l_par"]), drop=True)
        known.append(r["l_perp"].values)
        power, error = float(r["exponent"].max()), float(r["exponent_error"].max())
        fit = rf"$l_\parallel \propto l_\perp^{{{power:.2f} \pm {error:.2f}}}$"
        text = f"{label}: {fit}" if label else fit
        ax.errorbar(r["l_perp"], r["l_par"], r["l_par_error"], fmt=marker, color=colour, capsize=3, label=text)
    ends = np.array([min(map(np.min, known)), max(map(np.max, known))])
    ax.plot(ends, ends, ":", color="0.4", label="isotropic")
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel(rf"$l_\perp${unit_label(r['l_perp'])}")
    ax.set_ylabel(rf"$l_\parallel${unit_label(r['l_par'])}")
    ax.legend(fontsize=9)
    return ax


def threshold_curve(
    curves: xr.Dataset | Mapping[str, xr.Dataset], ax: "Axes | None" = None, *, marked: xr.Dataset | None = None
) -> "Axes":
    """Filling fraction against threshold.

    Parameters
    ----------
    curves : xarray.Dataset or mapping
        From ``mm.anisotropy.threshold_curve``, several of one criterion by label.
    ax : Axes, optional
    marked : xarray.Dataset, optional
        From ``mm.anisotropy.patches``: its threshold and filling fraction, as a point.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if isinstance(curves, xr.Dataset):
        curves = {"": curves}
    for curve in curves.values() if isinstance(curves, Mapping) else [curves]:
        require_drawable(curve, "mm.anisotropy.threshold_curve", "threshold", "filling_fraction", dims=("point",))
    if marked is not None:
        require_drawable(marked, "mm.anisotropy.patches", "threshold", "filling_fraction")
    ax = ax or new_axes()
    for colour, style, (label, curve) in zip(COLOURS * 9, ("-", "--", ":", "-.") * 9, curves.items(), strict=False):
        curve = curve.compute()
        ax.plot(curve["threshold"], curve["filling_fraction"], style, color=colour, label=label or None)
    if marked is not None:
        text = rf"$f_{{mm}}$ = {float(marked['filling_fraction']):.3g} at {float(marked['threshold']):.3g}"
        ax.plot(marked["threshold"], marked["filling_fraction"], "o", color="#000000", label=text)
    name = curve["threshold"].attrs.get("long_name", "")
    name = {"field strength |B|": r"threshold $B_>$ on $|B|$"}.get(name, f"threshold on {name}")
    ax.set_xlabel(f"{name}{unit_label(curve['threshold'])}")
    ax.set_ylabel(r"filling fraction $f_{mm}$")
    ax.set_ylim(-0.02, 1.02)
    if marked is not None or any(curves):
        ax.legend(fontsize=9)
    return ax

"""Figures: (data, ax) -> artists.  Nothing is computed here beyond what drawing needs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError, spatial_dims
from mmfields.spectra import field_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colour-blind safe cycle, without its yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def _new_axes(columns: int = 1, width: float = 5.0, height: float = 4.2, **options: Any) -> Any:
    from matplotlib import pyplot as plt

    _, axes = plt.subplots(
        1, columns, figsize=(width * columns, height), layout="constrained", squeeze=False, **options
    )
    return axes[0] if columns > 1 else axes[0, 0]


def _unit_label(array: xr.DataArray, fallback: str = "") -> str:
    """Unit in brackets for a label: the unit, else the normalization that '1' stands for, else `fallback`."""
    unit = array.attrs.get("units", "1")
    if unit in ("1", "rad"):
        unit = array.attrs.get("normalization", fallback)
    pretty = {
        "d_i": "$d_i$",
        "B0": "$B_0$",
        "n0": "$n_0$",
        "rad / m2": "rad m$^{-2}$",
        "rad / d_i": "rad / $d_i$",
        "rad / (m)": "rad / m",
    }
    return f" [{pretty.get(unit, unit)}]" if unit else ""


def slices(data: xr.Dataset | xr.DataArray, ax: "Sequence[Axes] | None" = None, *, variable: str | None = None) -> list:
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
    list of artists

    Raises
    ------
    SnapshotError
        If the field is not three-dimensional.
    """
    if isinstance(data, xr.Dataset):
        data = data[variable or next(iter(data.data_vars))]
    dims = spatial_dims(data)
    if len(dims) != 3 or data.ndim != 3:
        raise SnapshotError(f"slices draws a three-dimensional field; this one has dims {data.dims}: select the others")
    panels = _new_axes(3, 4.0, 3.8) if ax is None else ax
    data = data.compute()
    limit = float(np.abs(data).max())
    signed = float(data.min()) < 0 < float(data.max())
    low, colours = (-limit, "RdBu_r") if signed else (float(data.min()), "cividis")
    artists = []
    for panel, cut in zip(panels, ("z", "y", "x"), strict=True):
        across, up = (d for d in ("x", "y", "z") if d != cut)
        plane = data.isel({cut: data.sizes[cut] // 2}).transpose(up, across)
        artists.append(
            panel.pcolormesh(plane[across], plane[up], plane, vmin=low, vmax=limit, cmap=colours, rasterized=True)
        )
        panel.set_aspect("equal")
        panel.set_xlabel(f"${across}${_unit_label(data[across])}")
        panel.set_ylabel(f"${up}${_unit_label(data[up])}")
        panel.set_title(f"${cut}$ = {float(plane[cut]):.4g}", fontsize=10)
    panels[-1].figure.colorbar(
        artists[-1], ax=list(panels), label=f"{_field_label(data)}{_unit_label(data)}", shrink=0.85
    )
    return artists


def compare(fields: Mapping[str, xr.DataArray], ax: "Sequence[Axes] | None" = None, *, cut: str = "z") -> list:
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
    list of artists

    Raises
    ------
    SnapshotError
        If a field is not three-dimensional.
    """
    if cut not in ("x", "y", "z") or not fields:
        raise SnapshotError(f"cut={cut!r} of {len(fields)} fields: an axis, and at least one field are needed")
    if bad := {name: field.dims for name, field in fields.items() if set(field.dims) != {"x", "y", "z"}}:
        raise SnapshotError(f"three-dimensional fields are needed, and {bad} are not: select the other dims")
    panels = np.atleast_1d(_new_axes(len(fields), 4.4, 3.8) if ax is None else ax)
    across, up = (d for d in ("x", "y", "z") if d != cut)
    planes = {n: f.isel({cut: f.sizes[cut] // 2}).transpose(up, across).compute() for n, f in fields.items()}
    limit = max(float(np.abs(plane).max()) for plane in planes.values())
    options = {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r", "rasterized": True}
    artists = []
    for panel, (name, plane) in zip(panels, planes.items(), strict=True):
        artists.append(panel.pcolormesh(plane[across], plane[up], plane, **options))
        panel.set(title=name, aspect="equal", xlabel=f"${across}${_unit_label(plane[across])}")
        panel.set_ylabel(f"${up}${_unit_label(plane[up])}")
    label = f"{_field_label(plane)}{_unit_label(plane)}"
    panels[0].figure.colorbar(artists[0], ax=list(panels), label=label, shrink=0.85)
    return artists


def _field_label(field: xr.DataArray) -> str:
    return {"dB_par": r"$\delta B_\parallel$"}.get(str(field.name), str(field.name))


def spectrum(
    powers: xr.DataArray | Mapping[str, xr.DataArray],
    ax: "Axes | None" = None,
    *,
    fits: xr.Dataset | Sequence[xr.Dataset] = (),
) -> list:
    """E(k) on logarithmic axes, with bands of its sampling error and the slopes that were fitted.

    Parameters
    ----------
    powers : xarray.DataArray or mapping
        From ``mm.spectra.power``, several of them by label.
    ax : Axes, optional
    fits : xarray.Dataset or sequence of them
        From ``mm.spectra.slope``, drawn over their range, raised by half for clarity, and labelled with
        slope and error.

    Returns
    -------
    list of artists
        Lines and bands of the spectra, then the lines of the fits.

    Raises
    ------
    SnapshotError
        If a spectrum has dims beside ``k``.
    """
    ax = ax or _new_axes()
    if isinstance(powers, xr.DataArray):
        powers = {"": powers}
    if bad := [p.dims for p in powers.values() if p.dims != ("k",) or "modes" not in p.coords]:
        raise SnapshotError(f"spectra over k with their modes are needed, found dims {bad}: select the others")
    fits = [fits] if isinstance(fits, xr.Dataset) else list(fits)
    artists = []
    for colour, (label, power) in zip(COLOURS * len(powers), powers.items(), strict=False):
        power = power.where(power > 0).compute()
        artists += ax.plot(power["k"], power, color=colour, label=label or None)
        error = power * np.sqrt(2.0 / (field_count(power) * power["modes"]))  # of Gaussian fields
        low = (power - error).where(error < power)
        artists.append(ax.fill_between(power["k"], low, power + error, color=colour, alpha=0.25, linewidth=0))
    for style, fit in zip(("--", ":", "-.") * len(fits), fits, strict=False):
        k = np.array([fit.attrs["k_min"], fit.attrs["k_max"]])
        slope = float(fit["slope"])
        label = rf"$k^{{{slope:.2f}\pm{float(fit['slope_error']):.2f}}}$"
        artists += ax.plot(k, 1.5 * float(fit["amplitude"]) * k**slope, style, color="0.2", label=label)
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel(f"$k${_unit_label(power['k'])}")
    ax.set_ylabel(r"$E(k)$ [field$^2$ length]")
    if fits or any(powers):
        ax.legend(fontsize=9)
    return artists


def spectrum2d(
    power: xr.DataArray,
    ax: "Axes | None" = None,
    *,
    k_par: tuple[float, float] | None = None,
    k_perp: tuple[float, float] | None = None,
) -> list:
    """E(k_perp, k_par) on logarithmic axes, with a pass band outlined where one is given.

    Parameters
    ----------
    power : xarray.DataArray
        From ``mm.spectra.power2d``.
    ax : Axes, optional
    k_par, k_perp : (float, float), optional
        The band; without one of them it has no such limit.

    Returns
    -------
    list of artists
    """
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    if set(power.dims) != {"k_par", "k_perp"}:
        raise SnapshotError(
            f"one spectrum over k_perp and k_par is needed, this has dims {power.dims}: select the others"
        )
    ax = ax or _new_axes()
    power = power.compute().transpose("k_par", "k_perp")
    if not (power > 0).any():
        raise SnapshotError("the spectrum is 0 everywhere: a uniform field has no fluctuation to draw")
    step = float(power["k_perp"][1])
    values = power.where(power > 0)
    top = float(values.max())
    edges = np.append(0.35 * step, (np.arange(power.sizes["k_perp"]) + 0.5) * step)
    image = ax.pcolormesh(edges, edges, values, norm=LogNorm(top * 1e-6, top), cmap="viridis", rasterized=True)
    artists: list = [image]
    if k_par is not None or k_perp is not None:
        given = [k if k is not None else (0.0, np.inf) for k in (k_perp, k_par)]
        low = [max(k[0], edges[0]) for k in given]
        size = [max(min(k[1], edges[-1]) - start, 0.0) for k, start in zip(given, low, strict=True)]
        box = Rectangle(low, *size, fill=False, edgecolor="#D55E00", linewidth=2, label="pass band")
        artists.append(ax.add_patch(box))
        ax.legend(loc="lower left", fontsize=9)
    ax.set(xscale="log", yscale="log")
    filled = [np.flatnonzero(values.notnull().any(d).values)[-1] + 1 for d in ("k_perp", "k_par")]
    ax.set(xlim=(edges[0], edges[filled[1]]), ylim=(edges[0], edges[filled[0]]))
    ax.set_xlabel(rf"$k_\perp${_unit_label(power['k_perp'])}; first bin $k_\perp\approx 0$")
    ax.set_ylabel(rf"$k_\parallel${_unit_label(power['k_par'])}; first bin $k_\parallel\approx 0$")
    ax.figure.colorbar(image, ax=ax, label=r"$E(k_\perp, k_\parallel)$ [field$^2$ length$^2$]")
    return artists


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
    ax = ax or _new_axes()
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
    ax = ax or _new_axes()
    kappa = kappa.compute()
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


def rotation_measure(rm: xr.DataArray, ax: "Axes | None" = None) -> list:
    """Map of the rotation measure.

    Parameters
    ----------
    rm : xarray.DataArray
        From ``mm.faraday.rotation_measure``.
    ax : Axes, optional

    Returns
    -------
    list of artists
    """
    ax = ax or _new_axes()
    rm = rm.compute()
    across, up = (d for d in ("x", "y", "z") if d in rm.dims)
    limit = float(np.abs(rm).max()) or 1.0
    image = ax.pcolormesh(
        rm[across], rm[up], rm.transpose(up, across), vmin=-limit, vmax=limit, cmap="RdBu_r", rasterized=True
    )
    ax.set_aspect("equal")
    ax.set_xlabel(f"${across}${_unit_label(rm[across])}")
    ax.set_ylabel(f"${up}${_unit_label(rm[up])}")
    ax.set_title(f"line of sight {rm.attrs.get('line_of_sight', '')}", fontsize=10)
    ax.figure.colorbar(image, ax=ax, label="rotation measure [rad m$^{-2}$]")
    return [image]

"""Polarization and depolarization against wavelength, and expected angles."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError
from mmfields.plot.base import COLOURS, new_axes, require_drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def depolarization(
    curves: xr.Dataset | Mapping[str, xr.Dataset],
    ax: "Axes | None" = None,
    *,
    laws: Mapping[str, xr.DataArray] | None = None,
) -> "Axes":
    """|P|/p0 against λ², with error bars, and laws as lines.

    Parameters
    ----------
    curves : xarray.Dataset or mapping
        From ``mm.faraday.depolarization``, several of them by label.
    ax : Axes, optional
    laws : mapping, optional
        Complex P/p0 over ``wavelength_sq``, by label.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If a curve has dims beside ``wavelength_sq``.
    """
    curves = {"": curves} if isinstance(curves, xr.Dataset) else curves
    for curve in curves.values() if isinstance(curves, Mapping) else [curves]:
        require_drawable(curve, "mm.faraday.depolarization", "fraction", "fraction_error", "wavelength_sq")
    if bad := [c["fraction"].dims for c in curves.values() if c["fraction"].dims != ("wavelength_sq",)]:
        raise SnapshotError(f"curves over wavelength_sq are needed, found {bad}: select the other dims")
    ax = ax or new_axes()
    for colour, marker, (label, curve) in zip(COLOURS * 9, "os^vD" * 9, curves.items(), strict=False):
        curve = curve.compute()
        look = {"fmt": marker, "color": colour, "markersize": 4, "capsize": 2, "label": label or None}
        ax.errorbar(curve["wavelength_sq"], curve["fraction"], curve["fraction_error"], **look)
    for style, (label, law) in zip(("-", "--", ":", "-.") * 9, (laws or {}).items(), strict=False):
        ax.plot(law["wavelength_sq"], np.abs(law), style, color="0.25", label=label)
    ax.set(xlabel=r"$\lambda^2$ [m$^2$]", ylabel=r"$|P| / p_0$")
    if laws or any(curves):
        ax.legend(fontsize=9)
    return ax


def rotation_measure_pdf(statistics: xr.Dataset, ax: "Axes | None" = None) -> "Axes":
    """Distribution of a map's rotation measures, and the Gaussian of the same mean and scatter.

    Parameters
    ----------
    statistics : xarray.Dataset
        From ``mm.faraday.statistics``, of one map.
    ax : Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If there are several maps.
    """
    one, ax = _of_one_map(statistics), ax or new_axes()
    x = one["deviation"].values
    ax.stairs(one["pdf"].values, _edges(x), color=COLOURS[0], linewidth=1.8, label="map")
    ax.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), "--", color="0.3", label="Gaussian")
    sigma, skewness = float(one["sigma"]), float(one["skewness"])
    ax.set(yscale="log", xlabel=r"$(RM - \langle RM \rangle) / \sigma_{RM}$", ylabel="probability density")
    ax.set_ylim(bottom=0.3 * float(one["pdf"].where(one["pdf"] > 0).min()))
    ax.set_title(rf"$\sigma_{{RM}}$ = {sigma:.3g} rad m$^{{-2}}$, skewness {skewness:.2g}", fontsize=10)
    ax.legend(fontsize=9)
    return ax


def rotation_measure_structure(statistics: xr.Dataset, ax: "Axes | None" = None) -> "Axes":
    """Structure function of a map's rotation measures, and 2σ², where nothing is alike any more.

    Parameters
    ----------
    statistics : xarray.Dataset
        From ``mm.faraday.statistics``, of one map.
    ax : Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If there are several maps.
    """
    one, ax = _of_one_map(statistics), ax or new_axes()
    ax.plot(one["s"], one["D"], "o-", markersize=3, color=COLOURS[0], label="map")
    ax.axhline(2 * float(one["sigma"]) ** 2, linestyle="--", color="0.3", label=r"$2\sigma_{RM}^2$")
    unit = one["s"].attrs.get("units", "1")
    ax.set(xscale="log", yscale="log", xlabel=f"separation{'' if unit == '1' else f' [{unit}]'}")
    ax.xaxis.set_minor_formatter("")
    ax.set_ylabel(r"$D_{RM}$ [rad$^2$ m$^{-4}$]")
    ax.legend(fontsize=9)
    return ax


def _of_one_map(statistics: xr.Dataset) -> xr.Dataset:
    require_drawable(statistics, "mm.faraday.statistics", "pdf", "sigma", "D")
    if bad := statistics["pdf"].dims != ("deviation",) and statistics["pdf"].dims:
        raise SnapshotError(f"the statistics of one map are needed, these have dims {bad}: select one")
    return statistics.compute()


def _edges(middle: np.ndarray) -> np.ndarray:
    step = middle[1] - middle[0]
    return np.append(middle - step / 2, middle[-1] + step / 2)


def expected_angles(
    tables: xr.Dataset | Mapping[str, xr.Dataset], ax: "Axes | None" = None, *, visible: float | None = None
) -> "Axes":
    """Scatter of polarization angles across the bands of telescopes, on logarithmic axes.

    Parameters
    ----------
    tables : xarray.Dataset or mapping
        From ``mm.faraday.expected_angles``, several of them by label.
    ax : Axes, optional
    visible : float, optional
        Angle [deg] that a telescope tells from 0, drawn as a line.

    Returns
    -------
    matplotlib.axes.Axes
    """
    tables = {"": tables} if isinstance(tables, xr.Dataset) else tables
    for table in tables.values() if isinstance(tables, Mapping) else [tables]:
        require_drawable(table, "mm.faraday.expected_angles", "band", "frequency", "angle", "angle_error")
    ax = ax or new_axes(1, 6.0, 4.4)
    for colour, (label, table) in zip(COLOURS * 9, tables.items(), strict=False):
        for i, band in enumerate(table["band"].values):
            row = table.sel(band=band)
            name = label if i == 0 and label else None
            ax.plot(row["frequency"] / 1e9, row["angle"], color=colour, linewidth=3, label=name)
            error, x = row["angle_error"], row["frequency"] / 1e9
            ax.fill_between(x, row["angle"] - error, row["angle"] + error, color=colour, alpha=0.25)
    first = next(iter(tables.values()))
    for i, band in enumerate(first["band"].values):
        x = float(np.sqrt(first["frequency"].sel(band=band).prod())) / 1e9
        ax.text(x, 1.02 + 0.05 * (i % 2), str(band), transform=ax.get_xaxis_transform(), fontsize=7, ha="center")
    if visible is not None:
        ax.axhline(visible, color="0.4", linestyle="--", label=f"visible: {visible:g}°")
    ax.set(xscale="log", yscale="log", xlabel="frequency [GHz]", ylabel=r"$\sigma_{RM}\,\lambda^2$ [deg]")
    if visible is not None or any(tables):
        ax.legend(fontsize=9)
    return ax

"""Power spectra."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, SnapshotError, array_of, of_array
from mmfields.plot.base import COLOURS, new_axes, require_drawable, unit_label
from mmfields.spectra import field_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def spectrum(
    powers: xr.DataArray | xr.Dataset | Mapping[str, xr.DataArray],
    ax: "Axes | None" = None,
    *,
    fits: xr.Dataset | Sequence[xr.Dataset] = (),
) -> "Axes":
    """E(k) on logarithmic axes, with bands of its sampling error and the slopes that were fitted.

    Parameters
    ----------
    powers : xarray.DataArray, Dataset of it alone, or mapping
        From ``mm.spectra.power``, several of them by label.
    ax : Axes, optional
    fits : xarray.Dataset or sequence of them
        From ``mm.spectra.slope``, drawn over their range, raised by half for clarity, and labelled with
        slope and error.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SnapshotError
        If a spectrum has dims beside ``k``.
    """
    ax = ax or new_axes()
    if isinstance(powers, xr.DataArray | xr.Dataset):
        powers = {"": array_of(powers, "E(k) of mm.spectra.power")}
    if bad := [p.dims for p in powers.values() if p.dims != ("k",) or "modes" not in p.coords]:
        raise SnapshotError(f"spectra over k with their modes are needed, found dims {bad}: select the others")
    fits = [fits] if isinstance(fits, xr.Dataset) else list(fits)
    for colour, (label, power) in zip(COLOURS * len(powers), powers.items(), strict=False):
        power = power.where(power > 0).compute()
        ax.plot(power["k"], power, color=colour, label=label or None)
        error = power * np.sqrt(2.0 / (field_count(power) * power["modes"]))  # of Gaussian fields
        low = (power - error).where(error < power)
        ax.fill_between(power["k"], low, power + error, color=colour, alpha=0.25, linewidth=0)
    for style, fit in zip(("--", ":", "-.") * len(fits), fits, strict=False):
        k = np.array([fit.attrs["k_min"], fit.attrs["k_max"]])
        slope = float(fit["slope"])
        label = rf"$k^{{{slope:.2f}\pm{float(fit['slope_error']):.2f}}}$"
        ax.plot(k, 1.5 * float(fit["amplitude"]) * k**slope, style, color="0.2", label=label)
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel(f"$k${unit_label(power['k'])}")
    ax.set_ylabel(r"$E(k)$ [field$^2$ length]")
    if fits or any(powers):
        ax.legend(fontsize=9)
    return ax


@of_array("E of mm.spectra.power2d")
def spectrum2d(
    power: xr.DataArray,
    ax: "Axes | None" = None,
    *,
    k_par: tuple[float, float] | None = None,
    k_perp: tuple[float, float] | None = None,
) -> "Axes":
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
    matplotlib.axes.Axes
    """
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    require_drawable(power, "mm.spectra.power2d")
    for name, band in (("k_par", k_par), ("k_perp", k_perp)):
        if band is not None and np.shape(band) != (2,):
            raise ArgumentError(f"{name}={band!r}: two wavenumbers (from, to) are needed")
    if set(power.dims) != {"k_par", "k_perp"}:
        raise SnapshotError(
            f"one spectrum over k_perp and k_par is needed, this has dims {power.dims}: select the others"
        )
    ax = ax or new_axes()
    power = power.compute().transpose("k_par", "k_perp")
    if not (power > 0).any():
        raise SnapshotError("the spectrum is 0 everywhere: a uniform field has no fluctuation to draw")
    step = float(power["k_perp"][1])
    values = power.where(power > 0)
    top = float(values.max())
    edges = np.append(0.35 * step, (np.arange(power.sizes["k_perp"]) + 0.5) * step)
    image = ax.pcolormesh(edges, edges, values, norm=LogNorm(top * 1e-6, top), cmap="viridis", rasterized=True)
    if k_par is not None or k_perp is not None:
        given = [k if k is not None else (0.0, np.inf) for k in (k_perp, k_par)]
        low = [max(k[0], edges[0]) for k in given]
        size = [max(min(k[1], edges[-1]) - start, 0.0) for k, start in zip(given, low, strict=True)]
        box = Rectangle(low, *size, fill=False, edgecolor="#D55E00", linewidth=2, label="pass band")
        ax.add_patch(box)
        ax.legend(loc="lower left", fontsize=9)
    ax.set(xscale="log", yscale="log")
    filled = [np.flatnonzero(values.notnull().any(d).values)[-1] + 1 for d in ("k_perp", "k_par")]
    ax.set(xlim=(edges[0], edges[filled[1]]), ylim=(edges[0], edges[filled[0]]))
    ax.set_xlabel(rf"$k_\perp${unit_label(power['k_perp'])}; first bin $k_\perp\approx 0$")
    ax.set_ylabel(rf"$k_\parallel${unit_label(power['k_par'])}; first bin $k_\parallel\approx 0$")
    ax.figure.colorbar(image, ax=ax, label=r"$E(k_\perp, k_\parallel)$ [field$^2$ length$^2$]")
    return ax

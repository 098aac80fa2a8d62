"""Diffusion coefficients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.conventions import FIELD_LINES, SnapshotError
from mmfields.plot.base import COLOURS, new_axes, require_drawable
from mmfields.theory import Medium, kappa_micromirror, kappa_perpendicular
from mmfields.transport import physical
from mmfields.units import as_quantity, momentum_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@renamed(names="variables")
def running_diffusion(
    kappa: xr.Dataset,
    ax: "Axes | None" = None,
    *,
    variables: Sequence[str] = ("kappa_par", "kappa_perp"),
    plateau: xr.Dataset | None = None,
) -> "Axes":
    """Running diffusion coefficients against path length, one colour per gyroradius, with error bands.

    In cm²/s and labelled by energies where these are known.

    Parameters
    ----------
    kappa : xarray.Dataset
        From ``mm.transport.running_diffusion``.
    ax : Axes, optional
    variables : sequence of str
        Coefficients to draw, solid then dashed then dotted; all-NaN ones are left out.
    plateau : xarray.Dataset, optional
        From ``mm.transport.diffusion``: a heavy bar over its window, at its value.

    Returns
    -------
    matplotlib.axes.Axes
    """
    variables = (variables,) if isinstance(variables, str) else variables
    each = [n for name in variables for n in (name, f"{name}_error")]
    require_drawable(kappa, "mm.transport.running_diffusion", *each, dims=("gyroradius", "path"))
    if "path" not in kappa.dims:
        raise SnapshotError("this is a plateau: give mm.transport.running_diffusion(trajectories), and plateau=this")
    if plateau is not None:
        require_drawable(plateau, "mm.transport.diffusion", "window_start", *each, dims=("gyroradius",))
    ax = ax or new_axes()
    of_lines = kappa[variables[0]].attrs.get("of") == FIELD_LINES
    kappa, known = _in_physical_units(kappa.compute())
    plateau = _in_physical_units(plateau.compute())[0] if plateau is not None else None
    if "gyroradius" not in kappa.dims:
        kappa = kappa.expand_dims("gyroradius")
        plateau = plateau.expand_dims("gyroradius") if plateau is not None else None
    lengths = kappa["path_length"] if "path_length" in kappa.coords else kappa["path"]
    shown = [n for n in variables if np.isfinite(kappa[n]).any()] or ["kappa"]
    for g, radius in enumerate(kappa["gyroradius"].values):
        row = kappa.isel(gyroradius=g)
        length = lengths.isel(gyroradius=g) if "gyroradius" in lengths.dims else lengths
        for name, style in zip(shown, ("-", "--", ":"), strict=False):
            colour = COLOURS[g % len(COLOURS)]
            what = f"{float(row['energy']):.3g} {row['energy'].attrs['units']}" if known else f"$r_g$ = {radius:.3g}"
            label = _line_label(name) if of_lines else f"{_kappa_label(name)}, {what}"
            ax.plot(length, row[name], style, color=colour, label=label)
            low, high = row[name] - row[f"{name}_error"], row[name] + row[f"{name}_error"]
            ax.fill_between(length, low, high, color=colour, alpha=0.25, linewidth=0)
            if plateau is not None:
                end = plateau.isel(gyroradius=g)
                span = [float(end["window_start"]), float(end["window_end"])]
                ax.plot(span, [float(end[name])] * 2, color=colour, linewidth=5, alpha=0.5)
    if plateau is not None:
        ax.plot([], [], color="0.5", linewidth=5, alpha=0.5, label="plateau and its window")
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel(f"path length $s$ [{_length_name(kappa)}]")
    ax.set_ylabel(r"$\kappa(s)$ [cm$^2$ s$^{-1}$]" if known else rf"$\kappa(s)$ [$v$ × {_length_name(kappa)}]")
    if of_lines:
        ax.set_ylabel(rf"$D(s)$ of field lines [{_length_name(kappa)}]")
    ax.legend(fontsize=8, loc="upper left")
    return ax


@renamed(names="variables")
def diffusion(
    kappa: xr.Dataset,
    ax: "Axes | None" = None,
    *,
    variables: Sequence[str] = ("kappa_par", "kappa_perp"),
    theory: Medium | Mapping[str, Callable[[Any], Any]] | None = None,
) -> "Axes":
    """Plateau coefficients with error bars, one colour per traced field, and the laws of theory beside them.

    Against energy and in cm²/s where these are known, else against the gyroradius in the run's units.  Filled markers
    are diffusive; open ones are no plateau (exponent of their displacements off 1 by more than 0.3).

    Parameters
    ----------
    kappa : xarray.Dataset
        From ``mm.transport.diffusion``, over ``gyroradius`` and optionally ``field``.
    ax : Axes, optional
    variables : sequence of str
        Coefficients, told apart by marker.
    theory : Medium or mapping of str to callable, optional
        Lines: Eqs. 5 and 6 of a medium, with the momentum and speed of each energy, or functions of the energy by their
        labels, each of which takes and gives astropy Quantities.  They need energies and units.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If these are no plateau coefficients, or lines are asked for where there is no energy, or no unit.
    """
    variables = (variables,) if isinstance(variables, str) else variables
    each = [n for name in variables for n in (name, f"{name}_error", name.replace("kappa", "exponent"))]
    require_drawable(kappa, "mm.transport.diffusion", *each, dims=("gyroradius", "field"))
    ax = ax or new_axes()
    kappa, known = _in_physical_units(kappa.compute())
    if theory is not None and not known:
        raise SnapshotError(
            "lines of theory need energies and cm2/s: make particles with energy=..., in a field of known units "
            "(ds.assign_attrs(length_unit='...', field_unit='...'))"
        )
    if "gyroradius" not in kappa.dims:
        kappa = kappa.expand_dims("gyroradius")
    if "field" not in kappa.dims:
        kappa = kappa.expand_dims(field=["field"])
    abscissa = kappa["energy"] if known else kappa["gyroradius"]
    shown = [n for n in variables if np.isfinite(kappa[n]).any()] or ["kappa"]
    for f, field in enumerate(kappa["field"].values):
        row = kappa.sel(field=field)
        at = np.broadcast_to(abscissa.values, row.sizes["gyroradius"])
        colour = COLOURS[f % len(COLOURS)]
        for name, marker, style in zip(shown, ("o", "s", "^"), ("-", "--", ":"), strict=False):
            look = {"color": colour, "marker": marker, "linestyle": style, "capsize": 3}
            ax.errorbar(at, row[name], row[f"{name}_error"], label=f"{_kappa_label(name)}, {field}", **look)
            free = (abs(row[name.replace("kappa", "exponent")] - 1) > 0.3).values
            ax.plot(at[free], row[name][free], marker, color=colour, markerfacecolor="white", zorder=3)
    if theory is not None:
        _theory_lines(ax, theory, abscissa, kappa.attrs)
    ax.set(xscale="log", yscale="log")
    ax.plot([], [], "o", color="0.3", markerfacecolor="white", label="open: no plateau")
    if known:
        ax.set_xlabel(f"kinetic energy [{abscissa.attrs['units']}]")
        ax.set_ylabel(r"$\kappa$ [cm$^2$ s$^{-1}$]")
    else:
        ax.set_xlabel(f"gyroradius $r_g$ [{_length_name(kappa)}]")
        ax.set_ylabel(rf"$\kappa$ [$v$ × {_length_name(kappa)}]")
    ax.legend(fontsize=8, loc="upper left")
    return ax


def _in_physical_units(kappa: xr.Dataset) -> tuple[xr.Dataset, bool]:
    """Coefficients in cm²/s where energies and units are known, and whether they are."""
    if "energy" not in kappa.coords or not set(kappa["energy"].dims) <= {"gyroradius"}:
        return kappa, False
    speeds = "particle_speed" in kappa.attrs or "beta_gamma" in kappa.coords
    return (physical(kappa), True) if "length_unit" in kappa.attrs and speeds else (kappa, False)


def _theory_lines(ax: "Axes", theory: Any, energy: xr.DataArray, attrs: Mapping[Any, Any]) -> None:
    """Laws over the range of the energies and a little beyond."""
    from astropy import units as u

    if isinstance(theory, Medium):
        charge = max(1, round(abs(float(attrs.get("charge", theory.Z)))))
        theory = _laws_of(replace(theory, Z=charge), attrs.get("mass"))
    low, high = float(energy.min()), float(energy.max())
    at = np.geomspace(low / 1.5, high * 1.5, 100)
    for (label, law), style in zip(theory.items(), ("-", "--", "-.", ":") * len(theory), strict=False):
        values = u.Quantity(law(at * u.Unit(energy.attrs["units"]))).to_value("cm2 / s")
        ax.plot(at, values, style, color="0.5", linewidth=1, label=label, zorder=1)


def _laws_of(medium: Medium, mass: str | None) -> dict[str, Callable[[Any], Any]]:
    """Eqs. 5 and 6 of kinetic energies: c r_g² and c become v r_g² and v, r_g being that of the momentum."""
    from astropy import constants

    def of_momentum(energy: Any) -> tuple[Any, np.ndarray]:
        if mass is None:
            return energy, np.ones(energy.shape)
        momentum, ratio = momentum_of(energy, as_quantity(mass, "mass"))
        return (momentum * constants.c).to(energy.unit), ratio / np.hypot(1.0, ratio)

    def along(energy: Any) -> Any:
        full, speed = of_momentum(energy)
        return kappa_micromirror(full, medium, check=False) * speed

    return {
        r"$\kappa_{mm}$, Eq. 5": along,
        r"$\kappa_\perp$, Eq. 6": lambda energy: kappa_perpendicular(medium) * of_momentum(energy)[1],
    }


def _line_label(name: str) -> str:
    return _kappa_label(name).replace(r"\kappa", "D")


def _kappa_label(name: str) -> str:
    return {"kappa": r"$\kappa$", "kappa_par": r"$\kappa_\parallel$", "kappa_perp": r"$\kappa_\perp$"}.get(name, name)


def _length_name(kappa: xr.Dataset) -> str:
    unit = kappa.attrs.get("length_units", "1")
    if unit in ("1", "length unit", "code units") and "length_unit" in kappa.attrs:
        return f"× {kappa.attrs['length_unit']}"
    return {"1": "length unit", "d_i": "$d_i$"}.get(unit, unit)

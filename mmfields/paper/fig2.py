"""Figure 2: diffusion coefficients of cosmic rays in micromirrors, against energy.

Protons go through two snapshots of the mirror instability and through what a filter leaves of the later one.  Each run
is twenty of the mean free paths that Eq. 5 gives, so that the plateau is some 7 % low at most.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mmfields import anisotropy, fourier, particles, plot, samples, theory, tracing, transport
from mmfields.paper.scaling import coefficient, energy, joined, slope

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIELDS = {"late": "saturated mirrors", "early": "growing mirrors", "residual": "mirrors filtered out"}
# The mirrors of the later snapshot: oblique, at wavelengths of 8 to 63 ion inertial lengths.
MIRRORS = fourier.band(k_par=(0.0, 0.4), k_perp=(0.1, 0.75))
# Gyroradii in units of l_mm, l_perp of the later snapshot.
RATIOS = (0.35, 0.7, 1.4, 3.0, 6.0, 10.0, 14.0, 20.0, 28.0)
FEWER = {"late": 9, "early": 7, "residual": 6}
SMALL = {"late": (3.0, 10.0, 14.0, 20.0), "early": (3.0,), "residual": (3.0,)}


def snapshots() -> dict[str, xr.Dataset]:
    """The three fields, in memory."""
    series = samples.load("micromirrors")[["Bx", "By", "Bz"]].compute()
    late = series.isel(time=-1)
    return {"late": late, "early": series.isel(time=0), "residual": fourier.filter(late, ~MIRRORS).compute()}


def measured(fields: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Scale of the mirrors and relative strengths of each field."""
    each = [anisotropy.scales(f.drop_vars("time"), subvolumes=0) for f in fields.values()]
    found = xr.concat(each, "field", combine_attrs="drop_conflicts").assign_coords(field=np.array(list(fields), object))
    return found[["l_perp", "dB_par_rms", "dB_perp_rms", "dB_over_B0"]].compute()


def traced(field: xr.Dataset, gyroradius: float, l_mm: float, strength: float, count: int, paths: float) -> xr.Dataset:
    """Orbits over so many of the mean free paths 3 κ that Eq. 5 gives, lazily."""
    protons = particles.isotropic(count, gyroradius=gyroradius, seed=1, field=field)
    free = 3 * max(gyroradius, l_mm) ** 2 / (l_mm * strength**2)
    save = np.append(0.0, np.geomspace(paths * free / 300, paths * free, 60))
    return tracing.trace(field, protons, step=min(0.2 * gyroradius, 2.0), distance=paths * free, save=save)


def parts(reduced: bool = False) -> dict[str, Callable[[], xr.Dataset]]:
    """Orbits of each field and gyroradius, and the scales of the fields."""
    fields = snapshots()
    scales = measured(fields)
    l_mm = float(scales["l_perp"].sel(field="late"))
    work: dict[str, Callable[[], xr.Dataset]] = {"scales": scales.copy}
    for name, field in fields.items():
        strength = float(scales["dB_over_B0"].sel(field=name))
        for ratio in SMALL[name] if reduced else RATIOS[: FEWER[name]]:
            size = {"count": 256, "paths": 10.0} if reduced else {"count": 1000, "paths": 20.0}
            work[f"{name}_{ratio:g}"] = partial(traced, field, ratio * l_mm, l_mm, strength, **size)
    return work


def coefficients(results: Mapping[str, xr.Dataset], field: str) -> xr.Dataset:
    """Plateaus of one field along ``gyroradius``, in units of l_mm."""
    names = [n for n in results if n.startswith(f"{field}_")]
    found = [transport.diffusion(results[n]).compute() for n in names]
    return joined(found, [float(n.split("_")[1]) for n in names])


def diffusive(kappa: xr.Dataset) -> np.ndarray:
    """Where displacements along the field grow like those of diffusion."""
    return (abs(kappa["exponent_par"] - 1) < 0.3).values


def numbers(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """Slope from 10 l_mm on, κ∥ over Eq. 5, κ⊥ over Eq. 6, and how far the residual lies above."""
    late = coefficients(results, "late")
    l_mm = float(results["scales"]["l_perp"].sel(field="late"))
    far = late.isel(gyroradius=(late["gyroradius"] >= 10).values)
    found, error = slope(far["gyroradius"].values, far["kappa_par"].values, far["kappa_par_error"].values)
    strength = float(results["scales"]["dB_par_rms"].sel(field="late"))
    eq5 = far["gyroradius"].values ** 2 * l_mm / strength**2
    rest = coefficients(results, "residual")
    common = rest["gyroradius"].values[rest["gyroradius"].values >= 1]
    above = rest["kappa_par"].sel(gyroradius=common) / late["kappa_par"].reindex(gyroradius=common)
    return {
        "slope": found,
        "slope_error": error,
        "kappa_par_over_eq5": float((far["kappa_par"].values / eq5).mean()),
        "kappa_perp_over_eq6": float((far["kappa_perp"] / (l_mm * strength**2)).mean()),
        "kappa_perp_slope": slope(
            far["gyroradius"].values, far["kappa_perp"].values, far["kappa_perp_error"].values
        )[0],
        "residual_over_full": float(above.min()),
        "residual_over_full_median": float(above.median()),
        "dB_perp2_over_dB_par2": float((results["scales"]["dB_perp_rms"] / results["scales"]["dB_par_rms"])
                                       .sel(field="late") ** 2),
    }  # fmt: skip


def draw(results: Mapping[str, xr.Dataset]) -> "Figure":
    """κ∥ and κ on the left, κ⊥ on the right, with Eqs. 5 and 6 for the strength of each snapshot."""
    scales = results["scales"]
    l_mm = float(scales["l_perp"].sel(field="late"))
    along, across = plot.base.new_axes(2, 6.0, 5.0)
    for (name, title), colour, marker in zip(FIELDS.items(), plot.COLOURS, "osD", strict=False):
        kappa = coefficients(results, name)
        E, good = energy(kappa["gyroradius"].values * l_mm, l_mm).value, diffusive(kappa)
        for ax, which, size, tag in (
            (along, "kappa_par", 6, ""),
            (along, "kappa", 3, None),
            (across, "kappa_perp", 6, ""),
        ):
            values = coefficient(kappa[which].values, l_mm).value
            errors = coefficient(kappa[f"{which}_error"].values, l_mm).value
            label = (
                None
                if tag is None
                else rf"{title}, $\delta B_\parallel/B$ = {float(scales['dB_par_rms'].sel(field=name)):.3f}"
            )
            ax.errorbar(E, values, errors, fmt=marker, color=colour, markersize=size, capsize=2, label=label)
            if which != "kappa_perp":
                ax.plot(
                    E[~good], values[~good], marker, color=colour, markersize=size, markerfacecolor="white", zorder=3
                )
        if name != "residual":
            _theory(along, across, float(scales["dB_par_rms"].sel(field=name)), E, colour)
    _decorate(along, across)
    return along.figure


def _theory(along, across, strength: float, E: np.ndarray, colour: str) -> None:
    """Eq. 5 where r_g exceeds l_mm, and Eq. 6."""
    from astropy import units as u

    medium = replace(theory.ICM, dB_over_B=strength)
    fine = np.geomspace(0.278, E.max() * 1.5, 50)
    along.plot(fine, theory.kappa_micromirror(fine * u.GeV, medium, check=False).value, "-", color=colour, linewidth=1)
    across.axhline(theory.kappa_perpendicular(medium).value, color=colour, linewidth=1)


def _decorate(along, across) -> None:
    from astropy import units as u

    along.plot([], [], "o", color="0.4", markersize=3, label=r"small: $\kappa = (\kappa_\parallel + 2\kappa_\perp)/3$")
    along.plot([], [], "o", color="0.4", markerfacecolor="white", label="open: not yet diffusive")
    along.plot([], [], "-", color="0.4", linewidth=1, label=r"Eq. 5, for $r_g > l_{mm}$")
    across.plot([], [], "-", color="0.4", linewidth=1, label="Eq. 6")
    turn = (theory.ICM.l_mm / theory.gyroradius(1 * u.GeV)).to_value("")
    for ax, name in ((along, r"\kappa_\parallel"), (across, r"\kappa_\perp")):
        ax.set(xscale="log", yscale="log", xlabel="energy $E$ [GeV], for $l_{mm}$ = 100 npc and $B$ = 3 µG")
        ax.set_ylabel(rf"${name}$ [cm$^2$ s$^{{-1}}$]")
        ax.axvline(turn, color="0.6", linestyle=":")
        ax.secondary_xaxis("top", functions=(lambda E: E / turn, lambda r: r * turn)).set_xlabel("$r_g / l_{mm}$")
        ax.legend(fontsize=8)

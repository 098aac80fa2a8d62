"""Figure 2: diffusion coefficients of cosmic rays in micromirrors, against energy.

Protons go through two snapshots of the mirror instability and through what a filter leaves of the later one.  A run is
a number of the mean free paths that Eq. 5 gives; how many of the measured ones that is, is among the numbers.
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

FIELDS = {
    "late": "late: saturated mirrors",
    "early": "early: transverse waves, growing mirrors",
    "residual": "late, mirrors filtered out",
}
# The mirrors of the later snapshot: oblique, at wavelengths of 8 to 63 ion inertial lengths.
MIRRORS = fourier.band(k_par=(0.0, 0.4), k_perp=(0.1, 0.75))
# Gyroradii in units of l_mm, l_perp of the later snapshot.
RATIOS = (0.35, 0.7, 1.4, 3.0, 6.0, 10.0, 14.0, 20.0, 28.0)
FEWER = {"late": 9, "early": 7, "residual": 6}
# Protons of each gyroradius, and mean free paths by Eq. 5 of each run; what is left scatters the least.
SIZES = {"late": (500, 20.0), "early": (256, 20.0), "residual": (256, 40.0)}
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
    """Orbits over so many of the mean free paths 3 κ that Eq. 5 gives for a strength δB/B, lazily."""
    protons = particles.isotropic(count, gyroradius=gyroradius, seed=1, field=field)
    free = 3 * max(gyroradius, l_mm) ** 2 / (l_mm * strength**2)
    save = np.append(0.0, np.geomspace(paths * free / 300, paths * free, 60))
    return tracing.trace(field, protons, step=min(0.2 * gyroradius, 2.0), distance=paths * free, save=save)


def parts(reduced: bool = False) -> dict[str, Callable[[], xr.Dataset]]:
    """Orbits of each field and gyroradius, and the scales of the fields."""
    fields = snapshots()
    scales = measured(fields)
    l_mm = float(scales["l_perp"].sel(field="late"))
    late = fields["late"]
    cell = float(late["x"][1] - late["x"][0])
    scales = scales.assign(cell=cell, box=cell * late.sizes["x"])
    work: dict[str, Callable[[], xr.Dataset]] = {"scales": scales.copy}
    for name, field in fields.items():
        strength = float(scales["dB_over_B0"].sel(field=name))
        for ratio in SMALL[name] if reduced else RATIOS[: FEWER[name]]:
            count, paths = (256, 10.0) if reduced else SIZES[name]
            work[f"{name}_{ratio:g}"] = partial(traced, field, ratio * l_mm, l_mm, strength, count=count, paths=paths)
    return work


def coefficients(results: Mapping[str, xr.Dataset], field: str) -> xr.Dataset:
    """Plateaus of one field along ``gyroradius``, in units of l_mm."""
    runs = _runs(results, field)
    return joined([transport.diffusion(run).compute() for run in runs.values()], list(runs))


def _runs(results: Mapping[str, xr.Dataset], field: str) -> dict[float, xr.Dataset]:
    """Orbits in one field by gyroradius, which increases, in units of l_mm."""
    names = [name for name in results if name.startswith(f"{field}_")]
    return {float(name.split("_")[1]): results[name] for name in sorted(names, key=lambda n: float(n.split("_")[1]))}


def diffusive(kappa: xr.Dataset) -> np.ndarray:
    """Where displacements along the field grow like those of diffusion."""
    return (abs(kappa["exponent_par"] - 1) < 0.3).values


def free_paths(results: Mapping[str, xr.Dataset], kappa: xr.Dataset, field: str) -> np.ndarray:
    """Lengths of the runs in the mean free paths 3 κ∥ that they measure."""
    lengths = [float(run["path"][-1]) for run in _runs(results, field).values()]
    return np.array(lengths) / (3 * kappa["kappa_par"].values)


def numbers(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """Slope from 10 l_mm on, κ∥ over Eq. 5, κ⊥ over Eq. 6, how far the residual lies above, and lengths of runs."""
    late, scales = coefficients(results, "late"), results["scales"]
    l_mm = float(scales["l_perp"].sel(field="late"))
    far = late.isel(gyroradius=(late["gyroradius"] >= 10).values)
    found, error = slope(far["gyroradius"].values, far["kappa_par"].values, far["kappa_par_error"].values)
    rest = coefficients(results, "residual")
    common = rest["gyroradius"].values[rest["gyroradius"].values >= 1]
    above = rest["kappa_par"].sel(gyroradius=common) / late["kappa_par"].reindex(gyroradius=common)
    out = {"slope": found, "slope_error": error}
    inside = late.isel(gyroradius=((late["gyroradius"] >= 3) & (late["gyroradius"] * l_mm < scales["box"])).values)
    columns = (inside[name].values for name in ("gyroradius", "kappa_par", "kappa_par_error"))
    out["slope_within_the_box"], out["slope_within_the_box_error"] = slope(*columns)
    out["kappa_perp_slope"] = slope(far["gyroradius"].values, far["kappa_perp"].values, far["kappa_perp_error"].values)[
        0
    ]
    for name in ("late", "early"):
        out |= _against_theory(coefficients(results, name), scales.sel(field=name), l_mm, name)
    out |= {"residual_over_full": float(above.min()), "residual_over_full_median": float(above.median())}
    out |= {f"{n}_in_l_mm": float(scales[n]) / l_mm for n in ("cell", "box")}
    for name in FIELDS:
        kappa = coefficients(results, name)
        out[f"free_paths_least_{name}"] = float(free_paths(results, kappa, name).min())
        out[f"limits_{name}"] = float((~diffusive(kappa)).sum())
        if not diffusive(kappa).all():  # above 1, so that these are lower limits
            out[f"least_exponent_of_limits_{name}"] = float(kappa["exponent_par"].values[~diffusive(kappa)].min())
    return out


def _against_theory(kappa: xr.Dataset, own: xr.Dataset, unit: float, name: str) -> dict[str, float]:
    """κ over Eqs. 5 and 6 with a snapshot's own l_mm and δB∥, at the largest gyroradii, which are in `unit`."""
    far = kappa.isel(gyroradius=(kappa["gyroradius"] >= min(10.0, float(kappa["gyroradius"].max()))).values)
    l_mm, strength = float(own["l_perp"]), float(own["dB_par_rms"])
    eq5 = (far["gyroradius"].values * unit) ** 2 / (l_mm * strength**2)
    return {
        f"l_mm_{name}": l_mm,
        f"dB_perp2_over_dB_par2_{name}": float(own["dB_perp_rms"] / own["dB_par_rms"]) ** 2,
        f"kappa_par_over_eq5_{name}": float((far["kappa_par"].values / eq5).mean()),
        f"kappa_par_over_eq5_{name}_error": float(((far["kappa_par_error"].values / eq5) ** 2).sum() ** 0.5 / len(eq5)),
        f"kappa_perp_over_eq6_{name}": float((far["kappa_perp"] / (l_mm * strength**2)).mean()),
    }


def draw(results: Mapping[str, xr.Dataset]) -> "Figure":
    """κ∥ and κ on the left, κ⊥ on the right, with Eqs. 5 and 6 for the strength of each snapshot."""
    scales = results["scales"]
    l_mm = float(scales["l_perp"].sel(field="late"))
    along, across = plot.base.new_axes(2, 6.0, 6.2)
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
            own = scales.sel(field=name)
            medium = replace(
                theory.ICM,
                dB_over_B=float(own["dB_par_rms"]),
                l_mm=theory.ICM.l_mm * float(own["l_perp"]) / l_mm,
            )
            _theory(along, across, medium, E, colour)
    _decorate(along, across, {n: float(scales[n]) / l_mm for n in ("cell", "box")})
    return along.figure


def _theory(along, across, medium: theory.Medium, E: np.ndarray, colour: str) -> None:
    """Eq. 5 where r_g exceeds the snapshot's own l_mm, and Eq. 6."""
    from astropy import units as u

    least = (medium.l_mm / theory.gyroradius(1 * u.GeV, medium)).to_value("")
    fine = np.geomspace(least, E.max() * 1.5, 50)
    along.plot(fine, theory.kappa_micromirror(fine * u.GeV, medium, check=False).value, "-", color=colour, linewidth=1)
    across.axhline(theory.kappa_perpendicular(medium).value, color=colour, linewidth=1)


def _decorate(along, across, lengths: Mapping[str, float]) -> None:
    """Legends, and lines at gyroradii of l_mm, of a cell and of the box."""
    from astropy import units as u

    along.plot([], [], "o", color="0.4", markersize=3, label=r"small: $\kappa = (\kappa_\parallel + 2\kappa_\perp)/3$")
    along.plot([], [], "o", color="0.4", markerfacecolor="white", label="open: not yet diffusive, lower limits")
    along.plot([], [], "-", color="0.4", linewidth=1, label=r"Eq. 5, for $r_g > l_{mm}$")
    across.plot([], [], "-", color="0.4", linewidth=1, label="Eq. 6")
    turn = (theory.ICM.l_mm / theory.gyroradius(1 * u.GeV)).to_value("")
    across.sharex(along)
    for ax, name in ((along, r"\kappa_\parallel"), (across, r"\kappa_\perp")):
        ax.set(xscale="log", yscale="log", xlabel="energy $E$ [GeV], for $l_{mm}$ = 100 npc and $B$ = 3 µG")
        ax.set_ylabel(rf"${name}$ [cm$^2$ s$^{{-1}}$]")
        ax.axvline(turn, color="0.5", label="$r_g = l_{mm}$")
        for (length, ratio), style in zip(lengths.items(), (":", "-."), strict=True):
            ax.axvline(ratio * turn, color=plot.COLOURS[3], linestyle=style, label=f"$r_g$ = {length} side")
        ax.secondary_xaxis("top", functions=(lambda E: E / turn, lambda r: r * turn)).set_xlabel("$r_g / l_{mm}$")
        ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)

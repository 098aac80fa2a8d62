"""Figure 3: diffusion coefficients from GeV to 100 EeV, and the transition from micromirrors to the turbulent cascade.

κ∥ is along the local field; open squares and diamonds are κ along each axis, which is all that there is where r_g
exceeds l_c.  Both are in units of c l_c with the one-sided l_c.  Micromirrors: orbits through the PIC snapshot, carried
to δB/B of the medium by Eq. 5.  Cascade: orbits through plane waves and through an MHD snapshot.  In between, orbits
through plane waves with micromirrors that resolve every gyration, from the table that ships
(:mod:`mmfields.paper.transition`), and the exact Monte Carlo along field lines.  The second panel is of κ along each
axis, which field lines that are tangled leave of κ∥, in plane waves whose micromirrors are but 300 times smaller than
l_c.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from astropy import constants
from astropy import units as u

from mmfields import estimators, particles, plot, samples, scattering, spectra, theory, tracing, transport, turbulence
from mmfields.paper import crossing, fig2, transition
from mmfields.paper.scaling import CM2S, coefficient, energy, joined

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRACTIONS = (0.01, 0.1, 1.0)
ENERGIES = np.geomspace(1, 1e6, 7)  # GeV, of the Monte Carlo
WAVES = (2e-3, 5e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # r_g / l_c
MHD = (0.3, 1.0, 3.0)
# Second panel: micromirrors of l_mm = 1/300 l_c with the medium's δB/B.
SEPARATION, MIXED = 300.0, (0.3, 1.0)
DELTA = 1 / 3
# Saved points in each mean free path, so that the correlation of pitch angles is resolved.
SAVED = 8


def cascade() -> turbulence.PlaneWaves:
    """Kolmogorov waves from ten times the correlation length, about 1, to below the smallest gyroradius."""
    return turbulence.plane_waves(1024, k_min=2 * np.pi / 10, k_max=2 * np.pi / 1e-3, seed=1)


def wave_orbits(ratio: float, fraction: float, count: int, lengths: float) -> xr.Dataset:
    """Orbits of gyroradius `ratio` l_c through the cascade, mixed with micromirrors of a filling fraction, lazily."""
    waves = cascade()
    l_c = waves.correlation_length()
    mirrors = ratio**2 * SEPARATION / theory.ICM.dB_over_B**2 * l_c
    model = scattering.small_angle(kappa=mirrors / fraction) if fraction else None
    rays = particles.isotropic(count, gyroradius=ratio * l_c, seed=2, field=waves)
    distance = lengths * max(1.0, 3 * ratio**2)
    saved = max(60, int(np.ceil(SAVED * distance / (3 * transition.added_rates(ratio, 0.0)))))
    found = tracing.trace(waves, rays, step=0.2 * ratio * l_c, distance=distance * l_c, save=saved, scattering=model)
    return found.assign_attrs(l_c=l_c, ratio=ratio)


def mhd_orbits(ratio: float, count: int, lengths: float) -> xr.Dataset:
    """Orbits through the MHD snapshot, which has no mean field, lazily."""
    ds = samples.load("mhd_turbulence")[["Bx", "By", "Bz"]].compute()
    lines = [spectra.reduced_spectrum(ds, axis=d) for d in ("x", "y", "z")]
    # integral of the correlation of B along each axis, on one side: (pi/2) E(k=0) over int E dk
    l_c = float(np.mean([np.pi / 2 * line[0] / (line * line["k_width"]).sum() for line in lines]))
    rms = float(sum((ds[c].astype(float) ** 2).mean() for c in ("Bx", "By", "Bz")) ** 0.5)
    rays = particles.isotropic(count, gyroradius=ratio * l_c, seed=3, field=ds, reference_field=rms)
    distance = lengths * l_c * max(1.0, 3 * ratio**2)
    found = tracing.trace(ds, rays, step=min(0.1 * ratio * l_c, 0.25 / 64), distance=distance, save=60)
    return found.assign_attrs(l_c=l_c, ratio=ratio)


def along_lines(fraction: float, count: int) -> xr.Dataset:
    """κ of the exact Monte Carlo through layers of micromirrors and cascade, over ``energy`` [GeV], in cm²/s."""
    rows = []
    for each in ENERGIES * u.GeV:
        mirrors = theory.kappa_micromirror(each, check=False).to_value(CM2S)
        rest = theory.kappa_resonant(each, delta=DELTA, check=False).to_value(CM2S)
        scale = min(mirrors, rest)
        layers = [(mirrors, fraction), (rest, 1 - fraction)]
        kept = [(k / scale, f) for k, f in layers if f > 0]
        mean = 1 / sum(f / k for k, f in kept)
        options = {
            "kappa": [k for k, _ in kept],
            "lengths": [f * mean for _, f in kept],
            "distance": 300 * mean,
            "save": 3,
        }
        run = scattering.one_dimensional(count, **options, seed=4)
        found = estimators.mean_squared_displacement(run, pooled=True)
        rows.append((float(found["kappa"]) * scale, float(found["kappa_error"]) * scale))
    values = np.array(rows).T
    return xr.Dataset({"kappa": ("energy", values[0]), "kappa_error": ("energy", values[1])}, {"energy": ENERGIES})


def traced() -> xr.Dataset:
    """The table of resolved orbits that ships, without the names of its runs, which zarr does not keep for sure."""
    return crossing.traced().drop_vars("run")


def parts(reduced: bool = False) -> dict[str, Callable[[], xr.Dataset]]:
    """Orbits through snapshots and waves, and the Monte Carlo."""
    fields = fig2.snapshots()
    scales = fig2.measured(fields)
    l_mm, strength = float(scales["l_perp"].sel(field="late")), float(scales["dB_over_B0"].sel(field="late"))
    work: dict[str, Callable[[], xr.Dataset]] = {"scales": scales.copy, "traced": traced}
    size: dict[str, Any] = {"count": 128, "paths": 10.0} if reduced else {"count": 1000, "paths": 20.0}
    for ratio in (10.0, 14.0) if reduced else (1.4, 3.0, 6.0, 10.0, 14.0, 20.0):
        work[f"pic_{ratio:g}"] = partial(fig2.traced, fields["late"], ratio * l_mm, l_mm, strength, **size)
    for ratio in MHD[1:2] if reduced else MHD:
        work[f"mhd_{ratio:g}"] = partial(mhd_orbits, ratio, 128 if reduced else 1000, 60.0)
    for ratio in (1e-2, 3e-2) if reduced else WAVES:
        work[f"waves_{ratio:g}"] = partial(wave_orbits, ratio, 0.0, 64 if reduced else 128, 20.0 if reduced else 60.0)
    for fraction in MIXED[1:] if reduced else MIXED:
        for ratio in WAVES[2:3] if reduced else WAVES[:4]:
            lengths = 20.0 if reduced else 150.0
            work[f"mixed{fraction:g}_{ratio:g}"] = partial(
                wave_orbits, ratio, fraction, 64 if reduced else 128, lengths
            )
    for fraction in FRACTIONS:
        work[f"lines_{fraction:g}"] = partial(along_lines, fraction, 1000 if reduced else 10000)
    return work


def plateaus(results: Mapping[str, xr.Dataset], kind: str) -> xr.Dataset:
    """Plateaus of one kind of run along ``gyroradius``, which is the ratio of the part's name."""
    names = [n for n in results if n.startswith(f"{kind}_")]
    found = [transport.diffusion(results[n], direction=None if kind == "pic" else "z").compute() for n in names]
    kappa = joined(found, [float(n.split("_")[1]) for n in names])
    if kind == "pic":
        return kappa
    l_c = results[names[0]].attrs["l_c"]
    return kappa[["kappa", "kappa_error"]] / l_c


def along_field(results: Mapping[str, xr.Dataset], kind: str) -> xr.Dataset:
    """κ∥ along the local field, in units of c l_c along ``gyroradius``, of runs with r_g below l_c."""
    names = [n for n in results if n.startswith(f"{kind}_") and float(n.split("_")[1]) < 1]
    found = [transport.parallel_from_mu(results[n])[["kappa_par", "kappa_par_error"]].compute() for n in names]
    kappa = joined(found, [float(n.split("_")[1]) for n in names])
    return kappa.rename(kappa_par="kappa", kappa_par_error="kappa_error") / results[names[0]].attrs["l_c"]


def micromirrors(results: Mapping[str, xr.Dataset]) -> tuple[u.Quantity, u.Quantity, u.Quantity]:
    """Energies, κ∥ and its error of the PIC orbits, at δB/B of the medium by the law of Eq. 5."""
    l_mm = float(results["scales"]["l_perp"].sel(field="late"))
    strength = float(results["scales"]["dB_par_rms"].sel(field="late"))
    kappa = plateaus(results, "pic")
    carried = (strength / theory.ICM.dB_over_B) ** 2
    E = energy(kappa["gyroradius"].values * l_mm, l_mm)
    values = (coefficient(kappa[n].values, l_mm) * carried for n in ("kappa_par", "kappa_par_error"))
    return (E, *values)


def in_medium(kappa: xr.Dataset, medium: theory.Medium = theory.ICM) -> tuple[u.Quantity, u.Quantity, u.Quantity]:
    """Energies, κ and error of runs whose lengths count in l_c."""
    E = (kappa["gyroradius"].values * medium.l_c / theory.gyroradius(1 * u.GeV, medium)).to_value("") * u.GeV
    return (E, *((kappa[n].values * medium.l_c * constants.c).to(CM2S) for n in ("kappa", "kappa_error")))


def numbers(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """Where the orbits' laws cross, both along the field or both per axis; how mixed runs compare with Eq. 11."""
    mirror, mirror_error = _over_eq5(results)
    waves = plateaus(results, "waves")
    per_axis, along = (_prefactor(kappa) for kappa in (waves, along_field(results, "waves")))
    printed = float(theory.transition_energy(delta=DELTA).to_value(u.GeV))
    power = 1 / (2 - DELTA)
    found = {
        "kappa_pic_over_eq5": mirror,
        "kappa_pic_over_eq5_error": mirror_error,
        "kappa_waves_over_eq15": along,
        "kappa_waves_over_eq15_per_axis": per_axis,
        "crossing_along_GeV": printed * (along / mirror) ** power,
        "crossing_per_axis_GeV": printed * (per_axis / (mirror / 3)) ** power,
        "crossing_printed_GeV": printed,
        "crossing_half_GeV": float(theory.transition_energy(delta=0.5).to_value(u.GeV)),
    }
    said = crossing.laws(results["traced"])
    found |= {f"traced_{key}": value for key, value in said.items()}
    found["traced_crossing_with_pic_GeV"] = crossing.crossing_of(said, mirror)
    return found | _lines_against_eq11(results) | _mixed_against_sum(results, waves)


def _over_eq5(results: Mapping[str, xr.Dataset]) -> tuple[float, float]:
    """Mean κ∥ of the PIC orbits over Eq. 5 and its error, from r_g of 10 l_mm on, where the slope of Eq. 5 holds."""
    E, kappa, error = micromirrors(results)
    far = 2.7 * u.GeV < E
    ratio, off = ((k[far] / theory.kappa_micromirror(E[far], check=False)).to_value("") for k in (kappa, error))
    return float(ratio.mean()), float((off**2).sum() ** 0.5 / len(off))


def _prefactor(kappa: xr.Dataset) -> float:
    """Mean of κ over that of Eq. 15, where r_g is far below l_c."""
    low = kappa.sel(gyroradius=kappa["gyroradius"].values[kappa["gyroradius"].values < 0.1])
    return float((low["kappa"] / low["gyroradius"] ** DELTA).mean())


def _lines_against_eq11(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    worst = 0.0
    for fraction in FRACTIONS:
        run = results[f"lines_{fraction:g}"]
        E = run["energy"].values * u.GeV
        law = theory.kappa_effective(
            theory.kappa_micromirror(E, check=False), theory.kappa_resonant(E, delta=DELTA, check=False), fraction
        )
        worst = max(worst, float(np.abs(run["kappa"].values / law.to_value(CM2S) - 1).max()))
    return {"lines_off_eq11": worst}


def _mixed_against_sum(results: Mapping[str, xr.Dataset], waves: xr.Dataset) -> dict[str, float]:
    """Traced κ over 1/(f/κ_mm + 1/κ_waves), and over the same with κ_mm/3, of the runs where both matter."""
    found = {}
    for fraction in MIXED:
        if not any(n.startswith(f"mixed{fraction:g}_") for n in results):
            continue
        mixed = plateaus(results, f"mixed{fraction:g}")
        for ratio in set(mixed["gyroradius"].values) & set(waves["gyroradius"].values):
            mirrors = ratio**2 * SEPARATION / theory.ICM.dB_over_B**2
            one, name = mixed.sel(gyroradius=ratio), f"{fraction:g}_{ratio:g}"
            for kind, parts_of in (("mixed", 1), ("mixed_on_lines", 3)):
                law = 1 / (parts_of * fraction / mirrors + 1 / float(waves["kappa"].sel(gyroradius=ratio)))
                found |= {f"{kind}_{name}": float(one["kappa"]) / law}
                found |= {f"{kind}_{name}_error": float(one["kappa_error"]) / law}
    return found


def draw(results: Mapping[str, xr.Dataset]) -> "Figure":
    """The composite on the left, the traced transition at a reduced separation of scales on the right."""
    from matplotlib import pyplot as plt

    drawn, (all_of_it, near) = plt.subplots(1, 2, figsize=(13.5, 7.0), layout="constrained", width_ratios=(1.5, 1))
    _composite(results, all_of_it)
    _transition(results, near)
    return drawn


def _composite(results: Mapping[str, xr.Dataset], ax) -> None:
    E = np.geomspace(0.3, 1e12, 300) * u.GeV
    low, high = (theory.transition_energy(delta=d).to_value(u.GeV) for d in (0.5, 1 / 3))
    ax.axvspan(low, high, color="0.88", label=r"Eq. 9, $\delta$ = 1/2 to 1/3")
    ax.axvline(crossing.laws(results["traced"])["crossing_GeV"], color="0.4", linewidth=1, label="crossing, traced")
    _theories(E, ax)
    for fraction in FRACTIONS:
        run, colour = results[f"lines_{fraction:g}"], crossing.COLOURS[fraction]
        ax.errorbar(run["energy"], run["kappa"], run["kappa_error"], fmt="x", color=colour,
                    label=rf"layers along field lines, $f_{{mm}}$ = {fraction:g}")  # fmt: skip
        fine = np.geomspace(1, 1e6, 100) * u.GeV
        law = theory.kappa_effective(
            theory.kappa_micromirror(fine, check=False), theory.kappa_resonant(fine, delta=DELTA, check=False), fraction
        )
        ax.plot(fine, law.value, color=colour, linewidth=0.7)
    for found, marker, colour, label in (
        (micromirrors(results), "*", "black", r"PIC orbits, $\kappa_\parallel$"),
        (in_medium(along_field(results, "waves")), "s", plot.COLOURS[0], r"plane waves, $\kappa_\parallel$"),
    ):
        ax.errorbar(found[0].value, found[1].value, found[2].value, fmt=marker, color=colour, markersize=5, label=label)
    for kind, marker, colour, label in (
        ("waves", "s", plot.COLOURS[0], r"plane waves, $\kappa$ per axis"),
        ("mhd", "D", plot.COLOURS[6], r"MHD snapshot, $\kappa$ per axis"),
    ):
        E_, kappa, error = in_medium(plateaus(results, kind))
        ax.errorbar(E_.value, kappa.value, error.value, fmt=marker, color=colour, mfc="none", markersize=5, label=label)
    crossing.on_energies(results["traced"], ax)
    ax.set(xscale="log", yscale="log", xlim=(0.2, 1e12), ylim=(1e23, 1e35))
    ax.set(
        xlabel=r"energy $E$ [GeV]", ylabel=r"$\kappa_\parallel$ along the local field, or per axis [cm$^2$ s$^{-1}$]"
    )
    ax.set_title("3 µG, $l_c$ = 100 kpc, $l_{mm}$ = 100 npc, $\\delta B/B$ = 1/3; thin: Eq. 11", fontsize=10)
    ax.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)


def _theories(E: u.Quantity, ax) -> None:
    """Eq. 5 and the family of Eq. 7 with what bounds them."""
    first = E[(0.278 * u.GeV < E) & (1e6 * u.GeV > E)]
    mirrors = theory.kappa_micromirror(first, check=False)
    ax.plot(first, mirrors.value, "--", color="0.3", linewidth=1.2, label=r"Eq. 5, $\kappa_{mm}$")
    ratio = (theory.gyroradius(E) / theory.ICM.l_c).to_value("")
    below, beyond = E[ratio < 1], ratio > 0.7
    for delta, style in ((1 / 3, "-"), (1 / 2, "--")):
        label = rf"Eqs. 7, 15, $\delta$ = {'1/3' if delta < 0.4 else '1/2'}"
        ax.plot(below, theory.kappa_resonant(below, delta=delta).value, style, color=plot.COLOURS[0], label=label)
    free = (2 / 3 * ratio[beyond] ** 2 * theory.ICM.l_c * constants.c).to_value(CM2S)
    ax.plot(E[beyond], free, ":", color=plot.COLOURS[0], label=r"$(2/3)\,c\,r_g^2/l_c$, per axis")
    said = {"fontsize": 7, "color": "0.3", "verticalalignment": "center", "backgroundcolor": "white", "zorder": 4}
    for delta, label, at in ((1.0, r"Bohm, $\delta$ = 1", 1e5), (0.0, r"energy-independent, $\delta$ = 0", 1.5)):
        ax.plot(below, theory.kappa_resonant(below, delta=delta).value, "-.", color="0.6", linewidth=0.8)
        ax.annotate(label, (at, float(theory.kappa_resonant(at * u.GeV, delta=delta).value)), **said)
    for kappa, label, at, style in (
        (theory.kappa_streaming(), "streaming, Eq. 18", 1e7, ":"),
        (theory.kappa_field_line(), "$c\\,l_A$", 0.4, "--"),
    ):
        ax.axhline(kappa.to_value(CM2S), color="0.6", linewidth=0.8, linestyle=style)
        ax.annotate(label, (at, kappa.to_value(CM2S)), **said)


def _transition(results: Mapping[str, xr.Dataset], ax) -> None:
    waves = plateaus(results, "waves")
    x = np.geomspace(1e-3, 0.2, 100)
    cascade_law = np.exp(np.interp(np.log(x), np.log(waves["gyroradius"]), np.log(waves["kappa"])))
    ax.errorbar(waves["gyroradius"], waves["kappa"], waves["kappa_error"], fmt="s", color=plot.COLOURS[0],
                label=r"plane waves, $f_{mm}$ = 0")  # fmt: skip
    for fraction, colour in zip(MIXED, (plot.COLOURS[2], plot.COLOURS[5]), strict=True):
        mirrors = x**2 * SEPARATION / theory.ICM.dB_over_B**2 / fraction
        ax.plot(x, 1 / (1 / mirrors + 1 / cascade_law), "-", color=colour, linewidth=1)
        ax.plot(x, 1 / (3 / mirrors + 1 / cascade_law), ":", color=colour, linewidth=1)
        if any(n.startswith(f"mixed{fraction:g}_") for n in results):
            kappa = plateaus(results, f"mixed{fraction:g}")
            ax.errorbar(kappa["gyroradius"], kappa["kappa"], kappa["kappa_error"], fmt="o", color=colour,
                        label=rf"with micromirrors, $f_{{mm}}$ = {fraction:g}")  # fmt: skip
    ax.plot([], [], "-", color="0.4", linewidth=1, label=r"if 1/$\kappa$ added")
    ax.plot([], [], ":", color="0.4", linewidth=1, label=r"the same, $\kappa_{mm}/3$ on tangled lines")
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(1e-3, 0.2),
        ylim=(1e-3, 1),
        xlabel="$r_g / l_c$",
        ylabel=r"$\kappa / (c\, l_c)$",
    )
    ax.set_title(rf"every orbit traced, $l_{{mm}}$ = $l_c$ / {SEPARATION:g}", fontsize=10)
    ax.legend(fontsize=7.5, loc="lower right")

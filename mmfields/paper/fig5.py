"""Figure 5: the effective diffusion coefficient of a medium with patches of micromirrors, against their fraction.

The medium of Sec. 3.10: orbits that gyrate in macroscopic turbulence and scatter where |B| exceeds a threshold.  Beside
them what Eq. 11 is derived for and what it is not: the exact one-dimensional Monte Carlo, and straight rays without
gyration, which the bounds of Hashin and Shtrikman are for.  And what estimators make of short trajectories.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from astropy import units as u

from mmfields import estimators, particles, plot, scattering, theory, tracing, transport, turbulence
from mmfields.paper.scaling import CM2S

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# κ_res / κ_mm of 300 GeV by Eqs. 15 and 5.
CONTRAST = float(theory.kappa_resonant(300 * u.GeV, delta=1 / 3) / theory.kappa_micromirror(300 * u.GeV))
# Gyroradius in l_c, and κ∥ of waves alone there in c l_c; 300 GeV are 1e-9 l_c, too small to be traced over 100 l_c.
GYRORADIUS, ALONG = 1e-3, 0.153
LENGTHS = (10.0, 100.0)  # of paths, in l_c
SHARES = (0.0, 0.1, 0.3, 0.6, 0.8, 1.0)
FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
PERIODS = (0.1, 1.0, 3.0)  # of the layers, in mean free paths outside
OUTSIDE = {"blobs": 4.0, "mixed": 1500.0}  # 1/ν outside, in cells: patches are some eight
RAYS = (0.1, 0.3, 0.6)
STEPS, UNIT = 100, 4.0  # of short trajectories, and their κ_mm in units of the step


def harmonic(f: np.ndarray, contrast: float = CONTRAST) -> np.ndarray:
    """κ_eff / κ_mm of Eq. 11."""
    return theory.kappa_effective(1 * CM2S, contrast * CM2S, f).value


@cache
def waves(seed: int) -> turbulence.PlaneWaves:
    """One realization of Kolmogorov waves, from ten correlation lengths to the gyroradius over 2π."""
    return turbulence.plane_waves(k_min=2 * np.pi / 10, k_max=2 * np.pi / GYRORADIUS, modes_per_octave=31, seed=seed)


def threshold(field: turbulence.PlaneWaves, f: float) -> float:
    """The |B| that the fraction `f` of the volume exceeds, from 50 000 places."""
    places = np.random.default_rng(8).uniform(0, 100 * field.longest, (3, 50_000))
    return float(np.quantile(np.linalg.norm(field.at(*places), axis=-1), 1 - f))


def magnetised(f: float, seed: int, count: int, lengths: float) -> xr.Dataset:
    """Orbits through waves, scattered where |B| exceeds the level of the fraction, saved ten times an l_c, lazily."""
    field = waves(seed)
    l_c = field.correlation_length()
    strong = scattering.small_angle(kappa=ALONG / CONTRAST * l_c)
    model = scattering.patchy(strong, threshold=threshold(field, f)) if 0 < f < 1 else strong if f else None
    rays = particles.isotropic(count, gyroradius=GYRORADIUS * l_c, seed=100 + seed, field=field)
    return tracing.trace(
        field,
        rays,
        step=0.2 * GYRORADIUS * l_c,
        distance=lengths * l_c,
        save=round(10 * lengths),
        scattering=model,
    ).assign_attrs(l_c=l_c)


def coefficients(f: float, realizations: int, count: int, lengths: tuple[float, ...]) -> xr.Dataset:
    """κ after some path lengths, and without patches κ∥ along the local field, of each realization in c l_c, lazily."""
    each = []
    for seed in range(1, realizations + 1):
        orbits = magnetised(f, seed, count, lengths[-1])
        l_c, saved = orbits.attrs["l_c"], [round(10 * n) - 1 for n in lengths]
        running = transport.running_diffusion(orbits, direction="z")["kappa"].isel(path=saved)
        found = xr.Dataset({"kappa": running.rename(path="length").assign_coords(length=list(lengths)) / l_c})
        if f == 0:  # elsewhere a free path is shorter than the distance between saved points
            found["kappa_par"] = transport.parallel_from_mu(orbits)["kappa_par"] / l_c
        each.append(found.reset_coords(drop=True))
    return xr.concat(each, "realization")


def layers(fractions: tuple[float, ...], count: int, lengths: float) -> xr.Dataset:
    """κ / κ_mm of the exact Monte Carlo over ``period`` and ``f_mm``."""
    values = np.empty((2, len(PERIODS), len(fractions)))
    for i, period in enumerate(PERIODS):
        for j, f in enumerate(fractions):
            length = period * CONTRAST
            options = {"kappa": [1.0, CONTRAST], "lengths": [f * length, (1 - f) * length]}
            # free paths enough, and displacements of three periods
            path = max(lengths * max(length, CONTRAST), 5 * length**2 / float(harmonic(f)))
            run = scattering.one_dimensional(count, **options, distance=path, save=3, seed=1)
            found = estimators.mean_squared_displacement(run, pooled=True)
            values[:, i, j] = float(found["kappa"]), float(found["kappa_error"])
    names = (("kappa", values[0]), ("kappa_error", values[1]))
    return xr.Dataset(
        {n: (("period", "f_mm"), v) for n, v in names}, {"period": list(PERIODS), "f_mm": list(fractions)}
    )


@cache
def bottles(reduced: bool) -> xr.Dataset:
    """A field of magnetic bottles."""
    shape, sizes = ((64, 64, 128), (6.0, 4.0)) if reduced else ((96, 96, 192), (8.0, 6.0))
    return turbulence.micromirrors(
        shape, l_par=sizes[0], l_perp=sizes[1], rms=0.3, kind="bottles", sign="peaks", seed=3
    )


def straight(reduced: bool, f: float, outside: float) -> xr.Dataset:
    """Rays without gyration that scatter where |B| of the bottles exceeds a level, and less elsewhere, lazily."""
    field = bottles(reduced)
    level = float(np.quantile(np.sqrt(field["Bx"] ** 2 + field["By"] ** 2 + field["Bz"] ** 2), 1 - f))
    slow, fast = (scattering.small_angle(nu=n / outside) for n in (1.0, CONTRAST))
    rays = particles.isotropic(128 if reduced else 400, gyroradius=1e9, seed=5, field=field)
    kappa = 2 / 3 * outside
    distance = max(25 * outside, 500.0 / kappa) if reduced else max(100 * outside, 2000.0 / kappa)
    step = min(0.1 * outside / CONTRAST, 0.5)
    model = scattering.patchy(fast, slow, threshold=level)
    found = tracing.trace(field, rays, step=step, distance=distance, save=40, scattering=model)
    return found.assign_attrs(unit=kappa / CONTRAST)


def estimated(fractions: tuple[float, ...], count: int) -> xr.Dataset:
    """Percentiles of κ / κ_mm from single short trajectories, over ``estimator``, ``f_mm``, ``percent``."""
    judges: dict[str, Callable[[xr.Dataset], np.ndarray]] = {
        "maximum likelihood": lambda tr: estimators.maximum_likelihood(tr)["kappa"].values,
        "displacements": lambda tr: estimators.mean_squared_displacement(tr)["kappa"].values,
        "Bayes": lambda tr: estimators.bayes(tr, kappa=(1.0, 100.0))["kappa"].values,
    }
    with suppress(ImportError):  # PyTorch is an extra
        judges["LSTM"] = estimators.LSTMDiffusion.load().predict
    percent = (16, 50, 84)
    values = np.empty((len(judges), len(fractions), 3))
    for j, f in enumerate(fractions):
        kappa = UNIT * float(harmonic(f))
        same = {
            "kappa": (kappa, kappa),
            "filling_fraction": (f, f),
            "contrast": (CONTRAST, CONTRAST),
            "period": (0.5, 2.0),
        }
        test = estimators.two_phase(count, steps=STEPS, **same, seed=50 + j)
        for i, judge in enumerate(judges.values()):
            values[i, j] = np.nanpercentile(judge(test), percent, method="inverted_cdf") / UNIT
    dims = ("estimator", "f_mm", "percent")
    return xr.Dataset(
        {"kappa": (dims, values)},
        {"estimator": np.array(list(judges), object), "f_mm": list(fractions), "percent": list(percent)},
    )


def parts(reduced: bool = False) -> dict[str, Callable[[], xr.Dataset]]:
    """Orbits of each fraction, the Monte Carlo, rays of each medium and fraction, and the estimates."""
    size = (2, 16, (2.0, 10.0)) if reduced else (5, 256, LENGTHS)
    work: dict[str, Callable[[], xr.Dataset]] = {
        f"waves_{f:g}": partial(coefficients, f, *size) for f in ((0.0, 0.3, 1.0) if reduced else SHARES)
    }
    fractions = (0.1, 0.3) if reduced else FRACTIONS
    work["layers"] = partial(layers, fractions, *((1000, 50.0) if reduced else (4000, 100.0)))
    for medium, outside in OUTSIDE.items():
        for f in (0.3,) if reduced else RAYS:
            work[f"{medium}_{f:g}"] = partial(straight, reduced, f, outside)
    # those whose κ lies within what the network has learnt from
    work["estimates"] = partial(estimated, fractions if reduced else FRACTIONS[1:], 100 if reduced else 400)
    return work


def patched(results: Mapping[str, xr.Dataset]) -> xr.DataArray:
    """κ of the orbits over ``f_mm``, ``realization`` and ``length``."""
    names = [n for n in results if n.startswith("waves_")]
    shares = xr.DataArray([float(n.split("_")[1]) for n in names], dims="f_mm", name="f_mm")
    return xr.concat([results[n]["kappa"] for n in names], shares)


def against_ends(results: Mapping[str, xr.Dataset]) -> xr.DataArray:
    """κ of each realization over Eq. 11 between the means of f = 0 and f = 1."""
    kappa = patched(results)
    low, high = (kappa.sel(f_mm=f).mean("realization") for f in (1.0, 0.0))
    return kappa * (kappa["f_mm"] / low + (1 - kappa["f_mm"]) / high)


def measured(results: Mapping[str, xr.Dataset], medium: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fractions, κ / κ_mm and errors of the rays through one medium."""
    rows = []
    for name in (n for n in results if n.startswith(f"{medium}_")):
        found, unit = transport.diffusion(results[name], direction="z").compute(), results[name].attrs["unit"]
        rows.append((float(name.split("_")[1]), float(found["kappa"]) / unit, float(found["kappa_error"]) / unit))
    return tuple(np.array(rows).T)


def numbers(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """How the orbits, the layers and the rays compare with Eq. 11, and the rays with the bounds."""
    found = {"contrast": CONTRAST} | _of_orbits(results)
    exact = results["layers"]
    law = harmonic(exact["f_mm"].values)
    found["layers_off_eq11"] = float(np.abs(exact["kappa"] / law - 1).max())
    found["layers_off_eq11_in_errors"] = float((np.abs(exact["kappa"] - law) / exact["kappa_error"]).max())
    for medium in OUTSIDE:
        f, kappa, error = measured(results, medium)
        for share, ratio, off in zip(f, kappa / harmonic(f), error / harmonic(f), strict=True):
            found |= {f"{medium}_over_eq11_{share:g}": float(ratio), f"{medium}_over_eq11_{share:g}_error": float(off)}
        low, high = (b.value for b in theory.hashin_shtrikman(1 * CM2S, CONTRAST * CM2S, f))
        if medium == "blobs":
            found["blobs_out_of_bounds"] = float(np.maximum((low - kappa) / error, (kappa - high) / error).max())
    medians = results["estimates"]["kappa"].sel(percent=50)
    for name in medians["estimator"].values:
        for f, value in zip(medians["f_mm"].values, medians.sel(estimator=name).values, strict=True):
            found[f"{name}_over_eq11_{f:g}"] = float(value / harmonic(f))
    return found


def _of_orbits(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """κ over Eq. 11 between its own ends, with the error of the mean over realizations."""
    kappa, ratio = patched(results), against_ends(results)
    along = results["waves_0"]["kappa_par"]
    root = kappa.sizes["realization"] ** 0.5
    found = {"kappa_par_0": float(along.mean()), "kappa_par_0_error": float(along.std(ddof=1)) / root}
    found["contrast_along"] = found["kappa_par_0"] / ALONG * CONTRAST
    shares = kappa["f_mm"].values
    between = shares[(shares > 0) & (shares < 1)]
    for length in kappa["length"].values:
        for f in shares:
            one, name = ratio.sel(f_mm=f, length=length), f"{length:g}_{f:g}"
            found[f"kappa_{name}"] = float(kappa.sel(f_mm=f, length=length).mean())
            found |= {f"over_eq11_{name}": float(one.mean()), f"over_eq11_{name}_error": float(one.std(ddof=1)) / root}
        ends = [found[f"kappa_{length:g}_{f}"] * CM2S for f in (1, 0)]
        found[f"contrast_{length:g}"] = float(ends[1] / ends[0])
        low = theory.hashin_shtrikman(*ends, between)[0] / theory.kappa_effective(*ends, between)
        found |= {f"bound_over_eq11_{length:g}_{f:g}": float(b) for f, b in zip(between, low, strict=True)}
    return found


def draw(results: Mapping[str, xr.Dataset]) -> "Figure":
    """Orbits on the left, layers and rays in the middle, estimators on the right."""
    from matplotlib import pyplot as plt

    drawn, axes = plt.subplots(1, 3, figsize=(16, 4.9), layout="constrained")
    fine = np.linspace(0.0, 1.0, 400)
    _orbits(results, axes[0], fine)
    for ax in axes[1:]:
        ax.plot(fine, harmonic(fine), "-.", color="0.2", label="Eq. 11")
        ax.set(xlabel=r"filling fraction $f_{mm}$", yscale="log", ylim=(0.5, 2 * CONTRAST))
        ax.set_ylabel(r"$\kappa_{eff} / \kappa_{mm}$")
    _media(results, axes[1], fine)
    _estimators(results["estimates"], axes[2])
    return drawn


def _orbits(results: Mapping[str, xr.Dataset], ax, fine: np.ndarray) -> None:
    kappa = patched(results)
    for length, marker, colour in zip(kappa["length"].values, "Ds", plot.COLOURS[1:3], strict=True):
        one = kappa.sel(length=length)
        mean = one.mean("realization")
        low, high = float(mean.sel(f_mm=1.0)) * CM2S, float(mean.sel(f_mm=0.0)) * CM2S
        label = rf"orbits after {length:g} $l_c$, $\kappa(f=0)/\kappa(f=1)$ = {float(high / low):.0f}"
        place = mean["f_mm"] + (0.006 if marker == "s" else -0.006)
        ax.errorbar(place, mean, one.std("realization", ddof=1), fmt=marker, color=colour, capsize=2, label=label)
        ax.plot(fine, theory.kappa_effective(low, high, fine).value, "-.", color=colour, linewidth=1)
        ax.plot(fine, theory.hashin_shtrikman(low, high, fine)[0].value, ":", color=colour, linewidth=1)
    ax.plot([], [], "-.", color="0.4", linewidth=1, label="Eq. 11 between the orbits' own ends")
    ax.plot([], [], ":", color="0.4", linewidth=1, label="lower bound of blobs, for unmagnetised rays")
    ax.set(xlabel=r"filling fraction $f_{mm}$", yscale="log")
    ax.set_ylabel(r"$\langle\Delta r^2\rangle / 6 s$  [$c\,l_c$]")
    ax.set_title(rf"gyrating, patches where $|B| \geq B_>$; bars: SD over {kappa.sizes['realization']} realizations",
                 fontsize=10)  # fmt: skip
    ax.legend(fontsize=8)


def _media(results: Mapping[str, xr.Dataset], ax, fine: np.ndarray) -> None:
    low, high = theory.hashin_shtrikman(1 * CM2S, CONTRAST * CM2S, fine)
    ax.fill_between(fine, low.value, high.value, color=plot.COLOURS[4], alpha=0.25, label="Hashin-Shtrikman, blobs")
    for period, marker in zip(PERIODS, "<^>", strict=True):
        one = results["layers"].sel(period=period)
        ax.errorbar(one["f_mm"], one["kappa"], one["kappa_error"], fmt=marker, color=plot.COLOURS[0], markersize=5,
                    label=rf"1-D, period {period:g} $\lambda_{{res}}$", fillstyle="none")  # fmt: skip
    for medium, marker, colour in (("blobs", "s", plot.COLOURS[3]), ("mixed", "o", plot.COLOURS[5])):
        label = f"rays, patches {'of many' if medium == 'blobs' else 'below one'} $\\lambda_{{mm}}$"
        ax.errorbar(*measured(results, medium), fmt=marker, color=colour, capsize=2, label=label)
    ax.set_title("one dimension, and three without gyration", fontsize=10)
    ax.legend(fontsize=8)


def _estimators(found: xr.Dataset, ax) -> None:
    for i, name in enumerate(found["estimator"].values):
        # a trajectory without a reversal has no likelihood estimate but infinity
        top = 1.8 * CONTRAST  # arrows point on
        low, middle, high = found["kappa"].sel(estimator=name).transpose("percent", "f_mm").clip(max=top).values
        place = found["f_mm"].values + 0.008 * (i - 1.5)
        bars = [middle - low, high - middle]
        ax.errorbar(place, middle, bars, fmt="osDv"[i], capsize=2, color=plot.COLOURS[i], label=name)
        ax.plot(place[high == top], high[high == top], "^", color=plot.COLOURS[i])
    ax.set_title(f"single trajectories of {STEPS} steps in 1-D, median and 16 to 84 %", fontsize=10)
    ax.legend(fontsize=8)

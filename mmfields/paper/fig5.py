"""Figure 5: the effective diffusion coefficient of a medium with patches of micromirrors, against their fraction.

Eq. 11 beside the exact one-dimensional Monte Carlo, orbits through threshold patches in three dimensions, what
estimators make of short trajectories, and the bounds of Hashin and Shtrikman, which the paper does not show.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mmfields import estimators, particles, plot, scattering, theory, tracing, transport, turbulence
from mmfields.paper.scaling import CM2S

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTRAST = 20.0  # κ_res / κ_mm
FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
PERIODS = (0.1, 1.0, 10.0)  # of the layers, in mean free paths outside
OUTSIDE = {"blobs": 1.0, "mixed": 300.0}  # 1/ν outside, in cells: patches are some eight
STEPS, UNIT = 100, 4.0  # of short trajectories, and their κ_mm in units of the step


def harmonic(f: np.ndarray) -> np.ndarray:
    """κ_eff / κ_mm of Eq. 11."""
    return theory.kappa_effective(1 * CM2S, CONTRAST * CM2S, f).value


def layers(fractions: tuple[float, ...], count: int, lengths: float) -> xr.Dataset:
    """κ / κ_mm of the exact Monte Carlo over ``period`` and ``f_mm``."""
    values = np.empty((2, len(PERIODS), len(fractions)))
    for i, period in enumerate(PERIODS):
        for j, f in enumerate(fractions):
            length = period * CONTRAST
            options = {"kappa": [1.0, CONTRAST], "lengths": [f * length, (1 - f) * length]}
            path = lengths * max(length, CONTRAST)
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


def orbits(reduced: bool, f: float, outside: float) -> xr.Dataset:
    """Straight orbits that scatter where |B| exceeds the level of the wanted fraction, and less elsewhere, lazily."""
    field = bottles(reduced)
    level = float(np.quantile(np.sqrt(field["Bx"] ** 2 + field["By"] ** 2 + field["Bz"] ** 2), 1 - f))
    slow, fast = (scattering.small_angle(nu=n / outside) for n in (1.0, CONTRAST))
    rays = particles.isotropic(192 if reduced else 400, gyroradius=1e9, seed=5, field=field)
    kappa = 2 / 3 * outside
    distance = max(40 * outside, 500.0 / kappa) if reduced else max(100 * outside, 2000.0 / kappa)
    step = min(0.1 * outside / CONTRAST, 0.5)
    model = scattering.patchy(fast, slow, threshold=level)
    found = tracing.trace(field, rays, step=step, distance=distance, save=40, scattering=model)
    return found.assign_attrs(unit=kappa / CONTRAST)


def estimated(fractions: tuple[float, ...], train: int) -> xr.Dataset:
    """Quartiles of κ / κ_mm from single short trajectories, over ``estimator``, ``f_mm``, ``percent``."""
    judges: dict[str, Callable[[xr.Dataset], np.ndarray]] = {
        "maximum likelihood": lambda tr: estimators.maximum_likelihood(tr)["kappa"].values,
        "displacements": lambda tr: estimators.mean_squared_displacement(tr)["kappa"].values,
    }
    try:
        learnt = estimators.LSTMDiffusion().fit(estimators.two_phase(train, steps=STEPS, seed=11), seed=0)
        judges["LSTM"] = lambda tr: learnt.predict(tr).values
    except ImportError:  # PyTorch is an extra
        pass
    percent = (16, 50, 84)
    values = np.empty((len(judges), len(fractions), 3))
    for j, f in enumerate(fractions):
        kappa = UNIT * float(harmonic(f))
        same = {"kappa": (kappa, kappa), "f_mm": (f, f), "contrast": (CONTRAST, CONTRAST), "period": (0.5, 2.0)}
        test = estimators.two_phase(400, steps=STEPS, **same, seed=50 + j)
        for i, judge in enumerate(judges.values()):
            values[i, j] = np.nanpercentile(judge(test), percent) / UNIT
    dims = ("estimator", "f_mm", "percent")
    return xr.Dataset(
        {"kappa": (dims, values)},
        {"estimator": np.array(list(judges), object), "f_mm": list(fractions), "percent": list(percent)},
    )


def parts(reduced: bool = False) -> dict[str, Callable[[], xr.Dataset]]:
    """The Monte Carlo, orbits of each medium and fraction, and the estimates."""
    fractions = (0.1, 0.3) if reduced else FRACTIONS
    work: dict[str, Callable[[], xr.Dataset]] = {
        "layers": partial(layers, fractions, *((4000, 200.0) if reduced else (20000, 300.0)))
    }
    for medium, outside in OUTSIDE.items():
        for f in fractions[-1:] if reduced else fractions:
            work[f"{medium}_{f:g}"] = partial(orbits, reduced, f, outside)
    work["estimates"] = partial(estimated, fractions, 400 if reduced else 1600)
    return work


def measured(results: Mapping[str, xr.Dataset], medium: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fractions, κ / κ_mm and errors of the orbits through one medium."""
    rows = []
    for name in (n for n in results if n.startswith(f"{medium}_")):
        found, unit = transport.diffusion(results[name], direction="z").compute(), results[name].attrs["unit"]
        rows.append((float(name.split("_")[1]), float(found["kappa"]) / unit, float(found["kappa_error"]) / unit))
    return tuple(np.array(rows).T)


def numbers(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """Deviations from Eq. 11, in errors and relative, and from the bounds."""
    exact = results["layers"]
    law = harmonic(exact["f_mm"].values)
    found = {"layers_off_eq11": float(np.abs(exact["kappa"] / law - 1).max())}
    found["layers_error"] = float((exact["kappa_error"] / exact["kappa"]).max())
    for medium in OUTSIDE:
        f, kappa, error = measured(results, medium)
        ratio = kappa / harmonic(f)
        found |= {f"{medium}_over_eq11_{a:g}": float(b) for a, b in zip(f, ratio, strict=True)}
        found[f"{medium}_error"] = float((error / kappa).max())
        if medium == "blobs":
            low, high = (b.value for b in theory.hashin_shtrikman(1 * CM2S, CONTRAST * CM2S, f))
            found["blobs_out_of_bounds"] = float(np.maximum((low - kappa) / error, (kappa - high) / error).max())
    return found


def draw(results: Mapping[str, xr.Dataset]) -> "Figure":
    """Media on the left, estimators on the right."""
    from matplotlib import pyplot as plt

    drawn, axes = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained", sharey=True)
    fine = np.linspace(0.001, 0.999, 300)
    for ax in axes:
        ax.plot(fine, harmonic(fine), "-", color="0.2", label="Eq. 11")
        ax.set(xlabel=r"filling fraction $f_{mm}$", yscale="log", ylim=(0.5, 40))
    _media(results, axes[0], fine)
    _estimators(results["estimates"], axes[1])
    return drawn


def _media(results: Mapping[str, xr.Dataset], ax, fine: np.ndarray) -> None:
    low, high = theory.hashin_shtrikman(1 * CM2S, CONTRAST * CM2S, fine)
    ax.fill_between(fine, low.value, high.value, color=plot.COLOURS[4], alpha=0.25, label="Hashin-Shtrikman, blobs")
    for period, marker in zip(PERIODS, "<^>", strict=True):
        one = results["layers"].sel(period=period)
        ax.errorbar(one["f_mm"], one["kappa"], one["kappa_error"], fmt=marker, color=plot.COLOURS[0], markersize=5,
                    label=rf"1-D, period {period:g} $\lambda$", fillstyle="none")  # fmt: skip
    for medium, marker, colour in (("blobs", "s", plot.COLOURS[1]), ("mixed", "o", plot.COLOURS[2])):
        label = rf"3-D, 1/$\nu_{{res}}$ = {OUTSIDE[medium]:g} cells ({medium})"
        ax.errorbar(*measured(results, medium), fmt=marker, color=colour, capsize=2, label=label)
    ax.set(ylabel=r"$\kappa_{eff} / \kappa_{mm}$", title="media")
    ax.legend(fontsize=8)


def _estimators(found: xr.Dataset, ax) -> None:
    for i, name in enumerate(found["estimator"].values):
        low, middle, high = found["kappa"].sel(estimator=name).transpose("percent", "f_mm").values
        place = found["f_mm"].values + 0.008 * (i - 1)
        ax.errorbar(
            place, middle, [middle - low, high - middle], fmt="osv"[i], capsize=2, color=plot.COLOURS[i], label=name
        )
    ax.set(title=f"single trajectories of {STEPS} steps, median and 16 to 84 %")
    ax.legend(fontsize=8)

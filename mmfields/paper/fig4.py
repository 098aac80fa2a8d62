"""Figure 4: orbits through patches of micromirrors, which are where |B| of macroscopic turbulence exceeds a threshold.

The medium of Sec. 3.10, at the contrast of 300 GeV and a gyroradius large enough to be seen.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mmfields import particles, plot, scattering, tracing, turbulence
from mmfields.estimators.classical import deflections, steps_of
from mmfields.paper.fig5 import CONTRAST, threshold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILLING = 0.1
# Gyroradius and κ∥ of the waves alone there, and sides of the box and of the zoom, in l_c.
GYRORADIUS, ALONG = 0.02, 0.36
BOX, ZOOM = 3.0, 0.5
STEP = 0.05  # in gyroradii
RATE = 2 / 3 * CONTRAST / ALONG  # ν of Eq. 13 within the patches, per l_c
DRAWN = 6


@cache
def waves() -> turbulence.PlaneWaves:
    """Kolmogorov waves in units of their correlation length, from ten of it to below the gyroradius."""
    limits: dict[str, Any] = {"k_min": 2 * np.pi / 10, "k_max": 2 * np.pi / GYRORADIUS}
    scale = turbulence.plane_waves(**limits, modes_per_octave=31, seed=1).correlation_length()
    return turbulence.plane_waves(**{n: k * scale for n, k in limits.items()}, modes_per_octave=31, seed=1)


def patches(corner: np.ndarray, side: float, cells: int, shortest: float) -> xr.Dataset:
    """|B| of waves down to a wavelength on a grid through a cube, and the level of the filling fraction of these."""
    axes = {"x": 0, "y": 1, "z": 2}
    middle = (np.arange(cells) + 0.5) * side / cells
    long = waves().wavenumbers() < 2 * np.pi / shortest
    smooth = turbulence.PlaneWaves(waves().modes.isel(mode=long))
    ds = smooth.to_dataset({d: corner[i] + middle for d, i in axes.items()}).compute()
    for d in axes:
        ds[d].attrs["units"] = "l_c"
    B = ((ds["Bx"] ** 2 + ds["By"] ** 2 + ds["Bz"] ** 2) ** 0.5).assign_attrs(long_name="|B|")
    return xr.Dataset({"B": B, "level": threshold(smooth, FILLING), "threshold": threshold(waves(), FILLING)})


def traced(count: int, distance: float, every: int, seed: int) -> xr.Dataset:
    """Orbits from places in the box, saved at every so many steps, lazily."""
    places = BOX * np.random.default_rng(seed).random((count, 3))
    start = particles.isotropic(count, gyroradius=GYRORADIUS, seed=seed, field=waves(), positions=places)
    step = STEP * GYRORADIUS
    model = scattering.patchy(scattering.small_angle(nu=RATE), threshold=threshold(waves(), FILLING))
    save = round(distance / step / every)
    return tracing.trace(
        waves(), start, step=step, distance=save * every * step, save=save, scattering=model, local_field=True
    )


def shown(count: int, distance: float) -> xr.Dataset:
    """Those of the orbits that are long both within patches and outside before they leave the box, until they do."""
    orbits = traced(count, distance, 2, 7)[["x", "y", "z", "B"]].compute()
    out = sum((orbits[d] < 0) | (orbits[d] > BOX) for d in ("x", "y", "z")) > 0
    orbits = orbits.where(out.cumsum("path") == 0)
    level = threshold(waves(), FILLING)
    both = np.minimum((orbits["B"] >= level).sum("path"), (orbits["B"] < level).sum("path"))
    return orbits.isel(particle=np.argsort(-both.values, kind="stable")[:DRAWN])


def entered(count: int, distance: float) -> xr.Dataset:
    """|B| in a small cube about a place where an orbit enters a patch that it then stays in or at for long."""
    orbits = shown(count, distance)
    within = (orbits["B"] >= threshold(waves(), FILLING)).astype(float)
    width = round(ZOOM / float(orbits["path"][1]))
    share = within.rolling(path=width, center=True).mean().where(orbits["B"].notnull())
    row, point = divmod(int(abs(share - 0.5).fillna(1.0).values.argmin()), orbits.sizes["path"])
    centre = np.array([float(orbits[d][row, point]) for d in ("x", "y", "z")])
    return patches(centre - ZOOM / 2, ZOOM, 40, ZOOM / 15)


def parts(reduced: bool = False) -> dict[str, Callable[[], xr.Dataset]]:
    """The patches in the box and in the zoom, orbits to be drawn, and others saved at every step."""
    drawn: dict[str, Any] = {"count": 8, "distance": 3.0} if reduced else {"count": 60, "distance": 12.0}
    return {
        "patches": partial(patches, np.zeros(3), BOX, 24 if reduced else 60, BOX / 7.5),
        "orbits": partial(shown, **drawn),
        "zoom": partial(entered, **drawn),
        "steps": partial(traced, 32 if reduced else 128, 1.0 if reduced else 2.0, 1, 9),
    }


def inside(results: Mapping[str, xr.Dataset], part: str) -> xr.DataArray:
    """Whether each point of the orbits is where |B| is at least the threshold."""
    return results[part]["B"] >= results["patches"]["threshold"]


def deflected(results: Mapping[str, xr.Dataset], *, gyration: bool) -> tuple[xr.DataArray, xr.DataArray]:
    """Squared angle of every step, without the gyration if wanted, and whether both its ends are inside; NaN if one."""
    steps = results["steps"]
    ends = [inside(results, "steps").isel(path=s).drop_vars("path") for s in (slice(None, -1), slice(1, None))]
    within = (ends[0] & ends[1]).where(ends[0] == ends[1]).rename(path="interval")
    return deflections(steps, steps_of(steps), gyration), within


def numbers(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """Shares of the path and of the squared deflections inside, and the rates inside and outside."""
    squares, within = deflected(results, gyration=True)
    kept, _ = deflected(results, gyration=False)
    total = {name: float(squares.where(within == value).sum()) for name, value in (("in", 1), ("out", 0))}
    count = {name: int((within == value).sum()) for name, value in (("in", 1), ("out", 0))}
    step = steps_of(results["steps"])
    return {
        "threshold": float(results["patches"]["threshold"]),
        "f_mm_of_the_box": float((results["patches"]["B"] >= results["patches"]["level"]).mean()),
        "path_inside": count["in"] / (count["in"] + count["out"]),
        "deflections_inside": total["in"] / (total["in"] + total["out"]),
        "rate_inside_over_eq13": total["in"] / count["in"] / step / RATE,
        "rate_outside_over_inside": total["out"] / count["out"] / (total["in"] / count["in"]),
        "gyration_outside_over_inside": float(kept.where(within == 0).mean() / kept.where(within == 1).mean()),
        "free_path_inside_over_local_gyroradius": 2 / RATE / GYRORADIUS * float(results["patches"]["threshold"]),
    }


def draw(results: Mapping[str, xr.Dataset]) -> "Figure":
    """Orbits through the patches, one of these at close range, and the deflections against |B|."""
    from matplotlib import pyplot as plt

    drawn = plt.figure(figsize=(17, 5.6), layout="constrained")
    solid = plot.solid_engine()
    boxes = [drawn.add_subplot(1, 3, n, projection="3d" if solid == "matplotlib" else None) for n in (1, 2)]
    level = float(results["patches"]["threshold"])
    for ax, name in zip(boxes, ("patches", "zoom"), strict=True):
        few, surface = _within(results["orbits"], results[name]["B"]), float(results[name]["level"])
        plot.orbits(few, results[name]["B"], ax, level=surface, highlight=few["B"] >= level, engine=solid)
    for ax, longest, title in (
        (boxes[0], BOX / 7.5, rf"orange: $|B| \geq B_>$ = {level:.2f} $B_{{rms}}$, $f_{{mm}}$ = {FILLING:g}"),
        (boxes[1], ZOOM / 15, rf"close to a patch; $r_g$ = {GYRORADIUS:g} $l_c$"),
    ):
        ax.set_title(f"{title}\nsurface: of waves longer than {longest:.2g} $l_c$ alone", fontsize=10)
    _law(results, drawn.add_subplot(1, 3, 3))
    return drawn


def _within(orbits: xr.Dataset, field: xr.DataArray) -> xr.Dataset:
    """Orbits with NaN outside the box of a field."""
    return orbits.where(
        np.logical_and.reduce([(orbits[d] >= field[d].min()) & (orbits[d] <= field[d].max()) for d in ("x", "y", "z")])
    )


def _law(results: Mapping[str, xr.Dataset], ax) -> None:
    B = results["steps"]["B"].transpose("particle", "path").values
    middle = 0.5 * (B[:, 1:] + B[:, :-1])
    edges = np.quantile(middle, np.linspace(0, 1, 31))
    step = steps_of(results["steps"])
    for gyration, style, label in ((True, "-", "gyration taken out"), (False, ":", "as they are")):
        squares = deflected(results, gyration=gyration)[0].transpose("particle", "interval").values
        weight = np.histogram(middle, edges, weights=squares)[0] / np.histogram(middle, edges)[0] / step
        ax.stairs(weight, edges, color=plot.COLOURS[0], linewidth=1.5, linestyle=style, label=label)
    ax.axvline(float(results["patches"]["threshold"]), color="0.5", linestyle="-.", label="threshold")
    ax.axhline(RATE, color=plot.COLOURS[1], linestyle="--", linewidth=1, label=rf"$\nu_{{mm}}$ = {RATE:.0f} $c/l_c$")
    ax.set(
        yscale="log",
        xlabel=r"$|B|$ on the way [$B_{rms}$]",
        ylabel=r"$\langle\theta^2\rangle$ per path [rad$^2$ / $l_c$]",
    )
    share = 100 * numbers(results)["path_inside"]
    ax.set_title(f"particles scatter only at $|B| \\geq B_>$, on {share:.0f} % of the path", fontsize=10)
    ax.legend(fontsize=8)

"""Figure 4: orbits through patches of micromirrors, which are where |B| exceeds a threshold.

Cosmic rays of gyroradii far above the box scatter a hundred times more often within the patches of the saturated
snapshot (Eq. 13) than between them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mmfields import anisotropy, particles, plot, samples, scattering, tracing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILLING, CONTRAST = 0.1, 100.0
# Mean free path 2/nu within the patches, in ion inertial lengths: some of their size.
FREE_PATH, STEP = 4.0, 0.25
DRAWN = 5


def strength() -> xr.DataArray:
    """|B| of the saturated snapshot."""
    ds = samples.load("micromirrors").isel(time=-1, drop=True).compute()
    return ((ds["Bx"] ** 2 + ds["By"] ** 2 + ds["Bz"] ** 2) ** 0.5).assign_attrs(ds["Bx"].attrs, long_name="|B|")


def patches() -> xr.Dataset:
    """|B|, the threshold that the wanted fraction of the box exceeds, and the fraction found."""
    ds = samples.load("micromirrors").isel(time=-1, drop=True)
    found = anisotropy.patches(ds, "field", filling=FILLING).compute()
    return xr.Dataset({"B": strength(), "threshold": found["threshold"], "f_mm": found["filling_fraction"]}).drop_attrs(
        deep=False
    )


def traced(count: int, distance: float) -> xr.Dataset:
    """Orbits saved at every step, lazily."""
    ds = samples.load("micromirrors").isel(time=-1)
    inside = scattering.small_angle(nu=2 / FREE_PATH)
    outside = scattering.small_angle(nu=2 / FREE_PATH / CONTRAST)
    model = scattering.patchy(inside, outside, threshold=float(patches()["threshold"]))
    rays = particles.isotropic(count, gyroradius=1e9, seed=7, field=ds)
    return tracing.trace(ds, rays, step=STEP, distance=distance, save=round(distance / STEP), scattering=model)


def parts(reduced: bool = False) -> dict[str, Callable[[], xr.Dataset]]:
    """The patches, and orbits through them."""
    size = {"count": 200, "distance": 200.0} if reduced else {"count": 1000, "distance": 1000.0}
    return {"patches": patches, "orbits": partial(traced, **size)}


def inside(results: Mapping[str, xr.Dataset]) -> xr.DataArray:
    """Whether each point is where |B| exceeds the threshold."""
    return results["orbits"]["B"] >= results["patches"]["threshold"]


def deflections(results: Mapping[str, xr.Dataset]) -> tuple[xr.DataArray, xr.DataArray]:
    """Squared angle of every step, and whether both its ends are inside, with NaN where only one is."""
    orbits = results["orbits"]
    late, early = slice(1, None), slice(None, -1)
    turn = sum((orbits[v].isel(path=late).drop_vars("path") - orbits[v].isel(path=early).drop_vars("path")) ** 2
               for v in ("vx", "vy", "vz"))  # fmt: skip
    ends = [inside(results).isel(path=s).drop_vars("path") for s in (early, late)]
    within = (ends[0] & ends[1]).where(ends[0] == ends[1])
    return (2 * np.arcsin((0.5 * turn**0.5).clip(max=1.0))) ** 2, within


def numbers(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """Shares of the volume, of the path and of the squared deflections inside, and the ratio of the rates."""
    squares, within = deflections(results)
    total = {name: float(squares.where(within == value).sum()) for name, value in (("in", 1), ("out", 0))}
    steps = {name: int((within == value).sum()) for name, value in (("in", 1), ("out", 0))}
    return {
        "f_mm": float(results["patches"]["f_mm"]),
        "path_inside": steps["in"] / (steps["in"] + steps["out"]),
        "deflections_inside": total["in"] / (total["in"] + total["out"]),
        "rate_ratio": (total["in"] / steps["in"]) / (total["out"] / steps["out"]),
        "rate_inside": total["in"] / steps["in"] / STEP,
    }


def draw(results: Mapping[str, xr.Dataset]) -> "Figure":
    """A few orbits through the surface on the left, deflections of all against |B| on the right."""
    from matplotlib import pyplot as plt

    found, patch = numbers(results), results["patches"]
    drawn = plt.figure(figsize=(12.5, 5.6), layout="constrained")
    solid = plot.solid_engine()
    box, law = (
        drawn.add_subplot(1, 2, 1, projection="3d" if solid == "matplotlib" else None),
        drawn.add_subplot(1, 2, 2),
    )
    rows = _staying(results)
    few = results["orbits"].isel(particle=rows)
    length = int(np.searchsorted(few["path"].values, 150.0))
    few = few.isel(path=slice(0, length))
    flags = inside(results).isel(particle=rows, path=slice(0, length))
    plot.orbits(few, patch["B"], box, level=float(patch["threshold"]), inside=flags, engine=solid)
    box.set_title(rf"$|B| \geq$ {float(patch['threshold']):.3f} $B_0$, $f_{{mm}}$ = {found['f_mm']:.2f}; "
                  "orange: within", fontsize=10)  # fmt: skip
    _law(results, found, law)
    return drawn


def _staying(results: Mapping[str, xr.Dataset]) -> list[int]:
    """Orbits that leave the box the latest, for the drawing."""
    orbits, field = results["orbits"], results["patches"]["B"]
    out = sum((orbits[d] < field[d].min()) | (orbits[d] > field[d].max()) for d in ("x", "y", "z")) > 0
    stays = out.argmax("path").where(out.any("path"), orbits.sizes["path"])
    return [int(i) for i in np.argsort(-stays.values, kind="stable")[:DRAWN]]


def _law(results: Mapping[str, xr.Dataset], found: Mapping[str, float], ax) -> None:
    squares, _ = deflections(results)
    middle = 0.5 * (
        results["orbits"]["B"].isel(path=slice(1, None)).values
        + results["orbits"]["B"].isel(path=slice(None, -1)).values
    )
    edges = np.quantile(middle, np.linspace(0, 1, 41))
    weight = np.histogram(middle, edges, weights=squares.values)[0] / np.histogram(middle, edges)[0] / STEP
    ax.stairs(weight, edges, color=plot.COLOURS[0], linewidth=1.5, label="orbits")
    ax.axvline(float(results["patches"]["threshold"]), color="0.5", linestyle=":", label="threshold")
    for value, style in ((2 / FREE_PATH, "--"), (2 / FREE_PATH / CONTRAST, "-.")):
        ax.axhline(value, color=plot.COLOURS[1], linestyle=style, linewidth=1, label=rf"$\nu$ = {value:g} $c/d_i$")
    ax.set(
        yscale="log", xlabel=r"$|B|$ on the way [$B_0$]", ylabel=r"$\langle\theta^2\rangle$ per path [rad$^2$ / $d_i$]"
    )
    ax.set_title(f"{100 * found['deflections_inside']:.0f} % of the squared deflections on "
                 f"{100 * found['path_inside']:.0f} % of the path", fontsize=10)  # fmt: skip
    ax.legend(fontsize=8)

"""Figure 1: the fluctuation along the mean field in two snapshots of the mirror instability."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mmfields import anisotropy, plot, samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def parts(reduced: bool = False) -> dict[str, Callable[[], xr.Dataset]]:
    """δB∥ of both snapshots."""
    return {"fluctuation": lambda: anisotropy.fluctuation(samples.load("micromirrors")).to_dataset(name="dB_par")}


def numbers(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """Rms and skewness of δB∥ at each time."""
    field = results["fluctuation"]["dB_par"].astype(float)
    rms = (field**2).mean(("x", "y", "z")) ** 0.5
    skewness = (field**3).mean(("x", "y", "z")) / rms**3
    found: dict[Any, Any] = {}
    for name, i in (("early", 0), ("late", -1)):
        found |= {f"rms_{name}": float(rms[i]), f"skewness_{name}": float(skewness[i])}
        found[f"time_{name}"] = float(field["time"][i])
    return found


def draw(results: Mapping[str, xr.Dataset]) -> "Figure":
    """Both boxes on one colour scale, their rms in the titles."""
    from matplotlib import pyplot as plt

    field, found = results["fluctuation"]["dB_par"], numbers(results)
    solid = plot.solid_engine()
    drawn, axes = plt.subplots(
        1,
        2,
        figsize=(12.5, 5.4),
        layout="constrained",
        subplot_kw={"projection": "3d"} if solid == "matplotlib" else {},
    )
    limit = float(np.abs(field).max())
    for ax, name, i in zip(axes, ("early", "late"), (0, -1), strict=True):
        plot.cube(field.isel(time=i, drop=True), ax, engine=solid, limit=limit)
        ax.set_title(
            rf"$t\,\Omega_i$ = {found[f'time_{name}']:.1f}, rms {found[f'rms_{name}']:.4f} $B_0$, $B_0$ along $x$"
        )
    return drawn

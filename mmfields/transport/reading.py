"""What trajectories say of each particle: its own path and speed, until when it counts, and what has turned it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import FIELD_LINES, MEAN_FIELD_FLOOR, SPATIAL, SnapshotError, require_whole, unit_vector, warn

SURVIVORS = "of the particles that were still in the box, a biased sample: mm.transport.escape says how they left"


def as_particles(tr: xr.Dataset) -> xr.Dataset:
    """Field lines as trajectories over ``particle`` that begin at the seeds, those against the field too.

    Trajectories of particles are given back as they are.
    """
    if not isinstance(tr, xr.Dataset) or tr.attrs.get("kind") != FIELD_LINES or "path" not in tr.dims:
        return tr
    path = tr["path"].values
    forward, backward = tr.isel(path=path >= 0), tr.isel(path=path <= 0).isel(path=slice(None, None, -1))
    backward = backward.assign_coords(path=-backward["path"]).drop_attrs()
    halves = [half.drop_attrs() for half in (forward, backward) if half.sizes["path"] > 1]
    if len(halves) == 2 and not np.array_equal(halves[0]["path"], halves[1]["path"]):
        raise SnapshotError("the lines are not saved alike on both sides of their seeds: select one, path >= 0 or <= 0")
    pointwise = [n for n in tr.data_vars if "path" in tr[n].dims]
    joined = xr.concat([half[pointwise] for half in halves], "side", coords="minimal", compat="override")
    dims = ["side", *(d for d in tr["x"].dims if d not in ("path", "time", "pair"))]
    stacked = joined.stack(particle=dims, create_index=False)
    stacked = stacked.assign({n: tr[n] for n in tr.data_vars if set(tr[n].dims) <= {"time"}})
    stacked["path"].attrs = tr["path"].attrs
    return stacked.assign_attrs(tr.attrs)


def check(tr: xr.Dataset, *more: str) -> None:
    """Refuse what are no trajectories of two particles and two points, or lack a variable."""
    needed = [*SPATIAL, *more, "path", *(f"mean_B{d}" for d in SPATIAL), "B_rms"]
    if not isinstance(tr, xr.Dataset) or (missing := [n for n in needed if n not in tr.variables]):
        raise SnapshotError(
            f"trajectories of mm.trace are needed; these lack {missing if isinstance(tr, xr.Dataset) else needed}"
        )
    if "path" in tr.coords and tr["path"].size > 1 and (np.diff(tr["path"].values) <= 0).any():
        raise SnapshotError("path is not ascending: put it in order, trajectories.sortby('path')")
    if tr.sizes.get("path", 0) < 2 or tr.sizes.get("particle", 0) < 2:
        raise SnapshotError(f"at least two saved points and two particles are needed, found {dict(tr.sizes)}")


def walled(tr: xr.Dataset, kind: str) -> bool:
    """Whether attrs state a wall of that kind."""
    return any(tr.attrs.get(f"boundary_{d}") == kind for d in SPATIAL)


def alive(tr: xr.Dataset) -> xr.DataArray | None:
    """Whether a particle counts at a saved point; None where none can leave."""
    if "alive" not in tr and walled(tr, "open"):
        raise SnapshotError("the box is open and the trajectories lack 'alive', which says who has left: keep it")
    return tr.get("alive")


def light(tr: xr.Dataset) -> bool:
    """Whether the path is that of light."""
    return tr.attrs.get("path_kind") == "light" or "own_path" in tr or "momentum" in tr


def speed(tr: xr.Dataset) -> Any:
    """Speed over that by which the path is counted: 1 where it is the particle's own."""
    if not light(tr):
        return 1.0
    if "speed" in tr:
        return tr["speed"]
    mass = tr["own_beta_gamma"] if "own_beta_gamma" in tr else tr.get("beta_gamma")
    if "momentum" not in tr or mass is None:
        raise SnapshotError("the path is light's and the trajectories lack 'speed' and 'own_path': keep them")
    return tr["momentum"] / np.hypot(tr["momentum"], 1 / mass)


def own_path(tr: xr.Dataset) -> xr.DataArray:
    """Path of the particles themselves: over ``path``, and over particles where these differ."""
    if not light(tr):
        return tr["path"]
    if "own_path" in tr:
        return tr["own_path"]
    fast = speed(tr) + xr.zeros_like(tr["x"], float)
    pieces = (fast + fast.shift(path=1)) / 2 * tr["path"].diff("path").reindex(path=tr["path"])
    return pieces.fillna(0.0).cumsum("path").assign_coords(path=tr["path"])


def own_lengths(tr: xr.Dataset) -> xr.DataArray:
    """Own path from the first saved point to every other."""
    own = own_path(tr)
    return own.isel(path=slice(1, None)) - own.isel(path=0, drop=True)


def untouched(tr: xr.Dataset, lag: int = 1) -> xr.DataArray | None:
    """Whether between saved points, `lag` apart, particles neither left nor were reflected; over the later ones.

    None where neither can be.
    """
    there, later = alive(tr), {"path": slice(lag, None)}
    result = None if there is None else there.isel(later).drop_vars("path", errors="ignore")
    if "reflections" not in tr or "reflections_along" not in tr:
        if walled(tr, "reflecting"):
            raise SnapshotError("the box reflects and the trajectories lack 'reflections', which counts them: keep it")
        return result
    count = tr["reflections"].drop_vars("path", errors="ignore")
    same = count.isel(later) == count.isel(path=slice(None, -lag))
    return same if result is None else result & same


def length_of_lag(tr: xr.Dataset, lag: int) -> float:
    """Path between saved points so many apart.

    Raises
    ------
    ArgumentError, SnapshotError
        If there are none, or they are not evenly spaced.
    """
    path, saves = tr["path"].values, tr.sizes["path"]
    if not 1 <= require_whole(lag, "lag", 1) < saves:
        raise SnapshotError(f"lag={lag}: a lag from 1 to {saves - 1} is needed")
    spans = path[lag:] - path[:-lag]
    if np.ptp(spans) > 1e-6 * spans.mean():
        raise SnapshotError("the saved points are not evenly spaced: trace with save=n")
    return float(spans.mean())


def strength(tr: xr.Dataset) -> xr.DataArray:
    """Strength of the mean field, NaN where there is none to speak of."""
    size = sum(tr[f"mean_B{d}"] ** 2 for d in SPATIAL) ** 0.5
    return size.where(size > MEAN_FIELD_FLOOR * tr["B_rms"])


def unit(tr: xr.Dataset, direction: str | Sequence[float] | None) -> dict[str, Any]:
    """Unit vector of a direction, or of the mean field: 0 where there is none to speak of."""
    if direction is not None:
        return dict(zip(SPATIAL, unit_vector(direction).tolist(), strict=True))
    return {d: (tr[f"mean_B{d}"] / strength(tr)).fillna(0.0) for d in SPATIAL}


def along(tr: xr.Dataset, steps: dict[str, xr.DataArray], direction: str | Sequence[float] | None) -> xr.DataArray:
    """Component along a direction, or the mean field."""
    towards = unit(tr, direction)
    return sum(steps[d] * towards[d] for d in SPATIAL)


def left_fraction(tr: xr.Dataset) -> xr.DataArray | None:
    """Share of the particles that have left by the last saved point; None where none can."""
    there = alive(tr)
    if there is None:
        return None
    share = 1 - there.isel(path=-1, drop=True).mean("particle")
    return share.assign_attrs(long_name="share of the particles that had left by the end", units="1")


def warn_of_survivors(share: xr.DataArray | None, what: str) -> None:
    """Warn where particles are known to have left."""
    if share is not None and share.chunks is None and float(share.max()) > 0:
        warn(f"{what} is {SURVIVORS}; {100 * float(share.max()):.3g} % had left by the end")


def drift_frame(v: np.ndarray, b: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Velocities in the frame that drifts with E × B, the velocity of the frame, and its Lorentz factor.

    Parameters
    ----------
    v, b, e : (3, ...) arrays
        Velocity over that of light; B; E over c in the unit of B.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.cross(e, b, axis=0) / (b**2).sum(axis=0)
        gamma = 1 / np.sqrt(1 - (u**2).sum(axis=0))
        return boosted(v, u, gamma), u, gamma


def boosted(v: np.ndarray, u: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Velocities seen from a frame of velocity `u`."""
    common = (u * v).sum(axis=0)
    return (v / gamma - u + gamma / (1 + gamma) * common * u) / (1 - common)

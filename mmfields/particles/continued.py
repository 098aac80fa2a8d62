"""Particles that go on from where trajectories end."""

import numpy as np
import xarray as xr

from mmfields.errors import SnapshotError
from mmfields.provenance import verb
from mmfields.units import (
    CARRIED,
)


@verb
def from_trajectories(trajectories: xr.Dataset, *, at: int = -1) -> xr.Dataset:
    """Particles as they are at a saved point, to trace on from there.

    Traced on with the same field, step and scattering, and with `distance` and `save` counted from the
    original start, they go on exactly as if there had been no break, to the bit.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``; lazy where it is.
    at : int
        Which saved point, the last by default.

    Returns
    -------
    xarray.Dataset
        As :func:`isotropic`, with ``path_start``, and ``steps``, ``alive``, ``left``, ``reflections``, ``momentum``,
        ``own_path``, and what guiding centres are known by, where the run has them.

    Raises
    ------
    SnapshotError
        If these are no trajectories, or there is no such point.
    """
    needed = ["x", "y", "z", "vx", "vy", "vz", "key", "path", "reference_field"]
    if not isinstance(trajectories, xr.Dataset) or any(n not in trajectories.variables for n in needed):
        raise SnapshotError(f"trajectories of mm.trace are needed, which hold {', '.join(needed)}")
    if "path" not in trajectories.dims:
        raise SnapshotError("one point was selected and dim 'path' is gone: keep it, trajectories.isel(path=[-1])")
    saves = trajectories.sizes["path"]
    if not isinstance(at, int | np.integer) or not -saves <= at < saves:
        raise SnapshotError(f"at={at}: {saves} points are saved")
    last = trajectories.isel(path=at)
    more = ("steps", "alive", "left", "reflections", "reflections_along", "momentum", "own_path", "beta_gamma")
    each = ("charge_sign", "own_gyroradius", "own_beta_gamma")
    guided = ("guiding_centre", "parallel_momentum", "magnetic_moment")
    names = [n for n in (*needed[:7], "reference_field", *more, *each, *guided) if n in last]
    out = last[names].reset_coords("path", drop=True)
    out["path_start"] = float(trajectories["path"][at])
    if "left" in out and "alive" in out:
        out["left"] = out["left"].where(~out["alive"])
    kept = (
        "seed",
        "distribution",
        "reference_field_kind",
        "start_time",
        *(() if "charge_sign" in out else ("charge_sign",)),
        *CARRIED,
    )
    return out.assign_attrs({k: v for k, v in trajectories.attrs.items() if k in kept})

"""Plane waves that move: their frequencies, and the velocity of the plasma in them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, require_number, require_values
from mmfields.errors import ArgumentError, SnapshotError

# What modes have beside a wave at rest.
MOVING = ("omega", "ux", "uy", "uz")

Frequency = str | Callable[[np.ndarray, np.ndarray, np.ndarray], Any]


def moving(modes: xr.Dataset, mean_field: Sequence[float], frequency: Frequency, alfven_speed: float | None) -> Any:
    """Modes with their frequencies, and the velocities by which Faraday's law holds.

    The flow of a wave is u = -omega a / (k·B_0), so that k × E = omega a with E = -u × B_0; in Alfvén waves it is
    -+v_A a / B_0.

    Parameters
    ----------
    modes : xarray.Dataset
        As of :class:`PlaneWaves`.
    mean_field : three numbers
    frequency : "alfven" or callable
        v_A |k_par|, waves along k; or omega(kx, ky, kz) [rad per length of light's path].
    alfven_speed : float
        Over that of light.

    Raises
    ------
    ArgumentError, SnapshotError
        If there is no mean field, or waves across it are to move.
    """
    k = np.stack([modes[f"k{d}"].values for d in SPATIAL])
    strength = float(np.linalg.norm(mean_field))
    if strength == 0:
        raise SnapshotError("frequency=... needs a mean field, along which waves move: give mean_field")
    along = np.asarray(mean_field, float) @ k
    if callable(frequency):
        if alfven_speed is not None:
            raise ArgumentError(f"alfven_speed={alfven_speed!r} goes with frequency='alfven': leave it out")
        omega = require_values(frequency(*k), "frequency")
    elif frequency == "alfven":
        if alfven_speed is None:
            raise ArgumentError("frequency='alfven' needs alfven_speed=..., over that of light")
        omega = require_number(alfven_speed, "alfven_speed", 0.0, 1.0) * np.abs(along) / strength
    else:
        raise ArgumentError(f"frequency={frequency!r}: 'alfven' or a function of kx, ky, kz is needed")
    if omega.shape != along.shape:
        raise ArgumentError(f"frequency gives {omega.shape} numbers for {along.size} modes: one for each is needed")
    across = np.abs(along) <= 1e-12 * strength * np.linalg.norm(k, axis=0)
    if (across & (omega != 0)).any():
        raise ArgumentError(
            f"frequency gives {omega[across][0]:g} to a wave across the mean field, which no flow moves: 0 is needed"
        )
    flow = np.where(across, 0.0, -omega / np.where(across, 1.0, along))
    notes = {"units": "rad", "long_name": "frequency over the speed of light"}
    added: dict[str, Any] = {"omega": ("mode", omega, notes)}
    for d in SPATIAL:
        said = {"units": "1", "long_name": f"amplitude of the velocity along {d} over that of light"}
        added[f"u{d}"] = ("mode", flow * modes[f"a{d}"].values, said)
    return modes.assign(added)


def rows_in_time(modes: xr.Dataset, mean_field: Sequence[float]) -> np.ndarray:
    """Flat rows of numbers for the kernel, one wave each; the mean field is one that stands still everywhere."""
    from mmfields.kernels.evolving import WAVE

    rows = np.zeros((modes.sizes["mode"] + 1, WAVE))
    still = {name: modes[name] if name in modes else xr.zeros_like(modes["phase"]) for name in MOVING}
    for i, d in enumerate(SPATIAL):
        rows[:-1, i] = modes[f"k{d}"] / (2 * np.pi)
        rows[:-1, 4 + i], rows[:-1, 8 + i] = modes[f"a{d}"], still[f"u{d}"]
    phase = modes["phase"].values.astype(float)
    rows[:-1, 3] = np.arctan2(np.sin(phase), np.cos(phase)) / (2 * np.pi)
    rows[:-1, 7] = still["omega"] / (2 * np.pi)
    rows[-1, 4:7] = mean_field
    return rows.ravel()

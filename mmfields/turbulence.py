"""Synthetic turbulence: plane waves, evaluated at the particles and gridded only when asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError

WAVE_VARIABLES = ("kx", "ky", "kz", "ax", "ay", "az", "phase")


@dataclass(frozen=True)
class PlaneWaves:
    """A field B(x) = B_0 + sum of a_n cos(k_n·x + phase_n), which ``mm.trace`` takes like a snapshot.

    Parameters
    ----------
    modes : xarray.Dataset
        Over ``mode``: wavevectors ``kx ky kz`` [rad per length unit], amplitudes ``ax ay az`` [field unit],
        ``phase`` [rad]; may be stored, looked into and edited.
    mean_field : (float, float, float)
        B_0.

    Raises
    ------
    SnapshotError
        If a variable is missing or not finite, or there is no mode.
    """

    modes: xr.Dataset
    mean_field: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not isinstance(self.modes, xr.Dataset) or (missing := [n for n in WAVE_VARIABLES if n not in self.modes]):
            found = missing if isinstance(self.modes, xr.Dataset) else type(self.modes).__name__
            raise SnapshotError(f"modes: a Dataset with {', '.join(WAVE_VARIABLES)} is needed; {found} is wrong")
        if any(self.modes[n].dims != ("mode",) for n in WAVE_VARIABLES) or not self.modes.sizes["mode"]:
            raise SnapshotError(f"modes: at least one, along the dim 'mode', is needed; found {dict(self.modes.sizes)}")
        if bad := [n for n in WAVE_VARIABLES if not np.isfinite(self.modes[n].values).all()]:
            raise SnapshotError(f"modes: {bad} is not finite")
        if not self.wavenumbers().any():
            raise SnapshotError("modes: every wavenumber is 0, so that there are no waves")
        if np.shape(self.mean_field) != (3,) or not np.isfinite(self.mean_field).all():
            raise SnapshotError(f"mean_field={self.mean_field!r}: three finite numbers (x, y, z) are needed")

    def _vectors(self, names: Sequence[str]) -> np.ndarray:
        return np.stack([self.modes[n].values.astype(float) for n in names])

    def wavenumbers(self) -> np.ndarray:
        """|k| of every mode [rad per length unit]."""
        return np.linalg.norm(self._vectors(WAVE_VARIABLES[:3]), axis=0)

    @property
    def shortest(self) -> float:
        """Shortest wavelength."""
        return float(2 * np.pi / self.wavenumbers().max())

    def limits(self) -> dict[str, tuple[float, float]]:
        """A cube of the longest wavelength, where particles start that are to be anywhere."""
        waves = self.wavenumbers()
        return dict.fromkeys(SPATIAL, (0.0, float(2 * np.pi / waves[waves > 0].min())))

    def strength(self, kind: str) -> xr.DataArray:
        """Strength of the mean field (``mean``), or of the whole (``rms``) averaged over phases."""
        mean_square = float(np.sum(np.square(self.mean_field)))
        if kind == "mean":
            if mean_square == 0:
                raise SnapshotError("there is no mean field, no reference for a gyroradius: give reference_field='rms'")
            return xr.DataArray(mean_square**0.5)
        return xr.DataArray(float((mean_square + 0.5 * np.sum(self._vectors(WAVE_VARIABLES[3:6]) ** 2)) ** 0.5))

    def packed(self) -> np.ndarray:
        """Numbers as the kernel takes them: k, phase [turns] and amplitude; the mean field is one wave more."""
        k, a = self._vectors(WAVE_VARIABLES[:3]), self._vectors(WAVE_VARIABLES[3:6])
        rows = np.vstack([k / (2 * np.pi), self.modes["phase"].values / (2 * np.pi), a])
        return np.hstack([rows, np.array([0, 0, 0, 0, *self.mean_field], float)[:, None]]).ravel()

    def at(self, x: Any, y: Any, z: Any) -> np.ndarray:
        """Field at positions of one shape.

        Parameters
        ----------
        x, y, z : array_like
            In the length unit.

        Returns
        -------
        (…, 3) float array
        """
        from mmfields.kernels.interpolate import WAVES, Grid, sample

        position = np.stack(np.broadcast_arrays(x, y, z), -1).astype(float)
        grid = Grid(
            self.packed(), (1, 1, self.modes.sizes["mode"] + 1), np.zeros(3), np.ones(3), np.zeros(3, int), WAVES
        )
        out = np.empty((position.size // 3, 3))
        sample(grid, np.ascontiguousarray(position.reshape(-1, 3)), out)
        return out.reshape(position.shape)


def plane_waves(
    modes: int = 1024,
    *,
    k_min: float,
    k_max: float,
    spectrum: float = 5 / 3,
    rms: float = 1.0,
    mean_field: Sequence[float] = (0.0, 0.0, 0.0),
    seed: int,
) -> PlaneWaves:
    """Isotropic turbulence of plane waves (Eq. 12), of a power law between two wavenumbers.

    Modes are log-spaced, their directions, polarizations (across k) and phases random; the amplitudes are
    fixed, so that <B²> over phases is exactly `rms`² beside the mean field.

    Parameters
    ----------
    modes : int
    k_min, k_max : float
        [rad per length unit].
    spectrum : float
        E(k) ∝ k^-spectrum.
    rms : float
        Of the fluctuations, all three components together [field unit].
    mean_field : three numbers
        (x, y, z).
    seed : int

    Returns
    -------
    PlaneWaves

    Raises
    ------
    SnapshotError
        If a number is unusable.
    """
    if not isinstance(modes, int | np.integer) or modes < 2:
        raise SnapshotError(f"modes={modes!r}: at least two are needed")
    if any(isinstance(v, str) for v in (k_min, k_max, spectrum, rms)) or np.shape(mean_field) != (3,):
        raise SnapshotError(
            f"k_min={k_min!r}, k_max={k_max!r}, spectrum={spectrum!r}, rms={rms!r}: numbers are needed, "
            f"and three of them in mean_field={mean_field!r}"
        )
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise SnapshotError(f"seed={seed!r}: a whole number from 0 on is needed")
    if not (np.isfinite(k_max) and 0 < k_min < k_max):
        raise SnapshotError(f"k_min={k_min!r}, k_max={k_max!r}: two ascending, positive wavenumbers are needed")
    if not (np.isfinite(spectrum) and np.isfinite(rms) and rms > 0):
        raise SnapshotError(f"spectrum={spectrum!r}, rms={rms!r}: finite numbers are needed, the latter positive")
    rng = np.random.default_rng(seed)
    k = np.geomspace(k_min, k_max, modes)
    weight = k ** (1 - spectrum)  # of log-spaced modes: E(k) k
    draws = rng.random((4, modes))
    cosine, angle, turn, phase = 2 * draws[0] - 1, *(2 * np.pi * draws[1:])
    sine = np.sqrt(1 - cosine**2)
    along = np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine])
    first = np.stack([cosine * np.cos(angle), cosine * np.sin(angle), -sine])
    second = np.stack([-np.sin(angle), np.cos(angle), 0 * angle])
    across = np.cos(turn) * first + np.sin(turn) * second
    a = across * rms * np.sqrt(2 * weight / weight.sum())
    columns = dict(zip(WAVE_VARIABLES, [*(k * along), *a, phase], strict=True))
    notes = {
        **{f"k{d}": {"long_name": f"wavenumber along {d}", "units": "rad"} for d in SPATIAL},
        **{f"a{d}": {"long_name": f"amplitude along {d}", "units": "1"} for d in SPATIAL},
        "phase": {"long_name": "phase", "units": "rad"},
    }
    ds = xr.Dataset({n: ("mode", values, notes[n]) for n, values in columns.items()})
    return PlaneWaves(
        ds.assign_attrs(seed=int(seed), spectrum=float(spectrum), rms=float(rms)), tuple(map(float, mean_field))
    )

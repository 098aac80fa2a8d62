"""Ensembles of particles, each with a key of its own that no chunking changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from mmfields._types import Field, Number, Numbers, Species, UnitLike
from mmfields.cluster.client import memory_of_this_machine
from mmfields.conventions import (
    SPATIAL,
    box,
    keys_of,
    mean_direction,
    require_direction,
    require_plain,
    require_whole,
)
from mmfields.errors import ArgumentError
from mmfields.particles.kinds import Kind, ensemble
from mmfields.particles.radii import radii_of
from mmfields.provenance import verb

# Memory per particle while an ensemble is made.
BYTES_EACH = 160


@verb
def isotropic(
    n: int,
    *,
    gyroradius: Numbers | None = None,
    energy: Numbers | None = None,
    species: Species | None = None,
    seed: int,
    field: Field,
    reference_field: Number | str = "rms",
    positions: str | Any = "uniform",
    beta_gamma: float | Sequence[float] = np.inf,
    charge_sign: int = 1,
    length_unit: UnitLike | None = None,
    field_unit: UnitLike | None = None,
) -> xr.Dataset:
    """Particles in the box of a field, with isotropic directions.

    Parameters
    ----------
    n : int
        Particles per gyroradius.
    gyroradius : float, sequence of float, or astropy Quantity
        p c / (q B_ref), in the field's length unit where it is a plain number.
    energy : astropy Quantity, optional
        Kinetic energy, one or several, such as ``[1, 10] * u.TeV``, instead of `gyroradius`.  It is kept as the
        coordinate ``energy``.  The reference field is evaluated now where it is ``"rms"`` or ``"mean"``, since
        gyroradii are labels; give a number or a Quantity to compute nothing.
    species : "proton", "electron", or (charge, mass), optional
        With `energy`: proton by default; the charge is in elementary charges, the mass an astropy Quantity.  It sets
        the sign of the charge and p/(m c).
    seed : int
        Everything random follows from it; the first particles of a larger ensemble are those of
        a smaller one.
    field : xarray.Dataset, or PlaneWaves or NestedGrids
        Snapshot whose box is filled; of a field on no grid a cube of their longest wavelength.
    reference_field : float, astropy Quantity, "rms" or "mean"
        B_ref: a number in the field's unit, a Quantity, the rms of the full vector, or the strength of the
        mean field.  The latter two are evaluated with the trace, not now.
    positions : "uniform", "lattice", or (n, 3) array
        At random; on the n first points of the coarsest cubic lattice that has as many; or given (x, y, z).
    beta_gamma : float or sequence of float
        p/(m c) of each gyroradius, where an electric field is to act; infinite for rest masses that do not matter.
    charge_sign : {1, -1}
        Negative particles gyrate the other way.
    length_unit, field_unit : astropy Quantity, unit or str, optional
        What 1 stands for in a normalized field; by default ``attrs["length_unit"]`` and ``attrs["field_unit"]``.

    Returns
    -------
    xarray.Dataset
        ``x y z``, ``vx vy vz`` (unit vector), ``key``, ``charge_sign``, ``own_gyroradius`` and ``own_beta_gamma`` over
        ``gyroradius`` (where several) and ``particle``; ``reference_field`` a scalar; ``beta_gamma``.  Ensembles, as of
        electrons and protons, are joined by ``xr.concat(..., "particle")``.

    Raises
    ------
    ArgumentError, SnapshotError
        If `n`, a gyroradius or the field is unusable.
    """
    kind = Kind(field, gyroradius, energy, species, reference_field, beta_gamma, charge_sign, length_unit, field_unit)
    radii, position, draws, keys = _start(n, kind.gyroradius, seed, field, kind.plain(positions, "positions"))
    cosine = 2 * draws[..., 3] - 1
    angle = 2 * np.pi * draws[..., 4]
    sine = np.sqrt(1 - cosine**2)
    direction = np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine], axis=-1)
    return ensemble(
        position,
        direction,
        keys,
        radii,
        kind,
        {"seed": int(seed), "distribution": "isotropic", "reference_field_kind": str(reference_field)},
    )


@verb
def beam(
    n: int,
    *,
    pitch_angle: float,
    gyroradius: Numbers | None = None,
    energy: Numbers | None = None,
    species: Species | None = None,
    seed: int,
    field: Field,
    reference_field: Number | str = "rms",
    positions: str | Any = "uniform",
    direction: str | Sequence[float] | None = None,
    beta_gamma: float | Sequence[float] = np.inf,
    charge_sign: int = 1,
    length_unit: UnitLike | None = None,
    field_unit: UnitLike | None = None,
) -> xr.Dataset:
    """Particles of one pitch angle and random gyrophase.

    Parameters
    ----------
    n, gyroradius, energy, species, seed, field, reference_field, positions, beta_gamma, charge_sign
        As :func:`isotropic`.
    length_unit, field_unit
        As :func:`isotropic`.
    pitch_angle : float
        Angle between momentum and mean field [rad], 0 to pi.
    direction : str or three numbers, optional
        What the pitch angle is measured from; the mean field of the box by default, evaluated with the trace.

    Returns
    -------
    xarray.Dataset
        As :func:`isotropic`.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`isotropic`, or if the angle is not within 0 to pi.
    """
    angle = require_plain(pitch_angle, "pitch_angle", "radians")
    if angle.ndim or not 0 <= angle <= np.pi:
        raise ArgumentError(
            f"pitch_angle={pitch_angle!r}: one angle in radians from 0 to pi is needed, np.radians(...)"
        )
    kind = Kind(field, gyroradius, energy, species, reference_field, beta_gamma, charge_sign, length_unit, field_unit)
    radii, position, draws, keys = _start(n, kind.gyroradius, seed, field, kind.plain(positions, "positions"))
    if direction is None and hasattr(field, "mean_field"):
        direction = field.mean_field
    along = mean_direction(getattr(field, "snapshot", field), direction)
    phase = xr.DataArray(2 * np.pi * draws[..., 4], dims=("gyroradius", "particle"))
    turned = xr.apply_ufunc(
        _about,
        along,
        phase,
        input_core_dims=[["component"], ["gyroradius", "particle"]],
        output_core_dims=[["gyroradius", "particle", "component"]],
        kwargs={"pitch_angle": float(pitch_angle)},
        dask="parallelized",
        output_dtypes=[float],
    )
    return ensemble(
        position,
        turned.data,
        keys,
        radii,
        kind,
        {
            "seed": int(seed),
            "distribution": f"beam at {pitch_angle:.6g} rad",
            "reference_field_kind": str(reference_field),
        },
    )


def _about(along: np.ndarray, phase: np.ndarray, *, pitch_angle: float) -> np.ndarray:
    """Unit vectors at the pitch angle from one direction, with the gyrophases given."""
    require_direction(along)
    other = np.eye(3)[int(np.argmin(np.abs(along)))]
    first = np.cross(along, other)
    first /= np.linalg.norm(first)
    second = np.cross(along, first)
    across = np.cos(phase)[..., None] * first + np.sin(phase)[..., None] * second
    return np.cos(pitch_angle) * along + np.sin(pitch_angle) * across


def _start(
    n: int, gyroradius: float | Sequence[float], seed: int, field: xr.Dataset, positions: str | Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gyroradii, positions (gyroradius, particle, 3), five uniform random numbers per particle, and keys."""
    require_whole(n, "n", 1), require_whole(seed, "seed", 0)
    radii = radii_of(gyroradius)
    _require_room(n * len(radii))
    draws = np.stack([np.random.default_rng([seed, g]).random((n, 5)) for g in range(len(radii))])
    keys = np.stack([keys_of(seed, g, n) for g in range(len(radii))])
    if isinstance(positions, str):
        if positions not in ("uniform", "lattice"):
            raise ArgumentError(f"positions={positions!r}: 'uniform', 'lattice' or an (n, 3) array is needed")
        limits = field.limits() if hasattr(field, "limits") else dict.fromkeys(SPATIAL, (0.0, 1.0)) | box(field)
        low, high = (np.array([limits[d][side] for d in SPATIAL]) for side in (0, 1))
        position = low + (draws[..., :3] if positions == "uniform" else _lattice(n)) * (high - low)
    else:
        position = require_plain(positions, "positions")
        if position.shape != (n, 3) or not np.isfinite(position).all():
            raise ArgumentError(f"positions have shape {position.shape}: {n} finite (x, y, z) are needed")
    return radii, np.broadcast_to(position, (len(radii), n, 3)), draws, keys


def _require_room(particles: int) -> None:
    """Refuse ensembles that exceed the memory, because the system would kill the process."""
    needed, there = particles * BYTES_EACH, memory_of_this_machine()
    if needed > there:
        raise ArgumentError(
            f"{particles} particles need {needed / 1e9:.3g} GB, and this machine has {there / 1e9:.3g}: trace several "
            "smaller ensembles, each with its own seed"
        )


def _lattice(n: int) -> np.ndarray:
    """The first n points, in fractions of the box, of the coarsest cubic lattice that has at least n."""
    side = int(np.ceil(round(n ** (1 / 3), 9)))
    index = np.stack(np.unravel_index(np.arange(n), (side,) * 3), -1)
    return (index + 0.5) / side


@verb
def from_arrays(
    *,
    x: Numbers,
    y: Numbers,
    z: Numbers,
    vx: ArrayLike,
    vy: ArrayLike,
    vz: ArrayLike,
    gyroradius: Numbers | None = None,
    energy: Numbers | None = None,
    species: Species | None = None,
    reference_field: Number | str,
    seed: int = 0,
    beta_gamma: float | Sequence[float] = np.inf,
    charge_sign: int = 1,
    length_unit: UnitLike | None = None,
    field_unit: UnitLike | None = None,
) -> xr.Dataset:
    """Particles at given positions and with given directions.

    Parameters
    ----------
    x, y, z : array_like
        Positions in the field's length unit, shape (particle,), or (gyroradius, particle).
    vx, vy, vz : array_like
        Directions of the same shape; unit vectors to 1e-6, normalised on entry.
    gyroradius, energy, species
        As :func:`isotropic`.
    reference_field : float or astropy Quantity
        B_ref, in the field's unit where it is a plain number.
    seed : int
        The particles' keys follow from it.
    beta_gamma, charge_sign
        As :func:`isotropic`.
    length_unit, field_unit : astropy Quantity, unit or str, optional
        What 1 stands for in the field that they are for; needed for energies and other Quantities.

    Returns
    -------
    xarray.Dataset
        As :func:`isotropic`.

    Raises
    ------
    ArgumentError, SnapshotError
        If shapes differ, directions are no unit vectors, or a number is not finite.
    """
    kind = Kind(None, gyroradius, energy, species, reference_field, beta_gamma, charge_sign, length_unit, field_unit)
    radii = radii_of(kind.gyroradius)
    given = {"x": x, "y": y, "z": z, "vx": vx, "vy": vy, "vz": vz}
    parts = [np.atleast_1d(require_plain(kind.plain(v, name), name)) for name, v in given.items()]
    if not parts[0].size:
        raise ArgumentError("x is empty: at least one particle is needed")
    if len({p.shape for p in parts}) > 1:
        raise ArgumentError(f"positions and directions differ in shape: {[p.shape for p in parts]}")
    if parts[0].ndim == 1:
        parts = [np.broadcast_to(p, (len(radii), len(p))) for p in parts]
    if parts[0].ndim != 2 or len(parts[0]) != len(radii):
        raise ArgumentError(f"shape {parts[0].shape} does not fit {len(radii)} gyroradii: give (gyroradius, particle)")
    position, direction = np.stack(parts[:3], -1), np.stack(parts[3:], -1)
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    if (np.abs(length - 1) > 1e-6).any():
        raise ArgumentError(
            f"directions must be unit vectors; their lengths run from {length.min()} to {length.max()}: divide by them"
        )
    require_whole(seed, "seed", 0)
    keys = np.stack([keys_of(seed, g, position.shape[1]) for g in range(len(radii))])
    return ensemble(
        position,
        direction / length,
        keys,
        radii,
        kind,
        {"seed": int(seed), "distribution": "given", "reference_field_kind": "given"},
    )

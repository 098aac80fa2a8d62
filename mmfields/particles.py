"""Ensembles of particles, each with a key of its own that no chunking changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from mmfields._types import Field, Mass, Number, Numbers, Species, UnitLike
from mmfields.cluster.client import memory_of_this_machine
from mmfields.conventions import (
    MEAN_FIELD_FLOOR,
    SPATIAL,
    box,
    components,
    keys_of,
    mean_direction,
    require_direction,
    require_plain,
    require_whole,
    spatial_dims,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.provenance import verb
from mmfields.strength import strengths
from mmfields.units import (
    CARRIED,
    EXAMPLES,
    FIELD,
    LENGTH,
    SPECIES,
    energy_attrs,
    known_unit_of,
    momentum_of,
    plain,
    radius_of,
    species_of,
    text_of,
    unit_of_variable,
)

__all__ = ["beam", "from_arrays", "from_trajectories", "gyroradius", "isotropic", "reference_strength"]

# Memory that the numbers of a particle take while an ensemble is made.
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
    kind = _Kind(field, gyroradius, energy, species, reference_field, beta_gamma, charge_sign, length_unit, field_unit)
    radii, position, draws, keys = _start(n, kind.gyroradius, seed, field, kind.plain(positions, "positions"))
    cosine = 2 * draws[..., 3] - 1
    angle = 2 * np.pi * draws[..., 4]
    sine = np.sqrt(1 - cosine**2)
    direction = np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine], axis=-1)
    return _ensemble(
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
    kind = _Kind(field, gyroradius, energy, species, reference_field, beta_gamma, charge_sign, length_unit, field_unit)
    radii, position, draws, keys = _start(n, kind.gyroradius, seed, field, kind.plain(positions, "positions"))
    if direction is None and hasattr(field, "mean_field"):
        direction = field.mean_field
    of = field if isinstance(field, xr.Dataset) else getattr(field, "snapshot", field)
    along = mean_direction(of, direction)
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
    return _ensemble(
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
    """Unit vectors at an angle from one direction."""
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
    """Gyroradii, positions (gyroradius, particle, 3), five uniform numbers a particle, and keys."""
    require_whole(n, "n", 1), require_whole(seed, "seed", 0)
    radii = _radii(gyroradius)
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
    """Refuse ensembles that this machine cannot hold, which would end the process or the machine."""
    needed, there = particles * BYTES_EACH, memory_of_this_machine()
    if needed > there:
        raise ArgumentError(
            f"{particles} particles need {needed / 1e9:.3g} GB, and this machine has {there / 1e9:.3g}: trace several "
            "smaller ensembles, each with its own seed"
        )


def _lattice(n: int) -> np.ndarray:
    """The first n points, in fractions of the box, of the coarsest lattice of that many."""
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
    kind = _Kind(None, gyroradius, energy, species, reference_field, beta_gamma, charge_sign, length_unit, field_unit)
    radii = _radii(kind.gyroradius)
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
    return _ensemble(
        position,
        direction / length,
        keys,
        radii,
        kind,
        {"seed": int(seed), "distribution": "given", "reference_field_kind": "given"},
    )


class _Kind:
    """What particles are: gyroradius and reference field, charge and p/(m c), energy and units where they are known."""

    def __init__(
        self,
        field: Any,
        gyroradius: Any,
        energy: Any,
        species: Any,
        reference: Any,
        beta_gamma: Any,
        charge_sign: Any,
        *units: Any,
    ) -> None:
        self.units = dict(zip((LENGTH, FIELD), units, strict=True))
        self.known = {key: known_unit_of(field, key, given) for key, given in self.units.items()}
        self.beta_gamma, self.charge_sign, self.attrs = beta_gamma, charge_sign, {}
        self.energy: Any = None
        reference = self._in_units(reference, "reference_field", FIELD)
        if (gyroradius is None) == (energy is None):
            raise ArgumentError("give one of gyroradius=... and energy=..., and not both")
        if energy is None:
            if species is not None:
                raise ArgumentError(f"species={species!r}: it goes with energy=...; leave it out, or give charge_sign")
            if getattr(gyroradius, "unit", None) is not None and gyroradius.unit.is_equivalent("J"):
                raise ArgumentError(f"gyroradius={gyroradius} is an energy: give energy=... instead")
            self.reference = self._strength(field, reference)
            self.gyroradius = self._in_units(gyroradius, "gyroradius", LENGTH)
        else:
            if np.any(np.isfinite(beta_gamma)) or charge_sign != 1:
                raise ArgumentError(
                    "energy=... and species=... say what beta_gamma and charge_sign are: leave them out"
                )
            self.reference = xr.DataArray(float(self._strength(field, reference)))
            self._of_energy(energy, "proton" if species is None else species)
        self.single = np.ndim(self.gyroradius) == 0
        self.attrs |= {key: text_of(unit) for key, unit in self.known.items() if unit is not None}

    def _strength(self, field: Any, reference: Any) -> xr.DataArray:
        if field is not None:
            return reference_strength(field, reference)
        if not isinstance(reference, int | float | np.number) or not 0 < reference < np.inf:
            raise ArgumentError(f"reference_field={reference!r}: a positive number in the field's unit is needed")
        return xr.DataArray(float(reference))

    def _of_energy(self, energy: Any, species: Any) -> None:
        if missing := [key for key, unit in self.known.items() if unit is None]:
            raise SnapshotError(
                f"energy=... needs {' and '.join(missing)}, what 1 stands for in the field: give "
                f"{missing[0]}={EXAMPLES[missing[0]]}, or ds.assign_attrs({missing[0]}='...')"
            )
        name, charge, mass = species_of(species)
        momentum, self.beta_gamma = momentum_of(energy, mass)
        self.charge_sign, self.energy = (1 if charge > 0 else -1), energy
        strength = float(self.reference) * self.known[FIELD]
        self.gyroradius = radius_of(momentum, charge, strength, self.known[LENGTH])
        self.attrs = {"species": name, "charge": float(charge), "mass": f"{float(mass.to_value('kg'))!r} kg"}

    def _in_units(self, value: Any, name: str, key: str) -> Any:
        return plain(
            value, name, xr.Dataset(attrs={k: text_of(u) for k, u in self.known.items() if u is not None}), key
        )

    def plain(self, value: Any, name: str) -> Any:
        """A length as a number, or as it is."""
        return self._in_units(value, name, LENGTH)


def _radii(gyroradius: float | Sequence[float]) -> np.ndarray:
    try:
        radii = np.atleast_1d(require_plain(gyroradius, "gyroradius"))
    except ArgumentError:
        radii = np.zeros(1)
    if radii.ndim != 1 or not len(radii) or not (radii > 0).all():
        raise ArgumentError(f"gyroradius={gyroradius!r}: positive, finite lengths are needed")
    return radii


@verb
def reference_strength(field: Field, reference: float | str) -> xr.DataArray:
    """Reference field as a scalar, lazy where the field is.

    Sums have twice the digits and the result is rounded to 40 bits, so that it is the same however
    the field is chunked: in a chaotic orbit the last bit of the gyroradius would show.

    Parameters
    ----------
    field : xarray.Dataset, or PlaneWaves or NestedGrids
        Snapshot with ``Bx By Bz``.
    reference : float, astropy Quantity, "rms" or "mean"
        A number in the field's unit, a Quantity, the rms of the full vector, or the strength of the mean field.

    Returns
    -------
    xarray.DataArray
        Scalar.

    Raises
    ------
    ArgumentError, SnapshotError
        If it is none of these; when computed, if the mean field is below 1e-3 of the rms field.
    """
    if not isinstance(reference, str):
        reference = plain(reference, "reference_field", field, FIELD)
    if isinstance(reference, str) and reference in ("rms", "mean"):
        if hasattr(field, "strength"):
            return field.strength(reference)
        if extra := [d for d in field[components(field)[0]].dims if d not in SPATIAL]:
            raise SnapshotError(
                f"the field has dims {tuple(extra)} beside x, y, z: select one snapshot with ds.isel(...)"
            )
        means, square = strengths(field)
        strength = square.map_blocks(_strength, (means**2).sum(), kind=reference, dtype=float)
        in_memory = all(field[name].chunks is None for name in components(field))
        return xr.DataArray(strength.compute(scheduler="synchronous") if in_memory else strength)
    number = isinstance(reference, int | float | np.number) and not isinstance(reference, bool)
    if not number or not 0 < reference < np.inf:
        raise ArgumentError(
            f"reference_field={reference!r}: 'rms', 'mean' or a positive number in the field's unit is needed"
        )
    return xr.DataArray(float(reference))


def _strength(mean_square: np.ndarray, square_mean: np.ndarray, *, kind: str) -> np.ndarray:
    chosen = np.sqrt(np.asarray(mean_square if kind == "rms" else square_mean))
    if kind == "mean" and (chosen <= MEAN_FIELD_FLOOR * np.sqrt(np.asarray(mean_square))).any():
        raise SnapshotError(
            f"the mean field is {float(chosen.min()):.3g}, no reference for a gyroradius: "
            "give reference_field='rms' or a number"
        )
    mantissa, exponent = np.frexp(chosen.astype(np.float64))
    return np.ldexp(np.round(np.ldexp(mantissa, 40)), exponent - 40)


def _ensemble(
    position: np.ndarray, direction: np.ndarray, keys: np.ndarray, radii: np.ndarray, kind: _Kind, attrs: dict[str, Any]
) -> xr.Dataset:
    beta_gamma, charge_sign, reference = kind.beta_gamma, kind.charge_sign, kind.reference
    if not isinstance(charge_sign, int | np.integer) or charge_sign not in (1, -1):
        raise ArgumentError(f"charge_sign={charge_sign!r}: 1 or -1 is needed; its size is in the gyroradius")
    try:
        ratio = np.asarray(beta_gamma, float)
    except (TypeError, ValueError):
        ratio = np.zeros(())
    if ratio.shape not in ((), radii.shape) or not (ratio > 0).all():
        raise ArgumentError(f"beta_gamma={beta_gamma!r}: a positive number, or one for each gyroradius, is needed")
    dims = ("gyroradius", "particle")
    variables: dict[str, Any] = {}
    variables["beta_gamma"] = ("gyroradius", np.broadcast_to(ratio, radii.shape), {"long_name": "p/(m c)"})
    for i, dim in enumerate(SPATIAL):
        variables[dim] = (dims, position[..., i], {"long_name": f"position along {dim}"})
        variables[f"v{dim}"] = (dims, direction[..., i], {"long_name": f"direction along {dim}"})
    variables["key"] = (dims, keys, {"long_name": "random key of the particle"})
    notes = {"long_name": "gyroradius p c / (q B_ref)"}
    # of each particle, so that ensembles of several species can be joined along it
    shape, own = keys.shape, np.broadcast_to(ratio, radii.shape)
    variables["charge_sign"] = (dims, np.full(shape, charge_sign, np.int8), {"long_name": "sign of the charge"})
    for name, values, said in (("gyroradius", radii, notes["long_name"]), ("beta_gamma", own, "p/(m c)")):
        each = np.broadcast_to(values[:, None], shape).astype(float)
        variables[f"own_{name}"] = (dims, each, {"long_name": f"{said} of each particle"})
    ds = xr.Dataset(variables, {"gyroradius": ("gyroradius", radii, notes)}, attrs)
    ds["reference_field"] = reference.drop_vars(list(reference.coords))
    if kind.energy is not None:
        ds = ds.assign_coords(energy=("gyroradius", np.atleast_1d(kind.energy.value), energy_attrs(kind.energy)))
    ds = ds.assign_attrs(kind.attrs)
    return ds.isel(gyroradius=0) if kind.single else ds


def gyroradius(
    energy: Numbers, *, field: xr.Dataset, reference_field: float, charge: float = 1.0, mass: Mass = "proton"
) -> float | np.ndarray:
    """Gyroradius of particles of a kinetic energy, in the length unit of a field.

    p c / (q B) with (p c)² = T² + 2 T m c²; what :func:`isotropic` and its kin take.

    Parameters
    ----------
    energy : astropy Quantity
        Kinetic energy T, one or several.
    field : xarray.Dataset
        Snapshot with units: those of ``Bx`` and of its axes, or ``attrs["field_unit"]`` and
        ``attrs["length_unit"]`` where these are normalized.
    reference_field : float
        B, in the field's unit; give the same number to the ensemble.
    charge : float
        In elementary charges.
    mass : astropy Quantity, "proton" or "electron"

    Returns
    -------
    float or array
        In the field's length unit.

    Raises
    ------
    ArgumentError, SnapshotError
        If a unit is missing or wrong, or a number is not positive.
    """
    species_charge = abs(charge) if isinstance(charge, int | float | np.number) and not isinstance(charge, bool) else 0
    if not species_charge:
        raise ArgumentError(f"charge={charge!r}: a plain number in e, other than 0, is needed")
    if isinstance(mass, str) and mass not in SPECIES:
        raise ArgumentError(f"mass={mass!r}: give mass='proton', 'electron', or a Quantity such as 4 * u.u")
    mass = species_of(mass)[2] if isinstance(mass, str) else species_of((charge, mass))[2]
    momentum, _ = momentum_of(energy, mass)
    reference = plain(reference_field, "reference_field", field, FIELD)
    if not isinstance(reference, int | float | np.number) or isinstance(reference, bool) or not reference > 0:
        raise ArgumentError(
            f"reference_field={reference_field!r}: a positive number in the field's unit is needed, "
            "mm.particles.reference_strength(ds, 'rms'), or a Quantity"
        )
    strength = float(reference) * _unit(field, components(field)[0], "field_unit")
    length = radius_of(momentum, charge, strength, _unit(field, spatial_dims(field)[0], "length_unit"))
    return float(length) if np.ndim(length) == 0 else np.asarray(length)


def _unit(field: xr.Dataset, name: str, key: str) -> Any:
    """The unit of a variable as a Quantity: its own, or what the dataset says that 1 stands for."""
    unit = unit_of_variable(field, name, key)
    if unit is None:
        raise SnapshotError(
            f"{name} is in code units and the snapshot has no {key!r} attribute: ds.assign_attrs({key}='...') first"
        )
    return unit


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
        As :func:`isotropic`, with ``path_start``, and ``steps``, ``alive``, ``left``, ``reflections``, ``momentum`` and
        ``own_path`` where the run has them.

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
    names = [n for n in (*needed[:7], "reference_field", *more, *each) if n in last]
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


def __dir__() -> list[str]:
    return sorted(__all__)

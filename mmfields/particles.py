"""Ensembles of particles, each with a key of its own that no chunking changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    MEAN_FIELD_FLOOR,
    SPATIAL,
    SnapshotError,
    box,
    components,
    keys_of,
    known_unit,
    mean_direction,
    require_direction,
    require_plain,
    require_whole,
    spatial_dims,
)


def isotropic(
    n: int,
    *,
    gyroradius: float | Sequence[float],
    seed: int,
    field: xr.Dataset,
    reference_field: float | str = "rms",
    positions: str | Any = "uniform",
    beta_gamma: float | Sequence[float] = np.inf,
    charge_sign: int = 1,
) -> xr.Dataset:
    """Particles in the box of a field, with isotropic directions.

    Parameters
    ----------
    n : int
        Particles per gyroradius.
    gyroradius : float or sequence of float
        p c / (q B_ref) in the field's length unit.
    seed : int
        Everything random follows from it; the first particles of a larger ensemble are those of
        a smaller one.
    field : xarray.Dataset, or PlaneWaves or NestedGrids
        Snapshot whose box is filled; of a field on no grid a cube of their longest wavelength.
    reference_field : float, "rms" or "mean"
        B_ref: a number in the field's unit, the rms of the full vector, or the strength of the
        mean field.  The latter two are evaluated with the trace, not now.
    positions : "uniform", "lattice", or (n, 3) array
        At random; on the n first points of the coarsest cubic lattice that has as many; or given (x, y, z).
    beta_gamma : float or sequence of float
        p/(m c) of each gyroradius, where an electric field is to act; infinite for rest masses that do not matter.
    charge_sign : {1, -1}
        Negative particles gyrate the other way.

    Returns
    -------
    xarray.Dataset
        ``x y z``, ``vx vy vz`` (unit vector), ``key``, ``charge_sign``, ``own_gyroradius`` and ``own_beta_gamma`` over
        ``gyroradius`` (where several) and ``particle``; ``reference_field`` a scalar; ``beta_gamma``.  Ensembles, as of
        electrons and protons, are joined by ``xr.concat(..., "particle")``.

    Raises
    ------
    SnapshotError
        If `n`, a gyroradius or the field is unusable.
    """
    radii, position, draws, keys = _start(n, gyroradius, seed, field, positions)
    cosine = 2 * draws[..., 3] - 1
    angle = 2 * np.pi * draws[..., 4]
    sine = np.sqrt(1 - cosine**2)
    direction = np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine], axis=-1)
    return _ensemble(
        position,
        direction,
        keys,
        radii,
        np.ndim(gyroradius) == 0,
        reference_strength(field, reference_field),
        {"seed": int(seed), "distribution": "isotropic", "reference_field_kind": str(reference_field)},
        beta_gamma,
        charge_sign,
    )


def beam(
    n: int,
    *,
    pitch_angle: float,
    gyroradius: float | Sequence[float],
    seed: int,
    field: xr.Dataset,
    reference_field: float | str = "rms",
    positions: str | Any = "uniform",
    direction: str | Sequence[float] | None = None,
    beta_gamma: float | Sequence[float] = np.inf,
    charge_sign: int = 1,
) -> xr.Dataset:
    """Particles of one pitch angle and random gyrophase.

    Parameters
    ----------
    n, gyroradius, seed, field, reference_field, positions, beta_gamma, charge_sign
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
    SnapshotError
        As :func:`isotropic`, or if the angle is not within 0 to pi.
    """
    angle = require_plain(pitch_angle, "pitch_angle", "radians")
    if angle.ndim or not 0 <= angle <= np.pi:
        raise SnapshotError(
            f"pitch_angle={pitch_angle!r}: one angle in radians from 0 to pi is needed, np.radians(...)"
        )
    radii, position, draws, keys = _start(n, gyroradius, seed, field, positions)
    if direction is None and hasattr(field, "mean_field"):
        direction = field.mean_field
    along = mean_direction(field, direction)
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
        np.ndim(gyroradius) == 0,
        reference_strength(field, reference_field),
        {
            "seed": int(seed),
            "distribution": f"beam at {pitch_angle:.6g} rad",
            "reference_field_kind": str(reference_field),
        },
        beta_gamma,
        charge_sign,
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
    limits = field.limits() if hasattr(field, "limits") else dict.fromkeys(SPATIAL, (0.0, 1.0)) | box(field)
    low = np.array([limits[d][0] for d in SPATIAL])
    high = np.array([limits[d][1] for d in SPATIAL])
    draws = np.stack([np.random.default_rng([seed, g]).random((n, 5)) for g in range(len(radii))])
    keys = np.stack([keys_of(seed, g, n) for g in range(len(radii))])
    if isinstance(positions, str):
        if positions not in ("uniform", "lattice"):
            raise SnapshotError(f"positions={positions!r}: 'uniform', 'lattice' or an (n, 3) array is needed")
        position = low + (draws[..., :3] if positions == "uniform" else _lattice(n)) * (high - low)
    else:
        position = require_plain(positions, "positions")
        if position.shape != (n, 3) or not np.isfinite(position).all():
            raise SnapshotError(f"positions have shape {position.shape}: {n} finite (x, y, z) are needed")
    return radii, np.broadcast_to(position, (len(radii), n, 3)), draws, keys


def _lattice(n: int) -> np.ndarray:
    """The first n points, in fractions of the box, of the coarsest lattice of that many."""
    side = int(np.ceil(round(n ** (1 / 3), 9)))
    index = np.stack(np.unravel_index(np.arange(n), (side,) * 3), -1)
    return (index + 0.5) / side


def from_arrays(
    *,
    x: Any,
    y: Any,
    z: Any,
    vx: Any,
    vy: Any,
    vz: Any,
    gyroradius: float | Sequence[float],
    reference_field: float,
    seed: int = 0,
    beta_gamma: float | Sequence[float] = np.inf,
    charge_sign: int = 1,
) -> xr.Dataset:
    """Particles at given positions and with given directions.

    Parameters
    ----------
    x, y, z : array_like
        Positions in the field's length unit, shape (particle,), or (gyroradius, particle).
    vx, vy, vz : array_like
        Directions of the same shape; unit vectors to 1e-6, normalised on entry.
    gyroradius : float or sequence of float
        p c / (q B_ref) in the field's length unit.
    reference_field : float
        B_ref in the field's unit.
    seed : int
        The particles' keys follow from it.
    beta_gamma, charge_sign
        As :func:`isotropic`.

    Returns
    -------
    xarray.Dataset
        As :func:`isotropic`.

    Raises
    ------
    SnapshotError
        If shapes differ, directions are no unit vectors, or a number is not finite.
    """
    radii = _radii(gyroradius)
    single = np.ndim(gyroradius) == 0
    given = {"x": x, "y": y, "z": z, "vx": vx, "vy": vy, "vz": vz}
    parts = [np.atleast_1d(require_plain(v, name)) for name, v in given.items()]
    if not parts[0].size:
        raise SnapshotError("x is empty: at least one particle is needed")
    if len({p.shape for p in parts}) > 1:
        raise SnapshotError(f"positions and directions differ in shape: {[p.shape for p in parts]}")
    if parts[0].ndim == 1:
        parts = [np.broadcast_to(p, (len(radii), len(p))) for p in parts]
    if parts[0].ndim != 2 or len(parts[0]) != len(radii):
        raise SnapshotError(f"shape {parts[0].shape} does not fit {len(radii)} gyroradii: give (gyroradius, particle)")
    position, direction = np.stack(parts[:3], -1), np.stack(parts[3:], -1)
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    if (np.abs(length - 1) > 1e-6).any():
        raise SnapshotError(
            f"directions must be unit vectors; their lengths run from {length.min()} to {length.max()}: divide by them"
        )
    require_whole(seed, "seed", 0)
    if not isinstance(reference_field, int | float | np.number) or not 0 < reference_field < np.inf:
        raise SnapshotError(f"reference_field={reference_field!r}: a positive number in the field's unit is needed")
    keys = np.stack([keys_of(seed, g, position.shape[1]) for g in range(len(radii))])
    return _ensemble(
        position,
        direction / length,
        keys,
        radii,
        single,
        xr.DataArray(float(reference_field)),
        {"seed": int(seed), "distribution": "given", "reference_field_kind": "given"},
        beta_gamma,
        charge_sign,
    )


def _radii(gyroradius: float | Sequence[float]) -> np.ndarray:
    if getattr(gyroradius, "unit", None) is not None:
        raise SnapshotError(
            f"gyroradius is a Quantity in {gyroradius.unit}: plain numbers in the field's length unit are needed; "
            "mm.particles.gyroradius(energy, field=..., reference_field=...) gives them for an energy"
        )
    try:
        radii = np.atleast_1d(require_plain(gyroradius, "gyroradius"))
    except SnapshotError:
        radii = np.zeros(1)
    if radii.ndim != 1 or not len(radii) or not (radii > 0).all():
        raise SnapshotError(f"gyroradius={gyroradius!r}: positive, finite lengths are needed")
    return radii


def reference_strength(field: xr.Dataset, reference: float | str) -> xr.DataArray:
    """Reference field as a scalar, lazy where the field is.

    Sums run in extended precision and the result is rounded to 40 bits, so that it is the same however
    the field is chunked: in a chaotic orbit the last bit of the gyroradius would show.

    Parameters
    ----------
    field : xarray.Dataset, or PlaneWaves or NestedGrids
        Snapshot with ``Bx By Bz``.
    reference : float, "rms" or "mean"
        A number in the field's unit, the rms of the full vector, or the strength of the mean field.

    Returns
    -------
    xarray.DataArray
        Scalar.

    Raises
    ------
    SnapshotError
        If it is none of these; when computed, if the mean field is below 1e-3 of the rms field.
    """
    if isinstance(reference, str) and reference in ("rms", "mean"):
        if hasattr(field, "strength"):
            return field.strength(reference)
        names = list(components(field))
        dims = spatial_dims(field)
        wide = [field[c].astype(np.longdouble) for c in names]
        square = sum((w**2).mean(dims) for w in wide)
        mean = sum(w.mean(dims) ** 2 for w in wide)
        options = {"dask": "parallelized", "output_dtypes": [np.float64], "kwargs": {"kind": reference}}
        result = xr.apply_ufunc(_strength, square, mean, **options)
        if result.ndim:
            raise SnapshotError(
                f"the field has dims {result.dims} beside x, y, z: select one snapshot with ds.isel(...)"
            )
        return result.drop_attrs()
    number = isinstance(reference, int | float | np.number) and not isinstance(reference, bool)
    if not number or not 0 < reference < np.inf:
        raise SnapshotError(
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
    position: np.ndarray,
    direction: np.ndarray,
    keys: np.ndarray,
    radii: np.ndarray,
    single: bool,
    reference: xr.DataArray,
    attrs: dict[str, Any],
    beta_gamma: float | Sequence[float],
    charge_sign: int,
) -> xr.Dataset:
    if not isinstance(charge_sign, int | np.integer) or charge_sign not in (1, -1):
        raise SnapshotError(f"charge_sign={charge_sign!r}: 1 or -1 is needed; its size is in the gyroradius")
    try:
        ratio = np.asarray(beta_gamma, float)
    except (TypeError, ValueError):
        ratio = np.zeros(())
    if ratio.shape not in ((), radii.shape) or not (ratio > 0).all():
        raise SnapshotError(f"beta_gamma={beta_gamma!r}: a positive number, or one for each gyroradius, is needed")
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
    return ds.isel(gyroradius=0) if single else ds


def gyroradius(
    energy: Any, *, field: xr.Dataset, reference_field: float, charge: float = 1.0, mass: Any = "proton"
) -> Any:
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
    SnapshotError
        If a unit is missing or wrong, or a number is not positive.
    """
    from astropy import constants, units

    masses = {"proton": constants.m_p, "electron": constants.m_e}
    mass = masses.get(mass, mass) if isinstance(mass, str) else mass
    for name, value in (("reference_field", reference_field), ("charge", charge)):
        if not isinstance(value, int | float | np.number) or isinstance(value, bool):
            what = "in the field's unit: mm.particles.reference_strength(ds, 'rms')" if name != "charge" else "in e"
            raise SnapshotError(f"{name}={value!r}: a plain number {what} is needed")
    try:
        kinetic = units.Quantity(energy).to("J")
        rest = (units.Quantity(mass) * constants.c**2).to("J")
    except (TypeError, units.UnitsError) as error:
        raise SnapshotError(
            f"energy={energy!r}, mass={mass!r}: give Quantities such as 1 * u.TeV, or mass='proton' ({error})"
        ) from error
    if not (np.all(kinetic.value > 0) and rest.value >= 0 and charge != 0 and reference_field > 0):
        raise SnapshotError(
            f"energy={energy}, charge={charge}, reference_field={reference_field}: give positive numbers"
        )
    strength = reference_field * _unit(field, components(field)[0], "field_unit")
    momentum = np.sqrt(kinetic**2 + 2 * kinetic * rest) / constants.c
    try:
        length = (momentum / (abs(charge) * constants.e.si * strength.to("T"))).to(
            _unit(field, spatial_dims(field)[0], "length_unit")
        )
    except units.UnitsError as error:
        raise SnapshotError(f"the field is in {strength.unit}, which is no magnetic field ({error})") from error
    return float(length.value) if np.ndim(length.value) == 0 else np.asarray(length.value)


def _unit(field: xr.Dataset, name: str, key: str) -> Any:
    """The unit of a variable as a Quantity: its own, or what the dataset says that 1 stands for."""
    unit = known_unit(field, name, key)
    if unit is None:
        raise SnapshotError(
            f"{name} is in code units and the snapshot has no {key!r} attribute: ds.assign_attrs({key}='...') first"
        )
    return unit


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
    kept = ("seed", "distribution", "reference_field_kind", *(() if "charge_sign" in out else ("charge_sign",)))
    return out.assign_attrs({k: v for k, v in trajectories.attrs.items() if k in kept})

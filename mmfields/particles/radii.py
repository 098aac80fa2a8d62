"""Gyroradii, and the strength of the field that they are in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields._types import Field, Mass, Numbers
from mmfields.conventions import (
    MEAN_FIELD_FLOOR,
    SPATIAL,
    components,
    require_plain,
    spatial_dims,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.provenance import verb
from mmfields.strength import strengths
from mmfields.units import (
    FIELD,
    SPECIES,
    momentum_of,
    plain,
    radius_of,
    species_of,
    unit_of_variable,
)


def radii_of(gyroradius: float | Sequence[float]) -> np.ndarray:
    """Gyroradii as an array of positive numbers."""
    try:
        radii = np.atleast_1d(require_plain(gyroradius, "gyroradius"))
    except ArgumentError:
        radii = np.zeros(1)
    if radii.ndim != 1 or not len(radii) or not (radii > 0).all():
        raise ArgumentError(f"gyroradius={gyroradius!r}: positive, finite lengths are needed")
    return radii


@renamed(reference="reference_field")
@verb
def reference_strength(field: Field, reference_field: float | str) -> xr.DataArray:
    """Reference field as a scalar, lazy where the field is.

    Sums have twice the digits and the result is rounded to 40 bits, so that it is the same however
    the field is chunked: in a chaotic orbit the last bit of the gyroradius would show.

    Parameters
    ----------
    field : xarray.Dataset, or PlaneWaves or NestedGrids
        Snapshot with ``Bx By Bz``.
    reference_field : float, astropy Quantity, "rms" or "mean"
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
    if not isinstance(reference_field, str):
        reference_field = plain(reference_field, "reference_field", field, FIELD)
    if isinstance(reference_field, str) and reference_field in ("rms", "mean"):
        if hasattr(field, "strength"):
            return field.strength(reference_field)
        if extra := [d for d in field[components(field)[0]].dims if d not in SPATIAL]:
            raise SnapshotError(
                f"the field has dims {tuple(extra)} beside x, y, z: select one snapshot with ds.isel(...)"
            )
        means, square = strengths(field)
        strength = square.map_blocks(_strength, (means**2).sum(), kind=reference_field, dtype=float)
        in_memory = all(field[name].chunks is None for name in components(field))
        return xr.DataArray(strength.compute(scheduler="synchronous") if in_memory else strength)
    number = isinstance(reference_field, int | float | np.number) and not isinstance(reference_field, bool)
    if not number or not 0 < reference_field < np.inf:
        raise ArgumentError(
            f"reference_field={reference_field!r}: 'rms', 'mean' or a positive number in the field's unit is needed"
        )
    return xr.DataArray(float(reference_field))


def _strength(mean_square: np.ndarray, square_mean: np.ndarray, *, kind: str) -> np.ndarray:
    chosen = np.sqrt(np.asarray(mean_square if kind == "rms" else square_mean))
    if kind == "mean" and (chosen <= MEAN_FIELD_FLOOR * np.sqrt(np.asarray(mean_square))).any():
        raise SnapshotError(
            f"the mean field is {float(chosen.min()):.3g}, no reference for a gyroradius: "
            "give reference_field='rms' or a number"
        )
    mantissa, exponent = np.frexp(chosen.astype(np.float64))
    return np.ldexp(np.round(np.ldexp(mantissa, 40)), exponent - 40)


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
    """The unit of a variable as a Quantity: its own, or the code unit that the dataset states."""
    unit = unit_of_variable(field, name, key)
    if unit is None:
        raise SnapshotError(
            f"{name} is in code units and the snapshot has no {key!r} attribute: ds.assign_attrs({key}='...') first"
        )
    return unit

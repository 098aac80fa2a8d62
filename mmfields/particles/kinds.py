"""The kind of particles in an ensemble: charge, mass, gyroradius and units."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.particles.radii import reference_strength
from mmfields.units import (
    EXAMPLES,
    FIELD,
    LENGTH,
    energy_attrs,
    known_unit_of,
    momentum_of,
    plain,
    radius_of,
    species_of,
    text_of,
)


class Kind:
    """Gyroradius, reference field, charge and p/(m c) of particles, with energy and units where these are known."""

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
        """A length with units as a number in the length unit; any other value unchanged."""
        return self._in_units(value, name, LENGTH)


def ensemble(
    position: np.ndarray, direction: np.ndarray, keys: np.ndarray, radii: np.ndarray, kind: Kind, attrs: dict[str, Any]
) -> xr.Dataset:
    """Dataset of an ensemble, whose variables and attrs say what kind its particles are."""
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
    # one value for each particle, so that ensembles of several species can be joined along it
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

"""Physical units of snapshots, particles and coefficients: Quantities in, numbers in the snapshot's units out.

A variable's own ``units`` say what its numbers are; where they are ``1``, the attrs ``length_unit``, ``field_unit``,
``density_unit`` … of the Dataset say what 1 stands for, or an argument of that name does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import FIELD_LINES, SPATIAL, ArgumentError, MmfieldsError, SnapshotError

# Attrs that say what 1 stands for, and the variables whose units they are.
LENGTH, FIELD = "length_unit", "field_unit"
VARIABLES = {LENGTH: (*SPATIAL, "path"), FIELD: ("Bx", "B", "ax")}
EXAMPLES = {LENGTH: "1 * u.kpc", FIELD: "3 * u.uG"}
SPECIES = ("proton", "electron")
# Attrs that particles hand on to trajectories, and these to coefficients.
SPEED = "particle_speed"
FAST = 700.0  # p/(m c) at which the speed is that of light to 1e-6
CARRIED = (LENGTH, FIELD, "species", "charge", "mass", SPEED)


def as_quantity(value: Any, name: str, error: type[MmfieldsError] = ArgumentError) -> Any:
    """A Quantity of a Quantity, a unit, or the text of either, such as ``"3 uG"``.

    Raises
    ------
    ArgumentError
        If astropy reads none from it, or it has no unit; `name` says which.  Or the `error` given, for attrs of data.
    """
    from astropy import units as u

    try:
        if isinstance(value, u.UnitBase):
            return 1.0 * value
        found = value if isinstance(value, u.Quantity) else 1.0 * u.Unit(value)
    except (TypeError, ValueError) as problem:
        try:
            found = u.Quantity(value)
        except (TypeError, ValueError):
            raise error(f"{name}={value!r} is no quantity with a unit ({problem})") from problem
    if found.unit.is_equivalent(u.dimensionless_unscaled):
        raise error(
            f"{name}={value!r} has no unit: give an astropy Quantity such as 3 * u.uG, 1 * u.kpc, 1e-3 / u.cm**3"
        )
    return found


def unit_of(data: Any, key: str, given: Any = None) -> Any:
    """What 1 is in the numbers of a snapshot, an ensemble, trajectories, or a field on no grid.

    Parameters
    ----------
    data : xarray.Dataset or Synthetic
    key : {"length_unit", "field_unit"}
    given : Quantity, unit or str, optional
        What the caller says.

    Returns
    -------
    Quantity or None
        None where it is not stated.

    Raises
    ------
    ArgumentError, SnapshotError
        If the variables have units already and `given` contradicts them, or astropy does not know a unit.
    """
    stated = _stated(data, key)
    if given is not None:
        own = as_quantity(given, key)
        if stated is not None and not same(own, as_quantity(stated, key, SnapshotError)):
            raise SnapshotError(f"{key}={given}: the data are in units of {stated} already; leave it out")
        return own
    text = stated if stated is not None else getattr(data, "attrs", {}).get(key)
    return None if text is None else as_quantity(text, key, SnapshotError)


def unit_of_variable(ds: xr.Dataset, name: str, key: str = "") -> Any:
    """What 1 of a variable is: by its own units, else by ``attrs[key]`` of the snapshot.

    Returns
    -------
    Quantity or None
        None where neither says.

    Raises
    ------
    SnapshotError
        If astropy does not know the unit.
    """
    stated = ds[name].attrs.get("units", "1")
    text = stated if stated not in ("1", "") else ds.attrs.get(key)
    return None if text is None else as_quantity(text, name, SnapshotError)


def _stated(data: Any, key: str) -> Any:
    """Units of the variables themselves, None where these are normalized."""
    if isinstance(data, xr.DataArray):
        raise ArgumentError("a snapshot Dataset is needed, not DataArray: such as ds[['Bx', 'By', 'Bz']]")
    if isinstance(data, xr.Dataset):
        found = [data[name].attrs.get("units") for name in VARIABLES[key] if name in data.variables]
    else:
        found = [getattr(data, "units", {}).get("units")] if key == FIELD and hasattr(data, "units") else []
    return next((text for text in found if text not in (None, "1", "")), None)


def same(first: Any, second: Any) -> bool:
    """Whether two Quantities are equal to a part in 10⁹."""
    return first.unit.is_equivalent(second.unit) and bool(
        np.isclose(first.to_value(second.unit), second.value, rtol=1e-9)
    )


def plain(value: Any, name: str, data: Any, key: str, *, power: int = 1) -> Any:
    """A Quantity as numbers in the unit of a snapshot; anything else as it is.

    Parameters
    ----------
    value : object
    name : str
        Of the argument.
    data, key
        As :func:`unit_of`.
    power : int
        Of the unit: -1 for wavenumbers and rates per length.

    Raises
    ------
    ArgumentError, SnapshotError
        If the unit of the snapshot is not known, or is of another kind.
    """
    from astropy import units as u

    if isinstance(value, list | tuple) and any(isinstance(item, u.Quantity) for item in value):
        try:
            value = u.Quantity(value)
        except (TypeError, u.UnitsError) as error:
            raise ArgumentError(f"{name}={value!r}: give all of them a unit, or none ({error})") from error
    if not isinstance(value, u.Quantity):
        return value
    unit = unit_of(data, key)
    if unit is None:
        raise SnapshotError(
            f"{name} is a Quantity in {value.unit}, and what 1 stands for in the field is not known: give a plain "
            f"number, or say what 1 is with {key}=... or ds.assign_attrs({key}='...')"
        )
    try:
        with u.set_enabled_equivalencies(u.dimensionless_angles()):
            number = (value / unit**power).to_value("")
    except u.UnitsError as error:
        raise ArgumentError(f"{name} is a Quantity in {value.unit}: one in {(unit**power).unit} is needed") from error
    return float(number) if np.ndim(number) == 0 else np.asarray(number)


def text_of(quantity: Any) -> str:
    """A Quantity as a text that astropy reads as a unit again, with all its digits."""
    from astropy.units import CompositeUnit

    unit = quantity.unit
    scale = float(quantity.value * getattr(unit, "scale", 1.0))
    bare = CompositeUnit(1.0, unit.bases, unit.powers) if hasattr(unit, "bases") else unit
    return bare.to_string() if scale == 1 else f"{scale!r} {bare.to_string(fraction=False)}"


def carried(*data: Any) -> dict[str, str]:
    """Attrs ``length_unit`` and ``field_unit`` of the first of several that knows them."""
    found = {}
    for key in (LENGTH, FIELD):
        known = next((unit for each in data if (unit := known_unit_of(each, key)) is not None), None)
        if known is not None:
            found[key] = text_of(known)
    return found


def known_unit_of(data: Any, key: str, given: Any = None) -> Any:
    """As :func:`unit_of`; None too where the data state a unit that astropy does not know, such as ``d_i``."""
    if given is not None:
        return unit_of(data, key, given)
    try:
        unit = unit_of(data, key)
    except SnapshotError:
        return None
    return unit if unit is None or unit.unit.is_equivalent("m" if key == LENGTH else "T") else None


def require_same_units(field: Any, particles: xr.Dataset) -> None:
    """Refuse particles that were made for another system of units than that of the field.

    Raises
    ------
    ArgumentError, SnapshotError
        If both are known and differ.
    """
    for key in (LENGTH, FIELD):
        one, other = known_unit_of(field, key), known_unit_of(xr.Dataset(attrs=particles.attrs), key)
        if one is not None and other is not None and not same(one, other):
            raise SnapshotError(
                f"1 is {text_of(one)} in the field and {text_of(other)} for the particles ({key}): make the particles "
                "with field=this one"
            )


# --- particles --------------------------------------------------------------------------------------------------------


def species_of(species: Any) -> tuple[str, int, Any]:
    """Name, charge in elementary charges, and mass of particles.

    Parameters
    ----------
    species : "proton", "electron", or (charge, mass)
        Charge in elementary charges; mass an astropy Quantity.

    Raises
    ------
    ArgumentError
        If it is none of these.
    """
    from astropy import constants
    from astropy import units as u

    if isinstance(species, str) and species in SPECIES:
        sign = 1 if species == "proton" else -1
        return species, sign, constants.m_p if sign > 0 else constants.m_e
    if isinstance(species, Mapping) and set(species) == {"charge", "mass"}:
        species = species["charge"], species["mass"]
    try:
        charge, mass = species
        mass = u.Quantity(mass).to("kg")
        charge = (charge / constants.e.si).to_value("") if getattr(charge, "unit", None) is not None else charge
        if isinstance(charge, str) or not (np.isfinite(charge) and charge != 0 and mass.value > 0):
            raise ValueError
    except (TypeError, ValueError, u.UnitsError):
        raise ArgumentError(
            f"species={species!r}: 'proton', 'electron', or (charge, mass) such as (2, 4 * u.u) are needed"
        ) from None
    return f"charge {float(charge):g} e, mass {mass:.6g}", float(charge), mass


def momentum_of(energy: Any, mass: Any) -> tuple[Any, np.ndarray]:
    """Momentum and p/(m c) of particles of a kinetic energy.

    Raises
    ------
    ArgumentError
        If the energy is no positive Quantity.
    """
    from astropy import constants
    from astropy import units as u

    try:
        kinetic = u.Quantity(energy).to("J")
    except (TypeError, ValueError, u.UnitsError) as error:
        raise ArgumentError(f"energy={energy!r}: give Quantities such as [1, 10] * u.TeV ({error})") from error
    if not (np.isfinite(kinetic.value).all() and (kinetic.value > 0).all() and kinetic.ndim < 2 and kinetic.size):
        raise ArgumentError(f"energy={energy}: one or several positive numbers are needed")
    rest = (mass * constants.c**2).to("J")
    momentum = np.sqrt(kinetic**2 + 2 * kinetic * rest) / constants.c
    return momentum, (momentum / (mass * constants.c)).to_value("")


def radius_of(momentum: Any, charge: float, strength: Any, length: Any) -> Any:
    """Gyroradius p/(|q| B) of a momentum, in a unit of length.

    Raises
    ------
    SnapshotError
        If the strength is no magnetic field.
    """
    from astropy import constants
    from astropy import units as u

    try:
        field = strength.to("T")
    except u.UnitsError as error:
        raise SnapshotError(f"the field is in {strength.unit}, which is no magnetic field ({error})") from error
    try:
        return (momentum / (abs(charge) * constants.e.si * field) / length).to_value("")
    except u.UnitsError as error:
        raise SnapshotError(f"lengths are in {length.unit}, which is no length ({error})") from error


def energy_of(radius: Any, charge: float, strength: Any, mass: Any) -> Any:
    """Kinetic energy of particles of a gyroradius, the inverse of :func:`radius_of` and :func:`momentum_of`."""
    from astropy import constants

    momentum = (radius * abs(charge) * constants.e.si * strength.to("T") * constants.c).to("J")
    rest = (mass * constants.c**2).to("J")
    return (momentum * (momentum / (np.hypot(momentum.value, rest.value) + rest.value)).value).to("eV")


def energy_attrs(energy: Any) -> dict[str, str]:
    """Attrs of the coordinate ``energy``."""
    return {"units": energy.unit.to_string(), "long_name": "kinetic energy"}


def is_coefficient(text: str) -> bool:
    """Whether units are those of a diffusion coefficient."""
    from astropy import units as u

    try:
        return u.Unit(text).is_equivalent("m2 / s")
    except (TypeError, ValueError):
        return False


def coefficient_attrs(tr: xr.Dataset) -> dict[str, str]:
    """Attrs of a diffusion coefficient of trajectories: its unit, or what it counts; that of lines is a length."""
    if tr.attrs.get("kind") == FIELD_LINES:
        return {**length_attrs(tr), "of": FIELD_LINES}
    length = known_unit_of(tr, LENGTH)
    if length is not None and SPEED in tr.attrs:
        return {"units": text_of((as_quantity(tr.attrs[SPEED], SPEED, SnapshotError) * length).to("m2 / s"))}
    return {"units": "1", "normalization": f"particle speed times {length_name(tr)}"}


def length_attrs(tr: xr.Dataset, power: int = 1) -> dict[str, str]:
    """Attrs of a length of trajectories, or of a rate per length with the power -1."""
    length = known_unit_of(tr, LENGTH)
    if length is not None:
        return {"units": text_of(length**power)}
    return {"units": "1", "normalization": length_name(tr) if power == 1 else f"1 / {length_name(tr)}"}


def length_name(tr: xr.Dataset) -> str:
    """What lengths of trajectories count, in words."""
    notes = tr["path"].attrs if "path" in tr.variables else {}
    unit = notes.get("units", "1")
    return notes.get("normalization", "length unit") if unit == "1" else unit


def speed_of(beta_gamma: float) -> Any:
    """Speed of particles of a momentum p/(m c), infinite for those whose rest mass does not matter."""
    from astropy import constants

    return constants.c if np.isinf(beta_gamma) else constants.c * beta_gamma / np.sqrt(1 + beta_gamma**2)

"""What the numbers of a snapshot stand for, in the units of Faraday rotation: cm-3, uG and pc."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError, require_number


def quantity(value: Any, name: str) -> Any:
    """An astropy Quantity with a unit.

    Raises
    ------
    SnapshotError
        If it has none; `name` says which.
    """
    from astropy import units as u

    try:
        if isinstance(value, u.UnitBase):
            return 1 * value
        try:
            quantity = u.Quantity(value)
        except TypeError:
            quantity = 1 * u.Unit(value)  # a unit by name, such as "uG"
    except (TypeError, ValueError) as error:
        raise SnapshotError(f"{name}={value!r} is no quantity with a unit ({error})") from error
    if quantity.unit == u.dimensionless_unscaled:
        raise SnapshotError(
            f"{name}={value!r} has no unit: give an astropy Quantity such as 3 * u.uG, 1 * u.kpc, 1e-3 / u.cm**3"
        )
    return quantity


def number_in(value: Any, name: str, target: str, low: float = -np.inf) -> float:
    """A quantity as one finite number in a unit.

    Raises
    ------
    SnapshotError
        If it is none, has another kind of unit, or is below `low`; `name` says which.
    """
    from astropy import units as u

    given = quantity(value, name)
    try:
        number = given.to_value(target)
    except u.UnitsError as error:
        raise SnapshotError(f"{name}={value}: a quantity in {target} is needed ({error})") from error
    if np.ndim(number) or not (np.isfinite(number) and number >= low):
        limit = "" if np.isinf(low) else f" from {low:g} on"
        raise SnapshotError(f"{name}={value}: one finite number{limit} is needed")
    return float(number)


def require_angle(angle: Any) -> float:
    """An angle of polarization in radians.

    Raises
    ------
    SnapshotError
        If it is none, or beyond a turn, as one in degrees would be.
    """
    if abs(require_number(angle, "angle")) > 2 * np.pi:
        raise SnapshotError(f"angle={angle!r}: radians from -2 pi to 2 pi are needed, np.radians(...)")
    return float(angle)


def redshift_factor(redshift: float) -> float:
    """(1 + z)⁻², by which a rotation measure is smaller than in its rest frame.

    Raises
    ------
    SnapshotError
        If the redshift is no finite number above -1.
    """
    if require_number(redshift, "redshift") <= -1:
        raise SnapshotError(f"redshift={redshift!r}: a number above -1 is needed")
    return (1 + redshift) ** -2


def factor(array: xr.DataArray, ds: xr.Dataset, key: str, given: Any, target: str, name: str) -> float:
    """Size of the array's unit in `target`: what the caller gave, the array's units, or the dataset's normalization.

    Raises
    ------
    SnapshotError
        If the unit is not known, or is another kind of unit.
    """
    from astropy import units as u

    stated = array.attrs.get("units", "1")
    try:
        if given is not None and stated not in ("1", ""):
            raise SnapshotError(f"{name} is in {stated} already, so {key}={given} contradicts it: leave it out")
        if given is not None:
            return number_in(given, key, target)
        if stated not in ("1", ""):
            return float(u.Unit(stated).to(target))
        if key in ds.attrs:
            return float(u.Unit(ds.attrs[key]).to(target))
    except SnapshotError:
        raise
    except (ValueError, TypeError) as error:  # astropy's unit errors are among them
        raise SnapshotError(f"{name} in units of {stated!r} cannot be brought to {target}: {error}") from error
    remedy = f"give {key}=... as an astropy Quantity" if key != "density_unit" else "give density=..."
    raise SnapshotError(f"{name} is in code units and the snapshot has no {key!r} attribute: {remedy}")

"""What the numbers of a snapshot stand for, in the units of Faraday rotation: cm-3, uG and pc."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, MmfieldsError, SnapshotError, require_number
from mmfields.units import as_quantity, same


def number_in(
    value: Any, name: str, target: str, low: float = -np.inf, *, error: type[MmfieldsError] = ArgumentError
) -> float:
    """A quantity as one finite number in a unit.

    Raises
    ------
    ArgumentError
        If it is none, has another kind of unit, or is below `low`; `name` says which.  Or `error`, for data.
    """
    from astropy import units as u

    given = as_quantity(value, name, error)
    try:
        number = given.to_value(target)
    except u.UnitsError as problem:
        raise error(f"{name}={value}: a quantity in {target} is needed ({problem})") from problem
    if np.ndim(number) or not (np.isfinite(number) and number >= low):
        limit = "" if np.isinf(low) else f" from {low:g} on"
        raise error(f"{name}={value}: one finite number{limit} is needed")
    return float(number)


def require_angle(angle: Any) -> float:
    """An angle of polarization in radians.

    Raises
    ------
    ArgumentError
        If it is none, or beyond a turn, as one in degrees would be.
    """
    if abs(require_number(angle, "angle")) > 2 * np.pi:
        raise ArgumentError(f"angle={angle!r}: radians from -2 pi to 2 pi are needed, np.radians(...)")
    return float(angle)


def redshift_factor(redshift: float) -> float:
    """(1 + z)⁻², by which a rotation measure is smaller than in its rest frame.

    Raises
    ------
    ArgumentError
        If the redshift is no finite number above -1.
    """
    if require_number(redshift, "redshift") <= -1:
        raise ArgumentError(f"redshift={redshift!r}: a number above -1 is needed")
    return (1 + redshift) ** -2


def factor(array: xr.DataArray, ds: xr.Dataset, key: str, given: Any, target: str, name: str) -> float:
    """Size of the array's unit in `target`: what the caller gave, the array's units, or the dataset's normalization.

    Raises
    ------
    ArgumentError, SnapshotError
        If the unit is not known, or is another kind of unit.
    """
    stated = array.attrs.get("units", "1")
    known = stated if stated not in ("1", "") else None
    if given is not None:
        if known is not None and not same(as_quantity(given, key), as_quantity(known, name, SnapshotError)):
            raise SnapshotError(f"{name} is in {stated} already, so {key}={given} contradicts it: leave it out")
        return number_in(given, key, target)
    text = known if known is not None else ds.attrs.get(key)
    if text is None:
        remedy = f"give {key}=... as an astropy Quantity" if key != "density_unit" else "give density=..."
        raise SnapshotError(f"{name} is in code units and the snapshot has no {key!r} attribute: {remedy}")
    return number_in(text, f"the unit of {name}", target, error=SnapshotError)

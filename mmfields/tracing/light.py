"""The speed of light in the units of a snapshot, by which fields and paths are told apart from velocities and times."""

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError, components, require_number
from mmfields.units import LENGTH, unit_of, unit_of_variable


def light_speed_of(field: xr.Dataset, given: float | None) -> float:
    """Speed of light in the unit of E over that of B.

    Raises
    ------
    SnapshotError
        If their units are not known.
    """
    from astropy import constants, units

    electric, magnetic = (field[name].attrs.get("units", "1") for name in (components(field, "E")[0], "Bx"))
    if given is not None:
        return require_number(given, "light_speed", np.finfo(float).tiny)
    try:
        if electric != "1" and magnetic != "1":
            return float((constants.c / (units.Unit(electric) / units.Unit(magnetic))).to(""))
    except (ValueError, units.UnitsError):
        pass
    raise SnapshotError(
        f"E in {electric!r} and B in {magnetic!r} do not say what the speed of light is: give light_speed=..., in the "
        "unit of E over that of B (1 where both have one unit)"
    )


def light_speed_of_flow(field: xr.Dataset, given: float | None) -> float:
    """Speed of light in the unit of the bulk velocity.

    Raises
    ------
    SnapshotError
        If it is not known, or no velocity.
    """
    from astropy import constants
    from astropy import units as u

    unit = unit_of_variable(field, "ux", "velocity_unit")
    if unit is not None:
        try:
            return float((constants.c / unit).to_value(""))
        except u.UnitsError as error:
            raise SnapshotError(f"ux is in {unit}, which is no velocity") from error
    if given is not None:
        return require_number(given, "light_speed", np.finfo(float).tiny)
    raise SnapshotError(
        "electric='ideal' needs the speed of light in the unit of ux, which is not known: give light_speed=..., or "
        "ds.assign_attrs(velocity_unit='...')"
    )


def light_speed_of_path(series: xr.Dataset, given: float | None) -> float:
    """Speed of light in the length unit per unit of time.

    Raises
    ------
    SnapshotError
        If the units are not known, or are none of a length and a time.
    """
    from astropy import constants
    from astropy import units as u

    length, time = unit_of(series, LENGTH), unit_of_variable(series, "time", "time_unit")
    if length is not None and time is not None:
        try:
            return float((constants.c / (length / time)).to_value(""))
        except u.UnitsError as error:
            raise SnapshotError(
                f"lengths are in {length} and times in {time}: a length and a time are needed"
            ) from error
    if given is not None:
        return require_number(given, "light_speed", np.finfo(float).tiny)
    lacking = [key for key, unit in (("length_unit", length), ("time_unit", time)) if unit is None]
    raise SnapshotError(
        f"evolve=... needs the speed of light, to tell the path in a time, and the series does not say its "
        f"{' and '.join(lacking)}: give light_speed=..., in its length unit per unit of time, or "
        f"ds.assign_attrs({', '.join(f'{key}=...' for key in lacking)}), such as '1 pc' and '1 kyr'"
    )

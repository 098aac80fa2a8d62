"""From coefficients in the particles' speed and the run's length unit to cm²/s."""

from typing import Any, TypeVar

import numpy as np
import xarray as xr

from mmfields._types import Number, UnitLike
from mmfields.conventions import FIELD_LINES, ArgumentError, SnapshotError
from mmfields.provenance import verb
from mmfields.units import FAST, LENGTH, SPEED, as_quantity, is_coefficient, speed_of, unit_of

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)

PHYSICAL = "cm2 / s"


@verb
def physical(kappa: Labelled, *, length_unit: UnitLike | None = None, speed: Number | None = None) -> Labelled:
    """Diffusion coefficients in cm²/s.

    Parameters
    ----------
    kappa : xarray.Dataset or xarray.DataArray
        From a function of ``mm.transport`` or ``mm.estimators``; lazy where it is.
    length_unit : astropy Quantity, unit or str, optional
        What 1 stands for in the lengths of the run; by default ``attrs["length_unit"]``, which trajectories hand on.
    speed : astropy Quantity, optional
        Speed of the particles; by default that of their energies or p/(m c), and of light where the rest mass does not
        matter.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        Of the same variables: coefficients and their errors in ``cm2 / s``, all else as it is.

    Raises
    ------
    ArgumentError, SnapshotError
        If the length unit or the speed is not known, or there is no coefficient.
    """
    if isinstance(kappa, xr.DataArray):
        return _converted(kappa, kappa, length_unit, speed)
    if not isinstance(kappa, xr.Dataset):
        raise ArgumentError(f"coefficients of mm.transport are needed, not {type(kappa).__name__}")
    names = [n for n in kappa.data_vars if str(n).removeprefix("running_").startswith("kappa")]
    if not names:
        raise SnapshotError(
            f"no coefficient kappa among {list(kappa.data_vars)}: give what mm.transport.diffusion gives"
        )
    return kappa.assign({n: _converted(kappa[n], kappa, length_unit, speed) for n in names})


def _converted(array: xr.DataArray, data: xr.Dataset | xr.DataArray, length_unit: Any, speed: Any) -> xr.DataArray:
    """One coefficient in cm²/s."""
    from astropy import units as u

    own = {key: value for source in (data, array) for key, value in source.attrs.items()}
    if array.attrs.get("of") == FIELD_LINES:
        raise SnapshotError(f"{array.name} is of field lines, a length: multiply it by a speed")
    _require_own_speeds(array)
    stated = array.attrs.get("units", "1")
    if is_coefficient(stated) and not _of_another_speed(array, own, stated):
        if length_unit is not None or speed is not None:
            raise SnapshotError(f"{array.name} is in {stated} already: leave length_unit and speed out")
        factor: Any = u.Unit(stated).to(PHYSICAL)
    else:
        factor = _length(xr.Dataset(attrs=own), length_unit) * _speed(array, own, speed)
    notes = {k: v for k, v in array.attrs.items() if k not in ("normalization", "note")}
    return (array * factor).drop_attrs(deep=False).assign_attrs({**notes, "units": PHYSICAL})


def _require_own_speeds(array: xr.DataArray) -> None:
    """Refuse several gyroradii that were joined without their energies, which would be those of the first."""
    lone = [n for n in ("energy", "beta_gamma") if n in array.coords and "gyroradius" not in array.coords[n].dims]
    if array.sizes.get("gyroradius", 1) > 1 and lone:
        raise SnapshotError(
            f"{lone} is one number for {array.sizes['gyroradius']} gyroradii: join them with "
            "xr.concat(..., 'gyroradius', coords='different', compat='equals'), so that each keeps its own"
        )


def _of_another_speed(array: xr.DataArray, attrs: dict[Any, Any], stated: str) -> bool:
    """Whether a stated unit is that of light's speed, and slower particles have come in since by joining."""
    from astropy import units as u

    if "beta_gamma" not in array.coords or array["beta_gamma"].chunks is not None:
        return False
    length = unit_of(xr.Dataset(attrs=attrs), LENGTH)
    ours = length is not None and np.isclose(
        u.Unit(stated).to("m2 / s"), (speed_of(np.inf) * length).to_value("m2 / s")
    )
    return bool(ours and (array["beta_gamma"] < FAST).any())


def _length(data: xr.Dataset, given: Any) -> float:
    length = as_quantity(given, LENGTH) if given is not None else unit_of(data, LENGTH)
    if length is None:
        raise SnapshotError(
            "what 1 stands for in lengths is not known: give length_unit=..., such as 1 * u.kpc, or trace through a "
            "snapshot that states it, ds.assign_attrs(length_unit='...')"
        )
    if not length.unit.is_equivalent("m"):
        raise (SnapshotError if given is None else ArgumentError)(f"length_unit={length}: a length is needed")
    return float(length.to_value("cm"))


def _speed(array: xr.DataArray, attrs: dict[Any, Any], given: Any) -> Any:
    """Speed in cm/s, one or over the dims of ``beta_gamma``."""
    if given is None and "beta_gamma" in array.coords:
        return float(speed_of(np.inf).to_value("cm / s")) / np.hypot(1.0, 1 / array["beta_gamma"])
    text = given if given is not None else attrs.get(SPEED)
    if text is not None:
        error = SnapshotError if given is None else ArgumentError
        speed = as_quantity(text, "speed", error)
        if not speed.unit.is_equivalent("m / s") or np.ndim(speed.value) or not speed.value > 0:
            raise error(f"speed={text}: one positive speed such as 3e9 * u.cm / u.s is needed")
        return float(speed.to_value("cm / s"))
    raise SnapshotError(
        "the speed of the particles is not known, or differs between them: give speed=..., or make them with "
        "energy=... or beta_gamma=..."
    )

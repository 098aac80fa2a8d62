"""What the closed forms take: quantities, plain numbers, and values at which they hold."""

from typing import Any

import numpy as np
from astropy import units as u

from mmfields.errors import ArgumentError, warn


def checked(value: Any, name: str, unit: u.UnitBase, *, positive: bool = True) -> u.Quantity:
    """A quantity in a unit."""
    if not isinstance(value, u.Quantity):
        raise ArgumentError(f"{name}={value!r}: an astropy Quantity in {unit} is needed, such as 1 * u.Unit('{unit}')")
    try:
        found = value.to(unit)
    except u.UnitsError as error:
        raise ArgumentError(f"{name}={value}: a quantity in {unit} is needed ({error})") from error
    if not np.isfinite(found.value).all() or (positive and not (found.value > 0).all()):
        raise ArgumentError(f"{name}={value}: finite{', positive' if positive else ''} numbers are needed")
    return found


def number(value: Any, name: str, low: float, high: float) -> np.ndarray:
    """A plain number, or an array of them, within limits."""
    try:
        found = np.asarray(u.Quantity(value).to_value(u.dimensionless_unscaled), float)
    except (TypeError, ValueError) as error:  # astropy's unit errors are among them
        raise ArgumentError(f"{name}={value!r}: numbers from {low:g} to {high:g} are needed ({error})") from error
    if not ((found >= low) & (found <= high)).all():
        raise ArgumentError(f"{name}={value!r}: numbers from {low:g} to {high:g} are needed")
    return found


def require_valid(bad: Any, message: str, check: bool | None) -> None:
    """Say that a formula does not hold for some values: as a warning, as an error if `check`, not at all if False."""
    if check is False or not np.any(bad):
        return
    if check:
        raise ArgumentError(message)
    warn(message)

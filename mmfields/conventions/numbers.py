"""Arguments that are numbers, checked; each complaint names the argument and says what is needed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.errors import ArgumentError, MmfieldsError


def unit_carried(value: Any) -> Any:
    """Unit that a Quantity of astropy or pint carries, in Dask arrays too; None for numbers and labelled arrays."""
    if isinstance(value, xr.Dataset | xr.DataArray | xr.Variable | str):
        return None
    for part in (value, getattr(value, "_meta", None)):
        for unit in (getattr(part, key, None) for key in ("units", "unit")):
            if unit is not None and not callable(unit):
                return unit
    return None


def require_whole(value: Any, name: str, low: int) -> int:
    """A whole number from `low` on.

    Raises
    ------
    ArgumentError
        If it is none; `name` says which.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < low:
        raise ArgumentError(f"{name}={value!r}: a whole number from {low} on is needed")
    return int(value)


def require_number(
    value: Any, name: str, low: float = -np.inf, high: float = np.inf, *, error: type[MmfieldsError] = ArgumentError
) -> float:
    """A finite number within limits, which are included.

    Raises
    ------
    ArgumentError
        If it is none; `name` says which.
    """
    good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not good or not np.isfinite(value) or not low <= value <= high:
        limits = "" if np.isinf(low) and np.isinf(high) else f" from {low:g} to {high:g}"
        raise error(f"{name}={value!r}: a finite number{limits} is needed")
    return float(value)


def require_plain(given: Any, name: str, unit: str = "the field's length unit") -> np.ndarray:
    """Finite numbers of any shape and without a unit, which would be lost.

    Raises
    ------
    ArgumentError
        If they are none, or have a unit; `name` says which.
    """
    if (own := unit_carried(given)) is not None:
        raise ArgumentError(f"{name} is a Quantity in {own}: plain numbers in {unit} are needed, .to_value(...)")
    try:
        array = np.asarray(given)
        array = array.astype(float) if array.dtype.kind in "fiu" else None
    except (TypeError, ValueError):
        array = None
    if array is None or not np.isfinite(array).all():
        raise ArgumentError(f"{name}={given!r}: finite numbers in {unit} are needed")
    return array


def require_values(given: Any, name: str) -> np.ndarray:
    """Finite numbers in one dimension, at least one of them.

    Raises
    ------
    ArgumentError
        If they are none; `name` says which.
    """
    if (own := unit_carried(given)) is not None:
        raise ArgumentError(f"{name} is a Quantity in {own}: plain numbers are needed, .to_value(...)")
    try:
        array = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        array = np.empty((0, 0))
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ArgumentError(f"{name}: finite numbers in one dimension are needed, not {given!r}")
    return array


def require_vector(given: Any, name: str) -> tuple[float, float, float]:
    """Three finite numbers (x, y, z).

    Raises
    ------
    ArgumentError
        If they are none; `name` says which.
    """
    values = require_values(given, name)
    if len(values) != 3:
        raise ArgumentError(f"{name}={given!r}: three numbers (x, y, z) are needed")
    return tuple(values.tolist())


def saved_lengths(distance: float, save: int | Sequence[float], start: float = 0.0) -> np.ndarray:
    """Path lengths of the saved points.

    Parameters
    ----------
    distance : float
        Where the path ends.
    save : int or sequence of float
        So many evenly spaced points after the start, which is saved too; or the path lengths.
    start : float
        Where it begins.

    Returns
    -------
    (s,) float array

    Raises
    ------
    ArgumentError
        If they are not ascending, finite and within the path.
    """
    if require_number(distance, "distance") <= start:
        done = f", of which {start:g} are done: distance counts from the original start" if start else ""
        raise ArgumentError(f"distance={distance!r}: a path length beyond {start:g} is needed{done}")
    if isinstance(save, bool | str):
        raise ArgumentError(f"save={save!r}: path lengths, or how many, are needed; every variable is saved at each")
    if isinstance(save, int | np.integer):
        if save < 1:
            raise ArgumentError(f"save={save}: at least one point is needed")
        return np.linspace(start, distance, int(save) + 1)
    path = require_plain(save, "save")
    if path.ndim != 1 or not len(path) or not np.isfinite(path).all() or path[0] < start or (np.diff(path) <= 0).any():
        raise ArgumentError(f"save: ascending, finite path lengths from {start:g} on are needed")
    if path[-1] > distance * (1 + 1e-12):
        raise ArgumentError(f"save ends at {path[-1]:g}, beyond distance={distance:g}")
    return path


def keys_of(seed: int, group: int, n: int) -> np.ndarray:
    """One 64-bit random key per particle, independent of how many there are and of chunks.

    Parameters
    ----------
    seed, group : int
        Of the ensemble, and which of its gyroradii.
    n : int

    Returns
    -------
    (n,) uint64 array
    """
    return np.random.default_rng([seed, group, 1]).integers(0, 2**64, size=n, dtype=np.uint64, endpoint=False)

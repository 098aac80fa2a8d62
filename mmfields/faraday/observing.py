"""What observers give otherwise than a snapshot does: frequencies for wavelengths, and angles for lengths."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, SnapshotError, require_number, require_plain, require_plain_data
from mmfields.faraday.units import number_in
from mmfields.identity import is_quantity
from mmfields.units import LENGTH, as_quantity, unit_of, unit_of_variable

LIGHT_SPEED = 299792458.0  # m/s


def wavelengths_of(given: Any) -> np.ndarray:
    """Wavelengths squared [m²] of numbers, or of an astropy Quantity or a DataArray with units of area or frequency.

    Raises
    ------
    ArgumentError, SnapshotError
        If they are not finite, below 0, or neither areas nor frequencies.
    """
    if isinstance(given, xr.DataArray):
        require_plain_data(given)
        if (unit := given.attrs.get("units", "1")) not in ("1", ""):
            given = given.values * as_quantity(unit, "wavelength_sq", SnapshotError)
    if is_quantity(given):
        given = _squares(given, SnapshotError if isinstance(given, xr.DataArray) else ArgumentError)
    wave = plain_numbers(given, "wavelength_sq", "m2")
    if (wave < 0).any():
        raise ArgumentError(f"wavelength_sq={wave.min():g}: wavelengths squared [m²] are not below 0")
    return wave


def _squares(given: Any, error: type[Exception]) -> np.ndarray:
    """Areas in m², or (c/ν)² of frequencies."""
    if given.unit.is_equivalent("Hz"):
        hertz = np.asarray(given.to_value("Hz"), float)
        if not (hertz > 0).all():
            raise error(f"wavelength_sq={hertz.min():g} Hz: frequencies are above 0")
        return (LIGHT_SPEED / hertz) ** 2
    if not given.unit.is_equivalent("m2"):
        raise error(f"wavelength_sq is in {given.unit}, neither an area such as m2 nor a frequency such as MHz")
    return np.asarray(given.to_value("m2"), float)


def plain_numbers(given: Any, name: str, unit: str) -> np.ndarray:
    """Numbers that carry no unit, be it astropy's or pint's."""
    if not isinstance(given, xr.DataArray) and getattr(given, "units", None) is not None:
        raise ArgumentError(f"{name} is a quantity in {given.units}: plain numbers in {unit} are needed")
    return require_plain(given, name, unit)


def channel_widths(given: Any, waves: np.ndarray) -> np.ndarray:
    """Full widths in λ² [m²] of channels at these λ², of one width in λ² or, as a Quantity, in frequency.

    Raises
    ------
    ArgumentError
        If it is no such number, or half of it reaches below 0.
    """
    if is_quantity(given) and given.unit.is_equivalent("Hz"):
        half = number_in(given, "channel_width", "Hz", 0.0) / 2
        frequency = LIGHT_SPEED / np.sqrt(waves)
        if (frequency <= half).any():
            raise ArgumentError(f"channel_width={given}: half of it reaches below 0 from {frequency.min():g} Hz")
        return (LIGHT_SPEED / (frequency - half)) ** 2 - (LIGHT_SPEED / (frequency + half)) ** 2
    width = number_in(given, "channel_width", "m2", 0.0) if is_quantity(given) else given
    if (waves - require_number(width, "channel_width", 0.0) / 2 <= 0).any():
        raise ArgumentError(f"channel_width={width:g}: half of it reaches below 0 from {waves.min():g} m²")
    return np.full(len(waves), float(width))


def length_on_sky(given: Any, name: str, ds: xr.Dataset, length_unit: Any = None, distance: Any = None) -> float | None:
    """A length in the map's own unit, of a number in that, a Quantity, or an angle at an angular-diameter distance.

    Raises
    ------
    ArgumentError, SnapshotError
        If an angle comes without its distance, or a distance without an angle; or if the map's unit is not known.
    """
    angle = isinstance(given, str) or is_quantity(given)
    angle = angle and as_quantity(given, name).unit.is_equivalent("rad")
    if distance is not None and not angle:
        raise ArgumentError(f"distance={distance} is for {name} in an angle, such as {name}=6 * u.arcsec")
    if given is None or not (isinstance(given, str) or is_quantity(given)):
        return given
    size = as_quantity(given, name)
    if angle:
        if distance is None:
            raise ArgumentError(
                f"{name}={given} is an angle: it needs distance=..., the angular-diameter distance of the source, "
                "such as distance=100 * u.Mpc"
            )
        size = number_in(size, name, "rad", 0.0) * number_in(distance, "distance", "pc", 0.0) * _parsec()
    one = unit_of(ds, LENGTH, length_unit)
    if one is None:
        raise SnapshotError(f"{name}={given}: length_unit=..., what length 1 stands for, is needed, such as 1 * u.kpc")
    return number_in(size, name, "pc", 0.0) / number_in(one, LENGTH, "pc")


def pixel_at(distance: Any, data: xr.DataArray, dim: str, width: float) -> float:
    """Angle [deg] that a cell of a map covers at an angular-diameter distance.

    Raises
    ------
    ArgumentError, SnapshotError
        If the distance is none, or the unit of the map's lengths is not known.
    """
    far = number_in(distance, "distance", "pc", 0.0)
    one = unit_of_variable(data.coords.to_dataset().assign_attrs(data.attrs), dim, LENGTH)
    if one is None or far == 0:
        raise SnapshotError(
            f"distance={distance}: one above 0, and what length 1 of the map stands for, are needed: "
            "data.assign_attrs(length_unit='1 kpc'), or pixel=..., an angle"
        )
    return float(np.degrees(width * number_in(one, dim, "pc", 0.0, error=SnapshotError) / far))


def _parsec() -> Any:
    from astropy import units as u

    return u.pc

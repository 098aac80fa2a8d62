"""Receivers, their channels, and the wavelengths that are asked for."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import require_number, require_values, require_whole
from mmfields.errors import ArgumentError
from mmfields.faraday.depolarization_laws import wavelengths_of

LONGEST = 1e3  # m²: beyond every radio telescope; a larger number is probably a frequency in Hz
LIGHT_SPEED = 299792458.0  # m/s
# Limits [Hz] of the receivers.
BANDS = {
    "lofar-hba": (120e6, 168e6),
    "ska-low": (50e6, 350e6),
    "meerkat-l": (856e6, 1712e6),
    "vla-l": (1e9, 2e9),
    "vla-s": (2e9, 4e9),
    "vla-c": (4e9, 8e9),
    "vla-x": (8e9, 12e9),
}
# Nodes of the average over a channel, and planes that are taken together in memory.
NODES = 16


def band_channels(name: str, channels: int = 16) -> np.ndarray:
    """Wavelengths squared [m²] of channels even in frequency across a receiver's band.

    Parameters
    ----------
    name : str
        ``lofar-hba``, ``ska-low``, ``meerkat-l``, ``vla-l``, ``vla-s``, ``vla-c`` or ``vla-x``.
    channels : int

    Returns
    -------
    (channels,) float array
        Descending, as the frequencies ascend.

    Raises
    ------
    ArgumentError
        If there is no such band.
    """
    if name not in BANDS:
        raise ArgumentError(f"no band {name!r}; there are {', '.join(BANDS)}")
    low, high = BANDS[name]
    width = (high - low) / require_whole(channels, "channels", 1)
    return (LIGHT_SPEED / (low + (np.arange(channels) + 0.5) * width)) ** 2


def asked_wavelengths(given: Any) -> np.ndarray:
    """Wavelengths squared [m²] of a band's name, a quantity, an array with units, or numbers."""
    if isinstance(given, str):
        return band_channels(given)
    if not isinstance(given, xr.DataArray) and hasattr(given, "unit"):
        if given.unit.is_equivalent("Hz"):
            hertz = require_values(np.atleast_1d(given.to_value("Hz")), "wavelength_sq")
            if (hertz <= 0).any():
                raise ArgumentError(f"wavelength_sq={hertz.min():g} Hz: frequencies are above 0")
            return asked_wavelengths((LIGHT_SPEED / hertz) ** 2)
        try:
            given = given.to_value("m2")
        except ValueError as error:  # astropy's unit errors are among them
            raise ArgumentError(
                f"wavelength_sq is in {given.unit}, neither an area such as m2 nor a frequency such as MHz"
            ) from error
    waves = require_values(np.atleast_1d(wavelengths_of(given)), "wavelength_sq")
    if (waves <= 0).any():
        raise ArgumentError(f"wavelength_sq={waves.min():g}: wavelengths squared [m²] are above 0")
    if waves.max() > LONGEST:
        raise ArgumentError(
            f"wavelength_sq={waves.max():g} m² is a wavelength of {waves.max() ** 0.5 / 1e3:.3g} km: of a "
            "frequency in Hz give (c / frequency)², or a band's name"
        )
    return waves


def channels_of(waves: np.ndarray, width: float | None, *, exact: bool) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths squared at which P is computed, and the weights of a channel's; one where the average is exact."""
    if width is not None and (waves - require_number(width, "channel_width", 0.0) / 2 <= 0).any():
        raise ArgumentError(f"channel_width={width:g}: half of it reaches below 0 from {waves.min():g} m²")
    if width is None or exact:
        return waves, np.ones(1)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (waves[:, None] + width / 2 * nodes).ravel(), weights / 2

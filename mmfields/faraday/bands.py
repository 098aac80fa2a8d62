"""Receivers, their channels, and the wavelengths that a call asks for."""

from typing import Any

import numpy as np

from mmfields.conventions import require_values, require_whole
from mmfields.errors import ArgumentError
from mmfields.faraday.observing import LIGHT_SPEED, wavelengths_of

LONGEST = 1e3  # m²: beyond every radio telescope; a larger number is probably a frequency in Hz
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
# Gauss-Legendre nodes of the average over a channel.
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
    """Wavelengths squared [m²] from the name of a band, a quantity, an array with units, or numbers."""
    if isinstance(given, str):
        return band_channels(given)
    waves = require_values(np.atleast_1d(wavelengths_of(given)), "wavelength_sq")
    if (waves <= 0).any():
        raise ArgumentError(f"wavelength_sq={waves.min():g}: wavelengths squared [m²] are above 0")
    if waves.max() > LONGEST:
        raise ArgumentError(
            f"wavelength_sq={waves.max():g} m² is a wavelength of {waves.max() ** 0.5 / 1e3:.3g} km: of a "
            "frequency in Hz give (c / frequency)², or a band's name"
        )
    return waves


def channels_of(waves: np.ndarray, width: np.ndarray | None, *, exact: bool) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths squared at which P is computed, and their weights in a channel; one per channel if exact."""
    if width is None or exact:
        return waves, np.ones(1)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (waves[:, None] + width[:, None] / 2 * nodes).ravel(), weights / 2

"""Faraday rotation and depolarization, from the simulation box to the telescope."""

from typing import Any

from mmfields._renamed import by_old_name
from mmfields.faraday.bands import BANDS, band_channels
from mmfields.faraday.depolarization_laws import burn_slab, external_dispersion, internal_dispersion
from mmfields.faraday.depth import faraday_depth, rotation_measure
from mmfields.faraday.files import rm_synthesis, write_fits
from mmfields.faraday.fitting import fit
from mmfields.faraday.line_of_sight import RM_CONSTANT
from mmfields.faraday.polarized import depolarization, polarization
from mmfields.faraday.stacking import stack
from mmfields.faraday.statistics import beta_model, compare_to_random_walk, expected_angles, random_walk, statistics

__all__ = [
    "BANDS",
    "RM_CONSTANT",
    "band_channels",
    "beta_model",
    "burn_slab",
    "compare_to_random_walk",
    "depolarization",
    "expected_angles",
    "external_dispersion",
    "faraday_depth",
    "fit",
    "internal_dispersion",
    "polarization",
    "random_walk",
    "rm_synthesis",
    "rotation_measure",
    "stack",
    "statistics",
    "write_fits",
]


def __getattr__(name: str) -> Any:
    return by_old_name(__name__, name, {"band": "band_channels", "compared": "compare_to_random_walk"})


def __dir__() -> list[str]:
    return sorted(__all__)

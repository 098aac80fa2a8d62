"""Anisotropy of fields and pressures: scales, structure functions, instability margins, patches, curvature."""

from typing import Any

from mmfields._renamed import by_old_name
from mmfields.anisotropy.bends import bends, curvature_slope, intermittency
from mmfields.anisotropy.elongation import scale_anisotropy
from mmfields.anisotropy.elsasser import cross_helicity, elsasser
from mmfields.anisotropy.fluctuations import fluctuation
from mmfields.anisotropy.increments import structure_function
from mmfields.anisotropy.lengths import LENGTHS, WAVENUMBERS, scales
from mmfields.anisotropy.plasma import brazil_histogram, compression, curvature, pressure, pressure_tensor
from mmfields.anisotropy.regions import patches
from mmfields.anisotropy.scale_values import STRENGTHS
from mmfields.anisotropy.signed import longitudinal
from mmfields.anisotropy.threshold import threshold_curve

__all__ = [
    "LENGTHS",
    "STRENGTHS",
    "WAVENUMBERS",
    "bends",
    "brazil_histogram",
    "compression",
    "cross_helicity",
    "curvature",
    "curvature_slope",
    "elsasser",
    "fluctuation",
    "intermittency",
    "longitudinal",
    "patches",
    "pressure",
    "pressure_tensor",
    "scale_anisotropy",
    "scales",
    "structure_function",
    "threshold_curve",
]


def __getattr__(name: str) -> Any:
    return by_old_name(__name__, name, {"brazil": "brazil_histogram"})


def __dir__() -> list[str]:
    return sorted(__all__)

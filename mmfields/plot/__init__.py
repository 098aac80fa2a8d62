"""Figures: functions of data and axes that return the axes they drew on, and compute only what drawing needs."""

from mmfields.plot.anisotropy import brazil, scale_anisotropy, structure_function, threshold_curve
from mmfields.plot.base import COLOURS
from mmfields.plot.faraday import depolarization, expected_angles, rotation_measure_pdf, rotation_measure_structure
from mmfields.plot.fields import compare, rotation_measure, slices
from mmfields.plot.lines import field_lines, squashing
from mmfields.plot.solid import cube, orbits, solid_engine
from mmfields.plot.spectra import spectrum, spectrum2d
from mmfields.plot.transport import diffusion, running_diffusion

__all__ = [
    "COLOURS",
    "brazil",
    "compare",
    "cube",
    "depolarization",
    "diffusion",
    "expected_angles",
    "field_lines",
    "orbits",
    "rotation_measure",
    "rotation_measure_pdf",
    "rotation_measure_structure",
    "running_diffusion",
    "scale_anisotropy",
    "slices",
    "solid_engine",
    "spectrum",
    "spectrum2d",
    "squashing",
    "structure_function",
    "threshold_curve",
]


def __dir__() -> list[str]:
    return sorted(__all__)

"""Synthetic fields: evaluated at the particles (plane waves, nested grids), or snapshots of chosen statistics."""

from mmfields.turbulence.base import Synthetic
from mmfields.turbulence.gauss import gaussian
from mmfields.turbulence.mirrors import layers, micromirrors, patches
from mmfields.turbulence.nested import NestedGrids, nested_grids
from mmfields.turbulence.shapes import bend_over, correlation_length
from mmfields.turbulence.waves import PlaneWaves, plane_waves

__all__ = [
    "NestedGrids",
    "PlaneWaves",
    "Synthetic",
    "bend_over",
    "correlation_length",
    "gaussian",
    "layers",
    "micromirrors",
    "nested_grids",
    "patches",
    "plane_waves",
]


def __dir__() -> list[str]:
    return sorted(__all__)

"""Synthetic fields: evaluated at the particles (plane waves, nested grids), or snapshots of chosen statistics."""

from mmfields.turbulence.base import Synthetic
from mmfields.turbulence.shapes import bend_over, correlation_length
from mmfields.turbulence.waves import PlaneWaves, plane_waves

__all__ = ["PlaneWaves", "Synthetic", "bend_over", "correlation_length", "plane_waves"]

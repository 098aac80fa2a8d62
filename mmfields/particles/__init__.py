"""Ensembles of particles, each with a key of its own that no chunking changes."""

from mmfields.particles.continued import from_trajectories
from mmfields.particles.ensembles import beam, from_arrays, isotropic
from mmfields.particles.radii import gyroradius, reference_strength

__all__ = ["beam", "from_arrays", "from_trajectories", "gyroradius", "isotropic", "reference_strength"]


def __dir__() -> list[str]:
    return sorted(__all__)

"""Diffusion coefficients from trajectories alone, lazily.

Every function counts a particle until it leaves through an open wall and no further, leaves out what a reflection has
turned, and goes by the particle's own path and speed where the path of the trajectories is light's.
"""

from mmfields.transport.displacement import bootstrap, diffusion, displacements, running_diffusion
from mmfields.transport.leaving import escape
from mmfields.transport.momentum import momentum_diffusion
from mmfields.transport.physical import physical
from mmfields.transport.pitch import parallel_from_mu, pitch_angle_diffusion
from mmfields.transport.statistics import PREFACTOR, UNITS_NOTE
from mmfields.transport.trapping import trapping
from mmfields.transport.velocity import green_kubo, tensor

__all__ = [
    "PREFACTOR",
    "UNITS_NOTE",
    "bootstrap",
    "diffusion",
    "displacements",
    "escape",
    "green_kubo",
    "momentum_diffusion",
    "parallel_from_mu",
    "physical",
    "pitch_angle_diffusion",
    "running_diffusion",
    "tensor",
    "trapping",
]


def __dir__() -> list[str]:
    return sorted(__all__)

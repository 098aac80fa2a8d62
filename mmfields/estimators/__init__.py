"""Diffusion coefficients of short trajectories: by maximum likelihood, by displacements, and by a recurrent network."""

from typing import Any

from mmfields.estimators.classical import filling_fraction, maximum_likelihood, mean_squared_displacement
from mmfields.estimators.training import features, two_phase

__all__ = [
    "LSTMDiffusion",
    "features",
    "filling_fraction",
    "maximum_likelihood",
    "mean_squared_displacement",
    "two_phase",
]


def __getattr__(name: str) -> Any:
    if name == "LSTMDiffusion":  # only here is torch imported
        from mmfields.estimators.lstm import LSTMDiffusion

        return LSTMDiffusion
    raise AttributeError(f"module 'mmfields.estimators' has no attribute {name!r}")

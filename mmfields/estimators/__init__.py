"""Diffusion coefficients of short trajectories: likelihood, Bayes' theorem, displacements, a recurrent network."""

from typing import Any

from mmfields.estimators.classical import filling_fraction, maximum_likelihood, mean_squared_displacement
from mmfields.estimators.posterior import bayes
from mmfields.estimators.training import features, two_phase

__all__ = [
    "LSTMDiffusion",
    "bayes",
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


def __dir__() -> list[str]:
    return sorted(__all__)

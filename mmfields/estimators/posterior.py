"""Diffusion coefficients of short trajectories by Bayes' theorem, with a stated prior."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, require_values
from mmfields.estimators.classical import UNITS_NOTE, maximum_likelihood, reversals, steps_of
from mmfields.provenance import verb
from mmfields.units import CARRIED, coefficient_attrs

# Values of the coefficient at which a posterior is evaluated, evenly spread in the logarithm.
VALUES = 801


@verb
def bayes(trajectories: xr.Dataset, *, kappa: tuple[float, float], gyration: bool = False) -> xr.Dataset:
    """Posterior mean of log κ from the steps of each trajectory, with a prior that is even in log κ.

    The data are what :func:`maximum_likelihood` counts: in one dimension the number of steps over which the
    direction is reversed, in three the squared deflections between saved points, of angles from a Gaussian (Eq.
    13).  Where many scatterings fall between two saved points, the error is less than is stated, by up to √2.
    Steps are taken for independent and of one rate.  The mean of log κ has the least mean square error in log κ
    that any estimator can have where these hold and the prior is that of the trajectories; so it is what a network
    that learns from such trajectories comes near to.

    Parameters
    ----------
    trajectories : xarray.Dataset
        As :func:`maximum_likelihood` takes them.
    kappa : (float, float)
        Limits of the prior, in the length unit of the trajectories times the particle speed.
    gyration : bool
        As :func:`maximum_likelihood`.

    Returns
    -------
    xarray.Dataset
        ``kappa``, ten to the posterior mean of log₁₀ κ, of each particle; ``dex``, the standard deviation of log₁₀ κ in
        the posterior; ``kappa_error``, the same in κ, to first order.  Lazy where the trajectories are.

    Raises
    ------
    ArgumentError, SnapshotError
        If the limits are not positive and increasing, or the points are not even.

    Examples
    --------
    >>> import mmfields as mm
    >>> tr = mm.estimators.two_phase(200, steps=100, kappa=(1.0, 100.0), seed=1)
    >>> found = mm.estimators.bayes(tr, kappa=(1.0, 100.0))
    >>> found.kappa.sizes["particle"]
    200
    """
    limits = require_values(np.asarray(kappa, float), "kappa")
    if limits.shape != (2,) or not 0 < limits[0] < limits[1]:
        raise ArgumentError(f"kappa={kappa!r}: the lower and the upper limit of the prior are needed, both positive")
    if "vx" in trajectories and "vy" not in trajectories:
        step = steps_of(trajectories)
        share, count = reversals(trajectories, ["path"])
        numbers, function, options = (share * count, count), _of_reversals, {"step": step}
    else:
        found = maximum_likelihood(trajectories, gyration=gyration)
        numbers, function, options = (found["nu"], found["count"]), _of_deflections, {}
    mean, dex = xr.apply_ufunc(
        function,
        *numbers,
        output_core_dims=[[], []],
        kwargs={"limits": tuple(limits.tolist()), **options},
        dask="parallelized",
        output_dtypes=[float, float],
    )
    coefficient = {**coefficient_attrs(trajectories), "note": UNITS_NOTE}
    out = xr.Dataset(
        {
            "kappa": mean.assign_attrs(long_name="diffusion coefficient", **coefficient),
            "kappa_error": (np.log(10.0) * dex * mean).assign_attrs(
                long_name="error of the diffusion coefficient", **coefficient
            ),
            "dex": dex.assign_attrs(long_name="standard deviation of log10 kappa", units="1"),
        }
    )
    out = out.assign_attrs({key: trajectories.attrs[key] for key in CARRIED if key in trajectories.attrs})
    return out.assign_attrs(
        estimator="posterior mean of log kappa", prior=f"even in log kappa, {kappa[0]:g} to {kappa[1]:g}"
    )


def _of_reversals(flips: Any, count: Any, *, step: float, limits: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """κ and standard deviation in dex, of reversals in so many steps: binomial, of share (1 - e^(-s/κ)) / 2."""
    from scipy.special import xlog1py, xlogy

    values = np.geomspace(*limits, VALUES)
    share = -np.expm1(-step / values) / 2
    flips, count = np.asarray(flips, float)[..., None], np.asarray(count, float)[..., None]
    return _moments(xlogy(flips, share) + xlog1py(count - flips, -share), values)


def _of_deflections(nu: Any, count: Any, *, limits: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The same of angles from a Gaussian of variance ν s (Eq. 13), with κ = 2/(3 ν)."""
    values = np.geomspace(*limits, VALUES)
    ratio = np.asarray(nu, float)[..., None] * (1.5 * values)
    return _moments(np.asarray(count, float)[..., None] / 2 * (np.log(values) - ratio), values)


def _moments(likelihood: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ten to the mean of log₁₀ κ, and its standard deviation, from logarithms of the likelihood on even log κ."""
    weight = np.exp(likelihood - likelihood.max(axis=-1, keepdims=True))
    weight[..., [0, -1]] *= 0.5  # the trapezoidal rule
    weight /= weight.sum(axis=-1, keepdims=True)
    logarithm = np.log10(values)
    mean = weight @ logarithm
    square = (weight * (logarithm - mean[..., None]) ** 2).sum(axis=-1)
    return 10.0**mean, np.sqrt(square)

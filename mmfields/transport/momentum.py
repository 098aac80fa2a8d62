"""Acceleration: how momenta drift and diffuse."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, SnapshotError, require_values
from mmfields.provenance import verb
from mmfields.transport.reading import check, length_of_lag, untouched
from mmfields.transport.statistics import ratio_error
from mmfields.units import length_attrs

EDGES = tuple(np.geomspace(0.1, 10.0, 21).tolist())


@verb
def momentum_diffusion(trajectories: xr.Dataset, *, lag: int = 1, edges: Sequence[float] = EDGES) -> xr.Dataset:
    """D_pp(p) = <(delta p)²> / (2 delta t) and the drift A(p) = <delta p> / delta t from pairs of saved momenta.

    These are the coefficients of second and first order of the Fokker-Planck equation
    df/dt = -d(A f)/dp + d²(D f)/dp² of the number of particles per momentum.  Where acceleration is isotropic diffusion
    alone, A = (1/p²) d(p² D)/dp, which is 4 D/p for D ∝ p².  Momenta count in those at the start, and time as the path
    of light, so that a rate per second is c times what is returned.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace`` with ``pusher``, evenly saved; lazy where it is.  The lag should be long against what makes
        momenta oscillate, a gyration in an electric field, and short against the time in which they change.
    lag : int
        Saved points between the two of a pair.
    edges : sequence of float
        Of bins of the first momentum of a pair, over that at the start; twenty from 0.1 to 10, evenly spread in log p.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,) ``p``: ``D_pp`` and ``drift`` [1 / length unit], their ``…_error`` from the scatter
        between particles, and ``pairs``.  NaN where a bin holds no pair.

    Raises
    ------
    ArgumentError, SnapshotError
        If momenta are missing, the saved points are not evenly spaced, or the edges do not increase.

    Examples
    --------
    >>> import numpy as np
    >>> import mmfields as mm
    >>> fields = {f"{a}{d}": np.full((4, 4, 4), 0.01 * (a + d == "Ez") + (a + d == "Bz")) for a in "EB" for d in "xyz"}
    >>> ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    >>> p = mm.particles.isotropic(20, gyroradius=1.0, beta_gamma=10.0, seed=1, field=ds, reference_field=1.0)
    >>> tr = mm.trace(ds, p, step=0.1, distance=10.0, save=10, pusher="boris", light_speed=1.0)
    >>> found = mm.transport.momentum_diffusion(tr, edges=[0.5, 2.0])
    >>> found.sizes["p"]
    1
    """
    check(trajectories)
    if "momentum" not in trajectories:
        raise SnapshotError("the trajectories hold no momentum: trace with pusher='boris' and light_speed=...")
    limits = require_values(np.asarray(edges, float), "edges")
    if limits.ndim != 1 or limits.size < 2 or not (np.diff(limits) > 0).all() or limits[0] < 0:
        raise ArgumentError(f"edges={edges!r}: two or more numbers that increase from 0 or more are needed")
    span = length_of_lag(trajectories, lag)
    first, change = _pairs(trajectories, lag)
    inside = [(first >= low) & (first < high) & change.notnull() for low, high in pairwise(limits)]
    time = xr.concat([there.sum("path") for there in inside], "p") * span
    sums = [xr.concat([values.where(there).sum("path") for there in inside], "p") for values in (change, change**2 / 2)]
    (drift, drift_error), (d, error) = (ratio_error(values, time) for values in sums)
    per_length = length_attrs(trajectories, -1)
    middle = np.sqrt(limits[1:] * limits[:-1]) if limits[0] > 0 else (limits[1:] + limits[:-1]) / 2
    notes = {"long_name": "momentum over that at the start", "units": "1"}
    return xr.Dataset(
        {
            "D_pp": d.assign_attrs(per_length, long_name="momentum diffusion coefficient over p0 squared"),
            "D_pp_error": error.assign_attrs(per_length, long_name="standard error of D_pp"),
            "drift": drift.assign_attrs(per_length, long_name="mean rate of change of p / p0"),
            "drift_error": drift_error.assign_attrs(per_length, long_name="standard error of the drift"),
            "pairs": xr.concat([there.sum(["path", "particle"]) for there in inside], "p").assign_attrs(
                units="1", long_name="pairs of saved points"
            ),
        },
        {"p": ("p", middle, notes), "p_low": ("p", limits[:-1], notes), "p_high": ("p", limits[1:], notes)},
        {"lag": span, "path_kind": "light"},
    )


def _pairs(tr: xr.Dataset, lag: int) -> tuple[xr.DataArray, xr.DataArray]:
    """First momenta of pairs, and their changes: NaN where a particle has left or was reflected in between."""
    momentum, counts = tr["momentum"], untouched(tr, lag)
    first = momentum.isel(path=slice(None, -lag)).drop_vars("path")
    change = momentum.isel(path=slice(lag, None)).drop_vars("path") - first
    return first, change if counts is None else change.where(counts)

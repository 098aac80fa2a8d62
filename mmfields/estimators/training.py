"""Trajectories of known diffusion coefficient, and what an estimator sees of them."""

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.conventions import ArgumentError, SnapshotError, require_number, require_whole
from mmfields.estimators.classical import require_directions, steps_of
from mmfields.provenance import verb
from mmfields.transport.reading import light, own_path, untouched

# So small a squared angle is none.
SMALLEST = 1e-6


@renamed(f_mm="filling_fraction")
@verb
def two_phase(
    realizations: int,
    *,
    steps: int = 100,
    kappa: tuple[float, float] = (1.0, 100.0),
    filling_fraction: tuple[float, float] = (0.0, 1.0),
    contrast: tuple[float, float] = (1.0, 100.0),
    period: tuple[float, float] = (0.1, 10.0),
    seed: int,
) -> xr.Dataset:
    """One-dimensional trajectories in media of two phases (Sec. 3.10), one of each realization.

    Each medium has periodic layers with a filling fraction, a contrast of the two rates and a period of its own; its κ
    is that of Eq. 11, log-uniform.  Particles reverse with the probability of an odd number of reversals in a step, at
    the rate in the middle of it, from a start that is uniform over the period.

    Parameters
    ----------
    realizations : int
    steps : int
        Of path 1 each.
    kappa : (low, high)
        Of the whole medium [speed times length of a step].
    filling_fraction, contrast, period : (low, high)
        Filling fraction, uniform; ratio of the rates, and period over the mean free path, log-uniform.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``x``, ``vx`` over (``particle``, ``path``), and the labels ``kappa``, ``filling_fraction``,
        ``contrast``, ``period``.

    Raises
    ------
    ArgumentError
        If a number is unusable.
    """
    count, length = require_whole(realizations, "realizations", 1), require_whole(steps, "steps", 2)
    limits = {
        "kappa": (kappa, 0.5),
        "filling_fraction": (filling_fraction, 0.0),
        "contrast": (contrast, 1.0),
        "period": (period, 1e-6),
    }
    if bad := [name for name, (pair, _) in limits.items() if np.shape(pair) != (2,)]:
        raise ArgumentError(f"{bad}: (low, high) is needed")
    for name, ((low, high), least) in limits.items():
        require_number(low, name, least), require_number(high, name, low, 1.0 if name == "filling_fraction" else np.inf)
    random = np.random.default_rng([require_whole(seed, "seed", 0), 21])
    draws = random.random((5, count))
    ranges = zip(draws[:3], (kappa, contrast, period), strict=True)
    target, ratio, layer = (low * (high / low) ** d for d, (low, high) in ranges)
    share = filling_fraction[0] + draws[3] * (filling_fraction[1] - filling_fraction[0])
    # Eq. 10 along one dimension: 1/kappa = f nu_mm + (1-f) nu_res, of which the ratio is given
    outside = 1 / target / (share * ratio + 1 - share)
    period_length = layer * target
    x, forward = draws[4] * period_length, np.where(random.random(count) < 0.5, -1.0, 1.0)
    position, direction = np.empty((count, length + 1)), np.empty((count, length + 1))
    position[:, 0], direction[:, 0] = x, forward
    for i in range(length):
        middle = (x + 0.5 * forward) / period_length % 1.0
        nu = outside * np.where(middle < share, ratio, 1.0)
        turns = random.random(count) < -0.5 * np.expm1(-nu)
        x = x + forward
        forward = np.where(turns, -forward, forward)
        position[:, i + 1], direction[:, i + 1] = x, forward
    dims = ("particle", "path")
    labels = {"kappa": target, "filling_fraction": share, "contrast": ratio, "period": layer}
    return xr.Dataset(
        {
            "x": (dims, position, {"long_name": "unwrapped position"}),
            "vx": (dims, direction, {"long_name": "direction"}),
            **{n: ("particle", values) for n, values in labels.items()},
        },
        {"path": ("path", np.arange(length + 1.0), {"long_name": "path length"})},
        {"seed": int(seed), "scattering": "1-D reversals in two phases"},
    )


def features(trajectories: xr.Dataset) -> np.ndarray:
    """What the network sees of every step: cos Θ, log(θ² + ε), Δμ and Δx/s.

    Steps that say nothing of scattering are NaN: those in which a particle left the box or was reflected, all that
    follow its leaving, and those that begin or end where there is no field.

    Parameters
    ----------
    trajectories : xarray.Dataset
        With ``particle`` and even steps, in one dimension or three; x is the direction of Δx, and of μ where there is
        no ``mu``.  Computed here.

    Returns
    -------
    (particle, step, 4) float32 array

    Raises
    ------
    SnapshotError
        If points are not even or a variable is missing.
    """
    step = steps_of(trajectories)
    if "particle" not in trajectories.dims or any(n not in trajectories for n in ("x", "vx")):
        raise SnapshotError(f"x and vx over 'particle' are needed, not {list(trajectories.data_vars)}")
    require_directions(trajectories)
    tr = trajectories.transpose("particle", "path", ...)
    if bad := [n for n in ("x", "vx", "vy", "vz") if n in tr and not np.isfinite(tr[n].values).all()]:
        raise SnapshotError(f"{', '.join(bad)} of some particles are not finite: leave these out")
    v = np.stack([tr[n].values for n in ("vx", "vy", "vz") if n in tr], axis=-1).astype(float)
    cosine = np.clip((v[:, 1:] * v[:, :-1]).sum(-1), -1, 1)
    mu = (tr["mu"] if "mu" in tr else tr["vx"]).values.astype(float)
    if light(tr):
        step = own_path(tr).transpose("particle", "path").diff("path").values
    counts = untouched(tr)
    rows = (
        cosine,
        np.log(np.arccos(cosine) ** 2 + SMALLEST),
        np.diff(mu, axis=1),
        np.diff(tr["x"].values, axis=1) / step,
    )
    seen = np.stack(rows, axis=-1).astype(np.float32)
    if counts is not None:
        seen[~counts.transpose("particle", "path").values] = np.nan
    return np.where(np.isfinite(seen).all(axis=-1, keepdims=True), seen, np.float32(np.nan))

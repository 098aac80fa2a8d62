"""Contribution of the longest waves of a box to the error of a structure function."""

from typing import Any

import numpy as np

from mmfields.anisotropy.jackknife import group_sums
from mmfields.anisotropy.separations import POINTS, TIE, Plan, bins_of

# Parts per axis whose means resolve the longest waves, and how many separations of a bin stand for all of them.
COARSE, FEW = 12, 24


def parts_of(field: Any, rank: int) -> Any:
    """Sums of a field over the parts of the box that resolve its longest waves, (…, parts)."""
    nothing = np.empty((*field.shape[: field.ndim - rank], 0))
    return group_sums(_add_parts, [field], [nothing], rank=rank, groups=COARSE, columns=2)[..., 1]


def _add_parts(fields: list[np.ndarray], _: Any, edges: list[np.ndarray], out: np.ndarray) -> None:
    from mmfields.kernels.moments import add_products

    field = np.ascontiguousarray(fields[0])
    add_products(field, field, tuple(edges), out)


def scatter_of_long_waves(parts: np.ndarray, plan: Plan) -> np.ndarray:
    """Standard deviation of the second moment of the increments of a Gaussian field in every bin of length.

    The power of a wave has an exponential distribution, and the wave adds its power times a transfer function to the
    mean square of an increment, so the variance of the sum is half the sum of the squares.  Axes that are not
    periodic are expanded in cosines, which see no jump at the ends.

    Parameters
    ----------
    parts : (fields, parts) array
        From :func:`parts_of`.
    plan : Plan

    Returns
    -------
    (bins,) array
        NaN where no separation lies in a bin.
    """
    power, waves = _coarse_power(parts, plan)
    missing = 3 - len(plan.grid.dims)
    lags = plan.lags[:, missing:] * np.array(plan.grid.spacing)
    rings = bins_of(np.linalg.norm(lags, axis=1), plan.edges * (1 - TIE))
    steps, weights, norm = POINTS[plan.points]
    found = np.full(len(plan.edges) - 1, np.nan)
    # a cosine has one random amplitude, a wave has two
    share = 1.0 if any(p and n > 1 for p, n in zip(plan.grid.periodic, plan.grid.shape, strict=True)) else 2 / 3
    for ring in np.unique(rings[rings < len(found)]):
        own = lags[rings == ring]
        own = own[:: -(-len(own) // FEW)]
        phase = np.tensordot(own, waves, 1)
        transfer = abs(sum(w * np.exp(1j * s * phase) for s, w in zip(steps, weights, strict=True))) ** 2
        found[ring] = norm * np.sqrt(share * np.sum((power * transfer.mean(axis=0)) ** 2))
    return found


def _coarse_power(parts: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Power, summed over the fields, of the waves that means over the parts resolve, and their wavevectors."""
    from scipy import fft

    counts = tuple(min(COARSE, n) for n in plan.grid.shape)
    sizes = [np.bincount(np.arange(n) * c // n) for n, c in zip(plan.grid.shape, counts, strict=True)]
    cells = sizes[0]
    for size in sizes[1:]:
        cells = np.multiply.outer(cells, size)
    means = parts.reshape(-1, *counts) / cells
    rest: Any = means - (parts.sum(axis=1) / cells.sum()).reshape(-1, *(1,) * len(counts))
    waves = []
    for axis, (c, n, width, wraps) in enumerate(
        zip(counts, plan.grid.shape, plan.grid.spacing, plan.grid.periodic, strict=True)
    ):
        if wraps:
            rest = fft.fft(rest, axis=axis + 1, norm="forward")
            waves.append(2 * np.pi * np.fft.fftfreq(c, n * width / c))
        else:
            parts_ = [fft.dct(a, axis=axis + 1, norm="ortho") for a in (rest.real, rest.imag)]
            rest = (parts_[0] + 1j * parts_[1]) / np.sqrt(c)
            waves.append(np.pi * np.arange(c) / (n * width))
    return (np.abs(rest) ** 2).sum(axis=0), np.stack(np.meshgrid(*waves, indexing="ij"))


def relative_of_bins(rings: np.ndarray, plan: Plan) -> np.ndarray:
    """Values of the bins of length, repeated for all bins in the order of the kernels."""
    many, known = len(plan.edges), np.flatnonzero(np.isfinite(rings))
    if not len(known):
        return np.full(many * (many + len(plan.turns)), np.nan)
    middles = (plan.edges[1:] + plan.edges[:-1]) / 2
    length = np.hypot(middles[:, None], middles)
    nearest = known[np.abs(np.log(length[..., None] / middles[known])).argmin(axis=-1)]
    annuli, wedges = np.full((many, many), np.nan), np.full((many, len(plan.turns)), np.nan)
    annuli[:-1, :-1], wedges[:-1] = rings[nearest], rings[:, None]
    return np.concatenate([annuli.ravel(), wedges.ravel()])

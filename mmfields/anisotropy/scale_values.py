"""Scales of one field from its sums, with their scatter between Gaussian fields."""

from collections import namedtuple
from collections.abc import Callable, Sequence

import numpy as np

from mmfields.anisotropy.jackknife import jackknife
from mmfields.conventions import (
    MEAN_FIELD_FLOOR,
    SPATIAL,
    require_direction,
)
from mmfields.spectra import area_to_first_zero

STRENGTHS = ("dB_par_rms", "dB_perp_rms")
# In the order in which `values_of` gives them.
SCALES = {
    "l_par": "integral scale of dB_par along the mean field, to l_par_cutoff",
    "l_perp": "integral scale of dB_par across the mean field, to l_perp_cutoff",
    "k_par_rms": "rms parallel wavenumber of dB_par",
    "k_perp_rms": "rms perpendicular wavenumber of dB_par",
    "aspect_k": "k_perp_rms / k_par_rms",
    "aspect_l": "l_par / l_perp",
    "dB_par_rms": "rms fluctuation along the mean field",
    "dB_perp_rms": "rms fluctuation across the mean field, both components",
    "dB_perp2_over_dB_par2": "power across over power along the mean field",
    "dB_over_B0": "rms fluctuation over mean field strength, NaN where there is no mean field",
    "skewness": "skewness of dB_par",
    "kurtosis": "kurtosis of dB_par, 3 for a Gaussian",
    "correlation_dn": "correlation coefficient of dB_par with the density",
}
INDEX = {name: i for i, name in enumerate(SCALES)}

# The results of `lengths_of`, and the sums over a sub-volume: cells, the parallel fluctuation and its powers, the
# components, the square of the total field, the density, its square and its product with the fluctuation, and the
# densities of four scales.
Exact = namedtuple("Exact", "l_par l_perp k_par k_perp l_par_cutoff l_perp_cutoff")
Sums = namedtuple("Sums", "cells par par2 par3 par4 x y z square n n2 n_par l_par l_perp k2_par k2_perp")
# The correlation is computed for so many lags at a time, until it has a zero.
LAGS = 64


def lengths_of(
    lines: np.ndarray,
    along: np.ndarray,
    *,
    dims: Sequence[str],
    shape: Sequence[int],
    widths: Sequence[float],
    fine: float,
) -> np.ndarray:
    """l_par, l_perp, k_par_rms, k_perp_rms and the two cut-offs, from the power in fine bins of k_par and k_perp."""
    require_direction(along)
    total = lines[:-1, 0].sum()
    out = np.full(6, np.nan)
    if not total > 0:
        return out
    out[2], out[3] = np.sqrt(lines[-1, 1] / total), np.sqrt(lines[-1, 0] / total)
    for i, (column, kernel) in enumerate(((2, np.cos), (0, bessel))):
        reach = _reach(shape, widths, dims, along, along_field=i == 0)
        if reach > 0:
            out[i], out[4 + i] = _integral_scale(lines[:-1, column : column + 2], kernel, reach, min(widths))
    return out


def bessel(x: np.ndarray) -> np.ndarray:
    """J0, the mean of cos(k r) over all directions across an axis."""
    from scipy.special import j0

    return j0(x)


def _reach(
    shape: Sequence[int], widths: Sequence[float], dims: Sequence[str], direction: np.ndarray, *, along_field: bool
) -> float:
    """Half the box along (or across) the mean field; 0 where the box does not extend in that direction."""
    parts = [abs(direction[SPATIAL.index(d)]) for d in dims]
    parts = parts if along_field else [float(np.sqrt(max(1.0 - p**2, 0.0))) for p in parts]
    lengths = [n * w / p for n, w, p in zip(shape, widths, parts, strict=True) if p > 1e-3 and n > 1]
    return min(lengths) / 2 if lengths else 0.0


def _integral_scale(line: np.ndarray, kernel: Callable, reach: float, cell: float) -> tuple[float, float]:
    """Integral of the correlation sum_k w kernel(k r) from 0 to its first zero, at most to `reach`; and its end.

    `line` holds power, and power times wavenumber, in bins.  Their ratio is the mean wavenumber of a bin; it is exact
    along a grid axis.
    """
    mass = line[:, 0]
    keep = mass > 0
    mass, k = mass[keep], line[keep, 1] / mass[keep]
    r = np.linspace(0.0, reach, 4 * max(8, int(reach / cell + 0.5 + 1e-6)) + 1)
    correlation: list[float] = []
    while len(correlation) < len(r) and not (correlation and min(correlation) <= 0):
        correlation += [np.dot(mass, kernel(k * s)) for s in r[len(correlation) : len(correlation) + LAGS]]
    values = np.array(correlation)
    below = np.flatnonzero(values <= 0)
    if not len(below):
        return float(area_to_first_zero(values, step=float(r[1]))), reach
    a, b = values[below[0] - 1], values[below[0]]
    return float(area_to_first_zero(values, step=float(r[1]))), float(r[below[0] - 1] + r[1] * a / (a - b))


def values_of(exact: np.ndarray, level: np.ndarray, moments: np.ndarray, *sums: np.ndarray, count: int) -> np.ndarray:
    """All scales and their errors, in the order of `SCALES`; `sums` are for the errors, and absent without them."""
    strength = np.linalg.norm(level[:3].astype(float))
    columns = [moments, *(_about_mean(s, moments) for s in sums[:4])]
    values, errors = jackknife(np.concatenate(columns, axis=-1), lambda s: _statistics(s, level))
    tiny = not values[INDEX["dB_par_rms"]] ** 2 > 1e-24 * max(strength**2, np.finfo(float).tiny)  # the field is uniform
    values[:4], found = exact[:4], Exact(*exact)
    with np.errstate(divide="ignore", invalid="ignore"):
        values[INDEX["aspect_k"]], values[INDEX["aspect_l"]] = found.k_perp / found.k_par, found.l_par / found.l_perp
        if sums:
            errors = np.fmax(errors, _scatter(values, sums[4], sums[5]))
    relative = INDEX["dB_over_B0"]
    if values[relative] * MEAN_FIELD_FLOOR > 1:  # there is no mean field to compare with
        values[relative] = errors[relative] = np.nan
    if tiny:
        unknown = [i for name, i in INDEX.items() if name not in (*STRENGTHS, "dB_over_B0")]
        values[unknown] = errors[unknown] = np.nan
    return np.concatenate([values[:count], errors[:count]])


def _about_mean(products: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Sums of (fluctuation - its mean) times a density, per sub-volume, from those of the product and of the density.

    Fluctuations are stored about a level that depends on where the box begins; about their mean they do not.
    """
    mean = moments[:, 1].sum() / moments[:, 0].sum()
    return products[:, :1] - mean * products[:, 1:]


def _scatter(values: np.ndarray, powers: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Standard deviations of all scales between Gaussian fields of the same spectrum; NaN where it cannot be computed.

    The power of a mode has an exponential distribution, so the variance of its sum over modes is half the sum of its
    squares.  The power across belongs to two components, for which this is too large by a fifth at most.  A ratio to
    the power of the same few modes would scatter too little, since that power follows them; `few` corrects for it.
    """
    first, products = spread[0], spread[1:] + np.triu(spread[1:], 1).T
    one = np.eye(len(first))
    par, perp, density = first[0], first[5], first[6]
    l_par, l_perp, k2_par, k2_perp = first[1:5] / par
    few = 1 / np.sqrt(max(1 - 2 * products[0, 0] / par**2, 0.25))

    def size(*terms: np.ndarray) -> float:
        row = sum(terms)
        return float(np.sqrt(max(row @ products @ row, 0.0))) if np.isfinite(row).all() else np.nan

    ratio = np.hypot(size(one[5] / perp), size(one[0] / par))
    square, cube, fourth = powers
    together = (one[7] / np.sqrt(par * density), -values[12] / 2 * (one[0] / par + one[6] / density))
    return np.array(
        [
            few * size(one[1] - l_par * one[0]) / par,
            few * size(one[2] - l_perp * one[0]) / par,
            few * size(one[3] - k2_par * one[0]) / par / (2 * np.sqrt(k2_par)),
            few * size(one[4] - k2_perp * one[0]) / par / (2 * np.sqrt(k2_perp)),
            few * values[4] / 2 * size(one[4] / k2_perp, -one[3] / k2_par) / par,
            few * values[5] * size(one[1] / l_par, -one[2] / l_perp) / par,
            values[6] / 2 * size(one[0] / par),
            values[7] / 2 * size(one[5] / perp),
            values[8] * ratio,
            values[9] / 2 * np.hypot(size(one[0]), size(one[5])) / (par + perp),
            np.sqrt(6 * max(cube, 0.0)),
            # a mode with itself is counted four times too often
            np.sqrt(24 * max(fourth - 2.25 * square**2, fourth / 4)),
            few * np.sqrt(2) * size(*together),  # its mean is zero, so the mean square is the variance
        ]
    )


def _statistics(sums: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Scales from sums (…, columns); those of the spectrum are NaN where the sums of the densities are missing."""
    lacking = np.full((*sums.shape[:-1], len(Sums._fields) - sums.shape[-1]), np.nan)
    whole = np.moveaxis(np.concatenate([sums, lacking], axis=-1), -1, 0)
    m = Sums(*(total / whole[0] for total in whole))
    variance = np.maximum(m.par2 - m.par**2, 0.0)
    means = np.stack([m.x, m.y, m.z], axis=-1)
    total = np.maximum(m.square - (means**2).sum(axis=-1), 0.0)
    across = np.maximum(total - variance, 0.0)
    third = m.par3 - 3 * m.par * m.par2 + 2 * m.par**3
    fourth = m.par4 - 4 * m.par * m.par3 + 6 * m.par**2 * m.par2 - 3 * m.par**4
    strength = np.linalg.norm(means + level[:3], axis=-1)
    l_par, l_perp, k2_par, k2_perp = (part / variance for part in (m.l_par, m.l_perp, m.k2_par, m.k2_perp))
    k_par, k_perp = np.sqrt(np.maximum(k2_par, 0.0)), np.sqrt(np.maximum(k2_perp, 0.0))
    values = [
        *(l_par, l_perp, k_par, k_perp, k_perp / k_par, l_par / l_perp),
        *(np.sqrt(variance), np.sqrt(across), across / variance, np.sqrt(total) / strength),
        *(third / variance**1.5, fourth / variance**2),
        (m.n_par - m.par * m.n) / np.sqrt(variance * (m.n2 - m.n**2)),
    ]
    return np.stack(values, axis=-1)

"""Trapping in mirrors, from trajectories: reversals of the pitch angle, and what the magnetic moment does meanwhile."""

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError, require_number, require_whole
from mmfields.provenance import verb
from mmfields.transport.reading import alive, check, own_path
from mmfields.transport.statistics import ratio_error
from mmfields.units import length_attrs

# Counts of each particle, which come before the histograms of its residence times.
COUNTS = 9


@verb
def trapping(trajectories: xr.Dataset, *, average: int = 1, tolerance: float = 0.2, bins: int = 24) -> xr.Dataset:
    """Reversals of μ, residence between them, jumps of the magnetic moment, and the share of the way that is trapped.

    A stay is the way between two reversals.  It is trapped where the magnetic moment M = (1 - μ²)/B at both of them is
    the same within the tolerance: mirrors turned the particle round.  Where M jumps, scattering did.  Since μ is 0 at a
    reversal, M is 1/B there, and agrees by chance too: in an even field always.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``, saved several times between reversals; lazy where it is.
    average : int
        Saved points over which μ is averaged before its reversals are counted, and M: 1 counts those by the gyration
        too; as many as a gyration has leave those of the guiding centre.
    tolerance : float
        Of ln M from one reversal to the next.
    bins : int
        Of the lengths of stays, even in the logarithm from a saved interval to the run.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,): ``reversal_rate`` per path, ``trapped_fraction`` of the way between the first and the
        last reversals, each with ``…_error`` from the scatter between particles; ``trapped_by_chance``, what that share
        would be of reversals in a random order, with ln M of Gaussian distribution; ``moment_jump``, the root of the
        mean square of Δ ln M from one reversal to the next; ``moment_memory``, the correlation of ln M between these,
        1 in wells and 0 where every reversal is one of scattering; and ``residence``, the mean length of trapped stays
        in a row; over ``stay`` too: ``survival``, the share of the stays that are longer, and ``trapped_survival`` of
        those that are trapped in a row.

    Raises
    ------
    ArgumentError, SnapshotError
        If a number is unusable, or trajectories lack μ and B.

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("micromirrors").isel(time=-1)
    >>> p = mm.particles.isotropic(64, gyroradius=3.0, seed=1, field=ds)
    >>> tr = mm.trace(ds, p, step=0.3, distance=300.0, save=600)
    >>> bool(mm.transport.trapping(tr, average=8)["reversal_rate"] > 0)
    True
    """
    check(trajectories, "mu", "B")
    count = require_whole(average, "average", 1)
    require_number(tolerance, "tolerance", 0.0), require_whole(bins, "bins", 1)
    path = trajectories["path"].values
    if len(path) < count + 2:
        raise SnapshotError(f"{len(path)} saved points, of which {count} are averaged: save more")
    way = own_path(trajectories)
    stays = np.geomspace(float(np.diff(path).min()), float(path[-1] - path[0]), bins)
    there = alive(trajectories)
    there = xr.ones_like(trajectories["mu"], bool) if there is None else there
    columns = COUNTS + 2 * (bins + 1)
    sums = xr.apply_ufunc(
        _trapping,
        trajectories["mu"],
        trajectories["B"],
        there,
        way.drop_attrs().reset_coords(drop=True),
        input_core_dims=[["path"]] * 4,
        output_core_dims=[["number"]],
        vectorize=True,
        kwargs={"average": count, "tolerance": float(tolerance), "stays": stays},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"number": columns}},
    )
    return _labelled(trajectories, sums, stays, float(tolerance))


def _labelled(tr: xr.Dataset, sums: xr.DataArray, stays: np.ndarray, tolerance: float) -> xr.Dataset:
    """Means over particles of what was counted of each."""
    total, reversals, between, held, squares, spells, levels, level, level2 = (
        sums.isel(number=i) for i in range(COUNTS)
    )
    rate, rate_error = ratio_error(reversals, total)
    share, share_error = ratio_error(held, between)
    jumps = (reversals - 1).clip(min=0.0).sum("particle")
    jump = (squares.sum("particle") / jumps.where(jumps > 0)) ** 0.5
    known = levels.sum("particle").where(levels.sum("particle") > 1)
    spread = (level2.sum("particle") / known - (level.sum("particle") / known) ** 2).clip(min=0.0)
    memory = 1 - jump**2 / (2 * spread.where(spread > 0))
    chance = xr.apply_ufunc(
        _chance, spread, kwargs={"tolerance": tolerance}, dask="parallelized", output_dtypes=[float]
    )
    residence = held.sum("particle") / spells.sum("particle").where(spells.sum("particle") > 0)
    n = len(stays) + 1
    longer = []
    for first in (COUNTS, COUNTS + n):
        counts = sums.isel(number=slice(first, first + n)).sum("particle")
        above = counts.isel(number=slice(None, None, -1)).cumsum("number").isel(number=slice(None, None, -1))
        whole = counts.sum("number")
        longer.append((above / whole.where(whole > 0)).isel(number=slice(1, None)).rename(number="stay"))
    length, per = length_attrs(tr), length_attrs(tr, -1)
    return xr.Dataset(
        {
            "reversal_rate": rate.assign_attrs(per, long_name="reversals of mu per path"),
            "reversal_rate_error": rate_error.assign_attrs(per, long_name="standard error of reversal_rate"),
            "trapped_fraction": share.assign_attrs(units="1", long_name="share of the way that is trapped"),
            "trapped_fraction_error": share_error.assign_attrs(
                units="1", long_name="standard error of trapped_fraction"
            ),
            "trapped_by_chance": chance.assign_attrs(units="1", long_name="trapped_fraction of a random order"),
            "moment_memory": memory.assign_attrs(units="1", long_name="correlation of ln M between reversals"),
            "moment_jump": jump.assign_attrs(units="1", long_name="rms jump of ln M between reversals"),
            "residence": residence.assign_attrs(length, long_name="mean length of trapped stays in a row"),
            "survival": longer[0].assign_attrs(units="1", long_name="share of the stays that are longer"),
            "trapped_survival": longer[1].assign_attrs(units="1", long_name="share of trapped spells that are longer"),
        },
        {"stay": ("stay", stays, {**length, "long_name": "way between reversals"})},
    )


def _chance(spread: np.ndarray, *, tolerance: float) -> np.ndarray:
    """How often two numbers of a Gaussian distribution differ by no more than the tolerance."""
    from scipy.special import erf

    with np.errstate(divide="ignore"):
        return erf(tolerance / (2 * np.sqrt(spread)))


def _trapping(
    mu: np.ndarray, size: np.ndarray, alive: np.ndarray, way: np.ndarray, *, average: int, tolerance: float, stays
) -> np.ndarray:
    """Of one particle: way, reversals, way between these, trapped way, squares of jumps, spells; and histograms."""
    out = np.zeros(COUNTS + 2 * (len(stays) + 1))
    own = alive & np.isfinite(mu)
    mu, way = mu[own], way[own]
    with np.errstate(divide="ignore", invalid="ignore"):
        moment = (1 - mu**2) / size[own]
    if len(mu) < average + 1:
        return out
    mean = np.ones(average) / average
    slow, moment = np.convolve(mu, mean, "valid"), np.convolve(moment, mean, "valid")
    way = np.convolve(way, mean, "valid")
    out[0] = way[-1] - way[0]
    before = np.flatnonzero((slow[1:] >= 0) != (slow[:-1] >= 0))
    out[1] = len(before)
    if len(before) < 2:
        return out
    # where μ is 0, by a straight line through the two points about it, as is M there
    part = slow[before] / (slow[before] - slow[before + 1])
    turn = way[before] + part * (way[before + 1] - way[before])
    with np.errstate(divide="ignore"):
        level = np.log(moment[before] + part * (moment[before + 1] - moment[before]))
    finite = level[np.isfinite(level)]
    out[6:9] = len(finite), finite.sum(), finite @ finite
    length, jump = np.diff(turn), np.diff(level)
    out[2], out[4] = turn[-1] - turn[0], np.nansum(jump**2)
    held = np.abs(jump) <= tolerance
    out[3] = length[held].sum()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(int)))
    begins, ends = edges[::2], edges[1::2]
    out[5] = len(begins)
    n = len(stays) + 1
    out[COUNTS : COUNTS + n] = np.bincount(np.searchsorted(stays, length), minlength=n)
    out[COUNTS + n :] = np.bincount(np.searchsorted(stays, turn[ends] - turn[begins]), minlength=n)
    return out

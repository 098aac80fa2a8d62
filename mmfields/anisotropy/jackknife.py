"""Sums over the sub-volumes of a snapshot, chunk by chunk, and the errors that their scatter gives."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from mmfields.conventions import ArgumentError, require_whole

# (fields, small arrays, edges of the boxes along three axes, sums to add to)
Work = Callable[[list[np.ndarray], list[np.ndarray], list[np.ndarray], np.ndarray], None]


def require_subvolumes(subvolumes: int) -> None:
    """Refuse what is no number of sub-volumes per axis.

    Raises
    ------
    ArgumentError
        Unless it is 0 (no errors) or a whole number from 2 on.
    """
    if require_whole(subvolumes, "subvolumes", 0) == 1:
        raise ArgumentError("subvolumes=1: 2 or more per axis are needed, or 0 for no errors")


def group_sums(work: Work, fields: Sequence[Any], small: Sequence[Any], *, rank: int, groups: int, columns: int) -> Any:
    """Sums of `columns` numbers over the groups^rank sub-volumes of fields.

    Parameters
    ----------
    work : callable
        Adds the sums of one block, of three axes.
    fields : sequence of NumPy or Dask arrays (…, spatial axes)
    small : sequence of arrays (…, m)
        Over the same leading axes.
    rank, groups, columns : int

    Returns
    -------
    (…, groups, columns) array
        Lazy where the fields are.
    """
    shape = fields[0].shape[-rank:]
    counts = tuple(min(groups, n) for n in shape)
    options = {"work": work, "count": len(fields), "shape": shape, "counts": counts, "columns": columns}
    if not any(hasattr(a, "dask") for a in (*fields, *small)):
        return _sums(*fields, *small, *map(np.arange, shape), **options, threads=os.cpu_count() or 1)
    import dask.array as da

    lead = fields[0].ndim - rank
    first = next(f for f in fields if hasattr(f, "dask"))
    chunks = (*(1,) * lead, *first.chunks[lead:])
    letters, axes = "abcdefgh"[:lead], "xyz"[:rank]
    blocks = da.blockwise(
        _sums_of_chunk,
        letters + axes + "gq",
        *(item for f in fields for item in (da.asarray(f).rechunk(chunks), letters + axes)),
        *(item for s in small for item in (da.asarray(s).rechunk((*(1,) * lead, -1)), letters + "m")),
        *(i for n, c, a in zip(shape, chunks[lead:], axes, strict=True) for i in (da.arange(n, chunks=(c,)), a)),
        new_axes={"g": int(np.prod(counts)), "q": columns},
        adjust_chunks=dict.fromkeys(axes, 1),
        concatenate=True,
        align_arrays=False,
        dtype=np.float64,
        meta=np.empty((0,) * (lead + rank + 2)),
        **options,
    )
    return blocks.sum(axis=tuple(range(lead, lead + rank)))


def _sums_of_chunk(*arrays: np.ndarray, shape: tuple[int, ...], **options: Any) -> np.ndarray:
    """As `_sums`, but each spatial axis stays, with length 1, since Dask needs as many axes as there were."""
    sums = _sums(*arrays, shape=shape, **options)
    return sums.reshape(*sums.shape[:-2], *(1,) * len(shape), *sums.shape[-2:])


def _sums(*arrays: np.ndarray, work, count, shape, counts, columns, threads: int = 1) -> np.ndarray:
    """Sums of one block over three spatial axes, at each place of its leading ones; threads share the first axis."""
    rank = len(shape)
    fields, small, places = arrays[:count], arrays[count:-rank], arrays[-rank:]
    lead = fields[0].shape[:-rank]
    missing = 3 - rank
    edges = [np.array([[0, 1, 0]])] * missing
    edges += [_edges(p, n, g) for p, n, g in zip(places, shape, counts, strict=True)]
    boxes = (*(1,) * missing, *counts)
    out = np.zeros((*lead, *boxes, columns))
    for index in np.ndindex(*lead):
        parts = [f[index].reshape((1,) * missing + f.shape[len(lead) :]) for f in fields]
        numbers = [np.ascontiguousarray(s[index]) for s in small]

        def rows(part: np.ndarray, parts=parts, numbers=numbers) -> np.ndarray:
            own = np.zeros((*boxes, columns))
            work(parts, numbers, [part, *edges[1:]], own)
            return own

        with ThreadPoolExecutor(threads) as pool:
            out[index] = sum(pool.map(rows, _shares(edges[0], threads)))
    return out.reshape(*lead, -1, columns)


def _edges(place: np.ndarray, n: int, groups: int) -> np.ndarray:
    """The sub-volumes that the cells of a block lie in: first and last cell within the block, and number of each."""
    number = place * groups // n
    cuts = np.flatnonzero(np.diff(number)) + 1
    starts = np.concatenate([[0], cuts])
    return np.stack([starts, np.concatenate([cuts, [len(place)]]), number[starts]], axis=1)


def _shares(edges: np.ndarray, threads: int) -> list[np.ndarray]:
    """The same boxes cut into as many shares as there are threads."""
    cuts = np.linspace(edges[0, 0], edges[-1, 1], threads + 1).astype(int)
    shares = []
    for low, high in pairwise(cuts.tolist()):
        part = edges.copy()
        part[:, :2] = np.clip(part[:, :2], low, high)
        shares.append(part[part[:, 1] > part[:, 0]])
    return [s for s in shares if len(s)]


def jackknife(sums: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of the sums over all groups, and its error from leaving out one group after the other.

    Parameters
    ----------
    sums : (…, groups, columns) array
    statistic : callable
        From (…, columns) sums to (…, values).

    Returns
    -------
    value, error : (…, values) arrays
        The error is NaN where there is one group.
    """
    total = sums.sum(axis=-2, keepdims=True)
    groups = sums.shape[-2]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = statistic(total[..., 0, :])
        if groups < 2:
            return value, np.full_like(value, np.nan)
        each = statistic(total - sums)
        spread = each - each.mean(axis=-2, keepdims=True)
        return value, np.sqrt((groups - 1) / groups * (spread**2).sum(axis=-2))

"""Structure functions: moments of increments against their separation along and across the mean field."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.anisotropy.jackknife import jackknife
from mmfields.anisotropy.long_waves import parts_of, relative_of_bins, scatter_of_long_waves
from mmfields.anisotropy.pairing import sum_pairs
from mmfields.anisotropy.separations import Plan, plan_of, separations_of
from mmfields.conventions import (
    Grid,
    aligned,
    components,
    derived_units,
    mean_direction,
    require_whole,
    unit_attrs,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.provenance import verb


@renamed(of="vector")
@verb
def structure_function(
    ds: xr.Dataset,
    vector: str = "B",
    *,
    order: int | Sequence[int] = 2,
    points: int = 2,
    frame: Literal["local", "global"] = "local",
    direction: str | Sequence[float] | None = None,
    pairs: int = 1_000_000,
    seed: int = 0,
    lags: str | np.ndarray | None = None,
    reach: float | None = None,
    bins: int | Sequence[float] = 16,
    angles: int | Sequence[float] = 6,
    subvolumes: int = 3,
) -> xr.Dataset:
    """Moments ⟨|δ|^p⟩ of increments over (l_perp, l_par), and over the separation's length and angle.

    With two points δ = f(x + l) - f(x); with five δ = [f(x-2l) - 4f(x-l) + 6f(x) - 4f(x+l) + f(x+2l)]/√35, which
    is blind to gradients of the large scales and agrees with two points on white noise.  In the local frame the
    mean field of a pair is the sum of B over its points (Cho & Vishniac 2000); such a structure function mixes
    orders and is not a spectrum (Matthaeus et al. 2012).

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot with ``Bx By Bz``; lazy where it is, and taken block by block, each with its surroundings up to
        the longest separation.  Pairs wrap around periodic axes and stay inside the others.
    vector : str
        Letter of a vector (the increment is its modulus), or the name of one variable.
    order : int or several
        1 to 6.
    points : {2, 5}
    frame : {"local", "global"}
        Mean field of each pair, or of the box.
    direction : str or three numbers, optional
        What parallel means, in the global frame alone; the mean field by default.
    pairs : int
        Pairs that are sampled, everywhere in the box alike; their separations are isotropic, and even in the
        logarithm of their length, on the lattice.
    seed : int
        Key of the samples: the same pairs for any chunks, scheduler and number of workers.
    lags : "all" or (m, 3) array of int, optional
        Instead of samples, all pairs of the lattice at all separations up to `reach`, or at those given
        (x, y, z, in cells).
    reach : float, optional
        Longest separation, where `lags` are not given themselves: at most half the shortest axis with two points, an
        eighth with five.  By default half of the former, all of the latter, but no more than 64 cells with two and 32
        with five: a block of a chunked field is read with twice as much of its surroundings, so that longer separations
        need larger blocks.
    bins : int or ascending edges
        Of l_par, l_perp and l; a number asks for one from 0 to half a cell and the others even in the logarithm.
        Bins include their lower edge, and what rounding has put below it.
    angles : int or ascending edges [degrees]
        Of the angle between separation and field, 0 to 90; as the bins, and 90 is included.
    subvolumes : int
        Per axis, for the errors: the larger of what leaving out one after the other of these parts of the box does
        (jackknife), and what the amplitudes of the longest waves scatter by in a Gaussian field of this spectrum,
        which no part of one box shows; 0 for none.

    Returns
    -------
    xarray.Dataset
        ``structure`` and ``pairs`` over (``l_perp``, ``l_par``), ``structure_angle`` and ``pairs_angle`` over
        (``l``, ``angle``), with ``…_error``; after ``order`` where several were asked for, and ``time``.  Bins
        without pairs are NaN.  Edges are coordinates ``l_edges`` and ``angle_edges``; means of powers of the
        field's unit.

    Raises
    ------
    ArgumentError, SnapshotError
        If an argument is not possible, the reach is too long for the box or below one cell; and when it is
        computed, if the field is not finite, or has no mean direction in the global frame and none is given.
    """
    components(ds)
    require_whole(pairs, "pairs", 1)
    grid = Grid.of(ds)
    separations = separations_of(grid, points=points, seed=seed, lags=lags, reach=reach, bins=bins, angles=angles)
    plan = plan_of(
        grid,
        separations,
        order=order,
        points=points,
        frame=frame,
        pairs=pairs if lags is None else 0,
        seed=seed,
        subvolumes=subvolumes,
    )
    if plan.local and direction is not None:
        raise ArgumentError("direction is for frame='global' alone: in the local frame every pair has its own")
    dims = plan.grid.dims
    names = list(components(ds, vector)) if isinstance(vector, str) and f"{vector}x" in ds else [vector]
    if names == [vector] and (not isinstance(vector, str) or vector not in ds or not set(dims) <= set(ds[vector].dims)):
        raise SnapshotError(
            f"vector={vector!r}: a vector's letter or a variable over {dims}, of {list(ds.data_vars)}, is needed"
        )
    field = [f"B{d}" for d in plan.axes()] if frame == "local" else []
    taken = field if set(names) == set(field) else [*field, *names]
    along = mean_direction(ds, "z" if frame == "local" else direction)
    lead, arrays, (along,) = aligned([ds[n] for n in taken], [along], dims)
    first = len(taken) - len(names)
    plan = replace(plan, names=tuple(taken), values=(first, first + len(names)))
    sums = sum_pairs(arrays, along, plan)
    waves = [parts_of(a, len(dims)) for a in arrays[first:]] if plan.groups > 1 else []
    return _labelled(ds, sums, waves, plan, lead, names, several=not isinstance(order, int | np.integer))


def _labelled(
    ds: xr.Dataset, sums: Any, waves: list[Any], plan: Plan, lead: list[str], names: list[str], *, several: bool
) -> xr.Dataset:
    """Means over the pairs of every bin, with their errors."""
    found = xr.apply_ufunc(
        _means,
        xr.DataArray(sums, dims=[*lead, "group", "number"]),
        *(xr.DataArray(w, dims=[*lead, "part"]) for w in waves),
        input_core_dims=[["group", "number"], *[["part"]] * len(waves)],
        output_core_dims=[["kind", "number"]],
        kwargs={"plan": plan},
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"kind": 2}, "allow_rechunk": True},
    )
    many, turns, one = len(plan.edges), len(plan.turns), 1 + len(plan.orders)
    split = many * many * one
    out = xr.Dataset()
    for suffix, dims, shape, part in (
        ("", ("l_perp", "l_par"), (many, many), found.isel(number=slice(0, split))),
        ("_angle", ("l", "angle"), (many, turns), found.isel(number=slice(split, None))),
    ):
        data = part.data.reshape(*part.shape[:-1], *shape, one)
        whole = xr.DataArray(data, dims=[*lead, "kind", *dims, "column"])
        whole = whole.isel({d: slice(0, -1) for d in dims})
        if suffix:  # the kernel counts them by the cosine
            whole = whole.isel(angle=slice(None, None, -1))
        moments = (
            whole.isel(column=slice(1, 1 + plan.asked)).rename(column="order").transpose(*lead, "kind", "order", *dims)
        )
        moments = moments if several else moments.isel(order=0)
        notes = {"of": ", ".join(names), **_unit(ds[names[0]], plan.orders, several=several)}
        out[f"structure{suffix}"] = moments.isel(kind=0).assign_attrs(long_name="structure function", **notes)
        if plan.groups > 1:
            error = moments.isel(kind=1).assign_attrs(long_name="error of the structure function", **notes)
            out[f"structure{suffix}_error"] = error
        out[f"pairs{suffix}"] = whole.isel(kind=0, column=0).assign_attrs(long_name="pairs", units="1")
    return out.assign_coords(_coords(ds, plan, lead, several)).assign_attrs(_attrs(plan, names))


def _unit(field: xr.DataArray, orders: Sequence[int], *, several: bool) -> dict[str, str]:
    """Attrs of a power of a field; several powers at once have no common unit."""
    if not several:
        return derived_units((field, orders[0]))
    own = unit_attrs(field)
    if own["units"] != "1":
        return {"units_by_order": f"({own['units']})**order"}
    return own | ({"normalization": f"({own['normalization']})**order"} if "normalization" in own else {})


def _means(sums: np.ndarray, *parts: np.ndarray, plan: Plan) -> np.ndarray:
    """Numbers of pairs and mean powers in every bin (first row), and their errors (second row)."""
    one = 1 + len(plan.orders)

    def statistic(flat: np.ndarray) -> np.ndarray:
        table = flat.reshape(*flat.shape[:-1], -1, one)
        means = np.divide(table, table[..., :1], out=np.full_like(table, np.nan), where=table[..., :1] > 0)
        means[..., 0] = table[..., 0]
        return means.reshape(flat.shape)

    value, error = jackknife(sums, statistic)
    if not parts:
        return np.stack([value, np.full_like(value, np.nan)])
    table, errors = value.reshape(-1, one), error.reshape(-1, one)
    wedges = table[len(plan.edges) ** 2 :].reshape(len(plan.edges), -1, one)[:-1]
    pairs, second = wedges[..., 0], np.nan_to_num(wedges[..., 1 + plan.orders.index(2)])
    with np.errstate(divide="ignore", invalid="ignore"):
        # relative to the mean over all directions, because a direction with more power scatters in proportion
        relative = scatter_of_long_waves(np.stack(parts), plan) / ((pairs * second).sum(axis=1) / pairs.sum(axis=1))
        relative = relative_of_bins(relative, plan)
        for n, order in enumerate(plan.orders):
            errors[:, 1 + n] = np.fmax(errors[:, 1 + n], order / 2 * table[:, 1 + n] * relative)
    return np.stack([value, errors.reshape(-1)])


def _coords(ds: xr.Dataset, plan: Plan, lead: list[str], several: bool) -> dict[str, Any]:
    notes = plan.grid.units
    middles, turns = (plan.edges[1:] + plan.edges[:-1]) / 2, (plan.turns[1:] + plan.turns[:-1]) / 2
    coords: dict[str, Any] = {d: ds[d] for d in lead if d in ds.coords}
    coords |= {
        "l_perp": ("l_perp", middles, {**notes, "long_name": "separation across the field"}),
        "l_par": ("l_par", middles, {**notes, "long_name": "separation along the field"}),
        "l": ("l", middles, {**notes, "long_name": "separation"}),
        "angle": ("angle", turns, {"units": "deg", "long_name": "angle between separation and field"}),
        "l_edges": ("edge", plan.edges, {**notes, "long_name": "edges of the bins of separation"}),
        "angle_edges": ("angle_edge", plan.turns, {"units": "deg", "long_name": "edges of the bins of angle"}),
    }
    return coords | ({"order": ("order", list(plan.orders[: plan.asked]))} if several else {})


def _attrs(plan: Plan, names: list[str]) -> dict[str, Any]:
    sampled = {"sampled_pairs": plan.pairs, "seed": plan.seed} if plan.pairs else {}
    frame = {"frame": "local" if plan.local else "global", "points": plan.points, "of": ", ".join(names)}
    return {**frame, **sampled, **({} if plan.asked > 1 else {"order": plan.orders[0]})}

"""Curvature of field lines: how strong it is, how it goes with |B|, and which particles it scatters."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.anisotropy.criteria import strength
from mmfields.anisotropy.jackknife import group_sums, jackknife, require_subvolumes
from mmfields.anisotropy.plasma import curvature
from mmfields.conventions import (
    ArgumentError,
    Grid,
    SnapshotError,
    aligned,
    components,
    derived_units,
    mean,
    require_values,
    require_whole,
    unit_attrs,
)
from mmfields.provenance import verb

# Moments of ln κ and ln |B| from which their correlation follows.
MOMENTS = 6


@renamed(limits="curvature_range")
@verb
def bends(
    ds: xr.Dataset,
    *,
    gyroradius: Sequence[float] | float | None = None,
    curvature_range: Sequence[float] | None = None,
    bins: int = 48,
    subvolumes: int = 3,
) -> xr.Dataset:
    """Statistics of the curvature κ = |b·∇b| of the field lines: its PDF, the field where it is, and who feels it.

    Where κ r_g > 1, with the gyroradius in the local field, a particle cannot follow the line (Lemoine 2023, Kempski et
    al. 2023).  In a Gaussian isotropic field with ⟨k²⟩ = Σk²B²/ΣB² the probability of more than κ is
    (1 + 5κ²/2⟨k²⟩)^(-3/2), so that the PDF goes as κ and κ^-4; in turbulence whose curvature force does not
    know of |B| it falls as κ^-2.5 (Yang et al. 2019).  Central differences do not resolve curvatures above about
    0.4 over a cell, of which they make smaller ones.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot with ``Bx By Bz``; lazy where it is.
    gyroradius : float or several, optional
        In the rms field [length unit]; each particle's is larger where the field is weaker.
    curvature_range : two numbers, optional
        Of κ [1 / length unit]; by default from 1e-3 over the longest side to 4 over the smallest cell.
    bins : int
        Even in the logarithm.
    subvolumes : int
        Per axis, for the errors by the jackknife; 0 for none.

    Returns
    -------
    xarray.Dataset
        Over ``curvature``: ``pdf``, of which the sum times ``curvature_width`` is the share of the volume within the
        range, and ``strength``, the mean of |B| over its rms there; ``correlation`` of ln κ with ln |B|; over
        ``gyroradius`` where asked for ``bent_fraction``, the share of the volume where κ r_g > 1; each with its
        ``…_error``.

    Raises
    ------
    ArgumentError
        If range, bins or gyroradii are unusable.
    SnapshotError
        As :func:`curvature`; when computed, if the field is not finite.

    Examples
    --------
    >>> import mmfields as mm
    >>> found = mm.anisotropy.bends(mm.samples.load("mhd_turbulence"), gyroradius=0.02)
    >>> bool(found["correlation"] < 0)
    True
    """
    require_subvolumes(subvolumes)
    names, grid = components(ds), Grid.of(ds)
    radii = np.zeros(0) if gyroradius is None else require_values(np.atleast_1d(gyroradius), "gyroradius")
    if (radii <= 0).any():
        raise ArgumentError(f"gyroradius={gyroradius!r}: positive lengths are needed")
    edges = _edges(curvature_range, require_whole(bins, "bins", 1), grid)
    field = strength(ds, names)
    sharp = curvature(ds).transpose(*field.dims)
    reference = (mean(field**2, grid.dims) ** 0.5).expand_dims(component=1)
    lead, arrays, small = aligned([sharp, field], [reference], grid.dims)
    work = partial(_add, edges=edges, radii=radii)
    columns = 2 * (len(edges) + 1) + MOMENTS + len(radii)
    sums = group_sums(work, arrays, small, rank=len(grid.dims), groups=max(subvolumes, 1), columns=columns)
    found = xr.apply_ufunc(
        partial(_values, edges=edges),
        xr.DataArray(sums, dims=[*lead, "group", "number"]),
        input_core_dims=[["group", "number"]],
        output_core_dims=[["kind", "value"]],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={
            "output_sizes": {"kind": 2, "value": 2 * (len(edges) - 1) + 1 + len(radii)},
            "allow_rechunk": True,
        },
    )
    return _labelled(ds, found, edges, radii, lead)


def _edges(limits: Sequence[float] | None, bins: int, grid: Grid) -> np.ndarray:
    """Edges of the bins of curvature."""
    given = (1e-3 / max(grid.lengths), 4 / min(grid.spacing))
    if limits is not None:
        given = require_values(limits, "curvature_range")
    if len(given) != 2 or not 0 < given[0] < given[1]:
        raise ArgumentError(f"curvature_range={limits!r}: two positive, ascending numbers are needed")
    return np.geomspace(*given, bins + 1)


def _add(
    fields: list[np.ndarray], small: list[np.ndarray], edges_of: list[np.ndarray], out: np.ndarray, *, edges, radii
) -> None:
    """Add the sums of a block to those of its sub-volumes: counts, |B|, moments, and cells where κ r_g > 1."""
    n = len(edges) + 1
    for i0, i1, i in edges_of[0]:
        for j0, j1, j in edges_of[1]:
            for k0, k1, k in edges_of[2]:
                sharp, size = (np.asarray(f[i0:i1, j0:j1, k0:k1], float).ravel() for f in fields)
                size = size / small[0][0]
                there = np.isfinite(sharp) & (size > 0)
                sharp, size = sharp[there], size[there]
                place = np.searchsorted(edges, sharp, side="right")
                row = out[i, j, k]
                row[:n] += np.bincount(place, minlength=n)
                row[n : 2 * n] += np.bincount(place, size, minlength=n)
                bent = sharp > 0
                x, y = np.log(sharp[bent]), np.log(size[bent])
                row[2 * n : 2 * n + MOMENTS] += [x.size, x.sum(), y.sum(), x @ x, y @ y, x @ y]
                for r, radius in enumerate(radii):
                    row[2 * n + MOMENTS + r] += np.count_nonzero(sharp * radius > size)


def _values(sums: np.ndarray, *, edges: np.ndarray) -> np.ndarray:
    """PDF, mean strength, correlation and bent fractions, and their errors."""
    n = len(edges) + 1

    def statistic(s: np.ndarray) -> np.ndarray:
        counts, strengths, moments, bent = np.split(s, [n, 2 * n, 2 * n + MOMENTS], axis=-1)
        total = counts.sum(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            pdf = counts[..., 1:-1] / total / np.diff(edges)
            size = strengths[..., 1:-1] / counts[..., 1:-1]
            m, x, y, xx, yy, xy = np.moveaxis(moments, -1, 0)
            correlation = (m * xy - x * y) / np.sqrt((m * xx - x * x) * (m * yy - y * y))
            return np.concatenate([pdf, size, correlation[..., None], bent / total], axis=-1)

    return np.stack(jackknife(sums, statistic))


def _labelled(ds: xr.Dataset, found: xr.DataArray, edges: np.ndarray, radii: np.ndarray, lead: list[str]) -> xr.Dataset:
    bins = len(edges) - 1
    axis = ds[Grid.of(ds).dims[0]]
    parts = {
        "pdf": ("curvature", slice(0, bins), "PDF of the curvature", unit_attrs(axis)),
        "strength": ("curvature", slice(bins, 2 * bins), "mean |B| over its rms", {"units": "1"}),
        "correlation": (None, 2 * bins, "correlation of ln curvature and ln |B|", {"units": "1"}),
        "bent_fraction": ("gyroradius", slice(2 * bins + 1, None), "share of the volume where kappa r_g > 1", {}),
    }
    out = xr.Dataset()
    for name, (dim, where, text, units) in parts.items():
        part = found.isel(value=where)
        part = part.rename(value=dim) if dim else part
        if dim == "gyroradius" and not len(radii):
            continue
        out[name] = part.isel(kind=0).assign_attrs(long_name=text, **({"units": "1"} | units))
        out[f"{name}_error"] = part.isel(kind=1).assign_attrs(long_name=f"standard error of {name}", **units)
    notes = {"long_name": "curvature of the field lines", **derived_units((axis, -1))}
    coords = {
        "curvature": ("curvature", np.sqrt(edges[1:] * edges[:-1]), notes),
        "curvature_width": ("curvature", np.diff(edges), notes),
        **{d: ds[d] for d in lead if d in ds.coords},
    }
    if len(radii):
        coords["gyroradius"] = ("gyroradius", radii, {**unit_attrs(axis), "long_name": "gyroradius in the rms field"})
    return out.assign_coords(coords)


@renamed(limits="curvature_range")
@verb
def curvature_slope(statistics: xr.Dataset, curvature_range: Sequence[float]) -> xr.Dataset:
    """Power law of the PDF of curvatures between two limits, by least squares in the logarithms.

    Parameters
    ----------
    statistics : xarray.Dataset
        From :func:`bends`, of one snapshot; computed here.
    curvature_range : two numbers
        Of κ, bins whose centres lie between them.

    Returns
    -------
    xarray.Dataset
        ``slope`` and ``slope_error``: bins are weighted by their errors, and the error is the larger of what these
        give and what the scatter about the law shows.

    Raises
    ------
    ArgumentError, SnapshotError
        If there are not two ascending limits, or fewer than three bins with a PDF and an error lie between them.

    Examples
    --------
    >>> import mmfields as mm
    >>> found = mm.anisotropy.bends(mm.samples.load("mhd_turbulence"))
    >>> fit = mm.anisotropy.curvature_slope(found, (20.0, 100.0))
    >>> bool(fit["slope"] < 0)
    True
    """
    given = require_values(curvature_range, "curvature_range")
    if len(given) != 2 or not 0 < given[0] < given[1]:
        raise ArgumentError(f"curvature_range={curvature_range!r}: two positive, ascending numbers are needed")
    if not isinstance(statistics, xr.Dataset) or "pdf" not in statistics or statistics["pdf"].dims != ("curvature",):
        raise SnapshotError("statistics of mm.anisotropy.bends are needed, of one snapshot: select the others")
    part = statistics.where((statistics["curvature"] >= given[0]) & (statistics["curvature"] <= given[1]), drop=True)
    slope, error = _slope(*(part[n].values for n in ("curvature", "pdf", "pdf_error")))
    notes: dict[str, Any] = {"units": "1", "long_name": "slope of the PDF of curvatures"}
    return xr.Dataset(
        {"slope": ((), slope, notes), "slope_error": ((), error, {"units": "1"})},
        attrs={"curvature_range": [float(v) for v in given]},
    )


def _slope(x: np.ndarray, pdf: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    good = (pdf > 0) & (error > 0)
    if good.sum() < 3:
        raise SnapshotError(f"{good.sum()} bins with a PDF and an error lie within the limits: three are needed")
    abscissa, ordinate, weight = np.log(x[good]), np.log(pdf[good]), (pdf[good] / error[good]) ** 2
    design = np.stack([np.ones_like(abscissa), abscissa], axis=1)
    inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
    fit = inverse @ (design.T @ (weight * ordinate))
    scatter = float(weight @ (ordinate - design @ fit) ** 2 / (good.sum() - 2))
    return float(fit[1]), float(np.sqrt(inverse[1, 1] * max(1.0, scatter)))


@verb
def intermittency(structure: xr.Dataset) -> xr.Dataset:
    """How far increments are from Gaussian: their flatness, and their exponents over that of a reference order.

    Parameters
    ----------
    structure : xarray.Dataset
        From :func:`structure_function` with several orders, 2 and 4 among them; lazy where it is.

    Returns
    -------
    xarray.Dataset
        Over the separation ``l``, averaged over its angles: ``flatness`` ⟨|δ|⁴⟩/⟨|δ|²⟩², 3 for a Gaussian component and
        5/3 for the modulus of three alike; ``order``: ``relative_exponent`` ζ_p/ζ_3 (ζ_2 where 3 is not there), the
        slope of ln S_p over ln S_3 (extended self-similarity, Benzi et al. 1993), p/3 without intermittency.

    Raises
    ------
    SnapshotError
        If orders 2 and 4 are not there.

    Examples
    --------
    >>> import mmfields as mm
    >>> s = mm.anisotropy.structure_function(mm.samples.load("mhd_turbulence"), order=[2, 3, 4], pairs=100_000)
    >>> bool(mm.anisotropy.intermittency(s)["flatness"].max() > 2)
    True
    """
    orders = [] if not isinstance(structure, xr.Dataset) or "order" not in structure.dims else structure["order"].values
    if not {2, 4} <= set(np.asarray(orders).tolist()):
        raise SnapshotError("a structure function of several orders is needed: order=[2, 3, 4]")
    pairs = structure["pairs_angle"]
    moments = (structure["structure_angle"].fillna(0.0) * pairs).sum("angle") / pairs.sum("angle")
    moments = moments.where(moments > 0)
    flatness = moments.sel(order=4, drop=True) / moments.sel(order=2, drop=True) ** 2
    logs = np.log(moments)
    base = logs.sel(order=3 if 3 in orders else 2, drop=True)
    known = base.notnull() & logs.notnull().all("order")
    x = base.where(known) - base.where(known).mean("l")
    relative = (logs.where(known) * x).sum("l") / (x**2).sum("l")
    return xr.Dataset(
        {
            "flatness": flatness.assign_attrs(units="1", long_name="flatness of the increments"),
            "relative_exponent": relative.assign_attrs(units="1", long_name="zeta_p over that of the reference order"),
        }
    )

"""How neighbouring field lines part: their separation, and the squashing factor of the map that they make."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import FIELD_LINES, SPATIAL, SnapshotError
from mmfields.lines.seeds import STENCIL
from mmfields.provenance import verb
from mmfields.transport.reading import as_particles
from mmfields.units import length_attrs

VECTORS = (*SPATIAL, *(f"b{d}" for d in SPATIAL))


def require_lines(lines: xr.Dataset, *, neighbours: bool = False) -> None:
    """Refuse what are no lines, or none with neighbours where these are needed.

    Raises
    ------
    SnapshotError
    """
    if not isinstance(lines, xr.Dataset) or lines.attrs.get("kind") != FIELD_LINES or "path" not in lines.dims:
        raise SnapshotError("lines of mm.field_lines are needed")
    if neighbours and lines.sizes.get("neighbour") != len(STENCIL):
        raise SnapshotError(
            "lines from mm.field_lines(ds, mm.lines.neighbours(seeds, separation=...), ...) are needed, "
            "all five of each"
        )


@verb
def separation(lines: xr.Dataset) -> xr.Dataset:
    """How far neighbouring lines are from each other, across the field, against arc length.

    Pairs are each line and its four neighbours, both ways from the seeds, while neither has ended.

    Parameters
    ----------
    lines : xarray.Dataset
        From :func:`mmfields.field_lines` with seeds from :func:`neighbours`; lazy where it is.

    Returns
    -------
    xarray.Dataset
        Over ``path`` from 0: ``separation``, the root of the mean square ⟨d²⟩; ``logarithm``, ⟨ln d/d_0⟩ of those that
        begin apart from each other; ``lyapunov``, the latter per arc length from the seed, the exponent at which lines
        part where it no longer changes while d is below all scales of the field; ``exponent``, d ln⟨d²⟩/d ln s:
        2 of straight lines that part at an angle, 3 in Richardson's range, 1 once they wander apart from each other;
        ``diffusivity``, d⟨d²⟩/4ds, which in Richardson's range grows as d^(4/3); each with ``…_error`` from the scatter
        between lines where it is a mean.

    Raises
    ------
    SnapshotError
        If these are no lines with neighbours.

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("mhd_turbulence")
    >>> seeds = mm.lines.neighbours([[0.1, 0.2, 0.3]], separation=1e-6)
    >>> near = mm.lines.separation(mm.field_lines(ds, seeds, length=0.5, step=0.01))
    >>> bool(near["lyapunov"][-1] > 0)
    True
    """
    require_lines(lines, neighbours=True)
    dims = [d for d in lines["x"].dims if d not in ("path", "time", "neighbour")]
    own = as_particles(_apart(lines, dims))
    distance = own["distance"]
    first = distance.isel(path=0, drop=True)
    growth = np.log(distance.where(distance > 0) / first.where(first > 0))
    square = distance**2
    result = {"mean_square": _mean(square), "logarithm": _mean(growth)}
    way = own["path"] - own["path"][0]
    later = {"path": slice(1, None)}
    rate = [value.reindex(path=way["path"]) for value in _mean(growth.isel(later) / way.isel(later))]
    mean = result.pop("mean_square")
    out = xr.Dataset(
        {
            "separation": mean[0] ** 0.5,
            "separation_error": mean[1] / (2 * mean[0] ** 0.5),
            "logarithm": result["logarithm"][0],
            "logarithm_error": result["logarithm"][1],
            "lyapunov": rate[0],
            "lyapunov_error": rate[1],
        }
    )
    whole = mean[0] if mean[0].chunks is None else mean[0].chunk(path=-1)
    change = whole.differentiate("path")
    out["exponent"] = (change * way / mean[0]).where(way > 0)
    out["diffusivity"] = change / 4
    out["count"] = distance.count("particle").min("pair")
    notes, rate_notes = length_attrs(lines), length_attrs(lines, -1)
    said = {
        "separation": ({**notes}, "root of the mean square distance across the field"),
        "logarithm": ({"units": "1"}, "mean of ln d/d_0"),
        "lyapunov": (rate_notes, "ln d/d_0 per arc length"),
        "exponent": ({"units": "1"}, "d ln <d^2> / d ln s"),
        "diffusivity": (notes, "d <d^2> / 4 ds"),
        "count": ({"units": "1"}, "lines of which all neighbours go on"),
    }
    for name, (units, text) in said.items():
        out[name].attrs = {**units, "long_name": text}
        if f"{name}_error" in out:
            out[f"{name}_error"].attrs = {**units, "long_name": f"standard error of {name}"}
    return out.assign_attrs({key: lines.attrs[key] for key in ("length_unit", "field_unit") if key in lines.attrs})


def _apart(lines: xr.Dataset, dims: list[Any]) -> xr.Dataset:
    """Distances of the neighbours across the field of the seed's line; NaN once either has ended."""
    centre, others = lines.isel(neighbour=0, drop=True), lines.isel(neighbour=slice(1, None)).rename(neighbour="pair")
    away = {d: others[d] - centre[d] for d in SPATIAL}
    along = sum(away[d] * centre[f"b{d}"] for d in SPATIAL)
    square = sum((away[d] - along * centre[f"b{d}"]) ** 2 for d in SPATIAL)
    distance = (square**0.5).where(others["alive"] & centre["alive"])
    order = [d for d in ("time", *dims) if d in distance.dims]
    kept = xr.Dataset({"distance": distance.transpose(*order, "pair", "path"), "x": centre["x"]})
    return kept.assign_coords(path=lines["path"]).assign_attrs(lines.attrs)


def _mean(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Mean over pairs and lines, and its error from the scatter between lines."""
    each = values.mean("pair")
    count = each.count("particle")
    return each.mean("particle"), each.std("particle", ddof=1) / count.where(count > 1) ** 0.5


@verb
def squashing(lines: xr.Dataset) -> xr.DataArray:
    """Squashing factor Q of the map from one end of each line to the other (Titov 2007, across the field).

    Two maps, from the plane of the seeds to planes across the field at both ends, are derived from the neighbours;
    their determinants follow from the conservation of flux, B_n/B (Pariat & Démoulin 2012).  Q is 2 where the
    map stretches nothing, and large where lines that begin side by side end far apart: in quasi-separatrix layers.

    Parameters
    ----------
    lines : xarray.Dataset
        From :func:`mmfields.field_lines` with seeds on a plane (:func:`plane`) and their :func:`neighbours`, displaced
        within that plane by a length over which the map is linear; lazy where it is.

    Returns
    -------
    xarray.DataArray
        Over the dims of the seeds and ``path``: between the ends at this arc length on either side, or where the
        line has ended before.  NaN where the field lies in the plane of the seeds, and where a neighbour has ended on
        another face: its Q is without bound.

    Raises
    ------
    SnapshotError
        If these are no lines with neighbours, or they are not saved alike on both sides.

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("mhd_turbulence")
    >>> seeds = mm.lines.neighbours(mm.lines.plane(ds, shape=(4, 4)), separation=1e-6)
    >>> q = mm.lines.squashing(mm.field_lines(ds, seeds, length=0.5, step=0.01))
    >>> bool((q.isel(path=-1) > 1.99).all())
    True
    """
    require_lines(lines, neighbours=True)
    path = lines["path"].values
    half = len(path) // 2
    if len(path) % 2 == 0 or not np.allclose(path, -path[::-1], rtol=0, atol=1e-9 * path[-1]):
        raise SnapshotError("the lines are not saved alike on both sides of their seeds: keep them as they were made")
    values = [lines[n] for n in (*VECTORS, "B")]
    q = xr.apply_ufunc(
        _squashing,
        *values,
        input_core_dims=[["neighbour", "path"]] * len(values),
        output_core_dims=[["arc"]],
        kwargs={"normal": np.asarray(lines.attrs["normal"], float), "separation": float(lines.attrs["separation"])},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"arc": half + 1}},
    )
    q = q.rename(arc="path").assign_coords(path=("path", path[half:], lines["path"].attrs))
    return q.rename("Q").assign_attrs(units="1", long_name="squashing factor Q")


def _squashing(*values: np.ndarray, normal: np.ndarray, separation: float) -> np.ndarray:
    """From values (…, neighbour, path) to Q at every arc length from the seed."""
    r, b, strength = np.stack(values[:3]), np.stack([v[..., 0, :] for v in values[3:6]]), values[6][..., 0, :]
    half = strength.shape[-1] // 2
    # of the position with respect to either direction of the plane: (3, 2, …, path)
    slopes = np.stack([r[..., 1, :] - r[..., 2, :], r[..., 3, :] - r[..., 4, :]], 1) / (2 * separation)
    maps = _across(slopes, b)
    ahead, back = maps[..., half:], maps[..., half::-1]
    (p, q), (u, v) = ahead
    (a, c), (d, e) = back
    # one map after the inverse of the other, times the determinant of the latter
    norm = (p * e - q * d) ** 2 + (q * a - p * c) ** 2 + (u * e - v * d) ** 2 + (v * a - u * c) ** 2
    through = np.abs(np.tensordot(normal, b[..., half], 1)) * strength[..., half]
    with np.errstate(divide="ignore", invalid="ignore"):
        result = norm * strength[..., half:] * strength[..., half::-1] / through[..., None] ** 2
    return np.where(np.isfinite(result), result, np.nan)


def _across(slopes: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Components (2, 2, …) of vectors (3, 2, …) along two unit vectors across a field (3, …)."""
    least = np.argmin(np.abs(b), axis=0)
    other = np.moveaxis(np.eye(3)[least], -1, 0)
    first = other - (other * b).sum(axis=0) * b
    first = first / np.sqrt((first**2).sum(axis=0))
    second = np.cross(b, first, axis=0)
    return np.stack([(slopes * frame[:, None]).sum(axis=0) for frame in (first, second)])

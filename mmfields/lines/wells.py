"""Magnetic mirrors along field lines: wells of |B|, whom they hold, and patches in the order of the line."""

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.conventions import SnapshotError, require_number, require_whole, unit_attrs
from mmfields.errors import ArgumentError
from mmfields.lines.neighbours import require_lines
from mmfields.provenance import verb
from mmfields.transport.reading import as_particles
from mmfields.units import length_attrs

# What is said of a well, in the order of `_wells`.
WELL = {
    "position": "arc length of the deepest point from the seed",
    "B_min": "field strength at the deepest point",
    "B_peak": "field strength at which the well spills over",
    "length": "arc length between the points of that strength",
    "loss_cone": "pitch angle at the deepest point below which particles leave",
    "trapped": "share of isotropic particles at the deepest point that are trapped",
}


@verb
def wells(lines: xr.Dataset, *, least: float = 1.01, most: int = 32) -> xr.Dataset:
    """Wells of |B| along each line: depths, lengths and loss cones.

    Every minimum has one well, up to the strength at which it spills over into a deeper one: wells that lie within
    others are counted apart from them.  What reaches an end of the line has no other wall there and does not count.

    Parameters
    ----------
    lines : xarray.Dataset
        From :func:`mmfields.field_lines`, saved several times a well; lazy where it is.
    least : float
        Mirror ratio B_peak/B_min of the shallowest wells that count.
    most : int
        Wells that are listed of each line, the deepest first.

    Returns
    -------
    xarray.Dataset
        Over the dims of the lines and ``well``, NaN where there are no more: ``position``, ``B_min``, ``B_peak``,
        ``length``, ``loss_cone`` [deg], asin of the root of B_min/B_peak, and ``trapped``, the root of
        1 - B_min/B_peak; ``count`` of each line, also of those that are not listed, and ``way``, the arc length that
        was looked at.

    Raises
    ------
    ArgumentError, SnapshotError
        If a number is unusable, or these are no lines.

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("micromirrors").isel(time=-1)
    >>> found = mm.lines.wells(mm.field_lines(ds, 20, length=30.0, step=0.5, save=60))
    >>> bool((found["B_peak"].max() > found["B_min"].min()))
    True
    """
    require_lines(lines)
    require_number(least, "least", 1.0), require_whole(most, "most", 1)
    table, count, way = xr.apply_ufunc(
        _wells,
        lines["path"].drop_attrs().reset_coords(drop=True),
        lines["B"],
        lines["alive"],
        input_core_dims=[["path"]] * 3,
        output_core_dims=[["number", "well"], [], []],
        vectorize=True,
        kwargs={"least": float(least), "most": most},
        dask="parallelized",
        output_dtypes=[np.float64] * 3,
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"number": len(WELL), "well": most}},
    )
    units = {name: {"units": "1"} for name in WELL} | {n: unit_attrs(lines["B"]) for n in ("B_min", "B_peak")}
    units |= {n: length_attrs(lines) for n in ("position", "length")} | {"loss_cone": {"units": "deg"}}
    out = xr.Dataset(
        {n: table.isel(number=i).assign_attrs(long_name=text, **units[n]) for i, (n, text) in enumerate(WELL.items())}
    )
    out["count"] = count.assign_attrs(long_name="wells of the line", units="1")
    out["way"] = way.assign_attrs(long_name="arc length that was looked at", **length_attrs(lines))
    return out.assign_attrs(least=float(least))


def _wells(path: np.ndarray, size: np.ndarray, alive: np.ndarray, *, least: float, most: int):
    """Wells of one line."""
    from scipy.signal import find_peaks, peak_prominences, peak_widths

    own = alive & np.isfinite(size)
    path, size = path[own], size[own]
    table = np.full((len(WELL), most), np.nan)
    if len(path) < 3:
        return table, 0.0, np.ptp(path) if len(path) else 0.0
    minima, _ = find_peaks(-size)
    heights, left, right = peak_prominences(-size, minima)
    inside = (left > 0) & (right < len(path) - 1)
    low, peak = size[minima], size[minima] + heights
    kept = np.flatnonzero(inside & (peak > low * least))
    ordered = kept[np.argsort(-(peak / low)[kept], kind="stable")][:most]
    if len(ordered):
        data = heights[ordered], left[ordered], right[ordered]
        _, _, begins, ends = peak_widths(-size, minima[ordered], rel_height=1.0, prominence_data=data)
        places = np.arange(len(path))
        length = np.interp(ends, places, path) - np.interp(begins, places, path)
        low, peak = low[ordered], peak[ordered]
        values = path[minima[ordered]], low, peak, length
        table[:, : len(ordered)] = [*values, np.degrees(np.arcsin(np.sqrt(low / peak))), np.sqrt(1 - low / peak)]
    return table, float(len(kept)), float(np.ptp(path))


@verb
def trapped(lines: xr.Dataset) -> xr.Dataset:
    """Share of isotropic particles at the seeds that wells hold within an arc length either way, by 1 - B/B_m.

    A particle of conserved magnetic moment that begins where the field is B turns round where it is B/(1 - μ²): of the
    isotropic ones the root of 1 - B/B_m are held, with B_m the lower of the two greatest strengths on either side.

    Parameters
    ----------
    lines : xarray.Dataset
        From :func:`mmfields.field_lines` with seeds that are even in the volume; lazy where it is.

    Returns
    -------
    xarray.Dataset
        Over ``path`` from 0: ``trapped``, the mean over the seeds, with ``trapped_error``.

    Raises
    ------
    SnapshotError
        If these are no lines, or not saved alike on both sides.

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("micromirrors").isel(time=-1)
    >>> held = mm.lines.trapped(mm.field_lines(ds, 20, length=30.0, step=0.5, save=30))["trapped"]
    >>> bool(held[0] == 0) and bool((held.diff("path") >= 0).all())
    True
    """
    require_lines(lines)
    if "side" in (sides := as_particles(lines).dims) or len(lines["path"]) % 2 == 0:
        raise SnapshotError(f"the lines are not saved alike on both sides of their seeds: {dict(sides)}")
    half = len(lines["path"]) // 2
    held = xr.apply_ufunc(
        _trapped,
        lines["B"],
        lines["alive"],
        input_core_dims=[["path"]] * 2,
        output_core_dims=[["arc"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"arc": half + 1}},
    ).rename(arc="path")
    held = held.assign_coords(path=("path", lines["path"].values[half:], lines["path"].attrs))
    dims = [d for d in held.dims if d not in ("path", "time")]
    error = held.std(dims, ddof=1) / held.count(dims) ** 0.5
    notes = {"units": "1", "long_name": "share of isotropic particles that are trapped within this way"}
    return xr.Dataset(
        {
            "trapped": held.mean(dims).assign_attrs(notes),
            "trapped_error": error.assign_attrs(notes, long_name="standard error of trapped"),
        }
    )


def _trapped(size: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """From strengths (…, path) to shares by arc length; beyond the end of a line no particle is trapped."""
    known = np.where(alive, size, 0.0)
    half = size.shape[-1] // 2
    ahead = np.maximum.accumulate(known[..., half:], axis=-1)
    back = np.maximum.accumulate(known[..., half::-1], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(np.maximum(1 - size[..., half : half + 1] / np.minimum(ahead, back), 0.0))


@renamed(name="variable")
@verb
def sequence(
    lines: xr.Dataset, variable: str, *, inside: float | None = None, outside: float | None = None, level: float = 0.5
) -> xr.Dataset:
    """Patches in the order in which each line meets them: their share of the way, and κ along the line (Eqs. 10-11).

    Along a line scattering rates add up by the way, so that 1/κ = f/κ_in + (1 - f)/κ_out holds with the share f of
    the way within patches.  That share need not be the one by volume: where flux is conserved lines run through a part
    of the volume in proportion to its |B|, so that they meet strong fields more often.  For particles that are tied to
    the tube of a line, whose section goes as 1/B, both flux and content count: κ = s² / (∫ B/κ ds ∫ ds/B).

    Parameters
    ----------
    lines : xarray.Dataset
        From :func:`mmfields.field_lines` with the mask of the patches sampled,
        ``variables=[variable]``; lazy where it is.
    variable : str
        Name of that mask: above `level` is inside.
    inside, outside : float, optional
        κ within patches and between them, in one unit.
    level : float
        0.5 for a mask of 0 and 1, which is interpolated.

    Returns
    -------
    xarray.Dataset
        Of each line: ``fraction`` of its way in patches, ``crossings`` of their edges, ``chord_in`` and ``chord_out``,
        the mean ways within and between them; ``mean_fraction`` of all lines with ``mean_fraction_error``; with both κ
        ``kappa`` of each line, ``kappa_all`` of all of them as one, and ``kappa_tube`` of the tube of each.

    Raises
    ------
    ArgumentError, SnapshotError
        If the mask was not sampled, or one κ alone is given, or not positive.

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("micromirrors").isel(time=-1)
    >>> ds["strong"] = ((ds["Bx"] ** 2 + ds["By"] ** 2 + ds["Bz"] ** 2) ** 0.5 > 1.1).astype(float)
    >>> lines = mm.field_lines(ds, 20, length=30.0, step=0.5, variables=["strong"])
    >>> bool(mm.lines.sequence(lines, "strong", inside=0.1, outside=1.0)["kappa_all"] < 1)
    True
    """
    require_lines(lines)
    if variable not in lines or "path" not in lines[variable].dims:
        raise SnapshotError(f"{variable!r} is not along the lines: mm.field_lines(..., variables=[{variable!r}])")
    if (inside is None) != (outside is None):
        raise ArgumentError("inside and outside are needed together: kappa within patches and between them")
    fraction, crossings, way, strong, weak, content = xr.apply_ufunc(
        _sequence,
        lines["path"].drop_attrs().reset_coords(drop=True),
        lines[variable],
        lines["alive"],
        lines["B"],
        input_core_dims=[["path"]] * 4,
        output_core_dims=[[]] * 6,
        kwargs={"level": require_number(level, "level")},
        dask="parallelized",
        output_dtypes=[np.float64] * 6,
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    dims = [d for d in fraction.dims if d != "time"]
    ways, lengths = {"units": "1"}, length_attrs(lines)
    mean = (fraction * way).sum(dims) / way.sum(dims)
    n = fraction.count(dims)
    error = (((fraction - mean) * way) ** 2).sum(dims) ** 0.5 / way.sum(dims) * (n / (n - 1).where(n > 1)) ** 0.5
    pieces = (crossings + 1) / 2
    out = {
        "fraction": fraction.assign_attrs(ways, long_name="share of the way in patches"),
        "crossings": crossings.assign_attrs(ways, long_name="edges of patches that are crossed"),
        "chord_in": (fraction * way / pieces).assign_attrs(lengths, long_name="mean way within a patch"),
        "chord_out": ((1 - fraction) * way / pieces).assign_attrs(lengths, long_name="mean way between patches"),
        "mean_fraction": mean.assign_attrs(ways, long_name="share of the way of all lines in patches"),
        "mean_fraction_error": error.assign_attrs(ways, long_name="standard error of mean_fraction"),
    }
    if inside is not None and outside is not None:
        ends = [require_number(v, label) for v, label in ((inside, "inside"), (outside, "outside"))]
        if min(ends) <= 0:
            raise ArgumentError(f"inside={inside!r}, outside={outside!r}: positive coefficients are needed")
        for label, share in (("kappa", fraction), ("kappa_all", mean)):
            out[label] = 1 / (share / ends[0] + (1 - share) / ends[1])
        out["kappa_tube"] = 1 / ((strong / ends[0] + weak / ends[1]) * content)
        for label in ("kappa", "kappa_all", "kappa_tube"):
            out[label].attrs = {
                "long_name": "kappa along the line, Eq. 11",
                "note": "in the unit of its ends",
            }
    return xr.Dataset(out)


def _sequence(path: np.ndarray, mask: np.ndarray, alive: np.ndarray, size: np.ndarray, *, level: float):
    """Along lines (…, path), linear in between: share of the way above a level, crossings of it, the way; and means.

    These are of |B| where it is above the level and where it is not, and of 1/|B|.
    """
    low, high = mask[..., :-1] - level, mask[..., 1:] - level
    crossed = (low >= 0) != (high >= 0)
    steps = np.diff(path) * (alive[..., 1:] & alive[..., :-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(crossed, np.maximum(low, high) / np.abs(high - low), (low >= 0) * 1.0)
        way = steps.sum(axis=-1)
        middle = (size[..., 1:] + size[..., :-1]) / 2
        sums = part, part * middle, (1 - part) * middle, 1 / middle
        share, strong, weak, content = ((s * steps).sum(axis=-1) / way for s in sums)
    return share, (crossed & (steps > 0)).sum(axis=-1) * 1.0, way, strong, weak, content

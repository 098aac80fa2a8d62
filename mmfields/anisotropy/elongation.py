"""How elongated eddies are: the relation l_par(l_perp) of a structure function."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, SnapshotError, require_dataset, require_plain_data, unit_attrs
from mmfields.provenance import verb

# A length that exceeds a limit by no more than this counts as within the range, so that rounding does not decide.
TIE = 1e-6


@verb
def scale_anisotropy(structure: xr.Dataset, *, l_range: tuple[float, float] = (0.0, np.inf)) -> xr.Dataset:
    """Length along the field whose increments are those of a length across it, S(l_par, 0°) = S(l_perp, 90°).

    Critically balanced turbulence has l_par ∝ l_perp^(2/3) in the local frame (Goldreich & Sridhar 1995; Cho &
    Vishniac 2000); eddies of one shape on all scales have the exponent 1.

    Parameters
    ----------
    structure : xarray.Dataset
        From :func:`structure_function`, of one order; the first and the last of its angles are taken for along
        and across.
    l_range : (float, float)
        Of l_perp, for the fit of the exponent; limits included, with a tolerance of a millionth of them.

    Returns
    -------
    xarray.Dataset
        ``l_par`` and ``l_par_error`` over ``l_perp``, NaN where the parallel increments never are as large, or are
        so at the shortest of their separations; and ``exponent``, ``exponent_error`` of l_par ∝ l_perp^exponent, NaN
        where fewer than three lengths are known.  The error of the fit is the larger of what the errors predict and
        what the scatter about it shows; errors are NaN where the structure function has none, since neighbouring
        separations share their waves and scatter less about a line than the line does.
        Lazy where the structure function is.

    Raises
    ------
    ArgumentError, SnapshotError
        If this is no structure function, it is of several orders, or has one angle; or if there are not two ascending
        limits.
    """
    require_plain_data(require_dataset(structure, "what mm.anisotropy.structure_function gives"))
    limits = np.asarray(l_range, dtype=float) if np.ndim(l_range) == 1 else np.empty(0)
    if limits.shape != (2,) or not limits[0] < limits[1]:
        raise ArgumentError(f"l_range={l_range!r}: two ascending limits are needed")
    if "structure_angle" not in structure:
        raise SnapshotError(f"no structure_angle among {list(structure)}: a structure function is needed")
    value = structure["structure_angle"]
    if "order" in value.dims:
        raise SnapshotError("a structure function of several orders: choose one with .sel(order=2)")
    if value.sizes["angle"] < 2:
        raise SnapshotError("a structure function of one bin of angle: two are needed, along and across the field")
    error = structure.get("structure_angle_error", value * np.nan)
    lengths = value["l"]
    curves = [a.isel(angle=i, drop=True).drop_vars("l") for i in (0, -1) for a in (value, error)]
    options: dict[str, Any] = {"vectorize": True, "dask": "parallelized", "output_dtypes": [np.float64] * 2}
    found, spread = xr.apply_ufunc(
        _equals,
        lengths.drop_vars("l").variable,
        *curves,
        input_core_dims=[["l"]] * 5,
        output_core_dims=[["l_perp"]] * 2,
        dask_gufunc_kwargs={"output_sizes": {"l_perp": len(lengths)}},
        **options,
    )
    exponent, deviation = xr.apply_ufunc(
        _exponent,
        xr.Variable("l_perp", lengths.values),
        found,
        spread,
        input_core_dims=[["l_perp"]] * 3,
        output_core_dims=[[], []],
        kwargs={"l_range": l_range},
        **options,
    )
    notes = unit_attrs(lengths)
    out = xr.Dataset(
        {
            "l_par": found.assign_attrs(long_name="length along the field with the same increments", **notes),
            "l_par_error": spread.assign_attrs(long_name="error of l_par", **notes),
            "exponent": exponent.assign_attrs(long_name="exponent of l_par against l_perp", units="1"),
            "exponent_error": deviation.assign_attrs(long_name="error of the exponent", units="1"),
        },
        attrs={"l_range": list(map(float, l_range)), "frame": structure.attrs.get("frame", "")},
    )
    return out.assign_coords(l_perp=("l_perp", lengths.values, {**notes, "long_name": "separation across the field"}))


def _equals(
    l: np.ndarray,  # noqa: E741  the field's letter
    along: np.ndarray,
    along_error: np.ndarray,
    across: np.ndarray,
    across_error: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Lengths along the field where the curve first reaches each value of that across the field, and their errors."""
    found, spread = np.full((2, len(l)), np.nan)
    good = (along > 0) & (l > 0)
    x, y, relative = np.log(l[good]), np.log(along[good]), along_error[good] / along[good]
    for n in np.flatnonzero(across > 0):
        target = np.log(across[n])
        above = np.flatnonzero(y >= target)
        if not len(above) or above[0] == 0:
            continue
        b = above[0]
        slope = (y[b] - y[b - 1]) / (x[b] - x[b - 1])
        found[n] = np.exp(x[b - 1] + (target - y[b - 1]) / slope)
        spread[n] = found[n] * np.hypot(across_error[n] / across[n], relative[b]) / slope
    return found, spread


def _exponent(
    l_perp: np.ndarray, l_par: np.ndarray, error: np.ndarray, *, l_range: tuple[float, float]
) -> tuple[float, float]:
    """Weighted straight line through the logarithms."""
    low, high = l_range[0] - TIE * abs(l_range[0]), l_range[1] + TIE * abs(l_range[1])
    good = np.isfinite(l_par) & (l_perp >= low) & (l_perp <= high) & (l_perp > 0)
    if good.sum() < 3:
        return np.nan, np.nan
    x, y = np.log(l_perp[good]), np.log(l_par[good])
    relative = error[good] / l_par[good]
    weight = 1 / relative**2 if (np.isfinite(relative) & (relative > 0)).all() else np.ones_like(x)
    design = np.stack([np.ones_like(x), x], axis=1)
    covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
    offset, exponent = covariance @ (design.T @ (weight * y))
    scatter = float(np.sum(weight * (y - offset - exponent * x) ** 2) / (len(x) - 2))
    known = np.isfinite(relative).all()
    return float(exponent), float(np.sqrt(covariance[1, 1] * max(1.0, scatter))) if known else np.nan

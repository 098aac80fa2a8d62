"""Means over particles with their errors, and what every coefficient says of itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.transport.reading import SURVIVORS, alive, light, strength
from mmfields.units import CARRIED, coefficient_attrs

PREFACTOR = (
    "kappa_ii = <dx_i^2>/(2 s), kappa = <dr^2>/(6 s), kappa_par = <dr_par^2>/(2 s), kappa_perp = <dr_perp^2>/(4 s)"
)
UNITS_NOTE = "particle speed times length unit"
DIRECTED = ("kappa_par", "kappa_perp", "kappa_A")


def mean_and_error(each: xr.Dataset, tr: xr.Dataset, kind: str, direction: str | Sequence[float] | None) -> xr.Dataset:
    """Mean over particles and its standard error, in one pass."""
    count = each.count("particle")
    several = count.where(count > 1)  # a mean of fewer than two has no error
    mean = each.sum("particle") / several
    scatter = ((each**2).sum("particle") - several * mean**2) / (several - 1)
    error = (scatter.clip(min=0.0) / several) ** 0.5
    first = count[next(iter(each))]
    return labelled(mean, error, tr, kind, direction).assign(
        count=first.assign_attrs(long_name="particles that count", units="1")
    )


def labelled(
    mean: xr.Dataset, error: xr.Dataset, tr: xr.Dataset, kind: str, direction: str | Sequence[float] | None
) -> xr.Dataset:
    """Coefficients with their errors, units and attrs; along and across exist where there is a direction."""
    result = mean.merge(error.rename({name: f"{name}_error" for name in error}))
    if direction is None:
        exists: Any = strength(tr).notnull()
        exists = exists.all([d for d in exists.dims if d not in next(iter(mean.values())).dims])
        for name in (n for n in DIRECTED if n in mean):
            result[name] = result[name].where(exists)
            result[f"{name}_error"] = result[f"{name}_error"].where(exists)
    unit = coefficient_attrs(tr)
    for name in mean:
        result[name].attrs = {**unit, "long_name": str(name).replace("_", " ")}
        result[f"{name}_error"].attrs = {**unit, "long_name": f"standard error of {name}"}
    if "beta_gamma" in tr and not {"particle", "path"} & set(tr["beta_gamma"].dims):
        result = result.assign_coords(beta_gamma=tr["beta_gamma"])
    notes = tr["path"].attrs
    result.attrs = {
        "prefactor": PREFACTOR,
        "kind": kind,
        "path_kind": "light" if light(tr) else "particle",
        "particles": int(tr.sizes["particle"]),
        "length_units": notes.get("normalization", "1") if notes.get("units", "1") == "1" else notes["units"],
        **{key: tr.attrs[key] for key in CARRIED if key in tr.attrs},
        **({"survivors": SURVIVORS} if alive(tr) is not None else {}),
    }
    return result


def without_drift(values: xr.DataArray) -> xr.DataArray:
    """Deviations from the mean over particles, so scaled that their mean products are not biased."""
    count = values.count("particle")
    return (values - values.mean("particle")) * (count / (count - 1).where(count > 1)) ** 0.5


def ratio_error(numerator: xr.DataArray, denominator: xr.DataArray, dim: str = "particle") -> tuple[Any, Any]:
    """Sum over sum, and its standard error from the scatter between particles."""
    total = denominator.sum(dim)
    total = total.where(total > 0)
    value = numerator.sum(dim) / total
    count = (denominator > 0).sum(dim)
    off = ((numerator - value * denominator) ** 2).sum(dim) * count / (count - 1).where(count > 1)
    return value, off**0.5 / total


def finite_run(kappa: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Relative bias of a plateau for its run being finite, -<(1 - exp(-x))/x> with x = s/lambda, by the last axis.

    For isotropic small-angle scattering, of which kappa is known with that bias; NaN where no free path fits.
    """
    kappa = np.asarray(kappa, float)[..., None]
    with np.errstate(all="ignore"):
        low, high = np.log(3 * kappa), np.log(3e4 * kappa)
        for _ in range(50):
            middle = (low + high) / 2
            x = lengths / np.exp(middle)
            # below x = 1e-4 the difference cancels
            seen = np.where(x < 1e-4, x / 2, 1 + np.expm1(-x) / x).mean(axis=-1, keepdims=True)
            under = np.exp(middle) / 3 * seen < kappa
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        bias = 3 * kappa / np.exp(high) - 1
        return np.where(bias > -0.999, bias, np.nan)[..., 0]

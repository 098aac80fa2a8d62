"""Spectra of periodic snapshots, in memory or chunk by chunk: shell and annular sums that satisfy Parseval's law."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields._renamed import by_old_name, renamed
from mmfields._types import Axis
from mmfields.conventions import (
    SPATIAL,
    components,
    derived_units,
    mean_direction,
    of_array,
    of_fields,
    require_one_unit,
    require_periodic,
    require_plain_data,
    require_values,
    spatial_dims,
    unit_attrs,
    wavenumber_attrs,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.fourier import vector_potential
from mmfields.fourier.waves import wavenumbers
from mmfields.provenance import verb
from mmfields.spectra.bins import Bins, binned, fields_of, half_weights, window_power
from mmfields.spectra.lags import area_to_first_zero, correlation, integral_scale, line_power

__all__ = [
    "area_to_first_zero",
    "coherence",
    "correlation",
    "correlation_length",
    "cross",
    "field_count",
    "helicity",
    "integral_scale",
    "power",
    "power2d",
    "reduced_spectrum",
    "slope",
]

NORMALIZATION = "sum of E times bin widths is <|dB|^2>/2 over the given fields, k = 0 left out"
# Limits of a range are included, whatever the last bits of a wavenumber.
TIE = 1e-6
CROSS_NORMALIZATION = "sum of C times bin widths is <da db>/2, k = 0 left out"


@renamed(names="variables")
@verb
@of_fields
def power(ds: xr.Dataset, variables: Sequence[str] = ("Bx", "By", "Bz")) -> xr.DataArray:
    """Shell-summed power spectrum E(k).

    Parameters
    ----------
    ds : xarray.Dataset or DataArray
        Periodic (or tapered) snapshot, or one field with its boundaries in its attrs; lazy and of any size
        where it is chunked.
    variables : sequence of str
        Fields whose power is added up.

    Returns
    -------
    xarray.DataArray
        Over ``k`` [rad per length unit], with coordinates ``k_width`` and ``modes`` (modes per
        shell); ``(E * E.k_width).sum()`` is <|dB|^2>/2.  Its ``units`` are those of the field's square over those of
        ``k``; ``attrs["unit_normalization"]`` says what 1 stands for in code units.

    Raises
    ------
    ArgumentError, SnapshotError
        If an axis is open or not uniform, or a field is missing; when computed, if it is not finite.
    """
    bins = Bins(ds)
    fields = _summable_fields(ds, variables)
    sums = binned([(f, f) for f in fields], bins, None)
    return bins.shells(sums / bins.width).rename("power").assign_attrs(_attrs(ds, variables, 1))


@renamed(names="variables")
@verb
@of_fields
def power2d(
    ds: xr.Dataset, variables: Sequence[str] = ("Bx", "By", "Bz"), *, direction: str | Sequence[float] | None = None
) -> xr.DataArray:
    """Annular-summed power spectrum E(k_perp, k_par).

    Parameters
    ----------
    ds : xarray.Dataset or DataArray
        Periodic (or tapered) snapshot, or one field with its boundaries in its attrs; lazy and of any size
        where it is chunked.
    variables : sequence of str
        Fields whose power is added up.
    direction : str or three numbers, optional
        What parallel means; the mean field by default.

    Returns
    -------
    xarray.DataArray
        Over ``k_perp`` and ``k_par`` >= 0 (both signs summed) [rad per length unit], with coordinates
        ``k_perp_width``, ``k_par_width`` and ``modes`` (per bin; those of a Nyquist wavenumber are shared
        between the bins of its two signs); ``(E * E.k_perp_width * E.k_par_width).sum()`` is <|dB|^2>/2.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`power`; and without a mean field, when it is computed, where no direction is given.
    """
    bins = Bins(ds)
    fields = _summable_fields(ds, variables)
    along = mean_direction(ds, direction)
    sums = binned([(f, f) for f in fields], bins, along)
    widths = np.full(bins.size, bins.width)
    widths[0] /= 2  # |k| < half a bin
    coords = {
        "k_perp": ("k_perp", bins.centres(), {**bins.notes, "long_name": "perpendicular wavenumber"}),
        "k_par": ("k_par", bins.centres(), {**bins.notes, "long_name": "parallel wavenumber"}),
        "k_perp_width": ("k_perp", widths, bins.notes),
        "k_par_width": ("k_par", widths, bins.notes),
        "modes": bins.modes(along if sums.chunks is None else along.chunk()),
    }
    sums = sums.assign_coords(coords)
    result = sums / sums["k_perp_width"] / sums["k_par_width"]  # their product would be as large as the result
    return result.rename("power").drop_attrs(deep=False).assign_attrs(_attrs(ds, variables, 2))


@renamed(names="variables")
@verb
@of_fields
def reduced_spectrum(ds: xr.Dataset, variables: Sequence[str] = ("Bx", "By", "Bz"), *, axis: Axis) -> xr.DataArray:
    """One-dimensional spectrum along an axis, summed over all wavenumbers across it.

    Parameters
    ----------
    ds : xarray.Dataset or DataArray
        Periodic (or tapered) snapshot, or one field with its boundaries in its attrs; lazy where it is.
    variables : sequence of str
        Fields whose power is added up.
    axis : {"x", "y", "z"}

    Returns
    -------
    xarray.DataArray
        One-sided over ``k``, from 0, with coordinates ``k_width`` and ``modes``; ``(E * E.k_width).sum()``
        is <|dB|^2>/2, the modes with k = 0 along the axis but not across it included.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`power`, or if the axis is missing.
    """
    grid = require_periodic(ds, "a reduced spectrum")
    _summable_fields(ds, variables)
    dims = grid.dims
    if axis not in dims:
        raise SnapshotError(f"axis={axis!r}: one of {dims} is needed")
    width, n = grid.widths[axis], ds.sizes[axis]
    fundamental = 2 * np.pi / (n * width)
    k, _ = wavenumbers(n, width, half=True)
    total = line_power(ds, variables, axis)
    weight = half_weights(n) * 0.5 / n**2 / window_power(ds)
    widths = np.full(len(k), fundamental)
    widths[0] /= 2
    result = total * xr.DataArray(weight / widths, dims="k")
    notes = {**wavenumber_attrs(ds), "long_name": f"wavenumber along {axis}"}
    modes = half_weights(n) * np.prod([ds.sizes[d] for d in dims if d != axis])
    modes[0] -= 1
    result = result.assign_coords(k=("k", k, notes), k_width=("k", widths, wavenumber_attrs(ds)), modes=("k", modes))
    return result.rename("power").assign_attrs(_attrs(ds, variables, 1), axis=axis)


@verb
def cross(ds: xr.Dataset, first: str, second: str) -> xr.DataArray:
    """Shell-summed cross spectrum of two fields.

    Parameters
    ----------
    ds : xarray.Dataset or DataArray
        Periodic (or tapered) snapshot, or one field with its boundaries in its attrs; lazy where it is.
    first, second : str
        Names.

    Returns
    -------
    xarray.DataArray
        Real, over ``k`` as :func:`power`, since the imaginary parts of k and -k cancel in a shell; the sum
        times ``k_width`` is <da db>/2.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`power`.
    """
    bins = Bins(ds)
    a, b = fields_of(ds, [first, second])
    sums = binned([(a, b)], bins, None)
    notes = {"long_name": f"cross spectrum of {first} and {second}", "normalization": CROSS_NORMALIZATION}
    result = bins.shells(sums / bins.width).rename("cross")
    return result.assign_attrs({**_attrs(ds, [first, second], 1), **notes})


@verb
def coherence(ds: xr.Dataset, first: str, second: str) -> xr.DataArray:
    """Squared coherence |C_ab|² / (E_a E_b) of two fields per shell, 0 to 1.

    Parameters
    ----------
    ds : xarray.Dataset or DataArray
        Periodic (or tapered) snapshot, or one field with its boundaries in its attrs; lazy where it is.
    first, second : str
        Names.

    Returns
    -------
    xarray.DataArray
        Over ``k``; about 1 / modes for independent fields, NaN where a shell has no power.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`power`.
    """
    both = cross(ds, first, second)
    result = abs(both) ** 2 / (power(ds, [first]) * power(ds, [second]))
    result = result.rename("coherence").drop_attrs(deep=False)
    return result.assign_attrs(long_name=f"squared coherence of {first} and {second}", units="1")


@verb
def helicity(ds: xr.Dataset, vector: str = "B") -> xr.Dataset:
    """Helicity spectrum H(k) of a solenoidal vector, with its potential in the Coulomb gauge.

    |H(k)| is at most 2 E(k)/k, which a Beltrami field ∇×B = ±kB reaches.  In a periodic box with a mean field it is the
    helicity of the fluctuation that is meant, which does not depend on the gauge.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot; lazy where it is.
    vector : str
        Letter of the vector: with ``u`` its curl is replaced by u and u by its potential.

    Returns
    -------
    xarray.Dataset
        Over ``k`` as :func:`mmfields.spectra.power`: ``helicity``, whose sum times ``k_width`` is ⟨A·B⟩, and
        ``relative``, k H / 2E, from -1 to 1.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`mmfields.spectra.power` and :func:`mmfields.fourier.vector_potential`.

    Examples
    --------
    >>> import mmfields as mm
    >>> found = mm.spectra.helicity(mm.samples.load("mhd_turbulence"))
    >>> bool((abs(found["relative"].isel(k=slice(1, None))) <= 1.1).all())
    True
    """
    names = list(components(ds, vector))
    both = ds[names].assign(vector_potential(ds[names], vector))
    bins = Bins(both)
    pairs = zip(fields_of(both, [f"A{d}" for d in SPATIAL]), fields_of(both, names), strict=True)
    total = bins.shells(2 * binned(list(pairs), bins, None) / bins.width)
    energy = power(ds, names)
    relative = energy["k"] * total / (2 * energy.where(energy > 0))
    unit = derived_units((ds[names[0]], 2), (ds[spatial_dims(ds)[0]], 2), ("rad", -1))
    return xr.Dataset(
        {
            "helicity": total.drop_attrs(deep=False).assign_attrs(long_name=f"helicity of {vector}", **unit),
            "relative": relative.drop_attrs(deep=False).assign_attrs(long_name="k H / 2E", units="1"),
        },
        attrs={"normalization": "sum of H times bin widths is <A.B>, k = 0 left out"},
    )


@renamed(names="variables")
@verb
@of_fields
def correlation_length(ds: xr.Dataset, variables: Sequence[str] = ("Bx", "By", "Bz")) -> xr.DataArray:
    """Correlation length l_c = (π/2) ∫ E(k)/k dk / ∫ E(k) dk of the fluctuations.

    It is the integral of the correlation ⟨B(x)·B(x+r)⟩ of an isotropic field over the lag r from 0 on, over its value
    at r = 0 (Monin & Yaglom 1975); of another field, the mean over all directions of r.

    Parameters
    ----------
    ds : xarray.Dataset or DataArray
        Periodic (or tapered) snapshot, or one field with its boundaries in its attrs; lazy where it is.
    variables : sequence of str
        Fields whose power is added up.

    Returns
    -------
    xarray.DataArray
        In the length unit of the snapshot.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`power`.

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("micromirrors").isel(time=-1)
    >>> print(f"{float(mm.spectra.correlation_length(ds)):.3g} d_i")
    7.26 d_i
    """
    found = power(ds, variables)
    found = found * found["k_width"]
    length = (np.pi / 2) * (found / found["k"]).sum("k") / found.sum("k")
    attrs = unit_attrs(ds[spatial_dims(ds)[0]])
    return length.rename("correlation_length").assign_attrs(attrs, long_name="correlation length of the fluctuations")


@verb
@of_array("E(k) of mm.spectra.power")
def slope(spectrum: xr.DataArray, k_range: tuple[float, float]) -> xr.Dataset:
    """Power-law fit E ∝ k^slope over a range of shells.

    Shells are weighted by their modes, of all fields that were added up.  The error is the larger of what the scatter
    of a Gaussian field predicts, about 1/sqrt(modes/2) of a shell (of two fields where they are the components of B,
    which has no divergence), and what the scatter of the power per mode about its own fit shows: how many modes a
    shell holds is no scatter.

    Parameters
    ----------
    spectrum : xarray.DataArray
        From :func:`power`; computed here.
    k_range : (float, float)
        Limits, included, with a tolerance of a millionth of them.

    Returns
    -------
    xarray.Dataset
        ``slope``, ``slope_error``, ``amplitude`` (E at k = 1), and over all ``k`` the ``compensated``
        spectrum E / (amplitude k^slope), 1 where the law holds; the range is in the attrs.

    Raises
    ------
    ArgumentError, SnapshotError
        If this is no spectrum over ``k`` alone, there are not two ascending limits, or fewer than three shells with
        power lie in the range.
    """
    require_plain_data(spectrum)
    if spectrum.dims != ("k",) or "modes" not in spectrum.coords:
        raise SnapshotError(
            f"one spectrum over k with its modes is needed, this has dims {spectrum.dims}: select the others"
        )
    limits = require_values(k_range, "k_range")
    if len(limits) != 2 or not limits[0] < limits[1]:
        raise ArgumentError(f"k_range={k_range!r}: two ascending limits are needed")
    low, high = limits[0] - TIE * abs(limits[0]), limits[1] + TIE * abs(limits[1])
    part = spectrum.where((spectrum["k"] >= low) & (spectrum["k"] <= high), drop=True).compute()
    part = part.where((part > 0) & (part["k"] > 0), drop=True)
    if part.sizes["k"] < 3:
        raise SnapshotError(f"k_range={k_range} holds {part.sizes['k']} shells with power; three are needed, widen it")
    (amplitude, exponent), error = _fit_line(part, field_count(spectrum), _independent(spectrum))
    values = {"slope": exponent, "slope_error": error, "amplitude": np.exp(amplitude)}
    fit = xr.Dataset({k: ((), float(v)) for k, v in values.items()}, attrs={"k_min": k_range[0], "k_max": k_range[1]})
    for name in ("slope", "slope_error"):
        fit[name].attrs["units"] = "1"
    fit["amplitude"].attrs = {"long_name": "spectrum at k = 1"} | {
        key: spectrum.attrs[key] for key in ("units", "unit_normalization") if key in spectrum.attrs
    }
    law = fit["amplitude"] * spectrum["k"] ** fit["slope"]
    return fit.assign(compensated=(spectrum / law).assign_attrs(long_name="spectrum over its fit", units="1"))


def _fit_line(part: xr.DataArray, fields: int, independent: int) -> tuple[np.ndarray, float]:
    """Offset and slope of a straight line through the logarithms of a spectrum, and the error of the slope."""
    from scipy.special import polygamma

    x, y, modes = np.log(part["k"].values), np.log(part.values), part["modes"].values
    weight = modes / 2 * fields
    design = np.stack([np.ones_like(x), x], axis=1)
    fit = np.linalg.inv(design.T @ (weight[:, None] * design)) @ (design.T * weight)
    # of the logarithm of a mean of so many numbers with an exponential distribution
    variance = polygamma(1, np.maximum(modes / 2 * independent, 0.5))
    per_mode = y - np.log(modes)
    rest = per_mode - design @ (fit @ per_mode)
    scatter = float(np.sum(rest**2 / variance) / (len(x) - 2))
    return fit @ y, float(np.sqrt(np.sum(fit[1] ** 2 * variance) * max(1.0, scatter)))


def _independent(spectrum: xr.DataArray) -> int:
    """As :func:`field_count`, of fields that do not follow from each other."""
    fields = str(spectrum.attrs.get("fields", "1")).split(", ")
    return len(fields) - ({"Bx", "By", "Bz"} <= set(fields))


@of_array("E(k) of mm.spectra.power")
def field_count(spectrum: xr.DataArray) -> int:
    """How many fields a spectrum adds up, each with its own modes.

    Parameters
    ----------
    spectrum : xarray.DataArray

    Returns
    -------
    int
    """
    return len(str(spectrum.attrs.get("fields", "1")).split(", "))


def _summable_fields(ds: xr.Dataset, names: Sequence[str]) -> list[xr.DataArray]:
    """Fields whose power is added up, and which therefore have one unit."""
    fields = fields_of(ds, names)
    require_one_unit(ds, names, "fields", "take their spectra one by one")
    return fields


def _attrs(ds: xr.Dataset, names: Sequence[str], power: int) -> dict[str, str]:
    """Attrs of a density of power over wavenumber to a power, of the product of the first and the last field."""
    k = [("rad", -power), (ds[spatial_dims(ds)[0]], power)]
    unit = derived_units((ds[names[0]], 1), (ds[names[-1]], 1), *k)
    return {
        "long_name": f"power of {', '.join(names)}",
        "units": unit["units"],
        **({"unit_normalization": unit["normalization"]} if "normalization" in unit else {}),
        "normalization": NORMALIZATION,
        "field_units": ds[names[0]].attrs.get("units", "1"),
        "fields": ", ".join(names),
    }


def __getattr__(name: str) -> Any:
    return by_old_name(__name__, name, {"reduced": "reduced_spectrum"})


def __dir__() -> list[str]:
    return sorted(__all__)

"""Sections of a report on the fields: mean, spectrum, scales, filter and rotation measure."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields import anisotropy, faraday, fourier, plot, spectra
from mmfields.conventions import MEAN_FIELD_FLOOR, SPATIAL, components, mean_field, spacing, spatial_dims
from mmfields.errors import SnapshotError
from mmfields.reporting.options import Options, held
from mmfields.reporting.page import Page
from mmfields.reporting.typeset import quantity

# Physical scale of a snapshot in code units, for the RM map alone: it is linear in each of them.
ASSUMED = {"length_unit": "1 kpc", "field_unit": "1 uG", "density": "1e-3 cm-3"}


def mean_section(ds: xr.Dataset, options: Options, page: Page) -> tuple[Any, dict[str, float]]:
    """The direction to use, mean and rms; the section with the slices."""
    means = mean_field(ds).compute()
    vector = [float(means[f"B{d}"]) for d in SPATIAL]
    strength = float(np.linalg.norm(vector))
    square = {f"B{d}": float((ds[f"B{d}"].astype(float) ** 2).mean()) for d in SPATIAL}
    rms = float(np.sqrt(sum(square.values())))
    delta = float(np.sqrt(max(rms**2 - strength**2, 0.0)))
    has_mean = strength > MEAN_FIELD_FLOOR * rms
    direction = options.direction if options.direction is not None or has_mean else "z"
    if delta <= 1e-6 * rms:
        raise SnapshotError("the field is uniform, so there is nothing to analyse or to scatter particles")
    section = page.section(
        "Mean field and fluctuation",
        "Parallel means along the mean field."
        if options.direction is None and has_mean
        else f"Parallel means along {direction}." + ("" if has_mean else " The snapshot has no mean field."),
    )
    unit = unit_name(ds["Bx"])
    section.values(
        {
            **{f"mean field along {d}": quantity(v, unit) for d, v in zip(SPATIAL, vector, strict=True)},
            "strength of the mean field": quantity(strength, unit),
            "rms of the full vector": quantity(rms, unit),
            "rms fluctuation": quantity(delta, unit),
        }
    )
    panels = plot.base.new_axes(3, 4.0, 3.8)
    plot.slices(anisotropy.fluctuation(ds, direction=direction), panels)
    page.figure("slices", panels[0].figure, "Fluctuation along the mean field on the mid-planes of the box.")
    return direction, {"strength": strength, "rms": rms, "delta": delta}


def unit_name(array: xr.DataArray) -> str:
    """The unit of an array, or what its numbers are normalized to."""
    unit = array.attrs.get("units", "1")
    return array.attrs.get("normalization", "code units") if unit == "1" else unit


def spectrum_section(
    ds: xr.Dataset, direction: Any, options: Options, page: Page
) -> tuple[xr.DataArray, xr.Dataset, dict[str, Any]]:
    """Power, scales and pass band; the sections with the spectrum and the table of scales."""
    scales = anisotropy.scales(ds, direction=direction).compute()
    band = {
        "k_par": options.k_par or _up_to(3 * float(scales["k_par_rms"]), ds),
        "k_perp": options.k_perp or _up_to(3 * float(scales["k_perp_rms"]), ds),
    }
    own = options.k_par is None and options.k_perp is None
    section = page.section(
        "Spectrum and pass band",
        "The pass band is that which was asked for."
        if not own
        else "The pass band reaches from 0 to three rms wavenumbers of the fluctuation along the mean field.",
    )
    length = unit_name(ds[spatial_dims(ds)[0]])
    section.table(
        ("wavenumber", "from", "to"),
        [(name, *(_wavenumber(k, f"rad / {length}") for k in limits)) for name, limits in band.items()],
    )
    ax = plot.base.new_axes(1, 6.2, 4.8)
    power = spectra.power2d(ds, direction=direction).compute()
    plot.spectrum2d(power, ax, **band)
    page.figure("spectrum", ax.figure, "Annular-summed power of the three components of B.")
    section = page.section("Scales", "Of the fluctuation along the mean field, with standard errors.")
    unit = {
        **dict.fromkeys(anisotropy.LENGTHS, length),
        **dict.fromkeys(anisotropy.WAVENUMBERS, f"rad / {length}"),
        **dict.fromkeys(anisotropy.STRENGTHS, unit_name(ds["Bx"])),
    }
    values = {str(name): value for name, value in scales.items() if not str(name).endswith("_error")}
    errors = {name: float(scales[f"{name}_error"]) for name in values if f"{name}_error" in scales}
    section.table(
        ("name in results.zarr", "meaning", "value"),
        [
            (name, value.attrs["long_name"], quantity(float(value), unit.get(name, ""), errors.get(name)))
            for name, value in values.items()
        ],
    )
    return power, scales, band


def _wavenumber(k: float, unit: str) -> str:
    return quantity(k, unit) if np.isfinite(k) else "the end of the grid"


def _up_to(limit: float, ds: xr.Dataset) -> tuple[float, float]:
    """From 0 to a limit, or without one where the grid ends before it."""
    return (0.0, limit if limit < min(np.pi / width for width in spacing(ds).values()) else np.inf)


def filter_section(ds: xr.Dataset, direction: Any, band: dict[str, Any], page: Page) -> dict[str, xr.Dataset]:
    """The field, its pass band and the rest, each with the mean field; the section that compares them."""
    field_only = ds[list(components(ds))]
    parts = {
        "full field": field_only,
        "pass band": fourier.filter(field_only, fourier.band(**band, keep_mean=True), direction=direction),
        "residual": fourier.filter(field_only, ~fourier.band(**band), direction=direction),
    }
    near = {name: held(part) for name, part in parts.items()}
    rms = {
        name: float(sum(part[c].astype(float).var() for c in components(part)).compute() ** 0.5)
        for name, part in near.items()
    }
    section = page.section(
        "Filtered", "Sharp band; the mean field stays with both parts, so that particles gyrate in each."
    )
    unit = unit_name(ds["Bx"])
    section.values({f"rms fluctuation, {name}": quantity(value, unit) for name, value in rms.items()})
    panels = plot.compare({n: anisotropy.fluctuation(p, direction=direction) for n, p in near.items()})
    page.figure("filtered", panels[0].figure, "Before, the pass band alone, and what is left, on one colour scale.")
    return parts


def rotation_section(ds: xr.Dataset, options: Options, page: Page) -> xr.DataArray:
    """RM map; the section says which units were assumed."""
    given: dict[str, Any] = {}
    said = []
    for key, array in (("length_unit", ds[options.los]), ("field_unit", ds[f"B{options.los}"])):
        text = getattr(options, key)
        if text is None and array.attrs.get("units", "1") == "1" and key not in ds.attrs:
            text = ASSUMED[key]
            said.append(f"{key} = {text} is assumed, the snapshot states none")
        if text is not None:
            given[key] = text
    density = options.density
    if density is None and not ("n" in ds and (ds["n"].attrs.get("units", "1") != "1" or "density_unit" in ds.attrs)):
        density = ASSUMED["density"]
        said.append(f"a constant electron density of {density} is assumed")
    if density is not None:
        given["density"] = density
    rm = faraday.rotation_measure(ds, options.los, **given).compute()
    if said:
        rm.attrs["assumed"] = "; ".join(said)
    section = page.section("Rotation measure", "; ".join(said) + "." if said else "All units are the snapshot's own.")
    section.values(
        {
            "rms of the map": quantity(float((rm**2).mean() ** 0.5), "rad / m2"),
            "mean of the map": quantity(float(rm.mean()), "rad / m2"),
        }
    )
    ax = plot.base.new_axes()
    plot.rotation_measure(rm, ax)
    page.figure("rotation_measure", ax.figure, "Rotation measure through the box, the observer at its upper end.")
    return rm

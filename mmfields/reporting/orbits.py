"""Sections of a report on particles: their orbits and diffusion coefficients."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from mmfields import particles, plot, tracing, transport
from mmfields.conventions import spacing, spatial_dims
from mmfields.errors import MmfieldsWarning
from mmfields.io import store
from mmfields.provenance import ATTRS
from mmfields.reporting.fields import unit_name
from mmfields.reporting.options import Options
from mmfields.reporting.page import Page, Section
from mmfields.reporting.typeset import quantity, unit
from mmfields.units import CARRIED, FIELD, LENGTH, energy_of, species_of, unit_of

# A run is stopped here even if its mean free paths are longer, so that a finer grid costs no more than this.
MOST_STEPS = 100_000
SAVED = 100
# Coordinates that differ, such as energies, are joined too.
JOIN: dict[str, Any] = {
    "coords": "different",
    "compat": "equals",
    "data_vars": "all",
    "join": "exact",
    "combine_attrs": "override",
}
COEFFICIENTS = {"kappa": "κ", "kappa_par": "κ∥", "kappa_perp": "κ⊥"}


def trace_all(
    fields: dict[str, xr.Dataset],
    scales: xr.Dataset,
    means: dict[str, float],
    options: Options,
    folder: Path,
    source: dict[str, Any],
    progress: bool,
) -> xr.Dataset:
    """Trajectories over (field, gyroradius, particle, path), stored so that a second run resumes.

    Each gyroradius runs for so many estimated mean free paths 2 r_g^2 / (l (dB/B)^2) of the full field,
    in steps of at most a tenth of a gyroradius and one cell, saved at logarithmically spaced lengths.
    """
    full = fields["full field"]
    length = float(scales["l_perp"])
    radii = sorted(options.gyroradius or (length, 2 * length, 4 * length))
    cell = min(spacing(full).values())
    free = 2 / (length * (means["delta"] / means["rms"]) ** 2)
    per_radius, lengths, steps = [], [], []
    for radius in radii:
        step = min(0.1 * radius, cell)
        distance = min(options.mean_free_paths * free * radius**2, MOST_STEPS * step)
        protons = particles.isotropic(
            options.particles,
            **_energy_of(radius, means["rms"], full),
            seed=options.seed,
            field=full,
            reference_field=means["rms"],
        )
        save = np.append(0.0, np.geomspace(min(radius, distance / 100), distance, SAVED))
        runs = [tracing.trace(f, protons, step=step, distance=distance, save=save) for f in fields.values()]
        runs = [run.reset_coords("gyroradius", drop=True) for run in runs]
        lengths.append(runs[0]["path"].values)
        steps.append(step)
        per_radius.append(xr.concat([run.drop_vars("path") for run in runs], "field", **JOIN))
    joined = xr.concat(per_radius, "gyroradius", **JOIN).assign_coords(
        field=np.array(list(fields), object),
        gyroradius=radii,
        path_length=(("gyroradius", "path"), np.array(lengths)),
        step=("gyroradius", np.array(steps)),
    )
    carried = {key: runs[0].attrs[key] for key in (*CARRIED, *ATTRS) if key in runs[0].attrs}
    joined.attrs = {**source, **carried, "length_units": unit_name(full[spatial_dims(full)[0]])}
    return store(joined, folder / "trajectories.zarr", progress=progress)


def _energy_of(radius: float, strength: float, ds: xr.Dataset) -> dict[str, Any]:
    """Energy of protons of a gyroradius, in a unit that reads easily; the gyroradius where units are unknown."""
    from astropy import units as u

    length, field_unit = unit_of(ds, LENGTH), unit_of(ds, FIELD)
    if length is None or field_unit is None:
        return {"gyroradius": radius}
    energy = energy_of(radius * length, 1.0, strength * field_unit, species_of("proton")[2])
    units = (u.eV, u.keV, u.MeV, u.GeV, u.TeV, u.PeV, u.EeV)
    return {"energy": energy.to(next((unit for unit in units[::-1] if energy >= 1 * unit), u.eV))}


def diffusion_section(
    tr: xr.Dataset, scales: xr.Dataset, rms: float, direction: Any, page: Page
) -> tuple[xr.Dataset, xr.Dataset]:
    """Running and plateau coefficients; the section with their figures and the table."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always", MmfieldsWarning)  # the page says what they say
        run, end = _coefficients(tr.load(), direction)
    end["kappa_eq5"] = _equation_five(end, scales, rms)
    known = "energy" in end.coords
    section = page.section(
        "Diffusion of protons",
        f"{run.attrs['particles']} isotropic protons per gyroradius and field. κ = ⟨Δr²⟩/6s, κ∥ = ⟨Δr∥²⟩/2s and "
        "κ⊥ = ⟨Δr⊥²⟩/4s after a path s. Gyroradii refer to the rms field. Bands, bars and ± are standard errors over "
        "particles. Where the exponent a of the displacements, ⟨Δr²⟩ ∝ s^a, is off 1 by more than 0.3 the number is no "
        "plateau: above 1 the protons still run freely and it is a lower limit, below 1 an upper one. Eq. 5 is "
        "v r_g² / l_perp (δB∥/B)⁻² with the scales above and the rms field, the law of small deflections, which holds "
        "where gyroradii exceed the scale.",
    )
    panels = plot.base.new_axes(tr.sizes["field"], 4.6, 4.4, sharey=True)
    for panel, name in zip(panels, tr["field"].values, strict=True):
        plot.running_diffusion(run.sel(field=name), panel, plateau=end.sel(field=name))
        panel.set_title(str(name))
    page.figure("running_diffusion", panels[0].figure, "Running coefficients along and across the mean field.")
    ax = plot.base.new_axes(1, 6.4, 4.8)
    plot.diffusion(end, ax)
    page.figure("diffusion", ax.figure, "Coefficients over the second half of each run; open markers: no plateau.")
    _coefficient_table(transport.physical(end) if known else end, section)
    _run_table(tr, section)
    if noted:
        section.items(sorted({str(warning.message) for warning in noted}))
    return run, end


def _coefficients(tr: xr.Dataset, direction: Any) -> tuple[xr.Dataset, xr.Dataset]:
    """Running and plateau coefficients of all gyroradii, each over its own lengths."""
    running, plateau = [], []
    for g in range(tr.sizes["gyroradius"]):
        one = tr.isel(gyroradius=g)
        one = one.assign_coords(path=("path", one["path_length"].values)).drop_vars(["path_length", "step"])
        running.append(transport.running_diffusion(one, direction=direction).drop_vars("path"))
        plateau.append(transport.diffusion(one, direction=direction))
    lengths = tr["path_length"].isel(path=slice(1, None))
    run = xr.concat(running, tr["gyroradius"], **JOIN).assign_coords(path_length=lengths).compute()
    end = xr.concat(plateau, tr["gyroradius"], **JOIN).compute()
    for result in (run, end):
        result.attrs["length_units"] = tr.attrs["length_units"]
    return run.drop_vars("step", errors="ignore"), end.drop_vars("step", errors="ignore")


def _equation_five(end: xr.Dataset, scales: xr.Dataset, rms: float) -> xr.DataArray:
    """Eq. 5 in the units of the coefficients, with the scales and strength that were measured."""
    ratio = float(scales["dB_par_rms"]) / rms
    law = xr.zeros_like(end["kappa"]) + end["gyroradius"] ** 2 / float(scales["l_perp"]) / ratio**2
    return law.assign_attrs({**end["kappa"].attrs, "long_name": "Eq. 5 with l_perp and dB_par_rms"})


def _coefficient_table(end: xr.Dataset, section: Section) -> None:
    """Coefficients with their errors and exponents, one line for each field and gyroradius."""
    known, length = "energy" in end.coords, end.attrs["length_units"]
    of = "cm2 / s" if known else f"v {length}"
    shown = [name for name in COEFFICIENTS if np.isfinite(end[name]).any()]
    rows = []
    for name in end["field"].values:
        for radius in end["gyroradius"].values:
            one = end.sel(field=name, gyroradius=radius)
            row: list[Any] = [name, quantity(radius, length)]
            if known:
                row.append(quantity(float(one["energy"]), one["energy"].attrs["units"]))
            for kappa in shown:
                row.append(quantity(float(one[kappa]), error=float(one[f"{kappa}_error"])))
                row.append(quantity(round(float(one[kappa.replace("kappa", "exponent")]), 2)))
            rows.append([*row, quantity(float(one["kappa_eq5"]))])
    heads: list[Any] = ["field", "r_g", *(["energy"] if known else [])]
    for kappa in shown:
        heads += [COEFFICIENTS[kappa] + " [" + unit(of) + "]", "a"]
    section.table([*heads, "Eq. 5 [" + unit(of) + "]"], rows)


def _run_table(tr: xr.Dataset, section: Section) -> None:
    """Steps and lengths of the runs."""
    length = tr.attrs["length_units"]
    rows: list[Sequence[Any]] = []
    for radius in tr["gyroradius"].values:
        one = tr.sel(gyroradius=radius)
        step, distance = float(one["step"]), float(one["path_length"].max())
        rows.append(
            (quantity(radius, length), quantity(step, length), quantity(distance, length), f"{distance / step:.0f}")
        )
    section.table(("r_g", "longest step", "path length", "steps at least"), rows)

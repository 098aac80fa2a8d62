"""Verbs on particles: from a snapshot to orbits, and from orbits to diffusion coefficients."""

from collections.abc import Mapping
from typing import Any

import click
import numpy as np
import xarray as xr

from mmfields.cli import common
from mmfields.conventions import spacing
from mmfields.errors import ArgumentError


@click.command("trace")
@click.argument("file")
@click.argument("out")
@common.gyroradius
@click.option("--energy", multiple=True, help="Kinetic energy instead, e.g. '1 TeV'; may be repeated.")
@click.option("--species", type=click.Choice(["proton", "electron"]), help="With --energy; proton by default.")
@common.field_unit
@common.length_unit
@click.option("--particles", "count", type=int, default=1000, show_default=True, help="Per gyroradius or energy.")
@click.option("--distance", required=True, help="Path length in FILE's length unit, or with a unit such as '3 kpc'.")
@click.option(
    "--step",
    type=float,
    default=0.1,
    show_default=True,
    help="In gyroradii, no longer than a cell; of guiding centres in cells.",
)
@click.option(
    "--cell-fraction", type=float, default=1.0, show_default=True, help="Longest step in cells; inf lifts it."
)
@click.option("--save", type=int, default=100, show_default=True, help="Saved points.")
@common.seed
@common.time_index
@click.option(
    "--pusher",
    type=click.Choice(["boris", "higuera-cary", "vay", "guiding-centre"]),
    help="How E acts; or follow guiding centres.",
)
@click.option("--evolve", is_flag=True, help="Through all times of FILE as one field that changes.")
@click.option("--electric", type=click.Choice(["stored", "ideal"]), help="Let E act: E of FILE, or -u x B.")
@click.option("--light-speed", type=float, help="In FILE's unit of velocity, where its units do not say it.")
@common.overwrite
@common.opening
def trace_(file: str, out: str, **options: Any) -> dict[str, Any]:
    """Trace isotropic particles through FILE into the zarr store OUT; run again, it resumes.

    \b
    Example:
      mmfields trace micromirrors orbits.zarr --energy '1 MeV' --energy '3 MeV' --distance 20000
      mmfields diffusion orbits.zarr
    """
    from mmfields import particles
    from mmfields.io import store
    from mmfields.tracing import trace

    evolve, longest = options["evolve"], options["cell_fraction"]
    ds = common.open_file(file, options, None if evolve else options["time_index"])
    first = ds.isel(time=0) if evolve and "time" in ds.dims else ds
    ensemble = particles.isotropic(options["count"], **_kind(options), seed=options["seed"], field=first)
    run = trace(
        ds,
        ensemble,
        distance=common.number_or_quantity(options["distance"], "distance"),
        save=options["save"],
        **_steps(first, options),
        cell_fraction=None if longest == float("inf") else longest,
        evolve=evolve,
        electric=options["electric"],
        light_speed=options["light_speed"],
    )
    made = store(run, out, overwrite=options["overwrite"])
    return common.stored(made, out, next=f"mmfields diffusion {out}")


def _steps(field: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    """Steps in gyroradii; those of guiding centres in cells, through splines."""
    if options["pusher"] != "guiding-centre":
        return {"step": options["step"], "step_unit": "gyroradius", "pusher": options["pusher"]}
    step = options["step"] * min(spacing(field).values())
    return {"step": step, "pusher": options["pusher"], "interpolation": "cubic"}


def _kind(options: Mapping[str, Any]) -> dict[str, Any]:
    """Gyroradii or energies of an ensemble, as the functions take them."""
    from astropy.units import Quantity

    if bool(options["gyroradius"]) == bool(options["energy"]):
        raise ArgumentError("give one of --gyroradius and --energy")
    kind = {key: options[key] for key in ("species", "field_unit", "length_unit") if options[key]}
    if options["gyroradius"]:
        return {**kind, "gyroradius": list(options["gyroradius"])}
    return {**kind, "energy": Quantity([common.number_or_quantity(text, "energy") for text in options["energy"]])}


@click.command("diffusion")
@click.argument("orbits")
@click.argument("out", required=False)
@click.option("--window", type=float, default=0.5, show_default=True, help="Part of the path before the plateau.")
@common.direction
@click.option("--frame", type=click.Choice(["mean", "local"]), default="mean", show_default=True, help="Along what.")
@click.option("--drift", type=click.Choice(["kept", "removed"]), default="kept", show_default=True, help="Of all.")
@click.option("--length-unit", help="What length 1 stands for, e.g. '1 kpc', where ORBITS do not know it.")
@common.overwrite
@common.reported
def diffusion_(orbits: str, out: str | None, **options: Any) -> dict[str, Any]:
    """Print diffusion coefficients of the ORBITS that trace made, in cm2/s where their units are known.

    With OUT, running coefficients and plateaus are written to that zarr store too, for mmfields plot.

    \b
    Example:
      mmfields diffusion orbits.zarr kappa.zarr
      mmfields plot kappa.zarr kappa.png
    """
    from mmfields import transport
    from mmfields.io import store

    tr = common.open_store(orbits)
    how = {"direction": common.direction_of(options["direction"]), **{k: options[k] for k in ("frame", "drift")}}
    end = transport.diffusion(tr, window=options["window"], **how)
    running = transport.running_diffusion(tr, **how)
    if _has_units(end, options["length_unit"]):
        end = transport.physical(end, length_unit=options["length_unit"])
        running = transport.physical(running, length_unit=options["length_unit"])
    found = _coefficients(end.compute())
    if out is not None:
        both = running.rename({name: f"running_{name}" for name in running.data_vars}).merge(end, compat="override")
        store(both.assign_attrs(end.attrs), out, overwrite=options["overwrite"])
        found["out"] = out
    return found


def _has_units(kappa: xr.Dataset, length_unit: str | None) -> bool:
    """Whether these coefficients can be had in cm2/s."""
    speeds = "beta_gamma" in kappa.coords or "particle_speed" in kappa.attrs
    return speeds and (length_unit is not None or "length_unit" in kappa.attrs)


def _coefficients(end: xr.Dataset) -> dict[str, Any]:
    """The coefficients of each gyroradius or energy, one after the other, for the summary."""
    from mmfields.transport.displacement import PLATEAU

    found: dict[str, Any] = {"particles": end.attrs.get("particles"), "definition": end.attrs["prefactor"]}
    radii = end["gyroradius"].values if "gyroradius" in end.dims else [None]
    for radius in radii:
        one = end if radius is None else end.sel(gyroradius=radius)
        of = "" if radius is None else f" r_g={radius:.4g}"
        if "energy" in one.coords and one["energy"].ndim == 0:
            of = f" {float(one['energy']):.4g} {one['energy'].attrs['units']}"
        for name in ("kappa", "kappa_par", "kappa_perp"):
            if name not in one or not np.isfinite(one[name]):
                continue
            exponent = float(one[name.replace("kappa", "exponent")])
            plateau = "plateau" if abs(exponent - 1) <= PLATEAU else "no plateau"
            found[f"{name}{of}"] = {
                "value": float(one[name]),
                "error": float(one[f"{name}_error"]),
                "unit": common.unit_of(one[name]),
                "exponent": exponent,
                "meaning": f"{plateau}, displacements grow as s^{exponent:.2f}",
            }
    return found

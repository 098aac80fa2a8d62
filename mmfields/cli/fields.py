"""Verbs on fields: open, one verb, store."""

from typing import Any

import click

from mmfields.cli import common
from mmfields.errors import ArgumentError

EVERYTHING = (0.0, float("inf"))


@click.command()
@click.argument("file")
@common.opening
def info(file: str, **options: Any) -> dict[str, Any]:
    """Print what is in FILE; only its headers are read.

    \b
    Example:
      mmfields info micromirrors
    """
    ds = common.open_file(file, options)
    if not click.get_current_context().params["as_json"]:
        click.echo(repr(ds))
        return dict(ds.attrs)
    variables = {str(n): {"dims": v.dims, "dtype": str(v.dtype), **v.attrs} for n, v in ds.variables.items()}
    return {"sizes": dict(ds.sizes), "variables": variables, "attrs": dict(ds.attrs)}


@click.command()
@click.argument("file")
@click.argument("out")
@common.overwrite
@common.opening
def convert(file: str, out: str, overwrite: bool, **options: Any) -> dict[str, Any]:
    """Write FILE to the zarr store OUT; run again after an interruption, it resumes.

    \b
    Example:
      mmfields convert run.out2.00010.athdf run.zarr
    """
    from mmfields.io import store

    return common.stored(store(common.open_file(file, options), out, overwrite=overwrite), out)


@click.command("filter")
@click.argument("file")
@click.argument("out")
@click.option("--k-par", type=(float, float), default=EVERYTHING, help="Pass band along the mean field.")
@click.option("--k-perp", type=(float, float), default=EVERYTHING, help="Pass band across it.")
@click.option("--residual", is_flag=True, help="Write what the band leaves out instead.")
@common.direction
@common.overwrite
@common.opening
def filter_(file: str, out: str, **options: Any) -> dict[str, Any]:
    """Filter every field of FILE by a sharp band in k_par and k_perp [rad per length unit].

    \b
    Example:
      mmfields filter micromirrors mirrors.zarr --k-par 0 0.4 --k-perp 0.1 0.8
    """
    from mmfields import fourier
    from mmfields.io import store

    limits = {key: options[key] for key in ("k_par", "k_perp")}
    if all(limit == EVERYTHING for limit in limits.values()):
        raise ArgumentError("give --k-par or --k-perp: without a band nothing is filtered")
    band = fourier.band(**limits)
    ds = common.open_file(file, options)
    towards = common.direction_of(options["direction"])
    filtered = fourier.filter(ds, ~band if options["residual"] else band, direction=towards)
    return common.stored(store(filtered, out, overwrite=options["overwrite"]), out)


@click.command("spectra")
@click.argument("file")
@click.argument("out")
@common.direction
@common.overwrite
@common.opening
def spectra_(file: str, out: str, direction: str | None, overwrite: bool, **options: Any) -> dict[str, Any]:
    """Write E(k) and E(k_perp, k_par) of B in FILE to the zarr store OUT.

    \b
    Example:
      mmfields spectra micromirrors spectra.zarr
    """
    from mmfields import spectra
    from mmfields.io import store

    ds = common.open_file(file, options)
    two = spectra.power2d(ds, direction=common.direction_of(direction)).rename("power2d")
    return common.stored(store(spectra.power(ds).to_dataset().assign(power2d=two), out, overwrite=overwrite), out)


@click.command("scales")
@click.argument("file")
@common.direction
@common.time_index
@common.opening
def scales_(file: str, direction: str | None, time_index: int, **options: Any) -> dict[str, Any]:
    """Print length scales, amplitudes and shape of the fluctuations in FILE, with their errors.

    \b
    Example:
      mmfields scales micromirrors --json
    """
    from mmfields import anisotropy

    ds = common.open_file(file, options, time_index)
    return common.values_of(anisotropy.scales(ds, direction=common.direction_of(direction)).compute())


@click.command("faraday")
@click.argument("file")
@click.argument("out")
@common.line_of_sight
@click.option("--density", help="Electron density with a unit, e.g. '1e-3 cm-3', where FILE has none.")
@common.field_unit
@common.length_unit
@click.option("--redshift", type=float, default=0.0, show_default=True, help="Of the plasma.")
@common.overwrite
@common.opening
def faraday_(file: str, out: str, **options: Any) -> dict[str, Any]:
    """Write the rotation-measure map of FILE to the zarr store OUT, and print its mean and rms.

    \b
    Example:
      mmfields faraday run.athdf rm.zarr --density '1e-3 cm-3' --field-unit '3 uG' --length-unit '1 kpc'
    """
    from mmfields import faraday
    from mmfields.io import store

    given = {key: options[key] for key in ("density", "field_unit", "length_unit", "redshift")}
    rm = faraday.rotation_measure(common.open_file(file, options), options["los"], **given)
    made = store(rm.to_dataset(), out, overwrite=options["overwrite"])
    found = made["rotation_measure"]
    each = {"mean": found.mean(), "rms": (found**2).mean() ** 0.5}
    notes = {"unit": "rad / m2", "meaning": "of the map"}
    return common.stored(made, out, **{name: {"value": float(value), **notes} for name, value in each.items()})

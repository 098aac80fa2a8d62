"""Verbs that draw, that run the main job or the paper's figures, and that prepare a machine."""

import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

import click
import xarray as xr

from mmfields.cli import common
from mmfields.errors import SnapshotError


@click.command("plot")
@click.argument("file")
@click.argument("out")
@click.option("--variable", help="Field of a snapshot to draw; its first by default.")
@common.time_index
@click.option("--dpi", type=int, default=150, show_default=True, help="Dots per inch of a PNG.")
@common.opening
def plot_(file: str, out: str, **options: Any) -> dict[str, Any]:
    """Draw FILE, a snapshot or what another verb stored, to OUT (.png, .pdf, .svg).

    A snapshot is drawn on its mid-planes, orbits in three dimensions, and spectra, RM maps and diffusion coefficients
    as mm.plot draws them.

    \b
    Example:
      mmfields plot micromirrors slices.png --variable By
    """
    from matplotlib import pyplot as plt

    is_store = os.path.exists(os.path.join(file, "zarr.json"))
    ds = common.open_store(file) if is_store else common.open_file(file, options, options["time_index"])
    if is_store and "time" in ds.dims:
        ds = ds.isel(time=options["time_index"])
    what, figure = _drawn(ds, options["variable"])
    try:
        figure.savefig(out, dpi=options["dpi"])
    except ValueError as error:
        raise SnapshotError(f"{out}: {error}") from error
    plt.close(figure)
    return {"drawn": what, "out": out}


def _drawn(ds: xr.Dataset, variable: str | None) -> tuple[str, Any]:
    """What a Dataset is, and its figure."""
    from mmfields import plot

    kinds: tuple[tuple[str, str, Callable[[], Any]], ...] = (
        ("running_kappa", "diffusion coefficients", lambda: _coefficients(ds)),
        ("power2d", "spectra", lambda: _spectra(ds)),
        ("rotation_measure", "rotation measure", lambda: plot.rotation_measure(ds["rotation_measure"])),
    )
    for name, what, draw in kinds:
        if name in ds:
            return what, draw().figure
    if {"particle", "path"} <= set(ds.dims):
        tr = ds.isel(gyroradius=0) if "gyroradius" in ds.dims else ds
        return "orbits", plot.orbits(tr).figure
    return "mid-planes", plot.slices(ds, variable=variable)[0].figure


def _coefficients(ds: xr.Dataset) -> Any:
    """Running coefficients, with their plateaus, from one store."""
    from mmfields import plot

    running = {str(n): str(n).removeprefix("running_") for n in ds.data_vars if str(n).startswith("running_")}
    end = ds.drop_vars(list(running)).drop_dims("path")
    return plot.running_diffusion(ds[list(running)].rename(running), plateau=end)


def _spectra(ds: xr.Dataset) -> Any:
    """Both spectra of one store, side by side."""
    from mmfields import plot

    panels = plot.base.new_axes(2, 5.6, 4.4)
    plot.spectrum(ds["power"], panels[0])
    plot.spectrum2d(ds["power2d"], panels[1])
    return panels[0]


@click.command("report")
@click.argument("file")
@click.option("--out", required=True, help="Directory for the page, the figures and the results.")
@common.time_index
@common.direction
@click.option("--k-par", type=(float, float), help="Pass band of the filter along the mean field.")
@click.option("--k-perp", type=(float, float), help="Pass band of the filter across it.")
@common.gyroradius
@click.option("--particles", type=int, default=256, show_default=True, help="Per gyroradius and field.")
@click.option("--mean-free-paths", type=float, default=40.0, show_default=True, help="Length of the runs.")
@common.seed
@common.line_of_sight
@click.option("--density", help="Electron density of the RM map, e.g. '1e-3 cm-3', where FILE has none.")
@common.field_unit
@common.length_unit
@click.option("--overwrite", is_flag=True, help="Replace another report in the same directory.")
@common.opening
def report_(file: str, out: str, overwrite: bool, **options: Any) -> dict[str, Any]:
    """Run everything on FILE: figures, a zarr of results, and a page that shows them.

    \b
    Example:
      mmfields report micromirrors --out report
    """
    from mmfields.reporting import Options, report

    opening = common.given_of(options)
    for key in common.OPENING:
        options.pop(key, None)
    options["direction"] = common.direction_of(options["direction"])
    options["gyroradius"] = options["gyroradius"] or None
    quiet = click.get_current_context().params["as_json"]
    made = report(
        file,
        out,
        options=Options(**options),
        overwrite=overwrite,
        progress=not quiet,
        command=shlex.join(["mmfields", *sys.argv[1:]]),
        **opening,
    )
    found = common.values_of(made[[n for n in ("l_par", "l_perp", "dB_over_B0") for n in (n, f"{n}_error")]])
    return {**found, "page": f"{out}/index.html"}


@click.command("paper")
@click.argument("name", metavar="FIGURE")
@click.option("--out", required=True, help="Directory for the figure, its numbers and the data behind it.")
@click.option("--reduced", is_flag=True, help="Fewer particles, energies and shorter paths: less than a minute.")
@click.option("--full", is_flag=True, help="Of fig3, every orbit traced from GeV to 100 EeV: some eight core hours.")
@common.reported
def paper_(name: str, out: str, reduced: bool, full: bool) -> dict[str, Any]:
    """Compute FIGURE (fig1 to fig5) of the paper; run again after an interruption, it resumes.

    \b
    Example:
      mmfields paper fig2 --out fig2 --reduced
    """
    from mmfields import paper

    found = {key: float(value) for key, value in paper.run(name, out, reduced=reduced, full=full).items()}
    return {**found, "figure": f"{out}/{name}.png"}


@click.command("compile")
@common.reported
def compile_() -> dict[str, Any]:
    """Compile the kernels of the usual traces ahead of use, as for an image of a container.

    They are cached beside the package, or in the folder that NUMBA_CACHE_DIR names.

    \b
    Example:
      NUMBA_CACHE_DIR=/opt/numba mmfields compile
    """
    from mmfields.warming import warm

    return {what: f"{seconds:.1f} s" for what, seconds in warm()}

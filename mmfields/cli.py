"""Command line: open, one verb, store."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from mmfields import __version__
from mmfields.conventions import ArgumentError, MmfieldsError, SnapshotError

OPENING = ("engine", "boundary", "level")


def _opening(command: Callable) -> Callable:
    """Options of every command that opens a file."""
    for option in (
        click.option("--engine", help="Reader to use; found from the file by default."),
        click.option(
            "--boundary",
            type=click.Choice(["periodic", "open"]),
            help="Boundaries, where the file states none or the wrong ones.",
        ),
        click.option("--level", type=int, help="Refinement level of the uniform grid."),
        click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask cluster, e.g. tcp://host:8786."),
    ):
        command = option(command)
    return _reported(command)


def _reported(command: Callable) -> Callable:
    """Bad input ends with status 2 and one line."""

    @wraps(command)
    def wrapper(*, scheduler: str | None = None, **options: Any) -> Any:
        try:
            if scheduler is None:
                return command(**options)
            with _cluster(scheduler):
                return command(**options)
        except (MmfieldsError, FileNotFoundError) as error:
            message = " ".join(str(error).split())
            click.echo(f"mmfields: {message}", err=True)
            sys.exit(2)
        except OSError as error:
            click.echo(f"mmfields: {error}", err=True)
            sys.exit(2)
        except MemoryError as error:
            click.echo(f"mmfields: {error}: ask for less at once, or run on a cluster", err=True)
            sys.exit(2)

    return wrapper


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """A client of a running cluster; the loss of its scheduler or workers is said in one sentence."""
    from concurrent.futures import CancelledError

    from distributed import Client, KilledWorker

    for part in ("client", "core"):  # what these log of a loss is said below
        logging.getLogger(f"distributed.{part}").setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise ArgumentError(f"no Dask scheduler at {address!r} ({error}): give one such as tcp://host:8786") from error
    with client:
        try:
            yield
        except (CancelledError, KilledWorker) as error:
            raise MmfieldsError(
                f"the cluster at {address} was lost ({type(error).__name__}): run the same command again once it is "
                "back, what has been stored stays"
            ) from error


def _open(file: str, options: dict[str, Any], time_index: int | None = None) -> Any:
    from mmfields import samples
    from mmfields.io import open_snapshot

    if file in samples.SAMPLES:
        if given := _given(options):
            raise ArgumentError(f"{file} is a sample, to which {', '.join(given)} do not apply: leave them out")
        ds = samples.load(file)
    else:
        ds = open_snapshot(file, **_given(options))
    if time_index is not None and "time" in ds.dims:
        if not -ds.sizes["time"] <= time_index < ds.sizes["time"]:
            raise SnapshotError(f"{file}: no time index {time_index} among {ds.sizes['time']}")
        ds = ds.isel(time=time_index)
    return ds


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {k: options[k] for k in OPENING if options.get(k) is not None}


def _direction(text: str | None) -> Any:
    if text is None or text in ("x", "y", "z"):
        return text
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentError(f"direction {text!r}: give x, y, z or three numbers such as 1,1,0") from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """From a PIC or MHD snapshot to a cosmic-ray diffusion coefficient.

    FILE is a snapshot of any code that is read, or the name of a sample (micromirrors, mhd_turbulence).
    """


@main.command()
@click.argument("file")
@_opening
def info(file: str, **options: Any) -> None:
    """Print what is in FILE; only its headers are read."""
    ds = _open(file, options)
    click.echo(repr(ds))
    for key, value in ds.attrs.items():
        click.echo(f"{key:20s} {value}")


@main.command()
@click.argument("file")
@click.argument("out")
@click.option("--overwrite", is_flag=True, help="Replace OUT instead of resuming it.")
@_opening
def convert(file: str, out: str, overwrite: bool, **options: Any) -> None:
    """Write FILE to the zarr store OUT; run again after an interruption, it resumes."""
    from mmfields.io import store

    store(_open(file, options), out, overwrite=overwrite)


@main.command("filter")
@click.argument("file")
@click.argument("out")
@click.option("--k-par", type=(float, float), default=(0.0, float("inf")), help="Pass band along the mean field.")
@click.option("--k-perp", type=(float, float), default=(0.0, float("inf")), help="Pass band across it.")
@click.option("--residual", is_flag=True, help="Write what the band leaves out instead.")
@click.option("--direction", help="What parallel means: x, y, z or three numbers 1,1,0; the mean field by default.")
@click.option("--overwrite", is_flag=True)
@_opening
def filter_(
    file: str,
    out: str,
    k_par: tuple[float, float],
    k_perp: tuple[float, float],
    residual: bool,
    direction: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Filter every field of FILE by a sharp band in k_par and k_perp [rad per length unit]."""
    from mmfields import fourier
    from mmfields.io import store

    if k_par == k_perp == (0.0, float("inf")):
        raise ArgumentError("give --k-par or --k-perp: without a band nothing is filtered")
    band = fourier.band(k_par=k_par, k_perp=k_perp)
    ds = fourier.filter(_open(file, options), ~band if residual else band, direction=_direction(direction))
    store(ds, out, overwrite=overwrite)


@main.command("spectra")
@click.argument("file")
@click.argument("out")
@click.option("--direction", help="What parallel means; the mean field by default.")
@click.option("--overwrite", is_flag=True)
@_opening
def spectra_(file: str, out: str, direction: str | None, overwrite: bool, **options: Any) -> None:
    """Write E(k) and E(k_perp, k_par) of B in FILE to the zarr store OUT."""
    from mmfields import spectra
    from mmfields.io import store

    ds = _open(file, options)
    two = spectra.power2d(ds, direction=_direction(direction)).rename("power2d")
    store(spectra.power(ds).to_dataset().assign(power2d=two), out, overwrite=overwrite)


@main.command("scales")
@click.argument("file")
@click.option("--direction", help="What parallel means; the mean field by default.")
@click.option("--time-index", type=int, default=-1, show_default=True)
@_opening
def scales_(file: str, direction: str | None, time_index: int, **options: Any) -> None:
    """Print length scales, amplitudes and shape of the fluctuations in FILE."""
    from mmfields import anisotropy

    result = anisotropy.scales(_open(file, options, time_index), direction=_direction(direction)).compute()
    for name, value in result.items():
        unit = value.attrs.get("normalization", value.attrs["units"])
        click.echo(f"{name:12s} {float(value):12.6g}  {value.attrs['long_name']} [{unit}]")


@main.command("faraday")
@click.argument("file")
@click.argument("out")
@click.option("--los", type=click.Choice(["x", "y", "z"]), default="z", show_default=True, help="Line of sight.")
@click.option("--density", help="Electron density with a unit, e.g. '1e-3 cm-3', where FILE has none.")
@click.option("--field-unit", help="What field 1 stands for, e.g. '3 uG', where FILE states none.")
@click.option("--length-unit", help="What length 1 stands for, e.g. '1 kpc', where FILE states none.")
@click.option("--redshift", type=float, default=0.0, show_default=True)
@click.option("--overwrite", is_flag=True)
@_opening
def faraday_(file: str, out: str, los: str, redshift: float, overwrite: bool, **options: Any) -> None:
    """Write the rotation-measure map of FILE to the zarr store OUT."""
    from mmfields import faraday
    from mmfields.io import store

    given = {key: options.pop(key) for key in ("density", "field_unit", "length_unit")}
    rm = faraday.rotation_measure(_open(file, options), los, redshift=redshift, **given)
    store(rm.to_dataset(), out, overwrite=overwrite)


@main.command("trace")
@click.argument("file")
@click.argument("out")
@click.option("--gyroradius", type=float, multiple=True, help="In FILE's length unit; may be repeated.")
@click.option("--energy", multiple=True, help="Kinetic energy instead, e.g. '1 TeV'; may be repeated.")
@click.option("--species", type=click.Choice(["proton", "electron"]), help="With --energy; proton by default.")
@click.option("--field-unit", help="What field 1 stands for, e.g. '3 uG', where FILE states none.")
@click.option("--length-unit", help="What length 1 stands for, e.g. '1 kpc', where FILE states none.")
@click.option("--particles", "count", type=int, default=1000, show_default=True)
@click.option("--distance", required=True, help="Path length in FILE's length unit, or with a unit such as '3 kpc'.")
@click.option("--step", type=float, default=0.1, show_default=True, help="In gyroradii; no longer than a cell.")
@click.option(
    "--cell-fraction", type=float, default=1.0, show_default=True, help="Longest step in cells; inf lifts it."
)
@click.option("--save", type=int, default=100, show_default=True, help="Saved points.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--time-index", type=int, default=-1, show_default=True)
@click.option("--overwrite", is_flag=True)
@_opening
def trace_(
    file: str,
    out: str,
    count: int,
    distance: str,
    step: float,
    cell_fraction: float,
    save: int,
    seed: int,
    time_index: int,
    overwrite: bool,
    **options: Any,
) -> None:
    """Trace isotropic particles through FILE into the zarr store OUT; run again, it resumes."""
    from mmfields import particles
    from mmfields.io import store
    from mmfields.tracing import trace

    given = {key: options.pop(key) for key in ("gyroradius", "energy", "species", "field_unit", "length_unit")}
    ds = _open(file, options, time_index)
    ensemble = particles.isotropic(count, **_kind(given), seed=seed, field=ds)
    most = None if cell_fraction == float("inf") else cell_fraction
    steps = {"step": step, "step_unit": "gyroradius", "cell_fraction": most}
    run = trace(ds, ensemble, distance=_number_or_quantity(distance, "distance"), save=save, **steps)
    store(run, out, overwrite=overwrite)


def _kind(given: dict[str, Any]) -> dict[str, Any]:
    """Gyroradii or energies of an ensemble, as the functions take them."""
    from astropy.units import Quantity

    if bool(given["gyroradius"]) == bool(given["energy"]):
        raise ArgumentError("give one of --gyroradius and --energy")
    kind = {key: value for key, value in given.items() if value}
    if kind.get("gyroradius"):
        return {**kind, "gyroradius": list(kind["gyroradius"])}
    return {**kind, "energy": Quantity([_number_or_quantity(text, "energy") for text in kind["energy"]])}


def _number_or_quantity(text: str, name: str) -> Any:
    """What was typed, as a number, or as a Quantity where it has a unit."""
    from astropy.units import Quantity

    try:
        return float(text)
    except ValueError:
        pass
    try:
        return Quantity(text)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"--{name} {text!r}: a number, or one with a unit such as '3 kpc', is needed") from error


@main.command("compile")
@_reported
def compile_() -> None:
    """Compile the kernels of the usual traces ahead of use, as for an image of a container.

    They are cached beside the package, or in the folder that NUMBA_CACHE_DIR names.
    """
    from mmfields.warming import warm

    for what, seconds in warm():
        click.echo(f"{what:40s} {seconds:6.1f} s")


@main.command("report")
@click.argument("file")
@click.option("--out", required=True, help="Directory for the page, the figures and the results.")
@click.option("--time-index", type=int, default=-1, show_default=True, help="Snapshot of a series.")
@click.option("--direction", help="What parallel means: x, y, z or three numbers 1,1,0; the mean field by default.")
@click.option("--k-par", type=(float, float), help="Pass band of the mirrors along the mean field.")
@click.option("--k-perp", type=(float, float), help="Pass band of the mirrors across it.")
@click.option("--gyroradius", type=float, multiple=True, help="In FILE's length unit; may be repeated.")
@click.option("--particles", type=int, default=256, show_default=True, help="Per gyroradius and field.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--los", type=click.Choice(["x", "y", "z"]), default="z", show_default=True, help="Line of sight.")
@click.option("--density", help="Electron density of the RM map, e.g. '1e-3 cm-3', where FILE has none.")
@click.option("--field-unit", help="What field 1 stands for, e.g. '3 uG', where FILE states none.")
@click.option("--length-unit", help="What length 1 stands for, e.g. '1 kpc', where FILE states none.")
@click.option("--overwrite", is_flag=True, help="Replace another report in the same directory.")
@_opening
def report_(
    file: str, out: str, direction: str | None, gyroradius: tuple[float, ...], overwrite: bool, **options: Any
) -> None:
    """Run everything on FILE: figures, a zarr of results, and a page that shows them."""
    from mmfields.reporting import Options, report

    opening = _given(options)
    for key in OPENING:
        options.pop(key, None)
    choices = Options(direction=_direction(direction), gyroradius=gyroradius or None, **options)
    report(file, out, options=choices, overwrite=overwrite, **opening)
    click.echo(f"{out}/index.html")


@main.command("paper")
@click.argument("name", metavar="FIGURE")
@click.option("--out", required=True, help="Directory for the figure, its numbers and the data behind it.")
@click.option("--reduced", is_flag=True, help="Fewer particles, energies and shorter paths: less than a minute.")
@click.option("--full", is_flag=True, help="Of fig3, every orbit traced from GeV to 100 EeV: some eight core hours.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask cluster, e.g. tcp://host:8786.")
@_reported
def paper_(name: str, out: str, reduced: bool, full: bool) -> None:
    """Compute FIGURE (fig1 to fig5) of the paper; run again after an interruption, it resumes."""
    from mmfields import paper

    for key, value in paper.run(name, out, reduced=reduced, full=full).items():
        click.echo(f"{key:32s} {value:.6g}")
    click.echo(f"{out}/{name}.png")


if __name__ == "__main__":
    main()

"""What all verbs share: options, opening, errors in the words of the command line, and what is printed at the end."""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click
import numpy as np
import xarray as xr

from mmfields.conventions import ArgumentError, MmfieldsError, SnapshotError

OPENING = ("engine", "boundary", "level")
DIRECTION = "What parallel means: x, y, z or three numbers 1,1,0; the mean field by default."
FIELD_UNIT = "What field 1 stands for, e.g. '3 uG', where FILE states none."
LENGTH_UNIT = "What length 1 stands for, e.g. '1 kpc', where FILE states none."

direction = click.option("--direction", help=DIRECTION)
time_index = click.option("--time-index", type=int, default=-1, show_default=True, help="Snapshot of a series.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace OUT instead of resuming it.")
field_unit = click.option("--field-unit", help=FIELD_UNIT)
length_unit = click.option("--length-unit", help=LENGTH_UNIT)
line_of_sight = click.option(
    "--los", type=click.Choice(["x", "y", "z"]), default="z", show_default=True, help="Line of sight."
)
gyroradius = click.option("--gyroradius", type=float, multiple=True, help="In FILE's length unit; may be repeated.")
seed = click.option("--seed", type=int, default=1, show_default=True, help="Of all random numbers.")


def opening(command: Callable) -> Callable:
    """Options of every command that opens a file."""
    for option in (
        click.option("--engine", help="Reader to use; found from the file by default."),
        click.option(
            "--boundary",
            type=click.Choice(["periodic", "open"]),
            help="Boundaries, where the file states none or the wrong ones.",
        ),
        click.option("--level", type=int, help="Refinement level of the uniform grid."),
    ):
        command = option(command)
    return reported(command)


def reported(command: Callable) -> Callable:
    """Options of every command; bad input ends with status 2 and one line, which names options."""

    @click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask cluster, e.g. tcp://host:8786.")
    @click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
    @wraps(command)
    def wrapper(*, scheduler: str | None = None, as_json: bool = False, **options: Any) -> None:
        try:
            if scheduler is None:
                found = command(**options)
            else:
                with _cluster(scheduler):
                    found = command(**options)
            _say(found, as_json)
            sys.stdout.flush()
        except BrokenPipeError:
            # Who reads has seen enough, as `head` has; the rest goes nowhere, also what Python flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (MmfieldsError, OSError) as error:
            _fail(in_options(" ".join(str(error).split()), _options()))
        except MemoryError as error:
            _fail(f"{error}: ask for less at once, or run on a cluster")

    return wrapper


def _fail(message: str) -> None:
    click.echo(f"mmfields: {message}", err=True)
    sys.exit(2)


def _options() -> dict[str, str]:
    """Options of the running command by the names of the arguments that they set."""
    params = click.get_current_context().command.params
    return {str(param.name): max(param.opts, key=len) for param in params if isinstance(param, click.Option)}


def in_options(message: str, options: Mapping[str, str]) -> str:
    """A message about arguments in Python, in the words of the command line.

    Examples
    --------
    >>> in_options("step=-1.0: a positive length is needed, or overwrite=True", {"step": "--step"})
    '--step -1.0: a positive length is needed, or overwrite=True'
    """
    # What Python sets by a method has an option here.
    message = re.sub(r"\bds\.assign_attrs\((\w+=[^()]*)\)", r"\1", message)
    message = message.replace(" as an astropy Quantity", " with a number and a unit")
    message = re.sub(r"\boption_(\w+)", lambda found: options.get(found[1], found[0]), message)

    def option(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        if name not in options:
            return found[0]
        if value in ("True", "False", "None", "..."):
            return options[name]
        bare = value.strip("'\"")
        return f"{options[name]} {bare if re.fullmatch(r'[-+.:/0-9A-Za-z_]+', bare) else value}"

    value = r"'[^']*'|\"[^\"]*\"|\.\.\.|\([^()]*\)|\[[^][]*\]|[^\s,;:()]+"
    return re.sub(rf"(?<![\w.-])(?P<name>[a-z_]+)=(?P<value>{value})", option, message)


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


def open_file(file: str, options: Mapping[str, Any], time_index: int | None = None) -> xr.Dataset:
    """The snapshot or sample that FILE names, at one time where `time_index` is given."""
    from mmfields import samples
    from mmfields.io import open_snapshot

    if file in samples.SAMPLES:
        if given := given_of(options):
            raise ArgumentError(f"{file} is a sample, to which {', '.join(given)} do not apply: leave them out")
        ds = samples.load(file)
    else:
        ds = open_snapshot(file, **given_of(options))
    if time_index is not None and "time" in ds.dims:
        if not -ds.sizes["time"] <= time_index < ds.sizes["time"]:
            raise SnapshotError(f"{file}: no time index {time_index} among {ds.sizes['time']}")
        ds = ds.isel(time=time_index)
    return ds


def open_store(store: str) -> xr.Dataset:
    """What a verb of this command left in a zarr store."""
    from mmfields.io.storing import is_incomplete

    if not os.path.isdir(store):
        raise SnapshotError(f"{store}: there is no such store: give the OUT of mmfields trace or another verb")
    if is_incomplete(store):
        raise SnapshotError(f"{store} is not finished: run the command that makes it again, it resumes")
    try:
        return xr.open_zarr(store)
    except (ValueError, KeyError) as error:
        raise SnapshotError(f"{store} is no zarr store ({error}): give the OUT of mmfields trace") from error


def given_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of opening that were given."""
    return {k: options[k] for k in OPENING if options.get(k) is not None}


def direction_of(text: str | None) -> Any:
    """A direction as the functions take it."""
    if text is None or text in ("x", "y", "z"):
        return text
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentError(f"direction {text!r}: give x, y, z or three numbers such as 1,1,0") from None


def number_or_quantity(text: str, name: str) -> Any:
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


# --- what is printed --------------------------------------------------------------------------------------------------


def values_of(ds: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Numbers of a Dataset of scalars by name, each with its error, unit and meaning."""
    found = {}
    for name, value in ds.compute().data_vars.items():
        if not str(name).endswith("_error"):
            one = {"value": float(value), "unit": unit_of(value), "meaning": value.attrs.get("long_name", "")}
            if f"{name}_error" in ds:
                one["error"] = float(ds[f"{name}_error"])
            found[str(name)] = one
    return found


def unit_of(array: xr.DataArray) -> str:
    """The unit of an array, or what its numbers are normalized to."""
    return str(array.attrs.get("normalization", array.attrs.get("units", "1")))


def stored(ds: xr.Dataset, out: str, **more: Any) -> dict[str, Any]:
    """What was written, for the summary."""
    return {
        "out": out,
        "variables": list(map(str, ds.data_vars)),
        "sizes": {str(k): n for k, n in ds.sizes.items()},
    } | more


def _say(found: Mapping[str, Any] | None, as_json: bool) -> None:
    """Print a summary: lines for people, or one JSON object in which what is not finite is null."""
    if found is None:
        return
    if as_json:
        click.echo(json.dumps(_plain(found), allow_nan=False, indent=1))
        return
    for name, value in found.items():
        click.echo(_line(name, value))


def _line(name: str, value: Any) -> str:
    if isinstance(value, Mapping) and "value" in value:
        error = f" ± {value['error']:<10.2g}" if np.isfinite(value.get("error", np.nan)) else " " * 13
        return f"{name:22s} {value['value']:12.6g}{error} {value['meaning']} [{value['unit']}]"
    if isinstance(value, Mapping):
        value = ", ".join(f"{k} {v}" for k, v in value.items())
    elif isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    elif isinstance(value, float):
        value = f"{value:.6g}"
    return f"{name:22s} {value}"


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | bool | None) else str(value)

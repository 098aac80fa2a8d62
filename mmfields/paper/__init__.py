"""Figures 1 to 5 of Reichherzer et al. (2025): what is computed, its numbers, and its drawing.

Each figure is a module with ``parts``, the Datasets to compute by name, ``numbers``, what its claim stands on, and
``draw``.  ``compute`` and ``run`` do the rest; ``mmfields paper fig2 --out DIR`` is the latter.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

import xarray as xr

from mmfields import __version__
from mmfields.conventions import ArgumentError, SnapshotError
from mmfields.identity import digest, identity
from mmfields.io import store
from mmfields.io._paths import folder
from mmfields.io.storing import is_whole

FIGURES = ("fig1", "fig2", "fig3", "fig4", "fig5")
# Parts of a figure that takes hours, and the function that reads them.
FULL = {"fig3": ("transition", "crossing")}

__all__ = ["FIGURES", "compute", "figure", "run"]


def figure(name: str) -> ModuleType:
    """The module of a figure.

    Parameters
    ----------
    name : {"fig1", "fig2", "fig3", "fig4", "fig5"}

    Returns
    -------
    module
        With ``parts(reduced)``, ``numbers(results)`` and ``draw(results)``.

    Raises
    ------
    ArgumentError
        If there is no such figure.
    """
    if name not in FIGURES:
        raise ArgumentError(f"figure={name!r}: one of {', '.join(FIGURES)} is needed")
    return import_module(f"mmfields.paper.{name}")


def compute(
    name: str,
    out: str | os.PathLike[str] | None = None,
    *,
    reduced: bool = False,
    full: bool = False,
    progress: bool = False,
) -> dict[str, xr.Dataset]:
    """Compute what a figure shows, on the Dask scheduler in force.

    Parameters
    ----------
    name : {"fig1", "fig2", "fig3", "fig4", "fig5"}
    out : path, optional
        Directory for one zarr store per part; run again after an interruption, what is there is not computed again,
        and what is there of other arguments is refused.  In memory by default.
    reduced : bool
        Fewer particles, energies and shorter paths: less than a minute.
    full : bool
        Of ``fig3``, every orbit traced with its gyration from GeV to 100 EeV: some eight core hours.
    progress : bool
        Say which part is being computed.

    Returns
    -------
    dict of xarray.Dataset
        By part, for ``figure(name).numbers`` and ``.draw``.

    Raises
    ------
    ArgumentError, SnapshotError
        If there is no such figure, or the directory holds another one.
    """
    parts = _module(name, full, 0).parts(reduced)
    out = None if out is None else folder(out)
    if out is not None:
        _claim(out, {"figure": name, "reduced": reduced, **({"full": True} if full else {})})
    results = {}
    for i, (part, build) in enumerate(parts.items()):
        if progress:
            print(f"{name}: {part} ({i + 1} of {len(parts)})", flush=True)
        results[part] = build().compute() if out is None else _stored(build, out / f"{part}.zarr", progress)
    return results


def _module(name: str, full: bool, part: int) -> ModuleType:
    """The module of a figure; of one in full, the first computes and the second reads."""
    if not full:
        return figure(name)
    if name not in FULL:
        raise ArgumentError(f"{name} in full: only {', '.join(FULL)} takes full=True")
    return import_module(f"mmfields.paper.{FULL[name][part]}")


def _claim(folder: Path, what: dict[str, object]) -> None:
    """Mark a directory as that of one figure of one size, or refuse it."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "figure.json"
    if not mark.exists():
        mark.write_text(json.dumps(what) + "\n")
    elif (found := json.loads(mark.read_text())) != what:
        raise SnapshotError(f"{folder} already holds {found}, not {what}: choose another directory")


def _stored(build: Callable[[], xr.Dataset], path: Path, progress: bool) -> xr.Dataset:
    """A part from its store, which is completed first where that is needed, and refused if it holds something else.

    What was made by the same call of the same code is not built again, as some parts compute while they are built.
    """
    mark = path.with_suffix(".json")
    call = json.dumps({"call": _call(build)}) + "\n"
    if mark.exists() and mark.read_text() == call and is_whole(path):
        return xr.open_zarr(path).compute()
    mark.unlink(missing_ok=True)
    found = store(build(), path, progress=progress).compute()
    mark.write_text(call)
    return found


def _call(build: Callable[[], xr.Dataset]) -> str:
    """Identity of a function with its arguments, and of the code of the figures that it can reach."""
    return digest(identity(build), __version__, *(source.read_text() for source in _sources(build)))


def _sources(build: Callable[[], xr.Dataset]) -> list[Path]:
    """Files of the function's module and of those figures' modules that it imports, directly or not."""
    waiting, found = [getattr(build, "func", build).__module__], set()
    while waiting:
        name = waiting.pop()
        if name in found or not name.startswith(f"{__name__}."):
            continue
        found.add(name)
        for value in vars(sys.modules[name]).values():
            waiting.append(value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", "")))
    return sorted(Path(sys.modules[name].__file__ or "") for name in found)


def run(
    name: str, out: str | os.PathLike[str], *, reduced: bool = False, full: bool = False, progress: bool = True
) -> dict[str, float]:
    """Compute a figure, and write it beside its numbers and the data behind it.

    Parameters
    ----------
    name, out, reduced, full, progress
        As :func:`compute`.

    Returns
    -------
    dict of float
        The numbers, as in ``numbers.json``.  The figure is ``fig1.png`` and so on.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`compute`.
    """
    from matplotlib import pyplot as plt

    module = _module(name, full, 1)
    results: Mapping[str, xr.Dataset] = compute(name, out, reduced=reduced, full=full, progress=progress)
    numbers = module.numbers(results)
    (folder(out) / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")
    drawn = module.draw(results)
    drawn.savefig(folder(out) / f"{name}.png", dpi=150)
    plt.close(drawn)
    return numbers


def __dir__() -> list[str]:
    return sorted(__all__)

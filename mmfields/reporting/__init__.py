"""The main job on one snapshot: figures, a zarr of results, and a page that shows them."""

import json
import os
from pathlib import Path
from typing import Any

import xarray as xr

from mmfields import transport
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.io import store
from mmfields.io._paths import folder as local_folder
from mmfields.io.storing import remove
from mmfields.provenance import described, versions
from mmfields.reporting.fields import filter_section, mean_section, rotation_section, spectrum_section
from mmfields.reporting.options import Options, held, opened
from mmfields.reporting.orbits import diffusion_section, trace_all
from mmfields.reporting.page import Page, Section
from mmfields.units import CARRIED

__all__ = ["Options", "report"]

REOPEN = """import xarray as xr

results = xr.open_zarr("results.zarr")  # coefficients, scales, spectrum, RM map
orbits = xr.open_zarr("trajectories.zarr")  # x, y, z and direction of every particle
print(results["kappa_par"].sel(field="full field").values)"""


def report(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    options: Options | None = None,
    overwrite: bool = False,
    progress: bool = True,
    command: str | None = None,
    **opening: Any,
) -> xr.Dataset:
    """Run the main job on a snapshot and leave figures, results and a page in a directory.

    Mean field and fluctuation, spectrum, scales, pass band and residual of a filter, RM map, and the diffusion
    of isotropic protons through the full field, the pass band and the residual, each on the mean field.
    Run again after an interruption, finished trajectories are not computed again.  The page holds its images, so that
    it can be sent alone.

    Parameters
    ----------
    path : path or str
        A file that ``mm.open_snapshot`` opens, or the name of a sample.
    out : path
        Directory for ``index.html``, figures, ``trajectories.zarr`` and ``results.zarr``.
    options : Options, optional
    overwrite : bool
        Replace another report in the same directory.
    progress : bool
        Show what is in the file and a progress bar for the tracing.
    command : str, optional
        The command that the page names as its origin; the call of this function by default.
    **opening
        Passed to ``mm.open_snapshot``.

    Returns
    -------
    xarray.Dataset
        The results, as stored in ``results.zarr``.

    Raises
    ------
    ArgumentError, SnapshotError
        If the file cannot be used.  A three-dimensional, periodic snapshot with ``Bx By Bz`` is needed.

    Examples
    --------
    >>> import mmfields as mm
    >>> quick = mm.reporting.Options(particles=8, gyroradius=[10.0], mean_free_paths=0.5)
    >>> results = mm.report("micromirrors", "report", options=quick, progress=False)  # doctest: +SKIP
    >>> list(results.field.values)  # doctest: +SKIP
    ['full field', 'pass band', 'residual']
    """
    options = options or Options()
    if not isinstance(options, Options):
        raise ArgumentError(f"options={options!r}: mm.reporting.Options(...) is needed")
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"a path or a sample's name is needed, not {type(path).__name__}: mm.store it first")
    folder = local_folder(out)
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{out} is a file: give a directory")
    ds, source = opened(path, options, opening)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, source, overwrite)
    if progress:
        print(ds, flush=True)
    page = Page(folder, f"mmfields report: {source['file']}")
    near = held(ds)
    page.section("Snapshot", "As it was opened, in the snapshot convention.").html(ds._repr_html_())
    direction, means = mean_section(near, options, page)
    power, scales, band = spectrum_section(near, direction, options, page)
    fields = filter_section(ds, direction, band, page)
    rm = rotation_section(near, options, page)
    trajectories = trace_all(fields, scales, means, options, folder, source, progress)
    running, plateau = diffusion_section(trajectories, scales, means["rms"], options.direction, page)
    line = f"mm.report({str(path)!r}, {str(out)!r})  # with the options of the attrs"
    results = _results(power, scales, rm, running, plateau)
    results = results.assign_attrs({**source, **described([ds], line, [str(path)])})
    stored = store(results, folder / "results.zarr", overwrite=True, progress=False)
    _provenance(command or line, source, options, page.section("Provenance"))
    _reopening(page.section("Files", "This page needs none of the files beside it."), folder)
    page.write()
    return stored


def _provenance(command: str, source: dict[str, Any], options: Options, section: Section) -> None:
    """What makes the same report again."""
    section.code(command)
    section.values(
        {
            "file": f"{source['file']} ({source['file_state']})",
            "opened with": source["opening"],
            **{f"option {name}": str(value) for name, value in vars(options).items()},
        }
    )
    section.table(("software", "version"), versions().items())


def _reopening(section: Section, folder: Path) -> None:
    """Links to what lies beside the page, and how to open it."""
    from markupsafe import Markup

    names = ["results.zarr", "trajectories.zarr", *sorted(file.name for file in folder.glob("*.png"))]
    section.items(Markup('<a href="{0}">{0}</a>').format(name) for name in names)
    section.text("In Python, from this directory:")
    section.code(REOPEN)


def _claim(folder: Path, source: dict[str, Any], overwrite: bool) -> None:
    """Refuse a directory that holds another report, before anything in it is touched."""
    described = folder / "trajectories.zarr" / "zarr.json"
    if overwrite and described.exists():
        remove(described.parent)
    if not described.exists():
        return
    stored = json.loads(described.read_text()).get("attributes", {})
    if differing := [key for key, value in source.items() if stored.get(key) != value]:
        raise SnapshotError(
            f"{folder} already holds other data, a report with another {', '.join(differing)}: "
            "choose another directory, or overwrite it (overwrite=True)"
        )


def _results(
    power: xr.DataArray, scales: xr.Dataset, rm: xr.DataArray, running: xr.Dataset, plateau: xr.Dataset
) -> xr.Dataset:
    """Everything that was found, in one Dataset."""
    running = running.rename({name: f"running_{name}" for name in running.data_vars})
    parts = [power.to_dataset(), scales, rm.to_dataset(), running, plateau]
    merged = xr.merge([p.drop_attrs(deep=False) for p in parts], join="exact", compat="override")
    carried = {key: plateau.attrs[key] for key in CARRIED if key in plateau.attrs}
    return merged.assign_attrs(**carried, prefactor=transport.PREFACTOR, length_units=plateau.attrs["length_units"])


def __dir__() -> list[str]:
    return sorted(__all__)

"""The main job on one snapshot: figures, a zarr of results, and a page that shows them."""

import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from mmfields import anisotropy, faraday, fourier, particles, plot, samples, spectra, tracing, transport
from mmfields.conventions import (
    MEAN_FIELD_FLOOR,
    SPATIAL,
    components,
    mean_field,
    require_periodic,
    require_values,
    spacing,
    spatial_dims,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.identity import stamp
from mmfields.io import open_snapshot, store
from mmfields.io._paths import folder as local_folder
from mmfields.io._paths import plain
from mmfields.io.storing import remove
from mmfields.provenance import ATTRS, described
from mmfields.units import CARRIED, FIELD, LENGTH, energy_of, species_of, unit_of

# Physical scale of a snapshot in code units, for the RM map alone: it is linear in each of them.
ASSUMED = {"length_unit": "1 kpc", "field_unit": "1 uG", "density": "1e-3 cm-3"}
# A run is stopped here even if forty mean free paths are longer.
MOST_STEPS = 300_000
# Coordinates that differ, such as energies, are joined too.
JOIN = {"coords": "different", "compat": "equals", "data_vars": "all", "join": "exact", "combine_attrs": "override"}


@dataclass(frozen=True)
class Options:
    """What a report may be told.

    Parameters
    ----------
    time_index : int
        Snapshot of a series, the last by default.
    direction : str or three numbers, optional
        What parallel means where there is no mean field; the z axis then by default.
    k_par, k_perp : (float, float), optional
        Pass band of the mirrors; by default 0 to three rms wavenumbers.
    particles : int
        Per gyroradius and field.
    gyroradius : sequence of float, optional
        In the length unit of the snapshot; by default 1, 2 and 4 times l_perp.
    seed : int
    los : str
        Line of sight of the RM map.
    length_unit, field_unit, density : str, optional
        Physical scale where the snapshot states none, for the RM map.
    """

    time_index: int = -1
    direction: str | Sequence[float] | None = None
    k_par: tuple[float, float] | None = None
    k_perp: tuple[float, float] | None = None
    particles: int = 256
    gyroradius: Sequence[float] | None = None
    seed: int = 1
    los: str = "z"
    length_unit: str | None = None
    field_unit: str | None = None
    density: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.particles, int) or self.particles < 2:
            raise ArgumentError(f"particles={self.particles!r}: at least two are needed for an error")
        if self.los not in SPATIAL:
            raise ArgumentError(f"los={self.los!r}: x, y or z is needed")
        if self.gyroradius is not None and (require_values(self.gyroradius, "gyroradius") <= 0).any():
            raise ArgumentError(f"gyroradius={self.gyroradius!r}: positive lengths are needed")


@dataclass
class _Page:
    """Sections of the page, in order."""

    folder: Path
    title: str
    parts: list[str] = field(default_factory=list)

    def text(self, heading: str, body: str) -> None:
        self.parts.append(f"<h2>{html.escape(heading)}</h2>\n<p>{html.escape(body)}</p>")

    def block(self, body: str) -> None:
        self.parts.append(f"<pre>{html.escape(body)}</pre>")

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        cells = "\n".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows)
        self.parts.append(f"<table>\n{cells}\n</table>")

    def figure(self, name: str, figure: Any, caption: str) -> None:
        from matplotlib import pyplot as plt

        figure.savefig(self.folder / f"{name}.png", dpi=130)
        plt.close(figure)
        self.parts.append(f'<figure><img src="{name}.png" alt="{name}">')
        self.parts.append(f"<figcaption>{html.escape(caption)}</figcaption></figure>")

    def write(self) -> Path:
        style = (
            "body{font:16px/1.5 sans-serif;max-width:62em;margin:2em auto;padding:0 1em}img{max-width:100%}"
            "td{padding:.1em 1em .1em 0}figcaption{color:#444}pre{overflow:auto;background:#f4f4f4;padding:.6em}"
        )
        title = html.escape(self.title)
        head = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
        )
        page = self.folder / "index.html"
        page.write_text(f"{head}</head><body><h1>{title}</h1>\n" + "\n".join(self.parts) + "\n</body></html>\n")
        return page


def report(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    options: Options | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **opening: Any,
) -> xr.Dataset:
    """Run the main job on a snapshot and leave figures, results and a page in a directory.

    Mean field and fluctuation, spectrum, scales, mirrors filtered out, RM map, and the diffusion
    of isotropic protons through the full field, the mirrors on the mean field, and the residual.
    Run again after an interruption, finished trajectories are not computed again.

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
    """
    options = options or Options()
    if not isinstance(options, Options):
        raise ArgumentError(f"options={options!r}: mm.reporting.Options(...) is needed")
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"a path or a sample's name is needed, not {type(path).__name__}: mm.store it first")
    folder = local_folder(out)
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{out} is a file: give a directory")
    ds, source = _open(path, options, opening)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, source, overwrite)
    if progress:
        print(ds, flush=True)
    page = _Page(folder, f"mmfields report: {source['file']}")
    page.text("What is in it", "The snapshot as it was opened; nothing is changed but the units named below.")
    page.block(repr(ds))
    direction, means = _mean_field(ds, options, page)
    power, scales, band = _spectrum(ds, direction, options, page)
    mirrors, residual = _filtered(ds, direction, band, scales, page)
    rm = _rotation(ds, options, page)
    fields = {"full field": ds, "mirrors": mirrors, "residual": residual}
    trajectories = _traced(fields, scales, means, options, folder, source, progress)
    running, plateau = _transport(trajectories, options.direction, page)
    results = _results(power, scales, rm, running, plateau)
    line = f"mm.report({str(path)!r}, {str(out)!r})  # with the options of the attrs"
    results = results.assign_attrs({**source, **described([ds], line, [str(path)])})
    stored = store(results, folder / "results.zarr", overwrite=True, progress=False)
    page.write()
    return stored


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
            "choose another directory, or overwrite it (overwrite=True, --overwrite)"
        )


def _open(path: str | os.PathLike, options: Options, opening: dict[str, Any]) -> tuple[xr.Dataset, dict[str, Any]]:
    """The snapshot, and where it came from."""
    if str(path) in samples.SAMPLES:
        if opening:
            raise ArgumentError(f"{path} is a sample, to which {', '.join(opening)} do not apply: leave them out")
        file = samples.path(str(path))
        ds = samples.load(str(path))
    else:
        file = Path(plain(path))
        ds = open_snapshot(path, **opening)
    if "time" in ds.dims:
        time_index = options.time_index
        if not -ds.sizes["time"] <= time_index < ds.sizes["time"]:
            raise SnapshotError(f"{path}: no time index {time_index} among {ds.sizes['time']}")
        ds = ds.isel(time=time_index)
        ds = ds.assign_attrs(time=float(ds["time"])).drop_vars("time")
    components(ds)
    if len(spatial_dims(ds)) != 3:
        raise SnapshotError(f"{path}: the report needs three dimensions, this snapshot has {dict(ds.sizes)}")
    require_periodic(ds, "the report")
    spacing(ds)
    source = {"file": file.name, "file_state": stamp(os.path.abspath(file)), "opening": str(opening)}
    return ds, {**source, **{f"option_{k}": str(v) for k, v in vars(options).items()}}


def _mean_field(ds: xr.Dataset, options: Options, page: _Page) -> tuple[Any, dict[str, float]]:
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
    page.text(
        "Mean field and fluctuation",
        "Parallel means along the mean field."
        if options.direction is None and has_mean
        else f"Parallel means along {direction}." + ("" if has_mean else " The snapshot has no mean field."),
    )
    unit = _unit(ds["Bx"])
    page.table(
        [
            ("mean field (x, y, z)", "(" + ", ".join(f"{v:.4g}" for v in vector) + f") {unit}"),
            ("strength of the mean field", f"{strength:.4g} {unit}"),
            ("rms of the full vector", f"{rms:.4g} {unit}"),
            ("rms fluctuation", f"{delta:.4g} {unit}"),
        ]
    )
    panels = plot.base.new_axes(3, 4.0, 3.8)
    plot.slices(anisotropy.fluctuation(ds, direction=direction), panels)
    page.figure("slices", panels[0].figure, "Fluctuation along the mean field on the mid-planes of the box.")
    return direction, {"strength": strength, "rms": rms, "delta": delta}


def _unit(array: xr.DataArray) -> str:
    unit = array.attrs.get("units", "1")
    return array.attrs.get("normalization", "code units") if unit == "1" else unit


def _spectrum(
    ds: xr.Dataset, direction: Any, options: Options, page: _Page
) -> tuple[xr.DataArray, xr.Dataset, dict[str, tuple[float, float]]]:
    """Power, scales and pass band; the sections with the spectrum and the table of scales."""
    scales = anisotropy.scales(ds, direction=direction).compute()
    band = {
        "k_par": options.k_par or _up_to(3 * float(scales["k_par_rms"]), ds),
        "k_perp": options.k_perp or _up_to(3 * float(scales["k_perp_rms"]), ds),
    }
    chosen = "0 to three rms wavenumbers of dB_par" if options.k_par is None and options.k_perp is None else "as asked"
    page.text(
        "Spectrum and pass band",
        f"Band of the mirrors ({chosen}): k_par {band['k_par'][0]:.4g} to {band['k_par'][1]:.4g}, "
        f"k_perp {band['k_perp'][0]:.4g} to {band['k_perp'][1]:.4g}.",
    )
    ax = plot.base.new_axes(1, 6.2, 4.8)
    power = spectra.power2d(ds, direction=direction).compute()
    plot.spectrum2d(power, ax, **band)
    page.figure("spectrum", ax.figure, "Annular-summed power of the three components of B.")
    page.text(
        "Scales", "Of the fluctuation along the mean field; see the attrs of results.zarr for the meaning of each."
    )
    length = _unit(ds[spatial_dims(ds)[0]])
    unit = {
        **dict.fromkeys(anisotropy.LENGTHS, length),
        **dict.fromkeys(anisotropy.WAVENUMBERS, f"rad / {length}"),
        **dict.fromkeys(anisotropy.STRENGTHS, _unit(ds["Bx"])),
    }
    page.table([(v.attrs["long_name"], f"{float(v):.4g} {unit.get(str(k), '')}") for k, v in scales.items()])
    return power, scales, band


def _up_to(limit: float, ds: xr.Dataset) -> tuple[float, float]:
    """From 0 to a limit, or without one where the grid ends before it."""
    return (0.0, limit if limit < min(np.pi / width for width in spacing(ds).values()) else np.inf)


def _filtered(
    ds: xr.Dataset, direction: Any, band: dict[str, tuple[float, float]], scales: xr.Dataset, page: _Page
) -> tuple[xr.Dataset, xr.Dataset]:
    """The mirrors on the mean field, and the rest on the mean field; the section that compares them."""
    field_only = ds[list(components(ds))]
    mirrors = fourier.filter(field_only, fourier.band(**band, keep_mean=True), direction=direction)
    residual = fourier.filter(field_only, ~fourier.band(**band), direction=direction)
    parts = {"full field": field_only, "mirrors": mirrors, "residual": residual}
    rms = {
        name: float(sum(part[c].astype(float).var() for c in components(part)).compute() ** 0.5)
        for name, part in parts.items()
    }
    page.text("Filtered", "Sharp band; the mean field stays with both parts, so that particles gyrate in each.")
    page.table([(f"rms fluctuation, {name}", f"{value:.4g} {_unit(ds['Bx'])}") for name, value in rms.items()])
    images = plot.compare({n: anisotropy.fluctuation(p, direction=direction) for n, p in parts.items()})
    page.figure("filtered", images[0].figure, "Before, the mirrors alone, and what is left, on one colour scale.")
    return mirrors, residual


def _rotation(ds: xr.Dataset, options: Options, page: _Page) -> xr.DataArray:
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
    page.text("Rotation measure", ("; ".join(said) + "." if said else "All units are the snapshot's own."))
    page.table(
        [
            ("rms of the map", f"{float((rm**2).mean() ** 0.5):.4g} rad/m2"),
            ("mean of the map", f"{float(rm.mean()):.4g} rad/m2"),
        ]
    )
    ax = plot.base.new_axes()
    plot.rotation_measure(rm, ax)
    page.figure("rotation_measure", ax.figure, "Rotation measure through the box, the observer at its upper end.")
    return rm


def _traced(
    fields: dict[str, xr.Dataset],
    scales: xr.Dataset,
    means: dict[str, float],
    options: Options,
    folder: Path,
    source: dict[str, Any],
    progress: bool,
) -> xr.Dataset:
    """Trajectories over (field, gyroradius, particle, path), stored so that a second run resumes.

    Each gyroradius runs for forty estimated mean free paths 2 r_g^2 / (l (dB/B)^2) of the full field,
    in steps of at most a tenth of a gyroradius and half a cell, saved at logarithmically spaced lengths.
    """
    full = fields["full field"]
    length = float(scales["l_perp"])
    radii = sorted(options.gyroradius or (length, 2 * length, 4 * length))
    cell = min(spacing(full).values())
    ratio = means["delta"] / means["rms"]
    per_radius, lengths = [], []
    for radius in radii:
        step = min(0.1 * radius, 0.5 * cell)
        distance = min(80 * radius**2 / (length * ratio**2), MOST_STEPS * step)
        kind = _energy_of(radius, means["rms"], full)
        protons = particles.isotropic(
            options.particles, **kind, seed=options.seed, field=full, reference_field=means["rms"]
        )
        save = np.append(0.0, np.geomspace(min(radius, distance / 100), distance, 100))
        runs = [tracing.trace(f, protons, step=step, distance=distance, save=save) for f in fields.values()]
        runs = [run.reset_coords("gyroradius", drop=True) for run in runs]
        lengths.append(runs[0]["path"].values)
        per_radius.append(xr.concat([run.drop_vars("path") for run in runs], "field", **JOIN))
    joined = xr.concat(per_radius, "gyroradius", **JOIN).assign_coords(
        field=np.array(list(fields), object), gyroradius=radii, path_length=(("gyroradius", "path"), np.array(lengths))
    )
    carried = {key: runs[0].attrs[key] for key in (*CARRIED, *ATTRS) if key in runs[0].attrs}
    joined.attrs = {**source, **carried, "length_units": _unit(full[spatial_dims(full)[0]])}
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


def _transport(tr: xr.Dataset, direction: Any, page: _Page) -> tuple[xr.Dataset, xr.Dataset]:
    """Running and plateau coefficients; the section with their figures and the table."""
    running, plateau = [], []
    for g in range(tr.sizes["gyroradius"]):
        one = tr.isel(gyroradius=g)
        one = one.assign_coords(path=("path", one["path_length"].values)).drop_vars("path_length")
        running.append(transport.running_diffusion(one, direction=direction).drop_vars("path"))
        plateau.append(transport.diffusion(one, direction=direction))
    lengths = tr["path_length"].isel(path=slice(1, None))
    run = xr.concat(running, tr["gyroradius"], **JOIN).assign_coords(path_length=lengths).compute()
    end = xr.concat(plateau, tr["gyroradius"], **JOIN).compute()
    for result in (run, end):
        result.attrs["length_units"] = tr.attrs["length_units"]
    known = "energy" in end.coords
    unit = "cm2/s" if known else f"v {run.attrs['length_units']}"
    page.text(
        "Diffusion of protons",
        f"{run.attrs['particles']} isotropic protons per gyroradius and field; {transport.PREFACTOR}, in "
        f"{unit}. Gyroradii refer to the rms field. Bands and bars are standard errors over "
        "particles. Where the exponent a of the displacements, proportional to s^a, is off 1 by more than 0.3 the "
        "number is no plateau: above 1 the protons still run freely and it is a lower limit, below 1 an upper one.",
    )
    panels = plot.base.new_axes(tr.sizes["field"], 4.6, 4.4, sharey=True)
    for panel, name in zip(panels, tr["field"].values, strict=True):
        plot.running_diffusion(run.sel(field=name), panel, plateau=end.sel(field=name))
        panel.set_title(str(name))
    page.figure("running_diffusion", panels[0].figure, "Running coefficients along and across the mean field.")
    ax = plot.base.new_axes(1, 6.4, 4.8)
    plot.diffusion(end, ax)
    page.figure("diffusion", ax.figure, "Coefficients over the second half of each run; open markers: no plateau.")
    page.table(_kappa_rows(end))
    return run, end


def _kappa_rows(end: xr.Dataset) -> list[tuple[str, str]]:
    rows, length = [], end.attrs["length_units"]
    known = "energy" in end.coords
    unit = "cm2/s" if known else f"v {length}"
    end = transport.physical(end) if known else end
    for name in end["field"].values:
        for radius in end["gyroradius"].values:
            one = end.sel(field=name, gyroradius=radius)
            parts = [
                f"{k} = {float(one[k]):.3g} ± {float(one[k + '_error']):.2g} {unit} "
                f"(a = {float(one[k.replace('kappa', 'exponent')]):.2f})"
                for k in ("kappa", "kappa_par", "kappa_perp")
                if np.isfinite(one[k])
            ]
            energy = f"{float(one['energy']):.3g} {one['energy'].attrs['units']}, " if known else ""
            rows.append((f"{name}, {energy}r_g = {radius:.3g} {length}", ", ".join(parts)))
    return rows


def _results(
    power: xr.DataArray, scales: xr.Dataset, rm: xr.DataArray, running: xr.Dataset, plateau: xr.Dataset
) -> xr.Dataset:
    """Everything that was found, in one Dataset."""
    running = running.rename({name: f"running_{name}" for name in running.data_vars})
    parts = [power.to_dataset(), scales, rm.to_dataset(), running, plateau]
    merged = xr.merge([p.drop_attrs(deep=False) for p in parts], join="exact", compat="override")
    return merged.assign_attrs(prefactor=transport.PREFACTOR, length_units=plateau.attrs["length_units"])

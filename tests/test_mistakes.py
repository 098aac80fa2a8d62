"""What users do wrong, and what they are told: each message says what was found and what to do."""

import re

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from click.testing import CliRunner

import mmfields as mm
from mmfields.cli import main

STEPS = dict.fromkeys("xyz", 1.0)


def arrays(shape=(6, 5, 4), seed=0, **more):
    random = np.random.default_rng(seed)
    return {f"B{d}": random.standard_normal(shape) + (d == "x") for d in "xyz"} | more


@pytest.fixture(scope="module")
def ds():
    return mm.io.from_arrays(
        **arrays(), spacing=STEPS, units=dict.fromkeys(("Bx", "By", "Bz"), "uG") | {"length": "pc"}
    )


@pytest.fixture(scope="module")
def series(ds):
    return xr.concat([ds, ds], xr.DataArray([0.0, 1.0], dims="time", name="time"))


@pytest.fixture(scope="module")
def p(ds):
    return mm.particles.isotropic(4, gyroradius=10.0, seed=1, field=ds)


@pytest.fixture(scope="module")
def tr(ds, p):
    return mm.trace(ds, p, step=0.5, distance=20.0, save=10).compute()


def cell_sizes(ds):
    return np.cumsum(np.arange(ds.sizes["x"]) + 1.0)


# name: (call, what was found, the remedy); calls take the snapshot, a series, particles, and trajectories
MISTAKES = {
    # arrays and snapshots
    "an array for a snapshot": (lambda ds, s, p, tr: mm.fourier.filter(ds.Bx.values, mm.fourier.low_pass(2.0)), "ndarray", "from_arrays"),
    "a DataArray for a snapshot": (lambda ds, s, p, tr: mm.spectra.power(ds.Bx), "DataArray", r"ds\[\["),
    "dims of another name": (lambda ds, s, p, tr: mm.spectra.power(ds.rename(x="i", y="j", z="k")), "'i', 'j', 'k'", "rename"),
    "a component missing": (lambda ds, s, p, tr: mm.mean_field(ds.drop_vars("By")), "missing By", "rename the components"),
    "components of other names": (lambda ds, s, p, tr: mm.trace(ds.rename(Bx="B1", By="B2", Bz="B3"), p, step=1.0, distance=9.0), "B1", "rename the components"),
    "an axis turned round": (lambda ds, s, p, tr: mm.spectra.power(ds.isel(x=slice(None, None, -1))), "not ascending", "sortby"),
    "cells of different size": (lambda ds, s, p, tr: mm.spectra.power(ds.assign_coords(x=cell_sizes(ds))), "not uniform", "interp"),
    "coordinates missing": (lambda ds, s, p, tr: mm.spectra.power(ds.drop_vars("x")), "no coordinate", "assign_coords"),
    "an empty selection": (lambda ds, s, p, tr: mm.mean_field(ds.sel(x=slice(50, 60))).pipe(lambda _: mm.spectra.power(ds.sel(x=slice(50, 60)))), "no cells", "selection is empty"),
    "cm beside pc": (lambda ds, s, p, tr: mm.trace(ds.assign_coords(x=ds.x.assign_attrs(units="cm")), p, step=1.0, distance=9.0), "'x': 'cm'", "bring them to one"),
    "uG beside T": (lambda ds, s, p, tr: mm.faraday.rotation_measure(ds.assign(Bz=ds.Bz.assign_attrs(units="T")), "z", density=1 / u.cm**3), "'Bz': 'T'", "convert"),
    "shapes that differ": (lambda ds, s, p, tr: mm.mean_field(xr.Dataset({**ds[["Bx", "By"]], "Bz": ds.Bz.isel(x=0)})), "differ in shape", "shape"),
    "spacing as a number": (lambda ds, s, p, tr: mm.io.from_arrays(**arrays(), spacing=1.0), "spacing=1.0", "mapping such as"),
    "spacing with a unit": (lambda ds, s, p, tr: mm.io.from_arrays(**arrays(), spacing=dict.fromkeys("xyz", 1 * u.pc)), "Quantity in pc", "plain numbers"),
    "fields with a unit": (lambda ds, s, p, tr: mm.io.from_arrays(**{n: a * u.uG for n, a in arrays().items()}, spacing=STEPS), "Quantity in uG", r"\.value and units"),
    "a unit misspelt": (lambda ds, s, p, tr: mm.io.from_arrays(**arrays(), spacing=STEPS, units={"Bx": "microgaus"}), "microgaus", "astropy does not know"),
    "a unit for B": (lambda ds, s, p, tr: mm.io.from_arrays(**arrays(), spacing=STEPS, units={"B": "uG"}), r"\['B'\]", "the variables are"),
    "a boundary of no kind": (lambda ds, s, p, tr: mm.io.from_arrays(**arrays(), spacing=STEPS, boundary="wall"), "wall", "'periodic', 'open' or 'reflecting'"),
    # files
    "no such sample": (lambda ds, s, p, tr: mm.samples.load("micromirror"), "micromirror", "there are micromirrors"),
    "many files where one is meant": (lambda ds, s, p, tr: mm.open_snapshot(["a.athdf", "b.athdf"]), "a.athdf", "open_series"),
    "an engine of no name": (lambda ds, s, p, tr: mm.open_snapshot(mm.samples.path("micromirrors"), engine="hdf"), "'hdf'", "one of pegasus"),
    "boundaries of a netCDF file": (lambda ds, s, p, tr: mm.open_snapshot(mm.samples.path("micromirrors"), boundary="open"), r"\['boundary'\]", "assign_attrs"),
    "a DataArray to store": (lambda ds, s, p, tr: mm.store(ds.Bx, "never.zarr"), "DataArray", "to_dataset"),
    "a netCDF name for a store": (lambda ds, s, p, tr: mm.store(ds, "never.nc"), "never.nc", "out.zarr"),
    # filters and spectra
    "a band beyond the grid": (lambda ds, s, p, tr: mm.fourier.filter(ds, mm.fourier.band(k_perp=(10.0, 20.0))), "holds wavenumbers up to", "lower the limit"),
    "a band below the box": (lambda ds, s, p, tr: mm.fourier.filter(ds.chunk(), mm.fourier.band(k_par=(0, 0.01), k_perp=(0, 0.01))), "no mode is inside", "widen"),
    "limits that fall": (lambda ds, s, p, tr: mm.fourier.band(k_par=(2.0, 1.0)), r"\(2.0, 1.0\)", "two ascending"),
    "limits with a unit": (lambda ds, s, p, tr: mm.fourier.band(k_par=(0, 2) / u.s), "1 / s", "wavenumbers such as"),
    "an edge of no name": (lambda ds, s, p, tr: mm.fourier.band(edge="soft"), "'soft'", "one of sharp"),
    "an edge without its width": (lambda ds, s, p, tr: mm.fourier.band(edge="cosine"), "width=None", "need a positive one"),
    "an open box filtered": (lambda ds, s, p, tr: mm.fourier.filter(ds.assign_attrs(boundary_x="open"), mm.fourier.low_pass(2.0)), "x is open", "assign_attrs"),
    "a direction in two numbers": (lambda ds, s, p, tr: mm.spectra.power2d(ds, direction=(1, 0)), r"\(1, 0\)", "three"),
    # Faraday rotation
    "a density without a unit": (lambda ds, s, p, tr: mm.faraday.rotation_measure(ds, "z", density=1e-3), "0.001", "astropy Quantity"),
    "a profile without a unit": (lambda ds, s, p, tr: mm.faraday.rotation_measure(ds, "z", density=xr.ones_like(ds.Bx).drop_attrs()), "without attrs", "assign_attrs"),
    "a mass density": (lambda ds, s, p, tr: mm.faraday.rotation_measure(ds, "z", density=1 * u.g / u.cm**3), "g / cm3", "cm-3"),
    "a frequency for a wavelength": (lambda ds, s, p, tr: mm.faraday.polarization(ds, "z", wavelength_sq=1.4e9, density=1e-3 / u.cm**3), "wavelength of", "frequency"),
    "a band that is none": (lambda ds, s, p, tr: mm.faraday.polarization(ds, "z", wavelength_sq="L", density=1e-3 / u.cm**3), "'L'", "vla-l"),
    "an angle in degrees": (lambda ds, s, p, tr: mm.faraday.polarization(ds, "z", wavelength_sq=0.04, angle=45.0, density=1e-3 / u.cm**3), "45", "radians"),
    "a percentage": (lambda ds, s, p, tr: mm.faraday.burn_slab(0.04, 10.0, p0=70.0), "70", "from 0 to 1"),
    "a complex map": (lambda ds, s, p, tr: mm.faraday.statistics((ds.Bz.mean("z") * 1j).rename("P")), "complex128", "rotation_measure"),
    # particles
    "an energy for a gyroradius": (lambda ds, s, p, tr: mm.particles.isotropic(4, gyroradius=1 * u.TeV, seed=1, field=ds), "1.0 TeV is an energy", "energy="),
    "a gyroradius in seconds": (lambda ds, s, p, tr: mm.particles.isotropic(4, gyroradius=3 * u.s, seed=1, field=ds), "Quantity in s", "pc is needed"),
    "a pitch angle in degrees": (lambda ds, s, p, tr: mm.particles.beam(4, pitch_angle=45.0, gyroradius=1.0, seed=1, field=ds), "45.0", "radians"),
    "a pitch angle with a unit": (lambda ds, s, p, tr: mm.particles.beam(4, pitch_angle=45 * u.deg, gyroradius=1.0, seed=1, field=ds), "Quantity in deg", "radians"),
    "a series for a field": (lambda ds, s, p, tr: mm.particles.isotropic(4, gyroradius=1.0, seed=1, field=s), "time", "isel"),
    "a seed that is no number": (lambda ds, s, p, tr: mm.particles.isotropic(4, gyroradius=1.0, seed="a", field=ds), "'a'", "whole number"),
    "directions that are velocities": (lambda ds, s, p, tr: mm.particles.from_arrays(x=[1.0], y=[1.0], z=[1.0], vx=[3e10], vy=[0.0], vz=[0.0], gyroradius=1.0, reference_field=1.0), "30000000000", "divide"),
    "positions with a unit": (lambda ds, s, p, tr: mm.particles.from_arrays(x=[1.0] * u.pc, y=[1.0], z=[1.0], vx=[1.0], vy=[0.0], vz=[0.0], gyroradius=1.0, reference_field=1.0), "x is a Quantity in pc", "length_unit="),
    # tracing
    "trajectories for particles": (lambda ds, s, p, tr: mm.trace(ds, tr, step=0.5, distance=40.0), "trajectories", "from_trajectories"),
    "one particle selected": (lambda ds, s, p, tr: mm.trace(ds, p.isel(particle=0), step=0.5, distance=40.0), "not there", r"particle=\[0\]"),
    "a distance in seconds": (lambda ds, s, p, tr: mm.trace(ds, p, step=0.5, distance=40 * u.s), "distance", "Quantity in s"),
    "steps longer than a gyration": (lambda ds, s, p, tr: mm.trace(ds, p, step=60.0, distance=400.0), "6 gyroradii", "step_unit='gyroradius'"),
    "steps without number": (lambda ds, s, p, tr: mm.trace(ds, p, step=1e-30, distance=40.0), "4e[+]31 steps", "lengthen"),
    "steps without end": (lambda ds, s, p, tr: mm.trace(ds, p.assign(reference_field=1e-300), step=0.1, distance=40.0, step_unit="local", local_field=True).compute(scheduler="synchronous"), "steps without end", "mean_field"),
    "scattering within a step": (lambda ds, s, p, tr: mm.trace(ds, p, step=0.5, distance=40.0, scattering=mm.scattering.small_angle(nu=100.0)), "nu=100", "steps of at most"),
    "names of what to save": (lambda ds, s, p, tr: mm.trace(ds, p, step=0.5, distance=40.0, save="mu"), "'mu'", "how many"),
    "edited directions": (lambda ds, s, p, tr: mm.trace(ds, p.assign(vx=p.vx * 2 + 1), step=0.5, distance=40.0).compute(scheduler="synchronous"), "direction of length", "divide"),
    "a complex field": (lambda ds, s, p, tr: mm.trace(ds.assign(Bx=ds.Bx + 1j), p, step=0.5, distance=40.0), "complex128", r"\.real"),
    "a rate for a model": (lambda ds, s, p, tr: mm.trace(ds, p, step=0.5, distance=40.0, scattering=0.1), "0.1", "small_angle"),
    "rate and coefficient at once": (lambda ds, s, p, tr: mm.scattering.small_angle(nu=1.0, kappa=1.0), "kappa=1.0", "one of the two"),
    "patches in patches": (lambda ds, s, p, tr: mm.scattering.patchy(mm.scattering.patchy(mm.scattering.small_angle(nu=1.0), threshold=1.0), threshold=2.0), "patchy already", "small_angle"),
    # transport
    "a path turned round": (lambda ds, s, p, tr: mm.transport.diffusion(tr.isel(path=slice(None, None, -1))), "not ascending", "sortby"),
    "one saved point": (lambda ds, s, p, tr: mm.transport.diffusion(tr.isel(path=[0])), "'path': 1", "two saved points"),
    "a window beyond the end": (lambda ds, s, p, tr: mm.transport.diffusion(tr, window=1.5), "1.5", "below 1"),
    "a field for trajectories": (lambda ds, s, p, tr: mm.transport.diffusion(ds), "lack", "mm.trace"),
    "the local frame without its field": (lambda ds, s, p, tr: mm.transport.running_diffusion(tr, frame="local"), "bx", "local_field=True"),
    # turbulence, theory, estimators
    "a slope with its sign": (lambda ds, s, p, tr: mm.turbulence.plane_waves(k_min=0.1, k_max=1.0, spectrum=-5 / 3, seed=1), "-1.66667", "give 1.67"),
    "wavenumbers that fall": (lambda ds, s, p, tr: mm.turbulence.plane_waves(k_min=10.0, k_max=1.0, seed=1), "10", "ascending"),
    "an energy without a unit": (lambda ds, s, p, tr: mm.theory.kappa_micromirror(1.0), "E=1.0", "Quantity"),
    "an energy for a medium": (lambda ds, s, p, tr: mm.theory.kappa_perpendicular(1 * u.TeV), "1. TeV", "Medium"),
    "a length for an energy": (lambda ds, s, p, tr: mm.theory.gyroradius(1 * u.pc), "1.0 pc", "erg"),
    "kappa for rates": (lambda ds, s, p, tr: mm.estimators.filling_fraction(xr.DataArray([1.0, 2.0], dims="particle", name="kappa"), inside=2.0, outside=1.0), "'kappa'", "nu"),
    "two of three directions": (lambda ds, s, p, tr: mm.estimators.maximum_likelihood(tr.drop_vars("vz")), "vz is missing", "vx, vy and vz"),
    # figures
    "a plateau for a running coefficient": (lambda ds, s, p, tr: mm.plot.running_diffusion(mm.transport.diffusion(tr)), "plateau", "running_diffusion"),
    "a slice for a map": (lambda ds, s, p, tr: mm.plot.rotation_measure(ds.Bx.isel(z=0)), "'Bx' is in 'uG'", "mm.faraday.rotation_measure"),
    "a field for a spectrum": (lambda ds, s, p, tr: mm.plot.spectrum2d(ds), "Dataset", "mm.spectra.power2d"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told(name, ds, series, p, tr):
    call, found, remedy = MISTAKES[name]
    with pytest.raises(mm.MmfieldsError, match=found) as told:
        call(ds, series, p, tr)
    assert re.search(remedy, str(told.value)), str(told.value)
    assert len(str(told.value)) < 700


def test_the_table_is_long_enough():
    assert len(MISTAKES) >= 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "no-such-file.athdf"], "no-such-file.athdf"),
        (["filter", "micromirrors", "out.zarr"], "--k-par or --k-perp"),
        (["filter", "micromirrors", "out.zarr", "--k-par", "0", "1e-4", "--k-perp", "1e-5", "1e-4"], "no mode is inside"),
        (["spectra", "mhd_turbulence", "out.zarr", "--direction", "up"], "x, y, z or three numbers"),
        (["scales", "micromirrors", "--time-index", "7"], "no time index 7"),
        (["trace", "micromirrors", "out.zarr", "--gyroradius", "10", "--distance", "-5"], "distance"),
        (["paper", "fig9", "--out", "out"], "fig1, fig2"),
        (["info", "micromirrors", "--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler"),
    ],
)  # fmt: skip
def test_the_command_line_ends_with_one_line(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert said in done.output and done.output.strip().count("\n") == 0

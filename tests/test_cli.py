import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import mmfields as mm
from mmfields.cli import main


def run(*words, code=0):
    done = CliRunner().invoke(main, [str(w) for w in words])
    assert done.exit_code == code, done.output
    return done.output


def test_every_verb_has_help():
    listed = run("--help")
    for verb in ("info", "convert", "filter", "spectra", "scales", "faraday", "trace", "report"):
        assert verb in listed
        text = run(verb, "--help")
        assert "--scheduler" in text
        assert "--boundary" in text


def test_info_convert_and_the_way_back(shared, tmp_path):
    file = shared / "data/athena_athdf/uni/Blast.out2.00002.athdf"
    assert "Bcc" not in run("info", file)
    run("convert", file, tmp_path / "a.zarr")
    xr.testing.assert_identical(mm.open_snapshot(tmp_path / "a.zarr").compute(), mm.open_snapshot(file).compute())
    assert "athdf" in run("info", tmp_path / "nothing.athdf", code=2)


def test_filter_spectra_scales_faraday_trace(tmp_path):
    run("filter", "micromirrors", tmp_path / "f.zarr", "--k-par", 0, 0.3, "--k-perp", 0.1, 0.5)
    run("filter", "micromirrors", tmp_path / "r.zarr", "--k-par", 0, 0.3, "--k-perp", 0.1, 0.5, "--residual")
    both = sum(xr.open_zarr(tmp_path / f"{n}.zarr").Bx for n in "fr")
    np.testing.assert_allclose(both, mm.samples.load("micromirrors").Bx, atol=2e-6)
    run("spectra", "micromirrors", tmp_path / "s.zarr")
    stored = xr.open_zarr(tmp_path / "s.zarr")
    assert {"power", "power2d"} <= set(stored)
    assert "0.677" in run("scales", "micromirrors")
    run("faraday", "micromirrors", tmp_path / "rm.zarr", "--los", "y")
    assert xr.open_zarr(tmp_path / "rm.zarr").rotation_measure.attrs["units"] == "rad / m2"
    run("trace", "micromirrors", tmp_path / "t.zarr", "--gyroradius", 10, "--particles", 5, "--distance", 50)
    assert xr.open_zarr(tmp_path / "t.zarr").sizes["particle"] == 5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("info", "/nowhere/at/all.nbf"), "no such file"),
        (("scales", "mhd_turbulence"), "say what parallel means"),
        (("scales", "micromirrors", "--direction", "up"), "give x, y, z"),
        (("faraday", "mhd_turbulence", "OUT", "--density", "1e-3 cm-3"), "field_unit"),
        (("faraday", "micromirrors", "OUT", "--density", "plenty"), "no quantity"),
        (("scales", "micromirrors", "--time-index", "7"), "no time index 7"),
        (("report", "micromirrors", "--out", "OUT", "--time-index", "5"), "no time index 5"),
    ],
)
def test_bad_input_ends_with_status_two_and_one_line(tmp_path, words, says):
    words = [str(tmp_path / "out") if w == "OUT" else w for w in words]
    output = run(*words, code=2)
    assert says in output
    assert len(output.strip().splitlines()) == 1


def test_the_installed_command():
    done = subprocess.run([sys.executable, "-m", "mmfields.cli", "--version"], capture_output=True, text=True)
    assert mm.__version__ in done.stdout

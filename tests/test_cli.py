import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from distributed import Client

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
    assert "needs the times of a series" in run(
        *("trace", "micromirrors", tmp_path / "e.zarr", "--gyroradius", 10, "--distance", 50),
        *("--evolve", "--electric", "ideal", "--light-speed", 1.0),
        code=2,
    )
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


def test_more_particles_than_a_machine_holds(tmp_path):
    out = tmp_path / "out.zarr"
    said = run("trace", "micromirrors", out, "--gyroradius", 10, "--distance", 10, "--particles", 10**12, code=2)
    assert len(said.strip().splitlines()) == 1 and "1000000000000 particles" in said
    assert not out.exists()


@pytest.mark.slow
def test_a_lost_scheduler_is_said_in_one_sentence(start_cluster, tmp_path):
    with start_cluster() as address, Client(address) as client:
        command = [sys.executable, "-m", "mmfields.cli", "trace", "micromirrors", tmp_path / "out.zarr"]
        options = ["--gyroradius", "10", "--distance", "1e7", "--particles", "2000", "--scheduler", address]
        running = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not any(client.processing().values()):
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.1)
        os.kill(client.run_on_scheduler(os.getpid), signal.SIGKILL)
        _, said = running.communicate(timeout=120)
    assert running.returncode == 2
    lines = [line for line in said.splitlines() if line.startswith("mmfields:")]
    assert len(lines) == 1 and address in lines[0] and "Traceback" not in said


@pytest.mark.slow
def test_the_kernels_are_compiled_ahead():
    assert run("compile").count(" s") >= 10

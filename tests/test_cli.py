import inspect
import json
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
from mmfields.cli.common import in_options


def run(*words, code=0):
    done = CliRunner().invoke(main, [str(w) for w in words])
    assert done.exit_code == code, done.output
    return done.output


def test_every_verb_has_help_with_an_example():
    listed = run("--help")
    assert "bash_source" in listed  # completion
    for verb, command in main.commands.items():
        assert verb in listed
        text = run(verb, "--help")
        assert "--scheduler" in text and "--json" in text
        assert f"mmfields {verb}" in text.split("Example:")[1]
        assert len(callback_names(command)) <= 8
        if any(argument.name == "file" for argument in command.params):
            assert "--boundary" in text


def callback_names(command):
    return inspect.signature(command.callback.__wrapped__).parameters


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
    assert "needs ux, uy, uz" in run(
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
        (("faraday", "mhd_turbulence", "OUT", "--density", "1e-3 cm-3"), "--field-unit"),
        (("trace", "micromirrors", "OUT", "--gyroradius", "10", "--distance", "9", "--step", "-1"), "--step -1"),
        (("report", "micromirrors", "--out", "OUT", "--particles", "1"), "--particles 1"),
        (("diffusion", "/nowhere/orbits.zarr"), "mmfields trace"),
        (("plot", "micromirrors", "OUT", "--variable", "Q"), "no variable 'Q'"),
        (("plot", "micromirrors", "OUT.docx"), "docx"),
        (("faraday", "micromirrors", "OUT", "--density", "plenty"), "no quantity"),
        (("scales", "micromirrors", "--time-index", "7"), "no time index 7"),
        (("report", "micromirrors", "--out", "OUT", "--time-index", "5"), "no time index 5"),
    ],
)
def test_bad_input_ends_with_status_two_and_one_line(tmp_path, words, says):
    words = [w.replace("OUT", str(tmp_path / "out")) for w in words]
    output = run(*words, code=2)
    assert says in output
    assert len(output.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def orbits(tmp_path_factory):
    store = tmp_path_factory.mktemp("orbits") / "orbits.zarr"
    words = ("--energy", "1 MeV", "--energy", "3 MeV", "--particles", 20, "--distance", 2000)
    assert f"mmfields diffusion {store}" in run("trace", "micromirrors", store, *words)
    return store


def test_from_orbits_to_coefficients(orbits, tmp_path):
    found = json.loads(run("diffusion", orbits, tmp_path / "kappa.zarr", "--json"))
    expected = mm.transport.physical(mm.transport.diffusion(xr.open_zarr(orbits))).compute()
    one = found["kappa_par 3 MeV"]
    assert one["unit"] == "cm2 / s"
    np.testing.assert_allclose(one["value"], float(expected.kappa_par[1]), rtol=1e-12)
    np.testing.assert_allclose(one["error"], float(expected.kappa_par_error[1]), rtol=1e-12)
    np.testing.assert_allclose(one["exponent"], float(expected.exponent_par[1]), rtol=1e-12)
    stored = xr.open_zarr(tmp_path / "kappa.zarr")
    np.testing.assert_array_equal(stored.kappa, expected.kappa)
    assert stored.running_kappa.attrs["units"] == "cm2 / s"
    assert f"{one['value']:.6g} ± {one['error']:.2g}" in run("diffusion", orbits)
    run("plot", tmp_path / "kappa.zarr", tmp_path / "kappa.svg")
    assert (tmp_path / "kappa.svg").stat().st_size > 5000


@pytest.mark.parametrize("what", ["snapshot", "orbits", "rotation_measure", "spectra"])
def test_what_is_drawn(orbits, tmp_path, what):
    made = tmp_path / "made.zarr"
    if what == "rotation_measure":
        run("faraday", "micromirrors", made)
    elif what == "spectra":
        run("spectra", "micromirrors", made)
    file = {"snapshot": "micromirrors", "orbits": orbits}.get(what, made)
    said = run("plot", file, tmp_path / "a.png")
    kind = {"snapshot": "mid-planes", "rotation_measure": "rotation measure"}.get(what, what)
    assert kind in said and (tmp_path / "a.png").stat().st_size > 5000


def test_json_holds_what_is_printed():
    found = json.loads(run("scales", "micromirrors", "--json"))
    expected = mm.anisotropy.scales(mm.samples.load("micromirrors").isel(time=-1)).compute()
    assert found["l_perp"]["value"] == float(expected.l_perp)
    assert found["l_perp"]["error"] == float(expected.l_perp_error)
    assert found["l_perp"]["unit"] == "d_i"
    assert json.loads(run("info", "micromirrors", "--json"))["variables"]["Bx"]["dtype"] == "float32"


@pytest.mark.parametrize("module", ["mmfields", "mmfields.cli"])
def test_the_installed_command(module):
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True)
    assert mm.__version__ in done.stdout


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m mmfields info micromirrors | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def test_messages_speak_of_options():
    options = {"step": "--step", "field_unit": "--field-unit", "overwrite": "--overwrite"}
    for said, spoken in {
        "step=-1.0: a positive length": "--step -1.0: a positive length",
        "give overwrite=True": "give --overwrite",
        "or ds.assign_attrs(field_unit='3 uG')": "or --field-unit '3 uG'",
        "density=3: no option of this verb": "density=3: no option of this verb",
    }.items():
        assert in_options(said, options) == spoken


def test_a_log_file_has_lines_and_no_bar(monkeypatch, capsys):
    from mmfields.cluster import progress

    monkeypatch.setattr(progress, "BETWEEN_LINES", 0.0)
    done = progress.bar(4, "chunks stored", "chunk", shown=True)
    done.update()
    done.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "chunks stored: 1 of 4 chunks" in lines[0] and "\r" not in lines[0]
    monkeypatch.setattr(progress, "BETWEEN_LINES", 60.0)
    done = progress.bar(4, "chunks stored", "chunk", shown=True)
    done.update(4)
    done.close()
    assert capsys.readouterr().err == ""


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

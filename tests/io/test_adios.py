"""ADIOS2 through the process of its library: encodings, stated extremes, crashes, waits and forks."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import mmfields as mm
from mmfields.io import _openpmd_api

openpmd_api = pytest.importorskip("openpmd_api", reason="openpmd-api is not installed")

SCALAR = openpmd_api.Mesh_Record_Component.SCALAR
CELLS = (8, 6, 4)
STATED = "numbers from .* its header states"


def put(mesh, key, shape, kind, blocks):
    """A component in blocks, each a corner along the first axis and its numbers; none where it is constant."""
    mesh.axis_labels = ["z", "y", "x"][-len(shape) :]
    mesh.grid_spacing, mesh.grid_global_offset = [1.0] * len(shape), [0.0] * len(shape)
    part = mesh[key]
    part.reset_dataset(openpmd_api.Dataset(np.dtype(kind), shape))
    part.position = [0.5] * len(shape)
    for first, values in blocks:
        part.store_chunk(values.copy(), [first] + [0] * (len(shape) - 1), values.shape)
    if not blocks:
        part.make_constant(2.0)


def written(path, encoding="variable", level=1):
    """Two iterations of B in two blocks each, as they were put into the file; Bz is constant."""
    engine = {"parameters": {"StatsLevel": str(level)}}
    options = {"iteration_encoding": f"{encoding}_based", "adios2": {"engine": engine}}
    series = openpmd_api.Series(str(path), openpmd_api.Access.create, json.dumps(options))
    draw, values = np.random.default_rng(3), {}
    for number in (3, 7):
        step = series.iterations[number] if encoding == "file" else series.write_iterations()[number]
        step.time = float(number)
        for c in "xy":
            values[number, c] = data = draw.normal(size=CELLS) * number
            put(step.meshes["B"], c, CELLS, float, [(0, data[:5]), (5, data[5:])])
            series.flush()
        put(step.meshes["B"], "z", CELLS, float, [])
        step.close()
    series.close()
    return values


def damage(path, value, by):
    """Put a number in the place of another, wherever the output has it."""
    for file in path.glob("data.*"):
        raw = file.read_bytes()
        file.write_bytes(raw.replace(np.float64(value).tobytes(), np.float64(by).tobytes()))


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("engine", ["bp4", "bp5"])
@pytest.mark.parametrize("encoding", ["variable", "group", "file"])
def test_numbers_are_those_that_the_blocks_state(tmp_path, encoding, engine, level):
    path = tmp_path / (f"a_%T.{engine}" if encoding == "file" else f"a.{engine}")
    values = written(path, encoding, level)
    one = {n: tmp_path / f"a_{n}.{engine}" if encoding == "file" else path for n in (3, 7)}
    for n in (3, 7):
        ds = mm.open_snapshot(one[n], iteration=n)
        for c in "xy":
            np.testing.assert_array_equal(ds[f"B{c}"], values[n, c])
        assert (ds.Bz == 2.0).all() and ds.attrs["time"] == n
    before = values[7, "y"]
    damage(one[7], before[6, 2, 3], 1e9)
    ds = mm.open_snapshot(one[7], iteration=7)
    if level == 0 or encoding == "variable":  # nothing is stated, or in steps that cannot be told apart
        assert float(ds.By.max()) == 1e9
        return
    for part in (ds.By, ds.By.isel(z=slice(6, None), x=3)):
        with pytest.raises(mm.SnapshotError, match=STATED):
            part.load()
    np.testing.assert_array_equal(ds.By.isel(z=slice(0, 6)), before[:6])
    np.testing.assert_array_equal(mm.open_snapshot(one[3], iteration=3).By, values[3, "y"])
    damage(one[7], 1e9, before[6, 2, 3])
    greatest = before[:5].max()
    damage(one[7], greatest, 0.0)
    ds = mm.open_snapshot(one[7], iteration=7)
    ds.By.isel(z=slice(1, 5)).load()  # who does not read all of a block cannot miss its greatest number
    with pytest.raises(mm.SnapshotError, match=STATED):
        ds.By.load()


def simple(path, steps, extra=None):
    """Variable-based; per iteration a dict of scalar meshes, each in two blocks."""
    options = {"adios2": {"engine": {"parameters": {"StatsLevel": "1"}}, **(extra or {})}}
    series = openpmd_api.Series(str(path), openpmd_api.Access.create, json.dumps(options))
    for number, meshes in steps.items():
        step = series.write_iterations()[number]
        for name, values in meshes.items():
            put(step.meshes[name], SCALAR, values.shape, values.dtype, [(0, values[:5]), (5, values[5:])])
            series.flush()
        step.close()
    series.close()


NORMAL = np.random.default_rng(5).normal(size=CELLS)
PACKED = {"dataset": {"operators": [{"type": "zfp", "parameters": {"accuracy": "0.01"}}]}}


@pytest.mark.parametrize("engine", ["bp4", "bp5"])
def test_what_is_right_is_not_refused(tmp_path, engine):
    """Gaps and characters, of which ADIOS2 states nonsense; numbers after a loss; zeros; few dims; no order."""
    kinds = {
        "gaps": np.where(NORMAL > 1.5, np.nan, NORMAL),
        "first": np.where(np.arange(192).reshape(CELLS) == 0, np.nan, NORMAL),
        "zeros": np.zeros(CELLS),
        "half": np.where(np.arange(8)[:, None, None] < 5, 0.0, NORMAL),
        "bytes": (50 * NORMAL).astype(np.int8),
        "plain": (50 * NORMAL).astype(np.uint8),
        "whole": (1e9 * NORMAL).astype(np.int64),
        "single": NORMAL.astype(np.float32),
        "endless": np.where(NORMAL > 1.5, np.inf, NORMAL),
        "line": NORMAL.ravel()[:8].copy(),
    }
    for name, values in kinds.items():
        path = tmp_path / f"{name}.{engine}"
        simple(path, {0: {"n": values}})
        ds = mm.open_snapshot(path)
        np.testing.assert_array_equal(ds.n, values)
        np.testing.assert_array_equal(ds.n[1:7:2], values[1:7:2])
        np.testing.assert_array_equal(ds.n[-1], values[-1])
    simple(tmp_path / f"packed.{engine}", {0: {"n": np.repeat(NORMAL, 64, axis=2)}}, extra=PACKED)
    found = mm.open_snapshot(tmp_path / f"packed.{engine}").n
    assert 0 < abs(found.values - np.repeat(NORMAL, 64, axis=2)).max() < 0.01
    steps = {7: {"n": NORMAL, "m": NORMAL}, 3: {"n": 2 * NORMAL}, 5: {"n": 3 * NORMAL}}
    simple(tmp_path / f"steps.{engine}", steps)
    for number, meshes in steps.items():
        ds = mm.open_snapshot(tmp_path / f"steps.{engine}", iteration=number)
        np.testing.assert_array_equal(ds.n, meshes["n"])
        assert "not_loaded" not in ds.attrs


def test_blocks_that_overlap(tmp_path):
    """As the nodes that two of them share do."""
    series = openpmd_api.Series(str(tmp_path / "a.bp5"), openpmd_api.Access.create)
    put(series.write_iterations()[0].meshes["n"], SCALAR, CELLS, float, [(0, NORMAL[:5]), (4, NORMAL[4:])])
    series.close()
    np.testing.assert_array_equal(mm.open_snapshot(tmp_path / "a.bp5").n, NORMAL)


def test_many_open_files(tmp_path):
    values = written(tmp_path / "a.bp5")[3, "x"]
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this system opens too few files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    _openpmd_api._stop()
    with contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(open(os.devnull))
        np.testing.assert_array_equal(mm.open_snapshot(tmp_path / "a.bp5", iteration=3).Bx, values)


def test_blocks_that_were_never_written(tmp_path):
    """ADIOS2 gives what lay in memory for them."""
    series = openpmd_api.Series(str(tmp_path / "a.bp5"), openpmd_api.Access.create)
    mesh = series.write_iterations()[0].meshes["B"]
    for c in "xyz":
        put(mesh, c, CELLS, float, [(0, np.ones((5, 6, 4)))])
        series.flush()
    series.close()
    ds = mm.open_snapshot(tmp_path / "a.bp5")
    assert (ds.Bx.isel(z=slice(0, 5)) == 1).all()
    with pytest.raises(mm.SnapshotError, match=r"B/x at \[5, 0, 0\] is in no block"):
        ds.Bx.isel(z=slice(4, 8)).load()


def test_meshes_that_the_library_skips(shared, tmp_path):
    """It does so in silence where it misses an attribute."""
    shutil.unpack_archive(shared / "data/openpmd/example-pic-laserwakefield.bp4.tar.gz", tmp_path)
    path = tmp_path / "example-pic-laserwakefield/pic_n2.bp"
    raw = (path / "md.0").read_bytes()
    for mesh, label in (("e_chargeDensity", "axisLabels"), ("B", "axisLabels")):
        name = f"/data/550/fields/{mesh}/{label}".encode()
        assert name in raw
        (path / "md.0").write_bytes(raw.replace(name, name[:-1] + b"_"))
        if mesh == "B":
            with pytest.raises(mm.SnapshotError, match="does not understand the mesh B"):
                mm.open_snapshot(path)
        else:
            ds = mm.open_snapshot(path)
            assert "e_chargeDensity" in ds.attrs["not_loaded"] and "e_chargeDensity" not in ds


def test_several_iterations_and_changed_files(tmp_path):
    path = tmp_path / "a.bp5"
    values = written(path)
    ds = mm.open_snapshot(path)
    assert ds.time.values.tolist() == [3.0, 7.0]
    np.testing.assert_array_equal(ds.Bx, [values[3, "x"], values[7, "x"]])
    with pytest.raises(mm.SnapshotError, match=r"no iteration 4, only \[3, 7\]"):
        mm.open_snapshot(path, iteration=4)
    shutil.rmtree(path)
    other = written(path, "group")
    assert np.array_equal(mm.open_snapshot(path, iteration=3).Bx, other[3, "x"])


def test_threads_and_forks(tmp_path):
    values = written(tmp_path / "a.bp5")[3, "x"]
    ds = mm.open_snapshot(tmp_path / "a.bp5", iteration=3).chunk(z=1)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: ds.Bx.values, range(40)):
            np.testing.assert_array_equal(found, values)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.map(ds.Bx.isel, [{"z": z} for z in range(8)]):
            np.testing.assert_array_equal(found, values[int(found.z)])
    np.testing.assert_array_equal(ds.Bx, values)


def test_an_end_of_the_library_is_not_the_end(tmp_path, monkeypatch):
    values = written(tmp_path / "a.bp5")[3, "x"]
    ds = mm.open_snapshot(tmp_path / "a.bp5", iteration=3)
    os.kill(_openpmd_api._process.process.pid, signal.SIGKILL)
    np.testing.assert_array_equal(ds.Bx, values)  # what ended may have been the fault of a file before
    script = tmp_path / "process.py"
    start = _openpmd_api.SCRIPT.read_text()
    monkeypatch.setattr(_openpmd_api, "SCRIPT", script)
    for fault, said in (("os.abort()", "exit status -6"), ("__import__('time').sleep(60)", "waits for more than 3 s")):
        mm.io._openpmd_api._stop()
        script.write_text(start.replace("opened.flush()", fault))
        ds = mm.open_snapshot(tmp_path / "a.bp5", iteration=3)
        begin = time.monotonic()
        with pytest.raises(mm.SnapshotError, match=said):
            ds.By.load()
        assert _openpmd_api._process is None
        assert time.monotonic() - begin < 20  # not the 60 it would have slept
    script.write_text("raise SystemExit(3)")
    with pytest.raises(mm.SnapshotError, match=r"does not start .*exit status 3"):
        mm.open_snapshot(tmp_path / "a.bp5")
    assert _openpmd_api._process is None
    script.write_text(start.replace("import openpmd_api  #", "import openpmd_api_that_is_not_there  #"))
    with pytest.raises(mm.SnapshotError, match=r"needs openpmd-api and adios2 \(No module .*pip install"):
        mm.open_snapshot(tmp_path / "a.bp5")
    mm.io._openpmd_api._stop()


def test_ctrl_c_leaves_no_answer_behind(tmp_path, monkeypatch):
    values = written(tmp_path / "a.bp5")[3, "x"]
    ds = mm.open_snapshot(tmp_path / "a.bp5", iteration=3)
    script = tmp_path / "process.py"
    script.write_text(_openpmd_api.SCRIPT.read_text().replace("opened.flush()", "__import__('time').sleep(2.5)"))
    with monkeypatch.context() as patched:
        patched.setattr(_openpmd_api, "SCRIPT", script)
        _openpmd_api._stop()
        patched.setattr(_openpmd_api, "_process", _openpmd_api._Process())
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
        main = threading.main_thread().ident
        threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            ds.Bx.load()
        signal.signal(signal.SIGINT, before)
    assert _openpmd_api._process is None
    np.testing.assert_array_equal(ds.Bx, values)


def test_the_library_goes_with_who_asked(tmp_path):
    written(tmp_path / "a.bp5")
    code = (
        "import sys, os, mmfields as mm; from mmfields.io import _openpmd_api as api\n"
        "mm.open_snapshot(sys.argv[1], iteration=3).load()\n"
        "print(api._process.process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.bp5"], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    until = time.monotonic() + 20
    while os.path.exists(f"/proc/{int(done.stdout)}/cmdline") and time.monotonic() < until:
        time.sleep(0.05)
    assert time.monotonic() < until

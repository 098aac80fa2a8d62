"""A store that resumes: real kills, byte-identical results, and nothing finished computed again."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import mmfields as mm
from mmfields.io.storing import MARKER, is_incomplete

JOB = """
import os, sys, time
import dask, dask.array as da, numpy as np
import mmfields as mm
out = sys.argv[1]

def work(block, block_info=None, name=None):
    time.sleep(float(os.environ["DELAY"]))  # no part of what is computed, so no variable of the script
    with open(os.environ["LOG"], "a") as file:
        file.write(name + "/c/" + "/".join(map(str, block_info[None]["chunk-location"])) + "\\n")
    return block + np.arange(block.size).reshape(block.shape)

fields = {}
for c in "xyz":
    base = da.ones((36, 10, 8), chunks=(4, 5, 4))
    def one(block, block_info=None, c=c):
        return work(block, block_info, f"B{c}")
    fields[f"B{c}"] = base.map_blocks(one, dtype=float)
ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0), seed=5)
with dask.config.set(scheduler="threads", num_workers=2):
    mm.store(ds, out, progress=False)
"""


def tree(path: Path) -> dict[str, str]:
    return {
        str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(path.rglob("*"))
        if p.is_file()
    }


def run(script: Path, out: Path, log: Path, delay: float, kill_after: float | None = None) -> None:
    process = subprocess.Popen([sys.executable, script, out], env={**os.environ, "LOG": str(log), "DELAY": str(delay)})
    if kill_after is None:
        assert process.wait() == 0
        return
    while not (log.exists() and log.stat().st_size):  # imports are over
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(kill_after)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "job.py"
    path.write_text(JOB)
    return path


def test_killed_at_any_moment_it_resumes_and_is_byte_identical(tmp_path, script):
    run(script, tmp_path / "calm.zarr", tmp_path / "calm.log", 0.0)
    want = tree(tmp_path / "calm.zarr")
    assert len((tmp_path / "calm.log").read_text().split()) == 3 * 9 * 2 * 2
    rng = np.random.default_rng(7)
    out = tmp_path / "killed.zarr"
    finished: set[str] = set()
    for attempt, moment in enumerate(rng.uniform(0.0, 0.1, 20)):
        log = tmp_path / f"{attempt}.log"
        run(script, out, log, 0.1, kill_after=float(moment))
        computed = set(log.read_text().split())
        assert not computed & finished, "a finished chunk was computed again"
        assert is_incomplete(out)
        with pytest.raises(mm.SnapshotError, match="unfinished"):
            mm.open_snapshot(out)
        finished = {name for name in tree(out) if "/c/" in name and not name.endswith(".partial")}
    run(script, out, tmp_path / "last.log", 0.0)
    assert not set((tmp_path / "last.log").read_text().split()) & finished
    assert finished
    assert tree(out) == want
    assert list(tmp_path.glob(".*.begun")) == []


def test_killed_before_anything_is_in_place(tmp_path, script):
    run(script, tmp_path / "calm.zarr", tmp_path / "calm.log", 0.0)
    leftover = tmp_path / ".out.zarr.0123.begun"
    leftover.mkdir()
    (leftover / "zarr.json").write_text("{")
    run(script, tmp_path / "out.zarr", tmp_path / "out.log", 0.0)
    assert not leftover.exists()
    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "calm.zarr")


def dataset(value=1.0, **attrs):
    fields = {f"B{c}": da.full((6, 4, 5), value + i, chunks=(4, 4, 2)) for i, c in enumerate("xyz")}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0), **attrs)


def test_a_second_call_computes_nothing(tmp_path, no_compute):
    import dask

    with dask.config.set(scheduler="synchronous"):
        first = mm.store(dataset(), tmp_path / "a.zarr", progress=False)
    again = mm.store(dataset(), tmp_path / "a.zarr", progress=False)
    assert again.chunks == first.chunks
    assert not is_incomplete(tmp_path / "a.zarr")


def test_other_data_are_not_overwritten_unless_asked(tmp_path):
    path = tmp_path / "a.zarr"
    mm.store(dataset(seed=1), path, progress=False)
    for other in (dataset(seed=2), dataset(seed=1).isel(x=slice(4)), dataset(seed=1).astype("f4")):
        with pytest.raises(mm.SnapshotError, match="overwrite=True"):
            mm.store(other, path, progress=False)
    mm.store(dataset(value=5.0, seed=2), path, overwrite=True, progress=False)
    assert float(mm.open_snapshot(path).Bz[0, 0, 0]) == 7.0
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/data").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(mm.SnapshotError):
            mm.store(dataset(), tmp_path / "precious", overwrite=overwrite, progress=False)
    assert (tmp_path / "precious/data").read_text() == "mine"


def test_uneven_chunks_eager_variables_scalars_and_times(tmp_path):
    ds = dataset().chunk(x=(1, 3, 2)).assign(total=7.0, lazy=da.ones(()), eager=("y", np.arange(4.0)))
    ds = ds.expand_dims(time=[1.0, 2.0])
    back = mm.store(ds, tmp_path / "a.zarr", progress=False)
    xr.testing.assert_identical(back.compute(), ds.compute())


def test_chunks_of_fill_value_count_as_written(tmp_path):
    calls = []

    def work(block):
        calls.append(1)
        return block * 0

    ds = mm.io.from_arrays(
        Bx=da.ones((4, 4), chunks=2).map_blocks(work, dtype=float, meta=np.empty((0, 0))),
        spacing={"x": 1.0, "y": 1.0},
        dims=("x", "y"),
    )
    mm.store(ds, tmp_path / "a.zarr", progress=False)
    assert len(list((tmp_path / "a.zarr/Bx/c").rglob("*"))) == 2 + 4
    (tmp_path / "a.zarr" / MARKER).write_text("")
    calls.clear()
    mm.store(ds, tmp_path / "a.zarr", progress=False)
    assert calls == []


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(mm.SnapshotError, match="cannot be written"):
        mm.store(dataset(), tmp_path / "file" / "a.zarr", progress=False)
    with pytest.raises(mm.SnapshotError, match="cannot be written"):
        mm.store(dataset(), "/proc/mmfields/a.zarr", progress=False)


def test_what_variables_share_is_computed_once(tmp_path):
    calls = []

    def costly(block):
        calls.append(1)
        return np.stack([block, 2 * block])

    source = da.arange(8, chunks=2, dtype=float)
    both = da.map_blocks(costly, source, new_axis=0, chunks=((2,), *source.chunks), dtype=float, meta=np.empty((0, 0)))
    ds = xr.Dataset({"a": ("x", both[0]), "b": ("x", both[1]), "c": ("x", both[0] + both[1])})
    stored = mm.store(ds, tmp_path / "a.zarr", progress=False)
    assert len(calls) == 4
    np.testing.assert_array_equal(stored.c, 3 * np.arange(8.0))


def test_a_full_disk_and_one_that_is_not_to_be_written(tmp_path, small_disk):
    disk, mount = small_disk
    random = da.random.default_rng(1).random((64, 32, 32), chunks=(8, -1, -1))
    fields = {f"B{d}": random + i for i, d in enumerate("xyz")}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0))
    mm.store(ds, tmp_path / "calm.zarr", progress=False)
    with pytest.raises(mm.SnapshotError, match=r"No space left on device.*run again, it resumes"):
        mm.store(ds, disk / "a.zarr", progress=False)
    done = {path: path.stat().st_mtime_ns for path in (disk / "a.zarr").rglob("c/*/0/0")}
    assert done and is_incomplete(disk / "a.zarr")
    assert mount("remount,ro").returncode == 0
    with pytest.raises(mm.SnapshotError, match=r"Read-only file system.*run again, it resumes"):
        mm.store(ds, disk / "a.zarr", progress=False)
    assert mount("remount,rw,size=64m").returncode == 0
    mm.store(ds, disk / "a.zarr", progress=False)
    assert tree(disk / "a.zarr") == tree(tmp_path / "calm.zarr")
    whole = [path for path in done if path.stat().st_mtime_ns == done[path]]
    assert len(whole) == len(done), "a finished chunk was written again"


def test_interrupted_by_the_keyboard_it_resumes(tmp_path, script):
    run(script, tmp_path / "calm.zarr", tmp_path / "calm.log", 0.0)
    out, log = tmp_path / "out.zarr", tmp_path / "out.log"
    command = [sys.executable, script, out]
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # which jobs in the background ignore
    environment = {**os.environ, "LOG": str(log), "DELAY": "0.1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **heard)
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0 and "KeyboardInterrupt" in said
    assert is_incomplete(out)
    run(script, out, tmp_path / "again.log", 0.0)
    assert tree(out) == tree(tmp_path / "calm.zarr")


def test_progress_shows_in_a_terminal_and_in_a_notebook_and_nowhere_else(tmp_path):
    import pty
    import termios

    import nbformat
    from nbclient import NotebookClient

    job = tmp_path / "job.py"
    job.write_text(
        "import sys, dask.array as da, mmfields as mm\n"
        "fields = {f'B{d}': da.ones((4, 4, 4), chunks=2) for d in 'xyz'}\n"
        "mm.store(mm.io.from_arrays(**fields, spacing=dict.fromkeys('xyz', 1.0)), OUT)\n"
    )
    silent = job.read_text().replace("OUT", repr(str(tmp_path / "silent.zarr")))
    done = subprocess.run([sys.executable, "-c", silent], capture_output=True, text=True, check=True)
    assert "chunk" not in done.stderr + done.stdout
    shown = job.read_text().replace("OUT", repr(str(tmp_path / "shown.zarr")))
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    subprocess.run([sys.executable, "-c", shown], stderr=slave, check=True)
    os.close(slave)
    drawn = b""
    with contextlib.suppress(OSError):  # which ends a terminal that nobody writes to any more
        while part := os.read(master, 1 << 16):
            drawn += part
    assert b"24/24" in drawn and b"chunk" in drawn
    cell = nbformat.v4.new_code_cell(job.read_text().replace("OUT", repr(str(tmp_path / "cell.zarr"))))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert "24/24" in str(notebook.cells[0].outputs)


def test_chunks_that_a_finished_store_has_lost_are_computed_again(tmp_path):
    path = tmp_path / "a.zarr"
    mm.store(dataset(), path, progress=False)
    want = tree(path)
    chunk = path / "By" / "c" / "1" / "0" / "1"
    chunk.rename(chunk.with_name(".DS_Store"))
    kept = {p: p.stat().st_mtime_ns for p in (path / "By").rglob("c/*/*/*") if p.name != ".DS_Store"}
    mm.store(dataset(), path, progress=False)
    (chunk.with_name(".DS_Store")).unlink()
    assert tree(path) == want
    assert {p: p.stat().st_mtime_ns for p in kept} == kept, "a chunk that was there was written again"
    (path / "x" / "c" / "0").unlink()  # in memory, and no Dask array
    with pytest.raises(mm.SnapshotError, match=r"1 chunks of x.*overwrite=True"):
        mm.store(dataset(), path, progress=False)
    mm.store(dataset(), path, overwrite=True, progress=False)
    assert tree(path) == want


def as_another_version_writes(path):
    """The metadata laid out otherwise and in another order, and coordinates packed otherwise."""
    import json

    import numcodecs

    for file in path.rglob("zarr.json"):
        found = json.loads(file.read_text())
        found.pop("storage_transformers", None)  # which may be left out
        file.write_text(json.dumps(dict(sorted(found.items())), indent=7))
    for name in "xyz":
        chunk = path / name / "c" / "0"
        chunk.write_bytes(numcodecs.Zstd(level=9, checksum=True).encode(numcodecs.Zstd().decode(chunk.read_bytes())))


@pytest.mark.parametrize("resume", ["identity", "structure"])
def test_a_store_that_was_begun_by_another_version_of_zarr_resumes(tmp_path, resume):
    path = tmp_path / "a.zarr"
    mm.store(dataset(), path, progress=False)
    (path / MARKER).write_text("")
    chunk = path / "By" / "c" / "1" / "0" / "1"
    chunk.unlink()
    as_another_version_writes(path)
    done = mm.store(dataset(), path, progress=False, resume=resume)
    xr.testing.assert_identical(done.compute(), dataset().compute())
    (path / MARKER).write_text("")
    for other in (dataset(seed=3), dataset().isel(x=slice(5)), dataset().assign_coords(x=np.arange(6.0))):
        with pytest.raises(mm.SnapshotError, match="already holds other data"):
            mm.store(other, path, progress=False, resume=resume)


def test_a_task_that_outlives_its_call_leaves_another_store_alone(tmp_path):
    """A worker that goes on after its client was killed, while the store is made anew of other data."""
    import threading

    path, begun, go = tmp_path / "a.zarr", threading.Event(), threading.Event()

    def late(block):
        begun.set()
        assert go.wait(60)
        return block

    ds = xr.Dataset({"a": ("x", da.full(4, 1.0, chunks=4).map_blocks(late, dtype=float, meta=np.empty(0)))})
    said = []

    def first():
        try:
            mm.store(ds, path, progress=False, resume="structure")
        except mm.SnapshotError as error:
            said.append(str(error))

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(60)
    with pytest.raises(mm.SnapshotError, match="is being written by another call"):
        mm.store(ds, path, progress=False, resume="structure")
    (tmp_path / ".a.zarr.lock").unlink()  # as when the call is killed and its worker is not
    other = xr.Dataset({"a": ("x", da.full(4, 2.0, chunks=4))})
    mm.store(other, path, overwrite=True, progress=False)
    go.set()
    thread.join(60)
    assert len(said) == 1 and "was replaced by another call" in said[0]
    assert xr.open_zarr(path).a.values.tolist() == [2.0] * 4


def test_two_runs_without_locks_do_each_other_no_harm(tmp_path, monkeypatch):
    """Of the same data, at once: both end, and the store is whole."""
    import threading

    monkeypatch.setitem(sys.modules, "fcntl", None)
    both, path = threading.Barrier(2, timeout=60), tmp_path / "a.zarr"
    with pytest.warns(mm.MmfieldsWarning, match="has no locks"):
        mm.store(dataset(), path, progress=False)
    want = tree(path)
    (path / MARKER).write_text("")
    shutil.rmtree(path / "By" / "c")
    (path / "Bz" / "c.0123.partial").write_text("of the other")
    faults = []

    def write():
        both.wait()
        try:
            mm.store(dataset(), path, progress=False)
        except Exception as error:
            faults.append(error)

    with pytest.warns(mm.MmfieldsWarning, match="has no locks"):
        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not faults
    assert (path / "Bz" / "c.0123.partial").read_text() == "of the other"
    (path / "Bz" / "c.0123.partial").unlink()
    assert tree(path) == want

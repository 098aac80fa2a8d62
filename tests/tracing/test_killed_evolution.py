"""A process that stores a trace through a series is killed and interrupted; run again, it goes on, to the bit."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

import mmfields as mm
from mmfields.io.storing import is_incomplete

pytestmark = pytest.mark.slow

# Each task reads every snapshot, which takes its time.
JOB = """
import os, sys, time
import dask, dask.array as da, numpy as np
import mmfields as mm

def read(block, block_info=None):
    number = block_info[0]["chunk-location"][0]
    time.sleep(float(os.environ["DELAY"]))
    with open(os.environ["LOG"], "a") as file:
        file.write(f"{number}\\n")
    return block

rng = np.random.default_rng(4)
values = {f"B{d}": rng.normal(0.5, 1.0, (5, 6, 7, 8)) for d in "xyz"}
fields = {name: da.from_array(v, chunks=(1, 6, 7, 8)).map_blocks(read, dtype=float) for name, v in values.items()}
spacing = dict.fromkeys("zyx", 1.0)
one = mm.io.from_arrays(**{name: v[0] for name, v in values.items()}, spacing=spacing, dims=("z", "y", "x"))
series = one.drop_vars(list(fields)).assign({name: (("time", "z", "y", "x"), v) for name, v in fields.items()})
series = series.assign_coords(time=("time", np.arange(5.0)))
p = mm.particles.isotropic(32, gyroradius=[1.0, 3.0], seed=1, field=one, reference_field=1.0)
scattering = mm.scattering.small_angle(nu=0.1)
run = mm.trace(
    series, p, step=0.05, distance=4.0, save=8, evolve=True, light_speed=1.0, scattering=scattering,
    particles_per_task=4,
)
with dask.config.set(scheduler="threads", num_workers=1):
    mm.store(run, sys.argv[1], progress=False)
"""


def tree(path):
    """Contents of all files, and when those of chunks were written."""
    files = [p for p in sorted(path.rglob("*")) if p.is_file()]
    contents = {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    chunks = [p for p in files if "/c/" in str(p) and not p.name.endswith(".partial")]
    return contents, {str(p.relative_to(path)): p.stat().st_mtime_ns for p in chunks}


def begun(script, out, log, delay):
    """The job, which has begun to read."""
    environment = {**os.environ, "LOG": str(log), "DELAY": str(delay)}
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # which jobs in the background ignore
    process = subprocess.Popen(
        [sys.executable, script, out], env=environment, stderr=subprocess.PIPE, text=True, **heard
    )
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return process


def test_killed_and_interrupted_it_goes_on_to_the_bit(tmp_path):
    script, out = tmp_path / "job.py", tmp_path / "out.zarr"
    script.write_text(JOB)
    _, said = (process := begun(script, tmp_path / "calm.zarr", tmp_path / "calm.log", 0.0)).communicate(timeout=300)
    assert process.returncode == 0, said
    wanted, chunks = tree(tmp_path / "calm.zarr")
    reads = len((tmp_path / "calm.log").read_text().split())
    assert reads == 8 * 3 * 5 + 3  # by each task once, and the first for its means
    before = {}
    for attempt, (how, wait) in enumerate([(signal.SIGKILL, 0.9), (signal.SIGINT, 0.7), (signal.SIGKILL, 0.1)]):
        process = begun(script, out, tmp_path / f"{attempt}.log", 0.02)
        time.sleep(wait)
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
        assert process.returncode != 0
        assert how != signal.SIGINT or "KeyboardInterrupt" in said
        assert is_incomplete(out)
        with pytest.raises(mm.SnapshotError, match="unfinished"):
            mm.open_snapshot(out)
        _, done = tree(out)
        assert {name: done.get(name) for name in before} == before, "what was finished is written again"
        before = done
    assert 0 < len(before) < len(chunks)
    process = begun(script, out, tmp_path / "last.log", 0.0)
    process.communicate(timeout=300)
    assert process.returncode == 0
    found, done = tree(out)
    assert found == wanted
    assert {name: done[name] for name in before} == before
    assert len((tmp_path / "last.log").read_text().split()) < reads  # not the tasks that were finished

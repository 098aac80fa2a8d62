"""Loads beyond the usual, with what they cost: python tests/benchmarks/load.py [name ...].

Scheduler and workers are processes of their own.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import mmfields as mm

sys.path.insert(0, str(Path(__file__).parents[1] / "io"))
from builders import nbf


def snapshot(n=64):
    """White noise in float32."""
    rng = np.random.default_rng(0)
    fields = {f"B{d}": rng.standard_normal((n, n, n), dtype=np.float32) for d in "xyz"}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))


@contextmanager
def two_workers(folder):
    """A client of a scheduler and two workers of one thread."""
    from distributed import Client

    file, command = Path(folder, "scheduler.json"), [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen([*command, "scheduler", *common, "--port", "0"], **quiet)]
    while not file.exists():
        time.sleep(0.1)
    own = ["--nthreads", "1", "--memory-limit", "4GiB", "--local-directory", str(folder)]
    started += [subprocess.Popen([*command, "worker", *common, *own], **quiet) for _ in range(2)]
    try:
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(2, timeout=60)
            yield client
    finally:
        for process in started[::-1]:
            process.terminate()
            process.wait()


def a_million_particles():
    """A million particles, a thousand steps each, on two workers, into a store."""
    ds = snapshot()
    p = mm.particles.isotropic(10**6, gyroradius=5.0, seed=1, field=ds, reference_field=1.7)
    with tempfile.TemporaryDirectory() as folder, two_workers(folder) as client:
        mm.store(mm.trace(ds, p, step=0.5, distance=500.0, save=2), Path(folder, "out.zarr"))
        memory = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return {"largest worker [GiB]": max(memory.values())}


def fifty_traces():
    """Fifty traces at once from the threads of one process, each with its own gyroradius."""
    ds, found = snapshot(32), {}

    def one(i):
        p = mm.particles.isotropic(100, gyroradius=3.0 + 0.1 * i, seed=1, field=ds, reference_field=1.7)
        found[i] = mm.trace(ds, p, step=0.3, distance=300.0, save=2).compute()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(50)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    together = dict(found)
    differ = 0
    for i in range(50):
        one(i)
        differ += not together[i].equals(found[i])
    return {"of 50 that differ from those made alone": differ}


def many_files(count=10_000):
    """A series of so many files of a code, opened at once.

    (Files of netCDF and zarr are opened by xarray one by one, each in some 50 ms.)
    """
    names = ("dens", "mom1", "mom2", "mom3", "Bcc1", "Bcc2", "Bcc3")
    small = np.zeros((len(names), 8, 8, 8), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            nbf(Path(folder, f"run.{i:05d}.nbf"), small, (8, 8, 8), names=names, time=float(i))
        began = time.process_time()
        series = mm.open_series(f"{folder}/*.nbf")
        opened = time.process_time() - began
        return {"opened in [CPU s]": opened, "times": series.sizes["time"], "handles": len(os.listdir("/proc/self/fd"))}


def a_billion_steps(steps=10**9):
    """One particle in a uniform field against the exact orbit of the pusher."""
    ds = mm.io.from_arrays(
        **{f"B{d}": np.full((2, 2, 2), b) for d, b in zip("xyz", (0.0, 0.0, 1.0), strict=True)},
        spacing=dict.fromkeys("xyz", 1.0),
    )
    start = {"x": [0.5], "y": [0.5], "z": [0.5], "vx": [0.6], "vy": [0.0], "vz": [0.8]}
    p = mm.particles.from_arrays(**start, gyroradius=1.0, reference_field=1.0)
    tr = mm.trace(ds, p, step=0.1, distance=0.1 * steps, save=1).isel(path=-1).compute()
    angle = -2 * np.arctan(0.05) * steps  # what each step turns a positive charge by
    phase = np.angle(np.exp(1j * (np.arctan2(tr.vy, tr.vx) - angle))).item()
    return {"|v| - 1": float(np.sqrt(tr.vx**2 + tr.vy**2 + tr.vz**2).item() - 1), "phase [rad]": phase}


LOADS = (a_million_particles, fifty_traces, many_files, a_billion_steps)


def main(names):
    for load in LOADS:
        if names and load.__name__ not in names:
            continue
        wall, before = time.perf_counter(), os.times()
        found, after = load(), os.times()
        cpu = sum(after[:4]) - sum(before[:4])
        print(f"{load.__name__}: {time.perf_counter() - wall:.1f} s, {cpu:.1f} s of CPU", found, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

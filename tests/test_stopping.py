"""A kernel that runs ends within a second of Ctrl-C, and of the cancellation of its task."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from distributed import Client

import mmfields as mm

pytestmark = pytest.mark.slow

# Interrupts itself while it traces, for hours if it is let; says how long it takes to end, and what runs on.
PROGRAM = """
import os, signal, sys, threading, time, warnings
import mmfields as mm
from test_stopping import trajectories

warnings.simplefilter("ignore")
kind, scheduler = sys.argv[1:]
trajectories(kind, 3.0).compute(scheduler="synchronous")  # the kernels are compiled
signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background ignore
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
began = time.monotonic()
try:
    trajectories(kind, 3e7).compute(scheduler=scheduler)
except KeyboardInterrupt:
    waited = time.monotonic() - began - 1.0
    time.sleep(1.0)
    used = time.process_time()
    time.sleep(0.5)
    print(waited, time.process_time() - used)
"""


def trajectories(kind, distance):
    rng = np.random.default_rng(0)
    fields = {f"B{d}": rng.normal(size=(8, 9, 10)) for d in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    if kind == "sum":
        ds = mm.turbulence.plane_waves(64, k_min=1e-4, k_max=3.0, seed=2, error=1e-6)
    options = {
        "plain": {},
        "scattered": {"scattering": mm.scattering.small_angle(nu=0.01)},
        "local": {"step": 0.1, "step_unit": "local"},
        "spectral": {"interpolation": "spectral"},
        "sum": {},
    }[kind]
    p = mm.particles.isotropic(400, gyroradius=3.0, seed=1, field=ds, reference_field=1.7)
    return mm.trace(ds, p, **{"step": 0.3, "distance": distance, "save": 2, **options})


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("kind", ["plain", "scattered", "local", "spectral", "sum"])
def test_ctrl_c_reaches_a_kernel(kind, scheduler):
    path = os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, scheduler],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    waited, used = map(float, done.stdout.split())
    assert waited < 5.0  # a second, on a machine that has nothing else to do
    assert used < 0.3


def test_cancellation_reaches_a_kernel_on_a_worker(start_cluster):
    with start_cluster() as address, Client(address) as client:
        client.compute(trajectories("plain", 3.0)).result()
        running = client.compute(trajectories("plain", 3e7))
        deadline = time.monotonic() + 60
        while not any(client.processing().values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1.0)
        running.cancel()
        client.run(time.sleep, 2.0)

        def used():
            return sum(client.run(time.process_time).values())

        before = used()
        time.sleep(1.0)
        assert used() - before < 0.5
        client.compute(trajectories("plain", 3.0)).result(timeout=60)  # its threads are free

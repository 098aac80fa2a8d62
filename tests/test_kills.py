"""Workers of a real cluster are killed again and again; what is being computed is finished, to the bit."""

import os
import signal
import threading

import numpy as np
import pytest
from distributed import Client

import mmfields as mm

pytestmark = pytest.mark.slow
# Each lost worker costs what it was computing and its start; more of them would show no more.
MOST_KILLED = 4


@pytest.fixture(scope="module")
def address(start_cluster):
    """Workers whose nannies start them again, on a scheduler that does not take their ends for the fault of a task."""
    with start_cluster(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1000") as address:
        yield address


class Killer(threading.Thread):
    """SIGKILLs one worker after the other until told to stop or enough are lost, the first one sooner."""

    def __init__(self, address, every, first):
        super().__init__(daemon=True)
        self.address, self.every, self.first, self.done, self.killed = address, every, first, threading.Event(), 0

    def run(self):
        with Client(self.address, set_as_default=False) as client:
            while self.killed < MOST_KILLED and not self.done.wait(self.every if self.killed else self.first):
                workers = client.scheduler_info(n_workers=-1)["workers"]
                if len(workers) < 2:
                    continue  # the last one is still starting
                try:
                    pid = client.run(os.getpid, workers=[sorted(workers)[self.killed % 2]])
                except Exception:  # it has just gone
                    continue
                for number in pid.values():
                    os.kill(number, signal.SIGKILL)
                    self.killed += 1


def survived(address, build, *, every, first=None):
    killer = Killer(address, every, first or every)
    with Client(address) as client:
        client.wait_for_workers(2, timeout=60)
        killer.start()
        try:
            result = build().compute()
        finally:
            killer.done.set()
            killer.join(timeout=30)
    return result, killer.killed


def test_a_trace_is_finished(address):
    ds = mm.samples.load("micromirrors").isel(time=1)[["Bx", "By", "Bz"]]
    p = mm.particles.isotropic(1024, gyroradius=[10.0, 20.0], seed=1, field=ds, reference_field=1.0)

    def build():
        return mm.trace(ds, p, step=0.2, distance=3e4, save=3)

    wanted = build().compute(scheduler="threads")  # first, so that the workers find the kernels compiled
    found, killed = survived(address, build, every=2.5, first=1.5)
    assert killed >= 2
    for name in wanted.data_vars:
        np.testing.assert_array_equal(found[name], wanted[name])


def test_a_trace_in_blocks_is_finished(address):
    """A task that directs rounds begins again when its worker is lost: particles_per_task says how much that is."""
    ds = mm.samples.load("micromirrors").isel(time=1)[["Bx", "By", "Bz"]].chunk(x=30)
    p = mm.particles.isotropic(1024, gyroradius=[10.0, 20.0], seed=1, field=ds, reference_field=1.0)

    def build(block):
        return mm.trace(ds, p, step=0.2, distance=300.0, save=3, block=block, particles_per_task=256)

    wanted = build(None).compute(scheduler="threads")
    build(24).isel(particle=slice(0, 1)).compute(scheduler="threads")
    found, killed = survived(address, lambda: build(24), every=6.0, first=2.0)
    assert killed >= 1
    for name in ("x", "vy", "B"):
        np.testing.assert_array_equal(found[name], wanted[name])


def test_a_trace_in_blocks_of_a_series_is_finished(address):
    """So does one that goes through them window after window in time."""
    series = mm.samples.load("micromirrors")[["Bx", "By", "Bz"]].assign_coords(time=[0.0, 120.0]).chunk(time=1, x=30)
    walls = {name: value for name, value in series.attrs.items() if name.startswith("boundary")}
    series = series.drop_attrs().assign_attrs(walls)  # plain numbers, in which light goes as far as light_speed says
    p = mm.particles.isotropic(512, gyroradius=[10.0, 20.0], seed=1, field=series.isel(time=0), reference_field=1.0)

    def build(block):
        evolve = mm.tracing.Evolution(start=-30.0, beyond="hold")
        options = {"evolve": evolve, "light_speed": 1.0, "block": block, "particles_per_task": 128}
        return mm.trace(series, p, step=0.2, distance=200.0, save=3, **options)

    wanted = build(None).compute(scheduler="threads")
    build(24).isel(particle=slice(0, 1)).compute(scheduler="threads")
    found, killed = survived(address, lambda: build(24), every=6.0, first=2.0)
    assert killed >= 1
    for name in ("x", "vy", "B"):
        np.testing.assert_array_equal(found[name], wanted[name])


def test_a_filter_is_finished(address, monkeypatch):
    """It fits the workers' memory, so that they exchange it in tasks; peers do not outlive each other."""
    monkeypatch.setattr(mm.fourier.pencils, "BLOCK_BYTES", 1 << 21)
    band = mm.fourier.band(k_perp=(0.0, 0.5), edge="cosine", width=0.1)
    ds = mm.turbulence.gaussian(128, spectrum=5 / 3, seed=1, chunks={"z": 16})
    found, killed = survived(address, lambda: mm.fourier.filter(ds, band, direction="x"), every=3.0, first=1.0)
    assert killed >= 1
    wanted = mm.fourier.filter(ds, band, direction="x").compute(scheduler="threads")
    for name in wanted.data_vars:
        np.testing.assert_array_equal(found[name], wanted[name])

"""Field lines against orbits through the same field: points of lines over Boris steps, by CPU time of one thread."""

import statistics
import time

import dask
import numpy as np

import mmfields as mm

LINES, STEPS = 1024, 1000


def seconds(call) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def compare(n: int, interpolation: str) -> None:
    """Whole calls, in turns; both follow as many steps, of half a cell."""
    rng = np.random.default_rng(0)
    fields = {f"B{d}": rng.standard_normal((n, n, n), dtype=np.float32) for d in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    protons = mm.particles.isotropic(LINES, gyroradius=5.0, seed=1, field=ds, reference_field=1.7)
    half = 0.25 * STEPS  # in either direction
    calls = {
        "lines": lambda: mm.field_lines(ds, LINES, length=half, step=0.5, save=1, interpolation=interpolation),
        "orbits": lambda: mm.trace(ds, protons, step=0.5, distance=2 * half, save=1, interpolation=interpolation),
    }
    with dask.config.set(scheduler="synchronous"):
        times = {name: [] for name in calls}
        for _ in range(6):
            for name, call in calls.items():
                times[name].append(seconds(lambda call=call: call()[["x"]].compute()))
    lines, orbits = (statistics.median(times[name][1:]) for name in ("lines", "orbits"))
    rate = LINES * STEPS / lines / 1e6
    print(f"{n}^3 {interpolation:6s} {rate:6.2f} M points/s, {orbits / lines:.2f} of Boris steps, of 0.25", flush=True)


def main() -> None:
    for n in (64, 256):
        for interpolation in ("linear", "cubic"):
            compare(n, interpolation)

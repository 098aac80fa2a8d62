"""Tracing in the working tree against another checkout: python tests/benchmarks/run.py tracing --against CHECKOUT.

Each row has a process for either tree; these take turns, and wait for each other.  CPU time of one thread, medians.
The kernel is timed where a trace calls it, with all particles in one task; the whole call has tasks as users get them.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

TURNS, RADIUS = 5, 5.0
ENTRIES = ("trace_plain", "trace_guarded", "trace_local", "trace_sum", "trace_block")


def on_grid(n, particles, steps, **options):
    """White noise of rms 1 in float32, r_g of 5 cells, steps of a tenth of it."""
    import numpy as np

    import mmfields as mm

    rng = np.random.default_rng(0)
    fields = {f"B{d}": rng.standard_normal((n, n, n), dtype=np.float32) for d in "xyz"}
    boundary = options.pop("boundary", "periodic")
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"), boundary=boundary)
    p = mm.particles.isotropic(particles, gyroradius=RADIUS, seed=1, field=ds, reference_field=3**0.5)
    return ds, p, {"step": 0.1 * RADIUS, "distance": 0.1 * RADIUS * steps, "save": 1, **options}


def in_waves(error, step, particles, steps):
    """1024 waves over ten decades, the shortest r_g / 3."""
    import numpy as np

    import mmfields as mm

    k_max = 6 * np.pi
    waves = mm.turbulence.plane_waves(1024, k_min=k_max * 1e-10, k_max=k_max, seed=2, error=error)
    p = mm.particles.isotropic(particles, gyroradius=1.0, seed=1, field=waves, reference_field=1.0)
    return waves, p, {"step": step, "distance": step * steps, "save": 1}


ROWS = {
    "linear 64³": lambda: on_grid(64, 1000, 10_000),
    "linear 256³": lambda: on_grid(256, 1000, 10_000),
    "cubic 256³": lambda: on_grid(256, 1000, 10_000, interpolation="cubic"),
    "nearest 64³": lambda: on_grid(64, 1000, 10_000, interpolation="nearest"),
    "one particle, 64³": lambda: on_grid(64, 1, 1_000_000),
    "1024 waves, each": lambda: in_waves(0.0, 0.01, 128, 1000),
    "ten decades, r_g/100": lambda: in_waves(1e-6, 0.01, 128, 5000),
    "ten decades, r_g/10": lambda: in_waves(1e-6, 0.1, 128, 5000),
    "linear 512³": lambda: on_grid(512, 1000, 10_000),
    "linear 512³, 10⁵": lambda: on_grid(512, 100_000, 100),
}


def open_walls():
    """What makes the longest of the usual first calls."""
    import mmfields as mm

    return on_grid(16, 10, 10, boundary="open", scattering=mm.scattering.small_angle(nu=0.01))


COMPILED = {"plain": lambda: on_grid(16, 10, 10), "guarded": open_walls}


def clocked(kernels):
    """Entries of the kernels that add up the time in them; the list of it."""
    took = []
    for name in ENTRIES:
        if entry := getattr(kernels, name, None):

            def timed(*args, entry=entry):
                began = time.process_time()
                result = entry(*args)
                took.append(time.process_time() - began)
                return result

            setattr(kernels, name, timed)
    return took


def seconds(call):
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def once(field, particles, options, inside):
    """Times of a call, of what it computes, and of the kernels in there."""
    import mmfields as mm

    inside.clear()
    call, lazy = seconds(lambda: mm.trace(field, particles, **options))
    return call, seconds(lambda: lazy.compute(scheduler="synchronous"))[0], sum(inside)


def work(row):
    """Figures of a row, each time that a line comes."""
    warnings.simplefilter("ignore")
    build = {**ROWS, **COMPILED}[row]
    field, particles, options = build()
    from mmfields.kernels import trace as kernels

    inside, n = clocked(kernels), particles.sizes["particle"]
    first = sum(once(field, particles, options, inside)[:2])
    steps = n * options["distance"] / options["step"] / 1e6
    for _ in sys.stdin:
        call, compute, kernel = once(field, particles, options, inside)
        if row in COMPILED:
            print(json.dumps({"compile": first - call - compute}), flush=True)
            continue
        *_, alone = once(field, particles, {**options, "particles_per_task": n}, inside)
        found = {"kernel": steps / alone, "whole": steps / (call + compute)}
        if row.startswith("linear") and n == 1000:
            copy, _ = seconds(lambda: [field[f"B{d}"].values.copy() for d in "xyz"])
            found |= {"at the call": call / copy, "beside the kernel": (compute - kernel) / copy}
        print(json.dumps(found), flush=True)


def in_turns(row, trees, caches, turns):
    """Medians of the figures of a row, by name, for each tree."""
    workers = []
    for tree, cache in zip(trees, caches, strict=True):
        threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        own = {**os.environ, **threads, "PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": str(cache)}
        command = [sys.executable, __file__, row]
        workers.append(subprocess.Popen(command, env=own, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    found = [[] for _ in workers]
    for _ in range(turns):
        for worker, own in zip(workers, found, strict=True):
            print(file=worker.stdin, flush=True)
            own.append(json.loads(worker.stdout.readline()))
    for worker in workers:
        worker.communicate()
    return [{name: statistics.median(f[name] for f in own) for name in own[0]} for own in found]


def main(checkout):
    trees = Path(__file__).resolve().parents[2], Path(checkout).resolve()
    units = {"kernel": "M steps/s", "whole": "M steps/s", "compile": "s"}
    print(f"{'':22s} {'':18s} {'new':>9s} {'old':>9s} {'new/old':>8s}")
    with tempfile.TemporaryDirectory() as folder:
        for row in (*COMPILED, *ROWS):
            # what is compiled first has a cache of its own, which is empty
            kept = row if row in COMPILED else "rows"
            caches = [Path(folder) / kept / str(i) for i in range(2)]
            new, old = in_turns(row, trees, caches, 1 if row in COMPILED else TURNS)
            for name in new:
                unit = units.get(name, "copies of B")
                ratio = new[name] / old[name]
                print(f"{row:22s} {name:18s} {new[name]:9.3g} {old[name]:9.3g} {ratio:8.2f}  {unit}", flush=True)


if __name__ == "__main__":
    work(sys.argv[1])

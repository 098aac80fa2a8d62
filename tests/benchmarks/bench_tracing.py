"""Tracing against a straightforward loop over particles, what each option costs, and what Dask adds.

Million steps per second on one core, at 64^3 and 256^3 float32, r_g = 5 cells, steps of 0.1 r_g.
"""

import os
import statistics
import time
from math import floor, sqrt

import dask
import numpy as np
import psutil
from distributed import Client, LocalCluster
from numba import njit

import mmfields as mm
from mmfields.kernels import evolving, saved, trace
from mmfields.kernels.batch import PARTICLE, new_batch
from mmfields.kernels.setup import AHEAD, AHEAD_OF_LARGE, LARGE, Interpolation, Patches, Wall, new_setup
from mmfields.tracing import graph

PARTICLES, STEPS, RADIUS = 1000, 1000, 5.0


@njit(nogil=True)
def naive(field, position, direction, radius, step, count, out):
    """One particle after the other, as one would write it down."""
    nz, ny, nx, _ = field.shape
    for p in range(len(position)):
        x, y, z = position[p]
        vx, vy, vz = direction[p]
        for _ in range(count):
            x, y, z = x + 0.5 * step * vx, y + 0.5 * step * vy, z + 0.5 * step * vz
            i, j, k = floor(x - 0.5), floor(y - 0.5), floor(z - 0.5)
            fx, fy, fz = x - 0.5 - i, y - 0.5 - j, z - 0.5 - k
            i, j, k = i % nx, j % ny, k % nz
            ii, jj, kk = (i + 1) % nx, (j + 1) % ny, (k + 1) % nz
            b = np.zeros(3)
            for c in range(3):
                low = (1 - fy) * ((1 - fx) * field[k, j, i, c] + fx * field[k, j, ii, c])
                low += fy * ((1 - fx) * field[k, jj, i, c] + fx * field[k, jj, ii, c])
                high = (1 - fy) * ((1 - fx) * field[kk, j, i, c] + fx * field[kk, j, ii, c])
                high += fy * ((1 - fx) * field[kk, jj, i, c] + fx * field[kk, jj, ii, c])
                b[c] = (1 - fz) * low + fz * high
            tx, ty, tz = 0.5 * step / radius * b[0], 0.5 * step / radius * b[1], 0.5 * step / radius * b[2]
            s = 2 / (1 + tx * tx + ty * ty + tz * tz)
            px, py, pz = vx + vy * tz - vz * ty, vy + vz * tx - vx * tz, vz + vx * ty - vy * tx
            vx, vy, vz = vx + s * (py * tz - pz * ty), vy + s * (pz * tx - px * tz), vz + s * (px * ty - py * tx)
            norm = 1 / sqrt(vx * vx + vy * vy + vz * vz)
            vx, vy, vz = vx * norm, vy * norm, vz * norm
            x, y, z = x + 0.5 * step * vx, y + 0.5 * step * vy, z + 0.5 * step * vz
        out[p, 0], out[p, 1], out[p, 2] = x, y, z


def seconds(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def kernels(n: int) -> None:
    rng = np.random.default_rng(0)
    field = rng.standard_normal((n, n, n, 3), dtype=np.float32)
    field /= np.sqrt((field**2).sum(-1).mean())
    flat = np.append(field.ravel(), np.float32(0))
    flat.flags.writeable = False
    position = rng.random((PARTICLES, 3)) * n
    direction = rng.normal(size=(PARTICLES, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    particles = np.zeros(PARTICLES, PARTICLE)
    for name, values in zip(("x", "y", "z", "vx", "vy", "vz"), [*position.T, *direction.T], strict=True):
        particles[name] = values
    particles["momentum"], particles["left"], particles["alive"] = 1.0, np.nan, 1
    particles["rigidity"], particles["longest"] = RADIUS, 0.1 * RADIUS
    particles["key"] = rng.integers(0, 2**63, PARTICLES)
    step, out = 0.1 * RADIUS, np.empty((PARTICLES, 3))
    fields, order = trace.Fields(flat, None, None, None), np.arange(PARTICLES)

    def lockstep(kind=Interpolation.LINEAR, where=Patches.NONE, wall=Wall.PERIODIC, saves=1, steps=STEPS):
        rules = {"patches": where, "inside": 1e-3, "held": wall == Wall.OPEN}
        rules["ahead"] = AHEAD if flat.nbytes < LARGE else AHEAD_OF_LARGE
        setup = new_setup((n, n, n), np.zeros(3), np.full(3, float(n)), np.full(3, wall), kind, **rules)
        plan = np.zeros(saves, trace.INTERVAL)
        plan["count"], plan["step"], plan["save"] = steps // saves, step, np.arange(saves)
        plan["length"] = plan["count"] * step
        plan["end"] = np.cumsum(plan["length"])
        wanted = ("always", "walled") if wall else ("always",)
        rows = {name: (PARTICLES, saves) if name in wanted else (0, 0) for name in saved.KINDS._fields}
        found = saved.Saved(*(np.empty(rows[name], kind) for name, kind in saved.KINDS._asdict().items()))
        entry = trace.trace_guarded if wall or where else trace.trace_plain
        entry(new_batch(), setup, fields, particles.copy(), order, plan, found)

    calls = {
        "naive loop": lambda: naive(field, position, direction, RADIUS, step, STEPS, out),
        "linear": lockstep,
        "nearest": lambda: lockstep(Interpolation.NEAREST),
        "cubic": lambda: lockstep(Interpolation.CUBIC),
        "linear, scattering": lambda: lockstep(where=Patches.UNIFORM),
        "linear, open walls": lambda: lockstep(wall=Wall.OPEN),
        "linear, reflecting walls": lambda: lockstep(wall=Wall.REFLECTING),
        "linear, 10000 steps": lambda: lockstep(steps=10 * STEPS),
        "the same, 100 saved points": lambda: lockstep(saves=100, steps=10 * STEPS),
    }
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(5):
        for name, call in calls.items():
            times[name].append(seconds(call))
    middle = {name: statistics.median(values) for name, values in times.items()}
    for name, took in middle.items():
        steps = STEPS * (10 if "10000" in name or "saved" in name else 1)
        rate, own = PARTICLES * steps / took / 1e6, took * STEPS / steps
        print(f"{n}^3 {name:26s} {rate:6.1f} million steps/s, {middle['naive loop'] / own:.2f} times the naive loop, "
              f"{own / middle['linear']:.2f} times the time of linear", flush=True)  # fmt: skip


def in_time(n: int) -> None:
    """Between two snapshots against through one, and E = -u x B at the particle against a stored E, in the same run."""
    rng = np.random.default_rng(0)
    vectors = [s * rng.standard_normal((n, n, n, 3), dtype=np.float32) for s in (1.0, 1.0, 0.01, 0.01)]
    parts = {"b": vectors[:1], "e": vectors[2:3], "b, b": vectors[:2], "b, b, u, u": vectors}
    flat = {name: np.append(np.concatenate(part, -1).ravel(), np.float32(0)) for name, part in parts.items()}
    for data in flat.values():
        data.flags.writeable = False
    particles = np.zeros(PARTICLES, PARTICLE)
    for name in "xyz":
        particles[name] = rng.random(PARTICLES) * n
    particles["vx"] = particles["momentum"] = particles["alive"] = 1
    particles["rigidity"], particles["mass"], particles["longest"] = RADIUS, 0.1, 0.1 * RADIUS
    plan, window = np.zeros(1, trace.INTERVAL), np.zeros(1, evolving.WINDOW)
    plan["count"], plan["step"] = STEPS, 0.1 * RADIUS
    plan["length"] = plan["end"] = STEPS * 0.1 * RADIUS
    window["inverse"] = 1 / plan["end"]

    def run(kind, driven, moving):
        ahead = AHEAD if flat["b"].nbytes < LARGE else AHEAD_OF_LARGE
        box = (n,) * 3, np.zeros(3), np.full(3, float(n)), np.zeros(3, int)
        setup = new_setup(*box, kind, pusher=driven, ahead=ahead)
        kinds = ("always", "local", "driven") if driven else ("always",)
        rows = {name: (PARTICLES, 1) if name in kinds else (0, 0) for name in saved.KINDS._fields}
        out = saved.Saved(*(np.empty(rows[name], own) for name, own in saved.KINDS._asdict().items()))
        window["stride"], window["ideal"] = 12 if driven else 6, driven
        rest = particles.copy(), np.arange(PARTICLES), plan, out
        if moving:
            pair = evolving.Pair(flat["b, b, u, u" if driven else "b, b"], np.zeros(1) if driven else None, None)
            return evolving.trace_evolving(new_batch(), setup, window, pair, *rest)
        entry = trace.trace_guarded if driven else trace.trace_plain
        return entry(new_batch(), setup, trace.Fields(flat["b"], flat["e"] if driven else None, None, None), *rest)

    for kind in (Interpolation.LINEAR, Interpolation.CUBIC):
        for driven in (0, 1):
            calls = {moving: lambda moving=moving: run(kind, driven, moving) for moving in (False, True)}  # noqa: B023
            times = {moving: [seconds(call) for _ in range(6)][1:] for moving, call in calls.items()}
            still, moving = (statistics.median(values) for values in times.values())
            what = "E = -u x B against E" if driven else "B"
            ratio = f"{still / moving:.2f} of the rate at rest, of 0.6"
            print(f"{n}^3 {kind.name.lower():7s} in time, {what:20s} {ratio}", flush=True)


def under_dask() -> None:
    """Blocks of about 2 s of work each, on one thread, against the kernel called directly for the same particles."""
    ds, p = run_of(64, 256)
    options = {"step": 0.1, "step_unit": "gyroradius", "distance": 0.5 * 350_000, "save": 1, "particles_per_task": 256}
    with dask.config.set(scheduler="synchronous"):
        lazy = mm.trace(ds, p, **options).x
        lazy.compute()
        ratios = []
        inside = []
        own = graph.run_task

        def timed(*args, **kwargs):
            began = time.perf_counter()
            result = own(*args, **kwargs)
            inside.append(time.perf_counter() - began)
            return result

        graph.run_task = timed
        try:
            lazy = mm.trace(ds, p, **options).x
            for _ in range(5):
                inside.clear()
                ratios.append(seconds(lazy.compute) / sum(inside))
        finally:
            graph.run_task = own
    print(f"under Dask, a block of {sum(inside):.1f} s: {statistics.median(ratios):.3f} times the kernel; at most 1.05")


def run_of(n: int, particles: int):
    rng = np.random.default_rng(0)
    fields = {f"B{c}": rng.standard_normal((n, n, n), dtype=np.float32) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    return ds, mm.particles.isotropic(particles, gyroradius=RADIUS, seed=1, field=ds, reference_field=3**0.5)


def proportional(client: Client) -> float:
    """Memory of all workers together [GB], pages that they share counted once."""
    return sum(client.run(lambda: psutil.Process(os.getpid()).memory_full_info().pss).values()) / 1e9


def processes() -> None:
    """A 512^3 field, from its store, through one and through two worker processes."""
    import tempfile

    import xarray as xr

    with tempfile.TemporaryDirectory() as folder:
        ds, p = run_of(512, 2048)
        mm.store(ds.chunk(z=64), f"{folder}/field.zarr", progress=False)
        times, memory = {}, 0.0
        for workers in (1, 2):
            with (
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, memory_limit=None, dashboard_address=None
                ) as cluster,
                Client(cluster) as client,
            ):
                field = xr.open_zarr(f"{folder}/field.zarr")
                options = {"step": 0.1, "step_unit": "gyroradius", "distance": 0.5 * 300_000, "save": 1}
                run = mm.trace(field, p, particles_per_task=128, **options).x
                few = p.isel(particle=slice(64))  # compiles, in every process
                mm.trace(field, few, particles_per_task=1, **{**options, "distance": 5.0}).x.compute()
                future = client.compute(run)
                began = time.perf_counter()
                while not future.done():
                    time.sleep(0.5)
                    memory = max(memory, proportional(client)) if workers == 2 else memory
                times[workers] = time.perf_counter() - began
        print(f"two worker processes on 512^3: {times[1] / times[2]:.2f} times the rate of one (at least 1.8), "
              f"{memory:.2f} GB of memory in all (at most 2.5), packing the field included")  # fmt: skip


def streaming() -> None:
    """Running coefficients of a million particles with a hundred saved points, from a store, in another process."""
    import subprocess
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for code in (MAKE, RUN):
            out = subprocess.run(
                [sys.executable, "-c", code, f"{folder}/tr.zarr"], capture_output=True, text=True, check=True
            )
        print(out.stdout.strip())


MAKE = """
import sys, dask.array as da, numpy as np, xarray as xr
rng = da.random.default_rng(0)
path = np.linspace(0.0, 100.0, 101)
tr = {d: (("particle", "path"), rng.normal(size=(10**6, 101), chunks=(20_000, 101)).cumsum(1)) for d in "xyz"}
fixed = {"mean_Bx": 1.0, "mean_By": 0.0, "mean_Bz": 0.0, "B_rms": 1.0, "reference_field": 1.0}
xr.Dataset({**tr, **{k: ((), v) for k, v in fixed.items()}}, {"path": path}).to_zarr(sys.argv[1])
"""

RUN = """
import resource, sys, xarray as xr, mmfields as mm
k = mm.transport.running_diffusion(xr.open_zarr(sys.argv[1])).compute(scheduler="threads", num_workers=2)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(f"running_diffusion of 10^6 particles x 100 saves: kappa_xx = {float(k.kappa_xx[-1]):.3f} (0.5), "
      f"peak {peak:.2f} GB resident (at most 1)")
"""


def main() -> None:
    kernels(64)
    kernels(256)
    in_time(64)
    in_time(256)
    under_dask()
    processes()
    streaming()


if __name__ == "__main__":
    main()

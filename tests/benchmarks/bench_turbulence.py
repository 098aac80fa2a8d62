"""Plane waves against NumPy and against their own direct sum; Gaussian fields against their inverse transforms."""

import os
import statistics
import tempfile
import time

import dask
import numpy as np
from bench_cluster import Watch
from distributed import Client, LocalCluster
from scipy import fft

import mmfields as mm
from mmfields.kernels import sums, waves
from mmfields.kernels.batch import new_batch
from mmfields.kernels.setup import Interpolation, new_setup

MODES, POSITIONS = 1024, 6400


def seconds(call) -> float:
    began = time.perf_counter()
    result = call()
    took = time.perf_counter() - began
    del result
    return took


def against(reference, call, repeats: int = 5) -> str:
    """Median and range of the reference's time over that of a call."""
    reference(), call()
    ratios = sorted(seconds(reference) / seconds(call) for _ in range(repeats))
    return f"{statistics.median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def broadcast(field: mm.turbulence.PlaneWaves, places: np.ndarray) -> np.ndarray:
    m = field.modes
    k, a = (np.stack([m[n].values for n in names]) for names in (("kx", "ky", "kz"), ("ax", "ay", "az")))
    return np.cos(places @ k + m["phase"].values) @ a.T


def direct() -> None:
    field = mm.turbulence.plane_waves(MODES, k_min=1e-4, k_max=10.0, seed=1, error=0.0)
    places = np.random.default_rng(0).uniform(0, 1e3, size=(POSITIONS, 3))
    data, *parts = field.packed()
    rows, out = len(data) // waves.ROW, np.empty((POSITIONS, 3))
    parts = waves.Octaves(*parts)
    setup = new_setup((rows, 1, 1), np.zeros(3), np.ones(3), np.zeros(3, int), Interpolation.WAVES)

    def ours() -> None:
        sums.sample_sum(new_batch(), setup, data, parts, places, out)

    ratio = against(lambda: [broadcast(field, p) for p in np.split(places, POSITIONS // 64)], ours)
    each = min(seconds(ours) for _ in range(7)) / POSITIONS / MODES * 1e9
    print(
        f"sum of {MODES} waves, one core, times faster than np.cos by 64 positions: {ratio}   at least 20;"
        f"\n    best run {each:.2f} ns per wave and position; at most 0.75 with AVX-512, 1.3 with AVX2",
        flush=True,
    )


def by_octaves() -> None:
    """1024 log-spaced waves over ten decades, the shortest r_g / 3, in steps of r_g / 100."""
    radius = 1.0
    k_max = 2 * np.pi / (radius / 3)
    options = {"k_min": k_max * 1e-10, "k_max": k_max, "seed": 2}
    p = mm.particles.isotropic(64, gyroradius=radius, seed=1, field=mm.turbulence.plane_waves(2, **options))

    def traced(error: float, save: int = 1):
        field = mm.turbulence.plane_waves(MODES, **options, error=error)
        return mm.trace(field, p, step=0.01, distance=300.0, save=save)

    for error in (1e-4, 1e-6, 1e-8):
        ratio = against(
            lambda: traced(0.0).compute(scheduler="sync"), lambda e=error: traced(e).compute(scheduler="sync"), 3
        )
        print(
            f"tracing by octaves to {error:g}, times the rate of the direct sum: {ratio}   at least 3 at 1e-06",
            flush=True,
        )


def gaussian(n: int) -> None:
    """Against the inverse transforms of three spectra that are there already."""
    shape = (n, n, n)

    def ours() -> None:
        mm.turbulence.gaussian(n, seed=1, dtype=np.float32)

    spectrum = np.random.default_rng(0).standard_normal((n, n, n + 2), dtype=np.float32).view(np.complex64)

    def bare() -> list[np.ndarray]:
        with fft.set_workers(os.cpu_count()):
            return [fft.irfftn(spectrum, s=shape) for _ in range(3)]

    bare(), ours()
    ratios = sorted(seconds(ours) / seconds(bare) for _ in range(5))
    print(
        f"gaussian {n}^3 x 3 in memory, times its three inverse transforms: {statistics.median(ratios):4.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f})   at most 2.5",
        flush=True,
    )


def lazily(n: int) -> None:
    """To zarr on two workers of 2 GB."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("MMFIELDS_BENCH_DIR")) as name:
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=2 * 10**9, dashboard_address=None)
        with dask.config.set({"temporary-directory": name}), cluster, Client(cluster) as client:
            ds = mm.turbulence.gaussian(n, seed=1, dtype=np.float32, chunks={"z": max(1, n // 64)})
            tasks = len(ds.__dask_graph__())
            with Watch(client) as watch:
                mm.store(ds, os.path.join(name, "field.zarr"))
            print(
                f"gaussian {n}^3 x 3 ({12 * n**3 / 1e9:.1f} GB) to zarr: {tasks} tasks, peak of the workers together "
                f"{watch.peak / 1e9:.2f} GB, at most 4; {len(watch.lost)} lost, paused for {watch.paused:.0f} s",
                flush=True,
            )


def main() -> None:
    n = int(os.environ.get("MMFIELDS_BENCH_N", 1024))
    direct()
    by_octaves()
    gaussian(min(n, 512))
    lazily(n)


if __name__ == "__main__":
    main()

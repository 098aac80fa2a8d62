"""Tracing through a field that no worker may hold: N^3 x 3 from zarr, workers of 3 GB; MMFIELDS_BENCH_N is N.

Needs three and a half times the field on disk: its store, its blocks, and the whole field that is mapped for
comparison; and memory for that.
"""

import os
import tempfile
from pathlib import Path

import dask
import numpy as np
import xarray as xr
from bench_cluster import Watch, make, seconds
from distributed import Client, LocalCluster

import mmfields as mm
from mmfields.cluster.progress import TOPIC

PARTICLES = int(os.environ.get("MMFIELDS_BENCH_PARTICLES", 100_000))
RADIUS, STEP, DISTANCE, SAVE = 50.0, 0.5, 1000.0, 5
LIMIT = 3 * 10**9


def cluster(limit: int) -> LocalCluster:
    return LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=limit, dashboard_address=None)


def traced(ds: xr.Dataset, **options) -> xr.Dataset:
    p = mm.particles.isotropic(PARTICLES, gyroradius=RADIUS, seed=1, field=ds, reference_field=1.0)
    return mm.trace(ds, p, step=STEP, distance=DISTANCE, save=SAVE, **options)[["x", "y", "z", "vx", "vy", "vz", "B"]]


def main() -> None:
    n = int(os.environ.get("MMFIELDS_BENCH_N", 1024))
    size, steps = 12 * n**3, PARTICLES * DISTANCE / STEP
    limit = int(LIMIT * (n / 1024) ** 3) if n > 512 else 10**9
    with tempfile.TemporaryDirectory(dir=os.environ.get("MMFIELDS_BENCH_DIR")) as name:
        store = Path(name) / "field.zarr"
        with dask.config.set({"temporary-directory": name}):
            with cluster(limit) as two, Client(two) as client:
                make(store, n, 16)
                ds = xr.open_zarr(store)
                traced(ds.isel(x=slice(64), y=slice(64), z=slice(64)), block=32).compute()  # compiled
                with Watch(client) as watch:
                    reading = seconds(lambda: ds.sum().compute())
                    result = {}
                    took = seconds(lambda: result.update(divided=traced(ds, block=n // 4).compute()))
                (_, said), *_ = client.get_events(TOPIC)[::-1]
            with cluster(0) as two, Client(two):
                ds = xr.open_zarr(store)
                traced(ds.isel(x=slice(64), y=slice(64), z=slice(64)), block=64).compute()
                alone = seconds(lambda: result.update(whole=traced(ds).compute()))
    same = all(np.array_equal(result["divided"][v], result["whole"][v]) for v in result["whole"].data_vars)
    print(
        f"{PARTICLES} particles over {DISTANCE:g} cells of {n}^3 x 3 ({size / 1e9:.1f} GB), two workers of "
        f"{limit / 1e9:.2g} GB: {'the same bits as' if same else 'NOT the same as'} through the whole field\n"
        f"{said['rounds']} rounds, {said['handed']} particles handed on ({said['bytes'] / 1e6:.0f} MB); "
        f"{took:.0f} s, {took / reading:.1f} times reading the field; {steps / took / 1e6:.2f} million steps/s against "
        f"{steps / alone / 1e6:.2f} through the whole field in memory, packing included\n"
        f"peak of the workers together {watch.peak / 1e9:.2f} GB, {len(watch.lost)} lost, paused for "
        f"{watch.paused:.0f} s at most",
        flush=True,
    )


if __name__ == "__main__":
    main()

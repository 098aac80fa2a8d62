"""A trace through a series against reading each of its snapshots once and tracing as far through one, in CPU time.

MMFIELDS_BENCH_SNAPSHOTS snapshots of MMFIELDS_BENCH_N^3 cells (200 and 256 by default, which need 40 GB of disk).
"""

import os
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import dask
import numpy as np
import xarray as xr

import mmfields as mm

PARTICLES, STEPS = 100_000, 10  # steps from one snapshot to the next


def written(folder: Path, n: int, snapshots: int) -> None:
    """Series of white noise in float32, a snapshot a chunk, without compression."""
    rng, store = np.random.default_rng(0), folder / "series.zarr"
    for i in range(snapshots):
        fields = {f"B{d}": rng.standard_normal((n, n, n), dtype=np.float32) for d in "xyz"}
        one = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
        one = one.expand_dims(time=[float(i)])
        if i == 0:
            plain = {name: {"compressors": None, "chunks": (1, n, n, n)} for name in fields}
            one.to_zarr(store, encoding=plain, consolidated=False)
        else:
            one.to_zarr(store, append_dim="time", consolidated=False)


def read_all(series: xr.Dataset) -> None:
    """Each component of each snapshot, one after the other."""
    for i in range(series.sizes["time"]):
        for d in "xyz":
            series[f"B{d}"].isel(time=i).values  # noqa: B018


def cpu(call) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    n = int(os.environ.get("MMFIELDS_BENCH_N", 256))
    snapshots = int(os.environ.get("MMFIELDS_BENCH_SNAPSHOTS", 200))
    dask.config.set(scheduler="synchronous")
    with tempfile.TemporaryDirectory() as folder:
        # by another process, whose memory does not count here
        writer = get_context("spawn").Process(target=written, args=(Path(folder), n, snapshots))
        writer.start(), writer.join()
        series = xr.open_zarr(Path(folder, "series.zarr"), consolidated=False)
        first, distance = series.isel(time=0, drop=True), float(snapshots - 1)
        p = mm.particles.isotropic(PARTICLES, gyroradius=5.0, seed=1, field=first, reference_field=3**0.5)
        few = p.isel(particle=slice(64))
        options = {"step": 1.0 / STEPS, "save": 1}
        changing = {**options, "light_speed": 1.0, "evolve": True}
        mm.trace(series.isel(time=slice(0, 2)), few, distance=0.5, **changing).compute()
        mm.trace(first, few, distance=0.5, **options).compute()
        evolving = cpu(lambda: mm.trace(series, p, distance=distance, **changing).compute())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        reading = cpu(lambda: read_all(series))
        tracing = cpu(lambda: mm.trace(first, p, distance=distance, **options).compute())
        print(
            f"{snapshots} snapshots of {n}^3, {PARTICLES} particles: {evolving:.0f} s; {reading:.0f} s of reading and "
            f"{tracing:.0f} s of tracing through one, {evolving / (reading + tracing):.2f} times their sum (at most "
            f"1.3); {peak:.2f} GB resident, two snapshots are {2 * first.nbytes / 1e9:.2f} GB"
        )


if __name__ == "__main__":
    main()

"""Filtering more than memory holds: N^3 x 3 from zarr to zarr on two workers of 2 GB each; MMFIELDS_BENCH_N is N.

Needs three times the field on disk: its store, the result, and what the workers exchange.
"""

import os
import tempfile
import threading
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import psutil
import xarray as xr
from distributed import Client, LocalCluster
from scipy import fft

import mmfields as mm
from mmfields.fourier import pencils

WORKERS = 2
LIMIT = 2 * 10**9
OPTIONS = {"threads_per_worker": 1, "dashboard_address": None}


def seconds(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def states(dask_scheduler) -> dict[str, str]:
    return {worker.address: worker.status.name for worker in dask_scheduler.workers.values()}


class Watch:
    """Largest resident memory of the workers together, which of them are lost, and the longest pause of one."""

    def __init__(self, client: Client) -> None:
        self.client, self.peak, self.paused, self.done = client, 0, 0.0, threading.Event()
        self.since: dict[str, float] = {}
        self.before = {w["pid"] for w in client.run(lambda: {"pid": os.getpid()}).values()}

    def _look(self) -> None:
        processes = [psutil.Process(pid) for pid in self.before]
        while not self.done.wait(0.1):
            self.peak = max(self.peak, sum(p.memory_info().rss for p in processes if p.is_running()))
            now = time.perf_counter()
            for address, status in self.client.run_on_scheduler(states).items():
                self.since[address] = self.since.get(address, now) if status == "paused" else now
            self.paused = max(self.paused, max(now - began for began in self.since.values()))

    def __enter__(self) -> "Watch":
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.done.set()
        self.thread.join()
        now = self.client.run(lambda: {"pid": os.getpid()}).values()
        self.lost = self.before - {w["pid"] for w in now}


def make(path: Path, n: int, planes: int) -> None:
    """White noise with a mean field along x."""

    def noise(component: int):
        state = da.random.default_rng(component)
        return state.standard_normal((n, n, n), dtype=np.float32, chunks=(planes, n, n)) + np.float32(component == 0)

    fields = {f"B{c}": noise(i) for i, c in enumerate("xyz")}
    mm.store(mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x")), path)


def transforms(n: int) -> float:
    """Seconds of the bare transforms there and back of three components, in memory."""
    field = np.random.default_rng(0).standard_normal((n, n, n), dtype=np.float32)
    with fft.set_workers(os.cpu_count()):
        return 3 * seconds(lambda: fft.irfftn(fft.rfftn(field), s=field.shape, overwrite_x=True))


def main() -> None:
    n = int(os.environ.get("MMFIELDS_BENCH_N", 1024))
    planes = 16
    band = mm.fourier.band(k_par=(0, 1.0), k_perp=(0.1, 1.5))
    bare = transforms(n)
    with tempfile.TemporaryDirectory(dir=os.environ.get("MMFIELDS_BENCH_DIR")) as name:
        folder = Path(name)
        with (
            dask.config.set({"temporary-directory": name}),
            LocalCluster(
                n_workers=WORKERS, threads_per_worker=1, memory_limit=LIMIT, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            make(folder / "field.zarr", n, planes)
            ds = xr.open_zarr(folder / "field.zarr")
            copying = seconds(lambda: mm.store(ds, folder / "copy.zarr"))
            os.system(f"rm -r {folder / 'copy.zarr'}")
            filtered = mm.fourier.filter(ds, band, direction="x")
            tasks = len(filtered.__dask_graph__())
            with Watch(client) as watch:
                took = seconds(lambda: mm.store(filtered, folder / "filtered.zarr"))
            share = took / (copying + bare)
            print(
                f"filter of {n}^3 x 3 ({3 * 4 * n**3 / 1e9:.1f} GB) from zarr to zarr, {WORKERS} workers of "
                f"{LIMIT / 1e9:g} GB: {share:.2f} times copying the store ({copying:.0f} s) and bare transforms "
                f"({bare:.0f} s), at most 4; {tasks} tasks\n"
                f"peak of the workers together {watch.peak / 1e9:.2f} GB, {len(watch.lost)} lost, paused for "
                f"{watch.paused:.0f} s at most",
                flush=True,
            )
            plan_of(2048, band)


def plan_of(n: int, band: mm.fourier.Transfer) -> None:
    """What a larger field would take, on paper."""
    zeros = da.zeros((n, n, n), chunks=(64, n, n), dtype=np.float32)
    ds = mm.io.from_arrays(Bx=zeros + 1, By=zeros, Bz=zeros, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    began = time.perf_counter()
    graph = mm.fourier.filter(ds, band, direction="x").__dask_graph__()
    count, took = len(graph), time.perf_counter() - began
    plan = pencils.plan_of(np.dtype(np.float32), zeros.chunks, 3)
    block = plan.slab * n * n * 4
    print(
        f"{n}^3 x 3: {-(-n // plan.slab)} slabs and as many pencils of {block / 1e6:.0f} MB a component, four blocks "
        f"a task ({4 * block / 1e9:.2f} GB); {count} tasks built in {took:.2f} s, at most 50000 in 5 s",
        flush=True,
    )


if __name__ == "__main__":
    main()

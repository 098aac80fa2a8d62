"""Filters and spectra of a 512^3 field over the bare transforms of the same arrays with the same threads."""

import os
import statistics
import sys
import threading
import time

import dask
import numpy as np
from scipy import fft

import mmfields as mm

N = 512

BUILT = {
    "fft": lambda ds: mm.fourier.ifft(mm.fourier.fft(ds.Bx)),
    "filter": lambda ds: mm.fourier.filter(ds, mm.fourier.band(k_perp=(0, 1))),
    "project": mm.fourier.project,
    "helmholtz": mm.fourier.helmholtz,
    "curl": mm.fourier.curl,
    "divergence": mm.fourier.divergence,
    "vector_potential": mm.fourier.vector_potential,
    "power": mm.spectra.power,
    "power2d": mm.spectra.power2d,
    "reduced": lambda ds: mm.spectra.reduced_spectrum(ds, axis="x"),
    "correlation": lambda ds: mm.spectra.correlation(ds, axis="x"),
    "cross": lambda ds: mm.spectra.cross(ds, "Bx", "By"),
    "coherence": lambda ds: mm.spectra.coherence(ds, "Bx", "By"),
}


def seconds(call) -> float:
    began = time.perf_counter()
    result = call()
    took = time.perf_counter() - began
    del result
    return took


def touch(gigabytes: int) -> None:
    """Use so much memory once: the first touch of a virtual machine's page is slow, and would be anyone's."""
    blocks = [np.ones(1 << 28, np.float32) for _ in range(gigabytes)]
    del blocks


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_of(call) -> int:
    """Largest resident memory while a call runs, its result included."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], resident())

    thread = threading.Thread(target=watch)
    thread.start()
    result = call()
    done.set()
    thread.join()
    del result
    return peak[0]


def compare(what: str, call, reference, limit: float, repeats: int = 5) -> None:
    call(), reference()
    ratios = sorted(seconds(call) / seconds(reference) for _ in range(repeats))
    median = statistics.median(ratios)
    print(f"{what:58s} {median:5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})   at most {limit}", flush=True)


def main() -> None:
    n = int(os.environ.get("MMFIELDS_BENCH_N", N))
    touch(12)
    rng = np.random.default_rng(0)
    fields = {f"B{c}": rng.standard_normal((n, n, n), dtype=np.float32) + (c == "x") for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    band = mm.fourier.band(k_par=(0, 1.0), k_perp=(0.1, 1.5))
    lazy = ds.chunk(z=64)
    workers = os.cpu_count()

    def there_and_back() -> None:
        with fft.set_workers(workers):
            for field in fields.values():
                fft.irfftn(fft.rfftn(field), s=field.shape, overwrite_x=True)

    def there() -> None:
        with fft.set_workers(workers):
            for field in fields.values():
                fft.rfftn(field)

    def whole():
        return mm.fourier.filter(ds, band, direction="x")

    def chunked():
        return mm.fourier.filter(lazy, band, direction="x").compute()

    compare(f"filter of {n}^3 x 3 in memory, over rfftn + irfftn", whole, there_and_back, 1.6)
    before = resident()
    component = n**3 * 4
    peak = (peak_of(whole) - before) / component - 3
    print(f"{'peak memory beyond input and output, in components':58s} {peak:5.2f}   at most 3.2", flush=True)
    with dask.config.set(scheduler="threads", num_workers=workers):
        compare("the same in 64-plane slabs, threaded scheduler", chunked, there_and_back, 3.0)
    compare("power2d in memory, over its three rfftn", lambda: mm.spectra.power2d(ds), there, 2.0)
    huge = dask.array.zeros((4096, 4096, 4096), chunks=(64, 4096, 4096), dtype=np.float32)
    big = mm.io.from_arrays(Bx=huge + 1, By=huge, Bz=huge, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    for chunks in ((64, 4096, 4096), (256, 256, 256)):
        cubes = big.chunk(dict(zip("zyx", chunks, strict=True)))
        took = {
            name: statistics.median(seconds(lambda call=call, cubes=cubes: call(cubes)) for _ in range(3))
            for name, call in BUILT.items()
        }
        worst = max(took, key=took.get)
        print(f"building {len(took)} of them on 4096^3 in chunks of {chunks}: at most {took[worst]:.2f} s ({worst})")


if __name__ == "__main__":
    sys.exit(main())

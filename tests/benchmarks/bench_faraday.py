"""Rotation-measure maps over reading the same store, and polarization over NumPy's broadcasting."""

import os
import statistics
import tempfile
import threading
import time

import dask.array as da
import numpy as np
import xarray as xr

import mmfields as mm

UNITS = {**{f"B{c}": "uG" for c in "xyz"}, "n": "cm-3", "length": "pc"}
WAVES = np.linspace(0.01, 0.3, 64)


def seconds(call) -> float:
    began = time.perf_counter()
    result = call()
    took = time.perf_counter() - began
    del result
    return took


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth_of(call) -> float:
    """Largest resident memory while a call runs, beyond that before it, in GB."""
    before, peak, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], resident())

    thread = threading.Thread(target=watch)
    thread.start()
    call()
    done.set()
    thread.join()
    return (peak[0] - before) / 1e9


def by_numpy(depth: np.ndarray) -> np.ndarray:
    """Internal emission of a few planes, for all wavelengths at once."""
    above = depth[::-1].cumsum(axis=0)[::-1] - depth / 2
    out = np.zeros((len(WAVES), *depth.shape[1:]), complex)
    for plane, own in zip(above, depth, strict=True):
        wave = WAVES[:, None, None]
        out += np.exp(2j * wave * plane) * np.sinc(wave * own / np.pi)
    return out


def main() -> None:
    n = int(os.environ.get("MMFIELDS_BENCH_N", 1024))
    with tempfile.TemporaryDirectory() as folder:
        chunk = (32, n, n)  # the largest that the readers make of 1024^3
        field = da.random.default_rng(0).normal(size=(n, n, n), chunks=chunk).astype(np.float32)
        parts = {"Bx": field, "By": field, "Bz": field, "n": abs(field)}
        ds = mm.io.from_arrays(**parts, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x"), units=UNITS)
        store = os.path.join(folder, "box.zarr")
        ds[["Bz", "n"]].to_zarr(store, encoding={v: {"compressors": None} for v in ("Bz", "n")})
        opened = xr.open_zarr(store)
        opened = opened.assign(Bx=opened.Bz, By=opened.Bz)

        def read() -> None:
            for name in ("Bz", "n"):
                opened[name].data.map_blocks(lambda b: np.empty((1, 1, 1)), chunks=(1, 1, 1), dtype=float).compute()

        def made() -> None:
            mm.faraday.rotation_measure(opened).compute()

        read(), made()
        ratios = sorted(seconds(read) / seconds(made) for _ in range(5))
        print(
            f"rotation measure of {n}^3 from a store, share of the read rate: {statistics.median(ratios):4.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})   at least 0.8; memory {growth_of(made):.2f} GB   at most 1",
            flush=True,
        )
    m = min(n, 512)
    rng = np.random.default_rng(0)
    fields = {f"B{c}": rng.standard_normal((32, m, m), dtype=np.float32) for c in "xyz"}
    ds = mm.io.from_arrays(
        **fields,
        n=np.full((32, m, m), 0.01, np.float32),
        spacing=dict.fromkeys("xyz", 1.0),
        dims=("z", "y", "x"),
        units=UNITS,
    )
    depth = (ds.Bz * ds.n).values.astype(float) * mm.faraday.RM_CONSTANT

    def ours(waves: np.ndarray = WAVES) -> None:
        mm.faraday.polarization(ds, wavelength_sq=waves, emission="internal")

    count, os.cpu_count = os.cpu_count, lambda: 1  # NumPy's broadcasting runs on one core
    ours()
    ratios = sorted(8 * seconds(lambda: by_numpy(depth[:4])) / seconds(ours) for _ in range(5))
    print(
        f"internal emission at 64 wavelengths on {m}^2 pixels, one core each, times faster than NumPy: "
        f"{statistics.median(ratios):4.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})   at least 8",
        flush=True,
    )
    os.cpu_count = count
    maps = [growth_of(lambda w=w: ours(WAVES[:w])) / (w * m * m * 16 / 1e9) for w in (16, 64)]
    print(f"its memory, in multiples of the output, for 16 and 64 wavelengths: {maps[0]:.1f} and {maps[1]:.1f}")


if __name__ == "__main__":
    main()

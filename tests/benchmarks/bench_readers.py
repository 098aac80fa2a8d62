"""Reading a whole 256^3 ten-variable snapshot against the bare bytes, one plane, and a series of 500."""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from builders import athdf, nbf

import mmfields as mm

NAMES = ("dens", "mom1", "mom2", "mom3", "Bcc1", "Bcc2", "Bcc3", "Ecc1", "Ecc2", "Ecc3")
N = 256
PLANE_VARIABLE = "Bx"
ENGINES = {".nbf": "pegasus", ".athdf": "athdf"}


def bytes_read() -> int:
    """Bytes that this process has asked the kernel for."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


def seconds(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def ratio(call, reference, repeats: int = 9) -> tuple[float, float, float]:
    """Median, least and greatest ratio over alternating repeats, after one warm-up of each."""
    call(), reference()
    ratios = sorted(seconds(call) / seconds(reference) for _ in range(repeats))
    return statistics.median(ratios), ratios[0], ratios[-1]


def plainly(path: Path) -> None:
    """The bytes of the file, variable by variable's worth: memory is touched as often as by `whole`."""
    with open(path, "rb") as file:
        for _ in NAMES:
            np.fromfile(file, np.float32, N**3)


def plainly_hdf5(path: Path) -> None:
    with h5py.File(path) as file:
        for i in range(len(NAMES)):
            _ = file["cons"][i]


def report(what: str, measured: tuple[float, float, float], limit: float) -> None:
    median, low, high = measured
    print(f"{what:58s} {median:5.2f} ({low:.2f} to {high:.2f})   at most {limit}", flush=True)


def whole(path: Path) -> None:
    ds = xr.open_dataset(path, engine=ENGINES[path.suffix], cache=False, drop_variables=["ux", "uy", "uz"])
    for name in ds.data_vars:
        _ = ds[name].values  # not kept: as much memory is touched for the first time as by the reference


def planes(path: Path, block: int) -> None:
    """Bytes of opening and of one plane, over the bytes of the meshblocks that the plane touches."""
    touched = (N // block) ** 2 * block**3 * 4
    blocks = (N // block) ** 3
    before = bytes_read()
    ds = mm.open_snapshot(path, chunks=None)
    opening = bytes_read() - before
    for axis in "zyx":
        before = bytes_read()
        _ = ds[PLANE_VARIABLE].isel({axis: N // 3}).values
        reading = bytes_read() - before
        print(
            f"{path.name}, {blocks} blocks: opening {opening / 1e6:.3f} MB, a plane across {axis} "
            f"{reading / touched:.3f}, with opening {(opening + reading) / touched:.3f} of the blocks it touches",
            flush=True,
        )


def main() -> None:
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(len(NAMES), N, N, N)).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for block in (32, 128):
            path = nbf(folder / f"b{block}.nbf", fields, (block,) * 3, names=NAMES)
            measured = ratio(partial(whole, path), partial(plainly, path))
            report(f"whole NBF, {block}^3 blocks, over np.fromfile", measured, 1.3)
            planes(path, block)
            path.unlink()
            path = athdf(folder / f"b{block}.athdf", fields, (block,) * 3, names=NAMES)
            measured = ratio(partial(whole, path), partial(plainly_hdf5, path))
            report(f"whole athdf, {block}^3 blocks, over h5py", measured, 1.3)
            planes(path, block)
            path.unlink()
        series(folder)


def series(folder: Path) -> None:
    """Opening 500 files: how often each is opened."""
    small = np.zeros((len(NAMES), 8, 8, 8), np.float32)
    for i in range(500):
        nbf(folder / f"s{i:03d}.nbf", small, (8, 8, 8), names=NAMES, time=float(i))
    size = (folder / "s000.nbf").stat().st_size
    header = size - 4 * small.size
    before = bytes_read()
    took = seconds(lambda: mm.open_series(folder / "s*.nbf"))
    each = (bytes_read() - before) / 500
    plain = seconds(lambda: [(folder / f"s{i:03d}.nbf").read_bytes()[:header] for i in range(500)])
    print(
        f"series of 500: {each:.0f} bytes read of each file (its headers hold {header}, the file {size}); "
        f"{took / plain:.0f} times the time of reading the headers plainly"
    )


if __name__ == "__main__":
    main()

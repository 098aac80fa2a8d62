"""Structure functions over NumPy's fancy indexing, one core each; scales over their bare transforms."""

import os
import statistics
import time
from dataclasses import replace

import numpy as np
from scipy import fft

import mmfields as mm
from mmfields.anisotropy import pairing, separations
from mmfields.conventions import Grid

PAIRS = 100_000_000
BATCH = 1_000_000  # pairs that NumPy takes at a time, so that its temporaries stay small


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


def snapshot(n: int):
    rng = np.random.default_rng(0)
    fields = {f"B{c}": rng.standard_normal((n, n, n), dtype=np.float32) + np.float32(c == "x") for c in "xyz"}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x"))


def by_numpy(fields: list[np.ndarray], lags: np.ndarray, edges: np.ndarray, cosines: np.ndarray, pairs: int):
    """The same two tables of the same kind of pairs, written as one would in NumPy."""
    rng, n = np.random.default_rng(1), fields[0].shape[0]
    shapes = [(len(edges), len(edges)), (len(edges), len(cosines))]
    sums = [np.zeros((2, a * b)) for a, b in shapes]
    for _ in range(pairs // BATCH):
        z, y, x = rng.integers(0, n, (3, BATCH))
        lag = lags[rng.integers(0, len(lags), BATCH)]
        there = (z + lag[:, 0]) % n, (y + lag[:, 1]) % n, (x + lag[:, 2]) % n
        here = [f[z, y, x] for f in fields]
        other = [f[there] for f in fields]
        square = sum((b - a) ** 2 for a, b in zip(here, other, strict=True))
        mean = [a + b for a, b in zip(here, other, strict=True)]
        length = np.sqrt((lag**2).sum(axis=1))
        strength = np.sqrt(sum(m**2 for m in mean))
        along = abs(lag[:, 2] * mean[0] + lag[:, 1] * mean[1] + lag[:, 0] * mean[2]) / strength
        across = np.sqrt(np.maximum(length**2 - along**2, 0.0))
        tables = [(across, edges, along, edges), (length, edges, along / length, cosines)]
        for (a, bins_a, b, bins_b), (_, columns), total in zip(tables, shapes, sums, strict=True):
            place = (
                (np.searchsorted(bins_a, a, side="right") - 1) * columns + np.searchsorted(bins_b, b, side="right") - 1
            )
            total[0] += np.bincount(place, minlength=total.shape[1])[: total.shape[1]]
            total[1] += np.bincount(place, square, minlength=total.shape[1])[: total.shape[1]]
    return sums


def main() -> None:
    n = int(os.environ.get("MMFIELDS_BENCH_N", 512))
    touch(12)
    small = snapshot(min(n, 256))
    pairs = PAIRS if n == 512 else PAIRS // 50
    for points in (2, 5):
        grid, asked = Grid.of(small), {"lags": None, "reach": None, "bins": 16, "angles": 6}
        spread = separations.separations_of(grid, points=points, seed=0, **asked)
        rest = {"order": 2, "frame": "local", "subvolumes": 3}
        plan = separations.plan_of(grid, spread, points=points, pairs=pairs, seed=0, **rest)
        plan = replace(plan, names=("Bx", "By", "Bz"), values=(0, 3))
        fields, axis = [small[f"B{c}"].values for c in "xyz"], np.array([1.0, 0.0, 0.0])
        cells, core = pairing._packed(*fields, plan=plan), tuple((0, m) for m in plan.grid.shape)
        cosines = np.cos(np.radians(plan.turns[::-1]))
        pairing._block(cells, axis, plan=replace(plan, pairs=1000), core=core)
        ratios = []
        for _ in range(3):
            ours = seconds(lambda: pairing._block(cells, axis, plan=plan, core=core)) / pairs  # noqa: B023
            few = max(BATCH, pairs // 25)
            theirs = seconds(lambda: by_numpy(fields, plan.lags, plan.edges, cosines, few)) / few  # noqa: B023
            ratios.append(theirs / ours)
        limit = "at least 10" if points == 2 else "(NumPy with two points)"
        print(
            f"structure function, {points} points, {pairs:.0e} pairs on {min(n, 256)}^3, times faster than NumPy: "
            f"{statistics.median(ratios):5.1f} ({min(ratios):.1f} to {max(ratios):.1f})   {limit}",
            flush=True,
        )
    del small
    ds = snapshot(n)
    field, shape = ds["Bx"].values, ds["Bx"].shape

    def transforms(back: int) -> None:
        spectrum = fft.rfftn(field, workers=-1)
        for _ in range(back):
            fft.irfftn(spectrum, s=shape, workers=-1)

    for what, options, back in (("without errors", {"subvolumes": 0}, 0), ("with errors", {}, 8)):
        mm.anisotropy.scales(ds, **options), transforms(back)
        ratios = sorted(
            seconds(lambda: mm.anisotropy.scales(ds, **options)) / seconds(lambda: transforms(back))  # noqa: B023
            for _ in range(5)
        )
        print(
            f"scales of {n}^3, {what}, over its {1 + back} transforms: {statistics.median(ratios):5.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})   at most 2",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Kernels give the same bits on processors that fuse multiply and add and on those that do not, on old and new ones."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib
import numpy as np
from numba import njit
from mmfields.kernels import faraday, moments
from mmfields.kernels.batch import BATCH, LANES
from mmfields.kernels.eights import MANY
from mmfields.kernels.vectors import four_cells, four_pairs, weighted_rows, weighted_sum, widest
from mmfields.kernels.waves import ROW, TERMS, add_cubic, add_waves

rng, found = np.random.default_rng(3), []

@njit
def sums(data, weights):
    rows, cells = (0, 30, 60, 90), (0, 3, 6, 9)
    w, v = (weights[0], weights[1], weights[2], weights[3]), (weights[4], weights[5], weights[6], weights[7])
    return weighted_sum(data, rows, cells, w, v), weighted_rows(data, rows, w), four_cells(data, rows, w, v)

@njit
def pairs(data, weights):
    widest()
    w, v = (weights[0], weights[1], weights[2], weights[3]), (weights[4], weights[5], weights[6], weights[7])
    return four_pairs(data, (0, 30, 60, 90), w, v)

@njit
def wave(batch, rows, cubic):
    b = batch[0]
    add_waves(b, rows, 0)
    add_cubic(b, cubic, b.bx)

for kind in (np.float32, np.float64):
    numbers, weights = rng.normal(size=200).astype(kind), rng.normal(size=8)
    found.append(np.concatenate([*sums(numbers, weights), pairs(numbers, weights)]))
    a, b, c, n = (rng.normal(size=(3, 5, 2 * MANY + 3)).astype(kind) for _ in range(4))
    edges = tuple(np.array([[0, m, 0]]) for m in a.shape)
    boxes, two, whole = np.zeros((1, 1, 1, moments.MOMENTS)), np.zeros((1, 1, 1, 2)), np.zeros(3)
    moments.add_moments((a, b, c, n), rng.normal(size=4), rng.normal(size=3), edges, boxes)
    moments.add_products(a, n, edges, two)
    moments.add_sums(b, 0, 3, whole)
    found += [boxes, two, whole]
batch = np.zeros(1, BATCH)
batch["lanes"] = LANES
for name in ("x", "y", "z", "ex", "ey", "ez"):
    batch[name] = rng.normal(size=LANES)
wave(batch, rng.normal(size=4 * ROW), rng.normal(size=TERMS * LANES))
found += [batch[f"b{d}"] for d in "xyz"]
light = np.zeros((2, 40))
faraday.emit(*rng.normal(size=(5, 40)), 0.7, *light)
found.append(light)
print(hashlib.sha256(b"".join(np.ascontiguousarray(f).tobytes() for f in found)).hexdigest())
"""


def printed(folder, name):
    """What the program prints when it is compiled for a processor."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / (name or "own"))}
    environment.pop("NUMBA_CPU_NAME", None)
    if name:
        environment |= {"NUMBA_CPU_NAME": name}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """What is printed when compiled for this processor."""
    return printed(tmp_path_factory.mktemp("cache"), None)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the names of processors are those of x86-64")
@pytest.mark.parametrize("name", ["generic", "haswell"])
def test_the_bits_are_those_of_this_processor(tmp_path, own, name):
    assert printed(tmp_path, name) == own

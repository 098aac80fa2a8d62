"""Fields that are sums at the particles, against the sums as one would write them down."""

import numpy as np
from kernel_runs import new_batch, setup_of, values_at

from mmfields.kernels import sums, waves
from mmfields.kernels.setup import Interpolation

DIRECTLY = waves.Octaves(np.zeros(1, np.int64), np.zeros(0), np.zeros(0))


def test_waves_are_cosines():
    rng = np.random.default_rng(2)
    k, a, phase = rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), rng.random(5)
    data = np.zeros((8, 8))  # filled up to a multiple of four
    data[:5, :7] = np.vstack([k, phase, a]).T
    places, out = rng.normal(size=(40, 3)) * 30, np.empty((40, 3))
    setup = setup_of((1, 1, 8), kind=Interpolation.WAVES)
    sums.sample_sum(new_batch(), setup, data.ravel(), DIRECTLY, places, out)
    want = np.cos(2 * np.pi * (places @ k + phase)) @ a.T
    np.testing.assert_allclose(out, want, atol=2e-12)
    turns = np.linspace(-0.5, 0.5, 101)
    got = [waves.cosine(t) for t in turns]
    np.testing.assert_allclose(got, np.cos(2 * np.pi * turns), atol=1e-13)


def test_nested_grids_are_added():
    rng = np.random.default_rng(6)
    cubes = [rng.normal(size=(n, n, n, 3)) for n in (4, 6)]
    data = np.concatenate([np.append(c.ravel(), 0.0) for c in cubes])
    begins = np.array([0, 193, len(data)])
    parts = waves.Octaves(begins, np.array([4 / 10.0, 6 / 3.0]), np.array([4.0, 6.0]))
    places, out, want = rng.normal(size=(70, 3)) * 20, np.empty((70, 3)), 0.0
    setup = setup_of((1, 1, 2), kind=Interpolation.NESTED)
    sums.sample_sum(new_batch(), setup, data, parts, places, out)
    for cube, width in zip(cubes, (10.0, 3.0), strict=True):
        want = want + values_at(cube, places, width=np.full(3, width / len(cube)))
    np.testing.assert_allclose(out, want, atol=1e-14)

"""Scattering: the published generator, its deviates, and the law of the angles."""

import numpy as np
import pytest
from kernel_runs import INTERPRETED, LANES, batch_of, on_batch

from mmfields.kernels import scatter


def test_threefry_gives_the_published_words():
    """Known answers of the Random123 library."""
    for key, counter, want in (
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ):
        with np.errstate(over="ignore"):
            got = scatter.threefry(*(np.uint32(w) for w in (*key, *counter)))
        assert tuple(int(w) for w in got) == want


def test_own_functions_are_those_of_the_library():
    for u in np.linspace(-2.3, 2.3, 51, dtype=np.float32):
        want = np.sin(2 * np.pi * float(u)), np.cos(2 * np.pi * float(u))
        np.testing.assert_allclose(scatter.sine_cosine(u), want, atol=5e-7)
    for x in np.array([2.0**-24, 0.1, 0.5, 0.7071, 0.70711, 1 - 2.0**-24, 1.0, 1.5], np.float32):
        assert scatter.logarithm(x) == pytest.approx(np.log(float(x)), rel=3e-7)


def test_polar_angles_are_gaussian_and_azimuths_uniform():
    """By their moments, from the words themselves: a grid of them stands for all."""
    n = 4096 if not INTERPRETED else 32
    rng = np.random.default_rng(3)
    angle, turned = 0.1, []
    for _ in range(n):
        word0, word1 = rng.integers(0, 2**32, (2, LANES), np.uint32)
        b = batch_of(LANES, vz=1.0, angle=angle / (2 * np.pi), word0=word0, word1=word1)
        with np.errstate(over="ignore"):
            on_batch(scatter.deflect, b)
        turned.append(np.stack([b[name][0] for name in ("vx", "vy", "vz")]))
    x, y, z = np.concatenate(turned, 1)
    theta, count = np.arccos(np.minimum(z, 1)), n * LANES
    for power, moment in ((2, 1), (4, 3), (6, 15)):
        scatter_of = np.sqrt({2: 2, 4: 96, 6: 10170}[power] / count)
        assert (theta**power).mean() / angle**power == pytest.approx(moment, abs=4 * scatter_of)
    azimuth = np.arctan2(y, x)
    for m in (1, 2, 3, 4, 8):
        assert abs(np.exp(1j * m * azimuth).mean()) < 4 / np.sqrt(count)


def test_deflections_have_the_exact_mean_cosine_and_are_isotropic_about_the_direction():
    count = 1200 if not INTERPRETED else 40
    total, square, angle = np.zeros(3), 0.0, 0.5
    for step in range(count):
        keys = np.arange(LANES)
        b = batch_of(LANES, vx=0.48, vy=-0.6, vz=0.64, key0=keys, key1=keys + 7, count0=step)
        b["angle"] = angle / (2 * np.pi)
        with np.errstate(over="ignore"):
            on_batch(scatter.draw, b)
        on_batch(scatter.deflect, b)
        v = np.stack([b[name][0] for name in ("vx", "vy", "vz")])
        total += v.sum(axis=1)
        square += (v**2).sum()
    n = count * LANES
    assert square / n == pytest.approx(1, abs=1e-14)
    mean = total / n
    along = np.array([0.48, -0.6, 0.64])
    assert mean @ along == pytest.approx(np.exp(-(angle**2) / 2), abs=4 * 0.16 / np.sqrt(n))
    assert np.linalg.norm(mean - (mean @ along) * along) < 4 * 0.47 / np.sqrt(n)

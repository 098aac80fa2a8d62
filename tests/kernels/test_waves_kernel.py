"""Sums of plane waves, directly and by octaves."""

import numpy as np
import pytest
import xarray as xr
from kernel_runs import FEW, INTERPRETED, batch_of, on_batch

from mmfields.kernels import waves


def random_waves(rng, octaves=12, each=8):
    """Rows, octaves and their bounds for an error of 1, of waves whose lengths halve from octave to octave."""
    from mmfields.turbulence.waves import PlaneWaves

    size = 2 * np.pi * 2.0 ** -np.repeat(np.arange(octaves), each) * rng.uniform(0.6, 1, octaves * each)
    k, a = rng.normal(size=(2, 3, octaves * each))
    k *= size / np.linalg.norm(k, axis=0)
    columns = dict(zip(("kx", "ky", "kz", "ax", "ay", "az"), [*k, *a], strict=True))
    modes = xr.Dataset({n: ("mode", v) for n, v in {**columns, "phase": rng.random(octaves * each) * 6}.items()})
    return PlaneWaves(modes, (0.1, 0.2, 0.3), error=1e-5)


@pytest.mark.parametrize("steps", [5, 400])
def test_waves_by_octaves_are_all_waves_to_the_bound(steps):
    """Along curved paths, at every step."""
    rng = np.random.default_rng(4)
    field = random_waves(rng)
    data, *parts = field.packed()
    parts, step = waves.Octaves(*parts), 0.02
    levels = waves.new_levels(parts)
    position, batches = rng.normal(size=(3, FEW)) * 50, batch_of(FEW)
    many, worst = waves.plan_levels(parts, step, steps, levels), 0.0
    assert (many > 2) == (steps == 400)
    batches["many"] = many
    for s in range(min(steps, 40) if INTERPRETED else steps):
        turn = 0.05 * s + np.arange(FEW)
        position = position + step * np.stack([np.cos(turn) * 0.6, np.sin(turn) * 0.6, 0.8 + 0 * turn])
        batches["position"][0, :, :FEW] = position
        on_batch(waves.waves_by_level, batches, data, len(data) // 8, parts, levels, s)
        found = np.stack([batches[name][0, :FEW] for name in ("bx", "by", "bz")], -1)
        worst = max(worst, np.abs(found - field.at(*position)).max())
    assert worst < 1e-5 * field.rms
    assert worst > 1e-12 or many == 0

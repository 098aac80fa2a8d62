"""Functions that a kernel calls, and what it does about values that are not finite."""

import numpy as np
import pytest

from mmfields.kernels import evolving, own, saved, trace
from mmfields.kernels.batch import PARTICLE, new_batch
from mmfields.kernels.setup import Interpolation, new_setup

COUNT = 5


def look(function, timed, driven, rows=None, path=0.7):
    """Places (n, 3), fields (n, 6), and the window after a look at a path."""
    places = np.random.default_rng(1).uniform(-3, 3, (COUNT, 3))
    particles = np.zeros(COUNT, PARTICLE)
    for d, values in zip("xyz", places.T, strict=True):
        particles[d] = values
    particles["vx"] = particles["momentum"] = particles["rigidity"] = particles["alive"] = 1
    plan, window = np.zeros(1, trace.INTERVAL), np.zeros(1, evolving.WINDOW)
    plan["end"], window["inverse"] = path, 2.0
    data = np.zeros(1) if rows is None else rows
    data.flags.writeable = False
    count = 1 if rows is None else len(rows) // evolving.WAVE
    setup = new_setup((count, 1, 1), np.zeros(3), np.ones(3), np.zeros(3, int), Interpolation.FUNCTION, pusher=driven)
    kept = {"always", "local", *(("driven",) if driven else ())}
    out = saved.Saved(*(np.zeros((COUNT, 1) if n in kept else (0, 0), k) for n, k in saved.KINDS._asdict().items()))
    loop = own.loop_over(function, timed, driven)
    fields = evolving.Pair(data, np.zeros(1) if driven else None, None, own.address_of(loop))
    evolving.trace_evolving(new_batch(), setup, window, fields, particles, np.arange(COUNT), plan, out)
    b = np.stack([out.local[f"b{d}"] for d in "xyz"], -1) * out.always["B"][..., None]
    e = np.stack([out.driven[f"e{d}"] for d in "xyz"], -1) if driven else np.zeros((COUNT, 1, 3))
    return places, np.concatenate([b, e], -1)[:, 0], window


def test_fields_are_the_functions_values():
    places, found, window = look(lambda x, y, z: (y, 2.0 * z, -x), False, False)
    x, y, z = places.T
    np.testing.assert_allclose(found[:, :3], np.stack([y, 2 * z, -x], 1), rtol=1e-15)
    assert not window["odd"]
    _, found, _ = look(lambda x, y, z, time: (y, z, time, x * time, 1.0, z), True, True)
    np.testing.assert_allclose(found, np.stack([y, z, 1.4 + 0 * x, 1.4 * x, 1 + 0 * x, z], 1), rtol=1e-15)


def test_waves_are_added_to_a_function():
    row = np.array([0.1, -0.2, 0.05, 0.3, 1.0, -2.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    places, found, _ = look(lambda x, y, z: (y, z, x), False, False, row)
    c = np.cos(2 * np.pi * (places @ row[:3] + row[3]))
    np.testing.assert_allclose(found[:, :3], places[:, [1, 2, 0]] + c[:, None] * row[4:7], atol=1e-12)


@pytest.mark.parametrize("driven", [False, True])
def test_the_first_value_that_is_not_finite_is_told(driven):
    def odd(x, y, z, time):
        return y, z, np.sqrt(-1.0 - x * x)

    def odd_electric(x, y, z, time):
        return y, z, x, 0.0, 0.0, np.inf

    with np.errstate(invalid="ignore"):
        places, _, window = look(odd_electric if driven else odd, True, driven)
    assert window["odd"] == 1
    np.testing.assert_array_equal(window["where"][0], [*places[0], 1.4])

"""One formula each: exact identities of the kernels, small enough to run interpreted too."""

import numpy as np
import pytest

from mmfields.kernels.interpolate import bracket, linear
from mmfields.kernels.push import boris
from mmfields.kernels.trace import trace_block

ALL = np.array([True, True, True])


def uniform(strength=(0.0, 0.0, 1.0)):
    return np.broadcast_to(np.array(strength), (2, 3, 4, 3)).copy()


def traced(field, position, direction, rigidity, step, count, saves=1, periodic=ALL, origin=(0, 0, 0), width=(1, 1, 1)):
    return trace_block(
        field,
        np.array(origin, float),
        np.array(width, float),
        periodic,
        np.array([position], float),
        np.array([direction], float),
        float(rigidity),
        np.full(saves, float(step)),
        np.full(saves, count),
    )[:, 0]


def test_bracket_wraps_or_clamps():
    assert bracket(-0.25, 5, True) == (4, 0, 0.75)
    assert bracket(4.5, 5, True) == (4, 0, 0.5)
    assert bracket(12.25, 5, True) == (2, 3, 0.25)
    assert bracket(-0.25, 5, False)[:2] == (0, 0)
    assert bracket(4.5, 5, False)[:2] == (4, 4)
    assert bracket(0.0, 1, True)[:2] == (0, 0)


def test_linear_reproduces_a_trilinear_polynomial_in_each_axis():
    z, y, x = np.meshgrid(np.arange(4.0), np.arange(5.0), np.arange(6.0), indexing="ij")
    field = np.stack([1 + 2 * x, y * x - z, z * y * x], axis=-1)
    for k, j, i in ((0.3, 2.7, 4.1), (2.9, 0.0, 3.0), (1.5, 1.25, 0.75)):
        got = linear(field, k, j, i, ALL)
        assert got == pytest.approx((1 + 2 * i, j * i - k, k * j * i))


def test_boris_keeps_the_speed_and_the_field_component():
    v = boris(0.6, 0.0, 0.8, 0.0, 0.0, 0.7)
    assert sum(c * c for c in v) == pytest.approx(1, abs=1e-15)
    assert v[2] == pytest.approx(0.8, abs=1e-15)
    assert np.arctan2(-v[1], v[0]) == pytest.approx(2 * np.arctan(0.7), abs=1e-14)


def test_orbit_lies_on_the_gyroradius_and_turns_as_the_exact_law_says():
    """Drift-kick-drift: radius exact, phase per step 2 atan(Ω dt / 2), relative error -(Ω dt)²/12."""
    step, count = 0.3, 40
    out = traced(uniform(), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 1.0, step, 1, saves=count)
    # a positive charge turns clockwise about B; the kick acts in the middle of the drift, so the
    # polygon's vertices lie on a circle whose chord is the drift
    phase = 2 * np.arctan(step / 2)
    turned = np.unwrap(np.arctan2(-out[4], out[3]))
    np.testing.assert_allclose(turned, phase * np.arange(1, count + 1), atol=1e-12)
    assert phase / step - 1 == pytest.approx(-(step**2) / 12, rel=0.03)
    radius = np.hypot(out[0] - 0.0, out[1] + 1.0)
    np.testing.assert_allclose(radius, 1.0, atol=1e-13)
    np.testing.assert_allclose(out[3] ** 2 + out[4] ** 2 + out[5] ** 2, 1.0, atol=1e-14)


def test_free_flight_without_field_direction_change():
    out = traced(uniform((0.0, 0.0, 1.0)), (0.2, 0.3, 0.4), (0.0, 0.0, 1.0), 5.0, 0.5, 9)
    np.testing.assert_allclose(out[:3, 0], [0.2, 0.3, 4.9], atol=1e-14)
    assert out[6, 0] == 1.0


def test_open_axis_stops_the_particle_in_its_last_valid_state():
    periodic = np.array([True, True, False])
    out = traced(uniform(), (0.0, 0.0, 0.5), (0.0, 0.0, 1.0), 1.0, 0.4, 1, saves=6, periodic=periodic)
    np.testing.assert_array_equal(out[8], [1, 1, 1, 0, 0, 0])
    np.testing.assert_allclose(out[2], [0.9, 1.3, 1.7, 1.7, 1.7, 1.7])


def test_origin_and_width_place_the_samples():
    field = np.zeros((2, 2, 4, 3))
    field[..., 2] = np.array([1.0, 2.0, 4.0, 8.0])
    out = traced(field, (10.75, 0.0, 0.0), (0.0, 0.0, 1.0), 1.0, 0.1, 0, origin=(10.0, 0, 0), width=(0.5, 1, 1))
    assert out[7, 0] == 2.0  # the centre of the second cell
    out = traced(field, (12.0, 0.0, 0.0), (0.0, 0.0, 1.0), 1.0, 0.1, 0, origin=(10.0, 0, 0), width=(0.5, 1, 1))
    assert out[7, 0] == 4.5  # the face between the last cell and the first

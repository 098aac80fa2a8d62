"""Entries: orbits of closed form."""

import numpy as np
import pytest
from kernel_runs import traced, uniform


def test_orbit_lies_on_the_gyroradius_and_turns_as_the_exact_law_says():
    """Drift-kick-drift: radius exact, phase per step 2 atan(Ω dt / 2), relative error -(Ω dt)²/12."""
    step, count = 0.3, 40
    out = traced(uniform(), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 1.0, step, 1, saves=count)
    # a positive charge turns clockwise about B; the kick acts in the middle of the drift, so the
    # polygon's vertices lie on a circle whose chord is the drift
    phase = 2 * np.arctan(step / 2)
    turned = np.unwrap(np.arctan2(-out.vy, out.vx))
    np.testing.assert_allclose(turned, phase * np.arange(1, count + 1), atol=1e-12)
    assert phase / step - 1 == pytest.approx(-(step**2) / 12, rel=0.03)
    radius = np.hypot(out.x - 0.0, out.y + 1.0)
    np.testing.assert_allclose(radius, 1.0, atol=1e-13)
    np.testing.assert_allclose(out.vx**2 + out.vy**2 + out.vz**2, 1.0, atol=1e-14)


def test_free_flight_without_field_direction_change():
    out = traced(uniform((0.0, 0.0, 1.0)), (0.2, 0.3, 0.4), (0.0, 0.0, 1.0), 5.0, 0.5, 9)
    np.testing.assert_allclose([out.x[0], out.y[0], out.z[0]], [0.2, 0.3, 4.9], atol=1e-14)
    assert out.mu[0] == 1.0

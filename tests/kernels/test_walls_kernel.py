"""Walls: what leaves stops where it was, what is mirrored comes back."""

import numpy as np
from kernel_runs import OPEN, REFLECTING, traced, uniform


def test_open_axis_stops_the_particle_in_its_last_valid_state():
    out = traced(uniform(), (0.0, 0.0, 0.5), (0.0, 0.0, 1.0), 1.0, 0.4, 1, saves=6, walls=(0, 0, OPEN))
    np.testing.assert_array_equal(out.alive, [1, 1, 1, 0, 0, 0])
    np.testing.assert_allclose(out.z, [0.9, 1.3, 1.7, 1.7, 1.7, 1.7])


def test_a_reflecting_wall_mirrors():
    out = traced(uniform(), (0.0, 0.0, 0.5), (0.0, 0.0, 1.0), 1.0, 0.4, 1, saves=6, walls=(0, 0, REFLECTING))
    np.testing.assert_allclose(out.z, [0.9, 1.3, 1.7, 1.9, 1.5, 1.1])
    np.testing.assert_allclose(out.vz, [1, 1, 1, -1, -1, -1])


def test_a_stopped_particle_stays_stopped():
    out = traced(uniform(), (0.2, 0.3, 0.4), (0.0, 0.0, 1.0), 1.0, 0.4, 2, walls=(0, 0, OPEN), taken=17, alive=0)
    np.testing.assert_allclose([out.x[0], out.y[0], out.z[0]], [0.2, 0.3, 0.4])
    assert out.alive[0] == 0

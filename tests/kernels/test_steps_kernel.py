"""Lengths of steps."""

import numpy as np
from kernel_runs import traced, uniform


def test_local_steps_end_exactly_at_saved_points():
    field = uniform()
    field[:, :, 2:] *= 3.0
    out = traced(field, (0.1, 0.0, 0.0), (0.6, 0.0, 0.8), 1.0, 1.0, 1, saves=3, fraction=0.1, longest=1.0)
    np.testing.assert_allclose(out.z, 0.8 * np.arange(1, 4), atol=1e-13)
    steps = np.diff(out.steps, prepend=0)
    assert ((steps >= 10) & (steps <= 31)).all()

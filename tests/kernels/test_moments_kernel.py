"""Moments of rows."""

import numpy as np

from mmfields.kernels import moments


def test_moments_of_a_row():
    rng = np.random.default_rng(1)
    a, b, c, n = rng.normal(size=(4, 11))
    sums, along, level = np.zeros(moments.MOMENTS), np.array([2.0, -1.0, 2.0]) / 3, np.array([0.1, 0.2, -0.3, 0.5])
    moments.moments_of_row(a, b, c, n, level, along, sums)
    field = np.stack([a, b, c]) - level[:3, None]
    par = along @ field
    want = [11, par.sum(), (par**2).sum(), (par**3).sum(), (par**4).sum(), *field.sum(axis=1), (field**2).sum()]
    want += [(n - 0.5).sum(), ((n - 0.5) ** 2).sum(), ((n - 0.5) * par).sum()]
    np.testing.assert_allclose(sums, want, rtol=1e-12)

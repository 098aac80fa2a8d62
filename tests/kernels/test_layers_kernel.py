"""Flights through layers."""

import numpy as np

from mmfields.kernels import layers


def test_flights_through_layers_reverse_at_the_rate_of_the_layer():
    """The optical depth between two reversals is exponential whatever the layers."""
    edges, rates = np.array([0.0, 0.3, 1.0]), np.array([5.0, 0.5])
    path = np.linspace(0.0, 20.0, 2001)
    start = np.random.default_rng(0).random((20, 2))
    keys = np.random.default_rng(1).integers(0, 2**64, 20, np.uint64)
    with np.errstate(over="ignore"):
        x, v = layers.fly(edges, rates, start, keys, path)
    assert (np.abs(np.diff(x)) <= np.diff(path) * (1 + 1e-12)).all()
    straight = v[:, 1:] == v[:, :-1]
    assert straight.mean() > 0.9
    np.testing.assert_allclose(x[:, 0], start[:, 0])

"""Emission and depths of rows of cells."""

import numpy as np

from mmfields.kernels import faraday


def test_emission_of_a_cell_is_its_integral():
    """The mean of exp(2 i lambda² phi) over a cell, whatever its depth: small, of many turns, of either sign."""
    middle, half = np.array([0.3, -7.0, 40.0, 1e-9, 3.0]), np.array([1e-9, -0.4, 25.0, 0.0, 1.7])
    one, out = np.ones(5), np.zeros((2, 5))
    for wave in (0.01, 0.7, 3.0):
        out[:] = 0
        faraday.emit(middle, half, one, one, 0 * one, wave, out[0], out[1])
        want = np.exp(2j * wave * middle) * np.sinc(2 * wave * half / np.pi)
        np.testing.assert_allclose(out[0] + 1j * out[1], want, atol=1e-13)


def test_depths_are_added_with_twice_the_digits():
    field = np.array([1e16, 1.0, -1e16, 1.0, 0.5]).reshape(5, 1)
    for number in (np.ones((1, 1)), np.ones((5, 1))):
        high, low = np.zeros(1), np.zeros(1)
        assert faraday.add_depth(field, number, high, low, 0, 1) == 0
        assert high[0] + low[0] == 2.5
        assert faraday.add_depth(field, -number, high, low, 0, 1) > 0


def test_depths_do_not_depend_on_the_part_of_a_map_or_on_blocks_of_planes():
    random = np.random.default_rng(3)
    field, number = random.normal(size=(11, 9)).astype(np.float32), random.uniform(size=(11, 9)).astype(np.float32)
    whole, parts = np.zeros((2, 9)), np.zeros((2, 9))
    faraday.add_depth(field, number, *whole, 0, 9)
    for planes in (slice(0, 6), slice(6, 11)):
        for begin, end in ((0, 5), (5, 9)):
            faraday.add_depth(field[planes], number[planes], *parts, begin, end)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_allclose(whole.sum(axis=0), (field.astype(float) * number).sum(axis=0), rtol=1e-14)

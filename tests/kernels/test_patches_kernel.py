"""Crossings and measures of patches."""

import numpy as np

from mmfields.kernels import patches


def test_crossings_and_measures_of_two_cells():
    around = np.zeros((3, 3, 5), np.uint8)
    around[1, 1, 1:3] = 1
    around[..., -1] = 2  # beyond the end of the box
    out = np.zeros(2, np.int64)
    patches.count_crossings(around, np.array([[0, 0, 1], [0, 1, 0]]), out)
    assert out.tolist() == [1, 2]
    table = np.array([[0, 99, 0, 0, 0]])
    patches.measure(np.array([[[1, 1, 0]]]), around, np.array([0, 0, 4]), np.array([1, 1, 9]), table)
    assert table.tolist() == [[2, 4, 2, 2, 1]]

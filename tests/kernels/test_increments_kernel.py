"""Increments of pairs, counted by hand."""

import numpy as np
import pytest

from mmfields.kernels import increments


@pytest.mark.parametrize("points", [2, 5])
def test_increments_of_all_pairs(points):
    """Squares of increments of a ramp that wraps, counted by hand."""
    steps, weights = {2: ((0, 1), (-1.0, 1.0)), 5: ((-2, -1, 0, 1, 2), (1.0, -4.0, 6.0, -4.0, 1.0))}[points]
    ramp = np.arange(8.0)
    cells = np.zeros((2, 3, 8, 4))
    cells[..., 0] = 1.0 + ramp
    edges, turns = np.array([0.0, 1.5, 4.0, np.inf]), np.array([0.0, 0.5, 1.1, np.inf])
    table = np.zeros(9, np.uint64)
    counts, sums = np.zeros((1, 10), np.int64), np.zeros((1, 1, 10))
    rows = np.array([[z, y, 0, 1, 1, 8, 0, 8, 0] for z in range(2) for y in range(3)])
    increments.add_pairs(
        cells.reshape(-1), np.array([4, 0, 3, 1]), np.array([2, 3, 8]), np.array([1, 1, 1]), rows, False,
        np.zeros(2, np.uint32), np.array([[0, 0, 1, 0]], np.int32), np.ones(3), steps, weights, np.zeros(3), edges,
        table, 1.0, turns, table, 1.0, 1.0, np.array([2]),
            counts, sums, counts.copy(), sums.copy(),
    )  # fmt: skip
    want = sum((sum(w * ramp[(i + s) % 8] for s, w in zip(steps, weights, strict=True))) ** 2 for i in range(8))
    assert counts[0, 0] == 6 * 8  # along the field, no separation across: bin (0, 0)
    assert counts[0, :-1].sum() == 48  # the last one takes what fills batches up
    assert sums[0, 0, 0] == pytest.approx(6 * want)


def test_sampled_pairs_stay_in_their_tiles():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(5, 6, 7, 4))
    edges, turns = np.array([0.0, 9.0, np.inf]), np.array([0.0, 1.1, np.inf])
    table = np.zeros(9, np.uint64)
    counts, sums = np.zeros((1, 5), np.int64), np.zeros((1, 1, 5))
    tiles = np.array([[0, 0, 0, 5, 6, 7, 0, 300, 0]])
    with np.errstate(over="ignore"):
        increments.add_pairs(
            cells.reshape(-1), np.array([4, 0, 3, 1]), np.array([5, 6, 7]), np.array([1, 0, 1]), tiles, True,
            np.array([1, 2], np.uint32), np.array([[1, 2, 0, 0], [0, 0, 3, 0]], np.int32), np.ones(3),
            (0, 1), (-1.0, 1.0),
            np.zeros(3), edges, table, 1.0, turns, table, 1.0, 1.0, np.array([2]),
            counts, sums, counts.copy(), sums.copy(),
        )  # fmt: skip
    # half of the pairs go two cells along the axis that does not wrap: a third of these leave the box
    assert 300 - 85 < counts[0, :4].sum() < 300 - 20
    assert sums[0, 0, 0] / counts[0, 0] == pytest.approx(6.0, rel=0.3)

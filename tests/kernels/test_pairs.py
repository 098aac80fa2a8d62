"""Increments of pairs against counts by hand; these run interpreted too."""

import numpy as np
import pytest

from mmfields.kernels import increments


def added(cells, shape, wraps, tiles, lags, *, steps=(0, 1), weights=(-1.0, 1.0), edges, key=(0, 0), sampled=False):
    """Pairs and sums of squares in bins of (l_perp, l_par)."""
    field = increments.Cells(cells.reshape(-1), 4, 0, 3, True, np.array(shape), 1 - np.array(wraps))
    pairs = increments.Pairs(tiles, sampled, np.array(key, np.uint32), np.array(lags, np.int32), np.ones(3))
    increment = increments.Increment(steps, weights, 1.0, np.array([2]), np.zeros(3))
    table, many = np.zeros(9, np.uint64), len(edges[0]) - 1
    lengths, angles = (increments.Bins(np.array(e), table, 1.0) for e in edges)
    counts, sums = np.zeros((1, many**2 + 1), np.int64), np.zeros((1, 1, many**2 + 1))
    found = increments.Sums(counts, sums, counts.copy(), sums.copy())
    with np.errstate(over="ignore"):
        increments.add_pairs(increments.room(), field, pairs, increment, lengths, angles, found)
    return counts, sums


@pytest.mark.parametrize("points", [2, 5])
def test_increments_of_all_pairs(points):
    """Squares of increments of a ramp that wraps, counted by hand."""
    steps, weights = {2: ((0, 1), (-1.0, 1.0)), 5: ((-2, -1, 0, 1, 2), (1.0, -4.0, 6.0, -4.0, 1.0))}[points]
    ramp = np.arange(8.0)
    cells = np.zeros((2, 3, 8, 4))
    cells[..., 0] = 1.0 + ramp
    edges = [0.0, 1.5, 4.0, np.inf], [0.0, 0.5, 1.1, np.inf]
    rows = np.array([[z, y, 0, 1, 1, 8, 0, 8, 0] for z in range(2) for y in range(3)])
    counts, sums = added(cells, (2, 3, 8), (1, 1, 1), rows, [[0, 0, 1, 0]], steps=steps, weights=weights, edges=edges)
    want = sum((sum(w * ramp[(i + s) % 8] for s, w in zip(steps, weights, strict=True))) ** 2 for i in range(8))
    assert counts[0, 0] == 6 * 8  # along the field, no separation across: bin (0, 0)
    assert counts[0, :-1].sum() == 48  # the last one takes what fills batches up
    assert sums[0, 0, 0] == pytest.approx(6 * want)


def test_sampled_pairs_stay_in_their_tiles():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(5, 6, 7, 4))
    tiles = np.array([[0, 0, 0, 5, 6, 7, 0, 300, 0]])
    lags, edges = [[1, 2, 0, 0], [0, 0, 3, 0]], ([0.0, 9.0, np.inf], [0.0, 1.1, np.inf])
    counts, sums = added(cells, (5, 6, 7), (1, 0, 1), tiles, lags, edges=edges, key=(1, 2), sampled=True)
    # half of the pairs go two cells along the axis that does not wrap: a third of these leave the box
    assert 300 - 85 < counts[0, :4].sum() < 300 - 20
    assert sums[0, 0, 0] / counts[0, 0] == pytest.approx(6.0, rel=0.3)

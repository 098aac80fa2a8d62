"""Autocorrelations of records with gaps."""

import numpy as np

from mmfields.kernels._jit import entry


@entry()
def correlate(values, counts, lags):
    """Sums of products of values so many places apart, and the numbers of these products.

    Parameters
    ----------
    values : (n, s) float array
    counts : (n, s) bool array
        Which values count.
    lags : int

    Returns
    -------
    (n, lags) float array, (n, lags) float array
    """
    n, size = values.shape
    sums, pairs = np.zeros((n, lags)), np.zeros((n, lags))
    for i in range(n):
        for lag in range(lags):
            total, number = 0.0, 0
            for j in range(size - lag):
                if counts[i, j] and counts[i, j + lag]:
                    total += values[i, j] * values[i, j + lag]
                    number += 1
            sums[i, lag], pairs[i, lag] = total, number
    return sums, pairs

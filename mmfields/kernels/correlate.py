"""Autocorrelations of records with gaps."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def correlate(values, part, lags):
    """Sums of products of values so many places apart, and their numbers; pairs lie within one part of the record.

    Parameters
    ----------
    values : (n, s) float array
    part : (n, s) int array
        Number of the part that a value is of; negative where it does not count.
    lags : int

    Returns
    -------
    (n, lags) float array, (n, lags) float array
    """
    n, size = values.shape
    sums, counts = np.zeros((n, lags)), np.zeros((n, lags))
    for i in range(n):
        for lag in range(lags):
            total, number = 0.0, 0
            for j in range(size - lag):
                if part[i, j] >= 0 and part[i, j] == part[i, j + lag]:
                    total += values[i, j] * values[i, j + lag]
                    number += 1
            sums[i, lag], counts[i, lag] = total, number
    return sums, counts

"""Fields that are sums evaluated at the particles: plane waves, or periodic grids of several scales."""

import numpy as np
from numba import njit

from mmfields.kernels.interpolate import WAVES, gather_linear, locate_linear
from mmfields.kernels.lanes import LANES
from mmfields.kernels.waves import new_levels, waves_by_level


@njit(nogil=True, cache=True)
def add_rows(x, y, z, bx, by, bz):
    """Add a vector to another."""
    for lane in range(LANES):
        bx[lane] += x[lane]
        by[lane] += y[lane]
        bz[lane] += z[lane]


@njit(nogil=True, cache=True)
def nested(data, parts, x, y, z, kx, ky, kz, wx, wy, wz, ex, ey, ez, bx, by, bz):
    """Sum of periodic cubes of cells, each trilinear, at the positions of a batch.

    Parameters
    ----------
    data : flat array
        The cubes (z, y, x, 3), one after the other, each with one number more.
    parts : Octaves
        Instead of octaves: where each cube begins, its cells per length unit, and its cells along an axis.
    ex, ey, ez : (LANES,) float arrays
        Room.
    """
    bx[:], by[:], bz[:] = 0.0, 0.0, 0.0
    for i in range(parts.bounds.size):
        n, inverse = np.int64(parts.terms[i]), parts.bounds[i]
        locate_linear(x, inverse, 0.5, n, True, kx, wx)
        locate_linear(y, inverse, 0.5, n, True, ky, wy)
        locate_linear(z, inverse, 0.5, n, True, kz, wz)
        gather_linear(data[parts.groups[i] : parts.groups[i + 1]], n, n, kx, ky, kz, wx, wy, wz, ex, ey, ez)
        add_rows(ex, ey, ez, bx, by, bz)


@njit(nogil=True, cache=True)
def sum_at(kind, data, count, parts, levels, many, step, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz):
    """Field at the positions of a batch, at a step counted from the last plan; see `waves_by_level`."""
    if kind == WAVES:
        waves_by_level(data, count, parts, levels, many, step, x, y, z, bx, by, bz)
    else:
        nested(data, parts, x, y, z, kx, ky, kz, wx, wy, wz, levels.dx, levels.dy, levels.dz, bx, by, bz)


@njit(nogil=True, cache=True)
def sample_sum(kind, data, count, parts, position, out):
    """Field at any number of positions (n, 3), into `out` (n, 3), every wave directly."""
    levels = new_levels(parts)
    x, y, z, bx, by, bz = [np.empty(LANES) for _ in range(6)]
    kx, ky, kz = [np.empty((4, LANES), np.int32) for _ in range(3)]
    wx, wy, wz = [np.empty((4, LANES)) for _ in range(3)]
    n, directly = position.shape[0], np.int64(0)
    for first in range(0, n, LANES):
        for lane in range(LANES):
            p = min(first + lane, n - 1)
            x[lane], y[lane], z[lane] = position[p, 0], position[p, 1], position[p, 2]
        sum_at(kind, data, count, parts, levels, directly, directly, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)
        for lane in range(min(LANES, n - first)):
            p = first + lane
            out[p, 0], out[p, 1], out[p, 2] = bx[lane], by[lane], bz[lane]

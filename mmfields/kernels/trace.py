"""Loops over a block of particles."""

from math import sqrt

import numpy as np
from numba import njit

from mmfields.kernels.interpolate import linear
from mmfields.kernels.push import boris

# Rows of the result of `trace_block`.
ROWS = ("x", "y", "z", "vx", "vy", "vz", "mu", "B", "alive")


@njit(nogil=True, cache=True)
def trace_block(field, origin, width, periodic, position, direction, rigidity, lengths, counts):
    """Trace particles by drift-kick-drift Boris steps through a static, trilinear field.

    Parameters
    ----------
    field : (nz, ny, nx, 3) float array
        Components x, y, z at cell centres.
    origin, width : (3,) float arrays
        Lower edge of the box and cell size, in x, y, z order.
    periodic : (3,) bool array
        Whether each axis wraps; where one does not, a particle that would leave stops.
    position, direction : (n, 3) float arrays
        Start, and unit vector of the momentum.
    rigidity : float
        Gyroradius times reference field.
    lengths : (s,) float array
        Step within each interval between saved points.
    counts : (s,) int array
        Steps of each interval.

    Returns
    -------
    (9, n, s) float array
        The rows of `ROWS`: unwrapped position, direction, pitch-angle cosine, |B|, and 1 or 0.
    """
    n = position.shape[0]
    saves = lengths.shape[0]
    out = np.empty((9, n, saves))
    inverse = 1.0 / width
    shift = origin * inverse + 0.5
    upper = origin + width * np.array([field.shape[2], field.shape[1], field.shape[0]])
    for p in range(n):
        x, y, z = position[p, 0], position[p, 1], position[p, 2]
        vx, vy, vz = direction[p, 0], direction[p, 1], direction[p, 2]
        alive = True
        for s in range(saves):
            half = 0.5 * lengths[s]
            turn = half / rigidity
            for _ in range(counts[s]):
                if not alive:
                    break
                mx = x + half * vx
                my = y + half * vy
                mz = z + half * vz
                bx, by, bz = linear(
                    field, mz * inverse[2] - shift[2], my * inverse[1] - shift[1], mx * inverse[0] - shift[0], periodic
                )
                nx, ny, nz = boris(vx, vy, vz, turn * bx, turn * by, turn * bz)
                ex = mx + half * nx
                ey = my + half * ny
                ez = mz + half * nz
                alive = (
                    (periodic[0] or origin[0] <= ex <= upper[0])
                    and (periodic[1] or origin[1] <= ey <= upper[1])
                    and (periodic[2] or origin[2] <= ez <= upper[2])
                )
                if alive:
                    x, y, z = ex, ey, ez
                    vx, vy, vz = nx, ny, nz
            bx, by, bz = linear(
                field, z * inverse[2] - shift[2], y * inverse[1] - shift[1], x * inverse[0] - shift[0], periodic
            )
            strength = sqrt(bx * bx + by * by + bz * bz)
            out[0, p, s], out[1, p, s], out[2, p, s] = x, y, z
            out[3, p, s], out[4, p, s], out[5, p, s] = vx, vy, vz
            out[6, p, s] = (vx * bx + vy * by + vz * bz) / strength if strength > 0.0 else np.nan
            out[7, p, s] = strength
            out[8, p, s] = 1.0 if alive else 0.0
    return out

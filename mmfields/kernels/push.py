"""Particle pushers."""

from math import sqrt

from numba import njit


@njit(nogil=True, cache=True, inline="always")
def boris(vx, vy, vz, tx, ty, tz):
    """Rotate a unit direction by the Boris scheme; t = tan-like half angle vector, B q ds / (2 p).

    Normalised after every step, so that |v| stays 1 to rounding however long the run.
    """
    s = 2.0 / (1.0 + tx * tx + ty * ty + tz * tz)
    px = vx + vy * tz - vz * ty
    py = vy + vz * tx - vx * tz
    pz = vz + vx * ty - vy * tx
    vx = vx + s * (py * tz - pz * ty)
    vy = vy + s * (pz * tx - px * tz)
    vz = vz + s * (px * ty - py * tx)
    norm = 1.0 / sqrt(vx * vx + vy * vy + vz * vz)
    return vx * norm, vy * norm, vz * norm

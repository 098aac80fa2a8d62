"""Particle pushers, for a batch in lockstep."""

from numba import njit

from mmfields.kernels.interpolate import LANES


@njit(nogil=True, cache=True, error_model="numpy")
def drift(x, y, z, vx, vy, vz, half):
    """Half a step along the direction."""
    for lane in range(LANES):
        x[lane] += half[lane] * vx[lane]
        y[lane] += half[lane] * vy[lane]
        z[lane] += half[lane] * vz[lane]


@njit(nogil=True, cache=True, error_model="numpy")
def boris(vx, vy, vz, bx, by, bz, turn):
    """Rotate unit directions by the Boris scheme; `turn` times the field is half the step's angle, q B ds / (2 p).

    Normalised after every step, to first order in what rounding has changed, so that |v| stays 1 however long the run.
    """
    for lane in range(LANES):
        tx, ty, tz = turn[lane] * bx[lane], turn[lane] * by[lane], turn[lane] * bz[lane]
        x, y, z = vx[lane], vy[lane], vz[lane]
        s = 2.0 / (1.0 + tx * tx + ty * ty + tz * tz)
        px = x + y * tz - z * ty
        py = y + z * tx - x * tz
        pz = z + x * ty - y * tx
        x += s * (py * tz - pz * ty)
        y += s * (pz * tx - px * tz)
        z += s * (px * ty - py * tx)
        norm = 1.5 - 0.5 * (x * x + y * y + z * z)
        vx[lane], vy[lane], vz[lane] = x * norm, y * norm, z * norm


@njit(nogil=True, cache=True)
def reflect(x, v, low, high):
    """Mirror what has crossed a wall, position and direction."""
    for lane in range(LANES):
        if x[lane] < low:
            x[lane], v[lane] = 2.0 * low - x[lane], -v[lane]
        elif x[lane] > high:
            x[lane], v[lane] = 2.0 * high - x[lane], -v[lane]

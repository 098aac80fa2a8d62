"""Particle pushers, for a batch in lockstep."""

from math import sqrt

from numba import njit

from mmfields.kernels.interpolate import LANES

# Pushers through an electric field too, by number; NONE where there is no such field.
NONE, BORIS, HIGUERA_CARY, VAY = range(4)


@njit(nogil=True, cache=True, error_model="numpy")
def drift(x, y, z, vx, vy, vz, half):
    """Half a step along the direction."""
    for lane in range(LANES):
        x[lane] += half[lane] * vx[lane]
        y[lane] += half[lane] * vy[lane]
        z[lane] += half[lane] * vz[lane]


@njit(nogil=True, cache=True, error_model="numpy")
def drift_twice(x, y, z, vx, vy, vz, half):
    """The half steps after a push and before the next, one after the other as two calls of `drift` would."""
    for lane in range(LANES):
        h = half[lane]
        x[lane] = (x[lane] + h * vx[lane]) + h * vx[lane]
        y[lane] = (y[lane] + h * vy[lane]) + h * vy[lane]
        z[lane] = (z[lane] + h * vz[lane]) + h * vz[lane]


@njit(nogil=True, cache=True, inline="always")
def turned(x, y, z, tx, ty, tz):
    """A vector turned by the Boris scheme about t, the field times half the step's angle."""
    s = 2.0 / (1.0 + tx * tx + ty * ty + tz * tz)
    px = x + y * tz - z * ty
    py = y + z * tx - x * tz
    pz = z + x * ty - y * tx
    return x + s * (py * tz - pz * ty), y + s * (pz * tx - px * tz), z + s * (px * ty - py * tx)


@njit(nogil=True, cache=True, error_model="numpy")
def boris(vx, vy, vz, bx, by, bz, turn):
    """Rotate unit directions by the Boris scheme; `turn` times the field is half the step's angle, q B ds / (2 p).

    Normalised after every step, to first order in what rounding has changed, so that |v| stays 1 however long the run.
    """
    for lane in range(LANES):
        h = turn[lane]
        x, y, z = turned(vx[lane], vy[lane], vz[lane], h * bx[lane], h * by[lane], h * bz[lane])
        norm = 1.5 - 0.5 * (x * x + y * y + z * z)
        vx[lane], vy[lane], vz[lane] = x * norm, y * norm, z * norm


@njit(nogil=True, cache=True, error_model="numpy")
def reaches(p, mass, half, out):
    """Path in half a step of light's path, of particles of momentum `p` and masses [of the momentum at the start]."""
    for lane in range(LANES):
        out[lane] = half[lane] * p[lane] / sqrt(mass[lane] * mass[lane] + p[lane] * p[lane])


@njit(nogil=True, cache=True, inline="always")
def added(x, y, z, h, ex, ey, ez):
    """A vector and `h` times another."""
    return x + h * ex, y + h * ey, z + h * ez


@njit(nogil=True, cache=True, inline="always")
def mean_energy(x, y, z, tx, ty, tz, mass):
    """Energy halfway by which both Vay and Higuera & Cary rotate, from a momentum and the half rotation tau."""
    square, along = tx * tx + ty * ty + tz * tz, x * tx + y * ty + z * tz
    sigma = mass * mass + x * x + y * y + z * z - square
    rest = mass * mass * square + along * along
    # of the two forms of the root, the one that does not cancel
    root = sqrt(sigma * sigma + 4.0 * rest)
    return sqrt(0.5 * (sigma + root)) if sigma >= 0.0 else sqrt(2.0 * rest / (root - sigma))


@njit(nogil=True, cache=True, inline="always")
def half_turned(x, y, z, tx, ty, tz):
    """(u + (u·t) t + u × t) / (1 + t²)."""
    along, s = x * tx + y * ty + z * tz, 1.0 / (1.0 + tx * tx + ty * ty + tz * tz)
    px = x + along * tx + y * tz - z * ty
    py = y + along * ty + z * tx - x * tz
    pz = z + along * tz + x * ty - y * tx
    return s * px, s * py, s * pz


@njit(nogil=True, cache=True, error_model="numpy")
def push(kind, vx, vy, vz, p, ex, ey, ez, bx, by, bz, turn, masses):
    """Momenta through electric and magnetic fields: Boris (1970), Vay (2008), or Higuera & Cary (2017).

    Parameters
    ----------
    kind : int
    vx, vy, vz, p : (LANES,) float arrays
        Direction, and momentum over that at the start.
    ex, ey, ez, bx, by, bz : (LANES,) float arrays
        E over the speed of light, in the unit of B.
    turn : (LANES,) float array
        q ds / (2 p_0), ds a step of light's path.
    masses : (LANES,) float array
        m c / p_0.
    """
    for lane in range(LANES):
        mass = masses[lane]
        h, size = turn[lane], p[lane]
        tx, ty, tz = h * bx[lane], h * by[lane], h * bz[lane]
        x, y, z = size * vx[lane], size * vy[lane], size * vz[lane]
        if kind == VAY:
            inverse = 1.0 / sqrt(mass * mass + x * x + y * y + z * z)
            kx, ky, kz = (y * tz - z * ty) * inverse, (z * tx - x * tz) * inverse, (x * ty - y * tx) * inverse
            x, y, z = added(x + kx, y + ky, z + kz, 2.0 * h, ex[lane], ey[lane], ez[lane])
            inverse = 1.0 / mean_energy(x, y, z, tx, ty, tz, mass)
            x, y, z = half_turned(x, y, z, tx * inverse, ty * inverse, tz * inverse)
        else:
            x, y, z = added(x, y, z, h, ex[lane], ey[lane], ez[lane])
            if kind == BORIS:
                inverse = 1.0 / sqrt(mass * mass + x * x + y * y + z * z)
            else:
                inverse = 1.0 / mean_energy(x, y, z, tx, ty, tz, mass)
            x, y, z = turned(x, y, z, tx * inverse, ty * inverse, tz * inverse)
            x, y, z = added(x, y, z, h, ex[lane], ey[lane], ez[lane])
        size = sqrt(x * x + y * y + z * z)
        inverse = 1.0 / size if size > 0.0 else 0.0
        p[lane] = size
        # at rest a direction is kept, so that there is one
        vx[lane] = x * inverse if size > 0.0 else vx[lane]
        vy[lane] = y * inverse if size > 0.0 else vy[lane]
        vz[lane] = z * inverse if size > 0.0 else vz[lane]


@njit(nogil=True, cache=True)
def reflect(x, v, low, high, bn, bs, bt, count, along):
    """Mirror what has crossed a wall, position and direction, and count it.

    Those are counted apart where the field, of which `bn` is normal to the wall, runs rather through the wall than
    along it: beyond such a mirror a field line goes on, and the pitch angle is turned round.
    """
    for lane in range(LANES):
        if not low <= x[lane] <= high:
            face = low if x[lane] < low else high
            x[lane], v[lane] = 2.0 * face - x[lane], -v[lane]
            count[lane] += 1.0
            if bn[lane] * bn[lane] > bs[lane] * bs[lane] + bt[lane] * bt[lane]:
                along[lane] += 1.0

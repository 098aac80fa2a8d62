"""Particle pushers, for a batch in lockstep."""

from math import sqrt

from mmfields.kernels._jit import kernel, part
from mmfields.kernels.setup import Pusher


@kernel()
def drift(b, by):
    """Half a step along the direction."""
    for lane in range(b.lanes):
        b.x[lane] += by[lane] * b.vx[lane]
        b.y[lane] += by[lane] * b.vy[lane]
        b.z[lane] += by[lane] * b.vz[lane]


@kernel()
def drift_twice(b):
    """The half steps after a push and before the next, one after the other as two calls of `drift` would."""
    for lane in range(b.lanes):
        h = b.half[lane]
        b.x[lane] = (b.x[lane] + h * b.vx[lane]) + h * b.vx[lane]
        b.y[lane] = (b.y[lane] + h * b.vy[lane]) + h * b.vy[lane]
        b.z[lane] = (b.z[lane] + h * b.vz[lane]) + h * b.vz[lane]


@part()
def turned(x, y, z, tx, ty, tz):
    """A vector turned by the Boris scheme about t, the field times half the step's angle."""
    s = 2.0 / (1.0 + tx * tx + ty * ty + tz * tz)
    px = x + y * tz - z * ty
    py = y + z * tx - x * tz
    pz = z + x * ty - y * tx
    return x + s * (py * tz - pz * ty), y + s * (pz * tx - px * tz), z + s * (px * ty - py * tx)


@kernel()
def boris(b):
    """Rotate unit directions by the Boris scheme; `turn` times the field is half the step's angle, q B ds / (2 p).

    Normalised after every step, to first order in what rounding has changed, so that |v| stays 1 however long the run.
    """
    for lane in range(b.lanes):
        h = b.turn[lane]
        x, y, z = turned(b.vx[lane], b.vy[lane], b.vz[lane], h * b.bx[lane], h * b.by[lane], h * b.bz[lane])
        norm = 1.5 - 0.5 * (x * x + y * y + z * z)
        b.vx[lane], b.vy[lane], b.vz[lane] = x * norm, y * norm, z * norm


@kernel()
def set_reach(b):
    """Path of the particles themselves in half a step of light's path, which is added to what they have made."""
    for lane in range(b.lanes):
        p, mass = b.momentum[lane], b.mass[lane]
        b.reach[lane] = b.half[lane] * p / sqrt(mass * mass + p * p)
        b.own_path[lane] += b.reach[lane]


@part()
def added(x, y, z, h, ex, ey, ez):
    """A vector and `h` times another."""
    return x + h * ex, y + h * ey, z + h * ez


@part()
def mean_energy(x, y, z, tx, ty, tz, mass):
    """Energy halfway by which both Vay and Higuera & Cary rotate, from a momentum and the half rotation tau."""
    square, along = tx * tx + ty * ty + tz * tz, x * tx + y * ty + z * tz
    sigma = mass * mass + x * x + y * y + z * z - square
    rest = mass * mass * square + along * along
    # of the two forms of the root, the one that does not cancel
    root = sqrt(sigma * sigma + 4.0 * rest)
    return sqrt(0.5 * (sigma + root)) if sigma >= 0.0 else sqrt(2.0 * rest / (root - sigma))


@part()
def half_turned(x, y, z, tx, ty, tz):
    """(u + (u·t) t + u × t) / (1 + t²)."""
    along, s = x * tx + y * ty + z * tz, 1.0 / (1.0 + tx * tx + ty * ty + tz * tz)
    px = x + along * tx + y * tz - z * ty
    py = y + along * ty + z * tx - x * tz
    pz = z + along * tz + x * ty - y * tx
    return s * px, s * py, s * pz


@kernel()
def push(b, pusher):
    """Momenta through electric and magnetic fields: Boris (1970), Vay (2008), or Higuera & Cary (2017).

    E is over the speed of light, in the unit of B; `turn` is q ds / (2 p_0), ds a step of light's path.
    """
    for lane in range(b.lanes):
        mass, h, size = b.mass[lane], b.turn[lane], b.momentum[lane]
        ex, ey, ez = b.ex[lane], b.ey[lane], b.ez[lane]
        tx, ty, tz = h * b.bx[lane], h * b.by[lane], h * b.bz[lane]
        x, y, z = size * b.vx[lane], size * b.vy[lane], size * b.vz[lane]
        if pusher == Pusher.VAY:
            inverse = 1.0 / sqrt(mass * mass + x * x + y * y + z * z)
            kx, ky, kz = (y * tz - z * ty) * inverse, (z * tx - x * tz) * inverse, (x * ty - y * tx) * inverse
            x, y, z = added(x + kx, y + ky, z + kz, 2.0 * h, ex, ey, ez)
            inverse = 1.0 / mean_energy(x, y, z, tx, ty, tz, mass)
            x, y, z = half_turned(x, y, z, tx * inverse, ty * inverse, tz * inverse)
        else:
            x, y, z = added(x, y, z, h, ex, ey, ez)
            if pusher == Pusher.BORIS:
                inverse = 1.0 / sqrt(mass * mass + x * x + y * y + z * z)
            else:
                inverse = 1.0 / mean_energy(x, y, z, tx, ty, tz, mass)
            x, y, z = turned(x, y, z, tx * inverse, ty * inverse, tz * inverse)
            x, y, z = added(x, y, z, h, ex, ey, ez)
        size = sqrt(x * x + y * y + z * z)
        inverse = 1.0 / size if size > 0.0 else 0.0
        b.momentum[lane] = size
        # at rest a direction is kept, so that there is one
        b.vx[lane] = x * inverse if size > 0.0 else b.vx[lane]
        b.vy[lane] = y * inverse if size > 0.0 else b.vy[lane]
        b.vz[lane] = z * inverse if size > 0.0 else b.vz[lane]

"""Trajectories at their saved points: what is always kept of a particle, and what only some runs have."""

from collections import namedtuple
from math import sqrt

import numpy as np

from mmfields.kernels._jit import kernel, part


def _saved_type(*fields):
    return np.dtype(
        (np.record, np.dtype([(name, kind) for kind, names in fields for name in names.split()], align=True))
    )


# Position, unit vector of the momentum, pitch-angle cosine, |B|; steps taken, and whether it moves on.
ALWAYS = _saved_type(("f8", "x y z vx vy vz mu B"), ("i8", "steps"), ("u1", "alive"))
# Momentum and kinetic energy over those at the start, direction of the field.
LOCAL = _saved_type(("f8", "momentum energy bx by bz"))
# Of an electric field: the particle's own path, and E over c.
DRIVEN = _saved_type(("f8", "own_path ex ey ez"))
# Of walls: path at which it left, and reflections of both kinds.
WALLED = _saved_type(("f8", "left"), ("i8", "reflections reflections_along"))
# Of guiding centres: momentum along the field over that at the start, p⊥² / 2B, and whether it is one.
CENTRED = _saved_type(("f8", "parallel_momentum magnetic_moment"), ("u1", "guiding_centre"))

# Arrays (particle, saved point) of these; without rows where a run has no such thing.
Saved = namedtuple("Saved", "always local driven walled centred")
KINDS = Saved(ALWAYS, LOCAL, DRIVEN, WALLED, CENTRED)


@part()
def length_of(x, y, z):
    """Length of a vector, also where its square overflows or underflows."""
    square = x * x + y * y + z * z
    if 1e-280 < square < 1e280:
        return sqrt(square)
    most = max(abs(x), abs(y), abs(z))
    if not 0.0 < most < np.inf:
        return most
    x, y, z = x / most, y / most, z / most
    return most * sqrt(x * x + y * y + z * z)


@part()
def save_always(b, lane, row):
    """What every run has; a particle has no pitch angle where the field is 0 or not finite."""
    vx, vy, vz, bx, by, bz = b.vx[lane], b.vy[lane], b.vz[lane], b.bx[lane], b.by[lane], b.bz[lane]
    strength, along = length_of(bx, by, bz), vx * bx + vy * by + vz * bz
    row.x, row.y, row.z, row.vx, row.vy, row.vz = b.x[lane], b.y[lane], b.z[lane], vx, vy, vz
    row.mu = along / strength if 0.0 < strength < np.inf else np.nan
    row.B, row.steps, row.alive = strength, b.taken[lane], b.alive[lane]


@part()
def save_local(b, lane, row):
    """Momentum and the direction of the field; kinetic energies in a form that does not cancel for slow particles."""
    mass, p, bx, by, bz = b.mass[lane], b.momentum[lane], b.bx[lane], b.by[lane], b.bz[lane]
    energy, strength = sqrt(mass * mass + p * p), length_of(bx, by, bz)
    row.momentum, row.energy = p, p * p * (sqrt(mass * mass + 1.0) + mass) / (energy + mass)
    inverse = 1.0 / strength if 0.0 < strength < np.inf else np.nan
    row.bx, row.by, row.bz = bx * inverse, by * inverse, bz * inverse


@kernel()
def save_lane(b, lane, out, p, save):
    """One particle into a place of the result, where the fields have been looked up."""
    save_always(b, lane, out.always[p, save])
    if out.local.size:
        save_local(b, lane, out.local[p, save])
    if out.driven.size:
        row = out.driven[p, save]
        row.own_path, row.ex, row.ey, row.ez = b.own_path[lane], b.ex[lane], b.ey[lane], b.ez[lane]
    if out.walled.size:
        row = out.walled[p, save]
        row.left, row.reflections = b.left[lane], np.int64(b.reflections[lane])
        row.reflections_along = np.int64(b.reflections_along[lane])

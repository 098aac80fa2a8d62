"""A batch of particles that move in lockstep, and the particles as they cross from task to task.

A batch is one NumPy record, whose fields hold `LANES` particles side by side: kernels get one pointer, and compilers
know that its fields do not overlap.  The caller keeps the array of the record alive, because Numba does not.
"""

import numpy as np

from mmfields.kernels._jit import kernel, part

# Particles of a full batch; a batch of fewer is filled up to a whole number of vectors.
LANES, VECTOR = 128, 8

EACH, WIDE = ("f8", LANES), ("f8", (4, LANES))
# The history of a particle so far, and the numbers that determine its steps.
LEDGER = {
    "rigidity": "gyroradius times reference field, with the sign of the charge",
    "mass": "m c over the momentum at the start",
    "longest": "longest step",
    "path": "path so far; light's where there is an electric field",
    "left": "path at which it left the box, NaN before",
    "reflections": "reflections so far",
    "reflections_along": "those of them by walls that the field runs through, which turn the pitch angle round",
    "own_path": "its own path, where path is light's",
}
MOTION = ("x", "y", "z", "vx", "vy", "vz", "momentum")
# The fields that are restored when a step does not count.
KEPT = (*MOTION, "reflections", "reflections_along", "own_path")

# Names for the rows of fields that hold all axes together.
ROWS = {
    "position": ("x", "y", "z"),
    "cells": ("kx", "ky", "kz"),
    "weights": ("wx", "wy", "wz"),
}


def _with_rows_named(base):
    """A record type that also gives names to the rows of some fields."""
    fields = {name: base.fields[name][:2] for name in base.names}
    for name, rows in ROWS.items():
        kind, offset = base.fields[name]
        row = np.dtype((kind.base, kind.shape[1:]))
        fields |= {other: (row, offset + i * row.itemsize) for i, other in enumerate(rows)}
    formats, offsets = zip(*fields.values(), strict=True)
    named = {"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": base.itemsize}
    return np.dtype((np.record, np.dtype(named, align=True)))


BATCH = _with_rows_named(
    np.dtype(
        [
            ("lanes", "i8"),
            ("many", "i8"),  # levels of the plane waves' polynomials
            ("position", "f8", (3, LANES)),
            *((name, *EACH) for name in MOTION[3:]),
            *((name, *EACH) for name in ("half", "turn", "bx", "by", "bz")),  # half the step, half its angle per B
            ("cells", "i4", (3, 4, LANES)),  # cells along each axis, and their weights
            ("weights", "f8", (3, 4, LANES)),
            *((name, *EACH) for name in ("reach", "ex", "ey", "ez", "rest")),  # half the step along its own path
            *((name, *EACH) for name in ("when", "until")),
            *((name, *EACH) for name in LEDGER),
            ("kept", "f8", (len(KEPT), LANES)),
            ("before", *WIDE),
            *((name, "i8", LANES) for name in ("taken", "begun", "due", "member")),
            *((name, "u4", LANES) for name in ("key0", "key1", "count0", "count1", "word0", "word1")),
            ("angle", "f4", LANES),
            ("room", "f4", (4, LANES)),
            ("goals", "i4", (3, LANES)),
            *((name, "u1", LANES) for name in ("alive", "moved", "arrived")),
        ],
        align=True,
    )
)
"""``rest``: what is left of an interval.  ``until``: path at its end.  ``when``: time between two snapshots, from 0 to
1.  ``kept`` and ``before``: to restore.  ``taken``: steps so far; ``begun``: those before what is made at once.
``key0`` to ``word1``: random keys, counters and words.  ``goals``: cells, in x, y, z order, of particles that need
others than are there."""

PARTICLE = np.dtype(
    (
        np.record,
        np.dtype(
            [
                *((name, "f8") for name in (*MOTION, *LEDGER, "rest", "bx", "by", "bz")),
                *((name, "f8") for name in ("parallel_momentum", "magnetic_moment")),
                ("key", "u8"),
                *((name, "i8") for name in ("taken", "save", "due")),
                ("goal", "i4", 3),
                ("alive", "u1"),
                ("centred", "i1"),
            ],
            align=True,
        ),
    )
)
"""A particle between tasks.  ``save``: saved points behind it.  ``due``: steps before the next.  ``goal``: cells, in
x, y, z order, that it needs.  ``parallel_momentum``, ``magnetic_moment``: of a guiding centre, which it is where
``centred`` is 1, not where that is 0; -1 where nobody has decided."""


def new_batch() -> np.ndarray:
    """An array that holds one batch."""
    return np.zeros(1, BATCH)


@part()
def load_lane(b, lane, p):
    """Load a particle into a lane."""
    b.x[lane], b.y[lane], b.z[lane] = p.x, p.y, p.z
    b.vx[lane], b.vy[lane], b.vz[lane], b.momentum[lane] = p.vx, p.vy, p.vz, p.momentum
    b.rigidity[lane], b.mass[lane], b.longest[lane], b.path[lane] = p.rigidity, p.mass, p.longest, p.path
    b.left[lane], b.own_path[lane] = p.left, p.own_path
    b.reflections[lane], b.reflections_along[lane] = p.reflections, p.reflections_along
    b.rest[lane], b.bx[lane], b.by[lane], b.bz[lane] = p.rest, p.bx, p.by, p.bz
    b.key0[lane], b.key1[lane] = np.uint32(p.key & np.uint64(0xFFFFFFFF)), np.uint32(p.key >> np.uint64(32))
    b.taken[lane], b.alive[lane], b.due[lane] = p.taken, p.alive, p.due


@part()
def store_lane(b, lane, p):
    """Store a particle from its lane."""
    p.x, p.y, p.z = b.x[lane], b.y[lane], b.z[lane]
    p.vx, p.vy, p.vz, p.momentum = b.vx[lane], b.vy[lane], b.vz[lane], b.momentum[lane]
    p.path, p.left, p.own_path = b.path[lane], b.left[lane], b.own_path[lane]
    p.reflections, p.reflections_along = b.reflections[lane], b.reflections_along[lane]
    p.rest, p.bx, p.by, p.bz = b.rest[lane], b.bx[lane], b.by[lane], b.bz[lane]
    p.taken, p.alive, p.due = b.taken[lane], b.alive[lane], b.due[lane]


@kernel()
def load(b, particles, order, first):
    """Load particles of `order` from `first` on and fill the batch up with the last; return how many there are."""
    filled = min(LANES, order.size - first)
    b.lanes = (filled + VECTOR - 1) // VECTOR * VECTOR
    for lane in range(b.lanes):
        load_lane(b, lane, particles[order[first + min(lane, filled - 1)]])
    return filled


@kernel()
def store(b, particles, order, first, filled):
    """Store the particles that `load` put into a batch."""
    for lane in range(filled):
        store_lane(b, lane, particles[order[first + lane]])

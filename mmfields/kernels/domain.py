"""Particles through one part of a field: each goes on until its path ends, or until it needs what lies elsewhere.

The arithmetic of every step is that of :mod:`~mmfields.kernels.trace`; here each lane of a batch keeps its own count.
"""

from collections import namedtuple

import numpy as np
from numba import njit

from mmfields.kernels import push
from mmfields.kernels.interpolate import gather, locate, scales
from mmfields.kernels.lanes import LANES
from mmfields.kernels.trace import (
    DIRECTLY,
    HELD,
    LONGEST,
    ONCE,
    PATH,
    RIGIDITY,
    new_batch,
    number,
    record,
    run_guarded,
    set_local,
)
from mmfields.kernels.waves import new_levels
from mmfields.kernels.window import enter

# Particles: place (n, 19), the start of `trace_block`, then what is left of the interval and the field of the last
# step, where steps are local; random keys; steps taken as there; saved points behind them; steps due before the next;
# cells that they need, (n, 3) in x, y, z order.
Particles = namedtuple("Particles", "place keys taken saves due goals")

# A saved point is looked up for so many lanes at once, which wait for each other.
TOGETHER = LANES // 8
NOBODY = np.int64(-1)


@njit(nogil=True, cache=True)
def take(batch, extra, left, particles, lane, i):
    """A particle into a lane."""
    place = particles.place
    batch.x[lane], batch.y[lane], batch.z[lane] = place[i, 0], place[i, 1], place[i, 2]
    batch.vx[lane], batch.vy[lane], batch.vz[lane], extra.p[lane] = place[i, 3], place[i, 4], place[i, 5], place[i, 6]
    for row in range(8):
        extra.ledger[row, lane] = place[i, 7 + row]
    left[lane], batch.bx[lane], batch.by[lane], batch.bz[lane] = place[i, 15], place[i, 16], place[i, 17], place[i, 18]
    key, taken = particles.keys[i], particles.taken[i]
    extra.key0[lane], extra.key1[lane] = np.uint32(key & np.uint64(0xFFFFFFFF)), key >> np.uint64(32)
    extra.alive[lane] = taken >= 0
    extra.taken[lane] = taken if taken >= 0 else -1 - taken


@njit(nogil=True, cache=True)
def give_back(batch, extra, left, particles, goals, lane, i):
    """A particle out of its lane, with the cells that it needs next."""
    place = particles.place
    place[i, 0], place[i, 1], place[i, 2] = batch.x[lane], batch.y[lane], batch.z[lane]
    place[i, 3], place[i, 4], place[i, 5], place[i, 6] = batch.vx[lane], batch.vy[lane], batch.vz[lane], extra.p[lane]
    for row in range(8):
        place[i, 7 + row] = extra.ledger[row, lane]
    place[i, 15], place[i, 16], place[i, 17], place[i, 18] = left[lane], batch.bx[lane], batch.by[lane], batch.bz[lane]
    particles.taken[i] = extra.taken[lane] if extra.alive[lane] else -1 - extra.taken[lane]
    particles.goals[i, 0], particles.goals[i, 1], particles.goals[i, 2] = goals[0, lane], goals[1, lane], goals[2, lane]


@njit(nogil=True, cache=True)
def leave(batch, extra, left, particles, goals, members, lane):
    """Give a particle back and leave its lane empty."""
    give_back(batch, extra, left, particles, goals, lane, members[lane])
    members[lane], left[lane] = NOBODY, 0.0


@njit(nogil=True, cache=True)
def fill(batch, extra, left, particles, members, queue):
    """Particles from `queue` on into the empty lanes; the next of the queue."""
    for lane in range(LANES):
        if members[lane] == NOBODY and queue < particles.saves.size:
            take(batch, extra, left, particles, lane, queue)
            members[lane] = queue
            queue += 1
    return queue


@njit(nogil=True, cache=True, error_model="numpy")
def set_due(batch, extra, particles, members, intervals):
    """Steps of one length in each lane's interval; how many all of those that move have before them."""
    count = 0
    for lane in range(LANES):
        i, length = members[lane], 0.0
        if i != NOBODY and extra.alive[lane] and particles.due[i] > 0:
            save = particles.saves[i]
            length = intervals[save] / number(intervals[save], extra.ledger[LONGEST, lane])
            count = particles.due[i] if count == 0 else min(count, particles.due[i])
        batch.half[lane] = extra.reach[lane] = 0.5 * length
        batch.turn[lane] = batch.half[lane] / extra.ledger[RIGIDITY, lane]
    return count


@njit(nogil=True, cache=True)
def remember(left, batch, before):
    """What a particle that cannot make its step is to have again."""
    before[0], before[1], before[2], before[3] = left, batch.bx, batch.by, batch.bz


@njit(nogil=True, cache=True)
def restore(before, lane, left, batch):
    """What `remember` remembered of a lane."""
    left[lane] = before[0, lane]
    batch.bx[lane], batch.by[lane], batch.bz[lane] = before[1, lane], before[2, lane], before[3, lane]


@njit(nogil=True, cache=True)
def step(
    grid, window, scatter, electric, octaves, levels, batch, extra, left, before, particles, members,
    intervals, fraction
):  # fmt: skip
    """Some steps of all that can move; whether any did."""
    remember(left, batch, before)
    if fraction > 0.0:
        slow = electric.pusher != push.NONE
        count = ONCE if set_local(batch, extra, fraction, slow, left) else DIRECTLY
        for lane in range(LANES):  # no step at all, in a field without end: the interval is over, as it is elsewhere
            if not batch.half[lane] > 0.0:
                batch.half[lane] = left[lane] = 0.0
    else:
        count = set_due(batch, extra, particles, members, intervals)
    if count == 0:
        return False
    moved, taken = batch.half != 0.0, extra.taken.copy()
    run_guarded(grid, window, scatter, electric, octaves, levels, DIRECTLY, batch, extra, HELD, count)
    for lane in range(LANES):
        if moved[lane] and members[lane] != NOBODY:
            particles.due[members[lane]] -= extra.taken[lane] - taken[lane]
            if batch.half[lane] == 0.0:
                restore(before, lane, left, batch)
                leave(batch, extra, left, particles, window.goals, members, lane)
    return True


@njit(nogil=True, cache=True)
def arrived(extra, left, particles, members, ends, fraction, out):
    """Which lanes are at a saved point; how many."""
    for lane in range(LANES):
        i = members[lane]
        there = i != NOBODY and (not extra.alive[lane] or (left[lane] if fraction > 0.0 else particles.due[i]) == 0)
        out[lane] = there
        if there and extra.alive[lane]:
            extra.ledger[PATH, lane] = ends[particles.saves[i]]
    return out.sum()


@njit(nogil=True, cache=True)
def look(grid, window, electric, batch, extra):
    """Field at the positions of a batch; half a step of none marks those that the window does not hold."""
    inverse, shift, wraps = scales(grid.shape, grid.low, grid.high, grid.walls)
    x, y, z, _, _, _, half, _, bx, by, bz, kx, ky, kz, wx, wy, wz = batch
    half[:] = 1.0
    locate(grid.shape, inverse, shift, wraps, grid.kind, x, y, z, kx, ky, kz, wx, wy, wz)
    enter(window, grid.shape, grid.kind, kx, ky, kz, half)
    gather(grid.data, window.extents, grid.kind, kx, ky, kz, wx, wy, wz, bx, by, bz)
    if electric.pusher != push.NONE:
        gather(electric.data, window.extents, grid.kind, kx, ky, kz, wx, wy, wz, extra.ex, extra.ey, extra.ez)


@njit(nogil=True, cache=True)
def saved(row, there, window, batch, extra, left, before, particles, members, intervals, found, of, filled):
    """Rows of the lanes that have arrived, of which the field has been looked up, and their next intervals."""
    last = intervals.size
    for lane in range(LANES):
        i = members[lane]
        if not there[lane]:
            restore(before, lane, left, batch)
        elif batch.half[lane] == 0.0:
            leave(batch, extra, left, particles, window.goals, members, lane)
        else:
            until = particles.saves[i] + 1 if extra.alive[lane] else last  # what has stopped stays where it is
            for save in range(particles.saves[i], until):
                found[filled], of[filled, 0], of[filled, 1] = row[0, :, lane], i, save
                filled += 1
            particles.saves[i] = until
            if until == last:
                leave(batch, extra, left, particles, window.goals, members, lane)
            else:
                left[lane] = intervals[until]
                particles.due[i] = number(intervals[until], extra.ledger[LONGEST, lane])
    return filled


@njit(nogil=True, cache=True)
def grown(array, filled, needed):
    """The array, or a longer one that begins as it does."""
    if filled + needed <= array.shape[0]:
        return array
    longer = np.empty((2 * array.shape[0] + needed, array.shape[1]), array.dtype)
    longer[:filled] = array[:filled]
    return longer


@njit(nogil=True, cache=True)
def trace_domain(grid, window, scatter, electric, octaves, particles, intervals, ends, fraction, rows):
    """Trace particles as `trace_block` does, as far as the cells of a window allow.

    Parameters
    ----------
    grid : Grid
        Of the whole field; its data are those of the window.
    window : Window
    scatter, electric
        As of `trace_block`; their data are those of the window too.
    octaves : Octaves
        None.
    particles : Particles
        Changed: those whose ``saves`` are not all the intervals need the cells of their ``goals``.
    intervals, ends, fraction, rows
        As of `trace_block`; where `fraction` is positive the first interval is to be 0.

    Returns
    -------
    (m, rows) float array
        Rows of `trace_block` of those saved points that were reached.
    (m, 2) int array
        Whose they are: particle and saved point.
    """
    batch, extra = new_batch()
    levels, left, before, there = new_levels(octaves), np.zeros(LANES), np.empty((4, LANES)), np.empty(LANES, np.bool_)
    members, queue, filled = np.full(LANES, NOBODY), 0, 0
    row, found, of = np.empty((1, rows, LANES)), np.empty((LANES, rows)), np.empty((LANES, 2), np.int64)
    for lane in range(LANES):  # empty lanes are computed too
        take(batch, extra, left, particles, lane, 0)
    left[:] = 0.0
    while True:
        queue = fill(batch, extra, left, particles, members, queue)
        if (members == NOBODY).all():
            return found[:filled], of[:filled]
        moved = step(
            grid, window, scatter, electric, octaves, levels, batch, extra, left, before, particles, members,
            intervals, fraction
        )  # fmt: skip
        together = arrived(extra, left, particles, members, ends, fraction, there)
        if together >= TOGETHER or (together > 0 and not moved):
            remember(left, batch, before)
            look(grid, window, electric, batch, extra)
            record(batch, extra, 0, 0, row)
            most = together * intervals.size
            found, of = grown(found, filled, most), grown(of, filled, most)
            filled = saved(
                row, there, window, batch, extra, left, before, particles, members, intervals, found, of, filled
            )

"""Particles through one part of a field: each goes on until its path ends, or until it needs what lies elsewhere.

The arithmetic of every step is that of :mod:`~mmfields.kernels.trace` for a field that is `still`, and that of
:mod:`~mmfields.kernels.evolving` for one that is `moving`, a window in time and its fields; the other of these is None.
Here each lane of a batch keeps its own count.
"""

import numpy as np

from mmfields.kernels._jit import entry, kernel, part
from mmfields.kernels.batch import LANES, VECTOR, load_lane, store_lane
from mmfields.kernels.evolving import look_where_they_are, run_pair
from mmfields.kernels.interpolate import gather, locate
from mmfields.kernels.saved import Saved, save_lane
from mmfields.kernels.steps import number, run_guarded, set_local
from mmfields.kernels.vectors import told_to_stop
from mmfields.kernels.window import enter

# A saved point is looked up for so many lanes at once, which wait for each other.
TOGETHER = 8
NOBODY = -1


@kernel()
def fill(b, particles, plan, queue):
    """Particles from `queue` on into the empty lanes; the next of the queue."""
    for lane in range(b.lanes):
        if b.member[lane] == NOBODY and queue < particles.size:
            load_lane(b, lane, particles[queue])
            b.member[lane], b.until[lane] = queue, plan[particles[queue].save].end
            queue += 1
    return queue


@kernel()
def leave(b, particles, lane):
    """A particle out of its lane, with the cells that it needs next; the lane is empty then."""
    p = particles[b.member[lane]]
    store_lane(b, lane, p)
    p.goal[0], p.goal[1], p.goal[2] = b.goals[0, lane], b.goals[1, lane], b.goals[2, lane]
    b.member[lane], b.rest[lane], b.due[lane] = NOBODY, 0.0, 0


@part()
def nobody(b):
    """Whether all lanes are empty."""
    count = 0
    for lane in range(b.lanes):
        count += 1 if b.member[lane] != NOBODY else 0
    return count == 0


@kernel()
def set_due(b, particles, plan):
    """Steps of one length in each lane's interval; how many all of those that move have before them."""
    count = np.int64(0)
    for lane in range(b.lanes):
        i, length = b.member[lane], 0.0
        if i != NOBODY and b.alive[lane] and b.due[lane] > 0:
            interval = plan[particles[i].save].length
            length = interval / number(interval, b.longest[lane])
            count = b.due[lane] if count == 0 else min(count, b.due[lane])
        b.half[lane] = b.reach[lane] = 0.5 * length
        b.turn[lane] = b.half[lane] / b.rigidity[lane]
    return count


@kernel()
def remember(b):
    """What a particle that cannot make its step is to have again."""
    for lane in range(b.lanes):
        b.before[0, lane], b.before[1, lane] = b.rest[lane], b.bx[lane]
        b.before[2, lane], b.before[3, lane] = b.by[lane], b.bz[lane]


@kernel()
def restore(b, lane):
    """What `remember` remembered of a lane."""
    b.rest[lane], b.bx[lane] = b.before[0, lane], b.before[1, lane]
    b.by[lane], b.bz[lane] = b.before[2, lane], b.before[3, lane]


@kernel()
def plan_steps(b, s, particles, plan):
    """Lengths of the next steps; how many all of those that move can make."""
    remember(b)
    if s.fraction <= 0.0:
        return set_due(b, particles, plan)
    moving = set_local(b, s)
    for lane in range(b.lanes):  # no step at all, in a field without end: the interval is over, as it is elsewhere
        if not b.half[lane] > 0.0:
            b.half[lane] = b.rest[lane] = 0.0
    return np.int64(1) if moving else np.int64(0)


@kernel()
def run_on(b, s, still, moving, particles, count):
    """So many steps; those that need other cells are given back."""
    for lane in range(b.lanes):
        b.begun[lane], b.moved[lane] = b.taken[lane], b.half[lane] != 0.0
    if still is not None:
        run_guarded(b, s, still.data, still.electric, still.mask, still.octaves, None, count)
    if moving is not None:
        run_pair(b, s, moving[0], moving[1], count)
    for lane in range(b.lanes):
        b.due[lane] -= b.taken[lane] - b.begun[lane]
        if b.moved[lane] and b.member[lane] != NOBODY and b.half[lane] == 0.0:
            restore(b, lane)
            leave(b, particles, lane)


@kernel()
def mark_arrived(b, s):
    """Which lanes are at a saved point; how many."""
    count = 0
    for lane in range(b.lanes):
        done = b.rest[lane] == 0.0 if s.fraction > 0.0 else b.due[lane] == 0
        there = b.member[lane] != NOBODY and (not b.alive[lane] or done)
        b.arrived[lane] = there
        count += 1 if there else 0
        if there and b.alive[lane]:
            b.path[lane] = b.until[lane]
    return count


@kernel()
def look_at_rest(b, s, data, electric):
    """Field at the positions of a batch, where it does not change."""
    locate(b, s)
    enter(b, s)
    gather(b, s, data, b.bx, b.by, b.bz)
    if electric is not None:
        gather(b, s, electric, b.ex, b.ey, b.ez)


@kernel()
def look(b, s, still, moving):
    """Field at the positions of a batch; half a step of none marks those for which cells are not there."""
    remember(b)
    for lane in range(b.lanes):
        b.half[lane] = 1.0
    if still is not None:
        look_at_rest(b, s, still.data, still.electric)
    if moving is not None:
        look_where_they_are(b, s, moving[0], moving[1])


@kernel()
def save_arrived(b, moving, particles, plan, found, of, filled):
    """Rows of the lanes that have arrived, of which the field has been looked up, and their next intervals.

    What has stopped stays where it is: a field at rest has one value there for all intervals that are left, and one
    that changes is looked up at the end of each.
    """
    for lane in range(b.lanes):
        if not b.arrived[lane]:
            restore(b, lane)
        elif b.half[lane] == 0.0:
            leave(b, particles, lane)
        else:
            p = particles[b.member[lane]]
            until = p.save + 1 if b.alive[lane] or moving is not None else plan.size
            for i in range(p.save, until):
                if plan[i].save >= 0:
                    save_lane(b, lane, found, filled, 0)
                    of[filled, 0], of[filled, 1] = b.member[lane], plan[i].save
                    filled += 1
            p.save = until
            if until == plan.size:
                leave(b, particles, lane)
            else:
                b.rest[lane], b.until[lane] = plan[until].length, plan[until].end
                b.due[lane] = number(plan[until].length, b.longest[lane])
    return filled


@part()
def grown(array, filled, needed):
    """The array, or a longer one that begins as it does; one without rows stays so."""
    if array.shape[0] == 0 or filled + needed <= array.shape[0]:
        return array
    longer = np.empty((2 * array.shape[0] + needed, array.shape[1]), array.dtype)
    for i in range(filled):
        for j in range(array.shape[1]):
            longer[i, j] = array[i, j]
    return longer


@kernel()
def with_room(found, filled, needed):
    """Rows of the result, with room for more."""
    return Saved(
        grown(found.always, filled, needed),
        grown(found.local, filled, needed),
        grown(found.driven, filled, needed),
        grown(found.walled, filled, needed),
        found.centred,
    )


@kernel()
def through_domain(b, s, still, moving, particles, plan, found):
    """What the entries below do."""
    b.lanes = min(LANES, (particles.size + VECTOR - 1) // VECTOR * VECTOR)
    for lane in range(b.lanes):  # empty lanes are computed too
        load_lane(b, lane, particles[0])
        b.member[lane], b.rest[lane], b.due[lane] = NOBODY, 0.0, 0
    queue, filled, of = 0, 0, np.empty((LANES, 2), np.int64)
    while not told_to_stop(s):
        queue = fill(b, particles, plan, queue)
        if nobody(b):
            break
        count = plan_steps(b, s, particles, plan)
        if count > 0:
            run_on(b, s, still, moving, particles, count)
        together = mark_arrived(b, s)
        if together >= min(TOGETHER, b.lanes) or (together > 0 and count == 0):
            look(b, s, still, moving)
            found, of = with_room(found, filled, together * plan.size), grown(of, filled, together * plan.size)
            filled = save_arrived(b, moving, particles, plan, found, of, filled)
    return found, of[:filled]


@entry()
def trace_domain(batches, setup, fields, particles, plan, found):
    """Trace particles as the entries of `trace` do, as far as the cells that are there allow.

    Parameters
    ----------
    batches, setup, fields, particles, plan
        As there; the setup is of the whole grid, the data are those of a part of it.  Particles are changed: those
        whose ``save`` is not the number of intervals need the cells of their ``goal``.  The first interval is to be 0.
        The ends of intervals with a negative `save` are not saved.
    found : Saved
        Of a row at least, with rows of what is to be saved.

    Returns
    -------
    Saved, (m, 2) int array
        Rows, (m, 1), of those saved points that were reached, and whose they are: particle and saved point.
    """
    return through_domain(batches[0], setup[0], fields, None, particles, plan, found)


@entry()
def trace_evolving_domain(batches, setup, window, fields, particles, plan, found):
    """As `trace_domain`, through a window in time; `window` and `fields` are those of `trace_evolving`."""
    return through_domain(batches[0], setup[0], None, (window[0], fields), particles, plan, found)

"""Lengths of steps, and the steps themselves: half a drift, a rotation halfway, half a drift."""

from math import ceil, sqrt

import numpy as np

from mmfields.kernels._jit import kernel, part
from mmfields.kernels.interpolate import gather, interpolate, locate
from mmfields.kernels.push import boris, drift, drift_twice, push, set_reach
from mmfields.kernels.scatter import count_from, scatter
from mmfields.kernels.setup import Interpolation, Patches, Pusher
from mmfields.kernels.sums import sum_at
from mmfields.kernels.vectors import told_to_stop
from mmfields.kernels.walls import bounce, hold, keep
from mmfields.kernels.waves import plan_levels
from mmfields.kernels.window import enter

# Steps that follow the local gyroradius shrink no further once the momentum is below this part of the initial one.
SLOWEST = 1e-3


@kernel()
def set_fixed(b, length):
    """Set steps of the same length for all particles."""
    for lane in range(b.lanes):
        b.half[lane] = b.reach[lane] = 0.5 * length
        b.turn[lane] = b.half[lane] / b.rigidity[lane]


@part()
def number(interval, longest):
    """The fewest equal steps that divide an interval, none of them longer than `longest`."""
    return np.int64(ceil(interval / longest * (1.0 - 1e-12)))


@kernel()
def set_own(b, interval):
    """Set equal steps by each particle's own longest step; `due` counts the steps it still has to make."""
    for lane in range(b.lanes):
        count = number(interval, b.longest[lane]) if b.alive[lane] else np.int64(0)
        b.due[lane] = count
        b.half[lane] = b.reach[lane] = 0.5 * (interval / count) if count > 0 else 0.0
        b.turn[lane] = b.half[lane] / b.rigidity[lane]


@kernel()
def least_due(b):
    """The number of steps that all moving particles still have to make; the other particles stand still."""
    count = np.int64(0)
    for lane in range(b.lanes):
        if b.due[lane] > 0 and b.alive[lane]:
            count = b.due[lane] if count == 0 else min(count, b.due[lane])
        else:
            b.half[lane] = b.reach[lane] = 0.0
    return count


@kernel()
def set_local(b, s):
    """Set steps of a fraction of the local gyroradius, at most the longest; return whether any particle moves.

    Each step is subtracted from `rest`, what is left of the particle's interval.  Both limits are lengths along the
    particle's own path.  With an electric field intervals are c times time, which makes the steps of a slow particle
    longer in that unit.
    """
    moving = False
    for lane in range(b.lanes):
        bx, by, bz = b.bx[lane], b.by[lane], b.bz[lane]
        # the floor keeps a particle that an electric field has brought to rest from steps of no length
        p = max(b.momentum[lane], SLOWEST)
        strength = sqrt(bx * bx + by * by + bz * bz)
        step = min(s.fraction * abs(b.rigidity[lane]) * p / strength, b.longest[lane])
        if s.pusher != Pusher.NONE:
            step = step * (sqrt(b.mass[lane] * b.mass[lane] + p * p) / p)
        # the last step takes all that is left, so that rounding leaves no tiny step behind it
        step = b.rest[lane] if step >= b.rest[lane] * (1.0 - 1e-12) else step
        step = step if b.alive[lane] else 0.0
        rest = 0.0 if step == b.rest[lane] else b.rest[lane] - step
        if step > 0.0 and rest == b.rest[lane]:  # rounding loses the step: the orbit would never end
            b.vx[lane], b.alive[lane], step, rest = np.nan, 0, 0.0, 0.0
        b.rest[lane] = rest
        b.half[lane] = b.reach[lane] = 0.5 * step
        b.turn[lane] = b.half[lane] / b.rigidity[lane]
        moving = moving or step > 0.0
    return moving


@kernel()
def count_steps(b, count):
    """Add `count` to the steps taken by all particles that move."""
    for lane in range(b.lanes):
        b.taken[lane] += count if b.alive[lane] and b.half[lane] != 0.0 else 0


@kernel()
def plan_sum(b, s, octaves, levels, step, count):
    """Replace waves by polynomials over `count` steps of one length, where the field is a sum of waves."""
    if octaves is not None:
        is_waves = s.interpolation != Interpolation.NESTED
        b.many = plan_levels(octaves, step, count, levels) if is_waves else np.int64(0)


@kernel()
def field_at(b, s, data, octaves, levels, step):
    """Field at the positions of a batch, at a given step of an interval."""
    if octaves is None:
        locate(b, s)
        if s.limited:
            enter(b, s)
        gather(b, s, data, b.bx, b.by, b.bz)
    else:
        sum_at(b, s, data, octaves, levels, step)


@kernel()
def look(b, s, data, electric, octaves, levels):
    """Fields at the positions of a batch, between intervals."""
    b.many = 0
    if octaves is None:
        interpolate(b, s, data)
    else:
        sum_at(b, s, data, octaves, levels, np.int64(0))
    if electric is not None:
        gather(b, s, electric, b.ex, b.ey, b.ez)


@part()
def run_plain(b, s, data, count):
    """Make `count` steps through a periodic box without scattering, and find the field where they end."""
    if count > 0:
        drift(b, b.half)
    for step in range(count + 1):
        if told_to_stop(s):
            break
        interpolate(b, s, data)
        if step < count:
            boris(b)
            if step < count - 1:
                drift_twice(b)
            else:
                drift(b, b.half)


@part()
def run_sum(b, s, data, octaves, levels, count):
    """As `run_plain`, for a field that is a sum; at the end point all terms are summed directly."""
    if count > 0:
        drift(b, b.half)
    for step in range(count + 1):
        if told_to_stop(s):
            break
        if step == count:
            b.many = 0
        sum_at(b, s, data, octaves, levels, step)
        if step < count:
            boris(b)
            if step < count - 1:
                drift_twice(b)
            else:
                drift(b, b.half)


@part()
def begin_step(b, s):
    """The first half of a step."""
    if s.held:
        keep(b)
    if s.pusher != Pusher.NONE:
        set_reach(b)
    drift(b, b.reach)


@kernel()
def end_step(b, s, electric, mask, again):
    """The second half of a step, with reflections at walls and the scattering at its end.

    `again` says that the scattering angles of the previous step do not hold for this one.
    """
    if electric is None:
        boris(b)
    else:
        push(b, s.pusher)
        set_reach(b)
    drift(b, b.reach)
    bounce(b, s)
    if s.patches != Patches.NONE:
        scatter(b, s, mask, again or electric is not None)
    if s.held:
        count_steps(b, np.int64(1))
        hold(b, s)


@kernel()
def run_guarded(b, s, data, electric, mask, octaves, levels, count):
    """As `run_plain`, with walls, an electric field, and scattering in the phase at the middle of each step.

    A particle that needs cells beyond the window stands still from that step on.
    """
    count_from(b)
    for step in range(count):
        if told_to_stop(s):
            break
        begin_step(b, s)
        field_at(b, s, data, octaves, levels, step)
        if electric is not None:
            gather(b, s, electric, b.ex, b.ey, b.ez)
        end_step(b, s, electric, mask, step == 0)
    if not s.held:
        count_steps(b, count)

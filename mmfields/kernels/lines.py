"""Field lines by the classical Runge-Kutta rule of fourth order, for a batch in lockstep.

A batch of lines is a batch of particles whose velocity is the unit vector of the field.  ``half`` is half the step,
with the sign of the direction in which a line is followed, 0 once it has ended; ``path`` is the arc length at which the
step began, and ``longest`` its length; rows of ``kept`` hold where the step began, the sum of the rule, and its last
slope.
"""

from collections import namedtuple
from math import sqrt

import numpy as np

from mmfields.kernels._jit import entry, kernel, part
from mmfields.kernels.batch import LANES, VECTOR
from mmfields.kernels.evolving import WAVE, waves_in_time
from mmfields.kernels.interpolate import gather, locate
from mmfields.kernels.own import call, stop_where_odd
from mmfields.kernels.saved import length_of
from mmfields.kernels.setup import Wall
from mmfields.kernels.sums import sum_at
from mmfields.kernels.vectors import told_to_stop
from mmfields.kernels.waves import new_levels
from mmfields.kernels.window import enter

SEED = np.dtype(
    (np.record, np.dtype([*((n, "f8") for n in ("x", "y", "z", "error", "left")), ("alive", "u1")], align=True))
)
"""Where a line goes on: ``error`` of what lies behind, arc length ``left`` at which it has ended, NaN before."""

POINT = np.dtype(
    (
        np.record,
        np.dtype(
            [*((n, "f8") for n in ("x", "y", "z", "bx", "by", "bz", "B", "error", "left")), ("alive", "u1")], align=True
        ),
    )
)
"""A saved point of a line: place, unit vector and strength of the field, sum of the estimated errors so far."""

# Flat data of the field; parts of a sum, or None; a user's function and an array that holds one `WINDOW`, or None: with
# a function the data are waves that are added to it.
Through = namedtuple("Through", "data octaves own", defaults=(None, None))

# Halvings that find where a line crosses a wall within its step.
HALVINGS = 50
# Stages of a step, after two in the middle, and what is none.
BEGIN, FINISH, ARRIVE, LOOK = 0, 2, 3, 4


@kernel()
def field_now(b, s, data, octaves, own, levels):
    """Field at the positions of a batch, all waves of a sum directly; in a window, those beyond it stand still."""
    if own is not None:
        call(own[0], b)
        if data.size >= WAVE:
            waves_in_time(b, data, s.cells[0])
        stop_where_odd(b, s, own[1][0], False)
    elif octaves is None:
        locate(b, s)
        if s.limited:
            enter(b, s)
        gather(b, s, data, b.bx, b.by, b.bz)
    else:
        sum_at(b, s, data, octaves, levels, np.int64(0))


@part()
def over_length(bx, by, bz):
    """One over the strength of a field; 0 where there is none, so that a line stands still there."""
    square = bx * bx + by * by + bz * bz
    return 1.0 / sqrt(square) if square > 0.0 else 0.0


@kernel()
def begin(b):
    """The first stage, halfway along the slope that is known."""
    kept = b.kept
    for lane in range(b.lanes):
        x, y, z, h = b.x[lane], b.y[lane], b.z[lane], b.half[lane]
        u, v, w = b.vx[lane], b.vy[lane], b.vz[lane]
        kept[0, lane], kept[1, lane], kept[2, lane] = x, y, z
        kept[3, lane], kept[4, lane], kept[5, lane] = u, v, w
        b.x[lane], b.y[lane], b.z[lane] = x + h * u, y + h * v, z + h * w


@kernel()
def advance(b, reach):
    """One of the middle stages: its slope counts twice, and leads to the next, so many halves of a step away."""
    kept = b.kept
    for lane in range(b.lanes):
        bx, by, bz = b.bx[lane], b.by[lane], b.bz[lane]
        inverse, h = over_length(bx, by, bz), reach * b.half[lane]
        u, v, w = bx * inverse, by * inverse, bz * inverse
        kept[3, lane] += 2.0 * u
        kept[4, lane] += 2.0 * v
        kept[5, lane] += 2.0 * w
        b.x[lane], b.y[lane], b.z[lane] = kept[0, lane] + h * u, kept[1, lane] + h * v, kept[2, lane] + h * w


@kernel()
def finish(b):
    """The last stage: where the step ends; its slope is kept for the error."""
    kept, third = b.kept, 1.0 / 3.0
    for lane in range(b.lanes):
        bx, by, bz = b.bx[lane], b.by[lane], b.bz[lane]
        inverse, h = over_length(bx, by, bz), third * b.half[lane]
        u, v, w = bx * inverse, by * inverse, bz * inverse
        b.x[lane] = kept[0, lane] + h * (kept[3, lane] + u)
        b.y[lane] = kept[1, lane] + h * (kept[4, lane] + v)
        b.z[lane] = kept[2, lane] + h * (kept[5, lane] + w)
        kept[6, lane], kept[7, lane], kept[8, lane] = u, v, w


@kernel()
def arrive(b, second):
    """The slope where a step has ended, and the error of the step, which `own_path` adds up.

    With this slope in place of its last the rule is one of third order; and over a pair of steps Simpson's rule with
    the slopes at their ends differs from that with those in their middles too.  Either difference is more than the
    error of what it is of.
    """
    kept, sums, third = b.kept, b.before, 1.0 / 3.0
    own, first = (1.0, 4.0) if second else (3.0, 2.0)
    for lane in range(b.lanes):
        bx, by, bz = b.bx[lane], b.by[lane], b.bz[lane]
        inverse, share = over_length(bx, by, bz), third * abs(b.half[lane])
        u, v, w = bx * inverse, by * inverse, bz * inverse
        p, q, r = u - kept[6, lane], v - kept[7, lane], w - kept[8, lane]
        b.own_path[lane] += share * sqrt(p * p + q * q + r * r)
        p = first * b.vx[lane] - kept[3, lane] + own * u
        q = first * b.vy[lane] - kept[4, lane] + own * v
        r = first * b.vz[lane] - kept[5, lane] + own * w
        if second:
            p, q, r = p + sums[0, lane], q + sums[1, lane], r + sums[2, lane]
            b.own_path[lane] += share * sqrt(p * p + q * q + r * r)
        sums[0, lane], sums[1, lane], sums[2, lane] = p, q, r
        # where a line has begun is needed to cut the step at a wall
        kept[3, lane], kept[4, lane], kept[5, lane] = b.vx[lane], b.vy[lane], b.vz[lane]
        b.vx[lane], b.vy[lane], b.vz[lane] = u, v, w


@kernel()
def outside(x, s, a):
    """Whether a coordinate lies beyond a wall."""
    return s.walls[a] != Wall.PERIODIC and (x < s.low[a] or x > s.high[a])


@kernel()
def hermite(t, low, high, h, first, last):
    """Cubic with these values and slopes at the ends of a step of length h."""
    r = 1.0 - t
    return r * r * ((1.0 + 2.0 * t) * low + t * h * first) + t * t * ((1.0 + 2.0 * r) * high - r * h * last)


@kernel()
def along(b, lane, a, t):
    """Coordinate of a line within its last step, at a share of it."""
    end, slope = b.position[a, lane], b.vx[lane]
    slope = b.vy[lane] if a == 1 else slope
    slope = b.vz[lane] if a == 2 else slope
    return hermite(t, b.kept[a, lane], end, 2.0 * b.half[lane], b.kept[3 + a, lane], slope)


@kernel()
def leaves(b, s, lane, t):
    """Whether a line lies beyond a wall at a share of its last step."""
    x, y, z = along(b, lane, 0, t), along(b, lane, 1, t), along(b, lane, 2, t)
    return outside(x, s, 0) or outside(y, s, 1) or outside(z, s, 2)


@kernel()
def end_at_walls(b, s):
    """End the lines that have left the box at its face, and those that have come to where there is no field.

    Whether any position has been changed.
    """
    changed = False
    for lane in range(b.lanes):
        if b.alive[lane] == 0 or b.half[lane] == 0.0:
            continue
        if outside(b.x[lane], s, 0) or outside(b.y[lane], s, 1) or outside(b.z[lane], s, 2):
            low, high = 0.0, 1.0
            for _ in range(HALVINGS):
                middle = 0.5 * (low + high)
                if leaves(b, s, lane, middle):
                    high = middle
                else:
                    low = middle
            x, y, z = along(b, lane, 0, low), along(b, lane, 1, low), along(b, lane, 2, low)
            b.x[lane], b.y[lane], b.z[lane] = x, y, z
            b.alive[lane], b.half[lane], b.left[lane] = 0, 0.0, b.path[lane] + low * b.longest[lane]
            changed = True
    end_where_no_field(b)
    return changed


@kernel()
def end_where_no_field(b):
    """End the lines that have no direction to go on in."""
    for lane in range(b.lanes):
        if b.alive[lane] and b.half[lane] != 0.0 and b.vx[lane] == 0.0 and b.vy[lane] == 0.0 and b.vz[lane] == 0.0:
            b.alive[lane], b.half[lane], b.left[lane] = 0, 0.0, b.path[lane] + b.longest[lane]


@kernel()
def set_slope(b):
    """The slope where the lines are."""
    for lane in range(b.lanes):
        inverse = over_length(b.bx[lane], b.by[lane], b.bz[lane])
        b.vx[lane], b.vy[lane], b.vz[lane] = b.bx[lane] * inverse, b.by[lane] * inverse, b.bz[lane] * inverse


@kernel()
def run_stages(b, s, fields, levels, first, second):
    """One step of all lines of a batch, the second of a pair or not; with `LOOK` as its first stage the field alone.

    The field is called for in one place, since all of its code stands in each.
    """
    if first == BEGIN:
        begin(b)
    for stage in range(first, max(first, ARRIVE) + 1):
        field_now(b, s, fields.data, fields.octaves, fields.own, levels)
        if stage == LOOK:
            set_slope(b)
        elif stage == ARRIVE:
            arrive(b, second)
        elif stage == FINISH:
            finish(b)
        else:
            advance(b, 1.0 + stage)


@kernel()
def load_seeds(b, seeds, first):
    """Seeds from `first` on into a batch, which is filled up with the last of them; their number."""
    filled = min(LANES, seeds.size - first)
    b.lanes = (filled + VECTOR - 1) // VECTOR * VECTOR
    for lane in range(b.lanes):
        p = seeds[first + min(lane, filled - 1)]
        b.x[lane], b.y[lane], b.z[lane] = p.x, p.y, p.z
        b.own_path[lane], b.left[lane], b.alive[lane], b.half[lane] = p.error, p.left, p.alive, 1.0
    return filled


@kernel()
def set_paths(b, path, step):
    """Where the next step of all lines begins, and how long it is."""
    for lane in range(b.lanes):
        b.path[lane], b.longest[lane] = path, step


@kernel()
def end_some(b, s, fields, levels, walled):
    """End the lines whose last step is their last; the field is known where they are then."""
    if walled:
        if end_at_walls(b, s):
            run_stages(b, s, fields, levels, LOOK, False)
    else:
        end_where_no_field(b)


@kernel()
def set_steps(b, step):
    """Signed half steps of the lines that go on; whether there are any."""
    any_ = False
    for lane in range(b.lanes):
        b.half[lane] = 0.5 * step if b.alive[lane] else 0.0
        any_ = any_ or b.alive[lane] != 0
    return any_


@part()
def save_line(b, lane, p):
    """A saved point of a line."""
    p.x, p.y, p.z = b.x[lane], b.y[lane], b.z[lane]
    p.bx, p.by, p.bz = b.vx[lane], b.vy[lane], b.vz[lane]
    p.B = length_of(b.bx[lane], b.by[lane], b.bz[lane])
    p.error, p.left, p.alive = b.own_path[lane], b.left[lane], b.alive[lane]


@part()
def has_walls(s):
    """Whether any axis has walls."""
    return s.walls[0] != Wall.PERIODIC or s.walls[1] != Wall.PERIODIC or s.walls[2] != Wall.PERIODIC


@entry()
def follow(batches, setup, fields, seeds, plan, sign, out):
    """Follow lines along the field, or against it.

    Parameters
    ----------
    batches, setup : arrays of one BATCH and one SETUP
    fields : Through
    seeds : (n,) SEED array
    plan : (s,) INTERVAL array
        All lines make the same steps, an even number in each interval.
    sign : float
        1 or -1.
    out : (n, s) POINT array
        Filled.
    """
    b, s = batches[0], setup[0]
    levels, walled = new_levels(fields.octaves), has_walls(s)
    b.many = 0
    for first in range(0, seeds.size, LANES):
        filled = load_seeds(b, seeds, first)
        run_stages(b, s, fields, levels, LOOK, False)
        set_paths(b, plan[0].end - plan[0].length, 0.0)
        end_where_no_field(b)
        for i in range(plan.size):
            if told_to_stop(s):
                return
            step, begins = plan[i].step, plan[i].end - plan[i].length
            moving = set_steps(b, sign * step)
            for n in range(plan[i].count):
                if not moving or told_to_stop(s):
                    break
                set_paths(b, begins + n * step, step)
                run_stages(b, s, fields, levels, BEGIN, n % 2 == 1)
                end_some(b, s, fields, levels, walled)
            for lane in range(filled):
                save_line(b, lane, out[first + lane, plan[i].save])

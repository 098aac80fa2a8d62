"""Runs that follow a particle by its guiding centre where its gyration is small, and on its full orbit elsewhere.

Particles go one by one, each in a batch of its own whose first lane it is; what orbits do is what they do in
:mod:`mmfields.kernels.trace`.
"""

from math import ceil, sqrt

import numpy as np

from mmfields.kernels._jit import entry, kernel, part
from mmfields.kernels.batch import load_lane
from mmfields.kernels.centres import (
    OTHER,
    frame,
    mean_energy,
    momentum_of,
    motion,
    parts_of,
    steepness,
    whole_of,
)
from mmfields.kernels.saved import save_lane
from mmfields.kernels.scatter import count_from, draw, scatter, sine_cosine
from mmfields.kernels.setup import Patches, Pusher, Wall
from mmfields.kernels.slopes import cross, find, place_of, plus, times, value_of
from mmfields.kernels.steps import SLOWEST, begin_step, count_steps, end_step
from mmfields.kernels.vectors import told_to_stop
from mmfields.kernels.walls import arrive, hold, keep

f32 = np.float32

LIMITS = np.dtype((np.record, np.dtype([("threshold", "f8"), ("fraction", "f8"), ("ideal", "i8")], align=True)))
"""Gyroradius over the length on which the field changes, above which orbits are followed, and those below half of it
are not; the part of the local gyroradius that is a step of theirs; whether the second vector is a velocity."""

CENTRE = np.dtype(
    (
        np.record,
        np.dtype([*((n, "f8") for n in ("along", "moment", "mass", "rigidity")), ("centred", "i8")], align=True),
    )
)
"""What the particle at work is beside its lane: momentum along the field and magnetic moment of a guiding centre; mass
and rigidity as `motion` takes them; 1 for a guiding centre, 0 for an orbit, -1 before that is decided."""

NEW, ORBIT, GUIDED = -1, 0, 1
# What is to be done where a particle is: nothing, nothing but to look, scatter a guiding centre, decide what it is to
# be, look again nearer to its guiding centre, and there; make it an orbit.
DONE, LOOK, SCATTER, DECIDE, NEAR, THERE, RELEASE = 0, 1, 2, 3, 4, 5, 6


@kernel()
def position_of(b):
    """Where the particle is."""
    return b.x[0], b.y[0], b.z[0]


@kernel()
def put(b, x):
    """Another position of the particle."""
    b.x[0], b.y[0], b.z[0] = x


@kernel()
def outside(b, s):
    """Whether the particle is beyond an open wall."""
    out = s.walls[0] == Wall.OPEN and not s.low[0] <= b.x[0] <= s.high[0]
    out = out or (s.walls[1] == Wall.OPEN and not s.low[1] <= b.y[0] <= s.high[1])
    return out or (s.walls[2] == Wall.OPEN and not s.low[2] <= b.z[0] <= s.high[2])


@kernel()
def phase_of(b):
    """Sine and cosine of a random gyrophase, which is a function of particle and step."""
    count_from(b)
    b.count1[0] ^= OTHER
    draw(b)
    count_from(b)
    sine, cosine = sine_cosine(f32(np.int32(b.word0[0] >> np.uint32(8))) * f32(1 / 16777216))
    return np.float64(sine), np.float64(cosine)


@kernel()
def set_motion(b, p):
    """Direction and size of the momentum; without an electric field its size does not change."""
    size = sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2])
    if size > 0.0:
        b.vx[0], b.vy[0], b.vz[0] = times(1.0 / size, p)
    return size


@kernel()
def energy_of(c, place):
    """Energy of a guiding centre, averaged over its gyration."""
    strength, _, _, lorentz = frame(place)
    return mean_energy(strength, lorentz, c.along, c.moment, c.mass)


@kernel()
def release(b, s, c, place):
    """From a guiding centre to an orbit at a random gyrophase."""
    x, (sine, cosine) = position_of(b), phase_of(b)
    for sign in (1.0, -1.0):  # the other side of the orbit, where this one lies beyond a wall
        p, way = whole_of(place, c.along, c.moment, c.mass, c.rigidity, (sign * sine, sign * cosine))
        put(b, plus(x, -1.0, way))
        if not outside(b, s):
            break
    size = set_motion(b, p)
    if s.pusher != Pusher.NONE:
        b.momentum[0] = size
    c.centred = ORBIT


@kernel()
def approach(b, c, place):
    """Put an orbit where its guiding centre is by the fields of a place; `before` is where the orbit is."""
    p = b.momentum[0] * b.vx[0], b.momentum[0] * b.vy[0], b.momentum[0] * b.vz[0]
    _, _, _, way = parts_of(place, p, c.mass, c.rigidity)
    put(b, plus((b.before[0, 0], b.before[1, 0], b.before[2, 0]), 1.0, way))


@kernel()
def centre(b, s, c, limits, place):
    """From an orbit to the guiding centre at which it has been put, unless that lies beyond a wall or the threshold."""
    if outside(b, s) or not steepness(place, b.momentum[0], c.rigidity) <= limits.threshold:
        b.x[0], b.y[0], b.z[0] = b.before[0, 0], b.before[1, 0], b.before[2, 0]
        return False
    p = b.momentum[0] * b.vx[0], b.momentum[0] * b.vy[0], b.momentum[0] * b.vz[0]
    c.along, c.moment, _, _ = parts_of(place, p, c.mass, c.rigidity)
    c.centred = GUIDED
    return True


@kernel()
def scatter_centre(b, s, c, mask, place):
    """Turn the momentum of a particle at a random gyrophase, whose guiding centre then is another."""
    p, way = whole_of(place, c.along, c.moment, c.mass, c.rigidity, phase_of(b))
    b.bx[0], b.by[0], b.bz[0] = place.b
    size = set_motion(b, p)
    scatter(b, s, mask, True)
    p = size * b.vx[0], size * b.vy[0], size * b.vz[0]
    c.along, c.moment, _, back = parts_of(place, p, c.mass, c.rigidity)
    put(b, plus(plus(position_of(b), -1.0, way), 1.0, back))


@kernel()
def decide(b, s, c, limits, place):
    """Whether a particle changes over from one to the other; what comes next then."""
    if not b.alive[0]:
        return DONE
    if c.centred == GUIDED:
        p = momentum_of(energy_of(c, place), c.mass)
        if steepness(place, p, c.rigidity) <= limits.threshold:
            return DONE
        release(b, s, c, place)
        return LOOK
    if not steepness(place, b.momentum[0], c.rigidity) < 0.5 * limits.threshold:
        return DONE
    b.before[0, 0], b.before[1, 0], b.before[2, 0] = b.x[0], b.y[0], b.z[0]
    approach(b, c, place)
    return NEAR


@kernel()
def settle(b, s, c, fields, limits, todo):
    """Fields where the particle is, after what is to be done there."""
    while True:
        place = place_of(b, s, fields, limits.ideal != 0)
        if todo == SCATTER:
            scatter_centre(b, s, c, fields.mask, place)
            todo = DECIDE
        elif todo == RELEASE:
            release(b, s, c, place)
            todo = LOOK
        elif todo == NEAR:  # the fields that count are those at the guiding centre
            approach(b, c, place)
            todo = THERE
        elif todo == THERE and not centre(b, s, c, limits, place):
            todo = LOOK
        else:
            todo = decide(b, s, c, limits, place) if todo == DECIDE else DONE
        if todo == DONE:
            return place


@kernel()
def next_length(b, s, c, limits, place, rest):
    """Length of the next step: of a guiding centre as even as can be; of an orbit by its local gyroradius."""
    if c.centred == GUIDED:
        return rest / ceil(rest / b.longest[0] * (1.0 - 1e-12))
    strength, p = sqrt(place.b[0] ** 2 + place.b[1] ** 2 + place.b[2] ** 2), max(b.momentum[0], SLOWEST)
    step = b.longest[0]
    if strength > 0.0:
        step = min(limits.fraction * abs(c.rigidity) * sqrt(c.mass * c.mass + p * p) / strength, step)
    return rest if step >= rest * (1.0 - 1e-12) else step


@kernel()
def look_up(b, s, data, electric, ideal):
    """Fields in the middle of a step of the full orbit."""
    find(b, s)
    field = value_of(b, s, data)
    b.bx[0], b.by[0], b.bz[0] = field
    if electric is not None:
        other = value_of(b, s, electric)
        b.ex[0], b.ey[0], b.ez[0] = cross(field, other) if ideal else other


@part()
def orbit_step(b, s, fields, ideal):
    """A step of the full orbit."""
    begin_step(b, s)
    look_up(b, s, fields.data, fields.electric, ideal)
    end_step(b, s, fields.electric, fields.mask, True)


@part()
def centre_step(b, s, c, fields, limits, place):
    """A step of the guiding centre by the classical Runge-Kutta rule; False where there is none, and nothing has moved.

    The magnetic moment stays as it is.
    """
    x, along, half = position_of(b), c.along, b.half[0]
    v, force, own, first = (0.0, 0.0, 0.0), 0.0, 0.0, (0.0, 0.0, 0.0)
    sum_v, sum_f, sum_own = v, force, own
    for i in range(4):
        if i > 0:
            reach = 2.0 * half if i == 3 else half
            put(b, plus(x, reach, v))
            place = place_of(b, s, fields, limits.ideal != 0)
            along = c.along + reach * force
        v, force, energy = motion(place, along, c.moment, c.mass, c.rigidity)
        own = momentum_of(energy, c.mass) / energy
        if i == 0:
            # as particles have them, for where it crosses a wall
            first = times(1.0 / own if own > 0.0 else 0.0, v)
            if s.pusher != Pusher.NONE:
                b.momentum[0] = own * energy
        weight = half / 3.0 if i == 0 or i == 3 else 2.0 * half / 3.0
        sum_v, sum_f, sum_own = plus(sum_v, weight, v), sum_f + weight * force, sum_own + weight * own
    put(b, x)
    if not abs(sum_v[0] + sum_v[1] + sum_v[2] + sum_f) < np.inf:
        return False
    b.vx[0], b.vy[0], b.vz[0] = first
    keep(b)
    put(b, plus(x, 1.0, sum_v))
    b.reach[0] = 0.5 * sum_own
    if s.pusher != Pusher.NONE:
        b.own_path[0] += sum_own
    count_steps(b, np.int64(1))
    hold(b, s)
    if b.alive[0]:
        c.along += sum_f
    return True


@part()
def run_to(b, s, c, fields, limits, interval, place):
    """All steps of an interval; the fields where it ends."""
    rest = interval
    while rest > 0.0 and b.alive[0] and not told_to_stop(s):
        step = next_length(b, s, c, limits, place, rest)
        if step < rest and rest - step == rest:  # there is no end of such steps: it stops, as no finite orbit
            b.vx[0], b.alive[0] = np.nan, 0
            break
        b.half[0] = b.reach[0] = 0.5 * step
        b.turn[0] = b.half[0] / b.rigidity[0]
        count_from(b)
        made, todo = True, DECIDE
        if c.centred == ORBIT:
            orbit_step(b, s, fields, limits.ideal != 0)
        elif not centre_step(b, s, c, fields, limits, place):
            made, todo = False, RELEASE
        elif s.patches != Patches.NONE and b.alive[0]:
            todo = SCATTER
        if made:
            rest = 0.0 if step == rest else rest - step
        place = settle(b, s, c, fields, limits, todo)
    return place


@kernel()
def save_centred(b, s, c, place, out, p, save):
    """A saved point; a guiding centre has its own velocity over the speed of the particle in place of a direction."""
    b.bx[0], b.by[0], b.bz[0] = place.b
    b.ex[0], b.ey[0], b.ez[0] = place.e
    row, size = out.centred[p, save], b.momentum[0]
    row.guiding_centre = c.centred == GUIDED
    if c.centred == GUIDED:
        v, _, energy = motion(place, c.along, c.moment, c.mass, c.rigidity)
        size = momentum_of(energy, c.mass)
        b.vx[0], b.vy[0], b.vz[0] = times(energy / size if size > 0.0 else 0.0, v)
        row.parallel_momentum, row.magnetic_moment = c.along, c.moment
        if s.pusher != Pusher.NONE:
            b.momentum[0] = size
    else:
        v = size * b.vx[0], size * b.vy[0], size * b.vz[0]
        row.parallel_momentum, row.magnetic_moment, _, _ = parts_of(place, v, c.mass, c.rigidity)
    save_lane(b, 0, out, p, save)
    if c.centred == GUIDED:
        out.always[p, save].mu = c.along / size if size > 0.0 else np.nan


@entry()
def trace_centres(batches, setup, limits, states, fields, particles, plan, out):
    """Trace particles through a cubic field; arguments are those of the entries of `trace`, and arrays of one

    - limits: `LIMITS`
    - states: `CENTRE`, as room
    """
    b, s, few, c = batches[0], setup[0], limits[0], states[0]
    b.lanes = 1
    for i in range(particles.size):
        p = particles[i]
        load_lane(b, 0, p)
        driven = s.pusher != Pusher.NONE
        c.mass, c.rigidity, c.centred = b.mass[0] if driven else 0.0, b.rigidity[0], p.centred
        c.along, c.moment = p.parallel_momentum, p.magnetic_moment
        todo = DECIDE if c.centred == NEW else LOOK
        c.centred = GUIDED if c.centred == GUIDED else ORBIT
        place = settle(b, s, c, fields, few, todo)
        for save in range(plan.size):
            place = run_to(b, s, c, fields, few, plan[save].length, place)
            if told_to_stop(s):
                return
            arrive(b, plan[save].end)
            save_centred(b, s, c, place, out, i, plan[save].save)

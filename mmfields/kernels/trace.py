"""Loops over the particles of a task: one entry for each kind of run, so that only what is asked for is compiled.

All entries change the particles, and save them in `out`; their arguments are

- batches: an array that holds one `BATCH`, as room
- setup: an array that holds one `SETUP`
- fields: `Fields`
- particles: (n,) `PARTICLE` array
- order: (n,) int array, in which particles go side by side
- plan: `INTERVAL` array
- out: `Saved`
"""

from collections import namedtuple

import numpy as np

from mmfields.kernels._jit import entry, part
from mmfields.kernels.batch import LANES, load, store
from mmfields.kernels.interpolate import locate
from mmfields.kernels.saved import save_lane
from mmfields.kernels.scatter import count_from
from mmfields.kernels.setup import Wall
from mmfields.kernels.steps import (
    begin_step,
    count_steps,
    end_step,
    least_due,
    look,
    plan_sum,
    run_guarded,
    run_plain,
    run_sum,
    set_fixed,
    set_local,
    set_own,
)
from mmfields.kernels.vectors import told_to_stop
from mmfields.kernels.walls import arrive
from mmfields.kernels.waves import new_levels

# Flat data of the magnetic field; of the electric field, a mask (z, y, x), and the octaves of a sum, or None.
Fields = namedtuple("Fields", "data electric mask octaves")

INTERVAL = np.dtype(
    (
        np.record,
        np.dtype(
            [*((name, "f8") for name in ("length", "step", "begin", "end")), ("count", "i8"), ("save", "i8")],
            align=True,
        ),
    )
)
"""Path of an interval, light's where there is an electric field; length and number of its steps, where all particles
make the same, else -1; path where it begins, which is not set for field lines, and where it ends; which saved point
that is."""


@part()
def save_batch(b, filled, out, order, first, save):
    """All particles of a batch."""
    for lane in range(filled):
        save_lane(b, lane, out, order[first + lane], save)


@entry()
def trace_plain(batches, setup, fields, particles, order, plan, out):
    """Steps of one length for all, through a periodic box, without scattering."""
    b, s, data = batches[0], setup[0], fields.data
    for first in range(0, order.size, LANES):
        filled = load(b, particles, order, first)
        for i in range(plan.size):
            if told_to_stop(s):
                return
            set_fixed(b, plan[i].step)
            run_plain(b, s, data, plan[i].count)
            for lane in range(filled):
                b.taken[lane] += plan[i].count
            save_batch(b, filled, out, order, first, plan[i].save)
        store(b, particles, order, first, filled)


@entry()
def trace_sum(batches, setup, fields, particles, order, plan, out):
    """As `trace_plain`, through a field that is a sum."""
    b, s, data, octaves = batches[0], setup[0], fields.data, fields.octaves
    levels = new_levels(octaves)
    for first in range(0, order.size, LANES):
        filled = load(b, particles, order, first)
        for i in range(plan.size):
            if told_to_stop(s):
                return
            set_fixed(b, plan[i].step)
            if plan[i].count > 0:
                plan_sum(b, s, octaves, levels, plan[i].step, plan[i].count)
            run_sum(b, s, data, octaves, levels, plan[i].count)
            for lane in range(filled):
                b.taken[lane] += plan[i].count
            save_batch(b, filled, out, order, first, plan[i].save)
        store(b, particles, order, first, filled)


@part()
def run_own(b, s, fields, levels, interval):
    """Steps of as many lengths as there are particles to the end of an interval."""
    data, electric, mask, octaves = fields
    b.many = 0
    set_own(b, interval)
    count = least_due(b)
    while count > 0 and not told_to_stop(s):
        run_guarded(b, s, data, electric, mask, octaves, levels, count)
        for lane in range(b.lanes):
            b.due[lane] -= count
        count = least_due(b)


@part()
def run_local(b, s, fields, levels, interval):
    """Steps by the local gyroradius to the end of an interval."""
    data, electric, mask, octaves = fields
    for lane in range(b.lanes):
        b.rest[lane] = interval
    look(b, s, data, electric, octaves, levels)
    while set_local(b, s) and not told_to_stop(s):
        run_guarded(b, s, data, electric, mask, octaves, levels, np.int64(1))


@part()
def has_open(s):
    """Whether a particle may leave the box."""
    return s.walls[0] == Wall.OPEN or s.walls[1] == Wall.OPEN or s.walls[2] == Wall.OPEN


@entry()
def trace_guarded(batches, setup, fields, particles, order, plan, out):
    """With walls, an electric field, scattering, or steps of each particle's own length."""
    b, s = batches[0], setup[0]
    data, electric, mask, octaves = fields
    levels = new_levels(octaves)
    for first in range(0, order.size, LANES):
        filled = load(b, particles, order, first)
        for i in range(plan.size):
            if told_to_stop(s):
                return
            if plan[i].count > 0:
                set_fixed(b, plan[i].step)
                plan_sum(b, s, octaves, levels, plan[i].step, plan[i].count)
                run_guarded(b, s, data, electric, mask, octaves, levels, plan[i].count)
            elif plan[i].count < 0:
                run_own(b, s, fields, levels, plan[i].length)
            if has_open(s):
                arrive(b, plan[i].end)
            look(b, s, data, electric, octaves, levels)
            save_batch(b, filled, out, order, first, plan[i].save)
        store(b, particles, order, first, filled)


@entry()
def trace_local(batches, setup, fields, particles, order, plan, out):
    """As `trace_guarded`, with steps that are a fraction of the local gyroradius."""
    b, s = batches[0], setup[0]
    data, electric, _, octaves = fields
    levels = new_levels(octaves)
    for first in range(0, order.size, LANES):
        filled = load(b, particles, order, first)
        for i in range(plan.size):
            if told_to_stop(s):
                return
            run_local(b, s, fields, levels, plan[i].length)
            if has_open(s):
                arrive(b, plan[i].end)
            look(b, s, data, electric, octaves, levels)
            save_batch(b, filled, out, order, first, plan[i].save)
        store(b, particles, order, first, filled)


@entry()
def begin_steps(batches, setup):
    """The first half of a step of all batches, where the field comes from elsewhere."""
    for i in range(batches.size):
        begin_step(batches[i], setup[0])


@entry()
def end_steps(batches, setup, mask, driven):
    """The second half of a step of all batches, where the field has come from elsewhere; `driven`: any, or None."""
    s = setup[0]
    for i in range(batches.size):
        b = batches[i]
        if mask is not None:
            locate(b, s)
        count_from(b)
        end_step(b, s, driven, mask, True)
        if not s.held:
            count_steps(b, np.int64(1))


@entry()
def load_batches(batches, particles, order):
    """All particles into batches."""
    for i in range(batches.size):
        load(batches[i], particles, order, i * LANES)


@entry()
def begin_interval(batches, setup, interval):
    """Lengths of the first steps of an interval of all batches, whose field has been looked up; whether any move.

    Steps are of each particle's own length, or local.
    """
    s, moving = setup[0], False
    for i in range(batches.size):
        b = batches[i]
        if s.fraction > 0.0:
            for lane in range(b.lanes):
                b.rest[lane] = interval
            moving = set_local(b, s) or moving
        else:
            set_own(b, interval)
            moving = least_due(b) > 0 or moving
    return moving


@entry()
def next_step(batches, setup):
    """Lengths of the next steps of all batches; whether any move."""
    s, moving = setup[0], False
    for i in range(batches.size):
        b = batches[i]
        if s.fraction > 0.0:
            moving = set_local(b, s) or moving
        else:
            for lane in range(b.lanes):
                b.due[lane] -= 1
            moving = least_due(b) > 0 or moving
    return moving


@entry()
def arrive_all(batches, end):
    """Path of all batches at a saved point."""
    for i in range(batches.size):
        arrive(batches[i], end)


@entry()
def save_batches(batches, order, save, out):
    """All particles at a saved point, where the fields have been looked up."""
    for i in range(batches.size):
        save_batch(batches[i], min(LANES, order.size - i * LANES), out, order, i * LANES, save)

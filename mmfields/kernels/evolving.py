"""Runs through fields that change in time: two snapshots side by side in memory and what lies between, or waves.

A cell holds six numbers, the magnetic field of either snapshot, or twelve, with another vector of either: the electric
field, or a velocity whose E = -u × B is formed at the particle.  Which of the two snapshots is the earlier is said by
the window, so that the next snapshot takes the place of the one that is done with and the other stays where it is.
"""

from collections import namedtuple

import numpy as np

from mmfields.kernels._jit import entry, kernel, part
from mmfields.kernels.batch import LANES, load, store
from mmfields.kernels.interpolate import locate, rows_of, shifted, weights_of
from mmfields.kernels.own import call, stop_where_odd
from mmfields.kernels.scatter import count_from
from mmfields.kernels.setup import Interpolation
from mmfields.kernels.steps import begin_step, count_steps, end_step, least_due, set_fixed, set_local, set_own
from mmfields.kernels.trace import has_open, save_batch
from mmfields.kernels.vectors import (
    four_pairs,
    fused,
    prefetch,
    told_to_stop,
    weighted_rows,
    weighted_sum,
    widest,
)
from mmfields.kernels.walls import arrive
from mmfields.kernels.waves import cosine
from mmfields.kernels.window import enter

# Flat data of both snapshots (z, y, x, 6 or 12) and one number more, or rows of `WAVE` numbers a wave; anything where
# an electric field acts, else None; a mask (z, y, x) or None; a user's function, to which waves are added, or None.
Pair = namedtuple("Pair", "data electric mask own", defaults=(None,))

# Of a wave: wavevector and phase in turns, amplitude, frequency in turns per path of light, velocity over that of light
# and one number more.
WAVE = 12

WINDOW = np.dtype(
    (
        np.record,
        np.dtype(
            [
                *(("begin", "f8"), ("inverse", "f8"), ("early", "i8"), ("stride", "i8"), ("ideal", "i8")),
                *(("odd", "i8"), ("where", "f8", 4)),
            ],
            align=True,
        ),
    )
)
"""Path at the earlier snapshot; one over the path to the later, 0 where the earlier holds throughout; which of the two
places is the earlier's; numbers a cell; whether the second vector is a velocity over that of light.  Set by the kernel:
whether a user's function was not finite, and the place and time of that."""


@part()
def set_when(b, s, w, step):
    """Time in the middle of a step, as a part of the window; so many steps have been made since `due` was set."""
    for lane in range(b.lanes):
        half = b.half[lane]
        ahead = b.rest[lane] + half if s.fraction > 0.0 else (2.0 * (b.due[lane] - step) - 1.0) * half
        b.when[lane] = (b.until[lane] - ahead - w.begin) * w.inverse


@part()
def between(f, a, c):
    """Linear in time; equal snapshots give their value to the bit."""
    return a + f * (c - a)


@part()
def ask_for_pair(b, s, w, data, lane):
    """Ask for the memory of the four rows of two cells that `pair_linear` reads for a particle."""
    row = np.intp(w.stride * s.extents[0])
    cell, ny = np.intp(w.stride) * np.intp(b.kx[0, lane]), np.intp(s.extents[1])
    y0, y1 = cell + np.intp(b.ky[0, lane]) * row, cell + np.intp(b.ky[1, lane]) * row
    z0, z1 = np.intp(b.kz[0, lane]) * ny * row, np.intp(b.kz[1, lane]) * ny * row
    last = 2 * np.intp(w.stride) - 1
    for place in (z0 + y0, z0 + y1, z1 + y0, z1 + y1):
        prefetch(data, place)
        prefetch(data, place + last)
        if w.stride > 6:
            prefetch(data, place + 12)


@kernel()
def pair_linear(b, s, w, data, at, vx, vy, vz):
    """Trilinear values of the vector that begins `at` so many numbers into a cell, linear in time."""
    stride, lanes, ny = np.intp(w.stride), b.lanes, np.intp(s.extents[1])
    row, ahead = stride * s.extents[0], min(s.ahead, lanes)
    first, second = at + 3 * w.early, at + 3 * (1 - w.early)
    if at == 0:
        for lane in range(ahead):
            ask_for_pair(b, s, w, data, lane)
    for lane in range(lanes):
        if at == 0 and lane < lanes - ahead:
            ask_for_pair(b, s, w, data, lane + ahead)
        z0, z1 = np.intp(b.kz[0, lane]) * ny, np.intp(b.kz[1, lane]) * ny
        y0, y1 = np.intp(b.ky[0, lane]), np.intp(b.ky[1, lane])
        a0, a1, b0, b1 = b.wz[0, lane], b.wz[1, lane], b.wy[0, lane], b.wy[1, lane]
        rows = ((z0 + y0) * row, (z0 + y1) * row, (z1 + y0) * row, (z1 + y1) * row)
        weights, inner = (a0 * b0, a0 * b1, a1 * b0, a1 * b1), (b.wx[0, lane], b.wx[1, lane])
        low, high = stride * np.intp(b.kx[0, lane]), stride * np.intp(b.kx[1, lane])
        p = weighted_sum(data, rows, (low + first, high + first), weights, inner)
        q = weighted_sum(data, rows, (low + second, high + second), weights, inner)
        f = b.when[lane]
        vx[lane], vy[lane], vz[lane] = between(f, p[0], q[0]), between(f, p[1], q[1]), between(f, p[2], q[2])


@part()
def ask_for_more(b, s, w, data, lane):
    """The same of the sixteen rows of four cells of `pair_cubic`."""
    row, plane = np.intp(w.stride * s.extents[0]), np.intp(w.stride * s.extents[0] * s.extents[1])
    first, last = np.intp(w.stride) * np.intp(b.kx[0, lane]), 4 * np.intp(w.stride) - 1
    for k in range(4):
        for j in range(4):
            place = first + np.intp(b.kz[k, lane]) * plane + np.intp(b.ky[j, lane]) * row
            prefetch(data, place)
            prefetch(data, place + last)
            if w.stride > 6:
                prefetch(data, place + 16)
                prefetch(data, place + 32)


@part()
def cubic_at(b, data, rows, weights, lane):
    """Tricubic values of one vector of six numbers a cell, by the sums of `gather_cubic` in their order."""
    one = (1.0,)
    p = weighted_sum(data, rows, (6 * np.intp(b.kx[0, lane]),), weights, one)
    q = weighted_sum(data, rows, (6 * np.intp(b.kx[1, lane]),), weights, one)
    r = weighted_sum(data, rows, (6 * np.intp(b.kx[2, lane]),), weights, one)
    t = weighted_sum(data, rows, (6 * np.intp(b.kx[3, lane]),), weights, one)
    w0, w1, w2, w3 = b.wx[0, lane], b.wx[1, lane], b.wx[2, lane], b.wx[3, lane]
    return (
        w0 * p[0] + w1 * q[0] + w2 * r[0] + w3 * t[0],
        w0 * p[1] + w1 * q[1] + w2 * r[1] + w3 * t[1],
        w0 * p[2] + w1 * q[2] + w2 * r[2] + w3 * t[2],
    )


@kernel()
def cubic_six(b, data, rows, weights, lane):
    """Both magnetic fields, of six numbers a cell."""
    first, last = 6 * np.intp(b.kx[0, lane]), 6 * np.intp(b.kx[3, lane])
    if last != first + 18:
        p, q = cubic_at(b, data, rows, weights, lane), cubic_at(b, data, shifted(rows, 3), weights, lane)
        return p[0], p[1], p[2], q[0], q[1], q[2]
    # side by side, as all are but at the edges
    inner = (b.wx[0, lane], b.wx[1, lane], b.wx[2, lane], b.wx[3, lane])
    return four_pairs(data, shifted(rows, first), weights, inner)


@kernel()
def cubic_twelve(b, data, rows, weights, lane):
    """Both magnetic fields and both other vectors, of twelve numbers a cell."""
    w0, w1, w2, w3 = b.wx[0, lane], b.wx[1, lane], b.wx[2, lane], b.wx[3, lane]
    p = weighted_rows(data, shifted(rows, 12 * np.intp(b.kx[0, lane])), weights)
    q = weighted_rows(data, shifted(rows, 12 * np.intp(b.kx[1, lane])), weights)
    r = weighted_rows(data, shifted(rows, 12 * np.intp(b.kx[2, lane])), weights)
    t = weighted_rows(data, shifted(rows, 12 * np.intp(b.kx[3, lane])), weights)
    return (
        w0 * p[0] + w1 * q[0] + w2 * r[0] + w3 * t[0],
        w0 * p[1] + w1 * q[1] + w2 * r[1] + w3 * t[1],
        w0 * p[2] + w1 * q[2] + w2 * r[2] + w3 * t[2],
        w0 * p[3] + w1 * q[3] + w2 * r[3] + w3 * t[3],
        w0 * p[4] + w1 * q[4] + w2 * r[4] + w3 * t[4],
        w0 * p[5] + w1 * q[5] + w2 * r[5] + w3 * t[5],
        w0 * p[6] + w1 * q[6] + w2 * r[6] + w3 * t[6],
        w0 * p[7] + w1 * q[7] + w2 * r[7] + w3 * t[7],
        w0 * p[8] + w1 * q[8] + w2 * r[8] + w3 * t[8],
        w0 * p[9] + w1 * q[9] + w2 * r[9] + w3 * t[9],
        w0 * p[10] + w1 * q[10] + w2 * r[10] + w3 * t[10],
        w0 * p[11] + w1 * q[11] + w2 * r[11] + w3 * t[11],
    )


@part()
def in_time(f, early, p, q):
    """Linear between the values of the two places, of which one is the earlier."""
    return between(f, p, q) if early == 0 else between(f, q, p)


@kernel()
def pair_cubic(b, s, w, data):
    """Tricubic values of all vectors from spline coefficients, linear in time."""
    widest()
    row, ny, early = np.intp(w.stride * s.extents[0]), s.extents[1], w.early
    ahead = min(s.ahead // 4, b.lanes)
    for lane in range(ahead):
        ask_for_more(b, s, w, data, lane)
    for lane in range(b.lanes):
        if lane < b.lanes - ahead:
            ask_for_more(b, s, w, data, lane + ahead)
        rows, weights, f = rows_of(b, ny, row, lane), weights_of(b, lane), b.when[lane]
        if w.stride == 6:
            p = cubic_six(b, data, rows, weights, lane)
            b.bx[lane], b.by[lane] = in_time(f, early, p[0], p[3]), in_time(f, early, p[1], p[4])
            b.bz[lane] = in_time(f, early, p[2], p[5])
        else:
            q = cubic_twelve(b, data, rows, weights, lane)
            b.bx[lane], b.by[lane] = in_time(f, early, q[0], q[3]), in_time(f, early, q[1], q[4])
            b.bz[lane], b.ex[lane] = in_time(f, early, q[2], q[5]), in_time(f, early, q[6], q[9])
            b.ey[lane], b.ez[lane] = in_time(f, early, q[7], q[10]), in_time(f, early, q[8], q[11])


@kernel()
def pair_nearest(b, s, w, data, at, vx, vy, vz):
    """As `pair_linear`, of the nearest cell."""
    nx, ny, stride = s.extents[0], s.extents[1], np.intp(w.stride)
    first, second = at + 3 * w.early, at + 3 * (1 - w.early)
    for lane in range(b.lanes):
        place = stride * ((np.intp(b.kz[0, lane]) * ny + b.ky[0, lane]) * nx + b.kx[0, lane])
        p, q, f = place + first, place + second, b.when[lane]
        vx[lane] = between(f, np.float64(data[p]), np.float64(data[q]))
        vy[lane] = between(f, np.float64(data[p + 1]), np.float64(data[q + 1]))
        vz[lane] = between(f, np.float64(data[p + 2]), np.float64(data[q + 2]))


@part()
def pair_of(b, s, w, data, at, vx, vy, vz):
    """Values of a vector from the cells and weights that have been found."""
    if s.interpolation == Interpolation.LINEAR:
        pair_linear(b, s, w, data, at, vx, vy, vz)
    else:
        pair_nearest(b, s, w, data, at, vx, vy, vz)


@kernel()
def induce(b):
    """From velocities over that of light, in the place of E, to E = -u × B, which has no part along B."""
    for lane in range(b.lanes):
        ux, uy, uz, bx, by, bz = b.ex[lane], b.ey[lane], b.ez[lane], b.bx[lane], b.by[lane], b.bz[lane]
        b.ex[lane], b.ey[lane], b.ez[lane] = uz * by - uy * bz, ux * bz - uz * bx, uy * bx - ux * by


@kernel()
def waves_in_time(b, data, count):
    """Add moving waves at the positions and times of a batch; their velocities take the place of E."""
    widest()
    for row in range(count):
        d = data[row * WAVE : (row + 1) * WAVE]
        kx, ky, kz, phase, ax, ay, az, turning = d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]
        ux, uy, uz = d[8], d[9], d[10]
        for lane in range(b.lanes):
            t = fused(kx, b.x[lane], fused(ky, b.y[lane], fused(kz, b.z[lane], phase)))
            t = fused(-turning, b.when[lane], t)
            c = cosine(t - np.rint(t))
            b.bx[lane], b.by[lane] = fused(ax, c, b.bx[lane]), fused(ay, c, b.by[lane])
            b.bz[lane], b.ex[lane] = fused(az, c, b.bz[lane]), fused(ux, c, b.ex[lane])
            b.ey[lane], b.ez[lane] = fused(uy, c, b.ey[lane]), fused(uz, c, b.ez[lane])


@kernel()
def vectors_at(b, s, w, fields, own):
    """Both vectors at the positions and times of a batch; `own` is that of the fields."""
    if own is not None:
        call(own, b)
        if fields.data.size >= WAVE:
            waves_in_time(b, fields.data, s.cells[0])
        stop_where_odd(b, s, w, fields.electric is not None)
    elif s.interpolation == Interpolation.WAVES:
        for lane in range(b.lanes):
            b.bx[lane] = b.by[lane] = b.bz[lane] = b.ex[lane] = b.ey[lane] = b.ez[lane] = 0.0
        waves_in_time(b, fields.data, s.cells[0])
    else:
        locate(b, s)
        if s.limited:
            enter(b, s)
        if s.interpolation == Interpolation.CUBIC:
            pair_cubic(b, s, w, fields.data)
        else:
            pair_of(b, s, w, fields.data, np.intp(0), b.bx, b.by, b.bz)
            if fields.electric is not None:
                pair_of(b, s, w, fields.data, np.intp(6), b.ex, b.ey, b.ez)


@kernel()
def pair_at(b, s, w, fields):
    """Fields at the positions and times of a batch."""
    vectors_at(b, s, w, fields, fields.own)
    if fields.electric is not None and w.ideal:
        induce(b)


@part()
def look_at_pair(b, s, w, fields, path):
    """Fields at the positions of a batch, between intervals."""
    for lane in range(b.lanes):
        b.when[lane] = (path - w.begin) * w.inverse
    pair_at(b, s, w, fields)


@part()
def look_where_they_are(b, s, w, fields):
    """The same, each at the end of its interval."""
    for lane in range(b.lanes):
        b.when[lane] = (b.until[lane] - w.begin) * w.inverse
    pair_at(b, s, w, fields)


@kernel()
def run_pair(b, s, w, fields, count):
    """So many steps of each particle's interval; what happens in them is what happens in `run_guarded`."""
    count_from(b)
    for step in range(count):
        if told_to_stop(s):
            break
        begin_step(b, s)
        set_when(b, s, w, step)
        pair_at(b, s, w, fields)
        end_step(b, s, fields.electric, fields.mask, step == 0)
    if not s.held:
        count_steps(b, count)


@kernel()
def run_interval(b, s, w, fields, interval):
    """All steps of an interval: of one length, of each particle's own, or by the local gyroradius."""
    count = np.int64(max(interval.count, 0))
    for lane in range(b.lanes):
        b.rest[lane], b.due[lane], b.until[lane] = interval.length, count, interval.end
    if s.fraction > 0.0:
        look_at_pair(b, s, w, fields, interval.begin)
    elif interval.count >= 0:
        set_fixed(b, interval.step)
    else:
        set_own(b, interval.length)
        count = least_due(b)
    while not told_to_stop(s):
        if s.fraction > 0.0:
            count = np.int64(set_local(b, s))
        if count == 0:
            break
        run_pair(b, s, w, fields, count)
        for lane in range(b.lanes):
            b.due[lane] -= count
        count = least_due(b) if s.fraction == 0.0 and interval.count < 0 else np.int64(0)


@entry()
def trace_evolving(batches, setup, window, fields, particles, order, plan, out):
    """All particles through the intervals of one window; as `mmfields.kernels.trace` has it, but for

    - window: an array that holds one `WINDOW`
    - fields: `Pair`
    - plan: intervals that end elsewhere than at saved points have a negative `save`
    """
    b, s, w = batches[0], setup[0], window[0]
    for first in range(0, order.size, LANES):
        filled = load(b, particles, order, first)
        for i in range(plan.size):
            if told_to_stop(s):
                return
            run_interval(b, s, w, fields, plan[i])
            if has_open(s):
                arrive(b, plan[i].end)
            if plan[i].save >= 0:
                look_at_pair(b, s, w, fields, plan[i].end)
                save_batch(b, filled, out, order, first, plan[i].save)
        store(b, particles, order, first, filled)

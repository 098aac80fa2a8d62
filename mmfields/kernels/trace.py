"""Loops over a block of particles, a batch in lockstep."""

from collections import namedtuple
from math import ceil, sqrt

import numpy as np
from numba import njit

from mmfields.kernels import push
from mmfields.kernels.interpolate import LANES, PERIODIC, WAVES, gather, interpolate, locate, scales
from mmfields.kernels.push import boris, drift, drift_twice, reaches, reflect
from mmfields.kernels.scatter import MASK, NONE, THRESHOLD, UNIFORM, above, deflect, deviations, draw, marked
from mmfields.kernels.sums import sum_at
from mmfields.kernels.waves import new_levels, plan_levels
from mmfields.kernels.window import enter, whole

# Rows of the result of `trace_block`: always; of momenta and the local field; of an electric field; of walls.
ROWS = ("x", "y", "z", "vx", "vy", "vz", "mu", "B", "alive", "steps")
MORE, DRIVEN = ("momentum", "energy", "bx", "by", "bz"), ("own_path", "ex", "ey", "ez")
WALLED = ("left", "reflections", "reflections_along")

# Columns of `start`, and of them those that a lane keeps in its ledger.
START = ("x", "y", "z", "vx", "vy", "vz", "momentum")
LEDGER = ("rigidity", "mass", "longest", "path", "left", "reflections", "reflections_along", "own_path")
RIGIDITY, MASS, LONGEST, PATH, LEFT, REFLECTIONS, ALONG, OWN = range(8)

# Numbers as arguments of one type: a literal would be compiled for on its own.
DIRECTLY, ONCE, HELD = np.int64(0), np.int64(1), np.bool_(True)

# What happens at the faces of the box, by number; 0 is periodic.
OPEN, REFLECTING = 1, 2

# Momentum over that at the start below which steps that follow the local gyroradius shrink no further.
SLOWEST = 1e-3

# where: as in `scatter`; inside, outside: rates per path length; mask (z, y, x), of one cell where it is not used.
Scatter = namedtuple("Scatter", "where inside outside threshold mask")
# An electric field: flat data as those of the grid (one number without one), and which pusher.
Electric = namedtuple("Electric", "data pusher")
# A batch: positions, directions, half the steps, half the angles per field, field, cells and weights of each axis.
Batch = namedtuple("Batch", "x y z vx vy vz half turn bx by bz kx ky kz wx wy wz")
# What else a batch has: rows (10, LANES) to restore, steps taken, whether it moves on; random keys and counters in two
# halves, random words, scattering angles, and room for their work; momenta, paths in half a step, electric field; and
# its ledger (8, LANES): gyroradius times reference field with the sign of the charge, m c over the momentum at the
# start, longest step, path, path at which it left (NaN before), reflections, those of them by walls that the field runs
# through, which turn the pitch angle round, and its own path, where path is light's.
Extra = namedtuple("Extra", "kept taken alive key0 key1 count0 count1 words angle room p reach ex ey ez ledger")


@njit(nogil=True, cache=True)
def new_batch():
    """Room for a batch."""
    f, i = np.empty((11, LANES)), np.empty((3, 4, LANES), np.int32)
    w = np.empty((3, 4, LANES))
    batch = Batch(f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], i[0], i[1], i[2], w[0], w[1], w[2])
    taken, alive, u = np.empty(LANES, np.int64), np.empty(LANES, np.bool_), np.empty((6, LANES), np.uint32)
    room, e = np.empty((5, LANES), np.float32), np.empty((5, LANES))
    more = taken, alive, u[0], u[1], u[2], u[3], u[4:], room[4], room[:4], e[0], e[1], e[2], e[3], e[4]
    return batch, Extra(np.empty((10, LANES)), *more, np.empty((8, LANES)))


@njit(nogil=True, cache=True)
def look(grid, octaves, levels, batch):
    """Field at the positions of a batch."""
    inverse, shift, wraps = scales(grid.shape, grid.low, grid.high, grid.walls)
    x, y, z, _, _, _, _, _, bx, by, bz, kx, ky, kz, wx, wy, wz = batch
    data, shape, kind = grid.data, grid.shape, grid.kind
    if kind >= WAVES:
        sum_at(kind, data, shape[2], octaves, levels, DIRECTLY, DIRECTLY, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)
    else:
        interpolate(data, shape, inverse, shift, wraps, kind, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)


@njit(nogil=True, cache=True)
def locate_batch(grid, batch):
    """Cells between which the positions of a batch lie."""
    inverse, shift, wraps = scales(grid.shape, grid.low, grid.high, grid.walls)
    x, y, z, _, _, _, _, _, _, _, _, kx, ky, kz, wx, wy, wz = batch
    locate(grid.shape, inverse, shift, wraps, grid.kind, x, y, z, kx, ky, kz, wx, wy, wz)


@njit(nogil=True, cache=True)
def bounce(grid, batch, ledger):
    """Mirror what has crossed a reflecting wall, and count it."""
    bx, by, bz, count, along = batch.bx, batch.by, batch.bz, ledger[REFLECTIONS], ledger[ALONG]
    if grid.walls[0] == REFLECTING:
        reflect(batch.x, batch.vx, grid.low[0], grid.high[0], bx, by, bz, count, along)
    if grid.walls[1] == REFLECTING:
        reflect(batch.y, batch.vy, grid.low[1], grid.high[1], by, bz, bx, count, along)
    if grid.walls[2] == REFLECTING:
        reflect(batch.z, batch.vz, grid.low[2], grid.high[2], bz, bx, by, count, along)


@njit(nogil=True, cache=True)
def counters(taken, count0, count1):
    """Numbers of steps as pairs of words."""
    for lane in range(LANES):
        count0[lane] = np.uint32(taken[lane] & 0xFFFFFFFF)
        count1[lane] = np.uint32(taken[lane] >> 32)


@njit(nogil=True, cache=True)
def keep(x, y, z, vx, vy, vz, p, ledger, kept):
    """Remember a batch as it is."""
    for lane in range(LANES):
        kept[0, lane], kept[1, lane], kept[2, lane] = x[lane], y[lane], z[lane]
        kept[3, lane], kept[4, lane], kept[5, lane], kept[6, lane] = vx[lane], vy[lane], vz[lane], p[lane]
        kept[7, lane], kept[8, lane] = ledger[REFLECTIONS, lane], ledger[OWN, lane]
        kept[9, lane] = ledger[ALONG, lane]


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def crossing(wall, low, high, begin, middle, end):
    """Part of a step after which a particle crosses an open wall, on its two straight halves; 1 where it does not."""
    if wall != OPEN or low <= end <= high:
        return 1.0
    face = low if end < low else high
    if not low <= middle <= high:
        face = low if middle < low else high
        return 0.5 * (face - begin) / (middle - begin)
    return 0.5 + 0.5 * (face - middle) / (end - middle)


@njit(nogil=True, cache=True, error_model="numpy")
def leaves(walls, low, high, x, y, z, half, slow, ledger, kept, lane):
    """Note the path at which a particle leaves the box in this step."""
    reach = half[lane]
    if slow:
        mass, p = ledger[MASS, lane], kept[6, lane]
        reach = reach * p / sqrt(mass * mass + p * p)
    begin = kept[0, lane], kept[1, lane], kept[2, lane]
    part = crossing(walls[0], low[0], high[0], begin[0], begin[0] + reach * kept[3, lane], x[lane])
    part = min(part, crossing(walls[1], low[1], high[1], begin[1], begin[1] + reach * kept[4, lane], y[lane]))
    part = min(part, crossing(walls[2], low[2], high[2], begin[2], begin[2] + reach * kept[5, lane], z[lane]))
    ledger[LEFT, lane] = ledger[PATH, lane] + 2.0 * half[lane] * part


@njit(nogil=True, cache=True)
def hold(walls, low, high, x, y, z, vx, vy, vz, p, half, alive, slow, ledger, kept):
    """Take back the step of what has left through an open wall, which stops there, and of what stood still."""
    for lane in range(LANES):
        out = walls[0] == OPEN and not low[0] <= x[lane] <= high[0]
        out = out or (walls[1] == OPEN and not low[1] <= y[lane] <= high[1])
        out = out or (walls[2] == OPEN and not low[2] <= z[lane] <= high[2])
        if out and alive[lane] and half[lane] != 0.0:
            alive[lane] = False
            leaves(walls, low, high, x, y, z, half, slow, ledger, kept, lane)
        if not alive[lane] or half[lane] == 0.0:
            x[lane], y[lane], z[lane] = kept[0, lane], kept[1, lane], kept[2, lane]
            vx[lane], vy[lane], vz[lane], p[lane] = kept[3, lane], kept[4, lane], kept[5, lane], kept[6, lane]
            ledger[REFLECTIONS, lane], ledger[OWN, lane] = kept[7, lane], kept[8, lane]
            ledger[ALONG, lane] = kept[9, lane]
        else:
            ledger[PATH, lane] += 2.0 * half[lane]


@njit(nogil=True, cache=True)
def arrive(ledger, alive, end):
    """Path at a saved point, without what rounding has added up."""
    for lane in range(LANES):
        if alive[lane]:
            ledger[PATH, lane] = end


@njit(nogil=True, cache=True)
def advance(ledger, reach):
    """Add half a step to the particles' own paths."""
    own = ledger[OWN]
    for lane in range(LANES):
        own[lane] += reach[lane]


@njit(nogil=True, cache=True)
def run_plain(
    data, shape, inverse, shift, wraps, kind, x, y, z, vx, vy, vz, half, turn, bx, by, bz, kx, ky, kz, wx, wy, wz, count
):
    """So many steps through a periodic box without scattering: half a drift, a rotation halfway, half a drift."""
    drift(x, y, z, vx, vy, vz, half)
    for step in range(count):
        interpolate(data, shape, inverse, shift, wraps, kind, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)
        boris(vx, vy, vz, bx, by, bz, turn)
        if step < count - 1:
            drift_twice(x, y, z, vx, vy, vz, half)
    drift(x, y, z, vx, vy, vz, half)


@njit(nogil=True, cache=True)
def run_sum(
    kind,
    data,
    number,
    octaves,
    levels,
    many,
    x,
    y,
    z,
    vx,
    vy,
    vz,
    half,
    turn,
    bx,
    by,
    bz,
    kx,
    ky,
    kz,
    wx,
    wy,
    wz,
    count,
):
    """As `run_plain`, through a field that is a sum."""
    drift(x, y, z, vx, vy, vz, half)
    for step in range(count):
        sum_at(kind, data, number, octaves, levels, many, step, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)
        boris(vx, vy, vz, bx, by, bz, turn)
        if step < count - 1:
            drift_twice(x, y, z, vx, vy, vz, half)
    drift(x, y, z, vx, vy, vz, half)


@njit(nogil=True, cache=True)
def count_steps(half, alive, taken, count):
    """So many more steps for all that move."""
    for lane in range(LANES):
        taken[lane] += count * (alive[lane] and half[lane] != 0.0)


@njit(nogil=True, cache=True)
def run_guarded(grid, window, scatter, electric, octaves, levels, many, batch, extra, held, count):
    """As `run_plain`, with walls, an electric field, and scattering by the phase that the middle of a step lay in.

    A particle that needs cells beyond the window stands still from there on.
    """
    inverse, shift, wraps = scales(grid.shape, grid.low, grid.high, grid.walls)
    data, shape, kind = grid.data, grid.shape, grid.kind
    where, inside, outside, threshold, mask = scatter
    other, pusher = electric
    x, y, z, vx, vy, vz, half, turn, bx, by, bz, kx, ky, kz, wx, wy, wz = batch
    kept, taken, alive, key0, key1, count0, count1, words, angle, room, p, reach, ex, ey, ez, ledger = extra
    mass, slow = ledger[MASS], pusher != push.NONE
    mirrors = (grid.walls == REFLECTING).any()
    counters(taken, count0, count1)
    for step in range(count):
        if held:
            keep(x, y, z, vx, vy, vz, p, ledger, kept)
        if slow:
            reaches(p, mass, half, reach)
            advance(ledger, reach)
        drift(x, y, z, vx, vy, vz, reach)
        if kind >= WAVES:
            sum_at(kind, data, shape[2], octaves, levels, many, step, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)
        else:
            locate(shape, inverse, shift, wraps, kind, x, y, z, kx, ky, kz, wx, wy, wz)
            if window.limited:
                enter(window, shape, kind, kx, ky, kz, half)
            gather(data, window.extents, kind, kx, ky, kz, wx, wy, wz, bx, by, bz)
        if pusher != push.NONE:
            gather(other, window.extents, kind, kx, ky, kz, wx, wy, wz, ex, ey, ez)
            push.push(pusher, vx, vy, vz, p, ex, ey, ez, bx, by, bz, turn, mass)
            reaches(p, mass, half, reach)
            advance(ledger, reach)
        else:
            boris(vx, vy, vz, bx, by, bz, turn)
        drift(x, y, z, vx, vy, vz, reach)
        if mirrors:
            bounce(grid, batch, ledger)
        if where != NONE:
            again = step == 0 or pusher != push.NONE
            if where == THRESHOLD:
                above(inside, outside, threshold, bx, by, bz, angle)
            elif where == MASK:
                marked(inside, outside, mask, kind, kx, ky, kz, wx, wy, wz, angle)
            elif again:
                angle[:] = inside
            if where > UNIFORM or again:
                deviations(reach, angle)
            draw(key0, key1, count0, count1, words)
            deflect(vx, vy, vz, angle, words, room)
        if held:
            count_steps(half, alive, taken, 1)
            hold(grid.walls, grid.low, grid.high, x, y, z, vx, vy, vz, p, half, alive, slow, ledger, kept)
    if not held:
        count_steps(half, alive, taken, count)


@njit(nogil=True, cache=True)
def before(electric, batch, extra, held):
    """The first half of a step, where the field comes from elsewhere."""
    b, e = batch, extra
    if held:
        keep(b.x, b.y, b.z, b.vx, b.vy, b.vz, e.p, e.ledger, e.kept)
    if electric.pusher != push.NONE:
        reaches(e.p, e.ledger[MASS], b.half, e.reach)
        advance(e.ledger, e.reach)
    drift(b.x, b.y, b.z, b.vx, b.vy, b.vz, e.reach)


@njit(nogil=True, cache=True)
def after(grid, scatter, electric, batch, extra, held):
    """The second half of a step, where the field comes from elsewhere; a mask goes by the cells of `locate_batch`."""
    x, y, z, vx, vy, vz, half, turn, bx, by, bz, kx, ky, kz, wx, wy, wz = batch
    e, p, mass, slow = extra, extra.p, extra.ledger[MASS], electric.pusher != push.NONE
    if scatter.where == MASK:
        locate_batch(grid, batch)
    if electric.pusher != push.NONE:
        push.push(electric.pusher, vx, vy, vz, p, e.ex, e.ey, e.ez, bx, by, bz, turn, mass)
        reaches(p, mass, half, e.reach)
        advance(e.ledger, e.reach)
    else:
        boris(vx, vy, vz, bx, by, bz, turn)
    drift(x, y, z, vx, vy, vz, e.reach)
    bounce(grid, batch, e.ledger)
    if scatter.where != NONE:
        e.angle[:] = scatter.inside
        if scatter.where == THRESHOLD:
            above(scatter.inside, scatter.outside, scatter.threshold, bx, by, bz, e.angle)
        elif scatter.where == MASK:
            marked(scatter.inside, scatter.outside, scatter.mask, grid.kind, kx, ky, kz, wx, wy, wz, e.angle)
        deviations(e.reach, e.angle)
        counters(e.taken, e.count0, e.count1)
        draw(e.key0, e.key1, e.count0, e.count1, e.words)
        deflect(vx, vy, vz, e.angle, e.words, e.room)
    count_steps(half, e.alive, e.taken, 1)
    if held:
        hold(grid.walls, grid.low, grid.high, x, y, z, vx, vy, vz, p, half, e.alive, slow, e.ledger, e.kept)


@njit(nogil=True, cache=True)
def set_fixed(half, reach, turn, ledger, length):
    """Steps of one length."""
    for lane in range(LANES):
        half[lane] = reach[lane] = 0.5 * length
        turn[lane] = half[lane] / ledger[RIGIDITY, lane]


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def number(interval, longest):
    """The fewest steps of one length, none longer than `longest`, of an interval."""
    return np.int64(ceil(interval / longest * (1.0 - 1e-12)))


@njit(nogil=True, cache=True, error_model="numpy")
def set_own(batch, extra, interval, due):
    """As `set_fixed`, each particle by the longest step of its own; `due` is how many it has before it."""
    for lane in range(LANES):
        count = number(interval, extra.ledger[LONGEST, lane]) if extra.alive[lane] else np.int64(0)
        due[lane] = count
        batch.half[lane] = extra.reach[lane] = 0.5 * (interval / count) if count > 0 else 0.0
        batch.turn[lane] = batch.half[lane] / extra.ledger[RIGIDITY, lane]


@njit(nogil=True, cache=True)
def least(batch, extra, due):
    """How many steps all of those that still move have before them; the others stand still."""
    count = np.int64(0)
    for lane in range(LANES):
        if due[lane] > 0 and extra.alive[lane]:
            count = due[lane] if count == 0 else min(count, due[lane])
        else:
            batch.half[lane] = extra.reach[lane] = 0.0
    return count


@njit(nogil=True, cache=True)
def run_own(grid, window, scatter, electric, octaves, levels, batch, extra, interval, due):
    """Steps of as many lengths as there are particles to the end of an interval."""
    set_own(batch, extra, interval, due)
    count = least(batch, extra, due)
    while count > 0:
        run_guarded(grid, window, scatter, electric, octaves, levels, DIRECTLY, batch, extra, HELD, count)
        due -= count
        count = least(batch, extra, due)


@njit(nogil=True, cache=True, error_model="numpy")
def set_local(batch, extra, fraction, slow, left):
    """Steps of a fraction of the local gyroradius, no longer than the longest; whether any particle is to move.

    `left`, what each has left of its interval, is shortened by them.  Both limits are of the particle's own path; where
    `slow`, an interval is of light's path, in which a slow particle makes longer steps.
    """
    moving = False
    for lane in range(LANES):
        bx, by, bz = batch.bx[lane], batch.by[lane], batch.bz[lane]
        rigidity, longest = extra.ledger[RIGIDITY, lane], extra.ledger[LONGEST, lane]
        # a particle that an electric field has brought to rest is not to wait for ever
        p = max(extra.p[lane], SLOWEST)
        step = min(fraction * abs(rigidity) * p / sqrt(bx * bx + by * by + bz * bz), longest)
        if slow:
            mass = extra.ledger[MASS, lane]
            step = step * (sqrt(mass * mass + p * p) / p)
        # a last step as long as what is left; no sliver behind it
        step = left[lane] if step >= left[lane] * (1.0 - 1e-12) else step
        step = step if extra.alive[lane] else 0.0
        rest = 0.0 if step == left[lane] else left[lane] - step
        if step > 0.0 and rest == left[lane]:  # there is no end of such steps: it stops, as no finite orbit
            batch.vx[lane], extra.alive[lane], step, rest = np.nan, False, 0.0, 0.0
        left[lane] = rest
        batch.half[lane] = extra.reach[lane] = 0.5 * step
        batch.turn[lane] = batch.half[lane] / rigidity
        moving = moving or step > 0.0
    return moving


@njit(nogil=True, cache=True)
def run_local(grid, window, scatter, electric, octaves, levels, batch, extra, interval, fraction):
    """Steps by the local gyroradius to the end of an interval."""
    left, slow = np.full(LANES, interval), electric.pusher != push.NONE
    look(grid, octaves, levels, batch)
    while set_local(batch, extra, fraction, slow, left):
        run_guarded(grid, window, scatter, electric, octaves, levels, DIRECTLY, batch, extra, HELD, ONCE)


@njit(nogil=True, cache=True, inline="always")
def put(values, out, save, row, first):
    """One row of a batch into the result."""
    for lane in range(min(LANES, out.shape[2] - first)):
        out[save, row, first + lane] = values[lane]


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
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


@njit(nogil=True, cache=True, error_model="numpy")
def record(batch, extra, first, save, out):
    """Rows of the result at a saved point, where the fields have been looked up: as many as there is room for.

    A particle has no pitch angle where the field is 0 or not finite.
    """
    vx, vy, vz, bx, by, bz = batch.vx, batch.vy, batch.vz, batch.bx, batch.by, batch.bz
    p, ledger, filled = extra.p, extra.ledger, min(LANES, out.shape[2] - first)
    put(batch.x, out, save, 0, first)
    put(batch.y, out, save, 1, first)
    put(batch.z, out, save, 2, first)
    put(vx, out, save, 3, first)
    put(vy, out, save, 4, first)
    put(vz, out, save, 5, first)
    for lane in range(filled):
        strength = length_of(bx[lane], by[lane], bz[lane])
        along = vx[lane] * bx[lane] + vy[lane] * by[lane] + vz[lane] * bz[lane]
        out[save, 6, first + lane] = along / strength if 0.0 < strength < np.inf else np.nan
        out[save, 7, first + lane] = strength
    for lane in range(filled):
        out[save, 8, first + lane] = 1.0 if extra.alive[lane] else 0.0
        out[save, 9, first + lane] = extra.taken[lane]
    rows = out.shape[1]
    if rows == 13 or rows == 18 or rows == 22:
        put(ledger[LEFT], out, save, rows - 3, first)
        put(ledger[REFLECTIONS], out, save, rows - 2, first)
        put(ledger[ALONG], out, save, rows - 1, first)
    if rows < 15:
        return
    put(p, out, save, 10, first)
    for lane in range(filled):
        mass = ledger[MASS, lane]
        # kinetic energies in a form that does not cancel for slow particles
        energy = sqrt(mass * mass + p[lane] * p[lane])
        out[save, 11, first + lane] = p[lane] * p[lane] * (sqrt(mass * mass + 1.0) + mass) / (energy + mass)
        strength = length_of(bx[lane], by[lane], bz[lane])
        inverse = 1.0 / strength if 0.0 < strength < np.inf else np.nan
        out[save, 12, first + lane] = bx[lane] * inverse
        out[save, 13, first + lane] = by[lane] * inverse
        out[save, 14, first + lane] = bz[lane] * inverse
    if rows >= 19:
        put(ledger[OWN], out, save, 15, first)
        put(extra.ex, out, save, 16, first)
        put(extra.ey, out, save, 17, first)
        put(extra.ez, out, save, 18, first)


@njit(nogil=True, cache=True)
def load(batch, extra, start, keys, taken, first):
    """Fill a batch from the particles from `first` on."""
    n = start.shape[0]
    for lane in range(LANES):  # the last batch is filled up: a lane is computed the same whatever its neighbours
        i = min(first + lane, n - 1)
        batch.x[lane], batch.y[lane], batch.z[lane] = start[i, 0], start[i, 1], start[i, 2]
        batch.vx[lane], batch.vy[lane], batch.vz[lane], extra.p[lane] = (
            start[i, 3],
            start[i, 4],
            start[i, 5],
            start[i, 6],
        )
        for row in range(8):
            extra.ledger[row, lane] = start[i, 7 + row]
        extra.key0[lane], extra.key1[lane] = np.uint32(keys[i] & np.uint64(0xFFFFFFFF)), keys[i] >> np.uint64(32)
        extra.alive[lane] = taken[i] >= 0
        extra.taken[lane] = taken[i] if taken[i] >= 0 else -1 - taken[i]


@njit(nogil=True, cache=True)
def trace_block(grid, scatter, electric, octaves, start, keys, taken, intervals, ends, counts, fraction, rows):
    """Trace particles by drift-kick-drift steps through a static field.

    Parameters
    ----------
    grid : Grid
    scatter : Scatter
    electric : Electric
    octaves : Octaves
        Of plane waves, for steps of one length; they begin anew at every saved point.
    start : (n, 15) float array
        Columns `START` and `LEDGER`: position, unit vector of the momentum, momentum over that at the start of the run;
        gyroradius times reference field with the sign of the charge, m c over the momentum at the start, longest step,
        path so far, path at which it left (NaN before), reflections and those along the field, and own path so far.
    keys : (n,) uint64 array
    taken : (n,) int64 array
        Steps taken before; for a particle that has stopped, -1 less their number.
    intervals, ends : (s,) float arrays
        Path between saved points and at them; light's path where there is an electric field.
    counts : (s,) int array
        Steps of each interval, where those of all particles have one length; none where each particle has its own.
    fraction : float
        Of the local gyroradius that is a step, where it is positive.
    rows : int
        How many to give back: the 10 of `ROWS`, with `MORE` 15, with `DRIVEN` 19, and `WALLED` 3 more.

    Returns
    -------
    (rows, n, s) float array
        Unwrapped position, direction, pitch-angle cosine, |B|, 1 or 0, steps taken; momentum and kinetic energy over
        those at the start, direction of the field; own path and E over c; path at which it left, and reflections of
        both kinds.
    """
    n, saves = start.shape[0], intervals.shape[0]
    out = np.empty((saves, rows, n))
    batch, extra = new_batch()
    levels, window = new_levels(octaves), whole(grid.shape)
    # all of it taken apart here: each call with a tuple of arrays counts references to all of them
    data, shape, low, high, walls, kind = grid
    inverse, shift, wraps = scales(shape, low, high, walls)
    x, y, z, vx, vy, vz, half, turn, bx, by, bz, kx, ky, kz, wx, wy, wz = batch
    reach, reached, ledger = extra.reach, extra.taken, extra.ledger
    held, driven, due = (walls == OPEN).any(), electric.pusher != push.NONE, np.zeros(LANES, np.int64)
    plain = scatter.where == NONE and not driven and not (walls != PERIODIC).any()
    for first in range(0, n, LANES):
        load(batch, extra, start, keys, taken, first)
        for save in range(saves):
            count = counts[save] if counts.size else np.int64(0)
            if fraction > 0.0:
                run_local(grid, window, scatter, electric, octaves, levels, batch, extra, intervals[save], fraction)
            elif counts.size == 0:
                run_own(grid, window, scatter, electric, octaves, levels, batch, extra, intervals[save], due)
            elif count > 0:
                set_fixed(half, reach, turn, ledger, intervals[save] / count)
                many = plan_levels(octaves, intervals[save] / count, count, levels) if kind == WAVES else DIRECTLY
                if plain and kind >= WAVES:
                    run_sum(
                        kind, data, shape[2], octaves, levels, many, x, y, z, vx, vy, vz, half, turn, bx, by, bz,
                        kx, ky, kz, wx, wy, wz, count
                    )  # fmt: skip
                    reached += count
                elif plain:
                    run_plain(
                        data, shape, inverse, shift, wraps, kind, x, y, z, vx, vy, vz, half, turn, bx, by, bz,
                        kx, ky, kz, wx, wy, wz, count
                    )  # fmt: skip
                    reached += count
                else:
                    run_guarded(grid, window, scatter, electric, octaves, levels, many, batch, extra, held, count)
            if held:
                arrive(ledger, extra.alive, ends[save])
            if kind >= WAVES:
                none = DIRECTLY
                sum_at(kind, data, shape[2], octaves, levels, none, none, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)
            else:
                interpolate(data, shape, inverse, shift, wraps, kind, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)
                if driven:
                    gather(electric.data, shape, kind, kx, ky, kz, wx, wy, wz, extra.ex, extra.ey, extra.ez)
            record(batch, extra, first, save, out)
    return out.transpose(1, 2, 0)

"""Sums of plane waves a cos(2 pi (k·x + phase)) at a batch of positions, directly or by octaves.

Between two steps a wave much longer than the step hardly changes.  So waves come in groups, the shortest first; those
of a group that is slow enough are added up into a cubic polynomial about the particle, which stands until the particle
may have left the radius within which it is good.  The polynomial of slower groups is moved to the new centre and
added to that of the next faster one, so that a step evaluates one polynomial and the waves that are too fast for any.
"""

from collections import namedtuple

import numpy as np

from mmfields.kernels._jit import kernel, part
from mmfields.kernels.batch import LANES
from mmfields.kernels.vectors import fused, widest

# Waves are rows of eight numbers: k along x, y, z and phase [turns], a along x, y, z, and 0; so many are added at once.
ROW, TOGETHER = 8, 4
# Numbers of a cubic polynomial in three variables: their powers of x, y, z.
POWERS = (
    (0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (0, 1, 0), (1, 1, 0), (2, 1, 0), (0, 2, 0), (1, 2, 0), (0, 3, 0),
    (0, 0, 1), (1, 0, 1), (2, 0, 1), (0, 1, 1), (1, 1, 1), (0, 2, 1), (0, 0, 2), (1, 0, 2), (0, 1, 2), (0, 0, 3),
)  # fmt: skip
TERMS = len(POWERS)


# How a polynomial is moved along x, y, z: to the first number of each pair, the second one times the shift is added.
def _moves(axis):
    """Pairs for one axis: every line of powers along it, by synthetic division."""
    pairs = []
    for first in (p for p in POWERS if p[axis] == 0):
        line = [POWERS.index(p) for p in POWERS if all(p[d] == first[d] for d in range(3) if d != axis)]
        line.sort(key=lambda n: POWERS[n][axis])
        for begin in range(len(line) - 1):
            pairs += [(line[n], line[n + 1]) for n in range(len(line) - 2, begin - 1, -1)]
    return np.array(pairs)


MOVE_X, MOVE_Y, MOVE_Z = _moves(0), _moves(1), _moves(2)
EVEN = np.array([n for n, p in enumerate(POWERS) if sum(p) % 2 == 0])
ODD = np.array([n for n, p in enumerate(POWERS) if sum(p) % 2 == 1])
# Steps for which a polynomial must stand to be worth its making: it costs as much as so many direct sums.
WORTH = 10

# A field that is a sum.  groups (g + 1,): first row of each group of waves and their end; bounds (g,): what the fourth
# power of the radius is to the share of the error that the group may make; terms: (rows, TERMS, 3) numbers of each
# wave's polynomial, to its cosine for even powers and to its sine for odd ones; no groups where all waves are added
# directly.  For nested grids: where each begins in the data and their end, its cells per length unit, and its cells
# along an axis.  grid: flat data of a snapshot that the waves are added to, or None.
Octaves = namedtuple("Octaves", "groups bounds terms grid", defaults=(None,))
# What a batch keeps of it between steps: steps for which each level stands, its rows, steps for which each group may
# stand, numbers x, y, z of the level's polynomial, and where it is centred, (3, g, LANES).
Levels = namedtuple("Levels", "period rows stands px py pz centres")

# Coefficients of sin(2 pi r) / r in r^2, interpolated at Chebyshev nodes of |r| <= 1/4: to 8e-14.
S0, S1, S2, S3 = 6.28318530717928, -41.341702239903675, 81.60524914901583, -76.70584754377326
S4, S5, S6 = 42.058134871372054, -15.081483206893, 3.6658551595639612


@part()
def cosine(t):
    """Cosine of up to half a turn either way, as the sine of what is left to a quarter."""
    r = 0.25 - abs(t)
    q = r * r
    high = fused(q, fused(q, S6, S5), S4)
    return r * fused(q, fused(q, fused(q, fused(q, high, S3), S2), S1), S0)


@part()
def four(a, p, b, q, c, r, d, s):
    """Sum of four products."""
    return fused(d, s, fused(c, r, fused(b, q, a * p)))


@part()
def cubic(x, a, b, c, d):
    """A cubic polynomial in one variable."""
    return fused(x, fused(x, fused(x, d, c), b), a)


@kernel()
def add_waves(b, data, place):
    """Add four waves, whose rows begin at a place of the flat data."""
    widest()
    d = data[place : place + TOGETHER * ROW]
    k00, k01, k02, p0, a00, a01, a02 = d[0], d[1], d[2], d[3], d[4], d[5], d[6]
    k10, k11, k12, p1, a10, a11, a12 = d[8], d[9], d[10], d[11], d[12], d[13], d[14]
    k20, k21, k22, p2, a20, a21, a22 = d[16], d[17], d[18], d[19], d[20], d[21], d[22]
    k30, k31, k32, p3, a30, a31, a32 = d[24], d[25], d[26], d[27], d[28], d[29], d[30]
    for lane in range(b.lanes):
        u, v, w = b.x[lane], b.y[lane], b.z[lane]
        t0 = fused(k00, u, fused(k01, v, fused(k02, w, p0)))
        t1 = fused(k10, u, fused(k11, v, fused(k12, w, p1)))
        t2 = fused(k20, u, fused(k21, v, fused(k22, w, p2)))
        t3 = fused(k30, u, fused(k31, v, fused(k32, w, p3)))
        c0, c1 = cosine(t0 - np.rint(t0)), cosine(t1 - np.rint(t1))
        c2, c3 = cosine(t2 - np.rint(t2)), cosine(t3 - np.rint(t3))
        b.bx[lane] += four(a00, c0, a10, c1, a20, c2, a30, c3)
        b.by[lane] += four(a01, c0, a11, c1, a21, c2, a31, c3)
        b.bz[lane] += four(a02, c0, a12, c1, a22, c2, a32, c3)


@kernel()
def waves(b, data, first, last):
    """Add the waves of some rows of the flat data, a multiple of four of them."""
    for row in range(first, last, TOGETHER):
        add_waves(b, data, row * ROW)


@kernel()
def turns(b, data, row, cosines, sines):
    """Cosines and sines of the wave in a row of the flat data."""
    kx, ky, kz, phase = data[row], data[row + 1], data[row + 2], data[row + 3]
    for lane in range(b.lanes):
        t = fused(kx, b.x[lane], fused(ky, b.y[lane], fused(kz, b.z[lane], phase)))
        t -= np.rint(t)
        cosines[lane] = cosine(t)
        t -= 0.25
        sines[lane] = cosine(t - np.rint(t))


@kernel()
def add_term(lanes, t, place, waves, px, py, pz):
    """Add four waves, (4, LANES), to one number of a polynomial of all three components."""
    x0, y0, z0 = t[place], t[place + 1], t[place + 2]
    place += 3 * TERMS
    x1, y1, z1 = t[place], t[place + 1], t[place + 2]
    place += 3 * TERMS
    x2, y2, z2 = t[place], t[place + 1], t[place + 2]
    place += 3 * TERMS
    x3, y3, z3 = t[place], t[place + 1], t[place + 2]
    for lane in range(lanes):
        a, b, c, d = waves[0, lane], waves[1, lane], waves[2, lane], waves[3, lane]
        px[lane] += four(x0, a, x1, b, x2, c, x3, d)
        py[lane] += four(y0, a, y1, b, y2, c, y3, d)
        pz[lane] += four(z0, a, z1, b, z2, c, z3, d)


@kernel()
def expand(b, data, octaves, levels, level):
    """Add the polynomials of a level's own waves about the positions of a batch, whose weights are room."""
    terms, px, py, pz = octaves.terms, levels.px[level], levels.py[level], levels.pz[level]
    for row in range(levels.rows[level], levels.rows[level + 1], TOGETHER):
        for i in range(TOGETHER):
            turns(b, data, (row + i) * ROW, b.wx[i], b.wy[i])
        for n in EVEN:
            add_term(b.lanes, terms, (row * TERMS + n) * 3, b.wx, px[n], py[n], pz[n])
        for n in ODD:
            add_term(b.lanes, terms, (row * TERMS + n) * 3, b.wy, px[n], py[n], pz[n])


@kernel()
def add_shifted(lanes, shift, source, target):
    """Add a row times a shift to another."""
    for lane in range(lanes):
        target[lane] = fused(shift[lane], source[lane], target[lane])


@kernel()
def move(lanes, pairs, shift, px, py, pz):
    """Move polynomials along one axis, by synthetic division."""
    for i in range(pairs.shape[0]):
        low, high = pairs[i, 0], pairs[i, 1]
        add_shifted(lanes, shift, px[high], px[low])
        add_shifted(lanes, shift, py[high], py[low])
        add_shifted(lanes, shift, pz[high], pz[low])


@kernel()
def add_cubic(b, p, out):
    """Add a cubic polynomial, (TERMS, LANES) made flat, in the order of `POWERS`, at places in `ex`, `ey`, `ez`."""
    n = LANES
    for m in range(b.lanes):
        x, y, z = b.ex[m], b.ey[m], b.ez[m]
        zero = cubic(x, p[m], p[m + n], p[m + 2 * n], p[m + 3 * n])
        zero = fused(y, fused(x, fused(x, p[m + 6 * n], p[m + 5 * n]), p[m + 4 * n]), zero)
        zero = fused(y * y, fused(y, p[m + 9 * n], fused(x, p[m + 8 * n], p[m + 7 * n])), zero)
        one = fused(x, fused(x, p[m + 12 * n], p[m + 11 * n]), p[m + 10 * n])
        one = fused(y, fused(y, p[m + 15 * n], fused(x, p[m + 14 * n], p[m + 13 * n])), one)
        two = fused(z, p[m + 19 * n], fused(y, p[m + 18 * n], fused(x, p[m + 17 * n], p[m + 16 * n])))
        out[m] += fused(z, fused(z, two, one), zero)


@kernel()
def new_levels(octaves):
    """Room for what a batch keeps between steps; None for a grid."""
    if octaves is None:
        return None
    g = octaves.bounds.size
    period, rows = np.zeros(g + 1, np.int64), np.zeros(g + 1, np.int64)
    px, py, pz = np.zeros((g, TERMS, LANES)), np.zeros((g, TERMS, LANES)), np.zeros((g, TERMS, LANES))
    return Levels(period, rows, np.zeros(g), px, py, pz, np.zeros((3, g, LANES)))


@kernel()
def plan_levels(octaves, step, count, levels):
    """How long polynomials stand over `count` steps of this length; how many levels there are.

    The fastest groups are left to be added directly, up to row `rows[0]`; level i has the rows from `rows[i]` to
    `rows[i + 1]` and stands for `period[i]` steps, a multiple of the level before.  Each slower group may make half
    the error of the one before.
    """
    groups, bounds = octaves.groups, octaves.bounds
    period, rows, stands = levels.period, levels.rows, levels.stands
    n, first = bounds.size, 0
    while first < n:
        least = 1.0 * count  # a level stands no longer than any group in it or in a slower one may
        for g in range(n - 1, first - 1, -1):
            least = min(least, (0.5 ** (g - first + 1) * bounds[g]) ** 0.25 / step)
            stands[g] = least
        if least >= WORTH:
            break
        first += 1
    if first == n:
        return 0
    level, period[0], rows[0] = 0, np.int64(stands[first]), groups[first]
    for g in range(first + 1, n):
        own = period[level]
        while 2 * own <= stands[g]:
            own *= 2
        if own > period[level]:
            level += 1
            period[level], rows[level] = own, groups[g]
    rows[level + 1] = groups[n]
    return level + 1


@kernel()
def set_shift(b, centre):
    """How far a batch has moved from a centre (3, LANES), into `ex`, `ey`, `ez`."""
    for lane in range(b.lanes):
        b.ex[lane] = b.x[lane] - centre[0, lane]
        b.ey[lane] = b.y[lane] - centre[1, lane]
        b.ez[lane] = b.z[lane] - centre[2, lane]


@kernel()
def begin(lanes, level, many, p):
    """A level's polynomial as that of the slower one, or none."""
    for n in range(TERMS):
        for lane in range(lanes):
            p[level, n, lane] = p[level + 1, n, lane] if level + 1 < many else 0.0


@kernel()
def renew(b, data, octaves, levels, level):
    """Make the polynomial of a level anew about the positions of a batch, from the slower one and its own waves."""
    px, py, pz, centres = levels.px, levels.py, levels.pz, levels.centres
    begin(b.lanes, level, b.many, px)
    begin(b.lanes, level, b.many, py)
    begin(b.lanes, level, b.many, pz)
    if level + 1 < b.many:
        set_shift(b, centres[:, level + 1])
        move(b.lanes, MOVE_X, b.ex, px[level], py[level], pz[level])
        move(b.lanes, MOVE_Y, b.ey, px[level], py[level], pz[level])
        move(b.lanes, MOVE_Z, b.ez, px[level], py[level], pz[level])
    for lane in range(b.lanes):
        centres[0, level, lane], centres[1, level, lane] = b.x[lane], b.y[lane]
        centres[2, level, lane] = b.z[lane]
    expand(b, data, octaves, levels, level)


@kernel()
def clear(b):
    """No field, to which waves are added."""
    for lane in range(b.lanes):
        b.bx[lane] = b.by[lane] = b.bz[lane] = 0.0


@kernel()
def waves_by_level(b, data, count, octaves, levels, step):
    """Sum of all `count` waves at the positions of a batch, at a step counted from the last plan."""
    clear(b)
    if b.many == 0:
        waves(b, data, 0, count)
        return
    level = -1
    while level + 1 < b.many and step % levels.period[level + 1] == 0:
        level += 1
    for i in range(level, -1, -1):
        renew(b, data, octaves, levels, i)
    set_shift(b, levels.centres[:, 0])
    add_cubic(b, levels.px[0].ravel(), b.bx)
    add_cubic(b, levels.py[0].ravel(), b.by)
    add_cubic(b, levels.pz[0].ravel(), b.bz)
    waves(b, data, 0, levels.rows[0])
    waves(b, data, levels.rows[b.many], count)

"""What happens to a batch at the faces of the box: a step beyond an open one is taken back, others are mirrored."""

from math import sqrt

from mmfields.kernels._jit import kernel, part
from mmfields.kernels.setup import Pusher, Wall


@kernel()
def reflect(b, x, v, low, high, across):
    """Mirror what has crossed a wall, position and direction, and count it.

    Those are counted apart where the field, whose component normal to the wall is given by `across`, runs rather
    through the wall than along it: beyond such a mirror a field line goes on, and the pitch angle is turned round.
    """
    for lane in range(b.lanes):
        if not low <= x[lane] <= high:
            face = low if x[lane] < low else high
            x[lane], v[lane] = 2.0 * face - x[lane], -v[lane]
            b.reflections[lane] += 1.0
            bx, by, bz = b.bx[lane], b.by[lane], b.bz[lane]
            bn, bs, bt = (bx, by, bz) if across == 0 else (by, bz, bx) if across == 1 else (bz, bx, by)
            if bn * bn > bs * bs + bt * bt:
                b.reflections_along[lane] += 1.0


@part()
def bounce(b, s):
    """Mirror what has crossed a reflecting wall, and count it."""
    if s.walls[0] == Wall.REFLECTING:
        reflect(b, b.x, b.vx, s.low[0], s.high[0], 0)
    if s.walls[1] == Wall.REFLECTING:
        reflect(b, b.y, b.vy, s.low[1], s.high[1], 1)
    if s.walls[2] == Wall.REFLECTING:
        reflect(b, b.z, b.vz, s.low[2], s.high[2], 2)


@kernel()
def keep(b):
    """Remember a batch as it is."""
    for lane in range(b.lanes):
        b.kept[0, lane], b.kept[1, lane], b.kept[2, lane] = b.x[lane], b.y[lane], b.z[lane]
        b.kept[3, lane], b.kept[4, lane], b.kept[5, lane] = b.vx[lane], b.vy[lane], b.vz[lane]
        b.kept[6, lane], b.kept[7, lane] = b.momentum[lane], b.reflections[lane]
        b.kept[8, lane], b.kept[9, lane] = b.reflections_along[lane], b.own_path[lane]


@part()
def take_back(b, lane):
    """A particle as `keep` has remembered it."""
    b.x[lane], b.y[lane], b.z[lane] = b.kept[0, lane], b.kept[1, lane], b.kept[2, lane]
    b.vx[lane], b.vy[lane], b.vz[lane] = b.kept[3, lane], b.kept[4, lane], b.kept[5, lane]
    b.momentum[lane], b.reflections[lane] = b.kept[6, lane], b.kept[7, lane]
    b.reflections_along[lane], b.own_path[lane] = b.kept[8, lane], b.kept[9, lane]


@part()
def crossing(wall, low, high, begin, reach, end):
    """Part of a step after which a particle crosses an open wall, on its two straight halves; 1 where it does not."""
    if wall != Wall.OPEN or low <= end <= high:
        return 1.0
    middle = begin + reach
    if not low <= middle <= high:
        face = low if middle < low else high
        return 0.5 * (face - begin) / (middle - begin)
    face = low if end < low else high
    return 0.5 + 0.5 * (face - middle) / (end - middle)


@part()
def leave(b, s, lane):
    """Note the path at which a particle leaves the box in this step."""
    reach = b.half[lane]
    if s.pusher != Pusher.NONE:
        mass, p = b.mass[lane], b.kept[6, lane]
        reach = reach * p / sqrt(mass * mass + p * p)
    part = crossing(s.walls[0], s.low[0], s.high[0], b.kept[0, lane], reach * b.kept[3, lane], b.x[lane])
    part = min(part, crossing(s.walls[1], s.low[1], s.high[1], b.kept[1, lane], reach * b.kept[4, lane], b.y[lane]))
    part = min(part, crossing(s.walls[2], s.low[2], s.high[2], b.kept[2, lane], reach * b.kept[5, lane], b.z[lane]))
    b.left[lane] = b.path[lane] + 2.0 * b.half[lane] * part


@kernel()
def hold(b, s):
    """Take back the step of what has left through an open wall, which stops there, and of what stood still."""
    for lane in range(b.lanes):
        out = s.walls[0] == Wall.OPEN and not s.low[0] <= b.x[lane] <= s.high[0]
        out = out or (s.walls[1] == Wall.OPEN and not s.low[1] <= b.y[lane] <= s.high[1])
        out = out or (s.walls[2] == Wall.OPEN and not s.low[2] <= b.z[lane] <= s.high[2])
        if out and b.alive[lane] and b.half[lane] != 0.0:
            b.alive[lane] = 0
            leave(b, s, lane)
        if not b.alive[lane] or b.half[lane] == 0.0:
            take_back(b, lane)
        else:
            b.path[lane] += 2.0 * b.half[lane]


@kernel()
def arrive(b, end):
    """Path at a saved point, without what rounding has added up."""
    for lane in range(b.lanes):
        if b.alive[lane]:
            b.path[lane] = end

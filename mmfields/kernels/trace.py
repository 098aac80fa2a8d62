"""Loops over a block of particles, a batch in lockstep."""

from collections import namedtuple
from math import sqrt

import numpy as np
from numba import njit

from mmfields.kernels.interpolate import LANES, PERIODIC, interpolate, scales
from mmfields.kernels.push import boris, drift, reflect
from mmfields.kernels.scatter import NONE, UNIFORM, angles, deflect, draw

# Rows of the result of `trace_block`.
ROWS = ("x", "y", "z", "vx", "vy", "vz", "mu", "B", "alive", "steps")

# What happens at the faces of the box, by number; 0 is periodic.
OPEN, REFLECTING = 1, 2

# where: as in `scatter`; inside, outside: rates per path length; mask (z, y, x), of one cell where it is not used.
Scatter = namedtuple("Scatter", "where inside outside threshold mask")
# A batch: positions, directions, half the steps, half the angles per field, field, cells and weights of each axis.
Batch = namedtuple("Batch", "x y z vx vy vz half turn bx by bz kx ky kz wx wy wz")
# What else a batch has: rows (6, LANES) to restore, steps taken, whether it moves on; random keys and counters in two
# halves, random words, scattering angles, and room for their work.
Extra = namedtuple("Extra", "kept taken alive key0 key1 count0 count1 words angle room")


@njit(nogil=True, cache=True)
def new_batch():
    """Room for a batch."""
    f, i = np.empty((11, LANES)), np.empty((3, 4, LANES), np.int32)
    w = np.empty((3, 4, LANES))
    batch = Batch(f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], i[0], i[1], i[2], w[0], w[1], w[2])
    taken, alive, u = np.empty(LANES, np.int64), np.empty(LANES, np.bool_), np.empty((6, LANES), np.uint32)
    room = np.empty((5, LANES), np.float32)
    return batch, Extra(np.empty((6, LANES)), taken, alive, u[0], u[1], u[2], u[3], u[4:], room[4], room[:4])


@njit(nogil=True, cache=True)
def look(grid, batch):
    """Field at the positions of a batch."""
    inverse, shift, wraps = scales(grid.shape, grid.low, grid.high, grid.walls)
    x, y, z, _, _, _, _, _, bx, by, bz, kx, ky, kz, wx, wy, wz = batch
    interpolate(grid.data, grid.shape, inverse, shift, wraps, grid.kind, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)


@njit(nogil=True, cache=True)
def bounce(grid, batch):
    """Mirror what has crossed a reflecting wall."""
    if grid.walls[0] == REFLECTING:
        reflect(batch.x, batch.vx, grid.low[0], grid.high[0])
    if grid.walls[1] == REFLECTING:
        reflect(batch.y, batch.vy, grid.low[1], grid.high[1])
    if grid.walls[2] == REFLECTING:
        reflect(batch.z, batch.vz, grid.low[2], grid.high[2])


@njit(nogil=True, cache=True)
def counters(taken, count0, count1):
    """Numbers of steps as pairs of words."""
    for lane in range(LANES):
        count0[lane] = np.uint32(taken[lane] & 0xFFFFFFFF)
        count1[lane] = np.uint32(taken[lane] >> 32)


@njit(nogil=True, cache=True)
def keep(x, y, z, vx, vy, vz, kept):
    """Remember a batch as it is."""
    for lane in range(LANES):
        kept[0, lane], kept[1, lane], kept[2, lane] = x[lane], y[lane], z[lane]
        kept[3, lane], kept[4, lane], kept[5, lane] = vx[lane], vy[lane], vz[lane]


@njit(nogil=True, cache=True)
def hold(walls, low, high, x, y, z, vx, vy, vz, half, alive, kept):
    """Take back the step of what has left through an open wall, which stops there, and of what stood still."""
    for lane in range(LANES):
        out = walls[0] == OPEN and not low[0] <= x[lane] <= high[0]
        out = out or (walls[1] == OPEN and not low[1] <= y[lane] <= high[1])
        out = out or (walls[2] == OPEN and not low[2] <= z[lane] <= high[2])
        alive[lane] = alive[lane] and not out
        if not alive[lane] or half[lane] == 0.0:
            x[lane], y[lane], z[lane] = kept[0, lane], kept[1, lane], kept[2, lane]
            vx[lane], vy[lane], vz[lane] = kept[3, lane], kept[4, lane], kept[5, lane]


@njit(nogil=True, cache=True)
def run_plain(grid, batch, count):
    """So many steps through a periodic box without scattering: half a drift, a rotation halfway, half a drift."""
    inverse, shift, wraps = scales(grid.shape, grid.low, grid.high, grid.walls)
    data, shape, kind = grid.data, grid.shape, grid.kind
    x, y, z, vx, vy, vz, half, turn, bx, by, bz, kx, ky, kz, wx, wy, wz = batch
    for _ in range(count):
        drift(x, y, z, vx, vy, vz, half)
        interpolate(data, shape, inverse, shift, wraps, kind, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)
        boris(vx, vy, vz, bx, by, bz, turn)
        drift(x, y, z, vx, vy, vz, half)


@njit(nogil=True, cache=True)
def run_guarded(grid, scatter, batch, extra, count):
    """As `run_plain`, with walls, and with scattering at the end of a step by the phase that its middle lay in."""
    inverse, shift, wraps = scales(grid.shape, grid.low, grid.high, grid.walls)
    data, shape, kind = grid.data, grid.shape, grid.kind
    where, inside, outside, threshold, mask = scatter
    x, y, z, vx, vy, vz, half, turn, bx, by, bz, kx, ky, kz, wx, wy, wz = batch
    kept, taken, alive, key0, key1, count0, count1, words, angle, room = extra
    open_walls, walls = (grid.walls == OPEN).any(), (grid.walls == REFLECTING).any()
    for step in range(count):
        if open_walls:
            keep(x, y, z, vx, vy, vz, kept)
        drift(x, y, z, vx, vy, vz, half)
        interpolate(data, shape, inverse, shift, wraps, kind, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz)
        boris(vx, vy, vz, bx, by, bz, turn)
        drift(x, y, z, vx, vy, vz, half)
        if walls:
            bounce(grid, batch)
        if step == 0 or where > UNIFORM:
            angles(where, inside, outside, threshold, mask, kind, kx, ky, kz, wx, wy, wz, bx, by, bz, half, angle)
        if where != NONE:
            counters(taken, count0, count1)
            draw(key0, key1, count0, count1, words)
            deflect(vx, vy, vz, angle, words, room)
        for lane in range(LANES):
            taken[lane] += 1
        if open_walls:
            hold(grid.walls, grid.low, grid.high, x, y, z, vx, vy, vz, half, alive, kept)


@njit(nogil=True, cache=True)
def run_fixed(grid, scatter, batch, extra, rigidity, length, count):
    """So many steps of one length."""
    for lane in range(LANES):
        batch.half[lane] = 0.5 * length
        batch.turn[lane] = batch.half[lane] / rigidity
    if scatter.where != NONE or (grid.walls != PERIODIC).any():
        run_guarded(grid, scatter, batch, extra, count)
        return
    run_plain(grid, batch, count)
    for lane in range(LANES):
        extra.taken[lane] += count


@njit(nogil=True, cache=True, error_model="numpy")
def run_local(grid, scatter, batch, extra, rigidity, interval, fraction, longest):
    """Steps of a fraction of the local gyroradius, no longer than `longest`, to the end of an interval."""
    left = np.full(LANES, interval)
    open_walls = (grid.walls == OPEN).any()
    look(grid, batch)
    while True:
        moving = False
        for lane in range(LANES):
            bx, by, bz = batch.bx[lane], batch.by[lane], batch.bz[lane]
            step = min(fraction * rigidity / sqrt(bx * bx + by * by + bz * bz), longest)
            # a last step as long as what is left; no sliver behind it
            step = left[lane] if step >= left[lane] * (1.0 - 1e-12) else step
            step = step if extra.alive[lane] else 0.0
            left[lane] = 0.0 if step == left[lane] else left[lane] - step
            batch.half[lane] = 0.5 * step
            batch.turn[lane] = batch.half[lane] / rigidity
            moving = moving or step > 0.0
        if not moving:
            return
        b, e = batch, extra
        if not open_walls:
            keep(b.x, b.y, b.z, b.vx, b.vy, b.vz, e.kept)
        run_guarded(grid, scatter, batch, extra, 1)
        if not open_walls:
            hold(grid.walls, grid.low, grid.high, b.x, b.y, b.z, b.vx, b.vy, b.vz, b.half, e.alive, e.kept)
        for lane in range(LANES):
            extra.taken[lane] -= batch.half[lane] == 0.0


@njit(nogil=True, cache=True)
def record(grid, batch, extra, first, save, out):
    """Rows of the result at a saved point."""
    look(grid, batch)
    filled = min(LANES, out.shape[2] - first)
    for row, values in enumerate((batch.x, batch.y, batch.z, batch.vx, batch.vy, batch.vz)):
        for lane in range(filled):
            out[save, row, first + lane] = values[lane]
    for lane in range(filled):
        bx, by, bz = batch.bx[lane], batch.by[lane], batch.bz[lane]
        strength = sqrt(bx * bx + by * by + bz * bz)
        along = batch.vx[lane] * bx + batch.vy[lane] * by + batch.vz[lane] * bz
        out[save, 6, first + lane] = along / strength if strength > 0.0 else np.nan
        out[save, 7, first + lane] = strength
        out[save, 8, first + lane] = 1.0 if extra.alive[lane] else 0.0
        out[save, 9, first + lane] = extra.taken[lane]


@njit(nogil=True, cache=True)
def trace_block(grid, scatter, position, direction, keys, taken, rigidity, intervals, counts, fraction, longest):
    """Trace particles by drift-kick-drift Boris steps through a static field.

    Parameters
    ----------
    grid : Grid
    scatter : Scatter
    position, direction : (n, 3) float arrays
        Start, and unit vector of the momentum.
    keys : (n,) uint64 array
    taken : (n,) int64 array
        Steps taken before; for a particle that has stopped, -1 less their number.
    rigidity : float
        Gyroradius times reference field.
    intervals : (s,) float array
        Path between saved points.
    counts : (s,) int array
        Steps of each interval, where they have one length.
    fraction, longest : float
        Of the local gyroradius, and longest step, where `fraction` is positive.

    Returns
    -------
    (10, n, s) float array
        The rows of `ROWS`: unwrapped position, direction, pitch-angle cosine, |B|, 1 or 0, and steps taken.
    """
    n, saves = position.shape[0], intervals.shape[0]
    out = np.empty((saves, 10, n))
    batch, extra = new_batch()
    for first in range(0, n, LANES):
        for lane in range(LANES):  # the last batch is filled up: a lane is computed the same whatever its neighbours
            p = min(first + lane, n - 1)
            batch.x[lane], batch.y[lane], batch.z[lane] = position[p, 0], position[p, 1], position[p, 2]
            batch.vx[lane], batch.vy[lane], batch.vz[lane] = direction[p, 0], direction[p, 1], direction[p, 2]
            extra.key0[lane], extra.key1[lane] = np.uint32(keys[p] & np.uint64(0xFFFFFFFF)), keys[p] >> np.uint64(32)
            extra.alive[lane] = taken[p] >= 0
            extra.taken[lane] = taken[p] if taken[p] >= 0 else -1 - taken[p]
        for save in range(saves):
            if fraction > 0.0:
                run_local(grid, scatter, batch, extra, rigidity, intervals[save], fraction, longest)
            elif counts[save] > 0:
                run_fixed(grid, scatter, batch, extra, rigidity, intervals[save] / counts[save], counts[save])
            record(grid, batch, extra, first, save, out)
    return out.transpose(1, 2, 0)

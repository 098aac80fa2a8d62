"""Part of a grid: cells are found in the whole grid, and read from the part that is in memory."""

from collections import namedtuple

import numpy as np
from numba import njit

from mmfields.kernels.interpolate import CUBIC, FACES
from mmfields.kernels.lanes import LANES

# limited: whether data hold a part only; begins: its first cell in x, y, z order; extents: its cells (z, y, x);
# goals (3, LANES): cells, in x, y, z order, of particles that need others than it has.
Window = namedtuple("Window", "limited begins extents goals")

# Numbers as arguments of one type: a literal would be compiled for on its own.
WHOLE, PART = np.bool_(False), np.bool_(True)


@njit(nogil=True, cache=True)
def whole(shape):
    """All of the grid."""
    return Window(WHOLE, np.zeros(3, np.int64), shape, np.empty((3, LANES), np.int32))


@njit(nogil=True, cache=True)
def enter_axis(cells, many, begin, extent, n, half):
    """From `many` cells of one axis to those of a part of it, which goes on at the start beyond the end."""
    begin, extent, n = np.int32(begin), np.int32(extent), np.int32(n)
    for c in range(many):
        for lane in range(LANES):
            i = cells[c, lane] - begin
            i = i + n if i < 0 else i
            half[lane] = 0.0 if i >= extent else half[lane]
            cells[c, lane] = np.int32(0) if i >= extent else i


@njit(nogil=True, cache=True)
def enter(window, shape, kind, kx, ky, kz, half):
    """Cells of the window instead of the grid's; a particle that needs others stands still, and its goal is noted."""
    nz, ny, nx = shape
    mz, my, mx = window.extents
    near = 1 if kind == CUBIC else 0
    many = 4 if kind == CUBIC else 1 if kind == FACES else 2
    for lane in range(LANES):
        if half[lane] != 0.0:
            window.goals[0, lane] = kx[near, lane]
            window.goals[1, lane] = ky[near, lane]
            window.goals[2, lane] = kz[near, lane]
    enter_axis(kx, many, window.begins[0], mx, nx, half)
    enter_axis(ky, many, window.begins[1], my, ny, half)
    enter_axis(kz, many, window.begins[2], mz, nz, half)

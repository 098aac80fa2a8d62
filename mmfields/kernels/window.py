"""Part of a grid: cells are found in the whole grid, and read from the part that is in memory."""

import numpy as np

from mmfields.kernels._jit import kernel, part
from mmfields.kernels.setup import Interpolation


@kernel()
def enter_axis(b, cells, many, begin, extent, n):
    """From `many` cells of one axis to those of a part of it, which goes on at the start beyond the end."""
    begin, extent, n = np.int32(begin), np.int32(extent), np.int32(n)
    for c in range(many):
        for lane in range(b.lanes):
            i = cells[c, lane] - begin
            i = i + n if i < 0 else i
            b.half[lane] = 0.0 if i >= extent else b.half[lane]
            cells[c, lane] = np.int32(0) if i >= extent else i


@part()
def enter(b, s):
    """Cells of the window instead of the grid's; a particle that needs others stands still, and its goal is noted."""
    near = 1 if s.interpolation == Interpolation.CUBIC else 0
    many = 4 if s.interpolation == Interpolation.CUBIC else 2 if s.interpolation == Interpolation.LINEAR else 1
    for lane in range(b.lanes):
        if b.half[lane] != 0.0:
            b.goals[0, lane], b.goals[1, lane] = b.kx[near, lane], b.ky[near, lane]
            b.goals[2, lane] = b.kz[near, lane]
    enter_axis(b, b.kx, many, s.begins[0], s.extents[0], s.cells[0])
    enter_axis(b, b.ky, many, s.begins[1], s.extents[1], s.cells[1])
    enter_axis(b, b.kz, many, s.begins[2], s.extents[2], s.cells[2])

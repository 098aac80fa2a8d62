"""Fields that are sums evaluated at the particles: plane waves, beside a snapshot or not, or periodic grids of several
scales."""

import numpy as np

from mmfields.kernels._jit import entry, kernel, part
from mmfields.kernels.batch import LANES
from mmfields.kernels.interpolate import gather, gather_linear, linear_cells, locate, set_places
from mmfields.kernels.setup import AHEAD, Interpolation
from mmfields.kernels.waves import ROW, clear, new_levels, waves_by_level


@kernel()
def nested(b, data, octaves):
    """Sum of periodic cubes of cells, each trilinear, at the positions of a batch, whose `ex`, `ey`, `ez` are room.

    The data are the cubes (z, y, x, 3), one after the other, each with one number more.
    """
    clear(b)
    for i in range(octaves.bounds.size):
        n, inverse = np.int64(octaves.terms[i]), octaves.bounds[i]
        for a in range(3):
            linear_cells(b.lanes, b.position[a], inverse, 0.5, n, True, b.cells[a], b.weights[a])
        cube = data[octaves.groups[i] : octaves.groups[i + 1]]
        gather_linear(b, cube, n, n, np.int64(AHEAD), b.ex, b.ey, b.ez)
        for lane in range(b.lanes):
            b.bx[lane] += b.ex[lane]
            b.by[lane] += b.ey[lane]
            b.bz[lane] += b.ez[lane]


@kernel()
def add_grid(b, s, grid):
    """Add a snapshot, if there is one, at the positions of a batch, whose `ex`, `ey`, `ez` are room."""
    if grid is not None:
        locate(b, s)
        gather(b, s, grid, b.ex, b.ey, b.ez)
        for lane in range(b.lanes):
            b.bx[lane] += b.ex[lane]
            b.by[lane] += b.ey[lane]
            b.bz[lane] += b.ez[lane]


@part()
def sum_at(b, s, data, octaves, levels, step):
    """Field at the positions of a batch, at a step counted from the last plan; see `waves_by_level`."""
    if s.interpolation == Interpolation.NESTED:
        nested(b, data, octaves)
    else:
        waves_by_level(b, data, data.size // ROW, octaves, levels, step)
        add_grid(b, s, octaves.grid)


@entry()
def sample_sum(batches, setup, data, octaves, position, out):
    """Field at any number of positions (n, 3), into `out` (n, 3), every wave directly."""
    b, s, levels = batches[0], setup[0], new_levels(octaves)
    b.many = 0
    for first in range(0, position.shape[0], LANES):
        filled = set_places(b, position, first)
        sum_at(b, s, data, octaves, levels, np.int64(0))
        for lane in range(filled):
            out[first + lane, 0], out[first + lane, 1], out[first + lane, 2] = b.bx[lane], b.by[lane], b.bz[lane]

"""Field values between cell centres, for a batch of particles in lockstep.

The cells of a batch are found together, the cells' memory is asked for before any of it is read, and each value is a
weighted sum over rows of neighbouring cells.  That hides the latency of large fields.
"""

import numpy as np

from mmfields.kernels._jit import entry, kernel, part
from mmfields.kernels.batch import LANES, VECTOR
from mmfields.kernels.setup import Interpolation, Wall
from mmfields.kernels.vectors import four_cells, prefetch, weighted_sum

# A field of (z, y, x) cells is flat (z, y, x, 3) data and one number more.  For FACES data hold the value on the lower
# face of each cell and have one cell more along every axis.


@kernel()
def linear_cells(lanes, x, inverse, shift, n, periodic, cells, weights):
    """The two cells along one axis that each position of a batch lies between, and their weights.

    Parameters
    ----------
    lanes : int
    x : (LANES,) float array
        Positions, in the field's length unit.
    inverse, shift : float
        Cells per length unit, and where the first centre lies, in cells.
    n : int
        Cells of the axis.
    periodic : bool
        Otherwise the edge value holds beyond the first and last centre.
    cells, weights : (4, LANES) int32 and float arrays
        Filled: the first two rows.
    """
    size, back, last = np.float64(n), 1.0 / n, np.int32(n - 1)
    if periodic:
        for lane in range(lanes):
            u = x[lane] * inverse - shift
            u -= size * np.floor(u * back)  # whole periods are taken off without rounding
            u = u + size if u < 0.0 else u
            u = u - size if u >= size else u
            low = np.floor(u)
            weights[0, lane], weights[1, lane] = 1.0 - (u - low), u - low
            lower = min(max(np.int32(low), np.int32(0)), last)  # whatever u is, NaN too
            cells[0, lane] = lower
            cells[1, lane] = np.int32(0) if lower == last else lower + np.int32(1)
        return
    for lane in range(lanes):
        u = min(max(x[lane] * inverse - shift, -2.0), size + 1.0)
        low = np.floor(u)
        weights[0, lane], weights[1, lane] = 1.0 - (u - low), u - low
        lower = np.int32(low)
        cells[0, lane] = min(max(lower, np.int32(0)), last)
        cells[1, lane] = min(max(lower + np.int32(1), np.int32(0)), last)


@kernel()
def choose_nearest(lanes, cells, weights):
    """The nearer of the two cells of `linear_cells`."""
    for lane in range(lanes):
        cells[0, lane] = cells[1, lane] if weights[1, lane] >= 0.5 else cells[0, lane]


@part()
def spread_few(lanes, n, periodic, cells):
    """From the second of four cells to all of them, where they are wrapped or mirrored more than once."""
    for c in (0, 2, 3, 1):  # the second last, since the others follow from it
        for lane in range(lanes):
            i = cells[1, lane] + np.int32(c - 1)
            if not periodic and n > 1:
                i = i % (2 * (n - 1))
                i = 2 * (n - 1) - i if i >= n else i
            cells[c, lane] = i % n


@part()
def spread_periodic(lanes, n, cells):
    """From the second of four cells to all of them, which wrap."""
    for lane in range(lanes):
        i = cells[1, lane]
        i = i + n if i < 0 else i
        i = i - n if i >= n else i
        h, j = i - np.int32(1), i + np.int32(1)
        j = j - n if j >= n else j
        k = j + np.int32(1)
        cells[0, lane], cells[1, lane] = h + n if h < 0 else h, i
        cells[2, lane], cells[3, lane] = j, k - n if k >= n else k


@part()
def mirrored(i, n):
    """A cell mirrored at the first and the last, not more than two beyond."""
    i = -i if i < 0 else i
    i = 2 * (n - 1) - i if i >= n else i
    return max(i, np.int32(0))  # three cells beyond the edge of four


@part()
def spread_open(lanes, n, cells):
    """From the second of four cells to all of them, which are mirrored at the first and the last cell."""
    for lane in range(lanes):
        i = cells[1, lane]
        cells[0, lane], cells[1, lane] = mirrored(i - np.int32(1), n), mirrored(i, n)
        cells[2, lane], cells[3, lane] = mirrored(i + np.int32(1), n), mirrored(i + np.int32(2), n)


@kernel()
def cubic_cells(lanes, x, inverse, shift, n, periodic, cells, weights):
    """As `linear_cells`, the four cells and weights of a cubic B-spline, mirrored at the edge of an open axis."""
    size, back, sixth = np.float64(n), 1.0 / n, 1.0 / 6.0
    for lane in range(lanes):
        u = x[lane] * inverse - shift
        u = u - size * np.floor(u * back) if periodic else min(max(u, -2.0), size + 1.0)
        low = np.floor(u)
        t = u - low
        s = 1.0 - t
        weights[0, lane] = s * s * s * sixth
        weights[1, lane] = 4.0 * sixth + t * t * (0.5 * t - 1.0)
        weights[2, lane] = 4.0 * sixth + s * s * (0.5 * s - 1.0)
        weights[3, lane] = t * t * t * sixth
        # a cell or two beyond an edge, whatever u is, NaN too
        cells[1, lane] = min(max(np.int32(low), np.int32(-2)), np.int32(n + 1))
    if n < 4:
        spread_few(lanes, np.int32(n), periodic, cells)
    elif periodic:
        spread_periodic(lanes, np.int32(n), cells)
    else:
        spread_open(lanes, np.int32(n), cells)


@kernel()
def face_cells(lanes, x, inverse, shift, n, periodic, cells, weights):
    """The cell that each position of a batch lies in, and its weights between the lower and the upper face."""
    size, back = np.float64(n), 1.0 / n
    for lane in range(lanes):
        u = x[lane] * inverse - (shift - 0.5)
        u = u - size * np.floor(u * back) if periodic else min(max(u, 0.0), size)
        low = min(np.floor(u), size - 1.0)
        weights[0, lane], weights[1, lane] = 1.0 - (u - low), u - low
        lower = min(max(np.int32(low), np.int32(0)), np.int32(n - 1))  # whatever u is, NaN too
        cells[0, lane], cells[1, lane] = lower, lower + np.int32(1)


@part()
def locate(b, s):
    """Cells and weights of the positions of a batch."""
    kind = s.interpolation
    for a in range(3):
        lanes, x, cells, weights = b.lanes, b.position[a], b.cells[a], b.weights[a]
        inverse, shift, n, wraps = s.inverse[a], s.shift[a], s.cells[a], s.walls[a] == Wall.PERIODIC
        if kind == Interpolation.CUBIC:
            cubic_cells(lanes, x, inverse, shift, n, wraps, cells, weights)
        elif kind == Interpolation.FACES:
            face_cells(lanes, x, inverse, shift, n, wraps, cells, weights)
        else:
            linear_cells(lanes, x, inverse, shift, n, wraps, cells, weights)
        if kind == Interpolation.NEAREST:
            choose_nearest(lanes, cells, weights)


@part()
def ask(b, data, ny, row, lane):
    """Ask for the memory of the four rows of cells that `gather_linear` reads for a particle, both ends of each."""
    cell = 3 * np.intp(b.kx[0, lane])
    y0, y1 = cell + np.intp(b.ky[0, lane]) * row, cell + np.intp(b.ky[1, lane]) * row
    z0, z1 = np.intp(b.kz[0, lane]) * ny * row, np.intp(b.kz[1, lane]) * ny * row
    for place in (z0 + y0, z0 + y1, z1 + y0, z1 + y1):
        prefetch(data, place)
        prefetch(data, place + 5)


@part()
def ask_more(b, data, ny, row, lane):
    """The same of the sixteen rows of `gather_cubic`."""
    cell = 3 * np.intp(b.kx[0, lane])
    y0, y1 = cell + np.intp(b.ky[0, lane]) * row, cell + np.intp(b.ky[1, lane]) * row
    y2, y3 = cell + np.intp(b.ky[2, lane]) * row, cell + np.intp(b.ky[3, lane]) * row
    for a in range(4):
        plane = np.intp(b.kz[a, lane]) * ny * row
        for place in (plane + y0, plane + y1, plane + y2, plane + y3):
            prefetch(data, place)
            prefetch(data, place + 11)


@kernel()
def gather_nearest(b, s, data, bx, by, bz):
    """Values of the cells of `nearest_cells`."""
    nx, ny = s.extents[0], s.extents[1]
    for lane in range(b.lanes):  # each is one line or two, which the processor has in flight by itself
        place = 3 * ((np.intp(b.kz[0, lane]) * ny + b.ky[0, lane]) * nx + b.kx[0, lane])
        bx[lane], by[lane], bz[lane] = data[place], data[place + 1], data[place + 2]


@kernel()
def gather_linear(b, data, ny, nx, ahead, bx, by, bz):
    """Trilinear values of a flat (z, y, x, 3) field for a batch."""
    row, lanes = np.intp(3 * nx), b.lanes
    ahead = min(ahead, lanes)
    for lane in range(ahead):
        ask(b, data, ny, row, lane)
    for lane in range(lanes):
        if lane < lanes - ahead:
            ask(b, data, ny, row, lane + ahead)
        z0, z1 = np.intp(b.kz[0, lane]) * ny, np.intp(b.kz[1, lane]) * ny
        y0, y1 = np.intp(b.ky[0, lane]), np.intp(b.ky[1, lane])
        a0, a1, b0, b1 = b.wz[0, lane], b.wz[1, lane], b.wy[0, lane], b.wy[1, lane]
        bx[lane], by[lane], bz[lane] = weighted_sum(
            data,
            ((z0 + y0) * row, (z0 + y1) * row, (z1 + y0) * row, (z1 + y1) * row),
            (3 * np.intp(b.kx[0, lane]), 3 * np.intp(b.kx[1, lane])),
            (a0 * b0, a0 * b1, a1 * b0, a1 * b1),
            (b.wx[0, lane], b.wx[1, lane]),
        )


@part()
def rows_of(b, ny, row, lane):
    """Where the sixteen rows of cells of a particle begin, the z axis slowest."""
    y0, y1, y2, y3 = b.ky[0, lane] * row, b.ky[1, lane] * row, b.ky[2, lane] * row, b.ky[3, lane] * row
    plane = ny * row
    z0, z1, z2, z3 = b.kz[0, lane] * plane, b.kz[1, lane] * plane, b.kz[2, lane] * plane, b.kz[3, lane] * plane
    return (
        z0 + y0, z0 + y1, z0 + y2, z0 + y3, z1 + y0, z1 + y1, z1 + y2, z1 + y3,
        z2 + y0, z2 + y1, z2 + y2, z2 + y3, z3 + y0, z3 + y1, z3 + y2, z3 + y3,
    )  # fmt: skip


@part()
def weights_of(b, lane):
    """Weights of the same rows."""
    p, q, r, s = b.wz[0, lane], b.wz[1, lane], b.wz[2, lane], b.wz[3, lane]
    e, f, g, h = b.wy[0, lane], b.wy[1, lane], b.wy[2, lane], b.wy[3, lane]
    return (
        p * e, p * f, p * g, p * h, q * e, q * f, q * g, q * h,
        r * e, r * f, r * g, r * h, s * e, s * f, s * g, s * h,
    )  # fmt: skip


@part()
def shifted(r, by):
    """Sixteen places, each so much further on."""
    return (
        r[0] + by, r[1] + by, r[2] + by, r[3] + by, r[4] + by, r[5] + by, r[6] + by, r[7] + by,
        r[8] + by, r[9] + by, r[10] + by, r[11] + by, r[12] + by, r[13] + by, r[14] + by, r[15] + by,
    )  # fmt: skip


@kernel()
def gather_cubic(b, s, data, bx, by, bz):
    """Tricubic values of a flat (z, y, x, 3) field of spline coefficients for a batch."""
    row, ny, lanes = np.intp(3 * s.extents[0]), s.extents[1], b.lanes
    ahead = min(s.ahead // 4, lanes)
    for lane in range(ahead):
        ask_more(b, data, ny, row, lane)
    for lane in range(lanes):
        if lane < lanes - ahead:
            ask_more(b, data, ny, row, lane + ahead)
        first, last = 3 * np.intp(b.kx[0, lane]), 3 * np.intp(b.kx[3, lane])
        rows, weights = rows_of(b, ny, row, lane), weights_of(b, lane)
        w0, w1, w2, w3 = b.wx[0, lane], b.wx[1, lane], b.wx[2, lane], b.wx[3, lane]
        if last == first + 9:  # side by side, as all are but at the edges
            bx[lane], by[lane], bz[lane] = four_cells(data, shifted(rows, first), weights, (w0, w1, w2, w3))
            continue
        # the same sums in the same order
        middle, one = (3 * np.intp(b.kx[1, lane]), 3 * np.intp(b.kx[2, lane])), (1.0,)
        p = weighted_sum(data, rows, (first,), weights, one)
        q = weighted_sum(data, rows, middle[:1], weights, one)
        r = weighted_sum(data, rows, middle[1:], weights, one)
        t = weighted_sum(data, rows, (last,), weights, one)
        bx[lane] = w0 * p[0] + w1 * q[0] + w2 * r[0] + w3 * t[0]
        by[lane] = w0 * p[1] + w1 * q[1] + w2 * r[1] + w3 * t[1]
        bz[lane] = w0 * p[2] + w1 * q[2] + w2 * r[2] + w3 * t[2]


@kernel()
def gather_faces(b, s, data, bx, by, bz):
    """Each component between its two faces of the cell: its divergence in there is that of the faces."""
    row = np.intp(3 * (s.extents[0] + 1))
    plane = (s.extents[1] + 1) * row
    for lane in range(b.lanes):
        place = np.intp(b.kz[0, lane]) * plane + np.intp(b.ky[0, lane]) * row + 3 * np.intp(b.kx[0, lane])
        bx[lane] = b.wx[0, lane] * data[place] + b.wx[1, lane] * data[place + 3]
        by[lane] = b.wy[0, lane] * data[place + 1] + b.wy[1, lane] * data[place + row + 1]
        bz[lane] = b.wz[0, lane] * data[place + 2] + b.wz[1, lane] * data[place + plane + 2]


@part()
def gather(b, s, data, bx, by, bz):
    """Values from the cells and weights that have been found."""
    if s.interpolation == Interpolation.LINEAR:
        gather_linear(b, data, s.extents[1], s.extents[0], s.ahead, bx, by, bz)
    elif s.interpolation == Interpolation.CUBIC:
        gather_cubic(b, s, data, bx, by, bz)
    elif s.interpolation == Interpolation.FACES:
        gather_faces(b, s, data, bx, by, bz)
    else:
        gather_nearest(b, s, data, bx, by, bz)


@part()
def interpolate(b, s, data):
    """Field of the positions of a batch; cells and weights are left filled."""
    locate(b, s)
    gather(b, s, data, b.bx, b.by, b.bz)


@part()
def set_places(b, position, first):
    """Positions (n, 3) from `first` on into a batch; how many there are."""
    filled = min(LANES, position.shape[0] - first)
    b.lanes = (filled + VECTOR - 1) // VECTOR * VECTOR
    for lane in range(b.lanes):
        p = first + min(lane, filled - 1)
        b.x[lane], b.y[lane], b.z[lane] = position[p, 0], position[p, 1], position[p, 2]
    return filled


@entry()
def sample(batches, setup, data, position, out):
    """Field at any number of positions (n, 3), into `out` (n, 3)."""
    b, s = batches[0], setup[0]
    for first in range(0, position.shape[0], LANES):
        filled = set_places(b, position, first)
        interpolate(b, s, data)
        for lane in range(filled):
            out[first + lane, 0], out[first + lane, 1], out[first + lane, 2] = b.bx[lane], b.by[lane], b.bz[lane]

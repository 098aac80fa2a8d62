"""Field values between cell centres, for a batch of particles in lockstep.

A batch is `LANES` particles: their cells are found together, the cells' memory is asked for before any of it is
read, and each value is a weighted sum over rows of neighbouring cells.  That hides the latency of large fields.
"""

from collections import namedtuple

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from mmfields.kernels.lanes import LANES

# Interpolations by number, as the kernels take them.
NEAREST, LINEAR, CUBIC, FACES, WAVES, NESTED = range(6)

# So many particles ahead memory is asked for; a quarter of it where each needs four times as much.
AHEAD = 16

# A field: flat (z, y, x, 3) data and one number more, its shape, the faces of the box in x, y, z order, what happens
# there (see `trace`), and the interpolation.  From FACES, data hold the value on the lower face of each cell and have
# one cell more along every axis.  WAVES, `shape[2]` rows of them, and NESTED grids are for `sums`.
Grid = namedtuple("Grid", "data shape low high walls kind")
PERIODIC = 0

if config.DISABLE_JIT:

    def weighted_sum(data, rows, cells, row_weights, cell_weights):
        """The three components summed over rows and cells, each with its weight."""
        total = np.zeros(3)
        for row, outer in zip(rows, row_weights, strict=True):
            for cell, inner in zip(cells, cell_weights, strict=True):
                total += outer * inner * data[row + cell : row + cell + 3]
        return total[0], total[1], total[2]

    def weighted_rows(data, rows, weights):
        """Twelve numbers in a row, four cells, summed over rows, each with its weight."""
        return tuple(sum(w * data[row : row + 12].astype(np.float64) for row, w in zip(rows, weights, strict=True)))

    def prefetch(data, place):
        """Nothing, interpreted."""

else:
    VECTOR, I32 = ir.VectorType(ir.DoubleType(), 4), ir.IntType(32)

    def spread_of(builder, tuple_, index):
        """A number of a tuple in all lanes of a vector."""
        empty = ir.Constant(VECTOR, ir.Undefined)
        first = builder.insert_element(empty, builder.extract_value(tuple_, index), I32(0))
        return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(I32, 4), [0] * 4))

    def loader(context, builder, signature, args):
        """A function that loads four numbers of the first argument, a flat array, from a place on."""
        array = context.make_array(signature.args[0])(context, builder, args[0])
        single = signature.args[0].dtype == types.float32
        stored = ir.VectorType(ir.FloatType() if single else ir.DoubleType(), 4)

        def load(place):
            values = builder.load(builder.bitcast(builder.gep(array.data, [place]), stored.as_pointer()))
            values.align = 4 if single else 8
            return builder.fpext(values, VECTOR) if single else values

        return load

    def adder(builder):
        """A function for a weight times a vector, and the sum so far if there is one."""
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v4f64")
        return lambda w, v, total: builder.fmul(w, v) if total is None else builder.call(fma, [w, v, total])

    @intrinsic
    def weighted_sum(typingctx, data, rows, cells, row_weights, cell_weights):
        """The three components summed over rows and cells, each with its weight.

        Four numbers are loaded at once and the fourth is dropped, so `data` needs one more than it has.
        """
        out = types.UniTuple(types.float64, 3)

        def codegen(context, builder, signature, args):
            load, add = loader(context, builder, signature, args), adder(builder)
            inner = [spread_of(builder, args[4], cell) for cell in range(len(signature.args[2]))]
            total = None
            for row in range(len(signature.args[1])):
                line = None
                for cell, weight in enumerate(inner):
                    place = builder.add(builder.extract_value(args[1], row), builder.extract_value(args[2], cell))
                    line = add(weight, load(place), line)
                total = add(spread_of(builder, args[3], row), line, total)
            parts = [builder.extract_element(total, I32(c)) for c in range(3)]
            return context.make_tuple(builder, out, parts)

        return out(data, rows, cells, row_weights, cell_weights), codegen

    @intrinsic
    def weighted_rows(typingctx, data, rows, weights):
        """Twelve numbers in a row, four cells, summed over rows, each with its weight."""
        out = types.UniTuple(types.float64, 12)

        def codegen(context, builder, signature, args):
            load, add = loader(context, builder, signature, args), adder(builder)
            totals = [None] * 3
            for row in range(len(signature.args[1])):
                weight, place = spread_of(builder, args[2], row), builder.extract_value(args[1], row)
                for i in range(3):
                    totals[i] = add(weight, load(builder.add(place, place.type(4 * i))), totals[i])
            parts = [builder.extract_element(totals[c // 4], I32(c % 4)) for c in range(12)]
            return context.make_tuple(builder, out, parts)

        return out(data, rows, weights), codegen

    @intrinsic
    def prefetch(typingctx, data, place):
        """Ask for the memory at a place of a flat array, without waiting for it."""

        def codegen(context, builder, signature, args):
            array = context.make_array(signature.args[0])(context, builder, args[0])
            byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
            call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            where = builder.bitcast(builder.gep(array.data, [args[1]]), byte)
            builder.call(call, [where, i32(0), i32(3), i32(1)])  # to read, and to keep
            return context.get_dummy_value()

        return types.void(data, types.intp), codegen


@njit(nogil=True, cache=True, error_model="numpy")
def locate_linear(x, inverse, shift, n, periodic, cells, weights):
    """The two cells along one axis that each position of a batch lies between, and their weights.

    Parameters
    ----------
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
        for lane in range(LANES):
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
    for lane in range(LANES):
        u = min(max(x[lane] * inverse - shift, -2.0), size + 1.0)
        low = np.floor(u)
        weights[0, lane], weights[1, lane] = 1.0 - (u - low), u - low
        lower = np.int32(low)
        cells[0, lane] = min(max(lower, np.int32(0)), last)
        cells[1, lane] = min(max(lower + np.int32(1), np.int32(0)), last)


@njit(nogil=True, cache=True, inline="always")
def folded(i, n):
    """A cell mirrored at the first and the last until it is one of n."""
    if n == 1:
        return 0
    i = i % (2 * (n - 1))
    return 2 * (n - 1) - i if i >= n else i


@njit(nogil=True, cache=True)
def spread(n, periodic, cells):
    """From the second of four cells to all of them: wrapped, or mirrored at the first and the last cell."""
    for c in (0, 2, 3, 1):  # the second last, since the others follow from it
        for lane in range(LANES):
            i = cells[1, lane] + np.int32(c - 1)
            if periodic:
                i = i + n if i < 0 else i
                i = i - n if i >= n else i
            else:
                i = -i if i < 0 else i
                i = 2 * (n - 1) - i if i >= n else i
                i = max(i, 0) if n >= 4 else i  # three cells beyond the edge of four
            cells[c, lane] = i
    if n < 4:  # so few that they may be wrapped or mirrored more than once
        for c in range(4):
            for lane in range(LANES):
                i = cells[c, lane]
                cells[c, lane] = i % n if periodic else folded(i, n)


@njit(nogil=True, cache=True, error_model="numpy")
def locate_cubic(x, inverse, shift, n, periodic, cells, weights):
    """As `locate_linear`, the four cells and weights of a cubic B-spline, mirrored at the edge of an open axis."""
    size, back, sixth = np.float64(n), 1.0 / n, 1.0 / 6.0
    for lane in range(LANES):
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
    spread(np.int32(n), periodic, cells)


@njit(nogil=True, cache=True, error_model="numpy")
def locate_faces(x, inverse, shift, n, periodic, cells, weights):
    """The cell that each position of a batch lies in, and its weights between the lower and the upper face."""
    size, back = np.float64(n), 1.0 / n
    for lane in range(LANES):
        u = x[lane] * inverse - shift
        u = u - size * np.floor(u * back) if periodic else min(max(u, 0.0), size)
        low = min(np.floor(u), size - 1.0)
        weights[0, lane], weights[1, lane] = 1.0 - (u - low), u - low
        lower = min(max(np.int32(low), np.int32(0)), np.int32(n - 1))  # whatever u is, NaN too
        cells[0, lane], cells[1, lane] = lower, lower + np.int32(1)


@njit(nogil=True, cache=True, inline="always")
def ask(data, ny, row, kx, ky, kz, lane):
    """Ask for the memory of the four rows of cells that `gather_linear` reads for a particle, both ends of each."""
    cell = 3 * np.intp(kx[0, lane])
    y0, y1 = cell + np.intp(ky[0, lane]) * row, cell + np.intp(ky[1, lane]) * row
    z0, z1 = np.intp(kz[0, lane]) * ny * row, np.intp(kz[1, lane]) * ny * row
    for place in (z0 + y0, z0 + y1, z1 + y0, z1 + y1):
        prefetch(data, place)
        prefetch(data, place + 5)


@njit(nogil=True, cache=True, inline="always")
def ask_more(data, ny, row, kx, ky, kz, lane):
    """The same of the sixteen rows of `gather_cubic`."""
    cell = 3 * np.intp(kx[0, lane])
    y0, y1 = cell + np.intp(ky[0, lane]) * row, cell + np.intp(ky[1, lane]) * row
    y2, y3 = cell + np.intp(ky[2, lane]) * row, cell + np.intp(ky[3, lane]) * row
    for a in range(4):
        plane = np.intp(kz[a, lane]) * ny * row
        for place in (plane + y0, plane + y1, plane + y2, plane + y3):
            prefetch(data, place)
            prefetch(data, place + 11)


@njit(nogil=True, cache=True, error_model="numpy")
def gather_nearest(data, ny, nx, kx, ky, kz, wx, wy, wz, bx, by, bz):
    """Values of the nearest cell, from cells and weights of `locate_linear`."""
    for lane in range(LANES):
        ask(data, ny, np.intp(3 * nx), kx, ky, kz, lane)
    for lane in range(LANES):
        # no branches, which could not be predicted
        i = kx[np.intp(wx[1, lane] >= 0.5), lane]
        j = ky[np.intp(wy[1, lane] >= 0.5), lane]
        k = kz[np.intp(wz[1, lane] >= 0.5), lane]
        place = 3 * ((np.intp(k) * ny + j) * nx + i)
        bx[lane], by[lane], bz[lane] = weighted_sum(data, (place,), (0,), (1.0,), (1.0,))


@njit(nogil=True, cache=True, error_model="numpy")
def gather_linear(data, ny, nx, kx, ky, kz, wx, wy, wz, bx, by, bz):
    """Trilinear values of a flat (z, y, x, 3) field for a batch."""
    row = np.intp(3 * nx)
    for lane in range(AHEAD):
        ask(data, ny, row, kx, ky, kz, lane)
    for lane in range(LANES):
        if lane < LANES - AHEAD:
            ask(data, ny, row, kx, ky, kz, lane + AHEAD)
        z0, z1 = np.intp(kz[0, lane]) * ny, np.intp(kz[1, lane]) * ny
        y0, y1 = np.intp(ky[0, lane]), np.intp(ky[1, lane])
        a0, a1, b0, b1 = wz[0, lane], wz[1, lane], wy[0, lane], wy[1, lane]
        bx[lane], by[lane], bz[lane] = weighted_sum(
            data,
            ((z0 + y0) * row, (z0 + y1) * row, (z1 + y0) * row, (z1 + y1) * row),
            (3 * np.intp(kx[0, lane]), 3 * np.intp(kx[1, lane])),
            (a0 * b0, a0 * b1, a1 * b0, a1 * b1),
            (wx[0, lane], wx[1, lane]),
        )


@njit(nogil=True, cache=True, error_model="numpy")
def gather_cubic(data, ny, nx, kx, ky, kz, wx, wy, wz, bx, by, bz):
    """Tricubic values of a flat (z, y, x, 3) field of spline coefficients for a batch."""
    row = np.intp(3 * nx)
    for lane in range(AHEAD // 4):
        ask_more(data, ny, row, kx, ky, kz, lane)
    for lane in range(LANES):
        if lane < LANES - AHEAD // 4:
            ask_more(data, ny, row, kx, ky, kz, lane + AHEAD // 4)
        first, last = 3 * np.intp(kx[0, lane]), 3 * np.intp(kx[3, lane])
        across = first, 3 * np.intp(kx[1, lane]), 3 * np.intp(kx[2, lane]), last
        inner = wx[0, lane], wx[1, lane], wx[2, lane], wx[3, lane]
        y0, y1, y2, y3 = ky[0, lane] * row, ky[1, lane] * row, ky[2, lane] * row, ky[3, lane] * row
        z0, z1, z2, z3 = kz[0, lane] * ny * row, kz[1, lane] * ny * row, kz[2, lane] * ny * row, kz[3, lane] * ny * row
        a, b, c, d = wz[0, lane], wz[1, lane], wz[2, lane], wz[3, lane]
        e, f, g, h = wy[0, lane], wy[1, lane], wy[2, lane], wy[3, lane]
        rows = (
            z0 + y0, z0 + y1, z0 + y2, z0 + y3, z1 + y0, z1 + y1, z1 + y2, z1 + y3,
            z2 + y0, z2 + y1, z2 + y2, z2 + y3, z3 + y0, z3 + y1, z3 + y2, z3 + y3,
        )  # fmt: skip
        weights = (
            a * e, a * f, a * g, a * h, b * e, b * f, b * g, b * h,
            c * e, c * f, c * g, c * h, d * e, d * f, d * g, d * h,
        )  # fmt: skip
        if last == first + 9:  # side by side, as all are but at the edges
            beside = shifted(rows, first)
            p = weighted_rows(data, beside, weights)
        else:  # the same sums in the same order
            one = (1.0,)
            left = weighted_sum(data, rows, across[:1], weights, one) + weighted_sum(
                data, rows, across[1:2], weights, one
            )
            right = weighted_sum(data, rows, across[2:3], weights, one) + weighted_sum(
                data, rows, across[3:], weights, one
            )
            p = left + right
        bx[lane] = inner[0] * p[0] + inner[1] * p[3] + inner[2] * p[6] + inner[3] * p[9]
        by[lane] = inner[0] * p[1] + inner[1] * p[4] + inner[2] * p[7] + inner[3] * p[10]
        bz[lane] = inner[0] * p[2] + inner[1] * p[5] + inner[2] * p[8] + inner[3] * p[11]


@njit(nogil=True, cache=True, inline="always")
def shifted(r, by):
    """Sixteen places, each so much further on."""
    return (
        r[0] + by, r[1] + by, r[2] + by, r[3] + by, r[4] + by, r[5] + by, r[6] + by, r[7] + by,
        r[8] + by, r[9] + by, r[10] + by, r[11] + by, r[12] + by, r[13] + by, r[14] + by, r[15] + by,
    )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def gather_faces(data, ny, nx, kx, ky, kz, wx, wy, wz, bx, by, bz):
    """Each component between its two faces of the cell: its divergence in there is that of the faces."""
    row = np.intp(3 * (nx + 1))
    plane = (ny + 1) * row
    for lane in range(LANES):
        place = np.intp(kz[0, lane]) * plane + np.intp(ky[0, lane]) * row + 3 * np.intp(kx[0, lane])
        bx[lane] = wx[0, lane] * data[place] + wx[1, lane] * data[place + 3]
        by[lane] = wy[0, lane] * data[place + 1] + wy[1, lane] * data[place + row + 1]
        bz[lane] = wz[0, lane] * data[place + 2] + wz[1, lane] * data[place + plane + 2]


@njit(nogil=True, cache=True, inline="always")
def gather(data, shape, kind, kx, ky, kz, wx, wy, wz, bx, by, bz):
    """Values from the cells and weights that have been found."""
    _, ny, nx = shape
    if kind == CUBIC:
        gather_cubic(data, ny, nx, kx, ky, kz, wx, wy, wz, bx, by, bz)
    elif kind == FACES:
        gather_faces(data, ny, nx, kx, ky, kz, wx, wy, wz, bx, by, bz)
    elif kind == LINEAR:
        gather_linear(data, ny, nx, kx, ky, kz, wx, wy, wz, bx, by, bz)
    else:
        gather_nearest(data, ny, nx, kx, ky, kz, wx, wy, wz, bx, by, bz)


@njit(nogil=True, cache=True, inline="always")
def locate(shape, inverse, shift, wraps, kind, x, y, z, kx, ky, kz, wx, wy, wz):
    """Cells and weights, (4, LANES) an axis, of a batch of positions."""
    nz, ny, nx = shape
    if kind == CUBIC:
        locate_cubic(x, inverse[0], shift[0], nx, wraps[0], kx, wx)
        locate_cubic(y, inverse[1], shift[1], ny, wraps[1], ky, wy)
        locate_cubic(z, inverse[2], shift[2], nz, wraps[2], kz, wz)
    elif kind == FACES:
        locate_faces(x, inverse[0], shift[0] - 0.5, nx, wraps[0], kx, wx)
        locate_faces(y, inverse[1], shift[1] - 0.5, ny, wraps[1], ky, wy)
        locate_faces(z, inverse[2], shift[2] - 0.5, nz, wraps[2], kz, wz)
    else:
        locate_linear(x, inverse[0], shift[0], nx, wraps[0], kx, wx)
        locate_linear(y, inverse[1], shift[1], ny, wraps[1], ky, wy)
        locate_linear(z, inverse[2], shift[2], nz, wraps[2], kz, wz)


@njit(nogil=True, cache=True, inline="always")
def interpolate(data, shape, inverse, shift, wraps, kind, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz):
    """Field of a batch of positions; cells and weights are left filled."""
    locate(shape, inverse, shift, wraps, kind, x, y, z, kx, ky, kz, wx, wy, wz)
    gather(data, shape, kind, kx, ky, kz, wx, wy, wz, bx, by, bz)


@njit(nogil=True, cache=True)
def scales(shape, low, high, walls):
    """Cells per length, where the first centre lies in cells, and whether it is periodic, of each axis: tuples."""
    nz, ny, nx = shape
    cx, cy, cz = nx / (high[0] - low[0]), ny / (high[1] - low[1]), nz / (high[2] - low[2])
    shift = low[0] * cx + 0.5, low[1] * cy + 0.5, low[2] * cz + 0.5
    return (cx, cy, cz), shift, (walls[0] == PERIODIC, walls[1] == PERIODIC, walls[2] == PERIODIC)


@njit(nogil=True, cache=True)
def sample(grid, position, out):
    """Field at any number of positions (n, 3), into `out` (n, 3)."""
    inverse, shift, wraps = scales(grid.shape, grid.low, grid.high, grid.walls)
    x, y, z, bx, by, bz = [np.empty(LANES) for _ in range(6)]
    kx, ky, kz = [np.empty((4, LANES), np.int32) for _ in range(3)]
    wx, wy, wz = [np.empty((4, LANES)) for _ in range(3)]
    n = position.shape[0]
    for first in range(0, n, LANES):
        for lane in range(LANES):
            p = min(first + lane, n - 1)
            x[lane], y[lane], z[lane] = position[p, 0], position[p, 1], position[p, 2]
        interpolate(
            grid.data, grid.shape, inverse, shift, wraps, grid.kind, x, y, z, kx, ky, kz, wx, wy, wz, bx, by, bz
        )
        for lane in range(min(LANES, n - first)):
            p = first + lane
            out[p, 0], out[p, 1], out[p, 2] = bx[lane], by[lane], bz[lane]

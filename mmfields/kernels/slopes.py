"""Electric and magnetic fields with their derivatives, from the splines of cubic interpolation, at one particle.

Vectors are tuples of three numbers, and derivatives tuples of three vectors: along x, along y, along z.
"""

from collections import namedtuple

import numpy as np

from mmfields.kernels._jit import kernel, part
from mmfields.kernels.interpolate import cubic_cells, rows_of, shifted
from mmfields.kernels.setup import Wall
from mmfields.kernels.vectors import weighted_rows, weighted_sum

# B and E over c at a place, and their derivatives.
Place = namedtuple("Place", "b db e de")


@kernel()
def dot(a, b):
    """Scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@kernel()
def cross(a, b):
    """Vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@kernel()
def times(f, a):
    """A vector so many times as long."""
    return f * a[0], f * a[1], f * a[2]


@kernel()
def plus(a, f, b):
    """A vector and so many times another."""
    return a[0] + f * b[0], a[1] + f * b[1], a[2] + f * b[2]


@kernel()
def curl(d):
    """Curl from derivatives."""
    return d[1][2] - d[2][1], d[2][0] - d[0][2], d[0][1] - d[1][0]


@kernel()
def slope_weights(b, s, a):
    """Derivatives of the four weights that `cubic_cells` has found along an axis."""
    size, inverse = np.float64(s.cells[a]), s.inverse[a]
    u = b.position[a, 0] * inverse - s.shift[a]
    u = u - size * np.floor(u / size) if s.walls[a] == Wall.PERIODIC else min(max(u, -2.0), size + 1.0)
    t = u - np.floor(u)
    r = 1.0 - t
    return -0.5 * r * r * inverse, t * (1.5 * t - 2.0) * inverse, r * (2.0 - 1.5 * r) * inverse, 0.5 * t * t * inverse


@part()
def weights_along(weights):
    """The four weights of an axis as a tuple."""
    return weights[0, 0], weights[1, 0], weights[2, 0], weights[3, 0]


@kernel()
def products(p, e):
    """Weights of the sixteen rows of `rows_of`, from those of the z and of the y axis."""
    return (
        p[0] * e[0], p[0] * e[1], p[0] * e[2], p[0] * e[3], p[1] * e[0], p[1] * e[1], p[1] * e[2], p[1] * e[3],
        p[2] * e[0], p[2] * e[1], p[2] * e[2], p[2] * e[3], p[3] * e[0], p[3] * e[1], p[3] * e[2], p[3] * e[3],
    )  # fmt: skip


@kernel()
def four_cells(b, data, rows, weights):
    """Three components of each of four cells along x, summed over rows."""
    first, last = 3 * np.intp(b.kx[0, 0]), 3 * np.intp(b.kx[3, 0])
    if last == first + 9:  # side by side, as all are but at the edges
        return weighted_rows(data, shifted(rows, first), weights)
    second, third, one = 3 * np.intp(b.kx[1, 0]), 3 * np.intp(b.kx[2, 0]), (1.0,)
    return (
        weighted_sum(data, rows, (first,), weights, one)
        + weighted_sum(data, rows, (second,), weights, one)
        + weighted_sum(data, rows, (third,), weights, one)
        + weighted_sum(data, rows, (last,), weights, one)
    )


@kernel()
def along_x(w, p):
    """Four cells summed with the weights of the x axis."""
    return (
        w[0] * p[0] + w[1] * p[3] + w[2] * p[6] + w[3] * p[9],
        w[0] * p[1] + w[1] * p[4] + w[2] * p[7] + w[3] * p[10],
        w[0] * p[2] + w[1] * p[5] + w[2] * p[8] + w[3] * p[11],
    )


@kernel()
def find(b, s):
    """Cells and weights of the first particle of a batch, which has no others."""
    for a in range(3):
        wraps = s.walls[a] == Wall.PERIODIC
        cubic_cells(1, b.position[a], s.inverse[a], s.shift[a], s.cells[a], wraps, b.cells[a], b.weights[a])


@kernel()
def value_of(b, s, data):
    """A vector at the first particle of a batch, whose cells have been found."""
    rows = rows_of(b, s.extents[1], np.intp(3 * s.extents[0]), 0)
    return along_x(weights_along(b.wx), four_cells(b, data, rows, products(weights_along(b.wz), weights_along(b.wy))))


@kernel()
def with_slopes(b, s, data):
    """The same and its derivatives."""
    rows = rows_of(b, s.extents[1], np.intp(3 * s.extents[0]), 0)
    x, y, z = weights_along(b.wx), weights_along(b.wy), weights_along(b.wz)
    here = four_cells(b, data, rows, products(z, y))
    value, dx = along_x(x, here), along_x(slope_weights(b, s, 0), here)
    dy = along_x(x, four_cells(b, data, rows, products(z, slope_weights(b, s, 1))))
    dz = along_x(x, four_cells(b, data, rows, products(slope_weights(b, s, 2), y)))
    return value, (dx, dy, dz)


@kernel()
def induced(b, db, u, du):
    """E = -u × B and its derivatives."""
    e = cross(b, u)
    dx, dy, dz = cross(db[0], u), cross(db[1], u), cross(db[2], u)
    return e, (plus(dx, 1.0, cross(b, du[0])), plus(dy, 1.0, cross(b, du[1])), plus(dz, 1.0, cross(b, du[2])))


@kernel()
def second_with_slopes(b, s, electric):
    """Both of the second vector, 0 where there is none."""
    if electric is None:
        none = (0.0, 0.0, 0.0)
        return none, (none, none, none)
    return with_slopes(b, s, electric)


@kernel()
def place_of(b, s, fields, ideal):
    """All of the fields at the first particle of a batch; `ideal` where the second vector is a velocity."""
    find(b, s)
    value, slopes = with_slopes(b, s, fields.data)
    e, de = second_with_slopes(b, s, fields.electric)
    if ideal:
        e, de = induced(value, slopes, e, de)
    return Place(value, slopes, e, de)

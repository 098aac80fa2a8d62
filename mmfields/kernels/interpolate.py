"""Field values between cell centres."""

from math import floor

from numba import njit


@njit(nogil=True, cache=True, inline="always")
def bracket(position, cells, periodic):
    """Neighbouring cells of `position` (in cells, centres at whole numbers) and the weight of the upper one.

    Beyond the first or last centre a periodic axis wraps and an open one keeps the edge value.
    """
    low = floor(position)
    weight = position - low
    lower = int(low)
    if periodic:
        lower = lower % cells
        upper = lower + 1
        if upper == cells:
            upper = 0
    else:
        upper = min(max(lower + 1, 0), cells - 1)
        lower = min(max(lower, 0), cells - 1)
    return lower, upper, weight


@njit(nogil=True, cache=True, inline="always")
def linear(field, z, y, x, periodic):
    """Trilinear interpolation of a (z, y, x, 3) field at a position in cells, weights in float64."""
    k0, k1, wz = bracket(z, field.shape[0], periodic[2])
    j0, j1, wy = bracket(y, field.shape[1], periodic[1])
    i0, i1, wx = bracket(x, field.shape[2], periodic[0])
    w00 = (1.0 - wz) * (1.0 - wy)
    w01 = (1.0 - wz) * wy
    w10 = wz * (1.0 - wy)
    w11 = wz * wy
    ux = 1.0 - wx
    bx = by = bz = 0.0
    for w, k, j in ((w00, k0, j0), (w01, k0, j1), (w10, k1, j0), (w11, k1, j1)):
        a = w * ux
        b = w * wx
        bx += a * field[k, j, i0, 0] + b * field[k, j, i1, 0]
        by += a * field[k, j, i0, 1] + b * field[k, j, i1, 1]
        bz += a * field[k, j, i0, 2] + b * field[k, j, i1, 2]
    return bx, by, bz

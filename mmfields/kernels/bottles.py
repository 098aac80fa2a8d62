"""Magnetic bottles: the field of vector potentials A_phi = a rho exp(-rho²/2 l_perp² - x²/2 l_par²) about x."""

from collections import namedtuple

import numpy as np

from mmfields.kernels._jit import entry, kernel

# Beyond so many widths a bottle is nothing: exp(-32) of its amplitude.
REACH = 8.0


@kernel()
def offsets(places, centre, period, reach, cells, shifts):
    """Cells within reach of a centre along a periodic axis, and how far they are from it; their number.

    Images of the box that reach into it are other cells of the list.
    """
    n = 0
    for image in range(-1, 2):
        for i in range(places.size):
            d = places[i] - centre + image * period
            if abs(d) <= reach:
                cells[n], shifts[n] = i, d
                n += 1
    return n


Bottles = namedtuple("Bottles", "period centres amplitudes parallel across")
"""Period of the box (3,), at least twice the reach of a bottle; centres (n, 3); half the strengths (n,) of B along x in
the middle; l_par and l_perp."""


@entry()
def add_bottles(places, bottles, field):
    """Add bottles to the field (3, z, y, x) of a block, whose cell centres `places` are three arrays x, y, z."""
    x, y, z = places
    period, centres, amplitudes, parallel, across = bottles
    bx, by, bz = field[0], field[1], field[2]
    i, j, k = np.empty(3 * x.size, np.int64), np.empty(3 * y.size, np.int64), np.empty(3 * z.size, np.int64)
    dx, dy, dz = np.empty(3 * x.size), np.empty(3 * y.size), np.empty(3 * z.size)
    ex = np.empty(3 * x.size)
    p, q = 1.0 / (parallel * parallel), 1.0 / (across * across)
    for b in range(amplitudes.size):
        nx = offsets(x, centres[b, 0], period[0], REACH * parallel, i, dx)
        ny = offsets(y, centres[b, 1], period[1], REACH * across, j, dy)
        nz = offsets(z, centres[b, 2], period[2], REACH * across, k, dz)
        for m in range(nx):
            ex[m] = amplitudes[b] * np.exp(-0.5 * p * dx[m] * dx[m])
        for w in range(nz):
            for v in range(ny):
                square = dy[v] * dy[v] + dz[w] * dz[w]
                e = np.exp(-0.5 * q * square)
                along, side = (2.0 - q * square) * e, p * e
                for m in range(nx):
                    bx[k[w], j[v], i[m]] += along * ex[m]
                    by[k[w], j[v], i[m]] += side * dy[v] * dx[m] * ex[m]
                    bz[k[w], j[v], i[m]] += side * dz[w] * dx[m] * ex[m]

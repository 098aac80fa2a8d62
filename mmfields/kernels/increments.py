"""Increments between points of a lattice, summed over bins of their separation along and across a mean field."""

from math import inf, sqrt

import numpy as np
from numba import njit

from mmfields.kernels.interpolate import prefetch
from mmfields.kernels.scatter import threefry

# Pairs whose memory is asked for together.
LANES = 64

# Cells per side of the tiles that pairs are drawn in, whatever the blocks: the same pairs for any of them.
TILE = 16
BITS = 4


@njit(nogil=True, cache=True, error_model="numpy")
def bins_of(values, edges, table, scale, out):
    """Bins of the values of a batch, from 0 on or infinite, among ascending edges, of which infinity is the last.

    `table` has the bin of every multiple of 1/scale.  The last bin is that of all outside.
    """
    one, outside = np.uint64(1), np.uint64(edges.size - 2)
    low, top = edges[0], np.float64(table.size - 1)
    for n in range(LANES):
        out[n] = np.uint64(min(values[n] * scale, top))
    for n in range(LANES):
        value, m = values[n], table[out[n]]
        while value >= edges[m + one] and m < outside:
            m += one
        out[n] = m if value >= low else outside


@njit(nogil=True, cache=True, error_model="numpy")
def own_differences(cells, places, weights, squares, bx, by, bz):
    """Squares of the increments of the vector at the start of every cell, and its sums over the points of a pair."""
    one, two = np.uint64(1), np.uint64(2)
    for n in range(LANES):
        x = y = z = dx = dy = dz = 0.0
        for k in range(len(weights)):
            place, weight = places[k, n], weights[k]
            vx, vy, vz = float(cells[place]), float(cells[place + one]), float(cells[place + two])
            x, y, z = x + vx, y + vy, z + vz
            dx, dy, dz = dx + weight * vx, dy + weight * vy, dz + weight * vz
        squares[n] = dx * dx + dy * dy + dz * dz
        bx[n], by[n], bz[n] = x, y, z


@njit(nogil=True, cache=True, error_model="numpy")
def differences(cells, places, weights, first, last, local, squares, bx, by, bz):
    """As `own_differences`, of the numbers from `first` to `last` of every cell; the sums where the frame is local."""
    one, two = np.uint64(1), np.uint64(2)
    for n in range(LANES):
        square = 0.0
        for c in range(first, last):
            d = 0.0
            for k in range(len(weights)):
                d += weights[k] * cells[places[k, n] + np.uint64(c)]
            square += d * d
        squares[n] = square
        if local:
            x = y = z = 0.0
            for k in range(len(weights)):
                x += cells[places[k, n]]
                y += cells[places[k, n] + one]
                z += cells[places[k, n] + two]
            bx[n], by[n], bz[n] = x, y, z


@njit(nogil=True, cache=True, error_model="numpy")
def separations(lx, ly, lz, bx, by, bz, along, across, cosine):
    """Separation along and across the field of every pair of a batch, and the cosine of their angle."""
    for n in range(LANES):
        strength = bx[n] * bx[n] + by[n] * by[n] + bz[n] * bz[n]
        parallel = lx[n] * bx[n] + ly[n] * by[n] + lz[n] * bz[n]
        square = lx[n] * lx[n] + ly[n] * ly[n] + lz[n] * lz[n]
        share = (
            parallel * parallel / (strength * square) if strength > 0.0 else inf
        )  # without a field there is no angle
        share = 1.0 if abs(share - 1.0) < 1e-12 else share
        along[n] = sqrt(square * share)
        across[n] = sqrt(square * abs(1.0 - share))
        cosine[n] = sqrt(share)


@njit(nogil=True, cache=True, error_model="numpy")
def powers_of(squares, norm, orders, sizes, values):
    """Powers of the increments of a batch, an order a row."""
    for n in range(LANES):
        sizes[n] = sqrt(squares[n] * norm)
    for o in range(orders.size):
        for n in range(LANES):
            value = 1.0
            for _ in range(orders[o]):
                value *= sizes[n]
            values[o, n] = value


@njit(nogil=True, cache=True)
def cells_of(first, second, many, good, trash, out):
    """Place of every pair in a flat table of `many` bins along the second axis; `trash` for those that are no good."""
    for n in range(LANES):
        place = first[n] * many + second[n]
        out[n] = place if good[n] != 0 else trash


@njit(nogil=True, cache=True)
def count_up(place, counts):
    """Count the pairs of a batch."""
    for n in range(LANES):
        counts[place[n]] += 1


@njit(nogil=True, cache=True)
def add_up(place, values, sums):
    """Add the values of a batch."""
    for n in range(LANES):
        sums[place[n]] += values[n]


@njit(nogil=True, cache=True)
def ask(cells, places):
    """Ask for the memory of places that are soon read."""
    for n in range(LANES):
        prefetch(cells, places[n])


@njit(nogil=True, cache=True)
def locate(step, width, n0, n1, n2, open0, open1, open2, z, y, x, dz, dy, dx, places, good):
    """Places of one of the points of every pair in the flat array.

    A pair with a point beyond the end of an axis that does not wrap (`open`, 1 or 0) is no longer good, and is
    read where the array begins.
    """
    for n in range(LANES):
        a, b, c = z[n] + step * dz[n], y[n] + step * dy[n], x[n] + step * dx[n]
        fa, fb, fc = (
            np.int64(a < 0) - np.int64(a >= n0),
            np.int64(b < 0) - np.int64(b >= n1),
            np.int64(c < 0) - np.int64(c >= n2),
        )
        outside = open0 * fa * fa + open1 * fb * fb + open2 * fc * fc
        inside = np.int64(outside == 0)
        good[n] *= inside
        place = ((a + fa * n0) * n1 + b + fb * n1) * n2 + c + fc * n2
        places[n] = np.uint64(inside * place * width)


@njit(nogil=True, cache=True)
def words_of(key0, key1, number, start, one, other):
    """Two random words for every pair of a batch of a tile; simple enough to be vectorized."""
    number, start = np.uint32(number), np.uint32(start)
    for n in range(LANES):
        one[n], other[n] = threefry(key0, key1, number, np.uint32(start + np.uint32(n)))


@njit(nogil=True, cache=True)
def chosen(one, other, start, each, z0, y0, x0, sz, sy, sx, many, z, y, x, lag):
    """First points and lags of a batch from its random words; a lag for each of so many parts of a pair.

    A tile takes the lags in their order, each as often as any other: so what is read lies close together.
    """
    volume = np.uint64(sz * sy * sx)
    for n in range(LANES):
        lag[n] = min(np.int64((start + n + other[n] * (1.0 / 4294967296.0)) * each), many - 1)
    if sz == TILE and sy == TILE and sx == TILE:
        for n in range(LANES):
            word = np.int64(one[n] >> np.uint32(32 - 3 * BITS))
            z[n], y[n], x[n] = z0 + (word >> (2 * BITS)), y0 + ((word >> BITS) & (TILE - 1)), x0 + (word & (TILE - 1))
    else:
        for n in range(LANES):
            word = np.int64((np.uint64(one[n]) * volume) >> np.uint64(32))
            x[n], word = x0 + word % sx, word // sx
            z[n], y[n] = z0 + word // sy, y0 + word % sy


@njit(nogil=True, cache=True)
def separated(lag, lags, spacing, dz, dy, dx, ring, lz, ly, lx):
    """Separations of a batch in cells and in length units, and the bins of their lengths."""
    for n in range(LANES):
        m = lag[n]
        dz[n], dy[n], dx[n], ring[n] = lags[m, 0], lags[m, 1], lags[m, 2], lags[m, 3]
    for n in range(LANES):
        lz[n], ly[n], lx[n] = dz[n] * spacing[0], dy[n] * spacing[1], dx[n] * spacing[2]


@njit(nogil=True, cache=True, error_model="numpy")
def add_pairs(
    cells,
    columns,
    shape,
    periodic,
    tiles,
    sampled,
    key,
    lags,
    spacing,
    steps,
    weights,
    direction,
    edges,
    table,
    scale,
    turns,
    turn_table,
    turn_scale,
    norm,
    orders,
    rings,
    ring_sums,
    wedges,
    wedge_sums,
):
    """Add the increments of pairs to bins: of pairs drawn in tiles, or of all pairs at given lags.

    Parameters
    ----------
    cells : flat float array
        Per cell, z slowest: the field where the frame is local, the values, and what fills it up.
    columns : (4,) int array
        Numbers per cell; first and last of its values; 1 where the frame is local.
    shape, periodic : three ints each, in (z, y, x) order
        Cells, and 1 where the axis wraps around, else 0.
    tiles : (t, 9) int array
        First cell (z, y, x) and cells along each axis; number of the tile in the box; pairs; sub-volume.  Where all
        pairs are taken it is a row of cells, with as many pairs.
    sampled : bool
    key : two uint32
    lags : (m, 4) int array
        Separations in cells, in (z, y, x) order, and the bins of their lengths.
    spacing : (3,) float array
        Cell sizes, in (z, y, x) order.
    steps, weights : tuples
        Points in units of the lag, and their weights in the increment.
    direction : (3,) float array
        Of the mean field where the frame is global.
    edges, table, scale; turns, turn_table, turn_scale
        Bins of length and of the cosine of the angle, as :func:`bins_of` takes them.
    norm : float
        Squares of increments are multiplied by it.
    orders : (p,) int array
    rings, wedges : (groups, bins + 1) int arrays
        Pairs in bins of (l_perp, l_par) and of (l, angle); the last one along each takes what is outside of the
        edges, one more at the end what has no place in the box.
    ring_sums, wedge_sums : (groups, p, bins + 1) float arrays
        Sums of the powers of their increments.
    """
    places = np.zeros((len(steps), LANES), np.uint64)
    z, y, x = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    dz, dy, dx = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    lag = np.zeros(LANES, np.int64)
    i, j, turn = np.zeros(LANES, np.uint64), np.zeros(LANES, np.uint64), np.zeros(LANES, np.uint64)
    ring, good = np.zeros(LANES, np.uint64), np.ones(LANES, np.int64)
    one, other = np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32)
    values = np.zeros((len(orders), LANES))
    lx, ly, lz, squares = np.ones(LANES), np.ones(LANES), np.ones(LANES), np.ones(LANES)
    sizes, along, across, cosine = np.ones(LANES), np.ones(LANES), np.ones(LANES), np.ones(LANES)
    width, first, last, local = columns[0], columns[1], columns[2], columns[3] == 1
    own = local and first == 0 and last == 3
    n0, n1, n2 = shape[0], shape[1], shape[2]
    open0, open1, open2 = 1 - periodic[0], 1 - periodic[1], 1 - periodic[2]
    bx, by, bz = np.full(LANES, direction[0]), np.full(LANES, direction[1]), np.full(LANES, direction[2])
    for m in range(1 if sampled else len(lags)):
        lag[:] = m
        for t in range(len(tiles)):
            z0, y0, x0, sz, sy, sx, number, pairs, box = tiles[t]
            for start in range(0, pairs, LANES):
                count = min(LANES, pairs - start)
                if sampled:
                    words_of(key[0], key[1], number, start, one, other)
                    chosen(one, other, start, len(lags) / pairs, z0, y0, x0, sz, sy, sx, len(lags), z, y, x, lag)
                else:
                    for n in range(LANES):
                        z[n], y[n], x[n] = z0, y0, x0 + start + min(n, count - 1)
                separated(lag, lags, spacing, dz, dy, dx, ring, lz, ly, lx)
                good[:count], good[count:] = 1, 0
                for k in range(len(steps)):
                    locate(steps[k], width, n0, n1, n2, open0, open1, open2, z, y, x, dz, dy, dx, places[k], good)
                    ask(cells, places[k])
                if own:
                    own_differences(cells, places, weights, squares, bx, by, bz)
                else:
                    differences(cells, places, weights, first, last, local, squares, bx, by, bz)
                separations(lx, ly, lz, bx, by, bz, along, across, cosine)
                powers_of(squares, norm, orders, sizes, values)
                bins_of(across, edges, table, scale, i)
                bins_of(along, edges, table, scale, j)
                bins_of(cosine, turns, turn_table, turn_scale, turn)
                cells_of(i, j, np.uint64(edges.size - 1), good, np.uint64(rings.shape[1] - 1), i)
                cells_of(ring, turn, np.uint64(turns.size - 1), good, np.uint64(wedges.shape[1] - 1), j)
                count_up(i, rings[box])
                count_up(j, wedges[box])
                for o in range(len(orders)):
                    add_up(i, values[o], ring_sums[box, o])
                    add_up(j, values[o], wedge_sums[box, o])

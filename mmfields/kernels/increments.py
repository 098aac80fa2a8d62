"""Increments between points of a lattice, summed over bins of their separation along and across a mean field."""

from collections import namedtuple
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

MOST_POINTS, MOST_ORDERS = 5, 6

# A batch of pairs: first points, separations in cells and which lag that is, 1 where a pair is good; bins across and
# along the field, of the length and of the angle; random words; separations in length units, the mean field, squares of
# increments and their roots; parts of the separation along and across the field, and the cosine of their angle; places
# of all points in the field; and powers of the increments.
BATCH = np.dtype(
    [(name, "i8", LANES) for name in ("z", "y", "x", "dz", "dy", "dx", "lag", "good")]
    + [(name, "u8", LANES) for name in ("i", "j", "ring", "turn")]
    + [(name, "u4", LANES) for name in ("one", "other")]
    + [(name, "f8", LANES) for name in ("lz", "ly", "lx", "bz", "by", "bx", "squares", "sizes")]
    + [(name, "f8", LANES) for name in ("along", "across", "cosine")]
    + [("places", "u8", (MOST_POINTS, LANES)), ("values", "f8", (MOST_ORDERS, LANES))],
    align=True,
)

# The field: a flat array of `width` numbers per cell, z slowest, of which those from `first` to `last` are the values,
# and the first three the vector where the frame is `local`; cells (z, y, x), and 1 where an axis is open.
Cells = namedtuple("Cells", "numbers width first last local shape open")
# Pairs, drawn or all of them.  Tiles are rows of nine whole numbers: first cell (z, y, x) and cells along each axis;
# number of the tile in the box; pairs; sub-volume.  Where all pairs are taken a tile is a row of cells, with as many
# pairs.  The `key` is two uint32; `lags` are rows of the separation in cells (z, y, x) and the bin of its length;
# `spacing` cell sizes (z, y, x).
Pairs = namedtuple("Pairs", "tiles sampled key lags spacing")
# Points in units of the separation, their weights, by what squares are multiplied, which powers are summed, and the
# direction (x, y, z) of the mean field where the frame is global.
Increment = namedtuple("Increment", "steps weights norm orders direction")
# Ascending edges from 0 on, infinity the last; the bin of every multiple of 1/scale; the scale.
Bins = namedtuple("Bins", "edges table scale")
# Pairs (groups, bins + 1) in bins of (l_perp, l_par) and of (l, angle), and sums of powers (groups, p, bins + 1); the
# last bin along each axis takes what is outside of the edges, one more at the end what has no place in the box.
Sums = namedtuple("Sums", "rings ring_sums wedges wedge_sums")


def room():
    """An empty batch, for `add_pairs`."""
    return np.zeros(1, BATCH).view(np.recarray)


@njit(nogil=True, cache=True, error_model="numpy")
def bins_of(values, bins, out):
    """Bins of the values of a batch, from 0 on or infinite.  The last bin is that of all outside."""
    edges, table, scale = bins.edges, bins.table, bins.scale
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
def own_differences(b, numbers, weights):
    """Squares of the increments of the vector at the start of every cell, and its sums over the points of a pair."""
    one, two = np.uint64(1), np.uint64(2)
    for n in range(LANES):
        x = y = z = dx = dy = dz = 0.0
        for k in range(len(weights)):
            place, weight = b.places[k, n], weights[k]
            vx, vy, vz = float(numbers[place]), float(numbers[place + one]), float(numbers[place + two])
            x, y, z = x + vx, y + vy, z + vz
            dx, dy, dz = dx + weight * vx, dy + weight * vy, dz + weight * vz
        b.squares[n] = dx * dx + dy * dy + dz * dz
        b.bx[n], b.by[n], b.bz[n] = x, y, z


@njit(nogil=True, cache=True, error_model="numpy")
def differences(b, cells, weights):
    """As `own_differences`, of the values of every cell; the sums where the frame is local."""
    one, two, numbers = np.uint64(1), np.uint64(2), cells.numbers
    for n in range(LANES):
        square = 0.0
        for c in range(cells.first, cells.last):
            d = 0.0
            for k in range(len(weights)):
                d += weights[k] * numbers[b.places[k, n] + np.uint64(c)]
            square += d * d
        b.squares[n] = square
        if cells.local:
            x = y = z = 0.0
            for k in range(len(weights)):
                x += numbers[b.places[k, n]]
                y += numbers[b.places[k, n] + one]
                z += numbers[b.places[k, n] + two]
            b.bx[n], b.by[n], b.bz[n] = x, y, z


@njit(nogil=True, cache=True, error_model="numpy")
def separations(b):
    """Separation along and across the field of every pair of a batch, and the cosine of their angle."""
    for n in range(LANES):
        bx, by, bz, lx, ly, lz = b.bx[n], b.by[n], b.bz[n], b.lx[n], b.ly[n], b.lz[n]
        strength = bx * bx + by * by + bz * bz
        parallel = lx * bx + ly * by + lz * bz
        square = lx * lx + ly * ly + lz * lz
        share = (
            parallel * parallel / (strength * square) if strength > 0.0 else inf
        )  # without a field there is no angle
        share = 1.0 if abs(share - 1.0) < 1e-12 else share
        b.along[n] = sqrt(square * share)
        b.across[n] = sqrt(square * abs(1.0 - share))
        b.cosine[n] = sqrt(share)


@njit(nogil=True, cache=True, error_model="numpy")
def powers_of(b, norm, orders):
    """Powers of the increments of a batch, an order a row."""
    for n in range(LANES):
        b.sizes[n] = sqrt(b.squares[n] * norm)
    for o in range(orders.size):
        for n in range(LANES):
            value = 1.0
            for _ in range(orders[o]):
                value *= b.sizes[n]
            b.values[o, n] = value


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
def locate(b, k, step, cells):
    """Places of point `k` of every pair in the flat array.

    A pair with a point beyond the end of an axis that does not wrap is no longer good, and is read where the array
    begins.
    """
    n0, n1, n2 = cells.shape[0], cells.shape[1], cells.shape[2]
    open0, open1, open2 = cells.open[0], cells.open[1], cells.open[2]
    for n in range(LANES):
        z, y, x = b.z[n] + step * b.dz[n], b.y[n] + step * b.dy[n], b.x[n] + step * b.dx[n]
        fz, fy, fx = (
            np.int64(z < 0) - np.int64(z >= n0),
            np.int64(y < 0) - np.int64(y >= n1),
            np.int64(x < 0) - np.int64(x >= n2),
        )
        outside = open0 * fz * fz + open1 * fy * fy + open2 * fx * fx
        inside = np.int64(outside == 0)
        b.good[n] *= inside
        place = ((z + fz * n0) * n1 + y + fy * n1) * n2 + x + fx * n2
        b.places[k, n] = np.uint64(inside * place * cells.width)


@njit(nogil=True, cache=True)
def words_of(b, key0, key1, number, start):
    """Two random words for every pair of a batch of a tile; simple enough to be vectorized."""
    number, start = np.uint32(number), np.uint32(start)
    for n in range(LANES):
        b.one[n], b.other[n] = threefry(key0, key1, number, np.uint32(start + np.uint32(n)))


@njit(nogil=True, cache=True)
def chosen(b, tile, start, many):
    """First points and lags of a batch from its random words; a lag for each of so many parts of a pair.

    A tile takes the lags in their order, each as often as any other: so what is read lies close together.
    """
    z0, y0, x0, sz, sy, sx = tile[0], tile[1], tile[2], tile[3], tile[4], tile[5]
    each, volume = many / tile[7], np.uint64(sz * sy * sx)
    for n in range(LANES):
        b.lag[n] = min(np.int64((start + n + b.other[n] * (1.0 / 4294967296.0)) * each), many - 1)
    if sz == TILE and sy == TILE and sx == TILE:
        for n in range(LANES):
            word = np.int64(b.one[n] >> np.uint32(32 - 3 * BITS))
            b.z[n], b.y[n] = z0 + (word >> (2 * BITS)), y0 + ((word >> BITS) & (TILE - 1))
            b.x[n] = x0 + (word & (TILE - 1))
    else:
        for n in range(LANES):
            word = np.int64((np.uint64(b.one[n]) * volume) >> np.uint64(32))
            b.x[n], word = x0 + word % sx, word // sx
            b.z[n], b.y[n] = z0 + word // sy, y0 + word % sy


@njit(nogil=True, cache=True)
def in_a_row(b, tile, start, lag):
    """First points of a batch along a row of cells, all with one lag; the last cell fills the batch up."""
    for n in range(LANES):
        b.lag[n] = lag
        b.z[n], b.y[n], b.x[n] = tile[0], tile[1], tile[2] + min(start + n, tile[7] - 1)


@njit(nogil=True, cache=True)
def separated(b, count, lags, spacing):
    """Separations of a batch in cells and in length units, and the bins of their lengths; `count` of them are good."""
    for n in range(LANES):
        m = b.lag[n]
        b.good[n] = np.int64(n < count)
        b.dz[n], b.dy[n], b.dx[n], b.ring[n] = lags[m, 0], lags[m, 1], lags[m, 2], lags[m, 3]
    for n in range(LANES):
        b.lz[n], b.ly[n], b.lx[n] = b.dz[n] * spacing[0], b.dy[n] * spacing[1], b.dx[n] * spacing[2]


@njit(nogil=True, cache=True)
def begin(b, direction):
    """The field along which all pairs lie where the frame is global."""
    for n in range(LANES):
        b.bx[n], b.by[n], b.bz[n] = direction[0], direction[1], direction[2]


@njit(nogil=True, cache=True, error_model="numpy")
def add_pairs(batch, cells, pairs, increment, lengths, angles, sums):
    """Add the increments of pairs to bins: of pairs drawn in tiles, or of all pairs at given lags.

    Parameters
    ----------
    batch : record
        From `room`, one for each thread.
    cells : Cells
    pairs : Pairs
    increment : Increment
    lengths, angles : Bins
        Of parts of the separation, and of the cosine of its angle with the field.
    sums : Sums
    """
    b, tiles, lags, weights, orders = batch[0], pairs.tiles, pairs.lags, increment.weights, increment.orders
    own = cells.local and cells.first == 0 and cells.last == 3
    outside = np.uint64(sums.rings.shape[1] - 1), np.uint64(sums.wedges.shape[1] - 1)
    begin(b, increment.direction)
    for m in range(1 if pairs.sampled else len(lags)):
        for t in range(len(tiles)):
            tile, box = tiles[t], tiles[t, 8]
            for start in range(0, tile[7], LANES):
                if pairs.sampled:
                    words_of(b, pairs.key[0], pairs.key[1], tile[6], start)
                    chosen(b, tile, start, len(lags))
                else:
                    in_a_row(b, tile, start, m)
                separated(b, tile[7] - start, lags, pairs.spacing)
                for k in range(len(weights)):
                    locate(b, k, increment.steps[k], cells)
                    ask(cells.numbers, b.places[k])
                if own:
                    own_differences(b, cells.numbers, weights)
                else:
                    differences(b, cells, weights)
                separations(b)
                powers_of(b, increment.norm, orders)
                bins_of(b.across, lengths, b.i)
                bins_of(b.along, lengths, b.j)
                bins_of(b.cosine, angles, b.turn)
                cells_of(b.i, b.j, np.uint64(lengths.edges.size - 1), b.good, outside[0], b.i)
                cells_of(b.ring, b.turn, np.uint64(angles.edges.size - 1), b.good, outside[1], b.j)
                count_up(b.i, sums.rings[box])
                count_up(b.j, sums.wedges[box])
                for o in range(len(orders)):
                    add_up(b.i, b.values[o], sums.ring_sums[box, o])
                    add_up(b.j, b.values[o], sums.wedge_sums[box, o])

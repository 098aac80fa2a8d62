"""Sums over boxes of cells, for the moments of a field and their scatter between sub-volumes."""

import numpy as np

from mmfields.kernels._jit import entry, kernel, part
from mmfields.kernels.eights import MANY, fused_eights, load, load_some, spread, total

# Sums that `add_moments` makes of every box.
MOMENTS = 12


@kernel()
def sums_of_row(a):
    """Sum of a row, and of its squares."""
    sums = squares = spread(0.0)
    for m in range(0, a.size, MANY):
        value = load(a, m) if m + MANY <= a.size else load_some(a, m, a.size - m, 0.0)
        sums = sums + value
        squares = fused_eights(value, value, squares)
    return total(sums), total(squares)


@entry()
def add_sums(a, first, last, out):
    """Add cells, sum and sum of squares of the planes of a field from the first to the last one."""
    for i in range(first, last):
        for j in range(a.shape[1]):
            own, square = sums_of_row(a[i, j])
            out[0] += a.shape[2]
            out[1] += own
            out[2] += square


@entry()
def project(a, b, c, mean, along, out):
    """Fluctuation along a direction, (B - mean) · along, of flat arrays."""
    for m in range(out.size):
        out[m] = (a[m] - mean[0]) * along[0] + (b[m] - mean[1]) * along[1] + (c[m] - mean[2]) * along[2]


@part()
def piece(row, m, level):
    """Eight numbers of a row above a level; nothing is above it beyond the end of the row."""
    value = load(row, m) if m + MANY <= row.size else load_some(row, m, row.size - m, level)
    return value - spread(level)


@part()
def weighted(x, y, z, along):
    """The component along a direction."""
    p = fused_eights(y, spread(along[1]), x * spread(along[0]))
    return fused_eights(z, spread(along[2]), p)


@kernel()
def moments_of_row(a, b, c, density, level, along, sums):
    """Add the sums of one row; the density may be empty."""
    s1 = s2 = s3 = s4 = sx = sy = sz = square = sn = snn = spn = spread(0.0)
    for m in range(0, a.size, MANY):
        x, y, z = piece(a, m, level[0]), piece(b, m, level[1]), piece(c, m, level[2])
        p = weighted(x, y, z, along)
        p2 = p * p
        s1, s2 = s1 + p, s2 + p2
        s3, s4 = fused_eights(p2, p, s3), fused_eights(p2, p2, s4)
        sx, sy, sz = sx + x, sy + y, sz + z
        square = fused_eights(z, z, fused_eights(y, y, fused_eights(x, x, square)))
    for m in range(0, density.size, MANY):
        x, y, z = piece(a, m, level[0]), piece(b, m, level[1]), piece(c, m, level[2])
        n = piece(density, m, level[3])
        sn = sn + n
        snn = fused_eights(n, n, snn)
        spn = fused_eights(n, weighted(x, y, z, along), spn)
    sums[0] += a.size
    sums[1] += total(s1)
    sums[2] += total(s2)
    sums[3] += total(s3)
    sums[4] += total(s4)
    sums[5] += total(sx)
    sums[6] += total(sy)
    sums[7] += total(sz)
    sums[8] += total(square)
    sums[9] += total(sn)
    sums[10] += total(snn)
    sums[11] += total(spn)


@entry()
def add_moments(fields, level, along, edges, out):
    """Add what the moments of a fluctuation need, box by box.

    Parameters
    ----------
    fields : four (n0, n1, n2) arrays
        Components of the field, and the density, which is empty along the last axis where there is none.
    level : (4,) float array
        About the means of the three and of the density, taken out first.
    along : (3,) float array
        Direction that parallel means.
    edges : three (m, 3) int arrays
        First cell, cell after the last, and number of the box along each axis.
    out : (boxes, boxes, boxes, MOMENTS) float array
        Cells; sums of the parallel fluctuation to its powers 1 to 4; of the three components; of their squares;
        of the density, of its square and of its product with the parallel fluctuation.
    """
    a, b, c, density = fields
    edges0, edges1, edges2 = edges
    dense = min(density.shape[2], 1)
    for e0 in edges0:
        for i in range(e0[0], e0[1]):
            for e1 in edges1:
                for j in range(e1[0], e1[1]):
                    for e2 in edges2:
                        low, high = e2[0], e2[1]
                        row = density[i, j, low * dense : high * dense]
                        sums = out[e0[2], e1[2], e2[2]]
                        moments_of_row(a[i, j, low:high], b[i, j, low:high], c[i, j, low:high], row, level, along, sums)


@kernel()
def product_of_row(a, b):
    """Sum of a times b, and of b."""
    both = own = spread(0.0)
    for m in range(0, a.size, MANY):
        other = piece(b, m, 0.0)
        both = fused_eights(piece(a, m, 0.0), other, both)
        own = own + other
    return total(both), total(own)


@entry()
def add_products(a, b, edges, out):
    """Add the product of two fields, and the second, box by box: (n0, n1, n2) arrays, and (boxes, boxes, boxes, 2)."""
    edges0, edges1, edges2 = edges
    for e0 in edges0:
        for i in range(e0[0], e0[1]):
            for e1 in edges1:
                for j in range(e1[0], e1[1]):
                    for e2 in edges2:
                        low, high = e2[0], e2[1]
                        product, own = product_of_row(a[i, j, low:high], b[i, j, low:high])
                        out[e0[2], e1[2], e2[2], 0] += product
                        out[e0[2], e1[2], e2[2], 1] += own


@entry()
def add_powers(a, first, last, out):
    """Add the powers 2, 3 and 4 of the planes of a field from the first to the last one."""
    for i in range(first, last):
        for j in range(a.shape[1]):
            for k in range(a.shape[2]):
                value = np.float64(a[i, j, k])
                square = value * value
                out[0] += square
                out[1] += square * value
                out[2] += square * square

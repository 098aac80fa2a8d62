"""Gaussian modes of a divergence-free vector field, each a function of its wavevector and the seed alone."""

from math import sqrt

import numpy as np

from mmfields.kernels._jit import entry, kernel, part
from mmfields.kernels.scatter import logarithm, sine_cosine, threefry

f32 = np.float32
# Directions of the field at a mode, by number: both across k; the one across k in the plane of k and x; none.
SOLENOIDAL, POLOIDAL, SCALAR = range(3)
# Wavenumbers of an axis, as whole numbers, may be this large either way.
MOST = 1 << 20
WORD, HIGHEST = np.uint64(0xFFFFFFFF), np.uint32(0x80000000)
EIGHT, THIRTY_TWO = np.uint32(8), np.uint64(32)
INVERSE = f32(1.0 / (1 << 24))


@part()
def deviates(word0, word1):
    """Two independent float32 of mean 0 and variance 1, from two random words (Box & Muller 1958)."""
    radius = np.sqrt(f32(-2.0) * logarithm((f32(word0 >> EIGHT) + f32(1.0)) * INVERSE))
    sine, cosine = sine_cosine(f32(word1 >> EIGHT) * INVERSE - f32(0.5))
    return radius * cosine, radius * sine


@kernel()
def draw_row(keys, start, step, line, first, second):
    """Two complex amplitudes of variance 2 for each mode of a row, conjugate where those of -k are drawn.

    Parameters
    ----------
    keys : (2,) uint32 array
        Of the seed.
    start, step : tuples of int
        Whole wavenumbers x, y, z of the row's modes: `start` + `step` times those of `line`.
    line : (n,) int64 array
    first, second : two (n,) float32 arrays each
        Real and imaginary parts, filled.
    """
    key0, key1 = keys[0], keys[1]
    (a0, a1), (b0, b1) = first, second
    for m in range(line.size):
        x, y, z = start[0] + step[0] * line[m], start[1] + step[1] * line[m], start[2] + step[2] * line[m]
        # of k and -k the one whose last number that is not 0 is positive
        sign = 1 if z > 0 or (z == 0 and (y > 0 or (y == 0 and x >= 0))) else -1
        place = np.uint64(((sign * z + MOST) * (2 * MOST) + (sign * y + MOST)) * (2 * MOST) + (sign * x + MOST))
        low, high = np.uint32(place & WORD), np.uint32(place >> THIRTY_TWO)
        w0, w1 = threefry(key0, key1, low, high)
        w2, w3 = threefry(key0, key1, low, high ^ HIGHEST)
        a0[m], imaginary = deviates(w0, w1)
        a1[m] = f32(sign) * imaginary
        b0[m], imaginary = deviates(w2, w3)
        b1[m] = f32(sign) * imaginary


@kernel()
def polarize_row(start, step, k, size, first, second, out):
    """Amplitudes of B across k from the drawn ones.

    Of the two directions across k one is odd in k, and the imaginary unit goes with it: what comes back is real.

    Parameters
    ----------
    start, step : tuples of float
        Wavenumbers x, y, z: `start` + `step` times those of `k`.
    k, size : (n,) float arrays
        `size` is the root of the mean square of each amplitude.
    first, second
        As :func:`draw_row` fills them.
    out : three (n,) complex arrays
        Filled.
    """
    (a0, a1), (b0, b1) = first, second
    cx, cy, cz = out
    for m in range(k.size):
        x, y, z = start[0] + step[0] * k[m], start[1] + step[1] * k[m], start[2] + step[2] * k[m]
        square = x * x + y * y
        flat, s = sqrt(square), 0.5 * size[m]
        inverse = 1.0 / flat if flat > 0.0 else 0.0
        up = 1.0 / sqrt(square + z * z) if flat > 0.0 else 0.0
        # (y, -x, 0) / flat, odd; and (x z, y z, -flat²) / (k flat), even; along z they are x and y, both even
        ux, uy = y * inverse, -x * inverse
        vx, vy, vz = x * z * inverse * up, y * z * inverse * up, -flat * up
        pr, pi, qr, qi = -s * a1[m], s * a0[m], s * b0[m], s * b1[m]
        xr, xi, yr, yi = ux * pr + vx * qr, ux * pi + vx * qi, uy * pr + vy * qr, uy * pi + vy * qi
        plain = flat > 0.0
        cx[m] = complex(xr if plain else pi, xi if plain else -pr)
        cy[m] = complex(yr if plain else qr, yi if plain else qi)
        cz[m] = complex(vz * qr, vz * qi)


@kernel()
def poloidal_row(start, step, k, size, first, out):
    """As `polarize_row`, of the one direction across k in the plane of k and x, from the first amplitude."""
    a0, a1 = first
    cx, cy, cz = out
    half = sqrt(0.5)
    for m in range(k.size):
        x, y, z = start[0] + step[0] * k[m], start[1] + step[1] * k[m], start[2] + step[2] * k[m]
        square = y * y + z * z
        both = sqrt(square * (square + x * x))
        s = half * size[m] / both if both > 0.0 else 0.0
        r, i = s * a0[m], s * a1[m]
        cx[m] = complex(square * r, square * i)
        cy[m] = complex(-x * y * r, -x * y * i)
        cz[m] = complex(-x * z * r, -x * z * i)


@kernel()
def scalar_row(size, first, out):
    """One field without direction, from the first amplitude."""
    a0, a1 = first
    half = sqrt(0.5)
    for m in range(size.size):
        out[m] = complex(half * size[m] * a0[m], half * size[m] * a1[m])


@kernel()
def turn_row(amplitude, factor, turns):
    """Multiply amplitudes by a complex number and a row of them, of modulus 1: from the corner to the first cell."""
    real, imaginary = amplitude
    for m in range(real.size):
        both = factor * turns[m]
        a, b = real[m], imaginary[m]
        real[m] = a * both.real - b * both.imag
        imaginary[m] = a * both.imag + b * both.real


@entry()
def fill(kind, keys, whole, waves, turns, where, size, out):
    """Modes of a block.

    Parameters
    ----------
    kind : int
        SOLENOIDAL, POLOIDAL or SCALAR.
    keys : (2,) uint32 array
        Of the seed.
    whole, waves : three arrays each
        Whole wavenumbers (int64) and wavenumbers along the block's axes.
    turns : three complex arrays
        What half a cell along each axis turns the modes by.
    where : tuple of int
        Which of x, y, z its axes are.
    size : (a, b, c) float array
    out : (3, a, b, c) complex array, or (1, a, b, c) of a scalar
    """
    n = waves[2].size
    a0, a1, b0, b1 = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    step = (1 if where[2] == 0 else 0, 1 if where[2] == 1 else 0, 1 if where[2] == 2 else 0)
    slope = (1.0 * step[0], 1.0 * step[1], 1.0 * step[2])
    for i in range(waves[0].size):
        for j in range(waves[1].size):
            last = n  # beyond the band nothing is drawn
            while last > 0 and size[i, j, last - 1] == 0.0:
                last -= 1
            out[:, i, j, last:] = 0.0
            if last == 0:
                continue
            a, b, p, q = whole[0][i], whole[1][j], waves[0][i], waves[1][j]
            start = (
                a if where[0] == 0 else b if where[1] == 0 else 0,
                a if where[0] == 1 else b if where[1] == 1 else 0,
                a if where[0] == 2 else b if where[1] == 2 else 0,
            )
            first = (
                p if where[0] == 0 else q if where[1] == 0 else 0.0,
                p if where[0] == 1 else q if where[1] == 1 else 0.0,
                p if where[0] == 2 else q if where[1] == 2 else 0.0,
            )
            line, k, s, turn = whole[2][:last], waves[2][:last], size[i, j, :last], turns[2][:last]
            one, two = (a0[:last], a1[:last]), (b0[:last], b1[:last])
            draw_row(keys, start, step, line, one, two)
            factor = turns[0][i] * turns[1][j]
            turn_row(one, factor, turn)
            turn_row(two, factor, turn)
            if kind == SCALAR:
                scalar_row(s, one, out[0, i, j, :last])
                continue
            row = out[0, i, j, :last], out[1, i, j, :last], out[2, i, j, :last]
            if kind == POLOIDAL:
                poloidal_row(first, slope, k, s, one, row)
            else:
                polarize_row(first, slope, k, s, one, two, row)

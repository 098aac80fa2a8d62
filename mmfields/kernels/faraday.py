"""Faraday depth and polarized emission along the first axis of blocks."""

from collections import namedtuple
from math import pi

import numpy as np

from mmfields.kernels._jit import entry, kernel, part
from mmfields.kernels.vectors import fused

# Coefficients of sin(pi t) and cos(pi t) in powers of t^2, for |t| <= 1/2, to the last bits of a double.
SINE = tuple(float(c) for c in (
    pi, -(pi**3) / 6, pi**5 / 120, -(pi**7) / 5040, pi**9 / 362880, -(pi**11) / 39916800, pi**13 / 6227020800,
    -(pi**15) / 1307674368000, pi**17 / 355687428096000,
))  # fmt: skip
COSINE = tuple(float(c) for c in (
    1.0, -(pi**2) / 2, pi**4 / 24, -(pi**6) / 720, pi**8 / 40320, -(pi**10) / 3628800, pi**12 / 479001600,
    -(pi**14) / 87178291200, pi**16 / 20922789888000, -(pi**18) / 6402373705728000,
))  # fmt: skip
S0, S1, S2, S3, S4, S5, S6, S7, S8 = SINE
C0, C1, C2, C3, C4, C5, C6, C7, C8, C9 = COSINE


# Cells of a map that are summed together, so that their sums stay near the processor.
TILE = 8192


@kernel()
def add_row(field, density, high, low):
    """Add field times density of a row, with twice the digits of a double; how many densities are negative."""
    bad = 0
    for m in range(field.size):
        number = np.float64(density[m])
        value = np.float64(field[m]) * number
        total = high[m] + value
        part = total - high[m]
        low[m] += (high[m] - (total - part)) + (value - part)
        high[m] = total
        bad += number < 0.0
    return bad


@kernel()
def add_four(fields, densities, high, low):
    """What four calls of :func:`add_row` do, in the same order, while the sums stay in registers."""
    f0, f1, f2, f3 = fields
    d0, d1, d2, d3 = densities
    bad = 0
    for m in range(f0.size):
        n0, n1, n2, n3 = np.float64(d0[m]), np.float64(d1[m]), np.float64(d2[m]), np.float64(d3[m])
        a, rest = high[m], low[m]
        value = np.float64(f0[m]) * n0
        b = a + value
        part = b - a
        rest += (a - (b - part)) + (value - part)
        value = np.float64(f1[m]) * n1
        a = b + value
        part = a - b
        rest += (b - (a - part)) + (value - part)
        value = np.float64(f2[m]) * n2
        b = a + value
        part = b - a
        rest += (a - (b - part)) + (value - part)
        value = np.float64(f3[m]) * n3
        a = b + value
        part = a - b
        rest += (b - (a - part)) + (value - part)
        high[m], low[m] = a, rest
        bad += min(min(n0, n1), min(n2, n3)) < 0.0
    return bad


@entry()
def add_depth(field, density, high, low, begin, end):
    """Add field times density along the first axis, with twice the digits of a double.

    Parameters
    ----------
    field : (planes, n) array
    density : (planes, n) array, or (1, 1) where it is constant
    high, low : (n,) float arrays
        The sum so far, and what its last digits leave out.
    begin, end : int
        Of n, what is added up; slices of the arrays would cost the vector loops.

    Returns
    -------
    int
        More than 0 if a density is negative.
    """
    planes = field.shape[0]
    constant, bad = density.size == 1 and field.size > 1, 0
    same = np.full(TILE if constant else 0, density.flat[0])
    for a in range(begin, end, TILE):
        b = min(a + TILE, end)
        h, g, k = high[a:b], low[a:b], 0
        while k < planes:
            if constant:
                d0 = d1 = d2 = d3 = same[: b - a]
            else:
                d0, d1 = density[k, a:b], density[min(k + 1, planes - 1), a:b]
                d2, d3 = density[min(k + 2, planes - 1), a:b], density[min(k + 3, planes - 1), a:b]
            if k + 4 <= planes:
                four = field[k, a:b], field[k + 1, a:b], field[k + 2, a:b], field[k + 3, a:b]
                bad += add_four(four, (d0, d1, d2, d3), h, g)
                k += 4
            else:
                bad += add_row(field[k, a:b], d0, h, g)
                k += 1
    return bad


# Columns that are summed side by side where each lies in a piece, so that none waits for its own last sum.
LANES = 8


@entry()
def add_along(field, density, high, low, begin, end):
    """What :func:`add_depth` does, to the bit, of columns each of which lies in one piece of memory.

    Parameters
    ----------
    field : (n, planes) array
    density : (n, planes) array, or (1, 1) where it is constant
    high, low : (n,) float arrays
    begin, end : int
        Of n, what is added up.

    Returns
    -------
    int
        More than 0 if a density is negative.
    """
    planes = field.shape[1]
    constant, bad = density.size == 1 and field.size > 1, 0
    same = np.float64(density.flat[0])
    h, g = np.empty(LANES), np.empty(LANES)
    for a in range(begin, end, LANES):
        many = min(LANES, end - a)
        for j in range(many):
            h[j], g[j] = high[a + j], low[a + j]
        for k in range(planes):
            for j in range(many):
                number = same if constant else np.float64(density[a + j, k])
                value = np.float64(field[a + j, k]) * number
                total = h[j] + value
                part = total - h[j]
                g[j] += (h[j] - (total - part)) + (value - part)
                h[j] = total
                bad += number < 0.0
        for j in range(many):
            high[a + j], low[a + j] = h[j], g[j]
    return bad


@part()
def horner(q, a, b, c, d, e):
    """A polynomial of fourth order."""
    return fused(q, fused(q, fused(q, fused(q, e, d), c), b), a)


@part()
def sine_over(q):
    """sin(pi t) / t for q = t^2."""
    return horner(q, S0, S1, S2, S3, horner(q, S4, S5, S6, S7, S8))


@entry()
def emit(phase, half, strength, real, imaginary, wave, out_real, out_imaginary):
    """Add a row of cells to the polarization at one wavelength.

    Parameters
    ----------
    phase : (n,) float array
        Faraday depth of the middle of every cell [rad per unit of wavelength squared].
    half : (n,) float array
        Half the depth of every cell itself.
    strength : (n,) float array
        Emission, times the length of a cell.
    real, imaginary : (n,) float arrays
        Its direction, cos 2 chi and sin 2 chi.
    wave : float
        Wavelength squared.
    out_real, out_imaginary : (n,) float arrays
    """
    scale = 2.0 * wave / pi
    for m in range(phase.size):
        t = phase[m] * scale  # of half turns
        turns = np.rint(t)
        t -= turns
        sign = 1.0 - 2.0 * (turns - 2.0 * np.floor(0.5 * turns))
        q = t * t
        sine = t * sine_over(q)
        high = horner(q, C5, C6, C7, C8, C9)
        cosine = horner(q, C0, C1, C2, C3, fused(q, high, C4))
        u = half[m] * scale  # the cell itself turns the emission of its near and far side apart
        turned = np.rint(u)
        v = u - turned
        other = 1.0 - 2.0 * (turned - 2.0 * np.floor(0.5 * turned))
        q = v * v
        fan = sine_over(q)
        inside = fan / pi if turned == 0.0 else other * v * fan / (pi * u)
        value = strength[m] * sign * inside
        out_real[m] = fused(value, fused(cosine, real[m], -(sine * imaginary[m])), out_real[m])
        out_imaginary[m] = fused(value, fused(sine, real[m], cosine * imaginary[m]), out_imaginary[m])


Cells = namedtuple("Cells", "depth strength real imaginary")
"""Faraday depth of every cell of a block, (planes, rows, n); its emission and the direction of it as :func:`emit` takes
them, the same or (1, 1, 1) arrays."""

Seen = namedtuple("Seen", "depth deepest real imaginary")
"""Depth of all planes and its largest size on the way, (rows, n); polarization at all wavelengths, (w, rows, n)."""


@entry()
def polarized(cells, waves, seen):
    """Polarized emission of a block, seen from its last plane through what lies before each cell.

    Parameters
    ----------
    cells : Cells
    waves : (w,) float array
        Wavelengths squared.
    seen : Seen
        Added to.
    """
    depth, strength, real, imaginary = cells
    running, deepest, out_real, out_imaginary = seen
    planes, rows, n = depth.shape
    phase, half = np.empty(n), np.empty(n)
    constant, plain = strength.size == 1, real.size == 1
    s, a, b = (
        np.full(n, float(strength[0, 0, 0])),
        np.full(n, float(real[0, 0, 0])),
        np.full(n, float(imaginary[0, 0, 0])),
    )
    for i in range(rows):
        for k in range(planes - 1, -1, -1):
            for m in range(n):
                half[m] = 0.5 * depth[k, i, m]
                phase[m] = running[i, m] + half[m]
                running[i, m] += depth[k, i, m]
                deepest[i, m] = max(deepest[i, m], abs(running[i, m]))
            if not constant:
                for m in range(n):
                    s[m] = strength[k, i, m]
            if not plain:
                for m in range(n):
                    a[m], b[m] = real[k, i, m], imaginary[k, i, m]
            for w in range(waves.size):
                emit(phase, half, s, a, b, waves[w], out_real[w, i], out_imaginary[w, i])

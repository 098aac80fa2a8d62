"""Faraday depth and polarized emission along the first axis of blocks."""

from math import pi

import numpy as np
from numba import njit

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


@njit(nogil=True, cache=True, error_model="numpy")
def add_row(field, density, high, low):
    """Add field times density of a row, with twice the digits of a double; how many densities are negative."""
    bad = 0
    for m in range(field.size):
        number = float(density[m])
        value = float(field[m]) * number
        total = high[m] + value
        part = total - high[m]
        low[m] += (high[m] - (total - part)) + (value - part)
        high[m] = total
        bad += number < 0.0
    return bad


@njit(nogil=True, cache=True, error_model="numpy")
def add_depth(field, density, high, low):
    """Add field times density along the first axis, with twice the digits of a double.

    Parameters
    ----------
    field : (planes, rows, n) array
    density : (planes, rows, n) array, or (1, 1, n) for all planes and rows
    high, low : (rows, n) float arrays
        The sum so far, and what its last digits leave out.

    Returns
    -------
    int
        Cells with a negative density.
    """
    constant, bad = density.shape[0] == 1 and field.shape[0] > 1, 0
    for i in range(field.shape[1]):
        for k in range(field.shape[0]):
            dense = density[0, 0] if constant or density.shape[1] < field.shape[1] else density[k, i]
            bad += add_row(field[k, i], dense, high[i], low[i])
    return bad


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
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
        sine = t * (S0 + q * (S1 + q * (S2 + q * (S3 + q * (S4 + q * (S5 + q * (S6 + q * (S7 + q * S8))))))))
        cosine = C0 + q * (C1 + q * (C2 + q * (C3 + q * (C4 + q * (C5 + q * (C6 + q * (C7 + q * (C8 + q * C9))))))))
        u = half[m] * scale  # the cell itself turns the emission of its near and far side apart
        turned = np.rint(u)
        v = u - turned
        other = 1.0 - 2.0 * (turned - 2.0 * np.floor(0.5 * turned))
        q = v * v
        fan = S0 + q * (S1 + q * (S2 + q * (S3 + q * (S4 + q * (S5 + q * (S6 + q * (S7 + q * S8)))))))
        inside = fan / pi if turned == 0.0 else other * v * fan / (pi * u)
        value = strength[m] * sign * inside
        out_real[m] += value * (cosine * real[m] - sine * imaginary[m])
        out_imaginary[m] += value * (sine * real[m] + cosine * imaginary[m])


@njit(nogil=True, cache=True, error_model="numpy")
def polarized(depth, strength, real, imaginary, waves, running, out_real, out_imaginary):
    """Polarized emission of a block, seen from its last plane through what lies before each cell.

    Parameters
    ----------
    depth : (planes, rows, n) array
        Faraday depth of every cell.
    strength, real, imaginary : (planes, rows, n) arrays, or (1, 1, 1)
        As :func:`emit` takes them.
    waves : (w,) float array
        Wavelengths squared.
    running : (rows, n) float array
        Depth of all planes, added to.
    out_real, out_imaginary : (w, rows, n) float arrays
    """
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
            if not constant:
                for m in range(n):
                    s[m] = strength[k, i, m]
            if not plain:
                for m in range(n):
                    a[m], b[m] = real[k, i, m], imaginary[k, i, m]
            for w in range(waves.size):
                emit(phase, half, s, a, b, waves[w], out_real[w, i], out_imaginary[w, i])

"""Sums of mode power over bins of wavenumber."""

from math import sqrt

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def shells_of_row(k2, square, inverse, top, first):
    """Shells of one row of modes, `square` the rest of k^2; simple enough to be vectorized."""
    for m in range(k2.size):
        first[m] = min(np.int32(sqrt(square + k2[m] * k2[m]) * inverse + 0.5), top)


@njit(nogil=True, cache=True, error_model="numpy")
def annuli_of_row(k2, square, parallel, along2, inverse, top, first, second):
    """Bins of k_perp and |k_par| of one row of modes, `square` and `parallel` the rest of k^2 and k_par."""
    for m in range(k2.size):
        k_par = abs(parallel + k2[m] * along2)
        total = square + k2[m] * k2[m]
        rest = total - k_par * k_par
        k_perp = sqrt(rest) if rest > 1e-12 * total else 0.0
        first[m] = min(np.int32(k_perp * inverse + 0.5), top)
        second[m] = min(np.int32(k_par * inverse + 0.5), top)


@njit(nogil=True, cache=True, error_model="numpy")
def products_of_row(a, b, weight, real):
    """Real part of weight a conj(b)."""
    for m in range(a.size):
        real[m] = weight[m] * (np.float64(a[m].real) * b[m].real + np.float64(a[m].imag) * b[m].imag)


@njit(nogil=True, cache=True, error_model="numpy")
def imaginary_of_row(a, b, weight, imag):
    """Imaginary part of weight a conj(b)."""
    for m in range(a.size):
        imag[m] = weight[m] * (np.float64(a[m].imag) * b[m].real - np.float64(a[m].real) * b[m].imag)


@njit(nogil=True, cache=True)
def add_row(real, imag, cross, first, second, share, out):
    """Add a share of the products of a row to their bins."""
    for m in range(real.size):
        out[first[m], second[m], 0] += share * real[m]
    if cross:
        for m in range(imag.size):
            out[first[m], second[m], 1] += share * imag[m]


@njit(nogil=True, cache=True)
def bin_modes(a, b, k0, k1, k2, n0, n1, n2, weight, along, width, two_dimensional, cross, out):
    """Add weight a conj(b) of every mode to its bin; k = 0 is left out.

    A Nyquist wavenumber stands for both signs, and its modes are shared among the bins of both.

    Parameters
    ----------
    a, b : (n0, n1, n2) complex arrays
        Two spectra, the same one for a power.
    k0, k1, k2 : float arrays
        Wavenumbers along their axes.
    n0, n1, n2 : bool arrays
        Which are Nyquist wavenumbers; along the last axis none but the last.
    weight : (n2,) float array
        How many modes each of the half axis stands for.
    along : (3,) float array
        Direction that parallel means, along the same axes.
    width : float
        Bin n holds wavenumbers within half a width of n widths; the last one all beyond.
    two_dimensional : bool
        Bins of k_perp (first) and |k_par| instead of |k|.
    cross : bool
        Sum the imaginary part too.
    out : (size, size or 1, 2) float array
        Real and imaginary parts.
    """
    top, inverse, n = np.int32(out.shape[0] - 1), 1.0 / width, k2.size
    real, imag = np.empty(n), np.empty(n)
    first, second = np.empty(n, np.int32), np.zeros(n, np.int32)
    plain = n - 1 if n2[n - 1] else n
    for i in range(k0.size):
        for j in range(k1.size):
            products_of_row(a[i, j], b[i, j], weight, real)
            if cross:
                imaginary_of_row(a[i, j], b[i, j], weight, imag)
            square = k0[i] * k0[i] + k1[j] * k1[j]
            if square == 0.0 and k2[0] == 0.0:
                real[0] = imag[0] = 0.0
            if not two_dimensional:
                shells_of_row(k2, square, inverse, top, first)
                add_row(real, imag, cross, first, second, 1.0, out)
                continue
            signs0, signs1 = (2 if n0[i] else 1), (2 if n1[j] else 1)
            share = 1.0 / (signs0 * signs1)
            for r in range(signs0):
                for s in range(signs1):
                    parallel = k0[i] * along[0] * (1 - 2 * r) + k1[j] * along[1] * (1 - 2 * s)
                    annuli_of_row(k2[:plain], square, parallel, along[2], inverse, top, first, second)
                    add_row(real[:plain], imag[:plain], cross, first, second, share, out)
                    for t in range(2 if plain < n else 0):
                        slope = along[2] * (1 - 2 * t)
                        annuli_of_row(k2[plain:], square, parallel, slope, inverse, top, first, second)
                        add_row(real[plain:], imag[plain:], cross, first, second, 0.5 * share, out)


@njit(nogil=True, cache=True)
def count_modes(k0, k1, k2, w0, w1, w2, width, out):
    """Add to shells as in `bin_modes` the modes of a grid, from its wavenumbers >= 0 and how many each stands for."""
    top, inverse = np.int32(out.size - 1), 1.0 / width
    first = np.empty(k2.size, np.int32)
    for i in range(k0.size):
        for j in range(k1.size):
            shells_of_row(k2, k0[i] * k0[i] + k1[j] * k1[j], inverse, top, first)
            for m in range(k2.size):
                out[first[m]] += w0[i] * w1[j] * w2[m]
    out[0] -= 1.0

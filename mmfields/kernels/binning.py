"""Sums of mode power over bins of wavenumber."""

from math import sqrt

import numpy as np

from mmfields.kernels._jit import entry, kernel

# A mode on the edge of two bins belongs to the upper one, whatever the last bits of its wavenumber.
TIE = 1e-6


@kernel()
def shells_of_row(k2, square, inverse, top, first):
    """Shells of one row of modes, `square` the rest of k^2; simple enough to be vectorized."""
    for m in range(k2.size):
        place = sqrt(square + k2[m] * k2[m]) * inverse
        first[m] = max(min(np.int32(place + 0.5 + TIE * place), top), 0)


@kernel()
def annuli_of_row(k2, square, parallel, along2, inverse, top, first, second):
    """Bins of k_perp and |k_par| of one row of modes, `square` and `parallel` the rest of k^2 and k_par."""
    for m in range(k2.size):
        k_par = abs(parallel + k2[m] * along2)
        total = square + k2[m] * k2[m]
        rest = total - k_par * k_par
        k_perp = sqrt(rest) if rest > 1e-12 * total else 0.0
        tie = 0.5 + TIE * sqrt(total) * inverse
        first[m] = max(min(np.int32(k_perp * inverse + tie), top), 0)
        second[m] = max(min(np.int32(k_par * inverse + tie), top), 0)


@kernel()
def products_of_row(a, b, weight, real):
    """Real part of weight a conj(b)."""
    for m in range(a.size):
        real[m] = weight[m] * (np.float64(a[m].real) * b[m].real + np.float64(a[m].imag) * b[m].imag)


@kernel()
def add_row(values, first, second, share, out):
    """Add a share of the values of a row to their bins."""
    for m in range(values.size):
        out[first[m], second[m]] += share * values[m]


@kernel()
def add_annuli(values, ki, kj, k2, ni, nj, nyquist, along, inverse, top, first, second, out):
    """Add a row of modes to bins of k_perp and |k_par|, shared among the signs of its Nyquist wavenumbers.

    `nyquist` says whether the last of `k2` is one.
    """
    plain = k2.size - 1 if nyquist else k2.size
    square = ki * ki + kj * kj
    signs0, signs1 = (2 if ni else 1), (2 if nj else 1)
    share = 1.0 / (signs0 * signs1)
    for r in range(signs0):
        for s in range(signs1):
            parallel = ki * along[0] * (1 - 2 * r) + kj * along[1] * (1 - 2 * s)
            annuli_of_row(k2[:plain], square, parallel, along[2], inverse, top, first, second)
            add_row(values[:plain], first, second, share, out)
            for t in range(2 if nyquist else 0):
                slope = along[2] * (1 - 2 * t)
                annuli_of_row(k2[plain:], square, parallel, slope, inverse, top, first, second)
                add_row(values[plain:], first, second, 0.5 * share, out)


@entry()
def bin_modes(a, b, k0, k1, k2, n0, n1, n2, weight, along, width, two_dimensional, out):
    """Add the real part of weight a conj(b) of every mode to its bin; k = 0 is left out.

    The imaginary parts of k and -k cancel.  A Nyquist wavenumber stands for both signs, and its modes are
    shared among the bins of both.

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
    out : (size, size or 1) float array
    """
    top, inverse, n = np.int32(out.shape[0] - 1), 1.0 / width, k2.size
    real = np.empty(n)
    first, second = np.empty(n, np.int32), np.zeros(n, np.int32)
    for i in range(k0.size):
        for j in range(k1.size):
            products_of_row(a[i, j], b[i, j], weight, real)
            if k0[i] == 0.0 and k1[j] == 0.0 and k2[0] == 0.0:
                real[0] = 0.0
            if two_dimensional:
                last = n2[n - 1]
                add_annuli(real, k0[i], k1[j], k2, n0[i], n1[j], last, along, inverse, top, first, second, out)
            else:
                shells_of_row(k2, k0[i] * k0[i] + k1[j] * k1[j], inverse, top, first)
                add_row(real, first, second, 1.0, out)


@entry()
def count_modes(k0, k1, k2, n0, n1, n2, w0, w1, w2, along, width, two_dimensional, out):
    """Modes of each bin of `bin_modes`, of a grid given by its wavenumbers and how many modes each stands for."""
    top, inverse, n = np.int32(out.shape[0] - 1), 1.0 / width, k2.size
    first, second = np.empty(n, np.int32), np.zeros(n, np.int32)
    each = np.empty(n)
    for i in range(k0.size):
        for j in range(k1.size):
            each[:] = w0[i] * w1[j] * w2
            if k0[i] == 0.0 and k1[j] == 0.0 and k2[0] == 0.0:
                each[0] = 0.0
            if two_dimensional:
                last = n2[n - 1]
                add_annuli(each, k0[i], k1[j], k2, n0[i], n1[j], last, along, inverse, top, first, second, out)
            else:
                shells_of_row(k2, k0[i] * k0[i] + k1[j] * k1[j], inverse, top, first)
                add_row(each, first, second, 1.0, out)

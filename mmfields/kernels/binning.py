"""Sums of mode power over bins of wavenumber."""

from collections import namedtuple
from math import sqrt

import numpy as np

from mmfields.kernels._jit import entry, kernel, part

# A mode on the edge of two bins belongs to the upper one, whatever the last bits of its wavenumber.
TIE = 1e-6

# Bins per wavenumber, the last bin, and the places of a row of modes among the bins: of |k|, or of k_perp and |k_par|.
Bins = namedtuple("Bins", "inverse top first second")


@kernel()
def shells_of_row(k2, square, inverse, top, first):
    """Shells of one row of modes, `square` the rest of k^2; simple enough to be vectorized."""
    for m in range(k2.size):
        place = sqrt(square + k2[m] * k2[m]) * inverse
        first[m] = max(min(np.int32(place + 0.5 + TIE * place), top), 0)


@kernel()
def annuli_of_row(k2, square, parallel, along2, bins):
    """Bins of k_perp and |k_par| of one row of modes, `square` and `parallel` the rest of k^2 and k_par."""
    inverse, top, first, second = bins
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


@part()
def add_annuli(values, i, j, modes, along, bins, out):
    """Add a row of modes to bins of k_perp and |k_par|, shared among the signs of its Nyquist wavenumbers."""
    k2, last = modes.k2, modes.k2.size - 1
    plain = last if modes.n2[last] else k2.size
    ki, kj = modes.k0[i], modes.k1[j]
    square = ki * ki + kj * kj
    signs0, signs1 = (2 if modes.n0[i] else 1), (2 if modes.n1[j] else 1)
    share = 1.0 / (signs0 * signs1)
    for r in range(signs0):
        for s in range(signs1):
            parallel = ki * along[0] * (1 - 2 * r) + kj * along[1] * (1 - 2 * s)
            annuli_of_row(k2[:plain], square, parallel, along[2], bins)
            add_row(values[:plain], bins.first, bins.second, share, out)
            for t in range(2 if plain == last else 0):
                slope = along[2] * (1 - 2 * t)
                annuli_of_row(k2[plain:], square, parallel, slope, bins)
                add_row(values[plain:], bins.first, bins.second, 0.5 * share, out)


@part()
def add_values(values, i, j, modes, along, two_dimensional, bins, out):
    """Add a row of modes to bins of k_perp and |k_par|, or of |k|; k = 0 is left out."""
    ki, kj, k2 = modes.k0[i], modes.k1[j], modes.k2
    if ki == 0.0 and kj == 0.0 and k2[0] == 0.0:
        values[0] = 0.0
    if two_dimensional:
        add_annuli(values, i, j, modes, along, bins, out)
    else:
        shells_of_row(k2, ki * ki + kj * kj, bins.inverse, bins.top, bins.first)
        add_row(values, bins.first, bins.second, 1.0, out)


@kernel()
def bins_of_row(n, width, out):
    """Room for the bins of a row of n modes."""
    return Bins(1.0 / width, np.int32(out.shape[0] - 1), np.empty(n, np.int32), np.zeros(n, np.int32))


@entry()
def bin_modes(a, b, modes, weight, along, width, two_dimensional, out):
    """Add the real part of weight a conj(b) of every mode to its bin; k = 0 is left out.

    The imaginary parts of k and -k cancel.  A Nyquist wavenumber stands for both signs, and its modes are
    shared among the bins of both.

    Parameters
    ----------
    a, b : (n0, n1, n2) complex arrays
        Two spectra, the same one for a power.
    modes : Modes
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
    bins, real = bins_of_row(weight.size, width, out), np.empty(weight.size)
    for i in range(modes.k0.size):
        for j in range(modes.k1.size):
            products_of_row(a[i, j], b[i, j], weight, real)
            add_values(real, i, j, modes, along, two_dimensional, bins, out)


@entry()
def count_modes(modes, weights, along, width, two_dimensional, out):
    """Modes of each bin of `bin_modes`; `weights` are how many each wavenumber of the three axes stands for."""
    w0, w1, w2 = weights
    bins, each = bins_of_row(w2.size, width, out), np.empty(w2.size)
    for i in range(modes.k0.size):
        for j in range(modes.k1.size):
            share = w0[i] * w1[j]
            for m in range(w2.size):
                each[m] = share * w2[m]
            add_values(each, i, j, modes, along, two_dimensional, bins, out)

"""Sums of mode power over bins of wavenumber."""

from math import sqrt

from numba import njit


@njit(nogil=True, cache=True)
def bin_modes(a, b, k0, k1, k2, n0, n1, n2, weight, along, width, two_dimensional, out):
    """Add weight a conj(b) of every mode to its bin; k = 0 is left out.

    Parameters
    ----------
    a, b : (n0, n1, n2) complex arrays
        Two spectra, the same one for a power.
    k0, k1, k2 : float arrays
        Wavenumbers along their axes.
    n0, n1, n2 : bool arrays
        Which are Nyquist wavenumbers: they stand for both signs, and their modes are shared among the bins of both.
    weight : (n2,) float array
        How many modes each of the half axis stands for.
    along : (3,) float array
        Direction that parallel means, along the same axes.
    width : float
        Bin n holds wavenumbers within half a width of n widths; the last one all beyond.
    two_dimensional : bool
        Bins of k_perp (first) and |k_par| instead of |k|.
    out : (size, size or 1, 2) float array
        Real and imaginary parts.
    """
    top = out.shape[0] - 1
    inverse = 1.0 / width
    for i in range(k0.size):
        for j in range(k1.size):
            for m in range(k2.size):
                square = k0[i] * k0[i] + k1[j] * k1[j] + k2[m] * k2[m]
                if square == 0.0:
                    continue
                x, y = a[i, j, m], b[i, j, m]
                real = weight[m] * (x.real * y.real + x.imag * y.imag)
                imag = weight[m] * (x.imag * y.real - x.real * y.imag)
                if not two_dimensional:
                    first = min(int(sqrt(square) * inverse + 0.5), top)
                    out[first, 0, 0] += real
                    out[first, 0, 1] += imag
                    continue
                share = 1.0 / ((2 if n0[i] else 1) * (2 if n1[j] else 1) * (2 if n2[m] else 1))
                for r in range(2 if n0[i] else 1):
                    for s in range(2 if n1[j] else 1):
                        for t in range(2 if n2[m] else 1):
                            parallel = k0[i] * along[0] * (1 - 2 * r)
                            parallel += k1[j] * along[1] * (1 - 2 * s) + k2[m] * along[2] * (1 - 2 * t)
                            rest = square - parallel * parallel
                            k_perp = sqrt(rest) if rest > 1e-12 * square else 0.0
                            first = min(int(k_perp * inverse + 0.5), top)
                            second = min(int(abs(parallel) * inverse + 0.5), top)
                            out[first, second, 0] += share * real
                            out[first, second, 1] += share * imag

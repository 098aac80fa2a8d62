"""Power of a spectrum on lines of k_par and k_perp, the densities that scales are means of, and their scatter."""

from collections import namedtuple
from math import sqrt

import numpy as np

from mmfields.kernels._jit import entry, kernel

# What `line_row` adds to a bin: power and power times wavenumber, of k_perp and of k_par.
COLUMNS = 4

# What `add_spread` takes of every mode: the power of the parallel fluctuation times 1, what it adds to l_par and to
# l_perp, k_par^2 and k_perp^2; the power across; that of the density; and the product of parallel and density.
TERMS = 8

Scale = namedtuple("Scale", "across table steps")
"""Of k_perp instead of k_par; what a mode adds to the integral scale, against its wavenumber, or an empty table for the
wavenumber's square; entries of the table per unit of wavenumber."""


@kernel()
def line_row(power, square, parallel, along2, k2, inverse, row, out):
    """Add a row of modes to fine bins of their k_perp and |k_par|, and to the sums of k^2 in the last row of `out`.

    Parameters
    ----------
    row : (2, m) float array
        Room for k_perp and |k_par|, which are vectorized apart from the sums.
    """
    top = np.int64(out.shape[0] - 2)
    for m in range(k2.size):
        k_par = abs(parallel + k2[m] * along2)
        total = square + k2[m] * k2[m]
        rest = total - k_par * k_par
        row[0, m] = sqrt(rest if rest > 1e-12 * total else 0.0)
        row[1, m] = k_par
    perp2 = par2 = 0.0
    for m in range(k2.size):
        value, k_perp, k_par = power[m], row[0, m], row[1, m]
        first, second = min(np.int64(k_perp * inverse + 0.5), top), min(np.int64(k_par * inverse + 0.5), top)
        out[first, 0] += value
        out[first, 1] += value * k_perp
        out[second, 2] += value
        out[second, 3] += value * k_par
        perp2 += value * k_perp * k_perp
        par2 += value * k_par * k_par
    out[-1, 0] += perp2
    out[-1, 1] += par2


@entry()
def power_on_lines(a, modes, weight, along, width, out):
    """Add the power of every mode to lines of k_perp and |k_par|; k = 0 is left out.

    A Nyquist wavenumber stands for both signs, and its modes are shared among them.

    Parameters
    ----------
    a : (n0, n1, n2) complex array
        Spectrum.
    modes : Modes
    weight : (n2,) float array
        How many modes each of the half axis stands for.
    along : (3,) float array
        Direction that parallel means, along the same axes.
    width : float
        Of the bins; bin n holds wavenumbers within half a width of n widths.
    out : (bins + 1, COLUMNS) float array
        The last row takes the sums of power times k_perp^2 and times k_par^2.
    """
    k0, k1, k2, n0, n1, n2 = modes
    power, row, inverse, last = np.empty(k2.size), np.empty((2, k2.size)), 1.0 / width, k2.size - 1
    plain = last if n2[last] else k2.size
    for i in range(k0.size):
        for j in range(k1.size):
            for m in range(k2.size):
                value = a[i, j, m]
                power[m] = weight[m] * (np.float64(value.real) ** 2 + np.float64(value.imag) ** 2)
            if k0[i] == 0.0 and k1[j] == 0.0 and k2[0] == 0.0:
                power[0] = 0.0
            square = k0[i] * k0[i] + k1[j] * k1[j]
            signs0, signs1 = (2 if n0[i] else 1), (2 if n1[j] else 1)
            for m in range(k2.size):
                power[m] *= (1.0 if m < plain else 0.5) / (signs0 * signs1)
            for r in range(signs0):
                for s in range(signs1):
                    par = k0[i] * along[0] * (1 - 2 * r) + k1[j] * along[1] * (1 - 2 * s)
                    line_row(power[:plain], square, par, along[2], k2[:plain], inverse, row, out)
                    for t in range(2 if plain == last else 0):
                        slope = along[2] * (1 - 2 * t)
                        line_row(power[plain:], square, par, slope, k2[plain:], inverse, row, out)


@kernel()
def density_row(scale, square, parallel, along2, k2, share, out):
    """Add a share of the weights of one row."""
    table, last = scale.table, np.float64(scale.table.size - 2)
    for m in range(k2.size):
        k_par = abs(parallel + k2[m] * along2)
        total = square + k2[m] * k2[m]
        rest = total - k_par * k_par
        value = (rest if rest > 1e-12 * total else 0.0) if scale.across else k_par * k_par
        if table.size > 0:
            place = min(sqrt(value) * scale.steps, last)
            n = np.uint64(place)
            value = table[n] + (table[n + np.uint64(1)] - table[n]) * (place - n)
        out[m] += share * value


@kernel()
def weights_of_row(i, j, modes, along, scale, values):
    """Weights of one row of modes, shared among the signs of its Nyquist wavenumbers."""
    ki, kj, k2, last = modes.k0[i], modes.k1[j], modes.k2, modes.k2.size - 1
    plain = last if modes.n2[last] else k2.size
    values[:] = 0.0
    square = ki * ki + kj * kj
    signs0, signs1 = (2 if modes.n0[i] else 1), (2 if modes.n1[j] else 1)
    share = 1.0 / (signs0 * signs1)
    for r in range(signs0):
        for s in range(signs1):
            par = ki * along[0] * (1 - 2 * r) + kj * along[1] * (1 - 2 * s)
            density_row(scale, square, par, along[2], k2[:plain], share, values[:plain])
            for t in range(2 if plain == last else 0):
                slope = along[2] * (1 - 2 * t)
                density_row(scale, square, par, slope, k2[plain:], 0.5 * share, values[plain:])


@entry()
def weigh_density(a, modes, along, scale, out):
    """Multiply a spectrum by what makes its product with the field a density of a scale or of k^2; k = 0 goes.

    Parameters
    ----------
    a, modes, along
        As :func:`power_on_lines`.
    scale : Scale
    out : (n0, n1, n2) complex array
    """
    k0, k1, k2 = modes.k0, modes.k1, modes.k2
    values = np.empty(k2.size)
    for i in range(k0.size):
        for j in range(k1.size):
            weights_of_row(i, j, modes, along, scale, values)
            if k0[i] == 0.0 and k1[j] == 0.0 and k2[0] == 0.0:
                values[0] = 0.0
            for m in range(k2.size):
                out[i, j, m] = a[i, j, m] * values[m]


@kernel()
def spread_of_row(a, total, density, weights, many, out):
    """Add the terms of one row of modes to the first row of `out`, their products above the diagonal of the others.

    Every mode stands for `many`.
    """
    terms, used = np.zeros(TERMS), TERMS if density.size > 0 else 6
    for m in range(a.size):
        real, imag = np.float64(a[m].real), np.float64(a[m].imag)
        power = real * real + imag * imag
        for c in range(5):
            terms[c] = power * weights[c, m]
        terms[5] = max(total[m] - power, 0.0)
        if density.size > 0:
            re, im = np.float64(density[m].real), np.float64(density[m].imag)
            terms[6], terms[7] = re * re + im * im, real * re + imag * im
        for c in range(used):
            value = many[m] * terms[c]
            out[0, c] += value
            for d in range(c, used):
                out[1 + c, d] += value * terms[d]


@entry()
def add_spread(spectra, modes, weight, along, factor, scales, out):
    """Add what the scatter of the scales of Gaussian fields needs: sums over modes of `TERMS`, and of their products.

    Parameters
    ----------
    spectra : three arrays (n0, n1, n2)
        Spectrum of the parallel fluctuation; power of all components of the field; spectrum of the density, which is
        empty along the last axis where there is none.
    modes, weight, along
        As :func:`power_on_lines`.
    factor : (2,) float array
        By which the amplitudes of the field and of the density are multiplied, so that their powers are near 1.
    scales : two of Scale
        l_par and l_perp.
    out : (1 + TERMS, TERMS) float array
        Sums of the terms; and of their products, above the diagonal and on it.
    """
    a, total, density = spectra
    weights, none = np.ones((5, weight.size)), np.empty(0)
    each = (scales[0], scales[1], Scale(False, none, 0.0), Scale(True, none, 0.0))
    for i in range(modes.k0.size):
        for j in range(modes.k1.size):
            for c in range(4):
                weights_of_row(i, j, modes, along, each[c], weights[1 + c])
            first = 1 if modes.k0[i] == 0.0 and modes.k1[j] == 0.0 and modes.k2[0] == 0.0 else 0
            mine, all_, own = a[i, j, first:] * factor[0], total[i, j, first:] * factor[0] ** 2, density[i, j]
            own = own[first:] * factor[1] if own.size > 0 else own * factor[1]
            spread_of_row(mine, all_, own, weights[:, first:], weight[first:], out)


@entry()
def normalized_power(a, modes, factor, out):
    """Power of every mode times a factor, as a spectrum; k = 0 is left out."""
    for i in range(modes.k0.size):
        for j in range(modes.k1.size):
            for m in range(modes.k2.size):
                out[i, j, m] = factor * (np.float64(a[i, j, m].real) ** 2 + np.float64(a[i, j, m].imag) ** 2)
            if modes.k0[i] == 0.0 and modes.k1[j] == 0.0 and modes.k2[0] == 0.0:
                out[i, j, 0] = 0.0

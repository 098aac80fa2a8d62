"""Transfer functions of pass bands on modes, fused with the multiplication."""

from collections import namedtuple
from math import cos, erfc, isfinite, pi, sqrt

from mmfields.kernels._jit import entry, kernel

# Edges by number, as the kernels take them.
SHARP, GAUSSIAN, BUTTERWORTH, COSINE = range(4)


Band = namedtuple("Band", "limits edge width order")
"""What passes: from where to where in k_par, k_perp and |k| (three pairs of floats), and the kind of the edges, their
width and order."""


@kernel()
def below(k, limit, band):
    """1 well below a limit, 0 well above it, 1/2 at it; sharp edges are those of `sharp`."""
    if band.edge == GAUSSIAN:
        return 0.5 * erfc((k - limit) / (band.width * sqrt(2.0)))
    if band.edge == BUTTERWORTH:
        return 1.0 / (1.0 + (k / limit) ** (2.0 * band.order))
    phase = (k - limit) / band.width + 0.5
    if phase <= 0.0:
        return 1.0
    return 0.5 * (1.0 + cos(pi * phase)) if phase < 1.0 else 0.0


@kernel()
def interval(k, limits, band):
    """Pass between two limits; 0 and infinity are no limits."""
    low, high = limits
    value = 1.0
    if isfinite(high):
        value = below(k, high, band)
    if low > 0.0:
        value *= 1.0 - below(k, low, band)
    return value


@kernel()
def sharp(k_par, k_perp, size, limits):
    """Whether a mode is inside a sharp band, whose limits count as inside to a millionth of |k|.

    So a mean field that is tilted by rounding does not push a plane of modes over the edge.
    """
    slack = 1e-6 * size
    return (
        (k_par >= limits[0][0] - slack)
        & (k_par <= limits[0][1] + slack)
        & (k_perp >= limits[1][0] - slack)
        & (k_perp <= limits[1][1] + slack)
        & (size >= limits[2][0] - slack)
        & (size <= limits[2][1] + slack)
    )


@kernel()
def passed(k_par, k_perp, band):
    """Product of the intervals in k_par, k_perp and |k|."""
    limits = band.limits
    if band.edge == SHARP:
        size = sqrt(k_par * k_par + k_perp * k_perp)
        return 1.0 if sharp(k_par, k_perp, size, limits) else 0.0
    value = interval(k_par, limits[0], band)
    value *= interval(k_perp, limits[1], band)
    if limits[2][0] > 0.0 or isfinite(limits[2][1]):
        value *= interval(sqrt(k_par * k_par + k_perp * k_perp), limits[2], band)
    return value


@entry()
def band_values(k_par, k_perp, band, out):
    """The band at pairs of wavenumbers, into `out`."""
    for i in range(out.size):
        out[i] = passed(abs(k_par[i]), k_perp[i], band)


@kernel()
def mode(k0, k1, k2, along, band):
    """The band at a wavevector, against a direction given along the same axes."""
    parallel = (k0 * along[0] + k1 * along[1]) + k2 * along[2]
    square = (k0 * k0 + k1 * k1) + k2 * k2
    rest = square - parallel * parallel
    k_perp = sqrt(rest) if rest > 1e-12 * square else 0.0
    return passed(abs(parallel), k_perp, band)


@kernel()
def weigh_sharp_row(row, k2, parallel, square, along2, limits, complement):
    """The plain case of `weigh`: a sharp band on one row of modes, simple enough to be vectorized."""
    one, zero = row.real.dtype.type(1), row.real.dtype.type(0)
    keep, drop = (zero, one) if complement else (one, zero)
    for c in range(k2.size):
        k_par = abs(parallel + k2[c] * along2)
        total = square + k2[c] * k2[c]
        rest = total - k_par * k_par
        k_perp = sqrt(rest) if rest > 1e-12 * total else 0.0
        row[c] *= keep if sharp(k_par, k_perp, sqrt(total), limits) else drop


@kernel()
def weigh_soft_row(row, k2, k0, k1, along, band, complement):
    """Any band on one row of modes without Nyquist ones."""
    for c in range(k2.size):
        value = mode(k0, k1, k2[c], along, band)
        row[c] *= 1.0 - value if complement else value


@kernel()
def weigh_mode(value, k, nyquist, along, band, mean, complement):
    """A mode weighed by the band.

    A Nyquist wavenumber stands for both signs.  A soft band takes the mean over them, a sharp one
    passes the mode if it passes any; either way the weights are the same at k and -k, and what comes
    back is real.
    """
    total = 0.0
    count = 0
    for x in range(2 if nyquist[0] else 1):
        for y in range(2 if nyquist[1] else 1):
            for z in range(2 if nyquist[2] else 1):
                weight = mode(k[0] * (1 - 2 * x), k[1] * (1 - 2 * y), k[2] * (1 - 2 * z), along, band)
                total = max(total, weight) if band.edge == SHARP else total + weight
                count += 1
    weight = total if band.edge == SHARP else total / count
    if k[0] == 0.0 and k[1] == 0.0 and k[2] == 0.0:
        weight = mean
    return value * (1.0 - weight if complement else weight)


@entry()
def weigh(spectrum, modes, along, band, mean, complement):
    """Multiply modes by a band (or by 1 less it), in place; for Nyquist wavenumbers see `weigh_mode`."""
    k0, k1, k2, n0, n1, n2 = modes
    last = k2.size - 1 if n2[k2.size - 1] else k2.size
    for a in range(k0.size):
        for b in range(k1.size):
            first = 0
            plain = not (n0[a] or n1[b] or (k0[a] == 0.0 and k1[b] == 0.0))
            if plain and band.edge != SHARP:
                weigh_soft_row(spectrum[a, b, :last], k2[:last], k0[a], k1[b], along, band, complement)
                first = last
            elif plain:
                parallel = k0[a] * along[0] + k1[b] * along[1]
                square = k0[a] * k0[a] + k1[b] * k1[b]
                row = spectrum[a, b, :last]
                weigh_sharp_row(row, k2[:last], parallel, square, along[2], band.limits, complement)
                first = last
            for c in range(first, k2.size):
                k, nyquist = (k0[a], k1[b], k2[c]), (n0[a], n1[b], n2[c])
                spectrum[a, b, c] = weigh_mode(spectrum[a, b, c], k, nyquist, along, band, mean, complement)

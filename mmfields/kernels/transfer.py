"""Transfer functions of pass bands on modes, fused with the multiplication."""

from math import cos, erfc, isfinite, pi, sqrt

from numba import njit

# Edges by number, as the kernels take them.
SHARP, GAUSSIAN, BUTTERWORTH, COSINE = range(4)


@njit(nogil=True, cache=True, inline="always")
def below(k, limit, edge, width, order):
    """1 well below a limit, 0 well above it, 1/2 at it (a sharp edge includes its limit)."""
    if edge == SHARP:
        return 1.0 if k <= limit else 0.0
    if edge == GAUSSIAN:
        return 0.5 * erfc((k - limit) / (width * sqrt(2.0)))
    if edge == BUTTERWORTH:
        return 1.0 / (1.0 + (k / limit) ** (2.0 * order))
    phase = (k - limit) / width + 0.5
    return 0.5 * (1.0 + cos(pi * min(max(phase, 0.0), 1.0)))


@njit(nogil=True, cache=True, inline="always")
def interval(k, low, high, edge, width, order):
    """Pass between two limits; 0 and infinity are no limits."""
    value = 1.0
    if isfinite(high):
        value = below(k, high, edge, width, order)
    if low > 0.0:
        if edge == SHARP:
            value *= 1.0 if k >= low else 0.0
        else:
            value *= 1.0 - below(k, low, edge, width, order)
    return value


@njit(nogil=True, cache=True, inline="always")
def band(k_par, k_perp, limits, edge, width, order):
    """Product of the intervals in k_par, k_perp and |k|: rows of `limits`."""
    value = interval(k_par, limits[0, 0], limits[0, 1], edge, width, order)
    value *= interval(k_perp, limits[1, 0], limits[1, 1], edge, width, order)
    if limits[2, 0] > 0.0 or isfinite(limits[2, 1]):
        value *= interval(sqrt(k_par * k_par + k_perp * k_perp), limits[2, 0], limits[2, 1], edge, width, order)
    return value


@njit(nogil=True, cache=True)
def band_values(k_par, k_perp, limits, edge, width, order, out):
    """The band at pairs of wavenumbers, into `out`."""
    for i in range(out.size):
        out[i] = band(abs(k_par[i]), k_perp[i], limits, edge, width, order)


@njit(nogil=True, cache=True, inline="always")
def mode(k0, k1, k2, along, limits, edge, width, order):
    """The band at a wavevector, against a direction given along the same axes."""
    parallel = k0 * along[0] + k1 * along[1] + k2 * along[2]
    square = k0 * k0 + k1 * k1 + k2 * k2
    rest = square - parallel * parallel
    k_perp = sqrt(rest) if rest > 1e-12 * square else 0.0
    return band(abs(parallel), k_perp, limits, edge, width, order)


@njit(nogil=True, cache=True)
def weigh(spectrum, k0, k1, k2, n0, n1, n2, along, limits, edge, width, order, mean, complement):
    """Multiply modes by a band (or by 1 less it), in place.

    Where a wavenumber is a Nyquist one (`n0`, `n1`, `n2`), which stands for both signs, the mean of
    the two is taken, so that what comes back is real.
    """
    for a in range(k0.size):
        for b in range(k1.size):
            for c in range(k2.size):
                value = mode(k0[a], k1[b], k2[c], along, limits, edge, width, order)
                if n0[a] or n1[b] or n2[c]:
                    x = -k0[a] if n0[a] else k0[a]
                    y = -k1[b] if n1[b] else k1[b]
                    z = -k2[c] if n2[c] else k2[c]
                    value = 0.5 * (value + mode(x, y, z, along, limits, edge, width, order))
                if k0[a] == 0.0 and k1[b] == 0.0 and k2[c] == 0.0:
                    value = mean
                spectrum[a, b, c] *= 1.0 - value if complement else value

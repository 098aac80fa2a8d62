"""Random small-angle scattering, from numbers that are a function of particle and step alone."""

from math import sqrt

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

from mmfields.kernels.interpolate import CUBIC, LANES

# Where scattering acts, by number: nowhere, everywhere, where |B| is at least a threshold, where a mask is set.
NONE, UNIFORM, THRESHOLD, MASK = range(4)

PARITY = np.uint32(0x1BD11BDA)


@njit(nogil=True, cache=True, inline="always")
def turned(x, by):
    """Bits of a 32-bit word rotated to the left."""
    return np.uint32((x << np.uint32(by)) | (x >> np.uint32(32 - by)))


@njit(nogil=True, cache=True, inline="always")
def mixed(a, b, r0, r1, r2, r3):
    """Four rounds of Threefry."""
    a = np.uint32(a + b)
    b = turned(b, r0) ^ a
    a = np.uint32(a + b)
    b = turned(b, r1) ^ a
    a = np.uint32(a + b)
    b = turned(b, r2) ^ a
    a = np.uint32(a + b)
    b = turned(b, r3) ^ a
    return a, b


@njit(nogil=True, cache=True, inline="always")
def threefry(key0, key1, a, b):
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011): two random words of a key and a counter."""
    key2 = PARITY ^ key0 ^ key1
    a, b = np.uint32(a + key0), np.uint32(b + key1)
    a, b = mixed(a, b, 13, 15, 26, 6)
    a, b = np.uint32(a + key1), np.uint32(b + key2 + np.uint32(1))
    a, b = mixed(a, b, 17, 29, 16, 24)
    a, b = np.uint32(a + key2), np.uint32(b + key0 + np.uint32(2))
    a, b = mixed(a, b, 13, 15, 26, 6)
    a, b = np.uint32(a + key0), np.uint32(b + key1 + np.uint32(3))
    a, b = mixed(a, b, 17, 29, 16, 24)
    a, b = np.uint32(a + key1), np.uint32(b + key2 + np.uint32(4))
    a, b = mixed(a, b, 13, 15, 26, 6)
    return np.uint32(a + key2), np.uint32(b + key0 + np.uint32(5))


if config.DISABLE_JIT:

    def bits(x):
        """The 64 bits of a float as an integer."""
        return int(np.float64(x).view(np.int64))

    def from_bits(i):
        """The float that 64 bits stand for."""
        return float(np.int64(i).view(np.float64))

else:

    @intrinsic
    def bits(typingctx, x):
        """The 64 bits of a float as an integer."""
        return types.int64(types.float64), lambda _, builder, __, args: builder.bitcast(args[0], ir.IntType(64))

    @intrinsic
    def from_bits(typingctx, i):
        """The float that 64 bits stand for."""
        return types.float64(types.int64), lambda _, builder, __, args: builder.bitcast(args[0], ir.DoubleType())


@njit(nogil=True, cache=True, inline="always")
def logarithm(x):
    """Natural logarithm of a positive, normal number, to 1e-13; unlike the library's it is vectorized."""
    i = bits(x)
    exponent = np.float64((i >> 52) - 1023)
    m = from_bits((i & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000)
    exponent = exponent + 1.0 if m > 1.4142135623730951 else exponent
    m = 0.5 * m if m > 1.4142135623730951 else m
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    series = 1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q * (1 / 15 + q / 17))))))
    return 0.6931471805599453 * exponent + 2.0 * s * (1.0 + q * series)


@njit(nogil=True, cache=True, inline="always")
def sine_cosine(turns):
    """Sine and cosine of an angle in turns, to 1e-13; unlike the library's they are vectorized."""
    u = 4.0 * turns
    quarter = np.floor(u + 0.5)
    r = (u - quarter) * 1.5707963267948966
    q = r * r
    s = 1 / 362880 + q * (-1 / 39916800 + q * (1 / 6227020800))
    s = r * (1.0 + q * (-1 / 6 + q * (1 / 120 + q * (-1 / 5040 + q * s))))
    c = 1 / 40320 + q * (-1 / 3628800 + q * (1 / 479001600 - q * (1 / 87178291200)))
    c = 1.0 + q * (-1 / 2 + q * (1 / 24 + q * (-1 / 720 + q * c)))
    odd = quarter - 2.0 * np.floor(0.5 * quarter) > 0.5
    sine, cosine = c if odd else s, s if odd else c
    sine = -sine if quarter - 4.0 * np.floor(0.25 * quarter) > 1.5 else sine
    cosine = -cosine if quarter + 1.0 - 4.0 * np.floor(0.25 * (quarter + 1.0)) > 1.5 else cosine
    return sine, cosine


@njit(nogil=True, cache=True)
def draw(key0, key1, count0, count1, words):
    """Random words (4, LANES) of particles and their steps, whose highest bit is left out."""
    for lane in range(LANES):
        high = count1[lane] << np.uint32(1)
        words[0, lane], words[1, lane] = threefry(key0[lane], key1[lane], count0[lane], high)
        words[2, lane], words[3, lane] = threefry(key0[lane], key1[lane], count0[lane], high | np.uint32(1))


@njit(nogil=True, cache=True, error_model="numpy")
def deflect(vx, vy, vz, angle, words, room):
    """Turn directions by Gaussian polar angles about uniform azimuths (Eq. 13).

    Parameters
    ----------
    vx, vy, vz : (LANES,) float arrays
        Unit directions.
    angle : (LANES,) float array
        Standard deviation of the polar angle; the mean cosine is exp(-angle²/2).
    words : (4, LANES) uint32 array
        From `draw`.
    room : (4, LANES) float array
        To work in.
    """
    unit = 1.0 / 4294967296.0
    for lane in range(LANES):
        radius = sqrt(-2.0 * logarithm((np.float64(words[0, lane]) + 1.0) * unit))
        _, along = sine_cosine(np.float64(words[1, lane]) * unit)
        room[0, lane] = angle[lane] * radius * along * 0.15915494309189535
    for lane in range(LANES):
        room[2, lane], room[3, lane] = sine_cosine(np.float64(words[2, lane]) * unit)
    for lane in range(LANES):
        room[0, lane], room[1, lane] = sine_cosine(room[0, lane])
    for lane in range(LANES):
        sine, cosine = room[0, lane], room[1, lane]
        x, y, z = vx[lane], vy[lane], vz[lane]
        sign = 1.0 if z >= 0.0 else -1.0
        f = -1.0 / (sign + z)
        g = x * y * f
        p, q = sine * room[3, lane], sine * room[2, lane]
        nx = cosine * x + p * (1.0 + sign * x * x * f) + q * g
        ny = cosine * y + p * sign * g + q * (sign + y * y * f)
        nz = cosine * z - p * sign * x - q * y
        norm = 1.0 / sqrt(nx * nx + ny * ny + nz * nz)
        vx[lane], vy[lane], vz[lane] = nx * norm, ny * norm, nz * norm


@njit(nogil=True, cache=True, inline="always")
def nearest(cells, weights, kind, lane):
    """The cell of a position along an axis, from its interpolation."""
    near = 1 if kind == CUBIC else 0
    return cells[near + 1, lane] if weights[near + 1, lane] >= weights[near, lane] else cells[near, lane]


@njit(nogil=True, cache=True)
def angles(where, inside, outside, threshold, mask, kind, kx, ky, kz, wx, wy, wz, bx, by, bz, half, out):
    """Standard deviations of the polar angle in a step, sqrt(rate times step), by the phase a particle is in."""
    for lane in range(LANES):
        out[lane] = inside
    if where == THRESHOLD:
        for lane in range(LANES):
            square = bx[lane] * bx[lane] + by[lane] * by[lane] + bz[lane] * bz[lane]
            out[lane] = inside if square >= threshold * threshold else outside
    elif where == MASK:
        for lane in range(LANES):
            i, j, k = nearest(kx, wx, kind, lane), nearest(ky, wy, kind, lane), nearest(kz, wz, kind, lane)
            out[lane] = inside if mask[k, j, i] else outside
    for lane in range(LANES):
        out[lane] = sqrt(2.0 * half[lane] * out[lane])

"""Random small-angle scattering, from numbers that are a function of particle and step alone."""

from math import pi

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from mmfields.kernels._jit import kernel, part
from mmfields.kernels.setup import Interpolation, Patches

PARITY = np.uint32(0x1BD11BDA)

f32 = np.float32

# Bits of the root of 1/2, and of a sign.
ROOT_HALF, SIGN = np.int32(0x3F3504F3), np.int32(-2147483648)


@part()
def turned(x, by):
    """Bits of a 32-bit word rotated to the left."""
    return np.uint32((x << np.uint32(by)) | (x >> np.uint32(32 - by)))


@part()
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


@part()
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
        """The 32 bits of a float as an integer."""
        return np.float32(x).view(np.int32)

    def from_bits(i):
        """The float that 32 bits stand for."""
        return np.int32(i).view(np.float32)

else:

    @intrinsic
    def bits(typingctx, x):
        """The 32 bits of a float as an integer."""
        return types.int32(types.float32), lambda _, builder, __, args: builder.bitcast(args[0], ir.IntType(32))

    @intrinsic
    def from_bits(typingctx, i):
        """The float that 32 bits stand for."""
        return types.float32(types.int32), lambda _, builder, __, args: builder.bitcast(args[0], ir.FloatType())


@part()
def logarithm(x):
    """Natural logarithm of a positive, normal float32, to its rounding; unlike the library's it is vectorized."""
    i = np.int32(bits(x) - ROOT_HALF)  # so that m is between the roots of 1/2 and of 2
    exponent = f32(np.int32(i >> np.int32(23)))
    m = from_bits(np.int32(np.int32(i & np.int32(0x7FFFFF)) + ROOT_HALF))
    s = (m - f32(1.0)) / (m + f32(1.0))
    q = s * s
    series = f32(1 / 3) + q * (f32(1 / 5) + q * (f32(1 / 7) + q * f32(1 / 9)))
    return f32(0.6931472) * exponent + (s + s) * (f32(1.0) + q * series)


@part()
def sine_of_eighth(r):
    """Sine of a float32 angle up to pi/4 [rad]."""
    q = r * r
    return r + r * (q * (f32(-1 / 6) + q * (f32(1 / 120) + q * (f32(-1 / 5040) + q * f32(1 / 362880)))))


@part()
def cosine_of_eighth(r):
    """Cosine of a float32 angle up to pi/4 [rad]."""
    q = r * r
    return f32(1.0) + q * (f32(-1 / 2) + q * (f32(1 / 24) + q * (f32(-1 / 720) + q * f32(1 / 40320))))


@part()
def cosine_of_quarter(r):
    """Cosine of a float32 angle up to pi/2 [rad]."""
    q = r * r
    rest = f32(1 / 40320) + q * (f32(-1 / 3628800) + q * f32(1 / 479001600))
    return f32(1.0) + q * (f32(-1 / 2) + q * (f32(1 / 24) + q * (f32(-1 / 720) + q * rest)))


@part()
def sine_cosine(turns):
    """Sine and cosine of a float32 angle in turns, to its rounding; unlike the library's they are vectorized."""
    u = f32(4.0) * turns
    quarter = np.floor(u + f32(0.5))
    r = (u - quarter) * f32(1.5707964)
    s, c = sine_of_eighth(r), cosine_of_eighth(r)
    n = np.int32(quarter)
    even = np.int32(n & np.int32(1)) == 0
    sine, cosine = s if even else c, c if even else s
    sine = from_bits(np.int32(bits(sine) ^ np.int32(np.int32(n << np.int32(30)) & SIGN)))
    n = np.int32(n + np.int32(1))
    cosine = from_bits(np.int32(bits(cosine) ^ np.int32(np.int32(n << np.int32(30)) & SIGN)))
    return sine, cosine


@kernel()
def count_from(b):
    """Numbers of steps as the pairs of words that random numbers are drawn by."""
    for lane in range(b.lanes):
        b.count0[lane] = np.uint32(b.taken[lane] & 0xFFFFFFFF)
        b.count1[lane] = np.uint32(b.taken[lane] >> 32)


@kernel()
def draw(b):
    """Random words of particles and their steps, whose numbers go on to the next."""
    for lane in range(b.lanes):
        low, high = b.count0[lane], b.count1[lane]
        b.word0[lane], b.word1[lane] = threefry(b.key0[lane], b.key1[lane], low, high)
        low = np.uint32(low + np.uint32(1))
        b.count0[lane] = low
        b.count1[lane] = np.uint32(high + np.uint32(low == np.uint32(0)))


@kernel()
def deflect(b):
    """Turn directions by Gaussian polar angles about uniform azimuths (Eq. 13).

    `angle` is the standard deviation of the polar angle [turns]; the mean cosine is exp(-angle²/2) in radians.  The
    angle is R cos(psi), of a Rayleigh length R out of 23 bits (at most 5.8 standard deviations) and a phase out of 16,
    as is the azimuth: its variance is that of the Gaussian to 1e-7.  All that is random is float32; what it rotates is
    not.
    """
    room = b.room
    for lane in range(b.lanes):
        uniform = (f32(np.int32(b.word0[lane] >> np.uint32(9))) + f32(0.5)) * f32(1 / 8388608)
        r = (f32(np.int32(b.word1[lane] >> np.uint32(16))) + f32(0.5)) * f32(0.5 * pi / 65536)
        room[0, lane] = b.angle[lane] * np.sqrt(f32(-2.0) * logarithm(uniform)) * cosine_of_quarter(r)
    for lane in range(b.lanes):
        word = np.int32(b.word1[lane])
        r = (f32(word & np.int32(0x1FFF)) + f32(0.5)) * f32(0.25 * pi / 8192)
        s, c = sine_of_eighth(r), cosine_of_eighth(r)
        turn = (word & np.int32(0x2000)) == 0
        first, second = s if turn else c, c if turn else s
        # the signs of both are bits of their own
        room[2, lane] = from_bits(np.int32(bits(first) ^ np.int32(np.int32(word << np.int32(16)) & SIGN)))
        room[3, lane] = from_bits(np.int32(bits(second) ^ np.int32(np.int32(word << np.int32(17)) & SIGN)))
    for lane in range(b.lanes):
        room[0, lane], room[1, lane] = sine_cosine(room[0, lane])
    for lane in range(b.lanes):
        z = b.vz[lane]
        sign = 1.0 if z >= 0.0 else -1.0
        x, y, z = b.vx[lane], b.vy[lane], sign * z
        # one frame for both hemispheres: the half turn about x takes one to the other
        p, q = np.float64(room[0, lane] * room[3, lane]), np.float64(room[0, lane] * room[2, lane])
        cosine = np.float64(room[1, lane])
        along = (p * x + q * y) / (1.0 + z)
        nx = cosine * x + p - along * x
        ny = cosine * y + q - along * y
        nz = sign * (cosine * z - (p * x + q * y))
        rest = nx * nx + ny * ny + nz * nz - 1.0
        norm = 1.0 - rest * (0.5 - 0.375 * rest)
        b.vx[lane], b.vy[lane], b.vz[lane] = nx * norm, ny * norm, nz * norm


@part()
def nearest(cells, weights, kind, lane):
    """The cell of a position along an axis, from its interpolation."""
    if kind == Interpolation.FACES or kind == Interpolation.NEAREST:
        return cells[0, lane]
    near = 1 if kind == Interpolation.CUBIC else 0
    return cells[near + 1, lane] if weights[near + 1, lane] >= weights[near, lane] else cells[near, lane]


@kernel()
def set_rates(b, s, mask):
    """Scattering rate of each particle, by |B| or by whether its cell is marked; then its angle in a step [turns].

    The standard deviation of the polar angle is the root of the rate times the step.
    """
    least, low, high = s.threshold * s.threshold, f32(s.outside), f32(s.inside)
    kind = s.interpolation
    for lane in range(b.lanes):
        b.angle[lane] = high
    if s.patches == Patches.THRESHOLD:
        for lane in range(b.lanes):
            square = b.bx[lane] * b.bx[lane] + b.by[lane] * b.by[lane] + b.bz[lane] * b.bz[lane]
            b.angle[lane] = high if square >= least else low
    if mask is not None:
        for lane in range(b.lanes):
            i, j = nearest(b.kx, b.wx, kind, lane), nearest(b.ky, b.wy, kind, lane)
            b.angle[lane] = high if mask[nearest(b.kz, b.wz, kind, lane), j, i] else low
    for lane in range(b.lanes):
        b.angle[lane] = np.sqrt(f32(b.reach[lane]) * b.angle[lane]) * f32(2.0**0.5 * 0.5 / pi)


@part()
def scatter(b, s, mask, again):
    """Scatter a batch at the end of a step; `again` where the angles of the step before do not hold."""
    if again or s.patches > Patches.UNIFORM:
        set_rates(b, s, mask)
    draw(b)
    deflect(b)

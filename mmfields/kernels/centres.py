"""Guiding centres: their equations of motion, and what they have to do with particles.

Momenta are over that at the start, energies over it times c, and paths of light's where an electric field acts; with B
alone a particle is as one without mass, and paths are its own.  `rigidity` is then c over the charge.  The magnetic
moment is p⊥² / 2B* in the frame of the E × B drift, where the field is B* = B / κ, κ the Lorentz factor of the drift.

The equations of motion are those of the phase-space Lagrangian (Littlejohn 1983; Cary & Brizard 2009, Sec. VI)

    (A / rigidity + P) · dR - (ℰ + Φ / rigidity) dt,    P = p b + ℰ u,    ℰ² = κ² (m² + p²) + 2 κ μ B,

u = E × B / B² and p the momentum along b; ℰ and ℰ u are energy and momentum of a particle averaged over its gyration.
So E × B, grad-B and curvature drifts, those of inertia, which Northrop (1963) and Ripperda et al. (2018, Eqs. 3 to 6)
have as a sum to first order in the gyroradius, are there with what conserves the energy of B alone, or in an
electrostatic field, exactly.
"""

from math import sqrt

import numpy as np

from mmfields.kernels._jit import kernel
from mmfields.kernels.slopes import cross, curl, dot, plus, times

# Of a random draw for a gyrophase: not those of scattering.
OTHER = np.uint32(0x80000000)


@kernel()
def frame(place):
    """Strength and direction of B, velocity of the E × B drift over c, and the Lorentz factor of its frame.

    Without a field, or where E is not weaker than it, there is no such frame: NaN.
    """
    strength = sqrt(dot(place.b, place.b))
    inverse = 1.0 / strength if strength > 0.0 else np.nan
    n = times(inverse, place.b)
    u = times(inverse, cross(place.e, n))
    room = 1.0 - dot(u, u)
    return strength, n, u, 1.0 / sqrt(room) if room > 0.0 else np.nan


@kernel()
def mean_energy(strength, lorentz, along, moment, mass):
    """Energy, averaged over the gyration."""
    return sqrt(lorentz * (lorentz * (mass * mass + along * along) + 2.0 * moment * strength))


@kernel()
def drift_slope(place, g, u, inverse, i):
    """Derivative of the E × B drift along an axis."""
    square = inverse * inverse
    first = plus(cross(place.de[i], place.b), 1.0, cross(place.e, place.db[i]))
    return plus(times(square, first), -2.0 * g[i] * inverse, u)


@kernel()
def motion(place, along, moment, mass, rigidity):
    """Velocity of a guiding centre, force along the field, and mean energy."""
    strength, n, u, lorentz = frame(place)
    inverse = 1.0 / strength if strength > 0.0 else np.nan
    g = dot(place.db[0], n), dot(place.db[1], n), dot(place.db[2], n)
    curl_n = times(inverse, plus(curl(place.db), 1.0, cross(n, g)))
    du = (
        drift_slope(place, g, u, inverse, 0),
        drift_slope(place, g, u, inverse, 1),
        drift_slope(place, g, u, inverse, 2),
    )
    cube = lorentz * lorentz * lorentz
    dl = cube * dot(u, du[0]), cube * dot(u, du[1]), cube * dot(u, du[2])
    energy = mean_energy(strength, lorentz, along, moment, mass)
    over = 1.0 / energy if energy > 0.0 else np.nan
    de = plus(times(lorentz * moment, g), lorentz * (mass * mass + along * along) + moment * strength, dl)
    de = times(over, de)
    rate = lorentz * lorentz * along * over  # of energy with momentum along the field
    star = plus(times(along, curl_n), energy, curl(du))
    star_b = plus(place.b, rigidity, plus(star, 1.0, cross(de, u)))
    star_e = plus(place.e, -rigidity, de)
    a = plus(n, rate, u)
    volume = dot(a, star_b)
    scale = 1.0 / volume if volume > 0.0 else np.nan  # where it is not, the gyroradius is no longer small
    velocity = times(scale, plus(times(rate, star_b), 1.0, cross(star_e, a)))
    return velocity, scale * dot(star_e, star_b) / rigidity, energy


@kernel()
def momentum_of(energy, mass):
    """Momentum of an energy."""
    return sqrt(max(energy * energy - mass * mass, 0.0))


@kernel()
def steepness(place, p, rigidity):
    """Gyroradius over the length on which the field changes, |∇B| the root of the sum of its nine squares.

    Infinite where no guiding centre is.
    """
    square, most = dot(place.b, place.b), dot(place.e, place.e)
    change = dot(place.db[0], place.db[0]) + dot(place.db[1], place.db[1]) + dot(place.db[2], place.db[2])
    u = cross(place.e, place.b)
    if not (square > 0.0 and most < np.inf and dot(u, u) < square * square):
        return np.inf
    return abs(rigidity) * p * sqrt(change) / square


@kernel()
def towards(a, d):
    """Change of a vector along another, from its derivatives."""
    return plus(plus(times(a[0], d[0]), a[1], d[1]), a[2], d[2])


@kernel()
def gyration(place, n, along, across, rigidity):
    """Of a momentum across the field: that without the curvature drift, and how it shakes the momentum along the field.

    That is (ρ p + p ρ) : ∇b / 4, and ρ · (b · ∇) b, in which the gyration of p with the gyroradius ρ lets the momentum
    along the field swing about its mean, to first order (Northrop 1963; Cary & Brizard 2009, Eqs. 3.30 to 3.32).
    """
    inverse = 1.0 / sqrt(dot(place.b, place.b))
    bend = times(inverse, towards(n, place.db))
    p = plus(across, -rigidity * inverse * along * along, cross(n, bend))
    radius = times(rigidity * inverse, cross(n, p))
    twist = dot(towards(radius, place.db), p) + dot(towards(p, place.db), radius)
    return p, 0.25 * inverse * twist, dot(radius, bend)


@kernel()
def parts_of(place, p, mass, rigidity):
    """Momentum along the field and magnetic moment of the guiding centre of a particle, its energy averaged over the
    gyration, and the way to it.

    `place` are the fields at the guiding centre.
    """
    strength, n, u, lorentz = frame(place)
    energy = sqrt(mass * mass + dot(p, p))
    seen = plus(p, lorentz * (lorentz / (1.0 + lorentz) * dot(p, u) - energy), u)
    raw = dot(seen, n)
    gyrating, twist, bend = gyration(place, n, raw, plus(seen, -raw, n), rigidity)
    along = raw + twist - raw * bend
    square = max(dot(gyrating, gyrating) - 2.0 * raw * twist, 0.0)
    size = along * along + square
    scale = dot(seen, seen) / size if size > 0.0 else 0.0  # the energy is as it was
    along, moment = along * sqrt(scale), 0.5 * lorentz * scale * square / strength
    energy = mean_energy(strength, lorentz, along, moment, mass)
    # in a uniform field p - ℰ u gyrates
    drift = plus(plus(seen, -raw, n), -1.0, gyrating)
    way = times(rigidity / strength, cross(plus(plus(p, -energy, u), -1.0, drift), n))
    return along, moment, energy, way


@kernel()
def whole_of(place, along, moment, mass, rigidity, phase):
    """Momentum of a particle that makes up a guiding centre, and the way to it; `phase`: sine and cosine of its own."""
    strength, n, u, lorentz = frame(place)
    least = min(abs(n[0]), abs(n[1]), abs(n[2]))
    other = (
        1.0 if abs(n[0]) == least else 0.0,
        1.0 if abs(n[0]) > least and abs(n[1]) == least else 0.0,
        1.0 if abs(n[0]) > least and abs(n[1]) > least else 0.0,
    )
    first = cross(n, other)
    first = times(1.0 / sqrt(dot(first, first) * (phase[0] * phase[0] + phase[1] * phase[1])), first)
    unit = plus(times(phase[1], first), phase[0], cross(n, first))
    square = 2.0 * moment * strength / lorentz
    _, twist, _ = gyration(place, n, 0.0, unit, rigidity)
    size = sqrt(square / (1.0 - 2.0 * along * twist))
    gyrating = times(size, unit)
    _, _, bend = gyration(place, n, 0.0, gyrating, rigidity)
    raw = (along - size * size * twist) / (1.0 - bend)
    still, _, _ = gyration(place, n, raw, (0.0, 0.0, 0.0), rigidity)  # less the drift
    seen = plus(plus(gyrating, raw, n), -1.0, still)
    seen = times(sqrt((along * along + square) / max(dot(seen, seen), 1e-300)), seen)
    p = plus(seen, lorentz * (lorentz / (1.0 + lorentz) * dot(seen, u) + sqrt(mass * mass + dot(seen, seen))), u)
    energy = mean_energy(strength, lorentz, along, moment, mass)
    way = times(rigidity / strength, cross(plus(plus(p, -energy, u), 1.0, still), n))
    return p, way

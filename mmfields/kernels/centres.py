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
    scale = 1.0 / volume if volume > 0.0 else np.nan  # without orbits that are small there is no such motion
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
def parts_of(place, p, mass):
    """Momentum along the field and magnetic moment of a particle, and its energy averaged over the gyration."""
    strength, n, u, lorentz = frame(place)
    energy = sqrt(mass * mass + dot(p, p))
    seen = plus(p, lorentz * (lorentz / (1.0 + lorentz) * dot(p, u) - energy), u)
    along = dot(seen, n)
    across = plus(seen, -along, n)
    moment = 0.5 * lorentz * dot(across, across) / strength
    return along, moment, mean_energy(strength, lorentz, along, moment, mass)


@kernel()
def whole_of(place, along, moment, mass, sine, cosine):
    """Momentum of a particle at a gyrophase, which makes up a guiding centre."""
    strength, n, u, lorentz = frame(place)
    least = min(abs(n[0]), abs(n[1]), abs(n[2]))
    other = (
        1.0 if abs(n[0]) == least else 0.0,
        1.0 if abs(n[0]) > least and abs(n[1]) == least else 0.0,
        1.0 if abs(n[0]) > least and abs(n[1]) > least else 0.0,
    )
    first = cross(n, other)
    first = times(1.0 / sqrt(dot(first, first)), first)
    size = sqrt(2.0 * moment * strength / lorentz) / sqrt(sine * sine + cosine * cosine)
    across = plus(times(size * cosine, first), size * sine, cross(n, first))
    seen = plus(across, along, n)
    energy = sqrt(mass * mass + dot(seen, seen))
    return plus(seen, lorentz * (lorentz / (1.0 + lorentz) * dot(seen, u) + energy), u)


@kernel()
def off_centre(place, p, energy, rigidity):
    """From a particle to its guiding centre; `energy` is averaged over the gyration."""
    strength, n, u, _ = frame(place)
    return times(rigidity / strength, cross(plus(p, -energy, u), n))

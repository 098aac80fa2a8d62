"""Figure 3 with every orbit traced: κ∥ from GeV to 100 EeV in plane waves with micromirrors, gyration resolved.

A part is one realization of the waves at one energy and one filling fraction.  Parts are ordered so that every point
has its first realization early: an interrupted run already shows the whole figure, with larger errors.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import xarray as xr
from astropy import units as u

from mmfields import particles, scattering, theory, tracing, turbulence

# Energies [GeV] at each filling fraction.
POINTS = {
    1.0: (1.0, 1e1, 1e2, 10**2.5, 1e3, 10**3.5, 1e4, 10**4.5, 1e5, 1e6),
    0.1: (1.0, 1e1, 1e2, 10**2.5, 1e3, 10**3.5, 1e4, 10**4.5, 1e5, 1e6),
    0.01: (1.0, 1e1),
    0.0: (1e4, 10**4.5, 1e5, 1e6, 1e7, 1e8, 1e9, 10**9.5, 1e10, 1e11),
}
REALIZATIONS, COUNT = 5, 64
# Parts with denser waves, shorter steps, shorter waves and longer runs than the others, at points (fraction, energy).
FINER = ({"modes_per_octave": 100.0}, {"step": 0.1}, {"shortest": 0.125}, {"shortest": 0.5})
CHECKED = {(0.0, 1e7): FINER, (1.0, 1e3): (*FINER, {"free_paths": 24.0}), (0.0, 1e6): ({"free_paths": 330.0},)}
# Saved points in each free path, and the length of runs from which a global κ can be read [l_c].
SAVED, LONG = 8, 30.0
# Steps that a particle may take for a run of LONG.
AFFORDABLE = 1e7


def gyroradius(energy: float) -> float:
    """r_g / l_c in the medium, at an energy [GeV]."""
    return float((theory.gyroradius(energy * u.GeV) / theory.ICM.l_c).to_value(""))


def micromirrors(ratio: float) -> float:
    """κ_mm / (c l_c) of Eq. 5 at r_g / l_c."""
    return ratio**2 * float((theory.ICM.l_c / theory.ICM.l_mm).to_value("")) / theory.ICM.dB_over_B**2


def added_rates(ratio: float, fraction: float) -> float:
    """κ∥ / (c l_c) that is expected, to choose how long a run is: Eq. 5 and 2 (r_g/l_c)^(1/3) or 2 (r_g/l_c)²."""
    waves = max(2 * ratio ** (1 / 3), 2 * ratio**2)
    return 1 / (fraction / micromirrors(ratio) + 1 / waves)


def orbits(
    fraction: float,
    energy: float,
    realization: int,
    *,
    modes_per_octave: float = 31.0,
    step: float = 0.2,
    shortest: float = 0.25,
    free_paths: float = 12.0,
    count: int = COUNT,
) -> xr.Dataset:
    """Orbits through one realization of the waves with micromirrors, lazily.

    Parameters
    ----------
    fraction : float
        Filling fraction f_mm of the micromirrors, which scatter at the rate f_mm / κ_mm.
    energy : float
        [GeV].
    realization : int
        From 0 on; it seeds the waves, the particles and their scattering.
    modes_per_octave : float
    step, shortest : float
        Step and shortest wave in gyroradii.
    free_paths : float
        Length of the run in mean free paths 3 κ∥ of the added rates, if LONG does not make it longer.
    count : int
        Particles.

    Returns
    -------
    xarray.Dataset
        As from ``mm.trace``, with ``l_c``, ``fraction``, ``energy_GeV`` and what else the part is of in its attrs.
    """
    ratio = gyroradius(energy)
    waves = turbulence.plane_waves(
        modes_per_octave=modes_per_octave,
        k_min=2 * np.pi / 10,
        k_max=2 * np.pi / min(shortest * ratio, 0.1),
        seed=1000 + realization,
    )
    l_c = waves.correlation_length()
    path = 3 * added_rates(ratio, fraction)
    length = free_paths * path
    if LONG / (step * ratio) < AFFORDABLE:
        length = max(length, LONG)
    rays = particles.isotropic(count, gyroradius=ratio * l_c, seed=2000 + realization, field=waves)
    model = scattering.small_angle(kappa=micromirrors(ratio) / fraction * l_c) if fraction else None
    found = tracing.trace(
        waves,
        rays,
        step=step * ratio * l_c,
        distance=length * l_c,
        save=int(np.ceil(SAVED * length / path)),
        scattering=model,
    )
    return found.assign_attrs(
        l_c=l_c,
        ratio=ratio,
        fraction=fraction,
        energy_GeV=energy,
        realization=realization,
        modes_per_octave=modes_per_octave,
        step_gyroradii=step,
        shortest_gyroradii=shortest,
        free_paths=free_paths,
    )


def parts(reduced: bool = False) -> dict[str, Callable[[], xr.Dataset]]:
    """All parts by name, the first realization of every point before the second of any."""
    if reduced:
        points = [(1.0, 1e1), (0.0, 1e9)]
        return {_name(f, e, r): partial(orbits, f, e, r, count=16) for r in range(2) for f, e in points}
    work = {}
    for realization in range(REALIZATIONS):
        for fraction, energies in POINTS.items():
            for energy in energies:
                work[_name(fraction, energy, realization)] = partial(orbits, fraction, energy, realization)
        work |= _checks(realization)
    return work


def _checks(realization: int) -> dict[str, Callable[[], xr.Dataset]]:
    return {
        f"{_name(fraction, energy, realization)}_{key}{value:g}": partial(
            orbits, fraction, energy, realization, **{key: value}
        )
        for (fraction, energy), choices in CHECKED.items()
        for each in choices
        for key, value in each.items()
    }


def _name(fraction: float, energy: float, realization: int) -> str:
    return f"f{fraction:g}_{energy:.3g}GeV_{realization}"

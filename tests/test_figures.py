"""The numbers that the figures of the paper stand on, at a reduced size."""

import numpy as np
import pytest
from astropy import units as u

import mmfields as mm

CM2S = u.cm**2 / u.s
CONTRAST = 20.0


def harmonic(f):
    return float(mm.theory.kappa_effective(1 * CM2S, CONTRAST * CM2S, f).value)


@pytest.mark.parametrize("period", [0.1, 10.0])
def test_figure_5_in_one_dimension_is_eq_11(period):
    length, f = period * CONTRAST, 0.1
    path = 200 * max(length, CONTRAST)
    options = {"kappa": [1.0, CONTRAST], "lengths": [f * length, (1 - f) * length], "distance": path, "save": 3}
    tr = mm.scattering.one_dimensional(4000, **options, seed=1)
    found = mm.estimators.mean_squared_displacement(tr, pooled=True)
    assert abs(float(found.kappa) - harmonic(f)) < 4 * float(found.kappa_error) + 0.01 * harmonic(f)


def threshold_patches(f, outside, distance):
    """κ over κ_mm where |B| of a mirror field exceeds the level above which a fraction f lies."""
    field = mm.turbulence.micromirrors(
        (64, 64, 128), l_par=6.0, l_perp=4.0, rms=0.3, kind="bottles", sign="peaks", seed=3
    )
    level = float(np.quantile(np.sqrt(field.Bx**2 + field.By**2 + field.Bz**2), 1 - f))
    slow = mm.scattering.small_angle(nu=1 / outside)
    model = mm.scattering.patchy(mm.scattering.small_angle(nu=CONTRAST / outside), slow, threshold=level)
    p = mm.particles.isotropic(192, gyroradius=1e9, seed=5, field=field)
    step = min(0.1 * outside / CONTRAST, 0.5)
    tr = mm.trace(field, p, step=step, distance=distance, save=40, scattering=model)
    found, unit = mm.transport.diffusion(tr).compute(), 2 / 3 * outside / CONTRAST
    return float(found.kappa) / unit, float(found.kappa_error) / unit


def test_figure_5_blobs_lie_within_the_bounds_and_above_eq_11():
    kappa, error = threshold_patches(0.3, outside=1.0, distance=800.0)
    low, high = (float(b.value) for b in mm.theory.hashin_shtrikman(1 * CM2S, CONTRAST * CM2S, 0.3))
    assert low - 4 * error < kappa < high + 4 * error
    assert kappa > 2 * harmonic(0.3)


def test_figure_5_mixed_patches_follow_eq_11():
    kappa, error = threshold_patches(0.3, outside=300.0, distance=6000.0)
    assert abs(kappa - harmonic(0.3)) < 4 * error + 0.05 * harmonic(0.3)

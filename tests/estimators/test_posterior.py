"""Bayes' theorem against trajectories whose coefficients are drawn from the prior."""

import numpy as np
import pytest
from scipy.integrate import quad

import mmfields as mm

est = mm.estimators


def off(found, tr):
    return np.log10(found / tr.kappa.values)


@pytest.mark.parametrize(("steps", "dex"), [(10, 0.461), (30, 0.334), (100, 0.215), (300, 0.142)])
def test_errors_are_those_of_the_count_of_reversals(steps, dex):
    """The figures of a count alone, log-uniform prior from 1 to 100, in media of two phases."""
    tr = est.two_phase(2000, steps=steps, seed=30)
    found = est.bayes(tr, kappa=(1.0, 100.0))
    rms = np.sqrt((off(found.kappa.values, tr) ** 2).mean())
    assert rms == pytest.approx(dex, rel=0.08)


def test_the_stated_error_is_the_scatter_where_the_model_holds():
    tr = est.two_phase(4000, steps=60, contrast=(1.0, 1.0000001), seed=5)
    found = est.bayes(tr, kappa=(1.0, 100.0))
    pull = off(found.kappa.values, tr) / found.dex.values
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert pull.std() == pytest.approx(1, abs=0.06)
    likelihood = est.maximum_likelihood(tr)
    reversed_ = np.isfinite(likelihood.kappa.values) & (likelihood.kappa.values > 0)
    better = [
        np.mean(off(v[reversed_], tr.isel(particle=reversed_)) ** 2)
        for v in (found.kappa.values, likelihood.kappa.values)
    ]
    assert better[0] < better[1]


def test_one_trajectory_by_quadrature():
    tr = est.two_phase(3, steps=20, seed=2)
    found = est.bayes(tr, kappa=(0.5, 50.0))
    step, n = float(tr.path[1] - tr.path[0]), tr.sizes["path"] - 1
    flips = (np.diff(tr.vx.values, axis=1) != 0).sum(axis=1)

    def weight(x, k):
        share = -np.expm1(-step / 10**x) / 2
        return share**k * (1 - share) ** (n - k)

    for i, k in enumerate(flips):
        norm = quad(weight, np.log10(0.5), np.log10(50), args=(k,))[0]
        mean = quad(lambda x, k=k: x * weight(x, k), np.log10(0.5), np.log10(50))[0] / norm
        assert np.log10(found.kappa.values[i]) == pytest.approx(mean, abs=1e-4)


def test_in_three_dimensions_the_prior_fades_with_the_number_of_steps():
    ds = mm.io.from_arrays(**{f"B{d}": np.zeros((4, 4, 4)) for d in "xyz"}, spacing=dict.fromkeys("xyz", 100.0))
    p = mm.particles.isotropic(60, gyroradius=1.0, seed=3, field=ds, reference_field=1.0)
    tr = mm.trace(
        ds, p, step=0.25, distance=200.0, save=400, scattering=mm.scattering.small_angle(nu=0.02), cell_fraction=None
    )
    found, likelihood = est.bayes(tr, kappa=(0.1, 1e4)).compute(), est.maximum_likelihood(tr).compute()
    np.testing.assert_allclose(found.kappa, likelihood.kappa, rtol=0.01)
    np.testing.assert_allclose(found.kappa_error, likelihood.kappa_error, rtol=0.05)
    pull = (found.kappa - 2 / 3 / 0.02) / found.kappa_error  # two scatterings between points: not quite 1
    assert float(pull.std()) == pytest.approx(np.sqrt(0.75), abs=0.2)
    assert est.bayes(tr.chunk(particle=7), kappa=(0.1, 1e4)).kappa.chunks is not None


@pytest.mark.parametrize("kappa", [(0.0, 1.0), (2.0, 1.0), (1.0,)])
def test_a_prior_has_two_positive_limits(kappa):
    with pytest.raises(mm.ArgumentError, match="kappa"):
        est.bayes(est.two_phase(3, steps=10, seed=1), kappa=kappa)

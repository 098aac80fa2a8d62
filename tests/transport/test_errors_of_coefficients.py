"""Error bars against the scatter over fifty ensembles, and what runs of finite length fall short of."""

import numpy as np
import pytest
import xarray as xr

import mmfields as mm

NU, N, ENSEMBLES = 0.2, 40, 50


@pytest.fixture(scope="module")
def ensembles():
    zero = np.zeros((2, 2, 2))
    spacing = dict.fromkeys("xyz", 5.0)
    ds = mm.io.from_arrays(Bx=zero, By=zero, Bz=zero + 1.0, spacing=spacing, boundary={"z": "reflecting"})
    p = mm.particles.isotropic(N * ENSEMBLES, gyroradius=2.0, seed=1, field=ds, reference_field=1.0)
    model = mm.scattering.small_angle(nu=NU)
    tr = mm.trace(ds, p, step=0.25, distance=40.0, save=80, scattering=model, local_field=True).compute()
    return [tr.isel(particle=slice(N * i, N * i + N)) for i in range(ENSEMBLES)]


def ratio(results, name):
    values = np.array([r[name].values for r in results])
    errors = np.array([r[f"{name}_error"].values for r in results])
    return values.std(axis=0, ddof=1) / errors.mean(axis=0)


def test_pitch_angle_diffusion_over_overlapping_lags(ensembles):
    for lag in (1, 8):
        found = [mm.transport.pitch_angle_diffusion(tr, bins=4, lag=lag) for tr in ensembles]
        np.testing.assert_allclose(ratio(found, "D_mumu"), 1, atol=0.35)
        for name in ("scattering_rate", "mean_free_path"):
            assert ratio(found, name) == pytest.approx(1, abs=0.3)
        rates = np.array([float(r.scattering_rate) for r in found])
        assert rates.mean() == pytest.approx(NU / 2, abs=4 * rates.std() / ENSEMBLES**0.5 + 0.01 * NU)


def test_kappa_from_mu_and_the_tensor(ensembles):
    found = [mm.transport.parallel_from_mu(tr) for tr in ensembles]
    assert ratio(found, "kappa_par") == pytest.approx(1, abs=0.3)
    # cut at a third of the run, of 1.3 free paths, or sooner by chance; the reflections do not matter
    mean = np.mean([float(r.kappa_par) for r in found])
    assert mean == pytest.approx(10 / 3 * (1 - np.exp(-4 / 3)), rel=0.15)
    together = mm.transport.parallel_from_mu(xr.concat(ensembles, "particle", data_vars="minimal"))
    assert float(together.kappa_par) == pytest.approx(
        10 / 3 * (1 - np.exp(-float(together.cut) / 10)), abs=4 * float(together.kappa_par_error)
    )
    found = [mm.transport.tensor(tr).isel(path=40) for tr in ensembles]
    for name in ("kappa_A", "kappa_xy", "kappa_xx"):
        assert ratio(found, name) == pytest.approx(1, abs=0.3)


def test_likelihood(ensembles):
    found = [mm.estimators.maximum_likelihood(tr, gyration=True, pooled=True) for tr in ensembles]
    for name in ("nu", "kappa"):
        assert ratio(found, name) == pytest.approx(1, abs=0.3)


def free(seed, n=100, length=100.0):
    """Orbits that scatter and do not gyrate, of ten free paths."""
    zero = np.zeros((2, 2, 2))
    ds = mm.io.from_arrays(Bx=zero, By=zero, Bz=zero + 1e-9, spacing=dict.fromkeys("xyz", 5.0))
    p = mm.particles.isotropic(n, gyroradius=1.0, seed=seed, field=ds, reference_field=1.0)
    model = mm.scattering.small_angle(nu=NU)
    return mm.trace(ds, p, step=min(1.0, length / 50), distance=length, save=50, scattering=model).compute()


def test_the_bias_of_a_finite_run_is_stated():
    """A tenth is missing in a run of ten free paths; divided by 1 + bias it is not."""
    tr = free(1, n=6000)
    k = mm.transport.diffusion(tr)
    x = tr.path.values[25:] / 10
    exact = np.mean(-(1 - np.exp(-x)) / x)
    assert float(k.bias) == pytest.approx(exact, abs=0.01)
    assert float(k.kappa) == pytest.approx(10 / 3 * (1 + exact), abs=4 * float(k.kappa_error))
    assert float(k.kappa / (1 + k.bias)) == pytest.approx(10 / 3, abs=5 * float(k.kappa_error))
    assert "isotropic" in k.bias.attrs["long_name"]
    assert not bool(k.too_short)


@pytest.mark.parametrize(("share", "short"), [(0.001, True), (0.1, True), (0.5, True), (1.5, False)])
def test_a_run_shorter_than_a_free_path_is_told(share, short):
    tr = free(1, n=500, length=10.0 * share)
    with pytest.warns(mm.MmfieldsWarning, match="shorter than a mean free path" if short else "no plateau"):
        found = mm.transport.diffusion(tr)
    assert bool(found.too_short) == short

"""Particles that leave, stop counting; those that stay are said to be a biased sample."""

import warnings

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm

NU = 0.2


def box(boundary="open", strength=1e-6, cells=4, side=40.0):
    zero = np.zeros((cells, cells, cells))
    spacing = dict.fromkeys("xyz", side / cells)
    return mm.io.from_arrays(Bx=zero, By=zero, Bz=zero + strength, spacing=spacing, boundary=boundary)


def traced(ds, n=400, distance=120.0, save=120, **options):
    p = mm.particles.isotropic(n, gyroradius=1e9, seed=1, field=ds, reference_field=1.0)
    return mm.trace(ds, p, distance=distance, save=save, **{"step": 0.25, **options})


@pytest.fixture(scope="module")
def leaving():
    return traced(box(), scattering=mm.scattering.small_angle(nu=NU)).compute()


def test_a_straight_flight_leaves_where_it_should():
    """To the bit of rounding, from inside a step, through the nearest of three faces."""
    ds = box({"x": "open", "y": "open", "z": "reflecting"})
    tr = traced(ds, distance=100.0, save=7, step=3.7).compute()
    first = tr.isel(path=0)
    ways = [np.where(first[f"v{d}"] > 0, 40 - first[d], -first[d]) / first[f"v{d}"] for d in "xy"]
    want = np.minimum(*ways)
    np.testing.assert_allclose(tr.left, np.where(want <= 100.0, want, np.nan), rtol=1e-6)
    there = (tr.left.fillna(np.inf) > tr.path).transpose(*tr.alive.dims)
    np.testing.assert_array_equal(tr.alive, there)
    bounces = np.diff(tr.reflections, axis=1)
    assert (bounces >= 0).all() and bounces.max() >= 1


def test_leaving_goes_on_in_a_second_run():
    ds = box({"x": "open", "y": "reflecting", "z": "periodic"})
    options = {"step": 0.5, "scattering": mm.scattering.small_angle(nu=NU), "n": 100}
    whole = traced(ds, distance=60.0, save=[0.0, 13.0, 60.0], **options).compute()
    half = traced(ds, distance=13.0, save=[0.0, 13.0], **options)
    rest = mm.trace(
        ds,
        mm.particles.from_trajectories(half),
        distance=60.0,
        save=[13.0, 60.0],
        step=0.5,
        scattering=options["scattering"],
    ).compute()
    np.testing.assert_array_equal(rest.left, whole.left)
    np.testing.assert_array_equal(rest.reflections, whole.reflections.isel(path=slice(1, None)))
    back = mm.particles.from_trajectories(whole, at=1)
    np.testing.assert_array_equal(back.left.notnull(), ~whole.alive.isel(path=1))


def test_they_count_no_further(leaving):
    there = leaving.alive.isel(path=slice(1, None)).sum("particle")
    assert 0 < int(there[-1]) < 40 < int(there[20]) < 400
    for running in (mm.transport.running_diffusion, mm.transport.green_kubo, mm.transport.tensor):
        found = running(leaving)
        np.testing.assert_array_equal(found["count"], there)
        assert "biased sample" in found.attrs["survivors"]
    pairs = mm.transport.pitch_angle_diffusion(leaving).pairs
    assert int(pairs.sum()) == int(there.sum())
    likely = mm.estimators.maximum_likelihood(leaving)
    np.testing.assert_array_equal(likely["count"].fillna(0), there_of_each(leaving))
    rates = mm.estimators.filling_fraction(likely.nu, inside=NU, outside=0.0)
    assert abs(float(rates.filling_fraction) - 1) < 5 * float(rates.filling_fraction_error)
    with pytest.warns(mm.MmfieldsWarning, match=r"biased sample.*9\d"):
        each = mm.estimators.mean_squared_displacement(leaving)
    np.testing.assert_array_equal(each.kappa.notnull(), leaving.alive.isel(path=-1))


def there_of_each(tr):
    count = tr.alive.isel(path=slice(1, None)).sum("path")
    return count.where(count > 2, 0)


def test_survivors_are_told_of(leaving, no_compute):
    with pytest.warns(mm.MmfieldsWarning, match="biased sample"):
        plateau = mm.transport.diffusion(leaving)
    assert float(plateau.left_fraction) == pytest.approx(1 - float(leaving.alive.isel(path=-1).mean()))
    with pytest.warns(mm.MmfieldsWarning, match="biased sample"):
        again = mm.transport.bootstrap(leaving, seed=1)
    assert float(again.left_fraction) == float(plateau.left_fraction)
    with warnings.catch_warnings():
        warnings.simplefilter("error", mm.MmfieldsWarning)
        lazy = mm.transport.diffusion(leaving.chunk(particle=50))
    with dask.config.set(scheduler="threads"):
        xr.testing.assert_allclose(lazy.compute(), plateau)


def test_escape_times_of_free_flight():
    """Between two faces: the share that is left after a path s is the mean of what |v_z| s leaves of the slab."""
    ds = box({"x": "periodic", "y": "periodic", "z": "open"})
    tr = traced(ds, n=2000, distance=200.0, save=20).compute()
    found = mm.transport.escape(tr)
    s = tr.path.values / 40
    # uniform z and mu: 1 - s/2 up to the crossing of the slab, then 1/(2 s)
    want = np.where(s < 1, 1 - s / 2, 0.5 / np.maximum(s, 1e-9))
    assert (abs(found.survival - want) < 4.5 * found.survival_error + 1e-12).all()
    assert float(found.left_fraction) == pytest.approx(0.9, abs=0.03)
    assert np.isnan(found["mean"]) and np.isnan(found.mean_error)  # a tenth has not left
    assert abs(float(found["median"]) - 40.0) < 4 * float(found.median_error)
    assert found.attrs["path_kind"] == "particle"
    cut = mm.transport.escape(tr.isel(path=slice(0, 3)))
    assert float(cut.left_fraction) == pytest.approx(1 - float(found.survival[2]))
    assert np.isnan(cut["median"])
    with pytest.raises(mm.SnapshotError, match="open face"):
        mm.transport.escape(tr.drop_vars("left"))


def test_errors_of_escape_are_those_of_the_scatter(no_compute):
    means = []
    ds = box(side=10.0)
    p = mm.particles.isotropic(50 * 80, gyroradius=1.0, seed=3, field=ds, reference_field=1.0)
    with dask.config.set(scheduler="threads"):
        tr = mm.trace(ds, p, step=1.0, distance=1000.0, save=5).compute()
    for seed in range(50):
        found = mm.transport.escape(tr.isel(particle=slice(80 * seed, 80 * seed + 80)))
        means.append([float(found[n]) for n in ("mean", "mean_error", "median", "median_error")])
    mean, mean_error, median, median_error = np.array(means).T
    assert mean.std() / mean_error.mean() == pytest.approx(1, abs=0.3)
    assert median.std() / median_error.mean() == pytest.approx(1, abs=0.35)
    lazy = mm.transport.escape(tr.chunk(particle=500))
    with dask.config.set(scheduler="threads"):
        xr.testing.assert_allclose(lazy.compute(), mm.transport.escape(tr))


def test_places_without_field_neither_count_nor_sum():
    """Half of the box has no field: mu, its pairs, deflections, and the way along it are those of the other half."""
    ds = box("periodic", 1.0)
    ds = ds.assign(Bz=ds.Bz.where(ds.z > 20, 0.0))
    p = mm.particles.isotropic(200, gyroradius=100.0, seed=1, field=ds, reference_field=1.0)
    model = mm.scattering.small_angle(nu=NU)
    options = {"step": 0.25, "distance": 20.0, "save": 80, "local_field": True, "interpolation": "nearest"}
    tr = mm.trace(ds, p, scattering=model, **options).compute()
    nowhere = tr.B == 0
    assert 0.2 < float(nowhere.mean()) < 0.8
    np.testing.assert_array_equal(tr.mu.isnull(), nowhere)
    both = ~nowhere.isel(path=slice(1, None)).values & ~nowhere.isel(path=slice(None, -1)).values
    pairs = mm.transport.pitch_angle_diffusion(tr, bins=5)
    assert int(pairs.pairs.sum()) == both.sum()
    likely = mm.estimators.maximum_likelihood(tr, gyration=True, pooled=True)
    assert both.sum() <= int(likely["count"]) < both.size
    assert abs(float(likely.nu) - NU) < 4 * float(likely.nu_error) + 0.02 * NU
    mu = mm.transport.parallel_from_mu(tr)
    assert np.isfinite(mu.kappa_par) and np.isfinite(mu.autocorrelation).all()
    local = mm.transport.running_diffusion(tr, frame="local")
    gone = nowhere.isel(path=0) | nowhere.isel(path=1)
    alone = mm.transport.running_diffusion(tr.isel(particle=~gone.values), frame="local")
    np.testing.assert_allclose(local.kappa_par[0], alone.kappa_par[0], rtol=0.4)


def test_what_says_who_left_is_not_to_be_dropped(leaving):
    with pytest.raises(mm.SnapshotError, match="lack 'alive'"):
        mm.transport.running_diffusion(leaving.drop_vars("alive"))
    reflecting = traced(box("reflecting"), n=10, distance=10.0, save=10).compute()
    with pytest.raises(mm.SnapshotError, match="lack 'reflections'"):
        mm.estimators.maximum_likelihood(reflecting.drop_vars("reflections"))
    slow = leaving.assign_attrs(path_kind="light").drop_vars("speed")
    with pytest.raises(mm.SnapshotError, match="'speed' and 'own_path'"):
        mm.transport.running_diffusion(slow)

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm


def walk(n=4000, saves=60, kappa=(1.0, 2.0, 4.0), mean=(0.0, 3.0, 4.0), seed=0):
    """Trajectories that diffuse exactly: Gaussian steps with kappa_ii along each axis."""
    rng = np.random.default_rng(seed)
    path = np.linspace(0.0, 30.0, saves + 1)
    steps = rng.normal(size=(3, n, saves)) * np.sqrt(2 * np.array(kappa)[:, None, None] * path[1])
    position = np.concatenate([np.zeros((3, n, 1)), steps.cumsum(-1)], -1) + rng.uniform(size=(3, n, 1))
    variables = {d: (("particle", "path"), position[i]) for i, d in enumerate("xyz")}
    scalars = {f"mean_B{d}": ((), m) for d, m in zip("xyz", mean, strict=True)} | {
        "reference_field": ((), 5.0),
        "B_rms": ((), 5.0),
    }
    return xr.Dataset({**variables, **scalars}, {"path": path})


def test_known_coefficients_come_back_within_their_errors():
    k = mm.transport.diffusion(walk())
    b = np.array([0, 0.6, 0.8])
    par = float(b**2 @ np.array([1.0, 2.0, 4.0]))
    want = {
        "kappa": 7 / 3,
        "kappa_xx": 1.0,
        "kappa_yy": 2.0,
        "kappa_zz": 4.0,
        "kappa_par": par,
        "kappa_perp": (7 - par) / 2,
    }
    for name, value in want.items():
        assert abs(float(k[name]) - value) < 4 * float(k[f"{name}_error"]), name
        assert 0.005 < float(k[f"{name}_error"]) / value < 0.03
    assert float(k.exponent) == pytest.approx(1, abs=0.05)
    assert k.attrs["window_from"] == 0.5


def test_errors_are_honest():
    """The scatter over independent ensembles is what the error says."""
    results = [mm.transport.diffusion(walk(n=200, seed=s)) for s in range(60)]
    values = np.array([float(k.kappa_xx) for k in results])
    errors = np.array([float(k.kappa_xx_error) for k in results])
    assert values.std() / errors.mean() == pytest.approx(1, abs=0.3)


def test_running_values_and_exact_laws(no_compute):
    tr = walk(n=50)
    lazy = mm.transport.running_diffusion(tr.chunk(particle=7))
    with dask.config.set(scheduler="threads"):
        run = mm.transport.running_diffusion(tr)
        xr.testing.assert_allclose(lazy.compute(), run, rtol=1e-12)
    step = (tr.x - tr.x.isel(path=0)).values[:, 5]
    assert float(run.kappa_xx[4]) == pytest.approx((step**2).mean() / (2 * tr.path.values[5]))
    np.testing.assert_allclose(run.kappa, (run.kappa_xx + run.kappa_yy + run.kappa_zz) / 3, rtol=1e-13)
    np.testing.assert_allclose(3 * run.kappa, run.kappa_par + 2 * run.kappa_perp, rtol=1e-13)
    assert run.sizes["path"] == 60
    assert "2 s" in run.attrs["prefactor"]


def test_free_flight_has_exponent_two():
    tr = walk(n=20)
    for d in "xyz":
        tr[d] = tr.path * xr.DataArray(np.linspace(-1, 1, 20), dims="particle")
    assert float(mm.transport.diffusion(tr).exponent) == pytest.approx(2, abs=1e-9)


def test_without_mean_field_there_is_no_parallel():
    k = mm.transport.diffusion(walk(mean=(0.001, 0.0, 0.0)))
    assert np.isnan(k.kappa_par)
    assert np.isnan(k.kappa_perp)
    assert float(k.kappa) == pytest.approx(7 / 3, rel=0.1)


def test_particles_that_left_do_not_count():
    tr = walk(n=100)
    alive = np.ones((100, 61), bool)
    alive[:50, 30:] = False
    frozen = tr.assign(alive=(("particle", "path"), alive))
    want = mm.transport.running_diffusion(tr.isel(particle=slice(50, None)))
    got = mm.transport.running_diffusion(frozen)
    np.testing.assert_allclose(got.kappa_yy[40:], want.kappa_yy[40:])


def test_gyration_about_a_uniform_field_does_not_diffuse():
    shape = (4, 4, 4)
    ds = mm.io.from_arrays(Bx=np.zeros(shape), By=np.zeros(shape), Bz=np.ones(shape), spacing=dict.fromkeys("xyz", 1.0))
    p = mm.particles.isotropic(500, gyroradius=1.0, seed=1, field=ds)
    k = mm.transport.diffusion(mm.trace(ds, p, step=0.2, distance=2000.0, save=500)).compute()
    # <dz^2> = <mu^2> s^2, and the average of the window runs over s
    assert float(k.kappa_par) == pytest.approx(1 / 6 * 1500, rel=0.1)
    assert float(k.kappa_perp) < 2e-3
    assert float(k.exponent) == pytest.approx(2, abs=1e-3)


def test_bad_calls():
    tr = walk(n=10)
    with pytest.raises(mm.SnapshotError, match="at least two"):
        mm.transport.diffusion(tr.isel(path=slice(0, 1)))
    with pytest.raises(mm.ArgumentError, match="window"):
        mm.transport.diffusion(tr, window=1.5)
    with pytest.raises(mm.SnapshotError, match="save more"):
        mm.transport.diffusion(tr.isel(path=[0, 60]))


def test_a_direction_may_be_given():
    story = {"history": ""}  # in which the direction stands as it was given
    xr.testing.assert_identical(
        mm.transport.diffusion(walk(n=20), direction=np.array([0, 0, 1.0])).assign_attrs(story),
        mm.transport.diffusion(walk(n=20), direction="z").assign_attrs(story),
    )
    k = mm.transport.diffusion(walk(mean=(0.0, 0.0, 0.0)), direction="z")
    assert float(k.kappa_par) == pytest.approx(float(k.kappa_zz))
    assert float(k.kappa_perp) == pytest.approx(float(k.kappa_xx + k.kappa_yy) / 2)
    assert float(k.exponent_par) == pytest.approx(1, abs=0.1)


def test_when_all_have_left_there_is_no_coefficient():
    tr = walk(n=40)
    alive = np.ones((40, 61), bool)
    alive[:, 45:] = False
    alive[1:, 40:] = False
    run = mm.transport.running_diffusion(tr.assign(alive=(("particle", "path"), alive)))
    assert np.isfinite(run.kappa[:39]).all()
    assert np.isnan(run.kappa[40:]).all()
    np.testing.assert_array_equal(run["count"][[0, 38, 39, 44, 59]], [40, 40, 1, 0, 0])
    end = mm.transport.diffusion(tr.assign(alive=(("particle", "path"), alive)))
    assert float(end.exponent) == pytest.approx(1, abs=0.4)


@pytest.fixture(scope="module")
def scattered():
    """Small-angle scattering along a uniform field: everything is known in closed form."""
    shape = (4, 4, 4)
    ds = mm.io.from_arrays(Bx=np.zeros(shape), By=np.zeros(shape), Bz=np.ones(shape), spacing=dict.fromkeys("xyz", 1.0))
    model = mm.scattering.small_angle(nu=0.4)
    p = mm.particles.isotropic(3000, gyroradius=[1.0, 4.0], seed=2, field=ds, reference_field=1.0)
    return mm.trace(ds, p, step=0.1, distance=100.0, save=500, scattering=model).compute()


def test_green_kubo_is_the_derivative_of_the_displacements(scattered):
    """kappa(s) of the velocities goes to the plateau kappa_inf (1 - exp(-nu_1 s)), along and across."""
    nu1 = 0.2
    green = mm.transport.green_kubo(scattered)
    want = (1 / 3 / nu1) * (1 - np.exp(-nu1 * green.path))
    for g in range(2):
        row = green.isel(gyroradius=g)
        assert (abs(row.kappa_par - want) < 4.5 * row.kappa_par_error + 0.01).all()
    at = green.isel(path=250)
    for g, radius in enumerate((1.0, 4.0)):
        exact = nu1 / 3 / (nu1**2 + radius**-2)
        row = at.isel(gyroradius=g)
        assert float(row.kappa_perp) == pytest.approx(exact, abs=4 * float(row.kappa_perp_error) + 0.02 * exact)


def test_pitch_angle_diffusion_of_isotropic_scattering(scattered):
    """D = (nu_1/2)(1 - mu²), and a mean free path of 1/nu_1."""
    nu1 = 0.2
    d = mm.transport.pitch_angle_diffusion(scattered, bins=8)
    lag = d.attrs["lag"]
    for g in range(2):
        row = d.isel(gyroradius=g)
        square = row.mu**2 + 0.25**2 / 12  # of mu, averaged over a bin
        second = (0.25 + 0.75 * np.exp(-2 * 0.4 * 0.1)) ** round(lag / 0.1)  # <P_2> of so many Gaussian angles
        change = 1 / 3 + (square - 1 / 3) * second + square - 2 * square * np.exp(-nu1 * lag)
        assert (abs(row.D_mumu - change / (2 * lag)) < 5 * row.D_mumu_error).all()
        assert float(row.mean_free_path) == pytest.approx(1 / nu1, rel=0.08)
    assert int(d.pairs.isel(gyroradius=0).sum()) == 3000 * 500
    with pytest.raises(mm.SnapshotError, match="not evenly spaced"):
        mm.transport.pitch_angle_diffusion(scattered.isel(path=[0, 1, 5, 6]))
    with pytest.raises(mm.ArgumentError, match="lag=0"):
        mm.transport.pitch_angle_diffusion(scattered, lag=0)


def test_displacements_become_gaussian(scattered):
    kurtosis = mm.transport.displacements(scattered)
    assert float(kurtosis.kurtosis_par.isel(path=0).max()) == pytest.approx(9 / 5, abs=0.1)  # free flight
    assert float(kurtosis.kurtosis_zz.isel(path=-1).mean()) == pytest.approx(3, abs=0.3)


def test_bootstrap_errors_are_those_of_the_scatter(scattered):
    plain = mm.transport.diffusion(scattered)
    again = mm.transport.bootstrap(scattered, seed=1, samples=400)
    for name in ("kappa", "kappa_par", "kappa_xx"):
        np.testing.assert_allclose(again[name], plain[name], rtol=1e-12)
        np.testing.assert_allclose(again[f"{name}_error"], plain[f"{name}_error"], rtol=0.15)
    np.testing.assert_array_equal(again.kappa_error, mm.transport.bootstrap(scattered, seed=1, samples=400).kappa_error)
    several = xr.concat(
        [scattered.isel(particle=slice(i, None, 10)) for i in range(10)], "realization", data_vars="all"
    )
    over = mm.transport.bootstrap(several, seed=1, over="realization")
    np.testing.assert_allclose(over.kappa_par, plain.kappa_par, rtol=1e-12)
    assert (over.kappa_par_error / plain.kappa_par_error > 0.3).all()
    assert (over.kappa_par_error / plain.kappa_par_error < 2.5).all()
    with pytest.raises(mm.SnapshotError, match="over='time'"):
        mm.transport.bootstrap(scattered, seed=1, over="time")


def test_a_run_shorter_than_its_free_path_says_so(scattered):
    assert not mm.transport.diffusion(scattered).too_short.any()
    short = mm.transport.diffusion(scattered.isel(path=slice(5)))
    assert "mean free path" in short.too_short.attrs["long_name"]


def test_all_of_it_is_lazy_and_streams_over_particles(scattered, no_compute):
    import dask

    lazy = scattered.chunk(particle=500)
    calls = (
        mm.transport.running_diffusion,
        mm.transport.diffusion,
        mm.transport.green_kubo,
        mm.transport.pitch_angle_diffusion,
        mm.transport.displacements,
        lambda t: mm.transport.bootstrap(t, seed=3, samples=20),
    )
    for call in calls:
        result = call(lazy)
        with dask.config.set(scheduler="threads"):
            xr.testing.assert_allclose(result.compute(), call(scattered), rtol=1e-9)


def test_the_local_frame_follows_a_bent_field(no_compute):
    """In a field that turns with z, orbits of small gyroradius: their way along it is mu s, and none across."""
    n, turns = 64, 2 * np.pi / 64
    z = (np.arange(n) + 0.5).reshape(-1, 1, 1) * np.ones((1, 2, 2))
    ds = mm.io.from_arrays(
        Bx=np.sin(turns * z), By=np.cos(turns * z), Bz=0 * z + 0.3, spacing={"z": 1.0, "y": 1.0, "x": 1.0},
        dims=("z", "y", "x")
    )  # fmt: skip
    p = mm.particles.isotropic(200, gyroradius=0.05, seed=1, field=ds)
    options = {"step": 0.02, "distance": 40.0, "save": 800}
    lazy = mm.trace(ds, p, **options, local_field=True, interpolation="cubic")
    running = mm.transport.running_diffusion(lazy, frame="local")
    with dask.config.set(scheduler="threads"):
        tr = lazy.compute()
        running = running.compute()
    np.testing.assert_allclose(tr.bx**2 + tr.by**2 + tr.bz**2, 1, atol=1e-12)
    way = (tr.mu.isel(path=slice(1, None)).values + tr.mu.isel(path=slice(None, -1)).values) / 2 * 0.05
    want = (way.cumsum(1) ** 2).mean(0) / 2 / tr.path.values[1:]
    np.testing.assert_allclose(running.kappa_par[20:], want[20:], rtol=0.02)
    assert float(running.kappa_perp[-1]) < 2e-3 * float(running.kappa_par[-1])
    mean = mm.transport.running_diffusion(tr)
    assert float(mean.kappa_par[-1]) < 0.2 * float(running.kappa_par[-1])  # the mean field is the weak z component
    with pytest.raises(mm.SnapshotError, match="local_field=True"):
        mm.transport.diffusion(tr.drop_vars("bx"), frame="local")
    with pytest.raises(mm.ArgumentError, match="without a direction"):
        mm.transport.running_diffusion(tr, frame="local", direction="x")


def test_the_window_of_the_plateau_is_recorded():
    k = mm.transport.diffusion(walk(n=50), window=0.6)
    assert (float(k.window_start), float(k.window_end)) == (18.0, 30.0)
    assert "last part" in k.attrs["window_rule"]

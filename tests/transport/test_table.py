"""Every estimator against exact values of uniform fields, over speed, electric field, walls, and charge."""

import numpy as np
import pytest
import xarray as xr

import mmfields as mm

NU, RADIUS = 0.2, 2.0
NU1 = NU / 2
PAR = 1 / (3 * NU1)
PERP, ANTI = (x / 3 / (NU1**2 + RADIUS**-2) for x in (NU1, 1 / RADIUS))
SPEEDS = (0.01, 0.3, 1.0, 10.0, np.inf)


def box(strength=1.0, drift=0.0, boundary="periodic", side=10.0):
    """A uniform field along z, and an electric field along y that makes particles drift along x."""
    zero = np.zeros((2, 2, 2))
    fields = {"Bx": zero, "By": zero, "Bz": zero + strength, "Ex": zero, "Ey": zero + drift * strength, "Ez": zero}
    spacing = dict.fromkeys("xyz", side / 2)
    return mm.io.from_arrays(**fields, spacing=spacing, dims=("z", "y", "x"), boundary=boundary)


def beta(beta_gamma):
    return float(1 / np.hypot(1, 1 / beta_gamma))


def run(ds, beta_gamma=np.inf, length=10.0, save=80, n=150, sign=1, seed=1, **options):
    """Orbits over so much of their own path, in steps of 1/8."""
    slow = beta(beta_gamma) if options.get("pusher") else 1.0
    p = mm.particles.isotropic(
        n, gyroradius=RADIUS, seed=seed, field=ds, reference_field=1.0, beta_gamma=beta_gamma, charge_sign=sign
    )
    options = {"scattering": mm.scattering.small_angle(nu=NU), "local_field": True, "step": 0.125 / slow, **options}
    return mm.trace(ds, p, distance=length / slow, save=save, **options).compute()


def within(value, error, true, bias=0.0):
    off = abs(float(value) - true)
    assert off < 4 * float(error) + bias * abs(true), f"{float(value):.4g} ± {float(error):.2g}, not {true:.4g}"


@pytest.mark.parametrize("beta_gamma", SPEEDS)
@pytest.mark.parametrize(("strength", "drift"), [(1e-6, 0.0), (1.0, 0.0), (1.0, 0.03)], ids=["free", "gyrating", "ExB"])
def test_slow_and_fast_particles(beta_gamma, strength, drift):
    """In units of their own speed and path they all have the same rates and coefficients."""
    ds = box(strength, drift * beta(beta_gamma))
    tr = run(ds, beta_gamma, length=160.0, save=320, pusher="vay", light_speed=1.0)
    assert tr.attrs["path_kind"] == "light"
    assert float(tr.own_path.isel(path=-1).mean()) == pytest.approx(160.0, rel=0.02)
    options = {"direction": "z", "drift": "removed"}
    plateau = mm.transport.diffusion(tr, **options)
    within(plateau.kappa_par / (1 + plateau.bias), plateau.kappa_par_error, PAR)
    late = mm.transport.green_kubo(tr, **options).isel(path=slice(100, 200)).mean("path")
    within(late.kappa_par, late.kappa_par_error, PAR)
    mu = mm.transport.parallel_from_mu(tr)
    within(mu.kappa_par, mu.kappa_par_error, PAR, bias=0.02)
    pitch = mm.transport.pitch_angle_diffusion(tr, bins=10)
    within(pitch.scattering_rate, pitch.scattering_rate_error, NU1, bias=0.02)
    within(pitch.mean_free_path, pitch.mean_free_path_error, 1 / NU1, bias=0.02)
    likely = mm.estimators.maximum_likelihood(tr.isel(path=slice(0, 80)), gyration=strength == 1.0, pooled=True)
    within(likely.nu, likely.nu_error, NU, bias=0.03)
    within(likely.kappa, likely.kappa_error, PAR, bias=0.03)
    if strength == 1.0:
        within(plateau.kappa_perp, plateau.kappa_perp_error, PERP, bias=0.05)
        within(late.kappa_perp, late.kappa_perp_error, PERP, bias=0.05)
        anti = mm.transport.tensor(tr, **options).isel(path=slice(100, 200)).mean("path")
        within(anti.kappa_A, anti.kappa_A_error, ANTI, bias=0.02)
    else:
        each = mm.estimators.mean_squared_displacement(tr, pooled=True)
        within(each.kappa / (1 - 1 / (160 * NU1)), each.kappa_error, PAR)


@pytest.mark.parametrize("boundary", ["periodic", "open", "reflecting", {"z": "reflecting", "x": "open"}], ids=str)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("pusher", [None, "boris"])
def test_walls_and_charges(boundary, sign, pusher):
    """Leaving is no flight, and reflection no scattering."""
    options = {"pusher": pusher, "light_speed": 1.0} if pusher else {}
    tr = run(box(boundary=boundary), 0.3, length=20.0, save=160, n=400, sign=sign, **options)
    stated = {d: boundary if isinstance(boundary, str) else boundary.get(d, "periodic") for d in "xyz"}
    assert {d: tr.attrs[f"boundary_{d}"] for d in "xyz"} == stated
    if "open" in stated.values():
        assert float(tr.alive.isel(path=-1).mean()) < 0.6
    if "reflecting" in stated.values():
        assert int(tr.reflections.isel(path=-1).sum()) > 200
    likely = mm.estimators.maximum_likelihood(tr, gyration=True, pooled=True)
    within(likely.nu, likely.nu_error, NU, bias=0.01)
    each = mm.estimators.maximum_likelihood(tr, gyration=True)
    assert float(each["count"].max()) <= 160
    assert float((each.nu * each["count"]).sum() / each["count"].sum()) == pytest.approx(float(likely.nu), rel=1e-3)
    pitch = mm.transport.pitch_angle_diffusion(tr, bins=8, lag=4)
    within(pitch.scattering_rate, pitch.scattering_rate_error, NU1, bias=0.02)
    if "open" not in stated.values():
        anti = mm.transport.tensor(run(box(), 0.3, length=60.0, save=240, n=400, sign=sign, **options))
        late = anti.isel(path=slice(160, None)).mean("path")
        within(late.kappa_A, late.kappa_A_error, sign * ANTI, bias=0.02)
        within(late.kappa_xy, late.kappa_xy_error, sign * ANTI, bias=0.02)
        within(late.kappa_yx, late.kappa_yx_error, -sign * ANTI, bias=0.02)


def test_all_of_the_tensor_is_that_of_green_kubo():
    tr = run(box(), length=20.0, save=40)
    ten, green = mm.transport.tensor(tr), mm.transport.green_kubo(tr)
    for d in "xyz":
        np.testing.assert_allclose(ten[f"kappa_{d}{d}"], green[f"kappa_{d}{d}"], rtol=1e-12)
    np.testing.assert_allclose(ten.kappa_A, (ten.kappa_xy - ten.kappa_yx) / 2, rtol=1e-10)
    assert np.isnan(mm.transport.tensor(tr.assign(mean_Bz=0.0)).kappa_A).all()


def test_a_common_drift_is_removed():
    """E × B: displacements along x grow as the square of the path, those about the mean do not."""
    tr = run(box(drift=0.1), 0.3, length=80.0, save=160, n=200, pusher="vay", light_speed=1.0)
    kept, removed = (mm.transport.running_diffusion(tr, drift=d) for d in ("kept", "removed"))
    far = kept.isel(path=-1).kappa_xx / removed.isel(path=-1).kappa_xx
    assert float(far) > 5
    assert float(removed.kappa_xx[-1]) == pytest.approx(float(removed.kappa_yy[-1]), rel=0.6)
    green, less = (mm.transport.green_kubo(tr, drift=d).isel(path=-1) for d in ("kept", "removed"))
    assert float(green.kappa_xx) > 2 * float(less.kappa_xx)
    with pytest.raises(mm.ArgumentError, match="drift='gone'"):
        mm.transport.running_diffusion(tr, drift="gone")


def test_two_species_in_one_ensemble_keep_to_themselves(no_compute):
    import dask

    ds = box().chunk()
    one = {"seed": 1, "field": ds, "reference_field": 1.0}
    protons = mm.particles.isotropic(40, gyroradius=RADIUS, **one)
    electrons = mm.particles.isotropic(40, gyroradius=0.5, charge_sign=-1, beta_gamma=0.5, **one)
    both = xr.concat([protons, electrons], "particle", data_vars="all", coords="different", compat="equals")
    model = mm.scattering.small_angle(nu=NU)
    options = {"step": 0.125, "distance": 40.0, "save": 320, "scattering": model, "local_field": True}
    tr = mm.trace(ds, both, **options)
    found = mm.estimators.maximum_likelihood(tr, gyration=True).nu
    assert found.chunks is not None
    with dask.config.set(scheduler="threads"):
        nu, tr = found.compute(), tr.compute()
    for part in (slice(0, 40), slice(40, None)):
        within(nu.isel(particle=part).mean(), nu.isel(particle=part).std() / 40**0.5, NU, bias=0.01)
        mu = mm.transport.parallel_from_mu(tr.isel(particle=part))
        within(mu.kappa_par, mu.kappa_par_error, PAR, bias=0.1)

"""Particles of one task: orbits against another code, closed solutions and exact laws."""

import numpy as np
import pytest
from small_fields import one, uniform

import mmfields as mm


def test_crpropa_trajectories(shared):
    """PropagationBP through the same 64^3 field in float64: equal until chaos has multiplied the rounding."""
    ref = np.load(shared / "reference/crpropa_grid.npz", allow_pickle=False)
    grid = ref["B_grid"]
    ds = mm.io.from_arrays(**{f"B{c}": grid[..., i] for i, c in enumerate("xyz")}, spacing=dict.fromkeys("xyz", 1.0))
    start = {d: ref["pos0_grid"][:, i] for i, d in enumerate("xyz")}
    start |= {f"v{d}": ref["dir0"][:, i] for i, d in enumerate("xyz")}
    p = mm.particles.from_arrays(**start, gyroradius=float(ref["rg_grid"]), reference_field=float(ref["B_ref_T"]))
    step = float(ref["step_grid"])
    tr = mm.trace(ds, p, step=step, distance=step * 300, save=ref["marks"][:5] * step).compute()
    for i, tolerance in enumerate((1e-14, 1e-13, 1e-10, 3e-8, 2e-6)):
        for j, d in enumerate("xyz"):
            np.testing.assert_allclose(tr[d][:, i], ref["pos_grid_f64"][i, :, j], atol=10 * tolerance)
            np.testing.assert_allclose(tr[f"v{d}"][:, i], ref["dir_f64"][i, :, j], atol=10 * tolerance)


def test_gyration_in_si_like_units():
    """A circle of the stated gyroradius whatever the unit of the field."""
    tr = mm.trace(
        uniform(3e-10), one(gyroradius=5.0, reference_field=1.5e-10), step=0.05, distance=2 * np.pi * 2.5, save=200
    ).compute()
    assert float(tr.y.min()) == pytest.approx(-5.0, abs=1e-3)  # radius 2.5 in a field twice the reference
    assert float(tr.mu.max()) == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(tr.B, 3e-10)
    assert float(tr.x[0, -1]) == pytest.approx(0, abs=1e-3)


def test_the_error_falls_fourfold_when_the_step_is_halved(turbulent):
    smooth = np.sin(2 * np.pi * (np.arange(64) + 0.5) / 64)
    shape = (64, 4, 4)
    field = mm.io.from_arrays(
        Bx=np.full(shape, 1.0),
        By=np.zeros(shape),
        Bz=0.5 * smooth[:, None, None] + np.zeros(shape),
        spacing=dict.fromkeys("xyz", 1.0),
    )
    p = one(v=(0.6, 0.8, 0.0), gyroradius=30.0, reference_field=1.0)
    ends = [
        mm.trace(field, p, step=s, distance=64.0, save=1).compute().isel(path=-1, particle=0)
        for s in (4.0, 2.0, 1.0, 0.03125)
    ]
    errors = [np.sqrt(sum(float(e[d] - ends[-1][d]) ** 2 for d in "xyz")) for e in ends[:-1]]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.25)


def test_no_parallel_gradient_no_change_of_pitch():
    """k_par = 0: v_par is conserved to rounding."""
    rng = np.random.default_rng(1)
    plane = 1 + 0.3 * rng.normal(size=(8, 8, 1))
    bz = np.broadcast_to(plane, (8, 8, 8))
    ds = mm.io.from_arrays(Bx=0 * bz, By=0 * bz, Bz=bz, spacing=dict.fromkeys("xyz", 1.0))
    p = mm.particles.isotropic(20, gyroradius=2.0, seed=1, field=ds)
    tr = mm.trace(ds, p, step=0.05, distance=200.0, save=5).compute()
    np.testing.assert_allclose(tr.vz, tr.vz.isel(path=0).broadcast_like(tr.vz), atol=1e-12)


def test_speed_is_conserved(turbulent):
    p = mm.particles.isotropic(2, gyroradius=0.5, seed=1, field=turbulent)
    tr = mm.trace(turbulent, p, step=0.05, distance=50000.0, save=2).compute()
    np.testing.assert_allclose(tr.vx**2 + tr.vy**2 + tr.vz**2, 1, atol=1e-12)


def test_particles_leave_through_an_open_axis():
    ds = uniform().assign_attrs(boundary_z="open")
    p = one(z=2.0, v=(0.0, 0.0, 1.0), gyroradius=1.0, reference_field=1.0)
    tr = mm.trace(ds, p, step=0.25, distance=4.0, save=8).compute()
    assert tr.alive.dtype == bool
    assert list(tr.alive[0].values) == [True] * 5 + [False] * 4
    assert float(tr.z.max()) == 4.0


@pytest.mark.parametrize("step", [0.5, 0.05])
def test_small_angle_diffusion_follows_the_exact_finite_law(step):
    """<r²> of n steps with mean cosine alpha; in the long run kappa is 2/3 v²/nu, not 1/3 and not 2."""
    nu, n, distance = 0.4, 4000, 60.0
    empty = uniform(1.0)
    p = mm.particles.isotropic(n, gyroradius=1e9, seed=3, field=empty, reference_field=1.0)
    tr = mm.trace(empty, p, step=step, distance=distance, save=1, scattering=mm.scattering.small_angle(nu=nu)).compute()
    square = sum((tr[d].isel(path=-1) - tr[d].isel(path=0)) ** 2 for d in "xyz")
    alpha, count = np.exp(-nu * step / 2), round(distance / step)
    # drift-kick-drift straight steps, then the deflection: a chain of count steps
    exact = step**2 * (count * (1 + alpha) / (1 - alpha) - 2 * alpha * (1 - alpha**count) / (1 - alpha) ** 2)
    assert float(square.mean()) == pytest.approx(exact, abs=4 * float(square.std()) / np.sqrt(n))
    kappa = float(square.mean()) / (6 * distance)
    nu1 = nu / 2
    assert kappa == pytest.approx(2 / 3 / nu * (1 - 1 / (nu1 * distance)), rel=0.06)
    cosine = sum(tr[f"v{d}"].isel(path=-1) * tr[f"v{d}"].isel(path=0) for d in "xyz")
    assert float(cosine.mean()) == pytest.approx(np.exp(-nu1 * distance), abs=4 / np.sqrt(3 * n))


def test_a_wanted_kappa_is_what_comes_out_and_a_field_confines_across():
    """Uniform B: kappa_par = v²/3 nu1, kappa_perp = (v²/3) nu1/(nu1² + Omega²)."""
    kappa, radius, n = 3.0, 2.0, 3000
    model = mm.scattering.small_angle(kappa=kappa)
    nu1 = model.rate / 2
    assert nu1 == pytest.approx(1 / (3 * kappa))
    ds = uniform(1.0)
    p = mm.particles.isotropic(n, gyroradius=radius, seed=5, field=ds, reference_field=1.0)
    distance = 40 / nu1
    tr = mm.trace(ds, p, step=0.1, distance=distance, save=1, scattering=model).compute()
    dr = {d: tr[d].isel(path=-1) - tr[d].isel(path=0) for d in "xyz"}
    finite = 1 - 1 / (nu1 * distance)
    par = float((dr["z"] ** 2).mean()) / (2 * distance)
    assert par == pytest.approx(kappa * finite, rel=4 * np.sqrt(2 / n))
    perp = float((dr["x"] ** 2 + dr["y"] ** 2).mean()) / (4 * distance)
    assert perp == pytest.approx(nu1 / 3 / (nu1**2 + radius**-2), rel=4 * np.sqrt(1 / n) + 0.02)


def test_the_high_energy_limit():
    """r_g >> l_c: a mean free path of 2 r_g²/l_c1 in a solenoidal field with its own, measured, correlation length."""
    n = 32
    rng = np.random.default_rng(2)
    fields = {f"B{c}": rng.normal(size=(n, n, n)) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    ds = mm.fourier.filter(
        mm.fourier.project(ds), mm.fourier.band(k_perp=(0, 1.6), edge="gaussian", width=0.4), direction="z"
    )
    ds = mm.fourier.filter(ds, mm.fourier.high_pass(0.3), direction="z")
    power = mm.spectra.power(ds)
    l_c = float(np.pi / 2 * (power / power.k).sum() / power.sum())
    radius = 20 * l_c
    p = mm.particles.isotropic(2000, gyroradius=radius, seed=1, field=ds, positions="lattice")
    distance = 0.15 * 2 * radius**2 / l_c
    tr = mm.trace(ds, p, step=0.5, distance=distance, save=1, interpolation="cubic").compute()
    cosine = float(sum(tr[f"v{d}"].isel(path=-1) * tr[f"v{d}"].isel(path=0) for d in "xyz").mean())
    path = -distance / np.log(cosine)
    assert path == pytest.approx(2 * radius**2 / l_c, rel=0.15)

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm


def uniform(strength=1.0, n=4):
    shape = (n, n, n)
    return mm.io.from_arrays(
        Bx=np.zeros(shape), By=np.zeros(shape), Bz=np.full(shape, strength), spacing=dict.fromkeys("xyz", 1.0)
    )


def one(x=0.0, y=0.0, z=0.0, v=(1.0, 0.0, 0.0), **options):
    return mm.particles.from_arrays(x=[x], y=[y], z=[z], vx=[v[0]], vy=[v[1]], vz=[v[2]], **options)


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


@pytest.mark.parametrize("name", ["trilinear", "nearest"])
def test_crpropa_interpolation(shared, name):
    """Field values of CRPropa's periodic grid at 810 positions, off-centre, far outside, and exactly on samples."""
    ref = np.load(shared / "reference/crpropa_interpolation.npz", allow_pickle=False)
    grid, want = ref["B_grid"], ref[f"B_{name}_periodic" + ("_f64" if name == "trilinear" else "")]
    fields = {f"B{c}": (("x", "y", "z"), grid[..., i]) for i, c in enumerate("xyz")}
    centres = {
        d: ref["origin_m"][i] + (np.arange(grid.shape[i]) + 0.5) * ref["spacing_m"][i] for i, d in enumerate("xyz")
    }
    ds = xr.Dataset(fields, centres, {f"boundary_{d}": "periodic" for d in "xyz"})
    position = ref["pos_m"]
    start = {d: position[:, i] for i, d in enumerate("xyz")} | {"vx": 1.0 + 0 * position[:, 0]}
    p = mm.particles.from_arrays(
        **start, vy=0 * start["x"], vz=0 * start["x"], gyroradius=1.0, reference_field=1.0, seed=0
    )
    kind = {"trilinear": "linear"}.get(name, name)
    tr = mm.trace(ds, p, step=1.0, distance=1.0, save=[0.0], interpolation=kind)
    want_b = np.linalg.norm(want, axis=1)
    np.testing.assert_allclose(tr.B.isel(path=0), want_b, rtol=1e-7 if name == "nearest" else 1e-12)
    along = want[:, 0] / want_b
    np.testing.assert_allclose(tr.mu.isel(path=0), along, atol=1e-7 if name == "nearest" else 1e-12)


def test_results_do_not_depend_on_tasks_threads_or_chunks(turbulent):
    p = mm.particles.isotropic(37, gyroradius=[0.5, 2.0], seed=1, field=turbulent)
    options = {"step": 0.1, "distance": 20.0, "save": 7}
    want = mm.trace(turbulent, p, **options).compute(scheduler="synchronous")
    for per_task in (1, 7, 64):
        for chunks in ({}, {"z": 2, "x": 5}):
            got = mm.trace(turbulent.chunk(chunks), p, particles_per_task=per_task, **options)
            xr.testing.assert_equal(
                got.compute(scheduler="threads")[["x", "vy", "mu", "B"]], want[["x", "vy", "mu", "B"]]
            )


def test_tracing_is_lazy_and_the_field_is_packed_once(turbulent, no_compute):
    lazy = turbulent.chunk(z=3)
    p = mm.particles.isotropic(64, gyroradius=[1.0, 2.0], seed=1, field=lazy)
    tr = mm.trace(lazy, p, step=0.1, distance=5.0, save=2, particles_per_task=4)
    assert tr.x.dims == ("gyroradius", "particle", "path")
    with dask.config.set(scheduler="synchronous"):
        calls = []
        from mmfields.tracing import holding

        pack = holding._pack
        holding._pack = lambda *parts, **options: calls.append(1) or pack(*parts, **options)
        try:
            again = mm.trace(lazy, p, step=0.1, distance=5.0, save=2, particles_per_task=4)
            calls.clear()
            again.x.compute()
        finally:
            holding._pack = pack
    assert len(calls) == 1


def test_order_of_dims_does_not_matter(turbulent):
    p = mm.particles.isotropic(5, gyroradius=1.0, seed=2, field=turbulent)
    options = {"step": 0.1, "distance": 5.0, "save": 3}
    want = mm.trace(turbulent, p, **options).compute()
    got = mm.trace(turbulent.transpose("x", "z", "y"), p, **options).compute()
    np.testing.assert_array_equal(got.y, want.y)


def test_steps_divide_the_intervals_and_follow_the_gyroradius(turbulent):
    p = mm.particles.isotropic(3, gyroradius=[0.5, 2.0], seed=2, field=turbulent)
    together = mm.trace(turbulent, p, step=0.1, step_unit="gyroradius", distance=4.0, save=2).compute()
    for g, radius in enumerate((0.5, 2.0)):
        alone = mm.trace(turbulent, p.isel(gyroradius=g), step=0.1 * radius, distance=4.0, save=2).compute()
        np.testing.assert_array_equal(alone.x, together.x.isel(gyroradius=g))
    np.testing.assert_allclose(together.path, [0, 2, 4])
    np.testing.assert_array_equal(together.x.isel(path=0), p.x)


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


@pytest.mark.parametrize("dims", [("x",), ("z", "x")])
def test_ignorable_axes(dims):
    rng = np.random.default_rng(2)
    shape = (6, 5)[: len(dims)]
    fields = {f"B{c}": rng.normal(size=shape) + 1 for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys(dims, 0.5), dims=dims)
    full = ds.expand_dims({d: 3 for d in "xyz" if d not in dims})
    full = full.assign_coords({d: (d, np.arange(3) + 0.5) for d in "xyz" if d not in dims})
    full = full.assign_attrs({f"boundary_{d}": "periodic" for d in "xyz"})
    p = mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=ds)
    got = mm.trace(ds, p, step=0.1, distance=10.0, save=3).compute()
    want = mm.trace(full, p, step=0.1, distance=10.0, save=3).compute()
    np.testing.assert_allclose(got.x, want.x, atol=1e-12)
    np.testing.assert_allclose(got.y, want.y, atol=1e-12)


def test_particles_leave_through_an_open_axis():
    ds = uniform().assign_attrs(boundary_z="open")
    p = one(z=2.0, v=(0.0, 0.0, 1.0), gyroradius=1.0, reference_field=1.0)
    tr = mm.trace(ds, p, step=0.25, distance=4.0, save=8).compute()
    assert tr.alive.dtype == bool
    assert list(tr.alive[0].values) == [True] * 5 + [False] * 4
    assert float(tr.z.max()) == 4.0


def test_bad_calls(turbulent):
    p = mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=turbulent)
    good = {"step": 0.1, "distance": 1.0}
    for change, match in (
        ({"step": 0.0}, "step=0.0"),
        ({"step": np.nan}, "step=nan"),
        ({"distance": -1.0}, "distance"),
        ({"save": 0}, "save=0"),
        ({"save": [0.5, 0.2]}, "ascending"),
        ({"save": [0.5, 2.0]}, "beyond distance"),
        ({"step_unit": "cells"}, "step_unit"),
        ({"interpolation": "sinc"}, "interpolation"),
        ({"particles_per_task": 0}, "particles_per_task"),
    ):
        with pytest.raises(mm.MmfieldsError, match=match):
            mm.trace(turbulent, p, **{**good, **change})
    with pytest.raises(mm.SnapshotError, match="scattering="):
        mm.trace(turbulent, p, scattering=0.1, **good)
    with pytest.raises(mm.SnapshotError, match="mask 'patches' is not among"):
        inside = mm.scattering.small_angle(nu=1.0)
        mm.trace(turbulent, p, scattering=mm.scattering.patchy(inside, mask="patches"), **good)
    holed = turbulent.assign(Bz=turbulent.Bz.where(turbulent.n < 1.9))
    with pytest.raises(mm.SnapshotError, match=r"Bz is not finite at \(z, y, x\)"):
        mm.trace(holed, p.assign(reference_field=1.0), **good).x.compute()


def test_float64_orbits_are_the_same_however_the_field_is_chunked():
    """In a chaotic orbit the last bit of the reference field would show."""
    rng = np.random.default_rng(0)
    fields = {f"B{c}": rng.normal(size=(24, 24, 24)) + 0.3 for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    ends = []
    for chunks in ({"z": 24}, {"z": 12, "y": 12}, {"z": 7, "y": 9, "x": 5}):
        lazy = ds.chunk(chunks)
        p = mm.particles.isotropic(6, gyroradius=5.0, seed=1, field=lazy)
        ends.append(mm.trace(lazy, p, step=0.5, distance=1000.0, save=1).compute())
    for other in ends[1:]:
        for name in ("x", "vy", "mu", "reference_field"):
            np.testing.assert_array_equal(other[name], ends[0][name])


def test_particles_that_are_none(turbulent):
    p = mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=turbulent)
    with pytest.raises(mm.SnapshotError, match="particles must hold"):
        mm.trace(turbulent, p.drop_vars("vx"), step=0.1, distance=1.0)
    dynamo = turbulent[["Bx", "By", "Bz"]] - turbulent[["Bx", "By", "Bz"]].mean()
    lost = mm.particles.isotropic(
        3, gyroradius=1.0, seed=1, field=dynamo.assign_attrs(turbulent.attrs).chunk(), reference_field="mean"
    )
    with pytest.raises(mm.SnapshotError, match="no reference for a gyroradius"):
        lost.compute()


RUN = {"step": 0.05, "distance": 12.0}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"interpolation": "cubic"},
        {"scattering": mm.scattering.small_angle(nu=0.3)},
        {"step_unit": "local", "scattering": mm.scattering.small_angle(nu=0.3)},
    ],
    ids=["plain", "cubic", "scattering", "local"],
)
@pytest.mark.parametrize("walls", ["periodic", "open", "reflecting"])
def test_a_run_in_two_parts_is_one_run(turbulent, options, walls, no_compute):
    """Cut at a saved point and continued, whatever the blocks: every bit."""
    ds = turbulent.chunk(z=4).assign_attrs(boundary_y=walls, boundary_z=walls)
    p = mm.particles.isotropic(37, gyroradius=[0.5, 2.0], seed=1, field=ds, reference_field=1.5)
    save = [0.0, 1.0, 4.9, 7.0, 12.0]
    whole = mm.trace(ds, p, save=save, particles_per_task=64, **RUN, **options)
    first = mm.trace(ds, p, save=save[:3], particles_per_task=5, **{**RUN, "distance": 4.9}, **options)
    rest = mm.trace(ds, mm.particles.from_trajectories(first), save=save[2:], particles_per_task=16, **RUN, **options)
    with dask.config.set(scheduler="threads"):
        whole, rest = whole.compute(), rest.compute()
    for name in ("x", "y", "z", "vx", "vy", "vz", "mu", "B", *(n for n in ("alive", "steps") if n in whole)):
        np.testing.assert_array_equal(whole[name].isel(path=slice(2, None)), rest[name])
    np.testing.assert_allclose(whole.vx**2 + whole.vy**2 + whole.vz**2, 1, atol=1e-12)
    if walls == "open":
        assert 0 < int(whole.alive.isel(path=-1).sum()) < whole.alive.isel(path=-1).size
    if walls == "reflecting":
        for d in "yz":
            low, high = mm.conventions.box(ds)[d]
            assert low <= float(whole[d].min())
            assert float(whole[d].max()) <= high


def test_reflections_and_scattering_do_not_depend_on_the_blocks(turbulent):
    ds = turbulent.assign(patches=turbulent.n > 1.5)
    inside = mm.scattering.small_angle(nu=0.5)
    p = mm.particles.isotropic(37, gyroradius=[0.5, 2.0], seed=1, field=ds)
    for model in (inside, mm.scattering.patchy(inside, threshold=2.5), mm.scattering.patchy(inside, mask="patches")):
        want = mm.trace(ds, p, save=3, scattering=model, **RUN).compute(scheduler="synchronous")
        for per_task in (1, 7):
            got = mm.trace(ds.chunk(z=4), p, save=3, scattering=model, particles_per_task=per_task, **RUN)
            xr.testing.assert_equal(got.compute(scheduler="threads")[["x", "vy", "steps"]], want[["x", "vy", "steps"]])
        assert int(want.steps.isel(path=-1).min()) == 240


def test_snapshots_along_time_are_each_traced_through(turbulent):
    two = xr.concat([turbulent, 2 * turbulent], xr.DataArray([0.5, 1.5], dims="time", name="time"))
    two = two.assign_attrs(turbulent.attrs)
    p = mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=turbulent, reference_field=1.0)
    both = mm.trace(two, p, save=3, **RUN).compute()
    assert both.x.dims == ("time", "particle", "path")
    np.testing.assert_array_equal(both.time, [0.5, 1.5])
    for i, ds in enumerate((turbulent, (2 * turbulent).assign_attrs(turbulent.attrs))):
        np.testing.assert_array_equal(both.x.isel(time=i), mm.trace(ds, p, save=3, **RUN).x)


def test_cubic_interpolation_is_closer_to_a_smooth_field():
    n = 12
    x = (np.arange(n) + 0.5) / n

    def wave(at):
        return 1.5 + np.sin(2 * np.pi * at)

    ds = mm.io.from_arrays(Bx=0 * x, By=0 * x, Bz=wave(x), spacing={"x": 1 / n}, dims=("x",))
    places = np.linspace(-1, 2, 50)
    p = mm.particles.from_arrays(
        x=places,
        y=0 * places,
        z=0 * places,
        vx=0 * places,
        vy=0 * places,
        vz=1 + 0 * places,
        gyroradius=1.0,
        reference_field=1.0,
    )
    errors = {}
    for kind in ("nearest", "linear", "cubic"):
        b = mm.trace(ds, p, step=1.0, distance=1.0, save=[0.0], interpolation=kind).B.isel(path=0)
        errors[kind] = float(np.abs(b - wave(places)).max())
    assert errors["cubic"] < 2e-3 < 20e-3 < errors["linear"] < errors["nearest"]


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

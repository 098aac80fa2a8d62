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


def test_crpropa_interpolation(shared):
    """Field values of CRPropa's periodic trilinear grid at 810 positions, off-centre and far outside."""
    from mmfields.kernels.interpolate import linear

    ref = np.load(shared / "reference/crpropa_interpolation.npz", allow_pickle=False)
    grid, want = ref["B_grid"], ref["B_trilinear_periodic_f64"]
    field = np.ascontiguousarray(grid.transpose(2, 1, 0, 3))
    place = (ref["pos_m"] - ref["origin_m"]) / ref["spacing_m"] - 0.5
    periodic = np.array([True, True, True])
    got = np.array([linear(field, p[2], p[1], p[0], periodic) for p in place])
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13 * np.abs(want).max())


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
        from mmfields import tracing

        pack = tracing._as_kernel_input
        tracing._as_kernel_input = lambda block: calls.append(1) or pack(block)
        try:
            again = mm.trace(lazy, p, step=0.1, distance=5.0, save=2, particles_per_task=4)
            calls.clear()
            again.x.compute()
        finally:
            tracing._as_kernel_input = pack
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
        with pytest.raises(mm.SnapshotError, match=match):
            mm.trace(turbulent, p, **{**good, **change})
    series = turbulent.expand_dims(time=[0.0, 1.0])
    with pytest.raises(mm.SnapshotError, match="trace takes one snapshot"):
        mm.trace(series, p, **good)
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

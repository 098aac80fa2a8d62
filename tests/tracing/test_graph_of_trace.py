"""Tasks: results do not depend on how particles and field are divided among them."""

import numpy as np
import xarray as xr

import mmfields as mm

RUN = {"step": 0.05, "distance": 12.0}


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


def test_tasks_are_worth_their_handling_and_bounded_in_number_and_size(turbulent):
    """By the chunks of a result, which hold the particles of a task each."""

    def particles_of_a_task(n, steps, save=1):
        p = mm.particles.isotropic(n, gyroradius=1.0, seed=1, field=turbulent)
        return mm.trace(turbulent, p, step=0.1, distance=0.1 * steps, save=save).x.chunks[0]

    assert particles_of_a_task(1000, 10) == (1000,)
    assert particles_of_a_task(1000, 10_000) == (256, 256, 256, 232)
    assert set(particles_of_a_task(300, 10**8)) == {128, 44}
    assert len(particles_of_a_task(200_000, 1000)) >= 64
    assert max(particles_of_a_task(20_000, 1000, save=1000)) * 1000 * 64 <= 2**26 + 128 * 1000 * 200

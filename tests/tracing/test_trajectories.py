"""Trajectories, which are particles again at any of their points."""

import dask
import numpy as np
import pytest

import mmfields as mm

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

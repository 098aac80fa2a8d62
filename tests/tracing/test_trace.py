"""``mm.trace`` as it is called: what is refused, and several snapshots."""

import numpy as np
import pytest
import xarray as xr

import mmfields as mm

RUN = {"step": 0.05, "distance": 12.0}


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
    with pytest.raises(mm.SnapshotError, match="scattering="):
        mm.trace(turbulent, p, scattering=0.1, **good)
    with pytest.raises(mm.SnapshotError, match="mask 'patches' is not among"):
        inside = mm.scattering.small_angle(nu=1.0)
        mm.trace(turbulent, p, scattering=mm.scattering.patchy(inside, mask="patches"), **good)
    holed = turbulent.assign(Bz=turbulent.Bz.where(turbulent.n < 1.9))
    with pytest.raises(mm.SnapshotError, match=r"Bz is not finite at \(z, y, x\)"):
        mm.trace(holed, p.assign(reference_field=1.0), **good).x.compute()


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


def test_snapshots_along_time_are_each_traced_through(turbulent):
    two = xr.concat([turbulent, 2 * turbulent], xr.DataArray([0.5, 1.5], dims="time", name="time"))
    two = two.assign_attrs(turbulent.attrs)
    p = mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=turbulent, reference_field=1.0)
    both = mm.trace(two, p, save=3, **RUN).compute()
    assert both.x.dims == ("time", "particle", "path")
    np.testing.assert_array_equal(both.time, [0.5, 1.5])
    for i, ds in enumerate((turbulent, (2 * turbulent).assign_attrs(turbulent.attrs))):
        np.testing.assert_array_equal(both.x.isel(time=i), mm.trace(ds, p, save=3, **RUN).x)

import numpy as np
import pytest

import mmfields as mm


def test_micromirrors(shared):
    path = mm.samples.path("micromirrors")
    assert path.stat().st_size <= 8e6
    ds = mm.samples.load("micromirrors")
    assert all(v.chunks for v in ds.data_vars.values())
    mm.conventions.check(ds)
    assert ds.Bx.dims == ("time", "z", "y", "x")
    np.testing.assert_allclose(ds.time, [25.2, 95.76])
    assert ds.attrs["r_gi"] == pytest.approx(3.571, abs=1e-3)
    raw = mm.open_snapshot(shared / "data/warpx_mirror/warpx_mirror_fields_001064.h5")
    np.testing.assert_allclose(ds.By.isel(time=1).values, raw.By.values / 1e-8, rtol=3e-7)
    assert mm.conventions.spacing(ds) == {"z": 2.0, "y": 2.0, "x": 2.0}


def test_pressures_of_the_sample_are_those_of_the_run():
    """The mean betas of the run's own diagnostics at t = 91: 19.02 and 23.31, falling to A = 1.21 at the end."""
    ds = mm.samples.load("micromirrors").isel(time=-1)
    parallel, perpendicular = float(ds.p_par.mean()), float(ds.p_perp.mean())
    assert perpendicular / parallel == pytest.approx(1.21, abs=0.02)
    # beta = 2 p / B^2 with p in B0^2/mu0
    assert 2 * parallel == pytest.approx(19.02, rel=0.06)
    assert 2 * perpendicular == pytest.approx(23.31, rel=0.06)


def test_mhd_turbulence(shared):
    assert mm.samples.path("mhd_turbulence").stat().st_size <= 8e6
    ds = mm.samples.load("mhd_turbulence")
    raw = mm.open_snapshot(shared / "data/athena_mhd/TurbMHD.out2.00010.athdf")
    for name in ("Bx", "By", "Bz", "rho", "ux"):
        np.testing.assert_array_equal(ds[name].values, raw[name].values)
    mm.conventions.check(ds)


def test_unknown_sample():
    with pytest.raises(mm.ArgumentError, match="there are micromirrors, mhd_turbulence"):
        mm.samples.load("macromirrors")

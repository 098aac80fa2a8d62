"""Fields as Fourier series of a periodic box."""

import numpy as np
import pytest
from small_fields import wavy

import mmfields as mm


def test_spectral_interpolation_is_exact_for_a_field_that_the_grid_holds():
    pytest.importorskip("finufft")
    ds, at = wavy()
    p = mm.particles.isotropic(40, gyroradius=1.5, seed=2, field=ds)
    options = {"step": 0.1, "distance": 30.0, "save": 3}
    tr = mm.trace(ds, p, **options, interpolation="spectral").compute()
    np.testing.assert_allclose(tr.B, np.linalg.norm(at(tr.x.values, tr.y.values, tr.z.values), axis=-1), atol=1e-11)
    off = {}
    for kind in ("linear", "cubic"):
        other = mm.trace(ds, p, **options, interpolation=kind).compute()
        off[kind] = float(np.sqrt(sum((other[d] - tr[d]) ** 2 for d in "xyz")).isel(path=1).median())
    assert off["cubic"] < 0.05 * off["linear"]
    again = mm.trace(ds, p, **options, interpolation="spectral", particles_per_task=7).compute()
    np.testing.assert_allclose(again.x, tr.x, atol=1e-9)


def test_spectral_interpolation_with_everything_else():
    """Scattering, local steps and odd boxes: what the kernel does in one go goes step by step too."""
    pytest.importorskip("finufft")
    ds, _ = wavy(9)
    ds = ds.isel(z=slice(0, 1)).assign(inside=(ds.Bx.isel(z=slice(0, 1)) > 2))
    ds = ds.assign_coords(z=("z", [0.5], {**ds.z.attrs, "spacing": 1.0}))
    p = mm.particles.isotropic(35, gyroradius=1.5, seed=2, field=ds)
    soft = mm.scattering.small_angle(nu=0.02)
    for scattering, unit in ((soft, "length"), (mm.scattering.patchy(soft, mask="inside"), "local"), (None, "local")):
        options = {"step": 0.05, "distance": 3.0, "save": 3, "step_unit": unit, "scattering": scattering}
        got = mm.trace(ds, p, **options, interpolation="spectral").compute()
        cubic = mm.trace(ds, p, **options, interpolation="cubic").compute()
        assert float(np.abs(got.x - cubic.x).median()) < 0.01
        if "steps" in got and unit == "length":
            np.testing.assert_array_equal(got.steps, cubic.steps)
    with pytest.raises(mm.SnapshotError, match="needs periodic axes"):
        mm.trace(ds.assign_attrs(boundary_x="open"), p, step=0.1, distance=1.0, interpolation="spectral")

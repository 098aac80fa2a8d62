import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm


def make(shape, widths, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    dims = ("z", "y", "x")[3 - len(shape) :]
    fields = {f"B{c}": (rng.normal(size=shape) + m).astype(dtype) for c, m in zip("xyz", (2, 1, -1), strict=True)}
    return mm.io.from_arrays(**fields, spacing=dict(zip(dims, widths, strict=True)), dims=dims)


def energy(ds):
    return sum(float(ds[f"B{c}"].values.astype(float).var()) for c in "xyz") / 2


@pytest.mark.parametrize("shape", [(8, 8, 8), (9, 7, 5), (6, 9, 16), (1, 8, 9), (12, 10), (15,)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_parseval(shape, dtype, tolerance):
    ds = make(shape, (0.5, 1.0, 0.3)[: len(shape)], dtype)
    one = mm.spectra.power(ds)
    assert float((one * one.k_width).sum()) == pytest.approx(energy(ds), rel=tolerance)
    assert int(one.modes.sum()) == np.prod(shape) - 1
    for direction in (None, (1, 2, 3), "x"):
        two = mm.spectra.power2d(ds, direction=direction)
        assert float((two * two.k_perp_width * two.k_par_width).sum()) == pytest.approx(energy(ds), rel=tolerance)


def test_a_plane_wave_lands_in_its_bin_and_only_there():
    n = 16
    _, y, x = np.meshgrid(*[(np.arange(n) + 0.5) * 0.5] * 3, indexing="ij")
    unit = 2 * np.pi / (n * 0.5)
    wave = np.cos(unit * (3 * x + 4 * y) + 0.3)
    ds = mm.io.from_arrays(Bx=0 * x + 1, By=0 * x, Bz=wave, spacing=dict.fromkeys("zyx", 0.5), dims=("z", "y", "x"))
    one = mm.spectra.power(ds, ["Bz"])
    assert float(one.k[int(one.argmax("k"))]) == pytest.approx(5 * unit)
    assert float(one.max() * unit) == pytest.approx(0.25)
    assert float(one.where(one < one.max()).max()) < 1e-28
    two = mm.spectra.power2d(ds, ["Bz"])
    peak = two.isel(two.argmax(...))
    assert (float(peak.k_par), float(peak.k_perp)) == pytest.approx((3 * unit, 4 * unit))
    assert float(two.where(two < two.max()).max()) < 1e-28


def test_white_noise_is_flat_per_mode():
    ds = make((24, 24, 24), (1, 1, 1))
    one = mm.spectra.power(ds)
    per_mode = (one * one.k_width / one.modes)[2:]
    want = energy(ds) / (24**3 - 1)
    assert np.abs(per_mode / want - 1).max() < 6 / np.sqrt(3 * one.modes.values[2:].min())


def test_eager_equals_chunked_lazily(no_compute):
    ds = make((8, 9, 10), (1, 0.5, 2), np.float32)
    lazy = ds.chunk(z=3, y=2, x=7)
    one, two = mm.spectra.power(lazy), mm.spectra.power2d(lazy)
    with dask.config.set(scheduler="threads"):
        xr.testing.assert_allclose(one.compute(), mm.spectra.power(ds), rtol=1e-12)
        xr.testing.assert_allclose(two.compute(), mm.spectra.power2d(ds), rtol=1e-12)


def test_the_real_turbulence_has_the_measured_spectrum(shared):
    import json

    measured = json.loads((shared / "data/athena_mhd/measured_00010.json").read_text())
    ds = mm.samples.load("mhd_turbulence")
    shells = (lambda p: p * p.k_width)(mm.spectra.power(ds))
    np.testing.assert_allclose(shells[:32], measured["E_B"][1:33], rtol=1e-5)
    flow = (lambda p: p * p.k_width)(mm.spectra.power(ds, ["ux", "uy", "uz"]))
    np.testing.assert_allclose(flow[:32], measured["E_u"][1:33], rtol=1e-5)


def test_bad_calls(turbulent):
    with pytest.raises(mm.SnapshotError, match=r"no \['Ex'\]"):
        mm.spectra.power(turbulent, ["Ex"])
    with pytest.raises(mm.SnapshotError, match="a list of variables"):
        mm.spectra.power(turbulent, "Bx")
    with pytest.raises(mm.SnapshotError, match="x is open"):
        mm.spectra.power2d(turbulent.assign_attrs(boundary_x="open"))

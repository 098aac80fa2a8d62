"""Cutouts that are not periodic."""

import numpy as np
import pytest

import mmfields as mm


@pytest.fixture
def cutout():
    n = 64
    rng = np.random.default_rng(3)
    x = np.arange(n) + 0.5
    shape = (8, 6, n)
    fields = {f"B{c}": rng.normal(size=shape) + 0.05 * x * (c == "y") + 2 * (c == "x") for c in "xyz"}
    return mm.io.from_arrays(**fields, spacing={"z": 1, "y": 1, "x": 1}, dims=("z", "y", "x"), boundary={"x": "open"})


def test_a_tapered_cutout_may_be_transformed(cutout):
    with pytest.raises(mm.SnapshotError, match="x is open"):
        mm.spectra.power(cutout)
    tapered = mm.fourier.taper(cutout, detrend="linear")
    assert mm.conventions.boundaries(tapered) == {"z": "periodic", "y": "periodic", "x": "periodic"}
    assert (tapered.attrs["tapered"], tapered.attrs["window"]) == ("x", "hann")
    assert tapered.attrs["window_power"] == pytest.approx(3 / 8)
    power = mm.spectra.power(tapered)
    energy = float((power * power.k_width).sum())
    noise = cutout.assign(By=cutout.By - 0.05 * cutout.x)
    want = sum(float(noise[f"B{c}"].var()) for c in "xyz") / 2
    assert energy == pytest.approx(want, rel=0.06)  # the window's power is divided out


def test_means_stay_and_ends_vanish(cutout):
    tapered = mm.fourier.taper(cutout, "tukey", alpha=0.5)
    mean = cutout.mean()
    for c in "xyz":
        ends = tapered[f"B{c}"].isel(x=[0, -1]) - mean[f"B{c}"]
        assert float(np.abs(ends).max()) < 0.05
        middle = slice(20, 44)
        np.testing.assert_allclose(tapered[f"B{c}"].isel(x=middle), cutout[f"B{c}"].isel(x=middle))


@pytest.mark.parametrize("options", [{}, {"detrend": "linear"}, {"window": "tukey", "alpha": 0.1}, {"alpha": 1.0}])
def test_the_mean_field_keeps_its_value_and_direction(options):
    """Of a field whose window-weighted mean is far from its mean, along one open axis and along two."""
    x, y = (np.arange(40) + 0.5) / 40, (np.arange(18) + 0.5) / 18
    wave = np.cos(2 * np.pi * x) * (1 + 0.5 * np.sin(2 * np.pi * y))[:, None]
    parts = {"Bx": 0.5 + 2 * wave + x, "By": 1 + 0 * wave, "Bz": -0.3 * wave}
    steps = {"z": 2.0, "y": 0.5, "x": 1.0}
    for ends in ({"x": "open"}, {"x": "open", "y": "open"}):
        ds = mm.io.from_arrays(
            **{n: np.stack([a, a]) for n, a in parts.items()}, spacing=steps, dims=("z", "y", "x"), boundary=ends
        )
        before, after = mm.mean_field(ds), mm.mean_field(mm.fourier.taper(ds, **options))
        for name in parts:
            assert float(after[name]) == pytest.approx(float(before[name]), abs=1e-12)


def test_a_linear_trend_goes(cutout):
    line = cutout.assign(Bx=0 * cutout.Bx + 3 + 0.2 * cutout.x)
    tapered = mm.fourier.taper(line, detrend="linear")
    np.testing.assert_allclose(tapered.Bx, float(line.Bx.mean()), atol=1e-10)


def test_it_is_lazy_and_chunking_does_not_matter(cutout, no_compute):
    import dask

    lazy = mm.fourier.taper(cutout.chunk(x=10, z=3), detrend="linear")
    with dask.config.set(scheduler="threads"):
        np.testing.assert_allclose(lazy.By, mm.fourier.taper(cutout, detrend="linear").By, atol=1e-12)


def test_bad_calls(cutout, turbulent):
    with pytest.raises(mm.SnapshotError, match="nothing to taper"):
        mm.fourier.taper(turbulent)
    with pytest.raises(mm.ArgumentError, match="window='box'"):
        mm.fourier.taper(cutout, "box")
    with pytest.raises(mm.ArgumentError, match="detrend"):
        mm.fourier.taper(cutout, detrend="cubic")

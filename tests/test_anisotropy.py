import json

import numpy as np
import pytest

import mmfields as mm


def rotated(ds, axes):
    """The same field with axes renamed: axes maps old to new."""
    names = {f"B{a}": f"B{b}" for a, b in axes.items()}
    out = ds.rename({**axes, **names})
    return out.assign_attrs({f"boundary_{b}": ds.attrs[f"boundary_{a}"] for a, b in axes.items()})


def test_the_real_mirrors_have_the_measured_scales(shared):
    measured = json.loads((shared / "data/warpx_mirror/measured.json").read_text())
    scales = mm.anisotropy.scales(mm.samples.load("micromirrors")).compute()
    for t, step in enumerate(("280", "1064")):
        one, want = scales.isel(time=t), measured[step]
        pairs = {
            "dB_par_rms": "dBpar",
            "dB_perp_rms": "dBperp",
            "k_par_rms": "kpar_rms",
            "k_perp_rms": "kperp_rms",
            "skewness": "skew",
            "kurtosis": "kurt",
        }
        for ours, theirs in pairs.items():
            assert float(one[ours]) == pytest.approx(want[theirs], rel=2e-6), ours


def bottle(n=48, l_par=3.0, l_perp=2.0):
    """One bottle of science.md section 6 on a uniform field along x, from its closed form."""
    centre = (np.arange(n) + 0.5) - n / 2
    z, y, x = np.meshgrid(centre, centre, centre, indexing="ij")
    square = y**2 + z**2
    bell = 0.01 * np.exp(-square / (2 * l_perp**2) - x**2 / (2 * l_par**2))
    fields = {"Bx": 1 + (2 - square / l_perp**2) * bell, "By": x * y / l_par**2 * bell, "Bz": x * z / l_par**2 * bell}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))


def test_a_bottle_has_its_exact_moments():
    l_par, l_perp = 3.0, 2.0
    scales = mm.anisotropy.scales(bottle(l_par=l_par, l_perp=l_perp)).compute()
    assert float(scales.k_perp_rms) ** 2 == pytest.approx(3 / l_perp**2, rel=1e-3)
    assert float(scales.k_par_rms) ** 2 == pytest.approx(1 / (2 * l_par**2), rel=1e-3)
    assert float(scales.dB_perp_rms / scales.dB_par_rms) ** 2 == pytest.approx(l_perp**2 / (4 * l_par**2), rel=1e-3)
    # R along x is a Gaussian, positive everywhere: its first zero is at infinity
    assert float(scales.l_par) == pytest.approx(np.sqrt(np.pi) * l_par, rel=0.02)


def test_a_turned_snapshot_has_the_same_scales():
    ds = bottle()
    turned = rotated(ds, {"x": "y", "y": "z", "z": "x"})
    one, other = mm.anisotropy.scales(ds).compute(), mm.anisotropy.scales(turned).compute()
    for name in one:
        assert float(other[name]) == pytest.approx(float(one[name]), rel=1e-9, abs=1e-12, nan_ok=True), name


def test_a_plane_wave():
    n = 32
    x = (np.arange(n) + 0.5) / n
    wave = 0.1 * np.cos(2 * np.pi * 3 * x)[None, :, None] + np.zeros((8, n, 4))
    ds = mm.io.from_arrays(
        Bx=1 + wave, By=0 * wave, Bz=0 * wave, spacing={"z": 1 / 8, "y": 1 / n, "x": 1 / 4}, dims=("z", "y", "x")
    )
    scales = mm.anisotropy.scales(ds).compute()
    assert float(scales.k_par_rms) == pytest.approx(0, abs=1e-6)
    assert float(scales.k_perp_rms) == pytest.approx(6 * np.pi)
    assert float(scales.dB_par_rms) == pytest.approx(0.1 / np.sqrt(2))
    assert float(scales.dB_over_B0) == pytest.approx(0.1 / np.sqrt(2))
    assert float(scales.dB_perp_rms) == pytest.approx(0, abs=1e-12)
    assert float(scales.skewness) == pytest.approx(0, abs=1e-9)
    assert float(scales.kurtosis) == pytest.approx(1.5)
    # J0 has its first zero at 2.4048; the integral of J0 up to there is 1.4703
    assert float(scales.l_perp) == pytest.approx(1.4703 / (6 * np.pi), rel=1e-3)


def test_a_uniform_field_has_no_fluctuation():
    one = np.ones((4, 4, 4))
    ds = mm.io.from_arrays(Bx=one, By=2 * one, Bz=0 * one, spacing=dict.fromkeys("xyz", 1.0))
    scales = mm.anisotropy.scales(ds).compute()
    assert float(scales.dB_par_rms) == float(scales.dB_perp_rms) == float(scales.dB_over_B0) == 0
    assert np.isnan(scales.l_par)


def test_fluctuation_is_lazy_and_along_the_mean(turbulent, no_compute):
    import dask

    lazy = mm.anisotropy.fluctuation(turbulent.chunk(z=4))
    scales = mm.anisotropy.scales(turbulent.chunk(z=4))
    with dask.config.set(scheduler="threads"):
        along = lazy.compute()
        assert float(along.mean()) == pytest.approx(0, abs=1e-6)
        assert float(along.std()) == pytest.approx(float(scales.dB_par_rms), rel=1e-5)
        eager = mm.anisotropy.scales(turbulent)
        for name in eager:
            assert float(scales[name]) == pytest.approx(float(eager[name]), rel=1e-6)


def test_without_a_mean_field_a_direction_is_asked_for():
    ds = mm.samples.load("mhd_turbulence")
    lazy = mm.anisotropy.scales(ds)
    with pytest.raises(mm.SnapshotError, match="say what parallel means"):
        lazy.compute()
    assert float(mm.anisotropy.scales(ds, direction="x").dB_par_rms) == pytest.approx(0.25964843, rel=1e-6)

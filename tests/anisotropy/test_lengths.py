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


def bottle(n=48, l_par=3.0, l_perp=2.0, axis=(1.0, 0.0, 0.0)):
    """One bottle of science.md section 6 on a uniform field along an axis, from its closed form."""
    axis = np.array(axis) / np.linalg.norm(axis)
    centre = (np.arange(n) + 0.5) - n / 2
    z, y, x = np.meshgrid(centre, centre, centre, indexing="ij")
    along = axis[0] * x + axis[1] * y + axis[2] * z
    across = np.stack([x, y, z]) - axis[:, None, None, None] * along
    square = (across**2).sum(axis=0)
    bell = 0.01 * np.exp(-square / (2 * l_perp**2) - along**2 / (2 * l_par**2))
    field = axis[:, None, None, None] * (1 + (2 - square / l_perp**2) * bell) + across * along / l_par**2 * bell
    fields = dict(zip(("Bx", "By", "Bz"), field, strict=True))
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (1, -2, 2), (3, 0, 4)])
def test_a_bottle_has_its_exact_moments(axis):
    """Along the grid and oblique to it."""
    l_par, l_perp = 3.0, 2.0
    scales = mm.anisotropy.scales(bottle(l_par=l_par, l_perp=l_perp, axis=axis))
    assert float(scales.k_perp_rms) ** 2 == pytest.approx(3 / l_perp**2, rel=1e-3)
    assert float(scales.k_par_rms) ** 2 == pytest.approx(1 / (2 * l_par**2), rel=1e-3)
    assert float(scales.dB_perp_rms / scales.dB_par_rms) ** 2 == pytest.approx(l_perp**2 / (4 * l_par**2), rel=1e-3)
    # R along x is a Gaussian, positive everywhere: its first zero is at infinity
    assert float(scales.l_par) == pytest.approx(np.sqrt(np.pi) * l_par, rel=0.02)
    # across it the correlation is (1 - r^2/2l^2 + r^4/32l^4) exp(-r^2/4l^2): with q = r^2/l^2 its first zero is at
    # q = 8 - sqrt(32), and the integral up to there is the stated 0.6647 l_perp, or more than the one to infinity
    q = np.linspace(0, np.sqrt(8 - np.sqrt(32)), 20001)
    shape = (1 - q**2 / 2 + q**4 / 32) * np.exp(-(q**2) / 4)
    assert float(scales.l_perp) == pytest.approx(np.trapezoid(shape, q) * l_perp, rel=0.02)
    whole = np.linspace(0, 40, 20001)
    assert np.trapezoid((1 - whole**2 / 2 + whole**4 / 32) * np.exp(-(whole**2) / 4), whole) == pytest.approx(
        0.6647, abs=1e-4
    )
    assert float(scales.l_perp_cutoff) == pytest.approx(q[-1] * l_perp, rel=0.02)


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


@pytest.mark.parametrize("direction", [None, "x"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_fluctuation_that_is_not_finite_is_refused(direction, bad):
    ds = bottle(16).copy(deep=True)
    ds.Bz[3, 4, 5] = bad
    for one in (ds, ds.chunk(z=3, x=5)):
        with pytest.raises(mm.SnapshotError, match="finite"):
            mm.anisotropy.fluctuation(one, direction=direction).compute()


def test_a_plane_is_a_box_in_which_nothing_changes_along_the_third_axis():
    rng = np.random.default_rng(2)
    fields = {f"B{c}": rng.normal(size=(12, 18)) + m for c, m in zip("xyz", (1, -2, 0.5), strict=True)}
    options = {"spacing": {"z": 1.0, "y": 1.0, "x": 0.5}, "dims": ("z", "y", "x")}
    flat = mm.io.from_arrays(**fields, spacing={"y": 1.0, "x": 0.5}, dims=("y", "x"))
    deep = mm.io.from_arrays(**{k: np.broadcast_to(f, (40, *f.shape)).copy() for k, f in fields.items()}, **options)
    one, other = (mm.anisotropy.scales(ds, subvolumes=0) for ds in (flat, deep))
    for name in one:
        # another longest axis has other bins of wavenumber
        assert float(other[name]) == pytest.approx(float(one[name]), rel=1e-5), name


def test_without_a_mean_field_a_direction_is_asked_for():
    ds = mm.samples.load("mhd_turbulence")
    lazy = mm.anisotropy.scales(ds)
    with pytest.raises(mm.SnapshotError, match="say what parallel means"):
        lazy.compute()
    assert float(mm.anisotropy.scales(ds, direction="x").dB_par_rms) == pytest.approx(0.25964843, rel=1e-6)


def gaussian_field(n=64, aspect=2.5, seed=0, strength=0.1):
    """Random phases, with power that is a function of q² = (aspect k_x)² + k_y² + k_z², on a mean field along x."""
    rng = np.random.default_rng(seed)
    k = np.fft.fftfreq(n) * n
    kz, ky, kx = np.meshgrid(k, k, np.fft.rfftfreq(n) * n, indexing="ij")
    q2 = (aspect * kx) ** 2 + ky**2 + kz**2
    amplitude = np.exp(-q2 / (2 * 6.0**2))
    amplitude[0, 0, 0] = 0
    parts = [
        np.fft.irfftn(np.fft.rfftn(rng.normal(size=(n,) * 3)) * amplitude, s=(n,) * 3, axes=(0, 1, 2)) for _ in "xyz"
    ]
    scale = strength / np.std(parts)
    fields = {f"B{c}": part * scale + (c == "x") for c, part in zip("xyz", parts, strict=True)}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x"))


def test_a_known_spectrum_gives_its_scales_back_within_the_stated_errors():
    """R(s) of a Gaussian spectrum exp(-q²/2 6²) twice is a Gaussian; all of it is known."""
    width = 6.0 / np.sqrt(2) * 2 * np.pi / 64  # of the power in k_perp, one axis
    want = {
        "k_perp_rms": np.sqrt(2) * width,
        "k_par_rms": width / 2.5,
        "l_perp": np.sqrt(np.pi / 2) / width,
        "l_par": 2.5 * np.sqrt(np.pi / 2) / width,
        "skewness": 0.0,
        "kurtosis": 3.0,
    }
    runs = [mm.anisotropy.scales(gaussian_field(seed=s)) for s in range(8)]
    for name, value in want.items():
        found = np.array([float(r[name]) for r in runs])
        error = np.array([float(r[f"{name}_error"]) for r in runs])
        spread = found.std(ddof=1)
        # scales to a zero of a finite sample are shorter than those to infinity, by less than their scatter
        assert abs(found.mean() - value) < 4 * spread / np.sqrt(8) + (0.05 * value if name.startswith("l_") else 0), (
            name
        )
        if name.startswith(("k_par", "k_perp")):  # k_perp of a sharp grid has small errors of its own
            assert 0.4 < error.mean() / spread < 2.5, name


def test_errors_are_those_of_independent_boxes():
    """The error of the strength from one box is the scatter between boxes."""
    runs = [mm.anisotropy.scales(gaussian_field(n=48, seed=s)) for s in range(24)]
    # each box is drawn with its own strength scale: compare what a common scale leaves, the skewness
    for name in ("skewness", "kurtosis", "dB_perp2_over_dB_par2"):
        spread = np.std([float(r[name]) for r in runs], ddof=1)
        error = np.mean([float(r[f"{name}_error"]) for r in runs])
        assert 0.5 < error / spread < 1.7, name


def test_density_anticorrelated_with_the_mirrors():
    ds = mm.samples.load("micromirrors").isel(time=-1)
    scales = mm.anisotropy.scales(ds)
    along = mm.anisotropy.fluctuation(ds).values.ravel()
    assert float(scales.correlation_dn) == pytest.approx(np.corrcoef(along, ds.n.values.ravel())[0, 1], rel=1e-5)
    assert float(scales.correlation_dn) < -0.5
    assert "correlation_dn" not in mm.anisotropy.scales(ds[["Bx", "By", "Bz"]])
    with pytest.raises(mm.SnapshotError, match="no density 'rho'"):
        mm.anisotropy.scales(ds, density="rho")
    for bad in (1, -2, 2.5, True):
        with pytest.raises(mm.ArgumentError, match="subvolumes"):
            mm.anisotropy.scales(ds, subvolumes=bad)


@pytest.mark.parametrize("shape", [(9, 12, 16), (8, 10), (14,)])
def test_scales_do_not_depend_on_chunks(shape, no_compute):
    import dask

    rng, dims = np.random.default_rng(7), ("z", "y", "x")[-len(shape) :]
    fields = {f"B{c}": (rng.normal(size=shape) + i).astype(np.float32) for i, c in enumerate("xyz")}
    ds = mm.io.from_arrays(**fields, n=rng.random(shape), spacing=dict.fromkeys(dims, 0.5), dims=dims)
    lazy = mm.anisotropy.scales(ds.chunk(dict.fromkeys(dims, 5)))
    with dask.config.set(scheduler="threads"):
        chunked, eager = lazy.compute(), mm.anisotropy.scales(ds)
    for name in eager:
        np.testing.assert_allclose(chunked[name], eager[name], rtol=2e-5, atol=1e-6, err_msg=name)

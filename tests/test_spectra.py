import re

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


def test_an_oblique_wave_in_cells_that_are_not_cubic():
    shape, widths = (10, 12, 18), (0.5, 1.0, 0.25)
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) * w for n, w in zip(shape, widths, strict=True)], indexing="ij")
    k = 2 * np.pi * np.array([2 / (10 * 0.5), 3 / 12.0, -1 / (18 * 0.25)])
    wave = np.sin(k @ np.stack([z, y, x]).reshape(3, -1)).reshape(shape)
    along = np.array([1.0, 2.0, 2.0]) / 3
    spacing = dict(zip("zyx", widths, strict=True))
    ds = mm.io.from_arrays(Bx=0 * x, By=wave, Bz=0 * x, spacing=spacing, dims=("z", "y", "x"))
    for spectrum, want in (
        (mm.spectra.power(ds, ["By"]), {"k": np.linalg.norm(k)}),
        (
            mm.spectra.power2d(ds, ["By"], direction=along[::-1]),
            {"k_par": abs(k @ along), "k_perp": np.sqrt(k @ k - (k @ along) ** 2)},
        ),
    ):
        peak = spectrum.isel(spectrum.argmax(...))
        for name, value in want.items():
            assert abs(float(peak[name]) - value) <= float(peak[f"{name}_width"]) / 2
        assert float(spectrum.where(spectrum < spectrum.max()).max()) < 1e-26


def test_a_gaussian_field_has_the_spectrum_it_was_made_with():
    n = 32
    waves = mm.fourier.waves.waves_of("zyx", (n,) * 3, (1.0,) * 3)
    k = np.sqrt(sum(c**2 for c in waves.k))
    shape = np.exp(-((k - 1.2) ** 2) / 0.3)
    modes = np.fft.rfftn(np.random.default_rng(3).normal(size=(n,) * 3)) * np.sqrt(shape)
    field = np.fft.irfftn(modes, (n,) * 3, axes=(0, 1, 2))
    spacing = dict.fromkeys("zyx", 1.0)
    ds = mm.io.from_arrays(Bx=field, By=0 * field, Bz=0 * field, spacing=spacing, dims=("z", "y", "x"))
    got = mm.spectra.power(ds, ["Bx"])
    fold = np.where(waves.k[2] > 0, 2.0, 1.0) * np.where(waves.nyquist[2], 0.5, 1.0) * np.ones(k.shape)
    place = np.rint(k * n / (2 * np.pi)).astype(int)
    want = np.bincount(place.ravel(), (fold * shape).ravel()) / (2 * n**3)
    shells = (got * got.k_width).values
    scatter = (shells / want[1 : len(shells) + 1] - 1) * np.sqrt(got.modes.values / 2)
    inside = (got.k > 0.5) & (got.k < 2.5)
    assert np.abs(scatter[inside]).max() < 4
    assert 0.5 < scatter[inside].std() < 1.6


def test_white_noise_is_flat_per_mode():
    ds = make((24, 24, 24), (1, 1, 1))
    one = mm.spectra.power(ds)
    per_mode = (one * one.k_width / one.modes)[2:]
    want = energy(ds) / (24**3 - 1)
    assert np.abs(per_mode / want - 1).max() < 6 / np.sqrt(3 * one.modes.values[2:].min())


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_eager_equals_chunked_lazily(no_compute, dtype, tolerance):
    ds = make((8, 9, 10), (1, 0.5, 2), dtype)
    lazy = ds.chunk(z=3, y=2, x=7)
    one, two = mm.spectra.power(lazy), mm.spectra.power2d(lazy)
    with dask.config.set(scheduler="threads"):
        xr.testing.assert_allclose(one.compute(), mm.spectra.power(ds), rtol=tolerance)
        xr.testing.assert_allclose(two.compute(), mm.spectra.power2d(ds), rtol=tolerance)


@pytest.mark.parametrize("chunks", [None, {"z": 3}, {"z": 5, "y": 4, "x": 10}])
def test_small_fluctuations_on_a_large_mean_keep_their_power(chunks):
    rng = np.random.default_rng(5)
    fields = {f"B{c}": (1 + 1e-5 * rng.normal(size=(12, 15, 10))).astype(np.float32) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    want = energy(ds.astype(np.float64))
    ds = ds.chunk(chunks) if chunks else ds
    one, two = mm.spectra.power(ds), mm.spectra.power2d(ds, direction=(1, 2, 3))
    assert float((one * one.k_width).sum()) == pytest.approx(want, rel=1e-6)
    assert float((two * two.k_perp_width * two.k_par_width).sum()) == pytest.approx(want, rel=1e-6)
    assert float(mm.spectra.correlation(ds, axis="y")[0]) == pytest.approx(2 * want, rel=1e-12)


def test_fluctuations_are_about_the_mean_of_all_planes():
    """The first plane's mean, which is taken out before transforms, is far from that of the box here."""
    ds = make((9, 8, 10), (1, 1, 1))
    ds = ds.assign(Bx=ds.Bx + 50 * (ds.z < 1))
    x = ds.Bx.transpose("z", "y", "x").values - float(ds.Bx.mean())
    for padded in (False, True):
        got = mm.spectra.correlation(ds, ["Bx"], axis="z", padded=padded)
        for lag in range(5):
            pairs = x[: 9 - lag] * x[lag:] if padded else x * np.roll(x, -lag, 0)
            assert float(got[lag]) == pytest.approx(pairs.mean(), rel=1e-10)
    along = mm.spectra.reduced_spectrum(ds, ["Bx"], axis="z")
    assert float((along * along.k_width).sum()) == pytest.approx((x**2).mean() / 2, rel=1e-12)


def test_what_is_not_finite_is_named_where_it_is():
    ds = make((6, 7, 8), (1, 1, 1)).expand_dims(time=[0.0, 1.0]).copy(deep=True)
    ds["By"][1, 3, 4, 5] = np.nan
    for lazy in (ds, ds.chunk(time=1, z=2)):
        for call in (
            lambda d: mm.spectra.power(d),
            lambda d: mm.spectra.reduced_spectrum(d, axis="y"),
            lambda d: mm.spectra.correlation(d, axis="z", padded=True),
        ):
            with pytest.raises(mm.SnapshotError, match="By is not finite at index") as failure:
                call(lazy).compute()
            message = str(failure.value)
            numbers = [int(n) for n in re.findall(r"\d+", message)]
            assert numbers[0] == 1 or "block (1" in message, message
            assert "(0, 0, 0" not in message
        with pytest.raises(mm.SnapshotError, match=r"By is not finite at index \(1, 3, 4, 5\)"):
            mm.fourier.filter(lazy, mm.fourier.band(k_perp=(0, 1)), direction="x").compute()
        cut = lazy.assign_attrs(boundary_x="open")
        with pytest.raises(mm.SnapshotError, match=r"By is not finite at index \(1, 3, 4, 5\)"):
            mm.spectra.power(mm.fourier.taper(cut)).compute()


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
    with pytest.raises(mm.ArgumentError, match="a list of variables"):
        mm.spectra.power(turbulent, "Bx")
    with pytest.raises(mm.SnapshotError, match="x is open"):
        mm.spectra.power2d(turbulent.assign_attrs(boundary_x="open"))


def test_chunk_by_chunk_at_any_size(monkeypatch, no_compute):
    """Through slabs and pencils, never whole."""
    from mmfields.fourier import pencils

    monkeypatch.setattr(pencils, "BLOCK_BYTES", 1 << 12)
    ds = make((12, 9, 10), (1, 0.5, 2))
    lazy = ds.chunk(z=5, y=4, x=6)
    calls = [
        lambda d: mm.spectra.power(d),
        lambda d: mm.spectra.power2d(d, direction=(1, 2, -1)),
        lambda d: mm.spectra.power2d(d),
        lambda d: mm.spectra.reduced_spectrum(d, axis="y"),
        lambda d: mm.spectra.cross(d, "Bx", "By"),
        lambda d: mm.spectra.coherence(d, "Bx", "Bz"),
        lambda d: mm.spectra.correlation(d, axis="z"),
        lambda d: mm.spectra.integral_scale(mm.spectra.correlation(d, axis="x", padded=True)),
    ]
    for call in calls:
        result = call(lazy)
        assert result.chunks is not None
        with dask.config.set(scheduler="threads"):
            xr.testing.assert_allclose(result.compute(), call(ds), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 9, 10), (7, 12), (15,)])
def test_reduced_and_cross_satisfy_parseval(shape):
    ds = make(shape, (0.5, 1.0, 0.3)[: len(shape)])
    for axis in mm.conventions.spatial_dims(ds):
        one = mm.spectra.reduced_spectrum(ds, axis=axis)
        assert float((one * one.k_width).sum()) == pytest.approx(energy(ds), rel=1e-12)
    both = mm.spectra.cross(ds, "Bx", "By")
    covariance = float(((ds.Bx - ds.Bx.mean()) * (ds.By - ds.By.mean())).mean())
    assert float((both * both.k_width).sum()) == pytest.approx(covariance / 2, rel=1e-10)
    np.testing.assert_allclose(mm.spectra.coherence(ds, "Bx", "Bx")[:3], 1)
    assert float(mm.spectra.coherence(ds, "Bx", "By").max()) <= 1 + 1e-12


def test_a_power_law_comes_back_with_its_error():
    n, index = 48, 5 / 3
    rng = np.random.default_rng(7)
    k = np.sqrt(sum(c**2 for c in mm.fourier.waves.waves_of("zyx", (n,) * 3, (1.0,) * 3).k))
    amplitude = np.where(k > 0, np.maximum(k, 1e-9) ** (-(index + 2) / 2), 0)
    fields = {
        f"B{c}": np.fft.irfftn(np.fft.rfftn(rng.normal(size=(n,) * 3)) * amplitude, (n,) * 3, axes=(0, 1, 2))
        for c in "xyz"
    }
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    fit = mm.spectra.slope(mm.spectra.power(ds), (0.4, 2.5))
    assert abs(float(fit.slope) + index) < 4 * float(fit.slope_error)
    assert float(fit.slope_error) < 0.05
    inside = fit.compensated.sel(k=slice(0.4, 2.5))
    assert abs(float(np.log(inside).mean())) < 0.05
    assert fit.compensated.sizes["k"] == mm.spectra.power(ds).sizes["k"]
    with pytest.raises(mm.SnapshotError, match="three are needed"):
        mm.spectra.slope(mm.spectra.power(ds), (0.4, 0.41))


def test_correlation_of_a_wave_and_its_integral_scale():
    n = 64
    x = (np.arange(n) + 0.5) * 0.5
    wave = np.cos(2 * np.pi * 2 * x / 32) + np.zeros((3, 2, n))
    ds = mm.io.from_arrays(Bx=wave, By=0 * wave, Bz=0 * wave, spacing={"z": 1, "y": 1, "x": 0.5}, dims=("z", "y", "x"))
    r = mm.spectra.correlation(ds, axis="x")
    np.testing.assert_allclose(r, 0.5 * np.cos(2 * np.pi * 2 * r.r / 32), atol=1e-12)
    assert float(mm.spectra.integral_scale(r)) == pytest.approx(32 / (4 * np.pi), rel=5e-3)
    rng = np.random.default_rng(1)
    noise = mm.io.from_arrays(Bx=rng.normal(size=500), spacing={"x": 1.0}, dims=("x",), boundary="open")
    with pytest.raises(mm.SnapshotError, match="padded=True"):
        mm.spectra.correlation(noise, ["Bx"], axis="x")
    padded = mm.spectra.correlation(noise, ["Bx"], axis="x", padded=True)
    values = noise.Bx.values - noise.Bx.values.mean()
    for lag in (0, 1, 7, 200):
        assert float(padded[lag]) == pytest.approx(np.mean(values[lag:] * values[: 500 - lag]), abs=1e-12)


def test_cross_spectra_do_not_depend_on_the_order_of_axes():
    n = 16
    x = np.arange(n) + 0.5
    for axis in range(3):
        phase = (2 * np.pi * 3 / n * x).reshape([n if a == axis else 1 for a in range(3)]) + np.zeros((n,) * 3)
        fields = {"Bx": np.cos(phase), "By": np.sin(phase + 0.4), "Bz": 0 * phase}
        ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
        both = mm.spectra.cross(ds, "Bx", "By")
        assert float(both[2] * both.k_width[2]) == pytest.approx(0.25 * np.sin(0.4))
        assert float(mm.spectra.coherence(ds, "Bx", "By")[2]) == pytest.approx(np.sin(0.4) ** 2)
        np.testing.assert_allclose(mm.spectra.cross(ds.transpose("x", "z", "y"), "Bx", "By"), both, atol=1e-13)


def test_independent_fields_have_a_coherence_of_one_over_modes():
    one = mm.spectra.coherence(make((24, 24, 24), (1, 1, 1)), "Bx", "By")
    assert float((one * one.modes)[2:].mean()) == pytest.approx(1, abs=0.6)


def test_modes_on_the_edge_of_two_bins_do_not_depend_on_the_order_of_axes():
    ds = make((8, 9, 10), (0.5, 1, 0.3))
    for direction in (None, "y", (1, 2, 3)):
        one = mm.spectra.power2d(ds, direction=direction)
        for order in (("z", "x", "y"), ("x", "y", "z")):
            turned = mm.spectra.power2d(ds.transpose(*order), direction=direction)
            np.testing.assert_allclose(turned, one, rtol=1e-9, atol=1e-12 * float(one.max()))
            np.testing.assert_allclose(turned.modes, one.modes)
    np.testing.assert_array_equal(mm.spectra.power(ds.transpose("x", "z", "y")).modes, mm.spectra.power(ds).modes)


def test_modes_travel_along():
    ds = make((6, 9, 8), (0.5, 1, 0.3))
    for direction in ("x", (1, 2, 3)):
        two = mm.spectra.power2d(ds, direction=direction)
        assert float(two.modes.sum()) == pytest.approx(6 * 9 * 8 - 1)
        assert two.modes.dims == ("k_perp", "k_par")
    for axis in "xyz":
        one = mm.spectra.reduced_spectrum(ds, axis=axis)
        assert int(one.modes.sum()) == 6 * 9 * 8 - 1
    lazy = mm.spectra.power(ds.chunk(z=2))
    assert lazy.modes.chunks is not None


def test_a_field_that_is_not_finite_gives_no_direction():
    ds = make((8, 9, 10), (1, 1, 1))
    ds["n"] = ds.Bx * 0 + 1
    ds["By"] = ds.By.where(ds.By < 2.5)
    for one in (ds, ds.chunk(z=3)):
        with pytest.raises(mm.SnapshotError, match="B is not finite"):
            mm.spectra.power2d(one, ["n"]).compute()
        with pytest.raises(mm.SnapshotError, match="B is not finite"):
            mm.fourier.filter(one[["Bx", "By", "Bz", "n"]], mm.fourier.band(k_par=(0, 1)))["n"].compute()


def test_the_window_of_a_taper_is_divided_out_of_correlations():
    rng = np.random.default_rng(1)
    fields = {f"B{c}": rng.normal(size=(8, 6, 64)) for c in "xyz"}
    options = {"spacing": dict.fromkeys("zyx", 1.0), "dims": ("z", "y", "x"), "boundary": {"x": "open"}}
    tapered = mm.fourier.taper(mm.io.from_arrays(**fields, **options))
    want = sum(float(f.var()) for f in fields.values())
    assert float(mm.spectra.correlation(tapered, axis="x")[0]) == pytest.approx(want, rel=0.08)


def test_transforms_along_some_axes_keep_blocks_small(no_compute):
    zeros = dask.array.zeros((1024,) * 3, chunks=(64, 1024, 1024), dtype=np.float32)
    ds = mm.io.from_arrays(Bx=zeros, By=zeros, Bz=zeros, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))

    def largest(array):
        return max(np.prod([max(c) for c in array.chunks]) * array.dtype.itemsize, 0)

    for dims in (["z"], ["z", "y"], ["x"], None):
        spectrum = mm.fourier.fft(ds.Bx, dims)
        assert largest(spectrum.data) < 1.2e9
        assert mm.fourier.ifft(spectrum).chunks == ds.Bx.chunks


def test_bad_calls_of_slopes_and_scales():
    ds = make((8, 9, 10), (1, 1, 1))
    two = mm.spectra.power(xr.concat([ds, ds], "time").assign_attrs(ds.attrs))
    with pytest.raises(mm.SnapshotError, match="one spectrum over k"):
        mm.spectra.slope(two, (0.1, 2))
    flat = mm.spectra.correlation(make((1, 8, 9), (1, 1, 1)), axis="z")
    with pytest.raises(mm.SnapshotError, match="one cell"):
        mm.spectra.integral_scale(flat)
    with pytest.raises(mm.ArgumentError, match="give 'x', 'y', 'z'"):
        mm.spectra.power2d(ds, direction=mm.mean_field(ds))
    huge = make((8, 8, 8), (1, 1, 1), np.float32) * np.float32(1e37)
    with pytest.raises(mm.SnapshotError, match="overflows float32"):
        mm.spectra.power(huge.assign_attrs(ds.attrs))


def test_spectra_of_a_series_keep_its_time():
    import xarray as xr

    rng, shape = np.random.default_rng(4), (5, 6, 8)
    fields = {f"B{c}": rng.normal(size=shape) + m for c, m in zip("xyz", (1, -2, 0.5), strict=True)}
    one = mm.io.from_arrays(**fields, spacing={"z": 0.5, "y": 1.0, "x": 0.25}, dims=("z", "y", "x"))
    both = xr.concat([one, 2 * one], xr.DataArray([3.0, 5.0], dims="time", name="time")).assign_attrs(one.attrs)
    for ds in (both, both.chunk(time=1, x=3)):
        for found, alone in (
            (mm.spectra.power(ds), mm.spectra.power(one)),
            (mm.spectra.power2d(ds), mm.spectra.power2d(one)),
            (mm.spectra.reduced_spectrum(ds, axis="y"), mm.spectra.reduced_spectrum(one, axis="y")),
            (mm.spectra.cross(ds, "Bx", "By"), mm.spectra.cross(one, "Bx", "By")),
            (mm.spectra.correlation(ds, axis="x"), mm.spectra.correlation(one, axis="x")),
        ):
            np.testing.assert_allclose(found.sel(time=5.0), 4 * alone, rtol=1e-9, atol=1e-12)
        assert mm.spectra.integral_scale(mm.spectra.correlation(ds, axis="x")).time.values.tolist() == [3.0, 5.0]


@pytest.mark.parametrize("chunks", [None, {"z": 2, "x": 3}])
def test_correlations_name_the_place_that_is_not_finite(chunks):
    rng = np.random.default_rng(0)
    fields = {f"B{c}": rng.normal(size=(4, 5, 6)) for c in "xyz"}
    fields["By"][2, 3, 4] = np.nan
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    ds = ds if chunks is None else ds.chunk(chunks)
    for axis in "xyz":
        with pytest.raises(mm.SnapshotError, match=r"By is not finite at index \(2, 3, 4\)"):
            mm.spectra.correlation(ds, axis=axis).compute()
        with pytest.raises(mm.SnapshotError, match=r"By is not finite at index \(2, 3, 4\)"):
            mm.spectra.reduced_spectrum(ds, axis=axis).compute()


@pytest.mark.parametrize(
    ("shape", "dims"),
    [((9, 12, 15), "zyx"), ((8, 5, 6), "xyz"), ((9, 14), "xy"), ((1, 12, 16), "zyx"), ((8, 1, 6), "zyx"), ((16,), "y")],
)
def test_laws_of_sums_for_any_axes(shape, dims):
    """Sums of spectra, counts of modes and correlations against rolled arrays, in cells that are not cubic."""
    rng, dims = np.random.default_rng(3), tuple(dims)
    widths = dict(zip(dims, (0.5, 1.0, 0.25), strict=False))
    fields = {f"B{c}": rng.normal(size=shape) + m for c, m in zip("xyz", (1, -2, 0.5), strict=True)}
    ds = mm.io.from_arrays(**fields, spacing=widths, dims=dims)
    rest = {name: ds[name].values - ds[name].values.mean() for name in fields}
    strength = sum((a**2).mean() for a in rest.values())
    power, annuli = mm.spectra.power(ds), mm.spectra.power2d(ds)
    assert float((power * power.k_width).sum()) == pytest.approx(strength / 2)
    assert float((annuli * annuli.k_perp_width * annuli.k_par_width).sum()) == pytest.approx(strength / 2)
    assert float(power.modes.sum()) == pytest.approx(np.prod(shape) - 1)
    assert float(annuli.modes.sum()) == pytest.approx(np.prod(shape) - 1)
    cross = mm.spectra.cross(ds, "Bx", "Bz")
    assert float((cross * cross.k_width).sum()) == pytest.approx((rest["Bx"] * rest["Bz"]).mean() / 2)
    for i, axis in enumerate(dims):
        line = mm.spectra.reduced_spectrum(ds, axis=axis)
        assert float((line * line.k_width).sum()) == pytest.approx(strength / 2)
        assert float(line.modes.sum()) == np.prod(shape) - 1
        around, inside = mm.spectra.correlation(ds, axis=axis), mm.spectra.correlation(ds, axis=axis, padded=True)
        for r in range(around.sizes["r"]):
            assert float(around.r[r]) == pytest.approx(r * widths[axis])
            want = sum((a * np.roll(a, -r, i)).mean() for a in rest.values())
            assert float(around[r]) == pytest.approx(want, abs=1e-12)
            ends = [np.take(a, range(r, shape[i]), i) * np.take(a, range(shape[i] - r), i) for a in rest.values()]
            if r < shape[i]:
                assert float(inside[r]) == pytest.approx(sum(a.mean() for a in ends), abs=1e-12)

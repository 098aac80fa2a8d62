import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm

BANDS = [
    mm.fourier.band(k_par=(0, 3), k_perp=(1, 4)),
    mm.fourier.band(k_perp=(2, 6), keep_mean=True),
    ~mm.fourier.band(k_par=(1, 5)),
    mm.fourier.band(k_par=(0, 6)) * mm.fourier.band(k_perp=(1, 7)),
]


@pytest.mark.parametrize("transfer", BANDS, ids=lambda g: g.label)
@pytest.mark.parametrize("direction", [None, "y", (1, 2, -1)])
def test_filtered_and_residual_make_the_original(turbulent, transfer, direction):
    ds = turbulent.astype(np.float64)
    part = mm.fourier.filter(ds, transfer, direction=direction)
    rest = mm.fourier.filter(ds, ~transfer, direction=direction)
    for name in ds.data_vars:
        np.testing.assert_allclose(part[name] + rest[name], ds[name], atol=1e-13)
        assert part[name].dims == ds[name].dims
        assert part[name].attrs == ds[name].attrs
        kept = float(part[name].mean())
        assert kept == pytest.approx(float(ds[name].mean()) * transfer.mean, abs=1e-13)
    assert part.attrs["filter"] == transfer.label


def test_sharp_parts_are_orthogonal(turbulent):
    ds = turbulent.astype(np.float64)
    g = BANDS[0]
    part, rest = mm.fourier.filter(ds, g, direction="x"), mm.fourier.filter(ds, ~g, direction="x")
    for name in ("Bx", "By", "Bz"):
        assert float((part[name] * rest[name]).mean()) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("chunks", [{"z": 3, "y": 12, "x": 5}, {"z": 9, "y": 4, "x": 16}, {"x": 1}])
def test_eager_equals_chunked_and_nothing_is_computed_early(turbulent, chunks, no_compute):
    g = mm.fourier.band(k_par=(0, 4), k_perp=(0.5, 5))
    lazy = mm.fourier.filter(turbulent.chunk(chunks), g)
    assert lazy.Bx.chunks is not None
    with dask.config.set(scheduler="threads"):
        eager = mm.fourier.filter(turbulent, g)
        xr.testing.assert_allclose(lazy.compute(), eager, rtol=1e-6, atol=1e-6)
    assert lazy.Bx.dtype == np.float32


@pytest.mark.parametrize("n", [8, 9])
def test_a_plane_wave_passes_or_not(n):
    x = (np.arange(n) + 0.5) / n
    wave = np.cos(2 * np.pi * 2 * x)[None, None, :] + np.zeros((4, 5, n))
    ds = mm.io.from_arrays(
        Bx=wave * 0 + 1, By=wave, Bz=wave, spacing={"z": 1, "y": 1, "x": 1 / n}, dims=("z", "y", "x")
    )
    k = 4 * np.pi
    inside = mm.fourier.filter(ds, mm.fourier.band(k_par=(0.9 * k, 1.1 * k), k_perp=(0, 1)))
    np.testing.assert_allclose(inside.By, wave, atol=1e-13)
    np.testing.assert_allclose(inside.Bx, 0, atol=1e-13)
    outside = mm.fourier.filter(ds, mm.fourier.band(k_par=(1.1 * k, np.inf)))
    np.testing.assert_allclose(outside.By, 0, atol=1e-13)
    across = mm.fourier.filter(ds, mm.fourier.band(k_perp=(0.9 * k, 1.1 * k)), direction="y")
    np.testing.assert_allclose(across.By, wave, atol=1e-13)


def test_divergence_stays_zero_under_any_filter():
    rng = np.random.default_rng(3)
    shape = (8, 10, 12)
    k = list(mm.fourier.waves.waves_of("zyx", shape, (1, 1, 1)).k)
    # zero the Nyquist planes, where the derivative of a real field is not real
    k = [np.where(np.isclose(np.abs(c), np.pi), 0, c) for c in k]
    potential = [np.fft.rfftn(rng.normal(size=shape)) for _ in range(3)]
    kz, ky, kx = k
    curl = [
        1j * (ky * potential[2] - kz * potential[1]),
        1j * (kz * potential[0] - kx * potential[2]),
        1j * (kx * potential[1] - ky * potential[0]),
    ]
    fields = {f"B{c}": np.fft.irfftn(b, shape, axes=(0, 1, 2)) for c, b in zip("xyz", curl, strict=True)}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    part = mm.fourier.filter(ds, mm.fourier.band(k_par=(0, 1.5), k_perp=(0.3, 2)), direction=(1, 1, 0))
    spectra = [np.fft.rfftn(part[f"B{c}"].values) for c in "zyx"]
    divergence = sum(c * s for c, s in zip(k, spectra, strict=True))
    assert np.abs(divergence).max() < 1e-10 * np.abs(spectra[0]).max()


def test_time_runs_along(turbulent):
    two = xr.concat([turbulent, turbulent.isel(x=slice(None, None, -1)).assign_coords(x=turbulent.x)], "time")
    two = two.assign_attrs(turbulent.attrs)
    g = BANDS[0]
    both = mm.fourier.filter(two, g)
    one = mm.fourier.filter(two.isel(time=1), g)
    np.testing.assert_allclose(both.By.isel(time=1), one.By, atol=1e-6)


def test_bad_calls(turbulent):
    with pytest.raises(mm.ArgumentError, match="two ascending limits"):
        mm.fourier.band(k_par=(3, 1))
    with pytest.raises(mm.ArgumentError, match="edge='round'"):
        mm.fourier.band(k_par=(0, 1), edge="round")
    with pytest.raises(mm.SnapshotError, match="y is open"):
        mm.fourier.filter(turbulent.assign_attrs(boundary_y="open"), BANDS[0])
    holed = turbulent.chunk(z=3)
    holed["By"] = holed.By.where(holed.n < 1.9)
    lazy = mm.fourier.filter(holed, BANDS[0], direction="x")
    with pytest.raises(mm.SnapshotError, match="By is not finite at index"):
        lazy.By.compute()


@pytest.mark.parametrize("order", [("x", "y", "z"), ("y", "z", "x")])
def test_oblique_filters_do_not_depend_on_the_order_of_axes(order):
    """Modes on two or three Nyquist planes at once have no signs to tell them apart."""
    rng = np.random.default_rng(2)
    fields = {f"B{c}": rng.normal(size=(8, 8, 8)) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    for g in (mm.fourier.band(k_par=(0, 1.5)), mm.fourier.band(k_par=(0.5, 2), edge="cosine", width=0.5)):
        want = mm.fourier.filter(ds, g, direction=(1, 1, 0.3))
        got = mm.fourier.filter(ds.transpose(*order), g, direction=(1, 1, 0.3))
        np.testing.assert_allclose(got.By.transpose("z", "y", "x"), want.By, atol=1e-13)
    sharp = mm.fourier.band(k_par=(0, 1.5))
    once = mm.fourier.filter(ds, sharp, direction=(1, 1, 0.3))
    np.testing.assert_allclose(mm.fourier.filter(once, sharp, direction=(1, 1, 0.3)).Bx, once.Bx, atol=1e-13)
    rest = mm.fourier.filter(ds, ~sharp, direction=(1, 1, 0.3))
    assert float((once.Bx * rest.Bx).mean()) == pytest.approx(0, abs=1e-14)
    power = mm.spectra.power2d(ds, direction=(1, 1, 0.3))
    turned = mm.spectra.power2d(ds.transpose(*order), direction=(1, 1, 0.3))
    np.testing.assert_allclose(turned, power, atol=1e-12)


def test_limits_are_inside_though_the_mean_field_is_tilted_by_rounding():
    ds = mm.samples.load("micromirrors").isel(time=-1)
    g = mm.fourier.band(k_par=(0, 6 * 2 * np.pi / 96))
    tilted, straight = mm.fourier.filter(ds, g), mm.fourier.filter(ds, g, direction="x")
    np.testing.assert_allclose(tilted.Bx, straight.Bx, atol=1e-6)


def test_the_whole_sample_is_filtered_and_stored(tmp_path):
    ds = mm.samples.load("micromirrors")
    g = mm.fourier.band(k_par=(0, 0.4))
    part = mm.store(mm.fourier.filter(ds, g), tmp_path / "a.zarr", progress=False)
    rest = mm.fourier.filter(ds, ~g)
    for name in ds.data_vars:
        np.testing.assert_allclose(part[name] + rest[name] - ds[name], 0, atol=2e-5)


def test_integers_are_filtered_and_staggered_originals_left_out(turbulent):
    whole = (10 * turbulent).astype(int).assign_attrs(turbulent.attrs)
    whole["Bx_f"] = (("z", "y", "x_f"), np.ones((9, 12, 17)))
    part = mm.fourier.filter(whole, BANDS[0])
    assert part.By.dtype == np.float64
    assert float(np.abs(part.By - whole.By).max()) > 1
    assert "Bx_f" not in part
    with pytest.raises(mm.ArgumentError, match="a Transfer is needed"):
        mm.fourier.filter(turbulent, (0, 1))


def test_nan_in_a_chunk_is_named_with_its_block(monkeypatch, turbulent):
    monkeypatch.setattr(mm.fourier.pencils, "BLOCK_BYTES", 1 << 10)
    values = turbulent.Bz.values.copy()
    values[7, 2, 3] = np.nan
    holed = turbulent.assign(Bz=(turbulent.Bz.dims, values)).chunk(z=2)
    lazy = mm.fourier.filter(holed, BANDS[0], direction="x")
    lazy.By.compute()
    with pytest.raises(mm.SnapshotError, match=r"Bz is not finite at index \(1, 2, 3\) of block \(3, 0, 0\).* plane 6"):
        lazy.Bz.compute()


@pytest.mark.parametrize("call", ["filter", "power2d", "project", "curl", "power", "reduced", "correlation", "fft"])
def test_building_on_a_huge_array_takes_no_time(no_compute, call):
    """4096^3, in planes and in bricks: a graph of moderate size, and nothing computed."""
    for chunks in ((64, 4096, 4096), (256, 256, 256)):
        zeros = dask.array.zeros((4096,) * 3, chunks=chunks, dtype=np.float32)
        fields = {"Bx": zeros + 1, "By": zeros, "Bz": zeros}
        ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
        result = {
            "filter": lambda: mm.fourier.filter(ds, BANDS[0]),  # noqa: B023
            "power2d": lambda: mm.spectra.power2d(ds),  # noqa: B023
            "project": lambda: mm.fourier.project(ds),  # noqa: B023
            "curl": lambda: mm.fourier.curl(ds),  # noqa: B023
            "power": lambda: mm.spectra.power(ds),  # noqa: B023
            "reduced": lambda: mm.spectra.reduced_spectrum(ds, axis="x"),  # noqa: B023
            "correlation": lambda: mm.spectra.correlation(ds, axis="z"),  # noqa: B023
            "fft": lambda: mm.fourier.fft(ds.Bx),  # noqa: B023
        }[call]()
        assert result.chunks
        assert len(result.__dask_graph__()) < (50_000 if chunks[0] == 64 else 130_000)


def test_complex_fields_are_filtered_in_both_parts(turbulent, no_compute):
    ds = turbulent.astype(np.float64)
    wave = (ds.By + 1j * ds.Bz).assign_attrs(units="1", long_name="wave")
    both = ds.assign(single=wave.astype(np.complex64), wave=wave)
    g = mm.fourier.band(k_par=(0, 3), k_perp=(1, 4))
    lazy = mm.fourier.filter(both.chunk(z=4, x=6), g)
    with dask.config.set(scheduler="threads"):
        part, rest = mm.fourier.filter(both, g), mm.fourier.filter(both, ~g)
        np.testing.assert_allclose(part.wave, part.By + 1j * part.Bz, atol=1e-13)
        np.testing.assert_allclose(part.wave + rest.wave, wave, atol=1e-13)
        xr.testing.assert_allclose(lazy.compute(), part, atol=1e-6)
    assert part.single.dtype == lazy.single.dtype == np.complex64
    assert part.wave.attrs == wave.attrs and part.wave.dims == wave.dims


def test_masks_are_filtered_as_numbers(turbulent):
    ds = turbulent.assign(inside=turbulent.n > 1.4)
    part, rest = (mm.fourier.filter(ds, g) for g in (BANDS[0], ~BANDS[0]))
    number = mm.fourier.filter(ds.assign(inside=ds.inside.astype(float)), BANDS[0])
    np.testing.assert_array_equal(part.inside, number.inside)
    np.testing.assert_allclose(part.inside + rest.inside, ds.inside, atol=1e-13)


def test_what_is_no_number_is_refused(turbulent):
    for odd in (turbulent.n.astype(str), turbulent.n.astype("datetime64[s]")):
        with pytest.raises(mm.SnapshotError, match=r"odd is .*: real numbers are needed"):
            mm.fourier.filter(turbulent.assign(odd=odd), BANDS[0])
    complex_b = turbulent.assign(By=turbulent.By * 1j)  # has no mean direction, but may be filtered along one
    with pytest.raises(mm.SnapshotError, match=r"By is complex64.*\.real"):
        mm.fourier.filter(complex_b, BANDS[0])
    along = mm.fourier.filter(complex_b, BANDS[0], direction="x")
    np.testing.assert_allclose(along.By.imag, mm.fourier.filter(turbulent, BANDS[0], direction="x").By, atol=1e-5)

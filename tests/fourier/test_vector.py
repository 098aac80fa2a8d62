"""Projection, Helmholtz split and vector calculus."""

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm


@pytest.fixture
def noise():
    rng = np.random.default_rng(4)
    shape = (10, 9, 12)
    fields = {f"B{c}": rng.normal(size=shape) + m for c, m in zip("xyz", (1, -2, 0.5), strict=True)}
    return mm.io.from_arrays(**fields, spacing={"z": 0.5, "y": 1.0, "x": 0.25}, dims=("z", "y", "x"))


@pytest.fixture
def smooth(noise):
    """Without the Nyquist planes, whose derivative has no sign."""
    return mm.fourier.filter(noise, mm.fourier.low_pass(5.5, keep_mean=True))


def face_divergence(ds):
    widths = mm.conventions.spacing(ds)
    return sum((np.roll(ds[f"B{d}"].values, -1, ds.Bx.dims.index(d)) - ds[f"B{d}"].values) / widths[d] for d in "xyz")


@pytest.mark.parametrize("difference", ["spectral", "central", "face"])
def test_projection_removes_its_own_divergence(noise, difference):
    clean = mm.fourier.project(noise, difference=difference)
    if difference == "face":
        left = face_divergence(clean)
    else:
        left = mm.fourier.divergence(clean, difference=difference).values
    assert np.abs(left).max() < 1e-12 * np.abs(face_divergence(noise)).max()
    again = mm.fourier.project(clean, difference=difference)
    for name in ("Bx", "By", "Bz"):
        np.testing.assert_allclose(again[name], clean[name], atol=1e-12)
        assert float(clean[name].mean()) == pytest.approx(float(noise[name].mean()))
        assert clean[name].attrs == noise[name].attrs


def test_central_divergence_is_the_central_difference(noise):
    widths = mm.conventions.spacing(noise)
    want = sum(
        (np.roll(noise[f"B{d}"].values, -1, a) - np.roll(noise[f"B{d}"].values, 1, a)) / (2 * widths[d])
        for a, d in enumerate("zyx")
    )
    np.testing.assert_allclose(mm.fourier.divergence(noise, difference="central"), want, atol=1e-12)


def test_solenoidal_share_of_white_noise_is_two_thirds():
    rng = np.random.default_rng(5)
    fields = {f"B{c}": rng.normal(size=(24, 24, 24)) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    solenoidal, compressive = mm.fourier.helmholtz(ds)
    power = [sum(float((part[f"B{c}"] ** 2).mean()) for c in "xyz") for part in (solenoidal, compressive)]
    for c in "xyz":
        np.testing.assert_allclose(solenoidal[f"B{c}"] + compressive[f"B{c}"], ds[f"B{c}"], atol=1e-13)
    # Nyquist planes count as solenoidal: 3/24 of the modes have their divergence taken short
    assert power[0] / sum(power) == pytest.approx(2 / 3, abs=0.03)


def test_curl_of_the_potential_is_the_solenoidal_fluctuation(smooth):
    potential = mm.fourier.vector_potential(smooth)
    assert set(potential.data_vars) == {"Ax", "Ay", "Az"}
    back = mm.fourier.curl(potential.assign_attrs(smooth.attrs), "A")
    solenoidal, _ = mm.fourier.helmholtz(smooth)
    for c in "xyz":
        want = solenoidal[f"B{c}"] - solenoidal[f"B{c}"].mean()
        np.testing.assert_allclose(back[f"curl_A{c}"], want, atol=1e-12)
    gauge = mm.fourier.divergence(potential.assign_attrs(smooth.attrs), "A")
    assert np.abs(gauge).max() < 1e-12


def test_curl_of_a_known_field():
    n = 16
    x = (np.arange(n) + 0.5) * 0.25
    k = 2 * np.pi / 4
    shape = (4, 6, n)
    wave = np.sin(k * x) + np.zeros(shape)
    ds = mm.io.from_arrays(Bx=0 * wave, By=wave, Bz=2 * wave, spacing={"z": 1, "y": 1, "x": 0.25}, dims=("z", "y", "x"))
    curl = mm.fourier.curl(ds)
    np.testing.assert_allclose(curl.curl_Bz, k * np.cos(k * x) + np.zeros(shape), atol=1e-12)
    np.testing.assert_allclose(curl.curl_By, -2 * k * np.cos(k * x) + np.zeros(shape), atol=1e-12)
    np.testing.assert_allclose(curl.curl_Bx, 0, atol=1e-12)


def test_eager_equals_chunked_lazily(noise, no_compute, monkeypatch):
    from mmfields.fourier import pencils

    monkeypatch.setattr(pencils, "BLOCK_BYTES", 1 << 12)  # so that these small arrays go through slabs and pencils
    single = noise.astype(np.float32)
    for chunks in ({"z": 3, "y": 4, "x": 5}, {"z": 10, "y": 1}):
        lazy = single.chunk(chunks)
        results = [
            mm.fourier.project(lazy),
            mm.fourier.helmholtz(lazy)[1],
            mm.fourier.curl(lazy),
            mm.fourier.vector_potential(lazy),
            mm.fourier.divergence(lazy).to_dataset(),
        ]
        assert all(v.chunks == lazy.Bx.chunks for r in results for v in r.data_vars.values())
        with dask.config.set(scheduler="threads"):
            eager = [
                mm.fourier.project(single),
                mm.fourier.helmholtz(single)[1],
                mm.fourier.curl(single),
                mm.fourier.vector_potential(single),
                mm.fourier.divergence(single).to_dataset(),
            ]
            for got, want in zip(results, eager, strict=True):
                scale = max(float(np.abs(v).max()) for v in want.data_vars.values())
                xr.testing.assert_allclose(got.compute(), want, rtol=0, atol=2e-6 * scale)


def test_two_dimensions_have_no_gradient_along_the_third():
    rng = np.random.default_rng(6)
    fields = {f"B{c}": rng.normal(size=(9, 11)) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing={"y": 1.0, "x": 1.0}, dims=("y", "x"))
    clean = mm.fourier.project(ds)
    np.testing.assert_allclose(clean.Bz, ds.Bz, atol=1e-13)
    assert np.abs(mm.fourier.divergence(clean)).max() < 1e-12


def test_bad_calls(noise):
    with pytest.raises(mm.ArgumentError, match="difference='upwind'"):
        mm.fourier.project(noise, difference="upwind")
    with pytest.raises(mm.ArgumentError, match="cell-centred"):
        mm.fourier.divergence(noise, difference="face")
    with pytest.raises(mm.SnapshotError, match="missing ux"):
        mm.fourier.curl(noise, "u")
    with pytest.raises(mm.SnapshotError, match="z is open"):
        mm.fourier.helmholtz(noise.assign_attrs(boundary_z="open"))


@pytest.mark.parametrize("cell", [1e-25, 3e21])
def test_the_unit_of_length_does_not_matter(noise, cell):
    """Cells of kiloparsecs in cm: their squared wavenumbers are beyond float32."""
    small = noise.astype(np.float32).assign_attrs(noise.attrs)
    large = small.assign_coords({d: small[d] * cell for d in "xyz"})
    for difference in ("spectral", "central", "face"):
        one, other = (mm.fourier.project(ds, difference=difference) for ds in (small, large))
        np.testing.assert_allclose(other.By, one.By, atol=1e-5)
    np.testing.assert_allclose(
        mm.fourier.vector_potential(large).Ay / np.float32(cell), mm.fourier.vector_potential(small).Ay, atol=1e-5
    )
    np.testing.assert_allclose(
        mm.fourier.curl(large).curl_By * np.float32(cell), mm.fourier.curl(small).curl_By, atol=2e-4
    )


def test_central_differences_leave_what_they_do_not_see():
    rng = np.random.default_rng(0)
    fields = {f"B{c}": rng.normal(size=(8, 8, 8)) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing={"z": 1.0, "y": 0.5, "x": 0.7}, dims=("z", "y", "x"))
    before, after = (np.fft.rfftn(d.Bx.values) for d in (ds, mm.fourier.project(ds, difference="central")))
    for corner in ((0, 0, 4), (0, 4, 4), (4, 4, 4), (0, 4, 0)):
        assert after[corner] == pytest.approx(before[corner])


def test_whole_numbers_are_taken_as_real(noise):
    whole = (10 * noise).astype(int).assign_attrs(noise.attrs)
    real = whole.astype(float).assign_attrs(noise.attrs)
    np.testing.assert_array_equal(mm.fourier.curl(whole).curl_Bx, mm.fourier.curl(real).curl_Bx)
    assert mm.fourier.project(whole).Bx.dtype == np.float64
    open_x = whole.assign_attrs(boundary_x="open")
    tapered = mm.fourier.taper(open_x)
    np.testing.assert_array_equal(tapered.Bx, mm.fourier.taper(real.assign_attrs(boundary_x="open")).Bx)
    with pytest.raises(mm.SnapshotError, match="cannot be tapered"):
        mm.fourier.taper(open_x.assign(flat=whole.Bx.isel(z=0)))
    doubled = mm.physical(whole.assign_attrs(frame="comoving"), {"y": 2.0})
    np.testing.assert_allclose(doubled.Bx, whole.Bx / 2)
    with pytest.raises(mm.SnapshotError, match="physical already"):
        mm.physical(doubled, {"y": 2.0})

"""fft and ifft of labelled arrays."""

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm
from mmfields.fourier import pencils
from mmfields.provenance import ATTRS

SHAPES = [((20, 18, 15), "zyx"), ((21, 16, 24), "xzy"), ((40, 33), "yx"), ((16,), "x")]


@pytest.fixture(params=SHAPES, ids=lambda s: s[1])
def field(request):
    shape, dims = request.param
    values = np.random.default_rng(0).normal(size=shape)
    spacing = dict(zip(dims, (0.5, 1.0, 0.25), strict=False))
    return mm.io.from_arrays(Bx=values, spacing=spacing, dims=tuple(dims), units={"Bx": "T"}).Bx


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("small", [False, True])
def test_there_and_back(field, dtype, small, monkeypatch, no_compute):
    if small:
        monkeypatch.setattr(pencils, "BLOCK_BYTES", 1 << 13)
    field = field.astype(dtype)
    lazy = field.chunk(dict(zip(field.dims, (7, 9, 5), strict=False)))
    for chosen in (None, (field.dims[-1],), (field.dims[0],)):
        forth = mm.fourier.fft(lazy, chosen)
        back = mm.fourier.ifft(forth)
        assert back.chunks == lazy.chunks
        with dask.config.set(scheduler="threads"):
            eager = mm.fourier.fft(field, chosen)
            assert eager.dtype == (np.complex64 if dtype is np.float32 else np.complex128)
            axes = [field.dims.index(d) for d in chosen or field.dims]
            want = np.fft.rfftn(field.values.astype(float), axes=axes)
            tolerance = 1e-6 if dtype is np.float32 else 1e-13
            for got in (forth.values, eager.values):
                np.testing.assert_allclose(got, want, atol=tolerance * np.abs(want).max())
            for got in (back, mm.fourier.ifft(eager)):
                xr.testing.assert_allclose(got, field, atol=10 * tolerance, rtol=0)
                assert got.dtype == field.dtype
                assert {k: v for k, v in got.attrs.items() if k not in ATTRS} == field.attrs
                for d in field.dims:
                    xr.testing.assert_identical(got[d], field[d])


def test_wavenumbers_and_what_is_done_to_them():
    x = (np.arange(16) + 0.5) * 0.25
    da = mm.io.from_arrays(Bx=np.sin(np.pi * x) + np.zeros((3, 16)), spacing={"y": 1.0, "x": 0.25}, dims=("y", "x")).Bx
    spectrum = mm.fourier.fft(da)
    assert spectrum.dims == ("k_y", "k_x")
    peak = np.abs(spectrum).isel(k_y=0).idxmax("k_x")
    assert float(peak) == pytest.approx(np.pi)
    slope = mm.fourier.ifft(spectrum * 1j * spectrum.k_x)
    np.testing.assert_allclose(slope.isel(y=1), np.pi * np.cos(np.pi * x), atol=1e-12)


def test_bad_calls(turbulent):
    with pytest.raises(mm.SnapshotError, match="spatial dims among"):
        mm.fourier.fft(turbulent.Bx, ["w"])
    with pytest.raises(mm.SnapshotError, match="a real field"):
        mm.fourier.fft(turbulent.Bx * 1j)
    with pytest.raises(mm.SnapshotError, match="not uniform"):
        mm.fourier.fft(turbulent.Bx.assign_coords(x=turbulent.x**2))
    with pytest.raises(mm.SnapshotError, match="not those of"):
        mm.fourier.ifft(turbulent.Bx)
    lazy = mm.fourier.fft(turbulent.Bx.where(turbulent.n < 1.9).chunk(z=3))
    with pytest.raises(mm.SnapshotError, match="not finite"):
        lazy.compute()

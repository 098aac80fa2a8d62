"""Arrays that carry their unit, as pint's do: refused in one sentence, so that no unit is lost on the way."""

import numpy as np
import pytest
import xarray as xr

import mmfields as mm


class Quantity:
    """What a quantity of pint is to xarray: an array that has a magnitude and units, and takes part in NumPy."""

    def __init__(self, magnitude, units="nanotesla"):
        self.magnitude, self.units = magnitude, units

    shape = property(lambda self: self.magnitude.shape)
    dtype = property(lambda self: self.magnitude.dtype)
    ndim = property(lambda self: self.magnitude.ndim)
    size = property(lambda self: self.magnitude.size)

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("the unit was stripped")

    def __array_function__(self, function, types, args, kwargs):
        raise AssertionError(f"{function.__name__} was called")

    def __array_ufunc__(self, function, method, *args, **kwargs):
        raise AssertionError(f"{function.__name__} was called")

    def __getitem__(self, key):
        return Quantity(self.magnitude[key], self.units)

    def transpose(self, *order):
        return Quantity(self.magnitude.transpose(*order), self.units)


def snapshot():
    rng = np.random.default_rng(4)
    fields = {n: rng.normal(size=(8, 9, 10)) + 2 for n in ("Bx", "By", "Bz", "n", "p_par", "p_perp")}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))


CALLS = {
    "mean_field": mm.mean_field,
    "physical": lambda ds: mm.physical(ds.assign_attrs(frame="physical"), {"y": 0.5}),
    "store": lambda ds: mm.store(ds, "/nowhere/at/all.zarr"),
    "from_arrays": lambda ds: mm.io.from_arrays(Bx=ds.By._variable._data, spacing={"x": 1.0}, dims=("x",)),
    "filter": lambda ds: mm.fourier.filter(ds, mm.fourier.low_pass(1.0)),
    "taper": lambda ds: mm.fourier.taper(ds.assign_attrs(boundary_x="open")),
    "curl": mm.fourier.curl,
    "project": mm.fourier.project,
    "divergence": mm.fourier.divergence,
    "fft": lambda ds: mm.fourier.fft(ds.By),
    "power": mm.spectra.power,
    "power2d": mm.spectra.power2d,
    "reduced": lambda ds: mm.spectra.reduced_spectrum(ds, axis="x"),
    "coherence": lambda ds: mm.spectra.coherence(ds, "Bx", "n"),
    "correlation": lambda ds: mm.spectra.correlation(ds, axis="x"),
    "slope": lambda ds: mm.spectra.slope(xr.DataArray(ds.By._variable._data, dims=("a", "b", "k")), (1, 2)),
    "scales": mm.anisotropy.scales,
    "structure_function": mm.anisotropy.structure_function,
    "pressure": mm.anisotropy.pressure,
    "curvature": mm.anisotropy.curvature,
    "fluctuation": mm.anisotropy.fluctuation,
    "patches": lambda ds: mm.anisotropy.patches(ds, "field", filling_fraction=0.3),
    "threshold_curve": mm.anisotropy.threshold_curve,
    "rotation_measure": lambda ds: mm.faraday.rotation_measure(ds, field_unit="uG", length_unit="pc", density="1 cm-3"),
    "density": lambda ds: mm.faraday.rotation_measure(snapshot(), field_unit="uG", length_unit="pc", density=ds.By),
    "polarization": lambda ds: mm.faraday.polarization(ds, wavelength_sq=[0.1]),
    "cut patches": lambda ds: mm.turbulence.patches(ds, filling_fraction=0.5, size=1.0, edge_width=2.0, seed=1),
    "to_dataset": lambda ds: mm.turbulence.plane_waves(4, k_min=0.1, k_max=1.0, seed=1).to_dataset(ds),
    "particles": lambda ds: mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=ds),
    "trace": lambda ds: mm.trace(
        ds, mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=snapshot()), step=0.1, distance=1.0
    ),
    "slices": lambda ds: mm.plot.slices(ds.By),
    "compare": lambda ds: mm.plot.compare({"By": ds.By}),
    "cube": lambda ds: mm.plot.cube(ds.By, engine="matplotlib"),
    "power of a plot": lambda ds: mm.plot.spectrum2d(ds.By),
}


@pytest.mark.parametrize("name", CALLS)
def test_quantities_are_refused(name):
    ds = snapshot()
    ds["By"] = ds.By.copy(data=Quantity(ds.By.values))
    with pytest.raises(mm.MmfieldsError, match="is a Quantity in nanotesla"):
        CALLS[name](ds)


def test_quantities_under_dask_are_refused_without_computing(no_compute):
    da = pytest.importorskip("dask.array")
    ds = snapshot().chunk(z=4)
    lazy = da.Array(ds.By.data.dask, ds.By.data.name, ds.By.chunks, meta=Quantity(np.empty((0, 0, 0))))
    for data in (Quantity(ds.By.data), lazy):
        with pytest.raises(mm.SnapshotError, match=r"By is a Quantity in nanotesla.*dequantify"):
            mm.fourier.filter(ds.assign(By=ds.By.copy(data=data)), mm.fourier.low_pass(1.0))


def test_pint_itself():
    pytest.importorskip("pint_xarray")
    ds = snapshot()
    for name, unit in {"Bx": "nT", "By": "nT", "Bz": "nT", "x": "km", "y": "km", "z": "km"}.items():
        ds[name].attrs["units"] = unit
    ds = ds.drop_vars(["n", "p_par", "p_perp"])
    with pytest.raises(mm.SnapshotError, match="is a Quantity in nanotesla"):
        mm.spectra.power(ds.pint.quantify())
    back = ds.pint.quantify().pint.dequantify(format="~")
    xr.testing.assert_allclose(mm.spectra.power(back), mm.spectra.power(ds))
    assert mm.spectra.power(back).attrs["units"] == mm.spectra.power(ds).attrs["units"]


def test_numbers_with_a_unit_are_refused_where_plain_ones_are_needed():
    class Length(float):
        magnitude, units = 1.0, "kilometer"

    with pytest.raises(mm.ArgumentError, match="kilometer"):
        mm.turbulence.plane_waves(4, k_min=0.1, k_max=1.0, seed=1).at(Length(1.0), 0.0, 0.0)
    with pytest.raises(mm.ArgumentError, match="kilometer"):
        mm.conventions.require_plain(Quantity(np.ones(3), "kilometer"), "save")


def test_complex_fields_have_no_spectrum():
    ds = snapshot()
    ds = ds.assign(wave=ds.Bx + 1j * ds.By, name=ds.Bx.astype(str))
    for call in (
        lambda n: mm.spectra.power(ds, [n]),
        lambda n: mm.spectra.power2d(ds, [n]),
        lambda n: mm.spectra.reduced_spectrum(ds, [n], axis="x"),
        lambda n: mm.spectra.cross(ds, "Bx", n),
        lambda n: mm.spectra.correlation(ds, [n], axis="x"),
        lambda n: mm.anisotropy.structure_function(ds, n),
        lambda n: mm.fourier.taper(ds[["Bx", n]].assign_attrs(ds.attrs, boundary_x="open")),
    ):
        with pytest.raises(mm.SnapshotError, match=r"wave is complex128: real numbers are needed.*\.real"):
            call("wave")
        with pytest.raises(mm.SnapshotError, match=r"name is .*: real numbers are needed"):
            call("name")

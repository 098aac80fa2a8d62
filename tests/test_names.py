"""Names: what is public shows, old names are found and say the new one, and small conveniences are what they say."""

import inspect

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from matplotlib import pyplot as plt

import mmfields as mm

OLD = [
    ("anisotropy", "brazil", "brazil_histogram"),
    ("faraday", "band", "band_channels"),
    ("faraday", "compared", "compare_to_random_walk"),
    ("spectra", "reduced", "reduced_spectrum"),
]


@pytest.fixture(scope="module")
def ds():
    return mm.samples.load("micromirrors").isel(time=-1).load()


@pytest.mark.parametrize(("room", "old", "new"), OLD)
def test_an_old_name_is_found_and_says_the_new_one(room, old, new):
    module = getattr(mm, room)
    with pytest.warns(FutureWarning, match=f"mm.{room}.{new}"):
        found = getattr(module, old)
    assert found is getattr(module, new)
    assert new in module.__all__ and old not in module.__all__
    with pytest.raises(AttributeError, match="nonsense"):
        _ = module.nonsense


# What is called otherwise now, or means one thing alone; theory writes the paper's symbols.
RETIRED = {"sample", "filling", "filling_fractions", "fraction", "folder", "found", "da", "limits", "reference", "f_mm"}
ELSEWHERE = {("io", "names"), ("fourier", "limits"), ("theory", "f_mm")}


def public_functions():
    for room in mm._MODULES:
        for name in getattr(getattr(mm, room), "__all__", ()):
            found = getattr(getattr(mm, room), name)
            if inspect.isfunction(found):
                yield room, name, found


def test_one_word_stands_for_one_thing():
    """No parameter has a name of before, and each decorated function knows the new name and not the old one."""
    seen = set()
    for room, name, function in public_functions():
        parameters = inspect.signature(function).parameters
        bad = {p for p in parameters if p in RETIRED | {"names"}} - {p for r, p in ELSEWHERE if r == room}
        assert not bad, (room, name, bad)
        for old, new in getattr(function, "renamed", {}).items():
            assert new in parameters and old not in parameters, (room, name, old)
            seen.add(old)
    assert {"names", "of", "filling", "f_mm", "sample", "path", "folder"} <= seen


def test_an_old_keyword_works_and_says_the_new_one(ds):
    with pytest.warns(FutureWarning, match=r"names= of power is called variables= now") as noted:
        found = mm.spectra.power(ds, names=["Bz"])
    assert noted[0].filename == __file__
    xr.testing.assert_identical(found, mm.spectra.power(ds, variables=["Bz"]))
    with pytest.warns(FutureWarning, match="filling_fraction="):
        old = mm.anisotropy.patches(ds, "field", filling=0.1)
    xr.testing.assert_identical(old, mm.anisotropy.patches(ds, "field", filling_fraction=0.1))
    with pytest.warns(FutureWarning, match="outside= of Evolution is called beyond="):
        assert mm.tracing.Evolution(outside="hold") == mm.tracing.Evolution(beyond="hold")
    with pytest.warns(FutureWarning, match="variables="):
        ds.mm.spectra(names=["Bz"])
    with pytest.raises(TypeError, match="give one"):
        mm.spectra.power(ds, names=["Bz"], variables=["Bz"])


@pytest.mark.parametrize("room", [room for room in mm._MODULES if room != "conventions"])  # of the house
def test_completion_shows_what_is_public_and_nothing_else(room):
    module = getattr(mm, room)
    assert dir(module) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert not inspect.ismodule(getattr(module, name)) or room == "plot"


def test_the_accessor_calls_the_functions(ds):
    band = mm.fourier.band(k_par=(0.0, 0.3), k_perp=(0.1, 0.5))
    xr.testing.assert_equal(ds.mm.filter(band, direction="x"), mm.fourier.filter(ds, band, direction="x"))
    xr.testing.assert_equal(ds.mm.spectra(["Bz"]), mm.spectra.power(ds, ["Bz"]))
    xr.testing.assert_equal(ds.mm.scales(direction="y"), mm.anisotropy.scales(ds, direction="y"))
    p = mm.particles.isotropic(3, gyroradius=10.0, seed=1, field=ds)
    xr.testing.assert_equal(
        ds.mm.trace(p, step=1.0, distance=20.0).compute(), mm.trace(ds, p, step=1.0, distance=20.0).compute()
    )
    ds.mm.plot(variable="By")
    plt.close("all")


def test_the_correlation_length_of_two_shells_is_that_of_their_cosines():
    """Of waves along one axis, all in one shell each, l_c is (π/2) Σ a²/k / Σ a²."""
    n, cell = 32, 0.25
    x = (np.arange(n) + 0.5) * cell
    one, two = 2 * np.pi * 2 / (n * cell), 2 * np.pi * 5 / (n * cell)
    line = 3.0 * np.sin(one * x) + 1.0 * np.sin(two * x)
    shape = (n, 8, 6)
    fields = {"Bx": np.ones(shape), "By": np.broadcast_to(line[:, None, None], shape), "Bz": np.zeros(shape)}
    ds = mm.io.from_arrays(**fields, spacing={"x": cell, "y": 1.0, "z": 2.0})
    found = mm.spectra.correlation_length(ds)
    chunked = mm.spectra.correlation_length(ds.chunk(x=16, y=3))
    assert chunked.chunks is not None or chunked.ndim == 0
    np.testing.assert_allclose(chunked, found, rtol=1e-12)
    power = mm.spectra.power(ds)
    shells = [power.sel(k=k, method="nearest") for k in (one, two)]
    expected = np.pi / 2 * (9 / float(shells[0].k) + 1 / float(shells[1].k)) / 10
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(found, np.pi / 2 * (9 / one + 1 / two) / 10, rtol=0.05)


def test_transfer_functions_need_no_label_and_are_joined(ds):
    def steep(k_par, k_perp):
        return 1 / (1 + k_perp**4)

    own = mm.fourier.Transfer(steep)
    assert own.label == "steep" and mm.fourier.Transfer(lambda a, b: 0 * a).label == "g(k)"
    low = mm.fourier.low_pass(0.5)
    both = mm.fourier.filter(ds, own & low)
    np.testing.assert_allclose(both.Bz, mm.fourier.filter(mm.fourier.filter(ds, own), low).Bz, atol=2e-6)
    assert "steep" in both.attrs["filter"] and "low_pass" in both.attrs["filter"]


def test_a_medium_shows_what_differs():
    assert repr(mm.theory.ICM) == "Medium()"
    medium = mm.theory.Medium(B=1 * u.uG, dB_over_B=0.18, Z=2)
    assert repr(medium) == "Medium(B=1 * u.Unit('uG'), dB_over_B=0.18, Z=2)"
    assert eval(repr(medium), {"Medium": mm.theory.Medium, "u": u}) == medium


def test_frequencies_stand_for_wavelengths_squared(ds):
    units = {"length_unit": "1 kpc", "field_unit": "1 uG", "density": 1e-3 / u.cm**3}
    squares = (299792458.0 / np.array([1.5e9, 1.1e9])) ** 2
    expected = mm.faraday.polarization(ds, "y", wavelength_sq=squares, **units)
    found = mm.faraday.polarization(ds, "y", wavelength_sq=[1.5, 1.1] * u.GHz, **units)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(mm.ArgumentError, match="frequenc"):
        mm.faraday.polarization(ds, "y", wavelength_sq=-1.5 * u.GHz, **units)


def test_orbits_alone_are_drawn_on_axes_of_one_scale(ds):
    p = mm.particles.isotropic(3, gyroradius=10.0, seed=1, field=ds)
    tr = mm.trace(ds, p, step=1.0, distance=200.0).compute()
    axes = mm.plot.orbits(tr)
    axes.figure.canvas.draw()
    spans = [np.ptp(getattr(axes, f"get_{d}lim")()) for d in "xyz"]
    np.testing.assert_allclose(np.array(axes._box_aspect) / spans, axes._box_aspect[0] / spans[0], rtol=1e-6)
    assert len(axes.lines) == 3
    drawn = np.stack(axes.lines[1].get_data_3d())
    np.testing.assert_array_equal(drawn, np.stack([tr[d].transpose("particle", "path")[1] for d in "xyz"]))
    with pytest.raises(mm.ArgumentError, match="level"):
        mm.plot.orbits(tr, ds.Bx)
    plt.close("all")

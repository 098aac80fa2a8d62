"""A Dataset or a DataArray: either is taken where one reading is possible, and else refused with what to type."""

import inspect

import numpy as np
import pytest
import xarray as xr

import mmfields as mm


@pytest.fixture(scope="module")
def ds():
    return mm.samples.load("micromirrors").isel(time=-1).load()


@pytest.fixture(scope="module")
def rm(ds):
    """A map, which says what its boundaries are."""
    return mm.faraday.rotation_measure(ds, "x", length_unit="1 kpc", field_unit="1 uG", density="1 cm-3").load()


def test_of_one_field_a_filter_gives_one_field(ds, rm):
    band = mm.fourier.low_pass(0.5)
    found = mm.fourier.filter(rm, band)
    assert isinstance(found, xr.DataArray) and found.name == rm.name and found.dims == rm.dims
    whole = rm.to_dataset(name="rm").assign_attrs(boundary_y="periodic", boundary_z="periodic")
    np.testing.assert_array_equal(found, mm.fourier.filter(whole, band)["rm"])
    assert found.attrs["units"] == rm.attrs["units"] and "low_pass" in found.attrs["filter"]
    assert "mm.fourier.filter" in found.attrs["history"]
    alone = ds["Bx"].assign_attrs({f"boundary_{d}": "periodic" for d in "xyz"})
    np.testing.assert_array_equal(mm.fourier.filter(alone, band), mm.fourier.filter(ds, band)["Bx"])
    cut = alone.assign_attrs(boundary_z="open")
    tapered = mm.fourier.taper(cut)
    np.testing.assert_array_equal(tapered, mm.fourier.taper(ds[["Bx"]].assign_attrs(boundary_z="open"))["Bx"])
    assert mm.spectra.power(tapered).notnull().all()  # which divides by the window's power


def test_spectra_of_one_field_are_those_of_its_dataset(ds):
    alone = ds["n"].assign_attrs({f"boundary_{d}": "periodic" for d in "xyz"})
    for call in (
        mm.spectra.power,
        mm.spectra.correlation_length,
        lambda f, *v: mm.spectra.power2d(f, *v, direction="z"),
        lambda f, *v: mm.spectra.reduced_spectrum(f, *v, axis="x"),
        lambda f, *v: mm.spectra.correlation(f, *v, axis="y"),
    ):
        np.testing.assert_array_equal(call(alone), call(ds, ["n"]))
    with pytest.raises(mm.ArgumentError, match="'n' alone"):
        mm.spectra.power(alone, ["Bx"])


def test_a_field_without_boundaries_is_refused_with_what_to_type(ds):
    for call in (mm.spectra.power, mm.fourier.taper, lambda f: mm.fourier.filter(f, mm.fourier.low_pass(0.5))):
        with pytest.raises(mm.ArgumentError, match=r"ds\[\['Bx'\]\].*boundary_z='periodic'"):
            call(ds["Bx"])


def test_transforms_of_a_dataset_are_those_of_its_variables(ds):
    some = ds[["Bx", "n"]]
    modes = mm.fourier.fft(some)
    np.testing.assert_array_equal(modes["n"], mm.fourier.fft(ds["n"]))
    xr.testing.assert_allclose(mm.fourier.ifft(modes), some)


def test_a_dataset_of_one_variable_stands_for_it(ds, rm, tmp_path):
    """As a result that was stored comes back."""
    stored = mm.store(rm.to_dataset(name="rotation_measure"), tmp_path / "rm.zarr", progress=False)
    xr.testing.assert_allclose(mm.faraday.statistics(stored), mm.faraday.statistics(rm))
    power = mm.spectra.power(ds)
    xr.testing.assert_allclose(mm.spectra.slope(power.to_dataset(), (0.1, 1.0)), mm.spectra.slope(power, (0.1, 1.0)))
    with pytest.raises(mm.ArgumentError, match=r"ds\['Bx'\]"):
        mm.faraday.statistics(ds)


OTHER = {"axis": "x", "first": "Bx", "second": "By", "transfer": None, "step": 1.0, "distance": 5.0, "length": 5.0}


def test_no_function_stumbles_over_the_other_kind(ds):
    """Each takes it or refuses it by an error of the package, in a line that does not print the data."""
    for room in mm._MODULES:
        for name in getattr(getattr(mm, room), "__all__", ()):
            function = getattr(getattr(mm, room), name)
            parameters = list(inspect.signature(function).parameters.values()) if inspect.isfunction(function) else []
            if not parameters or parameters[0].kind is parameters[0].KEYWORD_ONLY:
                continue
            kind = str(parameters[0].annotation)
            if ("Dataset" in kind) == ("DataArray" in kind) or room in ("conventions", "provenance", "io"):
                continue
            given = ds if "DataArray" in kind else ds["Bx"]
            needed = [p for p in parameters[1:] if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
            try:
                function(given, **{p.name: OTHER.get(p.name, 1) for p in needed})
            except mm.MmfieldsError as error:
                assert "<xarray" not in str(error), name

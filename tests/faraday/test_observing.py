"""Frequencies in place of wavelengths, and angles at a distance in place of lengths."""

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.io import fits

import mmfields as mm

LIGHT = 299792458.0
UNITS = {"length_unit": "1 kpc", "field_unit": "1 uG", "density": 1e-3 / u.cm**3}


@pytest.fixture(scope="module")
def ds():
    return mm.samples.load("micromirrors").isel(time=-1)[["Bx", "By", "Bz"]].load()


def test_laws_take_frequencies_and_areas():
    squares = (LIGHT / np.array([150e6, 1.4e9])) ** 2
    given = [
        [150, 1400] * u.MHz,
        squares * 1e4 * u.cm**2,
        xr.DataArray([0.15, 1.4], dims="channel", attrs={"units": "GHz"}),
        xr.DataArray(squares, dims="channel"),
    ]
    for law, arguments in (
        (mm.faraday.burn_slab, (3.0,)),
        (mm.faraday.external_dispersion, (3.0, 2.0)),
        (mm.faraday.internal_dispersion, (3.0, 2.0)),
    ):
        expected = law(squares, *arguments)
        for waves in given:
            np.testing.assert_allclose(law(waves, *arguments), expected, rtol=1e-12)
        with pytest.raises(mm.ArgumentError, match="frequency"):
            law(3 * u.m, *arguments)
        with pytest.raises(mm.ArgumentError, match="above 0"):
            law([0, 1] * u.GHz, *arguments)


def test_a_cube_over_frequencies_in_its_units_is_fitted(ds):
    waves = (LIGHT / np.linspace(1e9, 2e9, 24)) ** 2
    pol = xr.DataArray(mm.faraday.burn_slab(waves, 20.0), dims="wavelength_sq", coords={"wavelength_sq": waves})
    same = pol.assign_coords(
        wavelength_sq=("wavelength_sq", np.linspace(1000, 2000, 24), {"units": "MHz", "long_name": "frequency"})
    )
    one, other = mm.faraday.fit(pol, "burn"), mm.faraday.fit(same, "burn")
    assert float(one["depth"]) == pytest.approx(20.0)
    np.testing.assert_allclose(other["depth"], one["depth"])


def test_a_channel_may_be_as_wide_as_it_is_in_frequency(ds):
    """Behind a screen the average over λ² is exact between the edges of the channel."""
    frequency, width = 150e6, 2e6
    edges = (LIGHT / (frequency + np.array([1, -1]) * width / 2)) ** 2
    options = {"wavelength_sq": (LIGHT / frequency) ** 2, **UNITS}
    found = mm.faraday.polarization(ds, "y", channel_width=2 * u.MHz, **options)
    expected = mm.faraday.polarization(ds, "y", channel_width=edges[1] - edges[0], **options)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    several = mm.faraday.polarization(
        ds, "y", wavelength_sq=[150, 160] * u.MHz, channel_width=2 * u.MHz, emission="internal",
        length_unit="1e-4 kpc", field_unit="1 uG", density=1e-3 / u.cm**3,
    )  # fmt: skip
    assert several.sizes["wavelength_sq"] == 2 and np.isfinite(several).all()
    with pytest.raises(mm.ArgumentError, match="below 0"):
        mm.faraday.polarization(ds, "y", channel_width=1 * u.GHz, **options)


def test_a_beam_is_a_length_or_an_angle_at_a_distance(ds):
    options = {"wavelength_sq": 0.01, **UNITS}
    expected = mm.faraday.polarization(ds, "y", beam=4.0, **options)
    np.testing.assert_allclose(mm.faraday.polarization(ds, "y", beam=4 * u.kpc, **options), expected, rtol=1e-9)
    far = 100 * u.Mpc
    angle = (4 * u.kpc / far).to(u.arcsec, u.dimensionless_angles())
    for beam in (angle, str(angle)):
        found = mm.faraday.polarization(ds, "y", beam=beam, distance=far, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    with pytest.raises(mm.ArgumentError, match="distance="):
        mm.faraday.polarization(ds, "y", beam=angle, **options)
    for beam in (4.0, 4 * u.kpc, None):
        with pytest.raises(mm.ArgumentError, match="angle"):
            mm.faraday.polarization(ds, "y", beam=beam, distance=far, **options)


def test_a_pixel_follows_from_the_distance(ds, tmp_path):
    rm = mm.faraday.rotation_measure(ds, "y", **UNITS)
    width = float(rm.x[1] - rm.x[0])
    with pytest.raises(mm.SnapshotError, match="length_unit"):
        mm.faraday.write_fits(
            rm.drop_attrs(deep=False).assign_attrs(north=rm.north, east=rm.east), tmp_path, distance=1 * u.Mpc
        )
    known = rm.assign_attrs(length_unit="1 kpc")
    pixel = (width * u.kpc / (100 * u.Mpc)).to(u.deg, u.dimensionless_angles())
    steps = []
    for options in ({"distance": 100 * u.Mpc}, {"pixel": pixel}):
        with fits.open(mm.faraday.write_fits(known, tmp_path, **options, overwrite=True)["RM"]) as file:
            steps.append([abs(file[0].header[f"CDELT{i}"]) for i in (1, 2)])
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-12)
    for options in ({}, {"pixel": 1 * u.arcsec, "distance": 1 * u.Mpc}):
        with pytest.raises(mm.ArgumentError, match="one of the two"):
            mm.faraday.write_fits(known, tmp_path / "none", **options)

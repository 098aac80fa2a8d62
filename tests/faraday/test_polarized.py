"""Polarization through slabs and boxes, against the closed laws."""

import astropy.units as u
import dask
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from test_depth import random_box, slab

import mmfields as mm

WAVES = np.array([0.001, 0.01, 0.05, 0.3, 1.0])


@pytest.mark.parametrize("los", ["x", "y", "z"])
def test_a_uniform_slab_is_that_of_burn(los):
    """Whatever its cells: depths of 5 to 60 rad/m² per cell."""
    ds = slab(los)
    depth = float(mm.faraday.rotation_measure(ds, los)[0, 0])
    found = mm.faraday.polarization(ds, los, wavelength_sq=WAVES, emission="internal", p0=0.7, angle=0.4)
    want = mm.faraday.burn_slab(WAVES, depth, p0=0.7, angle=0.4)
    assert np.abs(found[:, 0, 0].values - want).max() < 1e-14


def test_the_laws_have_their_stated_values():
    """science.md section 3: lambda² = 0.05, R = 50, sigma = 10."""
    assert abs(mm.faraday.burn_slab(0.05, 50.0)) == pytest.approx(0.2394, abs=5e-5)
    assert abs(mm.faraday.internal_dispersion(0.05, 50.0, 10.0)) == pytest.approx(0.2014, abs=5e-5)
    assert abs(mm.faraday.external_dispersion(0.05, 50.0, 10.0)) == pytest.approx(0.6065, abs=5e-5)
    np.testing.assert_allclose(
        mm.faraday.internal_dispersion(WAVES, 50.0, 1e-9), mm.faraday.burn_slab(WAVES, 50.0), rtol=1e-9
    )
    assert mm.faraday.internal_dispersion(0.0, 50.0, 10.0) == 1.0


def many_cells(rng, planes=400, width=120, mean=0.0, scatter=1.0):
    """Cells whose depths are independent: mean and scatter of a whole column."""
    own = rng.normal(size=(planes, width, width)) * scatter / np.sqrt(planes) + mean / planes
    one = np.ones_like(own)
    ds = mm.io.from_arrays(
        Bx=0 * one, By=0 * one, Bz=own / mm.faraday.RM_CONSTANT, n=one, spacing=dict.fromkeys("xyz", 1.0),
        dims=("z", "y", "x"), units={**{f"B{c}": "uG" for c in "xyz"}, "n": "cm-3", "length": "pc"},
    )  # fmt: skip
    return ds


def test_screens_and_turbulent_slabs_follow_their_laws():
    """The mean over independent lines of sight, within its own error."""
    ds = many_cells(np.random.default_rng(3), mean=50.0, scatter=10.0)
    waves = np.array([0.005, 0.02, 0.05])
    screen = mm.faraday.polarization(ds, wavelength_sq=waves).mean(("x", "y"))
    inside = mm.faraday.polarization(ds, wavelength_sq=waves, emission="internal").mean(("x", "y"))
    assert np.abs(screen.values - mm.faraday.external_dispersion(waves, 50.0, 10.0)).max() < 4 / 120
    assert np.abs(inside.values - mm.faraday.internal_dispersion(waves, 50.0, 10.0)).max() < 4 / 120
    left = mm.faraday.depolarization(mm.faraday.polarization(ds, wavelength_sq=waves))
    assert (abs(left.fraction - np.exp(-2 * 100 * waves**2)) < 5 * left.fraction_error + 1e-3).all()
    np.testing.assert_allclose(left.resolved_fraction, 1.0)
    assert float(left.angle_dispersion[0]) == pytest.approx(np.degrees(10 * 0.005), rel=0.02)


@pytest.mark.parametrize("width", [None, 0.0015])
@pytest.mark.parametrize("emission", ["background", "internal", "snapshot"])
@pytest.mark.parametrize("los", ["z", "x", (0, -1, 0), (1, 2, 9)])
def test_chunks_do_not_matter(emission, los, width, no_compute):
    """To the bit."""
    ds, options = random_box(), {"wavelength_sq": WAVES, "emission": emission, "channel_width": width}
    eager = mm.faraday.polarization(ds, los, **options)
    for chunks in ({"z": 2, "y": 3, "x": 4}, {"z": 1}, {"x": 1, "y": 2}):
        lazy = mm.faraday.polarization(ds.chunk(chunks), los, **options)
        left = mm.faraday.depolarization(lazy)
        with dask.config.set(scheduler="threads"):
            np.testing.assert_array_equal(lazy.compute().values, eager.values)
            np.testing.assert_array_equal(left.fraction, mm.faraday.depolarization(eager).fraction)


def test_the_map_of_many_chunks_is_that_of_one(no_compute):
    """Wider than the tiles and the registers of the kernels."""
    ds = random_box((70, 33, 41)).astype(np.float32)
    for name in ds:
        ds[name].attrs["units"] = "cm-3" if name == "n" else "uG"
    options = {"wavelength_sq": WAVES, "emission": "snapshot"}
    lazy = ds.chunk(z=9, y=8, x=10)
    parts = mm.faraday.rotation_measure(lazy), mm.faraday.polarization(lazy, **options)
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(parts[0], mm.faraday.rotation_measure(ds))
        np.testing.assert_array_equal(parts[1], mm.faraday.polarization(ds, **options))


def test_what_turns_too_far_within_a_channel_is_refused(no_compute):
    ds = slab("z")
    depth = float(abs(mm.faraday.rotation_measure(ds)).max())
    for width, good in ((27 / depth / 2, True), (29 / depth / 2, False)):
        for one in (ds, ds.chunk(z=2)):
            with dask.config.set(scheduler="threads"):
                if good:
                    pol = mm.faraday.polarization(one, wavelength_sq=1.0, channel_width=width, emission="internal")
                    waves = 1 - width / 2 + (np.arange(20000) + 0.5) * width / 20000
                    want = mm.faraday.burn_slab(waves, depth).mean()
                    assert abs(complex(pol[0, 0, 0].values) - want) < 1e-7
                else:
                    with pytest.raises(mm.SnapshotError, match="within one"):
                        mm.faraday.polarization(
                            one, wavelength_sq=1.0, channel_width=width, emission="internal"
                        ).compute()


def test_a_box_that_emits_nothing_has_no_polarization():
    ds = slab("z")
    ds = ds.assign(Bx=0 * ds.Bx.assign_attrs(ds.Bx.attrs), By=0 * ds.By)
    for name in ("Bx", "By"):
        ds[name].attrs["units"] = "uG"
    with pytest.raises(mm.SnapshotError, match="nothing in the box emits"):
        mm.faraday.polarization(ds, "z", wavelength_sq=0.1, emission="snapshot")
    with pytest.raises(mm.SnapshotError, match="n_CR is -1"):
        mm.faraday.polarization(
            random_box().assign(cr=lambda d: 0 * d.n - 1), wavelength_sq=0.1, emission="snapshot", cosmic_rays="cr"
        )


def test_wavelengths_with_units():
    ds = random_box()
    plain = mm.faraday.polarization(ds, wavelength_sq=WAVES)
    for same in (1e4 * WAVES * u.cm**2, xr.DataArray(WAVES * 1e4, dims="w", attrs={"units": "cm2"})):
        found = mm.faraday.polarization(ds, wavelength_sq=same)
        np.testing.assert_allclose(found, plain, rtol=1e-9)
    np.testing.assert_array_equal(mm.faraday.polarization(ds, wavelength_sq=plain.wavelength_sq), plain)
    with pytest.raises(mm.ArgumentError, match="wavelength_sq"):
        mm.faraday.polarization(ds, wavelength_sq=WAVES * u.m)


def by_numpy(ds, waves, index=2.5):
    """Synchrotron emission along z, cell by cell, written out; north is y, east is -x."""
    own = mm.faraday.RM_CONSTANT * (ds.Bz * ds.n).values * 10.0
    above = own[::-1].cumsum(axis=0)[::-1] - own / 2
    strength = (ds.Bx**2 + ds.By**2).values ** ((index + 1) / 4)
    chi = np.arctan2(-ds.Bx.values, ds.By.values) + np.pi / 2
    each = strength * np.exp(2j * chi)
    return np.stack(
        [(each * np.exp(2j * above * w) * np.sinc(own * w / np.pi)).sum(axis=0) for w in waves]
    ) / strength.sum(axis=0).mean()  # fmt: skip


def test_synchrotron_emission_of_the_snapshot():
    ds = random_box()
    found = mm.faraday.polarization(ds, wavelength_sq=WAVES, emission="snapshot")
    p0 = 3.5 / (2.5 + 7 / 3)
    assert found.attrs["p0"] == pytest.approx(p0)
    assert np.abs(found.values - p0 * by_numpy(ds, WAVES)).max() < 1e-12
    twice = ds.assign(cr=2 + 0 * ds.n)
    double = mm.faraday.polarization(twice, wavelength_sq=WAVES, emission="snapshot", cosmic_rays="cr")
    np.testing.assert_allclose(double, found, rtol=1e-12)


def test_emission_is_polarized_across_the_field_and_turns_towards_east():
    """B along north: the electric vector lies east-west, chi = 90 deg; a positive RM turns it from north to east."""
    one = np.ones((4, 4, 4))
    ds = slab().isel(x=slice(0, 4), y=slice(0, 4), z=slice(0, 4))
    fields = dict(zip(("Bx", "By", "Bz"), (0.0, 1.0, 0.0), strict=True))
    ds = ds.assign({n: (("z", "y", "x"), v * one, {"units": "uG"}) for n, v in fields.items()})
    north = mm.faraday.polarization(ds, wavelength_sq=[1e-9], emission="snapshot", p0=1.0)
    np.testing.assert_allclose(north, -1.0, atol=1e-9)
    rm = mm.faraday.rotation_measure(slab())
    turned = mm.faraday.polarization(slab(), wavelength_sq=[1e-3])
    np.testing.assert_allclose(np.angle(turned[0]) / 2, 1e-3 * rm, rtol=1e-9)


def test_beams_average_p_and_channels_too():
    ds = random_box((6, 16, 16))
    sharp = mm.faraday.polarization(ds, wavelength_sq=WAVES)
    wide = mm.faraday.polarization(ds, wavelength_sq=WAVES, beam=80.0)
    np.testing.assert_allclose(wide.mean(("x", "y")), sharp.mean(("x", "y")), atol=1e-12)
    assert (abs(wide).mean() < abs(sharp).mean()).all()
    depth = mm.faraday.rotation_measure(ds)
    for width in (0.0015, 0.0019):
        band = mm.faraday.polarization(ds, wavelength_sq=WAVES, channel_width=width)
        np.testing.assert_allclose(band, sharp * np.sinc(depth * width / np.pi), rtol=1e-12)
    inside = mm.faraday.polarization(ds, wavelength_sq=[0.3], channel_width=0.02, emission="internal")
    fine = mm.faraday.polarization(ds, wavelength_sq=0.29 + (np.arange(400) + 0.5) * 5e-5, emission="internal")
    assert float(abs(inside[0] - fine.mean("wavelength_sq")).max()) < 1e-4
    noisy = mm.faraday.polarization(ds, wavelength_sq=WAVES, noise=0.1, seed=3) - sharp
    assert float(noisy.real.std()) == pytest.approx(0.1, rel=0.1)
    same = mm.faraday.polarization(ds, wavelength_sq=WAVES, noise=0.1, seed=3) - sharp
    np.testing.assert_array_equal(noisy, same)


LAWS = {
    "burn": (mm.faraday.burn_slab, {"depth": 40.0}),
    "external": (mm.faraday.external_dispersion, {"depth": -25.0, "sigma": 8.0}),
    "internal": (mm.faraday.internal_dispersion, {"depth": 30.0, "sigma": 6.0}),
}


@pytest.mark.parametrize("law", LAWS)
def test_fits_find_what_is_there(law):
    rng = np.random.default_rng(1)
    waves, (function, truth) = mm.faraday.band_channels("vla-l", 64), LAWS[law]
    clean = function(waves, *truth.values(), p0=0.5, angle=0.3)
    noisy = clean + 0.002 * (rng.normal(size=64) + 1j * rng.normal(size=64))
    pol = xr.DataArray(noisy, dims="wavelength_sq", coords={"wavelength_sq": waves})
    found = mm.faraday.fit(pol, law, error=0.002)
    for name, value in {**truth, "p0": 0.5, "angle": 0.3}.items():
        assert abs(float(found[name]) - value) < 5 * float(found[f"{name}_error"]), name
    assert 0.6 < float(found.chi_square) < 1.5
    with pytest.raises(mm.ArgumentError, match="law="):
        mm.faraday.fit(pol, "screen")
    with pytest.raises(mm.SnapshotError, match="cannot give"):
        mm.faraday.fit(pol[:1], law)


def test_fits_cubes_have_a_valid_header(tmp_path):
    from astropy.wcs import WCS

    ds = random_box((6, 16, 18))
    pol = mm.faraday.polarization(ds, wavelength_sq="vla-s", emission="snapshot")
    paths = mm.faraday.write_fits(pol, tmp_path, pixel=2 * u.arcsec)
    with fits.open(paths["Q"]) as file:
        file.verify("exception")
        assert file[0].data.shape == (16, 16, 18)
        np.testing.assert_allclose(file[0].data[3], pol[3].transpose("y", "x").real, rtol=1e-6)
        sky = WCS(file[0].header)
        assert sky.wcs.cdelt[0] < 0 < sky.wcs.cdelt[1]  # east to the left
    frequency = np.loadtxt(paths["frequencies"])
    assert (np.diff(frequency) > 0).all()
    np.testing.assert_allclose(frequency, 2.99792458e8 / np.sqrt(pol.wavelength_sq))
    with pytest.raises(mm.SnapshotError, match="there already"):
        mm.faraday.write_fits(pol, tmp_path, pixel=2 * u.arcsec)
    rm = mm.faraday.rotation_measure(ds)
    with fits.open(mm.faraday.write_fits(rm, tmp_path, pixel=2 * u.arcsec)["RM"]) as file:
        np.testing.assert_allclose(file[0].data, rm.transpose("y", "x"), rtol=1e-6)
        assert file[0].header["BUNIT"] == "rad/m2"
    for los, (ra, dec, east) in {"x": ("y", "z", -1), "y": ("z", "x", -1), (0, 0, -1): ("x", "y", 1)}.items():
        rm = mm.faraday.rotation_measure(ds, los)
        with fits.open(mm.faraday.write_fits(rm, tmp_path, pixel=2 * u.arcsec, overwrite=True)["RM"]) as file:
            np.testing.assert_allclose(file[0].data, rm.transpose(dec, ra), rtol=1e-6)
            assert np.sign(WCS(file[0].header).wcs.cdelt).tolist() == [east, 1]
    with pytest.raises(mm.ArgumentError, match="a quantity in deg is needed"):
        mm.faraday.write_fits(rm, tmp_path, pixel=2 * u.pc, overwrite=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wavelength_sq": 0.0}, "wavelengths squared"),
        ({"wavelength_sq": "vla-z"}, "no band 'vla-z'"),
        ({"wavelength_sq": []}, "wavelength_sq"),
        ({"wavelength_sq": 0.1, "emission": "thermal"}, "emission='thermal'"),
        ({"wavelength_sq": 0.1, "beam": 1e4}, "larger than the map"),
        ({"wavelength_sq": 0.1, "channel_width": 0.3}, "below 0"),
        ({"wavelength_sq": 0.1, "p0": 2.0}, "p0=2.0"),
        ({"wavelength_sq": 0.1, "cosmic_rays": "cr"}, "cosmic_rays='cr'"),
    ],
)
def test_what_is_not_possible_is_refused(options, message):
    with pytest.raises(mm.MmfieldsError, match=message):
        mm.faraday.polarization(random_box(), **options)


@pytest.mark.parametrize("depth", [-300.0, -120.0, -80.0, 5.0, 150.0, 250.0])
@pytest.mark.parametrize("law", LAWS)
def test_fits_of_many_turns(law, depth):
    waves, (function, truth) = np.linspace(0.01, 0.2, 60), LAWS[law]
    spread = [0.8] if "sigma" in truth else []
    values = function(waves, depth, *spread, p0=0.6, angle=-0.4)
    pol = xr.DataArray(values, dims="wavelength_sq", coords={"wavelength_sq": waves})
    found = mm.faraday.fit(pol, law)
    assert float(found.depth) == pytest.approx(depth, rel=1e-4)
    assert float(found.p0) == pytest.approx(0.6, rel=1e-3)
    with pytest.raises(mm.SnapshotError, match="nothing to fit"):
        mm.faraday.fit(0 * pol, law)


@pytest.mark.parametrize("los", [(1, 2, 9), (5, -1, 1)])
def test_oblique_maps_have_the_emission_of_the_box(los):
    """P without rotation is on average that of the cells, one by one."""
    ds = random_box((9, 12, 10), seed=5)
    north, east = mm.faraday.line_of_sight.sight_of(ds, los).north_east()
    up, left = (sum(ds[f"B{c}"] * v for c, v in zip("xyz", w, strict=True)) for w in (north, east))
    strength, chi = (up**2 + left**2) ** (3.5 / 4), np.arctan2(left, up) + np.pi / 2
    want = complex(((strength * np.exp(2j * chi)).mean() / strength.mean()).values)
    found = mm.faraday.polarization(ds, los, wavelength_sq=[1e-12], emission="snapshot", p0=1.0)
    assert abs(complex(found.mean().values) - want) < 1e-9


def holed(*names):
    ds = random_box((8, 16, 16))
    for name in names:
        ds[name][1, 2, 3] = np.nan
    return ds


@pytest.mark.parametrize("emission", ["background", "internal", "snapshot"])
@pytest.mark.parametrize("chunked", [False, True])
def test_one_cell_that_is_not_finite(emission, chunked):
    """Of B along the line it spoils its line, and with a beam all: that is refused; across it emission is unknown."""
    options = {"wavelength_sq": WAVES[:2], "emission": emission}

    def seen(ds, **more):
        return mm.faraday.polarization(ds.chunk(z=4, y=8) if chunked else ds, **options, **more).compute()

    lost = np.isnan(seen(holed("Bz")))
    assert int(lost.sum()) == 2 and lost[:, 2, 3].all()
    with pytest.raises(mm.SnapshotError, match="P is not finite in 1 of 256 pixels, and a beam would spread"):
        seen(holed("Bz"), beam=60.0)
    if emission == "snapshot":
        with pytest.raises(mm.SnapshotError, match="the emission is not finite in 1 of 256 pixels"):
            seen(holed("Bx"))
    else:
        assert np.isfinite(seen(holed("Bx"))).all()
        assert np.isfinite(seen(holed("Bx"), beam=60.0)).all()


def test_what_is_left_needs_all_of_a_complex_map():
    pol = mm.faraday.polarization(random_box((6, 16, 16)), wavelength_sq=WAVES)
    for bad, message in (
        (abs(pol), "is float64"),
        (pol.where(pol.x > 100), "not finite in"),
        (pol.assign_attrs(p0=0.0), "p0"),
        (pol.isel(x=0, y=0), "a map is needed"),
    ):
        with pytest.raises(mm.SnapshotError, match=message):
            mm.faraday.depolarization(bad)


def test_noise_is_lazy_and_that_of_no_chunks(no_compute):
    ds = random_box((6, 8, 8))
    lazy = mm.faraday.polarization(ds.chunk(y=3), wavelength_sq=WAVES, noise=0.2, seed=4)
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(lazy, mm.faraday.polarization(ds, wavelength_sq=WAVES, noise=0.2, seed=4))


def test_laws_take_one_number_and_areas():
    waves = xr.DataArray(WAVES * 1e4, dims="w", attrs={"units": "cm2"})
    np.testing.assert_allclose(mm.faraday.burn_slab(waves, 30.0), mm.faraday.burn_slab(WAVES, 30.0), rtol=1e-12)
    for bad, message in (
        (lambda: mm.faraday.burn_slab(WAVES, [1.0, 2.0]), "depth has the shape"),
        (lambda: mm.faraday.external_dispersion(WAVES, 1.0, -1.0), "sigma=-1"),
        (lambda: mm.faraday.internal_dispersion(waves.assign_attrs(units="s"), 1.0, 1.0), "neither an area"),
        (lambda: mm.faraday.burn_slab(-WAVES, 1.0), "not below 0"),
    ):
        with pytest.raises(mm.MmfieldsError, match=message):
            bad()


def test_cubes_are_of_what_they_say(tmp_path):
    pol = mm.faraday.polarization(random_box((6, 8, 8)), wavelength_sq=WAVES)
    rm = mm.faraday.rotation_measure(random_box((6, 8, 8)))
    for bad, message in (
        (abs(pol).assign_attrs(pol.attrs), "is float64"),
        (rm * 1j, "is complex128"),
        (rm.assign_attrs(units="K"), "rad / m2 is needed"),
        (rm.to_dataset(name="rm").assign(two=rm), "give one of them"),
    ):
        with pytest.raises(mm.MmfieldsError, match=message):
            mm.faraday.write_fits(bad, tmp_path / "new", pixel=1 * u.arcsec)
    assert not (tmp_path / "new").exists()
    with pytest.raises(mm.ArgumentError, match="noise="):
        mm.faraday.rm_synthesis(pol[:, 0, 0], noise=0.0)


def test_errors_of_what_is_left_are_its_scatter_over_seeds():
    """Of lines of sight that know nothing of each other, in 16 patches."""
    waves, found = np.array([0.02, 0.05, 0.1]), []
    for seed in range(50):
        random = np.random.default_rng(seed)
        depth, size = 8 * random.normal(size=(24, 20)) + 20, 0.7 + 0.1 * random.normal(size=(24, 20))
        pol = xr.DataArray(
            size * np.exp(2j * depth * waves[:, None, None]), dims=("wavelength_sq", "y", "x"), attrs={"p0": 0.7}
        )
        found.append(mm.faraday.depolarization(pol))
    for name in ("fraction", "resolved_fraction", "angle_dispersion"):
        scatter = np.std([f[name] for f in found], axis=0)
        error = np.sqrt(np.mean([f[f"{name}_error"] ** 2 for f in found], axis=0))
        assert (abs(error / scatter - 1) < 0.35).all(), name

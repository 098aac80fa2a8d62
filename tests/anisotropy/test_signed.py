"""Elsasser variables, helicities and signed structure functions: exact fields, other sums, lazily."""

import numpy as np
import pytest
import xarray as xr
from astropy import constants
from astropy import units as u
from known_fields import abc

import mmfields as mm


def plasma(seed=1, shape=(10, 12, 14), chunks=None, **more):
    rng = np.random.default_rng(seed)
    fields = {n: rng.normal(size=shape) for n in ("Bx", "By", "Bz", "ux", "uy", "uz")}
    fields["rho"] = rng.uniform(0.5, 2, shape)
    ds = mm.io.from_arrays(**fields, spacing={"x": 0.5, "y": 1.0, "z": 2.0}, dims=("z", "y", "x"), **more)
    return ds.chunk(chunks) if chunks else ds


def test_helicity_of_a_beltrami_field_is_all_that_its_energy_allows():
    ds, _ = abc(32)
    for sign in (1, -1):
        own = ds if sign > 0 else ds.isel({d: slice(None, None, -1) for d in "xyz"})
        mirrored = own.assign_coords({d: ds[d] for d in "xyz"})  # B(-r), whose curl is -B
        found = mm.spectra.helicity(mirrored)
        energy = mm.spectra.power(mirrored)
        shell = int(energy.argmax("k"))
        assert float(found["relative"][shell]) == pytest.approx(sign, rel=1e-3)
        total = (found["helicity"] * found["k_width"]).sum()
        assert float(total) == pytest.approx(sign * sum(float((ds[f"B{d}"] ** 2).mean()) for d in "xyz"), rel=1e-9)


def test_helicity_is_the_mean_of_a_times_b_and_lazy(no_compute):
    ds = plasma().chunk(z=5)
    assert mm.spectra.helicity(ds)["helicity"].chunks is not None


def test_helicity_of_noise_sums_to_that_of_space():
    ds = plasma(shape=(9, 11, 13))  # no Nyquist modes
    a = mm.fourier.vector_potential(ds)
    found = mm.spectra.helicity(ds)
    expected = sum(float((a[f"A{d}"] * ds[f"B{d}"]).mean()) for d in "xyz")
    assert float((found["helicity"] * found["k_width"]).sum()) == pytest.approx(expected, rel=1e-9)
    xr.testing.assert_allclose(mm.spectra.helicity(ds.chunk(z=4, y=6)).compute(), found, rtol=1e-9)


def test_elsasser_variables_and_their_helicity():
    ds = plasma()
    z = mm.anisotropy.elsasser(ds)
    b = {d: ds[f"B{d}"] / ds["rho"] ** 0.5 for d in "xyz"}
    for d in "xyz":
        np.testing.assert_allclose(z[f"zp{d}"] + z[f"zm{d}"], 2 * ds[f"u{d}"], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(z[f"zp{d}"] - z[f"zm{d}"], 2 * b[d], rtol=1e-12, atol=1e-14)
    found = mm.anisotropy.cross_helicity(ds)
    du = {d: ds[f"u{d}"] - ds[f"u{d}"].mean() for d in "xyz"}
    db = {d: b[d] - b[d].mean() for d in "xyz"}
    product = sum(float((du[d] * db[d]).mean()) for d in "xyz")
    assert float(found["cross_helicity"]) == pytest.approx(product, rel=1e-9)
    assert float((found["spectrum"] * found["k_width"]).sum()) == pytest.approx(product, rel=1e-9)
    squares = [sum(float((f[d] ** 2).mean()) for d in "xyz") for f in (du, db)]
    assert float(found["normalized"]) == pytest.approx(2 * product / sum(squares), rel=1e-9)
    assert float(found["residual"]) == pytest.approx((squares[0] - squares[1]) / sum(squares), rel=1e-9)


def test_an_alfven_wave_is_one_elsasser_variable():
    ds = plasma()
    wave = ds.assign({f"u{d}": -ds[f"B{d}"] / ds["rho"] ** 0.5 for d in "xyz"})
    found = mm.anisotropy.cross_helicity(wave)
    assert float(found["normalized"]) == pytest.approx(-1.0) and float(found["residual"]) == pytest.approx(0, abs=1e-12)


def test_units_of_an_alfven_speed():
    named = {**dict.fromkeys(("Bx", "By", "Bz"), "nT"), **dict.fromkeys(("ux", "uy", "uz"), "km / s"), "n": "cm-3"}
    ds = plasma(units={**{k: v for k, v in named.items() if k != "n"}, "rho": "kg / m3", "length": "km"})
    z = mm.anisotropy.elsasser(ds)
    factor = (1 * u.nT / np.sqrt(constants.mu0 * 1 * u.kg / u.m**3)).to_value("km / s")
    np.testing.assert_allclose(z["bx"], factor * ds["Bx"] / ds["rho"] ** 0.5, rtol=1e-10)
    n = ds.rename(rho="n").assign(n=lambda d: d["n"].assign_attrs(units="cm-3"))
    one = (1 * u.nT / np.sqrt(constants.mu0 * constants.m_p / u.cm**3)).to_value("km / s")
    np.testing.assert_allclose(mm.anisotropy.elsasser(n)["bx"], one * n["Bx"] / n["n"] ** 0.5, rtol=1e-10)
    with pytest.raises(mm.SnapshotError, match="are not"):
        mm.anisotropy.elsasser(n.assign(n=n["n"].assign_attrs(units="1")))
    with pytest.raises(mm.SnapshotError, match="density"):
        mm.anisotropy.elsasser(ds.drop_vars("rho"))


def test_signed_structure_functions_of_a_sawtooth_are_exact():
    """u = x/L - 1/2: increments l/L, and l/L - 1 over the jump."""
    n = 32
    x = (np.arange(n) + 0.5) / n - 0.5
    one = np.broadcast_to(x, (6, 5, n))
    ds = mm.io.from_arrays(
        ux=one, uy=3 * one, uz=0 * one, spacing={"x": 1 / n, "y": 1.0, "z": 1.0}, dims=("z", "y", "x")
    )
    s = mm.anisotropy.longitudinal(ds.isel(y=slice(0, 5)), "u", lags=2, subvolumes=0)
    s = s.sel(axis="x")
    way = s["l"].values
    np.testing.assert_allclose(way, np.array([1, 2]) / n)
    cubes = way**3 * (1 - way) + (way - 1) ** 3 * way
    np.testing.assert_allclose(s["LLL"], cubes, rtol=1e-12)
    np.testing.assert_allclose(s["LL"], way**2 * (1 - way) + (way - 1) ** 2 * way, rtol=1e-12)
    np.testing.assert_allclose(s["LTT"], 9 * cubes, rtol=1e-12)
    np.testing.assert_allclose(s["TT"], 9 * s["LL"], rtol=1e-12)
    np.testing.assert_allclose(s["rate"], -0.75 * 10 * cubes / way, rtol=1e-12)
    across = mm.anisotropy.longitudinal(ds, "u", lags=2, subvolumes=0).sel(axis="y")
    assert (across["LL"] == 0).all() and (across["TT"] == 0).all()


@pytest.mark.parametrize("boundary", ["periodic", {"x": "open", "y": "periodic", "z": "open"}])
def test_moments_are_those_of_all_pairs_in_any_chunks(boundary):
    ds = mm.anisotropy.elsasser(plasma(boundary=boundary))
    s = mm.anisotropy.longitudinal(ds, "zp", carrier="zm", lags=3, subvolumes=2)
    for axis, place in (("z", 0), ("y", 1), ("x", 2)):
        for n in s["lag"].values:
            d = {}
            for name in ("zp", "zm"):
                for c in "xyz":
                    a = ds[f"{name}{c}"].values
                    if ds.attrs[f"boundary_{axis}"] == "periodic":
                        d[name + c] = np.roll(a, -n, place) - a
                    else:
                        d[name + c] = np.take(a, range(n, a.shape[place]), place) - np.take(
                            a, range(a.shape[place] - n), place
                        )
            whole = sum(d[f"zp{c}"] ** 2 for c in "xyz")
            one = s.sel(axis=axis, lag=n)
            assert float(one["flux"]) == pytest.approx(np.mean(d[f"zm{axis}"] * whole), rel=1e-10)
            assert float(one["LTT"]) == pytest.approx(
                np.mean(d[f"zp{axis}"] * (whole - d[f"zp{axis}"] ** 2)), rel=1e-10
            )
    lazy = mm.anisotropy.longitudinal(ds.chunk({"z": 4, "y": 5, "x": 6}), "zp", carrier="zm", lags=3, subvolumes=2)
    assert lazy["LL"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(), s, rtol=1e-9)


def test_third_orders_of_a_gaussian_field_are_zero_and_second_ones_are_those_of_a_solenoidal_field():
    ds = mm.turbulence.gaussian((64, 64, 64), spacing=1.0, spectrum=0.0, k_min=0.2, k_max=0.8, seed=5)
    s = mm.anisotropy.longitudinal(ds, "B", lags=8)
    for name in ("LLL", "LTT", "flux"):
        sigma = (s[name] / s[f"{name}_error"]).values
        assert np.abs(sigma).max() < 5 and np.mean(sigma**2) < 2.5
    mean = s[["LL", "TT"]].mean("axis")
    # von Karman and Howarth: TT = 2 LL + l dLL/dl, as l -> 0 four times LL for both transverse ones
    assert float(mean["TT"][0] / mean["LL"][0]) == pytest.approx(4.0, rel=0.1)


def test_what_cannot_be_is_refused():
    with pytest.raises(mm.SnapshotError, match="missing"):
        mm.anisotropy.longitudinal(plasma(), "w")
    with pytest.raises(mm.ArgumentError):
        mm.anisotropy.longitudinal(plasma(), "u", lags=0)

import astropy.constants as const
import astropy.units as u
import numpy as np
import pytest

import mmfields as mm


def slab(los="z", strength=2.0, n=0.5, cells=(4, 5, 6), **attrs):
    shape = cells
    fields = {f"B{c}": np.full(shape, strength if c == los else 7.0) for c in "xyz"}
    return mm.io.from_arrays(
        **fields,
        n=np.full(shape, n),
        spacing={"z": 10.0, "y": 20.0, "x": 40.0},
        dims=("z", "y", "x"),
        units={**{f"B{c}": "uG" for c in "xyz"}, "n": "cm-3", "length": "pc"},
        **attrs,
    )


def test_the_constant_follows_from_the_constants_of_nature():
    value = const.e.gauss.value**3 / (2 * np.pi * const.m_e.cgs.value**2 * const.c.cgs.value**4)
    value *= 1e-6 * u.pc.to("cm") * 1e4
    assert pytest.approx(value, rel=1e-6) == mm.faraday.RM_CONSTANT
    assert pytest.approx(0.8119, abs=5e-5) == mm.faraday.RM_CONSTANT


@pytest.mark.parametrize(("los", "length"), [("z", 40.0), ("y", 100.0), ("x", 240.0)])
def test_uniform_slab(los, length):
    rm = mm.faraday.rotation_measure(slab(los), los)
    assert rm.dims == tuple(d for d in "zyx" if d != los)
    np.testing.assert_allclose(rm, 0.8119011615 * 0.5 * 2.0 * length, rtol=1e-12)
    assert rm.attrs["units"] == "rad / m2"


def test_sign_units_and_redshift():
    ds = slab(strength=-2.0)
    assert float(mm.faraday.rotation_measure(ds).max()) < 0  # the field points away from the observer
    si = ds.assign({f"B{c}": (ds[f"B{c}"] * 1e-10).assign_attrs(units="T") for c in "xyz"})
    si["n"] = (ds.n * 1e6).assign_attrs(units="m-3")
    si = si.assign_coords({d: (ds[d] * u.pc.to("m")).assign_attrs(units="m") for d in "xyz"})
    np.testing.assert_allclose(mm.faraday.rotation_measure(si), mm.faraday.rotation_measure(ds), rtol=1e-12)
    far = mm.faraday.rotation_measure(ds, redshift=1.0)
    np.testing.assert_allclose(far * 4, mm.faraday.rotation_measure(ds), rtol=1e-14)
    given = mm.faraday.rotation_measure(ds.drop_vars("n"), density=500 / u.dm**3)
    np.testing.assert_allclose(given, mm.faraday.rotation_measure(ds), rtol=1e-12)


def test_eager_equals_chunked_bit_for_bit_lazily(no_compute):
    import dask

    rng = np.random.default_rng(0)
    ds = slab().map(lambda v: v * rng.uniform(0.5, 1.5, v.shape), keep_attrs=True)
    ds = ds.assign_attrs(slab().attrs)
    lazy = mm.faraday.rotation_measure(ds.chunk(y=2, x=5))
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(lazy.values, mm.faraday.rotation_measure(ds).values)


def test_the_sample_has_the_rotation_measure_of_its_si_fields(shared):
    ds = mm.samples.load("micromirrors").isel(time=-1)
    rm = mm.faraday.rotation_measure(ds, "y")
    raw = mm.open_snapshot(shared / "data/warpx_mirror/warpx_mirror_fields_001064.h5").astype(float)
    column = (raw.By * raw.charge_density / const.e.si.value).sum("y").compute() * 1e-6 * 1e10
    step = 96 * 72008.46722496499 / 48 * u.m.to("pc")
    np.testing.assert_allclose(rm, column * step * 0.8119011615, rtol=2e-5, atol=1e-13)


def test_what_is_missing_is_asked_for():
    ds = slab()
    with pytest.raises(mm.SnapshotError, match="density=1e-3"):
        mm.faraday.rotation_measure(ds.drop_vars("n"))
    with pytest.raises(mm.SnapshotError, match="no unit"):
        mm.faraday.rotation_measure(ds, density=1e-3)
    with pytest.raises(mm.SnapshotError, match="cannot be brought to"):
        mm.faraday.rotation_measure(ds, density=1 * u.kg)
    with pytest.raises(mm.SnapshotError, match="los='w'"):
        mm.faraday.rotation_measure(ds, "w")
    plain = mm.samples.load("mhd_turbulence")
    with pytest.raises(mm.SnapshotError, match="no 'field_unit' attribute"):
        mm.faraday.rotation_measure(plain, density=1 / u.cm**3)
    rm = mm.faraday.rotation_measure(plain, density=1 / u.cm**3, field_unit=1 * u.uG, length_unit=u.kpc)
    column = plain.Bz.values.astype(float).sum(0) / 64 * 1000 * 0.8119011615
    np.testing.assert_allclose(rm, column, rtol=1e-6, atol=1e-6)

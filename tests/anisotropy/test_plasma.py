"""Pressures against the thresholds, curvature, and the double-adiabatic history."""

import dask
import numpy as np
import pytest
from astropy import constants
from astropy import units as u

import mmfields as mm

SHAPE = (6, 8, 10)
TENSOR = ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")


def gyrotropic(seed=3, kind=np.float64):
    """A random field, random p_par and p_perp, and the tensor p_perp 1 + (p_par - p_perp) bb that they make."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=(3, *SHAPE)) + np.array([1.0, -2.0, 0.5])[:, None, None, None]
    p_par, p_perp = rng.uniform(1, 2, SHAPE), rng.uniform(1, 3, SHAPE)
    b = field / np.linalg.norm(field, axis=0)
    tensor = {
        name: (p_perp * (i == j) + (p_par - p_perp) * b[i] * b[j]).astype(kind)
        for name in TENSOR
        for i, j in [("xyz".index(name[1]), "xyz".index(name[2]))]
    }
    fields = {f"B{c}": f.astype(kind) for c, f in zip("xyz", field, strict=True)}
    make = {"spacing": dict.fromkeys("xyz", 1.0), "dims": ("z", "y", "x")}
    pair = mm.io.from_arrays(**fields, p_par=p_par.astype(kind), p_perp=p_perp.astype(kind), **make)
    return pair, mm.io.from_arrays(**fields, **tensor, **make)


def test_the_tensor_in_the_local_field_gives_its_pressures_back():
    pair, tensor = gyrotropic()
    one, other = mm.anisotropy.pressure(pair), mm.anisotropy.pressure(tensor)
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-11, err_msg=name)
    square = pair.Bx**2 + pair.By**2 + pair.Bz**2
    np.testing.assert_allclose(one.beta_par, 2 * pair.p_par / square)
    np.testing.assert_allclose(one.mirror_margin, pair.p_perp / pair.p_par - 1 - square / (2 * pair.p_perp))
    np.testing.assert_allclose(one.firehose_margin, pair.p_perp / pair.p_par - 1 + square / pair.p_par)


def test_a_uniform_isotropic_plasma_is_at_zero(no_compute):
    one = np.ones(SHAPE)
    ds = mm.io.from_arrays(
        Bx=one, By=2 * one, Bz=2 * one, n=4 * one, p_par=3 * one, p_perp=3 * one, spacing=dict.fromkeys("xyz", 1.0)
    )
    found = mm.anisotropy.pressure(ds)
    assert float(abs(found.Delta).max()) == 0
    assert float(found.alfven_speed.min()) == float(found.alfven_speed.max()) == 1.5
    assert float(mm.anisotropy.curvature(ds).max()) == 0
    lazy = mm.anisotropy.pressure(ds.chunk(x=3))
    counts = mm.anisotropy.brazil_histogram(lazy)
    with dask.config.set(scheduler="threads"):
        for name in found:
            np.testing.assert_array_equal(lazy[name].compute(), found[name])
        assert float(counts.cells.sum()) == one.size
        assert float(counts.outside) == 0


def test_units():
    """beta = 2 mu0 p / B^2 in SI, 8 pi p / B^2 in Gaussian units, 2 p / B^2 where codes count so."""
    field, p, n = 3e-9, 2e-11, 5e6
    one = np.ones(SHAPE)
    si = mm.io.from_arrays(
        Bx=field * one,
        By=0 * one,
        Bz=0 * one,
        p_par=p * one,
        p_perp=p * one,
        n=n * one,
        spacing=dict.fromkeys("xyz", 1.0),
    )
    for name, unit in {"Bx": "T", "By": "T", "Bz": "T", "p_par": "Pa", "p_perp": "Pa", "n": "m-3"}.items():
        si[name].attrs["units"] = unit
    found = mm.anisotropy.pressure(si)
    want = 2 * constants.mu0.value * p / field**2
    assert float(found.beta_par[0, 0, 0]) == pytest.approx(want, rel=1e-12)
    speed = field * u.T / np.sqrt(constants.mu0 * constants.m_p * n / u.m**3)
    assert float(found.alfven_speed[0, 0, 0]) == pytest.approx(speed.to_value("m/s"), rel=1e-12)
    assert found.alfven_speed.attrs["units"] == "m / s"
    gauss = si.assign({c: si[c] * f for c, f in (("Bx", 1e4), ("p_par", 10.0), ("p_perp", 10.0))})
    for name, unit in {"Bx": "G", "By": "G", "Bz": "G", "p_par": "erg / cm3", "p_perp": "erg / cm3"}.items():
        gauss[name].attrs["units"] = unit
    assert float(mm.anisotropy.pressure(gauss).beta_par[0, 0, 0]) == pytest.approx(want, rel=1e-9)
    assert float(mm.anisotropy.pressure(gauss).beta_par[0, 0, 0]) == pytest.approx(
        8 * np.pi * p * 10 / (field * 1e4) ** 2, rel=1e-6
    )
    half = si.copy()
    half["p_par"].attrs["units"] = "1"
    with pytest.raises(mm.SnapshotError, match="units differ"):
        mm.anisotropy.pressure(half)
    half["p_perp"].attrs["units"] = "1"
    with pytest.raises(mm.SnapshotError, match="pressure_unit"):
        mm.anisotropy.pressure(half)
    with pytest.raises(mm.SnapshotError, match="pressure and field are needed"):
        mm.anisotropy.pressure(half.assign_attrs(pressure_unit="m"))


def test_what_is_missing_is_named():
    both = mm.samples.load("micromirrors")
    with pytest.raises(mm.SnapshotError, match="p_par has no time"):
        mm.anisotropy.pressure(both)
    with pytest.raises(mm.SnapshotError, match="p_par and p_perp, or Pxx"):
        mm.anisotropy.pressure(both[["Bx", "By", "Bz"]])
    with pytest.raises(mm.SnapshotError, match="what mm"):
        mm.anisotropy.brazil_histogram(both)


def test_the_real_mirrors_are_beyond_the_mirror_threshold():
    ds = mm.samples.load("micromirrors").isel(time=-1)
    found = mm.anisotropy.pressure(ds)
    assert found.attrs["beta"] == "2 p / B^2"
    ratio = float(found.p_perp.mean() / found.p_par.mean()) - 1
    assert 0.15 < ratio < 0.3
    assert float((found.mirror_margin > 0).mean()) > 0.6


def test_the_brazil_plot_counts_every_cell():
    _, tensor = gyrotropic()
    found = mm.anisotropy.pressure(tensor)
    edges = {"beta_par": np.geomspace(0.1, 3, 7), "ratio": np.geomspace(0.8, 1.5, 5)}
    counts = mm.anisotropy.brazil_histogram(found, **edges)
    want, *_ = np.histogram2d(
        found.beta_par.values.ravel(), (found.Delta + 1).values.ravel(), [edges["beta_par"], edges["ratio"]]
    )
    np.testing.assert_array_equal(counts.cells, want)
    assert float(counts.outside) == found.Delta.size - want.sum()
    # on the curves the margins vanish
    beta, ratio = counts.beta_par, counts.mirror
    np.testing.assert_allclose(ratio - 1 - 1 / (beta * ratio), 0, atol=1e-12)
    np.testing.assert_allclose((counts.firehose - 1 + 2 / beta).dropna("beta_par"), 0, atol=1e-12)
    assert np.isnan(counts.firehose[0])
    chunked = mm.anisotropy.brazil_histogram(mm.anisotropy.pressure(tensor.chunk(z=2, x=3)), **edges)
    np.testing.assert_array_equal(chunked.cells, want)
    for bad in ([1.0], [2.0, 1.0], [0.0, 1.0], [1.0, np.nan]):
        with pytest.raises(mm.ArgumentError, match=r"beta_par: (ascending|finite)"):
            mm.anisotropy.brazil_histogram(found, beta_par=bad)


def test_moments_of_the_real_file_become_the_pressures_of_the_sample(shared):
    """The sample's p_par and p_perp were made of these moments, along the mean field x and across it."""
    folder = shared / "data/warpx_mirror"
    moments = mm.open_snapshot(folder / "warpx_mirror_moments_001064.h5", boundary="periodic")
    fields = mm.open_snapshot(folder / "warpx_mirror_fields_001064.h5", boundary="periodic")
    density = fields["charge_density"] / constants.e.si.value
    tensor = mm.anisotropy.pressure_tensor(moments, density=density, species="ions")
    sample = mm.samples.load("micromirrors").isel(time=-1)
    unit = u.Quantity(sample.attrs["pressure_unit"]).to_value("Pa")
    assert tensor.Pxx.chunks is not None
    np.testing.assert_allclose(tensor.Pxx / unit, sample.p_par, rtol=2e-3)
    np.testing.assert_allclose((tensor.Pyy + tensor.Pzz) / 2 / unit, sample.p_perp, rtol=2e-3)
    with pytest.raises(mm.SnapshotError, match="no second moments uxx_electrons"):
        mm.anisotropy.pressure_tensor(moments, density=density, species="electrons")
    with pytest.raises(mm.SnapshotError, match="bulk flow"):
        mm.anisotropy.pressure_tensor(moments.drop_vars("jx"), density=density, species="ions")


@pytest.mark.parametrize("boundary", ["periodic", "open"])
def test_circular_field_lines_have_the_curvature_of_their_radius(boundary, no_compute):
    n = 48
    centre = np.arange(n) + 0.5 - n / 2
    _z, y, x = np.meshgrid(np.arange(6.0), centre, centre, indexing="ij")
    ds = mm.io.from_arrays(
        Bx=-y, By=x, Bz=0 * x, spacing={"z": 1.0, "y": 0.5, "x": 0.5}, dims=("z", "y", "x"), boundary=boundary
    )
    found = mm.anisotropy.curvature(ds)
    radius = 0.5 * np.hypot(x, y)
    ring = (radius > 5) & (radius < 11)
    np.testing.assert_allclose(found.values[ring], 1 / radius[ring], rtol=5e-3)
    lazy = mm.anisotropy.curvature(ds.chunk(z=2, y=17, x=13))
    with dask.config.set(scheduler="threads"):
        np.testing.assert_allclose(lazy.compute(), found, rtol=1e-12)


def test_a_twisted_field_across_the_box_wraps_around():
    """B = (cos kz, sin kz, 0) bends nowhere; B = (1, a cos kx, 0) has |b'| = a k sin(kx) to first order."""
    n, k = 64, 2 * np.pi / 64
    x = np.broadcast_to(np.arange(n), (4, 4, n))
    ds = mm.io.from_arrays(
        Bx=1 + 0 * x, By=1e-3 * np.cos(k * x), Bz=0 * x, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x")
    )
    want = 1e-3 * np.sin(k) * abs(np.sin(k * x))  # of the central difference
    np.testing.assert_allclose(mm.anisotropy.curvature(ds), want, atol=1e-8)


def test_double_adiabatic_history():
    """Row 22 of the acceptance checks, and N2: both readings of the paper."""
    printed = mm.anisotropy.compression([0.0, 0.15, 0.25])
    np.testing.assert_allclose(printed.Delta, [0.0, 0.3225, 0.5625], atol=1e-12)
    assert float(printed.mirror_onset) == pytest.approx(0.00995, abs=5e-6)
    np.testing.assert_allclose(mm.anisotropy.compression([0.15, 0.25], exponents=(2.0,)).Delta, [0.3225, 0.5625])
    literal = mm.anisotropy.compression([0.15], exponents=(2.0, 2.0))
    assert float(literal.Delta[0]) == pytest.approx(1.15**4 - 1)
    assert float(literal.L_1[0]) == pytest.approx(1.15**-2)
    np.testing.assert_allclose(literal.B, 1 + literal.Delta)
    # the invariants, and the flux
    np.testing.assert_allclose(literal.p_perp / (literal.n * literal.B), 1)
    np.testing.assert_allclose(literal.p_par * literal.B**2 / literal.n**3, 1)
    np.testing.assert_allclose(literal.B * literal.L_1 * literal.L_2, 1)
    at = mm.anisotropy.compression([float(printed.mirror_onset)])
    assert float(at.mirror_margin[0]) == pytest.approx(0, abs=1e-12)
    for bad in ({"exponents": (1, 1, 1)}, {"exponents": (0,)}, {"beta": 0}, {"time": [-1.0]}):
        with pytest.raises(mm.ArgumentError):
            mm.anisotropy.compression(**{"time": [0.1], **bad})


def test_weak_fields_in_float32():
    """Products of small numbers do not underflow: 1e-13 T and 1e-18 Pa, in float32."""
    pair, tensor = gyrotropic()
    weak = tensor.assign({n: (tensor[n] * (1e-13 if n[0] == "B" else 1e-18)).astype(np.float32) for n in tensor})
    found = mm.anisotropy.pressure(weak)
    np.testing.assert_allclose(found.p_par / 1e-18, pair.p_par, rtol=1e-5)
    np.testing.assert_allclose(found.p_perp / 1e-18, pair.p_perp, rtol=1e-5)


@pytest.mark.parametrize(
    "call",
    [
        lambda ds: mm.anisotropy.compression("a"),
        lambda ds: mm.anisotropy.compression([0.1], exponents="ab"),
        lambda ds: mm.anisotropy.compression([0.1], beta=True),
        lambda ds: mm.anisotropy.brazil_histogram(mm.anisotropy.pressure(ds), ratio="a"),
        lambda ds: mm.anisotropy.pressure(with_units(ds), ion_mass="helium"),
        lambda ds: mm.anisotropy.pressure_tensor(ds.assign(uxx_ions=ds.Bx), density=ds.n, species="ions", mass=3),
    ],
)
def test_what_is_not_possible_is_refused(call):
    ds, _ = gyrotropic()
    with pytest.raises(mm.ArgumentError):
        call(ds.assign(n=1 + 0 * ds.Bx))


def with_units(ds):
    for name, unit in {"Bx": "T", "By": "T", "Bz": "T", "p_par": "Pa", "p_perp": "Pa", "n": "m-3"}.items():
        ds[name].attrs["units"] = unit
    return ds

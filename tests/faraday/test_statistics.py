"""Statistics of maps, stacking, and the random walk."""

import astropy.units as u
import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm

UNITS = {**{f"B{c}": "uG" for c in "xyz"}, "n": "cm-3", "length": "pc"}


def solenoidal(n=64, seed=0, scale=10.0):
    """Isotropic, solenoidal Gaussian field with E(k) ∝ k⁴ exp(-k² l²/2), B_rms = 1; one-sided l_c known exactly."""
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(3, n, n, n))
    fields = {f"B{c}": one[i] for i, c in enumerate("xyz")}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x"))
    ds = mm.fourier.project(ds)
    k0 = 2 * np.pi / scale
    shape = mm.fourier.Transfer(Shape(k0), "gaussian shell", isotropic=True)
    ds = mm.fourier.filter(ds, shape)
    strength = float(np.sqrt((ds.Bx**2 + ds.By**2 + ds.Bz**2).mean()))
    ds = (ds / strength).assign_attrs(ds.attrs)
    ds = ds.assign(n=1 + 0 * ds.Bx)
    for name in ds:
        ds[name].attrs["units"] = UNITS[name]
    for d in "xyz":
        ds[d].attrs["units"] = "pc"
    return ds


class Shape:
    def __init__(self, k0):
        self.k0 = k0

    def __call__(self, k_par, k_perp):
        return np.exp(-(np.asarray(k_par) ** 2 + np.asarray(k_perp) ** 2) / (2 * self.k0**2))


def integral_scale(ds):
    """l_c = (pi/2) ∫E/k / ∫E."""
    power = mm.spectra.power(ds, ["Bx", "By", "Bz"])
    return float(np.pi / 2 * (power / power.k).sum() / power.sum())


def test_sigma_follows_the_law_for_solenoidal_fields():
    """sigma = 0.8119 n B sqrt(L l_c1), seed by seed and along all axes."""
    ratios = []
    for seed in range(6):
        ds = solenoidal(seed=seed)
        scale = integral_scale(ds)
        walk = mm.faraday.random_walk(
            density=1 / u.cm**3, field=1 * u.uG, integral_scale=scale * u.pc, length=64 * u.pc
        )
        for d in "xyz":
            beside = mm.faraday.compare_to_random_walk(ds, d)
            assert float(beside.sigma_law) == pytest.approx(walk, rel=1e-6)
            assert float(beside.integral_scale) == pytest.approx(scale)
            found = mm.faraday.statistics(mm.faraday.rotation_measure(ds, d))
            assert float(beside.sigma) == pytest.approx(float(found.sigma))
            ratios.append(float(beside.sigma) / walk)
    mean_square = np.mean(np.square(ratios))
    assert abs(mean_square - 1) < 4 * np.std(np.square(ratios)) / np.sqrt(len(ratios)) + 0.02
    assert np.std(np.square(ratios)) < 0.3


def test_stacking_grows_as_the_root_and_identical_copies_are_refused(no_compute):
    ds = solenoidal(n=32, scale=8.0)
    variance = {}
    for boxes in (16, 256):
        maps = [mm.faraday.stack(ds, boxes, seed=s, orientations=8) for s in range(4)]
        variance[boxes] = np.mean([float(m.var()) for m in maps])
    assert variance[256] / variance[16] == pytest.approx(16, rel=0.4)
    with pytest.raises(mm.ArgumentError, match="N² times the variance"):
        mm.faraday.stack(ds, 10, shifts="identical")
    lazy = mm.faraday.stack(ds.chunk(z=8), 10)
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(lazy.compute(), mm.faraday.stack(ds, 10))
    half = np.mean(
        [float(mm.faraday.stack(ds, 256, seed=s, orientations=8, filling_fraction=0.25).var()) for s in range(4)]
    )
    assert half / variance[256] == pytest.approx(0.25, rel=0.4)
    with pytest.raises(mm.SnapshotError, match="a cube is needed"):
        mm.faraday.stack(ds.isel(x=slice(0, 16)), 10)


def test_statistics_of_a_map():
    ds = solenoidal(n=32, scale=8.0)
    rm = mm.faraday.rotation_measure(ds)
    found = mm.faraday.statistics(rm)
    assert float(found.sigma) == pytest.approx(float(rm.std()), rel=1e-12)
    assert float((found.pdf * 10 / 60).sum()) == pytest.approx(1.0, abs=0.01)
    # brute force at the lags of one cell along an axis or the other: the first bin holds those alone
    near = [((rm - rm.roll({d: s})) ** 2).mean() for d in "xy" for s in (1, -1)]
    diagonal = [((rm - rm.roll(x=s, y=t)) ** 2).mean() for s in (1, -1) for t in (1, -1)]
    assert float(found.D[1]) == pytest.approx(float(np.mean([*near, *diagonal])), rel=1e-10)
    assert float(found.D[-1]) == pytest.approx(2 * float(found.sigma) ** 2, rel=0.35)
    power = mm.spectra.power(rm.to_dataset().assign_attrs(rm.attrs), ["rotation_measure"])
    assert float((power * power.k_width).sum()) == pytest.approx(float(rm.var()) / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("density", "sigma", "angles"),
    [(1e-3, 3.6e-4, (0.13, 0.066, 9.5e-4, 2.9e-5)), (1e-2, 3.6e-3, (1.3, 0.66, 9.5e-3, 2.9e-4))],
)
def test_the_table_of_angles(density, sigma, angles):
    """science.md section 3: 1 uG along the line of sight, 100 npc, 1 Mpc; at 120 and 168 MHz, 1.4 and 8 GHz."""
    path = {"field": 1 * u.uG, "integral_scale": 1e-7 * u.pc, "length": 1 * u.Mpc, "of": "component"}
    found = mm.faraday.expected_angles(
        density=density / u.cm**3, bands=["lofar-hba", "vla-c", "vla-l"], relative_error=0.1, **path
    )
    assert float(found.sigma) == pytest.approx(sigma, rel=0.02)
    wave = (2.99792458e8 / 1.4e9) ** 2
    given = [*found.angle.sel(band="lofar-hba"), np.degrees(float(found.sigma) * wave), found.angle[1, 1]]
    np.testing.assert_allclose(given, angles, rtol=0.02)
    lost = 2 * np.radians(angles[0]) ** 2
    assert float(found.depolarization[0, 0]) == pytest.approx(lost, rel=0.05)
    half = mm.faraday.random_walk(density=density / u.cm**3, filling_fraction=0.25, **path)
    assert half == pytest.approx(float(found.sigma) / 2)
    assert float(found.angle_error[0, 0] / found.angle[0, 0]) == pytest.approx(0.1)
    longer = mm.faraday.random_walk(
        density=density / u.cm**3, field=np.sqrt(3) * u.uG, integral_scale=1e-7 / 1.5 * u.pc, length=1 * u.Mpc
    )
    assert longer == pytest.approx(float(found.sigma))  # the same field, as a vector


def test_a_beta_model():
    profile = mm.faraday.beta_model([0, 100] * u.kpc, central=1e-2 / u.cm**3, core=100 * u.kpc)
    np.testing.assert_allclose(profile.to_value("cm-3"), [1e-2, 5e-3])
    found = mm.faraday.expected_angles(density=profile, field=1 * u.uG, integral_scale=1 * u.pc, length=1 * u.Mpc)
    want = mm.faraday.random_walk(
        density=np.sqrt((1e-4 + 0.25e-4) / 2) / u.cm**3, field=1 * u.uG, integral_scale=1 * u.pc, length=1 * u.Mpc
    )
    assert float(found.sigma) == pytest.approx(want)


@pytest.mark.parametrize(
    "options",
    [
        {"density": 1.0},
        {"field": 1 * u.pc},
        {"length": 1e-7 * u.pc},
        {"filling_fraction": 2.0},
        {"density": -1 / u.cm**3},
        {"density": [1, 2] / u.cm**3},
        {"redshift": "a"},
        {"redshift": -1.0},
    ],
)
def test_what_is_not_possible_is_refused(options):
    good = {"density": 1 / u.cm**3, "field": 1 * u.uG, "integral_scale": 1 * u.pc, "length": 1 * u.kpc}
    with pytest.raises(mm.ArgumentError):
        mm.faraday.random_walk(**{**good, **options})


def test_more_that_is_refused():
    with pytest.raises(mm.ArgumentError, match="core="):
        mm.faraday.beta_model(1 * u.kpc, central=1 / u.cm**3, core=1 * u.s)
    good = {"density": 1 / u.cm**3, "field": 1 * u.uG, "integral_scale": 1 * u.pc, "length": 1 * u.kpc}
    for bands in ([], "vla-l", ["vla-q"]):
        with pytest.raises(mm.ArgumentError, match="bands"):
            mm.faraday.expected_angles(**good, bands=bands)
    flat = solenoidal(n=8).isel(x=0, drop=True)
    with pytest.raises(mm.SnapshotError, match="three dimensions"):
        mm.faraday.compare_to_random_walk(flat, "z")


def test_a_constant_map_has_no_shape():
    rm = mm.faraday.rotation_measure(solenoidal(n=8)) * 0 + 0.1
    found = mm.faraday.statistics(rm)
    assert float(found.sigma) == 0.0
    assert np.isnan(found.skewness) and np.isnan(found.kurtosis)


def cumulative_map(shape, widths, edges, seed=1):
    """A steep map, whose opposite edges differ; `edges` are those of y and x."""
    values = np.random.default_rng(seed).normal(size=shape).cumsum(axis=0).cumsum(axis=1) + 5
    coords = {d: np.arange(n) * w for d, n, w in zip("yx", shape, widths, strict=True)}
    attrs = {"units": "rad / m2", **{f"boundary_{d}": e for d, e in zip("yx", edges, strict=True)}}
    return xr.DataArray(values, dims=("y", "x"), coords=coords, attrs=attrs, name="rotation_measure")


def pair_by_pair(rm, number):
    """Structure function and lags, bin by bin, of all pairs of pixels."""
    widths = [float(rm[d][1] - rm[d][0]) for d in "yx"]
    lags = []
    for i, d in enumerate("yx"):
        place = np.indices(rm.shape)[i].ravel()
        lag, n = place[:, None] - place, rm.sizes[d]
        lags.append(np.minimum(abs(lag), n - abs(lag)) if rm.attrs[f"boundary_{d}"] == "periodic" else lag)
    length = np.hypot(lags[0] * widths[0], lags[1] * widths[1]) / min(widths)
    square = (rm.values.ravel()[:, None] - rm.values.ravel()) ** 2
    place = np.floor(length + 1e-9)
    own = [place == k for k in range(number)]
    return [np.nanmean(square[o]) for o in own], [length[o].mean() * min(widths) for o in own]


@pytest.mark.parametrize(
    ("shape", "widths", "edges"),
    [
        ((13, 18), (1.0, 1.0), ("periodic", "periodic")),
        ((18, 13), (1.0, 1.0), ("open", "open")),
        ((17, 24), (0.3, 0.1), ("open", "periodic")),
        ((12, 18), (1.0, 2.0), ("periodic", "reflecting")),
    ],
)
def test_structure_functions_are_those_of_all_pairs_at_their_mean_lag(shape, widths, edges):
    """Wrapping around along periodic axes alone, whatever the other axis does."""
    rm = cumulative_map(shape, widths, edges)
    found = mm.faraday.statistics(rm)
    want, lags = pair_by_pair(rm, found.sizes["s"])
    np.testing.assert_allclose(found.D, want, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.s, lags, rtol=1e-12)
    assert np.isfinite(found.D).all() and float(found.D[0]) == 0 == float(found.s[0])
    holed = rm.copy()
    holed[3, 4], holed[5:8, 2:5] = np.nan, np.inf
    some = mm.faraday.statistics(holed)
    want, _ = pair_by_pair(holed.where(np.isfinite(holed)), found.sizes["s"])
    np.testing.assert_allclose(some.D[1:], want[1:], rtol=0.05)  # a lag weighs as many pairs as the whole map has
    known = holed.values[np.isfinite(holed.values)]
    assert int(some.pixels) == known.size == rm.size - 10
    assert float(some["mean"]) == pytest.approx(known.mean()) and float(some.sigma) == pytest.approx(known.std())
    np.testing.assert_array_equal(some.s, found.s)


def test_small_lags_are_those_of_the_map():
    """A steep map has the slope at its own lags, and open maps with a gradient do not wrap."""
    rm = cumulative_map((48, 40), (2.0, 2.0), ("open", "open")) * 0
    rm = (rm + 3.0 * rm.x - 2.0 * rm.y).assign_attrs(boundary_x="open", boundary_y="open")
    found = mm.faraday.statistics(rm)
    # <(3 dx - 2 dy)^2> = (9 + 4)/2 s^2 where both directions have as many pairs
    np.testing.assert_allclose(found.D[1:4], 6.5 * found.s[1:4] ** 2, rtol=0.05)
    lost = mm.faraday.statistics(rm.drop_attrs())
    np.testing.assert_array_equal(lost.D, found.D)  # without attrs no axis wraps


def test_statistics_are_lazy_and_of_each_map(no_compute):
    one = cumulative_map((12, 17), (1.0, 1.0), ("open", "periodic"))
    both = xr.concat([one, -3 * one.roll(x=2)], "time").assign_attrs(one.attrs)
    lazy = mm.faraday.statistics(both.chunk(time=1, x=5))
    with dask.config.set(scheduler="threads"):
        lazy = lazy.compute()
    for i, scale in enumerate((1, 3)):
        alone = mm.faraday.statistics(both.isel(time=i))
        for name in ("mean", "sigma", "skewness", "kurtosis", "pixels", "pdf", "D"):
            np.testing.assert_array_equal(lazy[name].isel(time=i), alone[name])
        np.testing.assert_allclose(alone.D, scale**2 * mm.faraday.statistics(one).D, rtol=1e-10, atol=1e-10)
    weak = mm.faraday.statistics((one * 1e-25).astype(np.float32).assign_attrs(one.attrs))
    np.testing.assert_allclose(weak.D * 1e50, mm.faraday.statistics(one).D, rtol=1e-5)
    assert float(weak.kurtosis) == pytest.approx(float(mm.faraday.statistics(one).kurtosis), rel=1e-5)


def test_what_is_no_map_is_refused():
    rm = cumulative_map((6, 5), (1.0, 1.0), ("open", "open"))
    for bad, message in (
        (rm * 1j, "complex128"),
        (rm > 0, "bool"),
        (rm.assign_attrs(units="K"), "rad / m2 is needed"),
        (rm.assign_attrs(units="rad / cm2"), "bring it to"),
        (rm.expand_dims(z=[0.0, 1.0]), "a map of at least four pixels"),
        (rm[:1, :3], "a map of at least four pixels"),
        (rm.where(rm > 1e9), "0 of the 30 pixels"),
        (rm.to_dataset(name="rm").assign(two=rm), "give one of them"),
    ):
        with pytest.raises(mm.MmfieldsError, match=message):
            mm.faraday.statistics(bad)
    assert mm.faraday.statistics(rm.assign_attrs(units="rad m-2")).D.attrs["units"] == "rad2 / m4"


def cube_of(n=16, **fields):
    one = np.ones((n, n, n))
    return mm.io.from_arrays(
        **{f"B{d}": fields.get(d, 0.0) * one for d in "xyz"}, spacing=dict.fromkeys("xyz", 2.0), dims=("z", "y", "x"),
        units={**{f"B{d}": "uG" for d in "xyz"}, "length": "kpc"},
    )  # fmt: skip


def test_a_stack_of_a_uniform_field_has_the_mean_fields_path():
    """One copy seen at an angle to the field adds RM_CONSTANT n B L cos; N of them a walk of N such steps."""
    ds, density = cube_of(8, x=0.6, z=-0.8), 1e-3 / u.cm**3
    step = mm.faraday.RM_CONSTANT * 8 * 2.0
    for seed in range(5):
        arrow = np.random.default_rng([seed, 8]).normal(size=3)
        arrow /= np.linalg.norm(arrow)
        own = mm.faraday.stack(ds, 1, seed=seed, orientations=1, density=density)
        np.testing.assert_allclose(abs(own), abs(0.6 * arrow[0] - 0.8 * arrow[2]) * step, rtol=1e-12)
    many = [float(mm.faraday.stack(ds, 3, seed=s, orientations=1, density=density)[0, 0]) for s in range(300)]
    assert np.sqrt(np.mean(np.square(many))) == pytest.approx(step, rel=0.15)  # sqrt(3) steps of 1/sqrt(3)


def test_a_stack_refuses_what_its_shifts_would_spoil():
    ds = cube_of(8, z=1.0)
    with pytest.raises(mm.SnapshotError, match="needs periodic axes, and z is open"):
        mm.faraday.stack(ds.assign_attrs(boundary_z="open"), 2, density=1 / u.cm**3)
    ds.Bz[1, 2, 3] = np.nan
    with pytest.raises(mm.SnapshotError, match="not finite in"):
        mm.faraday.stack(ds, 2, density=1 / u.cm**3)


@pytest.mark.parametrize(
    "options", [{"central": -1 / u.cm**3}, {"radius": [1, -1] * u.kpc}, {"radius": np.nan * u.kpc}, {"core": 0 * u.kpc}]
)
def test_beta_models_have_positive_numbers(options):
    good = {"radius": 1 * u.kpc, "central": 1 / u.cm**3, "core": 1 * u.kpc}
    given = {**good, **options}
    with pytest.raises(mm.ArgumentError, match=next(iter(options))):
        mm.faraday.beta_model(given.pop("radius"), **given)

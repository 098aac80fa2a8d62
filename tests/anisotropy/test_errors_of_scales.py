"""Error bars against the scatter between fields that are drawn anew, and where they must not depend on anything."""

import dask
import numpy as np
import pytest

import mmfields as mm

SEEDS = 50
ODD = {"y": 27, "z": 21, "x": 25}
UNEQUAL = {"shape": {"z": 16, "y": 24, "x": 36}, "spacing": {"z": 2.0, "y": 1.0, "x": 0.5}}
FLAT = {"shape": {"y": 48, "x": 64}}


def ratio(values, errors, scale=1.0):
    """Root mean square of the errors over the standard deviation of the values, over the first axis."""
    values, errors = np.array(values), np.array(errors)
    return np.sqrt((errors**2).mean(axis=0)) / values.std(axis=0, ddof=1) * scale


@pytest.mark.parametrize(
    "options",
    [
        {"shape": 24, "mean_field": (1, 2, -1), "spectrum": 5 / 3},
        {"shape": 24, "mean_field": (0, 0, 3), "spectrum": 3.0},
        {"shape": 24, "mean_field": (1, 2, -1), "k_min": 2 * np.pi / 8},
        {"shape": ODD, "mean_field": (1, 0, -1), "spectrum": 1.0},
        {**UNEQUAL, "mean_field": (1, 2, -1)},
        {**FLAT, "mean_field": (1, 0.5, 0)},
    ],
)
def test_errors_of_scales_are_the_scatter_of_gaussian_fields(options):
    """All of what is returned, whether the longest waves are as long as the box or an eighth of it."""
    values, errors = {}, {}
    others = {k: v for k, v in options.items() if k != "mean_field"}
    for seed in range(SEEDS):
        ds = mm.turbulence.gaussian(seed=seed, rms=0.3, **options)
        ds["n"] = 0.3 * ds.Bx + mm.turbulence.gaussian(seed=seed + 1000, **others).Bx
        found = mm.anisotropy.scales(ds)
        for name in (n for n in found if f"{n}_error" in found):
            values.setdefault(name, []).append(float(found[name]))
            errors.setdefault(name, []).append(float(found[f"{name}_error"]))
    assert len(values) == 13
    found = {name: float(ratio(values[name], errors[name])) for name in values}
    most = {"kurtosis": 2.0}  # few waves cannot have much of it
    assert all(0.6 < r < most.get(name, 1.6) for name, r in found.items()), found


def test_errors_of_scales_see_what_is_not_gaussian():
    """Few bottles at random places: skewness and kurtosis scatter by far more than in a Gaussian field."""
    names, values, errors = ("skewness", "kurtosis", "k_par_rms", "aspect_k", "l_par"), [], []
    for seed in range(SEEDS):
        options = {"l_par": 4.0, "l_perp": 1.5, "rms": 0.3, "kind": "bottles", "bottles": 60, "sign": "peaks"}
        found = mm.anisotropy.scales(mm.turbulence.micromirrors((32, 32, 64), seed=seed, **options))
        values.append([float(found[n]) for n in names])
        errors.append([float(found[f"{n}_error"]) for n in names])
    found = dict(zip(names, ratio(values, errors), strict=True))
    assert all(0.6 < r < 2.0 for r in found.values()), found


def sheet(shift=(0, 0, 0), n=24):
    """Noise with a strong layer at the first plane, rolled."""
    rng = np.random.default_rng(1)
    place = np.arange(n)[:, None, None]
    fields = [rng.normal(size=(n, n, n)) * 0.3 for _ in range(3)]
    fields[2] = fields[2] + 5 + 6 * np.exp(-0.5 * np.minimum(place, n - place) ** 2)
    rolled = {f"B{c}": np.roll(f, shift, (0, 1, 2)) for c, f in zip("xyz", fields, strict=True)}
    return mm.io.from_arrays(
        **rolled,
        n=np.roll(fields[0] * fields[2], shift, (0, 1, 2)),
        spacing=dict.fromkeys("zyx", 1.0),
        dims=tuple("zyx"),
    )


@pytest.mark.parametrize("direction", ["z", (1, 2, 2), None])
@pytest.mark.parametrize("subvolumes", [2, 3])
def test_errors_of_scales_stay_where_the_box_begins(direction, subvolumes):
    """A roll by whole sub-volumes changes their order alone."""
    one, other = (
        mm.anisotropy.scales(sheet(shift), direction=direction, subvolumes=subvolumes)
        for shift in ((0, 0, 0), (24 // subvolumes, 0, -24 // subvolumes))
    )
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-6, err_msg=name)
        assert np.isfinite(one[name]), name


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("strength", [1.0, 1e-23, 1e18])
def test_errors_of_scales_are_those_of_any_unit_and_chunks(kind, strength):
    options = {"mean_field": (1, 0, -1), "rms": 0.5, "seed": 3, "dtype": kind}
    ds = mm.turbulence.gaussian(ODD, **options)
    ds["n"] = ds.By**2
    strong = (ds * kind(strength)).assign_attrs(ds.attrs)
    want, found = mm.anisotropy.scales(ds), mm.anisotropy.scales(strong)
    chunked = mm.anisotropy.scales(strong.chunk(z=8, y=10, x=11))
    assert dask.is_dask_collection(chunked)
    chunked = chunked.compute()
    for name in want:
        factor = strength if name.startswith(("dB_par_rms", "dB_perp_rms")) else 1.0
        np.testing.assert_allclose(found[name] / factor, want[name], rtol=2e-4, err_msg=name)
        np.testing.assert_allclose(chunked[name] / factor, want[name], rtol=2e-4, err_msg=name)


def test_errors_of_snapshots_along_time_are_those_of_each():
    import xarray as xr

    each = [mm.turbulence.gaussian(FLAT["shape"], mean_field=(1, 0.5, 0), seed=s) for s in range(3)]
    both = xr.concat(each, "time").assign_attrs(each[0].attrs)
    for snapshots in (both, both.chunk(time=1, x=20)):
        scales = mm.anisotropy.scales(snapshots).compute()
        moments = mm.anisotropy.structure_function(snapshots, pairs=5000).compute()
        for t, one in enumerate(each):
            for found, want in (
                (scales, mm.anisotropy.scales(one)),
                (moments, mm.anisotropy.structure_function(one, pairs=5000)),
            ):
                for name in want:
                    np.testing.assert_allclose(found[name].isel(time=t), want[name], rtol=1e-6, err_msg=name)


def cut(seed):
    """An open part of a larger box."""
    ds = mm.turbulence.gaussian(36, seed=seed, mean_field=(1, 2, -1), rms=0.5)
    ds = ds.isel(x=slice(0, 24), y=slice(0, 22), z=slice(0, 20))
    return ds.assign_attrs({f"boundary_{d}": "open" for d in "xyz"})


MAKERS = {
    "as long as the box": lambda seed: mm.turbulence.gaussian(32, seed=seed, mean_field=(1, 2, -1), rms=0.5),
    "few cells": lambda seed: mm.turbulence.gaussian(14, seed=seed, mean_field=(1, 2, -1), rms=0.5),
    "short waves": lambda seed: mm.turbulence.gaussian(24, seed=seed, mean_field=(1, 2, -1), rms=0.5, k_min=np.pi / 3),
    "two dims": lambda seed: mm.turbulence.gaussian(FLAT["shape"], seed=seed, mean_field=(1, 0.5, 0), rms=0.5),
    "unequal cells": lambda seed: mm.turbulence.gaussian(
        {"z": 16, "y": 24, "x": 40},
        spacing=UNEQUAL["spacing"],
        seed=seed,
        mean_field=(1, 0.5, 0),
        rms=0.5,
        spectrum=3.0,
    ),
    "open": cut,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    "options", [{}, {"frame": "global", "direction": "y", "order": 1}, {"points": 5, "order": 4}], ids=str
)
def test_errors_of_structure_functions_are_the_scatter_of_fields_and_samples(make, options):
    """From the shortest separations, at which all sub-volumes have few, to the longest."""
    values, errors, pairs = [], [], []
    for seed in range(SEEDS):
        found = mm.anisotropy.structure_function(make(seed), seed=seed, pairs=40_000, bins=6, angles=2, **options)
        values.append(found.structure_angle.values)
        errors.append(found.structure_angle_error.values)
        pairs.append(found.pairs_angle.values)
    often = (np.array(pairs) > 100).all(axis=0)
    assert often.sum() >= 4
    assert np.isfinite(np.array(errors)[:, often]).all()
    found = ratio(np.array(values)[:, often], np.array(errors)[:, often])
    assert ((found > 0.55) & (found < 1.8)).all(), found


def test_the_sampling_is_within_the_errors():
    """Other pairs of one field: their scatter is part of the error, though all sub-volumes share their separations."""
    ds = mm.turbulence.gaussian(32, seed=1, mean_field=(1, 2, -1), spectrum=3.0)
    runs = [mm.anisotropy.structure_function(ds, seed=s, pairs=60_000, bins=8, angles=2) for s in range(SEEDS)]
    values, errors, pairs = (
        np.array([r[n].values for r in runs]) for n in ("structure_angle", "structure_angle_error", "pairs_angle")
    )
    often = (pairs > 100).all(axis=0)
    assert (ratio(values[:, often], errors[:, often]) > 0.8).all()


@pytest.mark.parametrize("options", [{"shape": 32}, FLAT], ids=["three dims", "two dims"])
def test_errors_of_the_anisotropy_are_the_scatter_between_fields(options):
    exponents, errors = [], []
    for seed in range(SEEDS):
        ds = mm.turbulence.gaussian(**options, seed=seed, mean_field=(1, 2, 0), rms=0.5)
        found = mm.anisotropy.structure_function(ds, seed=seed, pairs=60_000, bins=10, angles=3)
        relation = mm.anisotropy.scale_anisotropy(found)
        exponents.append(float(relation.exponent))
        errors.append(float(relation.exponent_error))
    assert 0.6 < ratio(exponents, errors) < 1.7
    without = mm.anisotropy.scale_anisotropy(found.drop_vars("structure_angle_error"))
    assert np.isfinite(without.exponent)
    assert np.isnan(without.exponent_error)
    assert np.isnan(without.l_par_error).all()


@pytest.mark.parametrize("names", [["Bx"], ["Bx", "By", "Bz"]])
@pytest.mark.parametrize("options", [{"shape": 32}, FLAT], ids=["three dims", "two dims"])
@pytest.mark.parametrize("shells", [(1, 4), (2, 6), (1, 10)])
def test_errors_of_slopes_are_the_scatter_between_fields(names, options, shells):
    """How many modes each shell holds is the same for all fields, and no scatter."""
    slopes, errors = [], []
    for seed in range(SEEDS):
        spectrum = mm.spectra.power(mm.turbulence.gaussian(**options, seed=seed), names)
        fit = mm.spectra.slope(spectrum, tuple(n * float(spectrum.k_width[0]) for n in shells))
        slopes.append(float(fit.slope))
        errors.append(float(fit.slope_error))
    assert 0.65 < ratio(slopes, errors) < 1.6


def shuffled(ds, seed):
    """The same power and cross powers of all modes, the phases of noise."""
    axes, shape = (0, 1, 2), ds.Bx.shape
    noise = np.fft.rfftn(np.random.default_rng(seed).normal(size=shape), axes=axes)
    turn = noise / np.abs(noise)
    turn[0, 0, 0] = 1.0
    fields = {f"B{c}": np.fft.irfftn(np.fft.rfftn(ds[f"B{c}"].values) * turn, s=shape, axes=axes) for c in "xyz"}
    return ds.assign({name: (ds.Bx.dims, field) for name, field in fields.items()})


def test_shuffled_phases_have_no_anisotropy_along_the_local_field():
    """Turbulence without a mean field is elongated along its local field; a field of its spectrum alone is not."""
    ds = mm.samples.load("mhd_turbulence").compute()
    options = {"pairs": 1_000_000, "angles": 6}

    def elongation(snapshot):
        relation = mm.anisotropy.scale_anisotropy(mm.anisotropy.structure_function(snapshot, **options))
        width = mm.conventions.spacing(ds)["x"]
        return (relation.l_par / relation.l_perp).sel(l_perp=slice(1.2 * width, 4 * width)).values

    assert (elongation(ds) > 1.7).all()
    nulls = np.array([elongation(shuffled(ds, seed)) for seed in range(3)])
    assert (abs(nulls - 1) < 0.12).all()
    np.testing.assert_allclose(nulls.mean(axis=0), 1.0, atol=0.04)


WIDTHS = (1.0, 0.1, 0.3, 0.7, 1.1, 1 / 3, 0.05, 1e-7, 3e8)


def grid(width, shape=(12, 13, 14), kind=float):
    field = np.random.default_rng(0).normal(size=(3, *shape))
    fields = {f"B{c}": a + 1 for c, a in zip("xyz", field, strict=True)}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", width), dims=("z", "y", "x"))
    return ds.assign_coords({d: ds[d].astype(kind).assign_attrs(ds[d].attrs) for d in "xyz"})


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("direction", ["x", (1, 2, 2), (1, 1, 0)])
def test_separations_of_whole_cells_fall_into_the_same_bins_in_any_unit(kind, direction):
    """Along axes and oblique to them, where lengths and angles are those of edges."""
    lags = np.array(
        [[1, 0, 0], [2, 0, 0], [1, 2, 2], [2, -1, 0], [0, 1, -1], [2, 4, 4], [3, 0, 4], [1, 1, 0], [0, 6, 0]]
    )
    angles = [0.0, 45.0, 60.0, np.degrees(np.arccos(1 / 3)), 90.0]
    want = None
    for width in WIDTHS:
        options = {"frame": "global", "direction": direction, "bins": np.arange(10) * width, "subvolumes": 0}
        found = mm.anisotropy.structure_function(grid(width, kind=kind), lags=lags, angles=angles, **options)
        counts = found.pairs.values, found.pairs_angle.values
        want = want or counts
        for a, b in zip(counts, want, strict=True):
            np.testing.assert_array_equal(a, b)
        assert found.pairs_angle.values.sum() == len(lags) * 12 * 13 * 14
    lengths = np.linalg.norm(lags, axis=1)
    np.testing.assert_array_equal(want[1].sum(axis=1) / (12 * 13 * 14), np.histogram(lengths + 1e-9, np.arange(10))[0])


@pytest.mark.parametrize("options", [{"lags": "all"}, {"pairs": 5000}])
def test_the_reach_includes_its_end_in_any_unit(options):
    counts = []
    for width in WIDTHS[:7]:
        reach = sum([width] * 5)  # not 5 times the width, in its last bits
        settings = {"frame": "global", "direction": "x", "bins": 6, "subvolumes": 0, "reach": reach}
        counts.append(mm.anisotropy.structure_function(grid(width), **settings, **options).pairs.values)
        np.testing.assert_array_equal(counts[-1], counts[0])
        whole = mm.anisotropy.structure_function(grid(width), **{**settings, "reach": 6 * width}, lags="all")
        assert whole.pairs.sum() > 0


def test_scales_are_those_of_any_unit():
    want = mm.anisotropy.scales(grid(1.0, (12, 25, 13)))
    for width in WIDTHS[1:]:
        found = mm.anisotropy.scales(grid(width, (12, 25, 13)))
        for name in found:
            power = {"l": 1, "k": -1}.get(name[0], 0) if name[1] == "_" else 0
            np.testing.assert_allclose(found[name] / width**power, want[name], rtol=1e-9, err_msg=name)


def test_limits_of_fits_are_included_in_any_unit():
    for width in WIDTHS:
        spectrum = mm.spectra.power(grid(width, (12, 12, 12)))
        k = 2 * np.pi / (12 * width)
        fit = mm.spectra.slope(spectrum, (k, 3 * k))
        part = mm.spectra.slope(spectrum.isel(k=slice(0, 3)), (0.0, 100 * k))
        assert float(fit.slope) == pytest.approx(float(part.slope), rel=1e-9)
    for bad in ((2.0, 1.0), (1.0,), "all", (np.nan, 1.0)):
        with pytest.raises(mm.ArgumentError, match="k_range"):
            mm.spectra.slope(spectrum, bad)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_masks_and_curves_agree_at_their_thresholds(kind):
    """Field strengths of tenths, and thresholds of tenths: one is not below the other by a last bit."""
    strength = (np.random.default_rng(0).integers(0, 11, (8, 9, 10)) / 10).astype(kind)
    fields = {"Bx": strength, "By": 0 * strength, "Bz": 0 * strength}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    thresholds = np.arange(1, 10) / 10
    curve = mm.anisotropy.threshold_curve(ds, thresholds=thresholds)
    for threshold, share in zip(thresholds, curve.filling_fraction.values, strict=True):
        assert share == float(mm.anisotropy.patches(ds, "field", threshold=threshold).filling_fraction)
        assert share == np.mean(np.rint(10 * strength) >= np.rint(10 * threshold))

"""Patches: criteria, labels across faces and chunks, measures, and the threshold curve."""

import dask
import numpy as np
import pytest
from scipy import ndimage

import mmfields as mm


def of_strength(strength, boundary="periodic", spacing=None, **more):
    dims = ("z", "y", "x")[-strength.ndim :]
    return mm.io.from_arrays(
        Bx=strength,
        By=0 * strength,
        Bz=0 * strength,
        **more,
        spacing=spacing or dict.fromkeys(dims, 1.0),
        dims=dims,
        boundary=boundary,
    )


def rough(shape=(20, 24, 28), seed=2, kind=np.float32):
    """A field with patches of many sizes, some across every face."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5, mode="wrap")
    return (smooth / smooth.std() + 5).astype(kind)


def wrapped_components(mask):
    """Volumes of the patches of a periodic box by brute force: flood from every cell."""
    left, volumes, shape = set(map(tuple, np.argwhere(mask).tolist())), [], mask.shape
    while left:
        todo, count = [left.pop()], 0
        while todo:
            cell = todo.pop()
            count += 1
            for axis in range(mask.ndim):
                for step in (-1, 1):
                    near = tuple((c + step * (i == axis)) % n for i, (c, n) in enumerate(zip(cell, shape, strict=True)))
                    if near in left:
                        left.remove(near)
                        todo.append(near)
        volumes.append(count)
    return sorted(volumes, reverse=True)


@pytest.mark.parametrize("chunks", [{}, {"z": 7, "y": 24, "x": 9}, {"z": 1, "y": 5, "x": 28}])
def test_labels_wrap_across_faces_and_chunks(chunks, no_compute):
    ds = of_strength(rough())
    mask = ds.Bx.values >= np.float32(5.8)
    volumes = wrapped_components(mask)
    assert len(volumes) < ndimage.label(mask)[1]  # some do wrap
    lazy = mm.anisotropy.patches(ds.chunk(chunks) if chunks else ds, "field", threshold=np.float32(5.8), largest=300)
    with dask.config.set(scheduler="threads"):
        found = lazy.compute()
    assert int(found["count"]) == len(volumes)
    np.testing.assert_array_equal(found.volume.dropna("patch"), volumes)
    np.testing.assert_array_equal(found.mask, mask)
    np.testing.assert_array_equal(found.label > 0, mask)
    np.testing.assert_array_equal(np.bincount(found.label.values.ravel())[1:], volumes)
    assert float(found.filling_fraction) == mask.mean()
    for axis, dim in enumerate(("z", "y", "x")):  # neighbours have the same label, across the faces too
        near = np.roll(found.label.values, -1, axis)
        both = (found.label.values > 0) & (near > 0)
        assert (found.label.values[both] == near[both]).all(), dim


def test_results_do_not_depend_on_chunks_to_the_bit(no_compute):
    ds = of_strength(rough())
    eager = mm.anisotropy.patches(ds, "field", filling_fraction=0.2)
    for chunks in ({"z": 6, "y": 11, "x": 28}, {"x": 5}):
        lazy = mm.anisotropy.patches(ds.chunk(chunks), "field", filling_fraction=0.2)
        with dask.config.set(scheduler="threads"):
            for name in eager:
                np.testing.assert_array_equal(lazy[name].compute(), eager[name], err_msg=name)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_wanted_fractions_are_met_exactly(kind):
    ds = of_strength(rough(kind=kind))
    size = ds.Bx.size
    for wanted in (0.0, 1 / size, 0.1, 0.37, 1.0):
        found = mm.anisotropy.patches(ds, "field", filling_fraction=wanted)
        assert int(found.mask.sum()) == round(wanted * size)
        below = mm.anisotropy.patches(ds, "field", quantile=1 - wanted)
        assert abs(int(below.mask.sum()) - wanted * size) <= 0.5
    ordered = np.sort(ds.Bx.values.ravel())
    found = mm.anisotropy.patches(ds.chunk(y=5), "field", quantile=0.25)
    assert float(found.threshold) == float(ordered[size // 4])


def ball(n=40, radius=13.0, shift=0.0, stretch=(1.0, 1.0, 1.0)):
    """A ball in the corner of a periodic box, so that it lies in all eight; cells are stretched instead of it."""
    axes = [
        np.minimum(c := (np.arange(round(n / s)) + 0.5 + shift) % round(n / s), round(n / s) - c) * s for s in stretch
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.where(z**2 + y**2 + x**2 < radius**2, 2.0, 1.0)


@pytest.mark.parametrize("stretch", [(1.0, 1.0, 1.0), (0.5, 1.0, 2.0)])
def test_a_ball_has_its_surface_volume_and_chords(stretch):
    ds = of_strength(ball(stretch=stretch), spacing=dict(zip("zyx", stretch, strict=True)))
    found = mm.anisotropy.patches(ds, "field", threshold=1.5)
    assert int(found["count"]) == 1
    assert float(found.volume[0]) == pytest.approx(4 / 3 * np.pi * 13**3, rel=0.02)
    assert float(found.surface) == pytest.approx(4 * np.pi * 13**2, rel=0.03)
    assert float(found.mean_chord) == pytest.approx(4 * 13 / 3, rel=0.03)
    for d in "xyz":
        assert float(found[f"size_{d}"][0]) == pytest.approx(4 * 13 / 3, rel=0.04)


def test_a_slab_and_a_disc():
    """A slab of thickness L has the mean chord 2 L; a disc pi r / 2."""
    strength = np.ones((24, 20, 30))
    strength[:, 3:11] = 2.0
    found = mm.anisotropy.patches(of_strength(strength), "field", threshold=1.5)
    assert float(found.mean_chord) == pytest.approx(2 * 8, rel=0.09)
    assert float(found.size_y[0]) == 8.0
    assert np.isinf(found.size_x[0])
    flat = ball()[0]
    disc = mm.anisotropy.patches(of_strength(flat), "field", threshold=1.5)
    assert float(disc.mean_chord) == pytest.approx(np.pi * 13 / 2, rel=0.03)
    assert float(disc.surface) == pytest.approx(2 * np.pi * 13, rel=0.03)
    line = mm.anisotropy.patches(of_strength(np.array([1.0, 2, 2, 1, 1, 2, 2, 2, 2, 1])), "field", threshold=1.5)
    assert int(line["count"]) == 2
    assert float(line.mean_chord) == 3.0


def test_nothing_and_everything():
    ds = of_strength(np.ones((6, 7, 8)))
    none = mm.anisotropy.patches(ds, "field", threshold=2.0)
    assert int(none["count"]) == 0
    assert float(none.filling_fraction) == 0
    assert np.isnan(none.volume).all()
    every = mm.anisotropy.patches(ds, "field", threshold=0.5)
    assert int(every["count"]) == 1
    assert float(every.volume[0]) == ds.Bx.size
    assert np.isinf(every.mean_chord)


def test_an_open_box_does_not_wrap():
    strength = np.ones((5, 6, 12))
    strength[..., 0] = strength[..., -1] = 2.0
    assert int(mm.anisotropy.patches(of_strength(strength), "field", threshold=1.5)["count"]) == 1
    open_ = mm.anisotropy.patches(of_strength(strength, "open").chunk(x=5), "field", threshold=1.5)
    assert int(open_["count"]) == 2
    np.testing.assert_array_equal(open_.size_x[:2], [1.0, 1.0])


def test_mirror_unstable_cells():
    ds = mm.samples.load("micromirrors").isel(time=-1)
    margin = mm.anisotropy.pressure(ds).mirror_margin.values
    found = mm.anisotropy.patches(ds)
    np.testing.assert_array_equal(found.mask, margin > 0)
    assert float(found.filling_fraction) == pytest.approx((margin > 0).mean())
    one = np.ones((4, 4, 4))
    still = of_strength(one, p_par=one, p_perp=one)
    assert float(mm.anisotropy.patches(still).filling_fraction) == 0


def test_smoothed_fluctuations():
    ds = mm.samples.load("micromirrors").isel(time=-1)
    strength = np.sqrt(ds.Bx**2 + ds.By**2 + ds.Bz**2)
    ratio = (abs(mm.anisotropy.fluctuation(ds)) / strength).values
    plain = mm.anisotropy.patches(ds, "fluctuation", threshold=0.2)
    np.testing.assert_array_equal(plain.mask, ratio >= np.float32(0.2))
    smooth = ndimage.gaussian_filter(ratio.astype(float), 3.0, mode="wrap", truncate=8)
    found = mm.anisotropy.patches(ds, "fluctuation", threshold=0.2, smoothing=6.0)
    assert (found.mask.values != (smooth >= 0.2)).mean() < 2e-3
    assert int(found["count"]) < int(plain["count"])


def test_two_snapshots_along_time():
    both = mm.samples.load("micromirrors")
    found = mm.anisotropy.patches(both, "field", threshold=1.2)
    assert found.label.dims == ("time", "z", "y", "x")
    for t in range(2):
        alone = mm.anisotropy.patches(both.isel(time=t), "field", threshold=1.2)
        np.testing.assert_array_equal(found.label[t], alone.label)
        assert float(found.filling_fraction[t]) == float(alone.filling_fraction)


def test_the_threshold_curve_falls_from_one(no_compute):
    ds = of_strength(rough())
    curve = mm.anisotropy.threshold_curve(ds)
    assert float(curve.filling_fraction[0]) == 1.0
    assert float(curve.threshold[0]) == 0.0
    assert (np.diff(curve.filling_fraction) <= 0).all()
    for i in (50, 100, 170, 200):
        want = (ds.Bx.values >= float(curve.threshold[i])).mean()
        assert float(curve.filling_fraction[i]) == pytest.approx(want, abs=1e-12)
    given = mm.anisotropy.threshold_curve(ds, thresholds=[4.0, 5.0, 6.0])
    np.testing.assert_allclose(given.filling_fraction, [(ds.Bx.values >= t).mean() for t in (4, 5, 6)])
    lazy = mm.anisotropy.threshold_curve(ds.chunk(z=3, x=11))
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(lazy.filling_fraction.compute(), curve.filling_fraction)
        np.testing.assert_array_equal(lazy.threshold.compute(), curve.threshold)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "holes"}, "kind='holes'"),
        ({"kind": "field"}, "one of threshold, quantile and filling_fraction"),
        ({"kind": "field", "threshold": 1.0, "filling_fraction": 0.1}, "one of threshold"),
        ({"kind": "field", "filling_fraction": 1.5}, "filling_fraction=1.5"),
        ({"kind": "field", "threshold": np.nan}, "threshold=nan"),
        ({"kind": "field", "threshold": 1.0, "smoothing": 2.0}, "smoothing=2.0"),
        ({"kind": "fluctuation", "threshold": 1.0, "smoothing": -2.0}, "smoothing=-2.0"),
        ({"kind": "field", "threshold": 1.0, "direction": "x"}, "direction"),
        ({"kind": "mirror"}, "p_par and p_perp"),
        ({"kind": "field", "threshold": 1.0, "largest": 0}, "largest=0"),
    ],
)
def test_what_is_not_possible_is_refused(options, message):
    with pytest.raises(mm.MmfieldsError, match=message):
        mm.anisotropy.patches(of_strength(rough()), **options)


def test_a_field_that_is_not_finite_is_refused():
    ds = of_strength(rough())
    ds["By"][3, 4, 5] = np.nan
    for one in (ds, ds.chunk(z=3)):
        with pytest.raises(mm.SnapshotError, match=r"By is not finite at index \(3, 4, 5\)"):
            mm.anisotropy.patches(one, "field", threshold=1.0).compute()


@pytest.mark.parametrize("boundary", ["open", {"x": "open", "y": "periodic", "z": "reflecting"}])
def test_an_open_box_does_not_depend_on_chunks_either(boundary):
    ds = of_strength(rough((7, 9, 11)), boundary)
    eager = mm.anisotropy.patches(ds, "field", threshold=5.0)
    lazy = mm.anisotropy.patches(ds.chunk(z=3, y=2, x=4), "field", threshold=5.0)
    for name in eager:
        np.testing.assert_array_equal(lazy[name].compute(), eager[name], err_msg=name)
    wall = np.ones((6, 6, 6))
    wall[:, :2] = 3.0  # a slab at the wall has one face in the box
    slab = mm.anisotropy.patches(of_strength(wall, "open"), "field", threshold=2.0)
    assert float(slab.size_y[0]) == 2.0

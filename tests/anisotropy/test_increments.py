"""Structure functions against brute force, the correlation function and fields that are known."""

from dataclasses import replace

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm
from mmfields.anisotropy import pairing, separations
from mmfields.conventions import Grid


def plan_of(ds, *, points, pairs, bins, angles):
    grid = Grid.of(ds)
    asked = separations.separations_of(grid, points=points, seed=0, lags=None, reach=None, bins=bins, angles=angles)
    return separations.plan_of(grid, asked, order=2, points=points, frame="local", pairs=pairs, seed=0, subvolumes=3)


def snapshot(shape=(9, 12, 16), dims=("z", "y", "x"), boundary="periodic", seed=5, kind=np.float64):
    """Asymmetric random snapshot with cells that are not cubic and an oblique mean field."""
    rng = np.random.default_rng(seed)
    widths = dict(zip(dims, (0.5, 1.0, 0.25)[-len(dims) :], strict=True))
    fields = {f"B{c}": (rng.normal(size=shape) + m).astype(kind) for c, m in zip("xyz", (1, -2, 0.5), strict=True)}
    fields["n"] = rng.uniform(1, 2, shape).astype(kind)
    return mm.io.from_arrays(**fields, spacing=widths, dims=dims, boundary=boundary)


def brute(ds, of, points, frame, lags, edges, turns, order, direction=None):
    """Every pair of a periodic box, by rolling arrays: (pairs, sums) over (l_perp, l_par) and over (l, angle)."""
    dims, steps = ds.Bx.dims, {2: (0, 1), 5: (-2, -1, 0, 1, 2)}[points]
    weights = {2: (-1, 1), 5: (1, -4, 6, -4, 1)}[points]
    widths = mm.conventions.spacing(ds)
    values = [ds[f"{of}{c}"].values for c in "xyz"] if f"{of}x" in ds else [ds[of].values]
    field = [ds[f"B{c}"].values for c in "xyz"]
    annuli, wedges = np.zeros((2, len(edges) - 1, len(edges) - 1)), np.zeros((2, len(edges) - 1, len(turns) - 1))
    for lag in lags:
        cells = [lag["xyz".index(d)] for d in dims]

        def moved(f, s, cells=cells):
            return np.roll(f, [-s * c for c in cells], tuple(range(f.ndim)))

        delta = sum(sum(w * moved(v, s) for s, w in zip(steps, weights, strict=True)) ** 2 for v in values)
        size = np.sqrt(delta / (1 if points == 2 else 35)) ** order
        separation = np.array([lag[i] * widths.get(d, 0.0) for i, d in enumerate("xyz")])
        length = np.linalg.norm(separation)
        local = [sum(moved(f, s) for s in steps) for f in field]
        mean = (
            np.array(local)
            if frame == "local"
            else np.broadcast_to(direction[:, None], (3, size.size)).reshape(3, *size.shape)
        )
        along = abs(np.tensordot(separation, mean, 1)) / np.sqrt((mean**2).sum(axis=0))
        across = np.sqrt(np.maximum(length**2 - along**2, 0))
        angle = np.degrees(np.arccos(np.minimum(along / length, 1)))
        flat = [a.ravel() for a in (across, along, angle, size)]
        full = [np.full(size.size, length)]
        for i, weight in enumerate((np.ones(size.size), flat[3])):
            annuli[i] += np.histogram2d(flat[0], flat[1], [edges, edges], weights=weight)[0]
            wedges[i] += np.histogram2d(full[0], flat[2], [edges, turns], weights=weight)[0]
    return annuli, wedges


LAGS = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 1], [2, -1, 1], [-1, 1, 1], [3, 1, -1]])


@pytest.mark.parametrize("dims", [("z", "y", "x"), ("x", "y", "z"), ("y", "z", "x")])
@pytest.mark.parametrize(("points", "frame"), [(2, "local"), (2, "global"), (5, "local"), (5, "global")])
@pytest.mark.parametrize("of", ["B", "By", "n"])
def test_given_lags_are_those_of_brute_force(dims, points, frame, of):
    ds = snapshot((13, 14, 17), dims)
    edges, turns, direction = (
        np.array([0, 0.3, 0.7, 1.3, 2.1, 4.0]),
        np.array([0.0, 20, 50, 90]),
        np.array([2.0, -1, 2]) / 3,
    )
    found = mm.anisotropy.structure_function(
        ds,
        of,
        order=3,
        points=points,
        frame=frame,
        direction=tuple(direction) if frame == "global" else None,
        lags=LAGS,
        bins=edges,
        angles=turns,
    )
    annuli, wedges = brute(ds, of, points, frame, LAGS, edges, turns, 3, direction)
    np.testing.assert_array_equal(found.pairs, annuli[0])
    np.testing.assert_array_equal(found.pairs_angle, wedges[0])
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found.structure, annuli[1] / annuli[0], rtol=1e-12)
        np.testing.assert_allclose(found.structure_angle, wedges[1] / wedges[0], rtol=1e-12)


@pytest.mark.parametrize("of", ["Bx", "n"])
def test_order_two_is_the_correlation_function_on_all_lags(of):
    """S2(l) = 2 [R(0) - R(l)], for every separation of the lattice, along and oblique to the axes."""
    ds = snapshot((12, 14, 16), kind=np.float32)
    fluctuation = ds[of].values.astype(float) - float(ds[of].astype(float).mean())
    correlation = np.fft.ifftn(abs(np.fft.fftn(fluctuation)) ** 2).real / fluctuation.size
    for lag in ([1, 0, 0], [8, 0, 0], [0, 7, 0], [0, 0, 6], [3, -2, 1], [-5, 4, 3], [8, 7, 6]):
        found = mm.anisotropy.structure_function(
            ds, of, frame="global", direction="x", lags=np.array([lag]), bins=[0.0, 100.0], angles=1, subvolumes=0
        )
        want = 2 * (correlation[0, 0, 0] - correlation[lag[2], lag[1], lag[0]])
        assert found.structure.item() == pytest.approx(want, rel=1e-6)
        assert found.pairs.item() == fluctuation.size
    along = mm.spectra.correlation(ds, [of], axis="x")
    lags = np.stack([np.arange(1, 9), *np.zeros((2, 8), int)], axis=1)
    edges = np.append(0.0, (np.arange(9) + 0.5) * 0.25)
    found = mm.anisotropy.structure_function(ds, of, frame="global", direction="x", lags=lags, bins=edges)
    np.testing.assert_allclose(found.structure[0, 1:], 2 * (along[0] - along[1:]), rtol=1e-6)


def test_all_lags_are_every_separation_once():
    ds = snapshot((8, 10, 12))
    widths = {"x": 0.25, "y": 1.0, "z": 0.5}
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    size = np.linalg.norm(grid * np.array([widths[d] for d in "xyz"]), axis=1)
    half = grid[(size > 0) & (size <= 1.0)]
    found = mm.anisotropy.structure_function(ds, frame="global", lags="all", reach=1.0, bins=[0.0, 2.0])
    assert float(found.pairs.sum()) == len(half) / 2 * 960


def test_samples_agree_with_all_pairs_and_five_points_with_two_on_white_noise():
    ds = snapshot((32, 24, 40), seed=1)
    options = {"bins": [0.0, 1.0, 2.0, 3.0], "angles": 3, "reach": 3.0}
    every = mm.anisotropy.structure_function(ds, lags="all", **options)
    some = mm.anisotropy.structure_function(ds, pairs=400_000, **options)
    assert float(some.pairs.sum()) == 400_000
    good = some.pairs > 2000
    pull = ((some.structure - every.structure) / some.structure_error).where(good)
    assert abs(pull).max() < 5
    assert float(every.structure_angle[0, 0]) == pytest.approx(6.0, rel=0.02)  # 2 sigma^2 of three components
    five = mm.anisotropy.structure_function(ds, points=5, pairs=400_000, bins=4)
    two = mm.anisotropy.structure_function(ds, points=2, pairs=400_000, bins=4, reach=float(five.l_edges[-1]))
    for s in (five, two):
        mean = float((s.structure * s.pairs).sum() / s.pairs.sum())
        assert mean == pytest.approx(6.0, rel=0.02)


def test_errors_are_the_scatter_between_fields():
    runs = [mm.anisotropy.structure_function(snapshot((24, 24, 24), seed=s), pairs=30_000, bins=4) for s in range(20)]
    values = np.array([r.structure_angle[2].values for r in runs])
    errors = np.array([r.structure_angle_error[2].values for r in runs])
    ratio = errors.mean(axis=0) / values.std(axis=0, ddof=1)
    ratio = ratio[np.isfinite(ratio)]  # a bin may have no pairs
    assert len(ratio) >= 4
    assert ((ratio > 0.5) & (ratio < 2.0)).all()


@pytest.mark.parametrize("shape", [(40, 33, 50), (18, 20), (64,)])
@pytest.mark.parametrize("boundary", ["periodic", "open"])
@pytest.mark.parametrize(
    "options", [{"pairs": 50_000}, {"lags": "all", "reach": 1.0}, {"points": 5, "order": [1, 4, 6]}]
)
def test_results_do_not_depend_on_blocks(shape, boundary, options, monkeypatch, no_compute):
    ds = snapshot(shape, ("z", "y", "x")[-len(shape) :], boundary, kind=np.float32)
    eager = mm.anisotropy.structure_function(ds, **options)
    monkeypatch.setattr(pairing, "BLOCK_BYTES", 1 << 16)
    lazy = mm.anisotropy.structure_function(ds.chunk(dict.fromkeys(ds.Bx.dims, 11)), **options)
    blocks = [k for k in dict(lazy.structure.__dask_graph__()) if str(k).startswith(("_block", "('_block"))]
    assert len(blocks) > 1 or len(shape) < 3
    with dask.config.set(scheduler="threads"):
        chunked = lazy.compute()
    for name in eager:
        np.testing.assert_allclose(chunked[name], eager[name], rtol=1e-9, err_msg=name)
    assert float(eager.pairs.sum()) > 0


def test_pairs_stay_inside_an_open_box():
    """A step at the end of an open box is no increment; wrapped around it would be."""
    ramp = np.broadcast_to(np.arange(32.0), (8, 16, 32)).copy()
    open_, periodic = (
        mm.io.from_arrays(
            Bx=ramp, By=ramp, Bz=ramp, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x"), boundary=b
        )
        for b in ("open", "periodic")
    )
    lags = np.array([[3, 0, 0]])
    options = {"vector": "Bx", "lags": lags, "bins": [0.0, 4.0], "frame": "global", "direction": "x"}
    assert mm.anisotropy.structure_function(open_, **options).structure.item() == 9.0
    assert mm.anisotropy.structure_function(open_, **options).pairs.item() == 8 * 16 * 29
    assert mm.anisotropy.structure_function(periodic, **options).structure.item() == (29 * 9 + 3 * 29**2) / 32
    assert mm.anisotropy.structure_function(open_, **{**options, "points": 5}).structure.item() == pytest.approx(
        0, abs=1e-20
    )


def test_a_uniform_field_has_no_increments():
    one = np.ones((16, 16, 16))
    ds = mm.io.from_arrays(Bx=one, By=2 * one, Bz=0 * one, spacing=dict.fromkeys("xyz", 1.0))
    found = mm.anisotropy.structure_function(ds, order=[1, 2], pairs=1000)
    assert float(abs(found.structure).max()) == 0
    relation = mm.anisotropy.scale_anisotropy(found.sel(order=2))
    assert np.isnan(relation.l_par).all()
    assert np.isnan(relation.exponent)


def test_a_snapshot_with_time_is_its_parts():
    both = mm.samples.load("micromirrors")
    found = mm.anisotropy.structure_function(both, pairs=20_000)
    for t in range(2):
        alone = mm.anisotropy.structure_function(both.isel(time=t).compute(), pairs=20_000)
        np.testing.assert_allclose(found.structure.isel(time=t), alone.structure, rtol=1e-12)


def test_the_same_key_gives_the_same_pairs():
    ds = snapshot()
    one, same, other = (mm.anisotropy.structure_function(ds, pairs=5000, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.structure, same.structure)
    assert not np.array_equal(one.pairs, other.pairs)


def elongated(n=64, aspect=2.0):
    """A scalar field whose structure functions depend on (x/aspect)² + y² + z² alone, on a uniform field along x."""
    rng = np.random.default_rng(0)
    k = np.fft.fftfreq(n) * n
    kz, ky, kx = np.meshgrid(k, k, np.fft.rfftfreq(n) * n, indexing="ij")
    q = np.sqrt((aspect * kx) ** 2 + ky**2 + kz**2)
    with np.errstate(divide="ignore"):
        amplitude = np.where(q > 0, q ** (-11 / 6), 0.0) * np.exp(-((q / 20) ** 2))
    field = np.fft.irfftn(np.fft.rfftn(rng.normal(size=(n,) * 3)) * amplitude, s=(n,) * 3, axes=(0, 1, 2))
    one = np.ones_like(field)
    return mm.io.from_arrays(
        Bx=one, By=0 * one, Bz=0 * one, n=field, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x")
    )


def test_elongated_eddies_are_found():
    ds = elongated()
    angles = [0.0, 4.0, 86.0, 90.0]
    axes = np.array(
        [[i, 0, 0] for i in range(1, 17)] + [[0, i, 0] for i in range(1, 17)] + [[0, 0, i] for i in range(1, 17)]
    )
    edges = np.append(0.0, np.arange(17) + 0.5)
    found = mm.anisotropy.structure_function(ds, "n", lags=axes, bins=edges, angles=angles)
    relation = mm.anisotropy.scale_anisotropy(found, l_range=(1, 7))
    ratio = (relation.l_par / relation.l_perp).sel(l_perp=slice(2, 7))
    np.testing.assert_allclose(ratio, 2.0, rtol=0.15)
    assert abs(float(relation.exponent) - 1.0) < 0.1
    with pytest.raises(mm.SnapshotError, match="one bin of angle"):
        mm.anisotropy.scale_anisotropy(found.isel(angle=[0]))
    with pytest.raises(mm.SnapshotError, match="a structure function is needed"):
        mm.anisotropy.scale_anisotropy(ds)


def test_scale_anisotropy_of_known_curves():
    """S_par = l, S_perp = l^1.5: l_par = l_perp^1.5, exactly."""
    edges = np.geomspace(0.01, 100, 40)
    l = np.sqrt(edges[1:] * edges[:-1])  # noqa: E741
    curves = np.stack([l, l**1.5], axis=1)
    given = xr.Dataset(
        {"structure_angle": (("l", "angle"), curves), "structure_angle_error": (("l", "angle"), 0.01 * curves)},
        {"l": ("l", l), "angle": ("angle", [5.0, 85.0])},
    )
    relation = mm.anisotropy.scale_anisotropy(given, l_range=(0.1, 10))
    assert float(relation.exponent) == pytest.approx(1.5, abs=1e-9)
    np.testing.assert_allclose(
        relation.l_par.dropna("l_perp"), relation.l_perp[np.isfinite(relation.l_par)] ** 1.5, rtol=1e-9
    )
    lazy = mm.anisotropy.scale_anisotropy(given.chunk(), l_range=(0.1, 10))
    assert lazy.l_par.chunks is not None
    np.testing.assert_allclose(lazy.l_par, relation.l_par)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 7}, "order=7"),
        ({"order": []}, "order="),
        ({"points": 3}, "points=3"),
        ({"frame": "lokal"}, "frame='lokal'"),
        ({"vector": "u"}, "vector='u'"),
        ({"reach": 0.1}, "reach=0.1"),
        ({"reach": 100.0}, "reach=100"),
        ({"pairs": 0}, "pairs=0"),
        ({"lags": "some"}, "lags='some'"),
        ({"lags": np.array([[0, 0, 0]])}, "none of them zero"),
        ({"lags": np.array([[1.5, 0, 0]])}, "whole numbers"),
        ({"lags": np.array([[16, 0, 0]])}, "does not fit"),
        ({"bins": [3.0, 1.0]}, "bins: ascending"),
        ({"bins": 1}, "bins=1"),
        ({"angles": [0.0, 100.0]}, "angles: ascending"),
        ({"subvolumes": 1}, "subvolumes=1"),
        ({"direction": "x"}, "frame='global' alone"),
        ({"lags": np.array([[1, 0, 0]]), "reach": 2.0}, "reach=2.0 is for separations that are not given"),
    ],
)
def test_what_is_not_possible_is_refused(options, message):
    with pytest.raises(mm.MmfieldsError, match=message):
        mm.anisotropy.structure_function(snapshot(), **options)


def test_a_box_too_short_for_five_points_is_refused():
    with pytest.raises(mm.SnapshotError, match="too short for the increments of 5 points"):
        mm.anisotropy.structure_function(snapshot((3, 20, 20)), points=5)


@pytest.mark.parametrize("shape", [(16, 16, 16), (5, 7, 16), (40, 33, 20), (18, 20), (7,)])
def test_sampled_pairs_are_everywhere_alike_and_shared_by_all_subvolumes(shape):
    """Tiles are cut where sub-volumes begin: they cover the box once, and hold pairs as they hold cells."""
    ds = snapshot(shape, ("z", "y", "x")[-len(shape) :])
    plan = plan_of(ds, points=2, pairs=100_000, bins=8, angles=3)
    tiles = pairing._tiles([(0, n) for n in plan.grid.shape], plan)
    assert tiles[:, 7].sum() == 100_000
    owner = -np.ones((1,) * (3 - len(shape)) + shape, int)
    for z, y, x, sz, sy, sx, _, pairs, group in tiles:
        part = owner[z : z + sz, y : y + sy, x : x + sx]
        assert (part == -1).all()
        part[...] = group
        assert abs(pairs - 100_000 * part.size / owner.size) <= 1
    place = [np.arange(n) * min(3, n) // n for n in owner.shape]
    counts = [min(3, n) for n in owner.shape]
    want = np.ravel_multi_index(np.meshgrid(*place, indexing="ij"), counts)
    np.testing.assert_array_equal(owner, want)
    assert len(np.unique(tiles[:, 6])) == len(tiles)
    found = mm.anisotropy.structure_function(ds, pairs=20_000, bins=4, angles=2)
    often = found.pairs_angle > 1000
    assert np.isfinite(found.structure_angle_error.values[often]).all()


def test_a_field_that_is_not_finite_is_refused_with_its_place(monkeypatch):
    ds = snapshot((32, 32, 32))
    ds["By"][20, 3, 30] = np.nan
    monkeypatch.setattr(pairing, "BLOCK_BYTES", 1 << 16)
    for one in (ds, ds.chunk(z=8)):
        with pytest.raises(mm.SnapshotError, match=r"By is not finite at index \(20, 3, 30\)"):
            mm.anisotropy.structure_function(one, pairs=1000, reach=2.0).compute()
    still = mm.samples.load("mhd_turbulence").chunk(z=16)
    lazy = mm.anisotropy.structure_function(still, frame="global", pairs=1000)
    with pytest.raises(mm.SnapshotError, match="say what parallel means"):
        lazy.compute()


def test_a_lag_longer_than_the_last_block_of_an_open_box_reads_nothing_beyond(monkeypatch):
    """The last block of an open axis has nothing behind it, and may be shorter than a lag."""
    ds = snapshot((40, 16, 16), boundary="open")
    monkeypatch.setattr(pairing, "BLOCK_BYTES", 1 << 14)
    options = {"lags": np.array([[0, 0, 20], [0, 0, 39]]), "bins": [0.0, 30.0], "angles": 1}
    lazy = mm.anisotropy.structure_function(ds.chunk(z=8), **options).compute()
    eager = mm.anisotropy.structure_function(ds, **options)
    assert eager.pairs.item() == (20 + 1) * 16 * 16
    np.testing.assert_array_equal(lazy.pairs, eager.pairs)
    np.testing.assert_allclose(lazy.structure, eager.structure, rtol=1e-12)


@pytest.mark.parametrize("kind", [">f4", ">f8", "f2", "i4"])
def test_any_kind_of_numbers(kind):
    ds = snapshot(kind=np.float32)
    ds = (ds * 10).round().assign_attrs(ds.attrs) if kind in ("f2", "i4") else ds
    want = mm.anisotropy.structure_function(ds, pairs=5000)
    found = mm.anisotropy.structure_function(ds.map(lambda a: a.astype(kind)).assign_attrs(ds.attrs), pairs=5000)
    np.testing.assert_allclose(found.structure, want.structure, rtol=1e-6)
    scales = mm.anisotropy.scales(ds.map(lambda a: a.astype(kind)).assign_attrs(ds.attrs))
    np.testing.assert_allclose(scales.l_par, mm.anisotropy.scales(ds).l_par, rtol=1e-5)


def test_thin_boxes():
    ds = snapshot((3, 32, 32))
    assert mm.anisotropy.structure_function(ds, pairs=1000).pairs.sum() == 1000
    assert mm.anisotropy.structure_function(ds, lags=np.array([[4, 0, 0]]), bins=[0, 2.0]).pairs.item() == ds.Bx.size


def test_blocks_of_large_boxes_read_their_surroundings_a_few_times():
    """By the plan alone; nothing of it is made."""
    import dask.array as da

    for n in (512, 1024, 2048):
        field = da.zeros((n, n, n), dtype=np.float32, chunks=256)
        ds = mm.io.from_arrays(Bx=field, By=field, Bz=field, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x"))
        for points in (2, 5):
            plan = plan_of(ds, points=points, pairs=10**6, bins=16, angles=6)
            plan = replace(plan, names=("Bx", "By", "Bz"), values=(0, 3))
            core = pairing._core(plan, 4)
            read = [b - a for a, b in pairing._around([(0, c) for c in core], plan)]
            assert 16 * np.prod(read) <= 1.1 * pairing.BLOCK_BYTES
            assert np.prod(read) / np.prod(core) < 5
            assert np.prod([-(-n // c) for c in core]) <= 1000

"""Fields that add up: sets of waves, and a snapshot with the turbulence below its grid."""

import numpy as np
import pytest
import xarray as xr
from astropy import units as u

import mmfields as mm

SIZES, CELLS = {"z": 12, "y": 10, "x": 14}, {"z": 1.0, "y": 1.2, "x": 0.8}
SPATIAL = "xyz"


def snapshot(boundary="periodic", **options):
    rng = np.random.default_rng(3)
    shape = tuple(SIZES.values())
    fields = {f"B{c}": rng.normal(size=shape) + m for c, m in zip(SPATIAL, (3, -1, 0.5), strict=True)}
    fields |= {f"E{c}": 0.01 * rng.normal(size=shape) for c in SPATIAL}
    arrays = {name: values.astype(np.float32) for name, values in fields.items()}
    return mm.io.from_arrays(**arrays, spacing=CELLS, dims=tuple(SIZES), boundary=boundary, **options)


def waves(modes=24, **options):
    given = {"k_min": 0.2, "k_max": 20.0, "rms": 0.7, "seed": 4, "mean_field": (0.0, 0.0, 2.0)}
    return mm.turbulence.plane_waves(modes, **{**given, **options})


def field_of(tr):
    return np.stack([tr[f"b{d}"] * tr["B"] for d in SPATIAL], -1)


def places_of(tr):
    return [tr[d].values for d in SPATIAL]


def test_two_sets_of_waves_are_one():
    one, other = waves(8), waves(12, seed=5, mean_field=(0.3, 0, 0), error=1e-4, k_max=5.0)
    both = mm.fields.sum(one, other)
    at = np.random.default_rng(1).uniform(-9, 9, (3, 50))
    np.testing.assert_allclose(both.at(*at), one.at(*at) + other.at(*at), atol=1e-13)
    assert both.mean_field == (0.3, 0.0, 2.0) and both.error == 1e-6 and both.modes.sizes["mode"] == 20
    np.testing.assert_allclose(both.rms, np.hypot(one.rms, other.rms))
    p = mm.particles.isotropic(20, gyroradius=2.0, seed=1, field=both)
    run = {"step": 0.02, "distance": 4.0, "save": 2, "local_field": True}
    tr = mm.trace(both, p, **run).compute()
    names = ["kx", "ky", "kz", "ax", "ay", "az", "phase"]
    table = xr.Dataset({n: ("mode", np.concatenate([one.modes[n], other.modes[n]])) for n in names})
    union = mm.trace(mm.turbulence.PlaneWaves(table, (0.3, 0, 2.0)), p, **run).compute()
    xr.testing.assert_equal(tr, union)
    direct = mm.trace(mm.turbulence.PlaneWaves(table, (0.3, 0, 2.0), error=0.0), p, **run).compute()
    np.testing.assert_allclose(tr["x"], direct["x"], atol=4e-6 * both.rms / 2.0 * 4.0)
    np.testing.assert_allclose(field_of(tr), one.at(*places_of(tr)) + other.at(*places_of(tr)), atol=1e-12)


def test_waves_that_move_and_such_that_stand():
    moving = waves(6, frequency="alfven", alfven_speed=0.2)
    both = mm.fields.sum(moving, waves(5, mean_field=(0, 0, 0)))
    at = np.random.default_rng(1).uniform(-9, 9, (3, 20))
    expected = moving.at_time(3.0).at(*at) + waves(5, mean_field=(0, 0, 0)).at(*at)
    np.testing.assert_allclose(both.at_time(3.0).at(*at), expected, atol=1e-13)
    np.testing.assert_allclose(both.flow(3.0).at(*at), moving.flow(3.0).at(*at), atol=1e-14)


def test_a_snapshot_of_the_long_waves_with_the_short_ones_is_all_of_them():
    """But for what interpolation between cells makes of the long ones, to fourth order in the cells."""
    own, off = waves(mean_field=(0.2, 0.3, 1.0), k_min=0.5), []
    long = mm.turbulence.PlaneWaves(own.modes.isel(mode=own.wavenumbers() <= 2.0), own.mean_field)
    p = mm.particles.isotropic(50, gyroradius=2.0, seed=1, field=own, positions=rng_places(50))
    for cells in (24, 48):
        axis = (np.arange(cells) + 0.5) * 12.0 / cells
        ds = long.to_dataset(dict.fromkeys("zyx", axis)).astype(np.float32)
        ds = ds.assign_attrs({f"boundary_{d}": "periodic" for d in SPATIAL})  # which does not reach into the middle
        both = mm.fields.sum(ds, own, k_join=mm.fourier.low_pass(2.0, keep_mean=True))
        run = {"step": 0.01, "distance": 0.01, "save": 1, "local_field": True, "interpolation": "cubic"}
        tr = mm.trace(both, p, **run).isel(path=0).compute()
        off.append(float(abs(field_of(tr) - own.at(*places_of(tr))).max()))
    assert off[0] / off[1] == pytest.approx(16, rel=0.3) and off[1] < 1e-3


def rng_places(n):
    return np.random.default_rng(2).uniform(4, 8, (n, 3))


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_snapshot_and_waves_add_up_at_the_particles(interpolation):
    """The field at the saved points is that of the waves and that of a trace of the snapshot alone there."""
    ds = snapshot()
    both = mm.fields.sum(ds, waves(), k_join=2.0)
    p = mm.particles.isotropic(40, gyroradius=2.0, seed=1, field=both)
    run = {"interpolation": interpolation, "local_field": True, "save": 3, "distance": 2.0, "step": 0.02}
    tr = mm.trace(both, p, **run).compute()
    last = tr.isel(path=-1)
    start = {d: last[d].values for d in (*SPATIAL, "vx", "vy", "vz")}
    there = mm.particles.from_arrays(**start, gyroradius=2.0, reference_field=1.0)
    grid = mm.trace(ds, there, step=0.1, distance=0.1, save=1, local_field=True, interpolation=interpolation).compute()
    expected = field_of(grid.isel(path=0)) + both.waves.at(*places_of(last))
    np.testing.assert_allclose(field_of(last), expected, atol=1e-12)
    assert float(tr.B_rms) == pytest.approx(np.hypot(float(mm.particles.reference_strength(ds, "rms")), both.waves.rms))
    np.testing.assert_allclose(tr.mean_Bz, float(mm.mean_field(ds)["Bz"]), rtol=1e-12)
    assert interpolation in tr.attrs["interpolation"] and "plane waves" in tr.attrs["interpolation"]


def test_beside_an_empty_snapshot_waves_are_alone():
    ds = snapshot()
    ds = ds.assign({f"B{c}": 0 * ds[f"B{c}"] for c in SPATIAL})
    own = waves(mean_field=(0, 0, 0), k_min=10.0)
    both = mm.fields.sum(ds, own, k_join=1e-3)
    xr.testing.assert_equal(both.waves.modes, own.modes)
    p = mm.particles.isotropic(20, gyroradius=1.0, seed=1, field=own)
    run = {"step": 0.01, "distance": 3.0, "save": 3}
    one, other = mm.trace(both, p, **run).compute(), mm.trace(own, p, **run).compute()
    for name in (*SPATIAL, "vx", "mu", "B"):
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_the_powers_of_what_is_held_and_of_the_waves_add_up():
    ds, own = snapshot(), waves(400)
    k, power = own.wavenumbers(), 0.5 * sum(own.modes[f"a{d}"].values ** 2 for d in SPATIAL)
    for join, center in (
        (None, 2 * np.pi / (8 * 1.2)),
        (3.0, 3.0),
        (mm.fourier.low_pass(2.0, edge="butterworth"), 2.0),
    ):
        both = mm.fields.sum(ds, own, k_join=join)
        edge = {"edge": "butterworth"} if center == 2.0 else {"edge": "cosine", "width": center}
        held = mm.fourier.low_pass(center, **edge)(np.zeros_like(k), k)
        np.testing.assert_allclose(both.waves.rms**2 + (held**2 * power).sum(), own.rms**2, rtol=1e-12)
        assert both.waves.mean_field == (0, 0, 0)
        left = both.waves.wavenumbers()
        assert left.min() >= (0 if center == 2.0 else center / 2) and (k > 1.5 * center).sum() <= len(left) < 401
    thirds = mm.fourier.Transfer(lambda kx, ky, kz: (abs(kx) < 1.0) * 0.6, of="components")
    both = mm.fields.sum(ds, own, k_join=thirds)
    ratio = both.waves.modes["ay"].values / own.modes["ay"].values
    np.testing.assert_allclose(ratio, np.where(abs(own.modes["kx"]) < 1.0, 0.8, 1.0), rtol=1e-12)


def test_pieces_chunks_and_schedulers_do_not_show():
    ds = snapshot(boundary={"z": "periodic", "y": "open", "x": "reflecting"})
    run = {"step": 0.1, "step_unit": "gyroradius", "pusher": "boris", "light_speed": 10.0}
    both, lazy = (mm.fields.sum(each, waves(), k_join=2.0) for each in (ds, ds.chunk(z=5, x=7)))
    p = mm.particles.isotropic(150, gyroradius=1.0, seed=1, field=both, beta_gamma=1.0)
    again = mm.particles.isotropic(150, gyroradius=1.0, seed=1, field=lazy, beta_gamma=1.0)
    whole = mm.trace(both, p, distance=3.0, save=3, **run).compute()
    first = mm.trace(lazy, again, distance=1.0, save=[1.0], particles_per_task=64, **run).compute(scheduler="threads")
    rest = mm.trace(lazy, mm.particles.from_trajectories(first), distance=3.0, save=[2.0, 3.0], **run).compute()
    for name in ("x", "y", "vy", "momentum", "own_path", "B"):
        np.testing.assert_array_equal(rest[name], whole[name].isel(path=slice(-2, None)), err_msg=name)
    assert not whole["alive"].isel(path=-1).all() and (whole["reflections"] > 0).any()


def test_a_store_knows_the_waves(tmp_path):
    ds = snapshot()
    both = mm.fields.sum(ds, waves(), k_join=2.0)
    p = mm.particles.isotropic(6, gyroradius=1.0, seed=1, field=both)
    run = {"step": 0.03, "distance": 1.0, "save": 2}
    mm.store(mm.trace(both, p, **run), tmp_path / "orbits.zarr", progress=False)
    mm.store(
        mm.trace(mm.fields.sum(ds.chunk(x=7), waves(), k_join=2.0), p, **run), tmp_path / "orbits.zarr", progress=False
    )
    with pytest.raises(mm.SnapshotError, match=r"orbits\.zarr"):
        mm.store(mm.trace(mm.fields.sum(ds, waves(), k_join=2.1), p, **run), tmp_path / "orbits.zarr", progress=False)


def test_nothing_is_computed_at_the_call(no_compute):
    both = mm.fields.sum(snapshot().chunk(x=7), waves())
    p = mm.particles.isotropic(6, gyroradius=1.0, seed=1, field=both)
    mm.particles.beam(6, gyroradius=1.0, pitch_angle=0.3, seed=1, field=both)
    mm.trace(both, p, step=0.03, distance=1.0)


def test_units_of_a_sum_are_those_of_the_snapshot():
    ds = snapshot(units={"Bx": "nT", "By": "nT", "Bz": "nT", "length": "km"})
    both = mm.fields.sum(ds, waves(), k_join=2 / u.km)
    np.testing.assert_allclose(both.waves.rms, mm.fields.sum(ds, waves(), k_join=2.0).waves.rms)
    p = mm.particles.isotropic(6, energy=1 * u.keV, seed=1, field=both)
    tr = mm.trace(both, p, step=0.1, step_unit="gyroradius", distance=10 * u.km, save=1)
    assert tr["B"].attrs["units"] == "nT" and tr["x"].attrs["units"] == "km" and tr.attrs["length_unit"] == "km"
    assert p["x"].max() < 14 * 0.8 and tr.attrs["history"].count("\n") >= 1
    other = waves()
    other.modes["ax"].attrs["units"] = "T"
    with pytest.raises(mm.SnapshotError, match="are in T and the field in nT"):
        mm.fields.sum(ds, other)


def test_refusals():
    ds, own = snapshot(), waves()
    for message, call in (
        ("plane waves are needed", lambda: mm.fields.sum(ds, ds)),
        ("a snapshot, plane waves or", lambda: mm.fields.sum(3.0, own)),
        ("k_join=2.0 is for a snapshot", lambda: mm.fields.sum(own, own, k_join=2.0)),
        ("holds? all waves", lambda: mm.fields.sum(ds, own, k_join=100.0)),
        ("asks for a direction", lambda: mm.fields.sum(ds, own, k_join=mm.fourier.band(k_par=(0, 1)))),
        (
            "0 to 1 is needed",
            lambda: mm.fields.sum(ds, own, k_join=mm.fourier.Transfer(lambda *k: 2.0, isotropic=True)),
        ),
        ("select one snapshot", lambda: mm.fields.sum(ds.expand_dims("time"), own)),
        ("k_join", lambda: mm.fields.sum(ds, own, k_join=-1.0)),
    ):
        with pytest.raises(mm.MmfieldsError, match=message):
            call()
    both = mm.fields.sum(ds, own)
    p, run = mm.particles.isotropic(2, gyroradius=1.0, seed=1, field=both), {"step": 0.1, "distance": 1.0}
    for message, options in (
        ("are for snapshots or waves alone", {"evolve": True}),
        ("are for snapshots or waves alone", {"electric": "ideal"}),
        ("block=16", {"block": 16}),
        ("take 'cubic'", {"interpolation": "spectral"}),
    ):
        with pytest.raises(mm.ArgumentError, match=message):
            mm.trace(both, p, **run, **options)

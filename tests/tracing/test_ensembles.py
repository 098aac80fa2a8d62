"""Ensembles of several species, joined by xr.concat: every particle keeps its charge, gyroradius and speed."""

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm

JOINS = [
    {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "exact"},
    {"data_vars": "all", "coords": "different", "compat": "equals"},
    {"data_vars": "all", "coords": "all"},
    {"data_vars": "different", "coords": "different", "compat": "equals"},
]
IDS = ["to come", "of today", "all", "different"]
QUARTER = np.pi / 2


def box(electric=False, boundary="periodic"):
    zero = np.zeros((4, 4, 4))
    fields = {"Bx": zero, "By": zero, "Bz": zero + 1.0}
    fields |= {f"E{d}": zero for d in "xyz"} if electric else {}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x"), boundary=boundary)


def one(**options):
    place = {"x": [2.0], "y": [2.0], "z": [2.0], "vx": [1.0], "vy": [0.0], "vz": [0.0]}
    return mm.particles.from_arrays(**place, **{"gyroradius": 1.0, "reference_field": 1.0, **options})


@pytest.mark.parametrize("how", JOINS, ids=IDS)
@pytest.mark.parametrize("first", [0, 1])
def test_each_species_turns_its_own_way_on_its_own_circle(how, first):
    species = [one(charge_sign=-1), one(gyroradius=0.25), one(charge_sign=-1, gyroradius=0.5)]
    both = xr.concat(species[first:] + species[:first], "particle", **how)
    ends = np.array([[3.0, 3.0], [2.25, 1.75], [2.5, 2.5]])
    times = [QUARTER, 0.25 * QUARTER, 0.5 * QUARTER]
    order = np.roll(np.arange(3), -first)
    tr = mm.trace(box(), both, step=0.005, distance=2.0, save=sorted(times)).compute()
    for i, which in enumerate(order):
        at = tr.isel(particle=i).sel(path=times[which])
        np.testing.assert_allclose([at.x, at.y], ends[which], atol=1e-3)
    np.testing.assert_array_equal(tr.charge_sign, np.array([-1, 1, -1])[order])
    np.testing.assert_array_equal(tr.gyroradius, np.array([1.0, 0.25, 0.5])[order])
    assert tr.gyroradius.dims == ("particle",)
    assert "charge_sign" not in tr.attrs


@pytest.mark.parametrize("how", JOINS, ids=IDS)
def test_slow_and_fast_particles_together(how):
    """Gyration by each one's own speed, in light's path."""
    ratios = [0.1, np.inf, 1.0]
    both = xr.concat([one(beta_gamma=r) for r in ratios], "particle", **how)
    speeds = [1 / np.hypot(1, 1 / r) for r in ratios]
    turns = sorted(QUARTER / np.array(speeds))
    for unit, step in (("length", 0.005), ("gyroradius", 0.005), ("local", 0.005)):
        tr = mm.trace(
            box(electric=True),
            both,
            step=step,
            step_unit=unit,
            distance=20.0,
            save=turns,
            pusher="boris",
            light_speed=1.0,
        ).compute()
        for i, speed in enumerate(speeds):
            at = tr.isel(particle=i).sel(path=QUARTER / speed)
            np.testing.assert_allclose([at.x, at.y, at.speed, at.own_path], [3.0, 1.0, speed, QUARTER], atol=2e-3)


def test_an_ensemble_of_many_is_each_of_its_members(turbulent):
    """To the bit, whatever the steps, walls and tasks."""
    ds = turbulent.assign_attrs(boundary_y="open", boundary_z="reflecting")
    parts = [
        mm.particles.isotropic(n, gyroradius=r, seed=i, field=ds, reference_field=1.5, charge_sign=sign)
        for i, (n, r, sign) in enumerate([(5, 0.5, 1), (9, 2.0, -1), (3, 0.1, 1)])
    ]
    both = xr.concat(parts, "particle", data_vars="minimal", coords="minimal", compat="override", join="exact")
    for options in (
        {"step": 0.1},
        {"step": 0.1, "step_unit": "gyroradius"},
        {"step": 0.1, "step_unit": "local", "scattering": mm.scattering.small_angle(nu=0.2)},
        {"step": 0.1, "step_unit": "gyroradius", "interpolation": "cubic", "block": 8},
    ):
        options = {"distance": 9.0, "save": [0.0, 2.0, 9.0], **options}
        alone = [mm.trace(ds, p, **{k: v for k, v in options.items() if k != "block"}).compute() for p in parts]
        for per_task in (4, 64):
            tr = mm.trace(ds.chunk(z=4), both, **options, particles_per_task=per_task).compute()
            for name in ("x", "vy", "mu", "left", "reflections", "charge_sign", "own_gyroradius"):
                np.testing.assert_array_equal(tr[name], np.concatenate([a[name] for a in alone]), err_msg=name)


def test_waves_and_spectral_fields_too():
    waves = mm.turbulence.plane_waves(16, k_min=1.0, k_max=20.0, seed=1)
    parts = [mm.particles.isotropic(5, gyroradius=r, seed=1, field=waves, reference_field=1.0) for r in (0.5, 0.7)]
    both = xr.concat(parts, "particle", data_vars="minimal", coords="minimal", compat="override", join="exact")
    options = {"step": 0.1, "step_unit": "gyroradius", "distance": 2.0, "save": 2}
    with pytest.warns(mm.MmfieldsWarning, match="too few modes"):
        alone = [mm.trace(waves, p, **options).compute() for p in parts]
        tr = mm.trace(waves, both, **options, particles_per_task=3).compute()
    np.testing.assert_allclose(tr.x, np.concatenate([a.x for a in alone]), atol=1e-6)
    assert "sparse_modes" in tr.attrs


def test_what_is_continued_keeps_it(no_compute):
    both = xr.concat([one(charge_sign=-1), one(gyroradius=0.5, beta_gamma=2.0)], "particle", data_vars="all",
                     coords="different", compat="equals")  # fmt: skip
    options = {"step": 0.01, "distance": 3.0}
    whole = mm.trace(box().chunk(), both, save=[1.0, 3.0], **options)
    half = mm.trace(box().chunk(), both, save=[1.0], step=0.01, distance=1.0)
    rest = mm.trace(box().chunk(), mm.particles.from_trajectories(half), save=[3.0], **options)
    with dask.config.set(scheduler="threads"):
        for name in ("x", "y", "charge_sign", "own_gyroradius", "own_beta_gamma", "speed"):
            wanted = whole[name].isel(path=-1) if "path" in whole[name].dims else whole[name]
            found = rest[name].isel(path=-1) if "path" in rest[name].dims else rest[name]
            np.testing.assert_array_equal(found, wanted)


def test_trajectories_are_joined_too():
    tr = [
        mm.trace(box(), one(charge_sign=s, gyroradius=r), step=0.05, distance=6.0, save=60, local_field=True).compute()
        for s, r in ((-1, 1.0), (1, 0.5))
    ]
    both = xr.concat(tr, "particle", data_vars="minimal", coords="minimal", compat="override", combine_attrs="override")
    found = mm.estimators.maximum_likelihood(both, gyration=True)
    assert float(found.nu.max()) < 1e-5  # gyration alone, of each its own


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, b: xr.concat([a, b], "species"), "'species'.*join ensembles along 'particle'"),
        (lambda a, b: xr.concat([a, b.drop_vars("charge_sign")], "particle", data_vars="all"), "charge_sign"),
        (lambda a, b: xr.concat([a, b.drop_vars("own_gyroradius")], "particle", data_vars="all"), "own_gyroradius"),
        (lambda a, b: a.assign_coords(gyroradius=3.0), "gyroradius says 3 and own_gyroradius"),
        (lambda a, b: a.assign(beta_gamma=3.0), "beta_gamma says 3"),
        (lambda a, b: a.assign_attrs(charge_sign=1), "attrs"),
        (lambda a, b: a.assign(charge_sign=a.charge_sign * 2), "1 or -1"),
        (lambda a, b: a.assign(own_gyroradius=a.own_gyroradius * np.nan), "not a positive number"),
        (lambda a, b: xr.concat([a, b.drop_vars("key")], "particle", data_vars="all"), "key is"),
        (
            lambda a, b: xr.concat([a.assign(path_start=1.0), b.assign(path_start=2.0)], "particle", data_vars="all"),
            "different path lengths",
        ),
    ],
)
def test_joins_that_do_not_fit_are_refused_in_one_sentence(change, said):
    with pytest.raises(mm.SnapshotError, match=said):
        mm.trace(box(), change(one(charge_sign=-1), one()), step=0.01, distance=3.0)


def test_old_ensembles_are_read_as_they_were_meant():
    old = (
        one(charge_sign=-1).drop_vars(["charge_sign", "own_gyroradius", "own_beta_gamma"]).assign_attrs(charge_sign=-1)
    )
    tr = mm.trace(box(), old, step=0.01, distance=QUARTER, save=1).compute()
    np.testing.assert_allclose([tr.x[0, -1], tr.y[0, -1]], [3, 3], atol=1e-3)
    assert tr.attrs["charge_sign"] == -1

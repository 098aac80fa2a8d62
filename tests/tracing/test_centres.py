"""Guiding centres against formulas and against full orbits, which they become where the field is steep."""

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import mmfields as mm

GUIDED = {"pusher": "guiding-centre", "interpolation": "cubic"}
STATE = ("x", "y", "z", "vx", "vy", "vz", "mu", "B", "steps", "guiding_centre", "parallel_momentum", "magnetic_moment")


def on_grid(field, n, spacing=1.0, boundary="open", **electric):
    """A snapshot of (Bx, By, Bz) as a function of x, y, z, about the origin."""
    axes = [(np.arange(m) + 0.5 - m / 2) * spacing for m in n]
    z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
    parts = {f"B{d}": np.broadcast_to(b, x.shape).copy() for d, b in zip("xyz", field(x, y, z), strict=True)}
    parts |= {name: np.broadcast_to(f(x, y, z), x.shape).copy() for name, f in electric.items()}
    ds = mm.io.from_arrays(**parts, spacing=dict.fromkeys("xyz", spacing), dims=("z", "y", "x"), boundary=boundary)
    return ds.assign_coords({d: (d, a, ds[d].attrs) for d, a in zip("xyz", axes, strict=True)})


def bottle(length=6.0, n=24, spacing=1.0):
    """B = (1 + z²/L²) along z and what makes it free of divergence: a spline is exact."""
    return on_grid(lambda x, y, z: (-x * z / length**2, -y * z / length**2, 1 + (z / length) ** 2), (n, n, n), spacing)


def ring(radius, count, centre, cosine):
    """Particles of one guiding centre and pitch angle in B = (0, 0, 1), all around it."""
    phase = np.arange(count) * 2 * np.pi / count
    sine = np.sqrt(1 - cosine**2)
    vx, vy = sine * np.cos(phase), sine * np.sin(phase)
    return mm.particles.from_arrays(
        x=centre[0] - radius * vy,
        y=centre[1] + radius * vx,
        z=np.full(count, centre[2]),
        vx=vx,
        vy=vy,
        vz=np.full(count, cosine),
        gyroradius=radius,
        reference_field=1.0,
    )


def test_energy_is_conserved_to_the_order_of_the_step_and_the_moment_exactly():
    ds, off = bottle(), []
    p = ring(0.05, 3, (2.0, 1.0, 0.5), 0.5)
    for step in (0.8, 0.4, 0.2):
        tr = mm.trace(ds, p, step=step, distance=200.0, save=25, **GUIDED).compute()
        assert tr["guiding_centre"].all()
        assert (tr["magnetic_moment"] == tr["magnetic_moment"].isel(path=0)).all()
        off.append(float(abs(tr["parallel_momentum"] ** 2 + 2 * tr["magnetic_moment"] * tr["B"] - 1).max()))
        np.testing.assert_allclose(tr["mu"], tr["parallel_momentum"], atol=off[-1])
    assert off[2] < 1e-8
    assert off[0] / off[1] > 14
    assert off[1] / off[2] > 14


def periods(tr):
    """Time between passages of the middle, upward, of each particle."""
    s, found = tr["path"].values, []
    for z in tr["z"].values:
        k = np.flatnonzero((z[:-1] < 0) & (z[1:] >= 0))
        found.append(np.diff(s[k] - z[k] * (s[k + 1] - s[k]) / (z[k + 1] - z[k])).mean())
    return np.array(found)


def test_the_bounce_period_on_the_axis_of_a_bottle():
    """A particle of mu_0 in the middle swings with L √(1 - z²/z_m²): 2π L / √(1 - mu_0²)."""
    tr = mm.trace(bottle(), ring(0.01, 1, (0.0, 0.0, 0.0), 0.5), step=0.25, distance=200.0, save=2000, **GUIDED)
    assert periods(tr.compute())[0] == pytest.approx(2 * np.pi * 6.0 / np.sqrt(0.75), rel=2e-5)


def angles(tr, period):
    """By how much centres have turned about the axis, from the first to the last of periods of so many saved points."""
    angle = np.unwrap(np.arctan2(tr["y"], tr["x"])).mean(0)
    return angle[-period:].mean() - angle[:period].mean()


def in_both_ways(ds, p, radius, **run):
    """By guiding centres, and by full orbits."""
    run = {"save": 1300, "distance": 130.0, "interpolation": "cubic", **run}
    found = mm.trace(ds, p, step=0.2, pusher=mm.tracing.GuidingCentre(threshold=0.3), **run).compute()
    assert found["guiding_centre"].all()
    return found, mm.trace(ds, p, step=radius / 20, **run).compute()


def test_bounces_and_drifts_are_those_of_full_orbits_to_second_order():
    off = []
    for radius in (0.4, 0.2):
        found, full = in_both_ways(bottle(), ring(radius, 6, (3.0, 0.0, 0.0), 0.5), radius)
        each = periods(found) / periods(full) - 1
        assert abs(each).max() < 5e-4
        assert angles(found, 429) == pytest.approx(angles(full, 429), rel=0.03)
        off.append(abs(each.mean()))
    assert off[0] / off[1] == pytest.approx(4, rel=0.5)


def dipole(x, y, z):
    r2 = x**2 + y**2 + z**2
    return tuple(1000 * c / r2**2.5 for c in (3 * z * x, 3 * z * y, 2 * z**2 - x**2 - y**2))


def test_the_drift_about_a_dipole():
    """In its equator ∇B/B = 3/r, so that a centre at r turns by 3 r_g / 2 r² per path; B goes as r^-3 itself."""
    ds, radius, at = on_grid(dipole, (52, 52, 12), 0.5), 0.02, 9.0
    strength = 1000 / at**3
    p = mm.particles.from_arrays(
        x=[at], y=[radius], z=[0.0], vx=[-1.0], vy=[0.0], vz=[0.0], gyroradius=radius, reference_field=strength
    )
    tr = mm.trace(ds, p, step=0.5, distance=4000.0, save=10, **GUIDED).compute()
    assert tr["guiding_centre"].all()
    angle = np.unwrap(np.arctan2(tr["y"].values[0], tr["x"].values[0]))
    # positive particles go west in a field that points south here
    np.testing.assert_allclose(angle[-1] - angle[0], -1.5 * radius / at**2 * -4000.0, rtol=3e-3)
    np.testing.assert_allclose(np.hypot(tr["x"], tr["y"]), at, rtol=3e-4)


def test_bounces_and_drifts_about_a_dipole_are_those_of_full_orbits():
    ds, radius = on_grid(dipole, (52, 52, 36), 0.5), 0.1
    upright = ring(radius, 6, (9.0, 0.0, 0.0), 0.7)
    p = mm.particles.from_arrays(  # the field points south there
        **{name: upright[name].values for name in ("x", "vx", "vy", "vz")},
        y=-upright["y"].values, z=upright["z"].values, gyroradius=radius, reference_field=1000 / 9.0**3,
    )  # fmt: skip
    found, full = in_both_ways(ds, p, radius, distance=160.0, save=1600)
    each = periods(found) / periods(full) - 1
    assert abs(each).max() < 2e-3
    assert abs(each.mean()) < 5e-4
    period = round(periods(found).mean() / 0.1)
    assert angles(found, period) > 0.1
    assert angles(found, period) == pytest.approx(angles(full, period), rel=0.03)


def test_scattering_turns_pitch_angles_and_moves_centres_across():
    """<mu mu'> falls by nu/2 in Eq. 13, and across the field diffuses r_g per free path."""
    nu, radius = 0.1, 0.8
    ds = on_grid(lambda x, y, z: (0 * x, 0 * x, 1 + 0 * x), (4, 4, 4), boundary="periodic")
    p = mm.particles.isotropic(3000, gyroradius=radius, seed=1, field=ds, reference_field=1.0)
    tr = mm.trace(
        ds, p, step=0.5, distance=240.0, save=12, scattering=mm.scattering.small_angle(nu=nu), **GUIDED
    ).compute()
    assert tr["guiding_centre"].all()
    first = 3 * (tr["mu"].isel(path=0) * tr["mu"].isel(path=1)).mean()
    assert float(first) == pytest.approx(np.exp(-nu / 2 * 20), abs=0.05)
    np.testing.assert_allclose((tr["mu"] ** 2).mean("particle"), 1 / 3, atol=0.02)
    square = ((tr[[*"xyz"]] - tr[[*"xyz"]].isel(path=0)) ** 2).isel(path=-1).mean("particle") / (2 * 240.0)
    along = 2 / 3 / nu
    assert float(square["z"]) == pytest.approx(along * (1 - 20 / 240 * (1 - np.exp(-12))), rel=0.08)
    across = radius**2 * nu / 2 / 3  # of small r_g nu / 2: r_g² / 3 times the rate
    assert float(square["x"]) == pytest.approx(across, rel=0.1)
    assert float(square["y"]) == pytest.approx(across, rel=0.1)


def layers(n=64, width=2.0):
    """Uniform fields that turn by a right angle in two layers."""
    z = np.arange(n) + 0.5
    angle = np.pi / 4 * (np.tanh((z - 16) / width) - np.tanh((z - 48) / width))
    one = np.ones((n, 4, 4))
    parts = {"Bx": np.sin(angle)[:, None, None] * one, "By": np.cos(angle)[:, None, None] * one, "Bz": one}
    return mm.io.from_arrays(**parts, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x"))


def test_orbits_through_steep_fields_and_back_scatter_as_full_orbits_do():
    ds, run = layers(width=1.0), {"distance": 120.0, "save": 12, "interpolation": "cubic"}
    p = mm.particles.isotropic(1500, gyroradius=2.0, seed=1, field=ds, reference_field=1.0)
    found = mm.trace(ds, p, step=0.25, pusher="guiding-centre", **run).compute()
    full = mm.trace(ds, p, step=0.2, **run).compute()
    share = float(found["guiding_centre"].mean())
    assert 0.5 < share < 0.9
    changed = found["guiding_centre"].astype(int).diff("path") != 0
    assert float(changed.any("path").mean()) > 0.8
    for tr in (found, full):  # it is no small matter
        assert float((abs(tr["mu"]).isel(path=-1) - abs(tr["mu"]).isel(path=0)).std()) > 0.08
    last = [np.sort(abs(tr["mu"].isel(path=-1).values)) for tr in (found, full)]
    assert np.abs(last[0] - last[1]).max() < 0.05
    change = [(abs(tr["mu"]).isel(path=-1) - abs(tr["mu"]).isel(path=0)) for tr in (found, full)]
    assert float(change[0].std()) == pytest.approx(float(change[1].std()), rel=0.1)
    assert float((found["z"] ** 2).isel(path=-1).mean()) == pytest.approx(
        float((full["z"] ** 2).isel(path=-1).mean()), rel=0.05
    )


def driven(**options):
    """A turning field with a flow, and the electric field of it."""
    ds = layers(16)
    rng = np.random.default_rng(1)
    u = {f"u{d}": (("z", "y", "x"), 0.1 + 0.02 * rng.normal(size=(16, 4, 4))) for d in "xyz"}
    ds = ds.assign(u)
    b, u = (np.stack([ds[f"{letter}{d}"].values for d in "xyz"]) for letter in "Bu")
    e = -np.cross(u, b, axis=0)
    return ds.assign({f"E{d}": (("z", "y", "x"), e[i]) for i, d in enumerate("xyz")}).assign_attrs(**options)


RUNS = {
    "B alone": {},
    "scattered": {"scattering": mm.scattering.small_angle(nu=0.05)},
    "driven": {"electric": "stored", "light_speed": 1.0, "local_field": True},
    "ideal": {"electric": "ideal", "light_speed": 1.0, "scattering": mm.scattering.small_angle(nu=0.05)},
}


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("walls", ["periodic", "open"])
def test_a_run_in_two_is_one_to_the_bit_and_tasks_do_not_matter(kind, walls):
    ds = driven(boundary_z=walls)
    p = mm.particles.isotropic(
        70,
        gyroradius=[0.3, 1.0],
        seed=1,
        field=ds,
        reference_field=1.0,
        beta_gamma=1.5 if "light_speed" in RUNS[kind] else np.inf,
    )
    run = {"step": 0.3, "distance": 12.0, "save": [0.0, 2.0, 5.5, 8.0, 12.0], **GUIDED, **RUNS[kind]}
    whole = mm.trace(ds, p, **run).compute()
    assert 0.1 < float(whole["guiding_centre"].mean()) < 0.95
    names = [n for n in whole.data_vars if not n.startswith(("mean_", "B_rms"))]
    assert set(STATE) <= set(names)
    chunked = mm.trace(ds.chunk(z=5, x=3), p, particles_per_task=17, **run).compute(scheduler="synchronous")
    for at in (1, 3):
        middle = mm.particles.from_trajectories(whole, at=at)
        rest = mm.trace(ds, middle, **{**run, "save": whole["path"].values[at:]}).compute()
        for name in names:
            np.testing.assert_array_equal(chunked[name], whole[name], err_msg=name)
            part = whole[name].isel(path=slice(at, None)) if "path" in whole[name].dims else whole[name]
            np.testing.assert_array_equal(rest[name], part, err_msg=name)
    if walls == "open":
        assert 0.1 < float(whole["alive"].isel(path=-1).mean()) < 0.9
        gone = whole["left"].where(~whole["alive"].isel(path=-1))
        assert ((gone > 0) & (gone <= 12.0) | gone.isnull()).all()


def test_centres_leave_through_open_walls_where_they_cross_them():
    bare, still = (lambda x, y, z: (0 * x, 0 * x, 1 + 0 * x)), (lambda x, y, z: 0 * x)
    ds = on_grid(bare, (4, 4, 10), Ex=still, Ey=lambda x, y, z: 0.6 + 0 * x, Ez=still)
    p = mm.particles.from_arrays(
        x=[0.0] * 2, y=[0.0] * 2, z=[1.0, -4.0], vx=[0.6, 0.0], vy=[0.0, 1.0], vz=[0.8, 0.0], gyroradius=0.01,
        reference_field=1.0, beta_gamma=2.0,
    )  # fmt: skip
    run = {"step": 0.3, "distance": 8.0, "save": 4, **GUIDED}
    alone = mm.trace(ds, p, **run).compute()
    np.testing.assert_allclose(alone["left"], [4.0 / 0.8, np.nan], rtol=1e-12)
    assert alone["alive"].values.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    np.testing.assert_allclose(alone["z"].values[0, 1:3], [2.6, 4.2], rtol=1e-12)
    assert float(alone["z"].max()) <= 5.0
    pushed = mm.trace(ds, p, electric="stored", light_speed=1.0, **run).compute()
    first = pushed.isel(path=0)
    speed = first["vz"] * first["speed"]
    np.testing.assert_allclose(pushed["left"][1], (2.0 - first["x"][1]) / 0.6, rtol=1e-12)
    np.testing.assert_allclose(
        pushed["left"][0], min((5.0 - first["z"][0]) / speed[0], (2.0 - first["x"][0]) / 0.6), rtol=1e-12
    )


def test_strong_flows_move_centres_as_the_orbits_about_them():
    """E × B at 0.4 c through a field that bends, with what inertia makes of it."""
    k = 2 * np.pi / 16
    shear = {"Ex": lambda x, y, z: -0.4 * np.cos(k * x), "Ey": lambda x, y, z: 0 * x, "Ez": lambda x, y, z: 0 * x}
    ds = on_grid(
        lambda x, y, z: (0 * x, 0.2 * np.sin(k * x), 1 + 0.1 * np.cos(k * x)), (16, 4, 4), 1.0, "periodic", **shear
    )
    radius, off = 0.04, []
    p = mm.particles.isotropic(60, gyroradius=radius, seed=4, field=ds, reference_field=1.0, beta_gamma=1.0)
    run = {"distance": 6.0, "save": [6.0], "interpolation": "cubic", "electric": "stored", "light_speed": 1.0}
    found = mm.trace(ds, p, step=0.2, pusher="guiding-centre", **run).compute()
    full = mm.trace(ds, p, step=0.1, step_unit="gyroradius", **run).compute()
    assert found["guiding_centre"].all()
    for d in "xyz":
        away = (found[d] - full[d]).isel(path=0)
        off.append(float(abs(away.mean())))
        assert float(abs(away).max()) < 5 * radius
    assert max(off) < 0.5 * radius
    gained = [float(tr["energy"].isel(path=0).mean()) for tr in (found, full)]
    assert gained[0] == pytest.approx(gained[1], rel=0.01)


def test_estimators_of_transport_read_centres():
    ds = layers(16, width=4.0)
    p = mm.particles.isotropic(60, gyroradius=0.2, seed=1, field=ds, reference_field=1.0)
    tr = mm.trace(
        ds, p, step=0.3, distance=400.0, save=80, local_field=True,
        scattering=mm.scattering.small_angle(nu=0.2), **GUIDED,
    ).compute()  # fmt: skip
    assert float(tr["guiding_centre"].mean()) > 0.5
    kappa = mm.transport.diffusion(tr, frame="local")
    wanted = 2 / 3 / 0.2
    assert float(kappa["kappa_par"]) == pytest.approx(wanted, rel=0.5)
    assert float(mm.transport.parallel_from_mu(tr)["kappa_par"]) == pytest.approx(wanted, rel=0.3)
    for estimate in (mm.transport.running_diffusion, mm.transport.green_kubo, mm.transport.trapping):
        assert np.isfinite(estimate(tr).to_array()).any()
    assert float(mm.transport.pitch_angle_diffusion(tr, bins=4)["scattering_rate"]) > 0
    with pytest.raises(mm.SnapshotError, match="have no directions"):
        mm.estimators.maximum_likelihood(tr)
    with pytest.raises(mm.SnapshotError, match="have no directions"):
        mm.estimators.features(tr.isel(gyroradius=0, missing_dims="ignore"))
    # velocities are those of the displacement
    moved = (tr["vz"].isel(path=0), (tr["z"].isel(path=1) - tr["z"].isel(path=0)) / 5.0)
    assert float(xr.corr(*moved)) > 0.7


def test_pitch_angles_of_centres_are_those_in_the_frame_of_the_drift():
    ds = on_grid(
        lambda x, y, z: (0 * x, 0 * x, 1 + 0 * x), (4, 4, 4), boundary="periodic",
        Ex=lambda x, y, z: 0 * x, Ey=lambda x, y, z: 0.6 + 0 * x, Ez=lambda x, y, z: 0 * x,
    )  # fmt: skip
    p = mm.particles.isotropic(50, gyroradius=0.1, seed=1, field=ds, reference_field=1.0, beta_gamma=2.0)
    run = {"distance": 4.0, "save": 4, "interpolation": "cubic", "light_speed": 1.0, "electric": "stored"}
    found = mm.trace(ds, p, step=0.5, pusher="guiding-centre", local_field=True, **run).compute()
    full = mm.trace(ds, p, step=0.001, local_field=True, **run).compute()
    from mmfields.transport.pitch import _cosine

    np.testing.assert_allclose(_cosine(found), _cosine(full), atol=2e-3)
    np.testing.assert_allclose(found["vx"] * found["speed"], 0.6, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interpolation": "linear"}, "needs derivatives of the field: give interpolation='cubic'"),
        ({"step_unit": "local"}, "makes steps of a length"),
        ({"block": 20}, "needs the field whole"),
        ({"evolve": True}, "for fields at rest"),
    ],
)
def test_what_centres_are_not_made_for_is_refused(options, message):
    ds = layers(16)
    p = mm.particles.isotropic(2, gyroradius=0.3, seed=1, field=ds, reference_field=1.0)
    with pytest.raises(mm.ArgumentError, match=message):
        mm.trace(ds, p, **{"step": 0.2, "distance": 1.0, **GUIDED, **options})


def test_what_is_no_field_for_centres_is_refused():
    ds = layers(16)
    p = mm.particles.isotropic(2, gyroradius=0.3, seed=1, field=ds, reference_field=1.0)
    run = {"step": 0.2, "distance": 1.0}
    with pytest.raises(mm.SnapshotError, match="walls along y reflect"):
        mm.trace(ds.assign_attrs(boundary_y="reflecting"), p, **run, **GUIDED)
    waves = mm.turbulence.plane_waves(8, k_min=0.1, k_max=1.0, seed=1)
    with pytest.raises(mm.ArgumentError, match="needs a snapshot"):
        mm.trace(waves, p, **run, **GUIDED)
    with pytest.raises(mm.SnapshotError, match="needs ux, uy, uz"):
        mm.trace(ds, p, electric="ideal", light_speed=1.0, **run, **GUIDED)
    with pytest.raises(mm.ArgumentError, match=r"threshold=2.*from 0 to 0.5"):
        mm.tracing.GuidingCentre(threshold=2.0)
    centres = mm.particles.from_trajectories(mm.trace(ds, p, **run, **GUIDED))
    with pytest.raises(mm.ArgumentError, match="these are guiding centres"):
        mm.trace(ds, centres, step=0.1, distance=2.0)


def test_the_command_line_follows_centres(tmp_path):
    from mmfields.cli import main

    source, out = str(tmp_path / "field.zarr"), str(tmp_path / "orbits.zarr")
    mm.store(layers(16), source)
    options = ["--gyroradius", "0.1", "--particles", "4", "--distance", "5", "--save", "2", "--step", "0.2"]
    done = CliRunner().invoke(main, ["trace", source, out, *options, "--pusher", "guiding-centre"])
    assert done.exit_code == 0, done.output
    tr = xr.open_zarr(out)
    assert tr.attrs["step"] == 0.2
    assert tr["guiding_centre"].dtype == bool

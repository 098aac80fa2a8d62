"""Fields that are functions: closed orbits, conserved quantities, time, continuation, stores and refusals."""

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from numba import njit
from scipy.optimize import brentq

import mmfields as mm

MEAN = np.array((0.6, -0.5, 1.1))


def uniform(field=MEAN, **options):
    bx, by, bz = map(float, field)

    def constant(x, y, z):
        return bx, by, bz

    given = {"strength": float(np.linalg.norm(field)), "smallest": 100.0, "mean_field": field}
    return mm.fields.analytic(constant, **{**given, **options})


def dipole(x, y, z):
    """Of moment 1 along -z, so that its equatorial field is along z."""
    square = x * x + y * y + z * z
    cube = square * np.sqrt(square)
    common = 3.0 * z / (square * cube)
    return -common * x, -common * y, 1.0 / cube - common * z


def around(n=40, **options):
    """Particles about a ring of radius 1 in the equatorial plane."""
    rng = np.random.default_rng(3)
    angle = rng.uniform(0, 2 * np.pi, n)
    places = np.stack([np.cos(angle), np.sin(angle), 0.2 * rng.normal(size=n)], 1)
    field = mm.fields.analytic(dipole, strength=1.0, smallest=0.5, mean_field=(0, 0, 1))
    given = {"gyroradius": [0.02, 0.1], "seed": 1, "field": field, "positions": places}
    return field, mm.particles.isotropic(n, **{**given, **options})


def test_a_uniform_field_gives_the_closed_orbit_of_the_scheme():
    """Positions lie on the circle itself; the angle of a step is 2 atan(h / 2 r_g)."""
    field, r, h, steps = uniform(), 0.7, 0.05, 400
    p = mm.particles.isotropic(30, gyroradius=r, seed=2, field=field, positions=np.zeros((30, 3)))
    tr = mm.trace(field, p, step=h, distance=h * steps, save=4).compute()
    b = MEAN / np.linalg.norm(MEAN)
    v = np.stack([p[f"v{d}"] for d in "xyz"], 1)
    along = (v @ b)[:, None] * b
    across, third = v - along, np.cross(v, b)
    for save in range(5):
        n = save * steps / 4
        angle = n * 2 * np.arctan(h / (2 * r))
        expected = along * n * h + r * (np.sin(angle) * across + (1 - np.cos(angle)) * third)
        found = np.stack([tr[d].isel(path=save) for d in "xyz"], 1)
        np.testing.assert_allclose(found, expected, atol=2e-12)
    assert float(tr.mean_Bz) == MEAN[2] and float(tr.B_rms) == np.linalg.norm(MEAN)


def momentum_about_the_axis(tr):
    """rho v_phi + rho A_phi / R in the dipole, and the second part alone; R is gyroradius times field."""
    own = tr["x"] * tr["vy"] - tr["y"] * tr["vx"]
    square = tr["x"] ** 2 + tr["y"] ** 2
    flux = -square / (square + tr["z"] ** 2) ** 1.5 / tr["own_gyroradius"]
    return own + flux, flux


def test_a_dipole_conserves_the_canonical_angular_momentum():
    """To second order in the step, which ends where Störmer's forbidden region begins."""
    field, p = around()
    places = np.stack([p[d].isel(gyroradius=0) for d in "xyz"], -1)
    beam = {"pitch_angle": 1.1, "direction": "z", "positions": places}
    p = mm.particles.beam(40, gyroradius=[0.02, 0.05], seed=1, field=field, **beam)
    off = []
    for step in (0.1, 0.05):
        tr = mm.trace(field, p, step=step, step_unit="gyroradius", distance=8.0, save=40).compute()
        total, flux = momentum_about_the_axis(tr)
        off.append(float(abs(total - total.isel(path=0)).max()))
    assert off[0] / off[1] == pytest.approx(4, rel=0.15)
    assert off[1] < 2e-3
    reach = (total.isel(path=0) - flux) / np.hypot(tr["x"], tr["y"])
    assert float(abs(reach).max()) < 1 + 2e-3
    np.testing.assert_allclose(tr["vx"] ** 2 + tr["vy"] ** 2 + tr["vz"] ** 2, 1.0, atol=1e-13)


def bounce(angle):
    """Period of the motion along a dipole's field line of radius 1 at speed 1, by quadrature."""

    def strength(latitude):
        return np.sqrt(1 + 3 * np.sin(latitude) ** 2) / np.cos(latitude) ** 6

    end = brentq(lambda latitude: np.sin(angle) ** 2 * strength(latitude) - 1, 0.0, 1.4)
    turn = np.pi / 2 * (np.arange(20000) + 0.5) / 20000  # the root at the end is taken out by latitude = end sin(turn)
    latitude = end * np.sin(turn)
    line = np.cos(latitude) * np.sqrt(1 + 3 * np.sin(latitude) ** 2)
    along = np.sqrt(1 - np.sin(angle) ** 2 * strength(latitude))
    return 4 * float((line / along * end * np.cos(turn)).sum()) * np.pi / 2 / 20000


def test_the_bounce_and_the_drift_in_a_dipole():
    """Periods by the integral along the field line, drifts after Hamlin et al. (1961)."""
    field, r = mm.fields.analytic(dipole, strength=1.0, smallest=0.5), 2e-3
    angles = np.radians([40.0, 60.0, 80.0])
    ends = {"x": np.ones(3), "y": np.zeros(3), "z": np.zeros(3)}
    v = {"vx": np.sin(angles), "vy": np.zeros(3), "vz": np.cos(angles)}
    p = mm.particles.from_arrays(**ends, **v, gyroradius=r, reference_field=1.0)
    tr = mm.trace(field, p, step=0.2, step_unit="gyroradius", distance=40.0, save=4000).compute()
    for i, angle in enumerate(angles):
        z, path = tr["z"].values[i], tr["path"].values
        up = np.flatnonzero((z[1:-1] < 0) & (z[2:] >= 0)) + 1
        times = path[up] - z[up] * (path[up + 1] - path[up]) / (z[up + 1] - z[up])
        assert np.diff(times).mean() == pytest.approx(bounce(angle), rel=2e-3)
        phi = np.unwrap(np.arctan2(tr["y"].values[i], tr["x"].values[i]))
        slope = np.polyfit(path, phi, 1)[0]
        assert slope == pytest.approx(-3 * r * (0.35 + 0.15 * np.sin(angle)), rel=0.03)


def test_pieces_chunks_and_schedulers_do_not_show():
    field, p = around(200)
    run = {"step": 0.2, "step_unit": "gyroradius", "local_field": True}
    whole = mm.trace(field, p, distance=3.0, save=6, **run).compute()
    first = mm.trace(field, p, distance=1.5, save=3, particles_per_task=64, **run).compute(scheduler="synchronous")
    rest = mm.trace(field, mm.particles.from_trajectories(first), distance=3.0, save=[2.0, 2.5, 3.0], **run)
    rest = rest.chunk(particle=50).compute(scheduler="threads", num_workers=3)
    for name in ("x", "vy", "mu", "B", "bz"):
        np.testing.assert_array_equal(rest[name], whole[name].isel(path=slice(-3, None)), err_msg=name)
    local = mm.trace(field, p, distance=1.0, step=0.2, step_unit="local", save=2).compute()
    assert (local["steps"].isel(path=-1).std("particle") > 0).all()


def betatron(rate=0.02):
    """A uniform field along z that grows, and the electric field that it induces about the axis."""

    def growing(x, y, z, time):
        return 0.0, 0.0, 1.0 + rate * time, 0.5 * rate * y, -0.5 * rate * x, 0.0

    return mm.fields.analytic(growing, strength=1.0, smallest=10.0, mean_field=(0, 0, 1))


def test_a_betatron_conserves_what_it_is_to():
    """The canonical angular momentum to second order, and p_perp²/B while a gyration is short."""
    field = betatron()
    rng = np.random.default_rng(5)
    p = mm.particles.isotropic(
        20, gyroradius=0.1, seed=1, field=field, positions=0.2 * rng.normal(size=(20, 3)), beta_gamma=1.0
    )
    off = []
    for step in (0.04, 0.02):
        tr = mm.trace(field, p, step=step, distance=50.0, save=10, evolve=True, electric="stored").compute()
        strength = 1 + 0.02 * tr["path"]
        own = tr["momentum"] * (tr["x"] * tr["vy"] - tr["y"] * tr["vx"])
        total = own + strength * (tr["x"] ** 2 + tr["y"] ** 2) / (2 * 0.1)
        off.append(float(abs(total - total.isel(path=0)).max()))
    assert off[0] / off[1] == pytest.approx(4, rel=0.15)
    np.testing.assert_allclose(tr["B"], strength.broadcast_like(tr["B"]), rtol=1e-12)
    across = tr["momentum"] ** 2 * (1 - tr["vz"] ** 2) / strength
    np.testing.assert_allclose(across, across.isel(path=0).broadcast_like(across), rtol=0.06)
    assert tr.attrs["evolution"] == "a function of time" and tr.attrs["electric"] == "given by the function"
    still = mm.trace(field, p, step=0.04, distance=1.0, save=1).compute()
    np.testing.assert_array_equal(still["B"], 1.0)


def test_a_run_in_time_goes_on_to_the_bit():
    field = betatron()
    p = mm.particles.isotropic(30, gyroradius=0.1, seed=1, field=field, positions=np.zeros((30, 3)), beta_gamma=0.7)
    run = {"step": 0.03, "pusher": "vay"}
    late = mm.tracing.Evolution(start=3.0)
    whole = mm.trace(field, p, distance=4.0, save=4, evolve=late, **run).compute()
    first = mm.trace(field, p, distance=2.0, save=2, evolve=late, **run).compute()
    rest = mm.trace(field, mm.particles.from_trajectories(first), distance=4.0, save=[3.0, 4.0], evolve=True, **run)
    for name in ("x", "vy", "momentum", "own_path", "B"):
        np.testing.assert_array_equal(rest[name].compute(), whole[name].isel(path=slice(-2, None)), err_msg=name)
    np.testing.assert_allclose(whole["B"].isel(particle=0), 1 + 0.02 * (3 + whole["path"]))


def test_a_wave_as_a_function_is_the_wave():
    """B and E of a moving wave, written down, against the waves of plane_waves."""
    waves = mm.turbulence.plane_waves(
        2, k_min=0.6, k_max=1.5, mean_field=(0.2, -0.3, 1.0), rms=0.4, seed=3, frequency="alfven", alfven_speed=0.1
    )
    k, a, flow = (np.stack([waves.modes[f"{c}{d}"].values for d in "xyz"], 1) for c in "kau")
    phase, omega = waves.modes["phase"].values, waves.modes["omega"].values

    def written(x, y, z, time):
        bx, by, bz, ux, uy, uz = 0.2, -0.3, 1.0, 0.0, 0.0, 0.0
        for n in range(2):
            c = np.cos(k[n, 0] * x + k[n, 1] * y + k[n, 2] * z + phase[n] - omega[n] * time)
            bx, by, bz = bx + a[n, 0] * c, by + a[n, 1] * c, bz + a[n, 2] * c
            ux, uy, uz = ux + flow[n, 0] * c, uy + flow[n, 1] * c, uz + flow[n, 2] * c
        return bx, by, bz, uz * by - uy * bz, ux * bz - uz * bx, uy * bx - ux * by

    own = mm.fields.analytic(written, strength=float(waves.strength("rms")), smallest=waves.shortest)
    p = mm.particles.isotropic(20, gyroradius=0.5, seed=1, field=waves, reference_field=1.0, beta_gamma=1.5)
    run = {"step": 0.1, "step_unit": "gyroradius", "distance": 5.0, "save": 5, "evolve": True, "local_field": True}
    one = mm.trace(own, p, electric="stored", **run).compute()
    other = mm.trace(waves, p, electric="ideal", **run).compute()
    for name in ("x", "vz", "momentum", "B", "ex", "ez"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-11, err_msg=name)
    assert one.attrs["step_rule"] == other.attrs["step_rule"]


def test_crossed_fields_carry_what_moves_with_them():
    def crossed(x, y, z):
        return 0.0, 0.0, 1.0, 0.5, 0.0, 0.0

    field = mm.fields.analytic(crossed, strength=1.0, smallest=10.0)
    start = {"x": [0.0], "y": [0.0], "z": [0.0], "vx": [0.0], "vy": [-1.0], "vz": [0.0]}
    p = mm.particles.from_arrays(**start, gyroradius=1.0, reference_field=1.0, beta_gamma=0.5 / 0.75**0.5)
    tr = mm.trace(field, p, step=0.1, distance=20.0, save=5, pusher="higuera-cary").compute()
    np.testing.assert_allclose(tr["x"], 0.0, atol=1e-12)
    np.testing.assert_allclose(tr["y"].isel(particle=0), -0.5 * tr["path"], atol=1e-12)


def test_a_store_knows_the_function(tmp_path):
    field, p = around(20)
    tr = mm.trace(field, p, step=0.2, step_unit="gyroradius", distance=1.0, save=2)
    mm.store(tr, tmp_path / "orbits.zarr", progress=False)
    again = mm.trace(around(20)[0], p, step=0.2, step_unit="gyroradius", distance=1.0, save=2)
    (tmp_path / "orbits.zarr/vx/c/0/0/0").unlink()
    mm.store(again, tmp_path / "orbits.zarr", progress=False)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "orbits.zarr").load()[["x", "vx"]], tr[["x", "vx"]].compute())

    def dipole(x, y, z):
        return 0.0, 0.0, 1.0 / (x * x + y * y + z * z) ** 1.5

    other = mm.fields.analytic(dipole, strength=1.0, smallest=0.5, mean_field=(0, 0, 1))
    changed = mm.trace(other, p, step=0.2, step_unit="gyroradius", distance=1.0, save=2)
    with pytest.raises(mm.SnapshotError, match=r"orbits\.zarr"):
        mm.store(changed, tmp_path / "orbits.zarr", progress=False)


def test_it_goes_to_other_processes():
    field = uniform()
    p = mm.particles.isotropic(8, gyroradius=0.5, seed=2, field=field, positions=np.zeros((8, 3)))
    tr = mm.trace(field, p, step=0.1, distance=1.0, save=2)
    there = tr.compute(scheduler="processes", num_workers=1)
    xr.testing.assert_identical(there, tr.compute())


def test_nothing_is_computed_at_the_call(no_compute):
    field, p = around(10)
    mm.trace(mm.fields.sum(field, waves()), p, step=0.01, distance=1.0)


def waves(**options):
    return mm.turbulence.plane_waves(24, **{"k_min": 1.0, "k_max": 9.0, "rms": 0.2, "seed": 4, **options})


@pytest.mark.parametrize("moving", [False, True])
def test_waves_beside_a_function(moving):
    """The field at the particle is the sum of both, at the time that it is."""
    own = {"mean_field": (0.1, 0.2, 0.3), "frequency": "alfven", "alfven_speed": 0.1} if moving else {}
    added, (field, p) = waves(**own), around(20, beta_gamma=0.8)
    both = mm.fields.sum(field, added)
    run = {"step": 0.01, "distance": 2.0, "save": 4, "evolve": moving, "local_field": True}
    tr = mm.trace(both, p, **run).compute()
    for i, path in enumerate(tr["path"].values):
        at = tr.isel(path=i)
        time = float(path) / (0.8 / np.hypot(1, 0.8)) if moving else 0.0
        expected = np.stack(dipole(at["x"].values, at["y"].values, at["z"].values), -1)
        expected += added.at_time(time).at(*(at[d] for d in "xyz"))
        found = np.stack([at[f"b{d}"] * at["B"] for d in "xyz"], -1)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)
    assert "24 plane waves" in tr.attrs["interpolation"]
    np.testing.assert_allclose(tr.B_rms, np.hypot(1.0, float(added.strength("rms"))))
    assert both.shortest == field.shortest


def test_units_are_taken_and_reach_the_trajectories():
    field = uniform((0, 0, 1.0), strength=5 * u.nT, smallest=2 * u.Mm, field_unit="5 nT", length_unit="1000 km")
    assert (field.reference, field.smallest) == (1.0, 2.0)
    p = mm.particles.isotropic(3, energy=1 * u.MeV, seed=1, field=field, positions=np.zeros((3, 3)) * u.km)
    expected = mm.particles.isotropic(
        3, energy=1 * u.MeV, seed=1, field=field, reference_field=5 * u.nT, positions=np.zeros((3, 3))
    )
    np.testing.assert_allclose(p["own_gyroradius"], expected["own_gyroradius"])
    tr = mm.trace(field, p, step=0.1, step_unit="gyroradius", distance=3000 * u.km, save=2)
    assert tr.attrs["length_unit"] == "1000.0 km" and float(tr["path"][-1]) == pytest.approx(3.0)
    with pytest.raises(mm.SnapshotError, match="field_unit"):
        uniform(strength=5 * u.nT)


def test_particles_start_in_the_box_that_was_given():
    field = uniform(box={"x": (0, 1), "y": (2, 5), "z": (-1, 0)})
    p = mm.particles.isotropic(50, gyroradius=1.0, seed=1, field=field)
    assert p["y"].min() >= 2 and p["y"].max() <= 5 and p["z"].max() <= 0
    beam = mm.particles.beam(5, gyroradius=1.0, pitch_angle=0.3, seed=1, field=field)
    cosine = sum(beam[f"v{d}"] * m for d, m in zip("xyz", MEAN / np.linalg.norm(MEAN), strict=True))
    np.testing.assert_allclose(cosine, np.cos(0.3))
    np.testing.assert_allclose(mm.particles.reference_strength(field, "mean"), np.linalg.norm(MEAN))


def test_what_a_function_does_wrong_on_its_way_is_told():
    def hole(x, y, z):
        return 0.0, 0.0, np.sqrt(1.0 - x)

    def wall(x, y, z):
        if x > 1.0:
            raise ValueError("too far")
        return 0.0, 0.0, 1.0

    start = {"x": [0.5, 0.9], "y": [0.0, 0.0], "z": [0.0, 3.0], "vx": [0.0, 1.0], "vy": [0.0] * 2, "vz": [1.0, 0.0]}
    p = mm.particles.from_arrays(**start, gyroradius=5.0, reference_field=1.0)
    run = {"step": 0.1, "distance": 3.0, "save": 1}
    with pytest.raises(mm.SnapshotError, match=r"hole is not finite at x=1\.0\d+, y=.*, z=3, time 0"):
        mm.trace(mm.fields.analytic(hole, strength=1.0, smallest=1.0), p, **run).compute()
    with pytest.raises(mm.ArgumentError, match="wall has raised ValueError: too far"):
        mm.trace(mm.fields.analytic(wall, strength=1.0, smallest=1.0), p, **run).compute()


def test_what_a_function_reads_may_not_change():
    names: dict = {"strength": 1.0}
    exec("def own(x, y, z):\n    return 0.0, 0.0, strength", names)
    field = mm.fields.analytic(names["own"], strength=1.0, smallest=1.0)
    p = mm.particles.isotropic(2, gyroradius=1.0, seed=1, field=field, positions=np.zeros((2, 3)))
    names["strength"] = 2.0
    with pytest.raises(mm.ArgumentError, match="own reads or calls has changed"):
        mm.trace(field, p, step=0.1, distance=1.0).compute()


def test_functions_of_numba_are_taken_and_may_call_others():
    @njit
    def helper(x):
        return 2.0 * x

    @njit(fastmath=True)
    def own(x, y, z):
        return helper(z), helper(x), 1.0

    field = mm.fields.analytic(own, strength=1.0, smallest=1.0)
    p = mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=field, positions=np.eye(5, 3))
    tr = mm.trace(field, p, step=0.1, distance=0.1, save=1, local_field=True).compute()
    np.testing.assert_allclose(tr["bx"] * tr["B"], 2 * tr["z"], atol=1e-14)
    np.testing.assert_allclose(tr["by"] * tr["B"], 2 * tr["x"], atol=1e-14)
    same = mm.fields.analytic(own, strength=1.0, smallest=1.0)
    assert same.function.key == field.function.key and same.function.for_kernels() == field.function.for_kernels()


class Opaque:
    """Of which nothing is known."""


def test_refusals():
    thing = Opaque()
    for message, function in (
        ("reads or calls thing, of which", lambda x, y, z: (0.0, 0.0, thing)),
        ("takes \\(x, y\\): x, y, z", lambda x, y: (x, y, 0.0)),
        ("a function is needed", np.sin),
        ("a function is needed", 3.0),
        ("a tuple of three real numbers", lambda x, y, z: (x, y)),
        ("a tuple of three real numbers", lambda x, y, z: x),
        ("a tuple of three real numbers", lambda x, y, z: (x, y, 1j * z)),
        ("does not compile .*: it may use", lambda x, y, z: (x.nothing, y, z)),
    ):
        with pytest.raises(mm.ArgumentError, match=message):
            mm.fields.analytic(function, strength=1.0, smallest=1.0)
    for message, options in (
        ("strength=0.0: a positive", {"strength": 0.0}),
        ("smallest=-1", {"smallest": -1}),
        ("ascending limits", {"box": {"x": (0, 1)}}),
        ("ascending limits", {"box": dict.fromkeys("xyz", (1, 0))}),
        ("mean_field", {"mean_field": (1, 2)}),
    ):
        with pytest.raises(mm.ArgumentError, match=message):
            uniform(**options)
    with pytest.raises(mm.ArgumentError, match="fills no box"):
        mm.particles.isotropic(2, gyroradius=1.0, seed=1, field=uniform())
    field = uniform(mean_field=(0, 0, 0), box=dict.fromkeys("xyz", (0, 1)))
    with pytest.raises(mm.SnapshotError, match="no mean field was stated"):
        mm.particles.isotropic(2, gyroradius=1.0, seed=1, field=field, reference_field="mean")
    p, run = mm.particles.isotropic(2, gyroradius=1.0, seed=1, field=field), {"step": 0.1, "distance": 1.0}
    for message, options in (
        ("gives no electric field", {"pusher": "boris"}),
        ("gives no electric field", {"electric": "stored"}),
        ("has no flow", {"electric": "ideal"}),
        ("does not change in time", {"evolve": True}),
        ("block=16", {"block": 16}),
        ("a function has none", {"interpolation": "cubic"}),
        ("over it already", {"pusher": "vay", "light_speed": 2.0}),
        ("threshold", {"scattering": mm.scattering.patchy(mm.scattering.small_angle(nu=1.0), mask="m")}),
    ):
        with pytest.raises(mm.ArgumentError, match=message):
            mm.trace(field, p, **run, **options)

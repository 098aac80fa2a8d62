"""Fields that change in time: the laws that orbits obey in them, and that a series at rest is a snapshot."""

import numpy as np
import pytest
import xarray as xr
from small_fields import MIXED, WALLED, one, snapshot

import mmfields as mm

TIMES = [1.0, 4.0, 5.5, 9.0]


def series(snapshots, times):
    return xr.concat(snapshots, "time").assign_coords(time=("time", np.asarray(times, float)))


def on_grid(functions, times, n=(4, 4, 4), spacing=1.0, boundary="periodic", centred=False):
    """A series of components that are functions of t, x, y, z."""
    axes = [(np.arange(m) + 0.5 - (m / 2 if centred else 0)) * spacing for m in n]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    snapshots = []
    for t in times:
        fields = {name: np.broadcast_to(f(t, x, y, z), x.shape).copy() for name, f in functions.items()}
        own = mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", spacing), dims=("z", "y", "x"))
        if centred:
            own = own.assign_coords({d: (d, a, own[d].attrs) for d, a in zip("zyx", axes, strict=True)})
        snapshots.append(own.assign_attrs({f"boundary_{d}": boundary for d in "xyz"}))
    return series(snapshots, times)


def zero(t, x, y, z):
    return 0.0


def energy(tr, beta_gamma):
    """In units of the momentum at the start times c."""
    return np.hypot(tr["momentum"], 1 / beta_gamma)


def equal(one, other):
    for name in one.data_vars:
        if not name.startswith(("mean_", "B_rms")):
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize(
    ("boundary", "options"),
    [
        ("periodic", {"step": 0.1}),
        ("periodic", {"step": 0.07, "interpolation": "cubic"}),
        ("periodic", {"step": 0.1, "interpolation": "nearest", "scattering": mm.scattering.small_angle(nu=0.3)}),
        ("periodic", {"step": 0.2, "step_unit": "local", "local_field": True}),
        (MIXED, {"step": 0.1, "step_unit": "gyroradius"}),
        (WALLED, {"step": 0.1, "scattering": mm.scattering.patchy(mm.scattering.small_angle(nu=2.0), mask="hot")}),
        (MIXED, {"step": 0.1, "pusher": "vay", "light_speed": 1.0, "local_field": True}),
        ("periodic", {"step": 0.2, "step_unit": "local", "pusher": "boris", "light_speed": 1.0}),
        (MIXED, {"step": 0.1, "pusher": "boris", "light_speed": 1.0, "interpolation": "cubic"}),
    ],
)
def test_equal_snapshots_are_one_at_rest(boundary, options):
    driven = "pusher" in options
    ds = snapshot(boundary, electric=driven, shape=(6, 9, 12)).astype(float)
    p = mm.particles.isotropic(
        70, gyroradius=[2.0, 5.0], seed=2, field=ds, reference_field=1.0, beta_gamma=1.5 if driven else np.inf
    )
    run = {"distance": 7.5, "save": [0.0, 2.5, 3.0, 4.0, 7.5], **options}
    still = mm.trace(ds, p, **run)
    moving = mm.trace(
        series([ds.drop_vars("hot")] * 4, TIMES).assign(hot=ds["hot"]),
        p,
        **{**run, "light_speed": 1.0},
        evolve=mm.tracing.Evolution(start=1.5),
    )
    equal(still.compute(), moving.compute())


def changing(shape=(6, 9, 12), snapshots=4, **options):
    made = []
    for seed in range(snapshots):
        rng = np.random.default_rng(seed)
        fields = {f"{a}{c}": rng.normal(0.3, s, shape) for a, s in (("B", 1.0), ("u", 0.1)) for c in "xyz"}
        made.append(
            mm.io.from_arrays(**fields, spacing={"x": 1.0, "y": 0.5, "z": 2.0}, dims=("z", "y", "x"), **options)
        )
    return series(made, TIMES[:snapshots])


def test_between_snapshots_fields_are_linear_in_space_and_time():
    ds = changing()
    p = mm.particles.isotropic(40, gyroradius=3.0, seed=1, field=ds.isel(time=0), reference_field=1.0, beta_gamma=1.0)
    tr = mm.trace(
        ds, p, step=0.1, distance=15.0, save=9, evolve=True, electric="ideal", light_speed=2.0, local_field=True
    ).compute()
    np.testing.assert_allclose(tr["time"], 1.0 + tr["path"] / 2.0)
    cells = {"x": 1.0, "y": 0.5, "z": 2.0}
    period = {d: ds.sizes[d] * h for d, h in cells.items()}
    wrapped = ds.pad({d: (1, 1) for d in "xyz"}, mode="wrap")
    wrapped = wrapped.assign_coords({d: (np.arange(wrapped.sizes[d]) - 0.5) * h for d, h in cells.items()})
    at = wrapped.interp({d: tr[d] % period[d] for d in "xyz"} | {"time": tr["time"]}).transpose("particle", "path")
    b = np.stack([at[f"B{d}"] for d in "xyz"])
    strength = np.sqrt((b**2).sum(0))
    np.testing.assert_allclose(tr["B"], strength, rtol=1e-11)
    for i, d in enumerate("xyz"):
        np.testing.assert_allclose(tr[f"b{d}"], b[i] / strength, atol=1e-11)
    e = -np.cross(np.stack([at[f"u{d}"] for d in "xyz"]) / 2.0, b, axis=0)
    np.testing.assert_allclose(np.stack([tr[f"e{d}"] for d in "xyz"]), e, atol=1e-12)
    assert abs(sum(tr[f"e{d}"] * tr[f"b{d}"] for d in "xyz")).max() < 1e-15  # none along B


def test_a_run_in_two_is_one_to_the_bit_and_tasks_do_not_matter():
    ds = changing()
    p = mm.particles.isotropic(150, gyroradius=[1.0, 3.0], seed=4, field=ds.isel(time=0), reference_field=1.0)
    run = {"step": 0.1, "step_unit": "gyroradius", "evolve": True, "light_speed": 3.0, "distance": 24.0, "save": 8}
    run["scattering"] = mm.scattering.small_angle(nu=0.1)
    whole = mm.trace(ds, p, **run).compute()
    equal(whole, mm.trace(ds.chunk(time=1, x=5, z=2), p, particles_per_task=37, **run).compute(scheduler="synchronous"))
    for at in (2, 5):
        middle = mm.particles.from_trajectories(whole, at=at)
        rest = mm.trace(ds, middle, **{**run, "save": whole["path"].values[at:]}).compute()
        np.testing.assert_array_equal(rest["time"], whole["time"][at:])
        equal(rest.drop_vars(["steps"]), whole.isel(path=slice(at, None)).drop_vars(["steps"]))
    with pytest.raises(mm.ArgumentError, match=r"was 0 at time 1; leave start out"):
        mm.trace(ds, middle, **{**run, "evolve": mm.tracing.Evolution(start=2.0)})


def test_snapshots_are_read_once_and_not_before():
    import dask.array as da

    ds, reads = changing(), []

    def read(block, block_info):
        reads.append(block_info[0]["array-location"][0][0])
        return block

    noted = ds.chunk(time=1).map(lambda a: a.copy(data=da.map_blocks(read, a.data, dtype=a.dtype, meta=a.data._meta)))
    p = mm.particles.isotropic(300, gyroradius=[1.0, 2.0], seed=1, field=ds.isel(time=0), reference_field=1.0)
    tr = mm.trace(noted, p, step=0.5, distance=8.0, save=3, evolve=True, light_speed=1.0)
    assert reads == []
    tr[["x", "mu"]].compute(scheduler="threads")
    assert sorted(reads) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    reads.clear()
    late = mm.trace(noted, p, step=0.5, distance=2.0, save=3, evolve=mm.tracing.Evolution(start=5.7), light_speed=1.0)
    late["x"].compute()
    assert sorted(reads) == [2, 2, 2, 3, 3, 3]


def test_uniform_field_turns_by_its_integral_and_step_errors_are_of_second_order():
    ds = on_grid({"Bx": zero, "By": zero, "Bz": lambda t, *_: 1 + t**2}, np.linspace(0, 4, 5))
    p = one(v=(1.0, 0.0, 0.0), gyroradius=2.0, reference_field=1.5)
    turned = np.trapezoid(ds["Bz"].values[:, 0, 0, 0], ds["time"].values) / 3.0
    errors = []
    for step in (0.02, 0.01):
        tr = mm.trace(ds, p, step=step, distance=4.0, save=[4.0], evolve=True, light_speed=1.0).compute()
        phase = np.arctan2(-tr["vy"].item(), tr["vx"].item())
        errors.append(abs((phase - turned + np.pi) % (2 * np.pi) - np.pi))
    assert errors[1] < 5e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02)


def alfven(times, n=64, k=1, amplitude=0.5, speed=0.2):
    """A travelling circularly polarized Alfvén wave along x on n cells, with its velocity over that of light."""
    length = 8.0
    k = 2 * np.pi * k / length

    def wave(shape, factor=1.0):
        return lambda t, x, y, z: factor * amplitude * shape(k * (x - speed * t))

    functions = {
        "Bx": lambda *_: 1.0,
        "By": wave(np.cos),
        "Bz": wave(np.sin),
        "ux": zero,
        "uy": wave(np.cos, -speed),
        "uz": wave(np.sin, -speed),
    }
    return on_grid(functions, times, (1, 1, n), length / n)


def energy_in_frame(tr, beta_gamma, speed):
    return (energy(tr, beta_gamma) - speed * tr["momentum"] * tr["vx"]) / np.sqrt(1 - speed**2)


def test_an_alfven_wave_conserves_energy_in_its_frame_however_far_apart_snapshots_are():
    """E = -u × B of what lies between two snapshots vanishes in the frame of the wave as that of each does."""
    p = mm.particles.isotropic(
        20, gyroradius=0.7, seed=3, field=alfven([0.0, 1.0]).isel(time=0), reference_field=1.0, beta_gamma=0.8
    )
    run = {"distance": 12.0, "save": 24, "interpolation": "cubic", "electric": "ideal", "light_speed": 1.0}
    off = {}
    for snapshots, step in ((5, 0.04), (9, 0.04), (9, 0.02)):
        ds = alfven(np.linspace(0, 12, snapshots))
        tr = mm.trace(ds, p, step=step, evolve=True, **run).compute()
        own = energy_in_frame(tr, 0.8, 0.2)
        off[snapshots, step] = float(np.sqrt(((own - own.isel(path=0)) ** 2).mean()))
        assert float(abs(energy(tr, 0.8) - energy(tr, 0.8).isel(path=0)).max()) > 0.1
    assert off[5, 0.04] == pytest.approx(off[9, 0.04], rel=0.2)
    assert off[9, 0.04] < 1e-6
    assert 3 < off[9, 0.04] / off[9, 0.02] < 5


def betatron(rate, end):
    """A uniform field that grows linearly, with the electric field that it induces about the axis."""
    functions = {
        "Bx": zero, "By": zero, "Bz": lambda t, *_: 1 + rate * t,
        "Ex": lambda t, x, y, z: 0.5 * rate * y, "Ey": lambda t, x, y, z: -0.5 * rate * x, "Ez": zero,
    }  # fmt: skip
    return on_grid(functions, np.linspace(0, end, 4), (4, 8, 8), 1.0, "open", centred=True)


def test_a_betatron_conserves_canonical_angular_momentum_and_slowly_the_magnetic_moment():
    ds = betatron(rate=0.01, end=100.0)
    p = one(x=0.4, y=-0.3, v=(0.6, 0.8, 0.0), gyroradius=1.2, reference_field=1.0, beta_gamma=0.5)
    run = {"distance": 100.0, "save": 50, "evolve": True, "electric": "stored", "light_speed": 1.0}
    off = []
    for step in (0.1, 0.05):
        tr = mm.trace(ds, p, step=step, **run).compute().squeeze()
        field = 1 + 0.01 * tr["time"]
        angular = tr["momentum"] * (tr["x"] * tr["vy"] - tr["y"] * tr["vx"])
        canonical = angular + field * (tr["x"] ** 2 + tr["y"] ** 2) / (2 * 1.2)
        off.append(float(np.abs(canonical - canonical[0]).max()))
        moment = tr["momentum"] ** 2 / field
        assert float(np.abs(moment - 1).max()) < 0.05
    assert tr["momentum"][-1] == pytest.approx(2**0.5, rel=0.03)
    assert off[1] < 1e-3
    assert off[0] / off[1] == pytest.approx(4, rel=0.1)


def test_slow_compression_conserves_the_magnetic_moment_of_every_particle():
    ds = betatron(rate=0.002, end=500.0)
    p = mm.particles.from_arrays(
        **dict(zip(("x", "y", "z"), np.full((3, 9), 0.1), strict=True)),
        **dict(zip(("vx", "vy", "vz"), _fan(9), strict=True)), gyroradius=0.2, reference_field=1.0, beta_gamma=2.0,
    )  # fmt: skip
    tr = mm.trace(
        ds.assign_attrs(boundary_z="periodic"), p, step=0.02, distance=500.0, save=10, evolve=True, pusher="vay",
        light_speed=1.0,
    ).compute()  # fmt: skip
    across = tr["momentum"] ** 2 * (1 - tr["vz"] ** 2) / (1 + 0.002 * tr["time"])
    assert float(np.abs(across / across.isel(path=0) - 1).max()) < 0.004
    along = tr["momentum"] * tr["vz"]
    np.testing.assert_allclose(along, along.isel(path=0).broadcast_like(along), atol=1e-12)


def _fan(n):
    angle = np.linspace(0.2, np.pi - 0.2, n)
    return np.stack([np.sin(angle), np.zeros(n), np.cos(angle)])


def test_plasma_takes_its_particles_along():
    u = np.array([0.3, -0.1, 0.0])
    functions = {f"B{d}": (lambda t, *_, b=b: b) for d, b in zip("xyz", (0.0, 0.0, 2.0), strict=True)}
    functions |= {f"u{d}": (lambda t, *_, v=v: v) for d, v in zip("xyz", u, strict=True)}
    speed = np.linalg.norm(u)
    p = one(v=u / speed, gyroradius=0.5, reference_field=2.0, beta_gamma=speed / np.sqrt(1 - speed**2), charge_sign=-1)
    for evolve in (True, False):
        ds = on_grid(functions, [0.0, 20.0])
        tr = mm.trace(
            ds if evolve else ds.isel(time=0), p, step=0.05, distance=20.0, save=4, electric="ideal", pusher="vay",
            evolve=evolve, light_speed=1.0,
        ).compute().squeeze()  # fmt: skip
        np.testing.assert_allclose(tr["momentum"], 1.0, atol=1e-12)  # at rest in the frame of the plasma
        np.testing.assert_allclose(tr["x"], u[0] * tr["path"], atol=1e-11)
        np.testing.assert_allclose(tr["y"], u[1] * tr["path"], atol=1e-11)
        assert ("time" in tr.coords) == evolve


def test_energy_in_a_rotating_plasma_is_that_of_its_potential():
    omega, field = 0.05, 1.5
    functions = {
        "Bx": zero, "By": zero, "Bz": lambda *_: field,
        "ux": lambda t, x, y, z: -omega * y, "uy": lambda t, x, y, z: omega * x, "uz": zero,
    }  # fmt: skip
    ds = on_grid(functions, [0.0, 30.0], (4, 16, 16), 1.0, "open", centred=True)
    p = one(x=2.0, y=1.0, v=(0.0, 1.0, 0.0), gyroradius=1.0, reference_field=1.5, beta_gamma=0.7)
    off = []
    for step in (0.04, 0.02):
        tr = mm.trace(
            ds, p, step=step, distance=30.0, save=60, evolve=True, electric="ideal", light_speed=1.0
        ).compute().squeeze()  # fmt: skip
        # E = -u × B is radial, -omega B r, of the potential omega B r² / 2
        potential = omega * field * (tr["x"] ** 2 + tr["y"] ** 2) / 2 / 1.5
        total = energy(tr, 0.7) + potential
        off.append(float(np.abs(total - total[0]).max()))
    assert float(potential.max() - potential.min()) > 0.05
    assert off[1] < 1e-4
    assert off[0] / off[1] == pytest.approx(4, rel=0.1)


def test_transport_reads_what_has_evolved():
    ds = changing()
    p = mm.particles.isotropic(
        60, gyroradius=[1.0, 2.0], seed=1, field=ds.isel(time=0), reference_field=1.0, beta_gamma=2.0
    )
    tr = mm.trace(ds, p, step=0.1, distance=8.0, save=8, evolve=True, electric="ideal", light_speed=1.0).compute()
    found = mm.transport.momentum_diffusion(tr, edges=[0.01, 100.0])
    change = tr["momentum"].diff("path")
    np.testing.assert_allclose(found["D_pp"].isel(p=0), (change**2).mean(["particle", "path"]) / 2, rtol=1e-12)
    np.testing.assert_allclose(found["drift"].isel(p=0), change.mean(["particle", "path"]), rtol=1e-12)
    kappa = mm.transport.running_diffusion(tr)
    np.testing.assert_array_equal(kappa["kappa"], mm.transport.running_diffusion(tr.drop_vars("time"))["kappa"])
    np.testing.assert_allclose(tr["own_path"].isel(path=-1), tr["speed"].mean("path") * 8.0, rtol=0.1)


def test_beyond_a_series():
    ds = changing()
    p = mm.particles.isotropic(5, gyroradius=[1.0, 2.0], seed=1, field=ds.isel(time=0), reference_field=1.0)
    run = {"step": 0.1, "save": [2.0, 6.0, 10.0], "distance": 10.0, "light_speed": 1.0}
    with pytest.raises(mm.ArgumentError, match=r"ends at time 11, after the last snapshot at 9: .*distance=8"):
        mm.trace(ds, p, **run, evolve=True)
    early = mm.tracing.Evolution(start=-2.0)
    with pytest.raises(mm.ArgumentError, match=r"starts at time -2, before the first snapshot at 1"):
        mm.trace(ds, p, **run, evolve=early)
    stopped = mm.trace(ds, p, **run, evolve=mm.tracing.Evolution(beyond="stop"))
    assert stopped["path"].values.tolist() == [2.0, 6.0]
    with pytest.raises(mm.ArgumentError, match="no saved point lies before"):
        mm.trace(ds, p, **{**run, "save": [9.0]}, evolve=mm.tracing.Evolution(beyond="stop"))
    held = mm.trace(ds, p, **run, evolve=mm.tracing.Evolution(start=-2.0, beyond="hold")).compute()
    # up to the first snapshot, at path 3, the field is that one
    first = mm.trace(ds.isel(time=0), p, **{k: v for k, v in run.items() if k != "light_speed"} | {"save": [2.0, 3.0]})
    equal(held.isel(path=[0]), first.isel(path=[0]).compute())
    # beyond the last it is the last: particles go on from there as through it alone
    late = mm.trace(ds, p, **{**run, "save": [8.0, 10.0]}, evolve=mm.tracing.Evolution(beyond="hold")).compute()
    on = mm.particles.from_trajectories(late, at=0)
    alone = mm.trace(ds.isel(time=-1), on, step=0.1, distance=10.0, save=[8.0, 10.0])
    equal(late.isel(path=[1]), alone.isel(path=[1]).compute())


def test_times_of_particles_that_are_not_as_fast():
    ds = changing()
    p = mm.particles.isotropic(
        3, gyroradius=[1.0, 2.0], seed=1, field=ds.isel(time=0), reference_field=1.0, beta_gamma=[0.75, np.inf]
    )
    tr = mm.trace(ds, p, step=0.1, distance=4.0, save=2, evolve=True, light_speed=1.0)
    np.testing.assert_allclose(tr["time"], [[1.0, 1 + 2 / 0.6, 1 + 4 / 0.6], [1.0, 3.0, 5.0]])
    for g, radius in enumerate((1.0, 2.0)):  # each as if alone
        own = p.isel(gyroradius=[g])
        alone = mm.trace(ds, own, step=0.1, distance=4.0, save=2, evolve=True, light_speed=1.0)
        equal(alone.drop_vars("beta_gamma").compute(), tr.sel(gyroradius=[radius]).drop_vars("beta_gamma").compute())
    mixed = xr.concat([p.isel(gyroradius=0), p.isel(gyroradius=1).assign_coords(gyroradius=1.0)], "particle")
    with pytest.raises(mm.SnapshotError, match="different speeds, and reach a path at different times"):
        mm.trace(ds, mixed, step=0.1, distance=4.0, evolve=True, light_speed=1.0)


def test_units_say_what_the_time_of_a_path_is():
    ds = changing().assign_attrs(length_unit="1 pc", time_unit="1 kyr", velocity_unit="1000 km / s")
    p = mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=ds.isel(time=0), reference_field=1.0, beta_gamma=9.0)
    run = {"step": 0.1, "distance": 2.0, "save": 2, "evolve": True, "electric": "ideal", "local_field": True}
    tr = mm.trace(ds, p, **run)
    np.testing.assert_allclose(tr["time"], 1 + np.array([0.0, 1.0, 2.0]) * 3.261563777e-3, rtol=1e-9)
    assert tr.attrs["start_time"] == 1.0
    assert tr.attrs["electric"] == "ideal"
    from astropy import units as u

    later = mm.trace(ds, p, **{**run, "evolve": mm.tracing.Evolution(start=2000 * u.yr)})
    assert later["time"][0] == pytest.approx(2.0)
    plain = mm.trace(changing(), p.drop_attrs(), **run, light_speed=299.792458).compute()
    bare = changing().assign_attrs(velocity_unit="1000 km/s")
    slow = mm.trace(bare, p.drop_attrs(), **run, light_speed=299.792458).compute()
    np.testing.assert_allclose(plain["ex"], slow["ex"], rtol=1e-12)


def test_refusals():
    ds = changing()
    p = mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=ds.isel(time=0), reference_field=1.0)
    run = {"step": 0.1, "distance": 2.0, "evolve": True}
    with pytest.raises(mm.SnapshotError, match=r"length_unit and time_unit: give light_speed=.*assign_attrs"):
        mm.trace(ds, p, **run)
    run["light_speed"] = 1.0
    for message, field, options in (
        ("needs the times of a series", ds.isel(time=0), {}),
        ("not ascending", ds.isel(time=[1, 0]), {}),
        ("Ex, Ey, Ez", ds, {"electric": "stored"}),
        ("ux, uy, uz", ds.drop_vars(["ux", "uy", "uz"]), {"electric": "ideal"}),
        ("one of None, stored, ideal", ds, {"electric": "real"}),
        ("'nearest', 'linear' or 'cubic'", ds, {"interpolation": "spectral"}),
        ("block=4", ds, {"block": 4}),
        ("evolve=3", ds, {"evolve": 3}),
        ("has dims", ds.expand_dims("run"), {}),
    ):
        with pytest.raises(mm.MmfieldsError, match=message):
            mm.trace(field, p, **{**run, **options})
    with pytest.raises(mm.ArgumentError, match="beyond='wait'"):
        mm.tracing.Evolution(beyond="wait")
    with pytest.raises(mm.SnapshotError, match="unit of ux, which is not known"):
        mm.trace(ds.isel(time=0), p, step=0.1, distance=1.0, electric="ideal")
    bad = ds.copy(deep=True)
    bad["By"][2, 1, 3, 5] = np.nan
    with pytest.raises(mm.SnapshotError, match=r"By of snapshot 2 is not finite at \(z, y, x\) = \(1, 3, 5\)"):
        mm.trace(bad, p, **{**run, "distance": 6.0})["x"].compute()
    bad = ds.copy(deep=True)
    bad["ux"][1, 1, 3, 5] = np.inf
    for block in (None, 8):
        with pytest.raises(mm.SnapshotError, match=r"ux of snapshot 1 is not finite at \(z, y, x\) = \(1, 3, 5\)"):
            mm.trace(bad, p, **run, electric="ideal", block=block)["x"].compute()

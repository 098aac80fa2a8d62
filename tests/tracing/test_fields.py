"""Fields that are not cell-centred snapshots: plane waves, faces, Fourier series, electric fields; and exact laws."""

import dask
import numpy as np
import pytest
import xarray as xr
from small_fields import one, wavy

import mmfields as mm


def test_plane_waves_are_those_of_crpropa(shared):
    """Field values and trajectories of the reference's 1024 modes, in parsecs."""
    known = np.load(shared / "reference/crpropa_planewave.npz", allow_pickle=False)
    parsec, strength = 3.0856775814913673e16, 1e-10
    k = known["p1024_k"] * known["p1024_kappa"].T * parsec
    a = known["p1024_Ak"] * known["p1024_xi"].T
    columns = dict(zip(("kx", "ky", "kz", "ax", "ay", "az"), [*k, *a], strict=True))
    modes = xr.Dataset({n: ("mode", v) for n, v in {**columns, "phase": known["p1024_beta"]}.items()})
    waves = mm.turbulence.PlaneWaves(modes, error=0.0)
    places = known["pos_m"] / parsec
    np.testing.assert_allclose(waves.at(*places.T), known["p1024_B_plain"], atol=1e-12 * strength)
    momentum = known["p1024_energy_J"] / (known["p1024_charge_C"] * 299792458.0)  # of p c / (q c) in T m
    p = mm.particles.from_arrays(
        **dict(zip("xyz", places[:64].T, strict=True)),
        **dict(zip(("vx", "vy", "vz"), known["dir0"].T, strict=True)),
        gyroradius=float(momentum / strength / parsec),
        reference_field=strength,
    )
    step = float(known["p1024_step_m"]) / parsec
    marks = known["marks"]
    tr = mm.trace(waves, p, step=step * (1 + 1e-9), distance=step * marks[-1], save=(step * marks).tolist()).compute()
    got = np.stack([tr[d] for d in "xyz"]).transpose(2, 1, 0)
    off = np.abs(got - known["p1024_trajpos_m_plain"] / parsec)
    assert off[0].max() < 1e-12 * np.abs(got).max()
    assert off[1].max() < 1e-11 * np.abs(got).max()
    # waves down to a fiftieth of the step: after 100 steps the reference's own two cosines are parsecs apart
    own = np.abs(known["p1024_trajpos_m_plain"] - known["p1024_trajpos_m_fastwaves"]) / parsec
    assert np.median(off[2].max(-1)) < 0.1 * np.median(own[2].max(-1))


@pytest.fixture(scope="module")
def waves():
    return mm.turbulence.plane_waves(64, k_min=0.5, k_max=8.0, seed=3, mean_field=(1.0, 0.0, 0.5))


def test_plane_waves_have_the_strength_and_no_divergence(waves):
    m = waves.modes
    dot = m.kx * m.ax + m.ky * m.ay + m.kz * m.az
    np.testing.assert_allclose(dot, 0, atol=1e-14)
    power = float((m.ax**2 + m.ay**2 + m.az**2).sum() / 2)
    assert power == pytest.approx(1, rel=1e-13)
    assert float(waves.strength("rms")) == pytest.approx(np.sqrt(1 + 1.25), rel=1e-13)
    rng = np.random.default_rng(0)
    values = waves.at(*(rng.random((3, 20000)) * 4000))
    np.testing.assert_allclose(values.mean(0), [1, 0, 0.5], atol=0.03)
    assert (values.var(0).sum()) == pytest.approx(1, rel=0.03)


def test_trace_through_plane_waves_follows_a_fine_grid(waves, no_compute):
    p = mm.particles.isotropic(40, gyroradius=[0.5, 2.0], seed=1, field=waves, reference_field="mean")
    options = {"step": 0.02, "distance": 4.0, "save": 4}
    tr = mm.trace(waves, p, **options, particles_per_task=16)
    with dask.config.set(scheduler="threads"):
        tr = tr.compute()
        other = mm.trace(waves, p, **options, particles_per_task=7).compute()
    xr.testing.assert_identical(tr, other)
    assert float(tr.B_rms) == pytest.approx(1.5, rel=1e-12)
    # the steps written out, for one of them
    x, v = (np.array([float(p[f"{q}{d}"][0, 5]) for d in "xyz"]) for q in ("", "v"))
    for _ in range(200):
        x = x + 0.01 * v
        t = waves.at(*x) * 0.01 / (0.5 * float(p.reference_field))
        turn = v + np.cross(v, t)
        v = v + 2 / (1 + t @ t) * np.cross(turn, t)
        x = x + 0.01 * v
    np.testing.assert_allclose([float(tr[d][0, 5, -1]) for d in "xyz"], x, atol=1e-10)


def test_plane_waves_refuse_nonsense(waves):
    for bad, message in (
        ({"modes": 1}, "from 2"),
        ({"k_min": 9.0}, "ascending"),
        ({"rms": 0.0}, "rms=0.0"),
    ):
        with pytest.raises(mm.ArgumentError, match=message):
            mm.turbulence.plane_waves(**{"modes": 8, "k_min": 1.0, "k_max": 5.0, "seed": 1, **bad})
    with pytest.raises(mm.SnapshotError, match="a Dataset with kx"):
        mm.turbulence.PlaneWaves(waves.modes.drop_vars("az"))
    p = mm.particles.isotropic(2, gyroradius=1.0, seed=1, field=waves)
    with pytest.raises(mm.ArgumentError, match="no electric field"):
        mm.trace(waves, p, step=0.1, distance=1.0, pusher="vay")
    patchy = mm.scattering.patchy(mm.scattering.small_angle(nu=1.0), mask="m")
    with pytest.raises(mm.ArgumentError, match="no cells"):
        mm.trace(waves, p, step=0.1, distance=1.0, scattering=patchy)


def test_faces_of_a_real_file(shared):
    """Between the faces of the stored field: |B| where they say, and no divergence within a cell."""
    path = shared / "data/athena_mhd/TurbMHD.out3.00010.athdf"
    ds = mm.open_snapshot(path, staggered=True, boundary="periodic").load()
    width = float(ds.x[1] - ds.x[0])
    low = {d: float(ds[d][0]) - width / 2 for d in "xyz"}
    rng = np.random.default_rng(4)
    index, inside = rng.integers(0, 64, (50, 3)), rng.random((50, 3))
    places = [low[d] + (index[:, i] + inside[:, i]) * width for i, d in enumerate("xyz")]
    p = mm.particles.from_arrays(
        **dict(zip("xyz", places, strict=True)), vx=np.ones(50), vy=np.zeros(50), vz=np.zeros(50),
        gyroradius=1e9, reference_field=1.0
    )  # fmt: skip
    tr = mm.trace(ds, p, step=1e-9, distance=1e-9, save=1, interpolation="faces").compute()
    i, j, k = index.T
    want = []
    for axis, d in enumerate("xyz"):
        faces = ds[f"B{d}_f"].transpose(
            "z_f" if d == "z" else "z", "y_f" if d == "y" else "y", "x_f" if d == "x" else "x"
        )
        upper = [k, j, i]
        upper[2 - axis] = (upper[2 - axis] + 1) % 64
        f = inside[:, axis]
        want.append((1 - f) * faces.values[k, j, i] + f * faces.values[tuple(upper)])
    np.testing.assert_allclose(tr.B[:, 0], np.linalg.norm(want, axis=0), rtol=1e-5)
    spread = sum(ds[f"B{d}_f"].values - np.roll(ds[f"B{d}_f"].values, -1, 2 - "xyz".index(d)) for d in "xyz")
    assert np.abs(spread).max() < 1e-5  # the faces close, so the field between them has no divergence
    with pytest.raises(mm.SnapshotError, match="needs Bx_f"):
        mm.trace(ds.drop_vars("Bx_f"), p, step=1.0, distance=1.0, interpolation="faces")


def with_electric(drift=0.0, n=4, **units):
    shape = (n, n, n)
    zero = np.zeros(shape)
    ds = mm.io.from_arrays(
        Bx=zero, By=zero, Bz=zero + 1, Ex=zero, Ey=zero + drift, Ez=zero, spacing=dict.fromkeys("zyx", 1.0),
        dims=("z", "y", "x")
    )  # fmt: skip
    for letter, unit in units.items():
        for d in "xyz":
            ds[f"{letter}{d}"].attrs["units"] = unit
    return ds


def test_electric_fields_drift_particles_and_energy_is_saved(no_compute):
    """E×B drift at E/B, with energies that oscillate and come back."""
    ds = with_electric(0.1).chunk()
    p = one(v=(0, 0, 1.0), gyroradius=1.0, reference_field=1.0, beta_gamma=0.05)
    turn = 2 * np.pi * np.sqrt(1 + 1 / 0.05**2)  # light's path of a gyration
    for pusher in ("boris", "higuera-cary", "vay"):
        tr = mm.trace(ds, p, step=turn / 200, distance=20 * turn, save=200, pusher=pusher, light_speed=1.0)
        with dask.config.set(scheduler="synchronous"):
            tr = tr.compute()
        drift = float(tr.x[0, -1]) / float(tr.path[-1])
        assert drift == pytest.approx(0.1, rel=0.02)
        assert tr.path.attrs["long_name"] == "light's path c t"
        kinetic = tr.energy[0].values
        assert kinetic.max() > 10  # from 0.05 c to nearly 0.2 c and back
        # the work of the electric field
        gain = 0.1 * (tr.y[0] - tr.y[0, 0]).values
        start = 1 / (np.sqrt(1 / 0.05**2 + 1) + 1 / 0.05)  # in p_0 c
        np.testing.assert_allclose((kinetic - 1) * start, gain, atol=2e-3 * gain.max())


def test_electric_runs_are_cut_and_continued_to_the_bit_and_scale_with_units():
    pusher = {"pusher": "higuera-cary"}
    ds = with_electric(0.2)
    ds = ds.assign(Bz=ds.Bz + 0.1 * np.sin(2 * np.pi * ds.x / 4))
    p = mm.particles.isotropic(40, gyroradius=[0.5, 1.0], seed=1, field=ds, beta_gamma=[0.5, 1.0], charge_sign=-1)
    options = {"step": 0.05, "save": [1.0, 2.0, 4.0], "distance": 4.0, "light_speed": 1.0, **pusher}
    whole = mm.trace(ds, p, **options).compute()
    cut = mm.particles.from_trajectories(whole.isel(path=slice(0, 2)))
    rest = mm.trace(ds, cut, **{**options, "save": [4.0]}).compute()
    for name in ("x", "y", "vz", "momentum", "energy", "mu"):
        np.testing.assert_array_equal(rest[name][..., 0], whole[name][..., 2])
    si = with_electric(0.2 * 299792458.0, E="V/m", B="T")
    si = si.assign(Bz=(si.Bz + 0.1 * np.sin(2 * np.pi * si.x / 4)).assign_attrs(units="T"))
    same = mm.trace(si, p, **{k: v for k, v in options.items() if k != "light_speed"}).compute()
    np.testing.assert_allclose(same.x, whole.x, atol=1e-9)
    with pytest.raises(mm.SnapshotError, match="give light_speed"):
        mm.trace(ds, p, **{k: v for k, v in options.items() if k != "light_speed"})
    with pytest.raises(mm.SnapshotError, match="Ex"):
        mm.trace(ds.drop_vars("Ex"), p, **options)
    assert whole.attrs["charge_sign"] == -1


def test_negative_particles_gyrate_the_other_way():
    ds = with_electric()
    options = {"step": 0.01, "distance": 1.0, "save": 1}
    up, down = (
        mm.trace(ds, one(gyroradius=1.0, reference_field=1.0, charge_sign=s), **options).compute() for s in (1, -1)
    )
    assert float(up.y[0, -1]) == pytest.approx(-float(down.y[0, -1]), rel=1e-12)
    assert float(up.y[0, -1]) < -0.4


def test_speed_is_conserved_over_a_million_steps():
    ds, _ = wavy(8)
    p = mm.particles.isotropic(32, gyroradius=2.0, seed=1, field=ds)
    tr = mm.trace(ds, p, step=0.2, distance=2e5, save=1, interpolation="linear").compute()
    speed = np.sqrt(sum(tr[f"v{d}"].isel(path=-1) ** 2 for d in "xyz"))
    np.testing.assert_allclose(speed, 1, atol=1e-12)


def test_a_gradient_of_the_field_makes_particles_drift():
    """Grad-B drift r_g v_perp / (2 L) across field and gradient; r_g / L = 0.01."""
    n, length = 64, 100.0
    x = np.arange(n) + 0.5
    strength = np.broadcast_to(1 + (x - 32) / length, (2, 2, n)).copy()
    zero = np.zeros_like(strength)
    ds = mm.io.from_arrays(
        Bx=zero, By=zero, Bz=strength, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"),
        boundary={"x": "open"}
    )  # fmt: skip
    p = one(x=32.0, v=(0, 1.0, 0), gyroradius=1.0, reference_field=1.0)
    turns = 50
    tr = mm.trace(ds, p, step=2 * np.pi / 400, distance=turns * 2 * np.pi, save=100 * turns).compute()
    drift = np.polyfit(tr.path, tr.y[0], 1)[0]
    centre = 33.0  # y-ward velocity in B along z: the centre lies at +x by a gyroradius
    want = 0.5 / length / (1 + (centre - 32) / length) ** 2
    assert abs(drift) == pytest.approx(want, rel=0.01)


def test_a_magnetic_bottle_turns_particles_where_it_should():
    """B_z = B_0 (1 + z²/L²), B_r = -B_0 r z/L²: turning points L v_par/v_perp, and mu nearly constant."""
    length, half = 100.0, 64
    edge = np.arange(2 * half) - half + 0.5
    z, y, x = np.meshgrid(edge, np.arange(8) - 3.5, np.arange(8) - 3.5, indexing="ij")
    ds = mm.io.from_arrays(
        Bx=-x * z / length**2, By=-y * z / length**2, Bz=1 + z**2 / length**2, spacing=dict.fromkeys("zyx", 1.0),
        dims=("z", "y", "x"), boundary="open"
    )  # fmt: skip
    ds = ds.assign_coords(z=("z", edge), y=("y", y[0, :, 0]), x=("x", x[0, 0, :]))
    ratio = 0.4
    v_perp = 1 / np.sqrt(1 + ratio**2)
    p = one(x=0.0, y=0.8 * v_perp, v=(v_perp, 0, ratio * v_perp), gyroradius=0.8, reference_field=1.0)
    tr = mm.trace(ds, p, step=0.02, distance=2000.0, save=4000, interpolation="cubic").compute()
    assert float(tr.z.max()) == pytest.approx(length * ratio, rel=2e-3)
    assert float(tr.z.min()) == pytest.approx(-length * ratio, rel=2e-3)
    moment = (1 - tr.mu**2) / tr.B
    assert float(moment.std() / moment.mean()) < 0.01
    # bounces at v_perp / L
    crossings = np.flatnonzero(np.diff(np.sign(tr.z[0].values)) > 0)
    period = float(np.diff(tr.path.values[crossings]).mean())
    assert period == pytest.approx(2 * np.pi * length / v_perp, rel=0.01)


def test_the_mean_path_in_a_box_is_its_mean_chord():
    """Isotropic incidence: 4 V/S whatever the scattering (Blanco & Fournier), here 4/6 of a cube's side."""
    ds = mm.io.from_arrays(**{f"B{c}": np.zeros((2, 2, 2)) for c in "xyz"}, spacing=dict.fromkeys("xyz", 0.5),
                           boundary="open")  # fmt: skip
    n, rng = 5000, np.random.default_rng(6)
    u, v, phase, cosine = rng.random(n), rng.random(n), 2 * np.pi * rng.random(n), np.sqrt(rng.random(n))
    sine = np.sqrt(1 - cosine**2)
    for nu in (0.0, 6.0):
        p = mm.particles.from_arrays(
            x=np.zeros(n), y=u, z=v, vx=cosine, vy=sine * np.cos(phase), vz=sine * np.sin(phase),
            gyroradius=1e9, reference_field=1.0
        )  # fmt: skip
        scattering = mm.scattering.small_angle(nu=nu) if nu else None
        path = np.linspace(0, 10, 1001)[1:]
        tr = mm.trace(
            ds, p, step=0.01, distance=10.0, save=path, scattering=scattering, particles_per_task=1000
        ).compute()
        inside = tr.alive.sum("path") * 0.01 + 0.005
        assert float(inside.mean()) == pytest.approx(2 / 3, abs=4 * float(inside.std()) / n**0.5 + 0.003)


@pytest.mark.parametrize("kind", ["nearest", "linear", "cubic"])
def test_what_cannot_be_traced_is_refused(kind):
    """Positions, steps and forces out of all proportion: one clear error, and no memory but the field's is read."""
    fields = {f"B{c}": np.random.default_rng(0).normal(size=(7, 7, 7)) for c in "xyz"}
    fields |= {f"E{c}": np.ones((7, 7, 7)) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0))
    p = mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=ds, reference_field=1.0)
    options = {"step": 0.1, "distance": 1.0, "save": 1, "interpolation": kind}
    far, none = p.assign(x=p.x + 1e16), p.assign(x=p.x * np.nan)
    tiny = mm.particles.isotropic(2, gyroradius=1e-200, seed=1, field=ds, reference_field=1.0)
    for particles, more, message in (
        (far, {}, "length unit"),
        (none, {}, "finite numbers"),
        (p, {"step": 1e17, "distance": 1e20}, "length unit"),
        (tiny, {}, "1e[+]199 gyroradii"),
        (p, {"pusher": "higuera-cary", "light_speed": 1e-200}, "not finite"),
    ):
        with pytest.raises(mm.MmfieldsError, match=message):
            mm.trace(ds, particles, **{**options, **more}).x.compute()
    walled = ds.assign_attrs(boundary_y="reflecting")
    with pytest.raises(mm.SnapshotError, match="outside the walls"):
        mm.trace(walled, p.assign(y=p.y + 7), **options).x.compute()
    with pytest.raises(mm.SnapshotError, match="longer than the box"):
        wide = mm.particles.isotropic(3, gyroradius=30.0, seed=1, field=ds, reference_field=1.0)
        mm.trace(walled, wide, **{**options, "step": 20.0, "distance": 40.0}).x.compute()


def test_a_particle_that_an_electric_field_stops_turns_round():
    ds = with_electric()
    ds = ds.assign(Ez=ds.Ez - 0.5)
    p = one(v=(0, 0, 1.0), gyroradius=0.1, reference_field=1.0, beta_gamma=1.0)
    tr = mm.trace(
        ds, p, step=0.1, step_unit="local", distance=1.0, save=5, pusher="boris", light_speed=1.0
    ).compute()  # fmt: skip
    np.testing.assert_allclose(tr.momentum[0], [1, 0, 1, 2, 3, 4], atol=1e-2)
    assert float(tr.vz[0, -1]) == -1


def test_particles_keep_what_an_electric_field_needs():
    ds = with_electric(0.1)
    p = mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=ds, beta_gamma=0.1)
    plain = mm.trace(ds, p, step=0.1, distance=1.0, save=2).compute()
    assert float(mm.particles.from_trajectories(plain).beta_gamma) == 0.1
    pushed = mm.trace(ds, p, step=0.1, distance=1.0, save=2, pusher="vay", light_speed=1.0).compute()
    with pytest.raises(mm.ArgumentError, match="give pusher"):
        mm.trace(ds, mm.particles.from_trajectories(pushed), step=0.1, distance=2.0)
    with pytest.raises(mm.ArgumentError, match="beta_gamma='a'"):
        mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=ds, beta_gamma="a")
    with pytest.raises(mm.ArgumentError, match="charge_sign"):
        mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=ds, charge_sign=np.array([1, -1]))


def test_steps_of_the_stopped_are_not_counted():
    ds = with_electric().assign_attrs(boundary_x="open")
    p = one(x=2.0, gyroradius=1e6, reference_field=1.0)
    scattering = mm.scattering.small_angle(nu=1e-9)
    tr = mm.trace(ds, p, step=0.1, distance=6.0, save=3, scattering=scattering).compute()
    assert tr.alive[0].values.tolist() == [True, True, False, False]
    assert tr.steps[0].values.tolist()[0] == 0 and 20 <= tr.steps[0].values[2] <= 21
    assert tr.steps[0].values[3] == tr.steps[0].values[2]


@pytest.mark.parametrize("name", ["trilinear", "nearest"])
def test_crpropa_interpolation(shared, name):
    """Field values of CRPropa's periodic grid at 810 positions, off-centre, far outside, and exactly on samples."""
    ref = np.load(shared / "reference/crpropa_interpolation.npz", allow_pickle=False)
    grid, want = ref["B_grid"], ref[f"B_{name}_periodic" + ("_f64" if name == "trilinear" else "")]
    fields = {f"B{c}": (("x", "y", "z"), grid[..., i]) for i, c in enumerate("xyz")}
    centres = {
        d: ref["origin_m"][i] + (np.arange(grid.shape[i]) + 0.5) * ref["spacing_m"][i] for i, d in enumerate("xyz")
    }
    ds = xr.Dataset(fields, centres, {f"boundary_{d}": "periodic" for d in "xyz"})
    position = ref["pos_m"]
    start = {d: position[:, i] for i, d in enumerate("xyz")} | {"vx": 1.0 + 0 * position[:, 0]}
    p = mm.particles.from_arrays(
        **start, vy=0 * start["x"], vz=0 * start["x"], gyroradius=1.0, reference_field=1.0, seed=0
    )
    kind = {"trilinear": "linear"}.get(name, name)
    tr = mm.trace(ds, p, step=1.0, distance=1.0, save=[0.0], interpolation=kind)
    want_b = np.linalg.norm(want, axis=1)
    np.testing.assert_allclose(tr.B.isel(path=0), want_b, rtol=1e-7 if name == "nearest" else 1e-12)
    along = want[:, 0] / want_b
    np.testing.assert_allclose(tr.mu.isel(path=0), along, atol=1e-7 if name == "nearest" else 1e-12)


def test_order_of_dims_does_not_matter(turbulent):
    p = mm.particles.isotropic(5, gyroradius=1.0, seed=2, field=turbulent)
    options = {"step": 0.1, "distance": 5.0, "save": 3}
    want = mm.trace(turbulent, p, **options).compute()
    got = mm.trace(turbulent.transpose("x", "z", "y"), p, **options).compute()
    np.testing.assert_array_equal(got.y, want.y)


@pytest.mark.parametrize("dims", [("x",), ("z", "x")])
def test_ignorable_axes(dims):
    rng = np.random.default_rng(2)
    shape = (6, 5)[: len(dims)]
    fields = {f"B{c}": rng.normal(size=shape) + 1 for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys(dims, 0.5), dims=dims)
    full = ds.expand_dims({d: 3 for d in "xyz" if d not in dims})
    full = full.assign_coords({d: (d, np.arange(3) + 0.5) for d in "xyz" if d not in dims})
    full = full.assign_attrs({f"boundary_{d}": "periodic" for d in "xyz"})
    p = mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=ds)
    got = mm.trace(ds, p, step=0.1, distance=10.0, save=3).compute()
    want = mm.trace(full, p, step=0.1, distance=10.0, save=3).compute()
    np.testing.assert_allclose(got.x, want.x, atol=1e-12)
    np.testing.assert_allclose(got.y, want.y, atol=1e-12)


def test_cubic_interpolation_is_closer_to_a_smooth_field():
    n = 12
    x = (np.arange(n) + 0.5) / n

    def wave(at):
        return 1.5 + np.sin(2 * np.pi * at)

    ds = mm.io.from_arrays(Bx=0 * x, By=0 * x, Bz=wave(x), spacing={"x": 1 / n}, dims=("x",))
    places = np.linspace(-1, 2, 50)
    p = mm.particles.from_arrays(
        x=places,
        y=0 * places,
        z=0 * places,
        vx=0 * places,
        vy=0 * places,
        vz=1 + 0 * places,
        gyroradius=1.0,
        reference_field=1.0,
    )
    errors = {}
    for kind in ("nearest", "linear", "cubic"):
        b = mm.trace(ds, p, step=1.0, distance=1.0, save=[0.0], interpolation=kind).B.isel(path=0)
        errors[kind] = float(np.abs(b - wave(places)).max())
    assert errors["cubic"] < 2e-3 < 20e-3 < errors["linear"] < errors["nearest"]

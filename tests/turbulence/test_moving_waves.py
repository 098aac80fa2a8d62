"""Plane waves that move, and the plasma in them."""

import numpy as np
import pytest
import xarray as xr

import mmfields as mm

SPEED = 0.1


def alfvenic(modes=12, **options):
    given = {"k_min": 0.5, "k_max": 3.0, "mean_field": (0.3, -0.4, 1.2), "rms": 0.4, "seed": 3}
    given |= {"frequency": "alfven", "alfven_speed": SPEED}
    return mm.turbulence.plane_waves(modes, **{**given, **options})


def vectors(modes, letter):
    return np.stack([modes[f"{letter}{d}"] for d in "xyz"], axis=1)


@pytest.mark.parametrize("frequency", ["alfven", lambda kx, ky, kz: 0.2 * kz * np.sqrt(1 + kx**2 + ky**2)])
def test_every_wave_obeys_the_law_of_faraday(frequency):
    waves = alfvenic(frequency=frequency, alfven_speed=SPEED if frequency == "alfven" else None, mean_field=(0, 0, 2.0))
    k, a, u = (vectors(waves.modes, letter) for letter in "kau")
    omega = waves.modes["omega"].values
    np.testing.assert_allclose(np.cross(k, -np.cross(u, (0, 0, 2.0))), omega[:, None] * a, atol=1e-14)
    if frequency == "alfven":
        np.testing.assert_allclose(omega, SPEED * abs(k[:, 2]))
        np.testing.assert_allclose(np.linalg.norm(u, axis=1), SPEED / 2.0 * np.linalg.norm(a, axis=1))
    else:
        np.testing.assert_allclose(omega, frequency(*k.T))


def ensemble(waves, n=20, **options):
    return mm.particles.isotropic(n, gyroradius=[0.5, 2.0], seed=1, field=waves, reference_field=1.0, **options)


def test_particles_meet_the_waves_where_they_are_then():
    waves = alfvenic()
    p = ensemble(waves, beta_gamma=1.5)
    run = {"step": 0.05, "electric": "ideal", "local_field": True, "distance": 9.0, "save": 3}
    tr = mm.trace(waves, p, evolve=mm.tracing.Evolution(start=4.0), **run).compute()
    still = mm.trace(waves, p, **run).compute()
    for orbits, shift in ((tr, 1.0), (still, 0.0)):
        for i, path in enumerate(orbits["path"].values):
            time = (4.0 + path) * shift
            at = orbits.isel(path=i)
            places = [at[d] for d in "xyz"]
            b, u = waves.at_time(time).at(*places), waves.flow(time).at(*places)
            np.testing.assert_allclose(at["B"], np.linalg.norm(b, axis=-1), rtol=1e-11)
            np.testing.assert_allclose(np.stack([at[f"e{d}"] for d in "xyz"], -1), -np.cross(u, b), atol=1e-12)
    assert float(abs(tr["x"] - still["x"]).max()) > 1e-3


def test_magnetic_fields_alone_move_with_the_particles_own_time():
    waves = alfvenic()
    p = ensemble(waves, beta_gamma=[0.75, np.inf])
    tr = mm.trace(waves, p, step=0.05, distance=6.0, save=2, evolve=True).compute()
    for g, speed in enumerate((0.6, 1.0)):
        at = tr.isel(gyroradius=g, path=-1)
        b = waves.at_time(6.0 / speed).at(*(at[d] for d in "xyz"))
        np.testing.assert_allclose(at["B"], np.linalg.norm(b, axis=-1), rtol=1e-11)
    halfway = mm.particles.from_trajectories(tr, at=1)
    on = mm.trace(waves, halfway, step=0.05, distance=6.0, save=[6.0], evolve=True).compute()
    for name in ("x", "vy", "mu"):
        np.testing.assert_array_equal(on[name].isel(path=0), tr[name].isel(path=-1))
    rest = alfvenic(frequency=lambda kx, ky, kz: 0.0 * kx, alfven_speed=None)
    moved = mm.trace(rest, p, step=0.05, distance=6.0, save=2, evolve=True)
    still = mm.trace(rest, p, step=0.05, distance=6.0, save=2)
    np.testing.assert_allclose(moved["x"], still["x"], atol=1e-4)


def circular(amplitude=0.5, k=2 * np.pi / 8):
    """One circularly polarized wave along z."""
    waves = mm.turbulence.plane_waves(
        [k, 2 * k], geometry="slab", helicity=1.0, mean_field=(0, 0, 1.0), seed=2, frequency="alfven", alfven_speed=0.2
    )
    modes = waves.modes.isel(mode=np.abs(np.hypot(0, waves.modes["kz"].values)) < 1.5 * k)
    scale = amplitude / np.sqrt((vectors(modes, "a") ** 2).sum() / 2)
    scaled = {f"{letter}{d}": modes[f"{letter}{d}"] * scale for letter in "au" for d in "xyz"}
    return mm.turbulence.PlaneWaves(modes.assign(scaled), waves.mean_field)


def test_a_circular_wave_conserves_energy_in_its_frame():
    waves = circular()
    speed = 0.2 * np.sign(waves.modes["kz"].values[0])
    p = mm.particles.isotropic(30, gyroradius=0.7, seed=1, field=waves, reference_field=1.0, beta_gamma=0.8)
    off = []
    for step in (0.04, 0.02):
        tr = mm.trace(waves, p, step=step, distance=16.0, save=32, evolve=True, electric="ideal").compute()
        energy = np.hypot(tr["momentum"], 1 / 0.8)
        own = energy - speed * tr["momentum"] * tr["vz"]
        off.append(float(np.abs(own - own.isel(path=0)).max()))
    assert float(np.abs(energy - energy.isel(path=0)).max()) > 0.05
    assert off[1] < 1e-4
    assert off[0] / off[1] == pytest.approx(4, rel=0.1)


def test_a_series_of_them_is_traced_as_they_are_to_second_order_in_its_spacing():
    waves, h = circular(), 8.0 / 64
    axes = {"z": (np.arange(64) + 0.5) * h, "y": np.array([4.0, 12.0]), "x": np.array([4.0, 12.0])}
    p = mm.particles.isotropic(30, gyroradius=0.7, seed=1, field=waves, reference_field=1.0, beta_gamma=0.8)
    run = {"step": 0.04, "distance": 8.0, "save": 1, "evolve": True, "electric": "ideal"}
    exact = mm.trace(waves, p, **run).compute()
    off = []
    for snapshots in (9, 17):
        series = waves.to_series(axes, np.linspace(0.0, 8.0, snapshots))
        series = series.assign_attrs({f"boundary_{d}": "periodic" for d in "xyz"})
        tr = mm.trace(series, p, interpolation="cubic", light_speed=1.0, **run).compute()
        off.append(float(np.sqrt(((tr["z"] - exact["z"]).isel(path=-1) ** 2).mean())))
    assert off[0] / off[1] == pytest.approx(4, rel=0.25)
    assert off[1] < 0.02


def test_refusals():
    waves = alfvenic()
    for message, options in (
        ("needs alfven_speed", {"alfven_speed": None}),
        ("'alfven' or a function", {"frequency": "whistler"}),
        ("goes with frequency='alfven'", {"frequency": None}),
        ("needs a mean field", {"mean_field": (0, 0, 0)}),
        ("across the mean field", {"frequency": lambda *k: 1.0 + 0 * k[0], "alfven_speed": None, "geometry": "2d"}),
        ("one for each", {"frequency": lambda *k: [1.0], "alfven_speed": None}),
    ):
        with pytest.raises(mm.MmfieldsError, match=message):
            alfvenic(**options)
    p, run = ensemble(waves), {"step": 0.1, "distance": 1.0}
    with pytest.raises(mm.ArgumentError, match="need waves with frequencies"):
        mm.trace(waves.at_time(1.0), p, evolve=True, **run)
    with pytest.raises(mm.ArgumentError, match="stores none"):
        mm.trace(waves, p, electric="stored", **run)
    with pytest.raises(mm.SnapshotError, match="have no flow"):
        waves.at_time(1.0).flow()
    with pytest.raises(mm.SnapshotError, match="omega, ux, uy, uz along 'mode', or none"):
        mm.turbulence.PlaneWaves(waves.modes.drop_vars("ux"), waves.mean_field)
    assert isinstance(waves.modes, xr.Dataset)
    assert waves.moves
    assert not waves.at_time(0.0).moves

"""Pushers: what they keep, and their closed solutions."""

import numpy as np
import pytest
from kernel_runs import INTERPRETED, LANES, batch_of, on_batch, traced, uniform

from mmfields.kernels.push import boris
from mmfields.kernels.setup import Pusher


def test_boris_keeps_the_speed_and_the_field_component():
    b = batch_of(LANES, vx=0.6, vz=0.8, bz=0.7, turn=1.0)
    on_batch(boris, b)
    vx, vy, vz = b["vx"][0], b["vy"][0], b["vz"][0]
    assert (vx**2 + vy**2 + vz**2)[0] == pytest.approx(1, abs=1e-15)
    assert vz[3] == pytest.approx(0.8, abs=1e-15)
    assert np.arctan2(-vy, vx)[-1] == pytest.approx(2 * np.arctan(0.7), abs=1e-14)


@pytest.mark.parametrize("pusher", [Pusher.BORIS, Pusher.HIGUERA_CARY, Pusher.VAY])
def test_an_electric_field_along_the_motion_does_the_work_that_it_should(pusher):
    """In E alone p grows by q E t, and the kinetic energy by the work, whatever the mass."""
    e = np.broadcast_to([0.0, 0.0, 0.3], (2, 3, 4, 3)).copy()
    for mass in (0.0, 2.0, 50.0):
        out = traced(
            uniform((0, 0, 0)), (0, 0, 0), (0, 0, 1), 2.0, 0.05, 20, saves=5,
            electric=e, pusher=pusher, mass=mass
        )  # fmt: skip
        time = np.arange(1, 6)
        p = 1 + 0.3 * time / 2.0
        np.testing.assert_allclose(out.momentum, p, rtol=1e-13)
        kinetic = np.sqrt(mass**2 + p**2) - mass
        np.testing.assert_allclose(out.energy, kinetic / (np.sqrt(mass**2 + 1) - mass), rtol=1e-10)
        # the path in light's path: the integral of p/sqrt(m² + p²), second order in the step
        way = (np.sqrt(mass**2 + p**2) - np.sqrt(mass**2 + 1)) / 0.15
        np.testing.assert_allclose(out.z, way, rtol=1e-5)


@pytest.mark.parametrize("pusher", [Pusher.BORIS, Pusher.HIGUERA_CARY, Pusher.VAY])
def test_without_an_electric_field_momentum_stays_and_the_orbit_is_a_circle(pusher):
    count = 100 if INTERPRETED else 500
    still = uniform((0, 0, 0))
    out = traced(uniform(), (0, 0, 0), (1, 0, 0), 2.0, 0.05, count, electric=still, pusher=pusher, mass=3.0)
    assert out.momentum[0] == pytest.approx(1, abs=1e-13)
    speed = 1 / np.sqrt(10)
    centre = np.array([0.0, -2.0])  # gyroradius 2 whatever the mass
    assert np.hypot(*([out.x[0], out.y[0]] - centre)) == pytest.approx(2, rel=2e-4)
    angle = count * 2 * np.arctan(0.05 / (2 * 2.0) * speed)
    assert np.arctan2(out.vx[0], out.vy[0]) == pytest.approx(
        np.arctan2(np.cos(angle), -np.sin(angle)), abs=1e-3 if pusher == Pusher.VAY else 1e-4
    )


@pytest.mark.parametrize(("pusher", "exact"), [(Pusher.BORIS, False), (Pusher.HIGUERA_CARY, True), (Pusher.VAY, True)])
def test_where_electric_and_magnetic_forces_cancel_a_particle_flies_straight(pusher, exact):
    """A relativistic particle at the drift speed E/B: what Boris misses and the other two were made for."""
    drift = 0.8  # E along y = v_x B_z / c
    mass = 0.75  # p = 1 at v = 0.8
    e = np.broadcast_to([0.0, drift, 0.0], (2, 3, 4, 3)).copy()
    out = traced(uniform(), (0, 0, 0), (1, 0, 0), 1.0, 1.5, 40, electric=e, pusher=pusher, mass=mass)
    if exact:
        assert out.momentum[0] == pytest.approx(1, abs=1e-10)
        assert out.x[0] == pytest.approx(drift * 60, rel=1e-10)
        assert abs(out.y[0]) < 1e-8
    else:
        assert abs(out.y[0]) > 0.01


def test_drift_across_crossed_fields_is_e_over_b():
    """Slow particles, even in steps of 1.5 rad."""
    e = np.broadcast_to([0.0, 1e-4, 0.0], (2, 3, 4, 3)).copy()
    mass, count = 1000.0, 100 if INTERPRETED else 40000
    for pusher in (Pusher.BORIS, Pusher.HIGUERA_CARY, Pusher.VAY):
        step = 1.5 * mass  # Omega = 1 / (rigidity 1 x gamma mass)
        out = traced(
            uniform(), (0, 0, 0), (1, 0, 0), 1.0, step, count, electric=e, pusher=pusher, mass=mass
        )  # fmt: skip
        assert out.x[0] == pytest.approx(1e-4 * count * step, abs=2.5)  # two gyroradii at most
        assert abs(out.y[0]) < 2.5

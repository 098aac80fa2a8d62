"""Guiding centres: slopes of splines, the equations of motion against another form of them, orbits and back."""

import numpy as np
import pytest
from kernel_runs import batch_of, flat, on_batch, particles_of, plan_of, room, setup_of, values_at

from mmfields.kernels.batch import new_batch
from mmfields.kernels.centres import motion, parts_of, whole_of
from mmfields.kernels.setup import Interpolation, Wall
from mmfields.kernels.slopes import Place, place_of
from mmfields.kernels.trace import Fields
from mmfields.kernels.trace_centres import CENTRE, LIMITS, trace_centres

GRID = {"origin": (-1.0, 2.0, 0.5), "width": (1.0, 0.5, 2.0), "kind": Interpolation.CUBIC}


@pytest.mark.parametrize("walls", [(Wall.PERIODIC,) * 3, (Wall.OPEN, Wall.PERIODIC, Wall.OPEN)])
@pytest.mark.parametrize("shape", [(6, 5, 7), (1, 3, 8)])
def test_slopes_are_those_of_the_values(walls, shape):
    rng = np.random.default_rng(3)
    field, flow = rng.normal(size=(2, *shape, 3))
    options = {**GRID, "walls": walls}
    setup = setup_of(shape, **options)
    size = np.array(GRID["width"]) * shape[::-1]
    h, e = 1e-5, np.eye(3)
    for x in np.array(GRID["origin"]) + rng.uniform(0.01, 0.99, (4, 3)) * size:
        batch = batch_of(1, position=x[:, None])
        found = on_batch(place_of, batch, setup[0], Fields(flat(field), flat(flow), None, None), True)
        around = [x, *(x + h * e[i] for i in range(3)), *(x - h * e[i] for i in range(3))]
        b, u = (values_at(f, around, **options) for f in (field, flow))
        e_ideal = -np.cross(u, b)
        for value, slopes, sampled in ((found.b, found.db, b), (found.e, found.de, e_ideal)):
            np.testing.assert_allclose(value, sampled[0], atol=1e-13)
            np.testing.assert_allclose(slopes, (sampled[1:4] - sampled[4:]) / (2 * h), atol=3e-9 / h * 1e-2)


def euler(x, drift):
    """B = ∇α × ∇β, and E = -∇Φ(α) across it, without a curl."""
    x, y, z = x
    first = np.array([1, 0.3 * np.cos(y + 0.4 * z), 0.12 * np.cos(y + 0.4 * z)])
    second = np.array([0.2 * np.cos(x + 0.5 * z), 1, 0.1 * np.cos(x + 0.5 * z)])
    return np.cross(first, second), -drift * np.cos(x + 0.3 * np.sin(y + 0.4 * z)) * first


def slopes(function, x, h=1e-3):
    """Derivatives (axis, ...) of what is a function of the position."""
    e = h * np.eye(3)
    return [
        (8 * (function(x + d) - function(x - d)) - (function(x + 2 * d) - function(x - 2 * d))) / (12 * h) for d in e
    ]


def place(x, drift):
    b, e = euler(x, drift)
    db, de = (slopes(lambda y, i=i: euler(y, drift)[i], x) for i in (0, 1))
    return Place(tuple(b), tuple(map(tuple, db)), tuple(e), tuple(map(tuple, de)))


def ripperda(x, drift, along, moment, mass, rigidity):
    """Eqs. 3 and 4 of Ripperda et al. (2018): velocity, and force along the field."""

    def of(y):
        b, e = euler(y, drift)
        strength = np.sqrt(b @ b)
        u = np.cross(e, b) / strength**2
        return {"n": b / strength, "u": u, "star": np.atleast_1d(strength * np.sqrt(1 - u @ u)), "B": strength, "e": e}

    here, d = of(x), {key: np.array(slopes(lambda y, key=key: of(y)[key], x)) for key in ("n", "u", "star")}
    n, u, room = here["n"], here["u"], 1 - here["u"] @ here["u"]
    gamma = np.sqrt((mass**2 + along**2 + 2 * moment * here["star"][0]) / room)
    v = along / gamma
    inertia = gamma * (v * v * n @ d["n"] + v * u @ d["n"] + v * n @ d["u"] + u @ d["u"])
    drifts = rigidity * inertia + rigidity * moment / gamma * d["star"][:, 0] + v * (here["e"] @ n) * u
    velocity = v * n + u + np.cross(n, drifts) / (here["B"] * room)
    force = gamma * u @ (v * n @ d["n"] + u @ d["n"]) - moment / gamma * n @ d["star"][:, 0]
    return velocity, force, n


def test_drifts_in_b_alone_are_those_of_ripperda_to_the_order_of_theirs():
    x, state, off = np.array([0.3, 0.2, 0.1]), (0.6, 0.3, 0.7), []
    for rigidity in (0.02, 0.01):
        wanted, force, n = ripperda(x, 0.0, *state, rigidity)
        found, own, _ = motion(place(x, 0.0), *state, rigidity)
        off.append([np.linalg.norm(np.cross(found - wanted, n)), abs(own - force)])
        assert abs((found - wanted) @ n) < 1e-12
    np.testing.assert_allclose(np.divide(off[0], off[1]), [4, 2], rtol=0.1)
    assert np.max(off[1]) < 3e-4


def test_drifts_with_inertia_are_those_of_ripperda_where_e_is_weak():
    """They differ by the square of the drift over c."""
    x, state, rigidity = np.array([0.3, 0.2, 0.1]), (0.6, 0.3, 0.7), 1e-3
    off = []
    for drift in (0.1, 0.05):
        wanted, force, n = ripperda(x, drift, *state, rigidity)
        still, _, _ = ripperda(x, drift, *state, 0.0)
        found, own, _ = motion(place(x, drift), *state, rigidity)
        off.append(np.linalg.norm(np.cross(found - wanted, n)) / np.linalg.norm(np.cross(wanted - still, n)))
        assert abs(own - force) < 1e-4 * abs(force)
    assert off[1] < 3e-3
    assert off[0] / off[1] > 3.5


def integrated(slope, start, length):
    from scipy.integrate import solve_ivp

    return solve_ivp(lambda t, y: slope(y), (0, length), start, method="DOP853", rtol=1e-9, atol=1e-11).y[:, -1]


def test_orbits_about_a_centre_in_a_strong_flow_stay_about_it():
    """The mean over gyrophases of where orbits end, at E × B of half the speed of light, in gyroradii."""
    drift, along, moment, mass, rigidity = 0.5, 0.6, 0.3, 0.7, 0.01
    x, ends = np.array([0.3, 0.2, 0.1]), []

    def force(y):
        b, e = euler(y[:3], drift)
        v = y[3:] / np.sqrt(mass**2 + y[3:] @ y[3:])
        return [*v, *((e + np.cross(v, b)) / rigidity)]

    for phase in np.arange(6) * np.pi / 3:
        p, way = whole_of(place(x, drift), along, moment, mass, rigidity, (np.sin(phase), np.cos(phase)))
        end = integrated(force, [*(x - way), *p], 0.5)
        centre = end[:3]
        for _ in range(3):
            centre = end[:3] + parts_of(place(centre, drift), tuple(end[3:]), mass, rigidity)[3]
        ends.append(centre)
    off = []
    for law in (lambda y: motion(place(y[:3], drift), y[3], moment, mass, rigidity),
                lambda y: ripperda(y[:3], drift, y[3], moment, mass, rigidity)):  # fmt: skip
        found = integrated(lambda y, law=law: [*law(y)[0], law(y)[1]], [*x, along], 0.5)[:3]
        off.append(np.linalg.norm(np.cross(found - np.mean(ends, 0), ripperda(found, drift, along, 0, 1, 0)[2])))
    assert off[0] < 0.003 * rigidity
    assert off[1] > 0.01 * rigidity  # without the squares of the drift over c


def test_drifts_in_closed_form():
    """E × B and the grad-B drift, p⊥² / (2 γ q B) of ∇B / B, where neither changes along the field."""
    none, mass, rigidity = (0.0, 0.0, 0.0), 0.8, 0.03
    slope = ((0.0, 0.0, 0.2), none, none)
    still = (none,) * 3
    v, force, energy = motion(Place((0.0, 0.0, 2.0), slope, none, still), 0.0, 0.25, mass, rigidity)
    assert energy == pytest.approx(np.sqrt(mass**2 + 2 * 0.25 * 2.0), rel=1e-15)
    np.testing.assert_allclose(v, (0.0, rigidity * (2 * 0.25 * 2.0) / (2 * energy * 2.0) * 0.2 / 2.0, 0.0), atol=1e-16)
    v, force, energy = motion(Place((0.0, 0.0, 2.0), still, (0.0, 1.2, 0.0), still), 0.5, 0.25, mass, rigidity)
    lorentz = 1 / np.sqrt(1 - 0.36)
    assert energy == pytest.approx(lorentz * np.sqrt(mass**2 + 0.25 + 2 * 0.25 * 2.0 / lorentz), rel=1e-14)
    np.testing.assert_allclose(v, (0.6, 0.0, 0.5 / energy), atol=1e-15)
    assert force == 0.0


@pytest.mark.parametrize("drift", [0.0, 0.4])
def test_a_centre_becomes_a_particle_and_again_itself(drift):
    here, off = place(np.array([0.3, 0.2, 0.1]), drift), []
    for rigidity in (0.02, 0.01):
        p, way = whole_of(here, 0.6, 0.3, 0.7, rigidity, (0.28, -0.96))
        _, moment, energy, back = parts_of(here, p, 0.7, rigidity)
        np.testing.assert_allclose(back, way, rtol=1e-9)
        wanted = motion(here, 0.6, 0.3, 0.7, rigidity)[2]
        assert energy == pytest.approx(wanted, rel=1e-13)
        if drift == 0:
            assert np.linalg.norm(p) == pytest.approx(np.sqrt(wanted**2 - 0.49), rel=1e-13)
        assert np.linalg.norm(way) < 2 * rigidity
        off.append(abs(moment / 0.3 - 1))
    assert off[0] < 1e-5
    assert off[0] / off[1] > 3.5


def followed(b, e, position, direction, rigidity, lengths, threshold=0.05, mass=0.0, step=0.2):
    """Saved points of particles through fields (z, y, x, 3) on cells of side 1, E or None."""
    fields = Fields(flat(b), None if e is None else flat(e), None, None)
    setup = setup_of(b.shape[:3], kind=Interpolation.CUBIC, pusher=e is not None, held=True)
    particles = particles_of(position, direction, rigidity, step, mass)
    particles["centred"], particles["key"] = -1, np.arange(len(particles)) + 7
    limits = np.zeros(1, LIMITS)
    limits["threshold"], limits["fraction"] = threshold, 0.1
    out = room((len(particles), len(lengths)), "always", "local", "driven", "centred")
    plan = plan_of(lengths, np.cumsum(lengths), np.full(len(lengths), -1))
    with np.errstate(over="ignore"):  # of random words, interpreted
        trace_centres(new_batch(), setup, limits, np.zeros(1, CENTRE), fields, particles, plan, out)
    return out


def test_a_uniform_field_moves_centres_by_the_drift_alone():
    b, e = np.zeros((2, 1, 1, 4, 3))
    b[..., 2], e[..., 1] = 1.0, 0.6
    out = followed(b, e, [[1.0, 0.0, 0.0]], [[0.6, 0.0, 0.8]], 0.01, [0.0, 1.0, 1.0], mass=1.0)
    assert out.centred["guiding_centre"].all()
    # seen from the drift frame
    gamma = 1.25 * (np.sqrt(2) - 0.6 * 0.6)
    v = 0.8 / (1.25 * gamma)
    x = np.array([out.always[d][0] for d in "xyz"])
    np.testing.assert_allclose(x[:, 1:] - x[:, :1], [[0.6, 1.2], [0, 0], [v, 2 * v]], atol=1e-14)
    np.testing.assert_allclose(out.local["momentum"], np.sqrt((1.25 * gamma) ** 2 - 1), rtol=1e-14)


def test_orbits_are_followed_where_the_field_is_steep():
    n = 16
    turn = 0.9 * np.sin(2 * np.pi * (np.arange(n) + 0.5) / n) ** 5
    b = np.zeros((n, 1, 1, 3))
    b[:, 0, 0, 0], b[:, 0, 0, 2] = turn, 1.0
    out = followed(b, None, [[0.0, 0.0, 0.5]], [[0.0, 0.6, 0.8]], 0.15, np.full(20, 0.5), threshold=0.04)
    guided = out.centred["guiding_centre"][0].astype(bool)
    assert guided[0] and not guided.all() and guided[-1]
    along, moment = out.centred["parallel_momentum"][0], out.centred["magnetic_moment"][0]
    energy = along**2 + 2 * moment * out.always["B"][0]
    np.testing.assert_allclose(energy[guided], 1.0, atol=1e-4)
    np.testing.assert_allclose(moment[guided], moment[0], rtol=0.03)

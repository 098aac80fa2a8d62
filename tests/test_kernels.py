"""One formula each: exact identities of the kernels, small enough to run interpreted too."""

import numpy as np
import pytest
import xarray as xr

from mmfields.kernels import interpolate, layers, scatter, sums, waves
from mmfields.kernels import push as pushers
from mmfields.kernels.domain import Particles, trace_domain
from mmfields.kernels.interpolate import CUBIC, FACES, LANES, LINEAR, NEAREST, NESTED, WAVES, Grid
from mmfields.kernels.push import boris
from mmfields.kernels.trace import OPEN, REFLECTING, Electric, Scatter, trace_block
from mmfields.kernels.window import PART, Window

WALLS = (0, 0, 0)
NO_OCTAVES = waves.Octaves(np.zeros(1, np.int64), np.zeros(0), np.zeros(0))
NO_MASK = np.zeros((1, 1, 1), np.uint8)
for _array in (*NO_OCTAVES, NO_MASK):
    _array.flags.writeable = False


def grid_of(field, walls=WALLS, origin=(0, 0, 0), width=(1, 1, 1), kind=LINEAR):
    flat = np.append(np.ascontiguousarray(field).ravel(), 0.0)
    flat.flags.writeable = False
    low = np.array(origin, float)
    return Grid(flat, field.shape[:3], low, low + np.array(width) * field.shape[2::-1], np.array(walls), kind)


def uniform(strength=(0.0, 0.0, 1.0)):
    return np.broadcast_to(np.array(strength), (2, 3, 4, 3)).copy()


def with_ledger(start, rigidity, longest=1.0, mass=0.0):
    """Columns of the ledger, at the start of a run, beside the others."""
    ledger = np.array([rigidity, mass, longest, 0.0, np.nan, 0.0, 0.0, 0.0])
    return np.append(start, np.broadcast_to(ledger, (len(start), 8)), axis=1)


def traced(
    field,
    position,
    direction,
    rigidity,
    step,
    count,
    saves=1,
    scattering=None,
    pace=(0.0, 0.0),
    taken=0,
    electric=None,
    pusher=pushers.NONE,
    mass=0.0,
    **options,
):
    other = np.zeros(1) if electric is None else grid_of(electric).data
    other.flags.writeable = False
    return trace_block(
        grid_of(field, **options),
        scattering or Scatter(scatter.NONE, 0.0, 0.0, 0.0, NO_MASK),
        Electric(other, pusher),
        NO_OCTAVES,
        with_ledger(np.array([[*position, *direction, 1.0]], float), float(rigidity), pace[1], float(mass)),
        np.array([12345678901234567890], np.uint64),
        np.array([taken], np.int64),
        np.full(saves, float(step * count)),
        step * count * np.arange(1.0, saves + 1),
        np.full(saves, count),
        pace[0],
        22 if pusher else 18,
    )[:, 0]


def values_at(field, places, **options):
    out = np.empty((len(places), 3))
    interpolate.sample(grid_of(field, **options), np.array(places, float), out)
    return out


def polynomial():
    z, y, x = np.meshgrid(np.arange(4.0), np.arange(5.0), np.arange(6.0), indexing="ij")
    return np.stack([1 + 2 * x, y * x - z, z * y * x], axis=-1)


def test_linear_reproduces_a_trilinear_polynomial_in_each_axis():
    places = [(4.1, 2.7, 0.3), (3.0, 0.0, 2.9), (0.75, 1.25, 1.5)]
    got = values_at(polynomial(), [tuple(c + 0.5 for c in p) for p in places])
    np.testing.assert_allclose(got, [(1 + 2 * i, j * i - k, k * j * i) for i, j, k in places], atol=1e-13)


@pytest.mark.parametrize("kind", [NEAREST, LINEAR, CUBIC])
def test_interpolation_is_periodic_and_keeps_constants(kind):
    field = np.random.default_rng(0).normal(size=(4, 5, 6, 3))
    places = np.random.default_rng(1).uniform(-3, 9, (7, 3))
    shifted = places + np.array([6 * 7, -5 * 3, 4])
    np.testing.assert_allclose(values_at(field, places, kind=kind), values_at(field, shifted, kind=kind), atol=1e-12)
    np.testing.assert_allclose(values_at(uniform(), places, kind=kind), [[0, 0, 1]] * 7, atol=1e-15)


@pytest.mark.parametrize("walls", [(0, 0, 0), (OPEN, OPEN, OPEN)])
def test_cubic_passes_through_the_samples_and_their_slopes(walls):
    from scipy.ndimage import map_coordinates, spline_filter

    mode = "mirror" if walls[0] else "grid-wrap"
    field = np.random.default_rng(0).normal(size=(5, 6, 7, 3))
    coefficients = np.stack([spline_filter(field[..., c], 3, mode=mode) for c in range(3)], -1)
    places = np.array([(1.5, 2.5, 3.5), (0.75, 4.2, 2.0), (6.4, 5.9, 4.8), (0.6, 0.7, 0.55)])
    got = values_at(coefficients, places, kind=CUBIC, walls=walls)
    at = (places[:, ::-1] - 0.5).T
    for c in range(3):
        want = map_coordinates(field[..., c], at, order=3, mode=mode)
        np.testing.assert_allclose(got[:, c], want, atol=1e-12)
    assert got[0, 1] == pytest.approx(field[3, 2, 1, 1])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_cubic_is_mirrored_at_the_edges_of_any_number_of_cells(n):
    from scipy.ndimage import map_coordinates, spline_filter1d

    values = np.random.default_rng(n).normal(size=n)
    coefficients = spline_filter1d(values, 3, mode="mirror") if n > 1 else values
    field = np.zeros((4, 4, n, 3)) + coefficients[:, None]
    x = np.linspace(0.01, n - 0.01, 23)
    got = values_at(field, [(u, 1.5, 2.5) for u in x], walls=(1, 0, 0), kind=CUBIC)
    want = map_coordinates(values, [x - 0.5], order=3, mode="mirror") if n > 1 else values[0] + 0 * x
    np.testing.assert_allclose(got[:, 0], want, atol=1e-12)


def test_open_axes_keep_the_edge_value():
    got = values_at(polynomial(), [(0.1, 0.5, 0.5), (5.9, 0.5, 0.5)], walls=(OPEN, OPEN, OPEN))
    np.testing.assert_allclose(got[:, 0], [1, 11])


def test_boris_keeps_the_speed_and_the_field_component():
    v = [np.full(LANES, c) for c in (0.6, 0.0, 0.8)]
    boris(*v, *(np.full(LANES, c) for c in (0.0, 0.0, 0.7)), np.ones(LANES))
    assert (v[0] ** 2 + v[1] ** 2 + v[2] ** 2)[0] == pytest.approx(1, abs=1e-15)
    assert v[2][3] == pytest.approx(0.8, abs=1e-15)
    assert np.arctan2(-v[1], v[0])[-1] == pytest.approx(2 * np.arctan(0.7), abs=1e-14)


def test_threefry_gives_the_published_words():
    """Known answers of the Random123 library."""
    for key, counter, want in (
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ):
        with np.errstate(over="ignore"):
            got = scatter.threefry(*(np.uint32(w) for w in (*key, *counter)))
        assert tuple(int(w) for w in got) == want


def test_own_functions_are_those_of_the_library():
    for u in np.linspace(-2.3, 2.3, 51, dtype=np.float32):
        want = np.sin(2 * np.pi * float(u)), np.cos(2 * np.pi * float(u))
        np.testing.assert_allclose(scatter.sine_cosine(u), want, atol=5e-7)
    for x in np.array([2.0**-24, 0.1, 0.5, 0.7071, 0.70711, 1 - 2.0**-24, 1.0, 1.5], np.float32):
        assert scatter.logarithm(x) == pytest.approx(np.log(float(x)), rel=3e-7)


def test_polar_angles_are_gaussian_and_azimuths_uniform():
    """By their moments, from the words themselves: a grid of them stands for all."""
    n = 4096 if not interpolate.config.DISABLE_JIT else 64
    rng = np.random.default_rng(3)
    words, room = np.empty((2, LANES), np.uint32), np.empty((4, LANES), np.float32)
    angle, turned = 0.1, []
    for _ in range(n):
        words[:] = rng.integers(0, 2**32, words.shape, np.uint32)
        v = [np.zeros(LANES), np.zeros(LANES), np.ones(LANES)]
        with np.errstate(over="ignore"):
            scatter.deflect(*v, np.full(LANES, angle / (2 * np.pi), np.float32), words, room)
        turned.append(np.stack(v))
    x, y, z = np.concatenate(turned, 1)
    theta, count = np.arccos(np.minimum(z, 1)), n * LANES
    for power, moment in ((2, 1), (4, 3), (6, 15)):
        scatter_of = np.sqrt({2: 2, 4: 96, 6: 10170}[power] / count)
        assert (theta**power).mean() / angle**power == pytest.approx(moment, abs=4 * scatter_of)
    azimuth = np.arctan2(y, x)
    for m in (1, 2, 3, 4, 8):
        assert abs(np.exp(1j * m * azimuth).mean()) < 4 / np.sqrt(count)


def test_deflections_have_the_exact_mean_cosine_and_are_isotropic_about_the_direction():
    count = 6 if not interpolate.config.DISABLE_JIT else 1
    total, square, angle = np.zeros(3), 0.0, 0.5
    for step in range(count * 200):
        v = [np.full(LANES, c) for c in (0.48, -0.6, 0.64)]
        words, room = np.empty((2, LANES), np.uint32), np.empty((4, LANES), np.float32)
        keys = np.arange(LANES, dtype=np.uint32)
        with np.errstate(over="ignore"):
            scatter.draw(keys, keys + np.uint32(7), np.full(LANES, step, np.uint32), 0 * keys, words)
        scatter.deflect(*v, np.full(LANES, angle / (2 * np.pi), np.float32), words, room)
        total += [c.sum() for c in v]
        square += (v[0] ** 2 + v[1] ** 2 + v[2] ** 2).sum()
    n = count * 200 * LANES
    assert square / n == pytest.approx(1, abs=1e-14)
    mean = total / n
    along = np.array([0.48, -0.6, 0.64])
    assert mean @ along == pytest.approx(np.exp(-(angle**2) / 2), abs=4 * 0.16 / np.sqrt(n))
    assert np.linalg.norm(mean - (mean @ along) * along) < 4 * 0.47 / np.sqrt(n)


def test_waves_are_cosines():
    rng = np.random.default_rng(2)
    k, a, phase = rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), rng.random(5)
    data = np.zeros((8, 8))  # filled up to a multiple of four
    data[:5, :7] = np.vstack([k, phase, a]).T
    places, out = rng.normal(size=(40, 3)) * 30, np.empty((40, 3))
    sums.sample_sum(WAVES, data.ravel(), 8, NO_OCTAVES, places, out)
    want = np.cos(2 * np.pi * (places @ k + phase)) @ a.T
    np.testing.assert_allclose(out, want, atol=2e-12)
    turns = np.linspace(-0.5, 0.5, 101)
    got = [waves.cosine(t) for t in turns]
    np.testing.assert_allclose(got, np.cos(2 * np.pi * turns), atol=1e-13)


def random_waves(rng, octaves=12, each=8):
    """Rows, octaves and their bounds for an error of 1, of waves whose lengths halve from octave to octave."""
    from mmfields.turbulence.waves import PlaneWaves

    size = 2 * np.pi * 2.0 ** -np.repeat(np.arange(octaves), each) * rng.uniform(0.6, 1, octaves * each)
    k, a = rng.normal(size=(2, 3, octaves * each))
    k *= size / np.linalg.norm(k, axis=0)
    columns = dict(zip(("kx", "ky", "kz", "ax", "ay", "az"), [*k, *a], strict=True))
    modes = xr.Dataset({n: ("mode", v) for n, v in {**columns, "phase": rng.random(octaves * each) * 6}.items()})
    return PlaneWaves(modes, (0.1, 0.2, 0.3), error=1e-5)


@pytest.mark.parametrize("steps", [5, 400])
def test_waves_by_octaves_are_all_waves_to_the_bound(steps):
    """Along curved paths, at every step."""
    rng = np.random.default_rng(4)
    field = random_waves(rng)
    data, *parts = field.packed()
    parts, step = waves.Octaves(*parts), 0.02
    levels = waves.new_levels(parts)
    position, b = rng.normal(size=(3, LANES)) * 50, [np.empty(LANES) for _ in range(3)]
    many, worst = waves.plan_levels(parts, step, steps, levels), 0.0
    assert (many > 2) == (steps == 400)
    for s in range(steps):
        turn = 0.05 * s + np.arange(LANES)
        position = position + step * np.stack([np.cos(turn) * 0.6, np.sin(turn) * 0.6, 0.8 + 0 * turn])
        waves.waves_by_level(data, len(data) // 8, parts, levels, many, s, *position, *b)
        worst = max(worst, np.abs(np.stack(b, -1) - field.at(*position)).max())
    assert worst < 1e-5 * field.rms
    assert worst > 1e-12 or many == 0


def test_nested_grids_are_added():
    rng = np.random.default_rng(6)
    cubes = [rng.normal(size=(n, n, n, 3)) for n in (4, 6)]
    data = np.concatenate([np.append(c.ravel(), 0.0) for c in cubes])
    begins = np.array([0, 193, len(data)])
    parts = waves.Octaves(begins, np.array([4 / 10.0, 6 / 3.0]), np.array([4.0, 6.0]))
    places, out, want = rng.normal(size=(70, 3)) * 20, np.empty((70, 3)), 0.0
    sums.sample_sum(NESTED, data, 2, parts, places, out)
    for cube, width in zip(cubes, (10.0, 3.0), strict=True):
        n = len(cube)
        grid = Grid(np.append(cube.ravel(), 0.0), (n, n, n), np.zeros(3), np.full(3, width), np.zeros(3, int), LINEAR)
        each = np.empty((70, 3))
        interpolate.sample(grid, places, each)
        want = want + each
    np.testing.assert_allclose(out, want, atol=1e-14)


@pytest.mark.parametrize("walls", [(0, 0, 0), (1, 1, 1)])
def test_faces_give_each_component_between_its_two(walls):
    """B = (x, -3 y, 2 z) is linear along each axis and free of divergence, and comes back exactly."""
    z, y, x = np.meshgrid(np.arange(4.0), np.arange(5.0), np.arange(6.0), indexing="ij")
    field = np.stack([x, -3 * y, 2 * z], -1)  # on lower faces, one cell more than the box of 3 x 4 x 5
    grid = Grid(np.append(field.ravel(), 0.0), (3, 4, 5), np.zeros(3), np.array([5.0, 4, 3]), np.array(walls), FACES)
    places = np.array([[0.3, 1.7, 2.2], [4.9, 3.1, 0.0], [0.0, 0.0, 1.0], [4.999, 3.999, 2.999]])
    out = np.empty((4, 3))
    interpolate.sample(grid, places, out)
    np.testing.assert_allclose(out, places * [1, -3, 2], atol=1e-12)
    interpolate.sample(grid, np.array([[5.0, 4.0, 3.0]]), out[:1])
    np.testing.assert_allclose(out[0], [5, -12, 6] if walls[0] else [0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("pusher", [pushers.BORIS, pushers.HIGUERA_CARY, pushers.VAY])
def test_an_electric_field_along_the_motion_does_the_work_that_it_should(pusher):
    """In E alone p grows by q E t, and the kinetic energy by the work, whatever the mass."""
    e = np.broadcast_to([0.0, 0.0, 0.3], (2, 3, 4, 3)).copy()
    for mass in (0.0, 2.0, 50.0):
        rows = traced(
            uniform((0, 0, 0)), (0, 0, 0), (0, 0, 1), 2.0, 0.05, 20, saves=5,
            electric=e, pusher=pusher, mass=mass
        )  # fmt: skip
        time = np.arange(1, 6)
        p = 1 + 0.3 * time / 2.0
        np.testing.assert_allclose(rows[10], p, rtol=1e-13)
        kinetic = np.sqrt(mass**2 + p**2) - mass
        np.testing.assert_allclose(rows[11], kinetic / (np.sqrt(mass**2 + 1) - mass), rtol=1e-10)
        # the path in light's path: the integral of p/sqrt(m² + p²), second order in the step
        way = (np.sqrt(mass**2 + p**2) - np.sqrt(mass**2 + 1)) / 0.15
        np.testing.assert_allclose(rows[2], way, rtol=1e-5)


@pytest.mark.parametrize("pusher", [pushers.BORIS, pushers.HIGUERA_CARY, pushers.VAY])
def test_without_an_electric_field_momentum_stays_and_the_orbit_is_a_circle(pusher):
    rows = traced(uniform(), (0, 0, 0), (1, 0, 0), 2.0, 0.05, 500, electric=uniform((0, 0, 0)), pusher=pusher, mass=3.0)
    assert rows[10, 0] == pytest.approx(1, abs=1e-13)
    speed = 1 / np.sqrt(10)
    centre = np.array([0.0, -2.0])  # gyroradius 2 whatever the mass
    assert np.hypot(*(rows[:2, 0] - centre)) == pytest.approx(2, rel=2e-4)
    angle = 500 * 2 * np.arctan(0.05 / (2 * 2.0) * speed)
    assert np.arctan2(rows[3, 0], rows[4, 0]) == pytest.approx(
        np.arctan2(np.cos(angle), -np.sin(angle)), abs=1e-3 if pusher == pushers.VAY else 1e-4
    )


@pytest.mark.parametrize(
    ("pusher", "exact"), [(pushers.BORIS, False), (pushers.HIGUERA_CARY, True), (pushers.VAY, True)]
)
def test_where_electric_and_magnetic_forces_cancel_a_particle_flies_straight(pusher, exact):
    """A relativistic particle at the drift speed E/B: what Boris misses and the other two were made for."""
    drift = 0.8  # E along y = v_x B_z / c
    mass = 0.75  # p = 1 at v = 0.8
    e = np.broadcast_to([0.0, drift, 0.0], (2, 3, 4, 3)).copy()
    rows = traced(uniform(), (0, 0, 0), (1, 0, 0), 1.0, 1.5, 40, electric=e, pusher=pusher, mass=mass)
    if exact:
        assert rows[10, 0] == pytest.approx(1, abs=1e-10)
        assert rows[0, 0] == pytest.approx(drift * 60, rel=1e-10)
        assert abs(rows[1, 0]) < 1e-8
    else:
        assert abs(rows[1, 0]) > 0.01


def test_drift_across_crossed_fields_is_e_over_b():
    """Slow particles, even in steps of 1.5 rad."""
    e = np.broadcast_to([0.0, 1e-4, 0.0], (2, 3, 4, 3)).copy()
    mass, count = 1000.0, 100 if interpolate.config.DISABLE_JIT else 40000
    for pusher in (pushers.BORIS, pushers.HIGUERA_CARY, pushers.VAY):
        step = 1.5 * mass  # Omega = 1 / (rigidity 1 x gamma mass)
        rows = traced(
            uniform(), (0, 0, 0), (1, 0, 0), 1.0, step, count, electric=e, pusher=pusher, mass=mass
        )  # fmt: skip
        assert rows[0, 0] == pytest.approx(1e-4 * count * step, abs=2.5)  # two gyroradii at most
        assert abs(rows[1, 0]) < 2.5


def test_flights_through_layers_reverse_at_the_rate_of_the_layer():
    """The optical depth between two reversals is exponential whatever the layers."""
    edges, rates = np.array([0.0, 0.3, 1.0]), np.array([5.0, 0.5])
    path = np.linspace(0.0, 20.0, 2001)
    start = np.random.default_rng(0).random((20, 2))
    keys = np.random.default_rng(1).integers(0, 2**64, 20, np.uint64)
    with np.errstate(over="ignore"):
        x, v = layers.fly(edges, rates, start, keys, path)
    assert (np.abs(np.diff(x)) <= np.diff(path) * (1 + 1e-12)).all()
    straight = v[:, 1:] == v[:, :-1]
    assert straight.mean() > 0.9
    np.testing.assert_allclose(x[:, 0], start[:, 0])


def test_orbit_lies_on_the_gyroradius_and_turns_as_the_exact_law_says():
    """Drift-kick-drift: radius exact, phase per step 2 atan(Ω dt / 2), relative error -(Ω dt)²/12."""
    step, count = 0.3, 40
    out = traced(uniform(), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 1.0, step, 1, saves=count)
    # a positive charge turns clockwise about B; the kick acts in the middle of the drift, so the
    # polygon's vertices lie on a circle whose chord is the drift
    phase = 2 * np.arctan(step / 2)
    turned = np.unwrap(np.arctan2(-out[4], out[3]))
    np.testing.assert_allclose(turned, phase * np.arange(1, count + 1), atol=1e-12)
    assert phase / step - 1 == pytest.approx(-(step**2) / 12, rel=0.03)
    radius = np.hypot(out[0] - 0.0, out[1] + 1.0)
    np.testing.assert_allclose(radius, 1.0, atol=1e-13)
    np.testing.assert_allclose(out[3] ** 2 + out[4] ** 2 + out[5] ** 2, 1.0, atol=1e-14)


def test_free_flight_without_field_direction_change():
    out = traced(uniform((0.0, 0.0, 1.0)), (0.2, 0.3, 0.4), (0.0, 0.0, 1.0), 5.0, 0.5, 9)
    np.testing.assert_allclose(out[:3, 0], [0.2, 0.3, 4.9], atol=1e-14)
    assert out[6, 0] == 1.0


def test_open_axis_stops_the_particle_in_its_last_valid_state():
    out = traced(uniform(), (0.0, 0.0, 0.5), (0.0, 0.0, 1.0), 1.0, 0.4, 1, saves=6, walls=(0, 0, OPEN))
    np.testing.assert_array_equal(out[8], [1, 1, 1, 0, 0, 0])
    np.testing.assert_allclose(out[2], [0.9, 1.3, 1.7, 1.7, 1.7, 1.7])


def test_a_reflecting_wall_mirrors():
    out = traced(uniform(), (0.0, 0.0, 0.5), (0.0, 0.0, 1.0), 1.0, 0.4, 1, saves=6, walls=(0, 0, REFLECTING))
    np.testing.assert_allclose(out[2], [0.9, 1.3, 1.7, 1.9, 1.5, 1.1])
    np.testing.assert_allclose(out[5], [1, 1, 1, -1, -1, -1])


def test_local_steps_end_exactly_at_saved_points():
    field = uniform()
    field[:, :, 2:] *= 3.0
    out = traced(field, (0.1, 0.0, 0.0), (0.6, 0.0, 0.8), 1.0, 1.0, 1, saves=3, pace=(0.1, 1.0))
    np.testing.assert_allclose(out[2], 0.8 * np.arange(1, 4), atol=1e-13)
    steps = np.diff(out[9], prepend=0)
    assert ((steps >= 10) & (steps <= 31)).all()


def test_a_stopped_particle_stays_stopped():
    out = traced(uniform(), (0.2, 0.3, 0.4), (0.0, 0.0, 1.0), 1.0, 0.4, 2, walls=(0, 0, OPEN), taken=-1 - 17)
    np.testing.assert_allclose(out[:3, 0], [0.2, 0.3, 0.4])
    assert out[8, 0] == 0


def test_origin_and_width_place_the_samples():
    field = np.zeros((2, 2, 4, 3))
    field[..., 2] = np.array([1.0, 2.0, 4.0, 8.0])
    options = {"origin": (10.0, 0, 0), "width": (0.5, 1, 1)}
    out = traced(field, (10.75, 0.0, 0.0), (0.0, 0.0, 1.0), 1.0, 0.1, 0, **options)
    assert out[7, 0] == 2.0  # the centre of the second cell
    out = traced(field, (12.0, 0.0, 0.0), (0.0, 0.0, 1.0), 1.0, 0.1, 0, **options)
    assert out[7, 0] == 4.5  # the face between the last cell and the first


def test_moments_of_a_row():
    from mmfields.kernels import moments

    rng = np.random.default_rng(1)
    a, b, c, n = rng.normal(size=(4, 11))
    sums, along, level = np.zeros(moments.MOMENTS), np.array([2.0, -1.0, 2.0]) / 3, np.array([0.1, 0.2, -0.3, 0.5])
    moments.moments_of_row(a, b, c, n, level, along, sums)
    field = np.stack([a, b, c]) - level[:3, None]
    par = along @ field
    want = [11, par.sum(), (par**2).sum(), (par**3).sum(), (par**4).sum(), *field.sum(axis=1), (field**2).sum()]
    want += [(n - 0.5).sum(), ((n - 0.5) ** 2).sum(), ((n - 0.5) * par).sum()]
    np.testing.assert_allclose(sums, want, rtol=1e-12)


def test_crossings_and_measures_of_two_cells():
    from mmfields.kernels import patches

    around = np.zeros((3, 3, 5), np.uint8)
    around[1, 1, 1:3] = 1
    around[..., -1] = 2  # beyond the end of the box
    out = np.zeros(2, np.int64)
    patches.count_crossings(around, np.array([[0, 0, 1], [0, 1, 0]]), out)
    assert out.tolist() == [1, 2]
    table = np.array([[0, 99, 0, 0, 0]])
    patches.measure(np.array([[[1, 1, 0]]]), around, np.array([0, 0, 4]), np.array([1, 1, 9]), table)
    assert table.tolist() == [[2, 4, 2, 2, 1]]


def test_power_on_lines_is_all_power():
    from mmfields.kernels import scales

    rng = np.random.default_rng(2)
    k = [2 * np.pi * np.fft.fftfreq(n) for n in (4, 5)] + [2 * np.pi * np.fft.rfftfreq(6)]
    spectrum = np.fft.rfftn(rng.normal(size=(4, 5, 6)))
    weight = np.array([1.0, 2, 2, 1])
    nyquist = [np.array([False, False, True, False]), np.zeros(5, bool), np.array([False, False, False, True])]
    along = np.array([1.0, -2, 2]) / 3
    out = np.zeros((200, scales.COLUMNS))
    scales.power_on_lines(spectrum, *k, *nyquist, weight, along, 0.05, out)
    power = abs(spectrum) ** 2 * weight
    power[0, 0, 0] = 0
    assert out[:-1, 0].sum() == pytest.approx(power.sum())
    assert out[:-1, 2].sum() == pytest.approx(power.sum())
    square = sum(np.meshgrid(*(c**2 for c in k), indexing="ij"))
    assert out[-1, 0] + out[-1, 1] == pytest.approx((power * square).sum())


def test_emission_of_a_cell_is_its_integral():
    """The mean of exp(2 i lambda² phi) over a cell, whatever its depth: small, of many turns, of either sign."""
    from mmfields.kernels import faraday

    middle, half = np.array([0.3, -7.0, 40.0, 1e-9, 3.0]), np.array([1e-9, -0.4, 25.0, 0.0, 1.7])
    one, out = np.ones(5), np.zeros((2, 5))
    for wave in (0.01, 0.7, 3.0):
        out[:] = 0
        faraday.emit(middle, half, one, one, 0 * one, wave, out[0], out[1])
        want = np.exp(2j * wave * middle) * np.sinc(2 * wave * half / np.pi)
        np.testing.assert_allclose(out[0] + 1j * out[1], want, atol=1e-13)


def test_depths_are_added_with_twice_the_digits():
    from mmfields.kernels import faraday

    field = np.array([1e16, 1.0, -1e16, 1.0, 0.5]).reshape(5, 1)
    for number in (np.ones((1, 1)), np.ones((5, 1))):
        high, low = np.zeros(1), np.zeros(1)
        assert faraday.add_depth(field, number, high, low, 0, 1) == 0
        assert high[0] + low[0] == 2.5
        assert faraday.add_depth(field, -number, high, low, 0, 1) > 0


def test_depths_do_not_depend_on_the_part_of_a_map_or_on_blocks_of_planes():
    from mmfields.kernels import faraday

    random = np.random.default_rng(3)
    field, number = random.normal(size=(11, 9)).astype(np.float32), random.uniform(size=(11, 9)).astype(np.float32)
    whole, parts = np.zeros((2, 9)), np.zeros((2, 9))
    faraday.add_depth(field, number, *whole, 0, 9)
    for planes in (slice(0, 6), slice(6, 11)):
        for begin, end in ((0, 5), (5, 9)):
            faraday.add_depth(field[planes], number[planes], *parts, begin, end)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_allclose(whole.sum(axis=0), (field.astype(float) * number).sum(axis=0), rtol=1e-14)


@pytest.mark.parametrize("pace", [(0.0, 0.0), (0.2, 0.5)], ids=["fixed", "local"])
def test_parts_of_a_field_give_what_the_whole_does(pace):
    """Two halves with a cell of the other on either side, between which particles go until they have arrived."""
    rng = np.random.default_rng(2)
    field = rng.normal(size=(3, 4, 12, 3))
    n, walls = 5, (0, REFLECTING, OPEN)
    start = np.ones((n, 7))
    start[:, :3] = rng.uniform(0, (12, 4, 3), (n, 3))
    direction = rng.normal(size=(n, 3))
    start[:, 3:6] = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    keys, taken = np.arange(n, dtype=np.uint64), np.zeros(n, np.int64)
    path = np.array([0.0, 2.0, 3.0]), np.array([0.0, 2.0, 5.0])
    counts, longest = np.array([0, 4, 6]), pace[1] or 0.5
    start = with_ledger(start, 2.0, longest)
    grid, scattering = grid_of(field, walls), Scatter(scatter.NONE, 0.0, 0.0, 0.0, NO_MASK)
    electric = Electric(grid_of(np.zeros((0, 1, 1, 3))).data, pushers.NONE)
    parts = grid, scattering, electric, NO_OCTAVES
    whole = trace_block(*parts, start, keys, taken, *path, counts, pace[0], 13)
    found, nothing = np.full((13, n, 3), np.nan), np.zeros(n, np.int64)
    place, goals = np.append(start, np.broadcast_to([0.0, 1.0, 1.0, 1.0], (n, 4)), 1), np.zeros((n, 3), np.int32)
    waiting = Particles(place, keys, taken.copy(), nothing, nothing.copy(), goals)
    who, rounds = np.arange(n), 0
    while len(who):
        begin = 5 if rounds % 2 else 11  # cells 11 to 6, and 5 to 0
        cells = (np.arange(8) + begin) % 12
        window = Window(PART, np.array([begin, 0, 0]), (3, 4, 8), np.zeros((3, LANES), np.int32))
        part = grid._replace(data=grid_of(field[:, :, cells]).data)
        rows, of = trace_domain(part, window, *parts[1:], waiting, *path, pace[0], 13)
        found[:, who[of[:, 0]], of[:, 1]] = rows.T
        on = waiting.saves < 3
        assert not on.any() or not np.isin(waiting.goals[on, 0], cells[:-1]).any()
        who, waiting, rounds = who[on], Particles(*(a[on] for a in waiting)), rounds + 1
    assert rounds > 1
    np.testing.assert_array_equal(found, whole)

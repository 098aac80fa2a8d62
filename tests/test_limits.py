"""Graphs stay small whatever the size of what they describe, and numbers hold at their ends."""

import gc
import pickle

import dask.array as da
import numpy as np
import pytest
from dask.highlevelgraph import HighLevelGraph

import mmfields as mm

UNIT = dict.fromkeys("xyz", 1.0)


def graphs(ds):
    """As built, and as computed."""
    arrays = [v.data for v in ds.variables.values() if v.chunks is not None]
    graph = HighLevelGraph.merge(*(a.__dask_graph__() for a in arrays))
    return dict(graph), dict(da.Array.__dask_optimize__(graph, [a.__dask_keys__() for a in arrays]))


@pytest.fixture(scope="module")
def huge():
    """4096³ cells that nobody computes."""
    fields = {f"B{d}": da.ones((4096,) * 3, chunks=(64, -1, -1), dtype="f4") for d in "xyz"}
    return mm.io.from_arrays(**fields, spacing=UNIT)


def trajectories(huge, **options):
    p = mm.particles.isotropic(10**6, gyroradius=10.0, seed=1, field=huge, reference_field=1.0)
    return mm.trace(huge, p, step=1.0, distance=100.0, save=10, local_field=True, **options)


@pytest.mark.parametrize(
    "build",
    [
        trajectories,
        lambda ds: trajectories(ds, block=512),
        lambda ds: mm.fourier.filter(ds, mm.fourier.band(k_perp=(0.0, 0.1)), direction="x"),
        lambda ds: mm.spectra.power2d(ds, direction="x").to_dataset(),
        lambda ds: mm.faraday.rotation_measure(ds, length_unit="pc", field_unit="uG", density="cm-3").to_dataset(),
    ],
    ids=["trace", "trace in blocks", "filter", "power2d", "rotation_measure"],
)  # fmt: skip
def test_graphs_are_small(huge, build):
    built, computed = graphs(build(huge))
    assert len(built) < 50_000 and len(computed) < 50_000
    largest = max(len(pickle.dumps(task)) for task in computed.values())
    assert largest < 10e6


def test_a_field_in_memory_is_sent_to_a_cluster_in_pieces(monkeypatch):
    monkeypatch.setattr(mm.tracing.fields, "client_in_force", lambda: "a client")
    field = np.random.default_rng(0).normal(size=(160, 150, 140))
    ds = mm.io.from_arrays(Bx=field, By=field, Bz=field, spacing=UNIT)
    p = mm.particles.isotropic(200_000, gyroradius=10.0, seed=1, field=ds, reference_field=1.0)
    _, computed = graphs(mm.trace(ds, p, step=1.0, distance=10.0, save=2))
    assert max(len(pickle.dumps(task)) for task in computed.values()) < 10e6
    with pytest.raises(mm.SnapshotError, match=r"81 MB.* sent to the cluster as a whole.*mm\.store it"):
        mm.trace(ds, p, step=1.0, distance=10.0, save=2, block=64)


def straight(direction, *, gyroradius=1.0, strength=(0.0, 0.0, 0.0), start=(0.5, 0.5, 0.5), boundary="periodic"):
    """A uniform field, and one particle in it."""
    ds = mm.io.from_arrays(
        **{f"B{d}": np.full((4, 4, 4), b) for d, b in zip("xyz", strength, strict=True)},
        spacing=UNIT,
        boundary=boundary,
    )
    names = ("x", "y", "z", "vx", "vy", "vz")
    values = dict(zip(names, ([v] for v in (*start, *direction)), strict=True))
    return ds, mm.particles.from_arrays(**values, gyroradius=gyroradius, reference_field=1.0)  # fmt: skip


def speed(tr):
    return np.sqrt(tr.vx**2 + tr.vy**2 + tr.vz**2)


def test_no_field_no_turn():
    ds, p = straight((0.6, 0.0, 0.8))
    tr = mm.trace(ds, p, step=0.5, distance=1000.0, save=4).compute()
    np.testing.assert_allclose(tr.x[0], 0.5 + 0.6 * tr.path, rtol=1e-13)
    assert (tr.vz == 0.8).all() and (tr.vy == 0).all()


def test_denormal_fields_turn_nothing_and_break_nothing():
    ds, p = straight((0.6, 0.0, 0.8), strength=(0.0, 0.0, 5e-324))
    tr = mm.trace(ds, p, step=0.5, distance=100.0, save=4).compute()
    assert np.isfinite(tr.x).all() and (tr.vx == 0.6).all()


@pytest.mark.parametrize("gyroradius", [1e-3, 1e6])
def test_gyroradii_from_a_thousandth_to_a_million_cells(gyroradius):
    ds, p = straight((0.6, 0.0, 0.8), gyroradius=gyroradius, strength=(0.0, 0.0, 1.0))
    turns = 20 * gyroradius
    options = {"step": 0.05, "step_unit": "gyroradius", "cell_fraction": None}  # in a uniform field cells do not matter
    tr = mm.trace(ds, p, distance=turns, save=50, **options).compute()
    np.testing.assert_allclose(speed(tr), 1.0, rtol=1e-14)
    away = [np.hypot(tr.x.values - 0.5, tr.y.values - 0.5 + sign * 0.6 * gyroradius)[0] for sign in (1, -1)]
    best = min(away, key=np.ptp)  # one of the two is the centre
    np.testing.assert_allclose(best, 0.6 * gyroradius, rtol=1e-3)
    np.testing.assert_allclose(tr.z[0], 0.5 + 0.8 * tr.path, rtol=1e-12)


@pytest.mark.parametrize("place", [0.0, 1.0, 2.5, 4.0])
def test_a_particle_on_a_face_or_at_the_boundary(place):
    random = np.random.default_rng(0)
    ds = mm.io.from_arrays(**{f"B{d}": random.standard_normal((4, 4, 4)) for d in "xyz"}, spacing=UNIT)
    orbits = []
    for shift in (0.0, 4.0, -4.0):  # the same place of a periodic box
        _, p = straight((0.6, 0.0, 0.8), start=(place + shift, place, place), gyroradius=2.0)
        tr = mm.trace(ds, p, step=0.125, distance=4.0, save=4).compute()
        assert np.isfinite(tr.x).all() and np.isfinite(tr.B).all()
        orbits.append(np.stack([tr.x - shift, tr.y, tr.z, tr.B]))
    np.testing.assert_allclose(orbits[1], orbits[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(orbits[2], orbits[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("place", "toward"), [(0.0, -1.0), (4.0, 1.0)])
def test_a_particle_on_an_open_face(place, toward):
    ds, out = straight((toward, 0.0, 0.0), start=(place, 0.5, 0.5), boundary="open")
    assert not mm.trace(ds, out, step=0.5, distance=4.0, save=2).compute().alive[0, -1]
    ds, inward = straight((-toward, 0.0, 0.0), start=(place, 0.5, 0.5), boundary="open")
    tr = mm.trace(ds, inward, step=0.5, distance=2.0, save=2).compute()
    assert tr.alive.all() and float(tr.x[0, -1]) == pytest.approx(place - 2 * toward)


def test_rounding_over_many_steps():
    """Each step rounds a position to half a unit in its last place: at most these add up."""
    steps = 10**6
    ds, p = straight((0.6, 0.0, 0.8), strength=(0.6, 0.0, 0.8))
    tr = mm.trace(ds, p, step=0.1, distance=0.1 * steps, save=1).compute()
    assert np.abs(speed(tr) - 1).max() < 1e-10
    wanted, found = 0.5 + 0.6 * 0.1 * steps, float(tr.x[0, -1])
    assert abs(found - wanted) < steps * np.spacing(wanted) / 2


def test_overflow_is_told():
    ds, p = straight((0.6, 0.0, 0.8), strength=(0.0, 0.0, 1e308), gyroradius=1.0)
    with pytest.raises(mm.SnapshotError, match="not finite"):
        mm.trace(ds.assign(Bz=ds.Bz * 10), p, step=0.1, distance=1.0).x.compute()


def test_a_shared_file_goes_with_the_last_that_holds_it(tmp_path):
    """Dask may drop the first copy while another worker works on; who comes too late is told when it reads."""
    from mmfields.cluster.shared import Mapped, create, view

    path = create(5, "f8", str(tmp_path))
    view(path, "f8", "r+")[:] = 3.0
    first = Mapped(path, "f8")
    second = pickle.loads(pickle.dumps(first))
    message = pickle.dumps(first)
    del first
    gc.collect()
    third = pickle.loads(message)
    assert third.array.sum() == second.array.sum() == 15.0
    del second, third
    gc.collect()
    assert not list(tmp_path.iterdir())
    late = pickle.loads(message)
    with pytest.raises(mm.SnapshotError, match="not on this host"):
        late.array.sum()

"""Two snapshots side by side, and waves, at given places and times."""

import numpy as np
import pytest

from mmfields.kernels import evolving, saved, trace
from mmfields.kernels.batch import PARTICLE, new_batch
from mmfields.kernels.setup import Interpolation, new_setup

CELLS, COUNT = np.array((5, 4, 3)), 9


def look(data, kind, window, cells=CELLS, path=0.7):
    """Fields at places (n, 3) when the path is there; (n, 6) numbers, E over c behind B."""
    rng = np.random.default_rng(1)
    places = rng.uniform(-3, 9, (COUNT, 3))
    particles = np.zeros(COUNT, PARTICLE)
    for d, values in zip("xyz", places.T, strict=True):
        particles[d] = values
    particles["vx"] = particles["momentum"] = particles["rigidity"] = particles["alive"] = 1
    plan, here = np.zeros(1, trace.INTERVAL), np.zeros(1, evolving.WINDOW)
    plan["end"] = path
    for name, value in window.items():
        here[name] = value
    flat = np.append(np.asarray(data, float).ravel(), 0.0)
    flat.flags.writeable = False
    setup = new_setup(cells, np.zeros(3), np.asarray(cells, float), np.zeros(3, int), kind, pusher=1)
    rows = {name: (0, 0) if name in ("walled", "centred") else (COUNT, 1) for name in saved.KINDS._fields}
    out = saved.Saved(*(np.empty(rows[name], own) for name, own in saved.KINDS._asdict().items()))
    fields = evolving.Pair(flat, np.zeros(1), None)
    evolving.trace_evolving(new_batch(), setup, here, fields, particles, np.arange(COUNT), plan, out)
    b = np.stack([out.local[f"b{d}"] for d in "xyz"], -1) * out.always["B"][..., None]
    e = np.stack([out.driven[f"e{d}"] for d in "xyz"], -1)
    return places, np.concatenate([b, e], -1)[:, 0]


def weights(kind, places):
    """Of all cells (n, z, y, x) for periodic cells of side 1."""
    axes = []
    for d in range(3):
        off = np.abs((places[:, d, None] - 0.5 - np.arange(CELLS[d]) + CELLS[d] / 2) % CELLS[d] - CELLS[d] / 2)
        axes.append(np.clip(1 - off, 0, None) if kind == Interpolation.LINEAR else (off < 0.5) * 1.0)
    return np.einsum("nx,ny,nz->nzyx", *axes)


@pytest.mark.parametrize("kind", [Interpolation.LINEAR, Interpolation.NEAREST])
@pytest.mark.parametrize("early", [0, 1])
@pytest.mark.parametrize("ideal", [0, 1])
def test_fields_lie_between_two_snapshots(kind, early, ideal):
    data = np.random.default_rng(2).normal(size=(*CELLS[::-1], 4, 3))  # B, B, u, u in a cell
    places, found = look(data, kind, {"begin": 0.5, "inverse": 2.0, "early": early, "stride": 12, "ideal": ideal})
    part = np.array([0.6, 0.4]) if early == 0 else np.array([0.4, 0.6])  # at 0.7 from 0.5 to 1.0
    at = np.einsum("nzyx,zyxvc->nvc", weights(kind, places), data).reshape(COUNT, 2, 2, 3)
    b, u = np.moveaxis(np.einsum("nvtc,t->vnc", at, part), 0, 0)
    np.testing.assert_allclose(found[:, :3], b, atol=1e-12)
    np.testing.assert_allclose(found[:, 3:], -np.cross(u, b) if ideal else u, atol=1e-12)


def test_waves_move():
    rows = np.random.default_rng(3).normal(size=(6, evolving.WAVE))
    places, found = look(rows, Interpolation.WAVES, {"inverse": 1.0, "ideal": 0}, cells=np.array((6, 1, 1)))
    angle = 2 * np.pi * (places @ rows[:, :3].T + rows[:, 3] - 0.7 * rows[:, 7])
    np.testing.assert_allclose(found[:, :3], np.cos(angle) @ rows[:, 4:7], atol=1e-11)
    np.testing.assert_allclose(found[:, 3:], np.cos(angle) @ rows[:, 8:11], atol=1e-11)

"""Steps along field lines: their order, the error that they state, and where they end."""

import numpy as np
import pytest
from kernel_runs import OPEN, flat, setup_of

from mmfields.kernels.batch import new_batch
from mmfields.kernels.lines import POINT, SEED, Through, follow
from mmfields.kernels.trace import INTERVAL

CELLS = (8, 5, 6)  # z, y, x


def field(slope=0.2):
    """B = (slope x, -slope y, 1) about the middle, which a trilinear field holds."""
    z, y, x = np.meshgrid(*(np.arange(n) + 0.5 - n / 2 for n in CELLS), indexing="ij")
    return np.stack([slope * x, -slope * y, 1 + 0 * z], -1)


def run(seeds, ends, count, sign=1.0, b=None, walls=(OPEN,) * 3):
    """Points (n, s) of lines from seeds (n, 3) in so many steps to each end."""
    start = np.zeros(len(seeds), SEED)
    for i, d in enumerate("xyz"):
        start[d] = np.array(seeds)[:, i]
    start["left"], start["alive"] = np.nan, 1
    plan = np.zeros(len(ends), INTERVAL)
    plan["end"], plan["length"], plan["save"] = ends, np.diff(ends, prepend=0.0), np.arange(len(ends))
    plan["count"] = count
    plan["step"] = plan["length"] / count
    out = np.empty((len(seeds), len(ends)), POINT)
    b = field() if b is None else b
    follow(new_batch(), setup_of(b.shape[:3], walls), Through(flat(b)), start, plan, sign, out)
    return out


def exact(x, y, s, slope=0.2):
    """Place (x, y) relative to the middle after an arc length, by many small steps of Euler's improved rule."""
    n = 20000
    r, h = np.array([x, y, 0.0]), s / n
    for _ in range(n):
        b = np.array([slope * r[0], -slope * r[1], 1.0])
        half = r + 0.5 * h * b / np.linalg.norm(b)
        b = np.array([slope * half[0], -slope * half[1], 1.0])
        r = r + h * b / np.linalg.norm(b)
    return r


def test_order_and_stated_error():
    seed, off = [[3 + 1.1, 2.5 - 1.4, 1.0]], []
    goal = np.add(exact(1.1, -1.4, 3.0), (3, 2.5, 1.0))
    for count in (2, 4):
        (p,) = run(seed, [3.0], count)[0]
        off.append(np.linalg.norm([p.x - goal[0], p.y - goal[1], p.z - goal[2]]))
        assert off[-1] < p.error
        np.testing.assert_allclose(np.sqrt(p.bx**2 + p.by**2 + p.bz**2), 1.0, rtol=1e-14)
    assert 10 < off[0] / off[1] < 25 and off[1] < 1e-5


def test_back_and_forth():
    (there,) = run([[4.0, 1.5, 1.5]], [2.0], 20)[0]
    (back,) = run([[there.x, there.y, there.z]], [2.0], 20, sign=-1.0)[0]
    np.testing.assert_allclose([back.x, back.y, back.z], [4.0, 1.5, 1.5], atol=1e-6)


@pytest.mark.parametrize("sign, way, end", [(1.0, 3.3, 8.0), (-1.0, 4.7, 0.0)])
def test_a_line_ends_on_the_face(sign, way, end):
    first, last = run([[3.0, 2.5, 4.7]], [3.0, 6.0], 4, sign=sign)[0]
    assert first.alive and np.isnan(first.left)
    assert not last.alive and last.z == pytest.approx(end, abs=1e-12) and last.left == pytest.approx(way, abs=1e-12)
    assert pytest.approx(1.0) == last.B


def test_a_line_ends_without_a_field_and_others_go_on():
    b = np.zeros((*CELLS, 3))
    b[:4, ..., 2] = 1.0  # below the middle
    stuck, free = run([[3.0, 2.5, 6.0], [3.0, 2.5, 1.0]], [1.0], 4, b=b, walls=(0, 0, 0))
    assert not stuck[0].alive and stuck[0].left == 0 and stuck[0].z == 6.0
    assert free[0].alive and free[0].z == pytest.approx(2.0)

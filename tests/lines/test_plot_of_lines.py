"""Figures of lines: what is drawn where, with axes of one scale."""

import numpy as np
import pytest
from known_fields import helix

import mmfields as mm


@pytest.fixture(autouse=True)
def closed():
    from matplotlib import pyplot as plt

    plt.switch_backend("Agg")
    yield
    plt.close("all")


def test_lines_are_drawn_where_they_are_with_axes_of_one_scale():
    lines = mm.field_lines(helix(), [[0.0, 0, 0], [1.0, 2, 3]], length=4.0, step=0.1, save=20).compute()
    ax = mm.plot.field_lines(lines, colour="error")
    (drawn,) = ax.collections
    assert len(drawn.get_array()) == 2 * 40
    spans = [np.ptp(getattr(ax, f"get_{d}lim")()) for d in "xyz"]
    np.testing.assert_allclose(np.array(spans) / spans[0], np.array(ax._box_aspect) / ax._box_aspect[0], rtol=1e-6)
    low, high = ax.get_zlim()
    assert low < float(lines["z"].min()) and high > float(lines["z"].max())


def test_a_map_of_q_shows_it_over_its_plane():
    ds = mm.io.from_arrays(
        Bx=np.zeros((4, 5, 6)), By=np.zeros((4, 5, 6)), Bz=np.ones((4, 5, 6)), spacing={"x": 1.0, "y": 2.0, "z": 3.0}
    )
    seeds = mm.lines.neighbours(mm.lines.plane(ds, shape=(3, 2)), separation=1e-3)
    q = mm.lines.squashing(mm.field_lines(ds, seeds, length=2.0, step=0.5, save=2))
    ax = mm.plot.squashing(q)
    np.testing.assert_allclose(ax.collections[0].get_array(), 0.0, atol=1e-9)
    assert ax.get_xlabel().startswith("$x$") and ax.get_ylabel().startswith("$y$")
    with pytest.raises(mm.SnapshotError, match="a map of Q"):
        mm.plot.squashing(q.isel(u=0))
    with pytest.raises(mm.ArgumentError, match="colour"):
        mm.plot.field_lines(mm.field_lines(ds, 2, length=1.0, step=0.5), colour="nothing")


def test_diffusion_of_lines_is_drawn_as_a_length():
    field = mm.turbulence.plane_waves(32, k_min=1.0, k_max=10.0, seed=1)
    kappa = mm.transport.running_diffusion(mm.field_lines(field, 40, length=8.0, step=0.1, save=8).compute())
    ax = mm.plot.running_diffusion(kappa)
    assert ax.lines[0].get_label() == "$D$" and "field lines" in ax.get_ylabel()

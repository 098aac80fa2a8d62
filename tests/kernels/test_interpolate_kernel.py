"""Values between cell centres: polynomials that come back, periods, edges, and splines of another library."""

import numpy as np
import pytest
from kernel_runs import OPEN, flat, new_batch, sample, setup_of, traced, uniform, values_at
from numba import njit

from mmfields.kernels.setup import Interpolation
from mmfields.kernels.vectors import four_cells, four_pairs

NEAREST, LINEAR, CUBIC, FACES = (Interpolation[name] for name in ("NEAREST", "LINEAR", "CUBIC", "FACES"))


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


@pytest.mark.parametrize("walls", [(0, 0, 0), (1, 1, 1)])
def test_faces_give_each_component_between_its_two(walls):
    """B = (x, -3 y, 2 z) is linear along each axis and free of divergence, and comes back exactly."""
    z, y, x = np.meshgrid(np.arange(4.0), np.arange(5.0), np.arange(6.0), indexing="ij")
    field = np.stack([x, -3 * y, 2 * z], -1)  # on lower faces, one cell more than the box of 3 x 4 x 5
    setup, data = setup_of((3, 4, 5), walls, kind=FACES), flat(field)
    places = np.array([[0.3, 1.7, 2.2], [4.9, 3.1, 0.0], [0.0, 0.0, 1.0], [4.999, 3.999, 2.999]])
    out = np.empty((4, 3))
    sample(new_batch(), setup, data, places, out)
    np.testing.assert_allclose(out, places * [1, -3, 2], atol=1e-12)
    sample(new_batch(), setup, data, np.array([[5.0, 4.0, 3.0]]), out[:1])
    np.testing.assert_allclose(out[0], [5, -12, 6] if walls[0] else [0, 0, 0], atol=1e-12)


def test_origin_and_width_place_the_samples():
    field = np.zeros((2, 2, 4, 3))
    field[..., 2] = np.array([1.0, 2.0, 4.0, 8.0])
    options = {"origin": (10.0, 0, 0), "width": (0.5, 1, 1)}
    out = traced(field, (10.75, 0.0, 0.0), (0.0, 0.0, 1.0), 1.0, 0.1, 0, **options)
    assert out.B[0] == 2.0  # the centre of the second cell
    out = traced(field, (12.0, 0.0, 0.0), (0.0, 0.0, 1.0), 1.0, 0.1, 0, **options)
    assert out.B[0] == 4.5  # the face between the last cell and the first


@njit
def three(data, rows, w, v):
    return four_cells(data, rows, w, v)


@njit
def six(data, rows, w, v):
    return four_pairs(data, rows, w, v)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_four_cells_are_summed_by_their_weights(kind):
    """Three and six numbers a cell, against sums that NumPy makes."""
    rng = np.random.default_rng(8)
    data, w, v = rng.normal(size=130).astype(kind), tuple(rng.normal(size=4)), tuple(rng.normal(size=4))
    rows = (0, 31, 64, 101)
    for of, width in ((three, 3), (six, 6)):
        cells = np.stack([data[row : row + 4 * width].astype(float).reshape(4, width) for row in rows])
        np.testing.assert_allclose(of(data, rows, w, v), np.einsum("r,c,rcn->n", w, v, cells), rtol=1e-14)

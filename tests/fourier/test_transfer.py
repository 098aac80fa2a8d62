"""Transfer functions on their own."""

import numpy as np
import pytest

import mmfields as mm
from mmfields.fourier.transfer import Weigh, weights
from mmfields.fourier.waves import waves_of

K = np.linspace(0.01, 6, 400)
EDGES = [
    {"edge": "sharp"},
    {"edge": "gaussian", "width": 0.3},
    {"edge": "butterworth", "order": 3},
    {"edge": "cosine", "width": 0.5},
]


@pytest.mark.parametrize("edge", EDGES, ids=lambda e: e["edge"])
def test_edges_pass_half_at_their_limits_and_complement_to_one(edge):
    g = mm.fourier.band(k_par=(1.0, 4.0), **edge)
    values = g(K, 0 * K + 0.1)
    assert values.min() >= 0
    assert values.max() <= 1
    np.testing.assert_allclose(values + (~g)(K, 0 * K + 0.1), 1)
    assert float(g(np.array(2.2), np.array(9.0))) > (0.95 if edge["edge"] == "butterworth" else 0.999)
    if edge["edge"] != "sharp":
        np.testing.assert_allclose(g(np.array([1.0, 4.0]), np.zeros(2)), 0.5, atol=0.01)
    else:
        assert set(values) == {0.0, 1.0}
    assert float(g(np.array(5.9), np.array(0.0))) < 0.12


def test_closed_forms():
    from scipy.special import ndtr

    low = mm.fourier.low_pass(2.0, edge="butterworth", order=3)
    np.testing.assert_allclose(low(K, 0 * K), 1 / (1 + (K / 2) ** 6), rtol=1e-14)
    np.testing.assert_allclose(low(0.6 * K, 0.8 * K), low(K, 0 * K), rtol=1e-12)
    soft = mm.fourier.band(k_perp=(0, 2.0), edge="gaussian", width=0.4)
    np.testing.assert_allclose(soft(0 * K, K), ndtr((2 - K) / 0.4), atol=1e-14)
    cosine = mm.fourier.band(k_perp=(0, 2.0), edge="cosine", width=1.0)
    np.testing.assert_allclose(
        cosine(np.zeros(3), np.array([1.5, 2.25, 2.5])), [1, 0.5 * (1 + np.cos(0.75 * np.pi)), 0]
    )


def test_low_and_high_pass_share_every_mode_but_the_mean():
    low, high = (f(2.0, edge="gaussian", width=0.3) for f in (mm.fourier.low_pass, mm.fourier.high_pass))
    np.testing.assert_allclose(low(K, K) + high(K, K), 1)
    zero = np.zeros(1)
    assert (low(zero, zero)[0], high(zero, zero)[0], (~low)(zero, zero)[0], (~~low)(zero, zero)[0]) == (0, 0, 1, 0)
    assert (low * ~low)(zero, zero)[0] == 0


@pytest.mark.parametrize("shape", [(8, 9, 10), (7, 6), (12,)])
@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (1 / 3, 2 / 3, -2 / 3)])
@pytest.mark.parametrize("edge", EDGES, ids=lambda e: e["edge"])
def test_the_fused_kernel_is_the_function(shape, direction, edge):
    dims = ("z", "y", "x")[3 - len(shape) :]
    waves = waves_of(dims, shape, (0.5, 1.0, 0.25)[: len(shape)])
    ones = [np.ones(np.broadcast_shapes(*(k.shape for k in waves.k)), complex)]
    band = mm.fourier.band(k_par=(0.3, 3.0), k_perp=(0.0, 4.0), **edge)
    high = mm.fourier.high_pass(2.0, **edge)
    for g in (band, ~band, high, ~~high, mm.fourier.band(k_par=(1, 2), keep_mean=True), band * high):
        (got,) = Weigh(g)([ones[0].copy()], waves, np.array(direction))
        np.testing.assert_allclose(got.real, weights(g, waves, np.array(direction)), atol=1e-12)


def test_a_function_of_components_and_its_realness(turbulent):
    def slanted(kx, ky, kz):
        return np.exp(-((kx + 2 * ky - kz) ** 2) / 30)

    g = mm.fourier.Transfer(slanted, "slanted", 1.0, "components")
    part, rest = mm.fourier.filter(turbulent, g), mm.fourier.filter(turbulent, ~g)
    np.testing.assert_allclose(part.By + rest.By, turbulent.By, atol=2e-6)
    odd = turbulent.isel(y=slice(11), x=slice(15))  # no Nyquist modes, where the mean of both signs is taken
    twice, square = mm.fourier.filter(mm.fourier.filter(odd, g), g), mm.fourier.filter(odd, g * g)
    np.testing.assert_allclose(twice.By, square.By, atol=2e-6)
    with pytest.raises(mm.ArgumentError, match="a product needs"):
        g * mm.fourier.low_pass(1.0)


def test_bad_calls(turbulent):
    for options, match in (
        ({"edge": "gaussian"}, "need a positive one"),
        ({"edge": "sharp", "width": 0.1}, "the others take none"),
        ({"edge": "cosine", "width": -1.0}, "width"),
        ({"edge": "butterworth", "order": 0}, "order"),
    ):
        with pytest.raises(mm.ArgumentError, match=match):
            mm.fourier.band(k_par=(0, 1), **options)
    with pytest.raises(mm.SnapshotError, match="the grid holds wavenumbers up to"):
        mm.fourier.filter(turbulent, mm.fourier.band(k_perp=(0, 500)))
    with pytest.raises(mm.SnapshotError, match="no mode is inside"):
        mm.fourier.filter(turbulent, mm.fourier.low_pass(0.01))


def test_bands_without_a_mode_are_refused_with_the_numbers():
    rng = np.random.default_rng(0)
    fields = {f"B{c}": rng.normal(size=(16, 16, 16)) + (c == "x") for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    band = mm.fourier.band
    for g, match in (
        (band(k_par=(3.5, 5)), "holds wavenumbers up to 3.14"),
        (mm.fourier.high_pass(500.0), "holds wavenumbers up to 5.44"),
        (band(k_par=(0.01, 0.02), k_perp=(0.5, 2)), "no mode is inside.*0.39"),
        (band(k_par=(0.45, 0.7)), "no mode is inside"),
        (band(k_par=(0.1, 0.7)) * band(k_par=(1.0, 2)), "no mode is inside"),
    ):
        with pytest.raises(mm.SnapshotError, match=match):
            mm.fourier.filter(ds, g, direction="x")
    passing = mm.fourier.filter(ds, band(k_perp=(0.001, np.inf)), direction="x")
    whole = mm.fourier.filter(ds, mm.fourier.high_pass(0.01))
    np.testing.assert_allclose(whole.By, ds.By - ds.By.mean(), atol=1e-13)
    np.testing.assert_allclose(mm.fourier.filter(ds, mm.fourier.low_pass(np.inf)).By, whole.By, atol=1e-13)
    assert float(abs(passing.By).max()) > 0
    rest = mm.fourier.filter(ds, ~mm.fourier.high_pass(0.01))
    np.testing.assert_allclose(rest.By, ds.By.mean().broadcast_like(ds.By), atol=1e-13)


def test_what_depends_on_k_alone_needs_no_direction(turbulent):
    dynamo = (turbulent - turbulent.mean()).assign_attrs(turbulent.attrs)
    low, high = mm.fourier.low_pass(3.0), mm.fourier.high_pass(1.0)
    for g in (low, ~low, low * high):
        part = mm.fourier.filter(dynamo, g)
        np.testing.assert_allclose(part.n, mm.fourier.filter(dynamo[["n"]], g).n, atol=1e-7)
    with pytest.raises(mm.SnapshotError, match="no direction"):
        mm.fourier.filter(dynamo, low * mm.fourier.band(k_par=(0, 2)))


def test_products_of_sharp_bands_are_sharp_on_nyquist_planes():
    rng = np.random.default_rng(2)
    fields = {f"B{c}": rng.normal(size=(8, 8, 8)) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    g = mm.fourier.band(k_par=(0, 1.5)) * mm.fourier.band(k_perp=(0.5, 4.6))
    h = mm.fourier.band(k_par=(0, 1.5), k_perp=(0.5, 4.6))
    one, other = (mm.fourier.filter(ds, t, direction=(1, 1, 0.3)) for t in (g, h))
    np.testing.assert_allclose(one.Bx, other.Bx, atol=1e-13)
    np.testing.assert_allclose(mm.fourier.filter(one, g, direction=(1, 1, 0.3)).Bx, one.Bx, atol=1e-13)

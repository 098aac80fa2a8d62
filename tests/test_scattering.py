"""Models of scattering, and the 1-D Monte Carlo against the exact law of layers."""

import numpy as np
import pytest

import mmfields as mm


@pytest.mark.parametrize("period", [0.05, 1.0, 20.0])
def test_equation_11_is_exact_for_layers_of_any_thickness(period):
    """Harmonic mean of the two coefficients, from layers much thinner to much thicker than a free path."""
    inside, outside, fraction, n = 0.5, 10.0, 0.3, 2500
    want = 1 / (fraction / inside + (1 - fraction) / outside)
    distance = max(60 * want, 3 * period**2 / want)
    run = mm.scattering.one_dimensional(
        n,
        kappa=[inside, outside],
        lengths=[fraction * period, (1 - fraction) * period],
        distance=distance,
        save=[distance],
        seed=4,
    )
    start = np.random.default_rng([4, 0, 2]).random((n, 2))[:, 0] * period
    square = (run.x.isel(path=0).values - start) ** 2
    assert square.mean() / (2 * distance) == pytest.approx(want, rel=4 * np.sqrt(2 / n) + 0.02)


def test_one_layer_is_the_telegraph_process():
    kappa, n = 0.8, 4000
    run = mm.scattering.one_dimensional(n, kappa=[kappa], lengths=[1.0], distance=8.0, save=[0.0, 2.0, 8.0], seed=1)
    rate = 0.5 / kappa
    for path in (2.0, 8.0):
        dx = run.x.sel(path=path) - run.x.sel(path=0.0)
        exact = path / rate - (1 - np.exp(-2 * rate * path)) / (2 * rate**2)
        assert float((dx**2).mean()) == pytest.approx(exact, abs=4 * float((dx**2).std()) / np.sqrt(n))
        same = float((run.vx.sel(path=path) * run.vx.sel(path=0.0)).mean())
        assert same == pytest.approx(np.exp(-2 * rate * path), abs=4 / np.sqrt(n))
    again = mm.scattering.one_dimensional(7, kappa=[kappa], lengths=[1.0], distance=8.0, save=[0.0, 2.0, 8.0], seed=1)
    np.testing.assert_array_equal(again.vx, run.vx.isel(particle=slice(7)))


def test_residence_in_a_layer_is_its_mean_chord():
    """In one dimension 4V/S is the thickness, whatever the scattering inside (Blanco and Fournier)."""
    fraction, n = 0.25, 400
    for inside in (0.02, 50.0):
        run = mm.scattering.one_dimensional(
            n, kappa=[inside, 5.0], lengths=[fraction, 1 - fraction], distance=400.0, save=20000, seed=3
        )
        place = run.x.values % 1.0
        within = place < fraction
        time = within.mean() * 400.0 * n
        entries = (within[:, 1:] & ~within[:, :-1]).sum()
        assert within.mean() == pytest.approx(fraction, abs=0.02)
        if inside > 1:
            assert time / entries == pytest.approx(fraction, rel=0.1)


def test_bad_calls():
    small = mm.scattering.small_angle
    for call, match in (
        (lambda: small(), "give one of the two"),
        (lambda: small(nu=1.0, kappa=1.0), "give one of the two"),
        (lambda: small(nu=-1.0), "positive, finite"),
        (lambda: small(kappa=0.0), "positive, finite"),
        (lambda: mm.scattering.patchy(small(nu=1.0)), "give one of the two"),
        (lambda: mm.scattering.patchy(small(nu=1.0), threshold=-1.0), "field strength"),
        (
            lambda: mm.scattering.one_dimensional(5, kappa=[1.0], lengths=[1.0, 2.0], distance=1.0, seed=1),
            "one of each",
        ),
        (
            lambda: mm.scattering.one_dimensional(5, kappa=[0.0], lengths=[1.0], distance=1.0, seed=1),
            "positive numbers",
        ),
        (
            lambda: mm.scattering.one_dimensional(0, kappa=[1.0], lengths=[1.0], distance=1.0, seed=1),
            "n=0",
        ),
    ):
        with pytest.raises(mm.ArgumentError, match=match):
            call()

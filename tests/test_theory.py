"""Acceptance values of science.md section 1 to 1e-3, slopes and limits to 1e-9."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from scipy.integrate import quad
from scipy.optimize import brentq

import mmfields as mm

th, ICM = mm.theory, mm.theory.ICM
CM2S, TEV = u.cm**2 / u.s, 1 * u.TeV
LONG = replace(ICM, tau=1e11 / 0.02874 * u.s)  # τΩ = 1e11


@pytest.mark.parametrize(
    ("found", "want"),
    [
        (lambda: th.gyroradius(1 * u.GeV).to("pc") * 1e9, 360.34),
        (lambda: th.deflection_angle(TEV), 9.25e-5),
        (lambda: th.scattering_rate(TEV), 8.314e-10),
        (lambda: (th.LIGHT / th.scattering_rate(TEV)).to("pc"), 11.69),
        (lambda: th.kappa_micromirror(TEV), 1.081e30),
        (lambda: th.kappa_perpendicular(), 1.028e21),
        (lambda: th.kappa_perpendicular() / th.kappa_micromirror(TEV), 9.51e-10),
        (lambda: th.thermal_gyroradius() * 1e9, 1.104),
        (lambda: th.gyrofrequency(), 0.02874),
        (lambda: th.micromirror_scale() * 1e9, 22.4),
        (lambda: th.kappa_micromirror(TEV, replace(ICM, l_mm=th.micromirror_scale())), 4.83e30),
        (lambda: th.firehose_amplitude(LONG), 1.778e-3),
        (lambda: th.firehose_ratio(LONG, scale=1e-9 * u.pc), 2.845e-7),
        (lambda: th.kappa_resonant(TEV, delta=0), 9.251e33),
        (lambda: th.kappa_resonant(TEV), 1.418e31),
        (lambda: th.kappa_resonant(TEV, delta=0.5), 5.553e29),
        (lambda: th.transition_energy(delta=0), 92.5),
        (lambda: th.transition_energy(), 4.69),
        (lambda: th.transition_energy(delta=0.5), 0.641),
        (lambda: th.kappa_micromirror(300 * u.GeV), 9.729e28),
        (lambda: th.kappa_resonant(300 * u.GeV), 9.494e30),
        (lambda: th.kappa_effective(th.kappa_micromirror(300 * u.GeV), th.kappa_resonant(300 * u.GeV), 0.1), 8.908e29),
        (lambda: th.streaming_growth_rate(TEV, order_of_magnitude=True), 1.585e-14),
        (lambda: th.streaming_growth_rate(TEV), 4.555e-14),
        (lambda: th.streaming_ratio(TEV, order_of_magnitude=True), 1.906e-5),
        (lambda: th.streaming_ratio(TEV), 5.48e-5),
        (lambda: th.kappa_streaming(), 3.086e28),
        (lambda: th.kappa_field_line(), 9.25e31),
        (lambda: th.micromirror_streaming_ratio(100 * u.GeV), 0.350),
        (lambda: th.micromirror_streaming_ratio(169 * u.GeV), 1.0),
        (lambda: th.escape_speed(100 * u.GeV, 10 * u.kpc), 3.503),
        (lambda: th.escape_speed(1 * u.TeV, 10 * u.kpc), 350.3),
        (lambda: th.escape_speed(534.3 * u.GeV, 10 * u.kpc), 100.0),
        (lambda: th.pressure_anisotropy(0.15 * u.s, 1 * u.s), 0.3225),
        (lambda: th.pressure_anisotropy(0.25 * u.s, 1 * u.s), 0.5625),
        (lambda: th.mirror_onset(1 * u.s), 0.00995),
        (lambda: th.residence_path(volume=4 / 3 * np.pi * u.pc**3, surface=4 * np.pi * u.pc**2), 4 / 3),
    ],
)
def test_acceptance_values(found, want):
    value = u.Quantity(found()).value
    assert float(value) == pytest.approx(want, rel=1e-3)


def test_the_scale_of_micromirrors_is_not_a_hundred_gyroradii():
    """N1: 17.8, 20.3 and 23.7 thermal gyroradii for τΩ of 1e10, 2.9e10 and 1e11."""
    for product, want in ((1e10, 17.8), (2.9e10, 20.3), (1e11, 23.7)):
        medium = replace(ICM, tau=product / th.gyrofrequency().value * u.s)
        assert float(th.micromirror_scale(medium) / th.thermal_gyroradius()) == pytest.approx(want, rel=3e-3)
    assert th.micromirror_scale(order_of_magnitude=True) == 100 * th.thermal_gyroradius()


def slope(function, at, factor=3.0):
    return float(np.log(function(at * factor) / function(at)) / np.log(factor))


def test_slopes_are_exact():
    assert slope(th.kappa_micromirror, TEV) == pytest.approx(2, abs=1e-9)
    assert slope(lambda e: th.kappa_resonant(e, delta=0.4), TEV) == pytest.approx(0.4, abs=1e-9)
    assert slope(th.streaming_ratio, TEV) == pytest.approx(0.4, abs=1e-9)
    assert slope(lambda b: th.kappa_micromirror(TEV, replace(ICM, B=b)), ICM.B) == pytest.approx(-2, abs=1e-9)
    assert slope(lambda v: th.kappa_micromirror(TEV, replace(ICM, l_mm=v)), ICM.l_mm) == pytest.approx(-1, abs=1e-9)
    assert slope(lambda v: th.kappa_micromirror(TEV, replace(ICM, dB_over_B=v)), 0.1) == pytest.approx(-2, abs=1e-9)
    assert slope(lambda e: th.resonant_power(e, slope=1.5), TEV) == pytest.approx(0.5, abs=1e-9)
    assert slope(lambda z: th.kappa_micromirror(TEV, replace(ICM, Z=int(z))), 1, 4) == pytest.approx(-2, abs=1e-9)
    rounded = th.kappa_micromirror(TEV, order_of_magnitude=True)
    assert rounded == 1e30 * CM2S


@pytest.mark.parametrize("delta", [0.0, 1 / 3, 0.5, 0.9])
def test_transition_energies_by_formula_and_by_root(delta):
    energy = th.transition_energy(delta=delta)
    ratio = float(th.kappa_micromirror(energy) / th.kappa_resonant(energy, delta=delta))
    assert ratio == pytest.approx(1, rel=1e-12)

    def difference(log):
        e = np.exp(log) * u.TeV
        mirrors, waves = th.kappa_micromirror(e, check=False), th.kappa_resonant(e, delta=delta, check=False)
        return float(np.log(mirrors / waves))

    assert np.exp(brentq(difference, -20, 20, xtol=1e-13)) == pytest.approx(energy.to_value("TeV"), rel=1e-9)
    for fraction in (0.01, 0.5, 0.7):
        shifted = th.transition_energy(delta=delta, f_mm=fraction) / energy
        assert float(shifted) == pytest.approx((fraction / (1 - fraction)) ** (1 / (2 - delta)), rel=1e-12)


def test_limits_of_the_composite_and_its_bounds():
    inside, outside = 1 * CM2S, 100 * CM2S
    assert th.kappa_effective(inside, outside, 0.0) == outside
    assert th.kappa_effective(inside, outside, 1.0) == inside
    low, high = th.hashin_shtrikman(inside, outside, 0.1)
    assert float(low.value) == pytest.approx(21.7, rel=5e-3) and float(high.value) == pytest.approx(85.9, rel=1e-3)
    assert float(th.kappa_effective(inside, outside, 0.1).value) == pytest.approx(9.17, rel=1e-3)
    for f in (0.0, 1.0):
        low, high = th.hashin_shtrikman(inside, outside, f)
        assert float(low.value) == pytest.approx(float(high.value), rel=1e-12)
    nu = th.effective_rate(2 / u.s, 1 / u.s, 0.25)
    assert nu == 1.25 / u.s
    assert th.kappa_of_rate(nu, dimensions=3) == 2 / 3 * th.kappa_of_rate(nu)


def test_amplitudes_angles_and_running_coefficients():
    k = np.geomspace(1, 1e6, 200) / u.pc
    amplitudes = th.mode_amplitudes(k)
    assert (amplitudes**2).sum() == pytest.approx(1, rel=1e-12)
    assert amplitudes[10] / amplitudes[0] == pytest.approx(float((k[10] / k[0]).value) ** (-1 / 3), rel=1e-12)
    sigma = th.scattering_angle(1e-9 / u.s, 1 * u.pc)
    assert float(sigma) ** 2 == pytest.approx(float((1e-9 / u.s * u.pc / th.LIGHT).to("")), rel=1e-12)
    kappa = 1e30 * CM2S
    assert float(th.running_kappa(1e9 * u.s, kappa, nu=1 / u.s) / kappa) == pytest.approx(1, rel=2e-9)
    early = th.running_kappa(1e-6 * u.s, kappa, nu=1 / u.s) / kappa
    assert float(early) == pytest.approx(0.5e-6, rel=1e-6)
    tiny = th.running_kappa(1e-17 * u.s, kappa, nu=1 / u.s) / kappa
    assert float(tiny) == pytest.approx(5e-18, rel=1e-9)
    assert th.residence_time(th.LIGHT * u.s) == 1 * u.s


def test_arrays_come_back_in_their_shape():
    energies = np.geomspace(0.1, 100, 6).reshape(2, 3) * u.TeV
    for function in (th.kappa_micromirror, th.kappa_resonant, th.deflection_angle, th.streaming_ratio):
        assert function(energies).shape == (2, 3)
        assert u.Quantity(function(energies))[1, 2] == u.Quantity(function(energies[1, 2]))


@pytest.mark.parametrize("delta", [0.2, 1 / 3, 0.5, 1.0])
def test_rates_of_both_add_at_each_pitch_angle(delta):
    """κ∥ = (v²/8) ∫ (1-μ²)² / D_μμ dμ by quadrature in μ, of D_μμ that give each κ alone."""
    alone = 4 / (delta * (2 + delta))  # ∫ (1-μ²) |μ|^(δ-1) dμ from -1 to 1

    def by_quadrature(mirrors, resonant):
        def integrand(mu):
            return (1 - mu**2) / (4 / 3 / mirrors + alone * mu ** (1 - delta) / resonant)

        return quad(integrand, 0, 1, points=[1e-6, 1e-4, 1e-2, 0.1], epsabs=0, epsrel=1e-10)[0] * 2

    for mirrors, resonant in ((1.0, 1.0), (3.0, 1.0), (1.0, 50.0), (1.0, 1e-3)):
        found = float(th.kappa_of_both(mirrors * CM2S, resonant * CM2S, delta=delta).value)
        assert found == pytest.approx(by_quadrature(mirrors, resonant), rel=1e-7)
        assert found < (1 + 1e-12) / (1 / mirrors + 1 / resonant)
    kappas = th.kappa_of_both([1.0, 2.0] * CM2S, [[1e-20], [1e20]] * CM2S, delta=delta)
    np.testing.assert_allclose(kappas.value, [[1e-20, 1e-20], [1, 2]], rtol=1e-3)
    if delta == 1:  # both scatter alike
        assert float(th.kappa_of_both(2 * CM2S, 3 * CM2S, delta=delta).value) == pytest.approx(6 / 5, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: th.kappa_micromirror(1e12), "an astropy Quantity"),
        (lambda: th.kappa_micromirror(1 * u.pc), "E=1.0 pc"),
        (lambda: th.kappa_micromirror(-1 * u.TeV), "positive"),
        (lambda: th.kappa_micromirror(np.nan * u.TeV), "finite"),
        (lambda: th.kappa_micromirror(100 * u.MeV, check=True), r"only above 0\.278"),
        (lambda: th.kappa_resonant(1e6 * u.EeV, check=True), "below l_c"),
        (lambda: th.kappa_resonant(TEV, delta=2), "delta=2"),
        (lambda: th.transition_energy(f_mm=1.0), "f_mm=1.0"),
        (lambda: th.kappa_effective(1 * CM2S, 2.0, 0.1), "kappa_res=2.0"),
        (lambda: th.kappa_effective(1 * CM2S, 2 * CM2S, 1.2), "f_mm=1.2"),
        (lambda: th.kappa_of_both(1 * CM2S, -2 * CM2S), "kappa_res=-2.0"),
        (lambda: th.kappa_of_both(1 * CM2S, 2 * CM2S, delta=0), "delta=0"),
        (lambda: th.kappa_of_both(1 * CM2S, 2 * CM2S, delta=[0.3, 0.5]), "one number"),
        (lambda: th.kappa_of_rate(1 / u.s, dimensions=2), "dimensions=2"),
        (lambda: th.Medium(B=3.0), "B=3.0"),
        (lambda: th.Medium(l_c=1 * u.s), "l_c=1.0 s"),
        (lambda: th.Medium(Z=0), "Z=0"),
        (lambda: th.mode_amplitudes([-1.0, 2.0]), "positive wavenumbers"),
        (lambda: th.mode_amplitudes([1.0, np.inf]), "finite"),
        (lambda: th.kappa_micromirror(TEV, 3), "medium=3"),
    ],
)
def test_what_is_not_possible_is_refused(call, message):
    with pytest.raises(mm.ArgumentError, match=message):
        call()


def test_rounded_forms_scale_as_the_paper_prints_them():
    twice = replace(ICM, B=6 * u.uG, T=20 * u.keV)
    of = lambda f, **o: float(f(TEV, twice, order_of_magnitude=True, **o) / f(TEV, order_of_magnitude=True, **o))  # noqa: E731
    assert of(th.streaming_growth_rate) == pytest.approx(2)  # (B/3 µG)
    assert of(th.streaming_ratio) == pytest.approx(0.5)  # T^-1/2, and no B
    by_temperature = [th.kappa_micromirror(TEV, m, order_of_magnitude="temperature") for m in (ICM, twice)]
    assert float(by_temperature[1] / by_temperature[0]) == pytest.approx(0.25)  # T^-1/2 B^-1
    assert by_temperature[0].to_value(CM2S) == pytest.approx(1e30)
    tied = [th.kappa_micromirror(TEV, replace(m, l_mm=100 * th.thermal_gyroradius(m))) for m in (ICM, twice)]
    assert float(tied[1] / tied[0]) == pytest.approx(0.25)  # the same from the exact form
    assert th.transition_energy(order_of_magnitude=True).to_value("TeV") == pytest.approx(5)
    assert th.transition_energy(delta=0.5, order_of_magnitude=True).to_value("TeV") == pytest.approx(0.6)
    general = th.transition_energy(delta=0.4, order_of_magnitude=True) / th.transition_energy(delta=0.4)
    assert float(general) == pytest.approx(300 / 277.5, rel=1e-3)
    half = th.transition_energy(replace(ICM, dB_over_B=1 / 6), order_of_magnitude=True)
    assert half.to_value("TeV") == pytest.approx(5 * 0.5**1.2)


def test_the_growth_rate_has_its_parameters():
    rate = th.streaming_growth_rate(TEV, density_ratio=2e-7, alpha=2.2, drift=3.0)
    assert float(rate / th.streaming_growth_rate(TEV)) == pytest.approx(2 * 3 * 1e3**0.4)


def test_resonant_power_of_any_spectrum():
    """A power law below l_c, written out, is the closed form times the (2π)^(1-ξ) of its lower limit."""
    slope = 5 / 3
    law = lambda k: (slope - 1) * ICM.l_c * (k * ICM.l_c).to_value("") ** -slope  # noqa: E731
    E = [1, 30] * u.PeV
    found = th.resonant_power(E, spectrum=law)
    np.testing.assert_allclose(found, th.resonant_power(E, slope=slope) * (2 * np.pi) ** (1 - slope), rtol=1e-6)
    density = (ICM.B.to_value("G") ** 2 / (8 * np.pi)) * u.erg / u.cm**3
    np.testing.assert_allclose(th.resonant_power(E, spectrum=lambda k: law(k) * density), found, rtol=1e-9)
    cut = th.resonant_power(E, spectrum=lambda k: np.exp(-(k / (1 / u.pc)).to_value("")) * u.pc)
    np.testing.assert_allclose(cut, np.exp(-(2 * np.pi * u.pc / th.gyroradius(E)).to_value("")), rtol=1e-6)
    kappa = th.kappa_of_power(E, found)
    np.testing.assert_allclose((kappa / (th.LIGHT * th.gyroradius(E)) * found).to_value(""), 1)
    with pytest.raises(mm.ArgumentError, match="spectrum"):
        th.resonant_power(E, spectrum=lambda k: 1 * u.s)


def test_the_limit_of_high_energies():
    E = 1 * u.ZeV
    as_mirrors = th.kappa_micromirror(E, replace(ICM, l_mm=ICM.l_c, dB_over_B=1.0))
    assert float(th.kappa_high_energy(E) / as_mirrors) == pytest.approx(1)
    assert float(th.kappa_high_energy(E) * th.rate_high_energy(E) / th.LIGHT**2) == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "identifier"),
    [
        (lambda **o: th.kappa_micromirror(0.1 * u.GeV, **o), "l_mm"),
        (lambda **o: th.deflection_speed(0.1 * u.GeV, **o), "l_mm"),
        (lambda **o: th.kappa_resonant(1 * u.ZeV, **o), "l_c"),
        (lambda **o: th.kappa_high_energy(1 * u.TeV, **o), "l_c"),
    ],
)
def test_where_a_formula_does_not_hold_is_a_warning(call, identifier, recwarn):
    call(check=False)
    assert not recwarn
    with pytest.warns(mm.MmfieldsWarning, match=identifier):
        call()
    with pytest.raises(mm.ArgumentError, match=identifier):
        call(check=True)


def test_a_walk_that_remembers_its_direction():
    """Eq. 20 against a walk on a line that is simulated, and its printed form, which counts the memory twice."""
    rng, alpha, steps, walkers = np.random.default_rng(1), 0.8, 40, 40_000
    turns = rng.random((walkers, steps)) < (1 - alpha) / 2
    turns[:, 0] = rng.random(walkers) < 0.5
    x = np.cumprod(np.where(turns, -1, 1), axis=1).sum(axis=1)
    found = th.kappa_of_walk(1 * u.pc, alpha, steps) / (th.LIGHT * u.pc)
    measured, error = (x**2).mean() / (2 * steps), (x**2).std() / (2 * steps) / np.sqrt(walkers)
    assert abs(found.to_value("") - measured) < 4 * error
    assert measured * 2 < (th.kappa_of_walk(1 * u.pc, alpha, steps, printed=True) / (th.LIGHT * u.pc)).to_value("")
    short = th.kappa_of_walk(1e-6 * u.pc, np.exp(-1e-6), 3_000_000)  # Eq. 20 of many small angles, ν₁ = c/pc
    running = th.running_kappa(3 * u.pc / th.LIGHT, 1 * u.pc * th.LIGHT, nu=th.LIGHT / u.pc)
    assert float(short / running) == pytest.approx(1, rel=1e-5)


def test_times_within_a_patch():
    times = th.patch_times(10 * u.pc, mean_free_path=2 * u.pc)
    assert times["p_back"] + times["p_through"] == pytest.approx(1)
    assert (times["diffusive"] * th.LIGHT).to_value("pc") == pytest.approx(8)
    assert (times["ballistic"] * th.LIGHT).to_value("pc") == pytest.approx(2)
    assert float(times["total"] / th.residence_time(10 * u.pc)) == pytest.approx(1)
    with pytest.raises(mm.ArgumentError, match="mean_free_path"):
        th.patch_times(1 * u.pc, mean_free_path=2 * u.pc)


def test_the_papers_steps_do_not_resolve_gyration_between_30_GeV_and_9_PeV():
    turns = lambda E: th.simulation_rules(E)["gyroradii"]  # noqa: E731
    assert turns(6 * u.GeV) == pytest.approx(0.2, rel=0.05)
    assert turns(31 * u.GeV) == pytest.approx(1, rel=0.05)
    assert turns(1 * u.TeV) == pytest.approx(32, rel=0.05)
    assert turns(9 * u.PeV) == pytest.approx(1, rel=0.1)
    assert not th.simulation_rules(100 * u.GeV)["resolves_gyration"]
    rules = th.simulation_rules(1 * u.ZeV)
    assert rules["distance"] >= 5 * ICM.l_c and rules["resolves_gyration"] == (rules["gyroradii"] <= 0.2)

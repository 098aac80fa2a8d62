"""The numbers that the figures of the paper stand on, at a reduced size, and the command that makes them."""

import json
import os
from dataclasses import replace
from functools import partial

import matplotlib
import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from matplotlib import pyplot as plt
from scipy.optimize import brentq

import mmfields as mm
from mmfields import paper
from mmfields.io.storing import MARKER
from mmfields.paper import crossing, fig2, fig4, fig5, transition

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def computed():
    """Results of each figure, computed once."""
    kept = {}

    def get(name):
        if name not in kept:
            kept[name] = paper.compute(name, reduced=True)
        return kept[name]

    return get


@pytest.mark.parametrize("name", paper.FIGURES)
def test_every_figure_is_drawn(computed, name, tmp_path):
    drawn = paper.figure(name).draw(computed(name))
    drawn.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 20_000
    assert all(ax.get_xlabel() or ax.name == "3d" or not ax.axison or ax.get_ylabel() for ax in drawn.axes)
    matplotlib.pyplot.close(drawn)


def test_figure_1_states_the_rms_of_the_array(computed):
    found, results = paper.figure("fig1").numbers(computed("fig1")), computed("fig1")
    for i, name in ((0, "early"), (-1, "late")):
        ds = mm.samples.load("micromirrors").isel(time=i).compute()
        assert found[f"rms_{name}"] == pytest.approx(float(ds.Bx.astype(float).std()), rel=1e-6)
        title = f"rms {found[f'rms_{name}']:.4f}"
        assert any(title in ax.get_title() for ax in paper.figure("fig1").draw(results).axes)
    assert found["rms_late"] == pytest.approx(0.1807, abs=1e-4)
    assert found["skewness_late"] == pytest.approx(0.677, abs=1e-3)
    matplotlib.pyplot.close("all")


def test_figure_2_grows_with_the_square_of_energy(computed):
    found = paper.figure("fig2").numbers(computed("fig2"))
    assert abs(found["slope"] - 2) < max(0.1, 2 * found["slope_error"])
    assert 0.3 < found["kappa_par_over_eq5_late"] < 2
    assert 0.1 < found["kappa_perp_over_eq6_late"] < 1
    assert abs(found["kappa_perp_slope"]) < 0.4
    assert found["residual_over_full"] > 2
    # the early field has its own scale and strength: Eqs. 5 and 6 of the late one would be off by both
    assert found["l_mm_early"] < 0.8 * found["l_mm_late"]
    assert 0.1 < found["kappa_par_over_eq5_early"] < 1
    assert found["free_paths_least_late"] > 5
    assert all(found[n] > 1.3 for n in found if n.startswith("least_exponent_of_limits"))


def test_figure_2_does_not_depend_on_the_order_of_its_parts(computed):
    results, figure = computed("fig2"), paper.figure("fig2")
    backwards = dict(reversed(list(results.items())))
    assert figure.numbers(backwards) == figure.numbers(results)


def test_lines_of_eqs_5_and_6_are_of_each_field_by_itself(computed):
    """The early field's line lies where its own l_perp and strength put it, from its own l_mm on."""
    results, figure = computed("fig2"), paper.figure("fig2")
    along, across = figure.draw(results).axes[:2]
    scales, ICM = results["scales"], mm.theory.ICM
    for name, number in (("late", 0), ("early", 1)):
        own, late = scales.sel(field=name), scales.sel(field="late")
        ratio = float(own.l_perp / late.l_perp)
        medium = replace(ICM, dB_over_B=float(own.dB_par_rms), l_mm=ICM.l_mm * ratio)
        line = [one for one in along.lines if one.get_linestyle() == "-" and len(one.get_xdata()) == 50][number]
        E = line.get_xdata() * u.GeV
        assert float(mm.theory.gyroradius(E[0]) / medium.l_mm) == pytest.approx(1, rel=1e-6)
        expected = mm.theory.kappa_micromirror(E, medium, check=False)
        np.testing.assert_allclose(line.get_ydata(), expected.value)
        assert any(np.isclose(one.get_ydata()[0], mm.theory.kappa_perpendicular(medium).value) for one in across.lines)
    # open symbols are those that are not diffusive yet
    opened = [one for one in along.lines if one.get_markerfacecolor() == "white" and one.get_markersize() == 6]
    found = figure.numbers(results)
    assert sum(len(one.get_xdata()) for one in opened) == sum(found[f"limits_{name}"] for name in fig2.FIELDS)


def test_figure_3_crosses_at_a_few_TeV(computed):
    """Both κ along the field, or both per axis; the two differ, as tangled lines leave less than a third of κ∥."""
    found = paper.figure("fig3").numbers(computed("fig3"))
    assert 3000 < found["crossing_per_axis_GeV"] < 6000
    assert found["crossing_per_axis_GeV"] < found["crossing_along_GeV"] < 10000
    assert found["crossing_printed_GeV"] == pytest.approx(4690, rel=1e-3)
    assert found["crossing_half_GeV"] == pytest.approx(641, rel=1e-3)
    assert found["lines_off_eq11"] < 4 * np.sqrt(2 / 1000)
    mixed = [v for k, v in found.items() if k.startswith("mixed_") and "lines" not in k and "error" not in k]
    assert mixed and all(1 / 4 < v < 1.3 for v in mixed)


def test_the_traced_transition_is_that_of_two_laws():
    """What ships: κ∥ of resolved orbits in all media, against Eq. 5 and one power law of the cascade."""
    table = crossing.traced()
    found = crossing.laws(table)
    freedom = found["points"] - 4
    assert found["chi_squared"] < freedom + 5 * np.sqrt(2 * freedom)
    assert all(found["chi_squared"] <= found[f"chi_squared_{name}"] + 1e-6 for name in crossing.SHAPES)
    assert abs(found["micromirrors_over_eq5"] - 1) < 4 * found["micromirrors_over_eq5_error"]
    for exponent in ("exponent", "cascade_exponent"):
        assert found[exponent] == pytest.approx(1 / 3, abs=0.1)
    assert found["leaves_micromirrors_GeV"] < found["crossing_GeV"] < found["joins_cascade_GeV"]
    # either filling fraction alone, and other shapes, say the same: the cascade alone and Eq. 5 fix it
    for f in (1.0, 0.1):
        one = crossing.laws(table.isel(run=table["fraction"].values != f))
        assert one["crossing_GeV"] == pytest.approx(found["crossing_GeV"], abs=2 * one["crossing_error_GeV"])
    for name in crossing.SHAPES:
        assert found[f"crossing_{name}_GeV"] == pytest.approx(found["crossing_GeV"], rel=0.1)


def test_the_crossing_of_laws_that_are_known_is_found():
    """Points of three media with errors: what is found scatters about what went in as its errors say."""
    random, unit = np.random.default_rng(0), transition.gyroradius(1.0)
    x, fraction = np.tile(np.geomspace(1e-11, 1e-5, 16), 3), np.repeat([0.0, 0.1, 1.0], 16)
    y = crossing._law(x, fraction, np.log(3e-8), np.log(0.8), 0.3, 0.4)
    np.testing.assert_allclose(y[32], 0.8 * transition.micromirrors(1e-11), rtol=1e-3)
    exact = crossing._crossing(x, fraction, y, 0.03 * y)
    right = {
        "crossing_GeV": 3e-8 / unit,
        "micromirrors_over_eq5": 0.8,
        "exponent": 0.3,
        "shape": 0.4,
        "cascade_over_eq15": 0.8 * transition.micromirrors(3e-8) / 3e-8 ** (1 / 3),
    }
    assert {name: exact[name] for name in right} == pytest.approx(right, rel=1e-3)
    assert exact["chi_squared"] < 1e-3 < exact["chi_squared_kappas_add"]
    noisy = [
        crossing._crossing(x, fraction, y * np.exp(0.03 * random.standard_normal(x.size)), 0.03 * y) for _ in range(40)
    ]
    for name, value in right.items():
        error = "crossing_error_GeV" if name == "crossing_GeV" else f"{name}_error"
        pulls = np.array([(found[name] - value) / found[error] for found in noisy])
        assert abs(pulls.mean()) < 0.6 and np.std(pulls) == pytest.approx(1, abs=0.35), name


def test_crossings_of_other_media_are_roots_of_their_laws():
    """With l_c halved, and with micromirrors of another strength: where the laws meet, found by bisection."""
    known, unit = np.array([np.log(3e-8), np.log(0.8), 0.3, 0.4]), transition.gyroradius(1.0)
    x, fraction = np.tile(np.geomspace(1e-11, 1e-5, 12), 2), np.repeat([0.0, 1.0], 12)
    y = crossing._law(x, fraction, *known)
    found = crossing._crossing(x, fraction, y, 0.05 * y)

    def met(l_c, factor):
        """r_g in the l_c of before at which κ of micromirrors is b l_c (r_g / l_c)^δ of the cascade."""
        b = 0.8 * transition.micromirrors(3e-8) / 3e-8**0.3
        law = lambda r: factor * transition.micromirrors(r) - b * l_c * (r / l_c) ** 0.3  # noqa: E731
        return brentq(law, 1e-12, 1e-4, xtol=1e-16)

    assert found["crossing_GeV"] == pytest.approx(met(1.0, 0.8) / unit, rel=1e-3)
    assert found["crossing_two_sided_GeV"] == pytest.approx(met(0.5, 0.8) / unit, rel=1e-3)
    assert crossing.crossing_of(found, 0.5) == pytest.approx(met(1.0, 0.5) / unit, rel=1e-3)
    leaves, joins = (energy * unit for energy in crossing._limits(known))
    for at, alone in ((leaves, 0.8 * transition.micromirrors(leaves)), (joins, crossing._law(joins, 0.0, *known))):
        assert crossing._law(np.array(at), 1.0, *known) == pytest.approx(0.9 * alone, rel=1e-3)


def test_tables_that_lack_points_have_no_laws_and_are_drawn():
    table = crossing.traced()
    mirrors = table.isel(run=table["fraction"].values == 1)
    high = table.isel(run=(table["fraction"].values != 0.1) | (table["ratio"].values > 1e-8))
    above = high.assign(ratio=high["ratio"].where(high["fraction"] != 0.1, 0.1))  # none of f = 0.1 below the limit
    unknown = table.assign(kappa_par=table["kappa_par"].where(table["energy_GeV"] != 1e4))
    assert not crossing.has_laws(mirrors)
    plt.close(crossing.drawn(mirrors))
    for lacking in (above, unknown):
        assert crossing.laws(lacking)["crossing_GeV"] == pytest.approx(crossing.laws(table)["crossing_GeV"], rel=0.2)
    with pytest.raises(mm.SnapshotError, match="no part"):
        crossing.table({})


def test_a_run_in_full_that_is_not_enough_for_laws_says_its_points(tmp_path):
    found = paper.run("fig3", tmp_path, reduced=True, full=True, progress=False)
    assert set(found) == {"kappa_par_f0_1e+09GeV", "kappa_par_f1_10GeV"}
    assert (tmp_path / "fig3.png").stat().st_size > 10_000
    with pytest.raises(mm.SnapshotError, match="two points"):
        crossing.laws(crossing.table(paper.compute("fig3", tmp_path, reduced=True, full=True)))


def test_parts_of_the_full_figure_are_rows_of_its_table(tmp_path):
    """The reduced run, stored, and read as the whole one is; a part again by itself is the same to the bit."""
    results = paper.compute("fig3", tmp_path, reduced=True, full=True)
    table = crossing.table(results)
    assert set(table["fraction"].values) == {0.0, 1.0} and table.sizes["run"] == 4
    mirrors = table.isel(run=table["fraction"].values == 1)
    law = [transition.added_rates(float(x), 1.0) for x in mirrors["ratio"]]
    np.testing.assert_allclose(mirrors["kappa_par"], law, rtol=0.6)
    assert (table["kappa"].notnull() == (table["fraction"] == 0)).all()
    name = next(iter(results))
    again = transition.parts(reduced=True)[name]().compute()
    xr.testing.assert_equal(again, results[name])
    with pytest.raises(mm.ArgumentError, match="fig3"):
        paper.compute("fig4", full=True)


def test_figure_4_deflects_within_the_patches(computed):
    found = paper.figure("fig4").numbers(computed("fig4"))
    # orbits through a field without divergence fill it evenly, so that a tenth of their starts and paths lies inside
    assert 0.03 < found["path_inside"] < 0.25
    assert found["rate_inside_over_eq13"] == pytest.approx(1, rel=0.05)
    assert found["rate_outside_over_inside"] < 1e-6  # nothing but gyration turns them there
    assert 1e-4 < found["gyration_outside_over_inside"] < 0.05
    assert found["deflections_inside"] > 1 - 1e-5


def test_figure_4_draws_orbits_that_enter_patches_and_stay_in_the_box(computed):
    results = computed("fig4")
    orbits, level = results["orbits"], float(results["patches"]["threshold"])
    there = orbits["B"].notnull()
    assert all((((orbits[d] >= 0) & (orbits[d] <= fig4.BOX)) | ~there).all() for d in "xyz")
    assert ((orbits["B"] >= level).any("path") & (orbits["B"] < level).any("path")).any()
    zoom = results["zoom"]
    near = np.logical_and.reduce([(orbits[d] > zoom[d].min()) & (orbits[d] < zoom[d].max()) for d in "xyz"])
    assert (near & (orbits["B"] >= level)).any() and (near & (orbits["B"] < level)).any()


def test_figure_5_layers_follow_eq_11_and_blobs_do_not(computed):
    found = paper.figure("fig5").numbers(computed("fig5"))
    assert found["contrast"] == pytest.approx(97.58, abs=0.01)
    assert found["layers_off_eq11_in_errors"] < 4
    assert found["blobs_out_of_bounds"] < 4
    assert found["blobs_over_eq11_0.3"] > 3
    assert abs(found["mixed_over_eq11_0.3"] - 1) < 4 * found["mixed_over_eq11_0.3_error"] + 0.05


def test_figure_5_orbits_diffuse_between_their_ends_and_no_faster_without_patches_than_waves_alone(computed):
    results = computed("fig5")
    found = paper.figure("fig5").numbers(results)
    for length in ("2", "10"):
        low, middle, high = (found[f"kappa_{length}_{f}"] for f in ("1", "0.3", "0"))
        assert low < middle < high / 3
        assert found[f"bound_over_eq11_{length}_0.3"] > 1
    # on lines that are tangled a third of kappa_par is the most
    assert found["kappa_10_0"] < found["kappa_par_0"] / 3 + 3 * found["kappa_par_0_error"]
    ends = fig5.against_ends(results).sel(f_mm=[0.0, 1.0]).mean("realization")
    assert np.allclose(ends, 1)


def test_figure_5_threshold_leaves_the_wanted_fraction_of_other_places():
    field, f = fig5.waves(1), 0.3
    places = np.random.default_rng(77).uniform(0, 100 * field.longest, (3, 20_000))
    inside = np.linalg.norm(field.at(*places), axis=-1) >= fig5.threshold(field, f)
    assert inside.mean() == pytest.approx(f, abs=4 * np.sqrt(f * (1 - f) * (1 / 20_000 + 1 / 50_000)))


def test_a_part_that_is_there_is_not_computed_again(tmp_path, monkeypatch):
    first = paper.compute("fig4", tmp_path, reduced=True)

    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr("mmfields.tracing.trace", refuse)
    again = paper.compute("fig4", tmp_path, reduced=True)
    assert first.keys() == again.keys()
    for name, ds in first.items():
        xr.testing.assert_identical(ds, again[name])


def test_a_part_of_other_arguments_is_refused(tmp_path, monkeypatch):
    """As a part was left by an earlier version, whose figure had other energies or fewer particles."""
    small = {"orbits": partial(fig4.traced, count=8, distance=0.5, every=1, seed=1)}
    monkeypatch.setattr(fig4, "parts", lambda reduced: small)
    first = paper.compute("fig4", tmp_path, reduced=True)
    (tmp_path / "orbits.json").unlink()  # of a directory that does not say by which call a part was made
    xr.testing.assert_identical(first["orbits"], paper.compute("fig4", tmp_path, reduced=True)["orbits"])
    small["orbits"] = partial(fig4.traced, count=8, distance=0.51, every=1, seed=1)
    with pytest.raises(mm.SnapshotError, match="already holds other data"):
        paper.compute("fig4", tmp_path, reduced=True)
    small["orbits"] = partial(fig4.traced, count=8, distance=0.5, every=1, seed=1)
    chunk = next(p for p in (tmp_path / "orbits.zarr" / "x" / "c").rglob("*") if p.is_file())
    chunk.rename(chunk.with_name("renamed"))
    again = paper.compute("fig4", tmp_path, reduced=True)
    xr.testing.assert_identical(first["orbits"], again["orbits"])


def test_an_interrupted_part_is_completed(tmp_path):
    whole = paper.compute("fig4", tmp_path / "out", reduced=True)
    store = tmp_path / "out" / "orbits.zarr"
    chunks = sorted(p for p in (store / "x").rglob("*") if p.is_file() and p.name != "zarr.json")
    others = {p: os.stat(p).st_mtime_ns for p in chunks[1:]}
    chunks[0].unlink()
    (store / MARKER).touch()
    again = paper.compute("fig4", tmp_path / "out", reduced=True)
    xr.testing.assert_identical(whole["orbits"], again["orbits"])
    assert {p: os.stat(p).st_mtime_ns for p in others} == others


def test_another_figure_in_the_same_directory_is_refused(tmp_path):
    paper.run("fig1", tmp_path, progress=False)
    assert json.loads((tmp_path / "numbers.json").read_text())["rms_late"] == pytest.approx(0.1807, abs=1e-4)
    with pytest.raises(mm.SnapshotError, match="already holds"):
        paper.compute("fig2", tmp_path)
    with pytest.raises(mm.ArgumentError, match="fig1, fig2"):
        paper.figure("fig6")

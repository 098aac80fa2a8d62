"""Mirrors along lines: wells of a periodic bottle, nested ones, patches of layers; and particles in a bottle."""

import numpy as np
import pytest
import xarray as xr

import mmfields as mm


def bottle(n=128, depth=0.4, period=32.0):
    """|B| along x alone: Bx = 1 + depth cos 2πx/period on one axis, four periods of it."""
    x = (np.arange(n) + 0.5) * 4 * period / n
    b = 1 + depth * np.cos(2 * np.pi * x / period)
    return mm.io.from_arrays(Bx=b, By=0 * b, Bz=0 * b, spacing={"x": 4 * period / n}, dims=("x",))


def test_wells_of_a_periodic_bottle():
    lines = mm.field_lines(bottle(), [[40.0, 0, 0], [50.0, 0, 0]], length=100.0, step=0.25, save=400, variables=[])
    found = mm.lines.wells(lines, most=8).compute()
    np.testing.assert_array_equal(found["count"], [5, 5])
    inside = found.isel(well=slice(0, 5))
    np.testing.assert_allclose(inside["B_min"], 0.6, atol=6e-3)
    np.testing.assert_allclose(inside["B_peak"], 1.4, atol=6e-3)
    np.testing.assert_allclose(inside["length"], 32.0, atol=1.0)
    np.testing.assert_allclose(inside["loss_cone"], np.degrees(np.arcsin(np.sqrt(0.6 / 1.4))), atol=0.4)
    np.testing.assert_allclose(inside["trapped"], np.sqrt(1 - 0.6 / 1.4), atol=6e-3)
    bottom = np.sort(inside["position"].values, axis=1) + np.array([[40.0], [50.0]])
    np.testing.assert_allclose(bottom % 32, 16.0, atol=1.01)
    assert found["B_min"].isel(well=slice(5, None)).isnull().all()
    np.testing.assert_allclose(found["way"], 200.0)


def test_a_well_within_a_well_spills_into_the_deeper_one():
    x = np.arange(0, 100.0)
    b = np.interp(x, [0, 10, 30, 40, 50, 70, 99], [1.0, 3.0, 1.0, 1.5, 1.2, 4.0, 1.0])
    ds = mm.io.from_arrays(Bx=b, By=0 * b, Bz=0 * b, spacing={"x": 1.0}, dims=("x",), boundary="open")
    lines = mm.field_lines(ds, [[50.5, 0, 0]], length=60.0, step=0.5, save=120)
    found = mm.lines.wells(lines, most=3).isel(line=0).compute()
    assert int(found["count"]) == 2
    np.testing.assert_allclose(found["B_min"][:2], [1.0, 1.2], atol=1e-9)
    np.testing.assert_allclose(found["B_peak"][:2], [3.0, 1.5], atol=1e-9)
    # the deeper one up to where the rise to 4 has come to 3, the other to where it has come to 1.5
    np.testing.assert_allclose(found["length"][:2], [40 + 20 * 1.8 / 2.8, 10 + 20 * 0.3 / 2.8], atol=1e-6)


def test_what_a_bottle_traps_by_volume_is_known():
    field = bottle(depth=0.4)
    lines = mm.field_lines(field, 400, length=32.0, step=0.25, save=32)
    held = mm.lines.trapped(lines).compute()
    x = np.linspace(0, 2 * np.pi, 4001)
    law = np.mean(np.sqrt(1 - (1 + 0.4 * np.cos(x)) / 1.4))
    assert float(held["trapped"][-1]) == pytest.approx(law, rel=0.01)
    assert float(held["trapped"][0]) == 0 and (held["trapped"].diff("path") >= -1e-12).all()


def test_patches_along_lines_are_layers_in_series():
    x = np.arange(60.0)
    mask = ((x // 10) % 3 == 0).astype(float)  # a third of the box, in layers of 10
    b = np.ones(60)
    ds = mm.io.from_arrays(Bx=b, By=0 * b, Bz=0 * b, spacing={"x": 1.0}, dims=("x",), patch=mask)
    lines = mm.field_lines(ds, [[3.0, 0, 0], [17.0, 0, 0]], length=90.0, step=0.5, save=180, variables=["patch"])
    found = mm.lines.sequence(lines, "patch", inside=0.5, outside=4.0).compute()
    np.testing.assert_allclose(found["fraction"], 1 / 3, atol=1e-9)
    np.testing.assert_allclose(found["kappa"], 1 / (1 / 3 / 0.5 + 2 / 3 / 4.0), rtol=1e-6)
    assert float(found["mean_fraction"]) == pytest.approx(1 / 3)
    np.testing.assert_array_equal(found["crossings"], 12)
    with pytest.raises(mm.ArgumentError, match="together"):
        mm.lines.sequence(lines, "patch", inside=1.0)
    with pytest.raises(mm.SnapshotError, match="variables"):
        mm.lines.sequence(lines, "nothing")


def test_kappa_of_a_tube_is_that_of_its_steady_flux_and_content():
    """Rays in a tube of section 1/B: the flux is -κ n'/B, and what it holds n/B."""
    field = bottle(n=512, depth=0.4)
    marked = field.assign(strong=(field["Bx"] > 1.2).astype(float))
    lines = mm.field_lines(marked, [[64.0, 0, 0]], length=64.0, step=0.05, save=1280, variables=["strong"])
    found = mm.lines.sequence(lines, "strong", inside=0.1, outside=2.0).compute()
    b = 1 + 0.4 * np.cos(np.linspace(0, 2 * np.pi, 100_000, endpoint=False))
    expected = 1 / (np.mean(b / np.where(b > 1.2, 0.1, 2.0)) * np.mean(1 / b))
    assert float(found["kappa_tube"][0]) == pytest.approx(expected, rel=0.02)
    assert expected < 0.9 * float(found["kappa"][0])


def test_nothing_is_computed_at_the_call(no_compute):
    lines = mm.field_lines(bottle().chunk(x=32), 200, length=32.0, step=0.5, save=16)
    for found in (mm.lines.wells(lines), mm.lines.trapped(lines), mm.lines.sequence(lines, "B", level=1.0)):
        assert any(v.chunks is not None for v in found.data_vars.values())


def orbit(mu, b, path):
    """Trajectories by hand, of two particles alike."""
    both = {n: (("particle", "path"), np.stack([v, v])) for n, v in (("mu", mu), ("B", b), ("x", path))}
    both |= {n: (("particle", "path"), np.zeros((2, len(path)))) for n in "yz"}
    means = {f"mean_B{d}": ((), 1.0) for d in "xyz"} | {"B_rms": ((), 1.0)}
    return xr.Dataset(both | means, {"path": path})


def test_a_particle_in_a_bottle_reverses_keeps_its_moment_and_is_trapped():
    """B = 1 + z² and M conserved: z = a sin ws, with μ = sqrt(1 - B/B_turn)."""
    s = np.arange(0, 200.0, 0.01)
    a = 0.7
    top = 1 + a**2
    w = 1 / np.sqrt(top)
    z = a * np.sin(w * s + 0.3)
    mu = a * w * np.cos(w * s + 0.3)
    found = mm.transport.trapping(orbit(mu, 1 + z**2, s), tolerance=1e-3)
    assert float(found["reversal_rate"]) == pytest.approx(w / np.pi, rel=0.02)
    assert float(found["trapped_fraction"]) == pytest.approx(1.0)
    assert float(found["moment_jump"]) < 1e-4
    stays = found["stay"].values
    np.testing.assert_array_equal(found["survival"].values, (stays < np.pi / w) * 1.0)


def test_jumps_of_the_moment_end_a_stay():
    s = np.arange(0, 400.0, 0.05)
    w = 1.0
    mu = 0.4 * np.cos(w * s)
    b = (1 - mu**2) * np.where(s < 200, 1.0, np.e**0.5)  # M falls by e^-1/2 halfway
    found = mm.transport.trapping(orbit(mu, b, s), tolerance=0.1)
    turns = np.pi / w * (np.arange(127) + 0.5)
    across = np.searchsorted(turns, 200) - 1
    share = 1 - (turns[across + 1] - turns[across]) / (turns[-1] - turns[0])
    assert float(found["trapped_fraction"]) == pytest.approx(share, abs=1e-3)
    assert float(found["moment_jump"]) == pytest.approx(0.5 / np.sqrt(126), rel=1e-3)
    assert float(found["residence"]) == pytest.approx((turns[-1] - turns[0] - np.pi) / 2, rel=1e-3)


def test_reversals_in_a_random_order_have_no_memory_and_agree_by_chance():
    rng = np.random.default_rng(6)
    s = np.arange(0, 4000 * np.pi, 0.05)
    level = 0.5 * rng.normal(size=4001)[np.rint(s / np.pi - 0.5).astype(int)]
    mu = 0.3 * np.cos(s)
    found = mm.transport.trapping(orbit(mu, (1 - mu**2) * np.exp(level), s), tolerance=0.2)
    assert abs(float(found["moment_memory"])) < 0.05
    assert float(found["trapped_fraction"]) == pytest.approx(float(found["trapped_by_chance"]), abs=0.02)
    held = mm.transport.trapping(orbit(mu, (1 - mu**2) * np.exp(np.where(s < 2000 * np.pi, 0, 1)), s), tolerance=0.2)
    assert float(held["moment_memory"]) > 0.99


def test_gyration_reverses_what_its_average_does_not():
    s = np.arange(0, 100.0, 0.1)
    mu = 0.2 + 0.5 * np.sin(2 * np.pi * s)  # ten saved points a gyration
    tr = orbit(mu, 1 + 0 * s, s)
    assert float(mm.transport.trapping(tr)["reversal_rate"]) == pytest.approx(2.0, rel=0.02)
    assert float(mm.transport.trapping(tr, average=10)["reversal_rate"]) == 0
    with pytest.raises(mm.SnapshotError, match="averaged"):
        mm.transport.trapping(tr, average=5000)

"""Field lines through functions, and through a snapshot with waves beside it."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import mmfields as mm


def dipole(x, y, z):
    r2 = x * x + y * y + z * z
    r5 = r2 * r2 * np.sqrt(r2)
    return 3 * x * z / r5, 3 * y * z / r5, (2 * z * z - x * x - y * y) / r5


def turning(x, y, z, time):
    return 0.5 * np.cos(z - time), -0.5 * np.sin(z - time), 1.0


def broken(x, y, z):
    return 1.0, 0.0, np.sqrt(1.0 - x)


FIELD = mm.fields.analytic(dipole, strength=1.0, smallest=0.5)
SEEDS = [[1.0, 0.0, 0.1], [0.0, 1.4, -0.2], [-0.8, 0.9, 0.3]]


def shells(lines):
    """r over sin² of the angle from the axis, the same all along a line of a dipole."""
    r2 = lines.x**2 + lines.y**2 + lines.z**2
    return r2**1.5 / (lines.x**2 + lines.y**2)


def test_lines_of_a_dipole_stay_on_their_shell_to_fourth_order():
    off = []
    for step in (0.05, 0.025):
        lines = mm.field_lines(FIELD, SEEDS, length=0.9, step=step, save=9).compute()
        shell = shells(lines)
        off.append(abs(shell / shell.sel(path=0) - 1).max().item())
        longitude = np.arctan2(lines.y, lines.x)
        assert abs(longitude - longitude.sel(path=0)).max() < 1e-12
    assert 12 < off[0] / off[1] < 24 and off[1] < 1e-6
    strength = np.stack(dipole(lines.x.values, lines.y.values, lines.z.values))
    np.testing.assert_allclose(lines.B, np.linalg.norm(strength, axis=0), rtol=1e-12)


def test_what_moves_is_followed_as_it_is_at_time_0():
    """Lines of a field that turns along z are helices of radius 1/2; waves of the same kind give the same."""
    field = mm.fields.analytic(turning, strength=1.0, smallest=1.0, box=dict.fromkeys("xyz", (0.0, 6.0)))
    lines = mm.field_lines(field, 5, length=3.0, step=0.05).compute()
    z = lines.z - lines.z.sel(path=0)
    assert abs(z - lines.path / np.sqrt(1.25)).max() < 1e-6
    start = lines.sel(path=0)
    np.testing.assert_allclose(lines.x - start.x, 0.5 * (np.sin(lines.z) - np.sin(start.z)), atol=1e-6)
    waves = mm.turbulence.plane_waves(
        8, k_min=0.5, k_max=4.0, rms=0.4, seed=3, frequency="alfven", alfven_speed=0.2, mean_field=(0, 0, 1.0)
    )
    both = mm.fields.sum(field, waves)
    lines = mm.field_lines(both, 5, length=2.0, step=0.05, save=4).compute()
    alone = mm.field_lines(waves, lines.isel(path=3, drop=True)[list("xyz")], length=0.05, step=0.05, save=1).compute()
    at = lines.isel(path=3)
    own = turning(at.x, at.y, at.z, 0.0)
    for one, d in zip(own, "xyz", strict=True):
        expected = one + (alone[f"b{d}"] * alone.B).sel(path=0)
        np.testing.assert_allclose(at[f"b{d}"] * at.B, expected, atol=1e-4)  # the bound of the sum of waves


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "faces"])
def test_waves_beside_a_uniform_snapshot_are_waves_with_a_mean_field(interpolation):
    zero = np.zeros((6, 6, 6))
    ds = mm.io.from_arrays(Bx=zero, By=zero, Bz=zero + 1, spacing=dict.fromkeys("xyz", 1.0)).assign(
        n=(tuple("zyx"), zero + 2)
    )
    if interpolation == "faces":
        faces = {f"B{d}_f": ds[f"B{d}"].rename({d: f"{d}_f"}).drop_vars([*"xyz"], errors="ignore") for d in "xyz"}
        ds = ds.assign({name: own.drop_vars(list(own.coords)) for name, own in faces.items()})
    waves = mm.turbulence.plane_waves(20, k_min=2.0, k_max=8.0, rms=0.3, seed=4)
    both = mm.fields.sum(ds, waves, k_join=0.5)
    options = {"length": 4.0, "step": 0.05, "save": 8}
    lines = mm.field_lines(both, SEEDS, interpolation=interpolation, variables=["n"], **options).compute()
    alone = mm.turbulence.PlaneWaves(waves.modes, (0.0, 0.0, 1.0))
    wanted = mm.field_lines(alone, SEEDS, **options).compute()
    for name in ("x", "y", "z", "bx", "B"):
        np.testing.assert_allclose(lines[name], wanted[name], atol=2e-4)
    assert abs(lines.n - 2).max() < 1e-14 and lines.attrs["interpolation"].startswith(f"{interpolation}, beside")
    assert lines.B_rms.item() == pytest.approx(np.hypot(1, 0.3))


@pytest.mark.parametrize("which", ["function", "sum"])
def test_chunks_do_not_show_and_lines_go_on_to_the_bit(which):
    field = FIELD
    if which == "sum":
        waves = mm.turbulence.plane_waves(20, k_min=40.0, k_max=300.0, rms=0.3, seed=4)
        field = mm.fields.sum(mm.samples.load("mhd_turbulence"), waves)
    seeds = np.random.default_rng(1).uniform(0.3, 1.0, (300, 3))
    options: dict = {"length": 0.4, "step": 0.002 if which == "sum" else 0.01}
    whole = mm.field_lines(field, seeds, save=[0.1, 0.2, 0.4], **options).compute(scheduler="synchronous")
    named = {d: ("line", da.from_array(seeds[:, i], chunks=77)) for i, d in enumerate("xyz")}
    chunked = mm.field_lines(field, xr.Dataset(named), save=[0.1, 0.2, 0.4], **options).compute(scheduler="threads")
    half = mm.field_lines(field, seeds, save=[0.1, 0.2], **{**options, "length": 0.2}).compute()
    rest = mm.field_lines(field, half, save=[0.4], **options).compute()
    for name in ("x", "y", "z", "B", "error"):
        np.testing.assert_array_equal(chunked[name], whole[name])
        np.testing.assert_array_equal(rest[name], whole[name])


def test_nothing_is_computed_at_the_call(no_compute):
    waves = mm.turbulence.plane_waves(20, k_min=20.0, k_max=500.0, rms=0.3, seed=4)
    mm.field_lines(mm.fields.sum(mm.samples.load("mhd_turbulence"), waves), 3, length=0.1, step=0.001)
    mm.field_lines(FIELD, SEEDS, length=0.1, step=0.01)


def test_refusals():
    with pytest.raises(mm.SnapshotError, match=r"broken is not finite at x=1\."):
        mm.field_lines(
            mm.fields.analytic(broken, strength=1.0, smallest=1.0), [[0.5, 0.0, 0.0]], length=3.0, step=0.05
        )["x"].compute()
    with pytest.warns(mm.MmfieldsWarning, match="24 eighths of the smallest structure long"):
        mm.field_lines(FIELD, SEEDS, length=3.0, step=1.5)
    with pytest.raises(mm.ArgumentError, match="fills no box"):
        mm.field_lines(FIELD, 3, length=1.0, step=0.1)
    with pytest.raises(mm.ArgumentError, match="leave out what is of snapshots"):
        mm.field_lines(FIELD, SEEDS, length=1.0, step=0.1, interpolation="cubic")
    waves = mm.turbulence.plane_waves(20, k_min=20.0, k_max=500.0, rms=0.3, seed=4)
    with pytest.warns(mm.MmfieldsWarning, match="eighths of the shortest wave long"):
        mm.field_lines(mm.fields.sum(mm.samples.load("mhd_turbulence"), waves), 3, length=1.0, step=0.005)
    with pytest.raises(mm.ArgumentError, match="not divided"):
        mm.field_lines(mm.fields.sum(mm.samples.load("mhd_turbulence"), waves), 3, length=1.0, step=0.001, block=16)
    with pytest.raises(mm.ArgumentError, match="or what"):
        mm.field_lines(3, SEEDS, length=1.0, step=0.1)

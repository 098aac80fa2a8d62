"""Steps against cells, gyration and scattering: what they skip is not skipped in silence."""

import warnings

import numpy as np
import pytest

import mmfields as mm


def rough(cells=32, side=64.0, seed=3):
    """A mean field of 1 along z, and noise of half of it from cell to cell."""
    rng = np.random.default_rng(seed)
    noise = {f"B{d}": 0.3 * rng.standard_normal((cells,) * 3) for d in "xyz"}
    noise["Bz"] = noise["Bz"] + 1.0
    return mm.io.from_arrays(**noise, spacing=dict.fromkeys("xyz", side / cells))


def beam(ds, gyroradius, n=200, **options):
    return mm.particles.beam(
        n, pitch_angle=1.0, gyroradius=gyroradius, seed=1, field=ds, reference_field=1.0, direction="z", **options
    )


def spread(ds, p, **options):
    tr = mm.trace(ds, p, distance=300.0, save=1, **options).compute()
    change = tr.vz.isel(path=-1) - tr.vz.isel(path=0)
    return float((change**2).mean())


def test_steps_in_gyroradii_do_not_skip_cells():
    """At 0.1 r_g of 15 cells the scattering is too strong; capped, it is that of shorter steps."""
    ds = rough()
    p = beam(ds, 300.0)
    fine = spread(ds, p, step=1.0)
    capped = spread(ds, p, step=0.1, step_unit="gyroradius")
    lifted = spread(ds, p, step=0.1, step_unit="gyroradius", cell_fraction=None)
    assert capped == pytest.approx(fine, rel=0.35)
    assert lifted > 1.6 * fine
    half = mm.trace(ds, p, step=0.1, step_unit="gyroradius", cell_fraction=0.5, distance=300.0, save=1)
    same = mm.trace(ds, p, step=1.0, distance=300.0, save=1)
    np.testing.assert_array_equal(half.x, same.x)
    assert "at most 0.5 of 2" in half.attrs["step_rule"]
    with pytest.raises(mm.ArgumentError, match="cell_fraction"):
        mm.trace(ds, p, step=0.1, distance=1.0, cell_fraction=0.0)


@pytest.mark.parametrize("unit", ["gyroradius", "local"])
def test_the_cap_is_of_all_fields(unit):
    """Uniform snapshots and waves too: it is known without a look at the data."""
    ds = rough().map(lambda a: a * 0 + 1, keep_attrs=True)
    waves = mm.turbulence.plane_waves(256, k_min=1.0, k_max=2 * np.pi, seed=1)
    for field, cell in ((ds, 2.0), (waves, 1 / 8)):
        p = mm.particles.isotropic(3, gyroradius=1e3, seed=1, field=field, reference_field=1.0)
        options = {"step": 0.1, "step_unit": unit, "distance": 20.0, "save": 1}
        model = mm.scattering.small_angle(nu=1e-9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mm.MmfieldsWarning)  # of sparse modes
            capped = mm.trace(field, p, scattering=model, **options).compute()
            free = mm.trace(field, p, scattering=model, cell_fraction=None, **options).compute()
        assert (capped.steps.isel(path=-1) == 20 / cell).all()
        assert (free.steps.isel(path=-1) == 1).all()


def test_steps_given_as_lengths_beyond_a_cell_warn():
    ds = rough()
    p = beam(ds, 300.0, n=2)
    with pytest.warns(mm.MmfieldsWarning, match=r"3 cells long.*step=2") as told:
        tr = mm.trace(ds, p, step=6.0, distance=60.0)
    assert "3 cells" in tr.attrs["long_steps"]
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", mm.MmfieldsWarning)
        assert "long_steps" not in mm.trace(ds, p, step=2.0, distance=60.0).attrs
        assert "long_steps" not in mm.trace(ds, p, step=0.1, step_unit="gyroradius", distance=60.0).attrs


def electric(strength=1.0):
    zero = np.zeros((4, 4, 4))
    fields = {"Bx": zero, "By": zero, "Bz": zero + strength, **{f"E{d}": zero for d in "xyz"}}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0), dims=("z", "y", "x"))


@pytest.mark.parametrize("beta_gamma", [0.01, 0.3, np.inf])
@pytest.mark.parametrize("pusher", ["boris", "vay"])
def test_a_gyration_takes_as_many_steps_at_any_speed(beta_gamma, pusher):
    turn = 2 * np.pi * np.hypot(1.0, 1 / beta_gamma)
    p = mm.particles.from_arrays(
        x=[2.0], y=[2.0], z=[2.0], vx=[1.0], vy=[0.0], vz=[0.0], gyroradius=1.0, reference_field=1.0,
        beta_gamma=beta_gamma
    )  # fmt: skip
    options = {"pusher": pusher, "light_speed": 1.0, "distance": turn, "save": 4}
    model = mm.scattering.small_angle(nu=1e-12)
    for unit, step in (("local", 0.1), ("gyroradius", 0.1), ("length", turn / 64)):
        tr = mm.trace(electric(), p, step=step, step_unit=unit, scattering=model, **options).compute()
        assert 60 <= int(tr.steps[0, -1]) <= 68
        np.testing.assert_allclose(tr.x[0], [2, 3, 2, 1, 2], atol=2e-2)
        np.testing.assert_allclose(tr.own_path[0, -1], 2 * np.pi, rtol=1e-9)
    with pytest.raises(mm.MmfieldsError, match="gyration is not resolved"):
        mm.trace(electric(), p, step=turn / 3, **options)


def test_the_command_line_caps_steps(tmp_path):
    import xarray as xr
    from click.testing import CliRunner

    from mmfields.cli import main

    source = str(tmp_path / "field.zarr")
    mm.store(rough(8, 16.0), source)
    common = ["trace", source, "--gyroradius", "300", "--particles", "2", "--distance", "60", "--save", "1"]
    for extra, said in (([], "at most 1 of 2"), (["--cell-fraction", "inf"], "reference field")):
        out = str(tmp_path / f"orbits{len(extra)}.zarr")
        done = CliRunner().invoke(main, [*common[:2], out, *common[2:], *extra])
        assert done.exit_code == 0, done.output
        rule = xr.open_zarr(out).attrs["step_rule"]
        assert rule.endswith(said)


def test_steps_divide_the_intervals_and_follow_the_gyroradius(turbulent):
    p = mm.particles.isotropic(3, gyroradius=[0.5, 2.0], seed=2, field=turbulent)
    together = mm.trace(turbulent, p, step=0.1, step_unit="gyroradius", distance=4.0, save=2).compute()
    for g, radius in enumerate((0.5, 2.0)):
        alone = mm.trace(turbulent, p.isel(gyroradius=g), step=0.1 * radius, distance=4.0, save=2).compute()
        np.testing.assert_array_equal(alone.x, together.x.isel(gyroradius=g))
    np.testing.assert_allclose(together.path, [0, 2, 4])
    np.testing.assert_array_equal(together.x.isel(path=0), p.x)

"""A series in blocks: the bits of the whole, with two snapshots of each block in files at a time."""

import numpy as np
import pytest
import xarray as xr
from small_fields import MIXED, WALLED, same

import mmfields as mm


def series_for_blocks(boundary="periodic", shape=(24, 30, 40)):
    """Three snapshots without symmetry, with flows and patches."""
    rng, snapshots = np.random.default_rng(5), []
    patches = (rng.random(shape) > 0.7).astype(np.uint8)
    for _ in range(3):
        fields = {
            f"B{c}": rng.normal(m, 1.0, shape).astype(np.float32) for c, m in zip("xyz", (1, -2, 0.5), strict=True)
        }
        fields |= {f"{v}{c}": rng.normal(0.0, 0.1, shape).astype(np.float32) for v in "Eu" for c in "xyz"}
        options = {"spacing": {"z": 0.5, "y": 1.0, "x": 0.25}, "dims": ("z", "y", "x"), "boundary": boundary}
        snapshots.append(mm.io.from_arrays(**fields, **options))
    series = xr.concat(snapshots, "time", data_vars="all", combine_attrs="override").assign_coords(time=[0.0, 3.3, 9.0])
    return series.assign(hot=(("z", "y", "x"), patches))


@pytest.mark.parametrize(
    ("boundary", "options"),
    [
        ("periodic", {}),
        ("periodic", {"interpolation": "cubic", "electric": "ideal"}),
        ("periodic", {"interpolation": "nearest", "electric": "stored", "pusher": "vay"}),
        (MIXED, {"step_unit": "local", "local_field": True}),
        (WALLED, {"electric": "ideal", "step_unit": "gyroradius", "step": 0.05}),
        (MIXED, {"scattering": mm.scattering.small_angle(nu=0.3)}),
        (
            "periodic",
            {
                "scattering": mm.scattering.patchy(mm.scattering.small_angle(nu=0.3), mask="hot"),
                "interpolation": "cubic",
            },
        ),
    ],
)
def test_blocks_of_a_series_give_the_same_bits(boundary, options):
    series = series_for_blocks(boundary)
    p = mm.particles.isotropic(
        60, gyroradius=[3.0, 10.0], seed=1, field=series.isel(time=0), reference_field=1.0, beta_gamma=1.0
    )
    run = {"step": 0.2, "distance": 8.0, "save": [0.5, 4.0, 8.0], "light_speed": 1.0, **options}
    run["evolve"] = mm.tracing.Evolution(start=0.5, beyond="hold")
    whole = mm.trace(series, p, **run).compute()
    chunked = series.chunk({"time": 1, "z": 7, "y": 13, "x": 17})
    divided = mm.trace(chunked, p, block=12, particles_per_task=50, **run).compute()
    for name in whole.data_vars:
        if name != "B_rms" and not name.startswith("mean"):  # sums over chunks
            np.testing.assert_array_equal(divided[name], whole[name], err_msg=name)
    half = mm.trace(chunked, p, block=12, **{**run, "distance": 4.0, "save": [0.5, 4.0]})
    rest = mm.trace(chunked, mm.particles.from_trajectories(half), block=16, **{**run, "save": [8.0]}).compute()
    for name in ("x", "vy", "B"):
        np.testing.assert_array_equal(rest[name].isel(path=-1), whole[name].isel(path=-1))


def test_a_flow_at_rest_is_divided_too():
    ds = series_for_blocks().isel(time=1, drop=True)
    same(ds, 12, n=40, beta_gamma=1.0, step=0.2, distance=6.0, save=[2.0, 6.0], electric="ideal", light_speed=1.0)

"""A snapshot in blocks: particles handed from one to the next are where they would be through the whole field."""

import dask
import numpy as np
import pytest
from small_fields import MIXED, WALLED, same, snapshot

import mmfields as mm


@pytest.mark.parametrize("block", [8, 10, 12, 40])
def test_blocks_of_any_size_give_the_same_bits(block):
    ds = snapshot()
    found = same(ds, block, step=0.2, distance=20.0, save=[0.5, 0.7, 20.0])
    assert found.x.max() > ds.sizes["x"] * 0.25  # out of the box at one end
    assert found.y.min() < 0  # and at the other


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("boundary", ["periodic", MIXED, WALLED])
def test_interpolations_and_walls_give_the_same_bits(interpolation, boundary):
    found = same(snapshot(boundary), step=0.2, distance=12.0, save=4, interpolation=interpolation)
    assert ("alive" not in found) == (boundary == "periodic")
    assert boundary == "periodic" or 0 < int(found.alive.isel(path=-1).sum()) < found.alive.isel(path=-1).size


@pytest.mark.parametrize(
    "scattering",
    [
        mm.scattering.small_angle(nu=0.3),
        mm.scattering.patchy(mm.scattering.small_angle(nu=0.3), mm.scattering.small_angle(nu=0.01), mask="hot"),
        mm.scattering.patchy(mm.scattering.small_angle(nu=0.3), threshold=2.0),
    ],
    ids=["everywhere", "mask", "threshold"],
)
def test_scattering_gives_the_same_bits(scattering):
    same(snapshot(), step=0.2, distance=12.0, save=4, scattering=scattering)


@pytest.mark.parametrize("boundary", ["periodic", MIXED])
def test_steps_by_the_local_field_give_the_same_bits(boundary):
    same(snapshot(boundary), step=0.1, step_unit="local", distance=12.0, save=[3.0, 3.1, 12.0], local_field=True)


@pytest.mark.parametrize("pusher", ["boris", "higuera-cary", "vay"])
def test_electric_fields_give_the_same_bits(pusher):
    ds = snapshot(electric=True)
    same(ds, beta_gamma=1.0, step=0.2, distance=12.0, save=4, pusher=pusher, light_speed=1.0)


def test_steps_longer_than_a_block_arrive():
    same(snapshot(), 10, n=30, step=6.0, distance=60.0, save=4)


def test_faces_give_the_same_bits(shared):
    path = shared / "data/athena_mhd/TurbMHD.out3.00010.athdf"
    ds = mm.open_snapshot(path, staggered=True, boundary="periodic")
    p = mm.particles.isotropic(100, gyroradius=0.1, seed=1, field=ds, reference_field="rms")
    options = {"step": 0.005, "distance": 2.0, "save": 3, "interpolation": "faces"}
    whole, divided = mm.trace(ds, p, **options).compute(), mm.trace(ds, p, block=24, **options).compute()
    for name in ("x", "vz", "B"):
        np.testing.assert_array_equal(divided[name], whole[name])


def test_a_divided_run_is_continued():
    ds = snapshot()
    p = mm.particles.isotropic(70, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    options = {"step": 0.2, "scattering": mm.scattering.small_angle(nu=0.1)}
    once = mm.trace(ds, p, distance=12.0, save=[6.0, 12.0], **options)
    half = mm.trace(ds, p, distance=6.0, save=[6.0], block=12, particles_per_task=30, **options)
    rest = mm.trace(ds, mm.particles.from_trajectories(half), distance=12.0, save=[12.0], block=20, **options)
    for name in ("x", "vy", "steps"):
        np.testing.assert_array_equal(rest[name].isel(path=-1), once[name].isel(path=-1))


def test_ignorable_axes_and_several_snapshots():
    import xarray as xr

    ds = snapshot().isel(y=0, drop=True)[["Bx", "By", "Bz"]]
    same(ds, step=0.2, distance=12.0, save=2)
    both = xr.concat([ds, 2 * ds], xr.DataArray([0.0, 1.0], dims="time", name="time"))
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    whole, divided = (mm.trace(both, p, step=0.2, distance=12.0, save=2, block=b).compute() for b in (None, 12))
    np.testing.assert_array_equal(divided.x, whole.x)


def test_only_the_start_is_saved():
    same(snapshot(), 12, step=0.2, distance=10.0, save=[0.0])


def test_a_field_without_end_ends():
    """Its square overflows, so that steps by the local field have no length."""
    ds = snapshot()
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    options = {"step": 0.1, "step_unit": "local", "distance": 5.0, "save": 2}
    huge = ds.assign({name: ds[name].astype(float) * 1e160 for name in ("Bx", "By", "Bz")})
    whole, divided = (mm.trace(huge, p, block=block, **options).compute() for block in (None, 12))
    np.testing.assert_array_equal(divided.x, whole.x)


@pytest.mark.parametrize("options", [{"block": 12}, {"interpolation": "cubic"}, {"interpolation": "spectral"}])
def test_steps_without_end_are_refused(options):
    ds = snapshot().chunk(z=7)
    p = mm.particles.isotropic(5, gyroradius=10.0, seed=1, field=ds, reference_field=1e-300)
    lazy = mm.trace(ds, p, step=0.1, distance=30.0, local_field=True, step_unit="local", **options)
    with pytest.raises(mm.SnapshotError, match="steps without end"):
        lazy.compute(scheduler="synchronous")


def test_nothing_is_left_behind(tmp_path):
    ds = snapshot()
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    lazy = mm.trace(ds, p, step=0.2, distance=5.0, block=12, particles_per_task=5)
    with dask.config.set({"temporary-directory": tmp_path}):
        lazy.compute()
        holed = ds.assign(By=ds.By.where(ds.x != ds.x[3]))
        with pytest.raises(mm.SnapshotError, match="By is not finite"):
            mm.trace(holed, p, step=0.2, distance=5.0, block=12).x.compute()
        assert all(path.suffix == ".lock" for path in tmp_path.iterdir())
    with dask.config.set({"temporary-directory": tmp_path / "absent"}), pytest.raises(mm.SnapshotError, match="absent"):
        lazy.x.compute()


def test_a_disk_without_room(small_disk):
    place, mount = small_disk
    assert mount("remount,size=200k").returncode == 0
    ds = snapshot()
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    with (
        dask.config.set({"temporary-directory": place}),
        pytest.raises(mm.SnapshotError, match=r"copy of the field of .* GB is to lie here, No space left on device"),
    ):
        mm.trace(ds, p, step=0.2, distance=5.0, block=12).x.compute()
    assert all(path.suffix == ".lock" for path in place.iterdir())

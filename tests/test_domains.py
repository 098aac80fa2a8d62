"""A snapshot in blocks: particles handed from one to the next are where they would be through the whole field."""

import time

import dask
import dask.array as da
import numpy as np
import pytest

import mmfields as mm
from mmfields.cluster import progress
from mmfields.cluster.shared import view
from mmfields.tracing import domains, holding

SPACING = {"z": 0.5, "y": 1.0, "x": 0.25}
MIXED = {"x": "open", "y": "reflecting", "z": "periodic"}
WALLED = {"x": "reflecting", "y": "open", "z": "open"}


def snapshot(boundary="periodic", electric=False, shape=(24, 30, 40)):
    rng = np.random.default_rng(3)
    fields = {f"B{c}": rng.normal(m, 1.0, shape).astype(np.float32) for c, m in zip("xyz", (1, -2, 0.5), strict=True)}
    if electric:
        fields |= {f"E{c}": rng.normal(0.0, 0.1, shape).astype(np.float32) for c in "xyz"}
    fields["hot"] = (np.abs(fields["Bx"]) > 1.2).astype(np.uint8)
    return mm.io.from_arrays(**fields, spacing=SPACING, dims=("z", "y", "x"), boundary=boundary)


def same(ds, block=20, n=100, beta_gamma=np.inf, **options):
    """Both ways to the bit; trajectories."""
    p = mm.particles.isotropic(n, gyroradius=[3.0, 10.0], seed=1, field=ds, reference_field=1.0, beta_gamma=beta_gamma)
    whole = mm.trace(ds, p, **options).compute()
    chunked = ds.chunk({d: n for d, n in {"z": 7, "y": 13, "x": 17}.items() if d in ds.dims})
    lazy = mm.trace(chunked, p, block=block, **options)
    divided = lazy.compute()
    for name in whole.data_vars:
        if name != "B_rms" and not name.startswith("mean"):  # sums over chunks
            np.testing.assert_array_equal(divided[name], whole[name], err_msg=name)
    return whole


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


def test_nothing_is_computed_before(no_compute):
    ds = snapshot().chunk(z=7)
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    for interpolation in ("linear", "cubic"):
        assert mm.trace(ds, p, step=0.2, distance=5.0, block=12, interpolation=interpolation).x.chunks


def test_what_cannot_be_divided_says_so():
    ds = snapshot()
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    with pytest.raises(mm.SnapshotError, match="needs the modes of the whole field: leave block out"):
        mm.trace(ds, p, step=0.2, distance=5.0, block=12, interpolation="spectral")
    with pytest.raises(mm.SnapshotError, match=r"block=7.*8"):
        mm.trace(ds, p, step=0.2, distance=5.0, block=7)
    waves = mm.turbulence.plane_waves(10, k_min=1.0, k_max=10.0, seed=1)
    with pytest.raises(mm.SnapshotError, match="a field on no grid is not divided"):
        mm.trace(waves, p, step=0.2, distance=5.0, block=12)
    holed = ds.assign(By=ds.By.where((ds.x != ds.x[38]) | (ds.z > ds.z[0]) | (ds.y > ds.y[0])))
    for interpolation in ("linear", "cubic"):
        with pytest.raises(mm.SnapshotError, match=r"By is not finite at \(z, y, x\) = \(0, 0, 38\)"):
            mm.trace(holed, p, step=0.2, distance=5.0, block=12, interpolation=interpolation).x.compute()


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


def test_a_field_without_end_ends():
    """Its square overflows, so that steps by the local field have no length."""
    ds = snapshot()
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    options = {"step": 0.1, "step_unit": "local", "distance": 5.0, "save": 2}
    huge = ds.assign({name: ds[name].astype(float) * 1e160 for name in ("Bx", "By", "Bz")})
    whole, divided = (mm.trace(huge, p, block=block, **options).compute() for block in (None, 12))
    np.testing.assert_array_equal(divided.x, whole.x)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("periodic", [True, False])
def test_blocks_cover_the_field_with_their_halos(periodic, extra, tmp_path):
    shape = (24, 30, 41)
    plan = domains.Plan(shape, (periodic,) * 3, 12)
    cells = np.arange(np.prod([n + extra for n in shape])).reshape([n + extra for n in shape])
    for axis, n in enumerate(shape):  # faces of a periodic axis: the last is the first
        if periodic and extra:
            cells[(slice(None),) * axis + (n,)] = cells[(slice(None),) * axis + (0,)]
    parts = [da.from_array(c * cells, chunks=chunks) for c, chunks in ((1, 7), (2, (25, 8, 42)), (3, 50))]
    mask = da.from_array((cells[: shape[0], : shape[1], : shape[2]] % 3).astype(np.uint8), chunks=10)
    form = holding.Form(("Bx", "By", "Bz"), np.float64, (), False)
    field, electric, marks = domains.divided(parts, mask, form)
    blocks = domains._blocks(field, marks, plan, form, str(tmp_path), domains._Here())
    assert electric is None
    everywhere = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)[:, ::-1]
    homes = plan.home(everywhere)
    assert set(homes) == set(range(len(blocks))) == set(range(len(plan.regions)))
    for number, (begins, extents) in enumerate(plan.regions):
        index = [(np.arange(m) + b) % n for b, m, n in zip(begins, extents, shape, strict=True)]
        longer = [np.append(i, i[-1] + 1) if extra else i for i in index]
        magnetic, electric, marked = blocks[number]
        data = view(*magnetic)[:-1].reshape(*(m + extra for m in extents), 3)
        np.testing.assert_array_equal(data, cells[np.ix_(*longer)][..., None] * [1, 2, 3])
        np.testing.assert_array_equal(view(*marked)[:-1].reshape(extents), (cells % 3)[np.ix_(*index)])
        assert electric is None
        own = everywhere[homes == number]
        for a in range(3):  # with two cells on either side, for a cubic spline
            near = own[:, 2 - a][:, None] + np.arange(-2, 3)
            near = near % shape[a] if periodic else np.clip(near, 0, shape[a] - 1)
            assert np.isin(near, index[a]).all()


def test_only_the_start_is_saved():
    same(snapshot(), 12, step=0.2, distance=10.0, save=[0.0])


@pytest.mark.parametrize("options", [{"block": 12}, {"interpolation": "cubic"}, {"interpolation": "spectral"}])
def test_steps_without_end_are_refused(options):
    ds = snapshot().chunk(z=7)
    p = mm.particles.isotropic(5, gyroradius=10.0, seed=1, field=ds, reference_field=1e-300)
    lazy = mm.trace(ds, p, step=0.1, distance=30.0, local_field=True, step_unit="local", **options)
    with pytest.raises(mm.SnapshotError, match="steps without end"):
        lazy.compute(scheduler="synchronous")


@pytest.mark.parametrize("local", [False, True])
def test_a_bar_says_how_far_a_trace_in_blocks_is(tmp_path, monkeypatch, local):
    """It is one task, so that a bar that counts tasks stands still."""
    import tqdm.auto

    drawn = []

    class Bar(tqdm.auto.tqdm):
        def update(self, n=1):
            super().update(n)
            if self.unit == "%":
                drawn.append(self.n)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    monkeypatch.setattr(mm.io.storing, "_hidden", lambda progress: False)
    ds = snapshot().chunk(z=7)
    p = mm.particles.isotropic(50, gyroradius=[3.0, 10.0], seed=1, field=ds, reference_field=1.0)
    options = {"local_field": True, "step_unit": "local"} if local else {}
    mm.store(mm.trace(ds, p, block=12, step=0.2, distance=30.0, save=1, **options), tmp_path / "a.zarr")
    assert sorted(drawn) == drawn and drawn[-1] == 100.0
    assert len(drawn) > 10 and 5 < np.interp(0.5, np.linspace(0, 1, len(drawn)), drawn) < 95
    assert not progress._listeners


def test_a_bar_is_for_the_tasks_that_one_waits_for():
    """Others trace with the same scheduler."""
    from dask.distributed import Client

    shown = []
    with Client(processes=False, n_workers=1, dashboard_address=None) as client:
        task = dask.delayed(abs)(-1)
        with pytest.MonkeyPatch.context() as patch, progress.bars([task], client, True):
            patch.setattr("tqdm.auto.tqdm.update", lambda self, n: shown.append(n))
            for _ in range(200):
                for key in ("of somebody else", str(task.key)):
                    client.log_event(progress.TOPIC, {"run": key, "what": "a", "share": 0.5, "task": key})
                if shown:
                    break
                time.sleep(0.05)
    assert set(shown) <= {50.0, 0.0} and shown[0] == 50.0

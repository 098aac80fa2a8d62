import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm
from mmfields import conventions as c


def test_dims_spacing_and_box(turbulent):
    assert c.spatial_dims(turbulent) == ("z", "y", "x")
    assert c.spacing(turbulent) == {"z": 0.5, "y": 1.0, "x": 0.25}
    assert c.box(turbulent) == {"z": (0, 4.5), "y": (0, 12), "x": (0, 4)}
    assert c.check(turbulent) is turbulent


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda ds: ds.rename(x="i"), None),
        (lambda ds: ds.rename(x="i", y="j", z="k"), "no spatial dim"),
        (lambda ds: ds.drop_vars("x"), "'x' has no coordinate"),
        (lambda ds: ds.isel(y=slice(None, None, -1)), "'y' is not ascending"),
        (lambda ds: ds.assign_coords(z=ds.z**2), "'z' is not uniform"),
        (lambda ds: ds.assign_coords(z=ds.z.where(ds.z < 4)), "'z' is not finite"),
        (lambda ds: ds.assign_attrs(boundary_x="wall"), "boundary_x"),
        (lambda ds: ds["Bx"], "not DataArray"),
    ],
)
def test_malformed_snapshots_are_refused(turbulent, change, match):
    changed = change(turbulent)
    if match is None:  # two dims are a snapshot too
        c.check(changed)
        return
    with pytest.raises(mm.MmfieldsError, match=match):
        c.check(changed)


def test_components(turbulent):
    assert c.components(turbulent) == ("Bx", "By", "Bz")
    with pytest.raises(mm.SnapshotError, match="missing By"):
        c.components(turbulent.drop_vars("By"))
    with pytest.raises(mm.SnapshotError, match="differ in shape"):
        c.components(turbulent.assign(By=turbulent.By.isel(z=0)))


def test_mean_field_and_direction(turbulent, no_compute):
    lazy = turbulent.chunk(z=4, x=5)
    mean, direction = mm.mean_field(lazy), c.mean_direction(lazy)
    with dask.config.set(scheduler="synchronous"):
        mean, direction = mean.compute(), direction.compute()
    want = np.array([turbulent[f"B{d}"].values.astype(float).mean() for d in "xyz"])
    np.testing.assert_allclose([mean[f"B{d}"] for d in "xyz"], want, rtol=1e-12)
    np.testing.assert_allclose(direction, want / np.linalg.norm(want), rtol=1e-12)


def test_no_mean_direction(turbulent):
    flat = turbulent[["Bx", "By", "Bz"]] - turbulent[["Bx", "By", "Bz"]].mean()
    lazy = c.mean_direction(flat.assign_attrs(turbulent.attrs).chunk())
    with pytest.raises(mm.SnapshotError, match="gives no direction"):
        lazy.compute()
    np.testing.assert_array_equal(c.mean_direction(flat, "y"), [0, 1, 0])
    np.testing.assert_allclose(c.mean_direction(flat, (3, 0, 4)), [0.6, 0, 0.8])
    for bad in ("w", (0, 0, 0), (1, 2), (1, np.nan, 0)):
        with pytest.raises(mm.ArgumentError, match="direction"):
            c.mean_direction(flat, bad)


def test_boundaries():
    assert c.boundary_attrs("xy", None) == {
        "boundary_x": "periodic",
        "boundary_y": "periodic",
        "boundary_source": "assumed",
    }
    known = c.boundary_attrs("xy", None, {"x": "open", "y": "periodic"})
    assert known == {"boundary_x": "open", "boundary_y": "periodic", "boundary_source": "file"}
    with pytest.raises(mm.SnapshotError, match=r"names axes \['z'\]"):
        c.boundary_attrs("xy", {"z": "open"})
    ds = xr.Dataset({"Bx": ("x", [1.0, 2.0])}, {"x": [0.5, 1.5]}, {"boundary_x": "open"})
    with pytest.raises(mm.SnapshotError, match="a filter needs periodic axes, and x is open"):
        c.require_periodic(ds, "a filter")


def test_a_contracting_box_in_physical_coordinates(turbulent):
    """Wavenumbers are k' / a, the flux through every face of the box is that of the comoving field."""
    comoving = turbulent[["Bx", "By", "Bz"]].astype(np.float64).assign_attrs(frame="comoving", scale_factor_y=0.5)
    out = mm.physical(comoving, {"y": 0.5, "z": 0.25})
    assert mm.conventions.spacing(out) == {"z": 0.125, "y": 0.5, "x": 0.25}
    assert (out.attrs["frame"], "scale_factor_y" in out.attrs) == ("physical", False)
    for d, flux in (("x", 0.5 * 0.25), ("y", 0.25), ("z", 0.5)):
        np.testing.assert_allclose(out[f"B{d}"].values * flux, comoving[f"B{d}"].values, rtol=1e-14)
    stored = mm.physical(comoving)
    assert mm.conventions.spacing(stored) == {"z": 0.5, "y": 0.5, "x": 0.25}
    wave = np.cos(2 * np.pi * 2 * turbulent.y / 12)
    ds = turbulent.assign(By=turbulent.By * 0 + wave).assign_attrs(frame="physical")[["Bx", "By", "Bz"]]
    power = mm.spectra.reduced_spectrum(mm.physical(ds, {"y": 0.5}), ["By"], axis="y")
    assert float(power.idxmax("k")) == pytest.approx(2 * np.pi * 2 / 6)
    np.testing.assert_array_equal(mm.physical(ds, {"y": 0.5}).By, ds.By)


def test_a_contracting_box_is_not_guessed(turbulent):
    for ds, factors, match in (
        (turbulent, None, "give those of the axes"),
        (turbulent, {"w": 1.0}, "give those of the axes"),
        (turbulent, {"y": -1.0}, "positive numbers"),
        (turbulent, {"y": 0.5}, "the frame of the fields is None"),
        (turbulent.assign_attrs(frame="unknown"), {"y": 0.5}, "the frame of the fields is 'unknown'"),
        (turbulent.assign_attrs(frame="comoving"), {"y": 0.5}, r"\['n'\] are comoving too"),
    ):
        with pytest.raises(mm.MmfieldsError, match=match):
            mm.physical(ds, factors)


def test_a_grid_is_made_once(turbulent):
    ds = turbulent.assign_coords(y=turbulent.y + 7.0).assign_attrs(boundary_x="open")
    grid = c.Grid.of(ds)
    assert grid.dims == c.spatial_dims(ds) and grid.shape == tuple(ds.sizes[d] for d in grid.dims)
    assert grid.widths == c.spacing(ds)
    assert dict(zip(grid.dims, grid.boundaries, strict=True)) == c.boundaries(ds)
    assert grid.periodic == tuple(d != "x" for d in grid.dims)
    for d, low, length in zip(grid.dims, grid.lower, grid.lengths, strict=True):
        assert c.box(ds)[d] == pytest.approx((low, low + length))
    assert grid.units == c.unit_attrs(ds[grid.dims[0]])
    assert {grid: 1}[c.Grid.of(ds)] == 1
    with pytest.raises(AttributeError):
        grid.shape = (1, 1, 1)
    with pytest.raises(mm.SnapshotError, match="x is open"):
        c.require_periodic(ds, "this")
    assert c.require_periodic(turbulent, "this") == c.Grid.of(turbulent)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_series_is_taken_one_by_one(chunked):
    """Arrays over (time, run, x) and (time, run), the second of which lacks time."""
    field = xr.DataArray(np.arange(24.0).reshape(2, 3, 4), dims=("time", "run", "x"))
    small = xr.DataArray(np.arange(6.0).reshape(3, 2), dims=("run", "component"))
    lead, wide = c.widened([field.chunk(run=1) if chunked else field, small], ["x"])
    assert lead == ["time", "run"] and [w.dims for w in wide] == [(*lead, "x"), (*lead, "component")]
    data = [w.data for w in wide]
    one = c.per_snapshot(lambda f, s: f.sum() * s, data, 2)
    np.testing.assert_array_equal(one, field.sum("x").values[..., None] * small.values)
    both = c.per_snapshot(lambda f, s: (f[::2], s[0] + f), data, 2)
    np.testing.assert_array_equal(both[0], field[..., ::2])
    np.testing.assert_array_equal(both[1], field + small[:, 0])
    assert hasattr(one, "dask") == chunked


def test_errors_say_whether_the_argument_or_the_data_are_wrong(turbulent):
    for call in (
        lambda: c.check(5),
        lambda: mm.fourier.band(k_par=(2.0, 1.0)),
        lambda: mm.anisotropy.scales(turbulent, subvolumes=1),
        lambda: mm.particles.isotropic(0, gyroradius=1.0, seed=1, field=turbulent),
        lambda: mm.mean_field(turbulent.Bx),
    ):
        with pytest.raises(mm.ArgumentError):
            call()
    for call in (
        lambda: mm.mean_field(turbulent, "E"),
        lambda: mm.anisotropy.scales(turbulent, density="rho_e"),
        lambda: c.axis_spacing(turbulent.isel(x=[0]).assign_coords(x=("x", [0.0], {"spacing": -1.0})), "x"),
    ):
        with pytest.raises(mm.SnapshotError):
            call()
    assert issubclass(mm.ArgumentError, mm.MmfieldsError) and issubclass(mm.MmfieldsError, ValueError)
    assert not issubclass(mm.ArgumentError, mm.SnapshotError)

"""Datasets of other programs as snapshots: real files through their readers, and made ones in every spelling."""

import os
import pickle

import h5py
import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendEntrypoint

import mmfields as mm

B = ("Bx", "By", "Bz")


def dataset(names=B, dims=("z", "y", "x"), shape=(4, 6, 10), extra=None, **attrs):
    """Random fields on an asymmetric grid of cells of size 0.5, 1, 2 along x, y, z."""
    rng = np.random.default_rng(2)
    coords = {d: (np.arange(n) + 0.5) * w for d, n, w in zip(dims, shape, (2, 1, 0.5), strict=True)}
    variables = {name: (dims, rng.normal(size=shape)) for name in names}
    return xr.Dataset(variables | (extra or {}), coords, attrs)


def same_fields(found, wanted, names=B):
    for name, other in zip(B, names, strict=True):
        np.testing.assert_array_equal(found[name].transpose("z", "y", "x"), wanted[other])
    assert mm.conventions.box(found)["x"] == (0, 5)


# --- spellings ---


@pytest.mark.parametrize(
    "names",
    [
        ("bx", "by", "bz"),
        ("B_x", "B_y", "B_z"),
        ("B1", "B2", "B3"),
        ("Bcc1", "Bcc2", "Bcc3"),
        ("magx", "magy", "magz"),
        ("magnetic_field_x", "magnetic_field_y", "magnetic_field_z"),
        ("Magnetic_Field_Bx", "Magnetic_Field_By", "Magnetic_Field_Bz"),
        (("gas", "magnetic_field_x"), ("gas", "magnetic_field_y"), ("gas", "magnetic_field_z")),
    ],
    ids=str,
)
def test_names_of_components(names):
    ds = dataset(names)
    found = mm.as_snapshot(ds)
    same_fields(found, ds, names)
    assert found.By.attrs["long_name"] == "magnetic field along y"


@pytest.mark.parametrize(
    "dims",
    [
        ("Z", "Y", "X"),
        ("x3", "x2", "x1"),
        ("zcoor", "ycoor", "xcoor"),
        ("z_center", "y_center", "x_center"),
        ("Z_Grid_mid", "Y_Grid_mid", "X_Grid_mid"),
        ("zc", "yc", "xc"),
    ],
)
def test_names_of_dims(dims):
    ds = dataset(dims=dims)
    same_fields(mm.as_snapshot(ds), ds)


def test_axes_by_the_attrs_of_cf():
    ds = dataset(dims=("level", "lat", "lon"))
    for d, axis in zip(("level", "lat", "lon"), "ZYX", strict=True):
        ds[d].attrs["axis"] = axis
    same_fields(mm.as_snapshot(ds), ds)


def test_what_is_given_goes_first():
    ds = dataset(("p", "q", "r"), ("k", "j", "i"))
    found = mm.as_snapshot(
        ds,
        names={"p": "Bx", "q": "By", "r": "Bz"},
        dims={"k": "z", "j": "y", "i": "x"},
        boundary={"x": "open"},
        units=dict.fromkeys(B, "uG") | {"length": "pc"},
    )
    same_fields(found, ds, ("p", "q", "r"))
    assert found.Bx.attrs["units"] == "uG" and found.x.attrs["units"] == "pc" and found.Bx.attrs["code_name"] == "p"
    assert (found.attrs["boundary_x"], found.attrs["boundary_y"]) == ("open", "periodic")


def test_everything_that_is_undecided_is_said_at_once():
    ds = dataset(("bx", "b_x", "c"), ("k", "y", "x"))
    with pytest.raises(mm.SnapshotError) as error:
        mm.as_snapshot(ds, names={"nothing": "By"}, dims={"m": "z"})
    for said in (
        "dims= names ['m']",
        "names= names ['nothing']",
        "no variable lies on the grid along",
        "dims={'k': 'z'}",
    ):
        assert said in str(error.value)
    with pytest.raises(mm.SnapshotError, match=r"all look like Bx: say which with names=\{'bx': 'Bx'\}"):
        mm.as_snapshot(ds.rename(k="z"))
    found = mm.as_snapshot(ds.rename(k="z"), names={"b_x": "Bx"})
    np.testing.assert_array_equal(found.Bx, ds.b_x)
    np.testing.assert_array_equal(found.bx, ds.bx)
    with pytest.raises(mm.SnapshotError, match=r"none of the dims .* such as dims=\{'c': 'x'"):
        mm.as_snapshot(dataset(dims=("c", "b", "a")).transpose("a", "b", "c"))
    with pytest.raises(mm.SnapshotError, match="all lie along x: say which with dims="):
        mm.as_snapshot(dataset(dims=("z", "y", "x")).assign(other=("x1", np.zeros(3))))


@pytest.mark.parametrize("argument", [{"names": ["Bx"]}, {"dims": {"x": 1}}, {"dims": {"x": "r"}}, {"units": "uG"}])
def test_arguments_that_are_no_mappings(argument):
    with pytest.raises(mm.ArgumentError):
        mm.as_snapshot(dataset(), **argument)


def test_what_is_not_on_the_grid_is_left_out_and_named():
    extra = {
        "spectrum": (("z", "k"), np.ones((4, 3))),
        "f": (("x", "px"), np.ones((10, 7))),
        "total": 3.0,
        "label": (("z", "y", "x"), np.full((4, 6, 10), "a")),
    }
    found = mm.as_snapshot(dataset(extra=extra))
    assert list(found) == list(B)
    assert found.attrs["not_loaded"] == "spectrum, f, total, label"


@pytest.mark.parametrize("where", ["attr", "coordinate", "variable", "dim"])
def test_time(where):
    ds = dataset()
    if where == "attr":
        ds.attrs["current_time"] = np.float32(2.5)
    elif where == "coordinate":
        ds = ds.assign_coords(t=2.5)
    elif where == "variable":
        ds = ds.assign(Time=2.5)
    else:
        ds = xr.concat([ds, 2 * ds], xr.Variable("t", [2.5, 3.5])).transpose(..., "t")
    found = mm.as_snapshot(ds)
    if where == "dim":
        assert found.Bx.dims == ("time", "z", "y", "x")
        np.testing.assert_array_equal(found.time, [2.5, 3.5])
        same_fields(found.isel(time=1), 2 * dataset())
    else:
        assert found.attrs["time"] == 2.5


def test_units_by_either_name_and_of_pint(tmp_path):
    ds = dataset()
    ds.Bx.attrs["unit"] = "nT"
    ds.By.attrs["units"] = "m_e c omega_p / e"
    for d in "xyz":
        ds[d].attrs["units"] = "km"
    found = mm.as_snapshot(ds)
    assert found.Bx.attrs["units"] == "nT" and found.x.attrs["units"] == "km"
    assert (found.By.attrs["units"], found.By.attrs["normalization"]) == ("1", "m_e c omega_p / e")
    for d in "xyz":
        ds[d].attrs["units"] = "R"  # the radius of a planet
    assert mm.as_snapshot(ds).x.attrs["normalization"] == "R"
    pytest.importorskip("pint_xarray")
    with_units = dataset().pint.quantify(dict.fromkeys(B, "nanotesla"))
    found = mm.as_snapshot(with_units)
    assert found.Bz.attrs["units"] == "nT"
    same_fields(found, dataset())
    found.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert mm.open_snapshot(tmp_path / "a.nc").Bz.attrs["units"] == "nT"


def test_one_cell_along_an_axis_is_a_plane():
    ds = dataset(shape=(1, 6, 10))
    found = mm.as_snapshot(ds)
    assert found.Bx.dims == ("y", "x") and "boundary_z" not in found.attrs
    np.testing.assert_array_equal(found.Bz, ds.Bz[0])


def test_a_snapshot_stays_what_it_is(shared):
    ds = mm.open_snapshot(shared / "data/pluto/3d_single/data.0000.dbl", boundary={"x": "open"})
    again = mm.as_snapshot(ds)
    xr.testing.assert_equal(again, ds)
    assert {k: v for k, v in again.attrs.items() if k != "history"} == {
        k: v for k, v in ds.attrs.items() if k != "history"
    } | {"boundary_source": "file"}
    assert all(again[name].attrs == ds[name].attrs for name in ds.variables)


# --- places of the components ---


def staggered(kind):
    """B on faces: one more than cells, or as many, below or above the centres; and n at the centres."""
    rng = np.random.default_rng(5)
    sizes, widths = {"x": 10, "y": 6, "z": 4}, {"x": 0.5, "y": 1.0, "z": 2.0}
    coords = {d: (np.arange(n) + 0.5) * widths[d] for d, n in sizes.items()}
    variables = {"n": (("z", "y", "x"), rng.normal(size=(4, 6, 10)))}
    for name, d in zip(B, "xyz", strict=True):
        count = sizes[d] + (kind == "all")
        coords[f"{d}_f"] = (np.arange(count) + (kind == "above")) * widths[d]
        dims = tuple(f"{e}_f" if e == d else e for e in "zyx")
        variables[name] = (dims, rng.normal(size=[count if e == d else sizes[e] for e in "zyx"]))
    return xr.Dataset(variables, coords)


@pytest.mark.parametrize("boundary", ["periodic", "open"])
@pytest.mark.parametrize("kind", ["all", "below", "above"])
@pytest.mark.parametrize("chunks", [None, 3])
def test_faces_are_averaged_to_centres(kind, boundary, chunks):
    ds = staggered(kind)
    found = mm.as_snapshot(ds if chunks is None else ds.chunk(chunks), boundary=boundary, staggered=True)
    lost = boundary == "open" and kind != "all"
    assert found.Bx.shape == ((3, 5, 9) if lost else (4, 6, 10))
    np.testing.assert_array_equal(found.x, ds.x[slice(1, None) if lost and kind == "above" else slice(len(found.x))])
    for axis, name in ((2, "Bx"), (1, "By"), (0, "Bz")):
        faces = ds[name].values
        if kind == "all":
            mean = (np.delete(faces, 0, axis) + np.delete(faces, -1, axis)) / 2
        else:
            mean = (faces + np.roll(faces, -1 if kind == "below" else 1, axis)) / 2
        whole = xr.DataArray(mean, {d: ds[d] for d in "zyx"}, ("z", "y", "x"))
        np.testing.assert_allclose(found[name], whole.sel({d: found[d] for d in "zyx"}), atol=1e-15)
    np.testing.assert_allclose(found.x_f, ds.x_f)
    own = {d: found[d] for d in ("z", "y")}
    np.testing.assert_array_equal(found.Bx_f, ds.Bx.sel(own))


def test_edges_that_lie_elsewhere_are_refused():
    ds = staggered("below")
    with pytest.raises(mm.SnapshotError, match="half a cell"):
        mm.as_snapshot(ds.assign_coords(x_f=ds.x_f + 0.1))
    with pytest.raises(mm.SnapshotError, match="as many or one more"):
        mm.as_snapshot(ds.isel(x_f=slice(7)))


def test_points_in_a_list_are_put_on_their_grid_if_they_fill_one():
    ds = dataset()
    points = ds.stack(p=("x", "z", "y")).reset_index("p").isel(p=np.random.default_rng(1).permutation(240))
    points = points.reset_coords(("x", "y", "z"))
    same_fields(mm.as_snapshot(points), ds)
    with pytest.raises(mm.SnapshotError, match=r"239 points in a list .* cells of several sizes"):
        mm.as_snapshot(points.isel(p=slice(1, None)))


def test_nothing_is_read(shared, monkeypatch):
    from mmfields.io import _lazy

    ds = mm.open_snapshot(shared / "data/pluto/3d_single/data.0000.dbl", chunks=None)
    on_faces = ds.rename(x="x_f").drop_vars("x_f").assign_coords(x=("x", ds.x.values)).rename(rho="Rho")

    def refuse(*_):
        raise AssertionError("read")

    monkeypatch.setattr(_lazy.LazyArray, "_read", refuse)
    assert mm.as_snapshot(ds).Bx.shape == (12, 10, 8)
    centred = mm.as_snapshot(on_faces)
    monkeypatch.undo()
    np.testing.assert_allclose(centred.Bx, (ds.Bx.data + np.roll(ds.Bx, -1, 2)) / 2)


# --- other programs ---


def test_epoch_through_sdf_xarray(shared):
    pytest.importorskip("sdf_xarray")
    path = shared / "data/epoch/2d_laser/0001.sdf"
    ds = mm.open_snapshot(path, engine="sdf_engine", staggered=True)
    assert ds.attrs["code"] == "EPOCH" and ds.attrs["time"] == 1.0246514634713847e-15
    assert ds.Bz.attrs["units"] == "T" and ds.x.attrs["units"] == "m" and ds.Bz.dims == ("x", "y")
    stored = [float(ds.Ex_f[2, 60]), float(ds.Ey_f[2, 60]), float(ds.Bz_f[2, 60])]
    np.testing.assert_allclose(stored, [8.89180077e10, 1.90970433e13, 22224.3708624])
    bz, ey = ds.Bz_f.values, ds.Ey_f.values
    # half a cell above the centres: the mean is with the neighbour below
    four = sum(np.roll(bz, s, (0, 1)) for s in ((0, 0), (1, 0), (0, 1), (1, 1))) / 4
    np.testing.assert_allclose(ds.Bz, four, rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(ds.Ey, (ey + np.roll(ey, 1, 1)) / 2, rtol=1e-12)
    np.testing.assert_allclose([ds.x[0], ds.x_f[0]], [-3e-6 + 18e-6 / 256, -3e-6 + 18e-6 / 128])
    assert float(ds.Derived_Number_Density_Electron.max()) == pytest.approx(1.14112208e30)
    opened = mm.open_snapshot(path, engine="sdf_engine", boundary={"x": "open"})
    assert opened.sizes["x"] == 127 and float(opened.x[0]) == float(ds.x[1])


def test_epoch_phase_space_is_left_aside(shared):
    pytest.importorskip("sdf_xarray")
    ds = mm.as_snapshot(xr.open_dataset(shared / "data/epoch/1d/0010.sdf", engine="sdf_engine"), staggered=True)
    assert dict(ds.sizes) == {"x": 16, "x_f": 16} and "dist_fn_x_px_proton" in ds.attrs["not_loaded"]
    limits = [float(v) for v in (ds.By_f.min(), ds.By_f.max(), ds.Bz_f.min(), ds.Bz_f.max())]
    np.testing.assert_allclose(limits, [-4.26246597e-3, 4.37129536e-3, -5.05391942e-3, 5.05111166e-3])
    with pytest.raises(mm.SnapshotError, match="no variable lies on the grid"):
        mm.open_snapshot(shared / "data/epoch/3d_mesh_only/0001.sdf", engine="sdf_engine")


def test_entity_through_nt2py_is_what_the_engine_reads(shared):
    nt2 = pytest.importorskip("nt2")
    found = mm.as_snapshot(nt2.Data(str(shared / "data/entity/3d_cpu")).fields)
    own = mm.open_series(shared / "data/entity/3d_cpu/fields/*.h5")
    assert found.attrs["code"] == "Entity"
    for name in (*B, "Ex", "Ey", "Ez"):
        np.testing.assert_array_equal(found[name].transpose("time", "x", "y", "z"), own[name])
    for d in ("time", "x", "y", "z"):
        np.testing.assert_allclose(found[d], own[d], rtol=1e-6)


def test_batsrus_through_flekspy(shared):
    flekspy = pytest.importorskip("flekspy")
    ds = mm.as_snapshot(flekspy.load(str(shared / "data/batsrus/3d_raw.out")))
    assert ds.attrs["code"] == "BATSRUS" and ds.attrs["time"] == pytest.approx(25.6)
    known = {"rho": 0.73975646, "Bx": 0.3625562, "By": 1.1923826, "Bz": -2.1632652e-4}
    for name, value in known.items():
        assert float(ds[name].isel(z=3, y=2, x=1)) == pytest.approx(value, rel=1e-6)
    assert mm.conventions.box(ds) == {"x": (-128, 128), "y": (-2, 2), "z": (-0.5, 0.5)}
    one = mm.as_snapshot(flekspy.load(str(shared / "data/batsrus/cut_multispecies.out")))
    assert one.ux.dims == ("x",) and "OpUy" in one
    for name in ("y0_ascii.out", "y=0_mhd_1_e20140410-000050.out", "3d_mhd_amr/3d__mhd_1_t00000000_n00000000.out"):
        with pytest.raises(mm.SnapshotError, match="cells of several sizes"):
            mm.as_snapshot(flekspy.load(str(shared / "data/batsrus" / name)))


@pytest.mark.parametrize("name", ["uni", "smr"])
def test_refined_meshes_through_yt_are_what_the_engine_reads(shared, no_compute, name):
    yt = pytest.importorskip("yt")
    yt.set_log_level(50)
    path = shared / f"data/athena_athdf/{name}/Blast.out2.00002.athdf"
    opened = yt.load(str(path))
    ds = mm.io.from_yt(opened)
    own = mm.open_snapshot(path)
    assert ds.attrs["boundary_source"] == "file" and ds.Bx.chunks[0][0] == (8 if name == "smr" else 20)
    part = pickle.loads(pickle.dumps(mm.io.from_yt(opened, level=0, left_edge=[-0.5, -0.25, 0], dims=[8, 7, 4])))
    import dask

    with dask.config.set(scheduler="threads"):
        for field in (*B, "ux", "rho"):
            np.testing.assert_array_equal(ds[field].transpose("z", "y", "x"), own[field])
        wanted = mm.open_snapshot(path, level=0).By.sel({d: part[d] for d in "xyz"}, method="nearest").transpose(*"xyz")
        np.testing.assert_allclose(part.By, wanted, rtol=1e-6)
        np.testing.assert_allclose(part.By.isel(x=7, z=3), wanted.isel(x=7, z=3), rtol=1e-6)
    np.testing.assert_allclose(ds.y, own.y)
    assert part.attrs["boundary_x"] == "open"
    with pytest.raises(mm.ArgumentError, match="edge of cells"):
        mm.io.from_yt(opened, level=0, left_edge=[-0.51, 0, 0], dims=[2, 2, 2])


def test_yt_of_arrays_in_memory():
    yt = pytest.importorskip("yt")
    yt.set_log_level(50)
    data = {f"mag{d}": np.random.default_rng(i).normal(size=(8, 6, 4)) for i, d in enumerate("xyz")}
    opened = yt.load_uniform_grid(data, [8, 6, 4])
    ds = mm.io.from_yt(opened, fields={f"B{d}": f"mag{d}" for d in "xyz"})
    for d in "xyz":
        np.testing.assert_array_equal(ds[f"B{d}"].compute(scheduler="threads"), data[f"mag{d}"])
    with pytest.raises(mm.SnapshotError, match="lies in memory"):
        pickle.dumps(ds)
    with pytest.raises(mm.ArgumentError, match="dataset of yt"):
        mm.io.from_yt(dataset())


@pytest.fixture
def modes(tmp_path):
    """openPMD in azimuthal modes of a field that is (2 + z, -1, z) everywhere: r and t components of modes 0 and 1."""
    radial, along = 8, 12
    z = (np.arange(along) + 0.5) * 0.5
    parts = {d: np.zeros((3, radial, along)) for d in "rtz"}
    parts["r"][1], parts["r"][2] = 2 + z, -1  # B_r = B_x cos + B_y sin
    parts["t"][1], parts["t"][2] = -1, -(2 + z)  # B_t = B_y cos - B_x sin
    parts["z"][0] = z
    with h5py.File(tmp_path / "data00000010.h5", "w") as file:
        file.attrs["openPMD"], file.attrs["openPMDextension"] = np.bytes_("1.1.0"), np.uint32(0)
        file.attrs["basePath"], file.attrs["meshesPath"] = np.bytes_("/data/%T/"), np.bytes_("fields/")
        file.attrs["particlesPath"] = np.bytes_("particles/")
        step = file.create_group("data/10")
        step.attrs["time"], step.attrs["dt"], step.attrs["timeUnitSI"] = 3.0, 0.3, 1.0
        record = step.create_group("fields/B")
        notes = {"geometry": "thetaMode", "geometryParameters": "m=2;imag=+", "dataOrder": "C"}
        record.attrs.update({key: np.bytes_(value) for key, value in notes.items()})
        record.attrs["axisLabels"] = np.array(["r", "z"], "S1")
        record.attrs["gridSpacing"], record.attrs["gridGlobalOffset"] = np.array([0.25, 0.5]), np.zeros(2)
        record.attrs["gridUnitSI"], record.attrs["timeOffset"] = 1.0, 0.0
        for name, data in parts.items():
            record[name] = data
            record[name].attrs["position"], record[name].attrs["unitSI"] = np.array([0.5, 0.5]), 1.0
    return tmp_path


def test_azimuthal_modes_through_openpmd_viewer(modes):
    pytest.importorskip("openpmd_viewer")
    ds = mm.io.from_openpmd_viewer(modes, 10)
    assert dict(ds.sizes) == {"x": 16, "y": 16, "z": 12} and ds.attrs["time"] == 3 and ds.Bx.attrs["units"] == "T"
    assert [ds.attrs[f"boundary_{d}"] for d in "xyz"] == ["open", "open", "periodic"]
    assert mm.conventions.box(ds) == {"x": (-2, 2), "y": (-2, 2), "z": (0, 6)}
    inside = np.hypot(ds.x, ds.y) < 1.8
    for name, wanted in (("Bx", 2 + ds.z), ("By", xr.full_like(ds.z, -1)), ("Bz", ds.z)):
        away = (pickle.loads(pickle.dumps(ds))[name] - wanted).where(inside)
        assert float(np.abs(away).max()) < 1e-12
    with pytest.raises(mm.SnapshotError, match="no iteration 11"):
        mm.io.from_openpmd_viewer(modes, 11)
    with pytest.raises(mm.SnapshotError, match=r"\['E'\] in azimuthal modes; found \['B'\]"):
        mm.io.from_openpmd_viewer(modes, 10, fields=["E"])


# --- engines of other packages ---


class Mine(BackendEntrypoint):
    def open_dataset(self, filename_or_obj, *, drop_variables=None, factor=1.0):
        return dataset(("b1", "b2", "b3")) * factor


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.mine"
    path.write_bytes(b"mine")
    return path


def test_any_class_of_an_engine_opens(file):
    ds = mm.open_snapshot(file, engine=Mine, factor=2.0, boundary="open", units={"Bx": "nT"})
    same_fields(ds, 2 * dataset())
    assert ds.attrs["boundary_z"] == "open" and ds.attrs["source"] == str(file) and ds.Bx.attrs["units"] == "nT"


def test_any_installed_engine_opens(tmp_path):
    ds = dataset(("b1", "b2", "b3"))
    ds.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    same_fields(mm.open_snapshot(tmp_path / "a.nc", engine="h5netcdf"), ds, ("b1", "b2", "b3"))
    ds.to_zarr(tmp_path / "a.zarr", consolidated=False, zarr_format=3)
    assert os.path.isdir(tmp_path / "a.zarr")
    with pytest.raises(mm.ArgumentError, match=r"engine 'nonsense': .*h5netcdf"):
        mm.open_snapshot(tmp_path / "a.nc", engine="nonsense")
    with pytest.raises(mm.SnapshotError, match="cannot read it"):
        mm.open_snapshot(tmp_path / "a.nc", engine="scipy")


def test_series_of_another_engine(tmp_path):
    for i in range(2):
        dataset(("b1", "b2", "b3"), time=float(i)).to_netcdf(tmp_path / f"{i}.nc", engine="h5netcdf")
    series = mm.open_series(tmp_path / "*.nc", engine="h5netcdf", boundary="open")
    assert series.Bx.dims == ("time", "z", "y", "x") and series.attrs["boundary_x"] == "open"


# --- what is not straight, and what lies astray ---


@pytest.mark.parametrize("dims", [("r", "theta", "phi"), ("lon", "lat", "radius")])
def test_curved_axes_are_refused_whatever_they_are_called(dims):
    ds = dataset(("b1", "b2", "b3"), dims=dims)
    for given in ({}, dict(zip(dims, "zyx", strict=True))):
        with pytest.raises(mm.SnapshotError, match="not Cartesian"):
            mm.as_snapshot(ds, dims=given)


@pytest.mark.parametrize("attr", [{"Coordinates": "spherical_polar"}, {"geometry": "cylindrical"}])
def test_curved_coordinates_stated_by_attrs(attr):
    with pytest.raises(mm.SnapshotError, match="not Cartesian"):
        mm.as_snapshot(dataset(**attr))


def test_an_axis_of_angles_and_a_phase_space_beside_straight_axes():
    ds = dataset()
    ds["y"].attrs["units"] = "degrees"
    with pytest.raises(mm.SnapshotError, match=r"\['y'\] are not Cartesian"):
        mm.as_snapshot(ds)
    found = mm.as_snapshot(dataset(extra={"f": (("x", "theta"), np.zeros((10, 3)))}))
    assert found.attrs["not_loaded"] == "f"


def test_a_field_astray_is_not_left_out_in_silence():
    ds = dataset()
    ds = ds.assign(Bx=(("z", "y", "x_bnd"), np.zeros((4, 6, 11)))).assign_coords(x_bnd=np.arange(11) * 0.5)
    with pytest.raises(mm.SnapshotError, match=r"Bx over .* dims=\{'x_bnd': 'x_f'\}"):
        mm.as_snapshot(ds)
    assert mm.as_snapshot(ds, dims={"x_bnd": "x_f"}).Bx.shape == (4, 6, 10)
    assert list(mm.as_snapshot(ds.drop_vars("Bx"))) == ["By", "Bz"]


def test_components_along_a_dim_and_units_in_names():
    straight = {d: np.arange(4.0) for d in "xyz"}
    vector = xr.Dataset({"B": (("c", "z", "y", "x"), np.zeros((3, 4, 4, 4)))}, straight)
    with pytest.raises(mm.SnapshotError, match=r"Bz=ds\['B'\]\.isel\(c=2\)"):
        mm.as_snapshot(vector)
    with pytest.raises(mm.SnapshotError, match="to_dataset"):
        mm.as_snapshot(dataset().Bx)
    named = ("Bx [nT]", "By [nT]", "Bz [nT]")
    found = mm.as_snapshot(dataset(named))
    same_fields(found, dataset(named), named)
    assert {found[name].attrs["units"] for name in B} == {"nT"}


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_packed_numbers_are_not_taken_for_others(tmp_path, suffix):
    ds = mm.as_snapshot(dataset(), boundary="open")
    packing = {name: {"dtype": "int16", "scale_factor": 2e-4, "add_offset": 0.25, "_FillValue": -9999} for name in B}
    path, engine = tmp_path / f"a.{suffix}", {"nc": "h5netcdf", "zarr": "zarr"}[suffix]
    ds.to_netcdf(path, engine=engine, encoding=packing) if suffix == "nc" else ds.to_zarr(path, encoding=packing)
    np.testing.assert_allclose(mm.open_snapshot(path).Bx, ds.Bx, atol=2e-4)
    raw = xr.open_dataset(path, engine=engine, mask_and_scale=False, chunks={})
    for use in (mm.conventions.check, mm.as_snapshot, mm.mean_field, mm.anisotropy.scales):
        with pytest.raises(mm.SnapshotError, match=r"packed numbers.*decode_cf"):
            use(raw)
    np.testing.assert_allclose(mm.as_snapshot(xr.decode_cf(raw)).By, ds.By, atol=2e-4)

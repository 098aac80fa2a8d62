"""What the formats allow and no real file at hand shows, on files made here."""

import shutil

import dask
import h5py
import numpy as np
import pytest
import xarray as xr
from builders import NAMES, athdf, fabs, nbf, openpmd, plotfile

import mmfields as mm
from mmfields.provenance import ATTRS


@pytest.fixture
def fields():
    rng = np.random.default_rng(1)
    return rng.uniform(0.5, 1.5, (len(NAMES), 4, 6, 8)).astype(np.float32)


def test_nbf_both_endiannesses_and_the_forcing_line(tmp_path, fields):
    for big in (False, True):
        for forcing in (False, True):
            path = nbf(tmp_path / f"{big}{forcing}.nbf", fields, (4, 3, 2), big=big, forcing=forcing)
            ds = mm.open_snapshot(path)
            np.testing.assert_array_equal(ds.Bz.values, fields[6])
            np.testing.assert_array_equal(ds.uy.values, fields[2] / fields[0])
            assert ds.Bz.dtype.isnative
            assert ds.attrs.get("forcing_bnorm") == (0.5 if forcing else None)
            assert mm.conventions.box(ds) == {"z": (0, 12), "y": (0, 12), "x": (0, 8)}
            assert ds.Bx.chunks == ((2, 2), (3, 3), (4, 4))


def test_nbf_one_and_two_dimensions(tmp_path, fields):
    two = mm.open_snapshot(nbf(tmp_path / "two.nbf", fields[:, :1], (4, 3, 1)))
    assert two.Bx.dims == ("y", "x")
    np.testing.assert_array_equal(two.Bx.values, fields[4, 0])
    one = mm.open_snapshot(nbf(tmp_path / "one.nbf", fields[:, :1, :1], (4, 1, 1)))
    assert one.Bx.dims == ("x",)
    np.testing.assert_array_equal(one.Bx.values, fields[4, 0, 0])


def test_nbf_frame_is_said_by_the_caller(tmp_path, fields):
    path = nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    ds = mm.open_snapshot(path, frame="comoving", scale_factors={"y": 0.5}, boundary={"x": "open"})
    assert (ds.attrs["frame"], ds.attrs["scale_factor_y"]) == ("comoving", 0.5)
    assert (ds.attrs["boundary_x"], ds.attrs["boundary_y"], ds.attrs["boundary_source"]) == (
        "open",
        "periodic",
        "caller",
    )
    with pytest.raises(mm.ArgumentError, match="frame"):
        mm.open_snapshot(path, frame="guess")


def test_nan_among_the_values_is_data(tmp_path, fields):
    fields[4, 1, 2, 3] = np.nan
    ds = mm.open_snapshot(nbf(tmp_path / "nan.nbf", fields, (4, 3, 2)))
    assert np.isnan(ds.Bx.values).sum() == 1
    with pytest.raises(mm.SnapshotError, match=r"Bx is not finite at index \(1, 2, 3\)"):
        mm.fourier.filter(ds, mm.fourier.band(k_par=(0, 1)), direction="x").Bx.compute()


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
def test_athdf_number_formats(tmp_path, fields, dtype):
    ds = mm.open_snapshot(athdf(tmp_path / "a.athdf", fields, (4, 3, 2), dtype=dtype))
    np.testing.assert_array_equal(ds.Bx.values, fields[4].astype(dtype))
    assert ds.Bx.dtype == np.dtype(dtype).newbyteorder("=")


def test_athdf_chunked_and_compressed(tmp_path, fields):
    ds = mm.open_snapshot(athdf(tmp_path / "a.athdf", fields, (4, 3, 2), compression="gzip"))
    np.testing.assert_array_equal(ds.By.values, fields[5])
    np.testing.assert_array_equal(ds.By.isel(z=2).values, fields[5, 2])


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_athdf_unsigned(tmp_path, fields, bits):
    top = np.iinfo(f"u{bits // 8}").max
    numbers = (fields / 2 * float(top)).astype(f"u{bits // 8}")
    ds = mm.open_snapshot(athdf(tmp_path / "a.athdf", numbers, (4, 3, 2), dtype=f"<u{bits // 8}"), quantization=(0, 2))
    np.testing.assert_allclose(ds.Bx.values, fields[4], atol=max(1.01 * 2 / float(top), 1e-7))


def test_quantized_faces_and_averages_of_integers(tmp_path, shared):
    source = shared / "data/athena_athdf/uni/Blast.out5.00001.athdf"
    path = tmp_path / "faces.athdf"
    shutil.copy(source, path)
    with h5py.File(path, "r+") as file:
        data = file["hydro"][...]
        del file["hydro"]
        file["hydro"] = np.round((data + 3) / 6 * 65535).astype("u2")
    got, want = mm.open_snapshot(path, quantization=(-3, 3), staggered=True), mm.open_snapshot(source, staggered=True)
    for name in ("Bx", "By", "Bz", "Bx_f"):
        np.testing.assert_allclose(got[name].values, want[name].values, atol=9.2e-5)
    refined = shared / "data/athena_athdf/smr/Blast.out6.00001.athdf"
    mesh = {"x": (-1, 1), "y": (-0.75, 0.75), "z": (-0.5, 0.5)}
    fine, root = (mm.open_snapshot(refined, mesh=mesh, quantization=(-3, 3), level=n) for n in (1, 0))
    assert float(fine.Bx.mean()) == pytest.approx(float(root.Bx.mean()), rel=1e-12)


def test_flat_chunked_files(tmp_path, fields):
    flat = fields[:, :1]
    ds = mm.open_snapshot(athdf(tmp_path / "a.athdf", flat, (4, 3, 1), compression="gzip"))
    assert ds.Bx.dims == ("y", "x")
    np.testing.assert_array_equal(ds.Bx.values, flat[4, 0])


def test_athdf_other_geometry_is_refused(tmp_path, fields):
    path = athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
    with h5py.File(path, "r+") as file:
        file.attrs["Coordinates"] = np.bytes_("spherical_polar")
    with pytest.raises(mm.SnapshotError, match="spherical_polar"):
        mm.open_snapshot(path)


def test_hdf5_links_are_not_followed(tmp_path, fields):
    path = athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
    shutil.copy(path, tmp_path / "b.athdf")
    for link in (h5py.ExternalLink("b.athdf", "/cons"), h5py.SoftLink("/other")):
        with h5py.File(path, "r+") as file:
            if "other" not in file:
                file["other"] = file["cons"][...]
            del file["cons"]
            file["cons"] = link
        with pytest.raises(mm.SnapshotError, match="links are not followed"):
            mm.open_snapshot(path)


def test_athenak_ranks(shared, tmp_path):
    source = shared / "data/athenak_bin/CPAW.mhd_w_bcc.00000.bin"
    raw = source.read_bytes()
    head = raw.index(b"header offset=") + len(b"header offset=4196\n") + 4196
    block = 40 + 48 + 8 * 16 * 8 * 8 * 4
    cut = head + 37 * block
    for rank, body in enumerate((raw[:cut], raw[:head] + raw[cut:])):
        (tmp_path / f"rank_{rank:08d}").mkdir()
        (tmp_path / f"rank_{rank:08d}" / "CPAW.bin").write_bytes(body)
    ds = mm.open_snapshot(tmp_path / "rank_00000001/CPAW.bin")
    story = dict.fromkeys(ATTRS, "")  # which names another file
    xr.testing.assert_identical(
        ds.compute().assign_attrs(story), mm.open_snapshot(source).compute().assign_attrs(story)
    )
    (tmp_path / "rank_00000000/CPAW.bin").unlink()
    with pytest.raises(mm.SnapshotError, match=r"ranks \[0\]"):
        mm.open_snapshot(tmp_path / "rank_00000001/CPAW.bin")


@pytest.mark.parametrize("stored", ["<f8", ">f8", "<f4", ">f4"])
def test_amrex_boxes_files_and_formats(tmp_path, fields, stored):
    field = fields[4:7]
    parts = [((0, 0, 0), field[:, :, :4]), ((0, 4, 0), field[:, :, 4:, :5]), ((5, 4, 0), field[:, :, 4:, 5:])]
    ds = mm.open_snapshot(plotfile(tmp_path / "plt", [parts], (8, 6, 4), stored=stored, files=2))
    for c, want in zip("xyz", field, strict=True):
        np.testing.assert_array_equal(ds[f"B{c}"].values, want.astype(stored))
    assert ds.attrs["time"] == 2.5
    np.testing.assert_array_equal(ds.Bx.isel(x=6).values, field[0, :, :, 6].astype(stored))


def test_amrex_levels(tmp_path, fields):
    coarse = fields[4:7].astype(float)
    fine = np.random.default_rng(2).uniform(size=(3, 4, 4, 6))
    path = plotfile(tmp_path / "plt", [[((0, 0, 0), coarse)], [((4, 2, 2), fine)]], (8, 6, 4))
    ds = mm.open_snapshot(path)
    want = coarse[0].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    want[2:6, 2:6, 4:10] = fine[0]
    np.testing.assert_array_equal(ds.Bx.values, want)
    root = mm.open_snapshot(path, level=0)
    want = coarse[0].copy()
    want[1:3, 1:3, 2:5] = fine[0].reshape(2, 2, 2, 2, 3, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(root.Bx.values, want, rtol=1e-14)
    np.testing.assert_allclose(float(root.Bx.mean()), float(ds.Bx.mean()), rtol=1e-13)


def test_amrex_two_dimensions_and_faces(tmp_path, fields):
    plane = fields[4:7, 0]
    path = plotfile(tmp_path / "plt", [[((0, 0), plane)]], (8, 6))
    (path / "WarpXHeader").write_text("x\n")
    faces = np.concatenate([plane[:1], plane[:1, :, :1]], axis=2)
    fabs(path / "raw_fields/Level_0/Bx_fp", [((0, 0), faces)], kind=(1, 0))
    ds = mm.open_snapshot(path, staggered=True)
    assert ds.Bx.dims == ("z", "x")
    np.testing.assert_array_equal(ds.Bx_f.values, faces[0])


def test_amrex_overlapping_and_missing_boxes(tmp_path, fields):
    field = fields[4:7]
    over = [((0, 0, 0), field), ((2, 0, 0), field[:, :, :, :2])]
    with pytest.raises(mm.SnapshotError, match="overlap"):
        mm.open_snapshot(plotfile(tmp_path / "over", [over], (8, 6, 4)))
    with pytest.raises(mm.SnapshotError, match="missing"):
        mm.open_snapshot(plotfile(tmp_path / "part", [[((0, 0, 0), field[:, :, :3])]], (8, 6, 4)))


def test_openpmd_yee_periodic_and_open(tmp_path):
    rng = np.random.default_rng(3)
    shape = (4, 5, 6)
    bx, by, bz = (rng.normal(size=shape) for _ in range(3))
    records = {"B": {"x": (bx, (0.5, 0.5, 0)), "y": (by, (0.5, 0, 0.5)), "z": (bz, (0, 0.5, 0.5))}}
    path = openpmd(tmp_path / "a.h5", {10: records})
    ds = mm.open_snapshot(path, boundary="periodic", staggered=True)
    np.testing.assert_allclose(ds.Bx.values, 3 * (bx + np.roll(bx, -1, 2)) / 2, rtol=1e-14)
    np.testing.assert_allclose(ds.Bz.values, 3 * (bz + np.roll(bz, -1, 0)) / 2, rtol=1e-14)
    np.testing.assert_allclose(ds.By_f.values, 3 * by, rtol=1e-15)
    assert ds.By_f.dims == ("z", "y_f", "x")
    assert [float(ds[d][0]) for d in "zyx"] == [5.25, 10.5, 21.0]
    assert ds.attrs["time"] == 10.0
    cut = mm.open_snapshot(path, boundary={"x": "open"})
    assert dict(cut.sizes) == {"z": 4, "y": 5, "x": 5}
    np.testing.assert_allclose(cut.Bx.values, 3 * (bx[..., :-1] + bx[..., 1:]) / 2, rtol=1e-14)
    np.testing.assert_array_equal(cut.By.values, ds.By.values[..., :-1])
    closed = openpmd(tmp_path / "b.h5", {10: records}, boundary=["periodic"] * 4 + ["open"] * 2)
    assert mm.conventions.boundaries(mm.open_snapshot(closed)) == {"z": "periodic", "y": "periodic", "x": "open"}


def test_openpmd_fortran_order_constants_and_empty_path(tmp_path):
    data = np.arange(24.0).reshape(2, 3, 4)
    centre = (0.5, 0.5, 0.5)
    records = {"B": {"x": (data, centre), "y": ((7.0, (2, 3, 4)), centre), "z": (data, centre)}}
    path = openpmd(tmp_path / "a.h5", {3: records}, order="F", labels=("x", "y", "z"), meshes="")
    ds = mm.open_snapshot(path)
    assert ds.Bx.dims == ("z", "y", "x")  # Fortran data read in C have their axes reversed
    assert mm.conventions.spacing(ds) == {"z": 2.0, "y": 1.0, "x": 0.5}
    assert float(ds.By.mean()) == 21.0
    np.testing.assert_array_equal(ds.Bx.values, 3 * data)


def test_openpmd_group_and_file_series(tmp_path):
    centre = (0.5, 0.5, 0.5)

    def records(value):
        return {"B": {c: (np.full((2, 3, 4), value + i), centre) for i, c in enumerate("xyz")}}

    group = openpmd(tmp_path / "group.h5", {20: records(2.0), 5: records(1.0)})
    ds = mm.open_snapshot(group)
    assert ds.By.dims == ("time", "z", "y", "x")
    assert list(ds.time.values) == [5.0, 20.0]
    np.testing.assert_array_equal(ds.By.values[:, 0, 0, 0], [6.0, 9.0])
    assert mm.open_snapshot(group, iteration=20).attrs["time"] == 20.0
    with pytest.raises(mm.SnapshotError, match="no iteration 7"):
        mm.open_snapshot(group, iteration=7)
    for number in (30, 4):
        openpmd(tmp_path / f"step_{number}.h5", {number: records(float(number))})
    ser = mm.open_series(tmp_path / "step_*.h5")
    assert list(ser.time.values) == [4.0, 30.0]
    np.testing.assert_array_equal(ser.Bx.values[:, 0, 0, 0], [12.0, 90.0])


def test_unit_that_the_dtype_cannot_hold(tmp_path):
    data = np.full((2, 3, 4), 2.0, "f4")
    path = openpmd(tmp_path / "a.h5", {1: {"B": {c: (data, (0.5, 0.5, 0.5)) for c in "xyz"}}})
    with h5py.File(path, "r+") as file:
        for c in "xyz":
            file[f"data/1/meshes/B/{c}"].attrs["unitSI"] = 1e40
    assert float(mm.open_snapshot(path).Bx.max()) == 2e40


def test_openpmd_theta_mode_is_refused(tmp_path):
    path = openpmd(tmp_path / "a.h5", {1: {"B": {"r": (np.zeros((3, 4, 5)), (0, 0, 0))}}})
    with h5py.File(path, "r+") as file:
        file["data/1/meshes/B"].attrs["geometry"] = "thetaMode"
    with pytest.raises(mm.SnapshotError, match="thetaMode"):
        mm.open_snapshot(path)


def jhtdb_new(path, n=6, box=2 * np.pi / 1024, times=(1, 3)):
    rng = np.random.default_rng(4)
    data = {}
    with h5py.File(path, "w") as file:
        file.attrs["dataset"] = "mhd1024"
        for i, c in enumerate("xyz"):
            file[f"{c}coor"] = (np.arange(n + i) * box).astype("f4")
        for t in times:
            for name, count in (("Velocity", 3), ("Magneticfield", 3), ("Pressure", 1)):
                data[name, t] = rng.normal(size=(n + 2, n + 1, n, count)).astype("f4")
                file[f"{name}_{t:04d}"] = data[name, t]
    return data


def test_jhtdb_new_style_and_giverny(tmp_path):
    data = jhtdb_new(tmp_path / "cutout.h5")
    ds = mm.open_snapshot(tmp_path / "cutout.h5")
    assert ds.Bx.dims == ("time", "z", "y", "x")
    assert list(ds.time.values) == pytest.approx([0.0, 0.005])
    for i, c in enumerate("xyz"):
        np.testing.assert_array_equal(ds[f"B{c}"].values[1], data["Magneticfield", 3][..., i])
    np.testing.assert_array_equal(ds.p.values[0], data["Pressure", 1][..., 0])
    given = xr.Dataset(
        {f"magneticfield_{t:04d}": (("zcoor", "ycoor", "xcoor", "values"), data["Magneticfield", t]) for t in (1, 3)},
        {f"{c}coor": ds[c].values for c in "xyz"},
    )
    snapshot = mm.io.from_giverny(given)
    np.testing.assert_array_equal(snapshot.By.values, ds.By.values)
    assert mm.conventions.boundaries(snapshot) == {"z": "open", "y": "open", "x": "open"}
    mm.conventions.check(snapshot)


def test_own_zarr_and_netcdf_keep_everything(tmp_path, fields):
    ds = mm.open_snapshot(nbf(tmp_path / "a.nbf", fields, (4, 3, 2)), frame="physical")
    mm.store(ds, tmp_path / "a.zarr")
    ds.to_netcdf(tmp_path / "a.nc")
    for path in ("a.zarr", "a.nc"):
        again = mm.open_snapshot(tmp_path / path)
        xr.testing.assert_identical(again.compute(), ds.compute())
        assert again.attrs == ds.attrs
        assert again.Bx.attrs == ds.Bx.attrs


def test_from_arrays():
    rng = np.random.default_rng(0)
    arrays = {f"B{c}": dask.array.from_array(rng.normal(size=(2, 3, 4)), chunks=2) for c in "xyz"}
    spacing = {"x": 0.5, "y": 1.0, "z": 2.0}
    ds = mm.io.from_arrays(**arrays, spacing=spacing, code="mine", field_unit="3 uG")
    assert ds.Bx.dims == ("x", "y", "z")
    assert ds.Bx.chunks == ((2,), (2, 1), (2, 2))
    assert [float(ds[d][0]) for d in "xyz"] == [0.25, 0.5, 1.0]
    assert (ds.attrs["code"], ds.attrs["field_unit"]) == ("mine", "3 uG")
    assert mm.conventions.spacing(ds) == spacing
    for bad, message in (
        ({"spacing": {"x": 1, "y": 1}}, "spacing is given for"),
        ({"spacing": {**spacing, "z": -1.0}}, "positive"),
        ({"spacing": spacing, "dims": ("x", "y", "y")}, "distinct"),
        ({"spacing": spacing, "boundary": "mirrored"}, "periodic"),
        ({"spacing": spacing, "n": np.zeros((2, 2, 2))}, "one shape"),
    ):
        with pytest.raises(mm.MmfieldsError, match=message):
            mm.io.from_arrays(**arrays, **bad)


def test_series_refuses_what_does_not_belong_together(tmp_path, fields):
    nbf(tmp_path / "a.nbf", fields, (4, 3, 2), time=2.0)
    nbf(tmp_path / "b.nbf", fields, (4, 3, 2), time=2.0)
    with pytest.raises(mm.SnapshotError, match=r"time 2\.0 stands in several"):
        mm.open_series(tmp_path / "*.nbf")
    nbf(tmp_path / "b.nbf", fields[:, :, :3], (4, 3, 2), time=3.0)
    with pytest.raises(mm.SnapshotError, match="axis y"):
        mm.open_series(tmp_path / "*.nbf")
    with pytest.raises(mm.SnapshotError, match="no file matches"):
        mm.open_series(tmp_path / "*.athdf")


@pytest.mark.parametrize("kind", ["nbf", "athdf"])
def test_a_series_reads_each_header_once(tmp_path, fields, kind, monkeypatch):
    import builtins

    writer = {"nbf": nbf, "athdf": athdf}[kind]
    for i in range(12):
        writer(tmp_path / f"s{i}.{kind}", fields, (8, 6, 4), time=float(11 - i))
    opened = []
    real_open, real_file = builtins.open, h5py.File

    def counted(path, *args, **kwargs):
        if str(path).endswith(f".{kind}"):
            opened.append(str(path))
        return real_open(path, *args, **kwargs)

    class CountedFile(real_file):
        def __init__(self, path, *args, **kwargs):
            opened.append(str(path))
            super().__init__(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", counted)
    monkeypatch.setattr(h5py, "File", CountedFile)
    ser = mm.open_series(tmp_path / f"*.{kind}")
    counts = {path: opened.count(path) for path in set(opened)}
    assert len(counts) == 12
    # the first is looked at for its engine too, and for what the others are held against: in HDF5 bytes, stamps, and
    # the end that the file states
    assert sorted(counts.values())[:11] == [{"nbf": 1, "athdf": 2}[kind]] * 11 and max(counts.values()) <= 6
    assert list(ser.time.values) == [float(i) for i in range(12)]


def bytes_read() -> int:
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


@pytest.mark.parametrize("kind", ["nbf", "athdf"])
@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_plane_reads_the_blocks_it_touches_at_most(tmp_path, kind, axis):
    try:
        bytes_read()
    except OSError:
        pytest.skip("this system does not count the bytes read")
    big = np.random.default_rng(0).normal(size=(7, 64, 64, 64)).astype("f4")
    path = {"nbf": nbf, "athdf": athdf}[kind](tmp_path / f"a.{kind}", big, (16, 16, 16))
    before = bytes_read()
    ds = mm.open_snapshot(path, chunks=None)
    opening = bytes_read() - before
    before = bytes_read()
    plane = ds.Bx.isel({axis: 21}).values
    reading = bytes_read() - before
    np.testing.assert_array_equal(plane, big[4].take(21, "zyx".index(axis)))
    touched = 16 * 16**3 * 4
    assert reading <= 1.1 * touched
    if axis == "z":
        assert reading <= 1.1 * 64 * 64 * 4 + 1e4  # rows of the slowest axis lie together
    assert opening < 0.1 * path.stat().st_size


@pytest.mark.parametrize("block", [(4, 3, 2), (8, 6, 4), (2, 6, 1)])
def test_a_read_shared_by_two_threads(tmp_path, fields, block, monkeypatch):
    """Whole, in part, and of a file that has lost its end since it was opened."""
    monkeypatch.setattr("mmfields.io._mesh.THREADED_BYTES", 0)
    path = nbf(tmp_path / "a.nbf", fields, block)
    ds = xr.open_dataset(path, engine="pegasus", cache=False)
    for part in ({}, {"z": slice(1, 4), "x": slice(1, 7)}, {"y": slice(2, 5)}):
        whole = xr.DataArray(fields[4], dims=("z", "y", "x"))
        np.testing.assert_array_equal(ds.Bx.isel(part).values, whole.isel(part).values)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 4 * int(np.prod(block)) * 3)
    with pytest.raises(mm.SnapshotError, match="the file is truncated"):
        _ = ds.Bx.values

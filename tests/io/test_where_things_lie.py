"""Where numbers lie in the cell, on which axis, and whether what was given is the whole."""

import h5py
import numpy as np
import pytest
import xarray as xr
from builders import NAMES, athdf, athenak, legacy_vtk, nbf, openpmd, plotfile, sliced_athdf

import mmfields as mm

CENTRE = (0.5, 0.5, 0.5)
SHAPE = (4, 6, 8)  # z, y, x
FACES = [np.linspace(0, n, n + 1) for n in SHAPE[::-1]]
ATHENA = "# Athena++ data at time=5.0e-01  cycle=3  variables={}"


@pytest.fixture
def fields():
    return np.random.default_rng(1).uniform(0.5, 1.5, (len(NAMES), *SHAPE)).astype(np.float32)


def between(faces, axis):
    """Means of each face and the next one, round the box."""
    return (faces + np.roll(faces, -1, axis)) / 2


# --- faces and centres ------------------------------------------------------------------------------------------------


def test_faces_of_vtk_come_to_the_centres(tmp_path, fields):
    b = fields[:3]
    scalars = [(f"B{i + 1}", b[i]) for i in range(3)] + [("rho", fields[3])]
    path = legacy_vtk(tmp_path / "T.block0.out3.00001.vtk", ATHENA.format("b"), FACES, scalars)
    ds = mm.open_snapshot(path)
    for i, c in enumerate("xyz"):
        np.testing.assert_allclose(ds[f"B{c}"], between(b[i], 2 - i), rtol=1e-6)
    np.testing.assert_array_equal(ds.rho, fields[3])
    cut = mm.open_snapshot(path, boundary={"y": "open"})
    assert dict(cut.sizes) == {"z": 4, "y": 5, "x": 8} and cut.sizes["y"] == len(cut.y)
    np.testing.assert_allclose(cut.By, between(b[1], 1)[:, :-1], rtol=1e-6)
    np.testing.assert_array_equal(cut.rho, fields[3][:, :-1])


def test_faces_across_blocks_of_vtk_and_nbf(tmp_path, fields):
    b = fields[:3]
    for n, half in enumerate((slice(0, 4), slice(4, 8))):
        edges = [FACES[0][half.start : half.stop + 1], *FACES[1:]]
        scalars = [(f"B{i + 1}", b[i][..., half]) for i in range(3)]
        legacy_vtk(tmp_path / f"T.block{n}.out3.00001.vtk", ATHENA.format("b"), edges, scalars)
    nbf(tmp_path / "T.nbf", b, (4, 3, 2), names=("B1", "B2", "B3"))
    for name in ("T.block1.out3.00001.vtk", "T.nbf"):
        ds = mm.open_snapshot(tmp_path / name)
        np.testing.assert_allclose(ds.Bx, between(b[0], 2), rtol=1e-6)
        np.testing.assert_allclose(ds.Bz, between(b[2], 0), rtol=1e-6)


# --- axes -------------------------------------------------------------------------------------------------------------


def test_warpx_in_one_dimension_runs_along_z(tmp_path):
    a = np.random.default_rng(1).normal(size=(3, 32))
    path = plotfile(tmp_path / "diag", [[((0,), a)]], (32,))
    assert mm.open_snapshot(path).Bz.dims == ("x",)  # of other codes
    (path / "WarpXHeader").write_text("Checkpoint version: 1\n")
    ds = mm.open_snapshot(path)
    assert ds.Bz.dims == ("z",) and "boundary_z" in ds.attrs
    np.testing.assert_array_equal(ds.Bz, a[2])
    assert ds.attrs["time_unit"] == "s" and ds.time.attrs["units"] == "s"


# --- coordinates ------------------------------------------------------------------------------------------------------

MESH = {"x": (0, 8), "y": (0, 6), "z": (0, 4)}


@pytest.mark.parametrize("kind", ["spherical_polar", "cylindrical", "kerr-schild"])
def test_a_mesh_that_is_given_makes_no_geometry_cartesian(tmp_path, fields, kind):
    path = athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
    with h5py.File(path, "r+") as file:
        file.attrs["Coordinates"] = np.bytes_(kind)
    for options in ({}, {"mesh": MESH}):
        with pytest.raises(mm.SnapshotError, match=kind):
            mm.open_snapshot(path, **options)
    with h5py.File(path, "r+") as file:  # the last that it says of its mesh
        for i in (1, 2, 3):
            del file.attrs[f"RootGridX{i}"]
    with pytest.raises(mm.SnapshotError, match=kind):
        mm.open_snapshot(path, mesh=MESH)


def test_stretched_axes_and_other_limits_than_those_given(tmp_path, fields):
    path = athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
    assert mm.open_snapshot(path, mesh=MESH).equals(mm.open_snapshot(path))
    with pytest.raises(mm.SnapshotError, match="states its own mesh"):
        mm.open_snapshot(path, mesh=MESH | {"x": (0, 9)})
    with h5py.File(path, "r+") as file:
        file.attrs["RootGridX2"] = np.array([0.0, 6.0, 1.1])
    with pytest.raises(mm.SnapshotError, match="stretched"):
        mm.open_snapshot(path, mesh=MESH)
    path = athdf(tmp_path / "b.athdf", fields, (4, 3, 2))
    with h5py.File(path, "r+") as file:  # a user's mesh generator leaves the ratio at 1
        file["x1f"][...] = np.geomspace(1, 9, 9)[None, :5] - 1
    with pytest.raises(mm.SnapshotError, match="not the uniform mesh"):
        mm.open_snapshot(path, mesh=MESH)


@pytest.mark.parametrize("name", ["minkowski", "Cartesian", "cartesian "])
def test_cartesian_by_other_names(tmp_path, fields, name):
    path = athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
    with h5py.File(path, "r+") as file:
        file.attrs["Coordinates"] = np.bytes_(name)
    np.testing.assert_array_equal(mm.open_snapshot(path).Bx, fields[4])
    path = openpmd(tmp_path / "a.h5", {1: {"B": {c: (fields[0], CENTRE) for c in "xyz"}}})
    with h5py.File(path, "r+") as file:
        file["data/1/meshes/B"].attrs["geometry"] = np.bytes_("Cartesian")
    assert mm.open_snapshot(path).Bx.shape == SHAPE


def test_ghost_zones_are_told(tmp_path, fields):
    path = athdf(tmp_path / "a.athdf", np.pad(fields, ((0, 0), (2, 2), (2, 2), (2, 2))), (12, 10, 8))
    with h5py.File(path, "r+") as file:
        file.attrs["RootGridSize"] = np.array(SHAPE[::-1], ">i4")
        for i, n in enumerate(SHAPE[::-1], 1):
            file.attrs[f"RootGridX{i}"] = np.array([0.0, n, 1.0])
            file[f"x{i}f"][...] = np.arange(-2, n + 3.0)
    with pytest.raises(mm.SnapshotError, match="ghost"):
        mm.open_snapshot(path)
    path = athenak(tmp_path / "a.bin", fields[:1], (4, 6, 4), names=("dens",))
    text = path.read_bytes()
    path.write_bytes(text.replace(b"<meshblock>\nnx1 = 4", b"<meshblock>\nnx1 = 0"))
    with pytest.raises(mm.SnapshotError, match="ghost"):
        mm.open_snapshot(path)


# --- the whole --------------------------------------------------------------------------------------------------------


def rank_files(folder, full, flat=False):
    """Two ranks of Athena-C beside each other along x."""
    paths = []
    for rank, part in enumerate((slice(0, 4), slice(4, 8))):
        name = f"T{f'-id{rank}' if rank else ''}.0001.vtk"
        path = folder / name if flat else folder / f"id{rank}" / name
        title = "CONSERVED vars at time= 1.0e+00, level= 0, domain= 0"
        edges = [FACES[0][part.start : part.stop + 1], *FACES[1:]]
        vectors = [("momentum", full[1:4][..., part]), ("cell_centered_B", full[4:7][..., part])]
        paths.append(legacy_vtk(path, title, edges, [("density", full[0][..., part])], vectors, points=True))
    return paths


@pytest.mark.parametrize("flat", [False, True])
def test_ranks_of_athena_are_joined(tmp_path, fields, flat):
    paths = rank_files(tmp_path, fields, flat)
    for path in paths:
        ds = mm.open_snapshot(path)
        np.testing.assert_array_equal(ds.By, fields[5])
        np.testing.assert_array_equal(ds.uz, fields[3] / fields[0])
    series = mm.open_series(str(tmp_path / "**.vtk") if flat else str(tmp_path / "id*" / "*.vtk"))
    assert series.sizes == {"time": 1, "z": 4, "y": 6, "x": 8}
    paths[0].unlink()
    with pytest.raises(mm.SnapshotError, match=r"\[0\] are missing"):
        mm.open_snapshot(paths[1])


def test_a_rank_whose_file_is_not_there(tmp_path, fields):
    paths = rank_files(tmp_path, fields)
    paths[1].unlink()
    with pytest.raises(mm.SnapshotError, match=r"ranks \[1\] are missing"):
        mm.open_snapshot(paths[0])


def test_the_first_of_several_pieces_alone_is_doubted(tmp_path, fields):
    paths = rank_files(tmp_path, fields)
    paths[1].unlink()
    paths[1].parent.rmdir()
    with pytest.warns(mm.MmfieldsWarning, match="taken for the whole box"):
        assert mm.open_snapshot(paths[0]).sizes["x"] == 4


def test_a_refined_patch_is_not_the_box(tmp_path, fields):
    title = "PRIMITIVE vars at time= 1.0e+00, level= {}, domain= 0"
    for level, name in ((0, "T.0001.vtk"), (1, "T-lev1.0001.vtk"), (2, "lev2/T-lev2-dom1.0001.vtk")):
        legacy_vtk(tmp_path / name, title.format(level), FACES, [("density", fields[0])], points=True)
        if not level:
            mm.open_snapshot(tmp_path / name)
            continue
        with pytest.raises(mm.SnapshotError, match=f"patch of refinement level {level}"):
            mm.open_snapshot(tmp_path / name)
        with pytest.raises(mm.SnapshotError, match="patch"):
            mm.open_snapshot(tmp_path / name, boundary={"x": "open"})
        np.testing.assert_array_equal(mm.open_snapshot(tmp_path / name, boundary="open").rho, fields[0])


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_slices_across_blocks_of_athdf(tmp_path, fields, axis):
    whole = athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
    path = sliced_athdf(tmp_path / "slice.athdf", whole, axis, 3)
    ds = mm.open_snapshot(path)
    assert ds.By.dims == tuple(d for d in "zyx" if d != axis)
    np.testing.assert_array_equal(ds.By, fields[5].take(3, "zyx".index(axis)))
    assert ds.attrs[f"slice_{axis}"] == 3.5 and f"boundary_{axis}" not in ds.attrs
    with pytest.raises(mm.SnapshotError, match="sum along"):
        mm.open_snapshot(sliced_athdf(tmp_path / "sum.athdf", whole, axis, 0, total=True))


def test_the_sum_of_one_block_is_no_slice(tmp_path, fields):
    whole = athdf(tmp_path / "a.athdf", fields, (4, 3, 4))
    with pytest.raises(mm.SnapshotError, match="sum along"):
        mm.open_snapshot(sliced_athdf(tmp_path / "sum.athdf", whole, "z", 0, total=True))


def test_faces_across_a_slice_are_left_out(tmp_path, fields):
    whole = athdf(tmp_path / "a.athdf", fields, (4, 3, 2), names=("dens", "a", "b", "c", "B1", "B2", "B3"))
    ds = mm.open_snapshot(sliced_athdf(tmp_path / "slice.athdf", whole, "y", 4))
    np.testing.assert_allclose(ds.Bx, between(fields[4], 2)[:, 4], rtol=1e-6)
    assert "By" not in ds and ds.attrs["not_loaded"] == "B2"


def test_slices_across_blocks_of_vtk(tmp_path, fields):
    """Only the blocks that the plane meets are written, under their own numbers."""
    for number, (i, k) in {1: (0, 0), 4: (1, 0), 9: (0, 1), 12: (1, 1)}.items():
        part = fields[4:7, 2 * k : 2 * k + 2, 3:4, 4 * i : 4 * i + 4]
        edges = [FACES[0][4 * i : 4 * i + 5], [3.5], FACES[2][2 * k : 2 * k + 3]]
        name = f"T.block{number}.out1.00002.vtk"
        legacy_vtk(tmp_path / name, ATHENA.format("prim"), edges, vectors=[("Bcc", part)])
    ds = mm.open_snapshot(tmp_path / "T.block4.out1.00002.vtk")
    assert ds.By.dims == ("z", "x")
    np.testing.assert_array_equal(ds.By, fields[5][:, 3])
    (tmp_path / "T.block9.out1.00002.vtk").unlink()
    with pytest.raises(mm.SnapshotError, match="do not tile"):
        mm.open_snapshot(tmp_path / "T.block4.out1.00002.vtk")


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_slices_of_athenak(tmp_path, fields, axis):
    path = athenak(tmp_path / "a.bin", fields, (4, 3, 2), names=NAMES, sliced=axis)
    ds = mm.open_snapshot(path)
    k = "zyx".index(axis)
    assert ds.Bz.dims == tuple(d for d in "zyx" if d != axis)
    np.testing.assert_array_equal(ds.Bz, fields[6].take(SHAPE[k] // 2, k))


def test_ranks_in_a_series(tmp_path, fields):
    whole = athenak(tmp_path / "whole.bin", fields, (4, 6, 4), names=NAMES).read_bytes()
    cut = len(whole) - (40 + 48 + 4 * len(NAMES) * 4 * 6 * 4)
    start = cut - (len(whole) - cut)
    for rank, body in enumerate((whole[:cut], whole[:start] + whole[cut:])):
        (tmp_path / f"rank_{rank:08d}").mkdir()
        (tmp_path / f"rank_{rank:08d}" / "T.00000.bin").write_bytes(body)
    ds = mm.open_series(str(tmp_path / "rank_*" / "*.bin"))
    np.testing.assert_array_equal(ds.Bz[0], fields[6])


@pytest.mark.parametrize("fill", [np.nan, 0.0])
def test_partly_filled_plotfiles(tmp_path, fields, fill):
    b = fields[4:7].astype(float)
    path = plotfile(tmp_path / "plt", [[((0, 0, 1), b[:, 1:3]), ((0, 0, 3), b[:, 3:, :2])]], SHAPE[::-1])
    with pytest.raises(mm.SnapshotError, match="fill_missing="):
        mm.open_snapshot(path)
    ds = mm.open_snapshot(path, fill_missing=fill)
    want = np.full(SHAPE, fill)
    want[1:3], want[3:, :2] = b[0, 1:3], b[0, 3:, :2]
    np.testing.assert_array_equal(ds.Bx, want)
    np.testing.assert_array_equal(ds.Bx.isel(z=3, y=slice(1, 4)), want[3, 1:4])
    assert ds.attrs["missing_cells"] == 48 + 32


@pytest.mark.parametrize("unit", [1.0, 4.0])
def test_partly_filled_openpmd(tmp_path, fields, unit):
    path = openpmd(tmp_path / "a.h5", {1: {"B": {c: (fields[i], CENTRE) for i, c in enumerate("xyz")}}})
    with h5py.File(path, "r+") as file:
        group = file["data/1/meshes/B"]
        for c in "xyz":
            kept = dict(group[c].attrs)
            del group[c]
            node = group.create_dataset(c, SHAPE, "f4", chunks=(1, 6, 8))
            if c != "z":
                node[1:3] = fields["xyz".index(c), 1:3]
            node.attrs.update(kept | {"unitSI": unit})
    with pytest.raises(mm.SnapshotError, match="fill_missing"):
        mm.open_snapshot(path)
    ds = mm.open_snapshot(path, fill_missing=7.0)
    want = np.full(SHAPE, 7.0)
    want[1:3] = fields[1, 1:3] * np.float32(unit)
    np.testing.assert_allclose(ds.By, want)
    assert (ds.Bz == 7.0).all()
    assert np.isnan(mm.open_snapshot(path, fill_missing=np.nan).By[0]).all()


# --- conserved --------------------------------------------------------------------------------------------------------


def test_momentum_over_density_is_the_velocity(tmp_path, fields):
    want = fields[2] / fields[0]
    files = [
        athenak(tmp_path / "a.bin", fields, (4, 3, 2), names=NAMES),
        nbf(tmp_path / "a.nbf", fields, (4, 3, 2)),
        athdf(tmp_path / "a.athdf", fields, (4, 3, 2)),
        legacy_vtk(tmp_path / "a.vtk", ATHENA.format("cons"), FACES, [("dens", fields[0])], [("mom", fields[1:4])]),
        plotfile(
            tmp_path / "plt", [[((0, 0, 0), fields[:4].astype("f8"))]], SHAPE[::-1], ("density", "xmom", "ymom", "zmom")
        ),
    ]
    for path in files:
        np.testing.assert_allclose(mm.open_snapshot(path).uy, want, rtol=1e-6, err_msg=str(path))
    for line in ("<coord>\nspecial_rel = true", "<coord>\ngeneral_rel = true"):  # there it is none
        assert "ux" not in mm.open_snapshot(athenak(tmp_path / "r.bin", fields, (4, 3, 2), names=NAMES, lines=line))


def test_time_of_a_series_made_by_xarray(tmp_path, fields):
    for i in range(3):
        nbf(tmp_path / f"s{i}.nbf", fields + i, (4, 3, 2), time=2.5 * i)
        athdf(tmp_path / f"s{i}.athdf", fields + i, (4, 3, 2), time=2.5 * i)
    from mmfields.io.athdf import AthdfBackend

    files = [str(tmp_path / f"s{i}.athdf") for i in range(3)]
    many = xr.open_mfdataset(files, engine=AthdfBackend, combine="nested", concat_dim="time")
    assert many.time.values.tolist() == [0.0, 2.5, 5.0]
    joined = xr.concat([mm.open_snapshot(tmp_path / f"s{i}.nbf") for i in range(3)], "time")
    assert joined.time.values.tolist() == [0.0, 2.5, 5.0]
    np.testing.assert_array_equal(joined.Bx, mm.open_series(tmp_path / "s*.nbf").Bx)

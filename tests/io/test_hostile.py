"""Damaged input: one SnapshotError that names the file, whatever is wrong."""

import os
import shutil

import h5py
import numpy as np
import pytest
from builders import NAMES, athdf, nbf, openpmd, plotfile

import mmfields as mm

CENTRE = (0.5, 0.5, 0.5)


@pytest.fixture
def fields():
    return np.random.default_rng(1).uniform(0.5, 1.5, (len(NAMES), 4, 6, 8)).astype(np.float32)


def refused(path, match=None, **options):
    with pytest.raises(mm.SnapshotError, match=match) as error:
        mm.open_snapshot(path, **options).load()
    assert os.path.basename(path) in str(error.value)


def test_nothing_of_a_snapshot(tmp_path):
    (tmp_path / "empty.nbf").write_bytes(b"")
    refused(tmp_path / "empty.nbf", "is empty")
    (tmp_path / "text.nbf").write_bytes(b"hello, this is no snapshot\n")
    refused(tmp_path / "text.nbf", "first bytes")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "is a directory")
    with pytest.raises(FileNotFoundError):
        mm.open_snapshot(tmp_path / "absent.nbf")
    with pytest.raises(mm.ArgumentError, match="engine 'nonsense'"):
        mm.open_snapshot(tmp_path / "text.nbf", engine="nonsense")
    for engine in ("pegasus", "athdf", "athena_vtk", "athenak", "openpmd", "jhtdb", "amrex"):
        refused(tmp_path / "text.nbf", engine=engine)
        refused(tmp_path / "empty.nbf", engine=engine)
        refused(tmp_path / "folder", engine=engine)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"Number of MeshBlocks = 8", b"Number of MeshBlocks = 9", "bytes, but the header announces"),
        (b"Number of MeshBlocks = 8", b"Number of MeshBlocks = -8", "expected"),
        (b"Number of MeshBlocks = 8", b"Number of MeshBlocks = 999999999", "announces"),
        (b"Number of variables = 7", b"Number of variables = 8", "8 variables announced"),
        (b"mom1", b"dens", "distinct names"),
        (b"nx1=8 ", b"nx1=6 ", "not a multiple|missing|outside"),
        (b"nx1=8 ", b"nx1=0 ", "empty mesh"),
        (b"x1max=8.00000000000000e+00", b"x1max=nan", "mesh limit is 'nan'"),
        (b"x2min=0.00000000000000e+00", b"x2min=inf", "mesh limit is 'inf'"),
        (b"time = 1.50000000000000e+00", b"time = nan", "time is 'nan'"),
        (b"Big endian = 0", b"Big endian = 1", "endianness flag"),
        (b"MeshBlock: nx1=4", b"MeshBlock: nx1=8", "announces"),
    ],
)
def test_nbf_header(tmp_path, fields, old, new, match):
    path = nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))
    refused(path, match)


def test_nbf_blocks_that_do_not_tile(tmp_path, fields):
    path = nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    raw = bytearray(path.read_bytes())
    start = raw.index(b"MeshBlock:")
    start = raw.index(b"\n", start) + 1
    stride = 48 + 4 * len(NAMES) * 24
    twice = bytearray(raw)
    twice[start + stride : start + stride + 12] = twice[start : start + 12]
    path.write_bytes(twice)
    refused(path, "blocks 0 and 1 claim one place")
    far = bytearray(raw)
    far[start : start + 4] = (77).to_bytes(4, "little")
    path.write_bytes(far)
    refused(path, "outside the mesh")
    size = bytearray(raw)
    size[start + 12 : start + 16] = (5).to_bytes(4, "little")
    path.write_bytes(size)
    refused(path, "the header says")
    limit = bytearray(raw)
    limit[start + 16 : start + 20] = np.float32(np.nan).tobytes()
    path.write_bytes(limit)
    refused(path, "not finite")


def test_every_truncation_of_an_nbf(tmp_path, fields):
    path = nbf(tmp_path / "a.nbf", fields[:, :2, :3, :4], (4, 3, 2))
    raw = path.read_bytes()
    for length in range(1, len(raw)):
        path.write_bytes(raw[:length])
        refused(path)


def files(shared):
    data = shared / "data"
    return [
        data / "athena_vtk/chem_cgk_input.vtk",
        data / "athena_vtk/sr_mhd_shock1_hlld.vtk",
        data / "athenak_bin/CPAW.mhd_w_bcc.00000.bin",
        data / "athena_athdf/uni/Blast.out2.00002.athdf",
        data / "athena_athdf/smr/Blast.out2.00002.athdf",
        data / "jhtdb/isotropic1024coarse.h5",
        data / "openpmd/warp-2d-data00000255.h5",
        data / "warpx_mirror/warpx_mirror_fields_001064.h5",
    ]


def test_truncated_real_files(shared, tmp_path):
    rng = np.random.default_rng(8)
    for source in files(shared):
        raw = source.read_bytes()
        lengths = {1, 100, 1000, 5000, len(raw) // 2, len(raw) - 1, *rng.integers(1, len(raw), 12).tolist()}
        if raw.endswith(b"\n"):
            lengths -= {len(raw) - 1}  # the newline after the last number holds nothing
        path = tmp_path / source.name
        for length in sorted(n for n in lengths if n < len(raw)):
            path.write_bytes(raw[:length])
            refused(path)


def test_mutated_real_headers_never_escape(shared, tmp_path):
    """Whatever is overwritten in the first bytes: a SnapshotError, or a Dataset that loads."""
    rng = np.random.default_rng(9)
    extremes = [b"\xff" * 8, b"\x00" * 8, b"\x7f" * 8, np.float64("nan").tobytes(), (2**31 - 1).to_bytes(8, "little")]
    survived = 0
    for source in files(shared):
        raw = source.read_bytes()
        path = tmp_path / source.name
        for _ in range(25):
            damaged = bytearray(raw)
            at = int(rng.integers(0, min(8192, len(raw) - 8)))
            damaged[at : at + 8] = extremes[int(rng.integers(len(extremes)))]
            path.write_bytes(damaged)
            try:
                mm.open_snapshot(path).load()
                survived += 1
            except mm.SnapshotError as error:
                assert source.name in str(error)
    assert survived > 0


def test_athdf_inconsistencies(tmp_path, fields):
    source = athdf(tmp_path / "source.athdf", fields, (4, 3, 2))

    def damaged(change):
        path = tmp_path / "damaged.athdf"
        shutil.copy(source, path)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    def attribute(name, value):
        return damaged(lambda file: file.attrs.__setitem__(name, value))

    def value(name, index, number):
        return damaged(lambda file: file[name].__setitem__(index, number))

    refused(attribute("NumVariables", [6]), "VariableNames for datasets")
    refused(attribute("MeshBlockSize", [5, 3, 2]), "MeshBlockSize")
    refused(attribute("RootGridSize", [80, 6, 4]), "missing|uniform")
    refused(attribute("RootGridX1", [0, np.nan, 1]), "finite")
    refused(attribute("RootGridX2", [0, 6, 1.1]), "stretched")
    refused(attribute("Time", np.inf), "Time is 'inf'")
    refused(attribute("VariableNames", np.array(["dens"] * 7, "S21")), "named twice")
    refused(value("Levels", 0, 1), "MaxLevel")
    refused(value("Levels", 0, -3), "level|location")
    refused(value("LogicalLocations", 1, (0, 0, 0)), "claim one place")
    refused(value("x1f", (2, 1), np.nan), "x1f of block 2")
    refused(value("x2f", (0, 0), 99.0), "x2f of block 0")
    for name in ("Levels", "cons", "x3f"):
        refused(damaged(lambda file, name=name: file.__delitem__(name)), name)
    for name in ("VariableNames", "Time", "DatasetNames"):
        refused(damaged(lambda file, name=name: file.attrs.__delitem__(name)))


def test_openpmd_inconsistencies(tmp_path):
    data = np.zeros((2, 3, 4))
    source = openpmd(tmp_path / "source.h5", {1: {"B": {c: (data, CENTRE) for c in "xyz"}}})

    def damaged(change):
        path = tmp_path / "damaged.h5"
        shutil.copy(source, path)
        with h5py.File(path, "r+") as file:
            change(file["data/1/meshes/B"])
        return path

    refused(damaged(lambda b: b.attrs.__setitem__("gridSpacing", [1.0, np.nan, 1.0])), "gridSpacing of B is 'nan'")
    refused(damaged(lambda b: b.attrs.__setitem__("gridSpacing", [1.0, 0.0, 1.0])), "finite and different")
    refused(damaged(lambda b: b.attrs.__setitem__("axisLabels", np.array(["a", "b", "c"], "S1"))), "labelled")
    refused(damaged(lambda b: b.attrs.__setitem__("axisLabels", np.array(["x", "y"], "S1"))))
    refused(damaged(lambda b: b["x"].attrs.__setitem__("unitSI", np.inf)), "unitSI of B/x is 'inf'")
    refused(damaged(lambda b: b["x"].attrs.__setitem__("position", [0.3, 0.5, 0.5])), "positions")

    def claim(b):
        for c in "xyz":
            del b[c]
            part = b.create_group(c)
            part.attrs["value"], part.attrs["shape"] = 1.0, np.array([2**40, 3, 4], "u8")
            part.attrs["unitSI"], part.attrs["position"] = 1.0, np.array(CENTRE)

    refused(damaged(claim), "cells along z")


def test_amrex_inconsistencies(tmp_path, fields):
    source = plotfile(tmp_path / "source", [[((0, 0, 0), fields[4:7])]], (8, 6, 4))

    def damaged(file, old, new):
        path = tmp_path / "damaged"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(source, path)
        raw = (path / file).read_bytes()
        assert old in raw
        (path / file).write_bytes(raw.replace(old, new, 1))
        return path

    refused(damaged("Header", b"\n3\nBx", b"\n999999\nBx"), "components")
    refused(damaged("Header", b"2.5", b"nan"), "time")
    refused(damaged("Header", b"7,5,3", b"9,5,3"), "do not fit")
    refused(damaged("Level_0/Cell_H", b"Cell_D_00000", b"../Cell_D_00"), "lead out")
    refused(damaged("Level_0/Cell_H", b"Cell_D_00000 0", b"Cell_D_00000 5"), "FAB header")
    refused(damaged("Level_0/Cell_H", b"Cell_D_00000 0", b"Cell_D_00000 99999999"), "ends at")
    refused(damaged("Level_0/Cell_D_00000", b"(7,5,3)", b"(7,5,2)"), "not the one listed")
    refused(damaged("Level_0/Cell_D_00000", b"8 7 6 5 4 3 2 1", b"8 7 6 5 4 3 1 2"), "byte order")
    path = damaged("Header", b"2.5", b"2.5")
    os.truncate(path / "Level_0/Cell_D_00000", 500)
    refused(path, "does not fit")
    (path / "Level_0/Cell_D_00000").unlink()
    refused(path, "missing")


def test_a_file_that_shrinks_after_opening(tmp_path, fields):
    path = nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    ds = mm.open_snapshot(path)
    os.truncate(path, 2000)
    with pytest.raises(mm.SnapshotError, match="truncated"):
        ds.Bx.compute()


def test_vtk_blocks_that_are_missing(shared, tmp_path):
    for source in (shared / "data/athena_athdf/uni/vtk").iterdir():
        shutil.copy(source, tmp_path)
    (tmp_path / "Blast.block2.out4.00002.vtk").unlink()
    refused(tmp_path / "Blast.block0.out4.00002.vtk", r"block files \[2\]")
    (tmp_path / "Blast.block7.out4.00002.vtk").unlink()
    shutil.copy(tmp_path / "Blast.block0.out4.00002.vtk", tmp_path / "Blast.block2.out4.00002.vtk")
    refused(tmp_path / "Blast.block0.out4.00002.vtk", "overlap")


def test_histories(tmp_path):
    path = tmp_path / "a.hst"
    for text, match in (
        ("", "no '#"),
        ("# Athena++ history data\n# [1]=time [2]=dt\n0.0 1.0 2.0\n", "line 3 holds 3 columns"),
        ("# Athena++ history data\n# [1]=time [2]=dt\n0.0 x\n", "line 3"),
        ("# Athena++ history data\n# [1]=time [2]=dt\nnan 1.0\n", "time on line 3"),
        ("# [1]=time [2]=time\n0.0 1.0\n", "distinct"),
    ):
        path.write_text(text)
        with pytest.raises(mm.SnapshotError, match=match):
            mm.io.read_history(path)
    path.write_text("# [1]=time [2]=a\n0 1\n1 2\n2 3\n# [1]=time [2]=a\n1 20\n2 30\n3 40\n")
    np.testing.assert_array_equal(mm.io.read_history(path).a, [1, 20, 30, 40])
    with pytest.raises(mm.SnapshotError, match="directory"):
        mm.io.read_history(tmp_path)


def test_swapped_blocks_are_noticed(tmp_path, fields, shared):
    """Locations exchanged between two blocks: the edges that each block states give it away."""
    path = nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    raw = bytearray(path.read_bytes())
    start = raw.index(b"\n", raw.index(b"MeshBlock:")) + 1
    stride = 48 + 4 * len(NAMES) * 24
    raw[start : start + 12], raw[start + stride : start + stride + 12] = (
        raw[start + stride : start + stride + 12],
        raw[start : start + 12],
    )
    path.write_bytes(raw)
    refused(path, "block 0 says it spans")
    raw = bytearray((shared / "data/athenak_bin/CPAW.mhd_w_bcc.00000.bin").read_bytes())
    start = raw.index(b"header offset=") + len(b"header offset=4196\n") + 4196
    stride = 40 + 48 + 8 * 16 * 8 * 8 * 4
    raw[start : start + 40], raw[start + stride : start + stride + 40] = (
        raw[start + stride : start + stride + 40],
        raw[start : start + 40],
    )
    (tmp_path / "a.bin").write_bytes(raw)
    refused(tmp_path / "a.bin", "block 0 says it spans")


def test_hdf5_data_that_are_not_there_are_no_zeros(tmp_path, fields, shared):
    raw = bytearray((shared / "data/openpmd/example-femm-3d.h5").read_bytes())
    raw[6474] ^= 1  # the address of one chunk
    (tmp_path / "femm.h5").write_bytes(raw)
    refused(tmp_path / "femm.h5", "chunks")
    for options in ({}, {"chunks": (1, 1, 2, 3, 4)}):
        path = athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
        with h5py.File(path, "r+") as file:
            shape = file["cons"].shape
            del file["cons"]
            file.create_dataset("cons", shape, "f4", **options)
        refused(path, "never written|chunks")


def test_a_number_format_that_h5py_widens_is_read_by_hdf5(tmp_path, fields):
    path = athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
    brain = h5py.h5t.IEEE_F32LE.copy()
    brain.set_fields(15, 7, 8, 0, 7)
    brain.set_size(2)
    brain.set_ebias(127)
    with h5py.File(path, "r+") as file:
        data = file["cons"][...]
        del file["cons"]
        space = h5py.h5s.create_simple(data.shape)
        node = h5py.h5d.create(file.id, b"cons", brain, space)
        node.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
    np.testing.assert_allclose(mm.open_snapshot(path).Bx.values, fields[4], rtol=0.01)


def test_amrex_headers_that_contradict_each_other(tmp_path, fields):
    levels = [[((0, 0, 0), fields[4:7])], [((4, 2, 2), np.ones((3, 2, 2, 2))), ((6, 2, 2), np.ones((3, 2, 2, 2)))]]
    source = plotfile(tmp_path / "source", levels, (8, 6, 4))

    def damaged(file, old, new):
        path = tmp_path / "damaged"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(source, path)
        text = (path / file).read_text()
        assert old in text
        (path / file).write_text(text.replace(old, new, 1))
        return path

    mm.open_snapshot(source).load()
    refused(damaged("Header", "\n0\n0\n0 1 2.5", "\n1\n0\n0 1 2.5"), "not Cartesian")
    refused(damaged("Header", "\n2\n((0", "\n4\n((0"), "4 times")
    refused(damaged("Header", "Level_1/Cell", "Level_0/Cell"), "names the folder")
    refused(damaged("Header", "1 2 2.5", "1 x 2.5"), "whole numbers")
    refused(damaged("Level_1/Cell_H", "(2 0", "(3 0"), "announced are")
    refused(damaged("Level_1/Cell_H", "(0,0,0))", "(1,1,1))"), "type")
    refused(damaged("Header", "By", "Bx"), "clash")


@pytest.mark.parametrize("stored", ["<f8", ">f4"])
def test_amrex_numbers_are_those_that_the_header_states(tmp_path, fields, stored):
    """Several boxes side by side, so that they are read together; also parts of boxes, and levels that are averaged."""
    halves = [((0, 0, 0), fields[4:7][..., :4]), ((4, 0, 0), fields[4:7][..., 4:])]
    path = plotfile(tmp_path / "plt", [halves, [((4, 2, 2), np.ones((3, 2, 2, 4)))]], (8, 6, 4), stored=stored)
    whole = mm.open_snapshot(path, level=0).load()
    data = path / "Level_0/Cell_D_00000"
    raw = data.read_bytes()
    first = raw.index(b"\n") + 1
    size = np.dtype(stored).itemsize

    def damaged(value, cell):
        changed = np.array(value, stored).tobytes()
        data.write_bytes(raw[: first + cell * size] + changed + raw[first + (cell + 1) * size :])
        return mm.open_snapshot(path, level=0)

    last = 4 * 6 * 4 - 1  # of Bx in the first box
    stated = r"byte \d+: numbers from .* its header states"
    for level in (0, 1):
        damaged(1e9, last)
        with pytest.raises(mm.SnapshotError, match=stated):
            mm.open_snapshot(path, level=level).Bx.load()
    with pytest.raises(mm.SnapshotError, match=stated):
        damaged(1e9, last).Bx.isel(z=3, x=slice(1, 6)).load()
    assert damaged(1e9, last).Bx.isel(z=slice(0, 3)).load().identical(whole.Bx.isel(z=slice(0, 3)))
    assert damaged(1e9, last).By.load().identical(whole.By)
    *_, below, greatest = np.argsort(halves[0][1][0], axis=None).tolist()
    assert np.isnan(damaged(np.nan, below).Bx.load()).sum() == 1  # as after a run that went wrong somewhere
    with pytest.raises(mm.SnapshotError, match=stated):  # nothing is too large, but the greatest is gone
        damaged(0.0, greatest).Bx.load()


def test_links_that_lead_out_of_a_directory(tmp_path, fields):
    path = plotfile(tmp_path / "plt", [[((0, 0, 0), fields[4:7])]], (8, 6, 4))
    data = path / "Level_0/Cell_D_00000"
    data.symlink_to(shutil.move(data, path / "kept"))
    assert np.array_equal(mm.open_snapshot(path).Bx, fields[4])
    data.unlink()
    data.symlink_to(shutil.move(path / "kept", tmp_path / "elsewhere"))
    refused(path, "leads out of the directory, to .*elsewhere")
    shutil.move(path / "Level_0", tmp_path / "Level_0")
    (path / "Level_0").symlink_to(tmp_path / "Level_0")
    refused(path, "Level_0 leads out")


def test_amrex_tables_of_extremes(tmp_path, fields):
    path = plotfile(tmp_path / "plt", [[((0, 0, 0), fields[4:7])]], (8, 6, 4))
    header = path / "Level_0/Cell_H"
    text = header.read_text()
    table = text[text.index("1,3\n") :]
    for damaged in ("", table[:40], table.replace("1,3", "1,2"), table.replace(",\n", "\n5,\n", 1)):
        header.write_text(text.replace(table, damaged))
        refused(path, "least and greatest")
    header.write_text(text.replace(table, table.replace("e", "x", 1)))
    refused(path, "could not convert")
    header.write_text(text.replace(table, "0,0\n\n0,0\n"))
    assert np.array_equal(mm.open_snapshot(path).Bx, fields[4])
    nothing = fields[4:7].copy()
    nothing[0] = np.nan
    nothing[1, 0, 0, 0], nothing[2, 0, 0, 0] = np.inf, -np.inf
    path = plotfile(tmp_path / "nan", [[((0, 0, 0), nothing)]], (8, 6, 4))
    ds = mm.open_snapshot(path)
    assert np.array_equal(ds.By, nothing[1]) and np.array_equal(ds.Bz, nothing[2])
    assert np.isnan(ds.Bx).all()


def test_vtk_with_a_byte_lost_between_variables(shared, tmp_path):
    raw = (shared / "data/athena_vtk/chem_cgk_input.vtk").read_bytes()
    (tmp_path / "a.vtk").write_bytes(raw[:5684] + raw[5685:])
    refused(tmp_path / "a.vtk", "newline")
    (tmp_path / "a.vtk").write_bytes(raw.replace(b"DIMENSIONS 17 17 33", b"DIMENSIONS 999999 999999 999999"))
    refused(tmp_path / "a.vtk", "bytes can hold")


def test_numbered_files_with_absurd_numbers(shared, tmp_path):
    for source in (shared / "data/athena_athdf/uni/vtk").iterdir():
        shutil.copy(source, tmp_path)
    (tmp_path / "Blast.block_old.out4.00002.vtk").write_text("a leftover")
    mm.open_snapshot(tmp_path / "Blast.block0.out4.00002.vtk")
    (tmp_path / "Blast.block999999999.out4.00002.vtk").write_text("far")
    refused(tmp_path / "Blast.block0.out4.00002.vtk", r"block files \[8, 9, 10")


def test_openpmd_components_that_do_not_match(tmp_path):
    one, other = np.zeros((4, 5, 6)), np.zeros((5, 6, 7))
    path = openpmd(tmp_path / "a.h5", {1: {"B": {"x": (one, CENTRE), "y": (other, (0.5, 0, 0.5)), "z": (one, CENTRE)}}})
    refused(path, "differ in shape")
    path = openpmd(tmp_path / "b.h5", {1: {"B": {"x": (one, CENTRE), "y": (one, CENTRE)}}})
    with pytest.raises(mm.SnapshotError, match="missing Bz"):  # two components are data, and no vector
        mm.mean_field(mm.open_snapshot(path))
    path = openpmd(tmp_path / "c.h5", {1: {"B": {c: (one, CENTRE) for c in "xyz"}}}, order="Q")
    refused(path, "dataOrder")


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nbf")
    refused(tmp_path / "pipe.nbf", "neither a file nor a directory")
    refused(tmp_path / "pipe.nbf", "neither", engine="pegasus")
    with pytest.raises(mm.SnapshotError, match="neither"):
        mm.io.read_history("/dev/zero")


def test_a_history_cut_inside_a_number(tmp_path):
    path = tmp_path / "a.hst"
    path.write_text("# [1]=time [2]=a\n0 1\n1 3.5e-0")
    with pytest.raises(mm.SnapshotError, match="line 3 does not end"):
        mm.io.read_history(path)

"""Whatever is given as a path: home, bytes, brackets, patterns, URLs; and series whose boxes move or refine."""

import io
import os
import pathlib
import re

import numpy as np
import pytest
import xarray as xr
from builders import NAMES, athdf, nbf, openpmd, plotfile
from click.testing import CliRunner

import mmfields as mm
from mmfields.cli import main
from mmfields.io._paths import is_url, plain
from mmfields.io.engines import backend_of

CENTRE = (0.5, 0.5, 0.5)
SHAPE = (4, 6, 8)


@pytest.fixture
def fields():
    return np.random.default_rng(1).uniform(0.5, 1.5, (len(NAMES), *SHAPE)).astype(np.float32)


@pytest.fixture
def ds(fields):
    return mm.io.from_arrays(
        **{f"B{c}": fields[i] for i, c in enumerate("xyz")}, spacing=dict.fromkeys("xyz", 1.0)
    ).chunk()


def records(fields):
    return {"B": {c: (fields[i], CENTRE) for i, c in enumerate("xyz")}}


# --- one file ---------------------------------------------------------------------------------------------------------


def test_ways_to_name_a_file(tmp_path, fields, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "beta [100] %20"
    folder.mkdir()
    path = nbf(folder / "a.nbf", fields, (4, 3, 2))
    monkeypatch.chdir(folder)
    for given in (path, str(path), os.fsencode(path), "a.nbf", "~/beta [100] %20/a.nbf", path.as_uri(), f"file://{path}",
                  f"file://localhost{path}", f"local://{path}"):  # fmt: skip
        assert mm.open_snapshot(given).sizes["x"] == 8, given
        assert mm.open_series(given).sizes["time"] == 1, given
    assert mm.open_series([os.fsencode(path)]).sizes["time"] == 1
    (tmp_path / "a.hst").write_text("# [1]=time [2]=a\n0 1\n")
    assert mm.io.read_history("~/a.hst").a.size == 1
    for wrong in (None, 5, [path], io.BytesIO(b""), ""):
        with pytest.raises(mm.ArgumentError, match="path="):
            mm.open_snapshot(wrong)


def test_a_store_at_home_and_by_url(tmp_path, ds, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for given, lies in (("~/a.zarr", "a.zarr"), (f"file://{tmp_path}/b.zarr", "b.zarr"), (b"c.zarr", "c.zarr")):
        mm.store(ds, given, progress=False)
        assert mm.open_snapshot(given).equals(ds) and (tmp_path / lies / "zarr.json").exists()
    for url in ("s3://bucket/run.zarr", "memory://run.zarr", "simplecache::s3://bucket/run.zarr", "gs://b/c.zarr"):
        with pytest.raises(mm.SnapshotError, match=r"to_zarr\('"):
            mm.store(ds, url, progress=False)
    assert not [name for name in os.listdir(tmp_path) if ":" in name]
    assert not os.path.exists("~")


def test_the_command_line_takes_the_same(tmp_path, fields, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    done = CliRunner().invoke(main, ["convert", "~/a.nbf", "~/a.zarr"])
    assert done.exit_code == 0, done.output
    assert mm.open_snapshot("~/a.zarr").sizes["x"] == 8
    for arguments, said in (
        (["info", "s3://bucket/a.zarr"], "s3://bucket"),
        (["convert", "~/a.nbf", "s3://bucket/a.zarr"], "to_zarr"),
        (["info", "~/a.nbf", "--engine", "hdf"], "one of pegasus"),
        (["info", "~/a.nbf", "--level", "1"], "no option"),
        (["info", "*.nbf"], "open_series"),
    ):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2 and said in done.output and done.output.strip().count("\n") == 0, done.output


# --- many -------------------------------------------------------------------------------------------------------------


def test_patterns(tmp_path, fields):
    folder = tmp_path / "beta [100]"
    folder.mkdir()
    for n in (10, 5, 100):
        openpmd(folder / f"data{n}.h5", {n: records(fields)})
        openpmd(folder / f"six{n:06d}.h5", {n: records(fields)})
    (folder / "dataT.h5").write_text("no snapshot")
    for pattern in ("data[0-9]*.h5", "data%T.h5", "six%06T.h5", "six*.h5", "data[1][0]*.h5"):
        for given in (str(folder / pattern), folder / pattern, os.fsencode(folder / pattern)):
            found = mm.open_series(given).time.values.tolist()
            assert found == ([10.0, 100.0] if "[1]" in pattern else [5.0, 10.0, 100.0]), given
    assert mm.open_series(str(tmp_path / "beta*" / "six*.h5")).sizes["time"] == 3
    assert mm.open_series(str(tmp_path / "*" / "six%06T.h5")).sizes["time"] == 3
    odd = tmp_path / "*" / "run[1]*.h5"
    openpmd(folder / "run[1]5.h5", {5: records(fields)})
    assert mm.open_series(str(odd)).sizes["time"] == 1  # nothing else fits, so the bracket is one
    for pattern, said in (("none*.h5", "no file matches"), ("none%T.h5", "no file matches")):
        with pytest.raises(mm.SnapshotError, match=said):
            mm.open_series(str(folder / pattern))
        with pytest.raises(mm.ArgumentError, match=r"open_series\("):
            mm.open_snapshot(str(folder / pattern))
    with pytest.raises(FileNotFoundError):
        mm.open_series(str(folder / "none.h5"))
    for nothing in ([], 5, None):
        with pytest.raises(mm.ArgumentError):
            mm.open_series(nothing)


# --- elsewhere --------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path, ds, fields):
    """A file system in memory with a store, a broken one, and a file."""
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("memory")
    mm.store(ds, tmp_path / "run.zarr", progress=False)
    nbf(tmp_path / "a.nbf", fields, (4, 3, 2), time=1.0)
    nbf(tmp_path / "b.nbf", fields, (4, 3, 2), time=2.0)
    athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
    fs.put(str(tmp_path / "run.zarr"), "/box/run.zarr", recursive=True)
    for name in ("a.nbf", "b.nbf", "a.athdf"):
        fs.put_file(str(tmp_path / name), f"/box/{name}")
    yield fs
    fs.rm("/box", recursive=True)


def test_stores_behind_urls(memory, ds):
    for url in ("memory://box/run.zarr", "memory:///box/run.zarr"):
        found = mm.open_snapshot(url)
        xr.testing.assert_equal(found.compute(), ds.compute())
        assert found.Bx.chunks is not None
    assert mm.open_series(["memory://box/run.zarr"]).sizes["time"] == 1
    chunk = next(name for name in memory.find("/box/run.zarr") if "/By/c/" in name)
    whole = memory.cat_file(chunk)
    memory.rm(chunk)
    with pytest.raises(mm.SnapshotError, match="1 of 1 chunks of By are missing"):
        mm.open_snapshot("memory://box/run.zarr")
    memory.pipe_file(chunk, whole)
    memory.pipe_file("/box/run.zarr/.mmfields-incomplete", b"")
    with pytest.raises(mm.SnapshotError, match="unfinished"):
        mm.open_snapshot("memory://box/run.zarr")


def test_files_behind_urls(memory, fields):
    for name in ("a.nbf", "a.athdf"):
        with pytest.raises(mm.SnapshotError, match=f"'simplecache::memory://box/{name}'"):
            mm.open_snapshot(f"memory://box/{name}")
        ds = mm.open_snapshot(f"simplecache::memory://box/{name}")
        np.testing.assert_array_equal(ds.Bz, fields[6])
    assert mm.open_series("simplecache::memory://box/*.nbf").time.values.tolist() == [1.0, 2.0]
    backend = backend_of("pegasus", {})
    assert xr.open_dataset("simplecache::memory://box/a.nbf", engine=backend).sizes["x"] == 8


@pytest.mark.parametrize("name", ["T.block1.out2.00001.vtk", "T-id1.0001.vtk", "rank_00000001/T.bin", "id0/T.0001.vtk"])
def test_pieces_behind_urls(memory, name):
    memory.pipe_file(f"/box/{name}", b"# vtk DataFile Version 2.0")
    with pytest.raises(mm.SnapshotError, match="one of several files"):
        mm.open_snapshot(f"simplecache::memory://box/{name}")


def test_urls_that_lead_nowhere(memory):
    for url in ("memory://box/none.zarr", "simplecache::memory://box/none.nbf"):
        with pytest.raises(FileNotFoundError, match="no such file"):
            mm.open_snapshot(url)
    with pytest.raises(mm.SnapshotError, match="no zarr store"):
        mm.open_snapshot("memory://box")
    with pytest.raises(mm.SnapshotError, match="nothing matches"):
        mm.open_series("memory://box/*.none")
    for url in ("s4://bucket/a.zarr", "nonsense://x"):
        with pytest.raises(mm.SnapshotError, match=url):
            mm.open_snapshot(url)


def test_what_is_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_url("s3://a/b") and is_url("simplecache::https://a/b.h5")
    assert not is_url("a/b.h5") and not is_url("C:/b.h5") and not is_url("run 1: a.h5")
    pathlib.Path("a::b").write_text("")
    assert not is_url("a::b") and plain("a::b") == str(tmp_path / "a::b")


# --- boxes that move or refine ----------------------------------------------------------------------------------------


def moved(path, fields, number, shift, **more):
    import h5py

    openpmd(path, {number: records(fields)}, **more)
    with h5py.File(path, "r+") as file:
        file[f"data/{number}/meshes/B"].attrs["gridGlobalOffset"] = [10.0 + shift, 20.0, 40.0]
    return path


def test_a_moving_window_and_its_remedy(tmp_path, fields):
    files = [moved(tmp_path / f"d{n}.h5", fields, n, float(n)) for n in (0, 1, 2)]
    with pytest.raises(mm.SnapshotError, match=r"axis z differs.*moving window.*z=slice\(6.25, 6.75\)") as told:
        mm.open_series(files)
    window = slice(*map(float, re.search(r"z=slice\(([\d.]+), ([\d.]+)\)", str(told.value)).groups()))
    parts = [mm.open_snapshot(path).sel(z=window) for path in files]
    joined = xr.concat(parts, "time", join="override")
    assert joined.sizes == {"time": 3, "z": 2, "y": 6, "x": 8} and joined.time.values.tolist() == [0.0, 1.0, 2.0]
    far = [files[0], moved(tmp_path / "far.h5", fields, 9, 99.0)]
    with pytest.raises(mm.SnapshotError, match="no window that all of them share"):
        mm.open_series(far)


def test_a_moving_window_in_one_file(tmp_path, fields):
    import h5py

    path = openpmd(tmp_path / "a.h5", {n: records(fields) for n in (0, 5)})
    with h5py.File(path, "r+") as file:
        file["data/5/meshes/B"].attrs["gridGlobalOffset"] = [11.0, 20.0, 40.0]
    with pytest.raises(mm.SnapshotError, match=r"iteration 5 has another grid.*iteration=.*moving window"):
        mm.open_snapshot(path)
    assert mm.open_snapshot(path, iteration=5).sizes["z"] == 4


def test_refinement_that_changes(tmp_path, fields):
    coarse = fields[4:7].astype("f8")
    plotfile(tmp_path / "plt0", [[((0, 0, 0), coarse)]], SHAPE[::-1])
    fine = np.ones((3, 4, 4, 6))
    path = plotfile(tmp_path / "plt1", [[((0, 0, 0), coarse)], [((4, 2, 2), fine)]], SHAPE[::-1])
    header = path / "Header"
    header.write_text(header.read_text().replace("\n2.5\n", "\n3.5\n", 1))
    with pytest.raises(mm.SnapshotError, match=r"refinement changes.*level=0"):
        mm.open_series(tmp_path / "plt*")
    assert mm.open_series(tmp_path / "plt*", level=0).time.values.tolist() == [2.5, 3.5]


def test_series_of_other_variables_name_them(tmp_path, fields):
    nbf(tmp_path / "a.nbf", fields, (4, 3, 2), time=1.0)
    nbf(tmp_path / "b.nbf", fields[:6], (4, 3, 2), names=NAMES[:6], time=2.0)
    with pytest.raises(mm.SnapshotError, match=r"\['Bz'\].*drop_variables"):
        mm.open_series(tmp_path / "*.nbf")
    assert mm.open_series(tmp_path / "*.nbf", drop_variables=["Bz"]).sizes["time"] == 2


def test_files_that_are_alike_and_others_in_one_series(tmp_path, fields):
    """Those that differ from the first in the time alone are not taken apart again; damage and change still show."""
    import pickle

    for n in (3, 1, 2):
        nbf(tmp_path / f"a{n}.nbf", fields + n, (4, 3, 2), time=float(n))
    ds = mm.open_series([tmp_path / f"a{n}.nbf" for n in (3, 1, 2)], frame="physical", boundary={"x": "open"})
    assert ds.time.values.tolist() == [1.0, 2.0, 3.0] and ds.attrs["frame"] == "physical"
    np.testing.assert_array_equal(ds.Bz, [fields[6] + n for n in (1, 2, 3)])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ds)).uy[1], (fields[2] + 2) / (fields[0] + 2))
    nbf(tmp_path / "a4.nbf", fields + 4, (8, 6, 4), time=4.0)  # other blocks, the same grid
    nbf(tmp_path / "a5.nbf", fields + 5, (4, 3, 2), time=5.0, big=True)
    ds = mm.open_series(tmp_path / "a*.nbf")
    np.testing.assert_array_equal(ds.Bz, [fields[6] + n for n in (1, 2, 3, 4, 5)])
    raw = (tmp_path / "a2.nbf").read_bytes()
    (tmp_path / "a2.nbf").write_bytes(raw[:-4])
    with pytest.raises(mm.SnapshotError, match=r"a2\.nbf.*truncated"):
        mm.open_series(tmp_path / "a*.nbf")
    (tmp_path / "a2.nbf").write_bytes(raw.replace(b"time = 2.0000", b"time = nan000"))
    with pytest.raises(mm.SnapshotError, match=r"a2\.nbf: time is"):
        mm.open_series(tmp_path / "a*.nbf")


@pytest.mark.parametrize("name", ["Level_0", "Level_0/Cell_H", "Level_0/Cell_D_00000"])
def test_a_part_of_a_plotfile_leads_to_the_whole(tmp_path, name):
    plotfile(tmp_path / "plt", [[((0, 0, 0), np.ones((3, *SHAPE)))]], SHAPE[::-1])
    with pytest.raises(mm.SnapshotError, match="a part of an AMReX plotfile"):
        mm.open_snapshot(tmp_path / "plt" / name)


def test_a_part_of_adios2_leads_to_the_whole(tmp_path):
    (tmp_path / "data.0").write_bytes(b"ADIOS-BP v2.10.0 Data" + bytes(64))
    with pytest.raises(mm.SnapshotError, match="directory that it lies in"):
        mm.open_snapshot(tmp_path / "data.0")


def test_reports_and_figures_go_to_this_machine(ds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mm.store(ds, "a.zarr", progress=False)
    with pytest.raises(mm.ArgumentError, match="of this machine is needed"):
        mm.report("a.zarr", "s3://bucket/report")
    with pytest.raises(mm.ArgumentError, match="of this machine is needed"):
        mm.paper.compute("fig1", "memory://fig1", reduced=True)
    assert os.listdir() == ["a.zarr"]


def test_capital_labels_of_axes(tmp_path, fields):
    records = {"B": {c: (fields[i], CENTRE) for i, c in enumerate("xyz")}}
    openpmd(tmp_path / "a.h5", {0: records}, labels=("Z", "Y", "X"))
    np.testing.assert_array_equal(mm.open_snapshot(tmp_path / "a.h5").By, 3 * fields[1])

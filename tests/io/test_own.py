"""Stores and netCDF files of our own, damaged: nothing from elsewhere, nothing made up, one error."""

import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

import mmfields as mm


@pytest.fixture
def ds():
    random = np.random.default_rng(0)
    fields = {f"B{d}": random.standard_normal((6, 5, 4)) for d in "xyz"}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0)).chunk(x=3)


@pytest.fixture
def stored(ds, tmp_path):
    mm.store(ds, tmp_path / "a.zarr", progress=False)
    return tmp_path / "a.zarr"


@pytest.fixture
def netcdf(ds, tmp_path):
    ds.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    return tmp_path / "a.nc"


def load(path):
    return mm.open_snapshot(path).load(scheduler="synchronous")


def test_what_is_whole_comes_back(ds, stored, netcdf):
    for path in (stored, netcdf):
        assert load(path).equals(ds.compute())
        assert mm.open_snapshot(path, chunks=None).Bx[1, 2, 3] == ds.Bx[1, 2, 3]


def chunk_of(stored):
    return next(p for p in sorted((stored / "By" / "c").rglob("*")) if p.is_file())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda chunk: chunk.unlink(), "1 of 2 chunks of By are missing"),
        (lambda chunk: chunk.write_bytes(b"garbage"), "By cannot be read"),
        (lambda chunk: chunk.write_bytes(chunk.read_bytes()[:-9] + b"\x2a" * 9), "By cannot be read"),
        (lambda chunk: chunk.write_bytes(chunk.read_bytes()[:20]), "By cannot be read"),
        (lambda chunk: (chunk.unlink(), os.mkfifo(chunk)), "a pipe"),
        (lambda chunk: chunk.symlink_to(shutil.move(chunk, chunk.parents[5] / "out")), "link"),
    ],
)  # fmt: skip
def test_a_damaged_store(stored, damage, message):
    damage(chunk_of(stored))
    with pytest.raises(mm.SnapshotError, match=message) as told:
        load(stored)
    assert str(stored) in str(told.value)


@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual"])
def test_data_of_another_file_do_not_come_out(netcdf, tmp_path, kind):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.full((6, 5, 4), 31337.0)
    with h5py.File(netcdf, "r+") as file:
        del file["Bz"]
        if kind == "external link":
            file["Bz"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")
        elif kind == "soft link":
            file["Bz"] = h5py.SoftLink("/By")
        elif kind == "external storage":
            file.create_dataset("Bz", (6, 5, 4), "f8", external=[(str(tmp_path / "other.h5"), 0, 960)])
        else:
            layout = h5py.VirtualLayout((6, 5, 4), "f8")
            layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (6, 5, 4))
            file.create_virtual_dataset("Bz", layout)
    with pytest.raises(mm.SnapshotError, match=r"links are not followed|another file"):
        load(netcdf)


def test_chunks_that_were_never_written(netcdf):
    with h5py.File(netcdf, "r+") as file:
        del file["Bz"]
        file.create_dataset("Bz", (6, 5, 4), "f8", chunks=(3, 5, 4))[:3] = 1.0
    with pytest.raises(mm.SnapshotError, match="1 of 2 chunks"):
        load(netcdf)


def test_a_float_type_that_is_none(tmp_path):
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file.attrs["_NCProperties"] = "version=2"
        odd = h5py.h5t.IEEE_F32LE.copy()
        odd.set_fields(23, 24, 8, 0, 23)  # the sign below the exponent
        space = h5py.h5s.create_simple((4, 4, 4))
        h5py.h5d.create(file.id, b"Bx", odd, space)
        file["Bx"][...] = 1.0
    with pytest.raises(mm.SnapshotError, match="no IEEE type"):
        load(tmp_path / "a.nc")


def test_columns_of_a_history_are_counted(tmp_path):
    good = "# [1]=time [2]=mass\n0.0 1.0\n"
    for text, message in (
        (good.replace("#", " "), "line 1 holds"),
        (good.replace("[2]", "[3]"), "numbers its columns"),
        (good.replace("0.0 1.0", "0.0 1.0 1_0"), "line 2 holds"),
    ):
        (tmp_path / "a.hst").write_text(text)
        with pytest.raises(mm.SnapshotError, match=message):
            mm.io.read_history(tmp_path / "a.hst")


def test_a_heap_without_an_end(netcdf):
    """HDF5 goes through the lists of dimensions in it, and would do so for ever."""
    raw = netcdf.read_bytes()
    heap = raw.index(b"GCOL")
    netcdf.write_bytes(raw[: heap + 16] + bytes(64) + raw[heap + 80 :])
    code = "import sys, mmfields as mm; mm.open_snapshot(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, netcdf], capture_output=True, text=True, check=False, timeout=60)
    assert f"the heap at byte {heap} has no end" in done.stderr


def test_the_time_of_a_snapshot_is_its_coordinate(tmp_path):
    """A user who stamps snapshots by a coordinate gets a series of these times, also where the attribute is older."""
    ds = mm.io.from_arrays(**{f"B{d}": np.ones((2, 2, 2)) for d in "xyz"}, spacing=dict.fromkeys("xyz", 1.0))
    for i in range(3):
        ds.assign_coords(time=10.0 * i).to_netcdf(tmp_path / f"run.{i}.nc", engine="h5netcdf")
    assert mm.open_snapshot(tmp_path / "run.2.nc").attrs["time"] == 20.0
    assert mm.open_series(tmp_path / "run.*.nc").time.values.tolist() == [0.0, 10.0, 20.0]

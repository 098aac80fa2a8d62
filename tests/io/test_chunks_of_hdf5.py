"""Where the data of HDF5 datasets lie: apart from each other, in one dataset and in all that are read together."""

import zlib

import h5py
import numpy as np
import pytest
from builders import NAMES, athdf

import mmfields as mm

SHAPE = (4, 6, 8)


@pytest.fixture
def fields():
    return np.random.default_rng(1).uniform(0.5, 1.5, (len(NAMES), *SHAPE)).astype(np.float32)


def snapshot():
    random = np.random.default_rng(0)
    return mm.io.from_arrays(**{f"B{d}": random.normal(size=SHAPE) for d in "xyz"}, spacing=dict.fromkeys("xyz", 1.0))


def netcdf(path, **encoding):
    snapshot().to_netcdf(path, engine="h5netcdf", encoding={f"B{d}": encoding for d in "xyz"})
    return path


def places(path, name):
    with h5py.File(path, "r") as file:
        node, found = file[name], []
        if node.chunks is None:
            return [node.id.get_offset()]
        node.id.chunk_iter(lambda chunk: found.append(chunk.byte_offset))
    return found


def redirected(path, old, new):
    """The one address in the file that is `old` becomes `new`."""
    raw = path.read_bytes()
    assert raw.count(old.to_bytes(8, "little")) == 1
    path.write_bytes(raw.replace(old.to_bytes(8, "little"), new.to_bytes(8, "little")))


STORAGE = {
    "chunked": {"chunksizes": (2, 3, 8)},
    "packed": {"chunksizes": (2, 3, 8), "zlib": True},
}


@pytest.mark.parametrize("storage", STORAGE)
def test_two_components_that_point_at_one_chunk(tmp_path, storage):
    path = netcdf(tmp_path / "a.nc", **STORAGE[storage])
    assert mm.open_snapshot(path, verify=True).Bz.equals(snapshot().Bz)
    redirected(path, places(path, "By")[-1], places(path, "Bx")[-1])
    with pytest.raises(mm.SnapshotError, match="data of /Bx and /By both lie at byte"):
        mm.open_snapshot(path)


def test_data_that_begin_within_others(tmp_path):
    path = netcdf(tmp_path / "a.nc", chunksizes=(4, 6, 8))
    redirected(path, places(path, "Bz")[0], places(path, "Bx")[0] + 24)
    with pytest.raises(mm.SnapshotError, match="data of /Bx and /Bz both lie at byte"):
        mm.open_snapshot(path)


@pytest.mark.parametrize("chunks", [None, (1, 1, 2, 3, 4)])
def test_datasets_of_a_code(tmp_path, fields, chunks):
    path = tmp_path / "a.athdf"
    names = [*NAMES[:4], *NAMES[4:]]
    athdf(path, fields, (4, 3, 2), names=names)
    with h5py.File(path, "r+") as file:
        data = file["cons"][...]
        del file["cons"]
        file.create_dataset("cons", data=data[:4], chunks=chunks)
        file.create_dataset("B", data=data[4:], chunks=chunks)
        file.attrs["DatasetNames"] = np.array(["cons", "B"], "S21")
        file.attrs["NumVariables"] = np.array([4, len(NAMES) - 4], ">i4")
    np.testing.assert_array_equal(mm.open_snapshot(path).Bx, fields[4])
    redirected(path, places(path, "B")[0], places(path, "cons")[0])
    with pytest.raises(mm.SnapshotError, match=r"a.athdf: data of /B and /cons both lie at byte"):
        mm.open_snapshot(path)


def test_two_names_of_one_dataset_are_one(tmp_path):
    path = netcdf(tmp_path / "a.nc", chunksizes=(2, 3, 8))
    with h5py.File(path, "r+") as file:
        file["n"] = file["Bx"]
    ds = mm.open_snapshot(path)
    np.testing.assert_array_equal(ds.n, ds.Bx)


def test_real_files_have_their_data_apart(shared):
    for name in ("athena_athdf/smr/Blast.out2.00002.athdf", "openpmd/example-femm-3d.h5", "osiris/e3-000005.h5",
                 "warpx_mirror/warpx_mirror_fields_000280.h5", "entity/2d_gpu/fields/fields.00000041.h5",
                 "pluto/3d_single/data.0000.flt.h5", "tristan_v2/flds.tot.00040"):  # fmt: skip
        mm.open_snapshot(shared / "data" / name, verify=True)


# --- a pass over the data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [{}, None, {"x": 4}])
def test_a_chunk_that_does_not_unpack_is_found_by_a_pass_over_the_data(tmp_path, chunks):
    path = netcdf(tmp_path / "a.nc", chunksizes=(2, 3, 8), zlib=True)
    raw = bytearray(path.read_bytes())
    place = places(path, "By")[1]
    raw[place + 12 : place + 20] = b"\xff" * 8
    with pytest.raises(zlib.error):
        zlib.decompress(bytes(raw[place : place + 400]))
    path.write_bytes(raw)
    assert mm.open_snapshot(path, chunks=chunks).By.shape == SHAPE  # by its headers it is whole
    with pytest.raises(mm.SnapshotError, match=r"By cannot be read"):
        mm.open_snapshot(path, chunks=chunks, verify=True)


def test_a_changed_number_is_found_where_there_is_a_checksum(tmp_path):
    path = netcdf(tmp_path / "a.nc", chunksizes=(2, 3, 8), fletcher32=True)
    raw = bytearray(path.read_bytes())
    raw[places(path, "Bx")[0] + 5] ^= 1
    path.write_bytes(raw)
    with pytest.raises(mm.SnapshotError, match=r"Bx cannot be read"):
        mm.open_snapshot(path, verify=True)


def test_a_changed_chunk_of_a_store(tmp_path):
    mm.store(snapshot().chunk(x=2), tmp_path / "a.zarr", progress=False)
    chunk = tmp_path / "a.zarr" / "Bz" / "c" / "1" / "0" / "0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 4
    chunk.write_bytes(raw)
    mm.open_snapshot(tmp_path / "a.zarr")
    with pytest.raises(mm.SnapshotError, match="Bz cannot be read"):
        mm.open_snapshot(tmp_path / "a.zarr", verify=True)


def test_a_pass_over_the_data_keeps_nothing(tmp_path, no_compute):
    import dask

    path = netcdf(tmp_path / "a.nc", chunksizes=(2, 3, 8))
    with dask.config.set(scheduler="synchronous"):
        ds = mm.open_snapshot(path, verify=True)
    assert ds.Bx.chunks == ((2, 2), (3, 3), (8,))
    mm.open_snapshot(path)  # without it nothing is computed

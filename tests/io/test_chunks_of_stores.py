"""Chunks of zarr stores: held by name against the grid, in any encoding of keys, and not unpacked when too large."""

import bz2
import gzip
import lzma
import os
import struct
import tracemalloc
import zlib

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr

import mmfields as mm

ENCODINGS = {
    "default /": (3, {"name": "default", "separator": "/"}),
    "default .": (3, {"name": "default", "separator": "."}),
    "v2 . in 3": (3, {"name": "v2", "separator": "."}),
    "v2 / in 3": (3, {"name": "v2", "separator": "/"}),
    "v2 .": (2, {"name": "v2", "separator": "."}),
    "v2 /": (2, {"name": "v2", "separator": "/"}),
}
SHAPE, CHUNKS = (6, 5, 4), (3, 5, 2)


def snapshot():
    random = np.random.default_rng(0)
    fields = {f"B{d}": random.standard_normal(SHAPE) for d in "xyz"}
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0))


def foreign(path, zarr_format, keys, **options):
    """A store as another program writes it: its By in chunks of any encoding of keys."""
    ds = snapshot()
    ds.to_zarr(path, zarr_format=zarr_format, consolidated=False)
    attrs = dict(zarr.open_array(path / "By", mode="r").attrs)
    if zarr_format == 3:
        options["dimension_names"] = ds.By.dims
    array = zarr.create_array(
        path / "By", shape=SHAPE, chunks=CHUNKS, dtype="f8", zarr_format=zarr_format, attributes=attrs,
        chunk_key_encoding=keys, overwrite=True, **options,
    )  # fmt: skip
    array[...] = ds.By.values
    return ds


def chunks_of(path):
    metadata = ("zarr.json", ".zarray", ".zattrs")
    return [p for p in sorted((path / "By").rglob("*")) if p.is_file() and p.name not in metadata]


def load(path):
    return mm.open_snapshot(path).load(scheduler="synchronous")


DAMAGE = {
    "renamed": lambda chunk: chunk.rename(chunk.with_name(chunk.name + " copy")),
    "lost beside a file of the system": lambda chunk: chunk.rename(chunk.with_name(".DS_Store")),
    "unfinished": lambda chunk: chunk.rename(chunk.with_suffix(".0123abcd.partial")),
}


@pytest.mark.parametrize("kind", ENCODINGS)
def test_keys_of_every_encoding(tmp_path, kind):
    ds = foreign(tmp_path / "a.zarr", *ENCODINGS[kind])
    np.testing.assert_array_equal(load(tmp_path / "a.zarr").By, ds.By)
    (tmp_path / "a.zarr" / "By" / ".DS_Store").write_text("")  # beside what is whole
    np.testing.assert_array_equal(load(tmp_path / "a.zarr").By, ds.By)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ENCODINGS)
def test_a_chunk_that_is_not_under_its_name(tmp_path, kind, damage):
    foreign(tmp_path / "a.zarr", *ENCODINGS[kind])
    chunk = chunks_of(tmp_path / "a.zarr")[2]
    key = os.path.relpath(chunk, tmp_path / "a.zarr" / "By")
    DAMAGE[damage](chunk)
    with pytest.raises(mm.SnapshotError, match=rf"1 of 4 chunks of By are missing, first '{key}' \('.*' lies there"):
        mm.open_snapshot(tmp_path / "a.zarr")


def test_the_only_chunk_of_a_number_and_none_of_nothing(tmp_path):
    ds = snapshot().chunk(x=3).assign(total=7.0)
    mm.store(ds, tmp_path / "a.zarr", progress=False)
    assert float(load(tmp_path / "a.zarr").total) == 7.0
    (tmp_path / "a.zarr" / "total" / "c").rename(tmp_path / "a.zarr" / "total" / "0")
    with pytest.raises(mm.SnapshotError, match="1 of 1 chunks of total are missing, first 'c'"):
        mm.open_snapshot(tmp_path / "a.zarr")


def test_zeros_in_memory_are_no_lost_chunks(tmp_path):
    """Which zarr leaves out, where they are what it fills in."""
    ds = snapshot().chunk(x=3).assign_coords(time=0.0, count=("x", np.zeros(6, int)), flag=("y", np.zeros(5, bool)))
    for _ in range(2):
        mm.store(ds, tmp_path / "a.zarr", progress=False)
        xr.testing.assert_equal(load(tmp_path / "a.zarr"), ds.compute())


def test_names_of_objects_behind_a_url(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    foreign(tmp_path / "a.zarr", *ENCODINGS["v2 . in 3"])
    DAMAGE["renamed"](chunks_of(tmp_path / "a.zarr")[1])
    fs = fsspec.filesystem("memory")
    fs.put(str(tmp_path / "a.zarr"), "/renamed/a.zarr", recursive=True)
    with pytest.raises(mm.SnapshotError, match=r"memory://renamed/a.zarr.*1 of 4 chunks of By"):
        mm.open_snapshot("memory://renamed/a.zarr")


# --- chunks that stand for gigabytes ----------------------------------------------------------------------------------


def zstd(size, *, stated):
    """A frame of zeros, each of its blocks one byte to be repeated (RFC 8878)."""
    frame = struct.pack("<I", 0xFD2FB528) + (b"\xe0" + struct.pack("<Q", size) if stated else b"\0\x58")
    count = size >> 17
    return frame + b"".join(((1 << 20) | 2 | (i == count - 1)).to_bytes(3, "little") + b"\0" for i in range(count))


SIZE = 3 << 30
BOMBS = {
    "zstd": (lambda: zstd(SIZE, stated=True), numcodecs.Zstd()),
    "zstd that states no size": (lambda: zstd(SIZE, stated=False), numcodecs.Zstd()),
    "zstd in frames": (lambda: zstd(1 << 17, stated=True) + zstd(SIZE, stated=False), numcodecs.Zstd()),
    "blosc": (lambda: struct.pack("<BBBBIII", 2, 1, 0x21, 8, 1 << 31, 1 << 20, 100) + bytes(84), numcodecs.Blosc()),
    "lz4": (lambda: struct.pack("<I", 1 << 30) + bytes(100), numcodecs.LZ4()),
    "gzip": (lambda: gzip.compress(b"a") + gzip.compress(bytes(1 << 28)), numcodecs.GZip()),
    "zlib": (lambda: zlib.compress(bytes(1 << 28)), numcodecs.Zlib()),
    "bz2": (lambda: bz2.compress(b"a") + bz2.compress(bytes(1 << 28)), numcodecs.BZ2()),
    "lzma": (lambda: lzma.compress(bytes(1 << 28), preset=0), numcodecs.LZMA()),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_chunk_that_stands_for_gigabytes_is_not_unpacked(tmp_path, kind):
    bomb, codec = BOMBS[kind]
    ds = foreign(tmp_path / "a.zarr", *ENCODINGS["v2 ."], compressors=codec)
    np.testing.assert_array_equal(load(tmp_path / "a.zarr").By, ds.By)
    chunks_of(tmp_path / "a.zarr")[0].write_bytes(bomb())
    opened = mm.open_snapshot(tmp_path / "a.zarr")
    tracemalloc.start()
    try:
        with pytest.raises(mm.SnapshotError, match=r"a.zarr: By: the chunk '0.0.0' of By .*would unpack to .* MB"):
            opened.By.load(scheduler="synchronous")
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


def test_a_chunk_of_a_store_of_ours_and_of_a_coordinate(tmp_path):
    mm.store(snapshot().chunk(x=3), tmp_path / "a.zarr", progress=False)
    bomb = zstd(SIZE, stated=True)
    assert len(bomb) < 100_000
    chunk = tmp_path / "a.zarr" / "By" / "c" / "1" / "0" / "0"
    whole = chunk.read_bytes()
    chunk.write_bytes(bomb)
    with pytest.raises(mm.SnapshotError, match=r"the chunk 'c/1/0/0' of By .*would unpack"):
        load(tmp_path / "a.zarr")
    chunk.write_bytes(whole)
    (tmp_path / "a.zarr" / "x" / "c" / "0").write_bytes(bomb)
    with pytest.raises(mm.SnapshotError, match=r"the chunk 'c/0' of x .*would unpack"):
        mm.open_snapshot(tmp_path / "a.zarr")


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 17, 300_000])
def test_sizes_are_those_that_come_out(size):
    from mmfields.io._chunks import SIZES

    data = np.random.default_rng(size).integers(0, 4, size, np.uint8).tobytes()
    for kind, codec in (("zstd", numcodecs.Zstd(checksum=True)), ("lz4", numcodecs.LZ4()), ("gzip", numcodecs.GZip()),
                        ("zlib", numcodecs.Zlib()), ("bz2", numcodecs.BZ2()), ("lzma", numcodecs.LZMA()),
                        ("blosc", numcodecs.Blosc())):  # fmt: skip
        if size == 0 and kind in ("lz4", "blosc"):
            continue  # which these do not pack
        assert SIZES[kind](memoryview(codec.encode(data)), 1 << 24) == size, kind


def test_readers_of_damaged_headers_end():
    from mmfields.io._chunks import _require_size

    random = np.random.default_rng(3)
    for kind in ("zstd", "blosc", "lz4", "gzip", "zlib", "bz2", "lzma"):
        for size in (0, 1, 5, 9, 40, 1000):
            data = (b"\x28\xb5\x2f\xfd" if kind == "zstd" else b"") + random.bytes(size)
            try:
                _require_size("By", "0", memoryview(data), kind, 1 << 24)
            except mm.SnapshotError as error:
                assert "would unpack" in str(error)


def test_what_is_open_goes_to_workers(tmp_path):
    import pickle

    ds = foreign(tmp_path / "a.zarr", *ENCODINGS["v2 . in 3"])
    opened = pickle.loads(pickle.dumps(mm.open_snapshot(tmp_path / "a.zarr")))
    xr.testing.assert_equal(opened.By.compute(scheduler="synchronous"), ds.By)

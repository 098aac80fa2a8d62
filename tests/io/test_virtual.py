"""Small files that say where the numbers of many lie: the same numbers, lazily, and nothing else in silence."""

import os
import pickle

import numpy as np
import pytest
import xarray as xr
from builders import NAMES, athdf, legacy_vtk, nbf, plotfile

import mmfields as mm

pytest.importorskip("virtualizarr")
SHAPE = (4, 6, 8)
ENDS = ["json", "icechunk"]


@pytest.fixture
def fields():
    return np.random.default_rng(4).uniform(0.5, 1.5, (len(NAMES), *SHAPE)).astype(np.float32)


def prepared(end):
    if end == "icechunk":
        pytest.importorskip("icechunk")


def same(found, wanted, names):
    assert list(found.time.values) == list(wanted.time.values) and set(found.data_vars) == set(names)
    for name in names:
        assert found[name].dtype == wanted[name].dtype and found[name].chunks is not None
        np.testing.assert_array_equal(found[name], wanted[name])
        assert found[name].attrs["units"] == wanted[name].attrs["units"]
    for dim in "xyz":
        np.testing.assert_array_equal(found[dim], wanted[dim])
        assert found.attrs[f"boundary_{dim}"] == wanted.attrs[f"boundary_{dim}"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("big", [False, True])
def test_a_series_of_nbf(tmp_path, fields, end, big):
    prepared(end)
    for n in (2, 1, 3):
        nbf(tmp_path / f"a{n}.nbf", fields * n, (4, 3, 2), time=float(n), big=big)
    out = tmp_path / f"run.{end}"
    ds = mm.virtualize(tmp_path / "*.nbf", out, boundary={"x": "open"})
    whole = mm.open_series(tmp_path / "*.nbf", boundary={"x": "open"})
    names = ["rho", "mom1", "mom2", "mom3", "Bx", "By", "Bz"]
    same(ds, whole, names)
    same(mm.open_snapshot(out), whole, names)
    assert ds.Bx.encoding["preferred_chunks"] == {"time": 1, "z": 2, "y": 3, "x": 4}
    assert "ux (not in the files as it is)" in ds.attrs["not_loaded"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ds)).By[1], whole.By[1])
    assert sum(f.stat().st_size for f in ([out] if out.is_file() else out.rglob("*")) if f.is_file()) < 50_000


@pytest.mark.parametrize("kind", ["athdf", "plotfile", "vtk"])
def test_other_formats_in_blocks_of_one_size(tmp_path, fields, kind):
    for n in (1, 2):
        if kind == "athdf":
            athdf(tmp_path / f"a{n}.athdf", fields * n, (4, 3, 2), time=float(n), dtype=">f8")
        elif kind == "plotfile":
            parts = [((i, 0, 0), (fields[4:] * n)[..., i : i + 4]) for i in (4, 0)]
            head = plotfile(tmp_path / f"a{n}.plt", [parts], SHAPE[::-1]) / "Header"
            head.write_text(head.read_text().replace("\n2.5\n", f"\n{n}.25\n", 1))
        else:
            faces = [np.arange(m + 1.0) for m in SHAPE[::-1]]
            title = f"PRIMITIVE vars at time= {n}.0e+00, level= 0, domain= 0"
            legacy_vtk(tmp_path / f"a.{n:04d}.vtk", title, faces, [("density", fields[0] * n)], points=True)
    ds = mm.virtualize(tmp_path / "a*", tmp_path / "run.json")
    whole = mm.open_series([p for p in sorted(tmp_path.iterdir()) if p.name[0] == "a"])
    same(ds, whole, set(whole.data_vars) & {"rho", "mom1", "mom2", "mom3", "Bx", "By", "Bz"})


def test_any_program_with_fsspec_and_zarr_opens_the_references(tmp_path, fields):
    nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    mm.virtualize(tmp_path / "a.nbf", tmp_path / "run.json")
    options = {"fo": str(tmp_path / "run.json"), "remote_protocol": "file"}
    ds = xr.open_zarr("reference://", storage_options=options, consolidated=False)
    np.testing.assert_array_equal(ds.Bz[0], fields[6])


def test_pluto_on_real_files(tmp_path, shared):
    files = sorted((shared / "data/pluto").glob("*/data.*.dbl"))
    assert files
    for n, file in enumerate(files):
        ds, whole = mm.virtualize(file, tmp_path / f"{n}.json"), mm.open_series(file)
        for name in ("Bx", "By", "rho", "ux"):
            np.testing.assert_array_equal(ds[name], whole[name])


@pytest.mark.parametrize("end", ENDS)
def test_files_that_have_changed_or_are_gone(tmp_path, fields, end):
    prepared(end)
    path = nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    ds = mm.virtualize(path, tmp_path / f"run.{end}")
    state = path.stat()
    nbf(path, fields * 2, (4, 3, 2))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 5_000_000_000))
    with pytest.raises(mm.SnapshotError, match=r"has changed|cannot be read"):
        mm.open_snapshot(tmp_path / f"run.{end}").Bx.compute()
    path.unlink()
    with pytest.raises(mm.SnapshotError):
        ds.Bx.compute()
    with pytest.raises(mm.SnapshotError):
        mm.open_snapshot(tmp_path / f"run.{end}").Bx.compute()


def test_what_cannot_be_virtual(tmp_path, fields):
    athdf(tmp_path / "a.athdf", fields, (4, 3, 2), compression="gzip")
    with pytest.raises(mm.SnapshotError, match="in blocks of one size"):
        mm.virtualize(tmp_path / "a.athdf", tmp_path / "run.json")
    nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    for out in ("run.zarr", "s3://bucket/run.json"):
        with pytest.raises(mm.ArgumentError, match=r"run\.json"):
            mm.virtualize(tmp_path / "a.nbf", tmp_path / out if "://" not in out else out)
    (tmp_path / "run.json").write_text("mine")
    with pytest.raises(mm.SnapshotError, match="there already"):
        mm.virtualize(tmp_path / "a.nbf", tmp_path / "run.json")
    assert (tmp_path / "run.json").read_text() == "mine"
    with pytest.raises(mm.ArgumentError, match="engine 'zarr'"):
        mm.virtualize(tmp_path / "a.nbf", tmp_path / "b.json", engine="zarr")

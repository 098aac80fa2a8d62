"""Series of outputs that differ in their numbers and times alone: taken apart once; all else that differs shows."""

import functools
import pickle
import re
import struct

import code_builders as make
import h5py
import numpy as np
import pytest
from builders import NAMES, athdf, legacy_vtk, nbf, openpmd, plotfile

import mmfields as mm
from mmfields.io.engines import ENGINES, backend_of

SHAPE = (4, 12, 24)
CENTRE = (0.5, 0.5, 0.5)
KINDS = {"athdf": "athdf", "nbf": "pegasus", "h5": "openpmd", "plt": "amrex", "vtk": "athena_vtk", "bin": "athenak"}


@pytest.fixture
def fields():
    return np.random.default_rng(8).uniform(0.5, 1.5, (len(NAMES), *SHAPE)).astype(np.float32)


def athenak(path, fields, time, cycle):
    """AthenaK in two blocks along x, with a parameter dump that counts the outputs, as it does."""
    mesh = "".join(f"nx{i} = {n}\nx{i}min = 0\nx{i}max = {n}\n" for i, n in enumerate(SHAPE[::-1], 1))
    dump = f"<mesh>\n{mesh}<meshblock>\nnx1 = 12\nnx2 = 12\nnx3 = 4\n<output1>\nfile_number = {cycle}\n"
    head = "Athena binary output version=1.1\n  size of preheader=5\n"
    head += f"  time={time:.17e}\n  cycle={cycle}\n  size of location=8\n  size of variable=4\n"
    head += f"  number of variables=3\n  variables:  bcc1  bcc2  bcc3  \n  header offset={len(dump)}\n"
    with open(path, "wb") as file:
        file.write((head + dump).encode())
        for place in (0, 1):
            file.write(struct.pack("<10i", 0, 11, 0, 11, 0, 3, place, 0, 0, 0))
            file.write(struct.pack("<6d", 12 * place, 12 * place + 12, 0, 12, 0, 4))
            file.write(fields[4:, :, :, 12 * place : 12 * place + 12].astype("<f4").tobytes())
    return path


def output(folder, kind, fields, n):
    """Output `n` of a run, at time n, in which all numbers are n times as large."""
    path, full = folder / f"a.{n:05d}.{kind}", fields * n
    if kind == "nbf":
        return nbf(path, full, (4, 3, 2), time=float(n))
    if kind == "athdf":
        return athdf(path, full, (4, 3, 2), time=float(n))
    if kind == "h5":
        return openpmd(path, {n: {"B": {c: (full[4 + i], CENTRE) for i, c in enumerate("xyz")}}})
    if kind == "bin":
        return athenak(path, full, float(n), 9 * n)
    if kind == "plt":
        parts = [((i, 0, 0), full[4:, :, :, i : i + 12]) for i in (12, 0)]
        head = plotfile(path, [parts], SHAPE[::-1]) / "Header"
        head.write_text(re.sub(r"(?m)^2\.5$", f"{n}.25", head.read_text(), count=1))
        return path
    faces = [np.arange(m + 1.0) for m in SHAPE[::-1]]
    title = f"# Athena++ data at time={float(n):e}  cycle={9 * n}  variables=prim "
    return legacy_vtk(path, title, faces, [("rho", full[0])], [("Bcc", full[4:])])


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_that_are_alike_are_taken_apart_once(tmp_path, fields, kind, monkeypatch):
    numbers = (5, 1, 2, 12, 3)  # of one digit and of two: what follows lies a byte further on
    paths = [output(tmp_path, kind, fields, n) for n in numbers]
    backend, opened = backend_of(KINDS[kind], {}), []
    real = backend.open_dataset

    @functools.wraps(real)
    def counted(self, path, **options):
        opened.append(path)
        return real(self, path, **options)

    monkeypatch.setattr(backend, "open_dataset", counted)
    ds = mm.open_series(paths, boundary="open")
    assert len(opened) <= 2
    monkeypatch.undo()
    whole = [mm.open_snapshot(paths[i], boundary="open") for i in (1, 2, 4, 0, 3)]
    assert ds.time.values.tolist() == [one.attrs["time"] for one in whole]
    for name in ds.data_vars:
        np.testing.assert_array_equal(ds[name], [one[name] for one in whole])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ds)).By[3, 1:, ::3], whole[3].By[1:, ::3])


def replaced(path, old, new):
    """A file with bytes changed in place, in the first place where they stand."""
    raw = path.read_bytes()
    assert raw.count(old) >= 1 and len(old) == len(new)
    path.write_bytes(raw.replace(old, new, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_says_something_else_is_read(tmp_path, fields, kind):
    paths = [output(tmp_path, kind, fields, n) for n in (1, 2, 3)]
    if kind == "nbf":
        replaced(paths[1], b"x2max=2.4000", b"x2max=4.8000")
    elif kind == "athdf":
        with h5py.File(paths[1], "a") as file:
            file.attrs.modify("RootGridX1", np.array([0.0, 48.0, 1.0]))
    elif kind == "h5":
        with h5py.File(paths[1], "a") as file:
            file["data/2/meshes/B"].attrs.modify("gridSpacing", np.array([1.0, 2.0, 8.0]))
    elif kind == "plt":
        replaced(paths[1] / "Level_0" / "Cell_H", b"((0,0,0) (11", b"((0,0,0) (10")
    elif kind == "vtk":
        replaced(paths[1], np.arange(25.0).astype(">f4").tobytes(), (2 * np.arange(25.0)).astype(">f4").tobytes())
    else:
        replaced(paths[1], b"x1max = 24", b"x1max = 48")
    with pytest.raises(mm.SnapshotError):
        mm.open_series(paths)


def test_other_units_and_cut_files_show(tmp_path, fields):
    paths = [output(tmp_path, "h5", fields, n) for n in (1, 2, 3)]
    with h5py.File(paths[1], "a") as file:
        file["data/2/meshes/B/y"].attrs.modify("unitSI", 12.0)
    ds = mm.open_series(paths)
    np.testing.assert_allclose(ds.By[1] / ds.Bx[1], 4 * fields[5] / fields[4], rtol=1e-5)
    raw = paths[2].read_bytes()
    paths[2].write_bytes(raw[:-64])
    with pytest.raises(mm.SnapshotError, match="00003"):
        mm.open_series(paths)


def test_numbers_are_held_against_the_extremes_of_their_own_file(tmp_path, fields):
    paths = [output(tmp_path, "plt", fields, n) for n in (1, 2, 3)]
    mm.open_series(paths).compute()
    table = paths[2] / "Level_0" / "Cell_H"
    lines = table.read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if line.endswith(","))
    lines[last] = ",".join(["0.5"] * 3) + ","
    table.write_text("\n".join(lines) + "\n")
    ds = mm.open_series(paths)
    ds.isel(time=slice(0, 2)).compute()
    with pytest.raises(mm.SnapshotError, match="damaged"):
        ds.isel(time=2).compute()


# --- the codes with a file or more for each step ---


def code_output(folder, kind, fields, n):
    """Output `n` of a run of one of the codes, in which all numbers are n times as large."""
    full = (fields * n).astype(float)
    if kind == "pluto":
        edges = [np.arange(m + 1.0) for m in SHAPE[::-1]]
        if not (folder / "grid.out").exists():
            make.pluto_grid(folder, edges)
        make.pluto_table(folder, "dbl", ("Bx1", "Bx2", "Bx3"), number=n, time=n)
        path = folder / f"data.{n:04d}.dbl"
        path.write_bytes(full[4:].astype("<f8").tobytes())
        return path
    if kind == "athena_bin":
        fields = np.concatenate([full, full[:1]])
        for rank in (0, 1):
            path = folder / f"id{rank}" / f"X{f'-id{rank}' if rank else ''}.{n:04d}.bin"
            make.athena_bin(path, fields[..., 12 * rank : 12 * rank + 12], corner=(12 * rank, 0, 0), time=float(n))
        return folder / "id0" / f"X.{n:04d}.bin"
    if kind == "tristan":
        names = [f"{v}{c}" for v in "be" for c in "xyz"]
        given = {"c_omp": 4.0, "istep": 2.0, "c": 0.45, "time": float(n)}
        return make.tristan(folder / f"flds.tot.{n:03d}", dict(zip(names, full, strict=False)), parameters=given)
    rng = np.random.default_rng(n)
    make.vpic(folder, rng.normal(size=(24, *SHAPE)), {"ehydro": rng.normal(size=(14, *SHAPE))}, (2, 1, 1), step=n)
    return folder / "fields" / f"T.{n}" / f"fields.{n}.0"


@pytest.mark.parametrize("kind", ["pluto", "athena_bin", "tristan", "vpic"])
def test_steps_of_the_codes_that_are_alike(tmp_path, fields, kind, monkeypatch):
    paths = [code_output(tmp_path, kind, fields, n) for n in (3, 1, 12, 2)]
    backend, opened = backend_of(kind, {}), []
    real = backend.open_dataset

    @functools.wraps(real)
    def counted(self, path, **options):
        opened.append(path)
        return real(self, path, **options)

    monkeypatch.setattr(backend, "open_dataset", counted)
    ds = mm.open_series(paths, boundary="open")
    assert len(opened) == 1
    monkeypatch.undo()
    whole = [mm.open_snapshot(paths[i], boundary="open") for i in (1, 3, 0, 2)]
    assert ds.time.values.tolist() == [one.attrs["time"] for one in whole]
    assert set(ds.data_vars) == set(whole[0].data_vars)
    for name in ds.data_vars:
        np.testing.assert_array_equal(ds[name], [one[name] for one in whole])
    path = paths[-1]
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(mm.SnapshotError, match=re.escape(path.name)):
        mm.open_series(paths)


def test_every_engine_of_raw_files_has_a_pattern_for_the_others():
    alike = {engine for engine in ENGINES if hasattr(backend_of(engine, {}), "alike_to")}
    assert alike == {*KINDS.values(), "pluto", "athena_bin", "tristan", "vpic"}

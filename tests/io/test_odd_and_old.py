"""One odd thing does not spoil the rest, what is sound but old opens, and faults are told in words that help."""

import gzip
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr
from builders import NAMES, athdf, athenak, legacy_vtk, nbf, openpmd, plotfile

import mmfields as mm
from mmfields.io.engines import ENGINES, backend_of

CENTRE = (0.5, 0.5, 0.5)
SHAPE = (4, 6, 8)
FACES = [np.linspace(0, n, n + 1) for n in SHAPE[::-1]]


@pytest.fixture
def fields():
    return np.random.default_rng(1).uniform(0.5, 1.5, (len(NAMES), *SHAPE)).astype(np.float32)


def meshes(fields, names="xyz"):
    return {c: (fields["xyz".index(c)], CENTRE) for c in names}


# --- one odd thing ----------------------------------------------------------------------------------------------------


def damaged(path, change):
    with h5py.File(path, "r+") as file:
        change(file["data/1/meshes"])
    return path


ODD = {
    "complex": lambda m: (m.__delitem__("E/x"), m["E"].create_dataset("x", data=np.ones(SHAPE) + 1j)),
    "no spacing": lambda m: m["E"].attrs.__delitem__("gridSpacing"),
    "a spacing of text": lambda m: m["E"].attrs.__setitem__("gridSpacing", "wide"),
    "an order of its own": lambda m: m["E"].attrs.__setitem__("dataOrder", "Q"),
    "thetaMode": lambda m: m["E"].attrs.__setitem__("geometry", "thetaMode"),
    "axes of its own": lambda m: m["E"].attrs.__setitem__("axisLabels", np.array(["r", "s", "t"], "S1")),
    "two axes": lambda m: m["E"].attrs.__setitem__("axisLabels", np.array(["x", "y"], "S1")),
    "another grid": lambda m: m["E"].attrs.__setitem__("gridSpacing", [9.0, 9.0, 9.0]),
    "a position of its own": lambda m: m["E/x"].attrs.__setitem__("position", [0.3, 0.5, 0.5]),
    "shapes that differ": lambda m: (m.__delitem__("E/x"), m["E"].create_dataset("x", data=np.ones((2, 2, 2)))),
    "a link": lambda m: (m.__delitem__("E"), m.__setitem__("E", h5py.SoftLink("/nowhere"))),
    "text": lambda m: (m.__delitem__("E/x"), m["E"].create_dataset("x", data=np.full(SHAPE, b"a"))),
    "never written": lambda m: (m.__delitem__("E/x"), m["E"].create_dataset("x", SHAPE, "f8", chunks=(1, 6, 8))),
    "no unit": lambda m: m["E/x"].attrs.__setitem__("unitSI", 0.0),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_mesh_is_named_and_the_rest_opens(tmp_path, fields, kind):
    path = openpmd(tmp_path / "a.h5", {1: {"B": meshes(fields), "E": meshes(fields), "J": meshes(fields)}})
    ds = mm.open_snapshot(damaged(path, ODD[kind]))
    np.testing.assert_allclose(ds.Bz, 3 * fields[2])
    assert "Jx" in ds and "Ex" not in ds
    assert ds.attrs["not_loaded"].startswith("E (")


def test_what_cannot_be_understood_is_said_where_nothing_is_left(tmp_path, fields):
    path = openpmd(tmp_path / "a.h5", {1: {"E": meshes(fields), "J": meshes(fields)}})
    with h5py.File(path, "r+") as file:
        for name in "EJ":
            file[f"data/1/meshes/{name}"].attrs["dataOrder"] = name
    with pytest.raises(mm.SnapshotError, match=r"dataOrder of E is 'E'.*dataOrder of J is 'J'"):
        mm.open_snapshot(path)
    path = openpmd(tmp_path / "b.h5", {1: {"B": meshes(fields), "E": meshes(fields)}})
    with h5py.File(path, "r+") as file:  # the magnetic field is what all is about
        file["data/1/meshes/B"].attrs["dataOrder"] = "Q"
    with pytest.raises(mm.SnapshotError, match="dataOrder of B"):
        mm.open_snapshot(path)


def test_iterations_without_the_field_or_with_other_meshes(tmp_path, fields):
    both = {"B": meshes(fields), "J": meshes(fields)}
    steps = {0: {"J": meshes(fields)}, 5: both, 10: {"B": meshes(fields)}, 15: {}, 20: both}
    ds = mm.open_snapshot(openpmd(tmp_path / "a.h5", steps))
    assert ds.time.values.tolist() == [5.0, 10.0, 20.0]
    assert set(ds.data_vars) == {"Bx", "By", "Bz"}
    for said in ("iteration 0 (without B)", "iteration 15 (without B)", "Jx (not in all iterations)"):
        assert said in ds.attrs["not_loaded"]
    assert "Jx" in mm.open_snapshot(tmp_path / "a.h5", iteration=0)
    with pytest.raises(mm.SnapshotError, match="no mesh in iteration 15"):
        mm.open_snapshot(tmp_path / "a.h5", iteration=15)


def with_particles(path, numbers):
    with h5py.File(path, "r+") as file:
        file.attrs["particlesPath"] = "particles/"
        for n in numbers:
            file[f"data/{n}"].create_group("particles/e/position")["x"] = np.zeros(3)
    return path


def test_particles_alone(tmp_path, fields):
    path = with_particles(openpmd(tmp_path / "p5.h5", {5: {}}), [5])
    with pytest.raises(mm.SnapshotError, match="particles alone"):
        mm.open_snapshot(path)
    for n in (0, 10):
        with_particles(openpmd(tmp_path / f"p{n}.h5", {n: {"B": meshes(fields)}}), [n])
    ds = mm.open_series(tmp_path / "p*.h5")
    assert ds.time.values.tolist() == [0.0, 10.0] and "p5.h5" in ds.attrs["not_loaded"]
    with pytest.raises(mm.SnapshotError, match="particles alone"):
        mm.open_series([path, path])


def test_plotfiles_of_particles_alone(tmp_path, fields):
    path = plotfile(tmp_path / "plt", [[((0, 0, 0), fields[4:7].astype("f8"))]], SHAPE[::-1])
    (path / "ions").mkdir()
    (path / "ions/Header").write_text("Version_Two_Dot_Zero_double\n3\n")
    assert mm.open_snapshot(path).Bx.shape == SHAPE
    with pytest.raises(mm.SnapshotError, match="particles"):
        mm.open_snapshot(path / "ions")
    text = (path / "Header").read_text().replace("\n3\nBx\nBy\nBz\n", "\n0\n", 1)
    (path / "Header").write_text(text)
    with pytest.raises(mm.SnapshotError, match="particles alone"):
        mm.open_snapshot(path)
    (path / "Header").unlink()
    with pytest.raises(mm.SnapshotError, match="particles alone"):
        mm.open_snapshot(path)


def test_one_component_is_data(tmp_path, fields):
    files = [
        openpmd(tmp_path / "a.h5", {1: {"B": meshes(fields, "y"), "E": meshes(fields, "xz")}}),
        plotfile(tmp_path / "plt", [[((0, 0, 0), fields[5:6].astype("f8"))]], SHAPE[::-1], ("By",)),
        nbf(tmp_path / "a.nbf", fields[5:6], (4, 3, 2), names=("Bcc2",)),
        athdf(tmp_path / "a.athdf", fields[5:6], (4, 3, 2), names=("Bcc2",)),
        athenak(tmp_path / "a.bin", fields[5:6], (4, 3, 2), names=("bcc2",)),
        legacy_vtk(tmp_path / "a.vtk", "# Athena++ data at time=1.0", FACES, [("Bcc2", fields[5])]),
    ]
    for path in files:
        ds = mm.open_snapshot(path)
        assert "By" in ds and "Bx" not in ds
        with pytest.raises(mm.SnapshotError, match="missing Bx, Bz"):
            mm.mean_field(ds)


def adios(path, complex_mesh=False, steps=(0, 5, 10), version=None):
    """Fields at 0 and 10, particles at all of them."""
    api = pytest.importorskip("openpmd_api", reason="openpmd-api is not installed")
    rng, series = np.random.default_rng(0), api.Series(str(path), api.Access.create)
    if version:
        series.set_openPMD(version)
    series.set_iteration_encoding(api.Iteration_Encoding.group_based)
    for n in steps:
        it = series.iterations[n]
        it.time = float(n)
        for name in ("B", "laser") if complex_mesh else ("B",) if n != 5 else ():
            mesh = it.meshes[name]
            mesh.axis_labels, mesh.grid_spacing = ["z", "y", "x"], [4.0, 2.0, 1.0]
            mesh.grid_global_offset = [0.0] * 3
            if version:
                mesh.grid_unit_SI = [1.0, 2.0, 3.0]
            for c in "xyz" if name == "B" else [api.Mesh_Record_Component.SCALAR]:
                data = rng.standard_normal(SHAPE) * (1 if name == "B" else 1j)
                part = mesh[c]
                part.reset_dataset(api.Dataset(data.dtype, SHAPE))
                part.position = list(CENTRE)
                part.store_chunk(data)
                series.flush()
        e = it.particles["e"]["position"]["x"]
        e.reset_dataset(api.Dataset(np.dtype("f8"), [3]))
        e.store_chunk(np.zeros(3))
        series.flush()
    series.close()
    return path


@pytest.mark.parametrize("kind", ["h5", "bp4", "bp5"])
def test_the_same_by_the_writer_of_openpmd(tmp_path, kind):
    ds = mm.open_snapshot(adios(tmp_path / f"mixed.{kind}"))
    assert ds.sizes == {"time": 2, "z": 4, "y": 6, "x": 8} and "iteration 5" in ds.attrs["not_loaded"]
    ds = mm.open_snapshot(adios(tmp_path / f"laser.{kind}", complex_mesh=True, steps=[0]))
    np.testing.assert_array_equal(ds.Bx, np.random.default_rng(0).standard_normal(SHAPE))
    assert "laser" in ds.attrs["not_loaded"]
    with pytest.raises(mm.SnapshotError, match="particles alone"):
        mm.open_snapshot(adios(tmp_path / f"lone.{kind}", steps=[5]))
    ds = mm.open_snapshot(adios(tmp_path / f"two.{kind}", steps=[0], version="2.0.0"))
    assert mm.conventions.spacing(ds) == {"z": 4.0, "y": 4.0, "x": 3.0}


def test_partly_written_adios(tmp_path):
    api = pytest.importorskip("openpmd_api", reason="openpmd-api is not installed")
    series = api.Series(str(tmp_path / "a.bp4"), api.Access.create)
    mesh = series.iterations[0].meshes["B"]
    mesh.axis_labels, mesh.grid_spacing, mesh.grid_global_offset = ["z", "y", "x"], [1.0] * 3, [0.0] * 3
    for c in "xyz":
        mesh[c].reset_dataset(api.Dataset(np.dtype("f8"), SHAPE))
        mesh[c].position, mesh[c].unit_SI = list(CENTRE), 2.0
        mesh[c].store_chunk(np.ones((3, 6, 8)), [0, 0, 0], [3, 6, 8])
        series.flush()
    series.close()
    with pytest.raises(mm.SnapshotError, match="fill_missing"):
        mm.open_snapshot(tmp_path / "a.bp4").load()
    ds = mm.open_snapshot(tmp_path / "a.bp4", fill_missing=-5.0)
    assert (ds.By[:3] == 2.0).all() and (ds.By[3] == -5.0).all()


# --- old, new and plain -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stored", "digits"), [("<f8", 16), ("<f8", 12), ("<f8", 17), ("<f4", 8), (">f4", 6)])
def test_tables_are_compared_at_the_precision_that_is_printed(tmp_path, stored, digits):
    data = np.exp(3 * np.random.default_rng(1).standard_normal((3, *SHAPE))).astype(stored)
    path = plotfile(tmp_path / "plt", [[((0, 0, 0), data)]], SHAPE[::-1], stored=stored)
    header = path / "Level_0/Cell_H"
    lines = header.read_text().split("\n")
    for i, line in enumerate(lines):
        if line.endswith(","):
            lines[i] = "".join(f"{float(word):.{digits}g}," for word in line.strip(",").split(","))
    header.write_text("\n".join(lines))
    np.testing.assert_array_equal(mm.open_snapshot(path).By, data[1])
    file = path / "Level_0/Cell_D_00000"
    raw = file.read_bytes()
    top = data[1].max()
    file.write_bytes(raw.replace(np.array(top, stored).tobytes(), np.array(1.001 * top, stored).tobytes()))
    with pytest.raises(mm.SnapshotError, match="its header states"):
        mm.open_snapshot(path).By.load()


def test_a_header_that_begins_with_the_name_of_another_code(tmp_path, fields):
    path = plotfile(tmp_path / "plt", [[((0, 0, 0), fields[4:7].astype("f8"))]], SHAPE[::-1])
    text = (path / "Header").read_text()
    (path / "Header").write_text(text.replace("HyperCLaw-V1.1", "NavierStokes-V1.1"))
    assert mm.open_snapshot(path / "Header").Bx.shape == SHAPE
    cells = path / "Level_0/Cell_H"
    cells.write_text("4" + cells.read_text()[1:])
    with pytest.raises(mm.SnapshotError, match="version 4 of the box headers"):
        mm.open_snapshot(path)


@pytest.mark.parametrize("gaps", [b"", b"\n", b"\n\n"])
@pytest.mark.parametrize("kind", ["float", "double"])
def test_vtk_with_empty_lines_and_of_both_widths(tmp_path, fields, gaps, kind):
    title = "# Athena++ data at time= 1.000000e+00  level= 0  nranks= 1  cycle=7  variables=mhd_w_bcc"
    scalars = [(f"bcc{i + 1}", fields[4 + i]) for i in range(3)]
    path = legacy_vtk(tmp_path / "a.vtk", title, FACES, scalars, points=True, gaps=gaps, kind=kind)
    path.write_bytes(path.read_bytes() + gaps)
    ds = mm.open_snapshot(path)
    np.testing.assert_array_equal(ds.By, fields[5])
    assert ds.attrs["cycle"] == 7


def test_coarsened_outputs_of_athenak(tmp_path, fields):
    ds = mm.open_snapshot(athenak(tmp_path / "a.cbin", fields, (4, 3, 2), names=NAMES, coarse=2))
    np.testing.assert_array_equal(ds.Bz, fields[6])
    assert mm.conventions.spacing(ds) == {"z": 2.0, "y": 2.0, "x": 2.0} and ds.attrs["coarsening_factor"] == 2
    names = [f"{n}_{k}" for n in ("dens", "bcc1") for k in ("1st", "2nd", "3rd")] + ["bcc2_1st"]
    ds = mm.open_snapshot(athenak(tmp_path / "b.cbin", fields, (4, 3, 2), names=names, coarse=2))
    assert {"rho", "dens_2nd", "dens_3rd", "Bx", "bcc1_2nd", "By"} <= set(ds.data_vars)
    np.testing.assert_array_equal(ds.Bx, fields[3])
    path = tmp_path / "c.cbin"
    whole = (tmp_path / "a.cbin").read_bytes()
    path.write_bytes(whole.replace(b"coarsening factor=2", b"coarsening factor=3"))
    with pytest.raises(mm.SnapshotError, match="coarsened 3 times"):
        mm.open_snapshot(path)


def test_grid_units_of_openpmd_2(tmp_path, fields):
    path = openpmd(tmp_path / "a.h5", {1: {"B": meshes(fields)}}, order="F", labels=("x", "y", "z"))
    with h5py.File(path, "r+") as file:
        file["data/1/meshes/B"].attrs["gridUnitSI"] = [2.0, 3.0, 5.0]
    assert mm.conventions.spacing(mm.open_snapshot(path)) == {"z": 20.0, "y": 6.0, "x": 2.0}
    with h5py.File(path, "r+") as file:
        file["data/1/meshes/B"].attrs["gridUnitSI"] = [2.0, 3.0]
    with pytest.raises(mm.SnapshotError, match="gridUnitSI of B holds 2 numbers for 3 axes"):
        mm.open_snapshot(path)


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_being_written(tmp_path, fields):
    path = openpmd(tmp_path / "a.h5", {1: {"B": meshes(fields)}})
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        with pytest.raises(mm.SnapshotError, match="HDF5_USE_FILE_LOCKING"):
            mm.open_snapshot(path)
        writer.stdin.close()
    mm.open_snapshot(path)


@pytest.mark.parametrize("said", [
    "Unable to synchronously open file (unable to lock file, errno = 37, error message = 'No locks available')",
    "Unable to open file (file is already open for write or SWMR write (may use <h5clear file> to clear file "
    "consistency flags))",
    "Can't synchronously read data (can't open directory (/usr/local/hdf5/lib/plugin). Please verify its existence)",
])  # fmt: skip
def test_remedies_of_what_hdf5_says(said):
    from mmfields.io._hdf5 import advice

    word = {"lock": "LOCKING", "alre": "h5clear", "dire": "hdf5plugin"}[
        next(k for k in ("lock", "alre", "dire") if k in said)
    ]
    assert word in advice(OSError(said))
    assert not advice(OSError("truncated file: eof = 5"))


def test_a_filter_that_is_not_there(tmp_path, fields, monkeypatch):
    for name, build in (("a.h5", None), ("a.athdf", athdf), ("a.nc", None)):
        path = tmp_path / name
        if build:
            build(path, fields, (4, 3, 2), chunks=(1, 1, 2, 3, 4), compression="lzf")
        elif name == "a.nc":
            snapshot = mm.io.from_arrays(**{f"B{c}": fields[0] for c in "xyz"}, spacing=dict.fromkeys("xyz", 1.0))
            coding = {f"B{c}": {"compression": "lzf", "chunksizes": (2, 3, 4)} for c in "xyz"}
            snapshot.to_netcdf(path, engine="h5netcdf", encoding=coding)
        else:
            openpmd(path, {1: {"B": meshes(fields)}})
            with h5py.File(path, "r+") as file:
                kept = dict(file["data/1/meshes/B/x"].attrs)
                del file["data/1/meshes/B/x"]
                node = file["data/1/meshes/B"].create_dataset("x", data=fields[0], chunks=(2, 6, 8), compression="lzf")
                node.attrs.update(kept)
        mm.open_snapshot(path).load()
        with monkeypatch.context() as patched:
            patched.setattr(h5py.h5z, "filter_avail", lambda number: number != h5py.h5z.FILTER_LZF)
            with pytest.raises(mm.SnapshotError, match=r"filter lzf.*import hdf5plugin"):
                mm.open_snapshot(path)


WRONG = {
    "pegasus": {"level": 1},
    "athdf": {"levels": 1},
    "athena_vtk": {"mesh": {}},
    "athenak": {"level": "finest"},
    "openpmd": {"iteration": 2.5},
    "jhtdb": {"spacing": "small"},
    "amrex": {"staggered": "yes"},
}


@pytest.mark.parametrize("engine", WRONG)
def test_a_wrong_option_is_no_damage(engine, tmp_path, fields):
    path = nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    backend = backend_of(engine, {})
    (name,) = WRONG[engine]
    for call in (
        lambda: mm.open_snapshot(path, engine=engine, **WRONG[engine]),
        lambda: mm.open_series([path], engine=engine, **WRONG[engine]),
        lambda: xr.open_dataset(path, engine=backend, **WRONG[engine]),
    ):
        with pytest.raises(mm.ArgumentError, match=name) as told:
            call()
        assert "damaged" not in str(told.value)


@pytest.mark.parametrize("options", [
    {"boundary": "closed"}, {"boundary": 3}, {"boundary": {"x": "closed"}}, {"level": -1}, {"level": True},
    {"mesh": {"x": (0, 1)}}, {"mesh": {"x": 1, "y": 2, "z": 3}}, {"quantization": 3}, {"quantization": ("a", "b")},
    {"staggered": 1}, {"drop_variables": 5}, {"drop_variables": [1, 2]},
])  # fmt: skip
def test_values_that_no_option_takes(options, tmp_path, fields):
    with pytest.raises(mm.ArgumentError, match=next(iter(options))):
        mm.open_snapshot(athdf(tmp_path / "a.athdf", fields, (4, 3, 2)), **options)


def test_a_level_that_the_file_does_not_have(tmp_path, fields):
    with pytest.raises(mm.SnapshotError, match="finest present is 0"):
        mm.open_snapshot(athdf(tmp_path / "a.athdf", fields, (4, 3, 2)), level=30)


def test_all_faults_of_one_dataset_at_once(tmp_path, fields):
    ds = xr.Dataset({"Bx": (("z", "y", "x"), fields[0])}, {"x": [0.0, 1, 2, 3, 4, 5, 6, 9], "y": np.arange(6.0)[::-1]})
    with pytest.raises(mm.SnapshotError) as told:
        mm.conventions.check(ds)
    for said in ("'x' is not uniform", "'y' is not ascending", "'z' has no coordinate", "boundary_x", "boundary_z"):
        assert said in str(told.value)
    for path, write in ((tmp_path / "a.nc", "to_netcdf"), (tmp_path / "a.zarr", "to_zarr")):
        getattr(ds, write)(path)
        with pytest.raises(mm.SnapshotError, match=r"not uniform.*boundary_x.*xr\.open_dataset"):
            mm.open_snapshot(path)


PACKED = [("gzip", gzip.compress), ("bzip2", "bz2"), ("xz", "lzma")]


@pytest.mark.parametrize(("kind", "pack"), PACKED)
@pytest.mark.parametrize("engine", [None, "athdf", "pegasus"])
def test_packed_files(kind, pack, engine, tmp_path, fields):
    path = athdf(tmp_path / "a.athdf", fields, (4, 3, 2))
    compress = pack if callable(pack) else __import__(pack).compress
    packed = tmp_path / "a.athdf.packed"
    packed.write_bytes(compress(path.read_bytes()))
    for call in (lambda: mm.open_snapshot(packed, engine=engine), lambda: mm.open_series([packed], engine=engine)):
        with pytest.raises(mm.SnapshotError, match=f"packed with {kind}.*unpack it first"):
            call()
    with pytest.raises(mm.SnapshotError, match=f"packed with {kind}"):
        mm.io.read_history(packed)


def test_archives(tmp_path, fields):
    nbf(tmp_path / "a.nbf", fields, (4, 3, 2))
    for kind, said in (("zip", "zip"), ("tar", "tar archive")):
        name = shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path, "a.nbf")
        with pytest.raises(mm.SnapshotError, match=said):
            mm.open_snapshot(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_one_may_not_read(tmp_path, fields):
    path = openpmd(tmp_path / "a.h5", {1: {"B": meshes(fields)}})
    path.chmod(0)
    with pytest.raises((mm.SnapshotError, PermissionError), match=r"(?i)permission"):
        mm.open_snapshot(path)


def test_engines_say_what_they_are():
    for engine in ENGINES:
        backend = backend_of(engine, {})
        assert backend.description and backend.url.startswith("https://"), engine


@pytest.mark.parametrize("kind", ["no time", "a link", "no group"])
def test_an_iteration_that_cannot_be_understood(kind, tmp_path, fields):
    path = openpmd(tmp_path / "a.h5", {n: {"B": meshes(fields)} for n in (0, 5, 10)})
    with h5py.File(path, "r+") as file:
        if kind == "no time":
            del file["data/5"].attrs["time"]
        else:
            del file["data/5"]
            file["data/5"] = h5py.SoftLink("/data/0") if kind == "a link" else np.zeros(3)
    ds = mm.open_snapshot(path)
    assert ds.time.values.tolist() == [0.0, 10.0] and "iteration 5 (" in ds.attrs["not_loaded"]
    with pytest.raises(mm.SnapshotError):
        mm.open_snapshot(path, iteration=5)


@pytest.mark.parametrize(("head", "said"), [
    (b'<?xml version="1.0" ?>\n<Xdmf Version="2.0">', "the .athdf or .h5 beside it"),
    (b'<?xml version="1.0"?>\n<VTKFile type="ImageData">', "VTK in XML"),
    (b"CDF\x05 and so on", "CDF-5"),
])  # fmt: skip
def test_files_that_lead_elsewhere(head, said, tmp_path):
    (tmp_path / "a.dat").write_bytes(head)
    with pytest.raises(mm.SnapshotError, match=said):
        mm.open_snapshot(tmp_path / "a.dat")


def test_checkpoints(tmp_path):
    (tmp_path / "chk").mkdir()
    (tmp_path / "chk/Header").write_text("Checkpoint version: 1\n1\n")
    with pytest.raises(mm.SnapshotError, match="checkpoint to restart from"):
        mm.open_snapshot(tmp_path / "chk")


def test_cutouts_with_something_odd(tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for c in "xyz":
            file[f"{c}coor"] = np.arange(4) * 0.1
        for name in ("Magneticfield_0001", "Velocity_0001", "Velocity_0002"):
            file[name] = rng.normal(size=(4, 4, 4, 3)).astype("f4")
        file["Velocitygradient_0001"] = np.zeros((4, 4, 4, 9), "f4")
    ds = mm.open_snapshot(tmp_path / "a.h5")
    assert {"Bx", "uz"} <= set(ds.data_vars) and "time" not in ds.dims
    assert ds.attrs["not_loaded"] == "Velocity_0002, Velocitygradient_0001"
    with pytest.raises(mm.SnapshotError, match="its own coordinates"):
        mm.open_snapshot(tmp_path / "a.h5", spacing=0.2)

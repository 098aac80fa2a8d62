"""PLUTO, Entity, Tristan-MP, VPIC, OSIRIS and Athena-C: real files against known numbers, and made ones."""

import pickle
import shutil

import code_builders as make
import dask
import h5py
import numpy as np
import pytest
import xarray as xr
from astropy.units import Unit

import mmfields as mm
from mmfields.io.engines import ENGINES, find_engine

B = ("Bx", "By", "Bz")
REAL = {
    "pluto/3d_single/data.0000.dbl": "pluto",
    "pluto/3d_single/data.0000.flt": "pluto",
    "pluto/3d_single/data.0000.vtk": "pluto",
    "pluto/3d_single/data.0000.dbl.h5": "pluto",
    "pluto/3d_single/data.0000.flt.h5": "pluto",
    "pluto/2d_single/data.0000.dbl": "pluto",
    "pluto/2d_single/data.0000.vtk": "pluto",
    "pluto/2d_single/data.0000.flt.h5": "pluto",
    "pluto/3d_multiple/vx2.0000.dbl": "pluto",
    "entity/3d_cpu/fields/fields.00000035.h5": "entity",
    "entity/2d_gpu/fields/fields.00000041.h5": "entity",
    "tristan_v1/flds.tot.001": "tristan",
    "tristan_v2/flds.tot.00040": "tristan",
    "osiris/e3-000005.h5": "osiris",
    "osiris/charge-electrons-000005.h5": "osiris",
    "vpic/global.vpc": "vpic",
    "vpic/hydro/T.2776/ehydro.2776.3": "vpic",
    "athena_c_bin/ath_sample.0001.bin": "athena_bin",
}


def arrays(count, shape=(4, 6, 10), seed=3):
    """Random arrays on three axes of different length."""
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def values(ds, names, **at):
    return [float(ds[name].isel(at)) for name in names]


# --- every engine ---


@pytest.mark.parametrize(("name", "engine"), REAL.items())
def test_files_are_found_lazily_and_by_their_own_engine(shared, no_compute, name, engine):
    path = shared / "data" / name
    assert find_engine(path) == engine
    ds = mm.open_snapshot(path)
    mm.conventions.check(ds)
    assert all(variable.chunks for variable in ds.data_vars.values())
    for other, (module, kind) in ENGINES.items():
        backend = getattr(__import__(module, fromlist=[kind]), kind)()
        assert other == engine or not backend.guess_can_open(str(path))
    for variable in [ds[name] for name in (*ds.data_vars, *ds.dims)]:
        Unit(variable.attrs["units"])
        assert variable.attrs["units"] != "1" or variable.attrs["normalization"]


@pytest.mark.parametrize("name", REAL)
def test_eager_chunked_and_sent_is_one(shared, name):
    path = shared / "data" / name
    whole = mm.open_snapshot(path, chunks=None).load()
    parts = mm.open_snapshot(path, chunks=None).chunk(dict.fromkeys(whole.sizes, 7))
    pickled = pickle.loads(pickle.dumps(mm.open_snapshot(path)))
    xr.testing.assert_identical(parts.compute(scheduler="threads"), whole)
    xr.testing.assert_identical(pickled.compute(), whole)
    some = {d: slice(None, None, -3) for d in whole.dims}
    xr.testing.assert_identical(mm.open_snapshot(path, chunks=None).isel(some).load(), whole.isel(some))


def test_by_the_name_of_the_engine_in_xarray(shared):
    from mmfields.io.pluto import PlutoBackend

    path = shared / "data/pluto/3d_single/data.0000.dbl"
    assert xr.open_dataset(path, engine=PlutoBackend).drop_attrs().identical(mm.open_snapshot(path).drop_attrs())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gkeyll/sample_gkeyll_uniform_q_5.h5", "Gkeyll"),
        ("openggcm/sample_xdmf.py_0.001200_p000000.h5", "OpenGGCM"),
        ("pencil/serial_hydro/proc0/var.dat", "vector potential"),
        ("pencil/hdf5_grid_only/var.h5", "no field"),
        ("batsrus/3d_raw.out", "flekspy"),
        ("batsrus/y0_ascii.out", "flekspy"),
        ("epoch/2d_laser/0001.sdf", "sdf-xarray"),
        ("pluto/3d_single/grid.out", "give the data file"),
        ("tristan_v2/mock/flds.tot.00070", "does not ascend"),
    ],
)
def test_what_is_not_read_says_where_to_go(shared, name, said):
    with pytest.raises(mm.SnapshotError, match=said):
        mm.open_snapshot(shared / "data" / name)


# --- PLUTO ---


@pytest.mark.parametrize("kind", ["dbl", "flt", "vtk", "dbl.h5", "flt.h5"])
def test_pluto_every_format_has_the_analytic_field(shared, kind):
    ds = mm.open_snapshot(shared / f"data/pluto/3d_single/data.0000.{kind}")
    assert dict(ds.sizes) == {"z": 12, "y": 10, "x": 8} and ds.attrs["time"] == 0
    assert ds.Bx.dtype == (np.float64 if kind.startswith("dbl") else np.float32)
    x, y, z = (ds[d] for d in "xyz")
    np.testing.assert_allclose([z[0], z[-1], y[0], x[-1]], [0.2617994, 6.021386, 0.3141593, 5.890486], rtol=1e-6)
    exact = {
        "Bx": 0.8 * (np.sin(y) + np.sin(z)),
        "By": 0.8 * (np.sin(x) - 2 * np.sin(2 * z)),
        "Bz": 0.8 * (np.sin(x) + np.sin(y)),
        "uy": -np.sin(z),
        "uz": np.sin(y),
        "rho": xr.full_like(z, 25 / 9),
        "prs": xr.full_like(z, 5 / 3),
    }
    for name, wanted in exact.items():
        found, wanted = xr.broadcast(ds[name], wanted)
        # components of B are means over the faces of cells
        np.testing.assert_allclose(found.transpose(*wanted.dims), wanted, atol=0.1 if name[0] == "B" else 1e-6)
    known = [-0.23431457505, 2.33910362601, -0.0608963739911]
    np.testing.assert_allclose(values(ds, B, z=4, y=7, x=2), known, rtol=1e-6)


def test_pluto_faces_and_files_for_each_variable(shared):
    folder = shared / "data/pluto"
    ds = mm.open_snapshot(folder / "3d_single/data.0000.dbl", staggered=True)
    each = mm.open_snapshot(folder / "3d_multiple/rho.0000.dbl", staggered=True)
    hdf5 = mm.open_snapshot(folder / "3d_single/data.0000.dbl.h5", staggered=True)
    assert ds.Bx_f.dims == ("z", "y", "x_f") and ds.Bz_f.shape == (13, 10, 8)
    np.testing.assert_allclose([ds.x_f[0], ds.x_f[-1]], [0, 2 * np.pi], rtol=1e-12)
    for d, name in zip("xyz", B, strict=True):
        faces = ds[f"{name}_f"]
        mean = (faces.isel({f"{d}_f": slice(1, None)}).data + faces.isel({f"{d}_f": slice(-1)}).data) / 2
        np.testing.assert_allclose(mean, ds[name], atol=1e-14)
    for other in (each, hdf5):
        xr.testing.assert_allclose(ds.drop_attrs(), other.drop_attrs(), rtol=0, atol=1e-14)


def test_pluto_two_dimensions(shared):
    ds = mm.open_snapshot(shared / "data/pluto/2d_single/data.0000.dbl", staggered=True)
    assert ds.Bx.dims == ("y", "x") and {"Bx_f", "By_f"} <= set(ds) and "Bz_f" not in ds
    np.testing.assert_allclose(values(ds, (*B, "uy"), y=5, x=3), [0.309016994, -0.707106781, 0, 0.382683432], rtol=1e-8)


@pytest.fixture
def edges():
    return [np.linspace(0, 5, 11), np.linspace(-3, 3, 7), np.linspace(1, 9, 5)]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("mode", ["single_file", "multiple_files"])
@pytest.mark.parametrize("kind", ["dbl", "flt"])
def test_pluto_bytes_that_are_made(tmp_path, edges, kind, mode, order):
    fields, names = arrays(4), ("rho", "Bx1", "Bx2", "Bx3")
    make.pluto_grid(tmp_path, edges)
    make.pluto_table(tmp_path, kind, ("old", "names"), number=12, time=9)  # a run that was started again
    make.pluto_table(tmp_path, kind, names, mode=mode, order=order, number=12)
    stored = fields.astype("<>"[order == "big"] + {"dbl": "f8", "flt": "f4"}[kind])
    for name, data in zip(names, stored, strict=True):
        (tmp_path / f"{name}.0012.{kind}").write_bytes(data.tobytes())
    (tmp_path / f"data.0012.{kind}").write_bytes(stored.tobytes())
    ds = mm.open_snapshot(
        tmp_path / f"{'data' if mode == 'single_file' else 'Bx2'}.0012.{kind}", boundary={"y": "open"}
    )
    for name, wanted in zip(("rho", *B), fields, strict=True):
        np.testing.assert_array_equal(ds[name], wanted)
    assert ds.attrs["time"] == 0.5 and ds.attrs["boundary_y"] == "open"
    assert mm.conventions.box(ds) == {"z": (1, 9), "y": (-3, 3), "x": (0, 5)}


def test_pluto_vtk_with_vectors_and_a_time(tmp_path, edges):
    fields = arrays(7)
    make.pluto_grid(tmp_path, edges)
    make.pluto_table(tmp_path, "vtk", ("rho",), number=3)
    vectors = {"3D_Velocity_Field": fields[1:4], "3D_Magnetic_Field": fields[4:]}
    path = make.pluto_vtk(tmp_path / "data.0003.vtk", edges, {"rho": fields[0]}, vectors=vectors, time=0.5)
    ds = mm.open_snapshot(path)
    for name, wanted in zip(("rho", "ux", "uy", "uz", *B), fields, strict=True):
        np.testing.assert_array_equal(ds[name], wanted)
    make.pluto_vtk(path, [edges[0] + 1, *edges[1:]], {"rho": fields[0]})
    with pytest.raises(mm.SnapshotError, match=r"along x are not those of grid\.out"):
        mm.open_snapshot(path)


def test_pluto_vtk_of_each_variable(tmp_path, edges):
    fields = arrays(2)
    make.pluto_grid(tmp_path, edges)
    make.pluto_table(tmp_path, "vtk", ("rho", "Bx1"), mode="multiple_files", number=3)
    for name, data in zip(("rho", "Bx1"), fields, strict=True):
        make.pluto_vtk(tmp_path / f"{name}.0003.vtk", edges, {name: data})
    ds = mm.open_snapshot(tmp_path / "rho.0003.vtk")
    np.testing.assert_array_equal(ds.Bx, fields[1])


def test_pluto_one_dimension(tmp_path):
    make.pluto_grid(tmp_path, [np.linspace(0, 2, 9), [0, 1], [0, 1]])
    make.pluto_table(tmp_path, "dbl", ("Bx1", "Bx2", "Bx3"))
    fields = arrays(3, (1, 1, 8))
    (tmp_path / "data.0000.dbl").write_bytes(fields.astype("<f8").tobytes())
    ds = mm.open_snapshot(tmp_path / "data.0000.dbl")
    assert ds.By.dims == ("x",)
    np.testing.assert_array_equal(ds.By, fields[1, 0, 0])


@pytest.mark.parametrize("geometry", ["SPHERICAL", "POLAR", "CYLINDRICAL"])
def test_pluto_other_geometries_are_refused(tmp_path, edges, geometry):
    make.pluto_grid(tmp_path, edges, geometry=geometry)
    (tmp_path / "data.0000.dbl").write_bytes(b"0" * 64)
    with pytest.raises(mm.SnapshotError, match=f"GEOMETRY in grid.out is {geometry}"):
        mm.open_snapshot(tmp_path / "data.0000.dbl")


def test_pluto_refuses_stretched_axes_and_what_does_not_fit(tmp_path, edges):
    path, data = tmp_path / "data.0000.dbl", arrays(1).astype("<f8").tobytes()
    path.write_bytes(data)
    with pytest.raises(mm.SnapshotError, match=r"grid\.out is not in its folder"):
        mm.open_snapshot(path)
    make.pluto_grid(tmp_path, edges)
    with pytest.raises(mm.SnapshotError, match=r"dbl\.out is not in its folder"):
        mm.open_snapshot(path)
    make.pluto_table(tmp_path, "dbl", ("rho",), number=1)
    with pytest.raises(mm.SnapshotError, match="says nothing of output 0"):
        mm.open_snapshot(path)
    make.pluto_table(tmp_path, "dbl", ("rho",))
    assert mm.open_snapshot(path).rho.shape == (4, 6, 10)
    path.write_bytes(data[:-8])
    with pytest.raises(mm.SnapshotError, match=r"1912 bytes, but .* make 1920"):
        mm.open_snapshot(path)
    make.pluto_grid(tmp_path, [edges[0], 2 ** np.arange(7.0), edges[2]])
    with pytest.raises(mm.SnapshotError, match="axis y is stretched"):
        mm.open_snapshot(path)


# --- Entity ---


@pytest.mark.parametrize(
    ("name", "at", "wanted", "time"),
    [
        ("3d_cpu/fields/fields.00000035.h5", (3, 2, 1), (2.4842564, 4.5874657, 0.26863901), 5.051814764738),
        ("3d_cpu/fields/fields.00000033.h5", (3, 2, 1), (2.4306061, 4.3557031, 0.14614967), 4.763139635324),
        ("2d_gpu/fields/fields.00000041.h5", (5, 3), (-2.8755458, 0.14661147, 2.7314614), 2.264951407909),
    ],
)
def test_entity_real_files(shared, name, at, wanted, time):
    ds = mm.open_snapshot(shared / "data/entity" / name)
    place = dict(zip("zyx"[-len(at) :], at, strict=True))
    np.testing.assert_allclose(values(ds, B, **place), np.array(wanted) * 1e-4, rtol=1e-6)
    assert ds.attrs["time"] == pytest.approx(time, rel=1e-12) and ds.attrs["boundary_source"] == "file"
    limits = {"z": (0.0, 12.5), "y": (-8.0, 8.0), "x": (-5.0, 5.0)} if "3d" in name else {"y": (-10, 10), "x": (-5, 5)}
    assert mm.conventions.box(ds) == limits
    if "35" in name:
        assert (float(ds.Bx.min()), float(ds.Bx.max())) == pytest.approx((-5.78887993e-4, 6.43852167e-4), rel=1e-6)
        assert float(ds.fN_1_2.mean()) == pytest.approx(0.5)


def test_entity_series(shared):
    ds = mm.open_series(shared / "data/entity/3d_cpu/fields/*.h5")
    np.testing.assert_allclose(ds.time, [4.763139635324, 5.051814764738])
    np.testing.assert_allclose(ds.By.isel(z=3, y=2, x=1), [4.3557031e-4, 4.5874657e-4], rtol=1e-6)


@pytest.mark.parametrize("right", [0, 1])
def test_entity_layouts_are_one_field(tmp_path, edges, right):
    fields = arrays(6)
    named = dict(zip(("fB1", "fB2", "fB3", "fE1", "fE2", "fE3"), fields, strict=True))
    path = make.entity(tmp_path / "fields.00000001.h5", {0: (1.5, named), 1: (2.5, named)}, edges, right=right)
    ds = mm.open_snapshot(path)
    assert ds.Bx.dims == ("time", *("xyz" if right else "zyx"))
    np.testing.assert_array_equal(ds.time, [1.5, 2.5])
    for name, wanted in zip((*B, "Ex", "Ey", "Ez"), fields, strict=True):
        np.testing.assert_array_equal(ds[name].isel(time=1).transpose("z", "y", "x"), wanted)
    assert mm.conventions.box(ds) == {d: (e[0], e[-1]) for d, e in zip("xyz", edges, strict=True)}


def test_entity_boundaries_and_what_is_refused(tmp_path, edges):
    steps, path = {0: (1.5, {"fB1": arrays(1)[0]})}, tmp_path / "fields.00000001.h5"
    kinds = np.array(["absorb", "periodic", "periodic", "periodic", "match", "match"], "S8")
    ds = mm.open_snapshot(make.entity(path, steps, edges, **{"grid.boundaries.fields": kinds}))
    assert [ds.attrs[f"boundary_{d}"] for d in "xyz"] == ["open", "periodic", "open"]
    for attrs, said in (
        ({"Coordinates": np.bytes_("sph")}, "Coordinates is 'sph'"),
        ({"grid.metric.metric": np.bytes_("kerr_schild")}, "kerr_schild"),
        ({"NGhosts": np.uint64(2)}, "ghost cells"),
    ):
        with pytest.raises(mm.SnapshotError, match=said):
            mm.open_snapshot(make.entity(path, steps, edges, **attrs))
    with pytest.raises(mm.SnapshotError, match="holds no field"):
        mm.open_snapshot(make.entity(path, {0: (1.5, {"pX1_1": np.zeros(4)})}, edges))
    with pytest.raises(mm.SnapshotError, match="stretched"):
        mm.open_snapshot(make.entity(path, steps, [edges[0], np.geomspace(1, 9, 7), edges[2]]))


# --- Tristan-MP ---


def test_tristan_real_files(shared):
    one = mm.open_snapshot(shared / "data/tristan_v1/flds.tot.001")
    names = (*B, "Ex", "dens")
    known = [0.048036553, 0.052474655, 0.068271674, -0.012598462, 15.932988]
    np.testing.assert_allclose(values(one, names, y=5, x=100), known, rtol=1e-6)
    assert mm.conventions.spacing(one) == pytest.approx({"y": 0.2, "x": 0.2})
    assert one.attrs["time"] == pytest.approx(44.9999962) and one.x.attrs["normalization"] == "c / omega_p"
    assert float(one.Bx.mean(dtype=float)) == pytest.approx(0.060795033, rel=1e-6)
    two = mm.open_snapshot(shared / "data/tristan_v2/flds.tot.00040").sel(x=28, y=12)
    np.testing.assert_allclose(values(two, ("Bz", "Ex", "Ey")), [0.00337125, 0.0030377677, -0.0077057304], rtol=1e-6)


def test_tristan_in_three_dimensions(tmp_path):
    fields = arrays(6)
    named = dict(zip(("bx", "by", "bz", "ex", "ey", "ez"), fields, strict=True))
    one = {"c_omp": 5.0, "istep": 2, "time": 12.0, "mx": np.arange(3)}
    two = {"plasma:c_omp": 5.0, "output:istep": 2, "algorithm:c": 0.5, "timestep": 120, "grid:boundary_y": 0}
    paths = [
        make.tristan(tmp_path / "flds.tot.007", named, parameters=one),
        make.tristan(tmp_path / "flds.tot.00012", named, step=2, parameters=two, stem="params"),
    ]
    for path in paths:
        ds = mm.open_snapshot(path)
        for name, wanted in zip((*B, "Ex", "Ey", "Ez"), fields, strict=True):
            np.testing.assert_array_equal(ds[name].transpose("z", "y", "x"), wanted)
        assert mm.conventions.spacing(ds) == pytest.approx({"z": 0.4, "y": 0.4, "x": 0.4})
        assert ds.attrs["time"] == 12
    assert (ds.attrs["boundary_x"], ds.attrs["boundary_y"]) == ("periodic", "open")
    assert float(ds.x[0]) == 0


def test_tristan_without_parameters_counts_in_cells(tmp_path):
    named = dict.fromkeys(("bx", "by", "bz", "ex", "ey", "ez"), arrays(1)[0])
    ds = mm.open_snapshot(make.tristan(tmp_path / "flds.tot.007", named))
    assert ds.x.attrs["normalization"] == "cells" and ds.attrs["time_unit"] == "output number"
    assert mm.conventions.box(ds)["x"] == (0, 10)
    path = make.tristan(tmp_path / "flds.tot.008", named | {"bz": arrays(1, (4, 6, 9))[0]})
    with pytest.raises(mm.SnapshotError, match="are not one"):
        mm.open_snapshot(path)


# --- VPIC ---


def test_vpic_components_as_stored_obey_maxwell(shared):
    ds = mm.open_snapshot(shared / "data/vpic/global.vpc", staggered=True)
    assert ds.attrs["time"] == pytest.approx(999.36) and mm.conventions.box(ds) == {"z": (-32, 32), "x": (0, 128)}
    stored = [float(ds[n].isel(at)) for n, at in (("Bx_f", {"z": 5, "x_f": 20}), ("Bz_f", {"z_f": 5, "x": 20}))]
    np.testing.assert_allclose(stored, [-0.49453065, -0.010243868], rtol=1e-6)
    assert float(ds.By.isel(z=5, x=20)) == pytest.approx(0.0013145044, rel=1e-6)
    assert float(ds.Ex_f.isel(z_f=5, x=20)) == pytest.approx(-7.0854183e-4, rel=1e-6)
    charge = ds.charge_density_e_f
    assert (float(charge.min()), float(charge.max())) == pytest.approx((-1.28325248, -0.0659255609), rel=1e-6)
    bx, bz = (ds[f"{n}_f"].values for n in ("Bx", "Bz"))
    divergence = (np.roll(bx, -1, 1) - bx) / 2 + (np.roll(bz, -1, 0) - bz) / 2
    inside = np.s_[:-1, :-1]
    np.testing.assert_allclose(divergence[inside], ds.div_b_err.values[inside], atol=2e-6)


def test_vpic_components_are_averaged_to_the_centres(shared):
    ds = mm.open_snapshot(shared / "data/vpic/fields/T.2776/fields.2776.1", staggered=True, boundary={"z": "open"})
    assert ds.sizes["z"] == 31 and ds.Ex_f.sizes["z_f"] == 32
    bx, ey = ds.Bx_f.values, ds.Ey_f.values
    np.testing.assert_allclose(ds.Bx, (bx + np.roll(bx, -1, 1)) / 2, rtol=1e-5, atol=1e-9)
    across = (ey[1:] + ey[:-1]) / 2
    np.testing.assert_allclose(ds.Ey, (across + np.roll(across, -1, 1)) / 2, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("ranks", [(1, 1, 1), (2, 3, 1), (5, 2, 4)])
def test_vpic_ranks_along_every_axis(tmp_path, ranks):
    fields, moments = arrays(24), arrays(14, seed=4)
    path = make.vpic(tmp_path, fields, {"ehydro": moments}, ranks)
    ds = mm.open_snapshot(path, staggered=True)
    assert mm.conventions.box(ds) == {"z": (5, 21), "y": (0, 12), "x": (-3, 7)} and ds.attrs["time"] == 10
    assert ds.Bx.encoding["preferred_chunks"]["x"] == 10 // ranks[0]
    for i, d in enumerate("xyz"):
        np.testing.assert_array_equal(ds[f"B{d}_f"], fields[4 + i])
        wanted = (fields[4 + i] + np.roll(fields[4 + i], -1, 2 - i)) / 2
        np.testing.assert_allclose(ds[f"B{d}"], wanted, atol=1e-6)
        wanted = fields[i]
        for axis in {0, 1, 2} - {2 - i}:
            wanted = (wanted + np.roll(wanted, -1, axis)) / 2
        np.testing.assert_allclose(ds[f"E{d}"], wanted, atol=1e-6)
    np.testing.assert_array_equal(ds.div_b_err, fields[7])
    np.testing.assert_array_equal(ds.txy_e_f, moments[13])
    assert all(np.isfinite(variable).all() for variable in ds.data_vars.values())  # ghosts are NaN


def test_vpic_steps_and_missing_ranks(tmp_path):
    fields = arrays(24)
    make.vpic(tmp_path, fields, {}, (2, 1, 1))
    path = make.vpic(tmp_path, fields + 1, {}, (2, 1, 1), step=80)
    with pytest.raises(mm.SnapshotError, match=r"steps \[40, 80\].*step="):
        mm.open_snapshot(path)
    np.testing.assert_array_equal(mm.open_snapshot(path, step=80).div_b_err, fields[7] + 1)
    series = mm.open_series(f"{tmp_path}/fields/T.*/fields.*.0")
    np.testing.assert_array_equal(series.time, [10, 20])
    np.testing.assert_array_equal(series.div_b_err[0], fields[7])
    (tmp_path / "fields/T.40/fields.40.1").unlink()
    with pytest.raises(mm.SnapshotError, match="written by 2 ranks"):
        mm.open_snapshot(path, step=40)


def test_vpic_without_the_table_are_the_fields_alone(tmp_path):
    make.vpic(tmp_path, arrays(24), {"ehydro": arrays(14)}, (2, 1, 1), table=False)
    ds = mm.open_snapshot(tmp_path / "fields/T.40/fields.40.1")
    assert "Bz" in ds and not [name for name in ds if name.endswith("_e")]
    with pytest.raises(mm.SnapshotError, match="dump type 2"):
        mm.open_snapshot(tmp_path / "hydro/T.40/ehydro.40.0")


def test_vpic_pieces_of_two_grids_and_cut_files(tmp_path):
    path = make.vpic(tmp_path, arrays(24), {}, (2, 1, 1))
    one = tmp_path / "fields/T.40/fields.40.1"
    raw = bytearray(one.read_bytes())
    one.write_bytes(raw[:-4])
    with pytest.raises(mm.SnapshotError, match="cut, or not written whole"):
        mm.open_snapshot(path)
    raw[63:67] = np.float32(0.4).tobytes()  # x0
    one.write_bytes(raw)
    with pytest.raises(mm.SnapshotError, match="of several grids"):
        mm.open_snapshot(path)


# --- OSIRIS ---


def test_osiris_real_files(shared):
    ds = mm.open_snapshot(shared / "data/osiris/e3-000005.h5")
    assert list(ds) == ["Ez"] and ds.attrs["time"] == pytest.approx(0.99) and ds.attrs["boundary_x"] == "periodic"
    np.testing.assert_allclose(ds.Ez[[300, 7]], [8.934505e-05, 4.3597825e-07], rtol=1e-6)
    assert float(ds.Ez.mean(dtype=float)) == pytest.approx(2.90262817e-5, rel=1e-6)
    assert float(ds.x[0]) == 0 and mm.conventions.spacing(ds) == pytest.approx({"x": 0.01})
    assert ds.Ez.chunks == ((125,) * 4,) and ds.x.attrs["normalization"] == r"c / \omega_p"
    charge = mm.open_snapshot(shared / "data/osiris/charge-electrons-000005.h5").charge
    assert float(charge[7]) == pytest.approx(-1.0020691)


@pytest.mark.parametrize("folders", [True, False])
def test_osiris_components_are_gathered_with_axes_in_reverse(tmp_path, folders):
    fields, limits = arrays(6), [(0, 5), (-3, 3), (1, 9)]
    for name, data in zip(("e1", "e2", "e3", "b1", "b2", "b3"), fields, strict=True):
        folder = tmp_path / "MS" / "FLD" / name if folders else tmp_path
        path = make.osiris(folder / f"{name}-000012.h5", name, data, limits=limits, periodic=[1, 0, 1])
    make.osiris(path.with_name("b3-000013.h5"), "b3", data, limits=limits, time=9)
    ds = mm.open_snapshot(path)
    for name, wanted in zip(("Ex", "Ey", "Ez", *B), fields, strict=True):
        assert ds[name].dims == ("z", "y", "x")
        np.testing.assert_array_equal(ds[name], wanted)
    np.testing.assert_allclose([ds.x[0], ds.y[1], ds.z[-1]], [0, -2, 7])
    assert [ds.attrs[f"boundary_{d}"] for d in "xyz"] == ["periodic", "open", "periodic"]


def test_osiris_shifted_components_are_averaged(tmp_path):
    fields, shifts = arrays(3), {"b1": [0, 0.5, 0.5], "b2": [0.5, 0, 0.5], "b3": [0.5, 0.5, 0]}
    for (name, offset), data in zip(shifts.items(), fields, strict=True):
        path = make.osiris(tmp_path / f"{name}-1.h5", name, data, limits=[(0, 5), (-3, 3), (1, 9)], offset=offset)
    ds = mm.open_snapshot(path, staggered=True)
    assert mm.conventions.box(ds) == {"z": (1, 9), "y": (-3, 3), "x": (0, 5)}
    for i, name in enumerate(B):
        np.testing.assert_allclose(ds[name], (fields[i] + np.roll(fields[i], -1, 2 - i)) / 2, atol=1e-6)
        np.testing.assert_array_equal(ds[f"{name}_f"], fields[i])


def test_osiris_refuses_particles_and_other_grids(tmp_path):
    data, limits = arrays(1)[0], [(0, 5), (-3, 3), (1, 9)]
    path = make.osiris(tmp_path / "RAW-1.h5", "x1", data, limits=limits, kind="particles")
    with pytest.raises(mm.SnapshotError, match="TYPE is 'particles'"):
        mm.open_snapshot(path)
    path = make.osiris(tmp_path / "b1-1.h5", "b1", data, limits=limits)
    make.osiris(tmp_path / "b2-1.h5", "b2", data, limits=[(0, 6), *limits[1:]])
    with pytest.raises(mm.SnapshotError, match="another grid or step"):
        mm.open_snapshot(path)


# --- Athena-C dumps ---


def test_athena_bin_real_files_and_their_table(shared):
    ds = mm.open_snapshot(shared / "data/athena_c_bin/ath_sample.0001.bin")
    assert ds.attrs["time"] == pytest.approx(0.15595747) and ds.attrs["gamma"] == pytest.approx(5 / 3)
    np.testing.assert_allclose(values(ds, B[:2], y=3, x=7), [0.40884248749, 0.91355143194], rtol=1e-10)
    np.testing.assert_allclose([ds.x[0], ds.x[-1], ds.y[-1]], [0.01746928, 2.21859872, 1.10057053], rtol=1e-7)
    table = np.loadtxt(shared / "data/athena_c_bin/ath_sample.0001.tab").reshape(32, 64, -1)
    for name, column in zip(("rho", "mom1", "mom2", "mom3", "energy", *B), range(4, 12), strict=True):
        np.testing.assert_allclose(ds[name], table[..., column], atol=1e-8)
    np.testing.assert_allclose(ds.uy, ds.mom2 / ds.rho)
    series = mm.open_series(shared / "data/athena_c_bin/*.bin")
    assert series.sizes["time"] == 2


@pytest.mark.parametrize("real", ["<f4", "<f8"])
@pytest.mark.parametrize("system", ["gas", "isothermal", "mhd"])
def test_athena_bin_equations(tmp_path, real, system):
    names = {
        "gas": ("rho", "mom1", "mom2", "mom3", "energy"),
        "isothermal": ("rho", "mom1", "mom2", "mom3", *B),
        "mhd": ("rho", "mom1", "mom2", "mom3", "energy", *B),
    }[system]
    fields = arrays(len(names) + 2)
    gamma = 1 if system == "isothermal" else 1.4
    ds = mm.open_snapshot(
        make.athena_bin(tmp_path / "a.0003.bin", fields, real=real, scalars=1, gravity=1, gamma=gamma)
    )
    for name, wanted in zip((*names, "s0", "Phi"), fields, strict=True):
        np.testing.assert_array_equal(ds[name], wanted)
    assert ds.Phi.dtype == np.dtype(real)
    assert mm.conventions.box(ds) == {"z": (0, 8), "y": (0, 6), "x": (0, 5)}
    assert ds.attrs.get("sound_speed", 0) == pytest.approx(0.3 if gamma == 1 else 0)


def test_athena_bin_primitive_variables_are_said_by_the_caller(tmp_path):
    fields = arrays(8)
    ds = mm.open_snapshot(make.athena_bin(tmp_path / "a.0003.bin", fields), variables="prim")
    for name, wanted in zip(("rho", "ux", "uy", "uz", "pressure", *B), fields, strict=True):
        np.testing.assert_array_equal(ds[name], wanted)
    with pytest.raises(mm.SnapshotError, match="'cons' or 'prim'"):
        mm.open_snapshot(tmp_path / "a.0003.bin", variables="primitive")


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("asked", [0, 3])
def test_athena_bin_pieces_of_all_ranks_are_joined(tmp_path, asked, flat):
    fields = arrays(8)
    for rank, (j, i) in enumerate(np.ndindex(2, 2)):
        part = fields[:, :, 3 * j : 3 * j + 3, 5 * i : 5 * i + 5]
        name = f"X{f'-id{rank}' if rank else ''}.0004.bin"
        make.athena_bin(tmp_path / ("" if flat else f"id{rank}") / name, part, corner=(5 * i, 3 * j, 0))
    path = tmp_path / ("" if flat else f"id{asked}") / f"X{f'-id{asked}' if asked else ''}.0004.bin"
    ds = mm.open_snapshot(path)
    for name, wanted in zip(("rho", "mom1", "mom2", "mom3", "energy", *B), fields, strict=True):
        np.testing.assert_array_equal(ds[name], wanted)
    assert ds.Bx.chunks == ((4,), (3, 3), (5, 5))
    assert mm.open_series(str(tmp_path / ("*.bin" if flat else "id*/*.bin"))).sizes["time"] == 1
    (tmp_path / ("" if flat else "id2") / "X-id2.0004.bin").unlink()
    with pytest.raises(mm.SnapshotError, match="one of 4 ranks"):
        mm.open_snapshot(path)


def test_athena_bin_refuses_patches_and_other_coordinates(tmp_path):
    with pytest.raises(mm.SnapshotError, match="cylindrical"):
        mm.open_snapshot(make.athena_bin(tmp_path / "a.0001.bin", arrays(8), system=-2))
    with pytest.raises(mm.SnapshotError, match="refined patch"):
        mm.open_snapshot(make.athena_bin(tmp_path / "lev1/X-lev1.0001.bin", arrays(8)))
    path = make.athena_bin(tmp_path / "b.0001.bin", arrays(8))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(mm.SnapshotError, match="neither precision"):
        mm.open_snapshot(path, engine="athena_bin")


# --- damage ---


def test_a_run_of_entity_that_was_stopped(shared, tmp_path):
    folder = shutil.copytree(shared / "data/entity/3d_cpu/fields", tmp_path / "fields")
    raw = (folder / "fields.00000035.h5").read_bytes()
    for size in (27, 89600):
        (folder / "fields.00000036.h5").write_bytes(raw[:size])
        with pytest.raises(mm.SnapshotError, match=r"fields\.00000036\.h5"):
            mm.open_snapshot(folder / "fields.00000036.h5")
        with pytest.warns(mm.MmfieldsWarning, match=r"left out: .*fields\.00000036\.h5"):
            series = mm.open_series(folder / "*.h5")
        assert series.sizes["time"] == 2 and "fields.00000036.h5" in series.attrs["not_loaded"]
    shutil.copy(folder / "fields.00000036.h5", folder / "fields.00000034.h5")
    with pytest.raises(mm.SnapshotError, match=r"fields\.00000034\.h5"):
        mm.open_series(folder / "*.h5")


def test_values_are_read_when_they_are_needed(shared, tmp_path):
    shutil.copytree(shared / "data/pluto/3d_single", tmp_path / "run")
    path = tmp_path / "run/data.0000.dbl"
    path.chmod(0o644)
    ds = mm.open_snapshot(path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(mm.SnapshotError, match="truncated"), dask.config.set(scheduler="sync"):
        ds.load()


def test_links_in_hdf5_are_not_followed(tmp_path, edges):
    path = make.entity(tmp_path / "fields.00000001.h5", {0: (1.5, {"fB1": arrays(1)[0]})}, edges)
    with h5py.File(path, "r+") as file:
        file["Step0/fB2"] = h5py.ExternalLink("other.h5", "/fB2")
    with pytest.raises(mm.SnapshotError, match="links are not followed"):
        mm.open_snapshot(path)

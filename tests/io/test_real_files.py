"""The values that formats.md and MANIFEST.md state for the real files, from an independent reader."""

import json
import shutil

import dask
import h5py
import numpy as np
import pytest
import xarray as xr

import mmfields as mm

FILES = {
    "pegasus": "pegasus/mock_example.nbf",
    "athdf": "athena_athdf/uni/Blast.out2.00002.athdf",
    "athdf-refined": "athena_athdf/smr/Blast.out2.00002.athdf",
    "athdf-faces": "athena_mhd/TurbMHD.out3.00010.athdf",
    "athena_vtk": "athena_vtk/chem_cgk_input.vtk",
    "athena_vtk-blocks": "athena_athdf/uni/vtk/Blast.block5.out4.00002.vtk",
    "athena_vtk-1d": "athena_vtk/sr_mhd_shock1_hlld.vtk",
    "athenak": "athenak_bin/CPAW.mhd_w_bcc.00000.bin",
    "openpmd": "warpx_mirror/warpx_mirror_fields_001064.h5",
    "openpmd-2d": "openpmd/warp-2d-data00000255.h5",
    "openpmd-femm": "openpmd/example-femm-3d.h5",
    "jhtdb": "jhtdb/isotropic1024coarse.h5",
    "amrex": "warpx_mirror/plt001064",
}


@pytest.fixture(scope="session")
def data(shared):
    return shared / "data"


def approx(value, places=7):
    return pytest.approx(value, rel=10.0**-places, abs=1e-12)


@pytest.mark.parametrize("name", FILES)
def test_opening_computes_nothing_and_eager_equals_chunked(data, name, no_compute):
    path = data / FILES[name]
    lazy = mm.open_snapshot(path)
    assert all(
        v.chunks is not None for v in lazy.variables.values() if (v.dims and v.dims[0] not in lazy.coords) or v.ndim > 1
    )
    mm.conventions.boundaries(lazy)
    eager = mm.open_snapshot(path, chunks=None).load()
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_identical(lazy.compute(), eager)
        other = mm.open_snapshot(path).chunk({d: 7 for d in lazy.dims}).compute()
    xr.testing.assert_identical(other, eager)


@pytest.mark.parametrize("name", FILES)
def test_indexing_equals_the_eager_array(data, name):
    lazy = mm.open_snapshot(data / FILES[name], chunks=None)
    eager = lazy.copy(deep=True).load()
    lazy = mm.open_snapshot(data / FILES[name], chunks=None)
    variable = "Bx" if "Bx" in lazy else next(iter(lazy.data_vars))
    for dim, n in lazy[variable].sizes.items():
        for item in (
            0,
            n // 2,
            -1,
            slice(1, n, 3),
            slice(None, None, -2),
            slice(n, 2, -1),
            [n - 1, 0, n // 2],
            slice(0, 0),
        ):
            np.testing.assert_array_equal(lazy[variable].isel({dim: item}), eager[variable].isel({dim: item}))


def test_engine_names_work_in_xarray(data):
    for engine, file in (("athdf", "athdf"), ("pegasus", "pegasus"), ("athenak", "athenak"), ("amrex", "amrex")):
        ds = xr.open_dataset(data / FILES[file], engine=engine, chunks={})
        xr.testing.assert_identical(ds.compute(), mm.open_snapshot(data / FILES[file]).compute())


def test_pegasus_mock(data):
    ds = mm.open_snapshot(data / "pegasus/mock_example.nbf")
    assert dict(ds.sizes) == {"z": 16, "y": 16, "x": 16}
    assert ds.Bx.chunks == ((8, 8),) * 3
    assert ds.attrs["time"] == approx(np.random.default_rng(42).random(), 14)
    assert ds.attrs["frame"] == "unknown"
    assert len([v for v in ds.data_vars if not v.startswith("u")]) == 10
    bx = ds.Bx.values
    assert bx.min() == approx(1.3113e-05, 4)
    assert bx.max() == approx(0.9998003)
    assert bx.astype(float).mean() == approx(0.49096835)
    assert ds.Bx.attrs["code_name"] == "Bcc1"
    np.testing.assert_allclose(ds.ux, ds.mom1 / ds.rho)


def test_pegasus_mock_has_descending_limits_which_analysis_refuses(data):
    ds = mm.open_snapshot(data / "pegasus/mock_example.nbf")
    with pytest.raises(mm.SnapshotError, match="not ascending"):
        mm.fourier.filter(ds, mm.fourier.band(k_par=(0, 1)))


def test_pegasus_history(data):
    hst = mm.io.read_history(data / "pegasus/example.hst")
    assert hst.sizes["time"] == 446
    assert len(hst.data_vars) + 1 == 87
    assert float(hst.time[0]) == 0
    assert float(hst.time[-1]) == approx(445.009, 5)
    last = hst.isel(time=-1)
    assert float(last.mass) == approx(1)
    assert [float(last[f"{i}-ME"]) for i in (1, 2, 3)] == pytest.approx([0.000104, 0.003016, 0.003223], abs=6e-7)
    assert (float(last.vprlsq), float(last.vprpsq)) == pytest.approx((0.151704, 0.312937), abs=6e-7)


def test_athena_histories(data):
    mri = mm.io.read_history(data / "athena_vtk/mhd_mri_2d.hst")
    assert (mri.sizes["time"], len(mri.data_vars) + 1) == (801, 13)
    assert float(mri.time[-1]) == approx(50265.5, 5)
    last = mri.isel(time=-1)
    assert float(last.mass) == approx(0.999955, 5)
    assert [float(last[f"{i}-ME"]) for i in (1, 2, 3)] == approx([4.27301e-12, 1.4747e-11, 2.52455e-10], 5)
    blast = mm.io.read_history(data / "athena_athdf/uni/Blast.hst")
    assert float(blast.mass[0]) == approx(3.0)
    last = blast.isel(time=-1)
    assert [float(last[f"{i}-ME"]) for i in (1, 2, 3)] == approx([1.15007, 0.385996, 0.00401566], 5)
    assert np.ptp(blast["tot-E"].values) < 1e-5
    assert float(last["tot-E"]) == approx(2.20245, 5)


def test_history_of_a_run_that_was_appended_to(data):
    hst = mm.io.read_history(data / "athenak_bin/CPAW.mhd.hst")
    assert (np.diff(hst.time) > 0).all()
    assert float(hst.mass[0]) == 2.0


def test_athdf_uniform(data):
    folder = data / "athena_athdf/uni"
    start = mm.open_snapshot(folder / "Blast.out2.00000.athdf")
    assert dict(start.sizes) == {"z": 20, "y": 30, "x": 40}
    assert start.attrs["time"] == 0
    press = start.press.values.astype(float)
    assert (press.min(), press.max(), press.mean()) == (approx(0.1), approx(10.0), approx(0.1561, 3))
    for name, mean in (("Bx", 0.8660254), ("By", 0.5), ("Bz", 0.0)):
        assert float(start[name].astype(float).mean()) == approx(mean)
    ds = mm.open_snapshot(folder / "Blast.out2.00002.athdf")
    assert ds.attrs["time"] == pytest.approx(0.2)
    assert ds.attrs["cycle"] == 48
    assert (float(ds.rho.min()), float(ds.rho.max())) == (approx(0.1490435, 6), approx(1.624247, 6))
    assert (float(ds.Bx.min()), float(ds.Bx.max())) == (approx(0.2879008, 6), approx(1.42272, 6))
    assert float(ds.Bx.astype(float).mean()) == approx(0.8660254)
    assert (float(ds.By.min()), float(ds.By.max())) == (approx(0.1686635, 6), approx(0.8302356, 6))
    assert (float(ds.Bz.min()), float(ds.Bz.max())) == (approx(-0.377072, 5), approx(0.377072, 5))
    assert (float(ds.x[0]), float(ds.y[0]), float(ds.z[0])) == approx((-0.975, -0.725, -0.475))
    assert ds.Bx.chunks == ((10, 10), (15, 15), (20, 20))


def test_athdf_faces(data):
    folder = data / "athena_athdf/uni"
    ds = mm.open_snapshot(folder / "Blast.out5.00001.athdf", staggered=True).compute()
    cells = mm.open_snapshot(folder / "Blast.out2.00002.athdf").compute()
    divergence = 0
    for c in "xyz":
        assert ds[f"B{c}"].dtype == np.float64
        assert float(np.abs(ds[f"B{c}"] - cells[f"B{c}"]).max()) < 6.5e-8
        faces = ds[f"B{c}_f"]
        assert faces.dims == tuple(f"{d}_f" if d == c else d for d in "zyx")
        axis = "zyx".index(c)
        divergence = divergence + (np.roll(faces.values, -1, axis) - faces.values) / 0.05
    assert np.abs(divergence).max() == approx(5.8e-14, 1)


def test_athdf_quantized_without_mesh(data):
    path = data / "athena_athdf/uni/Blast.out6.00001.athdf"
    with pytest.raises(mm.SnapshotError, match=r"mesh=\{'x'"):
        mm.open_snapshot(path)
    mesh = {"x": (-1, 1), "y": (-0.75, 0.75), "z": (-0.5, 0.5)}
    with pytest.raises(mm.SnapshotError, match="quantization"):
        mm.open_snapshot(path, mesh=mesh)
    ds = mm.open_snapshot(path, mesh=mesh, quantization=(-3, 3)).compute()
    full = mm.open_snapshot(data / "athena_athdf/uni/Blast.out2.00002.athdf").compute()
    for c in "xyz":
        assert float(np.abs(ds[f"B{c}"] - full[f"B{c}"]).max()) < 9.16e-5
    xr.testing.assert_equal(ds.x, full.x)


def test_athdf_refined(data):
    path = data / "athena_athdf/smr/Blast.out2.00002.athdf"
    fine = mm.open_snapshot(path)
    assert dict(fine.sizes) == {"z": 32, "y": 48, "x": 64}
    assert (fine.attrs["cycle"], fine.attrs["finest_level"]) == (81, 1)
    assert (float(fine.rho.min()), float(fine.rho.max())) == (approx(0.1168, 3), approx(1.786388, 6))
    assert float(fine.rho.astype(float).mean()) == approx(1.0, 6)
    assert (float(fine.Bx.min()), float(fine.Bx.max())) == (approx(0.2591443, 6), approx(1.500046, 6))
    assert (float(fine.By.min()), float(fine.By.max())) == (approx(0.1246383, 6), approx(0.8839716, 6))
    assert float(fine.By.astype(float).mean()) == approx(0.5000001)
    root = mm.open_snapshot(path, level=0)
    assert dict(root.sizes) == {"z": 16, "y": 24, "x": 32}
    assert float(root.Bx.astype(float).mean()) == approx(0.866025396)
    assert float(root.By.astype(float).mean()) == approx(0.500000103)
    finer = mm.open_snapshot(path, level=2)
    for name in ("rho", "Bx", "press"):
        means = [float(d[name].astype(float).mean()) for d in (root, fine, finer)]
        np.testing.assert_allclose(means, means[0], rtol=2e-7)
    np.testing.assert_array_equal(finer.rho[::2, ::2, ::2].values, fine.rho.values)


def test_athdf_refined_conserved(data):
    ds = mm.open_snapshot(data / "athena_athdf/smr/Blast.out3.00001.athdf")
    assert {"rho", "Etot", "mom1", "Bx", "ux"} <= set(ds.data_vars)
    assert ds.rho.dtype == np.float64
    prim = mm.open_snapshot(data / "athena_athdf/smr/Blast.out2.00002.athdf")
    for name in ("rho", "ux", "Bz"):
        np.testing.assert_allclose(ds[name].values, prim[name].values, rtol=1e-5, atol=1e-6)


def test_athdf_refined_faces(data):
    faces = mm.open_snapshot(data / "athena_athdf/smr/Blast.out5.00001.athdf").compute()
    cells = mm.open_snapshot(data / "athena_athdf/smr/Blast.out2.00002.athdf").compute()
    for c in "xyz":
        difference = np.abs(faces[f"B{c}"] - cells[f"B{c}"])
        # only where a fine block ends at a coarser one is the upper face known no better than the coarse one
        assert float(difference.quantile(0.98)) < 6.5e-8
        assert float(difference.max()) < 0.012
        assert float(faces[f"B{c}"].mean()) == approx(float(cells[f"B{c}"].astype(float).mean()), 6)


def test_athdf_native_attributes_are_read_whatever_their_byte_order(data):
    with h5py.File(data / "athena_athdf/uni/Blast.out2.00002.athdf") as file:
        assert file["LogicalLocations"].dtype == ">i8"


def test_athena_mhd(data):
    measured = json.loads((data / "athena_mhd/measured_00010.json").read_text())
    ds = mm.open_snapshot(data / "athena_mhd/TurbMHD.out2.00010.athdf").compute()
    rms = np.sqrt(sum((ds[f"B{c}"].astype(float) ** 2).mean() for c in "xyz"))
    assert float(rms) == approx(measured["B_rms"])
    assert float(ds.rho.max()) == approx(measured["rho_max"])
    speed = np.sqrt(sum((ds[f"u{c}"].astype(float) ** 2).mean() for c in "xyz"))
    assert float(speed) == approx(measured["u_rms"])
    faces = mm.open_snapshot(data / "athena_mhd/TurbMHD.out3.00010.athdf", staggered=True).compute()
    wide = {c: faces[f"B{c}_f"].values.astype(float) for c in "xyz"}
    means = {c: (wide[c] + np.roll(wide[c], -1, "zyx".index(c))) / 2 for c in "xyz"}
    worst = max(np.abs(means[c] - ds[f"B{c}"].values).max() for c in "xyz")
    assert worst == approx(measured["face_avg_minus_Bcc_max"], 6)
    for c in "xyz":
        np.testing.assert_allclose(faces[f"B{c}"].values, means[c], atol=6e-8)
    divergence = sum(
        np.roll(faces[f"B{c}_f"].values.astype(float), -1, "zyx".index(c)) - faces[f"B{c}_f"].values for c in "xyz"
    )
    assert np.abs(divergence).max() / float(rms) == approx(measured["divB_face_max*dx/B_rms"], 2)


def test_vtk_athena_c(data):
    ds = mm.open_snapshot(data / "athena_vtk/chem_cgk_input.vtk")
    assert dict(ds.sizes) == {"z": 32, "y": 16, "x": 16}
    assert ds.attrs["time"] == 600.0015
    assert [float(ds[d][0]) for d in "xyz"] == [-496.0, -496.0, 16.0]
    assert float(ds.x[1] - ds.x[0]) == 32.0
    stated = {
        "Bx": (-5.039919, 4.007938, -0.08865493),
        "By": (-0.09902986, 11.21563, 1.050306),
        "Bz": (-5.705884, 4.070552, -0.03869376),
    }
    for name, (low, high, mean) in stated.items():
        assert (float(ds[name].min()), float(ds[name].max())) == (approx(low, 6), approx(high, 6))
        assert float(ds[name].astype(float).mean()) == approx(mean, 6)
    one = ds.isel(z=1, y=2, x=3)
    assert [float(one[f"B{c}"]) for c in "xyz"] == approx([-2.793861, 8.326807, 1.953459], 6)
    assert float(ds.rho.astype(float).mean()) == approx(0.1401358, 6)


def test_vtk_central_divergence_of_chem(data):
    ds = mm.open_snapshot(data / "athena_vtk/chem_cgk_input.vtk").astype(float).compute()
    inner = {d: slice(1, -1) for d in "zyx"}
    slope = sum((ds[f"B{d}"].shift({d: -1}) - ds[f"B{d}"].shift({d: 1})) / 2 for d in "xyz").isel(inner)
    strength = np.sqrt(sum(ds[f"B{d}"] ** 2 for d in "xyz").mean())
    assert float(np.sqrt((slope**2).mean()) / strength) == pytest.approx(0.038, abs=0.001)


def test_vtk_one_dimension(data):
    ds = mm.open_snapshot(data / "athena_vtk/sr_mhd_shock1_hlld.vtk")
    assert dict(ds.sizes) == {"x": 10000}
    assert ds.attrs["time"] == 0.40004
    assert (float(ds.Bx.min()), float(ds.Bx.max())) == (0.5, 0.5)
    assert (float(ds.By.min()), float(ds.By.max())) == (approx(-1.003174, 6), 1.0)
    assert float(np.abs(ds.Bz).max()) == 0.0
    assert mm.conventions.box(ds)["x"] == approx((-0.5, 0.5))


def test_vtk_blocks(data):
    folder = data / "athena_athdf/uni"
    ds = mm.open_snapshot(folder / "vtk/Blast.block0.out4.00002.vtk")
    assert ds.attrs["code"] == "Athena++"
    assert ds.attrs["cycle"] == 48
    same = mm.open_snapshot(folder / "Blast.out2.00002.athdf")
    for name in ("rho", "press", "uy", "Bx", "Bz"):
        np.testing.assert_array_equal(ds[name].values, same[name].values)
    with h5py.File(folder / "Blast.out2.00002.athdf") as file:
        np.testing.assert_array_equal(file["LogicalLocations"][3], (1, 1, 0))
        np.testing.assert_array_equal(ds.rho[0:10, 15:30, 20:40].values, file["prim"][0, 3])


def test_athenak(data):
    ds = mm.open_snapshot(data / "athenak_bin/CPAW.mhd_w_bcc.00000.bin")
    assert dict(ds.sizes) == {"z": 32, "y": 64, "x": 128}
    assert ds.attrs["time"] == 0
    assert ds.attrs["boundary_source"] == "file"
    assert {"rho", "ux", "uy", "uz", "eint", "Bx", "By", "Bz"} == set(ds.data_vars)
    assert (float(ds.rho.min()), float(ds.rho.max())) == (1, 1)
    assert float(ds.eint.mean()) == approx(0.15)
    # The initial wave fills [-0.0942809, 0.0942809]; the sampled extremes are stated to 7 digits.
    assert (float(ds.ux.min()), float(ds.ux.max())) == pytest.approx((-0.09428056, 0.09428056), abs=5e-9)
    limits = {"Bx": (0.2391757, 0.4274909), "By": (0.5919408, 0.7413926), "Bz": (0.5925375, 0.7407959)}
    for name, (low, high) in limits.items():
        assert (float(ds[name].min()), float(ds[name].max())) == pytest.approx((low, high), abs=6e-8)
    means = [float(ds[f"B{c}"].astype(float).mean()) for c in "xyz"]
    assert means == pytest.approx([1 / 3, 2 / 3, 2 / 3], abs=1e-6)
    strength = np.sqrt(sum(ds[f"B{c}"].astype(float) ** 2 for c in "xyz"))
    assert (float(strength.min()), float(strength.max())) == pytest.approx((1.00342, 1.006346), abs=6e-6)
    assert dict(mm.open_snapshot(data / "athenak_bin/CPAW.mhd_w_bcc.00000.bin", level=0).sizes) == {
        "z": 16,
        "y": 32,
        "x": 64,
    }


def test_openpmd_femm(data):
    ds = mm.open_snapshot(data / "openpmd/example-femm-3d.h5")
    assert ds.Bx.dims == ("x", "y", "z")
    assert dict(ds.sizes) == {"x": 47, "y": 47, "z": 47}
    assert (float(ds.Bx.min()), float(ds.Bx.max())) == approx((-0.005216795, 0.005216795), 6)
    assert (float(ds.Bz.min()), float(ds.Bz.max())) == approx((-0.002135971, 0.009181551), 6)
    assert float(ds.Bz.mean()) == approx(0.003140563, 6)
    assert float(np.abs(ds.Ex).max()) == 0
    assert ds.Bx.attrs["units"] == "T"
    assert ds.Ex.attrs["units"] == "V / m"
    assert float(ds.z[0]) == approx(-0.375)


def test_openpmd_warp(data):
    ds = mm.open_snapshot(data / "openpmd/warp-2d-data00000255.h5", staggered=True)
    assert ds.attrs["time"] == 8.390152716156602e-14
    assert ds.Ey_f.dims == ("x_f", "z_f")
    assert (float(ds.Ey_f.min()), float(ds.Ey_f.max())) == approx((-4.134631e12, 4.107098e12), 6)
    assert ds.Ey.dims == ("x", "z")
    assert dict(ds.Ey.sizes) == {"x": 50, "z": 200}  # open axes: the nodes bound the cells
    nodes = ds.Ey_f.values
    centred = (nodes[:-1, :-1] + nodes[1:, :-1] + nodes[:-1, 1:] + nodes[1:, 1:]) / 4
    np.testing.assert_allclose(ds.Ey.values, centred, rtol=1e-10, atol=1e-3)
    assert ds.attrs["boundary_x"] == "open"
    assert ds.charge_density.attrs["units"] == "C / m3"


def test_openpmd_adios(data, tmp_path):
    pytest.importorskip("openpmd_api", reason="openpmd-api is not installed")
    shutil.unpack_archive(data / "openpmd/example-pic-laserwakefield.bp4.tar.gz", tmp_path)
    path = tmp_path / "example-pic-laserwakefield/pic_n2.bp"
    ds = mm.open_snapshot(path, staggered=True, boundary="periodic")
    assert ds.attrs["iteration"] == 550
    assert dict(ds.Bx.sizes) == {"z": 32, "y": 64, "x": 56}
    unit = 40903.82224060171
    low, high, mean = -1.101528e-4, 1.079717e-4, 5.209342e-7
    stored = ds.Bx_f.values.astype(float)
    assert ds.Bx_f.dims == ("z_f", "y", "x")
    assert (stored.min(), stored.max()) == approx((low * unit, high * unit), 6)
    assert stored.mean() == approx(mean * unit, 5)
    assert float(ds.Bx.astype(float).mean()) == approx(mean * unit, 5)  # a periodic average keeps the mean
    assert float(ds.Bz_f.astype(float).mean()) == approx(2.381164e-6 * unit, 5)
    assert "picongpu_idProvider" in ds.attrs["not_loaded"]
    assert mm.conventions.spacing(ds)["y"] == approx(1.0630855560302734 * 4.1671151662e-08)
    assert ds.Bx.isel(y=slice(0, 0), z=2).values.shape == (0, 56)
    opened = mm.open_snapshot(path)
    assert dict(opened.Bx.sizes) == {"z": 31, "y": 63, "x": 55}


def test_damaged_adios(data, tmp_path):
    pytest.importorskip("openpmd_api", reason="openpmd-api is not installed")
    shutil.unpack_archive(data / "openpmd/example-pic-laserwakefield.bp4.tar.gz", tmp_path)
    path = tmp_path / "example-pic-laserwakefield/pic_n2.bp"
    index = (path / "md.idx").read_bytes()
    for at in (64, 80, 88, 96, 104):
        (path / "md.idx").write_bytes(index[:at] + (2**62).to_bytes(8, "little") + index[at + 8 :])
        with pytest.raises(mm.SnapshotError, match=r"md\.idx does not fit"):
            mm.open_snapshot(path)
    (path / "md.idx").write_bytes(index)
    (path / "data.0").rename(path / "elsewhere")
    with pytest.raises(mm.SnapshotError, match=r"no data\.\*"):
        mm.open_snapshot(path)


def test_jhtdb(data):
    ds = mm.open_snapshot(data / "jhtdb/isotropic1024coarse.h5")
    assert dict(ds.sizes) == {"y": 10, "x": 10}
    assert float(ds.p[0, 0]) == approx(-0.49493855)
    assert [float(ds[f"u{c}"][0, 0]) for c in "xyz"] == approx([-0.43801868, -0.7576994, -0.34916326])
    assert mm.conventions.spacing(ds) == approx({"y": 2 * np.pi / 1024, "x": 2 * np.pi / 1024})
    assert ds.attrs["boundary_x"] == "open"


def test_warpx_openpmd(data):
    measured = json.loads((data / "warpx_mirror/measured.json").read_text())
    for step in ("280", "1064"):
        ds = mm.open_snapshot(data / f"warpx_mirror/warpx_mirror_fields_{int(step):06d}.h5")
        assert ds.attrs["boundary_source"] == "assumed"  # WarpX writes 'reflecting' for a periodic box
        assert ds.Bx.attrs["units"] == "T"
        scales = mm.anisotropy.scales(ds).compute()
        want = measured[step]
        assert float(scales.dB_par_rms) / 1e-8 == approx(want["dBpar"], 6)
        assert float(scales.dB_perp_rms) / 1e-8 == approx(want["dBperp"], 6)
        spacing_in_di = 2.0 / mm.conventions.spacing(ds)["x"]
        assert float(scales.k_par_rms) / spacing_in_di == approx(want["kpar_rms"], 6)
        assert float(scales.k_perp_rms) / spacing_in_di == approx(want["kperp_rms"], 6)
        assert float(scales.skewness) == approx(want["skew"], 5)
        assert float(scales.kurtosis) == approx(want["kurt"], 5)
        mean = mm.mean_field(ds).compute()
        assert float(mean.Bx) == approx(1e-8)
        assert float(np.abs(mean.By)) < 1e-17
        density = ds.charge_density.astype(float) / 1.602176634e-19 / 1e7
        assert float(density.std()) == approx(want["n_rms"], 5)
        assert float(density.min()) == approx(want["n_min"], 5)


def test_warpx_plotfile(data):
    ds = mm.open_snapshot(data / "warpx_mirror/plt001064", staggered=True).compute()
    same = mm.open_snapshot(data / "warpx_mirror/warpx_mirror_fields_001064.h5").compute()
    for c in "xyz":
        np.testing.assert_array_equal(ds[f"B{c}"].values, same[f"B{c}"].values)
        faces = ds[f"B{c}_f"].values.astype(float)
        axis = "zyx".index(c)
        assert faces.shape[axis] == 49
        np.testing.assert_array_equal(faces.take(0, axis), faces.take(-1, axis))
        lower, upper = faces.take(range(48), axis), faces.take(range(1, 49), axis)
        np.testing.assert_allclose((lower + upper) / 2, ds[f"B{c}"].values, rtol=2e-7, atol=1e-15)
    divergence = sum(np.diff(ds[f"B{c}_f"].values.astype(float), axis="zyx".index(c)) for c in "xyz") / 1e-8
    assert np.sqrt((divergence**2).mean()) < 3e-6
    assert ds.attrs["cycle"] == 1064
    assert ds.attrs["time"] == 99.969673156738281
    assert ds.Bx.attrs["units"] == "T"


def test_series_of_real_snapshots(data):
    ser = mm.open_series(data / "athena_athdf/uni/Blast.out2.*.athdf")
    assert list(ser.time.values) == pytest.approx([0, 0.2])
    assert ser.Bx.dims == ("time", "z", "y", "x")
    assert "time" not in ser.attrs
    one = mm.open_snapshot(data / "athena_athdf/uni/Blast.out2.00002.athdf")
    np.testing.assert_array_equal(ser.Bx.isel(time=1).values, one.Bx.values)

"""The main job, whole, at a reduced number of particles."""

import shutil

import numpy as np
import pytest
import xarray as xr

import mmfields as mm
from mmfields.reporting import Options

FIGURES = ("slices", "spectrum", "filtered", "rotation_measure", "running_diffusion", "diffusion")
SMALL = Options(particles=8, gyroradius=None)


def check(folder, results):
    page = (folder / "index.html").read_text()
    for name in FIGURES:
        assert (folder / f"{name}.png").stat().st_size > 5000
        assert f'src="{name}.png"' in page
    assert "mmfields report" in page
    stored = xr.open_zarr(folder / "results.zarr").load()
    xr.testing.assert_identical(stored, results.compute())
    for name in ("power", "l_par", "rotation_measure", "running_kappa", "kappa", "kappa_error", "exponent"):
        assert name in stored
    assert np.isfinite(stored["kappa"]).all()
    assert list(stored.field.values) == ["full field", "mirrors", "residual"]


def test_the_sample(tmp_path):
    results = mm.report("micromirrors", tmp_path, options=SMALL, progress=False)
    check(tmp_path, results)
    # run again: nothing is traced anew, the results are the same
    changed = (tmp_path / "trajectories.zarr/x/c/0/0/0/0").stat().st_mtime_ns
    again = mm.report("micromirrors", tmp_path, options=SMALL, progress=False)
    xr.testing.assert_identical(again.compute(), xr.open_zarr(tmp_path / "results.zarr").compute())
    assert (tmp_path / "trajectories.zarr/x/c/0/0/0/0").stat().st_mtime_ns == changed
    with pytest.raises(mm.SnapshotError, match=r"already holds other data.*option_particles"):
        mm.report("micromirrors", tmp_path, options=Options(particles=9), progress=False)


def test_the_turbulence_sample_has_no_parallel(tmp_path):
    results = mm.report("mhd_turbulence", tmp_path, options=SMALL, progress=False).compute()
    check(tmp_path, results)
    assert np.isnan(results.kappa_par).all()
    page = (tmp_path / "index.html").read_text()
    assert "has no mean field" in page
    assert "is assumed" in page  # the units of the RM map


REAL = {
    "athena_vtk/chem_cgk_input.vtk": {},
    "athena_athdf/uni/Blast.out2.00002.athdf": {},
    "athena_athdf/uni/Blast.out5.00001.athdf": {},
    "athena_athdf/smr/Blast.out2.00002.athdf": {},
    "athenak_bin/CPAW.mhd_w_bcc.00000.bin": {},
    "openpmd/example-femm-3d.h5": {},
    "warpx_mirror/warpx_mirror_fields_000280.h5": {},
    "warpx_mirror/plt001064": {},
    "athena_mhd/TurbMHD.out3.00010.athdf": {},
    "athena_athdf/uni/vtk/Blast.block0.out4.00002.vtk": {},
}


@pytest.mark.parametrize("name", REAL)
def test_every_real_file_with_a_three_dimensional_field(shared, tmp_path, name):
    check(tmp_path, mm.report(shared / "data" / name, tmp_path, options=SMALL, progress=False, **REAL[name]))


def test_adios_file(shared, tmp_path):
    pytest.importorskip("openpmd_api", reason="openpmd-api is not installed")
    shutil.unpack_archive(shared / "data/openpmd/example-pic-laserwakefield.bp4.tar.gz", tmp_path)
    path = tmp_path / "example-pic-laserwakefield/pic_n2.bp"
    with pytest.raises(mm.SnapshotError, match="boundary='periodic'"):
        mm.report(path, tmp_path / "out", options=SMALL, progress=False)
    results = mm.report(path, tmp_path / "out", options=SMALL, progress=False, boundary="periodic")
    check(tmp_path / "out", results)


def test_what_has_no_report(tmp_path, shared):
    flat = mm.io.from_arrays(**{f"B{c}": np.ones((3, 3)) for c in "xyz"}, spacing={"x": 1.0, "y": 1.0}, dims=("x", "y"))
    flat.to_netcdf(tmp_path / "flat.nc")
    with pytest.raises(mm.SnapshotError, match="three dimensions"):
        mm.report(tmp_path / "flat.nc", tmp_path / "out", progress=False)
    one = {f"B{c}": np.ones((3, 3, 3)) for c in "xyz"}
    mm.io.from_arrays(**one, spacing=dict.fromkeys("xyz", 1.0)).to_netcdf(tmp_path / "even.nc")
    with pytest.raises(mm.SnapshotError, match="uniform"):
        mm.report(tmp_path / "even.nc", tmp_path / "out", progress=False)
    with pytest.raises(mm.SnapshotError, match="missing Bx"):
        mm.report(shared / "data/jhtdb/isotropic1024coarse.h5", tmp_path / "out", progress=False)

"""The main job, whole, at a reduced number of particles and short runs."""

import base64
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import mmfields as mm
from mmfields.reporting import REOPEN, Options
from mmfields.reporting.typeset import number, quantity, unit

FIGURES = ("slices", "spectrum", "filtered", "rotation_measure", "running_diffusion", "diffusion")
# What a real file shows does not hang on the number of particles; a report of one is the same code in less time.
QUICK = Options(particles=2, mean_free_paths=0.01)
SMALL = Options(particles=8, gyroradius=(10.0, 30.0), mean_free_paths=0.5)


VOID = ("meta", "img", "input", "link", "br")


class Tags(HTMLParser):
    """Tags of a page with their attributes, and whether each that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag, f"{tag} closes another tag"


def check(folder, results):
    page = (folder / "index.html").read_text()
    tags = Tags(page)
    assert not tags.open
    images = [attrs["src"] for tag, attrs in tags.found if tag == "img"]
    assert len(images) == len(FIGURES)  # and all inside
    for name, source in zip(FIGURES, images, strict=True):
        picture = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        assert picture == (folder / f"{name}.png").read_bytes() and len(picture) > 5000
    anchors = {attrs["id"] for _, attrs in tags.found if "id" in attrs}
    for link in [attrs["href"] for tag, attrs in tags.found if tag == "a"]:
        assert link[1:] in anchors if link.startswith("#") else (folder / link).exists()
    assert "mmfields report" in page
    stored = xr.open_zarr(folder / "results.zarr").load()
    xr.testing.assert_identical(stored, results.compute())
    for name in ("power", "l_par", "rotation_measure", "running_kappa", "kappa", "kappa_error", "exponent"):
        assert name in stored
    assert np.isfinite(stored["kappa"]).all()
    assert list(stored.field.values) == ["full field", "pass band", "residual"]


@pytest.fixture(scope="module")
def of_the_sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    return folder, mm.report("micromirrors", folder, options=SMALL, progress=False, command="mmfields report it")


def test_the_sample(of_the_sample):
    check(*of_the_sample)


def test_the_page_says_what_was_found_and_how(of_the_sample):
    folder, results = of_the_sample
    page = (folder / "index.html").read_text()
    scales = results[["l_perp", "l_perp_error"]].compute()
    assert quantity(float(scales.l_perp), "d_i", float(scales.l_perp_error)) in page
    end = mm.transport.physical(results[[n for n in results if str(n).startswith("kappa")]].compute())
    one = end.isel(gyroradius=1).sel(field="residual")
    assert number(float(one.kappa_par), float(one.kappa_par_error)) in page
    law = 30.0**2 / float(scales.l_perp) / (float(results.dB_par_rms) / 1.02632) ** 2  # v d_i, at the rms field
    np.testing.assert_allclose(results.kappa_eq5.sel(gyroradius=30.0), law, rtol=1e-4)
    assert number(float(end.kappa_eq5.sel(gyroradius=30.0, field="full field"))) in page
    for text in ("mmfields report it", mm.__version__, "option seed", "option particles", "xr-wrap", "@media print"):
        assert text in page
    energies = results.energy.compute()
    assert quantity(float(energies[0]), energies.attrs["units"]) in page
    own = page.split("</style>", 1)[1].split("xr-wrap")[0]
    assert "mirrors" not in re.sub(r"micromirrors|data:image[^\"]*", "", own)


def test_what_the_page_says_reopens_the_stores(of_the_sample, monkeypatch, capsys):
    monkeypatch.chdir(of_the_sample[0])
    names: dict = {}
    exec(REOPEN, names)
    assert names["orbits"].sizes["particle"] == 8
    assert str(names["results"]["kappa_par"].sel(field="full field").values) in capsys.readouterr().out


def test_a_second_run_traces_nothing_anew(of_the_sample):
    folder, results = of_the_sample
    chunk = folder / "trajectories.zarr/x/c/0/0/0/0"
    changed = chunk.stat().st_mtime_ns
    results = results.compute()
    again = mm.report("micromirrors", folder, options=SMALL, progress=False, command="mmfields report it")
    xr.testing.assert_identical(again.compute(), results)
    assert chunk.stat().st_mtime_ns == changed


def test_another_report_in_its_place_is_refused(of_the_sample):
    with pytest.raises(mm.SnapshotError, match="option_particles"):
        mm.report("micromirrors", of_the_sample[0], options=Options(particles=9), progress=False)


def test_the_turbulence_sample_has_no_parallel(tmp_path):
    results = mm.report("mhd_turbulence", tmp_path, options=QUICK, progress=False).compute()
    check(tmp_path, results)
    assert np.isnan(results.kappa_par).all()
    page = (tmp_path / "index.html").read_text()
    assert "has no mean field" in page
    assert "is assumed" in page  # the units of the RM map
    assert "cm<sup>2</sup>" not in page  # there is no unit of length


def test_a_finer_grid_costs_no_more_steps_than_the_limit(monkeypatch, tmp_path):
    from mmfields.reporting import orbits

    monkeypatch.setattr(orbits, "MOST_STEPS", 40)
    results = mm.report("mhd_turbulence", tmp_path, options=Options(particles=2, gyroradius=(0.5,)), progress=False)
    stored = xr.open_zarr(tmp_path / "trajectories.zarr")
    assert float(stored.path_length.max()) <= 40.001 * float(stored.step[0])
    assert results.running_kappa.notnull().any()


@pytest.mark.parametrize(
    ("written", "html"),
    [
        (number(0.18075, 0.0083), "0.1807 ± 0.0083"),
        (number(-1.2345e29, 4e27), "(−1.234 ± 0.040) × 10<sup>29</sup>"),
        (number(12345.0, 300.0), "12345 ± 300"),
        (number(1.5e-9), "1.5 × 10<sup>−9</sup>"),
        (number(float("nan"), 1.0), "—"),
        (number(0.0), "0"),
        (unit("rad / m2"), "rad m<sup>−2</sup>"),
        (unit("B0"), "<i>B</i><sub>0</sub>"),
        (unit("code units"), "code units"),
        (unit("<b>"), "&lt;b&gt;"),
        (quantity(2.0, "d_i", 0.5), "(2.00 ± 0.50) <i>d</i><sub>i</sub>"),
    ],
)
def test_numbers_and_units_are_typeset(written, html):
    assert str(written) == html


REAL = (
    "athena_vtk/chem_cgk_input.vtk",
    "athena_athdf/uni/Blast.out2.00002.athdf",
    "athena_athdf/uni/Blast.out5.00001.athdf",
    "athena_athdf/smr/Blast.out2.00002.athdf",
    "athenak_bin/CPAW.mhd_w_bcc.00000.bin",
    "openpmd/example-femm-3d.h5",
    "warpx_mirror/warpx_mirror_fields_000280.h5",
    "warpx_mirror/plt001064",
    "athena_mhd/TurbMHD.out3.00010.athdf",
    "athena_athdf/uni/vtk/Blast.block0.out4.00002.vtk",
)


@pytest.mark.parametrize("name", REAL)
def test_every_real_file_with_a_three_dimensional_field(shared, tmp_path, name):
    check(tmp_path, mm.report(shared / "data" / name, tmp_path, options=QUICK, progress=False))


def test_adios_file(shared, tmp_path):
    pytest.importorskip("openpmd_api", reason="openpmd-api is not installed")
    shutil.unpack_archive(shared / "data/openpmd/example-pic-laserwakefield.bp4.tar.gz", tmp_path)
    path = tmp_path / "example-pic-laserwakefield/pic_n2.bp"
    with pytest.raises(mm.SnapshotError, match="boundary='periodic'"):
        mm.report(path, tmp_path / "out", options=QUICK, progress=False)
    results = mm.report(path, tmp_path / "out", options=QUICK, progress=False, boundary="periodic")
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

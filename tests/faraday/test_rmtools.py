"""Against RM-Tools, where it is installed: its models, its synthesis, its reading of our cubes."""

import astropy.units as u
import numpy as np
import pytest
from test_depth import random_box

import mmfields as mm

pytest.importorskip("RMtools_1D", reason="RM-Tools is not installed")
WAVES = np.linspace(0.001, 0.3, 40)


@pytest.mark.parametrize(
    ("law", "model", "depth_name"), [("external", "m2", "RM_radm2"), ("burn", "m5", "deltaRM_radm2"),
                                     ("internal", "m7", "deltaRM_radm2")],
)  # fmt: skip
def test_laws_are_those_of_its_models(law, model, depth_name):
    pytest.importorskip("bilby", reason="RM-Tools is installed without bilby, which its models import")
    module = pytest.importorskip(f"RMtools_1D.models_ns.{model}")
    function, names = mm.faraday.depolarization_laws.LAWS[law]
    given = {"fracPol": 0.6, "psi0_deg": np.degrees(0.3), "RM_radm2": 0.0, "deltaRM_radm2": 0.0}
    given |= {"sigmaRM_radm2": 4.0, depth_name: 20.0}
    ours = function(WAVES, 20.0, *([4.0] if "sigma" in names else []), p0=0.6, angle=0.3)
    assert np.abs(ours - module.model(given, WAVES)).max() < 1e-14


def test_synthesis_finds_the_rotation_measure():
    ds = random_box((6, 16, 12))
    rm = mm.faraday.rotation_measure(ds)
    pol = mm.faraday.polarization(ds, wavelength_sq=mm.faraday.band_channels("vla-l", 128))
    for x, y in ((3, 4), (0, 11)):
        found = mm.faraday.rm_synthesis(pol.isel(x=x, y=y), noise=0.01)
        assert abs(found["phiPeakPIfit_rm2"] - rm.isel(x=x, y=y).item()) < 0.05


def test_it_reads_our_cubes(tmp_path):
    from RMtools_3D.do_RMsynth_3D import readFitsCube, readFreqFile, run_rmsynth

    ds = random_box((6, 16, 12))
    rm = mm.faraday.rotation_measure(ds)
    pol = mm.faraday.polarization(ds, wavelength_sq=mm.faraday.band_channels("vla-l", 128))
    paths = mm.faraday.write_fits(pol, tmp_path, pixel=1 * u.arcsec)
    cubes = [readFitsCube(str(paths[name]), verbose=False)[1] for name in "QU"]
    frequency = readFreqFile(str(paths["frequencies"]), verbose=False)
    spectrum, depths, *_ = run_rmsynth(*cubes, frequency, verbose=False)
    peaks = depths[np.abs(spectrum).argmax(axis=0)]
    step = float(depths[1] - depths[0])
    assert np.abs(peaks - rm.transpose("y", "x").values).max() < 0.6 * step

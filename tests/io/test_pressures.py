"""Pressure moments under the names that codes give them."""

import numpy as np
import pytest

import mmfields as mm
from mmfields.io._lazy import Total
from mmfields.io._snapshot import Axis, Field, build, pressure_name


class Constant:
    """A source of one value."""

    def __init__(self, value, shape=(4, 4, 4)):
        self.value, self.shape, self.dtype = value, shape, np.dtype(np.float32)

    def read(self, region):
        return np.full(tuple(r.stop - r.start for r in region), self.value, self.dtype)


def opened(*names, units="1"):
    fields = {n: Field(("z", "y", "x"), Constant(i + 1.0), n, units) for i, n in enumerate(names)}
    axes = {d: Axis(0.0, 1.0, 4, 4) for d in "zyx"}
    return build(fields, axes, attrs={}, boundary="periodic")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("pxx", ("Pxx", "")),
        ("Pyx", ("Pxy", "")),
        ("prs13", ("Pxz", "")),
        ("pressure_zz", ("Pzz", "")),
        ("pyzS1", ("Pyz", "1")),
        ("Pxy_ions", ("Pxy", "ions")),
        ("p_ions_xy", ("Pxy", "ions")),
        ("p_ions_perp", ("p_perp", "ions")),
        ("p_par", ("p_par", "")),
        ("p_parallel", ("p_par", "")),
        ("prs_prp", ("p_perp", "")),
        ("P_perp_ions", ("p_perp", "ions")),
        ("pressure", None),
        ("press", None),
        ("p", None),
        ("px", None),
        ("uxx_ions", None),
        ("particles", None),
    ],
)
def test_names(name, wanted):
    assert pressure_name(name) == wanted


def test_one_tensor_is_renamed_and_keeps_its_code_name():
    ds = opened("Bcc1", "prs11", "prs12", "prs33")
    assert set(ds) == {"Bcc1", "Pxx", "Pxy", "Pzz"}
    assert ds.Pxy.attrs["code_name"] == "prs12"
    assert ds.Pxy.attrs["long_name"] == "pressure tensor, xy"


def test_species_stay_and_their_sum_is_the_pressure():
    ds = opened("pxxs0", "pxxs1", "p_par_ions")
    assert set(ds) == {"pxxs0", "pxxs1", "p_par_ions", "Pxx", "p_par"}
    assert float(ds.Pxx[0, 0, 0]) == 3.0
    assert float(ds.p_par[0, 0, 0]) == 3.0
    assert ds.Pxx.attrs["code_name"] == "pxxs0 + pxxs1"
    assert Total((Constant(1.0), Constant(2.0))).dtype == np.float32


def test_a_total_in_the_file_is_not_added_to_its_species():
    ds = opened("pxx", "pxxs0", "pxxs1")
    assert set(ds) == {"Pxx", "pxxs0", "pxxs1"}
    assert float(ds.Pxx[0, 0, 0]) == 1.0


def test_an_openpmd_tensor_is_read_as_one(tmp_path):
    """A record per species with the six components of a symmetric tensor."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "data00000010.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(openPMD="1.1.0", basePath="/data/%T/", meshesPath="fields/", iterationEncoding="fileBased")
        step = file.create_group("data/10")
        step.attrs.update(time=1.0, dt=1.0, timeUnitSI=1.0)
        for record, parts, unit in (("B", "xyz", 1.0), ("p_ions", ("xx", "yy", "zz", "xy", "xz", "yz"), 2.0)):
            group = step.create_group(f"fields/{record}")
            dimension = [0, 1, -2, -1, 0, 0, 0] if record == "B" else [-1, 1, -2, 0, 0, 0, 0]
            group.attrs.update(
                geometry=np.bytes_("cartesian"), dataOrder=np.bytes_("C"), gridUnitSI=1.0, timeOffset=0.0
            )
            group.attrs["axisLabels"] = np.array([b"z", b"y", b"x"])
            group.attrs["gridSpacing"] = np.ones(3)
            group.attrs["gridGlobalOffset"] = np.zeros(3)
            group.attrs["unitDimension"] = np.array(dimension, float)
            for i, part in enumerate(parts):
                data = group.create_dataset(part, data=np.full((3, 4, 5), i + 1.0, np.float32))
                data.attrs.update(unitSI=unit, position=np.full(3, 0.5))
    ds = mm.open_snapshot(path, boundary="periodic")
    assert {"Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz"} <= set(ds)
    assert float(ds.Pyz[0, 0, 0]) == 12.0
    found = mm.anisotropy.pressure(ds)
    field = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    tensor = 2.0 * np.array([[1, 4, 5], [4, 2, 6], [5, 6, 3]])
    assert float(found.p_par[0, 0, 0]) == pytest.approx(field @ tensor @ field, rel=1e-5)


def test_what_does_not_belong_together_is_not_added():
    ds = opened("Pxx_ions", "Pxx_electrons", "Pyy_ions", "p_par_ions", "p_par_err")
    assert "Pxx" not in ds  # of the electrons Pyy is not known
    assert float(ds.p_par[0, 0, 0]) == 4.0
    assert pressure_name("p_par_err") is None
    assert pressure_name("Pxx_0") == ("Pxx", "0")
    assert pressure_name("pxxe") == ("Pxx", "e")
    assert pressure_name("pressure_tensor_xy") == ("Pxy", "")

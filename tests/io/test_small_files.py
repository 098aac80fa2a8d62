"""The small files of tests/data: every format opens, by itself and with the numbers that its places state."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mmfields as mm
from mmfields.io.engines import ENGINES, find_engine

DATA = Path(__file__).resolve().parent.parent / "data"

# file, engine, number of the variable Bx in the file (the others follow it), size of a cell along z, y, x
FILES = [
    ("pegasus/turb.00001.nbf", "pegasus", 5, (3, 2, 1)),
    ("pegasus/big_endian.00001.nbf", "pegasus", 5, (3, 2, 1)),
    ("athena/turb.out2.00001.athdf", "athdf", 5, (1, 1, 1)),
    ("athena/packed.out2.00001.athdf", "athdf", 5, (1, 1, 1)),
    ("athena/turb.block0.out2.00001.vtk", "athena_vtk", 5, (1, 1, 1)),
    ("athena_c/turb.0001.bin", "athena_bin", 6, (2, 1, 0.5)),
    ("athenak/turb.mhd_w_bcc.00001.bin", "athenak", 5, (1, 1, 1)),
    ("athenak/turb.mhd_w_bcc.00001.cbin", "athenak", 5, (2, 2, 2)),
    ("warpx/diag00010", "amrex", 5, (1, 1, 1)),
    ("warpx/openpmd_000010.h5", "openpmd", 5, (0.5, 1, 2)),
    ("entity/fields.00000001.h5", "entity", 5, (2, 1, 0.5)),
    ("tristan_v1/flds.tot.007", "tristan", 5, (0.4, 0.4, 0.4)),
    ("tristan_v2/flds.tot.00012", "tristan", 5, (0.4, 0.4, 0.4)),
    ("vpic/global.vpc", "vpic", 5, (4, 2, 1)),
    ("osiris/b1-000012.h5", "osiris", 5, (2, 1, 0.5)),
    ("pluto/data.0001.dbl", "pluto", 5, (2, 1, 0.5)),
    ("pluto/data.0001.flt", "pluto", 5, (2, 1, 0.5)),
    ("pluto/data.0001.vtk", "pluto", 5, (2, 1, 0.5)),
    ("jhtdb/cutout.h5", "jhtdb", 5, None),
    ("own/snapshot.nc", "netcdf", 5, (2, 1, 0.5)),
    ("own/snapshot.zarr", "zarr", 5, (2, 1, 0.5)),
]


def wanted(name: str, component: int, first: int) -> np.ndarray:
    """Values of a component over z, y, x; VPIC's lie on faces, and are averaged to centres through the periodic box."""
    k, j, i = np.indices((4, 6, 8))
    values = 1000.0 * (first + component) + 100 * k + 10 * j + i
    return (values + np.roll(values, -1, 2 - component)) / 2 if name.startswith("vpic") else values


@pytest.mark.parametrize(("name", "engine", "first", "width"), FILES, ids=[f[0] for f in FILES])
def test_the_numbers_say_where_they_lie(name, engine, first, width, no_compute):
    path = DATA / name
    assert find_engine(path) == engine
    ds = mm.open_snapshot(path, boundary="periodic") if engine in ENGINES else mm.open_snapshot(path)
    mm.conventions.check(ds)
    if width:
        assert mm.conventions.spacing(ds) == pytest.approx(dict(zip("zyx", width, strict=True)))
    loaded = ds.compute(scheduler="synchronous").squeeze().transpose("z", "y", "x")
    scale = 3.0 if engine == "openpmd" else 1.0  # its unitSI
    for component, letter in enumerate("xyz"):
        found = loaded[f"B{letter}"].values
        np.testing.assert_allclose(found, scale * wanted(name, component, first), rtol=1e-6, err_msg=letter)


def test_every_engine_has_a_small_file():
    assert {engine for _, engine, *_ in FILES} >= set(ENGINES)


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 2 * 10**6


def test_the_script_still_makes_these_files(tmp_path):
    """Byte by byte where no library puts versions and times of its own into a file."""
    subprocess.run([sys.executable, DATA / "make.py", tmp_path], check=True, capture_output=True)
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    kept = {path.relative_to(DATA) for path in DATA.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert made == kept - {Path("make.py")}
    plain = [p for p in made if p.suffix in (".nbf", ".bin", ".cbin", ".vtk", ".dbl", ".flt") or "Cell" in p.name]
    assert len(plain) > 10
    for path in plain:
        assert (tmp_path / path).read_bytes() == (DATA / path).read_bytes(), path

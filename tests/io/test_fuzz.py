"""Five hundred ways to damage each real file: the data, or one error that names it, within seconds and 200 MB."""

import json
import os
import random
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import code_builders
import numpy as np
import pytest
from fuzzing import copied, opened

import mmfields as mm

# More of them by hand: MMFIELDS_FUZZ=20000 pytest tests/io/test_fuzz.py
COUNT = int(os.environ.get("MMFIELDS_FUZZ", "500"))
FILES = {  # and the directory that is copied with it, and what is opened in it where that is another file
    "athena_athdf/uni/Blast.out2.00002.athdf": ".",
    "athena_athdf/smr/Blast.out2.00002.athdf": ".",
    "athena_mhd/TurbMHD.out3.00010.athdf": ".",
    "athena_vtk/chem_cgk_input.vtk": ".",
    "athena_vtk/sr_mhd_shock1_hlld.vtk": ".",
    "athena_athdf/uni/vtk/Blast.block0.out4.00002.vtk": "vtk",
    "athenak_bin/CPAW.mhd_w_bcc.00000.bin": ".",
    "pegasus/mock_example.nbf": ".",
    "pegasus/example.hst": ".",
    "athena_mhd/TurbMHD.hst": ".",
    "openpmd/example-femm-3d.h5": ".",
    "openpmd/warp-2d-data00000255.h5": ".",
    "warpx_mirror/warpx_mirror_fields_000280.h5": ".",
    "jhtdb/isotropic1024coarse.h5": ".",
    "warpx_mirror/plt001064/Header": "plt001064",
    "warpx_mirror/plt001064/Level_0/Cell_H": "plt001064",
    "warpx_mirror/plt001064/Level_0/Cell_D_00000": "plt001064",
    "pluto/3d_single/data.0000.dbl": "3d_single",
    "pluto/3d_single/data.0000.vtk": "3d_single",
    "pluto/3d_single/data.0000.flt.h5": "3d_single",
    "pluto/2d_single/grid.out": "2d_single/data.0000.dbl",
    "pluto/2d_single/dbl.out": "2d_single/data.0000.dbl",
    "entity/2d_gpu/fields/fields.00000041.h5": ".",
    "tristan_v1/flds.tot.001": "tristan_v1",
    "tristan_v1/param.001": "tristan_v1/flds.tot.001",
    "tristan_v2/flds.tot.00040": ".",
    "vpic/fields/T.2776/fields.2776.0": "fields",
    "osiris/e3-000005.h5": ".",
    "athena_c_bin/ath_sample.0001.bin": ".",
}
# Of the archive ARCHIVE, whose library waits for data that are cut off: that file in several parts at a time.
ADIOS = {"md.idx": 1, "md.0": 1, "data.0": 8}
ARCHIVE = "openpmd/example-pic-laserwakefield.bp4.tar.gz"

GUIDED = [name for name in FILES if "smr" not in name and "jhtdb" not in name and "block0" not in name]


def attacked(path: Path, folder: str, count: int, first: int = 0) -> subprocess.CompletedProcess:
    script = Path(__file__).with_name("fuzzing.py")
    command = [sys.executable, script, path, folder, str(count), str(first)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def guided(path: Path, folder: str, count: int) -> subprocess.CompletedProcess:
    command = [sys.executable, Path(__file__).with_name("guided.py"), path, folder, str(count)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def check(done: subprocess.CompletedProcess, count: int) -> None:
    last = done.stderr.strip().splitlines()[-3:]
    assert done.returncode == 0, f"ended with {done.returncode} at {last}"
    *bad, outcomes = map(json.loads, done.stdout.splitlines())
    assert not bad, bad[:5]
    # most damage is noticed, and what is not read does not matter: neither alone would show that anything was tried
    assert sum(outcomes.values()) == count and outcomes.get("refused", 0) > count / 20


@pytest.fixture(scope="module")
def pool():
    """Two at a time."""
    pool = ThreadPoolExecutor(2)
    yield pool
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def attacks(shared, pool):
    return {name: pool.submit(attacked, shared / "data" / name, folder, COUNT) for name, folder in FILES.items()}


@pytest.fixture(scope="module")
def adios(shared, tmp_path_factory):
    """The directory of an ADIOS2 output."""
    pytest.importorskip("openpmd_api", reason="openpmd-api is not installed")
    folder = tmp_path_factory.mktemp("adios")
    with tarfile.open(shared / "data" / ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.rglob("md.idx")).parent


@pytest.fixture(scope="module")
def adios_attacks(adios):
    pool = ThreadPoolExecutor(sum(ADIOS.values()))  # they mostly wait
    yield {
        name: [
            pool.submit(attacked, adios / name, adios.name, COUNT // parts, part * (COUNT // parts))
            for part in range(parts)
        ]
        for name, parts in ADIOS.items()
    }
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def guided_attacks(shared, pool):
    pytest.importorskip("atheris", reason="atheris is not installed")
    return {name: pool.submit(guided, shared / "data" / name, FILES[name], COUNT) for name in GUIDED}


# Of text, in which a digit more or less makes another number.
TEXT = (".hst", ".out", "Header", "Cell_H", "param.001")


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(TEXT)])
def test_bytes_put_in_or_lost_among_numbers_are_told(name, shared, tmp_path):
    """All that lies behind them has moved: other numbers would come out, and none of them would look odd."""
    copy, path = copied(shared / "data" / name, FILES[name], tmp_path / "copy")
    draw, raw, whole = random.Random(5), copy.read_bytes(), opened(path)
    for run in (1, 4, 8, 512):
        place = draw.randrange(len(raw) // 4, len(raw) // 2)
        for changed in (
            raw[:place] + raw[place : place + run] + raw[place:],
            raw[:place] + bytes(run) + raw[place:],
            raw[:place] + raw[place + run :],
        ):
            copy.write_bytes(changed)
            try:
                assert opened(path).identical(whole), f"{run} bytes at {place}"
            except mm.SnapshotError as error:
                assert str(tmp_path) in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_real_files(name, attacks):
    check(attacks[name].result(), COUNT)


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDED)
def test_guided_by_coverage(name, guided_attacks):
    """As many, each a step from one that took a reader somewhere new."""
    done = guided_attacks[name].result()
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert f"Done {COUNT} runs" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ADIOS)
def test_adios_files(name, adios_attacks):
    for part in adios_attacks[name]:
        check(part.result(), COUNT // ADIOS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["md.idx", "md.0"])
def test_adios_files_guided_by_coverage(name, adios):
    pytest.importorskip("atheris", reason="atheris is not installed")
    done = guided(adios / name, adios.name, COUNT // 5)  # they find what the library waits for
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert f"Done {COUNT // 5} runs" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["global.vpc", "hydro/T.40/ehydro.40.1"])
def test_made_vpic_run(name, tmp_path):
    values = np.random.default_rng(1).normal(size=(24, 4, 1, 8)).astype(np.float32)
    (tmp_path / "run").mkdir()
    code_builders.vpic(tmp_path / "run", values, {"ehydro": values[:14]}, (2, 1, 1))
    check(attacked(tmp_path / "run" / name, "run/global.vpc", COUNT), COUNT)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
def test_own_files(kind, tmp_path):
    ds = mm.samples.load("mhd_turbulence")[["Bx"]].isel(x=slice(0, 8), y=slice(0, 8)).load()
    if kind == "netcdf":
        ds.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
        check(attacked(tmp_path / "a.nc", ".", COUNT // 5), COUNT // 5)
    else:
        mm.store(ds.chunk(z=16), tmp_path / "a.zarr", progress=False)
        chunk = next(file for file in (tmp_path / "a.zarr" / "Bx" / "c").rglob("*") if file.is_file())
        for file in (chunk, tmp_path / "a.zarr" / "zarr.json"):
            check(attacked(file, "a.zarr", COUNT // 5), COUNT // 5)

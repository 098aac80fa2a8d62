"""Snapshots opened again and again in one process leave nothing behind: no open file, no thread, no memory."""

import json
import subprocess
import sys

import pytest

import mmfields as mm

# Ten thousand by hand: python -c "..." with 10000; 3300 took 168.6 to 169.8 MB and 9 open files.
COUNT = 440
LOOK = """
import gc, json, os, sys, threading, warnings
import mmfields as mm

warnings.simplefilter("ignore")
count, *files = sys.argv[1:]


def held():
    gc.collect()
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(os.listdir("/proc/self/fd")), threading.active_count(), resident


found = []
for i in range(int(count)):
    if i in (int(count) // 4, int(count) // 2):
        found.append(held())
    ds = mm.open_snapshot(files[i % len(files)])
    variable = ds[next(iter(ds.data_vars))]
    if i % 7 == 0:
        float(variable[(0,) * variable.ndim])
print(json.dumps([*found, held()]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
def test_handles_threads_and_memory_stay_as_they_are(shared, tmp_path):
    ds = mm.samples.load("mhd_turbulence")[["Bx"]].isel(x=slice(0, 8), y=slice(0, 8)).load()
    mm.store(ds.chunk(z=16), tmp_path / "a.zarr", progress=False)
    ds.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    names = (
        *("pegasus/mock_example.nbf", "athena_athdf/uni/Blast.out2.00002.athdf", "athena_vtk/sr_mhd_shock1_hlld.vtk"),
        *("athenak_bin/CPAW.mhd_w_bcc.00000.bin", "openpmd/warp-2d-data00000255.h5", "warpx_mirror/plt001064"),
        *("pluto/3d_single/data.0000.dbl", "osiris/e3-000005.h5", "tristan_v2/flds.tot.00040"),
    )
    files = [*(shared / "data" / name for name in names), tmp_path / "a.zarr", tmp_path / "a.nc"]
    command = [sys.executable, "-c", LOOK, str(COUNT), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    quarter, half, end = json.loads(done.stdout.splitlines()[-1])
    assert end[0] <= quarter[0] + 1 and half[0] <= quarter[0] + 1, "open files"  # one may be being read
    assert end[1] <= quarter[1], "threads"
    # a megabyte is what the allocator moves by; a Dataset that stays would be 50 kB for each of 330
    assert end[2] - quarter[2] < 4 << 20, "memory"

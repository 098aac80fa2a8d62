"""What is taken of other libraries beyond their promises, and of systems beyond what all have."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import dask.array as da
import numba
import numpy as np
import pytest
import xarray as xr
from numba.core.codegen import CPUCodeLibrary

import mmfields
from mmfields import _compat
from mmfields.kernels import _jit

PACKAGE = Path(mmfields.__file__).parent
# The oldest and the newest versions with which this file and those of tests/matrix.sh were run.
TRIED = {
    "xarray": ("2025.8.0", "2026.9.0"),
    "dask": ("2025.1.0", "2026.8.0"),
    "distributed": ("2025.1.0", "2026.8.0"),
    "zarr": ("3.1.3", "3.1.6"),
    "numba": ("0.61.2", "0.68.1"),
    "numpy": ("2.0.2", "2.4.6"),
}
# Names that those libraries do not promise to keep.
PRIVATE = re.compile(
    r"xarray\.(core|namedarray|coding|backends\.common)\b|dask\.(array\.core|highlevelgraph|_\w+|core|blockwise)\b"
    r"|zarr\.core\b|distributed\.(core|comm|worker|utils\w*|protocol|shuffle)\b"
    r"|\._(data|meta|in_memory|array|manager|filename)\b"
)


def numbers(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def test_the_oldest_versions_tried_are_those_that_are_declared():
    import tomllib

    project = PACKAGE.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("the package is installed without its project file")
    declared = tomllib.loads(project.read_text())["project"]["dependencies"]
    least = {m[1]: m[2] for text in declared if (m := re.match(r"([a-z0-9]+)(?:\[\w+\])?>=([\d.]+)", text))}
    for name, (oldest, _) in TRIED.items():
        wanted = numbers(least[name])
        assert numbers(oldest)[: len(wanted)] == wanted, f"{name}: {oldest} was tried, {least[name]} is declared"


@pytest.mark.parametrize("name", TRIED)
def test_the_version_here_is_between_those_tried(name):
    """A newer one is no fault: it is tried by running the tests, and then named above."""
    oldest, newest = TRIED[name]
    assert numbers(version(name)) >= numbers(oldest)
    if numbers(version(name)) > numbers(newest):
        pytest.skip(f"{name} {version(name)} is newer than {newest}: if all tests pass, name it in TRIED")


def private(text):
    lines = (line.split("#")[0] for line in text.splitlines())
    return [line.strip() for line in lines if PRIVATE.search(line) and not line.strip().startswith("self._")]


def test_private_names_are_used_in_one_place():
    found = {str(p.relative_to(PACKAGE)): private(p.read_text()) for p in sorted(PACKAGE.rglob("*.py"))}
    assert found.pop("_compat.py")
    used = {name: lines for name, lines in found.items() if lines}
    assert not used
    assert private("from dask._task_spec import x") and private("v._data") and not private("from dask import delayed")


class Backend(_compat.BackendArray):
    shape, dtype = (3, 4), np.dtype(float)

    def __init__(self):
        self.read = []

    def __getitem__(self, key):
        return _compat.explicit_indexing_adapter(key, self.shape, _compat.IndexingSupport.BASIC, self._part)

    def _part(self, key):
        self.read.append(key)
        return np.arange(12.0).reshape(3, 4)[key]


def test_arrays_of_backends():
    array = Backend()
    variable = xr.Variable(("x", "y"), _compat.LazilyIndexedArray(array))
    assert not _compat.in_memory(variable) and array.read == []
    held = _compat.data_of(variable[1:])
    assert array.read == [] and held.shape == (2, 4)
    np.testing.assert_array_equal(variable[1:, [3, 0]], [[7.0, 4.0], [11.0, 8.0]])
    assert _compat.in_memory(xr.Variable("x", np.ones(3)))
    assert not _compat.in_memory(xr.Variable("x", da.ones(3)))
    index = xr.Dataset(coords={"x": [1.0, 2.0]}).variables["x"]
    assert isinstance(_compat.data_of(index), _compat.PandasIndexingAdapter)
    np.testing.assert_array_equal(array[_compat.BasicIndexer((slice(1), 2))], [2.0])


@pytest.mark.parametrize("engine", ["zarr", "h5netcdf"])
def test_files_behind_arrays_of_xarray(tmp_path, engine):
    ds = xr.Dataset({"a": ("x", np.arange(5.0))})
    path = tmp_path / "a"
    if engine == "zarr":
        ds.to_zarr(path, zarr_format=3, consolidated=False)
        held = _compat.data_of(xr.open_zarr(path, chunks=None, consolidated=False).a.variable)
    else:
        ds.to_netcdf(path, engine=engine)
        held = _compat.data_of(xr.open_dataset(path, engine=engine, chunks=None).a.variable)
    while not (hasattr(held, "datastore") or hasattr(_compat.zarr_of(held), "store")):
        held = held.array
    if engine == "zarr":
        assert Path(_compat.zarr_of(held).store.root) == path
    else:
        assert Path(_compat.file_of(held.datastore)) == path


def test_graphs_of_dask():
    calls = []

    def costly(block):
        calls.append(1)
        return block + 1

    base = da.ones((4, 6), chunks=(2, 3)).map_blocks(costly, dtype=float, meta=np.empty((0, 0)))
    both = [base * 2, base * 3]
    assert _compat.meta_of(base).shape == (0, 0)
    graph = _compat.graph_of("one", both)
    import dask
    from dask.delayed import Delayed

    parts = [Delayed((array.name, 1, 1), graph, layer="one") for array in both]
    found = dask.compute(*parts, scheduler="synchronous")
    assert [part.tolist() for part in found] == [[[4.0] * 3] * 2, [[6.0] * 3] * 2]
    assert len(calls) == 1, "what two arrays share is computed once"
    assert _compat.all_chunks((3, -1), (7, 2), float) == ((3, 3, 1), (2,))


# --- systems ----------------------------------------------------------------------------------------------------------

ABSENT = ("posix_fallocate", "preadv", "pread", "readv", "O_NONBLOCK", "register_at_fork", "sysconf")
WITHOUT = f"""
import asyncio, multiprocessing, os, sys
import distributed, h5netcdf, matplotlib.pyplot, numba, pandas, pytest, tornado.ioloop, zarr  # these know their systems
try:
    import torch
except ImportError:
    pass
for name in {ABSENT!r}:
    delattr(os, name)
sys.modules["fcntl"] = None
"""


def run_without(code, *arguments, before=WITHOUT):
    command = [sys.executable, "-c", before + code, *map(str, arguments)]
    own = {**os.environ, "USER": "somebody"}  # of whom pytest asks
    return subprocess.run(command, capture_output=True, text=True, check=False, env=own)


def test_every_module_imports_where_names_of_linux_are_absent():
    code = """
import importlib, pkgutil, traceback
import mmfields
at_fault = set()
for found in pkgutil.walk_packages(mmfields.__path__, "mmfields.", onerror=lambda name: None):
    try:
        importlib.import_module(found.name)
    except (ImportError, AttributeError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f.filename.split("mmfields/")[-1] for f in frames if "/mmfields/" in f.filename]
        at_fault.add(own[-1])
print(sorted(at_fault))
"""
    without, here = run_without(code), run_without(code, before="")
    assert without.returncode == here.returncode == 0, without.stderr[-2000:] + here.stderr[-2000:]
    at_fault, extras = (set(ast.literal_eval(done.stdout.splitlines()[-1])) for done in (without, here))
    assert at_fault <= extras  # some modules need extras


def test_files_are_read_and_stores_written_where_names_of_linux_are_absent(tmp_path, shared):
    code = """
import warnings
import numpy as np, mmfields as mm
data, out = sys.argv[1:]
for name in ("pegasus/mock_example.nbf", "athena_athdf/smr/Blast.out2.00002.athdf", "warpx_mirror/plt001064",
             "athena_vtk/chem_cgk_input.vtk", "athenak_bin/CPAW.mhd_w_bcc.00000.bin", "openpmd/example-femm-3d.h5"):
    ds = mm.open_snapshot(f"{data}/{name}").load()
    print(name, float(sum(np.nansum(np.abs(v.values.astype(float))) for v in ds.data_vars.values())))
try:
    mm.open_snapshot(f"{data}/openpmd/example-pic-laserwakefield.bp4.tar.gz")
except mm.SnapshotError:
    pass
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    mm.store(ds.chunk(), out, progress=False)
assert any("has no locks" in str(w.message) for w in said)
from mmfields.cluster import shared
path = shared.create(10, float)
assert os.path.getsize(path) == 80
shared.forget(path)
"""
    done = run_without(code, shared / "data", tmp_path / "a.zarr")
    assert done.returncode == 0, done.stderr[-2000:]
    import mmfields as mm

    for line in done.stdout.splitlines():
        name, total = line.rsplit(" ", 1)
        ds = mm.open_snapshot(shared / "data" / name).load()
        assert float(total) == float(sum(np.nansum(np.abs(v.values.astype(float))) for v in ds.data_vars.values()))
    assert len(done.stdout.splitlines()) == 6


def test_tests_of_pure_parts_pass_where_names_of_linux_are_absent():
    here = Path(__file__).parent
    files = [here / name for name in ("test_conventions.py", "fourier/test_windows.py", "io/test_headers.py")]
    code = "import pytest\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[1:]]))"
    done = run_without(code, *files)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert re.search(r"\d+ passed", done.stdout)


def half(x):
    return 0.5 * x


half.__module__ = "mmfields.half"  # only what is of the package is treated so
half_of = _jit.kernel()(half)


def quarter(x):
    return half_of(half_of(x))


quarter.__module__ = "mmfields.quarter"


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_parts_of_a_kernel_are_optimized_with_their_entry_alone(monkeypatch, tmp_path):
    """Numba would optimize them once for each level of calls above them."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    entry, seen, own = _jit.entry()(quarter), [], CPUCodeLibrary._optimize_final_module

    def optimize(library):
        seen.append((library.name, _jit._compiling.within_entry))
        own(library)

    monkeypatch.setattr(CPUCodeLibrary, "_optimize_final_module", optimize)
    assert entry(3.0) == 0.75
    # "nrt" is Numba's own, compiled once in a process
    assert [found for found in seen if found[0] != "nrt"] == [("half", True), ("quarter", False)]

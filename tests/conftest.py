"""Fixtures that all tests share."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files and reference results; tests skip where it is absent."""
    if not (SHARED / "data").is_dir():
        if os.environ.get("MMFIELDS_REQUIRE_SHARED"):
            pytest.fail(f"{SHARED} is required and absent")
        pytest.skip("the real files (shared/ beside the checkout) are absent")
    return SHARED


@pytest.fixture
def no_compute():
    """Any Dask computation inside raises."""

    def refuse(*args, **kwargs):
        raise AssertionError("something was computed that should have stayed lazy")

    with dask.config.set(scheduler=refuse):
        yield


@pytest.fixture
def turbulent() -> "xr.Dataset":
    """Asymmetric random snapshot: odd and even sizes, cells that are not cubic, an oblique mean field."""
    rng = np.random.default_rng(5)
    shape = (9, 12, 16)
    fields = {
        f"B{c}": (rng.normal(size=shape) + mean).astype(np.float32) for c, mean in zip("xyz", (1, -2, 0.5), strict=True)
    }
    fields["n"] = rng.uniform(1, 2, shape).astype(np.float32)
    return mm.io.from_arrays(**fields, spacing={"z": 0.5, "y": 1.0, "x": 0.25}, dims=("z", "y", "x"))


@contextmanager
def running_cluster(folder: Path, *worker_options: str, **environment: str) -> Iterator[str]:
    """A scheduler and two workers, each a process started by its own command; the scheduler's address."""
    from distributed import Client

    file, command = folder / "scheduler.json", [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    options = {"env": {**os.environ, **environment}}
    processes = [subprocess.Popen([*command, "scheduler", *common, "--port", "0"], **options)]
    try:
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.1)
        for i in range(2):
            own = ["--nthreads", "1", "--memory-limit", "2GiB", "--local-directory", str(folder / f"w{i}")]
            processes.append(subprocess.Popen([*command, "worker", *common, *own, *worker_options], **options))
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(2, timeout=60)
            yield client.scheduler.address
    finally:
        for process in processes[::-1]:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def start_cluster(tmp_path_factory):
    """Starts a cluster, with options of the workers and variables of the environment, as a context."""
    return lambda *options, **environment: running_cluster(tmp_path_factory.mktemp("cluster"), *options, **environment)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a megabyte; `mount` gives it other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False)

    if mount("size=1m").returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        yield place, mount
    finally:
        subprocess.run(["umount", place], check=False)

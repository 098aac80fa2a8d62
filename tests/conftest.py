"""Fixtures that all tests share."""

import os
from pathlib import Path

import dask
import numpy as np
import pytest

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
def turbulent() -> "mm.conventions.xr.Dataset":
    """Asymmetric random snapshot: odd and even sizes, cells that are not cubic, an oblique mean field."""
    rng = np.random.default_rng(5)
    shape = (9, 12, 16)
    fields = {
        f"B{c}": (rng.normal(size=shape) + mean).astype(np.float32) for c, mean in zip("xyz", (1, -2, 0.5), strict=True)
    }
    fields["n"] = rng.uniform(1, 2, shape).astype(np.float32)
    return mm.io.from_arrays(**fields, spacing={"z": 0.5, "y": 1.0, "x": 0.25}, dims=("z", "y", "x"))

"""mmfields: from a PIC or MHD snapshot to a cosmic-ray diffusion coefficient.

Field snapshots load into chunked xarray datasets, Fourier filtering, anisotropy and
Faraday analysis run on them lazily under Dask, and Numba traces charged particles
through the interpolated fields.  Every name below is loaded on first use, so that
``import mmfields`` stays cheap.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_MODULES = (
    "anisotropy",
    "conventions",
    "estimators",
    "faraday",
    "fields",
    "fourier",
    "io",
    "lines",
    "paper",
    "particles",
    "plot",
    "provenance",
    "reporting",
    "samples",
    "scattering",
    "spectra",
    "theory",
    "tracing",
    "transport",
    "turbulence",
)
_NAMES = {
    "MmfieldsError": "errors",
    "SnapshotError": "errors",
    "ArgumentError": "errors",
    "show_versions": "provenance",
    "MmfieldsWarning": "errors",
    "mean_field": "conventions",
    "physical": "conventions",
    "as_snapshot": "io",
    "open_snapshot": "io",
    "open_series": "io",
    "store": "io",
    "virtualize": "io",
    "trace": "tracing",
    "field_lines": "tracing",
    "report": "reporting",
}

__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES or name in _NAMES:
        import_module("mmfields.accessor")  # ds.mm, which needs xarray
    if name in _MODULES:
        return import_module(f"mmfields.{name}")
    if name in _NAMES:
        return getattr(import_module(f"mmfields.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'mmfields' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

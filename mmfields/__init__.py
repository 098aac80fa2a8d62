"""mmfields: from a PIC or MHD snapshot to a cosmic-ray diffusion coefficient.

Field snapshots load into chunked xarray datasets, Fourier filtering, anisotropy and
Faraday analysis run on them lazily under Dask, and Numba traces charged particles
through the interpolated fields.  Every name below is loaded on first use, so that
``import mmfields`` stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what __getattr__ loads, for whoever checks or completes names without running anything
    from mmfields import anisotropy as anisotropy
    from mmfields import conventions as conventions
    from mmfields import estimators as estimators
    from mmfields import faraday as faraday
    from mmfields import fourier as fourier
    from mmfields import io as io
    from mmfields import lines as lines
    from mmfields import paper as paper
    from mmfields import particles as particles
    from mmfields import plot as plot
    from mmfields import provenance as provenance
    from mmfields import reporting as reporting
    from mmfields import samples as samples
    from mmfields import scattering as scattering
    from mmfields import spectra as spectra
    from mmfields import theory as theory
    from mmfields import tracing as tracing
    from mmfields import transport as transport
    from mmfields import turbulence as turbulence
    from mmfields.conventions import mean_field as mean_field
    from mmfields.conventions import physical as physical
    from mmfields.errors import ArgumentError as ArgumentError
    from mmfields.errors import MmfieldsError as MmfieldsError
    from mmfields.errors import MmfieldsWarning as MmfieldsWarning
    from mmfields.errors import SnapshotError as SnapshotError
    from mmfields.io import as_snapshot as as_snapshot
    from mmfields.io import open_series as open_series
    from mmfields.io import open_snapshot as open_snapshot
    from mmfields.io import store as store
    from mmfields.io import virtualize as virtualize
    from mmfields.provenance import show_versions as show_versions
    from mmfields.reporting import report as report
    from mmfields.tracing import field_lines as field_lines
    from mmfields.tracing import trace as trace

__version__ = "0.1.0"

_MODULES = (
    "anisotropy",
    "conventions",
    "estimators",
    "faraday",
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
    if name in _MODULES:
        return import_module(f"mmfields.{name}")
    if name in _NAMES:
        return getattr(import_module(f"mmfields.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'mmfields' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""What ``__getattr__`` loads, for whoever checks or completes names without running anything."""

from mmfields import anisotropy as anisotropy
from mmfields import conventions as conventions
from mmfields import estimators as estimators
from mmfields import faraday as faraday
from mmfields import fields as fields
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

__version__: str
__all__: list[str]

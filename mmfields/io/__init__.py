"""Snapshots in and out: one xarray engine per code or format, and the resumable store.

What is detected of a damaged file depends on what its format says.  Every format is held against its own length, so
that what is cut off, and bytes that were inserted or lost among its numbers, are refused:

- ``pegasus``, ``athenak``, ``athena_bin``, ``vpic``, ``pluto`` and ``amrex``: by the sizes that the header states,
  which must make the length of the file to the byte; blocks by their own headers; of ``amrex`` and ADIOS2 also numbers,
  by the extremes that are stated.
- VTK: by the lines between the variables.  A byte lost in the last variable of a file that ends with an empty line
  cannot be told.
- HDF5 (``athdf``, ``openpmd``, ``jhtdb``, ``entity``, ``tristan``, ``osiris``, netCDF): by the end that the file states
  and the places of all data; numbers only where the file has checksums (:mod:`mmfields.io._hdf5`).
- zarr: by the names and the checksums of chunks (:mod:`mmfields.io._chunks`).

No format but those with checksums or extremes can tell one number from another, and none tells a digit that was
changed, lost or put in where a number is written as text: times and limits in the headers of NBF, VTK and AMReX, the
tables ``dbl.out`` and ``grid.out`` of PLUTO, and histories, whose lines are held against the number of columns.
"""

from mmfields.io.covering import from_yt
from mmfields.io.foreign import as_snapshot
from mmfields.io.history import read_history
from mmfields.io.in_memory import from_arrays
from mmfields.io.jhtdb import from_giverny
from mmfields.io.opening import open_snapshot
from mmfields.io.runs import open_series, virtualize
from mmfields.io.storing import store
from mmfields.io.theta import from_openpmd_viewer

__all__ = [
    "as_snapshot",
    "from_arrays",
    "from_giverny",
    "from_openpmd_viewer",
    "from_yt",
    "open_series",
    "open_snapshot",
    "read_history",
    "store",
    "virtualize",
]


def __dir__() -> list[str]:
    return sorted(__all__)

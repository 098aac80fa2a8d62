"""A pass over all numbers of a snapshot, which finds damage that its headers do not show."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields._compat import in_memory


def read_through(ds: xr.Dataset) -> None:
    """Read every number that is not in memory, chunk by chunk on the current Dask scheduler, and keep none.

    Raises
    ------
    SnapshotError
        As the readers do, at the first chunk that cannot be read, is not in the file, or is not what the file says.
    """
    import dask

    tasks = []
    for variable in ds.variables.values():
        if variable.chunks is None and not in_memory(variable):
            variable = variable.chunk(variable.encoding.get("preferred_chunks", {}))
        if variable.chunks is not None:
            ones = tuple((1,) * len(sizes) for sizes in variable.chunks)
            tasks.append(variable.data.map_blocks(_seen, dtype=bool, chunks=ones))
    dask.compute(*tasks)


def _seen(block: Any) -> np.ndarray:
    return np.ones((1,) * np.ndim(block), bool)

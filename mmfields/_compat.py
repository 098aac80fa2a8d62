"""All uses of private parts of other libraries, and of features that not all systems have.

Of xarray, Dask and zarr these names may change with any release: what is used of them is here, and
``tests/test_compat.py`` says with which versions it was tried.  Locks, positioned reads and the like are those of Linux
and its kin; elsewhere what replaces them is slower, or says that it is not there.
"""

import os
from typing import Any

from xarray.backends import BackendArray
from xarray.core.indexing import (
    BasicIndexer,
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    PandasIndexingAdapter,
    explicit_indexing_adapter,
)

__all__ = [
    "BackendArray",
    "BasicIndexer",
    "ExplicitIndexer",
    "IndexingSupport",
    "LazilyIndexedArray",
    "PandasIndexingAdapter",
    "explicit_indexing_adapter",
]


# --- xarray -----------------------------------------------------------------------------------------------------------


def data_of(variable: Any) -> Any:
    """What a variable holds: an array, or what stands for one in a file, which ``.data`` would read."""
    return variable._data


def in_memory(variable: Any) -> bool:
    """Whether the numbers of a variable are here: neither in a file nor to be computed."""
    return variable._in_memory


def file_of(store: Any) -> Any:
    """Path of the file behind a store of xarray; None where it has none."""
    return getattr(store, "_filename", None) or getattr(getattr(store, "_manager", None), "_args", [None])[0]


def zarr_of(array: Any) -> Any:
    """The array of zarr behind xarray's; anything else as it is."""
    return getattr(array, "_array", array)


# --- Dask -------------------------------------------------------------------------------------------------------------


def meta_of(array: Any) -> Any:
    """An empty array of the kind that the blocks of a Dask array are."""
    return array._meta


def all_chunks(chunks: Any, shape: tuple[int, ...], dtype: Any, **options: Any) -> tuple[tuple[int, ...], ...]:
    """Chunks of a shape in full, as Dask understands what was given."""
    from dask.array.core import normalize_chunks

    return normalize_chunks(chunks, shape, dtype=dtype, **options)


def graph_of(name: str, arrays: list[Any]) -> Any:
    """The graphs of Dask arrays as one of one layer, optimized together so that what they share is computed once."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    graph = HighLevelGraph.merge(*(array.__dask_graph__() for array in arrays))
    keys = [array.__dask_keys__() for array in arrays]
    return HighLevelGraph.from_collections(name, da.Array.__dask_optimize__(graph, keys))


def with_tasks(array: Any, name: str, function: Any) -> Any:
    """A Dask array each block of which is a task of its own that calls a function with the block."""
    import dask.array as da
    import numpy as np
    from dask.highlevelgraph import HighLevelGraph

    own = f"{name}-{array.name}"
    tasks = {(own, *index): (function, (array.name, *index)) for index in np.ndindex(*array.numblocks)}
    graph = HighLevelGraph.from_collections(own, tasks, [array])
    return da.Array(graph, own, array.chunks, meta=meta_of(array))


def under_other_keys(graph: dict[Any, Any], own: dict[Any, Any]) -> dict[Any, Any]:
    """Tasks of a graph under other keys, by the old ones."""
    from dask._task_spec import convert_legacy_graph

    nodes = convert_legacy_graph(graph)
    return {own[key]: node.substitute(own, key=own[key]) for key, node in nodes.items()}


def host_of(address: str) -> str:
    """The host in an address of Dask."""
    from distributed.comm import get_address_host

    return get_address_host(address)


# --- systems ----------------------------------------------------------------------------------------------------------


def read_into(descriptor: int, view: memoryview, offset: int) -> int:
    """Bytes that were read into `view` from a place in an open file."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], offset)
    part = read_at(descriptor, len(view), offset)
    view[: len(part)] = part
    return len(part)


def read_at(descriptor: int, count: int, offset: int) -> bytes:
    """As ``os.pread``; where there is none, threads must not share the descriptor."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, count)


def open_flags() -> int:
    """How a file is opened for reading: without waiting for the other end of a pipe, and as bytes."""
    return os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def locks() -> Any:
    """The module ``fcntl``, whose locks end with the process that holds them; None where there is none."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


def after_fork(function: Any) -> None:
    """Have a function called in each process that is forked off this one, where there are such."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)

"""Many snapshots of one run along time, as one lazy Dataset."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from dask.base import tokenize
from xarray.core import indexing

from mmfields.conventions import SPATIAL, ArgumentError, SnapshotError, stated_unit
from mmfields.io._lazy import LazyArray, Stack

Opened = list[tuple[str, xr.Dataset]]


def file_chunks(ds: xr.Dataset, chunks: Any) -> Any:
    """The chunks asked for; where sizes are not given, those of the file."""
    if not isinstance(chunks, Mapping):
        return chunks
    own: dict[Any, Any] = {}
    for variable in ds.variables.values():
        own |= variable.encoding.get("preferred_chunks", {})
    return {**own, **chunks}


def require_chunks(chunks: Any) -> None:
    """Refuse what leaves a series without Dask."""
    if chunks is None:
        raise ArgumentError("a series is joined lazily and needs Dask chunks: leave chunks={} or give sizes")


def stacked(opened: Opened, chunks: Any) -> xr.Dataset:
    """Snapshots of one grid as one lazy array per variable, whatever their number."""
    _check_series(opened)
    opened = sorted(opened, key=lambda item: item[1].attrs["time"])
    first = opened[0][1]
    times = [ds.attrs["time"] for _, ds in opened]
    variables = {}
    for name, variable in first.data_vars.items():
        stack = Stack(tuple(ds.variables[name]._data.array.source for _, ds in opened))
        preferred = {"time": 1, **variable.encoding["preferred_chunks"]}
        data = indexing.LazilyIndexedArray(LazyArray(stack))
        variables[name] = xr.Variable(("time", *variable.dims), data, variable.attrs, {"preferred_chunks": preferred})
    attrs = {
        key: value
        for key, value in first.attrs.items()
        if key != "time" and all(ds.attrs.get(key) == value for _, ds in opened)
    }
    notes = stated_unit(first.attrs["time_unit"]) if "time_unit" in first.attrs else {}
    joined = xr.Dataset(variables, {**first.coords, "time": ("time", times, notes)}, attrs)
    sizes = file_chunks(joined, chunks)
    sizes = {d: n for d, n in sizes.items() if d in joined.dims} if isinstance(sizes, dict) else sizes
    return joined.chunk(sizes, token=tokenize([(path, os.path.getmtime(path)) for path, _ in opened], attrs))


def joined(opened: Opened) -> xr.Dataset:
    """Datasets of which some hold several times, one after the other."""
    _check_series(opened)
    parts = [
        ds if "time" in ds.dims else ds.drop_vars("time", errors="ignore").expand_dims(time=[ds.attrs["time"]])
        for _, ds in opened
    ]
    parts = [ds.drop_attrs(deep=False).assign_attrs({k: v for k, v in ds.attrs.items() if k != "time"}) for ds in parts]
    whole = xr.concat(
        parts,
        "time",
        data_vars="all",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="drop_conflicts",
    )
    return whole.sortby("time")


def _check_series(opened: Opened) -> None:
    """Refuse snapshots that do not make a series: other grids or variables, no time, one time twice."""
    first_path, first = opened[0]
    names, dims = set(first.data_vars), {name: variable.dims for name, variable in first.data_vars.items()}
    for path, ds in opened:
        if "time" not in ds.dims and "time" not in ds.attrs:
            raise SnapshotError(f"{path}: states no time, so it has no place in a series")
        if other := [dim for dim in SPATIAL if not _same_axis(ds, first, dim)]:
            raise SnapshotError(
                f"{path}: axis {' and '.join(other)} differs from that of {first_path}; a series has one grid: "
                f"{_remedy_of_grids([ds for _, ds in opened], other)}"
            )
        found = {name: variable.dims for name, variable in ds.data_vars.items()}
        if found != dims:
            lone = sorted(map(str, names.symmetric_difference(found)))
            raise SnapshotError(
                f"{path}: variables {sorted(map(str, found))} differ from those of {first_path}"
                + (f" in {lone}: leave them out with drop_variables={lone}" if lone else " in their dims")
            )
    stamps = np.concatenate([np.atleast_1d(ds["time"] if "time" in ds.dims else ds.attrs["time"]) for _, ds in opened])
    values, counts = np.unique(stamps, return_counts=True)
    if (counts > 1).any():
        raise SnapshotError(f"time {values[counts > 1][0]} stands in several files; leave one of them out")


def _remedy_of_grids(each: list[xr.Dataset], dims: list[str]) -> str:
    """How snapshots of several grids come to one."""
    levels = sorted({ds.attrs["level"] for ds in each if "level" in ds.attrs})
    if len(levels) > 1:
        return f"their refinement changes, give one level for all, such as level={levels[0]} (they have {levels})"
    if any(dim not in ds.coords for ds in each for dim in dims):
        return "some lack it, leave those out"
    return window_remedy({dim: [(float(ds[dim][0]), float(ds[dim][-1])) for ds in each] for dim in dims})


def window_remedy(spans: Mapping[str, list[tuple[float, float]]]) -> str:
    """What to do with boxes whose axes span different stretches: the window that all of them share."""
    common = {dim: (max(low for low, _ in each), min(high for _, high in each)) for dim, each in spans.items()}
    if any(low > high for low, high in common.values()):
        return "the box moves (a moving window), and there is no window that all of them share: leave some out"
    cut = ", ".join(f"{dim}=slice({low:.6g}, {high:.6g})" for dim, (low, high) in common.items())
    return (
        "if the box moves (a moving window), open each alone, cut it to the common window with ds.sel("
        f"{cut}), and join them with xr.concat(parts, 'time', join='override')"
    )


def _same_axis(ds: xr.Dataset, first: xr.Dataset, dim: str) -> bool:
    if (dim in ds.coords) != (dim in first.coords):
        return False
    return dim not in ds.coords or np.array_equal(ds[dim].values, first[dim].values)

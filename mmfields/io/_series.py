"""Many snapshots of one run along time, as one lazy Dataset."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from dask.base import tokenize

from mmfields._compat import LazilyIndexedArray, data_of
from mmfields.conventions import SPATIAL, ArgumentError, SnapshotError, stated_unit
from mmfields.io._alike import AlikeStack, Moves, in_file
from mmfields.io._lazy import LazyArray, Stack
from mmfields.io._snapshot import Alike, Axis, Bare
from mmfields.provenance import ATTRS


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


@dataclass(frozen=True)
class _Member:
    """One file of a series: where its variables lie, its axes (an array or an Axis each) and its attrs."""

    path: str
    times: np.ndarray | None
    variables: Mapping[str, tuple[tuple[str, ...], str]]  # dims without time, and units
    axes: Mapping[str, Any]
    attrs: Mapping[str, Any]
    sources: Mapping[str, Any] | None  # None where they are those of `like` in the files that `moves` names
    like: "_Member | None" = None
    moves: Moves = field(default_factory=dict)

    @classmethod
    def of(cls, path: str, found: xr.Dataset | Bare | Alike, others: "Mapping[str, _Member]") -> "_Member":
        if isinstance(found, Alike):
            like = others[found.like]
            attrs = {**like.attrs, **found.attrs}
            return cls(path, _stamps(attrs), like.variables, like.axes, attrs, None, like, found.moves)
        if isinstance(found, Bare):
            variables = {name: (item.dims, item.units) for name, item in found.fields.items()}
            sources = {name: item.source for name, item in found.fields.items()}
            return cls(path, _stamps(found.attrs), variables, found.axes, found.attrs, sources)
        variables = {
            name: (tuple(d for d in variable.dims if d != "time"), variable.attrs.get("units", "1"))
            for name, variable in found.data_vars.items()
        }
        axes = {dim: found[dim].values for dim in found.dims if dim != "time" and dim in found.coords}
        times = np.atleast_1d(found["time"].values) if "time" in found.dims else _stamps(found.attrs)
        whole = "time" not in found.dims
        sources = {n: getattr(data_of(v.variable), "array", None) for n, v in found.data_vars.items()} if whole else {}
        sources = {name: getattr(array, "source", None) for name, array in sources.items()}
        return cls(path, times, variables, axes, found.attrs, sources)

    def centres(self, dim: str) -> np.ndarray | None:
        """Coordinates along an axis; None where there are none."""
        axis = self.axes.get(dim)
        return axis.centres() if isinstance(axis, Axis) else axis


def _stamps(attrs: Mapping[str, Any]) -> np.ndarray | None:
    return np.atleast_1d(attrs["time"]) if "time" in attrs else None


def stacked(opened: list[tuple[str, xr.Dataset | Bare | Alike]], chunks: Any) -> xr.Dataset:
    """Snapshots of one grid as one lazy array per variable, whatever their number; the first is a Dataset."""
    known: dict[str, _Member] = {}
    for path, found in opened:
        known[path] = _Member.of(path, found, known)
    first, members = opened[0][1], list(known.values())
    _check_series(members)
    members = sorted(members, key=lambda member: member.attrs["time"])
    variables = {}
    for name, variable in first.data_vars.items():
        stack = _stack(members, name)
        preferred = {"time": 1, **variable.encoding["preferred_chunks"]}
        data = LazilyIndexedArray(LazyArray(stack))
        variables[name] = xr.Variable(("time", *variable.dims), data, variable.attrs, {"preferred_chunks": preferred})
    own = {key: value for key, value in first.attrs.items() if key not in ("time", *ATTRS)}
    attrs = {key: value for key, value in own.items() if all(m.attrs.get(key) == value for m in members)}
    notes = stated_unit(first.attrs["time_unit"]) if "time_unit" in first.attrs else {}
    times = [member.attrs["time"] for member in members]
    whole = xr.Dataset(variables, {**first.coords, "time": ("time", times, notes)}, attrs)
    if chunks is None:
        return whole
    sizes = file_chunks(whole, chunks)
    sizes = {d: n for d, n in sizes.items() if d in whole.dims} if isinstance(sizes, dict) else sizes
    return whole.chunk(sizes, token=tokenize([(m.path, os.path.getmtime(m.path)) for m in members], attrs))


def _stack(members: list[_Member], name: str) -> Any:
    """A variable of all files."""
    models = {id(member.like or member): member.like or member for member in members}
    if len(models) == 1:
        (model,) = models.values()
        return AlikeStack(model.sources[name], tuple(member.moves for member in members))
    return Stack(tuple(m.sources[name] if m.like is None else in_file(m.like.sources[name], m.moves) for m in members))


def joined(opened: list[tuple[str, xr.Dataset]]) -> xr.Dataset:
    """Datasets of which some hold several times, one after the other."""
    _check_series([_Member.of(path, ds, {}) for path, ds in opened])
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


def _check_series(members: list[_Member]) -> None:
    """Refuse snapshots that do not make a series: other grids or variables, no time, one time twice."""
    first = members[0]
    seen = {(dim, axis): True for dim, axis in first.axes.items() if isinstance(axis, Axis)}
    for member in members:
        if member.times is None:
            raise SnapshotError(f"{member.path}: states no time, so it has no place in a series")
        if member.axes is first.axes and member.variables is first.variables:
            continue
        if other := [dim for dim in SPATIAL if not _same_axis(member, first, dim, seen)]:
            raise SnapshotError(
                f"{member.path}: axis {' and '.join(other)} differs from that of {first.path}; a series has one grid: "
                f"{_remedy_of_grids(members, other)}"
            )
        if member.variables != first.variables:
            raise SnapshotError(_difference_of_variables(member, first))
    values, counts = np.unique(np.concatenate([member.times for member in members]), return_counts=True)
    if (counts > 1).any():
        raise SnapshotError(f"time {values[counts > 1][0]} stands in several files; leave one of them out")


def _difference_of_variables(member: _Member, first: _Member) -> str:
    """In words, in what two files of a series differ."""
    own, other = member.variables, first.variables
    said = f"{member.path}: variables {sorted(map(str, own))} differ from those of {first.path}"
    if lone := sorted(map(str, own.keys() ^ other.keys())):
        return f"{said} in {lone}: leave them out with drop_variables={lone}"
    changed = [name for name in own if own[name] != other[name]]
    return f"{said}, {changed} in their dims or units: {[(own[n], other[n]) for n in changed[:3]]}"


def _same_axis(member: _Member, first: _Member, dim: str, seen: dict[tuple, bool]) -> bool:
    axis = member.axes.get(dim)
    known = isinstance(axis, Axis)
    if known and (dim, axis) in seen:
        return seen[dim, axis]
    own, other = member.centres(dim), first.centres(dim)
    same = (own is None) == (other is None) and (own is None or np.array_equal(own, other))
    if known:
        seen[dim, axis] = same
    return same


def _remedy_of_grids(members: list[_Member], dims: list[str]) -> str:
    """What to do so that snapshots of several grids have one grid."""
    levels = sorted({member.attrs["level"] for member in members if "level" in member.attrs})
    if len(levels) > 1:
        return f"their refinement changes, give one level for all, such as level={levels[0]} (they have {levels})"
    each = {dim: [member.centres(dim) for member in members] for dim in dims}
    if any(centres is None for axes in each.values() for centres in axes):
        return "some lack it, leave those out"
    return window_remedy({dim: [(float(c[0]), float(c[-1])) for c in axes] for dim, axes in each.items()})


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

"""Recognize the variables and dims of a Dataset by the names that common programs give them."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

import xarray as xr

from mmfields.conventions import (
    LONG_NAMES,
    SPATIAL,
    ArgumentError,
    SnapshotError,
)
from mmfields.io._aliases import axis_of, canonical, curved_system, is_curved, is_time, plain_name

MOST_NAMED = 30


@dataclass
class Reading:
    """What is recognized in a Dataset so far, and what is not."""

    ds: xr.Dataset
    axes: dict[Hashable, tuple[str, bool]] = field(default_factory=dict)  # dim: axis, and whether it holds edges
    time: Hashable | None = None
    names: dict[Hashable, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    not_loaded: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Refuse the Dataset where something is undecided; one error lists all of it."""
        if self.doubts:
            raise SnapshotError(
                f"not a snapshot yet: {'; '.join(self.doubts)}. Found variables "
                f"{ {plain_name(n): tuple(v.dims) for n, v in list(self.ds.data_vars.items())[:MOST_NAMED]} }"
            )


# --- dims and names -----------------------------------------------------------------------


def find_dims(reading: Reading, given: Mapping[str, str]) -> None:
    """Assign dims to axes and time, as given or by name; other dims do not belong to a snapshot."""
    ds = reading.ds
    if lost := set(given) - set(map(plain_name, ds.dims)):
        reading.doubts.append(f"dims= names {sorted(lost)}, the dims are {[plain_name(d) for d in ds.dims]}")
    if bad := {d: to for d, to in given.items() if to.removesuffix("_f") not in SPATIAL and to != "time"}:
        raise ArgumentError(f"dims={bad}: each is x, y or z, their edges x_f, y_f, z_f, or time")
    for dim in ds.dims:
        attrs = ds[dim].attrs if dim in ds.coords else {}
        if (stated := given.get(plain_name(dim))) is not None:
            axis = (stated.removesuffix("_f"), stated.endswith("_f"))
        elif is_time(dim, attrs):
            axis = ("time", False)
        else:
            axis = axis_of(dim, attrs)
        if axis and axis[0] == "time":
            reading.time = dim
        elif axis:
            reading.axes[dim] = axis
    _require_straight(reading)
    stated = set(given.values())
    reading.axes = {d: a for d, a in reading.axes.items() if plain_name(d) in given or a[1] or a[0] not in stated}
    _require_one_grid(reading)
    _drop_single_cells(reading)


def _require_straight(reading: Reading) -> None:
    """Refuse curvilinear axes, under any name given, where the attrs or the names of axes show them."""
    bent = _bent(reading.ds)
    system = curved_system(reading.ds.attrs)
    if system or (bent and (not reading.axes or any(plain_name(d) in bent for d in reading.axes))):
        raise _curved(bent, system)


def _bent(ds: xr.Dataset) -> list[str]:
    """Dims that look like curvilinear axes."""
    return [plain_name(d) for d in ds.dims if is_curved(d, ds[d].attrs if d in ds.coords else {})]


def _curved(bent: list[str], system: str | None = None) -> SnapshotError:
    return SnapshotError(
        f"the coordinates {system or bent} are not Cartesian, so cells are no boxes of one size: interpolate onto a "
        "uniform Cartesian grid first (where the axes are straight after all, rename them: ds.rename)"
    )


def _drop_single_cells(reading: Reading) -> None:
    """Leave out axes of one cell where another axis has more, because a plane is a snapshot of two dims."""
    sizes = {axis: reading.ds.sizes[d] for d, (axis, edge) in reading.axes.items() if not edge}
    single = [d for d, (axis, edge) in reading.axes.items() if not edge and sizes[axis] == 1 < max(sizes.values())]
    for dim in single:
        axis = reading.axes[dim][0]
        reading.ds = reading.ds.isel({dim: 0}, drop=True)
        reading.axes = {d: a for d, a in reading.axes.items() if a[0] != axis}


def _require_one_grid(reading: Reading) -> None:
    """Require one dim of centres for each axis; where there is none, the dim of edges takes its place."""
    for axis in SPATIAL:
        centres = [d for d, (a, edge) in reading.axes.items() if a == axis and not edge]
        edges = [d for d, (a, edge) in reading.axes.items() if a == axis and edge]
        if not centres and len(edges) == 1:
            reading.axes[edges[0]] = (axis, False)
        elif len(centres) > 1 or (not centres and edges):
            found = [plain_name(d) for d in centres or edges]
            reading.doubts.append(f"dims {found} all lie along {axis}: say which with dims={{{found[0]!r}: {axis!r}}}")
    if not reading.axes:
        names = [plain_name(d) for d in reading.ds.dims]
        example = {name: axis for name, axis in zip(names, SPATIAL, strict=False)}
        reading.doubts.append(f"none of the dims {names} is known as x, y or z: say which are, such as dims={example}")


def find_names(reading: Reading, given: Mapping[str, str]) -> None:
    """Find the names that the variables on the grid have in the convention."""
    ds, allowed = reading.ds, {*reading.axes, reading.time}
    if lost := set(given) - set(map(plain_name, ds.data_vars)):
        known = [plain_name(n) for n in ds.data_vars][:MOST_NAMED]
        reading.doubts.append(f"names= names {sorted(lost)}, the variables are {known}")
    needed = {axis for axis, edge in reading.axes.values() if not edge}
    on_grid = {}
    for name, variable in ds.data_vars.items():
        own = [reading.axes[d][0] for d in variable.dims if d in reading.axes]
        fits = set(variable.dims) <= allowed and sorted(own) == sorted(needed)
        if fits and variable.dtype.kind in "fiub":
            on_grid[name] = given.get(plain_name(name)) or canonical(name) or plain_name(name)
        elif plain_name(name) in given and needed:
            reading.doubts.append(
                f"{plain_name(name)} over {variable.dims} of {variable.dtype} is no real field on the grid along "
                f"{sorted(needed)}"
            )
        elif canonical(name) in LONG_NAMES and len(own) < len(needed) <= len(variable.dims):
            reading.doubts.append(_astray(reading, name, needed))
        else:
            reading.not_loaded.append(plain_name(name))
    _require_one_each(reading, on_grid, set(given))
    if not on_grid and needed:
        if bent := _bent(ds):
            raise _curved(bent)
        free = (a for a in SPATIAL if a not in needed)
        others = dict.fromkeys(plain_name(d) for v in ds.data_vars.values() for d in v.dims if d not in allowed)
        unknown = dict(zip(others, free, strict=False))
        say = f": if {list(unknown)} is an axis too, say so with dims={unknown}" if unknown else _split(ds, allowed)
        reading.doubts.append(f"no variable lies on the grid along {sorted(needed)}{say}")


def _split(ds: xr.Dataset, allowed: set[Hashable]) -> str:
    """Advice in an error for vectors whose components lie along a dim of their own."""
    for name, variable in ds.data_vars.items():
        own = [d for d in variable.dims if d not in allowed]
        if len(own) == 1 and ds.sizes[own[0]] == 3:
            one, dim = plain_name(name), plain_name(own[0])
            parts = ", ".join(f"B{d}=ds[{one!r}].isel({dim}={i})" for i, d in enumerate(SPATIAL))
            return f": if {dim!r} counts the components of a vector, split it with ds.assign({parts})"
    return ""


def _astray(reading: Reading, name: Hashable, needed: set[str]) -> str:
    """Message that a field lies along an unknown dim, with suggestions for that dim."""
    dims = reading.ds[name].dims
    unknown = [plain_name(d) for d in dims if d not in reading.axes and d != reading.time]
    lacking = sorted(needed - {reading.axes[d][0] for d in dims if d in reading.axes})
    say = f"dims={ {unknown[0]: lacking[0] + '_f'} }" if unknown and lacking else "dims="
    return (
        f"{plain_name(name)} over {tuple(map(plain_name, dims))} lies along {unknown}, which is not known: if it holds "
        f"edges of cells, say so with {say}; if the variable is not wanted, ds.drop_vars({plain_name(name)!r})"
    )


def _require_one_each(reading: Reading, found: dict[Hashable, str], given: set[str]) -> None:
    """Require one variable for each name: the one given, otherwise the one that already has the name."""
    for target in dict.fromkeys(found.values()):
        rivals = [name for name, to in found.items() if to == target]
        stated = [name for name in rivals if plain_name(name) in given]
        best = stated or [name for name in rivals if plain_name(name) == target] or rivals
        if len(best) > 1:
            names = [plain_name(name) for name in best]
            reading.doubts.append(f"{names} all look like {target}: say which with names={{{names[0]!r}: {target!r}}}")
        for name in rivals:
            reading.names[name] = target if name == best[0] else plain_name(name)

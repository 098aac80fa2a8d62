"""Snapshots from Datasets that other programs made (``mm.as_snapshot``)."""

import inspect
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields._compat import data_of, in_memory
from mmfields.conventions import (
    LONG_NAMES,
    SPATIAL,
    ArgumentError,
    SnapshotError,
    boundary_attrs,
    check,
    require_unpacked,
    stated_unit,
    unit_carried,
)
from mmfields.io._aliases import FREE, axis_of, canonical, curved_system, is_curved, is_time, plain_name
from mmfields.provenance import provenance, verb

# Axes along which EPOCH's components lie half a cell above the centre, which sdf-xarray gives as their place.
EPOCH_SHIFTS = {**{f"{v}{d}": d for v in "EJ" for d in SPATIAL}, "Bx": "yz", "By": "xz", "Bz": "xy"}
MOST_NAMED = 30
OPTIONS = {"names", "dims", "boundary", "units", "staggered"}  # of as_snapshot


@dataclass
class _Reading:
    """What is understood of a Dataset so far, and what is not."""

    ds: xr.Dataset
    axes: dict[Hashable, tuple[str, bool]] = field(default_factory=dict)  # dim: axis, and whether it is of edges
    time: Hashable | None = None
    names: dict[Hashable, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    not_loaded: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Refuse what is left undecided, all of it at once."""
        if self.doubts:
            raise SnapshotError(
                f"not a snapshot yet: {'; '.join(self.doubts)}. Found variables "
                f"{ {plain_name(n): tuple(v.dims) for n, v in list(self.ds.data_vars.items())[:MOST_NAMED]} }"
            )


@verb
def as_snapshot(
    ds: xr.Dataset,
    *,
    names: Mapping[str, str] | None = None,
    dims: Mapping[str, str] | None = None,
    boundary: str | Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    staggered: bool = False,
) -> xr.Dataset:
    """Snapshot from a Dataset that another program made: sdf-xarray, nt2py, flekspy, yt, or a colleague's netCDF.

    Names, dims and units are understood as common programs write them; arguments take precedence.  Variables on
    edges of cells are averaged to the centres.  Whatever does not lie on the grid is left out and named in
    ``attrs["not_loaded"]``.  Nothing is computed; what was not read stays in its file.

    Parameters
    ----------
    ds : xarray.Dataset
        Variables over one grid, and whatever else.
    names : mapping, optional
        Name here, such as ``Bx``, of each name in the Dataset.
    dims : mapping, optional
        ``x``, ``y``, ``z``, their edges ``x_f`` and so on, or ``time``, of each of its dims that is one of them.
    boundary : str or mapping, optional
        ``periodic`` or ``open``, for all axes or per axis.
    units : mapping, optional
        Units of variables by their name here, ``length`` of the coordinates and ``time``.
    staggered : bool
        Also give what is averaged as it is stored: ``Bx_f`` over dims such as ``x_f``.

    Returns
    -------
    xarray.Dataset
        Snapshot over some of ``x``, ``y``, ``z``, with ``time`` first where there are several.

    Raises
    ------
    SnapshotError
        Naming everything that is undecided and the arguments that decide it, or where the grid is none of a snapshot.
    ArgumentError
        If an argument is no mapping as above.
    """
    ds = _plain(_dataset(ds))
    given = {key: _mapping(key, value) for key, value in (("names", names), ("dims", dims), ("units", units))}
    ds = _on_grid(ds, given["dims"])
    reading = _Reading(ds)
    _find_dims(reading, given["dims"])
    _find_names(reading, given["names"])
    reading.settle()
    out = _grid_of(reading)
    own = [d for d in out.dims if d in SPATIAL]
    known = {d: str(ds.attrs[f"boundary_{d}"]) for d in own if f"boundary_{d}" in ds.attrs}
    edges = boundary_attrs(own, boundary, known)
    out = _centred(reading, out, edges, staggered)
    out = _described(reading, out, given["units"])
    order = ["time"] if "time" in out.dims else []
    out = out.transpose(*order, ..., missing_dims="ignore")
    attrs = _attrs(reading, out)
    if "time" in attrs:
        notes = stated_unit(attrs["time_unit"]) if "time_unit" in attrs else {}
        out = out.assign_coords(time=((), attrs["time"], notes))
    return check(out.assign_attrs({**attrs, **edges}))


def open_foreign(
    path: str, engine: Any, chunks: Any, options: Mapping[str, Any], ours: Iterable[str] = ()
) -> xr.Dataset:
    """A file opened by an engine of another package, or by the class of one, as a snapshot; `ours` are named in errors.

    Raises
    ------
    ArgumentError
        If there is no such engine.
    SnapshotError
        If the engine fails, or what it gives is none and :func:`as_snapshot` cannot make it one.
    """
    installed = isinstance(engine, str) and engine in xr.backends.list_engines()
    if not installed and not (isinstance(engine, type) and issubclass(engine, BackendEntrypoint)):
        known = dict.fromkeys([*ours, "zarr", "netcdf", *xr.backends.list_engines()])
        raise ArgumentError(
            f"engine {engine!r}: one of {', '.join(known)} "
            "or the class of one, xarray.backends.BackendEntrypoint, is needed"
        )
    backend = xr.backends.list_engines()[engine].open_dataset if installed else engine.open_dataset
    accepted = set(inspect.signature(backend).parameters)
    own = {key: value for key, value in options.items() if key in OPTIONS and key not in accepted}
    try:
        ds = xr.open_dataset(path, engine=engine, chunks=chunks, **{k: v for k, v in options.items() if k not in own})
    except (SnapshotError, FileNotFoundError):
        raise
    except Exception as error:
        raise SnapshotError(f"{path}: engine {engine!r} cannot read it ({type(error).__name__}: {error})") from error
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    story = provenance([path], [f"mm.open_snapshot({path!r}, engine={engine!r}{given})"])
    try:
        return (ds if not own and _is_snapshot(ds) else as_snapshot(ds, **own)).assign_attrs(story)
    except SnapshotError as error:
        raise SnapshotError(f"{path}: {error}") from error


def _is_snapshot(ds: xr.Dataset) -> bool:
    try:
        check(ds)
    except SnapshotError:
        return False
    return True


def _mapping(name: str, value: Any) -> dict[str, str]:
    examples = {"names": {"bfield1": "Bx"}, "dims": {"i": "x"}, "units": {"Bx": "uG", "length": "pc"}}
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise ArgumentError(f"{name}={value!r}: a mapping such as {examples[name]} is needed")
    return dict(value)


def _dataset(ds: Any) -> xr.Dataset:
    """The Dataset itself, or the one inside an object of xugrid, as flekspy gives."""
    inner = getattr(getattr(ds, "ugrid", None), "obj", ds)
    if isinstance(inner, xr.DataArray):
        raise SnapshotError("an xarray.Dataset is needed, not a DataArray: give array.to_dataset(name='Bx')")
    if not isinstance(inner, xr.Dataset):
        raise SnapshotError(f"an xarray.Dataset is needed, not {type(ds).__name__}: arrays go to mm.io.from_arrays")
    return inner


def _plain(ds: xr.Dataset) -> xr.Dataset:
    """Arrays of pint without their units, which go into attrs; packed ones are refused."""
    require_unpacked(ds)
    if not any(unit_carried(data_of(v)) is not None for v in ds.variables.values()):
        return ds
    try:
        import pint_xarray  # noqa: F401  it makes ds.pint
    except ImportError as error:
        raise SnapshotError("the arrays are Quantities of pint: install pint-xarray, which takes them apart") from error
    return ds.pint.dequantify(format="~")


def _on_grid(ds: xr.Dataset, dims: Mapping[str, str]) -> xr.Dataset:
    """Points in a list, with x, y and z for each, put on their grid if they fill one."""
    places = {d: ds[d] for d in SPATIAL if d in ds.variables and ds[d].ndim == 1 and d not in ds.dims}
    along = {place.dims[0] for place in places.values()}
    if len(places) < 2 or len(along) != 1 or along & set(dims):
        return ds
    point = along.pop()
    axes = {d: np.unique(np.round(place.values.astype(float), 12)) for d, place in places.items()}
    axes = {d: a for d, a in axes.items() if len(a) > 1}
    shape = tuple(len(a) for a in axes.values())
    index = [np.searchsorted(a, np.round(places[d].values.astype(float), 12)) for d, a in axes.items()]
    flat = np.ravel_multi_index(index, shape) if axes else np.zeros(1, int)
    if int(np.prod(shape)) != ds.sizes[point] or len(np.unique(flat)) != ds.sizes[point]:
        raise SnapshotError(
            f"{ds.sizes[point]} points in a list along {point!r} do not fill a grid of {' by '.join(map(str, shape))} "
            f"different {', '.join(axes)}: they are cells of several sizes, as refined meshes are written; interpolate "
            "them onto a uniform grid with the tools of the code first"
        )
    ordered = ds.drop_vars([*places, *(n for n in ds.coords if ds[n].dims == (point,))]).isel({point: np.argsort(flat)})
    variables = {
        n: (tuple(axes), v.data.reshape(shape), v.attrs) for n, v in ordered.data_vars.items() if v.dims == (point,)
    }
    coords = {d: (d, a, places[d].attrs) for d, a in axes.items()}
    return xr.Dataset(variables, coords, ds.attrs)


# --- dims and names -----------------------------------------------------------------------


def _find_dims(reading: _Reading, given: Mapping[str, str]) -> None:
    """Axes and time of the dims, as given or by name; the rest is no part of a snapshot."""
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


def _require_straight(reading: _Reading) -> None:
    """Refuse axes that bend, whatever they are taken for, where the attrs or the names of axes say so."""
    bent = _bent(reading.ds)
    system = curved_system(reading.ds.attrs)
    if system or (bent and (not reading.axes or any(plain_name(d) in bent for d in reading.axes))):
        raise _curved(bent, system)


def _bent(ds: xr.Dataset) -> list[str]:
    """Dims that look like axes that are not straight."""
    return [plain_name(d) for d in ds.dims if is_curved(d, ds[d].attrs if d in ds.coords else {})]


def _curved(bent: list[str], system: str | None = None) -> SnapshotError:
    return SnapshotError(
        f"the coordinates {system or bent} are not Cartesian, so cells are no boxes of one size: interpolate onto a "
        "uniform Cartesian grid first (where the axes are straight after all, rename them: ds.rename)"
    )


def _drop_single_cells(reading: _Reading) -> None:
    """Leave out axes of one cell, where another has more: a plane is a snapshot of two dims."""
    sizes = {axis: reading.ds.sizes[d] for d, (axis, edge) in reading.axes.items() if not edge}
    single = [d for d, (axis, edge) in reading.axes.items() if not edge and sizes[axis] == 1 < max(sizes.values())]
    for dim in single:
        axis = reading.axes[dim][0]
        reading.ds = reading.ds.isel({dim: 0}, drop=True)
        reading.axes = {d: a for d, a in reading.axes.items() if a[0] != axis}


def _require_one_grid(reading: _Reading) -> None:
    """One dim of centres for each axis: where there is none, that of edges is taken for it."""
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


def _find_names(reading: _Reading, given: Mapping[str, str]) -> None:
    """Names here of the variables on the grid."""
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
    """What to do where components of a vector lie along a dim of their own."""
    for name, variable in ds.data_vars.items():
        own = [d for d in variable.dims if d not in allowed]
        if len(own) == 1 and ds.sizes[own[0]] == 3:
            one, dim = plain_name(name), plain_name(own[0])
            parts = ", ".join(f"B{d}=ds[{one!r}].isel({dim}={i})" for i, d in enumerate(SPATIAL))
            return f": if {dim!r} counts the components of a vector, split it with ds.assign({parts})"
    return ""


def _astray(reading: _Reading, name: Hashable, needed: set[str]) -> str:
    """Message that a field lies along an unknown dim, with what that dim may be."""
    dims = reading.ds[name].dims
    unknown = [plain_name(d) for d in dims if d not in reading.axes and d != reading.time]
    lacking = sorted(needed - {reading.axes[d][0] for d in dims if d in reading.axes})
    say = f"dims={ {unknown[0]: lacking[0] + '_f'} }" if unknown and lacking else "dims="
    return (
        f"{plain_name(name)} over {tuple(map(plain_name, dims))} lies along {unknown}, which is not known: if it holds "
        f"edges of cells, say so with {say}; if the variable is not wanted, ds.drop_vars({plain_name(name)!r})"
    )


def _require_one_each(reading: _Reading, found: dict[Hashable, str], given: set[str]) -> None:
    """One variable for each name: the one given, else the one that has it already."""
    for target in dict.fromkeys(found.values()):
        rivals = [name for name, to in found.items() if to == target]
        stated = [name for name in rivals if plain_name(name) in given]
        best = stated or [name for name in rivals if plain_name(name) == target] or rivals
        if len(best) > 1:
            names = [plain_name(name) for name in best]
            reading.doubts.append(f"{names} all look like {target}: say which with names={{{names[0]!r}: {target!r}}}")
        for name in rivals:
            reading.names[name] = target if name == best[0] else plain_name(name)


# --- the snapshot ---------------------------------------------------------------------------


def _grid_of(reading: _Reading) -> xr.Dataset:
    """The coordinates of the centres, and the time where it is a dim."""
    ds, coords = reading.ds, {}
    for dim, (axis, edge) in reading.axes.items():
        if edge:
            continue
        if dim not in ds.coords:
            raise SnapshotError(
                f"the dim {plain_name(dim)} has no coordinate: give centres of cells first, ds.assign_coords("
                f"{{{dim!r}: ...}})"
            )
        coords[axis] = (axis, ds[dim].values, ds[dim].attrs)
    if reading.time is not None and reading.time in ds.coords:
        coords["time"] = ("time", ds[reading.time].values, ds[reading.time].attrs)
    return xr.Dataset(coords=coords)


def _centred(reading: _Reading, out: xr.Dataset, edges: Mapping[str, str], staggered: bool) -> xr.Dataset:
    """All variables at the centres of cells; an open axis loses the cell whose neighbour is not there."""
    epoch = _is_epoch(reading.ds)
    turn = {dim: axis for dim, (axis, _) in reading.axes.items()} | (
        {reading.time: "time"} if reading.time is not None else {}
    )
    found, kept, losses = {}, {}, dict.fromkeys(SPATIAL, (0, 0))
    for name, target in reading.names.items():
        variable = reading.ds[name].variable
        variable = xr.Variable([turn[d] for d in variable.dims], data_of(variable), variable.attrs, variable.encoding)
        shifts = _shifts(reading, name, out, EPOCH_SHIFTS.get(plain_name(name)[-2:], "") if epoch else "")
        if shifts and staggered:
            kept[f"{target}_f"] = _as_stored(variable, shifts, out)
        for axis, shift in shifts.items():
            variable, loss = _mean(variable, axis, shift, edges[f"boundary_{axis}"])
            losses[axis] = tuple(map(max, losses[axis], loss))
        found[target] = variable
    ds = out.assign(found)
    inner = {d: slice(low, ds.sizes[d] - high) for d, (low, high) in losses.items() if d in ds.dims and (low or high)}
    ds = ds.isel(inner)
    for name, (variable, coords) in kept.items():
        own = {d: s for d, s in inner.items() if d in variable.dims}
        ds = ds.assign_coords(coords).assign({name: variable.isel(own)})
    return ds


def _is_epoch(ds: xr.Dataset) -> bool:
    return str(ds.attrs.get("code_name", "")).lower().startswith("epoch")


def _shifts(reading: _Reading, name: Hashable, out: xr.Dataset, above: str) -> dict[str, str]:
    """Axes along which a variable lies on edges, and on which: all of them, or those below or above each centre."""
    shifts = {}
    for dim in reading.ds[name].dims:
        axis, edge = reading.axes.get(dim, ("", False))
        if edge:
            shifts[axis] = _side(reading.ds, dim, axis, out)
        elif axis and axis in above:
            shifts[axis] = "above"
    return shifts


def _side(ds: xr.Dataset, dim: Hashable, axis: str, out: xr.Dataset) -> str:
    """Which edges a dim of edges holds, by number and place."""
    centres, count = out[axis].values.astype(float), ds.sizes[dim]
    width = (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
    if count not in (len(centres), len(centres) + 1):
        raise SnapshotError(
            f"{plain_name(dim)} holds {count} edges for {len(centres)} cells along {axis}: as many or one more"
        )
    if dim not in ds.coords:
        return "all" if count > len(centres) else "below"
    away = (ds[dim].values[: len(centres)].astype(float) - centres) / (width or 1)
    low = np.abs(away + 0.5).max() < 0.01
    if not low and (count > len(centres) or np.abs(away - 0.5).max() >= 0.01):
        raise SnapshotError(f"{plain_name(dim)} does not lie half a cell from the centres along {axis}")
    return "all" if count > len(centres) else "below" if low else "above"


def _lazy(variable: xr.Variable) -> xr.Variable:
    """The variable in chunks of its file, so that arithmetic does not read it."""
    if in_memory(variable) or variable.chunks is not None:
        return variable
    chunks = variable.encoding.get("preferred_chunks", {})
    return variable.chunk({d: chunks.get(d, "auto") for d in variable.dims})


def _mean(variable: xr.Variable, axis: str, side: str, boundary: str) -> tuple[xr.Variable, tuple[int, int]]:
    """Mean of both edges of each cell, and how many cells at the ends have none."""
    variable, n = _lazy(variable), variable.sizes[axis]
    if variable.dtype.kind != "f":
        variable = variable.astype(np.float64)
    if side == "all":
        lower, upper = variable.isel({axis: slice(n - 1)}), variable.isel({axis: slice(1, n)})
        return (lower / 2 + upper / 2)._replace(attrs=variable.attrs), (0, 0)
    other = variable.roll({axis: -1 if side == "below" else 1})
    loss = (0, 0) if boundary == "periodic" else (0, 1) if side == "below" else (1, 0)
    return (variable / 2 + other / 2)._replace(attrs=variable.attrs), loss


def _as_stored(variable: xr.Variable, shifts: Mapping[str, str], out: xr.Dataset) -> tuple[xr.Variable, dict[str, Any]]:
    """A variable over ``x_f`` and so on, and the places of the edges."""
    coords = {}
    for axis, side in shifts.items():
        centres = out[axis].values.astype(float)
        width = (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
        first = centres[0] + (width / 2 if side == "above" else -width / 2)
        places = first + width * np.arange(variable.sizes[axis])
        coords[f"{axis}_f"] = (f"{axis}_f", places, {"spacing": width, "long_name": f"{axis} (edges)"})
    own = [f"{d}_f" if d in shifts else d for d in variable.dims]
    return xr.Variable(own, data_of(variable), variable.attrs, variable.encoding), coords


# --- units and attrs --------------------------------------------------------------------------


def _unit(attrs: Mapping[Any, Any], given: str | None, length: bool = False) -> dict[str, str]:
    """Attrs of a unit: as given, as stated, or code units."""
    from astropy import units

    text = given or next((str(attrs[key]).strip() for key in ("units", "unit") if key in attrs), "")
    if text.lower() in FREE:
        return {"units": "1", "normalization": str(attrs.get("normalization", "code units"))}
    notes = stated_unit(text)
    if length and notes["units"] != "1" and units.Unit(notes["units"]).physical_type != "length":
        return {"units": "1", "normalization": text}  # R is the radius of a planet there, no roentgen
    return notes


def _described(reading: _Reading, ds: xr.Dataset, units: Mapping[str, str]) -> xr.Dataset:
    """Attrs of variables and coordinates in the convention."""
    if lost := set(units) - {*map(str, ds.data_vars), "length", "time"}:
        raise SnapshotError(f"units= names {sorted(lost)}, the variables are {list(ds.data_vars)}, length and time")
    code_names = {target: plain_name(name) for name, target in reading.names.items()}
    for name in list(ds.data_vars):
        attrs, stem = ds[name].attrs, str(name).removesuffix("_f")
        code_name = str(attrs.get("code_name", code_names[stem]))
        notes = {"long_name": LONG_NAMES.get(stem, code_name), "code_name": code_name}
        if {"unit", "units"}.isdisjoint(attrs) and (named := re.search(r"\[([^\]]+)\]$", code_name)):  # as in "Bx [T]"
            attrs = {**attrs, "units": named[1]}
        ds[name].attrs = _unit(attrs, units.get(str(name)) or units.get(stem)) | notes
    for dim in [d for d in ds.dims if d != "time"]:
        attrs, values = ds[dim].attrs, ds[dim].values.astype(float)
        width = attrs.get("spacing") or ((values[-1] - values[0]) / (len(values) - 1) if len(values) > 1 else None)
        edge = str(dim).endswith("_f")
        stated = attrs if not edge else ds[str(dim).removesuffix("_f")].attrs
        kind = "edges of cells" if edge else "cell centres"
        notes = {"long_name": f"{str(dim).removesuffix('_f')} ({kind})"} | ({"spacing": float(width)} if width else {})
        ds = ds.assign_coords({dim: (dim, values, _unit(stated, units.get("length"), length=True) | notes)})
    if "time" in ds.coords:
        ds["time"].attrs = _unit(ds["time"].attrs, units.get("time"))
    return ds


def _attrs(reading: _Reading, out: xr.Dataset) -> dict[str, Any]:
    """Flat attrs: code, time, what is left out, and whatever of the Dataset's own is text or a number."""
    kept = {str(key): _flat(value) for key, value in reading.ds.attrs.items()}
    kept = {key: value for key, value in kept.items() if value is not None}
    attrs = {"code": "xarray"} | kept
    if _is_epoch(reading.ds):
        attrs |= {"code": "EPOCH", "time_unit": "s"}
    elif {"npict", "nInstance"} <= set(kept):  # flekspy
        attrs["code"] = "BATSRUS"
    elif "simulation.engine" in kept:  # nt2py
        attrs["code"] = "Entity"
    if "time" not in out.dims and (time := _time(reading.ds)) is not None:
        attrs["time"] = time
    elif "time" in attrs and ("time" in out.dims or not isinstance(attrs["time"], int | float)):
        attrs["stated_time"] = attrs.pop("time")
    if reading.not_loaded:
        more = len(reading.not_loaded) - MOST_NAMED
        attrs["not_loaded"] = ", ".join(reading.not_loaded[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return attrs


def _flat(value: Any) -> Any:
    """Text or a number as attrs hold them; None for what they cannot."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        return _flat(value.item())
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _time(ds: xr.Dataset) -> float | None:
    """Time from a scalar coordinate or variable, else from the attrs."""
    scalars = [ds[name].item() for name in ds.variables if not ds[name].dims and is_time(name, ds[name].attrs)]
    stated = [_flat(value) for key, value in ds.attrs.items() if is_time(key, {})]
    return next((float(v) for v in [*scalars, *stated] if isinstance(v, int | float) and np.isfinite(v)), None)

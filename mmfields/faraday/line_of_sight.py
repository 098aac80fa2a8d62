"""Lines of sight through a snapshot, along an axis or oblique, and the columns that they see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
    aligned,
    axis_spacing,
    boundaries,
    components,
    require_plain_data,
    spacing,
    unit_vector,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.faraday.units import factor, number_in, redshift_factor

# e^3 / (2 pi m_e^2 c^4) in rad m^-2 per (cm^-3 uG pc)
RM_CONSTANT = 0.8119011615


@dataclass(frozen=True)
class Sight:
    """A direction of view, from the source to the observer.

    Parameters
    ----------
    axis : str
        Along which planes follow each other.
    direction : (x, y, z) tuple
        Unit vector towards the observer.
    rows, columns : str
        Axes of the map.
    """

    axis: str
    direction: tuple[float, ...]
    rows: str
    columns: str

    def along(self, dim: str) -> float:
        return self.direction[SPATIAL.index(dim)]

    @property
    def backward(self) -> bool:
        """Whether the observer is at the lower end of the axis."""
        return self.along(self.axis) < 0

    @property
    def oblique(self) -> bool:
        return abs(self.along(self.axis)) < 1 - 1e-12

    def sky(self) -> dict[str, str]:
        """Attrs with the axes that run north and east in the map, nearest to them where the line is oblique."""
        north, east = self.north_east()
        names = {}
        across = [d != self.axis for d in SPATIAL]
        for name, vector in (("north", north), ("east", east)):
            i = int(np.argmax(np.abs(vector) * across))
            across[i] = False
            names[name] = f"{'+' if vector[i] > 0 else '-'}{SPATIAL[i]}"
        return names

    def north_east(self) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors (x, y, z) of north and east in the sky, east to the left where north is up.

        North is the axis that follows the next one after the line of sight in x, y, z, as y for z.
        """
        up = np.eye(3)[(SPATIAL.index(self.axis) + 2) % 3]
        direction = np.array(self.direction)
        north = up - (up @ direction) * direction
        north /= np.linalg.norm(north)
        return north, np.cross(direction, north)


def sight_of(ds: xr.Dataset, los: str | Sequence[float]) -> Sight:
    """The line of sight of an axis or a vector towards the observer, checked.

    Raises
    ------
    ArgumentError, SnapshotError
        If it is none, the snapshot is not three-dimensional, or an oblique one leaves a box that is not periodic.
    """
    components(ds)
    if isinstance(los, str) and los not in ds.dims:
        raise SnapshotError(f"los={los!r}: one of the snapshot's axes {[d for d in SPATIAL if d in ds.dims]} is needed")
    direction = unit_vector(los)
    axis = SPATIAL[int(np.argmax(np.abs(direction)))]
    if axis not in ds.dims:
        raise SnapshotError(f"los={los!r}: the snapshot has no axis {axis}")
    rest = [d for d in ds["Bx"].dims if d in SPATIAL and d != axis]
    sight = Sight(axis, tuple(float(c) for c in direction), *(str(d) for d in [*rest, "", ""][:2]))
    if sight.oblique:
        if len(rest) < 2:
            raise SnapshotError(f"los={los!r}: an oblique line of sight needs a snapshot of three axes")
        if bad := {d: k for d, k in boundaries(ds).items() if k != "periodic" and d != axis}:
            raise SnapshotError(f"an oblique line of sight wraps around, and {bad} do not: choose an axis")
    return sight


def require_kind(array: Any, kinds: str, what: str) -> xr.DataArray:
    """A DataArray of plain numbers of these kinds: ``f``, ``i`` and ``u`` for real ones, ``c`` for complex.

    Raises
    ------
    SnapshotError
        If it is none; `what` says what is needed.
    """
    if not isinstance(array, xr.DataArray):
        raise ArgumentError(f"{what} is needed, not {type(array).__name__}")
    require_plain_data(array)
    if array.dtype.kind not in kinds:
        raise SnapshotError(f"{what} is needed, and {array.name or 'this'} is {array.dtype}")
    return array


def require_map(rm: Any) -> xr.DataArray:
    """A map of real numbers in rad/m², or one that states no unit.

    Raises
    ------
    SnapshotError
        If it is none, or states another unit.
    """
    require_kind(rm, "fiu", "a map of real numbers from mm.faraday.rotation_measure")
    unit = rm.attrs.get("units", "rad / m2")
    if unit != "rad / m2" and number_in(f"1 {unit}", str(rm.name), "rad / m2", error=SnapshotError) != 1:
        raise SnapshotError(f"{rm.name} is in {unit}: bring it to rad / m2")
    return rm


@dataclass(frozen=True)
class Columns:
    """Arrays over (…, axis, rows, columns), the last plane nearest to the observer, and how to see them.

    Parameters
    ----------
    lead : list of str
    dims : tuple of str
        Of the map.
    arrays : list
        ``Bx By Bz`` and what else was asked for.
    density : array or None
        Electron density; None where it is constant.
    shifts : (rows, columns) tuple
        Cells by which a plane is moved against the one after it.
    depth : float
        Faraday depth [rad/m²] of a cell with B = density = 1.
    """

    sight: Sight
    lead: list[str]
    dims: tuple[str, ...]
    arrays: list[Any]
    density: Any
    shifts: tuple[float, float]
    depth: float


def columns_of(
    ds: xr.Dataset,
    los: str | Sequence[float],
    *,
    density: Any = None,
    field_unit: Any = None,
    length_unit: Any = None,
    redshift: float = 0.0,
    more: Sequence[str] = (),
) -> Columns:
    """What lines of sight through a snapshot run through; parameters as :func:`rotation_measure`.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`rotation_measure`.
    """
    sight = sight_of(ds, los)
    names = components(ds)
    used = [*names, *more, sight.axis, *(["n"] if density is None and "n" in ds else [])]
    for array in [*(ds[name] for name in used), *([density] if isinstance(density, xr.DataArray) else [])]:
        require_kind(array, "fiu", "a snapshot of real numbers")
    cells = spacing(ds)
    path = cells[sight.axis] / abs(sight.along(sight.axis))
    scale = RM_CONSTANT * path * redshift_factor(redshift)
    scale *= factor(ds["Bx"], ds, "field_unit", field_unit, "uG", f"B{sight.axis}")
    scale *= factor(ds[sight.axis], ds, "length_unit", length_unit, "pc", sight.axis)
    number: list[xr.DataArray] = []
    if isinstance(density, xr.DataArray):
        require_plain_data(density)
        if density.attrs.get("units") in (None, ""):
            raise SnapshotError(
                "density is a DataArray without attrs['units']: assign_attrs(units='cm-3'), or units='1' where it is "
                "normalized as the snapshot's is"
            )
        number = [on_the_grid(density, ds)]
        scale *= factor(density, ds, "density_unit", None, "cm-3", "density")
    elif density is not None:
        scale *= number_in(density, "density", "cm-3", 0.0)
    elif "n" in ds:
        number = [ds["n"]]
        scale *= factor(ds["n"], ds, "density_unit", None, "cm-3", "n")
    else:
        raise SnapshotError(
            "the snapshot has no number density 'n': give density=1e-3 / u.cm**3, or ds.assign(n=...) with units"
        )
    dims = tuple(d for d in (sight.rows, sight.columns) if d)
    every = [*(ds[n] for n in names), *(ds[m] for m in more), *number]
    every = [f.broadcast_like(ds["Bx"]) if set(f.dims) < set(ds["Bx"].dims) else f for f in every]
    lead, arrays, _ = aligned(every, [], [sight.axis, *dims])
    if sight.backward:
        arrays = [a[(..., slice(None, None, -1), *(slice(None),) * len(dims))] for a in arrays]
    shifts = tuple(path * sight.along(d) / cells[d] for d in dims) if sight.oblique else (0.0, 0.0)
    dense = arrays.pop() if number else None
    return Columns(sight, lead, dims, arrays, dense, shifts, scale)


def on_the_grid(density: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """A density over some axes of the snapshot, at the snapshot's own places.

    Raises
    ------
    SnapshotError
        If it has other axes, sizes or coordinates.
    """
    for dim in density.dims:
        if dim not in ds["Bx"].dims or density.sizes[dim] != ds.sizes[dim]:
            raise SnapshotError(
                f"density has {density.sizes[dim]} cells along {dim}, the field has {dict(ds['Bx'].sizes)}: "
                "interpolate it to the snapshot's cells first"
            )
        if dim in density.coords and dim in ds.coords:
            own, other = ds[dim].values, density[dim].values
            if dim in SPATIAL and not np.allclose(own, other, rtol=0, atol=1e-6 * axis_spacing(ds, dim)):
                raise SnapshotError(
                    f"density begins at {dim}={other[0]:g} and ends at {other[-1]:g}, the field at {own[0]:g} and "
                    f"{own[-1]:g}: interpolate it to the snapshot's cells first"
                )
    return density.drop_vars([c for c in density.coords]).assign_coords({d: ds[d] for d in density.dims if d in ds})


def density_times_field(arrays: Sequence[np.ndarray], direction: Sequence[float], density: Any) -> np.ndarray:
    """What a cell adds to the depth, in float64, of the field's components and the density if it varies.

    Oblique lines of sight are interpolated in this product, and not in its parts: so they find all of what the cells
    hold, and the mean of a map is that of the box.
    """
    own = towards([a.astype(np.float64, copy=False) for a in arrays], direction)
    return own if density is None else own * positive(density)


def needed(columns: Columns) -> tuple[list[Any], tuple[float, ...]]:
    """Components of the field that a line of sight sees, and their shares; the others are never read."""
    seen = [i for i, c in enumerate(columns.sight.direction) if abs(c) > 1e-15]
    return [columns.arrays[i] for i in seen], tuple(columns.sight.direction[i] for i in seen)


def positive(density: np.ndarray, name: str = "the density") -> np.ndarray:
    """Densities as they are.

    Raises
    ------
    SnapshotError
        If one of them is negative.
    """
    if density.size and (least := float(np.fmin.reduce(density, axis=None))) < 0:  # fmin passes over NaN
        raise SnapshotError(f"{name} is {least:g} in a cell: no number below 0 is a density")
    return density


def chunked_alike(arrays: Sequence[Any], columns_whole: bool) -> list[Any]:
    """Dask arrays over (axis, rows, columns) in the chunks of the first, whole across where lines are oblique."""
    import dask.array as da

    arrays = [da.asarray(a) for a in arrays]
    first = arrays[0].rechunk({1: -1, 2: -1}) if columns_whole else arrays[0]
    return [first, *(a.rechunk(first.chunks) for a in arrays[1:])]


def require_finite(values: np.ndarray, what: str, why: str) -> None:
    """Refuse values some of which are not finite.

    Raises
    ------
    SnapshotError
        If they are not; `what` they are, and `why` all of them are needed.
    """
    if bad := int(values.size - np.isfinite(values).sum()):
        raise SnapshotError(
            f"{what} is not finite in {bad} of {values.size} pixels, and {why}: fill the snapshot first, such as with "
            "ds.fillna(0)"
        )


def map_of(ds: xr.Dataset, columns: Columns, values: Any, extra: Sequence[str] = ()) -> xr.DataArray:
    """A map over (…, extra, rows, columns) with its coordinates and boundaries."""
    result = xr.DataArray(values, dims=[*columns.lead, *extra, *columns.dims])
    kept = {d: ds[d] for d in (*columns.lead, *columns.dims) if d in ds.coords}
    edges = {f"boundary_{d}": ds.attrs[f"boundary_{d}"] for d in columns.dims if f"boundary_{d}" in ds.attrs}
    return result.assign_coords(kept).assign_attrs({**edges, **columns.sight.sky()})


def towards(arrays: Sequence[np.ndarray], direction: Sequence[float]) -> np.ndarray:
    """Component of a vector along a direction; that of one axis is a view."""
    parts = [(a, c) for a, c in zip(arrays, direction, strict=True) if abs(c) > 1e-15]
    if len(parts) == 1:
        return parts[0][0] if parts[0][1] == 1 else parts[0][0] * parts[0][0].dtype.type(parts[0][1])
    return sum(a * a.dtype.type(c) for a, c in parts)


def straightened(block: np.ndarray, places: np.ndarray, shifts: tuple[float, float]) -> np.ndarray:
    """Planes moved so that oblique lines of sight stand upright, by bilinear interpolation, wrapping around.

    `places` count the planes from the one nearest to the observer, at 0, downward.
    """
    if shifts == (0.0, 0.0):
        return block
    out = np.empty_like(block)
    for plane, place, target in zip(block, places, out, strict=True):
        moved = plane
        for axis, shift in enumerate(shifts):
            cells = -place * shift
            low = int(np.floor(cells))
            part = plane.dtype.type(cells - low)
            near = np.roll(moved, -low, axis)
            moved = (1 - part) * near + part * np.roll(near, -1, axis) if part else near
        target[...] = moved
    return out

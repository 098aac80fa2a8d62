"""The grid of a snapshot: cell sizes, the box, and what lies beyond its faces."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from mmfields.conventions.attrs import unit_attrs
from mmfields.conventions.checks import require_one_unit, spatial_dims
from mmfields.conventions.numbers import require_number
from mmfields.conventions.vocabulary import BOUNDARIES
from mmfields.errors import ArgumentError, SnapshotError


def axis_spacing(ds: xr.Dataset | xr.DataArray, dim: Hashable) -> float:
    """Cell size along `dim`, from its coordinate.

    Raises
    ------
    SnapshotError
        If the coordinate is missing, not finite, descending or not uniform.
    """
    if dim not in ds.coords:
        raise SnapshotError(f"axis {dim!r} has no coordinate: add cell centres with ds.assign_coords({dim}=...)")
    if not ds.sizes[dim]:
        raise SnapshotError(f"axis {dim!r} has no cells: the selection is empty")
    if ds[dim].dtype.kind not in "fiu":
        raise SnapshotError(f"coordinate {dim!r} holds {ds[dim].dtype}: cell centres in numbers are needed")
    centres = np.asarray(ds[dim].values, dtype=float)
    if not np.isfinite(centres).all():
        where = int(np.flatnonzero(~np.isfinite(centres))[0])
        raise SnapshotError(f"coordinate {dim!r} is not finite at index {where}: {centres[where]}")
    if centres.size == 1:
        width = ds[dim].attrs.get("spacing")
        if width is None:
            raise SnapshotError(
                f"axis {dim!r} has one cell and no 'spacing' attribute, so its size is unknown: "
                f"set ds[{dim!r}].attrs['spacing'] or drop the axis with ds.isel({dim}=0, drop=True)"
            )
        return require_number(width, f"attrs['spacing'] of axis {dim!r}", np.finfo(float).tiny, error=SnapshotError)
    steps = np.diff(centres)
    width = float((centres[-1] - centres[0]) / (centres.size - 1))
    if width <= 0:
        raise SnapshotError(
            f"coordinate {dim!r} is not ascending ({centres[0]:g} to {centres[-1]:g}): "
            f"flip it with ds.sortby({dim!r}), or give the right limits to the reader"
        )
    # float32 coordinates carry rounding of their largest value, not of the cell size
    slack = 1e-4 * width + 4 * np.finfo(np.float32).eps * np.abs(centres).max()
    worst = int(np.argmax(np.abs(steps - width)))
    if abs(steps[worst] - width) > slack:
        raise SnapshotError(
            f"coordinate {dim!r} is not uniform: the step at index {worst} is {steps[worst]:g}, "
            f"the mean step {width:g}; interpolate onto a uniform grid first (ds.interp)"
        )
    return width


def spacing(ds: xr.Dataset | xr.DataArray) -> dict[str, float]:
    """Cell size along every spatial dim, in stored order (see :func:`axis_spacing`).

    Raises
    ------
    SnapshotError
        As :func:`axis_spacing`, or if the axes differ in unit.
    """
    widths = {dim: axis_spacing(ds, dim) for dim in spatial_dims(ds)}
    _require_one_unit_of_axes(ds, widths)
    return widths


def _require_one_unit_of_axes(ds: xr.Dataset | xr.DataArray, dims: Iterable[str]) -> None:
    known = [dim for dim in dims if dim in ds.coords]
    require_one_unit(ds, known, "axes", "bring them to one with ds.assign_coords(...)")


def box(ds: xr.Dataset | xr.DataArray) -> dict[str, tuple[float, float]]:
    """Lower and upper face of the box along every spatial dim; a period is their difference."""
    limits = {}
    for dim, width in spacing(ds).items():
        lower = float(ds[dim][0]) - width / 2
        limits[dim] = (lower, lower + width * ds.sizes[dim])
    return limits


def boundaries(ds: xr.Dataset | xr.DataArray) -> dict[str, str]:
    """``periodic``, ``open`` or ``reflecting`` for every spatial dim, from the attrs ``boundary_x|y|z``."""
    kinds, dims = {}, spatial_dims(ds)
    if isinstance(ds, xr.DataArray) and not any(f"boundary_{dim}" in ds.attrs for dim in dims):
        raise ArgumentError("a snapshot Dataset is needed, not DataArray: such as ds[['Bx', 'By', 'Bz']]")
    for dim in dims:
        kinds[dim] = ds.attrs.get(f"boundary_{dim}")
    if bad := [dim for dim in dims if kinds[dim] not in BOUNDARIES]:
        found = ", ".join(f"attrs['boundary_{dim}'] is {kinds[dim]!r}" for dim in bad)
        given = ", ".join(f"boundary_{dim}=..." for dim in bad)
        raise SnapshotError(f"{found}: set it to 'periodic', 'open' or 'reflecting' with ds.assign_attrs({given})")
    return kinds


def boundary_attrs(
    dims: Iterable[str], given: str | Mapping[str, str] | None, known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Attrs ``boundary_<dim>`` from what the caller gave, else the file knows, else ``periodic``.

    ``boundary_source`` records which of the three it was: ``caller``, ``file`` or ``assumed``.
    """
    known = known or {}
    dims = tuple(dims)
    if given is None:
        chosen = {dim: known.get(dim, "periodic") for dim in dims}
        source = "file" if all(dim in known for dim in dims) else "assumed"
    else:
        if not isinstance(given, str | Mapping):
            raise ArgumentError(f"boundary={given!r}: one word for all axes, or a mapping such as {{'x': 'open'}}")
        each = dict.fromkeys(dims, given) if isinstance(given, str) else dict(given)
        if unknown := set(each) - set(dims):
            raise SnapshotError(f"boundary names axes {sorted(unknown)}, the snapshot has {list(dims)}")
        chosen = {dim: each.get(dim, known.get(dim, "periodic")) for dim in dims}
        source = "caller"
    if bad := {k: v for k, v in chosen.items() if v not in BOUNDARIES}:
        error = SnapshotError if given is None else ArgumentError
        raise error(f"boundary must be 'periodic', 'open' or 'reflecting', not {bad}")
    return {**{f"boundary_{dim}": kind for dim, kind in chosen.items()}, "boundary_source": source}


@dataclass(frozen=True)
class Grid:
    """Where the cells of a snapshot lie: made once of its coordinates and attrs, and handed down.

    Parameters
    ----------
    dims : tuple of str
        Spatial dims in stored order, as are all others of these.
    shape : tuple of int
    spacing : tuple of float
        Cell sizes, in the length unit.
    lower : tuple of float
        Lower faces of the box.
    boundaries : tuple of str
        ``periodic``, ``open`` or ``reflecting``.
    units : dict
        Attrs of a length: ``units``, and ``normalization`` where it has one.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    lower: tuple[float, ...]
    boundaries: tuple[str, ...]
    units: dict[str, str] = field(compare=False)

    @classmethod
    def of(cls, ds: xr.Dataset) -> "Grid":
        """The grid of a snapshot.

        Raises
        ------
        SnapshotError
            As :func:`spacing` and :func:`boundaries`.
        """
        widths, kinds = spacing(ds), boundaries(ds)
        dims = tuple(widths)
        shape = tuple(ds.sizes[dim] for dim in dims)
        lower = tuple(float(ds[dim][0]) - width / 2 for dim, width in widths.items())
        return cls(dims, shape, tuple(widths.values()), lower, tuple(kinds.values()), unit_attrs(ds[dims[0]]))

    @property
    def widths(self) -> dict[str, float]:
        """Cell sizes by axis."""
        return dict(zip(self.dims, self.spacing, strict=True))

    @property
    def lengths(self) -> tuple[float, ...]:
        """Sides of the box."""
        return tuple(n * width for n, width in zip(self.shape, self.spacing, strict=True))

    @property
    def periodic(self) -> tuple[bool, ...]:
        return tuple(kind == "periodic" for kind in self.boundaries)


def require_periodic(ds: xr.Dataset, what: str) -> Grid:
    """The grid of a snapshot whose axes are all periodic, as `what` needs them.

    Raises
    ------
    SnapshotError
        If an axis is not.
    """
    grid = Grid.of(ds)
    if bad := [dim for dim, periodic in zip(grid.dims, grid.periodic, strict=True) if not periodic]:
        kind = grid.boundaries[grid.dims.index(bad[0])]
        raise SnapshotError(
            f"{what} needs periodic axes, and {', '.join(bad)} is {kind}: if the box is periodic in "
            f"fact, say so with boundary='periodic' on opening or ds.assign_attrs(boundary_{bad[0]}='periodic')"
        )
    return grid


def check(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` unchanged if it is a snapshot (spatial dims, uniform axes, boundaries).

    Raises
    ------
    SnapshotError
        Naming everything that is wrong and the remedies.
    """
    if not isinstance(ds, xr.Dataset):
        raise ArgumentError(f"a snapshot is an xarray.Dataset, not {type(ds).__name__}")
    dims, faults = spatial_dims(ds), []
    for test, *arguments in (
        *((axis_spacing, ds, dim) for dim in dims),
        (_require_one_unit_of_axes, ds, dims),
        (boundaries, ds),
    ):
        try:
            test(*arguments)
        except SnapshotError as error:
            faults.append(str(error))
    if faults:
        raise SnapshotError("; ".join(faults))
    return ds

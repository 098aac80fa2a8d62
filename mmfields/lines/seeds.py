"""Seeds of field lines: planes of them, and neighbours of each."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields._types import Axis, Seeds
from mmfields.conventions import (
    SPATIAL,
    ArgumentError,
    SnapshotError,
    box,
    require_number,
    require_whole,
    unit_attrs,
    unit_vector,
)
from mmfields.provenance import verb

# Displacements of neighbours along the two directions of a plane.
STENCIL = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))


@verb
def plane(
    field: xr.Dataset, *, normal: Axis = "z", at: float | None = None, shape: Sequence[int] = (128, 128)
) -> xr.Dataset:
    """Seeds on a plane across a box, as the centres of so many even pieces.

    Parameters
    ----------
    field : xarray.Dataset
        Snapshot whose box it is.
    normal : {"x", "y", "z"}
    at : float, optional
        Where along it [length unit]; in the middle by default.
    shape : two ints
        Numbers of seeds along the other two axes, in the order x, y, z.

    Returns
    -------
    xarray.Dataset
        ``x y z`` over dims ``v``, ``u``, whose coordinates are those along the two axes; attr ``normal``.

    Raises
    ------
    ArgumentError
        If the normal is no axis of the box, or a number is unusable.

    Examples
    --------
    >>> import mmfields as mm
    >>> seeds = mm.lines.plane(mm.samples.load("mhd_turbulence"), normal="z", shape=(16, 8))
    >>> seeds["x"].shape
    (8, 16)
    """
    limits = dict.fromkeys(SPATIAL, (0.0, 1.0)) | box(field)
    if normal not in SPATIAL:
        raise ArgumentError(f"normal={normal!r}: one of {', '.join(SPATIAL)} is needed")
    counts = [require_whole(n, "shape", 1) for n in shape]
    if len(counts) != 2:
        raise ArgumentError(f"shape={shape!r}: two numbers are needed")
    low, high = limits[normal]
    place = (low + high) / 2 if at is None else require_number(at, "at", low, high)
    others = [d for d in SPATIAL if d != normal]
    notes = unit_attrs(field[next(d for d in SPATIAL if d in field.coords)])
    coords = {}
    for name, axis, n in zip("uv", others, counts, strict=True):
        low, high = limits[axis]
        values = low + (np.arange(n) + 0.5) * (high - low) / n
        coords[name] = (name, values, {**notes, "long_name": axis})
    seeds = xr.Dataset(coords=coords)
    first, second = (seeds[n].variable for n in "uv")
    where = {others[0]: first, others[1]: second, normal: ((), place)}
    for axis, value in where.items():
        seeds[axis] = value
    ordered = [d for d in ("v", "u") if d in seeds.dims]
    wide = {axis: seeds[axis].broadcast_like(seeds["v"] * seeds["u"]).transpose(*ordered) for axis in SPATIAL}
    wide = {axis: w.drop_attrs(deep=False).assign_attrs(notes) for axis, w in wide.items()}
    return seeds.assign(wide).assign_attrs(normal=normal)


@renamed(distance="separation")
@verb
def neighbours(seeds: Seeds, *, separation: float, normal: str | Sequence[float] = "z") -> xr.Dataset:
    """Each seed and four that are displaced from it, to and fro along two directions of a plane.

    Parameters
    ----------
    seeds : (n, 3) array, or xarray.Dataset
        Points, as :func:`mmfields.field_lines` takes them.
    separation : float
        How far [length unit]; 1e-6 of a cell for derivatives, where lines are to stay near each other; larger where
        the separation itself is asked for.
    normal : str or three numbers
        Of the plane.

    Returns
    -------
    xarray.Dataset
        ``x y z`` over the dims of the seeds and ``neighbour``, whose first is the seed itself; attrs ``separation`` and
        ``normal``.

    Raises
    ------
    ArgumentError, SnapshotError
        If the separation is not positive, or seeds are no points.

    Examples
    --------
    >>> import mmfields as mm
    >>> mm.lines.neighbours([[1.0, 2.0, 3.0]], separation=0.1)["x"].values.tolist()
    [[1.0, 1.1, 0.9, 1.0, 1.0]]
    """
    size = require_number(separation, "separation", np.finfo(float).tiny)
    if not isinstance(seeds, xr.Dataset):
        points = np.asarray(seeds, float)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ArgumentError(f"seeds of shape {points.shape}: points (n, 3) x, y, z, or a Dataset, are needed")
        seeds = xr.Dataset({d: ("line", points[:, i]) for i, d in enumerate(SPATIAL)})
    if missing := [d for d in SPATIAL if d not in seeds.variables]:
        raise SnapshotError(f"seeds lack {missing}: points x, y, z are needed")
    axes = directions(unit_vector(normal))
    away = size * np.array(STENCIL) @ axes
    result = {}
    for i, d in enumerate(SPATIAL):
        moved = xr.DataArray(seeds[d].variable) + xr.DataArray(away[:, i], dims="neighbour")
        result[d] = moved.assign_attrs(seeds[d].attrs)
    wide = dict(zip(SPATIAL, xr.broadcast(*result.values()), strict=True))
    wide = {d: w.transpose(..., "neighbour") for d, w in wide.items()}
    kept = {n: c.variable for n, c in seeds.coords.items() if n not in SPATIAL}
    across = [float(v) for v in unit_vector(normal)]
    return xr.Dataset(wide, kept, {**seeds.attrs, "separation": size, "normal": across})


def directions(normal: np.ndarray) -> np.ndarray:
    """Two unit vectors (2, 3) across a normal and each other: x and y for z."""
    first = np.eye(3)[int(np.argmin(np.abs(normal)))]
    first = first - (first @ normal) * normal
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(normal, first)])

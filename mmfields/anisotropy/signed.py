"""Signed structure functions along and across the separation, and the laws of third order that they obey."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.anisotropy.jackknife import group_sums, jackknife, require_subvolumes
from mmfields.conventions import (
    SPATIAL,
    Grid,
    SnapshotError,
    aligned,
    derived_units,
    require_whole,
)
from mmfields.provenance import verb

# Moments in the order of their columns, after the number of pairs.
MOMENTS = {
    "LL": (2, "<d_L^2>"),
    "TT": (2, "<d_T^2> of both transverse components together"),
    "LLL": (3, "<d_L^3>"),
    "LTT": (3, "<d_L d_T^2> of both transverse components together"),
    "flux": (3, "<d_L of the carrier times |d|^2>"),
}


@renamed(of="vector")
@verb
def longitudinal(
    ds: xr.Dataset, vector: str = "u", *, carrier: str | None = None, lags: int = 12, subvolumes: int = 3
) -> xr.Dataset:
    """Signed structure functions of second and third order, along the axes of the box, all pairs.

    δ = f(x + l) - f(x) is split along l and across it.  In the inertial range of isotropic turbulence LLL = -4/5 ε l
    and LLL + LTT = -4/3 ε l (Kolmogorov 1941, Monin & Yaglom); of Elsasser variables the flux ⟨δz∓_L |δz±|²⟩ is
    -4/3 ε± l (Politano & Pouquet 1998).  Third orders of a Gaussian field are 0.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot; lazy where it is.  Pairs wrap around periodic axes and stay inside the others.
    vector : str
        Letters of the vector, ``u`` for ``ux uy uz``, ``zp`` for those of :func:`elsasser`.
    carrier : str, optional
        Letters of the vector that carries it, ``zm`` for ``zp``; by default the vector itself.
    lags : int
        Separations along each axis, even in the logarithm from one cell to half the shortest side, as cells allow.
    subvolumes : int
        Per axis, for the errors by the jackknife; 0 for none.

    Returns
    -------
    xarray.Dataset
        Over ``axis`` and ``lag`` [cells]: ``LL``, ``TT``, ``LLL``, ``LTT``, ``flux``, each with ``…_error``, and the
        coordinate ``l`` [length unit]; where cells are cubes the mean over directions is ``.mean("axis")``.  ``rate``
        is -3/4 flux/l, the ε of the 4/3 law, with ``rate_error``.

    Raises
    ------
    ArgumentError, SnapshotError
        If a component is missing, a number is unusable, or an axis has fewer than four cells.

    Examples
    --------
    >>> import mmfields as mm
    >>> s = mm.anisotropy.longitudinal(mm.samples.load("mhd_turbulence"), "u", lags=4)
    >>> bool((s["LL"] > 0).all())
    True
    """
    require_subvolumes(subvolumes)
    grid = Grid.of(ds)
    names = [f"{vector}{d}" for d in SPATIAL] + ([f"{carrier}{d}" for d in SPATIAL] if carrier is not None else [])
    if missing := [n for n in names if n not in ds]:
        raise SnapshotError(
            f"missing {missing} among {list(ds.data_vars)}: "
            f"vector={vector!r} stands for {vector}x, {vector}y, {vector}z"
        )
    if min(grid.shape) < 4:
        raise SnapshotError(f"axes of {grid.shape} cells: at least four along each are needed")
    cells = _cells(require_whole(lags, "lags", 1), min(grid.shape))
    lead, arrays, _ = aligned([ds[n] for n in names], [], grid.dims)
    axes = []
    for axis in range(len(grid.dims)):
        tables = [_moments(arrays, len(lead), grid, axis, int(n), max(subvolumes, 1)) for n in cells]
        axes.append(xr.concat([xr.DataArray(t, dims=[*lead, "group", "number"]) for t in tables], "lag"))
    found = xr.concat(axes, "axis")
    result = xr.apply_ufunc(
        _means,
        found,
        input_core_dims=[["group", "number"]],
        output_core_dims=[["kind", "moment"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"kind": 2, "moment": len(MOMENTS)}, "allow_rechunk": True},
    )
    return _labelled(ds, result.transpose(*lead, "axis", "lag", "kind", "moment"), grid, cells, vector, carrier)


def _cells(lags: int, shortest: int) -> np.ndarray:
    """Separations in cells."""
    return np.unique(np.rint(np.geomspace(1, shortest // 2, lags)).astype(int))


def _moments(arrays: list[Any], lead: int, grid: Grid, axis: int, n: int, groups: int) -> Any:
    """Sums of the moments over sub-volumes, of pairs n cells apart along an axis."""
    place = lead + axis
    if grid.periodic[axis]:
        first, second = arrays, [_rolled(a, n, place) for a in arrays]
    else:
        low = (slice(None),) * place + (slice(None, -n),)
        high = (slice(None),) * place + (slice(n, None),)
        first, second = [a[low] for a in arrays], [a[high] for a in arrays]
    along = SPATIAL.index(grid.dims[axis])
    return group_sums(_Work(along), [*first, *second], [], rank=len(grid.dims), groups=groups, columns=1 + len(MOMENTS))


def _rolled(array: Any, n: int, axis: int) -> Any:
    """The array shifted by n cells, in its own chunks."""
    if not hasattr(array, "dask"):
        return np.roll(array, -n, axis)
    import dask.array as da

    return da.roll(array, -n, axis).rechunk(array.chunks)


class _Work:
    """Adds the moments of a block, of pairs along one axis."""

    def __init__(self, along: int) -> None:
        self.along = along

    def __call__(self, fields: list[np.ndarray], _: Any, edges: list[np.ndarray], out: np.ndarray) -> None:
        half = len(fields) // 2
        for i0, i1, i in edges[0]:
            for j0, j1, j in edges[1]:
                for k0, k1, k in edges[2]:
                    box = slice(i0, i1), slice(j0, j1), slice(k0, k1)
                    d = [fields[half + c][box].astype(float) - fields[c][box] for c in range(half)]
                    ours = d[self.along]
                    carrier = d[3 + self.along] if half > 3 else ours
                    whole = d[0] ** 2 + d[1] ** 2 + d[2] ** 2
                    across = whole - ours**2
                    values = ours**2, across, ours**3, ours * across, carrier * whole
                    out[i, j, k] += [ours.size, *(v.sum() for v in values)]


def _means(sums: np.ndarray) -> np.ndarray:
    """Means and errors (…, 2, moments)."""
    value, error = jackknife(sums, lambda s: s[..., 1:] / s[..., :1])
    return np.stack([value, error], axis=-2)


def _labelled(ds: xr.Dataset, found: xr.DataArray, grid: Grid, cells: np.ndarray, of: str, carrier: Any) -> xr.Dataset:
    lengths = np.outer(grid.spacing, cells)
    coords = {
        "axis": list(grid.dims),
        "lag": ("lag", cells, {"long_name": "separation in cells", "units": "1"}),
        "l": (("axis", "lag"), lengths, {**grid.units, "long_name": "separation"}),
    }
    out = xr.Dataset()
    for i, (name, (order, text)) in enumerate(MOMENTS.items()):
        unit = derived_units((ds[f"{of}x"], order))
        for suffix, kind in (("", 0), ("_error", 1)):
            notes = {**unit, "long_name": text if not suffix else f"standard error of {name}"}
            out[f"{name}{suffix}"] = found.isel(kind=kind, moment=i).assign_attrs(notes)
    out = out.assign_coords(coords)
    for suffix, factor in (("", -0.75), ("_error", 0.75)):
        out[f"rate{suffix}"] = factor * out[f"flux{suffix}"] / out["l"]
        unit = derived_units((ds[f"{of}x"], 3), (ds[grid.dims[0]], -1))
        out[f"rate{suffix}"].attrs = {**unit, "long_name": "-3/4 flux / l" + (", its standard error" if suffix else "")}
    return out.assign_attrs(vector=of, carrier=carrier if carrier is not None else of)

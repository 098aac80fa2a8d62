"""Fourier analysis of periodic snapshots, in memory or chunk by chunk: filters and vector calculus."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
    Grid,
    as_real,
    components,
    derived_units,
    mean_direction,
    require_periodic,
    same_kind,
    spatial_dims,
    widened,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.fourier.labelled import fft, ifft
from mmfields.fourier.transfer import ALL, Transfer, Weigh, band, gaussian, high_pass, low_pass, passes_any
from mmfields.fourier.transform import map_modes
from mmfields.fourier.waves import Waves, waves_of
from mmfields.fourier.windows import taper
from mmfields.provenance import verb

__all__ = [
    "Transfer",
    "band",
    "curl",
    "divergence",
    "fft",
    "filter",
    "gaussian",
    "helmholtz",
    "high_pass",
    "ifft",
    "low_pass",
    "project",
    "taper",
    "vector_potential",
]

DIFFERENCES = ("spectral", "central", "face")

# Modes of a grid that are looked through for one that passes a filter.
SEARCHED = 1 << 24


@verb
@same_kind
def filter(ds: xr.Dataset, transfer: Transfer, *, direction: str | Sequence[float] | None = None) -> xr.Dataset:
    """Filter every field of a periodic snapshot; ``filter(ds, g) + filter(ds, ~g) == ds`` to rounding.

    Parameters
    ----------
    ds : xarray.Dataset or DataArray
        Snapshot, or one field with its boundaries in its attrs; of any size where it is chunked.
    transfer : Transfer
        From :func:`band`, :func:`low_pass`, :func:`high_pass`, or a function of your own wrapped in
        :class:`Transfer`.
    direction : str or three numbers, optional
        What parallel means: an axis or a vector (x, y, z); the mean field of `ds` by default.

    Returns
    -------
    xarray.Dataset or DataArray
        As `ds` is: of the same variables, dtypes (whole numbers, and true and false as 1 and 0, become float64),
        chunks, coordinates and attrs, with ``filter`` recorded; lazy where `ds` is.  Of complex fields both parts are
        filtered.  The mean stays with the transfer function whose value at
        k = 0 is 1.  Where the mean field changes with ``time``, so does its direction, and a field without
        ``time`` gains it.
        Staggered originals (``Bx_f``) and fields that lack an axis are left out; variables without a spatial axis are
        kept as they are.

    Raises
    ------
    ArgumentError, SnapshotError
        If an axis is open or not uniform, the band is beyond what the grid holds, a variable is not of numbers, or
        the field has no mean direction and none is given (the latter, like NaN, when the result is computed).
    """
    if not isinstance(transfer, Transfer):
        raise ArgumentError(
            f"a Transfer is needed, not {type(transfer).__name__}: mm.fourier.band(...), or wrap a function"
        )
    grid = require_periodic(ds, "a Fourier filter")
    transfer = transfer.in_lengths_of(ds)
    needless = direction is None and (transfer.of == "components" or transfer.isotropic)
    along = mean_direction(ds, "z" if needless else direction)
    _check_limits(transfer, grid, along)
    filtered, left_out = {}, []
    for name, field in ds.data_vars.items():
        if set(grid.dims) <= set(field.dims):
            filtered[name] = _weigh_field(field, Weigh(transfer), grid, along)
        elif any(str(d).removesuffix("_f") in SPATIAL for d in field.dims):
            left_out.append(name)  # staggered originals, or fields without all axes: neither filtered nor residual
    before = f"{ds.attrs['filter']}, then " if "filter" in ds.attrs else ""
    return ds.drop_vars(left_out).assign(filtered).assign_attrs(filter=before + transfer.label)


def _weigh_field(field: xr.DataArray, work: Weigh, grid: Grid, along: xr.DataArray) -> xr.DataArray:
    """One filtered field; the weights are real and even, so that both parts of a complex one are filtered alike."""
    if field.dtype.kind != "c":
        return _map_modes([as_real(field)], work, grid, along)[0]
    real, imaginary = _map_modes([field.real, field.imag], work, grid, along)
    return (real + 1j * imaginary).astype(field.dtype, copy=False).rename(field.name).assign_attrs(field.attrs)


def _check_limits(transfer: Transfer, grid: Grid, along: xr.DataArray) -> None:
    """Refuse limits beyond what the grid holds, and a transfer function that passes none of its modes.

    The latter is looked for where the direction is known without computing and the grid is of moderate size.
    """
    nyquist = np.pi / np.array(grid.spacing)
    corner = float(np.sqrt((nyquist**2).sum()))
    most = [corner] * 3
    known = along.chunks is None and along.ndim == 1 and bool(np.isfinite(along).all())
    if known:
        most[0] = float(np.abs([along.values[SPATIAL.index(d)] for d in grid.dims]) @ nyquist)
    for name, (low, high), top in zip(("k_par", "k_perp", "|k|"), transfer.limits, most, strict=True):
        if (np.isfinite(high) and high > corner * (1 + 1e-9)) or low > top * (1 + 1e-9):
            raise SnapshotError(
                f"{transfer.label} has {name} from {low:g} to {high:g}, the grid holds wavenumbers up to {top:g} "
                "[rad per length unit]: lower the limit, or use np.inf for none"
            )
    (_, par), (_, perp), (_, total) = transfer.limits
    least = min(2 * np.pi / length for length in grid.lengths)
    if not transfer.mean and min(total, np.hypot(par, perp)) < least * (1 - 1e-9):  # whatever the direction
        raise SnapshotError(
            f"{transfer.label}: no mode is inside; the smallest wavenumber of the box is {least:g} [rad per length "
            "unit]: widen the limits"
        )
    if transfer.mean > 0 and all(limits == ALL for limits in transfer.limits):
        return  # the complement of what passes every mode: the mean is left, as it should be
    if (
        known
        and np.prod(grid.shape) <= SEARCHED
        and not passes_any(transfer, waves_of(grid.dims, grid.shape, grid.spacing), along.values)
    ):
        raise SnapshotError(
            f"{transfer.label}: no mode is inside; the smallest wavenumber of the box is {least:g}, the largest "
            f"{corner:g} [rad per length unit]: widen the limits"
        )


def _map_modes(
    fields: Sequence[xr.DataArray], modes: Callable, grid: Grid, extra: xr.DataArray, count: int | None = None
) -> list[xr.DataArray]:
    """The seam: labelled fields to arrays with the spatial axes last, and back."""
    lead, (*wide, extra) = widened([*fields, extra], grid.dims)
    for i, f in enumerate(fields):
        new = [d for d in lead if d not in f.dims]
        wide[i] = wide[i].chunk(dict.fromkeys(new, 1)) if new and f.chunks is not None else wide[i]
    arrays = map_modes(
        [f.data for f in wide],
        modes,
        dims=grid.dims,
        widths=grid.spacing,
        names=[str(f.name) for f in fields],
        extra=extra.data,
        count=count,
    )
    like = [*wide, *wide[:1] * (len(arrays) - len(wide))][: len(arrays)]
    first = fields[0]
    order = [*[d for d in lead if d not in first.dims], *first.dims]
    return [
        model.copy(data=array.astype(model.dtype, copy=False)).transpose(*order)
        for model, array in zip(like, arrays, strict=True)
    ]


def _multiplier(k: np.ndarray, nyquist: np.ndarray, width: float, kind: str) -> np.ndarray:
    """What a derivative multiplies a mode by: i k, i sin(k d)/d, or (exp(i k d) - 1)/d from a face to the next.

    The exact derivative of a Nyquist mode has no sign and would not be real: it is taken as 0, which its
    central difference is.
    """
    if kind == "central":
        return 1j * np.where(nyquist, 0.0, np.sin(k * width)) / width
    if kind == "face":
        return (np.exp(1j * k * width) - 1.0) / width
    return 1j * np.where(nyquist, 0.0, k)


@dataclass(frozen=True)
class _Vector:
    """Work on the components of a vector: `work` takes the derivative's multipliers and the spectra (x, y, z).

    The multipliers are per smallest cell, so that their squares are numbers of order 1 whatever the unit of
    length; results are of that to `power`, and brought back.
    """

    work: Callable[..., list[np.ndarray]]
    widths: tuple[tuple[str, float], ...]
    kind: str
    power: int

    def __call__(self, spectra: list[np.ndarray], waves: Waves, _: np.ndarray) -> list[np.ndarray]:
        widths = dict(self.widths)
        parts = dict(zip(waves.dims, zip(waves.k, waves.nyquist, strict=True), strict=True))
        kind, cell = spectra[0].dtype, min(widths.values())
        d = [
            (cell * _multiplier(*parts[dim], widths[dim], self.kind)).astype(kind)
            if dim in parts
            else np.zeros((), kind)
            for dim in SPATIAL
        ]
        results = self.work(d, spectra)
        return [r * kind.type(cell**self.power) for r in results] if self.power else results


def _inverse_square(d: Sequence[np.ndarray], like: np.ndarray) -> np.ndarray:
    """1 / |d|^2, and 0 where the derivative vanishes."""
    square = np.broadcast_to(sum(c.real**2 + c.imag**2 for c in d), like.shape)
    return np.divide(1.0, square, out=np.zeros(like.shape, like.real.dtype), where=square > 0)


def _longitudinal(d: Sequence[np.ndarray], v: Sequence[np.ndarray]) -> list[np.ndarray]:
    along = _dot(d, v)[0] * _inverse_square(d, v[0])
    return [c.conj() * along for c in d]


def _solenoidal(d: Sequence[np.ndarray], v: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [s - p for s, p in zip(v, _longitudinal(d, v), strict=True)]


def _cross(d: Sequence[np.ndarray], v: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [d[a] * v[b] - d[b] * v[a] for a, b in ((1, 2), (2, 0), (0, 1))]


def _dot(d: Sequence[np.ndarray], v: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [d[0] * v[0] + d[1] * v[1] + d[2] * v[2]]


def _potential(d: Sequence[np.ndarray], v: Sequence[np.ndarray]) -> list[np.ndarray]:
    inverse = _inverse_square(d, v[0])
    return [c * inverse for c in _cross(d, v)]


def _split(d: Sequence[np.ndarray], v: Sequence[np.ndarray]) -> list[np.ndarray]:
    along = _longitudinal(d, v)
    return [*(s - p for s, p in zip(v, along, strict=True)), *along]


def _work_on_vector(
    ds: xr.Dataset, vector: str, work: Callable, kind: str, what: str, *, count: int = 3, power: int = 0
) -> list[xr.DataArray]:
    if kind not in DIFFERENCES:
        raise ArgumentError(f"difference={kind!r}: one of {', '.join(DIFFERENCES)} is needed")
    names = components(ds, vector)
    grid = require_periodic(ds, what)
    modes = _Vector(work, tuple(grid.widths.items()), kind, power)
    fields = [as_real(ds[n]) for n in names]
    if power:
        fields = [f.astype(np.result_type(f.dtype, _derivative_kind(min(grid.spacing))), copy=False) for f in fields]
    return _map_modes(fields, modes, grid, mean_direction(ds, "z"), count)


def _derivative_kind(cell: float) -> np.dtype:
    """Dtype whose range holds fields of any strength over cells, or times them: cells of parsecs in m need more."""
    return np.dtype(np.float32 if 1e-12 < cell < 1e12 else np.float64)


def _derivative_units(ds: xr.Dataset, vector: str, power: int) -> dict[str, str]:
    return derived_units((ds[f"{vector}x"], 1), (ds[spatial_dims(ds)[0]], power))


@verb
def project(
    ds: xr.Dataset, vector: str = "B", *, difference: Literal["spectral", "central", "face"] = "spectral"
) -> xr.Dataset:
    """Remove the divergence of a vector: B - k (k·B)/k², with the wavevector of a difference operator.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot.
    vector : str
        Letter of the vector.
    difference : {"spectral", "central", "face"}
        The divergence that vanishes afterwards: the exact derivative, the central difference of
        cell-centred data, or the difference of face-centred data.

    Returns
    -------
    xarray.Dataset
        `ds` with the vector replaced; what has no such divergence is left as it is: the mean, and for
        ``spectral`` and ``central`` the modes that are Nyquist ones along every axis that they vary on.

    Raises
    ------
    ArgumentError, SnapshotError
        If an axis is open or not uniform, or a component is missing.
    """
    parts = _work_on_vector(ds, vector, _solenoidal, difference, "a projection")
    return ds.assign(dict(zip(components(ds, vector), parts, strict=True)))


@verb
def helmholtz(
    ds: xr.Dataset, vector: str = "B", *, difference: Literal["spectral", "central"] = "spectral"
) -> tuple[xr.Dataset, xr.Dataset]:
    """Split a vector into its solenoidal and its compressive part, which add up to it.

    Parameters
    ----------
    ds, vector, difference
        As :func:`project`.

    Returns
    -------
    solenoidal, compressive : xarray.Dataset
        The three components each; the mean is in the solenoidal part.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`project`.
    """
    names = components(ds, vector)
    parts = _work_on_vector(ds, vector, _split, difference, "a Helmholtz split", count=6)
    own = ds[list(names)]
    return tuple(own.assign(dict(zip(names, part, strict=True))) for part in (parts[:3], parts[3:]))


@verb
def curl(ds: xr.Dataset, vector: str = "B") -> xr.Dataset:
    """Curl of a vector, by spectral derivatives.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot.
    vector : str
        Letter of the vector.

    Returns
    -------
    xarray.Dataset
        ``curl_Bx curl_By curl_Bz``; in float32 at least, and in float64 where cells are beyond 1e±12 of the length
        unit, as of all derivatives and potentials.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`project`.
    """
    return _label_components(
        ds, vector, _work_on_vector(ds, vector, _cross, "spectral", "a curl", power=-1), "curl_{}", -1
    )


@verb
def vector_potential(ds: xr.Dataset, vector: str = "B") -> xr.Dataset:
    """Vector potential of the solenoidal fluctuation, in the Coulomb gauge and with zero mean.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot.
    vector : str
        Letter of the vector.

    Returns
    -------
    xarray.Dataset
        ``Ax Ay Az``, whose curl is the vector less its mean, its compressive part and its Nyquist modes.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`project`.
    """
    parts = _work_on_vector(ds, vector, _potential, "spectral", "a vector potential", power=1)
    named = _label_components(ds, vector, parts, "{}", 1).rename({f"{vector}{d}": f"A{d}" for d in SPATIAL})
    for d in SPATIAL:
        named[f"A{d}"].attrs["long_name"] = f"vector potential of {vector} along {d}"
    return named


@verb
def divergence(
    ds: xr.Dataset, vector: str = "B", *, difference: Literal["spectral", "central"] = "spectral"
) -> xr.DataArray:
    """Divergence of a cell-centred vector.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot.
    vector : str
        Letter of the vector.
    difference : {"spectral", "central"}

    Returns
    -------
    xarray.DataArray
        ``div_B``.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`project`.
    """
    if difference == "face":
        raise ArgumentError("difference='face': a divergence of cell-centred data is 'spectral' or 'central'")
    (result,) = _work_on_vector(ds, vector, _dot, difference, "a divergence", count=1, power=-1)
    notes = {**_derivative_units(ds, vector, -1), "long_name": f"divergence of {vector}"}
    return result.rename(f"div_{vector}").drop_attrs(deep=False).assign_attrs(notes)


def _label_components(
    ds: xr.Dataset, vector: str, parts: Sequence[xr.DataArray], pattern: str, power: int
) -> xr.Dataset:
    names = components(ds, vector)
    out = ds[list(names)].assign(dict(zip(names, parts, strict=True)))
    for name in names:
        notes = {**_derivative_units(ds, vector, power), "long_name": pattern.format(name)}
        out[name].attrs = notes
    return out.rename({name: pattern.format(name) for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)

"""Fourier filtering of snapshots: transfer functions of (k_par, k_perp), and the one place that applies them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError, mean_direction, require_periodic, spacing, spatial_dims


@dataclass(frozen=True)
class Transfer:
    """A transfer function g(k_par, k_perp); ``~g`` is 1 - g, ``g * h`` the product.

    Parameters
    ----------
    function : callable
        Takes k_par >= 0 and k_perp >= 0 [rad per length unit], gives values in [0, 1].
    label : str
        What it is, recorded in the attrs of what it filters.
    mean : float
        Value at k = 0; 0 keeps the mean field in the residual.
    """

    function: Callable[[np.ndarray, np.ndarray], np.ndarray]
    label: str
    mean: float = 0.0

    def __call__(self, k_par: np.ndarray, k_perp: np.ndarray) -> np.ndarray:
        values = np.asarray(self.function(k_par, k_perp), dtype=float)
        return np.where((k_par == 0) & (k_perp == 0), self.mean, values)

    def __invert__(self) -> "Transfer":
        return Transfer(_Complement(self), f"~({self.label})", 1.0 - self.mean)

    def __mul__(self, other: "Transfer") -> "Transfer":
        return Transfer(_Product(self, other), f"({self.label}) * ({other.label})", self.mean * other.mean)


@dataclass(frozen=True)
class _Complement:
    inner: Transfer

    def __call__(self, k_par: np.ndarray, k_perp: np.ndarray) -> np.ndarray:
        return 1.0 - self.inner(k_par, k_perp)


@dataclass(frozen=True)
class _Product:
    first: Transfer
    second: Transfer

    def __call__(self, k_par: np.ndarray, k_perp: np.ndarray) -> np.ndarray:
        return self.first(k_par, k_perp) * self.second(k_par, k_perp)


@dataclass(frozen=True)
class _SharpBand:
    k_par: tuple[float, float]
    k_perp: tuple[float, float]

    def __call__(self, k_par: np.ndarray, k_perp: np.ndarray) -> np.ndarray:
        inside = (k_par >= self.k_par[0]) & (k_par <= self.k_par[1])
        return inside & (k_perp >= self.k_perp[0]) & (k_perp <= self.k_perp[1])


def band(
    *,
    k_par: tuple[float, float] = (0.0, np.inf),
    k_perp: tuple[float, float] = (0.0, np.inf),
    edge: str = "sharp",
    keep_mean: bool = False,
) -> Transfer:
    """Pass band in |k_par| and k_perp, edges included.

    Parameters
    ----------
    k_par, k_perp : (float, float)
        Limits [rad per length unit].
    edge : {"sharp"}
    keep_mean : bool
        Pass k = 0 too; by default the mean field stays in the residual.

    Returns
    -------
    Transfer

    Raises
    ------
    SnapshotError
        If limits are negative, not ascending, or the edge is unknown.
    """
    if edge != "sharp":
        raise SnapshotError(f"edge={edge!r}: 'sharp' is available")
    for name, limits in (("k_par", k_par), ("k_perp", k_perp)):
        if len(limits) != 2 or not 0 <= limits[0] < limits[1]:
            raise SnapshotError(f"{name}={limits}: two ascending limits from 0 on are needed")
    low, high = (tuple(map(float, limits)) for limits in (k_par, k_perp))
    return Transfer(_SharpBand(low, high), f"band(k_par={low}, k_perp={high}, edge='sharp')", float(keep_mean))


def filter(ds: xr.Dataset, transfer: Transfer, *, direction: str | Sequence[float] | None = None) -> xr.Dataset:
    """Filter every field of a periodic snapshot; ``filter(ds, g) + filter(ds, ~g) == ds`` to rounding.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot; each chunked variable is brought to one spatial chunk for its transform.
    transfer : Transfer
        From :func:`band`, or any g(k_par, k_perp) wrapped in :class:`Transfer`.
    direction : str or three numbers, optional
        What parallel means: an axis or a vector (x, y, z); the mean field of `ds` by default.

    Returns
    -------
    xarray.Dataset
        Of the same variables, dtypes, coordinates and attrs, with ``filter`` recorded; lazy where
        `ds` is.  The mean stays with the transfer function whose value at k = 0 is 1.

    Raises
    ------
    SnapshotError
        If an axis is open, not uniform, or the field has no mean direction and none is given
        (the latter, like NaN in the field, when the result is computed).
    """
    require_periodic(ds, "a Fourier filter")
    dims = spatial_dims(ds)
    along = mean_direction(ds, direction)
    widths = spacing(ds)
    fields = {name: v for name, v in ds.data_vars.items() if set(dims) <= set(v.dims) and v.dtype.kind == "f"}
    filtered = {
        name: xr.apply_ufunc(
            _filtered,
            field,
            along,
            input_core_dims=[list(dims), ["component"]],
            output_core_dims=[list(dims)],
            kwargs={"transfer": transfer, "dims": dims, "widths": tuple(widths[d] for d in dims), "name": str(name)},
            dask="parallelized",
            output_dtypes=[field.dtype],
            dask_gufunc_kwargs={"allow_rechunk": True},
            keep_attrs=True,
        ).transpose(..., *(d for d in field.dims if d in dims))
        for name, field in fields.items()
    }
    out = ds.assign(filtered)
    for name in filtered:
        out[name].attrs = dict(ds[name].attrs)
    return out.assign_attrs(filter=transfer.label)


def wavenumbers(shape: Sequence[int], widths: Sequence[float]) -> list[np.ndarray]:
    """Wavenumbers [rad per length unit] of a real transform, one array per axis, shaped to broadcast."""
    arrays = []
    for axis, (n, width) in enumerate(zip(shape, widths, strict=True)):
        last = axis == len(shape) - 1
        k = 2 * np.pi * (np.fft.rfftfreq(n, width) if last else np.fft.fftfreq(n, width))
        arrays.append(k.reshape([-1 if i == axis else 1 for i in range(len(shape))]))
    return arrays


def par_perp(k: Sequence[np.ndarray], dims: Sequence[str], direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """|k_par| and k_perp of wavevectors whose axes are `dims`, against a unit (x, y, z) direction."""
    along = sum(component * direction[SPATIAL.index(d)] for component, d in zip(k, dims, strict=True))
    square = sum(component**2 for component in k)
    rest = square - along**2
    return np.abs(along) + 0 * square, np.sqrt(np.where(rest > 1e-12 * square, rest, 0.0))


def transform(field: np.ndarray, name: str) -> np.ndarray:
    """Real transform of the last dims, refusing NaN; float32 in, complex64 out."""
    from scipy import fft

    if not np.isfinite(field).all():
        where = tuple(np.argwhere(~np.isfinite(field))[0].tolist())
        raise SnapshotError(f"{name} is not finite at index {where}: fill it before a Fourier transform")
    return fft.rfftn(field)


def over_leading(
    fields: Sequence[np.ndarray], direction: np.ndarray, rank: int
) -> tuple[tuple[int, ...], list[np.ndarray], np.ndarray]:
    """Leading shape (time) of fields of `rank` spatial dims and a direction, and all of them broadcast to it."""
    lead = np.broadcast_shapes(*(f.shape[: f.ndim - rank] for f in fields), direction.shape[:-1])
    wide = [np.broadcast_to(f, (*lead, *f.shape[f.ndim - rank :])) for f in fields]
    return lead, wide, np.broadcast_to(direction, (*lead, 3))


def _filtered(
    field: np.ndarray,
    direction: np.ndarray,
    *,
    transfer: Transfer,
    dims: tuple[str, ...],
    widths: tuple[float, ...],
    name: str,
) -> np.ndarray:
    """NumPy adaptor: filter the last dims of `field`, one leading index after the other."""
    from scipy import fft

    lead, (field,), along = over_leading([field], direction, len(dims))
    shape = field.shape[len(lead) :]
    out = np.empty(field.shape, field.dtype)
    for index in np.ndindex(*lead):
        k_par, k_perp = par_perp(wavenumbers(shape, widths), dims, along[index])
        spectrum = transform(field[index], name)
        spectrum *= transfer(k_par, k_perp).astype(spectrum.real.dtype)
        out[index] = fft.irfftn(spectrum, s=shape)
    return out

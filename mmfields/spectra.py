"""Power spectra of periodic snapshots: shell and annular sums that satisfy Parseval's law."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SnapshotError,
    mean_direction,
    require_periodic,
    spacing,
    spatial_dims,
    wavenumber_attrs,
)
from mmfields.fourier.transform import forward, over_leading, waves_of

NORMALIZATION = "sum of E times bin widths is <|dB|^2>/2 over the given fields, k = 0 left out"


def power(ds: xr.Dataset, names: Sequence[str] = ("Bx", "By", "Bz")) -> xr.DataArray:
    """Shell-summed power spectrum E(k).

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot; lazy where it is.
    names : sequence of str
        Fields whose power is added up.

    Returns
    -------
    xarray.DataArray
        Over ``k`` [rad per length unit], with coordinates ``k_width`` and ``modes`` (modes per
        shell); ``(E * E.k_width).sum()`` is <|dB|^2>/2.

    Raises
    ------
    SnapshotError
        If an axis is open or not uniform, or a field is missing.
    """
    grid = _Bins(ds)
    counts = xr.apply_ufunc(
        _binned,
        *_fields(ds, names),
        xr.DataArray([0.0, 0.0, 1.0], dims="component"),
        **_ufunc(ds, names, [["k"]], {"k": grid.size}),
        kwargs={"bins": grid, "names": tuple(names), "two_dimensional": False},
    )
    modes = grid.modes()
    result = (counts / grid.width).isel(k=slice(1, None)).rename("power")
    coords = {
        "k": ("k", grid.centres()[1:], {**grid.notes, "long_name": "wavenumber"}),
        "k_width": ("k", np.full(grid.size - 1, grid.width)),
        "modes": ("k", modes[1:]),
    }
    return result.assign_coords(coords).assign_attrs(_attrs(ds, names))


def power2d(
    ds: xr.Dataset, names: Sequence[str] = ("Bx", "By", "Bz"), *, direction: str | Sequence[float] | None = None
) -> xr.DataArray:
    """Annular-summed power spectrum E(k_perp, k_par).

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot; lazy where it is.
    names : sequence of str
        Fields whose power is added up.
    direction : str or three numbers, optional
        What parallel means; the mean field by default.

    Returns
    -------
    xarray.DataArray
        Over ``k_perp`` and ``k_par`` >= 0 (both signs summed) [rad per length unit], with coordinates
        ``k_perp_width`` and ``k_par_width``; ``(E * E.k_perp_width * E.k_par_width).sum()`` is <|dB|^2>/2.

    Raises
    ------
    SnapshotError
        As :func:`power`; and without a mean field, when it is computed, where no direction is given.
    """
    grid = _Bins(ds)
    counts = xr.apply_ufunc(
        _binned,
        *_fields(ds, names),
        mean_direction(ds, direction),
        **_ufunc(ds, names, [["k_perp", "k_par"]], {"k_perp": grid.size, "k_par": grid.size}),
        kwargs={"bins": grid, "names": tuple(names), "two_dimensional": True},
    )
    widths = np.full(grid.size, grid.width)
    widths[0] /= 2  # |k| < half a bin
    notes = grid.notes
    coords = {
        "k_perp": ("k_perp", grid.centres(), {**notes, "long_name": "perpendicular wavenumber"}),
        "k_par": ("k_par", grid.centres(), {**notes, "long_name": "parallel wavenumber"}),
        "k_perp_width": ("k_perp", widths),
        "k_par_width": ("k_par", widths),
    }
    result = counts.assign_coords(coords).rename("power")
    result = result / (result["k_perp_width"] * result["k_par_width"])
    return result.rename("power").assign_attrs(_attrs(ds, names))


class _Bins:
    """Bins of one width, that of the longest axis's fundamental; bin n holds k within half a width of n widths."""

    def __init__(self, ds: xr.Dataset) -> None:
        require_periodic(ds, "a power spectrum")
        self.dims = spatial_dims(ds)
        widths = spacing(ds)
        self.widths = tuple(widths[d] for d in self.dims)
        self.shape = tuple(ds.sizes[d] for d in self.dims)
        self.width = min(2 * np.pi / (n * w) for n, w in zip(self.shape, self.widths, strict=True))
        corner = np.sqrt(sum((np.pi / w) ** 2 for w in self.widths))
        self.size = int(np.floor(corner / self.width + 0.5)) + 1
        self.notes = wavenumber_attrs(ds)
        self.window_power = float(ds.attrs.get("window_power", 1.0))

    def centres(self) -> np.ndarray:
        return np.arange(self.size) * self.width

    def index(self, k: np.ndarray) -> np.ndarray:
        return np.minimum((k / self.width + 0.5).astype(np.int64), self.size - 1)

    def weights(self) -> np.ndarray:
        """How often each kept mode of the real transform stands for: 2, or 1 on its own mirror planes."""
        n = self.shape[-1]
        weights = np.full(n // 2 + 1, 2.0)
        weights[0] = 1.0
        if n % 2 == 0:
            weights[-1] = 1.0
        return weights

    def total(self) -> np.ndarray:
        return np.sqrt(sum(c**2 for c in waves_of(self.dims, self.shape, self.widths).k))

    def modes(self) -> np.ndarray:
        k = self.total()
        weights = np.broadcast_to(self.weights(), k.shape)
        return np.bincount(self.index(k).ravel(), weights.ravel(), self.size)


def _fields(ds: xr.Dataset, names: Sequence[str]) -> list[xr.DataArray]:
    if isinstance(names, str) or not names:
        raise SnapshotError(f"names={names!r}: a list of variables is needed")
    if missing := [n for n in names if n not in ds]:
        raise SnapshotError(f"no {missing} among {list(ds.data_vars)}")
    return [ds[name] for name in names]


def _ufunc(ds: xr.Dataset, names: Sequence[str], out: list[list[str]], sizes: dict[str, int]) -> dict:
    core = list(spatial_dims(ds))
    return {
        "input_core_dims": [core] * len(names) + [["component"]],
        "output_core_dims": out,
        "dask": "parallelized",
        "output_dtypes": [np.float64],
        "dask_gufunc_kwargs": {"allow_rechunk": True, "output_sizes": sizes},
    }


def _attrs(ds: xr.Dataset, names: Sequence[str]) -> dict[str, str]:
    unit = ds[names[0]].attrs.get("units", "1")
    return {
        "long_name": f"power of {', '.join(names)}",
        "normalization": NORMALIZATION,
        "field_units": unit,
        "fields": ", ".join(names),
    }


def _binned(*arrays: np.ndarray, bins: _Bins, names: tuple[str, ...], two_dimensional: bool) -> np.ndarray:
    """NumPy adaptor: half the mode power of all fields summed into bins, over the leading dims."""
    *fields, direction = arrays
    rank = len(bins.shape)
    lead, fields, along = over_leading(fields, direction, rank)
    waves = waves_of(bins.dims, bins.shape, bins.widths)
    total = bins.total()
    size = bins.size**2 if two_dimensional else bins.size
    out = np.empty((*lead, size))
    for index in np.ndindex(*lead):
        if two_dimensional:
            k_par, k_perp = waves.par_perp(along[index])
            place = bins.index(k_perp) * bins.size + bins.index(k_par)
        else:
            place = bins.index(total)
        energy = np.zeros(total.shape)
        for name, field in zip(names, fields, strict=True):
            spectrum = forward(field[index], name)
            spectrum[(0,) * rank] = 0
            energy += spectrum.real.astype(float) ** 2 + spectrum.imag.astype(float) ** 2
        energy *= bins.weights() * 0.5 / (float(np.prod(bins.shape)) ** 2 * bins.window_power)
        out[index] = np.bincount(place.ravel(), energy.ravel(), size)
    return out.reshape(*lead, bins.size, bins.size) if two_dimensional else out

"""Elsasser variables, and the cross helicity that they show."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields._types import Mass
from mmfields.anisotropy.plasma import ion_mass_of
from mmfields.conventions import SPATIAL, SnapshotError, components, derived_units, mean, spatial_dims, unit_attrs
from mmfields.provenance import verb
from mmfields.spectra import power
from mmfields.units import unit_of_variable


@verb
def elsasser(ds: xr.Dataset, *, ion_mass: Mass = "proton") -> xr.Dataset:
    """Elsasser variables z± = u ± B/√(μ0 ρ), and the field in the unit of the velocity.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot with ``ux uy uz``, ``Bx By Bz`` and ``rho`` or ``n``; lazy where it is.  In code units B/√ρ is taken
        to be the Alfvén speed, μ0 and the ion mass being 1.
    ion_mass : "proton" or astropy Quantity
        Of a plasma whose number density is given in units.

    Returns
    -------
    xarray.Dataset
        ``zpx zpy zpz``, ``zmx zmy zmz`` and ``bx by bz``, with the attrs of the snapshot.

    Raises
    ------
    SnapshotError
        If a variable is missing, or some of them state their units and others do not.

    Examples
    --------
    >>> import mmfields as mm
    >>> z = mm.anisotropy.elsasser(mm.samples.load("mhd_turbulence"))
    >>> sorted(z.data_vars)[-1]
    'zpz'
    """
    field, flow = components(ds), components(ds, "u")
    density = next((n for n in ("rho", "n") if n in ds), None)
    if density is None:
        raise SnapshotError("neither rho nor n is there: the Alfven speed needs a density")
    scale = _scale(ds, field[0], flow[0], density, ion_mass)
    out, unit = {}, unit_attrs(ds[flow[0]])
    for d, b, u in zip(SPATIAL, field, flow, strict=True):
        alfven = xr.apply_ufunc(
            _alfven, ds[b], ds[density], kwargs={"scale": scale}, dask="parallelized", output_dtypes=[np.float64]
        )
        for name, values, text in (
            (f"zp{d}", ds[u] + alfven, "u + b"),
            (f"zm{d}", ds[u] - alfven, "u - b"),
            (f"b{d}", alfven, "B over the root of mu0 rho"),
        ):
            out[name] = values.assign_attrs(unit, long_name=f"{text} along {d}")
    return xr.Dataset(out, attrs=ds.attrs)


def _alfven(field: np.ndarray, density: np.ndarray, *, scale: float) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return scale * field.astype(float) / np.sqrt(density, dtype=float)


def _scale(ds: xr.Dataset, b: str, u: str, density: str, ion_mass: Any) -> float:
    """Factor that brings B/√ρ to the unit of u."""
    from astropy import constants, units

    own = {name: unit_of_variable(ds, name) for name in (b, u, density)}
    known = [name for name, unit in own.items() if unit is not None]
    if not known:
        return 1.0
    if len(known) < 3:
        missing = [name for name in own if name not in known]
        raise SnapshotError(f"{known} are in units and {missing} are not: bring all of them to either")
    mass = 1.0 if density == "rho" else ion_mass_of(ion_mass)
    try:
        return float((own[b].to("T") / np.sqrt(constants.mu0 * mass * own[density]) / own[u]).to_value(""))
    except units.UnitsError as error:
        raise SnapshotError(f"{b}, {u}, {density} in {[str(o.unit) for o in own.values()]}: {error}") from error


@verb
def cross_helicity(ds: xr.Dataset, *, ion_mass: Mass = "proton") -> xr.Dataset:
    """Cross helicity ⟨u·b⟩ of the fluctuations, normalized and by wavenumber, and the residual energy.

    Parameters
    ----------
    ds, ion_mass
        As :func:`elsasser`; periodic.

    Returns
    -------
    xarray.Dataset
        ``cross_helicity`` ⟨δu·δb⟩; ``normalized`` σ_c = (⟨δz+²⟩ - ⟨δz-²⟩)/(⟨δz+²⟩ + ⟨δz-²⟩); ``residual``
        σ_r = (⟨δu²⟩ - ⟨δb²⟩)/(⟨δu²⟩ + ⟨δb²⟩); over ``k``: ``spectrum``, whose sum times ``k_width`` is ⟨δu·δb⟩, and
        ``sigma_c`` by shell.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`elsasser` and :func:`mmfields.spectra.power`.

    Examples
    --------
    >>> import mmfields as mm
    >>> found = mm.anisotropy.cross_helicity(mm.samples.load("mhd_turbulence"))
    >>> bool(abs(found["normalized"]) <= 1)
    True
    """
    z = elsasser(ds, ion_mass=ion_mass)
    flow = ds[list(components(ds, "u"))]
    plus, minus = (power(z, [f"{name}{d}" for d in SPATIAL]) for name in ("zp", "zm"))
    dims = spatial_dims(ds)
    squares = [_variance(data, names, dims) for data, names in (
        (z, [f"zp{d}" for d in SPATIAL]), (z, [f"zm{d}" for d in SPATIAL]),
        (flow, list(flow.data_vars)), (z, [f"b{d}" for d in SPATIAL]),
    )]  # fmt: skip
    p, m, u, b = squares
    unit, first = {"units": "1"}, ds[components(ds, "u")[0]]
    square = derived_units((first, 2))
    density = derived_units((first, 2), (ds[dims[0]], 1), ("rad", -1))
    spectrum, sigma = (plus - minus) / 2, (plus - minus) / (plus + minus)
    return xr.Dataset(
        {
            "cross_helicity": ((p - m) / 4).assign_attrs(square, long_name="<u.b> of the fluctuations"),
            "normalized": ((p - m) / (p + m)).assign_attrs(unit, long_name="normalized cross helicity"),
            "residual": ((u - b) / (u + b)).assign_attrs(unit, long_name="normalized residual energy"),
            "spectrum": spectrum.drop_attrs(deep=False).assign_attrs(density, long_name="cross helicity by wavenumber"),
            "sigma_c": sigma.drop_attrs(deep=False).assign_attrs(unit, long_name="normalized cross helicity"),
        }
    )


def _variance(data: xr.Dataset, names: Sequence[str], dims: Sequence[str]) -> xr.DataArray:
    """Mean square of the fluctuations of several components together."""
    parts = [data[n].astype(float) for n in names]
    return sum(mean((part - mean(part, dims)) ** 2, dims) for part in parts)

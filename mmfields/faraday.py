"""Faraday rotation of a snapshot."""

from typing import Any

import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError, axis_spacing, components

# e^3 / (2 pi m_e^2 c^4) in rad m^-2 per (cm^-3 uG pc)
RM_CONSTANT = 0.8119011615


def rotation_measure(
    ds: xr.Dataset,
    los: str = "z",
    *,
    density: Any = None,
    field_unit: Any = None,
    length_unit: Any = None,
    redshift: float = 0.0,
) -> xr.DataArray:
    """Rotation-measure map RM = 0.8119 ∫ n_e B · dl [cm⁻³, µG, pc], dl from the source to the observer.

    The observer is at the upper end of `los`, so a field along +los gives a positive RM.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot; lazy where it is.
    los : {"x", "y", "z"}
        Axis of the line of sight.
    density : astropy Quantity, optional
        Electron density where the snapshot has no ``n``, or instead of it.
    field_unit, length_unit : astropy Quantity or Unit, optional
        What 1 stands for in a normalized snapshot; by default ``attrs["field_unit"]`` and
        ``attrs["length_unit"]``.
    redshift : float
        Of the source; the observed RM is (1 + z)⁻² times that of its rest frame.

    Returns
    -------
    xarray.DataArray
        Over the dims that are left, in rad m⁻².

    Raises
    ------
    SnapshotError
        If the axis or the density is missing, or a unit is not known.
    """
    components(ds)
    if los not in SPATIAL or los not in ds.dims:
        raise SnapshotError(f"los={los!r}: one of the snapshot's axes {[d for d in SPATIAL if d in ds.dims]} is needed")
    if not redshift > -1:
        raise SnapshotError(f"redshift={redshift!r}: a number above -1 is needed")
    field = ds[f"B{los}"]
    scale = RM_CONSTANT * axis_spacing(ds, los)
    scale *= _factor(field, ds, "field_unit", field_unit, "uG", f"B{los}")
    scale *= _factor(ds[los], ds, "length_unit", length_unit, "pc", los)
    if density is not None:
        column = field.astype(float) * _factor(field, ds, "density", density, "cm-3", "density")
    elif "n" in ds:
        column = field.astype(float) * ds["n"] * _factor(ds["n"], ds, "density_unit", None, "cm-3", "n")
    else:
        raise SnapshotError(
            "the snapshot has no number density 'n': give density=1e-3 / u.cm**3, or ds.assign(n=...) with units"
        )
    result = (column.sum(los, skipna=False) * (scale / (1 + redshift) ** 2)).rename("rotation_measure")
    result = result.drop_attrs(deep=False)
    return result.assign_attrs(
        units="rad / m2", long_name="rotation measure", line_of_sight=f"+{los}", redshift=float(redshift)
    )


def _quantity(value: Any, name: str) -> Any:
    from astropy import units as u

    try:
        if isinstance(value, u.UnitBase):
            return 1 * value
        try:
            quantity = u.Quantity(value)
        except TypeError:
            quantity = 1 * u.Unit(value)  # a unit by name, such as "uG"
    except (TypeError, ValueError) as error:
        raise SnapshotError(f"{name}={value!r} is no quantity with a unit ({error})") from error
    if quantity.unit == u.dimensionless_unscaled:
        raise SnapshotError(f"{name}={value!r} has no unit: give an astropy Quantity such as 1e-3 / u.cm**3")
    return quantity


def _factor(array: xr.DataArray, ds: xr.Dataset, key: str, given: Any, target: str, name: str) -> float:
    """Size of the array's unit in `target`: what the caller gave, the array's units, or the dataset's normalization."""
    from astropy import units as u

    stated = array.attrs.get("units", "1")
    try:
        if given is not None and key != "density" and stated not in ("1", ""):
            raise SnapshotError(f"{name} is in {stated} already, so {key}={given} contradicts it: leave it out")
        if given is not None:
            return float(_quantity(given, key).to_value(target))
        if stated not in ("1", ""):
            return float(u.Unit(stated).to(target))
        if key in ds.attrs:
            return float(u.Unit(ds.attrs[key]).to(target))
    except SnapshotError:
        raise
    except (ValueError, TypeError) as error:  # astropy's unit errors are among them
        raise SnapshotError(f"{name} in units of {stated!r} cannot be brought to {target}: {error}") from error
    remedy = f"give {key}=... as an astropy Quantity" if key != "density_unit" else "give density=..."
    raise SnapshotError(f"{name} is in code units and the snapshot has no {key!r} attribute: {remedy}")

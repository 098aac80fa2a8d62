"""From comoving to physical coordinates."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions.checks import as_real, components, require_plain_data
from mmfields.conventions.vocabulary import SPATIAL
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.provenance import verb


@verb
def physical(ds: xr.Dataset, scale_factors: Mapping[str, float] | None = None) -> xr.Dataset:
    """Snapshot of a contracting (or expanding) box, from comoving to physical coordinates, lazily.

    Lengths along axis i are a_i times the comoving ones, so wavenumbers are k_i = k'_i / a_i.  What comes
    back is an ordinary snapshot: filters, spectra and scales of it are physical.

    Parameters
    ----------
    ds : xarray.Dataset
        Comoving snapshot, whose ``attrs["frame"]`` says what the stored fields are.
    scale_factors : mapping, optional
        Physical over comoving length per axis, 1 for those left out; by default
        ``attrs["scale_factor_x|y|z"]``, as the reader took them.

    Returns
    -------
    xarray.Dataset
        With coordinates multiplied and ``attrs["frame"] = "physical"``.  Where the fields were comoving,
        B_i = a_i B'_i / (a_x a_y a_z), which conserves the flux; where they were physical they stay.

    Raises
    ------
    ArgumentError, SnapshotError
        If there are no factors, one is not positive, or the frame is not known; and if comoving fields
        other than B are there, whose law the snapshot does not state.
    """
    require_plain_data(ds)
    given, error = scale_factors, SnapshotError if scale_factors is None else ArgumentError
    if given is None:
        given = {d: ds.attrs[f"scale_factor_{d}"] for d in SPATIAL if f"scale_factor_{d}" in ds.attrs}
    if not isinstance(given, Mapping) or not given or set(given) - set(SPATIAL):
        raise error(f"scale_factors={given!r}: give those of the axes that contract, such as {{'y': 0.5}}")
    if bad := {d: a for d, a in given.items() if isinstance(a, str) or not (np.isfinite(a) and a > 0)}:
        raise error(f"scale factors {bad}: positive numbers are needed")
    frame = ds.attrs.get("frame")
    if frame not in ("comoving", "physical"):
        raise SnapshotError(
            f"the frame of the fields is {frame!r}: say which they are, 'comoving' or 'physical', with frame=... on "
            "opening or ds.assign_attrs(frame=...)"
        )
    if "scale_factors_applied" in ds.attrs:
        raise SnapshotError(f"these are physical already: {ds.attrs['scale_factors_applied']} was applied")
    axes = {axis: a for d, a in given.items() for axis in (d, f"{d}_f") if axis in ds.coords}
    out = ds.assign_attrs(frame="physical", scale_factors_applied=str(dict(given))).assign_coords(
        {axis: (axis, ds[axis].values * a, _scaled(ds[axis].attrs, a)) for axis, a in axes.items()}
    )
    out.attrs = {key: value for key, value in out.attrs.items() if not key.startswith("scale_factor_")}
    if frame == "physical":
        return out
    names = components(ds)
    if others := [name for name in ds.data_vars if name not in names]:
        raise SnapshotError(
            f"{others} are comoving too, by a law that is not stated: keep the magnetic field alone, "
            f"ds[{list(names)}], or bring them to physical values and set frame='physical'"
        )
    volume = np.prod(list(given.values()))
    for d, name in zip(SPATIAL, names, strict=True):
        field = as_real(ds[name])
        out[name] = (
            (field * field.dtype.type(given.get(d, 1.0) / volume))
            .assign_coords(out[name].coords)
            .assign_attrs(ds[name].attrs)
        )
    return out


def _scaled(attrs: Mapping[Hashable, Any], factor: float) -> dict[Hashable, Any]:
    """Attrs of an axis whose cells are `factor` times as long."""
    return {**attrs, **({"spacing": attrs["spacing"] * factor} if "spacing" in attrs else {})}

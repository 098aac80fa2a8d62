"""The snapshot convention: names, checks, grid spacing and mean field.

A snapshot is an :class:`xarray.Dataset` whose spatial dims are among ``x``, ``y``, ``z``
(in the order that the file stores), whose coordinates are uniform, ascending cell
centres, and whose vectors are ``Bx By Bz`` and so on.  Every complaint about a malformed
snapshot is a :class:`SnapshotError` raised from here or from a reader.
"""

import math
import sys
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr

from mmfields.provenance import verb

SPATIAL = ("x", "y", "z")
BOUNDARIES = ("periodic", "open", "reflecting")

# Below this ratio of |<B>| to B_rms a field has no mean direction worth the name.
MEAN_FIELD_FLOOR = 1e-3

LONG_NAMES = {
    **{f"B{i}": f"magnetic field along {i}" for i in SPATIAL},
    **{f"E{i}": f"electric field along {i}" for i in SPATIAL},
    **{f"u{i}": f"bulk velocity along {i}" for i in SPATIAL},
    "n": "number density",
    "rho": "mass density",
    "p_par": "pressure along the magnetic field",
    "p_perp": "pressure across the magnetic field",
    **{f"P{i}{j}": f"pressure tensor, {i}{j}" for i in SPATIAL for j in SPATIAL if i <= j},
}


class MmfieldsError(ValueError):
    """Base of the errors that this package raises itself; each says what was found, where, and what to do."""


class SnapshotError(MmfieldsError):
    """A file or Dataset breaks the snapshot convention; the message says where and how to mend it."""


class ArgumentError(MmfieldsError):
    """An argument of a call is not what it takes; the message says which, and what is needed."""


class MmfieldsWarning(UserWarning):
    """Something known at the call that matters for the result; the attrs say it too."""


def warn(message: str) -> None:
    """A :class:`MmfieldsWarning` that points at the line outside this package that has led to it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).split(".")[0] == "mmfields":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, MmfieldsWarning, stacklevel=level)


def spatial_dims(ds: xr.Dataset | xr.DataArray) -> tuple[str, ...]:
    """Spatial dims of a snapshot, in the order in which its first variable stores them.

    Raises
    ------
    SnapshotError
        If there is none.
    """
    if not isinstance(ds, xr.Dataset | xr.DataArray):
        raise SnapshotError(f"a snapshot is needed, not {type(ds).__name__}: make one of arrays with mm.io.from_arrays")
    require_plain_data(ds)
    arrays: Iterable[xr.DataArray] = ds.data_vars.values() if isinstance(ds, xr.Dataset) else [ds]
    found: list[str] = []
    for array in arrays:
        found += [str(d) for d in array.dims if d in SPATIAL and d not in found]
    if not found:
        raise SnapshotError(
            f"no spatial dim among {tuple(ds.dims)}: a snapshot has dims out of x, y, z; "
            "rename yours with ds.rename(...)"
        )
    return tuple(found)


def unit_carried(value: Any) -> Any:
    """Unit that a Quantity of astropy or pint carries, in Dask arrays too; None for numbers and labelled arrays."""
    if isinstance(value, xr.Dataset | xr.DataArray | xr.Variable | str):
        return None
    for part in (value, getattr(value, "_meta", None)):
        for unit in (getattr(part, key, None) for key in ("units", "unit")):
            if unit is not None and not callable(unit):
                return unit
    return None


def require_plain_data(ds: xr.Dataset | xr.DataArray) -> None:
    """Refuse arrays that carry their unit with them (those of pint), which would be lost on the way.

    Raises
    ------
    SnapshotError
        Naming the first one; nothing is computed or read.
    """
    arrays = ds.variables if isinstance(ds, xr.Dataset) else {ds.name: ds.variable, **ds.coords}
    for name, array in arrays.items():
        data = getattr(array, "variable", array)._data  # .data would read what a file holds
        if (unit := unit_carried(data)) is not None:
            raise SnapshotError(
                f"{name} is a Quantity in {unit}: plain numbers with attrs['units'] are needed, as "
                "ds.pint.dequantify(format='~') makes them"
            )


def require_real(array: xr.DataArray, name: Any = None) -> xr.DataArray:
    """The array itself, of real numbers or of true and false, which count as 1 and 0.

    Raises
    ------
    SnapshotError
        If it holds anything else.
    """
    if array.dtype.kind not in "fiub":
        name = array.name if name is None else name
        remedy = "take its parts, .real and .imag" if array.dtype.kind == "c" else "leave it out, or convert it"
        raise SnapshotError(f"{name} is {array.dtype}: real numbers are needed; {remedy}")
    return array


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
        return require_number(width, f"attrs['spacing'] of axis {dim!r}", np.finfo(float).tiny)
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


def require_one_unit(ds: xr.Dataset | xr.DataArray, names: Iterable[str], what: str, remedy: str) -> None:
    """Refuse variables that state different units."""
    units = {name: str(ds[name].attrs["units"]) for name in names if "units" in ds[name].attrs}
    if len(set(units.values())) > 1:
        raise SnapshotError(f"{what} differ in unit: {units}; {remedy}")


def box(ds: xr.Dataset | xr.DataArray) -> dict[str, tuple[float, float]]:
    """Lower and upper face of the box along every spatial dim; a period is their difference."""
    limits = {}
    for dim, width in spacing(ds).items():
        lower = float(ds[dim][0]) - width / 2
        limits[dim] = (lower, lower + width * ds.sizes[dim])
    return limits


def components(ds: xr.Dataset, vector: str = "B") -> tuple[str, str, str]:
    """Names of the three components of `vector`, checked to be there and of one shape.

    Raises
    ------
    SnapshotError
        If a component is missing or not of real numbers, or the shapes or units differ.
    """
    if not isinstance(ds, xr.Dataset):
        raise SnapshotError(f"a snapshot Dataset is needed, not {type(ds).__name__}: such as ds[['Bx', 'By', 'Bz']]")
    require_plain_data(ds)
    names = tuple(f"{vector}{i}" for i in SPATIAL)
    missing = [name for name in names if name not in ds]
    if missing:
        raise SnapshotError(
            f"missing {', '.join(missing)} among {list(ds.data_vars)}: rename the components of "
            f"{vector} to {', '.join(names)}"
        )
    for name in names:
        require_real(ds[name])
    shapes = {name: dict(ds[name].sizes) for name in names}
    if len({tuple(sorted(shape.items())) for shape in shapes.values()}) > 1:
        raise SnapshotError(f"components of {vector} differ in shape: {shapes}")
    require_one_unit(ds, names, f"components of {vector}", "convert them to one")
    return names  # type: ignore[return-value]


def boundaries(ds: xr.Dataset | xr.DataArray) -> dict[str, str]:
    """``periodic``, ``open`` or ``reflecting`` for every spatial dim, from the attrs ``boundary_x|y|z``."""
    kinds, dims = {}, spatial_dims(ds)
    if isinstance(ds, xr.DataArray) and not any(f"boundary_{dim}" in ds.attrs for dim in dims):
        raise SnapshotError("a snapshot Dataset is needed, not DataArray: such as ds[['Bx', 'By', 'Bz']]")
    for dim in dims:
        kinds[dim] = ds.attrs.get(f"boundary_{dim}")
    if bad := [dim for dim in dims if kinds[dim] not in BOUNDARIES]:
        found = ", ".join(f"attrs['boundary_{dim}'] is {kinds[dim]!r}" for dim in bad)
        given = ", ".join(f"boundary_{dim}=..." for dim in bad)
        raise SnapshotError(f"{found}: set it to 'periodic', 'open' or 'reflecting' with ds.assign_attrs({given})")
    return kinds


def unit_attrs(array: xr.DataArray) -> dict[str, str]:
    """Attrs ``units`` of an array, ``1`` where it has none, and the ``normalization`` that ``1`` stands for."""
    return {"units": "1"} | {key: array.attrs[key] for key in ("units", "normalization") if key in array.attrs}


def stated_unit(text: Any) -> dict[str, str]:
    """Attrs of a unit that a file states: ``units`` where astropy reads it, else as the ``normalization`` of 1."""
    from astropy import units as u

    try:
        u.Unit(str(text))
    except ValueError:
        return {"units": "1", "normalization": str(text)}
    return {"units": str(text)}


def derived_units(*factors: tuple[xr.DataArray | str, int]) -> dict[str, str]:
    """Attrs ``units`` (and ``normalization``) of a product of powers, in a form that astropy reads.

    Parameters
    ----------
    *factors : (array or unit, power)
        Arrays with the attrs of :func:`unit_attrs`, or units by name, such as ``"rad"``; and whole powers.

    Returns
    -------
    dict
        ``units`` of what has units, ``1`` where nothing has; and where an array is in code units, as ``normalization``
        what the number 1 stands for, such as ``B0 / d_i``.
    """
    units, names, coded = [], [], False
    for of, power in (factor for factor in factors if factor[1]):
        notes = {"units": of} if isinstance(of, str) else unit_attrs(of)
        plain = notes["units"] in ("1", "")
        coded |= plain
        units += [] if plain else [(str(notes["units"]), power)]
        names.append((str(notes.get("normalization", _code_unit(of)) if plain else notes["units"]), power))
    return {"units": _product(units)} | ({"normalization": _written(names)} if coded else {})


def _code_unit(array: xr.DataArray) -> str:
    """What to call the unit of an array that does not say."""
    name = str(array.name)
    if name in SPATIAL or name in ("l", "r"):
        return "length unit"
    return "field unit" if name[:-1] == "B" else f"unit of {name}"


def _product(factors: Sequence[tuple[str, int]]) -> str:
    """A product of powers of units as astropy writes it; as it is given where astropy does not know one of them."""
    if not factors:
        return "1"
    if len(factors) == 1 and factors[0][1] == 1:
        return factors[0][0]
    from astropy import units as u

    try:
        whole = math.prod((u.Unit(text) ** power for text, power in factors), start=u.dimensionless_unscaled)
    except (ValueError, TypeError):
        return _written(factors)
    text = u.CompositeUnit(1, whole.bases, whole.powers).to_string() or "1"
    if whole.scale == 1:
        return text
    return f"{whole.scale!r}" + ("" if text == "1" else text[1:] if text.startswith("1 /") else f" {text}")


def _written(factors: Sequence[tuple[str, int]]) -> str:
    """A product of powers of names, such as ``B0**2 d_i / rad``."""

    powers: dict[str, int] = {}
    for name, power in factors:
        powers[name] = powers.get(name, 0) + power

    def side(sign: int) -> list[str]:
        found = []
        for name, power in powers.items():
            if power * sign > 0:
                name = f"({name})" if abs(power) > 1 and not name.isidentifier() else name
                found.append(name if abs(power) == 1 else f"{name}**{abs(power)}")
        return found

    above, below = " ".join(side(1)) or "1", side(-1)
    return above if not below else f"{above} / {below[0]}" if len(below) == 1 else f"{above} / ({' '.join(below)})"


def wavenumber_attrs(ds: xr.Dataset | xr.DataArray) -> dict[str, str]:
    """Attrs ``units`` (and ``normalization``) of wavenumbers of a snapshot, from those of its first axis."""
    return derived_units(("rad", 1), (ds[spatial_dims(ds)[0]], -1))


def require_periodic(ds: xr.Dataset | xr.DataArray, what: str) -> None:
    """Refuse `what` on a snapshot with an open axis.

    Raises
    ------
    SnapshotError
        If an axis is not periodic.
    """
    kinds = boundaries(ds)
    if bad := [dim for dim, kind in kinds.items() if kind != "periodic"]:
        raise SnapshotError(
            f"{what} needs periodic axes, and {', '.join(bad)} is {kinds[bad[0]]}: if the box is periodic in "
            f"fact, say so with boundary='periodic' on opening or ds.assign_attrs(boundary_{bad[0]}='periodic')"
        )


def check(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` unchanged if it is a snapshot (spatial dims, uniform axes, boundaries).

    Raises
    ------
    SnapshotError
        Naming everything that is wrong and the remedies.
    """
    if not isinstance(ds, xr.Dataset):
        raise SnapshotError(f"a snapshot is an xarray.Dataset, not {type(ds).__name__}")
    dims = spatial_dims(ds)
    faults = []
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
            raise SnapshotError(f"boundary={given!r}: one word for all axes, or a mapping such as {{'x': 'open'}}")
        each = dict.fromkeys(dims, given) if isinstance(given, str) else dict(given)
        if unknown := set(each) - set(dims):
            raise SnapshotError(f"boundary names axes {sorted(unknown)}, the snapshot has {list(dims)}")
        chosen = {dim: each.get(dim, known.get(dim, "periodic")) for dim in dims}
        source = "caller"
    if bad := {k: v for k, v in chosen.items() if v not in BOUNDARIES}:
        raise SnapshotError(f"boundary must be 'periodic', 'open' or 'reflecting', not {bad}")
    return {**{f"boundary_{dim}": kind for dim, kind in chosen.items()}, "boundary_source": source}


@verb
def mean_field(ds: xr.Dataset, vector: str = "B") -> xr.Dataset:
    """Component means of a vector of the snapshot, lazily.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot.
    vector : str
        Letter of the vector, ``B`` by default.

    Returns
    -------
    xarray.Dataset
        The three components over the dims that are not spatial, in the field's unit; NaN where the
        field holds one.  Sums run in float64 whatever the dtype of the field.
    """
    names = list(components(ds, vector))
    return ds[names].mean(spatial_dims(ds), dtype=np.float64, skipna=False, keep_attrs=True)


def as_real(array: xr.DataArray) -> xr.DataArray:
    """The array itself if it holds floats; whole numbers, and true and false, as float64."""
    require_real(array)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def mean(array: xr.DataArray, dims: Iterable[str]) -> xr.DataArray:
    """Mean over spatial dims in float64, lazily; NaN where the array holds one."""
    return array.mean(dims, dtype=np.float64, skipna=False)


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
    SnapshotError
        If there are no factors, one is not positive, or the frame is not known; and if comoving fields
        other than B are there, whose law the snapshot does not state.
    """
    require_plain_data(ds)
    given = scale_factors
    if given is None:
        given = {d: ds.attrs[f"scale_factor_{d}"] for d in SPATIAL if f"scale_factor_{d}" in ds.attrs}
    if not isinstance(given, Mapping) or not given or set(given) - set(SPATIAL):
        raise SnapshotError(f"scale_factors={given!r}: give those of the axes that contract, such as {{'y': 0.5}}")
    if bad := {d: a for d, a in given.items() if isinstance(a, str) or not (np.isfinite(a) and a > 0)}:
        raise SnapshotError(f"scale factors {bad}: positive numbers are needed")
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


def unit_vector(direction: str | Iterable[float]) -> np.ndarray:
    """Unit (x, y, z) vector of an axis name or of three numbers.

    Raises
    ------
    SnapshotError
        If it is neither, or has no length.
    """
    if isinstance(direction, str):
        if direction not in SPATIAL:
            raise SnapshotError(f"direction {direction!r}: give 'x', 'y', 'z' or three numbers (x, y, z)")
        return np.array([float(direction == dim) for dim in SPATIAL])
    try:
        vector = np.asarray(list(direction), dtype=float)
    except (TypeError, ValueError):
        vector = np.zeros(0)
    length = np.linalg.norm(vector) if vector.shape == (3,) else 0.0
    if not np.isfinite(length) or length == 0:
        raise SnapshotError(f"direction {direction!r}: give 'x', 'y', 'z' or three finite numbers, not all zero")
    return vector / length


def require_direction(along: np.ndarray) -> None:
    """Refuse a mean direction that a field which is not finite has spoilt.

    Raises
    ------
    SnapshotError
        If a component is not finite.
    """
    if not np.isfinite(along).all():
        raise SnapshotError("B is not finite, so its mean gives no direction: fill it first, such as with ds.fillna(0)")


def mean_direction(ds: xr.Dataset, direction: str | Iterable[float] | None = None) -> xr.DataArray:
    """Unit vector that parallel and perpendicular refer to, lazily.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot.
    direction : str or three numbers, optional
        An axis or a vector (x, y, z); the direction of the mean B by default.

    Returns
    -------
    xarray.DataArray
        Over ``component`` (x, y, z), after any dims that are not spatial.

    Raises
    ------
    SnapshotError
        When it is computed, where the mean field is below 1e-3 of the rms field.  It is NaN where the
        field is not finite (see :func:`require_direction`).
    """
    if direction is not None:
        return xr.DataArray(unit_vector(direction), dims="component")
    names = list(components(ds))
    dims = spatial_dims(ds)
    with ThreadPoolExecutor() as pool:  # a field in memory is summed here and now
        means, squares = (list(pool.map(lambda name, of=of: of(ds[name], dims), names)) for of in (mean, _mean_square))
    means, square = xr.concat(means, "component", coords="minimal"), sum(squares)
    return xr.apply_ufunc(
        direction_of,
        means.drop_attrs(),
        square,
        input_core_dims=[["component"], []],
        output_core_dims=[["component"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )


def _mean_square(array: xr.DataArray, dims: tuple[str, ...]) -> xr.DataArray:
    """Mean square over spatial dims in float64, row by row: without a copy of the array.

    (``xr.dot`` does the same in an order of letters, and so under a name, that changes from process to process.)
    """
    ordered = array.transpose(..., *dims)
    if array.chunks is None:
        rows: Any = np.einsum("...i,...i->...", ordered.data, ordered.data, dtype=np.float64)
    else:
        import dask.array as da

        rows = da.einsum("...i,...i->...", ordered.data, ordered.data, dtype=np.float64)
    labelled = xr.DataArray(rows, dims=ordered.dims[:-1])
    return labelled.mean(dims[:-1], skipna=False) / array.sizes[dims[-1]]


def direction_of(mean: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    """Unit vectors of mean fields (…, 3), given the mean squares of the field.

    Raises
    ------
    SnapshotError
        Where a mean field is below 1e-3 of the rms field.
    """
    strength = np.linalg.norm(mean, axis=-1)
    rms = np.sqrt(np.asarray(mean_square))
    if np.any(strength <= MEAN_FIELD_FLOOR * rms):
        raise SnapshotError(
            f"the mean field is {np.min(strength):.3g} against an rms field of {np.max(rms):.3g}, so it gives no "
            "direction: say what parallel means with direction='x', 'y', 'z' or a vector"
        )
    return mean / strength[..., None]


def aligned(
    fields: Sequence[xr.DataArray], small: Sequence[xr.DataArray], dims: Sequence[str], last: str = "component"
) -> tuple[list[str], list[Any], list[Any]]:
    """Fields and small arrays of a snapshot without their labels, for what lies below xarray.

    Parameters
    ----------
    fields : sequence of xarray.DataArray
        Over `dims` and perhaps others, such as ``time``, which lead.
    small : sequence of xarray.DataArray
        Over `last`, and perhaps leading dims.
    dims : sequence of str
    last : str

    Returns
    -------
    lead, fields, small
        Names of the leading dims; NumPy or Dask arrays over (lead, dims) in :func:`native` dtypes, and over
        (lead, last).

    Raises
    ------
    SnapshotError
        If a field is not of real numbers.
    """
    everything = (*fields, *small)
    lead = list(dict.fromkeys(d for a in everything for d in a.dims if d not in (*dims, last)))
    sizes = {d: n for a in everything for d, n in a.sizes.items()}

    def wide(array: xr.DataArray, own: Sequence[str]) -> Any:
        new = {d: sizes[d] for d in lead if d not in array.dims}
        return array.expand_dims(new).transpose(*lead, *own).data

    return lead, [native(wide(f, dims), f.name) for f in fields], [wide(s, [last]) for s in small]


def native(array: Any, name: Any) -> Any:
    """Floats as kernels take them: float32 as it is, half precision as float32, all else as float64.

    Raises
    ------
    SnapshotError
        If they are not real numbers.
    """
    require_real(array, name)
    kind = np.float32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else np.float64
    return array.astype(kind, copy=False)


def stacked(parts: Sequence[Any], lead: Sequence[int]) -> Any:
    """Results for all places along leading axes, in their order, as one NumPy or Dask array (lead, …)."""
    if not lead:
        return parts[0]
    if hasattr(parts[0], "dask"):
        import dask.array as da

        return da.stack(parts).reshape(*lead, *parts[0].shape)
    return np.stack(parts).reshape(*lead, *parts[0].shape)


def known_unit(ds: xr.Dataset, name: str, key: str) -> Any:
    """What 1 of a variable is, as an astropy Quantity: by its own units, else by ``attrs[key]`` of the snapshot.

    Returns
    -------
    Quantity or None
        None where neither says.

    Raises
    ------
    SnapshotError
        If astropy does not know the unit.
    """
    from astropy import units

    stated = ds[name].attrs.get("units", "1")
    text = stated if stated not in ("1", "") else ds.attrs.get(key)
    if text is None:
        return None
    try:
        return units.Quantity(text) if isinstance(text, units.Quantity) else 1.0 * units.Unit(str(text))
    except (TypeError, ValueError) as error:
        raise SnapshotError(f"{name}: astropy does not know the unit {text!r} ({error})") from error


def require_whole(value: Any, name: str, low: int) -> int:
    """A whole number from `low` on.

    Raises
    ------
    SnapshotError
        If it is none; `name` says which.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < low:
        raise SnapshotError(f"{name}={value!r}: a whole number from {low} on is needed")
    return int(value)


def require_number(value: Any, name: str, low: float = -np.inf, high: float = np.inf) -> float:
    """A finite number within limits, which are included.

    Raises
    ------
    SnapshotError
        If it is none; `name` says which.
    """
    good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not good or not np.isfinite(value) or not low <= value <= high:
        limits = "" if np.isinf(low) and np.isinf(high) else f" from {low:g} to {high:g}"
        raise SnapshotError(f"{name}={value!r}: a finite number{limits} is needed")
    return float(value)


def require_plain(given: Any, name: str, unit: str = "the field's length unit") -> np.ndarray:
    """Finite numbers of any shape and without a unit, which would be lost.

    Raises
    ------
    SnapshotError
        If they are none, or have a unit; `name` says which.
    """
    if (own := unit_carried(given)) is not None:
        raise SnapshotError(f"{name} is a Quantity in {own}: plain numbers in {unit} are needed, .to_value(...)")
    try:
        array = np.asarray(given)
        array = array.astype(float) if array.dtype.kind in "fiu" else None
    except (TypeError, ValueError):
        array = None
    if array is None or not np.isfinite(array).all():
        raise SnapshotError(f"{name}={given!r}: finite numbers in {unit} are needed")
    return array


def require_values(given: Any, name: str) -> np.ndarray:
    """Finite numbers in one dimension, at least one of them.

    Raises
    ------
    SnapshotError
        If they are none; `name` says which.
    """
    if (own := unit_carried(given)) is not None:
        raise SnapshotError(f"{name} is a Quantity in {own}: plain numbers are needed, .to_value(...)")
    try:
        array = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        array = np.empty((0, 0))
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise SnapshotError(f"{name}: finite numbers in one dimension are needed, not {given!r}")
    return array


def require_vector(given: Any, name: str) -> tuple[float, float, float]:
    """Three finite numbers (x, y, z).

    Raises
    ------
    SnapshotError
        If they are none; `name` says which.
    """
    values = require_values(given, name)
    if len(values) != 3:
        raise SnapshotError(f"{name}={given!r}: three numbers (x, y, z) are needed")
    return tuple(values.tolist())


def keys_of(seed: int, group: int, n: int) -> np.ndarray:
    """One 64-bit random key per particle, independent of how many there are and of chunks.

    Parameters
    ----------
    seed, group : int
        Of the ensemble, and which of its gyroradii.
    n : int

    Returns
    -------
    (n,) uint64 array
    """
    return np.random.default_rng([seed, group, 1]).integers(0, 2**64, size=n, dtype=np.uint64, endpoint=False)


def saved_lengths(distance: float, save: int | Sequence[float], start: float = 0.0) -> np.ndarray:
    """Path lengths of the saved points.

    Parameters
    ----------
    distance : float
        Where the path ends.
    save : int or sequence of float
        So many evenly spaced points after the start, which is saved too; or the path lengths.
    start : float
        Where it begins.

    Returns
    -------
    (s,) float array

    Raises
    ------
    SnapshotError
        If they are not ascending, finite and within the path.
    """
    if require_number(distance, "distance") <= start:
        done = f", of which {start:g} are done: distance counts from the original start" if start else ""
        raise SnapshotError(f"distance={distance!r}: a path length beyond {start:g} is needed{done}")
    if isinstance(save, bool | str):
        raise SnapshotError(f"save={save!r}: path lengths, or how many, are needed; every variable is saved at each")
    if isinstance(save, int | np.integer):
        if save < 1:
            raise SnapshotError(f"save={save}: at least one point is needed")
        return np.linspace(start, distance, int(save) + 1)
    path = require_plain(save, "save")
    if path.ndim != 1 or not len(path) or not np.isfinite(path).all() or path[0] < start or (np.diff(path) <= 0).any():
        raise SnapshotError(f"save: ascending, finite path lengths from {start:g} on are needed")
    if path[-1] > distance * (1 + 1e-12):
        raise SnapshotError(f"save ends at {path[-1]:g}, beyond distance={distance:g}")
    return path

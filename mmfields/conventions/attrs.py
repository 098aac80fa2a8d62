"""Units of variables, as texts in their attrs."""

import math
from collections.abc import Sequence
from typing import Any

import xarray as xr

from mmfields.conventions.checks import spatial_dims
from mmfields.conventions.vocabulary import SPATIAL


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
    """Name for the unit of an array that states none."""
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

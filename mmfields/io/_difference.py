"""What a store and a Dataset have in common, and what not, in words."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from mmfields.identity import ATTRS


def difference(stored: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """In words, what a store and a Dataset do not have in common."""
    said = []
    if stored.get("source") != record["source"]:
        said.append(f"the source, {_shown(stored.get('source'))} there and {_shown(record['source'])} here")
    there, here = str(stored.get("history", "")).split("\n"), record["history"].split("\n")
    if pairs := [(a, b) for a, b in zip(there, here, strict=False) if a != b]:
        said.append(_difference_of_calls(*pairs[0]))
    elif longer := (there[len(here) :] or here[len(there) :]):
        said.append(f"the history, {longer[0]} {'there' if len(there) > len(here) else 'here'} alone")
    if not said:
        own, other = stored.get("variables", {}), record["variables"]
        names = sorted({n for n in {*own, *other} if own.get(n) != other.get(n)})
        what = f"the data of {', '.join(names)}" if names else "the attrs of the Dataset"
        said.append(f"{what} (a file that has changed since, or what was done outside of mmfields, or in other chunks)")
    return "; ".join(said)


def _shown(text: Any) -> str:
    return " and ".join(str(text).split("\n"))


def _difference_of_calls(there: str, here: str) -> str:
    """Two calls in words; of calls of one function only the arguments in which they differ."""
    if there.split("(")[0] != here.split("(")[0]:
        return f"the history, {there} there and {here} here"
    first, second = _arguments(there), _arguments(here)
    only = [a for a in first if a not in second], [a for a in second if a not in first]
    listed = (", ".join(part) or "the default" for part in only)
    return f"an argument of {here.split('(')[0]}, {next(listed)} there and {next(listed)} here"


def _arguments(call: str) -> list[str]:
    """Arguments of a call in words, split at the commas outside of brackets."""
    inner, depth, parts = call[call.find("(") + 1 : -1], 0, [""]
    for letter in inner:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def same_structure(here: xr.Dataset, there: xr.Dataset, lazy: set[str]) -> bool:
    """Whether two open stores are equal except in their history and in the numbers of the variables `lazy`.

    Their content is compared, not their bytes, which depend on the version of zarr.
    """
    if set(here.variables) != set(there.variables) or set(here.coords) != set(there.coords):
        return False
    if not _same_attrs(here.attrs, there.attrs):
        return False
    for name, own in here.variables.items():
        other = there.variables[name]
        if own.dims != other.dims or own.shape != other.shape or own.dtype != other.dtype:
            return False
        if own.encoding.get("chunks") != other.encoding.get("chunks") or not _same_attrs(own.attrs, other.attrs):
            return False
        if name not in lazy and not own.equals(other):
            return False
    return True


def _same_attrs(here: Mapping[Any, Any], there: Mapping[Any, Any]) -> bool:
    """Whether attrs say the same but for how the data came about."""
    own, other = ({key: value for key, value in attrs.items() if key not in ATTRS} for attrs in (here, there))
    return xr.Variable((), 0, own).identical(xr.Variable((), 0, other))

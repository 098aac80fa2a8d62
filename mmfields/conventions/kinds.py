"""Datasets and DataArrays at the door: either is taken where one reading is possible, and the same kind goes out."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import xarray as xr

from mmfields.conventions.checks import spatial_dims
from mmfields.errors import ArgumentError

P = ParamSpec("P")
R = TypeVar("R")
Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)
# Attrs of one variable; all others of a DataArray are those of a snapshot.
OWN = ("units", "long_name", "standard_name", "code_name", "normalization")
NAMELESS = "field"


def dataset_of(array: xr.DataArray) -> xr.Dataset:
    """The snapshot that holds one field alone, such as a map of :mod:`mmfields.faraday` or the cut of one.

    Raises
    ------
    ArgumentError
        If the field does not say what its boundaries are, as only a Dataset does in most cases.
    """
    name = array.name if array.name is not None else NAMELESS
    if not any(f"boundary_{d}" in array.attrs for d in spatial_dims(array)):
        given = ", ".join(f"boundary_{d}='periodic'" for d in spatial_dims(array))
        raise ArgumentError(
            f"a DataArray alone, {name!r}, does not say what its boundaries are: give the Dataset, ds[[{name!r}]], or "
            f"array.assign_attrs({given})"
        )
    attrs = {key: value for key, value in array.attrs.items() if key not in OWN}
    return array.to_dataset(name=name).assign_attrs(attrs)


def array_of(data: Any, what: str) -> xr.DataArray:
    """The DataArray itself, or the one variable of a Dataset, as one that was stored and opened again.

    Raises
    ------
    ArgumentError
        If it is neither, or the Dataset has several variables; `what` says what is needed.
    """
    if isinstance(data, xr.DataArray):
        return data
    if not isinstance(data, xr.Dataset):
        raise ArgumentError(f"{what} is needed, not {type(data).__name__}")
    if len(data.data_vars) != 1:
        names = list(map(str, data.data_vars))
        one = f": give one of them, ds[{names[0]!r}]" if names else ""
        raise ArgumentError(f"{what} is needed, and a Dataset has {names}{one}")
    (array,) = data.data_vars.values()
    return array


def require_dataset(data: Any, what: str) -> xr.Dataset:
    """The Dataset itself.

    Raises
    ------
    ArgumentError
        If it is anything else; `what` says what is needed.
    """
    if not isinstance(data, xr.Dataset):
        raise ArgumentError(f"{what} is needed, a Dataset, not {type(data).__name__}")
    return data


def same_kind(
    function: Callable[Concatenate[xr.Dataset, P], xr.Dataset],
) -> Callable[Concatenate[Labelled, P], Labelled]:
    """Decorate a function of snapshots that treats each field by itself: of a DataArray it gives a DataArray."""
    signature = inspect.signature(function)

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        bound, given, name = _in_a_dataset(signature, args, kwargs)
        result = function(*bound.args, **bound.kwargs)
        return result if given is None else result[name].rename(given.name).assign_attrs(result.attrs)

    return cast(Any, called)


def of_fields(
    function: Callable[Concatenate[xr.Dataset, P], R],
) -> Callable[Concatenate[xr.Dataset | xr.DataArray, P], R]:
    """Decorate a function of a snapshot and ``variables``: a DataArray stands for a snapshot of itself alone."""
    signature = inspect.signature(function)

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        bound, given, name = _in_a_dataset(signature, args, kwargs)
        if given is not None:
            variables = bound.arguments.get("variables")
            if variables is not None and list(variables) != [name]:
                raise ArgumentError(f"variables={variables!r} are those of a Dataset, and this is {name!r} alone")
            bound.arguments["variables"] = [name]
        return function(*bound.args, **bound.kwargs)

    return cast(Any, called)


def of_array(
    what: str,
) -> Callable[[Callable[Concatenate[xr.DataArray, P], R]], Callable[Concatenate[xr.DataArray | xr.Dataset, P], R]]:
    """Decorate a function of one DataArray: a Dataset of one variable stands for it; `what` says what is needed."""

    def decorate(function: Any) -> Any:
        signature = inspect.signature(function)

        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            bound, first = _bound(signature, args, kwargs)
            bound.arguments[first] = array_of(bound.arguments[first], what)
            return function(*bound.args, **bound.kwargs)

        return called

    return decorate


def _in_a_dataset(
    signature: inspect.Signature, args: Any, kwargs: Any
) -> tuple[inspect.BoundArguments, xr.DataArray | None, Any]:
    """Arguments with a Dataset in place of a DataArray, that DataArray and its name in there; of a Dataset as it is."""
    bound, first = _bound(signature, args, kwargs)
    given = bound.arguments[first]
    if not isinstance(given, xr.DataArray):
        return bound, None, None
    bound.arguments[first] = ds = dataset_of(given)
    (name,) = ds.data_vars
    return bound, given, name


def _bound(signature: inspect.Signature, args: Any, kwargs: Any) -> tuple[inspect.BoundArguments, str]:
    """Arguments by name, and the name of the first."""
    bound = signature.bind(*args, **kwargs)
    return bound, next(iter(signature.parameters))

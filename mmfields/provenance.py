"""Where a result comes from: its version, source and history, by one function for every verb.

Arrays that a verb of mmfields returns carry their identity (:mod:`mmfields.identity`) in the name of their Dask graph.
"""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import is_dataclass, replace
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from mmfields import __version__
from mmfields._compat import data_of, meta_of
from mmfields.identity import ATTRS, MADE, digest, files_of, identity, is_dask, is_quantity, made

__all__ = ["ATTRS", "described", "provenance", "show_versions", "source_of", "verb", "versions"]

# Arguments that change how a result is computed, but not the result.
HOW = frozenset({"chunks", "particles_per_task", "block", "progress", "overwrite", "scheduler"})
MOST_SOURCES, LONGEST_ARGUMENT = 8, 120
MEMORY = "arrays in memory"
ROOT = ("tracing", "conventions")  # modules whose functions users find in the package itself
# Arrays of more blocks get no name of their own, which costs a task for each.
MOST_RENAMED = 1000

F = TypeVar("F", bound=Callable[..., Any])
_inside: ContextVar[bool] = ContextVar("inside a verb", default=False)


def verb(function: F) -> F:
    """Decorate a public function: what it returns carries its identity, source and history."""
    signature = inspect.signature(function)
    room = function.__module__.split(".")[1]
    name = f"mm.{function.__name__}" if room in ROOT else f"mm.{room}.{function.__name__}"

    @wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        if _inside.get():
            return function(*args, **kwargs)
        token = _inside.set(True)
        try:
            result = function(*args, **kwargs)
        finally:
            _inside.reset(token)
        bound = signature.bind(*args, **kwargs)
        return _recorded(result, _Call(name, bound))

    return recorded  # type: ignore[return-value]


class _Call:
    """One call of a verb: identity, source and history of what it gives."""

    def __init__(self, name: str, bound: inspect.BoundArguments) -> None:
        self.name = name
        given = _flat(bound)
        first = next(iter(bound.signature.parameters.values()), None)
        bare = {first.name} if first is not None and first.kind is not first.KEYWORD_ONLY else set()
        bare |= {"particles"} if first is not None and first.name == "field" else set()
        line = ", ".join(_typed(key, value, key in bare) for key, value in given.items() if key not in HOW)
        self.inputs = inputs = [v for v in _leaves(given.values()) if isinstance(v, xr.Dataset | xr.DataArray)]
        arrays = [v for v in _leaves(given.values()) if _is_array(v)]
        others = [v for v in given.values() if not isinstance(v, xr.Dataset | xr.DataArray)]
        fields_on_no_grid = [
            v.label() for v in others if hasattr(v, "strength") and callable(getattr(v, "label", None))
        ]
        self.attrs = described(inputs, f"{name}({line})", fields_on_no_grid or [MEMORY if arrays else name])
        self.given = {data_of(v).name for data in inputs for v in _variables(data) if is_dask(data_of(v))}
        bound.apply_defaults()
        used = {key: value for key, value in _flat(bound).items() if key not in HOW}
        self.identity = digest(name, identity(used))

    def story(self, result: Any) -> dict[str, str]:
        """The attrs of a result; a function that reads states its source itself."""
        own = "source" in result.attrs and not self.inputs
        return self.attrs | ({"source": result.attrs["source"]} if own else {})


def _variables(data: Any) -> Iterable[xr.Variable]:
    if isinstance(data, xr.Dataset):
        return data.variables.values()
    return [data.variable, *(coord.variable for coord in data.coords.values())]


def _flat(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Arguments by name, with those that the function takes by any name."""
    flat: dict[str, Any] = {}
    for key, value in bound.arguments.items():
        if bound.signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD:
            flat |= value
        else:
            flat[key] = value
    return flat


def _leaves(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, Mapping) and not isinstance(value, xr.Dataset):
            yield from _leaves(value.values())
        elif isinstance(value, list | tuple):
            yield from _leaves(value)
        elif isinstance(getattr(value, "snapshot", None), xr.Dataset):  # a field of which it is a part
            yield value.snapshot
        else:
            yield value


def _is_array(value: Any) -> bool:
    return isinstance(getattr(value, "shape", None), tuple) and value.shape != () and not hasattr(value, "coords")


def _typed(key: str, value: Any, bare: bool) -> str:
    """An argument as one would type it."""
    if isinstance(value, xr.Dataset | xr.DataArray):
        return key if bare else f"{key}={key}"
    if is_quantity(value):
        text = f"{np.asarray(value.value).tolist()} * u.Unit({value.unit.to_string()!r})"
    elif callable(getattr(value, "label", None)):
        text = value.label()
    elif isinstance(getattr(value, "label", None), str):
        text = value.label
    elif _is_array(value):
        text = f"<{value.dtype} array {tuple(value.shape)}>"
    elif callable(value) and not isinstance(value, type):
        text = getattr(value, "__name__", type(value).__name__)
    else:
        text = repr(value.item() if isinstance(value, np.generic) else value)
    text = text if len(text) <= LONGEST_ARGUMENT else f"<{type(value).__name__} of {len(text)} characters>"
    return text if bare else f"{key}={text}"


def described(inputs: Iterable[Any], line: str, others: Iterable[str]) -> dict[str, str]:
    """Attrs of what was made of labelled data.

    Parameters
    ----------
    inputs : iterable of Dataset or DataArray
    line : str
        The call, as one would type it.
    others : iterable of str
        The source where the inputs state none.
    """
    sources: list[str] = []
    history: list[str] = []
    for data in inputs:
        sources += [text for text in source_of(data).split("\n") if text not in sources]
        history += [text for text in str(data.attrs.get("history", "")).split("\n") if text and text not in history]
    known = [text for text in sources if text != MEMORY] or sources[:1] or list(others)
    return provenance(known, [*history, line])


def source_of(data: Any) -> str:
    """The file that a Dataset was opened from, else what its attrs say, the files that it reads, or memory."""
    found = data.encoding.get("source") or data.attrs.get("source") or "\n".join(files_of(data))
    return str(found or MEMORY)


def provenance(sources: Iterable[str], history: Iterable[str]) -> dict[str, str]:
    """The attrs that every public result carries: ``mmfields_version``, ``source`` and ``history``, flat texts."""
    sources = [str(source) for source in sources]
    if len(sources) > MOST_SOURCES:
        sources = [sources[0], f"({len(sources) - 2} more)", sources[-1]]
    return {"mmfields_version": __version__, "source": "\n".join(sources), "history": "\n".join(history)}


def _recorded(result: Any, call: _Call, place: str = "") -> Any:
    """A result with its attrs, its Dask arrays named by their identity; tuples and mappings item by item."""
    if isinstance(result, xr.Dataset):
        named = {n: _name_variable(v, call, place, str(n)) for n, v in result.variables.items() if is_dask(data_of(v))}
        coords = {n: v for n, v in named.items() if n in result.coords}
        result = result.assign_coords(coords) if coords else result
        data = {n: v for n, v in named.items() if n not in coords}
        return (result.assign(data) if data else result.copy(deep=False)).assign_attrs(call.story(result))
    if isinstance(result, xr.DataArray):
        variable = _name_variable(result.variable, call, place, str(result.name))
        coords = {
            n: _name_variable(c.variable, call, place, str(n)) for n, c in result.coords.items() if is_dask(c.data)
        }
        result = result.copy(deep=False, data=data_of(variable))
        return (result.assign_coords(coords) if coords else result).assign_attrs(call.story(result))
    if is_dataclass(result) and isinstance(getattr(result, "modes", None), xr.Dataset):  # waves on no grid
        return replace(result, modes=result.modes.assign_attrs(call.story(result.modes)))
    if type(result) in (tuple, list):
        return type(result)(_recorded(item, call, f"{place}.{i}") for i, item in enumerate(result))
    if type(result) is dict:
        return {key: _recorded(item, call, f"{place}.{key}") for key, item in result.items()}
    return result


def _name_variable(variable: xr.Variable, call: _Call, place: str, name: str) -> xr.Variable:
    """A variable whose Dask array tells its identity: by its name, or in this process where it has many blocks."""
    array = data_of(variable)
    if not is_dask(array) or MADE.fullmatch(array.name) or array.name in call.given:
        return variable  # or handed through as it came
    own = digest(call.identity, place, name, str(array.dtype))
    if array.npartitions > MOST_RENAMED:
        made[array.name] = own
        return variable
    chunks = hashlib.blake2b(repr(array.chunks).encode(), digest_size=4).hexdigest()
    renamed = _renamed(array, f"{call.name.split('.')[-1]}-{name}-mm{own}{chunks}")
    return xr.Variable(variable.dims, renamed, variable.attrs, variable.encoding, fastpath=True)


def _renamed(array: Any, name: str) -> Any:
    """The same array under another name of its graph."""
    import dask.array as da

    axes = tuple(range(array.ndim))
    return da.blockwise(_same, axes, array, axes, name=name, dtype=array.dtype, meta=meta_of(array))


def _same(block: Any) -> Any:
    return block


def show_versions() -> None:
    """Print the versions of mmfields, Python, and the libraries that it uses, for a bug report."""
    for name, number in versions().items():
        print(f"{name} {number}")


def versions() -> dict[str, str]:
    """Versions of mmfields, Python, the system, and the libraries that mmfields uses, by name.

    Examples
    --------
    >>> import mmfields as mm
    >>> "numpy" in mm.provenance.versions()
    True
    """
    import platform
    import sys
    from importlib.metadata import PackageNotFoundError, requires, version

    found = {"mmfields": __version__, "Python": sys.version.split()[0], "system": platform.platform()}
    try:
        wanted = [re.split(r"[\s<>=!~;\[]", text)[0] for text in requires("mmfields") or ()]
    except PackageNotFoundError:
        wanted = ["numpy", "xarray", "dask", "zarr", "numba", "astropy"]
    for library in sorted(dict.fromkeys(wanted), key=str.lower):
        if library == "mmfields":
            continue
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "is not installed"
    return found


def __dir__() -> list[str]:
    return sorted(__all__)

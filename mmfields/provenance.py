"""What a result is: its identity, its source and its history, in one place.

The identity of data says what was computed from what: the function, its arguments, and the files (path, size and time
of modification) or the content of the arrays that it read.  It is the same in every process, with or without a
cluster, and for any chunks.  Arrays that a verb of mmfields returns carry it in the name of their Dask graph; what a
user does to them afterwards (``ds * 2``, ``ds.isel(...)``) enters by the names that Dask gives, which know the
arguments too, but also the chunks.
"""

import hashlib
import inspect
import os
import re
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from xarray.core.indexing import PandasIndexingAdapter

from mmfields import __version__

# What a Dataset says of itself, and what does not belong to its identity.
ATTRS = ("mmfields_version", "source", "history")
# Arguments that change how a result is computed and not what it is.
HOW = frozenset({"chunks", "particles_per_task", "block", "progress", "overwrite", "scheduler"})
MADE = re.compile(r".*-mm([?0-9a-f][0-9a-f]{31})[0-9a-f]{8}")
UNKNOWN = "?"
MOST_SOURCES, LONGEST_ARGUMENT = 8, 120
MEMORY = "arrays in memory"
ROOT = ("tracing", "conventions")  # modules whose functions users find in the package itself

F = TypeVar("F", bound=Callable[..., Any])
_inside: ContextVar[bool] = ContextVar("inside a verb", default=False)
_read: dict[int, tuple[weakref.ref, str]] = {}
# Identities of arrays of more blocks than are worth a task each for a name of their own.
MOST_RENAMED = 1000
_made: dict[str, str] = {}


def digest(*parts: str) -> str:
    """Hash of texts, 32 digits; unknown, and new each time, if one of them is."""
    if any(part.startswith(UNKNOWN) and len(part) in (1, 32) for part in parts):
        return UNKNOWN + uuid.uuid4().hex[1:]
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def identity(value: Any) -> str:
    """Identity of an argument, an array, or labelled data.

    Parameters
    ----------
    value : object
        Numbers, texts, arrays, containers, functions, dataclasses, astropy Quantities, DataArrays, Datasets.

    Returns
    -------
    str
        32 digits; it begins with ``?`` where nothing can be said, such as of an object of an unknown kind.
    """
    if isinstance(value, xr.Dataset):
        return digest("Dataset", identity(dict(value.variables)), _attrs_identity(value.attrs))
    if isinstance(value, xr.DataArray):
        coords = {str(name): coord.variable for name, coord in value.coords.items()}
        return digest("DataArray", str(value.name), identity(value.variable), identity(coords))
    if isinstance(value, xr.Variable):
        return digest("Variable", repr(value.dims), array_identity(value._data), _attrs_identity(value.attrs))
    if _is_dask(value):
        return array_identity(value)
    if isinstance(value, np.ndarray) and not is_quantity(value):
        return array_identity(value)
    return digest(*_plain(value))


def _is_dask(array: Any) -> bool:
    return hasattr(array, "__dask_graph__") and hasattr(array, "name") and hasattr(array, "chunks")


def is_quantity(value: Any) -> bool:
    """Whether something is an astropy Quantity, which is not imported for the question."""
    return getattr(value, "unit", None) is not None and hasattr(value, "value")


def _attrs_identity(attrs: Mapping[Any, Any]) -> str:
    return identity({str(key): value for key, value in attrs.items() if key not in ATTRS})


def _plain(value: Any) -> Iterable[str]:
    """Texts that stand for an argument."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic | slice | range):
        number = value.item() if isinstance(value, np.generic) else value
        whole = isinstance(number, float) and number.is_integer() and abs(number) < 2**53  # 1 and 1.0 ask for the same
        return "plain", repr(int(number) if whole else number)
    if is_quantity(value):
        return "Quantity", value.unit.to_string(), identity(np.asarray(value.value))
    if isinstance(value, Mapping):
        keys = sorted(value, key=repr)
        return "mapping", *map(repr, keys), *(identity(value[key]) for key in keys)
    if isinstance(value, set | frozenset):
        return "set", *sorted(map(identity, value))
    if isinstance(value, list | tuple):
        return "sequence", *map(identity, value)
    if isinstance(value, os.PathLike):
        return "plain", repr(os.fspath(value))
    if is_dataclass(value) and not isinstance(value, type):
        return _name(type(value)), *(identity(getattr(value, f.name)) for f in fields(value) if f.compare)
    if callable(value):
        return _callable(value)
    if hasattr(value, "identity_parts"):
        return _name(type(value)), *map(identity, value.identity_parts())
    return (UNKNOWN,)


def _name(what: Any) -> str:
    return f"{what.__module__}.{what.__qualname__}"


def _callable(function: Any) -> Iterable[str]:
    """A function by its name where it lies in a module, by its code where it was written at a prompt."""
    if hasattr(function, "func") and hasattr(function, "keywords"):
        return "partial", identity(function.func), identity(function.args), identity(function.keywords)
    if hasattr(function, "__self__") and not inspect.isbuiltin(function) and not inspect.ismodule(function.__self__):
        return "method", function.__name__, identity(function.__self__)
    code = getattr(function, "__code__", None) or getattr(getattr(function, "py_func", None), "__code__", None)
    if code is None:
        named = hasattr(function, "__qualname__") or isinstance(function, np.ufunc)
        return ("named", getattr(function, "__module__", None) or "numpy", function.__name__) if named else (UNKNOWN,)
    cells = tuple(cell.cell_contents for cell in getattr(function, "__closure__", None) or ())
    defaults = getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None)
    read = {name: function.__globals__.get(name) for name in code.co_names} if hasattr(function, "__globals__") else {}
    numbers = {name: v for name, v in read.items() if isinstance(v, int | float | complex | str | np.ndarray | tuple)}
    return "function", _name(function), *_code(code), identity(cells), identity(defaults), identity(numbers)


def _code(code: Any) -> list[str]:
    parts = [code.co_code.hex(), repr(code.co_names)]
    for constant in code.co_consts:
        parts += _code(constant) if hasattr(constant, "co_code") else [identity(constant)]
    return parts


# --- arrays -----------------------------------------------------------------------------------------------------------


def array_identity(array: Any) -> str:
    """Identity of the data of a variable: NumPy, Dask, or still in a file."""
    if isinstance(array, np.ndarray | np.generic | PandasIndexingAdapter):
        values = np.asarray(array)
        return _content([values], values.shape, values.dtype)
    if hasattr(array, "magnitude") and hasattr(array, "units"):  # of pint
        return digest("pint", str(array.units), array_identity(array.magnitude))
    if _is_dask(array):
        return _dask_identity(array.name, array.__dask_graph__(), {})
    return _file_identity(array)


def _content(slabs: Iterable[np.ndarray], shape: tuple[int, ...], dtype: Any) -> str:
    """Hash of numbers in the order of their axes, given in slabs along the first."""
    import xxhash

    if dtype.hasobject:
        return digest("objects", repr(shape), *(repr(slab.tolist()) for slab in slabs))
    state = xxhash.xxh3_128()
    for slab in slabs:
        rows = slab[None] if not slab.ndim else slab
        for row in [rows] if rows.flags.c_contiguous else rows:
            state.update(np.ascontiguousarray(row).view(np.uint8).data if row.size else b"")
    return digest("numbers", repr(tuple(shape)), dtype.str, state.hexdigest())


def _dask_identity(name: str, graph: Any, known: dict[str, str]) -> str:
    """Identity of an array of a Dask graph, from its layer and those below it."""
    if name not in known:
        known[name] = _layer_identity(name, graph, known)
    return known[name]


def _layer_identity(name: str, graph: Any, known: dict[str, str]) -> str:
    if made := MADE.fullmatch(name):
        return made[1]
    if name in _made:
        return _made[name]
    layers = getattr(graph, "layers", {})
    if name not in layers:
        return digest("dask", name)
    layer, below = layers[name], sorted(graph.dependencies[name])
    if len(below) == 1 and (name.startswith("rechunk") or below[0] == f"original-{name}"):
        return _dask_identity(below[0], graph, known)
    if not below and (held := _held(name, layer)):
        return held
    own = _elementwise(layer) or [name]
    names = [str(getattr(n, "key", n)) for n, axes in getattr(layer, "indices", ()) if axes is not None]
    order = names if own != [name] and set(names) == set(below) else below
    return digest("dask", *own, *(_dask_identity(other, graph, known) for other in order))


def _held(name: str, layer: Any) -> str:
    """Identity of a layer that holds an array of a file, or the pieces of one in memory; empty if it does neither."""
    if hasattr(layer, "task") or len(layer) == 0:
        return ""
    items = {key: getattr(item, "value", item) for key, item in layer.items()}
    if name in items:
        return array_identity(items[name])
    if not all(isinstance(item, np.ndarray) for item in items.values()):
        return ""
    places = {key[1:]: item for key, item in items.items()}
    counts = tuple(np.max(list(places), axis=0) + 1) if next(iter(places)) else ()
    if not counts:
        return array_identity(places[()])
    blocks = [_nested(places, (i,), counts) for i in range(counts[0])]
    slabs = [np.block(block) if len(counts) > 1 else block for block in blocks]
    shape = (sum(len(slab) for slab in slabs), *slabs[0].shape[1:])
    return _content(slabs, shape, slabs[0].dtype)


def _nested(places: Mapping[tuple[int, ...], Any], at: tuple[int, ...], counts: tuple[int, ...]) -> Any:
    """Pieces of an array as nested lists, as ``np.block`` takes them."""
    if len(at) == len(counts):
        return places[at]
    return [_nested(places, (*at, i), counts) for i in range(counts[len(at)])]


def _elementwise(layer: Any) -> list[str]:
    """What a layer does to each element alone, whatever its chunks; empty where that is not known."""
    task = getattr(layer, "task", None)
    function = getattr(task, "func", None)
    if getattr(function, "__module__", None) not in ("_operator", "operator", "numpy") and not (
        isinstance(function, np.ufunc)
    ):
        return []
    literals = [identity(value) for value, axes in layer.indices if axes is None]
    axes = [repr(axes) for _, axes in layer.indices]
    if any(part.startswith(UNKNOWN) for part in literals) or layer.new_axes or getattr(task, "kwargs", None):
        return []
    places = {axis: str(i) for i, axis in enumerate(dict.fromkeys(re.findall(r"'[^']*'", "".join(axes))))}
    return [str(function), *literals, *(re.sub(r"'[^']*'", lambda m: places[m[0]], a) for a in axes)]


# --- files ------------------------------------------------------------------------------------------------------------


def stamp(path: str) -> str:
    """Path, size and time of modification of a file, or of every file below a directory."""
    if os.path.isdir(path):
        found = (os.path.join(at, name) for at, _, names in os.walk(path) for name in names)
        return digest("folder", path, *sorted(stamp(file) for file in found))
    try:
        status = os.stat(path)
    except OSError:
        return digest("no file", path)
    return digest("file", path, str(status.st_size), str(status.st_mtime_ns))


def _file_identity(array: Any) -> str:
    """Identity of an array that is still in a file; looked up once for each opening."""
    place = id(array)
    kept = _read.get(place)
    if kept is not None and kept[0]() is array:
        return kept[1]
    found = digest(*_of_file(array))
    with suppress(TypeError):  # of arrays that take no weak reference
        _read[place] = weakref.ref(array, lambda _: _read.pop(place, None)), found
    return found


def _of_file(array: Any) -> Iterable[str]:
    if isinstance(array, np.ndarray):
        return (array_identity(array),)
    if hasattr(array, "source") and hasattr(array.source, "read"):  # of mmfields' readers
        return "source", _source_identity(array.source, {})
    if hasattr(array, "key") and hasattr(array.key, "tuple"):  # what xarray takes of an array
        return "key", identity(array.key.tuple), _file_identity(array.array)
    if hasattr(array, "array"):
        return (_file_identity(array.array),)
    zarr = getattr(array, "_array", array)  # of xarray's wrapper, or zarr's own
    if hasattr(getattr(zarr, "store", None), "root"):
        return "zarr", stamp(os.path.join(os.path.abspath(zarr.store.root), zarr.path))
    name = getattr(array, "variable_name", None) or getattr(array, "name", None)
    file = getattr(getattr(array, "datastore", None), "_filename", None)
    if file is None:  # h5py's
        file = getattr(getattr(array, "file", None), "filename", None)
    return (UNKNOWN,) if file is None or name is None else ("store", stamp(os.path.abspath(str(file))), str(name))


def _source_identity(source: Any, stamps: dict[str, str]) -> str:
    """A source of the readers, with a stamp of each file that it names."""
    if isinstance(source, str):
        if os.path.isabs(source) and source not in stamps:
            stamps[source] = stamp(source)
        return stamps.get(source) or digest("plain", source)
    if is_dataclass(source) and not isinstance(source, type):
        parts = (_source_identity(getattr(source, f.name), stamps) for f in fields(source) if f.compare)
        return digest(_name(type(source)), *parts)
    if isinstance(source, list | tuple):
        return digest("sequence", *(_source_identity(item, stamps) for item in source))
    return identity(source)


# --- verbs ------------------------------------------------------------------------------------------------------------


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
        fields_on_no_grid = [v.label() for v in given.values() if hasattr(v, "kernel_form")]
        self.attrs = described(inputs, f"{name}({line})", fields_on_no_grid or [MEMORY if arrays else name])
        bound.apply_defaults()
        used = {key: value for key, value in _flat(bound).items() if key not in HOW}
        self.identity = digest(name, identity(used))

    def story(self, result: Any) -> dict[str, str]:
        """The attrs of a result; a function that reads states its source itself."""
        own = "source" in result.attrs and not self.inputs
        return self.attrs | ({"source": result.attrs["source"]} if own else {})


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
    """The file that a Dataset was opened from, else what its attrs say, else that its arrays were in memory."""
    return str(data.encoding.get("source") or data.attrs.get("source") or MEMORY)


def provenance(sources: Iterable[str], history: Iterable[str]) -> dict[str, str]:
    """The attrs that every public result carries: ``mmfields_version``, ``source`` and ``history``, flat texts."""
    sources = [str(source) for source in sources]
    if len(sources) > MOST_SOURCES:
        sources = [sources[0], f"({len(sources) - 2} more)", sources[-1]]
    return {"mmfields_version": __version__, "source": "\n".join(sources), "history": "\n".join(history)}


def _recorded(result: Any, call: _Call, place: str = "") -> Any:
    """A result with its attrs, its Dask arrays named by their identity; tuples and mappings item by item."""
    if isinstance(result, xr.Dataset):
        named = {n: _named(v, call, place, str(n)) for n, v in result.variables.items() if _is_dask(v._data)}
        coords = {n: v for n, v in named.items() if n in result.coords}
        result = result.assign_coords(coords) if coords else result
        data = {n: v for n, v in named.items() if n not in coords}
        return (result.assign(data) if data else result.copy(deep=False)).assign_attrs(call.story(result))
    if isinstance(result, xr.DataArray):
        variable = _named(result.variable, call, place, str(result.name))
        coords = {n: _named(c.variable, call, place, str(n)) for n, c in result.coords.items() if _is_dask(c.data)}
        result = result.copy(deep=False, data=variable._data)
        return (result.assign_coords(coords) if coords else result).assign_attrs(call.story(result))
    if type(result) in (tuple, list):
        return type(result)(_recorded(item, call, f"{place}.{i}") for i, item in enumerate(result))
    if type(result) is dict:
        return {key: _recorded(item, call, f"{place}.{key}") for key, item in result.items()}
    return result


def _named(variable: xr.Variable, call: _Call, place: str, name: str) -> xr.Variable:
    """A variable whose Dask array tells its identity: by its name, or in this process where it has many blocks."""
    array = variable._data
    if not _is_dask(array) or MADE.fullmatch(array.name) or array.name in _made:
        return variable
    own = digest(call.identity, place, name, str(array.dtype))
    if array.npartitions > MOST_RENAMED:
        _made[array.name] = own
        return variable
    chunks = hashlib.blake2b(repr(array.chunks).encode(), digest_size=4).hexdigest()
    renamed = _renamed(array, f"{call.name.split('.')[-1]}-{name}-mm{own}{chunks}")
    return xr.Variable(variable.dims, renamed, variable.attrs, variable.encoding, fastpath=True)


def _renamed(array: Any, name: str) -> Any:
    """The same array under another name of its graph."""
    import dask.array as da

    axes = tuple(range(array.ndim))
    return da.blockwise(_same, axes, array, axes, name=name, dtype=array.dtype, meta=array._meta)


def _same(block: Any) -> Any:
    return block


def show_versions() -> None:
    """Print the versions of mmfields, Python, and the libraries that it uses, for a bug report."""
    import platform
    import sys
    from importlib.metadata import PackageNotFoundError, requires, version

    print(f"mmfields {__version__}, Python {sys.version.split()[0]}, {platform.platform()}")
    try:
        wanted = [re.split(r"[\s<>=!~;\[]", text)[0] for text in requires("mmfields") or ()]
    except PackageNotFoundError:
        wanted = ["numpy", "xarray", "dask", "zarr", "numba", "astropy"]
    for library in sorted(dict.fromkeys(wanted), key=str.lower):
        if library == "mmfields":
            continue
        try:
            print(f"{library} {version(library)}")
        except PackageNotFoundError:
            print(f"{library} is not installed")

"""The identity of data and of arguments: what was computed from what.

It is a hash of the functions of mmfields that made data, of their arguments, and of the files (path, size and time of
modification) or the content of the arrays that they read.  It is the same in every process, with or without a
cluster, and for any chunks.  What a user does in between (``ds * 2``, ``ds.isel(...)``) enters by the layers of the
Dask graph: operations on each element by what they do, all others by the name that Dask gives them, which knows the
arguments and the chunks, and by their functions.  What cannot be told is unknown, and never equal to anything.
"""

import hashlib
import inspect
import os
import re
import sys
import sysconfig
import types
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
import xarray as xr

from mmfields._compat import PandasIndexingAdapter, data_of, file_of, zarr_of

UNKNOWN = "?"
# Attrs that tell how data came about, and do not belong to their identity.
ATTRS = ("mmfields_version", "source", "history")
# A name of a Dask array that tells its identity.
MADE = re.compile(r".*-mm([?0-9a-f][0-9a-f]{31})[0-9a-f]{8}")
# Identities of arrays that have too many blocks for a name of their own.
made: dict[str, str] = {}
# Functions of these modules act on each element alone, except those of NumPy that are not ufuncs.
EACH = ("_operator", "operator")
EACH_OF_NUMPY = ("where", "clip", "real", "imag", "isnan", "isfinite", "angle", "nan_to_num")
RECHUNKED = ("rechunk-merge-", "rechunk-split-", "rechunk-p2p-")
LIBRARIES = tuple(os.path.realpath(sysconfig.get_paths()[key]) for key in ("stdlib", "platlib", "purelib"))
PLAIN = (bool, int, float, complex, str, bytes, np.generic, slice, range, type(None), type(Ellipsis))
BY_TEXT = ("datetime", "decimal", "fractions", "pandas", "uuid", "cftime")
PIECE = 1 << 24

_under_way: ContextVar[frozenset[int]] = ContextVar("objects whose identity is being found", default=frozenset())


def digest(*parts: str) -> str:
    """Hash of texts, 32 digits; unknown, and new each time, if one of them is."""
    if any(part.startswith(UNKNOWN) and len(part) in (1, 32) for part in parts):
        return UNKNOWN + uuid.uuid4().hex[1:]
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def is_dask(array: Any) -> bool:
    """Whether something is a Dask array, which is not imported for the question."""
    return hasattr(array, "__dask_graph__") and hasattr(array, "name") and hasattr(array, "chunks")


def is_quantity(value: Any) -> bool:
    """Whether something is an astropy Quantity, which is not imported for the question."""
    return hasattr(getattr(value, "unit", None), "to_string") and hasattr(value, "value")


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
    if isinstance(value, PLAIN):
        return digest("plain", _number(value))
    if id(value) in _under_way.get():  # which holds itself
        return digest("itself", type(value).__name__)
    token = _under_way.set(_under_way.get() | {id(value)})
    try:
        return _identity(value)
    except RecursionError:
        return digest(UNKNOWN)
    finally:
        _under_way.reset(token)


def _number(value: Any) -> str:
    """A plain value in words; 1 and 1.0 ask for the same."""
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
        number = number if number == 0 and np.signbit(number) else int(number)
    return repr(number)


def _identity(value: Any) -> str:
    if isinstance(value, xr.Dataset):
        known: dict[str, str] = {}
        parts = [f for n in sorted(value.variables, key=str) for f in (repr(n), _variable(value.variables[n], known))]
        return digest("Dataset", *parts, repr(sorted(map(str, value.coords))), _attrs_identity(value.attrs))
    if isinstance(value, xr.DataArray):
        known = {}
        coords = [f for n in sorted(value.coords, key=str) for f in (repr(n), _variable(value[n].variable, known))]
        return digest("DataArray", str(value.name), _variable(value.variable, known), *coords)
    if isinstance(value, xr.Variable):
        return _variable(value, {})
    if is_dask(value) or (isinstance(value, np.ndarray) and not is_quantity(value)):
        return array_identity(value)
    return digest(*_of_object(value))


def _variable(variable: xr.Variable, known: dict[str, str]) -> str:
    data = array_identity(data_of(variable), known)
    return digest("Variable", repr(variable.dims), str(variable.dtype), data, _attrs_identity(variable.attrs))


def _attrs_identity(attrs: Mapping[Any, Any]) -> str:
    return identity({str(key): value for key, value in attrs.items() if key not in ATTRS})


def _of_object(value: Any) -> Iterable[str]:
    """Texts that stand for an argument that is no array."""
    if is_quantity(value):
        return "Quantity", value.unit.to_string(), identity(np.asarray(value.value))
    if isinstance(value, Mapping):
        keys = sorted(value, key=repr)
        return "mapping", *map(repr, keys), *(identity(value[key]) for key in keys)
    if isinstance(value, set | frozenset):
        return "set", *sorted(map(identity, value))
    if isinstance(value, list | tuple):
        if all(type(item) in (int, float, str) for item in value):
            return "sequence", *map(_number, value)
        return "sequence of", *map(identity, value)
    if isinstance(value, os.PathLike):
        return "plain", repr(os.fspath(value))
    if isinstance(value, Enum | np.dtype) or type(value).__module__.split(".")[0] in BY_TEXT:
        return type(value).__qualname__, str(value)
    if is_dataclass(value) and not isinstance(value, type):
        own = (identity(getattr(value, f.name)) for f in fields(value) if f.compare)
        call = vars(type(value)).get("__call__")
        return _name(type(value)), *own, identity(call) if call is not None else ""
    if callable(value):
        return _of_function(value)
    return (UNKNOWN,)


# --- functions --------------------------------------------------------------------------------------------------------


def _name(what: Any) -> str:
    return f"{what.__module__}.{what.__qualname__}"


def _is_library(function: Any) -> bool:
    """Whether a function belongs to Python or to an installed package, where it is known by its name."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    if module is None:
        return inspect.isbuiltin(function)
    if module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    root = module.__name__.split(".")[0]
    return root == __name__.split(".")[0] or file is None or os.path.realpath(file).startswith(LIBRARIES)


def _of_function(function: Any) -> Iterable[str]:
    """A function of a library by its name, any other by its code and all that it reads and calls."""
    if hasattr(function, "func") and hasattr(function, "keywords"):
        return "partial", identity(function.func), identity(function.args), identity(function.keywords)
    inner = getattr(function, "py_func", None) or getattr(function, "__wrapped__", None)
    inner = inner or getattr(getattr(function, "_dispatcher", None), "py_func", None)
    if inner is not None and not _is_library(function):
        return "wrapped", type(function).__qualname__, identity(inner)
    if isinstance(function, types.MethodType):
        return "method", identity(function.__func__), identity(function.__self__)
    if isinstance(function, np.ufunc):
        known = getattr(np, function.__name__, None) is function or "scipy" in str(getattr(function, "__doc__", ""))
        return ("ufunc", function.__name__) if known else (UNKNOWN,)
    if hasattr(function, "__qualname__") and _is_library(function):
        return "library", _name(function)
    if isinstance(function, type):
        return "class", _name(function), *(identity(f) for f in vars(function).values() if inspect.isfunction(f))
    code = getattr(function, "__code__", None)
    if code is None:
        return (UNKNOWN,)
    cells = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a cell that nothing is in yet
            cells.append(cell.cell_contents)
    used = {name: function.__globals__[name] for name in sorted(_names(code)) if name in function.__globals__}
    read = {name: value for name, value in used.items() if not inspect.ismodule(value)}
    defaults = function.__defaults__, function.__kwdefaults__
    return "function", function.__qualname__, *_code(code), identity(cells), identity(defaults), identity(read)


def _names(code: Any) -> set[str]:
    inner = (_names(c) for c in code.co_consts if hasattr(c, "co_code"))
    return set(code.co_names).union(*inner)


def _code(code: Any) -> list[str]:
    parts = [code.co_code.hex(), repr(code.co_names)]
    for constant in code.co_consts:
        parts += _code(constant) if hasattr(constant, "co_code") else [identity(constant)]
    return parts


# --- arrays -----------------------------------------------------------------------------------------------------------


def array_identity(array: Any, known: dict[str, str] | None = None) -> str:
    """Identity of the data of a variable: NumPy, Dask, or still in a file."""
    if isinstance(array, np.ma.MaskedArray):
        return digest("masked", array_identity(array.filled()), array_identity(np.ma.getmaskarray(array)))
    if isinstance(array, np.ndarray | np.generic | PandasIndexingAdapter):
        values = np.asarray(array)
        return _content([values], values.shape, values.dtype)
    if hasattr(array, "magnitude") and hasattr(array, "units"):  # of pint
        return digest("pint", str(array.units), array_identity(array.magnitude))
    if is_dask(array):
        return _dask_identity(array.name, array.__dask_graph__(), {} if known is None else known)
    return digest(*_of_file(array, []))


def _content(slabs: Iterable[np.ndarray], shape: tuple[int, ...], dtype: Any) -> str:
    """Hash of numbers in the order of their axes, given in slabs along the first."""
    import xxhash

    if dtype.hasobject:
        return digest("objects", repr(shape), *(identity(slab.tolist()) for slab in slabs))
    state = xxhash.xxh3_128()
    for slab in slabs:
        rows = slab[None] if not slab.ndim else slab
        step = max(1, len(rows) if rows.flags.c_contiguous else PIECE * len(rows) // max(rows.nbytes, 1))
        for first in range(0, len(rows), step):
            piece = np.ascontiguousarray(rows[first : first + step])
            state.update(piece.view(np.uint8).data if piece.size else b"")
    kind = dtype.str if dtype.names is None else repr(dtype.descr)
    return digest("numbers", repr(tuple(shape)), kind, state.hexdigest())


def _dask_identity(name: str, graph: Any, known: dict[str, str]) -> str:
    """Identity of an array of a Dask graph, from its layer and those below it, which may be many."""
    waiting = [name]
    while waiting:
        top = waiting[-1]
        missing = [] if top in known else [below for below in _below(top, graph) if below not in known]
        waiting += missing
        if not missing:
            waiting.pop()
            if top not in known:
                known[top] = _layer_identity(top, graph, known)
    return known[name]


def _below(name: str, graph: Any) -> list[str]:
    if MADE.fullmatch(name) or name in made or name not in getattr(graph, "layers", {}):
        return []
    return sorted(graph.dependencies[name])


def _layer_identity(name: str, graph: Any, known: Mapping[str, str]) -> str:
    if found := MADE.fullmatch(name):
        return found[1]
    if name in made:
        return made[name]
    layers = getattr(graph, "layers", {})
    if name not in layers:
        return digest("dask", name)
    layer, below = layers[name], _below(name, graph)
    if len(below) == 1 and (name.startswith(RECHUNKED) or below[0] == f"original-{name}"):
        return known[below[0]]
    if not below and (held := _held(name, layer)):
        return held
    if own := _elementwise(layer):
        names = [str(getattr(n, "key", n)) for n, axes in layer.indices if axes is not None]
        if set(names) == set(below):
            return digest("each", *own, *(known[other] for other in names))
    return digest("dask", name, *_functions_of(layer), *(known[other] for other in below))


def _held(name: str, layer: Any) -> str:
    """Identity of a layer that holds an array of a file, or the pieces of one in memory; empty if it does neither."""
    if hasattr(layer, "task") or len(layer) == 0:
        return ""
    items = {key: getattr(item, "value", item) for key, item in layer.items()}
    if name in items:
        return array_identity(items[name])
    if any(type(item).__name__ in ("Future", "FutureState") for item in items.values()):
        return digest(UNKNOWN)  # on a cluster, of what only its name is here
    if not all(isinstance(item, np.ndarray) for item in items.values()):
        return ""
    places = {key[1:]: item for key, item in items.items()}
    counts = tuple((np.max(list(places), axis=0) + 1).tolist()) if next(iter(places)) else ()
    if not counts:
        return array_identity(places[()])
    first = [places[(i, *[0] * (len(counts) - 1))] for i in range(counts[0])]
    width = [sum(places[tuple(j * (a == b) for b in range(len(counts)))].shape[a] for j in range(counts[a]))
             for a in range(len(counts))]  # fmt: skip
    return _content(_slabs(places, counts, first), tuple(width), first[0].dtype)


def _slabs(places: Mapping[Any, Any], counts: tuple[int, ...], first: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Rows of an array in pieces, a few at a time and across all pieces."""
    for i, piece in enumerate(first):
        size = piece.nbytes * int(np.prod(counts[1:]))
        step = max(1, PIECE * len(piece) // max(size, 1))
        for low in range(0, len(piece), step):
            yield (
                np.block(_nested(places, (i,), counts, slice(low, low + step)))
                if counts[1:]
                else piece[low : low + step]
            )


def _nested(places: Mapping[Any, Any], at: tuple[int, ...], counts: tuple[int, ...], rows: slice) -> Any:
    """Rows of pieces of an array as nested lists, as ``np.block`` takes them."""
    if len(at) == len(counts):
        return places[at][rows]
    return [_nested(places, (*at, i), counts, rows) for i in range(counts[len(at)])]


def _elementwise(layer: Any) -> list[str]:
    """What a layer does to each element alone, whatever its chunks; empty where that is not known."""
    task = getattr(layer, "task", None)
    function = getattr(task, "func", None)
    name, module = getattr(function, "__name__", ""), getattr(function, "__module__", None)
    if not (isinstance(function, np.ufunc) or module in EACH or (module == "numpy" and name in EACH_OF_NUMPY)):
        return []
    literals = [
        f"{type(v).__name__} {v!r}" if isinstance(v, PLAIN) else identity(v) for v, a in layer.indices if a is None
    ]
    axes = [repr(axes) for _, axes in layer.indices]
    if any(part.startswith(UNKNOWN) for part in literals) or layer.new_axes or getattr(task, "kwargs", None):
        return []
    places = {axis: str(i) for i, axis in enumerate(dict.fromkeys(re.findall(r"'[^']*'", "".join(axes))))}
    return [identity(function), *literals, *(re.sub(r"'[^']*'", lambda m: places[m[0]], a) for a in axes)]


def _functions_of(layer: Any) -> list[str]:
    """Identities of the functions that a layer calls, by one task of each of its names; libraries' have their own."""
    tasks = [layer.task] if hasattr(layer, "task") else []
    if not tasks and hasattr(layer, "items"):
        first: dict[Any, Any] = {}
        for key, task in layer.items():
            first.setdefault(key[0] if isinstance(key, tuple) else key, task)
        tasks = list(first.values())[:64]
    found: dict[int, Any] = {}
    for task in tasks:
        _collect(task, found, 8)
    own = (f for f in found.values() if not (hasattr(f, "__qualname__") and _is_library(f)))
    return [identity(function) for function in own]


def _collect(task: Any, found: dict[int, Any], depth: int) -> None:
    """Functions in a task and in what it holds."""
    if depth == 0 or isinstance(task, str | bytes | np.ndarray):
        return
    parts: list[Any] = []
    if isinstance(task, list | tuple):
        parts = list(task[:64])
    elif isinstance(task, dict):
        parts = list(task.values())[:64]
    elif hasattr(task, "func") and hasattr(task, "args"):
        parts = [task.func, task.args, getattr(task, "kwargs", None), getattr(task, "keywords", None)]
    elif isinstance(task, types.FunctionType | types.MethodType) or hasattr(task, "py_func"):
        found[id(task)] = task
    for part in parts:
        _collect(part, found, depth - 1)


# --- files ------------------------------------------------------------------------------------------------------------


def stamp(path: str) -> str:
    """Path, size and time of modification of a file, or of every file below a directory."""
    if os.path.isdir(path):
        return digest("folder", path, *sorted(stamp(file) for file in _files_below(path)))
    try:
        status = os.stat(path)
    except OSError:
        return digest("no file", path)
    return digest("file", path, str(status.st_size), str(status.st_mtime_ns))


def _files_below(path: str) -> Iterator[str]:
    """Files of a directory; links are followed, each directory once."""
    seen = set()
    for at, folders, names in os.walk(path, followlinks=True):
        real = os.path.realpath(at)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (os.path.join(at, name) for name in names)


def _of_file(array: Any, paths: list[str]) -> Iterable[str]:
    """Texts that stand for an array in a file; `paths` gains those that it is read from."""
    if isinstance(array, np.ndarray):
        return (array_identity(array),)
    if hasattr(array, "source") and hasattr(array.source, "read"):  # of mmfields' readers
        stamps: dict[str, str] = {}
        found = _source_identity(array.source, stamps)
        paths += stamps
        return "source", found
    function = identity(array.func) if callable(getattr(array, "func", None)) else ""
    if hasattr(array, "key") and hasattr(array.key, "tuple"):  # what xarray takes of an array
        return "key", function, identity(array.key.tuple), *_of_file(array.array, paths)
    if hasattr(array, "array"):
        return (function, *_of_file(array.array, paths))
    return _of_store(array, paths)


def _of_store(array: Any, paths: list[str]) -> Iterable[str]:
    """An array of xarray's own stores, of zarr or of h5py."""
    zarr = zarr_of(array)
    if hasattr(getattr(zarr, "store", None), "root"):
        paths.append(os.path.join(os.path.abspath(zarr.store.root), zarr.path))
        return "zarr", stamp(paths[-1])
    name = getattr(array, "variable_name", None) or getattr(array, "name", None)
    store = getattr(array, "datastore", None)
    file = file_of(store)
    if file is None:  # h5py's
        file = getattr(getattr(array, "file", None), "filename", None)
    if not isinstance(file, str | os.PathLike) or name is None:
        return (UNKNOWN,)
    paths.append(os.path.abspath(file))
    return "store", stamp(paths[-1]), str(name)


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


def files_of(ds: xr.Dataset | xr.DataArray) -> list[str]:
    """Files that lazy data are read from."""
    paths: list[str] = []
    for array in _arrays_in_files(ds):
        for _ in _of_file(array, paths):
            pass
    return list(dict.fromkeys(paths))


def _arrays_in_files(ds: Any) -> Iterator[Any]:
    """Arrays that read files, of the variables themselves and of their graphs, each once."""
    coords = [] if isinstance(ds, xr.Dataset) else [coord.variable for coord in ds.coords.values()]
    variables = ds.variables.values() if isinstance(ds, xr.Dataset) else [ds.variable, *coords]
    seen: set[int] = set()
    for data in (data_of(variable) for variable in variables):
        layers = getattr(data.__dask_graph__(), "layers", {}) if is_dask(data) else {}
        held = [_original(n, layer) for n, layer in layers.items() if n.startswith("original-")]
        for array in held if is_dask(data) else [data]:
            lazy = not isinstance(array, np.ndarray | PandasIndexingAdapter | type(None)) and not is_dask(array)
            if lazy and id(array) not in seen:
                seen.add(id(array))
                yield array


def _original(name: str, layer: Any) -> Any:
    item = dict(layer).get(name)
    return getattr(item, "value", item)

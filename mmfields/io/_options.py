"""Options of the engines.  They are checked before a file is touched, as a wrong one is not the fault of the file."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mmfields.conventions import BOUNDARIES, SPATIAL, ArgumentError


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    return _number(value) and 0 < value < np.inf


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0


def _pair(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and len(value) == 2 and all(_finite(v) for v in value)


def _finite(value: Any) -> bool:
    return _number(value) and bool(np.isfinite(value))


def _mesh(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == set(SPATIAL) and all(map(_pair, value.values()))


def _names(value: Any) -> bool:
    return isinstance(value, str) or (np.iterable(value) and all(isinstance(name, str) for name in value))


def _boundary(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(dim, str) and kind in BOUNDARIES for dim, kind in value.items())
    return isinstance(value, str) and value in BOUNDARIES


def _factors(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) <= set(SPATIAL) and all(map(_positive, value.values()))


# option: (what is right, in words)
OPTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "drop_variables": (_names, "a name, or a list of names"),
    "boundary": (_boundary, "'periodic', 'open' or 'reflecting', or a mapping such as {'x': 'open'}"),
    "level": (_whole, "an integer from 0 on"),
    "iteration": (_whole, "an integer from 0 on"),
    "staggered": (lambda value: isinstance(value, bool | np.bool_), "True or False"),
    "mesh": (_mesh, "two finite limits for each of x, y and z, such as {'x': (0, 1), 'y': (0, 1), 'z': (0, 1)}"),
    "quantization": (_pair, "two finite numbers (vmin, vmax)"),
    "frame": (lambda value: value in ("comoving", "physical"), "give 'comoving' or 'physical'"),
    "scale_factors": (_factors, "a positive number per axis, such as {'y': 0.5}"),
    "spacing": (_positive, "a positive number"),
    "time_step": (_positive, "a positive number"),
    "fill_missing": (_number, "a number, such as 0.0 or numpy.nan"),
}


def require_options(engine: str, method: Callable, options: Mapping[str, Any]) -> None:
    """Refuse options that an engine does not have, and values that are not possible for them.

    Raises
    ------
    ArgumentError
        Naming all of them, and what the engine takes.
    """
    if not options:
        return
    known = sorted(set(inspect.signature(method).parameters) - {"self", "filename_or_obj"})
    faults = []
    if unknown := sorted(set(options) - set(known)):
        faults.append(f"it has no option {unknown}, only {known}")
    for name, value in options.items():
        right, words = OPTIONS.get(name, (lambda _: True, ""))
        if value is not None and name in known and not right(value):
            faults.append(f"{name} {value!r}: {words} {'is needed' if 'give' not in words else ''}".rstrip())
    if faults:
        raise ArgumentError(f"engine {engine!r}: {'; '.join(faults)}")

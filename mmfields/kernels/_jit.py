"""How kernels are compiled: without the interpreter's lock, and with the arithmetic of NumPy.

`entry` is what Python calls, and is cached on disk.  What entries are made of becomes machine code with them: a `part`
is written into its caller, which costs the least time where it is called once; a `kernel` is compiled on its own, and
again with all that call it.
"""

import os
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from llvmlite.binding import Linkage
from numba import config, njit
from numba.core import event
from numba.core.caching import NullCache
from numba.core.codegen import CPUCodeLibrary

kernel = partial(njit, nogil=True, error_model="numpy")
part = partial(kernel, inline="always")


def entry(**options):
    """A decorator of what Python calls; options as of :func:`numba.njit`."""
    return lambda function: function if config.DISABLE_JIT else _cached(function, options)


def _cached(function: Callable, options: dict):
    """The compiled function, cached beside the package or with the user, else in a temporary folder of the user's."""
    usual = config.CACHE_DIR
    for folder in (lambda: usual, _temporary_folder):
        try:
            config.CACHE_DIR = folder() or usual
            made = kernel(cache=True, **options)(function)
        except RuntimeError:  # there is no folder that may be written to
            continue
        finally:
            config.CACHE_DIR = usual
        # an entry is made of functions of other files too, which Numba does not look at
        made._cache._cache_file._source_stamp = _sources()
        return made
    _warn_of_no_cache()
    return kernel(**options)(function)


@cache
def _sources() -> str:
    """Hash of all kernels."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@cache
def _temporary_folder() -> str | None:
    """A folder that nobody else may write to, since what is cached is run; None where there is none."""
    folder = Path(tempfile.gettempdir(), f"mmfields-kernels-{getattr(os, 'getuid', lambda: 'user')()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == getattr(os, "getuid", lambda: found.st_uid)()
    return str(folder) if own and not found.st_mode & 0o077 else None


@cache
def _warn_of_no_cache() -> None:
    warnings.warn(
        "kernels are compiled anew in every process, since no folder for them may be written to: set NUMBA_CACHE_DIR",
        RuntimeWarning,
        stacklevel=2,
    )


class _Compiling(event.Listener):
    """Says on a terminal that kernels are compiled, and for how long; knows which of them are being compiled."""

    def __init__(self) -> None:
        self.began, self.said = 0.0, False
        self.under_way: list[Any] = []

    def on_start(self, what) -> None:
        dispatcher = what.data["dispatcher"]
        if not self.under_way and _is_ours(dispatcher):
            self.began, self.said = time.perf_counter(), sys.stderr is not None and sys.stderr.isatty()
            if self.said:
                print("mmfields: compiling kernels, once on this machine ...", end="", file=sys.stderr, flush=True)
        self.under_way.append(dispatcher)

    def on_end(self, what) -> None:
        self.under_way.pop()
        if not self.under_way and self.said:
            print(f" {time.perf_counter() - self.began:.0f} s", file=sys.stderr, flush=True)
            self.said = False

    @property
    def ours(self) -> bool:
        """Whether the outermost function that is being compiled is of this package."""
        return bool(self.under_way) and _is_ours(self.under_way[0])

    @property
    def within_entry(self) -> bool:
        """Whether what is being compiled is a part of one of our entries, and no entry itself."""
        first, *others = self.under_way or [None]
        return bool(others) and _is_entry(first) and not _is_entry(others[-1])


def _is_ours(dispatcher) -> bool:
    return str(dispatcher.py_func.__module__).startswith("mmfields.")


def _is_entry(dispatcher) -> bool:
    return _is_ours(dispatcher) and not isinstance(dispatcher._cache, NullCache)


def _optimize_entries_alone(compiling: _Compiling) -> None:
    """Leave machine code of parts as it is until it lies in that of their entry, which is optimized as a whole.

    Numba optimizes every function together with all that it calls, so that what lies at the bottom is optimized again
    at each level above it: without this, a first trace takes twice as long to compile.  An entry gets copies of its own
    of the parts that it calls: otherwise a process that has just compiled them finds what was not optimized under their
    names, several times slower.
    """
    own = getattr(CPUCodeLibrary, "_optimize_final_module", None)
    if own is None:  # another version of Numba: compilation takes longer
        return

    def optimize(library) -> None:
        if compiling.within_entry:
            return
        if compiling.ours:
            _make_own(library._final_module)
        own(library)

    CPUCodeLibrary._optimize_final_module = optimize


def _make_own(module) -> None:
    """Keep what is shared in a module of machine code to it, under a name that no other has.

    The linker looks for names alone: under its old one, others would call what is changed to suit this module.
    """
    shared = [f for f in module.functions if f.linkage == Linkage.linkonce_odr and not f.is_declaration]
    mark = uuid4().hex
    for function in shared:
        function.linkage, function.name = Linkage.internal, f"{function.name}.{mark}"


_compiling = _Compiling()
event.register("numba:compile", _compiling)
_optimize_entries_alone(_compiling)

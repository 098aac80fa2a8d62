"""Names and keywords of an earlier version, which work for one version more and say what they are called now."""

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from typing import Any, TypeVar, cast

T = TypeVar("T", bound=Callable[..., Any])


def by_old_name(room: str, name: str, now: Mapping[str, str]) -> Any:
    """What a name of an earlier version stands for in a room, such as ``mmfields.spectra``.

    Raises
    ------
    AttributeError
        If the name was never one of the room.
    """
    if name not in now:
        raise AttributeError(f"module {room!r} has no attribute {name!r}")
    short = room.replace("mmfields", "mm", 1)
    warnings.warn(
        f"{short}.{name} is called {short}.{now[name]} now; the old name goes with the next version",
        FutureWarning,
        stacklevel=3,
    )
    return getattr(import_module(room), now[name])


def renamed(**now: str) -> Callable[[T], T]:
    """Decorate a function or a class whose keywords had other names: ``@renamed(old="new")``.

    It goes above the decorator `verb`, so that results record the keywords of today.

    Raises
    ------
    TypeError
        At a call, if both the old and the new keyword are given.
    """

    def decorate(target: T) -> T:
        if isinstance(target, type):
            target.__init__ = renamed(**now)(target.__init__)  # type: ignore[misc]
            return cast(T, target)

        @wraps(target)
        def renaming(*args: Any, **kwargs: Any) -> Any:
            for old in now.keys() & kwargs.keys():
                if now[old] in kwargs:
                    raise TypeError(f"{target.__name__}() has {now[old]}= and {old}=, its name of before: give one")
                warnings.warn(
                    f"{old}= of {target.__qualname__.removesuffix('.__init__')} is called {now[old]}= now; "
                    "the old keyword goes with the next version",
                    FutureWarning,
                    stacklevel=2,
                )
                kwargs[now[old]] = kwargs.pop(old)
            return target(*args, **kwargs)

        renaming.renamed = now  # type: ignore[attr-defined]
        return cast(T, renaming)

    return decorate

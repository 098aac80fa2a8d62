"""Names of an earlier version, which are found for one version more and say what they are called now."""

import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any


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

"""Errors and warnings of this package."""

import sys
import warnings

__all__ = ["ArgumentError", "MmfieldsError", "MmfieldsWarning", "SnapshotError"]


class MmfieldsError(ValueError):
    """Base of the errors that this package raises itself; each says what was found, where, and what to do."""


class SnapshotError(MmfieldsError):
    """A file or Dataset breaks the snapshot convention; the message says where and how to mend it."""


class ArgumentError(MmfieldsError):
    """An argument of a call is not what it takes; the message says which, and what is needed."""


class MmfieldsWarning(UserWarning):
    """Something known at the call that matters for the result; the attrs say it too."""


def warn(message: str) -> None:
    """A :class:`MmfieldsWarning` that points at the line outside this package that has led to it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).split(".")[0] == "mmfields":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, MmfieldsWarning, stacklevel=level)

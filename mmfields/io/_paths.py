"""What is given as a path: ``~``, bytes, patterns of many files, and URLs."""

import os
import re
from collections.abc import Iterable
from glob import escape, glob, has_magic
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mmfields.conventions import ArgumentError, SnapshotError

URL = re.compile(r"([a-z][a-z0-9+.-]*::)*[a-z][a-z0-9+.-]*(://|::)", re.IGNORECASE)
# How openPMD writes "any iteration" in a file name: %T, or %06T for six digits.
ITERATION = re.compile(r"%(?:0?(\d{1,2}))?T")
# What packs files, by their first bytes, and what unpacks them.
PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unzstd"),
    b"PK\x03\x04": ("zip", "unzip"),
}


def is_url(path: str) -> bool:
    """Whether a path is a URL, such as ``s3://bucket/run.zarr``; a file of that very name is none."""
    return URL.match(path) is not None and not os.path.exists(path)


def plain(path: Any) -> str:
    """A path as an absolute one of this machine, or as the URL that it is.

    Raises
    ------
    ArgumentError
        If it is no path.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise ArgumentError(f"path={path!r}: one path is needed; for many files, mm.open_series('run/*.athdf')")
    text = os.fsdecode(path)
    if not text:
        raise ArgumentError("path='': a path is needed, and this one is empty")
    if not is_url(text):
        return os.path.abspath(os.path.expanduser(text))
    if match := re.match(r"(?:file|local)://(?:localhost(?=/))?", text, re.IGNORECASE):
        local = text[match.end() :]
        return os.path.abspath(local if os.path.lexists(local) else unquote(local))
    return text


def folder(path: Any) -> Path:
    """A directory of this machine to write into; ``~`` is the home directory.

    Raises
    ------
    ArgumentError
        If it is no path, or a URL, behind which nothing can be written bit by bit.
    """
    text = plain(path)
    if is_url(text):
        raise ArgumentError(f"{text}: a directory of this machine is needed; copy from there what is made")
    return Path(text)


def many(paths: Any) -> list[str]:
    """Files of a series: those that a pattern matches, in order, or those given.

    Raises
    ------
    ArgumentError
        If nothing is given, or no paths.
    SnapshotError
        If no file matches the pattern.
    FileNotFoundError
        If it is no pattern and there is no such file.
    """
    if isinstance(paths, str | bytes | os.PathLike):
        return _matches(plain(paths))
    if not isinstance(paths, Iterable):
        raise ArgumentError(f"paths={paths!r}: a pattern such as 'run/*.athdf', or the paths of the files, are needed")
    if not (found := [plain(path) for path in paths]):
        raise ArgumentError("open_series was given no files")
    return found


def _matches(pattern: str) -> list[str]:
    """Files that a pattern of shells or of openPMD matches; what exists under that very name is no pattern."""
    if os.path.exists(pattern):
        return [pattern]
    if is_url(pattern):
        from mmfields.io._remote import matches

        return matches(pattern)
    if ITERATION.search(os.path.basename(pattern)):
        found = _iterations(pattern)
    elif has_magic((place := _existing(pattern))[1]):
        # brackets may belong to a name: first those of folders that exist do, then all
        head, tail = place
        found = sorted(glob(os.path.join(escape(head), tail)) or glob(os.path.join(escape(head), _no_sets(tail))))
    else:
        raise FileNotFoundError(f"no such file: {pattern}")
    if not found:
        raise SnapshotError(f"no file matches {pattern!r}: look what there is in {_existing(pattern)[0]}")
    return found


def _existing(pattern: str) -> tuple[str, str]:
    """The folder that a pattern begins with, as far as it exists, and the rest."""
    head, rest = pattern, []
    while not os.path.isdir(head):
        head, last = os.path.split(head)
        rest.insert(0, last)
    return head, os.path.join(*rest) if rest else ""


def _no_sets(pattern: str) -> str:
    return pattern.replace("[", "[[]")


def _iterations(pattern: str) -> list[str]:
    """Files of openPMD's file-based encoding, in the order of their iterations."""
    folder, name = os.path.split(pattern)
    mark = ITERATION.search(name)
    digits = rf"\d{{{mark[1]},}}" if mark[1] else r"\d+"
    wanted = re.compile(re.escape(name[: mark.start()]) + f"({digits})" + re.escape(name[mark.end() :]))
    folders = [folder] if os.path.isdir(folder) else glob(folder)
    found = [
        (int(match[1]), os.path.join(f, n)) for f in folders for n in os.listdir(f) if (match := wanted.fullmatch(n))
    ]
    return [path for _, path in sorted(found)]


def require_unpacked(path: str, head: bytes) -> None:
    """Refuse a packed file, by its first bytes.

    Raises
    ------
    SnapshotError
        Naming what unpacks it.
    """
    for magic, (kind, command) in PACKED.items():
        if head.startswith(magic):
            raise SnapshotError(
                f"{path} is packed with {kind}: readers need the bytes in place, unpack it first ({command} {path!r})"
            )
    if head[257:262] == b"ustar":
        raise SnapshotError(f"{path} is a tar archive: unpack it first (tar xf {path!r})")

"""What lies behind a URL, through fsspec: zarr stores in place, single files as copies in a cache."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmfields.conventions import SnapshotError

ROOTS = ("zarr.json", ".zgroup", ".zmetadata")
# Files of blocks and of ranks, which need those beside them.
PIECE = re.compile(r"\.block\d+\.|-id\d+[.-]|/rank_\d+/|/id\d+/")
# Of fsspec's caches those that hold whole files.
WHOLE = ("simplecache", "filecache")


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Raise errors of a server, of its library and of fsspec as SnapshotError."""
    try:
        yield
    except (SnapshotError, FileNotFoundError):
        raise
    except ImportError as error:
        raise SnapshotError(f"{url}: {error} (a library of its own is needed for this kind of URL)") from error
    except Exception as error:
        raise SnapshotError(
            f"{url} cannot be reached ({type(error).__name__}: {error}); mend the address or the access, or copy it to "
            "this machine"
        ) from error


def _filesystem(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    return url_to_fs(url)


def resolved(url: str) -> str:
    """The URL itself where a zarr store lies there, the path of a copy where the URL asks for one.

    Raises
    ------
    SnapshotError
        If it is a file that would have to be copied first, or cannot be reached.
    FileNotFoundError
        If there is nothing.
    """
    with reached(url):
        fs, root = _filesystem(url)
        if any(fs.exists(f"{root}/{name}") for name in ROOTS):
            return url
        if not fs.exists(root):
            raise FileNotFoundError(f"no such file: {url}")
        if fs.isdir(root):
            raise SnapshotError(f"{url} is a directory, but no zarr store; copy it to this machine first")
        if PIECE.search(url):
            raise SnapshotError(f"{url} is one of several files of an output: copy all of them to this machine first")
        if url.split("::")[0] in WHOLE:
            import fsspec

            return fsspec.open_local(url)
    raise SnapshotError(
        f"{url}: only zarr stores are read over the network; give 'simplecache::{url}', which copies the file to this "
        "machine when it is opened"
    )


def matches(pattern: str) -> list[str]:
    """URLs that a pattern matches, in order."""
    from fsspec.core import has_magic

    if not has_magic(pattern):
        return [pattern]
    caches, mark, inner = pattern.rpartition("::")
    with reached(pattern):
        fs, root = _filesystem(inner)
        found = [caches + mark + fs.unstrip_protocol(path) for path in sorted(fs.glob(root))]
    if not found:
        raise SnapshotError(f"nothing matches {pattern!r}")
    return found


def chunk_names(url: str) -> dict[str, set[str]]:
    """Names of the objects below each array of a store."""
    fs, root = _filesystem(url)
    names: dict[str, set[str]] = {}
    for path in fs.find(root):
        array, _, name = path[len(root) :].strip("/").partition("/")
        names.setdefault(array, set()).add(name)
    return names


def holds(url: str, name: str) -> bool:
    """Whether there is an object of this name in a store."""
    with reached(url):
        fs, root = _filesystem(url)
        return fs.exists(f"{root}/{name}")

"""AthenaK binary snapshots (engine ``athenak``)."""

import functools
import os
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from glob import escape, glob
from itertools import islice
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io._alike import pieces_of
from mmfields.io._lazy import RawBlocks, read_bytes
from mmfields.io._mesh import Mosaic, Tree, check_extents
from mmfields.io._snapshot import (
    ATHENA_NAMES,
    Alike,
    Field,
    add_field,
    build,
    choose_level,
    finite,
    guarded,
    limits_axis,
    magic,
    with_velocities,
)

MAGIC = b"Athena binary output version="
LARGEST_HEADER = 1 << 24


def _header(path: str) -> dict[str, Any]:
    """Preheader and the mesh of the parameter dump."""
    size = os.path.getsize(path)
    text = read_bytes(path, 0, min(size, 1 << 16))
    pattern = (
        rb"Athena binary output version=(\S+)[ \t]*\n[ \t]*size of preheader=\d+[ \t]*\n[ \t]*time=(\S+)[ \t]*\n"
        rb"[ \t]*cycle=(-?\d{1,18})[ \t]*\n(?:[ \t]*number of moments=(\d)[ \t]*\n)?"
        rb"(?:[ \t]*coarsening factor=(\d{1,4})[ \t]*\n)?"
        rb"[ \t]*size of location=([48])[ \t]*\n[ \t]*size of variable=(\d)[ \t]*\n"
        rb"[ \t]*number of variables=(\d{1,4})[ \t]*\n[ \t]*variables:([^\n]*)\n[ \t]*header offset=(\d{1,9})[ \t]*\n"
    )
    match = re.match(pattern, text)
    if not match:
        raise SnapshotError(f"{path}: the preheader at offset 0 is not AthenaK's version 1.1; found {text[:60]!r}")
    version, time, cycle, _, coarse, location, width, count, names, dump = match.groups()
    if int(coarse or 1) < 1:
        raise SnapshotError(f"{path}: coarsening factor {int(coarse)}; 1 or more is possible")
    if version != b"1.1" or width != b"4":
        raise SnapshotError(f"{path}: version {version!r} with {width!r}-byte variables; 1.1 with 4 is read")
    start = match.end() + int(dump)
    if int(dump) > LARGEST_HEADER or start > size:
        raise SnapshotError(f"{path}: header offset {int(dump)} leads past the end of the file ({size} bytes)")
    variables = names.decode("ascii", "replace").split()
    if len(variables) != int(count) or not variables or len(set(variables)) != len(variables):
        raise SnapshotError(f"{path}: {int(count)} variables announced, named are {variables}")
    parameters = read_bytes(path, match.end(), int(dump)).decode("ascii", "replace")
    return {
        "time": finite(path, "time", time),
        "cycle": int(cycle),
        "location": "<f" + location.decode(),
        "names": variables,
        "start": start,
        "size": size,
        "coarse": int(coarse or 1),
        "parameters": _parameters(parameters),
    }


@functools.lru_cache(maxsize=4)  # the files of a series mostly have the same
def _parameters(text: str) -> dict[str, dict[str, str]]:
    """``<section>`` and ``name = value # comment`` lines of an input file."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("<") and line.endswith(">"):
            current = sections.setdefault(line[1:-1], {})
        elif "=" in line:
            key, value = line.split("=", 1)
            current[key.strip()] = value.strip()
    return sections


def _blocks(path: str, header: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple]:
    """Offsets of the data, levels, (x3, x2, x1) locations and edges of the blocks of one file, and their size."""
    location = np.dtype(header["location"])
    head = 40 + 6 * location.itemsize
    offsets, levels, places, edges = [], [], [], []
    shape: tuple[int, ...] | None = None
    offset = header["start"]
    while offset < header["size"]:
        raw = read_bytes(path, offset, head)
        numbers = struct.unpack("<10i", raw[:40])
        block = tuple(numbers[2 * k + 1] - numbers[2 * k] + 1 for k in (2, 1, 0))
        limits = np.frombuffer(raw[40:], location).astype(float).reshape(3, 2)
        if not np.isfinite(limits).all():
            raise SnapshotError(f"{path}: block {len(offsets)} at offset {offset} has limits that are not finite")
        if min(block) < 1 or shape not in (None, block):
            raise SnapshotError(f"{path}: block {len(offsets)} at offset {offset} has {block[::-1]} cells, not {shape}")
        shape = block
        length = 4 * len(header["names"]) * int(np.prod(block, dtype=object))
        if offset + head + length > header["size"]:
            raise SnapshotError(
                f"{path}: block {len(offsets)} at offset {offset} needs {length} bytes, the file ends at "
                f"{header['size']}; it is truncated"
            )
        offsets.append(offset + head)
        levels.append(numbers[9])
        places.append(numbers[8:5:-1])
        edges.append(limits[::-1])
        offset += head + length
    header["blocks"] = [(at - head - header["start"], head) for at in offsets]
    if shape is None:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 3), np.int64), np.empty((0, 3, 2)), ()
    return np.array(offsets), np.array(levels, np.int64), np.array(places, np.int64), np.array(edges), shape


def _ranks(path: str) -> list[str]:
    """All ranks' files of an output written one directory per rank, from any of them."""
    folder, name = os.path.split(path)
    parent, rank = os.path.split(folder)
    if not re.fullmatch(r"rank_\d{8}", rank):
        return [path]
    found = sorted(glob(os.path.join(escape(parent), "rank_" + "[0-9]" * 8, escape(name))))
    numbers = [int(os.path.basename(os.path.dirname(p))[5:]) for p in found]
    if numbers != list(range(len(numbers))):
        missing = list(islice((i for i in range(max(numbers)) if i not in numbers), 10))
        raise SnapshotError(f"{path}: ranks {missing} are missing beside it; copy them all")
    return found


def _root(path: str, header: dict[str, Any], block: tuple[int, ...]) -> tuple[int, ...]:
    """Cells of the mesh in array order, at the resolution of the output."""
    mesh = header["parameters"].get("mesh", {})
    missing = [k for i in (1, 2, 3) for k in (f"nx{i}", f"x{i}min", f"x{i}max") if k not in mesh]
    if missing:
        coarse = " of this coarsened output" if header["coarse"] > 1 else ""
        raise SnapshotError(f"{path}: the parameter dump{coarse} states no {', '.join(missing)} in <mesh>")
    if any(not re.fullmatch(r"\d{1,9}", mesh[f"nx{i}"]) or int(mesh[f"nx{i}"]) < 1 for i in (1, 2, 3)):
        raise SnapshotError(
            f"{path}: <mesh> states nx {[mesh[f'nx{i}'] for i in (1, 2, 3)]}; whole numbers from 1 on are needed"
        )
    root = [int(mesh[f"nx{i}"]) for i in (3, 2, 1)]
    if odd := [n for n in root if n % header["coarse"] and n > 1]:
        raise SnapshotError(f"{path}: a mesh with {odd} cells cannot be coarsened {header['coarse']} times")
    own = header["parameters"].get("meshblock", {})
    ghosts = mesh.get("nghost", "0")
    for a, i in enumerate((3, 2, 1)):
        if own.get(f"nx{i}", "").isdigit() and ghosts.isdigit():
            inner = int(own[f"nx{i}"]) // header["coarse"]
            if int(ghosts) and block[a] == inner + 2 * int(ghosts) // header["coarse"]:
                raise SnapshotError(
                    f"{path}: blocks of {block[::-1]} cells have ghost zones, {ghosts} on each side, which are not "
                    "read; write them with ghost_zones = false"
                )
    return tuple(max(n // header["coarse"], 1) for n in root)


def _is_relativistic(header: dict[str, Any]) -> bool:
    """Whether momentum over density is no velocity in this run."""
    coord = header["parameters"].get("coord", {})
    return any(coord.get(key, "false").lower() in ("true", "1") for key in ("special_rel", "general_rel"))


def _of_rank(path: str, own: str | None, files: Sequence[str] = ()) -> str:
    """The file of the rank that `own` is of, at the output of `path`; without, that of one rank more than `files`."""
    folder, name = os.path.split(path)
    rank = f"rank_{len(files):08d}" if own is None else os.path.basename(os.path.dirname(own))
    return os.path.join(os.path.dirname(folder), rank, name)


def _outline(path: str, header: dict[str, Any]) -> tuple:
    """What outputs that are alike have in common: meshes, variables, and the headers of their blocks."""
    shared = {key: header["parameters"].get(key) for key in ("mesh", "meshblock", "coord")}
    named = [header[key] for key in ("location", "names", "coarse")]
    ranges = [(offset + header["start"], count) for offset, count in header["blocks"]]
    size, heads = pieces_of(path, ranges)
    return shared, named, size - header["start"], heads


class AthenakBackend(BackendEntrypoint):
    """xarray engine ``athenak``: AthenaK ``.bin`` and ``.cbin`` output, uniform or refined."""

    description = "AthenaK binary snapshots"
    url = "https://github.com/IAS-Astrophysics/athenak/wiki"

    @guarded("athenak")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
        level: int | None = None,
    ) -> xr.Dataset:
        """Open a ``.bin`` file, or one output of many ``rank_########/`` directories.

        A slice is a snapshot of fewer dims, a coarsened output (``.cbin``) one of fewer cells.

        Parameters
        ----------
        filename_or_obj : path
            A file; of per-rank output any rank's.
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            Overrides what the parameter dump of the file says.
        level : int, optional
            Level of the uniform grid that refined blocks are brought to, the finest by default.

        Raises
        ------
        SnapshotError
            If headers, sizes and blocks do not fit together.
        """
        path = filename_or_obj
        if os.path.isdir(path):
            raise SnapshotError(f"{path} is a directory: give one of the .bin files in it")
        paths = _ranks(path)
        headers = [_header(p) for p in paths]
        self.read = paths, headers
        for other, header in zip(paths[1:], headers[1:], strict=True):
            if any(header[k] != headers[0][k] for k in ("time", "names", "location")):
                raise SnapshotError(f"{other}: time or variables differ from {paths[0]}; they are two outputs")
        found = [_blocks(p, h) for p, h in zip(paths, headers, strict=True)]
        block = next((f[4] for f in found if f[4]), ())
        if not block or any(f[4] not in ((), block) for f in found):
            coarse = f" of an output coarsened {headers[0]['coarse']} times" if headers[0]["coarse"] > 1 else ""
            raise SnapshotError(f"{path}: no blocks{coarse}, or blocks of several sizes")
        root = _root(path, headers[0], block)
        mesh = headers[0]["parameters"]["mesh"]
        whole = Tree(path, block, root, *(np.concatenate([f[k] for f in found]) for k in (1, 2)))
        sliced = whole.sliced()
        active = [a for a in range(3) if root[a] > 1 and a not in sliced] or [2]
        flat = [a for a in range(3) if a not in active and a not in sliced]
        if any(block[a] != 1 for a in flat) or whole.logical[:, flat].any():
            raise SnapshotError(f"{path}: blocks of {block[::-1]} cells do not fit a mesh of {root[::-1]}")
        limits = [[finite(path, f"x{i}{end}", mesh[f"x{i}{end}"]) for end in ("min", "max")] for i in (3, 2, 1)]
        edges = np.concatenate([f[3] for f in found])
        check_extents(path, whole, limits, edges, np.finfo(headers[0]["location"]).eps, sliced)
        tree = whole.of_axes(active)
        return self._assemble(paths, headers[0], found, tree, active, level, boundary, drop_variables)

    def _assemble(self, paths, header, found, tree, active, level, boundary, drop) -> xr.Dataset:
        path, mesh = paths[0], header["parameters"]["mesh"]
        top = int(tree.level.max())
        target = choose_level(level, top)
        layout = tree.layout(target)
        dims = tuple("zyx"[a] for a in active)
        first = np.concatenate([f[0] for f in found])
        owner = np.concatenate([np.full(len(f[0]), i, np.int32) for i, f in enumerate(found)])
        shapes = np.broadcast_to(np.array(tree.block), (len(first), len(dims)))
        bytes_each = 4 * int(np.prod(tree.block))
        fields: dict[Any, Any] = {}
        for index, name in enumerate(header["names"]):
            raw = RawBlocks(tuple(paths), owner, first + index * bytes_each, shapes, np.dtype("<f4"))
            mean = name.removesuffix("_1st")  # coarsened outputs may hold the means of powers
            add_field(path, fields, ATHENA_NAMES.get(mean, mean), Field(dims, Mosaic(raw, layout), name))
        if not _is_relativistic(header):
            fields = with_velocities(fields)
        axes, known = {}, {}
        for dim, cells, block in zip(dims, layout.shape, tree.block, strict=True):
            i = SPATIAL.index(dim) + 1
            low, high = (finite(path, f"x{i}{end}", mesh[f"x{i}{end}"]) for end in ("min", "max"))
            axes[dim] = limits_axis(path, dim, low, high, cells, block << max(target - top, 0))
            sides = {mesh.get(f"{side}x{i}_bc") for side in "io"}
            if None not in sides:
                known[dim] = "periodic" if sides == {"periodic"} else "open"
        attrs = {
            "code": "AthenaK",
            "time": header["time"],
            "cycle": header["cycle"],
            "level": target,
            "finest_level": top,
        }
        if header["coarse"] > 1:
            attrs["coarsening_factor"] = header["coarse"]
        return build(fields, axes, attrs=attrs, boundary=boundary, known=known, drop=drop)

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether another output has the blocks of the one opened last, and gives its time and cycle."""
        paths, headers = self.read
        wanted = [_outline(path, header) for path, header in zip(paths, headers, strict=True)]

        def alike(path: str) -> Alike | None:
            files = [path] if len(paths) == 1 else [_of_rank(path, own) for own in paths]
            if path not in files or not all(map(os.path.isfile, files)) or os.path.isfile(_of_rank(path, None, files)):
                return None
            moves, found = {}, []
            for own, header, outline, file in zip(paths, headers, wanted, files, strict=True):
                other = _header(file)
                if _outline(file, {**header, **other}) != outline:
                    return None
                found.append((other["time"], other["cycle"]))
                moves[own] = (file, other["start"] - header["start"])
            time, cycle = found[0]
            return Alike({"time": time, "cycle": cycle}, first, moves) if len(set(found)) == 1 else None

        return alike

    @staticmethod
    def pieces(path: str) -> list[str]:
        """All files of the output that a file belongs to."""
        return _ranks(path)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the first bytes are those of an AthenaK binary."""
        return magic(filename_or_obj).startswith(MAGIC)

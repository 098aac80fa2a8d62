"""PEGASUS++ NBF snapshots (engine ``pegasus``)."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields._compat import read_at
from mmfields.conventions import SnapshotError
from mmfields.io._lazy import Files, RawBlocks, read_pieces
from mmfields.io._mesh import Mosaic, Tree, check_extents
from mmfields.io._snapshot import (
    ATHENA_NAMES,
    LONGEST_AXIS,
    Alike,
    Field,
    add_field,
    build,
    finite,
    guarded,
    limits_axis,
    magic,
    require_file,
    with_centred_faces,
    with_velocities,
)

MAGIC = b"Pegasus++ binary output"
BLOCK_HEADER = 48
LONGEST_LINE = 1 << 16


class _Lines:
    """ASCII header lines of a binary file, with the offset where each begins."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as file:
            self.head = file.read(1 << 14)
        self.offset = 0

    def next(self, pattern: str, optional: bool = False) -> re.Match | None:
        end = self.head.find(b"\n", self.offset, self.offset + LONGEST_LINE)
        line = self.head[self.offset : end] if end >= 0 else b""
        match = re.fullmatch(pattern, line.decode("ascii", "replace").strip())
        if match:
            self.offset = end + 1
        elif not optional:
            raise SnapshotError(f"{self.path}: expected {pattern!r} at offset {self.offset}, found {line[:60]!r}")
        return match


def _header(path: str) -> dict[str, Any]:
    """Text header of an NBF file: what it states, and where the blocks begin."""
    lines = _Lines(path)
    time = lines.next(r"Pegasus\+\+ binary output at time = (\S+)")[1]
    big = lines.next(r"Big endian = ([01])")[1] == "1"
    blocks = int(lines.next(r"Number of MeshBlocks = (\d{1,9})")[1])
    count = int(lines.next(r"Number of variables = (\d{1,5})")[1])
    names = lines.next(r"Variables:\s*(.*)")[1].split()
    mesh = [lines.next(r"Mesh:\s+nx1=(\d{1,9})\s+x1min=(\S+)\s+x1max=(\S+)")]
    mesh += [lines.next(rf"nx{i}=(\d{{1,9}})\s+x{i}min=(\S+)\s+x{i}max=(\S+)") for i in (2, 3)]
    block = lines.next(r"MeshBlock:\s+nx1=(\d{1,9})\s+nx2=(\d{1,9})\s+nx3=(\d{1,9})").groups()
    forcing = lines.next(r"Forcing:\s+unorm=(\S+)\s+bnorm=(\S+)", optional=True)
    header = {
        "time": finite(path, "time", time),
        "order": ">" if big else "<",
        "blocks": blocks,
        "names": names,
        "cells": tuple(int(m[1]) for m in mesh),
        "limits": tuple((finite(path, "a mesh limit", m[2]), finite(path, "a mesh limit", m[3])) for m in mesh),
        "block": tuple(map(int, block)),
        "forcing": tuple(finite(path, "a forcing norm", f) for f in forcing.groups()) if forcing else None,
        "start": lines.offset,
    }
    if len(names) != count or not names or len(set(names)) != count:
        raise SnapshotError(f"{path}: {count} variables announced, {len(names)} distinct names needed: {names}")
    _check_size(path, header)
    return header


def _check_size(path: str, header: dict[str, Any]) -> None:
    cells = np.prod([int(n) for n in header["block"]], dtype=object)
    if not (cells and header["blocks"] and all(0 < n <= LONGEST_AXIS for n in header["cells"])):
        raise SnapshotError(f"{path}: empty mesh {header['cells']} in {header['blocks']} blocks of {header['block']}")
    expected = header["start"] + header["blocks"] * (BLOCK_HEADER + 4 * len(header["names"]) * cells)
    if (size := os.path.getsize(path)) != expected:
        raise SnapshotError(
            f"{path}: {size} bytes, but the header announces {expected} ({header['blocks']} blocks of "
            f"{header['block']}, {len(header['names'])} variables from offset {header['start']}); "
            "the file is truncated or damaged"
        )


def _locations(path: str, header: dict[str, Any], stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Logical (x3, x2, x1) location and edges of every block, from the block headers."""
    offsets = range(header["start"], header["start"] + header["blocks"] * stride, stride)
    order = header["order"]
    stored = np.frombuffer(b"".join(read_pieces(path, offsets, BLOCK_HEADER)), _block_header(order))
    sizes = np.column_stack([stored[f"n{i}"] for i in (1, 2, 3)])
    if (wrong := (sizes != header["block"]).any(axis=1)).any():
        index = int(np.flatnonzero(wrong)[0])
        raise SnapshotError(
            f"{path}: block {index} at offset {offsets[index]} has {tuple(sizes[index].tolist())} cells, the header "
            f"says {header['block']}; the file is damaged or its endianness flag is wrong"
        )
    extents = np.stack([stored[f"x{i}"] for i in (3, 2, 1)], axis=1).astype(float)
    if (wrong := ~np.isfinite(extents).all(axis=(1, 2))).any():
        index = int(np.flatnonzero(wrong)[0])
        raise SnapshotError(f"{path}: block {index} at offset {offsets[index]} has limits that are not finite")
    return stored["place"][:, ::-1].astype(np.int64), extents


def _block_header(order: str) -> np.dtype:
    """Location, and cells and limits of each axis, x1 first."""
    axes = [item for i in (1, 2, 3) for item in ((f"n{i}", f"{order}i4"), (f"x{i}", f"{order}f4", 2))]
    return np.dtype([("place", f"{order}i4", 3), *axes])


class PegasusBackend(BackendEntrypoint):
    """xarray engine ``pegasus``: PEGASUS++ NBF dumps on uniform meshblocks."""

    description = "PEGASUS++ NBF snapshots"
    url = "https://github.com/PegasusPIC/pegasustools"

    @guarded("pegasus")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: str | Mapping[str, str] | None = None,
        frame: str | None = None,
        scale_factors: Mapping[str, float] | None = None,
    ) -> xr.Dataset:
        """Open an NBF file; only its headers are read.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            ``periodic`` or ``open``, for all axes or per axis; the file does not state it.
        frame : {"comoving", "physical"}, optional
            What the stored fields are in a contracting box.  The file does not say, so without
            it ``attrs["frame"]`` is ``unknown``.
        scale_factors : mapping, optional
            Scale factor of each axis at this time, kept as ``attrs["scale_factor_x"]`` …

        Raises
        ------
        SnapshotError
            If header, block headers and file size do not agree.
        ArgumentError
            If `frame` or a scale factor is none.
        """
        path = filename_or_obj
        header = self.header = _header(path)
        dims = [d for d, n in zip("zyx", header["cells"][::-1], strict=True) if n > 1] or ["x"]
        keep = ["zyx".index(d) for d in dims]
        cells = int(np.prod(header["block"]))
        stride = BLOCK_HEADER + 4 * len(header["names"]) * cells
        logical, extents = _locations(path, header, stride)
        block = header["block"][::-1]
        tree = Tree(path, block, header["cells"][::-1], np.zeros(len(logical), int), logical).check()
        if (extents != extents[0]).any():  # some writers fill in the same edges for all blocks
            check_extents(path, tree, header["limits"][::-1], extents, np.finfo(np.float32).eps)
        kept = Tree(
            path, tuple(block[k] for k in keep), tuple(tree.root[k] for k in keep), tree.level, logical[:, keep]
        )
        layout = kept.layout(0)
        first = header["start"] + BLOCK_HEADER + stride * np.arange(len(logical))
        fields = {}
        shapes, file = (
            np.broadcast_to(np.array(kept.block), (len(logical), len(dims))),
            np.zeros(len(logical), np.int32),
        )
        for index, name in enumerate(header["names"]):
            stored = np.dtype(header["order"] + "f4")
            raw = RawBlocks((path,), file, first + 4 * index * cells, shapes, stored)
            add_field(path, fields, ATHENA_NAMES.get(name, name), Field(tuple(dims), Mosaic(raw, layout), name))
        axes = {
            d: limits_axis(path, d, *header["limits"]["xyz".index(d)], tree.root[k], block[k], descending=True)
            for d, k in zip(dims, keep, strict=True)
        }
        attrs = {"code": "PEGASUS++", "time": header["time"], "frame": frame or "unknown"}
        if header["forcing"]:
            attrs["forcing_unorm"], attrs["forcing_bnorm"] = header["forcing"]
        for axis, factor in (scale_factors or {}).items():
            attrs[f"scale_factor_{axis}"] = finite(path, f"scale factor of {axis}", factor)
        fields, axes = with_centred_faces(fields, axes, boundary)
        return build(with_velocities(fields), axes, attrs=attrs, boundary=boundary, drop=drop_variables)

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether another file has the headers of the one opened last but for the time, and gives that."""
        header = self.header
        stride = BLOCK_HEADER + 4 * len(header["names"]) * math.prod(header["block"])
        offsets = range(header["start"], header["start"] + header["blocks"] * stride, stride)

        def headers(descriptor: int) -> tuple[bytes, tuple]:
            time, _, rest = read_at(descriptor, header["start"], 0).partition(b"\n")
            blocks = [read_at(descriptor, BLOCK_HEADER, offset) for offset in offsets]
            return time, (os.fstat(descriptor).st_size, rest, blocks)

        with Files() as files:
            _, wanted = headers(files[first])

        def alike(path: str) -> Alike | None:
            require_file(path)
            with open(path, "rb", buffering=0) as file:
                own, found = headers(file.fileno())
            match = re.fullmatch(rb"Pegasus\+\+ binary output at time = ([-+.\deE]+)", own)
            return Alike({"time": finite(path, "time", match[1])}) if match and found == wanted else None

        return alike

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the first bytes are those of an NBF file."""
        return magic(filename_or_obj).startswith(MAGIC)

"""PEGASUS++ NBF snapshots (engine ``pegasus``)."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SnapshotError
from mmfields.io._alike import pieces_of
from mmfields.io._lazy import RawBlocks, read_pieces
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
from mmfields.io._walk import Walker

MAGIC = b"Pegasus++ binary output"
BLOCK_HEADER = 48


def _header(path: str) -> dict[str, Any]:
    """Text header of an NBF file: what it states, and where the blocks begin."""
    with Walker(path) as lines:
        return _walked(path, lines)


def _walked(path: str, lines: Walker) -> dict[str, Any]:
    time = lines.expect(r"Pegasus\+\+ binary output at time = (\S+)")[1]
    big = lines.expect(r"Big endian = ([01])")[1] == "1"
    blocks = int(lines.expect(r"Number of MeshBlocks = (\d{1,9})")[1])
    count = int(lines.expect(r"Number of variables = (\d{1,5})")[1])
    names = lines.expect(r"Variables:\s*(.*)")[1].split()
    mesh = [lines.expect(r"Mesh:\s+nx1=(\d{1,9})\s+x1min=(\S+)\s+x1max=(\S+)")]
    mesh += [lines.expect(rf"nx{i}=(\d{{1,9}})\s+x{i}min=(\S+)\s+x{i}max=(\S+)") for i in (2, 3)]
    block = lines.expect(r"MeshBlock:\s+nx1=(\d{1,9})\s+nx2=(\d{1,9})\s+nx3=(\d{1,9})").groups()
    forcing = lines.accept(r"Forcing:\s+unorm=(\S+)\s+bnorm=(\S+)")
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
        fields: dict[Any, Any] = {}
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
        ranges = [(0, header["start"]), *((offset, BLOCK_HEADER) for offset in offsets)]

        def headers(path: str) -> tuple[bytes, tuple]:
            size, (text, *blocks) = pieces_of(path, ranges)
            time, _, rest = text.partition(b"\n")
            return time, (size, rest, blocks)

        _, wanted = headers(first)

        def alike(path: str) -> Alike | None:
            require_file(path)
            own, found = headers(path)
            match = re.fullmatch(rb"Pegasus\+\+ binary output at time = ([-+.\deE]+)", own)
            if not match or found != wanted:
                return None
            return Alike({"time": finite(path, "time", match[1])}, first, {first: (path, 0)})

        return alike

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the first bytes are those of an NBF file."""
        return magic(filename_or_obj).startswith(MAGIC)

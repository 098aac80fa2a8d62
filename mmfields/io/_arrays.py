"""Whole arrays on one uniform grid: what the engines of formats without blocks share.

An engine reads its header, makes an :class:`Axis` for each dim and a :class:`Stored` for each variable; the
functions here do the rest.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from xarray.backends import BackendEntrypoint

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io import _hdf5
from mmfields.io._lazy import Centred, Hdf5Blocks, Part, RawBlocks, Single, Source, Stack
from mmfields.io._mesh import Layout, check_boxes
from mmfields.io._recognize import recognized
from mmfields.io._snapshot import LONGEST_AXIS, Axis, Field, add_field, limits_axis

if TYPE_CHECKING:
    import h5py

Boundary = str | Mapping[str, str] | None


class Engine(BackendEntrypoint):
    """An xarray engine whose files :mod:`mmfields.io._recognize` knows under `name`."""

    name: ClassVar[str]

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether what the file begins with, or holds, is of this code."""
        named = isinstance(filename_or_obj, str | os.PathLike) and os.path.isfile(filename_or_obj)
        return named and recognized(os.fspath(filename_or_obj)) == self.name


@dataclass(frozen=True)
class Stored:
    """One variable as its file stores it.

    Parameters
    ----------
    name, code_name : str
        Canonical name, and the name in the file.
    source : Source
        Over the dims of the snapshot.
    position : tuple of float, optional
        Where in its cell each value lies along each dim: 0 at the lower edge, 0.5 in the middle, as without it.
    notes : mapping
        ``units`` or ``normalization``, as :class:`Field` takes them.
    """

    name: str
    source: Source
    code_name: str
    position: tuple[float, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


def components(stems: Mapping[str, str], numbers: Sequence[str] = ("1", "2", "3")) -> dict[str, str]:
    """Names of vector components in a code, and the canonical ones: ``{"fB": "B"}`` gives ``fB1: Bx`` and so on."""
    return {f"{old}{n}": f"{new}{dim}" for old, new in stems.items() for n, dim in zip(numbers, SPATIAL, strict=True)}


def kept(shape: Sequence[int]) -> list[int]:
    """Array axes of more than one cell; the last one where there is none."""
    return [k for k, n in enumerate(shape) if n > 1] or [len(shape) - 1]


def raw_array(path: str, offset: int, shape: Sequence[int], stored: np.dtype) -> Source:
    """An array that lies in a file as it is, over its axes of more than one cell."""
    sizes = tuple(shape[k] for k in kept(shape))
    return Single(RawBlocks((path,), np.zeros(1, np.int32), np.array([offset]), np.array([sizes]), stored), sizes)


def hdf5_array(path: str, group: "h5py.Group", name: str) -> tuple[Source, tuple[int, ...]]:
    """A dataset over its axes of more than one cell, and the shape of its chunks over them."""
    node = _hdf5.dataset(group, name)
    if not node.ndim or 0 in node.shape:
        raise SnapshotError(f"{path}: {node.name} has shape {node.shape}: it holds no array")
    keep = kept(node.shape)
    chunks = tuple((node.chunks or node.shape)[k] for k in keep)
    offset = _hdf5.blocks_of(node)
    if offset is not None:
        return raw_array(path, offset, node.shape, node.dtype), chunks
    active = tuple(k in keep for k in range(node.ndim))
    blocks = Hdf5Blocks(path, node.name, node.dtype, blocked=False, active=active)
    return Single(blocks, tuple(node.shape[k] for k in keep)), chunks


def chunked(axes: Mapping[str, Axis], chunks: Sequence[int]) -> dict[str, Axis]:
    """Axes with the chunks of a dataset over them, where it has one for each."""
    if len(chunks) != len(axes):
        return dict(axes)
    return {d: replace(a, chunk=min(n, a.cells)) for (d, a), n in zip(axes.items(), chunks, strict=True)}


def edges_axis(path: str, dim: str, edges: Any, chunk: int | None = None) -> Axis:
    """Axis from the edges of its cells as stored.

    Raises
    ------
    SnapshotError
        If they are not finite, ascending and uniform.
    """
    edges = np.asarray(edges, float).ravel()
    cells = len(edges) - 1
    if not 0 < cells <= LONGEST_AXIS:
        raise SnapshotError(f"{path}: {cells} cells along {dim}; 1 to {LONGEST_AXIS} are possible")
    if not np.isfinite(edges).all():
        raise SnapshotError(f"{path}: the coordinates along {dim} are not all finite; the file is damaged")
    axis = limits_axis(path, dim, edges[0], edges[-1], cells, min(chunk or cells, cells))
    slack = 1e-3 * axis.width + 8 * np.finfo(np.float32).eps * np.abs(edges).max()
    away = np.abs(edges - axis.lower - axis.width * np.arange(cells + 1))
    if not (away <= slack).all():
        worst = int(np.argmax(away))
        raise SnapshotError(
            f"{path}: the axis {dim} is stretched: edge {worst} lies at {edges[worst]:g}, in cells of one size it "
            f"would lie at {axis.lower + axis.width * worst:g}; interpolate onto a uniform grid with the tools of the "
            "code first, then mm.io.from_arrays"
        )
    return axis


def centres_axis(path: str, dim: str, centres: Any, chunk: int | None = None) -> Axis:
    """Axis from the centres of at least two cells as stored; faults as :func:`edges_axis`."""
    centres = np.asarray(centres, float).ravel()
    if len(centres) < 2:
        raise SnapshotError(f"{path}: {len(centres)} coordinates along {dim} do not give the size of a cell")
    half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2
    middles = centres[:-1] / 2 + centres[1:] / 2
    return edges_axis(path, dim, [centres[0] - half, *middles, centres[-1] + half], chunk)


def placed(
    path: str,
    axes: Mapping[str, Axis],
    items: Iterable[Stored],
    *,
    boundary: Boundary,
    known: Mapping[str, str] | None = None,
    staggered: bool = False,
) -> tuple[dict[str, Field], dict[str, Axis]]:
    """Variables at one place of the cell: components of a Yee mesh are averaged to the centres.

    Along an open axis that is averaged, the last cell is dropped, as the value at its upper edge is not stored.

    Parameters
    ----------
    path : str
        Named in errors.
    axes : mapping
        Cells of the mesh per dim, in array order.
    items : iterable of Stored
        Of one shape, that of `axes`.
    boundary, known
        What the caller and the file say of the boundaries.
    staggered : bool
        Also give what is averaged as it is stored: ``Bx_f`` over dims such as ``x_f``.

    Returns
    -------
    fields, axes
        As :func:`mmfields.io._snapshot.build` takes them.

    Raises
    ------
    SnapshotError
        If a shape or position does not fit, or two variables have one name.
    """
    items, dims = list(items), tuple(axes)
    places = _places(path, axes, items)
    if len(set(places)) == 1:
        moved = zip(axes.items(), places[0], strict=True)
        axes = {d: replace(a, lower=a.lower + (p - 0.5) * a.width) for (d, a), p in moved}
        return _named(path, [(item.name, dims, item.source, item) for item in items]), axes
    given = dict.fromkeys(dims, boundary) if isinstance(boundary, str) else dict(boundary or {})
    kinds = [given.get(d, (known or {}).get(d, "periodic")) for d in dims]
    shape = tuple(a.cells for a in axes.values())
    cells = tuple(n - (kind != "periodic") for n, kind in zip(shape, kinds, strict=True))
    if 0 in cells:
        raise SnapshotError(f"{path}: one cell along the open axis {dims[cells.index(0)]} has no centre to average to")
    whole = {d: replace(a, cells=n, chunk=min(a.chunk, n)) for (d, a), n in zip(axes.items(), cells, strict=True)}
    found = []
    for item, place in zip(items, places, strict=True):
        low = [k for k, p in enumerate(place) if p < 0.25]
        found.append((item.name, dims, _to_centres(item.source, low, cells), item))
        if staggered and low:
            own = tuple(f"{d}_f" if k in low else d for k, d in enumerate(dims))
            part = tuple(shape[k] if k in low else cells[k] for k in range(len(dims)))
            found.append((f"{item.name}_f", own, Part(item.source, part), item))
            whole |= {f"{dims[k]}_f": replace(axes[dims[k]], face=True) for k in low}
    return _named(path, found), whole


def _places(path: str, axes: Mapping[str, Axis], items: Sequence[Stored]) -> list[tuple[float, ...]]:
    """Position of each variable, checked; 0 and 0.5 are possible where they differ."""
    shape, middle = tuple(a.cells for a in axes.values()), (0.5,) * len(axes)
    for item in items:
        if item.source.shape != shape:
            raise SnapshotError(
                f"{path}: {item.code_name} has shape {item.source.shape}, the grid {shape} along {tuple(axes)}"
            )
        if len(item.position or middle) != len(axes):
            raise SnapshotError(f"{path}: {item.code_name} is placed by {item.position}, the axes are {tuple(axes)}")
    places = [item.position or middle for item in items]
    if len(set(places)) > 1 and (bad := [p for p in places if any(min(abs(v), abs(v - 0.5)) > 1e-6 for v in p)]):
        raise SnapshotError(f"{path}: a component lies at {bad[0]} of its cell; 0 and 0.5 can be averaged to centres")
    return places


def _to_centres(source: Source, low: Sequence[int], cells: tuple[int, ...]) -> Source:
    for k in low:
        source = Centred(source, k, cells[k])
    return source if source.shape == cells else Part(source, cells)


def _named(path: str, found: Iterable[tuple[str, tuple[str, ...], Source, Stored]]) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for name, dims, source, item in found:
        add_field(path, fields, name, Field(dims, source, item.code_name, **item.notes))
    return fields


def along_time(path: str, each: Sequence[dict[str, Field]]) -> dict[str, Field]:
    """Fields of one or of several times of a file, these over ``time`` first."""
    if len(each) == 1:
        return each[0]
    if any({n: f.dims for n, f in fields.items()} != {n: f.dims for n, f in each[0].items()} for fields in each):
        raise SnapshotError(f"{path}: its steps hold different variables; write each to a file of its own")
    return {
        name: replace(item, dims=("time", *item.dims), source=Stack(tuple(fields[name].source for fields in each)))
        for name, item in each[0].items()
    }


def side_by_side(path: str, start: np.ndarray, count: np.ndarray) -> Layout:
    """Layout of the pieces that the ranks of a run wrote, which together must fill a box without overlap.

    Parameters
    ----------
    path : str
        Named in errors.
    start, count : (nb, ndim) int arrays
        First cell of each piece on the whole grid, and its cells, in array order.
    """
    shape = (start + count).max(axis=0)
    check_boxes(path, "the pieces of the ranks", start, start + count, shape, full=True)
    ones = np.ones_like(start)
    return Layout(tuple(shape.tolist()), start, start + count, ones, ones)


def on_grid(path: str, dim: str, corners: np.ndarray, width: float) -> np.ndarray:
    """Which cell of the whole grid the lower corners of pieces are, counted from the lowest.

    Raises
    ------
    SnapshotError
        If they are not a whole number of cells apart.
    """
    steps = (corners - corners.min()) / width
    if not np.isfinite(steps).all() or not (np.abs(steps - np.rint(steps)) < 0.05).all() or steps.max() > LONGEST_AXIS:
        raise SnapshotError(
            f"{path}: the pieces along {dim} begin at {corners.tolist()[:8]}, no whole number of cells of {width:g} "
            "apart; they are of several grids"
        )
    return np.rint(steps).astype(np.int64)


def neighbour(path: str, name: str, why: str) -> str:
    """Text of a small file in the same folder, which is needed to read this one.

    Raises
    ------
    SnapshotError
        If it is not there; `why` says what it is needed for.
    """
    other = os.path.join(os.path.dirname(path), name)
    if not os.path.isfile(other):
        raise SnapshotError(f"{path}: {name} is not in its folder, and {why}; copy it there")
    if os.path.getsize(other) > 1 << 26:
        raise SnapshotError(f"{other}: {os.path.getsize(other)} bytes are too many for a table of text")
    with open(other, "rb") as file:
        return file.read().decode("utf-8", "replace")

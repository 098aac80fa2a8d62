"""Mirror patches: where they are, how much they fill, their number, volumes, sizes and chords."""

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.anisotropy.criteria import KINDS, criterion
from mmfields.conventions import (
    Grid,
    aligned,
    derived_units,
    per_snapshot,
    require_whole,
    unit_attrs,
)
from mmfields.provenance import verb

# The threshold of a given quantile is found digit by digit; a digit has so many bits.
DIGIT = 16


@renamed(filling="filling_fraction")
@verb
def patches(
    ds: xr.Dataset,
    kind: Literal["mirror", "field", "fluctuation"] = "mirror",
    *,
    threshold: float | None = None,
    quantile: float | None = None,
    filling_fraction: float | None = None,
    smoothing: float | None = None,
    direction: str | Sequence[float] | None = None,
    largest: int = 1000,
) -> xr.Dataset:
    """Regions where a criterion is met, and the connected patches that they are made of (Secs. 3.8 and 3.10).

    Cells that share a face are connected, across periodic boundaries too.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot; lazy where it is.
    kind : {"mirror", "field", "fluctuation"}
        ``mirror``: where Delta - 1/beta_perp is above the threshold, 0 by default (see :func:`pressure`).
        ``field``: where |B| is at least the threshold.  ``fluctuation``: where |dB_par|/|B|, smoothed, is.
    threshold, quantile, filling_fraction : float, optional
        One of them: the value itself; the fraction of cells below it; or the fraction of cells wanted inside,
        which is met to one cell unless values are equal.
    smoothing : float, optional
        Standard deviation of the Gaussian that ``fluctuation`` is smoothed with, in the length unit; all axes are
        periodic then.
    direction : str or three numbers, optional
        What parallel means for ``fluctuation``; the mean field by default.
    largest : int
        Patches whose volumes and sizes are listed.

    Returns
    -------
    xarray.Dataset
        ``mask``; ``label``, 0 outside and 1, 2, … inside from the largest patch on; ``threshold``;
        ``filling_fraction`` (f_mm); ``count`` of the patches; ``surface``, and ``mean_chord`` = 4 V/S (pi A/P in two
        dims), from the crossings of lines in 13 (4) directions: right for surfaces of all directions, and within 10 %
        for a plane along a face of cubic cells; over ``patch``, for as many as asked for and NaN beyond their count:
        ``volume``, and ``size_x|y|z``, the mean length of the patch's chords along each axis (infinite where it wraps
        around the box).  Numbering and all results do not depend on the chunks.

    Raises
    ------
    ArgumentError, SnapshotError
        If there is not one threshold, a number is not possible, or what the criterion needs is missing; and when it
        is computed, if the field is not finite.
    """
    require_whole(largest, "largest", 1)
    asked = {"threshold": threshold, "quantile": quantile, "filling_fraction": filling_fraction}
    score, level = criterion(ds, kind, **asked, smoothing=smoothing, direction=direction)
    own = Grid.of(ds)
    dims, grid = own.dims, _Grid(own.shape, own.spacing, own.periodic)
    lead, (array,), _ = aligned([score], [], dims)
    strict = kind == "mirror" and quantile is None and filling_fraction is None
    mask, label, numbers, table = per_snapshot(
        lambda one: _of_one(one, grid, level, strict, int(largest)), [array], len(lead)
    )
    length, rank = own.units, len(dims)
    out = xr.Dataset(
        {
            "mask": (
                [*lead, *dims],
                mask,
                {"long_name": f"whether {KINDS[kind]} is above the threshold", "units": "1"},
            ),
            "label": ([*lead, *dims], label, {"long_name": "patch, from the largest on; 0 outside", "units": "1"}),
        },
        {d: ds[d] for d in (*lead, *dims) if d in ds.coords},
    )
    notes = {
        "threshold": (KINDS[kind], unit_attrs(score)),
        "filling_fraction": ("fraction of the volume inside, f_mm", {"units": "1"}),
        "count": ("number of connected patches", {"units": "1"}),
        "surface": ("surface of all patches", derived_units((ds[dims[0]], rank - 1))),
        "mean_chord": ("mean chord of isotropic lines through the patches", length),
    }
    for i, (name, (meaning, unit)) in enumerate(notes.items()):
        out[name] = (lead, numbers[..., i], {"long_name": meaning, **unit})
    cells = derived_units((ds[dims[0]], rank))
    out["volume"] = ([*lead, "patch"], table[..., 0], {"long_name": "volume of the patch", **cells})
    for i, d in enumerate(dims):
        out[f"size_{d}"] = ([*lead, "patch"], table[..., 1 + i], {"long_name": f"mean chord along {d}", **length})
    out = out.assign_coords(patch=("patch", np.arange(1, int(largest) + 1)))
    return out.assign_attrs({**ds.attrs, "criterion": f"{KINDS[kind]} {'>' if strict else '>='} threshold"})


class _Grid:
    """Numbers of cells, cell widths and periodicity of three axes."""

    def __init__(self, shape: tuple[int, ...], widths: tuple[float, ...], wraps: tuple[bool, ...]) -> None:
        missing = 3 - len(shape)
        self.rank, self.missing = len(shape), missing
        self.shape = (*(1,) * missing, *shape)
        self.widths = (*(1.0,) * missing, *widths)
        self.wraps = (*(False,) * missing, *wraps)

    def steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One of each opposite pair of directions to neighbours; cross-section of a line and solid angle of each."""
        every = np.array([s for s in product((-1, 0, 1), repeat=3) if any(s) and not any(s[: self.missing])])
        half = every[[tuple(s) > (0, 0, 0) for s in every.tolist()]]
        vectors = half * np.array(self.widths)
        length = np.linalg.norm(vectors, axis=1)
        return half, np.prod(self.widths) / length, _shares(vectors / length[:, None], self.rank, self.missing)


def _shares(arrows: np.ndarray, rank: int, missing: int) -> np.ndarray:
    """Share of all directions that are nearest to each of these directions or to its opposite."""
    if rank == 1:
        return np.ones(1)
    if rank == 2:
        angle = np.sort(np.arctan2(arrows[:, missing], arrows[:, missing + 1]) % np.pi)
        order = np.argsort(np.argsort(np.arctan2(arrows[:, missing], arrows[:, missing + 1]) % np.pi))
        gaps = np.diff(np.append(angle, angle[0] + np.pi))
        return ((gaps + np.roll(gaps, 1)) / (2 * np.pi))[order]
    from scipy.spatial import SphericalVoronoi

    areas = SphericalVoronoi(np.concatenate([arrows, -arrows])).calculate_areas() / (4 * np.pi)
    return areas[: len(arrows)] + areas[len(arrows) :]


def _blocks(array: Any, grid: _Grid) -> tuple[dict[tuple[int, ...], Any], list[np.ndarray], Callable]:
    """Blocks by their index along three axes, the first cells along each axis, and how to call functions on blocks."""
    if not hasattr(array, "dask"):
        return {(0, 0, 0): array.reshape(grid.shape)}, [np.array([0, n]) for n in grid.shape], lambda f: f
    import dask

    pieces = array.reshape(grid.shape) if grid.missing else array
    delayed = pieces.to_delayed()
    starts = [np.cumsum((0, *c)) for c in pieces.chunks]
    return {i: delayed[i] for i in np.ndindex(*delayed.shape)}, starts, dask.delayed(pure=True)


def _of_one(array: Any, grid: _Grid, level: tuple[str, float], strict: bool, largest: int) -> tuple[Any, ...]:
    """Mask, labels, numbers and table of one snapshot; NumPy or Dask."""
    lazy = hasattr(array, "dask")
    blocks, starts, call = _blocks(array, grid)
    limit = level[1] if level[0] == "threshold" else _order_statistic(blocks, call, grid, level, array.dtype)
    masks = {i: call(_mask)(b, limit, strict) for i, b in blocks.items()}
    around = {i: call(_around)(*_neighbours(masks, i, starts, grid)) for i in masks}
    labels = {i: call(_labels)(m) for i, m in masks.items()}
    measures = []
    for i in blocks:
        place = tuple(int(s[n]) for s, n in zip(starts, i, strict=True))
        measures.append(call(_measure)(labels[i], around[i], place, grid.shape))
    steps, order = grid.steps()[0], {i: n for n, i in enumerate(blocks)}
    crossings = [call(_crossings)(a, steps) for a in around.values()]
    touching = []
    for i, place in order.items():
        for axis, after in _after(i, starts, grid):
            touching.append(call(_touching)(labels[i], labels[after], axis, place, order[after]))
    merged = call(_merged)(measures, touching, crossings, limit, grid, largest)
    whole = {i: call(_renamed)(labels[i], merged, place) for i, place in order.items()}
    if not lazy:
        shape = grid.shape[grid.missing :]
        return masks[0, 0, 0].reshape(shape), whole[0, 0, 0].reshape(shape), merged[1], merged[2]
    import dask.array as da

    def assembled(parts: dict, kind: Any) -> Any:
        def lay(axis: int, index: tuple[int, ...]) -> Any:
            if axis == 3:
                shape = tuple(int(s[n + 1] - s[n]) for s, n in zip(starts, index, strict=True))
                return da.from_delayed(parts[index], shape, kind, meta=np.empty((0, 0, 0), kind))
            return [lay(axis + 1, (*index, n)) for n in range(len(starts[axis]) - 1)]

        return da.block(lay(0, ())).reshape(grid.shape[grid.missing :])

    numbers = da.from_delayed(call(_item)(merged, 1), (5,), np.float64, meta=np.empty(0))
    table = da.from_delayed(call(_item)(merged, 2), (largest, 1 + grid.rank), np.float64, meta=np.empty((0, 0)))
    return assembled(masks, bool), assembled(whole, np.int32), numbers, table


def _item(items: Sequence[Any], n: int) -> Any:
    return items[n]


def _mask(block: np.ndarray, limit: float, strict: bool) -> np.ndarray:
    return block > limit if strict else block >= limit


def _labels(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import label

    return label(mask, output=np.int32)[0]


def _neighbours(masks: dict, index: tuple[int, ...], starts: list[np.ndarray], grid: _Grid) -> tuple[Any, ...]:
    """A block in the middle of its neighbours; None stands for those beyond an end of the box."""
    counts = [len(s) - 1 for s in starts]
    found = []
    for step in product((-1, 0, 1), repeat=3):
        near = [i + s for i, s in zip(index, step, strict=True)]
        inside = all(0 <= n < c or w for n, c, w in zip(near, counts, grid.wraps, strict=True))
        found.append(masks[tuple(n % c for n, c in zip(near, counts, strict=True))] if inside else None)
    return tuple(found)


def _around(*near: np.ndarray | None) -> np.ndarray:
    """A block with one layer of cells around it; cells beyond the end of the box are marked 2."""
    out = np.full([n + 2 for n in near[13].shape], 2, np.uint8)
    for part, step in zip(near, product((-1, 0, 1), repeat=3), strict=True):
        if part is not None:
            to = tuple({-1: slice(0, 1), 0: slice(1, -1), 1: slice(-1, None)}[s] for s in step)
            of = tuple({-1: slice(-1, None), 0: slice(None), 1: slice(0, 1)}[s] for s in step)
            out[to] = part[of]
    return out


def _measure(labels: np.ndarray, around: np.ndarray, place: Sequence[int], size: Sequence[int]) -> np.ndarray:
    from mmfields.kernels.patches import measure

    out = np.zeros((int(labels.max(initial=0)), 5), np.int64)
    out[:, 1] = np.iinfo(np.int64).max
    measure(labels, around, np.array(place), np.array(size), out)
    return out


def _crossings(around: np.ndarray, steps: np.ndarray) -> np.ndarray:
    from mmfields.kernels.patches import count_crossings

    out = np.zeros(len(steps), np.int64)
    count_crossings(around, steps, out)
    return out


def _after(index: tuple[int, ...], starts: list[np.ndarray], grid: _Grid) -> list[tuple[int, tuple[int, ...]]]:
    """The next block along each axis; on a periodic axis the first block follows the last."""
    found = []
    for axis in range(3):
        count = len(starts[axis]) - 1
        if index[axis] + 1 < count or grid.wraps[axis]:
            found.append((axis, (*index[:axis], (index[axis] + 1) % count, *index[axis + 1 :])))
    return found


def _touching(labels: np.ndarray, after: np.ndarray, axis: int, own: int, other: int) -> np.ndarray:
    """Pairs of patches (block, label, block, label) that touch where a block meets the one after it."""
    first, second = np.take(labels, -1, axis).ravel(), np.take(after, 0, axis).ravel()
    both = (first > 0) & (second > 0)
    pairs = np.unique(np.stack([first[both], second[both]], axis=1), axis=0)
    return np.stack([np.full(len(pairs), own), pairs[:, 0], np.full(len(pairs), other), pairs[:, 1]], axis=1)


def _merged(
    measures: list[np.ndarray],
    touching: list[np.ndarray],
    crossings: list[np.ndarray],
    limit: float,
    grid: _Grid,
    largest: int,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """New labels of every block, the statistics of the whole box, and the table of the largest patches."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.cumsum([0, *(len(m) for m in measures)])
    total = int(ends[-1])
    pairs = np.concatenate([np.empty((0, 4), np.int64), *touching])
    a, b = ends[pairs[:, 0]] + pairs[:, 1] - 1, ends[pairs[:, 2]] + pairs[:, 3] - 1
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(total, total))
    count, part = connected_components(graph, directed=False) if total else (0, np.empty(0, np.int32))
    every = np.concatenate([np.empty((0, 5), np.int64), *measures])
    sums = np.zeros((count, 5), np.int64)
    sums[:, 1] = np.iinfo(np.int64).max
    np.add.at(sums[:, 0], part, every[:, 0])
    np.minimum.at(sums[:, 1], part, every[:, 1])
    for axis in range(3):
        np.add.at(sums[:, 2 + axis], part, every[:, 2 + axis])
    order = np.lexsort((sums[:, 1], -sums[:, 0]))
    place = np.empty(count, np.int32)
    place[order] = np.arange(1, count + 1)
    names = place[part].astype(np.int32)
    tables = [np.concatenate([[0], names[i:j]]).astype(np.int32) for i, j in pairwise(ends.tolist())]
    return tables, _numbers(sums[:, 0].sum(), count, sum(crossings), limit, grid), _table(sums[order], grid, largest)


def _numbers(cells: int, count: int, crossings: np.ndarray, limit: float, grid: _Grid) -> np.ndarray:
    """Threshold, filling fraction, number of patches, surface and mean chord."""
    _, area, share = grid.steps()
    entered = float(np.sum(share * area * crossings / 2))  # surface projected on isotropic lines, entered from one side
    factor = {3: 4.0, 2: np.pi, 1: 2.0}[grid.rank]
    volume = float(cells) * float(np.prod(grid.widths))
    chord = volume / entered if entered > 0 else (np.inf if cells else np.nan)
    return np.array([limit, cells / np.prod([float(n) for n in grid.shape]), count, factor * entered, chord])


def _table(sums: np.ndarray, grid: _Grid, largest: int) -> np.ndarray:
    """Volume, and mean chord along each axis, of the largest patches."""
    table = np.full((largest, 1 + grid.rank), np.nan)
    top = sums[:largest]
    table[: len(top), 0] = top[:, 0] * np.prod(grid.widths)
    for i in range(grid.rank):
        axis = grid.missing + i
        with np.errstate(divide="ignore"):
            table[: len(top), 1 + i] = grid.widths[axis] * top[:, 0] / top[:, 2 + axis]
    return table


def _renamed(labels: np.ndarray, merged: tuple, number: int) -> np.ndarray:
    return merged[0][number][labels]


def _order_statistic(blocks: dict, call: Callable, grid: _Grid, level: tuple[str, float], kind: np.dtype) -> Any:
    """The exact value that the wanted fraction of cells reaches, found in one pass over the field per digit."""
    name, fraction = level
    total = int(np.prod(grid.shape))
    wanted = fraction * total if name == "filling_fraction" else (1.0 - fraction) * total
    state: Any = (0, int(np.rint(wanted)))
    for digit in range(8 * kind.itemsize // DIGIT):
        counts = [call(_digits)(b, state, digit) for b in blocks.values()]
        state = call(_chosen)(counts, state)
    return call(_value)(state, kind.str, int(np.rint(wanted)))


def _ordered(block: np.ndarray) -> np.ndarray:
    """Unsigned integers in the same order as the floats; NaN comes below all."""
    clean = np.where(np.isnan(block), block.dtype.type(-np.inf), block)
    bits = clean.view(f"u{block.itemsize}")
    top = bits.dtype.type(1) << bits.dtype.type(8 * block.itemsize - 1)
    return np.where(bits & top, ~bits, bits | top)


def _digits(block: np.ndarray, state: tuple[int, int], digit: int) -> np.ndarray:
    """How often each value of this digit occurs among the cells whose earlier digits are those chosen."""
    ordered = _ordered(np.ascontiguousarray(block)).ravel()
    shift = 8 * block.itemsize - DIGIT * (digit + 1)
    if digit:
        ordered = ordered[(ordered >> ordered.dtype.type(shift + DIGIT)) == state[0]]
    digits = (ordered >> ordered.dtype.type(shift)) & ordered.dtype.type((1 << DIGIT) - 1)
    return np.bincount(digits.astype(np.int64), minlength=1 << DIGIT)


def _chosen(counts: list[np.ndarray], state: tuple[int, int]) -> tuple[int, int]:
    """Append the next digit of the wanted cell; cells are counted from the largest value down."""
    above = np.cumsum(sum(counts)[::-1])
    place = min(int(np.searchsorted(above, max(state[1], 1))), len(above) - 1)
    before = int(above[place - 1]) if place else 0
    return (state[0] << DIGIT) | (len(above) - 1 - place), state[1] - before


def _value(state: tuple[int, int], kind: str, wanted: int) -> float:
    """The float of an ordered number; where no cell is wanted, the float just above the largest value."""
    dtype = np.dtype(kind)
    unsigned = np.dtype(f"u{dtype.itemsize}").type
    top = unsigned(1) << unsigned(8 * dtype.itemsize - 1)
    bits = unsigned(state[0])
    value = np.array([bits ^ top if bits & top else ~bits], unsigned).view(dtype)[0]
    return float(np.nextafter(value, dtype.type(np.inf)) if wanted == 0 else value)

"""A field that no process may hold: blocks that overlap, through which particles are handed on in rounds.

Every particle is followed in the block that holds the cells it needs, until its path ends or its next step needs
others; then it is handed to the block of those.  A step is computed by the same operations wherever it is made.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from mmfields.conventions import SnapshotError

# Cells that neighbouring blocks have in common: at least so many, and a share of their own.
HALO, SHARE = 4, 1 / 16
# Of a worker's memory: what a field may fill to be held as a whole, and one block to be worked on beside others.
HELD_WHOLE, HELD_BLOCK = 1 / 3, 1 / 10
# Bytes of trajectories that are put together at once.
RESULT = 2**27
# Topic of the events that the scheduler keeps of finished runs.
TOPIC = "mmfields-trace"


class Domains:
    """A field in blocks, each of them delayed; not a container that Dask would look into and compute.

    Parameters
    ----------
    parts : sequence of dask arrays
        Components of the magnetic field, then of the electric field if there is one, over (z, y, x).
    mask : dask array, optional
    shape : tuple of int
        Cells (z, y, x).  The parts may have one more along every axis, for faces.
    periodic : tuple of bool
        Of the axes (z, y, x); the others end.
    side : int
        Cells of a block along each axis, at most.
    names : sequence of str
        Of the parts.
    kind : dtype
        Of what the kernel takes.
    """

    def __init__(
        self,
        parts: Sequence[Any],
        mask: Any,
        shape: tuple[int, ...],
        periodic: tuple[bool, ...],
        side: int,
        *,
        names: Sequence[str],
        kind: Any,
    ) -> None:
        import dask

        self.shape, self.periodic = shape, periodic
        self.counts = tuple(-(-n // side) for n in shape)
        self.sides = tuple(-(-n // count) for n, count in zip(shape, self.counts, strict=True))
        pack, extra, self.blocks = dask.delayed(_block, pure=True), parts[0].shape[0] - shape[0], []
        for number in range(int(np.prod(self.counts))):
            begins, extents = self.region(number)
            cut = [_cut(part, begins, [m + extra for m in extents], shape) for part in parts]
            own = None if mask is None else _cut(mask, begins, extents, shape)
            self.blocks.append(pack(cut, own, names, begins, shape, kind))

    def __dask_tokenize__(self) -> list[str]:
        return [block.key for block in self.blocks]

    def region(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First cell and number of cells (z, y, x) of a block with its halo."""
        begins, extents = [], []
        place = np.unravel_index(number, self.counts)
        for i, n, side, periodic in zip(place, self.shape, self.sides, self.periodic, strict=True):
            halo = max(HALO, int(side * SHARE))
            low, high = int(i) * side - halo, min((int(i) + 1) * side, n) + halo
            if high - low >= n:
                low, high = 0, n
            elif not periodic:
                low, high = max(low, 0), min(high, n)
            begins.append(low % n)
            extents.append(high - low)
        return tuple(begins), tuple(extents)

    def home(self, goals: np.ndarray) -> np.ndarray:
        """Numbers of the blocks in whose own cells (n, 3), in x, y, z order, lie."""
        return np.ravel_multi_index(tuple(goals[:, 2 - a] // self.sides[a] for a in range(3)), self.counts)


def side_for(size: int, bytes_per_cell: int) -> int | None:
    """Cells along a side of the blocks that workers need for a field of so many cells; None where they can hold it."""
    from mmfields.io.storing import client_in_force

    client = client_in_force()
    workers = client.scheduler_info(n_workers=-1)["workers"].values() if client is not None else ()
    limits = [(w["memory_limit"], w["memory_limit"] / w["nthreads"]) for w in workers if w["memory_limit"]]
    if not limits or size * bytes_per_cell <= HELD_WHOLE * min(limits)[0]:
        return None
    held = HELD_BLOCK * min(each for _, each in limits)
    return max(2 * HALO, int((held / bytes_per_cell) ** (1 / 3) / (1 + 2 * SHARE)))


def particles_at_once(rows: int, saves: int) -> int:
    """So many of whose trajectories are put together at once."""
    return max(1, RESULT // (8 * rows * saves))


def _cut(array: Any, begins: Sequence[int], lengths: Sequence[int], shape: Sequence[int]) -> Any:
    """Part of an array, which goes on at the start beyond the end."""
    import dask.array as da

    for axis, (begin, length, n) in enumerate(zip(begins, lengths, shape, strict=True)):
        across, stop = (slice(None),) * axis, begin + length
        if stop <= array.shape[axis]:
            array = array[(*across, slice(begin, stop))]
        else:
            array = da.concatenate([array[(*across, slice(begin, n))], array[(*across, slice(0, stop - n))]], axis)
    return array


def _block(
    parts: Sequence[np.ndarray],
    mask: np.ndarray | None,
    names: Sequence[str],
    begins: tuple[int, ...],
    shape: tuple[int, ...],
    kind: Any,
) -> tuple[np.ndarray, ...]:
    """Magnetic and electric field of a block side by side, flat and with one number more, and its mask."""
    for part, name in zip(parts, names, strict=True):
        require_finite(part, name, begins, shape)
    magnetic = pack(parts[:3], parts[0].shape, kind)
    electric = pack(parts[3:], parts[0].shape if parts[3:] else (0,), kind)
    return magnetic, electric, np.zeros((1, 1, 1), np.uint8) if mask is None else np.ascontiguousarray(mask)


def pack(parts: Iterable[np.ndarray], shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """Components side by side, (z, y, x, 3) made flat and one number more."""
    flat = np.zeros(3 * int(np.prod(shape)) + 1, kind)
    for c, part in enumerate(parts):
        flat[:-1].reshape(*shape, 3)[..., c] = part
    flat.flags.writeable = False
    return flat


def require_finite(
    part: np.ndarray, name: str, corner: tuple[int, ...] = (0, 0, 0), shape: tuple[int, ...] | None = None
) -> None:
    """Refuse a part of a component, which begins at a corner and may go on at the start beyond the end."""
    if not np.isfinite(part).all():
        where = np.argwhere(~np.isfinite(part))[0] + np.array(corner)
        where = where if shape is None else where % shape
        raise SnapshotError(f"{name} is not finite at (z, y, x) = {tuple(where.tolist())}: fill it before tracing")


def run_domains(
    field: Domains,
    _electric: None,
    _mask: None,
    start: np.ndarray,
    keys: np.ndarray,
    taken: np.ndarray,
    radius: np.ndarray,
    mass: np.ndarray,
    reference: np.ndarray,
    intervals: np.ndarray,
    counts: np.ndarray,
    *,
    geometry: tuple[Any, ...],
    rows: int,
    **rule: Any,
) -> np.ndarray:
    """As `run_task`, in rounds."""
    from mmfields.kernels.domain import Particles
    from mmfields.tracing.task import check_start, finite, rigidity_of

    rigidity = rigidity_of(radius, reference)
    check_start(start[0], taken[0], geometry, rule["kind"], intervals, counts[0])
    n, last = start.shape[1], len(intervals)
    nothing = np.zeros(n, np.int64)
    place = np.concatenate([start[0], np.zeros((n, 4))], axis=1)
    waiting = Particles(place, keys[0], taken[0], nothing, nothing, _first_goals(place[:, :3], geometry))
    who, out, rounds, handed = np.arange(n), np.empty((rows, n, last)), 0, 0
    # an interval of no length first: steps by the local field begin with a look at it
    path = np.insert(intervals, 0, 0.0), np.insert(counts[0], 0, 0)
    options = {"geometry": geometry, "rigidity": rigidity, "mass": float(mass[0]), "rows": rows, "path": path, **rule}
    with _workers(field) as (work, report):
        while len(who):
            groups = _by_home(field.home(waiting.goals))
            done = work([(number, Particles(*(a[chosen] for a in waiting))) for number, chosen in groups], options)
            parts, left = [], []
            for (_, chosen), (group, found, of) in zip(groups, done, strict=True):
                counted = of[:, 1] > 0
                out[:, who[chosen[of[counted, 0]]], of[counted, 1] - 1] = found[counted].T
                on = group.saves <= last
                parts.append(Particles(*(a[on] for a in group)))
                left.append(who[chosen[on]])
            waiting, who = Particles(*map(np.concatenate, zip(*parts, strict=True))), np.concatenate(left)
            rounds, handed = rounds + 1, handed + len(who)
        report({"rounds": rounds, "handed": handed, "bytes": handed * sum(a[:1].nbytes for a in waiting)})
    return finite(out)[:, None]


def _first_goals(position: np.ndarray, geometry: tuple[Any, ...]) -> np.ndarray:
    """The cells that positions lie in; a start, which the kernel puts right."""
    shape, low, high, _ = geometry
    n = np.array(shape[::-1])
    return (np.floor((position - low) / (high - low) * n).astype(np.int64) % n).astype(np.int32)


def _by_home(numbers: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Blocks that are needed, and who needs them."""
    order = np.argsort(numbers, kind="stable")
    found, begins = np.unique(numbers[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, begins[1:]), strict=True))


@contextmanager
def _workers(field: Domains) -> Iterator[tuple[Callable, Callable]]:
    """Functions that work through a round, on all workers or block after block in this process, and that report."""
    import dask
    from distributed import get_worker, worker_client

    def here(groups: Sequence[tuple[int, Any]], options: dict[str, Any]) -> list[Any]:
        return [
            advance(
                dask.compute(field.blocks[number], scheduler="synchronous")[0], group, field.region(number), options
            )
            for number, group in groups
        ]

    try:
        worker = get_worker()
    except ValueError:
        yield here, lambda said: None
        return
    task = worker.get_current_task()
    with worker_client() as client:
        blocks = client.compute(field.blocks)

        def there(groups: Sequence[tuple[int, Any]], options: dict[str, Any]) -> list[Any]:
            if task not in worker.state.tasks or worker.state.tasks[task].state == "cancelled":
                raise SnapshotError("the trace is not wanted any more")
            return client.gather(
                [
                    client.submit(advance, blocks[number], group, field.region(number), options, pure=False)
                    for number, group in groups
                ]
            )

        yield there, lambda said: worker.log_event(TOPIC, said)


def advance(
    block: tuple[np.ndarray, ...], group: Any, region: tuple[tuple[int, ...], ...], options: dict[str, Any]
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Particles through a block: as they are then, rows of saved points, and whose these are."""
    from mmfields.kernels.domain import Particles, trace_domain
    from mmfields.kernels.interpolate import Grid
    from mmfields.kernels.lanes import LANES
    from mmfields.kernels.trace import Electric
    from mmfields.kernels.waves import Octaves
    from mmfields.kernels.window import PART, Window
    from mmfields.tracing.task import NO_OCTAVES, as_kernel_takes_it, scatter_of

    magnetic, electric, mask = block
    begins, extents = region
    window = Window(PART, np.array(begins[::-1]), extents, np.zeros((3, LANES), np.int32))
    particles = Particles(*(np.array(a) for a in group))  # what comes from another process is not to be written
    found, of = trace_domain(
        Grid(as_kernel_takes_it(magnetic), *options["geometry"], options["kind"]),
        window,
        scatter_of(options["scattering"], mask),
        Electric(as_kernel_takes_it(electric), options["pusher"], options["mass"]),
        Octaves(*map(as_kernel_takes_it, NO_OCTAVES)),
        particles,
        options["rigidity"],
        *options["path"],
        *options["pace"],
        options["rows"],
    )
    return particles, found, of

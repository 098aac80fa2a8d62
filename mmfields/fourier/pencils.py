"""Chunked transforms: slabs, pencils, and the exchange between them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mmfields._compat import all_chunks
from mmfields.cluster.client import client_in_force, workers_in_force
from mmfields.fourier.levels import about_level, require_finite

# Approximate size of slabs and pencils; a task holds a few of them.
BLOCK_BYTES = 1 << 27

# Size of the pieces of an array in memory that a thread transforms; they fit into its cache.
PIECE_BYTES = 1 << 22

# Fields beyond these numbers of slabs get larger slabs instead: the tasks from slabs to pencils grow as the square of
# the number of slabs, or in proportion to it where workers exchange them peer to peer.
MOST_BLOCKS = 64
MOST_BLOCKS_OF_PEERS = 512
# A component that fills at most this part of the memory of all workers is exchanged in memory.
HELD = 1 / 12


class Plan(NamedTuple):
    """How a chunked array is transformed: in slabs of whole planes, then in pencils whole along the first axis.

    Parameters
    ----------
    lead : tuple
        Chunks of the axes that are not transformed.
    shape : tuple of int
        Those that are.
    slab : int
        Planes of a slab; 0 where the array fits one chunk and neither slabs nor pencils are needed.
    pencil : tuple of int
        Chunks of a pencil beyond the first axis.
    peers : bool
        Whether workers exchange slabs and pencils peer to peer.
    """

    lead: tuple[Any, ...]
    shape: tuple[int, ...]
    slab: int = 0
    pencil: tuple[int, ...] = ()
    peers: bool = False


def plan_of(kind: np.dtype, chunks: tuple[tuple[int, ...], ...], rank: int, together: int = 1) -> Plan:
    """Plan for real numbers of a dtype in given chunks, with `together` fields in one task."""
    lead, chunks = chunks[:-rank], chunks[-rank:]
    shape = tuple(map(sum, chunks))
    size = kind.itemsize * math.prod(shape)
    if rank == 1 or (len(chunks[0]) == 1 and size <= 4 * BLOCK_BYTES) or size <= BLOCK_BYTES // 8:
        return Plan(lead, shape)
    plane = size // shape[0]
    peers = _through_peers(size)
    most = MOST_BLOCKS_OF_PEERS if peers else MOST_BLOCKS
    block = max(BLOCK_BYTES // together, size // most)
    given = max(chunks[0]) * plane  # existing slabs need no rechunk
    slab = max(1, (given if block // 4 <= given <= 2 * block else block) // plane)
    # as many pencils as slabs, cut along the second axis (which in two dims is the half one)
    length = shape[1] if rank > 2 else shape[1] // 2 + 1
    cut = max(1, -(-length * slab // shape[0]))
    return Plan(lead, shape, min(slab, shape[0]), (cut, *([-1] if rank > 2 else [])), peers)


def _through_peers(size: int) -> bool:
    """Whether a field of `size` bytes exceeds what the workers of a cluster hold, or the most blocks of usual size.

    Workers then exchange it peer to peer through their disks.  Smaller fields go by tasks, because the loss of a worker
    repeats a whole exchange between peers, but only a few tasks.
    """
    if client_in_force() is None:
        return False
    limits = [memory for memory, _ in workers_in_force()]
    held = HELD * sum(limits) if limits and min(limits) > 0 else math.inf  # a worker may have no limit
    return not limits or size > min(held, MOST_BLOCKS * BLOCK_BYTES)


def rechunked(array: Any, chunks: tuple[Any, ...], plan: Plan) -> Any:
    """Rechunk peer to peer, or by tasks in one step."""
    if plan.peers:
        return array.rechunk(chunks)
    return array.rechunk(chunks, method="tasks", threshold=MOST_BLOCKS)


def pencils_of(field: Any, name: str, plan: Plan, *level: Any) -> Any:
    """Spectrum over all axes but the first, in pencils."""
    import dask.array as da

    array = rechunked(field, (*plan.lead, plan.slab, *plan.shape[1:]), plan)
    kind = np.result_type(field.dtype, np.complex64)
    spectrum = da.map_blocks(
        slab_forward,
        array,
        *level,
        field=name,
        axes=tuple(range(len(plan.lead) + 1, array.ndim)),
        planes=plan.slab,
        chunks=(*array.chunks[:-1], (plan.shape[-1] // 2 + 1,)),
        dtype=kind,
        meta=np.empty((0,) * array.ndim, kind),
    )
    return rechunked(spectrum, (*plan.lead, plan.shape[0], *plan.pencil), plan)


def from_pencils(spectrum: Any, plan: Plan) -> Any:
    """Inverse of :func:`pencils_of`."""
    array = rechunked(spectrum, (*plan.lead, plan.slab, *spectrum.shape[len(plan.lead) + 1 :]), plan)
    return inverse(array, len(plan.lead) + 1, plan.shape[1:])


def inverse(array: Any, first: int, shape: Sequence[int]) -> Any:
    """Inverse real transform of a Dask array over the axes from `first` on, each of which is one chunk."""
    kind = np.empty(0, array.dtype).real.dtype
    return array.map_blocks(
        slab_backward,
        axes=tuple(range(first, array.ndim)),
        shape=tuple(shape),
        chunks=(*array.chunks[:first], *((n,) for n in shape)),
        dtype=kind,
        meta=np.empty((0,) * array.ndim, kind),
    )


def slab_forward(
    block: np.ndarray,
    level: np.ndarray | None = None,
    *,
    field: str,
    axes: tuple[int, ...],
    size: int | None = None,
    planes: int = 0,
    block_id: tuple[int, ...] = (),
) -> np.ndarray:
    """Real transform over `axes` after subtraction of a level; the last axis is padded with zeros to `size`."""
    from scipy import fft

    centred = block if level is None else about_level(block, level)
    lengths = [*(block.shape[a] for a in axes[:-1]), size or block.shape[-1]]
    spectrum = fft.rfftn(centred, lengths, axes=axes)
    where = f" of block {block_id}" if block_id else ""
    where += f", which begins at plane {block_id[axes[0] - 1] * planes}" if planes else ""
    require_finite(block, spectrum[(..., *(0,) * len(axes))], field, where)
    return spectrum


def slab_backward(block: np.ndarray, *, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Inverse transform of a slab along all axes but the first."""
    from scipy import fft

    return fft.irfftn(block, s=shape, axes=axes)


def along_first(block: np.ndarray, *, axis: int, inverse: bool) -> np.ndarray:
    """Complex transform of pencils along the first spatial axis."""
    from scipy import fft

    return (fft.ifft if inverse else fft.fft)(block, axis=axis)


def narrowed(array: Any, plan: Plan) -> tuple[Any, ...]:
    """Chunks of the axes that are not transformed, made smaller where a block would grow too large."""
    row = array.dtype.itemsize * max(1, plan.slab or plan.shape[0]) * math.prod(plan.shape[1:])
    rows = max(1, max(2 * BLOCK_BYTES, array.nbytes // (2 * MOST_BLOCKS_OF_PEERS)) // row)
    if not plan.lead or math.prod(max(c) for c in plan.lead) <= rows:
        return plan.lead
    sizes = array.shape[: len(plan.lead)]
    return all_chunks("auto", sizes, np.dtype(np.int8), limit=rows, previous_chunks=plan.lead)

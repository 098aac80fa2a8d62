"""Real Fourier transforms of arrays whole or in chunks, and what may be done between there and back.

The plan for a chunked array: real transform of slabs over all axes but the first, one rechunk to
pencils, transform along the first axis, the work on the modes, and the same way back.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from mmfields._compat import all_chunks, meta_of
from mmfields.cluster.client import client_in_force, workers_in_force
from mmfields.conventions import SPATIAL, SnapshotError

# Slabs and pencils are made about this large; a task holds a few of them.
BLOCK_BYTES = 1 << 27

# Pieces of an array in memory that a thread transforms; they fit its cache.
PIECE_BYTES = 1 << 22

# Larger fields get larger slabs, no more than these: the tasks from slabs to pencils grow as the square of their
# number, or as the number itself where workers exchange them peer to peer.
MOST_BLOCKS = 64
MOST_BLOCKS_OF_PEERS = 512
# Part of the memory of all workers that a component may fill and still be exchanged in memory.
HELD = 1 / 12

# Work on the modes: (spectra, waves, small extra array) -> spectra; its input may be overwritten.
Modes = Callable[[list[np.ndarray], "Waves", np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Waves:
    """Wavevectors of a block of modes.

    Parameters
    ----------
    dims : tuple of str
        Spatial dims, in array order.
    k : tuple of arrays
        Wavenumbers [rad per length unit] along each, shaped to broadcast.
    nyquist : tuple of bool arrays
        Where each is the Nyquist wavenumber of an even axis, which stands for both signs.
    """

    dims: tuple[str, ...]
    k: tuple[np.ndarray, ...]
    nyquist: tuple[np.ndarray, ...]

    def component(self, dim: str) -> np.ndarray | float:
        """Wavenumbers along x, y or z; 0 along an axis that the array does not have."""
        return self.k[self.dims.index(dim)] if dim in self.dims else 0.0

    def signs(self) -> "list[Waves]":
        """The same modes with every combination of signs of their Nyquist wavenumbers."""
        both = [(c, np.where(n, -c, c)) if n.any() else (c,) for c, n in zip(self.k, self.nyquist, strict=True)]
        return [Waves(self.dims, k, self.nyquist) for k in product(*both)]

    def rows(self, start: int, stop: int) -> "Waves":
        """The modes of a range of rows of the first axis."""
        part = slice(start, stop)
        k, nyquist = (self.k[0][part], *self.k[1:]), (self.nyquist[0][part], *self.nyquist[1:])
        return Waves(self.dims, k, nyquist)

    def par_perp(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """|k_par| and k_perp against a unit (x, y, z) direction."""
        along = sum(c * direction[SPATIAL.index(d)] for c, d in zip(self.k, self.dims, strict=True))
        square = sum(c**2 for c in self.k)
        par2 = along**2 + 0 * square
        # components that are due to rounding are set to 0
        parts = (np.where(part > 1e-12 * square, part, 0.0) for part in (par2, square - par2))
        return tuple(np.sqrt(part) for part in parts)


def wavenumbers(n: int, width: float, *, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers of an axis, and which of them is its Nyquist wavenumber."""
    k = 2 * np.pi * (np.fft.rfftfreq(n, width) if half else np.fft.fftfreq(n, width))
    nyquist = np.zeros(len(k), bool)
    if n % 2 == 0:
        nyquist[n // 2] = True
    return k, nyquist


def fast_length(n: int) -> int:
    """Smallest length from `n` on that transforms fast."""
    from scipy import fft

    return fft.next_fast_len(n, real=True)


def waves_of(dims: Sequence[str], shape: Sequence[int], widths: Sequence[float]) -> Waves:
    """Wavevectors of the real transform of an array; the last axis is the half one."""
    parts = [wavenumbers(n, w, half=i == len(shape) - 1) for i, (n, w) in enumerate(zip(shape, widths, strict=True))]
    return _shaped(dims, [k for k, _ in parts], [n for _, n in parts])


def _shaped(dims: Sequence[str], k: Sequence[np.ndarray], nyquist: Sequence[np.ndarray]) -> Waves:
    def spread(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        rank = len(arrays)
        return tuple(a.reshape([-1 if i == axis else 1 for i in range(rank)]) for axis, a in enumerate(arrays))

    return Waves(tuple(dims), spread(k), spread(nyquist))


def require_finite(field: np.ndarray, sums: np.ndarray, name: str, where: str = "", at: tuple[int, ...] = ()) -> None:
    """Refuse NaN and infinity, which show in the sums over the field; the place is looked for only then."""
    if np.isfinite(sums).all():
        return
    if (bad := np.argwhere(~np.isfinite(field))).size:
        raise SnapshotError(
            f"{name} is not finite at index {(*at, *bad[0].tolist())}{where}: fill it before a Fourier transform"
        )
    raise SnapshotError(
        f"the sum of {name}{where} overflows {field.dtype}: bring it to other units, or to float64 by ds.astype(float)"
    )


def forward(field: np.ndarray, name: str, at: tuple[int, ...] = ()) -> np.ndarray:
    """Real transform over all axes; float32 in, complex64 out.  `at` says which of several fields it is."""
    from scipy import fft

    spectrum = fft.rfftn(field)
    require_finite(field, spectrum[(0,) * field.ndim], name, at=at)
    return spectrum


def finite(array: Any, name: str, before: str = "a Fourier transform") -> Any:
    """The same NumPy or Dask array; one that is not finite is refused, when its blocks are computed if it is lazy."""
    if not hasattr(array, "dask"):
        return _finite(array, name, before)
    return array.map_blocks(_finite, name, before, dtype=array.dtype, meta=meta_of(array))


def _finite(block: np.ndarray, name: str, before: str, block_info: Any = None) -> np.ndarray:
    if np.isfinite(block).all():
        return block
    corner = [start for start, _ in block_info[0]["array-location"]] if block_info else [0] * block.ndim
    place = tuple((np.argwhere(~np.isfinite(block))[0] + corner).tolist())
    raise SnapshotError(f"{name} is not finite at index {place}: fill it before {before}")


def map_modes(
    fields: Sequence[Any],
    modes: Modes,
    *,
    dims: Sequence[str],
    widths: Sequence[float],
    names: Sequence[str],
    extra: Any,
    count: int | None = None,
) -> list[Any]:
    """Transform fields, do `modes` on them together, and transform back.

    Parameters
    ----------
    fields : sequence of NumPy or Dask arrays
        Of one shape (…, spatial axes); what leads (time) is taken one by one.
    modes : callable
        From the spectra of all fields to those of the results.
    dims, widths : sequences
        Names and cell sizes of the spatial axes.
    names : sequence of str
        Of the fields, for errors.
    extra : array (…, m)
        Small numbers that `modes` needs, over the same leading axes.
    count : int, optional
        Number of results, by default that of the fields.

    Returns
    -------
    list of arrays
        Of the fields' shape and dtype; Dask arrays in the fields' chunks where one of them is.
    """
    count = count or len(fields)
    options = {"modes": modes, "dims": tuple(dims), "widths": tuple(widths), "names": tuple(names), "count": count}
    if not any(hasattr(a, "dask") for a in (*fields, extra)):
        from scipy import fft

        with fft.set_workers(os.cpu_count() or 1):
            out = _whole(*fields, extra, **options)
        return [out] if count == 1 else list(out)
    return _chunked(fields, extra, **options)


def _whole(*arrays: np.ndarray, modes, dims, widths, names, count) -> np.ndarray:
    """All axes in memory; results along a new first axis where there are several.

    `arrays` are the fields, `extra`, and the places along the leading axes where these are part of larger ones.
    """
    from scipy import fft

    fields, extra, places = arrays[: len(names)], arrays[len(names)], arrays[len(names) + 1 :]
    rank = len(dims)
    lead, shape = fields[0].shape[:-rank], fields[0].shape[-rank:]
    waves = waves_of(dims, shape, widths)
    kind = np.result_type(*(f.dtype for f in fields), np.float32)
    if not lead and count == 1:
        spectra = [forward(f, name) for f, name in zip(fields, names, strict=True)]
        return fft.irfftn(modes(spectra, waves, extra)[0], s=shape, overwrite_x=True).astype(kind, copy=False)
    out = np.empty((*((count,) if count > 1 else ()), *lead, *shape), kind)
    for index in np.ndindex(*lead):
        at = tuple(int(place[i]) for place, i in zip(places, index, strict=True)) if places else index
        spectra = [forward(f[index], name, at) for f, name in zip(fields, names, strict=True)]
        for i, spectrum in enumerate(modes(spectra, waves, extra[index])):
            target = out[(i, *index)] if count > 1 else out[index]
            target[...] = fft.irfftn(spectrum, s=shape, overwrite_x=True)
    return out


def _chunked(fields: Sequence[Any], extra: Any, *, modes, dims, widths, names, count) -> list[Any]:
    import dask.array as da

    fields = [da.asarray(f) for f in fields]
    rank, first = len(dims), fields[0]
    lead, shape = first.shape[:-rank], first.shape[-rank:]
    extra = da.asarray(extra).rechunk((*(1,) * len(lead), -1))
    letters = "abcdefgh"[: len(lead)]
    axes = letters + "xyz"[:rank]
    kind = np.result_type(*(f.dtype for f in fields), np.float32)
    plan = _plan(kind, first.chunks, rank, together=max(len(fields), count))._replace(lead=(1,) * len(lead))
    options = {"modes": modes, "dims": dims, "count": count}
    if not plan.slab:
        work, arrays = _whole, [f.rechunk((*plan.lead, *shape)) for f in fields]
        numbers = [
            x for letter, n in zip(letters, lead, strict=True) for x in (da.from_array(np.arange(n), chunks=1), letter)
        ]
        options |= {"widths": widths, "names": names}
    else:
        work, arrays = _pencil, [_pencils(f, name, plan) for f, name in zip(fields, names, strict=True)]
        numbers = _numbers(dims, shape, widths, arrays[0].chunks[-rank:])
        options |= {"fields": len(fields)}
        kind = arrays[0].dtype
    together = da.blockwise(
        work,
        ("o" if count > 1 else "") + axes,
        *(item for a in arrays for item in (a, axes)),
        extra,
        letters + "m",
        *numbers,
        dtype=kind,
        concatenate=True,
        meta=np.empty((0,) * (len(axes) + (count > 1)), kind),
        new_axes={"o": count} if count > 1 else {},
        **options,
    )
    several = (count,) if count > 1 else ()  # results go back side by side, in one exchange
    if plan.slab:
        together = _from_pencils(together, plan._replace(lead=(*several, *plan.lead)))
    together = together.rechunk((*several, *first.chunks))
    return [together[i] for i in range(count)] if several else [together]


def _numbers(dims: Sequence[str], shape: Sequence[int], widths: Sequence[float], chunks: Sequence[Any]) -> list[Any]:
    """Wavenumbers along each axis, and which are Nyquist ones, in the chunks of a spectrum: for `da.blockwise`."""
    import dask.array as da

    waves = waves_of(dims, shape, widths)
    items = []
    for letter, k, nyquist, chunk in zip("xyz", waves.k, waves.nyquist, chunks, strict=False):
        for values in (k, nyquist):
            items += [da.from_array(values.ravel(), chunks=(chunk,)), letter]
    return items


class _Plan(NamedTuple):
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


def _plan(kind: np.dtype, chunks: tuple[tuple[int, ...], ...], rank: int, together: int = 1) -> _Plan:
    """Plan for real numbers of a kind in given chunks, with so many fields in one task."""
    lead, chunks = chunks[:-rank], chunks[-rank:]
    shape = tuple(map(sum, chunks))
    size = kind.itemsize * math.prod(shape)
    if rank == 1 or (len(chunks[0]) == 1 and size <= 4 * BLOCK_BYTES) or size <= BLOCK_BYTES // 8:
        return _Plan(lead, shape)
    plane = size // shape[0]
    peers = _through_peers(size)
    most = MOST_BLOCKS_OF_PEERS if peers else MOST_BLOCKS
    block = max(BLOCK_BYTES // together, size // most)
    given = max(chunks[0]) * plane  # slabs as the array has them need no rechunk
    slab = max(1, (given if block // 4 <= given <= 2 * block else block) // plane)
    # as many pencils as slabs, cut along the second axis (which in two dims is the half one)
    length = shape[1] if rank > 2 else shape[1] // 2 + 1
    cut = max(1, -(-length * slab // shape[0]))
    return _Plan(lead, shape, min(slab, shape[0]), (cut, *([-1] if rank > 2 else [])), peers)


def _through_peers(size: int) -> bool:
    """Whether a field of so many bytes is more than the workers of a cluster hold, or than blocks of the usual size.

    Peers exchange it through their disks, all of it again when one of them is lost; tasks survive that.
    """
    if client_in_force() is None:
        return False
    limits = [memory for memory, _ in workers_in_force()]
    held = HELD * sum(limits) if limits and min(limits) > 0 else math.inf  # a worker may have no limit
    return not limits or size > min(held, MOST_BLOCKS * BLOCK_BYTES)


def _rechunk(array: Any, chunks: tuple[Any, ...], plan: _Plan) -> Any:
    """Peer to peer, or piece by piece in one step."""
    if plan.peers:
        return array.rechunk(chunks)
    return array.rechunk(chunks, method="tasks", threshold=MOST_BLOCKS)


def _pencils(field: Any, name: str, plan: _Plan, *level: Any) -> Any:
    """Spectrum over all axes but the first, in pencils."""
    import dask.array as da

    array = _rechunk(field, (*plan.lead, plan.slab, *plan.shape[1:]), plan)
    kind = np.result_type(field.dtype, np.complex64)
    spectrum = da.map_blocks(
        _slab_forward,
        array,
        *level,
        field=name,
        axes=tuple(range(len(plan.lead) + 1, array.ndim)),
        planes=plan.slab,
        chunks=(*array.chunks[:-1], (plan.shape[-1] // 2 + 1,)),
        dtype=kind,
        meta=np.empty((0,) * array.ndim, kind),
    )
    return _rechunk(spectrum, (*plan.lead, plan.shape[0], *plan.pencil), plan)


def _from_pencils(spectrum: Any, plan: _Plan) -> Any:
    """Inverse of :func:`_pencils`."""
    array = _rechunk(spectrum, (*plan.lead, plan.slab, *spectrum.shape[len(plan.lead) + 1 :]), plan)
    return _inverse(array, len(plan.lead) + 1, plan.shape[1:])


def _inverse(array: Any, first: int, shape: Sequence[int]) -> Any:
    """Inverse real transform of a Dask array over the axes from `first` on, each of them one chunk."""
    kind = np.empty(0, array.dtype).real.dtype
    return array.map_blocks(
        _slab_backward,
        axes=tuple(range(first, array.ndim)),
        shape=tuple(shape),
        chunks=(*array.chunks[:first], *((n,) for n in shape)),
        dtype=kind,
        meta=np.empty((0,) * array.ndim, kind),
    )


def _slab_forward(
    block: np.ndarray,
    level: np.ndarray | None = None,
    *,
    field: str,
    axes: tuple[int, ...],
    size: int | None = None,
    planes: int = 0,
    block_id: tuple[int, ...] = (),
) -> np.ndarray:
    """Real transform over `axes`, less a level; the last axis filled up with zeros to `size`."""
    from scipy import fft

    centred = block if level is None else _less(block, level)
    lengths = [*(block.shape[a] for a in axes[:-1]), size or block.shape[-1]]
    spectrum = fft.rfftn(centred, lengths, axes=axes)
    where = f" of block {block_id}" if block_id else ""
    where += f", which begins at plane {block_id[axes[0] - 1] * planes}" if planes else ""
    require_finite(block, spectrum[(..., *(0,) * len(axes))], field, where)
    return spectrum


def _slab_backward(block: np.ndarray, *, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    from scipy import fft

    return fft.irfftn(block, s=shape, axes=axes)


def _pencil(*arrays: np.ndarray, modes, dims, count, fields) -> np.ndarray:
    """One pencil: transform along the first spatial axis, work on the modes, and back."""
    from scipy import fft

    spectra, extra, numbers = arrays[:fields], arrays[fields], arrays[fields + 1 :]
    rank = len(dims)
    waves = _shaped(dims, numbers[0::2], numbers[1::2])
    out = np.empty((count, *spectra[0].shape), spectra[0].dtype)
    for index in np.ndindex(*spectra[0].shape[:-rank]):
        parts = [fft.fft(s[index], axis=0) for s in spectra]
        for i, result in enumerate(modes(parts, waves, extra[index])):
            out[(i, *index)] = fft.ifft(result, axis=0, overwrite_x=True)
    return out if count > 1 else out[0]


def _along_first(block: np.ndarray, *, axis: int, inverse: bool) -> np.ndarray:
    from scipy import fft

    return (fft.ifft if inverse else fft.fft)(block, axis=axis)


def level_of(array: Any, rank: int) -> Any:
    """About the mean of each field of `rank` axes: that of its first plane.

    Fluctuations far below their mean keep their digits in float32 if such a level is taken out before the
    transform; the mean itself would have to be known first, from another pass over the field.

    Returns
    -------
    (…, 1, 1, 1) array
        In the dtype of the transform; NumPy or Dask as the array is.
    """
    axes = tuple(range(array.ndim - rank, array.ndim))
    kind = np.result_type(array.dtype, np.float32)
    first = array[(..., slice(0, 1), *(slice(None),) * (rank - 1))]
    if not hasattr(array, "dask"):
        return _level(first, axes=axes, kind=kind)
    first = first.rechunk(dict.fromkeys(axes, -1))
    chunks = (*first.chunks[:-rank], *((1,),) * rank)
    return first.map_blocks(_level, axes=axes, kind=kind, chunks=chunks, dtype=kind, meta=np.empty((0,) * array.ndim))


def _level(part: np.ndarray, *, axes: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """Mean of what is finite, 0 if nothing is."""
    good = np.isfinite(part)
    count = good.sum(axes, keepdims=True)
    return (part.sum(axes, np.float64, keepdims=True, where=good) / np.maximum(count, 1)).astype(kind)


def _less(field: np.ndarray, level: np.ndarray) -> np.ndarray:
    return np.subtract(field, level, dtype=np.result_type(field.dtype, np.float32))


def forward_modes(array: Any, rank: int, name: str, *, level: Any = None, size: int | None = None) -> Any:
    """Spectrum of the last `rank` axes of a NumPy or Dask array.

    Parameters
    ----------
    array : (…, spatial axes) array
    rank : int
        Number of spatial axes.
    name : str
        For errors.
    level : array, optional
        From :func:`level_of`, taken out before; of the modes only k = 0 changes.
    size : int, optional
        Length that the one axis of a transform of `rank` 1 is filled up to, with zeros.

    Returns
    -------
    complex array
    """
    import dask.array as da

    axes = tuple(range(array.ndim - rank, array.ndim))
    levels = () if level is None else (level,)
    if not hasattr(array, "dask"):
        return _forward_in_memory(array, name, *levels, axes=axes, size=size)
    kind = np.result_type(array.dtype, np.float32)
    plan = _plan(kind, array.chunks, rank)
    plan = plan._replace(lead=_narrowed(array, plan))
    if plan.slab:
        spectrum = _pencils(array, name, plan, *levels)
        options = {"dtype": spectrum.dtype, "meta": meta_of(spectrum)}
        return spectrum.map_blocks(_along_first, axis=len(plan.lead), inverse=False, **options)
    whole = array.rechunk((*plan.lead, *plan.shape))
    kind = np.result_type(kind, np.complex64)
    chunks = (*whole.chunks[:-1], ((size or plan.shape[-1]) // 2 + 1,))
    options = {"field": name, "axes": axes, "size": size}
    meta = np.empty((0,) * array.ndim, kind)
    return da.map_blocks(_slab_forward, whole, *levels, **options, chunks=chunks, dtype=kind, meta=meta)


def _forward_in_memory(
    array: np.ndarray, name: str, level: np.ndarray | None = None, *, axes: tuple[int, ...], size: int | None
) -> np.ndarray:
    """All axes of an array in memory; threads take pieces of its planes, so that no second array is needed."""
    from scipy import fft

    first, rank, threads = axes[0], len(axes), os.cpu_count() or 1
    if rank == 1:
        with fft.set_workers(threads):
            return _slab_forward(array, level, field=name, axes=axes, size=size)
    out = np.empty((*array.shape[:-1], array.shape[-1] // 2 + 1), np.result_type(array.dtype, np.complex64))
    planes = max(1, PIECE_BYTES * array.shape[first] // max(1, array.nbytes))

    def transform(start: int) -> None:
        part = (*(slice(None),) * first, slice(start, start + planes))
        out[part] = fft.rfftn(array[part] if level is None else _less(array[part], level), axes=axes[1:])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(transform, range(0, array.shape[first], planes)))
    with fft.set_workers(threads):
        out = fft.fft(out, axis=first, overwrite_x=True)
    require_finite(array, out[(..., *(0,) * rank)], name)
    return out


def _narrowed(array: Any, plan: _Plan) -> tuple[Any, ...]:
    """Chunks of the axes that are not transformed: as they are, or so small that a block keeps its size."""
    row = array.dtype.itemsize * max(1, plan.slab or plan.shape[0]) * math.prod(plan.shape[1:])
    rows = max(1, max(2 * BLOCK_BYTES, array.nbytes // (2 * MOST_BLOCKS_OF_PEERS)) // row)
    if not plan.lead or math.prod(max(c) for c in plan.lead) <= rows:
        return plan.lead
    sizes = array.shape[: len(plan.lead)]
    return all_chunks("auto", sizes, np.dtype(np.int8), limit=rows, previous_chunks=plan.lead)


def backward_modes(array: Any, shape: Sequence[int], chunks: Sequence[Any], *, overwrite: bool = False) -> Any:
    """Real array of `shape` over the last axes from its spectrum, in the chunks given.

    A spectrum in memory that is not needed any more may be overwritten.
    """
    from scipy import fft

    rank = len(shape)
    if not hasattr(array, "dask"):
        with fft.set_workers(os.cpu_count() or 1):
            axes = tuple(range(array.ndim - rank, array.ndim))
            return fft.irfftn(array, s=tuple(shape), axes=axes, overwrite_x=overwrite)
    lead = array.chunks[:-rank]
    chunks = (*lead, *(c if isinstance(c, tuple) else (c,) for c in chunks))
    plan = _plan(np.empty(0, array.dtype).real.dtype, chunks, rank)
    if plan.slab:
        pencils = _rechunk(array, (*lead, shape[0], *plan.pencil), plan)
        options = {"dtype": array.dtype, "meta": meta_of(array)}
        out = _from_pencils(pencils.map_blocks(_along_first, axis=len(lead), inverse=True, **options), plan)
    else:
        out = _inverse(array.rechunk((*lead, *array.shape[-rank:])), len(lead), shape)
    return out.rechunk(chunks)

"""Real Fourier transforms of arrays in memory or in chunks, with work on the modes between forward and backward.

A chunked array takes these steps: real transform of slabs over all axes but the first, one rechunk to pencils,
transform along the first axis, the work on the modes, and the same steps in reverse.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mmfields._compat import meta_of
from mmfields.fourier.levels import about_level, require_finite
from mmfields.fourier.pencils import (
    PIECE_BYTES,
    along_first,
    from_pencils,
    inverse,
    narrowed,
    pencils_of,
    plan_of,
    rechunked,
    slab_forward,
)
from mmfields.fourier.waves import Waves, shaped_waves, waves_of

# Work on the modes: (spectra, waves, small extra array) -> spectra; its input may be overwritten.
Modes = Callable[[list[np.ndarray], "Waves", np.ndarray], list[np.ndarray]]


def forward(field: np.ndarray, name: str, at: tuple[int, ...] = ()) -> np.ndarray:
    """Real transform over all axes; float32 in, complex64 out.  `at` says which of several fields it is."""
    from scipy import fft

    spectrum = fft.rfftn(field)
    require_finite(field, spectrum[(0,) * field.ndim], name, at=at)
    return spectrum


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

    `arrays` are the fields, `extra`, and the indices along the leading axes where the fields belong to larger ones.
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
    plan = plan_of(kind, first.chunks, rank, together=max(len(fields), count))._replace(lead=(1,) * len(lead))
    options = {"modes": modes, "dims": dims, "count": count}
    if not plan.slab:
        work, arrays = _whole, [f.rechunk((*plan.lead, *shape)) for f in fields]
        numbers = [
            x for letter, n in zip(letters, lead, strict=True) for x in (da.from_array(np.arange(n), chunks=1), letter)
        ]
        options |= {"widths": widths, "names": names}
    else:
        work, arrays = _pencil, [pencils_of(f, name, plan) for f, name in zip(fields, names, strict=True)]
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
    several = (count,) if count > 1 else ()  # all results go back side by side in one exchange
    if plan.slab:
        together = from_pencils(together, plan._replace(lead=(*several, *plan.lead)))
    together = together.rechunk((*several, *first.chunks))
    return [together[i] for i in range(count)] if several else [together]


def _numbers(dims: Sequence[str], shape: Sequence[int], widths: Sequence[float], chunks: Sequence[Any]) -> list[Any]:
    """Wavenumbers and Nyquist flags of each axis in the chunks of a spectrum, as arguments of `da.blockwise`."""
    import dask.array as da

    waves = waves_of(dims, shape, widths)
    items = []
    for letter, k, nyquist, chunk in zip("xyz", waves.k, waves.nyquist, chunks, strict=False):
        for values in (k, nyquist):
            items += [da.from_array(values.ravel(), chunks=(chunk,)), letter]
    return items


def _pencil(*arrays: np.ndarray, modes, dims, count, fields) -> np.ndarray:
    """Transform one pencil along the first spatial axis, do the work on the modes, and transform back."""
    from scipy import fft

    spectra, extra, numbers = arrays[:fields], arrays[fields], arrays[fields + 1 :]
    rank = len(dims)
    waves = shaped_waves(dims, numbers[0::2], numbers[1::2])
    out = np.empty((count, *spectra[0].shape), spectra[0].dtype)
    for index in np.ndindex(*spectra[0].shape[:-rank]):
        parts = [fft.fft(s[index], axis=0) for s in spectra]
        for i, result in enumerate(modes(parts, waves, extra[index])):
            out[(i, *index)] = fft.ifft(result, axis=0, overwrite_x=True)
    return out if count > 1 else out[0]


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
    plan = plan_of(kind, array.chunks, rank)
    plan = plan._replace(lead=narrowed(array, plan))
    if plan.slab:
        spectrum = pencils_of(array, name, plan, *levels)
        options = {"dtype": spectrum.dtype, "meta": meta_of(spectrum)}
        return spectrum.map_blocks(along_first, axis=len(plan.lead), inverse=False, **options)
    whole = array.rechunk((*plan.lead, *plan.shape))
    kind = np.result_type(kind, np.complex64)
    chunks = (*whole.chunks[:-1], ((size or plan.shape[-1]) // 2 + 1,))
    options = {"field": name, "axes": axes, "size": size}
    meta = np.empty((0,) * array.ndim, kind)
    return da.map_blocks(slab_forward, whole, *levels, **options, chunks=chunks, dtype=kind, meta=meta)


def _forward_in_memory(
    array: np.ndarray, name: str, level: np.ndarray | None = None, *, axes: tuple[int, ...], size: int | None
) -> np.ndarray:
    """Transform all axes of an array in memory; threads take pieces of planes, which avoids a second array."""
    from scipy import fft

    first, rank, threads = axes[0], len(axes), os.cpu_count() or 1
    if rank == 1:
        with fft.set_workers(threads):
            return slab_forward(array, level, field=name, axes=axes, size=size)
    out = np.empty((*array.shape[:-1], array.shape[-1] // 2 + 1), np.result_type(array.dtype, np.complex64))
    planes = max(1, PIECE_BYTES * array.shape[first] // max(1, array.nbytes))

    def transform(start: int) -> None:
        part = (*(slice(None),) * first, slice(start, start + planes))
        out[part] = fft.rfftn(array[part] if level is None else about_level(array[part], level), axes=axes[1:])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(transform, range(0, array.shape[first], planes)))
    with fft.set_workers(threads):
        out = fft.fft(out, axis=first, overwrite_x=True)
    require_finite(array, out[(..., *(0,) * rank)], name)
    return out


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
    plan = plan_of(np.empty(0, array.dtype).real.dtype, chunks, rank)
    if plan.slab:
        pencils = rechunked(array, (*lead, shape[0], *plan.pencil), plan)
        options = {"dtype": array.dtype, "meta": meta_of(array)}
        out = from_pencils(pencils.map_blocks(along_first, axis=len(lead), inverse=True, **options), plan)
    else:
        out = inverse(array.rechunk((*lead, *array.shape[-rank:])), len(lead), shape)
    return out.rechunk(chunks)

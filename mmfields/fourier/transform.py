"""Real Fourier transforms of arrays whole or in chunks, and what may be done between there and back.

The plan for a chunked array: real transform of slabs over all axes but the first, one rechunk to
pencils, transform along the first axis, the work on the modes, and the same way back.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from mmfields.conventions import SPATIAL, SnapshotError

# Slabs and pencils are made about this large; a task holds a few of them.
BLOCK_BYTES = 1 << 27

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
        rest = square - along**2
        # what is left of k_perp by rounding is no perpendicular wavenumber
        return np.abs(along) + 0 * square, np.sqrt(np.where(rest > 1e-12 * square, rest, 0.0))


def wavenumbers(n: int, width: float, *, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers of an axis, and which of them is its Nyquist wavenumber."""
    k = 2 * np.pi * (np.fft.rfftfreq(n, width) if half else np.fft.fftfreq(n, width))
    nyquist = np.zeros(len(k), bool)
    if n % 2 == 0:
        nyquist[n // 2] = True
    return k, nyquist


def waves_of(dims: Sequence[str], shape: Sequence[int], widths: Sequence[float]) -> Waves:
    """Wavevectors of the real transform of an array; the last axis is the half one."""
    parts = [wavenumbers(n, w, half=i == len(shape) - 1) for i, (n, w) in enumerate(zip(shape, widths, strict=True))]
    return _shaped(dims, [k for k, _ in parts], [n for _, n in parts])


def _shaped(dims: Sequence[str], k: Sequence[np.ndarray], nyquist: Sequence[np.ndarray]) -> Waves:
    def spread(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        rank = len(arrays)
        return tuple(a.reshape([-1 if i == axis else 1 for i in range(rank)]) for axis, a in enumerate(arrays))

    return Waves(tuple(dims), spread(k), spread(nyquist))


def require_finite(field: np.ndarray, sums: np.ndarray, name: str, where: str = "") -> None:
    """Refuse NaN and infinity, which show in the sums over the field; the place is looked for only then."""
    if np.isfinite(sums).all():
        return
    if (bad := np.argwhere(~np.isfinite(field))).size:
        raise SnapshotError(
            f"{name} is not finite at index {tuple(bad[0].tolist())}{where}: fill it before a Fourier transform"
        )


def over_leading(
    fields: Sequence[np.ndarray], direction: np.ndarray, rank: int
) -> tuple[tuple[int, ...], list[np.ndarray], np.ndarray]:
    """Leading shape (time) of fields of `rank` spatial dims and a direction, and all of them broadcast to it."""
    lead = np.broadcast_shapes(*(f.shape[: f.ndim - rank] for f in fields), direction.shape[:-1])
    wide = [np.broadcast_to(f, (*lead, *f.shape[f.ndim - rank :])) for f in fields]
    return lead, wide, np.broadcast_to(direction, (*lead, 3))


def forward(field: np.ndarray, name: str) -> np.ndarray:
    """Real transform over all axes; float32 in, complex64 out."""
    from scipy import fft

    spectrum = fft.rfftn(field)
    require_finite(field, spectrum[(0,) * field.ndim], name)
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
    """All axes in memory; results along a new first axis where there are several."""
    from scipy import fft

    *fields, extra = arrays
    rank = len(dims)
    lead, shape = fields[0].shape[:-rank], fields[0].shape[-rank:]
    waves = waves_of(dims, shape, widths)
    kind = np.result_type(*(f.dtype for f in fields), np.float32)
    if not lead and count == 1:
        spectra = [forward(f, name) for f, name in zip(fields, names, strict=True)]
        return fft.irfftn(modes(spectra, waves, extra)[0], s=shape, overwrite_x=True).astype(kind, copy=False)
    out = np.empty((*((count,) if count > 1 else ()), *lead, *shape), kind)
    for index in np.ndindex(*lead):
        spectra = [forward(f[index], name) for f, name in zip(fields, names, strict=True)]
        for i, spectrum in enumerate(modes(spectra, waves, extra[index])):
            target = out[(i, *index)] if count > 1 else out[index]
            target[...] = fft.irfftn(spectrum, s=shape, overwrite_x=True)
    return out


def _chunked(fields: Sequence[Any], extra: Any, *, modes, dims, widths, names, count) -> list[Any]:
    import dask.array as da

    fields = [da.asarray(f) for f in fields]
    rank, first = len(dims), fields[0]
    lead, shape = first.shape[:-rank], first.shape[-rank:]
    one = (1,) * len(lead)
    extra = da.asarray(extra).rechunk((*one, -1))
    letters = "abcdefgh"[: len(lead)]
    axes = letters + "xyz"[:rank]
    kind = np.result_type(*(f.dtype for f in fields), np.float32)
    many = "o" if count > 1 else ""
    options = {"modes": modes, "dims": dims, "count": count}
    new = {"new_axes": {"o": count}} if count > 1 else {}
    slab, pencil = _plan(first, shape, len(lead))
    if slab is None:  # it fits one chunk
        together = da.blockwise(
            _whole,
            many + axes,
            *(item for f in fields for item in (f.rechunk((*one, *shape)), axes)),
            extra,
            letters + "m",
            dtype=kind,
            concatenate=True,
            meta=np.empty((0,) * (len(axes) + len(many)), kind),
            widths=widths,
            names=names,
            **options,
            **new,
        )
    else:
        spectra = [_slabs_forward(f, name, one, slab, shape, kind) for f, name in zip(fields, names, strict=True)]
        spectra = [s.rechunk((*one, shape[0], *pencil)) for s in spectra]
        waves = [wavenumbers(n, w, half=i == rank - 1) for i, (n, w) in enumerate(zip(shape, widths, strict=True))]
        numbers = []
        for letter, (k, nyquist), chunk in zip("xyz", waves, spectra[0].chunks[len(lead) :], strict=False):
            numbers += [da.from_array(k, chunks=(chunk,)), letter, da.from_array(nyquist, chunks=(chunk,)), letter]
        complex_kind = spectra[0].dtype
        together = da.blockwise(
            _pencil,
            many + axes,
            *(item for s in spectra for item in (s, axes)),
            extra,
            letters + "m",
            *numbers,
            dtype=complex_kind,
            concatenate=True,
            meta=np.empty((0,) * (len(axes) + len(many)), complex_kind),
            fields=len(fields),
            **options,
            **new,
        )
    results = [together[i] for i in range(count)] if count > 1 else [together]
    if slab is not None:
        results = [_slabs_backward(r, one, slab, shape, kind) for r in results]
    return [r.rechunk(first.chunks) for r in results]


def _plan(field: Any, shape: Sequence[int], lead: int) -> tuple[int | None, tuple[int, ...] | None]:
    """Rows of a slab and chunks of a pencil beyond the first axis; None where all fits one chunk."""
    size = field.dtype.itemsize * math.prod(shape)
    if len(shape) == 1 or (len(field.chunks[lead]) == 1 and size <= 4 * BLOCK_BYTES) or size <= BLOCK_BYTES // 8:
        return None, None
    given = max(field.chunks[lead])
    row = size // shape[0]
    slab = min(shape[0], max(1, min(max(given, BLOCK_BYTES // (8 * row)), BLOCK_BYTES * 2 // row)))
    # as many pencils as slabs, cut along the second axis (which in two dims is the half one)
    length = shape[1] if len(shape) > 2 else shape[1] // 2 + 1
    cut = max(1, -(-length * slab // shape[0]))
    return slab, (cut, *([-1] if len(shape) > 2 else []))


def _slabs_forward(field: Any, name: str, one: tuple, slab: int, shape: Sequence[int], kind: np.dtype) -> Any:
    array = field.rechunk((*one, slab, *shape[1:]))
    half = (*array.chunks[:-1], (shape[-1] // 2 + 1,))
    complex_kind = np.result_type(kind, np.complex64)
    axes = tuple(range(len(one) + 1, array.ndim))
    meta = np.empty((0,) * array.ndim, complex_kind)
    return array.map_blocks(_slab_forward, name=None, field=name, axes=axes, chunks=half, dtype=complex_kind, meta=meta)


def _slab_forward(block: np.ndarray, *, field: str, axes: tuple[int, ...]) -> np.ndarray:
    from scipy import fft

    spectrum = fft.rfftn(block, axes=axes)
    require_finite(block, spectrum[(..., *(0,) * len(axes))], field, " of a slab")
    return spectrum


def _pencil(*arrays: np.ndarray, modes, dims, count, fields) -> np.ndarray:
    """One pencil: transform along the first spatial axis, work on the modes, and back."""
    from scipy import fft

    spectra, extra, numbers = arrays[:fields], arrays[fields], arrays[fields + 1 :]
    rank = len(dims)
    waves = _shaped(dims, numbers[0::2], numbers[1::2])
    lead = spectra[0].shape[:-rank]
    results = []
    for index in np.ndindex(*lead):
        parts = [fft.fft(s[index], axis=0) for s in spectra]
        results.append([fft.ifft(r, axis=0, overwrite_x=True) for r in modes(parts, waves, extra[index])])
    stacked = [np.stack([r[i] for r in results]).reshape(*lead, *results[0][i].shape) for i in range(count)]
    return np.stack(stacked) if count > 1 else stacked[0]


def _slabs_backward(spectrum: Any, one: tuple, slab: int, shape: Sequence[int], kind: np.dtype) -> Any:
    array = spectrum.rechunk((*one, slab, *spectrum.shape[len(one) + 1 :]))
    axes = tuple(range(len(one) + 1, array.ndim))
    chunks = (*array.chunks[: len(one) + 1], *((n,) for n in shape[1:]))
    meta = np.empty((0,) * array.ndim, kind)
    return array.map_blocks(_slab_backward, axes=axes, shape=tuple(shape[1:]), chunks=chunks, dtype=kind, meta=meta)


def _slab_backward(block: np.ndarray, *, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    from scipy import fft

    return fft.irfftn(block, s=shape, axes=axes)


def forward_modes(array: Any, rank: int, name: str) -> Any:
    """Spectrum of the last `rank` axes of a NumPy or Dask array."""
    from scipy import fft

    axes = tuple(range(array.ndim - rank, array.ndim))
    if not hasattr(array, "dask"):
        with fft.set_workers(os.cpu_count() or 1):
            spectrum = fft.rfftn(array, axes=axes)
        require_finite(array, spectrum[(..., *(0,) * rank)], name)
        return spectrum
    shape, one = array.shape[-rank:], array.chunks[:-rank]  # axes that are not transformed keep their chunks
    kind = np.result_type(array.dtype, np.float32)
    slab, pencil = _plan(array, shape, len(one))
    if slab is None:
        whole = array.rechunk((*one, *shape))
        chunks = (*whole.chunks[:-1], (shape[-1] // 2 + 1,))
        dtype = np.result_type(kind, np.complex64)
        meta = np.empty((0,) * array.ndim, dtype)
        return whole.map_blocks(_slab_forward, field=name, axes=axes, chunks=chunks, dtype=dtype, meta=meta)
    spectrum = _slabs_forward(array, name, one, slab, shape, kind).rechunk((*one, shape[0], *pencil))
    return spectrum.map_blocks(_along_first, axis=len(one), inverse=False, dtype=spectrum.dtype, meta=spectrum._meta)


def backward_modes(array: Any, shape: Sequence[int], chunks: Sequence[Any]) -> Any:
    """Real array of `shape` over the last axes from its spectrum, in the chunks given."""
    from scipy import fft

    rank = len(shape)
    axes = tuple(range(array.ndim - rank, array.ndim))
    if not hasattr(array, "dask"):
        with fft.set_workers(os.cpu_count() or 1):
            return fft.irfftn(array, s=tuple(shape), axes=axes)
    one = array.chunks[:-rank]
    kind = np.empty(0, array.dtype).real.dtype
    field = _Sized(kind, (*one, *(c if isinstance(c, tuple) else (c,) for c in chunks)))
    slab, pencil = _plan(field, shape, len(one))
    if slab is None:
        whole = array.rechunk((*one, *array.shape[-rank:]))
        sizes = (*whole.chunks[:-rank], *((n,) for n in shape))
        meta = np.empty((0,) * array.ndim, kind)
        out = whole.map_blocks(_slab_backward, axes=axes, shape=tuple(shape), chunks=sizes, dtype=kind, meta=meta)
    else:
        pencils = array.rechunk((*one, shape[0], *pencil))
        rows = pencils.map_blocks(_along_first, axis=len(one), inverse=True, dtype=array.dtype, meta=array._meta)
        out = _slabs_backward(rows, one, slab, shape, kind)
    return out.rechunk((*one, *(c if isinstance(c, tuple) else (c,) for c in chunks)))


@dataclass(frozen=True)
class _Sized:
    """What `_plan` asks of an array that is yet to be made."""

    dtype: np.dtype
    chunks: tuple[tuple[int, ...], ...]


def _along_first(block: np.ndarray, *, axis: int, inverse: bool) -> np.ndarray:
    from scipy import fft

    return (fft.ifft if inverse else fft.fft)(block, axis=axis)

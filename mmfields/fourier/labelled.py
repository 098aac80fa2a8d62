"""Transforms of one labelled array: coordinates in, wavenumbers out, and back."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.conventions import SPATIAL, Labelled, SnapshotError, axis_spacing, require_plain_data, wavenumber_attrs
from mmfields.fourier.transform import backward_modes, forward_modes
from mmfields.fourier.waves import wavenumbers
from mmfields.provenance import verb


@renamed(da="field")
@verb
def fft(field: Labelled, dims: Iterable[str] | None = None) -> Labelled:
    """Real Fourier transform over spatial dims, of any size where it is chunked.

    Parameters
    ----------
    field : xarray.DataArray or Dataset
        Real field over uniform axes, taken as periodic: an array alone does not say whether they are.  Or all of such.
    dims : iterable of str, optional
        Which to transform, all spatial ones by default.

    Returns
    -------
    xarray.DataArray or Dataset
        As `field` is, complex (complex64 of float32), over ``k_x`` … in place of ``x`` …; the last one transformed
        holds k >= 0 alone.  sum |F|² over both halves is N sum f².  Lazy where `field` is.

    Raises
    ------
    SnapshotError
        If an axis is missing or not uniform, or the field is not real; when computed, if it is not finite.
    """
    if isinstance(field, xr.Dataset):
        return field.map(_transformed, dims=dims).assign_attrs(field.attrs)
    return _transformed(field, dims)


def _transformed(field: xr.DataArray, dims: Iterable[str] | None = None) -> xr.DataArray:
    require_plain_data(field)
    chosen = [str(d) for d in field.dims if d in (SPATIAL if dims is None else set(dims))]
    if not chosen or (dims is not None and set(dims) - set(chosen)) or set(chosen) - set(SPATIAL):
        raise SnapshotError(f"dims={dims!r}: spatial dims among {field.dims} are needed")
    if field.dtype.kind not in "fiub":
        raise SnapshotError(
            f"a real field is needed, {field.name} is {field.dtype}: transform its parts, .real and .imag"
        )
    widths = {d: axis_spacing(field, d) for d in chosen}
    lead = [d for d in field.dims if d not in chosen]
    wide = field.transpose(*lead, *chosen)
    spectrum = forward_modes(wide.data, len(chosen), str(field.name))
    coords: dict[str, Any] = {}
    for d in chosen:
        k, _ = wavenumbers(field.sizes[d], widths[d], half=d == chosen[-1])
        notes = {**wavenumber_attrs(field), "long_name": f"wavenumber along {d}"}
        notes["of_half"] = int(d == chosen[-1])
        if field.chunks is not None:
            notes |= {f"of_lead_{x}": np.array(field.chunks[field.dims.index(x)]) for x in lead}
        coords[f"k_{d}"] = (f"k_{d}", k, {**notes, **_remembered(field, d)})
    names = [f"k_{d}" if d in chosen else d for d in wide.dims]
    kept = {n: c for n, c in field.coords.items() if not set(c.dims) & set(chosen)}
    out = xr.DataArray(spectrum, {**kept, **coords}, names, field.name, dict(field.attrs))
    return out.transpose(*[f"k_{d}" if d in chosen else d for d in field.dims])


def _remembered(da: xr.DataArray, dim: str) -> dict[str, Any]:
    """What the way back needs to restore an axis, as flat attrs of its wavenumbers."""
    notes = {f"of_{key}": value for key, value in da[dim].attrs.items()}
    notes["of_values"] = da[dim].values
    if da.chunks is not None:
        notes["of_chunks"] = np.array(da.chunks[da.dims.index(dim)])
    return notes


@verb
def ifft(spectrum: Labelled) -> Labelled:
    """Inverse of :func:`fft`: values, floating dtype, index coordinates, attrs and chunks as they were.

    Parameters
    ----------
    spectrum : xarray.DataArray or Dataset
        From :func:`fft`, perhaps multiplied since.

    Returns
    -------
    xarray.DataArray or Dataset
        As `spectrum` is, real over ``x`` …

    Raises
    ------
    SnapshotError
        If the wavenumbers are not those of :func:`fft`.
    """
    if isinstance(spectrum, xr.Dataset):
        return spectrum.map(_back).assign_attrs(spectrum.attrs)
    return _back(spectrum)


def _back(spectrum: xr.DataArray) -> xr.DataArray:
    require_plain_data(spectrum)
    chosen = [str(d)[2:] for d in spectrum.dims if str(d).startswith("k_") and str(d)[2:] in SPATIAL]
    notes = {d: dict(spectrum[f"k_{d}"].attrs) for d in chosen if f"k_{d}" in spectrum.coords}
    if not chosen or any("of_values" not in notes.get(d, {}) for d in chosen):
        raise SnapshotError(f"dims {spectrum.dims} are not those of mm.fourier.fft, whose axes the way back needs")
    values = {d: np.asarray(notes[d]["of_values"]) for d in chosen}
    half = [d for d in chosen if notes[d]["of_half"] and spectrum.sizes[f"k_{d}"] == len(values[d]) // 2 + 1]
    if not half or any(spectrum.sizes[f"k_{d}"] != len(values[d]) for d in chosen if d != half[-1]):
        raise SnapshotError(
            f"{dict(spectrum.sizes)} wavenumbers do not belong to axes of { {d: len(v) for d, v in values.items()} }"
        )
    ordered = [*[d for d in chosen if d != half[-1]], half[-1]]
    lead = [d for d in spectrum.dims if str(d)[2:] not in chosen]
    wide = spectrum.transpose(*lead, *(f"k_{d}" for d in ordered))
    chunks = [
        tuple(np.atleast_1d(notes[d]["of_chunks"]).tolist()) if "of_chunks" in notes[d] else len(values[d])
        for d in ordered
    ]
    field = backward_modes(wide.data, [len(values[d]) for d in ordered], chunks)
    coords = {n: c for n, c in spectrum.coords.items() if not set(c.dims) & {f"k_{d}" for d in chosen}}
    for d in chosen:
        inner = ("of_values", "of_chunks", "of_half")
        own = {k[3:]: v for k, v in notes[d].items() if k.startswith("of_") and k not in inner and "of_lead_" not in k}
        coords[d] = (d, values[d], own)
    out = xr.DataArray(field, coords, [*lead, *ordered], spectrum.name, dict(spectrum.attrs))
    before = {
        x: tuple(np.atleast_1d(notes[half[-1]][f"of_lead_{x}"]).tolist())
        for x in lead
        if f"of_lead_{x}" in notes[half[-1]]
    }
    out = out.chunk(before) if before and out.chunks is not None else out
    return out.transpose(*[str(d)[2:] if str(d)[2:] in chosen else d for d in spectrum.dims])

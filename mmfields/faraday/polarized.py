"""Polarized emission through a Faraday-rotating medium, and what a telescope sees of it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields._types import Density, Number, Numbers, UnitLike
from mmfields.conventions import axis_spacing, of_array, require_number, require_whole
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.faraday.bands import asked_wavelengths, channels_of
from mmfields.faraday.depth import rotation_measure
from mmfields.faraday.emission import emitted
from mmfields.faraday.line_of_sight import (
    columns_of,
    map_of,
    require_finite,
    require_kind,
    sight_of,
)
from mmfields.faraday.observing import channel_widths, length_on_sky
from mmfields.faraday.units import require_angle
from mmfields.provenance import verb

EMISSIONS = ("background", "internal", "snapshot")


@verb
def polarization(
    ds: xr.Dataset,
    los: str | Sequence[float] = "z",
    *,
    wavelength_sq: Numbers | str,
    emission: Literal["background", "internal", "snapshot"] = "background",
    p0: float | None = None,
    angle: float = 0.0,
    index: float = 2.5,
    cosmic_rays: str | None = None,
    beam: Number | None = None,
    distance: Number | None = None,
    channel_width: Number | None = None,
    noise: float | None = None,
    seed: int = 0,
    density: Density | None = None,
    field_unit: UnitLike | None = None,
    length_unit: UnitLike | None = None,
    redshift: float = 0.0,
) -> xr.DataArray:
    """Complex polarization P(λ²) = Q + iU of every line of sight, in units of the mean total intensity.

    Angles follow the IAU: from north to east, χ = χ0 + RM λ².  Every cell rotates its own emission too, exactly for
    a uniform cell, so that a uniform slab is Burn's whatever its cells.

    Parameters
    ----------
    ds, los, density, field_unit, length_unit, redshift
        As :func:`rotation_measure`.
    wavelength_sq : float, several, or the name of a band
        Observed wavelengths squared [m²], an astropy Quantity of these or of frequencies, or a DataArray with units; of
        a band (see :func:`band_channels`) its 16 channels.
    emission : {"background", "internal", "snapshot"}
        A polarized source behind the box; uniform emission in it; or synchrotron emission of the field, in
        proportion to n_CR B_⊥^((p+1)/2) and polarized across B_⊥.  Oblique lines are interpolated in what cells emit,
        Q, U and I, as in what they rotate.
    p0 : float, optional
        Intrinsic degree of polarization: 1 by default, for ``snapshot`` (p+1)/(p+7/3).
    angle : float
        Intrinsic angle χ0 [rad] for ``background`` and ``internal``.
    index : float
        Of the cosmic-ray electrons' spectrum, p.
    cosmic_rays : str, optional
        Variable with n_CR; uniform by default.
    beam : float or astropy Quantity, optional
        Full width at half maximum of a Gaussian beam, in the map's length unit, as a length, or as an angle with
        `distance`: P is averaged, never angles.
    distance : astropy Quantity, optional
        Angular-diameter distance of the source, for a beam in an angle.
    channel_width : float or astropy Quantity, optional
        Full width of the channels in λ² [m²], or as a Quantity in frequency, over which P is averaged: of a
        ``background`` exactly, by sinc(RM Δλ²), else by quadrature; what turns too far for it within a channel is
        refused.
    noise : float, optional
        Standard deviation of the noise added to Q and to U.
    seed : int
        Of the noise.

    Returns
    -------
    xarray.DataArray
        Complex, over (``wavelength_sq``, map), lazy where the snapshot is.  Each chunk of the box is passed over
        once for all wavelengths.  A line through a cell whose rotation is not finite is NaN, and no other one.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`rotation_measure`; if a wavelength is not positive, a name is not known, the beam is larger than
        the map, or the map does not wrap and a beam is asked for.  When computed: if nothing emits, if emission is not
        finite or, with a beam, P is not, since one cell then spoils the whole map; or if P turns too far in a channel.
    """
    waves = asked_wavelengths(wavelength_sq)
    if emission not in EMISSIONS:
        raise ArgumentError(f"emission={emission!r}: one of {', '.join(EMISSIONS)} is needed")
    require_number(index, "index", 1.0, 10.0), require_angle(angle)
    p0 = ((index + 1) / (index + 7 / 3) if emission == "snapshot" else 1.0) if p0 is None else p0
    require_number(p0, "p0", 0.0, 1.0)
    if cosmic_rays is not None and (emission != "snapshot" or cosmic_rays not in ds):
        raise SnapshotError(f"cosmic_rays={cosmic_rays!r}: a variable of the snapshot, with emission='snapshot'")
    width = None if channel_width is None else channel_widths(channel_width, waves)
    beam = length_on_sky(beam, "beam", ds, length_unit, distance)
    sampled, weights = channels_of(waves, width, exact=emission == "background")
    units: dict[str, Any] = {
        "density": density,
        "field_unit": field_unit,
        "length_unit": length_unit,
        "redshift": redshift,
    }
    if emission == "background":
        rm = rotation_measure(ds, los, **units)
        result = xr.apply_ufunc(
            _rotate_behind_screen,
            rm,
            output_core_dims=[["sample"]],
            kwargs={"waves": sampled, "width": 0.0 if width is None else width},
            dask="parallelized",
            output_dtypes=[np.complex128],
            dask_gufunc_kwargs={"output_sizes": {"sample": len(sampled)}},
        ).transpose("sample", ...)
    else:
        columns = columns_of(ds, los, more=[cosmic_rays] if cosmic_rays else [], **units)
        widest = 0.0 if width is None else float(width.max())
        result = map_of(ds, columns, emitted(columns, sampled, emission, index, widest), extra=["sample"])
        result = result.transpose("sample", ...)
    values = xr.apply_ufunc(
        _average,
        result,
        input_core_dims=[["sample"]],
        output_core_dims=[["wavelength_sq"]],
        kwargs={"weights": weights, "factor": p0 * np.exp(2j * angle) if emission != "snapshot" else p0},
        dask="parallelized",
        output_dtypes=[np.complex128],
        dask_gufunc_kwargs={"output_sizes": {"wavelength_sq": len(waves)}, "allow_rechunk": True},
    ).transpose("wavelength_sq", ...)
    values = _observe(values, ds, beam, noise, seed)
    notes = {"units": "1", "long_name": "complex polarization Q + iU, over mean intensity", "p0": float(p0)}
    notes |= sight_of(ds, los).sky()
    wave_notes = {"units": "m2", "long_name": "wavelength squared"}
    values = values.assign_coords(wavelength_sq=("wavelength_sq", waves, wave_notes)).rename("polarization")
    return values.assign_attrs({**notes, "emission": emission, "redshift": float(redshift)})


def _rotate_behind_screen(rm: np.ndarray, *, waves: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Polarization rotated by a foreground screen and averaged over channels of this width in λ²."""
    turned = np.exp(2j * rm[..., None] * waves)
    return turned * np.sinc(rm[..., None] * width / np.pi) if np.any(width) else turned


def _average(samples: np.ndarray, *, weights: np.ndarray, factor: complex) -> np.ndarray:
    nodes = samples.reshape(*samples.shape[:-1], -1, len(weights))
    return sum(nodes[..., i] * w for i, w in enumerate(weights)) * factor


def _observe(values: xr.DataArray, ds: xr.Dataset, beam: float | None, noise: float | None, seed: int) -> xr.DataArray:
    """Average the polarization over the beam and add noise."""
    dims = [d for d in values.dims if d in ("x", "y", "z")]
    if beam is not None:
        require_number(beam, "beam", 0.0)
        widths = [axis_spacing(ds, d) for d in dims]
        if beam > (least := min(values.sizes[d] * w for d, w in zip(dims, widths, strict=True))):
            raise SnapshotError(f"beam={beam:g} is larger than the map, {least:g}: average the whole map instead")
        if bad := [d for d in dims if values.attrs.get(f"boundary_{d}", ds.attrs.get(f"boundary_{d}")) != "periodic"]:
            raise SnapshotError(f"a beam wraps around the map, and {bad} do not: make them periodic, or leave it out")
        values = xr.apply_ufunc(
            _blur,
            values,
            input_core_dims=[dims],
            output_core_dims=[dims],
            kwargs={"sigmas": [beam / np.sqrt(8 * np.log(2)) / w for w in widths]},
            dask="parallelized",
            output_dtypes=[np.complex128],
            dask_gufunc_kwargs={"allow_rechunk": True},
        )
    if noise is not None:
        require_number(noise, "noise", 0.0), require_whole(seed, "seed", 0)
        added = partial(_noise, values.shape, float(noise), seed)
        if values.chunks is None:
            return values + added()
        import dask
        import dask.array as da

        whole = da.from_delayed(dask.delayed(added, pure=True)(), values.shape, complex)
        values = values + whole.rechunk(values.chunks)
    return values


def _noise(shape: tuple[int, ...], noise: float, seed: int) -> np.ndarray:
    """Noise of Q and U, which does not depend on the chunks."""
    real, imaginary = np.random.default_rng([seed, 7]).normal(scale=noise, size=(2, *shape))
    return real + 1j * imaginary


def _blur(array: np.ndarray, *, sigmas: Sequence[float]) -> np.ndarray:
    """Periodic average over a Gaussian beam along the last axes."""
    from scipy import fft

    axes = tuple(range(array.ndim - len(sigmas), array.ndim))
    require_finite(array.sum(axis=tuple(range(axes[0]))), "P", "a beam would spread that over the map")
    spectrum = fft.fftn(array, axes=axes)
    for axis, sigma in zip(axes, sigmas, strict=True):
        k = 2 * np.pi * np.fft.fftfreq(array.shape[axis])
        spectrum *= np.exp(-0.5 * (k * sigma) ** 2).reshape([-1 if a == axis else 1 for a in range(array.ndim)])
    return fft.ifftn(spectrum, axes=axes, overwrite_x=True)


@verb
@of_array("P of mm.faraday.polarization, complex Q + iU,")
def depolarization(pol: xr.DataArray, *, patches: int = 4) -> xr.Dataset:
    """How much of the polarization is left, and how far the angles scatter, against λ².

    Parameters
    ----------
    pol : xarray.DataArray
        From :func:`polarization`; lazy where it is.
    patches : int
        Per axis of the map, whose leaving out one by one gives the errors; too small ones where the map's structures
        are larger than a patch.

    Returns
    -------
    xarray.Dataset
        Over ``wavelength_sq``: ``fraction`` |⟨P⟩|/p0 of the whole map, as in one beam; ``resolved_fraction``
        ⟨|P|⟩/p0 of its pixels; ``angle_dispersion`` [deg], rms of the pixels' angles about that of ⟨P⟩; each with
        its ``…_error``, NaN of one patch.  p0 is that of P's attrs, and 1 where they have none.

    Raises
    ------
    ArgumentError, SnapshotError
        If P is not complex, has no ``wavelength_sq`` or no map, or its p0 is 0; when computed, if it is not finite.
    """
    require_kind(pol, "c", "P of mm.faraday.polarization, complex Q + iU,")
    dims = [d for d in pol.dims if d in ("x", "y", "z")]
    if "wavelength_sq" not in pol.dims or not dims:
        raise SnapshotError(f"P over wavelength_sq and a map is needed, this has dims {pol.dims}")
    require_whole(patches, "patches", 1)
    if not (p0 := float(pol.attrs.get("p0", 1.0))) > 0:
        raise SnapshotError(f"attrs['p0'] is {p0:g}: of a source that is not polarized nothing can be left")
    found = xr.apply_ufunc(
        _depolarized,
        pol.real,
        pol.imag,
        input_core_dims=[dims, dims],
        output_core_dims=[["kind", "value"]],
        kwargs={"p0": p0, "patches": patches, "rank": len(dims)},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"kind": 2, "value": 3}},
    )
    meanings = {
        "fraction": ("polarization of the whole map over p0", "1"),
        "resolved_fraction": ("mean polarization of its pixels over p0", "1"),
        "angle_dispersion": ("rms scatter of polarization angles", "deg"),
    }
    out = xr.Dataset(attrs={k: v for k, v in pol.attrs.items() if k in ("p0", "emission", "redshift")})
    for i, (name, (meaning, unit)) in enumerate(meanings.items()):
        out[name] = found.isel(kind=0, value=i).assign_attrs(long_name=meaning, units=unit)
        error = found.isel(kind=1, value=i).assign_attrs(long_name=f"error of {name}", units=unit)
        out[f"{name}_error"] = error
    return out


def _depolarized(real: np.ndarray, imaginary: np.ndarray, *, p0: float, patches: int, rank: int) -> np.ndarray:
    """Fractions and dispersion, and their jackknife errors, over the leading axes."""
    array = real + 1j * imaginary
    lead = array.shape[: array.ndim - rank]
    require_finite(array.sum(axis=tuple(range(len(lead)))), "P", "a mean needs all of them")
    labels = np.zeros(array.shape[-rank:], int)
    for axis, n in enumerate(labels.shape):
        count = min(patches, n)
        place = (np.arange(n) * count // n).reshape([-1 if a == axis else 1 for a in range(rank)])
        labels = labels * count + place
    groups, flat = labels.ravel(), array.reshape(*lead, -1)
    number = int(groups.max()) + 1
    counts = np.bincount(groups)
    out = np.empty((*lead, 2, 3))
    for index in np.ndindex(*lead):
        row = flat[index]
        sums = np.stack([np.bincount(groups, v, number) for v in (row.real, row.imag, abs(row))])
        turned = np.angle(row * np.conj(row.mean())) / 2
        square = np.bincount(groups, turned**2, number)

        def values(s: np.ndarray, q: np.ndarray, n: np.ndarray) -> np.ndarray:
            return np.stack([np.hypot(s[0], s[1]) / n / p0, s[2] / n / p0, np.degrees(np.sqrt(q / n))], axis=-1)

        out[(*index, 0)] = values(sums.sum(axis=1), square.sum(), counts.sum())
        if number < 2:
            out[(*index, 1)] = np.nan
            continue
        rest = values(sums.sum(axis=1, keepdims=True) - sums, square.sum() - square, counts.sum() - counts)
        out[(*index, 1)] = np.sqrt((number - 1) * rest.var(axis=0))
    return out

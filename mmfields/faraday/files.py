"""FITS cubes that radio astronomers' tools read, and rotation-measure synthesis by one of them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields._types import Number
from mmfields.conventions import ArgumentError, SnapshotError, axis_spacing, of_array, require_number
from mmfields.faraday.line_of_sight import require_finite, require_kind, require_map
from mmfields.faraday.observing import LIGHT_SPEED, pixel_at, wavelengths_of
from mmfields.faraday.units import number_in
from mmfields.io._paths import folder as local_folder


@renamed(folder="out")
@of_array("a map of mm.faraday.rotation_measure, or P of mm.faraday.polarization,")
def write_fits(
    data: xr.DataArray,
    out: str | os.PathLike[str],
    *,
    pixel: Number | None = None,
    distance: Number | None = None,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Write a map as ``RM.fits``, or polarization as the cubes ``Q.fits``, ``U.fits`` and ``frequencies.txt`` [Hz].

    The header has a tangential projection, east to the left unless the box is seen from behind; frequencies, which
    are not even, ascend along the third axis and are listed in the text file, as RM-Tools wants them.

    Parameters
    ----------
    data : xarray.DataArray
        From :func:`rotation_measure` or :func:`polarization`, without ``time``, with its attrs; computed here.
    out : path
        Made where it is not there.
    pixel : astropy Quantity, optional
        Angle that a cell of the map's first axis covers.
    distance : astropy Quantity, optional
        Angular-diameter distance of the source, from which that angle follows where the map's unit of length is known.
    overwrite : bool

    Returns
    -------
    dict
        Paths by name.

    Raises
    ------
    ArgumentError, SnapshotError
        If the data are neither, both or none of pixel and distance are given, the pixel is no angle, or a file is there
        and is not to be overwritten.
    """
    from astropy.io import fits

    cube = "wavelength_sq" in getattr(data, "dims", ())
    require_kind(data, "c", "complex P over wavelength_sq") if cube else require_map(data)
    dims = [str(d) for d in data.dims if d in ("x", "y", "z")]
    if len(dims) != 2 or data.ndim != 2 + cube:
        raise SnapshotError(f"a map, with or without wavelength_sq, is needed; this has dims {data.dims}")
    if (pixel is None) == (distance is None):
        raise ArgumentError(f"pixel={pixel}, distance={distance}: one of the two is needed, an angle or how far it is")
    if pixel is None:
        size = pixel_at(distance, data, dims[0], axis_spacing(data, dims[0]))
    else:
        size = number_in(pixel, "pixel", "deg", 0.0)
    if size == 0:
        raise ArgumentError(f"pixel={pixel}: an angle above 0 is needed")
    up, left = str(data.attrs.get("north", "")), str(data.attrs.get("east", ""))
    if {up[1:], left[1:]} != set(dims):
        raise SnapshotError(f"attrs say that {up or 'no axis'} is north and {left or 'none'} east of a map over {dims}")
    north, west = up[1:], left[1:]  # the axes; as a rule the other one runs west
    widths = {d: axis_spacing(data, d) for d in (north, west)}
    scale = {d: size * widths[d] / widths[dims[0]] for d in widths}
    header = fits.Header()
    if cube:
        data = data.sortby("wavelength_sq", ascending=False)
    values = data.transpose(*(["wavelength_sq"] if cube else []), north, west).values
    signs = {d: -1 if name[0] == "-" else 1 for d, name in ((north, up), (west, left))}
    axes = [("RA---TAN", signs[west] * scale[west], west), ("DEC--TAN", signs[north] * scale[north], north)]
    for i, (kind, step, dim) in enumerate(axes, 1):
        header[f"CTYPE{i}"], header[f"CUNIT{i}"] = kind, "deg"
        header[f"CRPIX{i}"], header[f"CRVAL{i}"], header[f"CDELT{i}"] = (data.sizes[dim] + 1) / 2, 0.0, step
    header["RADESYS"], header["EQUINOX"], header["ORIGIN"] = "ICRS", 2000.0, "mmfields"
    written, tables = {}, {}
    if cube:
        frequency = LIGHT_SPEED / np.sqrt(wavelengths_of(data["wavelength_sq"]))
        header["CTYPE3"], header["CUNIT3"], header["CRPIX3"], header["CRVAL3"] = "FREQ", "Hz", 1.0, frequency[0]
        step = float(frequency[-1] - frequency[0]) / max(1, len(frequency) - 1)
        header["CDELT3"] = step or 1.0  # of a single channel no width is known, and 0 is not allowed
        header["BUNIT"] = "1"
        tables = {"Q": values.real, "U": values.imag}
        written["frequencies"] = local_folder(out) / "frequencies.txt"
    else:
        header["BUNIT"] = "rad/m2"
        tables = {"RM": values}
    out = local_folder(out)
    for name in tables:
        written[name] = out / f"{name}.fits"
    if not overwrite and (there := [str(p) for p in written.values() if p.exists()]):
        raise SnapshotError(f"{there} are there already: give overwrite=True, or another folder")
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        fits.PrimaryHDU(np.asarray(table, np.float32), header).writeto(written[name], overwrite=overwrite)
    if cube:
        np.savetxt(written["frequencies"], frequency)
    return written


@of_array("P of mm.faraday.polarization, complex Q + iU,")
def rm_synthesis(pol: xr.DataArray, *, noise: float) -> dict[str, Any]:
    """Rotation-measure synthesis of one line of sight by RM-Tools.

    Parameters
    ----------
    pol : xarray.DataArray
        Complex, over ``wavelength_sq``; computed here.
    noise : float
        Standard deviation of Q and U.

    Returns
    -------
    dict
        What RM-Tools found, such as ``phiPeakPIfit_rm2`` [rad/m²] with its error ``dPhiPeakPIfit_rm2``.

    Raises
    ------
    ArgumentError, SnapshotError
        If P has other dims, is not complex or not finite, the noise is not positive, or RM-Tools is not installed.
    """
    require_kind(pol, "c", "P of mm.faraday.polarization, complex Q + iU,")
    if require_number(noise, "noise") <= 0:
        raise ArgumentError(f"noise={noise!r}: a positive number is needed")
    if pol.dims != ("wavelength_sq",):
        raise SnapshotError(f"one line of sight over wavelength_sq is needed, this has dims {pol.dims}: select it")
    try:
        from RMtools_1D.do_RMsynth_1D import run_rmsynth
    except ImportError as error:
        raise SnapshotError(f"RM-Tools is not installed ({error}): pip install RM-Tools") from error
    pol = pol.sortby("wavelength_sq", ascending=False)
    require_finite(pol.values, "P", "the synthesis needs all wavelengths")
    frequency = LIGHT_SPEED / np.sqrt(wavelengths_of(pol["wavelength_sq"]))
    one = np.full(len(frequency), noise)
    data = [frequency, pol.values.real, pol.values.imag, one, one]
    found, _ = run_rmsynth(data, verbose=False, showPlots=False)
    return dict(found)

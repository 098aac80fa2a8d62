"""Statistics of rotation-measure maps, and the random walk that makes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields import spectra
from mmfields.conventions import (
    SnapshotError,
    components,
    require_number,
    require_whole,
    spacing,
    spatial_dims,
    unit_attrs,
)
from mmfields.faraday.depth import rotation_measure
from mmfields.faraday.sight import RM_CONSTANT, columns_of
from mmfields.faraday.units import number_in, quantity, redshift_factor
from mmfields.provenance import verb


@verb
def statistics(rm: xr.DataArray, *, bins: int = 60) -> xr.Dataset:
    """Scatter, distribution and structure function of a rotation-measure map.

    Parameters
    ----------
    rm : xarray.DataArray
        From :func:`rotation_measure`; lazy where it is.
    bins : int
        Of the distribution, from -5 to 5 standard deviations.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``sigma`` [rad/m²], ``skewness``, ``kurtosis``; ``pdf`` of (RM - mean)/sigma over ``deviation``; and
        over the lag ``s``, in the map's length unit, the structure function ``D`` = ⟨[RM(x) - RM(x+s)]²⟩ averaged over
        all directions and wrapping around (2 sigma² at lags where nothing is alike).  For the power spectrum of the
        map use ``mm.spectra.power(rm.to_dataset().assign_attrs(rm.attrs), ["rotation_measure"])``.

    Raises
    ------
    SnapshotError
        If it is no map of at least four pixels.
    """
    require_whole(bins, "bins", 2)
    if not isinstance(rm, xr.DataArray) or rm.dtype.kind not in "fiu":
        found = f"{rm.dtype} {rm.name!r}" if isinstance(rm, xr.DataArray) else type(rm).__name__
        raise SnapshotError(f"a map of real numbers from mm.faraday.rotation_measure is needed, not {found}")
    dims = spatial_dims(rm)
    if int(np.prod([rm.sizes[d] for d in dims])) < 4:
        raise SnapshotError("a map of at least four pixels is needed")
    widths = [spacing(rm)[d] for d in dims]
    reach = min(rm.sizes[d] * w for d, w in zip(dims, widths, strict=True)) / 2
    lags = (np.arange(max(2, int(reach / min(widths)))) + 0.5) * min(widths)
    moments, pdf, structure = xr.apply_ufunc(
        _statistics,
        rm,
        input_core_dims=[list(dims)],
        output_core_dims=[["moment"], ["deviation"], ["s"]],
        kwargs={"bins": bins, "widths": tuple(widths), "step": min(widths), "lags": len(lags)},
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64] * 3,
        dask_gufunc_kwargs={
            "allow_rechunk": True,
            "output_sizes": {"moment": 4, "deviation": bins, "s": len(lags)},
        },
    )
    out = xr.Dataset()
    units = {"mean": "rad / m2", "sigma": "rad / m2", "skewness": "1", "kurtosis": "1"}
    for i, (name, unit) in enumerate(units.items()):
        out[name] = moments.isel(moment=i).assign_attrs(long_name=f"{name} of the rotation measure", units=unit)
    edges = np.linspace(-5, 5, bins + 1)
    out["pdf"] = pdf.assign_attrs(long_name="distribution of (RM - mean) / sigma", units="1")
    out["D"] = structure.assign_attrs(long_name="structure function of the rotation measure", units="rad2 / m4")
    return out.assign_coords(
        deviation=("deviation", (edges[1:] + edges[:-1]) / 2, {"long_name": "(RM - mean) / sigma", "units": "1"}),
        s=("s", lags, {**unit_attrs(rm[dims[0]]), "long_name": "separation in the sky"}),
    )


def _statistics(
    rm: np.ndarray, *, bins: int, widths: tuple[float, ...], step: float, lags: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rest = rm - rm.mean()
    sigma = float(np.sqrt((rest**2).mean()))
    flat = sigma <= 1e-13 * float(abs(rm).max())  # nothing but rounding
    sigma, scaled = (0.0, np.full_like(rest, np.nan)) if flat else (sigma, rest / sigma)
    pdf, _ = np.histogram(scaled[np.isfinite(scaled)], np.linspace(-5, 5, bins + 1))
    pdf = pdf * bins / 10 / rm.size
    power = abs(np.fft.fftn(rest)) ** 2
    correlation = np.fft.ifftn(power).real / rm.size
    square = sum(
        (np.fft.fftfreq(n, 1 / n).reshape([-1 if a == axis else 1 for a in range(rm.ndim)]) * w) ** 2
        for axis, (n, w) in enumerate(zip(rm.shape, widths, strict=True))
    )
    place = np.floor(np.sqrt(square) / step).astype(int).ravel()
    keep = (place < lags) & (square.ravel() > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(place[keep], correlation.ravel()[keep], lags) / np.bincount(place[keep], minlength=lags)
    return np.array([rm.mean(), sigma, (scaled**3).mean(), (scaled**4).mean()]), pdf, 2 * (correlation.flat[0] - mean)


@verb
def random_walk(
    *,
    density: Any,
    field: Any,
    integral_scale: Any,
    length: Any,
    of: str = "vector",
    filling: float = 1.0,
    redshift: float = 0.0,
) -> float:
    """Scatter of RM behind many field reversals, a random walk.

    For an isotropic, solenoidal field σ = 0.8119 n B_rms √(L l_c), of the whole vector with its one-sided integral
    scale; in general σ = 0.8119 n B_los √(2 L l_los), of the component along the line of sight.  The two agree, since
    B_los² is B²/3 and its longitudinal scale 1.5 l_c.

    Parameters
    ----------
    density, field, integral_scale, length : astropy Quantity
        Electron density, rms field, ∫⟨B(0)·B(r)⟩dr/B² from 0 to infinity, and the path.
    of : {"vector", "component"}
        What field and scale are those of: all of B, or its component along the line of sight.
    filling : float
        Fraction f_mm of the path that the field fills: σ goes with its root.
    redshift : float

    Returns
    -------
    float
        [rad/m²]

    Raises
    ------
    SnapshotError
        If a quantity has another unit, is negative, or the path is not many scales long.
    """
    n, b, scale, path = (
        number_in(value, name, unit, 0.0)
        for value, name, unit in (
            (density, "density", "cm-3"),
            (field, "field", "uG"),
            (integral_scale, "integral_scale", "pc"),
            (length, "length", "pc"),
        )
    )
    require_number(filling, "filling", 0.0, 1.0)
    if of not in ("vector", "component"):
        raise SnapshotError(f"of={of!r}: 'vector' or 'component' is needed")
    path *= 1 if of == "vector" else 2
    if path < 5 * scale:
        raise SnapshotError(f"a path of {path:g} pc is no random walk of scales of {scale:g} pc: it needs many of them")
    return RM_CONSTANT * n * b * float(np.sqrt(path * scale * filling)) * redshift_factor(redshift)


@verb
def compared(ds: xr.Dataset, los: Any = "z", **given: Any) -> xr.Dataset:
    """Measured scatter of a snapshot's rotation measure beside the random walk of its own field.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot; lazy where it is.
    los, density, field_unit, length_unit, redshift
        As :func:`rotation_measure`; the density may vary, and its rms stands in the law.

    Returns
    -------
    xarray.Dataset
        ``sigma`` of the map and ``sigma_law`` = 0.8119 n B_rms √(L l_c) [rad/m²]; ``B_rms`` of the fluctuations, in the
        field's unit; and their ``integral_scale`` l_c = (π/2) ∫E/k dk / ∫E dk, in the length unit.  Along an axis of a
        periodic box the map sees only modes that do not vary along it, which is what the law counts.

    Raises
    ------
    SnapshotError
        As :func:`rotation_measure`, or if an axis is not periodic.
    """
    if len(spatial_dims(ds)) != 3:
        raise SnapshotError(f"the law is that of three dimensions, and the snapshot has {spatial_dims(ds)}")
    rm = rotation_measure(ds, los, **given)
    columns = columns_of(ds, los, **given)
    power = spectra.power(ds, list(components(ds)))
    scale = np.pi / 2 * (power / power["k"]).sum("k") / power.sum("k")
    strength = np.sqrt(2 * (power * power["k_width"]).sum("k"))
    dims = [columns.sight.axis, *columns.dims]
    dense = 1.0
    if columns.density is not None:
        dense = np.sqrt((xr.DataArray(columns.density, dims=[*columns.lead, *dims]).astype(float) ** 2).mean(dims))
    # a cell of B = n = 1 is `depth` deep, and `path` long
    path = spacing(ds)[columns.sight.axis] / abs(columns.sight.along(columns.sight.axis))
    length = path * ds.sizes[columns.sight.axis]
    law = columns.depth / path * dense * strength * np.sqrt(length * scale)
    out = xr.Dataset(
        {
            "sigma": rm.std(list(columns.dims)),
            "sigma_law": law,
            "B_rms": strength,
            "integral_scale": scale,
        }
    ).drop_attrs()
    unit = {"sigma": {"units": "rad / m2"}, "sigma_law": {"units": "rad / m2"}}
    unit |= {"B_rms": unit_attrs(ds["Bx"]), "integral_scale": unit_attrs(ds[columns.sight.axis])}
    for name, meaning in {
        "sigma": "scatter of the rotation measure",
        "sigma_law": "that of a random walk of the same field",
        "B_rms": "rms fluctuation of the whole vector",
        "integral_scale": "integral scale of the whole vector",
    }.items():
        out[name].attrs = {"long_name": meaning, **unit[name]}
    return out


def beta_model(radius: Any, *, central: Any, core: Any, beta: float = 2 / 3) -> Any:
    """Electron density n0 (1 + r²/r_c²)^(-3 beta/2) of a cluster.

    Parameters
    ----------
    radius, core : astropy Quantity
    central : astropy Quantity
        Density at the centre.
    beta : float

    Returns
    -------
    astropy Quantity
        In the unit of `central`.

    Raises
    ------
    SnapshotError
        If a number is not positive.
    """
    require_number(beta, "beta", 1e-6, 10.0)
    r, c = quantity(radius, "radius"), quantity(core, "core")
    if number_in(core, "core", r.unit, 0.0) == 0:
        raise SnapshotError(f"core={core}: a positive length is needed")
    return quantity(central, "central") * (1 + (r / c).to_value("") ** 2) ** (-1.5 * beta)


@verb
def expected_angles(
    *,
    density: Any,
    field: Any,
    integral_scale: Any,
    length: Any,
    of: str = "vector",
    bands: Sequence[str] = ("lofar-hba", "meerkat-l", "vla-l", "vla-s", "vla-c", "vla-x"),
    filling: float = 1.0,
    relative_error: float = 0.0,
    redshift: float = 0.0,
) -> xr.Dataset:
    """Rotation of polarization angles that a random walk gives, and the depolarization, in named bands.

    Parameters
    ----------
    density, field, integral_scale, length, of, filling, redshift
        As :func:`random_walk`.  A profile of density (an array, as of :func:`beta_model`) stands for equal parts
        of the path.
    bands : sequence of str
        See :func:`band`; at the lower and the upper limit of each.
    relative_error : float
        Of σ, passed on to the angles.

    Returns
    -------
    xarray.Dataset
        Over ``band`` and ``edge`` (low, high frequency): ``frequency`` [Hz], ``angle`` = σλ² [deg], ``angle_error``,
        and ``depolarization`` 1 - exp(-2σ²λ⁴); ``sigma`` [rad/m²].

    Raises
    ------
    SnapshotError
        As :func:`random_walk`, or if there is no such band.
    """
    from mmfields.faraday.polarized import BANDS, LIGHT_SPEED

    require_number(relative_error, "relative_error", 0.0)
    if isinstance(bands, str) or not bands or (bad := [b for b in bands if b not in BANDS]):
        wrong = repr(bands) if isinstance(bands, str) or not bands else bad
        raise SnapshotError(f"bands: a list of names is needed, not {wrong}; there are {', '.join(BANDS)}")
    parts = np.atleast_1d(quantity(density, "density"))
    if not (parts.value >= 0).all():
        raise SnapshotError(f"density={density}: no number below 0 is an electron density")
    mean_square = np.sqrt((parts**2).mean())
    options = {"field": field, "integral_scale": integral_scale, "length": length, "of": of, "filling": filling}
    sigma = random_walk(density=mean_square, redshift=redshift, **options)
    frequency = np.array([BANDS[b] for b in bands])
    wave = (LIGHT_SPEED / frequency) ** 2
    angle = np.degrees(sigma * wave)
    lost = -np.expm1(-2 * (sigma * wave) ** 2)
    dims = ("band", "edge")
    return xr.Dataset(
        {
            "frequency": (dims, frequency, {"units": "Hz", "long_name": "frequency"}),
            "angle": (dims, angle, {"units": "deg", "long_name": "scatter of polarization angles"}),
            "angle_error": (dims, angle * relative_error, {"units": "deg", "long_name": "error of the angle"}),
            "depolarization": (dims, lost, {"units": "1", "long_name": "depolarization"}),
            "sigma": ((), sigma, {"units": "rad / m2", "long_name": "scatter of the rotation measure"}),
        },
        {"band": list(bands), "edge": ["low", "high"]},
    )

"""Statistics of rotation-measure maps, and the random walk that makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from mmfields import spectra
from mmfields._renamed import renamed
from mmfields._types import Density, Number, Numbers
from mmfields.conventions import components, of_array, require_number, require_whole, spacing, spatial_dims, unit_attrs
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.faraday.depth import rotation_measure
from mmfields.faraday.line_of_sight import RM_CONSTANT, columns_of, require_map
from mmfields.faraday.units import number_in, redshift_factor
from mmfields.provenance import verb
from mmfields.units import as_quantity

if TYPE_CHECKING:
    from astropy.units import Quantity


@verb
@of_array("a map of mm.faraday.rotation_measure")
def statistics(rm: xr.DataArray, *, bins: int = 60) -> xr.Dataset:
    """Scatter, distribution and structure function of a rotation-measure map.

    Pairs of pixels wrap around along an axis whose ``attrs`` say that it is periodic, as maps of
    :func:`rotation_measure` do; along any other only pairs inside the map count.  Pixels that are not finite, such as
    blanked ones, are left out, and ``pixels`` says how many were not.

    Parameters
    ----------
    rm : xarray.DataArray
        From :func:`rotation_measure`; lazy where it is.  Over one or two axes, and others such as ``time``, map by map.
    bins : int
        Of the distribution, from -5 to 5 standard deviations.

    Returns
    -------
    xarray.Dataset
        ``mean`` and ``sigma`` (of the map itself, not of a larger sky) [rad/m²], ``skewness`` and ``kurtosis`` (3 of a
        Gaussian), the number of ``pixels``; ``pdf`` of (RM - mean)/sigma over ``deviation``, whose integral is the
        part of the pixels within five sigma; all three of the shape are NaN where the map is constant.

        Over the lag ``s``, in the map's length unit, the structure function ``D`` = ⟨[RM(x) - RM(x+s)]²⟩ averaged over
        all directions (2 sigma² at lags where nothing is alike).  Bin i holds the lags from i cells to less than
        i + 1, of the smaller cells, and ``s`` is their mean, every lag with as many pairs as the whole map has of it;
        the first is the lag 0 alone, where D is 0.  They end at half the shorter side of the map.  For the power
        spectrum of the map use ``mm.spectra.power(rm.to_dataset().assign_attrs(rm.attrs), ["rotation_measure"])``.

    Raises
    ------
    ArgumentError, SnapshotError
        If it is no map of at least four pixels of real numbers in rad/m²; when computed, if fewer are finite.
    """
    require_whole(bins, "bins", 2)
    dims = spatial_dims(require_map(rm))
    if len(dims) > 2 or int(np.prod([rm.sizes[d] for d in dims])) < 4:
        raise SnapshotError(f"a map of at least four pixels is needed, and {rm.name} has {dict(rm.sizes)}")
    wrap = tuple(rm.attrs.get(f"boundary_{d}") == "periodic" for d in dims)
    lags = _Lags(tuple(rm.sizes[d] for d in dims), tuple(spacing(rm)[d] for d in dims), wrap)
    moments, pdf, structure = xr.apply_ufunc(
        _statistics,
        rm,
        input_core_dims=[list(dims)],
        output_core_dims=[["moment"], ["deviation"], ["s"]],
        kwargs={"bins": bins, "lags": lags},
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64] * 3,
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"moment": 5, "deviation": bins, "s": lags.number}},
    )
    out = xr.Dataset()
    units = {"mean": "rad / m2", "sigma": "rad / m2", "skewness": "1", "kurtosis": "1"}
    for i, (name, unit) in enumerate(units.items()):
        out[name] = moments.isel(moment=i).assign_attrs(long_name=f"{name} of the rotation measure", units=unit)
    out["pixels"] = moments.isel(moment=4).assign_attrs(long_name="pixels that are finite", units="1")
    edges = np.linspace(-5, 5, bins + 1)
    out["pdf"] = pdf.assign_attrs(long_name="distribution of (RM - mean) / sigma", units="1")
    out["D"] = structure.assign_attrs(long_name="structure function of the rotation measure", units="rad2 / m4")
    return out.assign_coords(
        deviation=("deviation", (edges[1:] + edges[:-1]) / 2, {"long_name": "(RM - mean) / sigma", "units": "1"}),
        s=("s", lags.means(), {**unit_attrs(rm[dims[0]]), "long_name": "separation in the sky"}),
    )


@dataclass(frozen=True)
class _Lags:
    """Lags between the pixels of a map, in bins one of the smaller cells wide.

    Parameters
    ----------
    shape, widths : tuples
        Of the map, and of its cells.
    wrap : tuple of bool
        Whether an axis wraps around; along one that does not the map is padded with as many empty pixels.
    """

    shape: tuple[int, ...]
    widths: tuple[float, ...]
    wrap: tuple[bool, ...]

    @property
    def padded(self) -> tuple[int, ...]:
        return tuple(n if wraps else 2 * n for n, wraps in zip(self.shape, self.wrap, strict=True))

    @property
    def number(self) -> int:
        sides = [n * w for n, w in zip(self.shape, self.widths, strict=True)]
        return max(2, int(min(sides) / 2 / min(self.widths) * (1 + 1e-9)))

    def cells(self) -> np.ndarray:
        """Length of every lag in cells of the smaller kind, of the shape of the padded map."""
        parts = [
            (np.fft.fftfreq(n, 1 / n) * (w / min(self.widths))) ** 2
            for n, w in zip(self.padded, self.widths, strict=True)
        ]
        return np.sqrt(sum(np.meshgrid(*parts, indexing="ij")))

    def pairs(self) -> np.ndarray:
        """How many pairs of pixels the whole map has at every lag."""
        parts = [
            np.full(n, n) if wraps else np.maximum(n - abs(np.fft.fftfreq(2 * n, 0.5 / n)), 0)
            for n, wraps in zip(self.shape, self.wrap, strict=True)
        ]
        return np.prod(np.meshgrid(*parts, indexing="ij"), axis=0)

    def means(self) -> np.ndarray:
        """Mean lag of each bin, in the unit of the map."""
        return self.averaged(self.cells(), self.pairs()) * min(self.widths)

    def averaged(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Mean of what belongs to a lag over each bin; NaN where none has a weight."""
        place = np.floor(self.cells() * (1 + 1e-9)).astype(int).ravel()
        keep = (place < self.number) & (weights.ravel() > 0)
        total, weight = (np.bincount(place[keep], v.ravel()[keep], self.number) for v in (values * weights, weights))
        return np.divide(total, weight, out=np.full(self.number, np.nan), where=weight > 0)


def _statistics(rm: np.ndarray, *, bins: int, lags: _Lags) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Moments, distribution and structure function of one map."""
    there = np.isfinite(rm)
    if (number := int(there.sum())) < 4:
        raise SnapshotError(f"{number} of the {rm.size} pixels of a map are finite: at least four are needed")
    values = rm[there].astype(np.float64)
    mean = values.mean()
    largest = float(abs(values - mean).max())
    if largest <= 1e-13 * float(abs(values).max()):  # a constant map, but for rounding
        return np.array([mean, 0.0, np.nan, np.nan, number]), np.full(bins, np.nan), np.zeros(lags.number)
    rest = np.where(there, rm - mean, 0.0) / largest
    sigma = np.sqrt((rest**2).sum() / number)
    scaled = rest[there] / sigma
    pdf, _ = np.histogram(scaled, np.linspace(-5, 5, bins + 1))
    moments = [mean, sigma * largest, (scaled**3).mean(), (scaled**4).mean(), number]
    return np.array(moments), pdf * bins / 10 / number, _structure(rest, there, lags) * largest**2


def _structure(rest: np.ndarray, there: np.ndarray, lags: _Lags) -> np.ndarray:
    """Mean square difference of the pairs at each lag, from three correlations."""
    axes = range(rest.ndim)
    count, square, field = (np.fft.fftn(part, lags.padded, axes) for part in (there.astype(float), rest**2, rest))
    pairs, sums = (
        np.fft.ifftn(p).real for p in (abs(count) ** 2, 2 * (square * count.conj()).real - 2 * abs(field) ** 2)
    )
    known = pairs > 0.5
    mean = np.divide(sums, np.rint(pairs), out=np.zeros_like(sums), where=known)
    mean.flat[0] = 0.0
    return lags.averaged(np.maximum(mean, 0.0), np.where(known, lags.pairs(), 0.0))


@renamed(filling="filling_fraction")
@verb
def random_walk(
    *,
    density: Density,
    field: Number,
    integral_scale: Number,
    length: Number,
    of: Literal["vector", "component"] = "vector",
    filling_fraction: float = 1.0,
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
    filling_fraction : float
        Fraction f_mm of the path that the field fills: σ goes with its root.
    redshift : float

    Returns
    -------
    float
        [rad/m²]

    Raises
    ------
    ArgumentError
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
    require_number(filling_fraction, "filling_fraction", 0.0, 1.0)
    if of not in ("vector", "component"):
        raise ArgumentError(f"of={of!r}: 'vector' or 'component' is needed")
    path *= 1 if of == "vector" else 2
    if path < 5 * scale:
        raise ArgumentError(f"a path of {path:g} pc is no random walk of scales of {scale:g} pc: it needs many of them")
    return RM_CONSTANT * n * b * float(np.sqrt(path * scale * filling_fraction)) * redshift_factor(redshift)


@verb
def compare_to_random_walk(ds: xr.Dataset, los: str | Sequence[float] = "z", **given: Any) -> xr.Dataset:
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
        periodic box the map sees only modes that do not vary along it, which is what the law counts.  NaN where the
        density is not finite.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`rotation_measure`, or if the snapshot has not three axes, all of them periodic; when computed, if the
        field is not finite.
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
        number = xr.DataArray(columns.density, dims=[*columns.lead, *dims])
        dense = np.sqrt((number.astype(float) ** 2).mean(dims, skipna=False))
    # a cell with B = n = 1 has this `depth`, and the path through it this length
    path = spacing(ds)[columns.sight.axis] / abs(columns.sight.along(columns.sight.axis))
    length = path * ds.sizes[columns.sight.axis]
    law = columns.depth / path * dense * strength * np.sqrt(length * scale)
    out = xr.Dataset(
        {
            "sigma": rm.std(list(columns.dims), skipna=False),
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


def beta_model(radius: Numbers, *, central: Number, core: Number, beta: float = 2 / 3) -> "Quantity":
    """Electron density n0 (1 + r²/r_c²)^(-3 beta/2) of a cluster.

    Parameters
    ----------
    radius, core : astropy Quantity
        Distances from the centre, and r_c.
    central : astropy Quantity
        Density n0 at the centre.
    beta : float

    Returns
    -------
    astropy Quantity
        In the unit of `central`.

    Raises
    ------
    ArgumentError
        If `core` or `beta` (up to 10) is not positive, a radius or `central` is below 0 or not finite, or units differ.
    """
    require_number(beta, "beta", 1e-6, 10.0)
    r, n0 = as_quantity(radius, "radius"), as_quantity(central, "central")
    number_in(central, "central", n0.unit, 0.0)
    if not (np.isfinite(r.value) & (r.value >= 0)).all():
        raise ArgumentError(f"radius={radius}: finite distances from 0 on are needed")
    if (size := number_in(core, "core", r.unit, 0.0)) == 0:
        raise ArgumentError(f"core={core}: a positive length is needed")
    return n0 * (1 + (r.value / size) ** 2) ** (-1.5 * beta)


@renamed(filling="filling_fraction")
@verb
def expected_angles(
    *,
    density: Density,
    field: Number,
    integral_scale: Number,
    length: Number,
    of: str = "vector",
    bands: Sequence[str] = ("lofar-hba", "meerkat-l", "vla-l", "vla-s", "vla-c", "vla-x"),
    filling_fraction: float = 1.0,
    relative_error: float = 0.0,
    redshift: float = 0.0,
) -> xr.Dataset:
    """Rotation of polarization angles that a random walk gives, and the depolarization, in named bands.

    Parameters
    ----------
    density, field, integral_scale, length, of, filling_fraction, redshift
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
    ArgumentError
        As :func:`random_walk`, or if there is no such band.
    """
    from mmfields.faraday.bands import BANDS
    from mmfields.faraday.observing import LIGHT_SPEED

    require_number(relative_error, "relative_error", 0.0)
    if isinstance(bands, str) or not bands or (bad := [b for b in bands if b not in BANDS]):
        wrong = repr(bands) if isinstance(bands, str) or not bands else bad
        raise ArgumentError(f"bands: a list of names is needed, not {wrong}; there are {', '.join(BANDS)}")
    parts = np.atleast_1d(as_quantity(density, "density"))
    if not (parts.value >= 0).all():
        raise ArgumentError(f"density={density}: no number below 0 is an electron density")
    mean_square = np.sqrt((parts**2).mean())
    options: dict[str, Any] = {
        "field": field,
        "integral_scale": integral_scale,
        "length": length,
        "of": of,
        "filling_fraction": filling_fraction,
    }
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

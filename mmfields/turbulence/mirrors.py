"""Micromirrors: fields of their shape, patches of them, and layered media."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike

from mmfields import fourier
from mmfields._renamed import renamed
from mmfields._types import Chunks
from mmfields.conventions import SPATIAL, components, require_number, require_periodic, require_whole
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.io import from_arrays
from mmfields.provenance import verb
from mmfields.turbulence.density import Density, chunks_of, real_kind, sizes_of, widths_of
from mmfields.turbulence.gauss import realized
from mmfields.turbulence.shapes import PowerLaw

SIGNS = ("both", "peaks", "holes")


@dataclass(frozen=True)
class _Mirrors:
    """E(k_par, k_perp) of the bottles of :func:`micromirrors`."""

    parallel: float
    across: float

    def __call__(self, k_par: np.ndarray, k_perp: np.ndarray) -> np.ndarray:
        shape = np.exp(-((k_perp * self.across) ** 2) - (k_par * self.parallel) ** 2)
        return k_perp**3 * (k_perp**2 + k_par**2) * shape


@verb
def micromirrors(
    shape: int | Sequence[int] | Mapping[str, int],
    *,
    l_par: float,
    l_perp: float,
    rms: float,
    kind: Literal["modes", "bottles"] = "modes",
    bottles: int | None = None,
    sign: Literal["both", "peaks", "holes"] = "both",
    skewness: float | None = None,
    spacing: float | Mapping[str, float] = 1.0,
    seed: int,
    chunks: Chunks = None,
    dtype: DTypeLike = np.float64,
    units: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Periodic snapshot of micromirrors on a mean field of 1 along x.

    They are bottles, or waves of the same spectrum with random phases.  A bottle has the vector potential
    A_φ = a ρ exp(-ρ²/2l_⊥² - x²/2l_∥²) about x, so that δB_x = a (2 - ρ²/l_⊥²) e and δB_ρ = (a ρ x/l_∥²) e: poloidal,
    without net flux, δB_⊥²/δB_∥² = l_⊥²/4l_∥², ⟨k_⊥²⟩ = 3/l_⊥², ⟨k_∥²⟩ = 1/2l_∥² of δB_∥, whose integral scales are
    0.6647 l_⊥ and √π l_∥.

    Parameters
    ----------
    shape : int, sequence or mapping
        Three axes; as :func:`gaussian`.
    l_par, l_perp : float
        Widths of a bottle along and across x, in the length unit.
    rms : float
        δB_rms/B0 of all three components: averaged over realizations.
    kind : {"modes", "bottles"}
    bottles : int, optional
        Their number, placed independently; as many as fill a third of the box by default.
    sign : {"both", "peaks", "holes"}
        Of bottles: half of them each, at random places, or all of them stronger or weaker than the mean, with a
        skewness of that sign.
    skewness : float, optional
        Instead of a sign: of δB_x, averaged over realizations, by the share of bottles that are peaks.  Few bottles can
        have more of it than many.
    spacing, seed, chunks, dtype, units
        As :func:`gaussian`.

    Returns
    -------
    xarray.Dataset
        ``Bx By Bz``, free of divergence where the widths are a few cells.

    Raises
    ------
    ArgumentError, SnapshotError
        If a number is unusable, or the grid too coarse or too small for the widths.
    """
    sizes = sizes_of(shape)
    if len(sizes) != 3:
        raise ArgumentError(f"shape={shape!r}: micromirrors have three axes")
    widths = widths_of(spacing, sizes)
    if require_number(rms, "rms", 0.0, 10.0) == 0:
        raise ArgumentError("rms=0: a positive strength is needed")
    scales = {d: require_number(l_par if d == "x" else l_perp, "l_par" if d == "x" else "l_perp") for d in sizes}
    for d, scale in scales.items():
        if not 1.5 * widths[d] <= scale <= sizes[d] * widths[d] / 16:
            raise ArgumentError(
                f"a width of {scale:g} along {d} is not from 1.5 cells, {1.5 * widths[d]:g}, to a 16th of the box, "
                f"{sizes[d] * widths[d] / 16:g}: take smaller cells or a larger box"
            )
    if kind not in ("modes", "bottles") or sign not in SIGNS:
        raise ArgumentError(f"kind={kind!r}, sign={sign!r}: 'modes' or 'bottles', and one of {', '.join(SIGNS)}")
    if kind == "modes" and (bottles is not None or sign != "both" or skewness is not None):
        raise ArgumentError("bottles, sign and skewness are those of kind='bottles'; modes have random phases")
    if sign != "both" and skewness is not None:
        raise ArgumentError(f"sign={sign!r} and skewness={skewness!r}: give one of them")
    options: dict[str, Any] = {"seed": seed, "chunks": chunks, "dtype": dtype}
    if kind == "modes":
        band = (min(2 * np.pi / (n * widths[d]) for d, n in sizes.items()), np.sqrt(3) * np.pi / min(widths.values()))
        density = Density(PowerLaw(0.0), _Mirrors(float(l_par), float(l_perp)), *band, 3)
        unit = np.eye(3)[0]
        fields = realized(sizes, widths, density, rms=rms, mean=unit, direction=unit, form="poloidal", **options)
    else:
        fields = _bottles(sizes, widths, float(l_par), float(l_perp), float(rms), bottles, sign, skewness, **options)
    notes = {"code": "mmfields", "seed": int(seed), "rms": float(rms), "l_par": float(l_par), "l_perp": float(l_perp)}
    parts: dict[str, Any] = dict(zip(("Bx", "By", "Bz"), fields, strict=True))
    return from_arrays(**parts, spacing=widths, dims=tuple(sizes), units=units, kind=kind, **notes)


def _bottles(
    sizes: Mapping[str, int],
    widths: Mapping[str, float],
    parallel: float,
    across: float,
    rms: float,
    bottles: int | None,
    sign: str,
    skewness: float | None,
    *,
    seed: int,
    chunks: Any,
    dtype: Any,
) -> list[Any]:
    """Components of a mean field of 1 and bottles at random places."""
    lengths = np.array([sizes[d] * widths[d] for d in SPATIAL])
    own = 2 * np.pi**1.5 * across**2 * parallel
    volume = float(np.prod(lengths))
    count = require_whole(max(1, round(volume / own / 3)) if bottles is None else bottles, "bottles", 1)
    random = np.random.default_rng([require_whole(seed, "seed", 0), 13])
    centres = random.random((count, 3)) * lengths
    share = {"both": 0.5, "peaks": 1.0, "holes": 0.0}[sign]
    if skewness is not None:
        most = _skewness_of_peaks(count, own / volume)
        share = 0.5 + 0.5 * require_number(skewness, "skewness") / most
        if not 0 <= share <= 1:
            raise ArgumentError(
                f"skewness={skewness:g}: {count} bottles in this box have from -{most:.3g} to {most:.3g}; take fewer"
            )
    turn = random.permutation(np.where(np.arange(count) < round(share * count), 1.0, -1.0))
    # ∫δB² of one bottle is a² times its own volume times the share of all components in that of the first
    size = rms * np.sqrt(volume / (count * own * (1 + across**2 / (4 * parallel**2))))
    options = {
        "dims": tuple(sizes), "period": lengths, "centres": centres, "amplitudes": turn * size,
        "parallel": parallel, "across": across, "kind": real_kind(dtype),
    }  # fmt: skip
    places = [(np.arange(sizes[d]) + 0.5) * widths[d] for d in sizes]
    if chunks is None:
        return list(_bottles_of_block(*places, **options))
    import dask.array as da

    letters = "abc"
    axes = [da.from_array(p, chunks=(c,)) for p, c in zip(places, chunks_of(chunks, sizes), strict=True)]
    together = da.blockwise(
        _bottles_of_block,
        "o" + letters,
        *(item for pair in zip(axes, letters, strict=True) for item in pair),
        new_axes={"o": 3},
        dtype=options["kind"],
        meta=np.empty((0,) * 4, options["kind"]),
        **options,
    )
    return [together[i] for i in range(3)]


def _skewness_of_peaks(count: int, share: float) -> float:
    """Skewness of δB_x where all bottles are peaks: ∫δB_x³ of one over the root of (∫δB_x²)³, and of their density.

    `share` is the volume 2π^(3/2) l_perp² l_par of a bottle over that of the box.
    """
    third = np.pi * np.sqrt(2 * np.pi / 3) * (8 / 1.5 - 12 / 1.5**2 + 12 / 1.5**3 - 6 / 1.5**4)
    return float(third / (2 * np.pi**1.5) / np.sqrt(count * share))


def _bottles_of_block(*places: np.ndarray, dims: tuple[str, ...], kind: Any, **bottles: Any) -> np.ndarray:
    """(3, …) field of a block whose cells are at these places along its dims."""
    from mmfields.kernels.bottles import Bottles, add_bottles

    axes = dict(zip(dims, places, strict=True))
    fields = np.zeros((3, len(axes["z"]), len(axes["y"]), len(axes["x"])))
    fields[0] = 1.0
    add_bottles((axes["x"], axes["y"], axes["z"]), Bottles(**bottles), fields)
    order = [0, *(1 + ("z", "y", "x").index(d) for d in dims)]
    return np.ascontiguousarray(fields.transpose(order)).astype(kind)


@renamed(f_mm="filling_fraction", edge="edge_width")
@verb
def patches(
    ds: xr.Dataset, *, filling_fraction: float, size: float, edge_width: float = 0.5, seed: int, weight: str = "patch"
) -> xr.Dataset:
    """The fluctuations of a field kept in random patches that fill a fraction of the box.

    The vector potential is multiplied by a smooth mask g and its curl taken, so that the field stays free of
    divergence, as it would not if B itself were cut out.  g goes from 0 to 1 where a smooth Gaussian random
    field crosses the level above which it fills that fraction of space.  The edges carry a field of their own, ∇g × A:
    where patches are not large against the correlation length of the field, it is stronger in them than it was.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot; lazy where it is.
    filling_fraction : float
        Wanted f_mm, from 0 to 1: the mean of many realizations.
    size : float
        Correlation length of the patches' shapes, in the length unit: ⟨φφ⟩ ∝ exp(-r²/4 size²).
    edge_width : float
        Width of the edges, in standard deviations of φ: g = ½ + ½ erf((φ - level)/edge_width).  In space they are some
        √2 edge_width size wide, and less than 1.5 cells of them are refused, since they would ring.
    seed : int
    weight : str
        Name of the variable that holds g.

    Returns
    -------
    xarray.Dataset
        ``Bx By Bz``, the solenoidal fluctuations within patches, the mean field and what is not free of divergence
        everywhere; g; and ``filling_fraction``, the mean of g over the box, which is what this realization fills: with
        few patches in the box it scatters about the wanted fraction, ``attrs["filling_fraction_wanted"]``.  It is lazy
        where `ds` is, and else in ``attrs["filling_fraction"]`` too.

    Raises
    ------
    ArgumentError, SnapshotError
        If the fraction is not from 0 to 1, an axis is not periodic, or the size does not fit the box.
    """
    from scipy.special import erf, erfinv

    names = components(ds)
    if not isinstance(weight, str) or weight in ds.variables or weight in ds.dims:
        raise SnapshotError(f"weight={weight!r}: a name that the snapshot does not have yet is needed")
    grid = require_periodic(ds, "patches by a vector potential")
    ds = ds.unify_chunks()
    fraction = require_number(filling_fraction, "filling_fraction", 0.0, 1.0)
    dims, widths = grid.dims, grid.widths
    shortest, cell = min(grid.lengths), max(grid.spacing)
    if not cell <= require_number(size, "size") <= shortest / 8:
        raise SnapshotError(f"size={size:g} is not from one cell, {cell:g}, to an eighth of the box, {shortest / 8:g}")
    wide = require_number(edge_width, "edge_width", 0.0, 10.0) * np.sqrt(2) * size / cell
    if wide < 1.5:
        raise SnapshotError(
            f"edges of edge_width={edge_width:g} and size={size:g} are {wide:.2g} cells "
            "wide and would ring: 1.5 cells are needed, so take larger patches or softer edges"
        )
    lowest = min(2 * np.pi / length for length in grid.lengths)
    smooth = _Smooth(float(size), len(dims))
    density = Density(smooth, None, lowest, 2 * np.pi / min(grid.spacing), len(dims))
    sizes = dict(zip(dims, grid.shape, strict=True))
    chunks = {d: ds.chunks[d] for d in dims} if ds.chunks else None
    (values,) = realized(
        sizes, widths, density, rms=1.0, mean=np.zeros(1), seed=seed, chunks=chunks, dtype=np.float64,
        direction=np.eye(3)[0], form="scalar",
    )  # fmt: skip
    level = float(
        np.sqrt(2 + edge_width**2) * erfinv(np.clip(1 - 2 * fraction, -1, 1))
    )  # the mean of g is the fraction
    smooth = xr.DataArray(values, dims=dims, coords={d: ds[d] for d in dims})
    mask = xr.apply_ufunc(
        lambda v: 0.5 + 0.5 * erf((v - level) / edge_width), smooth, dask="parallelized", output_dtypes=[float]
    )
    potential = fourier.vector_potential(ds)
    cut = ds.assign({n: (potential[f"A{n[1:]}"] * (mask - 1)).transpose(*ds[n].dims) for n in names})
    rest = fourier.curl(cut)
    found = {}
    for n in names:
        whole = (ds[n] + rest[f"curl_{n}"]).astype(ds[n].dtype).transpose(*ds[n].dims)
        found[n] = whole.assign_attrs(ds[n].attrs)
    notes = {"units": "1", "long_name": "weight of the fluctuations, 1 within patches"}
    share = mask.mean().assign_attrs(units="1", long_name="filling fraction f_mm of this realization")
    out = ds.assign(found).assign({weight: mask.assign_attrs(notes), "filling_fraction": share})
    out.attrs = {key: value for key, value in ds.attrs.items() if key != "filling_fraction"}
    out.attrs["filling_fraction_wanted"] = fraction
    return out if share.chunks is not None else out.assign_attrs(filling_fraction=float(share))


@dataclass(frozen=True)
class _Smooth:
    """E(k) of a scalar with a Gaussian correlation."""

    size: float
    rank: int

    def __call__(self, k: np.ndarray) -> np.ndarray:
        return k ** (self.rank - 1) * np.exp(-((k * self.size) ** 2))


@renamed(f_mm="filling_fraction", order="arrangement")
@verb
def layers(
    cells: int,
    *,
    filling_fraction: float,
    size: float,
    spacing: float = 1.0,
    arrangement: Literal["random", "periodic"] = "random",
    seed: int = 0,
) -> xr.Dataset:
    """Layered medium along x: a uniform field, and layers to scatter in that fill a fraction of it.

    For ``mm.trace(..., scattering=mm.scattering.patchy(..., mask="patch"))``; without cells, by optical depth, see
    ``mm.scattering.one_dimensional``.

    Parameters
    ----------
    cells : int
    filling_fraction : float
        From 0 to 1.
    size : float
        Mean thickness of a layer, in the length unit.
    spacing : float
    arrangement : {"random", "periodic"}
        Exponentially distributed thicknesses, or all alike.
    seed : int

    Returns
    -------
    xarray.Dataset
        Over ``x``: ``Bx`` of 1, ``By`` and ``Bz`` of 0, ``patch`` of 1 in layers and else 0; its attr
        ``filling_fraction`` is what came out.

    Raises
    ------
    ArgumentError, SnapshotError
        If a number is unusable.
    """
    fraction, width = require_number(filling_fraction, "filling_fraction", 0.0, 1.0), require_number(spacing, "spacing")
    count = require_whole(cells, "cells", 2)
    if not 0 < width <= require_number(size, "size") <= count * width:
        raise ArgumentError(f"size={size!r}: from a cell, {width:g}, to the whole, {count * width:g}, is needed")
    if arrangement not in ("random", "periodic"):
        raise ArgumentError(f"arrangement={arrangement!r}: 'random' or 'periodic' is needed")
    if fraction in (0.0, 1.0):
        inside = np.full(count, fraction)
    else:
        number = int(np.ceil(4 * count * width * fraction / size)) + 8
        means = np.array([size, size * (1 - fraction) / fraction])
        random = np.random.default_rng([require_whole(seed, "seed", 0), 14])
        thick = means * (random.exponential(size=(number, 2)) if arrangement == "random" else np.ones((number, 2)))
        # exponential layers have no memory: the probability that the first one is a layer is the filling fraction
        first = int(arrangement == "random" and random.random() >= fraction)
        edges = np.cumsum(thick.ravel()[first:])
        place = np.searchsorted(edges, (np.arange(count) + 0.5) * width, side="right")
        inside = 1.0 - (place + first) % 2
    one = np.ones(count)
    ds = from_arrays(Bx=one, By=0 * one, Bz=0 * one, patch=inside, spacing={"x": width}, dims=("x",), code="mmfields")
    return ds.assign_attrs(filling_fraction=float(inside.mean()))

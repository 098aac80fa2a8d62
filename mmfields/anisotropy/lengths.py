"""Scales, strengths and shape of the fluctuations along and across the mean field."""

from collections.abc import Sequence

import xarray as xr

from mmfields.anisotropy.fluctuations import concatenated, direction_of_mean, joined, projected, vectorized
from mmfields.anisotropy.jackknife import group_sums, require_subvolumes
from mmfields.anisotropy.scale_sums import (
    Lines,
    Moments,
    factors_of,
    fine_width,
    powers_of_correlation,
    products_of,
    size_of_lines,
    spread_of,
)
from mmfields.anisotropy.scale_values import SCALES, STRENGTHS, lengths_of, values_of
from mmfields.conventions import (
    SnapshotError,
    aligned,
    components,
    mean_direction,
    spatial_dims,
    unit_attrs,
    wavenumber_attrs,
)
from mmfields.fourier.levels import level_of
from mmfields.fourier.transform import forward_modes
from mmfields.provenance import verb
from mmfields.spectra.bins import Bins, sum_modes

LENGTHS = ("l_par", "l_perp", "l_par_cutoff", "l_perp_cutoff")
WAVENUMBERS = ("k_par_rms", "k_perp_rms")
CUTOFFS = {
    "l_par_cutoff": "first zero of the correlation of dB_par along the mean field, or half the box",
    "l_perp_cutoff": "first zero of the correlation of dB_par across the mean field, or half the box",
}


@verb
def scales(
    ds: xr.Dataset, *, direction: str | Sequence[float] | None = None, density: str | None = None, subvolumes: int = 3
) -> xr.Dataset:
    """Length scales, amplitudes and shape of the fluctuations, along and across the mean field.

    Wavenumbers and integral scales are those of dB_par; across the field they are means over all directions.
    An integral scale is the integral of the correlation function R(s)/R(0) from 0 to its first zero, or to half
    the box where it has none: the full periodic integral would see k = 0 alone.  The two aspect ratios are not
    interchangeable.

    Parameters
    ----------
    ds : xarray.Dataset
        Periodic snapshot with ``Bx By Bz``; lazy where it is, and of any size where it is chunked.
    direction : str or three numbers, optional
        What parallel means; the mean field by default.
    density : str, optional
        Variable that dB_par is correlated with; ``n`` or ``rho`` by default, where there is one.
    subvolumes : int
        Per axis, for the errors, which are the larger of two: what leaving out one after the other of these parts
        of the box does (jackknife), and the scatter that a Gaussian field of this spectrum has, whose modes are
        independent.  The first alone sees what is not Gaussian; the second alone sees fluctuations as long as the
        parts.  They take up to nine transforms; 0 does without errors and them.

    Returns
    -------
    xarray.Dataset
        Scalars (per ``time`` where there are several): ``l_par``, ``l_perp``, ``k_par_rms``, ``k_perp_rms``,
        ``aspect_k``, ``aspect_l``, ``dB_par_rms``, ``dB_perp_rms``, ``dB_perp2_over_dB_par2``, ``dB_over_B0``,
        ``skewness``, ``kurtosis``, with a density ``correlation_dn``, each with its ``…_error``, one standard
        deviation (that of the scales at the given cut-off); and the cut-offs ``l_par_cutoff``, ``l_perp_cutoff``.

    Raises
    ------
    ArgumentError, SnapshotError
        If an axis is open or not uniform, or the density is missing; and when it is computed, without a mean
        field where no direction is given, or if the field is not finite.
    """
    require_subvolumes(subvolumes)
    bins, names = Bins(ds, "a length scale"), list(components(ds))
    dims, rank = bins.dims, len(bins.dims)
    fields = [ds[name] for name in (*names, *_density(ds, density))]
    given = [] if direction is None else [mean_direction(ds, direction)]
    lead, arrays, small = aligned(fields, given, dims)
    along = small[0] if given else direction_of_mean(arrays[:3], lead, rank)
    level = joined([level_of(a, rank) for a in arrays], rank)
    par = projected(arrays, level, along, rank, kept=subvolumes > 0)
    spectrum = forward_modes(par, rank, "Bx, By or Bz")
    lines = sum_modes([spectrum], along, bins, Lines(fine_width(bins)), size_of_lines(bins))
    grid = {"dims": bins.dims, "shape": bins.shape, "widths": bins.widths, "fine": fine_width(bins)}
    exact = vectorized(lengths_of, lead, [(lines, 2), (along, 1)], 6, **grid)
    moments = group_sums(
        Moments(tuple(f.name for f in fields)),
        arrays,
        [level, along],
        rank=rank,
        groups=max(subvolumes, 1),
        columns=12,
    )
    sums = [(moments, 2)]
    if subvolumes:
        factors = vectorized(factors_of, lead, [(moments, 2)], 2)
        sums += products_of(spectrum, par, concatenated([along, exact[..., 4:6]]), bins, groups=subvolumes)
        sums.append((powers_of_correlation(spectrum, par, concatenated([along, factors]), bins), 1))
        numbers = concatenated([along, exact[..., 4:6], factors])
        sums.append((spread_of(spectrum, arrays, par, numbers, bins), 2))
    count = len(SCALES) - (len(arrays) == 3)
    both = vectorized(values_of, lead, [(exact, 1), (level, 1), *sums], 2 * count, count=count)
    out = xr.Dataset(attrs={"subvolumes": subvolumes} if subvolumes else {})
    for i, (name, meaning) in enumerate(list(SCALES.items())[:count]):
        out[name] = (lead, both[..., i], {"long_name": meaning, **_unit(ds, name)})
        if subvolumes:
            notes = {"long_name": f"error of {name}", **_unit(ds, name)}
            out[f"{name}_error"] = (lead, both[..., count + i], notes)
    for i, (name, meaning) in enumerate(CUTOFFS.items()):
        out[name] = (lead, exact[..., 4 + i], {"long_name": meaning, **_unit(ds, name)})
    return out.assign_coords({d: ds[d] for d in lead if d in ds.coords})


def _unit(ds: xr.Dataset, name: str) -> dict[str, str]:
    if name in LENGTHS:
        return unit_attrs(ds[spatial_dims(ds)[0]])
    if name in WAVENUMBERS:
        return wavenumber_attrs(ds)
    return unit_attrs(ds["Bx"]) if name in STRENGTHS else {"units": "1"}


def _density(ds: xr.Dataset, name: str | None) -> list[str]:
    if name is None:
        return [n for n in ("n", "rho") if n in ds][:1]
    if not isinstance(name, str) or name not in ds or not set(spatial_dims(ds)) <= set(ds[name].dims):
        raise SnapshotError(f"no density {name!r} over {spatial_dims(ds)} among {list(ds.data_vars)}")
    return [name]

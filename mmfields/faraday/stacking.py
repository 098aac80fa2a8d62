"""From the box to the cluster: the rotation measure of many boxes in a row."""

from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields._types import Density, UnitLike
from mmfields.conventions import require_number, require_periodic, require_whole, spacing, spatial_dims
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.faraday.depth import rotation_measure
from mmfields.faraday.line_of_sight import require_finite
from mmfields.provenance import verb


@renamed(filling="filling_fraction")
@verb
def stack(
    ds: xr.Dataset,
    boxes: int,
    *,
    seed: int = 0,
    orientations: int = 12,
    shifts: Literal["independent"] = "independent",
    filling_fraction: float = 1.0,
    density: Density | None = None,
    field_unit: UnitLike | None = None,
    length_unit: UnitLike | None = None,
    redshift: float = 0.0,
) -> xr.DataArray:
    """Rotation-measure map of many copies of a box in a row, each shifted and turned on its own.

    Every copy is seen from one of so many random directions, moved by a random number of cells across, mirrored or
    not; its variance adds to that of the others.  An oblique line is longer than the box, so each map is brought to the
    path of one box: its mean, which is that of n B, in proportion to the path, and the fluctuations about it with the
    root of the path, as a random walk.  Copies that are all alike would add their amplitudes instead, and
    overrate a path of N boxes by the root of N: that is refused.  A line of sight along an axis of a periodic box
    sees only what does not vary along it; oblique ones see more, and several of them are taken.  Beyond what can be
    added up, :func:`random_walk` goes on.

    Parameters
    ----------
    ds : xarray.Dataset
        Cubic, periodic snapshot; lazy where it is.
    boxes : int
        Copies.
    seed : int
        Of directions, shifts and reflections.
    orientations : int
        Directions, isotropic.
    shifts : {"independent"}
    filling_fraction : float
        Fraction f_mm of the copies that the field fills; the others rotate nothing.
    density, field_unit, length_unit, redshift
        As :func:`rotation_measure`.

    Returns
    -------
    xarray.DataArray
        ``rotation_measure`` over the dims of a line of sight along z, in rad m⁻²; lazy where the snapshot is.

    Raises
    ------
    ArgumentError, SnapshotError
        If the copies are to be identical, the box is not cubic or not periodic, or as :func:`rotation_measure`; when
        computed, if a field or density is not finite.
    """
    if shifts != "independent":
        raise ArgumentError(
            f"shifts={shifts!r}: copies that are alike add up to N² times the variance of one, not N: 'independent'"
        )
    count, seed = require_whole(boxes, "boxes", 1), require_whole(seed, "seed", 0)
    require_number(filling_fraction, "filling_fraction", 0.0, 1.0)
    dims, widths = spatial_dims(ds), spacing(ds)
    sizes = {(ds.sizes[d], round(widths[d] / min(widths.values()), 6)) for d in dims}
    if len(dims) != 3 or len(sizes) > 1:
        raise SnapshotError(f"boxes are turned, so a cube is needed, and this has {dict(ds.sizes)} cells of {widths}")
    require_periodic(ds, "a stack of shifted boxes")
    random = np.random.default_rng([seed, 8])
    arrows = random.normal(size=(require_whole(orientations, "orientations", 1), 3))
    options: dict[str, Any] = {
        "density": density,
        "field_unit": field_unit,
        "length_unit": length_unit,
        "redshift": redshift,
    }
    arrows /= np.linalg.norm(arrows, axis=1)[:, None]
    maps = [rotation_measure(ds, tuple(a), **options) for a in arrows]
    model = rotation_measure(ds, "z", **options)
    own = list(model.dims[-2:])
    lead = [d for d in model.dims if d not in own]
    flat = [xr.DataArray(m.transpose(*lead, ...).data, dims=[*lead, *own]) for m in maps]
    total = xr.apply_ufunc(
        _add_maps,
        *flat,
        input_core_dims=[own] * len(flat),
        output_core_dims=[own],
        kwargs={"boxes": count, "seed": seed, "filling": float(filling_fraction), "parts": abs(arrows).max(axis=1)},
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    notes = {
        **model.attrs,
        "boxes": count,
        "orientations": len(maps),
        "line_of_sight": "many",
        "filling_fraction": float(filling_fraction),
    }
    return model.copy(data=total.transpose(*model.dims).data).assign_attrs(notes)


def _add_maps(*maps: np.ndarray, boxes: int, seed: int, filling: float, parts: np.ndarray) -> np.ndarray:
    """Sum of maps that are chosen, mirrored, seen from behind and shifted at random; a box is `parts` of their path."""
    for one in maps:
        require_finite(one, "a rotation measure", "every pixel of the stack would come to hold one of them")
    means = [one.mean() for one in maps]
    maps = tuple(m * p + (one - m) * np.sqrt(p) for one, m, p in zip(maps, means, parts, strict=True))
    random = np.random.default_rng([seed, 9])
    total = np.zeros(maps[0].shape)
    for _ in range(boxes):
        which, filled = int(random.integers(len(maps))), random.random() < filling
        turn, side = random.integers(0, 2, 3), random.integers(0, 2)
        moves = random.integers(0, total.shape)
        if not filled:
            continue
        own = maps[which].T if turn[2] else maps[which]
        own = own[:: 1 - 2 * int(turn[0]), :: 1 - 2 * int(turn[1])]
        total += (1 - 2 * int(side)) * np.roll(own, moves.tolist(), (0, 1))
    return total

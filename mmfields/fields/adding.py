"""Fields that add up: waves and waves, a snapshot and the turbulence below its grid, a function and waves."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from mmfields._types import Number
from mmfields.conventions import SPATIAL, box, components, require_number, spacing, spatial_dims, unit_attrs
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.fields.own import Analytic
from mmfields.fourier import Transfer, low_pass
from mmfields.particles import reference_strength
from mmfields.provenance import verb
from mmfields.turbulence import PlaneWaves
from mmfields.turbulence.moving import MOVING
from mmfields.turbulence.nested import CELLS_PER_WAVE
from mmfields.turbulence.waves import WAVE_VARIABLES
from mmfields.units import LENGTH, carried, plain

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Sum:
    """A snapshot and waves that its grid does not hold, which ``mm.trace`` and ``mm.field_lines`` take like a
    snapshot; made by :func:`sum`.

    Parameters
    ----------
    snapshot : xarray.Dataset
        With ``Bx By Bz``.
    waves : PlaneWaves
        Weighted, at rest, and without a mean field.
    join : str
        What the snapshot is taken to hold.
    """

    snapshot: xr.Dataset
    waves: PlaneWaves
    join: str

    @property
    def units(self) -> dict[str, str]:
        """Attrs with the unit of the field."""
        return unit_attrs(self.snapshot["Bx"])

    @property
    def attrs(self) -> dict[str, str]:
        """What 1 stands for, where known."""
        return carried(self.snapshot)

    def limits(self) -> dict[str, tuple[float, float]]:
        """The box of the snapshot."""
        return dict.fromkeys(SPATIAL, (0.0, 1.0)) | box(self.snapshot)

    def strength(self, kind: str) -> xr.DataArray:
        """Strength of the mean field (``mean``), or of the whole (``rms``) averaged over phases, lazily."""
        own = reference_strength(self.snapshot, kind)
        return own if kind == "mean" else (own**2 + self.waves.rms**2) ** 0.5

    def label(self) -> str:
        """How it is evaluated."""
        return f"snapshot beside {self.waves.label()}, {self.join}"


@verb
def sum(
    field: xr.Dataset | PlaneWaves | Analytic, waves: PlaneWaves, *, k_join: Number | Transfer | None = None
) -> Sum | PlaneWaves | Analytic:
    """A field and waves beside it, both evaluated at the particles.

    To a snapshot, waves add what its grid does not hold.  With g(k) what it does hold, the amplitude of each wave is
    multiplied by sqrt(1 - g²), so that the powers of both add up to the spectrum; the mean field, k = 0, is that of the
    snapshot alone.  The snapshot stays as it is: where its spectrum goes on beyond `k_join`, as that of noise does,
    take the same g(k) of it, ``mm.fields.sum(mm.fourier.filter(ds, g), waves, k_join=g)``.

    Parameters
    ----------
    field : xarray.Dataset, PlaneWaves or Analytic
        One snapshot with ``Bx By Bz``; other waves, with which they are one set of waves; or a function.
    waves : PlaneWaves
        From :func:`mmfields.turbulence.plane_waves`, in the unit of `field`, of the spectrum that the snapshot would go
        on with.  Beside a snapshot they stand still as they are at time 0.
    k_join : float, astropy Quantity or Transfer, optional
        Of a snapshot: where waves take over [rad per length unit], from half of it to three halves by half a cosine
        (``low_pass(k_join, edge="cosine", width=k_join)``); or g(k) itself, from 0 to 1, of |k| or of k_x, k_y, k_z.
        By default that of a wave of eight cells, of which linear interpolation keeps nine tenths of the power.

    Returns
    -------
    Sum, PlaneWaves or Analytic
        Of the kind of `field`.

    Raises
    ------
    ArgumentError, SnapshotError
        If these cannot be added, their units differ, or the snapshot holds all waves.

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("mhd_turbulence")
    >>> waves = mm.turbulence.plane_waves(64, k_min=20.0, k_max=500.0, rms=0.1, seed=1)
    >>> both = mm.fields.sum(ds, waves)
    >>> p = mm.particles.isotropic(2, gyroradius=0.01, seed=1, field=both)
    >>> mm.trace(both, p, step=0.1, step_unit="gyroradius", distance=0.1).sizes["path"]
    101
    """
    if not isinstance(waves, PlaneWaves):
        raise ArgumentError(f"waves={type(waves).__name__}: plane waves are needed, mm.turbulence.plane_waves(...)")
    if not isinstance(field, xr.Dataset) and k_join is not None:
        raise ArgumentError(f"k_join={k_join!r} is for a snapshot, which holds a part of the waves: leave it out")
    if isinstance(field, PlaneWaves):
        return _union(field, waves)
    if isinstance(field, Analytic):
        return _beside_function(field, waves)
    if not isinstance(field, xr.Dataset):
        raise ArgumentError(
            f"field={type(field).__name__}: a snapshot, plane waves or mm.fields.analytic(...) are needed"
        )
    names = components(field)
    if extra := [str(d) for d in field[names[0]].dims if d not in SPATIAL]:
        raise SnapshotError(f"the field has dims {extra} beside x, y, z: select one snapshot with ds.isel(...)")
    _require_one_unit(unit_attrs(field[names[0]]), waves)
    held = _held(field, k_join)
    return Sum(field, _weighted(waves, held), f"which holds {held.label}")


def _require_one_unit(units: dict[str, str], waves: PlaneWaves) -> None:
    """Refuse waves that state another unit; plain numbers are taken to be in that of the field."""
    own, other = units.get("units", "1"), waves.units.get("units", "1")
    if other not in (own, "1"):
        raise SnapshotError(f"the waves are in {other} and the field in {own}: make them in one unit")


def _held(snapshot: xr.Dataset, k_join: Any) -> Transfer:
    """Which share of amplitudes a grid holds, as a function of k."""
    if isinstance(k_join, Transfer):
        if not k_join.isotropic and k_join.of == "par_perp":
            raise ArgumentError(
                f"k_join={k_join.label} asks for a direction: take a function of |k|, such as mm.fourier.low_pass, or "
                "of='components'"
            )
        return k_join.in_lengths_of(snapshot)
    if k_join is None:
        widest = max(spacing(snapshot)[d] for d in spatial_dims(snapshot))
        k = 2 * np.pi / (CELLS_PER_WAVE * widest)
    else:
        k = require_number(plain(k_join, "k_join", snapshot, LENGTH, power=-1), "k_join", np.finfo(float).tiny)
    return low_pass(k, edge="cosine", width=k)


def _weighted(waves: PlaneWaves, held: Transfer) -> PlaneWaves:
    """Waves at rest, times what is not held; without those of which nothing is left."""
    still = waves.at_time(0.0)
    k = np.stack([still.modes[f"k{d}"].values.astype(float) for d in SPATIAL])
    share = held(np.zeros(k.shape[1]), np.linalg.norm(k, axis=0)) if held.of == "par_perp" else held(*k)
    if not ((share >= 0) & (share <= 1)).all():
        raise ArgumentError(f"k_join={held.label} is {share.min():g} to {share.max():g} at the waves: 0 to 1 is needed")
    left = np.sqrt(1 - share**2)
    if not left.any():
        raise ArgumentError(
            f"the snapshot is taken to hold all waves, up to k={np.linalg.norm(k, axis=0).max():g} ({held.label}): "
            "take shorter waves, or a smaller k_join"
        )
    scaled = {n: still.modes[n].copy(data=still.modes[n].values * left) for n in WAVE_VARIABLES[3:6]}
    table = {n: still.modes[n].variable for n in WAVE_VARIABLES}
    modes = xr.Dataset(table | {n: a.variable for n, a in scaled.items()})
    return PlaneWaves(modes.isel(mode=np.flatnonzero(left)), (0.0, 0.0, 0.0), waves.error)


def _union(one: PlaneWaves, other: PlaneWaves) -> PlaneWaves:
    """All waves of both, good to the smaller of the two errors; those that have no frequency stand still."""
    _require_one_unit(one.units, other)
    names = (*WAVE_VARIABLES, *(MOVING if one.moves or other.moves else ()))
    tables = []
    for each in (one, other):
        rest = {name: xr.zeros_like(each.modes["phase"]) for name in names if name not in each.modes}
        table = each.modes.assign(rest)[list(names)].drop_vars("mode", errors="ignore")
        tables.append(xr.Dataset(table.variables))  # without attrs, which are of one set alone
    modes = xr.concat(tables, "mode", combine_attrs="override")
    return PlaneWaves(modes, _added(one.mean_field, other.mean_field), min(one.error, other.error))


def _added(one: Vector, other: Vector) -> Vector:
    return float(one[0] + other[0]), float(one[1] + other[1]), float(one[2] + other[2])


def _beside_function(field: Analytic, waves: PlaneWaves) -> Analytic:
    if field.function.driven and waves.moves:
        raise ArgumentError(
            f"{field.function.name} gives an electric field, and waves that move have another: add waves.at_time(0.0)"
        )
    _require_one_unit(field.units, waves) if field.waves is not None else None
    mean = _added(field.mean_field, waves.mean_field)
    return replace(field, mean_field=mean, waves=waves if field.waves is None else _union(field.waves, waves))

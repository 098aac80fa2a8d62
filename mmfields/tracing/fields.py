"""What the tracing kernel takes of a field: a snapshot packed once for all tasks, or plane waves as they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from mmfields.cluster.client import client_in_force
from mmfields.conventions import (
    SPATIAL,
    ArgumentError,
    SnapshotError,
    boundaries,
    box,
    components,
    spacing,
    spatial_dims,
    unit_attrs,
)
from mmfields.identity import identity
from mmfields.kernels.setup import Interpolation, Wall
from mmfields.particles import reference_strength
from mmfields.scattering import Scattering
from mmfields.strength import PART, lazily, strengths
from mmfields.tracing.blocks import Plan, Unread, divided, marks_unread, side_for
from mmfields.tracing.evolution import Clock, require_series
from mmfields.tracing.evolving import Evolving, Moving
from mmfields.tracing.light import light_speed_of, light_speed_of_flow
from mmfields.tracing.packing import Form, marks_of, whole
from mmfields.tracing.spectral import SPECTRAL
from mmfields.tracing.task import Geometry
from mmfields.turbulence import Synthetic

# Modes per octave that scattering at the outer scale needs, and resonant scattering.
DENSE, LEAST = 400, 10
# Parts of the shortest wave, or of the smallest structure, that steps which follow gyroradii are no longer than.
PARTS = 8
# Numbers of an array in memory that are sent to a cluster at once.
PIECE = 2**19


@dataclass(frozen=True)
class Source:
    """A field for the kernel, and what trajectories remember of it.

    Parameters
    ----------
    data, electric, mask
        Delayed arrays, or small ones.
    geometry : Geometry
    interpolation : Interpolation or "spectral"
    cell : float
        The smallest side of a cell, or an eighth of the shortest wave: steps that follow gyroradii are no longer.
    walls : dict of str
        Of each spatial dim; none where the field has no walls.
    means : dict
        ``mean_Bx|y|z`` and ``B_rms``.
    length, strength : dict
        Attrs with the units of lengths and of the field.
    plan : (Plan, Form), optional
        How the field is divided, and what becomes of it; data and mask are `Unread` then.
    evolving : Evolving, optional
        When snapshots of a series are met; data are `Unread` then, and the mask too where that has a plan of blocks.
    moving : Moving, optional
        Of waves that move, or of a function.
    measure : str
        What `cell` is one of.
    """

    data: Any
    electric: Any
    mask: Any
    geometry: Geometry
    interpolation: int | str
    cell: float
    walls: dict[str, str]
    means: dict[str, xr.DataArray]
    length: dict[str, str]
    strength: dict[str, str]
    plan: tuple[Plan, Form] | None = None
    evolving: Evolving | None = None
    moving: Moving | None = None
    measure: str = "cells"


def of_synthetic(field: Synthetic, scattering: Scattering | None) -> Source:
    """A field that is evaluated at the particles, and has no walls."""
    import dask

    if scattering is not None and scattering.mask is not None:
        raise ArgumentError("a field on no grid has no cells that a mask could mark: give threshold=... instead")
    kind, parts = field.kernel_form()
    means = {f"mean_B{d}": xr.DataArray(float(m)) for d, m in zip(SPATIAL, field.mean_field, strict=True)}
    return Source(
        dask.delayed(type(field).packed)(field, dask_key_name=f"packed-{identity(field)}"),
        np.zeros(1),
        np.zeros((1, 1, 1), np.uint8),
        # as if of cells of the shortest wave, of which places must be told apart
        Geometry((parts, 1, 1), (0.0,) * 3, (field.shortest * parts, *(field.shortest,) * 2), (Wall.PERIODIC,) * 3),
        kind,
        field.shortest / PARTS,
        {},
        {**means, "B_rms": field.strength("rms")},
        {"units": "1"},
        field.units,
    )


def of_waves(field: Any, scattering: Scattering | None, moving: Moving) -> Source:
    """Plane waves that move, or stand with all that flows in them.

    Raises
    ------
    ArgumentError
        If they have no frequencies.
    """
    import dask

    if not getattr(field, "moves", False):
        raise ArgumentError(
            "evolve=... and electric='ideal' need waves with frequencies: mm.turbulence.plane_waves(..., "
            "frequency='alfven', alfven_speed=...)"
        )
    still = of_synthetic(field, scattering)
    parts, shortest = field.modes.sizes["mode"] + 1, field.shortest
    return replace(
        still,
        data=dask.delayed(type(field).in_time)(field, dask_key_name=f"in-time-{identity(field)}"),
        geometry=Geometry((parts, 1, 1), (0.0,) * 3, (shortest * parts, shortest, shortest), still.geometry.walls),
        moving=moving,
    )


def sparse(field: Synthetic, radii: np.ndarray) -> str:
    """What to say where gyroradii (in the field's rms) meet too few waves; empty where none do.

    Beyond the correlation length particles are scattered by the outer scale, which 50 modes per octave make 40 % too
    weak; below it they need waves of their own size.
    """
    scale, said = field.correlation_length(), []
    for radius in np.atleast_1d(radii).tolist():
        k = 2 * np.pi / field.longest * 2**0.5 if radius > scale else 1 / radius
        found, needed = field.modes_per_octave(k), DENSE if radius > scale else LEAST
        if found < needed:
            said.append(f"r_g={radius:.3g} meets {found:.0f} modes per octave at k={k:.3g}, of {needed} needed")
    return "; ".join(said)


def of_snapshot(
    field: xr.Dataset,
    interpolation: str,
    scattering: Scattering | None,
    light_speed: float | None,
    side: int | None,
    second: str = "E",
) -> Source:
    """A snapshot; with its electric field where the speed of light is given, or with a velocity in its place (``u``).

    In blocks of a side where that is given.
    """
    if side is not None and interpolation == SPECTRAL:
        raise ArgumentError(
            "interpolation='spectral' needs the modes of the whole field: leave block out, or use 'cubic'"
        )
    if interpolation == SPECTRAL and (bad := [d for d, kind in boundaries(field).items() if kind != "periodic"]):
        raise SnapshotError(f"interpolation='spectral' needs periodic axes, and {bad} are not: use 'cubic'")
    _require_real(field)
    if light_speed is not None and interpolation == "faces":
        raise ArgumentError("interpolation='faces' is for B alone: use 'linear' or 'cubic' with an electric field")
    vectors, lazy = _vectors(field, interpolation, light_speed, second)
    form = _form(vectors, field, interpolation, second)
    geometry, mask = _geometry(field), _mask(lazy, scattering)
    if side is None and interpolation != SPECTRAL:
        side = side_for(int(np.prod(geometry.cells)), len(vectors) * form.kind().itemsize + (mask is not None))
    if side is not None:
        _require_lazy([field[name] for name in components(field)])
        vectors = [lazily(vector) for vector in vectors]
    plan = None if side is None else _plan(geometry, side)
    parts = [_grid_order(vector) for vector in vectors]
    packed = whole(parts, mask, form) if plan is None else divided(parts, mask, form)
    return Source(*packed, geometry, *_remembered(field, lazy, interpolation), plan and (plan, form))


def of_series(
    series: xr.Dataset, clock: Clock, rule: Any, electric: str | None, light_speed: float | None, side: int | None
) -> Source:
    """Snapshots along time that are met by a clock; means are those of the first.

    Parameters
    ----------
    series : xarray.Dataset
    clock : Clock
    rule : Rule
    electric : {None, "stored", "ideal"}
    light_speed : float, optional
        In the unit of E over that of B, or of the velocity.
    side : int, optional
        Of blocks.
    """
    if rule.interpolation not in ("nearest", "linear", "cubic"):
        raise ArgumentError(
            f"interpolation={rule.interpolation!r}: 'nearest', 'linear' or 'cubic' is needed for fields that change, "
            "or for electric='ideal'"
        )
    names = [*components(series), *require_electric(series, electric)]
    for name in names:
        require_series(series, name)
    _require_real(series)
    mask_name = rule.scattering and rule.scattering.mask
    if mask_name in series and "time" in series[mask_name].dims and series.sizes["time"] > 1:
        raise SnapshotError(
            f"mask {mask_name!r} is over time: patches stay as they are while the field changes, "
            f"ds.assign({mask_name}=ds.{mask_name}.isel(time=0))"
        )
    one = series.isel(time=0, drop=True)
    lazy = one.map(lazily, keep_attrs=True)
    vectors = [lazily(series[name]) for name in names]
    if electric is not None:
        c = light_speed_of_flow(series, light_speed) if electric == "ideal" else light_speed_of(series, light_speed)
        vectors = [*vectors[:3], *(vector / c for vector in vectors[3:])]
    form = _form(vectors, one, rule.interpolation, "u" if electric == "ideal" else "E")
    geometry, mask = _geometry(one), _mask(lazy, rule.scattering)
    side = side or side_for(int(np.prod(geometry.cells)), 2 * len(names) * form.kind().itemsize + (mask is not None))
    _require_lazy([series[name] for name in names])
    return Source(
        Unread([_grid_order(vector) for vector in vectors]),
        np.zeros(1),
        marks_of(mask) if side is None else marks_unread(mask),
        geometry,
        *_remembered(one, lazy, rule.interpolation),
        evolving=Evolving(clock, form, electric == "ideal", None if side is None else _plan(geometry, side)),
    )


def _plan(geometry: Geometry, side: int) -> Plan:
    """Blocks of a side."""
    return Plan(geometry.cells[::-1], tuple(wall == Wall.PERIODIC for wall in geometry.walls[::-1]), side)


def require_electric(series: xr.Dataset, electric: str | None) -> list[str]:
    """Components of the second vector that is read.

    Raises
    ------
    SnapshotError
        If they are not there.
    """
    names = [] if electric is None else [f"{'E' if electric == 'stored' else 'u'}{d}" for d in SPATIAL]
    if missing := [name for name in names if name not in series]:
        raise SnapshotError(f"electric={electric!r} needs {', '.join(missing)}: ds.assign them")
    return names


def _require_real(field: xr.Dataset) -> None:
    if odd := [n for n in components(field) if field[n].dtype.kind not in "fiub"]:
        raise SnapshotError(f"{odd[0]} is {field[odd[0]].dtype}: real numbers are needed, .real or .astype(float)")


def _remembered(field: xr.Dataset, lazy: xr.Dataset, interpolation: str) -> tuple[Any, ...]:
    """What a source knows of a snapshot beside its numbers and its box."""
    return (
        SPECTRAL if interpolation == SPECTRAL else Interpolation[interpolation.upper()],
        min(spacing(field).values()),
        dict(boundaries(field)),
        _means(lazy),
        unit_attrs(field[spatial_dims(field)[0]]),
        unit_attrs(field[components(field)[0]]),
    )


def _vectors(
    field: xr.Dataset, interpolation: str, light_speed: float | None, second: str
) -> tuple[list[xr.DataArray], xr.Dataset]:
    """Components to be packed, those in memory as they are where nothing is to be made of them; all of it lazily."""
    part = PART if client_in_force() is None else PIECE
    lazy = field.map(lazily, args=(part,), keep_attrs=True)
    as_they_are = interpolation in ("nearest", "linear", "cubic") and client_in_force() is None
    vectors = [(field if as_they_are else lazy)[name] for name in components(field)]
    if interpolation == "faces":
        vectors = _faces(lazy)
    if light_speed is not None:
        vectors += [lazy[f"{second}{d}"] / light_speed for d in SPATIAL]
    return vectors, lazy


def _means(field: xr.Dataset) -> dict[str, xr.DataArray]:
    """``mean_Bx|y|z`` and ``B_rms``, lazily."""
    means, _ = strengths(field)
    named = {f"mean_B{d}": xr.DataArray(means[i]) for i, d in enumerate(SPATIAL)}
    return {**named, "B_rms": reference_strength(field, "rms")}


def _form(vectors: Sequence[xr.DataArray], field: xr.Dataset, interpolation: str, second: str = "E") -> Form:
    """What becomes of the components, of the magnetic field and of a second vector."""
    single = np.result_type(*(v.dtype for v in vectors)) in (np.float16, np.float32)
    kinds = boundaries(field)
    beyond = ["grid-wrap" if kinds.get(d, "periodic") == "periodic" else "mirror" for d in SPATIAL[::-1]]
    names = [f"{letter}{d}" for letter in ("B", second) for d in SPATIAL]
    return Form(
        tuple(names[: len(vectors)]),
        np.float32 if single else np.float64,
        tuple(beyond) if interpolation == "cubic" else (),
        interpolation == SPECTRAL,
    )


def _require_lazy(vectors: Sequence[xr.DataArray]) -> None:
    """Refuse fields in memory that would go to every worker."""
    size = sum(v.nbytes for v in vectors if v.chunks is None)
    if size > 16 * PIECE and client_in_force() is not None:
        raise SnapshotError(
            f"the field is in memory, {size / 1e6:.0f} MB, and would be sent to the cluster as a whole to be divided: "
            "mm.store it, and trace through mm.open_snapshot of the store"
        )


def _grid_order(array: xr.DataArray) -> Any:
    """Over (z, y, x), with one cell along an axis that is missing."""
    order = SPATIAL[::-1]
    return array.expand_dims([d for d in order if d not in array.dims]).transpose(..., *order).data


def _faces(field: xr.Dataset) -> list[xr.DataArray]:
    """Components on the lower faces of their cells, with one cell more along every axis."""
    kinds, parts = boundaries(field), []
    for d, name in zip(SPATIAL, components(field), strict=True):
        staggered = f"{name}_f" in field
        if d in kinds and not staggered:
            raise SnapshotError(f"interpolation='faces' needs {name}_f: open the file with staggered=True")
        own = field[f"{name}_f"].rename({f"{d}_f": d}) if staggered else field[name]
        own = own.drop_vars(list(own.coords))
        for axis in SPATIAL:
            n = field.sizes.get(axis, 1)
            own = own if axis in own.dims else own.expand_dims(axis)
            if own.sizes[axis] == n and axis == d and kinds.get(d, "periodic") != "periodic":
                raise SnapshotError(
                    f"{name}_f has {n} faces along {d}, which is {kinds[d]}: {n + 1} are needed, with the last"
                )
            if own.sizes[axis] == n + 1 and kinds.get(axis, "periodic") == "periodic":
                own = own.isel({axis: slice(0, n)})  # the last face is the first
            if own.sizes[axis] == n:  # across it is never read; along it a periodic axis closes
                own = xr.concat([own, own.isel({axis: slice(0, 1)})], axis)
            if own.sizes[axis] != n + 1:
                raise SnapshotError(f"{name}_f has {own.sizes[axis]} faces along {axis} for {n} cells")
        parts.append(own)
    return parts


def _mask(field: xr.Dataset, scattering: Scattering | None) -> Any:
    """Patches as bytes, a Dask array over (z, y, x); None where none are needed."""
    if scattering is None or scattering.mask is None:
        return None
    if scattering.mask not in field:
        raise SnapshotError(f"mask {scattering.mask!r} is not among {list(field.data_vars)}: ds.assign it first")
    array = _grid_order(field[scattering.mask])
    if array.shape != _grid_order(field[components(field)[0]]).shape:
        raise SnapshotError(f"mask {scattering.mask!r} has shape {array.shape}, not that of the field")
    return (array != 0).astype(np.uint8)


def _geometry(field: xr.Dataset) -> Geometry:
    """The box; an ignorable axis is one periodic cell."""
    limits, kinds = box(field), boundaries(field)
    low, high = zip(*(limits.get(d, (0.0, 1.0)) for d in SPATIAL), strict=True)
    walls = tuple(Wall[kinds.get(d, "periodic").upper()] for d in SPATIAL)
    return Geometry(tuple(int(field.sizes.get(d, 1)) for d in SPATIAL), low, high, walls)

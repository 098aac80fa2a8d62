"""What the tracing kernel takes of a user's own functions, and of a snapshot beside waves."""

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, ArgumentError, SnapshotError, spacing
from mmfields.fields import Analytic, Sum
from mmfields.identity import identity
from mmfields.kernels.setup import Interpolation, Wall
from mmfields.scattering import Scattering
from mmfields.tracing.evolution import Evolution, start_of_path
from mmfields.tracing.evolving import Moving
from mmfields.tracing.fields import PARTS, Source, of_snapshot
from mmfields.tracing.light import light_speed_of
from mmfields.tracing.rules import Rule
from mmfields.tracing.spectral import SPECTRAL
from mmfields.tracing.task import Geometry


def of_function(field: Analytic, rule: Rule, particles: xr.Dataset, evolution: Evolution | None) -> Source:
    """A function, and waves beside it, that are evaluated at the particles.

    Raises
    ------
    ArgumentError
        If it does not change in time and is to, or gives no electric field and one is to act.
    """
    name, function = field.function.name, field.function
    if rule.pusher is not None and not function.driven:
        raise ArgumentError(f"pusher={rule.pusher!r}: {name} gives no electric field, let it give Ex, Ey, Ez behind B")
    if evolution is not None and not field.moves:
        raise ArgumentError(f"evolve=...: {name} does not change in time, let it take x, y, z and time")
    if rule.scattering is not None and rule.scattering.mask is not None:
        raise ArgumentError("a field on no grid has no cells that a mask could mark: give threshold=... instead")
    start = 0.0 if evolution is None else start_of_path(particles, evolution)
    return source_of_function(field, Moving(start, evolution is None, function))


def source_of_function(field: Analytic, moving: Moving) -> Source:
    """A function, and waves beside it, for the kernel."""
    import dask

    waves, shortest = field.waves, field.shortest
    rows, parts = np.zeros(1), 1
    if waves is not None:
        rows = dask.delayed(type(waves).in_time)(waves, dask_key_name=f"in-time-{identity(waves)}")
        parts = waves.modes.sizes["mode"] + 1
    means = {f"mean_B{d}": xr.DataArray(float(m)) for d, m in zip(SPATIAL, field.mean_field, strict=True)}
    return Source(
        rows,
        np.zeros(1),
        np.zeros((1, 1, 1), np.uint8),
        # as if of cells of the smallest structure, of which places must be told apart
        Geometry((parts, 1, 1), (0.0,) * 3, (shortest * parts, shortest, shortest), (Wall.PERIODIC,) * 3),
        Interpolation.FUNCTION,
        shortest / PARTS,
        {},
        {**means, "B_rms": field.strength("rms")},
        {"units": "1"},
        field.units,
        moving=moving,
        measure="eighths of the smallest structure",
    )


def of_sum(field: Sum, rule: Rule, light_speed: float | None) -> Source:
    """A snapshot whose values are found between its cells, and waves that are added to them.

    Raises
    ------
    ArgumentError, SnapshotError
        As of a snapshot alone, or if that would be divided.
    """
    if rule.interpolation == SPECTRAL:
        raise ArgumentError("interpolation='spectral': waves are added to what is found between cells, take 'cubic'")
    c = None if rule.pusher is None else light_speed_of(field.snapshot, light_speed)
    return source_of_sum(field, rule.interpolation, rule.scattering, c)


def source_of_sum(
    field: Sum, interpolation: str, scattering: Scattering | None = None, light_speed: float | None = None
) -> Source:
    """A snapshot, with its electric field where the speed of light is given, and waves beside it, for the kernel.

    Raises
    ------
    SnapshotError
        As of a snapshot alone, or if that would be divided.
    """
    import dask

    spacing(field.snapshot)  # its axes are in one unit
    source = of_snapshot(field.snapshot, interpolation, scattering, light_speed, None)
    if source.plan is not None:
        raise SnapshotError(
            "waves are added to a snapshot that a worker can hold: give the workers more, or cut the box"
        )
    waves = field.waves
    finest = waves.shortest / PARTS
    packed = dask.delayed(type(waves).packed)(waves, dask_key_name=f"packed-{identity(waves)}")
    strength: xr.DataArray = (source.means["B_rms"] ** 2 + waves.rms**2) ** 0.5
    return replace(
        source,
        data=dask.delayed(_beside, pure=True)(source.data, packed),
        cell=min(source.cell, finest),
        measure="eighths of the shortest wave" if finest < source.cell else source.measure,
        means={**source.means, "B_rms": strength},
    )


def _beside(grid: Any, packed: tuple[Any, ...]) -> tuple[Any, ...]:
    """The numbers of a snapshot, and behind them those of waves."""
    return grid, *packed


def check_own(field: Analytic | Sum, rule: Rule, evolution: Evolution | None, options: tuple[Any, ...]) -> None:
    """Refuse what makes no sense for such a field; `options` are the speed of light, the side of blocks, and which
    electric field acts.

    Raises
    ------
    ArgumentError
        Naming the option.
    """
    light_speed, block, electric = options
    if block is not None:
        raise ArgumentError(f"block={block}: such a field is not divided, leave it out")
    if isinstance(field, Sum):
        if evolution is not None or electric == "ideal":
            raise ArgumentError(
                "evolve=... and electric='ideal' are for snapshots or waves alone: trace a snapshot beside waves at "
                "rest, with its stored electric field or none"
            )
        return
    if rule.interpolation != "linear":
        raise ArgumentError(f"interpolation={rule.interpolation!r}: a function has none, leave it out")
    if electric == "ideal":
        raise ArgumentError("electric='ideal': a function has no flow, let it give Ex, Ey, Ez over the speed of light")
    if light_speed is not None:
        raise ArgumentError(
            f"light_speed={light_speed!r}: the electric field of a function is over it already, leave it out"
        )

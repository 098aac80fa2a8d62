"""One block of field lines through one field, by the kernels, and scalars along them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mmfields.cluster.stopping import stoppable
from mmfields.conventions import SPATIAL, SnapshotError, boundaries, unit_attrs
from mmfields.kernels.setup import Interpolation, new_setup
from mmfields.strength import lazily
from mmfields.tracing.evolving import raised_here
from mmfields.tracing.packing import Form, whole
from mmfields.tracing.rounds import window_of
from mmfields.tracing.task import Geometry, Task, apart_from_grid, as_kernel_takes_it, check_places, steps_in

# Along the field and against it.
SIDES = {"forward": 1, "backward": -1}


def run_lines(field: Any, seeds: np.ndarray, *, task: Task, step: float, sign: int, function: Any = None) -> np.ndarray:
    """Seeds of any shape through a whole field, of a user's function if there is one: saved points (…, s) on one side.

    Raises
    ------
    ArgumentError, SnapshotError
        If a seed is not finite, lies outside the walls, or is too far for cells to be told apart; or if a function
        raises something, or is not finite.
    """
    from mmfields.kernels.batch import new_batch
    from mmfields.kernels.lines import POINT, Through, follow

    flat, plan = ready_lines(seeds, task), plan_of_lines(task, step)
    first, *others = (as_kernel_takes_it(a) for a in (field if isinstance(field, tuple | list) else (field,)))
    data, octaves = apart_from_grid(first, others)
    window = window_of({})
    fields = Through(data, octaves, function and (function.for_kernels(), window))
    out, setup = np.empty((flat.size, len(plan)), POINT), task.setup(first.nbytes)

    def run() -> None:
        with raised_here(function, window):
            follow(new_batch(), setup, fields, flat, plan, float(sign), out)

    stoppable(run, setup)
    return out.reshape(*seeds.shape, len(plan))


def ready_lines(seeds: np.ndarray, task: Task) -> np.ndarray:
    """Seeds of any shape one after the other, which may be followed.

    Raises
    ------
    SnapshotError
        If one is not finite, lies outside the walls, or is too far for cells to be told apart.
    """
    flat = np.ascontiguousarray(seeds).reshape(-1).copy()
    place = np.stack([flat[d] for d in SPATIAL], -1)
    if not np.isfinite(place).all():
        bad = int(np.argwhere(~np.isfinite(place))[0, 0])
        raise SnapshotError(f"seed {bad} of a block is {place[bad].tolist()}: finite numbers are needed")
    check_places(place, flat["alive"] > 0, task)
    return flat


def plan_of_lines(task: Task, step: float) -> np.ndarray:
    """Intervals as the kernels take them, each of an even number of steps."""
    from mmfields.kernels.trace import INTERVAL

    plan = np.zeros(len(task.path), INTERVAL)
    plan["length"], plan["end"], plan["save"] = task.intervals, task.path, np.arange(len(plan))
    plan["count"] = counts = 2 * steps_in(task.intervals, 2 * step)
    plan["step"] = task.intervals / np.maximum(counts, 1)
    return plan


def points_of(rows: Any, name: str, dtype: Any) -> Any:
    """One field of saved points."""
    return rows.map_blocks(_own_field, name, dtype, dtype=dtype, meta=np.empty((0,) * rows.ndim, dtype))


def _own_field(block: np.ndarray, name: str, dtype: Any) -> np.ndarray:
    return np.array(block[name], dtype, order="C")


def scalars_of(*parts: np.ndarray, kind: np.dtype) -> np.ndarray:
    """One array whose fields are these."""
    out = np.zeros(parts[0].shape, kind)
    for name, part in zip(kind.names, parts, strict=True):
        out[name] = part
    return out


@dataclass(frozen=True)
class Sampled:
    """Scalars of a snapshot at the points of lines, by the gather of the field, three at a time.

    Parameters
    ----------
    field : xarray.Dataset
    interpolation : Interpolation
        Of the lines; scalars lie at cell centres in any case.
    geometry : Geometry
    """

    field: xr.Dataset
    interpolation: int | str
    geometry: Geometry

    def along(self, lines: xr.Dataset, names: Sequence[str]) -> dict[str, xr.DataArray]:
        """Scalars over the dims of the lines."""
        kinds, cubic = boundaries(self.field), self.interpolation == Interpolation.CUBIC
        beyond = tuple(
            "grid-wrap" if kinds.get(d, "periodic") == "periodic" else "mirror" for d in SPATIAL[::-1] if cubic
        )
        result = {}
        for first in range(0, len(names), 3):
            three = (list(names[first : first + 3]) * 3)[:3]
            form = Form(tuple(three), np.float64, beyond, False)
            order = SPATIAL[::-1]
            parts = [lazily(self.field[n]) for n in three]
            parts = [p.expand_dims([d for d in order if d not in p.dims]).transpose(*order).data for p in parts]
            data, _, _ = whole(parts, None, form)
            for i, name in enumerate(names[first : first + 3]):
                notes = {**unit_attrs(self.field[name]), "long_name": self.field[name].attrs.get("long_name", name)}
                result[name] = self._one(lines, data, i).assign_attrs(notes)
        return result

    def _one(self, lines: xr.Dataset, data: Any, column: int) -> xr.DataArray:
        import dask.array as da

        axes = tuple(range(lines["x"].ndim))
        places = [da.asarray(lines[d].data) for d in SPATIAL]
        places = [p.rechunk(places[0].chunks) for p in places]
        values = da.blockwise(
            *(_sample, axes, data, None, *(item for p in places for item in (p, axes))),
            geometry=self.geometry,
            kind=Interpolation.CUBIC if self.interpolation == Interpolation.CUBIC else Interpolation.LINEAR,
            column=column,
            dtype=np.float64,
            meta=np.empty((0,) * len(axes)),
        )
        return xr.DataArray(values, dims=lines["x"].dims)


def _sample(data: Any, *places: np.ndarray, geometry: Geometry, kind: int, column: int) -> np.ndarray:
    """One component of a packed field at places of any shape."""
    from mmfields.kernels.batch import new_batch
    from mmfields.kernels.interpolate import sample

    array = as_kernel_takes_it(data)
    position = np.stack([np.asarray(p, float).reshape(-1) for p in places], -1)
    out = np.empty(position.shape)
    box = (np.array(part) for part in (geometry.low, geometry.high, geometry.walls))
    sample(new_batch(), new_setup(geometry.cells, *box, kind), array, np.ascontiguousarray(position), out)
    return out[:, column].reshape(places[0].shape)

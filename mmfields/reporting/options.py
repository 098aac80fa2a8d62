"""What a report may be told, and the snapshot that it is of."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from mmfields import samples
from mmfields.cluster.client import client_in_force, memory_of_this_machine
from mmfields.conventions import (
    SPATIAL,
    components,
    require_number,
    require_periodic,
    require_values,
    spacing,
    spatial_dims,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.identity import stamp
from mmfields.io import open_snapshot
from mmfields.io._paths import plain


@dataclass(frozen=True)
class Options:
    """What a report may be told.

    Parameters
    ----------
    time_index : int
        Snapshot of a series, the last by default.
    direction : str or three numbers, optional
        What parallel means where there is no mean field; the z axis then by default.
    k_par, k_perp : (float, float), optional
        Pass band of the filter; by default 0 to three rms wavenumbers.
    particles : int
        Per gyroradius and field.
    mean_free_paths : float
        Length of the runs, in estimated mean free paths of the full field; a plateau takes tens of them.
    gyroradius : sequence of float, optional
        In the length unit of the snapshot; by default 1, 2 and 4 times l_perp.
    seed : int
    los : str
        Line of sight of the RM map.
    length_unit, field_unit, density : str, optional
        Physical scale where the snapshot states none, for the RM map.
    """

    time_index: int = -1
    direction: str | Sequence[float] | None = None
    k_par: tuple[float, float] | None = None
    k_perp: tuple[float, float] | None = None
    particles: int = 256
    mean_free_paths: float = 40.0
    gyroradius: Sequence[float] | None = None
    seed: int = 1
    los: str = "z"
    length_unit: str | None = None
    field_unit: str | None = None
    density: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.particles, int) or self.particles < 2:
            raise ArgumentError(f"particles={self.particles!r}: at least two are needed for an error")
        require_number(self.mean_free_paths, "mean_free_paths", 0.0)
        if self.los not in SPATIAL:
            raise ArgumentError(f"los={self.los!r}: x, y or z is needed")
        if self.gyroradius is not None and (require_values(self.gyroradius, "gyroradius") <= 0).any():
            raise ArgumentError(f"gyroradius={self.gyroradius!r}: positive lengths are needed")


def opened(
    path: str | os.PathLike[str], options: Options, opening: dict[str, Any]
) -> tuple[xr.Dataset, dict[str, Any]]:
    """The snapshot that a report is of, and where it came from."""
    if str(path) in samples.SAMPLES:
        if opening:
            raise ArgumentError(f"{path} is a sample, to which {', '.join(opening)} do not apply: leave them out")
        file = samples.path(str(path))
        ds = samples.load(str(path))
    else:
        file = Path(plain(path))
        ds = open_snapshot(path, **opening)
    if "time" in ds.dims:
        time_index = options.time_index
        if not -ds.sizes["time"] <= time_index < ds.sizes["time"]:
            raise SnapshotError(f"{path}: no time index {time_index} among {ds.sizes['time']}")
        ds = ds.isel(time=time_index)
        ds = ds.assign_attrs(time=float(ds["time"])).drop_vars("time")
    components(ds)
    if len(spatial_dims(ds)) != 3:
        raise SnapshotError(f"{path}: the report needs three dimensions, this snapshot has {dict(ds.sizes)}")
    require_periodic(ds, "the report")
    spacing(ds)
    source = {"file": file.name, "file_state": stamp(os.path.abspath(file)), "opening": str(opening)}
    return ds, {**source, **{f"option_{k}": str(v) for k, v in vars(options).items()}}


def held(ds: xr.Dataset) -> xr.Dataset:
    """The same data in memory, where they are read many times and are small beside this machine; else as they are."""
    if client_in_force() is not None or ds.nbytes > memory_of_this_machine() // 16:
        return ds
    return ds.compute()

"""When a run meets which snapshots of a series: the time that belongs to a path, and what it may not ask for."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.conventions import SPATIAL, ArgumentError, SnapshotError, require_number, spatial_dims
from mmfields.tracing.light import light_speed_of_path
from mmfields.units import unit_of_variable

OUTSIDE = ("refuse", "hold", "stop")
ELECTRIC = (None, "stored", "ideal")
# Times and paths that are the same but for rounding.
ROUNDING = 1e-12


@renamed(outside="beyond")
@dataclass(frozen=True)
class Evolution:
    """How a run meets a series in time; for ``mm.trace(series, ..., evolve=...)``.

    Parameters
    ----------
    start : float or astropy Quantity, optional
        Time at which the path is 0; the first of the series, or that from which the particles have been traced, by
        default.
    beyond : {"refuse", "hold", "stop"}
        Where the run reaches beyond the series: an error when it is set up; the first or the last snapshot stays as it
        is; or the run ends with the last saved point that the series covers.

    Examples
    --------
    >>> import mmfields as mm
    >>> mm.tracing.Evolution(start=2.5, beyond="hold").beyond
    'hold'
    """

    start: Any = None
    beyond: str = "refuse"

    def __post_init__(self) -> None:
        if self.beyond not in OUTSIDE:
            raise ArgumentError(f"beyond={self.beyond!r}: one of {', '.join(OUTSIDE)} is needed")


@dataclass(frozen=True)
class Clock:
    """Times of snapshots, and the path that belongs to a time.

    Parameters
    ----------
    times : (t,) float array
        Ascending.
    start : float
        Time at which the path is 0.
    light_speed : float
        In the field's length unit per unit of time.
    outside : str
        As of :class:`Evolution`.
    notes : dict
        Attrs of times.
    """

    times: np.ndarray
    start: float
    light_speed: float
    outside: str
    notes: dict[str, str]

    def paths(self, speed: float) -> np.ndarray:
        """Path at each snapshot, by a speed over that of light."""
        return (self.times - self.start) * self.light_speed * speed

    def time_at(self, path: np.ndarray, speed: np.ndarray) -> np.ndarray:
        """Time at a path; over (speed, path) for several speeds."""
        return self.start + path / (self.light_speed * np.asarray(speed)[..., None])

    def covered(self, path: np.ndarray, begin: float, speed: np.ndarray) -> np.ndarray:
        """Saved points within the series, all of them unless the run is to stop with it.

        Raises
        ------
        ArgumentError
            If the run reaches beyond the series, and that is to be refused.
        """
        if self.outside == "hold":
            return path
        slow, fast = float(speed.min()), float(speed.max())
        first, last = self.times[0] - self.start, self.times[-1] - self.start
        room = ROUNDING * max(abs(self.times[0]), abs(self.times[-1]), self.times[-1] - self.times[0])
        reached = path / (self.light_speed * slow)
        if begin / (self.light_speed * fast) < first - room:
            raise ArgumentError(
                f"the run starts at time {self.start:g}, before the first snapshot at {self.times[0]:g}: give "
                f"evolve=mm.tracing.Evolution(start={self.times[0]:g}), or beyond='hold' to keep that one before it"
            )
        inside = path[reached <= last + room]
        if self.outside == "refuse" and inside.size < path.size:
            raise ArgumentError(
                f"the run ends at time {self.start + reached[-1]:g}, after the last snapshot at {self.times[-1]:g}: "
                f"shorten it to distance={last * self.light_speed * slow:g}, or give "
                "evolve=mm.tracing.Evolution(beyond='hold') to keep the last one, or 'stop' to end with it"
            )
        if not inside.size:
            raise ArgumentError(
                f"no saved point lies before the last snapshot at time {self.times[-1]:g}: save more points, or start "
                "earlier"
            )
        return inside

    def windows(self, path: np.ndarray, begin: float, speed: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of intervals that lie between two snapshots each, and the number of the earlier of these.

        It is -1 before the first snapshot.  What is only rounding away from a saved point is that point.
        """
        marks = self.paths(speed)
        room = ROUNDING * max(abs(begin), abs(path[-1]), np.abs(marks).max())
        inside = marks[(marks > begin + room) & (marks < path[-1] - room)]
        near = np.abs(inside[:, None] - path[None, :]).min(axis=1, initial=np.inf) <= room
        ends = np.concatenate([path, inside[~near]])
        ends = ends[np.argsort(ends, kind="stable")]
        middle = (ends + np.concatenate([[begin], ends[:-1]])) / 2
        return ends, np.searchsorted(marks, middle + room, side="right") - 1


def frozen() -> Clock:
    """Of one snapshot that stays as it is."""
    return Clock(np.zeros(1), 0.0, 1.0, "hold", {})


def clock_of(series: xr.Dataset, particles: xr.Dataset, evolution: Evolution, given: float | None) -> Clock:
    """Read times and units of a series.

    Parameters
    ----------
    series : xarray.Dataset
        Over ``time`` and space.
    particles : xarray.Dataset
        May say at which time their path was 0.
    evolution : Evolution
    given : float, optional
        Speed of light, for a series that does not say it.

    Raises
    ------
    ArgumentError, SnapshotError
        If times are no ascending numbers, the start contradicts that of the particles, or nobody says what the speed
        of light is.
    """
    times = _times(series)
    unit = _unit_of_time(series)
    start = start_of_path(particles, replace(evolution, start=_in_unit(evolution.start, unit)), times[0])
    notes = {key: value for key, value in series["time"].attrs.items() if key == "units"} or {"units": "1"}
    return Clock(times, start, light_speed_of_path(series, given), evolution.beyond, notes)


def start_of_path(particles: xr.Dataset, evolution: Evolution, default: float = 0.0) -> float:
    """Time at which the path of particles is 0.

    Raises
    ------
    ArgumentError
        If it is given anew, and particles that have been traced know another.
    """
    start, known = evolution.start, particles.attrs.get("start_time")
    if start is not None and known is not None and start != known:
        raise ArgumentError(f"start={start:g}: the path of these particles was 0 at time {known:g}; leave start out")
    given = known if start is None else require_number(start, "start")
    return float(default if given is None else given)


def _times(series: xr.Dataset) -> np.ndarray:
    if "time" not in series.coords or series["time"].dims != ("time",):
        raise SnapshotError("evolve=... needs the times of a series: ds.assign_coords(time=...), or mm.open_series")
    if series["time"].dtype.kind not in "fiu":
        raise SnapshotError(f"time is {series['time'].dtype}: assign numbers, ds.assign_coords(time=('time', [...]))")
    times = series["time"].values.astype(float)
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise SnapshotError("time is not ascending: put the series in order, ds.sortby('time')")
    return times


def _unit_of_time(series: xr.Dataset) -> Any:
    return unit_of_variable(series, "time", "time_unit")


def _in_unit(start: Any, unit: Any) -> float | None:
    """A time as a number in the series' unit."""
    from astropy import units as u

    if start is None:
        return None
    if not isinstance(start, u.Quantity):
        return require_number(start, "start")
    if unit is None:
        raise SnapshotError(
            f"start={start}: the series does not say its unit of time, ds.assign_attrs(time_unit='...')"
        )
    try:
        return float((start / unit).to_value(""))
    except u.UnitsError as error:
        raise ArgumentError(f"start={start}: a time is needed") from error


def require_evolving(evolve: Any, electric: Any) -> Evolution | None:
    """Options as they were given; None for a field that stays as it is.

    Raises
    ------
    ArgumentError
        If they are none.
    """
    if electric not in ELECTRIC:
        raise ArgumentError(f"electric={electric!r}: one of {', '.join(map(str, ELECTRIC))} is needed")
    if isinstance(evolve, bool | np.bool_):
        return Evolution() if evolve else None
    if not isinstance(evolve, Evolution):
        raise ArgumentError(f"evolve={evolve!r}: True, False or mm.tracing.Evolution(...) is needed")
    return evolve


def require_one_speed(speed: np.ndarray) -> None:
    """Refuse particles of several speeds in one gyroradius where the path is their own.

    Raises
    ------
    SnapshotError
        If there are such.
    """
    if (speed != speed[:, :1]).any():
        raise SnapshotError(
            "particles of one gyroradius have different speeds, and reach a path at different times: trace them apart, "
            "or give pusher='boris' with electric=..., where the path is light's"
        )


def require_series(field: xr.Dataset, name: str) -> None:
    """Refuse what has no time, or other dims beside it."""
    extra = [d for d in field[name].dims if d not in SPATIAL]
    if extra != ["time"]:
        raise SnapshotError(
            f"evolve=... needs a series over 'time', and {name} has dims {tuple(field[name].dims)}: mm.open_series, or "
            "xr.concat(snapshots, 'time')"
        )
    if odd := [d for d in spatial_dims(field.isel(time=0)) if "time" in field[d].dims]:
        raise SnapshotError(f"the axis {odd[0]} changes in time: a series has one grid")

"""One block of particles through one field, by the kernels."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mmfields.cluster.shared import Mapped
from mmfields.cluster.stopping import stoppable
from mmfields.conventions import SnapshotError
from mmfields.kernels.setup import AHEAD, AHEAD_OF_LARGE, LARGE, Interpolation, Patches, Wall, new_setup
from mmfields.scattering import Scattering
from mmfields.tracing.spectral import SPECTRAL, trace_spectral

# Cells from the origin beyond which float64 does not place a particle within its cell.
FARTHEST = 2.0**40
# Shortest waves from the origin, of which float64 leaves a place to a hundredth.
FARTHEST_OF_WAVES = 2.0**46


@dataclass(frozen=True)
class Geometry:
    """The box as the kernels take it, in x, y, z order.

    Parameters
    ----------
    cells : tuple of int
        One along an ignorable axis; number of waves or grids of a field on no grid.
    low, high : tuple of float
        Faces of the box.
    walls : tuple of Wall
    """

    cells: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    walls: tuple[int, ...]

    @property
    def sides(self) -> np.ndarray:
        """Lengths of the box."""
        return np.subtract(self.high, self.low)

    @property
    def cell(self) -> np.ndarray:
        """Sides of a cell."""
        return self.sides / self.cells


@dataclass(frozen=True)
class Task:
    """What all tasks of a trace have in common.

    Parameters
    ----------
    geometry : Geometry
    interpolation : Interpolation or "spectral"
    start : float
        Path that lies behind the particles.
    path : (s,) float array
        Path at the saved points.
    fraction : float
        Of the local gyroradius that is a step; 0 where steps are not local.
    even : bool
        Whether all particles make steps of one length.
    scattering : Scattering or None
    pusher : Pusher
    kinds : tuple of str
        Which fields of :class:`mmfields.kernels.saved.Saved` are wanted.
    centres : Centres, optional
        Particles are followed by their guiding centres.
    """

    geometry: Geometry
    interpolation: int | str
    start: float
    path: np.ndarray
    fraction: float
    even: bool
    scattering: Scattering | None
    pusher: int
    kinds: tuple[str, ...]
    centres: Any = None

    @property
    def intervals(self) -> np.ndarray:
        """Path between saved points."""
        return np.diff(self.path, prepend=self.start)

    @property
    def patches(self) -> Patches:
        """Where particles are scattered."""
        if self.scattering is None:
            return Patches.NONE
        if self.scattering.mask is not None:
            return Patches.MASK
        return Patches.UNIFORM if self.scattering.threshold is None else Patches.THRESHOLD

    @property
    def walled(self) -> bool:
        """Whether any axis has walls."""
        return any(wall != Wall.PERIODIC for wall in self.geometry.walls)

    @property
    def plain(self) -> bool:
        """Whether steps are of one length, and nothing but a magnetic field acts."""
        return self.even and not (self.fraction > 0 or self.walled or self.pusher) and self.scattering is None

    @cached_property
    def saved_type(self) -> np.dtype:
        """Of a saved point of a particle."""
        from mmfields.kernels.saved import KINDS

        return np.dtype([field for kind in self.kinds for field in _fields_of(getattr(KINDS, kind))], align=True)

    def setup(self, size: int, **window: Any) -> np.ndarray:
        """For the kernels, of a field of so many bytes."""
        s, kind = self.scattering or Scattering(0.0), self.interpolation
        box = (np.array(part) for part in (self.geometry.low, self.geometry.high, self.geometry.walls))
        held = self.fraction > 0 or not self.even or Wall.OPEN in self.geometry.walls
        ahead = AHEAD if size < LARGE or kind == Interpolation.CUBIC else AHEAD_OF_LARGE
        return new_setup(
            self.geometry.cells,
            *box,
            Interpolation.LINEAR if kind == SPECTRAL else kind,
            **{"ahead": ahead, "held": held, "pusher": self.pusher, "patches": self.patches, **window},
            **{"inside": s.rate, "outside": s.outside, "threshold": s.threshold or 0.0, "fraction": self.fraction},
        )

    def room(self, *shape: int) -> Any:
        """Arrays for saved points; without rows for what is not wanted."""
        from mmfields.kernels.saved import KINDS, Saved

        return Saved(*(np.empty(shape if n in self.kinds else (0, 0), k) for n, k in KINDS._asdict().items()))

    def together(self, saved: Any) -> np.ndarray:
        """What was saved, in one array.

        Raises
        ------
        SnapshotError
            If an orbit is not finite.
        """
        if not all(np.isfinite(saved.always[name]).all() for name in ("x", "y", "z", "vx", "vy", "vz")):
            raise SnapshotError(
                "an orbit is not finite, or has steps without end: gyroradius, reference field, or light speed is out "
                "of all proportion to the field; mm.mean_field gives its strength"
            )
        if self.kinds == ("always",):
            return saved.always.view(np.ndarray).view(self.saved_type)
        out = np.empty(saved.always.shape, self.saved_type)
        for kind in self.kinds:
            own = getattr(saved, kind)
            for name in own.dtype.names:
                out[name] = own[name]
        return out


def _fields_of(kind: np.dtype) -> list[tuple[str, Any]]:
    """Names and types of a record; what is true or false is a byte in kernels."""
    return [(name, bool if kind[name] == np.uint8 else kind[name]) for name in kind.names]


def run_task(field: Any, electric: Any, mask: Any, particles: np.ndarray, reference: Any, *, task: Task) -> np.ndarray:
    """Particles (1, n) of one gyroradius through a whole field: saved points (1, n, s)."""
    from mmfields.kernels import trace as kernels
    from mmfields.kernels.batch import new_batch

    own = ready(particles[0], float(reference), task)
    out = task.room(len(own), len(task.path))
    # those that make about as many steps go side by side
    sorted_ = not (task.even or task.fraction > 0)
    order = np.argsort(own["longest"], kind="stable") if sorted_ else np.arange(len(own))
    electric = electric if task.pusher else None
    mask = as_kernel_takes_it(mask) if task.patches == Patches.MASK else None
    if task.interpolation == SPECTRAL:
        setup = task.setup(0, held=True)
        stoppable(lambda: trace_spectral((field, electric), task, setup, mask, own, order, out), setup)
        return task.together(out)[None]
    first, *octaves = field if isinstance(field, tuple | list) else (field,)
    electric = None if electric is None else as_kernel_takes_it(electric)
    first, *others = (as_kernel_takes_it(a) for a in (first, *octaves))
    data, octaves = apart_from_grid(first, others)
    fields = kernels.Fields(data, electric, mask, octaves)
    run = kernels.trace_guarded
    if task.fraction > 0:
        run = kernels.trace_local
    elif task.plain:
        run = kernels.trace_sum if octaves else kernels.trace_plain
    setup, plan = task.setup(first.nbytes), plan_of(task, own)
    stoppable(lambda: run(new_batch(), setup, fields, own, order, plan, out), setup)
    return task.together(out)[None]


def octaves_of(arrays: Any) -> Any:
    """Parts of a sum as the kernels take them, or None."""
    from mmfields.kernels.waves import Octaves

    return Octaves(*arrays) if arrays else None


def apart_from_grid(first: Any, others: Any) -> tuple[Any, Any]:
    """Data and parts of a sum as the kernels take them; of a snapshot and waves, `first` is the snapshot."""
    beside = len(others) > 3
    return (others[0], octaves_of((*others[1:], first))) if beside else (first, octaves_of(others))


def steps_in(intervals: np.ndarray, longest: Any) -> np.ndarray:
    """Number of steps of each interval, none longer than `longest`."""
    return np.ceil(intervals / longest * (1 - 1e-12)).astype(np.int64)


def plan_of(task: Task, particles: np.ndarray) -> np.ndarray:
    """Intervals as the kernels take them."""
    from mmfields.kernels.trace import INTERVAL

    plan = np.zeros(len(task.path), INTERVAL)
    plan["length"], plan["end"], plan["save"], plan["count"] = task.intervals, task.path, np.arange(len(plan)), -1
    plan["begin"] = np.append(task.start, task.path[:-1])
    if task.even:
        plan["count"] = counts = steps_in(task.intervals, particles["longest"][0])
        plan["step"] = task.intervals / np.maximum(counts, 1)
    return plan


def ready(particles: np.ndarray, reference: float, task: Task) -> np.ndarray:
    """Particles with their rigidities, in place of gyroradii with the sign of the charge, that may be traced.

    Raises
    ------
    SnapshotError
        If they are not finite, start outside walls, or are too far for cells to be told apart.
    """
    own = np.array(particles)
    own["rigidity"] *= reference
    rigidity = own["rigidity"]
    if (bad := ~np.isfinite(rigidity) | (rigidity == 0)).any():
        raise SnapshotError(
            f"gyroradius times reference field is {rigidity[bad][0]}: give particles a positive reference_field"
        )
    first = np.stack([own[name] for name in ("x", "y", "z", "vx", "vy", "vz", "momentum")], -1)
    if not np.isfinite(first).all():
        bad = int(np.argwhere(~np.isfinite(first))[0, 0])
        raise SnapshotError(f"particle {bad} of a block starts at {first[bad].tolist()}: finite numbers are needed")
    lengths = np.sqrt((first[:, 3:6] ** 2).sum(axis=1))
    off = np.where(own["centred"] > 0, 0.0, np.abs(lengths - 1))  # guiding centres have a velocity there
    if (off > 1e-6).any():
        bad = int(np.argmax(off))
        raise SnapshotError(
            f"particle {bad} of a block has a direction of length {lengths[bad]:g}: unit vectors are needed, divide "
            "vx, vy, vz by it"
        )
    check_places(first[:, :3], own["alive"] > 0, task)
    _check_reach(own, task)
    return own


def check_places(position: np.ndarray, alive: np.ndarray, task: Task) -> None:
    """Refuse starts outside walls, or too far for the cells to be told apart."""
    box = task.geometry
    walled = np.array(box.walls) != Wall.PERIODIC
    outside = ((position < box.low) | (position > box.high))[:, walled].any(axis=1) & alive
    if outside.any():
        place = position[outside][0].tolist()
        raise SnapshotError(
            f"a particle starts at {place}, outside the walls of a box from {np.array(box.low)} to {np.array(box.high)}"
        )
    on_grid = task.interpolation == SPECTRAL or task.interpolation < Interpolation.WAVES
    farthest = FARTHEST if on_grid else FARTHEST_OF_WAVES
    reached = np.abs(position).max(axis=0) + task.intervals.sum()
    if (reached > farthest * box.cell).any():
        raise SnapshotError(
            f"positions and paths of up to {reached.max():.3g} are beyond what can be told apart in cells of "
            f"{box.cell.tolist()}: are they in the field's length unit?"
        )


def _check_reach(particles: np.ndarray, task: Task) -> None:
    """Refuse steps that cross a box with mirrors."""
    walls = np.array(task.geometry.walls)
    if task.fraction > 0 or not (walls == Wall.REFLECTING).any():
        return
    counts = np.maximum(steps_in(task.intervals, particles["longest"][:, None]), 1)
    speed = 1 / np.hypot(1.0, particles["mass"][:, None]) if task.pusher else 1.0
    longest = float((task.intervals / counts * speed).max(initial=0.0))
    if (longest > task.geometry.sides[walls != Wall.PERIODIC]).any():
        raise SnapshotError(f"steps of {longest:g} are longer than the box between its walls: make them shorter")


def as_kernel_takes_it(field: Any) -> np.ndarray:
    """An array that is not to be written: one compiled kernel, whether or not the scheduler has copied it."""
    array = field.array if isinstance(field, Mapped) else field
    array.flags.writeable = False
    return array

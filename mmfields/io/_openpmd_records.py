"""What openPMD states of iterations and meshes, whatever the file format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io._lazy import Source
from mmfields.io._snapshot import NoFields, finite

LONGEST_REASON = 90


@dataclass(frozen=True)
class Component:
    """One component of a mesh, or the only one of a scalar."""

    name: str
    source: Source
    position: tuple[float, ...]
    unit: float
    chunks: tuple[int, ...] | None


@dataclass(frozen=True)
class Record:
    """One mesh record; everything per axis is in array order."""

    name: str
    geometry: str
    labels: tuple[str, ...]
    spacing: tuple[float, ...]
    offset: tuple[float, ...]
    dimension: tuple[int, ...]
    components: tuple[Component, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.components[0].source.shape

    def grid(self) -> tuple:
        return (self.labels, self.shape, self.spacing, self.offset)

    def fault(self) -> str:
        """Why it cannot be loaded as a field on Cartesian axes; empty where it can."""
        if self.geometry.lower() != "cartesian":
            return (
                f"has geometry {self.geometry!r}; only cartesian meshes are read: write a cartesian reconstruction "
                "with the code's own tools first"
            )
        fits = len(self.labels) == len(self.shape) and set(self.labels) <= set(SPATIAL)
        if not fits or len(set(self.labels)) != len(self.labels):
            return (
                f"has axes {self.labels} and shape {self.shape}; axes must be labelled out of x, y, z and fit the data"
            )
        if any(len(c.position) != len(self.labels) for c in self.components):
            return f"has components whose 'position' does not fit axes {self.labels}"
        return ""

    def places(self) -> set[tuple[float, ...]]:
        """Positions of its components in the cell."""
        return {c.position for c in self.components}


@dataclass(frozen=True)
class Iteration:
    """One iteration: its meshes, and by name why others could not be understood."""

    number: int
    time: float
    software: str
    boundary: tuple[str, ...]
    records: tuple[Record, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    particles: bool = False


def floats(path: str, what: str, value: Any, count: int | None = None) -> tuple[float, ...]:
    """Finite numbers, of which there must be `count`."""
    numbers = tuple(finite(path, what, v) for v in np.atleast_1d(np.asarray(value, dtype=float)))
    if count is not None and len(numbers) != count:
        raise SnapshotError(f"{path}: {what} holds {len(numbers)} numbers for {count} axes")
    return numbers


def per_axis(path: str, what: str, value: Any, count: int) -> tuple[float, ...]:
    """A number for each axis, as openPMD 2.0 writes it, or one for all."""
    numbers = floats(path, what, value)
    return numbers * count if len(numbers) == 1 else floats(path, what, value, count)


def in_array_order(labels: Sequence[str], data_order: str, *numbers: Sequence[float]) -> tuple:
    """Labels and per-axis numbers in array order: Fortran data are read with axes reversed."""
    turn = slice(None, None, -1) if data_order.upper().startswith("F") else slice(None)
    return tuple(tuple(item[turn]) for item in (labels, *numbers))


def axes_of(labels: Sequence[str]) -> list[str]:
    """Labels of axes as they are spelled here: ``X`` is ``x``."""
    return [label.strip().lower() if label.strip().lower() in SPATIAL else label for label in labels]


def check_components(path: str, name: str, components: Sequence[Component]) -> None:
    """Components of a record have one shape."""
    shapes = {c.name: c.source.shape for c in components}
    if not shapes:
        raise SnapshotError(f"{path}: mesh {name} has no components")
    if len(set(shapes.values())) > 1:
        raise SnapshotError(f"{path}: components of {name} differ in shape: {shapes}")


def readable(makers: Mapping[str, Callable[[], Record]]) -> tuple[tuple[Record, ...], dict[str, str]]:
    """Meshes that can be understood, and why the others cannot."""
    records, skipped = [], {}
    for name, make in makers.items():
        try:
            record = make()
        except (SnapshotError, TypeError, ValueError, OverflowError) as error:
            skipped[name] = str(error)
            continue
        if fault := record.fault():
            skipped[name] = f"mesh {name!r} {fault}"
        else:
            records.append(record)
    return tuple(records), skipped


def understood(makers: Mapping[int, Callable[[], Iteration]]) -> tuple[list[Iteration], dict[str, str]]:
    """Iterations that can be understood, and why the others cannot; one of them must be."""
    steps, broken = [], {}
    for number, make in makers.items():
        try:
            steps.append(make())
        except SnapshotError as error:
            broken[f"iteration {number}"] = str(error)
            first = error
    if makers and not steps:
        raise first
    return steps, broken


def main_of(path: str, steps: Sequence[Iteration]) -> str:
    """The mesh whose grid is that of the snapshot: B, else E, else the first one.

    Raises
    ------
    SnapshotError
        If B is there and cannot be understood, or nothing can.
    NoFields
        If there is no mesh at all.
    """
    names = list(dict.fromkeys(record.name for step in steps for record in step.records))
    skipped = {name: reason for step in steps for name, reason in step.skipped.items()}
    if "B" in skipped and "B" not in names:
        raise SnapshotError(_with_path(path, skipped["B"]))
    if found := next((name for name in ("B", "E", *names) if name in names), None):
        return found
    if skipped:
        raise SnapshotError(_with_path(path, "; ".join(dict.fromkeys(skipped.values()))))
    which = f" in iteration {steps[0].number}" if len(steps) == 1 else ""
    if any(step.particles for step in steps):
        raise NoFields(f"{path}: there are particles alone{which}, and no mesh: particles are no snapshot")
    raise NoFields(f"{path}: there is no mesh{which}")


def _with_path(path: str, text: str) -> str:
    return text if path in text else f"{path}: {text}"


def in_short(path: str, name: str, reason: str) -> str:
    """A mesh that is not loaded, and why."""
    text = reason.replace(f"{path}: ", "").split(";")[0]
    return f"{name} ({text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 3] + '...'})"

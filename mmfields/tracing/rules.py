"""How steps are made, and what may not be asked for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    ArgumentError,
    SnapshotError,
    require_number,
    require_plain,
    require_whole,
    warn,
)
from mmfields.kernels.setup import Interpolation
from mmfields.scattering import Scattering
from mmfields.tracing.blocks import LEAST
from mmfields.tracing.centres import GUIDING, Centres
from mmfields.tracing.ensemble import Ensemble
from mmfields.tracing.fields import PARTS, Source
from mmfields.tracing.spectral import SPECTRAL

# Beyond these a run would not end, Boris steps would turn by more than a right angle, or scattering be too coarse.
MOST_STEPS, MOST_TURN, MOST_SCATTERING = 1e13, 2.0, 1.0
STEP_UNITS = ("length", "gyroradius", "local")
INTERPOLATIONS = ("nearest", "linear", "cubic", "faces", SPECTRAL)
PUSHERS = ("boris", "higuera-cary", "vay")


@dataclass(frozen=True)
class Rule:
    """How steps are made; parameters of :func:`mmfields.trace`."""

    step: float
    unit: str
    interpolation: str
    scattering: Scattering | None
    pusher: str | None
    local_field: bool
    cell_fraction: float | None
    centres: Centres | None = None

    def kinds(self, walls: dict[str, str]) -> tuple[str, ...]:
        """Which kinds of things are saved, fields of :class:`mmfields.kernels.saved.Saved`."""
        wanted = {
            "always": True,
            "local": self.pusher is not None or self.local_field,
            "driven": self.pusher is not None,
            "walled": bool({"open", "reflecting"} & set(walls.values())),
            "centred": self.centres is not None,
        }
        return tuple(kind for kind, is_wanted in wanted.items() if is_wanted)

    def cap(self, cell: float) -> float:
        """Longest part of a particle's own path that a step in gyroradii is."""
        return np.inf if self.cell_fraction is None else self.cell_fraction * cell

    def longest(self, cell: float, particles: Ensemble) -> np.ndarray:
        """Longest step of each particle, (gyroradius, particle): of `distance`'s path, where local of its own."""
        if self.unit == "length":
            return np.full(particles.radii.shape, float(self.step))
        if self.unit == "local":
            return np.full(particles.radii.shape, self.cap(cell))
        own = np.minimum(self.step * particles.radii, self.cap(cell))
        return own / particles.speed if self.pusher else own


def check_options(rule: Rule, particles_per_task: Any, block: Any) -> None:
    """Refuse what no field and no particles could make right."""
    for name, value, allowed in (
        ("interpolation", rule.interpolation, INTERPOLATIONS),
        ("step_unit", rule.unit, STEP_UNITS),
        ("pusher", rule.pusher, (None, *PUSHERS, GUIDING)),
    ):
        if value not in allowed:
            raise ArgumentError(f"{name}={value!r}: one of {', '.join(map(str, allowed))} is needed")
    if rule.scattering is not None and not isinstance(rule.scattering, Scattering):
        raise ArgumentError(f"scattering={rule.scattering!r}: mm.scattering.small_angle(...) or .patchy(...) is needed")
    if particles_per_task is not None:
        require_whole(particles_per_task, "particles_per_task", 1)
    if block is not None:
        require_whole(block, "block", LEAST)
    if not isinstance(rule.local_field, bool | np.bool_):
        raise ArgumentError(f"local_field={rule.local_field!r}: True or False is needed")
    if rule.cell_fraction is not None:
        require_number(rule.cell_fraction, "cell_fraction", np.finfo(float).tiny)


def check_particles(particles: xr.Dataset, guided: bool = False) -> None:
    """Refuse what is no ensemble, or an empty one, or guiding centres that are not to be followed as such."""
    needed = ("x", "y", "z", "vx", "vy", "vz", "key", "reference_field", "gyroradius")
    if not isinstance(particles, xr.Dataset) or any(name not in particles.variables for name in needed):
        raise SnapshotError(
            f"particles must hold {', '.join(needed)}: make them with mm.particles.isotropic or from_arrays"
        )
    if "path" in particles.dims:
        raise SnapshotError("these are trajectories: trace on from mm.particles.from_trajectories(trajectories)")
    if "guiding_centre" in particles and not guided:
        raise ArgumentError("these are guiding centres: trace them on with pusher='guiding-centre'")
    if not particles.sizes.get("particle", 0):
        found = "holds none" if "particle" in particles.dims else "is not there; keep it, particles.isel(particle=[0])"
        raise SnapshotError(f"at least one particle is needed: dim 'particle' {found}")


def check_number(rule: Rule, intervals: np.ndarray, longest: np.ndarray, radii: np.ndarray) -> None:
    """Refuse steps without number."""
    shortest = float((np.minimum(rule.step * radii, longest) if rule.unit == "local" else longest).min())
    with np.errstate(over="ignore"):
        most = float(np.ceil(intervals / shortest * (1 - 1e-12)).sum())
    if most > MOST_STEPS:
        raise ArgumentError(
            f"step={rule.step:g} [{rule.unit}] makes {most:.3g} steps of the way, more than {MOST_STEPS:.0e}: lengthen "
            "it, or shorten distance; both count in the field's length unit"
        )


def check_step(rule: Rule, source: Source, particles: Ensemble) -> dict[str, str]:
    """Refuse steps that resolve neither gyration nor scattering; for the attrs, that they skip the field between."""
    step = require_plain(rule.step, "step")
    if step.ndim or not step > 0:
        raise ArgumentError(f"step={rule.step!r}: a positive length is needed")
    speed = particles.speed if rule.pusher else np.ones(1)
    turn = float(step if rule.unit != "length" else (step * speed / particles.radii).max())
    if turn > MOST_TURN and rule.centres is None:
        raise ArgumentError(
            f"step={rule.step:g} [{rule.unit}] is {turn:.3g} gyroradii, so that gyration is not resolved: at most "
            f"{MOST_TURN:g} are stable, and 0.1 or 0.2 are accurate (step=0.1, step_unit='gyroradius'); both count in "
            "the field's length unit"
        )
    rate = 0.0 if rule.scattering is None else max(rule.scattering.rate, rule.scattering.outside)
    longest = float((rule.longest(source.cell, particles) * speed).max())
    if rule.unit != "local" and rate * longest > MOST_SCATTERING:
        raise ArgumentError(
            f"step={rule.step:g} [{rule.unit}] with nu={rate:g} turns the direction by a mean square angle of "
            f"{rate * longest:.3g} at once: take steps of at most {MOST_SCATTERING / rate:.3g}, better a tenth of it"
        )
    said = "" if rule.unit != "length" else too_long(source, longest)
    if said:
        warn(f"{said}: take step={source.cell:g} or less, or step_unit='gyroradius', which is capped at that")
    return {"long_steps": said} if said else {}


def too_long(source: Source, step: float) -> str:
    """What to say of steps that skip the field between; empty of others, and where waves alone are evaluated."""
    if source.interpolation in (Interpolation.WAVES, Interpolation.NESTED):
        return ""
    # a function is smooth, so that its own scale may be crossed in one step, not in an eighth of one
    most = source.cell * (PARTS if source.interpolation == Interpolation.FUNCTION else 1)
    if step <= most * (1 + 1e-9):
        return ""
    return f"steps of {step:g} are {step / source.cell:.3g} {source.measure} long, and skip the field between"

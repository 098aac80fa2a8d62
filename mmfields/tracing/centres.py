"""Guiding centres: when particles are followed by them, what may be asked of them, and a block of such particles."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmfields.cluster.stopping import stoppable
from mmfields.conventions import ArgumentError, SnapshotError, require_number
from mmfields.kernels.setup import Patches
from mmfields.tracing.task import Task, as_kernel_takes_it, plan_of, ready

GUIDING = "guiding-centre"
# Beyond these nothing gyrates about a centre, and orbits are no longer resolved.
LARGEST, LONGEST = 0.5, 1.0


@dataclass(frozen=True)
class GuidingCentre:
    """When ``mm.trace(..., pusher=...)`` follows guiding centres, and when full orbits.

    Parameters
    ----------
    threshold : float
        Largest r_g |∇B| / B of a guiding centre, r_g the gyroradius of the whole momentum in the local field, |∇B| the
        root of the sum of the squares of the nine derivatives of B.  Beyond it, and where E is as strong as B, the full
        orbit is followed, at a gyrophase drawn from the particle's key and its number of steps; where the ratio is
        below half of it again, the guiding centre.  0: full orbits always.
    orbit_step : float
        Longest step of full orbits, in local gyroradii; `step` limits it too.

    Examples
    --------
    >>> import mmfields as mm
    >>> mm.tracing.GuidingCentre(threshold=0.1).orbit_step
    0.1
    """

    threshold: float = 0.05
    orbit_step: float = 0.1

    def __post_init__(self) -> None:
        require_number(self.threshold, "threshold", 0.0, LARGEST)
        require_number(self.orbit_step, "orbit_step", np.finfo(float).tiny, LONGEST)


@dataclass(frozen=True)
class Centres:
    """A run by guiding centres.

    Parameters
    ----------
    guided : GuidingCentre
    electric : {None, "stored", "ideal"}
    """

    guided: GuidingCentre
    electric: str | None

    @property
    def ideal(self) -> bool:
        """Whether the second vector is a velocity."""
        return self.electric == "ideal"

    def label(self) -> str:
        """For the attrs of trajectories."""
        return f"guiding centres by Runge-Kutta of 4th order where r_g |grad B|/B <= {self.guided.threshold:g}"


def centres_of(pusher: Any, electric: str | None) -> tuple[Centres | None, Any]:
    """Guiding centres if they are asked for, and what pushes full orbits."""
    if isinstance(pusher, GuidingCentre) or (isinstance(pusher, str) and pusher == GUIDING):
        guided = pusher if isinstance(pusher, GuidingCentre) else GuidingCentre()
        return Centres(guided, electric), None if electric is None else "boris"
    return None, pusher or ("boris" if electric is not None else None)


def check_centres(rule: Any, is_snapshot: bool, moves: bool, block: int | None) -> None:
    """Refuse what guiding centres are not made for.

    Raises
    ------
    ArgumentError
        If that is asked for.
    """
    if rule.centres is None:
        return
    if not is_snapshot:
        raise ArgumentError(f"pusher={GUIDING!r} needs a snapshot: grid waves with to_dataset, or use another pusher")
    if moves:
        raise ArgumentError(f"pusher={GUIDING!r} is for fields at rest: leave evolve out, or use pusher='boris'")
    if block is not None:
        raise ArgumentError(f"pusher={GUIDING!r} needs the field whole: leave block={block} out")
    if rule.interpolation != "cubic":
        raise ArgumentError(
            f"pusher={GUIDING!r} needs derivatives of the field: give interpolation='cubic', not {rule.interpolation!r}"
        )
    if rule.unit != "length":
        raise ArgumentError(
            f"pusher={GUIDING!r} makes steps of a length, such as a fifth of a cell: give step_unit='length', not "
            f"{rule.unit!r}"
        )


def check_source(source: Any) -> None:
    """Refuse fields that guiding centres cannot be followed through.

    Raises
    ------
    SnapshotError
        If there are reflecting walls, or the field is too large to be whole in a worker.
    """
    if mirrors := [d for d, kind in source.walls.items() if kind == "reflecting"]:
        raise SnapshotError(
            f"the walls along {', '.join(mirrors)} reflect, which no guiding centre does: use pusher='boris', or "
            "ds.assign_attrs(boundary_x='open')"
        )
    if source.plan is not None:
        raise SnapshotError(
            f"the field is more than a third of a worker's memory, and pusher={GUIDING!r} needs it whole: give the "
            "workers more, or cut the box"
        )


def run_centres(
    field: Any, electric: Any, mask: Any, particles: np.ndarray, reference: Any, *, task: Task
) -> np.ndarray:
    """Particles (1, n) of one gyroradius through a whole field: saved points (1, n, s)."""
    from mmfields.kernels.batch import new_batch
    from mmfields.kernels.trace import Fields
    from mmfields.kernels.trace_centres import CENTRE, LIMITS, trace_centres

    own = ready(particles[0], float(reference), task)
    out, limits = task.room(len(own), len(task.path)), np.zeros(1, LIMITS)
    limits["threshold"], limits["fraction"] = task.centres.guided.threshold, task.centres.guided.orbit_step
    limits["ideal"] = task.centres.ideal
    data = as_kernel_takes_it(field)
    fields = Fields(
        data,
        as_kernel_takes_it(electric) if task.pusher else None,
        as_kernel_takes_it(mask) if task.patches == Patches.MASK else None,
        None,
    )
    setup, plan, states = task.setup(data.nbytes, held=True), plan_of(task, own), np.zeros(1, CENTRE)
    stoppable(lambda: trace_centres(new_batch(), setup, limits, states, fields, own, plan, out), setup)
    return task.together(out)[None]

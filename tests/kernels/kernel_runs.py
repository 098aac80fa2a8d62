"""Small runs of the tracing kernels: a field and its setup, particles, a plan, and what is saved of them."""

from types import SimpleNamespace

import numpy as np
from numba import config, njit

from mmfields.kernels import trace
from mmfields.kernels.batch import LANES, PARTICLE, VECTOR, new_batch
from mmfields.kernels.interpolate import sample
from mmfields.kernels.saved import KINDS, Saved
from mmfields.kernels.setup import Interpolation, Patches, Pusher, Wall, new_setup

INTERPRETED = bool(config.DISABLE_JIT)
OPEN, REFLECTING = Wall.OPEN, Wall.REFLECTING
# Lanes that tests of single kernels fill: every one of them takes its time where it is interpreted.
FEW = VECTOR if INTERPRETED else LANES


@njit
def on_batch(kernel, batches, *others):
    """Call a kernel with a batch, which Numba takes out of its array only in compiled code."""
    return kernel(batches[0], *others)


def batch_of(lanes, **fields):
    """A batch in its array, with these fields filled."""
    batches = new_batch()
    batches["lanes"] = lanes
    for name, values in fields.items():
        batches[name][0, ..., :lanes] = values
    return batches


def flat(field):
    """A field (z, y, x, 3) as kernels take it, flat and with one number more."""
    data = np.append(np.ascontiguousarray(field).ravel(), 0.0)
    data.flags.writeable = False
    return data


def setup_of(
    cells, walls=(0, 0, 0), *, origin=(0, 0, 0), width=(1, 1, 1), kind=Interpolation.LINEAR, **rules
) -> np.ndarray:
    """A setup of cells (z, y, x); the rest in x, y, z order."""
    cells, low = np.array(cells[::-1]), np.array(origin, float)
    return new_setup(cells, low, low + np.array(width) * cells, np.array(walls), kind, **rules)


def values_at(field, places, **options):
    """A field (z, y, x, 3) at places (n, 3)."""
    out = np.empty((len(places), 3))
    sample(new_batch(), setup_of(field.shape[:3], **options), flat(field), np.array(places, float), out)
    return out


def particles_of(position, direction, rigidity, longest=1.0, mass=0.0, taken=0):
    """Particles at the start of a run."""
    particles = np.zeros(len(position), PARTICLE)
    for names, vectors in (("xyz", position), (("vx", "vy", "vz"), direction)):
        for name, values in zip(names, np.transpose(vectors), strict=True):
            particles[name] = values
    particles["momentum"], particles["left"], particles["alive"] = 1.0, np.nan, 1
    particles["rigidity"], particles["longest"], particles["mass"] = rigidity, longest, mass
    particles["taken"] = taken
    return particles


def plan_of(lengths, ends, counts):
    """Intervals of these lengths, paths at their ends, and numbers of steps."""
    plan = np.zeros(len(lengths), trace.INTERVAL)
    plan["length"], plan["end"], plan["count"] = lengths, ends, counts
    plan["step"] = plan["length"] / np.maximum(plan["count"], 1)
    plan["save"] = np.arange(len(plan))
    return plan


def room(shape, *kinds):
    """Arrays for saved points of these kinds, and for none of the others."""
    return Saved(*(np.zeros(shape if name in kinds else (0, 0), kind) for name, kind in KINDS._asdict().items()))


def by_name(saved, particle=0):
    """What was saved of a particle: arrays over saved points by their names."""
    fields = {n: rows[particle][n] for rows in saved if rows.size for n in rows.dtype.names}
    return SimpleNamespace(**fields)


def uniform(strength=(0.0, 0.0, 1.0)):
    """The same field in a few cells."""
    return np.broadcast_to(np.array(strength), (2, 3, 4, 3)).copy()


def run(field, setup, particles, plan, out, *, electric=None, mask=None):
    """Particles through a field on a grid, by the entry that the setup needs."""
    entry = trace.trace_plain
    if setup["fraction"] > 0:
        entry = trace.trace_local
    elif (setup["walls"] != Wall.PERIODIC).any() or setup["pusher"] or setup["patches"] != Patches.NONE:
        entry = trace.trace_guarded
    fields = trace.Fields(flat(field), None if electric is None else flat(electric), mask, None)
    entry(new_batch(), setup, fields, particles, np.arange(len(particles)), plan, out)


def traced(field, position, direction, rigidity, step, count, *, saves=1, fraction=0.0, **options):
    """One particle to equally spaced saved points, so many steps apart; what is saved of it by name.

    `fraction` of the local gyroradius is a step where it is positive, else `step`; other options are of the particle,
    of the fields or of the setup.
    """
    electric, walls = options.pop("electric", None), options.pop("walls", (0, 0, 0))
    own = {name: options.pop(name) for name in ("longest", "mass", "taken") if name in options}
    particles = particles_of([position], [direction], rigidity, **own)
    particles["alive"] = options.pop("alive", 1)
    held = fraction > 0 or Wall.OPEN in walls
    setup = setup_of(field.shape[:3], walls, fraction=fraction, held=held, **options)
    driven = setup["pusher"] != Pusher.NONE
    out = room((1, saves), "always", *(("local", "driven") if driven else ()))
    plan = plan_of(np.full(saves, step * count), step * count * np.arange(1.0, saves + 1), np.full(saves, count))
    run(field, setup, particles, plan, out, electric=electric)
    return by_name(out)

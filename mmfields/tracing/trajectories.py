"""Saved points with their names, units and story: trajectories as a Dataset."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL
from mmfields.tracing.ensemble import DIMS, Ensemble
from mmfields.tracing.fields import Source
from mmfields.tracing.graph import field_of
from mmfields.tracing.rules import Rule
from mmfields.units import FAST, SPEED, as_quantity, speed_of, text_of

KEPT_ATTRS = ("seed", "distribution", "reference_field_kind")
LONG_NAMES = {
    **{d: f"unwrapped position along {d}" for d in SPATIAL},
    **{f"v{d}": f"direction along {d}" for d in SPATIAL},
    "mu": "pitch-angle cosine in the local field",
    "B": "field strength at the particle",
    "alive": "the particle is still in the box",
    "steps": "steps taken since the start",
    "momentum": "momentum over that at the start",
    "energy": "kinetic energy over that at the start",
    **{f"b{d}": f"direction of the field at the particle along {d}" for d in SPATIAL},
    "own_path": "path of the particle itself",
    **{f"e{d}": f"electric field at the particle along {d}, over the speed of light" for d in SPATIAL},
    "left": "path length at which the particle left the box",
    "reflections": "reflections since the start",
    "reflections_along": "reflections since the start by walls that the field runs through",
    "speed": "speed over that of light",
    "guiding_centre": "the particle is followed by its guiding centre",
    "parallel_momentum": "momentum along the field over that at the start",
    "magnetic_moment": "p_perp^2 / 2B, over the square of the momentum at the start",
    "key": "random key of the particle",
}
# The same where they may be those of a guiding centre.
OF_CENTRES = {
    **{d: f"unwrapped position of the particle or its guiding centre along {d}" for d in SPATIAL},
    **{f"v{d}": f"direction, or velocity of the guiding centre over the speed, along {d}" for d in SPATIAL},
    "B": "field strength there",
}


def labelled(
    rows: Any, path: np.ndarray, particles: xr.Dataset, ensemble: Ensemble, source: Source, rule: Rule
) -> xr.Dataset:
    """Trajectories of one snapshot.

    Parameters
    ----------
    rows : Dask array
        From :func:`mmfields.tracing.graph.saved_points`.
    path : (s,) array
    particles : xarray.Dataset
        As they were given.
    ensemble : Ensemble
        What was read of them.
    source : Source
    rule : Rule
    """
    kind = "light's path c t" if rule.pusher else "path length"
    coords = {"path": ("path", path, {**source.length, "long_name": kind})}
    if source.evolving is not None and source.evolving.clock.notes:
        coords["time"] = _times(path, ensemble, source, rule)
    if not ensemble.single:
        coords["gyroradius"] = particles["gyroradius"].drop_vars("energy", errors="ignore")
    if "energy" in particles.coords:  # beside an electric field the energy of each point is a variable
        coords["start_energy" if rule.pusher else "energy"] = particles.coords["energy"].variable
    variables = _variables(rows, source, rule, single=ensemble.single)
    result = xr.Dataset(variables, coords, _attrs(particles, ensemble, source, rule))
    result["key"] = ensemble.data["key"].drop_attrs()
    result["key"].attrs["long_name"] = LONG_NAMES["key"]
    for name, value in (*source.means.items(), ("reference_field", ensemble.reference)):
        result[name] = value.drop_attrs()
    result = result.assign(ensemble.variables())
    if rule.pusher or "beta_gamma" in ensemble.data:
        result["beta_gamma"] = ensemble.label(ensemble.beta_gamma).assign_attrs(long_name="p/(m c)")
    result["speed"] = _speed(result, ensemble, rule)
    if not ensemble.single:
        return result
    radius = ensemble.label(ensemble.radii).assign_attrs(particles["gyroradius"].attrs)
    return result.isel(gyroradius=0).assign_coords(gyroradius=radius.isel(gyroradius=0))


def _times(path: np.ndarray, ensemble: Ensemble, source: Source, rule: Rule) -> tuple[Any, ...]:
    """Times of the saved points: over ``path``, and over gyroradii where particles of these are not as fast."""
    clock, speed = source.evolving.clock, np.ones(1) if rule.pusher else ensemble.speed[:, 0]
    notes = {**clock.notes, "long_name": "time"}
    times = clock.time_at(path, speed)
    return ("path", times[0], notes) if (speed == speed[0]).all() else (("gyroradius", "path"), times, notes)


def _speed(result: xr.Dataset, ensemble: Ensemble, rule: Rule) -> xr.DataArray:
    """Speed over that of light: of each particle, and at each saved point where an electric field changes it."""
    notes = {"long_name": LONG_NAMES["speed"], "units": "1"}
    if rule.pusher is None:
        return xr.DataArray(ensemble.speed, dims=DIMS, attrs=notes)
    momentum = result["momentum"]
    return (momentum / np.hypot(momentum, 1 / result["own_beta_gamma"])).assign_attrs(notes)


def _variables(rows: Any, source: Source, rule: Rule, *, single: bool) -> dict[str, Any]:
    """Those fields of saved points that say something, with their attrs."""
    walls = source.walls.values()
    kept = {
        "alive": "open" in walls,
        "left": "open" in walls,
        "reflections": "reflecting" in walls,
        "reflections_along": "reflecting" in walls,
        "steps": rule.scattering is not None or rule.unit == "local" or rule.centres is not None,
        "momentum": rule.pusher is not None,
        "energy": rule.pusher is not None,
        **{f"{letter}{d}": rule.local_field for letter in "be" for d in SPATIAL},
    }
    units = {**dict.fromkeys((*SPATIAL, "own_path", "left"), source.length), "B": source.strength, "mu": {"units": "1"}}
    units |= {f"b{d}": {"units": "1"} for d in SPATIAL} | {f"e{d}": source.strength for d in SPATIAL}
    units |= {"parallel_momentum": {"units": "1"}, "magnetic_moment": _inverse(source.strength)}
    variables = {}
    for name in rows.dtype.names:
        if kept.get(name, True):
            values, own = field_of(rows, name, rows.dtype[name], single=single), DIMS[1:] if single else DIMS
            dims, values = ((*own, "path"), values) if name != "left" else (own, values[..., -1])
            said = LONG_NAMES[name] if rule.centres is None else OF_CENTRES.get(name, LONG_NAMES[name])
            variables[name] = (dims, values, {"long_name": said, **units.get(name, {})})
    return variables


def _inverse(notes: dict[str, str]) -> dict[str, str]:
    """Attrs of one over something."""
    unit = notes.get("units", "1")
    if unit != "1":
        return {"units": text_of(as_quantity(unit, "B") ** -1)}
    return {"units": "1", **({"normalization": f"1 / {notes['normalization']}"} if "normalization" in notes else {})}


def _attrs(particles: xr.Dataset, ensemble: Ensemble, source: Source, rule: Rule) -> dict[str, Any]:
    capped = "" if rule.cell_fraction is None else f", at most {rule.cell_fraction:g} of {source.cell:.6g}"
    rules = {
        "length": "fixed path length",
        "gyroradius": f"fixed fraction of the gyroradius in the reference field{capped}",
        "local": f"fraction of the gyroradius in the field of the step before{capped}",
    }
    names = {None: "Boris", "boris": "Boris with E", "higuera-cary": "Higuera-Cary with E", "vay": "Vay with E"}
    pusher = f"{names[rule.pusher]}, drift-kick-drift"
    return {
        "pusher": pusher if rule.centres is None else f"{rule.centres.label()}, beyond it {pusher}",
        "interpolation": rule.interpolation,
        "step": float(rule.step),
        "step_unit": rule.unit,
        "step_rule": rules[rule.unit],
        "path_kind": "light" if rule.pusher else "particle",
        **_evolution_attrs(source, rule),
        "scattering": rule.scattering.label() if rule.scattering is not None else "none",
        **{f"boundary_{d}": kind for d, kind in source.walls.items()},
        **({"charge_sign": -1} if (ensemble.sign < 0).all() else {}),
        **{k: v for k, v in particles.attrs.items() if k in KEPT_ATTRS},
        **_shared(particles, ensemble),
    }


def _evolution_attrs(source: Source, rule: Rule) -> dict[str, Any]:
    """What the field was in time, where it was not simply a snapshot with its own electric field."""
    if source.moving is not None:
        said = {"electric": source.moving.electric} if rule.pusher else {}
        moved = {"evolution": source.moving.label, "start_time": source.moving.start}
        return said if source.moving.still else {**said, **moved}
    if source.evolving is None:
        return {"electric": "ideal"} if rule.centres is not None and rule.centres.ideal else {}
    clock, said = source.evolving.clock, {"electric": "ideal"} if source.evolving.ideal else {}
    if not clock.notes:
        return said
    span = f"linear between {len(clock.times)} snapshots from {clock.times[0]:g} to {clock.times[-1]:g}"
    return {**said, "evolution": f"{span}, {clock.outside} outside", "start_time": clock.start}


def _shared(particles: xr.Dataset, ensemble: Ensemble) -> dict[str, Any]:
    """Attrs with the species where all particles are of one, and the speed where it is that of light to 1e-6.

    (Slower particles say it by their p/(m c): attrs of several energies that are joined are those of the first.)
    """
    found, beta_gamma = {}, ensemble.beta_gamma
    mass = ensemble.sign * ensemble.radii / beta_gamma  # over the charge, in some unit
    if np.allclose(mass, mass.flat[0], rtol=1e-9, atol=0.0):
        found = {key: particles.attrs[key] for key in ("species", "charge", "mass") if key in particles.attrs}
    if (beta_gamma > FAST).all():
        found[SPEED] = text_of(speed_of(np.inf))
    return found

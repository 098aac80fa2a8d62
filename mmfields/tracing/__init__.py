"""Field and particles to trajectories, lazily: ``mm.trace``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
    SnapshotError,
    components,
    require_number,
    require_plain,
    require_whole,
    saved_lengths,
    spacing,
    warn,
)
from mmfields.provenance import verb
from mmfields.scattering import Scattering
from mmfields.tracing.domains import LEAST, particles_at_once, run_domains
from mmfields.tracing.ensemble import DIMS, Ensemble, read, start_columns
from mmfields.tracing.source import INTERPOLATIONS, SPECTRAL, WAVES, Source, of_snapshot, of_synthetic, sparse
from mmfields.tracing.task import run_task
from mmfields.turbulence import Synthetic
from mmfields.units import FAST, LENGTH, SPEED, carried, plain, require_same_units, speed_of, text_of

__all__ = ["trace"]

# Beyond these a run would not end, Boris steps would turn by more than a right angle, or scattering be too coarse.
MOST_STEPS, MOST_TURN, MOST_SCATTERING = 1e13, 2.0, 1.0
BATCH, MOST_TASKS, PIECE = 64, 1000, 2**18
STEP_UNITS = ("length", "gyroradius", "local")
PUSHERS = ("boris", "higuera-cary", "vay")
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
    "key": "random key of the particle",
}


@verb
def trace(
    field: xr.Dataset | Synthetic,
    particles: xr.Dataset,
    *,
    step: Any,
    distance: Any,
    save: Any = 100,
    step_unit: str = "length",
    interpolation: str = "linear",
    scattering: Scattering | None = None,
    pusher: str | None = None,
    light_speed: float | None = None,
    local_field: bool = False,
    cell_fraction: float | None = 1.0,
    particles_per_task: int | None = None,
    block: int | None = None,
) -> xr.Dataset:
    """Trace charged particles through a static field, lazily.

    Drift-kick-drift steps through the interpolated magnetic field alone, unless `pusher` is given: then the
    electric field of the snapshot acts too.  Between two saved points the step is the largest that divides
    the interval and does not exceed `step`.  Results do not depend on `particles_per_task`, chunks, scheduler
    or workers, and a run continued from any saved point (:func:`mmfields.particles.from_trajectories`) equals
    one without a break, to the bit.  The speed stays 1 to rounding; each step rounds a position x by half a unit in its
    last place, |x| 2^-53, and over N steps these add up to N |x| 2^-53 at most (1e-7 |x| after 10^9; in a uniform field
    8e-9 |x| were found then, |v| - 1 of 5e-17, and 1e-9 of the pitch-angle cosine).

    Parameters
    ----------
    field : xarray.Dataset, or PlaneWaves or NestedGrids
        Snapshot with ``Bx By Bz``, or several along ``time``, each traced through on its own; missing
        spatial dims are ignorable axes.  Periodic axes wrap and positions are not brought back; a particle
        that would leave through an open face stops and is flagged; a reflecting face mirrors it.  Plane
        waves and nested grids of :mod:`mmfields.turbulence` are evaluated at the particles and have no walls; where a
        gyroradius meets too few of their modes, the attr ``sparse_modes`` of the result says so.
    particles : xarray.Dataset
        From :mod:`mmfields.particles`; several ensembles, as of electrons and protons, may be joined by
        ``xr.concat(..., "particle")``: each particle keeps its charge, gyroradius and speed.
    step : float or astropy Quantity
        Longest step.
    distance : float or astropy Quantity
        Path length to trace, counted from the original start.  With `pusher` this, `save`, a `step` in lengths and the
        ``path`` that comes back are light's path c t (attr ``path_kind``: ``light``), and ``own_path`` is the
        particle's; without, ``path`` is the particle's own (``particle``).
    save : int, or sequence of float or Quantity
        So many evenly spaced points after the start, which is saved too; or the path lengths.
    step_unit : {"length", "gyroradius", "local"}
        What `step` counts: the field's length unit, each particle's gyroradius in the reference field, or
        its gyroradius in the field that it saw in the step before.  Steps in gyroradii are of the particle's own path
        (at its speed at the start: where an electric field changes it much, take ``local``).
    interpolation : {"nearest", "linear", "cubic", "faces", "spectral"}
        Of a snapshot: the nearest cell; trilinear; a tricubic B-spline through the cells, twice continuously
        differentiable; the staggered ``Bx_f By_f Bz_f``, each linear along its own axis, free of divergence
        within a cell where they are (Yee 1966); or all Fourier modes of a periodic box (by finufft), exact for
        a field that the grid holds, slow, and a reference for the others.
    scattering : Scattering, optional
        From :mod:`mmfields.scattering`, at the end of every step.
    pusher : {"boris", "higuera-cary", "vay"}, optional
        Use ``Ex Ey Ez`` too, relativistically: Boris (1970), Higuera & Cary (2017) or Vay (2008).  Particles
        have the ``beta_gamma`` that they were made with.
    light_speed : float, optional
        Speed of light in the unit of E over that of B; found from their units where these are known.
    local_field : bool
        Save the direction of the field at the particle too, ``bx by bz``, which transport along the local field
        needs.
    cell_fraction : float, optional
        Steps in gyroradii are no longer than this part of the smallest side of a cell, or of an eighth of the shortest
        wave: longer ones skip the field between, and scatter too strongly.  None lifts it.
    particles_per_task : int, optional
        Particles of one Dask task; multiples of 64 leave no lane of a batch idle.  By default 64, or as many more as
        keep the tasks below 1000.
    block : int, optional
        Cells along a side of the blocks that a snapshot is divided into, for one that no process may hold: in rounds
        each block moves the particles that are in it until they need cells beyond its halo, and these are handed to
        the next block.  Blocks are files of the host of the task that directs this, 1.4 times the field while it runs;
        all workers of the host map one at a time.  If the worker of that task is lost, what it directs, the particles
        of one task, begins again.  By default a snapshot is divided if it would fill more than a third of a worker's
        memory.

    Returns
    -------
    xarray.Dataset
        Over (``time``,) (``gyroradius``,) ``particle``, ``path``: unwrapped ``x y z``, direction ``vx vy vz``,
        ``mu``, ``B``, ``alive`` where a face is open, ``steps`` where they are random or local, and with an
        electric field ``momentum`` and kinetic ``energy`` over those at the start, ``own_path``; ``bx by bz`` (and
        E over c, ``ex ey ez``) where asked for; where a face is open ``left``, the path length at which each particle
        left, NaN where it has not, and where one reflects ``reflections``, their number so far, and
        ``reflections_along``, that of those by walls that the field runs through; ``speed``;
        ``key``, ``charge_sign``, ``own_gyroradius`` and ``own_beta_gamma`` of each particle;
        scalars ``mean_Bx|y|z``, ``B_rms`` and ``reference_field``; coordinate ``path`` the path length in the
        field's length unit; attrs ``boundary_x|y|z``.  ``mu`` is NaN where the field is 0.

    Raises
    ------
    SnapshotError
        If field, particles or steps are unusable; when computed, if the field is not finite.

    Warns
    -----
    MmfieldsWarning
        If steps given as a length are longer than a cell, or a gyroradius meets too few modes.
    """
    known = (*INTERPOLATIONS, SPECTRAL)
    for name, value, allowed in (
        ("interpolation", interpolation, known),
        ("step_unit", step_unit, STEP_UNITS),
        ("pusher", pusher, (None, *PUSHERS)),
    ):
        if value not in allowed:
            raise SnapshotError(f"{name}={value!r}: one of {', '.join(map(str, allowed))} is needed")
    if scattering is not None and not isinstance(scattering, Scattering):
        raise SnapshotError(f"scattering={scattering!r}: mm.scattering.small_angle(...) or .patchy(...) is needed")
    if particles_per_task is not None:
        require_whole(particles_per_task, "particles_per_task", 1)
    if block is not None:
        require_whole(block, "block", LEAST)
    if not isinstance(local_field, bool | np.bool_):
        raise SnapshotError(f"local_field={local_field!r}: True or False is needed")
    if cell_fraction is not None:
        require_number(cell_fraction, "cell_fraction", np.finfo(float).tiny)
    _check_particles(particles)
    if isinstance(field, xr.Dataset):
        spacing(field)  # its axes are in one unit
    require_same_units(field, particles)
    known = carried(field, particles)
    step, distance, save, scattering = _in_units(xr.Dataset(attrs=known), step, distance, save, scattering)
    if pusher is None and (light_speed is not None or "momentum" in particles):
        raise SnapshotError(
            f"light_speed={light_speed!r}, or particles that an electric field has moved: give pusher=... too"
        )
    rule = _Rule(step, step_unit, interpolation, scattering, pusher, bool(local_field), cell_fraction)
    path = {"distance": distance, "save": save, "per_task": particles_per_task}
    if isinstance(field, Synthetic):
        if pusher is not None:
            raise SnapshotError("a field on no grid has no electric field: leave pusher out")
        if block is not None:
            raise SnapshotError(f"block={block}: a field on no grid is not divided, leave it out")
        if interpolation != "linear":
            raise SnapshotError(f"interpolation={interpolation!r}: a field on no grid has none, leave it out")
        result = _trace_one(
            of_synthetic(field, scattering), particles, replace(rule, interpolation=field.label()), **path
        )
        return result.assign_attrs(_density_of_modes(field, read(particles))).assign_attrs(known)
    names = components(field)
    if extra := [d for d in field[names[0]].dims if d not in SPATIAL]:
        runs = _over(field, particles, str(extra[0]), rule, (light_speed, block), path)
        return runs.assign_attrs(known)
    return _trace_one(_source(field, rule, light_speed, block), particles, rule, **path).assign_attrs(known)


def _in_units(units: xr.Dataset, step: Any, distance: Any, save: Any, scattering: Any) -> tuple[Any, ...]:
    """Lengths and rates of a run as plain numbers in the field's units."""
    lengths = (plain(value, name, units, LENGTH) for name, value in (("step", step), ("distance", distance)))
    saved = save if isinstance(save, int | np.integer) else plain(save, "save", units, LENGTH)
    return *lengths, saved, scattering if scattering is None else scattering.in_units_of(units)


@dataclass(frozen=True)
class _Rule:
    """How steps are made; parameters of :func:`trace`."""

    step: float
    unit: str
    interpolation: str
    scattering: Scattering | None
    pusher: str | None
    local_field: bool
    cell_fraction: float | None

    def rows(self, walls: dict[str, str]) -> tuple[str, ...]:
        """Rows of the kernel's result that are needed."""
        from mmfields.kernels.trace import DRIVEN, MORE, ROWS, WALLED

        more = MORE if self.pusher or self.local_field else ()
        walled = WALLED if {"open", "reflecting"} & set(walls.values()) else ()
        return (*ROWS, *more, *(DRIVEN if self.pusher else ()), *walled)

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


def _density_of_modes(field: Synthetic, particles: Ensemble) -> dict[str, str]:
    """A warning, and for the attrs, where there is reason for one; a lazy reference is not looked at."""
    reference = particles.reference
    if reference.chunks is not None:
        return {}
    radii = np.unique(particles.radii * reference.values / field.strength("rms").item())
    said = sparse(field, radii)
    if said:
        warn(f"too few modes: {said}")
    return {"sparse_modes": said} if said else {}


def _source(field: xr.Dataset, rule: _Rule, light_speed: float | None, block: int | None) -> Source:
    c = None if rule.pusher is None else _light_speed(field, light_speed)
    return of_snapshot(field, rule.interpolation, rule.scattering, c, block)


def _light_speed(field: xr.Dataset, given: float | None) -> float:
    """Speed of light in the unit of E over that of B."""
    from astropy import constants, units

    electric, magnetic = (field[name].attrs.get("units", "1") for name in (components(field, "E")[0], "Bx"))
    if given is not None:
        return require_number(given, "light_speed", np.finfo(float).tiny)
    try:
        if electric != "1" and magnetic != "1":
            return float((constants.c / (units.Unit(electric) / units.Unit(magnetic))).to(""))
    except (ValueError, units.UnitsError):
        pass
    raise SnapshotError(
        f"E in {electric!r} and B in {magnetic!r} do not say what the speed of light is: give light_speed=..., in the "
        "unit of E over that of B (1 where both have one unit)"
    )


def _over(
    field: xr.Dataset, particles: xr.Dataset, dim: str, rule: _Rule, options: tuple[Any, ...], path: dict[str, Any]
) -> xr.Dataset:
    """One run per snapshot along a dim; all of them take the same particles, unless those have the dim too."""
    runs = []
    for i in range(field.sizes[dim]):
        own = particles.isel({dim: i}, drop=True) if dim in particles.dims else particles
        runs.append(_trace_one(_source(field.isel({dim: i}, drop=True), rule, *options), own, rule, **path))
    labels = field[dim] if dim in field.coords else dim
    return xr.concat(runs, labels, data_vars="all", coords="minimal", compat="override", combine_attrs="override")


def _check_particles(particles: xr.Dataset) -> None:
    needed = ("x", "y", "z", "vx", "vy", "vz", "key", "reference_field", "gyroradius")
    if not isinstance(particles, xr.Dataset) or any(name not in particles.variables for name in needed):
        raise SnapshotError(
            f"particles must hold {', '.join(needed)}: make them with mm.particles.isotropic or from_arrays"
        )
    if "path" in particles.dims:
        raise SnapshotError("these are trajectories: trace on from mm.particles.from_trajectories(trajectories)")
    if not particles.sizes.get("particle", 0):
        found = "holds none" if "particle" in particles.dims else "is not there; keep it, particles.isel(particle=[0])"
        raise SnapshotError(f"at least one particle is needed: dim 'particle' {found}")


def _per_task(particles: Ensemble) -> int:
    """A multiple of BATCH that keeps the number of blocks bounded."""
    return BATCH * max(1, -(-particles.radii.size // (BATCH * MOST_TASKS)))


def _trace_one(
    source: Source,
    particles: xr.Dataset,
    rule: _Rule,
    *,
    distance: float,
    save: int | Sequence[float],
    per_task: int | None,
) -> xr.Dataset:
    energy = particles.coords.get("energy")
    particles = particles.drop_vars("energy", errors="ignore")
    ensemble = read(particles)
    said = _check_step(rule, source, ensemble)
    path, wanted = saved_lengths(distance, save, ensemble.start), rule.rows(source.walls)
    longest = rule.longest(source.cell, ensemble)
    _check_number(rule, np.diff(path, prepend=ensemble.start), longest, ensemble.radii)
    if per_task is None:
        per_task = (
            _per_task(ensemble) if source.plan is None else particles_at_once(len(wanted) * len(longest), len(path))
        )
    rows = _rows(source, ensemble, path, longest, rule, per_task)
    kind = "light's path c t" if rule.pusher else "path length"
    coords = {"path": ("path", path, {**source.length, "long_name": kind})}
    if not ensemble.single:
        coords["gyroradius"] = particles["gyroradius"]
    if energy is not None:  # beside an electric field the energy of each point is a variable
        coords["start_energy" if rule.pusher else "energy"] = energy.variable
    result = xr.Dataset(_variables(rows, source, rule), coords, _attrs(particles, ensemble, source, rule) | said)
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


def _speed(result: xr.Dataset, ensemble: Ensemble, rule: _Rule) -> xr.DataArray:
    """Speed over that of light: of each particle, and at each saved point where an electric field changes it."""
    notes = {"long_name": LONG_NAMES["speed"], "units": "1"}
    if rule.pusher is None:
        return xr.DataArray(ensemble.speed, dims=DIMS, attrs=notes)
    momentum = result["momentum"]
    return (momentum / np.hypot(momentum, 1 / result["own_beta_gamma"])).assign_attrs(notes)


def _variables(rows: Any, source: Source, rule: _Rule) -> dict[str, Any]:
    """Those rows of the kernel's result that say something, with their attrs."""
    walls = source.walls.values()
    kept = {
        "alive": "open" in walls,
        "left": "open" in walls,
        "reflections": "reflecting" in walls,
        "reflections_along": "reflecting" in walls,
        "steps": rule.scattering is not None or rule.unit == "local",
        "momentum": rule.pusher is not None,
        "energy": rule.pusher is not None,
        **{f"{letter}{d}": rule.local_field for letter in "be" for d in SPATIAL},
    }
    units = {**dict.fromkeys((*SPATIAL, "own_path", "left"), source.length), "B": source.strength, "mu": {"units": "1"}}
    units |= {f"b{d}": {"units": "1"} for d in SPATIAL} | {f"e{d}": source.strength for d in SPATIAL}
    kinds, variables = {"alive": bool, "steps": np.int64, "reflections": np.int64, "reflections_along": np.int64}, {}
    for row, name in zip(rows, rule.rows(source.walls), strict=True):
        if kept.get(name, True):
            dims, values = ((*DIMS, "path"), row) if name != "left" else (DIMS, row[..., -1])
            notes = {"long_name": LONG_NAMES[name], **units.get(name, {})}
            variables[name] = (dims, values.astype(kinds.get(name, float)), notes)
    return variables


def _attrs(particles: xr.Dataset, ensemble: Ensemble, source: Source, rule: _Rule) -> dict[str, Any]:
    capped = "" if rule.cell_fraction is None else f", at most {rule.cell_fraction:g} of {source.cell:.6g}"
    rules = {
        "length": "fixed path length",
        "gyroradius": f"fixed fraction of the gyroradius in the reference field{capped}",
        "local": f"fraction of the gyroradius in the field of the step before{capped}",
    }
    names = {None: "Boris", "boris": "Boris with E", "higuera-cary": "Higuera-Cary with E", "vay": "Vay with E"}
    return {
        "pusher": f"{names[rule.pusher]}, drift-kick-drift",
        "interpolation": rule.interpolation,
        "step": float(rule.step),
        "step_unit": rule.unit,
        "step_rule": rules[rule.unit],
        "path_kind": "light" if rule.pusher else "particle",
        "scattering": rule.scattering.label() if rule.scattering is not None else "none",
        **{f"boundary_{d}": kind for d, kind in source.walls.items()},
        **({"charge_sign": -1} if (ensemble.sign < 0).all() else {}),
        **{k: v for k, v in particles.attrs.items() if k in KEPT_ATTRS},
        **_shared(particles, ensemble),
    }


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


def _check_number(rule: _Rule, intervals: np.ndarray, longest: np.ndarray, radii: np.ndarray) -> None:
    """Refuse steps without number."""
    shortest = float((np.minimum(rule.step * radii, longest) if rule.unit == "local" else longest).min())
    with np.errstate(over="ignore"):
        most = float(np.ceil(intervals / shortest * (1 - 1e-12)).sum())
    if most > MOST_STEPS:
        raise SnapshotError(
            f"step={rule.step:g} [{rule.unit}] makes {most:.3g} steps of the way, more than {MOST_STEPS:.0e}: lengthen "
            "it, or shorten distance; both count in the field's length unit"
        )


def _check_step(rule: "_Rule", source: Source, particles: Ensemble) -> dict[str, str]:
    """Refuse steps that resolve neither gyration nor scattering; for the attrs, that they are longer than a cell."""
    step = require_plain(rule.step, "step")
    if step.ndim or not step > 0:
        raise SnapshotError(f"step={rule.step!r}: a positive length is needed")
    speed = particles.speed if rule.pusher else np.ones(1)
    turn = float(step if rule.unit != "length" else (step * speed / particles.radii).max())
    if turn > MOST_TURN:
        raise SnapshotError(
            f"step={rule.step:g} [{rule.unit}] is {turn:.3g} gyroradii, so that gyration is not resolved: at most "
            f"{MOST_TURN:g} are stable, and 0.1 or 0.2 are accurate (step=0.1, step_unit='gyroradius'); both count in "
            "the field's length unit"
        )
    rate = 0.0 if rule.scattering is None else max(rule.scattering.rate, rule.scattering.outside)
    longest = float((rule.longest(source.cell, particles) * speed).max())
    if rule.unit != "local" and rate * longest > MOST_SCATTERING:
        raise SnapshotError(
            f"step={rule.step:g} [{rule.unit}] with nu={rate:g} turns the direction by a mean square angle of "
            f"{rate * longest:.3g} at once: take steps of at most {MOST_SCATTERING / rate:.3g}, better a tenth of it"
        )
    on_grid = isinstance(source.kind, str) or source.kind < WAVES
    if rule.unit != "length" or not on_grid or longest <= source.cell * (1 + 1e-9):
        return {}
    said = f"steps of {longest:g} are {longest / source.cell:.3g} cells long, and skip the field between"
    warn(f"{said}: take step={source.cell:g} or less, or step_unit='gyroradius', which is capped at a cell")
    return {"long_steps": said}


def _rows(source: Source, ensemble: Ensemble, path: np.ndarray, longest: np.ndarray, rule: _Rule, per_task: int) -> Any:
    """Dask array (row, gyroradius, particle, path): one task per block of particles and gyroradius."""
    import dask.array as da

    wanted = rule.rows(source.walls)
    abreast, run = (1, run_task) if source.plan is None else (len(longest), _divided(source))
    chunks = abreast, per_task
    arranged = ensemble.data
    taken = arranged["steps"] if "steps" in arranged else xr.zeros_like(arranged["key"], np.int64)
    if "alive" in arranged:
        taken = taken.where(arranged["alive"], -1 - taken)
    apart = ensemble.reference.ndim > 0  # in the rigidities of the start then
    more = {} if source.plan is not None else {"even": rule.unit != "local" and bool((longest == longest[:, :1]).all())}
    return da.blockwise(
        run,
        "rgps",
        source.data,
        None,
        source.electric,
        None,
        source.mask,
        None,
        _apart(_in_columns(start_columns(ensemble, longest), chunks)),
        "gpc",
        _in_blocks(arranged["key"].data, chunks),
        "gp",
        _in_blocks(taken.transpose(*DIMS).data.astype(np.int64), chunks),
        "gp",
        da.asarray(1.0 if apart else ensemble.reference.data),
        "",
        da.from_array(np.diff(path, prepend=ensemble.start), chunks=-1),
        "s",
        da.from_array(path, chunks=-1),
        "s",
        geometry=source.geometry,
        kind=source.kind,
        fraction=float(rule.step) if rule.unit == "local" else 0.0,
        scattering=rule.scattering,
        pusher=(None, *PUSHERS).index(rule.pusher),
        rows=len(wanted),
        new_axes={"r": len(wanted)},
        dtype=float,
        concatenate=True,
        meta=np.empty((0, 0, 0, 0)),
        **more,
    )


def _divided(source: Source) -> Any:
    plan, form = source.plan
    return partial(run_domains, plan=plan, form=form)


def _in_blocks(array: Any, chunks: tuple[int, ...]) -> Any:
    """A Dask array in these chunks; an array in memory goes into the graph in pieces of no more than PIECE numbers."""
    import dask.array as da

    if hasattr(array, "dask"):
        return array.rechunk(chunks)
    wide = int(np.prod(array.shape[2:]))
    return da.from_array(array, chunks=(1, min(chunks[1], PIECE // wide), *chunks[2:])).rechunk(chunks)


def _in_columns(parts: Sequence[Any], chunks: tuple[int, int]) -> Any:
    """Numbers of each particle side by side, (gyroradius, particle, column)."""
    import dask.array as da

    if any(hasattr(p, "dask") for p in parts):
        return da.stack([p.astype(float) for p in parts], -1).rechunk((*chunks, -1))
    return _in_blocks(np.stack(parts, -1).astype(float), (*chunks, -1))


def _apart(array: Any) -> Any:
    """The same array, each of its blocks a task of its own.

    A cluster runs those on all its workers, and what needs them where they are; tasks that need nothing but the
    field would all be sent to the worker that holds it.
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    name = f"apart-{array.name}"
    tasks = {(name, *index): (np.copy, (array.name, *index)) for index in np.ndindex(*array.numblocks)}
    graph = HighLevelGraph.from_collections(name, tasks, [array])
    return da.Array(graph, name, array.chunks, meta=array._meta)

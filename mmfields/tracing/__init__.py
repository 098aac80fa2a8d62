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
)
from mmfields.provenance import verb
from mmfields.scattering import Scattering
from mmfields.tracing.domains import LEAST, particles_at_once, run_domains
from mmfields.tracing.source import INTERPOLATIONS, SPECTRAL, Source, of_snapshot, of_synthetic, sparse
from mmfields.tracing.task import run_task
from mmfields.turbulence import Synthetic
from mmfields.units import LENGTH, carried, plain

__all__ = ["trace"]

# Beyond these a run would not end, Boris steps would turn by more than a right angle, or scattering be too coarse.
MOST_STEPS, MOST_TURN, MOST_SCATTERING = 1e13, 2.0, 1.0
BATCH, MOST_TASKS, PIECE = 64, 1000, 2**18
STEP_UNITS = ("length", "gyroradius", "local")
PUSHERS = ("boris", "higuera-cary", "vay")
KEPT_ATTRS = ("seed", "distribution", "reference_field_kind", "charge_sign", "species", "charge", "mass")
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
        From :mod:`mmfields.particles`.
    step : float or astropy Quantity
        Longest step.
    distance : float or astropy Quantity
        Path length to trace, counted from the original start.  With an electric field this and `step`, `save`
        and the ``path`` that comes back are light's path c t.
    save : int, or sequence of float or Quantity
        So many evenly spaced points after the start, which is saved too; or the path lengths.
    step_unit : {"length", "gyroradius", "local"}
        What `step` counts: the field's length unit, each particle's gyroradius in the reference field, or
        its gyroradius in the field that it saw in the step before; the latter is no longer than a cell, or an
        eighth of the shortest wave.
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
        electric field ``momentum`` and kinetic ``energy`` over those at the start; ``bx by bz`` where asked for;
        ``key`` of each particle;
        scalars ``mean_Bx|y|z``, ``B_rms`` and ``reference_field``; coordinate ``path`` the path length in the
        field's length unit.

    Raises
    ------
    SnapshotError
        If field, particles or steps are unusable; when computed, if the field is not finite.
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
    _check_particles(particles)
    known = carried(field, particles)
    step, distance, save, scattering = _in_units(xr.Dataset(attrs=known), step, distance, save, scattering)
    if pusher is None and (light_speed is not None or "momentum" in particles):
        raise SnapshotError(
            f"light_speed={light_speed!r}, or particles that an electric field has moved: give pusher=... too"
        )
    rule = _Rule(step, step_unit, interpolation, scattering, pusher, bool(local_field))
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
        return result.assign_attrs(_density_of_modes(field, particles)).assign_attrs(known)
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

    @property
    def rows(self) -> int:
        """Rows of the kernel's result that are needed."""
        return 15 if self.pusher or self.local_field else 10


def _density_of_modes(field: Synthetic, particles: xr.Dataset) -> dict[str, str]:
    """A warning for the attrs where there is reason for one; particles whose reference is lazy are not looked at."""
    reference = particles["reference_field"]
    if reference.chunks is not None:
        return {}
    said = sparse(field, particles["gyroradius"].values * float(reference) / field.strength("rms").item())
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


def _per_task(particles: xr.Dataset) -> int:
    """A multiple of BATCH that keeps the number of blocks bounded."""
    total = particles.sizes["particle"] * particles.sizes.get("gyroradius", 1)
    return BATCH * max(1, -(-total // (BATCH * MOST_TASKS)))


def _trace_one(
    source: Source,
    particles: xr.Dataset,
    rule: _Rule,
    *,
    distance: float,
    save: int | Sequence[float],
    per_task: int | None,
) -> xr.Dataset:
    _check_step(rule, np.atleast_1d(particles["gyroradius"].values))
    single = "gyroradius" not in particles.dims
    reference = particles["reference_field"]
    ensemble = particles.drop_vars(["reference_field", "path_start"], errors="ignore")
    ensemble = ensemble.expand_dims("gyroradius") if single else ensemble
    start = float(particles["path_start"]) if "path_start" in particles else 0.0
    path = saved_lengths(distance, save, start)
    if per_task is None:
        per_task = (
            _per_task(particles)
            if source.plan is None
            else particles_at_once(rule.rows * ensemble.sizes["gyroradius"], len(path))
        )
    rows = _rows(source, ensemble, reference, np.diff(path, prepend=start), rule, per_task)
    kind = "light's path c t" if rule.pusher else "path length"
    coords = {"gyroradius": ensemble["gyroradius"], "path": ("path", path, {**source.length, "long_name": kind})}
    if "energy" in ensemble.coords:  # beside an electric field the energy of each point is a variable
        coords["start_energy" if rule.pusher else "energy"] = ensemble["energy"].variable
    result = xr.Dataset(_variables(rows, source, rule), coords, _attrs(particles, rule))
    result["key"] = ensemble["key"].transpose("gyroradius", "particle").drop_attrs()
    result["key"].attrs["long_name"] = LONG_NAMES["key"]
    for name, value in source.means.items():
        result[name] = value.drop_attrs()
    result["reference_field"] = reference.drop_attrs()
    if rule.pusher or "beta_gamma" in ensemble:
        result["beta_gamma"] = _beta_gamma(ensemble)
    return result.isel(gyroradius=0) if single else result


def _variables(rows: Any, source: Source, rule: _Rule) -> dict[str, Any]:
    """Those rows of the kernel's result that say something, with their attrs."""
    from mmfields.kernels.trace import ROWS

    kept = {
        "alive": "open" in source.walls,
        "steps": rule.scattering is not None or rule.unit == "local",
        "momentum": rule.pusher is not None,
        "energy": rule.pusher is not None,
        **{f"b{d}": rule.local_field for d in SPATIAL},
    }
    units = {**dict.fromkeys(SPATIAL, source.length), "B": source.strength, "mu": {"units": "1"}}
    units |= {f"b{d}": {"units": "1"} for d in SPATIAL}
    dims, variables = ("gyroradius", "particle", "path"), {}
    for row, name in zip(rows, ROWS, strict=False):
        if kept.get(name, True):
            values = row.astype({"alive": bool, "steps": np.int64}.get(name, float))
            variables[name] = (dims, values, {"long_name": LONG_NAMES[name], **units.get(name, {})})
    return variables


def _beta_gamma(ensemble: xr.Dataset) -> xr.DataArray:
    """p/(m c) at the start over ``gyroradius``; infinite for particles that do not say."""
    if "beta_gamma" not in ensemble:
        return xr.full_like(ensemble["gyroradius"], np.inf, float).drop_attrs()
    return ensemble["beta_gamma"]


def _attrs(particles: xr.Dataset, rule: _Rule) -> dict[str, Any]:
    rules = {
        "length": "fixed path length",
        "gyroradius": "fixed fraction of the gyroradius in the reference field",
        "local": "fraction of the gyroradius in the field of the step before, at most one cell",
    }
    names = {None: "Boris", "boris": "Boris with E", "higuera-cary": "Higuera-Cary with E", "vay": "Vay with E"}
    return {
        "pusher": f"{names[rule.pusher]}, drift-kick-drift",
        "interpolation": rule.interpolation,
        "step": float(rule.step),
        "step_unit": rule.unit,
        "step_rule": rules[rule.unit],
        "scattering": rule.scattering.label() if rule.scattering is not None else "none",
        **{k: v for k, v in particles.attrs.items() if k in KEPT_ATTRS},
    }


def _counts(intervals: np.ndarray, step: float, unit: str, radii: np.ndarray) -> np.ndarray:
    """Number of steps of each interval, (gyroradius, save); not used where steps are local."""
    longest = step * radii if unit == "gyroradius" else np.full(len(radii), step)
    counts = np.ceil(intervals / longest[:, None] * (1 - 1e-12))
    if (most := counts.sum(axis=-1).max()) > MOST_STEPS:
        raise SnapshotError(
            f"step={step:g} [{unit}] makes {most:.3g} steps of the way, more than {MOST_STEPS:.0e}: lengthen it, or "
            "shorten distance; both count in the field's length unit"
        )
    return counts.astype(np.int64)


def _check_step(rule: "_Rule", radii: np.ndarray) -> None:
    """Refuse steps that resolve neither gyration nor scattering."""
    step = require_plain(rule.step, "step")
    if step.ndim or not step > 0:
        raise SnapshotError(f"step={rule.step!r}: a positive length is needed")
    turn = float(step if rule.unit != "length" else step / radii.min())
    if turn > MOST_TURN:
        raise SnapshotError(
            f"step={rule.step:g} [{rule.unit}] is {turn:.3g} gyroradii, so that gyration is not resolved: at most "
            f"{MOST_TURN:g} are stable, and 0.1 or 0.2 are accurate (step=0.1, step_unit='gyroradius'); both count in "
            "the field's length unit"
        )
    rate = 0.0 if rule.scattering is None else max(rule.scattering.rate, rule.scattering.outside)
    longest = float(step * radii.max() if rule.unit == "gyroradius" else step)
    if rule.unit != "local" and rate * longest > MOST_SCATTERING:
        raise SnapshotError(
            f"step={rule.step:g} [{rule.unit}] with nu={rate:g} turns the direction by a mean square angle of "
            f"{rate * longest:.3g} at once: take steps of at most {MOST_SCATTERING / rate:.3g}, better a tenth of it"
        )


def _rows(
    source: Source, ensemble: xr.Dataset, reference: xr.DataArray, intervals: np.ndarray, rule: _Rule, per_task: int
) -> Any:
    """Dask array (row, gyroradius, particle, path): one task per block of particles and gyroradius."""
    import dask.array as da

    radii = ensemble["gyroradius"].values.astype(float)
    abreast, run = (1, run_task) if source.plan is None else (len(radii), _divided(source))
    chunks = abreast, per_task
    arranged = ensemble.transpose("gyroradius", "particle", ...)
    counts = _counts(intervals, rule.step, rule.unit, radii)
    taken = arranged["steps"] if "steps" in arranged else xr.zeros_like(arranged["key"], np.int64)
    if "alive" in arranged:
        taken = taken.where(arranged["alive"], -1 - taken)
    return da.blockwise(
        run,
        "rgps",
        source.data,
        None,
        source.electric,
        None,
        source.mask,
        None,
        _apart(_start(arranged, chunks)),
        "gpc",
        _in_blocks(arranged["key"].data, chunks),
        "gp",
        _in_blocks(taken.data.astype(np.int64), chunks),
        "gp",
        da.from_array(radii * ensemble.attrs.get("charge_sign", 1), chunks=abreast),
        "g",
        da.from_array(1 / _beta_gamma(ensemble).values, chunks=abreast),
        "g",
        da.asarray(reference.data),
        "",
        da.from_array(intervals, chunks=-1),
        "s",
        da.from_array(counts, chunks=(abreast, -1)),
        "gs",
        geometry=source.geometry,
        kind=source.kind,
        pace=(float(rule.step), source.cell) if rule.unit == "local" else (0.0, 0.0),
        scattering=rule.scattering,
        pusher=(None, *PUSHERS).index(rule.pusher),
        rows=rule.rows,
        new_axes={"r": rule.rows},
        dtype=float,
        concatenate=True,
        meta=np.empty((0, 0, 0, 0)),
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


def _start(arranged: xr.Dataset, chunks: tuple[int, int]) -> Any:
    """Positions, directions and momenta side by side, (gyroradius, particle, 7)."""
    import dask.array as da

    momentum = arranged["momentum"] if "momentum" in arranged else xr.ones_like(arranged["x"], float)
    parts = [*(arranged[n].data for n in ("x", "y", "z", "vx", "vy", "vz")), momentum.data]
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

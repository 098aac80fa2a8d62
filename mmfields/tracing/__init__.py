"""Field and particles to trajectories, lazily: ``mm.trace``; and seeds to field lines, ``mm.field_lines``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields._types import Number, Saved
from mmfields.conventions import SPATIAL, ArgumentError, components, saved_lengths, spacing, warn
from mmfields.fields import Analytic, Sum
from mmfields.kernels.setup import Pusher
from mmfields.provenance import verb
from mmfields.scattering import Scattering
from mmfields.tracing.centres import GuidingCentre, centres_of, check_centres, check_source
from mmfields.tracing.ensemble import Ensemble, read
from mmfields.tracing.evolution import (
    Clock,
    Evolution,
    clock_of,
    frozen,
    require_evolving,
    require_one_speed,
    start_of_path,
)
from mmfields.tracing.evolving import Moving
from mmfields.tracing.fields import Source, of_series, of_snapshot, of_synthetic, of_waves, require_electric, sparse
from mmfields.tracing.graph import saved_points
from mmfields.tracing.light import light_speed_of, light_speed_of_flow
from mmfields.tracing.lines import field_lines
from mmfields.tracing.own import check_own, of_function, of_sum
from mmfields.tracing.rules import (
    PUSHERS,
    Rule,
    check_number,
    check_options,
    check_particles,
    check_step,
)
from mmfields.tracing.task import Task
from mmfields.tracing.trajectories import labelled
from mmfields.turbulence import Synthetic
from mmfields.units import LENGTH, carried, plain, require_same_units

__all__ = ["Evolution", "GuidingCentre", "field_lines", "trace"]


@verb
def trace(
    field: xr.Dataset | Synthetic | Analytic | Sum,
    particles: xr.Dataset,
    *,
    step: Number,
    distance: Number,
    save: Saved = 100,
    step_unit: Literal["length", "gyroradius", "local"] = "length",
    interpolation: Literal["nearest", "linear", "cubic", "faces", "spectral"] = "linear",
    scattering: Scattering | None = None,
    pusher: Literal["boris", "higuera-cary", "vay", "guiding-centre"] | GuidingCentre | None = None,
    light_speed: float | None = None,
    electric: str | None = None,
    evolve: bool | Evolution = False,
    local_field: bool = False,
    cell_fraction: float | None = 1.0,
    particles_per_task: int | None = None,
    block: int | None = None,
) -> xr.Dataset:
    """Trace charged particles through a field, at rest or changing in time, lazily.

    Drift-kick-drift steps through the interpolated magnetic field alone, unless `pusher` is given: then the
    electric field of the snapshot acts too.  Between two saved points the step is the largest that divides
    the interval and does not exceed `step`.  Results do not depend on `particles_per_task`, chunks, scheduler
    or workers, and a run continued from any saved point (:func:`mmfields.particles.from_trajectories`) equals
    one without a break, to the bit.  The speed stays 1 to rounding; each step rounds a position x by half a unit in its
    last place, |x| 2^-53, and over N steps these add up to N |x| 2^-53 at most (1e-7 |x| after 10^9; in a uniform field
    8e-9 |x| were found then, |v| - 1 of 5e-17, and 1e-9 of the pitch-angle cosine).

    Parameters
    ----------
    field : xarray.Dataset, PlaneWaves or NestedGrids, or what :mod:`mmfields.fields` gives
        Snapshot with ``Bx By Bz``, or several along ``time``, each traced through on its own; missing
        spatial dims are ignorable axes.  Periodic axes wrap and positions are not brought back; a particle
        that would leave through an open face stops and is flagged; a reflecting face mirrors it.  Plane
        waves and nested grids of :mod:`mmfields.turbulence` are evaluated at the particles and have no walls; where a
        gyroradius meets too few of their modes, the attr ``sparse_modes`` of the result says so.  Functions of one's
        own are evaluated there too, and so are waves beside a snapshot.
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
    pusher : {"boris", "higuera-cary", "vay", "guiding-centre"} or GuidingCentre, optional
        Use ``Ex Ey Ez`` too, relativistically: Boris (1970), Higuera & Cary (2017) or Vay (2008).  Particles
        have the ``beta_gamma`` that they were made with.  Or follow guiding centres where the gyroradius is far below
        the length on which the field changes (:class:`GuidingCentre`), in steps of a length such as a fifth of a cell:
        through a snapshot, by ``"cubic"``, in B alone unless `electric` is given.
    light_speed : float, optional
        Speed of light in the unit of E over that of B; found from their units where these are known.  For
        ``electric="ideal"`` that in the unit of ``ux``, and for `evolve` in the length unit per unit of ``time``; what
        units say is taken first there.
    electric : {"stored", "ideal"}, optional
        Which electric field acts, through `pusher` (``boris`` by default): ``Ex Ey Ez``, as without this argument where
        a pusher is given; or E = -u × B, formed at the particle from the bulk velocity ``ux uy uz`` and B there, which
        has no part along B as one that is interpolated from a grid has.
    evolve : bool or Evolution
        Take the snapshots along ``time`` for one field, linear in time between them; :class:`Evolution` says from when
        on, and what happens beyond the series.  The time of a point is that of the start plus its `path` over the
        speed by which paths count: that of light with a pusher, else the particles' own.  Plane waves with frequencies
        move too; their time is counted as path of light.  Steps end at snapshots as
        they do at saved points.  Two snapshots are held at a time: in memory, or in files of blocks if together they
        would fill more than a third of a worker's memory.  A task reads each snapshot once, and takes all particles
        whose trajectories fit an eighth of the memory.
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
        memory.  With `evolve` the files hold two snapshots of each block, and all of this counts for two.

    Returns
    -------
    xarray.Dataset
        Over (``time``,) (``gyroradius``,) ``particle``, ``path``: unwrapped ``x y z``, direction ``vx vy vz``,
        ``mu``, ``B``, ``alive`` where a face is open, ``steps`` where they are random or local, and with an
        electric field ``momentum`` and kinetic ``energy`` over those at the start, ``own_path``; ``bx by bz`` (and
        E over c, ``ex ey ez``) where asked for; where a face is open ``left``, the path length at which each particle
        left, NaN where it has not, and where one reflects ``reflections``, their number so far, and
        ``reflections_along``, that of those by walls that the field runs through; ``speed``;
        with guiding centres ``guiding_centre``, which points are those of one, ``parallel_momentum`` and
        ``magnetic_moment``: there ``x y z`` are its position, ``vx vy vz`` its velocity over the speed of the particle,
        shorter than 1, whose integral is its displacement, and ``mu``, ``momentum`` and ``energy`` those of the
        particle, averaged over its gyration;
        ``key``, ``charge_sign``, ``own_gyroradius`` and ``own_beta_gamma`` of each particle;
        scalars ``mean_Bx|y|z``, ``B_rms`` (of the first snapshot where they evolve) and ``reference_field``; ``time``
        of the saved points where the field evolves; coordinate ``path`` the path length in the
        field's length unit; attrs ``boundary_x|y|z``.  ``mu`` is NaN where the field is 0.

    Raises
    ------
    ArgumentError
        If steps or other arguments are unusable.
    SnapshotError
        If field or particles are; when computed, if the field is not finite.

    Warns
    -----
    MmfieldsWarning
        If steps given as a length are longer than a cell, than an eighth of the shortest wave beside a snapshot, or
        than the smallest structure of a function; or if a gyroradius meets too few modes.
    """
    evolution = require_evolving(evolve, electric)
    centres, pusher = centres_of(pusher, electric)
    rule = Rule(step, step_unit, interpolation, scattering, pusher, local_field, cell_fraction, centres)
    check_options(rule, particles_per_task, block)
    check_centres(rule, isinstance(field, xr.Dataset), evolution is not None, block)
    check_particles(particles, centres is not None)
    if isinstance(field, xr.Dataset):
        spacing(field)  # its axes are in one unit
    require_same_units(field, particles)
    known = carried(field, particles)
    rule, distance, save = _in_units(xr.Dataset(attrs=known), rule, distance, save)
    if pusher is None and ((light_speed is not None and evolution is None) or "momentum" in particles):
        raise ArgumentError(
            f"light_speed={light_speed!r}, or particles that an electric field has moved: give pusher=... too"
        )
    path = {"distance": distance, "save": save, "per_task": particles_per_task}
    if isinstance(field, Synthetic):
        _check_synthetic(pusher if electric is None else None, block, interpolation)
        source = _of_synthetic(field, rule, particles, evolution, electric)
        result = _trace_one(source, particles, replace(rule, interpolation=field.label()), **path)
        return result.assign_attrs(_density_of_modes(field, read(particles))).assign_attrs(known)
    options = (light_speed, block, electric)
    if isinstance(field, Analytic | Sum):
        check_own(field, rule, evolution, options)
        if isinstance(field, Sum):
            source, label = of_sum(field, rule, light_speed), f"{rule.interpolation}, beside {field.waves.label()}"
        else:
            source, label = of_function(field, rule, particles, evolution), field.label()
        result = _trace_one(source, particles, replace(rule, interpolation=label), **path)
        return result.assign_attrs(known)
    extra = [str(d) for d in field[components(field)[0]].dims if d not in SPATIAL]
    if evolution is not None:
        clock = clock_of(field, particles, evolution, light_speed)
        result = _trace_one(_source(field, rule, options, clock), particles, rule, **path)
    elif extra:
        result = _over(field, particles, extra[0], rule, options, path)
    else:
        result = _trace_one(_source(field, rule, options), particles, rule, **path)
    return result.assign_attrs(known)


def _of_synthetic(
    field: Synthetic, rule: Rule, particles: xr.Dataset, evolution: Evolution | None, electric: str | None
) -> Source:
    """Waves at rest, or in time, which is counted as path of light."""
    if electric == "stored":
        raise ArgumentError("electric='stored': a field on no grid stores none, give electric='ideal'")
    if evolution is None and electric is None:
        return of_synthetic(field, rule.scattering)
    start = 0.0 if evolution is None else start_of_path(particles, evolution)
    return of_waves(field, rule.scattering, Moving(start, evolution is None))


def _check_synthetic(pusher: str | None, block: int | None, interpolation: str) -> None:
    """Refuse what makes no sense for a field on no grid."""
    if pusher is not None:
        raise ArgumentError(
            "a field on no grid has no electric field: leave pusher out, or give electric='ideal' with waves that move"
        )
    if block is not None:
        raise ArgumentError(f"block={block}: a field on no grid is not divided, leave it out")
    if interpolation != "linear":
        raise ArgumentError(f"interpolation={interpolation!r}: a field on no grid has none, leave it out")


def _in_units(units: xr.Dataset, rule: Rule, distance: Any, save: Any) -> tuple[Rule, float, Any]:
    """Lengths and rates of a run as plain numbers in the field's units."""
    step, way = (plain(value, name, units, LENGTH) for name, value in (("step", rule.step), ("distance", distance)))
    saved = save if isinstance(save, int | np.integer) else plain(save, "save", units, LENGTH)
    scattering = rule.scattering and rule.scattering.in_units_of(units)
    return replace(rule, step=step, scattering=scattering), way, saved


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


def _source(field: xr.Dataset, rule: Rule, options: tuple[Any, ...], clock: Clock | None = None) -> Source:
    """A field for the kernel; `options` are the speed of light, the side of blocks, and which electric field acts."""
    light_speed, block, electric = options
    read_as_it_is = field, rule.interpolation, rule.scattering
    if rule.centres is not None and electric == "ideal":
        require_electric(field, electric)
        return of_snapshot(*read_as_it_is, light_speed_of_flow(field, light_speed), block, "u")
    if clock is None and electric != "ideal":
        c = None if rule.pusher is None else light_speed_of(field, light_speed)
        return of_snapshot(*read_as_it_is, c, block)
    electric = electric or ("stored" if rule.pusher else None)
    series = field.drop_vars("time", errors="ignore").expand_dims(time=[0.0]) if clock is None else field
    return of_series(series, clock or frozen(), rule, electric, light_speed, block)


def _over(
    field: xr.Dataset, particles: xr.Dataset, dim: str, rule: Rule, options: tuple[Any, ...], path: dict[str, Any]
) -> xr.Dataset:
    """One run per snapshot along a dim; all of them take the same particles, unless those have the dim too."""
    runs = []
    for i in range(field.sizes[dim]):
        own = particles.isel({dim: i}, drop=True) if dim in particles.dims else particles
        runs.append(_trace_one(_source(field.isel({dim: i}, drop=True), rule, options), own, rule, **path))
    labels = field[dim] if dim in field.coords else dim
    return xr.concat(runs, labels, data_vars="all", coords="minimal", compat="override", combine_attrs="override")


def _within(clock: Clock, path: np.ndarray, ensemble: Ensemble, rule: Rule) -> np.ndarray:
    """Saved points that a series covers."""
    if rule.pusher is None:
        require_one_speed(ensemble.speed)
    return clock.covered(path, ensemble.start, np.ones(1) if rule.pusher else ensemble.speed)


def _trace_one(
    source: Source,
    particles: xr.Dataset,
    rule: Rule,
    *,
    distance: float,
    save: int | Sequence[float],
    per_task: int | None,
) -> xr.Dataset:
    if rule.centres is not None:
        check_source(source)
    ensemble = read(particles.drop_vars("energy", errors="ignore"))
    said = check_step(rule, source, ensemble)
    path, longest = saved_lengths(distance, save, ensemble.start), rule.longest(source.cell, ensemble)
    if source.moving is not None and not source.moving.still and rule.pusher is None:
        require_one_speed(ensemble.speed)
    if source.evolving is not None:
        path = _within(source.evolving.clock, path, ensemble, rule)
    check_number(rule, np.diff(path, prepend=ensemble.start), longest, ensemble.radii)
    task = Task(
        source.geometry,
        source.interpolation,
        ensemble.start,
        path,
        fraction=float(rule.step) if rule.unit == "local" else 0.0,
        even=rule.unit != "local" and bool((longest == longest[:, :1]).all()),
        scattering=rule.scattering,
        pusher=Pusher((None, *PUSHERS).index(rule.pusher)),
        kinds=rule.kinds(source.walls),
        centres=rule.centres,
    )
    rows = saved_points(source, ensemble, longest, task, per_task)
    return labelled(rows, path, particles, ensemble, source, rule).assign_attrs(said)


def __dir__() -> list[str]:
    return sorted(__all__)

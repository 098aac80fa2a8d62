"""Diffusion coefficients from displacements."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields.conventions import FIELD_LINES, SPATIAL, ArgumentError, SnapshotError, require_number, require_whole, warn
from mmfields.provenance import verb
from mmfields.transport.reading import (
    alive,
    along,
    as_particles,
    check,
    left_fraction,
    own_lengths,
    strength,
    warn_of_survivors,
)
from mmfields.transport.statistics import finite_run, labelled, mean_and_error, without_drift

# An exponent that differs from 1 by more than this is not that of a plateau.
PLATEAU = 0.3


@verb
def running_diffusion(
    trajectories: xr.Dataset,
    *,
    direction: str | Sequence[float] | None = None,
    frame: Literal["mean", "local"] = "mean",
    drift: Literal["kept", "removed"] = "kept",
) -> xr.Dataset:
    """Running diffusion coefficients against path length.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``.  Displacements count from the first saved point; particles that have
        left the box are left out from then on.  Or from ``mm.field_lines``: the coefficients are then those of the
        lines, ⟨Δx²⟩/2s in lengths, and each line counts twice, both ways from its seed.
    direction : str or three numbers, optional
        What parallel means; the mean field of the box by default.
    frame : {"mean", "local"}
        ``local``: each piece of path between two saved points is split along the field that the particle saw at
        its ends; ``kappa_par`` is of the sum along, ``kappa_perp`` of the vector sum across.  Trace with
        ``local_field=True``, and save more than once per gyration or per bend of the field lines.  From where the
        field is 0 on a particle has no path along it, and does not count.
    drift : {"kept", "removed"}
        Whether displacements are those from the start, or from the mean one of all particles, which a common drift
        such as E × B makes.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,) ``path``: ``kappa``, ``kappa_par``, ``kappa_perp``, ``kappa_xx``,
        ``kappa_yy``, ``kappa_zz`` in units of particle speed times length unit (by each particle's own path
        and speed, also where ``path`` is light's), each with its
        standard error over particles ``…_error``.  Parallel is along the mean field of the box;
        where that is below 1e-3 of the rms field and no direction is given, ``kappa_par`` and
        ``kappa_perp`` are NaN.  ``count`` is the number of particles that still count.

    Raises
    ------
    ArgumentError, SnapshotError
        If there are fewer than two saved points or two particles, or no local field for ``local``.
    """
    trajectories = as_particles(trajectories)
    squares, length = _squares(trajectories, direction, frame, drift)
    direction = "z" if frame == "local" else direction  # along and across exist without a mean field
    return mean_and_error(squares / length, trajectories, "running", direction)


@verb
def diffusion(
    trajectories: xr.Dataset,
    *,
    window: float = 0.5,
    direction: str | Sequence[float] | None = None,
    frame: Literal["mean", "local"] = "mean",
    drift: Literal["kept", "removed"] = "kept",
) -> xr.Dataset:
    """Plateau of the diffusion coefficients.

    Each particle's squared displacement over path length is averaged over the last part of the
    run; mean and standard error are over particles.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``, or ``mm.field_lines``: see :func:`running_diffusion`.  Lines along a mean field diffuse
        across it alone, and have no ``too_short`` and no ``bias``.
    window : float
        The plateau is taken from this fraction of the path on.
    direction, frame, drift
        As :func:`running_diffusion`.

    Returns
    -------
    xarray.Dataset
        As :func:`running_diffusion` without ``path``, with the exponents a of the mean square
        displacements ∝ s^a in the window: ``exponent`` of <dr^2>, ``exponent_par``, ``exponent_perp``.
        1 is diffusion, 2 free flight, 0 confinement: away from 1 the coefficient is no plateau, and its
        error, which is over particles alone, does not know.  ``too_short`` where the exponent is above that of a run
        of one mean free path.  ``bias`` is what a finite run takes off ``kappa`` and ``kappa_par``, relative, where
        the scattering is isotropic, about -1/(nu_1 s): divide them by 1 + bias.  ``left_fraction``, where a face is
        open, is the share of the particles that had left: the coefficients are then of the others, a biased sample.
        ``window_start`` and ``window_end`` are path lengths, for
        ``mm.plot.running_diffusion(…, plateau=…)``; attrs record the rule.

    Raises
    ------
    ArgumentError, SnapshotError
        If the window holds fewer than two saved points.

    Warns
    -----
    MmfieldsWarning
        Where the trajectories are in memory: if particles have left, the run is too short, or there is no plateau.
    """
    trajectories = as_particles(trajectories)
    squares, length = _windowed(trajectories, window, direction, frame, drift)
    direction = "z" if frame == "local" else direction
    result = mean_and_error((squares / length).mean("path"), trajectories, "plateau", direction)
    path = (squares["path"] - trajectories["path"][0]).assign_attrs(trajectories["path"].attrs)
    for name in ("kappa", "kappa_par", "kappa_perp"):
        exponent = name.replace("kappa", "exponent")
        several = squares[name].count("particle") > 1
        result[exponent] = _exponent(squares[name].mean("particle").where(several), path)
        if name != "kappa":
            result[exponent] = result[exponent].where(result[name].notnull())
        result[exponent].attrs = {
            "long_name": f"a of the displacements behind {name}, proportional to s^a",
            "units": "1",
        }
    if trajectories.attrs.get("kind") == FIELD_LINES:
        return _of_lines(result, path, window)
    result["too_short"] = (result["exponent"] > _of_one_free_path(path)).assign_attrs(
        long_name="the displacements grow as in a run shorter than a mean free path, so they cannot have diffused",
        units="1",
    )
    result["bias"] = _bias(result, length)
    if (share := left_fraction(trajectories)) is not None:
        result["left_fraction"] = share
    warn_of_survivors(share, "kappa")
    _warn_of_no_plateau(result)
    return _with_window(result, path, window)


def _with_window(result: xr.Dataset, path: xr.DataArray, window: float) -> xr.Dataset:
    """From where to where the plateau was taken."""
    result.attrs["window_from"] = float(window)
    result.attrs["window_rule"] = "the last part of the path, from this fraction of it on"
    for name, place in (("window_start", 0), ("window_end", -1)):
        notes = {**path.attrs, "long_name": f"{name.split('_')[1]} of the plateau's window"}
        result[name] = ((), float(path[place]), notes)
    return result


def _of_lines(result: xr.Dataset, path: xr.DataArray, window: float) -> xr.Dataset:
    """What is said of lines, which go straight along a mean field and wander across it, or wander in all directions."""
    result = _with_window(result.assign_attrs(of=FIELD_LINES), path, window)
    if any(v.chunks is not None for v in result.variables.values()):
        return result
    directed = bool(result["kappa_perp"].notnull().all())
    name, axes = ("exponent_perp", 2) if directed else ("exponent", 3)
    noise = (2 / (axes * result["count"].clip(min=1))) ** 0.5 / np.log(2)
    if (off := abs(result[name] - 1) > PLATEAU + 2 * noise).any():
        warn(
            f"no plateau: {name} {float(result[name].where(off).max()):.3g}, where lines that diffuse have 1 (below: "
            "confined to islands or surfaces, above: straight over so short a way)"
        )
    return result


def _bias(result: xr.Dataset, length: xr.DataArray) -> xr.DataArray:
    """Relative bias of a finite run, from the free path along the field, or from that of all directions."""
    length = length.mean("particle") if "particle" in length.dims else length
    options: dict[str, Any] = {
        "dask": "parallelized",
        "output_dtypes": [float],
        "dask_gufunc_kwargs": {"allow_rechunk": True},
    }
    shown = result["kappa_par"].where(result["kappa_par"].notnull(), result["kappa"])
    bias = xr.apply_ufunc(finite_run, shown, length, input_core_dims=[[], ["path"]], **options)
    return bias.assign_attrs(
        long_name="relative bias of kappa and kappa_par for the run being finite, of isotropic scattering", units="1"
    )


def _warn_of_no_plateau(result: xr.Dataset) -> None:
    """Warn of what is known of a plateau that is none."""
    if any(v.chunks is not None for v in result.variables.values()):
        return
    if result["too_short"].any():
        warn(
            "the run is shorter than a mean free path (too_short), and kappa is of free flight: trace farther, or "
            "take drift='removed' where all particles drift together"
        )
        return
    found = []
    for name, axes in (("exponent", 3), ("exponent_par", 1)):
        # of Gaussian displacements, whose squares at either end of the window share half of their scatter
        noise = (2 / (axes * result["count"].clip(min=1))) ** 0.5 / np.log(2)
        if (off := abs(result[name] - 1) > PLATEAU + 2 * noise).any():
            found.append(f"{name} {float(result[name].where(off).max()):.3g}")
    if found:
        warn(f"no plateau: {', '.join(found)}, where diffusion has 1 (below: confined, above: still free)")


def _of_one_free_path(path: xr.DataArray) -> float:
    """Exponent over these lengths of a run that ends after one mean free path of isotropic scattering."""
    x = path / float(path[-1])
    return float(_exponent(x + np.expm1(-x), x))


def _exponent(squares: xr.DataArray, length: xr.DataArray) -> xr.DataArray:
    """Slope of log against log over the saved points where there still are particles."""
    growth = np.log(squares.where(squares > 0))
    abscissa = np.log(length).where(growth.notnull())
    abscissa = abscissa - abscissa.mean("path")
    return (growth * abscissa).sum("path") / (abscissa**2).sum("path")


def _squares(
    tr: xr.Dataset, direction: str | Sequence[float] | None, frame: str = "mean", drift: str = "kept"
) -> tuple[xr.Dataset, xr.DataArray]:
    """Squared displacements over their prefactors, per particle, and the own paths that they belong to."""
    if frame not in ("mean", "local") or (frame == "local" and direction is not None):
        raise ArgumentError(f"frame={frame!r}, direction={direction!r}: 'mean', or 'local' without a direction")
    if drift not in ("kept", "removed") or (drift == "removed" and frame == "local"):
        raise ArgumentError(f"drift={drift!r}, frame={frame!r}: 'kept', or 'removed' in the frame 'mean'")
    check(tr)
    length, there = own_lengths(tr), alive(tr)
    steps = {d: tr[d].isel(path=slice(1, None)) - tr[d].isel(path=0, drop=True) for d in SPATIAL}
    if there is not None:
        steps = {d: s.where(there.isel(path=slice(1, None))) for d, s in steps.items()}
    if drift == "removed":
        steps = {d: without_drift(s) for d, s in steps.items()}
    total = sum(s**2 for s in steps.values())
    if frame == "local":
        square, across = _local(tr)
        across = across.where(total.notnull())
        square = square.where(total.notnull())
    else:
        square = along(tr, steps, direction) ** 2
        across = total - square
    squares = {
        "kappa": total / 6,
        "kappa_par": square / 2,
        "kappa_perp": across / 4,
        **{f"kappa_{d}{d}": s**2 / 2 for d, s in steps.items()},
    }
    return xr.Dataset(squares), length


def _local(tr: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Squares of the path along the local field and of the vector path across it; none from where it is 0."""
    if missing := [f"b{d}" for d in SPATIAL if f"b{d}" not in tr]:
        raise SnapshotError(f"frame='local' needs {missing}: trace with local_field=True")
    pieces = {d: tr[d].diff("path") for d in SPATIAL}
    b = {d: tr[f"b{d}"] + tr[f"b{d}"].shift(path=1) for d in SPATIAL}
    b = {d: v.isel(path=slice(1, None)) for d, v in b.items()}
    size = sum(v**2 for v in b.values()) ** 0.5
    size = size.where(size > 0)
    piece = sum(pieces[d] * b[d] for d in SPATIAL) / size
    across = {d: (pieces[d] - piece * b[d] / size).cumsum("path", skipna=False) for d in SPATIAL}
    way = piece.cumsum("path", skipna=False).assign_coords(path=size["path"])
    return way**2, sum(v**2 for v in across.values()).assign_coords(path=size["path"])


@verb
def bootstrap(
    trajectories: xr.Dataset,
    *,
    samples: int = 200,
    seed: int,
    over: str = "particle",
    window: float = 0.5,
    direction: str | Sequence[float] | None = None,
    frame: Literal["mean", "local"] = "mean",
    drift: Literal["kept", "removed"] = "kept",
) -> xr.Dataset:
    """Plateau with errors by the bootstrap: particles, or whole realizations, drawn again with replacement.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``; lazy where it is.
    samples : int
        How often.
    seed : int
        Of the draws.
    over : str
        Dim that is drawn from: ``particle``, or that of realizations or snapshots, such as ``time``, whose
        scatter contains what particles in one field have in common.
    window, direction, frame, drift
        As :func:`diffusion`.

    Returns
    -------
    xarray.Dataset
        As :func:`running_diffusion` without ``path``, averaged over `over` too.

    Raises
    ------
    ArgumentError, SnapshotError
        If `over` is no dim with at least two entries, or the window is too narrow.
    """
    trajectories = as_particles(trajectories)
    check(trajectories)
    require_whole(samples, "samples", 2), require_whole(seed, "seed", 0)
    if trajectories.sizes.get(over, 0) < 2 or over in ("path", "gyroradius"):
        raise SnapshotError(
            f"over={over!r}: a dim with at least two realizations among {dict(trajectories.sizes)} is needed"
        )
    squares, length = _windowed(trajectories, window, direction, frame, drift)
    direction = "z" if frame == "local" else direction
    each = (squares / length).mean("path")
    if over != "particle":
        each = each.mean("particle")
    n = trajectories.sizes[over]
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    times = xr.DataArray(drawn.astype(float), dims=("sample", over))
    exists = each.notnull()
    again = (each.fillna(0.0) * times).sum(over) / (exists * times).sum(over)
    result = labelled(each.mean(over), again.std("sample", ddof=1), trajectories, "plateau", direction)
    if (share := left_fraction(trajectories)) is not None:
        result["left_fraction"] = share
        warn_of_survivors(share, "kappa")
    return result.assign_attrs(window_from=float(window), bootstrap_over=over, bootstrap_samples=int(samples))


def _windowed(
    tr: xr.Dataset, window: float, direction: str | Sequence[float] | None, frame: str = "mean", drift: str = "kept"
) -> tuple[xr.Dataset, xr.DataArray]:
    if not 0 <= require_number(window, "window") < 1:
        raise ArgumentError(f"window={window!r}: a fraction of the path from 0 to below 1 is needed")
    squares, length = _squares(tr, direction, frame, drift)
    path = squares["path"].values - float(tr["path"][0])
    inside = path >= window * path[-1]
    if inside.sum() < 2:
        raise SnapshotError(f"window={window} holds {inside.sum()} saved points: save more, or widen it")
    return squares.isel(path=inside), length.isel(path=inside)


@verb
def displacements(trajectories: xr.Dataset, *, direction: str | Sequence[float] | None = None) -> xr.Dataset:
    """Whether the orbits diffuse: kurtosis of the displacements, 3 for the Gaussian ones of diffusion.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``; lazy where it is.
    direction : str or three numbers, optional
        As :func:`running_diffusion`.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,) ``path``: ``kurtosis_par`` of the displacement along the direction and
        ``kurtosis_xx``, ``kurtosis_yy``, ``kurtosis_zz`` of those along the axes.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`running_diffusion`.
    """
    trajectories = as_particles(trajectories)
    squares, _ = _squares(trajectories, direction)
    result = {}
    for name in ("kappa_par", *(f"kappa_{d}{d}" for d in SPATIAL)):
        square = squares[name]
        kurtosis = (square**2).mean("particle") / square.mean("particle") ** 2
        result[name.replace("kappa", "kurtosis")] = kurtosis.assign_attrs(
            units="1", long_name=f"<dx^4> / <dx^2>^2 behind {name}"
        )
    if direction is None:
        result["kurtosis_par"] = result["kurtosis_par"].where(strength(trajectories).notnull())
    return xr.Dataset(result)

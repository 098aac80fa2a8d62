"""Diffusion coefficients from trajectories alone, lazily."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    MEAN_FIELD_FLOOR,
    SPATIAL,
    SnapshotError,
    require_number,
    require_whole,
    unit_vector,
)
from mmfields.provenance import verb

PREFACTOR = (
    "kappa_ii = <dx_i^2>/(2 s), kappa = <dr^2>/(6 s), kappa_par = <dr_par^2>/(2 s), kappa_perp = <dr_perp^2>/(4 s)"
)
UNITS_NOTE = "particle speed times length unit"


@verb
def running_diffusion(
    trajectories: xr.Dataset, *, direction: str | Sequence[float] | None = None, frame: str = "mean"
) -> xr.Dataset:
    """Running diffusion coefficients against path length.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``.  Displacements count from the first saved point; particles that have
        left the box are left out from then on.
    direction : str or three numbers, optional
        What parallel means; the mean field of the box by default.
    frame : {"mean", "local"}
        ``local``: each piece of path between two saved points is split along the field that the particle saw at
        its ends; ``kappa_par`` is of the sum along, ``kappa_perp`` of the vector sum across.  Trace with
        ``local_field=True``, and save more than once per gyration or per bend of the field lines.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,) ``path``: ``kappa``, ``kappa_par``, ``kappa_perp``, ``kappa_xx``,
        ``kappa_yy``, ``kappa_zz`` in units of particle speed times length unit, each with its
        standard error over particles ``…_error``.  Parallel is along the mean field of the box;
        where that is below 1e-3 of the rms field and no direction is given, ``kappa_par`` and
        ``kappa_perp`` are NaN.  ``count`` is the number of particles that still count.

    Raises
    ------
    SnapshotError
        If there are fewer than two saved points or two particles, or no local field for ``local``.
    """
    squares, length = _squares(trajectories, direction, frame)
    direction = "z" if frame == "local" else direction  # along and across exist without a mean field
    return _mean_and_error(squares / length, trajectories, "running", direction)


@verb
def diffusion(
    trajectories: xr.Dataset,
    *,
    window: float = 0.5,
    direction: str | Sequence[float] | None = None,
    frame: str = "mean",
) -> xr.Dataset:
    """Plateau of the diffusion coefficients.

    Each particle's squared displacement over path length is averaged over the last part of the
    run; mean and standard error are over particles.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``.
    window : float
        The plateau is taken from this fraction of the path on.
    direction, frame
        As :func:`running_diffusion`.

    Returns
    -------
    xarray.Dataset
        As :func:`running_diffusion` without ``path``, with the exponents a of the mean square
        displacements ∝ s^a in the window: ``exponent`` of <dr^2>, ``exponent_par``, ``exponent_perp``.
        1 is diffusion, 2 free flight, 0 confinement: away from 1 the coefficient is no plateau, and its
        error, which is over particles alone, does not know.  ``too_short`` where the run is shorter than
        the mean free path 3 kappa that it shows.  ``window_start`` and ``window_end`` are path lengths, for
        ``mm.plot.running_diffusion(…, plateau=…)``; attrs record the rule.

    Raises
    ------
    SnapshotError
        If the window holds fewer than two saved points.
    """
    squares, length = _windowed(trajectories, window, direction, frame)
    direction = "z" if frame == "local" else direction
    result = _mean_and_error((squares / length).mean("path"), trajectories, "plateau", direction)
    for name in ("kappa", "kappa_par", "kappa_perp"):
        exponent = name.replace("kappa", "exponent")
        several = squares[name].count("particle") > 1
        result[exponent] = _exponent(squares[name].mean("particle").where(several), length)
        if name != "kappa":
            result[exponent] = result[exponent].where(result[name].notnull())
        result[exponent].attrs = {
            "long_name": f"a of the displacements behind {name}, proportional to s^a",
            "units": "1",
        }
    traced = float(length[-1])
    result["too_short"] = (3 * result["kappa"] > traced).assign_attrs(
        long_name="the run is shorter than its own mean free path 3 kappa, so it cannot have diffused", units="1"
    )
    result.attrs["window_from"] = float(window)
    result.attrs["window_rule"] = "the last part of the path, from this fraction of it on"
    for name, place in (("window_start", 0), ("window_end", -1)):
        notes = {**trajectories["path"].attrs, "long_name": f"{name.split('_')[1]} of the plateau's window"}
        result[name] = ((), float(length[place]), notes)
    return result


def _exponent(squares: xr.DataArray, length: xr.DataArray) -> xr.DataArray:
    """Slope of log against log over the saved points where there still are particles."""
    growth = np.log(squares.where(squares > 0))
    abscissa = np.log(length).where(growth.notnull())
    abscissa = abscissa - abscissa.mean("path")
    return (growth * abscissa).sum("path") / (abscissa**2).sum("path")


def _squares(
    tr: xr.Dataset, direction: str | Sequence[float] | None, frame: str = "mean"
) -> tuple[xr.Dataset, xr.DataArray]:
    """Squared displacements over their prefactors, per particle, and the path lengths they belong to."""
    if frame not in ("mean", "local") or (frame == "local" and direction is not None):
        raise SnapshotError(f"frame={frame!r}, direction={direction!r}: 'mean', or 'local' without a direction")
    _check(tr)
    length = (tr["path"] - tr["path"][0]).isel(path=slice(1, None))
    steps = {d: tr[d].isel(path=slice(1, None)) - tr[d].isel(path=0, drop=True) for d in SPATIAL}
    if "alive" in tr:
        steps = {d: s.where(tr["alive"].isel(path=slice(1, None))) for d, s in steps.items()}
    total = sum(s**2 for s in steps.values())
    if frame == "local":
        along, across = _local(tr)
        across = across.where(total.notnull())
        along = along.where(total.notnull())
    else:
        along = _along(tr, steps, direction) ** 2
        across = total - along
    squares = {
        "kappa": total / 6,
        "kappa_par": along / 2,
        "kappa_perp": across / 4,
        **{f"kappa_{d}{d}": s**2 / 2 for d, s in steps.items()},
    }
    return xr.Dataset(squares), length


def _local(tr: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Squares of the path along the local field and of the vector path across it."""
    if missing := [f"b{d}" for d in SPATIAL if f"b{d}" not in tr]:
        raise SnapshotError(f"frame='local' needs {missing}: trace with local_field=True")
    pieces = {d: tr[d].diff("path") for d in SPATIAL}
    b = {d: tr[f"b{d}"] + tr[f"b{d}"].shift(path=1) for d in SPATIAL}
    b = {d: v.isel(path=slice(1, None)) for d, v in b.items()}
    strength = sum(v**2 for v in b.values()) ** 0.5
    along = sum(pieces[d] * b[d] for d in SPATIAL) / strength
    across = {d: (pieces[d] - along * b[d] / strength).cumsum("path") for d in SPATIAL}
    along = along.cumsum("path").assign_coords(path=strength["path"])
    return along**2, sum(v**2 for v in across.values()).assign_coords(path=strength["path"])


def _check(tr: xr.Dataset, *more: str) -> None:
    needed = [*SPATIAL, *more, "path", *(f"mean_B{d}" for d in SPATIAL), "B_rms"]
    if not isinstance(tr, xr.Dataset) or (missing := [n for n in needed if n not in tr.variables]):
        raise SnapshotError(
            f"trajectories of mm.trace are needed; these lack {missing if isinstance(tr, xr.Dataset) else needed}"
        )
    if "path" in tr.coords and tr["path"].size > 1 and (np.diff(tr["path"].values) <= 0).any():
        raise SnapshotError("path is not ascending: put it in order, trajectories.sortby('path')")
    if tr.sizes.get("path", 0) < 2 or tr.sizes.get("particle", 0) < 2:
        raise SnapshotError(f"at least two saved points and two particles are needed, found {dict(tr.sizes)}")


def _strength(tr: xr.Dataset) -> xr.DataArray:
    """Strength of the mean field, NaN where there is none to speak of."""
    strength = sum(tr[f"mean_B{d}"] ** 2 for d in SPATIAL) ** 0.5
    return strength.where(strength > MEAN_FIELD_FLOOR * tr["B_rms"])


def _along(tr: xr.Dataset, steps: dict[str, xr.DataArray], direction: str | Sequence[float] | None) -> xr.DataArray:
    """Displacement along a direction, or the mean field: 0 where there is none to speak of."""
    if direction is not None:
        unit = dict(zip(SPATIAL, unit_vector(direction).tolist(), strict=True))
    else:
        unit = {d: (tr[f"mean_B{d}"] / _strength(tr)).fillna(0.0) for d in SPATIAL}
    return sum(steps[d] * unit[d] for d in SPATIAL)


def _mean_and_error(each: xr.Dataset, tr: xr.Dataset, kind: str, direction: str | Sequence[float] | None) -> xr.Dataset:
    """Mean over particles and its standard error, in one pass."""
    count = each["kappa"].count("particle")
    several = count.where(count > 1)  # of fewer than two there is no mean with an error
    mean = each.sum("particle") / several
    scatter = ((each**2).sum("particle") - several * mean**2) / (several - 1)
    error = (scatter.clip(min=0.0) / several) ** 0.5
    return _labelled(mean, error, tr, kind, direction).assign(
        count=count.assign_attrs(long_name="particles that count", units="1")
    )


def _labelled(
    mean: xr.Dataset, error: xr.Dataset, tr: xr.Dataset, kind: str, direction: str | Sequence[float] | None
) -> xr.Dataset:
    result = mean.merge(error.rename({name: f"{name}_error" for name in error}))
    exists: Any = True
    if direction is None:
        exists = _strength(tr).notnull()
        exists = exists.all([d for d in exists.dims if d not in mean["kappa"].dims])
    for name in ("kappa_par", "kappa_perp"):
        result[name] = result[name].where(exists)
        result[f"{name}_error"] = result[f"{name}_error"].where(exists)
    for name in mean:
        result[name].attrs = {"units": UNITS_NOTE, "long_name": str(name).replace("_", " ")}
        result[f"{name}_error"].attrs = {"units": UNITS_NOTE, "long_name": f"standard error of {name}"}
    notes = tr["path"].attrs
    result.attrs = {
        "prefactor": PREFACTOR,
        "kind": kind,
        "particles": int(tr.sizes["particle"]),
        "length_units": notes.get("normalization", "1") if notes.get("units", "1") == "1" else notes["units"],
    }
    return result


@verb
def bootstrap(
    trajectories: xr.Dataset,
    *,
    samples: int = 200,
    seed: int,
    over: str = "particle",
    window: float = 0.5,
    direction: str | Sequence[float] | None = None,
    frame: str = "mean",
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
    window, direction, frame
        As :func:`diffusion`.

    Returns
    -------
    xarray.Dataset
        As :func:`running_diffusion` without ``path``, averaged over `over` too.

    Raises
    ------
    SnapshotError
        If `over` is no dim with at least two entries, or the window is too narrow.
    """
    _check(trajectories)
    require_whole(samples, "samples", 2), require_whole(seed, "seed", 0)
    if trajectories.sizes.get(over, 0) < 2 or over in ("path", "gyroradius"):
        raise SnapshotError(
            f"over={over!r}: a dim with at least two realizations among {dict(trajectories.sizes)} is needed"
        )
    squares, length = _windowed(trajectories, window, direction, frame)
    direction = "z" if frame == "local" else direction
    each = (squares / length).mean("path")
    if over != "particle":
        each = each.mean("particle")
    n = trajectories.sizes[over]
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    times = xr.DataArray(drawn.astype(float), dims=("sample", over))
    exists = each.notnull()
    again = (each.fillna(0.0) * times).sum(over) / (exists * times).sum(over)
    result = _labelled(each.mean(over), again.std("sample", ddof=1), trajectories, "plateau", direction)
    return result.assign_attrs(window_from=float(window), bootstrap_over=over, bootstrap_samples=int(samples))


def _windowed(
    tr: xr.Dataset, window: float, direction: str | Sequence[float] | None, frame: str = "mean"
) -> tuple[xr.Dataset, xr.DataArray]:
    if not 0 <= require_number(window, "window") < 1:
        raise SnapshotError(f"window={window!r}: a fraction of the path from 0 to below 1 is needed")
    squares, length = _squares(tr, direction, frame)
    inside = (length >= window * length[-1]).values
    if inside.sum() < 2:
        raise SnapshotError(f"window={window} holds {inside.sum()} saved points: save more, or widen it")
    return squares.isel(path=inside), length.isel(path=inside)


@verb
def green_kubo(trajectories: xr.Dataset, *, direction: str | Sequence[float] | None = None) -> xr.Dataset:
    """Running diffusion coefficients from the velocity autocorrelation: the integral of <v_i(0) v_i(s)>.

    Beside the displacements an independent look at the same orbits: the two agree where the saved points
    resolve the correlation, that is, are closer than a gyration and a mean free path.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``, saved from the start on; lazy where it is.
    direction : str or three numbers, optional
        As :func:`running_diffusion`.

    Returns
    -------
    xarray.Dataset
        As :func:`running_diffusion`, by the trapezoidal rule.

    Raises
    ------
    SnapshotError
        As :func:`running_diffusion`.
    """
    _check(trajectories, *(f"v{d}" for d in SPATIAL))
    first = {d: trajectories[f"v{d}"].isel(path=0, drop=True) for d in SPATIAL}
    along = {d: first[d] * trajectories[f"v{d}"] for d in SPATIAL}
    total = sum(along.values())
    par = _along(trajectories, {d: trajectories[f"v{d}"] for d in SPATIAL}, direction)
    par = par.isel(path=0, drop=True) * par
    products = {
        "kappa": total / 3,
        "kappa_par": par,
        "kappa_perp": (total - par) / 2,
        **{f"kappa_{d}{d}": each for d, each in along.items()},
    }
    each = xr.Dataset(products)
    if "alive" in trajectories:
        each = each.where(trajectories["alive"])
    steps = trajectories["path"].diff("path", label="upper")
    middle = (each + each.shift(path=1)).isel(path=slice(1, None)) / 2 * steps
    result = _mean_and_error(
        middle.cumsum("path").assign_coords(path=steps["path"]), trajectories, "running", direction
    )
    return result.assign_attrs(method="Green-Kubo: integral of the velocity autocorrelation")


@verb
def pitch_angle_diffusion(trajectories: xr.Dataset, *, bins: int = 20, lag: int = 1) -> xr.Dataset:
    """D_mumu(mu) = <(delta mu)²> / (2 delta s) from pairs of saved points, and the rate and free path it gives.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``, evenly saved; lazy where it is.  The lag should be longer than a gyration and much
        shorter than a mean free path.
    bins : int
        Of mu, from -1 to 1.
    lag : int
        Saved points between the two of a pair.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,) ``mu``: ``D_mumu`` and ``D_mumu_error`` [1 / length unit], ``pairs`` per bin;
        ``scattering_rate`` nu_1, the best fit of D = (nu_1/2)(1 - mu²), and ``mean_free_path`` 1/nu_1.

    Raises
    ------
    SnapshotError
        If there are no pairs of that lag, they are not evenly spaced, or `bins` is no positive number.
    """
    _check(trajectories, "mu")
    saves = trajectories.sizes["path"]
    if not 1 <= require_whole(lag, "lag", 1) < saves or require_whole(bins, "bins", 1) < 1:
        raise SnapshotError(f"lag={lag}, bins={bins}: a lag from 1 to {saves - 1} and at least one bin are needed")
    path = trajectories["path"].values
    spans = path[lag:] - path[:-lag]
    if np.ptp(spans) > 1e-6 * spans.mean():
        raise SnapshotError("the saved points are not evenly spaced: trace with save=n")
    mu = trajectories["mu"]
    first = mu.isel(path=slice(None, -lag)).drop_vars("path")
    change = mu.isel(path=slice(lag, None)).drop_vars("path") - first
    if "alive" in trajectories:
        change = change.where(trajectories["alive"].isel(path=slice(lag, None)).drop_vars("path"))
    place = np.floor((first + 1) / 2 * bins).clip(0, bins - 1)
    sums = [
        xr.concat([(change**power).where(place == b).sum(("particle", "path")) for b in range(bins)], "mu")
        for power in (2, 4)
    ]
    pairs = xr.concat([change.where(place == b).count(("particle", "path")) for b in range(bins)], "mu")
    several = pairs.where(pairs > 1)
    mean = sums[0] / several
    error = ((sums[1] / several - mean**2) / (several - 1)) ** 0.5
    centres = (np.arange(bins) + 0.5) * 2 / bins - 1
    shape = xr.DataArray((1 - centres**2) / 2, dims="mu")
    span = float(spans.mean())
    d = mean / (2 * span)
    rate = (d * shape * pairs).sum("mu") / (shape**2 * pairs).sum("mu")
    names = {"units": "1 / length unit"}
    return xr.Dataset(
        {
            "D_mumu": d.assign_attrs(names, long_name="pitch-angle diffusion coefficient"),
            "D_mumu_error": (error / (2 * span)).assign_attrs(names, long_name="standard error of D_mumu"),
            "pairs": pairs.assign_attrs(units="1", long_name="pairs of saved points"),
            "scattering_rate": rate.assign_attrs(names, long_name="nu_1 of D = (nu_1/2)(1 - mu^2)"),
            "mean_free_path": (1 / rate).assign_attrs(units="length unit", long_name="1 / nu_1"),
        },
        {"mu": ("mu", centres, {"long_name": "pitch-angle cosine", "units": "1"})},
        {"lag": span},
    )


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
    SnapshotError
        As :func:`running_diffusion`.
    """
    squares, _ = _squares(trajectories, direction)
    result = {}
    for name in ("kappa_par", *(f"kappa_{d}{d}" for d in SPATIAL)):
        square = squares[name]
        kurtosis = (square**2).mean("particle") / square.mean("particle") ** 2
        result[name.replace("kappa", "kurtosis")] = kurtosis.assign_attrs(
            units="1", long_name=f"<dx^4> / <dx^2>^2 behind {name}"
        )
    if direction is None:
        result["kurtosis_par"] = result["kurtosis_par"].where(_strength(trajectories).notnull())
    return xr.Dataset(result)

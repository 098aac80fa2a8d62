"""Diffusion coefficients from trajectories alone, lazily."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from mmfields.conventions import MEAN_FIELD_FLOOR, SPATIAL, SnapshotError, unit_vector

PREFACTOR = (
    "kappa_ii = <dx_i^2>/(2 s), kappa = <dr^2>/(6 s), kappa_par = <dr_par^2>/(2 s), kappa_perp = <dr_perp^2>/(4 s)"
)
UNITS_NOTE = "particle speed times length unit"


def running_diffusion(trajectories: xr.Dataset, *, direction: str | Sequence[float] | None = None) -> xr.Dataset:
    """Running diffusion coefficients against path length.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``.  Displacements count from the first saved point; particles that have
        left the box are left out from then on.
    direction : str or three numbers, optional
        What parallel means; the mean field of the box by default.

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
        If there are fewer than two saved points or two particles.
    """
    squares, length = _squares(trajectories, direction)
    return _mean_and_error(squares / length, trajectories, "running", direction)


def diffusion(
    trajectories: xr.Dataset, *, window: float = 0.5, direction: str | Sequence[float] | None = None
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
    direction : str or three numbers, optional
        What parallel means; the mean field of the box by default.

    Returns
    -------
    xarray.Dataset
        As :func:`running_diffusion` without ``path``, with the exponents a of the mean square
        displacements ∝ s^a in the window: ``exponent`` of <dr^2>, ``exponent_par``, ``exponent_perp``.
        1 is diffusion, 2 free flight, 0 confinement: away from 1 the coefficient is no plateau, and its
        error, which is over particles alone, does not know.  Attrs record the window.

    Raises
    ------
    SnapshotError
        If the window holds fewer than two saved points.
    """
    if not 0 <= window < 1:
        raise SnapshotError(f"window={window!r}: a fraction of the path from 0 to below 1 is needed")
    squares, length = _squares(trajectories, direction)
    inside = (length >= window * length[-1]).values
    if inside.sum() < 2:
        raise SnapshotError(f"window={window} holds {inside.sum()} saved points: save more, or widen it")
    squares, length = squares.isel(path=inside), length.isel(path=inside)
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
    result.attrs["window_from"] = float(window)
    return result


def _exponent(squares: xr.DataArray, length: xr.DataArray) -> xr.DataArray:
    """Slope of log against log over the saved points where there still are particles."""
    growth = np.log(squares.where(squares > 0))
    abscissa = np.log(length).where(growth.notnull())
    abscissa = abscissa - abscissa.mean("path")
    return (growth * abscissa).sum("path") / (abscissa**2).sum("path")


def _squares(tr: xr.Dataset, direction: str | Sequence[float] | None) -> tuple[xr.Dataset, xr.DataArray]:
    """Squared displacements over their prefactors, per particle, and the path lengths they belong to."""
    needed = [*SPATIAL, "path", *(f"mean_B{d}" for d in SPATIAL), "B_rms"]
    if not isinstance(tr, xr.Dataset) or (missing := [n for n in needed if n not in tr.variables]):
        raise SnapshotError(
            f"trajectories of mm.trace are needed; these lack {missing if isinstance(tr, xr.Dataset) else needed}"
        )
    if tr.sizes.get("path", 0) < 2 or tr.sizes.get("particle", 0) < 2:
        raise SnapshotError(f"at least two saved points and two particles are needed, found {dict(tr.sizes)}")
    length = (tr["path"] - tr["path"][0]).isel(path=slice(1, None))
    steps = {d: tr[d].isel(path=slice(1, None)) - tr[d].isel(path=0, drop=True) for d in SPATIAL}
    if "alive" in tr:
        steps = {d: s.where(tr["alive"].isel(path=slice(1, None))) for d, s in steps.items()}
    along = _along(tr, steps, direction)
    total = sum(s**2 for s in steps.values())
    squares = {
        "kappa": total / 6,
        "kappa_par": along**2 / 2,
        "kappa_perp": (total - along**2) / 4,
        **{f"kappa_{d}{d}": s**2 / 2 for d, s in steps.items()},
    }
    return xr.Dataset(squares), length


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
    count = each["kappa"].count("particle")
    several = count.where(count > 1)  # of fewer than two there is no mean with an error
    mean = each.sum("particle") / several
    error = (((each - mean) ** 2).sum("particle") / (several - 1) / several) ** 0.5
    result = mean.merge(error.rename({name: f"{name}_error" for name in each}))
    exists = True if direction is not None else _strength(tr).notnull()
    for name in ("kappa_par", "kappa_perp"):
        result[name] = result[name].where(exists)
        result[f"{name}_error"] = result[f"{name}_error"].where(exists)
    for name in each:
        result[name].attrs = {"units": UNITS_NOTE, "long_name": name.replace("_", " ")}
        result[f"{name}_error"].attrs = {"units": UNITS_NOTE, "long_name": f"standard error of {name}"}
    result["count"] = count.assign_attrs(long_name="particles that count", units="1")
    notes = tr["path"].attrs
    result.attrs = {
        "prefactor": PREFACTOR,
        "kind": kind,
        "particles": int(tr.sizes["particle"]),
        "length_units": notes.get("normalization", "1") if notes.get("units", "1") == "1" else notes["units"],
    }
    return result

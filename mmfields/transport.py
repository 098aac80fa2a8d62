"""Diffusion coefficients from trajectories alone, lazily."""

import numpy as np
import xarray as xr

from mmfields.conventions import MEAN_FIELD_FLOOR, SPATIAL, SnapshotError

PREFACTOR = (
    "kappa_ii = <dx_i^2>/(2 s), kappa = <dr^2>/(6 s), kappa_par = <dr_par^2>/(2 s), kappa_perp = <dr_perp^2>/(4 s)"
)
UNITS_NOTE = "particle speed times length unit"


def running_diffusion(trajectories: xr.Dataset) -> xr.Dataset:
    """Running diffusion coefficients against path length.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``.  Displacements count from the first saved point; particles that have
        left the box are left out from then on.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,) ``path``: ``kappa``, ``kappa_par``, ``kappa_perp``, ``kappa_xx``,
        ``kappa_yy``, ``kappa_zz`` in units of particle speed times length unit, each with its
        standard error over particles ``…_error``.  Parallel is along the mean field of the box;
        where that is below 1e-3 of the reference field, ``kappa_par`` and ``kappa_perp`` are NaN.

    Raises
    ------
    SnapshotError
        If there are fewer than two saved points or two particles.
    """
    squares, length = _squares(trajectories)
    return _mean_and_error(squares / length, trajectories, "running")


def diffusion(trajectories: xr.Dataset, *, window: float = 0.5) -> xr.Dataset:
    """Plateau of the diffusion coefficients.

    Each particle's squared displacement over path length is averaged over the last part of the
    run; mean and standard error are over particles.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``.
    window : float
        The plateau is taken from this fraction of the path on.

    Returns
    -------
    xarray.Dataset
        As :func:`running_diffusion` without ``path``, with ``exponent`` of <dr^2> ∝ s^a in the
        window (1 for diffusion, 2 for free flight); attrs record the window.

    Raises
    ------
    SnapshotError
        If the window holds fewer than two saved points.
    """
    if not 0 <= window < 1:
        raise SnapshotError(f"window={window!r}: a fraction of the path from 0 to below 1 is needed")
    squares, length = _squares(trajectories)
    inside = (length >= window * length[-1]).values
    if inside.sum() < 2:
        raise SnapshotError(f"window={window} holds {inside.sum()} saved points: save more, or widen it")
    squares, length = squares.isel(path=inside), length.isel(path=inside)
    result = _mean_and_error((squares / length).mean("path"), trajectories, "plateau")
    growth = np.log((6 * squares["kappa"]).mean("particle"))
    abscissa = np.log(length) - np.log(length).mean()
    result["exponent"] = (growth * abscissa).sum("path") / (abscissa**2).sum()
    result["exponent"].attrs["long_name"] = "a of <dr^2> proportional to s^a"
    result.attrs["window_from"] = float(window)
    return result


def _squares(tr: xr.Dataset) -> tuple[xr.Dataset, xr.DataArray]:
    """Squared displacements over their prefactors, per particle, and the path lengths they belong to."""
    if tr.sizes.get("path", 0) < 2 or tr.sizes.get("particle", 0) < 2:
        raise SnapshotError(f"at least two saved points and two particles are needed, found {dict(tr.sizes)}")
    length = (tr["path"] - tr["path"][0]).isel(path=slice(1, None))
    steps = {d: tr[d].isel(path=slice(1, None)) - tr[d].isel(path=0, drop=True) for d in SPATIAL}
    if "alive" in tr:
        steps = {d: s.where(tr["alive"].isel(path=slice(1, None))) for d, s in steps.items()}
    along = _along(tr, steps)
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
    return strength.where(strength > MEAN_FIELD_FLOOR * tr["reference_field"])


def _along(tr: xr.Dataset, steps: dict[str, xr.DataArray]) -> xr.DataArray:
    """Displacement along the mean field, 0 where there is none to speak of."""
    unit = {d: (tr[f"mean_B{d}"] / _strength(tr)).fillna(0.0) for d in SPATIAL}
    return sum(steps[d] * unit[d] for d in SPATIAL)


def _mean_and_error(each: xr.Dataset, tr: xr.Dataset, kind: str) -> xr.Dataset:
    count = each.count("particle")
    mean = each.mean("particle")
    error = each.std("particle", ddof=1) / count**0.5
    result = mean.merge(error.rename({name: f"{name}_error" for name in each}))
    exists = _strength(tr).notnull()
    for name in ("kappa_par", "kappa_perp"):
        result[name] = result[name].where(exists)
        result[f"{name}_error"] = result[f"{name}_error"].where(exists)
    for name in each:
        result[name].attrs = {"units": UNITS_NOTE, "long_name": name.replace("_", " ")}
        result[f"{name}_error"].attrs = {"units": UNITS_NOTE, "long_name": f"standard error of {name}"}
    result.attrs = {
        "prefactor": PREFACTOR,
        "kind": kind,
        "particles": int(tr.sizes["particle"]),
        "length_units": tr["path"].attrs.get("units", "1"),
    }
    return result

"""Diffusion coefficients from velocity autocorrelations (Green 1954, Kubo 1957)."""

from collections.abc import Sequence
from typing import Literal

import xarray as xr

from mmfields.conventions import SPATIAL, ArgumentError
from mmfields.provenance import verb
from mmfields.transport.reading import alive, along, check, light, own_lengths, speed, unit
from mmfields.transport.statistics import mean_and_error, without_drift

METHOD = "Green-Kubo: integral of the velocity autocorrelation"
# Signs of the antisymmetric unit tensor: i, j, k.
CYCLIC = (("x", "y", "z"), ("y", "z", "x"), ("z", "x", "y"))


@verb
def green_kubo(
    trajectories: xr.Dataset,
    *,
    direction: str | Sequence[float] | None = None,
    drift: Literal["kept", "removed"] = "kept",
) -> xr.Dataset:
    """Running diffusion coefficients from the velocity autocorrelation: the integral of <v_i(0) v_i(s)>.

    Beside the displacements an independent look at the same orbits: the two agree where the saved points
    resolve the correlation, that is, are closer than a gyration and a mean free path.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``, saved from the start on; lazy where it is.
    direction : str or three numbers, optional
        As :func:`running_diffusion`.
    drift : {"kept", "removed"}
        Whether velocities are as they are, or less the mean one of all particles.

    Returns
    -------
    xarray.Dataset
        As :func:`running_diffusion`, by the trapezoidal rule.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`running_diffusion`.
    """
    first, then = _velocities(trajectories, drift)
    each = {d: first[d] * then[d] for d in SPATIAL}
    total = sum(each.values())
    par = along(trajectories, first, direction) * along(trajectories, then, direction)
    products = {
        "kappa": total / 3,
        "kappa_par": par,
        "kappa_perp": (total - par) / 2,
        **{f"kappa_{d}{d}": product for d, product in each.items()},
    }
    return _integrated(products, trajectories, direction)


@verb
def tensor(
    trajectories: xr.Dataset,
    *,
    direction: str | Sequence[float] | None = None,
    drift: Literal["kept", "removed"] = "kept",
) -> xr.Dataset:
    """All components of the running diffusion tensor: kappa_ij, the integral of <v_i(s) v_j(0)>.

    The flux along i is -kappa_ij d_j n.  Drifts come from the antisymmetric part: kappa_A along the field, of the term
    kappa_A e_ijk b_k, is positive for positive charges, and v²/(3 Omega) where scattering is rare.  In a uniform field
    kappa_perp is (v²/3) nu_1/(nu_1² + Omega²) and kappa_A (v²/3) Omega/(nu_1² + Omega²).

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``, saved from the start on and more than once a gyration; lazy where it is.
    direction : str or three numbers, optional
        What kappa_A is along; the mean field of the box by default.
    drift : {"kept", "removed"}
        As :func:`green_kubo`.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,) ``path``: ``kappa_xx``, ``kappa_xy`` and so on, nine of them, and ``kappa_A``, each with
        its ``…_error``; ``count``.

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`running_diffusion`.
    """
    first, then = _velocities(trajectories, drift)
    products = {f"kappa_{i}{j}": then[i] * first[j] for i in SPATIAL for j in SPATIAL}
    towards = unit(trajectories, direction)
    products["kappa_A"] = sum(
        towards[k] * (products[f"kappa_{i}{j}"] - products[f"kappa_{j}{i}"]) / 2 for i, j, k in CYCLIC
    )
    return _integrated(products, trajectories, direction)


def _velocities(tr: xr.Dataset, drift: str) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
    """Velocities at the start and at every saved point, of those that have not left."""
    check(tr, *(f"v{d}" for d in SPATIAL))
    if drift not in ("kept", "removed"):
        raise ArgumentError(f"drift={drift!r}: 'kept' or 'removed' is needed")
    then = {d: tr[f"v{d}"] * speed(tr) for d in SPATIAL}
    first = {d: v.isel(path=0, drop=True) for d, v in then.items()}
    if (there := alive(tr)) is not None:
        then = {d: v.where(there) for d, v in then.items()}
    if drift == "removed":
        first = {d: without_drift(v.where(then[d].notnull())) for d, v in first.items()}
        then = {d: without_drift(v) for d, v in then.items()}
    return first, then


def _integrated(
    products: dict[str, xr.DataArray], tr: xr.Dataset, direction: str | Sequence[float] | None
) -> xr.Dataset:
    """Running integrals of products of velocities, over the mean speed of each particle so far."""
    each, steps = xr.Dataset(products), tr["path"].diff("path", label="upper")
    middle = (each + each.shift(path=1)).isel(path=slice(1, None)) / 2 * steps
    running = middle.cumsum("path", skipna=False).assign_coords(path=steps["path"])
    if light(tr):
        running = running * ((steps["path"] - tr["path"][0]) / own_lengths(tr))
    return mean_and_error(running, tr, "running", direction).assign_attrs(method=METHOD)

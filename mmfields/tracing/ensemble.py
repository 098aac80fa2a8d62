"""What an ensemble says of each of its particles, read once: charge, gyroradius, speed, and what happened before."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError

DIMS = ("gyroradius", "particle")
NEEDED = (*SPATIAL, *(f"v{d}" for d in SPATIAL), "key", "reference_field", "gyroradius")
# Of the particle's past, in the order of the kernel.
HISTORY = ("left", "reflections", "reflections_along", "own_path")
# Of guiding centres.
CENTRED = ("parallel_momentum", "magnetic_moment")


@dataclass(frozen=True)
class Ensemble:
    """Particles over (gyroradius, particle), each with its own charge, gyroradius and speed.

    Parameters
    ----------
    data : xarray.Dataset
        Arranged, with both dims.
    single : bool
        Whether dim ``gyroradius`` was added here.
    sign, radii, beta_gamma : (g, p) arrays
    reference : xarray.DataArray
        B_ref, a scalar, or over both dims.
    start : float
        Path that lies behind them.
    """

    data: xr.Dataset
    single: bool
    sign: np.ndarray
    radii: np.ndarray
    beta_gamma: np.ndarray
    reference: xr.DataArray
    start: float

    @property
    def speed(self) -> np.ndarray:
        """Speed over that of light."""
        with np.errstate(divide="ignore"):
            return 1 / np.hypot(1.0, 1 / self.beta_gamma)

    def variables(self) -> dict[str, xr.DataArray]:
        """What trajectories remember of each particle."""
        notes = {
            "charge_sign": (self.sign, "sign of the charge"),
            "own_gyroradius": (self.radii, "gyroradius p c / (q B_ref) of each particle"),
            "own_beta_gamma": (self.beta_gamma, "p/(m c) of each particle"),
        }
        return {name: xr.DataArray(v, dims=DIMS, attrs={"long_name": said}) for name, (v, said) in notes.items()}

    def label(self, values: np.ndarray) -> xr.DataArray:
        """Over ``gyroradius`` where all particles of one have the same, else over both dims."""
        same = (values == values[:, :1]).all()
        return xr.DataArray(values[:, 0], dims=DIMS[:1]) if same else xr.DataArray(values, dims=DIMS)


def read(particles: xr.Dataset) -> Ensemble:
    """An ensemble, or several that were joined along ``particle``.

    Raises
    ------
    SnapshotError
        If what was joined does not fit together.
    """
    _check_dims(particles)
    single = "gyroradius" not in particles.dims
    ensemble = particles
    if single:
        ensemble = ensemble.drop_vars("gyroradius").expand_dims("gyroradius")
        ensemble = ensemble.assign(gyroradius_label=particles["gyroradius"].variable)
    else:
        ensemble = ensemble.assign(gyroradius_label=("gyroradius", particles["gyroradius"].values))
    ensemble = ensemble.transpose(*DIMS, ...)
    shape = tuple(ensemble.sizes[d] for d in DIMS)
    _check_types(ensemble)
    radii = _own(ensemble, "own_gyroradius", "gyroradius_label", shape)
    beta_gamma = _own(ensemble, "own_beta_gamma", "beta_gamma", shape)
    reference = ensemble["reference_field"]
    if reference.ndim:
        reference = _one(reference) if reference.chunks is None else reference
        reference = reference.broadcast_like(ensemble["key"]).transpose(*DIMS) if reference.ndim else reference
    used = ensemble.drop_vars(["reference_field", "path_start", "gyroradius_label"], errors="ignore")
    return Ensemble(used, single, _sign(ensemble, shape), radii, beta_gamma, reference, _path_start(particles))


def _check_dims(particles: xr.Dataset) -> None:
    if odd := sorted({str(d) for n in NEEDED for d in particles[n].dims} - set(DIMS)):
        raise SnapshotError(
            f"the particles have dims {odd} beside gyroradius and particle: join ensembles along 'particle', "
            "xr.concat([...], 'particle'), or select one with isel"
        )
    if "gyroradius" in particles.dims and not particles.sizes["gyroradius"]:
        raise SnapshotError("dim 'gyroradius' is empty: at least one gyroradius is needed")


def _check_types(ensemble: xr.Dataset) -> None:
    """Refuse what joining has filled up with NaN or objects."""
    kinds = {"key": "ui", "steps": "ui", "alive": "b", "charge_sign": "ui", "guiding_centre": "b"}
    for name in (*NEEDED[:8], *kinds, "momentum", *HISTORY, *CENTRED):
        if name in ensemble and ensemble[name].dtype.kind not in kinds.get(name, "fui"):
            raise SnapshotError(
                f"{name} is {ensemble[name].dtype}: were ensembles joined that do not hold the same variables, or "
                "differ in their gyroradii? Join along 'particle' those that were made alike"
            )


def _own(ensemble: xr.Dataset, name: str, label: str, shape: tuple[int, ...]) -> np.ndarray:
    """A number of each particle; the label says the same where it says anything."""
    said = label.removesuffix("_label")
    known = ensemble.get(label)
    given = None if known is None else _spread(known, shape)
    values = _spread(ensemble[name], shape) if name in ensemble else given
    if values is None:
        return np.full(shape, np.inf)
    if np.isnan(values).any() or not (values > 0).all():
        raise SnapshotError(
            f"{name if name in ensemble else said} is not a positive number for every particle: were ensembles joined "
            "that do not all hold it? Make them with one version of mm.particles, or assign it to each before"
        )
    joined = (values != values[:, :1]).any()
    differs = given is not None and ((given != values) & ~np.isnan(given)).any()
    if differs and (not joined or "particle" in known.dims):
        raise SnapshotError(
            f"{said} says {given.flat[0]:g} and {name} of the particles {values.flat[0]:g}: drop_vars({name!r}) to go "
            f"by the first, drop or assign {said} to go by the second"
        )
    return values


def _spread(array: xr.DataArray, shape: tuple[int, ...]) -> np.ndarray:
    """Values over (gyroradius, particle)."""
    order = [d for d in DIMS if d in array.dims]
    values = array.transpose(*order).values.astype(float)
    index = tuple(slice(None) if d in order else None for d in DIMS)
    return np.ascontiguousarray(np.broadcast_to(values[index], shape))


def _sign(ensemble: xr.Dataset, shape: tuple[int, ...]) -> np.ndarray:
    """Signs of the charges; an attr is of ensembles that have no variable."""
    stated = ensemble.attrs.get("charge_sign", 1)
    if "charge_sign" not in ensemble:
        return np.full(shape, int(stated), np.int8)
    signs = _spread(ensemble["charge_sign"], shape)
    if not np.isin(signs, (-1.0, 1.0)).all():
        raise SnapshotError("charge_sign is not 1 or -1 for every particle: its size is in the gyroradius")
    if "charge_sign" in ensemble.attrs and (signs == -stated).all():
        raise SnapshotError(
            f"attrs['charge_sign'] is {stated} and charge_sign of the particles {int(signs.flat[0])}: delete the attr, "
            "or assign the variable"
        )
    return signs.astype(np.int8)


def _one(array: xr.DataArray) -> xr.DataArray:
    """A scalar where all values are the same."""
    values = array.values
    if np.isnan(values).any():
        raise SnapshotError(f"{array.name} is not a number for every particle: assign one to each before joining")
    return xr.DataArray(values.flat[0], name=array.name) if (values == values.flat[0]).all() else array


def _path_start(particles: xr.Dataset) -> float:
    if "path_start" not in particles:
        return 0.0
    values = np.unique(np.asarray(particles["path_start"].values, float))
    if len(values) > 1:
        raise SnapshotError(
            f"the particles have different path lengths behind them, {values.tolist()}: trace them apart"
        )
    return float(values[0])


def start_of(ensemble: Ensemble, longest: np.ndarray) -> dict[str, Any]:
    """Fields of the kernels' particles, over (gyroradius, particle); the reference field comes with the task.

    Parameters
    ----------
    ensemble : Ensemble
    longest : (g, p) array
        Longest step of each.

    Returns
    -------
    dict of NumPy or Dask arrays
        Rigidities are gyroradii with the sign of the charge, times the reference field where particles have their own.
    """
    data, shape = ensemble.data, ensemble.radii.shape
    filled = {"momentum": 1.0, **dict.fromkeys((*HISTORY, *CENTRED), 0.0), "left": np.nan, "steps": 0, "alive": True}
    filled["guiding_centre"] = -1

    def column(name: str) -> Any:
        return data[name].transpose(*DIMS).data if name in data else np.full(shape, filled[name])

    signed = ensemble.radii * ensemble.sign
    if ensemble.reference.ndim:
        signed = signed * ensemble.reference.data
    own = {name: column(name) for name in (*NEEDED[:7], "momentum", *HISTORY, *CENTRED, "alive")}
    own["centred"] = column("guiding_centre")
    made = {"rigidity": signed, "mass": 1 / ensemble.beta_gamma, "longest": longest}
    return {**own, **made, "path": np.full(shape, ensemble.start), "taken": column("steps")}

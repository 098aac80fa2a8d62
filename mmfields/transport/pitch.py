"""What the pitch angles say: their diffusion coefficient, and the one along the local field that follows from them."""

from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError, require_whole
from mmfields.provenance import verb
from mmfields.transport.reading import (
    alive,
    check,
    drift_frame,
    length_of_lag,
    light,
    own_lengths,
    own_path,
    speed,
    untouched,
)
from mmfields.transport.statistics import ratio_error
from mmfields.units import coefficient_attrs, length_attrs


@verb
def pitch_angle_diffusion(trajectories: xr.Dataset, *, bins: int = 20, lag: int = 1) -> xr.Dataset:
    """D_mumu(mu) = <(delta mu)²> / (2 delta s) from pairs of saved points, and the rate and free path it gives.

    Pairs between which a particle left the box, was reflected, or stood where there is no field do not count; delta s
    is the particle's own path.  With an electric field and ``local_field=True`` mu is that in the frame of the
    E × B drift.

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
        ``scattering_rate`` nu_1, the best fit of what isotropic scattering, of which D = (nu_1/2)(1 - mu²), makes of
        mu in such a lag; ``mean_free_path`` 1/nu_1, and their ``…_error``.  Errors are from the scatter between
        particles.  The rate is NaN where mu has forgotten itself within the lag.

    Raises
    ------
    ArgumentError, SnapshotError
        If there are no pairs of that lag, they are not evenly spaced, or `bins` is no positive number.
    """
    check(trajectories, "mu")
    require_whole(bins, "bins", 1)
    span = length_of_lag(trajectories, lag)
    squares, way, pairs = _pairs(trajectories, bins, lag)
    d, error = ratio_error(squares / 2, way)
    centres = (np.arange(bins) + 0.5) * 2 / bins - 1
    # (1 - mu²)/2, averaged over a bin
    shape = xr.DataArray((1 - centres**2 - 1 / (3 * bins**2)) / 2, dims="mu")
    linear, linear_error = ratio_error((squares / 2 * shape).sum("mu"), (shape**2 * way).sum("mu"))
    number, total = pairs.sum("particle"), way.sum("particle")
    sums = [(shape**power * weight).sum("mu") for power, weight in ((1, number), (2, number), (2, total))]
    rate, stretch = xr.apply_ufunc(
        _of_finite_lag, linear, *sums, output_core_dims=[[], []], dask="parallelized", output_dtypes=[float] * 2
    )
    rate_error = linear_error * stretch
    length, per_length = length_attrs(trajectories), length_attrs(trajectories, -1)
    return xr.Dataset(
        {
            "D_mumu": d.assign_attrs(per_length, long_name="pitch-angle diffusion coefficient"),
            "D_mumu_error": error.assign_attrs(per_length, long_name="standard error of D_mumu"),
            "pairs": pairs.sum("particle").assign_attrs(units="1", long_name="pairs of saved points"),
            "scattering_rate": rate.assign_attrs(per_length, long_name="nu_1 of D = (nu_1/2)(1 - mu^2)"),
            "scattering_rate_error": rate_error.assign_attrs(per_length, long_name="standard error of nu_1"),
            "mean_free_path": (1 / rate).assign_attrs(length, long_name="1 / nu_1"),
            "mean_free_path_error": (rate_error / rate**2).assign_attrs(length, long_name="standard error of 1 / nu_1"),
        },
        {"mu": ("mu", centres, {"long_name": "pitch-angle cosine", "units": "1"})},
        {"lag": span},
    )


def _of_finite_lag(linear: Any, once: Any, twice: Any, way: Any) -> tuple[np.ndarray, np.ndarray]:
    """nu_1 of isotropic scattering, and its derivative, by that of D = (nu_1/2)(1 - mu²), which holds for short lags.

    <(delta mu)²> is (1 - exp(-3x))/3 + mu² (1 + exp(-3x) - 2 exp(-x)), of x = nu_1 s; `once`, `twice` are sums over the
    pairs of (1 - mu²)/2 and of its square, `way` that of its square times s.
    """
    with np.errstate(all="ignore"):
        span = np.asarray(way / twice)
        known = 2 * twice * linear * span
        low, high = np.zeros(span.shape), np.full(span.shape, 8.0)

        def change(x: np.ndarray) -> np.ndarray:
            fast, slow = -np.expm1(-3 * x), -np.expm1(-x)
            return once * (fast / 3 + 2 * slow - fast) - 2 * twice * (2 * slow - fast)

        for _ in range(60):
            middle = (low + high) / 2
            under = change(middle) < known
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        growth = once * (2 * np.exp(-high) - 2 * np.exp(-3 * high)) - 2 * twice * (
            2 * np.exp(-high) - 3 * np.exp(-3 * high)
        )
        found = (high < 7.9) & (linear > 0)
        return np.where(found, high / span, np.nan), np.where(found, 2 * twice / growth, np.nan)


def _pairs(tr: xr.Dataset, bins: int, lag: int) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Sums of squared changes of mu, own paths of their pairs, and numbers of these, of each particle and bin."""
    mu, own, counts = _cosine(tr), own_path(tr), untouched(tr, lag)
    first = mu.isel(path=slice(None, -lag)).drop_vars("path")
    square = (mu.isel(path=slice(lag, None)).drop_vars("path") - first) ** 2
    square = square if counts is None else square.where(counts)
    way = own.isel(path=slice(lag, None)).drop_vars("path") - own.isel(path=slice(None, -lag)).drop_vars("path")
    way = way.where(square.notnull())
    place = np.floor((first + 1) / 2 * bins).clip(0, bins - 1)

    def binned(values: xr.DataArray) -> xr.DataArray:
        return xr.concat([values.where(place == b).sum("path") for b in range(bins)], "mu")

    return binned(square), binned(way), binned(square.notnull().astype(float)).astype(int)


def _cosine(tr: xr.Dataset) -> xr.DataArray:
    """Pitch-angle cosine, in the frame of the E × B drift where the electric field is known."""
    names = [f"{letter}{d}" for letter in "vbe" for d in SPATIAL]
    if any(n not in tr for n in names):
        return tr["mu"]
    inputs = [tr[n] for n in names]
    options: dict[str, Any] = {"dask": "parallelized", "output_dtypes": [np.float64]}
    cosine = xr.apply_ufunc(_drifting_cosine, *inputs, tr["B"], speed(tr), **options)
    if "guiding_centre" not in tr:
        return cosine
    centres = [tr[n] for n in ("parallel_momentum", "magnetic_moment", "B")]
    return cosine.where(~tr["guiding_centre"], xr.apply_ufunc(_cosine_of_centres, *centres, *inputs[3:], **options))


def _drifting_cosine(*arrays: np.ndarray) -> np.ndarray:
    v, b, e = (np.stack(arrays[i : i + 3]) for i in (0, 3, 6))
    strength, beta = arrays[9:]
    seen, _, _ = drift_frame(v * beta, b * strength, e)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip((seen * b).sum(axis=0) / np.sqrt((seen**2).sum(axis=0)), -1.0, 1.0)


def _cosine_of_centres(along: np.ndarray, moment: np.ndarray, *arrays: np.ndarray) -> np.ndarray:
    """Of guiding centres, whose velocities have no gyration."""
    strength, b, e = arrays[0], np.stack(arrays[1:4]), np.stack(arrays[4:])
    square = strength**2 - (e**2).sum(axis=0) + (e * b).sum(axis=0) ** 2  # in the frame of the drift
    with np.errstate(divide="ignore", invalid="ignore"):
        return along / np.sqrt(along**2 + 2 * moment * np.sqrt(square))


@verb
def parallel_from_mu(trajectories: xr.Dataset) -> xr.Dataset:
    """kappa_par along the local field from the saved pitch angles: v times the integral of <mu(s) mu(s + s')> ds'.

    It is taken to the first zero of the mean autocorrelation, or a third of the run.  Unlike displacements it needs
    no field lines that are straight, and mu saved several times a mean free path only.  Saved points after a particle
    has left, and those where there is no field, do not count; what a wall through which the field runs has turned round
    is turned back.

    Parameters
    ----------
    trajectories : xarray.Dataset
        From ``mm.trace``, evenly saved; lazy where it is.

    Returns
    -------
    xarray.Dataset
        Over (``gyroradius``,): ``kappa_par`` [particle speed times length unit] and ``kappa_par_error``, from the
        scatter between particles; ``cut``, the lag at which the integral ends; ``autocorrelation`` over ``lag``.

    Raises
    ------
    ArgumentError, SnapshotError
        If there are fewer than six saved points, or they are not evenly spaced.
    """
    check(trajectories, "mu")
    path = trajectories["path"].values
    if len(path) < 6 or np.ptp(np.diff(path)) > 1e-6 * np.diff(path).mean():
        raise SnapshotError(f"{len(path)} saved points: six or more, evenly spaced, are needed, save=n")
    step, lags = float(np.diff(path).mean()), (len(path) - 1) // 3 + 1
    values, known = _record(trajectories)
    sums, counts = xr.apply_ufunc(
        _correlations,
        values,
        known,
        input_core_dims=[["path"]] * 2,
        output_core_dims=[["lag"]] * 2,
        kwargs={"lags": lags},
        dask="parallelized",
        output_dtypes=[np.float64] * 2,
        dask_gufunc_kwargs={"allow_rechunk": True, "output_sizes": {"lag": lags}},
    )
    total = counts.sum("particle")
    mean = sums.sum("particle") / total.where(total > 0)
    options: dict[str, Any] = {
        "dask": "parallelized",
        "output_dtypes": [float],
        "dask_gufunc_kwargs": {"allow_rechunk": True},
    }
    weight = xr.apply_ufunc(_weights, mean, input_core_dims=[["lag"]], output_core_dims=[["lag"]], **options) * step
    off = ((sums - mean * counts) / total.where(total > 0) * weight).sum("lag")
    n = (counts.isel(lag=0) > 0).sum("particle")
    error = ((off**2).sum("particle") * n / (n - 1).where(n > 1)) ** 0.5
    kappa = (mean * weight).sum("lag").where(n > 0)
    notes = coefficient_attrs(trajectories)
    rule = "to the first zero of the mean autocorrelation of mu, or a third of the run"
    return xr.Dataset(
        {
            "kappa_par": kappa.assign_attrs(notes, long_name="kappa par along the local field"),
            "kappa_par_error": error.assign_attrs(notes, long_name="standard error of kappa_par"),
            "cut": weight.sum("lag").assign_attrs(trajectories["path"].attrs, long_name="lag at which it is cut"),
            "autocorrelation": mean.assign_attrs(units="1", long_name="mean of mu(s) mu(s + lag), weighted by speeds"),
            "count": n.assign_attrs(units="1", long_name="particles that count"),
        },
        {"lag": ("lag", np.arange(lags) * step, {**trajectories["path"].attrs, "long_name": "lag"})},
        {"method": f"integral of <mu mu'> {rule}", "path_kind": "light" if light(trajectories) else "particle"},
    )


def _record(tr: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Velocities along the local field over the root of the mean speed, and which count."""
    values, there = tr["mu"], alive(tr)
    untouched(tr)  # what it needs is there
    if light(tr):
        way = own_lengths(tr).isel(path=-1, drop=True) / float(tr["path"][-1] - tr["path"][0])
        values = values * speed(tr) / way**0.5
    if "reflections_along" in tr:
        values = values * (1 - 2 * (tr["reflections_along"] % 2))
    return values.fillna(0.0), values.notnull() if there is None else values.notnull() & there


def _correlations(values: np.ndarray, known: np.ndarray, *, lags: int) -> tuple[np.ndarray, np.ndarray]:
    from mmfields.kernels.correlate import correlate

    shape, size = values.shape[:-1], values.shape[-1]
    flat = np.ascontiguousarray(values, float).reshape(-1, size), np.ascontiguousarray(known).reshape(-1, size)
    return tuple(a.reshape(*shape, lags) for a in correlate(*flat, lags))


def _weights(mean: Any) -> np.ndarray:
    """Of the trapezoidal rule to the first zero of a mean autocorrelation, or its last lag."""
    mean = np.asarray(mean)
    below = ~(mean > 0)
    end = np.where(below.any(axis=-1), below.argmax(axis=-1), mean.shape[-1])[..., None]
    lag = np.arange(mean.shape[-1])
    last = np.take_along_axis(mean, np.maximum(end - 1, 0), -1)
    beyond = np.take_along_axis(mean, np.minimum(end, mean.shape[-1] - 1), -1)
    # a straight line from the last value above 0 to the next: a triangle
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.where(end < mean.shape[-1], last / (last - beyond) / 2, 0.0)
    weight = np.where(lag < end, 1.0, 0.0) - np.where(lag == 0, 0.5, 0.0)
    return weight - np.where(lag == end - 1, 0.5 - np.nan_to_num(tail), 0.0)

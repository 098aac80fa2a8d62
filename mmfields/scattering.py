"""Random scattering of particles: what ``mm.trace`` adds to any field, and the exact 1-D Monte Carlo."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from mmfields._types import Number
from mmfields.conventions import ArgumentError, keys_of, require_number, require_plain, require_whole, saved_lengths
from mmfields.provenance import verb
from mmfields.units import FIELD, LENGTH, plain

__all__ = ["Scattering", "one_dimensional", "patchy", "small_angle"]

# kappa nu / v² of the literal Eq. 13: one Gaussian polar angle and a uniform azimuth decorrelate <cos> at nu/2.
KAPPA_NU = 2.0 / 3.0


@dataclass(frozen=True)
class Scattering:
    """Small-angle scattering that ``mm.trace`` adds at the end of every step.

    Parameters
    ----------
    rate : float
        Mean square polar angle per path length, nu/v of Eq. 13 [per length unit], or an astropy Quantity.
    outside : float
        The rate where a patchy medium does not scatter strongly; `rate` is that of the patches.
    threshold : float, optional
        Patches are where |B| is at least this, in the field's unit.
    mask : str, optional
        Patches are where this variable of the snapshot is not 0.
    """

    rate: float
    outside: float = 0.0
    threshold: float | None = None
    mask: str | None = None

    def __post_init__(self) -> None:
        for name, rate in (("rate", self.rate), ("outside", self.outside)):
            require_number(rate.value if hasattr(rate, "unit") else rate, name, 0.0)

    def in_units_of(self, field: Any) -> "Scattering":
        """The same with plain numbers in the units of a field.

        Raises
        ------
        ArgumentError, SnapshotError
            If there are Quantities, and the units of the field are not known or of another kind.
        """
        return replace(
            self,
            rate=plain(self.rate, "nu of the scattering", field, LENGTH, power=-1),
            outside=plain(self.outside, "nu of the scattering", field, LENGTH, power=-1),
            threshold=plain(self.threshold, "threshold of the scattering", field, FIELD),
        )

    def label(self) -> str:
        """One line for the attrs of trajectories."""
        rate, outside = (
            f"{r:.8g}" if hasattr(r, "unit") else f"{r:.8g} per length unit" for r in (self.rate, self.outside)
        )
        if self.threshold is None and self.mask is None:
            return f"small-angle (Eq. 13), nu = {rate}"
        where = f"|B| >= {self.threshold:.8g}" if self.mask is None else f"{self.mask} is set"
        return f"small-angle (Eq. 13), nu = {rate} where {where}, {outside.removesuffix(' per length unit')} elsewhere"


def _rate(nu: Any, kappa: Any) -> Any:
    if (nu is None) == (kappa is None):
        raise ArgumentError(f"nu={nu!r}, kappa={kappa!r}: give one of the two")
    name, value = ("nu", nu) if nu is not None else ("kappa", kappa)
    if getattr(value, "unit", None) is not None:
        return _rate_with_unit(name, value)
    number = require_plain(value, name, "the field's length unit and the particles' speed")
    if number.ndim or number < 0 or (name == "kappa" and number == 0):
        raise ArgumentError(f"{name}={value!r}: a positive, finite number is needed")
    return float(number) if name == "nu" else KAPPA_NU / float(number)


def _rate_with_unit(name: str, value: Any) -> Any:
    """Rate per length of a Quantity: per length as it is, per time or a coefficient at the speed of light."""
    from astropy import constants
    from astropy import units as u

    kinds = {"nu": (u.m**-1, u.s**-1), "kappa": (u.m, u.m**2 / u.s)}[name]
    number = np.asarray(value.value)
    if number.ndim or not np.isfinite(number) or number < 0 or (name == "kappa" and number == 0):
        raise ArgumentError(f"{name}={value}: one positive, finite Quantity is needed")
    if not any(value.unit.is_equivalent(kind) for kind in kinds):
        raise ArgumentError(f"{name}={value}: a Quantity in {kinds[0]} or {kinds[1]} is needed")
    own = value if value.unit.is_equivalent(kinds[0]) else value / constants.c
    return own.to(u.m**-1) if name == "nu" else KAPPA_NU / own.to(u.m)


def small_angle(*, nu: Number | None = None, kappa: Number | None = None) -> Scattering:
    """Small-angle scattering everywhere: each step turns the direction by a Gaussian polar angle (Eq. 13).

    The polar angle has variance nu s in a step of length s, the azimuth is uniform, and the mean cosine of
    a step is exactly exp(-nu s/2).  In three dimensions that gives kappa = (2/3) v²/nu per axis.

    Parameters
    ----------
    nu : float or astropy Quantity
        Mean square angle per path length [per length unit]; a Quantity per time is that of particles at the speed of
        light.
    kappa : float or astropy Quantity
        Wanted diffusion coefficient [particle speed times length unit], instead of `nu`: nu = (2/3)/kappa.  A Quantity
        such as ``1e30 * u.cm**2 / u.s`` is that of particles at the speed of light.

    Returns
    -------
    Scattering

    Raises
    ------
    ArgumentError, SnapshotError
        If not one of the two is given, or it is not positive.
    """
    return Scattering(_rate(nu, kappa))


def patchy(
    inside: Scattering, outside: Scattering | None = None, *, threshold: Number | None = None, mask: str | None = None
) -> Scattering:
    """Two phases of small-angle scattering (Sec. 3.10): patches and what lies between them.

    Parameters
    ----------
    inside, outside : Scattering
        From :func:`small_angle`; nothing scatters outside by default.
    threshold : float or astropy Quantity, optional
        Patches are where |B|, in the middle of the step, is at least this [field unit].
    mask : str, optional
        Patches are where this variable of the snapshot is not 0, by the nearest cell, instead.

    Returns
    -------
    Scattering

    Raises
    ------
    ArgumentError, SnapshotError
        If not one of `threshold` and `mask` is given.
    """
    if (threshold is None) == (mask is None):
        raise ArgumentError(f"threshold={threshold!r}, mask={mask!r}: give one of the two")
    for name, phase in (("inside", inside), ("outside", outside)):
        if not (isinstance(phase, Scattering) or (name == "outside" and phase is None)):
            raise ArgumentError(f"{name}={phase!r}: mm.scattering.small_angle(nu=...) or (kappa=...) is needed")
        if phase is not None and (phase.threshold is not None or phase.mask is not None):
            raise ArgumentError(f"{name} is patchy already ({phase.label()}): give mm.scattering.small_angle(...)")
    number = getattr(threshold, "value", threshold)
    if threshold is not None and (require_plain(number, "threshold", "the field's unit") < 0).any():
        raise ArgumentError(f"threshold={threshold!r}: a field strength from 0 on is needed")
    if mask is not None and not isinstance(mask, str):
        raise ArgumentError("mask: the name of a variable of the snapshot is needed, such as ds.assign(patch=...)")
    return Scattering(inside.rate, outside.rate if outside is not None else 0.0, threshold, mask)


@verb
def one_dimensional(
    n: int,
    *,
    kappa: Sequence[float],
    lengths: Sequence[float],
    distance: float,
    save: int | Sequence[float] = 100,
    seed: int,
) -> xr.Dataset:
    """Exact 1-D Monte Carlo of particles that reverse at random in periodic layers (Sec. 3.10).

    A particle flies until it has gone through an exponentially distributed optical depth, layer by layer,
    and turns round: no step is taken, and layers of any thickness are sampled without bias.  In one layer
    kappa = 1/(2 a) for a reversal rate a per length; for several Eq. 11 is exact at every thickness.

    Parameters
    ----------
    n : int
        Particles, uniform over one period, half of them each way on average.
    kappa : sequence of float
        Diffusion coefficient of each layer [particle speed times length unit].
    lengths : sequence of float
        Thickness of each layer.
    distance : float
        Path length.
    save : int or sequence of float
        As for ``mm.trace``.
    seed : int
        Everything random follows from it.

    Returns
    -------
    xarray.Dataset
        ``x`` (unwrapped) and ``vx`` (1 or -1) over (``particle``, ``path``).

    Raises
    ------
    ArgumentError
        If a number is unusable.
    """
    from mmfields.kernels.layers import fly

    widths, kappas = require_plain(lengths, "lengths", "one length unit"), require_plain(kappa, "kappa", "that unit")
    if widths.ndim != 1 or widths.shape != kappas.shape or not len(widths):
        raise ArgumentError(f"kappa={kappa!r}, lengths={lengths!r}: one of each per layer is needed")
    if not (np.isfinite(widths) & (widths > 0)).all() or not (kappas > 0).all():
        raise ArgumentError(f"kappa={kappa!r}, lengths={lengths!r}: positive numbers are needed")
    require_whole(n, "n", 1), require_whole(seed, "seed", 0)
    path = saved_lengths(distance, save)
    start = np.random.default_rng([seed, 0, 2]).random((n, 2))
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    position, forward = fly(edges, 0.5 / kappas, start, keys_of(seed, 0, n), path)
    dims = ("particle", "path")
    variables: dict[str, Any] = {
        "x": (dims, position, {"long_name": "unwrapped position"}),
        "vx": (dims, forward, {"long_name": "direction"}),
    }
    attrs = {"seed": int(seed), "scattering": "1-D reversals by optical depth", "period": float(edges[-1])}
    return xr.Dataset(variables, {"path": ("path", path, {"long_name": "path length"})}, attrs)


def __dir__() -> list[str]:
    return sorted(__all__)

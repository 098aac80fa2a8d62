"""Sums of plane waves, evaluated at the particles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
    require_number,
    require_values,
    require_vector,
    require_whole,
    unit_attrs,
    unit_vector,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.provenance import verb
from mmfields.turbulence.base import Synthetic
from mmfields.turbulence.moving import MOVING, Frequency, moving, rows_in_time
from mmfields.turbulence.shapes import Shape, numbers_of, require_convention, require_limits, shape_of, values_of

WAVE_VARIABLES = ("kx", "ky", "kz", "ax", "ay", "az", "phase")
MOST_MODES = 1e7
GEOMETRIES = ("isotropic", "slab", "2d", "composite", "goldreich-sridhar")


@dataclass(frozen=True)
class PlaneWaves(Synthetic):
    """A field B(x) = B_0 + sum of a_n cos(k_n·x + phase_n), which ``mm.trace`` takes like a snapshot.

    Parameters
    ----------
    modes : xarray.Dataset
        Over ``mode``: wavevectors ``kx ky kz`` [rad per length unit], amplitudes ``ax ay az`` [field unit],
        ``phase`` [rad]; may be stored, looked into and edited.  Loaded now where they are lazy.  Waves that move have
        ``omega`` [rad per length of light's path] too, and amplitudes ``ux uy uz`` of the velocity over that of light:
        cos(k_n·x + phase_n - omega_n c t), which ``mm.trace(..., evolve=True)`` takes, all waves at every step.
    mean_field : (float, float, float)
        B_0.
    error : float
        How far the field at a particle may be off, over the rms of the waves, so that slow waves need not be added up
        at every step: a strict bound, most errors are ten times smaller; the rounding of k·x, 1e-16 of its turns, is
        not in it.  0 adds up all waves at every step.
        Steps that follow the local field, and :meth:`at`, add up all in any case.

    Raises
    ------
    ArgumentError, SnapshotError
        If a variable is missing or not finite, there is no mode, or the error is not from 0 to 0.01.
    """

    modes: xr.Dataset
    mean_field: tuple[float, float, float] = (0.0, 0.0, 0.0)
    error: float = 1e-6

    def __post_init__(self) -> None:
        if not isinstance(self.modes, xr.Dataset) or (missing := [n for n in WAVE_VARIABLES if n not in self.modes]):
            found = missing if isinstance(self.modes, xr.Dataset) else type(self.modes).__name__
            raise SnapshotError(f"modes: a Dataset with {', '.join(WAVE_VARIABLES)} is needed; {found} is wrong")
        object.__setattr__(self, "modes", self.modes.compute())
        if any(self.modes[n].dims != ("mode",) for n in WAVE_VARIABLES) or not self.modes.sizes["mode"]:
            raise SnapshotError(f"modes: at least one, along the dim 'mode', is needed; found {dict(self.modes.sizes)}")
        lacking = [n for n in MOVING if n not in self.modes]
        if 0 < len(lacking) < len(MOVING) or any(self.modes[n].dims != ("mode",) for n in MOVING if not lacking):
            raise SnapshotError(f"modes: waves that move need {', '.join(MOVING)} along 'mode', or none of these")
        given = (*WAVE_VARIABLES, *(MOVING if not lacking else ()))
        if bad := {n: str(self.modes[n].dtype) for n in given if self.modes[n].dtype.kind not in "fiu"}:
            raise SnapshotError(f"modes: real numbers are needed, found {bad}")
        if bad := [n for n in given if not np.isfinite(self.modes[n].values).all()]:
            raise SnapshotError(f"modes: {bad} is not finite")
        if (still := np.flatnonzero(self.wavenumbers() == 0)).size:
            raise SnapshotError(f"modes: mode {still[0]} has wavenumber 0; what is constant belongs into mean_field")
        if not self._powers().any():
            raise SnapshotError("modes: every amplitude is 0, so that there are no waves")
        require_vector(self.mean_field, "mean_field")
        require_number(self.error, "error", 0.0, 0.01)

    def _vectors(self, names: Sequence[str]) -> np.ndarray:
        return np.stack([self.modes[n].values.astype(float) for n in names])

    def wavenumbers(self) -> np.ndarray:
        """|k| of every mode [rad per length unit]."""
        return np.linalg.norm(self._vectors(WAVE_VARIABLES[:3]), axis=0)

    def _powers(self) -> np.ndarray:
        """Contribution of every mode to the mean square, averaged over phases."""
        return 0.5 * (self._vectors(WAVE_VARIABLES[3:6]) ** 2).sum(axis=0)

    @property
    def rms(self) -> float:
        return float(self._powers().sum() ** 0.5)

    @property
    def shortest(self) -> float:
        return float(2 * np.pi / self.wavenumbers().max())

    @property
    def longest(self) -> float:
        return float(2 * np.pi / self.wavenumbers().min())

    @property
    def units(self) -> dict[str, str]:
        return unit_attrs(self.modes["ax"])

    def correlation_length(self, convention: str = "one-sided") -> float:
        """Correlation length (π/2) Σ a²/k / Σ a² of these modes, averaged over directions, or twice that.

        Parameters
        ----------
        convention : {"one-sided", "two-sided"}
            As :func:`mmfields.turbulence.correlation_length`, which is that of the ensemble.

        Returns
        -------
        float

        Raises
        ------
        ArgumentError
            If there is no such convention.
        """
        factor = require_convention(convention)
        power = self._powers()
        mean = float((power / self.wavenumbers()).sum() / power.sum())
        return factor * np.pi / 2 * mean

    def modes_per_octave(self, k: float) -> float:
        # an ellipse is two modes, and one wave
        waves = np.linalg.norm(np.unique(self._vectors(WAVE_VARIABLES[:3]), axis=1), axis=0)
        return float(((waves >= k / 2**0.5) & (waves < k * 2**0.5)).sum())

    def label(self) -> str:
        how = "all at every step" if self.error == 0 else f"to {self.error:g} of their rms"
        return f"{self.modes.sizes['mode']} plane waves, {how}"

    @property
    def moves(self) -> bool:
        """Whether the waves have frequencies."""
        return "omega" in self.modes

    def in_time(self) -> np.ndarray:
        """Rows of moving waves as the kernel takes them."""
        return rows_in_time(self.modes, self.mean_field)

    def at_time(self, time: float) -> "PlaneWaves":
        """The waves as they stand at a time, as a field at rest.

        Parameters
        ----------
        time : float
            As path of light, in the length unit.
        """
        moved = self.modes["phase"] - (self.modes["omega"] * require_number(time, "time") if self.moves else 0.0)
        phase = moved.assign_attrs(self.modes["phase"].attrs)
        modes = self.modes.drop_vars(MOVING, errors="ignore").assign(phase=phase)
        return PlaneWaves(modes, self.mean_field, self.error)

    def flow(self, time: float = 0.0) -> "PlaneWaves":
        """The velocity of the plasma over that of light at a time, as a field of its own.

        Raises
        ------
        SnapshotError
            If the waves do not move.
        """
        if not self.moves:
            raise SnapshotError("waves without frequencies have no flow: plane_waves(..., frequency='alfven')")
        own = self.modes.drop_vars(["ax", "ay", "az"]).rename({f"u{d}": f"a{d}" for d in SPATIAL})
        still = xr.zeros_like(self.modes[["ux", "uy", "uz"]])
        return PlaneWaves(own.assign(still.data_vars), (0.0, 0.0, 0.0), self.error).at_time(time)

    def to_series(self, grid: xr.Dataset | Any, times: Sequence[float]) -> xr.Dataset:
        """Snapshots of moving waves on a grid, with ``ux uy uz`` over the speed of light.

        Parameters
        ----------
        grid : xarray.Dataset or mapping
            As of :meth:`to_dataset`.
        times : sequence of float
            As path of light, in the length unit; ``mm.trace(series, ..., evolve=True, light_speed=1.0)``.
        """
        parts = []
        for time in require_values(times, "times").tolist():
            flow = self.flow(time).to_dataset(grid)
            named = flow.rename({f"B{d}": f"u{d}" for d in SPATIAL})
            for d in SPATIAL:
                named[f"u{d}"].attrs = {"units": "1", "long_name": f"bulk velocity along {d} over that of light"}
            parts.append(self.at_time(time).to_dataset(grid).assign(named.data_vars))
        return xr.concat(parts, "time", combine_attrs="override").assign_coords(time=("time", list(times)))

    def kernel_form(self) -> tuple[int, int]:
        from mmfields.kernels.setup import Interpolation

        return Interpolation.WAVES, len(self._rows()[0]) // 8

    def packed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Numbers as the kernel takes them: rows of waves, and their octaves with the bounds of their polynomials."""
        flat, groups, k, a = self._rows()
        if self.error == 0:
            return flat, np.zeros(1, np.int64), np.zeros(0), np.zeros(0)
        return flat, groups, self._bounds(groups, k, a), _terms(k, a)

    def _rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Flat rows by octaves, shortest waves first, each octave filled up to four; their begins; k and a.

        The mean field is one wave more, the longest of all.
        """
        k = np.vstack([self._vectors(WAVE_VARIABLES[:3]).T, np.zeros(3)])
        a = np.vstack([self._vectors(WAVE_VARIABLES[3:6]).T, self.mean_field])
        own = self.modes["phase"].values.astype(float)
        phase = np.append(np.arctan2(np.sin(own), np.cos(own)), 0.0)  # as exact for many turns as the library's cosine
        size = np.linalg.norm(k, axis=1)
        order = np.argsort(-size, kind="stable")
        with np.errstate(divide="ignore"):
            octave = np.minimum(np.floor(np.log2(size.max() / size[order]) + 1e-9), 2000).astype(int)
        places, begins = [], [0]
        for number in np.unique(octave):
            own = order[octave == number]
            places += [*own.tolist(), *[-1] * (-len(own) % 4)]
            begins.append(len(places))
        where = np.array(places)
        kept = (where >= 0)[:, None]
        rows = np.zeros((len(where), 8))
        rows[:, :3], rows[:, 3] = k[where] / (2 * np.pi) * kept, phase[where] / (2 * np.pi) * kept[:, 0]
        rows[:, 4:7] = a[where] * kept
        return rows.ravel(), np.array(begins), k[where] * kept, a[where] * kept

    def _bounds(self, groups: np.ndarray, k: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Fourth power of the radius within which the cubic of an octave is good to the whole error, after Taylor."""
        fourth = np.linalg.norm(a, axis=1) * np.linalg.norm(k, axis=1) ** 4
        rest = np.add.reduceat(fourth, groups[:-1])
        with np.errstate(divide="ignore"):
            return self.error * self.rms * factorial(4) / rest


def _terms(k: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Taylor's coefficients of every wave up to third order, those of its cosine or sine, flat."""
    from mmfields.kernels.waves import POWERS

    signs = (1.0, -1.0, -1.0, 1.0)  # of the derivatives of a cosine
    scale = [
        signs[sum(p)] / np.prod([float(factorial(n)) for n in p]) * np.prod(k ** np.array(p), axis=1) for p in POWERS
    ]
    return (np.stack(scale, axis=1)[:, :, None] * a[:, None, :]).ravel()


@verb
def plane_waves(
    modes: int | Sequence[float] | None = None,
    *,
    k_min: float | None = None,
    k_max: float | None = None,
    spectrum: float | Shape = 5 / 3,
    rms: float = 1.0,
    mean_field: Sequence[float] = (0.0, 0.0, 0.0),
    geometry: str = "isotropic",
    slab_fraction: float = 0.2,
    helicity: float = 0.0,
    modes_per_octave: float | Callable[[np.ndarray], np.ndarray] | None = None,
    frequency: Frequency | None = None,
    alfven_speed: float | None = None,
    seed: int,
    error: float = 1e-6,
) -> PlaneWaves:
    """Turbulence of plane waves (Eq. 12) between two wavenumbers.

    B = B_0 + √2 δB Σ A_n ξ_n cos(k_n·x + φ_n) with ΣA² = 1, ξ·k = 0 and A_n² ∝ E(k_n) Δk_n: fixed amplitudes, random
    directions, polarizations and phases, so that ⟨B²⟩ over phases is exactly the square of `rms` beside the mean field.

    Parameters
    ----------
    modes : int or sequence of float, optional
        So many log-spaced wavenumbers, 1024 by default; or the wavenumbers themselves.
    k_min, k_max : float
        [rad per length unit]; not for given wavenumbers.
    spectrum : float or callable
        Slope s of E(k) ∝ k^-s, or E(k), such as :func:`bend_over`.  Of ``goldreich-sridhar`` it is that over k_perp.
    rms : float
        Of the fluctuations, all three components together [field unit].
    mean_field : three numbers
        (x, y, z); its direction is the axis of what is not isotropic, x where there is none.
    geometry : str
        ``isotropic``; ``slab``, k along the axis; ``2d``, k and B across it; ``composite`` of those two;
        ``goldreich-sridhar``, log-spaced k_perp with k_par from a critically balanced distribution
        ∝ exp(-|k_par| / (k_perp^(2/3) k_min^(1/3))) (Goldreich & Sridhar 1995).
    slab_fraction : float
        Share of the slab in the energy of ``composite``.
    helicity : float
        From -1 to 1, of every wave: Σ k·helicity a²/2 is ⟨B·∇×B⟩; 0 for what has 2-D waves, whose B lies across
        the axis.  Waves that are not linearly polarized are two modes.
    modes_per_octave : float or callable, optional
        Instead of a number of modes: how dense they are, everywhere or as a function of k [rad per length unit].
        Where gyroradii exceed the outer scale, the diffusion coefficient needs some 400 there; 50 make it 40 %
        too large.
    frequency : "alfven" or callable, optional
        Let the waves move, and the plasma with them: by v_A |k_par| along k, so that half of them go either way along
        the mean field; or by omega(kx, ky, kz) [rad per length of light's path], 0 across it.
    alfven_speed : float, optional
        v_A over the speed of light, for ``alfven``.
    seed : int
        Everything random follows from it.
    error : float
        See :class:`PlaneWaves`.

    Returns
    -------
    PlaneWaves

    Raises
    ------
    ArgumentError, SnapshotError
        If a number is unusable.
    """
    if geometry not in GEOMETRIES:
        raise ArgumentError(f"geometry={geometry!r}: one of {', '.join(GEOMETRIES)} is needed")
    if require_number(rms, "rms") <= 0:
        raise ArgumentError(f"rms={rms!r}: a positive number is needed")
    mean = require_vector(mean_field, "mean_field")
    require_number(slab_fraction, "slab_fraction", 0.0, 1.0), require_number(helicity, "helicity", -1.0, 1.0)
    if helicity != 0 and geometry in ("2d", "composite"):
        raise ArgumentError(f"helicity={helicity!r} turns B out of the plane of the 2-D waves of geometry={geometry!r}")
    rng = np.random.default_rng(require_whole(seed, "seed", 0))
    k, widths = _spaced(modes, k_min, k_max, modes_per_octave)
    weight = values_of(shape_of(spectrum), k) * widths
    axis = unit_vector(mean if any(mean) else "x")
    draws = rng.random((4, len(k)))
    slab = np.arange(len(k)) % 2 == 0 if geometry == "composite" else np.full(len(k), geometry == "slab")
    if geometry == "composite":
        if not (weight[slab].any() and weight[~slab].any()):
            raise ArgumentError(f"spectrum={spectrum!r} is 0 at all slab waves or at all 2-D waves: take more modes")
        for part, share in ((slab, slab_fraction), (~slab, 1 - slab_fraction)):
            weight[part] *= share / weight[part].sum()
    vectors = _wavevectors(k, draws, axis, geometry, slab)
    first, second = _polarizations(
        vectors, draws[2], axis, None if geometry in ("isotropic", "goldreich-sridhar") else slab
    )
    size = rms * np.sqrt(2 * weight / weight.sum())
    table = _table(vectors, first, second, size, 2 * np.pi * draws[3], helicity)
    label = {"spectrum": float(spectrum)} if isinstance(spectrum, int | float) else {"spectrum": repr(spectrum)}
    notes = {"seed": int(seed), "rms": float(rms), "geometry": geometry, "helicity": float(helicity), **label}
    table = table.assign_attrs(notes)
    if frequency is None and alfven_speed is not None:
        raise ArgumentError(f"alfven_speed={alfven_speed!r} goes with frequency='alfven': give that too")
    return PlaneWaves(table if frequency is None else moving(table, mean, frequency, alfven_speed), mean, error)


def _spaced(modes: Any, k_min: Any, k_max: Any, density: Any) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers, and the width that each stands for."""
    if np.ndim(modes) > 0:
        if not (k_min is None and k_max is None and density is None):
            raise ArgumentError("modes are given as wavenumbers: leave out k_min, k_max and modes_per_octave")
        k = np.sort(require_values(modes, "modes"))
        if len(k) < 2 or k[0] <= 0 or (np.diff(k) == 0).any():
            raise ArgumentError("modes: at least two different, positive wavenumbers are needed")
        return k, k * np.gradient(np.log(k))
    if k_min is None or k_max is None:
        raise ArgumentError("k_min and k_max are needed, or wavenumbers as modes=[...]")
    low, high = require_limits(k_min, k_max)
    if density is None:
        k = np.geomspace(low, high, require_whole(1024 if modes is None else modes, "modes", 2))
        return k, k.copy()
    if modes is not None:
        raise ArgumentError("give either modes or modes_per_octave")
    fine = np.geomspace(low, high, 1 + int(np.ceil(64 * np.log2(high / low))))
    if callable(density):
        dense = numbers_of(density, fine, "modes_per_octave")
    else:
        dense = np.full(len(fine), require_number(density, "modes_per_octave"))
    if (dense <= 0).any():
        raise ArgumentError("modes_per_octave: positive numbers are needed at every wavenumber")
    octaves = np.log2(fine / low)
    count = np.append(0.0, np.cumsum(0.5 * (dense[1:] + dense[:-1]) * np.diff(octaves)))
    number = round(count[-1])
    if number > MOST_MODES:
        raise ArgumentError(f"modes_per_octave gives {number:.3g} modes, more than {MOST_MODES:g}: take nested_grids")
    if number < 2:
        raise ArgumentError(
            f"modes_per_octave gives {number} modes from k_min={low:g} to k_max={high:g}: two are needed"
        )
    k = low * 2 ** np.interp((np.arange(number) + 0.5) * count[-1] / number, count, octaves)
    return k, k / np.interp(k, fine, dense)


def _wavevectors(k: np.ndarray, draws: np.ndarray, axis: np.ndarray, geometry: str, slab: np.ndarray) -> np.ndarray:
    """(mode, 3), random within the geometry."""
    angle = 2 * np.pi * draws[1]
    if geometry == "isotropic":
        cosine = 2 * draws[0] - 1
        sine = np.sqrt(1 - cosine**2)
        return k[:, None] * np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine], axis=1)
    across = np.cos(angle)[:, None] * _across(axis) + np.sin(angle)[:, None] * np.cross(axis, _across(axis))
    if geometry == "goldreich-sridhar":
        side = 2 * draws[0] - 1
        along = -np.sign(side) * np.log1p(-abs(side)) * np.cbrt(k**2 * k.min())
        return k[:, None] * across + along[:, None] * axis
    sign = np.where(draws[0] < 0.5, -1.0, 1.0)
    return k[:, None] * np.where(slab[:, None], sign[:, None] * axis, across)


def _across(axis: np.ndarray) -> np.ndarray:
    """A unit vector across another."""
    other = np.eye(3)[np.argmin(abs(axis))]
    other = other - (other @ axis) * axis
    return other / np.linalg.norm(other)


def _polarizations(
    vectors: np.ndarray, turn: np.ndarray, axis: np.ndarray, slab: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors across k and each other, right-handed with it; of 2-D waves the first is across the axis too."""
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    helper = np.eye(3)[np.argmin(abs(unit), axis=1)]
    first = np.cross(unit, helper)
    if slab is not None:
        first = np.where(slab[:, None], first, np.cross(axis, unit))
    first /= np.linalg.norm(first, axis=1)[:, None]
    second = np.cross(unit, first)
    angle = 2 * np.pi * turn if slab is None else np.where(slab, 2 * np.pi * turn, 0.0)
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return cosine * first + sine * second, cosine * second - sine * first


def _table(
    vectors: np.ndarray, first: np.ndarray, second: np.ndarray, size: np.ndarray, phase: np.ndarray, helicity: float
) -> xr.Dataset:
    """Modes as a Dataset: each wave linearly polarized, or an ellipse of two a quarter of a period apart."""
    ratio = 0.5 * np.arcsin(helicity)
    a, k = size[:, None] * np.cos(ratio) * first, vectors
    if helicity != 0:
        a = np.concatenate([a, size[:, None] * np.sin(ratio) * second])
        k, phase = np.concatenate([k, k]), np.concatenate([phase, phase + np.pi / 2])
    notes = {
        **{f"k{d}": {"long_name": f"wavenumber along {d}", "units": "rad"} for d in SPATIAL},
        **{f"a{d}": {"long_name": f"amplitude along {d}", "units": "1"} for d in SPATIAL},
        "phase": {"long_name": "phase", "units": "rad"},
    }
    columns = dict(zip(WAVE_VARIABLES, [*k.T, *a.T, phase], strict=True))
    return xr.Dataset({n: ("mode", np.ascontiguousarray(values), notes[n]) for n, values in columns.items()})

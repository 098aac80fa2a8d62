"""A magnetic field, and an electric one, that is a function of position and time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from mmfields._types import Number, UnitLike
from mmfields.conventions import SPATIAL, require_number, require_vector
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.fields.function import Function, function_of
from mmfields.turbulence import PlaneWaves
from mmfields.units import FIELD, LENGTH, as_quantity, plain, text_of


@dataclass(frozen=True)
class Analytic:
    """A field B(x, y, z) or B(x, y, z, time), which ``mm.trace`` and ``mm.field_lines`` take like a
    snapshot; made by :func:`analytic`.

    Parameters
    ----------
    function : Function
    reference : float
        Strength that stands for the whole, what ``reference_field="rms"`` is [field unit].
    smallest : float
        Length of the smallest structure, in the length unit.
    mean_field : (float, float, float)
        What is along and across the field for.
    box : mapping, optional
        Where particles start that are to be anywhere.
    waves : PlaneWaves, optional
        That are added.
    attrs : dict
        What 1 stands for: ``length_unit`` and ``field_unit``, where known.
    """

    function: Function
    reference: float
    smallest: float
    mean_field: tuple[float, float, float] = (0.0, 0.0, 0.0)
    box: Mapping[str, tuple[float, float]] | None = None
    waves: PlaneWaves | None = None
    attrs: Mapping[str, str] = field(default_factory=dict)

    @property
    def units(self) -> dict[str, str]:
        """Attrs with the unit of the field."""
        return {"units": "1"} if self.waves is None else self.waves.units

    @property
    def shortest(self) -> float:
        """Length of the smallest structure, that of waves too [length unit]."""
        return self.smallest if self.waves is None else min(self.smallest, self.waves.shortest)

    @property
    def moves(self) -> bool:
        """Whether it changes in time."""
        return self.function.timed or (self.waves is not None and self.waves.moves)

    def limits(self) -> dict[str, tuple[float, float]]:
        """The box in which particles start.

        Raises
        ------
        ArgumentError
            If none was given.
        """
        if self.box is None:
            raise ArgumentError(
                "a function fills no box for particles to start in: give positions=..., or "
                "mm.fields.analytic(..., box={'x': (0, 1), 'y': (0, 1), 'z': (0, 1)})"
            )
        return dict(self.box)

    def strength(self, kind: str) -> xr.DataArray:
        """Strength of the mean field (``mean``), or that which was stated (``rms``), with that of waves.

        Raises
        ------
        ArgumentError, SnapshotError
            If there is no mean field, or no such kind.
        """
        if kind not in ("mean", "rms"):
            raise ArgumentError(f"kind={kind!r}: 'mean' or 'rms' is needed")
        if kind == "rms":
            added = 0.0 if self.waves is None else float(self.waves.strength("rms"))
            return xr.DataArray(float(np.hypot(self.reference, added)))
        mean = float(np.linalg.norm(self.mean_field))
        if mean == 0:
            raise SnapshotError("no mean field was stated: give reference_field='rms', or analytic(mean_field=...)")
        return xr.DataArray(mean)

    def label(self) -> str:
        """How it is evaluated, for the attrs of trajectories."""
        own = f"{self.function.name} of x, y, z{' and time' if self.function.timed else ''}"
        return own if self.waves is None else f"{own}, and {self.waves.modes.sizes['mode']} plane waves"


def analytic(
    function: Callable[..., Any],
    *,
    strength: Number,
    smallest: Number,
    mean_field: Sequence[float] = (0.0, 0.0, 0.0),
    box: Mapping[str, tuple[float, float]] | None = None,
    length_unit: UnitLike | None = None,
    field_unit: UnitLike | None = None,
) -> Analytic:
    """A field that is a function of position, or of position and time.

    The function is compiled by Numba and evaluated at the particles, so that there is no grid and no interpolation.

    Parameters
    ----------
    function : callable
        ``f(x, y, z)`` or ``f(x, y, z, time)`` of floats, in the length unit, time as path of light; it gives
        ``(Bx, By, Bz)``, or ``(Bx, By, Bz, Ex, Ey, Ez)`` with the electric field over the speed of light in the unit
        of B.  A plain function or one of ``numba.njit``, which is compiled anew with the arithmetic of NumPy.  It
        depends on its arguments alone, and on numbers, arrays and compiled functions, which may not change.
    strength : float or astropy Quantity
        What stands for the strength of the whole: the reference of gyroradii for ``reference_field="rms"``, and
        ``B_rms`` of trajectories [field unit].
    smallest : float or astropy Quantity
        Length within which the field changes most; steps in gyroradii are no longer than an eighth of it.
    mean_field : three numbers
        (x, y, z) of what transport takes for along the field; none by default [field unit].
    box : mapping, optional
        Limits of ``x``, ``y`` and ``z`` between which particles start that are not given positions.
    length_unit, field_unit : astropy Quantity, unit or str, optional
        What 1 stands for.

    Returns
    -------
    Analytic

    Raises
    ------
    ArgumentError
        If the function does not compile, takes or gives other numbers, or reads something that has no identity, such
        as an object of a class; or if a number is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import mmfields as mm
    >>> def sheet(x, y, z):
    ...     return np.tanh(z), 0.1, 0.0
    >>> field = mm.fields.analytic(sheet, strength=1.0, smallest=1.0)
    >>> p = mm.particles.isotropic(2, gyroradius=0.1, seed=1, field=field, positions=[[0, 0, 2.0], [0, 0, -2.0]])
    >>> mm.trace(field, p, step=0.1, step_unit="gyroradius", distance=1.0).sizes["path"]
    101
    """
    attrs = {
        key: text_of(as_quantity(given, key)) for key, given in ((LENGTH, length_unit), (FIELD, field_unit)) if given
    }
    known = xr.Dataset(attrs=attrs)
    sizes = {}
    for name, value, key in (("strength", strength, FIELD), ("smallest", smallest, LENGTH)):
        sizes[name] = require_number(plain(value, name, known, key), name)
        if sizes[name] <= 0:
            raise ArgumentError(f"{name}={value!r}: a positive number is needed")
    own = function_of(function)
    limits = None if box is None else _limits(box)
    mean = require_vector(mean_field, "mean_field")
    return Analytic(own, sizes["strength"], sizes["smallest"], mean, limits, None, attrs)


def _limits(box: Any) -> dict[str, tuple[float, float]]:
    """Limits of all three axes, ascending."""
    try:
        limits = {d: tuple(map(float, box[d])) for d in SPATIAL}
        good = all(len(pair) == 2 and np.isfinite(pair).all() and pair[0] < pair[1] for pair in limits.values())
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise ArgumentError(f"box={box!r}: ascending limits of each axis are needed, {{'x': (0, 1), 'y': …, 'z': …}}")
    return limits  # type: ignore[return-value]

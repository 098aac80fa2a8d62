"""Transfer functions: small composable objects g(k_par, k_perp) or g(k_x, k_y, k_z)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, ArgumentError, require_direction, unit_carried
from mmfields.fourier.waves import Waves
from mmfields.kernels.modes import modes_of
from mmfields.units import LENGTH, plain

EDGES = ("sharp", "gaussian", "butterworth", "cosine")

# Rows of modes are weighted in pieces of about this many, so that no mask is as large as the spectrum.
PIECE = 1 << 17


ALL = (0.0, float("inf"))


@dataclass(frozen=True)
class Transfer:
    """A transfer function; ``~g`` is 1 - g, ``g & h`` or ``g * h`` the product, which passes what both pass.

    Parameters
    ----------
    function : callable
        Takes |k_par| and k_perp [rad per length unit], or the components k_x, k_y, k_z; gives real
        values that are the same at k and -k, normally in [0, 1].
    label : str, optional
        What it is, recorded in the attrs of what it filters; the name of the function by default.
    mean : float
        Value at k = 0; 0 keeps the mean field in the residual.
    of : {"par_perp", "components"}
        What the function takes.
    limits : three pairs of floats
        What passes, at least in part: intervals of |k_par|, k_perp and |k|, (0, inf) where it has no limit.
        A grid without a mode inside is refused.
    isotropic : bool
        Whether it depends on |k| alone, so that no direction is needed.
    unit : str
        Of wavenumbers that were given as Quantities; the length unit of what is filtered where it is empty.
    """

    function: Callable[..., np.ndarray]
    label: str = ""
    mean: float = 0.0
    of: str = "par_perp"
    limits: tuple[tuple[float, float], ...] = (ALL, ALL, ALL)
    isotropic: bool = False
    unit: str = ""

    def __post_init__(self) -> None:
        if self.of not in ("par_perp", "components"):
            raise ArgumentError(f"of={self.of!r}: 'par_perp' or 'components' is needed")
        if not self.label:
            name = getattr(self.function, "__name__", type(self.function).__name__)
            object.__setattr__(self, "label", "g(k)" if name == "<lambda>" else name)

    def __call__(self, *k: Any) -> np.ndarray:
        zero = np.logical_and.reduce(np.broadcast_arrays(*(np.asarray(c) == 0 for c in k)))
        return np.where(zero, self.mean, np.asarray(self.function(*k), dtype=float))

    def __invert__(self) -> "Transfer":
        label = f"~({self.label})"
        return Transfer(_Complement(self), label, 1.0 - self.mean, self.of, isotropic=self.isotropic, unit=self.unit)

    def __mul__(self, other: "Transfer") -> "Transfer":
        if self.of != other.of:
            raise ArgumentError("a product needs two functions of (k_par, k_perp), or two of (k_x, k_y, k_z)")
        if self.unit != other.unit:
            raise ArgumentError(
                f"wavenumbers of {self.label} are in {self.unit or 'plain numbers'}, those of {other.label} in "
                f"{other.unit or 'plain numbers'}: give both as plain numbers, or both as Quantities"
            )
        label, mean = f"({self.label}) * ({other.label})", self.mean * other.mean
        pairs = zip(self.limits, other.limits, strict=True)
        limits = tuple((max(a[0], b[0]), min(a[1], b[1])) for a, b in pairs)
        isotropic = self.isotropic and other.isotropic
        return Transfer(_Product(self, other), label, mean, self.of, limits, isotropic=isotropic, unit=self.unit)

    __and__ = __mul__

    def in_lengths_of(self, ds: xr.Dataset) -> "Transfer":
        """The same function of wavenumbers in the length unit of a snapshot.

        Raises
        ------
        ArgumentError, SnapshotError
            If wavenumbers were given as Quantities and the snapshot's length unit is not known.
        """
        if not self.unit:
            return self
        from astropy import units as u

        return _rescale(self, plain(1.0 * u.Unit(self.unit), "a wavenumber", ds, LENGTH, power=-1))


@dataclass(frozen=True)
class _Complement:
    inner: Transfer

    def __call__(self, *k: Any) -> np.ndarray:
        return 1.0 - self.inner(*k)


@dataclass(frozen=True)
class _Product:
    first: Transfer
    second: Transfer

    def __call__(self, *k: Any) -> np.ndarray:
        return self.first(*k) * self.second(*k)


def _rescale(transfer: Transfer, factor: float) -> Transfer:
    """A transfer function whose wavenumbers are multiplied by a factor."""
    function = transfer.function
    if isinstance(function, _Band):
        limits = tuple((low * factor, high * factor) for low, high in function.limits)
        function = replace(function, limits=limits, width=function.width and function.width * factor)
    elif isinstance(function, _Gaussian):
        function = _Gaussian(function.length / factor)
    elif isinstance(function, _Complement):
        function = _Complement(_rescale(function.inner, factor))
    elif isinstance(function, _Product):
        function = _Product(_rescale(function.first, factor), _rescale(function.second, factor))
    limits = tuple((low * factor, high * factor) for low, high in transfer.limits)
    return replace(transfer, function=function, limits=limits, unit="")


def _plain_wavenumbers(**given: Any) -> tuple[dict[str, Any], str]:
    """Wavenumbers without their unit, and that unit; all of them have one, or none has."""
    from astropy import units as u

    def unit(value: Any) -> Any:
        parts = value if isinstance(value, list | tuple) else (value,)
        return next((part.unit for part in parts if isinstance(part, u.Quantity)), None)

    free = {"k_par": (0.0, np.inf), "k_perp": (0.0, np.inf), "width": None}
    units = {name: found for name, value in given.items() if (found := unit(value)) is not None}
    if not units:
        return given, ""
    if plain_ones := [n for n, v in given.items() if n not in units and v != free.get(n)]:
        raise ArgumentError(f"{plain_ones} are plain numbers and {list(units)} Quantities: give all of them a unit")
    first = next(iter(units.values()))
    target = u.m if first.is_equivalent(u.m) else 1 / u.m
    try:
        with u.set_enabled_equivalencies(u.dimensionless_angles()):
            numbers = {n: v if n not in units else u.Quantity(v).to_value(target) for n, v in given.items()}
    except (u.UnitsError, TypeError) as error:
        raise ArgumentError(f"{given}: wavenumbers such as (0.1, 2) / u.kpc are needed ({error})") from error
    return {n: tuple(map(float, v)) if np.ndim(v) else v for n, v in numbers.items()}, "1 / m"


def weights(transfer: Transfer, waves: Waves, direction: np.ndarray) -> np.ndarray:
    """Values of a transfer function on modes, over all signs where a Nyquist wavenumber has none.

    The mean over the signs, or for a sharp band whether any passes; so the values are the same at k
    and -k, and what comes back from them is real.
    """
    inner, complement = _strip_complements(transfer)
    each = [_evaluate(inner, flipped, direction) for flipped in waves.signs()]
    values = np.maximum.reduce(each) if is_sharp(inner) else sum(each) / len(each)
    return 1.0 - values if complement else values


def is_sharp(transfer: Transfer) -> bool:
    """Whether a transfer function is made of sharp bands alone, and so is 0 or 1.

    Parameters
    ----------
    transfer : Transfer

    Returns
    -------
    bool
    """
    function = transfer.function
    if isinstance(function, _Complement):
        return is_sharp(function.inner)
    if isinstance(function, _Product):
        return is_sharp(function.first) and is_sharp(function.second)
    return isinstance(function, _Band) and function.edge == "sharp"


def passes_any(transfer: Transfer, waves: Waves, direction: np.ndarray) -> bool:
    """Whether any mode but k = 0 passes, row by row up to the first one that does.

    Parameters
    ----------
    transfer : Transfer
    waves : Waves
        Of the whole grid.
    direction : (3,) float array

    Returns
    -------
    bool
    """
    for row in range(waves.k[0].size):
        values = np.array(weights(transfer, waves.rows(row, row + 1), direction))
        if row == 0:
            values[(0,) * values.ndim] = 0.0
        if (values > 0).any():
            return True
    return False


def _strip_complements(transfer: Transfer) -> tuple[Transfer, bool]:
    """A transfer function without its complements, and whether one is left over."""
    complement = False
    while isinstance(transfer.function, _Complement):
        transfer, complement = transfer.function.inner, not complement
    return transfer, complement


def _evaluate(transfer: Transfer, waves: Waves, direction: np.ndarray) -> np.ndarray:
    if transfer.of == "par_perp":
        return transfer(*waves.par_perp(direction))
    return transfer(*(waves.component(dim) for dim in ("x", "y", "z")))


@dataclass(frozen=True)
class Weigh:
    """Multiply spectra by a transfer function, in place; never through a mask as large as they are."""

    transfer: Transfer

    def __call__(self, spectra: list[np.ndarray], waves: Waves, direction: np.ndarray) -> list[np.ndarray]:
        require_direction(direction)
        for spectrum in spectra:
            self._split(spectrum, waves, direction)
        return spectra

    def _split(self, spectrum: np.ndarray, waves: Waves, direction: np.ndarray) -> None:
        """Share the rows among as many threads as the transform may use here."""
        from scipy import fft

        threads = fft.get_workers()
        if threads < 2:
            return self._rows(spectrum, waves, direction)
        edges = np.linspace(0, len(spectrum), threads + 1).astype(int)
        with ThreadPoolExecutor(threads) as pool:
            parts = [
                pool.submit(self._rows, spectrum[a:b], waves.rows(a, b), direction) for a, b in pairwise(edges.tolist())
            ]
            for part in parts:
                part.result()

    def _rows(self, spectrum: np.ndarray, waves: Waves, direction: np.ndarray) -> None:
        inner, complement = _strip_complements(self.transfer)
        if isinstance(inner.function, _Band) and spectrum.ndim <= 3:
            return inner.function.weigh(spectrum, waves, direction, inner.mean, complement)
        step = max(1, PIECE // max(1, spectrum[:1].size))
        for start in range(0, len(spectrum), step):
            part = weights(self.transfer, waves.rows(start, start + step), direction)
            spectrum[start : start + step] *= part.astype(spectrum.real.dtype)


@dataclass(frozen=True)
class _Band:
    """Limits in k_par, k_perp and |k|, with one kind of edge."""

    limits: tuple[tuple[float, float], ...]
    edge: str
    width: float | None
    order: int

    def _numbers(self) -> Any:
        """The same for kernels."""
        from mmfields.kernels.transfer import Band

        limits = tuple((float(low), float(high)) for low, high in self.limits)
        return Band(limits, EDGES.index(self.edge), float(self.width or 1.0), self.order)

    def __call__(self, k_par: np.ndarray, k_perp: np.ndarray) -> np.ndarray:
        from mmfields.kernels.transfer import band_values

        par, perp = np.broadcast_arrays(np.asarray(k_par, float), np.asarray(k_perp, float))
        out = np.empty(par.size)
        band_values(np.ravel(par), np.ravel(perp), self._numbers(), out)
        return out.reshape(par.shape)

    def weigh(self, spectrum: np.ndarray, waves: Waves, direction: np.ndarray, mean: float, complement: bool) -> None:
        """NumPy adaptor of the fused kernel, for up to three axes."""
        from mmfields.kernels.transfer import weigh

        missing = 3 - spectrum.ndim
        along = np.array([0.0] * missing + [direction[SPATIAL.index(d)] for d in waves.dims])
        block = spectrum.reshape((1,) * missing + spectrum.shape)
        weigh(block, modes_of(waves.k, waves.nyquist), along, self._numbers(), float(mean), complement)


def band(
    *,
    k_par: tuple[float, float] = (0.0, np.inf),
    k_perp: tuple[float, float] = (0.0, np.inf),
    edge: Literal["sharp", "gaussian", "butterworth", "cosine"] = "sharp",
    width: float | None = None,
    order: int = 4,
    keep_mean: bool = False,
) -> Transfer:
    """Pass band in |k_par| and k_perp.

    Parameters
    ----------
    k_par, k_perp : (float, float)
        Limits [rad per length unit], or Quantities such as ``(0.1, 2) / u.kpc``; a sharp band includes them, the
        others pass half there.
    edge : {"sharp", "gaussian", "butterworth", "cosine"}
        ``gaussian``: an error function, the step smoothed by a Gaussian of standard deviation `width`.
        ``butterworth``: 1 / (1 + (k/k_c)^(2 order)).  ``cosine``: half a cosine, `width` from 1 to 0.
    width : float, optional
        Of ``gaussian`` and ``cosine`` edges [rad per length unit].
    order : int
        Of ``butterworth`` edges.
    keep_mean : bool
        Pass k = 0 too; by default the mean field stays in the residual.

    Returns
    -------
    Transfer

    Raises
    ------
    ArgumentError
        If limits are negative or not ascending, the edge is unknown, or lacks its width.
    """
    if edge not in EDGES:
        raise ArgumentError(f"edge={edge!r}: one of {', '.join(EDGES)} is needed")
    numbers, unit = _plain_wavenumbers(k_par=k_par, k_perp=k_perp, width=width)
    k_par, k_perp, width = numbers["k_par"], numbers["k_perp"], numbers["width"]
    for name, limits in (("k_par", k_par), ("k_perp", k_perp)):
        if unit_carried(limits) is not None or not _ascending(limits):
            raise ArgumentError(f"{name}={limits!r}: two ascending limits from 0 on are needed")
    if (width is None) == (edge in ("gaussian", "cosine")) or (width is not None and not 0 < width < np.inf):
        raise ArgumentError(f"width={width!r}: edges 'gaussian' and 'cosine' need a positive one, the others take none")
    if not isinstance(order, int | np.integer) or order < 1:
        raise ArgumentError(f"order={order!r}: a whole number from 1 on is needed")
    low, high = (tuple(map(float, limits)) for limits in (k_par, k_perp))
    label = f"band(k_par={low}, k_perp={high}, edge={edge!r}{_detail(edge, width, order)}){_unit_suffix(unit)}"
    limits = (low, high, ALL)
    return Transfer(_Band(limits, edge, width, int(order)), label, float(keep_mean), limits=limits, unit=unit)


def _unit_suffix(unit: str) -> str:
    return f" [{unit}]" if unit else ""


def _ascending(limits: Any) -> bool:
    try:
        low, high = (float(limit) for limit in limits if not isinstance(limit, str))
    except (TypeError, ValueError):
        return False
    return 0 <= low < high


def _detail(edge: str, width: float | None, order: int) -> str:
    if edge == "butterworth":
        return f", order={order}"
    return "" if width is None else f", width={width:g}"


def low_pass(
    k: float,
    *,
    edge: Literal["sharp", "gaussian", "butterworth", "cosine"] = "sharp",
    width: float | None = None,
    order: int = 4,
    keep_mean: bool = False,
) -> Transfer:
    """Pass |k| up to a limit; parameters as :func:`band`.

    Parameters
    ----------
    k : float
        Limit [rad per length unit].
    edge, width, order, keep_mean
        As :func:`band`.

    Returns
    -------
    Transfer

    Raises
    ------
    ArgumentError
        As :func:`band`.
    """
    numbers, unit = _plain_wavenumbers(k=k, width=width)
    k, width = numbers["k"], numbers["width"]
    band(k_perp=(0.0, k), edge=edge, width=width, order=order)  # checks the arguments
    limits = (ALL, ALL, (0.0, float(k)))
    label = f"low_pass({k:g}, edge={edge!r}{_detail(edge, width, order)}){_unit_suffix(unit)}"
    function = _Band(limits, edge, width, int(order))
    return Transfer(function, label, float(keep_mean), limits=limits, isotropic=True, unit=unit)


def high_pass(
    k: float,
    *,
    edge: Literal["sharp", "gaussian", "butterworth", "cosine"] = "sharp",
    width: float | None = None,
    order: int = 4,
) -> Transfer:
    """Pass |k| beyond a limit; the complement of :func:`low_pass` but for the mean, which neither passes.

    Parameters
    ----------
    k : float
        Limit [rad per length unit].
    edge, width, order
        As :func:`band`.

    Returns
    -------
    Transfer

    Raises
    ------
    ArgumentError
        As :func:`band`.
    """
    below = low_pass(k, edge=edge, width=width, order=order, keep_mean=True)
    label, limits = below.label.replace("low_pass", "high_pass"), (ALL, ALL, (below.limits[2][1], np.inf))
    return Transfer(_Complement(below), label, 0.0, limits=limits, isotropic=True, unit=below.unit)


@dataclass(frozen=True)
class _Gaussian:
    length: float

    def __call__(self, k_par: np.ndarray, k_perp: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * self.length**2 * (np.asarray(k_par) ** 2 + np.asarray(k_perp) ** 2))


def gaussian(length: float) -> Transfer:
    """Smoothing with a Gaussian, exp(-k² length² / 2), which keeps the mean.

    Parameters
    ----------
    length : float
        Standard deviation in space, in the length unit.

    Returns
    -------
    Transfer

    Raises
    ------
    ArgumentError
        If it is not positive.
    """
    length, unit = (value := _plain_wavenumbers(length=length))[0]["length"], value[1]
    if not 0 < length < np.inf:
        raise ArgumentError(f"length={length!r}: a positive number is needed")
    label = f"gaussian({length:g}){_unit_suffix(unit and 'm')}"
    return Transfer(_Gaussian(float(length)), label, 1.0, isotropic=True, unit=unit)

"""The transition read off: κ∥ of every traced part in one table, its laws, and where micromirrors and cascade cross."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from astropy import constants

from mmfields import plot, theory, transport
from mmfields.conventions import SnapshotError
from mmfields.paper import transition
from mmfields.paper.scaling import CM2S, slope
from mmfields.samples import shipped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a part must be to count as a point of the figure; the others are checks of these choices.
STANDARD = {"modes_per_octave": 31.0, "step_gyroradii": 0.2, "shortest_gyroradii": 0.25, "free_paths": 12.0}
LABELS = ("fraction", "energy_GeV", "ratio", "realization", *STANDARD)
VALUES = ("kappa_par", "kappa_par_error", "kappa", "kappa_error")
# r_g / l_c up to which the cascade alone is a power law, and the exponent that Kolmogorov waves give.
POWER_LAW, EXPONENT = 1e-3, 1 / 3
# r_g / l_c down to which others have traced, as Kuhlen, Phan & Mertsch (2022, arXiv:2211.05881) state it.
EARLIER = 1e-4
# How the rate of the cascade may depend on the pitch angle, |μ|^(1-shape), in ``kappa_of_both``: as in quasi-linear
# theory for these waves, or like that of micromirrors, so that 1/κ add.
SHAPES = {"quasi_linear": 1 / 3, "kappas_add": 1.0}
# Degrees of freedom from which on the scatter between realizations counts.
ENOUGH = 4


# Colours and symbols of filling fractions; open ones lie over others.
COLOURS = {1.0: plot.COLOURS[1], 0.1: plot.COLOURS[2], 0.01: plot.COLOURS[3], 0.0: plot.COLOURS[0]}
SYMBOLS = {
    1.0: {"fmt": "o", "markersize": 5},
    0.1: {"fmt": "s", "markersize": 4},
    0.01: {"fmt": "D", "markersize": 4},
    0.0: {"fmt": "o", "markersize": 8, "markerfacecolor": "none"},
}


def table(results: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """κ∥ along the local field and global κ per axis of each part, over ``run``, in units of c l_c.

    Parameters
    ----------
    results : mapping of xarray.Dataset
        Parts of :mod:`mmfields.paper.transition` by name.

    Returns
    -------
    xarray.Dataset
        ``kappa_par``, ``kappa`` (NaN of runs too short for it) with errors from the particles, and what each run is of.
    """
    if not results:
        raise SnapshotError("no part of mmfields paper fig3 --full is there")
    rows = [_row(orbits) for orbits in results.values()]
    columns = {name: ("run", np.array([row[name] for row in rows])) for name in rows[0]}
    found = xr.Dataset(columns, {"run": list(results)})
    for name in VALUES:
        found[name].attrs["units"] = "c l_c"
    found["energy_GeV"].attrs["units"] = "GeV"
    versions = {orbits.attrs["mmfields_version"] for orbits in results.values()}
    return found.assign_attrs(
        source="mmfields paper fig3 --full",
        mmfields_version=", ".join(sorted(versions)),
        medium=repr(theory.ICM),
        seeds="waves 1000 + realization, particles and their scattering 2000 + realization",
    )


def _row(orbits: xr.Dataset) -> dict[str, float]:
    l_c, attrs = orbits.attrs["l_c"], orbits.attrs
    along = transport.parallel_from_mu(orbits).compute()
    row = {key: float(attrs[key]) for key in LABELS}
    row["count"] = float(orbits.sizes["particle"])
    row |= {name: float(along[name]) / l_c for name in VALUES[:2]}
    is_long = float(orbits["path"][-1]) >= 0.99 * transition.LONG * l_c
    whole = transport.diffusion(orbits).compute() if is_long else None
    return row | {name: np.nan if whole is None else float(whole[name]) / l_c for name in VALUES[2:]}


def traced() -> xr.Dataset:
    """The table that ships with mmfields, in memory."""
    return xr.load_dataset(shipped("transition.nc"), engine="h5netcdf")


def joined(tables: list[xr.Dataset]) -> xr.Dataset:
    """Tables of several runs together; of a run that stands in two of them, the first counts."""
    return xr.concat(tables, "run", combine_attrs="override").drop_duplicates("run").sortby(["fraction", "ratio"])


def points(found: xr.Dataset, fraction: float) -> xr.Dataset:
    """Means over realizations along ``ratio``, r_g / l_c, at one filling fraction.

    Errors are from the relative scatter between realizations, taken together over all points of the table, since two to
    five realizations of one point tell it badly; and no smaller than those from the particles.

    Raises
    ------
    SnapshotError
        If the table holds no such run.
    """
    return _means(_standard(found), fraction)


def _means(runs: xr.Dataset, fraction: float) -> xr.Dataset:
    """The same of runs that are all alike but for what they are of."""
    chosen = runs.isel(run=np.isclose(runs["fraction"], fraction))
    if not chosen.sizes["run"]:
        raise SnapshotError(f"no run with f_mm={fraction:g} is in the table")
    groups = [group for _, group in chosen.groupby("ratio")]
    columns = {}
    for name in VALUES[::2]:
        scatter = relative_scatter(runs, name)
        columns[name], columns[f"{name}_error"] = np.array([_mean(group, name, scatter) for group in groups]).T
    first = {key: np.array([float(group[key][0]) for group in groups]) for key in ("ratio", "energy_GeV")}
    labels = {"energy_GeV": first["energy_GeV"], "realizations": np.array([group.sizes["run"] for group in groups])}
    data = {name: ("ratio", values) for name, values in (columns | labels).items()}
    return xr.Dataset(data).assign_coords(ratio=first["ratio"], fraction=fraction).set_coords([*labels])


def _standard(found: xr.Dataset) -> xr.Dataset:
    return found.isel(run=np.all([np.isclose(found[key], value) for key, value in STANDARD.items()], axis=0))


def relative_scatter(standard: xr.Dataset, name: str) -> float:
    """Standard deviation between realizations over their mean, of all points together; NaN where too few are there."""
    squares, freedom = 0.0, 0
    for _, group in standard.groupby(["fraction", "ratio"]):
        values = group[name].values[np.isfinite(group[name].values)]
        if len(values) > 1:
            squares += float(((values / values.mean() - 1) ** 2).sum())
            freedom += len(values) - 1
    return float(np.sqrt(squares / freedom)) if freedom >= ENOUGH else np.nan


def _mean(group: xr.Dataset, name: str, scatter: float) -> tuple[float, float]:
    values, errors = group[name].values, group[f"{name}_error"].values
    mean = float(values.mean())
    own = float(np.sqrt((errors**2).sum()) / len(values))
    return mean, own if np.isnan(scatter) else max(own, mean * scatter / np.sqrt(len(values)))


def numbers(results: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """κ∥ / (c l_c) of every point in the parts of a run, and :func:`laws` where the points are enough for them."""
    found = table(results)
    out = {}
    for fraction in np.unique(_standard(found)["fraction"]):
        one = points(found, float(fraction))
        names = [f"kappa_par_f{fraction:g}_{energy:.3g}GeV" for energy in one["energy_GeV"].values]
        out |= dict(zip(names, one["kappa_par"].values.tolist(), strict=True))
    return out | (laws(found) if has_laws(found) else {})


def has_laws(found: xr.Dataset) -> bool:
    """Whether two points at least without micromirrors, and two with them, lie where the cascade is a power law."""
    low = _below(_standard(found))
    alone = low["fraction"].values == 0
    return all(len(np.unique(low["ratio"].values[which])) > 1 for which in (alone, ~alone))


def _below(found: xr.Dataset) -> xr.Dataset:
    """Runs or points where the cascade is a power law, and κ∥ is known."""
    (dim,) = found["ratio"].dims
    return found.isel({dim: (found["ratio"].values < POWER_LAW) & found["kappa_par"].notnull().values})


def laws(found: xr.Dataset) -> dict[str, float]:
    """The law of the cascade alone, that of all media together, and where micromirrors and cascade cross.

    All in one convention: κ∥ along the local field, in units of c l_c with the one-sided l_c of the waves.  Errors take
    points for independent; the same realizations of the waves serve every filling fraction.

    Raises
    ------
    SnapshotError
        If the points are too few, as :func:`has_laws` says.
    """
    if not has_laws(found):
        raise SnapshotError(
            f"two points at least without and two with micromirrors below r_g={POWER_LAW:g} l_c are needed: "
            "compute more parts of mmfields paper fig3 --full"
        )
    media = [_below(points(found, float(fraction))) for fraction in np.unique(_below(_standard(found))["fraction"])]
    alone, columns = media[0], ("ratio", "fraction", "kappa_par", "kappa_par_error")
    exponent, exponent_error = slope(*(alone[name].values for name in columns if name != "fraction"))
    out = {
        "cascade_exponent": exponent,
        "cascade_exponent_error": exponent_error,
        "fewest_realizations": float(min(one["realizations"].min() for one in media)),
    }
    together = [np.concatenate([np.broadcast_to(one[name], one.sizes["ratio"]) for one in media]) for name in columns]
    return out | _crossing(*together)


def law(
    ratio: np.ndarray, fraction: np.ndarray | float, said: Mapping[str, float], *, shape: float | None = None
) -> np.ndarray:
    """κ∥ / (c l_c) at r_g / l_c of micromirrors and cascade as :func:`laws` has found them, or with another shape."""
    at = said["crossing_GeV"] * transition.gyroradius(1.0)
    fit = (np.log(at), np.log(said["micromirrors_over_eq5"]), said["exponent"])
    return _law(ratio, fraction, *fit, said["shape"] if shape is None else shape)


def crossing_of(said: Mapping[str, float], over_eq5: float) -> float:
    """Energy [GeV] where both are as strong, had micromirrors another κ∥ over Eq. 5."""
    return said["crossing_GeV"] * (said["micromirrors_over_eq5"] / over_eq5) ** (1 / (2 - said["exponent"]))


def _law(
    ratio: np.ndarray, fraction: np.ndarray | float, ln_at: float, ln_factor: float, exponent: float, shape: float
) -> np.ndarray:
    """Both are as strong at r_g / l_c of `at` for f_mm = 1; κ∥ of micromirrors is a factor times Eq. 5."""
    at, factor, (ratio, fraction) = np.exp(ln_at), np.exp(ln_factor), np.broadcast_arrays(ratio, fraction)
    kappa = np.array(factor * transition.micromirrors(at) * (ratio / at) ** exponent)
    inside = fraction > 0
    mirrors = factor * transition.micromirrors(ratio[inside]) / fraction[inside]
    kappa[inside] = theory.kappa_of_both(mirrors * CM2S, kappa[inside] * CM2S, delta=shape).value
    return kappa


def _crossing(x: np.ndarray, fraction: np.ndarray, y: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Eq. 5 times a factor and a power law of the cascade, fitted to all points at once, and where they cross."""
    fit, spread, squares = _fitted(x, fraction, y, error)
    at, errors, unit = np.exp(fit[0]), np.sqrt(np.diag(spread)), transition.gyroradius(1.0)
    # κ∥ where both are as strong, over Eq. 15: 5/3 ln(r_g / l_c) and the factor of Eq. 5 enter
    of_eq15 = np.array([2 - EXPONENT, 1.0, 0.0, 0.0])
    over_eq15 = np.exp(fit[1]) * transition.micromirrors(at) / at**EXPONENT
    leaves, joins = _limits(fit)
    out = {
        "points": float(len(x)),
        "chi_squared": squares,
        "shape": float(fit[3]),
        "shape_error": float(errors[3]),
        "exponent": float(fit[2]),
        "exponent_error": float(errors[2]),
        "micromirrors_over_eq5": float(np.exp(fit[1])),
        "micromirrors_over_eq5_error": float(np.exp(fit[1]) * errors[1]),
        "cascade_over_eq15": float(over_eq15),
        "cascade_over_eq15_error": float(over_eq15 * np.sqrt(of_eq15 @ spread @ of_eq15)),
        "crossing_GeV": float(at / unit),
        "crossing_error_GeV": float(at * errors[0] / unit),
        # of the medium's l_c one half is one-sided if it is two-sided, and κ of the cascade goes as l_c^(1-δ)
        "crossing_two_sided_GeV": float(at / unit * 2 ** ((fit[2] - 1) / (2 - fit[2]))),
        "leaves_micromirrors_GeV": leaves,
        "joins_cascade_GeV": joins,
    }
    for name, shape in SHAPES.items():
        other, _, squares = _fitted(x, fraction, y, error, shape)
        out |= {f"chi_squared_{name}": squares, f"crossing_{name}_GeV": float(np.exp(other[0]) / unit)}
    return out


def _fitted(
    x: np.ndarray, fraction: np.ndarray, y: np.ndarray, error: np.ndarray, shape: float | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """What :func:`_law` takes, its covariance, and χ² of ln κ∥; with a shape that is given, or free."""
    from scipy.optimize import curve_fit

    def logarithm(x: np.ndarray, *fit: float) -> np.ndarray:
        return np.log(_law(x, fraction, *fit, *(() if shape is None else (shape,))))

    guess = [np.log(8e3 * transition.gyroradius(1.0)), 0.0, EXPONENT, 0.5]
    limits = np.array([[-np.inf, -np.inf, -1.0, 0.05], [np.inf, np.inf, 1.9, 1.0]])
    count = 4 if shape is None else 3
    options = {"sigma": error / y, "absolute_sigma": True, "bounds": limits[:, :count]}
    fit, spread = curve_fit(logarithm, x, np.log(y), guess[:count], **options)
    squares = (((np.log(y) - logarithm(x, *fit)) / (error / y)) ** 2).sum()
    return fit, spread, float(squares)


def _limits(fit: np.ndarray) -> tuple[float, float]:
    """Energies [GeV] where κ∥ for f_mm = 1 is nine tenths of what micromirrors alone give, and of the cascade alone."""
    x = np.exp(fit[0]) * np.geomspace(1e-5, 1e5, 2001)
    both, energy = _law(x, 1.0, *fit), np.log(x / transition.gyroradius(1.0))
    of_mirrors, of_cascade = both / transition.micromirrors(x) / np.exp(fit[1]), both / _law(x, 0.0, *fit)
    found = np.interp(0.9, of_mirrors[::-1], energy[::-1]), np.interp(0.9, of_cascade, energy)
    return float(np.exp(found[0])), float(np.exp(found[1]))


def checks(found: xr.Dataset) -> xr.Dataset:
    """κ∥ of denser waves, shorter steps and other cut-offs over that of the standard run of the same realization.

    Returns
    -------
    xarray.Dataset
        ``ratio_to_standard`` and its error over ``check``; empty where the table holds none.
    """
    rows: dict[str, tuple[float, float]] = {}
    standard = _standard(found)
    scatter = relative_scatter(standard, "kappa_par")
    for key, value in STANDARD.items():
        others = found.isel(run=~np.isclose(found[key], value))
        for (fraction, energy, other), group in _groups(others, key):
            same = standard.isel(
                run=np.isclose(standard["fraction"], fraction)
                & np.isclose(standard["energy_GeV"], energy)
                & np.isin(standard["realization"], group["realization"])
            )
            if same.sizes["run"] == group.sizes["run"]:
                (a, da), (b, db) = (_mean(each, "kappa_par", scatter) for each in (group, same))
                name = f"{key}={other:g}, f={fraction:g}, {energy:.3g} GeV"
                rows[name] = (a / b, a / b * np.hypot(da / a, db / b))
    values = np.array(list(rows.values())).reshape(-1, 2).T
    data = {"ratio_to_standard": ("check", values[0]), "ratio_error": ("check", values[1])}
    return xr.Dataset(data, {"check": np.array(list(rows), dtype=str)})


def _groups(found: xr.Dataset, key: str) -> list[tuple[tuple[float, float, float], xr.Dataset]]:
    """Runs of one filling fraction, energy and choice each."""
    labels = np.array([found[n].values for n in ("fraction", "energy_GeV", key)]).T.reshape(-1, 3)
    unique = np.unique(labels, axis=0)
    return [((f, e, c), found.isel(run=(labels == (f, e, c)).all(axis=1))) for f, e, c in unique.tolist()]


def draw(results: Mapping[str, xr.Dataset]) -> "Figure":
    """κ∥ against energy, its ratio to the fit below, and global κ over κ∥ beside."""
    return drawn(table(results))


def drawn(found: xr.Dataset) -> "Figure":
    """The same of a table."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplot_mosaic(
        [["kappa", "global"], ["ratio", "global"]],
        figsize=(13.0, 6.4),
        layout="constrained",
        width_ratios=(1.7, 1),
        height_ratios=(3, 1),
    )
    on_energies(found, axes["kappa"])
    if has_laws(found):
        said = laws(found)
        _laws(found, said, axes["kappa"])
        _ratio(found, said, axes["ratio"])
    axes["kappa"].set(xscale="log", yscale="log", ylabel=r"$\kappa_\parallel$ along the local field [cm$^2$ s$^{-1}$]")
    axes["kappa"].legend(fontsize=8, loc="lower right")
    axes["ratio"].sharex(axes["kappa"])
    if (found["kappa"].notnull() & (found["fraction"] == 0)).any():
        _global(found, axes["global"])
    return figure


def on_energies(found: xr.Dataset, ax: "Axes") -> None:
    """κ∥ of every point of a table with its error, in cm²/s of the medium against energy in GeV."""
    for fraction, colour in COLOURS.items():
        if np.isclose(found["fraction"], fraction).any():
            one = points(found, fraction)
            one = one.isel(ratio=one["ratio"].values < 1)
            values = (one[n].values * _unit() for n in ("kappa_par", "kappa_par_error"))
            label = rf"orbits with gyration, $f_{{mm}}$ = {fraction:g}"
            ax.errorbar(one["energy_GeV"], *values, color=colour, label=label, zorder=3, **SYMBOLS[fraction])


def _unit() -> float:
    """c l_c of the medium in cm²/s."""
    return float((constants.c * theory.ICM.l_c).to_value(CM2S))


def _laws(found: xr.Dataset, said: Mapping[str, float], ax: "Axes") -> None:
    x = np.geomspace(transition.gyroradius(1.0), POWER_LAW, 300)
    energy = x / transition.gyroradius(1.0)
    for fraction, colour in COLOURS.items():
        traced = found["ratio"].values[np.isclose(found["fraction"], fraction)]
        kappa = _unit() * law(x, fraction, said)
        within = (x >= traced.min(initial=np.inf)) & (x <= traced.max(initial=0.0))
        ax.plot(energy, np.where(within, kappa, np.nan), "-", color=colour, linewidth=1)
        ax.plot(energy, np.where(within, np.nan, kappa), ":", color=colour, linewidth=1)
    ax.plot(energy, _unit() * transition.micromirrors(1.0) * x**2, "--", color="0.4", linewidth=1, label="Eq. 5")
    ax.plot([], [], "-", color="0.4", linewidth=1, label="both at once, fitted; dotted: not traced")
    relative = said["crossing_error_GeV"] / said["crossing_GeV"]
    low, high = (said["crossing_GeV"] * np.exp(sign * relative) for sign in (-1, 1))
    ax.axvspan(low, high, color="0.8", label="crossing, fitted")
    reached = EARLIER / transition.gyroradius(1.0)
    ax.plot([reached, 2e11], [6 * _unit()] * 2, color="0.6", linewidth=4, solid_capstyle="butt")
    ax.text(reached, 4 * _unit(), "earlier simulations", fontsize=8, color="0.4", verticalalignment="top")
    ax.set(xlim=(0.5, 2e11), ylim=(2e-11 * _unit(), 10 * _unit()))


def _ratio(found: xr.Dataset, said: Mapping[str, float], ax: "Axes") -> None:
    x = np.geomspace(1e-12, POWER_LAW, 300)
    for fraction, colour in COLOURS.items():
        if not np.isclose(found["fraction"], fraction).any():
            continue
        one = _below(points(found, fraction))
        expected = law(one["ratio"].values, fraction, said)
        values = (one[n].values / expected for n in ("kappa_par", "kappa_par_error"))
        ax.errorbar(one["energy_GeV"], *values, color=colour, **SYMBOLS[fraction])
        if fraction in (1.0, 0.1):
            for shape, style in zip(SHAPES.values(), (":", "--"), strict=True):
                other = law(x, fraction, said, shape=shape) / law(x, fraction, said)
                ax.plot(x / transition.gyroradius(1.0), other, style, color=colour, linewidth=0.8)
    ax.plot([], [], "--", color="0.4", linewidth=0.8, label=r"if 1/$\kappa$ added")
    ax.plot([], [], ":", color="0.4", linewidth=0.8, label="quasi-linear")
    ax.axhline(1.0, color="0.4", linewidth=0.8)
    ax.legend(fontsize=8, loc="upper left", ncols=2)
    ax.set(xscale="log", ylim=(0.5, 1.6), xlabel="energy $E$ [GeV]", ylabel="over the fit")


def tangled(found: xr.Dataset) -> xr.Dataset:
    """Global κ per axis over κ∥ of the waves alone, with its error along ``ratio``, from runs long enough for it."""
    others = [key for key in STANDARD if key != "free_paths"]
    like = np.all([np.isclose(found[key], STANDARD[key]) for key in others], axis=0)
    long = found.isel(run=like & found["kappa"].notnull().values)
    one = _means(long, 0.0)
    relative = np.hypot(one["kappa_error"] / one["kappa"], one["kappa_par_error"] / one["kappa_par"])
    over = one["kappa"] / one["kappa_par"]
    return xr.Dataset({"over_kappa_par": over, "over_kappa_par_error": over * relative})


def _global(found: xr.Dataset, ax: "Axes") -> None:
    one = tangled(found)
    ax.errorbar(one["energy_GeV"], one["over_kappa_par"], one["over_kappa_par_error"], fmt="s", color=COLOURS[0.0])
    ax.axhline(1 / 3, color="0.4", linewidth=0.8, linestyle="--", label="1/3")
    ax.set(
        xscale="log", ylim=(0, 0.5), xlabel="energy $E$ [GeV]", ylabel=r"global $\kappa$ per axis / $\kappa_\parallel$"
    )
    ax.set_title("without micromirrors", fontsize=10)
    ax.legend(fontsize=8)

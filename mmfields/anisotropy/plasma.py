"""Pressure anisotropy against the mirror and firehose thresholds, field-line curvature, double-adiabatic history."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields._types import Mass
from mmfields.anisotropy.jackknife import group_sums
from mmfields.conventions import (
    SPATIAL,
    Grid,
    aligned,
    components,
    derived_units,
    require_dataset,
    require_number,
    require_real,
    require_values,
    spatial_dims,
    unit_attrs,
)
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.provenance import verb
from mmfields.units import FIELD, unit_of_variable

TENSOR = ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")
RESULTS = {
    "Delta": "pressure anisotropy p_perp / p_par - 1",
    "beta_par": "parallel pressure over magnetic pressure",
    "beta_perp": "perpendicular pressure over magnetic pressure",
    "mirror_margin": "Delta - 1 / beta_perp, mirror-unstable where positive",
    "firehose_margin": "Delta + 2 / beta_par, firehose-unstable where negative",
}


@verb
def pressure(ds: xr.Dataset, *, ion_mass: Mass = "proton") -> xr.Dataset:
    """Pressure anisotropy, plasma beta and the margins to the mirror and firehose instabilities in every cell.

    The mirror threshold Delta = 1/beta_perp is that of a bi-Maxwellian with cold electrons, the firehose threshold
    Delta = -2/beta_par the fluid one.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot with ``Bx By Bz`` and ``p_par p_perp``, or else the tensor ``Pxx Pyy Pzz Pxy Pxz Pyz``, which is
        turned into the local field: p_par = b·P·b, p_perp = (tr P - p_par) / 2.  Lazy where it is.
        Units are those of the variables, or ``attrs["pressure_unit"]`` and ``attrs["field_unit"]``; a snapshot
        that states none is taken to count pressures in units of B²/mu0, as codes do.
    ion_mass : "proton" or astropy Quantity
        For the Alfvén speed of a snapshot with a number density in physical units and no mass density.

    Returns
    -------
    xarray.Dataset
        ``p_par``, ``p_perp``, ``Delta``, ``beta_par``, ``beta_perp``, ``mirror_margin``, ``firehose_margin``, and
        with ``rho`` or ``n`` the ``alfven_speed`` B/sqrt(mu0 rho) (in units of that of B = 1 and density 1 where
        the snapshot is normalized), over the dims of the snapshot.

    Raises
    ------
    ArgumentError, SnapshotError
        If neither pressures nor tensor are there, they lack a dim of the field such as ``time``, or units are
        stated for one of field and pressure alone.
    """
    names = list(components(ds))
    given = [n for n in ("p_par", "p_perp") if n in ds]
    tensor = [n for n in TENSOR if n in ds]
    if len(given) < 2 and len(tensor) < 6:
        raise SnapshotError(
            f"p_par and p_perp, or {', '.join(TENSOR)}, are needed, and {given + tensor or 'none of them'} is there: "
            "rename what the file calls them, or see mm.anisotropy.pressure_tensor for raw second moments"
        )
    own = ["p_par", "p_perp"] if len(given) == 2 else list(TENSOR)
    for name in own:
        if missing := [d for d in ds[names[0]].dims if d not in require_real(ds[name]).dims]:
            raise SnapshotError(
                f"{name} has no {', '.join(map(str, missing))}, which the field has, so its moments are of one of them "
                f"alone: select it first, ds.isel({missing[0]}=...)"
            )
    for group in (names, own):
        if len(units := {n: ds[n].attrs.get("units", "1") for n in group}) > 1 and len(set(units.values())) > 1:
            raise SnapshotError(f"units differ, {units}: bring them to one")
    factor = _beta_factor(ds, own[0])
    kind = np.result_type(*(ds[n].dtype for n in (*names, *own)), np.float32)
    results = xr.apply_ufunc(
        _margins,
        *(ds[n] for n in (*names, *own)),
        output_core_dims=[[]] * 7,
        kwargs={"factor": factor, "kind": kind},
        dask="parallelized",
        output_dtypes=[kind] * 2 + [np.float64] * 5,  # beta has twice the exponents of B
    )
    unit = unit_attrs(ds[own[0]])
    out = xr.Dataset(
        {
            "p_par": results[0].assign_attrs(long_name="pressure along the field", **unit),
            "p_perp": results[1].assign_attrs(long_name="pressure across the field", **unit),
            **{
                n: r.assign_attrs(long_name=m, units="1")
                for (n, m), r in zip(RESULTS.items(), results[2:], strict=True)
            },
        },
        attrs={**ds.attrs, "pressure_from": ", ".join(own), "beta": f"{factor:.10g} p / B^2"},
    )
    return out.assign(_alfven_speed(ds, names, ion_mass))


def _margins(*arrays: np.ndarray, factor: float, kind: np.dtype) -> tuple[np.ndarray, ...]:
    """p_par and p_perp in the dtype `kind`, and `RESULTS`; all of it is computed in float64."""
    bx, by, bz, *p = (a.astype(np.float64) for a in arrays)
    square = bx**2 + by**2 + bz**2
    with np.errstate(divide="ignore", invalid="ignore"):
        if len(p) == 2:
            p_par, p_perp = p
        else:
            xx, yy, zz, xy, xz, yz = p
            bx, by, bz = (b / np.sqrt(square) for b in (bx, by, bz))
            p_par = bx * bx * xx + by * by * yy + bz * bz * zz + 2 * (bx * by * xy + bx * bz * xz + by * bz * yz)
            p_perp = (xx + yy + zz - p_par) / 2
        anisotropy = p_perp / p_par - 1
        beta_par, beta_perp = factor * p_par / square, factor * p_perp / square
        mirror, firehose = anisotropy - 1 / beta_perp, anisotropy + 2 / beta_par
    p_par, p_perp, *ratios = np.broadcast_arrays(p_par, p_perp, anisotropy, beta_par, beta_perp, mirror, firehose)
    return p_par.astype(kind, copy=False), p_perp.astype(kind, copy=False), *ratios


def _beta_factor(ds: xr.Dataset, name: str) -> float:
    """beta B² / p in the snapshot's units: 2 mu0, or 2 where mu0 is one."""
    from astropy import constants
    from astropy import units as u

    p, b = unit_of_variable(ds, name, "pressure_unit"), unit_of_variable(ds, "Bx", FIELD)
    if p is None and b is None:
        return 2.0
    if p is None or b is None:
        raise SnapshotError(
            f"{name if p is None else 'Bx'} is in code units and {'Bx' if p is None else name} is not: set "
            f"ds.attrs[{'pressure_unit' if p is None else 'field_unit'!r}]"
        )
    try:
        return float((2 * constants.mu0 * p.to("Pa") / b.to("T") ** 2).to_value(u.one))
    except u.UnitsError as error:
        raise SnapshotError(
            f"{name} in {p.unit} and Bx in {b.unit}: pressure and field are needed ({error})"
        ) from error


def _alfven_speed(ds: xr.Dataset, names: Sequence[str], ion_mass: Any) -> dict[str, xr.DataArray]:
    """B / sqrt(mu0 rho), where the density is known."""
    from astropy import constants
    from astropy import units as u

    density = next((n for n in ("rho", "n") if n in ds), None)
    if density is None:
        return {}
    scale, notes = 1.0, {"units": "1", "normalization": "Alfven speed of B = 1 and density 1"}
    stated = [ds[n].attrs.get("units", "1") not in ("1", "") for n in (names[0], density)]
    if all(stated):
        b, n = unit_of_variable(ds, names[0]), unit_of_variable(ds, density)
        mass = 1.0 if density == "rho" else ion_mass_of(ion_mass)
        try:
            scale = float((b.to("T") / np.sqrt(constants.mu0 * mass * n)).to_value("m / s"))
        except u.UnitsError as error:
            raise SnapshotError(f"Alfven speed of {names[0]} in {b.unit} and {density} in {n.unit}: {error}") from error
        notes = {"units": "m / s"}
    elif any(stated):
        return {}  # with the unit of only one of the two, that of the speed is not known
    speed = xr.apply_ufunc(
        _speed,
        *(require_real(ds[n]) for n in (*names, density)),
        kwargs={"scale": scale},
        dask="parallelized",
        output_dtypes=[np.result_type(ds[names[0]].dtype, np.float32)],
    )
    return {"alfven_speed": speed.assign_attrs(long_name="Alfven speed", **notes)}


def _speed(bx: np.ndarray, by: np.ndarray, bz: np.ndarray, density: np.ndarray, *, scale: float) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        value = scale * np.sqrt((bx.astype(float) ** 2 + by.astype(float) ** 2 + bz.astype(float) ** 2) / density)
    return value.astype(np.result_type(bx.dtype, np.float32))


@verb
def pressure_tensor(moments: xr.Dataset, *, density: xr.DataArray, species: str, mass: Mass = "proton") -> xr.Dataset:
    """Pressure tensor P_ij = m c² n (⟨u_i u_j⟩ - ⟨u_i⟩⟨u_j⟩) from the second moments that WarpX writes.

    Parameters
    ----------
    moments : xarray.Dataset
        With ``uxx_SPECIES`` and so on, means of the products of the components of u = gamma v / c over the
        particles of a cell; and for the bulk flow ``ux_SPECIES …``, or the current of this species ``jx jy jz``
        [A/m²] where it carries one elementary charge.  Without either the flow is not known.
    density : xarray.DataArray
        Number density [1/m³] on the same cells.
    species : str
        Such as ``"ions"``.
    mass : "proton", "electron" or astropy Quantity

    Returns
    -------
    xarray.Dataset
        ``Pxx`` … [Pa], as many of the six as have their moments.

    Raises
    ------
    ArgumentError, SnapshotError
        If there are no moments of the species, or neither its mean u nor a current.
    """
    from astropy import constants

    require_dataset(moments, "moments of WarpX' reduced diagnostics or of openPMD")
    pairs = {f"P{i}{j}": f"u{i}{j}_{species}" for i in SPATIAL for j in SPATIAL if i <= j}
    if not (found := {p: name for p, name in pairs.items() if name in moments}):
        raise SnapshotError(f"no second moments {pairs['Pxx']} among {list(moments.data_vars)}")
    energy = float((ion_mass_of(mass) * constants.c**2).to_value("J"))
    charge, light = float(constants.e.si.value), float(constants.c.value)
    flow = {}
    for d in SPATIAL:
        if f"u{d}_{species}" in moments:
            flow[d] = moments[f"u{d}_{species}"]
        elif f"j{d}" in moments:
            flow[d] = moments[f"j{d}"].astype(float) / (charge * light * density.astype(float))
        else:
            raise SnapshotError(f"neither u{d}_{species} nor j{d} is there: the bulk flow is needed to take it out")
    out = xr.Dataset(attrs=moments.attrs)
    for p, name in found.items():
        product = flow[p[1]].astype(float) * flow[p[2]].astype(float)
        value = (moments[name].astype(float) - product) * density.astype(float) * energy
        out[p] = value.drop_attrs(deep=False).assign_attrs(
            units="Pa", long_name=f"pressure tensor, {p[1:]}", code_name=name
        )
    return out


@renamed(found="ds")
@verb
def brazil_histogram(
    ds: xr.Dataset, *, beta_par: Sequence[float] | None = None, ratio: Sequence[float] | None = None
) -> xr.Dataset:
    """Joint distribution of beta_par and p_perp/p_par over the cells, and the threshold curves.

    Parameters
    ----------
    ds : xarray.Dataset
        From :func:`pressure`; lazy where it is.
    beta_par, ratio : ascending edges, optional
        By default 120 bins from 0.01 to 1000 and 120 from 0.1 to 10, even in the logarithm.

    Returns
    -------
    xarray.Dataset
        ``cells`` over (``beta_par``, ``ratio``), counts; ``outside``, those beyond the edges or not finite; over
        ``beta_par`` the ratio at the ``mirror`` threshold (1 + sqrt(1 + 4/beta_par))/2 and at the ``firehose``
        threshold 1 - 2/beta_par (NaN where that is negative).  Edges are the coordinates ``beta_par_edges`` and
        ``ratio_edges``.

    Raises
    ------
    ArgumentError, SnapshotError
        If this is no result of :func:`pressure`, or edges are not ascending and positive.
    """
    if missing := [n for n in ("beta_par", "Delta") if n not in ds]:
        raise SnapshotError(f"{missing} are missing: give what mm.anisotropy.pressure gave")
    edges = [
        _positive("beta_par", np.geomspace(1e-2, 1e3, 121) if beta_par is None else beta_par),
        _positive("ratio", np.geomspace(0.1, 10.0, 121) if ratio is None else ratio),
    ]
    dims = spatial_dims(ds)
    lead, arrays, _ = aligned([ds["beta_par"], ds["Delta"]], [], dims)
    shape = tuple(len(e) - 1 for e in edges)
    nothing = np.zeros((*arrays[0].shape[: len(lead)], 1))
    work = _Histogram(tuple(edges[0]), tuple(edges[1]))
    sums = group_sums(work, arrays, [nothing], rank=len(dims), groups=1, columns=int(np.prod(shape)) + 1)[..., 0, :]
    middles = [np.sqrt(e[1:] * e[:-1]) for e in edges]
    firehose = 1 - 2 / middles[0]
    count = sums[..., :-1].reshape(*sums.shape[:-1], *shape)
    return xr.Dataset(
        {
            "cells": ([*lead, "beta_par", "ratio"], count, {"long_name": "cells", "units": "1"}),
            "outside": (lead, sums[..., -1], {"long_name": "cells beyond the edges", "units": "1"}),
            "mirror": (
                "beta_par",
                (1 + np.sqrt(1 + 4 / middles[0])) / 2,
                {"long_name": "mirror threshold", "units": "1"},
            ),
            "firehose": (
                "beta_par",
                np.where(firehose > 0, firehose, np.nan),
                {"long_name": "firehose threshold", "units": "1"},
            ),
        },
        {
            "beta_par": ("beta_par", middles[0], {"long_name": "parallel plasma beta", "units": "1"}),
            "ratio": ("ratio", middles[1], {"long_name": "p_perp / p_par", "units": "1"}),
            "beta_par_edges": ("beta_par_edge", edges[0]),
            "ratio_edges": ("ratio_edge", edges[1]),
            **{d: ds[d] for d in lead if d in ds.coords},
        },
    )


def _positive(name: str, edges: Any) -> np.ndarray:
    found = require_values(edges, name)
    if len(found) < 2 or (np.diff(found) <= 0).any() or found[0] <= 0:
        raise ArgumentError(f"{name}: ascending, positive edges are needed")
    return found


def ion_mass_of(given: Any) -> Any:
    """Mass of a particle by its name or as a quantity."""
    from astropy import constants
    from astropy import units as u

    named = {"proton": constants.m_p, "electron": constants.m_e}
    try:
        return u.Quantity(named[given] if isinstance(given, str) else given).to("kg")
    except (KeyError, TypeError, u.UnitsError) as error:
        raise ArgumentError(f"mass {given!r}: 'proton', 'electron' or an astropy Quantity is needed") from error


@dataclass(frozen=True)
class _Histogram:
    """Count the cells of a block in bins, and those outside of them."""

    beta_par: tuple[float, ...]
    ratio: tuple[float, ...]

    def __call__(self, fields: list[np.ndarray], _: Any, edges: list[np.ndarray], out: np.ndarray) -> None:
        for low, high, _ in edges[0]:
            beta, ratio = fields[0][low:high].ravel(), fields[1][low:high].ravel() + 1.0
            counts, *_ = np.histogram2d(beta, ratio, [np.array(self.beta_par), np.array(self.ratio)])
            out[0, 0, 0, :-1] += counts.ravel()
            out[0, 0, 0, -1] += beta.size - counts.sum()


@verb
def curvature(ds: xr.Dataset) -> xr.DataArray:
    """Curvature |b·∇b| of the field lines, by second-order central differences.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshot with ``Bx By Bz``; lazy where it is.  Differences wrap around periodic axes, and are one-sided at
        the ends of the others.

    Returns
    -------
    xarray.DataArray
        ``curvature`` over the dims of the field, one over the length unit; NaN where the field vanishes.

    Raises
    ------
    SnapshotError
        If a component is missing, or an axis is not uniform.
    """
    names, grid = components(ds), Grid.of(ds)
    dims = grid.dims
    lead, arrays, _ = aligned([ds[n] for n in names], [], dims)
    axes = {len(lead) + i: d for i, d in enumerate(dims)}
    options = {"widths": tuple((axis, grid.widths[d], SPATIAL.index(d)) for axis, d in axes.items())}
    wraps = dict(zip(axes, grid.periodic, strict=True))
    if not any(hasattr(a, "dask") for a in arrays):
        pad = [(int(wraps.get(a, False)),) * 2 for a in range(arrays[0].ndim)]
        wide = _curvature(*(np.pad(a, pad, mode="wrap") for a in arrays), **options)
        values = wide[tuple(slice(p, n - p) for (p, _), n in zip(pad, wide.shape, strict=True))]
    else:
        import dask.array as da

        values = da.map_overlap(
            _curvature,
            *(da.asarray(a).rechunk(da.asarray(arrays[0]).chunks) for a in arrays),
            depth=dict.fromkeys(axes, 1),
            boundary={axis: "periodic" if wrap else "none" for axis, wrap in wraps.items()},
            dtype=np.result_type(*(a.dtype for a in arrays), np.float32),
            meta=np.empty((0,) * arrays[0].ndim, np.result_type(*(a.dtype for a in arrays), np.float32)),
            **options,
        )
    result = xr.DataArray(values, dims=[*lead, *dims], name="curvature").assign_coords(
        {d: ds[d] for d in (*lead, *dims) if d in ds.coords}
    )
    unit = derived_units((ds[dims[0]], -1))
    return result.transpose(*ds[names[0]].dims).assign_attrs(long_name="curvature of the field lines", **unit)


def _curvature(*field: np.ndarray, widths: Sequence[tuple[int, float, int]]) -> np.ndarray:
    kind = np.result_type(*(f.dtype for f in field), np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = np.sqrt(sum(np.square(f, dtype=np.float64) for f in field))
        unit = [f / strength for f in field]
    square = 0.0
    for component in unit:
        slope = np.zeros_like(strength)
        for axis, width, direction in widths:
            if component.shape[axis] > 1:
                slope += unit[direction] * np.gradient(component, width, axis=axis)
        square = square + slope**2
    return np.sqrt(square).astype(kind, copy=False)


@verb
def compression(
    time: Sequence[float] | np.ndarray, *, exponents: Sequence[float] = (1.0, 1.0), beta: float = 50.0
) -> xr.Dataset:
    """Double-adiabatic history of a box that contracts across its mean field (Sec. 3.8).

    Along a contracting axis L = L0 (1 + t/tau)^-exponent, so B and n grow as (1 + t/tau)^(sum of the exponents);
    with p_perp/(n B) and p_par B²/n³ conserved the anisotropy is Delta = B/B0 - 1, and beta_perp stays what it was.
    The printed Delta = (1 + t/tau)² - 1, with its mirror onset at 0.00995 tau for beta = 50, has the exponents
    (1, 1), or (2,) where one axis contracts; the printed lengths L0 (1 + t/tau)^-2 along both axes, exponents
    (2, 2), give (1 + t/tau)^4 - 1.  The two do not agree, and the exponents are yours to choose.

    Parameters
    ----------
    time : array
        In units of tau, from 0 on.
    exponents : one or two numbers
        Of the contracting axes.
    beta : float
        Initial plasma beta, the pressure isotropic.

    Returns
    -------
    xarray.Dataset
        Over ``time``: ``B``, ``n``, ``p_par``, ``p_perp`` over their initial values; ``Delta``, ``beta_par``,
        ``beta_perp``, ``mirror_margin``; ``L_1`` (and ``L_2``) over L0; and ``mirror_onset``, the time at which
        Delta = 1/beta_perp.

    Raises
    ------
    ArgumentError
        If a time is negative, beta is not positive, or there are not one or two exponents with a positive sum.
    """
    t, powers = require_values(np.atleast_1d(time), "time"), require_values(exponents, "exponents")
    if len(powers) > 2 or not powers.sum() > 0:
        raise ArgumentError(f"exponents={exponents!r}: one or two numbers with a positive sum are needed")
    if (t < 0).any():
        raise ArgumentError("time: numbers from 0 on, in units of tau, are needed")
    if require_number(beta, "beta") <= 0:
        raise ArgumentError(f"beta={beta!r}: a positive number is needed")
    growth = (1 + t) ** powers.sum()
    values = {
        "B": (growth, "field over its initial value"),
        "n": (growth, "density over its initial value"),
        "p_par": (growth, "parallel pressure over its initial value"),
        "p_perp": (growth**2, "perpendicular pressure over its initial value"),
        "Delta": (growth - 1, RESULTS["Delta"]),
        "beta_par": (beta / growth, RESULTS["beta_par"]),
        "beta_perp": (np.full_like(t, beta), RESULTS["beta_perp"]),
        "mirror_margin": (growth - 1 - 1 / beta, RESULTS["mirror_margin"]),
        **{f"L_{i + 1}": ((1 + t) ** -p, f"length of contracting axis {i + 1} over L0") for i, p in enumerate(powers)},
    }
    out = xr.Dataset({n: ("time", v, {"long_name": m, "units": "1"}) for n, (v, m) in values.items()})
    onset = (1 + 1 / beta) ** (1 / powers.sum()) - 1
    out["mirror_onset"] = ((), onset, {"long_name": "time of the mirror onset", "units": "1", "normalization": "tau"})
    notes = {"long_name": "time", "units": "1", "normalization": "tau"}
    return out.assign_coords(time=("time", t, notes)).assign_attrs(exponents=powers.tolist(), beta=float(beta))

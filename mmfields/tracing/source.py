"""What the tracing kernel takes of a field: a snapshot packed once for all tasks, or plane waves as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import (
    SPATIAL,
    SnapshotError,
    boundaries,
    box,
    components,
    mean_field,
    spacing,
    spatial_dims,
    unit_attrs,
)
from mmfields.io._shared import Mapped, create, forget, one_host, view
from mmfields.particles import reference_strength
from mmfields.scattering import Scattering
from mmfields.tracing.domains import Domains, pack, require_finite, side_for
from mmfields.turbulence import Synthetic

# In the order of the kernel's numbers, and the one that it does not know.
INTERPOLATIONS = ("nearest", "linear", "cubic", "faces")
SPECTRAL = "spectral"
WAVES = 4  # and whatever follows: fields on no grid
# Modes per octave that scattering at the outer scale needs, and resonant scattering.
DENSE, LEAST = 400, 10
WALLS = ("periodic", "open", "reflecting")


@dataclass(frozen=True)
class Source:
    """A field for the kernel, and what trajectories remember of it.

    Parameters
    ----------
    data, electric, mask
        Delayed arrays, or small ones.
    geometry : tuple
        Shape (z, y, x); low and high faces and walls in x, y, z order.
    kind : int or "spectral"
        Interpolation.
    cell : float
        Longest step that follows the local field.
    walls : tuple of str
    means : dict
        ``mean_Bx|y|z`` and ``B_rms``.
    length, strength : dict
        Attrs with the units of lengths and of the field.
    """

    data: Any
    electric: Any
    mask: Any
    geometry: tuple[Any, ...]
    kind: int | str
    cell: float
    walls: tuple[str, ...]
    means: dict[str, xr.DataArray]
    length: dict[str, str]
    strength: dict[str, str]


def of_synthetic(field: Synthetic, scattering: Scattering | None) -> Source:
    """A field that is evaluated at the particles, and has no walls."""
    import dask

    if scattering is not None and scattering.mask is not None:
        raise SnapshotError("a field on no grid has no cells that a mask could mark: give threshold=... instead")
    kind, parts = field.kernel_form()
    means = {f"mean_B{d}": xr.DataArray(float(m)) for d, m in zip(SPATIAL, field.mean_field, strict=True)}
    return Source(
        dask.delayed(type(field).packed, pure=False)(field),
        np.zeros(1),
        np.zeros((1, 1, 1), np.uint8),
        # as if of cells of the shortest wave, of which places must be told apart
        ((1, 1, parts), np.zeros(3), field.shortest * np.array([parts, 1.0, 1.0]), np.zeros(3, np.int64)),
        kind,
        field.shortest / 8,
        (),
        {**means, "B_rms": field.strength("rms")},
        {"units": "1"},
        field.units,
    )


def sparse(field: Synthetic, radii: np.ndarray) -> str:
    """What to say where gyroradii (in the field's rms) meet too few waves; empty where none do.

    Beyond the correlation length particles are scattered by the outer scale, which 50 modes per octave make 40 % too
    weak; below it they need waves of their own size.
    """
    scale, said = field.correlation_length(), []
    for radius in np.atleast_1d(radii).tolist():
        k = 2 * np.pi / field.longest * 2**0.5 if radius > scale else 1 / radius
        found, needed = field.modes_per_octave(k), DENSE if radius > scale else LEAST
        if found < needed:
            said.append(f"r_g={radius:.3g} meets {found:.0f} modes per octave at k={k:.3g}, of {needed} needed")
    return "; ".join(said)


def of_snapshot(
    field: xr.Dataset,
    interpolation: str,
    scattering: Scattering | None,
    light_speed: float | None,
    side: int | None,
) -> Source:
    """A snapshot; with its electric field where the speed of light is given; in blocks of a side where that is."""
    names = components(field)
    if side is not None and interpolation == SPECTRAL:
        raise SnapshotError(
            "interpolation='spectral' needs the modes of the whole field: leave block out, or use 'cubic'"
        )
    if interpolation == SPECTRAL and (bad := [d for d, kind in boundaries(field).items() if kind != "periodic"]):
        raise SnapshotError(f"interpolation='spectral' needs periodic axes, and {bad} are not: use 'cubic'")
    if odd := [n for n in names if field[n].dtype.kind not in "fiub"]:
        raise SnapshotError(f"{odd[0]} is {field[odd[0]].dtype}: real numbers are needed, .real or .astype(float)")
    parts = _faces(field) if interpolation == "faces" else [field[name] for name in names]
    if light_speed is not None and interpolation == "faces":
        raise SnapshotError("interpolation='faces' is for B alone: use 'linear' or 'cubic' with an electric field")
    other = [] if light_speed is None else [field[f"E{d}"] / light_speed for d in SPATIAL]
    single = np.result_type(*(p.dtype for p in [*parts, *other])) in (np.float16, np.float32)
    geometry, mask = _geometry(field), _mask(field, scattering)
    cells = int(np.prod(geometry[0]))
    if side is None and interpolation != SPECTRAL:
        side = side_for(cells, (len(parts) + len(other)) * (4 if single else 8) + (mask is not None))
    means = {f"mean_{name}": value for name, value in mean_field(field).data_vars.items()}
    kind = SPECTRAL if interpolation == SPECTRAL else INTERPOLATIONS.index(interpolation)
    hold = _whole if side is None else _divided
    return Source(
        *hold([*parts, *other], mask, field, interpolation, np.float32 if single else np.float64, side),
        geometry,
        kind,
        min(spacing(field).values()),
        tuple(boundaries(field).values()),
        {**means, "B_rms": reference_strength(field, "rms")},
        unit_attrs(field[spatial_dims(field)[0]]),
        unit_attrs(field[names[0]]),
    )


def _whole(
    vectors: Sequence[xr.DataArray], mask: Any, field: xr.Dataset, interpolation: str, kind: Any, _: None
) -> tuple[Any, Any, Any]:
    """Magnetic and electric field and mask as the kernel takes them: delayed flat arrays, made once for all tasks.

    (As arrays of one chunk they would be copied for every task.)
    """
    import dask

    electric: Any = np.zeros(1)
    if vectors[3:]:
        electric = _packed(vectors[3:], field, interpolation, "E", kind)
    marks = np.zeros((1, 1, 1), np.uint8) if mask is None else dask.delayed(np.ascontiguousarray, pure=True)(mask)
    return _packed(vectors[:3], field, interpolation, "B", kind), electric, marks


def _packed(vector: Sequence[xr.DataArray], field: xr.Dataset, interpolation: str, letter: str, kind: Any) -> Any:
    """A vector of a whole field."""
    import dask

    parts = [_grid_order(part) for part in vector]
    names = [f"{letter}{d}" for d in SPATIAL]
    if interpolation == SPECTRAL:
        return dask.delayed(_modes, pure=True)(*parts, names=names)
    options = {"modes": _spline_modes(field, interpolation), "kind": kind}
    if one_host():
        return _mapped(parts, 3 * int(np.prod(parts[0].shape)) + 1, names=names, **options)
    return dask.delayed(_pack, pure=True)(*parts, names=names, **options)


def _divided(
    vectors: Sequence[xr.DataArray], mask: Any, field: xr.Dataset, interpolation: str, kind: Any, side: int
) -> tuple[Domains, None, None]:
    """All of them in blocks."""
    parts = [_grid_order(part) for part in vectors]
    names = [f"{letter}{d}" for letter in "BE" for d in SPATIAL][: len(parts)]
    if modes := _spline_modes(field, interpolation):
        parts = [_coefficients_of(part, name, modes) for part, name in zip(parts, names, strict=True)]
    shape, _, _, walls = _geometry(field)
    periodic = tuple((walls[::-1] == WALLS.index("periodic")).tolist())
    return Domains(parts, mask, shape, periodic, side, names=names, kind=kind), None, None


def _spline_modes(field: xr.Dataset, interpolation: str) -> tuple[str, ...]:
    """What lies beyond each axis (z, y, x) for a spline; empty for other interpolations."""
    if interpolation != "cubic":
        return ()
    kinds = boundaries(field)
    return tuple("grid-wrap" if kinds.get(d, "periodic") == "periodic" else "mirror" for d in SPATIAL[::-1])


def _mapped(parts: Sequence[Any], size: int, *, names: Sequence[str], modes: tuple[str, ...], kind: Any) -> Any:
    """As `_pack`, into a file that the processes of a host share, block by block; a delayed `Mapped`."""
    import dask

    path = dask.delayed(create, pure=False)(size, kind)
    write, written = dask.delayed(_write, pure=True), []
    for c, part in enumerate(parts):
        part = part.rechunk(-1) if modes else part
        corners = np.array(np.meshgrid(*[np.cumsum((0, *n[:-1])) for n in part.chunks], indexing="ij")).reshape(3, -1).T
        for block, corner in zip(part.to_delayed().ravel(), corners.tolist(), strict=True):
            written.append(write(path, block, tuple(corner), c, names[c], part.shape, modes, kind))
    return dask.delayed(_filled, pure=True)(path, written, kind)


def _write(
    path: str, block: np.ndarray, corner: tuple[int, ...], c: int, name: str, shape: tuple, modes: tuple, kind: Any
) -> None:
    """One block of one component into the shared file, which goes with the first block that is refused."""
    try:
        require_finite(block, name, corner)
    except SnapshotError:
        forget(path)
        raise
    try:
        out = view(path, kind, "r+")[:-1].reshape(*shape, 3)
    except FileNotFoundError:
        return  # another block was refused, and says so; without the file nothing runs on
    region = tuple(slice(a, a + n) for a, n in zip(corner, block.shape, strict=True))
    out[(*region, c)] = _coefficients(block, modes) if modes else block


def _filled(path: str, _: Any, kind: Any) -> Mapped:
    return Mapped(path, kind)


def _grid_order(array: xr.DataArray) -> Any:
    """Dask array over (z, y, x), with one cell along an axis that is missing."""
    import dask.array as da

    order = SPATIAL[::-1]
    return da.asarray(array.expand_dims([d for d in order if d not in array.dims]).transpose(*order).data)


def _faces(field: xr.Dataset) -> list[xr.DataArray]:
    """Components on the lower faces of their cells, with one cell more along every axis."""
    kinds, parts = boundaries(field), []
    for d, name in zip(SPATIAL, components(field), strict=True):
        staggered = f"{name}_f" in field
        if d in kinds and not staggered:
            raise SnapshotError(f"interpolation='faces' needs {name}_f: open the file with staggered=True")
        own = field[f"{name}_f"].rename({f"{d}_f": d}) if staggered else field[name]
        own = own.drop_vars(list(own.coords))
        for axis in SPATIAL:
            n = field.sizes.get(axis, 1)
            own = own if axis in own.dims else own.expand_dims(axis)
            if own.sizes[axis] == n and axis == d and kinds.get(d, "periodic") != "periodic":
                raise SnapshotError(
                    f"{name}_f has {n} faces along {d}, which is {kinds[d]}: {n + 1} are needed, with the last"
                )
            if own.sizes[axis] == n + 1 and kinds.get(axis, "periodic") == "periodic":
                own = own.isel({axis: slice(0, n)})  # the last face is the first
            if own.sizes[axis] == n:  # across it is never read; along it a periodic axis closes
                own = xr.concat([own, own.isel({axis: slice(0, 1)})], axis)
            if own.sizes[axis] != n + 1:
                raise SnapshotError(f"{name}_f has {own.sizes[axis]} faces along {axis} for {n} cells")
        parts.append(own)
    return parts


def _pack(*parts: np.ndarray, names: Sequence[str], modes: tuple[str, ...], kind: Any) -> np.ndarray:
    """A whole vector for the kernel; spline coefficients for a cubic."""
    for part, name in zip(parts, names, strict=True):
        require_finite(part, name)
    return pack((_coefficients(part, modes) if modes else part for part in parts), parts[0].shape, kind)


def _modes(*parts: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Fourier coefficients (3, z, y, x) in the order of the transform."""
    from scipy import fft

    for part, name in zip(parts, names, strict=True):
        require_finite(part, name)
    return np.stack([fft.fftn(part.astype(np.float64), norm="forward") for part in parts])


def _coefficients(part: np.ndarray, modes: tuple[str, ...]) -> np.ndarray:
    """Coefficients of the cubic B-spline through the cells."""
    from scipy.ndimage import spline_filter1d

    values = part.astype(np.float64)
    for axis, mode in enumerate(modes):
        if values.shape[axis] > 1:
            values = spline_filter1d(values, 3, axis, mode=mode)
    return values


def _mask(field: xr.Dataset, scattering: Scattering | None) -> Any:
    """Patches as bytes, a Dask array over (z, y, x); None where none are needed."""
    if scattering is None or scattering.mask is None:
        return None
    if scattering.mask not in field:
        raise SnapshotError(f"mask {scattering.mask!r} is not among {list(field.data_vars)}: ds.assign it first")
    array = _grid_order(field[scattering.mask])
    if array.shape != _grid_order(field[components(field)[0]]).shape:
        raise SnapshotError(f"mask {scattering.mask!r} has shape {array.shape}, not that of the field")
    return (array != 0).astype(np.uint8)


def _coefficients_of(part: Any, name: str, modes: tuple[str, ...]) -> Any:
    """As `_coefficients`, of a Dask array, an axis at a time in chunks that have all of it."""
    from scipy.ndimage import spline_filter1d

    values = part.map_blocks(_finite_block, name, dtype=float)
    for axis, mode in enumerate(modes):
        if part.shape[axis] > 1:
            chunks = {a: -1 if a == axis else "auto" for a in range(3)}
            values = values.rechunk(chunks).map_blocks(spline_filter1d, 3, axis, mode=mode, dtype=float)
    return values


def _finite_block(block: np.ndarray, name: str, block_info: Any = None) -> np.ndarray:
    require_finite(block, name, tuple(low for low, _ in block_info[0]["array-location"]))
    return block.astype(np.float64)


def _geometry(field: xr.Dataset) -> tuple[tuple[int, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Shape (z, y, x); faces and walls in x, y, z order; an ignorable axis is one periodic cell."""
    limits, kinds = box(field), boundaries(field)
    shape = tuple(int(field.sizes.get(d, 1)) for d in SPATIAL[::-1])
    low = np.array([limits[d][0] if d in limits else 0.0 for d in SPATIAL])
    high = np.array([limits[d][1] if d in limits else 1.0 for d in SPATIAL])
    walls = np.array([WALLS.index(kinds.get(d, "periodic")) for d in SPATIAL])
    return shape, low, high, walls

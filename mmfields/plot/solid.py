"""Fields and orbits in three dimensions."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from mmfields._renamed import renamed
from mmfields.conventions import of_array, require_number, require_real, spatial_dims
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.plot.base import COLOURS, require_drawable, unit_label
from mmfields.plot.fields import _field_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Seen from the corner of the largest x, y and z, of which an octant is cut out.
VIEW = {"elev": 28.0, "azim": 38.0}
PIXELS = 900


@of_array("a field over x, y and z")
def cube(
    field: xr.DataArray,
    ax: "Axes | None" = None,
    *,
    engine: Literal["pyvista", "matplotlib"] | None = None,
    limit: float | None = None,
) -> "Axes":
    """A field on the faces of its box, from which the near octant is cut out.

    Parameters
    ----------
    field : xarray.DataArray
        Three-dimensional, without ``time``.
    ax : Axes, optional
        With ``projection="3d"`` for matplotlib, flat for pyvista, whose picture it shows.
    engine : {"pyvista", "matplotlib"}, optional
        pyvista, off screen, where it is installed and `ax` is not one of three dimensions; else matplotlib.
    limit : float, optional
        End of the colour scale, which is symmetric about 0; the largest modulus by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        If the field is not three-dimensional, or the engine unknown or missing.
    """
    data = _solid(field)
    chosen = _engine(engine, ax)
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    end = float(np.abs(data).max()) if limit is None else require_number(limit, "limit", 0.0)
    colours = ScalarMappable(Normalize(-end, end), "RdBu_r")
    ax = ax if ax is not None else _axes(chosen)
    if chosen == "pyvista":
        _rendered_cube(data, ax, end)
    else:
        _cut_cube(data, ax, colours)
    ax.figure.colorbar(colours, ax=ax, shrink=0.7, label=f"{_field_label(data)}{unit_label(data)}")
    return ax


@renamed(inside="highlight")
def orbits(
    trajectories: xr.Dataset,
    solid: xr.DataArray | None = None,
    ax: "Axes | None" = None,
    *,
    level: float | None = None,
    highlight: xr.DataArray | None = None,
    engine: Literal["pyvista", "matplotlib"] | None = None,
) -> "Axes":
    """Orbits in three dimensions, on axes of one scale, and the surface on which a field has a level.

    Parameters
    ----------
    trajectories : xarray.Dataset
        ``x y z`` over ``particle``, ``path``; drawn where they are, unwrapped, and not where they are NaN.
    solid : xarray.DataArray, optional
        Three-dimensional field; the surface encloses where it is at least `level`.  Orbits alone, by matplotlib, by
        default.
    ax : Axes, optional
        As :func:`cube`.
    level : float, optional
        In the field's unit; needed with `solid`.
    highlight : xarray.DataArray, optional
        Over ``particle``, ``path``: where True, the orbit is drawn in another colour.
    engine : {"pyvista", "matplotlib"}, optional
        As :func:`cube`; matplotlib draws the surface as cells of twice the size.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError, SnapshotError
        As :func:`cube`.
    """
    require_drawable(trajectories, "mm.trace", "x", "y", "z", dims=("particle", "path"))
    if (solid is None) != (level is None):
        raise ArgumentError("a surface needs both: solid=..., a field, and level=..., its value on the surface")
    places = np.stack([trajectories[d].transpose("particle", "path").values for d in ("x", "y", "z")], -1)
    lines = list(places)
    flags = [np.zeros(len(line), bool) for line in lines] if highlight is None else list(highlight.values)
    if solid is None:
        ax = ax if ax is not None else _axes("matplotlib")
        _plain_orbits(trajectories, lines, flags, ax)
        return ax
    data = _solid(solid)
    chosen = _engine(engine, ax)
    ax = ax if ax is not None else _axes(chosen)
    (_rendered_orbits if chosen == "pyvista" else _voxel_orbits)(data, level, lines, flags, ax)
    return ax


def _plain_orbits(trajectories: xr.Dataset, lines: list[np.ndarray], flags: list[np.ndarray], ax: "Axes") -> None:
    """Each orbit in a colour of its own, in another where it is flagged."""
    if ax.name != "3d":
        raise ArgumentError("ax is flat: make it with projection='3d'")
    for p, (line, flag) in enumerate(zip(lines, flags, strict=True)):
        own = COLOURS[p % len(COLOURS)]
        for where, colour in ((~flag, own), (flag, COLOURS[1])):
            for piece in _runs(line, where):
                ax.plot(*piece.T, color=colour, linewidth=0.9)
    for d in ("x", "y", "z"):
        getattr(ax, f"set_{d}label")(f"${d}${unit_label(trajectories[d])}")
    ax.set_aspect("equal")


def _solid(field: xr.DataArray) -> xr.DataArray:
    if not isinstance(field, xr.DataArray) or len(spatial_dims(field.to_dataset(name="field"))) != 3 or field.ndim != 3:
        found = field.dims if isinstance(field, xr.DataArray) else type(field).__name__
        raise SnapshotError(f"a DataArray over x, y and z alone is needed, not {found}: select the others")
    return require_real(field).transpose("x", "y", "z").compute()


def solid_engine() -> str:
    """What :func:`cube` and :func:`orbits` draw with by default: "pyvista" where it can be used, or "matplotlib"."""
    return _engine(None, None)


def _engine(engine: str | None, ax: "Axes | None") -> str:
    if engine not in (None, "pyvista", "matplotlib"):
        raise ArgumentError(f"engine={engine!r}: pyvista or matplotlib is needed")
    if engine == "matplotlib" or (engine is None and ax is not None and ax.name == "3d"):
        return "matplotlib"
    try:
        import pyvista  # noqa: F401
    except ImportError as error:  # without graphics libraries, too
        if engine == "pyvista":
            raise ArgumentError(f"pyvista cannot be used ({error}): pip install 'mmfields[viz]'") from error
        return "matplotlib"
    return "pyvista"


def _axes(engine: str) -> "Axes":
    from matplotlib import pyplot as plt

    return plt.figure(figsize=(6.4, 5.4), layout="constrained").add_subplot(
        projection="3d" if engine == "matplotlib" else None
    )


def _edges(data: xr.DataArray) -> list[np.ndarray]:
    """Cell faces along x, y, z."""
    edges = []
    for d in ("x", "y", "z"):
        c = data[d].values
        half = 0.5 * (c[1] - c[0]) if len(c) > 1 else 0.5
        edges.append(np.append(c - half, c[-1] + half))
    return edges


def _cut_cube(data: xr.DataArray, ax: "Axes", colours: Any) -> None:
    ax.computed_zorder = False  # nothing hides anything else from where it is seen
    edges = _edges(data)
    middle = [n // 2 for n in data.shape]
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        for near in (True, False) if middle[axis] else (True,):  # through an axis of one cell the notch is a hole
            # the outer face lacks the near quadrant; the notch shows the last cells that are left, before the middle
            index = data.shape[axis] - 1 if near else middle[axis] - 1
            place = edges[axis][-1] if near else edges[axis][middle[axis]]
            plane = colours.to_rgba(np.take(data.values, index, axis))
            pieces = [
                (slice(0, None), slice(0, middle[others[1]])),
                (slice(0, middle[others[0]]), slice(middle[others[1]], None)),
            ]
            if not near:
                pieces = [(slice(middle[others[0]], None), slice(middle[others[1]], None))]
            for rows, columns in pieces:
                _face(ax, axis, place, edges, others, rows, columns, plane[rows, columns])
    for line in _cut_edges(edges, middle):
        ax.plot(*line, color="black", linewidth=0.8, zorder=10)
    ax.view_init(**VIEW)
    _label(ax, data)


def _cut_edges(edges: list[np.ndarray], middle: list[int]) -> list[np.ndarray]:
    """Edges that can be seen of a cube without its near octant: three along each axis at its end, and the notch's."""
    low, half, high = (
        np.array(v) for v in zip(*((e[0], e[m], e[-1]) for e, m in zip(edges, middle, strict=True)), strict=True)
    )
    lines = []
    for axis in range(3):
        for one, two in ((low, high), (high, low), (high, half), (half, high), (half, half), (high, high)):
            begin, end = np.empty(3), np.empty(3)
            first, second = (a for a in range(3) if a != axis)
            begin[first] = end[first] = one[first]
            begin[second] = end[second] = two[second]
            inner = one is half or two is half
            begin[axis], end[axis] = (
                (half if inner else low)[axis],
                (half if one is high and two is high else high)[axis],
            )
            lines.append(np.stack([begin, end], axis=1))
    return lines


def _face(ax, axis, place, edges, others, rows, columns, colours) -> None:
    first, second = (e[s.start : (s.stop + 1 if s.stop is not None else None)]
                     for e, s in zip((edges[others[0]], edges[others[1]]), (rows, columns), strict=True))  # fmt: skip
    a, b = np.meshgrid(first, second, indexing="ij")
    where = {others[0]: a, others[1]: b, axis: np.full_like(a, place)}
    ax.plot_surface(
        where[0],
        where[1],
        where[2],
        facecolors=colours,
        rstride=1,
        cstride=1,
        shade=False,
        antialiased=False,
        linewidth=0,
    )


def _label(ax: "Axes", data: xr.DataArray) -> None:
    for d in ("x", "y", "z"):
        getattr(ax, f"set_{d}label")(f"${d}${unit_label(data[d])}")
    ax.set_box_aspect([float(np.ptp(getattr(ax, f"get_{d}lim")())) for d in ("x", "y", "z")], zoom=0.88)


def _grid(data: xr.DataArray, *, on_points: bool) -> Any:
    import pyvista

    edges = _edges(data)
    widths = [e[1] - e[0] for e in edges]
    shape = np.array(data.shape) + (0 if on_points else 1)
    origin = (
        [c[0] for c in (data["x"].values, data["y"].values, data["z"].values)] if on_points else [e[0] for e in edges]
    )
    grid = pyvista.ImageData(dimensions=tuple(shape), spacing=widths, origin=origin)
    (grid.point_data if on_points else grid.cell_data)["field"] = np.ravel(data.values, order="F")
    return grid


def _shown(plotter: Any, grid: Any, data: xr.DataArray, ax: "Axes") -> None:
    """Render, and put the picture into the axes."""
    from matplotlib import rcParams

    # extents are written below by matplotlib, since numbers at the ends of axes that meet cover each other
    options = {f"{d}title": d for d in ("x", "y", "z")} | {f"show_{d}labels": False for d in ("x", "y", "z")}
    size = int(2.4 * rcParams["font.size"])
    plotter.show_bounds(mesh=grid, location="outer", font_size=size, bold=False, **options)
    turn, rise = np.radians(VIEW["azim"]), np.radians(VIEW["elev"])
    plotter.view_vector((np.cos(turn), np.sin(turn), np.tan(rise)))
    plotter.reset_camera()
    plotter.camera.zoom(0.9)
    picture = plotter.screenshot(return_img=True)
    plotter.close()
    ax.set_axis_off()
    # rounded, since an edge at 0 may be off by the last digit of a spacing; 0 is added to lose the sign of 0
    ends = (np.round(edge[[0, -1]] / np.ptp(edge), 6) * np.ptp(edge) + 0.0 for edge in _edges(data))
    extents = (
        f"${d}$ from {low:.3g} to {high:.3g}{unit_label(data[d])}" for d, (low, high) in zip("xyz", ends, strict=True)
    )
    ax.text(0.02, 0.02, ", ".join(extents), transform=ax.transAxes, fontsize="small")
    ax.imshow(picture)


def _plotter() -> Any:
    import pyvista

    plotter = pyvista.Plotter(off_screen=True, window_size=(PIXELS, PIXELS))
    plotter.background_color = "white"
    return plotter


def _rendered_cube(data: xr.DataArray, ax: "Axes", end: float) -> None:
    grid = _grid(data, on_points=False)
    middle = [e[n // 2] for e, n in zip(_edges(data), data.shape, strict=True)]
    kept = grid.extract_cells(~(grid.cell_centers().points > middle).all(axis=1))
    plotter = _plotter()
    plotter.add_mesh(kept, scalars="field", cmap="RdBu_r", clim=(-end, end), show_scalar_bar=False, lighting=False)
    edges = kept.extract_surface(algorithm="dataset_surface").extract_feature_edges(
        feature_angle=60, boundary_edges=False, manifold_edges=False, non_manifold_edges=False
    )
    plotter.add_mesh(edges, color="black", line_width=2)
    _shown(plotter, grid, data, ax)


def _rendered_orbits(data, level, lines, flags, ax) -> None:
    import pyvista

    grid = _grid(data, on_points=True)
    plotter = _plotter()
    plotter.add_mesh(grid.outline(), color="black")
    plotter.add_mesh(grid.contour([level]), color=COLOURS[4], opacity=0.35, smooth_shading=True)
    for piece, colour in _coloured(lines, flags):
        plotter.add_mesh(pyvista.lines_from_points(piece), color=colour, line_width=3)
    _shown(plotter, grid, data, ax)


def _voxel_orbits(data, level, lines, flags, ax) -> None:
    coarse = data.coarsen(x=2, y=2, z=2, boundary="trim").mean()
    corners = np.meshgrid(*_edges(coarse), indexing="ij")
    ax.voxels(*corners, (coarse >= level).values, facecolors=COLOURS[4] + "30")
    for piece, colour in _coloured(lines, flags):
        ax.plot(*piece.T, color=colour, linewidth=1.0)
    ax.view_init(**VIEW)
    _label(ax, data)
    ax.set_aspect("equal")  # orbits leave the box


def _coloured(lines: list[np.ndarray], flags: list[np.ndarray]) -> Iterator[tuple[np.ndarray, str]]:
    """Pieces of all lines with the colour of where they are, without points that are not finite."""
    for line, flag in zip(lines, flags, strict=True):
        there = np.isfinite(line).all(axis=1)
        there[:-1] &= there[1:]
        for where, colour in ((flag & there, COLOURS[1]), (~flag & there, COLOURS[6])):
            for piece in _runs(line, where):
                yield piece, colour


def _runs(line: np.ndarray, where: np.ndarray) -> Sequence[np.ndarray]:
    """Pieces of a line whose segments begin where a mask is set."""
    change = np.flatnonzero(np.diff(where[:-1].astype(int))) + 1
    borders = np.concatenate([[0], change, [len(line) - 1]])
    return [line[a : b + 1] for a, b in itertools.pairwise(borders) if b > a and where[a]]

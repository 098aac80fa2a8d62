"""VPIC snapshots, a file of each rank (engine ``vpic``)."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from glob import escape, glob
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io._alike import pieces_of
from mmfields.io._arrays import Boundary, Engine, Stored, kept, on_grid, placed, side_by_side
from mmfields.io._lazy import RawBlocks, Region, read_bytes
from mmfields.io._mesh import Layout, Mosaic
from mmfields.io._recognize import VPIC
from mmfields.io._snapshot import LONGEST_AXIS, Alike, Axis, build, finite, guarded, limits_axis

HEADER = np.dtype(
    [
        ("mark", "S11"),
        ("ones", [("float", "<f4"), ("double", "<f8")]),
        ("kind", [(n, "<i4") for n in ("version", "dump", "step")]),
        ("cells", "<i4", 3),
        ("reals", [(n, "<f4") for n in ("dt", "dx", "dy", "dz", "x0", "y0", "z0", "cvac", "eps0", "damp")]),
        ("ranks", [(n, "<i4") for n in ("rank", "nproc", "species")]),
        ("q_m", "<f4"),
        ("array", "<i4", 5),
    ]
)
FIELDS, HYDRO = 1, 2
NODE, CELL = (0.0, 0.0, 0.0), (0.5, 0.5, 0.5)  # positions along z, y, x
EDGES = {d: tuple(0.5 if e == d else 0.0 for e in "zyx") for d in SPATIAL}
FACES = {d: tuple(0.0 if e == d else 0.5 for e in "zyx") for d in SPATIAL}
# Name here, name in VPIC, and position, in the order of the file; materials, eight arrays of whole numbers, follow.
IN_FIELDS = (
    *((f"E{d}", f"e{d}", EDGES[d]) for d in SPATIAL),
    ("div_e_err", "div_e_err", NODE),
    *((f"B{d}", f"cb{d}", FACES[d]) for d in SPATIAL),
    ("div_b_err", "div_b_err", CELL),
    *((f"tca{d}", f"tca{d}", EDGES[d]) for d in SPATIAL),
    ("rhob", "rhob", NODE),
    *((f"jf{d}", f"jf{d}", EDGES[d]) for d in SPATIAL),
    ("rhof", "rhof", NODE),
)
IN_HYDRO = ("jx", "jy", "jz", "charge_density", "px", "py", "pz", "ke", "txx", "tyy", "tzz", "tyz", "tzx", "txy")
ARRAYS = {FIELDS: 24, HYDRO: 14}


@dataclass(frozen=True)
class Inside:
    """Blocks without the layer of ghosts around them, over the axes of more than one cell: block reader."""

    blocks: RawBlocks
    active: tuple[bool, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.blocks.dtype

    def read(self, block: int, region: Region) -> np.ndarray:
        wanted = iter(region)
        inner = [next(wanted) if a else slice(0, 1) for a in self.active]
        first, *rest = (slice(s.start + 1, s.stop + 1) for s in inner)
        row = self.blocks.shapes[block, 1:]
        if 8 * np.prod([s.stop - s.start for s in rest]) > np.prod(row):  # one long read is faster than many short ones
            values = self.blocks.read(block, (first, *(slice(0, int(n)) for n in row)))[(slice(None), *rest)]
        else:
            values = self.blocks.read(block, (first, *rest))
        return values[tuple(slice(None) if a else 0 for a in self.active)]


@dataclass(frozen=True)
class _Dump:
    """All ranks of one dump: their files and headers."""

    paths: tuple[str, ...]
    headers: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        return self.headers["cells"][:, ::-1].astype(np.int64)  # along z, y, x


def _header(path: str, dump: int) -> np.ndarray:
    """Header of a rank's file, which must fit its size."""
    header = np.frombuffer(read_bytes(path, 0, HEADER.itemsize), HEADER)[0]
    ones, kind, cells = header["ones"], header["kind"], header["cells"].astype(object)
    if header["mark"] != VPIC or ones["float"] != 1 or ones["double"] != 1 or kind["version"] != 0:
        raise SnapshotError(f"{path}: not the header of a little-endian VPIC dump of version 0; copy the file again")
    if kind["dump"] != dump or not all(0 < n <= LONGEST_AXIS for n in cells):
        raise SnapshotError(f"{path}: dump type {kind['dump']} of {cells.tolist()} cells where type {dump} is expected")
    if (header["array"] != [header["array"][0], 3, *(cells + 2)]).any():
        raise SnapshotError(f"{path}: an array of {header['array'].tolist()} does not fit {cells.tolist()} cells")
    expected = HEADER.itemsize + 4 * ARRAYS[dump] * int(np.prod(cells + 2))
    if (size := os.path.getsize(path)) != expected:
        raise SnapshotError(
            f"{path}: {size} bytes, but {ARRAYS[dump]} arrays of {cells.tolist()} cells and their ghosts make "
            f"{expected}: it is cut, or not written whole in the band format"
        )
    for name in header["reals"].dtype.names:
        finite(path, name, header["reals"][name])
    return header


def _dump(folder: str, base: str, step: int, dump: int) -> _Dump:
    """The files of all ranks."""
    first = os.path.join(folder, f"{base}.{step}.0")
    if not os.path.isfile(first):
        raise SnapshotError(f"{first} is missing; copy the files of all ranks")
    count = int(_header(first, dump)["ranks"]["nproc"])
    if not 0 < count <= len(os.listdir(folder)):
        raise SnapshotError(f"{first}: written by {count} ranks, and {folder} holds {len(os.listdir(folder))} files")
    paths = tuple(os.path.join(folder, f"{base}.{step}.{rank}") for rank in range(count))
    if missing := [path for path in paths if not os.path.isfile(path)]:
        raise SnapshotError(f"{first}: written by {count} ranks, and {missing[0]} is missing; copy them all")
    headers = np.array([_header(path, dump) for path in paths], HEADER)
    for path, header, rank in zip(paths, headers, range(count), strict=True):
        ranks, same = header["ranks"], [header["reals"][n] == headers[0]["reals"][n] for n in ("dt", "dx", "dy", "dz")]
        if (ranks["rank"], ranks["nproc"], header["kind"]["step"]) != (rank, count, step) or not all(same):
            raise SnapshotError(f"{path}: its header is not that of rank {rank} of {count} at step {step}")
    return _Dump(paths, headers)


def _placed_ranks(dump: _Dump) -> tuple[Layout, dict[str, Axis]]:
    """Where the boxes of the ranks lie, and the axes of the whole grid (z, y, x)."""
    path, reals = dump.paths[0], dump.headers["reals"]
    widths = [float(reals[f"d{d}"][0]) for d in "zyx"]
    if not all(w > 0 for w in widths):
        raise SnapshotError(f"{path}: cells of size {widths} along z, y, x")
    start = np.stack(
        [on_grid(path, d, reals[f"{d}0"].astype(float), w) for d, w in zip("zyx", widths, strict=True)], axis=1
    )
    layout = side_by_side(path, start, dump.cells)
    low = {d: float(reals[f"{d}0"].min()) for d in "zyx"}
    largest = dump.cells.max(axis=0)
    axes = {
        d: limits_axis(path, d, low[d], low[d] + w * n, n, int(chunk))
        for d, w, n, chunk in zip("zyx", widths, layout.shape, largest, strict=True)
    }
    return layout, axes


def _array(dump: _Dump, layout: Layout, index: int) -> Mosaic:
    """One array of all ranks over the axes of more than one cell."""
    keep, shapes = kept(layout.shape), dump.cells + 2
    offset = HEADER.itemsize + 4 * index * shapes.prod(axis=1)
    raw = RawBlocks(dump.paths, np.arange(len(shapes), dtype=np.int32), offset, shapes, np.dtype("<f4"))
    inner = Layout(
        tuple(layout.shape[k] for k in keep),
        *(part[:, keep] for part in (layout.start, layout.stop, layout.repeat, layout.reduce)),
    )
    return Mosaic(Inside(raw, tuple(k in keep for k in range(3))), inner)


def _root(path: str) -> tuple[str, str | None]:
    """Folder of the run above a file of a rank, and the text of its ``global.vpc``."""
    folder = os.path.dirname(path) if path.endswith(".vpc") else os.path.dirname(os.path.dirname(os.path.dirname(path)))
    table = path if path.endswith(".vpc") else os.path.join(folder, "global.vpc")
    if not os.path.isfile(table):
        return folder, None
    with open(table, "rb") as file:
        return folder, file.read(1 << 20).decode("utf-8", "replace")


def _listed(path: str, text: str, kind: str) -> list[tuple[str, str]]:
    """Folder and name of the files of fields or species that ``global.vpc`` lists."""
    found = [re.findall(rf"^{kind}_DATA_{word}\s+(\S+)", text, re.MULTILINE) for word in ("DIRECTORY", "BASE_FILENAME")]
    if len(found[0]) != len(found[1]) or any(".." in name or name.startswith("/") for name in found[0] + found[1]):
        raise SnapshotError(f"{path}: global.vpc does not name a folder below it and a file for each {kind.lower()}")
    return list(zip(*found, strict=True))


def _step(path: str, text: str, root: str, folder: str, step: int | None) -> int:
    """The step asked for, or the only one."""
    at = os.path.join(root, folder)
    names = os.listdir(at) if os.path.isdir(at) else []
    found = sorted(int(name[2:]) for name in names if re.fullmatch(r"T\.\d{1,15}", name))
    if step in found or (step is None and len(found) == 1):
        return found[0] if step is None else step
    raise SnapshotError(
        f"{path}: steps {found[:20]} lie in {at}: say which with step=..., or open all of them with "
        f"mm.open_series('{at}/T.*/*.0', engine='vpic')"
    )


class VpicBackend(Engine):
    """xarray engine ``vpic``: binary dumps of version 0, a file of each rank.

    Tried on a real two-dimensional run of four ranks along x with two species; three dimensions, and ranks along more
    axes, on made files.  The ghosts around each box are left out.  Components of the Yee mesh, with positions measured
    by the divergence of B and of E, are averaged to the centres of cells; ``staggered=True`` gives them as stored.
    """

    name = "vpic"
    description = "VPIC snapshots (binary dumps of all ranks)"
    url = "https://github.com/lanl/vpic"

    @guarded("vpic")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: Boundary = None,
        step: int | None = None,
        staggered: bool = False,
    ) -> xr.Dataset:
        """Open ``global.vpc``, or a step from the file of any rank; only headers are read.

        Fields and the moments of all species that ``global.vpc`` lists are joined; from a file of fields without it,
        the fields alone.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            ``periodic`` or ``open``, for all axes or per axis; the files do not state it.  Along an open axis the last
            cell, whose upper edge is not stored, goes.
        step : int, optional
            Which step of ``global.vpc``; the only one by default.
        staggered : bool
            Also give components as stored: ``Bx_f`` over ``x_f`` and so on.

        Raises
        ------
        SnapshotError
            If files of ranks are missing, damaged or do not fit together.
        """
        path = filename_or_obj
        root, text = _root(path)
        name = re.fullmatch(r"(.+)\.(\d{1,15})\.\d{1,9}", os.path.basename(path))
        if not name and not path.endswith(".vpc"):
            raise SnapshotError(f"{path}: names such as fields.2776.0 are VPIC's: give one, or global.vpc")
        if text is None:
            fields, number, species = [(os.path.dirname(path), name[1])], int(name[2]), []
        else:
            listed = _listed(path, text, "FIELD")
            if len(listed) != 1:
                raise SnapshotError(f"{path}: global.vpc lists {len(listed)} sets of fields, one is needed")
            number = int(name[2]) if name else _step(path, text, root, listed[0][0], step)
            fields, species = [
                [(os.path.join(root, folder, f"T.{number}"), base) for folder, base in pairs]
                for pairs in (listed, _listed(path, text, "SPECIES"))
            ]
        dump = _dump(*fields[0], number, FIELDS)
        layout, axes = _placed_ranks(dump)
        keep = kept(layout.shape)
        self.read = number, [*dump.paths]
        items = [(n, code, place, _array(dump, layout, i)) for i, (n, code, place) in enumerate(IN_FIELDS)]
        for folder, base in species if species else ():
            found, paths = _species(dump, layout, folder, base, number)
            items += found
            self.read[1].extend(paths)
        stored = [Stored(n, source, code, tuple(place[k] for k in keep)) for n, code, place, source in items]
        axes = {d: a for k, (d, a) in enumerate(axes.items()) if k in keep}
        fields, axes = placed(path, axes, stored, boundary=boundary, staggered=staggered)
        attrs = {"code": "VPIC", "time": number * float(dump.headers[0]["reals"]["dt"]), "step": number}
        attrs["not_loaded"] = "materials of edges, nodes, faces and cells"
        return build(fields, axes, attrs=attrs, boundary=boundary, drop=drop_variables)

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether the dumps of another step have the headers of those opened last, and gives its time."""
        step, old = self.read
        wanted = [_outline(path) for path in old]

        def alike(path: str) -> Alike | None:
            name = re.fullmatch(r".+\.(\d{1,15})\.\d{1,9}", os.path.basename(path))
            if not name:
                return None
            other = int(name[1])
            files = [file.replace(f"T.{step}/", f"T.{other}/").replace(f".{step}.", f".{other}.") for file in old]
            if path not in files or not all(map(os.path.isfile, files)):
                return None
            found = [_outline(file) for file in files]
            if [f[1:] for f in found] != [f[1:] for f in wanted] or {f[0][0] for f in found} != {other}:
                return None
            moves = {model: (file, 0) for model, file in zip(old, files, strict=True)}
            return Alike({"time": other * found[0][0][1], "step": other}, first, moves)

        return alike

    @staticmethod
    def pieces(path: str) -> list[str]:
        """All files of the output that a file belongs to."""
        return glob(f"{escape(path.rpartition('.')[0])}.*")


def _outline(path: str) -> tuple[tuple[int, float], int, bytes]:
    """Step and time step of a file, its size, and its header but for the step."""
    size, (head,) = pieces_of(path, [(0, HEADER.itemsize)])
    header = np.frombuffer(head, HEADER).copy()
    state = (int(header["kind"]["step"][0]), float(header["reals"]["dt"][0]))
    header["kind"]["step"] = 0
    return state, size, header.tobytes()


def _species(dump: _Dump, layout: Layout, folder: str, base: str, step: int) -> tuple[list[tuple], tuple[str, ...]]:
    """Moments of one species, which lie on the nodes of the grid of the fields, and their files."""
    hydro = _dump(folder, base, step, HYDRO)
    same = [(hydro.headers["reals"][n] == dump.headers["reals"][n]).all() for n in ("x0", "y0", "z0", "dx", "dy", "dz")]
    if len(hydro.paths) != len(dump.paths) or not all(same) or (hydro.cells != dump.cells).any():
        raise SnapshotError(f"{hydro.paths[0]}: its boxes are not those of {dump.paths[0]}; they are of two runs")
    kind = base.removesuffix("hydro") or base
    items = [(f"{n}_{kind}", f"{base} {n}", NODE, _array(hydro, layout, i)) for i, n in enumerate(IN_HYDRO)]
    return items, hydro.paths

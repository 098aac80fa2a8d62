"""Athena-C binary dumps (engine ``athena_bin``)."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from glob import escape, glob
from typing import Any, Literal

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, SnapshotError
from mmfields.io._alike import pieces_of
from mmfields.io._arrays import Boundary, Engine, Stored, centres_axis, kept, on_grid, placed, side_by_side
from mmfields.io._lazy import RawBlocks, read_bytes
from mmfields.io._mesh import Layout, Mosaic
from mmfields.io._recognize import athena_bin_real, athena_bin_sizes
from mmfields.io._snapshot import Alike, Axis, build, finite, guarded, limits_axis, magic, require_file, with_velocities

SYSTEMS = {-1: "Cartesian", -2: "cylindrical", -3: "spherical"}
LEADING = {"cons": ("d", "M1", "M2", "M3"), "prim": ("d", "V1", "V2", "V3")}
ENERGY = {"cons": "E", "prim": "P"}
NAMES = {
    "d": "rho",
    **{f"M{i + 1}": f"mom{i + 1}" for i in range(3)},
    **{f"V{i + 1}": f"u{c}" for i, c in enumerate(SPATIAL)},
    **{f"B{i + 1}c": f"B{c}" for i, c in enumerate(SPATIAL)},
    "E": "energy",
    "P": "pressure",
}


@dataclass(frozen=True)
class _Piece:
    """One file: number of variables and scalars, gamma - 1 and time, cells and centres along z, y, x, and its bytes."""

    path: str
    real: np.dtype
    variables: int
    scalars: int
    gravity: int
    state: tuple[float, float, float]
    centres: tuple[np.ndarray, ...]
    start: int

    @property
    def cells(self) -> tuple[int, ...]:
        return tuple(len(c) for c in self.centres)

    def alike(self, other: "_Piece") -> bool:
        """Whether another file holds the same variables at the same time."""
        own = (self.real, self.variables, self.scalars, self.gravity, self.state)
        return own == (other.real, other.variables, other.scalars, other.gravity, other.state)


def _read(path: str) -> _Piece:
    head = magic(path)
    numbers = athena_bin_sizes(path, head)
    if numbers is None:
        raise SnapshotError(
            f"{path}: {os.path.getsize(path)} bytes are not those that the numbers in its header make, in neither "
            "precision; it is cut, or no Athena-C dump"
        )
    system, *cells, variables, scalars, gravity, _ = numbers
    if system != -1:
        raise SnapshotError(f"{path}: its coordinates are {SYSTEMS[system]}; only Cartesian grids are read")
    real = np.dtype(f"<f{athena_bin_real(os.path.getsize(path), numbers)}")
    count = 4 + sum(cells)
    values = np.frombuffer(read_bytes(path, 32, count * real.itemsize), real).astype(float)
    if not np.isfinite(values).all():
        raise SnapshotError(f"{path}: its time or coordinates are not all finite; the file is damaged")
    gamma, sound, time, _ = values[:4].tolist()
    centres = tuple(np.split(values[4:], np.cumsum(cells)[:-1]))[::-1]
    start = 32 + count * real.itemsize
    return _Piece(path, real, variables, scalars, gravity, (gamma, sound, time), centres, start)


def _ranks(path: str) -> list[str]:
    """Files of all ranks of a run with MPI: ``id0/X.0001.bin``, ``id1/X-id1.0001.bin`` and so on."""
    folder, name = os.path.split(path)
    if found := re.search(r"-(lev\d+|dom\d+)", name):
        raise SnapshotError(
            f"{path}: a refined patch ({found[1]}) of a mesh with several levels; open the file of the root grid, "
            "which covers the whole box"
        )
    above, own = os.path.split(folder)
    parts = re.fullmatch(r"(.*?)(-id\d{1,6})?(\.\d+\.bin)", name)
    if not parts:
        return [path]
    apart = re.fullmatch(r"id\d{1,6}", own) and (parts[2] or "-id0") == f"-{own}"
    pattern = os.path.join(escape(above), "id*") if apart else escape(f"{folder}/{parts[1]}-id") + f"*{parts[3]}"
    found = (re.fullmatch(r"(?:.*-)?id(\d{1,6})(?:\.\d+\.bin)?", os.path.basename(p)) for p in glob(pattern))
    numbers = [int(n[1]) for n in found if n]
    if not numbers:
        return [path]
    places = [f"{above}/id{i}" if apart else folder for i in range(1 + max(numbers))]
    files = [os.path.join(at, f"{parts[1]}{f'-id{i}' if i else ''}{parts[3]}") for i, at in enumerate(places)]
    if missing := [file for file in files if not os.path.isfile(file)]:
        raise SnapshotError(
            f"{path}: the piece of one of {len(files)} ranks, and {missing[0]} is missing; copy them all"
        )
    return files


def _names(path: str, piece: _Piece, kind: str) -> list[str]:
    """Variables in the order of the file, by their number."""
    plain = piece.variables - piece.scalars
    if plain not in (4, 5, 7, 8):
        raise SnapshotError(f"{path}: {plain} variables besides scalars; 4, 5 (gas), 7 and 8 (with B) are possible")
    energy = [ENERGY[kind]] if plain in (5, 8) else []
    field = ["B1c", "B2c", "B3c"] if plain >= 7 else []
    return [*LEADING[kind], *energy, *field, *(f"s{i}" for i in range(piece.scalars)), *["Phi"][: piece.gravity]]


def _whole(pieces: list[_Piece]) -> tuple[Layout, dict[str, Axis]]:
    """Where the pieces lie, and the axes of more than one cell."""
    path, cells = pieces[0].path, np.array([piece.cells for piece in pieces])
    widths = [
        max((float(c[-1] - c[0]) / (len(c) - 1) for c in (p.centres[k] for p in pieces) if len(c) > 1), default=1.0)
        for k in range(3)
    ]
    corners = np.array([[c[0] for c in piece.centres] for piece in pieces])
    for piece in pieces:
        for d, c in zip("zyx", piece.centres, strict=True):
            if len(c) > 1:
                centres_axis(piece.path, d, c)  # uniform
    if not all(w > 0 for w in widths):
        raise SnapshotError(f"{path}: centres of cells are {widths} apart along z, y, x; ascending ones are needed")
    start = np.stack([on_grid(path, d, corners[:, k], widths[k]) for k, d in enumerate("zyx")], axis=1)
    layout = side_by_side(path, start, cells)
    axes = {}
    for k in kept(layout.shape):
        low, n = corners[:, k].min() - widths[k] / 2, layout.shape[k]
        axes["zyx"[k]] = limits_axis(path, "zyx"[k], low, low + widths[k] * n, n, int(cells[:, k].max()))
    return layout, axes


class AthenaBinBackend(Engine):
    """xarray engine ``athena_bin``: dumps of Athena-C, of one rank or joined from all.

    Tried on real files in double precision in two dimensions (one rank, adiabatic); single precision, three dimensions,
    other equations, scalars, and several ranks on made ones.
    """

    name = "athena_bin"
    description = "Athena-C binary dumps"
    url = "https://github.com/PrincetonUniversity/Athena-Cversion"

    @guarded("athena_bin")
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        boundary: Boundary = None,
        variables: Literal["cons", "prim"] = "cons",
    ) -> xr.Dataset:
        """Open a dump, with MPI from the file of any rank; only headers are read.

        Parameters
        ----------
        filename_or_obj : path
        drop_variables : str or iterable of str, optional
        boundary : str or mapping, optional
            ``periodic`` or ``open``, for all axes or per axis; the file does not state it.
        variables : {"cons", "prim"}
            Whether momenta and the energy were written, or velocities and the pressure (``out = prim`` in the input of
            the run): the file does not state it.

        Raises
        ------
        SnapshotError
            If sizes do not fit, the grid is not Cartesian or the file holds a refined patch.
        """
        path = filename_or_obj
        if variables not in LEADING:
            raise SnapshotError(f"variables={variables!r}: 'cons' or 'prim' is needed")
        pieces = self.read = [_read(file) for file in _ranks(path)]
        if other := [piece for piece in pieces if not piece.alike(pieces[0])]:
            raise SnapshotError(f"{other[0].path}: its time or variables are not those of {pieces[0].path}")
        layout, axes = _whole(pieces)
        shapes = np.array([piece.cells for piece in pieces])
        items = []
        for index, name in enumerate(_names(path, pieces[0], variables)):
            array = _array(pieces, shapes, layout, index)
            items.append(Stored(NAMES.get(name, name), array, name))
        fields, axes = placed(path, axes, items, boundary=boundary)
        gamma, sound, time = pieces[0].state
        attrs = {"code": "Athena", "time": finite(path, "time", time)}
        attrs |= {"gamma": 1 + gamma} if gamma else {"sound_speed": sound} if sound else {}
        return build(with_velocities(fields), axes, attrs=attrs, boundary=boundary, drop=drop_variables)

    def alike_to(self, first: str) -> Callable[[str], Alike | None]:
        """What tells whether another dump has the grid of the one opened last, and gives its time."""
        old = self.read
        wanted = [_outline(piece, piece.path)[1:] for piece in old]

        def alike(path: str) -> Alike | None:
            require_file(path)
            files = _ranks(path)
            found = [_outline(piece, file) for piece, file in zip(old, files, strict=False)]
            if len(files) != len(old) or [outline[1:] for outline in found] != wanted or len({f[0] for f in found}) > 1:
                return None
            time = float(np.frombuffer(found[0][0], old[0].real)[0])
            moves = {piece.path: (file, 0) for piece, file in zip(old, files, strict=True)}
            return Alike({"time": finite(path, "time", time)}, first, moves)

        return alike

    @staticmethod
    def pieces(path: str) -> list[str]:
        """All files of the output that a file belongs to."""
        return _ranks(path)


def _outline(piece: _Piece, path: str) -> tuple[bytes, int, bytes, bytes]:
    """Time of a file, as it is stored, its size, and the rest of its header but for the time step."""
    size, (head,) = pieces_of(path, [(0, piece.start)])
    at, width = 32 + 2 * piece.real.itemsize, piece.real.itemsize
    return head[at : at + width], size, head[:at], head[at + 2 * width :]


def _array(pieces: list[_Piece], shapes: np.ndarray, layout: Layout, index: int) -> Mosaic:
    """One variable of all pieces over the axes of more than one cell."""
    keep, real = kept(layout.shape), pieces[0].real
    offset = np.array([p.start for p in pieces]) + real.itemsize * index * shapes.prod(axis=1)
    files = tuple(p.path for p in pieces)
    raw = RawBlocks(files, np.arange(len(files), dtype=np.int32), offset, shapes[:, keep], real)
    parts = (part[:, keep] for part in (layout.start, layout.stop, layout.repeat, layout.reduce))
    return Mosaic(raw, Layout(tuple(layout.shape[k] for k in keep), *parts))

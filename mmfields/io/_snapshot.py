"""What every reader shares: the guard, the axes, and the assembly of a snapshot Dataset."""

import functools
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from mmfields._compat import LazilyIndexedArray
from mmfields.conventions import (
    LONG_NAMES,
    SPATIAL,
    ArgumentError,
    MmfieldsError,
    SnapshotError,
    boundary_attrs,
    stated_unit,
)
from mmfields.io._lazy import Centred, LazyArray, Part, Quotient, Source, Total
from mmfields.io._options import require_options
from mmfields.io._paths import is_url, plain, require_unpacked
from mmfields.io._remote import resolved
from mmfields.provenance import provenance

# A header that states a longer axis is taken for damaged.
LONGEST_AXIS = 2_000_000

# Chunks larger than this are cut, whatever the file's blocks.
LARGEST_CHUNK = 1 << 27

# Names that the Athena family gives to canonical variables.
ATHENA_NAMES = {
    "rho": "rho",
    "dens": "rho",
    **{f"vel{i + 1}": f"u{c}" for i, c in enumerate(SPATIAL)},
    **{f"vel{c}": f"u{c}" for c in SPATIAL},
    **{f"{b}{i + 1}": f"B{c}" for b in ("Bcc", "bcc") for i, c in enumerate(SPATIAL)},
    **{f"Ecc{i + 1}": f"E{c}" for i, c in enumerate(SPATIAL)},
}

# The face-centred field of Athena++ (``variable=b``), each component on the lower faces across its own axis.
FACES = {"B1": "x", "B2": "y", "B3": "z"}

# Pressures as codes call them: pxx, Pxy_ions, p_ions_xy, prs12, pyzS1, p_par, prs_prp; a scalar pressure is none.
LONGEST_NAME = 200  # of a pressure; the pattern takes the square of its length
PRESSURE = re.compile(
    r"(?:p|prs|pres|press|pressure)(?:_?tensor)?(?:_(?P<before>[a-z](?:\w*[a-z0-9])?))??[_/]?"
    r"(?:(?P<i>[xyz123])(?P<j>[xyz123])|(?P<along>par(?:a|allel)?|prl|perp(?:endicular)?|prp))"
    r"(?:[s_]?(?P<number>\d+)|(?P<letter>[ei])|_(?P<kind>[a-z]\w*))?"
)
AXES = str.maketrans("123", "xyz")
NO_SPECIES = {"avg", "dt", "err", "error", "max", "mean", "min", "new", "old", "rms", "std", "var"}


class NoFields(SnapshotError):
    """A sound file that holds no field at all, such as the particles of a run alone."""


@dataclass(frozen=True)
class Axis:
    """One spatial axis: lower edge, cell size, number of cells, and the size of its chunks."""

    lower: float
    width: float
    cells: int
    chunk: int
    face: bool = False

    def centres(self) -> np.ndarray:
        shift = 0.0 if self.face else 0.5
        return self.lower + (np.arange(self.cells) + shift) * self.width


@dataclass(frozen=True)
class Field:
    """One variable: dims, source, and what its attrs say."""

    dims: tuple[str, ...]
    source: Source
    code_name: str
    units: str = "1"
    normalization: str = "code units"
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bare:
    """What a series needs of its snapshots after the first: less than a Dataset, which takes ten times as long."""

    fields: Mapping[str, Field]
    axes: Mapping[str, Axis]
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class Alike:
    """An output that differs from another one of its series in its numbers and in these attrs alone.

    `moves` says for each file of that one, which is opened by the path `like`, which file stands for it here, and how
    many bytes further on its numbers lie.
    """

    attrs: Mapping[str, Any]
    like: str
    moves: Mapping[str, tuple[str, int]]


_bare: ContextVar[bool] = ContextVar("snapshots without a Dataset", default=False)


@contextmanager
def bare() -> Iterator[None]:
    """In here :func:`build` gives :class:`Bare`."""
    token = _bare.set(True)
    try:
        yield
    finally:
        _bare.reset(token)


def limits_axis(
    path: str, dim: str, low: float, high: float, cells: int, chunk: int, *, descending: bool = False
) -> Axis:
    """Axis from the limits of the mesh, checked; only `descending` lets the upper limit be the lower one."""
    if not 0 < cells <= LONGEST_AXIS:
        raise SnapshotError(f"{path}: {cells} cells along {dim}; 1 to {LONGEST_AXIS} are possible")
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        raise SnapshotError(f"{path}: limits of {dim} are {low} and {high}; finite and different ones are needed")
    if high < low and not descending:
        raise SnapshotError(f"{path}: {dim} runs from {low:g} down to {high:g}; ascending limits are needed")
    width = (float(high) - float(low)) / cells
    if not np.isfinite(width) or abs(width) < 8 * np.spacing(max(abs(low), abs(high))):
        raise SnapshotError(f"{path}: {cells} cells of {dim} from {low!r} to {high!r} cannot be told apart")
    return Axis(float(low), width, cells, chunk)


def finite(path: str, what: str, value: Any) -> float:
    """`value` (text or number) as a finite float, or a SnapshotError that names it."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    try:
        number = np.nan if isinstance(text, str) and "_" in text else float(text)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise SnapshotError(f"{path}: {what} is {str(text)[:40]!r}, a finite number is needed; the header is damaged")
    return number


def choose_level(level: int | None, finest: int) -> int:
    """The refinement level asked for, the finest present by default; up to eight finer ones are possible."""
    if level is None:
        return finest
    if level > finest + 8:
        raise SnapshotError(
            f"level {level!r}: an integer from 0 to {finest + 8} is needed (the finest present is {finest})"
        )
    return int(level)


def add_field(path: str, fields: dict[str, Field], name: str, item: Field) -> None:
    """Put a variable under its canonical name, refusing a second one of that name."""
    if name in fields:
        other = fields[name].code_name
        raise SnapshotError(f"{path}: {other!r} and {item.code_name!r} would both be {name!r}; the variables clash")
    fields[name] = item


def build(
    fields: Mapping[str, Field],
    axes: Mapping[str, Axis],
    *,
    attrs: Mapping[str, Any],
    boundary: str | Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
    length_units: str = "1",
    length_normalization: str = "code units",
    drop: Iterable[str] | str | None = None,
) -> xr.Dataset:
    """Assemble a snapshot from lazy fields; nothing is read."""
    dropped = {drop} if isinstance(drop, str) else set(drop or ())
    fields = {name: item for name, item in with_pressures(fields).items() if name not in dropped}
    used = {d for item in fields.values() for d in item.dims}
    edges = boundary_attrs([d for d in axes if d in used and d in SPATIAL], boundary, known)
    if _bare.get():
        return Bare(fields, {d: axis for d, axis in axes.items() if d in used}, {**attrs, **edges})
    axes = _bounded_chunks(fields, axes)
    variables = {}
    for name, item in fields.items():
        notes = {"units": item.units, "long_name": LONG_NAMES.get(name, item.code_name)}
        if item.units == "1":
            notes["normalization"] = item.normalization
        data = LazilyIndexedArray(LazyArray(item.source))
        encoding = {"preferred_chunks": {d: axes[d].chunk if d in axes else 1 for d in item.dims}}
        variables[name] = xr.Variable(item.dims, data, {**notes, "code_name": item.code_name, **item.attrs}, encoding)
    coords = {}
    for dim, axis in axes.items():
        if dim not in used:
            continue
        kind = "lower faces" if axis.face else "cell centres"
        notes = {"units": length_units, "long_name": f"{dim.removesuffix('_f')} ({kind})", "spacing": axis.width}
        if length_units == "1":
            notes["normalization"] = length_normalization
        coords[dim] = xr.Variable((dim,), axis.centres(), notes)
    if "time" in attrs:  # a coordinate too, so that xr.concat and xr.open_mfdataset find it
        coords["time"] = xr.Variable((), attrs["time"], stated_unit(attrs["time_unit"]) if "time_unit" in attrs else {})
    return xr.Dataset(variables, coords, {**attrs, **edges})


def _bounded_chunks(fields: Mapping[str, Field], axes: Mapping[str, Axis]) -> dict[str, Axis]:
    """Axes whose chunks hold at most LARGEST_CHUNK: an unblocked file is cut along its slowest axis."""
    bounded = dict(axes)
    for item in fields.values():
        dims = [d for d in item.dims if d in bounded]
        size = item.source.dtype.itemsize * math.prod(bounded[d].chunk for d in dims)
        while size > LARGEST_CHUNK and (first := next((d for d in dims if bounded[d].chunk > 1), None)):
            half = -(-bounded[first].chunk // 2)
            size = size * half // bounded[first].chunk
            bounded[first] = replace(bounded[first], chunk=half)
    return bounded


def with_velocities(fields: dict[str, Field]) -> dict[str, Field]:
    """Add ``ux uy uz`` = momentum / density where a code stores the momentum."""
    for i, dim in enumerate(SPATIAL):
        name, momentum = f"u{dim}", f"mom{i + 1}"
        if name not in fields and momentum in fields and "rho" in fields:
            top = fields[momentum]
            code_name = f"{momentum}/{fields['rho'].code_name}"
            fields[name] = Field(top.dims, Quotient(top.source, fields["rho"].source), code_name)
    return fields


def with_centred_faces(
    fields: Mapping[str, Field], axes: Mapping[str, Axis], boundary: str | Mapping[str, str] | None
) -> tuple[dict[str, Field], dict[str, Axis]]:
    """Bring Athena++'s face-centred B to cell centres, on a grid of one level.

    Along an axis that the caller calls open the last cell has no upper face in the file and goes, of all fields.
    """
    if not FACES.keys() & fields.keys():
        return dict(fields), dict(axes)
    given = boundary if isinstance(boundary, Mapping) else dict.fromkeys(axes, boundary)
    cut = {d: replace(axis, cells=axis.cells - (given.get(d) == "open")) for d, axis in axes.items()}
    out: dict[str, Field] = {}
    for name, item in fields.items():
        shape, source = tuple(cut[d].cells for d in item.dims), item.source
        dim = FACES.get(name)
        if dim in item.dims:
            k = item.dims.index(dim)
            source = Centred(source, k, shape[k])
        source = source if source.shape == shape else Part(source, shape)
        add_field(item.code_name, out, f"B{dim}" if dim else name, replace(item, source=source))
    return out, cut


@functools.lru_cache(maxsize=1024)
def pressure_name(name: str) -> tuple[str, str] | None:
    """Canonical name of a pressure, and its species ("" for the whole plasma), of a code's name; None for others."""
    found = PRESSURE.fullmatch(name.strip().lower()) if len(name) <= LONGEST_NAME else None
    if found is None:
        return None
    i, j, along = found["i"], found["j"], found["along"]
    species = next((s for s in found.group("kind", "number", "letter", "before") if s), "")
    if species in NO_SPECIES:
        return None
    if along:
        return ("p_par" if along.startswith(("par", "prl")) else "p_perp"), species
    first, second = sorted(str(axis).translate(AXES) for axis in (i, j))
    return f"P{first}{second}", species


def with_pressures(fields: Mapping[str, Field]) -> dict[str, Field]:
    """Give pressures their canonical names; those of several species stay, and their sum is added."""
    groups: dict[str, dict[str, str]] = {}
    for name in fields:
        if known := pressure_name(name):
            groups.setdefault(known[0], {}).setdefault(known[1], name)
    whole = {wanted: species[""] for wanted, species in groups.items() if "" in species and wanted not in fields}
    out = {}
    for name, item in fields.items():
        new = next((wanted for wanted, old in whole.items() if old == name), name)
        out[new] = item
    for wanted, species in groups.items():
        kin = [set(groups[n]) for n in groups if n[0] == wanted[0]]  # the tensor, or the two pressures
        if wanted in out or any(k != kin[0] for k in kin):
            continue
        items = [fields[name] for name in species.values()]
        if len({(i.dims, i.source.shape, i.units) for i in items}) > 1:
            continue
        code_name = " + ".join(i.code_name for i in items)
        source = items[0].source if len(items) == 1 else Total(tuple(i.source for i in items))
        out[wanted] = replace(items[0], source=source, code_name=code_name)
    return out


def guarded(engine: str) -> Callable:
    """Decorate ``open_dataset`` of an engine: a path string in, one kind of exception out.

    Errors that a damaged header causes in a parser are raised as SnapshotError with the name of the file.
    """

    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def wrapper(self: Any, filename_or_obj: Any, **options: Any) -> xr.Dataset:
            if not isinstance(filename_or_obj, str | bytes | os.PathLike):
                kind = type(filename_or_obj).__name__
                raise ArgumentError(f"engine {engine!r} opens paths, not {kind}: save it to a file first")
            require_options(engine, method, options)
            path = plain(filename_or_obj)
            if is_url(path):
                path = resolved(path)
            require_file(path)
            try:
                given = "".join(f", {key}={value!r}" for key, value in options.items() if value is not None)
                line = f"mm.open_snapshot({path!r}, engine={engine!r}{given})"
                found = method(self, path, **options)
                return found if isinstance(found, Bare) else found.assign_attrs(provenance([path], [line]))
            except Exception as error:
                if os.path.isfile(path):
                    require_unpacked(path, magic(path, 512))
                if isinstance(error, MmfieldsError):
                    raise
                raise SnapshotError(
                    f"{path}: not readable as {engine} ({type(error).__name__}: {error}); "
                    "the header is damaged or of another format"
                ) from error

        return wrapper

    return decorate


def require_file(path: str) -> None:
    """Refuse what is neither a file nor a directory, such as a pipe or a device."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"no such file: {path}")
    if not (os.path.isfile(path) or os.path.isdir(path)):
        raise SnapshotError(f"{path} is neither a file nor a directory; copy its content to a file first")


def require_inside(folder: str) -> None:
    """Refuse a directory with links that lead out of it."""
    root = os.path.realpath(folder)
    for at, folders, files in os.walk(folder):
        for place in (os.path.join(at, name) for name in (*folders, *files)):
            if os.path.islink(place) and os.path.commonpath([root, target := os.path.realpath(place)]) != root:
                raise SnapshotError(f"{place} leads out of the directory, to {target}; copy that into its place")


def magic(path: Any, count: int = 64) -> bytes:
    """First bytes of a file, none of a directory or of what cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except (OSError, TypeError):
        return b""

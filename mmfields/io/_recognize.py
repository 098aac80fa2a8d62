"""Which code wrote a file, from its first bytes, its name and what lies in it; only headers are read."""

import os
import re
import struct
from typing import TYPE_CHECKING

from mmfields.conventions import SnapshotError
from mmfields.io import _hdf5

if TYPE_CHECKING:
    import h5py

HDF5 = b"\x89HDF\r\n\x1a\n"
VPIC = b"\x08\x02\x04\x04\x08\xfe\xca\xef\xbe\xad\xde"
PLUTO_NAME = re.compile(r"(?P<stem>.+)\.(?P<number>\d{4,9})\.(?P<kind>(?:dbl|flt)(?:\.h5)?|vtk)")
SIX_FIELDS = {"bx", "by", "bz", "ex", "ey", "ez"}
FROM_XARRAY = "open it as xr.open_dataset(path, engine={0!r}) with the package {1}, then mm.as_snapshot(ds)"
# First bytes of formats that other packages read.
OTHERS = {
    b"SDF1": "EPOCH's SDF: " + FROM_XARRAY.format("sdf_engine", "sdf-xarray"),
    b"FAB (": "a part of an AMReX plotfile: give its directory, which holds a file Header",
    b"ADIOS-BP": "a part of ADIOS2 output: give the directory that it lies in",
}


def recognized(path: str) -> str | None:
    """Engine of a file; None for what none of the engines on :mod:`mmfields.io._arrays` opens."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
        if not head.startswith(HDF5):
            return by_head(path, head)
        with _hdf5.opened(path) as file:
            return by_content(file)
    except (OSError, SnapshotError):
        return None


def by_head(path: str, head: bytes) -> str | None:
    """Engine by the first bytes and the name."""
    name = os.path.basename(path)
    if head.startswith(b"# vtk DataFile Version"):
        return "pluto" if b"\nPLUTO " in head else None
    if head.startswith(VPIC) or name.endswith(".vpc"):
        return "vpic"
    if (match := PLUTO_NAME.fullmatch(name)) and match["kind"] in ("dbl", "flt"):
        return "pluto"
    return "athena_bin" if athena_bin_sizes(path, head) else None


def by_content(file: "h5py.File") -> str | None:
    """Engine by what the root of an HDF5 file holds."""
    names = set(file)
    if any(re.fullmatch(r"Timestep_\d+", name) for name in names):
        return "pluto"
    if "LayoutRight" in file.attrs or "NGhosts" in file.attrs:
        return "entity"
    if {"NAME", "TIME", "ITER"} <= set(file.attrs) and "AXIS" in names:
        return "osiris"
    return "tristan" if names >= SIX_FIELDS else None


def athena_bin_sizes(path: str, head: bytes) -> tuple[int, int, int, int, int, int, int, int] | None:
    """Coordinate system, cells along x, y, z, variables, scalars, and whether there is gravity and are particles.

    None where they do not make the size of the file: the format has no other mark.
    """
    if len(head) < 32:
        return None
    numbers = struct.unpack("<8i", head[:32])
    system, nx, ny, nz, variables, scalars, gravity, particles = numbers
    possible = -3 <= system <= -1 and min(nx, ny, nz) > 0 and gravity in (0, 1) and particles in (0, 1)
    if not possible or not 0 <= scalars < variables <= 64:
        return None
    return numbers if athena_bin_real(os.path.getsize(path), numbers) else None


def athena_bin_real(size: int, numbers: tuple[int, ...]) -> int:
    """Bytes of a real number that make a file of this size; 0 where none does."""
    _, nx, ny, nz, variables, _, gravity, particles = numbers
    arrays = {variables + gravity, variables + gravity + 4 * particles}
    reals = {4 + nx + ny + nz + n * nx * ny * nz for n in arrays}
    return next((width for width in (4, 8) for count in reals if size == 32 + width * count), 0)


def remedy(path: str, head: bytes) -> str | None:
    """Advice for a file of a known format that is not read here; None for others."""
    for magic, advice in OTHERS.items():
        if head.startswith(magic):
            return f"{path} is {advice}"
    folder, name = os.path.split(path)
    if name.endswith("_H") and os.path.isfile(os.path.join(os.path.dirname(folder), "Header")):
        return f"{path} is a part of an AMReX plotfile: give its directory, {os.path.dirname(folder)}"
    if name == "var.dat" and os.path.isfile(os.path.join(folder, "dim.dat")):
        return (
            f"{path} is of the Pencil Code, which stores the vector potential: read it with its own "
            "pencil.read.var(magic=['bb'], trimall=True), then mm.io.from_arrays"
        )
    if re.fullmatch(r"grid\.out|(dbl|flt|vtk)(\.h5)?\.out", name):
        return f"{path} is a table that PLUTO writes beside its data: give the data file, such as data.0000.dbl"
    if head[:4] in (struct.pack("<i", 500), struct.pack("<i", 79), struct.pack("<i", 80)) or name.endswith(".out"):
        return f"{path} looks like BATSRUS output: open it with flekspy.load(path), then mm.as_snapshot(ds)"
    return None


def remedy_of_hdf5(file: "h5py.File") -> str | None:
    """As :func:`remedy`, for HDF5."""
    names, path = set(file), file.filename
    if "StructGridField" in names:
        return (
            f"{path} is of Gkeyll 1, which does not store the names of its components: take them from StructGridField "
            "(x first, components last) by the equations of the run, then mm.io.from_arrays"
        )
    if {"mrc_info", "mrc_io"} & names:
        return (
            f"{path} is of OpenGGCM (libmrc), whose grid is stretched: interpolate it onto a uniform one with the "
            "tools of the code, then mm.io.from_arrays"
        )
    if {"settings", "grid"} <= names and "time" in names:
        what = "holds no field, its group /data is missing" if "data" not in names else "stores the vector potential"
        return (
            f"{path} is of the Pencil Code and {what}: read a snapshot with its own pencil.read.var(magic=['bb'], "
            "trimall=True), then mm.io.from_arrays"
        )
    if any(name.startswith("level_") for name in names) or "Chombo_global" in names:
        return (
            f"{path} is of Chombo (as PLUTO refines): open it with yt.load(path) and make a uniform "
            "covering_grid of it, then mm.io.from_yt or mm.as_snapshot"
        )
    return None

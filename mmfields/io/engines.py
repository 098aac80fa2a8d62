"""Which engine opens a file: from its first bytes, then its suffix."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from xarray.backends import BackendEntrypoint

from mmfields.conventions import (
    ArgumentError,
    SnapshotError,
)
from mmfields.io._options import require_options
from mmfields.io._paths import is_url, plain, require_unpacked
from mmfields.io._recognize import by_content, by_head, remedy, remedy_of_hdf5
from mmfields.io._snapshot import NoFields, require_file
from mmfields.io.amrex import is_of_particles, is_plotfile

# engine: (module, class)
ENGINES = {
    "pegasus": ("mmfields.io.pegasus", "PegasusBackend"),
    "athdf": ("mmfields.io.athdf", "AthdfBackend"),
    "athena_vtk": ("mmfields.io.athena_vtk", "AthenaVtkBackend"),
    "athenak": ("mmfields.io.athenak", "AthenakBackend"),
    "openpmd": ("mmfields.io.openpmd", "OpenpmdBackend"),
    "jhtdb": ("mmfields.io.jhtdb", "JhtdbBackend"),
    "amrex": ("mmfields.io.amrex", "AmrexBackend"),
    "pluto": ("mmfields.io.pluto", "PlutoBackend"),
    "entity": ("mmfields.io.entity", "EntityBackend"),
    "tristan": ("mmfields.io.tristan", "TristanBackend"),
    "vpic": ("mmfields.io.vpic", "VpicBackend"),
    "osiris": ("mmfields.io.osiris", "OsirisBackend"),
    "athena_bin": ("mmfields.io.athena_bin", "AthenaBinBackend"),
}
MAGICS = {
    b"Pegasus++ binary output": "pegasus",
    b"# vtk DataFile Version": "athena_vtk",
    b"Athena binary output version=": "athenak",
    b"CDF\x01": "netcdf",
    b"CDF\x02": "netcdf",
}
# What to open instead of files that hold no numbers, or hold them in a form that is not read.
DESCRIPTIONS = {
    b"<Xdmf": "XDMF describes the numbers of another file: open that one, the .athdf or .h5 beside it",
    b"<VTKFile": "this is VTK in XML; only the legacy form (.vtk) is read: write that, or convert it with ParaView",
    b"CDF\x05": "netCDF of kind CDF-5 is not read: convert it with nccopy -k nc4",
}
HDF5 = b"\x89HDF\r\n\x1a\n"


def find_engine(path: str | os.PathLike[str]) -> str:
    """Name of the engine for a file or directory: from its first bytes, then its suffix.

    Raises
    ------
    SnapshotError
        If nothing fits, naming what was found.
    """
    path = plain(path)
    if is_url(path):
        return "zarr"
    require_file(path)
    if os.path.isdir(path):
        return _directory_engine(path)
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise SnapshotError(f"{path} is empty; copy it again")
    if head.startswith(b"{") and b'"refs"' in head[:64]:
        return "zarr"
    require_unpacked(path, head)
    if engine := by_head(path, head):
        return engine
    for magic, engine in MAGICS.items():
        if head.startswith(magic):
            return engine
    if head.startswith(HDF5):
        return "athdf" if path.endswith(".athdf") else _hdf5_engine(path)
    if os.path.basename(path) == "Header" and is_plotfile(path):
        return "amrex"
    for magic, what in DESCRIPTIONS.items():
        if magic in head[:128]:
            raise SnapshotError(f"{path}: {what}")
    raise SnapshotError(
        remedy(path, head)
        or f"{path}: the first bytes {head[:24]!r} belong to no format that is read ({', '.join(ENGINES)}, zarr, "
        "netCDF); name the engine with engine=... if you know better"
    )


def _directory_engine(path: str) -> str:
    names = set(os.listdir(path))
    if names & {"zarr.json", ".zgroup", ".zmetadata"} or names >= {"snapshots", "manifests"}:
        return "zarr"
    if "Header" in names:
        return "amrex"
    if os.path.isfile(os.path.join(above := os.path.dirname(path), "Header")):
        raise SnapshotError(f"{path} is a part of an AMReX plotfile: give its directory, {above}")
    if "md.idx" in names or path.endswith((".bp", ".bp4", ".bp5")):
        return "openpmd"
    if any(is_of_particles(os.path.join(path, name)) for name in sorted(names)):
        raise NoFields(f"{path} is a plotfile of particles alone: it holds no field, so it is no snapshot")
    raise SnapshotError(
        f"{path} is a directory, but neither a zarr store, an AMReX plotfile nor ADIOS2 output; "
        "give a file, or open_series('<directory>/*.<suffix>') for many"
    )


def _hdf5_engine(path: str) -> str:
    import h5py

    from mmfields.io import _hdf5
    from mmfields.io.jhtdb import is_cutout

    with _hdf5.opened(path) as file:
        if "openPMD" in file.attrs:
            return "openpmd"
        if "VariableNames" in file.attrs:
            return "athdf"
        if is_cutout(file):
            return "jhtdb"
        hard = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        if "_NCProperties" in file.attrs or any("CLASS" in file[name].attrs for name in hard):
            return "netcdf"
        if engine := by_content(file):
            return engine
        raise SnapshotError(
            remedy_of_hdf5(file)
            or f"{path} is HDF5, but of none of the formats that are read ({', '.join(ENGINES)}, netCDF); it holds "
            f"{list(file)[:10]}"
        )


def backend_of(engine: str, options: Mapping[str, Any]) -> type[BackendEntrypoint]:
    """The class of an engine, which must have the options given."""
    if engine not in ENGINES:
        raise ArgumentError(f"engine {engine!r}: one of {', '.join(ENGINES)}, zarr, netcdf is needed")
    module, name = ENGINES[engine]
    backend = getattr(import_module(module), name)
    require_options(engine, backend.open_dataset, options)
    return backend

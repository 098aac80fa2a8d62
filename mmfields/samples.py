"""The small real datasets that ship with mmfields."""

from pathlib import Path

import xarray as xr

from mmfields._types import Chunks
from mmfields.conventions import ArgumentError, SnapshotError
from mmfields.provenance import verb

__all__ = ["SAMPLES", "load", "path"]

SAMPLES = {
    "micromirrors": "mirror instability, hybrid PIC (WarpX), 48^3, two snapshots along time",
    "mhd_turbulence": "forced MHD turbulence without a mean field (Athena++), 64^3",
}


def path(name: str) -> Path:
    """Where a sample lies: in the installed package, or in ``data/`` of a checkout.

    Raises
    ------
    ArgumentError, SnapshotError
        If there is no such sample, or its file is missing.
    """
    if name not in SAMPLES:
        raise ArgumentError(f"no sample {name!r}; there are {', '.join(SAMPLES)}")
    return shipped(f"{name}.nc")


def shipped(name: str) -> Path:
    """Where a file that ships with mmfields lies.

    Raises
    ------
    SnapshotError
        If it is missing.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "data", here.parent / "data"):
        if (file := folder / name).exists():
            return file
    raise SnapshotError(f"{name} is in neither {here / 'data'} nor {here.parent / 'data'}; install mmfields again")


@verb
def load(name: str, chunks: Chunks = {}) -> xr.Dataset:  # noqa: B006  as open_snapshot; never mutated
    """Open a sample, lazily.

    Parameters
    ----------
    name : {"micromirrors", "mhd_turbulence"}
        ``micromirrors``: B/B0, n/n0 at two times, p_par and p_perp (of the last) in units of
        B0^2/mu0, lengths in ion inertial lengths; the normalization is in the attrs.
        ``mhd_turbulence``: B, u, rho in code units (unit box, sound speed 1).
    chunks : as for ``mm.open_snapshot``

    Returns
    -------
    xarray.Dataset
        Snapshot, periodic.

    Raises
    ------
    ArgumentError, SnapshotError
        If there is no such sample.
    """
    ds = xr.open_dataset(path(name), engine="h5netcdf", chunks=chunks).assign_attrs(source=f"the sample {name}")
    del ds.encoding["source"]  # where it is installed
    return ds


def __dir__() -> list[str]:
    return sorted(__all__)

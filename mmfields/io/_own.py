"""Zarr stores and netCDF files in the convention, whose faults come out as SnapshotError when they are read, too."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from mmfields._compat import (
    BackendArray,
    BasicIndexer,
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    data_of,
    explicit_indexing_adapter,
    in_memory,
)
from mmfields.conventions import SnapshotError
from mmfields.io import _hdf5
from mmfields.io._paths import is_url
from mmfields.io._remote import chunk_names
from mmfields.io.virtual import is_references, open_references

# netCDF's dimensions without coordinates are datasets that are never written.
DIMENSION_ONLY = b"This is a netCDF dimension but not a netCDF variable"


class Guarded(BackendArray):
    """Another backend's array, whose errors are raised as SnapshotError with the file and the variable."""

    def __init__(self, array: Any, where: str) -> None:
        self.array, self.where = array, where
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        try:
            return np.asarray(self.array[BasicIndexer(key)])
        except SnapshotError as error:
            raise SnapshotError(f"{self.where}: {error}; copy or write the file again") from error
        except Exception as error:
            advice = _hdf5.advice(error) or "it is damaged, copy or write it again"
            raise SnapshotError(f"{self.where} cannot be read ({type(error).__name__}: {error}); {advice}") from error


class OwnBackend(BackendEntrypoint):
    """Opens what ``mm.store`` and xarray's ``to_netcdf`` write, for :func:`mmfields.open_snapshot`."""

    description = "Snapshots in zarr and netCDF, as mmfields writes them"
    url = "https://docs.xarray.dev/en/stable/user-guide/io.html"

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None) -> xr.Dataset:
        """Open a zarr directory or a netCDF file; the caller reports what goes wrong."""
        path = os.fspath(filename_or_obj)
        if not is_url(path) and is_references(path):
            ds = open_references(path, drop_variables)
        elif is_url(path) or os.path.isdir(path):
            ds = _open_zarr(path, drop_variables)
        elif _hdf5.is_hdf5(path):
            with _hdf5.examined(path) as file:
                _require_own_data(file)
            ds = xr.open_dataset(path, engine="h5netcdf", chunks=None, drop_variables=drop_variables)
        else:
            ds = xr.open_dataset(path, engine="scipy", chunks=None, drop_variables=drop_variables)
        for name, variable in ds.variables.items():
            if name not in ds.indexes and variable.ndim and not in_memory(variable):
                guarded = LazilyIndexedArray(Guarded(data_of(variable), f"{path}: {name}"))
                wrapped = xr.Variable(variable.dims, guarded, variable.attrs, variable.encoding)
                ds = ds.assign_coords({name: wrapped}) if name in ds.coords else ds.assign({name: wrapped})
        return _with_time_of_coordinate(ds)


def _with_time_of_coordinate(ds: xr.Dataset) -> xr.Dataset:
    """The attribute ``time`` repeats the coordinate, which a user may have given anew before writing."""
    if "time" not in ds.coords or ds["time"].ndim or ds["time"].dtype.kind not in "fiu":
        return ds
    return ds.assign_attrs(time=float(ds["time"]))


def _require_own_data(group: Any) -> None:
    """All data of a netCDF file lie in it, under hard links, and were written."""
    import h5py

    for name in group:
        node = _hdf5.member(group, name)
        if isinstance(node, h5py.Group):
            _require_own_data(node)
        elif isinstance(node, h5py.Dataset):
            if node.is_virtual or node.external:
                raise SnapshotError(f"{node.name} keeps its data in another file; copy them into this one first")
            label = node.attrs.get("NAME", b"")
            bare = bytes(label if isinstance(label, bytes | np.bytes_) else str(label).encode())
            if node.shape is None:
                raise SnapshotError(f"{node.name} has no shape; the file is damaged, copy it again")
            if node.dtype.kind in "fiu" and not bare.startswith(DIMENSION_ONLY):
                _hdf5.dataset(group, name)


def _open_zarr(path: str, drop_variables: str | Iterable[str] | None) -> xr.Dataset:
    """A zarr store whose chunks are all there; their sizes are looked at before they are unpacked."""
    import zarr

    from mmfields.io._chunks import bounded, names_below, require_chunks

    names = chunk_names(path) if is_url(path) else names_below(path)
    group = zarr.open_group(path, mode="r")
    require_chunks(group, names)
    found: dict[str, Any] = {
        "consolidated": group.metadata.consolidated_metadata is not None,
        "drop_variables": drop_variables,
    }
    return xr.open_dataset(bounded(group), engine="zarr", chunks=None, **found)

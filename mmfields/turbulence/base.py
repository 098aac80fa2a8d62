"""What all fields that are evaluated at the particles have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmfields.conventions import SPATIAL, axis_spacing, boundary_attrs, require_plain_data, unit_carried
from mmfields.errors import ArgumentError, SnapshotError
from mmfields.identity import identity
from mmfields.provenance import verb


class Synthetic(ABC):
    """A field that ``mm.trace`` takes like a snapshot, and that is gridded only when asked.

    It has a ``mean_field`` (x, y, z) [field unit] and fluctuations of strength ``rms``.
    """

    mean_field: tuple[float, float, float]

    @property
    @abstractmethod
    def rms(self) -> float:
        """Of the fluctuations, all three components together, averaged over phases [field unit]."""

    @property
    @abstractmethod
    def shortest(self) -> float:
        """Shortest wavelength, in the length unit."""

    @property
    @abstractmethod
    def longest(self) -> float:
        """Longest wavelength, in the length unit."""

    @abstractmethod
    def correlation_length(self, convention: str = "one-sided") -> float:
        """Correlation length of this realization, averaged over directions; see :func:`correlation_length`."""

    @abstractmethod
    def modes_per_octave(self, k: float) -> float:
        """Waves between k/√2 and √2 k [rad per length unit]; infinite where every mode of a grid is there."""

    @abstractmethod
    def kernel_form(self) -> tuple[int, int]:
        """Number of the kernel's kind of field, and how many parts it has."""

    @abstractmethod
    def packed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Numbers as the kernel takes them."""

    @abstractmethod
    def label(self) -> str:
        """How it is evaluated, for the attrs of trajectories."""

    @property
    def units(self) -> dict[str, str]:
        """Attrs with the unit of the field."""
        return {"units": "1"}

    def limits(self) -> dict[str, tuple[float, float]]:
        """A cube of the longest wavelength, where particles start that are to be anywhere."""
        return dict.fromkeys(SPATIAL, (0.0, self.longest))

    def strength(self, kind: str) -> xr.DataArray:
        """Strength of the mean field (``mean``), or of the whole (``rms``) averaged over phases.

        Raises
        ------
        ArgumentError, SnapshotError
            If there is no mean field, or no such kind.
        """
        mean_square = float(np.sum(np.square(self.mean_field)))
        if kind not in ("mean", "rms"):
            raise ArgumentError(f"kind={kind!r}: 'mean' or 'rms' is needed")
        if kind == "mean":
            if mean_square == 0:
                raise SnapshotError("there is no mean field, no reference for a gyroradius: give reference_field='rms'")
            return xr.DataArray(mean_square**0.5)
        return xr.DataArray((mean_square + self.rms**2) ** 0.5)

    def at(self, x: Any, y: Any, z: Any) -> np.ndarray:
        """Field at positions of one shape.

        Parameters
        ----------
        x, y, z : array_like
            In the length unit.

        Returns
        -------
        (…, 3) float array
        """
        return _evaluate(self.packed(), self.kernel_form(), x, y, z)

    @verb
    def to_dataset(self, grid: xr.Dataset | Mapping[str, Any]) -> xr.Dataset:
        """Snapshot of the field on a grid, lazy where the grid is chunked.

        Parameters
        ----------
        grid : xarray.Dataset or mapping
            A snapshot or template whose ``x``, ``y``, ``z`` are taken, with its chunks; or the coordinates of two or
            three of them by name, ascending and even, in the order that the dims shall have.  An axis that it has as a
            single coordinate alone is taken there, one that it does not have at 0.

        Returns
        -------
        xarray.Dataset
            ``Bx By Bz``; its axes are ``open``, since waves of all lengths do not fit a box.

        Raises
        ------
        ArgumentError, SnapshotError
            If the grid has no spatial axes, or one is not even.
        """
        try:
            template = grid if isinstance(grid, xr.Dataset) else xr.Dataset(coords={d: (d, c) for d, c in grid.items()})
        except (AttributeError, ValueError) as error:
            raise ArgumentError(f"grid={grid!r}: a snapshot, or coordinates by axis, are needed ({error})") from error
        require_plain_data(template)
        dims = tuple(str(d) for d in template.dims if d in SPATIAL)
        if not dims:
            raise SnapshotError(f"grid has dims {tuple(template.dims)}: some of x, y, z are needed")
        for d in dims:
            axis_spacing(template, d)
        still = {d: template[d] for d in SPATIAL if d not in dims and d in template.coords and not template[d].ndim}
        places = [template[d].values if d in dims else np.full(1, float(still.get(d, 0.0))) for d in SPATIAL]
        chunks = {d: template.chunks[d] for d in dims if d in template.chunks}
        fields = _gridded(self, places, dims, chunks)
        out = xr.Dataset(coords={d: template[d] for d in (*dims, *still)})
        for i, d in enumerate(SPATIAL):
            out[f"B{d}"] = (dims, fields[i], {**self.units, "long_name": f"magnetic field along {d}"})
        return out.assign_attrs(code="mmfields", **boundary_attrs(dims, "open"), field=self.label())


def _evaluate(packed: Sequence[np.ndarray], form: tuple[int, int], x: Any, y: Any, z: Any) -> np.ndarray:
    from mmfields.kernels.batch import new_batch
    from mmfields.kernels.setup import new_setup
    from mmfields.kernels.sums import sample_sum
    from mmfields.kernels.waves import Octaves

    data, *parts = (np.asarray(p) for p in packed)
    kind, count = form
    for name, value in (("x", x), ("y", y), ("z", z)):
        if (unit := unit_carried(value)) is not None:
            raise ArgumentError(f"{name} is a Quantity in {unit}: plain numbers are needed, .to_value(...)")
    try:
        position = np.stack(np.broadcast_arrays(x, y, z), -1).astype(float, casting="same_kind")
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"positions x, y, z are no numbers of one shape ({error})") from error
    if not np.isfinite(position).all():
        raise ArgumentError("positions x, y, z are not finite")
    out = np.empty((position.size // 3, 3))
    for array in (data, *parts):
        array.flags.writeable = False
    if len(out):
        setup = new_setup((count, 1, 1), np.zeros(3), np.ones(3), np.zeros(3, int), kind)
        places = np.ascontiguousarray(position.reshape(-1, 3))
        sample_sum(new_batch(), setup, data, Octaves(*parts), places, out)
    return out.reshape(position.shape)


def _gridded(field: Synthetic, places: Sequence[np.ndarray], dims: Sequence[str], chunks: Mapping[str, Any]) -> Any:
    """The seam: components (3, *dims), a Dask array where chunks are given."""
    form = field.kernel_form()
    if not chunks:
        return _on_grid(*places, dims=tuple(dims), packed=field.packed(), form=form)
    import dask
    import dask.array as da

    arrays = [
        da.from_array(p, chunks=(chunks.get(d, -1),)) if d in dims else p for d, p in zip(SPATIAL, places, strict=True)
    ]
    items = [i for d, a in zip(SPATIAL, arrays, strict=True) for i in (a, d if d in dims else None)]
    return da.blockwise(
        _on_grid,
        "c" + "".join(dims),
        *items,
        dtype=np.float64,
        new_axes={"c": 3},
        meta=np.empty((0,) * (1 + len(dims))),
        dims=tuple(dims),
        packed=dask.delayed(type(field).packed)(field, dask_key_name=f"packed-{identity(field)}"),
        form=form,
    )


def _on_grid(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, *, dims: tuple[str, ...], packed: Any, form: tuple[int, int]
) -> np.ndarray:
    axes = dict(zip(SPATIAL, (x, y, z), strict=True))
    rank = len(dims)
    shaped = {d: axes[d].reshape([-1 if i == dims.index(d) else 1 for i in range(rank)]) for d in dims}
    rest = {d: axes[d].reshape((1,) * rank) for d in SPATIAL if d not in dims}
    values = _evaluate(packed, form, *(({**shaped, **rest})[d] for d in SPATIAL))
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))

"""``ds.mm``: the verbs that one reaches for most, on the Dataset itself.  Each calls the function of the same name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from mmfields._renamed import renamed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Verbs"]


@xr.register_dataset_accessor("mm")
class Verbs:
    """Verbs of mmfields on a snapshot, as ``ds.mm``; there from the first use of anything of mmfields on.

    Parameters
    ----------
    ds : xarray.Dataset

    Examples
    --------
    >>> import mmfields as mm
    >>> ds = mm.samples.load("micromirrors").isel(time=-1)
    >>> print(f"{float(ds.mm.scales().l_perp):.3g} d_i")
    6.87 d_i
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def filter(self, transfer: Any, *, direction: str | Sequence[float] | None = None) -> xr.Dataset:
        """As :func:`mmfields.fourier.filter`."""
        from mmfields import fourier

        return fourier.filter(self._ds, transfer, direction=direction)

    @renamed(names="variables")
    def spectra(self, variables: Sequence[str] = ("Bx", "By", "Bz")) -> xr.DataArray:
        """E(k), as :func:`mmfields.spectra.power`."""
        from mmfields import spectra

        return spectra.power(self._ds, variables)

    def scales(self, *, direction: str | Sequence[float] | None = None) -> xr.Dataset:
        """As :func:`mmfields.anisotropy.scales`."""
        from mmfields import anisotropy

        return anisotropy.scales(self._ds, direction=direction)

    def trace(self, particles: xr.Dataset, **options: Any) -> xr.Dataset:
        """As :func:`mmfields.trace`."""
        from mmfields import tracing

        return tracing.trace(self._ds, particles, **options)

    def plot(self, ax: "Sequence[Axes] | None" = None, *, variable: str | None = None) -> "list[Axes]":
        """Mid-planes, as :func:`mmfields.plot.slices`."""
        from mmfields import plot

        return plot.slices(self._ds, ax, variable=variable)

"""Types that public functions share, for checkers and for completion; nothing is imported at run time."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, Union

if TYPE_CHECKING:
    import xarray as xr
    from astropy.units import Quantity, UnitBase
    from numpy.typing import ArrayLike

Axis: TypeAlias = Literal["x", "y", "z"]
Direction: TypeAlias = str | Sequence[float]
# A number in the unit of the data, or with a unit of its own.
Number: TypeAlias = Union[float, "Quantity"]
Numbers: TypeAlias = Union["ArrayLike", "Quantity"]
# What 1 stands for.
UnitLike: TypeAlias = Union[str, "Quantity", "UnitBase"]
Density: TypeAlias = Union[str, float, "Quantity", "xr.DataArray"]
# "proton", "electron", or charge and mass.
Species: TypeAlias = str | tuple[int, Any]
Mass: TypeAlias = Union[str, "Quantity"]
Seeds: TypeAlias = Union[int, "ArrayLike", "xr.Dataset"]
Saved: TypeAlias = Union[int, Sequence[Any], "ArrayLike", "Quantity"]
Chunks: TypeAlias = int | Literal["auto"] | Mapping[Any, Any] | tuple[Any, ...] | None
Spectrum: TypeAlias = float | Callable[..., Any]


class Synthetic(Protocol):
    """What particles need to know of a field on no grid, such as plane waves."""

    def strength(self, kind: str, /) -> "xr.DataArray":
        """Strength of the mean field (``mean``), or of the whole (``rms``)."""


Field: TypeAlias = Union["xr.Dataset", Synthetic]

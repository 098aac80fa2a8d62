"""Axes, colours and labels that all figures share."""

from collections.abc import Sequence
from typing import Any

import xarray as xr

from mmfields.conventions import ArgumentError, SnapshotError, require_plain_data

# Okabe and Ito's colour-blind safe cycle, without its yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def new_axes(columns: int = 1, width: float = 5.0, height: float = 4.2, **options: Any) -> Any:
    """Axes of a new figure: one, or as many as there are columns."""
    from matplotlib import pyplot as plt

    _, axes = plt.subplots(
        1, columns, figsize=(width * columns, height), layout="constrained", squeeze=False, **options
    )
    return axes[0] if columns > 1 else axes[0, 0]


def require_drawable(data: Any, maker: str, *names: str, dims: Sequence[str] | None = None) -> None:
    """Refuse what was not made by `maker`.

    Raises
    ------
    ArgumentError, SnapshotError
        If it is no Dataset with all of `names` (no DataArray, where there are none), or has other dims than `dims`.
    """
    kind = xr.Dataset if names else xr.DataArray
    if not isinstance(data, kind):
        raise ArgumentError(f"what {maker} gives is drawn, a {kind.__name__}, not {type(data).__name__}")
    require_plain_data(data)
    if missing := [name for name in names if name not in data.variables]:
        raise SnapshotError(f"what {maker} gives is drawn; this lacks {missing} among {list(data.variables)}")
    if dims is not None and (extra := set(data.dims) - set(dims)):
        raise SnapshotError(f"dims {sorted(map(str, extra))} are too many: select one of each, ds.isel(...)")


def unit_label(array: xr.DataArray, fallback: str = "") -> str:
    """Unit in brackets for a label: the unit, else the normalization that '1' stands for, else `fallback`."""
    unit = array.attrs.get("units", "1")
    if unit in ("1", "rad"):
        unit = array.attrs.get("normalization", fallback)
    pretty = {
        "d_i": "$d_i$",
        "B0": "$B_0$",
        "n0": "$n_0$",
        "l_c": "$l_c$",
        "rad / m2": "rad m$^{-2}$",
        "rad / d_i": "rad / $d_i$",
    }
    return f" [{pretty.get(unit, unit)}]" if unit else ""

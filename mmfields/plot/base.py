"""Axes, colours and labels that all figures share."""

from typing import Any

import xarray as xr

# Okabe and Ito's colour-blind safe cycle, without its yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def new_axes(columns: int = 1, width: float = 5.0, height: float = 4.2, **options: Any) -> Any:
    """Axes of a new figure: one, or as many as there are columns."""
    from matplotlib import pyplot as plt

    _, axes = plt.subplots(
        1, columns, figsize=(width * columns, height), layout="constrained", squeeze=False, **options
    )
    return axes[0] if columns > 1 else axes[0, 0]


def unit_label(array: xr.DataArray, fallback: str = "") -> str:
    """Unit in brackets for a label: the unit, else the normalization that '1' stands for, else `fallback`."""
    unit = array.attrs.get("units", "1")
    if unit in ("1", "rad"):
        unit = array.attrs.get("normalization", fallback)
    pretty = {
        "d_i": "$d_i$",
        "B0": "$B_0$",
        "n0": "$n_0$",
        "rad / m2": "rad m$^{-2}$",
        "rad / d_i": "rad / $d_i$",
        "rad / (m)": "rad / m",
    }
    return f" [{pretty.get(unit, unit)}]" if unit else ""

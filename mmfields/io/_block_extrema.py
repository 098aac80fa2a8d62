"""Comparison of the numbers of a block with the minimum and maximum that its file states."""

from typing import Protocol

import numpy as np

from mmfields.conventions import SnapshotError


def require_extrema(
    where: str, values: np.ndarray, low: float, high: float, *, whole: bool, slack: float = 0.0
) -> None:
    """Refuse numbers beyond the stated extremes, and a whole block whose numbers do not reach them.

    Parameters
    ----------
    where : str
        File and block, named in the error.
    values : array
        Of the block; NaNs are left aside.
    low, high : float
        As stated; NaN states nothing.
    whole : bool
        Whether `values` are all of the block.
    slack : float
        Relative rounding of what is stated.

    Raises
    ------
    SnapshotError
        If the numbers are not those that were written.
    """
    least, greatest = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    if np.isnan([least, low, high]).any():
        return
    below, above = (slack * abs(v) if np.isfinite(v) else 0.0 for v in (low, high))
    within = least >= low - below and greatest <= high + above
    if not within or (whole and (least > low + below or greatest < high - above)):
        raise SnapshotError(
            f"{where}: numbers from {least!s} to {greatest!s} were read where its header states {low!s} to {high!s}; "
            "they are damaged, copy the file again"
        )


class Stated(Protocol):
    """What a file states of the numbers of its blocks."""

    def of(self, block: int) -> tuple[float, float, float]:
        """Least and greatest number of a block, and the relative rounding of these."""
        ...

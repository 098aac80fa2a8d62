"""History files (``.hst``) of the Athena family and PEGASUS++."""

import os
import re

import numpy as np
import xarray as xr

from mmfields.conventions import SnapshotError
from mmfields.io._paths import is_url, plain, require_unpacked
from mmfields.io._remote import resolved
from mmfields.io._snapshot import magic, require_file
from mmfields.provenance import verb


@verb
def read_history(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a ``.hst`` history of Athena, Athena++, AthenaK or PEGASUS++.

    A restarted run appends to its history; rows that a later segment computed again are dropped.

    Parameters
    ----------
    path : path

    Returns
    -------
    xarray.Dataset
        One float64 variable per column over the dim ``time``, under the names of the file.

    Raises
    ------
    SnapshotError
        If there is no header, or a row does not fit it.
    """
    path = plain(path)
    if is_url(path):
        path = resolved(path)
    if os.path.isdir(path):
        raise SnapshotError(f"{path} is a directory: give a .hst file")
    require_file(path)
    require_unpacked(path, magic(path, 512))
    with open(path, encoding="ascii", errors="replace") as file:
        text = file.read()
    lines = text.splitlines()
    if lines and not text.endswith("\n"):
        raise SnapshotError(
            f"{path}: line {len(lines)} does not end, so its last number may be cut; "
            "the file is truncated or still being written: remove that line"
        )
    names: list[str] = []
    rows: list[tuple[int, list[float]]] = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            pairs = re.findall(r"\[(\d+)\]\s*=\s*([^\[]+)", line)
            found = [name.strip() for _, name in pairs]
            if [int(column) for column, _ in pairs] != list(range(1, len(pairs) + 1)):
                raise SnapshotError(
                    f"{path}: line {number} numbers its columns {[c for c, _ in pairs][:9]}, not 1, 2, 3 ..."
                )
            if found and names and found != names:
                raise SnapshotError(f"{path}: line {number} announces other columns than before; split the file there")
            names = found or names
        elif line.strip():
            rows.append((number, _row(path, number, line, len(names))))
    if not names or not rows:
        raise SnapshotError(f"{path}: no '# [1]=time ...' header with rows after it; this is no history file")
    if len(set(names)) != len(names) or names[0] != "time":
        raise SnapshotError(f"{path}: columns {names[:5]}... must begin with time and be distinct")
    table = np.array([row for _, row in rows])
    if not np.isfinite(table[:, 0]).all():
        bad = rows[int(np.flatnonzero(~np.isfinite(table[:, 0]))[0])][0]
        raise SnapshotError(f"{path}: the time on line {bad} is not finite")
    # a row is kept unless a later row has the same or an earlier time, as after a restart
    later = np.minimum.accumulate(table[::-1, 0])[::-1]
    keep = np.append(table[:-1, 0] < later[1:], True)
    table = table[keep]
    variables = {name: ("time", table[:, i]) for i, name in enumerate(names) if i}
    return xr.Dataset(variables, {"time": ("time", table[:, 0])}, {"source": path})


def _row(path: str, number: int, line: str, columns: int) -> list[float]:
    try:
        values = [float(word) for word in line.split()] if "_" not in line else []
    except ValueError:
        values = []
    if not values or len(values) != columns:
        raise SnapshotError(
            f"{path}: line {number} holds {len(line.split())} columns or no numbers, the header announces {columns}"
        )
    return values

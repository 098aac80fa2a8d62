"""The snapshot convention: names, checks, grid, mean field and errors.

A snapshot is an :class:`xarray.Dataset` whose spatial dims are among ``x``, ``y``, ``z``
(in the order that the file stores), whose coordinates are uniform, ascending cell
centres, and whose vectors are ``Bx By Bz`` and so on.  A malformed snapshot or file is a
:class:`SnapshotError`, a wrong argument of a call an :class:`ArgumentError`.
"""

# ruff: noqa: F401  the names of all files here are those of the package

from mmfields.conventions.arrays import aligned, native, per_snapshot, stacked, widened
from mmfields.conventions.attrs import derived_units, stated_unit, unit_attrs, wavenumber_attrs
from mmfields.conventions.checks import (
    as_real,
    components,
    require_one_unit,
    require_plain_data,
    require_real,
    require_unpacked,
    spatial_dims,
)
from mmfields.conventions.frames import physical as physical
from mmfields.conventions.grid import (
    Grid,
    axis_spacing,
    boundaries,
    boundary_attrs,
    box,
    check,
    require_periodic,
    spacing,
)
from mmfields.conventions.kinds import (
    Labelled,
    array_of,
    dataset_of,
    of_array,
    of_fields,
    require_dataset,
    same_kind,
)
from mmfields.conventions.means import direction_of, mean, mean_direction, require_direction, unit_vector
from mmfields.conventions.means import mean_field as mean_field
from mmfields.conventions.numbers import (
    keys_of,
    require_number,
    require_plain,
    require_values,
    require_vector,
    require_whole,
    saved_lengths,
    unit_carried,
)
from mmfields.conventions.vocabulary import BOUNDARIES, FIELD_LINES, LONG_NAMES, MEAN_FIELD_FLOOR, SPATIAL
from mmfields.errors import ArgumentError, MmfieldsError, MmfieldsWarning, SnapshotError, warn

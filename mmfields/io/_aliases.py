"""What other programs call the variables, dims and units of a snapshot."""

import re
from collections.abc import Hashable, Mapping
from typing import Any

from mmfields.conventions import SPATIAL
from mmfields.io._snapshot import pressure_name

# Names in lower case with _ for every other sign: {d} is x, y, z, and {i} is 1, 2, 3.
VECTORS = {
    "B": (
        *("b{d}", "b_{d}", "b{i}", "b_{i}", "bcc{i}", "b{i}c", "bx{i}", "fb{i}", "mag{d}", "mag_{d}", "magnetic_{d}"),
        *("magnetic_field_{d}", "magnetic_field_b{d}", "magneticfield_{d}", "cell_centered_b_{d}", "b_field_{d}"),
        *("b{d}_field", "bfield_{d}", "bfield{d}", "magneticfield{d}", "magnetic_field_{i}", "mag{i}"),
    ),
    "E": (
        *("e{d}", "e_{d}", "e{i}", "e_{i}", "ecc{i}", "ex{i}", "fe{i}", "electric_{d}", "e_field_{d}"),
        *("electric_field_{d}", "electric_field_e{d}", "electricfield_{d}", "e{d}_field", "efield_{d}", "efield{d}"),
        *("electricfield{d}", "electric_field_{i}"),
    ),
    "u": (
        *("u{d}", "u_{d}", "v{d}", "v_{d}", "vel{d}", "vel{i}", "vel_{d}", "vx{i}", "velocity_{d}", "velocity{d}"),
        *("velocity_{i}", "bulk_velocity_{d}", "{d}_velocity"),
    ),
}
SCALARS = {
    "n": ("n", "number_density", "numberdensity", "derived_number_density"),
    "rho": ("rho", "dens", "density", "mass_density", "derived_mass_density"),
}
CENTRES = (
    *("{d}", "{d}_grid_mid", "{d}_mid", "{d}_centre", "{d}_center", "{d}_centres", "{d}_centers", "{d}c", "{d}_c"),
    *("{d}coor", "{d}coord", "{d}_cell", "{d}_axis", "{d}_t", "x{i}", "x{i}v", "x_{i}"),
)
EDGES = (
    *("{d}_grid", "{d}_f", "{d}f", "{d}_face", "{d}_faces", "{d}_edge", "{d}_edges", "{d}e", "{d}_e", "{d}_node"),
    *("{d}_nodes", "{d}_stag", "{d}_staggered", "{d}_outer", "{d}_left", "{d}_g", "{d}g", "x{i}f", "x{i}e"),
    *("{d}_interface", "{d}_interfaces", "{d}_vertex", "{d}_vertices", "{d}b", "{d}_b", "{d}_bnds", "{d}_u"),
)
TIMES = ("time", "t", "times", "current_time", "simulation_time", "sim_time")
# Names of curvilinear axes, and of the attrs that state such coordinates.
CURVED = {"r", "radius", "theta", "phi", "azimuth", "colatitude", "lon", "lat", "longitude", "latitude"}
CURVED_SYSTEMS = re.compile(r"spher|cylind|polar|schwarzschild|kerr|thetamode", re.IGNORECASE)
SYSTEMS = {"geometry", "coordinates", "coordinate_system", "coord_system", "metric", "simulation_metric"}
FREE = ("dimensionless", "unitless", "none", "-", "", "1", "normalized", "code", "arb. units", "a.u.")


def _spelled(patterns: Mapping[str, tuple[str, ...]] | tuple[str, ...]) -> dict[str, str]:
    """Every spelling, and the axis or the component that it stands for."""
    groups = patterns.items() if isinstance(patterns, Mapping) else [("", patterns)]
    return {
        pattern.format(d=d, i=i + 1): f"{stem}{d}"
        for stem, spellings in groups
        for pattern in spellings
        for i, d in enumerate(SPATIAL)
    }


CENTRE_OF, EDGE_OF, COMPONENTS = _spelled(CENTRES), _spelled(EDGES), _spelled(VECTORS)
SCALAR_OF = {spelling: name for name, spellings in SCALARS.items() for spelling in spellings}


def plain_name(name: Hashable) -> str:
    """A name as text; of a pair such as yt gives, the field without its kind."""
    return str(name[-1] if isinstance(name, tuple) and name else name)


def _bare(name: Hashable) -> str:
    name = re.sub(r"\s*[\[(][^\])]*[\])]$", "", plain_name(name))  # a unit behind the name, as in "Bx [T]"
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def canonical(name: Hashable) -> str | None:
    """Canonical name of a variable; None for one that has none, or that says of which species it is."""
    bare = _bare(name)
    if pressure := pressure_name(bare):
        return pressure[0] if not pressure[1] else None
    return COMPONENTS.get(bare) or SCALAR_OF.get(bare)


def axis_of(dim: Hashable, attrs: Mapping[Any, Any]) -> tuple[str, bool] | None:
    """Axis that a dim lies along, and whether its coordinate is of edges; None for another dim."""
    bare = _bare(dim)
    if bare in CENTRE_OF or bare in EDGE_OF:
        return (CENTRE_OF.get(bare) or EDGE_OF[bare]), bare not in CENTRE_OF
    stated = str(attrs.get("axis", "")).lower()  # of the CF conventions
    return (stated, "c_grid_axis_shift" in attrs) if stated in SPATIAL else None


def is_time(dim: Hashable, attrs: Mapping[Any, Any]) -> bool:
    """Whether a dim or a scalar is the time."""
    return _bare(dim) in TIMES or attrs.get("standard_name") == "time" or str(attrs.get("axis", "")) == "T"


def is_curved(dim: Hashable, attrs: Mapping[Any, Any]) -> bool:
    """Whether a dim is a curvilinear axis, judging by its name or by a unit of angle."""
    stated = str(attrs.get("units", attrs.get("unit", ""))).lower()
    return stated.startswith(("deg", "rad")) or (_bare(dim) in CURVED and "axis" not in attrs)


def curved_system(attrs: Mapping[Any, Any]) -> str | None:
    """The coordinates that attrs state, where they are not Cartesian."""
    stated = {str(value) for key, value in attrs.items() if _bare(key) in SYSTEMS}
    return next((value for value in sorted(stated) if CURVED_SYSTEMS.search(value)), None)

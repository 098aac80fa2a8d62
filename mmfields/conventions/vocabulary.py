"""Names of the snapshot convention."""

SPATIAL = ("x", "y", "z")
BOUNDARIES = ("periodic", "open", "reflecting")

# Below this ratio of |<B>| to B_rms a field has no meaningful mean direction.
MEAN_FIELD_FLOOR = 1e-3

# Attr ``kind`` of what mm.field_lines gives, and ``of`` of coefficients that follow from it.
FIELD_LINES = "field lines"

LONG_NAMES = {
    **{f"B{i}": f"magnetic field along {i}" for i in SPATIAL},
    **{f"E{i}": f"electric field along {i}" for i in SPATIAL},
    **{f"u{i}": f"bulk velocity along {i}" for i in SPATIAL},
    "n": "number density",
    "rho": "mass density",
    "p_par": "pressure along the magnetic field",
    "p_perp": "pressure across the magnetic field",
    **{f"P{i}{j}": f"pressure tensor, {i}{j}" for i in SPATIAL for j in SPATIAL if i <= j},
}

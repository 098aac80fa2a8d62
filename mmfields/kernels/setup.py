"""What all particles of a run have in common, as one record: the grid, its walls, and the rules of a step."""

from enum import IntEnum

import numpy as np


class Interpolation(IntEnum):
    """How values between cell centres are found; from WAVES on a field is on no grid."""

    NEAREST = 0
    LINEAR = 1
    CUBIC = 2
    FACES = 3
    WAVES = 4
    NESTED = 5
    FUNCTION = 6


class Wall(IntEnum):
    """What happens at the faces of the box."""

    PERIODIC = 0
    OPEN = 1
    REFLECTING = 2


class Pusher(IntEnum):
    """Pushers through an electric field too; NONE where there is no such field."""

    NONE = 0
    BORIS = 1
    HIGUERA_CARY = 2
    VAY = 3


class Patches(IntEnum):
    """Where scattering acts: nowhere, everywhere, where |B| is at least a threshold, where a mask is set."""

    NONE = 0
    UNIFORM = 1
    THRESHOLD = 2
    MASK = 3


# Particles whose memory is asked for ahead of use, in fields that fit into a large cache and in larger ones.
AHEAD, AHEAD_OF_LARGE, LARGE = 16, 64, 2**28

SETUP = np.dtype(
    (
        np.record,
        np.dtype(
            [
                *((name, "i8", 3) for name in ("cells", "begins", "extents", "walls")),
                *((name, "f8", 3) for name in ("low", "high", "inverse", "shift")),
                *((name, "i8") for name in ("interpolation", "ahead", "limited", "held", "pusher", "patches", "stop")),
                *((name, "f8") for name in ("inside", "outside", "threshold", "fraction")),
            ],
            align=True,
        ),
    )
)
"""``cells``, ``walls``, ``low``, ``high`` of the box, in x, y, z order; ``begins``, ``extents``: of the part that is in
memory, which is all of it unless ``limited``; ``inverse``, ``shift``: cells per length, and where the first centre
lies in cells; ``held``: particles may stop; ``inside``, ``outside``: scattering rates per path; ``fraction``: of the
local gyroradius that is a step, where positive; ``stop``: set from outside, the kernel ends and its result is void."""


def new_setup(cells, low, high, walls, interpolation, **rules) -> np.ndarray:
    """An array that holds one setup.

    Parameters
    ----------
    cells : sequence of int
        In x, y, z order, as the next.
    low, high : (3,) float arrays
        Faces of the box.
    walls : (3,) int array
    interpolation : Interpolation
    **rules
        Other fields of `SETUP`.
    """
    made = np.zeros(1, SETUP)
    made["cells"] = made["extents"] = cells
    made["low"], made["high"], made["walls"] = low, high, walls
    made["inverse"] = np.asarray(cells) / (np.asarray(high, float) - low)
    made["shift"] = low * made["inverse"] + 0.5
    made["interpolation"], made["ahead"] = interpolation, AHEAD
    for name, value in rules.items():
        made[name] = value
    return made

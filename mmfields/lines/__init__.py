"""What the lines of a field say: how neighbours part, where they are squashed, and what traps along them."""

from mmfields.lines.neighbours import separation, squashing
from mmfields.lines.seeds import neighbours, plane
from mmfields.lines.wells import sequence, trapped, wells

__all__ = ["neighbours", "plane", "separation", "sequence", "squashing", "trapped", "wells"]


def __dir__() -> list[str]:
    return sorted(__all__)

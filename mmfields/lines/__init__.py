"""Field lines: separation of neighbours, the squashing factor Q, and magnetic wells with what they trap."""

from mmfields.lines.neighbours import separation, squashing
from mmfields.lines.seeds import neighbours, plane
from mmfields.lines.wells import sequence, trapped, wells

__all__ = ["neighbours", "plane", "separation", "sequence", "squashing", "trapped", "wells"]


def __dir__() -> list[str]:
    return sorted(__all__)

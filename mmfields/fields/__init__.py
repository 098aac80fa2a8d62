"""Fields of one's own, and fields that add up: evaluated at the particles, on no grid or beside one."""

from mmfields.fields.adding import Sum, sum
from mmfields.fields.own import Analytic, analytic

__all__ = ["Analytic", "Sum", "analytic", "sum"]


def __dir__() -> list[str]:
    return sorted(__all__)

"""What a mirror- or firehose-unstable plasma is asked: scales, structure functions, pressures and patches."""

from mmfields.anisotropy.elongation import scale_anisotropy
from mmfields.anisotropy.increments import structure_function
from mmfields.anisotropy.lengths import LENGTHS, STRENGTHS, WAVENUMBERS, fluctuation, scales

__all__ = [
    "LENGTHS",
    "STRENGTHS",
    "WAVENUMBERS",
    "fluctuation",
    "scale_anisotropy",
    "scales",
    "structure_function",
]

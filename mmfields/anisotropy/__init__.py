"""What a mirror- or firehose-unstable plasma is asked: scales, structure functions, pressures and patches."""

from mmfields.anisotropy.lengths import LENGTHS, STRENGTHS, WAVENUMBERS, fluctuation, scales

__all__ = ["LENGTHS", "STRENGTHS", "WAVENUMBERS", "fluctuation", "scales"]

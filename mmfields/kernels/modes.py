"""Modes of a block of a spectrum, as the kernels take them."""

from collections import namedtuple

import numpy as np

Modes = namedtuple("Modes", "k0 k1 k2 n0 n1 n2")
"""Wavenumbers along the three axes (float arrays), and which of them are Nyquist ones (bool arrays): along the last
axis none but the last."""


def modes_of(k, nyquist) -> Modes:
    """Modes of up to three axes, of any shape each; missing ones are put first."""
    none = 3 - len(k)
    k, nyquist = ([np.ascontiguousarray(a).ravel() for a in arrays] for arrays in (k, nyquist))
    return Modes(*[np.zeros(1)] * none, *k, *[np.zeros(1, bool)] * none, *nyquist)


def rows_of(modes, part) -> Modes:
    """Modes of a slice of the first axis."""
    return modes._replace(k0=modes.k0[part], n0=modes.n0[part])

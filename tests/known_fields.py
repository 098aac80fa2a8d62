"""Fields whose lines are known."""

import numpy as np
import xarray as xr

import mmfields as mm


def waves(k, a, phase, mean=(0.0, 0.0, 0.0)):
    """Plane waves by hand: wavevectors and amplitudes (n, 3), phases."""
    names = dict(zip(("kx", "ky", "kz"), np.transpose(k), strict=True)) | dict(
        zip(("ax", "ay", "az"), np.transpose(a), strict=True)
    )
    table = xr.Dataset({n: ("mode", np.asarray(v, float)) for n, v in names.items()} | {"phase": ("mode", phase)})
    return mm.turbulence.PlaneWaves(table, mean)


def beltrami(k=1.0):
    """(cos kz, -sin kz, 0): straight lines that turn with height, as two waves."""
    return waves([(0, 0, k), (0, 0, k)], [(1, 0, 0), (0, 1, 0)], [0.0, np.pi / 2])


def helix(k=2.0, mean=0.75):
    return waves([(0, 0, k), (0, 0, k)], [(1, 0, 0), (0, 1, 0)], [0.0, np.pi / 2], (0.0, 0.0, mean))


def abc(n=64, a=1.0, b=0.8, c=0.6):
    """Arnold-Beltrami-Childress field on a grid of one period, and its values anywhere."""

    def at(x, y, z):
        return np.stack(
            [
                a * np.sin(z) + c * np.cos(y) + 0 * x,
                b * np.sin(x) + a * np.cos(z) + 0 * y,
                c * np.sin(y) + b * np.cos(x) + 0 * z,
            ]
        )

    h = 2 * np.pi / n
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) * h] * 3, indexing="ij")
    fields = dict(zip(("Bx", "By", "Bz"), at(x, y, z), strict=True))
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", h), dims=("z", "y", "x")), at

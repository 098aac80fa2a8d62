"""Small fields to trace through, and runs that are made in two ways."""

import numpy as np

import mmfields as mm

SPACING = {"z": 0.5, "y": 1.0, "x": 0.25}
MIXED = {"x": "open", "y": "reflecting", "z": "periodic"}
WALLED = {"x": "reflecting", "y": "open", "z": "open"}


def uniform(strength=1.0, n=4):
    shape = (n, n, n)
    return mm.io.from_arrays(
        Bx=np.zeros(shape), By=np.zeros(shape), Bz=np.full(shape, strength), spacing=dict.fromkeys("xyz", 1.0)
    )


def one(x=0.0, y=0.0, z=0.0, v=(1.0, 0.0, 0.0), **options):
    return mm.particles.from_arrays(x=[x], y=[y], z=[z], vx=[v[0]], vy=[v[1]], vz=[v[2]], **options)


def snapshot(boundary="periodic", electric=False, shape=(24, 30, 40)):
    rng = np.random.default_rng(3)
    fields = {f"B{c}": rng.normal(m, 1.0, shape).astype(np.float32) for c, m in zip("xyz", (1, -2, 0.5), strict=True)}
    if electric:
        fields |= {f"E{c}": rng.normal(0.0, 0.1, shape).astype(np.float32) for c in "xyz"}
    fields["hot"] = (np.abs(fields["Bx"]) > 1.2).astype(np.uint8)
    return mm.io.from_arrays(**fields, spacing=SPACING, dims=("z", "y", "x"), boundary=boundary)


def same(ds, block=20, n=100, beta_gamma=np.inf, **options):
    """Both ways to the bit; trajectories."""
    p = mm.particles.isotropic(n, gyroradius=[3.0, 10.0], seed=1, field=ds, reference_field=1.0, beta_gamma=beta_gamma)
    whole = mm.trace(ds, p, **options).compute()
    chunked = ds.chunk({d: n for d, n in {"z": 7, "y": 13, "x": 17}.items() if d in ds.dims})
    lazy = mm.trace(chunked, p, block=block, **options)
    divided = lazy.compute()
    for name in whole.data_vars:
        if name != "B_rms" and not name.startswith("mean"):  # sums over chunks
            np.testing.assert_array_equal(divided[name], whole[name], err_msg=name)
    return whole


def wavy(n=12, boundary="periodic"):
    """A divergence-free field of three low modes, cell-centred, with its values anywhere."""
    k = 2 * np.pi / n

    def at(x, y, z):
        return np.stack(
            [2 + np.sin(k * y + 0.3) + 0 * x, np.cos(2 * k * z) + 0 * x, 0.5 * np.sin(k * x + k * y) + 0 * z], -1
        )

    z, y, x = np.meshgrid(*[np.arange(n) + 0.5] * 3, indexing="ij")
    fields = dict(zip(("Bx", "By", "Bz"), np.moveaxis(at(x, y, z), -1, 0), strict=True))
    return mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"), boundary=boundary), at

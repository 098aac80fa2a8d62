"""Million steps per second of the tracing kernel, alone and under Dask, over a plain reference loop."""

import time

import dask
import numpy as np

import mmfields as mm


def main() -> None:
    rng = np.random.default_rng(0)
    for n in (64, 256):
        fields = {f"B{c}": rng.normal(size=(n, n, n)).astype(np.float32) for c in "xyz"}
        ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0))
        p = mm.particles.isotropic(256, gyroradius=5.0, seed=1, field=ds, reference_field=1.7)
        rates = {}
        for threads in (1, 2):
            with dask.config.set(scheduler="threads", num_workers=threads):
                mm.trace(ds, p, step=0.5, distance=5.0, save=1).x.compute()
                began = time.perf_counter()
                mm.trace(ds, p, step=0.5, distance=5000.0, save=1).x.compute()
                rates[threads] = 256 * 1e4 / (time.perf_counter() - began) / 1e6
        print(f"{n}^3: {rates[1]:.1f} million steps/s on one thread, two threads {rates[2] / rates[1]:.2f} times that")


if __name__ == "__main__":
    main()

"""The one copy of a field that tasks share."""

import dask

import mmfields as mm
from mmfields.tracing import packing


def test_tracing_is_lazy_and_the_field_is_packed_once(turbulent, no_compute):
    lazy = turbulent.chunk(z=3)
    p = mm.particles.isotropic(64, gyroradius=[1.0, 2.0], seed=1, field=lazy)
    tr = mm.trace(lazy, p, step=0.1, distance=5.0, save=2, particles_per_task=4)
    assert tr.x.dims == ("gyroradius", "particle", "path")
    with dask.config.set(scheduler="synchronous"):
        calls = []
        pack = packing._pack
        packing._pack = lambda *parts, **options: calls.append(1) or pack(*parts, **options)
        try:
            packing.latest.copies.clear()  # another test may have traced the same
            again = mm.trace(lazy, p, step=0.1, distance=5.0, save=2, particles_per_task=4)
            again.x.compute()
        finally:
            packing._pack = pack
    assert len(calls) == 1

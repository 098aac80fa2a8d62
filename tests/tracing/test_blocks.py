"""How a field is divided."""

import dask.array as da
import numpy as np
import pytest
from small_fields import snapshot

import mmfields as mm
from mmfields.cluster.shared import view
from mmfields.tracing import blocks as blocks_of
from mmfields.tracing import hands, packing, rounds


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("periodic", [True, False])
def test_blocks_cover_the_field_with_their_halos(periodic, extra, tmp_path):
    shape = (24, 30, 41)
    plan = blocks_of.Plan(shape, (periodic,) * 3, 12)
    cells = np.arange(np.prod([n + extra for n in shape])).reshape([n + extra for n in shape])
    for axis, n in enumerate(shape):  # faces of a periodic axis: the last is the first
        if periodic and extra:
            cells[(slice(None),) * axis + (n,)] = cells[(slice(None),) * axis + (0,)]
    parts = [da.from_array(c * cells, chunks=chunks) for c, chunks in ((1, 7), (2, (25, 8, 42)), (3, 50))]
    mask = da.from_array((cells[: shape[0], : shape[1], : shape[2]] % 3).astype(np.uint8), chunks=10)
    form = packing.Form(("Bx", "By", "Bz"), np.float64, (), False)
    field, electric, marks = blocks_of.divided(parts, mask, form)
    blocks = rounds.written_blocks(field, marks, plan, form, str(tmp_path), hands.Here())
    assert electric is None
    everywhere = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)[:, ::-1]
    homes = plan.home(everywhere)
    assert set(homes) == set(range(len(blocks))) == set(range(len(plan.regions)))
    for number, (begins, extents) in enumerate(plan.regions):
        index = [(np.arange(m) + b) % n for b, m, n in zip(begins, extents, shape, strict=True)]
        longer = [np.append(i, i[-1] + 1) if extra else i for i in index]
        magnetic, electric, marked = blocks[number]
        data = view(*magnetic)[:-1].reshape(*(m + extra for m in extents), 3)
        np.testing.assert_array_equal(data, cells[np.ix_(*longer)][..., None] * [1, 2, 3])
        np.testing.assert_array_equal(view(*marked)[:-1].reshape(extents), (cells % 3)[np.ix_(*index)])
        assert electric is None
        own = everywhere[homes == number]
        for a in range(3):  # with two cells on either side, for a cubic spline
            near = own[:, 2 - a][:, None] + np.arange(-2, 3)
            near = near % shape[a] if periodic else np.clip(near, 0, shape[a] - 1)
            assert np.isin(near, index[a]).all()


def test_nothing_is_computed_before(no_compute):
    ds = snapshot().chunk(z=7)
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    for interpolation in ("linear", "cubic"):
        assert mm.trace(ds, p, step=0.2, distance=5.0, block=12, interpolation=interpolation).x.chunks


def test_what_cannot_be_divided_says_so():
    ds = snapshot()
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    with pytest.raises(mm.ArgumentError, match="needs the modes of the whole field: leave block out"):
        mm.trace(ds, p, step=0.2, distance=5.0, block=12, interpolation="spectral")
    with pytest.raises(mm.ArgumentError, match=r"block=7.*8"):
        mm.trace(ds, p, step=0.2, distance=5.0, block=7)
    waves = mm.turbulence.plane_waves(10, k_min=1.0, k_max=10.0, seed=1)
    with pytest.raises(mm.ArgumentError, match="a field on no grid is not divided"):
        mm.trace(waves, p, step=0.2, distance=5.0, block=12)
    holed = ds.assign(By=ds.By.where((ds.x != ds.x[38]) | (ds.z > ds.z[0]) | (ds.y > ds.y[0])))
    for interpolation in ("linear", "cubic"):
        with pytest.raises(mm.SnapshotError, match=r"By is not finite at \(z, y, x\) = \(0, 0, 38\)"):
            mm.trace(holed, p, step=0.2, distance=5.0, block=12, interpolation=interpolation).x.compute()

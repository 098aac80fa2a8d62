"""What the network sees of trajectories in a box with walls."""

import numpy as np
import pytest

import mmfields as mm

NU = 0.05


def traced(boundary, strength=1e-6, pusher=None, n=60):
    zero = np.zeros((4, 4, 4))
    fields = {"Bx": zero, "By": zero, "Bz": zero + strength, **{f"E{d}": zero for d in "xyz"}}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 3.0), boundary=boundary)
    p = mm.particles.isotropic(n, gyroradius=1.0, seed=1, field=ds, reference_field=1.0, beta_gamma=0.3)
    slow = 0.3 / np.hypot(1, 0.3) if pusher else 1.0
    more = {"pusher": pusher, "light_speed": 1.0} if pusher else {}
    model = mm.scattering.small_angle(nu=NU)
    return mm.trace(ds, p, step=0.5 / slow, distance=20.0 / slow, save=20, scattering=model, **more).compute()


def test_steps_that_do_not_count_are_nan():
    free = mm.estimators.features(traced("periodic"))
    assert np.isfinite(free).all()
    tr = traced({"x": "open", "z": "reflecting"})
    seen = mm.estimators.features(tr)
    gone = ~tr.alive.isel(path=slice(1, None)).values | (np.diff(tr.reflections, axis=1) > 0)
    assert 0.1 < gone.mean() < 0.9
    np.testing.assert_array_equal(np.isnan(seen), np.broadcast_to(gone[..., None], seen.shape))
    # the deflections of those that count are those of scattering alone
    angle = np.exp(seen[..., 1][~gone]) - 1e-6
    assert angle.mean() == pytest.approx(NU, rel=0.15)
    nowhere = tr.assign(mu=tr.mu.where(tr.path != 3.0))
    assert np.isnan(mm.estimators.features(nowhere)[:, 2:4]).all()


def test_slow_particles_look_as_fast_ones():
    """In light's path their steps are longer; in their own they are the same."""
    fast, slow = traced("periodic"), traced("periodic", pusher="vay")
    np.testing.assert_allclose(mm.estimators.features(slow), mm.estimators.features(fast), atol=2e-3)


def test_the_network_leaves_out_what_does_not_count():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    learnt = mm.estimators.LSTMDiffusion.load()
    tr = traced({"x": "periodic", "z": "open"})
    found = learnt.predict(tr)
    last = tr.alive.sum("path").values
    for i in range(10):
        if last[i] > 3:
            alone = tr.isel(particle=[i], path=slice(0, int(last[i])))
            np.testing.assert_allclose(found[i], learnt.predict(alone)[0], rtol=1e-4)
    assert np.isnan(found.values[last < 2]).all()

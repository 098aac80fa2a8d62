"""Momentum diffusion of random walks whose coefficients are known, and of a box that accelerates steadily."""

import numpy as np
import pytest
import xarray as xr

import mmfields as mm

RATE, STEP = 2e-3, 0.5


def walks(particles=3000, saves=41, seed=1):
    """Momenta that diffuse isotropically with D_pp = RATE p²: log p drifts by 3 RATE and spreads by 2 RATE."""
    rng = np.random.default_rng(seed)
    steps = 3 * RATE * STEP + np.sqrt(2 * RATE * STEP) * rng.normal(size=(particles, saves - 1))
    momentum = np.exp(np.concatenate([np.zeros((particles, 1)), np.cumsum(steps, axis=1)], axis=1))
    dims, flat = ("particle", "path"), np.zeros((particles, saves))
    scalars = {"mean_Bx": 0.0, "mean_By": 0.0, "mean_Bz": 1.0, "B_rms": 1.0}
    variables = {name: (dims, flat) for name in "xyz"} | {"momentum": (dims, momentum)}
    return xr.Dataset({**variables, **scalars}, {"path": STEP * np.arange(saves)}, {"path_kind": "light"})


def test_drift_and_diffusion_of_a_known_walk():
    tr = walks()
    found = mm.transport.momentum_diffusion(tr, edges=np.geomspace(0.6, 1.8, 9))
    wanted = {"D_pp": RATE * found.p**2, "drift": 4 * RATE * found.p}
    for name, law in wanted.items():
        off = (found[name] - law) / np.hypot(found[f"{name}_error"], 0.02 * law)  # bins are wide, pairs far apart
        assert (abs(off) < 4).all() and (abs(off) < 2).mean() > 0.8
    assert int(found.pairs.sum()) <= tr.sizes["particle"] * 40


def test_errors_are_the_scatter_of_repeats():
    edges = [0.9, 1.1]
    runs = [mm.transport.momentum_diffusion(walks(200, 11, seed), edges=edges) for seed in range(60)]
    for name in ("D_pp", "drift"):
        values = np.array([float(r[name].item()) for r in runs])
        stated = np.mean([float(r[f"{name}_error"].item()) for r in runs])
        assert values.std(ddof=1) == pytest.approx(stated, rel=0.3)


def test_lag_chunks_and_those_who_have_left():
    tr = walks(400, 21)
    edges = np.geomspace(0.5, 2, 5)
    eager = mm.transport.momentum_diffusion(tr, lag=3, edges=edges)
    lazy = mm.transport.momentum_diffusion(tr.chunk(particle=70), lag=3, edges=edges)
    assert lazy.D_pp.chunks is not None
    xr.testing.assert_allclose(eager, lazy.compute(), rtol=1e-12)
    alive = xr.DataArray(np.ones((400, 21), bool), dims=("particle", "path"))
    alive[200:, 5:] = False
    gone = tr.assign(alive=alive, momentum=tr.momentum.where(alive, 1e3))
    stayed = mm.transport.momentum_diffusion(gone, edges=[0.0, 1e6])
    assert int(stayed.pairs.sum()) == 200 * 20 + 200 * 4
    assert float(stayed.D_pp.item()) < 10 * RATE


def test_steady_acceleration_is_drift():
    """Along a uniform E, gamma grows by E s: p of a fast particle that moves along it too."""
    strength = 0.01
    fields = {f"{a}{d}": np.full((4, 4, 4), strength * (a + d == "Ez") + (a + d == "Bz")) for a in "EB" for d in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    start = dict.fromkeys(("x", "y", "z"), np.full(3, 0.5)) | dict.fromkeys(("vx", "vy"), np.zeros(3))
    p = mm.particles.from_arrays(**start, vz=np.ones(3), gyroradius=1.0, beta_gamma=1e4, reference_field=1.0)
    tr = mm.trace(ds, p, step=0.1, distance=10.0, save=10, pusher="boris", light_speed=1.0)
    found = mm.transport.momentum_diffusion(tr, edges=[0.5, 2.0]).compute()
    assert float(found.drift.item()) == pytest.approx(strength, rel=1e-6)
    assert float(found.drift_error.item()) < 1e-12


def test_what_is_missing_is_refused():
    tr = walks(10, 5)
    with pytest.raises(mm.SnapshotError, match="momentum"):
        mm.transport.momentum_diffusion(tr.drop_vars("momentum"))
    with pytest.raises(mm.ArgumentError, match="edges"):
        mm.transport.momentum_diffusion(tr, edges=[1.0, 0.5])
    with pytest.raises(mm.SnapshotError, match="lag"):
        mm.transport.momentum_diffusion(tr, lag=9)

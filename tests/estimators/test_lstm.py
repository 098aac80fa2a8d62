"""The network: it learns, its files come back, labels at random teach it nothing."""

import numpy as np
import pytest

import mmfields as mm

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")
est = mm.estimators
torch.set_num_threads(1)  # several wait for each other where other tests run beside


def error(kappa, truth):
    off = np.log10(np.asarray(kappa) / truth)
    return float(np.sqrt((off[np.isfinite(off)] ** 2).mean()))


@pytest.fixture(scope="module")
def sets():
    tr = est.two_phase(1000, steps=60, seed=1)
    return tr.isel(particle=slice(0, 800)), tr.isel(particle=slice(800, None))


@pytest.fixture(scope="module")
def learnt(sets):
    return est.LSTMDiffusion().fit(sets[0], seed=0)


def test_it_has_the_size_that_is_stated(learnt):
    assert sum(p.numel() for p in learnt.network.parameters() if p.requires_grad) == 4769


def test_it_beats_displacements_and_comes_near_the_likelihood(sets, learnt):
    test = sets[1]
    truth = test.kappa.values
    own = error(learnt.predict(test), truth)
    assert own < error(est.mean_squared_displacement(test).kappa, truth) / 5
    assert own < 1.5 * error(est.maximum_likelihood(test).kappa, truth)
    assert own < 0.75 * np.log10(truth).std()


def test_labels_at_random_teach_nothing(sets):
    train, test = sets
    labels = np.random.default_rng(0).permutation(train.kappa.values)
    found = est.LSTMDiffusion().fit(train, labels, seed=0).predict(test)
    assert error(found, test.kappa.values) > 0.9 * np.log10(test.kappa.values).std()


def test_files_come_back(tmp_path, sets, learnt):
    path = learnt.save(tmp_path / "net.safetensors")
    assert path.stat().st_size < 50_000
    again = est.LSTMDiffusion.load(path)
    np.testing.assert_array_equal(again.predict(sets[1]), learnt.predict(sets[1]))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(mm.SnapshotError, match="no file of"):
        est.LSTMDiffusion.load(path)
    with pytest.raises(mm.SnapshotError, match="no file of"):
        est.LSTMDiffusion.load(tmp_path / "missing")


def test_the_same_seed_gives_the_same_network(sets):
    few = sets[0].isel(particle=slice(0, 60))
    a, b = (est.LSTMDiffusion().fit(few, seed=4).predict(sets[1]) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_what_is_not_possible_is_refused(sets):
    with pytest.raises(mm.ArgumentError, match="learnt nothing"):
        est.LSTMDiffusion().predict(sets[1])
    with pytest.raises(mm.SnapshotError, match="positive kappa"):
        est.LSTMDiffusion().fit(sets[0], -sets[0].kappa, seed=1)


def test_the_network_that_ships_judges_media_it_has_not_seen():
    learnt = est.LSTMDiffusion.load()
    test = est.two_phase(400, steps=100, seed=4242)
    truth = test.kappa.values
    own = error(learnt.predict(test), truth)
    assert own < error(est.mean_squared_displacement(test).kappa, truth) / 5
    assert own < 1.3 * error(est.maximum_likelihood(test).kappa, truth)
    assert mm.samples.shipped("lstm.safetensors").stat().st_size < 50_000

"""Who works on the blocks says how far they are."""

import sys
import time

import dask
import numpy as np
import pytest
from small_fields import snapshot

import mmfields as mm


@pytest.mark.parametrize("local", [False, True])
def test_a_bar_says_how_far_a_trace_in_blocks_is(tmp_path, monkeypatch, local):
    """It is one task, so that a bar that counts tasks stands still."""
    import tqdm.auto

    drawn = []

    class Bar(tqdm.auto.tqdm):
        def update(self, n=1):
            super().update(n)
            if self.unit == "%":
                drawn.append(self.n)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ds = snapshot().chunk(z=7)
    p = mm.particles.isotropic(50, gyroradius=[3.0, 10.0], seed=1, field=ds, reference_field=1.0)
    options = {"local_field": True, "step_unit": "local"} if local else {}
    mm.store(mm.trace(ds, p, block=12, step=0.2, distance=30.0, save=1, **options), tmp_path / "a.zarr")
    assert sorted(drawn) == drawn and drawn[-1] == 100.0
    assert len(drawn) > 10 and 5 < np.interp(0.5, np.linspace(0, 1, len(drawn)), drawn) < 95
    assert not mm.cluster.progress._listeners


def test_a_bar_is_for_the_tasks_that_one_waits_for():
    """Others trace with the same scheduler."""
    from dask.distributed import Client

    shown = []
    with Client(processes=False, n_workers=1, dashboard_address=None) as client:
        task = dask.delayed(abs)(-1)
        with pytest.MonkeyPatch.context() as patch, mm.cluster.progress.bars([task], client, shown=False):
            patch.setattr("tqdm.auto.tqdm.update", lambda self, n: shown.append(n))
            for _ in range(200):
                for key in ("of somebody else", str(task.key)):
                    client.log_event(mm.cluster.progress.TOPIC, {"run": key, "what": "a", "share": 0.5, "task": key})
                if shown:
                    break
                time.sleep(0.05)
    assert set(shown) <= {50.0, 0.0} and shown[0] == 50.0

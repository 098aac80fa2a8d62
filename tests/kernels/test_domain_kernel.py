"""Particles through parts of a field."""

import numpy as np
import pytest
from kernel_runs import OPEN, REFLECTING, flat, new_batch, particles_of, plan_of, room, run, setup_of

from mmfields.kernels.domain import trace_domain
from mmfields.kernels.trace import Fields

KINDS = "always", "walled"


@pytest.mark.parametrize(("fraction", "longest"), [(0.0, 0.5), (0.2, 0.5)], ids=["fixed", "local"])
def test_parts_of_a_field_give_what_the_whole_does(fraction, longest):
    """Two halves with a cell of the other on either side, between which particles go until they have arrived."""
    rng = np.random.default_rng(2)
    field = rng.normal(size=(3, 4, 12, 3))
    n, walls = 5, (0, REFLECTING, OPEN)
    place, direction = rng.uniform(0, (12, 4, 3), (n, 3)), rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    waiting = particles_of(place, direction, 2.0, longest)
    plan, rules = plan_of([0.0, 2.0, 3.0], [0.0, 2.0, 5.0], [0, 4, 6]), {"fraction": fraction, "held": True}
    whole, found = room((n, 3), *KINDS), room((n, 3), *KINDS)
    run(field, setup_of((3, 4, 12), walls, **rules), waiting.copy(), plan, whole)
    waiting["bx"] = waiting["by"] = waiting["bz"] = 1.0  # the first look is at the start
    who, rounds = np.arange(n), 0
    while len(who):
        begin = 5 if rounds % 2 else 11  # cells 11 to 6, and 5 to 0
        cells = (np.arange(8) + begin) % 12
        setup = setup_of((3, 4, 12), walls, **rules, limited=True, begins=(begin, 0, 0), extents=(8, 4, 3))
        fields = Fields(flat(field[:, :, cells]), None, None, None)
        saved, of = trace_domain(new_batch(), setup, fields, waiting, plan, room((1, 1), *KINDS))
        for rows, part in zip(found, saved, strict=True):
            if rows.size:
                rows[who[of[:, 0]], of[:, 1]] = part[: len(of), 0]
        on = waiting["save"] < 3
        assert not on.any() or not np.isin(waiting["goal"][on, 0], cells[:-1]).any()
        who, waiting, rounds = who[on], waiting[on], rounds + 1
    assert rounds > 1
    for name in KINDS:
        for field_of in getattr(whole, name).dtype.names:
            np.testing.assert_array_equal(getattr(found, name)[field_of], getattr(whole, name)[field_of])

"""Field lines through one part of a field: each goes on until it is done, or until it needs cells that lie elsewhere.

The arithmetic of every step is that of :mod:`~mmfields.kernels.lines`; here each lane of a batch keeps its own count,
in pairs of steps, since the estimate of the error looks at two of them.
"""

import numpy as np

from mmfields.kernels._jit import entry, kernel
from mmfields.kernels.batch import LANES
from mmfields.kernels.lines import (
    BEGIN,
    LOOK,
    SEED,
    end_some,
    end_where_no_field,
    has_walls,
    load_seeds,
    run_stages,
    save_line,
)
from mmfields.kernels.vectors import told_to_stop
from mmfields.kernels.waves import new_levels

LINE = np.dtype(
    (
        np.record,
        np.dtype(
            [*((n, SEED[n]) for n in SEED.names or ()), ("save", "i8"), ("due", "i8"), ("goal", "i4", 3)],
            align=True,
        ),
    )
)
"""A line between blocks.  ``save``: saved points behind it.  ``due``: pairs of steps before the next.  ``goal``: cells,
in x, y, z order, that it needs."""


@kernel()
def load_lines(b, lines, first):
    """Lines from `first` on into a batch; their number.  Lanes beyond it are done, as ``arrived`` says."""
    filled = load_seeds(b, lines, first)
    for lane in range(b.lanes):
        b.due[lane] = lines[first + min(lane, filled - 1)].due
        b.arrived[lane] = 0 if lane < filled else 1
    return filled


@kernel()
def leave(b, lane, p):
    """A line that needs other cells out of its lane, which is done then."""
    p.x, p.y, p.z, p.error = b.x[lane], b.y[lane], b.z[lane], b.own_path[lane]
    p.left, p.alive, p.due = b.left[lane], b.alive[lane], b.due[lane]
    p.goal[0], p.goal[1], p.goal[2] = b.goals[0, lane], b.goals[1, lane], b.goals[2, lane]
    b.arrived[lane] = 1


@kernel()
def set_own_paths(b, lines, plan, first, more):
    """Where the next step of each line begins, so many steps into its pair, and how long it is."""
    for lane in range(b.lanes):
        if not b.arrived[lane]:
            row = plan[lines[first + lane].save]
            n = row.count - 2 * b.due[lane] + more
            b.path[lane], b.longest[lane] = row.end - row.length + n * row.step, row.step


@kernel()
def leave_at_once(b, lines, first):
    """Those whose first cells the window does not hold."""
    for lane in range(b.lanes):
        if not b.arrived[lane] and b.half[lane] == 0.0:
            leave(b, lane, lines[first + lane])
        b.longest[lane] = 0.0


@kernel()
def save_reached(b, lines, plan, out, first):
    """Saved points that lines have come to, all that are left of one that has ended."""
    for lane in range(b.lanes):
        if b.arrived[lane]:
            continue
        p = lines[first + lane]
        while p.save < plan.size and (b.alive[lane] == 0 or b.due[lane] == 0):
            save_line(b, lane, out[first + lane, p.save])
            p.save += 1
            b.due[lane] = plan[p.save].count // 2 if p.save < plan.size else 0
        if p.save == plan.size:
            b.arrived[lane] = 1


@kernel()
def set_pairs(b, lines, plan, first, sign):
    """Signed half steps of the lines that go on, and what they have again if they cannot; whether there are any."""
    any_ = False
    for lane in range(b.lanes):
        moves = not b.arrived[lane]
        b.half[lane] = 0.5 * (sign * plan[lines[first + lane].save].step) if moves else 0.0
        b.moved[lane], any_ = moves, any_ or moves
        b.ex[lane], b.ey[lane], b.ez[lane], b.rest[lane] = b.x[lane], b.y[lane], b.z[lane], b.own_path[lane]
    return any_


@kernel()
def settle(b, lines, first):
    """A pair less for those that have made it; the others are where it began, and leave."""
    for lane in range(b.lanes):
        if not b.moved[lane]:
            continue
        if b.alive[lane] and b.half[lane] == 0.0:
            b.x[lane], b.y[lane], b.z[lane], b.own_path[lane] = b.ex[lane], b.ey[lane], b.ez[lane], b.rest[lane]
            leave(b, lane, lines[first + lane])
        else:
            b.due[lane] -= 1


@entry()
def follow_domain(batches, setup, fields, lines, plan, sign, out):
    """Follow lines as `follow` does, as far as the cells of a window allow.

    Parameters
    ----------
    batches, setup, fields, plan, sign, out
        As there; the setup is of the whole grid, the data are those of the window.
    lines : (n,) LINE array
        Changed: those whose ``save`` is not the number of intervals need the cells of their ``goal``.
    """
    b, s = batches[0], setup[0]
    levels, walled = new_levels(None), has_walls(s)
    b.many = 0
    for first in range(0, lines.size, LANES):
        load_lines(b, lines, first)
        run_stages(b, s, fields, levels, LOOK, False)
        set_own_paths(b, lines, plan, first, 0)
        leave_at_once(b, lines, first)
        end_where_no_field(b)
        while not told_to_stop(s):
            save_reached(b, lines, plan, out, first)
            if not set_pairs(b, lines, plan, first, sign):
                break
            for second in range(2):
                set_own_paths(b, lines, plan, first, second)
                run_stages(b, s, fields, levels, BEGIN, second == 1)
                end_some(b, s, fields, levels, walled)
            settle(b, lines, first)

"""Fields that are functions of position and time, which a user gives.

A function is compiled on its own, into a loop over the particles of a batch.  Runs know that loop by its address, so
that they are compiled once for all functions: the call costs nothing beside the hundred values that it brings.
"""

import numpy as np
from llvmlite import ir
from numba import config, from_dtype, types
from numba.extending import intrinsic

from mmfields.kernels._jit import kernel, part
from mmfields.kernels.batch import BATCH

# A place and a time that are nothing special.
PLACE = (0.37, 0.61, 0.83, 0.29)

if config.DISABLE_JIT:

    def call(loop, b):
        """Call a loop with a batch."""
        loop(b)

else:

    @intrinsic
    def call(typingctx, loop, b):
        """Call the loop at an address with a batch; what it raises is raised here."""

        def codegen(context, builder, signature, args):
            kind = context.call_conv.get_function_type(types.none, signature.args[1:])
            function = builder.inttoptr(args[0], ir.PointerType(kind))
            status, _ = context.call_conv.call_function(builder, function, types.none, signature.args[1:], args[1:])
            with builder.if_then(status.is_error, likely=False):
                context.call_conv.return_status_propagate(builder, status)
            return context.get_dummy_value()

        return types.none(types.intp, b), codegen


def loop_over(function, timed, driven):
    """A loop that puts the values of a function at the positions and times of a batch into its fields.

    Parameters
    ----------
    function : callable
        Of x, y, z, and the time where it is `timed`; gives B, and E over the speed of light where it is `driven`.
    timed, driven : bool
    """
    inner = kernel()(function)
    at = inner if timed else part()(lambda x, y, z, time: inner(x, y, z))

    def magnetic(b):
        for lane in range(b.lanes):
            b.bx[lane], b.by[lane], b.bz[lane] = at(b.x[lane], b.y[lane], b.z[lane], b.when[lane])

    def both(b):
        for lane in range(b.lanes):
            bx, by, bz, ex, ey, ez = at(b.x[lane], b.y[lane], b.z[lane], b.when[lane])
            b.bx[lane], b.by[lane], b.bz[lane] = bx, by, bz
            b.ex[lane], b.ey[lane], b.ez[lane] = ex, ey, ez

    return kernel()(both if driven else magnetic)


def address_of(loop):
    """How `call` finds a loop, which is to be kept for as long: its address, or itself where nothing is compiled."""
    if config.DISABLE_JIT:
        return loop
    loop.compile((from_dtype(BATCH),))
    (compiled,) = loop.overloads.values()
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def values_of(function, taken):
    """How many real numbers a function of so many gives in a tuple; a description of what it gives instead."""
    if config.DISABLE_JIT:
        given = function(*PLACE[:taken])
        return len(given) if isinstance(given, tuple) else type(given).__name__
    compiled = kernel()(function)
    compiled.compile((types.float64,) * taken)
    (found,) = (each.signature.return_type for each in compiled.overloads.values())
    real = isinstance(found, types.BaseTuple) and all(isinstance(n, types.Float | types.Integer) for n in found)
    return len(found) if real else str(found)


@part()
def is_finite(x, y, z):
    """Whether three numbers are."""
    return abs(x) < np.inf and abs(y) < np.inf and abs(z) < np.inf


@kernel()
def stop_where_odd(b, s, w, driven):
    """End the run at a value that is not finite, and say where and when that was."""
    odd = 0
    for lane in range(b.lanes):
        odd += 0 if is_finite(b.bx[lane], b.by[lane], b.bz[lane]) else 1
    if driven:
        for lane in range(b.lanes):
            odd += 0 if is_finite(b.ex[lane], b.ey[lane], b.ez[lane]) else 1
    if odd == 0 or w.odd:
        return
    for lane in range(b.lanes):
        good = is_finite(b.bx[lane], b.by[lane], b.bz[lane])
        if driven:
            good = good and is_finite(b.ex[lane], b.ey[lane], b.ez[lane])
        if not good and not w.odd:
            w.odd, s.stop = 1, 1
            w.where[0], w.where[1], w.where[2], w.where[3] = b.x[lane], b.y[lane], b.z[lane], b.when[lane]

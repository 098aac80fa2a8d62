"""Eight numbers as one value, for sums whose order is the same on every processor.

A sum that the compiler may reorder is added in as many parts as its vectors are long.  Here it is always eight, which
every processor divides into the vectors that it has.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from mmfields.kernels._jit import part

MANY = 8

if config.DISABLE_JIT:

    def spread(number):
        """Eight times the same."""
        return np.full(MANY, number, float)

    def load(row, place):
        """Eight numbers of a row from a place on."""
        return row[place : place + MANY].astype(float)

    def load_some(row, place, many, otherwise):
        """So many numbers of a row from a place on, and another in place of the others."""
        return np.append(row[place : place + many].astype(float), np.full(MANY - many, otherwise))

    def put(eight, lane, number):
        """The same with another number in one of the eight."""
        out = eight.copy()
        out[lane] = number
        return out

    def get(eight, lane):
        """One of the eight."""
        return eight[lane]

    def fused_eights(a, b, c):
        """The products a b plus c, rounded twice, interpreted."""
        return a * b + c

else:
    from mmfields.kernels.vectors import in_all, multiply_add

    class Eights(types.Type):
        """The type of eight numbers in double precision."""

        def __init__(self):
            super().__init__("Eights")

    eights = Eights()
    VECTOR, I32 = ir.VectorType(ir.DoubleType(), MANY), ir.IntType(32)

    @register_model(Eights)
    class _Model(models.PrimitiveModel):
        def __init__(self, manager, kind):
            super().__init__(manager, kind, VECTOR)

    @intrinsic
    def spread(typingctx, number):
        """Eight times the same."""

        def codegen(context, builder, signature, args):
            return in_all(builder, args[0], MANY)

        return eights(types.float64), codegen

    def _stored(kind):
        """How numbers of a row lie in memory, and the bytes of each."""
        return (ir.VectorType(ir.FloatType(), MANY), 4) if kind == types.float32 else (VECTOR, 8)

    def _address(context, builder, signature, args):
        """Where a row's numbers from a place on begin."""
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.gep(array.data, [args[1]])

    @intrinsic
    def _load_whole(typingctx, row, place):
        def codegen(context, builder, signature, args):
            stored, size = _stored(row.dtype)
            values = builder.load(
                builder.bitcast(_address(context, builder, signature, args), stored.as_pointer()), align=size
            )
            return builder.fpext(values, VECTOR) if size == 4 else values

        return eights(row, types.intp), codegen

    @intrinsic
    def _load_part(typingctx, row, place, many, otherwise):
        def codegen(context, builder, signature, args):
            stored, size = _stored(row.dtype)
            wide, bits = ir.VectorType(ir.IntType(64), MANY), ir.VectorType(ir.IntType(1), MANY)
            mask = builder.icmp_signed("<", ir.Constant(wide, list(range(MANY))), in_all(builder, args[2], MANY))
            place = builder.bitcast(_address(context, builder, signature, args), stored.as_pointer())
            kind = ir.FunctionType(stored, [place.type, I32, bits, stored])
            name = f"llvm.masked.load.v{MANY}f{8 * size}.p0"
            call = cgutils.get_or_insert_function(builder.module, kind, name)
            values = builder.call(call, [place, I32(size), mask, ir.Constant(stored, [0.0] * MANY)])
            values = builder.fpext(values, VECTOR) if size == 4 else values
            return builder.select(mask, values, in_all(builder, args[3], MANY))

        return eights(row, types.intp, types.intp, types.float64), codegen

    def _plain(row):
        return row.layout == "C" and row.dtype in (types.float32, types.float64)

    def load(row, place):
        """Eight numbers of a row from a place on."""

    @overload(load, inline="always")
    def _load(row, place):
        if _plain(row):
            return lambda row, place: _load_whole(row, place)
        return lambda row, place: collect(row, place, MANY, 0.0)

    def load_some(row, place, many, otherwise):
        """So many numbers of a row from a place on, and another in place of the others."""

    @overload(load_some, inline="always")
    def _load_some(row, place, many, otherwise):
        if _plain(row):
            return lambda row, place, many, otherwise: _load_part(row, place, many, otherwise)
        return lambda row, place, many, otherwise: collect(row, place, many, otherwise)

    @intrinsic
    def put(typingctx, eight, lane, number):
        """The same with another number in one of the eight."""

        def codegen(context, builder, signature, args):
            return builder.insert_element(args[0], args[2], builder.trunc(args[1], I32))

        return eights(eights, types.intp, types.float64), codegen

    @intrinsic
    def get(typingctx, eight, lane):
        """One of the eight."""

        def codegen(context, builder, signature, args):
            return builder.extract_element(args[0], builder.trunc(args[1], I32))

        return types.float64(eights, types.intp), codegen

    @intrinsic
    def fused_eights(typingctx, a, b, c):
        """The products a b plus c, rounded once."""

        def codegen(context, builder, signature, args):
            return multiply_add(builder, *args)

        return eights(eights, eights, eights), codegen

    def _arithmetic(name, instruction):
        @intrinsic
        def combine(typingctx, a, b):
            def codegen(context, builder, signature, args):
                return getattr(builder, instruction)(*args)

            return eights(eights, eights), codegen

        @overload(name, inline="always")
        def overloaded(a, b):
            if a == eights and b == eights:
                return lambda a, b: combine(a, b)

    _arithmetic(operator.add, "fadd")
    _arithmetic(operator.sub, "fsub")
    _arithmetic(operator.mul, "fmul")


@part()
def collect(row, place, many, otherwise):
    """The same, one by one."""
    found = spread(otherwise)
    for lane in range(many):
        found = put(found, lane, np.float64(row[place + lane]))
    return found


@part()
def total(eight):
    """Their sum, by halves."""
    even = (get(eight, 0) + get(eight, 4)) + (get(eight, 2) + get(eight, 6))
    odd = (get(eight, 1) + get(eight, 5)) + (get(eight, 3) + get(eight, 7))
    return even + odd

"""Arithmetic that is the same on every processor: fused products, weighted sums of cells, memory asked for ahead.

A fused multiply and add rounds once.  Where the compiler chooses whether to fuse, a processor that can and one that
cannot give results that part after some thousand gyrations; so kernels say where they fuse, and nothing else is.
"""

import platform
import warnings

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

if config.DISABLE_JIT:

    def weighted_sum(data, rows, cells, row_weights, cell_weights):
        """The three components summed over rows and cells, each with its weight."""
        total = np.zeros(3)
        for row, outer in zip(rows, row_weights, strict=True):
            for cell, inner in zip(cells, cell_weights, strict=True):
                total += outer * inner * data[row + cell : row + cell + 3]
        return total[0], total[1], total[2]

    def weighted_rows(data, rows, weights):
        """Twelve numbers in a row, four cells, summed over rows, each with its weight."""
        return tuple(sum(w * data[row : row + 12].astype(np.float64) for row, w in zip(rows, weights, strict=True)))

    def four_cells(data, rows, row_weights, cell_weights):
        """Three numbers a cell of four side by side, summed over rows and cells, each with its weight."""
        return _four_cells(data, rows, row_weights, cell_weights, 3)

    def four_pairs(data, rows, row_weights, cell_weights):
        """The same of six numbers a cell."""
        return _four_cells(data, rows, row_weights, cell_weights, 6)

    def _four_cells(data, rows, row_weights, cell_weights, width):
        read = [data[row : row + 4 * width].astype(np.float64) for row in rows]
        total = sum(w * row for row, w in zip(read, row_weights, strict=True)).reshape(4, width)
        return tuple(sum(w * cell for cell, w in zip(total, cell_weights, strict=True)))

    def prefetch(data, place):
        """Nothing, interpreted."""

    def fused(a, b, c):
        """A product and a sum, rounded twice, interpreted."""
        return a * b + c

    def widest():
        """Nothing, interpreted."""

    def told_to_stop(setup):
        """Whether the setup's mark is set."""
        return setup.stop != 0

else:
    I32 = ir.IntType(32)

    def _fuses():
        """Whether this processor fuses; a library that does it instead takes a hundred times as long."""
        if platform.machine().lower() not in ("x86_64", "amd64", "i686") or binding.get_host_cpu_features().get("fma"):
            return True
        warnings.warn(
            "this processor has no fused multiply and add: results differ in the last digits from those of others",
            RuntimeWarning,
            stacklevel=2,
        )
        return False

    FUSES = _fuses()

    def multiply_add(builder, a, b, c):
        """a b + c of numbers or vectors."""
        if not FUSES:
            return builder.fadd(builder.fmul(a, b), c)
        name = "llvm.fma.f64" if a.type == ir.DoubleType() else f"llvm.fma.v{a.type.count}f64"
        kind = ir.FunctionType(a.type, [a.type] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])

    @intrinsic
    def fused(typingctx, a, b, c):
        """The product a b plus c, rounded once."""
        numbers = [types.float64] * 3

        def codegen(context, builder, signature, args):
            return multiply_add(builder, *args)

        return types.float64(*numbers), codegen

    @intrinsic
    def told_to_stop(typingctx, setup):
        """Whether the setup's mark is set, read from memory each time since another thread sets it."""

        def codegen(context, builder, signature, args):
            mark = cgutils.gep_inbounds(builder, args[0], 0, signature.args[0].offset("stop"))
            number = builder.load_atomic(builder.bitcast(mark, ir.IntType(64).as_pointer()), "monotonic", 8)
            return builder.icmp_signed("!=", number, ir.IntType(64)(0))

        return types.boolean(setup), codegen

    @intrinsic
    def widest(typingctx):
        """Let the function that calls this use the widest vectors of the processor, which LLVM avoids by itself."""

        def codegen(context, builder, signature, args):
            attributes = builder.function.attributes
            attributes._known = attributes._known | {WIDE}  # llvmlite knows only attributes without a value
            attributes.add(WIDE)
            attributes.add("noinline")
            return context.get_dummy_value()

        return types.void(), codegen

    WIDE = '"prefer-vector-width"="512"'

    def in_all(builder, number, many):
        """A vector of so many times a number."""
        empty = ir.Constant(ir.VectorType(number.type, many), ir.Undefined)
        first = builder.insert_element(empty, number, I32(0))
        return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(I32, many), [0] * many))

    def spread_of(builder, tuple_, index, many=4):
        """A number of a tuple in all lanes of a vector."""
        return in_all(builder, builder.extract_value(tuple_, index), many)

    def loader(context, builder, signature, args, many=4):
        """A function that loads so many numbers of the first argument, a flat array, from a place on."""
        array = context.make_array(signature.args[0])(context, builder, args[0])
        single = signature.args[0].dtype == types.float32
        stored = ir.VectorType(ir.FloatType() if single else ir.DoubleType(), many)
        wanted = ir.VectorType(ir.DoubleType(), many)

        def load(place):
            values = builder.load(builder.bitcast(builder.gep(array.data, [place]), stored.as_pointer()))
            values.align = 4 if single else 8
            return builder.fpext(values, wanted) if single else values

        return load

    def adder(builder):
        """A function for a weight times a vector, and the sum so far if there is one."""
        return lambda w, v, total: builder.fmul(w, v) if total is None else multiply_add(builder, w, v, total)

    @intrinsic
    def weighted_sum(typingctx, data, rows, cells, row_weights, cell_weights):
        """The three components summed over rows and cells, each with its weight.

        Four numbers are loaded at once and the fourth is dropped, so `data` needs one more than it has.
        """
        out = types.UniTuple(types.float64, 3)

        def codegen(context, builder, signature, args):
            load, add = loader(context, builder, signature, args), adder(builder)
            inner = [spread_of(builder, args[4], cell) for cell in range(len(signature.args[2]))]
            total = None
            for row in range(len(signature.args[1])):
                line = None
                for cell, weight in enumerate(inner):
                    place = builder.add(builder.extract_value(args[1], row), builder.extract_value(args[2], cell))
                    line = add(weight, load(place), line)
                total = add(spread_of(builder, args[3], row), line, total)
            parts = [builder.extract_element(total, I32(c)) for c in range(3)]
            return context.make_tuple(builder, out, parts)

        return out(data, rows, cells, row_weights, cell_weights), codegen

    def over_rows(context, builder, signature, args, many):
        """Three vectors of so many numbers from a place in each row on, summed over rows, each with its weight."""
        load, add = loader(context, builder, signature, args, many), adder(builder)
        totals = [None] * 3
        for row in range(len(signature.args[1])):
            weight, place = spread_of(builder, args[2], row, many), builder.extract_value(args[1], row)
            for i in range(3):
                totals[i] = add(weight, load(builder.add(place, place.type(many * i))), totals[i])
        return totals

    @intrinsic
    def weighted_rows(typingctx, data, rows, weights):
        """Twelve numbers in a row, four cells, summed over rows, each with its weight."""
        out = types.UniTuple(types.float64, 12)

        def codegen(context, builder, signature, args):
            totals = over_rows(context, builder, signature, args, 4)
            parts = [builder.extract_element(totals[c // 4], I32(c % 4)) for c in range(12)]
            return context.make_tuple(builder, out, parts)

        return out(data, rows, weights), codegen

    def rows_of_four(width):
        """Code for sums over rows of four cells of so many numbers, and then over the cells."""
        many, out = 4 * width // 3, types.UniTuple(types.float64, width)

        def cell_of(builder, totals, cell):
            first, begin = divmod(cell * width, many)
            lanes = [begin + min(lane, width - 1) for lane in range(many)]
            mask = ir.Constant(ir.VectorType(I32, many), lanes)
            return builder.shuffle_vector(totals[first], totals[min(first + 1, 2)], mask)

        def codegen(context, builder, signature, args):
            totals, total = over_rows(context, builder, signature, args, many), None
            for cell in range(4):
                part = builder.fmul(spread_of(builder, args[3], cell, many), cell_of(builder, totals, cell))
                total = part if total is None else builder.fadd(total, part)
            return context.make_tuple(builder, out, [builder.extract_element(total, I32(c)) for c in range(width)])

        return out, codegen

    @intrinsic
    def four_cells(typingctx, data, rows, row_weights, cell_weights):
        """Three numbers a cell of four side by side, summed over rows and cells, each with its weight."""
        out, codegen = rows_of_four(3)
        return out(data, rows, row_weights, cell_weights), codegen

    @intrinsic
    def four_pairs(typingctx, data, rows, row_weights, cell_weights):
        """The same of six numbers a cell, eight at once: for a kernel with the `widest` vectors."""
        out, codegen = rows_of_four(6)
        return out(data, rows, row_weights, cell_weights), codegen

    @intrinsic
    def prefetch(typingctx, data, place):
        """Ask for the memory at a place of a flat array, without waiting for it."""

        def codegen(context, builder, signature, args):
            array = context.make_array(signature.args[0])(context, builder, args[0])
            byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
            call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            where = builder.bitcast(builder.gep(array.data, [args[1]]), byte)
            builder.call(call, [where, i32(0), i32(3), i32(1)])  # to read, and to keep
            return context.get_dummy_value()

        return types.void(data, types.intp), codegen

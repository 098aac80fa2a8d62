"""Components of a field side by side, as the tracing kernels take them, and the sums that its strength needs."""

from mmfields.kernels._jit import entry, kernel
from mmfields.kernels.moments import sums_of_row


@kernel(fastmath={"reassoc", "nsz"})  # the result is one of two, in whatever order
def nothing_of_row(a):
    """0 where all numbers of a row are finite, else NaN."""
    total = 0.0
    for k in range(a.size):
        total += 0.0 * a[k]
    return total


@entry()
def pack(part, out):
    """Write three components (n0, n1, n2) into `out` (n0, n1, n2, 3); whether all of them are finite."""
    a, b, c = part
    finite = True
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            x, y, z, row = a[i, j], b[i, j], c[i, j], out[i, j]
            for k in range(a.shape[2]):
                row[k, 0], row[k, 1], row[k, 2] = x[k], y[k], z[k]
            finite = finite and nothing_of_row(x) + nothing_of_row(y) + nothing_of_row(z) == 0.0
    return finite


@entry()
def add_exactly(a, out):
    """Add sum and sum of squares of a (n0, n1, n2) array to `out` (2, 2): each a number and what rounding took of it.

    Rows are added with twice the digits, so that the result hardly depends on how the field is divided.
    """
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            pair = sums_of_row(a[i, j])
            for m in range(2):
                total, more = out[m, 0], pair[m]
                new = total + more
                rest = new - total
                out[m, 1] += (total - (new - rest)) + (more - rest)
                out[m, 0] = new

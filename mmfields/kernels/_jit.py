"""How kernels are compiled: without the interpreter's lock, and with the arithmetic of NumPy.

`entry` is what Python calls, and is cached on disk.  What entries are made of becomes machine code with them: a `part`
is written into its caller, which costs the least time where it is called once; a `kernel` is compiled on its own, and
again with all that call it.
"""

from functools import partial

from numba import njit

kernel = partial(njit, nogil=True, error_model="numpy")
part = partial(kernel, inline="always")
entry = partial(kernel, cache=True)

"""Numba kernels: NumPy and Numba only, one formula each."""

"""NumPy arrays, with fused kernels by Numba."""

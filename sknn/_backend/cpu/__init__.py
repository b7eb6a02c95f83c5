"""The CPU backend: NumPy arrays, and fused kernels that Numba compiles."""

"""CuPy arrays, with CUDA kernels and cuBLAS."""

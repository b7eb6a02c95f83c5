"""A stand-in for CuPy's binding of cuBLAS: products of matrices stored by column, in the memory of NumPy arrays."""

import ctypes

import numpy as np
from numpy.lib.stride_tricks import as_strided

CUBLAS_OP_N, CUBLAS_OP_T = 0, 1
CUBLAS_GEMM_DEFAULT = -1
CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F = 68, 70
CUBLAS_COMPUTE_32F_FAST_16BF, CUBLAS_COMPUTE_32F_FAST_TF32 = 75, 77
CUDA_R_32F, CUDA_R_64F = 0, 1
REALS = {CUDA_R_32F: np.float32, CUDA_R_64F: np.float64}
LOST_BITS = {CUBLAS_COMPUTE_32F_FAST_TF32: 13, CUBLAS_COMPUTE_32F_FAST_16BF: 16}  # of 23


def gemmStridedBatchedEx(handle, *arguments):
    """Compute ``C = alpha op(A) op(B) + beta C`` for each matrix of a batch with fixed strides."""
    (*first, m, n, k, alpha), (A, A_type, *A_at), (B, B_type, *B_at) = arguments[:6], arguments[6:10], arguments[10:14]
    beta, C, C_type, *C_at, n_products, compute, algorithm = arguments[14:]
    assert algorithm == CUBLAS_GEMM_DEFAULT and A_type == B_type == C_type
    assert (compute == CUBLAS_COMPUTE_64F) == (C_type == CUDA_R_64F)
    real = REALS[C_type]
    alpha, beta = (_numbers(pointer, 1, real)[0] for pointer in (alpha, beta))
    for i in range(n_products):
        a, b = _operand(A, i, (m, k), first[0], A_at, real), _operand(B, i, (k, n), first[1], B_at, real)
        if compute in LOST_BITS:
            a, b = (rounded(matrix, LOST_BITS[compute]) for matrix in (a, b))
        c = _operand(C, i, (m, n), CUBLAS_OP_N, C_at, real)
        c[...] = alpha * (a @ b) + (beta * c if beta else 0)


def _operand(pointer, number, shape, flag, at, real):
    """Return ``op(matrix)`` as an array of the given shape."""
    row_length, between = at
    rows, columns = shape if flag == CUBLAS_OP_N else shape[::-1]
    assert row_length >= max(1, rows), "cuBLAS refuses a leading dimension that is less than the rows"
    values = _numbers(pointer + number * between * real().itemsize, (columns - 1) * row_length + rows, real)
    matrix = as_strided(values, (rows, columns), (values.itemsize, row_length * values.itemsize))
    return matrix if flag == CUBLAS_OP_N else matrix.T


def _numbers(pointer, n, real):
    return np.frombuffer((ctypes.c_char * (n * real().itemsize)).from_address(pointer), real)


def rounded(matrix, n_bits):
    """Return float32 numbers rounded to fewer bits, to nearest, ties to even."""
    bits = np.ascontiguousarray(matrix).view(np.uint32).astype(np.uint64)
    half = (1 << (n_bits - 1)) - 1 + ((bits >> n_bits) & 1)
    kept = ((bits + half) >> n_bits << n_bits).astype(np.uint32).view(np.float32)
    return np.where(np.isfinite(matrix), kept, matrix)

"""Matrix products by cuBLAS, for all models of a stack at once and without copies of transposed operands.

``cupy.matmul`` copies transposed stacks and takes its precision from an environment variable, so cuBLAS is called
through CuPy's binding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..typing import Array, ArrayModule, Call

PRECISIONS = {  # how single precision is multiplied; sums are in float32 for all of them
    "float32": "CUBLAS_COMPUTE_32F",
    "tf32": "CUBLAS_COMPUTE_32F_FAST_TF32",
    "bfloat16": "CUBLAS_COMPUTE_32F_FAST_16BF",
}


class Products:
    """Products of stacks of matrices, stored by row, which are their transposes to cuBLAS."""

    def __init__(self, xp: ArrayModule, precision: str, pointer: Callable[[Array], int]) -> None:
        self._cuda, self._pointer = xp.cuda, pointer
        self._compute = {"f4": PRECISIONS[precision], "f8": "CUBLAS_COMPUTE_64F"}
        # one and zero for alpha and beta, which cuBLAS reads on the host
        self._numbers = {dtype: np.array([1, 0], dtype) for dtype in self._compute}

    def call(self, a: Array, b: Array, out: Array) -> Call:
        """Return the call of ``out = a @ b`` for stacks of which one may be shared by all models.

        As cuBLAS reads a matrix that is stored by row as its transpose, it is asked for ``out^T = b^T a^T``.
        """
        kind, cublas = out.dtype.str[1:], self._cuda.cublas
        n_models, n_rows, n_columns = out.shape
        real = self._cuda.runtime.CUDA_R_32F if kind == "f4" else self._cuda.runtime.CUDA_R_64F
        one, zero = (self._numbers[kind][i:].ctypes.data for i in range(2))
        (b_flag, b_stored), (a_flag, a_stored), (_, out_stored) = map(self._stored, (b, a, out))
        described = (
            *(b_flag, a_flag, n_columns, n_rows, a.shape[2], one),
            *(b_stored[0], real, *b_stored[1:], a_stored[0], real, *a_stored[1:], zero),
            *(out_stored[0], real, *out_stored[1:], n_models),
            *(getattr(cublas, self._compute[kind]), cublas.CUBLAS_GEMM_DEFAULT),
        )
        return partial(self._multiply, described, (a, b, out))

    def _stored(self, stack: Array) -> tuple[int, tuple[int, int, int]]:
        """Return whether cuBLAS is to transpose a stack, and where it lies: pointer, row length, matrix length."""
        cublas, (rows, columns), size = self._cuda.cublas, stack.shape[1:], stack.itemsize
        between_models = 0 if len(stack) == 1 else stack.strides[0] // size
        between_rows, between_columns = (step // size for step in stack.strides[1:])
        if columns == 1 or between_columns == 1:
            flag, length = cublas.CUBLAS_OP_N, max(columns, between_rows if rows > 1 else 1)
        elif rows == 1 or between_rows == 1:
            flag, length = cublas.CUBLAS_OP_T, max(rows, between_columns if columns > 1 else 1)
        else:
            raise ValueError(f"rows or columns of a matrix must be contiguous; got strides {stack.strides}")
        return flag, (self._pointer(stack), length, between_models)

    def _multiply(
        self, described: tuple[Any, ...], operands: tuple[Array, ...]
    ) -> None:  # operands are kept alive by the call
        self._cuda.cublas.gemmStridedBatchedEx(self._cuda.get_cublas_handle(), *described)

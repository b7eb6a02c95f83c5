"""The CPU backend: NumPy arrays, and fused kernels by Numba where a single pass is faster."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

import numba
import numpy as np
from threadpoolctl import ThreadpoolController

from .. import reference
from ..operations import MatMul, Operation
from ..protocol import CompiledPlan
from ..typing import Array, Call
from . import columns, loops
from .kernels import FUSED
from .program import ONE_THREAD, as_program

MOST_OUTPUTS = 2**14  # of a product, above which turning it takes longer than threads wait
T = TypeVar("T")


class Backend(reference.Backend):
    """The CPU backend: definitions of operations on NumPy arrays, some of them replaced by fused kernels."""

    fused = FUSED

    def __init__(self) -> None:
        super().__init__(np)

    def compile(self, plan: Sequence[Operation]) -> CompiledPlan:
        program = as_program(plan, _blas_has_threads())
        if program is not None:
            return program
        return reference.Loop([call for operation in plan for call in self.step_calls(operation)])

    def step_calls(self, operation: Operation) -> list[Call]:
        """Return the calls of an operation in a step that runs many times.

        A product whose work threads of BLAS could not share well is turned. OpenBLAS has threads compute other columns
        of its output, which is ours transposed, or, where it has more rows than columns, other rows; then they wait for
        each other, which may take longer than the product itself.
        """
        if not (isinstance(operation, MatMul) and _blas_has_threads() and _splits_badly(operation)):
            return self.calls(operation)
        a, b, out = operation.a, operation.b, operation.out
        flipped = np.empty(out.swapaxes(1, 2).shape, out.dtype)
        product = MatMul(b.swapaxes(1, 2), a.swapaxes(1, 2), flipped)
        return [*self.calls(product), partial(loops.transpose, flipped, out)]

    # ---- transformers -------------------------------------------------------------------

    def map_pieces(self, work: Callable[[Any], T], pieces: Sequence[Any]) -> list[T]:
        n_threads = min(thread_count(), len(pieces)) if len(pieces) > 1 else 1
        if n_threads < 2:
            return super().map_pieces(work, pieces)
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(work, pieces))

    def one_blas_thread(self) -> AbstractContextManager[Any]:
        return _blas().limit(limits=1)

    def column_moments(self, X: Array, weight: Array | None = None) -> tuple[Array, Array, Array, Array]:
        count, mean, rest, squares = np.zeros((4, X.shape[1]))
        weight = np.ones(columns.MOMENT_ROWS) if weight is None else np.ascontiguousarray(weight)
        trace = reference.TRACE if X.dtype == np.float64 else None  # which has room for squares of the others
        if _is_stored_by_row(X):
            columns.moments_by_row(X, weight, trace, count, mean, rest, squares)
        else:
            columns.moments_by_column(X.T, weight, trace, count, mean, rest, squares)
        mean[count == 0] = 0
        return count, mean, rest, np.maximum(squares, 0)

    def column_extremes(self, X: Array) -> tuple[Array, Array]:
        least, greatest = _limits(X.dtype)
        low, high = np.full(X.shape[1], greatest, X.dtype), np.full(X.shape[1], least, X.dtype)
        if _is_stored_by_row(X):
            columns.extremes_by_row(X, low, high)
        else:
            columns.extremes_by_column(X.T, low, high)
        return low.astype(np.float64), high.astype(np.float64)

    def group_moments(self, x: Array) -> tuple[Array, Array, Array]:
        count, mean, squares = np.empty((3, x.shape[0], x.shape[2]))
        columns.group_moments(x, count, mean, squares)
        return count, mean, squares

    def has_infinity(self, x: Array) -> bool:
        return columns.has_infinity(x.reshape(-1)) if x.flags.c_contiguous else super().has_infinity(x)

    def shift_scale(self, x: Array, shift: Array, scale: Array) -> None:
        if x.ndim == 2:
            columns.shift_scale(x, shift, scale)
        else:
            columns.shift_scale_groups(x, shift, scale)

    def scale_shift(self, x: Array, scale: Array, shift: Array) -> None:
        columns.scale_shift(x, scale, shift)

    def center(self, X: Array, mean: Array, out: Array) -> None:
        columns.center(X, mean, out)


def _splits_badly(product: MatMul) -> bool:
    """Return whether threads of OpenBLAS would wait for each other in a product of a transposed stack."""
    a, b, out = product.a, product.b, product.out
    rows, columns = out.shape[-2:]
    is_small = rows * columns <= MOST_OUTPUTS and a.shape[-1] * rows * columns > ONE_THREAD
    return is_small and columns >= 1.5 * rows and not a.flags.c_contiguous and len(a) == len(b)


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")  # looking for libraries takes milliseconds


def _blas_has_threads() -> bool:
    return max((library.num_threads for library in _blas().lib_controllers), default=1) > 1


def thread_count() -> int:
    """Return the number of threads that may share elementwise work: the lower limit of Numba and OpenMP."""
    limit, openmp = numba.config.NUMBA_NUM_THREADS, os.environ.get("OMP_NUM_THREADS", "")
    return min(limit, int(openmp)) if openmp.isdecimal() else limit


def _limits(dtype: np.dtype) -> tuple[float, float]:
    return (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def _is_stored_by_row(X: Array) -> bool:
    return abs(X.strides[0]) > abs(X.strides[1])

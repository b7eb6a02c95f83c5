"""The reference backend: arrays of one array module, and every operation by its definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

from .operations import Operation
from .protocol import CompiledPlan, Ring
from .typing import Array, ArrayModule, Call

T = TypeVar("T")

TRACE = 2.0**-1000  # of a deviation in a sum of squares, if its square vanishes


class Loop:
    """A compiled plan: calls, one after the other."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    def run(self, times: int) -> None:
        """Run the plan some times."""
        for _ in range(times):
            for call in self.calls:
                call()


class Backend:
    """Operations over the arrays of one array module ``xp`` (numpy, or cupy), by their definitions.

    A backend with fused kernels derives from this one and has them in ``fused``: by class of operation, a function that
    returns the calls of an operation, or None where its definition is to run.
    """

    name = "numpy"
    on_host = True
    precisions: tuple[str, ...] = ("float32",)
    chunk_elements = 2**20  # of the widest buffer of a prediction: 4 MB in float32
    fused: Mapping[type[Operation], Callable[[Any], list[Call] | None]] = {}

    def __init__(self, xp: ArrayModule) -> None:
        self.xp = xp

    # ---- arrays -------------------------------------------------------------------------

    def asarray(self, array: Any, dtype: Any = None) -> Array:
        """Bring a NumPy array to this backend's memory; no copy where it already is there."""
        return self.xp.asarray(array, dtype=dtype)

    def to_host(self, array: Array) -> Array:
        """Return ``array`` as a NumPy array."""
        return array

    def holds(self, array: Any) -> bool:
        """Return whether a dense array lies in this backend's memory."""
        return True

    def has_room(self, n_bytes: int) -> bool:
        """Return whether this backend's memory has room for data of this size, and for the work on it."""
        return True

    def has_room_for_copy(self, array: Array) -> bool:
        """Return whether a large array may be copied where it lies, to be read faster."""
        return False

    def explained_memory_errors(self) -> AbstractContextManager[Any]:
        """Return a context that raises errors for lack of memory again, with advice."""
        return nullcontext()

    def ring(self, shape: tuple[int, ...], dtype: Any) -> Ring:
        """Return buffers along the first axis, one of which is filled while another one is used.

        For data that does not lie in this backend's memory.
        """
        raise NotImplementedError(f"the backend {self.name!r} has all rows in its memory")

    # ---- plans --------------------------------------------------------------------------

    def calls(self, operation: Operation) -> list[Call]:
        """Return the calls that run an operation: of fused kernels, or of its definition."""
        make = self.fused.get(type(operation))
        calls = None if make is None else make(operation)
        return [partial(operation.define, self.xp)] if calls is None else calls

    def loop(self, plan: Iterable[Operation]) -> Loop:
        """Compile a plan into a loop over calls."""
        return Loop([call for operation in plan for call in self.calls(operation)])

    def compile(self, plan: Sequence[Operation]) -> CompiledPlan:
        """Compile a plan that will run many times."""
        return self.loop(plan)

    def execute(self, *plan: Operation) -> None:
        """Run operations once."""
        for operation in plan:
            for call in self.calls(operation):
                call()

    # ---- preprocessing ------------------------------------------------------------------

    # Blocks are rows of features ``(rows, features)``, or those rows seen as ``(rows, before, groups, after)``, where
    # the features of one group share their statistics. Statistics are float64; NaN is a missing value.

    block_elements = 2**18  # of rows that are worked on together, so that they stay in a core's cache
    product_elements = 2**17  # at least, of rows that are centred and multiplied together
    segment_elements = 2**21  # of rows that a thread takes; whatever the threads, so that sums are the same

    def map_pieces(self, work: Callable[[Any], T], pieces: Sequence[Any]) -> list[T]:
        """Return ``work(piece)`` of each piece, in their order; several threads may share them."""
        return [work(piece) for piece in pieces]

    def one_blas_thread(self) -> AbstractContextManager[Any]:
        """Return a context in which BLAS has one thread, so that the threads of ``map_pieces`` have the cores."""
        return nullcontext()

    def column_moments(self, X: Array, weight: Array | None = None) -> tuple[Array, Array, Array, Array]:
        """Return sum of weights, mean and weighted sum of squared deviations of each column of ``X (n, d)``.

        Four arrays ``(d,)``, the third being ``rest``: ``mean + rest`` is the mean in double-double. They are summed
        relative to the mean so far, a block of rows at a time. A column without any weight has mean 0. ``weight (n,)``
        is None where every row counts once. Deviations that are not zero leave ``TRACE`` in the sum of
        squares of float64, so that it is zero only where all values are equal, whatever squares vanish.
        """
        xp = self.xp
        count, mean, rest, squares = xp.zeros((4, X.shape[1]))
        size = max(1, self.block_elements // X.shape[1])
        for start in range(0, X.shape[0], size):
            block = X[start : start + size].astype(xp.float64)
            is_known = ~xp.isnan(block)
            share = is_known * (1.0 if weight is None else weight[start : start + size, None])
            block = xp.where(is_known, block, 0)
            seen = share.sum(axis=0)
            block_mean = (share * block).sum(axis=0) / xp.where(seen > 0, seen, 1)
            mean = xp.where(count > 0, mean, block_mean)
            deviation = block - mean
            moved = share * deviation
            drift = moved.sum(axis=0) + count * rest
            squares += (moved * deviation + TRACE * (moved != 0)).sum(axis=0) + count * rest * rest
            count += seen
            step = drift / xp.where(count > 0, count, 1)
            squares -= drift * step
            mean, before = mean + step, mean
            rest = step - (mean - before)
        return count, mean, rest, xp.maximum(squares, 0)

    def column_extremes(self, X: Array) -> tuple[Array, Array]:
        """Return the least and the greatest value of each column of ``X (n, d)``; infinite the wrong way if none is."""
        return self._extremes(X, axis=0)

    def group_moments(self, x: Array) -> tuple[Array, Array, Array]:
        """Return number, mean and sum of squared deviations of the values of each group: three ``(rows, groups)``."""
        xp = self.xp
        is_known = ~xp.isnan(x)
        count = is_known.sum(axis=(1, 3))
        divisor = xp.maximum(count, 1)
        mean = xp.where(is_known, x, 0).sum(axis=(1, 3), dtype=xp.float64) / divisor
        deviation = xp.where(is_known, x - mean[:, None, :, None], 0)
        # zero but for the rounding of the mean: equation 1.7 of Chan, Golub and LeVeque, 1983
        drift = deviation.sum(axis=(1, 3))
        squares = (deviation * deviation).sum(axis=(1, 3)) - drift**2 / divisor
        return count, mean + drift / divisor, squares

    def group_extremes(self, x: Array) -> tuple[Array, Array]:
        """Return the least and the greatest value of each group, ``(rows, groups)``, as ``column_extremes`` does."""
        return self._extremes(x, axis=(1, 3))

    def _extremes(self, x: Array, axis: int | tuple[int, int]) -> tuple[Array, Array]:
        xp = self.xp
        if x.dtype.kind != "f":
            return x.min(axis=axis).astype(xp.float64), x.max(axis=axis).astype(xp.float64)
        is_known = ~xp.isnan(x)
        low, high = xp.where(is_known, x, xp.inf).min(axis=axis), xp.where(is_known, x, -xp.inf).max(axis=axis)
        return low.astype(xp.float64), high.astype(xp.float64)

    def has_infinity(self, x: Array) -> bool:
        """Return whether a block of floats holds infinity."""
        return bool(self.xp.isinf(x).any())

    def shift_scale(self, x: Array, shift: Array, scale: Array) -> None:
        """x = (x - shift) / scale in place, for a block of rows and ``shift, scale (features,)``.

        Also for rows seen as groups and ``shift, scale (rows, 1, groups, 1)``.
        """
        x -= shift
        x /= scale

    def scale_shift(self, x: Array, scale: Array, shift: Array) -> None:
        """x = x * scale + shift in place, the inverse of ``shift_scale``."""
        x *= scale
        x += shift

    def center(self, X: Array, mean: Array, out: Array) -> None:
        """out = X - mean for rows ``X, out (n, d)``, in the float type of ``out`` and ``mean (d,)``."""
        self.xp.subtract(X, mean, out=out)

    def gram(self, x: Array, out: Array, work: Array) -> None:
        """out += x^T x for ``x (n, d)``; ``work`` is like ``out``."""
        self.xp.matmul(x.T, x, out=work)
        out += work

"""The contract of a backend: everything that the rest of sknn asks of one.

`reference.Backend` fulfils it on any array module; those of `cpu` and `cuda` derive from it and add fused kernels. The
operations that a backend compiles are those of `operations.py`, each with its definition, so that a new backend works
before it has a single fused kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from .operations import Operation
from .typing import Array, ArrayModule, Call

T = TypeVar("T")


class CompiledPlan(Protocol):
    """A compiled plan."""

    def run(self, times: int) -> None:
        """Run the plan some times."""


class Ring(Protocol):
    """Buffers that take turns: one is filled on the host while another one is used."""

    table: Array

    def stream(self, gathers: Sequence[Callable[[Array], None]]) -> Iterator[Array]:
        """Yield a buffer for each of ``gathers``, which fill it on the host."""


class Backend(Protocol):
    """A place where arrays are and operations run."""

    name: str  # "numpy" or "cupy", as users choose it
    on_host: bool  # whether its arrays lie in the host's memory, where SciPy can work with them
    precisions: tuple[str, ...]  # of products of float32 data, as users choose them
    xp: ArrayModule
    chunk_elements: int  # of the widest buffer of a prediction
    block_elements: int  # of rows that are worked on together
    product_elements: int  # at least, of rows that are centred and multiplied together
    segment_elements: int  # of rows that a thread takes

    # ---- arrays -------------------------------------------------------------------------

    def asarray(self, array: Any, dtype: Any = None) -> Array:
        """Bring a NumPy array to this backend's memory; no copy where it already is there."""

    def to_host(self, array: Array) -> Array:
        """Return ``array`` as a NumPy array."""

    def holds(self, array: Any) -> bool:
        """Return whether a dense array lies in this backend's memory."""

    def has_room(self, n_bytes: int) -> bool:
        """Return whether this backend's memory has room for data of this size, and for the work on it."""

    def has_room_for_copy(self, array: Array) -> bool:
        """Return whether a large array may be copied where it lies, to be read faster."""

    def explained_memory_errors(self) -> AbstractContextManager[Any]:
        """Return a context that raises errors for lack of memory again, with advice."""

    def ring(self, shape: tuple[int, ...], dtype: Any) -> Ring:
        """Return buffers along the first axis, for data that does not lie in this backend's memory."""

    # ---- plans --------------------------------------------------------------------------

    def calls(self, operation: Operation) -> list[Call]:
        """Return the calls that run an operation: of fused kernels, or of its definition."""

    def loop(self, plan: Iterable[Operation]) -> CompiledPlan:
        """Compile a plan into a loop over calls, whatever its size."""

    def compile(self, plan: Sequence[Operation]) -> CompiledPlan:
        """Compile a plan that will run many times."""

    def execute(self, *plan: Operation) -> None:
        """Run operations once."""

    # ---- transformers -------------------------------------------------------------------

    def map_pieces(self, work: Callable[[Any], T], pieces: Sequence[Any]) -> list[T]:
        """Return ``work(piece)`` of each piece, in their order; several threads may share them."""

    def one_blas_thread(self) -> AbstractContextManager[Any]:
        """Return a context in which BLAS has one thread, so that the threads of ``map_pieces`` have the cores."""

    def column_moments(self, X: Array, weight: Array | None = None) -> tuple[Array, Array, Array, Array]:
        """Return sum of weights, mean, its rest, and sum of squared deviations of each column."""

    def column_extremes(self, X: Array) -> tuple[Array, Array]:
        """Return the least and the greatest value of each column."""

    def group_moments(self, x: Array) -> tuple[Array, Array, Array]:
        """Return number, mean and sum of squared deviations of the values of each group of each row."""

    def group_extremes(self, x: Array) -> tuple[Array, Array]:
        """Return the least and the greatest value of each group of each row."""

    def has_infinity(self, x: Array) -> bool:
        """Return whether a block of floats holds infinity."""

    def shift_scale(self, x: Array, shift: Array, scale: Array) -> None:
        """x = (x - shift) / scale in place."""

    def scale_shift(self, x: Array, scale: Array, shift: Array) -> None:
        """x = x * scale + shift in place."""

    def center(self, X: Array, mean: Array, out: Array) -> None:
        """out = X - mean."""

    def gram(self, x: Array, out: Array, work: Array) -> None:
        """out += x^T x."""

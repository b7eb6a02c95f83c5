"""Batches of rows, dense or sparse: how X enters the first layer.

A batch gives the operations of the product of its rows with the first layer's weights, and of that product's backward.
A training batch also draws its rows from X by their numbers, so that shuffling permutes row numbers and never X.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .._backend import operations as ops
from .._backend.operations import DropoutNoise, Operation, operation
from .._backend.philox import keeps
from .._backend.protocol import Backend
from .._backend.typing import Array, ArrayModule


class Numbered(Protocol):
    """A table of rows, and the numbers ``order (streams, n)`` of those that an epoch draws: see `rows.Feed`."""

    @property
    def table(self) -> Any: ...
    @property
    def order(self) -> Array: ...


class Batch:
    """Base of all batches."""

    def fetch(self) -> list[Operation]:
        """Return the operations that fetch the rows at which the clock points."""
        return []

    def product(self, W: Array, out: Array) -> Operation:
        """Return the operation out = x @ W."""
        raise NotImplementedError

    def transposed_product(self, d: Array, dW: Array) -> Operation:
        """Return the operation dW = x^T @ d."""
        raise NotImplementedError


# ---- dense ------------------------------------------------------------------------------


class DenseBatch(Batch):
    """Rows ``x (streams, rows, features)`` of a dense X."""

    def __init__(self, x: Array) -> None:
        self.x = x

    def product(self, W: Array, out: Array) -> Operation:
        return ops.MatMul(self.x, W, out)

    def transposed_product(self, d: Array, dW: Array) -> Operation:
        return ops.MatMul(self.x.swapaxes(-1, -2), d, dW)


class DrawnDenseBatch(DenseBatch):
    """A dense batch that is gathered anew for each step."""

    def __init__(self, backend: Backend, feed: Numbered, n_rows: int, clock: Array) -> None:
        table, order = feed.table, feed.order
        super().__init__(backend.xp.empty((len(order), n_rows, table.shape[1]), table.dtype))
        self._source = table, order, clock

    def fetch(self) -> list[Operation]:
        return [ops.Gather(*self._source, self.x)]


class DroppedDenseBatch(DenseBatch):
    """A drawn batch in which some of the inputs are set to zero, others for each model."""

    def __init__(self, backend: Backend, drawn: DrawnDenseBatch, noise: DropoutNoise) -> None:
        super().__init__(backend.xp.empty((len(noise.keys), *drawn.x.shape[1:]), drawn.x.dtype))
        self._drawn, self._noise, self._keep = drawn, noise, backend.xp.empty(self.x.shape, bool)

    def fetch(self) -> list[Operation]:
        return [*self._drawn.fetch(), ops.Dropout(self._drawn.x, self._noise, 0, self._keep, self.x)]


# ---- sparse -----------------------------------------------------------------------------

# SciPy multiplies sparse matrices, on the host: these operations have no other kernel than their definition.


class SparseBatch(Batch):
    """Rows of a CSR matrix, one matrix a stream; they stay sparse."""

    def __init__(self, matrices: list[Any]) -> None:
        self.matrices = matrices

    def of_model(self, model: int) -> Any:
        """Return the matrix of a model: all share one, or each has its own."""
        return self.matrices[min(model, len(self.matrices) - 1)]

    def product(self, W: Array, out: Array) -> Operation:
        return SparseProduct(self, W, out)

    def transposed_product(self, d: Array, dW: Array) -> Operation:
        return TransposedSparseProduct(self, d, dW)


class DrawnSparseBatch(SparseBatch):
    """A sparse batch that is cut anew for each step."""

    def __init__(self, feed: Numbered, n_rows: int, clock: Array) -> None:
        super().__init__([])
        self._source = feed.table, n_rows, feed.order, clock

    def fetch(self) -> list[Operation]:
        return [CutRows(*self._source, self)]


class DroppedSparseBatch(SparseBatch):
    """A drawn sparse batch in which some of the inputs are set to zero: those that the same dense batch would lose."""

    def __init__(self, drawn: DrawnSparseBatch, noise: DropoutNoise) -> None:
        super().__init__([])
        self._drawn, self._noise = drawn, noise

    def fetch(self) -> list[Operation]:
        return [*self._drawn.fetch(), DropSparse(self._drawn, self._noise, self)]


@operation
class SparseProduct(Operation):
    """out = x @ W for the rows x of a sparse batch."""

    batch: SparseBatch
    W: Array
    out: Array

    def define(self, xp: ArrayModule) -> None:
        for k in range(len(self.W)):
            self.out[k] = self.batch.of_model(k) @ self.W[k]


@operation
class TransposedSparseProduct(Operation):
    """dW = x^T @ d for the rows x of a sparse batch."""

    batch: SparseBatch
    d: Array
    dW: Array

    def define(self, xp: ArrayModule) -> None:
        for k in range(len(self.d)):
            self.dW[k] = self.batch.of_model(k).T @ self.d[k]


@operation
class CutRows(Operation):
    """Give a batch the ``n_rows`` rows of X, a CSR matrix, at which the clock points."""

    X: Any
    n_rows: int
    order: Array
    clock: Array
    batch: SparseBatch

    def define(self, xp: ArrayModule) -> None:
        first = int(self.clock[1])
        self.batch.matrices = [self.X[numbers[first : first + self.n_rows]] for numbers in self.order]


@operation
class DropSparse(Operation):
    """Give a batch the rows of another one with some of the inputs set to zero."""

    drawn: SparseBatch
    noise: DropoutNoise
    batch: SparseBatch

    def define(self, xp: ArrayModule) -> None:
        self.batch.matrices = [self._dropped(self.drawn.of_model(k).copy(), k) for k in range(len(self.noise.keys))]

    def _dropped(self, rows: Any, model: int) -> Any:
        noise = self.noise._replace(rates=self.noise.rates[[model]], keys=self.noise.keys[[model]])
        row_numbers = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        elements = row_numbers * rows.shape[1] + rows.indices
        rows.data *= keeps(np, elements, rows.shape[0] * rows.shape[1], noise, 0)[0] / (1 - noise.rates[0, 0])
        return rows

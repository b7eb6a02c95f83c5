"""Batches of rows, dense or sparse: how X enters the first layer.

A batch gives the operations of the product of its rows with the first layer's weights, and of that product's backward.
A training batch also draws its rows from X by their numbers, so that shuffling permutes row numbers and never X.
"""

from __future__ import annotations

from typing import Any, Protocol

from .._backend import operations as ops
from .._backend.operations import CSRStack, DropoutNoise, Operation
from .._backend.protocol import Backend
from .._backend.typing import Array


class RowSource(Protocol):
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


class DenseTrainingBatch(DenseBatch):
    """A dense batch that is gathered anew for each step."""

    def __init__(self, backend: Backend, feed: RowSource, n_rows: int, clock: Array) -> None:
        table, order = feed.table, feed.order
        super().__init__(backend.xp.empty((len(order), n_rows, table.shape[1]), table.dtype))
        self._source = table, order, clock

    def fetch(self) -> list[Operation]:
        return [ops.Gather(*self._source, self.x)]


class DenseDropoutBatch(DenseBatch):
    """A training batch in which some inputs are set to zero, others for each model."""

    def __init__(self, backend: Backend, batch: DenseTrainingBatch, noise: DropoutNoise) -> None:
        super().__init__(backend.xp.empty((len(noise.keys), *batch.x.shape[1:]), batch.x.dtype))
        self._batch, self._noise, self._keep = batch, noise, backend.xp.empty(self.x.shape, bool)

    def fetch(self) -> list[Operation]:
        return [*self._batch.fetch(), ops.Dropout(self._batch.x, self._noise, 0, self._keep, self.x)]


# ---- sparse -----------------------------------------------------------------------------


class SparseBatch(Batch):
    """Rows ``x`` of CSR matrices, one matrix a stream; they stay sparse."""

    def __init__(self, x: CSRStack) -> None:
        self.x = x

    def product(self, W: Array, out: Array) -> Operation:
        return ops.SparseProduct(self.x, W, out)

    def transposed_product(self, d: Array, dW: Array) -> Operation:
        return ops.TransposedSparseProduct(self.x, d, dW)


class SparseTrainingBatch(SparseBatch):
    """A sparse batch that is gathered anew for each step."""

    def __init__(self, feed: RowSource, n_rows: int, clock: Array) -> None:
        table, order = feed.table, feed.order
        super().__init__(CSRStack.empty(len(order), (n_rows, table.shape[1]), table.nnz / table.shape[0]))
        self._source = table, order, clock

    def fetch(self) -> list[Operation]:
        return [ops.SparseGather(*self._source, self.x)]


class SparseDropoutBatch(SparseBatch):
    """A sparse training batch in which some inputs are set to zero: those that the same dense batch would lose."""

    def __init__(self, batch: SparseTrainingBatch, noise: DropoutNoise) -> None:
        super().__init__(CSRStack.empty(len(noise.keys), batch.x.shape, batch.x.row_nnz))
        self._batch, self._noise = batch, noise

    def fetch(self) -> list[Operation]:
        return [*self._batch.fetch(), ops.SparseDropout(self._batch.x, self._noise, self.x)]

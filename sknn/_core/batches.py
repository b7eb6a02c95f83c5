"""Batches of rows, dense or sparse: how X enters the first layer.

A batch knows the product of its rows with the first layer's weights and that product's backward; a training batch also
draws its rows from X by their numbers, so that shuffling permutes row numbers and never X.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .._backend.philox import keeps
from .network import run
from .stages import transposed

COPIED = 2**26  # bytes of rows up to which a copy of another layout is no matter


def is_sparse(X):
    """Whether X is a SciPy sparse matrix or array."""
    return hasattr(X, "tocsr")


def by_row(backend, X):
    """Return X row after row in memory, as a copy if that is small: rows are slow to gather from a table by column."""
    if is_sparse(X) or X.flags.c_contiguous or not (X.nbytes <= COPIED or backend.has_room_for_copy(X)):
        return X
    return X.copy(order="C")


class DenseBatch:
    """Rows ``x (streams, rows, features)`` of a dense X."""

    def __init__(self, backend, x):
        self.backend, self.x = backend, x

    def project(self, W, z):
        """Return the call of z = x @ W."""
        return partial(self.backend.matmul, self.x, W, z)

    def project_backward(self, dz, dW):
        """Return the call of dW = x^T @ dz."""
        return partial(self.backend.matmul, transposed(self.x), dz, dW)


class DrawnDenseBatch(DenseBatch):
    """A dense batch that is gathered anew for each step."""

    def __init__(self, backend, X, n_rows, order, clock):
        super().__init__(backend, backend.xp.empty((len(order), n_rows, X.shape[1]), X.dtype))
        self._source = X, order, clock

    def draw(self):
        """Return the calls that gather the rows that the clock points at."""
        return [partial(self.backend.gather, *self._source, self.x)]


class SparseBatch:
    """Rows of a CSR matrix, one matrix a stream; they stay sparse."""

    def __init__(self, rows):
        self.rows = rows

    def _of(self, model):
        return self.rows[min(model, len(self.rows) - 1)]

    def project(self, W, z):
        """Return the call of z = x @ W."""
        return partial(self._project, W, z)

    def project_backward(self, dz, dW):
        """Return the call of dW = x^T @ dz."""
        return partial(self._project_backward, dz, dW)

    def _project(self, W, z):
        for k in range(len(W)):
            z[k] = self._of(k) @ W[k]

    def _project_backward(self, dz, dW):
        for k in range(len(dz)):
            dW[k] = self._of(k).T @ dz[k]


class DrawnSparseBatch(SparseBatch):
    """A sparse batch that is cut anew for each step."""

    def __init__(self, X, n_rows, order, clock):
        super().__init__([])
        self._source = X, n_rows, order, clock

    def draw(self):
        """Return the calls that cut the rows that the clock points at."""
        return [self._cut]

    def _cut(self):
        X, n_rows, order, clock = self._source
        first = int(clock[1])
        self.rows = [X[numbers[first : first + n_rows]] for numbers in order]


class DroppedDenseBatch(DenseBatch):
    """A drawn batch in which some of the inputs are set to zero, others for each model."""

    def __init__(self, backend, drawn, noise):
        super().__init__(backend, backend.xp.empty((len(noise.keys), *drawn.x.shape[1:]), drawn.x.dtype))
        self._drawn, self._noise, self._keep = drawn, noise, backend.xp.empty(self.x.shape, bool)

    def draw(self):
        """Return the calls that gather the rows that the clock points at, and set some of their values to zero."""
        return [*self._drawn.draw(), partial(self.backend.dropout, self._drawn.x, self._noise, 0, self._keep, self.x)]


class DroppedSparseBatch(SparseBatch):
    """A drawn sparse batch in which some of the inputs are set to zero: those that the same dense batch would lose."""

    def __init__(self, drawn, noise):
        super().__init__([])
        self._drawn, self._noise = drawn, noise

    def draw(self):
        """Return the calls that cut the rows that the clock points at, and set some of their values to zero."""
        return [*self._drawn.draw(), self._drop]

    def _drop(self):
        self.rows = [self._dropped(self._drawn._of(k).copy(), k) for k in range(len(self._noise.keys))]

    def _dropped(self, rows, model):
        noise = self._noise._replace(rates=self._noise.rates[[model]], keys=self._noise.keys[[model]])
        row_numbers = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        elements = row_numbers * rows.shape[1] + rows.indices
        rows.data *= keeps(np, elements, rows.shape[0] * rows.shape[1], noise, 0)[0] / (1 - noise.rates[0, 0])
        return rows


def drawn_batch(backend, X, n_rows, order, clock, noise=None):
    """Return a batch of ``n_rows`` rows of X that follows ``order`` and ``clock``; ``noise`` is for input dropout."""
    if is_sparse(X):
        batch = DrawnSparseBatch(X, n_rows, order, clock)
        return batch if noise is None else DroppedSparseBatch(batch, noise)
    batch = DrawnDenseBatch(backend, X, n_rows, order, clock)
    return batch if noise is None else DroppedDenseBatch(backend, batch, noise)


class MovingBatch:
    """Some rows of X that lie together, or of those that ``rows (streams, n)`` numbers: others for each pass."""

    def __init__(self, backend, X, n_rows, rows=None):
        self._backend, self._X, self._n_rows, self._rows = backend, X, n_rows, rows
        self._current, self._draw = None, None
        if rows is not None and (is_sparse(X) or backend.holds(X)):
            self._clock = backend.xp.zeros(3, np.int64)
            self._current = drawn_batch(backend, X, n_rows, backend.asarray(rows), self._clock)
            self._draw = self._current.draw()

    def move_to(self, first):
        """Go to the rows from number ``first`` on."""
        chosen = slice(first, first + self._n_rows)
        if self._draw is not None:
            self._clock[1] = first
            run(self._draw)
        elif self._rows is None:
            self._current = whole_batch(self._backend, self._X[chosen])
        else:
            self._current = DenseBatch(self._backend, self._backend.asarray(self._X[self._rows[:, chosen]]))

    def project(self, W, z):
        """Return the call of z = x @ W."""
        return lambda: self._current.project(W, z)()


def whole_batch(backend, X):
    """Return all rows of X as one batch, shared by all models of a stack; a copy only where they lie elsewhere."""
    return SparseBatch([X]) if is_sparse(X) else DenseBatch(backend, backend.asarray(X)[None])

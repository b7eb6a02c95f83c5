"""Rows of X: checked, and placed where they are computed.

`rows_of` decides once the kind of the rows of X: dense in the backend's memory, sparse, or dense rows of which a GPU
has no room for all. Each kind knows how to give batches, chunks and pieces of itself, so that no other code asks.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod
from typing import Any, TypeVar

import numpy as np
import sklearn
from scipy.sparse import issparse

from .._backend import get_backend, is_device_array, to_numpy
from .._backend.operations import CSRStack, DropoutNoise, Gather
from .._backend.protocol import Backend
from .._backend.typing import Array, ArrayModule
from .batches import (
    Batch,
    DenseBatch,
    DenseDropoutBatch,
    DenseTrainingBatch,
    SparseBatch,
    SparseDropoutBatch,
    SparseTrainingBatch,
)

COPIED_BYTES = 2**26  # of rows up to which a copy in another layout is made without a question
STREAMED_BYTES = 2**26  # of training rows that are brought to a GPU at once, if that is more than a batch
MOVED_ELEMENTS = 2**25  # of rows that transformers bring to a GPU at a time
EXAMINED_ELEMENTS = 2**21  # at least, of rows that are examined for NaN and infinity at a time
N_COMPARED = 128  # rows, evenly spread, whose checksums tell other rows from these

T = TypeVar("T")


class Feed:
    """Source of the training rows of an epoch, which may come in several pieces.

    ``table`` has the rows, ``order (streams, n)`` their numbers in it; ``pieces`` has the lengths of the batches of
    each piece. Here everything is one piece that is there already.
    """

    def __init__(self, rows: Rows, order: Array, pieces: list[Array]) -> None:
        self.table, self.order, self.pieces = rows.X, order, pieces

    def follow(self, order: Array) -> None:
        """Draw the rows of the next epoch in this order."""

    def __iter__(self) -> Iterator[int]:
        """Yield the number of each piece as soon as its rows are there."""
        yield 0


class StreamedFeed(Feed):
    """Training rows that do not fit: while steps use the rows of one piece, those of the next are brought.

    ``table`` has room for two pieces, which take turns.
    """

    def __init__(self, rows: StreamedRows, n_streams: int, lengths: Array) -> None:
        backend, X = rows.backend, rows.X
        per_piece = max(1, STREAMED_BYTES // (n_streams * X[:1].nbytes) // int(lengths.max()))  # batches
        pieces = np.split(lengths, range(per_piece, len(lengths), per_piece))
        sizes = [int(piece.sum()) for piece in pieces]
        self._X, self._starts = X, np.cumsum([0, *sizes])
        self._ring = backend.ring((min(2, len(sizes)), n_streams, max(sizes), X.shape[1]), X.dtype)
        positions = backend.asarray(self._positions(n_streams, max(sizes)))
        super().__init__(rows, positions, pieces)
        self.table = self._ring.table.reshape(-1, X.shape[1])

    def _positions(self, n_streams: int, room: int) -> Array:
        """Return the place in the table of each row of the epoch when its turn comes."""
        n = np.arange(self._starts[-1])
        piece = np.searchsorted(self._starts, n, side="right") - 1
        stream = np.arange(n_streams)[:, None]
        return (piece % 2 * n_streams + stream) * room + n - self._starts[piece]

    def follow(self, order: Array) -> None:
        self._order = order

    def __iter__(self) -> Iterator[int]:
        gathers = [partial(self._gather, number) for number in range(len(self.pieces))]
        for number, _ in enumerate(self._ring.stream(gathers)):
            yield number

    def _gather(self, number: int, out: Array) -> None:
        rows = self._order[:, self._starts[number] : self._starts[number + 1]]
        for numbers, gathered in zip(rows, out, strict=True):
            if self._X.flags.c_contiguous:
                self._X.take(numbers, axis=0, out=gathered[: len(numbers)], mode="clip")  # another mode would copy
            else:  # of which ``take`` would copy the whole
                gathered[: len(numbers)] = self._X[numbers]


class Rows:
    """Base of all kinds of rows. ``on_device`` tells whether the user gave a CuPy array."""

    def __init__(self, backend: Backend, X: Any, on_device: bool = False) -> None:
        self.backend, self.X, self.on_device = backend, X, on_device

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.X.shape[0]

    @property
    def n_features(self) -> int:
        """Number of features of a row; each value of an image is one."""
        return prod(self.X.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """The type of the values."""
        return np.dtype(str(self.X.dtype))

    def __getitem__(self, key: Any) -> Rows:
        """Return some of the rows, of the same kind."""
        return type(self)(self.backend, self.X[key], self.on_device)

    # ---- results ------------------------------------------------------------------------

    @property
    def result_module(self) -> ArrayModule:
        """The array module of results for the rows: they lie together."""
        return self.backend.xp

    def to_result_memory(self, made: Array) -> Array:
        """Return results of the backend for some rows, brought to where the rows lie."""
        return made

    def as_input(self, result: Array) -> Array:
        """Return a result as CuPy array if X was one, else as NumPy array."""
        return get_backend("cupy").asarray(result) if self.on_device else to_numpy(result)

    def as_prediction(self, result: Array) -> Array:
        """Return predictions as NumPy array, or as X's kind where scikit-learn's array API dispatch is on."""
        dispatches = self.on_device and sklearn.get_config()["array_api_dispatch"]
        return self.as_input(result) if dispatches else to_numpy(result)

    # ---- networks -----------------------------------------------------------------------

    def feed(self, order: Array, lengths: Array) -> Feed:
        """Return the source of an epoch's rows, ``order`` being the table of row numbers of its steps."""
        return Feed(self, order, [lengths])

    def by_row(self) -> Rows:
        """Return the rows stored by row, as a copy if that is small: rows of a table by column are slow to gather."""
        return self

    def training_batch(self, feed: Feed, n_rows: int, clock: Array, noise: DropoutNoise | None = None) -> Batch:
        """Return a training batch of ``n_rows`` rows of a feed that follows the clock; ``noise`` drops inputs."""
        raise NotImplementedError

    def buffer_width(self, is_gathered: bool) -> int:
        """Return how many values of a row need a buffer in a chunk; ``is_gathered`` rows are copied together."""
        raise NotImplementedError

    def batch(self) -> Batch:
        """Return all rows as one batch, shared by all models of a stack."""
        raise NotImplementedError

    def chunk(self, chunk: slice, order: Array | None = None, spent: Any = None) -> Batch:
        """Return a chunk of the rows, or of those that ``order (streams, n)`` numbers, as one batch.

        The memory of ``spent``, an earlier chunk of the same length, may be used again.
        """
        raise NotImplementedError

    def checksums(self) -> tuple[int, ...]:
        """Return checksums of about ``N_COMPARED`` evenly spread rows, by which other rows are told from these."""
        chosen = self.X[:: max(1, self.n_rows // N_COMPARED)]
        return tuple(zlib.crc32(np.ascontiguousarray(part).data) for part in self._host_arrays(chosen))

    def _host_arrays(self, X: Any) -> list[Array]:
        """Return the values of some rows in arrays on the host."""
        return [to_numpy(X)]

    def require_dense(self, message: str) -> None:
        """Raise ValueError with this message if the rows are sparse."""

    # ---- transformers -------------------------------------------------------------------

    def pieces(self, n_elements: int | None = None, n_made: int = 0) -> list[slice]:
        """Return slices that cut the rows into pieces of at most ``n_elements``, or else of one row.

        ``n_made`` is the number of values made of a row, if that is more than it has.
        """
        n_elements = self.most_elements(n_elements or self.backend.segment_elements)
        n_rows, size = self.n_rows, max(1, n_elements // max(self.n_features, n_made))
        return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]

    def most_elements(self, n_elements: int) -> int:
        """Return ``n_elements``, or fewer where rows must be brought to the backend."""
        return n_elements

    def flat(self, piece: slice) -> Array:
        """Return some rows as ``(rows, features)``; a copy only of those that lie elsewhere, or in several places."""
        return self.backend.asarray(self.X[piece]).reshape(-1, self.n_features)

    def over_pieces(self, work: Callable[[Array, slice], T], n_elements: int | None = None, n_made: int = 0) -> list[T]:
        """Return the results of ``work(block, piece)`` for the pieces as flat rows, in their order."""
        pieces = self.pieces(n_elements, n_made)
        return self.backend.map_pieces(lambda piece: work(self.flat(piece), piece), pieces)

    def examine(self, check: Callable[[Backend, Array], None]) -> None:
        """Call ``check(backend, block)``, which may raise an error, for all rows."""
        size = max(EXAMINED_ELEMENTS, self.backend.block_elements)
        self.over_pieces(lambda block, _: check(self.backend, block), size)


class DenseRows(Rows):
    """Dense rows, or images, in the backend's memory."""

    def by_row(self) -> Rows:
        X, backend = self.X, self.backend
        if X.flags.c_contiguous or not (X.nbytes <= COPIED_BYTES or backend.has_room_for_copy(X)):
            return self
        return type(self)(backend, X.copy(order="C"), self.on_device)

    def training_batch(self, feed: Feed, n_rows: int, clock: Array, noise: DropoutNoise | None = None) -> Batch:
        batch = DenseTrainingBatch(self.backend, feed, n_rows, clock)
        return batch if noise is None else DenseDropoutBatch(self.backend, batch, noise)

    def buffer_width(self, is_gathered: bool) -> int:
        return self.n_features if is_gathered else 0

    def batch(self) -> Batch:
        return DenseBatch(self.backend.asarray(self.X)[None])

    def chunk(self, chunk: slice, order: Array | None = None, spent: Any = None) -> Batch:
        if order is None:
            return DenseBatch(self.X[chunk][None])
        backend, numbers = self.backend, self.backend.asarray(order[:, chunk])
        batch = (
            DenseBatch(backend.xp.empty((*numbers.shape, self.n_features), self.X.dtype)) if spent is None else spent
        )
        backend.execute(Gather(self.X, numbers, backend.xp.zeros(3, np.int64), batch.x))
        return batch


class StreamedRows(DenseRows):
    """Dense rows on the host for which a GPU has no room: they are brought to it in pieces."""

    @property
    def result_module(self) -> ArrayModule:
        return np

    def to_result_memory(self, made: Array) -> Array:
        return self.backend.to_host(made)

    def feed(self, order: Array, lengths: Array) -> Feed:
        return StreamedFeed(self, len(order), lengths)

    def buffer_width(self, is_gathered: bool) -> int:
        return self.n_features

    def chunk(self, chunk: slice, order: Array | None = None, spent: Any = None) -> Batch:
        rows = self.X[chunk][None] if order is None else self.X[order[:, chunk]]
        return DenseBatch(self.backend.asarray(rows))

    def most_elements(self, n_elements: int) -> int:
        return min(n_elements, MOVED_ELEMENTS)

    def over_pieces(self, work: Callable[[Array, slice], T], n_elements: int | None = None, n_made: int = 0) -> list[T]:
        pieces = self.pieces(n_elements, n_made)
        return [work(*brought) for brought in self._brought(pieces)]

    def _brought(self, pieces: Sequence[slice]) -> Iterator[tuple[Array, slice]]:
        """Yield the block of each piece in the backend's memory, with the piece."""
        sizes = [piece.stop - piece.start for piece in pieces]
        ring = self.backend.ring((min(2, len(pieces)), max(sizes), *self.X.shape[1:]), self.X.dtype)
        gathers = [partial(self._copy, piece) for piece in pieces]
        for buffer, piece, size in zip(ring.stream(gathers), pieces, sizes, strict=True):
            yield buffer[:size].reshape(size, -1), piece

    def _copy(self, piece: slice, out: Array) -> None:
        out[: piece.stop - piece.start] = self.X[piece]


class SparseRows(Rows):
    """A SciPy sparse matrix or array, CSR where networks use it; SciPy computes with it on the host."""

    def training_batch(self, feed: Feed, n_rows: int, clock: Array, noise: DropoutNoise | None = None) -> Batch:
        batch = SparseTrainingBatch(feed, n_rows, clock)
        return batch if noise is None else SparseDropoutBatch(batch, noise)

    def buffer_width(self, is_gathered: bool) -> int:
        return 0

    def batch(self) -> Batch:
        return SparseBatch(CSRStack.of([self.X]))

    def chunk(self, chunk: slice, order: Array | None = None, spent: Any = None) -> Batch:
        rows = [self.X[chunk]] if order is None else [self.X[numbers[chunk]] for numbers in order]
        return SparseBatch(CSRStack.of(rows))

    def _host_arrays(self, X: Any) -> list[Array]:
        X = X.copy()
        X.eliminate_zeros()  # which may be stored or not
        return [X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)]

    def require_dense(self, message: str) -> None:
        raise ValueError(message)

    def examine(self, check: Callable[[Backend, Array], None]) -> None:
        check(self.backend, self.X.data)


def rows_of(backend: Backend, X: Any, n_made: int = 0) -> Rows:
    """Return checked rows placed where they are computed.

    They stay on the host if the backend has no room for them and ``n_made`` bytes more.
    """
    if type(X) is np.ndarray and backend.on_host:
        return DenseRows(backend, X)  # asked first, as a prediction of one row waits for it
    if issparse(X):
        if not backend.on_host:
            raise ValueError(f"sparse X must be computed with backend='numpy'; got backend={backend.name!r}.")
        return SparseRows(backend, X)
    on_device = is_device_array(X)
    if on_device and backend.on_host:
        X = to_numpy(X)
    if not backend.has_room(X.nbytes + n_made):
        return DenseRows(backend, X, on_device) if backend.holds(X) else StreamedRows(backend, X, on_device)
    return DenseRows(backend, backend.asarray(X), on_device)

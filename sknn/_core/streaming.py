"""Where training rows are drawn from: an X that the backend holds, or one that is brought to it piece by piece."""

from __future__ import annotations

from functools import partial

import numpy as np

from .batches import is_sparse

STREAMED = 2**26  # bytes of rows that are brought at once, if that is more than a batch


class HeldRows:
    """An X that lies where the backend computes, or a sparse one: an epoch is one piece."""

    def __init__(self, X, order, lengths):
        self.table, self.order = X, order
        self.pieces = [lengths]

    def follow(self, order):
        """Draw the rows of the next epoch in this order, which the table of the step has been given already."""

    def __iter__(self):
        """Yield the number of each piece when its rows are there."""
        yield 0


class StreamedRows:
    """An X that does not fit: while steps use the rows of one piece, those of the next are gathered and copied.

    ``table`` has room for two pieces, which take turns; ``order (streams, n)`` numbers its rows.
    """

    def __init__(self, backend, X, n_streams, lengths):
        self._X = X
        self.pieces = _pieces(lengths, max(1, STREAMED // (n_streams * X[:1].nbytes)))
        sizes = [int(piece.sum()) for piece in self.pieces]
        self._starts = np.cumsum([0, *sizes])
        self._ring = backend.ring((min(2, len(sizes)), n_streams, max(sizes), X.shape[1]), X.dtype)
        self.table = self._ring.table.reshape(-1, X.shape[1])
        self.order = backend.asarray(self._positions(n_streams, max(sizes)))

    def _positions(self, n_streams, room):
        """Return where in the table each row of the epoch is when its turn comes."""
        n = np.arange(self._starts[-1])
        piece = np.searchsorted(self._starts, n, side="right") - 1
        stream = np.arange(n_streams)[:, None]
        return (piece % 2 * n_streams + stream) * room + n - self._starts[piece]

    def follow(self, order):
        """Draw the rows of the next epoch in this order."""
        self._order = order

    def __iter__(self):
        """Yield the number of each piece when its rows are there; while it is used, the next one is brought."""
        gathers = [partial(self._gather, number) for number in range(len(self.pieces))]
        for number, _ in enumerate(self._ring.stream(gathers)):
            yield number

    def _gather(self, number, out):
        rows = self._order[:, self._starts[number] : self._starts[number + 1]]
        for numbers, gathered in zip(rows, out, strict=True):
            if self._X.flags.c_contiguous:
                self._X.take(numbers, axis=0, out=gathered[: len(numbers)], mode="clip")  # another mode would copy
            else:  # of which ``take`` would copy the whole
                gathered[: len(numbers)] = self._X[numbers]


def _pieces(lengths, most_rows):
    """Cut an epoch's batches into pieces of at most so many rows, or of one batch."""
    per_piece = max(1, most_rows // int(lengths.max()))
    return np.split(lengths, range(per_piece, len(lengths), per_piece))


def training_rows(backend, X, order, lengths):
    """Return where to draw the batches of an epoch from, ``order`` being the table of row numbers of its steps."""
    if is_sparse(X) or backend.holds(X):
        return HeldRows(X, order, lengths)
    return StreamedRows(backend, X, len(order), lengths)

"""Raw outputs of a stack for any number of rows, in chunks of bounded memory."""

from __future__ import annotations

from .batches import DenseBatch, SparseBatch, is_sparse, whole_batch
from .network import Pass, run

CHUNK_ELEMENTS = 2**20  # of the widest layer: 4 MB in float32


def raw_outputs(backend, network, parameters, X, rows=None):
    """Return what the output layer says before the link, ``(models, n, outputs)``.

    ``parameters`` has the views of each layer where the backend computes, as ``Layout.views`` returns them.
    ``rows (streams, n)`` chooses rows of X by number; by default all of them are taken in order.
    """
    n_models, _, n_outputs = parameters[-1]["weights"].shape
    n_rows = X.shape[0] if rows is None else rows.shape[1]
    out = backend.xp.empty((n_models, n_rows, n_outputs), parameters[-1]["weights"].dtype)
    size = max(1, CHUNK_ELEMENTS // max(network.widths))
    for start in range(0, n_rows, size):
        chunk = slice(start, min(start + size, n_rows))
        batch = _batch(backend, X, chunk, rows)
        run(Pass(backend, network, batch, chunk.stop - start, parameters, out=out[:, chunk]).forward)
    return out


def _batch(backend, X, chunk, rows):
    if rows is None:
        return whole_batch(backend, X[chunk])
    if is_sparse(X):
        return SparseBatch([X[numbers] for numbers in rows[:, chunk]])
    return DenseBatch(backend, X[rows[:, chunk]])

"""Raw outputs of a stack for any number of rows, in chunks of bounded memory."""

from __future__ import annotations

from .batches import DenseBatch, SparseBatch, is_sparse, whole_batch
from .network import Activity, forward_plan, run

CHUNK_ELEMENTS = 2**20  # of the widest layer: 4 MB in float32


def raw_outputs(backend, network, weights, biases, X, rows=None):
    """Return what the output layer says before the link, ``(models, n, outputs)``.

    ``rows (streams, n)`` chooses rows of X by number; by default all of them are taken in order.
    """
    n_models = len(weights[0])
    n_rows = X.shape[0] if rows is None else rows.shape[1]
    out = backend.xp.empty((n_models, n_rows, network.widths[-1]), weights[0].dtype)
    size = max(1, CHUNK_ELEMENTS // max(network.widths))
    for start in range(0, n_rows, size):
        chunk = slice(start, min(start + size, n_rows))
        batch = _batch(backend, X, chunk, rows)
        activity = Activity(backend, network, n_models, chunk.stop - start, out.dtype)
        activity.z[-1] = activity.y[-1] = out[:, chunk]
        run(forward_plan(backend, network, batch, weights, biases, activity))
    return out


def _batch(backend, X, chunk, rows):
    if rows is None:
        return whole_batch(backend, X[chunk])
    if is_sparse(X):
        return SparseBatch([X[numbers] for numbers in rows[:, chunk]])
    return DenseBatch(backend, X[rows[:, chunk]])

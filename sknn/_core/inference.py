"""Raw outputs of a stack for any number of rows, in chunks of bounded memory."""

from __future__ import annotations

import numpy as np

from .batches import MovingBatch, is_sparse, whole_batch
from .network import Pass, run
from .stages import Training

LEAST_ROWS = 128  # of a chunk, however wide they are: no more than a batch


def raw_outputs(backend, network, parameters, statistics, X):
    """Return what the output layer says before the link, ``(models, n, outputs)``.

    ``parameters`` and ``statistics`` have the views of each layer where the backend computes, as `Layout` gives them.
    """
    n_rows = X.shape[0]
    if n_rows > most_rows(backend, network, X):
        return ChunkedPass(backend, network, parameters, statistics, X).outputs()
    # a few rows are not worth what a pass by chunks sets up: a tenth of the time of one row
    passage = Pass(backend, network, whole_batch(backend, X), n_rows, parameters, statistics)
    run(passage.forward)
    return passage.outputs.value


def predictions(backend, network, parameters, statistics, X):
    """Return what the output layer says behind the link, where X lies: what is made of many rows may be large, too."""
    if is_sparse(X) or backend.holds(X):
        outputs = raw_outputs(backend, network, parameters, statistics, X)
        backend.link(network.loss, outputs)
        return outputs
    parts = []
    for _, passage in ChunkedPass(backend, network, parameters, statistics, X):
        run(passage.forward)
        backend.link(network.loss, passage.outputs.value)
        parts.append(np.array(backend.to_host(passage.outputs.value)))  # a copy, as buffers serve all chunks
    return np.concatenate(parts, axis=1)


def most_rows(backend, network, X, gathers=False):
    """Return of how many rows of X a chunk may be; what ``gathers`` or moves them needs a buffer for them, too."""
    widest = max(layer.width for layer in network.layers)
    if not is_sparse(X) and (gathers or not backend.holds(X)):
        widest = max(widest, X.shape[1])
    return max(LEAST_ROWS, backend.chunk_elements // widest)


class ChunkedPass:
    """A pass over the rows of X, or those that ``rows (streams, n)`` numbers, on buffers made once for all chunks."""

    def __init__(self, backend, network, parameters, statistics, X, rows=None):
        self.n_rows = X.shape[0] if rows is None else rows.shape[1]
        n_chunks = -(-self.n_rows // most_rows(backend, network, X, gathers=rows is not None))
        self._size = -(-self.n_rows // n_chunks)
        self._made_of = backend, network, parameters, statistics
        self._rows = X, rows
        self._passes = {}

    def __iter__(self):
        """Yield slices of the rows, of bounded memory, each with a pass that is ready to run on it."""
        for start in range(0, self.n_rows, self._size):
            chunk = slice(start, min(start + self._size, self.n_rows))
            batch, passage = self._of_length(chunk.stop - start)
            batch.move_to(start)
            yield chunk, passage

    def outputs(self):
        """Return raw outputs ``(models, n, outputs)``; they may be overwritten when they are asked for again."""
        out = None
        for chunk, passage in self:
            run(passage.forward)
            part = passage.outputs.value
            if chunk.stop - chunk.start == self.n_rows:
                return part
            if out is None:
                out = self._made_of[0].xp.empty((len(part), self.n_rows, part.shape[2]), part.dtype)
            out[:, chunk] = part
        return out

    def _of_length(self, n_rows):
        if n_rows not in self._passes:
            backend, network, parameters, statistics = self._made_of
            batch = MovingBatch(backend, self._rows[0], n_rows, self._rows[1])
            self._passes[n_rows] = batch, Pass(backend, network, batch, n_rows, parameters, statistics)
        return self._passes[n_rows]


def adapted(backend, network, theta, statistics, X, sample_weight, rows):
    """Return ``theta (1, P)`` adapted to what its layers make of the chosen rows of X, layer after layer."""
    theta = theta.copy()
    n_rows = len(rows)
    weight = np.ones(n_rows, theta.dtype) if sample_weight is None else sample_weight[rows]
    gradients = network.layout.views(backend.xp.zeros_like(backend.asarray(theta)))
    training = Training(gradients, backend.asarray(weight)[None], tracks=False)
    kept = network.statistics_layout.views(backend.asarray(statistics))
    for i, layer in enumerate(network.layers):
        if layer.follows_data:
            parameters = network.layout.views(backend.asarray(theta))
            passage = Pass(backend, network, whole_batch(backend, X[rows]), n_rows, parameters, kept, training)
            outputs = backend.to_host(passage.linear_outputs(i))[0].astype(np.float64)
            layer.adapt(network.layout.views(theta)[i], outputs, weight)
    return theta


def population_statistics(backend, network, parameters, statistics, X, sample_weight=None, rows=None):
    """Return running statistics ``(models, Q)`` as they are over all rows, or the chosen ones, layer after layer.

    ``statistics`` has what is there so far, whose number of updates is kept. Moments are added up in float64.
    """
    statistics = statistics.copy()
    for i, layer in enumerate(network.layers):
        if not layer.kept():
            continue
        views = network.statistics_layout.views(backend.asarray(statistics))
        sums = _Moments(len(statistics), layer.normed_width)
        for chunk, passage in ChunkedPass(backend, network, parameters, views, X, rows):
            number = passage.norm_stage(i)
            passage.run_stages(number)
            sums.add(backend, passage.stages[number].source.value, _weights(backend, sample_weight, chunk, rows))
        kept = network.statistics_layout.views(statistics)[i]
        kept["means"][...], kept["variances"][...] = sums.mean[:, None], sums.unbiased_variance()[:, None]
        kept["updates"][...] = np.maximum(kept["updates"], 1 / layer.norm.momentum)
    return statistics


class _Moments:
    """Sum of weights, mean and sum of squared deviations of units, for each model, from pieces of the rows.

    Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance", The American Statistician 37, 1983.
    """

    def __init__(self, n_models, units):
        self.count, self.mean, self.squares = np.zeros((3, n_models, units))

    def add(self, backend, values, weights):
        """Add ``values (models, rows, units)``, each row with its weight if ``weights (streams, rows)`` is given."""
        for k, rows in enumerate(values):
            weight = None if weights is None else weights[min(k, len(weights) - 1)]
            count, mean, _, squares = map(backend.to_host, backend.column_moments(rows, weight))
            total = self.count[k] + count
            share = np.divide(count, total, out=np.zeros_like(total), where=total > 0)
            step = mean - self.mean[k]
            self.squares[k] += squares + step**2 * self.count[k] * share
            self.mean[k] += step * share
            self.count[k] = total

    def unbiased_variance(self):
        """Return the variance; a sum of weights of 2 or more counts as a number of rows, as in training."""
        return self.squares / np.where(self.count >= 2, self.count - 1, np.where(self.count > 0, self.count, 1))


def _weights(backend, sample_weight, chunk, rows):
    if sample_weight is None:
        return None
    chosen = sample_weight[chunk][None] if rows is None else sample_weight[rows[:, chunk]]
    return backend.asarray(chosen, np.float64)

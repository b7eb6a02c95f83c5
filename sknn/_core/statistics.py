"""Statistics of the rows that a network sees, layer by layer: those of batch norms, and those that a start follows."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.moments import Moments, merge
from .._common.rows import Rows
from .data import Problem
from .passes import ChunkedPass, Model, Pass
from .stages import BackwardContext
from .state import State


class Sample(NamedTuple):
    """Rows that statistics are taken of, all or those that ``order (streams, n)`` numbers, and the weight of each."""

    rows: Rows
    weight: Array | None = None
    order: Array | None = None

    def chunk_weight(self, chunk: slice) -> Array | None:
        """Return the weights ``(streams, n)`` of a chunk."""
        if self.weight is None:
            return None
        return self.weight[chunk][None] if self.order is None else self.weight[self.order[:, chunk]]


def population_statistics(model: Model, sample: Sample) -> Array:
    """Return the running statistics ``(models, Q)`` of a model over a whole sample, found layer after layer.

    The number of their updates is kept. Moments are summed in float64.
    """
    layout = model.network.statistics_layout
    statistics = model.host_statistics()
    for i, layer in enumerate(model.network.layers):
        if not layer.statistic_shapes():
            continue
        moments = _norm_moments(model, i, sample)
        running = layout.views(statistics)[i]
        running["means"][...], running["variances"][...] = moments.mean[:, None], _unbiased_variance(moments)[:, None]
        momentum = layer.norm.momentum  # type: ignore[union-attr]  # norms with statistics have one
        running["updates"][...] = np.maximum(running["updates"], 1 / momentum)
        model = replace(model, statistics=layout.views(model.backend.asarray(statistics)))
    return statistics


def _norm_moments(model: Model, i: int, sample: Sample) -> Moments:
    """Return the moments ``(models, units)`` of the inputs of the norm of layer i."""
    parts = []
    for chunk, chunk_pass in ChunkedPass(model, sample.rows, sample.order):
        weight = sample.chunk_weight(chunk)
        weight = None if weight is None else model.backend.asarray(weight, np.float64)
        parts.append(_stack_moments(model.backend, chunk_pass.norm_inputs(i), weight))
    return reduce(merge, parts)


def _stack_moments(backend: Backend, values: Array, weight: Array | None) -> Moments:
    """Return the moments of ``values (models, rows, units)``, each row with its weight ``(streams, rows)``."""
    by_model = []
    for k, rows in enumerate(values):
        own = None if weight is None else weight[min(k, len(weight) - 1)]
        by_model.append([backend.to_host(part) for part in backend.column_moments(rows, own)])
    return Moments(*(np.stack(parts) for parts in zip(*by_model, strict=True)))


def _unbiased_variance(moments: Moments) -> Array:
    """Return the variance; a sum of weights of 2 or more counts as a number of rows, as in training."""
    count, squares = moments.count, moments.squares
    return squares / np.where(count >= 2, count - 1, np.where(count > 0, count, 1))


def adapt_to_data(problem: Problem, state: State, sample: Sample) -> Array:
    """Return ``theta (1, P)`` adapted to the outputs of its layers for all rows of a sample, layer after layer."""
    backend, network, theta, rows = problem.backend, problem.network, state.theta.copy(), sample.rows
    weight = np.ones(rows.n_rows, theta.dtype) if sample.weight is None else sample.weight
    gradients = network.layout.views(backend.xp.zeros_like(backend.asarray(theta)))
    context = BackwardContext(gradients, backend.asarray(weight)[None], tracks=False)
    for i, layer in enumerate(network.layers):
        if layer.follows_data:
            model = Model.of_flat(backend, network, theta, state.statistics)
            outputs = Pass(model, rows.batch(), rows.n_rows, context).linear_outputs(i)
            layer.adapt(network.layout.views(theta)[i], backend.to_host(outputs)[0].astype(np.float64), weight)
    return theta

"""Statistics of the rows that a network sees, layer by layer: those of batch norms, and those that a start follows.

`ServedStatistics` are those that ``fit`` ends with. Running statistics would lag behind: a step that changes weights
by w moves the mean of a unit by w times the mean of its inputs, which may be many standard deviations.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from .._backend.protocol import Backend
from .._backend.typing import Array, Arrays
from .._common.moments import Moments, merge
from .._common.rows import Rows
from .data import SAMPLE_ROWS, Problem, evenly_spread
from .network import Network
from .passes import ChunkedPass, Model, Pass
from .stages import BackwardContext
from .state import State

COMPARED_ROWS = 256  # training rows, with which running statistics are compared


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


def training_sample(problem: Problem, state: State, most: int | None = None) -> Sample:
    """Return the rows that training uses, in their order in X, or ``most`` of them, evenly spread."""
    data, order = problem.data, state.order
    is_split = data.validation is not None and state.validation_rows is not None
    n_rows = order.shape[1] if is_split else data.rows.n_rows
    if not is_split and (most is None or n_rows <= most):
        return Sample(data.rows, data.sample_weight)
    numbers = np.sort(order, axis=1) if is_split else np.arange(n_rows)[None]
    if most is not None and n_rows > most:
        numbers = numbers[:, evenly_spread(n_rows, most)]
    return Sample(data.rows, data.sample_weight, numbers)


class ServedStatistics:
    """Statistics by which models predict as training sees a sample; ``theta`` lies where the backend computes.

    Buffers are made once, as they take longer than the work on a small table.
    """

    def __init__(self, problem: Problem, theta: Array, sample: Sample) -> None:
        self._backend, self._layers = problem.backend, problem.options.exact_norms
        self._population = Population(problem.backend, problem.network, theta, sample)

    def measure(self, running: Array) -> Array:
        """Return the statistics ``(models, Q)`` beside running ones, which remain where others are not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            served = self._population.measure(running, self._layers, as_trained=True)
        if not np.isfinite(served).all():
            finite = np.isfinite(served).all(axis=1, keepdims=True)
            served = np.where(finite, served, self._backend.to_host(running))
        return self._backend.asarray(served)


def scoring_statistics(problem: Problem, state: State) -> ServedStatistics | None:
    """Return the statistics of norms for the scores of an epoch, or None where running ones serve."""
    if not problem.options.exact_norms:
        return None
    return ServedStatistics(problem, state.last_model[0], training_sample(problem, state, SAMPLE_ROWS))


def set_exact_statistics(problem: Problem, state: State) -> None:
    """Give the model that predicts the statistics of all training rows, where the options ask for them."""
    if not problem.options.exact_norms:
        return
    state.exact = None
    bring, (theta, running) = problem.backend.asarray, state.prediction_model
    statistics = ServedStatistics(problem, bring(theta), training_sample(problem, state))
    found = problem.backend.to_host(statistics.measure(bring(running)))
    if state.best is None:
        state.exact = found
    else:
        state.best = state.with_statistics(state.best, found)


class Lag(NamedTuple):
    """How far the running means of a layer are from the means of training rows, in standard deviations."""

    layer: int
    distance: float


def find_lag(problem: Problem, state: State) -> Lag | None:
    """Return the lag of the layer whose running statistics are too far from training rows to predict by, or None.

    "Too far" is a root mean square over the units of more than 1, beside what so few rows may be off by chance.
    """
    network, backend, sample = problem.network, problem.backend, training_sample(problem, state, COMPARED_ROWS)
    theta, served = state.prediction_model
    with np.errstate(over="ignore", invalid="ignore"):
        found = Population(backend, network, backend.asarray(theta), sample).measure(served)
        views = [network.statistics_layout.views(statistics) for statistics in (served, found)]
        lags = [Lag(i, _distance(*(view[i] for view in views))) for i in network.tracking_layers]
    n_rows = sample.rows.n_rows if sample.order is None else sample.order.shape[1]
    lag = max(lags, key=lambda lag: lag.distance)
    return lag if lag.distance > 1 + 2 / np.sqrt(n_rows) else None


def _distance(served: Arrays, found: Arrays) -> float:
    variance = np.maximum(served["variances"], found["variances"])
    squares = (served["means"] - found["means"]) ** 2
    return float(np.sqrt(np.divide(squares, variance, out=np.zeros_like(squares), where=variance > 0).mean()))


class Population:
    """Statistics of the rows of a sample as they reach the norms of models, found layer after layer."""

    def __init__(self, backend: Backend, network: Network, theta: Array, sample: Sample) -> None:
        self._backend, self._network, self._sample = backend, network, sample
        self._served = backend.asarray(network.initial_statistics(len(theta), np.dtype(str(theta.dtype))))
        self._chunks = ChunkedPass(Model.of_flat(backend, network, theta, self._served), sample.rows, sample.order)

    def measure(self, running: Array, layers: tuple[int, ...] | None = None, as_trained: bool = False) -> Array:
        """Return statistics ``(models, Q)`` on the host, beside running ones; those of other layers stay as they are.

        With ``as_trained``, norms that follow their running statistics in training do so here. Numbers of updates are
        such that the next batch has the weight of momentum. Moments are summed in float64.
        """
        views = self._network.statistics_layout.views
        statistics = np.array(self._backend.to_host(running))
        self._serve(statistics)
        self._chunks.restart()
        for i in self._network.tracking_layers if layers is None else layers:
            norm: Any = self._network.layers[i].norm
            kept, moments = views(statistics)[i], self._norm_moments(i)
            found = moments.mean[:, None], _unbiased_variance(moments)[:, None]
            kept["means"][...], kept["variances"][...] = norm.trained_statistics(*found, kept) if as_trained else found
            kept["updates"][...] = np.maximum(kept["updates"], 1 / norm.momentum)
            self._serve(statistics)
        return statistics

    def _serve(self, statistics: Array) -> None:
        self._served[...] = self._backend.asarray(statistics)
        self._chunks.refresh_norms()

    def _norm_moments(self, i: int) -> Moments:
        """Return the moments ``(models, units)`` of the inputs of the norm of layer i."""
        parts, backend = [], self._backend
        for chunk, chunk_pass in self._chunks:
            weight = self._sample.chunk_weight(chunk)
            weight = None if weight is None else backend.asarray(weight, np.float64)
            parts.append(_stack_moments(backend, chunk_pass.norm_inputs(i), weight))
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

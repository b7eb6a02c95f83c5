"""Scores of a stack on validation rows, epoch after epoch."""

from __future__ import annotations

import itertools

import numpy as np

from .inference import ChunkedPass


class Scoring:
    """Scores models on the rows of a `Validation`, or those that ``rows (streams, n)`` numbers.

    Buffers are made once, as on a small table asking for new ones takes longer than the scores themselves.
    """

    def __init__(self, backend, network, validation, theta, rows):
        self._backend, self._network, self._validation, self._rows = backend, network, validation, rows
        chosen = np.arange(len(validation.y))[None] if rows is None else rows
        self._targets = validation.y[chosen]
        self._weight = None if validation.sample_weight is None else validation.sample_weight[chosen]
        self._loss_arguments = self._brought(theta.dtype, len(theta))
        self._bound = self._pass = None

    def _brought(self, dtype, n_models):
        """Return what `loss_gradient` takes besides raw outputs, where the backend computes."""
        xp, bring = self._backend.xp, self._backend.asarray
        weight = np.ones(self._targets.shape[:2]) if self._weight is None else self._weight
        scale = np.broadcast_to(1 / weight.sum(axis=1, dtype=np.float64), (1, n_models)).copy()
        gradient = xp.empty((n_models, weight.shape[1], self._network.widths[-1]), dtype)
        clock, losses = xp.zeros(3, np.int64), xp.empty((1, n_models), np.float64)
        return bring(self._targets), bring(weight, dtype), bring(scale, dtype), clock, gradient, losses

    def measure(self, theta, statistics):
        """Return the score and the loss of each model, penalties apart."""
        loss, outputs = self._network.loss, self._pass_of(theta, statistics).outputs()
        with np.errstate(over="ignore", invalid="ignore"):
            self._backend.loss_gradient(loss, outputs, *self._loss_arguments)
        losses = self._backend.to_host(self._loss_arguments[-1])[0].copy()
        if self._validation.judge is not None:
            rows = [slice(None)] if self._rows is None else self._rows
            to_host = self._backend.to_host
            judged = zip(to_host(theta)[:, None], to_host(statistics)[:, None], itertools.cycle(rows), strict=False)
            return np.array([self._validation.judge(*each) for each in judged]), losses
        self._backend.link(loss, outputs)
        predictions = enumerate(self._backend.to_host(outputs))
        return np.array([self._score(*each) for each in predictions]), losses

    def _pass_of(self, theta, statistics):
        """Return a pass that reads these arrays; parameters are in the same one in each epoch, unless averaged."""
        if theta is not self._bound or statistics.size:  # a pass reads statistics when it is made
            network = self._network
            views = network.layout.views(theta), network.statistics_layout.views(statistics)
            self._pass = ChunkedPass(self._backend, network, *views, self._validation.X, self._rows)
            self._bound = theta
        return self._pass

    def _score(self, model, prediction):
        stream = min(model, len(self._targets) - 1)
        weight = None if self._weight is None else self._weight[stream]
        return self._validation.score(prediction, self._targets[stream], weight)

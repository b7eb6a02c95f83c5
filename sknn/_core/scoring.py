"""Scores of a stack on validation rows, epoch after epoch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .._backend.operations import Link, LossGradient
from .._backend.typing import Array
from .data import Problem
from .passes import ChunkedPass, Model
from .state import State


class Scoring:
    """Scores models on the validation rows of their problem, or those of them that their state numbers.

    Buffers are made once, as on a small table asking for new ones takes longer than the scores themselves.
    """

    def __init__(self, problem: Problem, state: State) -> None:
        validation: Any = problem.data.validation
        order = state.validation_rows
        self._backend, self._network, self._validation, self._order = (
            problem.backend,
            problem.network,
            validation,
            order,
        )
        chosen = np.arange(len(validation.y))[None] if order is None else order
        self._targets = validation.y[chosen]
        self._weight = None if validation.sample_weight is None else validation.sample_weight[chosen]
        self._allocate(state.theta.dtype, len(state.theta))
        self._theta: Array | None = None
        self._pass: ChunkedPass

    def _allocate(self, dtype: np.dtype, n_models: int) -> None:
        """Make the operands of `LossGradient` besides raw outputs, where the backend computes."""
        xp, bring = self._backend.xp, self._backend.asarray
        weight = np.ones(self._targets.shape[:2]) if self._weight is None else self._weight
        scale = np.broadcast_to(1 / weight.sum(axis=1, dtype=np.float64), (1, n_models)).copy()
        self._y, self._row_weight, self._scale = bring(self._targets), bring(weight, dtype), bring(scale, dtype)
        self._gradient = xp.empty((n_models, weight.shape[1], self._network.widths[-1]), dtype)
        self._clock, self._losses = xp.zeros(3, np.int64), xp.empty((1, n_models), np.float64)

    def measure(self, theta: Array, statistics: Array) -> tuple[Array, Array]:
        """Return the score and the loss of each model, penalties apart."""
        backend, loss = self._backend, self._network.loss
        batch = self._y, self._row_weight, self._scale, self._clock
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = self._pass_of(theta, statistics).outputs()
            backend.execute(LossGradient(loss, outputs, *batch, self._gradient, self._losses))
        losses = backend.to_host(self._losses)[0].copy()
        score_model = self._validation.score_model
        if score_model is not None:
            return self._model_scores(score_model, backend.to_host(theta), backend.to_host(statistics)), losses
        with np.errstate(over="ignore", invalid="ignore"):
            backend.execute(Link(loss, outputs))
        return np.array([self._score(*each) for each in enumerate(backend.to_host(outputs))]), losses

    def _model_scores(self, score_model: Callable[..., float], theta: Array, statistics: Array) -> Array:
        orders: Any = [slice(None)] if self._order is None else self._order
        each = zip(theta[:, None], statistics[:, None], itertools.cycle(orders), strict=False)
        return np.array([score_model(*model) for model in each])

    def _pass_of(self, theta: Array, statistics: Array) -> ChunkedPass:
        """Return a pass that reads these arrays; parameters are in the same one in each epoch, unless averaged."""
        if theta is not self._theta or statistics.size:  # a pass reads statistics when it is made
            model = Model.of_flat(self._backend, self._network, theta, statistics)
            self._pass = ChunkedPass(model, self._validation.rows, self._order)
            self._theta = theta
        return self._pass

    def _score(self, model: int, prediction: Array) -> float:
        stream = min(model, len(self._targets) - 1)
        weight = None if self._weight is None else self._weight[stream]
        return self._validation.score(prediction, self._targets[stream], weight)

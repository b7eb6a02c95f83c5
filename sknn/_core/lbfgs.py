"""Full-batch training by SciPy's L-BFGS-B, one model after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._backend.operations import LossGradient, Plan, WeightDecay
from .._backend.typing import Array
from .data import Problem
from .passes import Model, Pass
from .stages import BackwardContext
from .state import State


class Objective:
    """Loss and gradient of one model on all rows, as functions of its flat parameters."""

    def __init__(self, problem: Problem, state: State) -> None:
        backend, network = problem.backend, problem.network
        self._backend, self._theta = backend, backend.asarray(state.theta)
        self._grad = backend.xp.empty_like(self._theta)
        self._factor = network.loss.objective_factor(network.widths[-1])
        self._data_loss, self._penalty = (backend.xp.zeros((1, 1), np.float64) for _ in range(2))
        with np.errstate(over="ignore"):  # of penalties that float32 cannot hold
            self._loop = backend.loop(self._plan(problem, state.statistics))
        self.loss = np.inf

    def _plan(self, problem: Problem, statistics: Array) -> Plan:
        backend, network, options, data = problem.backend, problem.network, problem.options, problem.data
        xp, dtype, n_rows = backend.xp, self._theta.dtype, data.rows.n_rows
        weight = np.ones(n_rows) if data.sample_weight is None else data.sample_weight
        scale, clock = xp.full((1, 1), 1 / weight.sum(dtype=np.float64), dtype), xp.zeros(3, np.int64)
        y, weight = backend.asarray(data.y)[None], backend.asarray(weight, dtype)[None]
        gradients = network.layout.views(self._grad)
        context = BackwardContext(gradients, weight, frozen=options.freezes_norms, tracks=False)
        model = Model.of_flat(backend, network, self._theta, statistics)
        whole = Pass(model, data.rows.batch(), n_rows, context)
        z, dz = whole.outputs
        alpha, n_decayed = backend.asarray(options.alpha, dtype), network.layout.n_decayed
        return Plan(
            [
                *whole.forward,
                LossGradient(network.loss, z, y, weight, scale, clock, dz=dz, losses=self._data_loss),
                *whole.backward,
                WeightDecay(self._theta, self._grad, alpha, scale, n_decayed, clock, losses=self._penalty),
            ]
        )

    def __call__(self, parameters: Array) -> tuple[float, Array]:
        """Return (objective, gradient) in float64 at ``parameters (P,)``."""
        self._theta[0] = self._backend.asarray(parameters)
        self._penalty[...] = 0
        with np.errstate(over="ignore", invalid="ignore"):
            self._loop.run(1)
        data_loss, penalty = float(self._data_loss[0, 0]), float(self._penalty[0, 0])
        self.loss = data_loss + penalty
        gradient = self._backend.to_host(self._grad)[0].astype(np.float64)
        return self._factor * data_loss + penalty, gradient


def minimize(
    objective: Objective,
    theta: Array,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    after_iteration: Callable[[float, Array], bool],
) -> Any:
    """Minimise from ``theta (1, P)``; return SciPy's result.

    ``after_iteration(loss, parameters)`` returning True ends the search.
    """
    import scipy.optimize

    def callback(parameters: Array) -> None:
        if after_iteration(objective.loss, parameters):
            raise StopIteration

    return scipy.optimize.minimize(
        objective,
        theta[0].astype(np.float64),
        method="L-BFGS-B",
        jac=True,
        callback=callback,
        options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
    )

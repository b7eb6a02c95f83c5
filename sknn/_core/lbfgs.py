"""Full-batch training by SciPy's L-BFGS-B, one model after the other."""

from __future__ import annotations

from functools import partial

import numpy as np

from .batches import whole_batch
from .network import Pass, run
from .stages import Training


class Objective:
    """Loss and gradient of one model on all rows, as functions of its flat parameters."""

    def __init__(self, backend, network, options, state, data):
        self._backend, self._theta = backend, backend.asarray(state.theta)
        self._grad = backend.xp.empty_like(self._theta)
        self._factor = network.loss.objective_factor(network.widths[-1])
        self._data_loss, self._penalty = (backend.xp.zeros((1, 1), np.float64) for _ in range(2))
        self._plan = self._make_plan(network, options, backend.asarray(state.statistics), data)
        self.loss = np.inf

    def _make_plan(self, network, options, statistics, data):
        backend, layout, dtype = self._backend, network.layout, self._theta.dtype
        xp, n_rows = backend.xp, data.X.shape[0]
        weight = np.ones(n_rows) if data.sample_weight is None else data.sample_weight
        scale, clock = xp.full((1, 1), 1 / weight.sum(dtype=np.float64), dtype), xp.zeros(3, np.int64)
        y, weight = backend.asarray(data.y)[None], backend.asarray(weight, dtype)[None]
        training = Training(layout.views(self._grad), weight, frozen=options.freezes_norms, tracks=False)
        views = layout.views(self._theta), network.statistics_layout.views(statistics)
        whole = Pass(backend, network, whole_batch(backend, data.X), n_rows, *views, training)
        z, dz = whole.outputs
        alpha = backend.asarray(options.alpha, dtype)
        return [
            *whole.forward,
            partial(backend.loss_gradient, network.loss, z, y, weight, scale, clock, dz, self._data_loss),
            *whole.backward,
            partial(
                backend.weight_decay, self._theta, self._grad, alpha, scale, layout.n_decayed, clock, self._penalty
            ),
        ]

    def __call__(self, parameters):
        """Return (objective, gradient) in float64 at ``parameters (P,)``."""
        self._theta[0] = self._backend.asarray(parameters)
        self._penalty[...] = 0
        with np.errstate(over="ignore", invalid="ignore"):
            run(self._plan)
        data_loss, penalty = float(self._data_loss[0, 0]), float(self._penalty[0, 0])
        self.loss = data_loss + penalty
        gradient = self._backend.to_host(self._grad)[0].astype(np.float64)
        return self._factor * data_loss + penalty, gradient


def minimize(objective, theta, *, max_iter, max_fun, tol, after_iteration):
    """Minimise from ``theta (1, P)``; return SciPy's result.

    ``after_iteration(loss, parameters)`` returning True ends the search.
    """
    import scipy.optimize

    def callback(parameters):
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

"""One training step as a plan.

The way of a batch: its rows are drawn, pass forward through the stages to the loss, and the gradient passes back
through the same stages; then the optimiser updates the parameters, and the clock moves on. All lengths of batches of an
epoch have a plan of their own, on the same parameters, tables and gradient.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .._backend import operations as ops
from .._backend.operations import DropoutNoise, Operation, Plan, Tables
from .._backend.typing import Array
from .._common.rows import Feed
from .data import Problem
from .layout import LayerViews
from .passes import Model, Pass
from .stages import BackwardContext
from .state import State


class StepPlanner:
    """Plans of the training steps of an epoch; ``state`` lies where the backend computes."""

    def __init__(self, problem: Problem, state: State, tables: Tables, feed: Feed) -> None:
        self._problem, self._state, self._tables, self._feed = problem, state, tables, feed
        backend, options, dtype = problem.backend, problem.options, state.theta.dtype
        weight = problem.data.sample_weight
        constants = np.array([optimizer.constants() for optimizer in options.optimizers])
        self._y = backend.asarray(problem.data.y)
        self._weight = None if weight is None else backend.asarray(weight[:, None], dtype)
        self._constants, self._alpha = backend.asarray(constants, dtype), backend.asarray(options.penalty, dtype)
        self._grad = backend.xp.empty_like(state.theta)
        self._noise = self._dropout_noise()

    def _dropout_noise(self) -> DropoutNoise | None:
        backend, options = self._problem.backend, self._problem.options
        if not options.dropout_layers:
            return None
        rates, keys = backend.asarray(options.dropout, np.float64), backend.asarray(self._state.keys)
        return DropoutNoise(rates, keys, self._tables.clock)

    def plan(self, n_rows: int) -> Plan:
        """Return the operations of one training step on ``n_rows`` rows."""
        problem, tables, noise = self._problem, self._tables, self._noise
        network, options = problem.network, problem.options
        rows, dropped = problem.data.rows, noise if 0 in options.dropout_layers else None
        batch = rows.training_batch(self._feed, n_rows, tables.clock, dropped)
        targets, weight, draw_targets = self._draw_targets(n_rows)
        gradients = network.layout.views(self._grad)
        context = BackwardContext(gradients, weight, noise, options.dropout_layers, options.freezes_norms)
        model = Model.of_flat(problem.backend, network, self._state.theta, self._state.statistics)
        batch_pass = Pass(model, batch, n_rows, context)
        z, dz = batch_pass.outputs
        loss = ops.LossGradient(network.loss, z, targets, weight, tables.scale, tables.clock, dz, tables.loss)
        return Plan(
            [
                *batch.fetch(),
                *draw_targets,
                *batch_pass.forward,
                loss,
                *batch_pass.backward,
                *self._regularize(),
                self._update(),
                *self._constrain(model.parameters),
                *self._average(),
                ops.Advance(tables.clock, n_rows),
            ]
        )

    # ---- parts of a step ----------------------------------------------------------------

    def _draw_targets(self, n_rows: int) -> tuple[Array, Array, list[Operation]]:
        """Return buffers for a batch's targets and weights ``(streams, n_rows)``, and the operations that fill them."""
        targets, draw_targets = self._gathered(self._y, n_rows)
        if self._weight is None:
            ones = self._problem.backend.xp.ones(targets.shape[:2], self._state.theta.dtype)
            return targets, ones, [draw_targets]
        weight, draw_weight = self._gathered(self._weight, n_rows)
        return targets, weight[..., 0], [draw_targets, draw_weight]

    def _gathered(self, table: Array, n_rows: int) -> tuple[Array, Operation]:
        """Return a buffer for a batch of rows of ``table`` and the operation that fills it."""
        order, clock = self._tables.order, self._tables.clock
        out = self._problem.backend.xp.empty((len(order), n_rows, table.shape[1]), table.dtype)
        return out, ops.Gather(table, order, clock, out)

    def _regularize(self) -> list[Operation]:
        """Return the operations between the gradient of the loss and the update, which adds the L2 penalty itself."""
        tables, options, n_decayed = self._tables, self._problem.options, self._problem.network.layout.n_decayed
        theta, grad = self._state.theta, self._grad
        bring, plan = partial(self._problem.backend.asarray, dtype=theta.dtype), Plan()
        if options.clip_norm is not None:
            plan.append(ops.ClipNorm(grad, bring(options.clip_norm)))
        if options.l1 is not None:
            plan.append(ops.AddL1(theta, grad, bring(options.l1), tables.scale, n_decayed, tables.clock, tables.loss))
        if tables.shrinkage is not None:
            plan.append(ops.Shrink(theta, n_decayed, tables.shrinkage, tables.clock))
        return plan

    def _update(self) -> Operation:
        state, optimizer = self._state, self._problem.options.optimizers[0]
        numbers = self._constants, self._alpha, self._problem.network.layout.n_decayed, self._tables
        return ops.Update(optimizer, state.theta, self._grad, state.slots, *numbers)

    def _constrain(self, parameters: LayerViews) -> list[Operation]:
        """Return the operations after the update, on the weights of hidden layers, or on their lengths."""
        max_norm = self._problem.options.max_norm
        if max_norm is None:
            return []
        limit = self._problem.backend.asarray(max_norm, self._state.theta.dtype)
        hidden = zip(self._problem.network.layers[:-1], parameters[:-1], strict=True)
        return [ops.LimitNorms(own[layer.max_norm_kind], limit) for layer, own in hidden]

    def _average(self) -> list[Operation]:
        """Return the operations that move the average of parameters and statistics on."""
        state, clock = self._state, self._tables.clock
        if state.average is None:
            return []
        decay = self._problem.backend.asarray(self._problem.options.ema_decay, np.float64)
        pairs = zip((state.theta, state.statistics), state.split(state.average), strict=True)
        return [ops.Average(values, mean, decay, clock) for values, mean in pairs if values.shape[1]]

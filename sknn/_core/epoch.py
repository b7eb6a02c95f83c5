"""The steps of an epoch: plans for its batches, and the tables that they read and write."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import NamedTuple

import numpy as np

from ..normalization import WeightNorm
from .batches import drawn_batch
from .network import Pass
from .stages import Noise, Training
from .streaming import training_rows

STEPS_AHEAD = 1024  # whose sizes are worked out at once


class Live(NamedTuple):
    """What steps change, where the backend computes: parameters, running statistics, memory, and their average."""

    theta: object
    statistics: object
    slots: object
    average: object = None


class Tables(NamedTuple):
    """What changes from step to step of an epoch, in arrays that a plan can hold on to.

    ``clock`` is [step, first row of the batch, steps before this epoch]; ``order (streams, n)`` the epoch's row
    numbers; ``scale`` one over each batch's sum of weights, ``rate`` the step sizes, ``loss`` what the steps record,
    all three ``(steps, models)``; so are, where there are any, the ``second_rate`` of an optimiser and the
    ``shrinkage`` of weights by decoupled decay.
    """

    clock: object
    order: object
    scale: object
    rate: object
    loss: object
    second_rate: object = None
    shrinkage: object = None


class Ahead(NamedTuple):
    """Step sizes ``(steps, models)`` of some epochs from number ``first`` on, while the learning rate stays."""

    first: int
    n_epochs: int
    learning_rate: bytes
    sizes: tuple

    def covers(self, state):
        """Whether the next epoch of ``state`` is among these."""
        return state.epochs < self.first + self.n_epochs and state.learning_rate.tobytes() == self.learning_rate


class Shared(NamedTuple):
    """What the plans of all lengths work on besides: targets, weights, numbers of the optimiser, gradient, noise."""

    y: object
    weight: object
    hyper: object
    alpha: object
    grad: object
    noise: Noise | None


class Steps:
    """The steps of an epoch, for batches of some size."""

    def __init__(self, backend, network, options, state, data, live, batch_size):
        self.backend, self.network, self.options, self.data, self.live = backend, network, options, data, live
        self.batch_size = batch_size
        self.lengths = batch_lengths(state.order.shape[1], batch_size, network.mixes_rows)
        self._share = self.lengths / self.lengths.sum()
        self.tables, self._ahead = self._allocate_tables(state), None
        self._rows = training_rows(backend, data.X, self.tables.order, self.lengths)
        self._plans = self._make_plans(state)

    # ---- plans --------------------------------------------------------------------------

    def _allocate_tables(self, state):
        xp, dtype = self.backend.xp, state.theta.dtype
        shape = len(self.lengths), len(state.theta)
        has_second_rate = self.options.optimizers[0].second_rates(1.0, np.ones(1, int)) is not None
        return Tables(
            clock=xp.zeros(3, np.int64),
            order=self.backend.asarray(state.order.copy()),
            scale=self.backend.asarray(np.broadcast_to(1 / self.lengths[:, None], shape), dtype).copy(),
            rate=xp.empty(shape, dtype),
            loss=xp.empty(shape, np.float64),
            second_rate=xp.empty(shape, dtype) if has_second_rate else None,
            shrinkage=xp.empty(shape, dtype) if self.options.decouples_decay else None,
        )

    def _make_plans(self, state):
        """Return (prepared plan, how often it runs) for each run of batches of one length, piece by piece."""
        shared, prepare = self._shared_arrays(state), self.backend.prepare
        plans = {n_rows: prepare(self._step_plan(n_rows, shared)) for n_rows in dict.fromkeys(self.lengths.tolist())}
        return [
            [(plans[int(n_rows)], len(list(run))) for n_rows, run in groupby(lengths)] for lengths in self._rows.pieces
        ]

    def _shared_arrays(self, state):
        bring, dtype = self.backend.asarray, state.theta.dtype
        weight = self.data.sample_weight
        return Shared(
            y=bring(self.data.y),
            weight=None if weight is None else bring(weight[:, None], dtype),
            hyper=bring(np.array([optimizer.hyper() for optimizer in self.options.optimizers]), dtype),
            alpha=bring(self.options.penalty, dtype),
            grad=self.backend.xp.empty_like(self.live.theta),
            noise=self._noise(state),
        )

    def _noise(self, state):
        if not self.options.dropped:
            return None
        bring = self.backend.asarray
        return Noise(bring(self.options.dropout, np.float64), bring(state.keys), self.tables.clock)

    def _step_plan(self, n_rows, shared):
        """Return the kernel calls of one training step on ``n_rows`` rows."""
        backend, network, tables, live = self.backend, self.network, self.tables, self.live
        layout, noise, dropped = network.layout, shared.noise, self.options.dropped
        drawn = backend, self._rows.table, n_rows, self._rows.order, tables.clock
        batch = drawn_batch(*drawn, noise if 0 in dropped else None)
        targets, weight, draw = self._drawn_targets(n_rows, shared)
        training = Training(layout.views(shared.grad), weight, noise, dropped, self.options.freezes_norms)
        views = layout.views(live.theta), network.statistics_layout.views(live.statistics)
        passage = Pass(backend, network, batch, n_rows, *views, training)
        z, dz = passage.outputs
        return [
            *batch.draw(),
            *draw,
            *passage.forward,
            partial(
                backend.loss_gradient, network.loss, z, targets, weight, tables.scale, tables.clock, dz, tables.loss
            ),
            *passage.backward,
            *self._update_plan(shared),
            partial(backend.advance, tables.clock, n_rows),
        ]

    def _update_plan(self, shared):
        """Return the calls from the gradient of the loss to the new parameters."""
        optimizer, layout, live = self.options.optimizers[0], self.network.layout, self.live
        update = optimizer, live.theta, shared.grad, live.slots, shared.hyper, shared.alpha, layout.n_decayed
        return [
            *self._regularize_plan(layout, shared.grad),
            partial(self.backend.update, *update, self.tables),
            *self._constrain_plan(layout.views(live.theta)),
            *self._average_plan(),
        ]

    def _regularize_plan(self, layout, grad):
        """Return the calls between the gradient of the loss and the update, which adds the L2 penalty itself."""
        backend, tables, options, plan = self.backend, self.tables, self.options, []
        bring, n_decayed = partial(backend.asarray, dtype=self.live.theta.dtype), layout.n_decayed
        if options.clip_norm is not None:
            plan.append(partial(backend.clip_norm, grad, bring(options.clip_norm)))
        if options.l1 is not None:
            penalty = self.live.theta, grad, bring(options.l1), tables.scale, n_decayed, tables.clock, tables.loss
            plan.append(partial(backend.add_l1, *penalty))
        if options.decouples_decay:
            plan.append(partial(backend.shrink, self.live.theta, n_decayed, tables))
        return plan

    def _constrain_plan(self, layers):
        """Return the calls after the update, on the weights of hidden layers, or on their lengths."""
        if self.options.max_norm is None:
            return []
        limit = self.backend.asarray(self.options.max_norm, self.live.theta.dtype)
        hidden = zip(self.network.norms or [None] * len(layers), layers[:-1], strict=False)
        kinds = [(own, "gains" if isinstance(norm, WeightNorm) else "weights") for norm, own in hidden]
        return [partial(self.backend.limit_norms, own[kind], limit) for own, kind in kinds]

    def _average_plan(self):
        """Return the calls that move the average of parameters and statistics on."""
        live, tables = self.live, self.tables
        if live.average is None:
            return []
        n_parameters, decay = live.theta.shape[1], self.backend.asarray(self.options.ema_decay, np.float64)
        parts = (live.theta, live.average[:, :n_parameters]), (live.statistics, live.average[:, n_parameters:])
        return [partial(self.backend.average, *part, decay, tables.clock) for part in parts if part[0].shape[1]]

    def _drawn_targets(self, n_rows, shared):
        """Return buffers for a batch's targets and weights ``(streams, n_rows)``, and the calls that fill them."""
        targets, draw_targets = self._drawn(shared.y, n_rows)
        if shared.weight is None:
            ones = self.backend.xp.ones(targets.shape[:2], self.live.theta.dtype)
            return targets, ones, [draw_targets]
        weight, draw_weight = self._drawn(shared.weight, n_rows)
        return targets, weight[..., 0], [draw_targets, draw_weight]

    def _drawn(self, table, n_rows):
        """Return a buffer for a batch of rows of ``table`` and the call that fills it."""
        order, clock = self.tables.order, self.tables.clock
        out = self.backend.xp.empty((len(order), n_rows, table.shape[1]), table.dtype)
        return out, partial(self.backend.gather, table, order, clock, out)

    # ---- an epoch -----------------------------------------------------------------------

    def fill(self, state):
        """Fill the tables for the next epoch of ``state``."""
        bring, tables = self.backend.asarray, self.tables
        tables.clock[:2] = 0
        tables.clock[2] = state.steps
        tables.order[...] = bring(state.order)
        self._rows.follow(state.order)
        dtype = state.theta.dtype
        if self.data.sample_weight is not None:
            tables.scale[...] = bring(self._scales(state), dtype)
        for table, sizes in zip((tables.rate, tables.second_rate, tables.shrinkage), self._sizes(state), strict=True):
            if table is not None:
                table[...] = bring(sizes, dtype)

    def _sizes(self, state):
        """Return rates, second rates and shrinkage of the next epoch's steps, or None each."""
        n_steps = len(self.lengths)
        if self._ahead is None or not self._ahead.covers(state):
            self._ahead = self._look_ahead(state, max(1, STEPS_AHEAD // n_steps))
        first = (state.epochs - self._ahead.first) * n_steps
        return [None if sizes is None else sizes[first : first + n_steps] for sizes in self._ahead.sizes]

    def _look_ahead(self, state, n_epochs):
        """Return the step sizes of some epochs to come; on a small table, those of one take as long as of many."""
        numbers = np.arange(1, n_epochs * len(self.lengths) + 1)
        learning_rates, steps = self._learning_rates(state, numbers), state.steps + numbers
        rates, second_rates, shrinkage = self._rates("rates", learning_rates, steps), None, None
        if self.tables.second_rate is not None:
            second_rates = self._rates("second_rates", learning_rates, steps)
        if self.options.decouples_decay:
            shrinkage = np.maximum(1 - learning_rates * self.options.alpha, 0)
        sizes = rates, second_rates, shrinkage
        return Ahead(state.epochs, n_epochs, state.learning_rate.tobytes(), sizes)

    def _learning_rates(self, state, numbers):
        """Return the learning rate of steps to come, for each model.

        A schedule counts steps as if all epochs had as many as this one.
        """
        per_epoch = len(self.lengths)
        steps = state.epochs * per_epoch + numbers
        factors = self.options.schedule.factors(steps, per_epoch, self.options.n_epochs * per_epoch)
        return factors[:, None] * state.learning_rate

    def _rates(self, kind, learning_rates, steps):
        """Return step sizes of one kind, ``(steps, models)``."""
        pairs = zip(self.options.optimizers, learning_rates.T, strict=True)
        return np.array([getattr(optimizer, kind)(rate, steps) for optimizer, rate in pairs]).T

    def _scales(self, state):
        """One over each batch's sum of weights, ``(steps, 1 or models)``; a batch of no weight has no say."""
        starts = np.cumsum(self.lengths) - self.lengths
        sums = np.add.reduceat(self.data.sample_weight[state.order], starts, axis=1, dtype=np.float64).T
        return np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)

    def run(self):
        """Run the epoch's steps."""
        # overflow on the way to divergence is seen and reported at the end of the epoch
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in self._rows:
                for plan, times in self._plans[piece]:
                    plan.run(times)

    @property
    def n_done(self):
        """How many steps of the epoch have run."""
        return int(self.tables.clock[0])

    def loss(self):
        """Return the mean loss of the epoch's rows, for each model."""
        return self._share @ self.backend.to_host(self.tables.loss)


def batch_lengths(n_rows, batch_size, mixes_rows=False):
    """Return the rows of each batch of an epoch; a single last row joins the batch before if rows need each other."""
    batch_size = min(batch_size, n_rows)
    full, rest = divmod(n_rows, batch_size)
    lengths = [batch_size] * full + [rest] * (rest > 0)
    if mixes_rows and rest == 1:
        lengths[-2:] = [batch_size + 1]
    return np.array(lengths)

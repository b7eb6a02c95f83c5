"""Training: epochs, batches, stopping. One loop for one model and for a stack of them."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from .batches import drawn_batch
from .network import Pass, run
from .stages import Noise, Training


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


class Shared(NamedTuple):
    """What the plans of all batch sizes work on besides theta: targets, weights, numbers of the optimiser, gradient."""

    y: object
    weight: object
    hyper: object
    alpha: object
    grad: object
    noise: Noise | None


class Trainer:
    """Runs epochs of mini-batches on a stack of models and keeps its state."""

    def __init__(self, backend, network, options, state, data):
        self.backend, self.network, self.options = backend, network, options
        self.state, self.data = state, data
        self.stopped = np.zeros(len(state.theta), bool)
        self.message = ""
        self._theta, self._slots = backend.asarray(state.theta), backend.asarray(state.slots)
        self._statistics = backend.asarray(state.statistics)
        self._start = state.model()
        self._lengths = batch_lengths(state.order.shape[1], options.batch_size, network.mixes_rows)
        self._tables = self._allocate_tables()
        self._plans = self._make_plans()

    # ---- setting up ---------------------------------------------------------------------

    def _allocate_tables(self):
        xp, dtype = self.backend.xp, self.state.theta.dtype
        shape = len(self._lengths), len(self.state.theta)
        return Tables(
            clock=xp.zeros(3, np.int64),
            order=self.backend.asarray(self.state.order.copy()),
            scale=xp.empty(shape, dtype),
            rate=xp.empty(shape, dtype),
            loss=xp.empty(shape, np.float64),
            second_rate=xp.empty(shape, dtype) if self._rates("second_rates", np.ones(1, int)) is not None else None,
            shrinkage=xp.empty(shape, dtype) if self.options.decouples_decay else None,
        )

    def _make_plans(self):
        """Return (plan, how often it runs) for the full batches and for a shorter last one."""
        shared = self._shared_arrays()
        sizes, counts = np.unique(self._lengths, return_counts=True)
        plans = [
            (self._step_plan(int(n_rows), shared), int(times)) for n_rows, times in zip(sizes, counts, strict=True)
        ]
        return plans[::-1]

    def _shared_arrays(self):
        bring, dtype = self.backend.asarray, self.state.theta.dtype
        weight = self.data.sample_weight
        return Shared(
            y=bring(self.data.y),
            weight=None if weight is None else bring(weight[:, None], dtype),
            hyper=bring(np.array([optimizer.hyper() for optimizer in self.options.optimizers]), dtype),
            alpha=bring(self.options.penalty, dtype),
            grad=self.backend.xp.empty_like(self._theta),
            noise=self._noise(),
        )

    def _noise(self):
        if not self.options.dropped:
            return None
        bring = self.backend.asarray
        return Noise(bring(self.options.dropout, np.float64), bring(self.state.keys), self._tables.clock)

    def _step_plan(self, n_rows, shared):
        """Return the kernel calls of one training step on ``n_rows`` rows."""
        backend, network, tables, theta = self.backend, self.network, self._tables, self._theta
        layout, optimizer = network.layout, self.options.optimizers[0]
        noise, dropped = shared.noise, self.options.dropped
        drawn = backend, self.data.X, n_rows, tables.order, tables.clock
        batch = drawn_batch(*drawn, noise if 0 in dropped else None)
        targets, weight, draw = self._drawn_targets(n_rows, shared)
        training = Training(layout.views(shared.grad), weight, noise, dropped, self.options.freezes_norms)
        views = layout.views(theta), network.statistics_layout.views(self._statistics)
        passage = Pass(backend, network, batch, n_rows, *views, training)
        z, dz = passage.outputs
        score = network.loss, z, targets, weight, tables.scale, tables.clock, dz, tables.loss
        update = (optimizer, theta, shared.grad, self._slots, shared.hyper, shared.alpha, layout.n_decayed, tables)
        return [
            batch.draw,
            *draw,
            *passage.forward,
            partial(backend.loss_gradient, *score),
            *passage.backward,
            *self._regularize_plan(layout, shared.grad),
            partial(backend.update, *update),
            *self._constrain_plan(layout.of_kind("weights", theta)),
            partial(backend.advance, tables.clock, n_rows),
        ]

    def _regularize_plan(self, layout, grad):
        """Return the calls between the gradient of the loss and the update, which adds the L2 penalty itself."""
        backend, tables, options, plan = self.backend, self._tables, self.options, []
        bring, n_decayed = partial(backend.asarray, dtype=self._theta.dtype), layout.n_decayed
        if options.clip_norm is not None:
            plan.append(partial(backend.clip_norm, grad, bring(options.clip_norm)))
        if options.l1 is not None:
            penalty = self._theta, grad, bring(options.l1), tables.scale, n_decayed, tables.clock, tables.loss
            plan.append(partial(backend.add_l1, *penalty))
        if options.decouples_decay:
            plan.append(partial(backend.shrink, self._theta, n_decayed, tables))
        return plan

    def _constrain_plan(self, weights):
        """Return the calls after the update, on the weights of hidden layers."""
        if self.options.max_norm is None:
            return []
        limit = self.backend.asarray(self.options.max_norm, self._theta.dtype)
        return [partial(self.backend.limit_norms, W, limit) for W in weights[:-1]]

    def _drawn_targets(self, n_rows, shared):
        """Return buffers for a batch's targets and weights ``(streams, n_rows)``, and the calls that fill them."""
        targets, draw_targets = self._drawn(shared.y, n_rows)
        if shared.weight is None:
            ones = self.backend.xp.ones(targets.shape[:2], self._theta.dtype)
            return targets, ones, [draw_targets]
        weight, draw_weight = self._drawn(shared.weight, n_rows)
        return targets, weight[..., 0], [draw_targets, draw_weight]

    def _drawn(self, table, n_rows):
        """Return a buffer for a batch of rows of ``table`` and the call that fills it."""
        order, clock = self._tables.order, self._tables.clock
        out = self.backend.xp.empty((len(order), n_rows, table.shape[1]), table.dtype)
        return out, partial(self.backend.gather, table, order, clock, out)

    # ---- one epoch ----------------------------------------------------------------------

    def epoch(self):
        """Train for one epoch, record it, and mark the models that stop."""
        self._start[...] = self.state.model()
        self._draw_order()
        self._fill_tables()
        try:
            self._run_steps()
        finally:
            self.state.steps += int(self._tables.clock[0])
            self.store()
        self._record(self._epoch_loss())

    def store(self):
        """Bring the parameters and the optimiser's memory back into the state."""
        self.state.theta = self.backend.to_host(self._theta)
        self.state.slots = self.backend.to_host(self._slots)
        self.state.statistics = self.backend.to_host(self._statistics)

    def _draw_order(self):
        state = self.state
        if self.options.shuffle:
            # the order is permuted anew, not drawn anew: scikit-learn's sequence
            state.order = np.stack(
                [rows[stream.permutation(len(rows))] for rows, stream in zip(state.order, state.streams, strict=True)]
            )
        self._tables.order[...] = self.backend.asarray(state.order)

    def _fill_tables(self):
        self._tables.clock[:2] = 0
        self._tables.clock[2] = self.state.steps
        bring, dtype = self.backend.asarray, self._theta.dtype
        self._tables.scale[...] = bring(self._scales(), dtype)
        steps = self.state.steps + np.arange(1, len(self._lengths) + 1)
        self._tables.rate[...] = bring(self._rates("rates", steps), dtype)
        if self._tables.second_rate is not None:
            self._tables.second_rate[...] = bring(self._rates("second_rates", steps), dtype)
        if self._tables.shrinkage is not None:
            shrinkage = 1 - self._learning_rates(steps) * self.options.alpha
            self._tables.shrinkage[...] = bring(np.maximum(shrinkage, 0), dtype)

    def _learning_rates(self, steps):
        """Return the learning rate of each step and model."""
        per_epoch = len(self._lengths)
        factors = self.options.schedule.factors(steps, per_epoch, self.options.n_epochs * per_epoch)
        return factors[:, None] * self.state.learning_rate

    def _rates(self, kind, steps):
        """Return step sizes of one kind, ``(steps, models)``, or None where the optimiser has none of it."""
        learning_rates = self._learning_rates(steps).T
        pairs = zip(self.options.optimizers, learning_rates, strict=True)
        rates = [getattr(optimizer, kind)(rate, steps) for optimizer, rate in pairs]
        return None if rates[0] is None else np.stack(rates, axis=1)

    def _scales(self):
        """One over each batch's sum of weights, ``(steps, 1 or models)``; a batch of no weight has no say."""
        if self.data.sample_weight is None:
            return 1 / self._lengths[:, None]
        starts = np.cumsum(self._lengths) - self._lengths
        sums = np.add.reduceat(self.data.sample_weight[self.state.order], starts, axis=1, dtype=np.float64).T
        return np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)

    def _run_steps(self):
        # overflow on the way to divergence is seen and reported at the end of the epoch
        with np.errstate(over="ignore", invalid="ignore"):
            for plan, times in self._plans:
                for _ in range(times):
                    run(plan)

    def _epoch_loss(self):
        loss = self.backend.to_host(self._tables.loss)
        return (loss * self._lengths[:, None]).sum(axis=0) / self._lengths.sum()

    # ---- after an epoch -----------------------------------------------------------------

    def _record(self, loss):
        state = self.state
        state.samples_seen += int(self._lengths.sum())
        self._find_divergence(loss)
        state.loss_curve.append(loss)
        if self.data.validation is not None:
            state.validation_scores.append(
                self.data.validation.scores(
                    self.backend, self.network, self._theta, self._statistics, state.validation_rows
                )
            )
        self._count_no_improvement()
        rates = self.options.schedule.after_epoch(state.learning_rate, state.base_rate, state.samples_seen)
        state.learning_rate = rates
        self._stop_on_plateau()

    def _find_divergence(self, loss):
        """Stop models whose loss or parameters are not finite, with the last parameters of finite loss."""
        state = self.state
        bad = ~(np.isfinite(loss) & np.isfinite(state.model()).all(axis=-1))
        state.good[~bad] = self._start[~bad]
        if bad.any():
            state.theta[bad], state.statistics[bad] = (part[bad] for part in state.split(state.good))
            self._theta[...] = self.backend.asarray(state.theta)
            self._statistics[...] = self.backend.asarray(state.statistics)
        self.state.diverged |= bad
        self.stopped |= bad

    def _count_no_improvement(self):
        state, tol = self.state, self.options.tol
        if self.options.early_stopping:
            score = state.validation_scores[-1]
            stale, better = ~(score >= state.best_score + tol), score > state.best_score  # NaN is no improvement
            state.best_score = np.where(better, score, state.best_score)
            state.best[better] = state.model()[better]
        else:
            loss = state.loss_curve[-1]
            stale = loss > state.best_loss - tol
            state.best_loss = np.fmin(loss, state.best_loss)
        state.no_improvement = np.where(stale, state.no_improvement + 1, 0)

    def _stop_on_plateau(self):
        state = self.state
        self.message = ""
        for k in np.flatnonzero((state.no_improvement > self.options.n_iter_no_change) & ~self.stopped):
            rate = self.options.schedule.after_plateau(state.learning_rate[k])
            self.message = self._plateau_message(rate)
            if rate is None:
                self.stopped[k] = True
            else:
                state.learning_rate[k] = rate
                state.no_improvement[k] = 0

    def _plateau_message(self, rate):
        options = self.options
        what = "Validation score" if options.early_stopping else "Training loss"
        then = options.schedule.last_words if rate is None else f"Setting learning rate to {rate:f}"
        return (
            f"{what} did not improve more than tol={options.tol:f} "
            f"for {options.n_iter_no_change} consecutive epochs. {then}"
        )


def batch_lengths(n_rows, batch_size, mixes_rows=False):
    """Return the rows of each batch of an epoch; a single last row joins the batch before if rows need each other."""
    batch_size = min(batch_size, n_rows)
    full, rest = divmod(n_rows, batch_size)
    lengths = [batch_size] * full + [rest] * (rest > 0)
    if mixes_rows and rest == 1:
        lengths[-2:] = [batch_size + 1]
    return np.array(lengths)


def train_stack(backend, network, options, state, data, max_iter):
    """Train every model of a stack to its own end; return one state of one model for each."""
    finished = [None] * len(state.theta)
    left = np.arange(len(state.theta))
    trainer = Trainer(backend, network, options, state, data)
    for _ in range(max_iter):
        trainer.epoch()
        if not trainer.stopped.any():
            continue
        for k in np.flatnonzero(trainer.stopped):
            finished[left[k]] = trainer.state.take([k])
        going = np.flatnonzero(~trainer.stopped)
        left = left[going]
        if not len(left):
            return finished
        options = options.take(going)
        trainer = Trainer(backend, network, options, trainer.state.take(going), data)
    for k, model in enumerate(left):
        finished[model] = trainer.state.take([k])
    return finished

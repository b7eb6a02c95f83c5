"""Training: epochs, batches, stopping, state. One loop for one model and for a stack of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from .batches import drawn_batch
from .inference import raw_outputs
from .network import Pass, run
from .optimizers import Optimizer
from .schedules import Constant, Schedule


@dataclass(frozen=True)
class Options:
    """How to train. ``optimizers``, ``learning_rate``, ``alpha`` and what regularises have one entry a model.

    ``n_epochs`` is the length of all training that the schedule is laid out for.
    """

    optimizers: tuple[Optimizer, ...]
    learning_rate: np.ndarray
    alpha: np.ndarray
    batch_size: int
    schedule: Schedule = field(default_factory=Constant)
    n_epochs: int = 1
    shuffle: bool = True
    tol: float = 1e-4
    n_iter_no_change: float = 10
    early_stopping: bool = False
    decouples_decay: bool = False
    l1: np.ndarray | None = None
    clip_norm: np.ndarray | None = None
    max_norm: np.ndarray | None = None

    @property
    def penalty(self):
        """Strength of the penalty that is a part of the loss."""
        return np.zeros_like(self.alpha) if self.decouples_decay else self.alpha

    def take(self, models):
        """Return the options of some models."""
        chosen = tuple(self.optimizers[k] for k in models)
        arrays = {name: getattr(self, name) for name in ("learning_rate", "alpha", "l1", "clip_norm", "max_norm")}
        taken = {name: None if array is None else array[models] for name, array in arrays.items()}
        return replace(self, optimizers=chosen, **taken)


@dataclass(frozen=True)
class Data:
    """Rows to train on: X where the backend computes, targets ``(n, k)``, weights ``(n,)`` or None, and validation."""

    X: object
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    validation: object = None


@dataclass(frozen=True)
class Validation:
    """What training is scored on after each epoch: rows of X given by the state, or all of X.

    ``score(predictions, y, sample_weight)`` returns a float, higher is better.
    """

    X: object
    y: np.ndarray
    score: object
    sample_weight: np.ndarray | None = None

    def scores(self, backend, network, theta, rows):
        """Return the score of each model."""
        outputs = raw_outputs(backend, network, network.layout.views(theta), self.X, rows)
        network.loss.link(backend.xp, outputs)
        host = backend.to_host(outputs)
        return np.array([self._score(prediction, rows, k) for k, prediction in enumerate(host)])

    def _score(self, prediction, rows, model):
        chosen = slice(None) if rows is None else rows[min(model, len(rows) - 1)]
        weight = None if self.sample_weight is None else self.sample_weight[chosen]
        return self.score(prediction, self.y[chosen], weight)


@dataclass
class State:
    """Everything that training carries from epoch to epoch, for a stack; NumPy arrays, so that it pickles anywhere.

    ``good_theta`` is where the last epoch began whose every loss was finite: what a diverging model goes back to.
    ``slots (n_slots, models, P)`` is the optimiser's memory. ``streams`` are the random states that draw the batches,
    one for all models or one each; ``order`` and ``validation_rows (streams, ...)`` number rows of the ``n_rows``
    that were last trained on. ``watched`` tells validation sets apart.
    """

    theta: np.ndarray
    good_theta: np.ndarray | None
    slots: np.ndarray
    streams: list
    learning_rate: np.ndarray
    base_rate: np.ndarray
    best_theta: np.ndarray | None
    best_loss: np.ndarray
    best_score: np.ndarray
    no_improvement: np.ndarray
    diverged: np.ndarray
    optimizer: str
    order: np.ndarray | None = None
    validation_rows: np.ndarray | None = None
    n_rows: int = 0
    watched: object = None
    steps: int = 0
    samples_seen: int = 0
    loss_curve: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)

    @property
    def served_theta(self):
        """The parameters to predict with: the best ones where training watches validation rows, else the last."""
        return self.theta if self.best_theta is None else self.best_theta

    @classmethod
    def start(cls, theta, streams, options):
        """Return the state before the first epoch."""
        n_models = len(theta)
        return cls(
            theta=theta,
            good_theta=theta.copy(),
            slots=np.zeros((options.optimizers[0].n_slots, *theta.shape), theta.dtype),
            streams=streams,
            learning_rate=options.learning_rate.copy(),
            base_rate=options.learning_rate.copy(),
            best_theta=theta.copy() if options.early_stopping else None,
            best_loss=np.full(n_models, np.inf),
            best_score=np.full(n_models, -np.inf),
            no_improvement=np.zeros(n_models, int),
            diverged=np.zeros(n_models, bool),
            optimizer=options.optimizers[0].kernel,
        )

    def continue_with(self, options, dtype):
        """Take up options and a float type that may have changed since the last epoch."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and not value.flags.writeable:  # loaded as a memory map
                setattr(self, name, value.copy())
        self.theta = self.theta.astype(dtype, copy=False)
        self.good_theta = (self.theta if self.good_theta is None else self.good_theta).astype(dtype)
        if self.optimizer == options.optimizers[0].kernel:
            self.slots = self.slots.astype(dtype, copy=False)
        else:
            self._forget_steps(options.optimizers[0])
        if not np.array_equal(self.base_rate, options.learning_rate):
            self.learning_rate = options.learning_rate.copy()
            self.base_rate = options.learning_rate.copy()
        if not options.early_stopping:
            self.best_theta = None
        elif self.best_theta is None:
            self.best_theta, self.best_score = self.theta.copy(), np.full(len(self.theta), -np.inf)
        else:
            self.best_theta = self.best_theta.astype(dtype, copy=False)

    def adopt(self, theta):
        """Go on from ``theta`` if it is not what this state has served."""
        if np.array_equal(theta, self.served_theta, equal_nan=True):
            return
        self.theta, self.good_theta, self.best_theta = theta.astype(self.theta.dtype), None, None

    def watch(self, watched):
        """Start the record of validation scores anew if they will be those of another set of rows."""
        if watched == self.watched:
            return
        self.watched, self.validation_scores = watched, []
        self.best_score, self.no_improvement = np.full(len(self.theta), -np.inf), np.zeros(len(self.theta), int)
        if self.best_theta is not None:
            self.best_theta = self.theta.copy()

    def _forget_steps(self, optimizer):
        self.optimizer, self.steps = optimizer.kernel, 0
        self.slots = np.zeros((optimizer.n_slots, *self.theta.shape), self.theta.dtype)

    def number_rows(self, n_rows, split=None):
        """Set ``order`` and ``validation_rows`` for data of ``n_rows``, unless they are those of such data already.

        ``split(stream)`` draws the numbers of the training and of the validation rows.
        """
        if n_rows == self.n_rows and (split is None) == (self.validation_rows is None):
            return
        self.n_rows = n_rows
        if split is None:
            self.order = np.tile(np.arange(n_rows), (len(self.streams), 1))
            self.validation_rows = None
        else:
            parts = [split(stream) for stream in self.streams]
            self.order = np.stack([train for train, _ in parts])
            self.validation_rows = np.stack([validation for _, validation in parts])

    def __getstate__(self):
        """Leave out what a loaded model can do without: it goes back to its own parameters if it diverges at once."""
        return {**vars(self), "good_theta": None}

    def take(self, models):
        """Return the state of some models, independent of this one."""
        streams = [0] if len(self.streams) == 1 else models

        def rows(names, chosen):
            values = {name: getattr(self, name) for name in names}
            return {name: None if value is None else value[chosen] for name, value in values.items()}

        return replace(
            self,
            slots=self.slots[:, models],
            streams=[copy.deepcopy(self.streams[s]) for s in streams],
            loss_curve=[loss[models] for loss in self.loss_curve],
            validation_scores=[score[models] for score in self.validation_scores],
            **rows(_PER_MODEL, models),
            **rows(_PER_STREAM, streams),
        )


_PER_MODEL = (
    "theta",
    "good_theta",
    "learning_rate",
    "base_rate",
    "best_theta",
    "best_loss",
    "best_score",
    "no_improvement",
    "diverged",
)
_PER_STREAM = ("order", "validation_rows")


def split_rows(stream, n_rows, fraction, labels=None):
    """Draw the numbers of the training and of the validation rows, stratified by ``labels`` if given."""
    if labels is not None:
        _check_classes_can_be_split(labels)
    rows = np.arange(n_rows)
    train, validation = train_test_split(rows, test_size=fraction, random_state=stream, stratify=labels)
    if len(validation) < 2:
        raise ValueError(
            f"validation_fraction={fraction} of {n_rows} rows leaves {len(validation)} for validation, "
            "at least 2 are needed. Increase 'validation_fraction' or the size of your dataset."
        )
    return train, validation


def _check_classes_can_be_split(labels):
    _, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            "early_stopping splits the rows by class, so y must have at least 2 rows of each class; the rarest has "
            f"{counts.min()}. Merge or drop it, or pass validation rows of your own as X_val and y_val."
        )


class Tables(NamedTuple):
    """What changes from step to step of an epoch, in arrays that a plan can hold on to.

    ``clock`` is [step, first row of the batch]; ``order (streams, n)`` the epoch's row numbers; ``scale`` one over each
    batch's sum of weights, ``rate`` the step sizes, ``loss`` what the steps record, all three ``(steps, models)``; so
    are, where there are any, the ``second_rate`` of an optimiser and the ``shrinkage`` of weights by decoupled decay.
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


class Trainer:
    """Runs epochs of mini-batches on a stack of models and keeps its state."""

    def __init__(self, backend, network, options, state, data):
        self.backend, self.network, self.options = backend, network, options
        self.state, self.data = state, data
        self.stopped = np.zeros(len(state.theta), bool)
        self.message = ""
        self._theta, self._slots = backend.asarray(state.theta), backend.asarray(state.slots)
        self._start_theta = state.theta.copy()
        self._lengths = _batch_lengths(state.order.shape[1], options.batch_size)
        self._tables = self._allocate_tables()
        self._plans = self._make_plans()

    # ---- setting up ---------------------------------------------------------------------

    def _allocate_tables(self):
        xp, dtype = self.backend.xp, self.state.theta.dtype
        shape = len(self._lengths), len(self.state.theta)
        return Tables(
            clock=xp.zeros(2, np.int64),
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
        )

    def _step_plan(self, n_rows, shared):
        """Return the kernel calls of one training step on ``n_rows`` rows."""
        backend, network, tables, theta = self.backend, self.network, self._tables, self._theta
        layout, optimizer = network.layout, self.options.optimizers[0]
        batch = drawn_batch(backend, self.data.X, n_rows, tables.order, tables.clock)
        passage = Pass(backend, network, batch, n_rows, layout.views(theta), layout.views(shared.grad))
        targets, weight, draw = self._drawn_targets(n_rows, shared)
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
        self._start_theta[...] = self.state.theta
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

    def _draw_order(self):
        state = self.state
        if self.options.shuffle:
            # the order is permuted anew, not drawn anew: scikit-learn's sequence
            state.order = np.stack(
                [rows[stream.permutation(len(rows))] for rows, stream in zip(state.order, state.streams, strict=True)]
            )
        self._tables.order[...] = self.backend.asarray(state.order)

    def _fill_tables(self):
        self._tables.clock[...] = 0
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
                self.data.validation.scores(self.backend, self.network, self._theta, state.validation_rows)
            )
        self._count_no_improvement()
        rates = self.options.schedule.after_epoch(state.learning_rate, state.base_rate, state.samples_seen)
        state.learning_rate = rates
        self._stop_on_plateau()

    def _find_divergence(self, loss):
        """Stop models whose loss or parameters are not finite, with the last parameters of finite loss."""
        theta, good_theta = self.state.theta, self.state.good_theta
        bad = ~(np.isfinite(loss) & np.isfinite(theta).all(axis=-1))
        good_theta[~bad] = self._start_theta[~bad]
        if bad.any():
            theta[bad] = good_theta[bad]
            self._theta[...] = self.backend.asarray(theta)
        self.state.diverged |= bad
        self.stopped |= bad

    def _count_no_improvement(self):
        state, tol = self.state, self.options.tol
        if self.options.early_stopping:
            score = state.validation_scores[-1]
            stale, better = ~(score >= state.best_score + tol), score > state.best_score  # NaN is no improvement
            state.best_score = np.where(better, score, state.best_score)
            state.best_theta[better] = state.theta[better]
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


def _batch_lengths(n_rows, batch_size):
    batch_size = min(batch_size, n_rows)
    full, rest = divmod(n_rows, batch_size)
    return np.array([batch_size] * full + [rest] * (rest > 0))


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

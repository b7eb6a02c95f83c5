"""State: everything that training carries from epoch to epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import is_
from typing import Any

import numpy as np

from .._backend.typing import Array
from ..optimizers import Optimizer
from .options import Options
from .stacking import PER_EPOCH, PER_MODEL, PER_MODEL_BEHIND_SLOTS, PER_STREAM, Models, stack_models, take_models


@dataclass(eq=False)
class State:
    """Everything that training carries from epoch to epoch, for a stack; NumPy arrays, so that it pickles anywhere.

    While a `Trainer` is at work, the arrays that it changes lie where it computes.

    ``theta (models, P)`` has the parameters, ``statistics (models, Q)`` the running statistics of norms; ``finite`` and
    ``best (models, P + Q)`` hold both. ``finite`` is a copy of the models at the start of the last epoch that had only
    finite losses: a diverging model goes back to it. ``exact`` are statistics worked out for prediction, apart from the
    running ones. ``average`` is the average of models over the steps, if predictions are made with that.
    ``slots (n_slots, models, P)`` is the optimiser's memory. ``streams`` are the random states that draw the batches,
    one for all models or one each; ``order`` and ``validation_rows (streams, ...)`` number rows of the ``n_rows``
    that were last trained on, a ``fraction`` of them for validation. ``keys (models, 2)`` choose the random bits of
    dropout. ``validation_mark`` tells validation sets apart. ``n_partial_fits`` counts calls of ``partial_fit`` since
    the last ``fit``.
    """

    theta: Array = field(metadata=PER_MODEL)
    statistics: Array = field(metadata=PER_MODEL)
    finite: Any = field(metadata=PER_MODEL)  # an array, or None in a pickle
    slots: Array = field(metadata=PER_MODEL_BEHIND_SLOTS)
    streams: list[np.random.RandomState] = field(metadata=PER_STREAM)
    learning_rate: Array = field(metadata=PER_MODEL)
    base_rate: Array = field(metadata=PER_MODEL)
    best: Any = field(metadata=PER_MODEL)  # an array, or None without early stopping
    best_loss: Array = field(metadata=PER_MODEL)
    best_score: Array = field(metadata=PER_MODEL)
    no_improvement: Array = field(metadata=PER_MODEL)
    diverged: Array = field(metadata=PER_MODEL)
    optimizer: str
    average: Array | None = field(default=None, metadata=PER_MODEL)
    exact: Array | None = field(default=None, metadata=PER_MODEL)
    order: Any = field(default=None, metadata=PER_STREAM)  # an array, once rows are numbered
    validation_rows: Array | None = field(default=None, metadata=PER_STREAM)
    n_rows: int = 0
    fraction: float | None = None
    validation_mark: tuple | None = None
    keys: Array | None = field(default=None, metadata=PER_MODEL)
    steps: int = 0
    epochs: int = 0
    samples_seen: int = 0
    n_partial_fits: int = 0
    loss_curve: list[Array] = field(default_factory=list, metadata=PER_EPOCH)
    validation_scores: list[Array] = field(default_factory=list, metadata=PER_EPOCH)
    validation_losses: list[Array] = field(default_factory=list, metadata=PER_EPOCH)

    def move(self, bring: Callable[[Array], Array]) -> None:
        """Move the arrays that training changes by ``bring``: to where it computes, or back to the host."""
        self.theta, self.statistics, self.finite = bring(self.theta), bring(self.statistics), bring(self.finite)
        self.slots = bring(self.slots)
        self.best = None if self.best is None else bring(self.best)
        self.average = None if self.average is None else bring(self.average)

    def shallow_copy(self) -> State:
        """Return another state on the same arrays and lists; ``dataclasses.replace`` takes ten times as long."""
        state = object.__new__(type(self))
        vars(state).update(vars(self))
        return state

    def model(self) -> Array:
        """Return a copy of parameters and statistics, beside each other."""
        return np.concatenate([self.theta, self.statistics], axis=1)

    def write_model(self, out: Array) -> None:
        """Write parameters and statistics to ``out``, beside each other."""
        theta, statistics = self.split(out)
        theta[...], statistics[...] = self.theta, self.statistics

    def is_finite(self) -> Array:
        """Return which models have no parameter and no statistic that is NaN or infinite."""
        finite = np.isfinite(self.theta).all(axis=-1)
        return finite & np.isfinite(self.statistics).all(axis=-1) if self.statistics.size else finite

    def split(self, model: Array) -> tuple[Array, Array]:
        """Return parameters and statistics that lie beside each other, as ``model()`` returns them."""
        n_parameters = self.theta.shape[1]
        return model[:, :n_parameters], model[:, n_parameters:]

    @property
    def last_model(self) -> tuple[Array, Array]:
        """Parameters and statistics after the last epoch, averaged over the steps if that is asked for."""
        return (self.theta, self.statistics) if self.average is None else self.split(self.average)

    @property
    def prediction_model(self) -> tuple[Array, Array]:
        """Parameters and statistics to predict with: the best where training watches validation rows, else the last."""
        theta, statistics = self.last_model if self.best is None else self.split(self.best)
        return theta, statistics if self.exact is None else self.exact

    @property
    def has_best(self) -> Array:
        """Whether each model has the parameters of an epoch whose score on validation rows is finite."""
        return np.isfinite(self.best_score) & (self.best is not None)

    def predicts_by_arrays_of(self, other: State) -> bool:
        """Return whether both states predict by the very same arrays, which training changes in place."""
        return all(map(is_, self.prediction_model, other.prediction_model))

    def restore_finite(self, bad: Array) -> None:
        """Take models that have diverged back to the last parameters of finite losses, with an empty optimiser."""
        self.theta[bad], self.statistics[bad] = (part[bad] for part in self.split(self.finite))
        self.slots[:, bad] = 0  # they would make the next steps diverge too
        if self.average is not None:
            self.average[bad] = self.finite[bad]

    @classmethod
    def start(
        cls, theta: Array, streams: list[np.random.RandomState], options: Options, statistics: Array | None = None
    ) -> State:
        """Return the state before the first epoch; a network without running statistics needs none."""
        n_models = len(theta)
        statistics = np.empty((n_models, 0), theta.dtype) if statistics is None else statistics
        state = cls(
            theta=theta,
            statistics=statistics,
            finite=None,
            slots=np.zeros((options.optimizers[0].n_slots, *theta.shape), theta.dtype),
            streams=streams,
            learning_rate=options.learning_rate.copy(),
            base_rate=options.learning_rate.copy(),
            best=None,
            best_loss=np.full(n_models, np.inf),
            best_score=np.full(n_models, -np.inf),
            no_improvement=np.zeros(n_models, int),
            diverged=np.zeros(n_models, bool),
            optimizer=options.optimizers[0].kernel,
        )
        state.finite = state.model()
        state.best = state.model() if options.early_stopping else None
        state.average = state.model() if options.ema_decay is not None else None
        state.draw_keys(options)
        return state

    def draw_keys(self, options: Options) -> None:
        """Draw the keys of dropout if it is asked for; models that share a stream of batches share them too."""
        if self.keys is None and options.dropout is not None:
            drawn = [stream.randint(2**32, size=2, dtype=np.uint32) for stream in self.streams]
            self.keys = np.broadcast_to(np.stack(drawn), (len(self.theta), 2)).copy()

    def continue_with(self, options: Options, dtype: np.dtype) -> None:
        """Take up options and a float type that may have changed since the last epoch."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and not value.flags.writeable:  # loaded as a memory map
                setattr(self, name, value.copy())
        self.theta, self.statistics = (part.astype(dtype, copy=False) for part in (self.theta, self.statistics))
        self.diverged = np.zeros(len(self.theta), bool)
        if options.freezes_norms or (options.streams_rows and self.exact is not None):
            self.recalibrate(self.prediction_model[1].astype(dtype))
            self.finite = None
        self.exact = None
        self.finite = (self.model() if self.finite is None else self.finite).astype(dtype)
        if options.ema_decay is None:
            self.average = None
        else:
            self.average = (self.model() if self.average is None else self.average).astype(dtype, copy=False)
        if self.optimizer == options.optimizers[0].kernel:
            self.slots = self.slots.astype(dtype, copy=False)
        else:
            self._forget_steps(options.optimizers[0])
        self.draw_keys(options)
        if not np.array_equal(self.base_rate, options.learning_rate):
            self.learning_rate = options.learning_rate.copy()
            self.base_rate = options.learning_rate.copy()
        if not options.early_stopping:
            self.best = None
        elif self.best is None:
            self.best, self.best_score = self.model(), np.full(len(self.theta), -np.inf)
        else:
            self.best = self.best.astype(dtype, copy=False)

    def continue_from(self, theta: Array) -> None:
        """Go on from ``theta`` if it differs from the parameters that this state has served."""
        if np.array_equal(theta, self.prediction_model[0], equal_nan=True):
            return
        self.theta = theta.astype(self.theta.dtype)
        self.finite = self.best = self.average = None

    def set_initial(self, theta: Array) -> None:
        """Start from other parameters, before the first epoch."""
        self.theta = theta
        self.finite = self.model()
        self.best = None if self.best is None else self.model()
        self.average = None if self.average is None else self.model()

    def recalibrate(self, statistics: Array) -> None:
        """Put statistics in the place of those that were served."""
        self.statistics, self.exact = statistics, None
        self.best = None if self.best is None else self.with_statistics(self.best, statistics)
        self.average = None if self.average is None else self.with_statistics(self.average, statistics)

    def with_statistics(self, model: Array, statistics: Array) -> Array:
        """Return a copy of ``model``, parameters beside statistics, with other statistics."""
        return np.concatenate([self.split(model)[0], statistics], axis=1)

    def mark_validation(self, mark: tuple) -> None:
        """Start the record of validation scores anew if they will be those of another set of rows."""
        if mark == self.validation_mark:
            return
        self.validation_mark, self.validation_scores, self.validation_losses = mark, [], []
        self.best_score, self.no_improvement = np.full(len(self.theta), -np.inf), np.zeros(len(self.theta), int)
        if self.best is not None:
            self.best = self.model()

    def _forget_steps(self, optimizer: Optimizer) -> None:
        self.optimizer, self.steps, self.epochs = optimizer.kernel, 0, 0
        self.slots = np.zeros((optimizer.n_slots, *self.theta.shape), self.theta.dtype)

    def number_rows(
        self,
        n_rows: int,
        split: Callable[[np.random.RandomState], tuple[Array, Array]] | None = None,
        fraction: float | None = None,
    ) -> None:
        """Set ``order`` and ``validation_rows`` for data of ``n_rows``, unless they are those of such data already.

        ``split(stream)`` draws the numbers of the training rows and of a ``fraction`` for validation.
        """
        is_split = self.validation_rows is not None
        if (n_rows, split is not None, fraction) == (self.n_rows, is_split, self.fraction):
            return
        self.n_rows, self.fraction = n_rows, fraction
        if split is None:
            self.order = np.tile(np.arange(n_rows), (len(self.streams), 1))
            self.validation_rows = None
        else:
            parts = [split(stream) for stream in self.streams]
            self.order = np.stack([train for train, _ in parts])
            self.validation_rows = np.stack([validation for _, validation in parts])

    def take(self, models: Models) -> State:
        """Return the state of some models, independent of this one."""
        taken = take_models(self, models, [0] if len(self.streams) == 1 else models)
        return replace(taken, streams=copy.deepcopy(taken.streams))

    @classmethod
    def stack(cls, states: Sequence[State], shared_streams: bool = False) -> State:
        """Return the states of several stacks as one that is independent of them, the inverse of ``take``.

        With ``shared_streams`` all models draw their batches from the stream of the first, as one does for a stack that
        shares its batches.
        """
        stacked = stack_models(states, shared_streams)
        return replace(stacked, streams=copy.deepcopy(stacked.streams))

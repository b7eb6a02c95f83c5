"""What training works on: options, rows, and the state that it carries from epoch to epoch."""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.model_selection import train_test_split

from ..optimizers import Optimizer
from ..schedules import BatchSchedule, Constant, Schedule
from .batches import is_sparse

N_COMPARED = 128  # validation rows, evenly spread, by which others are told from them


@dataclass(frozen=True)
class Options:
    """How to train. ``optimizers``, ``learning_rate``, ``alpha`` and what regularises have one entry a model.

    ``n_epochs`` is the length of all training that the schedule is laid out for. ``dropout (models, streams)`` has the
    rate of the input and that of each hidden layer.
    """

    optimizers: tuple[Optimizer, ...]
    learning_rate: np.ndarray
    alpha: np.ndarray
    batch_size: int | BatchSchedule
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
    dropout: np.ndarray | None = None
    freezes_norms: bool = False
    exact_norms: bool = False
    ema_decay: np.ndarray | None = None
    monitors_loss: bool = False

    def batch_size_in(self, epoch):
        """Return the rows of a batch in an epoch, counted from 0."""
        size = self.batch_size
        return size.size_in(epoch) if isinstance(size, BatchSchedule) else size

    @property
    def dropped(self):
        """The streams of dropout that any model has: 0 for the input, i for the output of hidden layer i."""
        return () if self.dropout is None else tuple(np.flatnonzero(self.dropout.any(axis=0)).tolist())

    @property
    def penalty(self):
        """Strength of the penalty that is a part of the loss."""
        return np.zeros_like(self.alpha) if self.decouples_decay else self.alpha

    def take(self, models):
        """Return the options of some models."""
        chosen = tuple(self.optimizers[k] for k in models)
        names = ("learning_rate", "alpha", "l1", "clip_norm", "max_norm", "dropout", "ema_decay")
        arrays = {name: getattr(self, name) for name in names}
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

    ``score(predictions, y, sample_weight)`` returns a float, higher is better. In its stead there may be
    ``judge(theta, statistics, rows)``, for the parameters of one model.
    """

    X: object
    y: np.ndarray
    score: object
    sample_weight: np.ndarray | None = None
    judge: object = None

    def fingerprint(self, backend):
        """Return what tells these rows from others: a checksum of targets and weights, and of some rows of X."""
        probe = self.X[:: max(1, len(self.y) // N_COMPARED)]
        rows = (probe.data, probe.indices, probe.indptr) if is_sparse(probe) else (backend.to_host(probe),)
        parts = *rows, self.y, np.ones(0) if self.sample_weight is None else self.sample_weight
        return len(self.y), *(zlib.crc32(np.ascontiguousarray(part)) for part in parts)


@dataclass
class State:
    """Everything that training carries from epoch to epoch, for a stack; NumPy arrays, so that it pickles anywhere.

    While a `Trainer` is at work, what it changes lies where it computes.

    ``theta (models, P)`` is what is learnt, ``statistics (models, Q)`` what norms keep of the rows; ``good`` and
    ``best (models, P + Q)`` hold both. ``good`` is where the last epoch began whose every loss was finite: what a
    diverging model goes back to. ``exact`` are statistics worked out for prediction, apart from the running ones.
    ``average`` is their average over the steps, if that is what predictions are made with.
    ``slots (n_slots, models, P)`` is the optimiser's memory. ``streams`` are the random states that draw the batches,
    one for all models or one each; ``order`` and ``validation_rows (streams, ...)`` number rows of the ``n_rows``
    that were last trained on, a ``fraction`` of them for validation. ``keys (models, 2)`` choose the random bits of
    dropout. ``watched`` tells validation sets apart.
    """

    theta: np.ndarray
    statistics: np.ndarray
    good: np.ndarray | None
    slots: np.ndarray
    streams: list
    learning_rate: np.ndarray
    base_rate: np.ndarray
    best: np.ndarray | None
    best_loss: np.ndarray
    best_score: np.ndarray
    no_improvement: np.ndarray
    diverged: np.ndarray
    optimizer: str
    average: np.ndarray | None = None
    exact: np.ndarray | None = None
    order: np.ndarray | None = None
    validation_rows: np.ndarray | None = None
    n_rows: int = 0
    fraction: float | None = None
    watched: object = None
    keys: np.ndarray | None = None
    steps: int = 0
    epochs: int = 0
    samples_seen: int = 0
    loss_curve: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    validation_losses: list = field(default_factory=list)

    def move(self, bring):
        """Move what training changes by ``bring``: to where it is computed, or back to the host."""
        for name in _MOVED:
            value = getattr(self, name)
            setattr(self, name, None if value is None else bring(value))

    def model(self):
        """Return a copy of parameters and statistics, beside each other."""
        return np.concatenate([self.theta, self.statistics], axis=1)

    def write_model(self, out):
        """Write to ``out`` what ``model`` returns."""
        theta, statistics = self.split(out)
        theta[...], statistics[...] = self.theta, self.statistics

    def is_finite(self):
        """Return which models have no parameter and no statistic that is NaN or infinite."""
        finite = np.isfinite(self.theta).all(axis=-1)
        return finite & np.isfinite(self.statistics).all(axis=-1) if self.statistics.size else finite

    def split(self, model):
        """Return parameters and statistics of what ``model`` returns."""
        n_parameters = self.theta.shape[1]
        return model[:, :n_parameters], model[:, n_parameters:]

    @property
    def last(self):
        """Parameters and statistics after the last epoch, averaged over the steps if that is asked for."""
        return (self.theta, self.statistics) if self.average is None else self.split(self.average)

    @property
    def served(self):
        """Parameters and statistics to predict with: the best where training watches validation rows, else the last."""
        theta, statistics = self.last if self.best is None else self.split(self.best)
        return theta, statistics if self.exact is None else self.exact

    def go_back(self, bad):
        """Take models that have diverged back to the last good parameters."""
        self.theta[bad], self.statistics[bad] = (part[bad] for part in self.split(self.good))
        if self.average is not None:
            self.average[bad] = self.good[bad]

    @classmethod
    def start(cls, theta, streams, options, statistics=None):
        """Return the state before the first epoch; a network without running statistics needs none."""
        n_models = len(theta)
        statistics = np.empty((n_models, 0), theta.dtype) if statistics is None else statistics
        state = cls(
            theta=theta,
            statistics=statistics,
            good=None,
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
        state.good = state.model()
        state.best = state.model() if options.early_stopping else None
        state.average = state.model() if options.ema_decay is not None else None
        state.draw_keys(options)
        return state

    def draw_keys(self, options):
        """Draw what dropout needs if it is asked for; models that share a stream of batches share this too."""
        if self.keys is None and options.dropout is not None:
            drawn = [stream.randint(2**32, size=2, dtype=np.uint32) for stream in self.streams]
            self.keys = np.broadcast_to(np.stack(drawn), (len(self.theta), 2)).copy()

    def continue_with(self, options, dtype):
        """Take up options and a float type that may have changed since the last epoch."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and not value.flags.writeable:  # loaded as a memory map
                setattr(self, name, value.copy())
        self.theta, self.statistics = (part.astype(dtype, copy=False) for part in (self.theta, self.statistics))
        if options.freezes_norms:
            self.recalibrate(self.served[1].astype(dtype))
            self.good = None
        self.exact = None
        self.good = (self.model() if self.good is None else self.good).astype(dtype)
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

    def adopt(self, theta):
        """Go on from ``theta`` if it is not what this state has served."""
        if np.array_equal(theta, self.served[0], equal_nan=True):
            return
        self.theta = theta.astype(self.theta.dtype)
        self.good = self.best = self.average = None

    def begin_at(self, theta):
        """Start from other parameters, before the first epoch."""
        self.theta = theta
        self.good = self.model()
        self.best = None if self.best is None else self.model()
        self.average = None if self.average is None else self.model()

    def recalibrate(self, statistics):
        """Put statistics in the place of those that were served."""
        self.statistics, self.exact = statistics, None
        for name in ("best", "average"):
            model = getattr(self, name)
            if model is not None:
                setattr(self, name, np.concatenate([self.split(model)[0], statistics], axis=1))

    def watch(self, watched):
        """Start the record of validation scores anew if they will be those of another set of rows."""
        if watched == self.watched:
            return
        self.watched, self.validation_scores, self.validation_losses = watched, [], []
        self.best_score, self.no_improvement = np.full(len(self.theta), -np.inf), np.zeros(len(self.theta), int)
        if self.best is not None:
            self.best = self.model()

    def _forget_steps(self, optimizer):
        self.optimizer, self.steps, self.epochs = optimizer.kernel, 0, 0
        self.slots = np.zeros((optimizer.n_slots, *self.theta.shape), self.theta.dtype)

    def number_rows(self, n_rows, split=None, fraction=None):
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

    def __getstate__(self):
        """Leave out what a loaded model can do without: it goes back to its own parameters if it diverges at once."""
        return {**vars(self), "good": None}

    def take(self, models):
        """Return the state of some models, independent of this one."""
        streams = [0] if len(self.streams) == 1 else models

        def rows(names, chosen):
            values = {name: getattr(self, name) for name in names}
            return {name: None if value is None else value[chosen] for name, value in values.items()}

        return replace(
            self,
            slots=self.slots.take(models, axis=1),
            streams=[copy.deepcopy(self.streams[s]) for s in streams],
            loss_curve=[loss[models] for loss in self.loss_curve],
            validation_scores=[score[models] for score in self.validation_scores],
            validation_losses=[loss[models] for loss in self.validation_losses],
            **rows(_PER_MODEL, models),
            **rows(_PER_STREAM, streams),
        )


_PER_MODEL = (
    "theta",
    "statistics",
    "good",
    "average",
    "exact",
    "learning_rate",
    "base_rate",
    "best",
    "best_loss",
    "best_score",
    "no_improvement",
    "diverged",
    "keys",
)
_PER_STREAM = ("order", "validation_rows")
_MOVED = ("theta", "statistics", "good", "slots", "best", "average")


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

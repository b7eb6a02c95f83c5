"""Options: the parameters of training, for a stack of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .._backend.typing import Array
from ..optimizers import Optimizer
from ..schedules import BatchSchedule, Constant, Schedule
from .stacking import PER_MODEL, Models, stack_models, take_models


@dataclass(frozen=True, eq=False)
class Options:
    """Parameters of training, for a stack: optimisers, learning rates and regularisers have one entry a model.

    ``n_epochs`` is the length of all training that the schedule is laid out for. ``dropout (models, streams)`` has the
    rate of the input and that of each hidden layer. ``exact_norms`` numbers the layers that predict by statistics of
    all training rows. With ``streams_rows``, a call has only some of them.
    """

    optimizers: tuple[Optimizer, ...] = field(metadata=PER_MODEL)
    learning_rate: Array = field(metadata=PER_MODEL)
    alpha: Array = field(metadata=PER_MODEL)
    batch_size: int | BatchSchedule
    schedule: Schedule = field(default_factory=Constant)
    n_epochs: int = 1
    shuffle: bool = True
    tol: float = 1e-4
    n_iter_no_change: float = 10
    early_stopping: bool = False
    decouples_decay: bool = False
    l1: Array | None = field(default=None, metadata=PER_MODEL)
    clip_norm: Array | None = field(default=None, metadata=PER_MODEL)
    max_norm: Array | None = field(default=None, metadata=PER_MODEL)
    dropout: Array | None = field(default=None, metadata=PER_MODEL)
    freezes_norms: bool = False
    exact_norms: tuple[int, ...] = ()
    streams_rows: bool = False
    ema_decay: Array | None = field(default=None, metadata=PER_MODEL)
    monitors_loss: bool = False

    def batch_size_in(self, epoch: int) -> int:
        """Return the rows of a batch in an epoch, counted from 0."""
        size = self.batch_size
        return size.size_in(epoch) if isinstance(size, BatchSchedule) else size

    @property
    def dropout_layers(self) -> tuple[int, ...]:
        """Numbers of the dropout streams that any model has: 0 for the input, i for the output of hidden layer i."""
        return () if self.dropout is None else tuple(np.flatnonzero(self.dropout.any(axis=0)).tolist())

    @property
    def penalty(self) -> Array:
        """Strength of the penalty that is a part of the loss."""
        return np.zeros_like(self.alpha) if self.decouples_decay else self.alpha

    def take(self, models: Models) -> Options:
        """Return the options of some models."""
        return take_models(self, models, models)

    @classmethod
    def stack(cls, options: Sequence[Options]) -> Options:
        """Return the options of one stack, joined from those of several; the inverse of ``take``.

        Raises
        ------
        ValueError
            If an option that all models share differs, or their optimisers do in more than their numbers.
        """
        stacked = stack_models(options, shared_streams=False)
        kinds = {type(optimizer): optimizer for optimizer in stacked.optimizers}
        if len(kinds) > 1:
            raise ValueError(
                "optimizers of a stack must be of one kind, of which only the numbers differ; got "
                f"{', '.join(map(repr, kinds.values()))}."
            )
        return stacked

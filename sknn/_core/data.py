"""Data of a training: rows, targets, weights, validation rows; and the split between them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.rows import Rows
from .network import Network
from .options import Options


@dataclass(frozen=True, eq=False)
class Validation:
    """Rows that training is scored on after each epoch: those that the state numbers, or all.

    ``score(predictions, y, sample_weight)`` returns a float, higher is better. In its stead there may be
    ``score_model(theta, statistics, rows)``, for the parameters of one model.
    """

    rows: Rows
    y: Array
    score: Callable[..., float]
    sample_weight: Array | None = None
    score_model: Callable[..., float] | None = None

    def fingerprint(self) -> tuple[int, ...]:
        """Return a mark that tells other rows from these: checksums of targets, weights, and some of the rows."""
        weight = np.ones(0) if self.sample_weight is None else self.sample_weight
        own = (zlib.crc32(np.ascontiguousarray(part).data) for part in (self.y, weight))
        return len(self.y), *self.rows.checksums(), *own


@dataclass(frozen=True, eq=False)
class Data:
    """Rows to train on, targets ``(n, k)``, weights ``(n,)`` or None, and validation."""

    rows: Rows
    y: Array
    sample_weight: Array | None = None
    validation: Validation | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that training needs besides its state."""

    backend: Backend
    network: Network
    options: Options
    data: Data


def split_rows(
    stream: np.random.RandomState, n_rows: int, fraction: float, labels: Array | None = None
) -> tuple[Array, Array]:
    """Draw the numbers of the training and of the validation rows, stratified by ``labels`` if given."""
    if labels is not None:
        _check_classes_can_be_split(labels)
    rows = np.arange(n_rows)
    train, validation = train_test_split(rows, test_size=fraction, random_state=stream, stratify=labels)
    if len(validation) < 2:
        raise ValueError(
            f"validation_fraction={fraction} of {n_rows} rows leaves {len(validation)} row(s) for validation, but "
            "at least 2 are needed. Increase 'validation_fraction' or the size of your dataset."
        )
    return train, validation


def _check_classes_can_be_split(labels: Array) -> None:
    _, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            "early_stopping splits the rows by class, so y must have at least 2 rows of each class; the rarest "
            f"has {counts.min()}. Merge or drop that class, or pass your own validation set as X_val and y_val."
        )

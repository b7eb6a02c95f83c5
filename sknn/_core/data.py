"""Data of a training: rows, targets, weights, validation rows; and the split between them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.rows import Rows
from .network import Network
from .options import Options

LEAST_VALIDATION_ROWS = 2


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


SAMPLE_ROWS = 1024  # training rows that stand for all of them where a look at all would take too long


def evenly_spread(n: int, most: int) -> Array:
    """Return the numbers from 0 to n - 1, or ``most`` of them, evenly spread."""
    n_taken = min(n, most)
    return np.arange(n_taken) * n // max(n_taken, 1)


def split_rows(
    stream: np.random.RandomState,
    n_rows: int,
    fraction: float,
    labels: Array | None = None,
    classes: Array | None = None,
) -> tuple[Array, Array]:
    """Draw the numbers of the training and of the validation rows, with about equal shares of each label.

    The rows are those that scikit-learn's split draws, wherever it accepts the data. Errors name the ``classes`` that
    labels are numbers of.
    """
    found, counts = (np.zeros(1), np.array([n_rows])) if labels is None else np.unique(labels, return_counts=True)
    n_validation = ceil(fraction * n_rows)
    if n_rows > 2 * LEAST_VALIDATION_ROWS:
        n_validation = max(n_validation, LEAST_VALIDATION_ROWS)
    if not LEAST_VALIDATION_ROWS <= n_validation < n_rows:
        reason = _refusal(
            found if classes is None else classes[found], counts, n_validation == n_rows > LEAST_VALIDATION_ROWS
        )
        raise ValueError(
            f"{reason} early_stopping needs at least {LEAST_VALIDATION_ROWS} validation rows and rows to train on; got "
            f"{n_validation} of n_samples={n_rows} row(s) for validation_fraction={fraction}. Or pass your own "
            "validation set as X_val and y_val."
        )
    if counts.min() < 2 or len(counts) > min(n_validation, n_rows - n_validation):
        return _split_by_remainders(stream, n_validation, labels)
    train, validation = train_test_split(
        np.arange(n_rows), test_size=n_validation, random_state=stream, stratify=labels
    )
    return train, validation


def _refusal(classes: Array, counts: Array, takes_all: bool) -> str:
    """Return why rows cannot be split, which begins as scikit-learn's message does."""
    if takes_all:
        return "The validation set leaves no rows to train on. Decrease 'validation_fraction'."
    reason = "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
    rare = np.flatnonzero(counts < 2).tolist()
    if len(counts) == 1 or not rare:
        return reason
    names = str(classes[rare].tolist())
    if len(counts) == 2:  # scikit-learn has names of its own for two classes
        names = f"{[str(bool(number)) for number in rare]} (in y: {names})"
    return (
        "The least populated classes in y have only 1 member, which is too few. Classes with too few members are: "
        f"{names}. {reason}"
    )


def _split_by_remainders(stream: np.random.RandomState, n_validation: int, labels: Any) -> tuple[Array, Array]:
    """Draw rows where classes are too many or too small for equal shares: the largest remainders are rounded up.

    The last row of a class is left for training as long as there are others.
    """
    rows = stream.permutation(len(labels))
    _, codes, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
    by_class = np.argsort(codes, kind="stable")
    place = np.empty(len(rows), int)  # of each row among those of its class
    place[by_class] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    # a class of share q gets its rows of places below q, then the next where 1 minus the remainder is smallest
    share = counts[codes] * n_validation / len(rows)
    need = np.where(place == counts[codes] - 1, np.inf, place + 1 - share)
    is_validation = np.zeros(len(rows), bool)
    is_validation[np.argsort(need, kind="stable")[:n_validation]] = True
    return rows[~is_validation], rows[is_validation]

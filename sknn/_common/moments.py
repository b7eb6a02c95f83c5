"""Moments of columns, and how those of two sets of rows are merged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from .._backend.typing import Array


class Moments(NamedTuple):
    """Sum of weights, mean and weighted sum of squared deviations: float64 NumPy arrays, one entry a column.

    The mean is in double-double: ``mean + rest``, where ``rest`` is the rounding error of ``mean``. A column without
    any weight has mean 0 and squares 0.
    """

    count: Array  # type: ignore[assignment]  # tuple's method of this name is not needed
    mean: Array
    rest: Array
    squares: Array

    def variance(self) -> Array:
        """Return the mean squared deviation; NaN where nothing was seen."""
        with np.errstate(invalid="ignore"):
            return self.squares / self.count


class WithMean(Protocol):
    """Statistics with a count and a mean in double-double."""

    @property
    def count(self) -> Any: ...
    @property
    def mean(self) -> Array: ...
    @property
    def rest(self) -> Array: ...


def moments_from_statistics(count: Array, mean: Array, variance: Array, rest: Array | float = 0.0) -> Moments:
    """Return the moments that have this mean and variance, whatever these say where ``count`` is 0."""
    seen = count > 0
    return Moments(*(np.where(seen, part, 0.0) for part in (count, mean, rest, variance * count)))


def merge(first: Moments, second: Moments) -> Moments:
    """Return the moments of two sets of rows together.

    Equations 2.1 of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", Stanford University, STAN-CS-79-773, 1979, for sums of weights and for means instead of sums.
    """
    count, mean, rest, distance, share = merge_means(first, second)
    return Moments(count, mean, rest, first.squares + second.squares + first.count * share * distance**2)


def merge_means(first: WithMean, second: WithMean) -> tuple[Array, Array, Array, Array, Array]:
    """Return count, mean and rest of two sets of rows, the distance of their means and the share of the second."""
    count = first.count + second.count
    share = second.count / np.where(count > 0, count, 1)
    distance = (second.mean - first.mean) + (second.rest - first.rest)
    mean, rest = two_sum(first.mean, first.rest + share * distance)
    rest = np.where(share == 1, second.rest, rest)
    return count, mean, rest, distance, share


def pool(moments: Moments, by_group: Callable[[Array], Array]) -> Moments:
    """Return the moments of groups of columns; ``by_group`` shapes one entry a column to ``(columns, groups)``."""
    count, mean, rest, squares = map(by_group, moments)
    total = count.sum(axis=0)
    start = mean[np.argmax(count > 0, axis=0), np.arange(mean.shape[1])]
    deviation = np.where(count > 0, (mean - start) + rest, 0)
    step = (count * deviation).sum(axis=0) / np.where(total > 0, total, 1)
    squares = squares.sum(axis=0) + (count * (deviation - step) ** 2).sum(axis=0)
    return Moments(total, *two_sum(start, step), squares)


def two_sum(mean: Array, step: Array) -> tuple[Array, Array]:
    """Return ``mean + step`` in double-double, the sum and its rounding error, for a step smaller than the mean."""
    total = mean + step
    return total, step - (total - mean)

"""Moments of columns: what blocks of rows have to say about their columns, and how two blocks become one."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from ._rows import refuse_unknown


class Moments(NamedTuple):
    """Sum of weights, mean and weighted sum of squared deviations: float64 NumPy arrays, one entry a column.

    ``rest`` is what float64 cannot hold of the mean. A column without any weight has mean 0 and squares 0.
    """

    count: np.ndarray
    mean: np.ndarray
    rest: np.ndarray
    squares: np.ndarray

    def variance(self):
        """Return the mean squared deviation; NaN where nothing was seen."""
        with np.errstate(invalid="ignore"):
            return self.squares / self.count


def column_moments(rows, weight=None):
    """Return the moments of the columns of rows, with NaN left out."""
    if issparse(rows.X):
        return _sparse_moments(rows.X, weight)
    backend = rows.backend
    weight = None if weight is None else backend.asarray(weight)

    def segment_moments(block, piece):
        part = None if weight is None else weight[piece]
        with np.errstate(over="ignore", invalid="ignore"):
            return Moments(*map(backend.to_host, backend.column_moments(block, part)))

    with np.errstate(over="ignore", invalid="ignore"):
        return reduce(merge, rows.over_pieces(segment_moments))


def finite_moments(rows):
    """Return the moments of the columns of rows, none of which may hold NaN or infinity."""
    moments = column_moments(rows)
    if (moments.count < rows.X.shape[0]).any() or not np.isfinite(moments.mean).all():
        rows.look_through(refuse_unknown)
    return moments


def _sparse_moments(X, weight):
    X = X.astype(np.float64, copy=False)  # the sums are float64 in any case, but not what is made of them
    mean, variance, count = mean_variance_axis(X, axis=0, weights=weight, return_sum_weights=True)
    return moments_from_statistics(count, mean, variance)


def column_extremes(rows):
    """Return the least and the greatest value of each column of rows, with NaN left out; NaN where nothing is left."""
    backend = rows.backend
    ends = rows.over_pieces(lambda block, _: [backend.to_host(end) for end in backend.column_extremes(block)])
    lows, highs = zip(*ends, strict=True)
    low, high = reduce(np.minimum, lows), reduce(np.maximum, highs)
    return np.where(low > high, np.nan, low), np.where(low > high, np.nan, high)


def moments_from_statistics(count, mean, variance, rest=0.0):
    """Return the moments that have this mean and variance, whatever these say where ``count`` is 0."""
    seen = count > 0
    return Moments(*(np.where(seen, part, 0.0) for part in (count, mean, rest, variance * count)))


def merge(first, second):
    """Return the moments of two sets of rows together.

    Equations 2.1 of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", Stanford University, STAN-CS-79-773, 1979, for sums of weights and for means instead of sums.
    """
    count, mean, rest, distance, share = merge_means(first, second)
    return Moments(count, mean, rest, first.squares + second.squares + first.count * share * distance**2)


def merge_means(first, second):
    """Return count, mean and rest of two sets of rows, the distance of their means and the share of the second."""
    count = first.count + second.count
    share = second.count / np.where(count > 0, count, 1)
    distance = (second.mean - first.mean) + (second.rest - first.rest)
    mean, rest = add(first.mean, first.rest + share * distance)
    rest = np.where(share == 1, second.rest, rest)
    return count, mean, rest, distance, share


def pool(moments, by_group):
    """Return the moments of groups of columns; ``by_group`` shapes one entry a column to ``(columns, groups)``."""
    count, mean, rest, squares = map(by_group, moments)
    total = count.sum(axis=0)
    start = mean[np.argmax(count > 0, axis=0), np.arange(mean.shape[1])]
    deviation = np.where(count > 0, (mean - start) + rest, 0)
    step = (count * deviation).sum(axis=0) / np.where(total > 0, total, 1)
    squares = squares.sum(axis=0) + (count * (deviation - step) ** 2).sum(axis=0)
    return Moments(total, *add(start, step), squares)


def add(mean, step):
    """Return a mean moved by ``step``, and what of ``step`` it cannot hold."""
    total = mean + step
    return total, step - (total - mean)

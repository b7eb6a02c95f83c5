"""Moments of columns: what blocks of rows have to say about their columns, and how two blocks become one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.sparsefuncs import mean_variance_axis


class Moments(NamedTuple):
    """Sum of weights, mean and weighted sum of squared deviations: float64 NumPy arrays, one entry a column.

    A column without any weight has mean 0 and squares 0.
    """

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray

    def variance(self):
        """Return the mean squared deviation; NaN where nothing was seen."""
        with np.errstate(invalid="ignore"):
            return self.squares / self.count


def column_moments(backend, X, weight=None):
    """Return the moments of the columns of X, with NaN left out; X is sparse, or an array of the backend."""
    if issparse(X):
        return _sparse_moments(X, weight)
    weight = None if weight is None else backend.asarray(weight)
    with np.errstate(over="ignore", invalid="ignore"):
        return Moments(*map(backend.to_host, backend.column_moments(X, weight)))


def _sparse_moments(X, weight):
    X = X.astype(np.float64, copy=False)  # the sums are float64 in any case, but not what is made of them
    mean, variance, count = mean_variance_axis(X, axis=0, weights=weight, return_sum_weights=True)
    return moments_from_statistics(count, mean, variance)


def moments_from_statistics(count, mean, variance):
    """Return the moments that have this mean and variance, whatever these say where ``count`` is 0."""
    seen = count > 0
    return Moments(count, np.where(seen, mean, 0), np.where(seen, variance * count, 0))


def merge(first, second):
    """Return the moments of two sets of rows together.

    Equations 2.1 of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", Stanford University, STAN-CS-79-773, 1979, for sums of weights and for means instead of sums.
    """
    count = first.count + second.count
    share = second.count / np.where(count > 0, count, 1)
    distance = second.mean - first.mean
    mean = first.mean + share * distance
    squares = first.squares + second.squares + first.count * share * distance**2
    return Moments(count, mean, squares)

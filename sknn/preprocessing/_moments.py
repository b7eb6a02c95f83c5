"""Moments and extremes of the columns of rows."""

from __future__ import annotations

from functools import reduce, singledispatch

import numpy as np
from sklearn.utils.sparsefuncs import mean_variance_axis

from .._backend.typing import Array
from .._common.moments import Moments, merge, moments_from_statistics
from .._common.rows import Rows, SparseRows
from ._mapping import refuse_unknown


@singledispatch
def column_moments(rows: Rows, weight: Array | None = None) -> Moments:
    """Return the moments of the columns of rows, with NaN left out."""
    backend = rows.backend
    weight = None if weight is None else backend.asarray(weight)

    def segment_moments(block: Array, piece: slice) -> Moments:
        part = None if weight is None else weight[piece]
        with np.errstate(over="ignore", invalid="ignore"):
            return Moments(*map(backend.to_host, backend.column_moments(block, part)))

    with np.errstate(over="ignore", invalid="ignore"):
        return reduce(merge, rows.over_pieces(segment_moments))


def finite_moments(rows: Rows) -> Moments:
    """Return the moments of the columns of rows, none of which may hold NaN or infinity."""
    moments = column_moments(rows)
    if (moments.count < rows.X.shape[0]).any() or not np.isfinite(moments.mean).all():
        rows.examine(refuse_unknown)
    return moments


@column_moments.register
def _sparse_moments(rows: SparseRows, weight: Array | None = None) -> Moments:
    X = rows.X.astype(np.float64, copy=False)  # sums are float64 in any case, but not the statistics made of them
    mean, variance, count = mean_variance_axis(X, axis=0, weights=weight, return_sum_weights=True)
    return moments_from_statistics(count, mean, variance)


def column_extremes(rows: Rows) -> tuple[Array, Array]:
    """Return the least and the greatest value of each column of rows, with NaN left out; NaN where nothing is left."""
    backend = rows.backend
    ends = rows.over_pieces(lambda block, _: [backend.to_host(end) for end in backend.column_extremes(block)])
    lows, highs = zip(*ends, strict=True)
    low, high = reduce(np.minimum, lows), reduce(np.maximum, highs)
    return np.where(low > high, np.nan, low), np.where(low > high, np.nan, high)

"""Moments and extremes of the columns of rows."""

from __future__ import annotations

from functools import reduce, singledispatch

import numpy as np
from sklearn.utils.sparsefuncs import inplace_column_scale, mean_variance_axis, min_max_axis

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.moments import Moments, merge, moments_from_statistics, power_of_two
from .._common.rows import Rows, SparseRows
from ._mapping import refuse_unknown

SMALLEST_SQUARES = np.finfo(np.float64).tiny / np.finfo(np.float64).eps  # of which float64 has all digits

LEAST_WEIGHT = 2.0**-20  # so that products with deviations do not vanish
LEAST_NUMBER = 2.0**-430  # its last digit has a square that is far from vanishing


def column_moments(rows: Rows, weight: Array | None = None) -> Moments:
    """Return the moments of the columns of rows, with NaN left out.

    Columns whose squares overflow or vanish are taken a second time, divided by a power of two.
    """
    moments = _plain_moments(rows, weight)
    if weight is None and rows.X.dtype != np.float64:
        return moments  # float64 has room for the squares of all other numbers
    doubtful = moments.are_doubtful()
    if doubtful.any() and _leaves_traces(rows) and _are_ordinary(weight):
        doubtful &= moments.squares != 0
    columns = np.flatnonzero(doubtful)
    return _with_exact(moments, rows, weight, columns) if columns.size else moments


def _are_ordinary(weight: Array | None) -> bool:
    """Return whether weights leave of a small deviation more than zero."""
    return weight is None or bool(weight.min(where=weight > 0, initial=1.0) >= LEAST_WEIGHT)


@singledispatch
def _leaves_traces(rows: Rows) -> bool:
    """Return whether sums of squares are zero only for columns of one value, as those of the backends are."""
    return True


@_leaves_traces.register
def _leaves_sparse_traces(rows: SparseRows) -> bool:
    size = np.abs(rows.X.data)
    return bool(size.min(where=size > 0, initial=1.0) >= LEAST_NUMBER)


def _with_exact(moments: Moments, rows: Rows, weight: Array | None, doubtful: Array) -> Moments:
    low, high = _extremes(rows, doubtful, weight)
    is_wrong = (low < high) | (moments.mean[doubtful] != low)  # columns of one value have squares of zero
    is_wrong &= np.isfinite(low) & np.isfinite(high)
    if not is_wrong.any():
        return moments
    columns, unit = doubtful[is_wrong], power_of_two(np, np.maximum(abs(low), abs(high))[is_wrong])
    share = None if weight is None else weight / power_of_two(np, weight.max())
    part = Moments(*(statistic[columns] for statistic in moments[:4]))
    part = part.with_doubtful(_plain_moments(rows, share, columns, unit), unit)
    whole = moments._replace(deviations=moments.deviation())
    for statistic, own in zip(whole, part, strict=True):
        statistic[columns] = own  # type: ignore[index]  # none of them is None
    return whole


@singledispatch
def _plain_moments(
    rows: Rows, weight: Array | None, columns: Array | None = None, unit: Array | float = 1.0
) -> Moments:
    """Return moments of all columns, or of some of them divided by ``unit``, whatever their squares are."""
    backend = rows.backend
    weight = None if weight is None else backend.asarray(weight)
    unit = backend.asarray(unit)

    def segment_moments(block: Array, piece: slice) -> Moments:
        part = None if weight is None else weight[piece]
        block = block if columns is None else _columns_of(backend, block, columns) / unit
        with np.errstate(over="ignore", invalid="ignore"):
            return Moments(*map(backend.to_host, backend.column_moments(block, part)))

    with np.errstate(over="ignore", invalid="ignore"):
        return reduce(merge, rows.over_pieces(segment_moments))


@_plain_moments.register
def _plain_sparse_moments(
    rows: SparseRows, weight: Array | None, columns: Array | None = None, unit: Array | float = 1.0
) -> Moments:
    X = rows.X if columns is None else rows.X[:, columns]
    X = X.astype(np.float64, copy=False)  # sums are float64 in any case, but not the statistics made of them
    if columns is not None:
        inplace_column_scale(X, 1 / unit)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, variance, count = mean_variance_axis(X, axis=0, weights=weight, return_sum_weights=True)
    return moments_from_statistics(count, mean, variance)


def finite_moments(rows: Rows) -> Moments:
    """Return the moments of the columns of rows, none of which may hold NaN or infinity."""
    moments = column_moments(rows)
    if (moments.count < rows.X.shape[0]).any() or not np.isfinite(moments.mean).all():
        rows.examine(refuse_unknown)
    return moments


def measured_moments(rows: Rows) -> Moments:
    """Return the moments of the columns of rows, whose squares float64 can hold."""
    moments = finite_moments(rows)
    check_squares(rows, moments.squares.sum())
    return moments


def check_squares(rows: Rows, total: float) -> None:
    """Raise ValueError if ``total``, the sum of squares of centred rows, exceeds float64 or vanishes in it."""
    if SMALLEST_SQUARES <= total < np.inf:
        return
    rows.examine(refuse_unknown)
    low, high = column_extremes(rows)
    if not np.isfinite(total):
        raise ValueError(
            "the covariance of X exceeds float64: X contains too large numbers, up to "
            f"{np.maximum(abs(low), abs(high)).max():.3g} in magnitude. Scale X down."
        )
    if (low < high).any():
        raise ValueError(
            "the covariance of X vanishes in float64: X contains too small numbers, as its features vary by at most "
            f"{(high - low).max():.3g}. Scale X up."
        )


def column_extremes(rows: Rows) -> tuple[Array, Array]:
    """Return the least and the greatest value of each column of rows, with NaN left out; NaN where nothing is left."""
    return _extremes(rows)


@singledispatch
def _extremes(rows: Rows, columns: Array | None = None, weight: Array | None = None) -> tuple[Array, Array]:
    """Return the extremes of all columns of rows, or of some of them, in rows whose weight is not zero."""
    backend = rows.backend
    counts = None if weight is None else backend.asarray(weight > 0)

    def segment_extremes(block: Array, piece: slice) -> list[Array]:
        block = block if columns is None else _columns_of(backend, block, columns)
        block = block if counts is None else backend.xp.where(counts[piece, None], block, np.nan)
        return [backend.to_host(end) for end in backend.column_extremes(block)]

    lows, highs = zip(*rows.over_pieces(segment_extremes), strict=True)
    low, high = reduce(np.minimum, lows), reduce(np.maximum, highs)
    return np.where(low > high, np.nan, low), np.where(low > high, np.nan, high)


@_extremes.register
def _sparse_extremes(
    rows: SparseRows, columns: Array | None = None, weight: Array | None = None
) -> tuple[Array, Array]:
    X = rows.X if columns is None else rows.X[:, columns]
    low, high = min_max_axis(X if weight is None else X[weight > 0], axis=0, ignore_nan=True)
    return low.astype(np.float64), high.astype(np.float64)


def _columns_of(backend: Backend, block: Array, columns: Array) -> Array:
    return block.take(backend.asarray(columns), axis=1)

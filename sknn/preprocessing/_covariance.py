"""Covariance of rows: their scatter, the sums of products about the mean, of any chunks; and its principal axes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import reduce, singledispatch
from typing import Any, NamedTuple

import numpy as np

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.moments import merge_means, two_sum
from .._common.rows import Rows, SparseRows

BLOCK_ROWS = 1024  # at least, which are centred and multiplied at a time
NARROW = 512  # features, up to which threads of ours share the rows better than those of BLAS share the products


class Scatter(NamedTuple):
    """Number of rows, mean in double-double (``mean + rest``), and ``sum (x - mean) (x - mean)^T``; all float64."""

    count: int  # type: ignore[assignment]  # tuple's method of this name is not needed
    mean: Array
    rest: Array
    products: Array


class Spectrum(NamedTuple):
    """Principal axes of rows, those of greatest variance first, with unbiased variances; NumPy arrays.

    ``total_variance`` is also that of axes which are not there. Variances up to ``rounding`` are nothing else.
    """

    count: int  # type: ignore[assignment]
    mean: Array
    rest: Array
    variances: Array
    axes: Array
    total_variance: float
    rounding: float


def _block_rows(backend: Backend, n_features: int) -> int:
    """Return how many rows are centred and multiplied at a time."""
    return max(BLOCK_ROWS, backend.product_elements // n_features)


@singledispatch
def row_scatter(rows: Rows) -> Scatter:
    """Return the scatter of rows."""
    backend = rows.backend
    parts = rows.over_pieces(lambda block, _: _segment_scatter(backend, block), _segment_elements(rows))
    with np.errstate(over="ignore", invalid="ignore"):
        return reduce(merge, parts)


@singledispatch
def blas_threads(rows: Rows) -> AbstractContextManager[Any]:
    """Return a context for ``row_scatter`` and ``principal_axes`` in which BLAS leaves the cores to our threads.

    It also keeps idle threads of BLAS from spinning on them. Wide rows are one segment, whose products BLAS shares.
    """
    is_shared = len(rows.pieces(_segment_elements(rows))) > 1
    return rows.backend.one_blas_thread() if is_shared else nullcontext()


@blas_threads.register
def _sparse_blas_threads(rows: SparseRows) -> AbstractContextManager[Any]:
    return nullcontext()


def _segment_elements(rows: Rows) -> int:
    (n_rows, n_features) = rows.X.shape
    size = n_rows if n_features > NARROW else max(16 * _block_rows(rows.backend, n_features), n_rows // 32)
    return size * n_features


def _segment_scatter(backend: Backend, X: Array) -> Scatter:
    """Return the scatter of one segment of rows, summed about the mean of its first block."""
    xp, (n_rows, n_features) = backend.xp, X.shape
    size = _block_rows(backend, n_features)
    with np.errstate(over="ignore", invalid="ignore"):
        start = X[:size].mean(axis=0, dtype=xp.float64)
        drift, products = xp.zeros(n_features), xp.zeros((n_features, n_features))
        work, centered = xp.empty_like(products), xp.empty((min(size, n_rows), n_features))
        for first in range(0, n_rows, size):
            block = X[first : first + size]
            backend.center(block, start, centered[: len(block)])
            drift += centered[: len(block)].sum(axis=0)
            backend.gram(centered[: len(block)], products, work)
        products -= drift[:, None] * (drift / n_rows)
        start, drift, products = map(backend.to_host, (start, drift, products))
        return Scatter(n_rows, *two_sum(start, drift / n_rows), products)


@row_scatter.register
def _sparse_scatter(rows: SparseRows) -> Scatter:
    X = rows.X.astype(np.float64, copy=False)
    mean = np.asarray(X.mean(axis=0)).reshape(-1)
    products = (X.T @ X).toarray()
    products -= X.shape[0] * mean[:, None] * mean
    return Scatter(X.shape[0], mean, np.zeros_like(mean), products)


def scatter_of_axes(count: int, mean: Array, rest: Array, variances: Array, axes: Array) -> Scatter:
    """Return the scatter of rows that have variance along these axes alone."""
    return Scatter(count, mean, rest, (axes.T * (variances * max(count - 1, 1))) @ axes)


def merge(first: Scatter, second: Scatter) -> Scatter:
    """Return the scatter of two sets of rows together: the equations of ``moments.merge``, for products."""
    count: Any
    count, mean, rest, distance, share = merge_means(first, second)
    products = first.products + second.products
    products += (first.count * share * distance)[:, None] * distance
    return Scatter(count, mean, rest, products)


def principal_axes(backend: Backend, scatter: Scatter) -> Spectrum:
    """Return the spectrum of rows from their scatter."""
    degrees = max(scatter.count - 1, 1)
    variances, vectors = map(backend.to_host, backend.xp.linalg.eigh(backend.asarray(scatter.products / degrees)))
    variances = np.maximum(variances[::-1], 0)  # rounding makes small ones negative
    axes = with_signs(np.ascontiguousarray(vectors.T[::-1]))
    rounding = len(variances) * np.finfo(np.float64).eps * variances[0]
    return Spectrum(scatter.count, scatter.mean, scatter.rest, variances, axes, variances.sum(), rounding)


def rounding_of_squares(variances: Array, shape: tuple[int, ...]) -> float:
    """Return up to where squared singular values of rows of this shape are rounding."""
    return (max(shape) * np.finfo(np.float64).eps) ** 2 * variances[0]


def with_signs(axes: Array) -> Array:
    """Return axes, one a row, with their entry of greatest magnitude positive, so that signs are not left to chance."""
    greatest = np.argmax(np.abs(axes), axis=1)
    return axes * np.where(axes[np.arange(len(axes)), greatest] < 0, -1.0, 1.0)[:, None]

"""Covariance of rows: their scatter, the sums of products about the mean, of any chunks; and its principal axes.

Rows that are few, at most half as many as features, are their own scatter: the centred rows, whose products are the
sums. They take less memory and time, and their singular values are more exact than eigenvalues of the products.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import reduce, singledispatch
from typing import Any, NamedTuple

import numpy as np

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.moments import merge_means, two_sum
from .._common.rows import Rows, SparseRows
from ._moments import column_extremes, measured_moments

BLOCK_ROWS = 1024  # at least, which are centred and multiplied at a time
NARROW = 512  # features, up to which threads of ours share the rows better than those of BLAS share the products
TIED = 1e-6  # relative difference up to which entries of an axis count as equal, also for standardised float32 columns


class Scatter(NamedTuple):
    """Number of rows, mean in double-double (``mean + rest``), and ``sum (x - mean) (x - mean)^T``; all float64.

    The sums are in ``products (d, d)``. If ``products`` has fewer rows, then the sums are ``products.T @ products``.
    """

    count: int  # type: ignore[assignment]  # tuple's method of this name is not needed
    mean: Array
    rest: Array
    products: Array

    @property
    def is_factored(self) -> bool:
        """Whether ``products`` are rows, whose products are the sums."""
        return len(self.products) < self.products.shape[1]

    def total(self) -> float:
        """Return the sum of squares of the centred rows."""
        with np.errstate(over="ignore"):
            return float(np.square(self.products).sum() if self.is_factored else np.trace(self.products))

    def sums(self) -> Array:
        """Return the sums of products ``(d, d)``."""
        return self.products.T @ self.products if self.is_factored else self.products


class Spectrum(NamedTuple):
    """Principal axes of rows, those of greatest variance first, with unbiased variances; NumPy arrays.

    ``axes`` may end before ``variances`` do, with the axes that have variance. ``total_variance`` is also that of axes
    which are not there. Variances up to ``rounding`` may be rounding errors.
    """

    count: int  # type: ignore[assignment]
    mean: Array
    rest: Array
    variances: Array
    axes: Array
    total_variance: float
    rounding: float

    def first_axes(self, n_axes: int) -> Array:
        """Return the first axes; those that are missing are any that are orthogonal to the others."""
        axes = self.axes
        if n_axes > len(axes):
            axes = np.vstack([axes, further_axes(axes)])
        return axes[:n_axes]

    def scatter(self) -> Scatter:
        """Return the scatter of rows that have variance along these axes alone."""
        return scatter_of_axes(self.count, self.mean, self.rest, self.variances, self.axes)


def _block_rows(backend: Backend, n_features: int) -> int:
    """Return how many rows are centred and multiplied at a time."""
    return max(BLOCK_ROWS, backend.product_elements // n_features)


def _are_few(n_rows: int, n_features: int) -> bool:
    """Return whether rows are so few that they are their own scatter."""
    return 2 * n_rows <= n_features


@singledispatch
def row_scatter(rows: Rows) -> Scatter:
    """Return the scatter of rows."""
    backend = rows.backend
    if _are_few(rows.n_rows, rows.n_features):
        return _scatter_of_few(rows)
    parts = rows.over_pieces(lambda block, _: _segment_scatter(backend, block), _segment_elements(rows))
    with np.errstate(over="ignore", invalid="ignore"):
        return reduce(merge, parts)


def _scatter_of_few(rows: Rows) -> Scatter:
    backend, moments = rows.backend, measured_moments(rows)
    mean = backend.asarray(moments.mean)
    parts = rows.over_pieces(lambda block, _: backend.to_host(centered_rows(backend, block, mean)))
    return Scatter(rows.n_rows, moments.mean, moments.rest, np.concatenate(parts))


@singledispatch
def blas_threads(rows: Rows) -> AbstractContextManager[Any]:
    """Return a context for ``row_scatter`` and ``principal_axes`` in which BLAS leaves the cores to our threads.

    It also keeps idle threads of BLAS from spinning on them. Wide rows are one segment, whose products BLAS shares.
    """
    is_shared = len(rows.pieces(_segment_elements(rows))) > 1 and not _are_few(rows.n_rows, rows.n_features)
    return rows.backend.one_blas_thread() if is_shared else nullcontext()


@blas_threads.register
def _sparse_blas_threads(rows: SparseRows) -> AbstractContextManager[Any]:
    return nullcontext()


def _segment_elements(rows: Rows) -> int:
    (n_rows, n_features) = rows.X.shape
    size = n_rows if n_features > NARROW else max(16 * _block_rows(rows.backend, n_features), n_rows // 32)
    return size * n_features


def _segment_scatter(backend: Backend, X: Array) -> Scatter:
    """Return the scatter of one segment of rows, summed about the mean of its first block.

    This mean is taken about the first row, so that it is exact where rows are alike: then the sums are zero.
    """
    xp, (n_rows, n_features) = backend.xp, X.shape
    size = _block_rows(backend, n_features)
    with np.errstate(over="ignore", invalid="ignore"):
        drift, products = xp.zeros(n_features), xp.zeros((n_features, n_features))
        work, centered = xp.empty_like(products), xp.empty((min(size, n_rows), n_features))
        ones = xp.ones(len(centered))  # by which products sum columns, faster than a sum does
        first_row = X[0].astype(xp.float64)
        backend.center(X[:size], first_row, centered)
        start = first_row + centered.mean(axis=0)
        for first in range(0, n_rows, size):
            block = X[first : first + size]
            backend.center(block, start, centered[: len(block)])
            drift += ones[: len(block)] @ centered[: len(block)]
            backend.gram(centered[: len(block)], products, work)
        products -= drift[:, None] * (drift / n_rows)
        start, drift, products = map(backend.to_host, (start, drift, products))
        return Scatter(n_rows, *two_sum(start, drift / n_rows), products)


def centered_rows(backend: Backend, X: Array, mean: Array) -> Array:
    """Return rows less a mean in float64."""
    centered = backend.xp.empty(X.shape)
    backend.center(X, mean, centered)
    return centered


@row_scatter.register
def _sparse_scatter(rows: SparseRows) -> Scatter:
    X = rows.X.astype(np.float64, copy=False)
    mean = np.asarray(X.mean(axis=0)).reshape(-1)
    products = (X.T @ X).toarray()
    with np.errstate(over="ignore", invalid="ignore"):
        products -= X.shape[0] * mean[:, None] * mean
    low, high = column_extremes(rows)
    is_constant = low == high  # rounding of the products is no variance
    products[is_constant], products[:, is_constant] = 0, 0
    return Scatter(X.shape[0], mean, np.zeros_like(mean), products)


def scatter_of_axes(count: int, mean: Array, rest: Array, variances: Array, axes: Array) -> Scatter:
    """Return the scatter of rows that have variance along these axes alone."""
    factor = np.sqrt(variances * max(count - 1, 1))[:, None] * axes
    return Scatter(count, mean, rest, factor if len(factor) < len(mean) else factor.T @ factor)


def merge(first: Scatter, second: Scatter) -> Scatter:
    """Return the scatter of two sets of rows together: the equations of ``moments.merge``, for products."""
    count: Any
    count, mean, rest, distance, share = merge_means(first, second)
    between = np.sqrt(first.count * share) * distance
    n_factors = len(first.products) + len(second.products) + 1
    if first.is_factored and second.is_factored and _are_few(n_factors, len(mean)):
        return Scatter(count, mean, rest, np.vstack([first.products, second.products, between]))
    products = first.sums() + second.sums()
    products += between[:, None] * between
    return Scatter(count, mean, rest, products)


def principal_axes(backend: Backend, scatter: Scatter) -> Spectrum:
    """Return the spectrum of rows from their scatter."""
    degrees = max(scatter.count - 1, 1)
    if scatter.is_factored:
        spectrum = factor_axes(backend, scatter, scatter.products.shape)
        n_missing = len(scatter.mean) - len(spectrum.variances)
        return spectrum._replace(variances=np.append(spectrum.variances, np.zeros(n_missing)))
    variances, vectors = map(backend.to_host, backend.xp.linalg.eigh(backend.asarray(scatter.products / degrees)))
    variances = np.maximum(variances[::-1], 0)  # rounding makes small ones negative
    axes = with_signs(np.ascontiguousarray(vectors.T[::-1]))
    rounding = len(variances) * np.finfo(np.float64).eps * variances[0]
    return Spectrum(scatter.count, scatter.mean, scatter.rest, variances, axes, variances.sum(), rounding)


def factor_axes(backend: Backend, scatter: Scatter, shape: tuple[int, ...]) -> Spectrum:
    """Return the spectrum of rows of this shape from the singular values of the factor of their scatter."""
    _, singular_values, axes = backend.xp.linalg.svd(backend.asarray(scatter.products), full_matrices=False)
    variances = backend.to_host(singular_values) ** 2 / max(scatter.count - 1, 1)
    rounding, axes = rounding_of_squares(variances, shape), with_signs(backend.to_host(axes))
    return Spectrum(scatter.count, scatter.mean, scatter.rest, variances, axes, variances.sum(), rounding)


def rounding_of_squares(variances: Array, shape: tuple[int, ...]) -> float:
    """Return up to where squared singular values of rows of this shape are rounding."""
    return (max(shape) * np.finfo(np.float64).eps) ** 2 * variances[0]


def further_axes(axes: Array) -> Array:
    """Return axes, one a row, that make orthonormal ones a basis of the space.

    They are columns of one block reflector, which takes as many unit vectors to the axes, turned so that their part
    along these vectors is symmetric: Schreiber and Parlett, "Block Reflectors", SIAM Journal on Numerical Analysis
    25(1), 1988.
    """
    n_axes, n_features = axes.shape
    left, along, right = np.linalg.svd(axes[:, :n_axes])
    rest = left.T @ axes[:, n_axes:]
    further = np.empty((n_features - n_axes, n_features))
    further[:, :n_axes] = -rest.T @ right
    scaled = rest / np.sqrt(1 + along)[:, None]
    further[:, n_axes:] = np.eye(n_features - n_axes) - scaled.T @ scaled
    return with_signs(further)


def with_signs(axes: Array) -> Array:
    """Return axes, one a row, with their entry of greatest magnitude positive: the first one of equal entries.

    Signs would depend on rounding if each of the greatest entries could be the one.
    """
    magnitudes = np.abs(axes)
    greatest = np.argmax(magnitudes >= (1 - TIED) * magnitudes.max(axis=1, keepdims=True), axis=1)
    return axes * np.where(axes[np.arange(len(axes)), greatest] < 0, -1.0, 1.0)[:, None]

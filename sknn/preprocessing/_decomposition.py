"""Principal axes without a scatter: from the rows themselves, by a whole or by a randomized decomposition."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from scipy.linalg import lu
from scipy.sparse.linalg import LinearOperator, svds
from scipy.special import gammaln

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.moments import Moments
from .._common.rows import COPIED_BYTES, EXAMINED_ELEMENTS, Rows
from ._covariance import Scatter, Spectrum, centered_rows, factor_axes, rounding_of_squares, row_scatter, with_signs
from ._mapping import map_products
from ._moments import measured_moments

REDUCED_ELEMENTS = 2**13  # of tall rows, above which a decomposition of their triangle takes less time than theirs
GRAM_FACTOR = 8  # times the directions of all power iterations: rows or features up to which a Gram matrix is cheaper


def exact_axes(rows: Rows) -> Spectrum:
    """Return the spectrum of rows from the singular values of the centred rows, which are float64."""
    backend, moments = rows.backend, measured_moments(rows)
    factor = centered_rows(backend, rows.flat(slice(None)), backend.asarray(moments.mean))
    if rows.n_rows > rows.n_features and factor.size > REDUCED_ELEMENTS:
        factor = backend.xp.linalg.qr(factor, "r")  # has the same axes
    return factor_axes(backend, Scatter(rows.n_rows, moments.mean, moments.rest, factor), rows.X.shape)


def few_axes(rows: Rows, n_axes: int) -> Spectrum:
    """Return the first ``n_axes`` of the spectrum of rows that are fewer than features, by the products of rows.

    The axes span the rows along the first eigenvectors of the Gram matrix, and are turned within that space by a
    decomposition of their own, which keeps them orthonormal where eigenvalues are small.
    """
    products = CenteredProducts(rows)
    _, vectors = rows.backend.xp.linalg.eigh(products.gram())
    return products.axes_within(vectors[:, -n_axes:], n_axes)


def randomized_axes(
    rows: Rows,
    n_axes: int,
    n_oversamples: int,
    n_iter: int,
    normalizer: str,
    random_state: np.random.RandomState,
) -> Spectrum:
    """Return the first ``n_axes`` of the spectrum of rows, by products with few random directions.

    Algorithms 4.4 and 5.1 of Halko, Martinsson and Tropp, "Finding Structure with Randomness", SIAM Review 53(2),
    2011, on the centred rows or, where these are fewer than features, on their transpose. Random numbers are drawn as
    scikit-learn draws them.

    Power iterations may use the Gram matrix: a product with it is one with the rows and one back. It resolves singular
    values down to 1e-8 of the first, as float32 rows do; those of other rows below that wait for the last iteration.
    """
    backend, products = rows.backend, CenteredProducts(rows)
    n_least, n_directions = min(rows.X.shape), n_axes + n_oversamples
    normalize = _normalizer(backend, normalizer)
    basis = backend.asarray(random_state.normal(size=(n_least, n_directions)))
    n_by_gram = n_iter if rows.dtype == np.float32 else n_iter - 1
    n_by_gram = n_by_gram if n_least < GRAM_FACTOR * n_directions * n_by_gram else 0
    gram = products.gram() if n_by_gram else None
    for _ in range(n_by_gram):
        basis = normalize(gram @ basis)
    for _ in range(n_iter - n_by_gram):
        basis = normalize(products.back(normalize(products.forth(basis))))
    return products.axes_within(basis, n_axes)


class CenteredProducts:
    """Products with the centred rows in float64, or with their transpose: the matrix that is at least as tall as wide.

    Rows of which a float64 copy is small are copied once; others are centred in each product, piece by piece.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows, self.moments = rows, measured_moments(rows)
        self._is_tall = rows.n_rows >= rows.n_features
        backend, self._centered = rows.backend, None
        self._mean = backend.asarray(self.moments.mean)
        n_bytes = 8 * rows.n_rows * rows.n_features
        if n_bytes <= COPIED_BYTES and backend.has_room(n_bytes):
            self._centered = centered_rows(backend, rows.flat(slice(None)), self._mean)

    def forth(self, directions: Array) -> Array:
        """Return the matrix times directions."""
        return self._times(directions) if self._is_tall else self._transposed_times(directions)

    def back(self, images: Array) -> Array:
        """Return the transposed matrix times images."""
        return self._transposed_times(images) if self._is_tall else self._times(images)

    def gram(self) -> Array:
        """Return the transposed matrix times the matrix."""
        backend = self.rows.backend
        if self._centered is not None:
            tall = self._centered if self._is_tall else self._centered.T
            return tall.T @ tall
        if self._is_tall:
            return backend.asarray(row_scatter(self.rows).sums())
        n_rows, n_features = self.rows.X.shape
        gram, width = backend.xp.zeros((n_rows, n_rows)), max(1, COPIED_BYTES // (8 * n_rows))
        for first in range(0, n_features, width):
            columns = slice(first, first + width)
            block = centered_rows(backend, backend.asarray(self.rows.X[:, columns]), self._mean[columns])
            gram += block @ block.T
        return gram

    def axes_within(self, basis: Array, n_axes: int) -> Spectrum:
        """Return the spectrum of the rows within the space that the images of a basis span.

        Variances are those of the rows along the axes. Where rows are the images, only a part of them is in that space.
        """
        backend, xp = self.rows.backend, self.rows.backend.xp
        images, _ = xp.linalg.qr(self.forth(basis))
        left, singular_values, right = xp.linalg.svd(self.back(images), full_matrices=False)
        axes = left.T if self._is_tall else (images @ right.T).T
        axes, singular_values = axes[:n_axes], singular_values[:n_axes]
        if self._is_tall:
            singular_values = xp.sqrt(xp.square(self.forth(axes.T)).sum(axis=0))
        return _truncated(self.rows.X.shape, self.moments, *map(backend.to_host, (singular_values, axes)))

    def _times(self, directions: Array) -> Array:
        """Return ``(X - mean) directions``."""
        if self._centered is not None:
            return self._centered @ directions
        return self.rows.backend.asarray(map_products(self.rows, np.float64, self._mean, directions))

    def _transposed_times(self, images: Array) -> Array:
        """Return ``(X - mean)^T images``."""
        if self._centered is not None:
            return self._centered.T @ images
        backend = self.rows.backend

        def work(block: Array, piece: slice) -> Array:
            return centered_rows(backend, block, self._mean).T @ backend.asarray(images[piece])

        with backend.one_blas_thread():
            return reduce(backend.xp.add, self.rows.over_pieces(work, max(EXAMINED_ELEMENTS, backend.product_elements)))


def lanczos_axes(rows: Rows, n_axes: int, tol: float, random_state: np.random.RandomState) -> Spectrum:
    """Return the first ``n_axes`` of the spectrum of rows, dense or sparse, by ARPACK on products with vectors.

    Axes without variance do not come from ARPACK: it would find other ones in each call, and fails where all are such.
    """
    X, moments = rows.X, measured_moments(rows)
    mean = moments.mean
    if min(X.shape) == 1:  # ARPACK finds fewer axes than there are, so none here
        return _truncated(X.shape, moments, np.sqrt(moments.squares.sum(keepdims=True)), np.eye(1, X.shape[1]))
    centered = LinearOperator(
        X.shape,
        matvec=lambda direction: X @ direction.ravel() - mean @ direction.ravel(),
        rmatvec=lambda image: X.T @ image.ravel() - mean * image.sum(),
        dtype=np.float64,
    )
    first = random_state.uniform(-1, 1, min(X.shape))
    if moments.squares.sum() <= X.shape[0] * (4 * np.finfo(np.float64).eps) ** 2 * (mean @ mean):
        return _truncated(X.shape, moments, np.zeros(n_axes), np.eye(n_axes, X.shape[1]))
    _, singular_values, axes = svds(centered, k=n_axes, tol=tol, v0=first)
    spectrum = _truncated(X.shape, moments, singular_values, axes)
    rank = int((spectrum.variances > spectrum.rounding).sum())
    return spectrum if rank == n_axes else _axes_of_rank(spectrum, rank, centered, moments, random_state)


def _axes_of_rank(
    spectrum: Spectrum, rank: int, centered: LinearOperator, moments: Moments, random_state: np.random.RandomState
) -> Spectrum:
    """Return the spectrum of rows of low rank again: those of ARPACK depend on random numbers of its own.

    The images of more directions than the rank span all rows. Axes without variance are any that complete the others.
    """
    n_axes, n_features = spectrum.axes.shape
    images, _ = np.linalg.qr(centered @ random_state.normal(size=(n_features, n_axes)))
    axes, singular_values, _ = np.linalg.svd(centered.T @ images, full_matrices=False)
    known = _truncated(centered.shape, moments, singular_values[:rank], axes.T[:rank])
    return known._replace(variances=np.append(known.variances, np.zeros(n_axes - rank)), axes=known.first_axes(n_axes))


def _truncated(shape: tuple[int, ...], moments: Moments, singular_values: Array, axes: Array) -> Spectrum:
    order, degrees = np.argsort(-singular_values, kind="stable"), max(shape[0] - 1, 1)
    singular_values, axes = singular_values[order], axes[order]
    variances, total = singular_values**2 / degrees, moments.squares.sum() / degrees
    rounding = rounding_of_squares(variances, shape)
    return Spectrum(shape[0], moments.mean, moments.rest, variances, with_signs(axes), total, rounding)


def _normalizer(backend: Backend, name: str) -> Callable[[Array], Array]:
    """Return the function that keeps directions apart between two products; by default the one that is faster."""
    if name == "none":
        return lambda directions: directions
    if name == "LU" or (name == "auto" and backend.on_host):
        return lambda directions: backend.asarray(lu(backend.to_host(directions), permute_l=True)[0])
    return lambda directions: backend.xp.linalg.qr(directions)[0]


def minka_rank(variances: Array, n_rows: int) -> int:
    """Return the number of axes, from 1 on, that is most probable given the variances of all axes.

    Equation 77 of Minka, "Automatic Choice of Dimensionality for PCA", NIPS 13, 2000.
    """
    if len(variances) == 1:
        return 1
    return 1 + int(np.argmax([_log_evidence(variances, rank, n_rows) for rank in range(1, len(variances))]))


def _log_evidence(variances: Array, rank: int, n_rows: int) -> float:
    smallest, n_axes = 1e-15, len(variances)
    if variances[rank - 1] < smallest:
        return -np.inf
    noise = max(smallest, variances[rank:].mean())
    half = (n_axes - np.arange(rank)) / 2
    log_prior = (gammaln(half) - half * np.log(np.pi)).sum() - rank * np.log(2)
    log_likelihood = -n_rows / 2 * (np.log(variances[:rank]).sum() + (n_axes - rank) * np.log(noise))
    inverse = 1 / np.append(variances[:rank], np.full(n_axes - rank, noise))
    first, second = np.triu_indices(rank, 1, n_axes)
    with np.errstate(divide="ignore"):  # a product of the two differences may overflow
        factors = (variances[first] - variances[second], inverse[second] - inverse[first])
        log_products = sum(np.log(np.maximum(factor, 0)) for factor in factors)
    log_curvature = np.maximum(log_products, np.log(np.finfo(float).tiny)).sum() + len(first) * np.log(n_rows)
    n_free = n_axes * rank - rank * (rank + 1) / 2 + rank
    return log_prior + log_likelihood + (n_free * np.log(2 * np.pi) - log_curvature - rank * np.log(n_rows)) / 2

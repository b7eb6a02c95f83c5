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
from .._common.rows import EXAMINED_ELEMENTS, Rows
from ._covariance import Spectrum, rounding_of_squares, with_signs
from ._mapping import map_products
from ._moments import finite_moments


def exact_axes(rows: Rows) -> Spectrum:
    """Return the spectrum of rows from the singular values of the centred rows, which are float64."""
    backend, X = rows.backend, rows.flat(slice(None))
    xp, moments = backend.xp, finite_moments(rows)
    centered = xp.empty(X.shape)
    backend.center(X, backend.asarray(moments.mean), centered)
    if X.shape[0] > X.shape[1]:
        centered = xp.linalg.qr(centered, "r")  # has the same axes
    _, singular_values, axes = xp.linalg.svd(centered, full_matrices=False)
    variances, axes = backend.to_host(singular_values) ** 2 / max(X.shape[0] - 1, 1), backend.to_host(axes)
    rounding = rounding_of_squares(variances, X.shape)
    return Spectrum(X.shape[0], moments.mean, moments.rest, variances, with_signs(axes), variances.sum(), rounding)


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
    """
    backend, (n_rows, n_features) = rows.backend, rows.X.shape
    moments, xp = finite_moments(rows), backend.xp

    def times(directions: Array) -> Array:
        return backend.asarray(map_products(rows, np.float64, backend.asarray(moments.mean), directions))

    def transposed_times(images: Array) -> Array:
        return _transposed_times(rows, moments.mean, images)

    is_tall = n_rows >= n_features
    forth, back = (times, transposed_times) if is_tall else (transposed_times, times)
    normalize = _normalizer(backend, normalizer)
    basis = backend.asarray(random_state.normal(size=(min(rows.X.shape), n_axes + n_oversamples)))
    for _ in range(n_iter):
        basis = normalize(back(normalize(forth(basis))))
    basis, _ = xp.linalg.qr(forth(basis))
    left, singular_values, right = xp.linalg.svd(back(basis), full_matrices=False)
    axes = left.T if is_tall else (basis @ right.T).T
    axes, singular_values = backend.to_host(axes[:n_axes]), backend.to_host(singular_values[:n_axes])
    return _truncated(rows.X.shape, moments, singular_values, axes)


def _transposed_times(rows: Rows, mean: Array, images: Array) -> Array:
    """Return ``(X - mean)^T images`` in float64."""
    backend, mean = rows.backend, rows.backend.asarray(mean)

    def work(block: Array, piece: slice) -> Array:
        centered = backend.xp.empty(block.shape)
        backend.center(block, mean, centered)
        return centered.T @ backend.asarray(images[piece])

    with backend.one_blas_thread():
        return reduce(backend.xp.add, rows.over_pieces(work, max(EXAMINED_ELEMENTS, backend.product_elements)))


def lanczos_axes(rows: Rows, n_axes: int, tol: float, random_state: np.random.RandomState) -> Spectrum:
    """Return the first ``n_axes`` of the spectrum of rows, dense or sparse, by ARPACK on products with vectors."""
    X, moments = rows.X, finite_moments(rows)
    mean = moments.mean
    centered = LinearOperator(
        X.shape,
        matvec=lambda direction: X @ direction.ravel() - mean @ direction.ravel(),
        rmatvec=lambda image: X.T @ image.ravel() - mean * image.sum(),
        dtype=np.float64,
    )
    first = random_state.uniform(-1, 1, min(X.shape))
    _, singular_values, axes = svds(centered, k=n_axes, tol=tol, v0=first)
    order = np.argsort(-singular_values, kind="stable")
    return _truncated(X.shape, moments, singular_values[order], axes[order])


def _truncated(shape: tuple[int, ...], moments: Moments, singular_values: Array, axes: Array) -> Spectrum:
    degrees = max(shape[0] - 1, 1)
    variances, rounding = singular_values**2 / degrees, rounding_of_squares(singular_values**2 / degrees, shape)
    total = moments.squares.sum() / degrees
    return Spectrum(shape[0], moments.mean, moments.rest, variances, with_signs(axes), total, rounding)


def _normalizer(backend: Backend, name: str) -> Callable[[Array], Array]:
    """Return the function that orthogonalises directions between two products."""
    if name == "none":
        return lambda directions: directions
    if name == "LU":
        return lambda directions: backend.asarray(lu(backend.to_host(directions), permute_l=True)[0])
    return lambda directions: backend.xp.linalg.qr(directions)[0]


def minka_rank(variances: Array, n_rows: int) -> int:
    """Return the number of axes, from 1 on, that is most probable given the variances of all axes.

    Equation 77 of Minka, "Automatic Choice of Dimensionality for PCA", NIPS 13, 2000.
    """
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
    curvature = (variances[first] - variances[second]) * (inverse[second] - inverse[first])
    log_curvature = np.log(np.maximum(curvature, np.finfo(float).tiny)).sum() + len(first) * np.log(n_rows)
    n_free = n_axes * rank - rank * (rank + 1) / 2 + rank
    return log_prior + log_likelihood + (n_free * np.log(2 * np.pi) - log_curvature - rank * np.log(n_rows)) / 2

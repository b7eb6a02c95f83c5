"""The door of a transformer: rows come in checked, go to where they are computed, and go out as they came."""

from __future__ import annotations

from scipy.sparse import issparse

from .._estimator import check_X
from ..backend import get_backend, is_device_array, to_numpy


def check_rows(estimator, X, *, reset, accept_sparse=("csr", "csc"), **options):
    """Return X checked in all but infinities of a dense X, which ``refuse_infinity`` finds where X is computed.

    NaN stands for a missing value.
    """
    ensure_all_finite = "allow-nan" if issparse(X) else False
    return check_X(
        estimator, X, reset=reset, accept_sparse=accept_sparse, ensure_all_finite=ensure_all_finite, **options
    )


def to_backend(backend, X):
    """Bring checked rows to where they are computed."""
    if not issparse(X):
        return backend.asarray(X if backend.name == "cupy" else to_numpy(X))
    if backend.name == "cupy":
        raise ValueError("sparse X must be computed with backend='numpy'; got backend='cupy'.")
    return X


def refuse_infinity(backend, X):
    """Raise ValueError if a dense X of the backend holds infinity."""
    if backend.xp.isinf(X).any():
        raise ValueError(f"Input X contains infinity or a value too large for dtype('{X.dtype}').")


def like(X, array):
    """Return ``array`` in CuPy if X is, else in NumPy."""
    return get_backend("cupy").asarray(array) if is_device_array(X) else to_numpy(array)

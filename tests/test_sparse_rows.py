"""Sparse X with entries that share a place, are not in order, or are stored zeros: the same as the dense array."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning

from sknn import MLPClassifier, MLPRegressor
from sknn._common.rows import rows_of
from sknn.preprocessing import PCA, StandardScaler
from tests.support.backends import BACKENDS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
KINDS = ["csr_matrix", "csr_array", "csc_matrix", "csc_array", "bsr_matrix", "coo_array", "coo_matrix"]
each_kind = pytest.mark.parametrize("kind", KINDS)


def dense_rows(n_rows=40, n_features=5):
    rng = np.random.default_rng(0)
    return np.where(rng.random((n_rows, n_features)) < 0.5, rng.integers(1, 9, (n_rows, n_features)), 0.0)


def scattered(kind, X=None):
    """Return a matrix with the sums of dense rows, each entry in two parts, in no order, and a stored zero."""
    X = dense_rows() if X is None else X
    rng = np.random.default_rng(1)
    row, column = np.nonzero(X)
    row, column = np.tile(row, 2), np.tile(column, 2)
    values = np.concatenate([X[X != 0] - 2.0, np.full(np.count_nonzero(X), 2.0)])
    row, column, values = np.append(row, 0), np.append(column, np.argmin(X[0])), np.append(values, 0.0)
    order = rng.permutation(len(values))
    row, column, values = row[order], column[order], values[order]
    if kind.startswith("coo"):
        return getattr(scipy.sparse, kind)((values, (row, column)), X.shape)
    major = column if kind.startswith("csc") else row
    by_major = np.argsort(major, kind="stable")
    minor = (row if kind.startswith("csc") else column)[by_major]
    n_major = X.shape[kind.startswith("csc")]
    starts = np.searchsorted(major[by_major], np.arange(n_major + 1))
    values = values[by_major]
    values = values[:, None, None] if kind.startswith("bsr") else values
    return getattr(scipy.sparse, kind)((values, minor, starts), X.shape)


def parts(X):
    names = ("row", "col", "data") if X.format == "coo" else ("data", "indices", "indptr")
    return [getattr(X, name).copy() for name in names]


@pytest.fixture(params=KINDS)
def rows(request):
    """Scattered rows of each kind, which must be unchanged in the end."""
    X = scattered(request.param)
    before = parts(X)
    assert X.nnz == 2 * np.count_nonzero(dense_rows()) + 1
    np.testing.assert_array_equal(X.toarray(), dense_rows())
    yield X
    for now, then in zip(parts(X), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_smallest_case():
    X = scipy.sparse.csr_matrix(([1.0, 2.0, 4.0], [0, 0, 1], [0, 2, 2, 3]), (3, 2))
    scaler = StandardScaler(with_mean=False).fit(X)
    np.testing.assert_allclose(scaler.var_, [2, 32 / 9], rtol=1e-15)
    assert X.nnz == 3


def test_scaling(rows):
    X = dense_rows()
    scaler = StandardScaler(with_mean=False).fit(rows)
    pieces = StandardScaler(with_mean=False)
    for start in (0, 15):
        pieces.partial_fit(scipy.sparse.csr_matrix(rows)[start : start + 15 + 10 * (start > 0)])
    np.testing.assert_allclose(scaler.var_, X.var(axis=0), rtol=1e-14)
    np.testing.assert_allclose(pieces.var_, X.var(axis=0), rtol=1e-14)
    scaled = scaler.transform(rows)
    np.testing.assert_allclose(scaled.toarray(), X / X.std(axis=0), rtol=1e-14)
    np.testing.assert_allclose(scaler.inverse_transform(scaled).toarray(), X, rtol=1e-14)


@pytest.mark.parametrize("solver", ["arpack", "covariance_eigh"])
def test_principal_axes(rows, solver):
    X = dense_rows()
    pca = PCA(2, svd_solver=solver, random_state=0).fit(rows)
    variances = np.linalg.eigvalsh(np.cov(X.T))[::-1][:2]
    np.testing.assert_allclose(pca.mean_, X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(pca.explained_variance_, variances, rtol=1e-10)
    np.testing.assert_allclose(pca.transform(rows), (X - X.mean(axis=0)) @ pca.components_.T, atol=1e-12)


@pytest.mark.parametrize(
    "parameters", [{}, {"input_dropout": 0.3}, {"solver": "lbfgs"}, {"early_stopping": True}], ids=str
)
@pytest.mark.fast_share(3)
def test_networks(rows, parameters):
    X, y = dense_rows(), dense_rows().sum(axis=1)
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0, **parameters)
    expected = model.fit(scipy.sparse.csr_matrix(X), y).predict(X)
    np.testing.assert_array_equal(model.predict(rows), model.predict(scipy.sparse.csr_matrix(X)))
    np.testing.assert_array_equal(model.fit(rows, y).predict(X), expected)


def test_networks_go_on_with_the_same_rows(rows):
    X, y = dense_rows(), dense_rows().sum(axis=1) > 10
    whole = MLPClassifier(hidden_layer_sizes=(4,), max_iter=6, random_state=0).fit(scipy.sparse.csr_matrix(X), y)
    halves = MLPClassifier(hidden_layer_sizes=(4,), max_iter=3, random_state=0, warm_start=True)
    halves.fit(rows, y).fit(scipy.sparse.csr_matrix(X), y)
    np.testing.assert_array_equal(halves.coefs_[0], whole.coefs_[0])


def test_checksums_are_those_of_the_same_matrix():
    X = scipy.sparse.csr_array(dense_rows())
    starts = np.append(X.indptr[:-1], X.nnz + 1)
    zero = np.flatnonzero(dense_rows()[-1] == 0)[0]
    stored = scipy.sparse.csr_array((np.append(X.data, 0.0), np.append(X.indices, zero), starts), X.shape)
    assert stored.nnz == X.nnz + 1
    long = X.copy()
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    backend = BACKENDS["cpu"]
    for other in (X.copy(), stored, long):
        assert rows_of(backend, other).checksums() == rows_of(backend, X).checksums()
    assert rows_of(backend, 2 * X).checksums() != rows_of(backend, X).checksums()


def test_sums_that_overflow_are_refused():
    X = scipy.sparse.csr_matrix(([1e308, 1e308], [0, 0], [0, 2, 2]), (2, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for estimator in (StandardScaler(with_mean=False), MLPRegressor(max_iter=1)):
            with pytest.raises(ValueError, match="infinity"):
                estimator.fit(X, [0.0, 1.0])


@each_kind
def test_scaling_in_place_needs_no_sum(kind):
    X = scattered(kind)
    scaler = StandardScaler(with_mean=False, copy=False).fit(X)
    scaled = scaler.transform(X)
    assert (scaled is X) == kind.startswith("csr")
    np.testing.assert_allclose(scaled.toarray(), dense_rows() / dense_rows().std(axis=0), rtol=1e-13)

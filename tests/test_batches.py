"""Batches against X[rows] @ W, dense and sparse, shared by a stack or one stream a model."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sknn._backend import operations as ops
from sknn._common import rows as rows_module
from sknn._common.rows import DenseRows, SparseRows, rows_of
from tests.support.backends import BACKENDS, rows_on
from tests.support.designs import all_pairs

N_MODELS, N_ROWS, N_FEATURES, N_UNITS = 3, 11, 6, 4
FORMS = {
    "dense": np.asarray,
    "f_order": np.asfortranarray,
    "csr_matrix": scipy.sparse.csr_matrix,
    "csr_array": scipy.sparse.csr_array,
}
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
each_stream = pytest.mark.parametrize("n_streams", [1, N_MODELS])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def random(*shape, dtype=float, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def some_rows(n_rows=N_ROWS, n_features=N_FEATURES, dtype=float, seed=0):
    """Return rows of which half the entries are zero."""
    X = random(n_rows, n_features, dtype=dtype, seed=seed)
    return np.where(X > 0, X, 0)


def orders(n_streams, n_rows=N_ROWS):
    return np.stack([np.random.RandomState(s).permutation(n_rows) for s in range(n_streams)])


def seen_by(X, order, model, rows):
    """Return the rows that ``model`` sees."""
    return X[order[min(model, len(order) - 1), rows]]


def training_batch(backend, X, n_rows, order, clock):
    rows = rows_on(backend, X)
    return rows.training_batch(rows.feed(order, np.array([n_rows])), n_rows, clock)


def assert_projects(batch, rows, dtype=float):
    """The batch's products are those of ``rows``, one matrix a model."""
    n_rows = len(rows[0])
    W, dz = random(N_MODELS, N_FEATURES, N_UNITS, dtype=dtype), random(N_MODELS, n_rows, N_UNITS, dtype=dtype, seed=1)
    z, dW = np.full_like(dz, np.nan), np.full_like(W, np.nan)
    BACKENDS["cpu"].execute(batch.product(W, z), batch.transposed_product(dz, dW))
    tolerance = {"rtol": 50 * np.finfo(dtype).eps, "atol": 50 * np.finfo(dtype).eps}
    np.testing.assert_allclose(z, [x @ w for x, w in zip(rows, W, strict=True)], **tolerance)
    np.testing.assert_allclose(dW, [x.T @ g for x, g in zip(rows, dz, strict=True)], **tolerance)


@all_pairs([each_backend, each_dtype], each_form, each_stream)
def test_drawn_rows_follow_the_order_and_the_clock(n_streams, form, dtype, backend):
    X, order, clock = some_rows(dtype=dtype), orders(n_streams), np.zeros(2, np.int64)
    batch = training_batch(backend, form(X), 4, order, clock)
    for first in (0, 4):
        backend.execute(*batch.fetch())
        rows = slice(first, first + 4)
        assert_projects(batch, [seen_by(X, order, k, rows) for k in range(N_MODELS)], dtype)
        backend.execute(ops.Advance(clock, 4))
    np.testing.assert_array_equal(clock, [2, 8])


@each_backend
@each_form
def test_a_new_order_in_the_same_array_is_followed(form, backend):
    X, order, clock = some_rows(), orders(1), np.zeros(2, np.int64)
    batch = training_batch(backend, form(X), 5, order, clock)
    backend.execute(*batch.fetch())
    order[...] = order[:, ::-1].copy()
    backend.execute(*batch.fetch())
    assert_projects(batch, [X[order[0, :5]]] * N_MODELS)


@all_pairs(each_backend, each_form, each_dtype)
def test_a_whole_batch_has_all_rows_for_all_models(dtype, form, backend):
    X = some_rows(dtype=dtype)
    assert_projects(rows_on(backend, form(X)).batch(), [X] * N_MODELS, dtype)


@each_form
def test_a_whole_batch_is_no_copy(form):
    X = form(some_rows())
    batch = rows_on(BACKENDS["cpu"], X).batch()
    assert batch.x.matrices[0] is X if scipy.sparse.issparse(X) else np.shares_memory(batch.x, X)


@each_form
@pytest.mark.parametrize("copied", [0, 10**6])
def test_only_small_tables_by_column_are_copied(copied, form, monkeypatch):
    monkeypatch.setattr(rows_module, "COPIED_BYTES", copied)
    X = form(some_rows())
    laid_out = rows_on(BACKENDS["cpu"], X).by_row().X
    if form is np.asfortranarray and copied:
        assert laid_out.flags.c_contiguous and not X.flags.c_contiguous
        np.testing.assert_array_equal(laid_out, X)
    else:
        assert laid_out is X


@each_form
@each_stream
def test_rows_are_only_read(n_streams, form):
    X = form(some_rows())
    for values in (X.data, X.indices, X.indptr) if scipy.sparse.issparse(X) else (X,):
        values.flags.writeable = False
    order = orders(n_streams)
    backend = BACKENDS["cpu"]
    batch = training_batch(backend, X, 4, order, np.zeros(2, np.int64))
    backend.execute(*batch.fetch())
    dense = X.toarray() if scipy.sparse.issparse(X) else X
    assert_projects(batch, [seen_by(dense, order, k, slice(4)) for k in range(N_MODELS)])


def test_drawn_sparse_rows_stay_sparse():
    backend = BACKENDS["cpu"]
    batch = training_batch(backend, scipy.sparse.csr_matrix(some_rows()), 4, orders(2), np.zeros(2, np.int64))
    backend.execute(*batch.fetch())
    assert all(scipy.sparse.issparse(rows) and rows.shape == (4, N_FEATURES) for rows in batch.x.matrices)


def test_sparse_is_told_from_dense():
    X = some_rows()
    for form in (scipy.sparse.csc_array, scipy.sparse.csr_matrix):
        assert type(rows_of(BACKENDS["cpu"], form(X))) is SparseRows
    assert type(rows_of(BACKENDS["cpu"], X)) is DenseRows


@given(seed=st.integers(0, 99), n_rows=st.integers(1, 9), density=st.floats(0, 1), data=st.data())
@settings(max_examples=60)
def test_sparse_rows_say_what_dense_rows_say(seed, n_rows, density, data):
    """Also for empty rows, empty columns, a batch of one row and a batch of all."""
    kept = np.random.default_rng(seed).random((n_rows, N_FEATURES)) < density
    X = np.where(kept, random(n_rows, N_FEATURES, seed=seed), 0)
    size = data.draw(st.integers(1, n_rows))
    clock, order = np.array([0, data.draw(st.integers(0, n_rows - size))]), orders(1, n_rows)
    backend = BACKENDS["cpu"]
    batch = training_batch(backend, scipy.sparse.csr_array(X), size, order, clock)
    backend.execute(*batch.fetch())
    assert_projects(batch, [X[order[0, clock[1] : clock[1] + size]]] * N_MODELS)

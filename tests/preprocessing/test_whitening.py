"""PCA beside scikit-learn's, ZCA beside its definition, and streaming beside one fit."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import decomposition
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

import sknn._backend
from sknn._backend import reference
from sknn.preprocessing import PCA, ZCA, _covariance
from tests.support import cupy_standin
from tests.support.designs import all_pairs, in_turns, shared_out

ATTRIBUTES = {
    "mean_": 1e-12,
    "components_": 1e-8,
    "explained_variance_": 1e-10,
    "explained_variance_ratio_": 1e-10,
    "singular_values_": 1e-10,
    "noise_variance_": 1e-10,
    "n_components_": 0,
    "n_samples_": 0,
}
ARRAYS = ["mean_", "components_", "explained_variance_", "explained_variance_ratio_", "singular_values_"]
WHOLE = ["full", "covariance_eigh", "auto"]
FEW = ["randomized", "arpack"]
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])
each_class = pytest.mark.parametrize("cls", [PCA, ZCA])


def table(n_rows=200, n_features=8, dtype=np.float64, seed=0):
    """Return rows with correlated features and clearly separate variances."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.standard_normal((n_features, n_features)))
    return (5 + rng.standard_normal((n_rows, n_features)) * 1.5 ** -np.arange(n_features) @ axes).astype(dtype)


def assert_same(mine, twin, factor=1.0, names=ATTRIBUTES):
    for name in names:
        expected, tolerance = getattr(twin, name), factor * ATTRIBUTES[name]
        assert np.shape(getattr(mine, name)) == np.shape(expected)
        np.testing.assert_allclose(getattr(mine, name), expected, rtol=tolerance, atol=tolerance, err_msg=name)


def both(**parameters):
    return PCA(random_state=0, **parameters), decomposition.PCA(random_state=0, **parameters)


# ---- PCA beside scikit-learn's ----------------------------------------------------------


@all_pairs(
    pytest.mark.parametrize("solver", WHOLE),
    pytest.mark.parametrize("n_components", [None, 1, 5, 8, 0.5, 0.99, "mle"]),
    pytest.mark.parametrize("whiten", [False, True], ids=["plain", "whitened"]),
)
def test_twin(whiten, n_components, solver):
    X = table()
    mine, twin = both(n_components=n_components, svd_solver=solver, whiten=whiten)
    mine.fit(X), twin.fit(X)
    assert_same(mine, twin)
    scores = mine.transform(X)
    np.testing.assert_allclose(scores, twin.transform(X), atol=1e-8)
    np.testing.assert_allclose(mine.inverse_transform(scores), twin.inverse_transform(scores), atol=1e-10)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (30, 30), (2, 5), (600, 20), (40, 700)], ids=str)
@pytest.mark.parametrize("solver", ["full", "auto"])
def test_twin_of_any_shape(solver, shape):
    X = table(*shape)
    mine, twin = both(svd_solver=solver, n_components=min(shape) - 1)
    mine.fit(X), twin.fit(X)
    assert_same(mine, twin, factor=1e3)


@all_pairs(
    pytest.mark.parametrize("normalizer", ["auto", "QR", "LU", "none"]),
    pytest.mark.parametrize("shape", [(200, 60), (60, 200)], ids=str),
    pytest.mark.parametrize("n_iter", ["auto", 0, 2]),
)
def test_randomized_twin(n_iter, shape, normalizer):
    if shape[1] > 100 and normalizer == "none" and n_iter == "auto":
        pytest.skip("rounding decides, where directions are not kept apart")
    X = table(*shape)
    parameters = {"iterated_power": n_iter, "power_iteration_normalizer": normalizer, "svd_solver": "randomized"}
    mine, twin = both(n_components=5, **parameters)
    mine.fit(X), twin.fit(X)
    assert_same(mine, twin, factor=1e2, names=["mean_", "components_", "n_components_"])
    variances = np.var(twin.transform(X), axis=0, ddof=1)
    np.testing.assert_allclose(mine.explained_variance_, variances, rtol=1e-10)
    if n_iter != 0 or shape[0] < shape[1]:  # else scikit-learn's variances are those of a part of the rows
        assert_same(mine, twin, factor=1e2)


def cosines(mine, exact):
    """Return the cosines of axes, one a row, with exact ones."""
    return np.abs(np.sum(mine * exact, axis=1))


@pytest.mark.slow
@each_dtype
@pytest.mark.parametrize("shape", [(3000, 400), (1500, 200), (400, 3000), (510, 5200)], ids=str)
def test_auto_is_exact(shape, dtype):
    X = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    _, singular_values, axes = np.linalg.svd(X - X.mean(axis=0, dtype=float), full_matrices=False)
    pca = PCA(10, random_state=0).fit(X)
    tolerance = 1e-5 if dtype == np.float32 else 1e-8
    np.testing.assert_allclose(pca.explained_variance_, singular_values[:10] ** 2 / (shape[0] - 1), rtol=tolerance)
    assert cosines(pca.components_, axes[:10]).min() > 1 - tolerance
    np.testing.assert_allclose(pca.components_ @ pca.components_.T, np.eye(10), atol=tolerance)


@pytest.mark.slow
@each_dtype
def test_auto_by_random_directions_is_near_where_variances_are_alike(dtype):
    """Here the exact variances of neighbouring axes differ by 1 %, so that no axis stands out."""
    X = np.random.default_rng(0).standard_normal((600, 600)).astype(dtype)
    _, singular_values, axes = np.linalg.svd(X - X.mean(axis=0, dtype=float), full_matrices=False)
    pca = PCA(10, random_state=0).fit(X)
    np.testing.assert_allclose(pca.explained_variance_, singular_values[:10] ** 2 / 599, rtol=0.02)
    assert np.linalg.norm(pca.components_[:1] @ axes[:3].T) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2000, 600), (600, 2000)], ids=str)
@pytest.mark.parametrize("solver", ["auto", "randomized"])
def test_axes_of_little_variance_are_found(solver, shape):
    """A Gram matrix alone would lose axes with less than 1e-8 of the greatest deviation."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((size, 30)))[0] for size in shape)
    left -= left.mean(axis=0)
    X = left * 10.0 ** -np.arange(30) @ right.T
    _, singular_values, axes = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    pca = PCA(11, svd_solver=solver, random_state=0).fit(X)
    np.testing.assert_allclose(pca.singular_values_, singular_values[:11], rtol=1e-4)
    assert cosines(pca.components_, axes[:11]).min() > 1 - 1e-6


@pytest.mark.parametrize("solver", FEW)
def test_first_components_are_those_of_all(solver):
    X = table(300, 40)
    few, whole = PCA(5, svd_solver=solver, random_state=1).fit(X), PCA(5, svd_solver="full").fit(X)
    assert_same(few, whole, factor=1e2)


@pytest.mark.parametrize("container", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
@pytest.mark.parametrize("solver", ["auto", "arpack", "covariance_eigh"])
def test_sparse_twin(solver, container):
    X = container(scipy.sparse.random(300, 20, 0.2, random_state=0))
    mine, twin = both(n_components=5, svd_solver=solver, whiten=True)
    mine.fit(X), twin.fit(X)
    assert_same(mine, twin)
    np.testing.assert_allclose(mine.transform(X), twin.transform(X), atol=1e-8)
    np.testing.assert_allclose(mine.transform(X.toarray()), mine.transform(X), atol=1e-12)
    assert_same(PCA(5, svd_solver="covariance_eigh").fit(X), PCA(5, svd_solver="full").fit(X.toarray()))


@pytest.mark.parametrize("n_components", [None, 0, 3])
def test_probabilistic_model(n_components):
    X = table()
    mine, twin = both(n_components=n_components)
    mine.fit(X), twin.fit(X)
    np.testing.assert_allclose(mine.get_covariance(), twin.get_covariance(), atol=1e-10)
    np.testing.assert_allclose(mine.get_precision(), twin.get_precision(), atol=1e-9, rtol=1e-9)
    np.testing.assert_allclose(mine.get_precision() @ mine.get_covariance(), np.eye(8), atol=1e-10)
    np.testing.assert_allclose(mine.score_samples(X), twin.score_samples(X), rtol=1e-9)
    assert isinstance(mine.score(X), float)
    np.testing.assert_allclose(mine.score(X), twin.score(X), rtol=1e-9)
    whitened = clone(mine).set_params(whiten=True).fit(X)
    np.testing.assert_allclose(whitened.get_covariance(), mine.get_covariance(), atol=1e-12)


def test_parameters_and_order():
    twin = decomposition.PCA()
    assert PCA().get_params() == {**twin.get_params(), "eps": 0.0, "dtype": None, "backend": None}
    with pytest.raises(TypeError, match="positional"):
        PCA(2, True)


# ---- float types ------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["full", "covariance_eigh", "randomized"])
def test_float32_is_worked_on_in_float64(solver):
    X = table(dtype=np.float32)
    narrow, wide = PCA(4, svd_solver=solver, random_state=0), PCA(4, svd_solver=solver, random_state=0)
    narrow.fit(X), wide.fit(X.astype(np.float64))
    for name in ARRAYS:
        exact, rounded = getattr(wide, name), getattr(narrow, name)
        assert (rounded.dtype, exact.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(rounded, exact.astype(np.float32), rtol=2e-7, atol=1e-14)
    assert narrow.noise_variance_ == np.float32(wide.noise_variance_)
    assert narrow.transform(X).dtype == narrow.inverse_transform(narrow.transform(X)).dtype == np.float32
    np.testing.assert_allclose(narrow.transform(X), wide.transform(X.astype(float)), atol=1e-5)


@all_pairs(
    each_class,
    pytest.mark.parametrize("given", ["u1", "i4", "i8", "f4", "f8"]),
    pytest.mark.parametrize("dtype", [None, "float32", "float64"]),
)
def test_dtype(dtype, given, cls):
    X = (20 * table()).astype(given)
    model = cls(dtype=dtype).fit(X)
    expected = np.dtype(dtype or (given if given[0] == "f" else "f8"))
    assert model.transform(X).dtype == expected
    exact = cls().fit(X.astype(float))
    np.testing.assert_allclose(model.components_, exact.components_, atol=1e-9)
    np.testing.assert_allclose(model.transform(X), exact.transform(X.astype(float)), rtol=1e-4, atol=1e-3)


@each_class
def test_far_from_zero(cls):
    X = table() - 5
    near, far = cls().fit(X), cls().fit(X + 1e8)
    np.testing.assert_allclose(far.explained_variance_, near.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(far.transform(X + 1e8), near.transform(X), atol=1e-6)


@pytest.mark.slow
def test_many_float32_rows_near_one():
    rng = np.random.default_rng(0)
    X = (1 + 1e-3 * rng.standard_normal((2**22, 3), dtype=np.float32)).astype(np.float32)
    exact = np.cov(X.T.astype(np.longdouble).astype(float))
    np.testing.assert_allclose(PCA(dtype="float64").fit(X).get_covariance(), exact, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    "n_components, solver",
    [*((n, solver) for n in (4, None, 0.9, "mle") for solver in WHOLE), (4, "randomized"), (None, "randomized")],
)
def test_kinds_of_attributes_are_scikit_learns(n_components, solver):
    for dtype in (np.float32, np.float64):
        mine, twin = both(n_components=n_components, svd_solver=solver)
        mine.fit(table(dtype=dtype)), twin.fit(table(dtype=dtype))
        assert type(mine.n_components_) is type(twin.n_components_)
        assert [getattr(mine, name).dtype for name in ARRAYS] == [getattr(twin, name).dtype for name in ARRAYS]
        assert np.asarray(mine.noise_variance_).dtype == np.asarray(twin.noise_variance_).dtype


@pytest.mark.parametrize("solver", ["full", "covariance_eigh"])
def test_partial_fit_goes_on_in_float64(solver):
    X = table(dtype=np.float32)
    exact = PCA(svd_solver="full").fit(X.astype(np.float64))
    pieces = PCA(svd_solver=solver).fit(X[:150]).partial_fit(X[150:180]).partial_fit(X[180:].astype(np.float64))
    assert_same(pieces, exact)
    assert PCA(dtype="float64").fit(X).components_.dtype == np.float64


def test_rows_in_two_types_are_float64():
    X = table(dtype=np.float32)
    assert PCA().partial_fit(X.astype(np.float64)).partial_fit(X).components_.dtype == np.float64


# ---- streaming --------------------------------------------------------------------------


def in_pieces(model, X, cuts):
    for rows in np.split(X, cuts):
        model.partial_fit(rows)
    return model


STREAMED = {
    "PCA": PCA(),
    "3": PCA(3),
    "share": PCA(0.8),
    "mle": PCA("mle"),
    "whitened": PCA(whiten=True, eps=1e-3),
    "ZCA": ZCA(),
    "ZCA 3": ZCA(3),
    "ZCA share": ZCA(0.7),
}


@pytest.mark.parametrize("model", STREAMED.values(), ids=STREAMED)
@pytest.mark.parametrize("cuts", [[], [100], [20, 30, 170], list(range(20, 200, 7))], ids=len)
def test_any_pieces_are_one_fit(cuts, model):
    X = table()
    whole, pieces = clone(model), in_pieces(clone(model), X, cuts)
    if isinstance(model, PCA):
        whole.set_params(svd_solver="covariance_eigh")
    whole.fit(X)
    for name in ("mean_", "explained_variance_", "n_samples_", "n_components_"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-12)
    np.testing.assert_allclose(pieces.components_, whole.components_, atol=1e-12)
    np.testing.assert_allclose(pieces.transform(X), whole.transform(X), atol=1e-11)


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(1, 59), unique=True).map(sorted), shift=st.sampled_from([0.0, 1e4, 1e8]))
def test_scatter_of_any_pieces(cuts, shift):
    X = shift + table(60, 3)
    pieces, exact = in_pieces(ZCA(), X, cuts), X.astype(np.longdouble)
    mean = exact.mean(axis=0)
    products = ((exact - mean).T @ (exact - mean)).astype(float)
    np.testing.assert_allclose(pieces._known_scatter().products, products, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pieces.mean_, mean.astype(float), rtol=1e-15)


def test_pieces_may_have_fewer_rows_than_components():
    X = table()
    pca = PCA(5)
    for n_seen in range(1, 8):
        pca.partial_fit(X[n_seen - 1 : n_seen])
        assert pca.transform(X).shape == (200, 5)
        assert np.isfinite(pca.transform(X)).all()
        np.testing.assert_allclose(pca.components_ @ pca.components_.T, np.eye(5), atol=1e-12)
    assert_same(PCA(5, svd_solver="full").fit(X[:7]), pca, names=["mean_", "explained_variance_"])


@pytest.mark.parametrize("shift", [0, 1e8])
@pytest.mark.parametrize("n_first", [4, 150])
def test_partial_fit_goes_on_from_whole_decompositions(n_first, shift):
    X = shift + table()
    pca = PCA(svd_solver="full").fit(X[:n_first]).partial_fit(X[n_first:])
    exact = table() - 5
    np.testing.assert_allclose(pca.mean_ - shift - 5, exact.mean(axis=0), atol=1e-7 if shift else 1e-12)
    whole = PCA(svd_solver="covariance_eigh").fit(X)
    np.testing.assert_allclose(pca.explained_variance_, whole.explained_variance_, rtol=1e-12)


def test_partial_fit_goes_on_from_fit_and_fit_starts_anew():
    X = table()
    pca = PCA(svd_solver="covariance_eigh").fit(X[:, :3]).fit(X[:150]).partial_fit(X[150:])
    assert_same(pca, PCA(svd_solver="covariance_eigh").fit(X))
    loaded = pickle.loads(pickle.dumps(ZCA().fit(X[:150]))).partial_fit(X[150:])
    np.testing.assert_allclose(loaded.whitening_, ZCA().fit(X).whitening_, atol=1e-12)
    sparse = PCA(svd_solver="covariance_eigh").fit(scipy.sparse.csr_array(X[:150])).partial_fit(X[150:])
    assert_same(sparse, pca)


@pytest.mark.parametrize("n_segments", [1, 3, 40])
def test_segments_are_one_scatter(n_segments, monkeypatch):
    X = table(n_rows=5000)
    monkeypatch.setattr(_covariance, "_segment_elements", lambda rows: X.size // n_segments)
    monkeypatch.setattr(_covariance, "BLOCK_ROWS", 64)
    monkeypatch.setattr(reference.Backend, "product_elements", 64 * 8)
    np.testing.assert_allclose(ZCA().fit(X)._known_scatter().products, 4999 * np.cov(X.T), rtol=1e-11, atol=1e-9)


# ---- rows without variance --------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e8 + 0.1])
@pytest.mark.parametrize("shape", [(6, 5), (20, 3), (3000, 4), (4, 30)], ids=str)
def test_a_share_of_no_variance_is_one_component(shape, value):
    X = np.full(shape, value)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn divides 0 by 0
        assert decomposition.PCA(0.9).fit(np.ones(shape)).n_components_ == 1
    for dtype in (np.float64, np.float32):
        for model in (PCA(0.9, svd_solver="full"), PCA(0.9, svd_solver="covariance_eigh"), PCA(0.9), ZCA(0.9)):
            assert clone(model).fit(X.astype(dtype)).n_components_ == 1
            if model.get_params().get("svd_solver") != "full":
                assert clone(model).partial_fit(X[:1].astype(dtype)).n_components_ == 1
                assert in_pieces(clone(model), X.astype(dtype), [1]).n_components_ == 1
    sparse = scipy.sparse.csr_array(X)
    assert PCA(0.9, svd_solver="covariance_eigh").fit(sparse).n_components_ == 1


LOW_RANK = {
    "equal": (np.ones((20, 3)), 0),
    "equal, not a binary fraction": (np.full((20, 6), 0.1), 0),
    "one row, repeated": (np.tile(table(1, 6), (20, 1)), 0),
    "one feature varies": (np.hstack([table(20, 1), np.ones((20, 5))]), 1),
    "tall": (table(50, 2) @ table(2, 40, seed=1), 2),
    "wide": (table(20, 2) @ table(2, 100, seed=1), 2),
}


@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array])
@pytest.mark.parametrize("X, rank", LOW_RANK.values(), ids=LOW_RANK)
@pytest.mark.parametrize("n_components", [1, 2, 5])
@pytest.mark.fast_share(5)
def test_arpack_with_rows_of_low_rank(n_components, X, rank, container):
    n_components = min(n_components, min(X.shape) - 1)
    fits = [PCA(n_components, svd_solver="arpack", random_state=0).fit(container(X)) for _ in range(4)]
    np.testing.assert_allclose(fits[0].components_ @ fits[0].components_.T, np.eye(n_components), atol=1e-12)
    covariance = np.cov(X.T)
    variances = np.append(np.linalg.eigvalsh(covariance)[::-1][:rank], np.zeros(n_components))[:n_components]
    np.testing.assert_allclose(fits[0].explained_variance_, variances, rtol=1e-10, atol=1e-25)
    along = fits[0].components_ @ covariance @ fits[0].components_.T
    np.testing.assert_allclose(along, np.diag(variances), atol=1e-10)
    for other in fits[1:]:  # ARPACK's own random numbers go on from call to call
        np.testing.assert_array_equal(other.components_, fits[0].components_)
        np.testing.assert_array_equal(other.explained_variance_, fits[0].explained_variance_)


@pytest.mark.parametrize("solver", [*WHOLE, *FEW])
def test_rows_without_variance_have_the_same_axes_in_each_call(solver):
    fits = [PCA(2, svd_solver=solver).fit(np.full((20, 5), 0.1)) for _ in range(3)]
    for pca in fits:
        np.testing.assert_array_equal(pca.components_, fits[0].components_)
        np.testing.assert_array_equal(pca.explained_variance_, 0)
        np.testing.assert_array_equal(pca.mean_, 0.1)
        np.testing.assert_array_equal(pca.transform(np.full((2, 5), 0.1)), 0)


# ---- signs of axes ----------------------------------------------------------------------


def one_hot_pair(rng):
    first = (rng.random(150) < 0.4) * 1.0
    return np.column_stack([rng.random(150), first, 1 - first])


def standardised_pair(rng):
    X = rng.standard_normal((150, 2)) @ rng.standard_normal((2, 2))
    return (X - X.mean(axis=0)) / X.std(axis=0)


def three_shares(rng):
    X = np.tile(rng.random(150), (3, 1)).T * [1, -0.5, -0.5] + rng.random((150, 1)) * [0, 1e-3, -1e-3]
    return X + [0, 0.5, 0.5]


@pytest.mark.parametrize("rows", [one_hot_pair, standardised_pair, three_shares])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.fast_share(5)
def test_equal_entries_leave_no_sign_to_rounding(dtype, rows):
    models = [PCA(2, svd_solver=solver, random_state=0) for solver in (*WHOLE, "randomized")]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rows(rng)
        expected = PCA(2, svd_solver="full").fit(X).components_
        greatest = np.abs(expected).max(axis=1)
        for axis, most in zip(expected, greatest, strict=True):
            assert axis[np.abs(axis) >= most * (1 - 1e-7)][0] > 0
        narrow, others = X.astype(dtype), X[rng.permutation(150)].astype(dtype)
        axes = [clone(model).fit(rows).components_ for model in models for rows in (narrow, others)]
        axes += [in_pieces(PCA(2), rows, [40, 90]).components_ for rows in (narrow, others)]
        axes += [ZCA(2).fit(narrow).components_, in_pieces(ZCA(2), others, [1, 70]).components_]
        if X.shape[1] > 2:
            axes.append(PCA(2, svd_solver="arpack", random_state=0).fit(narrow).components_)
        for found in axes:
            assert (np.sum(found * expected, axis=1) > 0.99).all()


# ---- few rows of many features ----------------------------------------------------------


def zca_matrix(X, eps):
    """Return the whitening matrix by its definition, from numpy's covariance."""
    variances, axes = np.linalg.eigh(np.cov(X.T) + eps * np.eye(X.shape[1]))
    return axes / np.sqrt(variances) @ axes.T


@each_dtype
@pytest.mark.parametrize("cuts", [[], [5], [1, 2, 3, 10], [16]], ids=str)
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_zca_of_few_rows(eps, cuts, dtype):
    X = table(20, 60, dtype)
    model = in_pieces(ZCA(eps=eps), X, cuts) if cuts else ZCA(eps=eps).fit(X)
    expected = zca_matrix(X.astype(float), eps)
    np.testing.assert_allclose(model.whitening_, expected, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(60), atol=1e-12)
    new = table(5, 60, seed=1)
    np.testing.assert_allclose(model.inverse_transform(model.transform(new)), new, atol=1e-8)
    many = table(200, 60, seed=2)
    np.testing.assert_allclose(model.inverse_transform(model.transform(many)), many, atol=1e-8)


def test_few_rows_then_many():
    X = table(300, 40)
    pieces = in_pieces(ZCA(), X, [10, 15, 80])
    whole = ZCA().fit(X).whitening_
    np.testing.assert_allclose(pieces.whitening_, whole, rtol=1e-9, atol=1e-11 * np.abs(whole).max())
    few = in_pieces(PCA(3), X[:14], [4, 9])
    assert_same(few, PCA(3, svd_solver="covariance_eigh").fit(X[:14]))
    assert_same(few, decomposition.PCA(3, svd_solver="covariance_eigh").fit(X[:14]), factor=10)


def test_few_rows_keep_no_covariance():
    assert len(pickle.dumps(PCA(2, svd_solver="covariance_eigh").fit(table(10, 1000)))) < 150_000


# ---- whitening --------------------------------------------------------------------------

HARD = {
    "full rank": table(),
    "duplicated": np.hstack([table(), table()[:, :3]]),
    "constant": np.hstack([table(), np.full((200, 2), 7.3)]),
    "wide": table(6, 20),
    "ill-conditioned": table() * 10.0 ** -np.arange(8),
    "large unit": 1e9 * table(),
    "small unit": 1e-12 * table(),
    "all constant": np.full((10, 4), 0.1),
}


@all_pairs(
    pytest.mark.parametrize("X", HARD.values(), ids=HARD),
    pytest.mark.parametrize("eps", [0.0, 1e-5, 0.1]),
    pytest.mark.parametrize("solver", ["full", "covariance_eigh", None]),
)
def test_covariance_of_whitened_rows(solver, eps, X):
    model = ZCA(eps=eps) if solver is None else PCA(whiten=True, eps=eps, svd_solver=solver)
    whitened = model.fit_transform(X)
    variances = model.explained_variance_
    removed = variances <= model._rounding
    expected = np.where(removed, 0, variances / np.where(removed, 1, variances + eps))
    covariance = np.cov(whitened.T)
    along = model.components_ @ covariance @ model.components_.T if solver is None else covariance
    np.testing.assert_allclose(along, np.diag(expected), atol=1e-6)
    scale = np.abs(X).max()
    np.testing.assert_allclose(model.inverse_transform(whitened) / scale, X / scale, atol=1e-9)


@pytest.mark.parametrize("X", HARD.values(), ids=HARD)
@pytest.mark.parametrize("n_components", [None, 2, 0.9])
def test_zca_matrix(n_components, X):
    model = ZCA(n_components, eps=1e-5).fit(X)
    np.testing.assert_array_equal(model.whitening_, model.whitening_.T)
    axes, variances = model.components_.T, model.explained_variance_
    expected = axes @ np.diag(1 / np.sqrt(variances + 1e-5)) @ axes.T
    np.testing.assert_allclose(model.whitening_, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    covariance = np.cov(X.T)
    kept = axes @ axes.T
    np.testing.assert_allclose(
        axes * variances @ axes.T, kept @ covariance @ kept, atol=1e-12 * max(1, np.abs(covariance).max())
    )


def test_zca_changes_rows_least():
    X = table() - table().mean(axis=0)
    zca, pca = ZCA(eps=0).fit_transform(X), PCA(whiten=True).fit_transform(X)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))
    distances = [np.square(white - X).sum() for white in (zca, pca, zca @ rotation)]
    assert distances[0] == min(distances)
    correlations = [np.corrcoef(zca[:, j], X[:, j])[0, 1] for j in range(8)]
    assert min(correlations) > 0


def test_truncated_zca_is_a_projection():
    X = table()
    zca = ZCA(3, eps=0.0).fit(X)
    white = zca.transform(X)
    assert np.linalg.matrix_rank(np.cov(white.T)) == 3
    projected = zca.mean_ + (X - zca.mean_) @ zca.components_.T @ zca.components_
    np.testing.assert_allclose(zca.inverse_transform(white), projected, atol=1e-10)


def test_whitening_of_new_rows_is_not_blown_up():
    X = np.hstack([table(), table()[:, :1]])
    new = np.hstack([table(seed=1), table(seed=2)[:, :1]])
    for model in (PCA(whiten=True), ZCA(eps=0)):
        assert np.abs(model.fit(X).transform(new)).max() < 100


@each_class
def test_digits_have_constant_pixels(cls):
    X = load_digits().data
    model = cls(whiten=True, eps=0.1) if cls is PCA else cls(eps=0.1)
    white = model.fit_transform(X)
    assert np.isfinite(white).all()
    np.testing.assert_allclose(model.inverse_transform(white), X, atol=1e-9)


# ---- what goes in -----------------------------------------------------------------------


def frozen(X):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = {
    "F order": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "read-only": frozen,
    "frame": pd.DataFrame,
}


@all_pairs(
    [each_class, pytest.mark.parametrize("solver", ["full", "covariance_eigh", "randomized", "arpack"])],
    each_dtype,
    pytest.mark.parametrize("layout", LAYOUTS),
)
@pytest.mark.fast_share(3)
def test_layouts(solver, layout, dtype, cls):
    X = table(dtype=dtype)
    model = cls(4) if cls is ZCA else cls(4, svd_solver=solver, random_state=0)
    laid_out = LAYOUTS[layout](X)
    expected = clone(model).fit(X)
    model.fit(laid_out)
    np.testing.assert_allclose(model.components_, expected.components_, atol=1e-9)
    np.testing.assert_allclose(
        model.transform(laid_out), expected.transform(X), atol=1e-5 if dtype == np.float32 else 1e-9
    )
    np.testing.assert_array_equal(np.asarray(laid_out), X)


def test_memory_map(tmp_path):
    X = table()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert_same(PCA().fit(mapped), PCA().fit(X))
    assert_same(PCA(svd_solver="full", copy=False).fit(mapped), PCA(svd_solver="full").fit(X))


@pytest.mark.parametrize("solver", [*WHOLE, *FEW])
def test_rows_are_never_overwritten(solver):
    X = table()
    before = X.copy()
    mine, twin = both(n_components=4, svd_solver=solver, copy=False)
    np.testing.assert_allclose(mine.fit_transform(X), twin.fit_transform(X.copy()), atol=1e-7)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("cls", [PCA, ZCA])
@each_dtype
def test_fit_makes_no_copy_of_the_rows(dtype, cls):
    X = np.random.default_rng(0).standard_normal((400_000, 10)).astype(dtype)
    cls().fit(X[:1000])
    tracemalloc.start()
    try:
        cls().fit(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.25 * X.nbytes  # blocks of fixed size, which are 5 % of what is larger


def test_one_row_and_one_feature():
    for X in (table(1), table(20, 1)):
        for model in (PCA(), PCA(whiten=True), ZCA()):
            assert np.isfinite(model.fit_transform(X)).all()
            np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-10)
    assert PCA().fit(np.ones((5, 3))).explained_variance_ratio_.tolist() == [0, 0, 0]


# ---- what is refused --------------------------------------------------------------------

BAD_PARAMETERS = [
    (PCA, "n_components", -1),
    (PCA, "n_components", 1.5),
    (PCA, "n_components", "all"),
    (PCA, "svd_solver", "svd"),
    (PCA, "whiten", "yes"),
    (PCA, "eps", -1e-5),
    (PCA, "random_state", "zero"),
    (PCA, "iterated_power", -1),
    (PCA, "power_iteration_normalizer", "qr"),
    (PCA, "dtype", "float16"),
    (ZCA, "n_components", 0),
    (ZCA, "n_components", "mle"),
    (ZCA, "eps", None),
    (ZCA, "backend", "gpu"),
]


@pytest.mark.parametrize("cls, name, value", BAD_PARAMETERS)
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_bad_parameters(fit, cls, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .*; got {value!r}"):
        getattr(cls(**{name: value}), fit)(table())


@pytest.mark.parametrize("solver", ["full", "covariance_eigh", "randomized"])
def test_too_many_components(solver):
    demand = (
        rf"^n_components=9 must be between . and min\(n_samples, n_features\)=8 with svd_solver='{solver}'; got X of"
    )
    with pytest.raises(ValueError, match=demand):
        PCA(9, svd_solver=solver).fit(table())
    with pytest.raises(ValueError, match="n_components must be at most n_features=8; got n_components=9"):
        ZCA(9).fit(table())
    with pytest.raises(ValueError, match="n_components must be at most n_features=8; got n_components=9"):
        PCA(9).partial_fit(table())


@pytest.mark.parametrize(
    "n_components, demand",
    [
        (
            8,
            r"^n_components=8 must be strictly less than min\(n_samples, n_features\)=8 with svd_solver='arpack'",
        ),
        (0, r"^n_components=0 must be between 1 and min\(n_samples, n_features\)=8 with svd_solver='arpack'; got X"),
        (0.5, "^n_components=0.5 must be between 1 and"),
        ("mle", "^n_components='mle' cannot be a string with svd_solver='arpack'. Set svd_solver='full'"),
    ],
)
def test_arpack_finds_some_components(n_components, demand):
    with pytest.raises(ValueError, match=demand):
        PCA(n_components, svd_solver="arpack").fit(table())
    assert PCA(svd_solver="arpack", random_state=0).fit(table()).n_components_ == 7


def test_what_some_data_does_not_allow():
    with pytest.raises(ValueError, match="n_components='mle' is only supported if n_samples >= n_features; got X"):
        PCA("mle", svd_solver="full").fit(table(5, 8))
    with pytest.raises(
        TypeError, match='PCA only support sparse inputs with the "arpack" and "covariance_eigh" solvers, w'
    ):
        PCA(2, svd_solver="full").fit(scipy.sparse.csr_array(table()))
    with pytest.raises(TypeError, match="[Ss]parse"):
        ZCA().fit(scipy.sparse.csr_array(table()))


def arrays_of(X):
    return [X, scipy.sparse.csr_array(X), scipy.sparse.csc_array(X)]


SCALED = {
    **{solver: PCA(2, svd_solver=solver, random_state=0) for solver in [*WHOLE, *FEW]},
    "few": PCA(2, svd_solver="covariance_eigh"),
    "ZCA": ZCA(),
    "few, ZCA": ZCA(),
}


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("exponent", [160, 300, -160, -300])
def test_numbers_whose_squares_exceed_float64_are_refused(exponent, name):
    X = (table(10, 40) if "few" in name else table()) * 10.0**exponent
    message = (
        "exceeds float64: X contains too large .* up to .* Scale X down" if exponent > 0 else "vanishes in float64"
    )
    model = SCALED[name]
    containers = arrays_of(X) if name in ("covariance_eigh", "arpack") else [X]
    calls = ["fit", "partial_fit"] if name in ("covariance_eigh", "few", "ZCA", "few, ZCA") else ["fit"]
    for call in calls:
        for rows in containers:
            with pytest.raises(ValueError, match=message):
                getattr(clone(model), call)(rows)


def test_numbers_whose_deviations_exceed_float64_are_refused():
    with pytest.raises(ValueError, match="exceeds float64"):
        ZCA().fit(np.array([[1e308], [-1e308], [0.0]]))


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("exponent", [140, -140])
def test_numbers_whose_squares_float64_can_hold(exponent, name):
    X = table(10, 40) if "few" in name else table()
    factor = 2.0 ** np.round(exponent / np.log10(2))  # powers of two round nothing
    plain, scaled = clone(SCALED[name]).fit(X), clone(SCALED[name]).fit(X * factor)
    np.testing.assert_allclose(scaled.components_[:2], plain.components_[:2], atol=1e-8)
    np.testing.assert_allclose(scaled.explained_variance_[:2], plain.explained_variance_[:2] * factor**2, rtol=1e-10)


def test_pieces_whose_covariance_exceeds_float64_are_refused():
    model = ZCA().partial_fit(table())
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="exceeds float64"):
        model.partial_fit(table() + 1e160)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("exponent", [25, -25])
def test_variances_that_float32_cannot_hold_are_float64(exponent):
    X = (table() * 10.0**exponent).astype(np.float32)
    narrow, wide = PCA(3).fit(X), PCA(3).fit(X.astype(np.float64))
    assert narrow.components_.dtype == narrow.singular_values_.dtype == np.float32
    np.testing.assert_array_equal(narrow.explained_variance_, wide.explained_variance_)
    unit = 10.0**exponent
    np.testing.assert_allclose(narrow.transform(X) / unit, wide.transform(X.astype(float)) / unit, atol=1e-5)


def test_partial_fit_cannot_go_on_from_the_first_components():
    assert not hasattr(PCA(svd_solver="arpack"), "partial_fit")
    assert not hasattr(PCA(svd_solver="randomized"), "partial_fit")
    pca = PCA(2).fit(table(20, 600))
    state = pickle.dumps(pca)
    with pytest.raises(ValueError, match="partial_fit cannot continue a fit that discarded components"):
        pca.partial_fit(table(20, 600))
    assert pickle.dumps(pca) == state
    pca.fit(table()).partial_fit(table())
    with pytest.raises(
        ValueError, match="partial_fit cannot continue a fit that discarded components .* n_components=2"
    ):
        PCA(2, svd_solver="full").fit(table()).partial_fit(table())


def test_a_pickle_of_a_few_components_is_small():
    assert len(pickle.dumps(PCA(2, svd_solver="full").fit(table(50, 400)))) < 30_000


@all_pairs(
    each_class,
    each_dtype,
    pytest.mark.parametrize(
        "value, message", [(np.nan, "contains NaN"), (np.inf, "contains infinity"), (-np.inf, "infinity")]
    ),
    pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "inverse_transform"]),
)
def test_not_finite(method, value, message, dtype, cls):
    X = table(dtype=dtype)
    model = cls().fit(X)
    if cls is PCA:
        model.set_params(svd_solver="covariance_eigh").fit(X)
    state = pickle.dumps(model)
    X[150, 3] = value
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X)
    assert pickle.dumps(model) == state


@pytest.mark.parametrize("solver", ["full", "randomized", "arpack"])
@pytest.mark.parametrize("value, message", [(np.nan, "contains NaN"), (np.inf, "contains infinity")])
def test_not_finite_for_other_solvers(value, message, solver):
    X = table()
    X[150, 3] = value
    with pytest.raises(ValueError, match=message):
        PCA(3, svd_solver=solver).fit(X)


@each_class
def test_bad_rows(cls):
    model = cls(3).fit(table())
    with pytest.raises(ValueError, match="X has 5 features, but .* is expecting 8 features"):
        model.transform(table(10, 5))
    expected = "X has 5 components, .* expecting 3 comp" if cls is PCA else "X has 5 features, .* expecting 8 feat"
    with pytest.raises(ValueError, match=expected):
        model.inverse_transform(table(10, 5))
    with pytest.raises(ValueError, match="table"):
        model.fit(np.zeros((5, 4, 4)))
    with pytest.raises(ValueError, match="table"):
        model.transform(np.zeros((5, 4, 2)))
    with pytest.raises(ValueError, match="Expected 2D array"):
        model.transform(np.zeros(8))


# ---- scikit-learn's world ---------------------------------------------------------------

CONFIGURATIONS = [
    PCA(),
    PCA(whiten=True),
    PCA(1, svd_solver="randomized", random_state=0),
    PCA(svd_solver="full", eps=1e-3, whiten=True),
    PCA(svd_solver="covariance_eigh"),
    ZCA(),
    ZCA(eps=0.0),
    ZCA(0.9),
]


@pytest.mark.slow
@shared_out(parametrize_with_checks(CONFIGURATIONS), every=3)
def test_estimator(estimator, check):
    check(estimator)


SPARED = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_n_features_in_after_fitting",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_transformer_preserve_dtypes",
]


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")  # which checks of set_output go through
@in_turns(
    pytest.mark.parametrize("check", SPARED), pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str), times=3
)
def test_check_that_others_are_spared(check, estimator):
    getattr(estimator_checks, check)(type(estimator).__name__, clone(estimator))


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.8"), reason="the check came with 1.8")
@pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str)
def test_array_api_dispatch_changes_nothing(estimator):
    estimator_checks.check_array_api_input_and_values(type(estimator).__name__, clone(estimator), "numpy")


@each_class
def test_changed_parameters(cls):
    X = table()
    model = cls().fit(X)
    white = model.transform(X)
    with pytest.raises(ValueError, match="^dtype must be"):
        clone(model).fit(X).set_params(dtype="int8").transform(X)
    np.testing.assert_allclose(model.set_params(eps=10.0).inverse_transform(white), X, atol=1e-9)
    assert cls(dtype=np.float32).fit(X).transform(X).dtype == np.float32
    with pytest.raises(ValueError, match="^n_components must be"):
        cls(True).fit(X)


@each_class
def test_only_transform_makes_frames(cls):
    X = table()
    model = cls().fit(X)
    with sklearn.config_context(transform_output="pandas"):
        white = model.transform(X)
        assert isinstance(white, pd.DataFrame)
        assert isinstance(model.inverse_transform(np.asarray(white)), np.ndarray)


@pytest.mark.parametrize("shape", [(6, 30), (30, 6)], ids=str)
@pytest.mark.parametrize("solver", ["full", "covariance_eigh", "randomized"])
def test_noise_is_scikit_learns(solver, shape):
    X = table(*shape)
    mine, twin = both(n_components=2, svd_solver=solver)
    assert mine.fit(X).noise_variance_ == pytest.approx(twin.fit(X).noise_variance_, rel=1e-6)


def test_zca_of_float32_is_as_exact_as_float32():
    X = np.hstack([table(), table()]).astype(np.float32)
    zca = ZCA().fit(X)
    white = zca.transform(X)
    exact = ZCA().fit(X.astype(float)).transform(X.astype(float))
    np.testing.assert_allclose(white, exact, atol=1e-6 * np.abs(exact).max())
    np.testing.assert_allclose(zca.inverse_transform(white), X, atol=3e-6 * np.abs(X).max())


def test_names_of_what_comes_out():
    frame = pd.DataFrame(table(), columns=list("abcdefgh"))
    assert list(PCA(2).fit(frame).get_feature_names_out()) == ["pca0", "pca1"]
    assert list(ZCA().fit(frame).get_feature_names_out()) == list("abcdefgh")
    white = ZCA().set_output(transform="pandas").fit_transform(frame)
    assert list(white.columns) == list("abcdefgh")


def test_in_a_search_over_a_pipeline():
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(PCA(whiten=True, eps=1.0), LogisticRegression())
    search = GridSearchCV(model, {"pca__n_components": [5, 20]}, cv=3).fit(X[:600], y[:600])
    assert search.best_params_ == {"pca__n_components": 20}
    assert search.best_score_ > 0.85


def test_random_numbers_are_as_told():
    X = table(50, 600)
    fitted = [PCA(3, svd_solver="randomized", iterated_power=0, random_state=seed).fit(X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fitted[0].components_, fitted[1].components_)
    assert not np.allclose(fitted[0].components_, fitted[2].components_)
    stream = np.random.RandomState(3)
    with pytest.raises(ValueError, match="n_components"):
        PCA(99, svd_solver="randomized", random_state=stream).fit(X)
    assert stream.randint(1000) == np.random.RandomState(3).randint(1000)


# ---- where it computes ------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize(
    "model", [PCA(3), PCA(3, svd_solver="full"), PCA(3, svd_solver="randomized"), PCA(whiten=True), ZCA(4)], ids=str
)
def test_cupy_in_cupy_out(model, dtype, cupy):
    X = table(dtype=dtype)
    if isinstance(model, PCA):
        model = clone(model).set_params(random_state=0)
    expected, mine = clone(model).fit(X), clone(model).fit(cupy.asarray(X))
    np.testing.assert_allclose(mine.components_, expected.components_, atol=1e-9)
    assert all(not isinstance(value, cupy_standin.ndarray) for value in vars(mine).values())
    scores = mine.transform(cupy.asarray(X))
    assert type(scores) is cupy_standin.ndarray and scores.dtype == dtype
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(scores.get(), expected.transform(X), atol=tolerance)
    back = mine.inverse_transform(scores).get()
    np.testing.assert_allclose(back, expected.inverse_transform(expected.transform(X)), atol=tolerance)
    assert b"cupy" not in pickle.dumps(mine)
    if isinstance(model, PCA) and not model.whiten:
        np.testing.assert_allclose(mine.score(cupy.asarray(X)), expected.score(X), rtol=1e-4)


@pytest.mark.parametrize(
    "model, shape",
    [
        (PCA(3), (30, 600)),
        (PCA(3, svd_solver="randomized"), (30, 600)),
        (PCA(3, svd_solver="randomized"), (600, 30)),
        (PCA(3, svd_solver="covariance_eigh"), (10, 40)),
        (ZCA(), (10, 40)),
    ],
    ids=str,
)
def test_cupy_with_either_side_small(shape, model, cupy):
    X = table(*shape)
    model = clone(model).set_params(random_state=0) if isinstance(model, PCA) else clone(model)
    expected, mine = clone(model).fit(X), clone(model).fit(cupy.asarray(X))
    np.testing.assert_allclose(mine.explained_variance_, expected.explained_variance_, rtol=1e-9, atol=1e-20)
    np.testing.assert_allclose(
        mine.transform(cupy.asarray(X)).get(), expected.transform(X), atol=1e-7 * np.abs(expected.transform(X)).max()
    )


def test_cupy_pieces_and_refusals(cupy):
    X = table()
    pieces = ZCA().partial_fit(cupy.asarray(X[:50])).partial_fit(X[50:])
    np.testing.assert_allclose(pieces.whitening_, ZCA().fit(X).whitening_, atol=1e-10)
    X[3, 3] = np.nan
    for method in ("fit", "transform"):
        with pytest.raises(ValueError, match="contains NaN"):
            getattr(pieces, method)(cupy.asarray(X))
    with pytest.raises(ValueError, match="arpack"):
        PCA(2, svd_solver="arpack").fit(cupy.asarray(table()))


@each_dtype
def test_without_numba(dtype, monkeypatch):
    X = table(3000, dtype=dtype)
    expected = [PCA(3).fit(X), ZCA().fit(X)]
    scores = [model.transform(X) for model in expected]
    plain = reference.Backend(np)
    monkeypatch.setattr(sknn._backend, "_numpy_backend", lambda: plain)
    for model, score in zip(expected, scores, strict=True):
        np.testing.assert_allclose(clone(model).fit(X).transform(X), score, atol=1e-4 if dtype == np.float32 else 1e-9)


def test_sparse_components_are_restored_as_dense_ones():
    """Few of the components are zero, but scikit-learn takes a sparse matrix of them."""
    X = table() + 3
    pca = PCA(n_components=3, svd_solver="full").fit(X)
    projected = pca.transform(X)
    restored = pca.inverse_transform(scipy.sparse.csr_array(projected))
    np.testing.assert_allclose(restored, projected @ pca.components_ + pca.mean_, rtol=1e-12)


# ---- rows or features alone -------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "arpack", "covariance_eigh"])
@pytest.mark.parametrize("n_components", [None, 1])
@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_one_feature_is_its_own_axis(container, n_components, solver):
    X = np.random.default_rng(0).standard_normal((30, 1))
    pca = PCA(n_components, svd_solver=solver).fit(container(X))
    np.testing.assert_array_equal(pca.components_, [[1.0]])
    np.testing.assert_allclose(pca.explained_variance_, [X.var(ddof=1)], rtol=1e-12)
    np.testing.assert_allclose(pca.explained_variance_ratio_, [1.0], rtol=1e-12)
    np.testing.assert_allclose(pca.transform(container(X)), X - X.mean(), atol=1e-14)


@pytest.mark.parametrize("solver", ["auto", "arpack", "covariance_eigh"])
@pytest.mark.parametrize("n_components", [None, 1])
@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_matrix])
def test_one_row_has_an_axis_without_variance(container, n_features, n_components, solver):
    X = np.arange(1.0, 1 + n_features)[None]
    pca = PCA(n_components, svd_solver=solver).fit(container(X))
    assert pca.n_components_ == 1
    np.testing.assert_array_equal(pca.explained_variance_, [0.0])
    np.testing.assert_array_equal(pca.transform(container(X)), [[0.0]])


def test_mle_of_one_feature_is_one_component():
    X = np.random.default_rng(0).standard_normal((30, 1))
    pca = PCA("mle").fit(X)
    assert pca.n_components_ == 1 and type(pca.n_components_) is np.int64
    np.testing.assert_allclose(pca.explained_variance_, [X.var(ddof=1)], rtol=1e-12)


@pytest.mark.parametrize("factor", [1e-3, 1e6, 1e150])
def test_mle_of_large_numbers_is_that_of_small_ones(factor):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2)) @ rng.standard_normal((2, 6)) + 1e-2 * rng.standard_normal((200, 6))
    assert PCA("mle").fit(X * factor).n_components_ == decomposition.PCA("mle").fit(X).n_components_ == 2

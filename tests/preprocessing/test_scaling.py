"""StandardScaler beside scikit-learn's, and what is asked of any transformer."""

import copy
import inspect
import itertools
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import preprocessing
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

import sknn._backend
from sknn import config_context
from sknn._backend import reference
from sknn.preprocessing import StandardScaler
from tests.support import cupy_standin
from tests.support.designs import all_pairs, shared_out

OLD_ARITHMETIC = parse_version(sklearn.__version__) < parse_version("1.8")  # subtracts float64 means from float32
ATTRIBUTES = ["mean_", "var_", "scale_"]
SWITCHES = [{"with_mean": mean, "with_std": std} for mean in (True, False) for std in (True, False)]
CONTAINERS = {"dense": np.asarray, "csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_array}
SPARSE_CASES = [pair for pair in itertools.product(["csr", "csc"], SWITCHES) if not pair[1]["with_mean"]]
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_direction = pytest.mark.parametrize("method", ["transform", "inverse_transform"])


def table(dtype=np.float64, n_rows=60, gaps=False):
    """Return rows of columns that differ in size, the last but one constant and the last rarely different from 0."""
    rng = np.random.default_rng(0)
    X = rng.normal([0, 5, -300, 0.01], [1, 2, 50, 0.001], (n_rows, 4))
    X = np.column_stack([X, np.full(n_rows, 0.1), np.where(rng.random(n_rows) < 0.2, 3.0, 0)])
    if gaps:
        X[rng.random(X.shape) < 0.2] = np.nan
    return X.astype(dtype)


def weights(n_rows=60):
    return np.random.default_rng(1).integers(0, 5, n_rows) / 4


def dense(X):
    return X.toarray() if scipy.sparse.issparse(X) else X


def fitted(estimator, X, weight, cuts):
    """Return the estimator after fit, or after partial_fit on pieces if there are cuts."""
    bounds = [0, *cuts, X.shape[0]]
    fit = estimator.partial_fit if cuts else estimator.fit
    for start, stop in itertools.pairwise(bounds):
        fit(X[start:stop], sample_weight=None if weight is None else weight[start:stop])
    return estimator


def assert_same_statistics(mine, twin, rtol=1e-12):
    assert np.shape(mine.n_samples_seen_) == np.shape(twin.n_samples_seen_)
    np.testing.assert_allclose(mine.n_samples_seen_, twin.n_samples_seen_, rtol=rtol)
    for name in ATTRIBUTES:
        value, expected = getattr(mine, name), getattr(twin, name)
        assert (value is None) == (expected is None), name
        if value is not None:
            np.testing.assert_allclose(value, expected, rtol=rtol, atol=1e-17, err_msg=name)
            assert value.dtype == np.float64
            assert value.shape == expected.shape


def assert_same_output(found, expected, rtol):
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(dense(found), dense(expected), rtol=rtol, atol=rtol)


# ---- the twin ---------------------------------------------------------------------------


def test_parameters_and_signatures():
    twin = preprocessing.StandardScaler()
    images = {"per": "feature", "image_shape": None, "channels": "last"}
    assert StandardScaler().get_params() == {**twin.get_params(), **images, "dtype": None, "backend": None}
    with pytest.raises(TypeError, match="positional"):
        StandardScaler(True)
    for method in ("fit", "partial_fit", "transform", "inverse_transform"):
        mine, other = (inspect.signature(getattr(cls, method)) for cls in (StandardScaler, type(twin)))
        assert [(p.name, p.kind, p.default) for p in mine.parameters.values()] == [
            (p.name, p.kind, p.default) for p in other.parameters.values()
        ]


@all_pairs(
    [each_dtype, pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"])],
    pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"]),
    pytest.mark.parametrize("cuts", [[], [30], [1, 2, 45]], ids=str),
    pytest.mark.parametrize("container, switches", [*itertools.product(["dense"], SWITCHES), *SPARSE_CASES]),
)
def test_twin(container, switches, cuts, weighted, gaps, dtype):
    X, weight = table(dtype, gaps=gaps), weights() if weighted else None
    X[:2] = table(dtype)[:2]  # a feature that is missing from a whole piece spoils scikit-learn's statistics
    if container != "dense":
        X[~np.isnan(X[:, 4]), 4] = 0  # of a constant 0.1 in pieces, scikit-learn's rounded mean makes a varying one
    X = CONTAINERS[container](X)
    mine = fitted(StandardScaler(**switches), X, weight, cuts)
    twin = fitted(preprocessing.StandardScaler(**switches), X, weight, cuts)
    # scikit-learn rounds the statistics of a float32 sparse matrix to float32
    rtol = 1e-12 if container == "dense" or dtype == np.float64 else 2e-6
    if any(switches.values()) or container != "dense":
        assert_same_statistics(mine, twin, rtol)
    rtol = max(rtol, (1000 if OLD_ARITHMETIC else 4) * np.finfo(dtype).eps)
    scaled = twin.transform(X)
    assert_same_output(mine.transform(X), scaled, rtol)
    assert_same_output(mine.inverse_transform(scaled), twin.inverse_transform(scaled), 100 * rtol)


@all_pairs(
    each_dtype,
    each_direction,
    pytest.mark.parametrize("switches", SWITCHES, ids=str),
    pytest.mark.parametrize("order", "CF"),
)
def test_same_statistics_give_the_same_bits(order, switches, method, dtype):
    if OLD_ARITHMETIC and dtype == np.float32:
        pytest.skip("scikit-learn 1.8 and newer round the statistics to the type of X first")
    X = np.asarray(table(dtype, n_rows=3000, gaps=True), order=order)
    twin = preprocessing.StandardScaler(**switches).fit(X)
    mine = StandardScaler(**switches)
    vars(mine).update({name: getattr(twin, name) for name in [*ATTRIBUTES, "n_samples_seen_", "n_features_in_"]})
    expected = getattr(twin, method)(X)
    np.testing.assert_array_equal(getattr(mine, method)(X), expected, strict=True)
    in_place = X.copy(order="K")
    assert getattr(mine, method)(in_place, copy=False) is in_place
    np.testing.assert_array_equal(in_place, expected)


@pytest.mark.parametrize("X", [[[1, 2], [3, 5]], np.arange(6).reshape(3, 2), np.eye(3, dtype=bool)], ids=type)
def test_numbers_of_other_types_become_float64(X):
    mine, twin = StandardScaler().fit(X), preprocessing.StandardScaler().fit(X)
    assert_same_statistics(mine, twin)
    assert_same_output(mine.transform(X), twin.transform(X), 1e-12)
    assert_same_output(mine.inverse_transform(X), twin.inverse_transform(X), 1e-12)


@pytest.mark.parametrize("n_rows", [10, 10_000])
@pytest.mark.parametrize("mean", [1e-10, 0.1, 1e5, 1e10])
def test_features_that_are_constant_but_for_rounding(mean, n_rows):
    relative = 10.0 ** np.arange(-17, -5)
    X = np.where(np.arange(n_rows)[:, None] < n_rows // 2, mean * (1 + relative), mean)
    mine, twin = StandardScaler().fit(X), preprocessing.StandardScaler().fit(X)
    np.testing.assert_array_equal(mine.scale_ == 1, twin.scale_ == 1)
    np.testing.assert_allclose(mine.scale_, twin.scale_, rtol=1e-6)
    assert 0 < (mine.scale_ == 1).sum() < len(relative)


@pytest.mark.parametrize("value", [0, 1.0, 0.1, -1e8 / 3])
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_constant_features_are_not_scaled(value, weighted):
    X = np.full((3000, 2), value)
    scaler = StandardScaler().fit(X, sample_weight=weights(3000) if weighted else None)
    np.testing.assert_array_equal(scaler.scale_, 1)
    np.testing.assert_allclose(scaler.transform(X), 0, atol=1e-7)


# ---- fitted attributes ------------------------------------------------------------------


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_number_of_samples_seen(switches):
    X, weight = table(gaps=False), weights()
    with_gap = X.copy()
    with_gap[0, 1] = np.nan
    scaler = StandardScaler(**switches)
    assert isinstance(scaler.fit(X).n_samples_seen_, np.integer)
    assert scaler.n_samples_seen_ == 60
    assert scaler.fit(with_gap).n_samples_seen_.dtype == np.int64
    np.testing.assert_array_equal(scaler.n_samples_seen_, [60, 59, 60, 60, 60, 60])
    assert isinstance(scaler.fit(X, sample_weight=weight).n_samples_seen_, np.floating)
    assert scaler.n_samples_seen_ == weight.sum()
    lost = weight[0] * np.array([0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(scaler.fit(with_gap, sample_weight=weight).n_samples_seen_, weight.sum() - lost)
    scaler.partial_fit(X)
    np.testing.assert_array_equal(scaler.n_samples_seen_, 60 + weight.sum() - lost)


def test_a_feature_may_be_missing_from_a_part_of_the_rows():
    X = table(n_rows=90)
    X[:30, 0] = X[30:60, 1] = np.nan
    X[:, 2] = np.nan
    whole, pieces = StandardScaler().fit(X), fitted(StandardScaler(), X, None, [30, 60])
    np.testing.assert_allclose(whole.mean_, [*np.nanmean(X[:, :2], axis=0), np.nan, *X[:, 3:].mean(axis=0)])
    np.testing.assert_allclose(whole.var_, [*np.nanvar(X[:, :2], axis=0), np.nan, *X[:, 3:].var(axis=0)], atol=1e-30)
    assert np.isnan(whole.scale_[2])
    assert_same_statistics(pieces, whole)
    np.testing.assert_array_equal(whole.n_samples_seen_, [60, 60, 0, 90, 90, 90])


def test_fit_starts_anew_and_partial_fit_goes_on():
    X = table()
    scaler = StandardScaler().fit(X[:, :2]).fit(X)
    assert_same_statistics(scaler, StandardScaler().fit(X))
    scaler.partial_fit(X + 1)
    assert_same_statistics(scaler, StandardScaler().fit(np.vstack([X, X + 1])))


def test_statistics_set_by_hand_are_gone_on_from():
    X = table(n_rows=100, gaps=True)
    first = StandardScaler().fit(X[:70])
    resumed = StandardScaler()
    for name in [*ATTRIBUTES, "n_samples_seen_", "n_features_in_"]:
        setattr(resumed, name, copy.copy(getattr(first, name)))
    assert_same_statistics(resumed.partial_fit(X[70:]), StandardScaler().fit(X))


def test_whole_weights_are_repeated_rows():
    X, weight = table(gaps=True), weights() * 4
    repeated = StandardScaler().fit(np.repeat(X, weight.astype(int), axis=0))
    assert_same_statistics(StandardScaler().fit(X, sample_weight=weight), repeated)


def test_weights_are_not_rounded_to_the_type_of_X():
    X, weight = table(np.float32), np.random.default_rng(0).random(60)
    assert_same_statistics(
        StandardScaler().fit(X, sample_weight=weight), StandardScaler().fit(X.astype(float), sample_weight=weight)
    )


@settings(deadline=None)
@given(
    cuts=st.lists(st.integers(1, 59), unique=True).map(sorted),
    weighted=st.booleans(),
    gaps=st.booleans(),
    is_sparse=st.booleans(),
)
def test_any_pieces_are_one_fit(cuts, weighted, gaps, is_sparse):
    X, weight = table(gaps=gaps), weights() if weighted else None
    if weighted:
        weight[[0, *cuts]] = 1  # a piece must have some weight
    X = scipy.sparse.csr_matrix(X) if is_sparse else X
    scaler = StandardScaler(with_mean=not is_sparse)
    assert_same_statistics(fitted(clone(scaler), X, weight, cuts), fitted(clone(scaler), X, weight, []))


@each_dtype
def test_columns_far_from_zero(dtype):
    X = (1e8 + np.random.default_rng(0).normal(0, 1 if dtype == np.float64 else 1000, (20000, 3))).astype(dtype)
    exact = X.astype(np.longdouble)
    for scaler in (StandardScaler().fit(X), fitted(StandardScaler(), X, None, [1, 100, 12345])):
        np.testing.assert_allclose(scaler.mean_, exact.mean(axis=0).astype(float), rtol=1e-15)
        np.testing.assert_allclose(scaler.scale_, exact.std(axis=0).astype(float), rtol=1e-6)


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
    "read-only F order": lambda X: frozen(X.T).T,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "frame": pd.DataFrame,
    "polars frame": lambda X: pl.DataFrame(X, schema=[f"x{i}" for i in range(X.shape[1])]),
}


@all_pairs(
    each_dtype,
    pytest.mark.parametrize("layout", LAYOUTS),
    pytest.mark.parametrize("in_place", [False, True], ids=["copy", "in_place"]),
)
def test_layouts(layout, in_place, dtype):
    X = table(dtype, gaps=True)
    expected = StandardScaler().fit(X)
    laid_out = LAYOUTS[layout](X)
    scaler = StandardScaler(copy=not in_place).fit(laid_out)
    assert_same_statistics(scaler, expected)
    scaled = scaler.transform(laid_out)
    np.testing.assert_allclose(scaled, expected.transform(X), rtol=1e-6 if dtype == np.float32 else 1e-12, atol=1e-6)
    back = scaler.inverse_transform(LAYOUTS[layout](scaled))
    np.testing.assert_allclose(back, X, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)
    if not in_place or "read-only" in layout:
        np.testing.assert_array_equal(np.asarray(laid_out), X)


def test_memory_map(tmp_path):
    X = table(gaps=True)
    np.save(tmp_path / "X.npy", X)
    mapped, expected = np.load(tmp_path / "X.npy", mmap_mode="r"), StandardScaler().fit(X)
    scaler = StandardScaler(copy=False).fit(mapped)
    assert_same_statistics(scaler, expected)
    np.testing.assert_array_equal(scaler.transform(mapped), expected.transform(X))


def test_missing_values_of_frames():
    X = pd.DataFrame({"a": [1.5, None, 4], "b": [1, 2, None]}).convert_dtypes()
    scaler = StandardScaler().fit(X)
    assert_same_statistics(scaler, preprocessing.StandardScaler().fit(X))
    np.testing.assert_array_equal(np.isnan(scaler.transform(X)), [[False, False], [True, False], [False, True]])


@each_dtype
@each_direction
@pytest.mark.parametrize("order", "CF")
def test_in_place_or_not(order, method, dtype):
    X = np.asarray(table(dtype), order=order)
    before = X.copy()
    scaler = StandardScaler().fit(X)
    apply = getattr(scaler, method)
    expected = apply(X)
    np.testing.assert_array_equal(X, before)
    assert not np.shares_memory(expected, X)
    assert expected.flags.f_contiguous == (order == "F")
    assert apply(X, copy=False) is X
    np.testing.assert_array_equal(X, expected)
    X[...] = before
    scaler.set_params(copy=False)
    assert not np.shares_memory(apply(X, copy=True), X)
    np.testing.assert_array_equal(X, before)
    assert apply(X) is X


@each_dtype
@each_direction
def test_sparse_in_place_or_not(method, dtype):
    X = scipy.sparse.csr_array(table(dtype))
    before = X.toarray()
    scaler = StandardScaler(with_mean=False).fit(X)
    np.testing.assert_array_equal(X.toarray(), before)
    expected = getattr(scaler, method)(X)
    np.testing.assert_array_equal(X.toarray(), before)
    assert getattr(scaler, method)(X, copy=False) is X
    np.testing.assert_array_equal(X.toarray(), expected.toarray())
    assert getattr(scaler, method)(scipy.sparse.csc_array(before)).format == "csr"


# ---- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
@pytest.mark.parametrize("name, value", [("copy", 1), ("with_mean", "yes"), ("with_std", None), ("backend", "numba")])
def test_bad_parameters(name, value, fit):
    with pytest.raises(ValueError, match=f"^{name} must be .*; got {value!r}"):
        getattr(StandardScaler(**{name: value}), fit)(table())


@all_pairs(
    pytest.mark.parametrize("infinity", [np.inf, -np.inf]),
    pytest.mark.parametrize("container", CONTAINERS),
    pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "inverse_transform"]),
)
def test_infinity(method, container, infinity):
    X = table(np.float32)
    scaler = StandardScaler(with_mean=False, copy=False).fit(X)
    state = pickle.dumps(scaler)
    X[7, 2], X[8, 1] = infinity, np.nan
    before = X.copy()
    with pytest.raises(ValueError, match=r"Input X contains infinity or a value too large for dtype\('float32'\)"):
        getattr(scaler, method)(CONTAINERS[container](X))
    assert pickle.dumps(scaler) == state
    np.testing.assert_array_equal(X, before)


def test_large_is_not_infinite():
    X = np.array([[1e200], [-1e200], [3e200]])
    scaler = StandardScaler(with_std=False).fit(X)
    np.testing.assert_allclose(scaler.mean_, 1e200)
    np.testing.assert_allclose(scaler.transform(X), X - 1e200)


@pytest.mark.parametrize("container", ["csr", "csc"])
def test_sparse_is_not_centered(container):
    X = CONTAINERS[container](table())
    for fit in ("fit", "partial_fit", "fit_transform"):
        with pytest.raises(ValueError, match="Cannot center sparse matrices: pass `with_mean=False` instead"):
            getattr(StandardScaler(), fit)(X)
    scaler = StandardScaler().fit(table())
    with pytest.raises(ValueError, match="Cannot center sparse matrices: pass `with_mean=False` instead"):
        scaler.transform(X)
    with pytest.raises(ValueError, match="Cannot uncenter sparse matrices: pass `with_mean=False` instead"):
        scaler.inverse_transform(X)


BAD_WEIGHTS = {
    "negative": (np.full(60, -1.0), "sample_weight must be non-negative"),
    "zero": (np.zeros(60), "sample_weight must not be zero"),
    "too few": (np.ones(59), "sample_weight must have one entry per row"),
    "missing": (np.full(60, np.nan), "sample_weight contains NaN"),
    "square": (np.ones((60, 1)), "1D array"),
}


@pytest.mark.parametrize("weight, message", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        StandardScaler().fit(table(), sample_weight=weight)


BAD_ROWS = {
    "one row": (np.ones(3), "Expected 2D array"),
    "no rows": (np.ones((0, 6)), "0 sample"),
    "text": ([["a"] * 6], "could not convert string to float"),
    "complex": (np.ones((3, 6), complex), "Complex data not supported"),
    "fewer features": (np.ones((3, 5)), "X has 5 features, but StandardScaler is expecting 6 features as input"),
}


@pytest.mark.parametrize("X, message", BAD_ROWS.values(), ids=BAD_ROWS)
@pytest.mark.parametrize("method", ["partial_fit", "transform", "inverse_transform"])
def test_bad_rows(method, X, message):
    scaler = StandardScaler().fit(table())
    state = pickle.dumps(scaler)
    with pytest.raises(ValueError, match=message):
        getattr(scaler, method)(X)
    assert pickle.dumps(scaler) == state


def test_a_failed_fit_changes_nothing():
    scaler = StandardScaler().fit(table())
    state = pickle.dumps(scaler)
    with pytest.raises(ValueError, match="contains infinity"):
        scaler.fit([[np.inf, 1.0]])
    with pytest.raises(ValueError, match="sample_weight"):
        scaler.partial_fit(table(), sample_weight=[1])
    assert pickle.dumps(scaler) == state


@pytest.mark.parametrize("method", ["partial_fit", "transform", "inverse_transform"])
@pytest.mark.parametrize("name", ["with_mean", "with_std"])
def test_switching_on_what_fit_did_not_look_for(name, method):
    scaler = StandardScaler(with_mean=False, with_std=False).fit(table()).set_params(**{name: True})
    with pytest.raises(ValueError, match="with_mean and with_std must not be switched on after fit"):
        getattr(scaler, method)(table())
    assert_same_statistics(
        scaler.fit(table()), preprocessing.StandardScaler(**{"with_std": False, name: True}).fit(table())
    )


def test_feature_names():
    frame = pd.DataFrame(table()[:, :2], columns=["a", "b"])
    scaler = StandardScaler().fit(frame)
    assert list(scaler.feature_names_in_) == ["a", "b"]
    assert list(scaler.get_feature_names_out()) == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        scaler.transform(frame[["b", "a"]])
    scaled = scaler.transform(frame)
    np.testing.assert_allclose(scaler.inverse_transform(scaled), frame)  # which has no names, and that is no warning
    scaler.set_output(transform="polars")
    assert scaler.transform(frame).columns == ["a", "b"]


# ---- scikit-learn's world ---------------------------------------------------------------

CONFIGURATIONS = [StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False)]


def expected_failures(estimator):
    # scikit-learn 1.6 runs this on estimators that do not take sparse input; its own scaler fails it too
    if parse_version(sklearn.__version__) < parse_version("1.7") and estimator.with_mean:
        return {"check_sample_weight_equivalence_on_sparse_data": "sparse input is not centred"}
    return {}


@shared_out(parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=expected_failures), every=2)
def test_estimator(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")  # which checks of set_output go through
@pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize(
    "check",
    [
        "check_dataframe_column_names_consistency",
        "check_get_feature_names_out_error",
        "check_global_output_transform_pandas",
        "check_global_set_output_transform_polars",
        "check_inplace_ensure_writeable",
        "check_n_features_in_after_fitting",
        "check_set_output_transform",
        "check_set_output_transform_pandas",
        "check_set_output_transform_polars",
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_transformer_preserve_dtypes",
    ],
)
@pytest.mark.fast_share(5)
def test_check_that_others_are_spared(check, estimator):
    getattr(estimator_checks, check)("StandardScaler", clone(estimator))


def test_tags():
    for switches in SWITCHES:
        mine = StandardScaler(**switches).__sklearn_tags__()
        twin = preprocessing.StandardScaler(**switches).__sklearn_tags__()
        twin.input_tags.sparse = not StandardScaler(**switches).with_mean  # always True before scikit-learn 1.9
        assert mine.input_tags == twin.input_tags
        assert mine.transformer_tags == twin.transformer_tags


def test_in_a_search_over_a_pipeline():
    X, y = table()[:, :3], np.arange(60) % 2
    model = make_pipeline(ColumnTransformer([("scale", StandardScaler(), [0, 2])]), LogisticRegression())
    grid = {"columntransformer__scale__with_std": [True, False]}
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)
    assert search.predict(X).shape == (60,)


def test_metadata_routing():
    X, y, weight = table()[:, :3], np.arange(60) % 2, weights()
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True).set_transform_request(copy=True)
        model = make_pipeline(scaler, LogisticRegression().set_fit_request(sample_weight=False))
        model.fit(X, y, sample_weight=weight)
    assert_same_statistics(model[0], StandardScaler().fit(X, sample_weight=weight))


def test_pickle_and_clone():
    scaler = StandardScaler(with_mean=False).fit(table(gaps=True))
    loaded = pickle.loads(pickle.dumps(scaler))
    assert_same_statistics(loaded, scaler)
    np.testing.assert_array_equal(loaded.transform(table()), scaler.transform(table()))
    assert vars(clone(scaler)) == scaler.get_params()


# ---- where it computes ------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_without_numba(weighted, dtype, monkeypatch):
    X, weight = table(dtype, n_rows=3000, gaps=True), weights(3000) if weighted else None
    expected = StandardScaler().fit(X, sample_weight=weight)
    scaled = expected.transform(X)
    plain = reference.Backend(np)
    monkeypatch.setattr(sknn._backend, "_numpy_backend", lambda: plain)
    assert StandardScaler()._get_backend(X) is plain
    scaler = StandardScaler().fit(X, sample_weight=weight)
    assert_same_statistics(scaler, expected)
    assert_same_output(scaler.transform(X), scaled, 1e-6 if dtype == np.float32 else 1e-12)
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        scaler.fit(X)


def assert_on_device(array, expected):
    assert type(array) is cupy_standin.ndarray
    assert array.dtype == expected.dtype
    np.testing.assert_allclose(array.get(), expected, rtol=1e-6 if expected.dtype == np.float32 else 1e-12, atol=1e-12)


@all_pairs(
    each_dtype,
    pytest.mark.parametrize("switches", SWITCHES, ids=str),
    pytest.mark.parametrize("backend", [None, "cupy", "numpy"]),
)
def test_cupy_in_cupy_out(backend, switches, dtype, cupy):
    X, weight = table(dtype, gaps=True), weights()
    on_device = cupy.asarray(X)
    expected = StandardScaler(**switches).fit(X, sample_weight=weight)
    scaler = StandardScaler(backend=backend, **switches).fit(on_device, sample_weight=cupy.asarray(weight))
    assert_same_statistics(scaler, expected)
    assert all(not isinstance(value, cupy_standin.ndarray) for value in vars(scaler).values())
    scaled = expected.transform(X)
    assert_on_device(scaler.transform(on_device), scaled)
    np.testing.assert_array_equal(on_device.get(), X)
    assert_on_device(scaler.inverse_transform(cupy.asarray(scaled)), expected.inverse_transform(scaled))


def test_cupy_pieces_in_place_and_as_integers(cupy):
    X = table()
    scaler = StandardScaler(copy=False)
    for piece in (X[:20], X[20:]):
        scaler.partial_fit(cupy.asarray(piece))
    assert_same_statistics(scaler, StandardScaler().fit(X))
    on_device = cupy.asarray(X)
    assert scaler.transform(on_device) is on_device
    assert_on_device(on_device, StandardScaler().fit_transform(X))
    whole = np.arange(12).reshape(6, 2)
    assert_on_device(StandardScaler().fit_transform(cupy.asarray(whole)), StandardScaler().fit_transform(whole))


def test_numpy_in_numpy_out_wherever_it_computes(cupy):
    X = table(np.float32, gaps=True)
    expected = StandardScaler().fit(X)
    with config_context(backend="cupy"):
        scaler = StandardScaler().fit(X)
        scaled = scaler.transform(X)
        with pytest.raises(ValueError, match="sparse X must be computed with backend='numpy'"):
            StandardScaler(with_mean=False).fit(scipy.sparse.csr_array(X))
        with pytest.raises(ValueError, match="sparse X must be computed with backend='numpy'"):
            StandardScaler(with_mean=False, backend="numpy").fit(X).set_params(backend="cupy").transform(
                scipy.sparse.csr_array(X)
            )
    assert_same_statistics(scaler, expected)
    assert_same_output(scaled, expected.transform(X), 1e-6)


@pytest.mark.parametrize("method", ["fit", "transform", "inverse_transform"])
def test_cupy_that_is_refused(method, cupy):
    X = table()
    scaler = StandardScaler().fit(cupy.asarray(X))
    with pytest.raises(ValueError, match="Expected 2D array"):
        getattr(scaler, method)(cupy.asarray(X[0]))
    with pytest.raises(ValueError, match="features"):
        getattr(scaler, method if method != "fit" else "partial_fit")(cupy.asarray(X[:, :3]))
    X[1, 1] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        getattr(scaler, method)(cupy.asarray(X))


def test_fitted_on_the_device_loads_without_one(cupy):
    X = table()
    stored = pickle.dumps(StandardScaler(backend="auto").fit(cupy.asarray(X)))
    assert b"cupy" not in stored
    np.testing.assert_allclose(pickle.loads(stored).transform(X), StandardScaler().fit_transform(X), atol=1e-12)


class ScalerOfMachine(StandardScaler):
    """A scaler of a user, whose constructor must get an argument."""

    def __init__(self, machine):
        super().__init__()
        self.machine = machine


def test_a_subclass_with_a_required_argument():
    X = np.random.default_rng(0).standard_normal((9, 3))
    scaler = ScalerOfMachine("A").fit(X)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(X)), X, rtol=1e-12)
    scaler = ScalerOfMachine("A")
    scaler.mean_, scaler.scale_ = np.zeros(3), np.full(3, 2.0)  # set by hand, without a fit
    np.testing.assert_array_equal(scaler.transform(X), X / 2)
    np.testing.assert_array_equal(scaler.inverse_transform(X), X * 2)
    assert "n_features_in_" not in vars(scaler)

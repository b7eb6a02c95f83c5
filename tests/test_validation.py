"""Data that are no real numbers: errors say which argument has them, in few words."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sknn import MLPClassifier, MLPRegressor, preprocessing

X = np.random.default_rng(0).standard_normal((30, 12))
y = (X[:, 0] > 0).astype(int)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
IMAGES = X.reshape(30, 2, 3, 2)
TABLES = [getattr(preprocessing, name) for name in preprocessing.__all__ if name != "InstanceNormalizer"]
CASES = [
    *(pytest.param(cls(), X, y, id=cls.__name__) for cls in (MLPClassifier, MLPRegressor)),
    *(pytest.param(cls(), X, None, id=cls.__name__) for cls in TABLES),
    pytest.param(preprocessing.StandardScaler(per="image"), IMAGES, None, id="StandardScaler of images"),
    pytest.param(preprocessing.InstanceNormalizer(), IMAGES, None, id="InstanceNormalizer"),
]


@pytest.mark.parametrize(("estimator", "X", "y"), CASES)
def test_text_as_X_is_named(estimator, X, y):
    words = r"^could not convert string to float: .*'nonsense'.*\. X must have numbers; encode text"
    for text in (np.full(X.shape, "nonsense"), np.full(X.shape, "nonsense", object)):
        with pytest.raises(ValueError, match=words):
            estimator.fit(text, y)


@pytest.mark.parametrize(("estimator", "X", "y"), CASES)
def test_complex_X_is_named_and_not_shown(estimator, X, y):
    with pytest.raises(ValueError, match=r"^Complex data not supported\. X must have real numbers; .{,60}$"):
        estimator.fit(X * 1j, y)


def test_complex_y_is_named_and_not_shown():
    with pytest.raises(ValueError, match=r"^Complex data not supported\. y must have real numbers; .{,60}$"):
        MLPRegressor().fit(X, y * 1j)


@pytest.mark.parametrize("estimator", [MLPClassifier(), MLPRegressor(), preprocessing.StandardScaler()])
def test_text_as_sample_weight_is_named(estimator):
    with pytest.raises(ValueError, match=r"^could not convert string to float: .*\. sample_weight must have numbers"):
        estimator.fit(X, y, sample_weight=["heavy"] * 30)


# ---- integers beyond all floats ---------------------------------------------------------

TOO_LARGE = r"^{0} contains infinity or a value too large for dtype\('float64'\)\. .*{1} must have numbers that floats"


def large(name):
    return TOO_LARGE.format(f"Input {name}", name)


def with_integer(values):
    """Return values as objects, the last of which no float can hold."""
    values = np.array(values, object)
    values.flat[-1] = 10**400
    return values


@pytest.mark.parametrize(("estimator", "X", "y"), CASES)
def test_integers_beyond_floats_in_X_are_named(estimator, X, y):
    for rows in (with_integer(X), with_integer(X).tolist()):
        with pytest.raises(ValueError, match=large("X")):
            clone(estimator).fit(rows, y)
    model = clone(estimator).set_params(**({"max_iter": 1} if hasattr(estimator, "max_iter") else {})).fit(X, y)
    for name in ("predict", "predict_proba", "transform", "inverse_transform", "partial_fit"):
        if hasattr(model, name):
            with pytest.raises(ValueError, match=large("X")):
                getattr(model, name)(*((with_integer(X), y) if name == "partial_fit" else (with_integer(X),)))


@pytest.mark.parametrize("estimator", [MLPClassifier(max_iter=1), MLPRegressor(max_iter=1)])
def test_integers_beyond_floats_in_y_are_named(estimator):
    model = clone(estimator).fit(X, y)
    for targets in (with_integer(y), with_integer(y).tolist(), with_integer(np.c_[y, y])):
        for call in (estimator.fit, model.partial_fit, model.score):
            with pytest.raises(ValueError, match=large("y")):
                call(X, targets)
        with pytest.raises(ValueError, match="Input y_val contains infinity or a value too large"):
            estimator.fit(X, y, X_val=X, y_val=targets)
    with pytest.raises(ValueError, match="X_val and y_val must be .*Input X contains infinity or a value too large"):
        estimator.fit(X, y, X_val=with_integer(X), y_val=y)


def test_labels_of_more_than_64_bits():
    with pytest.raises(ValueError, match=r"Input classes contains infinity or a value too large"):
        MLPClassifier().partial_fit(X, y, classes=[0, 10**400])
    with pytest.raises(ValueError, match=r"y must hold labels .* up to 64 bits; got larger integers\. .*astype\(str\)"):
        MLPClassifier().fit(X, y.astype(object) + 2**70)
    np.testing.assert_array_equal(
        MLPClassifier(max_iter=1).fit(X, (y.astype(object) + 2**70).astype(str)).classes_, [str(2**70), str(2**70 + 1)]
    )


def test_integers_of_more_than_64_bits_that_floats_hold_are_numbers():
    targets = y.astype(object) + 2**70
    models = [MLPRegressor(solver="lbfgs", max_iter=3, random_state=0) for _ in range(2)]
    models = [model.fit(X, values) for model, values in zip(models, (targets, targets.astype(float)), strict=True)]
    np.testing.assert_array_equal(*(model.predict(X) for model in models))


@pytest.mark.parametrize(
    "estimator", [MLPClassifier(max_iter=1), MLPRegressor(max_iter=1), preprocessing.StandardScaler()]
)
def test_integers_beyond_floats_in_sample_weight_are_named(estimator):
    model = clone(estimator).fit(X, y)
    weight = with_integer(np.ones(30))
    for weights in (weight, weight.tolist(), 10**400):
        for call in (estimator.fit, model.partial_fit):
            with pytest.raises(ValueError, match=large("sample_weight")):
                call(X, y, sample_weight=weights)
    if hasattr(model, "score"):
        with pytest.raises(ValueError, match=large("sample_weight")):
            model.score(X, y, sample_weight=weight)


def large_in_float32(X):
    return [X * 1e150, (X * 1e150).tolist(), scipy.sparse.csr_matrix(X * 1e150), X.astype(np.longdouble) * 1e150]


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_numbers_too_large_for_float32_are_refused_with_a_way_out(estimator):
    words = (
        r"^Input X contains infinity or a value too large for dtype\('float32'\)\. Scale X down, or .*dtype='float64'"
    )
    model = estimator(dtype="float32", max_iter=1)
    for large in large_in_float32(X):
        with pytest.raises(ValueError, match=words):
            model.fit(large, y)
        with pytest.raises(ValueError, match=words):
            model.partial_fit(large, y) if estimator is MLPRegressor else model.partial_fit(large, y, [0, 1])
    with pytest.warns(ConvergenceWarning):
        fitted = [model.fit(X, y), estimator(max_iter=1).fit(X.astype(np.float32), y)]
    for model in fitted:
        for large in large_in_float32(X):
            with pytest.raises(ValueError, match=words):
                model.predict(large)
        with pytest.raises(ValueError, match=rf"X_val and y_val must be valid like X and y: {words[1:]}"):
            model.fit(X.astype(np.float32), y, X_val=X * 1e150, y_val=y)


def test_numbers_too_large_for_float32_on_the_device(cupy):
    with pytest.raises(
        ValueError, match=r"^Input X contains infinity or a value too large for dtype\('float32'\)\. Scale X down, or"
    ):
        MLPClassifier(dtype="float32").fit(cupy.asarray(X * 1e150), y)
    with pytest.raises(ValueError, match=r"^Input X contains NaN or infinity"):
        MLPClassifier(dtype="float32").fit(cupy.asarray(X * np.inf), y)

"""Data that are no real numbers: errors say which argument has them, in few words."""

import numpy as np
import pytest

from sknn import MLPClassifier, MLPRegressor, preprocessing

X = np.random.default_rng(0).standard_normal((30, 12))
y = (X[:, 0] > 0).astype(int)
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

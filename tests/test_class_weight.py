"""class_weight and label_smoothing in MLPClassifier."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
NAMES = np.array(["ant", "bee", "cat"])


def data(n_classes=3, n_rows=120):
    X, codes = make_classification(
        n_rows, 8, n_informative=5, n_classes=n_classes, weights=[0.6, 0.3], random_state=0, class_sep=0.5
    )
    return X, NAMES[codes]


def fitted(X, y, sample_weight=None, X_val=None, y_val=None, **parameters):
    numbers = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0, "tol": 0, **parameters}
    return MLPClassifier(**numbers).fit(X, y, sample_weight, X_val, y_val)


def assert_same_model(mine, other, rtol=0.0):
    for W, expected in zip(mine.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(W, expected, rtol=rtol)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_class_weights_are_sample_weights(n_classes, solver):
    X, y = data(n_classes)
    class_weight = {"ant": 0.5, "bee": 3.0}
    weight = np.array([class_weight.get(label, 1.0) for label in y])
    assert_same_model(fitted(X, y, class_weight=class_weight, solver=solver), fitted(X, y, weight, solver=solver))
    others = np.random.default_rng(0).random(len(y))
    both = fitted(X, y, others, class_weight=class_weight, solver=solver)
    assert_same_model(both, fitted(X, y, others * weight, solver=solver))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_balanced(n_classes):
    X, y = data(n_classes)
    weights = dict(zip(np.unique(y), compute_class_weight("balanced", classes=np.unique(y), y=y), strict=True))
    assert_same_model(fitted(X, y, class_weight="balanced"), fitted(X, y, class_weight=weights), rtol=1e-12)


def test_balanced_counts_weights_and_not_rows():
    X, y = data(n_rows=60)
    weight = np.random.default_rng(0).integers(0, 4, 60)
    numbers = {"class_weight": "balanced", "batch_size": 300, "shuffle": False}
    with pytest.warns(match="batch_size"):
        weighted = fitted(X, y, weight, **numbers)
    with pytest.warns(match="batch_size"):
        repeated = fitted(np.repeat(X, weight, axis=0), np.repeat(y, weight), **numbers)
    assert_same_model(weighted, repeated, rtol=1e-9)


def test_validation_is_weighed_alike():
    X, y = data()
    X_val, y_val = X[::3] + 0.1, y[::3]
    class_weight = {"ant": 0.0, "cat": 5.0}
    model = fitted(X, y, None, X_val, y_val, class_weight=class_weight)
    weight = np.array([class_weight.get(label, 1.0) for label in y_val])
    assert model.validation_scores_[-1] == pytest.approx(np.average(model.predict(X_val) == y_val, weights=weight))
    assert model.validation_scores_[-1] != pytest.approx(model.score(X_val, y_val))
    split = fitted(X, y, class_weight="balanced", early_stopping=True)
    assert np.isfinite(split.best_validation_score_)


def test_a_rare_class_is_found_more_often():
    X, y = data(2, 400)
    plain, balanced = (fitted(X, y, class_weight=weight, max_iter=40) for weight in (None, "balanced"))
    assert (balanced.predict(X) == "bee").sum() > (plain.predict(X) == "bee").sum()


def test_partial_fit():
    X, y = data()
    first = MLPClassifier((6,), random_state=0, class_weight={"bee": 2.0})
    second = MLPClassifier((6,), random_state=0)
    for rows in (slice(0, 60), slice(60, 120)):
        first.partial_fit(X[rows], y[rows], classes=NAMES)
        second.partial_fit(X[rows], y[rows], np.where(y[rows] == "bee", 2.0, 1.0), classes=NAMES)
    assert_same_model(first, second)
    with pytest.raises(ValueError, match="class_weight must be a dict or None for partial_fit, .*; got 'balanced'"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=NAMES)


@pytest.mark.parametrize("labels", [NAMES, np.arange(3), np.array([0.0, 1.0, 2.0])], ids=["str", "int", "float"])
def test_a_fold_may_lack_a_class_that_has_a_weight(labels):
    """As scikit-learn's compute_class_weight: unknown keys are taken where all classes of y have a weight."""
    X, y = data()
    y, weights = labels[np.searchsorted(NAMES, y)], dict(zip(labels.tolist(), [1.0, 2.0, 3.0], strict=True))
    fold = y != labels[2]
    X, y = X[fold], y[fold]
    expected = compute_class_weight(weights, classes=np.unique(y), y=y)
    weight = expected[np.searchsorted(np.unique(y), y)]
    assert_same_model(fitted(X, y, class_weight=weights), fitted(X, y, weight))
    first = MLPClassifier((6,), random_state=0, class_weight=weights).partial_fit(X, y, classes=labels[:2])
    second = MLPClassifier((6,), random_state=0).partial_fit(X, y, weight, classes=labels[:2])
    assert_same_model(first, second)
    with pytest.raises(ValueError):  # here too
        compute_class_weight({labels[2]: 3.0}, classes=np.unique(y), y=y)
    with pytest.raises(ValueError, match="are not in class_weight"):
        fitted(X, y, class_weight={labels.tolist()[2]: 3.0})


BAD = {
    "name": ("even", "class_weight must be one of None, 'balanced' or a dict"),
    "negative": ({"ant": -1}, "class_weight must be .* non-negative"),
    "unknown": ({"dog": 2, "ant": 1}, r"^The classes, \['bee', 'cat'\], are not in class_weight, .*; got \['dog'\]"),
    "nothing left": ({"ant": 0, "bee": 0, "cat": 0}, "must not be zero for every row"),
}


@pytest.mark.parametrize("class_weight, message", BAD.values(), ids=BAD)
def test_bad_class_weights(class_weight, message):
    with pytest.raises(ValueError, match=message):
        fitted(*data(), class_weight=class_weight)


def test_multilabel_has_no_classes_to_weigh():
    X, _ = data()
    with pytest.raises(ValueError, match="class_weight must be None for multilabel y; got 'balanced'"):
        fitted(X, (X[:, :3] > 0).astype(int), class_weight="balanced")


# ---- label smoothing --------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_smoothed_labels_make_modest_models(solver, n_classes):
    X, y = data(n_classes)
    numbers = {"solver": solver, "max_iter": 500, "learning_rate_init": 0.02, "hidden_layer_sizes": (30,), "alpha": 0}
    plain, smoothed = (fitted(X, y, label_smoothing=share, **numbers) for share in (0.0, 0.3))
    most = 1 - 0.3 * (n_classes - 1) / n_classes  # the best probability, where classes can be told apart
    assert np.median(plain.predict_proba(X).max(axis=1)) > most + 0.05
    assert np.median(smoothed.predict_proba(X).max(axis=1)) == pytest.approx(most, abs=0.05)


@pytest.mark.parametrize("value", [1.0, -0.1, "much"])
def test_bad_label_smoothing(value):
    with pytest.raises(ValueError, match=r"^label_smoothing must be a number in \[0, 1\); got "):
        fitted(*data(), label_smoothing=value)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning", "ignore::sklearn.exceptions.DataConversionWarning"
)
@parametrize_with_checks([MLPClassifier(label_smoothing=0.1)])
def test_estimator(estimator, check):
    check(estimator)


def test_weights_of_an_infinite_sum_are_refused():
    X, y = data()
    model = MLPClassifier(class_weight={"ant": 1e307, "bee": 1, "cat": 1}, max_iter=2)
    with pytest.raises(ValueError, match="sample_weight, times class_weight, must have a finite sum"):
        model.fit(X, y)

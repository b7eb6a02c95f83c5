"""MLPClassifier with the squared error of logistic outputs."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = load_iris(return_X_y=True)
X, y = scale(X), np.array(["ant", "bee", "cat"])[y]
TASKS = {"two": (X[:100], y[:100]), "three": (X, y), "labels": (X, (X[:, :2] > 0).astype(int))}


def fitted(task, **parameters):
    numbers = {"loss": "squared_error", "hidden_layer_sizes": (6,), "activation": "logistic", "random_state": 0}
    return MLPClassifier(**{**numbers, "max_iter": 5, **parameters}).fit(*TASKS[task])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("target_range", [(0, 1), (0.01, 0.99)], ids=str)
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_loss_by_hand(solver, target_range, task):
    """The loss before the first step, of all rows in one batch."""
    numbers = {"batch_size": len(TASKS[task][0]), "learning_rate_init": 1e-300, "max_iter": 1, "alpha": 0.0}
    model = fitted(task, solver="sgd", target_range=target_range, **numbers)
    rows, labels = TASKS[task]
    outputs = expit(expit(rows @ model.coefs_[0] + model.intercepts_[0]) @ model.coefs_[1] + model.intercepts_[1])
    one_hot = labels[:, None] == model.classes_ if labels.ndim == 1 else labels
    one_hot = one_hot[:, 1:] if task == "two" else one_hot
    targets = np.where(one_hot, target_range[1], target_range[0])
    assert model.loss_ == pytest.approx(0.5 * ((outputs - targets) ** 2).sum(axis=1).mean())
    better = fitted(task, solver=solver, target_range=target_range, max_iter=30, learning_rate_init=0.1)
    assert better.loss_ < model.loss_


@pytest.mark.parametrize("task", TASKS)
def test_it_learns(task):
    model = fitted(task, max_iter=300, learning_rate_init=0.02, target_range=(0.01, 0.99))
    assert model.score(*TASKS[task]) > 0.9
    probability = model.predict_proba(X)
    assert model.out_activation_ == "logistic"
    if task != "labels":
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        np.testing.assert_array_equal(model.classes_[probability.argmax(axis=1)], model.predict(X))


def test_outputs_stay_within_what_they_are_drawn_to():
    model = fitted("three", solver="lbfgs", max_iter=2000, alpha=0, target_range=(0.2, 0.7), hidden_layer_sizes=(30,))
    outputs = model._outputs(X)[1]
    assert np.abs(np.sort(outputs, axis=1) - [0.2, 0.2, 0.7]).mean() < 0.05


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [10.0, 90.0, 1e3, 1e30])
@pytest.mark.parametrize("target_range", [(0, 1), (0.01, 0.99)], ids=str)
def test_probabilities_sum_to_one_at_both_ends(target_range, size, dtype):
    """Outputs of raw outputs -size and size, which round to 0 and 1: rows of all kinds of ends."""
    model = fitted("three", target_range=target_range, activation="identity", dtype=dtype)
    model.coefs_ = [np.eye(4, 6, dtype=dtype), np.eye(6, 3, dtype=dtype)]
    model.intercepts_ = [np.zeros(6, dtype), np.zeros(3, dtype)]
    ends = np.array(np.meshgrid(*[[-size, size]] * 3)).reshape(3, -1).T
    probability = model.predict_proba(np.c_[ends, np.zeros(8)].astype(dtype))
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-6)
    are_alike = (ends == ends[:, :1]).all(axis=1)
    np.testing.assert_allclose(probability[are_alike], 1 / 3, rtol=1e-6)
    outputs = expit(ends[~are_alike])
    expected = outputs / outputs.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probability[~are_alike], expected, rtol=1e-5, atol=1e-30)
    labels = model.predict(np.c_[ends, np.zeros(8)].astype(dtype))
    np.testing.assert_array_equal(labels, model.classes_[probability.argmax(axis=1)])


def test_validation_and_weights():
    weighted = fitted("three", class_weight={"bee": 3.0}, early_stopping=True, max_iter=20)
    assert len(weighted.validation_scores_) == weighted.n_iter_
    first = fitted("three", class_weight={"bee": 3.0})
    second = MLPClassifier((6,), activation="logistic", loss="squared_error", max_iter=5, random_state=0).fit(
        X, y, np.where(y == "bee", 3.0, 1.0)
    )
    np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])


@pytest.mark.parametrize("value", [(0.5, 0.5), (-0.1, 1), (0, 1.1), 0.9, (0, None)], ids=str)
def test_bad_target_range(value):
    with pytest.raises(ValueError, match=r"^target_range must be a pair of finite numbers .* in \[0, 1\]"):
        fitted("three", target_range=value)


def test_other_refusals():
    with pytest.raises(ValueError, match=r"target_range must be \(0, 1\) for loss='log_loss'; got \(0.1, 0.9\)"):
        fitted("two", loss="log_loss", target_range=(0.1, 0.9))
    with pytest.raises(ValueError, match="label_smoothing must be 0 for loss='squared_error'"):
        fitted("three", label_smoothing=0.1)
    with pytest.raises(ValueError, match="^loss must be one of 'log_loss', 'squared_error'; got 'hinge'"):
        fitted("three", loss="hinge")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning", "ignore::sklearn.exceptions.DataConversionWarning"
)
@parametrize_with_checks([MLPClassifier(loss="squared_error", learning_rate_init=0.01)])
def test_estimator(estimator, check):
    check(estimator)

"""The same parameters and random_state give scikit-learn's model: weights and loss curve, in float64."""

import inspect

import numpy as np
import pytest
import sklearn.neural_network as peer
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.preprocessing import StandardScaler

import sknn
from tests.support.designs import all_pairs, in_turns

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RTOL = 1e-6
N_ROWS = 230
HAS_WEIGHTS = "sample_weight" in inspect.signature(peer.MLPClassifier.fit).parameters
needs_weights = pytest.mark.skipif(not HAS_WEIGHTS, reason="scikit-learn < 1.7 has no sample_weight or poisson")


def binary():
    return make_classification(N_ROWS, 12, flip_y=0.2, random_state=0)


def multiclass():
    X, y = make_classification(N_ROWS, 12, n_informative=6, n_classes=4, flip_y=0.2, random_state=0)
    return X, np.array(["ash", "birch", "cedar", "elm"])[y]


def multilabel():
    X, y = make_multilabel_classification(N_ROWS, 12, n_classes=3, random_state=0)
    return StandardScaler().fit_transform(X), y  # unscaled counts make long tanh runs chaotic in the last bits


def regression():
    X, y = make_regression(N_ROWS, 12, noise=1.0, random_state=0)
    return X, y / y.std()


def regression_of_two():
    X, y = make_regression(N_ROWS, 12, n_targets=2, noise=1.0, random_state=0)
    return X, y / y.std(axis=0)


TASKS = {
    "binary": ("MLPClassifier", binary),
    "multiclass": ("MLPClassifier", multiclass),
    "multilabel": ("MLPClassifier", multilabel),
    "regression": ("MLPRegressor", regression),
    "regression_of_two": ("MLPRegressor", regression_of_two),
}


def pair(task, **parameters):
    """Return X, y, and the same unfitted estimator of sknn and of scikit-learn."""
    name, data = TASKS[task]
    parameters = {"random_state": 3, "max_iter": 20, "hidden_layer_sizes": (15, 8), **parameters}
    return *data(), getattr(sknn, name)(**parameters), getattr(peer, name)(**parameters)


def assert_twins(ours, theirs, X):
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=RTOL, atol=RTOL * np.abs(other).max())
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_
    assert ours.out_activation_ == theirs.out_activation_
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=RTOL)
    if hasattr(theirs, "loss_curve_"):
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=RTOL)
    _assert_same_predictions(ours, theirs, X)


def _assert_same_predictions(ours, theirs, X):
    if hasattr(theirs, "predict_proba"):
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=RTOL, atol=1e-9)
    else:
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=RTOL, atol=1e-7)


@all_pairs(
    pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"]),
    pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"]),
    [
        pytest.mark.parametrize("batch_size", ["auto", 32, 1000, pytest.param(1, marks=pytest.mark.slow)]),
        pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"]),
    ],
)
@pytest.mark.filterwarnings("ignore:Got `batch_size`")
@pytest.mark.fast_share(2)
def test_same_model(solver, batch_size, activation, task):
    X, y, ours, theirs = pair(task, solver=solver, batch_size=batch_size, activation=activation)
    assert_twins(ours.fit(X, y), theirs.fit(X, y), X)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_same_model_for_several_regression_outputs(solver):
    X, y, ours, theirs = pair("regression_of_two", solver=solver)
    assert_twins(ours.fit(X, y), theirs.fit(X, y), X)


@in_turns(
    pytest.mark.parametrize(
        "parameters",
        [
            {"hidden_layer_sizes": ()},
            {"hidden_layer_sizes": (), "activation": "logistic"},
            {"hidden_layer_sizes": 7},
            {"shuffle": False},
            {"alpha": 0.5},
            {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False},
            {"solver": "sgd", "momentum": 0.0},
            {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1, "power_t": 0.3},
            {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 2, "max_iter": 60},
            {"solver": "adam", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-4, "learning_rate_init": 0.01},
            {"tol": 0.05, "n_iter_no_change": 3, "max_iter": 100},
            {"random_state": np.random.RandomState},
        ],
        ids=str,
    ),
    pytest.mark.parametrize("task", TASKS),
    times=3,
)
@pytest.mark.fast_share(3)
def test_same_model_with(parameters, task):
    for_each = {key: value(7) if value is np.random.RandomState else value for key, value in parameters.items()}
    X, y, ours, theirs = pair(task, **for_each)
    if "random_state" in parameters:
        theirs.set_params(random_state=np.random.RandomState(7))
    assert_twins(ours.fit(X, y), theirs.fit(X, y), X)


@needs_weights
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
@pytest.mark.fast_share(5)
def test_same_model_with_sample_weight(task, solver):
    X, y, ours, theirs = pair(task, solver=solver, batch_size=50)
    weight = np.random.RandomState(0).uniform(0, 2, len(X)) * (np.arange(len(X)) % 5 > 0)
    assert_twins(ours.fit(X, y, weight), theirs.fit(X, y, weight), X)


@needs_weights
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_same_model_with_poisson_loss(solver):
    X, y, ours, theirs = pair("regression", solver=solver, loss="poisson", learning_rate_init=1e-3)
    y = np.abs(np.round(y))
    assert_twins(ours.fit(X, y), theirs.fit(X, y), X)


@pytest.mark.parametrize("task", ["binary", "multilabel", "regression", "regression_of_two"])
@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=needs_weights)])
@pytest.mark.fast_share(3)
def test_same_model_with_early_stopping(task, weighted):
    X, y, ours, theirs = pair(task, early_stopping=True, n_iter_no_change=4, max_iter=60, learning_rate_init=0.02)
    weight = {"sample_weight": np.linspace(0.1, 2, len(X))} if weighted else {}
    ours.fit(X, y, **weight)
    theirs.fit(X, y, **weight)
    assert_twins(ours, theirs, X)
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=RTOL)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    assert ours.best_loss_ is theirs.best_loss_ is None


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_same_partial_fits_without_shuffling(task, solver):
    X, y, ours, theirs = pair(task, solver=solver, shuffle=False, batch_size=32)
    classes = {"classes": np.unique(y)} if task in ("binary", "multiclass") else {}
    classes = {"classes": np.arange(3)} if task == "multilabel" else classes
    for start in (0, 80, 20):
        rows = slice(start, start + 110)
        ours.partial_fit(X[rows], y[rows], **classes)
        theirs.partial_fit(X[rows], y[rows], **classes)
    assert_twins(ours, theirs, X)


@pytest.mark.parametrize("container", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.fast_share(3)
def test_same_model_from_sparse_rows(container, solver):
    import scipy.sparse

    X, y, ours, theirs = pair("multiclass", solver=solver, batch_size=32)
    sparse = getattr(scipy.sparse, container)(np.where(np.abs(X) > 1, X, 0))
    assert_twins(ours.fit(sparse, y), theirs.fit(sparse, y), sparse)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_same_float32_model_to_its_precision(solver):
    X, y, ours, theirs = pair("multiclass", solver=solver)
    ours.fit(X.astype(np.float32), y)
    theirs.fit(X.astype(np.float32), y)
    assert ours.coefs_[0].dtype == theirs.coefs_[0].dtype == np.float32
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4)


def test_verbose_prints_the_same(capsys):
    X, y, ours, theirs = pair("binary", verbose=True, early_stopping=True, max_iter=3)
    ours.fit(X, y)
    mine = capsys.readouterr().out
    theirs.fit(X, y)
    assert mine == capsys.readouterr().out


def test_verbose_prints_the_same_messages_on_plateaus(capsys):
    X, y, ours, theirs = pair(
        "binary", verbose=True, solver="sgd", learning_rate="adaptive", tol=0.5, n_iter_no_change=1, max_iter=40
    )
    ours.fit(X, y)
    mine = capsys.readouterr().out
    theirs.fit(X, y)
    assert mine == capsys.readouterr().out
    assert "Setting learning rate to" in mine and "Learning rate too small" in mine

"""Training that diverges: what is kept, what is said, and what may follow."""

import re

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning

from sknn import MLPClassifier, MLPRegressor, building_block
from sknn.optimizers import OPTIMIZERS, SGD
from sknn.schedules import Schedule
from tests.support.backends import BACKENDS
from tests.support.scenarios import Scenario, make_options, train

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
TARGETS = {MLPClassifier: (X[:, 0] > 0).astype(int), MLPRegressor: X @ [1.0, 2, 3, 4]}
# scikit-learn's message, in two sentences
NON_FINITE = "Solver produced non-finite parameter weights."
LARGE = "The input data may contain large values and need to be preprocessed."
each_estimator = pytest.mark.parametrize("estimator", TARGETS)


@building_block
class Jump(Schedule):
    """A learning rate that jumps after four epochs."""

    def factors(self, steps, steps_per_epoch, n_steps):
        return np.where((steps - 1) // steps_per_epoch < 4, 1.0, 1e303)


def diverging(estimator, **parameters):
    """Return a model that diverges in the fifth epoch."""
    numbers = {"hidden_layer_sizes": (5,), "random_state": 0, "batch_size": 10}
    numbers |= {"max_iter": 12, "learning_rate": Jump()}
    return estimator(**numbers | parameters)


@each_estimator
@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize("monitor", ["score", "loss"])
@pytest.mark.fast_share(5)
def test_early_stopping_keeps_the_best_epoch(monitor, solver, estimator):
    y = TARGETS[estimator]
    numbers = {"early_stopping": True, "solver": solver, "monitor": monitor}
    with pytest.warns(ConvergenceWarning, match=r"diverged at epoch 5\..*keeps the weights of the best epoch"):
        model = diverging(estimator, **numbers).fit(X, y)
    assert model.stopped_ and model.n_iter_ == 5
    assert np.isnan(model.validation_scores_[-1]) and np.isnan(model.validation_loss_curve_[-1])
    watched = -np.array(model.validation_loss_curve_) if monitor == "loss" else np.array(model.validation_scores_)
    best = int(np.argmax(watched[:4]))
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        expected = diverging(estimator, **numbers, max_iter=best + 1).fit(X, y)
    for mine, other in zip(model.coefs_, expected.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert model.best_validation_score_ == expected.best_validation_score_


@each_estimator
def test_partial_fit_keeps_the_best_epoch_and_goes_on(estimator):
    y = TARGETS[estimator]
    first = {"classes": [0, 1]} if estimator is MLPClassifier else {}
    model = diverging(estimator, early_stopping=True, solver="sgd", learning_rate="constant").partial_fit(X, y, **first)
    best = model.coefs_[0].copy()
    model.set_params(learning_rate_init=1e303)
    with pytest.warns(ConvergenceWarning, match="keeps the weights of the best epoch"):
        model.partial_fit(X, y)
    assert model.stopped_
    np.testing.assert_array_equal(model.coefs_[0], best)
    model.set_params(learning_rate_init=0.001).partial_fit(X, y)
    assert not model.stopped_ and np.isfinite(model.validation_scores_[-1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@each_estimator
def test_training_may_go_on_after_a_divergence(estimator):
    """It is said once, not for ever; the weights are those at the start of the last epoch of finite losses."""
    y = TARGETS[estimator]
    model, other = (diverging(estimator, warm_start=True, max_iter=n).fit(X, y) for n in (4, 3))
    model.set_params(learning_rate="constant", learning_rate_init=1e303)
    with pytest.raises(ValueError, match="diverged at epoch"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], other.coefs_[0])
    model.set_params(learning_rate_init=0.001).fit(X, y)
    assert np.isfinite(model.loss_) and model.n_iter_ == 4


def test_without_a_validated_epoch_the_call_is_refused():
    model = diverging(MLPRegressor, early_stopping=True, learning_rate_init=1e303, learning_rate="constant")
    with pytest.raises(ValueError, match="keeps the weights of the last finite epoch"):
        model.fit(X, TARGETS[MLPRegressor])


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_a_stack_keeps_the_best_epoch_of_each_model(backend):
    options = make_options((SGD(0.0),) * 3, [1000.0, 0.01, 200.0], 0.0, early_stopping=True, n_iter_no_change=np.inf)
    scenario = Scenario(options, epochs=30, loss="squared_error", hidden=(), validation=True)
    for k, state in enumerate(train(scenario, backend, True, [0, 1, 2])):
        scores = np.ravel(state.validation_scores)
        assert state.diverged.item() == np.isnan(scores[-1]) == (k != 1)
        assert np.isfinite(scores[:-1]).all() and state.best_score == np.nanmax(scores)
        shorter = Scenario(
            options, epochs=int(np.nanargmax(scores)) + 1, loss="squared_error", hidden=(), validation=True
        )
        (best,) = train(shorter, backend, True, [k])
        np.testing.assert_allclose(state.prediction_model[0], best.theta, rtol=1e-8)


# ---- the message ------------------------------------------------------------------------

DIVERGING = {  # parameters, scale of X, scale of y: the message begins with, and names
    "alpha": ({"alpha": 1e308}, 1, 1, f"{NON_FINITE} Training", ["alpha"]),
    "l1": ({"l1": 1e308}, 1, 1, f"{NON_FINITE} Training", ["l1"]),
    "rate": ({"learning_rate_init": 1e303}, 1, 1, f"{NON_FINITE} Training", ["learn"]),
    "X": ({}, 1e306, 1, f"{NON_FINITE} {LARGE}", ["X"]),
    "y": ({}, 1, 1e200, f"{NON_FINITE} {LARGE}", ["y"]),
    "X and y": ({}, 1e200, 1e250, f"{NON_FINITE} {LARGE}", ["X", "y"]),
}


@pytest.mark.parametrize(
    "solver, case",
    [
        (solver, case)
        for solver in ("sgd", "adam", "lbfgs")
        for case in DIVERGING
        if solver != "lbfgs" or case not in ("l1", "rate")  # which L-BFGS does not use
    ],
)
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_the_message_names_what_is_out_of_proportion(form, solver, case):
    parameters, scale_X, scale_y, begin, names = DIVERGING[case]
    rows = (X * scale_X).astype(np.float32 if scale_X == scale_y else np.float64)  # where 1e308 is infinite
    rows = rows if form == "dense" else scipy.sparse.csr_matrix(rows)
    model = MLPRegressor(hidden_layer_sizes=(5,), solver=solver, random_state=0, **parameters)
    with pytest.raises(ValueError, match=f"^{re.escape(begin)}") as error:
        model.fit(rows, TARGETS[MLPRegressor] * scale_y)
    named = re.findall(r"(\w+) is large, ", str(error.value))
    assert len(named) == len(names) and all(map(str.startswith, named, names))


def test_scikit_learns_sentence_begins_where_nothing_is_out_of_proportion():
    rows = X * 100
    model = MLPRegressor(hidden_layer_sizes=(5,), solver="sgd", learning_rate_init=0.1, random_state=0)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{NON_FINITE} {LARGE}')} Training diverged at epoch"):
        model.fit(rows, TARGETS[MLPRegressor] * 100)


# ---- training that ends without having converged ----------------------------------------


@pytest.mark.parametrize(
    "parameters, names",
    [
        ({"alpha": 1e308, "solver": "lbfgs"}, ["alpha"]),
        ({"alpha": 1e308}, ["alpha"]),
        ({"l1": 1e300}, ["l1"]),
        ({"l1": 1e300, "alpha": 1e300, "solver": "sgd", "learning_rate_init": 1e-310}, ["alpha", "l1"]),
        ({"alpha": 1e4}, []),
        ({"alpha": 1e4, "solver": "lbfgs"}, []),
        ({"l1": 10.0}, []),
    ],
)
def test_penalties_out_of_proportion_are_named_where_training_has_not_converged(parameters, names):
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0, **parameters)
    with pytest.warns(ConvergenceWarning, match="Increase max_iter") as caught:
        model.fit(X, TARGETS[MLPRegressor])
    (message,) = (str(warning.message) for warning in caught if "Increase max_iter" in str(warning.message))
    assert re.findall(r"(\w+) is large, 1e\+30\d: lower it\.", message) == names


def test_a_penalty_is_compared_with_the_weights_of_rows():
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0, alpha=1e9)
    for size, is_named in ((1, True), (1e6, False)):
        with pytest.warns(ConvergenceWarning) as caught:
            model.fit(X, TARGETS[MLPRegressor], np.full(len(X), size))
        assert any("alpha is large" in str(warning.message) for warning in caught) == is_named


# ---- weights too small for sums ---------------------------------------------------------


@pytest.mark.parametrize("dtype, size", [(np.float32, 1e-40), (np.float64, 1e-309), (np.float64, 5e-324)])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_weights_too_small_for_sums_are_refused(estimator, solver, dtype, size):
    weight, y = np.full(len(X), size), TARGETS[estimator]
    words = f"sample_weight, times class_weight, must be at least .*{np.dtype(dtype).name}.*Multiply all weights by"
    with pytest.raises(ValueError, match=words):
        estimator(solver=solver).fit(X.astype(dtype), y, weight)
    if solver == "adam":
        classes = {"classes": np.unique(y)} if estimator is MLPClassifier else {}
        with pytest.raises(ValueError, match=words):
            estimator().partial_fit(X.astype(dtype), y, sample_weight=weight, **classes)
    if estimator is MLPClassifier:
        with pytest.raises(ValueError, match=words):
            model = estimator(solver=solver, class_weight=dict.fromkeys(np.unique(y).tolist(), size))
            model.fit(X.astype(dtype), y, np.full(len(X), 2.0))


def test_recalibration_refuses_weights_too_small_for_sums():
    model = MLPRegressor(norm="batch", tol=1e300, n_iter_no_change=1).fit(X, TARGETS[MLPRegressor])
    with pytest.raises(ValueError, match="sample_weight, times class_weight, must be at least 2.23e-308 "):
        model.recalibrate_norm(X, np.full(len(X), 5e-324))


def test_weights_that_are_too_small_for_a_batch_are_named():
    weight = np.ones(len(X))
    weight[::2] = 1e-320
    with pytest.raises(ValueError, match="sample_weight has weights between 0 and 2.23e-308, .*: set them to 0"):
        MLPRegressor(batch_size=1).fit(X, TARGETS[MLPRegressor], weight)


# ---- numbers that overflow --------------------------------------------------------------


@pytest.mark.parametrize("norm", [None, "batch", "batch_renorm"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_large_numbers_are_a_divergence_without_warnings_of_numpy(early_stopping, norm):
    model = MLPRegressor(early_stopping=early_stopping, norm=norm, random_state=0)
    with pytest.raises(ValueError, match=rf"{NON_FINITE} {LARGE} .* diverged at epoch 1\. X is large, .*: scale it"):
        model.fit(X * 1e200, TARGETS[MLPRegressor])


@pytest.mark.parametrize("monitor", ["score", "loss"])
def test_validation_rows_without_a_finite_score_are_told_of(monitor):
    y = TARGETS[MLPRegressor]
    model = MLPRegressor(early_stopping=True, monitor=monitor, random_state=0)
    with pytest.warns(ConvergenceWarning, match="No score of the validation rows was finite.* began with"):
        model.fit(X, y, X_val=X * 1e200, y_val=y)
    assert np.isnan(model.validation_scores_).all()


@each_estimator
@pytest.mark.parametrize("form", ["few", "many", "sparse"])
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_predictions_that_overflow_are_told_of(activation, form, estimator):
    y = np.arange(60) % 3 if estimator is MLPClassifier else TARGETS[estimator]
    with pytest.warns(ConvergenceWarning, match="Maximum"):
        model = estimator(hidden_layer_sizes=(2,), activation=activation, max_iter=1, random_state=0).fit(X, y)
    rows = np.abs(np.tile(X, (5, 1)) if form == "many" else X)
    rows[::3] = 0
    rows = scipy.sparse.csr_matrix(rows) if form == "sparse" else rows
    model.coefs_ = [np.full(W.shape, 1e200) for W in model.coefs_]
    n_rows = rows.shape[0]
    words = rf"^Predictions of {n_rows - n_rows // 3} of {n_rows} rows are not finite: .* exceed float64\. Scale X"
    with pytest.warns(RuntimeWarning, match=words) as caught:
        model.predict(rows)
    assert [warning.filename for warning in caught] == [__file__]
    model.coefs_ = [np.zeros(W.shape) for W in model.coefs_]
    assert np.isfinite(model.predict(rows).astype(float)).all()


def test_an_overflow_that_an_activation_bounds_is_none():
    y = TARGETS[MLPRegressor]
    with pytest.warns(ConvergenceWarning, match="Maximum"):
        model = MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", max_iter=1, random_state=0).fit(X, y)
    model.coefs_ = [np.full((4, 2), 1e200), np.ones((2, 1))]
    model.intercepts_ = [np.zeros(2), np.zeros(1)]
    np.testing.assert_array_equal(model.predict(np.array([[1e200] * 4, [-1e200] * 4])), [2, -2])


def test_large_finite_predictions_are_predictions():
    with pytest.warns(ConvergenceWarning, match="Maximum"):
        model = MLPRegressor(hidden_layer_sizes=(1,), activation="identity", max_iter=1, random_state=0).fit(X, X[:, 0])
    model.coefs_ = [np.array([[1e154], [0], [0], [0]]), np.array([[1e154]])]
    model.intercepts_ = [np.zeros(1), np.zeros(1)]
    np.testing.assert_allclose(model.predict(np.ones((2, 4))), [1e308, 1e308])


@each_estimator
@pytest.mark.parametrize("start", [{"norm": "weight"}, {"init": "lsuv"}], ids=str)
def test_a_start_that_follows_large_rows_is_refused(start, estimator):
    model = estimator(random_state=0, max_iter=1, **start)
    with pytest.raises(ValueError, match=r"^X contains too large numbers for .*variance.*overflows\. Scale X down"):
        model.fit(X * 1e200, TARGETS[estimator])
    assert not hasattr(model, "coefs_")
